"""A sitting at an engine: runs commands, shows docker's own words, records, labels what it makes, and cleans up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import docker.errors
import pandas as pd
import requests.exceptions
from docker.models.containers import Container

from . import checks, commands
from .belongings import Belongings, is_anonymous
from .engine import images
from .engine.find import Engine, find
from .errors import InUseError, NotFoundError
from .journal import Journal
from .prune import Plan, prunes_named
from .refusals import explain, near

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Lab"]

Box = Container | str


class Lab:
    """A place to try docker commands on a real engine, whose every trace can be removed again.

    `engine` is what `DOCKERLAB_ENGINE` may hold: `"private"`, a URL, or nothing for the first that answers; an `Engine`
    is taken as it is. `owner` (or `DOCKERLAB_OWNER`) keeps several people on one engine apart: it stands before every
    name. `echo` gets each docker line as it runs; `None` is silent. Raises `EngineError` where no engine answers.

        lab = Lab("demo")
        box = lab.run("alpine", "sleep infinity", name="writer", mounts=[Volume("my-data", "/data")])

    All that it makes carries the label `dockerlab=<name>` and stays until `cleanup()`; used in a `with`, it cleans up
    at the end.
    """

    latest: Lab | None = None

    def __init__(
        self,
        name: str = "lab",
        *,
        engine: str | Engine | None = None,
        owner: str | None = None,
        echo: Callable[[str], None] | None = print,
    ) -> None:
        self.name = name
        self.engine = engine if isinstance(engine, Engine) else find(engine)
        owner = os.environ.get("DOCKERLAB_OWNER", "") if owner is None else owner
        self.belongings = Belongings(name, owner, private=self.engine.private)
        self.say = echo or (lambda line: None)
        self._journal = Journal()
        self._started, self._failures = time.time(), dict[str, int]()
        Lab.latest = self

    @property
    def owner(self) -> str:
        """Who it belongs to on a shared engine; empty when nobody was named."""
        return self.belongings.owner

    def __repr__(self) -> str:
        return f"Lab({self.name!r}{f', owner={self.owner!r}' if self.owner else ''}) on {self.engine!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    # One way in for every command.

    def do(self, command: commands.Command) -> Any:
        """Run a command value: show its line, call the engine, record it, and return what its `call` returns.

        Raises a `DockerLabError` that says the engine's refusal in three lines; the refusal is recorded too.
        """
        command = self._prepare(command)
        self._show(command)
        start = time.perf_counter()
        try:
            result = command.call(self.engine.client)
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            refusal = explain(error, command, self.engine.client)
            self._journal.record(str(command), command.redacted(), time.perf_counter() - start, refusal.what)
            raise refusal from error
        failed = isinstance(result, commands.Output) and result.exit_code
        outcome = f"exit status {result.exit_code}" if failed else "done"
        self._journal.record(str(command), command.redacted(), time.perf_counter() - start, outcome)
        return result

    def record(self, line: str, shown: str, seconds: float, outcome: str = "done") -> None:
        """Note a line that was run by other means, such as `%docker`; what it made is noticed as well."""
        self._journal.record(line, shown, seconds, outcome)
        self.belongings.notice(self._own_containers())

    def _prepare(self, command: commands.Command) -> commands.Command:
        """The command with names and labels of this lab, once it is clear that it touches nothing foreign."""
        match command:
            case commands.Run():
                return self._prepare_run(command)
            case commands.CreateVolume():
                labels = {**command.labels, **self.belongings.labels}
                return replace(command, name=self.belongings.full(command.name), labels=labels)
            case commands.RemoveVolume() | commands.InspectVolume():
                name = self.belongings.full(command.name)
                record = self._volume(name)
                if isinstance(command, commands.RemoveVolume):
                    self.belongings.refuse_foreign("volume", name, record["Labels"])
                return replace(command, name=name)
        return command

    def _prepare_run(self, run: commands.Run) -> commands.Run:
        images.ensure(self.engine, run.image, report=self.say)
        mounts = []
        for mount in run.mounts:
            if isinstance(mount, commands.Volume):
                mount = replace(mount, source=self.belongings.full(mount.source))
                self.claim_volume(mount.source)
            mounts.append(mount)
        name = self.belongings.full(run.name) if run.name else None
        return replace(run, name=name, mounts=tuple(mounts), labels={**run.labels, **self.belongings.labels})

    def claim_volume(self, name: str, *, quietly: bool = False) -> None:
        """See that a named volume is there and this lab's to use; a missing one is created with its label.

        `docker run -v` would make it too, but without the label by which cleanup finds it. `quietly` is for a line that
        docker itself runs: to the learner, that line makes the volume.
        """
        try:
            labels = self.engine.client.api.inspect_volume(name)["Labels"]
        except docker.errors.NotFound:
            if quietly:
                commands.CreateVolume(name, self.belongings.labels).call(self.engine.client)
            else:
                self.create_volume(name)
        else:
            self.belongings.refuse_foreign("volume", name, labels)

    def _show(self, command: commands.Command) -> None:
        line, powershell = str(command), command.powershell()
        self.say(line)
        if powershell != line:
            self.say(f"# PowerShell: {powershell}")

    # Containers

    def run(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        name: str | None = None,
        mounts: Iterable[commands.Mount] = (),
        env: Mapping[str, str] | None = None,
        ports: Mapping[int | str, int | None] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        network: str | None = None,
        labels: Mapping[str, str] | None = None,
        detach: bool = True,
        remove: bool = False,
    ) -> Any:
        """`docker run`: docker-py's `Container`; with `detach=False` it waits and returns an `Output`.

        The image is made to be there first (`ImageError` where it cannot be), and so are named volumes. `ports` maps a
        container's port to one of the host's, or to `None` for a free one, on 127.0.0.1. A name that is taken, a port
        in use or a foreign volume raises, and nothing is left behind.
        """
        made = self.do(
            commands.Run(
                image,
                command,
                name=name,
                mounts=tuple(mounts),
                env=env or {},
                ports=ports or {},
                workdir=workdir,
                user=user,
                network=network,
                labels=labels or {},
                detach=detach,
                remove=remove,
            )
        )
        if isinstance(made, Container):
            self.belongings.notice([{"Labels": made.labels, "Mounts": made.attrs["Mounts"]}])
        return made

    def exec(self, box: Box, command: str | Sequence[str], *, user: str | None = None) -> commands.Output:
        """`docker exec`: a string runs through `sh -c`, a list as it is. Returns `.text` and `.exit_code`."""
        output: commands.Output = self.do(commands.Exec(self._touch(box), command, user=user))
        return output

    def stop(self, box: Box, timeout: int | None = None) -> None:
        """`docker stop`: the writable layer stays. After `timeout` seconds (10 if not given) the program is killed."""
        self.do(commands.Stop(self._touch(box), timeout))

    def start(self, box: Box) -> None:
        """`docker start`: the same container runs again."""
        self.do(commands.Start(self._touch(box)))

    def remove(self, box: Box, volumes: bool = False, *, force: bool = False) -> None:
        """`docker rm`: the container and its writable layer are gone; with `volumes` its anonymous volumes too."""
        name = self._touch(box)
        self.belongings.notice(self._own_containers())
        self.do(commands.Remove(name, volumes, force))

    def changes(self, box: Box) -> pd.DataFrame:
        """`docker diff` as a DataFrame: `kind` (A added, C changed, D deleted) and `path`."""
        found = self.do(commands.Diff(self._name(box))) or []
        return pd.DataFrame([("CAD"[item["Kind"]], item["Path"]) for item in found], columns=["kind", "path"])

    def container(self, box: Box) -> Container:
        """docker-py's `Container`, as it is now; `NotFoundError` with near names where there is none."""
        name = self._name(box)
        try:
            return self.engine.client.containers.get(name)
        except docker.errors.NotFound:
            names = [self.belongings.short(_first_name(item)) for item in self._own_containers()]
            raise NotFoundError(
                f"There is no container {self.belongings.short(name)}.",
                f"Seen on: {self.engine!r}",
                near(self.belongings.short(name), names),
            ) from None

    def containers(self, all: bool = False) -> pd.DataFrame:
        """`docker ps -a` as a DataFrame: `name`, `image`, `state`, `mounts`, `ports`, `id` (12 digits).

        What this lab may touch; with `all` everything on the engine.
        """
        rows = []
        for item in self.do(commands.ListContainers()):
            if all or self.belongings.may_touch(item["Labels"]):
                mounts = ", ".join(
                    f"{mount.get('Name') or mount['Source']}:{mount['Destination']}" for mount in item["Mounts"]
                )
                ports = ", ".join(
                    f"{port['IP']}:{port['PublicPort']}->{port['PrivatePort']}"
                    for port in item["Ports"]
                    if "PublicPort" in port
                )
                name = self.belongings.short(_first_name(item))
                rows.append((name, item["Image"], item["State"], mounts, ports, item["Id"][:12]))
        return pd.DataFrame(rows, columns=["name", "image", "state", "mounts", "ports", "id"])

    def _name(self, box: Box) -> str:
        return self.belongings.full(box) if isinstance(box, str) else str(box.name)

    def _touch(self, box: Box) -> str:
        """The engine's name of a container that this lab may change."""
        container = self.container(box) if isinstance(box, str) else box
        self.belongings.refuse_foreign("container", str(container.name), container.labels)
        return str(container.name)

    def _own_containers(self) -> list[dict[str, Any]]:
        labels = [f"{key}={value}" for key, value in self.belongings.labels.items()]
        found = self.engine.client.api.containers(all=True, filters={"label": labels})
        return [item for item in found if self.belongings.made(item["Labels"])]

    # Volumes

    def create_volume(self, name: str) -> Any:
        """`docker volume create`: docker-py's `Volume`, new or this lab's own of that name."""
        made = self.do(commands.CreateVolume(name))
        # The engine hands out an existing volume as if it had made it; its labels tell whose it is.
        self.belongings.refuse_foreign("volume", made.name, made.attrs["Labels"])
        return made

    def inspect_volume(self, name: str) -> dict[str, Any]:
        """`docker volume inspect`: the engine's record, with Name, Driver, Mountpoint, Scope, Labels."""
        record: dict[str, Any] = self.do(commands.InspectVolume(name))
        return record

    def remove_volume(self, name: str) -> None:
        """`docker volume rm`: the volume and what is in it, for good. `InUseError` names the containers that use it."""
        self.do(commands.RemoveVolume(name))

    def volumes(self, all: bool = False) -> pd.DataFrame:
        """`docker volume ls` as a DataFrame: `name`, `driver`, `anonymous`, `used_by`, `mountpoint`.

        What this lab may touch; with `all` everything on the engine. `used_by` lists containers, stopped ones too.
        """
        users = self._users()
        rows = [
            (self.belongings.short(item["Name"]), item["Driver"], is_anonymous(item["Name"]))
            + (", ".join(users.get(item["Name"], ())), item["Mountpoint"])
            for item in self.do(commands.ListVolumes())
            if all or self.belongings.may_touch(item["Labels"], item["Name"])
        ]
        return pd.DataFrame(rows, columns=["name", "driver", "anonymous", "used_by", "mountpoint"])

    def plan_prune(self, all: bool = False) -> Plan:
        """What `docker volume prune` (with `all`, `--all`) would remove on this engine; `.apply()` removes just that.

        Before Engine 23 a prune takes every unused volume; from 23 on only anonymous ones, all with `--all`.
        """
        users, named_too = self._users(), all or prunes_named(self.engine.api_version)
        removes, keeps, foreign = [], [], []
        for item in self.engine.client.api.volumes()["Volumes"] or []:
            name, anonymous = item["Name"], is_anonymous(item["Name"])
            if not self.belongings.may_touch(item["Labels"], name):
                foreign += [name] if name not in users and (anonymous or named_too) else []
                continue
            row = (self.belongings.short(name), anonymous)
            if name in users:
                keeps.append((*row, f"used by {', '.join(users[name])}"))
            elif anonymous or named_too:
                removes.append((*row, "unused"))
            else:
                keeps.append((*row, "named: only prune --all takes it"))
        columns = ["name", "anonymous", "why"]
        rule = (
            "all unused volumes"
            if prunes_named(self.engine.api_version)
            else "unused anonymous volumes, all with --all"
        )
        note = f"Engine {self.engine.version} prunes {rule}. Volumes that are not this lab's are left alone."
        return Plan(
            pd.DataFrame(removes, columns=columns), pd.DataFrame(keeps, columns=columns), foreign, note, self.do
        )

    def _volume(self, name: str) -> dict[str, Any]:
        api = self.engine.client.api
        try:
            record: dict[str, Any] = api.inspect_volume(name)
        except docker.errors.NotFound:
            names = [self.belongings.short(item["Name"]) for item in api.volumes()["Volumes"] or []]
            short = self.belongings.short(name)
            raise NotFoundError(
                f"There is no volume {short}.", f"Seen on: {self.engine!r}", near(short, names)
            ) from None
        return record

    def _users(self) -> dict[str, list[str]]:
        """By volume, the containers that use it, stopped ones too."""
        users: dict[str, list[str]] = {}
        for item in self.engine.client.api.containers(all=True):
            for mount in item["Mounts"]:
                if mount["Type"] == "volume":
                    users.setdefault(mount["Name"], []).append(self.belongings.short(_first_name(item)))
        return users

    # The sitting as a whole

    def images(self) -> pd.DataFrame:
        """`docker image ls` as a DataFrame: `image`, `megabytes`, `origin` (pulled, stand-in …), `id` (12 digits)."""
        rows = [
            (tag, round(image.attrs["Size"] / 1e6, 1), images.origin(image), str(image.id).removeprefix("sha256:")[:12])
            for image in self.engine.client.images.list()
            for tag in image.tags
        ]
        return pd.DataFrame(rows, columns=["image", "megabytes", "origin", "id"])

    @property
    def journal(self) -> pd.DataFrame:
        """What was done, as a DataFrame: `at`, `seconds`, `command`, `outcome`; secrets are starred out."""
        return self._journal.frame()

    def script(self) -> str:
        """The sitting as a shell script, as typed: a terminal on a clean engine makes the same things with it."""
        return self._journal.script(f"The sitting {self.name!r}, for a clean engine ({self.engine!r} it was).")

    def check(self, id: str) -> checks.Verdict:
        """Whether a claim (`"K4"`) or an exercise (`"03-exercise"`) holds on this engine, from its state alone.

        The verdict is true in an `if`, and says what was expected, what was observed and a hint; asked again in vain,
        the next one. Only what happened since this lab was created counts.
        """
        evidence = checks.Evidence(self.engine, self.belongings, self._started)
        return checks.judge(id, evidence, self._failures)

    def cleanup(self) -> list[str]:
        """Remove what this lab made, running or not, and only that: containers, volumes, networks, images it built.

        Returns what went, as in `["container writer", "volume my-data"]`. Anything still used by something foreign is
        left and said.
        """
        client, gone, left = self.engine.client, [], []
        containers = self._own_containers()
        self.belongings.notice(containers)
        for item in containers:
            self.do(commands.Remove(_first_name(item), volumes=True, force=True))
            gone.append(f"container {self.belongings.short(_first_name(item))}")
        for item in client.api.volumes()["Volumes"] or []:
            if self.belongings.made(item["Labels"], item["Name"]):
                try:
                    self.do(commands.RemoveVolume(item["Name"]))
                    gone.append(f"volume {self.belongings.short(item['Name'])}")
                except (InUseError, NotFoundError) as error:
                    left.append(str(error))
        labels = {"label": [f"{key}={value}" for key, value in self.belongings.labels.items()]}
        for network in client.networks.list(filters=labels):
            network.remove()
            gone.append(f"network {network.name}")
        for image in client.images.list(filters=labels):
            client.images.remove(str(image.id), force=True)
            gone.append(f"image {', '.join(image.tags) or image.short_id}")
        if left:
            self.say("Left, since it is used by something that this lab did not make:\n" + "\n".join(left))
        else:
            self.belongings.forget()
        return gone


def _first_name(record: Mapping[str, Any]) -> str:
    """A container's name in a record of `docker ps`, where links add further ones."""
    return str(min(record["Names"], key=len)).lstrip("/")
