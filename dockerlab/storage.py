"""What is there now, as values: the containers of a lab, what they are made of, and the stores outside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from .belongings import shown

__all__ = ["Change", "Container", "HostFolder", "Image", "Layer", "Memory", "MountPoint", "Snapshot", "Volume"]


@dataclass(frozen=True)
class Layer:
    """A read-only layer of an image: the Dockerfile's instruction that made it, and its size in bytes."""

    instruction: str
    size: int


@dataclass(frozen=True)
class Image:
    """An image as its containers stand on it; `layers` has the newest first, and only those that hold files.

    `stand_in` says whether it was built here in place of the one of that name.
    """

    id: str
    name: str
    layers: tuple[Layer, ...] = ()
    stand_in: bool = False


@dataclass(frozen=True, order=True)
class Change:
    """A line of `docker diff`: `kind` is A (added), C (changed: copied up from the image) or D (deleted: hidden)."""

    path: str
    kind: Literal["A", "C", "D"]


@dataclass(frozen=True)
class MountPoint:
    """Where a store is seen in a container.

    `source` is the volume's name or the host's path, empty for memory. `limit` and `used` are those of a tmpfs, in
    bytes; `None` where there is no limit, or the use was not measured.
    """

    kind: Literal["volume", "bind", "tmpfs"]
    source: str
    target: str
    read_only: bool = False
    limit: int | None = None
    used: int | None = None


@dataclass(frozen=True)
class Container:
    """A container: `state` in Docker's words, all its `changes`, and the writable layer's `size` in bytes."""

    id: str
    name: str
    image: Image
    state: str
    changes: tuple[Change, ...] = ()
    size: int = 0
    mounts: tuple[MountPoint, ...] = ()

    @cached_property
    def files(self) -> tuple[Change, ...]:
        """The changes without mount points and without folders that are listed only for what is in them."""
        on_the_way = {str(folder) for change in self.changes for folder in PurePosixPath(change.path).parents}
        for mount in self.mounts:
            target = PurePosixPath(mount.target)
            on_the_way |= {str(target), *(str(folder) for folder in target.parents)}
        return tuple(change for change in self.changes if change.path not in on_the_way)

    @property
    def running(self) -> bool:
        """Whether it has processes, paused ones too; only then does it have memory mounts."""
        return self.state in {"running", "paused", "restarting"}


@dataclass(frozen=True)
class Volume:
    """A volume; `users` are the names of the containers that mount it, stopped ones too.

    `size` is in bytes and `None` until measured: to measure is slow, so it is done when asked for.
    """

    name: str
    driver: str = "local"
    mountpoint: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False
    users: tuple[str, ...] = ()
    size: int | None = None

    @property
    def shown_name(self) -> str:
        """Its name; of an anonymous one the first 12 digits."""
        return shown(self.name)


@dataclass(frozen=True)
class HostFolder:
    """A path of the engine's host that containers mount."""

    path: str
    users: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """A tmpfs of one container; `kept` says whether it exists now: it is made at start and gone at stop."""

    container: str
    target: str
    limit: int | None
    used: int | None
    kept: bool


@dataclass(frozen=True)
class Snapshot:
    """The storage of one lab at one moment; containers and volumes are in the order in which they were made.

    `note` is empty, or says why the picture may be behind: the engine does not answer.
    """

    lab: str
    engine: str
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    note: str = ""

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """The images that the containers stand on, each once."""
        return tuple({container.image.id: container.image for container in self.containers}.values())

    @cached_property
    def folders(self) -> tuple[HostFolder, ...]:
        """The host's paths that are mounted, with the containers that do."""
        users: dict[str, list[str]] = {}
        for container, mount in self.mounts():
            if mount.kind == "bind" and container.name not in users.setdefault(mount.source, []):
                users[mount.source].append(container.name)
        return tuple(HostFolder(path, tuple(names)) for path, names in users.items())

    @cached_property
    def memories(self) -> tuple[Memory, ...]:
        """The memory mounts, each of its one container."""
        return tuple(
            Memory(container.name, mount.target, mount.limit, mount.used, container.running)
            for container, mount in self.mounts()
            if mount.kind == "tmpfs"
        )

    def mounts(self) -> Iterator[tuple[Container, MountPoint]]:
        """Every mount with its container."""
        return ((container, mount) for container in self.containers for mount in container.mounts)
