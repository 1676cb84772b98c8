"""A database that is written to throughout, and what a server finds in backups of its volume."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from engines import wait_until

from dockerlab import Bind, Lab, Postgres, Tmpfs
from dockerlab.engine.find import Engine
from dockerlab.errors import DockerLabError


class Client:
    """Writes rows, each in two tables in one transaction, and keeps its own log of what was committed."""

    def __init__(self, db: Postgres) -> None:
        self._db, self.committed, self._ends = db, 0, threading.Event()
        db.sql("CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY)")
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        while not self._ends.is_set():
            try:
                with psycopg.connect(self._db.url.set(drivername="postgresql").render_as_string(False)) as connection:
                    # Where the connection broke off, a commit may have gone through that was not answered.
                    number = connection.execute("SELECT coalesce(max(id), 0) FROM one").fetchone()[0]  # type: ignore[index]
                    connection.commit()
                    self.committed = number
                    # A few hundred rows a second: the volume stays as small as it was.
                    while not self._ends.wait(0.002):
                        number += 1
                        connection.execute("INSERT INTO one VALUES (%s)", (number,))
                        connection.execute("INSERT INTO two VALUES (%s)", (number,))
                        connection.commit()
                        self.committed = number
            except (psycopg.Error, DockerLabError, OSError):
                time.sleep(0.02)

    def wait_for_more(self) -> int:
        """Return what is committed now, when that is more than before."""
        now = self.committed
        wait_until(lambda: self.committed > now + 5)
        return self.committed

    def close(self) -> None:
        self._ends.set()
        self._thread.join()


@contextmanager
def busy(engine: Engine) -> Iterator[tuple[Postgres, Client]]:
    """A server with its volume `pgdata`, and who writes to it."""
    with (
        Lab("test-busy", engine=engine, owner="", echo=None) as lab,
        Postgres(lab, "db", volume="pgdata", user="admin", password="secret", database="shop") as db,
    ):
        # No test pulls the plug of the machine: for what survives the server's own end the disk may take its time.
        db.psql("ALTER SYSTEM SET fsync = off")
        db.psql("ALTER SYSTEM SET max_wal_size = '32MB'")
        db.psql("SELECT pg_reload_conf()")
        client = Client(db)
        try:
            yield db, client
        finally:
            client.close()


# A server in single-user mode does what a server does after a crash, and asks for no password. On one tmpfs one after
# the other, twenty take a few seconds; su, since only root may read what is in the host's folder.
COUNT = r"""
for archive in /archives/*.tar.gz; do
    rm -rf /restored/data
    mkdir /restored/data
    tar xzf "$archive" -C /restored/data
    rm -f /restored/data/postmaster.pid
    found=$(echo "SELECT (SELECT count(*) FROM one) || ' ' || (SELECT max(id) FROM one) || ' ' ||
            (SELECT count(*) FROM two) || ' ' || (SELECT max(id) FROM two) AS found" | tr '\n' ' ' |
        su postgres -c "$(command -v postgres) --single -D /restored/data shop" 2>/tmp/log |
        sed -n 's/.*found = "\(.*\)".*/\1/p')
    echo "${found:-no server: $(tail -1 /tmp/log)}"
done
"""


def counted(lab: Lab, folder: Path) -> list[str]:
    """What a server finds in each archive of that folder: the rows and the last one in both tables, or why not.

    The archives are unpacked by the course's own `tar xzf`, in the order of their names.
    """
    mounts = [Bind(str(folder), "/archives", read_only=True), Tmpfs("/restored")]
    words = ["sh", "-c", COUNT]
    done = lab.run("postgres:16-alpine", words, user="root", mounts=mounts, detach=False, remove=True)
    assert done.exit_code == 0, done.text
    return str(done.text).splitlines()
