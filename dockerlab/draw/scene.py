"""What the picture shows: which things one by one and which together, what is marked, what is a ghost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ..describe import MARKS, bytes_in_words, count, memory_in_words, state_in_words, used_by
from ..storage import Container, Image, Memory, MountPoint, Snapshot, Volume

__all__ = ["Card", "Item", "Key", "Link", "Row", "Scene", "Stack", "scene"]

ONE_BY_ONE = 12  # containers, and stores; what is beyond is drawn as one thing with its count
ROWS = 6  # files of a writable layer that can be listed
Key = tuple[str, ...]
_Thing = TypeVar("_Thing")

HAPPENED = {"A": "added", "C": "copied up", "D": "hidden, still in the image"}
LOST = {"A": "", "C": "the change", "D": "the deletion"}
STARTED = {"running": "just started", "exited": "just stopped", "paused": "just paused"}


@dataclass(frozen=True)
class Row:
    """A file of a writable layer: its mark (plus, tilde or minus; a cross for lost); `fresh` if it is new here."""

    mark: str
    path: str
    word: str = ""
    fresh: bool = False


@dataclass(frozen=True)
class Card:
    """A container with the first `rows` of the `files` in its writable layer; `tag` is what just happened to it.

    One of `number` > 1 stands for so many containers, and has `lines` instead.
    """

    key: Key
    name: str
    state: str
    rows: tuple[Row, ...] = ()
    files: int = 0
    size: str = ""
    tag: str = ""
    ghost: bool = False
    told: str = ""
    number: int = 1
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """The containers of one image, on its layers; without an image, those that are only counted."""

    image: Image | None
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Item:
    """A store on the shelf; `number` is how many it stands for, `lines` are what it says below its name."""

    key: Key
    kind: str
    name: str
    lines: tuple[str, ...]
    named: bool = True
    tag: str = ""
    ghost: bool = False
    told: str = ""
    number: int = 1


@dataclass(frozen=True)
class Link:
    """A mount: from a card to an item, with its path in the container."""

    card: Key
    item: Key
    kind: str
    target: str
    read_only: bool
    ghost: bool = False


@dataclass(frozen=True)
class Scene:
    """All that is drawn."""

    lab: str
    engine: str
    note: str
    stacks: tuple[Stack, ...]
    items: tuple[Item, ...]
    links: tuple[Link, ...]


def scene(snapshot: Snapshot, previous: Snapshot | None = None) -> Scene:
    """What to show of a snapshot; what is new or gone since the previous one is marked, if there is one."""
    before = snapshot if previous is None else previous
    was = {container.id: container for container in before.containers}
    now = {container.id: container for container in snapshot.containers}
    here = set(now)
    containers = list({**was, **now}.values())  # each where it was before, the new ones after them
    tags = {container.id: _tag(container, was.get(container.id), here) for container in containers}
    age = {container.id: at for at, container in enumerate(containers)}
    drawn = _choose(containers, lambda c: (bool(tags[c.id]), bool(c.mounts), age[c.id]))
    shown = {_card_key(container) for container in drawn}
    links = [
        Link(_card_key(container), _store(container, mount), *_seen_as(mount), _is_idle(container, mount, here))
        for container in drawn
        for mount in container.mounts
    ]
    # What is not drawn is only counted: each event draws the picture again, however much there is.
    volumes, idle = _volumes(snapshot, before)
    found = [*volumes, *_folders(snapshot, containers), *_memories(before, containers, here)]
    linked = {link.item for link in links}
    drawn_items = _choose(found, lambda i: (bool(i.tag), i.key in linked, i.named, i.kind != "volume"))
    shown |= {item.key for item in drawn_items}
    stacks: dict[Image, list[Card]] = {}
    for container in drawn:
        card = (
            _card(container, was.get(container.id), tags[container.id]) if container.id in here else _ghost(container)
        )
        stacks.setdefault(container.image, []).append(card)
    rest = [container for container in containers if _card_key(container) not in shown]
    rest_items = [item for item in found if item.key not in shown]
    return Scene(
        snapshot.lab,
        snapshot.engine,
        snapshot.note,
        (*(Stack(image, tuple(group)) for image, group in stacks.items()), *_more_containers(rest)),
        (*(item.drawn() for item in drawn_items), *_more_items(rest_items, idle)),
        tuple(link for link in links if link.item in shown),
    )


def _choose(things: list[_Thing], weight: Callable[[_Thing], tuple[Any, ...]]) -> list[_Thing]:
    """As many as are drawn one by one, the weightiest, in their order."""
    if len(things) <= ONE_BY_ONE:
        return things
    order = sorted(range(len(things)), key=lambda at: (weight(things[at]), -at), reverse=True)
    return [things[at] for at in sorted(order[: ONE_BY_ONE - 1])]


# Containers


def _card_key(container: Container) -> Key:
    return ("container", container.id)


def _tag(container: Container, was: Container | None, here: set[str]) -> str:
    if container.id not in here:
        return "removed"
    if was is None:
        return "new"
    return "" if was.state == container.state else STARTED.get(container.state, f"now {container.state}")


def _card(container: Container, was: Container | None, tag: str) -> Card:
    old = frozenset(container.changes if was is None else was.changes)
    files = sorted(container.files, key=lambda change: change in old)[:ROWS]
    return Card(
        _card_key(container),
        container.name,
        state_in_words(container),
        tuple(Row(MARKS[change.kind], change.path, HAPPENED[change.kind], change not in old) for change in files),
        len(container.files),
        bytes_in_words(container.size),
        tag,
        told=_told(container),
    )


def _ghost(container: Container) -> Card:
    return Card(
        _card_key(container),
        container.name,
        "removed",
        tuple(Row("✕", change.path, LOST[change.kind]) for change in container.files[:ROWS]),
        len(container.files),
        bytes_in_words(container.size),
        tag="removed",
        ghost=True,
        told=f"container {container.name}, removed: its writable layer went with it",
    )


def _told(container: Container) -> str:
    return "\n".join(
        [
            f"container {container.name} ({container.id[:12]})",
            f"image {container.image.name}, {state_in_words(container)}",
            f"writable layer: {count(len(container.files), 'file')}, {bytes_in_words(container.size)}",
            *(
                f"{mount.source or 'memory'} at {mount.target}{' (read-only)' * mount.read_only}"
                for mount in container.mounts
            ),
        ]
    )


def _more_containers(rest: list[Container]) -> Iterator[Stack]:
    if rest:
        states = Counter(state_in_words(container) for container in rest)
        images = Counter(container.image.name for container in rest)
        lines = (
            *(f"{number:,} {state}" for state, number in states.most_common(2)),
            *(f"{number:,} of {image}" for image, number in images.most_common(2)),
            f"writable layers: {bytes_in_words(sum(container.size for container in rest))}",
        )
        yield Stack(None, (Card(("more",), f"{len(rest):,} more", "", number=len(rest), lines=lines),))


# Stores


class _Found(NamedTuple):
    """A store with what decides whether it is drawn; `drawn()` makes it an item."""

    key: Key
    kind: str
    named: bool
    tag: str
    unused: bool
    drawn: Callable[[], Item]


def _found(item: Item) -> _Found:
    return _Found(item.key, item.kind, item.named, item.tag, False, lambda: item)


def _store(container: Container, mount: MountPoint) -> Key:
    return ("tmpfs", container.id, mount.target) if mount.kind == "tmpfs" else (mount.kind, mount.source)


def _is_idle(container: Container, mount: MountPoint, here: set[str]) -> bool:
    """Whether nothing passes there: the container is gone, or it is memory and the container does not run."""
    return container.id not in here or (mount.kind == "tmpfs" and not container.running)


def _seen_as(mount: MountPoint) -> tuple[str, str, bool]:
    return mount.kind, mount.target, mount.read_only


def _volumes(snapshot: Snapshot, before: Snapshot) -> tuple[list[_Found], list[Volume]]:
    """The volumes that may be drawn, and the rest: of those that nothing uses, as before, the first are enough."""
    now = {volume.name: volume for volume in snapshot.volumes}
    was = {volume.name: volume for volume in before.volumes}
    found, rest, idle = [], [], Counter[bool]()
    for name, volume in {**was, **now}.items():
        if name not in now:
            tag, drawn = "removed", partial(_ghost_volume, volume)
        else:
            old = was.get(name)
            tag = "new" if old is None else "now unused" if old.users and not volume.users else ""
            if not tag and not volume.users:
                idle[volume.anonymous] += 1
                if idle[volume.anonymous] > ONE_BY_ONE + 1:
                    rest.append(volume)
                    continue
            drawn = partial(_volume, volume, tag)
        unused = name in now and not volume.users
        found.append(_Found(("volume", name), "volume", not volume.anonymous, tag, unused, drawn))
    return found, rest


def _volume(volume: Volume, tag: str) -> Item:
    kind = "anonymous volume" if volume.anonymous else "volume"
    shown = kind if volume.size is None else f"{kind.split()[0]} · {bytes_in_words(volume.size)}"
    told = [
        f"{kind} {volume.name}",
        f"driver {volume.driver}, on the engine's host at {volume.mountpoint}",
        *(f"label {key}={value}" for key, value in volume.labels),
        used_by(volume.users),
    ]
    return Item(
        ("volume", volume.name),
        "volume",
        volume.shown_name,
        (shown, used_by(volume.users)),
        not volume.anonymous,
        tag,
        told="\n".join(told),
    )


def _ghost_volume(volume: Volume) -> Item:
    lines = ("anonymous volume" if volume.anonymous else "volume", "gone, with what was in it")
    told = f"volume {volume.name}, removed"
    return Item(
        ("volume", volume.name), "volume", volume.shown_name, lines, not volume.anonymous, "removed", True, told
    )


def _folders(snapshot: Snapshot, containers: list[Container]) -> Iterator[_Found]:
    users = {folder.path: folder.users for folder in snapshot.folders}
    paths = dict.fromkeys(
        mount.source for container in containers for mount in container.mounts if mount.kind == "bind"
    )
    for path in paths:
        use = used_by(users[path]) if path in users else "stays, not mounted now"
        lines, told = ("host folder · bind mount", use), f"{path} on the engine's host\n{use}"
        yield _found(Item(("bind", path), "bind", path, lines, told=told))


def _memories(before: Snapshot, containers: list[Container], here: set[str]) -> Iterator[_Found]:
    kept = {(memory.container, memory.target) for memory in before.memories if memory.kept}
    for container in containers:
        for mount in container.mounts:
            if mount.kind != "tmpfs":
                continue
            alive = container.id in here and container.running
            memory = Memory(container.name, mount.target, mount.limit, mount.used, alive)
            emptied = not alive and (container.name, mount.target) in kept
            gone = "gone: not running" if container.id in here else "gone: removed"
            lines = (memory_in_words(memory), "gone on stop") if alive else (gone,)
            item = Item(
                _store(container, mount),
                "tmpfs",
                mount.target,
                ("tmpfs · memory", *lines),
                tag="emptied" if emptied else "",
                ghost=not alive,
                told=f"memory of {container.name} at {mount.target}\n{memory_in_words(memory)}",
            )
            yield _found(item)


def _more_items(rest: list[_Found], idle: list[Volume]) -> Iterator[Item]:
    if rest:
        anonymous = sum(not item.named for item in rest) + sum(volume.anonymous for volume in idle)
        unused = sum(item.unused for item in rest) + len(idle)
        others = Counter(item.kind for item in rest if item.kind != "volume")
        lines = [
            *([f"{anonymous:,} anonymous"] if anonymous else []),
            *([f"{unused:,} unused"] if unused else []),
            *(f"{number:,} {'host folders' if kind == 'bind' else 'in memory'}" for kind, number in others.items()),
        ]
        name = f"{len(rest) + len(idle):,} more {'stores' if others else 'volumes'}"
        yield Item(("more",), "volume", name, tuple(lines[:3]), named=False, number=len(rest) + len(idle))
