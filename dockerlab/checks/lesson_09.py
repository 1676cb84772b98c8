"""Lesson 09: a rescue."""

from __future__ import annotations

import re
from pathlib import Path

import docker.errors

from ..belongings import is_anonymous, shown
from ..mounts import Volume
from .evidence import Evidence
from .servers import ask, servers
from .verdict import NotYet, check

#: What the lost database held: number, day, item and price of each order.
ORDERS = (
    (1, "Monday", "lamp", 42),
    (2, "Monday", "unicycle", 310),
    (3, "Monday", "tea", 7),
    (4, "Tuesday", "kettle", 29),
    (5, "Tuesday", "telescope", 189),
    (6, "Tuesday", "rope", 16),
)
# In one line, as single-user mode wants it.
QUERY = "SELECT string_agg(concat_ws('|', number, day, item, price), ' ' ORDER BY number) AS orders FROM orders"
# In single-user mode a server needs no password, and does what it has to after a crash. The engine unpacks all but the
# folder's own mode; the lock file is of the server that was backed up.
READ = (
    "chmod 700 $PGDATA; rm -f $PGDATA/postmaster.pid;"
    f' echo "{QUERY}" | su postgres -c "postgres --single -D $PGDATA postgres"'
)
IMAGE = "postgres:16-alpine"
WANTED = ["|".join(map(str, order)) for order in ORDERS]


@check(
    "09-exercise",
    "a lost database, whole again, on a volume with a name, and with a backup that restores",
    expected=f"a running server on a named volume with all {len(ORDERS)} orders; the newest .tar.gz here has them too",
    hints=(
        "Monday's orders are in one place and Tuesday's in another. Which server could read the second place?",
        "Start a server on a copy of the orphan, read its orders, add them to shop-db's; then back shop-data up.",
        'restore(lab, "orphan.tar.gz", "shop-copy"); found = Postgres(lab, "found-db", volume="shop-copy",'
        ' password="secret"); found.sql("SELECT * FROM orders").to_sql("orders", shop.engine, if_exists="append",'
        ' index=False); found.remove(); back_up(lab, "shop-data", "wednesday.tar.gz", consistent="pause").',
    ),
)
def _rescued(evidence: Evidence) -> str:
    server, volume = _whole_server(evidence)
    backup = _newest_backup()
    held = _orders_in(evidence, backup)
    if held != WANTED:
        raise NotYet(f"{server} has all orders again, but the newest backup, {backup.name}, holds {_told(held)}.")
    return f"{server} on {volume} has all {len(ORDERS)} orders again, and {backup.name}, restored by this check, too."


def _whole_server(evidence: Evidence) -> tuple[str, str]:
    """The names of a running server that has just the orders that were lost, and of its volume."""
    seen = ["No server of this lab runs."]
    for container, volume in servers(evidence):
        said = ask(evidence, container, QUERY)
        held = said.text.split() if said.exit_code == 0 else []
        if held == WANTED and not is_anonymous(volume):
            return container["Name"], volume
        where = f"{'the anonymous volume ' * is_anonymous(volume)}{shown(volume)}"
        seen.append(f"{container['Name']} on {where} has {_told(held)}.")
    # What a prune has taken is named, since no hint brings it back.
    if not any(map(is_anonymous, evidence.volumes)):
        seen.append("No anonymous volume is left; have you a copy of it? Else run the cell of the accident again.")
    raise NotYet(" ".join(seen[1:] if len(seen) > 1 else seen))


def _told(held: list[str]) -> str:
    return f"{len(set(held) & set(WANTED))} of the {len(WANTED)} orders{' and others' * bool(set(held) - set(WANTED))}"


def _newest_backup() -> Path:
    found = sorted(Path.cwd().glob("*.tar.gz"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise NotYet(f"There is no backup in {Path.cwd().name}.")
    return found[-1]


def _orders_in(evidence: Evidence, backup: Path) -> list[str]:
    """The orders of a server on what that archive restores to, in a volume that is removed again."""
    with evidence.fresh(IMAGE) as container, backup.open("rb") as archive:
        (mount,) = container["Mounts"]
        try:
            evidence.engine.client.api.put_archive(container["Id"], mount["Destination"], archive)
        except docker.errors.APIError as error:
            raise NotYet(f"The newest backup, {backup.name}, does not restore: {error.explanation}.") from None
        said = evidence.probe(IMAGE, ["sh", "-c", READ], [Volume(mount["Name"], mount["Destination"])])
    found = re.search(r'orders = "(.*?)"', said.text)
    return found[1].split() if found else []
