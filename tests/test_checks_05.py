"""Lesson 05's claim and exercise, proven and not proven, on a real engine."""

from __future__ import annotations

import pytest
from engines import wait_until

from dockerlab import Lab, Tmpfs, Volume
from dockerlab.cli import invoke
from dockerlab.mounts import Mount

SCRATCH = Tmpfs("/scratch", size="16m")


def desk(lab: Lab, *mounts: Mount, writes: str = "/note /scratch/note") -> None:
    """A container `desk` that wrote to these paths and was stopped and started since."""
    lab.run("alpine", "sleep infinity", name="desk", mounts=mounts)
    lab.exec("desk", f"sleep 1; for path in {writes}; do echo hi > $path; done")
    lab.stop("desk", 1)
    lab.start("desk")


# K8


def test_k8_is_proven_by_a_restart_that_only_the_memory_forgets(lab: Lab) -> None:
    desk(lab, SCRATCH)
    verdict = lab.check("K8")
    assert verdict
    assert "/note stayed; /scratch, 16,777,216 bytes of memory, has nothing" in verdict.observed


def test_k8_is_proven_by_mount_and_beside_a_volume_as_well(lab: Lab) -> None:
    tmpfs = "--mount type=tmpfs,target=/scratch,tmpfs-size=1m"
    invoke(lab, f"run -d --name desk {tmpfs} -v {lab.name}:/shelf alpine sleep infinity")
    lab.exec("desk", "echo hi | tee /scratch/note /shelf/note")
    assert lab.check("K8").observed == "desk has a tmpfs at /scratch, 1,048,576 bytes, and was not stopped yet."
    invoke(lab, "restart -t 1 desk")
    assert "/shelf/note stayed" in lab.check("K8").observed


def test_k8_is_not_proven_without_a_tmpfs(lab: Lab) -> None:
    desk(lab, Volume(lab.name, "/scratch"))
    assert lab.check("K8").observed == "No running container of this lab has a tmpfs."


def test_k8_is_not_proven_while_the_container_is_stopped(lab: Lab) -> None:
    desk(lab, SCRATCH)
    lab.stop("desk", 1)
    assert not lab.check("K8")


def test_k8_wants_a_limit(lab: Lab) -> None:
    desk(lab, Tmpfs("/scratch"))
    assert lab.check("K8").observed == "desk has a tmpfs at /scratch, without a limit."


def test_k8_wants_something_that_stayed(lab: Lab) -> None:
    desk(lab, SCRATCH, writes="/scratch/note")
    assert "no file from before" in lab.check("K8").observed


def test_k8_is_not_shown_by_a_note_that_is_there_again(lab: Lab) -> None:
    desk(lab, SCRATCH)
    lab.exec("desk", "cp /note /scratch")
    assert "/scratch has note" in lab.check("K8").observed


# The exercise


def vault(lab: Lab, *mounts: Mount, writes: str = "/vault/key") -> None:
    lab.run("alpine", "sleep infinity", name="vault", mounts=mounts)
    lab.exec("vault", f"mkdir -p /vault; for path in {writes}; do echo hi > $path; done")


def test_the_exercise_is_done_by_a_key_in_a_megabyte_of_memory(lab: Lab) -> None:
    vault(lab, Tmpfs("/vault", size="1m"))
    assert lab.check("05-exercise")


def test_the_exercise_is_done_with_mount_as_well(lab: Lab) -> None:
    tmpfs = "--mount type=tmpfs,target=/vault,tmpfs-size=500k"
    invoke(lab, f"run -d --name vault {tmpfs} alpine sh -c 'echo hi > /vault/key; sleep 1h'")
    wait_until(lambda: lab.exec("vault", "test -e /vault/key").exit_code == 0)
    assert lab.check("05-exercise")


def test_untouched_the_exercise_is_not_done(lab: Lab) -> None:
    desk(lab, SCRATCH)
    assert lab.check("05-exercise").observed == "There is no container vault."


@pytest.mark.parametrize(
    ("mounts", "writes", "observed"),
    [
        ([Tmpfs("/vault", size="16m")], "/vault/key", "The limit of /vault is 16,777,216 bytes."),
        ([Tmpfs("/vault")], "/vault/key", "The limit of /vault is not set."),
        ([], "/vault/key", "vault has memory at no path, not at /vault."),
        ([Tmpfs("/vault", size="1m")], "/vault/other", "/vault has the right size, and no file key."),
        ([Tmpfs("/vault", size="1m")], "/vault/key /key", "The layer of vault has /key."),
    ],
)
def test_less_than_the_exercise_asks_is_not_enough(lab: Lab, mounts: list[Mount], writes: str, observed: str) -> None:
    vault(lab, *mounts, writes=writes)
    assert lab.check("05-exercise").observed == observed
