"""What can be done: each docker command as a value that prints as docker's own words and runs through the SDK.

Both come from the same fields, so the line that a learner sees and what happens cannot drift apart.
Nothing here looks for an engine or knows about labs: a command is called with a `docker.DockerClient`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from docker.errors import APIError, NotFound, create_api_error_from_http_exception
from requests.exceptions import HTTPError

from .errors import CommandError
from .mounts import Anonymous, Bind, Mount, Tmpfs, Volume
from .words import Command, Output, argv, checked_pairs, checked_port, pairs

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container
    from docker.models.images import Image
    from requests import Response

__all__ = [
    "Anonymous",
    "Bind",
    "Command",
    "CreateVolume",
    "Diff",
    "Exec",
    "InspectVolume",
    "ListContainers",
    "ListImages",
    "ListVolumes",
    "Mount",
    "Output",
    "Pause",
    "Remove",
    "RemoveImage",
    "RemoveNetwork",
    "RemoveVolume",
    "Run",
    "Start",
    "Stop",
    "Tmpfs",
    "Unpause",
    "Volume",
]


@dataclass(frozen=True, repr=False)
class Run(Command):
    """`docker run`: a new container of an image, started.

    `command` is a list of words, or a string that is split into them; `ports` maps a container's port (`5432`,
    `"53/udp"`) to one of the host's, or to `None` for a free one, always on 127.0.0.1. Detached, the call returns
    docker-py's `Container`; with `detach=False` it waits for the end and returns an `Output`. When it raises, no
    container is left.
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
        if not self.image or self.image.startswith("-"):
            raise CommandError("This is not an image's name.", f"Seen: {self.image!r}.", "Name one, as alpine.")
        for name, value in {
            "command": argv(self.command),
            "mounts": tuple(self.mounts),
            "env": checked_pairs(self.env),
            "labels": checked_pairs(self.labels),
            "ports": {checked_port(port): host for port, host in self.ports.items()},
        }.items():
            object.__setattr__(self, name, value)

    def words(self) -> list[str]:
        words = ["docker", "run"]
        words += ["-d"] * self.detach + ["--rm"] * self.remove
        options = {"--name": self.name, "-w": self.workdir, "-u": self.user, "--network": self.network}
        for flag, value in options.items():
            words += [flag, value] if value else []
        for port, host in self.ports.items():
            inside = str(port).removesuffix("/tcp")
            words += ["-p", f"127.0.0.1:{'' if host is None else host}:{inside}"]
        for mount in self.mounts:
            words += mount.words()
        return [*words, *pairs("-e", self.env), *pairs("--label", self.labels), self.image, *argv(self.command)]

    def call(self, client: DockerClient) -> Container | Output:
        container = self.create(client)
        try:
            if not self.detach:
                return self._attend(client, container)
            container.start()
        except BaseException:
            # The CLI leaves a container that could not start; its name would block the next try.
            with contextlib.suppress(Exception):
                container.remove(v=True, force=True)
            raise
        with contextlib.suppress(NotFound):  # with --rm a short program may be gone by now
            container.reload()
        return container

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
            command=list(argv(self.command)) or None,
            name=self.name,
            environment=dict(self.env),
            labels=dict(self.labels),
            working_dir=self.workdir,
            user=self.user,
            ports=[tuple(str(port).split("/")) for port in self.ports],
            detach=self.detach,
            volumes=[mount.target for mount in self.mounts if isinstance(mount, Anonymous)],
            host_config=api.create_host_config(**host),
        )
        return client.containers.get(made["Id"])

    def _attend(self, client: DockerClient, container: Container) -> Output:
        # With --rm the engine removes the container as soon as it ends, and then knows no status. So, as the CLI does,
        # the question comes first: it is taken at once, and answered at the end.
        wait = f"/containers/{container.id}/wait?condition={'removed' if self.remove else 'next-exit'}"
        attach = f"/containers/{container.id}/attach?stdout=1&stderr=1&stream=1"
        with _post(client, wait) as waiting, _post(client, attach) as written:
            container.start()
            return Output(_unframed(written.content).decode(errors="replace"), waiting.json()["StatusCode"])


def _post(client: DockerClient, path: str, **options: Any) -> Response:
    """Ask for an answer that comes bit by bit, for as long as it takes."""
    # docker-py's own calls for these read past Python's buffer, and lose what came together with the answer's head.
    api = client.api
    answer = api.post(f"{api.base_url}/v{api.api_version}{path}", stream=True, timeout=None, **options)
    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)  # raises it as docker-py would
    return answer


def _unframed(stream: bytes) -> bytes:
    """Both outputs as they came, out of the engine's frames: a byte for which one, three of nothing, four of length."""
    parts, at = [], 0
    while at < len(stream):
        end = at + 8 + int.from_bytes(stream[at + 4 : at + 8], "big")
        parts.append(stream[at + 8 : end])
        at = end
    return b"".join(parts)


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
        object.__setattr__(self, "env", checked_pairs(self.env))

    def words(self) -> list[str]:
        options = [*(["-w", self.workdir] if self.workdir else []), *(["-u", self.user] if self.user else [])]
        return ["docker", "exec", *options, *pairs("-e", self.env), self.container, *self.command]

    def call(self, client: DockerClient) -> Output:
        api = client.api
        options: dict[str, Any] = {"environment": dict(self.env), "workdir": self.workdir, "user": self.user or ""}
        made = api.exec_create(self.container, list(self.command), **options)
        with _post(client, f"/exec/{made['Id']}/start", json={"Detach": False, "Tty": False}) as written:
            text = _unframed(written.content).decode(errors="replace")
        # The output may end before the program does, or before the engine has noted how it did.
        while (record := api.exec_inspect(made["Id"]))["ExitCode"] is None:
            time.sleep(0.01)
        return Output(text, record["ExitCode"])


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
    """`docker diff`: its writable layer's changes to the image, each with `Kind` (0 C, 1 A, 2 D) and `Path`."""

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
    """`docker rm`: the container and its writable layer; `volumes` also its anonymous ones, `force` even if it runs."""

    container: str
    volumes: bool = False
    force: bool = False

    def words(self) -> list[str]:
        return ["docker", "rm", *["-f"] * self.force, *["-v"] * self.volumes, self.container]

    def call(self, client: DockerClient) -> None:
        try:
            client.api.remove_container(self.container, v=self.volumes, force=self.force)
        except APIError as error:
            if "already in progress" not in str(error.explanation):
                raise
            with contextlib.suppress(NotFound):  # it goes by itself, as one with --rm does
                if client.api.wait(self.container, timeout=60, condition="removed").get("Error"):
                    raise


@dataclass(frozen=True, repr=False)
class CreateVolume(Command):
    """`docker volume create`: an empty named volume, or the one of that name that is there already."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", checked_pairs(self.labels))

    def words(self) -> list[str]:
        return ["docker", "volume", "create", *pairs("--label", self.labels), self.name]

    def call(self, client: DockerClient) -> Any:
        return client.volumes.create(self.name, labels=dict(self.labels))


@dataclass(frozen=True, repr=False)
class _Named(Command):
    """A command whose only operand is the name of a volume, a network or an image."""

    name: str
    verb: ClassVar[str]
    method: ClassVar[str]

    def words(self) -> list[str]:
        return ["docker", *self.verb.split(), self.name]

    def call(self, client: DockerClient) -> Any:
        return getattr(client.api, self.method)(self.name)


@dataclass(frozen=True, repr=False)
class InspectVolume(_Named):
    """`docker volume inspect`: the engine's record of a volume, as a dict."""

    verb, method = "volume inspect", "inspect_volume"


@dataclass(frozen=True, repr=False)
class RemoveVolume(_Named):
    """`docker volume rm`: the volume and what is in it; refused while any container, stopped ones too, uses it."""

    verb, method = "volume rm", "remove_volume"

    def call(self, client: DockerClient) -> Any:
        deadline = time.monotonic() + 10
        while True:
            try:
                return super().call(client)
            except APIError as error:
                # A container's name goes before its hold on a volume does (moby, daemon/delete.go).
                held = client.api.containers(all=True, filters={"volume": self.name})
                if "in use" not in str(error.explanation) or held or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


@dataclass(frozen=True, repr=False)
class RemoveNetwork(_Named):
    """`docker network rm`: a network that no container is connected to."""

    verb, method = "network rm", "remove_network"


@dataclass(frozen=True, repr=False)
class RemoveImage(_Named):
    """`docker image rm`: the name, and with its last one the image; refused while any container is made of it."""

    verb, method = "image rm", "remove_image"


@dataclass(frozen=True, repr=False)
class ListVolumes(Command):
    """`docker volume ls`: the engine's records of its volumes, by name; the engine itself gives them in any order."""

    def words(self) -> list[str]:
        return ["docker", "volume", "ls"]

    def call(self, client: DockerClient) -> list[dict[str, Any]]:
        return sorted(client.api.volumes()["Volumes"] or [], key=itemgetter("Name"))


@dataclass(frozen=True, repr=False)
class ListContainers(Command):
    """`docker ps`: the running containers, with `all` the stopped ones too."""

    all: bool = True

    def words(self) -> list[str]:
        return ["docker", "ps", *["-a"] * self.all]

    def call(self, client: DockerClient) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = client.api.containers(all=self.all)
        return listed


@dataclass(frozen=True, repr=False)
class ListImages(Command):
    """`docker image ls`: docker-py's `Image`s of the engine."""

    def words(self) -> list[str]:
        return ["docker", "image", "ls"]

    def call(self, client: DockerClient) -> list[Image]:
        return client.images.list()
