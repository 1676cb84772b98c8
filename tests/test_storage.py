"""What is there now: read from a real engine, followed by its events, and told as what happened."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from engines import needs_private_engine, wait_until
from snapshots import AFTER, BEFORE, NAMELESS, bind, box, memory, on, snap, volume

from dockerlab import Anonymous, Bind, Lab, Tmpfs, Volume
from dockerlab.belongings import HELPER_LABEL
from dockerlab.describe import bytes_in_words, describe
from dockerlab.difference import difference
from dockerlab.engine import images, private
from dockerlab.errors import EngineError
from dockerlab.inventory import instruction, read
from dockerlab.pictures import picture
from dockerlab.storage import Container, Snapshot
from dockerlab.watcher import AWAY, Watcher

PATIENCE_SECONDS = 30


def wait_for(watcher: Watcher, found: Callable[[Snapshot], object]) -> Snapshot:
    """Wait until the watcher's snapshot is as said; for what is certain to come, not for how long it takes."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not found(watcher.snapshot):
        assert time.monotonic() < end, describe(watcher.snapshot)
        time.sleep(0.02)
    return watcher.snapshot


def files(container: Container) -> dict[str, str]:
    return {change.path: change.kind for change in container.files}


def only(snapshot: Snapshot) -> Container:
    (container,) = snapshot.containers
    return container


def volumes(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    return {found.name: found.users for found in snapshot.volumes}


def docker(lab: Lab, *words: str) -> str:
    """The docker command in a terminal."""
    environment = {**os.environ, **lab.engine.cli_env()}
    return subprocess.run(["docker", *words], env=environment, check=True, capture_output=True, text=True).stdout


@contextmanager
def counted(lab: Lab) -> Iterator[list[str]]:
    """The paths of the calls that the engine gets meanwhile."""
    calls: list[str] = []
    api = lab.engine.client.api

    def note(response: Any, *_: object, **__: object) -> None:
        calls.append(response.request.path_url)

    api.hooks["response"].append(note)
    try:
        yield calls
    finally:
        api.hooks["response"].remove(note)


# Values


def test_snapshots_are_values() -> None:
    assert replace(AFTER) == AFTER
    assert len({AFTER, replace(AFTER), BEFORE}) == 2


def test_files_leave_out_mount_points_and_the_folders_on_the_way() -> None:
    changed = box(
        "box",
        files="C/root|A/root/a|A/root/a/b.txt|C/var|C/var/lib|A/var/lib/data|D/etc/motd|C/etc",
        mounts=[on("v", "/var/lib/data")],
    )
    assert files(changed) == {"/root/a/b.txt": "A", "/etc/motd": "D"}


def test_a_host_folder_is_one_store_however_many_containers_mount_it() -> None:
    boxes = [box("one", mounts=[bind("/srv", "/a"), bind("/srv", "/b")]), box("two", mounts=[bind("/srv", "/a")])]
    (folder,) = snap(boxes).folders
    assert folder.users == ("one", "two")


def test_memory_is_kept_only_while_its_container_runs() -> None:
    boxes = [box(state, state=state, mounts=[memory("/m")]) for state in ("running", "paused", "exited", "created")]
    assert [found.kept for found in snap(boxes).memories] == [True, True, False, False]


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (12_345, "12.3 kB"), (999_900, "1 MB"), (1_984_181, "1.98 MB")],
)
def test_sizes_are_told_as_docker_does(size: int, words: str) -> None:
    assert bytes_in_words(size) == words


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ("/bin/sh -c #(nop) ADD file:" + "5758b97d8301c84a" * 4 + " in / ", "ADD file in /"),
        ("/bin/sh -c apk add --no-cache   curl", "RUN apk add --no-cache curl"),
        ("RUN /bin/sh -c apk add curl # buildkit", "RUN apk add curl"),
        ("|1 VERSION=1 /bin/sh -c make", "RUN make"),
        ("RUN |1 VERSION=1 /bin/sh -c make # buildkit", "RUN make"),
        ("COPY . /app # buildkit", "COPY . /app"),
        ("", "(not recorded)"),
    ],
)
def test_an_instruction_is_as_its_author_wrote_it(recorded: str, said: str) -> None:
    assert instruction({"CreatedBy": recorded}) == said


# The difference


def told(before: Snapshot, after: Snapshot) -> list[str]:
    return list(difference(before, after).sentences)


def test_a_removed_container_is_told_with_what_went_and_what_stays() -> None:
    writer = box("writer", files="A/a|A/b|C/c", mounts=[on("my-data", "/data"), bind("/srv", "/s"), memory("/m")])
    assert told(snap([writer], [volume("my-data", "writer")]), snap([], [volume("my-data")])) == [
        "writer removed; its writable layer, 3 files, went with it; memory /m went with it; "
        "volume my-data stays, now unused; host folder /srv stays"
    ]


def test_a_removed_containers_anonymous_volume_went_or_stays() -> None:
    writer = box("writer", mounts=[on(NAMELESS, "/data")])
    before = snap([writer], [volume(NAMELESS, "writer", anonymous=True)])
    layer = "writer removed; its writable layer, with nothing in it, went with it"
    name = f"anonymous volume {NAMELESS[:12]}"
    assert told(before, snap()) == [f"{layer}; {name} went with it"]
    assert told(before, snap([], [volume(NAMELESS, anonymous=True)])) == [f"{layer}; {name} stays, now unused"]


def test_a_volume_with_a_name_is_removed_by_itself() -> None:
    before = snap([box("writer", mounts=[on("my-data", "/data")])], [volume("my-data", "writer")])
    assert told(before, snap()) == [
        "writer removed; its writable layer, with nothing in it, went with it",
        "volume my-data removed; what was in it is gone",
    ]


def test_a_stopped_container_keeps_its_layer_and_loses_its_memory() -> None:
    writer = box("writer", files="A/a", mounts=[memory("/m")])
    stopped = replace(writer, state="exited")
    assert told(snap([writer]), snap([stopped])) == [
        "writer stopped; its writable layer, 1 file, stays; memory /m is gone"
    ]
    assert told(snap([stopped]), snap([writer])) == ["writer started; memory /m is there, empty"]


def test_written_files_are_told_by_what_happened_to_them() -> None:
    before = box("writer", files="A/old|C/etc/passwd")
    after = replace(before, changes=box("", files="A/new|C/etc/hosts|D/etc/motd").changes)
    assert told(snap([before]), snap([after])) == [
        "in writer: /new added",
        "in writer: /etc/hosts changed (copied up from the image)",
        "in writer: /etc/motd deleted (hidden, still in the image)",
        "in writer: /old deleted; it was only in its layer",
        "in writer: /etc/passwd as in the image again",
    ]


def test_many_files_are_one_sentence() -> None:
    before = box("writer")
    after = replace(before, changes=box("", files="|".join(f"A/f{at}" for at in range(9))).changes)
    assert told(snap([before]), snap([after])) == ["in writer: /f0, /f1, /f2 and 6 more added"]


def test_new_containers_and_volumes_are_told() -> None:
    after = snap([box("writer", mounts=[on("my-data", "/data")])], [volume("my-data", "writer"), volume("other")])
    assert told(snap(), after) == [
        "writer made from alpine, running, with volume my-data at /data",
        "volume my-data made, for writer",
        "volume other made",
    ]


def test_removed_and_measured_volumes_are_told() -> None:
    before = snap([], [volume("gone", size=3), volume("kept", size=0)])
    assert told(before, snap([], [volume("kept", size=48_000)])) == [
        "volume gone removed; what was in it, 3 B, is gone",
        "volume kept grew from 0 B to 48 kB",
    ]


def test_a_container_made_again_under_its_name_is_another_one() -> None:
    again = replace(box("writer"), id="another")
    assert len(told(snap([box("writer")]), snap([again]))) == 2


def test_nothing_changed_is_nothing_to_tell() -> None:
    assert not difference(AFTER, AFTER)
    assert str(difference(AFTER, AFTER)) == "Nothing changed."


# Read from an engine


def test_everything_of_a_lab_is_read(lab: Lab, tmp_path: Path) -> None:
    mounts = [Volume("data", "/data"), Anonymous("/nameless"), Bind(str(tmp_path), "/host", read_only=True)]
    writer = lab.run("alpine", "sleep 600", name="writer", mounts=[*mounts, Tmpfs("/memory", size="1m")])
    lab.exec(writer, "echo hello > /root/new && echo more >> /etc/passwd && rm /bin/ls && echo kept > /data/kept")
    lab.run("alpine", "sleep 600", name="reader", mounts=[Volume("data", "/elsewhere")])

    found = read(lab)
    first, second = found.containers
    assert (first.name, first.state, first.image.name) == ("writer", "running", "alpine")
    assert files(first) == {"/root/new": "A", "/etc/passwd": "C", "/bin/ls": "D"}
    assert {(change.kind, change.path) for change in first.changes} == set(
        lab.changes(writer).itertuples(index=False, name=None)
    )
    assert first.size > len("hello\n")
    image = lab.engine.client.images.get("alpine")
    assert first.image.stand_in == ("dockerlab.standin" in (image.labels or {}))
    assert second.mounts == (on("data", "/elsewhere"),)
    kinds = [(mount.kind, mount.target, mount.read_only, mount.limit) for mount in first.mounts]
    assert kinds == [
        ("volume", "/data", False, None),
        ("bind", "/host", True, None),
        ("tmpfs", "/memory", False, 1 << 20),
        ("volume", "/nameless", False, None),
    ]
    named, nameless = sorted(found.volumes, key=lambda each: each.anonymous)
    assert (named.name, named.users, named.driver) == ("data", ("writer", "reader"), "local")
    assert named.mountpoint == lab.inspect_volume("data")["Mountpoint"]
    assert dict(named.labels) == lab.belongings.labels
    assert nameless.anonymous and nameless.users == ("writer",)
    assert found.folders[0].path == str(tmp_path)
    assert found.memories[0].kept
    assert hash(found) == hash(read(lab))


def test_an_images_layers_carry_the_instruction_that_made_them(lab: Lab) -> None:
    lab.run("alpine", "true", name="base")
    recipe = BytesIO(b"FROM alpine\nRUN echo made > /made\nENV NOTHING=written\n")
    tag = f"{lab.name}:1"
    lab.engine.client.images.build(fileobj=recipe, tag=tag, labels=lab.belongings.labels, rm=True, forcerm=True)
    lab.run(tag, "true", name="built")
    base, built = read(lab).containers
    assert [layer.instruction for layer in built.image.layers[:1]] == ["RUN echo made > /made"]
    assert built.image.layers[1:] == base.image.layers
    assert built.image.name == tag


def test_volumes_and_memory_are_measured_when_asked(lab: Lab) -> None:
    writer = lab.run(
        "alpine", "sleep 600", name="writer", mounts=[Volume("data", "/data"), Tmpfs("/memory", size="1m")]
    )
    lab.exec(writer, "head -c 50000 /dev/zero > /data/file && head -c 50000 /dev/zero > /memory/file")
    assert read(lab).volumes[0].size is None
    measured = read(lab, sizes=True)
    size, used = measured.volumes[0].size, measured.memories[0].used
    assert size is not None and 50_000 <= size < 60_000
    assert used is not None and 50_000 <= used < 60_000


def test_what_is_not_the_labs_is_not_there_but_named_as_a_user(lab: Lab) -> None:
    lab.create_volume("data")
    with Lab(f"{lab.name}-other", engine=lab.engine, owner="", echo=None) as other:
        other.run("alpine", "true", name=f"{lab.name}-foreign", mounts=[Volume("its-own", "/data")])
        other.belongings.labels.clear()
        client = lab.engine.client
        labels = {"dockerlab": other.name}
        mounts = {"data": {"bind": "/data", "mode": "rw"}}
        guest = client.containers.create("alpine", "true", name=f"{lab.name}-guest", labels=labels, volumes=mounts)
        try:
            found = read(lab)
            assert found.containers == ()
            assert volumes(found) == {"data": (f"{lab.name}-guest",)}
        finally:
            guest.remove()


def test_a_picture_shows_the_lab_and_since_an_earlier_one_what_happened(lab: Lab) -> None:
    lab.run("alpine", "true", name="writer", mounts=[Volume("data", "/data")])
    before = picture(lab)
    lab.remove("writer", force=True)
    after = picture(lab, since=before)
    assert "volume data stays, now unused" in str(after.difference)
    assert "writer removed" in repr(after)
    assert "writer" in after.svg() and "writer" not in picture(lab).svg()
    data, _ = after._repr_mimebundle_()
    assert data["text/plain"] == repr(after)
    assert "<svg" not in data["text/html"]
    assert after.png("dark").startswith(b"\x89PNG")


# Followed


def test_a_change_made_in_a_terminal_arrives(lab: Lab) -> None:
    labels = [word for key, value in lab.belongings.labels.items() for word in ("--label", f"{key}={value}")]
    name = f"{lab.name}-box"
    with Watcher(lab) as watcher:
        docker(lab, "volume", "create", *labels, f"{lab.name}-data")
        wait_for(watcher, lambda seen: volumes(seen) == {f"{lab.name}-data": ()})
        lab.run("alpine", "true", name="warm-up")  # the image is there
        docker(lab, "run", "-d", "--name", name, *labels, "-v", f"{lab.name}-data:/data", "alpine", "sleep", "600")
        wait_for(watcher, lambda seen: volumes(seen) == {f"{lab.name}-data": (name,)})
        docker(lab, "exec", name, "sh", "-c", "echo hello > /root/new")
        wait_for(watcher, lambda seen: {"/root/new": "A"} in [files(each) for each in seen.containers])
        docker(lab, "rm", "-f", name)
        wait_for(watcher, lambda seen: volumes(seen) == {f"{lab.name}-data": ()})
        docker(lab, "volume", "rm", f"{lab.name}-data")
        wait_for(watcher, lambda seen: not seen.volumes)


def test_stop_start_rename_and_pause_arrive(lab: Lab) -> None:
    with Watcher(lab) as watcher:
        writer = lab.run("alpine", "sleep 600", name="writer")
        wait_for(watcher, lambda seen: [each.state for each in seen.containers] == ["running"])
        writer.pause()
        wait_for(watcher, lambda seen: only(seen).state == "paused")
        writer.unpause()
        lab.stop(writer, timeout=0)
        wait_for(watcher, lambda seen: only(seen).state == "exited")
        writer.rename(f"{lab.name}-renamed")
        wait_for(watcher, lambda seen: only(seen).name == f"{lab.name}-renamed")
        lab.start(writer)
        wait_for(watcher, lambda seen: only(seen).state == "running")


@pytest.mark.parametrize(("command", "state"), [("kill", "exited"), ("pause", "paused")])
def test_what_ends_or_pauses_when_all_is_quiet_arrives(lab: Lab, command: str, state: str) -> None:
    with Watcher(lab) as watcher:
        writer = lab.run("alpine", "sleep 600", name="writer")
        wait_for(watcher, lambda seen: [each.state for each in seen.containers] == ["running"])
        wait_for(watcher, lambda seen: not watcher._later)  # nothing more is read unless an event comes
        docker(lab, command, str(writer.id))
        wait_for(watcher, lambda seen: only(seen).state == state)
        if command == "pause":
            docker(lab, "unpause", str(writer.id))
            wait_for(watcher, lambda seen: only(seen).state == "running")


def test_a_container_that_cleans_up_after_itself_leaves_nothing(lab: Lab) -> None:
    with Watcher(lab) as watcher:
        lab.run("alpine", "sleep 600", name="writer", mounts=[Anonymous("/data")], remove=True)
        wait_for(watcher, lambda seen: seen.volumes)
        lab.stop("writer", timeout=0)
        wait_for(watcher, lambda seen: not seen.containers and not seen.volumes)


def test_what_a_backup_makes_for_itself_is_not_shown(lab: Lab) -> None:
    client, labels = lab.engine.client, {**lab.belongings.labels, HELPER_LABEL: "a-backup"}
    lab.create_volume("letters")
    images.ensure(lab.engine, "alpine")
    with Watcher(lab) as watcher:
        client.volumes.create(f"{lab.name}-scratch", labels=labels)
        client.containers.create("alpine", volumes=["letters:/v", f"{lab.name}-scratch:/s"], labels=labels)
        lab.create_volume("after")
        seen = wait_for(watcher, lambda seen: "after" in volumes(seen))
        for snapshot in (seen, watcher.refresh(), read(lab)):
            assert snapshot.containers == ()
            assert volumes(snapshot) == {"letters": (), "after": ()}


def test_what_a_program_writes_at_its_start_arrives_by_itself(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockerlab.watcher.SETTLE_SECONDS", 4)  # it is read once, and a busy machine may be slow
    with Watcher(lab) as watcher:
        lab.run("alpine", ["sh", "-c", "sleep 0.1; echo hello > /root/new; sleep 600"], name="writer")
        wait_for(watcher, lambda seen: seen.containers and files(only(seen)) == {"/root/new": "A"})


def test_what_a_program_writes_later_is_there_after_a_refresh(lab: Lab) -> None:
    script = "while ! test -e /signal/go; do sleep 0.1; done; echo hello > /root/new; touch /signal/done; sleep 600"
    with Watcher(lab) as watcher:
        writer = lab.run("alpine", ["sh", "-c", script], name="writer", mounts=[Volume("signal", "/signal")])
        helper = lab.run("alpine", "sleep 600", name="helper", mounts=[Volume("signal", "/signal")])
        lab.exec(helper, "touch /signal/go; while ! test -e /signal/done; do sleep 0.05; done")
        found = {each.name: each for each in watcher.refresh().containers}
        assert files(found["writer"]) == {"/root/new": "A"}
        assert writer.status == "running"


def test_a_copy_into_a_container_arrives(lab: Lab, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_text("hello")
    with Watcher(lab) as watcher:
        writer = lab.run("alpine", "sleep 600", name="writer")
        docker(lab, "cp", str(source), f"{writer.name}:/root/copied")
        wait_for(watcher, lambda seen: seen.containers and files(only(seen)) == {"/root/copied": "A"})


def test_sizes_are_kept_until_a_container_may_have_written(lab: Lab) -> None:
    writer = lab.run("alpine", "sleep 600", name="writer", mounts=[Volume("data", "/data"), Tmpfs("/memory")])
    lab.create_volume("idle")
    with Watcher(lab) as watcher:
        measured = {each.name: each.size for each in watcher.refresh(sizes=True).volumes}
        assert measured == {"data": 0, "idle": 0}
        lab.create_volume("another")
        seen = wait_for(watcher, lambda seen: len(seen.volumes) == 3)
        assert {each.name: each.size for each in seen.volumes} == {**measured, "another": None}
        assert seen.memories[0].used == 0  # to measure is not to write
        lab.exec(writer, "echo hello > /data/file")
        seen = wait_for(watcher, lambda seen: seen.memories[0].used is None)
        assert {each.name: each.size for each in seen.volumes} == {"data": None, "idle": 0, "another": None}


def test_a_change_reads_again_only_what_changed(lab: Lab) -> None:
    writer = lab.run("alpine", "sleep 600", name="writer")
    calls_of: list[list[str]] = []
    for more in (0, 5):
        for at in range(more):
            lab.run("alpine", "sleep 600", name=f"idle-{at}", mounts=[Volume(f"data-{at}", "/data")])
        with Watcher(lab) as watcher, counted(lab) as calls:
            writer.exec_run(["touch", f"/root/file-{more}"])
            wait_for(
                watcher,
                lambda seen, more=more: any(f"/root/file-{more}" in files(each) for each in seen.containers),
            )
            lab.engine.client.volumes.create(f"{lab.name}-{more}", labels=lab.belongings.labels)
            wait_for(watcher, lambda seen, more=more: f"{lab.name}-{more}" in volumes(seen))
            paths = (call.partition("?")[0].rpartition("/v1.")[2].partition("/")[2] for call in calls)
            calls_of.append(sorted(path for path in paths if "exec" not in path and path != "volumes/create"))
    for more, paths in zip((0, 5), calls_of, strict=True):
        assert paths == [f"containers/{writer.id}/changes", "containers/json", f"volumes/{lab.name}-{more}"]


def test_listeners_hear_each_new_snapshot_until_they_end_it(lab: Lab) -> None:
    heard: list[Snapshot] = []
    with Watcher(lab) as watcher:
        end = watcher.listen(heard.append)
        lab.create_volume("one")
        wait_for(watcher, lambda seen: len(seen.volumes) == 1)
        wait_for(watcher, lambda seen: heard and heard[-1] == seen)
        end()
        end()
        lab.create_volume("two")
        wait_for(watcher, lambda seen: len(seen.volumes) == 2)
    assert [len(seen.volumes) for seen in heard] == [1]


def test_one_listeners_fault_is_logged_and_ends_nothing(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    heard = threading.Event()
    with caplog.at_level(logging.ERROR, "dockerlab.watcher"), Watcher(lab) as watcher:
        watcher.listen(lambda seen: seen.volumes[99])  # type: ignore[arg-type, return-value]
        watcher.listen(lambda seen: heard.set())
        lab.create_volume("one")
        assert heard.wait(PATIENCE_SECONDS)
        lab.create_volume("two")
        wait_for(watcher, lambda seen: len(seen.volumes) == 2)
    assert "IndexError" in caplog.text


def test_a_burst_ends_on_what_is_there(lab: Lab) -> None:
    with Watcher(lab) as watcher:
        client = lab.engine.client
        for at in range(100):
            client.volumes.create(f"{lab.name}-{at}", labels=lab.belongings.labels)
        for at in range(99):
            client.api.remove_volume(f"{lab.name}-{at}")
        wait_for(watcher, lambda seen: volumes(seen) == {f"{lab.name}-99": ()})
        assert watcher.refresh() == watcher.snapshot == read(lab)


def test_it_ends_its_threads(lab: Lab) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.endswith(f"-{lab.name}")]

    watchers = [Watcher(lab) for _ in range(3)]
    assert len(threads()) == 6
    for watcher in watchers:
        watcher.close()
        watcher.close()
    wait_until(lambda: threads() == [])
    with pytest.raises(EngineError, match="watcher is closed"):
        watchers[0].refresh()


@needs_private_engine
def test_it_says_that_the_engine_is_away_and_goes_on_when_it_is_back(private_home: Path) -> None:
    lab = Lab("restart", echo=None)
    lab.create_volume("before")
    notes: list[str] = []
    with Watcher(lab) as watcher:
        watcher.listen(lambda seen: notes.append(seen.note))
        private.stop(private_home)
        seen = wait_for(watcher, lambda seen: seen.note)
        assert seen.note == AWAY
        assert volumes(seen) == {"before": ()}
        with pytest.raises(EngineError, match="does not answer"):
            watcher.refresh()
        private.start(private_home)
        wait_for(watcher, lambda seen: not seen.note)
        lab.create_volume("after")
        wait_for(watcher, lambda seen: set(volumes(seen)) == {"before", "after"})
        private.stop(private_home)
        wait_for(watcher, lambda seen: seen.note)
    assert notes[0] == AWAY and "" in notes
    gc.collect()  # the sockets of refused connections, which docker-py leaves open, fail no test
    with pytest.raises(EngineError, match="cannot be read"):
        Watcher(lab)
    lab.engine.client.close()
    gc.collect()
