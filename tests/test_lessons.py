"""Lessons without a browser: which, how they run, and what is said of them."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dockerlab.engine.find import Engine
from dockerlab.errors import NotFoundError
from dockerlab.lessons import Outcome, choose, proven, run

# Waits for another lesson's sign; never coming, it fails.
WAIT_FOR = """
import pathlib, time
end = time.monotonic() + 60
while not pathlib.Path("{sign}").exists():
    assert time.monotonic() < end, "it never came"
    time.sleep(0.05)
"""


def write(folder: Path, name: str, *cells: str, alone: bool = False) -> Path:
    notebook = new_notebook(cells=[new_markdown_cell(f"# {name}"), *map(new_code_cell, cells)])
    if alone:
        notebook.metadata["dockerlab"] = {"alone": True}
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def run_one(path: Path, **environment: str) -> Outcome:
    (outcome,) = run([path], report=lambda outcome: None, environment=environment)
    return outcome


def test_lessons_are_chosen_by_number_or_name_and_all_without(tmp_path: Path) -> None:
    first, second, other = (write(tmp_path, name) for name in ("00_start", "03_proof", "appendix"))
    assert choose(tmp_path) == [first, second, other]
    assert choose(tmp_path, ["3"]) == choose(tmp_path, ["03"]) == choose(tmp_path, ["03_proof.ipynb"]) == [second]
    assert choose(tmp_path, ["appendix", "0", "appendix"]) == [other, first]


def test_an_unknown_lesson_is_answered_by_those_that_there_are(tmp_path: Path) -> None:
    write(tmp_path, "03_proof")
    with pytest.raises(NotFoundError, match=r"no lesson '4'.*\n.*03_proof"):
        choose(tmp_path, ["4"])
    with pytest.raises(NotFoundError, match="no lessons here"):
        choose(tmp_path / "empty")


def test_a_lesson_that_runs_to_its_end_has_passed_and_its_file_is_as_before(tmp_path: Path) -> None:
    path = write(tmp_path, "01_good", "x = 1", "print(x + 1)")
    before = path.read_bytes()
    outcome = run_one(path)
    assert (outcome.lesson, outcome.cells, outcome.failed, outcome.error) == ("01_good", 2, 0, "")
    assert str(outcome).endswith("passed")
    assert path.read_bytes() == before


def test_an_expected_error_is_told_in_its_own_three_lines(tmp_path: Path) -> None:
    raising = (
        "from dockerlab.errors import EngineError\nraise EngineError('It broke.', 'Seen: smoke.', 'Open a window.')"
    )
    outcome = run_one(write(tmp_path, "01_bad", "x = 1", raising, "print('never')"))
    assert outcome.failed == 2
    assert outcome.error == "EngineError: It broke.\nSeen: smoke.\nOpen a window."
    assert str(outcome).splitlines()[1:] == [f"    {line}" for line in outcome.error.splitlines()]


def test_a_bug_is_told_by_the_last_line_of_its_traceback(tmp_path: Path) -> None:
    outcome = run_one(write(tmp_path, "01_bug", "def f():\n    return 1 / 0", "f()"))
    assert (outcome.failed, outcome.error) == (2, "ZeroDivisionError: division by zero")


def test_an_error_that_a_cell_is_to_show_is_no_failure(tmp_path: Path) -> None:
    path = write(tmp_path, "01_shows", "1 / 0", "done = True")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, path)
    assert not run_one(path).failed


def test_a_kernel_that_dies_is_a_failure(tmp_path: Path) -> None:
    outcome = run_one(write(tmp_path, "01_dies", "x = 1", "import os; os._exit(1)"))
    assert outcome.failed == 2
    assert "kernel died" in outcome.error


def test_lessons_run_side_by_side(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "01_one", "open('one', 'w').close()", WAIT_FOR.format(sign="two")),
        write(tmp_path, "02_two", "open('two', 'w').close()", WAIT_FOR.format(sign="one")),
    ]
    assert [outcome.error for outcome in run(paths, report=lambda outcome: None)] == ["", ""]


def test_a_lesson_that_disturbs_others_runs_by_itself(tmp_path: Path) -> None:
    busy = "import pathlib, time\nmark = pathlib.Path('busy-{name}')\nmark.touch(); time.sleep(0.5); mark.unlink()"
    look = "import pathlib\nassert not list(pathlib.Path('.').glob('busy-*'))"
    paths = [
        write(tmp_path, "01_alone", look, busy.format(name="1"), look, alone=True),
        write(tmp_path, "02_other", busy.format(name="2")),
        write(tmp_path, "03_alone", look, busy.format(name="3"), look, alone=True),
    ]
    assert [outcome.error for outcome in run(paths, report=lambda outcome: None)] == ["", "", ""]


def test_outcomes_come_in_the_order_asked_for_and_are_reported_as_they_come(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "01_slow", WAIT_FOR.format(sign="quick")),
        write(tmp_path, "02_quick", "open('quick', 'w').close()"),
    ]
    reported: list[str] = []
    outcomes = run(paths, report=lambda outcome: reported.append(outcome.lesson))
    assert [outcome.lesson for outcome in outcomes] == ["01_slow", "02_quick"]
    assert sorted(reported) == ["01_slow", "02_quick"]


def test_a_lesson_runs_in_its_own_folder_in_this_python_with_the_environment_given(tmp_path: Path) -> None:
    code = f"""
import os, sys
assert os.path.samefile(os.getcwd(), {str(tmp_path)!r})
assert os.path.samefile(sys.prefix, {sys.prefix!r})
assert os.environ["GREETING"] == "hello"
"""
    assert run_one(write(tmp_path, "01_place", code), GREETING="hello").error == ""


def test_neither_kernels_nor_their_sockets_are_left(tmp_path: Path) -> None:
    trace = "import os, ipykernel; open({!r}, 'w').write(f'{{os.getpid()}} {{ipykernel.get_connection_file()}}')"
    paths = [
        write(tmp_path, "01_passes", trace.format("01_passes")),
        write(tmp_path, "02_fails", trace.format("02_fails"), "1 / 0"),
    ]
    run(paths, report=lambda outcome: None)
    for path in paths:
        pid, connection = path.with_suffix("").read_text().split()
        deadline = time.monotonic() + 10
        while Path("/proc", pid).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path("/proc", pid).exists()
        assert not Path(connection).parent.exists()


VERDICT = "from dockerlab.checks import Verdict\nVerdict({id!r}, 'it holds', {passed}, 'this', 'that')"


def verdict(id: str, *, passed: bool) -> str:
    return VERDICT.format(id=id, passed=passed)


def test_what_a_lesson_checks_is_told_and_a_claim_that_is_not_proven_is_a_failure(
    tmp_path: Path, engine: Engine
) -> None:
    asked = [verdict("K1", passed=False), verdict("K1", passed=True), verdict("K2", passed=True)]
    good = run_one(write(tmp_path, "01_good", *asked))
    assert (good.verdicts, good.passed) == ({"K1": True, "K2": True}, True)
    bad = run_one(write(tmp_path, "02_bad", verdict(id="K2", passed=True), verdict(id="K3", passed=False)))
    assert (bad.failed, bad.passed) == (0, False)
    assert re.fullmatch(r"02_bad +2 cells +\d+\.\d s  failed\n    not proven: K3", str(bad))
    said = proven([good, bad], engine)
    assert re.fullmatch(rf"2 of the course's \d+ claims are proven on {re.escape(engine.title)}\.", said)
