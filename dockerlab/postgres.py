"""A Postgres server on a volume: started, ready when it lets us in, asked in SQL, and shut down cleanly."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import docker.errors
import pandas as pd
import psycopg
import requests.exceptions
import sqlalchemy
import sqlalchemy.event
import sqlalchemy.exc

from . import diagnoses
from .backup.dump import dump, load
from .commands import Command, Exec, Output, Unpause
from .engine import images
from .errors import DockerLabError, InUseError, NotFoundError, PostgresError
from .frames import bind, run
from .listings import RUNNING, first_name, state_now
from .mounts import Volume
from .pgdata import data_source, volume_target
from .relay import Route
from .words import redact_message, with_input

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from .lab import Lab

__all__ = ["Logs", "Postgres"]

PORT = 5432
# A server may need this long to write out what it holds in memory; after docker's 10 s it would be killed.
STOP_SECONDS = 60
_ENDED = ("exited", "dead", "restarting")


@dataclass(frozen=True, repr=False)
class Logs(Command):
    """`docker logs`: the last lines that a container's program wrote."""

    container: str
    lines: int

    def words(self) -> list[str]:
        return ["docker", "logs", "--tail", str(self.lines), self.container]

    def call(self, client: DockerClient) -> Output:
        return Output(client.api.logs(self.container, tail=self.lines).decode(errors="replace"), 0)


class Postgres:
    """A Postgres server in a container of a lab, with its data on a volume.

    It is there when the constructor returns: a login from this machine over TCP with `user`, `password` and `database`
    (the user's name if not given) has answered. Without `volume` the data goes to an anonymous one. A container of that
    name that is the lab's already, however it was started, is taken as it is if it has that image and volume, and
    started if it is stopped. Its port need not be published: it is reached through the engine then.

        db = Postgres(lab, "test-db", volume="pgdata", user="admin", password="secret", database="testdb")
        db.sql("SELECT * FROM users WHERE name = :name", name="Alice")

    Raises `PostgresError` where the server ends, refuses the login, or has not answered after `timeout` seconds;
    `InUseError` before a second server starts on a volume that another running container can write to; `ForeignError`
    for what is not the lab's. A container that it started itself and that ended is removed again, a named volume never;
    one that runs is left, and a second try takes it up.

    In a `with`, the container is removed at the end, and the volume stays.
    """

    def __init__(
        self,
        lab: Lab,
        name: str,
        *,
        volume: str | None = None,
        user: str = "postgres",
        password: str,
        database: str | None = None,
        image: str = "postgres:16-alpine",
        timeout: float = 60,
    ) -> None:
        self.lab, self.name, self.image, self._timeout = lab, name, lab.claims.image(image), timeout
        # SQLAlchemy's URL keeps the password out of whatever shows it.
        self._login = sqlalchemy.URL.create("postgresql+psycopg", user, password, database=database or user)
        self._route = Route(lab, name, PORT)
        self._box = lab.belongings.full(name)  # docker itself may have named it otherwise
        #: SQLAlchemy's Engine; it finds the server again after a restart.
        self.engine = _engine(self._login, self._route, timeout)
        weakref.finalize(self, _close, self.engine, self._route)  # not of self: it would never be collected
        try:
            self._take_up_or_run(volume)
        except BaseException:
            self.close()  # whoever keeps the error keeps this object, and its threads, alive
            raise

    def __repr__(self) -> str:
        try:
            box = self.container
            state = box.status if box.status != "running" else "at {}:{}".format(*self._route.address())
            state += f", data on {self.volume}"
        except NotFoundError:
            state = "removed"
        except (DockerLabError, requests.exceptions.RequestException):
            state = "out of reach"
        return f"Postgres({self.name!r}: {self.image}, {self._login.username}@{self._login.database}, {state})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(NotFoundError):
            self.remove()

    # The server

    @property
    def container(self) -> Container:
        """docker-py's `Container`, as it is now; `NotFoundError` once it is removed."""
        return self.lab.container(self.name)

    @property
    def volume(self) -> str:
        """Where its data is: a volume's name, 64 hexadecimal digits if anonymous, or a bind mount's folder."""
        return self.lab.belongings.short(data_source(self.container))

    @property
    def url(self) -> sqlalchemy.URL:
        """SQLAlchemy's URL of the server as it can be reached now; shown, its password is stars."""
        host, port = self._route.address()
        return self._login.set(host=host, port=port)

    def start(self) -> None:
        """Start it again after `stop()`, and return when it answers; raises as the constructor does."""
        box = self._thawed()
        if box.status != "running":
            self._refuse_a_second_server(data_source(box), own=str(box.id))
            self.lab.start(box)
        self._wait()

    def stop(self) -> None:
        """Shut it down cleanly, with 60 s to do so; raises `PostgresError` where it was killed instead."""
        self.close()
        box = self._thawed()
        self.lab.stop(box, timeout=STOP_SECONDS)
        if box.attrs["HostConfig"].get("AutoRemove"):
            return  # with --rm it goes as it stops, and its log too
        box.reload()
        log, code = _log(box, 3), box.attrs["State"]["ExitCode"]
        if code or (log and "database system is shut down" not in log):
            raise PostgresError(
                f"Postgres in {self.name} did not shut down cleanly.",
                f"Exit status {code}. Its log ends: {diagnoses.tail(self._starred(log))}",
                "Its data is as after a power cut: start() lets it recover from its own log.",
            )

    def remove(self) -> None:
        """Shut it down, raising as `stop()` does, and remove the container; its volume stays, an anonymous one too."""
        self.close()
        if self.container.status not in ("created", "exited", "dead"):
            self.stop()
        with contextlib.suppress(NotFoundError):  # as it was run with --rm
            self.lab.remove(self.container)

    def close(self) -> None:
        """Close the connections from here; the server runs on, and the next query connects again."""
        _close(self.engine, self._route)

    def log(self, lines: int = 20) -> Output:
        """`docker logs`: the last lines of the server's log, passwords starred out."""
        output: Output = self.lab.do(Logs(str(self.container.name), lines))
        return Output(self._starred(output.text), output.exit_code)

    # Questions

    def sql(self, query: str, /, **params: Any) -> pd.DataFrame:
        """Run SQL and return the last statement's rows as a DataFrame, or what it did (`INSERT 0 3`) in `status`.

        `:name` stands for the value of `name`, everywhere but in quotes and comments; a dict becomes jsonb, a list an
        array. One call is one transaction, however many statements it has: all of it is kept or nothing. Integers are
        Int64, booleans boolean, text string, timestamps datetime64 (UTC where they have a zone); numeric is Decimal,
        and date, UUID, json, arrays and bytea are Python objects. Raises `PostgresError` with the place of the mistake.
        """
        start, text, outcome = time.perf_counter(), query, "interrupted"
        try:
            text, answer = self._ask(query, params)
            outcome = answer.what if isinstance(answer, DockerLabError) else "done"
        finally:
            line = with_input(shlex.join(self._words("-i")), text, "SQL")
            self.lab.record(line, self._starred(line), time.perf_counter() - start, outcome)
        if isinstance(answer, DockerLabError):
            raise answer
        return answer

    def psql(self, text: str) -> Output:
        r"""Run `psql` inside the container on SQL, commands such as `\dt`, or lines of both.

        Returns its `.text` and `.exit_code`, which is 1 where it stopped at an error.
        """
        # psql takes either SQL or one command of its own in each -c.
        parts = re.findall(r"(?m)^[ \t]*\\.*$|(?:^(?![ \t]*\\).*\n?)+", text.strip())
        words = [word for part in parts if part.strip() for word in ("-c", part.strip())]
        return self.lab.exec(self.container, [*self._words()[3:], *words])

    dump, load = dump, load  # by the server's own tools: db.dump(path), db.load(path)

    def _thawed(self) -> Container:
        """The container, no longer paused: a paused server can't shut down, nor answer."""
        if self.container.status == "paused":
            self.lab.do(Unpause(self._box))
        return self.container

    def _words(self, *options: str) -> list[str]:
        who = ["-U", str(self._login.username), "-d", str(self._login.database)]
        return ["docker", "exec", *options, self._box, "psql", "-X", "-v", "ON_ERROR_STOP=1", *who]

    def _ask(self, query: str, params: Mapping[str, Any]) -> tuple[str, pd.DataFrame | DockerLabError]:
        """The SQL as it was sent, and its answer or why there is none."""
        # Returned, since an error raised here would drag the driver's own along, which quotes the passwords in the SQL.
        text = query
        try:
            with self._connected() as connection:
                text = bind(query, params, connection)
                return text, run(connection, text)
        except psycopg.Error as error:
            return text, diagnoses.of_statement(text, error, lambda said: self._starred(said, text))
        except DockerLabError as error:
            return text, error

    def _starred(self, text: str, query: str = "") -> str:
        """A text without the server's password, and without those that stand in a query, or somewhere in itself."""
        password = str(self._login.password or "")
        if password in (self._login.username, self._login.database):
            password = ""  # Starred out, the message could not name the user any more.
        return redact_message(text, [f"PASSWORD={password}", query, text])

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """The driver's connection, without a transaction: Postgres makes one of each query that it is sent."""
        try:
            held = self.engine.connect()
        except sqlalchemy.exc.DBAPIError as error:
            raise self._why_not(self.container, error.orig) from error.orig
        with held.execution_options(isolation_level="AUTOCOMMIT") as held:
            connection = held.connection.driver_connection
            assert isinstance(connection, psycopg.Connection)
            try:
                yield connection
            finally:
                if connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
                    held.invalidate()

    # How it comes up

    def _run(self, volume: str | None) -> None:
        lab, login = self.lab, self._login
        target = volume_target(images.ensure(lab.engine, self.image, report=lab.say))
        if volume:
            # Whose it is comes first: what is not ours is not ours to stop either.
            lab.claim_volume(lab.belongings.full(volume))
            self._refuse_a_second_server(lab.belongings.full(volume))
        box = lab.run(
            self.image,
            name=self.name,
            ports={PORT: None},
            mounts=[Volume(volume, target)] if volume else [],
            env={
                "POSTGRES_USER": str(login.username),
                "POSTGRES_PASSWORD": str(login.password),
                "POSTGRES_DB": str(login.database),
            },
        )
        try:
            self._wait()
        except PostgresError:
            if self.container.status in _ENDED:
                lab.remove(box, volumes=True, force=True)
            raise

    def _take_up_or_run(self, volume: str | None) -> None:
        try:
            box = self.container
        except NotFoundError:
            self._run(volume)
            return
        self._box = str(box.name)
        self.lab.belongings.refuse_foreign("container", self._box, box.labels)
        other = []
        if volume and self.lab.belongings.short(volume) != self.volume:
            other.append(f"its data is on {self.volume or 'no volume'}, not on {volume}")
        if box.attrs["Config"]["Image"] != self.image:
            other.append(f"its image is {box.attrs['Config']['Image']}, not {self.image}")
        if other:
            raise PostgresError(
                f"There is a container {self.name} already, with other settings.",
                f"Seen: {'; '.join(other)}.",
                f"Ask for what it has, take another name, or remove it first: docker rm -f {box.name}",
            )
        self.start()

    def _refuse_a_second_server(self, source: str, own: str = "") -> None:
        """Raise `InUseError` where a running container other than our own can write to the volume (or folder)."""
        for item in self.lab.engine.client.api.containers() if source else ():
            for mount in item["Mounts"]:
                held = source == (mount.get("Name") or mount["Source"]) and mount["RW"] and item["Id"] != own
                if held and state_now(self.lab.engine.client, item) in RUNNING:
                    name, short = first_name(item), self.lab.belongings.short(source)
                    raise InUseError(
                        f"{self.name} is not started: its volume {short} is in use by the running container {name}.",
                        f"{name} ({item['Image']}) has it at {mount['Destination']}, {item['Status'].lower()}.",
                        f"Two servers on one volume ruin its data: each thinks it is alone. First: docker stop {name}",
                    )

    def _wait(self) -> None:
        """Return when the server lets us in; raise as soon as it can't, or when the time is over."""
        start, seconds, told, problem = time.monotonic(), 0.0, False, None
        while problem is None:
            box = self.container
            error = None if box.status in _ENDED else self._knock()
            seconds = time.monotonic() - start
            if box.status in _ENDED:
                problem = diagnoses.of_exit(self.name, box.attrs["State"]["ExitCode"], _log(box, 50), self._starred)
            elif error is None:
                break
            elif seconds > self._timeout or diagnoses.is_refusal(error):
                problem = self._why_not(box, error, self._timeout)
            else:
                if seconds > 1 and not told:
                    told = True
                    self.lab.say(f"# waiting until Postgres in {self.name} answers …")
                time.sleep(0.1)
        # In the container, but over TCP: the server that makes the database listens on its socket only.
        ready = shlex.join([*self._words()[:3], "pg_isready", "-q", "-h", "127.0.0.1"])
        loop = f"for try in $(seq {5 * int(self._timeout)}); do {ready} && break; sleep 0.2; done"
        self.lab.record(loop, loop, seconds, problem.what if problem else "done")
        if problem is not None:
            raise problem
        if told:
            self.lab.say(f"# it answers, after {seconds:.1f} s")

    def _knock(self) -> BaseException | None:
        """Log in and ask something: None, or what came instead."""
        try:
            with self.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except DockerLabError as error:  # The container stopped in this moment.
            return error
        except sqlalchemy.exc.DBAPIError as error:
            # Published, but not here: the engine's socket leads to another machine, or out of a container.
            if "refused" in str(error.orig) and self._answers_inside():
                self._route.detour()
            return error.orig
        return None

    def _answers_inside(self) -> bool:
        try:
            ready = Exec(str(self.container.name), ["pg_isready", "-q", "-h", "127.0.0.1"])
            return ready.call(self.lab.engine.client).exit_code == 0
        except docker.errors.APIError:
            return False

    def _why_not(self, box: Container, error: BaseException | None, waited: float | None = None) -> PostgresError:
        reason = f"{error} {self._route.relay.said if self._route.relay else ''}"
        return diagnoses.of_login(self.name, reason) or diagnoses.of_silence(
            self.name, waited, box.status, self._starred(reason), self._starred(_log(box, 3))
        )


def _engine(login: sqlalchemy.URL, route: Route, timeout: float) -> sqlalchemy.Engine:
    # The ping before each use lets a pool outlive a restart of the server.
    options = {"connect_timeout": max(2, min(10, int(timeout))), "sslmode": "allow", "gssencmode": "disable"}
    engine = sqlalchemy.create_engine(login, pool_pre_ping=True, connect_args=options)

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def find(dialect: object, record: object, arguments: object, options: dict[str, Any]) -> None:
        options["host"], options["port"] = route.address()

    return engine


def _close(engine: sqlalchemy.Engine, route: Route) -> None:
    engine.dispose()
    route.close()


def _log(box: Container, lines: int) -> str:
    try:
        return str(box.logs(tail=lines).decode(errors="replace"))
    except docker.errors.APIError:  # it was run with --log-driver none
        return ""
