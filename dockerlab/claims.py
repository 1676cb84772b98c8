"""Questions to the engine: what there is of that name, whether it is this lab's, and all that is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import docker.errors
from docker import DockerClient
from docker.models.containers import Container

from . import commands
from .belongings import Belongings
from .listings import first_name
from .refusals import explained

__all__ = ["Box", "Claims", "reference"]

Box = Container | str
_DOCKERS_NETWORKS = ("default", "bridge", "host", "none")


def reference(box: Box) -> str:
    """What a command calls a container: a name as it is, docker-py's `Container` by its id."""
    # Another container may have its name by now.
    return box if isinstance(box, str) else str(box.id)


class Claims:
    """What of an engine belongs to a lab. Each name is the learner's; the engine's comes back."""

    def __init__(self, client: DockerClient, belongings: Belongings) -> None:
        self._client, self._belongings = client, belongings

    def look_up(self, box: Box) -> Container:
        """docker-py's `Container`, as it is now; `NotFoundError` with near names where there is none."""
        name = self._belongings.full(reference(box))
        with explained(commands.Diff(name), self._client, self._belongings):
            try:
                return self._client.containers.get(name)
            except docker.errors.NotFound:
                if found := self._named_by_docker(reference(box)):
                    return found
                raise

    def _named_by_docker(self, name: str) -> Container | None:
        """A container without the owner's prefix that this lab may touch all the same, as one run without a name."""
        with contextlib.suppress(docker.errors.NotFound):
            found = self._client.containers.get(name)
            return found if self._belongings.may_touch(found.labels) else None
        return None

    def container(self, box: Box) -> Container:
        """The same, seen to be this lab's to change; `ForeignError` where it is not."""
        container = self.look_up(box)
        self._belongings.refuse_foreign("container", str(container.name), container.labels)
        return container

    def volume_name(self, name: str) -> str:
        """The engine's name of a volume: the owner's, else on the course's own engine that of nobody's volume."""
        full = self._belongings.full(name)
        if full == name or not self._belongings.private:
            return full
        labels = {item["Name"]: item["Labels"] for item in self._client.api.volumes()["Volumes"] or []}
        nobodys = full not in labels and name in labels and self._belongings.may_touch(labels[name], name)
        return name if nobodys else full

    def volume(self, name: str) -> str:
        """A volume that is this lab's to change; docker-py's `NotFound` where there is none."""
        full = self.volume_name(name)
        self._belongings.refuse_foreign("volume", full, self._client.api.inspect_volume(full)["Labels"])
        return full

    def network(self, name: str) -> str:
        """A network to join: one of docker's own, this lab's, or `container:` and one of its containers."""
        kind, colon, box = name.partition(":")
        if kind == "container" and colon:
            return f"container:{self.container(box).name}"
        if name in _DOCKERS_NETWORKS:
            return name
        full = self._belongings.full(name)
        with contextlib.suppress(docker.errors.NotFound):  # the engine says so better
            self._belongings.refuse_foreign("network", full, self._client.api.inspect_network(full)["Labels"])
        return full

    def image(self, name: str) -> str:
        """An image to run: the one that was built with the owner's prefix, if there is one."""
        full = self._belongings.full_image(name)
        if full != name:
            with contextlib.suppress(docker.errors.ImageNotFound):
                self._client.images.get(full)
                return full
        return name

    def containers(self) -> list[dict[str, Any]]:
        """The records of `docker ps -a` of what this lab made."""
        found = self._client.api.containers(all=True, filters=_filters(self._belongings.labels))
        return [item for item in found if self._belongings.made(item["Labels"])]

    def everything(self) -> Iterator[tuple[str, commands.Command]]:
        """All that this lab made with the command that removes it, each kind once what may use it is gone."""
        api, short = self._client.api, self._belongings.short
        for item in self.containers():
            yield f"container {short(first_name(item))}", commands.Remove(item["Id"], volumes=True, force=True)
        for item in api.volumes()["Volumes"] or []:
            if self._belongings.made(item["Labels"], item["Name"]):
                yield f"volume {short(item['Name'])}", commands.RemoveVolume(item["Name"])
        for item in api.networks(filters=_filters(self._belongings.labels)):
            if self._belongings.made(item["Labels"]):
                yield f"network {short(item['Name'])}", commands.RemoveNetwork(item["Name"])
        for item in api.images(filters=_filters(self._belongings.image_labels)):
            tags = [tag for tag in item["RepoTags"] or () if tag != "<none>:<none>"]
            for name in tags or [item["Id"]]:
                yield f"image {short(name)}", commands.RemoveImage(name)


def _filters(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{key}={value}" for key, value in labels.items()]}
