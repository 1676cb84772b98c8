"""An engine on the far side of a network: backup and restore go through its API alone, and a cut leaves nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from content import hard_to_keep, helpers, item, listing, put
from engines import needs_private_engine, wait_until

from dockerlab import Lab, back_up, rehearse, restore, verify
from dockerlab.engine import images
from dockerlab.engine.find import Engine, find
from dockerlab.errors import EngineError

pytestmark = needs_private_engine


class Network(socketserver.ThreadingTCPServer):
    """A port of 127.0.0.1 that leads to an engine's Unix socket, until it is cut."""

    daemon_threads, block_on_close = True, False

    def __init__(self, path: str) -> None:
        super().__init__(("127.0.0.1", 0), Wire)
        self.path, self.whole, self.ends = path, True, set[socket.socket]()

    def cut(self) -> None:
        self.whole = False
        for end in list(self.ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Wire(socketserver.BaseRequestHandler):
    server: Network

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as engine:
            if not self.server.whole:
                return
            engine.connect(self.server.path)
            ends = {engine, self.request}
            self.server.ends |= ends
            back = threading.Thread(target=carry, args=(engine, self.request))
            back.start()
            carry(self.request, engine)
            back.join()
            self.server.ends -= ends


def carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


@pytest.fixture
def network(engine: Engine) -> Iterator[Network]:
    with Network(engine.url.removeprefix("unix://")) as network:
        threading.Thread(target=network.serve_forever, daemon=True).start()
        yield network
        network.shutdown()
        network.cut()


@pytest.fixture
def far(engine: Engine, network: Network) -> Iterator[Lab]:
    """A lab on the engine as it is seen across the network; cleaned up from the near side."""
    images.ensure(engine, "alpine")
    name, found = f"test-{secrets.token_hex(4)}", find(f"tcp://127.0.0.1:{network.server_address[1]}")
    with contextlib.closing(found.client), Lab(name, engine=engine, owner="", echo=None):
        yield Lab(name, engine=found, owner="", echo=None)


def test_all_that_a_volume_holds_goes_across_a_network_and_comes_back(far: Lab, tmp_path: Path) -> None:
    put(far, "hard", hard_to_keep())
    put(far, "small", [item(f"{number}", content=b"%d" % number) for number in range(2000)])
    for volume in ("hard", "small"):
        backup = back_up(far, volume, tmp_path / f"{volume}.tar.gz", progress=False)
        restore(far, backup.path, f"{volume}-again", progress=False)
        assert listing(far, f"{volume}-again") == listing(far, volume)
        assert rehearse(far, backup.path, progress=False)


def test_a_network_that_is_cut_in_a_backup_leaves_the_older_one_and_nothing_on_the_engine(
    far: Lab, engine: Engine, network: Network, tmp_path: Path
) -> None:
    put(far, "noise", [item(str(number), content=os.urandom(10_000_000)) for number in range(6)])
    old = back_up(far, "noise", tmp_path / "noise.tar.gz", progress=False)

    def cut(number: int, total: int | None) -> None:
        if number > 5_000_000:
            network.cut()

    with pytest.raises(EngineError, match=r"The volume noise was not backed up\.\nThe engine went away") as lost:
        back_up(far, "noise", old.path, progress=cut)
    assert "Not all is put right yet (ConnectionError); that goes on by itself" in lost.value.next_step
    assert verify(old.path).digest == old.digest
    network.whole = True
    near = Lab(far.name, engine=engine, owner="", echo=None)
    wait_until(lambda: not helpers(near) and not list(tmp_path.glob(".dockerlab*")), 60)
