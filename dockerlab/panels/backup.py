"""The panel of lesson 07: a backup is made, damaged, verified, restored and rehearsed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import ipywidgets
import pandas as pd

from ..backup import back_up, rehearse, restore, verify
from ..backup.archive import Archive
from ..backup.rehearsal import Rehearsal
from ..backup.restoring import Restored
from ..backup.results import Result
from ..backup.saving import Backup as Saved
from ..describe import bytes_in_words
from ..errors import CommandError
from ..lab import Lab
from ..mounts import Bind, Volume
from .base import Panel, action
from .choice import Choice
from .look import side_by_side, table

__all__ = ["Backup"]

Outcome = TypeVar("Outcome", bound=Result)
LETTERS = "panel-letters"
MEGABYTES = 8
SHOWN = 8
FILL = (
    "mkdir -p /data/1999 && echo Dear Ana > /data/1999/first && echo Dear Bob > /data/1999/second"
    " && head -c BYTES /dev/urandom > /data/photo && ln -s photo /data/latest"
)


class Backup(Panel):
    """Back a volume up, look into the archive, damage it, verify it, restore it into a copy, and rehearse that.

    Archives go into `folder`, by default where the notebook is, and stay there until `start_over()` removes those that
    the panel made. `archive` is the last one. What takes long can be cancelled, and leaves nothing half done.

        panel = panels.Backup(lab)
        panel.make(); panel.back_up("panel-letters")
    """

    title = "Backup and restore"
    lead = "A backup that was never restored is a hope. Make one, try to ruin it, and get the data back."
    story = (
        ("A volume", ("make",)),
        ("Back it up", ("back_up", "look_inside")),
        ("Is it whole?", ("verify", "damage", "mend")),
        ("Get it back", ("restore_copy", "rehearse")),
        ("How fast?", ("compare",)),
    )

    def __init__(self, lab: Lab, *, folder: str | Path = ".") -> None:
        self.folder = Path(folder).expanduser().resolve()
        #: The archive that the buttons mean: the last backup.
        self.archive: Path | None = None
        #: What the last action came to: a backup, an archive, a restored volume, a rehearsal.
        self.result: Result | None = None
        #: The standard command and the fast way side by side, once `compare()` was called.
        self.comparison: pd.DataFrame | None = None
        self._choice = Choice("Volume")
        self._contents: pd.DataFrame | None = None
        self._files: set[Path] = set()
        self._volumes: set[str] = set()
        super().__init__(lab)

    @action("Make one with letters")
    def make(self, megabytes: int = MEGABYTES) -> None:
        """Make a volume `panel-letters` with a few files and that many megabytes of noise."""
        words = ["sh", "-c", FILL.replace("BYTES", str(megabytes * 1_000_000))]
        self._volumes.add(LETTERS)
        self._lab.run("alpine", words, mounts=[Volume(LETTERS, "/data")], detach=False, remove=True)
        self._choose = LETTERS

    @action("Back up")
    def back_up(self, volume: str | None = None) -> Saved:
        """Back the volume up into a plain `.tar.gz` of its name, and a `.sha256` beside it."""
        name = volume or self._choice.value
        path = self.folder / f"{name}.tar.gz"
        is_new = not path.exists()
        saved = back_up(self._lab, name, path, progress=self._meter(f"Backing up {name}"))
        self.archive, self._contents = path, None
        _kept(path).unlink(missing_ok=True)
        self._files |= {path, _seal(path)} if is_new else set()
        return self._came_to(saved, saved.line)

    @action("Look inside")
    def look_inside(self) -> pd.DataFrame:
        """Read the archive, which needs no engine, and return its entries."""
        archive = verify(self._there_is(), progress=self._meter("Reading the archive"))
        frame = archive.frame()
        self._note(f"tar tvzf {archive.path.name}")
        self._contents = frame
        self.result = archive
        return frame

    @action("Verify")
    def verify(self) -> Archive:
        """Read the archive to its end: its digest, gzip's checksum, the tar; `BackupError` where it is not whole."""
        archive = self._there_is()
        self._note(f"sha256sum -c {_seal(archive).name} && gzip -t {archive.name} && tar tzf {archive.name}")
        return self._came_to(verify(archive, progress=self._meter("Verifying")))

    @action("Damage it")
    def damage(self) -> None:
        """Flip one bit in the middle of the archive; a copy is kept, for `mend()`."""
        archive = self._there_is()
        kept = _kept(archive)
        if kept.exists():
            self._note(f"{archive.name} is damaged already")  # the same bit once more, and it would be whole
            return
        shutil.copy2(archive, kept)
        self._files.add(kept)
        middle = archive.stat().st_size // 2
        with archive.open("r+b") as file:
            file.seek(middle)
            byte = file.read(1)[0]
            file.seek(middle)
            file.write(bytes([byte ^ 1]))
        self.result = None
        self._note(
            f"one bit of {archive.name} is flipped, at byte {middle:,}: what do verify, restore and rehearse say?"
        )

    @action("Undo the damage")
    def mend(self) -> None:
        """Put the archive back as it was."""
        archive = self._there_is()
        if not _kept(archive).exists():
            raise CommandError("There is no damage to undo.", f"{archive.name} is as it was made.", "Damage it first.")
        _kept(archive).replace(archive)
        self._note(f"{archive.name} is as it was made")

    @action("Restore a copy")
    def restore_copy(self) -> Restored:
        """Restore the archive into a new volume, and compare the two."""
        archive = self._there_is()
        copy = self._free(f"{archive.name.removesuffix('.tar.gz')}-copy")
        restored = restore(self._lab, archive, copy, progress=self._meter(f"Restoring into {copy}"))
        self._volumes.add(copy)
        return self._came_to(restored, restored.line)

    @action("Rehearse")
    def rehearse(self) -> Rehearsal:
        """Restore into a volume that is there for that only, compare, and remove it: whether the backup is good."""
        return self._came_to(rehearse(self._lab, self._there_is(), progress=self._meter("Rehearsing")))

    @action("Compare with docker run … tar")
    def compare(self, volume: str | None = None) -> pd.DataFrame:
        """Back the volume up twice, by the standard command and by `back_up`: seconds and bytes side by side."""
        name = volume or self._choice.value
        by_tar, ours = (self.folder / f".{name}-{way}.tar.gz" for way in ("tar", "fast"))
        try:
            self._advance("docker run … tar czf", 0, 2)
            mounts = [Volume(name, "/source", read_only=True), Bind(str(self.folder), "/backup")]
            words = ["tar", "czf", f"/backup/{by_tar.name}", "-C", "/source", "."]
            begun = time.perf_counter()
            output = self._lab.run("alpine", words, mounts=mounts, detach=False, remove=True)
            seconds = time.perf_counter() - begun
            if output.exit_code or not by_tar.exists():
                raise CommandError(
                    "The standard command wrote no archive here.", str(output), "Is the engine elsewhere?"
                )
            self._advance("back_up", 1, 2)
            saved = back_up(self._lab, name, ours, progress=self._meter(f"Backing up {name}"))
            rows = [
                ("docker run … tar czf", round(seconds, 2), by_tar.stat().st_size, "none"),
                ("back_up", round(saved.seconds, 2), saved.bytes_after, "digest, on disk, in use or not"),
            ]
        finally:
            for path in (by_tar, ours, _seal(ours)):
                path.unlink(missing_ok=True)
        self.comparison = found = pd.DataFrame(rows, columns=["way", "seconds", "bytes", "checks"])
        return found

    @action("Start over")
    def start_over(self) -> None:
        """Remove the volumes and the archives that the panel made."""
        self._remove_volumes(*self._volumes)
        for path in self._files:
            path.unlink(missing_ok=True)
        self._volumes.clear()
        self._files.clear()
        self.archive = self.result = self._contents = self.comparison = None
        self._done.clear()

    # What it adds to the base

    _choose = ""

    def _inputs(self) -> Mapping[str, ipywidgets.Widget]:
        return {"Back it up": self._choice.ui}

    def _more(self) -> Sequence[ipywidgets.Widget]:
        self._shown = ipywidgets.HTML()
        return (self._shown,)

    def _show_more(self) -> None:
        self._choice.offer({volume.shown_name: volume.name for volume in self.snapshot.volumes})
        if self._choose and self._choice.choose(self._choose):
            self._choose = ""
        parts = []
        if self.result is not None:
            facts = pd.Series(dict(self.result.rows())).to_frame()
            parts.append(table(facts, "The last result", index=True, header=False))
        if self._contents is not None:
            frame = self._contents[["name", "kind", "mode", "owner", "size"]]
            frame = frame.assign(size=frame["size"].map(bytes_in_words))
            title = f"In the archive: {len(frame):,} entries" + (f", the first {SHOWN}" if len(frame) > SHOWN else "")
            parts.append(table(frame.head(SHOWN), title))
        if self.comparison is not None:
            parts.append(
                table(self.comparison.assign(bytes=self.comparison["bytes"].map(bytes_in_words)), "Side by side")
            )
        self._shown.value = side_by_side(parts)

    def _more_words(self) -> Sequence[str]:
        return [str(found) for found in (self.result, self._contents, self.comparison) if found is not None]

    def _came_to(self, result: Outcome, line: str = "") -> Outcome:
        """Show what an action came to, and the command that does much the same."""
        if line:
            self._note(f"much like {line}")
        self.result = result
        return result

    def _meter(self, words: str) -> Callable[[int, int | None], None]:
        return lambda done, total: self._advance(words, done, total)

    def _there_is(self) -> Path:
        if self.archive is None:
            raise CommandError("There is no backup yet.", "", "Choose a volume and back it up first.")
        return self.archive

    def _free(self, name: str) -> str:
        taken, number = {volume.name for volume in self.refresh().volumes}, 1
        while (free := name if number == 1 else f"{name}-{number}") in taken:
            number += 1
        return free


def _seal(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.whole")
