"""The private engine: started once, out of everyone's way, put right after a crash, gone when it is stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker import DockerClient
from docker.models.containers import Container
from engines import (
    begin,
    finish,
    hear,
    mounted,
    needs_private_engine,
    needs_root,
    publish,
    python,
    sleep_in_a_container,
    wait_until,
)

from dockerlab.engine import images, package, private
from dockerlab.engine.bridge import Bridge
from dockerlab.engine.find import Engine
from dockerlab.errors import EngineError

pytestmark = needs_private_engine

START = "from dockerlab.engine import private; print(private.start())"


@pytest.fixture(scope="module")
def alpine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as a file, to have it in engines of a moment without building it in each."""
    images.ensure(engine, "alpine")
    return images.save(engine, tmp_path_factory.mktemp("bundle") / "alpine.tar", ["alpine"])


@contextmanager
def client(url: str, image: Path | None = None) -> Iterator[DockerClient]:
    client = docker.DockerClient(url)
    try:
        if image is not None:
            with image.open("rb") as file:
                client.images.load(file)
        yield client
    finally:
        client.close()


def engines_of(home: Path) -> list[int]:
    """The engines that work on this home's data."""
    place = private._Place.of(home)
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and f"--data-root={place.data}" in private._words(int(entry.name))
    ]


def engine_of(home: Path) -> int:
    """The one engine of this home: what it forks has its command line too, until that becomes something else."""
    pid = private._Place.of(home).engine_pid()
    assert pid is not None
    return pid


def output_of(engine: DockerClient, command: str | list[str], **options: Any) -> bytes:
    """What a container says in all; `run` follows its log, which may lose the last line where the container ends."""
    box: Container = engine.containers.run("alpine", command, detach=True, **options)
    box.wait()
    words: bytes = box.logs()
    box.remove()
    return words


def traces(home: Path) -> dict[str, object]:
    """All that a stopped engine must not leave behind."""
    place = private._Place.of(home)
    links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    return {
        "processes": [*engines_of(home), *place.leftovers()],
        "mounts": place.mounts(),
        "runtime folder": place.runtime.exists(),
        "bridge": place.key in links,
        "rules": place.key in rules,
    }


NO_TRACES = {"processes": [], "mounts": [], "runtime folder": False, "bridge": False, "rules": False}


def test_however_many_ask_it_is_started_once_and_survives_them(private_home: Path) -> None:
    askers = [begin(START) for _ in range(6)]

    (url,) = {finish(asker).strip() for asker in askers}

    assert url == private.url(private_home)
    assert private.running(private_home)
    wait_until(lambda: len(engines_of(private_home)) == 1)
    assert os.getsid(engine_of(private_home)) != os.getsid(0)  # a Ctrl-C at the terminal does not reach it
    with client(url) as engine:
        assert engine.ping()


def test_its_data_lies_under_its_home_and_its_socket_has_a_short_path(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 50) / "the home of Zoë"
    try:
        with client(private.start(home)) as engine:
            assert engine.info()["DockerRootDir"] == str(home / "engine" / "data")
            place = private._Place.of(home)
            assert place.data in place.mounts()
        assert len(private.url(home)) < 80
    finally:
        private.stop(home, purge=True)


def test_two_homes_are_two_engines_side_by_side(private_home: Path, tmp_path: Path, alpine: Path) -> None:
    other_home = tmp_path / "other"
    try:
        askers = [
            begin(f"import os; os.environ['DOCKERLAB_HOME'] = {str(h)!r}; {START}") for h in (private_home, other_home)
        ]
        one_url, other_url = (finish(asker).strip() for asker in askers)
        with client(one_url, alpine) as one, client(other_url, alpine) as other:
            one.volumes.create("only-in-one")
            one_port, other_port = publish(one, "one"), publish(other, "other")

            assert one_url != other_url
            assert [volume.name for volume in other.volumes.list()] == []
            assert (hear(one_port), hear(other_port)) == ("one\n", "other\n")

            private.stop(other_home)
            assert hear(one_port) == "one\n"
    finally:
        private.stop(other_home, purge=True)


def test_networks_are_inside_its_own_range_and_ports_are_published_on_loopback_alone(
    private_home: Path, alpine: Path
) -> None:
    with client(private.start(private_home), alpine) as engine:
        network = engine.networks.create("mine")
        network.reload()
        place = private._Place.of(private_home)
        address = Bridge(place.key, private._root_runner()).address()
        assert address is not None

        subnet = network.attrs["IPAM"]["Config"][0]["Subnet"]
        lower, upper = address.network.supernet(new_prefix=19).subnets()
        assert address in lower
        assert upper.supernet_of(type(upper)(subnet))

        server = "while true; do echo by name | nc -l -p 80; done"
        engine.containers.run(
            "alpine", ["sh", "-c", server], name="server", network="mine", stop_signal="SIGKILL", detach=True
        )
        ask = ["sh", "-c", "until nc -w 1 server 80; do sleep 0.1; done"]
        # An input that ends would end the connection, perhaps before the server has said its word.
        assert output_of(engine, ask, network="mine", stdin_open=True) == b"by name\n"

        port = publish(engine, "hello")
        assert hear(port) == "hello\n"
        listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True)
        assert [line.split()[3] for line in listening.stdout.splitlines()] == [f"127.0.0.1:{port}"]

    private.stop(private_home)
    assert traces(private_home) == NO_TRACES


@needs_root
def test_an_engine_on_docker0_keeps_its_ports_and_rules(private_home: Path, alpine: Path) -> None:
    with elsewhere() as inside, engine_on_docker0(inside) as foreign, client(foreign, alpine) as engine:
        port = publish(engine, "foreign")
        assert hear(port, inside) == "foreign\n"
        before = network_state(inside)
        assert "docker0" in before

        url = python(START, before=inside).strip()
        with client(url, alpine) as ours:
            our_port = publish(ours, "ours")
            assert (hear(port, inside), hear(our_port, inside)) == ("foreign\n", "ours\n")
            ours.containers.run("alpine", "true", remove=True)

        python("from dockerlab.engine import private; private.stop()", before=inside)
        assert hear(port, inside) == "foreign\n"
        assert network_state(inside) == before


@contextmanager
def elsewhere() -> Iterator[tuple[str, ...]]:
    """A network of its own, where docker0 is ours to take; yields what runs a command in there."""
    name = f"dockerlab-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ("nsenter", f"--net=/run/netns/{name}")
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@contextmanager
def engine_on_docker0(inside: tuple[str, ...]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="dl") as name:
        folder = Path(name)
        (folder / "daemon.json").write_text("{}")
        socket_path = folder / "docker.sock"
        options = {"data-root": "data", "exec-root": "exec", "pidfile": "pid", "config-file": "daemon.json"}
        with (folder / "log").open("wb") as log:
            engine = subprocess.Popen(
                [
                    *inside,
                    package.program("dockerd") or "dockerd",
                    *(f"--{option}={folder / file}" for option, file in options.items()),
                    f"--host=unix://{socket_path}",
                    f"--containerd-namespace=test-{os.getpid()}",
                    f"--containerd-plugins-namespace=test-{os.getpid()}-plugins",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(socket_path.exists)
            yield f"unix://{socket_path}"
        finally:
            engine.terminate()
            engine.wait(timeout=60)


@needs_root
def test_a_machine_that_did_not_forward_does_not_route_for_others_now(private_home: Path, alpine: Path) -> None:
    with elsewhere() as inside:
        subprocess.run([*inside, "sysctl", "-qw", "net.ipv4.ip_forward=0"], check=True)
        with client(python(START, before=inside).strip(), alpine) as ours:
            port = publish(ours, "ours")
            assert hear(port, inside) == "ours\n"
        forwarding = subprocess.run([*inside, "sysctl", "-n", "net.ipv4.ip_forward"], capture_output=True, check=True)
        rules = subprocess.run([*inside, "iptables", "-S", "FORWARD"], capture_output=True, text=True, check=True)
        python("from dockerlab.engine import private; private.stop()", before=inside)
    assert forwarding.stdout == b"1\n"  # else each container would warn of it
    assert rules.stdout.startswith("-P FORWARD DROP\n")


def network_state(inside: tuple[str, ...]) -> str:
    """Addresses and firewall rules, without what counts or passes by itself."""
    addresses = subprocess.run([*inside, "ip", "-br", "-4", "address"], capture_output=True, text=True, check=True)
    rules = subprocess.run([*inside, "iptables-save"], capture_output=True, text=True, check=True)
    lines = [*addresses.stdout.splitlines(), *rules.stdout.splitlines()]
    return "\n".join(line.partition("[")[0] for line in lines if not line.startswith("#"))


def test_an_engine_that_takes_its_time_to_begin_is_waited_for(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "dockerd"
    slow.write_text(f'#!/bin/sh\nsleep 2\nexec "{package.program("dockerd")}" "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(package, "SYSTEM_PATH", f"{tmp_path}{os.pathsep}{package.SYSTEM_PATH}")

    private.start(private_home)

    assert private.running(private_home)


def test_a_killed_engine_starts_again_with_its_volumes(private_home: Path, alpine: Path) -> None:
    with client(private.start(private_home), alpine) as engine:
        mount = {"kept": {"bind": "/data", "mode": "rw"}}
        engine.containers.run("alpine", "sh -c 'echo hi > /data/x'", volumes=mount, remove=True)
        box = sleep_in_a_container(engine)
    os.kill(engine_of(private_home), signal.SIGKILL)
    wait_until(lambda: not engines_of(private_home))
    place = private._Place.of(private_home)
    assert place.socket.exists()
    assert place.pidfile.exists()
    assert not private.running(private_home)

    with client(private.start(private_home)) as engine:
        assert output_of(engine, "cat /data/x", volumes=mount) == b"hi\n"
        assert engine.containers.get(box.id).status == "exited"


def test_an_engine_that_waits_for_a_container_without_end_is_stopped_all_the_same(
    private_home: Path, alpine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "STOP_SECONDS", 2)
    with client(private.start(private_home), alpine) as engine:
        command = ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]
        engine.api.start(engine.api.create_container("alpine", command, stop_timeout=300)["Id"])

    private.stop(private_home)

    assert traces(private_home) == NO_TRACES


def test_what_a_killed_engine_and_its_containerd_left_is_removed_by_stop(private_home: Path, alpine: Path) -> None:
    with client(private.start(private_home), alpine) as engine:
        box = sleep_in_a_container(engine)
        inner_pid = box.attrs["State"]["Pid"]
    place = private._Place.of(private_home)
    containerd = [pid for pid in place.leftovers() if "shim" not in private._words(pid)[0]]
    for pid in [engine_of(private_home), *containerd]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not engines_of(private_home) and not any(map(private._words, containerd)))
    assert private._words(inner_pid)  # the container runs on
    assert place.mounts()

    private.stop(private_home)

    assert not private._words(inner_pid)
    assert traces(private_home) == NO_TRACES


def test_a_stale_pid_file_that_names_someone_else_harms_nobody(private_home: Path) -> None:
    private.start(private_home)
    os.kill(engine_of(private_home), signal.SIGKILL)
    wait_until(lambda: not engines_of(private_home))
    with subprocess.Popen(["sleep", "1000"]) as someone:
        place = private._Place.of(private_home)
        place.pidfile.write_text(str(someone.pid))
        (place.exec_root / "containerd" / "containerd.pid").write_text(str(someone.pid))

        private.start(private_home)
        assert private.running(private_home)
        pid = engine_of(private_home)
        place.pidfile.write_text(str(someone.pid))
        assert not private.running(private_home)

        place.pidfile.write_text(str(pid))
        private.stop(private_home)
        assert someone.poll() is None
        someone.terminate()


def test_a_socket_and_a_bridge_that_were_left_are_no_obstacle(private_home: Path) -> None:
    place = private._Place.of(private_home)
    run = private._root_runner()
    run("mkdir", "-p", str(place.runtime))
    run("ip", "link", "add", place.key, "type", "bridge")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place.socket))

    private.start(private_home)

    assert private.running(private_home)
    assert Bridge(place.key, run).address() is not None


def test_stop_keeps_the_data_and_purge_deletes_it_and_neither_touches_anything_else(
    private_home: Path, alpine: Path
) -> None:
    with client(private.start(private_home), alpine) as engine:
        engine.volumes.create("kept")
        sleep_in_a_container(engine)

    private.stop(private_home)

    assert not private.running(private_home)
    assert traces(private_home) == NO_TRACES
    with client(private.start(private_home)) as engine:
        assert [volume.name for volume in engine.volumes.list()] == ["kept"]
        assert [image.tags for image in engine.images.list()] == [["alpine:latest"]]
    (private_home / "mine.txt").write_text("kept")

    private.stop(private_home, purge=True)

    assert traces(private_home) == NO_TRACES
    assert [path.name for path in private_home.iterdir()] == ["mine.txt"]
    private.stop(private_home, purge=True)  # nothing there: nothing happens


@needs_root
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with mounted("tmpfs", "size=1m", tmp_path / "home") as home, pytest.raises(EngineError) as caught:
        private.start(home)
    assert "disk is full" in caught.value.what
    assert str(home) in caught.value.seen


@needs_root
def test_a_disk_that_is_full_only_for_the_engine_is_said(tmp_path: Path) -> None:
    # Room for bytes, but for a few files only, which no look beforehand shows.
    with mounted("tmpfs", "size=1g,nr_inodes=12", tmp_path / "home") as home:
        try:
            with pytest.raises(EngineError) as caught:
                private.start(home)
        finally:
            private.stop(home, purge=True)
    assert "no space left" in str(caught.value)


@needs_root
def test_a_data_folder_that_is_read_only_is_said(tmp_path: Path) -> None:
    with mounted("tmpfs", "ro", tmp_path / "home") as home, pytest.raises(EngineError, match="data") as caught:
        private.start(home)
    assert "Read-only" in caught.value.seen
    assert "DOCKERLAB_HOME" in caught.value.next_step


AS_A_USER = """
import os, subprocess, sys
import docker, encodings.idna, multiprocessing
from dockerlab.engine import private
from dockerlab.errors import EngineError
home, sudo = sys.argv[1:]
if sudo:  # in a mount namespace, so that nobody else ever has this right
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/etc/sudoers.d"], check=True)
    with open("/etc/sudoers.d/user", "w") as file:
        file.write("nobody ALL=(ALL) NOPASSWD: ALL\\n")
    os.chmod("/etc/sudoers.d/user", 0o440)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.environ["DOCKERLAB_HOME"] = home
try:
    private.start()
    client = docker.DockerClient(private.url())
    print(client.ping(), os.stat(private._Place.of(None).socket).st_uid)
    private.stop(purge=True)
    print(os.listdir(home))
except EngineError as error:
    print(error)
"""


@needs_root
def test_without_root_and_sudo_the_error_says_so() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 65534, 65534)
        said = python(AS_A_USER, home, "", before=("unshare", "--mount")).splitlines()
    assert len(said) == 3
    assert "root or sudo" in said[1]


@needs_root
def test_root_without_a_roots_rights_as_in_a_container_is_said(private_home: Path) -> None:
    code = """
from dockerlab.engine import private
from dockerlab.errors import EngineError
try:
    private.start()
except EngineError as error:
    print(error)
"""
    _, seen, next_step = python(code, before=("setpriv", "--bounding-set=-net_admin")).splitlines()
    assert "ip link add" in seen and "not permitted" in seen
    assert "--privileged" in next_step


@needs_root
@pytest.mark.skipif(package.program("sudo") is None, reason="no sudo here")
def test_with_sudo_a_user_has_an_engine_for_himself() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 65534, 65534)
        assert python(AS_A_USER, home, "sudo", before=("unshare", "--mount")) == "True 65534\n[]\n"


def test_without_its_package_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setattr(package, "root_prefix", list)
    with pytest.raises(EngineError, match="not installed") as caught:
        private.start(tmp_path / "home")
    assert "python3 -m dockerlab up" in caught.value.next_step


def test_elsewhere_than_linux_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(EngineError) as caught:
        private.start(tmp_path / "home")
    assert "Linux only" in caught.value.seen


def test_home_is_what_the_environment_says_or_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKERLAB_HOME", str(tmp_path))
    assert private.home() == tmp_path
    monkeypatch.delenv("DOCKERLAB_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert private.home() == tmp_path / "data" / "dockerlab"


def test_settings_of_the_system_that_reach_outside_are_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "daemon.json"
    monkeypatch.setattr(private, "SYSTEM_SETTINGS", settings)
    assert private._inherited_settings() == {}
    settings.write_text('{"registry-mirrors": ["https://mirror.example"], "data-root": "/elsewhere", "hosts": []}')
    assert private._inherited_settings() == {"registry-mirrors": ["https://mirror.example"]}
