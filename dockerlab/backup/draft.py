"""A file that is there whole or not at all, with its digest beside it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import BackupError, NotFoundError
from .underway import Underway

__all__ = ["Draft", "destination"]

# How many pieces, of a mebibyte at most, may wait to be written.
WAITING = 16
# After how many bytes the disk is put to work.
WRITTEN_BACK = 8 << 20


class Draft:
    """A file to write to, under another name in the same folder; `publish` gives it its own, and a `.sha256`.

    Until then, whatever happens, an older file of that name stays. It is written and digested by a thread of its own,
    so that who reads the engine's stream does not keep the engine waiting; `BackupError` where the disk is full comes
    with a later `write`, or at the end.
    """

    def __init__(self, work: Underway, path: Path, what: str = "", advice: str = "") -> None:
        """`what` and `advice` are the first and the last line of the error where it can't be written."""
        self.path, self.size, self._digest = path, 0, hashlib.sha256()
        self._what = what or f"{path} was not written."
        self._advice = advice or (
            f"Make room in {path.parent}, or name another folder. A file of that name is as it was before."
        )
        self._thread, self._waiting, self._begun = ThreadPoolExecutor(1), deque[Future[None]](), 0
        self._draft, self._seal = work.draft(path.parent), work.draft(path.parent)
        with self._explained():
            self._file = self._draft.open("xb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._file.close()

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Take it for writing; it must not change any more."""
        self._waiting.append(self._thread.submit(self._write, memoryview(data)))
        if len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def _write(self, rest: memoryview) -> None:
        self._digest.update(rest)
        with self._explained():
            while rest:
                written = self._file.write(rest)
                self.size, rest = self.size + written, rest[written:]
            if self.size - self._begun >= WRITTEN_BACK and hasattr(os, "posix_fadvise"):
                # Linux begins to write these to the disk now, so that little is left for the fsync.
                os.posix_fadvise(self._file.fileno(), self._begun, self.size - self._begun, os.POSIX_FADV_DONTNEED)
                self._begun = self.size

    def keep(self) -> Path:
        """Have it on the disk, under a name that is not for long: it goes at the end of the work."""
        while self._waiting:
            self._waiting.popleft().result()
        with self._explained():
            os.fsync(self._file.fileno())
            self._file.close()
        return self._draft

    def publish(self) -> None:
        """Have it on the disk, then under its name."""
        beside = self.path.with_name(self.path.name + ".sha256")
        self.keep()
        with self._explained():
            with self._seal.open("x", encoding="utf-8", errors="surrogateescape") as seal:
                seal.write(_seal_line(self.digest, self.path.name))
                seal.flush()
                os.fsync(seal.fileno())
            # In this order no moment has an archive beside another one's digest.
            beside.unlink(missing_ok=True)
            self._draft.replace(self.path)
            self._seal.replace(beside)
            _sync(self.path.parent)

    @contextlib.contextmanager
    def _explained(self) -> Any:
        try:
            yield
        except OSError as error:
            seen = f"{error.strerror or error}, after {self.size:,} bytes."
            raise BackupError(self._what, seen, self._advice) from None


def destination(path: str | Path) -> Path:
    """The path as an absolute one; `NotFoundError` where its folder is missing, `BackupError` where it is no file."""
    found = Path(path).expanduser().absolute()
    if not found.parent.is_dir():
        raise NotFoundError(f"There is no folder {found.parent}.", f"Seen on: {path}", "Make it, or name another one.")
    if found.is_dir():
        raise BackupError(
            f"{found} is a folder.", "A backup is a file.", f"Name one in it, as {found / 'my-data.tar.gz'}."
        )
    if found.exists() and not found.is_file():
        raise BackupError(f"{found} is no regular file.", "A backup would take its place.", "Name another one.")
    return found


def _seal_line(digest: str, name: str) -> str:
    # As sha256sum writes it: a name that would break the line is escaped, and the line begins with a backslash.
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def _sync(folder: Path) -> None:
    # Windows can't open a folder.
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
