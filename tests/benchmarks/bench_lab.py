"""A lab's call against docker-py's own with the same effect, each pair taken in turn; at most 1.2 times as long.

python tests/benchmarks/bench_lab.py
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pandas as pd

from dockerlab import Lab, Volume

LIMIT = 1.2
SLEEP = ["sleep", "1000"]
Call = Callable[[], object]
# What is timed, once with the lab and once without, and what puts things back.
Pair = tuple[str, int, Call, Call, Call]


def pairs(lab: Lab) -> Iterator[Pair]:
    client, labels = lab.engine.client, lab.belongings.labels
    api, fresh = client.api, map("bench-{}".format, itertools.count())
    box = lab.run("alpine", SLEEP, name="bench", mounts=[Volume("bench-data", "/data")])
    for _ in range(20):  # a course's engine is not empty
        lab.create_volume(next(fresh))
    lab.exec(box, "echo hi > /x")
    made: list[str] = []

    def nothing() -> None:
        """Nothing is to be put back."""

    def new_volume(create: Callable[[str], object]) -> None:
        made.append(next(fresh))
        create(made[-1])

    def remove_made() -> None:
        while made:
            api.remove_volume(made.pop())

    def bare_detached() -> None:
        run = client.containers.run("alpine", SLEEP, name="bench-2", labels=labels, detach=True)
        run.reload()
        run.remove(force=True)

    def ours_detached() -> None:
        lab.remove(lab.run("alpine", SLEEP, name="bench-2"), force=True)

    yield (
        "run --rm",
        12,
        lambda: lab.run("alpine", ["true"], detach=False, remove=True),
        lambda: client.containers.run("alpine", ["true"], labels=labels, remove=True),
        nothing,
    )
    yield "run -d, rm -f", 12, ours_detached, bare_detached, nothing
    yield "exec", 30, lambda: lab.exec(box, "cat /x"), lambda: box.exec_run(["sh", "-c", "cat /x"]), nothing
    yield (
        "volume create",
        60,
        lambda: new_volume(lab.create_volume),
        lambda: new_volume(lambda name: client.volumes.create(name, labels=labels)),
        remove_made,
    )
    yield (
        "volume inspect",
        100,
        lambda: lab.inspect_volume("bench-data"),
        lambda: api.inspect_volume("bench-data"),
        nothing,
    )
    yield (
        "volume ls, with users",
        100,
        lab.volumes,
        lambda: (table(api.volumes()["Volumes"]), api.containers(all=True)),
        nothing,
    )
    yield "ps -a", 100, lab.containers, lambda: table(api.containers(all=True)), nothing
    yield "diff", 60, lambda: lab.changes(box), lambda: table(box.diff()), nothing


def table(records: Iterable[Any] | None) -> pd.DataFrame:
    """The engine's records as they are: a lab's answer is a table too."""
    return pd.DataFrame(list(records or ()))


def seconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> int:
    slow = 0
    with Lab("bench", owner="", echo=lambda line: None) as lab:
        print(lab)
        for name, rounds, ours, bare, put_back in pairs(lab):
            for call in (ours, bare):
                call()
            rounds_s = []
            for number in range(rounds):
                times = {}
                for call in (ours, bare)[:: 1 if number % 2 else -1]:
                    times[call] = seconds(call)
                    put_back()
                rounds_s.append((times[ours], times[bare]))
            lab_s, bare_s = map(statistics.median, zip(*rounds_s, strict=True))
            # Of neighbours in time: other work on this machine then disturbs both.
            ratio = statistics.median(one / other for one, other in rounds_s)
            slow += ratio > LIMIT
            print(f"{name:22} lab {lab_s * 1e3:7.2f} ms, docker-py {bare_s * 1e3:7.2f} ms: {ratio:.2f} times")
    print(f"limit {LIMIT}")
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main())
