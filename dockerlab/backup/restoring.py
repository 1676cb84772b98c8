"""Restore a volume from an archive: verified before anything is touched, compared afterwards, undone where it fails."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Self

import docker.errors

from ..commands import Run
from ..describe import bytes_in_words, count
from ..engine import images
from ..errors import BackupError, InUseError, NotFoundError
from ..lab import Lab
from ..listings import first_name
from ..mounts import Bind, Volume
from . import archive, tar
from .archive import Archive
from .contents import differences, hazard, inventory, is_plain, not_carried
from .door import IMAGE, LABEL, Door, Record, users
from .draft import Draft
from .mending import EMPTY
from .progress import Progress, metered, volume_size
from .results import Result
from .saving import Tally, save
from .underway import Underway
from .volumes import exists, explained, named, prepared, recorded

__all__ = ["Restored", "Unpacked", "checked", "fill", "restore", "unpack"]


@dataclass(frozen=True, repr=False)
class Unpacked(Result):
    """An archive that was unpacked into a volume; `compared` is how many entries were seen to be the same."""

    path: Path
    engine: str
    seconds: float
    compared: int
    files: int
    content: int
    digest: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, source: Archive, lab: Lab, start: float, notes: Iterable[str], *more: object) -> Self:
        """The result of what began at `start` (of `perf_counter`); `more` are a child's own fields."""
        facts = len(source.entries), source.files, source.content, source.digest, tuple(notes)
        return cls(source.path, repr(lab.engine), perf_counter() - start, *facts, *more)

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "on", self.engine
        yield "took", f"{self.seconds:.1f} s"
        yield "compared", f"{count(self.compared, 'entry', 'entries')}, all as in the archive"
        yield "holds", f"{count(self.files, 'file')}, {bytes_in_words(self.content)}"
        yield from (("note", note) for note in self.notes)


@dataclass(frozen=True, repr=False)
class Restored(Unpacked):
    """A volume that holds just what an archive does."""

    volume: str
    replaced: bool
    line: str

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "restored", f"the volume {self.volume}" + (", in place of what it held" if self.replaced else "")
        yield "from", str(self.path)
        yield from super().rows()
        yield "much like", self.line


def restore(lab: Lab, path: str | Path, volume: str, replace: bool = False, *, progress: Progress = True) -> Restored:
    """Restore an archive into a volume that is new or empty, and compare it with the archive, entry by entry.

    Compared are kind, owner, mode, size, time, link and the content's SHA-256. A volume with content is refused, unless
    `replace` says that it may go: then it is backed up first, and put back if anything fails. Nothing is touched
    where the archive is not whole, could write outside the volume, or needs more space than there is. Whatever fails
    afterwards, also where this process is killed, the volume is again what it was: absent, empty, or with its content.

    Raises `NotFoundError`, `BackupError`, `ForeignError` where the volume is not this lab's, `InUseError` where a
    container that runs or another restore uses it, `EngineError` where the engine goes away. Nothing is put back under
    a container that came to use the volume meanwhile: the error says so, and it is done once that has ended.
    """
    prepared(lab)
    path, start = Path(path).expanduser().absolute(), perf_counter()
    try:
        name, there = exists(lab, volume), True
    except NotFoundError:
        name, there = lab.belongings.full(volume), False
    if there:
        lab.claims.volume(name)
        _refuse(lab, volume, users(lab.engine.client, name))
    images.ensure(lab.engine, IMAGE, report=lab.say)
    line = str(same(name, path))
    with (
        recorded(lab, line),
        Underway(lab, f"a restore of the volume {volume}") as work,
        explained(f"{path} was not restored into the volume {volume}."),
    ):
        door = _enter(work, volume, name) if there else None
        root, full = door.root() if door else (None, False)
        if full and not replace:
            raise BackupError(
                f"{path} was not restored: the volume {volume} has content, and would hold a mixture of both.",
                "Seen: files in it.",
                "Take a new volume, or say replace=True: what it holds is kept until the restore has succeeded.",
            )
        source = checked(work, path, name if there else "", progress)
        undo = _keep(work, door, path, progress) if door and full else None
        if door:  # what came before took its time
            _refuse(lab, volume, _strangers(lab, name))
        else:
            _refuse_made(lab, volume, name)
        was = "full" if full else "empty" if there else "absent"
        before = [root.mode, root.uid, root.gid, 0, root.mtime] if root else []
        work.note(target={"volume": name, "was": was, "undo": str(undo or ""), "root": before})
        if full:
            work.run(name, EMPTY)
        notes = fill(work, door or _make(work, volume, name), source, progress)
        _refuse(lab, volume, _strangers(lab, name))
        work.note(target=None)
    return Restored.of(source, lab, start, notes, volume, full, line)


def checked(work: Underway, path: Path, volume: str, progress: Progress) -> Archive:
    """An archive that is whole, safe to unpack, and not too large for where the volume is; `BackupError` if not.

    A bar shows how far that is; a function is told of the volume's content only.
    """
    with ThreadPoolExecutor(1) as pool:
        # The engine takes half a second to ask, in which the archive is read already.
        space = _Space(path, pool.submit(work.run, volume, ASK_USED if volume else ASK_FREE))
        source = archive.inspect(path, space.add, progress=progress is True)
        space.compare()
    if problem := hazard(source.entries):
        raise BackupError(
            f"{path} was not restored: unpacking it could write outside the volume.",
            f"Seen: {problem}.",
            "A backup of a volume has no such entry. Look where this archive comes from.",
        )
    return source


def fill(work: Underway, door: Door, source: Archive, progress: Progress) -> tuple[str, ...]:
    """Unpack an archive into an empty volume and compare the two; return what should be known of the difference."""
    with metered(progress, "Restoring", source.content) as meter:
        unpack(work, door, source, meter)
    with metered(progress, "Comparing", source.content) as meter, door.read() as pieces:
        found = inventory(_metered(pieces, meter))
    if lines := differences(source.entries, found):
        raise BackupError(
            f"{source.path} was unpacked, but the volume does not hold what the archive does.",
            f"{count(len(lines), 'difference')}, the first: {lines[0]}.",
            "Look whether something else wrote to the volume, and try again.",
        )
    return tuple(not_carried(source.entries))


# Of small files, busybox's tar makes 50,000 in two thirds of the engine's time; large ones the engine fills as fast.
UNPACK = 'exec tar xpf - -C "$1"'
SMALL = 64 << 10


def unpack(work: Underway, door: Door, source: Archive, meter: Callable[[int], object]) -> None:
    """Unpack an archive into the empty volume behind a door: the engine does it, or busybox in a container."""
    pieces = _metered(tar.read(archive.chunks(source.path)), meter)
    entries = source.entries.values()
    small = source.content < SMALL * len(entries) and all(map(is_plain, entries))
    if small and work.lab.engine.kind != "podman":
        try:
            work.run(door.volume, UNPACK, feed=tar.write(_files(pieces)))
        except BackupError as error:
            raise BackupError(
                f"{source.path} was not unpacked into the volume {door.volume}.",
                error.seen,
                "Mend what it names, and try again. Of a full disk, `docker system df` shows what takes it.",
            ) from None
        # Busybox sets no link's time, and a folder's before it fills the folder.
        pieces = (entry for entry in entries if entry.kind != tar.FILE)
    door.write(pieces)


def _files(pieces: Iterable[tar.Piece]) -> Iterator[tar.Piece]:
    """Files with their content and the folders that they are in, without what else there is."""
    for piece in pieces:
        if not isinstance(piece, tar.Entry) or piece.kind in (tar.FILE, tar.FOLDER):
            yield piece


def same(name: str, path: Path) -> Run:
    """The docker command that does much the same, but for all checks."""
    words = ["tar", "xzf", f"/backup/{path.name}", "-C", "/target"]
    mounts = [Volume(name, "/target"), Bind(str(path.parent), "/backup")]
    return Run(IMAGE, words, mounts=mounts, remove=True, detach=False)


# An archive that says it holds more than this is read further only when it is known how much room there is.
READ_BEFORE_ASKED = 1 << 30

# Free bytes and inodes by stat, then kilobytes in use by du; busybox has both as GNU has.
ASK_FREE = 'stat -f -c "%a %S %d" "$1"; echo 0'
ASK_USED = 'stat -f -c "%a %S %d" "$1"; du -sk "$1"'


class _Space:
    """Adds up what an archive needs, and raises `BackupError` as soon as that is known to be more than there is."""

    def __init__(self, path: Path, answer: Future[str]) -> None:
        self._path, self._answer = path, answer
        self._free: tuple[int, int] | None = None
        self._bytes = self._entries = 0

    def add(self, entry: tar.Entry) -> None:
        """One more entry."""
        self._bytes += entry.size
        self._entries += 1
        if self._bytes > READ_BEFORE_ASKED or self._answer.done():
            self.compare()

    def compare(self) -> None:
        """See whether what was added up has room, as soon as the engine has said how much there is."""
        if self._free is None:
            blocks, block, inodes, used = (int(word) for word in self._answer.result().split()[:4])
            # What the volume holds goes first. Some file systems have no limit of inodes, and say 0.
            self._free = blocks * block + used * 1024, inodes or sys.maxsize
        for need, free, what in zip((self._bytes, self._entries), self._free, ("bytes", "files"), strict=True):
            if need > free:
                raise BackupError(
                    f"{self._path} was not restored: its content has no room on the engine's disk.",
                    f"It needs {need:,} {what} or more, and {free:,} are free.",
                    "Make room there (docker system df shows what takes it), or look where this archive comes from.",
                )


def _enter(work: Underway, volume: str, name: str) -> Door:
    """A way into a volume that nobody else uses: of two restores that begin at once, one at least sees the other."""
    door = work.door(name)
    using = users(work.lab.engine.client, name)
    _refuse(work.lab, volume, [item for item in using if item["Labels"].get(LABEL) != work.id])
    return door


def _make(work: Underway, volume: str, name: str) -> Door:
    """A way into a volume that is made."""
    work.lab.engine.client.volumes.create(name, labels=work.lab.belongings.labels)
    try:
        return _enter(work, volume, name)
    except InUseError:
        work.note(target=None)  # what another restore fills must not go when ours is undone
        raise


def _refuse_made(lab: Lab, volume: str, name: str) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        lab.engine.client.api.inspect_volume(name)
        raise InUseError(
            f"The volume {volume} is not restored: it was not there before, and has been made meanwhile.",
            "Seen: the volume, after the archive was read.",
            "Look what is in it, and who made it.",
        )


def _strangers(lab: Lab, name: str) -> list[Record]:
    """Who uses the volume but for restores, of which each that came later than ours refuses itself."""
    return [item for item in users(lab.engine.client, name) if LABEL not in item["Labels"]]


def _keep(work: Underway, door: Door, path: Path, progress: Progress) -> Path:
    """Back up what a volume holds, for the time of the restore, beside the archive."""
    what = f"{path} was not restored: what the volume holds could not be kept beside it."
    advice = f"Make room in {path.parent}, or copy the archive to a folder with room that you may write to."
    size = partial(volume_size, work.lab.engine.client, door.volume)
    with Draft(work, path, what, advice) as draft, metered(progress, "Keeping the old", size) as meter:
        save(door, draft, Tally(), meter)
        kept = draft.keep()
    archive.inspect(kept)
    return kept


def _metered(pieces: Iterable[tar.Piece], meter: Callable[[int], object]) -> Iterator[tar.Piece]:
    for piece in pieces:
        if not isinstance(piece, tar.Entry):
            meter(len(piece))
        yield piece


def _refuse(lab: Lab, volume: str, using: list[Record]) -> None:
    if using:
        restores = LABEL in using[0]["Labels"]
        raise InUseError(
            f"The volume {volume} is not restored while it is in use.",
            f"By: {named(lab, using)}.",
            "It is another restore: try again when that has ended."
            if restores
            else f"Stop that first: docker stop {first_name(using[0])}",
        )
