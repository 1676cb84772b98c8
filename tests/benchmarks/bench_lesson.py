"""Lessons headless against shell scripts of the same docker commands; at most 1.5 times as long, all in all.

    python tests/benchmarks/bench_lesson.py [--rounds N] [LESSON… | all]

A script is the lesson's own `lab.script()`, which waits for a Postgres to be ready as the lesson does, and finds the
files that the lesson had here. The two run in turns on the engine that `Lab` finds, and leave nothing there. Without an
argument it is lesson 03.
"""

from __future__ import annotations

import argparse
import os
import shutil
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


# What a lesson writes here it also removes, and its script needs it: it is put aside, and put back at the end.
PUT_ASIDE = """
import os, shutil, tempfile
aside, place = {}, tempfile.mkdtemp(dir=os.getcwd())
def put_aside(folder, *_, **__):
    aside[os.path.abspath(folder)] = shutil.move(folder, tempfile.mkdtemp(dir=place))
remove, shutil.rmtree = shutil.rmtree, put_aside
"""
PUT_BACK = """
for folder in sorted(aside):
    os.rename(aside[folder], folder)
shutil.rmtree = remove
_ = open(os.path.join(here, "replay.sh"), "w").write(lab.script())
"""


def lesson_that_writes_its_script(path: Path, folder: Path) -> Path:
    """A copy of a lesson that writes `lab.script()` at its end, where it worked, and leaves its files there."""
    notebook = nbformat.read(path, as_version=4)
    (end,) = (place for place, cell in enumerate(notebook.cells) if cell.id == "cleanup")
    notebook.cells.insert(end, new_code_cell("here = os.getcwd()"))
    notebook.cells = [new_code_cell(PUT_ASIDE), *notebook.cells, new_code_cell(PUT_BACK)]
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lessons", nargs="*", default=["03"], metavar="LESSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    wanted = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as for a learner: else each kernel compiles thousands of modules
    engine = find()
    for image in images.COURSE:
        images.ensure(engine, image)
    before = things(engine)
    ours = theirs = 0.0
    for path in lessons.choose(NOTEBOOKS, [] if wanted.lessons == ["all"] else wanted.lessons):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            run_lesson(lesson_that_writes_its_script(path, Path(folder)))  # compiled, and in the disk's cache
            (script,) = Path(folder).rglob("replay.sh")
            lesson = Path(folder, "again", path.name)
            lesson.parent.mkdir()
            shutil.copy(path, lesson)
            rounds = [(run_lesson(lesson), run_script(script, engine)) for _ in range(wanted.rounds)]
        seconds = [min(times) for times in zip(*rounds, strict=True)]  # what else runs here only adds
        ratio = seconds[0] / seconds[1]
        print(f"{path.stem}: {seconds[0]:.1f} s, its script {seconds[1]:.1f} s, {ratio:.2f} times", flush=True)
        ours, theirs = ours + seconds[0], theirs + seconds[1]
        assert things(engine) == before, f"{path.stem} or its script leaves something on the engine"
    ratio = ours / theirs
    print(f"{ours:.1f} s against {theirs:.1f} s: {ratio:.2f} times as long as the shell (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
