"""What can go wrong, said in three lines: what failed, what was seen, what to do next."""

from __future__ import annotations

import re

__all__ = [
    "BackupError",
    "CommandError",
    "DockerLabError",
    "EngineError",
    "ForeignError",
    "ImageError",
    "InUseError",
    "NotFoundError",
    "PostgresError",
]


class DockerLabError(Exception):
    """An expected failure; the root of all that this package raises on purpose.

    `what` says what failed, `seen` what was observed and `next_step` what to do about it, a line each.
    In a notebook it shows as these three lines without a traceback; a bug keeps its traceback.
    """

    def __init__(self, what: str, seen: str = "", next_step: str = "") -> None:
        self.what, self.seen, self.next_step = what, seen, next_step
        super().__init__(what, seen, next_step)

    def __str__(self) -> str:
        # What an engine or a program said may have line breaks of its own.
        lines = (re.sub(r"\s*\n\s*", " ", part.strip()) for part in (self.what, self.seen, self.next_step))
        return "\n".join(line for line in lines if line)

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for its own rendering by this name (InteractiveShell.showtraceback).
        first, *rest = str(self).splitlines()
        return [f"{type(self).__name__}: {first}", *rest]


class EngineError(DockerLabError):
    """No engine answers, or one could not be started, stopped or installed."""


class ImageError(DockerLabError):
    """An image could not be made to be there."""


class NotFoundError(DockerLabError):
    """A container, volume or file of that name does not exist."""


class ForeignError(DockerLabError):
    """Something that this lab did not make has the name, and is left as it is."""


class InUseError(DockerLabError):
    """A volume, name or port is being used, and by whom."""


class CommandError(DockerLabError):
    """The engine refused a command, or the command's program failed."""


class PostgresError(DockerLabError):
    """A server did not start, did not let us in, or refused a statement."""


class BackupError(DockerLabError):
    """A backup could not be made, is not whole, or could not be restored."""
