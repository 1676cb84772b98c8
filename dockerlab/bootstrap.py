"""From a fresh clone to a Python that has everything. Standard library only: nothing is installed before it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import environment
from .engine import package
from .environment import PYTHON, STATE
from .steps import Say, SetUpError, Steps, follow

__all__ = ["LOG", "agree", "chromium", "may_be_root", "set_up"]

LOG = STATE / "up.log"
# Set for the Python that just-made `.venv` is handed over to: one that is incomplete all the same must not loop.
FRESH = "DOCKERLAB_FRESH"
INSTALLER = "python3-venv"
CHROMIUM = "?exact-name(chromium)"  # a pattern may match nothing, as on Ubuntu


def set_up(arguments: Sequence[str], *, test: bool = False, engine: bool = False, yes: bool = False) -> None:
    """Return in a Python that has all that the course needs.

    Where this one has not, `.venv` is made and this process replaced by its Python with the same `arguments`.
    `test` adds what the tests need. `engine` installs the distribution's engine package side by side where surely no
    engine answers; it says so before, and asks unless `yes`. Raises `SetUpError` or `EngineError`.
    """
    fresh = os.environ.pop(FRESH, None)
    if environment.complete(test):
        if test and (extra := _agree_on_extra(test=test, engine=engine, yes=yes)) is not None:
            with Steps(LOG) as steps:
                _install_from_distribution(steps, extra)
        return
    if fresh:
        seen = ", ".join(environment.missing(test)) or "what requirements.lock says"
        advice = f"Delete {environment.VENV} and try again."
        raise SetUpError("The environment is incomplete.", f"Just made, it lacks {seen}.", advice)
    if Path(sys.prefix) == environment.VENV and environment.missing(test):
        environment.distrust()
    if not environment.current(test):
        _install(test=test, engine=engine, yes=yes)
        os.environ[FRESH] = "1"
    _hand_over(arguments)


def agree(commands: Sequence[Sequence[str]], yes: bool) -> bool:
    """Say what is about to be run as root, and ask where someone can answer."""
    print("To be run, for what this system's package manager has:")
    for command in commands:
        print(f"  {shlex.join(command)}", flush=True)
    return yes or not sys.stdin.isatty() or input("Go on? [Y/n] ").strip().lower() in ("", "y", "yes")


def may_be_root() -> bool:
    """Say whether commands can be run as root; sudo asks for its password where someone can answer."""
    if package.root_prefix() is not None:
        return True
    sudo = package.program("sudo") if sys.platform == "linux" and sys.stdin.isatty() else None
    return sudo is not None and subprocess.run([sudo, "-v"], check=False).returncode == 0


def chromium() -> str | None:
    """Return the path of the Chromium that is installed here, or None."""
    return package.program("chromium") or package.program("chromium-browser")


def _install(*, test: bool, engine: bool, yes: bool) -> None:
    """Install the Python packages and, side by side, what the distribution has to give."""
    had_engine = package.installed()
    extra = _agree_on_extra(test=test, engine=engine, yes=yes)
    with Steps(LOG) as steps:

        def python_packages() -> None:
            steps.do("Python packages", lambda say: environment.install(say, test=test))

        def python_packages_and_parts() -> None:
            python_packages()
            if not had_engine:  # then there are no images either; while the engine comes, time is well used
                steps.do("Parts of the images", _fetch_parts)

        if extra is None:
            python_packages()
        elif INSTALLER in extra:
            _install_from_distribution(steps, extra)
            python_packages()
        else:
            steps.together(lambda: _install_from_distribution(steps, extra), python_packages_and_parts)


def _agree_on_extra(*, test: bool, engine: bool, yes: bool) -> list[str] | None:
    """Return what to install from the distribution beside its engine package; None for nothing at all."""
    extra = [CHROMIUM] if test and not chromium() else []
    if not environment.complete(test) and not environment.has_installer():
        extra.append(INSTALLER)
    needed = extra or (not package.installed() and not _may_answer(private=test))
    commands = package.install_command(extra) if engine and needed and may_be_root() else None
    return extra if commands and agree(commands, yes) else None


def _install_from_distribution(steps: Steps, extra: Sequence[str]) -> None:
    steps.do("System packages", lambda say: package.install(extra, say))


def _may_answer(private: bool) -> bool:
    """Say whether an engine may be here, as far as that shows without docker-py; `private` asks for no other."""
    wanted = os.environ.get("DOCKERLAB_ENGINE") or ("private" if private else "")
    if wanted:
        return wanted != "private"
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", "/run/user/none"))
    sockets = [Path("/var/run/docker.sock"), runtime / "docker.sock"]
    sockets += [folder / "podman/podman.sock" for folder in (Path("/run"), runtime)]
    if os.environ.get("DOCKER_HOST") or any(socket.exists() for socket in sockets):
        return True
    client = shutil.which("docker")
    if client is None:
        return False
    ask = [client, "version", "--format", "{{.Server.Version}}"]  # it knows its contexts
    try:
        return subprocess.run(ask, capture_output=True, timeout=5, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return True


def _fetch_parts(say: Say) -> None:
    # Whoever can look up the registry that docker-py names can pull, and needs no stand-ins.
    resolve = "import socket, docker.auth; socket.getaddrinfo(docker.auth.INDEX_NAME, 443)"
    pulls = subprocess.run([PYTHON, "-c", resolve], capture_output=True, check=False).returncode == 0
    if pulls or os.environ.get("DOCKERLAB_BUNDLE"):
        say("not needed: images can be pulled, or loaded from the bundle")
        return
    follow([PYTHON, "-m", "dockerlab.engine.images"], say)


def _hand_over(arguments: Sequence[str]) -> None:
    sys.stdout.flush()
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # else each start compiles thousands of modules again
        os.environ["PYTHONPYCACHEPREFIX"] = str(STATE / "bytecode")
    command = [str(PYTHON), "-m", "dockerlab", *arguments]
    if os.name == "nt":  # there, exec returns to the shell at once
        sys.exit(subprocess.run(command, check=False).returncode)
    os.execv(PYTHON, command)
