"""Lesson 06: which mount when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from ..belongings import FOLDER_MARK, is_anonymous
from .evidence import Evidence, moment
from .verdict import NotYet, check

Mount = dict[str, Any]


def _mounts(evidence: Evidence, container: dict[str, Any]) -> dict[str, Mount]:
    """What is mounted, by path: `Type` as the engine says it, `anonymous` for a volume without a name of its own."""
    # --tmpfs is in the host's configuration alone, --mount type=tmpfs among the mounts.
    found: dict[str, Mount] = {path: {"Type": "tmpfs"} for path in container["HostConfig"].get("Tmpfs") or {}}
    for mount in container["Mounts"]:
        name = mount.get("Name") or ""
        kind = "anonymous" if is_anonymous(name) else mount["Type"]
        found[mount["Destination"]] = {**mount, "Type": kind, "Name": evidence.belongings.short(name)}
    return found


def _of_type(mounts: dict[str, Mount], kind: str) -> Iterator[tuple[str, Mount]]:
    return ((path, mount) for path, mount in mounts.items() if mount["Type"] == kind)


def _files(evidence: Evidence, container: dict[str, Any], path: str) -> set[str]:
    """The names of what is directly in a folder: a program in the container sees its memory, the engine does not."""
    return set(evidence.run(container, ["ls", "-A", path]).text.split("\n")) - {""}


def _running(evidence: Evidence) -> Iterator[tuple[dict[str, Any], dict[str, Mount]]]:
    for container in evidence.containers:
        if container["State"]["Running"]:
            yield container, _mounts(evidence, container)


@check(
    "K7",
    "three ways out of the layer: volume and bind mount keep what a removed container wrote, tmpfs does not",
    expected="a removed container, and a running one with the same volume, a bind mount and a tmpfs:"
    " a file of the former is in the first two, and neither in memory nor in the layer",
    hints=(
        "Which container wrote, and is it removed? What does its successor find in each of its mounts?",
        "Write the same note to a volume, a bind mount and a tmpfs, remove the container, run it again.",
        "docker run -d --name box -v data:/volume -v $(pwd):/folder --tmpfs /memory alpine sleep infinity;"
        " write /volume/note, /folder/note and /memory/note; docker rm -f box; run it again.",
    ),
)
def _three_ways(evidence: Evidence) -> str:
    seen = "No running container has a volume, a bind mount and a tmpfs."
    for container, mounts in _running(evidence):
        for volume, mount in _of_type(mounts, "volume"):
            for folder, _ in _of_type(mounts, "bind"):
                for memory, _ in _of_type(mounts, "tmpfs"):
                    try:
                        return _survived(evidence, container, mount["Name"], volume, folder, memory)
                    except NotYet as not_yet:
                        seen = str(not_yet)
    raise NotYet(seen)


def _survived(evidence: Evidence, container: dict[str, Any], name: str, volume: str, folder: str, memory: str) -> str:
    """What the predecessor of a container left it on that volume and in that folder, and not in that memory."""
    box, born = container["Name"], moment(container["Created"])
    former = next((item for item in evidence.removed if name in item["volumes"] and item["time"] < born), None)
    if former is None:
        raise NotYet(f"{box} has all three; no container with {name} was removed before it.")
    both = _files(evidence, container, volume) & _files(evidence, container, folder)
    stats = {file: [evidence.stat(container, f"{path}/{file}") for path in (volume, folder)] for file in both}
    old = sorted(file for file, found in stats.items() if all(stat and stat["mtime"] < born for stat in found))
    if not old:
        raise NotYet(f"{volume} and {folder} of {box} have no file in common that is older than {box}.")
    layer = {PurePosixPath(path).name for path in evidence.written(container)}
    again = _files(evidence, container, memory) | layer
    forgotten = [file for file in old if file not in again]
    if not forgotten:
        raise NotYet(f"{', '.join(old)} is in {memory} or in the layer of {box}, too (again?).")
    return (
        f"{former['name']} is gone; its successor {box} finds {', '.join(forgotten)} on {name} and in {folder},"
        f" and nothing of it in {memory} or in its layer."
    )


@check(
    "K12",
    "the engine manages a volume and its place, you manage a bind mount and its place; the same files go into either",
    expected="a running container that has the same file on a named volume, in the engine's data root,"
    " and in a bind mount, a folder outside of it",
    hints=(
        "Give one container both kinds, and compare what the engine says of them.",
        "Mount a named volume and a folder of yours in one container, and write the same file to both.",
        "docker run -d --name shop -v stock:/stock -v $(pwd):/desk alpine sleep infinity;"
        " docker exec shop sh -c 'date | tee /stock/list /desk/list'.",
    ),
)
def _volume_and_bind(evidence: Evidence) -> str:
    root = evidence.engine.client.info()["DockerRootDir"]
    seen = "No running container has a named volume and a bind mount."
    for container, mounts in _running(evidence):
        for volume, mount in _of_type(mounts, "volume"):
            for folder, bind in _of_type(mounts, "bind"):
                inside = PurePosixPath(mount["Source"]).is_relative_to(root)
                if not inside or PurePosixPath(bind["Source"]).is_relative_to(root):
                    seen = f"Not one of {volume} and {folder} lies in {root} alone."
                elif same := _same_files(evidence, container, volume, folder):
                    return (
                        f"{container['Name']} has {', '.join(same)} twice: on {mount['Name']}, which the engine lists"
                        f" and keeps in its data root, and in {bind['Source']}, which is yours alone."
                    )
                else:
                    seen = f"{container['Name']} has no file that is the same in {volume} and {folder}."
    raise NotYet(seen)


def _same_files(evidence: Evidence, container: dict[str, Any], one: str, other: str) -> list[str]:
    names = sorted(_files(evidence, container, one) & _files(evidence, container, other))
    content = [
        {path: [data for _, data in evidence.files(container, f"{path}/{name}")] for path in (one, other)}
        for name in names
    ]
    return [name for name, found in zip(names, content, strict=True) if found[one] == found[other] != []]


# What each place of the exercise must be, and why another kind is not.
WANTED = {"/orders": "volume", "/settings": "bind", "/sessions": "tmpfs"}
WHY_NOT = {
    ("/orders", "anonymous"): "is a volume without a name, hard to find again",
    ("/orders", "bind"): "is a folder of this machine, and nobody is to edit orders there",
    ("/orders", "tmpfs"): "is memory: one stop, and no order is left",
    ("/settings", "volume"): "is a volume, where your editor does not get in",
    ("/settings", "anonymous"): "is a volume, where your editor does not get in",
    ("/settings", "tmpfs"): "is memory, where your editor does not get in",
}


@check(
    "06-exercise",
    "each of three kinds of data in the mount that suits it",
    expected="webshop runs with a named volume at /orders, a read-only bind mount at /settings, a tmpfs at /sessions",
    hints=(
        "Ask of each: who writes it, who reads it, and what if the container is gone?",
        "Orders must outlive the container, settings are edited by you, sessions must not reach a disk.",
        "docker run -d --name webshop -v orders:/orders -v $(pwd):/settings:ro --tmpfs /sessions alpine sleep 1h.",
    ),
)
def _choice(evidence: Evidence) -> str:
    shop, mounts = next((found for found in _running(evidence) if found[0]["Name"] == "webshop"), ({}, {}))
    if not shop:
        raise NotYet("No container webshop runs.")
    for path, wanted in WANTED.items():
        kind = mounts[path]["Type"] if path in mounts else "layer"
        if kind == "layer":
            raise NotYet(f"{path} of webshop is in its writable layer, which goes with the container.")
        if kind != wanted:
            raise NotYet(f"{path} of webshop {WHY_NOT.get((path, kind), 'is on a disk')}.")
    if mounts["/settings"]["RW"]:
        raise NotYet("webshop may write to /settings.")
    if not _files(evidence, shop, "/settings") - {FOLDER_MARK}:
        raise NotYet(f"/settings of webshop is empty: {mounts['/settings']['Source']} is not where you edit.")
    volume, folder = mounts["/orders"]["Name"], PurePosixPath(mounts["/settings"]["Source"]).name
    return f"orders on the volume {volume}, settings from the folder {folder}, read-only, and sessions in memory."
