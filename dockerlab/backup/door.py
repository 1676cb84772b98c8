"""A volume's content in and out, by the engine's API alone: by a container that is not started, or a script in one."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import docker.errors
import docker.types
import requests
from docker import DockerClient
from docker.utils.socket import frames_iter

from ..belongings import HELPER_LABEL as LABEL
from ..engine.find import Engine
from ..errors import BackupError
from ..listings import RUNNING, state_now
from . import tar
from .stream import streaming

__all__ = ["IMAGE", "LABEL", "Door", "Record", "converse", "is_writer", "rooted", "run_once", "users"]

Record = dict[str, Any]

# Nothing of it runs to read a volume; to write one of small files, its `tar` does.
IMAGE = "alpine"
FOLDER = "dockerlab-volume"
READ = 256 << 10
WAIT_SECONDS = 3600
# Each owner of something below "$1", once.
OWNERS = 'find "$1" -exec stat -c "%u:%g" {} + | sort -u'


def users(client: DockerClient, name: str) -> list[Record]:
    """The containers (records of `docker ps`) that use a volume: those that run, and one that restores it."""
    found = []
    for item in client.api.containers(all=True, filters={"volume": name}):
        mounts = [mount for mount in item["Mounts"] if mount.get("Name") == name]  # the filter takes paths, too
        if LABEL in item["Labels"]:
            # It is not asked for: while the engine reads or fills its volume, it does not answer for it.
            found += [item] * any(is_writer(mount, name) for mount in mounts)
        elif mounts and item["State"] in RUNNING:
            item["State"] = state_now(client, item)
            found += [item] * (item["State"] in RUNNING)
    return found


def is_writer(mount: Record, name: str) -> bool:
    """Whether by that mount its container may write to a volume."""
    return mount.get("Name") == name and bool(mount["RW"])


class Door:
    """A container with one volume in it, never started; whoever makes it removes it (by its label).

    The engine's streams carry what Linux keeps of a file, but for the extended attributes other than
    `security.capability`, ACLs among them, for holes, which arrive as zeros, and for sockets, which are left out.
    Unlike a bind mount of a folder of ours, they reach an engine on another machine.
    """

    def __init__(self, engine: Engine, volume: str, labels: Mapping[str, str], *, read_only: bool = False) -> None:
        api = engine.client.api
        self.volume, self.id = volume, _create(engine.client, volume, labels, ["true"], read_only=read_only)
        self._made, self._podman = (engine, volume, labels), engine.kind == "podman"
        # docker-py's own get_archive and put_archive leave a stream open that is not read to its end, and wait a minute
        # at most for the engine to write to its disk what it got.
        self._url, self._session = f"{api.base_url}/v{api.api_version}/containers/{self.id}/archive", api

    @contextlib.contextmanager
    def read(self) -> Iterator[Iterator[tar.Piece]]:
        """What is in the volume, its root first; docker-py's errors and `TarError` come through.

        `BackupError` where Podman gives files that are others' to root, as seen of 4.3.
        """
        # Docker has the root in the content of a folder, Podman only in the folder, as an empty name before /.
        where = {"path": f"/{FOLDER}" if self._podman else f"/{FOLDER}/."}
        plain = {"Accept-Encoding": "identity"}
        session = streaming(self._session)
        with session.get(self._url, params=where, headers=plain, stream=True, timeout=WAIT_SECONDS) as response:
            _check(response)
            # As it comes: who waits for a whole mebibyte has the engine wait next, its socket holds a fifth of that.
            pieces = tar.read(iter(partial(response.raw.read1, READ), b""))
            if self._podman:
                pieces = self._from_podman(pieces)
            try:
                yield rooted(pieces)
            except tar.TarError:
                self._session.ping()  # that the engine went away is the better reason
                raise

    def _from_podman(self, pieces: Iterable[tar.Piece]) -> Iterator[tar.Piece]:
        rootly = True
        for piece in pieces:
            if isinstance(piece, tar.Entry):
                piece.name = piece.name.lstrip(b"/") or tar.ROOT
                piece.link = piece.link.lstrip(b"/") if piece.kind == tar.HARD_LINK else piece.link
                rootly = rootly and piece.uid == piece.gid == 0
            yield piece
        if rootly and (owners := run_once(*self._made, OWNERS).split()) != ["0:0"]:
            raise BackupError(
                f"Podman does not say whose the files in the volume {self.volume} are.",
                f"Its stream gives all to root; there they are those of {', '.join(owners)}.",
                "Use `podman volume export` and `podman volume import`, or an engine of Docker's.",
            )

    def root(self) -> tuple[tar.Entry, bool]:
        """The volume's root, and whether there is anything in it."""
        with self.read() as pieces:
            entries = (piece for piece in pieces if isinstance(piece, tar.Entry))
            return next(entries), next(entries, None) is not None

    def write(self, pieces: Iterable[tar.Piece]) -> None:
        """Unpack these entries into the volume."""
        # Docker refuses links that lead out of the folder that it unpacks to. Seen from the container's root, no link
        # does, and a volume may well hold such. Podman has the volume at its own path only, and refuses no links.
        where = {"path": f"/{FOLDER}" if self._podman else "/"}
        data = tar.write(pieces, tar.ROOT if self._podman else FOLDER.encode())
        _check(self._session.put(self._url, params=where, data=data, timeout=WAIT_SECONDS))


def rooted(pieces: Iterator[tar.Piece]) -> Iterator[tar.Piece]:
    """The same; `TarError` where the first is not the root: then it is not all of a volume."""
    root = next(pieces, None)
    if not (isinstance(root, tar.Entry) and root.name == tar.ROOT):
        raise tar.TarError("it does not begin with the root of the volume", 0)
    yield root
    yield from pieces


def run_once(
    engine: Engine,
    volume: str,
    labels: Mapping[str, str],
    script: str,
    *,
    image: str = IMAGE,
    user: str | None = None,
    feed: Iterable[bytes] | None = None,
) -> str:
    """Run a shell script with the volume (if any) at `$1`, and return what it prints; `BackupError` where it fails.

    `feed` is what its standard input gets.
    """
    api = engine.client.api
    words = [script, "sh", f"/{FOLDER}" if volume else "/"]
    more: dict[str, Any] = {"image": image, "user": user, "stdin_open": feed is not None}
    key = _create(engine.client, volume, labels, words, entrypoint=["sh", "-euc"], **more)
    try:
        # Not by the log, which an engine whose disk is full does not keep.
        stream = api.attach_socket(key, {"stdin": int(feed is not None), "stdout": 1, "stderr": 1, "stream": 1})
        said = converse(stream, feed, lambda: api.start(key)).decode(errors="replace").strip()
        status = api.wait(key, timeout=WAIT_SECONDS)["StatusCode"]
    finally:
        api.remove_container(key, v=True, force=True)
    if status:
        raise BackupError(
            f"A step in the volume {volume} failed." if volume else "A step in a container failed.",
            f"Exit status {status}. It said: {said}",
            "Mend what it names, and try again.",
        )
    return said


def converse(stream: Any, chunks: Iterable[bytes] | None, start: Callable[[], object] | None = None) -> bytes:
    """Send that to a program's standard input, by a stream of docker-py's, and return all that it says until its end.

    `start` starts it, if it does not run yet. Where it ends before it has read all, the rest is not sent: its status
    and its words say why. What it says after the last chunk is lost over TLS, which can't be closed by half.
    """
    # docker-py hands out a read-only wrapper of a plain socket, and for TLS and ssh the socket itself.
    far: Any = getattr(stream, "_sock", stream)
    closing = contextlib.closing
    with closing(getattr(stream, "_response", stream)), closing(far), ThreadPoolExecutor(1) as pool:
        far.settimeout(None)
        if start:
            start()
        listening = pool.submit(_listen, stream, far)
        try:
            for chunk in chunks or ():
                try:
                    far.sendall(chunk)
                except OSError:
                    break
            if chunks is not None:
                _shut(far, socket.SHUT_RDWR if isinstance(far, ssl.SSLSocket) else socket.SHUT_WR)
            return listening.result()
        finally:
            _shut(far)


def _listen(stream: Any, far: Any) -> bytes:
    try:
        return b"".join(data for _, data in frames_iter(stream, tty=False))  # type: ignore[no-untyped-call]
    finally:
        _shut(far)  # the engine leaves it open, and what is sent to it waits for ever


def _shut(far: Any, how: int = socket.SHUT_RDWR) -> None:
    with contextlib.suppress(OSError):
        far.shutdown(how)


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
    stdin_open: bool = False,
) -> str:
    mount = docker.types.Mount(f"/{FOLDER}", volume, type="volume", read_only=read_only, no_copy=True)
    host = client.api.create_host_config(mounts=[mount] if volume else [], network_mode="none")
    made: dict[str, Any] = client.api.create_container(
        image, words, entrypoint=entrypoint, user=user, labels=dict(labels), host_config=host, stdin_open=stdin_open
    )
    return str(made["Id"])
