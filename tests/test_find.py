"""Where engines are looked for, in which order, and what is said where none answers. Engines and sockets are real."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from engines import free_port, needs_private_engine, needs_root, python, wait_until

from dockerlab.engine import find as finding
from dockerlab.engine import images, package, private
from dockerlab.engine.find import Attempt, Engine, attempts, find
from dockerlab.errors import EngineError

VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKERLAB_ENGINE")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user with nothing set up, on a system without a socket in the usual place; returns his home."""
    home = tmp_path_factory.mktemp("me")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / ".docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    monkeypatch.setenv("DOCKERLAB_HOME", str(home / "course"))
    monkeypatch.setattr(finding, "PROBE_SECONDS", finding.ASKED_SECONDS)  # an engine that is there may be busy
    monkeypatch.setattr(finding, "SYSTEM_SOCKETS", {"Docker's socket": str(home / "docker.sock")})
    return home


@pytest.fixture
def socket_path(engine: Engine) -> Path:
    """The socket of an engine that answers."""
    if not engine.url.startswith("unix://"):
        pytest.skip("the engine of this run has no socket")
    return Path(engine.url.removeprefix("unix://"))


@pytest.fixture
def dead_socket(tmp_path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "dead.sock"))
    return tmp_path / "dead.sock"


def write_context(home: Path, name: str, url: str, *, current: bool) -> None:
    """Write a context with the real CLI, as a user would."""
    subprocess.run(["docker", "context", "create", name, f"--docker=host={url}"], check=True, capture_output=True)
    if current:
        subprocess.run(["docker", "context", "use", name], check=True, capture_output=True)


def outcomes() -> dict[str, str]:
    return {attempt.source: attempt.outcome for attempt in attempts()}


def close(*engines: Engine | None) -> None:
    for engine in engines:
        if engine is not None:
            engine.client.close()


def first(found: list[Attempt]) -> Attempt:
    close(*(attempt.engine for attempt in found))
    return next(attempt for attempt in found if attempt.engine is not None)


def test_docker_host_comes_first(bare: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_context(bare, "other", "unix:///nowhere/docker.sock", current=True)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket_path}")
    found = attempts()
    assert first(found) is found[0]
    assert found[0].source == "DOCKER_HOST"


def test_the_current_context_comes_next(bare: Path, socket_path: Path) -> None:
    write_context(bare, "unused", "unix:///nowhere/docker.sock", current=False)
    write_context(bare, "chosen", f"unix://{socket_path}", current=True)
    found = attempts()
    assert first(found) is found[0]
    assert found[0].source == "context chosen"


def test_docker_context_names_a_context_too(bare: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_context(bare, "current", "unix:///nowhere/docker.sock", current=True)
    write_context(bare, "named", f"unix://{socket_path}", current=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "named")
    assert first(attempts()).source == "context named"


def test_an_unknown_or_damaged_context_is_said_and_passed_over(
    bare: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "docker.sock").symlink_to(socket_path)
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    found = attempts()
    assert str(found[0]) == "context gone: no such context"
    assert first(found).source == "Docker's socket"

    monkeypatch.delenv("DOCKER_CONTEXT")
    write_context(bare, "damaged", "unix:///nowhere/docker.sock", current=True)
    (meta,) = (bare / ".docker").glob("contexts/meta/*/meta.json")
    meta.write_text("{")
    found = attempts()
    assert found[0].source.startswith("context") and found[0].engine is None
    assert first(found).source == "Docker's socket"


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("docker.sock", "Docker's socket"),
        ("run/docker.sock", "rootless socket"),
        (".docker/run/docker.sock", "Docker Desktop's socket"),
        (".docker/desktop/docker.sock", "Docker Desktop's socket"),
        (".colima/default/docker.sock", "Colima's socket"),
        (".config/colima/default/docker.sock", "Colima's socket"),
        ("run/podman/podman.sock", "Podman's socket"),
    ],
)
def test_known_sockets_are_found(bare: Path, socket_path: Path, place: str, source: str) -> None:
    (bare / place).parent.mkdir(parents=True, exist_ok=True)
    (bare / place).symlink_to(socket_path)
    found = find(start=False)
    close(found)
    assert found.url == f"unix://{bare / place}"
    assert first(attempts()).source == source


def test_one_address_is_asked_once(bare: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "docker.sock").symlink_to(socket_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{bare / 'docker.sock'}")
    urls = [attempt.url for attempt in attempts()]
    first(attempts())
    assert len(urls) == len(set(urls))


def test_every_kind_of_silence_has_its_words(bare: Path, dead_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "ASKED_SECONDS", 1)
    port = free_port()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(bare / "silent.sock"))
        silent.listen()
        for url, outcome in {
            f"unix://{dead_socket}": "refused",
            f"unix://{bare}/nothing.sock": "not there",
            f"unix://{bare}/silent.sock": "no answer within 1 s",
            f"tcp://127.0.0.1:{port}": "refused",
        }.items():
            (attempt,) = attempts(url)
            assert (attempt.url, attempt.outcome, attempt.engine) == (url, outcome, None)


def test_something_else_that_answers_is_no_engine() -> None:
    class Website(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>Welcome</h1>")

        def log_message(self, *words: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Website) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (attempt,) = attempts(f"tcp://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert attempt.engine is None
    assert attempt.outcome


@needs_root
def test_a_socket_that_one_may_not_open_is_said_with_the_way_in(socket_path: Path) -> None:
    code = """
import os, sys
import encodings.idna
from dockerlab.engine.find import find
from dockerlab.errors import EngineError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    find(sys.argv[1])
except EngineError as error:
    print(error)
"""
    what, seen, next_step = python(code, f"unix://{socket_path}").splitlines()
    assert what == "No engine answers."
    assert "no permission" in seen
    assert "usermod" in next_step


def test_where_nothing_answers_the_error_tells_in_three_lines_what_was_tried(
    bare: Path, dead_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dead_socket}")
    with pytest.raises(EngineError) as caught:
        find(start=False)
    what, seen, next_step = str(caught.value).splitlines()
    assert what == "No engine answers."
    assert seen.startswith(
        f"Tried DOCKER_HOST at unix://{dead_socket}: refused; private engine: not running; not there: "
    )
    assert all(name in seen for name in ("Docker's socket", "rootless", "Desktop", "Colima", "Podman"))
    assert "python3 -m dockerlab up" in next_step


def test_a_login_in_an_address_is_never_shown(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://ana:hunter2@127.0.0.1:1")
    with pytest.raises(EngineError) as caught:
        find(start=False)
    assert "hunter2" not in str(caught.value) + str(attempts())
    elsewhere = replace(engine, url="ssh://ana:hunter2@host")
    assert "hunter2" not in repr(elsewhere) + elsewhere._repr_html_()


def test_a_certificate_that_is_missing_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(bare / "certificates"))
    assert outcomes()["DOCKER_HOST"].startswith("TLS: Path to a certificate")


def test_what_is_asked_for_is_taken_and_nothing_else(
    socket_path: Path, dead_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket_path}")
    monkeypatch.setenv("DOCKERLAB_ENGINE", f"unix://{dead_socket}")
    with pytest.raises(EngineError, match="No engine answers") as caught:
        find()
    assert "DOCKER_HOST" not in caught.value.seen
    found = find(f"unix://{socket_path}")  # what is said in the call counts most
    close(found)
    assert found.url == f"unix://{socket_path}"


@needs_private_engine
def test_the_private_engine_is_the_last_resort_and_started_only_where_allowed(private_home: Path) -> None:
    os.environ.pop("DOCKERLAB_ENGINE")  # set by the fixture, and put back by it
    with pytest.raises(EngineError, match="No engine answers"):
        find(start=False)
    assert not private.running()
    found = find()
    close(found)
    assert found.private
    assert found.url == private.url()
    assert first(attempts()).source == "private engine"


@needs_private_engine
def test_a_private_engine_is_known_as_such_by_its_address_too(private_home: Path) -> None:
    found = find(private.start())
    close(found)
    assert found.private


def test_the_version_of_the_api_is_agreed_on_and_not_pinned(engine: Engine) -> None:
    asked = engine.client.version()
    assert engine.api_version == engine.client.api.api_version == asked["ApiVersion"]
    assert engine.version == asked["Version"]


def test_an_engine_is_shown_in_a_line(engine: Engine) -> None:
    text, html = repr(engine), engine._repr_html_()
    assert "\n" not in text + html
    for shown in (text, html):
        assert engine.version in shown
        assert engine.url in shown
    assert "var(--jp-ui-font-color1" in html


@needs_private_engine
def test_stand_ins_are_named_where_the_engine_is_shown(engine: Engine) -> None:
    if not engine.private:
        pytest.skip("the engine of this run is not private")
    image = images.ensure(engine, "alpine")
    assert ("stand-in images: " in engine._repr_html_()) == (images.origin(image) == "stand-in")


@pytest.mark.skipif(package.program("docker") is None, reason="no docker CLI here")
def test_the_docker_command_is_led_to_this_engine_past_all_that_leads_elsewhere(engine: Engine, bare: Path) -> None:
    write_context(bare, "other", "unix:///nowhere/docker.sock", current=True)
    misleading = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CONTEXT": "other", "DOCKER_TLS_VERIFY": "1"}
    environment = {**os.environ, **misleading, **engine.cli_env()}
    said = subprocess.run(
        ["docker", "info", "--format", "{{json .ID}}"], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(said.stdout) == engine.client.info()["ID"]


def test_the_docker_command_follows_a_context_as_we_do(bare: Path, socket_path: Path) -> None:
    write_context(bare, "chosen", f"unix://{socket_path}", current=True)
    found = find(start=False)
    close(found)
    assert found.cli_env()["DOCKER_CONTEXT"] == "chosen"
    said = subprocess.run(
        ["docker", "info", "--format", "{{.ID}}"],
        env={**os.environ, **found.cli_env()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip()


@pytest.mark.parametrize(
    ("version", "info", "kind"),
    [
        ({}, {}, "docker"),
        ({"Components": [{"Name": "Podman Engine"}]}, {}, "podman"),
        ({"Components": [{"Name": "Engine"}]}, {"OperatingSystem": "Docker Desktop"}, "desktop"),
        ({"Components": None}, {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, "rootless"),
    ],
)
def test_kinds_of_engines_are_told_apart_by_what_they_say(
    version: dict[str, object], info: dict[str, object], kind: str
) -> None:
    assert finding._kind(version, info) == kind


@pytest.fixture
def podman() -> Iterator[str]:
    command = package.program("podman")
    if command is None:
        pytest.skip("no podman here")
    with tempfile.TemporaryDirectory(prefix="dl") as folder:  # Podman takes short paths only
        address = Path(folder) / "podman.sock"
        arguments = [
            "--storage-driver=vfs",
            f"--root={folder}/root",
            f"--runroot={folder}/run",
            "system",
            "service",
            "--time=0",
        ]
        with subprocess.Popen([command, *arguments, f"unix://{address}"]) as server:
            try:
                wait_until(address.exists)
                yield f"unix://{address}"
            finally:
                server.terminate()


def test_podman_is_an_engine_too(podman: str) -> None:
    found = find(podman)
    close(found)
    assert found.kind == "podman"
    assert not found.private
