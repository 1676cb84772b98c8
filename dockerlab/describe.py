"""A lab's storage in words: what stands in place of the picture, and the words that the picture uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .belongings import shown
from .storage import Container, Memory, MountPoint, Snapshot, Volume

__all__ = ["bytes_in_words", "count", "describe", "memory_in_words", "state_in_words", "used_by"]

MARKS = {"A": "+", "C": "~", "D": "\N{MINUS SIGN}"}
SHOWN = 5  # of a container's files
LINES = 12  # of one kind


def bytes_in_words(number: int) -> str:
    """A size as docker says it: three digits, thousands of bytes (`1.98 MB`)."""
    size = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"
        size /= 1000
    raise AssertionError


def count(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun: `1 file`, `3 files`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def state_in_words(container: Container) -> str:
    """Docker's state in the word of `docker stop`: an exited container is stopped."""
    return "stopped" if container.state == "exited" else container.state


def memory_in_words(memory: Memory | MountPoint) -> str:
    """How much of a tmpfs is used, as far as that is known."""
    limit = "no limit set" if memory.limit is None else f"at most {bytes_in_words(memory.limit)}"
    if memory.used is None:
        return limit
    used = bytes_in_words(memory.used)
    return f"{used} used" if memory.limit is None else f"{used} of {bytes_in_words(memory.limit)}"


def describe(snapshot: Snapshot) -> str:
    """The whole picture in words, a line for each container and store; of many of a kind the first."""
    kinds: dict[str, tuple[Sequence[Any], Callable[[Any], str]]] = {
        "containers": (snapshot.containers, _container),
        "volumes": (snapshot.volumes, _volume),
        "host folders": (snapshot.folders, lambda folder: f"host folder {folder.path}: {used_by(folder.users)}"),
        "memory mounts": (snapshot.memories, _memory),
    }
    lines = [f"Storage of the lab {snapshot.lab} ({snapshot.engine})", *([snapshot.note] if snapshot.note else [])]
    for kind, (things, words) in kinds.items():
        lines += map(words, things[:LINES])
        lines += [f"and {len(things) - LINES:,} more {kind}"] if len(things) > LINES else []
    is_empty = not any(things for things, _ in kinds.values())
    return "\n".join([*lines, "Nothing yet: no container, no volume."] if is_empty else lines)


def used_by(users: tuple[str, ...]) -> str:
    """Who mounts a store: `used by writer, reader`, or `unused`."""
    return f"used by {', '.join(users)}" if users else "unused"


def _container(container: Container) -> str:
    files = container.files
    written = "nothing written"
    if files:
        listed = [f"{MARKS[change.kind]} {change.path}" for change in files[:SHOWN]]
        listed += [f"and {len(files) - SHOWN:,} more"] if len(files) > SHOWN else []
        written = f"{count(len(files), 'file')}, {bytes_in_words(container.size)}: {', '.join(listed)}"
    mounts = [
        f"{shown(mount.source) or 'memory'} at {mount.target}" + " (read-only)" * mount.read_only
        for mount in container.mounts
    ]
    mounted = f"; mounts {', '.join(mounts)}" if mounts else ""
    return (
        f"container {container.name} ({container.image.name}, {state_in_words(container)}): "
        f"writable layer: {written}{mounted}"
    )


def _volume(volume: Volume) -> str:
    kind = "anonymous volume" if volume.anonymous else "volume"
    size = "" if volume.size is None else f"{bytes_in_words(volume.size)}, "
    return f"{kind} {volume.shown_name}: {size}{used_by(volume.users)}"


def _memory(memory: Memory) -> str:
    fate = f"{memory_in_words(memory)}, gone when it stops" if memory.kept else "gone, since it does not run"
    return f"memory {memory.target} of {memory.container}: {fate}"
