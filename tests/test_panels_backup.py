"""The panel for backups, on a real engine: made, damaged, verified, restored, rehearsed, and nothing left behind."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import wait_until
from test_panels_base import page, press

from dockerlab import Lab, Volume
from dockerlab.errors import BackupError, CommandError
from dockerlab.panels import Backup
from dockerlab.panels.base import CancelledError
from dockerlab.storage import Snapshot

LETTERS = "panel-letters"


@pytest.fixture
def panel(lab: Lab, tmp_path: Path) -> Iterator[Backup]:
    panel = Backup(lab, folder=tmp_path)
    yield panel
    panel.close()


@pytest.fixture
def full(panel: Backup) -> Backup:
    panel.make(megabytes=1)
    panel.back_up(LETTERS)
    return panel


def volumes(panel: Backup) -> set[str]:
    return {volume.name for volume in panel.refresh().volumes}


def test_a_backup_is_a_plain_archive_with_its_digest_beside_it(full: Backup, tmp_path: Path) -> None:
    archive = tmp_path / f"{LETTERS}.tar.gz"
    assert full.archive == archive
    assert (tmp_path / f"{LETTERS}.tar.gz.sha256").read_text().split()[0] == hashlib.sha256(
        archive.read_bytes()
    ).hexdigest()
    with tarfile.open(archive) as tar:
        assert "./1999/first" in tar.getnames() or "1999/first" in tar.getnames()
    wait_until(lambda: full.result is not None and full.result.digest in page(full))  # type: ignore[attr-defined]
    assert any(line.text.startswith("much like docker run --rm") for line in full._lines)


def test_one_looks_inside_without_unpacking(full: Backup) -> None:
    frame = full.look_inside()
    assert {"1999/first", "1999/second", "photo", "latest"} <= set(frame["name"])
    wait_until(lambda: "In the archive" in page(full) and "1999/second" in page(full))


def test_damage_is_found_by_all_and_can_be_undone(full: Backup) -> None:
    before = full.verify().digest
    full.damage()
    full.damage()
    there = volumes(full)
    for ask in (full.verify, full.restore_copy, full.rehearse, full.look_inside):
        with pytest.raises(BackupError, match="not whole"):
            ask()
    assert volumes(full) == there, "no half copy"
    full.mend()
    assert full.verify().digest == before
    with pytest.raises(CommandError, match="no damage"):
        full.mend()


def test_a_backup_made_after_damage_is_not_undone(full: Backup) -> None:
    full.damage()
    full.back_up(LETTERS)
    full.verify()
    with pytest.raises(CommandError, match="no damage"):
        full.mend()


def test_copies_are_new_volumes_with_all_of_it(lab: Lab, full: Backup) -> None:
    restored = full.restore_copy()
    assert restored.volume == f"{LETTERS}-copy"
    assert full.restore_copy().volume == f"{LETTERS}-copy-2"
    assert {f"{LETTERS}-copy", f"{LETTERS}-copy-2"} <= volumes(full)
    words = ["cat", "/look/1999/first"]
    look = Volume(f"{LETTERS}-copy", "/look", read_only=True)
    assert lab.run("alpine", words, mounts=[look], detach=False, remove=True).text == "Dear Ana\n"


def test_a_rehearsal_leaves_nothing_and_its_tools_are_never_shown(lab: Lab, full: Backup) -> None:
    there, seen = volumes(full), list[Snapshot]()
    full._watcher.listen(seen.append)
    assert "this backup restores" in repr(full.rehearse())
    assert volumes(full) == there
    assert all(not each.containers and {volume.name for volume in each.volumes} == there for each in seen)
    assert lab.claims.containers() == []


def test_both_ways_are_compared_and_leave_no_file(full: Backup, tmp_path: Path) -> None:
    there = set(tmp_path.iterdir())
    found = full.compare(LETTERS)
    assert list(found["way"]) == ["docker run … tar czf", "back_up"]
    assert (found["seconds"] > 0).all() and (found["bytes"] > 900_000).all()
    assert set(tmp_path.iterdir()) == there
    wait_until(lambda: "Side by side" in page(full))


def test_a_cancelled_backup_leaves_nothing(lab: Lab, panel: Backup, tmp_path: Path) -> None:
    panel.make(megabytes=1)
    told = panel._advance

    def advance(words: str, done: float | None = None, total: float | None = None) -> None:
        panel.cancel()  # as the button does, in the midst of it
        told(words, done, total)

    panel._advance = advance  # type: ignore[method-assign]
    with pytest.raises(CancelledError):
        panel.back_up(LETTERS)
    assert list(tmp_path.iterdir()) == []
    assert lab.claims.containers() == []


def test_before_a_backup_there_is_nothing_to_verify(panel: Backup) -> None:
    press(panel, "Verify")
    assert isinstance(panel.error, CommandError)
    assert "no backup yet" in panel.error.what


def test_every_button_works_in_the_order_of_the_story(panel: Backup) -> None:
    for _, names in panel.story:
        for name in names:
            if name == "back_up":
                wait_until(lambda: panel._choice.ui.value == LETTERS)
            press(panel, getattr(Backup, name).label)
            assert panel.error is None, name


def test_start_over_removes_what_the_panel_made_and_only_that(full: Backup, tmp_path: Path) -> None:
    (tmp_path / "mine.tar.gz").write_bytes(b"mine")
    full.restore_copy()
    full.damage()
    full.start_over()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar.gz"]
    assert not {name for name in volumes(full) if name.startswith(LETTERS)}
