"""Where a Postgres keeps its data: the folder that an image wants a volume at, and what a container has there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .errors import PostgresError

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.images import Image

__all__ = ["data_mount", "data_source", "volume_target"]


def volume_target(image: Image) -> str:
    """The folder of an image to mount a volume at: what it declares as one and holds PGDATA, else PGDATA itself.

    Up to Postgres 17 it is PGDATA, from 18 on a folder above it. Raises `PostgresError` where there is no PGDATA.
    """
    config = image.attrs["Config"]
    folders = _folders(config)
    if not folders:
        raise PostgresError(
            f"The image {', '.join(image.tags) or image.short_id} is not one of a Postgres server.",
            "It sets no PGDATA.",
            "Name one that does, as postgres:16-alpine.",
        )
    return next((folder for folder in folders if folder in (config.get("Volumes") or {})), folders[0])


def data_source(container: Container) -> str:
    """The volume (or the host's folder) that holds a container's PGDATA; empty where it is the writable layer."""
    mount = data_mount(container.attrs)
    return str(mount.get("Name") or mount.get("Source") or "")


def data_mount(record: Mapping[str, Any]) -> dict[str, Any]:
    """The mount that holds the PGDATA of a container, as inspected: the nearest one; empty where there is none."""
    mounts: dict[str, dict[str, Any]] = {mount["Destination"]: mount for mount in record["Mounts"]}
    return next((mounts[folder] for folder in _folders(record["Config"]) if folder in mounts), {})


def _folders(config: Mapping[str, Any]) -> list[str]:
    """PGDATA and the folders above it, nearest first."""
    variables = dict(item.partition("=")[::2] for item in config.get("Env") or ())
    data = PurePosixPath(variables.get("PGDATA", "/"))
    return [str(folder) for folder in (data, *data.parents) if folder != PurePosixPath("/")]
