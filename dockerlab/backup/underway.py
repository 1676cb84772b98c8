"""A backup or restore under way: what it has begun is noted, and put right at its end, however that comes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Any, Self

import requests

from ..commands import Pause, Unpause
from ..engine.find import Engine, find
from ..engine.private import home
from ..errors import BackupError, DockerLabError, EngineError
from ..lab import Lab
from ..refusals import REFUSALS
from .door import LABEL, Door, run_once
from .mending import Notes, patience, put_right

__all__ = ["Underway", "guard", "recover"]

GUARD = (
    "import sys\nif sys.stdin.read() != 'done':\n from dockerlab.backup.underway import guard\n guard(*sys.argv[1:])"
)
GUARD_SECONDS = 600


class Underway:
    """A context that puts right on leaving whatever its notes say, also when this process or the engine is killed.

    What is about to be done is noted first, in a file that is locked while this process lives and deleted when all is
    right. A process of its own stands guard, ends what we began when we are killed, and is patient with an engine that
    does not answer; should it end too, the next call finds the file unlocked and does the same. The notes:

    - `held`: containers that were stopped or paused, and are to run again, with the time of their former start;
    - `drafts`: files to be deleted;
    - `target`: a volume that was written to and is to get back what it was: absent, empty (with the mode, owner, group
      and time of its `root`), or what `undo` holds;
    - containers and volumes with this one's label, which go without being noted.
    """

    def __init__(self, lab: Lab, what: str) -> None:
        self.lab, self.id = lab, token_hex(6)
        self.labels = {**lab.belongings.labels, LABEL: self.id}
        self._notes: Notes = {"id": self.id, "what": what, "engine": lab.engine.url, "labels": self.labels}
        self._path = _folder() / f"{self.id}.json"

    def __enter__(self) -> Self:
        environment = {**os.environ, **self.lab.engine.cli_env(), "PYTHONPATH": os.pathsep.join(sys.path)}
        environment.pop("DOCKERLAB_ENGINE", None)  # that is a URL at most, and can't say how to log in there
        # First of all: a note that nobody guards would stay until the next call.
        self._guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, self._notes["engine"], self.id],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, text=True,
            start_new_session=True,  # what ends a kernel's whole group of processes must not end it
        )  # fmt: skip
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("x")
            _lock(self._file, wait=True)
            self.note()
        except OSError as error:
            self._forget()
            self._dismiss("done")
            raise BackupError(
                "Nothing was begun, since it can't be noted what is to be put right should it be cut off.",
                f"{self._path.parent}: {error.strerror or error}.",
                "Make room there, or set DOCKERLAB_HOME to another folder.",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        parting = ""
        try:
            put_right(self.lab.engine, self._notes)
            self._path.unlink()
            parting = "done"
        except (*REFUSALS, DockerLabError, OSError) as problem:
            told = f"Not all is put right yet ({_first_line(problem)}); that goes on by itself, or at the next call."
            if isinstance(error, DockerLabError):
                error.next_step = f"{error.next_step} {told}".strip()
            elif error is None:
                raise BackupError(
                    f"Done is {self._notes['what']}, but not all is as it was before.",
                    f"{_first_line(problem)}.",
                    "That is tried again for ten minutes, and at the next call. Look with: docker ps -a",
                ) from None
            else:
                self.lab.say(told)
        finally:
            self._file.close()  # and so unlocked
            self._dismiss(parting)

    def _dismiss(self, parting: str) -> None:
        """Leave the guard alone with what is still to be done; on `done` it ends."""
        with contextlib.suppress(OSError):
            self._guard.stdin.write(parting)  # type: ignore[union-attr]
            self._guard.stdin.close()  # type: ignore[union-attr]
        waiting = threading.Thread(target=self._guard.wait, daemon=True)
        waiting.start()
        if parting:
            waiting.join()

    def _forget(self) -> None:
        """Leave no note that could not be written."""
        with contextlib.suppress(OSError, AttributeError):
            self._path.unlink(missing_ok=True)
            self._file.close()

    def note(self, **notes: Any) -> None:
        """Write down what is about to be done, before it is done."""
        self._notes |= notes
        # A line in one piece: where the process is killed meanwhile, the line before it counts.
        self._file.write(json.dumps(self._notes) + "\n")
        self._file.flush()

    def draft(self, folder: Path) -> Path:
        """The name for a file in that folder that is not finished, and goes unless it was renamed."""
        path = folder / f".dockerlab-{self.id}-{len(self._notes.get('drafts', []))}.part"
        self.note(drafts=[*self._notes.get("drafts", []), str(path)])
        return path

    def door(self, volume: str, *, read_only: bool = False) -> Door:
        """A way into a volume, until the end."""
        return Door(self.lab.engine, volume, self.labels, read_only=read_only)

    def run(self, volume: str, script: str, **more: Any) -> str:
        """Run a shell script in a container with that volume, or with none, as `run_once` does."""
        return run_once(self.lab.engine, volume, self.labels, script, **more)

    @contextlib.contextmanager
    def holding(self, keys: Sequence[str], how: str) -> Iterator[None]:
        """Have these containers stopped (`how` is `stop`) or paused, and running again afterwards."""
        try:
            for key in keys:
                box = self.lab.engine.client.api.inspect_container(key)
                self.note(held=[*self._notes.get("held", []), (key, how, box["State"]["StartedAt"])])
                if how == "stop":
                    self.lab.stop(key, timeout=patience(box))
                else:
                    self.lab.do(Pause(key))
            yield
        finally:
            for held in reversed(self._notes.get("held", [])):
                self._release(*held)

    def _release(self, key: str, how: str, started: str) -> None:
        # A container that does not start again must not keep the others down; leaving, it is tried again.
        with contextlib.suppress(DockerLabError):
            if how == "stop":
                self.lab.start(key)
            else:
                self.lab.do(Unpause(key))
            self.note(held=[each for each in self._notes["held"] if each != (key, how, started)])


def recover(engine: Engine) -> list[str]:
    """End what was begun on that engine by processes that live no more, and return what was done, a line each."""
    lines = []
    for path in sorted(_folder().glob("*.json")):
        with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
            if not _lock(file, wait=False) or not path.exists():
                continue
            notes = _last(file)
            if notes and notes["engine"] == engine.url:
                try:
                    done = put_right(engine, notes)
                    path.unlink()
                except (*REFUSALS, DockerLabError, OSError) as problem:
                    done = [f"not all could be put right: {_first_line(problem)}"]
                lines += [f"After {notes['what']}, which was cut off: {line}." for line in done]
    return lines


def guard(url: str, id: str) -> None:
    """End what an `Underway` began whose process is gone, as soon as its engine answers."""
    end, pause = time.monotonic() + GUARD_SECONDS, 0.1
    while (_folder() / f"{id}.json").exists() and time.monotonic() < end:
        with contextlib.suppress(EngineError):
            engine = find(start=False)
            if engine.url == url:
                recover(engine)
        time.sleep(pause)
        pause = min(2 * pause, 30)


def _folder() -> Path:
    return home() / "underway"


def _last(file: IO[str]) -> Notes | None:
    """The last whole line of a file of notes."""
    notes = None
    for line in file:
        with contextlib.suppress(ValueError):
            notes = json.loads(line)
    return notes


def _lock(file: IO[str], *, wait: bool) -> bool:
    """Lock a file for as long as it is open in this process, unless another one has."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 30)  # what is locked can't be read: lock a byte that is never written
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            return False
    return True


def _first_line(error: BaseException) -> str:
    said = "" if isinstance(error, requests.ConnectionError) else str(error)  # its text shows objects, not words
    return (said.splitlines() or [type(error).__name__])[0].rstrip(".")
