"""Read a `.tar.gz` without an engine: whether it is whole, and what it holds."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pandas as pd
from isal import igzip, igzip_threaded, isal_zlib

from ..describe import bytes_in_words, count
from ..errors import BackupError, NotFoundError
from ..refusals import REFUSALS, near
from . import tar
from .contents import Entries, inventory, shown
from .progress import Progress, metered
from .results import Result

__all__ = ["Archive", "chunks", "inspect", "readable", "seal_of", "verify"]

_BROKEN: tuple[type[Exception], ...] = (EOFError, igzip.BadGzipFile, isal_zlib.error)  # type: ignore[assignment]
# The archive is read this far ahead of where it is unpacked, so this near an error can be placed.
_GRAIN = 4096


@dataclass(frozen=True, repr=False)
class Archive(Result):
    """An archive that was read to its end and is whole.

    `digest` is the file's SHA-256, and `sealed` says whether the `.sha256` beside it agrees (there may be none).
    `entries` maps each name, in bytes, to its `Entry`; `packed` are the file's bytes, `content` those of all it holds.
    """

    path: Path
    packed: int
    digest: str
    sealed: bool
    entries: Entries = field(repr=False)

    @property
    def files(self) -> int:
        """How many regular files it holds; a further name of one (a hard link) is not counted."""
        return sum(entry.kind == tar.FILE for entry in self.entries.values())

    @property
    def content(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.entries.values())

    def frame(self) -> pd.DataFrame:
        """Its entries as a DataFrame: `name`, `kind`, `mode`, `owner`, `size`, `time`, `link`, `sha256`."""
        rows = [
            (
                shown(entry.name),
                entry.kind,
                f"{entry.mode:04o}",
                f"{entry.uid}:{entry.gid}",
                entry.size,
                pd.Timestamp(entry.mtime, unit="s", tz="UTC") if abs(entry.mtime) < 1 << 33 else pd.NaT,
                shown(entry.link),
                entry.digest.hex(),
            )
            for entry in self.entries.values()
        ]
        return pd.DataFrame(rows, columns=["name", "kind", "mode", "owner", "size", "time", "link", "sha256"])

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "archive", str(self.path)
        yield "whole", "yes: gzip's checksum and the tar to its end" + (", and the digest" if self.sealed else "")
        yield "holds", f"{count(self.files, 'file')}, {bytes_in_words(self.content)} in {bytes_in_words(self.packed)}"
        yield "digest", f"{self.digest}" + ("" if self.sealed else " (no .sha256 is beside it to compare with)")


def verify(path: str | Path, *, progress: Progress = True) -> Archive:
    """Read an archive to its end: its digest (if a `.sha256` is beside it), gzip's checksum, and the tar's structure.

    Writes nothing and needs no engine; `progress` is told in bytes of the file. Raises `BackupError` that says which of
    them failed, and at which byte or file, or why it can't be read; `NotFoundError` where there is no such file.
    """
    return inspect(Path(path).expanduser(), progress=progress)


def inspect(path: Path, watch: Callable[[tar.Entry], object] | None = None, *, progress: Progress = False) -> Archive:
    """The same; `watch` is called with each entry before its content is read, and may raise."""
    with readable(path):
        return _inspect(path, watch, progress)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say why a file can't be read as `BackupError`."""
    try:
        yield
    except REFUSALS:  # some of which are OSErrors as well
        raise
    except OSError as error:
        raise BackupError(
            f"{path} can't be read.",
            f"{error.filename or path}: {error.strerror or error}.",
            "Look at its name, at who may read it, and at the disk that it is on.",
        ) from None


def _inspect(path: Path, watch: Callable[[tar.Entry], object] | None, progress: Progress) -> Archive:
    if not path.is_file():
        names = [each.name for each in path.parent.glob("*gz")] if path.parent.is_dir() else []
        raise NotFoundError(f"There is no archive {path}.", "Seen: no such file.", near(path.name, names))
    seal, problems, entries = seal_of(path), [], dict[bytes, tar.Entry]()
    with path.open("rb") as file, metered(progress, "Verifying", path.stat().st_size) as meter:
        tap, told = _Tap(file), 0

        def read() -> bytes:
            nonlocal told
            data: bytes = content.read(tar.CHUNK)
            meter(tap.bytes - told)
            told = tap.bytes
            return data

        with igzip_threaded.open(tap, "rb", block_size=tar.CHUNK // 4) as content:  # type: ignore[no-untyped-call]
            try:
                inventory(tar.read(iter(read, b"")), entries, watch)
            except tar.TarError as error:
                at = f", at byte {error.offset:,} of its content" if error.offset else ""  # a name's place is not known
                problems.append(f"tar: {error.reason}{at}{_after(error.name)}")
            except _BROKEN as error:
                problems.append(_gzip_problem(path, error) + _after(next(reversed(entries), b"")))
            else:
                tap.drain()
            if problems and problems[0].startswith("tar"):
                problems += _drain(content, path)
        tap.drain()
    digest = tap.digest.hexdigest()
    if seal and seal != digest:
        problems.insert(0, f"digest: {digest[:12]}…, and {path.name}.sha256 says {seal[:12]}…")
    if problems:
        raise BackupError(
            f"{path} is not whole.",
            "; ".join(problems) + ".",
            "Don't restore it: take another backup, or copy it here again from where it is whole.",
        )
    return Archive(path, tap.bytes, digest, bool(seal), entries)


def chunks(path: Path) -> Iterator[bytes]:
    """The tar in an archive, unpacked in a thread of its own ahead of whoever takes the chunks."""
    with igzip_threaded.open(path, "rb") as content:  # type: ignore[no-untyped-call]
        while chunk := content.read(tar.CHUNK):
            yield chunk


def seal_of(path: Path) -> str:
    """The digest that the `.sha256` beside a file gives for it; empty where there is none, `BackupError` if broken."""
    beside = path.with_name(path.name + ".sha256")
    if not beside.is_file():
        return ""
    found = re.findall(r"^\\?([0-9a-fA-F]{64}) [ *](.*)$", beside.read_text(errors="surrogateescape"), re.MULTILINE)
    # A file that was renamed together with its .sha256 is still the one that is meant.
    fitting = [digest for digest, name in found if name == path.name] or [digest for digest, _ in found]
    if not fitting:
        raise BackupError(
            f"{path} can't be compared with its digest.",
            f"{beside.name} has {beside.stat().st_size:,} bytes, and no line that sha256sum writes.",
            f"Copy {beside.name} here again from where it is whole, or remove it.",
        )
    return str(fitting[0]).lower()


class _Tap(io.RawIOBase):
    """A file that is digested as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.bytes = file, hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.digest.update(data)
        self.bytes += len(data)
        return len(data)

    def drain(self) -> None:
        """Read what is left."""
        while self.read(tar.CHUNK):
            pass


def _after(name: bytes) -> str:
    return f", in or after {shown(name)!r}" if name else ""


def _drain(content: Any, path: Path) -> list[str]:
    """What is wrong with the rest of a gzip stream, unpacked for its checksum alone."""
    try:
        while content.read(tar.CHUNK):
            pass
    except _BROKEN as error:
        return [_gzip_problem(path, error)]
    return []


def _gzip_problem(path: Path, error: Exception) -> str:
    return f"gzip: {error or type(error).__name__}, near byte {_break(path):,}"


def _break(path: Path) -> int:
    """Where a gzip stream breaks off: it is unpacked again, in small steps."""
    with path.open("rb") as file:
        stream = isal_zlib.decompressobj(wbits=31)
        while piece := file.read(_GRAIN):
            try:
                stream.decompress(piece)
            except _BROKEN:
                return file.tell() - len(piece)
            while stream.eof and (piece := stream.unused_data):  # a further member
                stream = isal_zlib.decompressobj(wbits=31)
                try:
                    stream.decompress(piece)
                except _BROKEN:
                    return file.tell() - len(piece)
        return file.tell()
