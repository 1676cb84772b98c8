"""The panel of the five stores, on a real engine: what is kept, what is lost, and what crosses between the sides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import wait_until
from test_panels_base import page, press

from dockerlab import Lab
from dockerlab.errors import DockerLabError, InUseError, NotFoundError
from dockerlab.experiments import STORES
from dockerlab.panels import Mounts
from dockerlab.panels.base import CancelledError

KEPT_BY_STOP = ["kept", "kept", "kept", "kept", "lost"]
KEPT_BY_REMOVE = ["lost", "lost", "kept", "kept", "lost"]


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def panel(lab: Lab, here: Path) -> Iterator[Mounts]:
    panel = Mounts(lab)
    yield panel
    panel.close()


def test_the_table_grows_as_the_learner_acts(panel: Mounts) -> None:
    panel.run()
    assert panel.table.shape == (5, 0)
    panel.write()
    assert list(panel.stop_and_start()) == KEPT_BY_STOP
    panel.write()
    assert list(panel.remove_and_recreate()) == KEPT_BY_REMOVE
    assert list(panel.table.columns) == [
        "1. written inside",
        "2. stop and start",
        "3. written inside",
        "4. rm and recreate",
    ]
    assert list(panel.table.index) == list(STORES)
    wait_until(lambda: "4. rm and recreate" in page(panel))
    assert page(panel).count("✕ lost") == 4


def test_what_was_lost_before_is_not_lost_again(panel: Mounts) -> None:
    panel.run()
    panel.write()
    panel.stop_and_start()
    assert list(panel.stop_and_start()) == ["kept", "kept", "kept", "kept", ""]


def test_with_nothing_written_it_says_so(panel: Mounts) -> None:
    panel.run()
    assert set(panel.stop_and_start()) == {""}
    assert "nothing was written" in panel._lines[-1].text


def test_the_host_writes_where_it_can_and_says_why_not_elsewhere(panel: Mounts) -> None:
    panel.run()
    panel.write_from_host("hello")
    cells = panel.table.iloc[:, 0]
    assert cells["bind mount"] == "written, and seen inside"
    assert all(cells[store].startswith("no: ") for store in STORES if store != "bind mount")
    assert panel.lines[-1].endswith("'cat /folder/note'")


def test_a_note_of_the_container_s_root_is_replaced_since_you_could_not_write_into_it(panel: Mounts) -> None:
    panel.run()
    panel.write("hello")
    with (panel.folder / "note").open() as theirs:
        panel.write_from_host()
        assert theirs.read() == "hello\n"
    assert panel.table.iloc[:, 1]["bind mount"] == "written, and seen inside"


def test_an_edit_goes_there_and_back_in_measured_milliseconds(panel: Mounts) -> None:
    panel.run()
    found = panel.measure()
    assert found > 0
    assert panel.table.iloc[:, 0]["bind mount"] == f"{found:.1f} ms"


def test_where_nothing_runs_an_edit_has_no_answer_and_that_is_said(panel: Mounts) -> None:
    with pytest.raises(NotFoundError):
        panel.measure()
    panel.run()
    panel._lab.stop(panel.name, 0)
    with pytest.raises(DockerLabError, match="does not answer"):
        panel.measure()


def test_volumes_are_filled_from_the_image_and_the_others_hide_it(lab: Lab, panel: Mounts) -> None:
    filled = panel.fill_from_image()
    assert {store for store, cell in filled.items() if cell == "the image's files"} == {
        "writable layer",
        "anonymous volume",
        "named volume",
    }
    assert lab.claims.containers() == []
    assert "mounts-data-fresh" not in {volume.name for volume in panel.refresh().volumes}


def test_the_experiment_runs_by_one_button_and_gives_its_frame(panel: Mounts) -> None:
    press(panel, "All five, one after the other")
    assert panel.error is None
    assert panel.experiment is not None
    assert panel.experiment.to_dict("list") == {"stop and start": KEPT_BY_STOP, "rm and recreate": KEPT_BY_REMOVE}
    wait_until(lambda: "five stores of its own" in page(panel))


def test_the_experiment_can_be_cancelled_and_leaves_nothing(lab: Lab, panel: Mounts) -> None:
    panel._click("five_stores")
    wait_until(lambda: panel._may_cancel)
    panel.cancel()
    wait_until(lambda: not panel._worker.is_alive(), 60)  # type: ignore[union-attr]
    assert isinstance(panel.error, CancelledError)
    assert panel.experiment is None
    assert lab.claims.containers() == []


def test_start_over_leaves_nothing_of_it(lab: Lab, panel: Mounts) -> None:
    before = {each["Name"] for each in lab.engine.client.api.volumes()["Volumes"] or []}
    panel.run()
    panel.write()
    panel.remove_and_recreate()
    panel.start_over()
    assert {each["Name"] for each in lab.engine.client.api.volumes()["Volumes"] or []} == before
    assert lab.claims.containers() == []
    assert list(panel.folder.iterdir()) == []
    assert panel.table.shape == (5, 0)


def test_its_own_folder_goes_with_it_and_a_given_one_stays(lab: Lab, here: Path) -> None:
    panel = Mounts(lab)
    assert panel.folder.parent == here.resolve()
    panel.close()
    assert not panel.folder.exists()
    given = here / "given"
    given.mkdir()
    panel = Mounts(lab, folder=given)
    assert panel.folder == given.resolve()
    panel.close()
    assert given.exists()
    (given / "note").write_text("mine")
    with pytest.raises(InUseError, match="note"):
        Mounts(lab, folder=given)
    assert (given / "note").read_text() == "mine"


def test_without_a_kernel_its_table_is_in_the_words(panel: Mounts) -> None:
    panel.run()
    panel.write()
    assert "1. written inside" in repr(panel)
