"""Lesson 02: volumes, data outside the container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..belongings import is_anonymous, shown
from .evidence import Evidence
from .verdict import NotYet, check


def _volume_mounts(evidence: Evidence, container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The volumes of a container, by the learner's names, and where they are mounted."""
    for mount in container["Mounts"]:
        if mount["Type"] == "volume":
            yield evidence.belongings.short(mount["Name"]), mount["Destination"]


@check(
    "K5",
    "on Linux a local volume lies under the engine's data root, volumes/<name>/_data",
    expected="a named local volume whose Mountpoint is that folder",
    hints=(
        "docker volume inspect has a field that is a path. Which of your volumes could you inspect?",
        "Create a volume with a name of your own; docker info says where the engine's data root is.",
        "docker volume create my-data, then docker volume inspect my-data.",
    ),
)
def _data_root(evidence: Evidence) -> str:
    info = evidence.engine.client.info()
    root = info["DockerRootDir"].rstrip("/")
    seen = [f"{name} (driver {item['Driver']})" for name, item in evidence.volumes.items() if not is_anonymous(name)]
    for name, item in evidence.volumes.items():
        place = f"{root}/volumes/{item['Name']}/_data"
        # Driver options as type=tmpfs or o=bind mount something else over that folder.
        if not is_anonymous(name) and item["Driver"] == "local" and not item["Options"] and item["Mountpoint"] == place:
            whose = "the engine's virtual machine" if "Desktop" in info["OperatingSystem"] else "the engine's host"
            return f"{name} lies in {item['Mountpoint']}, on the disk of {whose}."
    raise NotYet(f"{'Volumes: ' + ', '.join(seen) if seen else 'No named volume of this lab'}; data root: {root}.")


@check(
    "K6",
    "what is written to a volume does not go through the writable layer",
    expected="a container that has files on a volume, and a layer that holds less than they do",
    hints=(
        "docker diff and docker ps -s speak of the layer. Which of your containers has its data elsewhere?",
        "Mount a volume in a container, write something large below the mount point, and look at both again.",
        "docker run -d --name writer -v notes:/data alpine sleep infinity; write 20 MB to /data; docker ps -s.",
    ),
)
def _past_the_layer(evidence: Evidence) -> str:
    seen = "No container of this lab has a volume."
    for container in evidence.containers:
        for volume, path in _volume_mounts(evidence, container):
            sizes = [entry.size for entry, _ in evidence.files(container, path)]
            layer = evidence.writable_bytes(container)
            below = [change for change in evidence.changes(container) if change.startswith(f"{path}/")]
            if sum(sizes) > layer and not below:
                return (
                    f"{container['Name']} has {sum(sizes):,} bytes on {volume} at {path};"
                    f" its writable layer has {layer:,}, and docker diff lists nothing below {path}."
                )
            seen = f"{container['Name']} has {sum(sizes):,} bytes on {volume}, {layer:,} in its layer."
    raise NotYet(seen)


@check(
    "K4",
    "a volume outlives any container",
    expected="a removed container, and a later one that has the same volume with the same files",
    hints=(
        "Which container wrote to your volume, and is it gone?",
        "Write to a volume, remove the container, and mount the volume in a new one.",
        "docker rm -f writer; docker run -d --name reader -v notes:/elsewhere alpine sleep infinity.",
    ),
)
def _outlives(evidence: Evidence) -> str:
    seen = "No container with a volume was removed in this sitting."
    for removed in evidence.removed:
        for volume, path in removed["volumes"].items():
            if volume not in evidence.volumes:
                seen = f"{removed['name']} was removed, and its volume {shown(volume)} too."
                continue
            with evidence.holder(volume) as box:
                kept = [entry for entry, _ in evidence.files(box, "/volume") if entry.mtime < removed["time"]]
            if not kept:
                seen = f"{removed['name']} is gone; {shown(volume)} is there, but has no file from its time."
            elif (later := evidence.later_user(volume, removed["time"])) is None:
                seen = f"{removed['name']} is gone and {shown(volume)} has its files; no container had it since."
            else:
                size = sum(entry.size for entry in kept)
                return (
                    f"{removed['name']} had {shown(volume)} at {path} and is gone; {later} came later"
                    f" and finds {len(kept)} files there from before, {size:,} bytes."
                )
    raise NotYet(seen)


@check(
    "K18",
    "an empty named volume is first filled with what the image has at that path, a bind mount never is",
    expected="a volume and a bind mount where the image has something: it is there in the one, hidden in the other",
    hints=(
        "What does the image have at the path where you mounted? Try one where it has something.",
        "Mount a new volume at /var of one container, and an empty folder of the host at /var of another.",
        "docker run -d -v fresh:/var alpine sleep infinity, and the same with -v /an/empty/folder:/var.",
    ),
)
def _filled(evidence: Evidence) -> str:
    told: dict[str, str] = {}
    for container in evidence.containers:
        for mount in container["Mounts"]:
            kind, path = mount["Type"], mount["Destination"]
            if kind not in ("volume", "bind") or is_anonymous(mount.get("Name") or "") or kind in told:
                continue
            with evidence.fresh(container["Image"]) as fresh:
                there = evidence.names(fresh, path)
            found = {name for name in there if evidence.stat(container, f"{path}/{name}")}
            if there and found == (there if kind == "volume" else set()):
                told[kind] = f"{container['Name']} sees {len(found)} of the image's {len(there)} names in {path}"
    if told.keys() == {"volume", "bind"}:
        return f"On its volume {told['volume']}; under its bind mount {told['bind']}."
    missing = "bind mount hides" if "volume" in told else "named volume has"
    raise NotYet(" ".join([*(f"{text} ({kind})." for kind, text in told.items()), f"No {missing} what an image has."]))


@check(
    "02-exercise",
    "one volume, two containers, one of them read-only",
    expected="giver and taker run with the volume shared; taker has it read-only and sees the file gift",
    hints=(
        "Both containers name the same volume. What must differ between their mounts?",
        'Volume("shared", "/in", read_only=True) for taker, or -v shared:/in:ro.',
        "giver with -v shared:/out, taker with -v shared:/in:ro; then in giver: echo for you > /out/gift.",
    ),
)
def _shared(evidence: Evidence) -> str:
    mounts = {}
    for name in ("giver", "taker"):
        for container in evidence.users("shared"):
            if container["Name"] == name and container["State"]["Running"]:
                full = evidence.full("shared")
                mounts[name] = container, next(item for item in container["Mounts"] if item.get("Name") == full)
        if name not in mounts:
            raise NotYet(f"No {name} runs with the volume shared.")
    if not mounts["giver"][1]["RW"]:
        raise NotYet("giver cannot write to shared.")
    taker, mount = mounts["taker"]
    if mount["RW"]:
        raise NotYet(f"taker has shared at {mount['Destination']}, and may write there.")
    path = f"{mount['Destination']}/gift"
    if evidence.stat(taker, path) is None:
        raise NotYet(f"taker has shared read-only, but sees no {path}.")
    return f"taker sees {path}, which giver wrote to the same volume, and cannot write there."
