"""What a check may look at: a lab's containers, volumes and files as the engine has them, and what became of them."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import docker.errors

from ..belongings import Belongings
from ..commands import Exec, Mount, Output, Run
from ..engine.find import Engine

__all__ = ["Evidence"]


class Evidence:
    """One look at the engine on behalf of a lab; each thing is asked for once, when it is first needed.

    `started` is when the sitting began (`time.time()`): what happened before does not count. Records are the engine's
    own, as `docker inspect` and `docker events` show them.
    """

    def __init__(self, engine: Engine, belongings: Belongings, started: float) -> None:
        self.engine, self.belongings, self._started = engine, belongings, started
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

        The engine keeps its last 256 events only (moby, daemon/events), so on a busy engine old ones are missing.
        """
        now = datetime.fromisoformat(self.engine.client.info()["SystemTime"][:19] + "+00:00").timestamp()
        # The engine's clock may differ from ours, as that of a virtual machine does.
        since = self._started + now - time.time() - 1
        kinds = {"type": ["container", "volume"]}
        stream = self.engine.client.events(since=int(since), until=int(now) + 1, filters=kinds, decode=True)
        return [event for event in stream if "/" not in event["Action"] and not event["Action"].startswith("exec_")]

    @cached_property
    def removed(self) -> list[dict[str, Any]]:
        """The lab's containers removed in this sitting: `id`, `name`, `image`, `volumes` (volume to path), `time`."""
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
                "time": event["time"],
            }
            for event in self.events
            if event["Type"] == "container"
            and event["Action"] == "destroy"
            and self.belongings.may_touch(event["Actor"]["Attributes"])
        ]

    def users(self, volume: str) -> list[dict[str, Any]]:
        """The lab's containers that have that volume mounted, stopped ones too."""
        full = self.belongings.full(volume)
        return [item for item in self.containers if any(mount.get("Name") == full for mount in item["Mounts"])]

    def changes(self, container: dict[str, Any]) -> dict[str, str]:
        """`docker diff` of a container: path to A, C or D."""
        return {item["Path"]: "CAD"[item["Kind"]] for item in self._api.diff(container["Id"]) or []}

    def writable_bytes(self, container: dict[str, Any]) -> int:
        """The size of a container's writable layer, in bytes."""
        record = self._api.get(
            f"{self._api.base_url}/v{self._api.api_version}/containers/{container['Id']}/json?size=1"
        )
        return int(record.json().get("SizeRw") or 0)

    def run(self, container: dict[str, Any], command: Sequence[str]) -> Output:
        """Run a program that only reads in a running container of the lab."""
        return Exec(container["Id"], command).call(self.engine.client)

    def probe(self, image: str, command: Sequence[str], mounts: Sequence[Mount] = ()) -> Output:
        """Run a program in a fresh container that is removed at once, to see what it sees."""
        labels = self.belongings.labels
        result = Run(image, command, mounts=mounts, labels=labels, detach=False, remove=True).call(self.engine.client)
        assert isinstance(result, Output)
        return result

    def files(self, container: dict[str, Any], path: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        """The regular files below a path of a container, running or not, with their content."""
        try:
            stream, _ = self._api.get_archive(container["Id"], path)
        except docker.errors.NotFound:
            return
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() else None
                if content is not None:
                    yield entry, content.read()
