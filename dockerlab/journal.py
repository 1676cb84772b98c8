"""What was done in a sitting, and the same as a shell script."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

__all__ = ["Entry", "Journal"]


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


@dataclass
class Journal:
    """The entries of a sitting, in order."""

    entries: list[Entry] = field(default_factory=list)

    def record(self, line: str, shown: str, seconds: float, outcome: str = "done") -> None:
        """Add what was just run."""
        self.entries.append(Entry(line, shown, datetime.now().astimezone(), seconds, outcome))

    def frame(self) -> pd.DataFrame:
        """A DataFrame: `at`, `seconds`, `command` (secrets starred out), `outcome` (`done`, or what failed)."""
        rows = [(entry.at, round(entry.seconds, 3), entry.shown, entry.outcome) for entry in self.entries]
        return pd.DataFrame(rows, columns=["at", "seconds", "command", "outcome"])

    def script(self, heading: str) -> str:
        """A POSIX shell script of the lines that worked; the ones that were refused are comments.

        Lines are as they were typed, passwords included, since without them the script could not run.
        """
        body = []
        for entry in self.entries:
            if entry.outcome == "done":
                body.append(entry.line)
            elif entry.outcome.startswith("exit status"):
                # `set -e` would end the script where the sitting went on.
                body.append(f"{{\n{entry.line}\n}} || true  # {entry.outcome}")
            else:
                body.append(f"# refused ({entry.outcome}): {entry.shown}".replace("\n", " "))
        return "\n".join(["#!/bin/sh", f"# {heading}", "set -eu", *body, ""])
