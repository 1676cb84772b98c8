"""A line that is shown does the same when it is pasted: into the docker CLI, on another engine, and compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import free_port

from dockerlab import Anonymous, Bind, Lab, Tmpfs, Volume
from dockerlab.belongings import is_anonymous
from dockerlab.commands import Pause
from dockerlab.engine.find import Engine

NAME = "test-words"


@pytest.fixture
def shown() -> list[str]:
    """What the first lab shows."""
    return []


@pytest.fixture
def first(engine: Engine, shown: list[str]) -> Iterator[Lab]:
    with Lab(NAME, engine=engine, owner="", echo=shown.append) as lab:
        yield lab


@pytest.fixture
def second(stranger: Engine) -> Iterator[Lab]:
    """Where the lines are pasted: nothing is there before, and their own labels tell what to remove afterwards."""
    with Lab(NAME, engine=stranger, owner="", echo=None) as lab:
        assert lab.containers(all=True).empty
        assert lab.volumes(all=True).empty
        yield lab
    stranger.client.volumes.prune()  # what a pasted `docker rm` left behind


def paste(script: str, engine: Engine) -> subprocess.CompletedProcess[str]:
    environment = os.environ | engine.cli_env()
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)


def paste_all(first: Lab, shown: list[str], second: Lab) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both engines say, once each line that the first lab showed has gone through the CLI on the second's."""
    lines, before = list(shown), inspected(first)
    first.cleanup()  # on one machine, two containers cannot have one port
    for line in lines:
        if not line.startswith("# PowerShell: "):
            done = paste(line, second.engine)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
    return before, inspected(second)


def inspected(lab: Lab) -> dict[str, Any]:
    """All that the engine says of this lab's things, but for what differs from any container to the next."""
    api = lab.engine.client.api
    records: dict[str, Any] = {}
    for item in lab.claims.containers():
        record = api.inspect_container(item["Id"])
        changes = {change["Path"]: change["Kind"] for change in api.diff(item["Id"]) or ()}
        records[f"container {record['Name']}"] = without_nothing(
            {
                "State": {key: record["State"][key] for key in ("Status", "ExitCode", "Paused")},
                "Config": record["Config"]
                | {
                    "Hostname": record["Config"]["Hostname"] == record["Id"][:12],
                    "Env": sorted(record["Config"]["Env"]),  # in an order that the engine shuffles
                },
                "HostConfig": record["HostConfig"] | {"Binds": sorted(record["HostConfig"]["Binds"] or [])},
                "Mounts": sorted((mount_of(mount) for mount in record["Mounts"]), key=str),
                "Ports": published(record),
                "Changes": changes,
            }
        )
    volumes = api.volumes()["Volumes"] or []
    for item in volumes:
        if lab.belongings.made(item["Labels"]):
            records[f"volume {item['Name']}"] = {key: item[key] for key in ("Driver", "Labels", "Options", "Scope")}
    # Nobody else has any on the second engine, where no lab saw them being made.
    ours = (item for item in volumes if lab.belongings.made(None, item["Name"]) or not lab.engine.private)
    records["anonymous volumes"] = sum(is_anonymous(item["Name"]) for item in ours)
    return records


def without_nothing(value: Any) -> Any:
    """The CLI sends an empty list, and docker-py nothing, for an option that was not given; so it is with `no`."""
    match value:
        case dict():
            cleared = {key: without_nothing(each) for key, each in value.items()}
            return {key: each for key, each in cleared.items() if each not in (None, "", [], {}, "no")}
        case list():
            return [without_nothing(each) for each in value]
    return value


def mount_of(mount: dict[str, Any]) -> dict[str, Any]:
    """A mount with its volume's place among all volumes, wherever an engine keeps them."""
    if mount["Type"] != "volume":
        return mount
    name = "anonymous" if is_anonymous(mount["Name"]) else mount["Name"]
    return mount | {"Name": name, "Source": mount["Source"].rpartition("/volumes/")[2].replace(mount["Name"], name)}


def published(record: dict[str, Any]) -> dict[str, Any]:
    """The container's ports on the host; which free one it is the engine chooses."""
    asked = record["HostConfig"]["PortBindings"] or {}
    return {
        port: [each["HostIp"] + ":" + (each["HostPort"] if wanted["HostPort"] else "free") for each in bound or ()]
        for port, bound in record["NetworkSettings"]["Ports"].items()
        for wanted in asked[port]
    }


def test_every_kind_of_mount(first: Lab, second: Lab, shown: list[str], tmp_path: Path) -> None:
    plain, strange, strangest = tmp_path / "code", tmp_path / 'it\'s "a" $HOME `x`', tmp_path / 'a:b,c"d e'
    for folder in (plain, strange, strangest):
        folder.mkdir()
    first.create_volume("made-before")
    mounts = [
        Volume("made-before", "/data"),
        Volume("made-before", "/ro", read_only=True),
        Volume("new", "/new", nocopy=True),
        Volume("new", "/new-ro", read_only=True, nocopy=True),
        Volume("long", "/long", syntax="--mount"),
        Volume("long", "/long-ro", read_only=True, nocopy=True, syntax="--mount"),
        Volume("long", "/a:colon,comma"),
        Bind(str(plain), "/code"),
        Bind(str(plain), "/code-ro", read_only=True),
        Bind(str(plain), "/code-long", read_only=True, syntax="--mount"),
        Bind(str(strange), "/strange"),
        Bind(str(strange), "/strange-long", syntax="--mount"),
        Bind(str(strangest), "/strangest"),
        Bind(str(tmp_path / "not there"), "/made-by-the-engine"),
        Anonymous("/anonymous"),
        Anonymous("/with space, comma"),
        Tmpfs("/memory"),
        Tmpfs("/memory-small", size="8m"),
        Tmpfs("/memory-mine", size="1m", mode=0o700),
    ]
    first.run("alpine", "sleep 1000", name="mounts", mounts=mounts)

    before, after = paste_all(first, shown, second)

    assert len(before["container /mounts"]["Mounts"]) == len(mounts) - 3, "the engine lists no --tmpfs among mounts"
    assert after == before


def test_every_other_option(first: Lab, second: Lab, shown: list[str]) -> None:
    env = {
        "QUOTES": 'it\'s "quoted"',
        "LINES": "one\ntwo\n",
        "DOLLAR": "$HOME `id` $(id)",
        "TEXT": "ü € 漢",
        "NONE": "",
    }
    ports = {80: None, "53/udp": None, "53/tcp": free_port(), 8080: free_port()}
    first.run(
        "alpine",
        ["sh", "-c", 'echo "$LINES"; sleep 1000'],
        name="options",
        env=env,
        ports=ports,
        workdir="/work here",
        user="1000:1000",
        labels={"course": "it's mine", "empty": ""},
    )
    first.run("alpine", "sleep 1000", name="no-net", network="none")
    first.run("alpine", "sleep 1000", name="joined", network="container:no-net", remove=True)

    before, after = paste_all(first, shown, second)

    assert before["container /options"]["Ports"]["8080/tcp"] == [f"127.0.0.1:{ports[8080]}"]
    assert before["container /options"]["Ports"]["53/udp"] == ["127.0.0.1:free"]
    assert after.keys() == before.keys()
    no_net, joined = (each["container /joined"]["HostConfig"].pop("NetworkMode") for each in (before, after))
    assert no_net.startswith("container:") and joined.startswith("container:"), "by ids, which differ"
    assert after == before


def test_a_container_s_life(first: Lab, second: Lab, shown: list[str]) -> None:
    box = first.run("alpine", "sleep 1000", mounts=[Volume("kept", "/data"), Anonymous("/scratch")])
    first.exec(box, "echo 'it''s' > /data/x; echo $HOME > /in-the-layer; rm /etc/passwd; mkdir \"/a b\"")
    first.exec(box, ["touch", "/tmp/it's $HOME"], user="1:1")
    first.changes(box)
    first.stop(box, timeout=0)
    first.start(box)
    gone = first.run("alpine", "sleep 1000", name="gone", mounts=[Anonymous("/a")])
    first.remove(gone, force=True)
    gone = first.run("alpine", "sleep 1000", name="gone", mounts=[Anonymous("/a"), Anonymous("/b")])
    first.remove(gone, volumes=True, force=True)
    first.create_volume("removed")
    first.remove_volume("removed")
    first.do(Pause(str(first.run("alpine", "sleep 1000").name)))
    first.run("alpine", "echo done", detach=False, mounts=[Anonymous("/x")], name="ended")
    first.run("alpine", "echo done", detach=False, remove=True, mounts=[Anonymous("/y")])
    first.volumes()
    first.containers()
    first.inspect_volume("kept")

    before, after = paste_all(first, shown, second)

    assert before[f"container /{box.name}"]["Changes"]["/etc/passwd"] == 2
    assert before["anonymous volumes"] == 3, "scratch, the one that rm left, and the ended one's"
    assert before["container /ended"]["State"]["Status"] == "exited"
    assert after == before


def test_the_script_of_a_sitting_makes_the_same_things(first: Lab, second: Lab) -> None:
    box = first.run("alpine", "sleep 1000", mounts=[Volume("data", "/data")], env={"TWO": "lines\nhere"})
    assert first.exec(box, 'echo "it\'s" > /data/x\nexit 3').exit_code == 3
    first.run("alpine", ["sh", "-c", "exit 4"], detach=False, name="failed")
    with pytest.raises(Exception, match="taken by another"):
        first.run("alpine", "true", name="failed")
    with pytest.raises(Exception, match="no volume"):
        first.remove_volume("dta")
    first.stop(box, timeout=0)
    before, script = inspected(first), first.script()
    first.cleanup()

    done = paste(script, second.engine)

    assert done.returncode == 0, done.stderr
    assert inspected(second) == before
    assert before["container /failed"]["State"]["ExitCode"] == 4
