"""A volume beside a bind mount, in what the learner's own engine shows of them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from .belongings import is_anonymous
from .errors import NotFoundError
from .experiments import Folder, there_and_back
from .lab import Lab
from .mounts import Bind, Volume
from .speeds import Speeds

__all__ = ["side_by_side"]


def side_by_side(lab: Lab, box: str, speeds: Speeds, folder: str | Path = ".") -> pd.DataFrame:
    """Compare the named volume and the bind mount of a running container; `folder` is where the latter lies here.

    Returns a DataFrame of texts: a row for each question, the columns `volume` and `bind mount`. Each text is asked of
    the engine or tried on it, in containers that are removed again; nothing is left. Raises `NotFoundError` where the
    container lacks one of the two, `CommandError` where it does not run or has another folder mounted.
    """
    mounts = lab.container(box).attrs["Mounts"]
    by_type = {each["Type"]: each for each in mounts if not is_anonymous(each.get("Name", ""))}
    if not {"volume", "bind"} <= set(by_type):
        raise NotFoundError(
            f"{box} lacks a named volume or a bind mount.", f"Seen: {sorted(by_type)}.", "Give it both."
        )
    volume, bind = lab.belongings.short(by_type["volume"]["Name"]), by_type["bind"]
    target, inside = by_type["volume"]["Destination"], bind["Destination"]
    record = lab.inspect_volume(volume)
    listed = lab.volumes(all=True)
    info: dict[str, Any] = lab.engine.client.info()
    owners = lab.exec(box, ["stat", "-c", "uid %u", target, inside]).text.splitlines()
    rows = {
        "who manages it": (
            f"the engine: docker volume ls {'has' if volume in set(listed['name']) else 'lacks'} {volume}",
            f"you: docker volume ls {'has' if bind['Source'] in set(listed['mountpoint']) else 'lacks'} it",
        ),
        "where it lies": (
            f"{record['Mountpoint']}, {_place(record['Mountpoint'], info['DockerRootDir'])}",
            f"{bind['Source']}, {_place(bind['Source'], info['DockerRootDir'])}",
        ),
        "what for": (
            f"what programs write: it belongs to {owners[0]} inside",
            f"what you edit: it belongs to {owners[1]} inside, an edit goes there and back in "
            f"{there_and_back(lab, box, inside, folder).median():.1f} ms",
        ),
        "portability": (
            f"a name is enough: {_without_a_path(lab, f'{volume}-elsewhere')}",
            f"a path of this machine: where it is missing, {_without_the_folder(lab)}",
        ),
        "performance": (_speed(speeds, "named volume"), _speed(speeds, "bind mount")),
        "backup": (
            f"by a container that mounts it; files in its tar: {_packed(lab, volume)}",
            f"by any program here; files in its tar: {_packed_here(folder)}",
        ),
        "production": (
            f"driver {record['Driver']}, scope {record['Scope']}: other drivers reach other machines' disks",
            f"on {info['Name']} only, where the container's root writes as {_owner(lab, box, inside, folder)}",
        ),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["volume", "bind mount"])


def _place(path: str, root: str) -> str:
    """Whose folder it is."""
    return "in the engine's data root" if PurePosixPath(path).is_relative_to(root) else "outside the engine's data root"


def _without_a_path(lab: Lab, volume: str) -> str:
    lab.create_volume(volume)
    lab.remove_volume(volume)
    return f"{volume} was made at once"


def _without_the_folder(lab: Lab) -> str:
    with Folder("gone-") as gone:
        pass
    try:
        lab.run("alpine", "true", mounts=[Bind(gone, "/x", syntax="--mount")], detach=False, remove=True)
    except NotFoundError:
        return "the engine refuses to start the container"
    return "the engine starts the container nevertheless"


def _speed(speeds: Speeds, store: str) -> str:
    median = speeds.summary["median"]
    return f"{median['sequential', store]:,.0f} MB/s sequential, {median['fsync', store]:,.1f} MB/s with fsync"


def _packed(lab: Lab, volume: str) -> int:
    count = "tar cf - -C /source . | tar tf - | grep -vc '/$'"
    mount = Volume(volume, "/source", read_only=True)
    counted = lab.run("alpine", ["sh", "-c", count], mounts=[mount], detach=False, remove=True)
    return int(counted.text)


def _packed_here(folder: str | Path) -> int:
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as archive:
        archive.add(folder, "")
        return sum(entry.isfile() for entry in archive.getmembers())


def _owner(lab: Lab, box: str, inside: str, folder: str | Path) -> str:
    written = Path(folder, "written-inside")
    lab.exec(box, ["touch", f"{inside}/{written.name}"], user="root")
    uid = written.stat().st_uid
    written.unlink()
    return f"uid {uid}"
