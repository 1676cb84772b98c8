"""Steps are shown as they go: live where someone watches, plain elsewhere, with the last words of one that fails."""

from __future__ import annotations

import io
import re
import sys
import threading
from pathlib import Path

import pexpect
import pytest

from dockerlab.steps import Say, SetUpError, Steps, follow


def test_elsewhere_each_step_is_a_plain_line_with_its_seconds() -> None:
    stream = io.StringIO()
    with Steps(stream=stream) as steps:
        assert steps.do("Boil water", lambda say: say("bubbles") or 7) == 7
    assert re.fullmatch(r" +\d+\.\d s  Boil water\n", stream.getvalue())


def test_on_a_terminal_what_runs_and_its_last_word_is_seen_while_it_runs() -> None:
    code = (
        "from dockerlab.steps import Steps\nwith Steps() as s:\n    s.do('Wait', lambda say: (say('for you'), input()))"
    )
    with pexpect.spawn(sys.executable, ["-c", code], encoding="utf-8", timeout=60) as terminal:
        terminal.expect(r"Wait \d+ s \(for you\)")
        terminal.sendline("")
        terminal.expect(r"\d\.\d s  Wait")


def test_steps_run_side_by_side_and_their_results_come_in_order() -> None:
    meeting = threading.Barrier(2, timeout=30)
    with Steps(stream=io.StringIO()) as steps:
        results = steps.together(lambda: (meeting.wait(), "first")[1], lambda: (meeting.wait(), "second")[1])
    assert results == ["first", "second"]


def test_all_steps_end_before_the_error_of_one_is_raised() -> None:
    failed, ended = threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        raise SetUpError("It failed.")

    def go_on() -> None:
        failed.wait(30)
        ended.set()

    with Steps(stream=io.StringIO()) as steps, pytest.raises(SetUpError):
        steps.together(fail, go_on)
    assert ended.is_set()


def test_a_step_that_fails_shows_its_last_words_and_the_log_has_all(tmp_path: Path) -> None:
    def fail(say: Say) -> None:
        for number in range(30):
            say(f"line {number}")
        raise SetUpError("It failed.")

    stream, log = io.StringIO(), tmp_path / "folder" / "log"
    with Steps(log, stream) as steps, pytest.raises(SetUpError):
        steps.do("Work", fail)
    shown = stream.getvalue()
    assert "failed  Work" in shown
    assert "| line 29" in shown
    assert "| line 3\n" not in shown
    assert log.read_text().splitlines() == [f"Work: line {number}" for number in range(30)]


def test_a_program_is_followed_line_by_line() -> None:
    lines: list[str] = []
    follow([sys.executable, "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr)"], lines.append)
    assert lines == ["out", "err"]


def test_a_program_that_fails_is_named_with_its_status_and_last_words() -> None:
    with pytest.raises(SetUpError) as error:
        follow([sys.executable, "-c", "print('before', flush=True); raise SystemExit('too bad')"], print)
    what, seen, next_step = str(error.value).splitlines()
    assert what == f"{Path(sys.executable).name} failed."
    assert seen == "It ended with status 1: too bad"
    assert next_step
