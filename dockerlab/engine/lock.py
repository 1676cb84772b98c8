"""A lock that all processes of this machine share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked"]


@contextmanager
def locked(path: Path, make: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold the lock of a file or folder, which `make` makes where it is missing: an empty file, if nothing is said.

    Waits for another holder. The lock ends with its holder, however that one ends, and a holder may delete what it
    locked. Not on Windows, where the course makes nothing that needs it.
    """
    import fcntl

    while True:
        if not path.exists():
            (make or path.touch)()
        try:
            # Some network file systems lock only what is open for writing.
            handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Who waited for a holder that deleted it has locked something that nobody else will find.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                yield
                return
        finally:
            os.close(handle)
