"""Where data can live outside the writable layer, as values: volume, anonymous volume, bind mount, tmpfs."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import docker.types

from .errors import CommandError

__all__ = ["Anonymous", "Bind", "Mount", "Tmpfs", "Volume"]

# Engine's own rule for names (moby, daemon/names).
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

Syntax = Literal["-v", "--mount"]


class Mount:
    """One mount of a container: its `words()` for `docker run`, and the same as keywords of the API's host config."""

    target: str

    def words(self) -> list[str]:
        """The flag and its value, as in `["-v", "my-data:/data"]`."""
        raise NotImplementedError

    def host_config(self) -> dict[str, list[Any]]:
        """What it adds to `binds`, `mounts` or `tmpfs` of docker-py's `create_host_config`."""
        raise NotImplementedError

    def _check_target(self) -> None:
        if not self.target.startswith("/") or self.target.strip("/") == "":
            raise CommandError(
                "A mount needs an absolute path in the container, other than /.",
                f"Seen: {self.target!r}.",
                "Name a folder, as /data.",
            )


def csv_record(*options: str) -> str:
    """Options as one --mount value: the CLI reads it as a CSV record, so a comma in a path is quoted, not lost."""
    line = io.StringIO()
    # The writer quotes a line break in a field only if its own line ends have one.
    csv.writer(line, lineterminator="\r\n").writerow(options)
    return line.getvalue().removesuffix("\r\n")


def csv_fields(record: str) -> list[str]:
    """The options of a --mount value, as the CLI reads them."""
    return next(csv.reader(io.StringIO(record, newline="")), [])


@dataclass(frozen=True)
class _Sourced(Mount):
    """A mount that has a source: a volume's name or a folder of the host."""

    source: str
    target: str
    read_only: bool = False
    syntax: Syntax | None = None
    kind: ClassVar[Literal["volume", "bind"]]

    def _choose_syntax(self) -> None:
        # The fields of -v are separated by colons, so a path with one in it can only be said by --mount.
        short = ":" not in self.target and ":" not in re.sub(r"^[A-Za-z]:(?=[\\/])", "", self.source)
        if self.syntax == "-v" and not short:
            raise CommandError(
                "-v cannot say a path that has a colon in it.",
                f"Seen: {self.source!r} and {self.target!r}.",
                'Leave syntax out, or give syntax="--mount".',
            )
        object.__setattr__(self, "syntax", self.syntax or ("-v" if short else "--mount"))

    def _modes(self) -> list[str]:
        return ["ro"] * self.read_only

    def words(self) -> list[str]:
        modes = self._modes()
        if self.syntax == "-v":
            return ["-v", ":".join((self.source, self.target, *([",".join(modes)] if modes else [])))]
        long = {"ro": "readonly", "nocopy": "volume-nocopy"}
        where = (f"type={self.kind}", f"source={self.source}", f"target={self.target}")
        return ["--mount", csv_record(*where, *(long[mode] for mode in modes))]

    def host_config(self) -> dict[str, list[Any]]:
        if self.syntax == "-v":
            return {"binds": [self.words()[1]]}
        options: dict[str, Any] = {"read_only": self.read_only, "no_copy": "nocopy" in self._modes()}
        return {"mounts": [docker.types.Mount(self.target, self.source, type=self.kind, **options)]}


@dataclass(frozen=True)
class Volume(_Sourced):
    """A named volume at a path of the container; an empty one is first filled with the image's, unless `nocopy`."""

    nocopy: bool = False
    kind = "volume"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.source):
            raise CommandError(
                "A volume's name has two or more of: letters, digits, _ . - and starts with a letter or digit.",
                f"Seen: {self.source!r}.",
                "A folder of this machine is a Bind, a volume without a name is Anonymous.",
            )
        self._check_target()
        self._choose_syntax()

    def _modes(self) -> list[str]:
        return [*super()._modes(), *["nocopy"] * self.nocopy]


@dataclass(frozen=True)
class Bind(_Sourced):
    """A folder or file of the engine's host at a path of the container; a relative source is made absolute here.

    Where the source is missing, `-v` makes the engine create it as a folder owned by root; `--mount` fails.
    """

    kind = "bind"

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", os.path.abspath(os.path.expanduser(self.source)))
        self._check_target()
        self._choose_syntax()


@dataclass(frozen=True)
class Anonymous(Mount):
    """A volume without a name of its own: the engine gives it 64 hexadecimal digits."""

    target: str

    def __post_init__(self) -> None:
        self._check_target()
        if ":" in self.target:
            raise CommandError("-v cannot say a path that has a colon in it.", f"Seen: {self.target!r}.")

    def words(self) -> list[str]:
        return ["-v", self.target]

    def host_config(self) -> dict[str, list[Any]]:
        return {}  # The API has anonymous volumes in the container's config, not in its host config.


@dataclass(frozen=True)
class Tmpfs(Mount):
    """Memory at a path of the container, gone when the container stops; `size` as in `"64m"`, `mode` as in `0o1777`."""

    target: str
    size: str | None = None
    mode: int | None = None

    def __post_init__(self) -> None:
        self._check_target()
        if ":" in self.target:
            raise CommandError("--tmpfs cannot say a path that has a colon in it.", f"Seen: {self.target!r}.")
        if self.size is not None and not re.fullmatch(r"[0-9]+[kmg]?", self.size):
            raise CommandError("A tmpfs's size is a number with k, m or g.", f"Seen: {self.size!r}.", 'As in "64m".')

    def _options(self) -> str:
        return ",".join(
            [*([f"size={self.size}"] if self.size else []), *([] if self.mode is None else [f"mode={self.mode:o}"])]
        )

    def words(self) -> list[str]:
        return ["--tmpfs", ":".join(filter(None, (self.target, self._options())))]

    def host_config(self) -> dict[str, list[Any]]:
        return {"tmpfs": [(self.target, self._options())]}
