"""The way to a container's port: where it is published, or through the engine's API where it can't be reached."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker.errors
import requests.exceptions

from .errors import PostgresError

if TYPE_CHECKING:
    from docker import DockerClient

    from .lab import Lab

__all__ = ["Relay", "Route"]


class Route:
    """The way from here to a port of a lab's container; it holds across restarts, which change the published one.

    Published on this machine, that port is taken. Otherwise, and after `detour()`, a `Relay` is kept until `close()`.
    """

    def __init__(self, lab: Lab, container: str, port: int) -> None:
        self._lab, self._container, self._port = lab, container, port
        url = urlsplit(lab.engine.url)
        self._published_here = url.scheme in ("unix", "npipe") or url.hostname in ("127.0.0.1", "localhost", "::1")
        self._lock = threading.RLock()
        self.relay: Relay | None = None

    def address(self) -> tuple[str, int]:
        """Host and port to connect to now; `NotFoundError` or `PostgresError` where no container runs."""
        box = self._lab.container(self._container)
        if box.status != "running":
            raise PostgresError(
                f"The server {self._container} is not running.",
                f"Its container is {box.status}.",
                "Start it: start(), or run the cell with Postgres(…) again.",
            )
        published = (box.attrs["NetworkSettings"]["Ports"] or {}).get(f"{self._port}/tcp")
        if published and self._published_here and not self.relay:
            host = published[0]["HostIp"]
            return ("127.0.0.1" if host in ("", "0.0.0.0") else host), int(published[0]["HostPort"])
        return "127.0.0.1", self.detour().port

    def detour(self) -> Relay:
        """The relay, opened if it is not: for a published port that this machine does not reach."""
        with self._lock:
            if self.relay is None:
                name = str(self._lab.container(self._container).name)
                self.relay = Relay(self._lab.engine.client, name, self._port)
            return self.relay

    def close(self) -> None:
        """End what was opened here; the next `address()` begins anew."""
        with self._lock:
            if self.relay:
                self.relay.close()
            self.relay = None


class Relay:
    """A port on 127.0.0.1 of this machine; what connects to it is carried to `port` in the container.

    Each connection is one `docker exec -i <container> nc …`, so all it needs is the engine's API and an image with
    busybox's `nc`. `said` is what the last `nc` complained about. Open until `close()`, which ends all connections.
    """

    def __init__(self, client: DockerClient, container: str, port: int) -> None:
        self._client, self._container, self._target = client, container, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.said = ""
        self._closed = False
        # Whoever holds this relay may be collected, and so close it, in the middle of any of these threads.
        self._lock = threading.RLock()
        self._ends: set[Any] = set()
        self._threads: set[threading.Thread] = set()
        self._spawn(self._accept)

    def close(self) -> None:
        """Stop listening, end the connections under way, and return when their threads have ended."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            ends, threads = list(self._ends), list(self._threads)
        # A thread in accept() does not notice that its socket was closed; a connection wakes it.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        for end in ends:
            _end(end, socket.SHUT_RDWR)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout=10)

    def _spawn(self, work: Any, *arguments: Any) -> None:
        def run() -> None:
            # Either side may go at any moment; the other one is then closed, and that is all there is to do.
            with contextlib.suppress(OSError, docker.errors.DockerException, requests.exceptions.RequestException):
                work(*arguments)

        thread = threading.Thread(target=run, name=f"relay to {self._container}", daemon=True)
        with self._lock:
            thread.start()
            self._threads = {thread, *(other for other in self._threads if other.is_alive())}

    @contextlib.contextmanager
    def _held(self, end: Any) -> Any:
        with self._lock:
            self._ends.add(end)
        try:
            if self._closed:
                raise OSError("the relay is closed")
            yield end
        finally:
            with self._lock:
                self._ends.discard(end)
            # First shut down: the other thread of the connection may be waiting to write to it.
            _end(end, socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with self._listener:
            while True:
                near, _ = self._listener.accept()
                if self._closed:
                    near.close()
                    return
                self._spawn(self._carry, near)

    def _carry(self, near: socket.socket) -> None:
        with self._held(near):
            exec_id, stream = self._dial()
            # docker-py hands out a read-only wrapper of a plain socket, and for TLS and ssh the socket itself.
            far = getattr(stream, "_sock", stream)
            far.settimeout(None)
            # The answer that it came with is closed first, or where there is no way on: collected later, it would
            # complain of a closed file.
            answer = getattr(stream, "_response", stream)
            with contextlib.closing(answer), self._held(far), contextlib.closing(answer):
                self._spawn(_send, near, far)
                complaint = self._receive(far, near)
            if code := self._client.api.exec_inspect(exec_id)["ExitCode"]:
                self.said = complaint or f"nc in the container ended with exit status {code}"

    def _dial(self) -> tuple[str, Any]:
        record = self._client.api.inspect_container(self._container)
        # Not through the container's 127.0.0.1: Postgres's image trusts who comes from there without a password.
        networks = (record["NetworkSettings"].get("Networks") or {}).values()
        address = next((network["IPAddress"] for network in networks if network.get("IPAddress")), "127.0.0.1")
        made = self._client.api.exec_create(record["Id"], ["nc", address, str(self._target)], stdin=True)
        return made["Id"], self._client.api.exec_start(made["Id"], socket=True)

    def _receive(self, far: Any, near: socket.socket) -> str:
        """Pass on what `nc` writes until it ends, and return its complaint."""
        # Without a terminal the engine sends frames: kind (1 is standard output), length, and that many bytes.
        frames, complaint = far.makefile("rb"), b""
        while len(header := frames.read(8)) == 8:
            kind, size = struct.unpack(">BxxxL", header)
            if kind == 1:
                near.sendall(frames.read(size))
            else:
                complaint += frames.read(size)
        return complaint.decode(errors="replace").strip()


def _send(near: socket.socket, far: Any) -> None:
    try:
        while data := near.recv(65536):
            far.sendall(data)
    finally:
        # `nc` hears of the end, passes it on, and what is still under way arrives. TLS can't be closed by half.
        _end(far, socket.SHUT_RDWR if isinstance(far, ssl.SSLSocket) else socket.SHUT_WR)


def _end(end: Any, how: int) -> None:
    try:
        end.shutdown(how)
    except OSError:
        with contextlib.suppress(OSError):
            end.close()
