"""The storage picture: drawing, and from an engine's change to the snapshot that has it.

    python tests/benchmarks/bench_picture.py

On the engine that `Lab` finds, with what it made removed at the end:
- a picture of 12 objects is drawn in at most 10 ms;
- a change is in the snapshot at most 150 ms (95 of 100) after the engine's own event of it, and with 300 containers and
  1,000 volumes at most 1.5 times as long after it as with 10 containers;
- an event costs the same number of engine calls with either;
- after a burst of 2,000 events the snapshot is right within a second.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from snapshots import SNAPSHOTS, bind, box, memory, on, snap, volume

from dockerlab import Lab
from dockerlab.draw import draw
from dockerlab.storage import Snapshot
from dockerlab.watcher import Watcher

DRAWING, LATENESS, GROWTH, CATCHING_UP = 0.010, 0.150, 1.5, 1.0  # seconds, but for the ratio
ROUNDS = 40
FEW, MANY_CONTAINERS, MANY_VOLUMES, BURST = 10, 300, 1000, 2000


def twelve_objects() -> Snapshot:
    """Six containers and six stores, each of the containers with a mount and files."""
    mounts = [
        on("v0", "/data"),
        on("v1", "/data"),
        on("v0", "/data"),
        bind("/srv", "/app"),
        memory("/tmp"),
        on("v2", "/x"),
    ]
    boxes = [box(f"box-{at}", files="A/a|C/etc/passwd|D/etc/motd", mounts=[mount]) for at, mount in enumerate(mounts)]
    return snap(boxes, [volume(f"v{at}") for at in range(4)])


def drawing_seconds(snapshot: Snapshot, previous: Snapshot | None = None) -> float:
    """The middle of some drawings of one snapshot, in this process's own time."""
    times = []
    for _ in range(30):
        start = time.process_time()
        draw(snapshot, previous)
        times.append(time.process_time() - start)
    return statistics.median(times)


@contextmanager
def arrivals(lab: Lab) -> Iterator[dict[str, float]]:
    """When the engine's own events came, by the name or file that each is about."""
    came: dict[str, float] = {}
    stream = lab.engine.client.events(decode=True)

    def note() -> None:
        for event in stream:
            key = event["Actor"]["ID"] if event["Type"] == "volume" else event["Action"]
            came[f"{event['Type']} {key}"] = time.perf_counter()

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    try:
        yield came
    finally:
        stream.close()
        thread.join(5)


def lateness(lab: Lab, watcher: Watcher, box_id: str) -> tuple[list[float], float]:
    """Of some changes, the seconds from the engine's event to the snapshot, and the engine calls for each."""
    api, late, calls = lab.engine.client.api, [], 0
    heard = threading.Condition()
    seen_at: list[tuple[float, Snapshot]] = []

    def hear(snapshot: Snapshot) -> None:
        with heard:
            seen_at.append((time.perf_counter(), snapshot))
            heard.notify_all()

    def wait_for(found: Callable[[Snapshot], bool]) -> float:
        with heard:
            heard.wait_for(lambda: any(found(snapshot) for _, snapshot in seen_at), 60)
            return next(at for at, snapshot in seen_at if found(snapshot))

    def note(response: Any, *_: object, **__: object) -> None:
        nonlocal calls
        calls += threading.current_thread().name.startswith("dockerlab-storage")

    end = watcher.listen(hear)
    api.hooks["response"].append(note)
    try:
        with arrivals(lab) as came:
            for at in range(ROUNDS):
                seen_at.clear()
                came.clear()
                name = f"{lab.name}-late-{time.time_ns()}"
                if at % 2:
                    api.create_volume(name, labels=lab.belongings.labels)
                    found = wait_for(lambda seen, name=name: any(each.name == name for each in seen.volumes))
                    event = f"volume {name}"
                else:
                    made = api.exec_create(box_id, ["touch", f"/root/{name}"])
                    api.exec_start(made["Id"])
                    path = f"/root/{name}"
                    found = wait_for(
                        lambda seen, path=path: any(
                            change.path == path for each in seen.containers for change in each.changes
                        )
                    )
                    event = "container exec_die"
                while event not in came:  # the snapshot may be there before the event is noted here
                    time.sleep(0.001)
                late.append(max(0.0, found - came[event]))
                time.sleep(0.1)
    finally:
        api.hooks["response"].remove(note)
        end()
    return late, calls / ROUNDS


def burst(lab: Lab, watcher: Watcher) -> tuple[float, int]:
    """The seconds from the last of many changes to the snapshot that is right, and how many snapshots there were."""
    api, heard = lab.engine.client.api, []
    end = watcher.listen(heard.append)
    names = [f"{lab.name}-burst-{at}" for at in range(BURST // 2)]
    rest = {each.name for each in watcher.snapshot.volumes}
    for name in names:
        api.create_volume(name, labels=lab.belongings.labels)
        api.remove_volume(name)
    start = time.perf_counter()
    while {each.name for each in watcher.snapshot.volumes} != rest:
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    time.sleep(0.5)
    assert {each.name for each in watcher.snapshot.volumes} == rest
    end()
    return seconds, len(heard)


def main() -> int:
    misses = []

    def report(what: str, value: float, limit: float, unit: str = "ms") -> None:
        scale = 1000 if unit == "ms" else 1
        print(f"{what}: {value * scale:.1f} {unit} (limit {limit * scale:g})")
        if value > limit:
            misses.append(what)

    report("drawing 12 objects", drawing_seconds(twelve_objects()), DRAWING)
    twelve = SNAPSHOTS["twelve containers"]
    print(f"drawing 12 containers and 13 stores: {drawing_seconds(*twelve) * 1000:.1f} ms")
    print(f"drawing of 300 containers and 1,000 volumes: {drawing_seconds(*SNAPSHOTS['hundreds']) * 1000:.1f} ms")

    with Lab("bench-picture", echo=None) as lab:
        api, labels = lab.engine.client.api, lab.belongings.labels
        writer = str(lab.run("alpine", "sleep 3600", name="bench-writer").id)
        middles, costs = [], []
        for containers, volumes in ((FEW, FEW), (MANY_CONTAINERS, MANY_VOLUMES)):
            for _ in range(containers - len(lab.containers())):
                api.create_container("alpine", ["true"], labels=labels)
            for at in range(volumes):
                api.create_volume(f"{lab.name}-{containers}-{at}", labels=labels)
            start = time.perf_counter()
            with Watcher(lab) as watcher:
                first = time.perf_counter() - start
                late, calls = lateness(lab, watcher, writer)
                middles.append(statistics.median(late))
                costs.append(calls)
                said = f"{containers} containers, {volumes:,} volumes"
                print(f"{said}: first reading {first:.2f} s; event to snapshot {middles[-1] * 1000:.1f} ms (median)")
                report(f"{said}: event to snapshot, 95 of 100", statistics.quantiles(late, n=20)[-1], LATENESS)
        report("event to snapshot with many against few", middles[1] / middles[0], GROWTH, "times")
        print(f"engine calls for each event: {costs[0]:.2f} with few, {costs[1]:.2f} with many")
        if round(costs[0], 1) != round(costs[1], 1):
            misses.append("engine calls")
        with Watcher(lab) as watcher:
            seconds, snapshots = burst(lab, watcher)
            report(f"after a burst of {BURST:,} events ({snapshots} snapshots)", seconds, CATCHING_UP)
    print("missed: " + ", ".join(misses) if misses else "all within their limits")
    return int(bool(misses))


if __name__ == "__main__":
    sys.exit(main())
