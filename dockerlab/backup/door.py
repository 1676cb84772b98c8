"""A volume's content in and out, by the engine's API alone: through a container that is made and never started."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import docker.errors
import docker.types
import requests
from docker import DockerClient

from ..errors import BackupError
from . import tar

__all__ = ["IMAGE", "LABEL", "Door", "run_once"]

# Its content does not matter: nothing of it runs to read or write a volume.
IMAGE = "alpine"
# Marks what is there for a backup or restore only; its value is that of the `Underway`.
LABEL = "dockerlab.helper"
FOLDER = "dockerlab-volume"
WAIT_SECONDS = 3600


class Door:
    """A container with one volume in it, never started; whoever makes it removes it (by its label).

    The engine's streams carry what Linux keeps of a file, but for the extended attributes other than
    `security.capability`, ACLs among them, for holes, which arrive as zeros, and for sockets, which are left out.
    Unlike a bind mount of a folder of ours, they reach an engine on another machine.
    """

    def __init__(
        self, client: DockerClient, volume: str, labels: Mapping[str, str], *, read_only: bool = False
    ) -> None:
        self.id = _create(client, volume, labels, ["true"], read_only=read_only)
        # docker-py's own get_archive and put_archive leave a stream open that is not read to its end, and wait a minute
        # at most for the engine to write to its disk what it got.
        self._url = f"{client.api.base_url}/v{client.api.api_version}/containers/{self.id}/archive"
        self._session = client.api

    def read(self) -> Generator[tar.Piece]:
        """What is in the volume, entry by entry; docker-py's errors and `TarError` come through."""
        where, plain = {"path": f"/{FOLDER}/."}, {"Accept-Encoding": "identity"}
        with self._session.get(self._url, params=where, headers=plain, stream=True, timeout=WAIT_SECONDS) as response:
            _check(response)
            yield from tar.read(response.iter_content(tar.CHUNK))

    def is_empty(self) -> bool:
        """Whether there is nothing in it but its root."""
        with contextlib.closing(self.read()) as pieces:
            entries = (piece for piece in pieces if isinstance(piece, tar.Entry))
            return all(entry.name == tar.ROOT for _, entry in zip(range(2), entries, strict=False))

    def write(self, pieces: Iterable[tar.Piece]) -> None:
        """Unpack these entries into the volume."""
        # The engine refuses links that lead out of the folder that it unpacks to. Seen from the container's root, no
        # link does, and a volume may well hold such.
        data = tar.write(pieces, FOLDER.encode())
        _check(self._session.put(self._url, params={"path": "/"}, data=data, timeout=WAIT_SECONDS))


def run_once(
    client: DockerClient,
    volume: str,
    labels: Mapping[str, str],
    script: str,
    *,
    image: str = IMAGE,
    user: str | None = None,
) -> str:
    """Run a shell script with the volume (if any) at `$1`, and return what it prints; `BackupError` where it fails."""
    words = [script, "sh", f"/{FOLDER}" if volume else "/"]
    key = _create(client, volume, labels, words, entrypoint=["sh", "-euc"], image=image, user=user)
    try:
        client.api.start(key)
        status = client.api.wait(key, timeout=WAIT_SECONDS)["StatusCode"]
        said = client.api.logs(key).decode(errors="replace").strip()
    finally:
        client.api.remove_container(key, v=True, force=True)
    if status:
        raise BackupError(
            f"A step in the volume {volume} failed." if volume else "A step in a container failed.",
            f"Exit status {status}. It said: {said}",
        )
    return said


def _check(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        raise docker.errors.create_api_error_from_http_exception(error) from None


def _create(
    client: DockerClient,
    volume: str,
    labels: Mapping[str, str],
    words: list[str],
    *,
    entrypoint: list[str] | None = None,
    image: str = IMAGE,
    user: str | None = None,
    read_only: bool = False,
) -> str:
    mount = docker.types.Mount(f"/{FOLDER}", volume, type="volume", read_only=read_only, no_copy=True)
    host = client.api.create_host_config(mounts=[mount] if volume else [], network_mode="none")
    made: dict[str, Any] = client.api.create_container(
        image, words, entrypoint=entrypoint, user=user, labels=dict(labels), host_config=host
    )
    return str(made["Id"])
