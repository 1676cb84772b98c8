"""What a check may look at: a lab's containers, volumes and files as the engine has them, and what became of them."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import docker.errors
from docker.utils import decode_json_header

from ..belongings import RM_LABEL, Belongings
from ..commands import Exec, Output, Run
from ..engine import images
from ..engine.find import Engine
from ..mounts import Mount, Volume

__all__ = ["Evidence", "moment", "mount_points"]

# Marks the containers that a check makes for itself: their end is no deed of the learner.
PROBE_LABEL = "dockerlab.probe"
# For how long a check listens for events that the engine is only about to note.
LATE_SECONDS = 0.1


def moment(text: str) -> float:
    """A time as the engine writes it, in seconds since 1970; 0 where it has not come yet."""
    return max(0.0, datetime.fromisoformat(text).timestamp()) if text and not text.startswith("0001-") else 0.0


def mount_points(container: dict[str, Any]) -> set[str]:
    """The paths where a container has something mounted; those of --tmpfs, docker does not list as mounts."""
    return {mount["Destination"] for mount in container["Mounts"]} | set(container["HostConfig"].get("Tmpfs") or {})


class Evidence:
    """One look at the engine on behalf of a lab; each thing is asked for once, when it is first needed.

    `started` is when the sitting began (`time.time()`): what happened before does not count, nor does the end of
    `earlier` containers, which the sitting's opening removed. Records are the engine's own, as `docker inspect` and
    `docker events` show them.
    """

    def __init__(
        self, engine: Engine, belongings: Belongings, started: float, earlier: Collection[str] = frozenset()
    ) -> None:
        self.engine, self.belongings, self._started, self._earlier = engine, belongings, started, earlier
        self._api = engine.client.api

    @cached_property
    def containers(self) -> list[dict[str, Any]]:
        """The lab's containers, stopped ones too, as inspected; `Name` is the learner's."""
        found = []
        for item in self._api.containers(all=True):
            if self.belongings.may_touch(item["Labels"]):
                record = self._api.inspect_container(item["Id"])
                record["Name"] = self.belongings.short(record["Name"].lstrip("/"))
                found.append(record)
        return found

    @cached_property
    def volumes(self) -> dict[str, dict[str, Any]]:
        """The volumes that the lab may touch, by name."""
        return {
            self.belongings.short(item["Name"]): item
            for item in self._api.volumes()["Volumes"] or []
            if self.belongings.may_touch(item["Labels"], item["Name"])
        }

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """What happened to containers and volumes since the sitting began, oldest first, as `docker events` has it.

        What checks did to look is left out. The engine keeps its last 256 events only (moby, daemon/events), so on a
        busy engine old ones are missing.
        """
        now = self.engine.now()
        since = self._started + now - time.time() - 1
        kinds = {"type": ["container", "volume"]}
        # The engine answers until then: what it is about to note still comes, and the learner hardly waits. In whole
        # seconds, as docker-py's types have it, it would be up to one.
        client: Any = self.engine.client
        stream = client.events(since=int(since), until=f"{now + LATE_SECONDS:.9f}", filters=kinds, decode=True)
        kept = [event for event in stream if "/" not in event["Action"] and not event["Action"].startswith("exec_")]
        actors = {event["Actor"]["ID"]: event["Actor"]["Attributes"] for event in kept}
        probes = {actor for actor, attributes in actors.items() if PROBE_LABEL in attributes}
        return [
            event
            for event in kept
            if not probes & {event["Actor"]["ID"], event["Actor"]["Attributes"].get("container")}
        ]

    @cached_property
    def removed(self) -> list[dict[str, Any]]:
        """The lab's containers removed in this sitting: `id`, `name`, `image`, `volumes` (volume to path), `time`.

        `by_itself` says whether the engine removed it without being told, as what %docker ran with --rm. A label tells;
        `lab.run` sets none, since its line would have to show it.
        """
        mounts: dict[str, dict[str, str]] = {}
        for event in self.events:
            if event["Type"] == "volume" and event["Action"] == "mount":
                attributes = event["Actor"]["Attributes"]
                name = self.belongings.short(event["Actor"]["ID"])
                mounts.setdefault(attributes["container"], {})[name] = attributes["destination"]
        return [
            {
                "id": event["Actor"]["ID"],
                "name": self.belongings.short(event["Actor"]["Attributes"]["name"]),
                "image": event["Actor"]["Attributes"]["image"],
                "volumes": mounts.get(event["Actor"]["ID"], {}),
                "time": event["timeNano"] / 1e9,
                # `docker rm -f` kills, as `docker stop` does, and is no stop.
                "by_itself": RM_LABEL in event["Actor"]["Attributes"]
                and self.done(event["Actor"]["ID"]) & {"kill", "stop"} != {"kill"},
            }
            for event in self.events
            if event["Type"] == "container"
            and event["Action"] == "destroy"
            and event["Actor"]["ID"] not in self._earlier
            and self.belongings.may_touch(event["Actor"]["Attributes"])
        ]

    def done(self, container: str) -> set[str]:
        """The actions that `docker events` has of a container, by its id."""
        return {event["Action"] for event in self.events if event["Actor"]["ID"] == container}

    @cached_property
    def gone(self) -> dict[str, float]:
        """The volumes, whosesoever, that were removed one by one in this sitting and are not back, with the time."""
        return {
            self.belongings.short(event["Actor"]["ID"]): event["timeNano"] / 1e9
            for event in self.events
            if (event["Type"], event["Action"]) == ("volume", "destroy")
            and self.belongings.short(event["Actor"]["ID"]) not in self.volumes
        }

    def full(self, volume: str) -> str:
        """The engine's name of a volume of the lab; one that a terminal made has no owner before it."""
        return str(self.volumes[volume]["Name"]) if volume in self.volumes else self.belongings.full(volume)

    def users(self, volume: str) -> list[dict[str, Any]]:
        """The lab's containers that have that volume mounted, stopped ones too."""
        full = self.full(volume)
        return [item for item in self.containers if any(mount.get("Name") == full for mount in item["Mounts"])]

    def later_user(self, volume: str, time: float, path: str = "/") -> str | None:
        """The name of a container of the lab that has mounted the volume since that moment, at or below a path."""
        full = self.full(volume)
        names = {item["Id"]: item["Name"] for item in self.containers}
        names |= {item["id"]: item["name"] for item in self.removed}
        for event in self.events:
            if event["Action"] == "mount" and event["Actor"]["ID"] == full and event["timeNano"] / 1e9 > time:
                attributes = event["Actor"]["Attributes"]
                if attributes["container"] in names and attributes["destination"].startswith(path):
                    return str(names[attributes["container"]])
        return None

    def changes(self, container: dict[str, Any]) -> dict[str, str]:
        """`docker diff` of a container: path to A, C or D."""
        return {item["Path"]: "CAD"[item["Kind"]] for item in self._api.diff(container["Id"]) or []}

    def written(self, container: dict[str, Any]) -> dict[str, str]:
        """The same without mount points, and without folders that are listed only for what is in them."""
        changes = self.changes(container)
        mounts = mount_points(container)
        known = [PurePosixPath(path) for path in (*changes, *mounts)]
        on_the_way = mounts | {str(folder) for path in known for folder in path.parents}
        return {path: kind for path, kind in changes.items() if path not in on_the_way}

    def writable_bytes(self, container: dict[str, Any]) -> int:
        """The size of a container's writable layer, in bytes."""
        return int(self._api.get(self._url(container, "json"), params={"size": 1}).json().get("SizeRw") or 0)

    def run(self, container: dict[str, Any], command: Sequence[str], env: Mapping[str, str] | None = None) -> Output:
        """Run a program that only reads in a running container of the lab."""
        return Exec(container["Id"], command, env=env or {}).call(self.engine.client)

    def probe(
        self, image: str, command: Sequence[str], mounts: Sequence[Mount] = (), user: str | None = None
    ) -> Output:
        """Run a program in a fresh container that is removed at once, to see what it sees."""
        labels = {**self.belongings.labels, PROBE_LABEL: "yes"}
        run = Run(image, command, mounts=mounts, user=user, labels=labels, detach=False, remove=True)
        result = run.call(self.engine.client)
        assert isinstance(result, Output)
        return result

    @contextlib.contextmanager
    def fresh(self, image: str, mounts: Sequence[Mount] = ()) -> Iterator[dict[str, Any]]:
        """A container that never starts, for `stat` and `files` to look at; it is removed again."""
        labels = {**self.belongings.labels, PROBE_LABEL: "yes"}
        container = Run(image, "true", mounts=mounts, labels=labels).create(self.engine.client)
        try:
            yield container.attrs
        finally:
            container.remove(v=True, force=True)

    @contextlib.contextmanager
    def holder(self, volume: str) -> Iterator[dict[str, Any]]:
        """A container as from `fresh` with a volume of the lab, whoever uses it, at /volume."""
        images.ensure(self.engine, "alpine")
        with self.fresh("alpine", [Volume(self.full(volume), "/volume", read_only=True)]) as container:
            yield container

    def stat(self, container: dict[str, Any], path: str) -> dict[str, Any] | None:
        """What is at a path of a container, running or not: `size`, `mode`, `mtime` and `folder`; None if nothing."""
        answer = self._api.head(self._url(container, "archive"), params={"path": path})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found = decode_json_header(answer.headers["X-Docker-Container-Path-Stat"])
        # In the engine's modes the highest bit marks a folder (Go, io/fs).
        return {**found, "mtime": moment(found["mtime"]), "folder": bool(found["mode"] & 1 << 31)}

    def files(self, container: dict[str, Any], path: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        """The regular files below a path of a container, running or not, with their content."""
        with self._archive(container, path) as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() else None
                if content is not None:
                    yield entry, content.read()

    def names(self, container: dict[str, Any], folder: str) -> set[str]:
        """What is directly in a folder of a container, running or not; nothing where there is no such folder."""
        with self._archive(container, folder) as tar:
            return {PurePosixPath(name).parts[1] for name in tar.getnames() if "/" in name}

    @contextlib.contextmanager
    def _archive(self, container: dict[str, Any], path: str) -> Iterator[tarfile.TarFile]:
        """A path of a container as a tar, an empty one where there is no such path."""
        try:
            stream, _ = self._api.get_archive(container["Id"], path)
            packed = b"".join(stream)
        except docker.errors.NotFound:
            packed = bytes(tarfile.BLOCKSIZE * 2)
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            yield tar

    def _url(self, container: dict[str, Any], what: str) -> str:
        # docker-py's own calls leave out the size, and fetch a whole archive for its head.
        return f"{self._api.base_url}/v{self._api.api_version}/containers/{container['Id']}/{what}"
