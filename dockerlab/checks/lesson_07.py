"""Lesson 07: a backup that was restored."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Mapping

import docker.errors

from ..belongings import is_anonymous
from .evidence import Evidence
from .servers import Copy, ask, complaint, copies, servers
from .verdict import NotYet, check

_LEDGER = "SELECT count(*), md5(string_agg(ledger::text, ' ' ORDER BY n)) FROM ledger"


@check(
    "K13",
    "a volume is backed up by a temporary container that runs tar, and restored the same way",
    expected="a volume whose files are all older than itself, unpacked by a container that had it alone and is gone",
    hints=(
        "tar keeps the time of each file. Which of your volumes is younger than all that it holds?",
        "Pack a volume by a container with --rm, remove the volume, and unpack the archive the same way.",
        "docker run --rm -v my-data:/source … tar czf …; docker volume rm my-data;"
        " docker run --rm -v my-data:/target … tar xzf ….",
    ),
)
def _restored(evidence: Evidence) -> str:
    seen = "No volume was filled by a container that had it alone and is gone."
    made = _births(evidence)
    for name in sorted(evidence.volumes.keys() & made.keys()):
        unpacked = any(set(each["volumes"]) == {name} and each["time"] > made[name] for each in evidence.removed)
        if is_anonymous(name) or not unpacked:
            continue
        times = _file_times(evidence, name, made[name])
        old = {path for path, time in times.items() if time < made[name]}
        younger = len(times) - len(old)
        if old and not younger and not old & _copied_up(evidence, name, times):
            return f"{name} was made after its {len(old)} files were: a container that is gone unpacked them."
        if old and not younger:
            seen = f"{name} has {len(old)} files that are older than itself, but it has them from an image."
            continue
        seen = f"{name} has {len(old)} files that are older than itself, and {younger} that were written to it since."
    raise NotYet(seen)


def _births(evidence: Evidence) -> dict[str, float]:
    """When each volume was made, of those that this sitting made."""
    # CreatedAt will not do: on Engine 20.10 it changes with what is written there. Nor will the last event that says
    # create: there is one for each container that is run on a volume.
    births: dict[str, float] = {}
    for event in evidence.events:
        name = evidence.belongings.short(event["Actor"]["ID"])
        if (event["Type"], event["Action"]) == ("volume", "create"):
            births.setdefault(name, event["timeNano"] / 1e9)
        elif (event["Type"], event["Action"]) == ("volume", "destroy"):
            births.pop(name, None)
    return births


def _file_times(evidence: Evidence, volume: str, made: float) -> dict[str, float]:
    """The times of a volume's files, in whole seconds but for those of the second in which it was made."""
    times = {}
    with evidence.holder(volume) as container:
        for entry, _ in evidence.files(container, "/volume"):
            # The archive that the engine sends has whole seconds; to ask for each would flood its list of events.
            near = entry.mtime <= made < entry.mtime + 1
            found = evidence.stat(container, f"/{entry.name}") if near else None
            times[_below(entry)] = float(found["mtime"] if found else entry.mtime)
    return times


def _copied_up(evidence: Evidence, volume: str, times: Mapping[str, float]) -> set[str]:
    """Those of a volume's files that an image has, of the same time, where one of its containers had the volume.

    With what an image has there the engine fills an empty volume, and keeps the files' times as tar does.
    """
    places = {(each["image"], each["volumes"][volume]) for each in evidence.removed if volume in each["volumes"]}
    full = evidence.full(volume)
    for user in evidence.users(volume):
        places |= {(user["Image"], mount["Destination"]) for mount in user["Mounts"] if mount.get("Name") == full}
    found = set[str]()
    for image, path in places:
        # Where the image is gone as well, nothing tells.
        with contextlib.suppress(docker.errors.NotFound), evidence.fresh(image) as fresh:
            inside = {_below(entry): entry.mtime for entry, _ in evidence.files(fresh, path)}
            found |= {name for name, time in times.items() if inside.get(name) == int(time)}
    return found


def _below(entry: tarfile.TarInfo) -> str:
    """The path of an archive's entry below the folder that was asked for."""
    return entry.name.partition("/")[2]


@check(
    "K20",
    "a copy of a database's files taken while it writes may not be whole",
    expected="two copies of a running server's files: one that lacks rows of its ledger, and one that lacks none",
    hints=(
        "Which copies of the server's volume do you have, and how was each of them taken?",
        "Copy the volume once while rows are written, once with the server paused or stopped; restore both.",
        "four_copies(db) does it. Where the live copy came out whole by luck, call it again.",
    ),
)
def _torn(evidence: Evidence) -> str:
    found = copies(evidence)
    told = [f"{name} {_told(copy)}" for name, copy in found.items()]
    torn = [copy for copy in found.values() if not copy.starts or copy.missing]
    if torn and any(copy.is_whole for copy in found.values()):
        return f"{'; '.join(told)}."
    raise NotYet(f"{'; '.join(told) or 'No volume has a copy of the files of a server that runs'}.")


def _told(copy: Copy) -> str:
    if not copy.starts:
        return "does not start, or can't read its ledger"
    if not copy.last:
        return "has no rows in a ledger"
    return f"lacks {copy.missing} of {copy.last} rows" if copy.missing else f"has all {copy.rows} rows"


@check(
    "07-exercise",
    "a second server, on a volume of its own, has the rows of the first",
    expected="shop and new-shop both run, on two volumes, and new-shop has the same ledger",
    hints=(
        "Which of the four copies can you trust? Take such a one now.",
        'back_up with consistent="pause" or "stop", restore into a new volume, then Postgres(lab, "new-shop", …).',
        'back_up(lab, "shop-data", "safe.tar.gz", consistent="pause"); restore(lab, "safe.tar.gz", "new-data");'
        ' Postgres(lab, "new-shop", volume="new-data", password="secret", database="shop").',
    ),
)
def _moved(evidence: Evidence) -> str:
    found = {server["Name"]: (server, volume) for server, volume in servers(evidence)}
    missing = [name for name in ("shop", "new-shop") if name not in found]
    if missing:
        raise NotYet(f"No server {' and no '.join(missing)} runs on a volume.")
    (shop, old), (new_shop, new) = found["shop"], found["new-shop"]
    if old == new:
        raise NotYet(f"Both run on {old}: that is no copy, and dangerous.")
    ours, theirs = (ask(evidence, server, _LEDGER, ("postgres", "shop")) for server in (shop, new_shop))
    for name, said in (("shop", ours), ("new-shop", theirs)):
        if said.exit_code:
            raise NotYet(f"{name} does not tell its ledger: {complaint(said)}")
    (rows, digest), (new_rows, new_digest) = (said.text.strip().split("|") for said in (ours, theirs))
    if digest != new_digest:
        raise NotYet(f"shop's ledger has {rows} rows, new-shop's has {new_rows}, and they are not the same.")
    return f"new-shop on {new} has the same {new_rows} rows as shop on {old}."
