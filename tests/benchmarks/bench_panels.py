"""Panels: from an engine's change to the picture in the widget that the page shows.

    python tests/benchmarks/bench_panels.py

On the engine that `Lab` finds, with what it made removed at the end:
- a change is in the picture at most 150 ms (95 of 100) after the engine's own event of it, and with 300 containers and
  1,000 volumes at most 1.5 times as long after it as with 10 of each;
- a burst of 2,000 events ends on the right picture within a second, with at most 20 renderings.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from typing import Any

from bench_picture import BURST, FEW, MANY_CONTAINERS, MANY_VOLUMES, arrivals

from dockerlab import Lab
from dockerlab.panels import WritableLayer

LATENESS, GROWTH, CATCHING_UP, RENDERINGS = 0.150, 1.5, 1.0, 20
ROUNDS = 40
PAUSE_SECONDS = 0.4  # between changes, so that each is one event and one rendering


class Eye:
    """When the picture of a panel changed, and to what."""

    def __init__(self, panel: WritableLayer) -> None:
        self._seen: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        panel._picture.observe(self._note, names="value")

    def _note(self, change: dict[str, Any]) -> None:
        with self._changed:
            self._seen.append((time.perf_counter(), change["new"]))
            self._changed.notify_all()

    def wait_for(self, words: str) -> float:
        """The moment at which those words were first in the picture."""
        with self._changed:
            there = self._changed.wait_for(lambda: any(words in picture for _, picture in self._seen), 60)
            assert there, f"{words} never came into the picture"
            return next(at for at, picture in self._seen if words in picture)


def lateness(lab: Lab, panel: WritableLayer, box_id: str) -> list[float]:
    """Of some changes, the seconds from the engine's event to the picture."""
    api, eye, late = lab.engine.client.api, Eye(panel), []
    with arrivals(lab) as came:
        for at in range(ROUNDS):
            name = f"late-{time.time_ns()}"
            came.clear()
            if at % 2:
                api.create_volume(name, labels=lab.belongings.labels)
                event = f"volume {name}"
            else:
                api.exec_start(api.exec_create(box_id, ["touch", f"/{name}"])["Id"])
                event = "container exec_die"
            found = eye.wait_for(name)
            while event not in came:  # the picture may be there before the event is noted here
                time.sleep(0.001)
            late.append(max(0.0, found - came[event]))
            if at % 2:
                api.remove_volume(name)
            else:
                api.exec_start(api.exec_create(box_id, ["rm", f"/{name}"])["Id"])
            time.sleep(PAUSE_SECONDS)
    return late


def recorded(lab: Lab) -> list[dict[str, Any]]:
    """The engine's own events of many volumes that were made and removed."""
    api, events = lab.engine.client.api, []
    stream = lab.engine.client.events(decode=True, filters={"type": "volume"})

    thread = threading.Thread(target=lambda: [events.append(event) for event in stream], daemon=True)
    thread.start()
    time.sleep(0.2)
    for at in range(BURST // 2):
        api.create_volume(f"burst-{at}", labels=lab.belongings.labels)
        api.remove_volume(f"burst-{at}")
    while len(events) < BURST:
        time.sleep(0.05)
    stream.close()
    thread.join(5)
    return events[:BURST]


def burst(lab: Lab, panel: WritableLayer, events: list[dict[str, Any]]) -> tuple[float, int]:
    """The seconds from many events at once, and a last change, to the picture that has it; and the renderings since."""
    eye, before = Eye(panel), panel.renders
    name = f"last-{time.time_ns()}"
    start = time.perf_counter()
    for event in events:
        panel._watcher._take(event)
    lab.engine.client.api.create_volume(name, labels=lab.belongings.labels)
    seconds = eye.wait_for(name) - start
    time.sleep(1)
    return seconds, panel.renders - before


def main() -> int:
    misses = []

    def report(what: str, value: float, limit: float, unit: str) -> None:
        print(f"{what}: {value:.3g} {unit} (limit {limit:g})")
        if value > limit:
            misses.append(what)

    with Lab("bench-panels", echo=None) as lab:
        lab.cleanup()
        api, labels = lab.engine.client.api, lab.belongings.labels
        writer = str(lab.run("alpine", "sleep 3600", name="bench-writer").id)
        events = recorded(lab)
        middles = []
        for containers, volumes in ((FEW, FEW), (MANY_CONTAINERS, MANY_VOLUMES)):
            for _ in range(containers - len(lab.claims.containers())):
                api.create_container("alpine", ["true"], labels=labels)
            for at in range(volumes):
                api.create_volume(f"{lab.name}-{at}", labels=labels)
            panel = WritableLayer(lab)
            late = [1000 * seconds for seconds in lateness(lab, panel, writer)]
            middles.append(statistics.median(late))
            said = f"{containers} containers, {volumes:,} volumes"
            print(f"{said}: event to picture {middles[-1]:.1f} ms (the median)")
            report(f"{said}: event to picture, 95 of 100", statistics.quantiles(late, n=20)[-1], 1000 * LATENESS, "ms")
            seconds, renderings = burst(lab, panel, events)
            report(f"{said}: the right picture after a burst of {BURST:,} events", seconds, CATCHING_UP, "s")
            report(f"{said}: renderings of that burst", renderings, RENDERINGS, "renderings")
            panel.close()
        report("event to picture with many against few", middles[1] / middles[0], GROWTH, "times")
    print("missed: " + ", ".join(misses) if misses else "all within their limits")
    return int(bool(misses))


if __name__ == "__main__":
    sys.exit(main())
