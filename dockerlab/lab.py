"""A sitting at an engine: runs commands, shows docker's own words, records, labels what it makes, and cleans up."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from operator import itemgetter
from secrets import token_hex
from typing import Any, Self

import docker.errors
import pandas as pd
from docker.models.containers import Container
from docker.models.volumes import Volume

from . import checks, commands, listings, prune
from .belongings import Belongings
from .claims import Box, Claims, reference
from .engine import images
from .engine.find import Engine, find
from .errors import DockerLabError, EngineError, NotFoundError
from .journal import Journal
from .mounts import Mount
from .mounts import Volume as VolumeMount
from .refusals import REFUSALS, explain, explained

__all__ = ["Lab"]


class Lab:
    """A place to try docker commands on a real engine, whose every trace can be removed again.

    `engine` is what `DOCKERLAB_ENGINE` may hold: `"private"`, a URL, or nothing for the first that answers; an `Engine`
    is taken as it is. `owner` (or `DOCKERLAB_OWNER`) keeps several people on one engine apart: it stands before every
    name. `echo` gets each docker line as it runs; `None` is silent. Raises `EngineError` where no engine answers.

        lab = Lab("demo")
        box = lab.run("alpine", "sleep infinity", name="writer", mounts=[Volume("my-data", "/data")])

    All that it makes carries the label `dockerlab=<name>` and stays until `cleanup()`; used in a `with`, it cleans up
    at the end. Every method raises as `do` does.
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
        self.belongings = Belongings(name, owner, self.engine)
        self.claims = Claims(self.engine.client, self.belongings)
        self.say = echo or (lambda line: None)
        self._journal = Journal()
        self._started, self._failures = time.time(), dict[str, int]()
        self._earlier = set[str]()  # containers that the opening cleanup removed
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

    def do(self, command: commands.Command, *, quietly: bool = False) -> Any:
        """Run a command value: show its line (unless `quietly`), call the engine, record it, and return the answer.

        Names are given the owner's prefix and what is made the lab's labels. Raises `ForeignError` before anything is
        changed that is not the lab's, and another `DockerLabError` that says the engine's refusal; both are recorded.
        """
        start, outcome = time.perf_counter(), "interrupted"
        try:
            command = self._prepare(command)
            if not quietly:
                self._show(command)
            result = command.call(self.engine.client)
            self._look_at(command, result)
            failed = isinstance(result, commands.Output) and result.exit_code
            outcome = f"exit status {result.exit_code}" if failed else "done"
            return result
        except DockerLabError as refusal:
            outcome = refusal.what
            raise
        except REFUSALS as error:
            known = explain(error, command, self.engine.client, self.belongings)
            outcome = known.what
            raise known from None
        finally:
            self._journal.record(str(command), command.redacted(), time.perf_counter() - start, outcome)

    def record(self, line: str, shown: str, seconds: float, outcome: str = "done") -> None:
        """Note a line that was run by other means, such as `%docker`; what it made is noticed as well.

        Raises `EngineError` where no engine answers any more; the line is noted then too.
        """
        try:
            with self._explained(commands.ListContainers()):
                self._notice(self.claims.containers())
        finally:
            self._journal.record(line, shown, seconds, outcome)

    def _prepare(self, command: commands.Command) -> commands.Command:
        """The command with names and labels of this lab, once it is clear that it touches nothing foreign."""
        match command:
            case commands.Run():
                return self._prepare_run(command)
            case commands.CreateVolume():
                labels = {**command.labels, **self.belongings.labels}
                return replace(command, name=self.belongings.full(command.name), labels=labels)
            case commands.InspectVolume():
                return replace(command, name=self.claims.volume_name(command.name))
            case commands.RemoveVolume():
                return replace(command, name=self.claims.volume(command.name))
            case commands.Diff():
                return replace(command, container=str(self.claims.look_up(command.container).name))
            case commands.Remove():
                container = self.claims.container(command.container)
                self.belongings.notice([_listed(container)])
                return replace(command, container=str(container.name))
            case commands.Exec() | commands.Start() | commands.Stop() | commands.Pause() | commands.Unpause():
                return replace(command, container=str(self.claims.container(command.container).name))
        return command

    def _prepare_run(self, run: commands.Run) -> commands.Run:
        image = self.claims.image(run.image)
        images.ensure(self.engine, image, report=self.say)
        mounts = []
        for mount in run.mounts:
            if isinstance(mount, VolumeMount):
                mount = replace(mount, source=self.belongings.full(mount.source))
                self.claim_volume(mount.source)
            mounts.append(mount)
        # Later lines speak of a detached container, and pasted into a terminal they must find it there too.
        name = run.name or (_new_name(image) if run.detach else None)
        return replace(
            run,
            image=image,
            name=name and self.belongings.full(name),
            mounts=tuple(mounts),
            network=run.network and self.claims.network(run.network),
            labels={**run.labels, **self.belongings.labels},
        )

    def _look_at(self, command: commands.Command, result: object) -> None:
        if isinstance(result, Container):
            self._notice([_listed(result)])
        elif isinstance(command, commands.Run) and not command.remove:
            self._notice(self.claims.containers())  # it ended, and is still there
        elif isinstance(result, Volume):
            # The engine hands out an existing volume as if it had made it; its labels tell whose it is.
            self.belongings.refuse_foreign("volume", str(result.name), result.attrs["Labels"])

    def _notice(self, containers: list[dict[str, Any]]) -> None:
        self.belongings.notice(containers)
        self._journal.notice(each for each in containers if "Created" not in each or each["Created"] >= self._began)

    @cached_property
    def _began(self) -> int:
        """When the sitting began by the engine's clock, in whole seconds, as the engine lists them."""
        return int(self._started + self.engine.now() - time.time())

    def _show(self, command: commands.Command) -> None:
        line, powershell = str(command), command.powershell()
        self.say(line)
        if powershell != line:
            self.say(f"# PowerShell: {powershell}")

    # What a command is about to use

    def container(self, box: Box) -> Container:
        """docker-py's `Container`, as it is now; `NotFoundError` with near names where there is none."""
        return self.claims.look_up(box)

    def claim_volume(self, name: str, *, quietly: bool = False) -> None:
        """See that a named volume is there and this lab's to use; a missing one is created with its label.

        `docker run -v` would make it too, but without the label by which cleanup finds it. `quietly` is for a line that
        docker itself runs: to the learner, that line makes the volume.
        """
        try:
            self.claims.volume(name)
        except docker.errors.NotFound:
            self.do(commands.CreateVolume(name), quietly=quietly)

    # Containers

    def run(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        name: str | None = None,
        mounts: Iterable[Mount] = (),
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
        container's port to one of the host's, or to `None` for a free one, on 127.0.0.1. A detached container without a
        name is given one here, so that the lines that follow still mean it when they are pasted. A name that is taken,
        a port in use or a foreign volume raises, and nothing is left behind.
        """
        return self.do(
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

    def exec(self, box: Box, command: str | Sequence[str], *, user: str | None = None) -> commands.Output:
        """`docker exec`: a string runs through `sh -c`, a list as it is. Returns `.text` and `.exit_code`."""
        output: commands.Output = self.do(commands.Exec(reference(box), command, user=user))
        return output

    def stop(self, box: Box, timeout: int | None = None) -> None:
        """`docker stop`: the writable layer stays. After `timeout` seconds (10 if not given) the program is killed."""
        self.do(commands.Stop(reference(box), timeout))

    def start(self, box: Box) -> None:
        """`docker start`: the same container runs again."""
        self.do(commands.Start(reference(box)))

    def remove(self, box: Box, volumes: bool = False, *, force: bool = False) -> None:
        """`docker rm`: the container and its writable layer are gone; with `volumes` its anonymous volumes too."""
        self.do(commands.Remove(reference(box), volumes, force))

    def changes(self, box: Box) -> pd.DataFrame:
        """`docker diff` as a DataFrame: `kind` (A added, C changed, D deleted) and `path`, in the order of paths."""
        found = sorted(self.do(commands.Diff(reference(box))) or (), key=itemgetter("Path"))
        return pd.DataFrame([("CAD"[item["Kind"]], item["Path"]) for item in found], columns=["kind", "path"])

    def containers(self, all: bool = False) -> pd.DataFrame:
        """`docker ps -a` as a DataFrame: `name`, `image`, `state`, `mounts`, `ports`, `id` (12 digits).

        What this lab may touch; with `all` everything on the engine.
        """
        found = self.do(commands.ListContainers())
        return listings.containers(
            (item for item in found if all or self.belongings.may_touch(item["Labels"])), self.belongings
        )

    # Volumes

    def create_volume(self, name: str) -> Any:
        """`docker volume create`: docker-py's `Volume`, new or this lab's own of that name."""
        return self.do(commands.CreateVolume(name))

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
        found, users = self.do(commands.ListVolumes()), self._users()
        mine = (item for item in found if all or self.belongings.may_touch(item["Labels"], item["Name"]))
        return listings.volumes(mine, users, self.belongings)

    def plan_prune(self, all: bool = False) -> prune.Plan:
        """What `docker volume prune` (with `all`, `--all`) would remove on this engine; `.apply()` removes just that.

        Before Engine 23 a prune takes every unused volume; from 23 on only anonymous ones, all with `--all`.
        """
        found = self._ask(commands.ListVolumes())
        return prune.plan(found, self._users(), self.belongings, self.engine, self.do, all=all)

    def _users(self) -> dict[str, list[str]]:
        """Who uses which of the volumes listed just before; what other labs orphaned until now is known as theirs."""
        users = listings.users(self._ask(commands.ListContainers()), self.belongings)
        self.belongings.recall()
        return users

    def _ask(self, command: commands.Command) -> Any:
        """What a command that only looks gives, for an answer of our own: not shown, not recorded."""
        with self._explained(command):
            return command.call(self.engine.client)

    def _explained(self, command: commands.Command) -> AbstractContextManager[None]:
        return explained(command, self.engine.client, self.belongings)

    # The sitting as a whole

    def images(self) -> pd.DataFrame:
        """`docker image ls` as a DataFrame: `image`, `megabytes`, `origin` (pulled, stand-in …), `id` (12 digits)."""
        rows = [
            (tag, round(image.attrs["Size"] / 1e6, 1), images.origin(image), str(image.id).removeprefix("sha256:")[:12])
            for image in self.do(commands.ListImages())
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
        evidence = checks.Evidence(self.engine, self.belongings, self._started, self._earlier)
        with self._explained(commands.ListContainers()):
            return checks.judge(id, evidence, self._failures)

    def cleanup(self) -> list[str]:
        """Remove what this lab made, running or not, and only that: containers, volumes, networks, images it built.

        Returns what went, as in `["container writer", "volume my-data"]`. Anything still used by something foreign is
        left and said.
        """
        self.belongings.recall()
        opens = not self._journal.entries
        gone, left = [], []
        with self._explained(commands.ListContainers()):
            for thing, command in self.claims.everything():
                try:
                    self.do(command)
                except NotFoundError:
                    continue  # it went by itself, as a container with --rm does
                except EngineError:
                    raise
                except DockerLabError as error:
                    left.append(str(error))
                else:
                    gone.append(thing)
                    if opens and isinstance(command, commands.Remove):
                        self._earlier.add(command.container)
        if opens:
            self._journal.opening = len(self._journal.entries)
        if left:
            self.say("\n".join(["Left, since something that this lab did not make uses it:", *left]))
        else:
            self.belongings.forget()
        return gone


def _new_name(image: str) -> str:
    return f"{re.split('[:@]', image.rpartition('/')[2])[0]}-{token_hex(3)}"


def _listed(container: Container) -> dict[str, Any]:
    """A container as in a record of `docker ps`."""
    mounts = container.attrs["Mounts"]
    return {"Id": container.id, "Names": [container.name], "Labels": container.labels, "Mounts": mounts}
