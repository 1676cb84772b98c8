"""The panel of the writable layer, on a real engine: what it does and what it shows of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engines import wait_until
from test_panels_base import page, press

from dockerlab import Lab
from dockerlab.errors import NotFoundError
from dockerlab.panels import WritableLayer


@pytest.fixture
def panel(lab: Lab) -> Iterator[WritableLayer]:
    panel = WritableLayer(lab)
    yield panel
    panel.close()


def files(panel: WritableLayer, name: str = "box") -> dict[str, str]:
    found = next(each for each in panel.snapshot.containers if each.name == name)
    return {change.path: change.kind for change in found.files}


def test_a_file_that_is_written_is_in_the_layer_and_in_the_picture(panel: WritableLayer) -> None:
    panel.run()
    assert files(panel) == {}
    panel.write()
    assert files(panel) == {"/note": "A"}
    assert panel.happened == ("in box: /note added",)
    panel.write()
    assert files(panel) == {"/note": "A", "/note-2": "A"}
    wait_until(lambda: "/note-2" in panel._picture.value)


def test_a_file_of_the_image_is_copied_up_when_it_is_changed(panel: WritableLayer) -> None:
    panel.run()
    panel.change()
    assert files(panel) == {"/etc/motd": "C"}
    assert "changed here" in page(panel)


def test_a_file_of_the_image_is_hidden_when_it_is_deleted_and_a_fresh_container_has_it(panel: WritableLayer) -> None:
    panel.run()
    panel.delete()
    assert files(panel) == {"/etc/profile": "D"}
    assert [line.partition(" alpine ")[2] for line in panel.lines] == ["", "ls /etc/profile"]
    assert [line.text.strip() for line in panel._lines if line.kind == "output"][-1] == "/etc/profile"
    assert [each.name for each in panel.snapshot.containers] == ["box"], "the fresh one is gone again"


def test_stop_and_start_keeps_the_layer(panel: WritableLayer) -> None:
    panel.run()
    panel.write("day one")
    read = panel.stop_and_start()
    assert read and read.text == "day one\n" and read.exit_code == 0
    assert files(panel) == {"/note": "A"}


def test_remove_and_recreate_loses_it(panel: WritableLayer) -> None:
    panel.run()
    panel.write()
    panel.change()
    before = panel.snapshot.containers[0].id
    read = panel.remove_and_recreate()
    assert read and read.exit_code == 1 and "No such file" in read.text
    (after,) = panel.snapshot.containers
    assert after.id != before
    assert after.files == ()
    assert any("its writable layer, 2 files, went with it" in told for told in panel.happened)


def test_without_a_note_it_says_that_nothing_could_be_lost(panel: WritableLayer) -> None:
    panel.run()
    assert panel.stop_and_start() is None
    assert "nothing was written" in panel._lines[-1].text


def test_a_second_container_sees_nothing_of_the_first(panel: WritableLayer) -> None:
    panel.run()
    panel.write()
    panel.delete()
    read = panel.second_container()
    assert "can't open '/note'" in read.text
    assert "/etc/profile" in read.text.splitlines()  # the two streams come in any order
    assert files(panel, "neighbour") == {}
    assert len(panel.snapshot.images) == 1
    again = panel.second_container()
    assert sorted(again.text.splitlines()) == sorted(read.text.splitlines()), "asked again, it is the same one"


def test_every_button_works_in_the_order_of_the_story(panel: WritableLayer) -> None:
    for _, names in panel.story:
        for name in names:
            press(panel, getattr(WritableLayer, name).label)
            assert panel.error is None, name
    press(panel, "Start over")
    assert panel.snapshot.containers == ()
    assert panel._next() == "run"


def test_a_step_that_comes_too_early_says_what_is_missing(panel: WritableLayer) -> None:
    press(panel, "Write a file")
    assert isinstance(panel.error, NotFoundError)
    assert "box" in panel.error.what
    assert panel._next() == "run"
