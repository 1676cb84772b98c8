"""The steps of a set-up, shown as they go. Standard library only: it is used before anything is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TextIO, TypeVar

from .errors import DockerLabError

__all__ = ["Say", "SetUpError", "Steps", "follow"]

Say = Callable[[str], object]
T = TypeVar("T")


class SetUpError(DockerLabError):
    """The environment, or a program that the course needs, could not be set up."""


def follow(command: Sequence[str | os.PathLike[str]], say: Say, *, env: Mapping[str, str] | None = None) -> None:
    """Run a program and pass on each line that it prints; raises `SetUpError` with its last one when it fails."""
    last = ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            last = line.strip() or last
            say(line.rstrip())
    if process.returncode != 0:
        name = Path(command[0]).name
        raise SetUpError(
            f"{name} failed.",
            f"It ended with status {process.returncode}: {last or 'it said nothing'}",
            "Put that right and try again: what is there already is not done twice.",
        )


class Steps:
    """Steps under way and done, with their seconds: a live line on a terminal, plain lines elsewhere.

    A context manager. What the steps say goes to `log` in full, and its tail is shown when a step fails.
    """

    def __init__(self, log: Path | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._blank = "\r\x1b[K" if self._live else ""  # back to the line's start, and erase it
        self._running: dict[str, tuple[float, deque[str]]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._log: TextIO | None = None
        self._path = log

    def __enter__(self) -> Steps:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._path.open("a", encoding="utf-8")
        if self._live:
            self._painter = threading.Thread(target=self._paint_on, daemon=True)
            self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._live:
            self._painter.join()
        if self._log:
            self._log.close()

    def do(self, name: str, job: Callable[[Say], T]) -> T:
        """Do one step and return its result; the job is called with a function that takes a line about its progress."""
        started = time.monotonic()
        tail: deque[str] = deque(maxlen=10)
        with self._lock:
            self._running[name] = started, tail

        def say(line: str) -> None:
            if line.strip():
                tail.append(line.strip())
                if self._log and not self._log.closed:
                    self._log.write(f"{name}: {line}\n")

        try:
            result = job(say)
        except BaseException:
            self._finish(name, " failed", tail)
            raise
        self._finish(name, f"{time.monotonic() - started:5.1f} s")
        return result

    def together(self, *work: Callable[[], T]) -> list[T]:
        """Call all functions side by side and return what they return.

        All end before the first error is raised: a package manager that is cut off leaves a system half set up.
        """
        with ThreadPoolExecutor(len(work)) as pool:
            futures = [pool.submit(each) for each in work]
        return [future.result() for future in futures]

    def _finish(self, name: str, verdict: str, tail: Iterable[str] = ()) -> None:
        lines = [f"{verdict}  {name}", *(f"         | {line}" for line in tail)]
        with self._lock:
            del self._running[name]
            print(self._blank + "\n".join(lines), file=self._stream, flush=True)

    def _paint_on(self) -> None:
        while not self._ended.wait(0.1):
            with self._lock:
                self._paint()

    def _paint(self) -> None:
        now = time.monotonic()
        parts = [
            f"{name} {now - started:.0f} s" + (f" ({tail[-1][:40]})" if tail else "")
            for name, (started, tail) in self._running.items()
        ]
        if parts:
            line = f"    ...  {', '.join(parts)}"
            self._stream.write(self._blank + line[: shutil.get_terminal_size().columns - 1])
            self._stream.flush()
