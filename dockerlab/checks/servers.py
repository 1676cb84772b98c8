"""The Postgres servers of a lab, as checks look at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..commands import Output
from ..mounts import Volume
from ..pgdata import data_mount
from .evidence import Evidence

__all__ = ["DATA", "Copy", "ask", "complaint", "copies", "login", "servers", "settings"]

# The volume is mounted here or, up to Postgres 17, at the folder data below it.
DATA = "/var/lib/postgresql"

# For each volume with a database: its name, the system identifier that initdb gave it, and if a server starts `-` where
# it has no table ledger, else `ledger` and what that says.
# A server starts on a copy of the copy, which stays as it is, and all at once.
_READ_COPIES = r"""
cd /tmp
for copy in /copies/*; do (
    [ -e "$copy/PG_VERSION" ] || exit 0
    name=${copy##*/}; export PGDATA=/tmp/$name
    id=$(LC_ALL=C pg_controldata "$copy" | sed -n 's/^Database system identifier: *//p')
    cp -a "$copy" "$PGDATA" && rm -f "$PGDATA/postmaster.pid" && mkdir "$PGDATA.socket" &&
        pg_ctl start -w -t 600 -l "$PGDATA.log" \
            -o "-F -c listen_addresses= -c unix_socket_directories=$PGDATA.socket -c shared_buffers=16MB" >&2
    echo "$name" "${id:--}" $(psql -XAtq -F ' ' -h "$PGDATA.socket" "$@" \
        -c "SELECT coalesce(to_regclass('ledger')::text, '-')" -c "SELECT count(*), max(n) FROM ledger")
) & done 2>/dev/null; wait
"""


def servers(evidence: Evidence) -> list[tuple[dict[str, Any], str]]:
    """The running servers of the lab, each with the volume that has its data."""
    running = (container for container in evidence.containers if container["State"]["Running"])
    return [
        (container, evidence.belongings.short(mount["Name"]))
        for container in running
        if (mount := data_mount(container)).get("Type") == "volume"
    ]


def settings(container: dict[str, Any]) -> dict[str, str]:
    """A container's environment variables."""
    return dict(item.split("=", 1) for item in container["Config"]["Env"] or ())


def login(container: dict[str, Any]) -> list[str]:
    """psql's options for the user and the database that the container's settings name."""
    user = settings(container).get("POSTGRES_USER", "postgres")
    return ["-U", user, "-d", settings(container).get("POSTGRES_DB", user)]


def ask(evidence: Evidence, container: dict[str, Any], query: str, *logins: tuple[str, str]) -> Output:
    """What a query gives inside the container: bare rows, a line each; another exit status than 0 if refused.

    `logins` are users with a database to try then: a server on a volume that has one needs no settings.
    """
    words = ["psql", "-XAtqw", "-c", query]
    said = evidence.run(container, [*words, *login(container)])
    for user, database in logins if said.exit_code else ():
        again = evidence.run(container, [*words, "-U", user, "-d", database])
        if not again.exit_code:
            return again
    return said


def complaint(said: Output) -> str:
    """What psql says first; further lines only show where."""
    return next(iter(said.text.strip().splitlines()), "nothing")


@dataclass(frozen=True)
class Copy:
    """What a server finds on a copy of another one's files: the rows of `ledger`, which are numbered from 1 on.

    One that can't read them counts as one that does not start.
    """

    starts: bool
    rows: int = 0
    last: int = 0

    @property
    def missing(self) -> int:
        """How many numbers before the last one have no row."""
        return self.last - self.rows

    @property
    def is_whole(self) -> bool:
        """Whether it starts, has rows, and lacks none before its last one."""
        return self.starts and self.rows > 0 and not self.missing


def copies(evidence: Evidence) -> dict[str, Copy]:
    """The copies of a running server's files on other volumes of the lab, by volume; what is in use is left out."""
    used = {mount.get("Name") for item in evidence.containers if item["State"]["Running"] for mount in item["Mounts"]}
    idle = {name: item["Name"] for name, item in evidence.volumes.items() if item["Name"] not in used}
    mounts = [Volume(full, f"/copies/{name}", read_only=True) for name, full in idle.items()]
    found = {}
    for server, _ in servers(evidence) if mounts else ():
        own = ask(evidence, server, "SELECT system_identifier FROM pg_control_system()").text.strip()
        words = ["sh", "-c", _READ_COPIES, "sh", *login(server)]
        said = evidence.probe(server["Config"]["Image"], words, mounts, user="postgres").text
        for name, identifier, *ledger in map(str.split, sorted(said.splitlines())):
            if identifier == own:
                found[name] = Copy(ledger == ["-"] or len(ledger) > 1, *map(int, ledger[1:]))
    return found
