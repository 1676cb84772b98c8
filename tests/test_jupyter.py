"""JupyterLab as the course starts it: in any folder, ended with its kernels, and a word where it does not start."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from engines import wait_until

from dockerlab.errors import InUseError
from dockerlab.jupyter import Server
from dockerlab.steps import SetUpError


def ask(server: Server, path: str, post: dict[str, str] | None = None) -> Any:
    data = None if post is None else json.dumps(post).encode()
    headers = {"Authorization": f"token {server.token}"}
    request = urllib.request.Request(f"{server.address}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_it_runs_kernels_with_what_was_given_where_no_socket_fits_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / ("long folder " * 8) / ("ü" * 40)
    folder.mkdir(parents=True)
    with Server(folder, folder / "state").start({"GREETING": "hello"}) as server:
        assert server.token != Server(folder, folder).token
        assert server.url("a.ipynb") == f"{server.address}lab/tree/a.ipynb?token={server.token}"
        assert server._process
        assert server.token.encode() not in Path(f"/proc/{server._process.pid}/cmdline").read_bytes()
        runtime = server._runtime
        assert runtime.stat().st_mode & 0o077 == 0

        kernel = ask(server, "api/kernels", {"name": "python3"})["id"]
        deadline = time.monotonic() + 60
        while ask(server, f"api/kernels/{kernel}")["execution_state"] == "dead" and time.monotonic() < deadline:
            time.sleep(0.1)
        (process,) = kernels_of(server)
        assert b"GREETING=hello" in Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    server.stop()  # again does nothing
    wait_until(lambda: not Path(f"/proc/{process}").exists())  # it may see a second later that its server was killed
    assert not runtime.exists()


def kernels_of(server: Server) -> list[int]:
    """The kernels' processes, as soon as there is one."""
    assert server._process
    path = Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children")
    deadline = time.monotonic() + 60
    while not path.read_text().split() and time.monotonic() < deadline:
        time.sleep(0.05)
    return [int(pid) for pid in path.read_text().split()]


def test_one_that_hangs_is_ended_with_its_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockerlab.jupyter.STOP_SECONDS", 0.5)
    with Server(tmp_path, tmp_path / "state").start() as server:
        assert server._process
        os.kill(server._process.pid, 19)  # SIGSTOP
        pid = server._process.pid
    assert not Path(f"/proc/{pid}").exists()


def test_it_ends_with_its_kernels_when_who_started_it_is_killed(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from dockerlab.jupyter import Server
server = Server(Path({str(tmp_path)!r}), Path({str(tmp_path)!r}) / "state").start()
print(server._process.pid, server._runtime, server.address, server.token, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pid, runtime, address, token = starter.stdout.readline().split()
        headers = {"Authorization": f"token {token}"}
        request = urllib.request.Request(f"{address}api/kernels", data=b'{"name": "python3"}', headers=headers)
        urllib.request.urlopen(request, timeout=30).close()
        kernels = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        starter.kill()
    deadline = time.monotonic() + 60
    while any(Path("/proc", each).exists() for each in (pid, *kernels)) and time.monotonic() < deadline:
        time.sleep(0.1)
    shutil.rmtree(runtime)
    assert len(kernels) == 1
    assert not [each for each in (pid, *kernels) if Path("/proc", each).exists()]


def test_one_that_does_not_start_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SetUpError) as error, Server(tmp_path / "none", tmp_path / "state") as server:
        server.start()
    what, seen, next_step = str(error.value).splitlines()
    assert what == "JupyterLab does not answer."
    assert "status 1" in seen
    assert "none" in seen
    assert str(tmp_path / "state" / "jupyter.log") in next_step


def test_a_port_that_somebody_has_is_not_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InUseError, match=f"port {port}"):
            Server(tmp_path, tmp_path / "state", port=port).start()
