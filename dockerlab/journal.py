"""What was done in a sitting, and the same as a shell script."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from .belongings import is_anonymous, shown
from .listings import first_name

__all__ = ["Entry", "Journal", "Made"]

_MAKES = re.compile(r"docker (container )?(run|create) ")
_INPUT = re.compile(r" <<'\w+'\n")
# Single quotes, double quotes, and what stands in none.
_PARTS = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|(?:\\.|[^'"\\])+""", re.DOTALL)
# An anonymous volume where docker takes a volume's name; 64 digits elsewhere may be a checksum.
_ANONYMOUS = re.compile(
    r"(?:-v |--volume[ =]|(?:source|src)=|docker volume (?:rm|inspect) (?:\S+ )*)['\"]?([0-9a-f]{64})\b"
)


@dataclass(frozen=True)
class Made:
    """A container that a line made, with the anonymous volumes that came with it, each with its place in there."""

    id: str
    name: str
    volumes: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """One line that was run: when, for how many seconds, with what outcome (`done`, `exit status 1`, a refusal).

    `line` is whole, `shown` has no secrets.
    """

    line: str = field(repr=False)
    shown: str
    at: datetime
    seconds: float
    outcome: str = "done"
    made: tuple[Made, ...] = ()

    @property
    def ran(self) -> bool:
        """Whether docker ran it, with whatever exit status."""
        return self.outcome == "done" or self.outcome.startswith("exit status")

    @property
    def head(self) -> str:
        """The line without the text that is its standard input."""
        return _INPUT.split(self.line)[0]


@dataclass
class Journal:
    """The entries of a sitting, in order; the first `opening` removed what an earlier sitting had left."""

    entries: list[Entry] = field(default_factory=list)
    opening: int = 0
    _new: list[Made] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def notice(self, containers: Iterable[Mapping[str, Any]]) -> None:
        """Take containers (records of `docker ps`) that were not there before as made by the next line recorded."""
        for each in containers:
            if each["Id"] not in self._seen:
                self._seen.add(each["Id"])
                mounts = (mount for mount in each["Mounts"] if is_anonymous(mount.get("Name", "")))
                volumes = {mount["Name"]: mount["Destination"] for mount in mounts}
                self._new.append(Made(each["Id"], first_name(each), volumes))

    def record(self, line: str, shown: str, seconds: float, outcome: str = "done") -> None:
        """Add what was just run."""
        made, self._new = tuple(self._new), []
        self.entries.append(Entry(line, shown, datetime.now().astimezone(), seconds, outcome, made))

    def frame(self) -> pd.DataFrame:
        """A DataFrame: `at`, `seconds`, `command` (secrets starred out), `outcome` (`done`, or what failed)."""
        rows = [(entry.at, round(entry.seconds, 3), entry.shown, entry.outcome) for entry in self.entries]
        return pd.DataFrame(rows, columns=["at", "seconds", "command", "outcome"])

    def script(self, heading: str) -> str:
        """A POSIX shell script of the lines that worked; the ones that were refused are comments.

        Lines are as they were typed, passwords included, since without them the script could not run. A name that the
        engine made up is another in each replay: where a later line has it, a variable takes it from the engine. A
        line with an anonymous volume of no line's making, as from before the sitting, is a comment as well, and so is
        what the opening removed: a clean engine has none of it.
        """
        body, names = list[str](), _Names()
        for place, entry in enumerate(self.entries):
            head = names.put(entry.head)
            if not entry.ran:
                body.append(_comment(f"refused ({entry.outcome})", entry))
            elif place < self.opening:
                body.append(_comment("left out (an earlier sitting had left it)", entry))
            elif unknown := _ANONYMOUS.search(head):
                body.append(_comment(f"left out (no line here tells which volume {shown(unknown[1])} was)", entry))
            else:
                line = head + entry.line[len(entry.head) :]
                # `set -e` would end the script where the sitting went on.
                body.append(line if entry.outcome == "done" else f"{{\n{line}\n}} || true  # {entry.outcome}")
                body += names.take(entry, [later.head for later in self.entries[place + 1 :] if later.ran])
        return "\n".join(["#!/bin/sh", f"# {heading}", "set -eu", *body, ""])


def _comment(why: str, entry: Entry) -> str:
    return f"# {why}: {entry.shown}".replace("\n", " ")


class _Names:
    """What the engine called things in the sitting, and the shell's variables for what it calls them in a replay."""

    def __init__(self) -> None:
        self._variables = dict[re.Pattern[str], str]()

    def put(self, text: str) -> str:
        """A shell line with variables in the place of names."""

        def renamed(part: re.Match[str]) -> str:
            text, quote = part[0], part[0][0]
            for name, variable in self._variables.items():
                word = {"'": f"'\"${variable}\"'", '"': f"${{{variable}}}"}.get(quote, f'"${variable}"')
                text = name.sub(word, text)
            return text

        return _PARTS.sub(renamed, text)

    def take(self, entry: Entry, later: list[str]) -> list[str]:
        """The lines that take, right after that of an entry, what later ones name and the engine called itself."""
        lines = []
        for made in entry.made if _MAKES.match(entry.line) else ():
            if _pattern(re.escape(made.name)).search(entry.head):
                box = shlex.quote(made.name)
            else:
                box = '"$(docker ps -lq)"'  # the one that was made last
                name = _pattern(f"{re.escape(made.name)}|{made.id[:12]}[0-9a-f]*")
                if variable := self._variable("container", name, later):
                    lines.append(f"{variable}={box}")
                    box = f'"${variable}"'
            for volume, place in made.volumes.items():
                if variable := self._variable("volume", _pattern(volume), later):
                    here = f"{{{{if eq .Destination {json.dumps(place, ensure_ascii=False)}}}}}{{{{.Name}}}}{{{{end}}}}"
                    found = shlex.quote(f"{{{{range .Mounts}}}}{here}{{{{end}}}}")
                    lines.append(f"{variable}=$(docker inspect --format {found} {box})")
        return lines

    def _variable(self, kind: str, name: re.Pattern[str], later: list[str]) -> str | None:
        """A new one, where a later line has that name; a volume that a further container mounts has its own by then."""
        if name in self._variables or not any(map(name.search, later)):
            return None
        number = 1 + sum(each.startswith(kind) for each in self._variables.values())
        return self._variables.setdefault(name, f"{kind}_{number}")


def _pattern(names: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-])(?:{names})(?![\w.-])")
