"""The engine's records of containers and volumes as DataFrames."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import docker.errors
import pandas as pd

from .belongings import Belongings, is_anonymous

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["RUNNING", "containers", "disk_usage", "first_name", "state_now", "users", "volumes"]

Record = Mapping[str, Any]

RUNNING = ("running", "paused", "restarting")
# Before Engine 23 one `docker system df` at a time is answered, and others are refused.
BUSY, BUSY_SECONDS = "already running", 60.0


def first_name(record: Record) -> str:
    """A container's name in a record of `docker ps`, where links add longer ones; empty while it is removed."""
    return str(min(record["Names"] or ["/"], key=len)).lstrip("/")


def state_now(client: DockerClient, record: Record) -> str:
    """The state of a listed container; that in the list may be a moment behind, right after a stop."""
    try:
        return str(client.api.inspect_container(record["Id"])["State"]["Status"])
    except docker.errors.NotFound:
        return "removed"


def disk_usage(client: DockerClient) -> Mapping[str, Any]:
    """What `docker system df` says, after waiting for another one to end."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            usage: Mapping[str, Any] = client.api.df()
            return usage
        except docker.errors.APIError as error:
            if BUSY not in str(error.explanation) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def containers(records: Iterable[Record], belongings: Belongings) -> pd.DataFrame:
    """`docker ps` as a DataFrame: `name`, `image`, `state`, `mounts`, `ports`, `id` (12 digits)."""
    rows = []
    for item in records:
        mounts = (
            f"{belongings.short(mount.get('Name', '')) or mount['Source']}:{mount['Destination']}"
            for mount in item["Mounts"]
        )
        ports = (
            f"{port['IP']}:{port['PublicPort']}->{port['PrivatePort']}"
            for port in item["Ports"]
            if "PublicPort" in port
        )
        name = _shown(first_name(item), item, belongings)
        rows.append((name, item["Image"], item["State"], ", ".join(mounts), ", ".join(ports), item["Id"][:12]))
    return pd.DataFrame(rows, columns=["name", "image", "state", "mounts", "ports", "id"])


def volumes(records: Iterable[Record], used_by: Mapping[str, list[str]], belongings: Belongings) -> pd.DataFrame:
    """`docker volume ls` as a DataFrame: `name`, `driver`, `anonymous`, `used_by`, `mountpoint`."""
    rows = [
        (
            _shown(item["Name"], item, belongings),
            item["Driver"],
            is_anonymous(item["Name"]),
            ", ".join(used_by.get(item["Name"], ())),
            item["Mountpoint"],
        )
        for item in records
    ]
    return pd.DataFrame(rows, columns=["name", "driver", "anonymous", "used_by", "mountpoint"])


def users(records: Iterable[Record], belongings: Belongings) -> dict[str, list[str]]:
    """By volume, the containers of these records that use it."""
    by_volume: dict[str, list[str]] = {}
    for item in records:
        for mount in item["Mounts"]:
            if mount["Type"] == "volume":
                by_volume.setdefault(mount["Name"], []).append(_shown(first_name(item), item, belongings))
    return by_volume


def _shown(name: str, record: Record, belongings: Belongings) -> str:
    # Only what is this lab's is called by its short name: a foreign one may happen to begin with the owner's prefix.
    return belongings.short(name) if belongings.may_touch(record["Labels"], name) else name
