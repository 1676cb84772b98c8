"""The five stores, on a real engine: what is kept, and that the experiment leaves nothing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from content import volumes
from engines import free_port, needs_root

from dockerlab import Bind, Lab
from dockerlab.belongings import FOLDER_MARK
from dockerlab.cli import invoke
from dockerlab.errors import CommandError, DockerLabError, InUseError
from dockerlab.experiments import (
    STORES,
    enter,
    five_stores,
    leave,
    mounts,
    notes,
    outcome,
    page,
    there_and_back,
    write_notes,
)

EXPECTED = {
    "stop and start": ["kept", "kept", "kept", "kept", "lost"],
    "rm and recreate": ["lost", "lost", "kept", "kept", "lost"],
}


pytestmark = pytest.mark.usefixtures("here")


def test_five_stores_are_kept_or_lost_as_docker_has_it(lab: Lab, here: Path) -> None:
    before, steps = volumes(lab), []
    frame = five_stores(lab, report=lambda *step: steps.append(step))
    assert frame.to_dict("list") == EXPECTED
    assert list(frame.index) == list(STORES)
    assert [(number, total) for _, number, total in steps] == [(0, 3), (1, 3), (2, 3)]
    assert volumes(lab) == before, "its volumes are gone, the orphan too"
    assert lab.claims.containers() == []
    assert list(here.iterdir()) == []


def test_all_of_it_is_in_the_script(lab: Lab) -> None:
    five_stores(lab)
    script = lab.script()
    for words in ("--tmpfs /memory", "-v /anonymous", "docker stop -t 1 five-stores", "docker rm -f five-stores"):
        assert words in script


def test_what_is_broken_off_leaves_nothing(lab: Lab, here: Path) -> None:
    before = volumes(lab)

    def report(step: str, number: int, total: int) -> None:
        if number == 2:
            raise DockerLabError("enough")

    with pytest.raises(DockerLabError, match="enough"):
        five_stores(lab, report=report)
    assert volumes(lab) == before
    assert lab.claims.containers() == []
    assert list(here.iterdir()) == []


def test_notes_are_found_where_they_are_and_nowhere_else(lab: Lab, tmp_path: Path) -> None:
    lab.run("alpine", "sleep infinity", name="box", mounts=mounts("vault", str(tmp_path)))
    assert notes(lab, "box") == set()
    write_notes(lab, "box", "it's $HOME")
    assert notes(lab, "box") == set(STORES)
    assert (tmp_path / "note").read_text() == "it's $HOME\n"
    lab.exec("box", "rm /volume/note /memory/note")
    assert notes(lab, "box") == set(STORES) - {"named volume", "tmpfs"}


def test_what_was_not_there_can_not_be_lost() -> None:
    assert outcome({"tmpfs", "bind mount"}, {"bind mount", "named volume"}) == ["", "", "", "kept", "lost"]


def test_a_taken_name_is_refused_and_what_has_it_stays(lab: Lab) -> None:
    box = lab.run("alpine", "sleep infinity", name="five-stores")
    with pytest.raises(InUseError, match="container five-stores"):
        five_stores(lab)
    lab.remove(box, force=True)
    lab.create_volume("five-stores")
    with pytest.raises(InUseError, match="volume five-stores"):
        five_stores(lab)
    assert "five-stores" in volumes(lab)


# A lesson's folder, a web server, and edits through a mount


def test_a_lesson_works_in_an_empty_folder_of_its_own_and_leaves_none(here: Path) -> None:
    folder = enter("my-code")
    assert folder == Path.cwd() == here / "my-code"
    (folder / "left").mkdir()
    assert enter("my-code") == folder
    assert [path.name for path in folder.iterdir()] == [FOLDER_MARK]
    os.chdir(here)  # as a kernel that was started again is
    (folder / "left").mkdir()
    assert enter("my-code") == folder
    assert not (folder / "left").exists()
    leave(folder)
    assert Path.cwd() == here
    assert not folder.exists()
    leave(folder)  # the cell again
    assert Path.cwd() == here


def test_a_folder_that_no_lesson_made_is_neither_emptied_nor_removed(here: Path) -> None:
    thesis = here / "my-backups" / "thesis.tar.gz"
    thesis.parent.mkdir()
    thesis.write_text("mine")
    (here / "rescue").write_text("a file")
    (here / "my-desk").symlink_to(thesis.parent)
    for name, seen in (("my-backups", "thesis.tar.gz"), ("rescue", "no folder"), ("my-desk", "thesis.tar.gz")):
        with pytest.raises(InUseError, match=seen) as refused:
            enter(name)
        assert refused.value.what.startswith(str(here / name))
        assert Path.cwd() == here
    os.chdir(thesis.parent)  # the notebook itself lies in a folder of that name
    assert enter("my-backups") == thesis.parent / "my-backups"
    leave(Path.cwd())
    with pytest.raises(InUseError, match="no lesson made it"):
        leave(thesis.parent)
    assert thesis.read_text() == "mine"
    assert (here / "rescue").read_text() == "a file"


def test_an_empty_folder_of_that_name_loses_nothing_and_is_taken(here: Path) -> None:
    (here / "my-code").mkdir()
    assert enter("my-code") == here / "my-code"
    leave(Path.cwd())
    assert list(here.iterdir()) == []


@needs_root
def test_a_folder_that_a_container_s_root_wrote_to_is_left_and_the_way_to_remove_it_told(lab: Lab) -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, nobody, nobody)
        (Path(name) / "my-code" / "theirs").mkdir(parents=True)
        (Path(name) / "my-code" / "theirs" / "file").touch()
        (Path(name) / "my-code" / FOLDER_MARK).touch()
        os.chown(Path(name) / "my-code", nobody, nobody)
        back = Path.cwd()
        os.seteuid(nobody)
        try:
            with pytest.raises(CommandError, match="not all yours") as refused:
                leave(Path(name) / "my-code")
        finally:
            os.seteuid(0)
            os.chdir(back)
        assert (Path(name) / "my-code" / "theirs" / "file").exists()
        invoke(lab, refused.value.next_step.removeprefix("docker "))
        assert not (Path(name) / "my-code").exists()


SERVER = """
require("http").createServer((ask, answer) => answer.end(process.uptime() < 3 ? "up" : "up for long")).listen(3000)
"""


def test_a_page_is_read_once_its_server_answers_and_says_what_is_awaited(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.run("node:20-alpine", ["node", "-e", SERVER], name="server", ports={3000: None})
    assert page(lab, "server").startswith("up")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")  # where nobody is
    assert page(lab, "server", until="for long") == "up for long"
    assert page(lab, "server", until="never said", timeout=0.1) == "up for long"


def test_a_page_of_a_server_without_a_published_port_is_read_through_the_engine(lab: Lab) -> None:
    lab.run("node:20-alpine", ["node", "-e", SERVER], name="server")
    assert page(lab, "server").startswith("up")


def test_no_page_comes_from_a_program_that_ended_but_its_log_does(lab: Lab) -> None:
    lab.run("alpine", "sh -c 'echo no such module; exit 1'", name="server")
    lab.container("server").wait()
    with pytest.raises(CommandError, match="no such module"):
        page(lab, "server")


def test_an_edit_comes_back_from_a_container_through_a_bind_mount(lab: Lab, here: Path) -> None:
    lab.run("alpine", "sleep infinity", name="editor", mounts=[Bind(str(here), "/app")])
    took = there_and_back(lab, "editor", "/app", times=3)
    assert len(took) == 3
    assert (took > 0).all()
    assert list(here.iterdir()) == []


def test_edits_elsewhere_do_not_come_back(lab: Lab, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockerlab.experiments.PATIENCE", 0.5)
    lab.run("alpine", "sleep infinity", name="editor")
    with pytest.raises(CommandError, match="does not come back"):
        there_and_back(lab, "editor", "/tmp", times=1)
    assert list(here.iterdir()) == []
    Path("pong").write_text("mine")
    with pytest.raises(InUseError, match="a pong in"):
        there_and_back(lab, "editor", "/app", times=1)
    assert Path("pong").read_text() == "mine"
