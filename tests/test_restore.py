"""A restore gives back just what an archive holds, or leaves everything as it was; a rehearsal leaves nothing."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from content import hard_to_keep, helpers, item, listing, put, tar_of

from dockerlab import Lab, Postgres, Volume
from dockerlab.backup import back_up, dump, rehearse, restore, restoring, tar
from dockerlab.backup.archive import Archive
from dockerlab.backup.door import LABEL, Door
from dockerlab.backup.mending import put_right
from dockerlab.engine import images
from dockerlab.engine.find import Engine
from dockerlab.errors import BackupError, ForeignError, InUseError, NotFoundError

LINK, FOLDER = tarfile.SYMTYPE, tarfile.DIRTYPE


@pytest.fixture(autouse=True)
def nothing_left(lab: Lab, tmp_path: Path) -> Iterator[None]:
    yield
    assert helpers(lab) == []
    assert list(tmp_path.glob(".dockerlab*")) == []


def archive(path: Path, *items: tuple[tarfile.TarInfo, bytes]) -> Path:
    path.write_bytes(gzip.compress(tar_of(items)))
    return path


def names(lab: Lab) -> list[str]:
    return sorted(lab.volumes()["name"])


# What comes back


def test_everything_comes_back_and_is_compared(lab: Lab, tmp_path: Path) -> None:
    put(lab, "hard", hard_to_keep())
    backup = back_up(lab, "hard", tmp_path / "hard.tar.gz", progress=False)
    restored = restore(lab, backup.path, "again", progress=False)
    assert listing(lab, "again") == listing(lab, "hard")
    assert restored.compared == len(hard_to_keep())
    assert (restored.files, restored.content, restored.digest) == (backup.files, backup.bytes_before, backup.digest)
    for text in ("again", f"{len(hard_to_keep())} entries, all as in the archive", "docker run --rm"):
        assert text in repr(restored) and text in restored._repr_html_()
    second = back_up(lab, "again", tmp_path / "again.tar.gz", progress=False)
    assert second.digest == backup.digest  # to the last bit


def many_small() -> list[tuple[tarfile.TarInfo, bytes]]:
    """Entries of every kind that busybox's tar keeps, with files enough to have it unpack them."""
    left_out = ("zeros", "noise", "capable")
    crumbs = [item(f"folder/{number}", content=b"%d" % number, mtime=number) for number in range(300)]
    return [each for each in hard_to_keep() if each[0].name not in left_out] + crumbs


def test_many_small_files_come_back_as_if_the_engine_had_unpacked_them(lab: Lab, tmp_path: Path) -> None:
    put(lab, "small", many_small())
    backup = back_up(lab, "small", tmp_path / "small.tar.gz", progress=False)
    assert restore(lab, backup.path, "again", progress=False).compared == len(many_small())
    assert listing(lab, "again") == listing(lab, "small")
    assert back_up(lab, "again", tmp_path / "again.tar.gz", progress=False).digest == backup.digest  # to the last bit


@pytest.mark.parametrize("script", ["exit 3", "cat >/dev/null; echo no room; exit 3", "head -c 100 | tar xpf - -C $1"])
def test_small_files_that_are_not_unpacked_leave_no_volume(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    path = archive(tmp_path / "a.tar.gz", *many_small()[1:])
    monkeypatch.setattr("dockerlab.backup.restoring.UNPACK", script)
    with pytest.raises(BackupError, match="(?s)Exit status [13].*" + ("no room" if "no room" in script else "")):
        restore(lab, path, "again", progress=False)
    assert names(lab) == []


def test_folders_get_their_times_and_the_root_its_mode_and_owner(lab: Lab, tmp_path: Path) -> None:
    root = item(".", FOLDER, mode=0o1750, uid=70, gid=71, mtime=1_100_000_000)
    inner = item("folder", FOLDER, mtime=1_000_000_000)
    path = archive(tmp_path / "a.tar.gz", root, inner, item("folder/a"), item("folder/up", LINK, linkname="../.."))
    restore(lab, path, "data", progress=False)
    script = ["sh", "-c", "stat -c '%a %u %g %Y' /v /v/folder"]
    said = lab.run("alpine", script, mounts=[Volume("data", "/v", read_only=True)], detach=False, remove=True).text
    assert said.splitlines() == ["1750 70 71 1100000000", "755 0 0 1000000000"]


def test_times_that_the_engine_does_not_keep_are_said(lab: Lab, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", item("old", mtime=-86400), item("far", mtime=2**34), item("now", mtime=1))
    assert "2 times before 1970 or after 2262" in repr(restore(lab, path, "data", progress=False))


def test_the_course_s_own_archive_is_restored(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=b"1"), item("b/c", content=b"2"), item("d", LINK, linkname="../x")])
    words = ["sh", "-c", "tar czf - -C /source . | base64"]  # by way of the log, which is for text
    said = lab.run("alpine", words, mounts=[Volume("data", "/source")], detach=False, remove=True).text
    (tmp_path / "c16.tar.gz").write_bytes(base64.b64decode(said))
    restore(lab, tmp_path / "c16.tar.gz", "again", progress=False)
    assert listing(lab, "again") == listing(lab, "data")


def test_an_archive_that_gnu_tar_made_of_a_folder_is_restored(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "site" / "css").mkdir(parents=True)
    (tmp_path / "site" / "css" / "a.css").write_text("a")
    subprocess.run(["tar", "czf", "site.tar.gz", "site/css"], cwd=tmp_path, check=True)
    assert restore(lab, tmp_path / "site.tar.gz", "data", progress=False).compared == 2
    assert "./site/css/a.css" in "\n".join(listing(lab, "data"))


def test_an_empty_archive_and_an_empty_volume_are_fine(lab: Lab, tmp_path: Path) -> None:
    lab.create_volume("nothing")
    path = back_up(lab, "nothing", tmp_path / "nothing.tar.gz", progress=False).path
    lab.create_volume("empty")
    assert restore(lab, path, "empty", progress=False).files == 0
    assert restore(lab, path, "new", progress=False).files == 0
    assert restore(lab, archive(tmp_path / "a.tar.gz", item("a")), "empty", progress=False).files == 1


def test_a_new_volume_is_the_lab_s_own(lab: Lab, tmp_path: Path) -> None:
    restore(lab, archive(tmp_path / "a.tar.gz", item("a")), "new", progress=False)
    labels = lab.inspect_volume("new")["Labels"]
    assert labels == lab.belongings.labels
    assert lab.journal["command"].iloc[-2].startswith("docker run --rm -v new:/target")


def test_progress_is_told_for_both_ways(lab: Lab, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = archive(tmp_path / "a.tar.gz", item("a", content=bytes(3_000_000)))
    restore(lab, path, "data", progress=lambda done, total: told.append((done, total)))
    assert [each for each in told if each[0] in (0, 3_000_000)] == [(0, 3_000_000), (3_000_000, 3_000_000)] * 2


# What stays as it is


def test_a_volume_with_content_is_refused(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("old", content=b"1")])
    before = listing(lab, "data")
    with pytest.raises(BackupError, match="replace=True"):
        restore(lab, archive(tmp_path / "a.tar.gz", item("new")), "data", progress=False)
    assert listing(lab, "data") == before


def test_replace_leaves_nothing_of_the_old(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", hard_to_keep())
    restored = restore(lab, archive(tmp_path / "a.tar.gz", item("new", content=b"2")), "data", True, progress=False)
    assert restored.replaced and "in place of what it held" in repr(restored)
    assert [line.split("|")[0] for line in listing(lab, "data") if line.startswith("./")] == ["./new", "./new"]


def spoil(lab: Lab, volume: str) -> object:
    """Write into a volume while it is filled, as somebody else might: it will not be what the archive has."""
    spoiled = []

    def progress(done: int, total: int | None) -> None:
        if done and total == 3_000_000 and not spoiled:
            spoiled.append(True)
            put(lab, volume, [item("somebody else's")])

    return progress


@pytest.mark.parametrize("was", ["absent", "empty", "full"])
def test_whatever_fails_on_the_way_is_undone(lab: Lab, tmp_path: Path, was: str) -> None:
    root = item(".", tarfile.DIRTYPE, mode=0o700, uid=70, gid=71)
    path = archive(tmp_path / "a.tar.gz", root, item("a", content=bytes(3_000_000)), item("b"))
    before = None
    if was != "absent":
        root = item(".", tarfile.DIRTYPE, mode=0o2750, uid=1000, gid=1001)
        put(lab, "data", hard_to_keep() if was == "full" else [root])
        before = listing(lab, "data")
    with pytest.raises(BackupError, match="1 difference, the first: somebody else's is too much"):
        restore(lab, path, "data", replace=True, progress=spoil(lab, "data"))  # type: ignore[arg-type]
    assert names(lab) == ([] if was == "absent" else ["data"])
    if before:
        assert listing(lab, "data") == before


def test_an_archive_that_is_not_whole_touches_nothing(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("old", content=b"1")])
    before = listing(lab, "data")
    path = archive(tmp_path / "a.tar.gz", *hard_to_keep())
    path.write_bytes(path.read_bytes()[:-100])
    for volume in ("data", "new"):
        with pytest.raises(BackupError, match="is not whole"):
            restore(lab, path, volume, replace=True, progress=False)
    with pytest.raises(BackupError, match="is not whole"):
        rehearse(lab, path, progress=False)
    with pytest.raises(NotFoundError):
        restore(lab, tmp_path / "nothing.tar.gz", "new", progress=False)
    assert listing(lab, "data") == before
    assert names(lab) == ["data"]


@pytest.mark.parametrize(
    "hostile",
    [
        [item("../../evil")],
        [item("/evil")],
        [item("out", LINK, linkname="/"), item("out/evil")],
        [item("out", LINK, linkname="../.."), item("out/evil")],
        [item("evil", tarfile.LNKTYPE, linkname="../../bin/busybox")],
        [item("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    ],
    ids=["up", "absolute", "link", "relative link", "hard link", "device"],
)
def test_a_hostile_archive_touches_nothing(
    lab: Lab, tmp_path: Path, hostile: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    path = archive(tmp_path / "a.tar.gz", item("good"), *hostile)
    with pytest.raises(BackupError, match="could write outside"):
        restore(lab, path, "new", progress=False)
    assert names(lab) == []


def small_volume(lab: Lab, options: str) -> str:
    """A volume on a file system of its own, which is there as long as a container that is not ours has it."""
    name = lab.belongings.full("small")
    driver = {"type": "tmpfs", "device": "tmpfs", "o": options}
    lab.engine.client.volumes.create(name, driver_opts=driver, labels=lab.belongings.labels)
    return "small"


@pytest.mark.parametrize(
    ("options", "items", "what"),
    [
        ("size=1m", [item("zeros", content=bytes(5_000_000))], "5,000,000 bytes"),
        ("size=1m,nr_inodes=20", [item(f"f{number}") for number in range(50)], "files"),
    ],
)
def test_a_bomb_touches_nothing(
    lab: Lab, tmp_path: Path, options: str, items: list[tuple[tarfile.TarInfo, bytes]], what: str
) -> None:
    path = archive(tmp_path / "a.tar.gz", *items)
    volume = small_volume(lab, options)
    with pytest.raises(BackupError, match="has no room") as refused:
        restore(lab, path, volume, progress=False)
    assert what in refused.value.seen


def test_a_bomb_is_not_even_read_to_its_end(lab: Lab, tmp_path: Path) -> None:
    # All that there is of it is a header, which says a pebibyte.
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar.encode(tar.Entry(b"bomb", tar.FILE, 0o644, 0, 0, 2**50, 0))))
    with pytest.raises(BackupError, match="has no room"):
        restore(lab, path, "new", progress=False)
    assert names(lab) == []


def test_a_volume_in_use_is_refused(lab: Lab, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", item("a"))
    box = lab.run(
        "alpine", ["sh", "-c", "trap exit TERM; sleep 1000 & wait"], name="app", mounts=[Volume("data", "/v")]
    )
    with pytest.raises(InUseError, match=r"app \(running\)"):
        restore(lab, path, "data", progress=False)
    lab.stop(box)
    restore(lab, path, "data", progress=False)


def test_who_takes_the_volume_into_use_meanwhile_spoils_the_restore(lab: Lab, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", item("a", content=bytes(3_000_000)))
    boxes: list[object] = []

    def use(done: int, total: int | None) -> None:
        if done and not boxes:
            boxes.append(lab.run("alpine", "sleep 1000", name="app", mounts=[Volume("data", "/v")]))

    with pytest.raises(InUseError, match="app"):
        restore(lab, path, "data", progress=use)
    lab.remove("app", force=True)
    # It could not be removed under that container; whoever stands guard does it as soon as it can be.
    deadline = time.monotonic() + 60
    while names(lab) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert names(lab) == []


def test_a_server_that_was_started_on_a_replaced_volume_keeps_its_files_until_it_is_stopped(
    lab: Lab, tmp_path: Path
) -> None:
    put(lab, "data", hard_to_keep())
    before = listing(lab, "data")
    path = archive(tmp_path / "a.tar.gz", item("a", content=bytes(3_000_000)))
    boxes: list[object] = []

    def use(done: int, total: int | None) -> None:
        if done and total == 3_000_000 and not boxes:
            boxes.append(lab.run("alpine", "sleep 1000", name="app", mounts=[Volume("data", "/v")]))

    with pytest.raises(InUseError, match="app") as refused:
        restore(lab, path, "data", True, progress=use)
    (kept,) = tmp_path.glob(".dockerlab*-0.part")
    assert str(kept) in refused.value.next_step
    assert lab.exec("app", "stat -c %s /v/a").text == "3000000\n"
    lab.remove("app", force=True)
    deadline = time.monotonic() + 60
    while list(tmp_path.glob(".dockerlab*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert listing(lab, "data") == before


def test_of_two_restores_into_one_volume_the_later_is_refused_from_the_first_look_on(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("old", content=b"1")])
    ours = archive(tmp_path / "a.tar.gz", item("ours", content=b"2"))
    theirs = archive(tmp_path / "b.tar.gz", item("theirs", content=b"3"))
    told: list[InUseError] = []

    def look(done: int, total: int | None) -> None:
        if total is None and not told:  # the old content is only being kept
            with pytest.raises(InUseError) as refused:
                restore(lab, theirs, "data", True, progress=False)
            told.append(refused.value)

    restore(lab, ours, "data", True, progress=look)
    assert "It is another restore" in told[0].next_step
    assert [line for line in listing(lab, "data") if line.startswith("./theirs")] == []


def test_who_enters_right_after_the_first_look_is_seen_by_the_second(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lab, "data", [item("old", content=b"1")])
    path, before = archive(tmp_path / "a.tar.gz", item("new", content=b"2")), listing(lab, "data")
    ensure, doors = images.ensure, list[Door]()

    def enter(*arguments: Any, **more: Any) -> object:
        monkeypatch.undo()
        doors.append(Door(lab.engine, lab.belongings.full("data"), {**lab.belongings.labels, LABEL: "another"}))
        return ensure(*arguments, **more)

    monkeypatch.setattr(images, "ensure", enter)
    with pytest.raises(InUseError, match="in use") as refused:
        restore(lab, path, "data", True, progress=False)
    lab.engine.client.api.remove_container(doors[0].id)
    assert "It is another restore" in refused.value.next_step
    assert listing(lab, "data") == before


def test_a_server_that_is_started_while_the_old_content_is_kept_loses_nothing(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("old", content=b"1")])
    path = archive(tmp_path / "a.tar.gz", item("new", content=b"2"))
    boxes: list[object] = []

    def use(done: int, total: int | None) -> None:
        if total is None and not boxes:
            boxes.append(lab.run("alpine", "sleep 1000", name="app", mounts=[Volume("data", "/v")]))

    with pytest.raises(InUseError, match="app"):
        restore(lab, path, "data", True, progress=use)
    assert lab.exec("app", "ls /v").text == "old\n"


@pytest.mark.parametrize("who", ["a restore", "somebody"])
def test_a_volume_that_was_made_meanwhile_is_left_as_it_is(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    ours = archive(tmp_path / "a.tar.gz", item("ours", content=b"2"))
    theirs = archive(tmp_path / "b.tar.gz", item("theirs", content=b"3"))
    checked = restoring.checked

    def check(*arguments: Any) -> Archive:
        monkeypatch.undo()
        if who == "somebody":
            put(lab, "data", [item("theirs", content=b"3")])
        else:
            restore(lab, theirs, "data", progress=False)
        return checked(*arguments)

    monkeypatch.setattr(restoring, "checked", check)
    with pytest.raises(InUseError, match="made meanwhile"):
        restore(lab, ours, "data", progress=False)
    assert lab.run("alpine", "ls /v", mounts=[Volume("data", "/v")], detach=False, remove=True).text == "theirs\n"


def test_what_was_absent_does_not_go_while_another_restore_fills_it(lab: Lab, tmp_path: Path) -> None:
    path, name = archive(tmp_path / "a.tar.gz", item("a", content=bytes(100))), lab.belongings.full("data")
    target = {"volume": name, "was": "absent", "undo": ""}
    notes, told = {"id": "earlier", "labels": {}, "target": target}, []

    def look(done: int, total: int | None) -> None:
        if done and not told:
            told.append(put_right(lab.engine, notes))

    restore(lab, path, "data", progress=look)
    assert told == [[]] and names(lab) == ["data"]


def test_an_undo_makes_a_volume_that_was_removed_anew_as_the_lab_s_own(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", hard_to_keep())
    old, before = back_up(lab, "data", tmp_path / "old.tar.gz", progress=False).path, listing(lab, "data")
    lab.remove_volume("data")
    name = lab.belongings.full("data")
    target = {"volume": name, "was": "full", "undo": str(old), "root": [0o755, 0, 0, 0, 0]}
    labels = {**lab.belongings.labels, LABEL: "earlier"}
    put_right(lab.engine, {"id": "earlier", "labels": labels, "target": target})
    assert listing(lab, "data") == before
    assert lab.inspect_volume("data")["Labels"] == lab.belongings.labels


def test_an_undo_whose_file_is_gone_is_said_to_be_none_and_comes_to_an_end(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("half")])
    target = {"volume": lab.belongings.full("data"), "was": "full", "undo": str(tmp_path / "gone.part"), "root": []}
    (told,) = put_right(lab.engine, {"id": "earlier", "labels": {}, "target": target})
    assert "gone.part, which held it, is gone" in told and "half" in "".join(listing(lab, "data"))


def test_a_foreign_volume_is_left_alone(stranger: Engine, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", item("a"))
    with Lab("ours", engine=stranger, echo=None) as lab:
        theirs = stranger.client.volumes.create("theirs")
        try:
            for replace in (False, True):
                with pytest.raises(ForeignError, match="theirs"):
                    restore(lab, path, "theirs", replace, progress=False)
        finally:
            theirs.remove()


# Rehearsals


def test_a_backup_that_restores_is_said_to(lab: Lab, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", *hard_to_keep())
    before = names(lab)
    rehearsal = rehearse(lab, path, progress=False)
    assert "this backup restores" in repr(rehearsal)
    assert rehearsal.compared == len(hard_to_keep()) and rehearsal.server == ""
    assert names(lab) == before


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[Postgres]:
    with (
        Lab("test-dumps", engine=engine, owner="", echo=None) as lab,
        Postgres(lab, "db", volume="pgdata", user="admin", password="secret", database="shop") as db,
    ):
        yield db


@pytest.fixture
def db(server: Postgres) -> Postgres:
    """A server with a thousand rows, for several tests one after the other."""
    rows = "CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items SELECT generate_series(1, 1000)"
    server.sql(f"DROP TABLE IF EXISTS items; {rows}")
    return server


def test_a_postgres_volume_is_rehearsed_with_a_server(db: Postgres, tmp_path: Path) -> None:
    backup = back_up(db.lab, "pgdata", tmp_path / "pg.tar.gz", consistent="pause", progress=False)
    rehearsal = rehearse(db.lab, backup.path, progress=False)
    assert rehearsal.server.startswith("Postgres 16") and "tables in postgres: 0, shop: 1" in rehearsal.server
    assert db.sql("SELECT count(*) FROM items")["count"].tolist() == [1000]


@pytest.mark.parametrize("bare", [False, True], ids=["all of it", "without its root"])
def test_a_server_is_rehearsed_for_whoever_owns_the_data(db: Postgres, tmp_path: Path, bare: bool) -> None:
    backup = back_up(db.lab, "pgdata", tmp_path / "pg.tar.gz", consistent="pause", progress=False)
    # As another image has it, or a server run with user=; and as `cd pgdata && tar czf ../pg.tar.gz *` leaves it.
    with (
        tarfile.open(backup.path) as whole,
        tarfile.open(tmp_path / "theirs.tar.gz", "w:gz", compresslevel=1) as theirs,
    ):
        for entry in whole:
            entry.uid = entry.gid = 999
            entry.name = entry.name.removeprefix("./") if bare else entry.name
            if entry.name.strip("./") or not bare:
                theirs.addfile(entry, whole.extractfile(entry) if entry.isreg() else None)
    rehearsal = rehearse(db.lab, tmp_path / "theirs.tar.gz", progress=False)
    assert "tables in postgres: 0, shop: 1" in rehearsal.server


def test_a_postgres_volume_that_no_server_starts_on_is_said_to_be_one(db: Postgres, tmp_path: Path) -> None:
    backup = back_up(db.lab, "pgdata", tmp_path / "pg.tar.gz", consistent="pause", progress=False)
    # Its files are restored just as they are in the archive: only a server sees that they are of no use.
    with tarfile.open(backup.path) as whole, tarfile.open(tmp_path / "bad.tar.gz", "w:gz", compresslevel=1) as bad:
        for entry in whole:
            file = whole.extractfile(entry) if entry.isreg() else None
            if entry.name.endswith("global/pg_control"):
                file = io.BytesIO(bytes(entry.size))
            bad.addfile(entry, file)
    with pytest.raises(BackupError, match="Postgres 16 does not start on it") as refused:
        rehearse(db.lab, tmp_path / "bad.tar.gz", progress=False)
    assert "pg_control" in refused.value.seen or "incompatible" in refused.value.seen


# Dumps


def test_a_program_that_fails_after_its_stream_has_ended_has_failed(db: Postgres) -> None:
    api = db.lab.engine.client.api
    words = ["sh", "-c", "until [ -e /tmp/go ]; do sleep 0.1; done; exit 3"]
    key = api.exec_create(db.container.id, words)["Id"]
    api.exec_start(key, detach=True)
    assert api.exec_inspect(key)["Running"]
    threading.Timer(0.5, lambda: db.lab.exec(db.container, "touch /tmp/go")).start()
    with pytest.raises(BackupError, match="Exit status 3"):
        dump._check(api, key, "It was not dumped.", b"")


def test_a_dump_is_loaded_whole_or_not_at_all(db: Postgres, tmp_path: Path) -> None:
    made = db.dump(tmp_path / "shop.dump")
    assert made.digest == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert "pg_dump" in repr(made) and "secret" not in repr(made)
    db.sql("DELETE FROM items WHERE id > 10")
    db.load(made.path)
    assert db.sql("SELECT count(*) FROM items")["count"].tolist() == [1000]

    db.sql("DELETE FROM items WHERE id > 10")
    made.path.write_bytes(made.path.read_bytes()[:-500])
    with pytest.raises(BackupError, match="digest"):
        db.load(made.path)
    made.path.with_name("shop.dump.sha256").unlink()
    with pytest.raises(BackupError, match="pg_restore"):
        db.load(made.path)
    assert db.sql("SELECT count(*) FROM items")["count"].tolist() == [10]


def test_a_dump_that_fails_leaves_the_older_one(db: Postgres, tmp_path: Path) -> None:
    old = db.dump(tmp_path / "shop.dump")
    where = db.lab.exec(db.container, "command -v pg_dump").text.strip()
    db.lab.exec(db.container, f"mv {where} /tmp/pg_dump")
    with pytest.raises(BackupError):
        db.dump(old.path)
    db.lab.exec(db.container, f"mv /tmp/pg_dump {where}")
    assert hashlib.sha256(old.path.read_bytes()).hexdigest() == old.digest


def test_other_files_are_no_dumps(db: Postgres, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1")
    with pytest.raises(BackupError, match="no dump"):
        db.load(tmp_path / "a.sql")
    with pytest.raises(NotFoundError):
        db.load(tmp_path / "none.dump")
