"""Panels: a lab's storage as a living picture, with buttons for what a lesson tries."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backup import Backup
    from .cleanup import Cleanup
    from .mounts import Mounts
    from .persistence import Persistence
    from .writable_layer import WritableLayer

__all__ = ["Backup", "Cleanup", "Mounts", "Persistence", "WritableLayer"]

# Found on first use (PEP 562): a lesson without a database does not wait for its drivers.
_HOMES = {
    "Backup": "backup",
    "Cleanup": "cleanup",
    "Mounts": "mounts",
    "Persistence": "persistence",
    "WritableLayer": "writable_layer",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
