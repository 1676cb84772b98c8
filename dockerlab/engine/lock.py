"""A lock that all processes of this machine share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of that file, which is made where it is missing; its holder's end frees it, however it ends.

    Waits for a holder. Not on Windows, where the course makes nothing that needs it.
    """
    import fcntl

    if not path.exists():
        path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
