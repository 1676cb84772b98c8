"""What can be done: each docker command as a value that prints as docker's own words and runs through the SDK.

Both come from the same fields, so the line that a learner sees and what happens cannot drift apart.
Nothing here looks for an engine or knows about labs: a command is called with a `docker.DockerClient`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from .errors import CommandError
from .mounts import Anonymous, Bind, Mount, Tmpfs, Volume

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = [
    "Anonymous",
    "Bind",
    "Command",
    "CreateVolume",
    "Diff",
    "Exec",
    "InspectVolume",
    "ListContainers",
    "ListVolumes",
    "Mount",
    "Output",
    "Pause",
    "Remove",
    "RemoveVolume",
    "Run",
    "Start",
    "Stop",
    "Tmpfs",
    "Unpause",
    "Volume",
    "redact",
]

_SECRET = re.compile(r"PASS(WORD|WD)?|SECRET|TOKEN|CREDENTIAL|(^|_)KEY($|_)", re.IGNORECASE)
_PLAIN_IN_POWERSHELL = re.compile(r"[A-Za-z0-9_./:=\\+-]+")


@dataclass(frozen=True)
class Output:
    """What a program in a container wrote (standard output and error, in order) and its exit status."""

    text: str
    exit_code: int

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        lines = [self.text.rstrip("\n")] if self.text else []
        return "\n".join(lines if self.exit_code == 0 else [*lines, f"(exit status {self.exit_code})"])


class Command:
    """One docker command: `words()` is its argument list, `call(client)` does the same through the SDK."""

    def words(self) -> list[str]:
        """The command line as `execve` takes it, `docker` first."""
        raise NotImplementedError

    def call(self, client: DockerClient) -> Any:
        """Do it on that engine; docker-py's own exceptions come through."""
        raise NotImplementedError

    def __str__(self) -> str:
        return shlex.join(self.words())

    def __repr__(self) -> str:
        return f"<{self.redacted()}>"

    def powershell(self) -> str:
        """The same line for PowerShell, where a quote inside quotes is doubled."""
        return " ".join(
            word if _PLAIN_IN_POWERSHELL.fullmatch(word) else "'" + word.replace("'", "''") + "'"
            for word in self.words()
        )

    def redacted(self) -> str:
        """The line with secret-looking values starred out, for errors and records."""
        return redact(self.words())


def redact(words: Sequence[str]) -> str:
    """A command line whose passwords are stars: values of secret-looking variables, and those in URLs."""
    return shlex.join(_starred(word) for word in words)


def _starred(word: str) -> str:
    name, is_pair, _ = word.partition("=")
    if is_pair and _SECRET.search(name):
        return f"{name}=***"
    return re.sub(r"(://[^:/@\s]+):[^@\s]+@", r"\1:***@", word)


def _argv(command: str | Sequence[str] | None) -> tuple[str, ...]:
    """A command as a list of words; a string is split as a shell would split it."""
    if command is None:
        return ()
    return tuple(shlex.split(command)) if isinstance(command, str) else tuple(command)


def _pairs(flag: str, values: Mapping[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in (flag, f"{key}={value}")]


def _port_key(port: int | str) -> str:
    return f"{port}" if "/" in str(port) else f"{port}/tcp"


@dataclass(frozen=True, repr=False)
class Run(Command):
    """`docker run`: a new container of an image, started.

    `command` is a list of words, or a string that is split into them; `ports` maps a container's port (`5432`, `"53/udp"`)
    to one of the host's, or to `None` for a free one, always on 127.0.0.1. Detached, the call returns docker-py's
    `Container`; with `detach=False` it waits for the end and returns an `Output`.
    """

    image: str
    command: str | Sequence[str] | None = None
    name: str | None = None
    mounts: Sequence[Mount] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int | str, int | None] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    network: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    detach: bool = True
    remove: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", _argv(self.command))
        object.__setattr__(self, "mounts", tuple(self.mounts))
        object.__setattr__(self, "ports", {_port_key(port): host for port, host in self.ports.items()})
        if not self.image or self.image.startswith("-"):
            raise CommandError("This is not an image's name.", f"Seen: {self.image!r}.", "Name one, as alpine.")
        for key in (*self.env, *self.labels):
            if not key or "=" in key:
                raise CommandError(
                    "A variable or label needs a name without '='.", f"Seen: {key!r}.", "Give name and value apart."
                )

    def words(self) -> list[str]:
        words = ["docker", "run"]
        words += ["-d"] * self.detach + ["--rm"] * self.remove
        for flag, value in (
            ("--name", self.name),
            ("-w", self.workdir),
            ("-u", self.user),
            ("--network", self.network),
        ):
            words += [flag, value] if value else []
        for port, host in self.ports.items():
            number, _, protocol = str(port).partition("/")
            words += [
                "-p",
                f"127.0.0.1:{'' if host is None else host}:{number}" + ("" if protocol == "tcp" else f"/{protocol}"),
            ]
        for mount in self.mounts:
            words += mount.words()
        return [*words, *_pairs("-e", self.env), *_pairs("--label", self.labels), self.image, *_argv(self.command)]

    def call(self, client: DockerClient) -> Container | Output:
        container = self.create(client)
        if self.detach:
            try:
                container.start()
            except Exception:
                # The CLI leaves a container that could not start; its name would block the next try.
                container.remove(v=True, force=True)
                raise
            container.reload()
            return container
        return self._attend(client, container)

    def create(self, client: DockerClient) -> Container:
        """The container, made but not started, as `docker create` leaves it."""
        # docker-py's high-level call also lists each bind as an anonymous volume in the container's config, the CLI
        # does not; the low-level call leaves both to us.
        api = client.api
        host: dict[str, Any] = {
            "port_bindings": {port: ("127.0.0.1", host) for port, host in self.ports.items()} or None,
            "auto_remove": self.remove,
            "network_mode": self.network,
        }
        for option in ("binds", "mounts", "tmpfs"):
            values = [value for mount in self.mounts for value in mount.host_config().get(option, [])]
            if values:
                host[option] = dict(values) if option == "tmpfs" else values
        made = api.create_container(
            self.image,
            command=list(_argv(self.command)) or None,
            name=self.name,
            environment=dict(self.env),
            labels=dict(self.labels),
            working_dir=self.workdir,
            user=self.user,
            ports=[tuple(str(port).split("/")) for port in self.ports],
            volumes=[mount.target for mount in self.mounts if isinstance(mount, Anonymous)],
            host_config=api.create_host_config(**host),
        )
        return client.containers.get(made["Id"])

    def _attend(self, client: DockerClient, container: Container) -> Output:
        # With --rm the engine removes the container as soon as it ends, so its exit status is taken from the event
        # of its end: asking afterwards may come too late.
        last = "destroy" if self.remove else "die"
        # The clock of a remote engine, or of a virtual machine, is not ours: its own record of the creation counts.
        since = datetime.fromisoformat(container.attrs["Created"][:19] + "+00:00")
        events = client.events(since=int(since.timestamp()), filters={"container": [container.id]}, decode=True)
        stream = container.attach(stdout=True, stderr=True, stream=True, logs=True)
        try:
            container.start()
            text = b"".join(stream).decode(errors="replace")
            code = 0
            for event in events:
                if event["Action"] == "die":
                    code = int(event["Actor"]["Attributes"]["exitCode"])
                if event["Action"] == last:
                    break
            return Output(text, code)
        except BaseException:
            if self.remove:
                container.remove(v=True, force=True)
            raise
        finally:
            events.close()


@dataclass(frozen=True, repr=False)
class Exec(Command):
    """`docker exec`: one more program in a running container; a string runs through `sh -c`, a list as it is."""

    container: str
    command: str | Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None

    def __post_init__(self) -> None:
        words = ("sh", "-c", self.command) if isinstance(self.command, str) else tuple(self.command)
        object.__setattr__(self, "command", words)

    def words(self) -> list[str]:
        options = [*(["-w", self.workdir] if self.workdir else []), *(["-u", self.user] if self.user else [])]
        return ["docker", "exec", *options, *_pairs("-e", self.env), self.container, *self.command]

    def call(self, client: DockerClient) -> Output:
        api = client.api
        made = api.exec_create(
            self.container, list(self.command), environment=dict(self.env), workdir=self.workdir, user=self.user or ""
        )
        text = api.exec_start(made["Id"]).decode(errors="replace")
        return Output(text, api.exec_inspect(made["Id"])["ExitCode"])


@dataclass(frozen=True, repr=False)
class _OnContainer(Command):
    """A command whose only operand is a container."""

    container: str
    verb: ClassVar[str]

    def words(self) -> list[str]:
        return ["docker", self.verb, self.container]

    def call(self, client: DockerClient) -> Any:
        return getattr(client.api, self.verb)(self.container)


@dataclass(frozen=True, repr=False)
class Start(_OnContainer):
    """`docker start`: the same container, with its writable layer, runs again."""

    verb = "start"


@dataclass(frozen=True, repr=False)
class Pause(_OnContainer):
    """`docker pause`: its processes stand still where they are."""

    verb = "pause"


@dataclass(frozen=True, repr=False)
class Unpause(_OnContainer):
    """`docker unpause`: they go on."""

    verb = "unpause"


@dataclass(frozen=True, repr=False)
class Diff(_OnContainer):
    """`docker diff`: what its writable layer holds beyond the image; the call gives `Kind` (0 C, 1 A, 2 D) and `Path`."""

    verb = "diff"


@dataclass(frozen=True, repr=False)
class Stop(Command):
    """`docker stop`: ask the main process to end; after `timeout` seconds (the engine's 10 if not given), kill it."""

    container: str
    timeout: int | None = None

    def words(self) -> list[str]:
        return ["docker", "stop", *([] if self.timeout is None else ["-t", str(self.timeout)]), self.container]

    def call(self, client: DockerClient) -> None:
        client.api.stop(self.container, timeout=self.timeout)


@dataclass(frozen=True, repr=False)
class Remove(Command):
    """`docker rm`: the container and its writable layer; `volumes` its anonymous volumes as well, `force` even if it runs."""

    container: str
    volumes: bool = False
    force: bool = False

    def words(self) -> list[str]:
        return ["docker", "rm", *["-f"] * self.force, *["-v"] * self.volumes, self.container]

    def call(self, client: DockerClient) -> None:
        client.api.remove_container(self.container, v=self.volumes, force=self.force)


@dataclass(frozen=True, repr=False)
class CreateVolume(Command):
    """`docker volume create`: an empty named volume, or the one of that name that is there already."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> list[str]:
        return ["docker", "volume", "create", *_pairs("--label", self.labels), self.name]

    def call(self, client: DockerClient) -> Any:
        return client.volumes.create(self.name, labels=dict(self.labels))


@dataclass(frozen=True, repr=False)
class InspectVolume(Command):
    """`docker volume inspect`: the engine's record of a volume, as a dict."""

    name: str

    def words(self) -> list[str]:
        return ["docker", "volume", "inspect", self.name]

    def call(self, client: DockerClient) -> dict[str, Any]:
        record: dict[str, Any] = client.api.inspect_volume(self.name)
        return record


@dataclass(frozen=True, repr=False)
class RemoveVolume(Command):
    """`docker volume rm`: the volume and what is in it; refused while any container, stopped ones too, uses it."""

    name: str

    def words(self) -> list[str]:
        return ["docker", "volume", "rm", self.name]

    def call(self, client: DockerClient) -> None:
        client.api.remove_volume(self.name)


@dataclass(frozen=True, repr=False)
class ListVolumes(Command):
    """`docker volume ls`: the engine's records of its volumes."""

    def words(self) -> list[str]:
        return ["docker", "volume", "ls"]

    def call(self, client: DockerClient) -> list[dict[str, Any]]:
        return client.api.volumes()["Volumes"] or []


@dataclass(frozen=True, repr=False)
class ListContainers(Command):
    """`docker ps`: the running containers, with `all` the stopped ones too."""

    all: bool = True

    def words(self) -> list[str]:
        return ["docker", "ps", *["-a"] * self.all]

    def call(self, client: DockerClient) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = client.api.containers(all=self.all)
        return listed
