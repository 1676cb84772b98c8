"""The engine's refusals, said as what failed, what was seen and what to do next."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import docker.errors
import requests.exceptions
import urllib3.exceptions

from .belongings import Belongings, shown
from .commands import Command, Run
from .errors import CommandError, DockerLabError, EngineError, ForeignError, InUseError, NotFoundError
from .listings import first_name, state_now
from .words import redact, redact_message

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["REFUSALS", "explain", "explained", "near"]

# What docker-py raises when the engine says no, or nothing; streams raise urllib3's own and the socket's.
REFUSALS = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)


def near(name: str, names: list[str]) -> str:
    """A sentence with the names most like the one that is not there."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Near names: {', '.join(close)}."
    return f"There are: {', '.join(sorted(names)[:8])}." if names else "There is none yet."


def explain(error: Exception, command: Command, client: DockerClient, belongings: Belongings) -> DockerLabError:
    """The same refusal as one of ours; what the engine said stays in it, passwords do not."""
    line = command.redacted()
    if not isinstance(error, docker.errors.APIError):
        return EngineError(
            f"The engine did not answer to: {line}",
            f"Seen: {type(error).__name__}.",
            "Run `python3 -m dockerlab doctor`; after a restart of the engine run the cell again.",
        )
    said = redact_message(str(error.explanation or error).strip(), command.words())
    try:
        known = _known(said, command, client, belongings)
    except ForeignError as foreign:
        return foreign
    except REFUSALS:
        known = None
    return known or CommandError(
        f"The engine refused: {line}", f"It said: {said}", "Mend what it names and run it again."
    )


@contextlib.contextmanager
def explained(command: Command, client: DockerClient, belongings: Belongings) -> Iterator[None]:
    """Within it, a refusal of that command comes as one of ours."""
    try:
        yield
    except REFUSALS as error:
        # What the engine said is in it, without passwords; docker-py's own message may hold them.
        raise explain(error, command, client, belongings) from None


def _known(said: str, command: Command, client: DockerClient, belongings: Belongings) -> DockerLabError | None:
    line = command.redacted()
    if match := re.search(r"container name \"/?([^\"]+)\" is already in use", said):
        return _name_taken(client.containers.get(match[1]), belongings)
    if "port is already allocated" in said or "address already in use" in said:
        port = re.search(r"(?:Bind for|listen \w+) ([\d.]+:\d+)", said)
        return _port_taken(port[1] if port else "the port", client)
    if "volume is in use" in said:
        return _volume_used(str(getattr(command, "name", "")), client, belongings)
    if match := re.search(r"(?i)no such (container|volume)(?::? \"?([^\"\s]+))?", said):
        kind = match[1].lower()
        return _missing(kind, match[2] or str(getattr(command, "name", "")), client, belongings)
    if match := re.search(r"bind source path does not exist: (.*)", said):
        return NotFoundError(
            f"The host folder {match[1]} does not exist, and --mount does not make it.",
            f"Seen on: {line}",
            "Make the folder first; -v would have made an empty one, owned by root.",
        )
    if isinstance(command, Run) and re.search(r"executable file not found|exec.*: no such file or directory", said):
        return CommandError(
            f"The image {command.image} has no such program: {redact(tuple(command.command or ()))}",
            f"It said: {said.splitlines()[0]}",
            "Name a program that the image has.",
        )
    if "is not running" in said:
        name = str(getattr(command, "container", "NAME"))
        return CommandError(
            f"The container is not running: {line}", f"It said: {said}", f"Start it first: docker start {name}"
        )
    return None


def _name_taken(container: Any, belongings: Belongings) -> DockerLabError:
    belongings.refuse_foreign("container", container.name, container.labels)
    return InUseError(
        f"The name {container.name} is taken by another container.",
        f"It is {container.status}.",
        f"Remove that one first (docker rm -f {container.name}), or choose another name.",
    )


def _port_taken(port: str, client: DockerClient) -> DockerLabError:
    users = [
        first_name(item)
        for item in client.api.containers()
        if any(f"{public.get('IP')}:{public.get('PublicPort')}" == port for public in item["Ports"])
    ]
    return InUseError(
        f"Nothing was started: {port} is in use.",
        f"By: {', '.join(users) or 'a program outside this engine'}.",
        "Stop that one if it is yours, or publish another port of the host.",
    )


def _volume_used(volume: str, client: DockerClient, belongings: Belongings) -> DockerLabError:
    using = client.api.containers(all=True, filters={"volume": volume})
    listed = [
        f"{first_name(item)} ({state_now(client, item)}, at {mount['Destination']})"
        for item in using
        for mount in item["Mounts"]
        if mount.get("Name") == volume
    ]
    foreign = [first_name(item) for item in using if not belongings.may_touch(item["Labels"])]
    if foreign:
        next_step = f"{foreign[0]} is not this lab's: whoever made it removes it first."
    else:
        next_step = f"Remove the container first: docker rm -f {' '.join(map(first_name, using))}"
    return InUseError(
        f"The volume {volume} is in use and stays.",
        f"By: {', '.join(listed)}. A stopped container uses its volumes too.",
        next_step,
    )


def _missing(kind: str, name: str, client: DockerClient, belongings: Belongings) -> DockerLabError:
    if kind == "container":
        names = _touchable(belongings, ((first_name(item), item["Labels"]) for item in client.api.containers(all=True)))
    else:
        volumes = client.api.volumes()["Volumes"] or []
        names = _touchable(belongings, ((item["Name"], item["Labels"]) for item in volumes))
    return NotFoundError(
        f"There is no {kind} {shown(belongings.short(name))}.", near(name, names), f"Look with lab.{kind}s()."
    )


def _touchable(belongings: Belongings, found: Iterable[tuple[str, Mapping[str, str] | None]]) -> list[str]:
    return [belongings.short(name) for name, labels in found if belongings.may_touch(labels, name)]
