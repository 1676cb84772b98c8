"""The environment of Python packages: `.venv` in the clone, as requirements.lock says. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import metadata, util
from pathlib import Path

from .steps import Say, SetUpError, follow

__all__ = ["PYTHON", "ROOT", "STATE", "VENV", "complete", "current", "distrust", "has_installer", "install", "missing"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# What the command line keeps in the clone: logs, the installer, JupyterLab's settings.
STATE = ROOT / ".dockerlab"

PROJECT, LOCK = ROOT / "pyproject.toml", ROOT / "requirements.lock"
MARKER = VENV / "dockerlab.installed"
UNFINISHED = "unfinished"


def missing(test: bool = False) -> list[str]:
    """Return the distributions that this very Python lacks to run the course, and with `test` its tests."""
    try:
        wanted = metadata.requires("dockerlab") or []
    except metadata.PackageNotFoundError:
        return ["dockerlab"]
    lacking = []
    for line in wanted:
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"](\w+)['\"]", line)
        if name and (extra is None or (test and extra[1] == "test")):
            try:
                metadata.distribution(name[0])
            except metadata.PackageNotFoundError:
                lacking.append(name[0])
    return lacking


def current(test: bool = False) -> bool:
    """Say whether `.venv` was installed to its end, from the lock and project that are here now."""
    try:
        digest, *extras = MARKER.read_text().split()
    except (OSError, ValueError):
        return False
    return digest == _digest() and (not test or "test" in extras) and PYTHON.exists()


def complete(test: bool = False) -> bool:
    """Say whether this very Python has what it takes: any that has it all, and `.venv` only if it is up to date."""
    return not missing(test) and (Path(sys.prefix) != VENV or current(test))


def distrust() -> None:
    """Have the next installation make `.venv` anew, if it was one of ours: it says that it is whole and is not."""
    if MARKER.exists():
        MARKER.write_text(UNFINISHED)


def has_installer() -> bool:
    """Say whether packages can be installed from here: by uv, by pip, or by the pip that Python brings along."""
    return bool(_kept_uv() or shutil.which("uv") or util.find_spec("pip") or util.find_spec("ensurepip"))


def install(say: Say, *, test: bool = False) -> None:
    """Install what the lock says into `.venv`, which is made, or made anew where it is broken.

    Raises `SetUpError`. Cut off, it leaves a mark by which the next call starts afresh.
    """
    with _alone():
        if current(test):  # by another process, meanwhile
            return
        uv, environment = _uv(say), {**os.environ, **_index()}
        if not _works():
            base = getattr(sys, "_base_executable", "") or sys.executable
            make = [uv, "venv", "--quiet", "--clear", "--no-project", "--prompt=dockerlab"]
            follow([*make, f"--python={base}", VENV], say, env=environment)
        extras = ["test"] if test or _has_tests() else []
        MARKER.write_text(UNFINISHED)
        options = [f"--extra={extra}" for extra in extras] + ["--require-hashes"]
        add = [uv, "pip", "install", f"--python={PYTHON}"]
        follow([*add, *options, "--constraint", LOCK, "--requirement", PROJECT], say, env=environment)
        follow([*add, "--no-deps", "--editable", ROOT], say, env=environment)
        MARKER.write_text(" ".join([_digest(), *extras]))


def _digest() -> str:
    return sha256(LOCK.read_bytes() + PROJECT.read_bytes()).hexdigest()


def _has_tests() -> bool:
    return MARKER.exists() and MARKER.read_text().split()[1:] == ["test"]


def _works() -> bool:
    """Say whether `.venv` is a working environment that no installation left unfinished."""
    if not PYTHON.exists() or (MARKER.exists() and MARKER.read_text() == UNFINISHED):
        return False
    test = "import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
    return subprocess.run([PYTHON, "-c", test], capture_output=True, check=False).returncode == 0


def _locked_uv() -> str:
    """Return the lock's own lines for uv: its version and hashes."""
    entry = re.search(r"^uv==\S+(.|\n)*?(?=^\S|\Z)", LOCK.read_text(), re.MULTILINE)
    assert entry, "the lock names uv"
    return entry[0]


def _uv_folder() -> Path:
    return STATE / _locked_uv().split()[0].replace("==", "-")


def _kept_uv() -> str | None:
    folder = _uv_folder()
    return shutil.which("uv", path=f"{folder / 'bin'}{os.pathsep}{folder / 'Scripts'}")


def _uv(say: Say) -> str:
    """Return uv's path: kept, else fetched as the lock says with a pip that is here, else the system's own."""
    kept = _kept_uv()
    if kept:
        return kept
    scratch = STATE / "scratch"
    try:
        pip = [sys.executable, "-m", "pip"]
        if not util.find_spec("pip"):
            if not util.find_spec("ensurepip"):
                return _system_uv()
            follow([sys.executable, "-m", "venv", "--clear", scratch / "pip"], say)
            pip[0] = str(scratch / "pip" / PYTHON.relative_to(VENV))
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "uv.lock").write_text(_locked_uv())
        fetch = [*pip, "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        follow([*fetch, "--target", scratch / "uv", "--requirement", scratch / "uv.lock"], say)
        shutil.rmtree(_uv_folder(), ignore_errors=True)
        (scratch / "uv").replace(_uv_folder())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _kept_uv() or _system_uv()


def _system_uv() -> str:
    uv = shutil.which("uv")
    if uv is None:
        raise SetUpError(
            "The Python packages can't be installed.",
            f"{sys.executable} has neither pip nor ensurepip, and there is no uv.",
            "Install one (on Debian and Ubuntu the package python3-venv) and try again.",
        )
    return uv


def _index() -> dict[str, str]:
    """Return where pip was told to install from, in uv's terms: a class may have a mirror of its own."""
    if {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(os.environ) or not util.find_spec("pip"):
        return {}
    ask = [sys.executable, "-m", "pip", "config", "list"]
    settings = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    # In pip's order: the environment's word counts more than any file's.
    given = re.search(r"^:env:\.index-url='(.+)'$", settings, re.MULTILINE)
    given = given or re.search(r"^(?:global|install)\.index-url='(.+)'$", settings, re.MULTILINE)
    return {"UV_DEFAULT_INDEX": given[1]} if given else {}


@contextmanager
def _alone() -> Iterator[None]:
    """Keep two installations into one clone apart."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "install.lock").open("w") as file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
