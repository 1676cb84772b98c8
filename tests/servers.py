"""What tests of Postgres share: a login whose password would be found anywhere, and a server that many tests ask."""

from __future__ import annotations

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


@contextmanager
def running(engine: Engine, **settings: Any) -> Iterator[Postgres]:
    """A server in a lab of its own, for the tests of a module."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        db = Postgres(lab, "shared-db", **{**LOGIN, **settings})
        try:
            yield db
        finally:
            db.close()
