"""The command line as a newcomer meets it: in a fresh copy, by the Python that the machine has."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

import nbformat
import pexpect
import pytest
from engines import command_of, needs_private_engine
from nbformat.v4 import new_code_cell, new_notebook

from dockerlab.engine import private
from dockerlab.engine.find import Engine, find

PYTHON = str(Path(sys._base_executable).resolve())


def dockerlab(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "dockerlab", *words]
    told = {**os.environ, **environment}
    return subprocess.run(
        command, cwd=clone, env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True)
def set_up(request: pytest.FixtureRequest) -> None:
    """Whichever test is the first in its process, what it asks of the copy is not mixed with an installation."""
    if "clone" in request.fixturenames and "up_opens" not in request.node.name:
        clone = request.getfixturevalue("clone")
        if not (clone / ".venv").exists():
            dockerlab(clone, "down", DOCKERLAB_HOME=str(clone / "no-engine-here"))


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@contextmanager
def up(clone: Path, home: Path, *options: str) -> Iterator[tuple[pexpect.spawn, str, str]]:
    """`up` in a terminal: the terminal, JupyterLab's address and its token."""
    caches = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))}
    told = {**os.environ, **caches, "HOME": str(home)}
    words = ["-m", "dockerlab", "up", "--no-browser", *options]
    terminal = pexpect.spawn(
        PYTHON, words, cwd=str(clone), env=told, encoding="utf-8", timeout=300, dimensions=(50, 300)
    )
    try:
        terminal.expect(r"is ready: (http://127\.0\.0\.1:\d+/)lab\S*\?token=(\w+)\s")
        yield terminal, terminal.match[1], terminal.match[2]
    finally:
        if terminal.isalive():
            terminal.kill(signal.SIGTERM)  # and time to end JupyterLab; closing the terminal gives little
            terminal.expect(pexpect.EOF)
        terminal.close()


def ask(address: str, token: str = "", *, post: dict[str, str] | None = None) -> Any:
    data = None if post is None else json.dumps(post).encode()
    request = urllib.request.Request(address, data=data, headers={"Authorization": f"token {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def children(pid: int) -> list[int]:
    """All processes below one."""
    direct = list[int]()
    for listed in glob(f"/proc/{pid}/task/*/children"):  # unlike a Path's, no error where the process has just ended
        with contextlib.suppress(OSError):  # a thread that has just ended
            direct.extend(map(int, Path(listed).read_text().split()))
    return direct + [below for child in direct for below in children(child)]


def environment_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(entry.partition("=")[::2] for entry in text.split("\0") if entry)


def test_up_opens_jupyterlab_for_this_machine_alone_and_ctrl_c_ends_it_with_its_kernels(
    engine: Engine, clone: Path, own_home: Path
) -> None:
    with up(clone, own_home) as (terminal, address, token):
        assert ask(f"{address}api/status", token)["kernels"] == 0
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(f"{address}api/status")
        port = int(address.rstrip("/").rpartition(":")[2])
        assert listening(port) == {"127.0.0.1"}
        names = {entry["name"] for entry in ask(f"{address}api/contents", token)["content"]}
        assert "03_persistence_proof.ipynb" in names

        ask(f"{address}api/kernels", token, post={"name": "python3"})
        processes = children(terminal.pid)
        kernels = [pid for pid in processes if "ipykernel" in command_of(pid)]
        assert len(kernels) == 1
        told = environment_of(kernels[0])
        assert told["DOCKER_HOST"] == engine.url
        assert told.get("DOCKERLAB_ENGINE", engine.url) in ("private", engine.url)
        assert command_of(kernels[0]).startswith(f"{clone}/.venv/bin/python")

        terminal.sendcontrol("c")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0
        assert "[y" not in terminal.before
        assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]


def listening(port: int) -> set[str]:
    """The addresses on which somebody listens on a TCP port, of both families."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, number = local.split(":")
            if int(number, 16) == port and state == "0A":
                words = bytes.fromhex(address)
                packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                found.add(socket.inet_ntop(family, packed))
    return found


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP])
def test_the_second_up_installs_nothing_and_whoever_ends_it_ends_jupyterlab(
    engine: Engine, clone: Path, own_home: Path, by: signal.Signals
) -> None:
    with up(clone, own_home) as (terminal, address, token):
        assert "Python packages" not in terminal.before
        ask(f"{address}api/kernels", token, post={"name": "python3"})
        processes = children(terminal.pid)
        terminal.kill(by)
        terminal.expect(pexpect.EOF)
        assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    # The user's own Jupyter and IPython are left alone.
    left = {path.relative_to(own_home).as_posix() for path in own_home.rglob("*")}
    assert not {path for path in left if "jupyter" in path or "ipython" in path}


def test_a_free_port_that_is_asked_for_is_taken_and_news_and_updates_are_the_learners_to_have(
    engine: Engine, clone: Path, own_home: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with up(clone, own_home, "--port", str(port)) as (_, address, token):
        assert address == f"http://127.0.0.1:{port}/"
        plugin = "@jupyterlab/apputils-extension:notification"
        answer = ask(f"{address}lab/api/settings/{plugin}", token)
        assert json.loads(answer["raw"] or "{}") == {}
        defaults = {name: answer["schema"]["properties"][name]["default"] for name in ("fetchNews", "checkForUpdates")}
        assert defaults == {"fetchNews": "false", "checkForUpdates": False}


def test_a_port_that_is_taken_is_named(engine: Engine, clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = dockerlab(clone, "up", "--no-browser", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr.splitlines()[2]


def test_without_an_engine_up_fails_in_three_lines_and_leaves_no_jupyterlab(clone: Path, tmp_path: Path) -> None:
    done = dockerlab(clone, "up", "--no-browser", DOCKERLAB_ENGINE=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 3
    assert done.stderr.startswith("No engine answers.")


@pytest.fixture
def lessons(clone: Path) -> Iterator[Path]:
    """The clone's notebooks folder, for lessons of a test's own."""
    folder = clone / "notebooks"
    folder.rename(clone / "notebooks-away")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
    (clone / "notebooks-away").rename(folder)


def write(folder: Path, name: str, code: str) -> None:
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), folder / f"{name}.ipynb")


def test_run_prints_a_line_for_each_lesson_and_a_failure_is_exit_status_1(
    engine: Engine, clone: Path, lessons: Path
) -> None:
    hello = "from dockerlab import Lab\nwith Lab('run-test', echo=None) as lab:\n    print(lab.engine.url)"
    write(lessons, "01_good", f"{hello}\n    assert lab.engine.url == {engine.url!r}")
    write(lessons, "02_bad", "1 / 0")
    done = dockerlab(clone, "run")
    assert done.returncode == 1
    assert re.search(r"^01_good +1 cells +\d+\.\d s  passed$", done.stdout, re.MULTILINE)
    assert re.search(
        r"^02_bad +1 cells +\d+\.\d s  failed at code cell 1\n    ZeroDivisionError", done.stdout, re.MULTILINE
    )
    good = dockerlab(clone, "run", "1")
    assert good.returncode == 0
    assert "02_bad" not in good.stdout
    assert re.search(r"^0 of the course's \d+ claims are proven on .*, private\)\.$", good.stdout, re.MULTILINE)


def test_render_writes_the_course_and_nothing_where_a_lesson_failed(
    engine: Engine, clone: Path, lessons: Path, tmp_path: Path
) -> None:
    write(lessons, "01_good", "print(6 * 7)")
    write(lessons, "02_bad", "1 / 0")
    done = dockerlab(clone, "render", str(tmp_path / "site"))
    assert done.returncode == 1 and done.stderr.startswith("Nothing was written")
    assert not (tmp_path / "site").exists()
    (lessons / "02_bad.ipynb").unlink()
    done = dockerlab(clone, "render", str(tmp_path / "site"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"The course is at {tmp_path / 'site/index.html'}\n")
    assert "42" in (tmp_path / "site/01_good.html").read_text(encoding="utf-8")


def test_run_of_an_unknown_lesson_lists_those_that_there_are(clone: Path, lessons: Path) -> None:
    write(lessons, "01_good", "1")
    done = dockerlab(clone, "run", "7")
    assert (done.returncode, done.stdout) == (1, "")
    assert "01_good" in done.stderr


def test_ctrl_c_ends_a_run_with_its_kernels(engine: Engine, clone: Path, lessons: Path) -> None:
    for name in ("01_waits", "02_waits"):
        write(lessons, name, f"import os, time\nprint(open({name!r}, 'w').write(str(os.getpid())))\ntime.sleep(600)")
    with pexpect.spawn(PYTHON, ["-m", "dockerlab", "run"], cwd=str(clone), encoding="utf-8", timeout=60) as terminal:
        deadline = time.monotonic() + 60
        signs = [lessons / "01_waits", lessons / "02_waits"]
        while not all(sign.exists() and sign.read_text() for sign in signs):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        terminal.sendcontrol("c")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 130
    assert not [sign for sign in signs if Path("/proc", sign.read_text()).exists()]


def test_doctor_prints_json_and_its_exit_status_says_whether_the_course_can_be_used(
    engine: Engine, clone: Path, tmp_path: Path
) -> None:
    done = dockerlab(clone, "doctor", "--json")
    assert json.loads(done.stdout)["usable"] is True, done.stdout
    assert done.returncode == 0
    done = dockerlab(clone, "doctor", DOCKERLAB_ENGINE=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert "not there" in done.stdout


def test_images_are_made_to_be_there_and_saved_and_loaded(engine: Engine, clone: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar"
    saved = dockerlab(clone, "images", "save", str(bundle))
    assert saved.returncode == 0, saved.stderr
    assert bundle.stat().st_size > 1_000_000
    assert dockerlab(clone, "images", "load", str(bundle)).returncode == 0
    assert dockerlab(clone, "images", "load", str(tmp_path / "none.tar")).returncode == 1
    prefetched = dockerlab(clone, "images", "prefetch")
    assert prefetched.returncode == 0
    assert all(name in prefetched.stdout for name in ("alpine", "postgres:16-alpine", "node:20-alpine"))


@needs_private_engine
def test_down_keeps_volumes_and_purge_names_them_before_they_are_lost(private_home: Path, clone: Path) -> None:
    engine = find("private")
    engine.client.volumes.create("precious")
    engine.client.close()
    assert dockerlab(clone, "down").returncode == 0
    assert not private.running(private_home)

    refused = dockerlab(clone, "down", "--purge")
    assert refused.returncode == 1
    assert "precious" in refused.stdout
    assert "--yes" in refused.stderr
    engine = find("private")
    assert [volume.name for volume in engine.client.volumes.list()] == ["precious"]
    engine.client.close()

    assert dockerlab(clone, "down", "--purge", "--yes").returncode == 0
    assert not (private_home / "engine").exists()
    assert dockerlab(clone, "down", "--purge").returncode == 0


@needs_private_engine
def test_a_no_keeps_the_volumes(private_home: Path, clone: Path) -> None:
    engine = find("private")
    engine.client.volumes.create("precious")
    with pexpect.spawn(PYTHON, ["-m", "dockerlab", "down", "--purge"], cwd=str(clone), encoding="utf-8") as terminal:
        terminal.expect_exact("Delete them? [y/N]", timeout=60)
        terminal.sendline("")
        terminal.expect_exact("Nothing was deleted.")
    assert [volume.name for volume in engine.client.volumes.list()] == ["precious"]
    engine.client.close()


def test_an_older_python_is_told_which_one_it_takes(clone: Path) -> None:
    found = [path for minor in range(6, 11) for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")]
    found += [Path(path) for minor in range(6, 11) if (path := shutil.which(f"python3.{minor}"))]
    for python in found:
        done = subprocess.run([python, "-m", "dockerlab", "up"], cwd=clone, capture_output=True, text=True, check=False)
        if "dockerlab" in done.stderr:  # a version manager's stand-in may have no such Python to start
            assert done.returncode == 1
            (line,) = done.stderr.splitlines()
            assert line.startswith("dockerlab needs Python 3.11 or newer, and this is 3.")


def test_words_that_it_does_not_know_are_an_error_except_those_for_pytest(clone: Path) -> None:
    done = dockerlab(clone, "down", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr


def test_every_command_has_its_help(clone: Path) -> None:
    listed = dockerlab(clone, "--help").stdout
    for command in ("up", "run", "test", "doctor", "down", "images"):
        assert re.search(rf"^ +{command} ", listed, re.MULTILINE)
        assert dockerlab(clone, command, "--help").returncode == 0
