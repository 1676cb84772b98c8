"""The panel of lessons 02, 04, 05 and 06: five places for data in one container, side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

import ipywidgets
import pandas as pd

from ..errors import CommandError, NotFoundError
from ..experiments import (
    STORES,
    Folder,
    five_stores,
    mounts,
    notes,
    outcome,
    refuse_overwriting,
    there_and_back,
    write_notes,
)
from ..lab import Lab
from ..mounts import Anonymous, Bind, Mount, Tmpfs, Volume
from .base import Panel, action
from .look import table

__all__ = ["Mounts"]

MARKS = {"kept": "✓ kept", "lost": "✕ lost", "": "·"}
COLUMNS = 6  # of the table: the latest
ROUNDS = 5
WHY_NOT = {
    "writable layer": "no: only docker cp gets in",
    "anonymous volume": "no: the engine's own folder",
    "named volume": "no: the engine's own folder",
    "tmpfs": "no: its container's memory",
}


class Mounts(Panel):
    """One container with a volume, a bind mount, memory, an anonymous volume and its layer: what is kept, what is lost?

    The container is called `name`, the volume `volume`; `folder` is the bind mount's, by default a new one beside the
    notebook that goes with the panel; `InUseError` is raised where yours has a `note` already. `table` is what was
    found so far. `start_over()` removes all of it.

        panel = panels.Mounts(lab)
        panel.run(); panel.write(); panel.remove_and_recreate()
        panel.table
    """

    title = "Five places for data"
    lead = "One container, five stores. Write a note into each, and see which of them still have it afterwards."
    story = (
        ("A container", ("run",)),
        ("Write", ("write", "write_from_host")),
        ("What survives", ("stop_and_start", "remove_and_recreate")),
        ("Look closer", ("measure", "fill_from_image", "five_stores")),
    )

    def __init__(
        self, lab: Lab, *, name: str = "mounts-box", volume: str = "mounts-data", folder: str | Path | None = None
    ) -> None:
        if folder is not None:
            refuse_overwriting(Path(folder, "note"))
        self.name, self.volume = name, volume
        self._given, self._own = folder, None if folder else Folder("my-")
        self._columns: list[tuple[str, list[str]]] = []
        #: The DataFrame of `five_stores()`, once it was run.
        self.experiment: pd.DataFrame | None = None
        self._orphans: set[str] = set()
        super().__init__(lab)

    @property
    def folder(self) -> Path:
        """The folder of the bind mount, on this machine."""
        return Path(self._own.name if self._own else str(self._given)).resolve()

    @property
    def table(self) -> pd.DataFrame:
        """What was found in each store, a column for each action."""
        columns = {f"{number}. {title}": cells for number, (title, cells) in enumerate(self._columns, start=1)}
        return pd.DataFrame(columns, index=pd.Index(STORES, name="store"))

    @action("Run a container with all five")
    def run(self) -> None:
        """Run a container on all five stores."""
        self._lab.run("alpine", "sleep infinity", name=self.name, mounts=mounts(self.volume, str(self.folder)))

    @action("Write from the container")
    def write(self, text: str = "hello") -> None:
        """Write a note into each store, from inside the container."""
        write_notes(self._lab, self.name, text)
        found = notes(self._lab, self.name)
        self._column("written inside", ["written" if store in found else "" for store in STORES])

    @action("Write from the host")
    def write_from_host(self, text: str = "from the host") -> None:
        """Write the bind mount's note from this machine, and say why the other stores have no such way in."""
        self._lab.container(self.name)
        token = f"{text} {token_hex(2)}"
        note = self.folder / "note"
        note.unlink(missing_ok=True)  # the container's root may have written it, who lets nobody else write to it
        note.write_text(f"{token}\n")
        self._note(f"written here, by this notebook: {note}")
        seen = self._exec(self.name, f"cat {STORES['bind mount']}/note")
        here = "written, and seen inside" if seen.text.strip() == token else "no: the engine is on another machine"
        self._column("written on the host", [WHY_NOT.get(store, here) for store in STORES])

    @action("Stop and start")
    def stop_and_start(self) -> pd.Series:
        """Stop the container and start it again; returns what was kept and what was lost."""
        before = notes(self._lab, self.name)
        self._lab.stop(self.name, 1)
        self._lab.start(self.name)
        return self._compare("stop and start", before)

    @action("Remove and recreate")
    def remove_and_recreate(self) -> pd.Series:
        """Remove the container and run a new one of the same mounts; returns as above. The orphan is left: see it."""
        before = notes(self._lab, self.name)
        self._remember_orphan()
        self._lab.remove(self.name, force=True)
        self.run()
        return self._compare("rm and recreate", before)

    @action("Time an edit")
    def measure(self) -> float:
        """Edit a file of the bind mount here and have the container answer: the milliseconds there and back.

        The median of five; both ways, since two machines' clocks could not be compared. The file changes at once; a
        program must still read it again.
        """
        target = STORES["bind mount"]
        if self._lab.container(self.name).status != "running":
            raise CommandError(f"{self.name} does not answer.", "It does not run.", "Start it, or start over.")
        self._note(f"a shell in {self.name} copies each edit that it sees in {target}, until {ROUNDS} are back")
        found = float(there_and_back(self._lab, self.name, target, self.folder, times=ROUNDS).median())
        self._note(f"an edit here, seen in the container, copied there, seen here: {found:.1f} ms (the median)")
        self._column("edit, there and back", [f"{found:.1f} ms" if "bind" in store else "" for store in STORES])
        return found

    @action("Fill from the image")
    def fill_from_image(self) -> pd.Series:
        """Mount each store, empty, over a folder of the image: which of them show the image's files?"""
        fresh = f"{self.volume}-fresh"
        with Folder("my-empty-") as empty:
            stores: dict[str, list[Mount]] = {
                "writable layer": [],
                "anonymous volume": [Anonymous("/var")],
                "named volume": [Volume(fresh, "/var")],
                "bind mount": [Bind(empty, "/var")],
                "tmpfs": [Tmpfs("/var")],
            }
            cells = []
            try:
                for number, (store, mount) in enumerate(stores.items()):
                    self._advance(f"an empty {store} over /var of the image", number, len(stores))
                    listed = self._lab.run("alpine", "ls /var", mounts=mount, detach=False, remove=True)
                    self._tell(listed)
                    cells.append("the image's files" if listed.text.split() else "empty: hides them")
            finally:
                self._remove_volumes(fresh)
        self._column("empty, over the image's /var", cells)
        return pd.Series(cells, index=pd.Index(STORES, name="store"))

    @action("All five, one after the other")
    def five_stores(self) -> pd.DataFrame:
        """Run the experiment on stores of its own, and return its DataFrame of kept and lost."""
        found = five_stores(self._lab, name=f"{self.name}-trial", report=self._advance)
        self.experiment = found
        return found

    @action("Start over")
    def start_over(self) -> None:
        """Remove the container, its volumes and what was written into the folder."""
        self._remember_orphan()
        self._remove(self.name)
        self._remove_volumes(self.volume, *self._orphans)
        with contextlib.suppress(OSError):
            (self.folder / "note").unlink()
        self._columns, self.experiment = [], None
        self._orphans.clear()
        self._done.clear()

    def close(self) -> None:
        """End it as every panel; a folder that it made goes too."""
        super().close()
        if self._own:
            self._own.cleanup()

    # What it adds to the base

    def _more(self) -> Sequence[ipywidgets.Widget]:
        self._table, self._trial = ipywidgets.HTML(), ipywidgets.HTML()
        return self._table, self._trial

    def _show_more(self) -> None:
        # By columns is for reading on a page: the latest few.
        frame = self.table.iloc[:, -COLUMNS:].map(lambda cell: MARKS.get(cell, cell))
        self._table.value = table(frame.reset_index(), "What was found") if len(frame.columns) else ""
        trial = self.experiment
        marked = None if trial is None else trial.map(lambda cell: MARKS.get(cell, cell)).reset_index()
        self._trial.value = "" if marked is None else table(marked, "The experiment: five stores of its own")

    def _more_words(self) -> Sequence[str]:
        return [str(frame) for frame in (self.table, self.experiment) if frame is not None and len(frame.columns)]

    def _column(self, title: str, cells: list[str]) -> None:
        with self._state:
            self._columns = [*self._columns, (title, cells)]
        self._dirty.set()

    def _compare(self, title: str, before: set[str]) -> pd.Series:
        cells = outcome(before, notes(self._lab, self.name))
        if not before:
            self._note("nothing was written, so nothing could be lost: write first")
        self._column(title, cells)
        return pd.Series(cells, index=pd.Index(STORES, name="store"), name=title)

    def _remember_orphan(self) -> None:
        with contextlib.suppress(NotFoundError):
            box = self._lab.container(self.name)
            target = STORES["anonymous volume"]
            self._orphans |= {each["Name"] for each in box.attrs["Mounts"] if each["Destination"] == target}
