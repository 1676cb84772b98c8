"""A backup keeps what is in a volume, never looks like one before it is whole, and says who used the volume."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from content import CAPABILITY, hard_to_keep, helpers, item, listing, put
from content import volumes as all_volumes
from docker import APIClient
from engines import free_port, mounted, needs_private_engine, needs_root, python, wait_until

from dockerlab import Lab, Volume
from dockerlab.backup import back_up, restore, restoring, saving, tar, verify, volumes
from dockerlab.backup.archive import shown
from dockerlab.backup.contents import differences
from dockerlab.backup.mending import put_right
from dockerlab.backup.stream import streaming
from dockerlab.backup.underway import Underway
from dockerlab.cli import invoke
from dockerlab.engine.find import Engine
from dockerlab.errors import BackupError, ForeignError, InUseError, NotFoundError

SLEEP = "trap exit TERM; sleep 1000 & wait"


@pytest.fixture(autouse=True)
def nothing_left(lab: Lab, tmp_path: Path) -> Iterator[None]:
    yield
    assert helpers(lab) == []
    assert list(tmp_path.glob(".dockerlab*")) == []


def sleeper(lab: Lab, name: str, volume: str) -> object:
    return lab.run("alpine", ["sh", "-c", SLEEP], name=name, mounts=[Volume(volume, "/data")])


def sockets() -> int:
    """How many sockets this process has open (Linux)."""
    return sum(path.is_socket() for path in Path("/proc/self/fd").iterdir())


# What is kept


def test_everything_that_a_volume_holds_comes_back_by_the_tars_that_everybody_has(lab: Lab, tmp_path: Path) -> None:
    put(lab, "hard", hard_to_keep())
    backup = back_up(lab, "hard", tmp_path / "hard.tar.gz", progress=False)
    lab.claim_volume("again")
    # The course's own line, but for the archive: it comes in by standard input, wherever the engine is.
    unpack = ["docker", "run", "-i", "--rm", "-v", f"{lab.belongings.full('again')}:/target", "alpine"]
    with backup.path.open("rb") as file:
        subprocess.run(
            [*unpack, "tar", "xzf", "-", "-C", "/target"],
            stdin=file, env=os.environ | lab.engine.cli_env(), check=True,
        )  # fmt: skip
    # busybox leaves the owner and time of a symbolic link to whoever unpacks it.
    assert forget_links(listing(lab, "again")) == forget_links(listing(lab, "hard"))


def forget_links(lines: list[str]) -> list[str]:
    owner = re.compile(r"^(./(?:dangling|link|long link|absolute|folder/up)\|[^|]*)\|.*")
    return [owner.sub(r"\1", line) for line in lines]


@needs_root
def test_gnu_tar_unpacks_it_with_owners_modes_and_times(lab: Lab, tmp_path: Path) -> None:
    put(lab, "hard", hard_to_keep())
    backup = back_up(lab, "hard", tmp_path / "hard.tar.gz", progress=False)
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(["tar", "xzf", backup.path, "--xattrs", "--xattrs-include=*", "-C", target], check=True)
    for entry, content in hard_to_keep():
        path = os.fsencode(target) + b"/" + os.fsencode(entry.name)
        state = os.lstat(path)
        original = next((other for other, _ in hard_to_keep() if entry.islnk() and other.name == entry.linkname), entry)
        assert (state.st_uid, state.st_gid, int(state.st_mtime)) == (original.uid, original.gid, original.mtime)
        assert original.issym() or state.st_mode & 0o7777 == original.mode
        if entry.isreg():
            with open(path, "rb") as file:
                assert file.read() == content
    assert os.getxattr(target / "capable", "security.capability") == CAPABILITY


def test_owners_are_numbers_alone(lab: Lab, tmp_path: Path) -> None:
    # Names would be looked up where the archive is unpacked: www-data is 33 on Debian and 82 on Alpine.
    put(lab, "owned", [item("page", content=b"x", uid=33, gid=33, uname="www-data", gname="www-data")])
    backup = back_up(lab, "owned", tmp_path / "owned.tar.gz", progress=False)
    with tarfile.open(backup.path) as archive:
        assert {(entry.uname, entry.gname) for entry in archive} == {("", "")}


@needs_root
@needs_private_engine
def test_what_the_engine_s_stream_does_not_carry_is_known(lab: Lab, tmp_path: Path) -> None:
    put(
        lab,
        "extras",
        [item("file", content=b"x", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY.decode()})],
    )
    folder = Path(lab.inspect_volume("extras")["Mountpoint"])
    os.setxattr(folder / "file", "user.note", b"hello")
    os.setxattr(folder / "file", "trusted.note", b"hello")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
    with (folder / "holes").open("wb") as file:
        file.truncate(5_000_000)
    entries = verify(back_up(lab, "extras", tmp_path / "extras.tar.gz", progress=False).path).entries
    assert entries[b"file"].xattrs == ((b"security.capability", CAPABILITY),)  # and neither user.* nor trusted.*
    assert b"s" not in entries  # sockets are left out
    assert entries[b"holes"].size == 5_000_000  # and arrive as zeros


def test_an_empty_volume_makes_a_valid_empty_archive_and_says_so(lab: Lab, tmp_path: Path) -> None:
    lab.create_volume("nothing")
    backup = back_up(lab, "nothing", tmp_path / "nothing.tar.gz", progress=False)
    assert backup.files == backup.bytes_before == 0
    assert "The volume is empty" in repr(backup)
    assert list(verify(backup.path).entries) == [tar.ROOT]


# Docker's own way

OUT = "docker run --rm -v my-data:/source -v $(pwd):/backup alpine tar czf /backup/my-data-backup.tar.gz -C /source ."
IN = "docker run --rm -v my-copy:/target -v $(pwd):/backup alpine tar xzf /backup/my-data-backup.tar.gz -C /target"


@needs_private_engine
@pytest.mark.parametrize("how", ["%docker", "command values"])
def test_docker_s_own_way_goes_out_and_in(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    lab.create_volume("my-data")
    put(lab, "my-data", [item("a", content=b"1"), item("b/c", content=b"2")])
    for line, call in (
        (OUT, saving.same("my-data", tmp_path / "my-data-backup.tar.gz")),
        (IN, restoring.same("my-copy", tmp_path / "my-data-backup.tar.gz")),
    ):
        if how == "%docker":
            invoke(lab, line.removeprefix("docker "), out=io.StringIO())
        else:
            assert str(call) == line.replace("$(pwd)", str(tmp_path))
            lab.do(call)
    assert listing(lab, "my-copy") == listing(lab, "my-data")
    assert verify(tmp_path / "my-data-backup.tar.gz").files == 2


# The result


def test_the_result_says_what_was_done_and_the_digest_is_one_that_sha256sum_checks(lab: Lab, tmp_path: Path) -> None:
    put(
        lab,
        "data",
        [item("a", content=b"1" * 1000), item("b", content=b"2" * 500), item("c", tarfile.LNKTYPE, linkname="a")],
    )
    backup = back_up(lab, "data", tmp_path / "my data.tar.gz", progress=False)
    assert (backup.volume, backup.files, backup.bytes_before) == ("data", 2, 1500)
    assert backup.bytes_after == backup.path.stat().st_size
    assert backup.engine == repr(lab.engine)
    assert backup.state == "not in use"
    for text in ("data", "2 files, 1.5 kB", backup.digest, "docker run --rm"):
        assert text in repr(backup)
        assert text in backup._repr_html_()
    checked = subprocess.run(
        ["sha256sum", "-c", "my data.tar.gz.sha256"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert checked.stdout == "my data.tar.gz: OK\n"
    assert verify(backup.path).sealed
    assert verify(backup.path).digest == backup.digest


def test_a_file_name_that_breaks_lines_is_checked_too(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a")])
    name = "back\\slash\nnew.tar.gz"
    back_up(lab, "data", tmp_path / name, progress=False)
    subprocess.run(["sha256sum", "-c", name + ".sha256"], cwd=tmp_path, check=True)
    assert verify(tmp_path / name).sealed


def test_the_docker_line_in_it_makes_the_same_backup(lab: Lab, tmp_path: Path) -> None:
    if not lab.engine.private:
        pytest.skip("a bind mount needs an engine on this machine")
    put(lab, "data", hard_to_keep())
    backup = back_up(lab, "data", tmp_path / "data.tar.gz", progress=False)
    ours = verify(backup.path).entries
    subprocess.run(["sh", "-c", backup.line], env=os.environ | lab.engine.cli_env(), check=True)
    backup.path.with_name("data.tar.gz.sha256").unlink()
    theirs = verify(backup.path).entries
    # Of busybox's tar: no attributes, and a number that has no room in its field is cut.
    lines = [
        line for line in differences(ours, theirs) if not line.startswith(("capable has another attr", "big owner"))
    ]
    assert lines == []


def test_without_a_path_it_is_named_after_the_volume(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(lab, "data", [item("a")])
    assert back_up(lab, "data", progress=False).path == tmp_path / "data.tar.gz"


def test_the_journal_has_it_between_stop_and_start(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a")])
    sleeper(lab, "app", "data")
    back_up(lab, "data", tmp_path / "data.tar.gz", consistent="stop", progress=False)
    words = [line.split()[1] for line in lab.journal["command"][-3:]]
    assert words == ["stop", "run", "start"]
    assert " tar czf " in lab.script()


def test_a_container_that_does_not_start_again_is_an_error_and_is_tried_again(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=bytes(1000))])
    port = free_port()
    lab.run("alpine", ["sh", "-c", SLEEP], name="app", mounts=[Volume("data", "/data")], ports={80: port})
    with socket.socket() as other:

        def take_the_port(done: int, total: int | None) -> None:
            if lab.container("app").status == "exited" and other.getsockname()[1] != port:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                other.bind(("127.0.0.1", port))
                other.listen()

        with pytest.raises(BackupError, match="not all is as it was before") as told:
            back_up(lab, "data", tmp_path / "a.tar.gz", consistent="stop", progress=take_the_port)
    assert str(port) in told.value.seen and "docker ps -a" in told.value.next_step
    assert verify(tmp_path / "a.tar.gz").files == 1
    wait_until(lambda: lab.container("app").status == "running")  # by the guard, once the port is free


def test_a_container_that_its_owner_has_started_since_is_not_stopped_once_more(lab: Lab) -> None:
    sleeper(lab, "app", "data")
    box = lab.container("app")
    before = box.attrs["State"]["StartedAt"]
    box.restart(timeout=0)
    since = lab.container("app").attrs["State"]["StartedAt"]
    put_right(lab.engine, {"id": "earlier", "labels": {}, "held": [(box.id, "stop", before)]})
    assert lab.container("app").attrs["State"]["StartedAt"] == since
    put_right(lab.engine, {"id": "earlier", "labels": {}, "held": [(box.id, "stop", since)]})  # it was about to stop
    assert lab.container("app").attrs["State"]["StartedAt"] > since


# Progress


def test_progress_is_told_in_bytes_with_an_estimate(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item(f"f{number}", content=bytes(3_000_000)) for number in range(8)])
    told: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))
        if total is None and done:
            time.sleep(1)  # the engine takes its time for the estimate

    backup = back_up(lab, "data", tmp_path / "data.tar.gz", progress=tell)
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert done[0] == 0 and done[-1] == backup.bytes_before == 24_000_000
    assert {total for _, total in told} == {None, 24_000_000}


def test_a_bar_is_shown_unless_it_is_told_to_be_silent(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(lab, "data", [item("a", content=bytes(1000))])
    back_up(lab, "data", tmp_path / "data.tar.gz")
    assert "Backing up data" in capsys.readouterr().out
    back_up(lab, "data", tmp_path / "data.tar.gz", progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_bar_stands_in_no_line_of_dockers(lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(lab, "data", [item("a", content=bytes(1000))])
    lab.run("alpine", "sleep infinity", name="user", mounts=[Volume("data", "/data")])
    lab.say = print
    back_up(lab, "data", tmp_path / "data.tar.gz", consistent="pause")
    lines = [line.rpartition("\r")[2] for line in capsys.readouterr().out.strip().split("\n")]
    assert lines == ["docker pause user", "docker unpause user"]


MEMORY = """
import resource, sys
from dockerlab import Lab
from dockerlab.backup import back_up, rehearse
lab = Lab(sys.argv[1], echo=None)
back_up(lab, "small", sys.argv[2] + "/small.tar.gz", progress=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
backup = back_up(lab, "large", sys.argv[2] + "/large.tar.gz", progress=False)
rehearse(lab, backup.path, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_volume(lab: Lab, tmp_path: Path) -> None:
    put(lab, "small", [item("a")])
    words = ["sh", "-c", "head -c 120000000 /dev/urandom >/v/noise; head -c 120000000 /dev/zero >/v/zeros"]
    lab.run("alpine", words, mounts=[Volume("large", "/v")], detach=False, remove=True)
    grown = int(python(MEMORY, lab.name, tmp_path))
    assert grown < 100_000  # KiB, of 240 MB


@needs_private_engine
def test_a_long_answer_comes_without_marks_by_a_unix_socket_and_as_ever_from_afar(engine: Engine) -> None:
    api, answers = engine.client.api, []
    for session in (streaming(api), api):
        with session.get(f"{api.base_url}/events", params={"since": 0, "until": 1}, stream=True) as answer:
            answers.append((answer.status_code, answer.raw.version, answer.raw.chunked, answer.content))
    assert answers == [(200, 10, False, b""), (200, 11, True, b"")]
    far = APIClient("tcp://127.0.0.1:1", version=api.api_version)
    assert streaming(far) is far


# Refusals


def test_a_volume_that_is_not_there_is_named_with_near_ones_and_not_made(lab: Lab, tmp_path: Path) -> None:
    lab.create_volume("pgdata")
    before = all_volumes(lab)
    with pytest.raises(NotFoundError, match="pgdata"):
        back_up(lab, "pgdta", tmp_path / "a.tar.gz")
    assert all_volumes(lab) == before
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_or_in_the_place_of_the_file_is_refused(lab: Lab, tmp_path: Path) -> None:
    lab.create_volume("data")
    with pytest.raises(NotFoundError, match="no folder"):
        back_up(lab, "data", tmp_path / "no" / "a.tar.gz")
    with pytest.raises(BackupError, match="is a folder"):
        back_up(lab, "data", tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BackupError, match="no regular file"):
        back_up(lab, "data", tmp_path / "fifo")
    with pytest.raises(BackupError, match="none of the ways"):
        back_up(lab, "data", tmp_path / "a.tar.gz", consistent="maybe")  # type: ignore[arg-type]


def test_a_volume_in_use_is_refused_by_the_names_of_those_who_use_it(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a")])
    sleeper(lab, "app", "data")
    stopped = lab.run("alpine", "true", name="ended", mounts=[Volume("data", "/data")])
    stopped.wait()
    with pytest.raises(InUseError, match=r"app \(running\)") as refused:
        back_up(lab, "data", tmp_path / "a.tar.gz")
    assert "ended" not in str(refused.value)
    for way in ("stop", "pause", "live"):
        assert f'"{way}"' in refused.value.next_step
    assert list(tmp_path.iterdir()) == []


def started(lab: Lab, name: str) -> str:
    return str(lab.container(name).attrs["State"]["StartedAt"])


def test_stop_has_those_and_only_those_run_again(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a")])
    for name in ("one", "two"):
        sleeper(lab, name, "data")
    sleeper(lab, "other", "elsewhere")
    lab.run("alpine", "true", name="ended", mounts=[Volume("data", "/data")]).wait()
    before = {name: started(lab, name) for name in ("one", "two", "other")}
    states: set[tuple[str, ...]] = set()

    def look(done: int, total: int | None) -> None:
        if done:
            states.add(tuple(lab.container(name).status for name in ("one", "two", "other", "ended")))

    put(lab, "data", [item("b", content=b"x")])
    backup = back_up(lab, "data", tmp_path / "a.tar.gz", consistent="stop", progress=look)
    assert states == {("exited", "exited", "running", "exited")}
    assert [lab.container(name).status for name in ("one", "two", "other", "ended")] == ["running"] * 3 + ["exited"]
    assert started(lab, "one") > before["one"] and started(lab, "two") > before["two"]
    assert started(lab, "other") == before["other"]
    assert "stopped meanwhile" in backup.state and "one" in backup.state


def test_pause_keeps_them_in_the_middle_of_what_they_do(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=b"x")])
    sleeper(lab, "app", "data")
    asleep = sleeper(lab, "asleep", "data")
    asleep.pause()  # type: ignore[attr-defined]
    before, states = started(lab, "app"), set()

    def look(done: int, total: int | None) -> None:
        if done:
            states.add(lab.container("app").status)

    back_up(lab, "data", tmp_path / "a.tar.gz", consistent="pause", progress=look)
    assert states == {"paused"}
    assert lab.container("app").status == "running" and started(lab, "app") == before
    assert lab.container("asleep").status == "paused"  # as it was
    asleep.unpause()  # type: ignore[attr-defined]


def test_live_takes_it_as_it_is_and_says_so(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a")])
    sleeper(lab, "app", "data")
    backup = back_up(lab, "data", tmp_path / "a.tar.gz", consistent="live", progress=False)
    assert "app (running): taken live: perhaps not whole" in repr(backup)
    assert f"{backup.line} || true  # files may change" in lab.script()  # which goes on where tar complains


@pytest.mark.parametrize("way", ["stop", "pause"])
def test_they_run_again_when_the_backup_fails(lab: Lab, tmp_path: Path, way: str) -> None:
    put(lab, "data", [item("a", content=b"x")])
    sleeper(lab, "app", "data")

    def fail(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(lab, "data", tmp_path / "a.tar.gz", consistent=way, progress=fail)  # type: ignore[arg-type]
    assert lab.container("app").status == "running"
    assert list(tmp_path.iterdir()) == []


def test_who_uses_it_meanwhile_spoils_the_backup(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=b"x")])
    before = lab.run("alpine", "true", name="before", mounts=[Volume("data", "/data")])
    before.wait()

    def use(done: int, total: int | None) -> None:
        if done:
            lab.run("alpine", "true", name="meanwhile", mounts=[Volume("data", "/data")]).wait()

    with pytest.raises(InUseError, match="By: meanwhile"):
        back_up(lab, "data", tmp_path / "a.tar.gz", progress=use)
    assert list(tmp_path.iterdir()) == []


def test_who_only_reads_it_or_uses_one_whose_name_begins_like_it_spoils_nothing(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=b"x")])

    def use(done: int, total: int | None) -> None:
        if done:
            for mount in (Volume("data", "/data", read_only=True), Volume("data-copy", "/data")):
                lab.run("alpine", "true", mounts=[mount]).wait()

    assert back_up(lab, "data", tmp_path / "a.tar.gz", progress=use).files == 1


def test_who_begins_to_use_it_right_after_the_question_spoils_it_too(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lab, "data", [item("a", content=b"x")])

    def underway(*arguments: str) -> Underway:
        sleeper(lab, "late", "data")
        return Underway(lab, *arguments[1:])

    monkeypatch.setattr(saving, "Underway", underway)
    with pytest.raises(InUseError, match="By: late"):
        back_up(lab, "data", tmp_path / "a.tar.gz", progress=False)


def test_a_container_that_would_be_gone_once_it_is_stopped_is_not_stopped(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=b"x")])
    sleeper(lab, "stays", "data")
    lab.run("alpine", ["sh", "-c", SLEEP], name="goes", mounts=[Volume("data", "/data")], remove=True)
    before = started(lab, "stays")
    with pytest.raises(InUseError, match="goes was run with --rm") as refused:
        back_up(lab, "data", tmp_path / "a.tar.gz", consistent="stop", progress=False)
    assert "pause" in refused.value.next_step
    assert started(lab, "stays") == before
    assert back_up(lab, "data", tmp_path / "a.tar.gz", consistent="pause", progress=False).files == 1
    assert lab.container("goes").status == "running"


def test_a_container_that_has_it_twice_is_one(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a", content=b"x")])
    mounts = [Volume("data", "/one"), Volume("data", "/two", read_only=True)]
    lab.run("alpine", ["sh", "-c", SLEEP], name="app", mounts=mounts)
    with pytest.raises(InUseError, match=r"By: app \(running\)\."):
        back_up(lab, "data", tmp_path / "a.tar.gz")
    for way in ("stop", "pause"):
        back_up(lab, "data", tmp_path / "a.tar.gz", consistent=way, progress=False)  # type: ignore[arg-type]
        assert lab.container("app").status == "running"


@pytest.mark.parametrize("way", [None, "stop", "pause"])
def test_a_volume_that_a_restore_fills_is_not_backed_up(lab: Lab, tmp_path: Path, way: str | None) -> None:
    put(lab, "data", [item("a", content=bytes(100))])
    backup, told = back_up(lab, "data", tmp_path / "a.tar.gz", progress=False), []

    def look(done: int, total: int | None) -> None:
        if done and not told:
            with pytest.raises(InUseError, match="a restore is filling it") as refused:
                back_up(lab, "new", tmp_path / "b.tar.gz", consistent=way)  # type: ignore[arg-type]
            told.append(refused.value)

    restore(lab, backup.path, "new", progress=look)
    assert told and not (tmp_path / "b.tar.gz").exists()


def test_who_uses_it_is_told_while_the_engine_copies_out_of_that_container(lab: Lab) -> None:
    put(lab, "data", [item("large", content=bytes(20_000_000))])
    client = lab.engine.client
    since = lab.engine.now()
    lab.run("alpine", "true", name="copied", mounts=[Volume("data", "/data")]).wait()
    stream, _ = client.api.get_archive(lab.container("copied").id, "/data")
    next(stream)  # and no more: the engine waits, and answers no question for this container
    with ThreadPoolExecutor(1) as pool, volumes.watched(lab.engine, lab.belongings.full("data"), since) as came:
        told = pool.submit(came)
        try:
            assert told.result(timeout=20) == [lab.belongings.full("copied")]
        finally:
            stream.close()


@pytest.mark.parametrize(("command", "told"), [("sleep 600", "late"), ("true", "removed since")])
def test_who_came_meanwhile_is_told_also_where_the_engine_has_forgotten_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    monkeypatch.setattr(volumes, "LOOK_SECONDS", 0.05)
    put(lab, "data", [item("large", content=bytes(8_000_000))])
    client, came, seen = lab.engine.client, list[str](), set[str]()
    started = volumes._started

    def look(*arguments: Any) -> set[str]:
        found = started(*arguments)
        seen.update(found)
        return found

    monkeypatch.setattr(volumes, "_started", look)

    def come(done: int, total: int | None) -> None:
        if done and not came:
            came.append(lab.run("alpine", command, name="late", mounts=[Volume("data", "/data")]).id)
            if command == "true":
                client.api.wait(came[0])
                lab.remove("late")
                wait_until(lambda: came[0] in seen)
            for _ in range(150):  # a volume's making and its end are an event each; the engine keeps 256
                client.volumes.create("forget").remove()

    with pytest.raises(InUseError, match=told):
        back_up(lab, "data", tmp_path / "a.tar.gz", progress=come)
    assert came and not (tmp_path / "a.tar.gz").exists()


def test_foreign_containers_are_not_stopped(stranger: Engine, tmp_path: Path) -> None:
    with Lab("ours", engine=stranger, echo=None) as lab:
        put(lab, "data", [item("a")])
        theirs = stranger.client.containers.run(
            "alpine", ["sleep", "1000"], name="theirs", volumes=["data:/data"], stop_signal="SIGKILL", detach=True
        )
        try:
            sleeper(lab, "app", "data")
            for way in ("stop", "pause"):
                with pytest.raises(ForeignError, match="theirs"):
                    back_up(lab, "data", tmp_path / "a.tar.gz", consistent=way)  # type: ignore[arg-type]
                theirs.reload()
                assert theirs.status == "running" and lab.container("app").status == "running"
            # To read it is not to touch it.
            assert back_up(lab, "data", tmp_path / "a.tar.gz", consistent="live", progress=False).files == 1
        finally:
            theirs.remove(force=True)


@needs_root
@pytest.mark.parametrize("size", [4_000_000, 40_000_000], ids=["seen at the end", "seen in the middle"])
def test_a_full_disk_leaves_the_older_backup_and_no_trace(lab: Lab, tmp_path: Path, size: int) -> None:
    put(lab, "data", [item("a", content=b"1")])
    with mounted("tmpfs", "size=2m", tmp_path / "small") as folder:
        old = back_up(lab, "data", folder / "data.tar.gz", progress=False)
        put(lab, "data", [item("noise", content=os.urandom(size))])
        sleeper(lab, "app", "data")
        before = sockets()
        with pytest.raises(BackupError, match="No space left") as full:
            back_up(lab, "data", folder / "data.tar.gz", consistent="stop", progress=False)
        assert str(folder) in str(full.value)
        assert sockets() <= before
        assert verify(old.path).digest == old.digest
        assert sorted(path.name for path in folder.iterdir()) == ["data.tar.gz", "data.tar.gz.sha256"]
        assert lab.container("app").status == "running"


def test_owners_on_one_engine_back_up_their_own(engine: Engine, tmp_path: Path) -> None:
    with (
        Lab("shared", engine=engine, owner="ana", echo=None) as ana,
        Lab("shared", engine=engine, owner="bo", echo=None) as bo,
    ):
        put(ana, "data", [item("of ana", content=b"1")])
        put(bo, "data", [item("of bo", content=b"22")])
        assert [
            shown(name) for name in verify(back_up(bo, "data", tmp_path / "b.tar.gz", progress=False).path).entries
        ] == [".", "of bo"]
        assert back_up(ana, "data", tmp_path / "a.tar.gz", progress=False).volume == "data"


def test_an_owner_s_lab_on_its_own_engine_backs_up_what_a_terminal_made_and_restores_into_it(
    engine: Engine, tmp_path: Path
) -> None:
    with Lab("shared", engine=engine, owner="ana", echo=None) as ana:
        nobodys = engine.client.volumes.create("nobody-s")
        try:
            assert ana.inspect_volume("nobody-s")["Name"] == "nobody-s"
            backup = back_up(ana, "nobody-s", tmp_path / "a.tar.gz", progress=False)
            restore(ana, backup.path, "nobody-s", progress=False)
            assert "ana-nobody-s" not in all_volumes(ana)
        finally:
            nobodys.remove()
