"""Follow an engine's events, so that a lab's snapshot is what is there now, whoever changed it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

import docker.errors
import requests.exceptions
from docker.types.daemon import CancellableStream

from .belongings import HELPER_LABEL
from .errors import EngineError
from .inventory import MEASURE, Inventory
from .lab import Lab
from .storage import Snapshot

__all__ = ["Watcher"]

Events: TypeAlias = "CancellableStream[dict[str, Any]]"
Key = tuple[str, str]
Listener = Callable[[Snapshot], None]

# After these a container's state, mounts or writable layer may differ. `exec_die` ends a `docker exec`,
# `extract-to-dir` a `docker cp` into the container.
CONTAINER_EVENTS = frozenset(
    ["create", "start", "pause", "unpause", "die", "stop", "rename", "exec_die", "extract-to-dir", "destroy"]
)
SETTLE_SECONDS = 1.0  # what a program writes just after its start comes without an event
PAUSE_SECONDS = 0.05  # between two readings: a burst of events is one reading, not one for each
RETRY_SECONDS = (0.1, 2.0)  # first and longest wait for an engine that is away

EVERYTHING, SIZES = ("everything", ""), ("sizes", "")
AWAY = "The engine does not answer. This is what was there before; it goes on when the engine is back."

_Failures = (docker.errors.DockerException, requests.exceptions.RequestException, OSError)
_log = logging.getLogger(__name__)


class Watcher:
    """The latest `snapshot` of a lab, read again where an event says that something changed.

    Two daemon threads, until `close()` or the end of its `with`: one takes the engine's events, one reads and calls
    the listeners. What a running container's own program writes brings no event; its writable layer is read again
    one second after its start, when a `docker exec` or `docker cp` ends, when it stops, and on `refresh()`.
    Raises `EngineError` where the engine does not answer at first; later it says so in the snapshot's `note`, and
    goes on by itself when the engine is back.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab, self._inventory = lab, Inventory(lab)
        self._listeners: list[Listener] = []
        self._changed = threading.Condition()  # guards what both threads see, down to _closed
        # What is to be read, in the order of the events: a container by its id, a volume by its name.
        self._wanted: dict[Key, None] = {}
        self._gone: set[Key] = set()
        self._later: dict[Key, float] = {}
        self._measuring: set[str] = set()  # by the events' thread alone
        self._away = self._told_away = False
        self._failure = ""
        self._asked = self._answered = 0
        self._closed = threading.Event()
        self._events: Events | None = None
        try:
            self._events = self._subscribe()
            self._inventory.read_all()
        except _Failures as error:
            if self._events is not None:
                _end(self._events)
            raise EngineError(
                "The storage picture cannot be read.",
                f"Seen: {type(error).__name__} from {lab.engine!r}",
                "Run `python3 -m dockerlab doctor`.",
            ) from error
        self.snapshot = self._inventory.snapshot()
        self._threads = [
            threading.Thread(target=work, name=f"dockerlab-{what}-{lab.name}", daemon=True)
            for what, work in (("events", self._follow), ("storage", self._keep_up))
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have `listener(snapshot)` called for each new snapshot, in the watcher's thread; returns what ends that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def refresh(self, *, sizes: bool = False, timeout: float = 60) -> Snapshot:
        """Read everything again, with `sizes` measure it too, and return the new snapshot.

        Not for listeners: they are called by the thread that would have to answer. Raises `EngineError` where the
        engine does not answer, or not within `timeout` seconds.
        """
        with self._changed:
            self._asked += 1
            ticket = self._asked
            self._wanted |= dict.fromkeys((EVERYTHING, SIZES) if sizes else (EVERYTHING,))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= ticket or self._closed.is_set(), timeout)
            seen = self._note()
            if self._answered >= ticket and not seen:
                return self.snapshot
        seen = seen or ("the watcher is closed" if self._closed.is_set() else f"no answer in {timeout} s")
        raise EngineError("The storage picture cannot be read again.", f"Seen: {seen}", "Try again in a moment.")

    def close(self) -> None:
        """End both threads; the last snapshot stays."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
            if self._events is not None:
                _end(self._events)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def _note(self) -> str:
        return AWAY if self._away else self._failure

    # The thread that takes the events

    def _follow(self) -> None:
        wait = RETRY_SECONDS[0]
        while not self._closed.is_set():
            try:
                if self._events is None:
                    self._resume(self._subscribe())
                    wait = RETRY_SECONDS[0]
                for event in self._events or ():
                    self._take(event)
            except Exception as error:  # noqa: BLE001 - a stream that is cut, or closed under us, ends in many ways
                _log.debug("the stream of events ended: %r", error)
            with self._changed:
                self._events, self._away = None, not self._closed.is_set()
                self._changed.notify_all()
            self._closed.wait(wait)
            wait = min(2 * wait, RETRY_SECONDS[1])

    def _subscribe(self) -> Events:
        # From a moment that is past by the engine's clock: nothing is missed between subscribing and reading.
        client, since = self._lab.engine.client, self._lab.engine.now()
        # As text, since docker-py would cut a moment to the whole second, and old events would come again.
        moment, kinds = f"{since:.6f}", {"type": ["container", "volume"]}
        events: Events = client.events(since=moment, filters=kinds, decode=True)  # type: ignore[call-overload]
        return events

    def _resume(self, events: Events) -> None:
        with self._changed:
            if self._closed.is_set():
                _end(events)
                return
            self._events, self._away = events, False
            self._wanted[EVERYTHING] = None
            self._changed.notify_all()

    def _take(self, event: Mapping[str, Any]) -> None:
        """Note what an event makes worth reading; never call the engine here, so that a burst is taken at once."""
        kind, action, actor = event["Type"], event["Action"], event["Actor"]
        key = (kind, actor["ID"])
        if kind == "volume" and action not in ("create", "destroy"):
            return
        if kind == "container":
            # To measure is not to write, whichever watcher or kernel does it.
            if action.startswith(f"exec_create: {' '.join(MEASURE)} "):
                self._measuring.add(actor["Attributes"]["execID"])
            elif action == "exec_die" and actor["Attributes"].get("execID") in self._measuring:
                self._measuring.discard(actor["Attributes"]["execID"])
                return
            if HELPER_LABEL in actor["Attributes"]:
                return
            # Of a container of others it only matters that it is there: it may use a volume of ours.
            ours = self._lab.belongings.may_touch(actor["Attributes"])
            if action not in (CONTAINER_EVENTS if ours else ("create", "rename", "destroy")):
                return
        with self._changed:
            if action == "destroy":
                self._gone.add(key)
                self._wanted.pop(key, None)
                self._later.pop(key, None)
            else:
                self._gone.discard(key)
                self._wanted[key] = None
            if action == "start":
                self._later[key] = time.monotonic() + SETTLE_SECONDS
            self._changed.notify_all()

    # The thread that reads, and calls the listeners

    def _keep_up(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._seconds_to_later())
                if self._closed.is_set():
                    return
                wanted, gone, asked = self._take_work()
                self._told_away = away = self._away
            try:
                if not away:
                    self._read(wanted, gone)
                failure = ""
            except _Failures as error:
                failure = f"The engine could not be read ({type(error).__name__}). It is tried again."
            with self._changed:
                self._failure = failure
                if failure:
                    again = (EVERYTHING, SIZES) if SIZES in wanted else (EVERYTHING,)
                    self._later |= dict.fromkeys(again, time.monotonic() + RETRY_SECONDS[1])
                snapshot = self._inventory.snapshot(self._note())
                is_new, self.snapshot = snapshot != self.snapshot, snapshot
                self._answered = asked
                self._changed.notify_all()
            for listener in tuple(self._listeners) if is_new else ():
                try:
                    listener(snapshot)
                except Exception:  # noqa: BLE001 - one listener's fault must not end the picture of all
                    _log.exception("a listener of the storage picture failed")
            self._closed.wait(PAUSE_SECONDS)

    def _has_work(self) -> bool:
        return bool(self._wanted or self._gone or self._away != self._told_away or self._closed.is_set())

    def _seconds_to_later(self) -> float | None:
        return max(0.0, min(self._later.values()) - time.monotonic()) if self._later else None

    def _take_work(self) -> tuple[dict[Key, None], set[Key], int]:
        now = time.monotonic()
        due = [key for key, moment in self._later.items() if moment <= now]
        for key in due:
            del self._later[key]
        work = (self._wanted | dict.fromkeys(due), self._gone, self._asked)
        self._wanted, self._gone = {}, set()
        return work

    def _read(self, wanted: dict[Key, None], gone: set[Key]) -> None:
        for kind, name in gone:
            (self._inventory.forget_container if kind == "container" else self._inventory.forget_volume)(name)
        if EVERYTHING in wanted:
            self._inventory.read_all()
        else:
            for kind, name in (key for key in wanted if key != SIZES):
                (self._inventory.read_container if kind == "container" else self._inventory.read_volume)(name)
        if SIZES in wanted:
            self._inventory.measure()


def _end(events: Events) -> None:
    with contextlib.suppress(Exception):  # it may have ended by itself
        events.close()
