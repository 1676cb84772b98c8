"""Lesson 03: Postgres outlives its container."""

from __future__ import annotations

from typing import Any

from .evidence import Evidence, moment
from .servers import DATA, ask, complaint, login, servers, settings
from .verdict import NotYet, check


def _server_with_history(evidence: Evidence) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """A running server, its volume, and a removed container that had that volume before."""
    found = servers(evidence)
    if not found:
        raise NotYet("No container of this lab runs with a volume at Postgres's data directory.")
    for container, volume in found:
        for removed in evidence.removed:
            had = removed["volumes"].get(volume, "").startswith(DATA)
            if had and removed["time"] < moment(container["Created"]):
                return container, volume, removed
    names = ", ".join(container["Name"] for container, _ in found)
    raise NotYet(f"{names} runs, but no earlier server on the same volume was removed in this sitting.")


# Of each row, whether it is older than the last checkpoint: a server makes one before it lets anyone in.
_USERS = """
SELECT xmin::text::bigint < split_part((pg_control_checkpoint()).next_xid, ':', 2)::bigint, name
FROM users ORDER BY name
"""


def _users(evidence: Evidence, container: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names in a server's table users: those that it has found there, and those that came since."""
    said = ask(evidence, container, _USERS, ("admin", "testdb"))
    if said.exit_code:
        raise NotYet(f"{container['Name']} does not tell its users: {complaint(said)}")
    rows = [line.partition("|") for line in said.text.splitlines()]
    return [name for old, _, name in rows if old == "t"], [name for old, _, name in rows if old != "t"]


@check(
    "K10",
    "Postgres survives its container on a volume",
    expected="a removed server, another one running on the same volume, and rows in its table users",
    hints=(
        "What has to happen to a container before you can say that something outlived it?",
        "Remove the first server, then start a second one with the same -v pgdata:… and settings.",
        "docker rm -f test-db, then the docker run line again with --name new-db, and SELECT * FROM users in it.",
    ),
)
def _survives(evidence: Evidence) -> str:
    container, volume, removed = _server_with_history(evidence)
    rows, since = _users(evidence, container)
    if not rows:
        found = f"{', '.join(since)}, inserted since it started" if since else "no rows"
        raise NotYet(f"{container['Name']} runs on {volume}, but its table users has {found}.")
    return f"{removed['name']} is gone; {container['Name']}, another container on {volume}, has {', '.join(rows)}."


@check(
    "K21",
    "two servers on one volume are dangerous: both think they are alone",
    expected="two running servers on one scratch volume, both of which take connections",
    hints=(
        "Postgres(…) refuses a second server on a volume. Who would not?",
        "Start a server on a scratch volume, then a second one on the same volume by docker run.",
        "docker run -d --name two-db -v scratch:/var/lib/postgresql/data postgres:16-alpine, beside one-db on scratch.",
    ),
)
def _both_alone(evidence: Evidence) -> str:
    by_volume: dict[str, list[str]] = {}
    for container, volume in servers(evidence):
        # Over TCP: the server that makes the database listens on its socket only.
        if evidence.run(container, ["pg_isready", "-q", "-h", "127.0.0.1"]).exit_code == 0:
            by_volume.setdefault(volume, []).append(container["Name"])
    for volume, names in by_volume.items():
        if len(names) > 1:
            return f"{' and '.join(names)} both write to {volume}, neither refuses: not for data that you need."
    told = [f"{names[0]} answers on {volume}" for volume, names in by_volume.items()]
    raise NotYet(f"{', '.join(told) or 'No server of this lab answers'}; no volume has two.")


@check(
    "K19",
    "settings such as POSTGRES_PASSWORD count only when the data directory is first made",
    expected="a running server, newer than its data directory, which refuses the password that it was started with",
    hints=(
        "Which password was the volume's database made with, and which one do you give now?",
        "Remove the server, then start another one on the same volume with another POSTGRES_PASSWORD.",
        "docker rm -f third-db, then the docker run line on pgdata with -e POSTGRES_PASSWORD=changed.",
    ),
)
def _refused(evidence: Evidence) -> str:
    seen = "No server of this lab runs that was given a password."
    for container, volume in servers(evidence):
        name, given = container["Name"], settings(container)
        made = evidence.stat(container, f"{given.get('PGDATA', DATA)}/PG_VERSION")
        if "POSTGRES_PASSWORD" not in given or made is None:
            continue
        # Its own address: from localhost the image lets everyone in (pg_hba.conf).
        words = ["psql", "-Xwc", "SELECT 1", "-h", container["Config"]["Hostname"], *login(container)]
        said = evidence.run(container, words, {"PGPASSWORD": given["POSTGRES_PASSWORD"]})
        if said.exit_code == 0:
            seen = f"{name} on {volume} takes the password that it was started with."
        elif "password authentication failed" not in said.text:
            seen = f"{name} on {volume} does not answer: {said.text.strip()}"
        elif made["mtime"] > moment(container["Created"]):
            seen = f"{name} refuses its password, but made its data directory itself: it was changed in SQL since."
        else:
            return (
                f"{name} refuses the password of its own settings: the database on {volume} is older, and has another."
            )
    raise NotYet(seen)


@check(
    "03-exercise",
    "a fourth row, and a third server that has it",
    expected="a running third-db on pgdata, new-db removed, the rows of Alice, Bob, Charlie and Dora in it",
    hints=(
        "Which container must go before another may use its volume?",
        "db.sql inserts, db.remove removes; then Postgres(lab, …) with a new name and the same login.",
        "INSERT INTO users (name) VALUES ('Dora'); db.remove(); third = Postgres(lab, 'third-db', **login).",
    ),
)
def _third_server(evidence: Evidence) -> str:
    third = next(
        (item for item in evidence.containers if item["Name"] == "third-db" and item["State"]["Running"]), None
    )
    if third is None:
        raise NotYet(
            f"Running: {', '.join(c['Name'] for c in evidence.containers if c['State']['Running']) or 'nothing'}."
        )
    if not any(evidence.belongings.short(mount.get("Name", "")) == "pgdata" for mount in third["Mounts"]):
        raise NotYet("third-db runs, but not on pgdata.")
    if not any(removed["name"] == "new-db" for removed in evidence.removed):
        raise NotYet("new-db was not removed in this sitting.")
    if any(item["Name"] == "new-db" for item in evidence.containers):
        raise NotYet("There is a new-db again.")
    rows, since = _users(evidence, third)
    if since:
        raise NotYet(f"{', '.join(since)} came into third-db itself, and has outlived no server yet.")
    if set(rows) != {"Alice", "Bob", "Charlie", "Dora"}:
        raise NotYet(f"third-db has {len(rows)} rows: {', '.join(rows)}.")
    return f"third-db on pgdata has {', '.join(rows)}."
