"""The engine's refusals, said as what failed, what was seen and what to do next."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import docker.errors
import requests

from .commands import Command, Run
from .errors import CommandError, DockerLabError, EngineError, InUseError, NotFoundError

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["explain", "near"]


def near(name: str, names: list[str]) -> str:
    """A sentence with the names most like the one that is not there."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Near names: {', '.join(close)}."
    return f"There are: {', '.join(sorted(names)[:8])}." if names else "There is none yet."


def explain(error: Exception, command: Command, client: DockerClient) -> DockerLabError:
    """The same refusal as one of ours; what the engine said stays in it, passwords do not."""
    line = command.redacted()
    if not isinstance(error, docker.errors.APIError):
        return EngineError(
            f"The engine did not answer to: {line}",
            f"Seen: {type(error).__name__}.",
            "Run `python3 -m dockerlab doctor`; after a restart of the engine run the cell again.",
        )
    said = str(error.explanation or error)
    try:
        return _known(said, line, command, client) or CommandError(
            f"The engine refused: {line}", f"It said: {said.strip()}", "Mend what it names and run it again."
        )
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return CommandError(f"The engine refused: {line}", f"It said: {said.strip()}")


def _known(said: str, line: str, command: Command, client: DockerClient) -> DockerLabError | None:
    if match := re.search(r"container name \"/?([^\"]+)\" is already in use", said):
        return InUseError(
            f"The name {match[1]} is taken by another container.",
            f"It is {client.containers.get(match[1]).status}.",
            f"Remove that one first (docker rm -f {match[1]}), or choose another name.",
        )
    if match := re.search(
        r"Bind for ([\d.]+:\d+) failed: port is already allocated|bind: address already in use", said
    ):
        port = match[1] or "the port"
        users = [
            str(container["Names"][0]).lstrip("/")
            for container in client.api.containers()
            if any(f"{item.get('IP')}:{item.get('PublicPort')}" == port for item in container["Ports"])
        ]
        return InUseError(
            f"Nothing was started: {port} is in use.",
            f"By: {', '.join(users) or 'a program outside this engine'}.",
            "Stop that one first, or publish another port of the host.",
        )
    if "volume is in use" in said:
        name = getattr(command, "name", "")
        using = client.api.containers(all=True, filters={"volume": name})
        listed = [
            f"{container['Names'][0].lstrip('/')} ({container['State']}, at {mount['Destination']})"
            for container in using
            for mount in container["Mounts"]
            if mount.get("Name") == name
        ]
        first = using[0]["Names"][0].lstrip("/") if using else "it"
        return InUseError(
            f"The volume {name} is in use and stays.",
            f"By: {', '.join(listed)}. A stopped container uses its volumes too.",
            f"Remove the container first: docker rm -f {first}",
        )
    if match := re.search(r"(?i)no such (container|volume):? *\"?([^\"\s]*)", said):
        kind, name = (match[1].lower(), match[2] or getattr(command, "name", "") or getattr(command, "container", ""))
        if kind == "container":
            names = [container["Names"][0].lstrip("/") for container in client.api.containers(all=True)]
        else:
            names = [volume["Name"] for volume in client.api.volumes()["Volumes"] or []]
        return NotFoundError(f"There is no {kind} {name}.", f"Seen on: {line}", near(name, names))
    if "get " in said and "no such volume" in said:
        return NotFoundError(f"There is no such volume: {line}", f"It said: {said}")
    if match := re.search(r"bind source path does not exist: (.*)", said):
        return NotFoundError(
            f"The host folder {match[1]} does not exist, and --mount does not make it.",
            f"Seen on: {line}",
            "Make the folder first; -v would have made an empty one, owned by root.",
        )
    if re.search(r"executable file not found|no such file or directory: unknown", said) and isinstance(command, Run):
        return CommandError(
            f"The image {command.image} has no such program: {' '.join(command.command or ())}",
            f"It said: {said.strip().splitlines()[0]}",
            "Name a program that the image has.",
        )
    if "is not running" in said:
        return CommandError(
            f"The container is not running: {line}",
            f"It said: {said.strip()}",
            "Start it first: docker start and its name.",
        )
    return None
