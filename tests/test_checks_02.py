"""Lesson 02's claims and exercise, proven and not proven, on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines import wait_until

from dockerlab import Anonymous, Bind, Lab, Volume
from dockerlab.cli import invoke
from dockerlab.mounts import Mount


def sleeper(lab: Lab, name: str, *mounts: Mount) -> None:
    lab.run("alpine", "sleep infinity", name=name, mounts=mounts)


@pytest.fixture
def volume(lab: Lab) -> str:
    """A name for a volume of its own: tests may run beside each other on one engine."""
    return f"{lab.name}-notes"


@pytest.fixture
def writer(lab: Lab, volume: str) -> Lab:
    """A lab with a container `writer` that wrote 1 MB to a volume."""
    sleeper(lab, "writer", Volume(volume, "/data"))
    lab.exec("writer", "head -c 1000000 /dev/urandom > /data/big")
    return lab


# K5


def test_k5_is_proven_by_a_named_volume(lab: Lab, volume: str) -> None:
    lab.create_volume(volume)
    verdict = lab.check("K5")
    assert verdict
    assert lab.inspect_volume(volume)["Mountpoint"] in verdict.observed


def test_k5_is_not_proven_without_a_volume(lab: Lab) -> None:
    assert "No named volume of this lab" in lab.check("K5").observed


def test_k5_is_not_proven_by_an_anonymous_volume(lab: Lab) -> None:
    sleeper(lab, "writer", Anonymous("/data"))
    assert not lab.check("K5")


def test_k5_is_not_proven_by_a_volume_that_lies_elsewhere(lab: Lab, volume: str) -> None:
    invoke(lab, f"volume create -d local -o type=tmpfs -o device=tmpfs {volume}")
    assert f"{volume} (driver local)" in lab.check("K5").observed


# K6


def test_k6_is_proven_by_files_on_a_volume_and_an_empty_layer(writer: Lab, volume: str) -> None:
    verdict = writer.check("K6")
    assert verdict
    assert f"writer has 1,000,000 bytes on {volume} at /data; its writable layer has 0" in verdict.observed


def test_k6_is_not_proven_by_an_empty_volume(lab: Lab, volume: str) -> None:
    sleeper(lab, "writer", Volume(volume, "/data"))
    assert not lab.check("K6")


def test_k6_is_not_proven_by_files_in_the_layer(lab: Lab, volume: str) -> None:
    sleeper(lab, "writer", Volume(volume, "/data"))
    lab.exec("writer", "echo hi > /data/note; head -c 1000000 /dev/urandom > /big")
    assert lab.check("K6").observed == f"writer has 3 bytes on {volume}, 1,000,000 in its layer."


def test_k6_is_not_proven_by_a_bind_mount(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(1000))
    sleeper(lab, "writer", Bind(str(tmp_path), "/data"))
    assert lab.check("K6").observed == "No container of this lab has a volume."


# K4


def test_k4_is_proven_by_a_later_container_that_has_the_files(writer: Lab, volume: str) -> None:
    writer.remove("writer", force=True)
    sleeper(writer, "reader", Volume(volume, "/elsewhere"))
    verdict = writer.check("K4")
    assert verdict
    assert "reader came later and finds 1 files there from before, 1,000,000 bytes" in verdict.observed


def test_k4_says_a_long_name_whole(lab: Lab) -> None:
    lab.run("alpine", "true", mounts=[Volume("a-volume-of-a-long-name", "/data")], detach=False, remove=True)
    assert " a-volume-of-a-long-name is there, but has no file" in lab.check("K4").observed


def test_k4_is_proven_by_docker_run_rm_as_well(lab: Lab, volume: str) -> None:
    invoke(lab, f"run --rm -v {volume}:/data alpine sh -c 'echo kept > /data/note'")
    assert not lab.check("K4")
    invoke(lab, f"run --rm -v {volume}:/data alpine cat /data/note")
    assert lab.check("K4")


def test_k4_is_not_proven_while_the_writer_is_there(writer: Lab, volume: str) -> None:
    sleeper(writer, "reader", Volume(volume, "/elsewhere"))
    assert writer.check("K4").observed == "No container with a volume was removed in this sitting."


def test_k4_is_not_proven_before_another_container_had_it(writer: Lab) -> None:
    writer.remove("writer", force=True)
    assert writer.check("K4").observed.endswith("no container had it since.")
    assert writer.check("K4").observed.endswith("no container had it since."), "a check's own look is none"


def test_k4_is_not_proven_by_files_that_came_later(lab: Lab, volume: str) -> None:
    sleeper(lab, "writer", Volume(volume, "/data"))
    lab.remove("writer", force=True)
    sleeper(lab, "reader", Volume(volume, "/data"))
    lab.exec("reader", "sleep 1; echo hi > /data/note")
    assert "has no file from its time" in lab.check("K4").observed


def test_k4_is_not_proven_by_a_volume_that_went_with_its_container(lab: Lab) -> None:
    sleeper(lab, "writer", Anonymous("/data"))
    lab.exec("writer", "echo hi > /data/note")
    lab.remove("writer", volumes=True, force=True)
    sleeper(lab, "reader", Anonymous("/data"))
    assert lab.check("K4").observed.endswith("too.")


# K18


def test_k18_is_proven_by_a_volume_that_was_filled_and_a_bind_mount_that_hides(
    lab: Lab, volume: str, tmp_path: Path
) -> None:
    sleeper(lab, "filled", Volume(volume, "/var"))
    sleeper(lab, "hidden", Bind(str(tmp_path), "/var"))
    verdict = lab.check("K18")
    assert verdict
    assert "hidden sees 0 of the image's" in verdict.observed


def test_k18_wants_the_volume(lab: Lab, volume: str, tmp_path: Path) -> None:
    sleeper(lab, "hidden", Bind(str(tmp_path), "/var"))
    sleeper(lab, "elsewhere", Volume(volume, "/data"))
    assert lab.check("K18").observed.endswith("No named volume has what an image has.")


def test_k18_wants_the_bind_mount(lab: Lab, volume: str, tmp_path: Path) -> None:
    sleeper(lab, "filled", Volume(volume, "/var"))
    sleeper(lab, "elsewhere", Bind(str(tmp_path), "/data"))
    assert lab.check("K18").observed.endswith("No bind mount hides what an image has.")


@pytest.mark.parametrize("options", [{"nocopy": True}, {}])
def test_k18_is_not_proven_by_a_volume_that_was_not_filled(
    lab: Lab, volume: str, tmp_path: Path, options: dict[str, bool]
) -> None:
    if not options:  # it is not empty any more when it comes to /var
        lab.run("alpine", ["touch", "/data/x"], mounts=[Volume(volume, "/data")], detach=False, remove=True)
    sleeper(lab, "filled", Volume(volume, "/var", **options))
    sleeper(lab, "hidden", Bind(str(tmp_path), "/var"))
    assert not lab.check("K18")


# The exercise


def share(lab: Lab, *, read_only: bool, gift: bool) -> None:
    sleeper(lab, "giver", Volume("shared", "/out"))
    sleeper(lab, "taker", Volume("shared", "/in", read_only=read_only))
    if gift:
        lab.exec("giver", "echo for you > /out/gift")


def test_the_exercise_is_done_by_a_shared_volume(lab: Lab) -> None:
    share(lab, read_only=True, gift=True)
    assert lab.check("02-exercise")


def test_the_exercise_is_done_with_mount_as_well(lab: Lab) -> None:
    invoke(lab, "run -d --name giver --mount source=shared,target=/a alpine sh -c 'touch /a/gift; sleep 1h'")
    invoke(lab, "run -d --name taker --mount source=shared,target=/b,readonly alpine sleep 1h")
    wait_until(lambda: lab.exec("giver", "test -e /a/gift").exit_code == 0)
    assert lab.check("02-exercise")


def test_untouched_the_exercise_is_not_done(writer: Lab) -> None:
    assert writer.check("02-exercise").observed == "No giver runs with the volume shared."


def test_a_taker_that_may_write_is_not_what_was_asked(lab: Lab) -> None:
    share(lab, read_only=False, gift=True)
    assert lab.check("02-exercise").observed == "taker has shared at /in, and may write there."


def test_without_a_gift_nothing_is_shared(lab: Lab) -> None:
    share(lab, read_only=True, gift=False)
    assert "sees no /in/gift" in lab.check("02-exercise").observed


def test_a_stopped_taker_is_not_enough(lab: Lab) -> None:
    share(lab, read_only=True, gift=True)
    lab.stop("taker", 1)
    assert lab.check("02-exercise").observed == "No taker runs with the volume shared."
