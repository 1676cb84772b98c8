"""What a tar holds: taken down entry by entry, compared with another, and searched for what may not be unpacked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

from ..describe import count
from . import tar

__all__ = ["Entries", "differences", "hazard", "inventory", "is_plain", "not_carried", "shown"]

Entries = Mapping[bytes, tar.Entry]

_FACTS = ("kind", "mode", "owner", "size", "time", "link", "device", "attributes", "content", "set of names")
# The engine keeps times as nanoseconds in 64 bits, none before 1970 (moby, pkg/archive).
_LAST_TIME = (1 << 63) // 10**9
# Of extended attributes its stream has this one alone (the same place).
_CARRIED = b"security.capability"


def inventory(
    pieces: Iterable[tar.Piece],
    entries: dict[bytes, tar.Entry] | None = None,
    watch: Callable[[tar.Entry], object] | None = None,
) -> dict[bytes, tar.Entry]:
    """All entries by name, with their contents' digests; `TarError` where a name other than a folder's comes twice."""
    entries = {} if entries is None else entries
    entry = None
    digest = hashlib.sha256()
    for piece in pieces:
        if isinstance(piece, tar.Entry):
            if entry is not None and entry.kind == tar.FILE:
                entry.digest = digest.digest()
            if watch:
                watch(piece)
            former = entries.get(piece.name)
            if former is not None and not former.kind == piece.kind == tar.FOLDER:
                raise tar.TarError("this name comes twice", 0, piece.name)
            entry = entries[piece.name] = piece
            digest = hashlib.sha256()
        else:
            digest.update(piece)
    if entry is not None and entry.kind == tar.FILE:
        entry.digest = digest.digest()
    return entries


def differences(expected: Entries, found: Entries) -> list[str]:
    """Where what was unpacked is not what an archive holds, a line each.

    Compared are kind, mode, owner, size, time, link, the content's digest, and which names are links of one file.
    Three things that the engine changes are not: the mode of a symbolic link, which Linux does not use; times before
    1970 and after 2262, which it sets to 1970; and extended attributes that its stream does not carry. Folders that the
    archive has no entry for are made as they are needed.
    """
    if expected == found:
        return []
    wanted, there = _facts(expected), _facts(found)
    above = {name[:cut] for name in expected for cut in range(len(name)) if name[cut : cut + 1] == b"/"} | {tar.ROOT}
    lines = [f"{shown(name)} is missing" for name in wanted.keys() - there.keys()]
    lines += [f"{shown(name)} is too much" for name in there.keys() - wanted.keys() - above]
    for name in wanted.keys() & there.keys():
        if wanted[name] != there[name]:
            what, old, new = next(
                row for row in zip(_FACTS, wanted[name], there[name], strict=True) if row[1] != row[2]
            )
            lines.append(f"{shown(name)} has another {what}: {new!r}, not {old!r}")
    return sorted(lines)


def is_plain(entry: tar.Entry) -> bool:
    """Whether busybox's tar restores a file just as the engine does."""
    return not entry.xattrs and _is_kept(entry.mtime)


def _is_kept(time: int) -> bool:
    return 0 <= time <= _LAST_TIME


def not_carried(entries: Entries) -> list[str]:
    """What the engine's stream does not bring into a volume from an archive of these entries, a line each."""
    times = sum(not _is_kept(entry.mtime) for entry in entries.values())
    attributes = sum(key != _CARRIED for entry in entries.values() for key, _ in entry.xattrs)
    lines = []
    if times:
        lines.append(f"{count(times, 'time')} before 1970 or after 2262: the engine sets 1970.")
    if attributes:
        lines.append(f"{count(attributes, 'extended attribute')} can't be compared: the engine does not show them.")
    return lines


def _facts(entries: Entries) -> dict[bytes, tuple[object, ...]]:
    """By name, what can be compared; a hard link has all of the file that it is another name of."""
    first: dict[bytes, bytes] = {}
    for name, entry in entries.items():
        first[name] = first.get(entry.link, entry.link) if entry.kind == tar.HARD_LINK else name
    names: dict[bytes, list[bytes]] = {}
    for name, file in first.items():
        names.setdefault(file, []).append(name)
    return {
        name: (
            entry.kind,
            0 if entry.kind == tar.LINK else entry.mode,
            (entry.uid, entry.gid),
            entry.size,
            entry.mtime if _is_kept(entry.mtime) else 0,
            entry.link,
            entry.device,
            tuple(pair for pair in entry.xattrs if pair[0] == _CARRIED),
            entry.digest,
            min(names[file]),
        )
        for name, file in first.items()
        for entry in [entries[file]]
    }


def hazard(entries: Entries) -> str:
    """The first entry that unpacking would write anywhere but below its folder, or make a device of; empty if none."""
    order = {name: number for number, name in enumerate(entries)}
    sound: set[bytes] = set()
    for name, entry in entries.items():
        problem = _path_problem(name)
        if not problem and entry.kind.endswith("device"):
            problem = f"it is a {entry.kind}"
        if not problem and (entry.kind == tar.FOLDER) < (name == tar.ROOT):
            problem = "the root is no folder"
        if not problem and entry.kind == tar.HARD_LINK:
            target = entries.get(entry.link)
            if target is None or order[entry.link] >= order[name] or target.kind == tar.FOLDER:
                problem = f"it is a hard link to {shown(entry.link)!r}, which is no file before it"
        if not problem:
            problem = _parent_problem(name, entries, sound)
        if problem:
            return f"{shown(name)}: {problem}"
    return ""


def _path_problem(name: bytes) -> str:
    if name.startswith(b"/"):
        return "an absolute name"
    parts = name.split(b"/")
    if b".." in parts:
        return "a name with .. in it"
    return "a name with an empty part" if name != tar.ROOT and (b"" in parts or b"." in parts) else ""


def _parent_problem(name: bytes, entries: Entries, sound: set[bytes]) -> str:
    """What is wrong with the folders above, those in `sound` excepted, which gets the ones that are right."""
    parent = name.rpartition(b"/")[0]
    while parent and parent not in sound:
        entry = entries.get(parent)
        if entry is not None and entry.kind != tar.FOLDER:
            return f"it would be written through {shown(parent)!r}, a {entry.kind}"
        sound.add(parent)
        parent = parent.rpartition(b"/")[0]
    return ""


def shown(name: bytes) -> str:
    """A name in an archive as text; bytes that are none are escaped."""
    return name.decode(errors="backslashreplace")
