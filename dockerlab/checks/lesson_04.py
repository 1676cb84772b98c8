"""Lesson 04: edit here, see it there."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import docker.errors

from ..commands import Run
from ..engine import images
from ..mounts import Bind
from .evidence import PROBE_LABEL, Evidence, moment, mount_points
from .verdict import NotYet, check


def _binds(container: dict[str, Any]) -> list[dict[str, Any]]:
    """A container's bind mounts; `Long` says whether --mount gave them, `Here` is the folder on this machine."""
    long = {mount["Target"] for mount in container["HostConfig"].get("Mounts") or []}
    return [
        # Docker Desktop puts a folder of its own before the host's.
        {**mount, "Long": mount["Destination"] in long, "Here": Path(mount["Source"].removeprefix("/host_mnt"))}
        for mount in container["Mounts"]
        if mount["Type"] == "bind"
    ]


@check(
    "K9",
    "-v and --mount do the same, but for a missing folder: -v makes it, --mount refuses",
    expected="an empty folder that -v has made, and a container that has the same folder by --mount",
    hints=(
        "Two syntaxes, one folder that was not there. Which of them would start a container all the same?",
        "Run a container with -v and a folder that is missing, then another with --mount and the same folder.",
        "docker run --name short -v $(pwd)/tyop:/data alpine true, then --name long with"
        " --mount type=bind,source=$(pwd)/tyop,target=/data.",
    ),
)
def _syntaxes(evidence: Evidence) -> str:
    found = [(container, mount) for container in evidence.containers for mount in _binds(container)]
    made = [(box, mount) for box, mount in found if not mount["Long"] and _made_for(evidence, box, mount)]
    if not made:
        told = [f"{box['Name']} has {mount['Source']} by {_syntax(mount)}" for box, mount in found]
        raise NotYet(f"{'; '.join(told) or 'No container has a bind mount'}; no folder was made by -v.")
    for short, mount in made:
        for long, other in found:
            if other["Long"] and other["Source"] == mount["Source"]:
                _see_refusal(evidence, mount["Source"])
                name = PurePosixPath(mount["Source"]).name
                return (
                    f"-v made {name} for {short['Name']}; {long['Name']} has the same folder by --mount."
                    f" Asked for one that is missing, --mount refuses on this engine."
                )
    raise NotYet(f"-v made {made[0][1]['Source']} for {made[0][0]['Name']}; no container has it by --mount.")


def _syntax(mount: dict[str, Any]) -> str:
    return "--mount" if mount["Long"] else "-v"


def _made_for(evidence: Evidence, container: dict[str, Any], mount: dict[str, Any]) -> bool:
    """Whether a container's folder is no older than the container, and empty."""
    stat = evidence.stat(container, mount["Destination"])
    if stat is None or not stat["folder"] or evidence.names(container, mount["Destination"]):
        return False
    # File systems' clocks are some milliseconds behind.
    return bool(stat["mtime"] > moment(container["Created"]) - 0.1)


def _see_refusal(evidence: Evidence, source: str) -> None:
    """A refusal leaves no trace, so the engine is asked itself, for a folder that is not there."""
    images.ensure(evidence.engine, "alpine")
    missing = Bind(f"{source}.is-missing", "/data", syntax="--mount")
    labels = {**evidence.belongings.labels, PROBE_LABEL: "yes"}
    try:
        container = Run("alpine", "true", mounts=[missing], labels=labels).create(evidence.engine.client)
    except docker.errors.APIError as error:
        if "does not exist" in str(error.explanation):
            return
        raise
    container.remove(force=True)
    raise NotYet("This engine did not refuse --mount with a folder that is missing.")


@check(
    "K11",
    "a bind mount shows edits at once, both ways, with no rebuild",
    expected="a running container, a file edited here since it started and the same there,"
    " and a file there in which it has written its host name",
    hints=(
        "An edit from here, a file from there: which of the two is missing?",
        "While the container runs, edit a file in the folder here, and let the container write its hostname into one.",
        "Edit app.js; docker exec watcher sh -c 'hostname > /app/from-inside'.",
    ),
)
def _both_ways(evidence: Evidence) -> str:
    seen = "No container with a bind mount runs."
    for container in evidence.containers:
        if not container["State"]["Running"]:
            continue
        for mount in _binds(container):
            try:
                edited, written = _edits(evidence, container, mount)
            except NotYet as not_yet:
                seen = str(not_yet)
            else:
                return (
                    f"{edited} was edited here after {container['Name']} had started, and is the same there;"
                    f" {written} was written there, and is the same here."
                )
    raise NotYet(seen)


def _edits(evidence: Evidence, container: dict[str, Any], mount: dict[str, Any]) -> tuple[str, str]:
    """The names of a file that was edited here, and of one that the container wrote."""
    name, started = container["Name"], moment(container["State"]["StartedAt"])
    if not mount["Here"].is_dir():
        raise NotYet(f"{name} has {mount['Source']}, which is no folder of this machine.")
    edited, written = [], []
    folder = PurePosixPath(mount["Destination"])
    others = [path for path in map(PurePosixPath, mount_points(container)) if folder in path.parents]
    for entry, there in evidence.files(container, mount["Destination"]):
        relative = PurePosixPath(*PurePosixPath(entry.name).parts[1:])
        # A volume over the folder's node_modules, as is common, hides what this machine has there.
        if any((folder / relative).is_relative_to(other) for other in others):
            continue
        here = mount["Here"] / relative
        try:
            same = here.is_file() and here.read_bytes() == there
        except OSError as error:
            raise NotYet(f"{here} can't be read here: {error.strerror}.") from None
        if not same:
            raise NotYet(f"{relative} is not the same in {mount['Here']} and in {name}.")
        if there.strip() == container["Config"]["Hostname"].encode():
            written.append(str(relative))
        elif here.stat().st_mtime > started:
            edited.append(str(relative))
    if not edited:
        raise NotYet(f"{name} has {mount['Source']}, and nothing in it was edited since it started.")
    if not written:
        raise NotYet(f"{edited[0]} was edited since {name} started; no file has the host name that {name} would write.")
    return edited[0], written[0]


@check(
    "04-exercise",
    "a folder that a container reads as it changes, and cannot write to",
    expected="a running reader with the folder notes at /notes by --mount, read-only, and notes/today newer than it",
    hints=(
        "--mount wants a folder that is there. What does it call the read-only kind?",
        "mkdir notes, then --mount with source, target and readonly; write notes/today once the container runs.",
        "docker run -d --name reader --mount type=bind,source=$(pwd)/notes,target=/notes,readonly alpine sleep 1h.",
    ),
)
def _reader(evidence: Evidence) -> str:
    reader = next((box for box in evidence.containers if box["Name"] == "reader" and box["State"]["Running"]), None)
    if reader is None:
        raise NotYet("No container reader runs.")
    mount = next((mount for mount in _binds(reader) if mount["Destination"] == "/notes"), None)
    if mount is None:
        raise NotYet("reader has no bind mount at /notes.")
    if mount["RW"]:
        raise NotYet("reader can write to /notes.")
    if not mount["Long"]:
        raise NotYet("reader has /notes by -v.")
    today = evidence.stat(reader, "/notes/today")
    if today is None:
        raise NotYet("reader finds no /notes/today.")
    if today["mtime"] < moment(reader["Created"]):
        raise NotYet("/notes/today is older than reader: it was there before the container ran.")
    return "reader has /notes read-only, and reads today, which was written after it had started."
