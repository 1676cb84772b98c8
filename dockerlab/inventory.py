"""Read a lab's storage from its engine: everything at first, afterwards only what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import docker.errors

from .belongings import HELPER_LABEL, is_anonymous
from .engine.images import LABEL as STAND_IN
from .lab import Lab
from .listings import disk_usage, first_name
from .storage import Change, Container, Image, Layer, MountPoint, Snapshot, Volume

__all__ = ["MEASURE", "Inventory", "read"]

KINDS: tuple[Literal["C", "A", "D"], ...] = ("C", "A", "D")  # by the number that the API gives
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MEASURE = ("df", "-k", "-P")  # in a container, how full a tmpfs is: POSIX words, which busybox has too
Changes = list[dict[str, Any]]  # as the API gives them
READERS = 4  # calls at the same time when everything is read; the engine answers `docker diff` in about 18 ms


def read(lab: Lab, *, sizes: bool = False) -> Snapshot:
    """The storage of a lab now; with `sizes` it is measured too, which takes as long as `docker system df`."""
    inventory = Inventory(lab)
    inventory.read_all()
    if sizes:
        inventory.measure()
    return inventory.snapshot()


class Inventory:
    """What was read from a lab's engine, and the ways to read a part of it again; for one thread at a time.

    It holds what the lab may touch, and what its containers mount; not what a backup makes for itself. The API alone is
    asked, never the engine's files: Engine 29 does not say where they are. docker-py's exceptions come through.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab, self._api = lab, lab.engine.client.api
        # Both in the order in which they were made.
        self._containers: dict[str, Container] = {}
        self._volumes: dict[str, Volume] = {}
        self._images: dict[str, Image] = {}  # an image never changes: its id is a digest of its content
        self._memory: dict[str, tuple[MountPoint, ...]] = {}  # of a container, fixed when it is created
        self._foreign: dict[str, tuple[str, frozenset[str]]] = {}  # containers of others: name, volumes
        self._others: set[str] = set()  # volumes that by their labels are not ours
        self._used: dict[tuple[str, str], int] = {}  # of a tmpfs, by container and path

    def read_all(self) -> None:
        """Read everything again; what was measured is forgotten."""
        records = [record for record in self._api.containers(all=True, size=True) if not _helps(record)]
        volumes = self._api.volumes()["Volumes"] or []
        ours = [record for record in reversed(records) if self._is_ours(record)]  # the engine lists the newest first
        with ThreadPoolExecutor(READERS) as pool:
            found = list(pool.map(self._container, ours))
        self._containers = {container.id: container for container in found if container}
        self._foreign = {record["Id"]: _foreign(record) for record in records if not self._is_ours(record)}
        there = {volume["Name"] for volume in volumes}
        self._volumes = {name: volume for name, volume in self._volumes.items() if name in there}
        self._others &= there
        # At first by their time, later as they came: up to Engine 20.10 at least, CreatedAt is when a file last came
        # into the volume.
        for volume in sorted(volumes, key=lambda record: (record.get("CreatedAt", ""), record["Name"])):
            self._keep_volume(volume)
        self._memory = {key: mounts for key, mounts in self._memory.items() if key in self._containers}
        self._used.clear()
        self._lab.belongings.notice(ours)

    def read_container(self, id: str) -> None:
        """Read one container again, in two calls of the engine; in two more when it or its image is new."""
        self._unmeasure(id)
        # `docker ps` may be behind the event of a pause, an end or a new name. Until it is not, the engine holds the
        # container (moby, daemon/pause.go, monitor.go): the question that waits for the container comes first.
        try:
            found = self._diff(id) if id in self._containers else None
        except docker.errors.NotFound:
            return self.forget_container(id)
        # The record of `docker ps`: docker-py's inspect does not ask for the writable layer's size.
        listed = self._api.containers(all=True, size=True, filters={"id": id})
        record = next((record for record in listed if record["Id"] == id), None)
        if record is not None and not self._is_ours(record):
            self._foreign[id] = _foreign(record)
            return None
        container = record and not _helps(record) and self._container(record, found)
        if record and container:
            self._containers[id] = container
            self._lab.belongings.notice([record])
        else:
            self.forget_container(id)
        return None

    def read_volume(self, name: str) -> None:
        """Read one volume again, in one call of the engine."""
        try:
            self._keep_volume(self._api.inspect_volume(name))
        except docker.errors.NotFound:
            self.forget_volume(name)

    def forget_container(self, id: str) -> None:
        """It is gone."""
        self._unmeasure(id)
        if id in self._foreign:
            self._lab.belongings.recall()  # what it leaves behind is then its own lab's
        for kept in (self._containers, self._foreign, self._memory):
            kept.pop(id, None)

    def forget_volume(self, name: str) -> None:
        """It is gone."""
        self._volumes.pop(name, None)
        self._others.discard(name)

    def measure(self) -> None:
        """Measure volumes (`docker system df`, slow where much is stored) and memory (`df` in running containers)."""
        for record in disk_usage(self._lab.engine.client)["Volumes"] or []:
            name, size = record["Name"], (record.get("UsageData") or {}).get("Size", -1)
            if size >= 0 and name in self._volumes:  # -1: the volume's driver does not tell
                self._volumes[name] = replace(self._volumes[name], size=size)
        for container in self._containers.values():
            if container.state == "running":
                for mount in self._memory.get(container.id, ()):
                    used = self._ask_used(container.id, mount.target)
                    if used is not None:
                        self._used[container.id, mount.target] = used

    def snapshot(self, note: str = "") -> Snapshot:
        """What is known now, as a value."""
        users: dict[str, list[str]] = {}
        for container in self._containers.values():
            for mount in container.mounts:
                if mount.kind == "volume":
                    users.setdefault(mount.source, []).append(container.name)
        ours = set(users)
        for name, mounted in self._foreign.values():
            for volume in mounted:
                users.setdefault(self._lab.belongings.short(volume), []).append(name)
        theirs = {name for _, mounted in self._foreign.values() for name in mounted}

        def is_shown(name: str, volume: Volume) -> bool:
            if volume.name in ours:
                return True
            if volume.anonymous:  # no label says whose: another lab may come to remember it
                return name not in theirs and self._lab.belongings.may_touch(None, name)
            return name not in self._others

        # Of many volumes most are as they were, and are taken as they are: each event ends here.
        volumes = [
            replace(volume, users=tuple(dict.fromkeys(users[volume.name]))) if volume.name in users else volume
            for name, volume in self._volumes.items()
            if is_shown(name, volume)
        ]
        engine = self._lab.engine
        product = "Podman" if engine.kind == "podman" else "Docker"
        return Snapshot(
            self._lab.name,
            f"{product} {engine.version.partition('+')[0]}{' · private engine' * engine.private}",
            tuple(map(self._with_used, self._containers.values()) if self._used else self._containers.values()),
            tuple(volumes),
            note,
        )

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        return self._lab.belongings.may_touch(record["Labels"])

    def _unmeasure(self, id: str) -> None:
        """Forget what was measured in a container and its volumes: it may have written since."""
        container = self._containers.get(id)
        mounted = {mount.source for mount in container.mounts} if container else set()
        for name, volume in self._volumes.items():
            if volume.size is not None and volume.name in mounted:
                self._volumes[name] = replace(volume, size=None)
        self._used = {(key, target): used for (key, target), used in self._used.items() if key != id}

    def _container(self, record: Mapping[str, Any], found: Changes | None = None) -> Container | None:
        """The container of a record of `docker ps`, and of `docker diff`; `None` when it was removed meanwhile."""
        key, short = record["Id"], self._lab.belongings.short
        try:
            changes = self._changes(record, found)
            if key not in self._memory:
                self._memory[key] = _memory(self._api.inspect_container(key)["HostConfig"])
            image = self._image(record)
        except docker.errors.NotFound:
            return None
        mounts = [
            MountPoint(
                mount["Type"], short(mount.get("Name") or mount["Source"]), mount["Destination"], not mount["RW"]
            )
            for mount in record["Mounts"]
            if mount["Type"] in ("volume", "bind")
        ]
        return Container(
            key,
            short(first_name(record)),
            image,
            record["State"],
            changes,
            record.get("SizeRw", 0),
            tuple(sorted([*mounts, *self._memory[key]], key=lambda mount: mount.target)),
        )

    def _changes(self, record: Mapping[str, Any], found: Changes | None) -> tuple[Change, ...]:
        key = record["Id"]
        known = self._containers[key].changes if key in self._containers else ()
        found = self._diff(key) if found is None else found
        if found is None:
            return known
        # Of a layer that is being taken apart, the engine may say that all of the image is deleted.
        if any(KINDS[item["Kind"]] == "D" and item["Path"].count("/") == 1 for item in found):
            state = self._api.inspect_container(key)["State"]["Status"]
            if state != record["State"]:
                return known  # an event is on its way
        return tuple(sorted(Change(item["Path"], KINDS[item["Kind"]]) for item in found))

    def _diff(self, id: str) -> Changes | None:
        """What `docker diff` says; `None` of a container that is being removed at this moment."""
        try:
            found: Changes = self._api.diff(id) or []
        except docker.errors.NotFound:
            raise
        except docker.errors.APIError:
            return None
        return found

    def _keep_volume(self, record: Mapping[str, Any]) -> None:
        name, labels = record["Name"], record["Labels"] or {}
        self._volumes[name] = Volume(
            self._lab.belongings.short(name),
            record["Driver"],
            record["Mountpoint"],
            tuple(sorted(labels.items())),
            is_anonymous(name),
        )
        is_ours = self._lab.belongings.may_touch(labels, name) and HELPER_LABEL not in labels
        (self._others.discard if is_ours else self._others.add)(name)

    def _image(self, record: Mapping[str, Any]) -> Image:
        key, name = record["ImageID"], record["Image"]
        if key not in self._images:
            history: list[dict[str, Any]] = self._api.history(key)  # type: ignore[no-untyped-call]
            layers = [Layer(instruction(step), step["Size"]) for step in history if step["Size"]]
            # A container whose image has lost its name is listed with the image's id.
            tags = next((step["Tags"] for step in history if step.get("Tags")), [""])
            nameless = re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", name)
            stand_in = STAND_IN in (record["Labels"] or {})  # a container has its image's labels too
            self._images[key] = Image(key, tags[0] or key[7:19] if nameless else name, tuple(layers), stand_in)
        return self._images[key]

    def _with_used(self, container: Container) -> Container:
        found = {target: used for (key, target), used in self._used.items() if key == container.id}
        if not found:
            return container
        mounts = [replace(mount, used=found.get(mount.target, mount.used)) for mount in container.mounts]
        return replace(container, mounts=tuple(mounts))

    def _ask_used(self, id: str, target: str) -> int | None:
        """Bytes used of a tmpfs; `None` where the container has no `df`, or has just stopped."""
        try:
            made = self._api.exec_create(id, [*MEASURE, target], stderr=False)
            answer = self._api.exec_start(made["Id"]).decode(errors="replace")
        except docker.errors.APIError:
            return None
        # POSIX: file system, 1024-blocks, used, available, capacity, mounted on.
        numbers = re.search(r"^\S+\s+\d+\s+(\d+)\s+\d+\s+\S+\s+/", answer, re.MULTILINE)
        return int(numbers[1]) * 1024 if numbers else None


def instruction(step: Mapping[str, Any]) -> str:
    """The Dockerfile's instruction in a step of an image's history, as its author wrote it."""
    text = " ".join((step.get("CreatedBy") or "").split())
    if not text:
        return "docker import" if "mport" in (step.get("Comment") or "") else "(not recorded)"
    text = re.sub(r"^(\|\d+ .*?)?/bin/sh -c #\(nop\) ", "", text)  # the classic builder's note for all but RUN
    text = re.sub(r"^(?:RUN )?(?:\|\d+ .*?)?/bin/sh -c ", "RUN ", text)
    text = re.sub(r" # buildkit$", "", text)
    return re.sub(r"^((?:ADD|COPY) \w+):[0-9a-f]{64} in ", r"\1 in ", text)  # of which file, it did not note


def _helps(record: Mapping[str, Any]) -> bool:
    return HELPER_LABEL in (record["Labels"] or {})


def _foreign(record: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """Of a container of others: its name and the volumes that it uses."""
    return first_name(record), frozenset(mount["Name"] for mount in record["Mounts"] if mount["Type"] == "volume")


def _memory(host: Mapping[str, Any]) -> tuple[MountPoint, ...]:
    """The tmpfs mounts of a container's host config: those of `--tmpfs`, and those of `--mount type=tmpfs`."""
    found = []
    for target, options in (host.get("Tmpfs") or {}).items():
        size = re.search(r"(?:^|,)size=(\d+)([kmg]?)(?:,|$)", options.lower())
        limit = int(size[1]) * UNITS[size[2]] if size else None
        found.append(MountPoint("tmpfs", "", target, "ro" in options.split(","), limit))
    for mount in host.get("Mounts") or []:
        if mount["Type"] == "tmpfs":
            limit = (mount.get("TmpfsOptions") or {}).get("SizeBytes")
            found.append(MountPoint("tmpfs", "", mount["Target"], mount.get("ReadOnly", False), limit))
    return tuple(found)
