"""What tests of Postgres share: a login whose password would be found anywhere, data, and a server that many ask."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dockerlab import Lab, Postgres
from dockerlab.engine.find import Engine

PASSWORD = "hunter2-Xq7-zebra"
LOGIN: dict[str, Any] = {"user": "admin", "password": PASSWORD, "database": "testdb"}
# As `docker run -e` and Lab.run take it: the lesson's C6.
ENV = {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": "testdb"}
IMAGE = "postgres:16-alpine"
DATA = "/var/lib/postgresql/data"


@contextmanager
def running(engine: Engine) -> Iterator[Postgres]:
    """A server in a lab of its own, for the tests of a module."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        provide_data(lab, "shared-data")
        db = Postgres(lab, "shared-db", volume="shared-data", **LOGIN)
        try:
            yield db
        finally:
            db.close()


def provide_data(lab: Lab, volume: str = "pgdata") -> None:
    """Give the lab a volume that a server with that login ran on and left cleanly: a start on it takes no initdb."""
    volume = lab.belongings.full(volume)
    lab.claim_volume(volume, quietly=True)
    box = lab.engine.client.containers.create("alpine", volumes=[f"{volume}:/to"])
    try:
        box.put_archive("/to", _data(lab.engine))
    finally:
        box.remove()


@functools.cache
def _data(engine: Engine) -> bytes:
    """A data directory as a tar, made once: that is most of what the first start of a server takes."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        db = Postgres(lab, "template", volume="template", **LOGIN)
        db.stop()
        return b"".join(db.container.get_archive(f"{DATA}/.")[0])
