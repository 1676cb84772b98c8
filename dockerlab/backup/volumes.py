"""Questions that come before a volume is copied or filled, and after: whether it is there, who used it meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker.errors

from ..commands import InspectVolume
from ..engine.find import Engine
from ..errors import BackupError, DockerLabError, EngineError
from ..lab import Lab
from ..listings import first_name
from ..refusals import REFUSALS, explain
from . import tar
from .door import Record, is_writer, users
from .underway import recover

__all__ = ["exists", "explained", "named", "prepared", "recorded", "watched"]

# How often it is asked who uses a volume that is read.
LOOK_SECONDS = 2


def prepared(lab: Lab) -> None:
    """Put right what an earlier backup or restore left when it was killed, and say so."""
    for line in recover(lab.engine):
        lab.say(f"# {line}")


def exists(lab: Lab, volume: str) -> str:
    """The engine's name of a volume that is there; `NotFoundError` with near names where it is not."""
    name = lab.claims.volume_name(volume)
    try:
        lab.engine.client.api.inspect_volume(name)
    except REFUSALS as error:
        raise explain(error, InspectVolume(name), lab.engine.client, lab.belongings) from None
    return name


def named(lab: Lab, items: list[Record]) -> str:
    """Containers by name and state, as they are listed in a message."""
    return ", ".join(f"{lab.belongings.short(first_name(item))} ({item['State']})" for item in items)


@contextlib.contextmanager
def watched(engine: Engine, name: str, since: float) -> Iterator[Callable[[], list[str]]]:
    """Gives a question: which containers, by name, came to use a volume since a time of the engine, and may write."""
    client, over, seen = engine.client, threading.Event(), set[str]()
    known = {item["Id"] for item in users(client, name)}

    def look() -> None:
        seen.update(_started(engine, name, since))

    def look_on() -> None:
        # The engine keeps its last 256 events only (moby, daemon/events), and each health check makes three.
        while not over.wait(LOOK_SECONDS):
            with contextlib.suppress(*REFUSALS):  # that the engine went away is seen by who reads the volume
                look()

    def ask() -> list[str]:
        look()
        using = [item for item in users(client, name) if any(is_writer(mount, name) for mount in item["Mounts"])]
        keys = seen | {item["Id"] for item in using} - known
        # Listed, not asked for one by one: while the engine copies out of a container, it does not answer for it.
        boxes = {item["Id"]: first_name(item) for item in client.api.containers(all=True)} if keys else {}
        return sorted(boxes.get(key, f"{key[:12]} (removed since)") for key in keys)

    thread = threading.Thread(target=look_on, name="dockerlab-watched", daemon=True)
    thread.start()
    try:
        yield ask
    finally:
        over.set()
        thread.join()


def _started(engine: Engine, name: str, since: float) -> set[str]:
    """The containers, by id, that were started since then and may write to a volume."""
    filters = {"type": "volume", "event": "mount", "volume": name}
    # Whole seconds, as docker-py's types have them, would take in who ended just before.
    api: Any = engine.client.api
    events = api.events(since=f"{since:.9f}", until=f"{engine.now():.9f}", filters=filters, decode=True)
    # The engine takes the name in its filter for the beginning of one.
    mounts = (event["Actor"]["Attributes"] for event in events if event["Actor"]["ID"] == name)
    return {mount.get("container", "") for mount in mounts if mount.get("read/write") != "false"}


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Say the engine's refusals, and what it sent that is no tar, as errors of ours; `what` begins them."""
    try:
        yield
    except tar.TarError as error:
        after = f" after {error.name.decode(errors='backslashreplace')}" if error.name else ""
        raise BackupError(
            what,
            f"The engine's stream is not whole: {error.reason}, {error.offset:,} bytes into it{after}.",
            "A file may have changed while it was read, or the engine ended. Try again, with the volume not in use.",
        ) from None
    except docker.errors.APIError as error:
        said = str(error.explanation or error).strip()
        raise BackupError(what, f"The engine said: {said}", "Mend what it names, and try again.") from None
    except REFUSALS as error:
        raise EngineError(
            what,
            f"The engine went away: {type(error).__name__}.",
            "Run `python3 -m dockerlab doctor`, and try again when it answers.",
        ) from None


@contextlib.contextmanager
def recorded(lab: Lab, line: str) -> Iterator[None]:
    """Record the docker command that does much the same, for the lab's journal and script."""
    start, outcome = time.perf_counter(), "interrupted"
    try:
        yield
        outcome = "done"
    except DockerLabError as error:
        outcome = error.what
        raise
    finally:
        with contextlib.suppress(*REFUSALS, EngineError):  # what failed before is the better reason
            lab.record(line, line, time.perf_counter() - start, outcome)
