"""What tests of engines share: where a private one can run, other processes, and containers that answer on a port."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from docker import DockerClient
from docker.models.containers import Container

from dockerlab.engine import package

ROOT = Path(__file__).parent.parent

needs_private_engine = pytest.mark.skipif(
    package.root_prefix() is None or not package.installed(), reason="no private engine can be started here"
)
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="this needs root")


def python(code: str, *arguments: object, before: tuple[str, ...] = ()) -> str:
    """Run code in a Python of its own and return what it printed; `before` is put before the command."""
    return finish(begin(code, *arguments, before=before))


def begin(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return out


def publish(client: DockerClient, words: str) -> int:
    """Start a container that says those words on a port of 127.0.0.1, and return that port."""
    command = ["sh", "-c", f"while true; do echo {words} | nc -l -p 80; done"]
    # A shell as process 1 ignores SIGTERM: killed at once, it does not keep us waiting.
    options = {"stop_signal": "SIGKILL", "detach": True}
    box: Container = client.containers.run("alpine", command, ports={"80/tcp": None}, **options)
    box.reload()
    return int(box.ports["80/tcp"][0]["HostPort"])


HEAR = """
import socket, sys, time
for attempt in range(600):
    try:
        with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2) as connection:
            heard = connection.recv(100)
    except OSError:
        heard = b""
    if heard:
        break
    time.sleep(0.05)
print(heard.decode(), end="")
"""


def hear(port: int, before: tuple[str, ...] = ()) -> str:
    """What is said on that port of 127.0.0.1, after some patience with a container that is only starting."""
    return python(HEAR, port, before=before)


def wait_until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


def command_of(process: object) -> str:
    """The command line of a process, its words ended by zeros; empty where it has just ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def relay_threads(earlier: Collection[threading.Thread]) -> list[str]:
    """Threads of relays, but for the earlier ones: a server that another test left to be collected may have some."""
    return [each.name for each in threading.enumerate() if each.name.startswith("relay to ") and each not in earlier]


def sleep_in_a_container(client: DockerClient) -> Container:
    box: Container = client.containers.run("alpine", "sleep 1000", stop_signal="SIGKILL", detach=True)
    box.reload()
    return box


def free_port() -> int:
    """A port on which nothing listens now, and that nobody is given by chance: it lies below the range for that."""
    for port in random.sample(range(20_000, 32_000), 1000):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def mounted(kind: str, options: str, where: Path) -> Iterator[Path]:
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, kind, str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)
