"""Lesson 00's exercise, done and not done, on a real engine."""

from __future__ import annotations

import pytest

from dockerlab import Lab


@pytest.fixture
def hello(lab: Lab) -> Lab:
    lab.run("alpine", "sleep infinity", name="hello")
    lab.exec("hello", "echo I was here > /tmp/note")
    return lab


def test_a_second_container_without_the_note_is_the_exercise_done(hello: Lab) -> None:
    hello.run("alpine", "sleep infinity", name="second")
    verdict = hello.check("00-exercise")
    assert verdict
    assert verdict.observed == "hello has /tmp/note, second of the same image has not."


def test_untouched_it_is_not_done(hello: Lab) -> None:
    assert hello.check("00-exercise").observed == "No container second runs; running: hello."


def test_a_second_container_that_ended_is_not_enough(hello: Lab) -> None:
    hello.run("alpine", "true", name="second")
    hello.engine.client.containers.get("second").wait()
    assert not hello.check("00-exercise")


def test_a_note_in_the_second_container_is_not_what_was_asked(hello: Lab) -> None:
    hello.run("alpine", "sleep infinity", name="second")
    hello.exec("second", "echo me too > /tmp/note")
    assert hello.check("00-exercise").observed == "second has a /tmp/note of its own."


def test_the_first_container_must_have_a_note_to_lack(lab: Lab) -> None:
    for name in ("hello", "second"):
        lab.run("alpine", "sleep infinity", name=name)
    assert "that second could lack" in lab.check("00-exercise").observed


def test_three_hints_go_from_a_nudge_to_the_way(hello: Lab) -> None:
    hints = [hello.check("00-exercise").hint for _ in range(4)]
    assert len(set(hints)) == 3
    assert hints[2] == hints[3]
    assert 'lab.run("alpine"' in hints[2]
    assert "lab.run(" not in hints[0]
