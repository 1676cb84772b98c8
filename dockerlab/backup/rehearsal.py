"""Rehearse a restore: into a volume that is there for that only, compared, and for Postgres with a server on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from ..engine import images
from ..errors import BackupError, ImageError
from ..lab import Lab
from .archive import Archive
from .door import IMAGE
from .progress import Progress
from .restoring import Unpacked, checked, fill
from .underway import Underway
from .volumes import explained, prepared

__all__ = ["Rehearsal", "rehearse"]

# Up to Postgres 17 the volume is the data directory itself, from 18 on that lies in a folder of it, as 18/docker.
VERSION_FILE = re.compile(rb"([0-9]+/[\w-]+/)?PG_VERSION")

# A server runs as the owner of its data only, and only where that user has a name: not uid 999 of Debian's image here.
AS_OWNER = r"""
PGDATA=$1/FOLDER; export PGDATA; cd /tmp
name=$(stat -c %U "$PGDATA/PG_VERSION")
if [ "$name" = UNKNOWN ]; then
    name=owner
    stat -c "$name:x:%u:%g::/tmp:/bin/sh" "$PGDATA/PG_VERSION" >>/etc/passwd
fi
# As the image's own entry point does, for an archive without the folder itself.
chown "$name" "$PGDATA"; chmod 700 "$PGDATA"
cat >look <<'END'
SCRIPT
END
exec su -s /bin/sh "$name" -c 'exec sh -eu /tmp/look'
"""

# Without knowing any password: in single-user mode the server needs none, does what it
# has to after a crash, and tells the name of the superuser that initdb made (the role with id 10). A real server with
# an access list of its own then lets that one read the catalogue of each database. The lock file of the server that was
# backed up names a process that has nothing to do with ours.
READ_CATALOGUE = r"""
rm -f "$PGDATA/postmaster.pid"
admin=$(echo 'SELECT rolname FROM pg_authid WHERE oid = 10' | postgres --single -D "$PGDATA" postgres 2>/tmp/log |
    sed -n 's/.*rolname = "\(.*\)".*/\1/p')
[ "$admin" ] || { cat /tmp/log; exit 1; }
echo 'local all all trust' >/tmp/access
pg_ctl start -w -t 600 -l /tmp/log -o "-c listen_addresses= -c unix_socket_directories=/tmp -c hba_file=/tmp/access" \
    >/dev/null || { cat /tmp/log; exit 1; }
ask() { psql -X -h /tmp -U "$admin" -v ON_ERROR_STOP=1 -At -d "$1" -c "$2" 2>/tmp/log || { cat /tmp/log; exit 1; }; }
ask template1 'SHOW server_version'
ask template1 'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate' >/tmp/databases
while read -r database; do
    ask "$database" "SELECT current_database() || ': ' || count(*) FROM pg_class WHERE relkind IN ('r', 'p')
        AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
done </tmp/databases
pg_ctl stop -w -m fast >/dev/null
"""


@dataclass(frozen=True, repr=False)
class Rehearsal(Unpacked):
    """A restore that was tried and went well, of which nothing is left.

    `server` is what a Postgres server on it said of itself and its databases; empty where the archive holds none.
    """

    server: str

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "rehearsed", str(self.path)
        yield "outcome", "this backup restores; nothing of the rehearsal is left"
        yield from super().rows()
        if self.server:
            yield "server", self.server


def rehearse(lab: Lab, path: str | Path, *, progress: Progress = True) -> Rehearsal:
    """Restore an archive into a volume of its own, compare the two, and remove the volume: whether a backup restores.

    Of a Postgres volume, also a server is started on it, and the catalogue of each database read. Raises as `restore`
    does, and `BackupError` with the server's own words where it does not start; nothing is left behind.
    """
    prepared(lab)
    path, start = Path(path).expanduser().absolute(), perf_counter()
    images.ensure(lab.engine, IMAGE, report=lab.say)
    with Underway(lab, f"a rehearsal of {path.name}") as work, explained(f"The restore of {path} failed in rehearsal."):
        source = checked(work, path, "", progress)
        scratch = lab.belongings.full(f"dockerlab-rehearsal-{work.id}")
        lab.engine.client.volumes.create(scratch, labels=work.labels)
        notes = fill(work, work.door(scratch), source, progress)
        server, more = _start_server(work, source, scratch)
    return Rehearsal.of(source, lab, start, (*notes, *more), server)


def _start_server(work: Underway, source: Archive, volume: str) -> tuple[str, list[str]]:
    """What a Postgres server on the volume says, or why there is none where there should be one."""
    found = min(filter(VERSION_FILE.fullmatch, source.entries), key=len, default=None)
    if found is None:
        return "", []
    folder = found.rpartition(b"/")[0]
    major = work.run(volume, f'cat "$1/{found.decode()}"')
    if not re.fullmatch(r"[0-9]+(\.[0-9])?", major):
        return "", [f"PG_VERSION says {major!r}, which is no version of Postgres: no server was started."]
    try:
        image = str(images.ensure(work.lab.engine, f"postgres:{major}-alpine", report=work.lab.say).id)
    except ImageError as error:
        return "", [f"No server was started: {error.what}"]
    script = AS_OWNER.replace("SCRIPT", READ_CATALOGUE.strip()).replace("FOLDER", folder.decode() or ".")
    try:
        said = work.run(volume, script, image=image, user="root")
    except BackupError as error:
        raise BackupError(
            f"{source.path} was restored as it is, but Postgres {major} does not start on it.",
            error.seen,
            "Take a backup with the server stopped or paused, or a dump of it.",
        ) from None
    version, *databases = said.splitlines()
    return f"Postgres {version} starts on it and reads its catalogue: tables in {', '.join(databases)}", []
