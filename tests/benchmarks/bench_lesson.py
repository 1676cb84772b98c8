"""Lessons headless against a shell script of the same docker commands; at most 1.5 times as long.

    python tests/benchmarks/bench_lesson.py [LESSON…]

The script is the lesson's own `lab.script()`, which waits for a Postgres to be ready as the lesson does. The two run in
turns on the engine that `Lab` finds, and leave nothing there. Without an argument it is lesson 03.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from dockerlab import lessons
from dockerlab.engine import images
from dockerlab.engine.find import Engine, find

LIMIT = 1.5
ROUNDS = 5
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def lesson_that_writes_its_script(number: str, folder: Path) -> Path:
    """A copy of a lesson with one cell more, which writes `lab.script()` beside it."""
    (path,) = lessons.choose(NOTEBOOKS, [number])
    notebook = nbformat.read(path, as_version=4)
    script = folder / f"{path.stem}.sh"
    notebook.cells.append(new_code_cell(f"_ = open({str(script)!r}, 'w').write(lab.script())"))
    copy = folder / path.name
    nbformat.write(notebook, copy)
    return copy


def run_lesson(path: Path) -> float:
    """Seconds from nothing to the end of the lesson, kernel included."""
    started = time.perf_counter()
    (outcome,) = lessons.run([path], report=lambda outcome: None)
    if outcome.error:
        raise SystemExit(str(outcome))
    return time.perf_counter() - started


def run_script(script: Path, engine: Engine) -> float:
    """Seconds that the shell takes for it."""
    started = time.perf_counter()
    done = subprocess.run(
        ["sh", script],
        env=os.environ | engine.cli_env(),
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{script} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started


def things(engine: Engine) -> set[str]:
    """The ids and names of the engine's containers and volumes."""
    boxes, volumes = engine.client.containers.list(all=True), engine.client.volumes.list()
    return {str(box.id) for box in boxes} | {volume.name for volume in volumes}


def main() -> int:
    engine = find()
    for image in images.COURSE:
        images.ensure(engine, image)
    before = things(engine)
    ours = theirs = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in sys.argv[1:] or ["03"]:
            lesson = lesson_that_writes_its_script(number, Path(folder))
            run_lesson(lesson)  # compiled, and in the disk's cache
            rounds = [(run_lesson(lesson), run_script(lesson.with_suffix(".sh"), engine)) for _ in range(ROUNDS)]
            seconds = [min(times) for times in zip(*rounds, strict=True)]  # what else runs here only adds
            print(f"{lesson.stem}: {seconds[0]:.1f} s, its script {seconds[1]:.1f} s")
            ours, theirs = ours + seconds[0], theirs + seconds[1]
    assert things(engine) == before, "something is left on the engine"
    ratio = ours / theirs
    print(f"{ratio:.2f} times as long as the shell (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
