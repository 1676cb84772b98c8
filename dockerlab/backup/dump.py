"""A Postgres database as a file of pg_dump, and back: by the server's own tools, in its container."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any, Protocol

import sqlalchemy
from docker.models.containers import Container

from ..describe import bytes_in_words
from ..errors import BackupError, NotFoundError
from ..lab import Lab
from . import tar
from .archive import readable, seal_of
from .door import converse
from .draft import Draft, destination
from .results import Result
from .underway import Underway
from .volumes import explained, prepared, recorded

__all__ = ["Dump", "Server", "dump", "load"]

MAGIC = b"PGDMP"  # how a file of pg_dump's custom format begins


class Server(Protocol):
    """What is needed of a `Postgres`, which has these as its methods."""

    lab: Lab
    name: str
    engine: sqlalchemy.Engine

    @property
    def container(self) -> Container:
        """docker-py's `Container`, as it is now."""


@dataclass(frozen=True, repr=False)
class Dump(Result):
    """A dump that was made: in pg_dump's custom format, with a `.sha256` beside it."""

    path: Path
    server: str
    seconds: float
    bytes_after: int
    digest: str
    line: str

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "dump", str(self.path)
        yield "of", self.server
        yield "took", f"{self.seconds:.1f} s"
        yield "holds", bytes_in_words(self.bytes_after)
        yield "digest", self.digest
        yield "the same", self.line


def dump(db: Server, path: str | Path) -> Dump:
    """Dump a database as of one moment, while others go on writing to it, and return what it came to.

    The file is in pg_dump's custom format, compressed; it appears under its name, with a `.sha256`, only when it is
    whole. Raises `BackupError` with pg_dump's own words, `NotFoundError` where the folder is not there.
    """
    prepared(db.lab)
    target, start = destination(path), perf_counter()
    words = ["pg_dump", *_login(db), "-Fc"]
    line = f"{_exec(db)} {shlex.join(words)} > {shlex.quote(str(target))}"
    what = f"{db.name} was not dumped."
    with recorded(db.lab, line), Underway(db.lab, f"a dump of {db.name}") as work, explained(what):
        api = db.lab.engine.client.api
        key = api.exec_create(db.container.id, words)["Id"]
        complaint = b""
        said = api.exec_start(key, stream=True, demux=True)
        # Its own close() does not do for ssh; left open, pg_dump would wait for whoever reads no more.
        with contextlib.closing(getattr(said, "_response", said)), Draft(work, target) as draft:
            for out, error in said:
                draft.write(out or b"")
                complaint += error or b""
            _check(api, key, what, complaint)
            draft.publish()
    return Dump(target, repr(db), perf_counter() - start, draft.size, draft.digest, line)


def load(db: Server, path: str | Path) -> None:
    """Load a dump into a database: what it holds takes the place of what has the same name there.

    It is one transaction: either all of it is loaded, or the database stays as it is. Raises `BackupError` where the
    file is not what its `.sha256` says, is no dump, or pg_restore refuses it; `NotFoundError` where it is not there.
    """
    source = Path(path).expanduser().absolute()
    what = f"{source} was not loaded into {db.name}."
    with readable(source):
        _check_file(source, what)
    words = ["pg_restore", *_login(db), "--clean", "--if-exists", "--single-transaction", "--exit-on-error"]
    line = f"{_exec(db, '-i')} {shlex.join(words)} < {shlex.quote(str(source))}"
    with recorded(db.lab, line), explained(what):
        api = db.lab.engine.client.api
        key = api.exec_create(db.container.id, words, stdin=True)["Id"]
        complaint = converse(api.exec_start(key, socket=True), _pieces(source))
        _check(api, key, what, complaint)


def _pieces(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while chunk := file.read(tar.CHUNK):
            yield chunk


def _check_file(source: Path, what: str) -> None:
    if not source.is_file():
        raise NotFoundError(what, "Seen: no such file.", "Make one: db.dump(path)")
    with source.open("rb") as file:
        begins, seal = file.read(len(MAGIC)), seal_of(source)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest() if seal else ""
    if begins != MAGIC:
        raise BackupError(what, "It is no dump in pg_dump's custom format.", "An archive of a volume is for restore().")
    if digest != seal:
        raise BackupError(
            what,
            f"Its digest is {digest[:12]}…, and its .sha256 says {seal[:12]}….",
            "Take another dump: this one is not whole.",
        )


def _check(api: Any, key: str, what: str, complaint: bytes) -> None:
    # What a program says may end before it does, or before the engine has noted how.
    while (status := api.exec_inspect(key)["ExitCode"]) is None:
        sleep(0.01)
    if status:
        said = " ".join(complaint.decode(errors="replace").split())
        raise BackupError(what, f"Exit status {status}: {said}", "What the database holds is as it was.")


def _login(db: Server) -> list[str]:
    return ["-U", str(db.engine.url.username), "-d", str(db.engine.url.database)]


def _exec(db: Server, *options: str) -> str:
    return shlex.join(["docker", "exec", *options, str(db.container.name)])
