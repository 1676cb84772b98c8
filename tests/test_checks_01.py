"""Lesson 01's claims and exercise, proven and not proven, on a real engine."""

from __future__ import annotations

import pytest

from dockerlab import Lab
from dockerlab.cli import invoke

WRITES = "echo hi > /note; echo hello >> /etc/motd; rm /etc/profile"


def sleeper(lab: Lab, name: str, image: str = "alpine") -> None:
    lab.run(image, "sleep infinity", name=name)


@pytest.fixture
def first(lab: Lab) -> Lab:
    """A lab with a container `first` that has added, changed and deleted a file."""
    sleeper(lab, "first")
    lab.exec("first", WRITES)
    return lab


# K1


def test_k1_is_proven_by_a_writer_and_an_idle_container_of_its_image(first: Lab) -> None:
    sleeper(first, "second")
    verdict = first.check("K1")
    assert verdict
    assert "added /note, changed /etc/motd, deleted /etc/profile; second sees none of it" in verdict.observed


def test_k1_is_proven_by_docker_commands_and_stopped_containers_as_well(lab: Lab) -> None:
    for line in (f"run -d --name one alpine sh -c '{WRITES}'", "run -d --name two alpine true"):
        invoke(lab, line)
    for name in ("one", "two"):
        lab.engine.client.containers.get(name).wait()
    assert lab.check("K1")


@pytest.mark.parametrize("command", ["true", "echo hi > /note", "echo hi > /note; rm /etc/profile"])
def test_k1_wants_all_three_kinds_of_change(lab: Lab, command: str) -> None:
    for name in ("first", "second"):
        sleeper(lab, name)
    lab.exec("first", command)
    assert not lab.check("K1")


def test_k1_wants_another_container_of_the_image(first: Lab) -> None:
    sleeper(first, "other", "postgres:16-alpine")
    assert "no other container of its image is without them" in first.check("K1").observed


def test_k1_is_not_shown_by_two_containers_that_write_the_same(first: Lab) -> None:
    sleeper(first, "second")
    first.exec("second", WRITES)
    assert not first.check("K1")


def test_k1_is_proven_where_both_have_written_something_else_the_same(first: Lab) -> None:
    sleeper(first, "second")
    for name in ("first", "second"):
        first.exec(name, "touch /root/.ash_history")
    assert "added /note, changed" in first.check("K1").observed and first.check("K1")


# K2


def test_k2_is_proven_by_a_restart_and_a_removal(first: Lab) -> None:
    first.stop("first", 1)
    first.start("first")
    sleeper(first, "second")
    first.remove("second", force=True)
    sleeper(first, "second")
    verdict = first.check("K2")
    assert verdict
    assert "first was stopped and started, and still has /note. second was removed" in verdict.observed


def test_k2_is_not_proven_while_nothing_was_removed(first: Lab) -> None:
    first.stop("first", 1)
    first.start("first")
    assert first.check("K2").observed.endswith("no container was removed.")
    first.check("K3")  # what a check itself starts and removes does not count
    assert first.check("K2").observed.endswith("no container was removed.")


def test_k2_is_not_proven_by_what_the_engine_removes_by_itself(first: Lab) -> None:
    first.stop("first", 1)
    first.start("first")
    invoke(first, "run --rm alpine true")
    sleeper(first, "second")
    assert first.check("K2").observed.endswith("no container was removed but by its --rm.")
    invoke(first, "run -d --rm --name third alpine sleep 1000")
    first.remove("third", force=True)
    sleeper(first, "third")
    assert first.check("K2"), "this one was removed by hand"


def test_k2_is_not_proven_by_what_the_sitting_cleaned_up_at_its_opening(first: Lab) -> None:
    with Lab(first.name, engine=first.engine, owner="", echo=None) as second:
        second.cleanup()
        sleeper(second, "first")
        second.exec("first", WRITES)
        second.stop("first", 1)
        second.start("first")
        assert second.check("K2").observed.endswith("no container was removed.")


def test_k2_is_not_proven_while_nothing_was_stopped(first: Lab) -> None:
    sleeper(first, "second")
    first.remove("second", force=True)
    sleeper(first, "second")
    assert "stopped and started again" in first.check("K2").observed


def test_k2_is_not_proven_by_a_stopped_container(first: Lab) -> None:
    first.stop("first", 1)
    assert not first.check("K2")


def test_k2_is_not_proven_by_a_file_that_came_after_the_restart(lab: Lab) -> None:
    sleeper(lab, "first")
    lab.stop("first", 1)
    lab.start("first")
    lab.exec("first", "sleep 1; echo hi > /note")
    sleeper(lab, "second")
    lab.remove("second", force=True)
    sleeper(lab, "second")
    assert not lab.check("K2")


# K3


def test_k3_is_proven_by_a_copied_and_a_hidden_file_of_the_image(first: Lab) -> None:
    first.exec("first", "chmod 700 /bin/busybox")
    verdict = first.check("K3")
    assert verdict
    assert "/bin/busybox" in verdict.observed
    assert "/etc/profile is hidden" in verdict.observed


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "rm /etc/profile",
        "chmod 700 /bin/busybox",
        "echo hi > /note; chmod 700 /note; chmod 700 /etc",
        "echo hi > /note; rm /note; chmod 700 /bin/busybox",
        "echo x > /etc/motd; rm /etc/profile",
    ],
)
def test_k3_is_not_proven_by_less(lab: Lab, command: str) -> None:
    sleeper(lab, "first")
    lab.exec("first", command)
    assert not lab.check("K3")


def test_what_a_check_makes_to_look_is_gone_afterwards(first: Lab) -> None:
    before = {box.id for box in first.engine.client.containers.list(all=True)}
    first.check("K3")
    assert {box.id for box in first.engine.client.containers.list(all=True)} == before


# The exercise


def test_the_exercise_is_done_by_a_restart_with_the_changes_kept(lab: Lab) -> None:
    sleeper(lab, "mine")
    lab.exec("mine", "echo day one > /diary; rm /etc/motd")
    lab.stop("mine", 1)
    assert lab.check("01-exercise").observed == "mine does not run."
    lab.start("mine")
    assert lab.check("01-exercise")


def test_untouched_the_exercise_is_not_done(first: Lab) -> None:
    assert first.check("01-exercise").observed == "There is no container mine, only first."


@pytest.mark.parametrize(
    ("command", "missing"), [("echo day one > /diary", "D /etc/motd"), ("rm /etc/motd", "A /diary")]
)
def test_half_of_the_exercise_is_not_all(lab: Lab, command: str, missing: str) -> None:
    sleeper(lab, "mine")
    lab.exec("mine", command)
    lab.stop("mine", 1)
    lab.start("mine")
    assert lab.check("01-exercise").observed == f"docker diff mine does not list {missing}."


def test_what_was_done_after_the_stop_shows_nothing(lab: Lab) -> None:
    sleeper(lab, "mine")
    lab.stop("mine", 1)
    lab.start("mine")
    lab.exec("mine", "echo day one > /diary; rm /etc/motd")
    assert lab.check("01-exercise").observed == "mine has both, but /diary is younger than its stop."


def test_without_a_stop_the_exercise_shows_nothing(lab: Lab) -> None:
    sleeper(lab, "mine")
    lab.exec("mine", "echo day one > /diary; rm /etc/motd")
    assert lab.check("01-exercise").observed == "mine has both, but was not stopped yet."
