"""The panel of lesson 03: a database outlives its container, step by step, with the proof."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import ipywidgets
import pandas as pd

from ..errors import CommandError
from ..lab import Lab
from ..postgres import Postgres
from .base import Panel, action
from .look import side_by_side, table

__all__ = ["Persistence"]

USERS = """CREATE TABLE IF NOT EXISTS users (id SERIAL PRIMARY KEY, name VARCHAR(100));
INSERT INTO users (name) VALUES ('Alice'), ('Bob'), ('Charlie');"""
ROWS = "SELECT * FROM users ORDER BY id"
STEPS = {
    "start": "server",
    "insert": "rows",
    "destroy": "destroyed",
    "start_again": "new server",
    "prove": "proof",
}


class Persistence(Panel):
    """A Postgres server on a volume, destroyed, and another one on the same volume: are the rows there?

    The servers are `first` and `second`, on `volume`; `before` and `after` are the rows, `proof` the record of both.
    `drill()` does all steps. `start_over()` removes the servers and the volume.

        panel = panels.Persistence(lab)
        panel.drill()
    """

    title = "The persistence proof"
    lead = "A database on a volume. Its container is destroyed, on purpose. What does a new one find?"
    story = (
        ("Before", ("start", "insert")),
        ("Destroy it", ("destroy",)),
        ("After", ("start_again", "prove")),
    )
    aside = ("drill", "start_over")

    server: Postgres | None
    before: pd.DataFrame | None
    after: pd.DataFrame | None
    proof: pd.DataFrame | None
    #: How many seconds each step took.
    seconds: dict[str, float]
    _was: str

    def __init__(
        self, lab: Lab, *, first: str = "first-db", second: str = "second-db", volume: str = "drill-data"
    ) -> None:
        self.first, self.second, self.volume = first, second, volume
        self._login: dict[str, Any] = {"user": "admin", "password": "secret", "database": "testdb"}
        self._forget()
        super().__init__(lab)

    @action("Start a server")
    def start(self) -> Postgres:
        """Start a server on the volume and wait until it lets us in."""
        with self._timed("start"):
            self.server = server = Postgres(self._lab, self.first, volume=self.volume, **self._login)
            self._was = str(server.container.short_id)
        return self._running()

    @action("Insert three users")
    def insert(self) -> pd.DataFrame:
        """Insert Alice, Bob and Charlie, and return the rows."""
        with self._timed("insert"):
            self._sql(USERS)
            self.before = rows = self._sql(ROWS)
        return rows

    @action("Stop and remove the server")
    def destroy(self) -> None:
        """Shut the server down and remove its container, writable layer and all; the volume stays."""
        with self._timed("destroy"):
            self._running().remove()
            self.server = None

    @action("Start a new server")
    def start_again(self) -> Postgres:
        """Start another server on the same volume."""
        with self._timed("start_again"):
            self.server = Postgres(self._lab, self.second, volume=self.volume, **self._login)
        return self._running()

    @action("Compare the rows")
    def prove(self) -> pd.DataFrame:
        """Read the rows again; returns the record of both containers, and raises where it proves nothing."""
        with self._timed("prove"):
            server = self._running()
            self.after = after = self._sql(ROWS)
            now = str(server.container.short_id)
            if self.before is None or now == self._was:
                raise CommandError(
                    "There is nothing to compare yet.",
                    "It takes rows that one server wrote, and another server.",
                    "Start a server, insert, stop and remove it, start a new one: then compare.",
                )
            same = self.before.equals(after)
            facts = [(self._was, self.volume, len(self.before)), (now, server.volume, len(after))]
            self.proof = proof = pd.DataFrame(facts, ["before", "after"], ["container", "volume", "rows"])
            self._note("another container, the same volume, equal rows" if same else "the rows differ")
        return proof

    @action("Run the whole drill")
    def drill(self) -> pd.DataFrame:
        """Do all steps from the beginning, and return the record."""
        self.start_over()
        for number, (step, name) in enumerate(STEPS.items()):
            self._advance(name, number, len(STEPS))
            getattr(self, step)()
        assert self.proof is not None
        return self.proof

    @action("Start over")
    def start_over(self) -> None:
        """Remove the servers and the volume, with the rows in it."""
        if self.server:
            self.server.close()
        self._remove(self.first, self.second)
        self._remove_volumes(self.volume)
        self._forget()
        self._done.clear()

    def close(self) -> None:
        """End it as every panel; its connections to the server are closed."""
        super().close()
        if self.server:
            self.server.close()

    # What it adds to the base

    def _more(self) -> Sequence[ipywidgets.Widget]:
        self._timeline, self._tables = ipywidgets.HTML(), ipywidgets.HTML()
        return self._timeline, self._tables

    def _show_more(self) -> None:
        self._timeline.value = self._line_of_steps()
        shown = [
            (self.before, "Rows before", False),
            (self.after, "Rows after", False),
            (self.proof, "The proof", True),
        ]
        tables = [table(frame, caption, index=index) for frame, caption, index in shown if frame is not None]
        self._tables.value = side_by_side(tables)

    def _more_words(self) -> Sequence[str]:
        return [str(frame) for frame in (self.before, self.after, self.proof) if frame is not None]

    def _line_of_steps(self) -> str:
        items = []
        for step, name in STEPS.items():
            took = self.seconds.get(step)
            done = f"{took:.1f} s" if took is not None else "to come"
            mark, style = ("●", "dl-done") if took is not None else ("○", "dl-to-come")
            items.append(
                f'<li class="{style}"><i aria-hidden="true">{mark}</i> <b>{escape(name)}</b> <span>{done}</span></li>'
            )
        return f'<ol class="dl-timeline" aria-label="Steps">{"".join(items)}</ol>'

    def _forget(self) -> None:
        self.server, self.before, self.after, self.proof = None, None, None, None
        self.seconds, self._was = {}, ""

    @contextlib.contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - begun

    def _running(self) -> Postgres:
        if self.server is None:
            raise CommandError("There is no server.", "Nothing was started yet, or it was removed.", "Start one first.")
        return self.server

    def _sql(self, query: str) -> pd.DataFrame:
        found = self._running().sql(query)
        # SQL is recorded by the lab, and not said.
        self._say(str(self.lab.journal["command"].iloc[-1]))
        return found
