"""Lesson 03: Postgres outlives its container."""

from __future__ import annotations

from typing import Any

from .evidence import Evidence
from .verdict import NotYet, check

_DATA = "/var/lib/postgresql"


def _environment(container: dict[str, Any]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in container["Config"]["Env"])


def _server_with_history(evidence: Evidence) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """A running server, its volume, and a removed container that had that volume before."""
    servers = [
        (container, evidence.belongings.short(mount["Name"]))
        for container in evidence.containers
        for mount in container["Mounts"]
        if mount["Type"] == "volume" and mount["Destination"].startswith(_DATA) and container["State"]["Running"]
    ]
    if not servers:
        raise NotYet("No container of this lab runs with a volume at Postgres's data directory.")
    for container, volume in servers:
        for removed in evidence.removed:
            if removed["id"] != container["Id"] and volume in removed["volumes"]:
                return container, volume, removed
    names = ", ".join(container["Name"] for container, _ in servers)
    raise NotYet(f"{names} runs, but no earlier container on the same volume was removed in this sitting.")


def _users(evidence: Evidence, container: dict[str, Any]) -> list[str]:
    settings = _environment(container)
    user = settings.get("POSTGRES_USER", "postgres")
    database = settings.get("POSTGRES_DB", user)
    said = evidence.run(
        container, ["psql", "-XAtq", "-U", user, "-d", database, "-c", "SELECT name FROM users ORDER BY name"]
    )
    if said.exit_code:
        raise NotYet(f"{container['Name']} does not tell its users: {said.text.strip().splitlines()[-1]}")
    return said.text.split()


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
    rows = _users(evidence, container)
    if not rows:
        raise NotYet(f"{container['Name']} runs on {volume}, but its table users has no rows.")
    return f"{removed['name']} is gone; {container['Name']}, another container on {volume}, has {', '.join(rows)}."


@check(
    "03-exercise",
    "a fourth row, and a third server that has it",
    expected="a running third-db on pgdata, new-db removed, four rows with Dora among them",
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
    rows = _users(evidence, third)
    if "Dora" not in rows or len(rows) != 4:
        raise NotYet(f"third-db has {len(rows)} rows: {', '.join(rows)}.")
    return f"third-db on pgdata has {', '.join(rows)}."
