"""Where container data lives: a course, and the library that drives Docker from its cells."""

# Read by Pythons that are too old for the rest, so that __main__ can say so: keep the syntax plain.
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import panels
    from .backup import back_up, rehearse, restore, verify
    from .errors import DockerLabError
    from .lab import Lab
    from .mounts import Anonymous, Bind, Tmpfs, Volume
    from .panels.predict import predict
    from .pictures import picture
    from .postgres import Postgres

__all__ = [
    "Anonymous",
    "Bind",
    "DockerLabError",
    "Lab",
    "Postgres",
    "Tmpfs",
    "Volume",
    "back_up",
    "panels",
    "picture",
    "predict",
    "rehearse",
    "restore",
    "verify",
]

# Found on first use (PEP 562): the command line sets up the environment before any of their libraries is there.
_HOMES = {
    "Anonymous": "mounts",
    "Bind": "mounts",
    "DockerLabError": "errors",
    "Lab": "lab",
    "Postgres": "postgres",
    "Tmpfs": "mounts",
    "Volume": "mounts",
    "back_up": "backup",
    "panels": "",
    "picture": "pictures",
    "predict": "panels.predict",
    "rehearse": "backup",
    "restore": "backup",
    "verify": "backup",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError("module 'dockerlab' has no attribute {!r}".format(name))
    home = _HOMES[name]
    value: object = getattr(import_module("dockerlab." + home), name) if home else import_module("dockerlab." + name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted(set(globals()) | set(__all__))


def load_ipython_extension(ipython: object) -> None:
    """Add `%docker` and `%%docker`: what `%load_ext dockerlab` calls."""
    import_module("dockerlab.magic").load_ipython_extension(ipython)
