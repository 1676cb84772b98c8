"""How fast a container writes to its layer, a volume, a bind mount and memory: measured on the engine, and plotted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .draw.palette import Theme
from .draw.ranges import Range, draw_ranges
from .errors import CommandError
from .experiments import STORES, Folder, discard, refuse_taken
from .lab import Lab
from .mounts import Bind, Tmpfs, Volume
from .pictures import Drawing

__all__ = ["Speeds", "write_speeds"]

PROGRAM = Path(__file__).with_suffix(".js")
MEGABYTES = 32  # of a sequential write, in MiB
PATIENCE = 100  # milliseconds of small writes
KINDS = {
    "sequential": f"sequential: {MEGABYTES} MiB, then one fsync",
    "fsync": "fsync: after each 8 KiB, as a database commits",
}
COLOURS = {"writable layer": "layer", "named volume": "volume", "bind mount": "bind", "tmpfs": "tmpfs"}


@dataclass(frozen=True, eq=False)
class Speeds(Drawing):
    """Write speeds as they were measured, shown as a plot: a dot for the median, a line from slowest to fastest.

    `trials` has a row for each: `kind` (sequential or fsync), `store`, `MB/s` (10⁶ bytes a second).
    """

    trials: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """By kind and store: `median`, `slowest` and `fastest`, in MB/s."""
        grouped = self.trials.groupby(["kind", "store"], sort=False)["MB/s"]
        return grouped.agg(["median", "min", "max"]).set_axis(["median", "slowest", "fastest"], axis=1)

    def svg(self, theme: Theme | None = "light") -> str:
        """The plot as SVG; its axis is logarithmic, since memory may be a thousand times as fast as a disk."""
        ranges = [
            Range(KINDS[kind], store, COLOURS[store], slowest, median, fastest)
            for (kind, store), median, slowest, fastest in self.summary.itertuples()
        ]
        return draw_ranges("Write speed in one container", ranges, "MB/s", theme)

    def __repr__(self) -> str:
        return f"Write speed in one container, MB/s\n{self.summary.round(1)}"


def write_speeds(lab: Lab, *, name: str = "speeds", rounds: int = 5) -> Speeds:
    """Measure how fast a container writes to its writable layer, a named volume, a bind mount and a tmpfs.

    Each round writes to all four, in turn: a long file with one fsync at its end, and 8 KiB after 8 KiB with an fsync
    after each. It takes a few seconds; each file is deleted at once, and the container, the volume and the folder with
    the program that measures go too. Raises `InUseError` where the name is taken, `CommandError` where the container
    fails, as it does with an engine that does not see this machine's folders.
    """
    refuse_taken(lab, name)
    places = {STORES[store]: store for store in COLOURS}
    with Folder(f"{name}-") as folder:
        Path(folder, PROGRAM.name).write_bytes(PROGRAM.read_bytes())
        _, volume, bind, memory = places
        mounts = [Volume(name, volume), Bind(folder, bind), Tmpfs(memory)]
        program = ["node", f"{bind}/{PROGRAM.name}", *map(str, (rounds, MEGABYTES, PATIENCE)), *places]
        try:
            told = lab.run("node:20-alpine", program, name=name, mounts=mounts, detach=False, remove=True)
        finally:
            discard(lab, name, [name])
    if told.exit_code:
        raise CommandError("The speeds could not be measured.", f"The container said: {told.text.strip()[-300:]}")
    rows = [
        (kind, places[path], size / 1000 / milliseconds)
        for kind, path, size, milliseconds in map(json.loads, told.text.splitlines())
    ]
    return Speeds(pd.DataFrame(rows, columns=["kind", "store", "MB/s"]))
