"""What happened between two snapshots, in sentences that a learner reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .describe import bytes_in_words, count, state_in_words
from .storage import Change, Container, MountPoint, Snapshot, Volume

__all__ = ["Difference", "difference"]

SHOWN = 3  # paths in one sentence
HAPPENED = {
    "A": "added",
    "C": "changed (copied up from the image)",
    "D": "deleted (hidden, still in the image)",
}


@dataclass(frozen=True)
class Difference:
    """What happened between two snapshots, a sentence each; empty (and false) when nothing did."""

    sentences: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.sentences)

    def __str__(self) -> str:
        return "\n".join(self.sentences) or "Nothing changed."


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """What happened to the storage from `before` to `after`.

    A container is the same one by its id, so one that was removed and made again under its name is two sentences.
    """
    return Difference(tuple(_sentences(before, after)))


def _sentences(before: Snapshot, after: Snapshot) -> Iterator[str]:
    if after.note != before.note:
        yield after.note or "The engine answers again."
    was = {container.id: container for container in before.containers}
    now = {container.id: container for container in after.containers}
    told: set[str] = set()  # volumes whose end or rest is part of a container's sentence
    for container in before.containers:
        if container.id not in now:
            yield _removed(container, before, after, told)
    yield from _volumes_gone(before, after, told)
    for container in after.containers:
        if container.id not in was:
            yield _made(container, after)
        elif container != was[container.id]:
            yield from _changed(was[container.id], container)
    yield from _volumes_made(before, after)
    yield from _measured(before, after)


def _removed(container: Container, before: Snapshot, after: Snapshot, told: set[str]) -> str:
    files = len(container.files)
    went = f"{count(files, 'file')}, went with it" if files else "with nothing in it, went with it"
    parts = [f"{container.name} removed; its writable layer, {went}"]
    parts += [
        f"memory {mount.target} went with it"
        for mount in container.mounts
        if mount.kind == "tmpfs" and container.running
    ]
    volumes = {volume.name: volume for volume in before.volumes}
    rest = {volume.name: volume for volume in after.volumes}
    for name in _sources(container, "volume"):
        if name in told or name not in volumes:
            continue
        if name not in rest and not volumes[name].anonymous:
            continue  # what has a name never goes with its container: its end is told by itself
        told.add(name)
        if name not in rest:
            parts.append(f"{_called(volumes[name])} went with it")
        elif rest[name].users:
            parts.append(f"{_called(rest[name])} stays, used by {', '.join(rest[name].users)}")
        else:
            parts.append(f"{_called(rest[name])} stays, now unused")
    parts += [f"host folder {path} stays" for path in _sources(container, "bind")]
    return "; ".join(parts)


def _volumes_gone(before: Snapshot, after: Snapshot, told: set[str]) -> Iterator[str]:
    rest = {volume.name for volume in after.volumes}
    for volume in before.volumes:
        if volume.name not in rest and volume.name not in told:
            held = "" if volume.size is None else f", {bytes_in_words(volume.size)},"
            yield f"{_called(volume)} removed; what was in it{held} is gone"


def _made(container: Container, after: Snapshot) -> str:
    volumes = {volume.name: volume for volume in after.volumes}
    mounts = [f"{_source(mount, volumes)} at {mount.target}" for mount in container.mounts]
    mounted = f", with {_listed(mounts)}" if mounts else ""
    return f"{container.name} made from {container.image.name}, {state_in_words(container)}{mounted}"


def _changed(was: Container, now: Container) -> Iterator[str]:
    if was.name != now.name:
        yield f"{was.name} is called {now.name} now"
    if was.state != now.state:
        parts = [f"{now.name} {_became(was, now)}"]
        if was.running and not now.running:
            files = len(now.files)
            parts.append(f"its writable layer, {count(files, 'file')}, stays" if files else "its writable layer stays")
            parts += [f"memory {target} is gone" for target in _memory(now)]
        elif now.running and not was.running:
            parts += [f"memory {target} is there, empty" for target in _memory(now)]
        yield "; ".join(parts)
    yield from _files(was, now)


def _became(was: Container, now: Container) -> str:
    if now.state == "running":
        return "goes on" if was.state == "paused" else "started"
    return state_in_words(now)


def _files(was: Container, now: Container) -> Iterator[str]:
    """What was written in the layer, and what is back as the image has it."""
    old, new = ({change.path: change for change in container.files} for container in (was, now))
    for kind, happened in HAPPENED.items():
        fresh = [path for path, change in new.items() if change.kind == kind and old.get(path) != change]
        if fresh:
            yield f"in {now.name}: {_listed(fresh)} {happened}"
    gone: list[Change] = [change for path, change in old.items() if path not in new]
    lost = [change.path for change in gone if change.kind == "A"]
    back = [change.path for change in gone if change.kind != "A"]
    if lost:
        yield f"in {now.name}: {_listed(lost)} deleted; {'they were' if len(lost) > 1 else 'it was'} only in its layer"
    if back:
        yield f"in {now.name}: {_listed(back)} as in the image again"


def _volumes_made(before: Snapshot, after: Snapshot) -> Iterator[str]:
    was = {volume.name for volume in before.volumes}
    fresh = {container.name for container in after.containers} - {container.name for container in before.containers}
    for volume in after.volumes:
        if volume.name not in was:
            by = [name for name in volume.users if name in fresh]
            yield f"{_called(volume)} made" + (f", for {', '.join(by)}" if by else "")


def _measured(before: Snapshot, after: Snapshot) -> Iterator[str]:
    was = {volume.name: volume.size for volume in before.volumes}
    for volume in after.volumes:
        old = was.get(volume.name)
        if old is not None and volume.size is not None and old != volume.size:
            grew = "grew" if volume.size > old else "shrank"
            yield f"{_called(volume)} {grew} from {bytes_in_words(old)} to {bytes_in_words(volume.size)}"


def _called(volume: Volume) -> str:
    return f"{'anonymous ' if volume.anonymous else ''}volume {volume.shown_name}"


def _source(mount: MountPoint, volumes: dict[str, Volume]) -> str:
    if mount.kind == "volume":
        return _called(volumes[mount.source]) if mount.source in volumes else f"volume {mount.source}"
    return "memory" if mount.kind == "tmpfs" else f"host folder {mount.source}"


def _sources(container: Container, kind: str) -> Iterable[str]:
    return dict.fromkeys(mount.source for mount in container.mounts if mount.kind == kind)


def _memory(container: Container) -> list[str]:
    return [mount.target for mount in container.mounts if mount.kind == "tmpfs"]


def _listed(items: Sequence[str]) -> str:
    shown = list(items[:SHOWN])
    if len(items) > SHOWN:
        shown.append(f"{len(items) - SHOWN:,} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
