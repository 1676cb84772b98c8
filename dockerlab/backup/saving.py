"""Back a volume up: the engine's stream of it, compressed as it comes, into a plain `.tar.gz`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from ..commands import Run
from ..describe import bytes_in_words, count
from ..engine import images
from ..errors import BackupError, InUseError
from ..lab import Lab
from ..mounts import Bind, Volume
from . import tar
from .door import IMAGE, LABEL, Door, users
from .draft import Draft, destination
from .packing import packed
from .progress import Progress, metered, volume_size
from .results import Result
from .underway import Underway
from .volumes import exists, explained, named, prepared, recorded, watched

__all__ = ["Backup", "Tally", "back_up", "save"]

# A script that replays a live backup goes on where tar complains.
MAY_FAIL = " || true  # files may change and go while tar reads them"


@dataclass(frozen=True, repr=False)
class Backup(Result):
    """A backup that was made: a plain `.tar.gz`, and beside it a `.sha256` that `sha256sum -c` reads.

    `bytes_before` are the files' own, `bytes_after` the archive's; `digest` is its SHA-256. `state` says how the volume
    was used meanwhile, `notes` what else should be known, and `line` is the docker command that does much the same.
    """

    path: Path
    volume: str
    engine: str
    time: datetime
    seconds: float
    files: int
    bytes_before: int
    bytes_after: int
    digest: str
    state: str
    notes: tuple[str, ...]
    line: str

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "backup", str(self.path)
        yield "of", f"the volume {self.volume}, {self.state}"
        yield "on", self.engine
        yield "at", f"{self.time:%Y-%m-%d %H:%M:%S}, in {self.seconds:.1f} s"
        before, after = map(bytes_in_words, (self.bytes_before, self.bytes_after))
        yield "holds", f"{count(self.files, 'file')}, {before} in {after}"
        yield "digest", self.digest
        yield from (("note", note) for note in self.notes)
        yield "much like", self.line


def back_up(
    lab: Lab,
    volume: str,
    path: str | Path | None = None,
    *,
    consistent: Literal["stop", "pause", "live"] | None = None,
    progress: Progress = True,
) -> Backup:
    """Back a volume up into a `.tar.gz` (without `path`, of the volume's name, here), and return what it came to.

    A volume that a running container uses is refused, unless `consistent` says what to do: `"stop"` or `"pause"` the
    containers meanwhile, or take it `"live"`, as it is from moment to moment. They run again afterwards, also when the
    backup fails or this process is killed. One with `--rm` is not stopped, since it would be gone; nor is a volume
    backed up that a restore is filling, but for `"live"`.

    Kept are owners as numbers, modes, times in whole seconds, links of both kinds, empty folders, FIFOs, devices, names
    in any bytes, the capabilities of programs, and all of that of the volume's root; not other extended attributes
    (ACLs among them) nor sockets, and holes become zeros. The archive appears under its name only when it is whole
    and on the disk: until then, a former one stays. Raises `NotFoundError`, `InUseError`, `BackupError` where it is not
    whole or can't be written, or where Podman says no owners, `EngineError` where the engine goes away; nothing is left
    behind.
    """
    if consistent not in (None, "stop", "pause", "live"):
        raise BackupError(
            f"consistent={consistent!r} is none of the ways.", "Seen: no such way.", 'Say "stop", "pause" or "live".'
        )
    prepared(lab)
    name, target = exists(lab, volume), destination(path or f"{volume}.tar.gz")
    since = lab.engine.now()
    using = users(lab.engine.client, name)
    if consistent != "live" and any(LABEL in item["Labels"] for item in using):
        raise InUseError(
            f"The volume {volume} is not backed up: a restore is filling it.",
            f"By: {named(lab, using)}.",
            "Try again when that has ended.",
        )
    if using and consistent is None:
        raise InUseError(
            f"The volume {volume} is not backed up: running containers use it.",
            f"By: {named(lab, using)}.",
            'Say consistent="stop" or "pause" (they run again afterwards), or "live" (as it is, perhaps not whole).',
        )
    images.ensure(lab.engine, IMAGE, report=lab.say)
    with Underway(lab, f"a backup of the volume {volume}") as work:
        return _back_up(work, volume, name, target, using, consistent, since, progress)


def _back_up(
    work: Underway,
    volume: str,
    name: str,
    path: Path,
    using: list[dict[str, Any]],
    consistent: str | None,
    since: float,
    progress: Progress,
) -> Backup:
    lab, client, start = work.lab, work.lab.engine.client, perf_counter()
    held = [item["Id"] for item in using if item["State"] != "paused"] if consistent in ("stop", "pause") else []
    for key in held:
        box = lab.claims.container(key)  # before the first is stopped, all are seen to be the lab's
        if consistent == "stop" and box.attrs["HostConfig"].get("AutoRemove"):
            raise InUseError(
                f"The volume {volume} is not backed up: a container that uses it would be removed, not stopped.",
                f"{lab.belongings.short(str(box.name))} was run with --rm.",
                'Say consistent="pause", or run it without --rm.',
            )
    tally, notes = Tally(), []
    with explained(f"The volume {volume} was not backed up."), Draft(work, path) as draft:
        door = work.door(name, read_only=True)
        with (
            work.holding(held, str(consistent)),  # says its lines before the bar comes, and after it is gone
            metered(progress, f"Backing up {volume}", lambda: volume_size(client, name)) as meter,
            recorded(lab, f"{same(name, path)}{MAY_FAIL * (consistent == 'live')}"),
            watched(lab.engine, name, since) as came,
        ):
            save(door, draft, tally, meter)
            meanwhile = came() if consistent != "live" else []
        if meanwhile:
            raise InUseError(
                f"The volume {volume} was not backed up: it was put to use meanwhile.",
                f"By: {', '.join(meanwhile)}.",
                "Try again when that has ended.",
            )
        draft.publish()
    if not tally.entries:
        notes.append("The volume is empty, and so is the archive.")
    if tally.devices:
        notes.append(f"It holds {count(tally.devices, 'device')}, which tar unpacks, but restore() refuses.")
    return Backup(
        path,
        volume,
        repr(lab.engine),
        datetime.now().astimezone(),
        perf_counter() - start,
        tally.files,
        tally.bytes,
        draft.size,
        draft.digest,
        _state(lab, using, consistent),
        tuple(notes),
        str(same(name, path)),
    )


@dataclass
class Tally:
    """What has gone by: entries other than the root, files, devices, and the bytes of all files."""

    entries: int = 0
    files: int = 0
    devices: int = 0
    bytes: int = 0


def save(door: Door, draft: Draft, tally: Tally, meter: Callable[[int], object]) -> None:
    """Write what is in a volume into a `.tar.gz`, and count it."""
    with door.read() as pieces:
        for data in packed(tar.write(_counted(pieces, tally, meter))):
            draft.write(data)


def _counted(pieces: Iterable[tar.Piece], tally: Tally, meter: Callable[[int], object]) -> Iterator[tar.Piece]:
    for piece in pieces:
        if isinstance(piece, tar.Entry):
            tally.entries += piece.name != tar.ROOT
            tally.files += piece.kind == tar.FILE
            tally.devices += piece.kind.endswith("device")
        else:
            tally.bytes += len(piece)
            meter(len(piece))
        yield piece


def same(name: str, path: Path) -> Run:
    """The docker command that does much the same."""
    words = ["tar", "czf", f"/backup/{path.name}", "-C", "/source", "."]
    mounts = [Volume(name, "/source"), Bind(str(path.parent), "/backup")]
    return Run(IMAGE, words, mounts=mounts, remove=True, detach=False)


def _state(lab: Lab, using: list[dict[str, Any]], consistent: str | None) -> str:
    if not using:
        return "not in use"
    how = {"stop": "stopped meanwhile", "pause": "paused meanwhile", "live": "taken live: perhaps not whole"}
    return f"used by {named(lab, using)}: {how[str(consistent)]}"
