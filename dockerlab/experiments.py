"""Experiments that lessons and panels share: what becomes of a note in five places, and how fast a mount is."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from .belongings import FOLDER_MARK, is_anonymous
from .errors import CommandError, InUseError, NotFoundError
from .lab import Lab
from .mounts import Anonymous, Bind, Mount, Tmpfs, Volume
from .relay import Route

__all__ = [
    "KEPT",
    "LOST",
    "STORES",
    "Folder",
    "discard",
    "enter",
    "five_stores",
    "leave",
    "mounts",
    "notes",
    "outcome",
    "page",
    "refuse_overwriting",
    "refuse_taken",
    "there_and_back",
    "write_notes",
]

#: Where each store is seen in a container of `mounts()`; the first needs no mount.
STORES: Mapping[str, str] = {
    "writable layer": "/layer",
    "anonymous volume": "/anonymous",
    "named volume": "/volume",
    "bind mount": "/folder",
    "tmpfs": "/memory",
}
KEPT, LOST = "kept", "lost"
# Seconds for an edit to come back from a container, and for a program's first answer after its start.
PATIENCE, START_SECONDS = 10.0, 60.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy does not know this machine's ports


class Folder(tempfile.TemporaryDirectory[str]):
    """A new folder beside the notebook, for a bind mount; it goes with the last who has it.

    Beside the notebook, since engines in a virtual machine see the user's own folders at most.
    """

    def __init__(self, prefix: str) -> None:
        here = os.getcwd()
        # What a container wrote there may be root's, and then stay.
        super().__init__(prefix=prefix, dir=here if os.access(here, os.W_OK) else None, ignore_cleanup_errors=True)


def mounts(volume: str, folder: str) -> list[Mount]:
    """The four mounts of `STORES`."""
    _, anonymous, named, bind, tmpfs = STORES.values()
    return [Anonymous(anonymous), Volume(volume, named), Bind(folder, bind), Tmpfs(tmpfs)]


def write_notes(lab: Lab, box: str, text: str = "hello") -> None:
    """Write a note into each store, from inside the container."""
    lab.exec(
        box,
        f"mkdir -p /layer; for store in {' '.join(STORES.values())}; do echo {shlex.quote(text)} > $store/note; done",
    )


def notes(lab: Lab, box: str) -> set[str]:
    """The stores in which the container finds a note."""
    paths = " ".join(f"{path}/note" for path in STORES.values())
    found = lab.exec(box, f"ls {paths} 2>/dev/null").text.split()
    return {store for store, path in STORES.items() if f"{path}/note" in found}


def outcome(before: set[str], after: set[str]) -> list[str]:
    """For each store, whether its note was kept or lost; empty where there was none."""
    return [(KEPT if store in after else LOST) if store in before else "" for store in STORES]


def five_stores(
    lab: Lab, *, name: str = "five-stores", report: Callable[[str, int, int], object] = lambda *_: None
) -> pd.DataFrame:
    """Write a note into five stores, stop and start, write again, remove and recreate: what was kept, what was lost?

    Returns a DataFrame of `kept` and `lost`, a row for each store; lost is what the new container does not see, though
    an orphaned anonymous volume may still hold it. `report` is called before each step with what it is, its number and
    how many there are, and may raise. The container, the volumes and the folder of the experiment are removed again.
    Raises `InUseError` where there is a container or a volume of that name already.
    """
    refuse_taken(lab, name)
    anonymous = set[str]()

    def run(folder: str) -> None:
        box = lab.run("alpine", "sleep infinity", name=name, mounts=mounts(name, folder))
        anonymous.update(each["Name"] for each in box.attrs["Mounts"] if is_anonymous(each.get("Name", "")))

    def stop_and_start(folder: str) -> None:
        lab.stop(name, 1)
        lab.start(name)

    def remove_and_recreate(folder: str) -> None:
        lab.remove(name, force=True)
        run(folder)

    trials = {"stop and start": stop_and_start, "rm and recreate": remove_and_recreate}
    found = {}
    with Folder(f"{name}-") as folder:
        try:
            report("a container with five stores", 0, len(trials) + 1)
            run(folder)
            for number, (trial, act) in enumerate(trials.items(), start=1):
                report(trial, number, len(trials) + 1)
                write_notes(lab, name)
                before = notes(lab, name)
                act(folder)
                found[trial] = outcome(before, notes(lab, name))
        finally:
            discard(lab, name, [name, *anonymous])
    return pd.DataFrame(found, index=pd.Index(STORES, name="store"))


def refuse_taken(lab: Lab, name: str) -> None:
    """Raise `InUseError` where there is a container or a volume of an experiment's name."""
    api, full = lab.engine.client.api, lab.belongings.full(name)
    boxes = [f"container {name}" for each in api.containers(all=True) if f"/{full}" in each["Names"]]
    volumes = [f"volume {name}" for each in api.volumes()["Volumes"] or () if each["Name"] == full]
    if boxes or volumes:
        raise InUseError(
            f"The experiment's name {name} is taken.",
            f"Seen: {', '.join(boxes + volumes)}.",
            "Give another name, or remove it if it is left from a run that was cut off.",
        )


def refuse_overwriting(*files: Path) -> None:
    """Raise `InUseError` where a file is there already that an experiment would write, and remove at its end."""
    for file in files:
        if os.path.lexists(file):
            raise InUseError(
                f"There is a {file.name} in {file.parent.resolve()} already.",
                "A file of that name would be written over, and removed at the end.",
                "Rename it, or remove it if it is left from a run that was cut off.",
            )


def discard(lab: Lab, box: str, volumes: Sequence[str]) -> None:
    """Remove what an experiment made, as far as it is there."""
    with contextlib.suppress(NotFoundError):
        lab.remove(box, volumes=True, force=True)
    for volume in volumes:
        with contextlib.suppress(NotFoundError):  # the last anonymous one went with the container
            lab.remove_volume(volume)


def enter(name: str) -> Path:
    """Make an empty folder of that name beside the notebook, work in it from here on, and return it.

    Called again from within, as when a notebook is run again, it empties that folder. Raises as `leave` does, and
    leaves as it is what no lesson made.
    """
    here = Path.cwd()
    folder = here if here.name == name and (here / FOLDER_MARK).exists() else here / name
    leave(folder)
    folder.mkdir()
    (folder / FOLDER_MARK).write_text("A lesson made this folder, and removes it with all that is in it.\n")
    os.chdir(folder)
    return folder


def leave(folder: Path) -> None:
    """Work beside the notebook again, and remove that folder with all that is in it; nothing happens if it is gone.

    Raises `InUseError` where no `enter` made it, and `CommandError` where what is in it is not all yours, as what a
    container wrote on Linux.
    """
    if Path.cwd().is_relative_to(folder.resolve()):
        os.chdir(folder.parent)
    if not os.path.lexists(folder):
        return
    mark = folder / FOLDER_MARK
    if folder.is_symlink() or not mark.is_file():
        _remove_empty(folder)
        return
    here, name = shlex.quote(str(folder.parent)), shlex.quote(folder.name)
    try:
        shutil.rmtree(folder)
    except PermissionError as error:
        with contextlib.suppress(OSError):
            mark.touch()  # it may have gone first
        raise CommandError(
            f"{folder} is not removed: it is not all yours.",
            f"{error.filename}: {error.strerror}. A container wrote there, as another user.",
            f"docker run --rm -v {here}:/there alpine rm -rf /there/{name}",
        ) from None


def _remove_empty(folder: Path) -> None:
    """Remove a folder that may be somebody's own, which loses nothing where nothing is in it."""
    try:
        folder.rmdir()
    except OSError:
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        raise InUseError(
            f"{folder} is there already, and no lesson made it.",
            f"Seen: {', '.join(there[:3])}{', …' * (len(there) > 3)}." if there else "It is no folder of its own.",
            "Rename it or move it elsewhere, then run this cell again.",
        ) from None


def page(lab: Lab, name: str, until: str = "", *, port: int = 3000, timeout: float = 10) -> str:
    """Return what a web server in a container answers, asked from here at its published port, as a browser would be.

    One that has only been started is asked again for up to a minute, one that has yet to say `until` for up to
    `timeout` seconds; then its last answer counts. Raises `CommandError` with the end of the container's log where
    there was none.
    """
    route, start = Route(lab, name, port), time.monotonic()
    answer: str | None = None
    try:
        while True:
            box = lab.container(name)
            if box.status == "running":
                with contextlib.suppress(OSError):
                    host, here = route.address()
                    answer = _opener.open(f"http://{host}:{here}/", timeout=2).read().decode()
            if answer is not None and until in answer:
                return answer
            patience = max(timeout, START_SECONDS) if answer is None else timeout
            if box.status != "running" or time.monotonic() > start + patience:
                break
            time.sleep(0.05)
    finally:
        route.close()
    if answer is None:
        log = box.logs(tail=3).decode(errors="replace").strip()
        raise CommandError(f"{name} does not answer: it is {box.status}.", f"It said: {log or 'nothing'}")
    return answer


def there_and_back(lab: Lab, name: str, target: str, folder: str | Path = ".", *, times: int = 20) -> pd.Series[float]:
    """Measure, in milliseconds, how long an edit takes through a bind mount to a container and back.

    `folder` is the one here, `target` where the container has it. A text is written here; a shell in the container
    copies what it sees to another file, which is read here until it has that text. Both files, `ping` and `pong`, are
    removed again. Raises `InUseError` where there is one already, and `CommandError` where nothing comes back.
    """
    ping, pong = Path(folder, "ping"), Path(folder, "pong")
    refuse_overwriting(ping, pong)
    api, full = lab.engine.client.api, str(lab.container(name).name)
    copy = "while [ -e ping ]; do cmp -s ping pong || cp ping pong; done"
    milliseconds = []
    ping.write_text("ready?")
    try:
        api.exec_start(api.exec_create(full, ["sh", "-c", copy], workdir=target)["Id"], detach=True)
        _wait_for(pong, "ready?")
        for number in range(times):
            start = time.perf_counter()
            ping.write_text(f"edit {number}")
            _wait_for(pong, f"edit {number}")
            milliseconds.append(1000 * (time.perf_counter() - start))
    finally:
        ping.unlink()
        time.sleep(0.05)  # the copying ends
        pong.unlink(missing_ok=True)
    return pd.Series(milliseconds, name="milliseconds")


def _wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (path.exists() and path.read_text() == text):
        if time.monotonic() > deadline:
            raise CommandError(f"{path.name} does not come back from the container.", f"Seen: nothing new in {path}.")
        time.sleep(0.0005)
