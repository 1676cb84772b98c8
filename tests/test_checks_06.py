"""Lesson 06's claims and exercise, proven and not proven, on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerlab import Anonymous, Bind, Lab, Tmpfs, Volume, panels
from dockerlab.cli import invoke
from dockerlab.mounts import Mount

# K7


def run(lab: Lab, folder: Path) -> None:
    mounts = [Volume(f"{lab.name}-data", "/volume"), Bind(str(folder), "/folder"), Tmpfs("/memory")]
    lab.run("alpine", "sleep infinity", name="box", mounts=mounts)


def write(lab: Lab, *paths: str) -> None:
    lab.exec("box", f"for path in {' '.join(paths)}; do echo hi > $path; done")


def test_k7_is_proven_by_what_a_removed_container_left_in_its_mounts(lab: Lab, here: Path) -> None:
    run(lab, here)
    write(lab, "/note", "/volume/note", "/folder/note", "/memory/note")
    assert "no container with" in lab.check("K7").observed, "nothing is proven by a container that is there still"
    lab.remove("box", force=True)
    assert lab.check("K7").observed == "No running container has a volume, a bind mount and a tmpfs."
    run(lab, here)
    verdict = lab.check("K7")
    assert verdict, verdict
    assert "its successor box finds note" in verdict.observed
    write(lab, "/memory/note")
    assert "note is in /memory or in the layer" in lab.check("K7").observed


def test_k7_is_proven_by_the_panel_as_well(lab: Lab, here: Path) -> None:
    panel = panels.Mounts(lab)
    try:
        panel.run()
        panel.write()
        panel.remove_and_recreate()
        assert lab.check("K7")
        panel.start_over()
    finally:
        panel.close()


@pytest.mark.parametrize("written", [["/volume/note", "/folder/other"], ["/note", "/memory/note"]])
def test_k7_wants_the_same_file_in_both(lab: Lab, here: Path, written: list[str]) -> None:
    run(lab, here)
    write(lab, *written)
    lab.remove("box", force=True)
    run(lab, here)
    assert "no file in common" in lab.check("K7").observed


def test_k7_is_not_shown_by_a_file_that_the_successor_wrote(lab: Lab, here: Path) -> None:
    run(lab, here)
    lab.remove("box", force=True)
    run(lab, here)
    write(lab, "/volume/note", "/folder/note")
    assert "older than box" in lab.check("K7").observed


# K12


def test_k12_is_proven_by_one_file_in_both_places(lab: Lab, here: Path) -> None:
    invoke(lab, f"run -d --name shop -v {lab.name}:/stock -v $(pwd):/desk alpine sleep infinity")
    assert lab.check("K12").observed == "shop has no file that is the same in /stock and /desk."
    lab.exec("shop", "echo one > /stock/list; echo two > /desk/list")
    assert lab.check("K12").observed == "shop has no file that is the same in /stock and /desk."
    lab.exec("shop", "cp /stock/list /desk/list")
    verdict = lab.check("K12")
    assert verdict
    assert f"shop has list twice: on {lab.name}," in verdict.observed
    assert str(here) in verdict.observed
    lab.stop("shop", 0)
    assert lab.check("K12").observed == "No running container has a named volume and a bind mount."


def test_k12_is_not_shown_by_a_bind_mount_of_the_engines_own_folder(lab: Lab) -> None:
    lab.create_volume(lab.name)
    mountpoint = lab.inspect_volume(lab.name)["Mountpoint"]
    lab.run("alpine", "sleep infinity", name="box", mounts=[Volume(lab.name, "/a"), Bind(mountpoint, "/b")])
    lab.exec("box", "echo hi > /a/list")
    assert lab.check("K12").observed.startswith("Not one of /a and /b")


# The exercise

CHOSEN: tuple[Mount, Mount, Mount] = (Volume("orders", "/orders"), Bind(".", "/settings", True), Tmpfs("/sessions"))


@pytest.fixture
def desk(here: Path) -> Path:
    """The folder with what is edited."""
    (here / "list").touch()
    return here


def test_the_exercise_is_done_with_each_kind_of_data_in_its_mount(lab: Lab) -> None:
    lab.run("alpine", "sleep infinity", name="webshop", mounts=CHOSEN)
    assert lab.check("06-exercise")


def test_the_exercise_is_done_with_mount_as_well(lab: Lab, desk: Path) -> None:
    settings = "--mount type=bind,source=$(pwd),target=/settings,readonly"
    orders = f"--mount type=volume,source={lab.name},target=/orders"
    invoke(lab, f"run -d --name webshop {orders} {settings} --mount type=tmpfs,target=/sessions alpine sleep 600")
    verdict = lab.check("06-exercise")
    assert verdict
    assert f"orders on the volume {lab.name}, settings from the folder {desk.name}, read-only" in verdict.observed


def test_a_folder_with_nothing_in_it_is_not_the_one_that_is_edited(lab: Lab, here: Path) -> None:
    lab.run("alpine", "sleep infinity", name="webshop", mounts=[CHOSEN[0], Bind(here, "/settings", True), CHOSEN[2]])
    assert lab.check("06-exercise").observed == f"/settings of webshop is empty: {here} is not where you edit."


def test_untouched_the_exercise_is_not_done(lab: Lab) -> None:
    assert lab.check("06-exercise").observed == "No container webshop runs."


@pytest.mark.parametrize(
    ("place", "mount", "observed"),
    [
        (0, None, "/orders of webshop is in its writable layer, which goes with the container."),
        (0, Anonymous("/orders"), "/orders of webshop is a volume without a name, hard to find again."),
        (1, Bind(".", "/settings"), "webshop may write to /settings."),
        (1, Volume("settings", "/settings"), "/settings of webshop is a volume, where your editor does not get in."),
        (2, Volume("sessions", "/sessions"), "/sessions of webshop is on a disk."),
    ],
)
def test_another_choice_is_told_why_not(lab: Lab, here: Path, place: int, mount: Mount | None, observed: str) -> None:
    mounts = [mount if at == place else chosen for at, chosen in enumerate(CHOSEN)]
    lab.run("alpine", "sleep infinity", name="webshop", mounts=[each for each in mounts if each])
    assert lab.check("06-exercise").observed == observed
