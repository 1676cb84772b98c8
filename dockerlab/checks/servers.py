"""The Postgres servers of a lab, as checks look at them."""

from __future__ import annotations

from typing import Any

from ..commands import Output
from .evidence import Evidence

__all__ = ["DATA", "ask", "login", "servers", "settings"]

# The volume is mounted here or, up to Postgres 17, at the folder data below it.
DATA = "/var/lib/postgresql"


def servers(evidence: Evidence) -> list[tuple[dict[str, Any], str]]:
    """The running servers of the lab, each with the volume that has its data."""
    return [
        (container, evidence.belongings.short(mount["Name"]))
        for container in evidence.containers
        for mount in container["Mounts"]
        if mount["Type"] == "volume" and mount["Destination"].startswith(DATA) and container["State"]["Running"]
    ]


def settings(container: dict[str, Any]) -> dict[str, str]:
    """A container's environment variables."""
    return dict(item.split("=", 1) for item in container["Config"]["Env"])


def login(container: dict[str, Any]) -> list[str]:
    """psql's options for the user and the database that the container's settings name."""
    user = settings(container).get("POSTGRES_USER", "postgres")
    return ["-U", user, "-d", settings(container).get("POSTGRES_DB", user)]


def ask(evidence: Evidence, container: dict[str, Any], query: str) -> Output:
    """What a query gives inside the container: bare rows, a line each; another exit status than 0 if refused."""
    return evidence.run(container, ["psql", "-XAtqw", *login(container), "-c", query])
