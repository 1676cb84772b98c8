"""The course's own engine: its own images, volumes, socket and bridge, beside whatever else runs on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import platformdirs

from dockerlab.engine import package
from dockerlab.engine.bridge import Bridge
from dockerlab.engine.lock import locked
from dockerlab.errors import EngineError

__all__ = ["home", "running", "start", "stop", "url"]

START_SECONDS = 60
STOP_SECONDS = 60
LEAST_FREE_BYTES = 200_000_000
# The shell has it built in; a program of that name is missing on a minimal system.
_KILL = ("sh", "-c", 'kill -s "$0" "$1"')
# A Unix socket's path holds about 108 bytes, so it lies here and not below a user's folder of any length.
RUNTIME = Path("/run/dockerlab")
# What a system's own engine is told about the outside world holds for ours too.
INHERITED = ("registry-mirrors", "insecure-registries", "dns", "mtu", "proxies")
SYSTEM_SETTINGS = Path("/etc/docker/daemon.json")


def home() -> Path:
    """Return the folder in which the course keeps what it makes: `DOCKERLAB_HOME`, or the user's data folder."""
    chosen = os.environ.get("DOCKERLAB_HOME")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_data_path("dockerlab")


def url(home: Path | None = None) -> str:
    """Return the address at which the private engine of `home` answers when it runs."""
    return f"unix://{_Place.of(home).socket}"


def running(home: Path | None = None) -> bool:
    """Say whether the private engine of `home` answers."""
    place = _Place.of(home)
    return place.engine_pid() is not None and _answers(place)


def start(home: Path | None = None) -> str:
    """Start the private engine of `home` unless it runs, and return its address.

    It is started once however many processes ask at the same time, and survives the one that started it.
    What a former engine left behind when it was killed is put right first.
    Raises `EngineError` where the system, the rights, the package, the disk or the engine itself say no.
    """
    place = _Place.of(home)
    if running(place.home):
        return url(place.home)
    run = _root_runner()
    if not package.installed():
        raise EngineError(
            "The private engine can't start: its package is not installed.",
            "dockerd, containerd, runc or ip is missing.",
            "Run `python3 -m dockerlab up`, which installs it.",
        )
    _check_disk(place)
    with _held(place, run):
        pid = place.engine_pid() or _launch(place, run)
        _wait_until_ready(place, run, pid)
    return url(place.home)


def stop(home: Path | None = None, *, purge: bool = False) -> None:
    """Stop the private engine of `home` with all that belongs to it; nothing happens where none runs.

    Its bridge, rules and runtime folder go; its images and volumes stay, unless `purge` deletes them.
    """
    place = _Place.of(home)
    if not place.runtime.exists() and not (purge and place.folder.exists()):
        return
    run = _root_runner()
    with _held(place, run):
        pid = place.engine_pid()
        if pid is not None:
            run(*_KILL, "TERM", str(pid))
            if not _wait_for(lambda: place.engine_pid() is None, STOP_SECONDS):
                # It waits as long as its containers may take, which --stop-timeout says of one.
                run(*_KILL, "KILL", str(pid))
                _wait_for(lambda: place.engine_pid() is None, STOP_SECONDS)
        _end_leftovers(place, run)
        Bridge(place.key, run).down()
        run("rm", "-rf", "--one-file-system", str(place.runtime))
        if purge:
            run("rm", "-rf", "--one-file-system", str(place.folder))


class _Place:
    """Where the private engine of one home keeps its things."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.key = "dl-" + hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:8]
        self.folder = home / "engine"
        self.data = self.folder / "data"
        self.log = self.folder / "engine.log"
        self.runtime = RUNTIME / self.key
        self.socket = self.runtime / "docker.sock"
        self.pidfile = self.runtime / "docker.pid"
        self.settings = self.runtime / "daemon.json"
        self.exec_root = self.runtime / "exec"

    @classmethod
    def of(cls, folder: Path | None) -> _Place:
        """The place of that home, or of the course's."""
        return cls((folder or home()).absolute())

    def command(self) -> list[str]:
        """The engine's command line, by which it is known again."""
        return [
            package.program("dockerd") or "dockerd",
            f"--data-root={self.data}",
            f"--exec-root={self.exec_root}",
            f"--pidfile={self.pidfile}",
            f"--config-file={self.settings}",
            f"--host=unix://{self.socket}",
            # Where the system runs a containerd, dockerd uses that one; its own engine lives in the namespace "moby".
            f"--containerd-namespace={self.key}",
            f"--containerd-plugins-namespace={self.key}-plugins",
        ]

    def engine_pid(self) -> int | None:
        """The process that is this engine now, whatever a pid file left by a former one says."""
        try:
            pid = int(self.pidfile.read_text())
        except (OSError, ValueError):
            return None
        return pid if f"--data-root={self.data}" in _words(pid) else None

    def leftovers(self) -> Iterator[int]:
        """Processes that a former engine started and could not end: its containerd and that one's shims."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                words = _words(int(entry.name))
                if any(word.startswith(f"{self.exec_root}/") for word in words) or self._is_shim(words):
                    yield int(entry.name)

    def _is_shim(self, words: list[str]) -> bool:
        # A containerd of the system, where there is one, is shared: then only the namespace tells.
        return bool(words) and "containerd-shim" in words[0] and self.key in words

    def mounts(self) -> list[Path]:
        """What an engine mounted below its own folders, the deepest first; not what a user mounted above them."""
        points = [
            # The kernel writes a blank and the like as a backslash and three octal digits.
            Path(os.fsdecode(re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), line.split()[4])))
            for line in Path("/proc/self/mountinfo").read_bytes().splitlines()
        ]
        ours = [point for point in points if point.is_relative_to(self.data) or point.is_relative_to(self.runtime)]
        return sorted(ours, key=lambda point: len(point.parts), reverse=True)


def _words(pid: int) -> list[str]:
    """A process's command line; nothing for one that is gone, or dead and not yet reaped."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return os.fsdecode(words).split("\0") if words else []


def _alive(pid: int) -> bool:
    """Whether that process is there and not dead; its words don't tell, since there are none amid an exec either."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def _launch(place: _Place, run: Callable[..., str]) -> int:
    """Start it and return its process, which has no pid file yet."""
    _end_leftovers(place, run)
    run("mkdir", "-p", str(place.folder))
    with locked(RUNTIME):  # engines of several homes must not take the same addresses
        addresses = Bridge(place.key, run).up()
    _, others = addresses.subnets(prefixlen_diff=1)
    settings = {
        **_inherited_settings(),
        "bridge": place.key,
        "default-address-pools": [{"base": str(others), "size": 24}],
        "ip": "127.0.0.1",  # `-p 3000:3000` publishes to this machine alone
        "iptables": False,  # see bridge.py
        "group": "root",
    }
    run("tee", str(place.settings), text=json.dumps(settings, indent=1))
    # The shell puts it into the background and ends, so that it is no child of ours; a session of its own keeps
    # Ctrl-C and the end of a kernel from it. What the shell forks becomes the engine by exec: `$!` is the engine's pid.
    background = 'log=$1; shift; "$@" </dev/null >"$log" 2>&1 & echo $!'
    pid = run("env", f"PATH={package.SYSTEM_PATH}", "sh", "-c", background, "sh", str(place.log), *place.command())
    return int(pid)


def _inherited_settings() -> dict[str, object]:
    try:
        settings = json.loads(SYSTEM_SETTINGS.read_text())
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in settings.items() if name in INHERITED}


def _wait_until_ready(place: _Place, run: Callable[..., str], pid: int) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < START_SECONDS:
        if place.socket.exists() and not os.access(place.socket, os.W_OK):
            run("chown", str(os.getuid()), str(place.socket))  # with sudo, its one user is whoever asked
        if _answers(place):
            return
        if not _alive(pid):
            break
        time.sleep(0.03)
    raise _explain(place)


def _explain(place: _Place) -> EngineError:
    try:
        lines = [line for line in place.log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = lines[-1].strip() if lines else "It wrote no log."
    what = "The private engine did not start."
    if "no space left" in last.lower():
        return EngineError(
            what, f"The disk is full: {last}", f"Free some space at {place.home}, or set DOCKERLAB_HOME."
        )
    if place.engine_pid() is not None:
        what = "The private engine runs but does not answer."
    return EngineError(what, last, f"Its log is {place.log}; `dockerlab down` and `dockerlab up` start afresh.")


def _answers(place: _Place) -> bool:
    # By hand, since docker-py leaves a socket open for each attempt that is refused.
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(place.socket))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(100)
        except OSError:
            return False


def _end_leftovers(place: _Place, run: Callable[..., str]) -> None:
    """Put right what an engine that was killed left behind. No engine of this place may run."""
    for state in place.exec_root.glob("runtime-*/*/*"):  # its containers run on without it
        run("runc", "--root", str(state.parent), "delete", "--force", state.name, check=False)
    for how in (signal.SIGTERM, signal.SIGKILL):
        for pid in place.leftovers():
            run(*_KILL, how.name.removeprefix("SIG"), str(pid), check=False)
        if _wait_for(lambda: not any(place.leftovers()), 5):
            break
    for point in place.mounts():
        run("umount", "--lazy", str(point), check=False)
    run("rm", "-f", str(place.pidfile), str(place.socket), str(place.exec_root / "containerd" / "containerd.pid"))


def _check_disk(place: _Place) -> None:
    try:
        place.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(place.home).free
        if free >= LEAST_FREE_BYTES:
            tempfile.TemporaryFile(dir=place.home).close()
    except OSError as error:
        raise EngineError(
            "The private engine can't keep its data.",
            f"{place.home}: {error.strerror}.",
            "Make that folder writable, or set DOCKERLAB_HOME to another one.",
        ) from None
    if free < LEAST_FREE_BYTES:
        raise EngineError(
            "The private engine can't start: the disk is full.",
            f"{place.home} has {free // 1_000_000} MB free; at least {LEAST_FREE_BYTES // 1_000_000} MB are needed.",
            "Free some space there, or set DOCKERLAB_HOME to a folder on another disk.",
        )


def _root_runner() -> Callable[..., str]:
    """Return a function that runs a command as root; raises `EngineError` without that right."""
    prefix = package.root_prefix()
    if prefix is None:
        raise EngineError(
            "The private engine can't be started or stopped from here.",
            "It needs Linux, and root or sudo without a password."
            if sys.platform == "linux"
            else "It runs on Linux only.",
            "Start Docker (Engine, Desktop, rootless or Podman) and try again.",
        )
    environment = {**os.environ, "PATH": package.SYSTEM_PATH}

    def run(*command: str, text: str = "", check: bool = True) -> str:
        # A session of its own: what it leaves in the background must not get the terminal's signals.
        result = subprocess.run(
            [*prefix, *command], input=text, env=environment, capture_output=True, text=True, check=False,
            start_new_session=True, cwd="/",
        )  # fmt: skip
        if check and result.returncode != 0:
            said = " ".join(result.stderr.split()) or f"status {result.returncode}"
            raise EngineError(
                "The private engine can't be started or stopped from here.",
                f"`{' '.join(command)}` failed: {said}.",
                "In a container, even root has this right only with --privileged; else set DOCKER_HOST to an engine."
                if "not permitted" in said
                else "Put that right, then try again.",
            )
        return result.stdout

    return run


def _held(place: _Place, run: Callable[..., str]) -> AbstractContextManager[None]:
    """One process at a time may start or stop this engine."""
    return locked(place.runtime, lambda: run("mkdir", "-p", str(place.runtime)))


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.03)
    return True
