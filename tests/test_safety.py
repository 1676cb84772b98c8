"""On an engine that is not the course's own, nothing is touched that a lab did not make: byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engines import python, wait_until

from dockerlab import Anonymous, Bind, DockerLabError, Lab, Tmpfs, Volume
from dockerlab.cli import invoke
from dockerlab.commands import Exec, Pause, Remove, RemoveVolume, Stop, Unpause
from dockerlab.engine.find import Engine
from dockerlab.errors import CommandError, ForeignError
from dockerlab.lines import Line

SLEEP = "sleep 1000"


class Decoys:
    """What somebody else has on the engine, made with the bare CLI, under names that the course uses too."""

    names = ("my-data", "pgdata", "in-use", "unused", "b" * 64)
    boxes = ("writer", "test-db", "stopped", "without-a-name-of-its-volume")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        mounts = [word for name in self.names for word in ("-v", f"{name}:/v/{name}")]
        fill = "for v in /v/*; do echo $v | tee $v/a >$v/b; chmod 604 $v/b; done"
        self("run", "--rm", *mounts, "alpine", "sh", "-c", fill)
        self("network", "create", "net")
        self("run", "-d", "--name", "writer", "-v", "in-use:/data", "--network", "net", "alpine", "sleep", "100000")
        password = ("-e", "POSTGRES_PASSWORD=theirs")
        self("run", "-d", "--name", "test-db", *password, "-v", "pgdata:/elsewhere", "postgres:16-alpine")
        self("run", "--name", "stopped", "-v", "/anonymous", "-v", "my-data:/d", "alpine", "sh", "-c", "date > /layer")
        self("run", "-d", "--name", self.boxes[3], "-v", "/anonymous", "alpine", "sleep", "100000")
        orphan = ("alpine", "sh", "-c", "echo orphan > /anonymous/x")
        self("run", "--name", "orphan", "-v", "/anonymous", *orphan)
        self("rm", "orphan")
        self("tag", "alpine", "my-docker-app:1.0")
        # Until Postgres in it writes nothing more by itself; the server that makes the database is ready before it is.
        log = partial(self.engine.client.api.logs, "test-db")
        wait_until(lambda: b"init process complete" in log() and b"ready to accept" in log(tail=1))
        self("pause", "test-db")
        self.at_first = self.state()

    def __call__(self, *words: str) -> str:
        environment = os.environ | self.engine.cli_env()
        return subprocess.run(["docker", *words], env=environment, capture_output=True, check=True, text=True).stdout

    def state(self) -> dict[str, Any]:
        """All of it: each record, what is in each volume and layer, and since when each container runs."""
        api = self.engine.client.api
        state: dict[str, Any] = {}
        for item in api.containers(all=True):
            record = api.inspect_container(item["Id"])
            record["Mounts"].sort(key=lambda mount: mount["Destination"])  # the engine shuffles them
            state[record["Name"]] = record
            state[f"{record['Name']} changes"] = sorted(map(str, api.diff(item["Id"]) or ()))
            state[f"{record['Name']} logs"] = api.logs(item["Id"])
        for item in api.volumes()["Volumes"] or []:
            state[item["Name"]] = item
            state[f"{item['Name']} content"] = fingerprint(Path(item["Mountpoint"]))
        for item in api.networks():
            state[f"network {item['Name']}"] = api.inspect_network(item["Id"])
        state["images"] = sorted((item["Id"], sorted(item["RepoTags"] or ())) for item in api.images())
        return state

    def are_unharmed(self) -> bool:
        """Whether all is as it was at first, and nothing else is there."""
        assert self.state() == self.at_first
        return True

    def remove(self) -> None:
        self("unpause", "test-db")
        for item in self.engine.client.api.containers(all=True):
            self("rm", "-f", "-v", item["Id"])
        self.engine.client.volumes.prune()
        for name in self.names:
            subprocess.run(["docker", "volume", "rm", name], env=os.environ | self.engine.cli_env(), check=False)
        self("network", "rm", "net")
        self("rmi", "my-docker-app:1.0")
        assert not self.engine.client.api.containers(all=True)
        assert not self.engine.client.api.volumes()["Volumes"]


def fingerprint(folder: Path) -> dict[str, tuple[int, int, int, float, str]]:
    """Each path below the folder with its mode, owner, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, content)
    return found


@pytest.fixture(scope="module")
def standing(stranger: Engine) -> Iterator[Decoys]:
    """Decoys for all tests: each sees that it left them as they were."""
    decoys = Decoys(stranger)
    yield decoys
    decoys.remove()


@pytest.fixture
def guest(stranger: Engine) -> Lab:
    """A lab on that engine; what its cleanup leaves is part of what is looked at."""
    assert not stranger.private
    return Lab("guest", engine=stranger, owner="", echo=None)


def typed(lab: Lab, line: str) -> str:
    out = io.StringIO()
    invoke(lab, line, out=out)
    return out.getvalue()


def a_sitting(lab: Lab, tmp_path: Path) -> None:
    """Everything that a lab can do, with names of its own."""
    mounts = [Volume("mine", "/data"), Anonymous("/anonymous"), Tmpfs("/memory"), Bind(tmp_path, "/code")]
    box = lab.run("alpine", SLEEP, name="my-box", mounts=mounts, ports={80: None})
    lab.exec(box, "echo mine | tee /data/x /anonymous/x /code/x /layer")
    lab.stop(box, timeout=0)
    lab.start(box)
    lab.do(Pause("my-box"))
    lab.do(Unpause("my-box"))
    lab.changes(box)
    orphaned = lab.run("alpine", SLEEP, mounts=[Anonymous("/anonymous")])
    lab.remove(orphaned, force=True)
    lab.run("alpine", "true", detach=False, mounts=[Anonymous("/a"), Volume("mine", "/m")])
    lab.run("alpine", "true", detach=False, remove=True, mounts=[Anonymous("/a")])
    lab.create_volume("unused-mine")
    lab.volumes()
    lab.volumes(all=True)
    lab.containers(all=True)
    lab.images()
    typed(lab, "run -d --name typed -v mine:/data -v typed-data:/typed -v /anonymous alpine sleep 1000")
    typed(lab, "run -d --mount type=volume,source=mine,target=/data alpine sleep 1000")
    typed(lab, "network create my-net")
    typed(lab, "network connect my-net typed")
    typed(lab, f"cp typed:/etc/passwd {tmp_path}/copied")
    typed(lab, "rename typed typed-again")
    typed(lab, "rm -f typed-again")
    (tmp_path / "Dockerfile").write_text("FROM alpine\nCMD echo built\n")
    typed(lab, f"build -q -t my-app:1.0 {tmp_path}")
    typed(lab, "run --name from-my-app my-app:1.0")
    (tmp_path / "Dockerfile").unlink()


def test_a_whole_sitting_and_its_cleanup_leave_everybody_else_s_things_as_they_were(
    standing: Decoys, guest: Lab, tmp_path: Path
) -> None:
    a_sitting(guest, tmp_path)
    assert guest.plan_prune(all=True).apply()
    a_sitting_s_own = set(guest.containers()["name"])
    guest.cleanup()

    assert {"my-box", "from-my-app"} <= a_sitting_s_own
    assert guest.containers().empty
    assert guest.volumes().empty
    assert standing.are_unharmed(), "and nothing of the lab's is left either"


def test_only_the_lab_s_own_are_listed_unless_all_are_asked_for(standing: Decoys, guest: Lab) -> None:
    guest.run("alpine", SLEEP, name="mine", mounts=[Volume("mine-too", "/data")])

    assert list(guest.containers()["name"]) == ["mine"]
    assert list(guest.volumes()["name"]) == ["mine-too"]
    assert set(standing.boxes) < set(guest.containers(all=True)["name"])
    assert set(standing.names) < set(guest.volumes(all=True)["name"])
    guest.cleanup()


ACTIONS: dict[str, Callable[[Lab], object]] = {
    "exec": lambda lab: lab.exec("writer", "rm -rf /data/*"),
    "stop": lambda lab: lab.stop("writer"),
    "start": lambda lab: lab.start("stopped"),
    "remove": lambda lab: lab.remove("stopped"),
    "remove by force": lambda lab: lab.remove("writer", volumes=True, force=True),
    "remove docker-py's own": lambda lab: lab.remove(lab.engine.client.containers.get("stopped"), volumes=True),
    "a command value": lambda lab: lab.do(Remove("stopped", volumes=True)),
    "another one": lambda lab: lab.do(Exec("writer", "rm -rf /data/*")),
    "stop as a value": lambda lab: lab.do(Stop("writer", 0)),
    "pause": lambda lab: lab.do(Pause("writer")),
    "run under its name": lambda lab: lab.run("alpine", name="writer"),
    "run under its name to the end": lambda lab: lab.run("alpine", "true", name="stopped", detach=False, remove=True),
    "mount its volume": lambda lab: lab.run("alpine", "rm -rf /x", mounts=[Volume("my-data", "/x")], detach=False),
    "mount it read-only": lambda lab: lab.run("alpine", mounts=[Volume("my-data", "/x", read_only=True)]),
    "mount it the long way": lambda lab: lab.run("alpine", mounts=[Volume("unused", "/x", syntax="--mount")]),
    "join its network": lambda lab: lab.run("alpine", network="net"),
    "join its container": lambda lab: lab.run("alpine", network="container:writer"),
    "create its volume": lambda lab: lab.create_volume("my-data"),
    "remove its volume": lambda lab: lab.remove_volume("unused"),
    "remove its volume as a value": lambda lab: lab.do(RemoveVolume("unused")),
    "remove one that is in use": lambda lab: lab.remove_volume("in-use"),
    "remove one with a name like an anonymous one's": lambda lab: lab.remove_volume("b" * 64),
}


LINES = [
    "rm -f writer",
    "rm -fv stopped writer",
    "container rm -f writer",
    "stop -t 0 writer",
    "kill writer",
    "start stopped",
    "restart -t 0 writer",
    "pause writer",
    "unpause test-db",
    "rename writer mine",
    "update --memory 100m writer",
    "exec writer rm -rf /data",
    "exec -it writer rm -rf /data",
    "exec test-db psql -U postgres -c 'DROP DATABASE postgres'",
    "cp /etc/hostname writer:/data/",
    "run --name writer alpine true",
    "run --rm -v my-data:/x alpine rm -rf /x/a",
    "run --rm -dvmy-data:/x alpine rm -rf /x/a",
    "run --rm --mount source=my-data,target=/x alpine rm -rf /x/a",
    "run --rm --volumes-from writer alpine rm -rf /data",
    "run --rm --network container:writer alpine true",
    "run --rm --pid container:writer alpine kill 1",
    "create -v my-data:/x alpine",
    "volume rm unused",
    "volume rm -f unused my-data",
    "volume create my-data",
    "volume prune -f",
    "volume prune -af",
    "container prune -f",
    "network prune -f",
    "image prune -af",
    "system prune -f --volumes",
    "system prune -af",
    "network rm net",
    "network disconnect net writer",
    "network connect net stopped",
    "rmi my-docker-app:1.0",
    "image rm -f my-docker-app:1.0 alpine",
    "tag postgres:16-alpine my-docker-app:1.0",
    "tag postgres:16-alpine alpine",
    "build -t my-docker-app:1.0 .",
    "build -t alpine .",
    "commit writer alpine",
    "import /dev/null alpine",
    "load -i /dev/null",
    "compose up",
    "swarm init",
    "plugin install x",
]


@pytest.mark.parametrize("act", ACTIONS.values(), ids=ACTIONS)
def test_what_is_not_the_lab_s_is_refused_and_unharmed(
    standing: Decoys, guest: Lab, act: Callable[[Lab], object]
) -> None:
    with pytest.raises(DockerLabError) as caught:
        act(guest)

    assert isinstance(caught.value, ForeignError)
    assert len(str(caught.value).splitlines()) == 3
    assert standing.are_unharmed()
    assert guest.cleanup() == []


@pytest.mark.parametrize("line", LINES)
def test_no_line_that_is_typed_harms_what_is_not_the_lab_s(
    standing: Decoys, guest: Lab, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM alpine\n")
    if "prune" in line:
        out = io.StringIO()
        with contextlib.suppress(CommandError):  # an engine that has no such filter says no
            invoke(guest, line, out=out)
        assert "# limited to what the lab guest has labelled" in out.getvalue()
    else:
        with pytest.raises(ForeignError):
            typed(guest, line)

    assert standing.are_unharmed()
    assert guest.cleanup() == []


def test_a_prune_takes_the_lab_s_own_beside_what_stays(standing: Decoys, guest: Lab) -> None:
    guest.create_volume("mine")
    left = guest.run("alpine", SLEEP, mounts=[Anonymous("/x")])
    guest.remove(left, force=True)
    orphan = left.attrs["Mounts"][0]["Name"]

    plan = guest.plan_prune(all=True)

    assert set(plan.removes["name"]) == {"mine", orphan}
    assert "unused" in plan.foreign
    assert set(plan.apply()) == {"mine", orphan}
    assert standing.are_unharmed()


def test_an_owner_may_use_the_names_that_are_taken(standing: Decoys, stranger: Engine) -> None:
    ana, ben = (Lab("guest", engine=stranger, owner=owner, echo=None) for owner in ("ana", "ben"))

    for lab in (ana, ben):
        box = lab.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data")])
        lab.exec(box, f"echo {lab.owner} > /data/x")
        typed(lab, "run -d --name test-db -v pgdata:/data alpine sleep 1000")
        typed(lab, "network create net")
        assert (
            typed(lab, "exec writer cat /data/x")
            == f"# runs as: docker exec {lab.owner}-writer cat /data/x\n{lab.owner}\n"
        )
        typed(lab, "rm -f test-db")
        typed(lab, "volume rm pgdata")
    assert set(ana.cleanup()) == {"container writer", "volume my-data", "network net"}
    assert ben.exec("writer", "cat /data/x").text == "ben\n"
    assert list(ben.volumes()["name"]) == ["my-data"]
    with pytest.raises(ForeignError):
        Lab("guest", engine=stranger, owner="", echo=None).exec("ben-writer", "true")
    assert set(ben.cleanup()) == {"container writer", "volume my-data", "network net"}

    assert standing.are_unharmed()


def test_a_foreign_container_of_an_image_that_the_lab_built_stays_foreign(
    standing: Decoys, guest: Lab, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM alpine\n")
    typed(guest, f"build -q -t built:1 {tmp_path}")
    standing("run", "-d", "--name", "foreign", "built:1", "sleep", "1000")
    try:
        with pytest.raises(ForeignError):
            guest.remove("foreign", force=True)
        assert guest.containers().empty
        assert guest.cleanup() == []
        assert standing("exec", "foreign", "echo", "here") == "here\n"
    finally:
        standing("rm", "-f", "foreign")
    assert guest.cleanup() == ["image built:1"]
    assert standing.are_unharmed()


END_IN_THE_MIDDLE = """
import os, sys
from dockerlab import Anonymous, Lab, Volume
lab = Lab("guest", engine=sys.argv[1], owner="", echo=None)
for name in ("one", "two"):
    box = lab.run("alpine", "sleep 1000", name=name, mounts=[Anonymous("/x"), Volume("mine", "/y")])
lab.remove("two", force=True)
os._exit(1)
"""


def test_after_a_kernel_s_sudden_end_the_next_one_cleans_up_and_only_that(standing: Decoys, guest: Lab) -> None:
    with pytest.raises(AssertionError):
        python(END_IN_THE_MIDDLE, guest.engine.url)
    assert len(standing.state()) > len(standing.at_first)

    gone = Lab("guest", engine=guest.engine, owner="", echo=None).cleanup()

    assert len(gone) == 3, "the container, the named volume and the orphan; one volume went with its container"
    assert standing.are_unharmed()


def test_a_line_is_only_read_where_it_is_refused(standing: Decoys, guest: Lab) -> None:
    with pytest.raises(ForeignError):
        Line(guest, ["run", "-v", "new:/x", "-v", "my-data:/y", "alpine"], has_input=False, say=print)

    assert guest.cleanup() == ["volume new"], "which the line had claimed before"
    assert standing.are_unharmed()
