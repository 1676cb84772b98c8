"""Questions that come before a volume is copied or filled, and after: whether it is there, who used it meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import docker.errors
from docker import DockerClient

from ..commands import InspectVolume
from ..errors import BackupError, DockerLabError, EngineError
from ..lab import Lab
from ..listings import first_name
from ..refusals import REFUSALS, explain
from . import tar
from .door import Record
from .underway import recover

__all__ = ["exists", "explained", "named", "now", "prepared", "recorded", "used_since"]


def prepared(lab: Lab) -> None:
    """Put right what an earlier backup or restore left when it was killed, and say so."""
    for line in recover(lab.engine):
        lab.say(f"# {line}")


def exists(lab: Lab, volume: str) -> str:
    """The engine's name of a volume that is there; `NotFoundError` with near names where it is not."""
    name = lab.belongings.full(volume)
    try:
        lab.engine.client.api.inspect_volume(name)
    except REFUSALS as error:
        raise explain(error, InspectVolume(name), lab.engine.client, lab.belongings) from None
    return name


def named(lab: Lab, items: list[Record]) -> str:
    """Containers by name and state, as they are listed in a message."""
    return ", ".join(f"{lab.belongings.short(first_name(item))} ({item['State']})" for item in items)


def now(client: DockerClient) -> float:
    """The engine's own time, in seconds."""
    return datetime.fromisoformat(client.info()["SystemTime"]).timestamp()


def used_since(client: DockerClient, name: str, since: float) -> list[str]:
    """The containers, by name, that were started since a time of the engine and may write to a volume."""
    filters = {"type": "volume", "event": "mount", "volume": name}
    # Whole seconds, as docker-py's types have them, would take in who ended just before.
    api: Any = client.api
    events = api.events(since=f"{since:.9f}", until=f"{now(client):.9f}", filters=filters, decode=True)
    # The engine takes the name in its filter for the beginning of one.
    mounts = (event["Actor"]["Attributes"] for event in events if event["Actor"]["ID"] == name)
    keys = {mount.get("container", "") for mount in mounts if mount.get("read/write") != "false"}
    # Listed, not asked for one by one: while the engine copies out of a container, it does not answer for it.
    boxes = {item["Id"]: item for item in api.containers(all=True)} if keys else {}
    gone = {f"{key[:12]} (removed since)" for key in keys - boxes.keys()}
    return sorted(gone | {first_name(boxes[key]) for key in keys & boxes.keys()})


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
