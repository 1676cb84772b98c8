"""Put right what a backup or restore has begun, from its notes alone: at its end, or after it was killed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors

from ..describe import bytes_in_words
from ..engine.find import Engine
from ..errors import BackupError, DockerLabError, InUseError
from ..listings import first_name
from ..refusals import REFUSALS
from . import archive, tar
from .contents import differences, inventory
from .door import LABEL, Door, run_once, users

__all__ = ["EMPTY", "Notes", "patience", "put_right"]

Notes = dict[str, Any]

# Not find's -delete, which some builds of busybox do not have.
EMPTY = 'find "$1" -mindepth 1 -maxdepth 1 -exec rm -rf -- {} +'


def put_right(engine: Engine, notes: Notes) -> list[str]:
    """Do all that the notes ask for (`Underway` lists it), and say what that was, a line each.

    A step that fails keeps no other from being done; the first such error is raised at the end.
    """
    done: list[str] = []
    problems: list[Exception] = []
    # A volume can go only when no container has it any more, and its old content only when it has been put back.
    for step in (_start_again, _remove_containers, _undo, _remove_containers, _delete_drafts, _remove_volumes):
        try:
            done += step(engine, notes)
        except tar.TarError as error:  # of the content that is compared
            problems.append(
                BackupError(
                    "What a volume got back could not be compared.",
                    f"The engine's stream is not whole: {error.reason}.",
                    "A file may have changed while it was read: it is tried again.",
                )
            )
            break
        except (*REFUSALS, DockerLabError, OSError) as problem:
            problems.append(problem)
            if step is _undo:
                break
    if problems:
        raise problems[0]
    return list(dict.fromkeys(done))


def _start_again(engine: Engine, notes: Notes) -> Iterator[str]:
    for key, how, started in reversed(notes.get("held", [])):
        try:
            state = engine.client.api.inspect_container(key)
        except docker.errors.NotFound:
            continue
        if how == "pause" and state["State"]["Paused"]:
            engine.client.api.unpause(key)
        elif how == "stop" and (not state["State"]["Running"] or state["State"]["StartedAt"] == started):
            # It may be about to stop: only when it has can it be started. Its owner may have started it, too.
            engine.client.api.stop(key, timeout=patience(state))
            engine.client.api.start(key)
        yield f"the container {state['Name'].lstrip('/')} runs again"


def patience(box: Mapping[str, Any]) -> int | None:
    """Seconds in which a container may stop: what it was made with, else docker's own, but for Postgres a minute."""
    is_postgres = any(variable.startswith("PGDATA=") for variable in box["Config"]["Env"] or ())
    return 60 if is_postgres and not box["Config"].get("StopTimeout") else None


def _remove_containers(engine: Engine, notes: Notes) -> Iterator[str]:
    for item in engine.client.api.containers(all=True, filters=_ours(notes)):
        with contextlib.suppress(docker.errors.NotFound):
            engine.client.api.remove_container(item["Id"], v=True, force=True)
            yield f"its container {item['Id'][:12]} is removed"


def _undo(engine: Engine, notes: Notes) -> Iterator[str]:
    """Give a volume back what it held before."""
    target = notes.get("target")
    if not target:
        return
    volume, was, undo = target["volume"], target["was"], target["undo"]
    if was == "full" and not Path(undo).exists():
        yield f"the volume {volume} does not get its old content back: {undo}, which held it, is gone"
        return
    if was == "absent":
        if any(box["Labels"].get(LABEL) not in (None, notes["id"]) for box in users(engine.client, volume)):
            return  # another restore has it now
        with contextlib.suppress(docker.errors.NotFound):
            engine.client.api.remove_volume(volume)
            yield f"the volume {volume}, which it had made, is removed"
        return
    whole = archive.inspect(Path(undo)) if was == "full" else None
    if not _is_there(engine, volume):  # somebody has removed it
        engine.client.volumes.create(volume, labels={key: of for key, of in notes["labels"].items() if key != LABEL})
    door = Door(engine, volume, notes["labels"])  # which keeps other restores away
    if using := [box for box in users(engine.client, volume) if box["Labels"].get(LABEL) != notes["id"]]:
        engine.client.api.remove_container(door.id, force=True)
        name, then = first_name(using[0]), f"gets its old content back (it is in {undo})" if undo else "is emptied"
        raise InUseError(
            f"The volume {volume} {then} once {name} ends: what that writes is lost.",
            f"{name} came to use it while it was restored.",
            f"Copy what you need of it, then: docker stop {name}",
        )
    run_once(engine, volume, notes["labels"], EMPTY)
    if whole is None:
        door.write([tar.Entry(tar.ROOT, tar.FOLDER, *target["root"])])
        yield f"the volume {volume} is empty again"
        return
    door.write(tar.read(archive.chunks(whole.path)))
    with door.read() as pieces:
        found = inventory(pieces)
    if problems := differences(whole.entries, found):
        raise BackupError(
            f"The volume {volume} did not get all of its content back.", f"{problems[0]}.", f"It is in {undo}."
        )
    yield f"the volume {volume} has its old content again ({bytes_in_words(whole.content)})"


def _is_there(engine: Engine, volume: str) -> bool:
    try:
        engine.client.api.inspect_volume(volume)
    except docker.errors.NotFound:
        return False
    return True


def _delete_drafts(engine: Engine, notes: Notes) -> Iterator[str]:
    for name in notes.get("drafts", []):
        path = Path(name)
        if path.exists():
            path.unlink(missing_ok=True)
            yield f"the unfinished file {path} is deleted"


def _remove_volumes(engine: Engine, notes: Notes) -> Iterator[str]:
    for item in engine.client.api.volumes(filters=_ours(notes))["Volumes"] or []:
        engine.client.api.remove_volume(item["Name"])
        yield f"its volume {item['Name']} is removed"


def _ours(notes: Notes) -> dict[str, str]:
    return {"label": f"{LABEL}={notes['id']}"}
