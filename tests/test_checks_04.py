"""Lesson 04's claims and exercise, proven and not proven, on a real engine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dockerlab import Anonymous, Bind, Lab, Tmpfs, Volume
from dockerlab.cli import invoke
from dockerlab.errors import CommandError
from dockerlab.mounts import Mount

pytestmark = pytest.mark.usefixtures("here")


# K9


@pytest.fixture
def short(lab: Lab) -> Lab:
    """A lab in which -v made the folder `missing`."""
    invoke(lab, "run --name short -v $(pwd)/missing:/data alpine true")
    return lab


def test_k9_is_proven_by_a_folder_that_v_made_and_mount_has_too(short: Lab, here: Path) -> None:
    with pytest.raises(CommandError):
        invoke(short, "run --name long --mount type=bind,source=$(pwd)/missing-too,target=/data alpine true")
    assert "no container has it by --mount" in short.check("K9").observed
    invoke(short, "run --name long --mount type=bind,source=$(pwd)/missing,target=/data alpine true")
    verdict = short.check("K9")
    assert verdict
    assert verdict.observed.startswith("-v made missing for short; long has the same folder by --mount.")
    assert [path.name for path in here.iterdir()] == ["missing"], "what the check asks for is not made"


def test_k9_is_proven_by_the_lab_s_own_methods_as_well(lab: Lab, here: Path) -> None:
    for syntax in ("-v", "--mount"):
        lab.run("alpine", "true", mounts=[Bind(str(here / "missing"), "/data", syntax=syntax)])  # type: ignore[arg-type]
    assert lab.check("K9")


def test_k9_is_not_proven_without_a_bind_mount(lab: Lab) -> None:
    lab.run("alpine", "true", mounts=[Volume("my-data", "/data")])
    assert lab.check("K9").observed == "No container has a bind mount; no folder was made by -v."


def test_k9_is_not_proven_by_a_folder_that_was_there(lab: Lab, here: Path) -> None:
    (here / "there").mkdir()
    os.utime(here / "there", (1_600_000_000, 1_600_000_000))
    for syntax in ("-v", "--mount"):
        lab.run("alpine", "true", mounts=[Bind(str(here / "there"), "/data", syntax=syntax)])  # type: ignore[arg-type]
    assert lab.check("K9").observed.endswith("no folder was made by -v.")


def test_k9_is_not_proven_by_another_folder(short: Lab, here: Path) -> None:
    (here / "other").mkdir()
    short.run("alpine", "true", mounts=[Bind(str(here / "other"), "/data", syntax="--mount")])
    assert "no container has it by --mount" in short.check("K9").observed


# K11


@pytest.fixture
def watcher(lab: Lab, here: Path) -> Lab:
    """A lab with a container `watcher` that has this folder, in which there is an older `app.js`."""
    (here / "app.js").write_text("old")
    os.utime(here / "app.js", (1_600_000_000, 1_600_000_000))
    lab.run("alpine", "sleep infinity", name="watcher", mounts=[Bind(str(here), "/app")])
    return lab


def test_k11_is_proven_by_an_edit_from_here_and_a_file_from_there(watcher: Lab, here: Path) -> None:
    assert watcher.check("K11").observed.endswith("nothing in it was edited since it started.")
    time.sleep(0.1)  # file systems' clocks are some milliseconds behind
    (here / "app.js").write_text("new")
    assert "no file has the host name that watcher would write" in watcher.check("K11").observed
    watcher.exec("watcher", "hostname > /app/from-inside")
    verdict = watcher.check("K11")
    assert verdict
    assert verdict.observed.startswith("app.js was edited here after watcher had started, and is the same there")


def test_k11_is_not_proven_by_what_the_container_wrote_alone(watcher: Lab) -> None:
    watcher.exec("watcher", "hostname > /app/from-inside")
    assert watcher.check("K11").observed.endswith("nothing in it was edited since it started.")


def test_k11_is_not_proven_once_the_container_has_stopped(watcher: Lab, here: Path) -> None:
    watcher.exec("watcher", "sleep 0.1; hostname > /app/from-inside; echo new > /app/app.js")
    assert watcher.check("K11")
    watcher.stop("watcher", 1)
    assert watcher.check("K11").observed == "No container with a bind mount runs."


def test_k11_is_not_proven_by_files_in_a_volume(lab: Lab) -> None:
    lab.run("alpine", "sleep infinity", name="watcher", mounts=[Volume("my-data", "/app")])
    lab.exec("watcher", "hostname > /app/from-inside; echo new > /app/app.js")
    assert not lab.check("K11")


@pytest.mark.parametrize("over", [Volume("my-data", "/app/sub"), Anonymous("/app/sub"), Tmpfs("/app/sub")])
def test_k11_is_proven_by_what_lies_beside_other_mounts_in_the_folder(lab: Lab, here: Path, over: Mount) -> None:
    (here / "sub").mkdir()
    lab.run("alpine", "sleep infinity", name="watcher", mounts=[Bind(str(here), "/app"), over])
    lab.exec("watcher", "sleep 0.1; hostname > /app/sub/from-inside; echo new > /app/sub/app.js")
    assert lab.check("K11").observed.endswith("nothing in it was edited since it started.")
    lab.exec("watcher", "hostname > /app/from-inside; echo new > /app/app.js")
    assert lab.check("K11")


# The exercise


def test_the_exercise_is_done_by_a_note_that_came_after_its_read_only_reader(lab: Lab, here: Path) -> None:
    (here / "notes").mkdir()
    assert lab.check("04-exercise").observed == "No container reader runs."
    mount = "--mount type=bind,source=$(pwd)/notes,target=/notes,readonly"
    invoke(lab, f"run -d --name reader {mount} alpine sleep infinity")
    assert lab.check("04-exercise").observed == "reader finds no /notes/today."
    time.sleep(0.1)
    (here / "notes" / "today").write_text("hello")
    assert lab.check("04-exercise")


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ("-v $(pwd)/notes:/notes:ro", "reader has /notes by -v."),
        ("--mount type=bind,source=$(pwd)/notes,target=/notes", "reader can write to /notes."),
        ("-v notes:/notes:ro", "reader has no bind mount at /notes."),
        (
            "--mount type=bind,source=$(pwd)/notes,target=/notes,readonly",
            "/notes/today is older than reader: it was there before the container ran.",
        ),
    ],
)
def test_the_exercise_is_not_done_otherwise(lab: Lab, here: Path, options: str, missing: str) -> None:
    (here / "notes").mkdir()
    (here / "notes" / "today").write_text("hello")
    os.utime(here / "notes" / "today", (1_600_000_000, 1_600_000_000))
    invoke(lab, f"run -d --name reader {options} alpine sleep infinity")
    assert lab.check("04-exercise").observed == missing


def test_a_reader_that_was_restarted_has_still_seen_the_file_come(lab: Lab, here: Path) -> None:
    (here / "notes").mkdir()
    options = "--mount type=bind,source=$(pwd)/notes,target=/notes,readonly"
    invoke(lab, f"run -d --name reader {options} alpine sleep infinity")
    (here / "notes" / "today").write_text("hello")
    invoke(lab, "restart -t 1 reader")
    assert lab.check("04-exercise")
