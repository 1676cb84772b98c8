"""What is here and whether it works: the engines looked for, the images, a real container and a real Postgres."""

from __future__ import annotations

import platform
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException

from .commands import Output
from .engine import images
from .engine.find import Attempt, Engine, attempts
from .errors import CommandError, DockerLabError
from .lab import Lab
from .postgres import Postgres

__all__ = ["Report", "Trial", "examine"]

DATABASE = "postgres:16-alpine"


@dataclass(frozen=True)
class Trial:
    """Something that was done for real, or not: `worked` is None where it could not be tried."""

    worked: bool | None
    seen: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """What the doctor saw; prints as a page. `images` maps names to `pulled`, `stand-in`, `loaded` or `absent`."""

    system: dict[str, str]
    looked_for: list[dict[str, str]]
    engine: dict[str, Any] | None = None
    images: dict[str, str] = field(default_factory=dict)
    container: Trial = Trial(None, "no engine")
    postgres: Trial = Trial(None, "no engine")
    next_step: str = ""

    @property
    def usable(self) -> bool:
        """Whether the course can be used as it is: a container ran, and nothing that was tried failed."""
        return bool(self.container.worked) and self.postgres.worked is not False

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON's types."""
        return {**asdict(self), "usable": self.usable}

    def __str__(self) -> str:
        engine = [f"{name.replace('_', ' ')}: {value}" for name, value in (self.engine or {}).items()]
        sections = {
            "This machine": [f"{name}: {value}" for name, value in self.system.items()],
            "Looked for an engine": [f"{place['source']}: {place['outcome']}" for place in self.looked_for],
            "Engine": engine or ["none answers"],
            "Images": [f"{name}: {origin}" for name, origin in self.images.items()] or ["no engine to ask"],
            "Tried": [f"container: {self.container.seen}", f"Postgres: {self.postgres.seen}"],
        }
        lines = []
        for title, entries in sections.items():
            lines += [title, *(f"  {entry}" for entry in entries)]
        return "\n".join([*lines, f"{'Works' if self.usable else 'Does not work yet'}. {self.next_step}"])


def examine() -> Report:
    """Look for an engine, start none, and try the first that answers with a real container and a real Postgres.

    Both live in a lab of their own that is removed again. Images are used if they are there, never pulled or built.
    """
    tried = attempts()
    try:
        return _examine(tried)
    finally:
        for attempt in tried:
            if attempt.engine:
                attempt.engine.client.close()


def _examine(tried: list[Attempt]) -> Report:
    engine = next((attempt.engine for attempt in tried if attempt.engine), None)
    system = {
        "dockerlab": metadata.version("dockerlab"),
        "Python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
    }
    looked_for = [{"source": each.source, "url": each.url, "outcome": each.outcome} for each in tried]
    if engine is None:
        return Report(system, looked_for, next_step="Next: `python3 -m dockerlab up`, which finds or starts one.")
    origins = {name: _origin(engine, name) for name in images.COURSE}
    lab = Lab(f"doctor-{secrets.token_hex(3)}", engine=engine, owner="", echo=None)
    with images.as_they_are(engine), lab:
        container = _try(origins["alpine"], lambda: _run_container(lab))
        postgres = _try(origins[DATABASE], lambda: _ask_postgres(lab))
    return Report(
        system, looked_for, _describe(engine), origins, container, postgres, _next_step(origins, container, postgres)
    )


def _describe(engine: Engine) -> dict[str, Any]:
    info = engine.client.info()
    return {
        "engine": repr(engine),
        "private": engine.private,
        "system": engine.os_name,
        "storage_driver": info["Driver"],
        "data_root": info["DockerRootDir"],
    }


def _origin(engine: Engine, name: str) -> str:
    try:
        return images.origin(engine.client.images.get(name))
    except ImageNotFound:
        return "absent"


def _try(origin: str, deed: Callable[[], str]) -> Trial:
    if origin == "absent":
        return Trial(None, "not tried, its image is absent")
    started = time.monotonic()
    try:
        seen = deed()
    except (DockerLabError, DockerException, RequestException) as error:
        return Trial(False, " ".join(str(error).split()), time.monotonic() - started)
    seconds = time.monotonic() - started
    return Trial(True, f"{seen} after {seconds:.1f} s", seconds)


def _run_container(lab: Lab) -> str:
    said: Output = lab.run("alpine", "echo it runs", detach=False, remove=True)
    if said.text != "it runs\n":
        raise CommandError("A container ran, but did not say what it was told.", f"Seen: {said!r}.")
    return "a real one ran and spoke"


def _ask_postgres(lab: Lab) -> str:
    name = f"{lab.name}-db"
    password = secrets.token_hex(8)
    db = Postgres(lab, name, volume=name, user="doctor", password=password, database="doctor")
    version = str(db.sql("SHOW server_version").iloc[0, 0])
    return f"a real one, {version}, let us in from this machine and answered"


def _next_step(origins: dict[str, str], container: Trial, postgres: Trial) -> str:
    if container.worked is False or postgres.worked is False:
        return "Next: put right what was seen there, then ask again."
    if "absent" in origins.values():
        return "Next: `python3 -m dockerlab images prefetch`, which makes the absent images be there."
    return "Next: `python3 -m dockerlab up`, and open a lesson."
