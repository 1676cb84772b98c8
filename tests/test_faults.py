"""What goes wrong half way: a killed engine, a killed kernel, a full disk, a database that is written to throughout."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from busy import Client, busy, counted
from content import helpers, item, listing, put, tar_of
from engines import ROOT, mounted, needs_private_engine, needs_root, wait_until

from dockerlab import Lab, Postgres, Volume
from dockerlab.backup import back_up, restore, verify
from dockerlab.backup.dump import dump, load
from dockerlab.engine import images, private
from dockerlab.engine.find import Engine, find
from dockerlab.errors import BackupError, DockerLabError, EngineError, InUseError

POINTS = 10
ROUNDS = 20
MEGABYTES = 20
HALF_WAY = 5_000_000  # bytes: what came before is done, and there is more to come
KINDS = ("archive", "crumbs")  # of large files, and of small ones

pytestmark = [needs_root, needs_private_engine]


class Victim:
    """An engine that may be killed and whose small disk may be filled, with a lab on it."""

    def __init__(self, home: Path, disk: Path) -> None:
        self.home, self.disk, self.said = home, disk, list[str]()
        self.engine = find(private.start(home))
        self.lab = Lab("victim", engine=self.engine, owner="", echo=self.said.append)

    def kill(self) -> None:
        """End the engine as a crash would."""
        pid = private._Place.of(self.home).engine_pid()
        assert pid
        os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        private.start(self.home)

    def volumes(self) -> set[str]:
        return {volume["Name"] for volume in self.engine.client.api.volumes()["Volumes"] or []}

    def is_clean(self, folder: Path) -> bool:
        """Whether nothing of a backup or restore is left: containers, volumes, files, notes."""
        with contextlib.suppress(Exception):  # the engine may only be starting, and a note may go while it is read
            notes = [path.read_text() for path in (private.home() / "underway").glob("*.json")]
            ours = any(self.engine.url in note for note in notes)
            return not (helpers(self.lab) or list(folder.glob(".dockerlab*")) or ours)
        return False


@pytest.fixture(scope="module")
def victim(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    folder = tmp_path_factory.mktemp("victim")
    with mounted("tmpfs", "size=800m", folder / "disk") as disk:
        home = disk / "home"
        try:
            victim = Victim(home, disk)
            victim.engine.client.images.load(images.ensure(engine, "alpine").save(named=True))
            victim.lab.run("alpine", fill_words(), mounts=[Volume("noise", "/v")], detach=False, remove=True)
            yield victim
        finally:
            private.stop(home, purge=True)


def fill_words() -> list[str]:
    return ["sh", "-c", f"for n in $(seq {MEGABYTES}); do head -c 1000000 /dev/urandom >/v/$n; done"]


@pytest.fixture
def app(victim: Victim) -> Iterator[str]:
    """A container that runs on the volume."""
    name = f"app-{secrets.token_hex(3)}"
    words = ["sh", "-c", "trap exit TERM; touch /up; sleep 1000 & wait"]
    victim.lab.run("alpine", words, name=name, mounts=[Volume("noise", "/v")])
    # Before it has its trap, the first process of a container ignores SIGTERM, and stopping it takes 10 s.
    wait_until(lambda: victim.lab.exec(name, "test -e /up").exit_code == 0)
    yield name
    victim.lab.remove(name, force=True)


@pytest.fixture
def archive(victim: Victim, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return back_up(victim.lab, "noise", tmp_path_factory.mktemp("archive") / "noise.tar.gz", progress=False).path


@pytest.fixture(scope="module")
def crumbs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much content in small files, which a container with busybox's tar unpacks."""
    path = tmp_path_factory.mktemp("crumbs") / "crumbs.tar.gz"
    path.write_bytes(gzip.compress(tar_of(item(str(n), content=os.urandom(4000)) for n in range(250 * MEGABYTES)), 1))
    return path


def once(action: Callable[[], object], after: int = HALF_WAY) -> Callable[[int, int | None], None]:
    """Progress that does something when so many bytes have gone by."""
    done = []

    def progress(number: int, total: int | None) -> None:
        if number > after and not done:
            done.append(True)
            action()

    return progress


def runs(victim: Victim, name: str) -> bool:
    return victim.lab.container(name).status == "running"


# The engine is killed


@pytest.mark.parametrize("way", ["stop", "pause"])
def test_an_engine_killed_in_a_backup_leaves_the_old_one_and_the_rest_when_it_is_back(
    victim: Victim, app: str, tmp_path: Path, way: str
) -> None:
    old = back_up(victim.lab, "noise", tmp_path / "noise.tar.gz", consistent=way, progress=False)  # type: ignore[arg-type]
    with pytest.raises(DockerLabError) as failed:
        back_up(victim.lab, "noise", old.path, consistent=way, progress=once(victim.kill))  # type: ignore[arg-type]
    assert isinstance(failed.value, EngineError | BackupError)
    assert "goes on by itself" in failed.value.next_step
    assert verify(old.path).digest == old.digest
    victim.restart()
    if way == "pause":
        victim.lab.start(app)  # the engine itself ends what ran when it was killed
    wait_until(lambda: victim.is_clean(tmp_path), 60)
    assert runs(victim, app)


@pytest.mark.parametrize(("was", "kind"), [*itertools.product(["absent", "full"], KINDS), ("empty", "archive")])
def test_an_engine_killed_in_a_restore_has_the_volume_as_it_was_when_it_is_back(
    request: pytest.FixtureRequest, victim: Victim, was: str, kind: str
) -> None:
    name, archive = f"target-{was}-{kind}", request.getfixturevalue(kind)
    if was == "empty":
        victim.lab.create_volume(name)
    if was == "full":
        put(victim.lab, name, [item("old", content=b"old")])
    before = listing(victim.lab, name) if was != "absent" else None
    with pytest.raises(DockerLabError):
        restore(victim.lab, archive, name, replace=True, progress=once(victim.kill))
    victim.restart()
    wait_until(lambda: victim.is_clean(archive.parent), 60)
    assert (name in victim.volumes()) == (was != "absent")
    if before is not None:
        assert listing(victim.lab, name) == before


# The kernel is killed

# Each line asks for a kernel of its own; what takes long to import is there already when it is forked.
KERNELS = """
import json, os, signal, sys, time
from dockerlab import Lab
from dockerlab.backup import back_up, restore
from dockerlab.engine.find import find
def still(done, total):
    if done >= at:
        os.kill(os.getpid(), signal.SIGSTOP)
for line in sys.stdin:
    what, url, path, volume, way, at = json.loads(line)
    if pid := os.fork():
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)
        continue
    lab = Lab("victim", engine=find(url), owner="", echo=None)
    print("ready", flush=True)
    start, progress = time.monotonic(), still if at is not None else False
    if what == "back_up":
        back_up(lab, volume, path, consistent=way or None, progress=progress)
    else:
        restore(lab, path, volume, replace=True, progress=progress)
    print(time.monotonic() - start, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def kernels(victim: Victim) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", KERNELS]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        yield server
        assert server.stdin
        server.stdin.close()


class Kernel:
    """A process that backs up or restores, as a notebook's kernel would; with `at`, until so many bytes have gone by.

    There it stands still: all that is left to do is to kill it.
    """

    def __init__(
        self,
        kernels: subprocess.Popen[str],
        what: str,
        victim: Victim,
        path: Path,
        volume: str,
        way: str = "",
        at: int | None = None,
    ) -> None:
        self._server = kernels
        assert kernels.stdin
        kernels.stdin.write(json.dumps([what, victim.engine.url, str(path), volume, way, at]) + "\n")
        kernels.stdin.flush()
        said = {self._line(), self._line()} - {"ready"}  # in any order
        self._pid = int(said.pop())
        if at is not None:
            wait_until(self._stands_still)

    def _line(self) -> str:
        assert self._server.stdout
        return self._server.stdout.readline().strip()

    def finish(self) -> float:
        """Wait for the end, and return the seconds that it took."""
        seconds = float(self._line())
        assert self._line() == "gone"
        return seconds

    def _stands_still(self) -> bool:
        return Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    def kill(self, *, guard: bool = False) -> bool:
        """Kill it, and with `guard` the process too that would put things right; whether it was still at work."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it may just have come to its end
            children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
            for pid in children if guard else ():
                os.kill(int(pid), signal.SIGKILL)
            os.kill(self._pid, signal.SIGKILL)
        return len(list(iter(self._line, "gone"))) == 0  # at its end, it says its seconds


def points(seconds: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return sorted(chance.uniform(0, seconds) for _ in range(POINTS))


def test_a_kernel_killed_anywhere_in_a_backup(
    kernels: subprocess.Popen[str], victim: Victim, app: str, tmp_path: Path
) -> None:
    path = tmp_path / "noise.tar.gz"
    seconds = Kernel(kernels, "back_up", victim, path, "noise", "stop").finish()
    whole = verify(path).entries
    # Bytes first: a clock may come too late for all of them. Then seconds.
    moments = [*((at, 0.0) for at in (1, HALF_WAY, 15_000_000)), *((None, point) for point in points(seconds, 1))]
    for number, (at, point) in enumerate(moments):
        kernel = Kernel(kernels, "back_up", victim, path, "noise", "stop" if number % 2 else "pause", at)
        time.sleep(point)
        assert kernel.kill() or at is None
        wait_until(lambda: victim.is_clean(tmp_path), 60)
        assert runs(victim, app), (at, point)
        assert verify(path).entries == whole, (at, point)  # the old one or a new one, but a whole one


NOTED = """
import os, signal, sys
from dockerlab import Lab
from dockerlab.backup.underway import Underway
from dockerlab.engine.find import find
note = Underway.note
def note_and_die(work, **notes):
    note(work, **notes)
    os.kill(os.getpid(), signal.SIGKILL)
Underway.note = note_and_die
Underway(Lab("victim", engine=find(sys.argv[1]), owner="", echo=None), "a backup").__enter__()
"""


def test_a_kernel_killed_right_after_its_first_note_leaves_none(victim: Victim, tmp_path: Path) -> None:
    words = [sys.executable, "-c", NOTED, victim.engine.url]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: victim.is_clean(tmp_path), 60)


@pytest.mark.parametrize(("was", "kind"), [*itertools.product(["absent", "full"], KINDS)])
def test_a_kernel_killed_anywhere_in_a_restore(
    request: pytest.FixtureRequest, kernels: subprocess.Popen[str], victim: Victim, was: str, kind: str
) -> None:
    before, archive = set[str](), request.getfixturevalue(kind)
    for number in range(POINTS // 2 + 2):
        name = f"kernel-{was}-{kind}-{number}"
        if was == "full":
            put(victim.lab, name, [item("old", content=b"old")])
            before = before or {line for line in listing(victim.lab, name) if "|" in line}
        at = HALF_WAY if number == POINTS // 2 + 1 else None  # the last, whatever the clock says
        kernel = Kernel(kernels, "restore", victim, archive, name, at=at)
        if number == 0:
            moments = [*points(kernel.finish(), 2), 0.0, 0.0]
            complete = listing(victim.lab, name)
            continue
        seconds = moments[2 * number - 2 + (was == "full")]
        time.sleep(seconds)
        assert kernel.kill() or at is None
        wait_until(lambda: victim.is_clean(archive.parent), 60)
        if name in victim.volumes():
            now = listing(victim.lab, name)
            old = was == "full" and {line for line in now if "|" in line} == before
            assert old or now == complete, (at, seconds)  # what it was, or all of the archive
        else:
            assert was == "absent"
        with contextlib.suppress(DockerLabError):
            victim.lab.remove_volume(name)


def test_what_is_left_when_nobody_stands_guard_is_put_right_by_the_next_call(
    kernels: subprocess.Popen[str], victim: Victim, archive: Path, app: str, tmp_path: Path
) -> None:
    kernel = Kernel(kernels, "back_up", victim, tmp_path / "noise.tar.gz", "noise", "pause", HALF_WAY)
    assert kernel.kill(guard=True)
    assert victim.lab.container(app).status == "paused"
    assert helpers(victim.lab) and list(tmp_path.glob(".dockerlab*0.part"))
    victim.said.clear()
    back_up(victim.lab, "noise", tmp_path / "noise.tar.gz", consistent="live", progress=False)
    said = "\n".join(victim.said)
    assert "After a backup of the volume noise, which was cut off" in said
    for what in (f"the container {app} runs again", "its container", "the unfinished file"):
        assert what in said
    assert runs(victim, app) and victim.is_clean(tmp_path)

    put(victim.lab, "kept", [item("old", content=b"old")])
    # The old content is three bytes, so that it is kept already, and gone from the volume.
    kernel = Kernel(kernels, "restore", victim, archive, "kept", at=HALF_WAY)
    assert kernel.kill(guard=True)
    assert not any("./old|" in line for line in listing(victim.lab, "kept"))
    victim.said.clear()
    with pytest.raises(BackupError, match="replace=True"):
        restore(victim.lab, archive, "kept", progress=False)
    assert "the volume kept has its old content again" in "\n".join(victim.said)
    assert any("./old|" in line for line in listing(victim.lab, "kept"))
    assert victim.is_clean(archive.parent)


# The engine's disk is full


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_that_fills_the_engine_s_disk_is_undone(
    request: pytest.FixtureRequest, victim: Victim, kind: str
) -> None:
    archive = request.getfixturevalue(kind)
    put(victim.lab, "old", [item("old", content=b"old")])
    before = listing(victim.lab, "old")
    filler = victim.disk / "filler"

    def fill() -> None:
        free = shutil.disk_usage(victim.disk).free
        subprocess.run(["fallocate", "-l", str(max(1, free - 4_000_000)), filler], check=True)

    for name in ("old", "new"):
        with pytest.raises(BackupError) as full:
            restore(victim.lab, archive, name, replace=True, progress=once(fill))
        filler.unlink()
        assert "no space left" in str(full.value).lower()
        wait_until(lambda: victim.is_clean(archive.parent), 60)
    assert listing(victim.lab, "old") == before
    assert "new" not in victim.volumes()


def test_an_archive_beyond_the_free_space_is_refused_before_anything_is_touched(victim: Victim, archive: Path) -> None:
    filler = victim.disk / "filler"
    free = shutil.disk_usage(victim.disk).free
    subprocess.run(["fallocate", "-l", str(free - 10_000_000), filler], check=True)
    try:
        with pytest.raises(BackupError, match="has no room"):
            restore(victim.lab, archive, "new", progress=False)
    finally:
        filler.unlink()
    assert "new" not in victim.volumes() and victim.is_clean(archive.parent)


def test_a_backup_from_an_engine_without_any_room_leaves_nothing(victim: Victim, app: str, tmp_path: Path) -> None:
    filler = victim.disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], stderr=subprocess.DEVNULL, check=False)
    try:
        # It has no room for as much as a container's files.
        with pytest.raises(DockerLabError):
            back_up(victim.lab, "noise", tmp_path / "noise.tar.gz", consistent="pause", progress=False)
    finally:
        filler.unlink()
    wait_until(lambda: victim.is_clean(tmp_path), 60)
    assert runs(victim, app)
    assert list(tmp_path.iterdir()) == []


def test_a_note_that_can_t_be_kept_is_a_reason_not_to_begin(
    victim: Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted("tmpfs", "size=4k", tmp_path / "home") as home:
        (home / "full").write_bytes(bytes(4096))
        monkeypatch.setenv("DOCKERLAB_HOME", str(home))
        with pytest.raises(BackupError, match="Nothing was begun"):
            back_up(victim.lab, "noise", tmp_path / "noise.tar.gz", progress=False)
    assert not helpers(victim.lab)


# Two at the same time


def test_a_volume_is_restored_by_one_at_a_time(victim: Victim, archive: Path) -> None:
    refusals: list[InUseError] = []

    def second() -> None:
        with pytest.raises(InUseError) as refused:
            restore(victim.lab, archive, "both", replace=True, progress=False)
        refusals.append(refused.value)

    restore(victim.lab, archive, "both", progress=once(second))
    assert len(refusals) == 1
    restore(victim.lab, archive, "both", replace=True, progress=False)


# A database is written to throughout


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[tuple[Postgres, Client]]:
    with busy(engine) as (db, client):
        yield db, client


@pytest.mark.parametrize("way", ["stop", "pause"])
def test_a_backup_of_a_busy_database_restores_to_all_that_was_committed(
    server: tuple[Postgres, Client], tmp_path: Path, way: str
) -> None:
    db, client = server
    committed = []
    for number in range(ROUNDS):
        before = client.wait_for_more()
        back_up(db.lab, "pgdata", tmp_path / f"{number:02}.tar.gz", consistent=way, progress=False)  # type: ignore[arg-type]
        db.start()
        committed.append((before, client.committed))
    found = counted(db.lab, tmp_path)
    assert len(found) == ROUNDS
    for (before, after), line in zip(committed, found, strict=True):
        one, last_one, two, last_two = (int(word) for word in line.split())
        assert one == last_one == two == last_two and before <= one <= after + 1


def test_a_dump_of_a_busy_database_loads_to_all_that_was_committed(
    server: tuple[Postgres, Client], tmp_path: Path
) -> None:
    db, client = server
    db.psql("CREATE DATABASE copy")
    copy = Postgres(db.lab, "db", user="admin", password="secret", database="copy")
    for number in range(ROUNDS):
        before = client.wait_for_more()
        made = dump(db, tmp_path / "pg.dump")
        after = client.committed
        load(copy, made.path)
        found = copy.sql(
            "SELECT (SELECT count(*) FROM one) one, (SELECT max(id) FROM one) last, (SELECT count(*) FROM two) two"
        )
        one, last, two = (int(value) for value in found.iloc[0])
        assert one == two == last
        assert before <= one <= after + 1, (number, before, one, after)
    copy.close()
