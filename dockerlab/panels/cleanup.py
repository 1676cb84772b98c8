"""The panel of lesson 08: which volumes there are, who uses them, and what each way of removing them would take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape

import ipywidgets
import pandas as pd

from ..belongings import shown
from ..checks import Evidence
from ..commands import InspectVolume, Output
from ..describe import bytes_in_words
from ..errors import CommandError
from ..lab import Lab
from ..mounts import Anonymous, Volume
from ..prune import Plan, prunes_named
from ..storage import Snapshot
from ..storage import Volume as Stored
from .base import Panel, action
from .choice import Choice
from .look import table

__all__ = ["Cleanup", "verdicts"]

SHOP, OLD_SHOP = "shop", "old-shop"
# Names that a lesson or a learner is not likely to have given: start_over() removes what has them.
ORDERS, ARCHIVE, DRAFTS = "shop-orders", "shop-archive", "shop-drafts"
DAY_SECONDS = 24 * 60 * 60
ROWS = 40  # of the table


def verdicts(snapshot: Snapshot, api_version: str) -> pd.DataFrame:
    """What each way of removing would do to each volume on an engine of that API, by the volume's name.

    It only looks at the snapshot: nothing is asked of the engine, and nothing removed.
    """
    return pd.DataFrame(
        {
            "docker volume rm": [_by_rm(volume) for volume in snapshot.volumes],
            "docker volume prune": [_by_prune(volume, prunes_named(api_version)) for volume in snapshot.volumes],
            "docker volume prune --all": [_by_prune(volume, True) for volume in snapshot.volumes],
        },
        index=pd.Index([volume.name for volume in snapshot.volumes], name="volume"),
    )


def _by_rm(volume: Stored) -> str:
    return f"refused: {volume.users[0]} uses it" if volume.users else "goes"


def _by_prune(volume: Stored, named_too: bool) -> str:
    if volume.users:
        return "stays: in use"
    return "goes" if volume.anonymous or named_too else "stays: it has a name"


def _size(volume: Stored) -> str:
    return "" if volume.size is None else bytes_in_words(volume.size).replace(" ", "\N{NO-BREAK SPACE}")


class Cleanup(Panel):
    """Volumes that are used and unused, named and anonymous, and what `rm`, `prune` and `prune --all` would take.

    Nothing goes before the panel has said what would: a prune is planned, looked at, and applied. `plan` is the last
    one. `make()` makes something to clean up, `start_over()` removes just that.

        panel = panels.Cleanup(lab)
        panel.make()
        panel.plan_prune(); panel.apply()
    """

    title = "Cleaning up"
    lead = "Unused volumes pile up. See what each command would take, before it does."
    story = (
        ("Something to clean up", ("make",)),
        ("The chosen volume", ("look_inside", "remove")),
        ("All unused ones", ("plan_prune", "plan_prune_all", "apply")),
    )
    aside = ("measure", "start_over")

    def __init__(self, lab: Lab) -> None:
        #: What the last planned prune would remove, until it is applied.
        self.plan: Plan | None = None
        self._choice = Choice("Volume")
        self._makers: dict[str, str] = {}
        self._made: set[str] = set()
        super().__init__(lab)

    @property
    def verdicts(self) -> pd.DataFrame:
        """What `rm`, `prune` and `prune --all` would do to each volume now."""
        return verdicts(self.snapshot, self.lab.engine.api_version)

    @action("Make some volumes")
    def make(self) -> None:
        """Make four: used by a container that runs, by one that is stopped, unused, and the orphan of a removed one."""
        lab = self._lab
        lab.run("alpine", "sleep infinity", name=SHOP, mounts=[Volume(ORDERS, "/orders")])
        lab.exec(SHOP, "echo one lamp > /orders/today")
        lab.run("alpine", "sleep infinity", name=OLD_SHOP, mounts=[Volume(ARCHIVE, "/archive"), Anonymous("/basket")])
        lab.exec(OLD_SHOP, "echo 1999 > /archive/year; echo a unicycle > /basket/item")
        orphans = {each["Name"] for each in lab.container(OLD_SHOP).attrs["Mounts"] if each["Destination"] == "/basket"}
        self._made |= orphans
        self._makers |= dict.fromkeys(orphans, f"{OLD_SHOP} (alpine), removed since")
        lab.remove(OLD_SHOP, force=True)
        lab.run("alpine", "true", name=OLD_SHOP, mounts=[Volume(ARCHIVE, "/archive")], detach=False)
        lab.create_volume(DRAFTS)

    @action("Look inside")
    def look_inside(self, volume: str | None = None) -> Output:
        """List what is in a volume, by a container that may only read it; and who made it, if it has no name."""
        name = volume or self._choice.value
        if any(each.name == name and each.anonymous for each in self.snapshot.volumes):
            self._note(f"{shown(name)} was made for {self._maker(name)}")
        look = Volume(name, "/look", read_only=True)
        self._lab.do(InspectVolume(name), quietly=True)  # a name that is not there would be made
        output: Output = self._lab.run("alpine", "ls -lA /look", mounts=[look], detach=False, remove=True)
        self._tell(output)
        return output

    @action("Remove it")
    def remove(self, volume: str | None = None) -> None:
        """Remove one volume, for good; refused while a container uses it, a stopped one too."""
        self._lab.remove_volume(volume or self._choice.value)

    @action("Plan a prune")
    def plan_prune(self) -> Plan:
        """Say what `docker volume prune` would remove on this engine; nothing is removed."""
        return self._plan(all=False)

    @action("Plan a prune --all")
    def plan_prune_all(self) -> Plan:
        """The same for `docker volume prune --all`."""
        return self._plan(all=True)

    @action("Remove what is planned")
    def apply(self) -> list[str]:
        """Remove what the last plan lists, for good, and return the names that went."""
        if self.plan is None:
            raise CommandError("Nothing is planned.", "", "Plan a prune first, and look at what it would take.")
        gone = self.plan.apply()
        self._note(f"{len(gone)} removed, for good" if gone else "nothing was removed")
        self.plan = None
        return gone

    @action("Measure sizes")
    def measure(self) -> None:
        """Measure all volumes, which takes the engine as long as `docker system df`."""
        self._note("docker system df -v")
        self._sizes = True

    @action("Start over")
    def start_over(self) -> None:
        """Remove what `make()` made."""
        self._remove(SHOP, OLD_SHOP)
        self._remove_volumes(ORDERS, ARCHIVE, DRAFTS, *self._made)
        self.plan = None
        self._made.clear()
        self._done.clear()

    # What it adds to the base

    def _next(self) -> str:
        following = super()._next()
        return "look_inside" if following == "make" and self.snapshot.volumes else following

    def _inputs(self) -> Mapping[str, ipywidgets.Widget]:
        return {"The chosen volume": self._choice.ui}

    def _more(self) -> Sequence[ipywidgets.Widget]:
        self._table, self._planned = ipywidgets.HTML(), ipywidgets.HTML()
        return self._table, self._planned

    def _show_more(self) -> None:
        self._choice.offer({volume.shown_name: volume.name for volume in self.snapshot.volumes})
        volumes = self.snapshot.volumes[:ROWS]
        self._planned.value = self._plan_html()
        if not volumes:
            self._table.value = ""
            return
        facts = pd.DataFrame(
            {
                "volume": [volume.shown_name for volume in volumes],
                "kind": ["anonymous" if volume.anonymous else "named" for volume in volumes],
                "used by": [", ".join(volume.users) or "nobody" for volume in volumes],
            }
        )
        if any(volume.size is not None for volume in volumes):
            facts["size"] = [_size(volume) for volume in volumes]
        ways = self.verdicts.head(ROWS).reset_index(drop=True).map(lambda told: f"✕ {told}" if told == "goes" else told)
        ways.columns = [str(way).removeprefix("docker volume ") for way in ways]
        caption = f"What would docker volume … do, on Engine {self.lab.engine.version.partition('+')[0]}?"
        rest = len(self.snapshot.volumes) - len(volumes)
        self._table.value = table(pd.concat([facts, ways], axis=1), caption) + (f"and {rest:,} more" if rest else "")

    def _more_words(self) -> Sequence[str]:
        return [str(self.verdicts.rename(index=lambda name: name[:20])), *([str(self.plan)] if self.plan else [])]

    def _plan_html(self) -> str:
        if self.plan is None:
            return ""
        names = [shown(name) for name in self.plan.removes["name"]]
        what = f"It would remove {', '.join(names)}. Nothing is removed yet." if names else "It would remove nothing."
        return f'<div class="dl-plan"><p><b>{escape(what)}</b></p><p>{escape(self.plan.note)}</p></div>'

    def _plan(self, *, all: bool) -> Plan:
        self._note(f"docker volume prune{' --all' * all}, but only planned")
        self.plan = self._lab.plan_prune(all=all)
        return self.plan

    def _maker(self, volume: str) -> str:
        """The container that an anonymous volume was made for, as far as anyone remembers."""
        using = next((each for each in self.snapshot.containers if any(m.source == volume for m in each.mounts)), None)
        if using:
            return f"{using.name} ({using.image.name}), which uses it"
        if volume not in self._makers:
            # What the engine still remembers of its last events.
            removed = Evidence(self.lab.engine, self.lab.belongings, time.time() - DAY_SECONDS).removed
            for each in removed:
                self._makers |= dict.fromkeys(each["volumes"], f"{each['name']} ({each['image']}), removed since")
        return self._makers.get(volume, "a container that nobody remembers")
