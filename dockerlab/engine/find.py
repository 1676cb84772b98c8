"""The engines that answer on this machine, and which of them a lab takes."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from dockerlab.engine import private
from dockerlab.errors import EngineError

__all__ = ["Attempt", "Engine", "attempts", "find"]

# A place where an engine may be does not hold us up; the one that was asked for, or is ours, may be busy (`info` has
# it start two programs to ask for their versions).
PROBE_SECONDS, ASKED_SECONDS = 3, 20
CALL_SECONDS = 60

# Where engines of the whole system listen.
SYSTEM_SOCKETS = {"Docker's socket": "/var/run/docker.sock", "Podman's socket of the system": "/run/podman/podman.sock"}

PRIVATE = "private engine"
KINDS = {
    "docker": "Docker Engine",
    "rootless": "Docker Engine, rootless",
    "desktop": "Docker Desktop",
    "podman": "Podman",
}


@dataclass(frozen=True)
class Engine:
    """An engine that answered, and docker-py's client of it.

    `kind` is one of `KINDS`; `private` says whether it is the course's own. The API's version is the one that
    engine and docker-py agreed on.
    """

    url: str
    version: str
    api_version: str
    kind: str
    private: bool
    os_name: str = field(compare=False)
    client: docker.DockerClient = field(repr=False, compare=False)
    environment: Mapping[str, str] = field(repr=False, compare=False, default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.title} · {_without_login(self.url)}"

    def _repr_html_(self) -> str:
        try:
            found = self.client.images.list(filters={"label": "dockerlab.standin"})
        except (DockerException, RequestException):  # it went away; what it was can still be said
            found = []
        standins = ", ".join(sorted({image.labels["dockerlab.standin"] for image in found}))
        note = f" · <em>stand-in images: {escape(standins)}</em>" if standins else ""
        return (
            '<div style="font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 13px);'
            ' color: var(--jp-ui-font-color1, inherit);">'
            f"<strong>{escape(self.title)}</strong> · <code>{escape(_without_login(self.url))}</code>{note}</div>"
        )

    def cli_env(self) -> dict[str, str]:
        """Return the environment variables, added to one's own, that make the docker CLI talk to this engine."""
        # Each of the others would lead the CLI elsewhere, or make it expect TLS where there is none; empty is unset.
        nothing = {"DOCKER_CONTEXT": "", "DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": ""}
        return {**nothing, "DOCKER_HOST": self.url, **self.environment}

    def now(self) -> float:
        """Its own time, in seconds since 1970: its clock may differ from ours, as that of a virtual machine does."""
        return datetime.fromisoformat(self.client.info()["SystemTime"]).timestamp()

    @property
    def title(self) -> str:
        """What it is, in a few words: product, version, whose."""
        whose = ", private" if self.private else ""
        return f"{KINDS[self.kind]} {self.version} (API {self.api_version}{whose})"


@dataclass(frozen=True)
class Attempt:
    """A place where an engine was looked for, what answered, and what would make it answer where that is known.

    The address is without a login.
    """

    url: str
    source: str
    outcome: str
    engine: Engine | None = None
    next_step: str = ""

    def __str__(self) -> str:
        where = f" at {self.url}" if self.url and self.source != PRIVATE else ""
        return f"{self.source}{where}: {self.outcome}"


def find(wanted: str | None = None, *, start: bool = True) -> Engine:
    """Return the engine to use: the wanted one, else one that answers, else the private one.

    `wanted` is `private` or an engine's URL; without it `DOCKERLAB_ENGINE` counts. `start` allows to start the
    private engine. Raises `EngineError` that lists what was tried and what each answered.
    """
    tried: list[Attempt] = []
    for attempt in _attempts(wanted, start=start):
        if attempt.engine is not None:
            return attempt.engine
        tried.append(attempt)
    raise EngineError("No engine answers.", _tried(tried), _next_step(tried))


def attempts(wanted: str | None = None) -> list[Attempt]:
    """Look everywhere that `find` would, start nothing, and return what each place answered."""
    return list(_attempts(wanted, start=False))


@dataclass(frozen=True)
class _Candidate:
    """Where an engine may be: docker-py's arguments to reach it, and the CLI's environment to do the same."""

    source: str
    url: str
    tls: bool | TLSConfig = False
    environment: Mapping[str, str] = field(default_factory=dict)
    is_one_of_many: bool = False


def _attempts(wanted: str | None, *, start: bool) -> Iterator[Attempt]:
    wanted = wanted or os.environ.get("DOCKERLAB_ENGINE") or None
    if wanted not in (None, "private"):
        yield _probe(_Candidate("the engine asked for", wanted))
        return
    if wanted is None:
        seen = set()
        for candidate in _candidates():
            if isinstance(candidate, Attempt):
                yield candidate
            elif candidate.url not in seen:
                seen.add(candidate.url)
                yield _probe(replace(candidate, is_one_of_many=True))
    yield _try_private(start=start)


def _try_private(*, start: bool) -> Attempt:
    source, url = PRIVATE, private.url()
    try:
        if start:
            private.start()
        elif not private.running():
            return Attempt(url, source, "not running")
    except EngineError as error:
        return Attempt(url, source, error.seen.rstrip(".") or error.what, next_step=error.next_step)
    return _probe(_Candidate(source, url))


def _candidates() -> Iterator[_Candidate | Attempt]:
    """Where docker-py and the CLI look, then the sockets that engines are known to listen on."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        names = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
        tls_names = {name: os.environ[name] for name in names if name in os.environ}
        try:
            yield _Candidate("DOCKER_HOST", host, kwargs_from_env().get("tls", False), tls_names)
        except DockerException as error:
            yield Attempt(_without_login(host), "DOCKER_HOST", f"TLS: {str(error).partition('. ')[0]}")
    else:
        yield from _current_context()
    for source, url in _sockets():
        yield _Candidate(source, url)


def _current_context() -> Iterator[_Candidate | Attempt]:
    name = os.environ.get("DOCKER_CONTEXT")
    source = f"context {name or '(current)'}"
    try:
        context = ContextAPI.get_context(name)
        if context is None:
            yield Attempt("", source, "no such context")
            return
        if context.name == "default":
            return  # the plain socket, which comes next
        arguments = ContextAPI.kwargs_from_context(context.name)
    except Exception as error:  # noqa: BLE001 - what docker-py raises for a damaged context
        yield Attempt("", source, _reason(error))
        return
    environment = {"DOCKER_CONTEXT": context.name, "DOCKER_HOST": ""}
    yield _Candidate(f"context {context.name}", arguments["base_url"], arguments.get("tls", False), environment)


def _sockets() -> Iterator[tuple[str, str]]:
    if sys.platform == "win32":
        yield "Docker's pipe", "npipe:////./pipe/docker_engine"
        yield "Docker Desktop's pipe", "npipe:////./pipe/dockerDesktopLinuxEngine"
        return
    for source, socket_path in SYSTEM_SOCKETS.items():
        yield source, f"unix://{socket_path}"
    me = Path.home()
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    for source, path in (
        ("rootless socket", runtime / "docker.sock"),
        ("Docker Desktop's socket", me / ".docker/run/docker.sock"),
        ("Docker Desktop's socket", me / ".docker/desktop/docker.sock"),
        ("Colima's socket", me / ".colima/default/docker.sock"),
        ("Colima's socket", me / ".config/colima/default/docker.sock"),
        ("Podman's socket", runtime / "podman/podman.sock"),
    ):
        yield source, f"unix://{path}"


def _probe(candidate: _Candidate) -> Attempt:
    url, seconds = candidate.url, PROBE_SECONDS if candidate.is_one_of_many else ASKED_SECONDS
    outcome = _no_socket(url, seconds)
    if outcome is None:
        try:
            engine = _connect(candidate, seconds)
        except (DockerException, RequestException, OSError, ValueError) as error:
            outcome = _reason(error, seconds).replace(url, _without_login(url))
        else:
            return Attempt(_without_login(url), candidate.source, f"answers: {engine!r}", engine)
    return Attempt(_without_login(url), candidate.source, outcome)


def _connect(candidate: _Candidate, seconds: int) -> Engine:
    # No version is pinned: docker-py asks the engine for its own.
    client = docker.DockerClient(base_url=candidate.url, tls=candidate.tls, timeout=seconds, use_ssh_client=True)
    try:
        version, info = client.version(), client.info()
    except BaseException:
        client.close()
        raise
    client.api.timeout = CALL_SECONDS
    return Engine(
        url=candidate.url,
        version=version["Version"],
        api_version=client.api.api_version,
        kind=_kind(version, info),
        private=candidate.url == private.url(),
        os_name=info.get("OperatingSystem", ""),
        client=client,
        environment=candidate.environment,
    )


def _kind(version: Mapping[str, object], info: Mapping[str, object]) -> str:
    components = version.get("Components") or []
    assert isinstance(components, list)
    if any("podman" in part["Name"].lower() for part in components):
        return "podman"
    if "docker desktop" in str(info.get("OperatingSystem", "")).lower():
        return "desktop"
    return "rootless" if "name=rootless" in str(info.get("SecurityOptions")) else "docker"


def _no_socket(url: str, seconds: int) -> str | None:
    """Say in plain words why a Unix socket does not answer; None where it does, or is none."""
    if not url.startswith("unix:"):
        return None
    # Not left to docker-py, which keeps a socket open for each attempt that is refused.
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect("/" + url.removeprefix("unix:").lstrip("/"))
        except OSError as error:
            return _reason(error, seconds)
    return None


def _reason(error: Exception, seconds: int = 0) -> str:
    """Return the plain reason inside an exception of docker-py, requests, urllib3 or the system."""
    text = str(error)
    for sign, reason in {
        "Permission denied": "no permission",
        "Connection refused": "refused",
        "No such file": "not there",
        "Not a directory": "not there",
        "timed out": f"no answer within {seconds} s",
        "Name or service not known": "no such host",
        "name resolution": "no such host",
    }.items():
        if sign in text:
            return reason
    return " ".join(text.split())[:200]


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else url


def _tried(tried: list[Attempt]) -> str:
    """All that was tried in one line: what answered something first, then where there was nothing."""
    told = [str(attempt) for attempt in tried if attempt.outcome != "not there"]
    absent = dict.fromkeys(attempt.source for attempt in tried if attempt.outcome == "not there")
    return "Tried " + "; ".join(told + ([f"not there: {', '.join(absent)}"] if absent else [])) + "."


def _next_step(tried: list[Attempt]) -> str:
    if any("permission" in attempt.outcome for attempt in tried):
        return "Let your user open that socket (`sudo usermod -aG docker $USER`, then log in again), and try again."
    return tried[-1].next_step or "Start Docker, or run `python3 -m dockerlab up`, and try again."
