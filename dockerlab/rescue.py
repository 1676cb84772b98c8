"""A shop that loses its database in the usual ways, for lesson 09 to bring back."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pandas as pd

from .backup import back_up
from .checks.lesson_09 import ORDERS
from .lab import Lab
from .mounts import Anonymous
from .postgres import Postgres

__all__ = ["RECEIPT", "accident"]

#: The question whose answer `accident` returns.
RECEIPT = "SELECT count(*) AS orders, sum(price) AS total FROM orders"
# A website's two volumes are orphaned as well, so that the database's has to be told from others.
WEBSITE = "echo welcome > /pages/index.html; echo 200 > /logs/today"


def accident(lab: Lab, folder: str | Path = ".") -> pd.DataFrame:
    """Clean the lab up, run a shop's database on it, lose it, and return what the till's receipt says.

    The receipt counts all `orders` and sums their prices to a `total`. What is left: in the folder `monday.tar.gz`, a
    backup with the orders of Monday, and `tuesday.tar.gz`, one with those of both days, of which only the first half
    was written; on the engine three anonymous volumes without a container. In one of them is the database as it was at
    last: with the orders of Tuesday, those of Monday deleted. No one place has them all.
    """
    lab.cleanup()
    lab.run("alpine", ["sh", "-c", WEBSITE], name="website", mounts=[Anonymous("/pages"), Anonymous("/logs")])
    server = Postgres(lab, "shop-db", password="secret")
    server.sql("CREATE TABLE orders (number INT PRIMARY KEY, day TEXT, item TEXT, price INT)")
    for day, orders in groupby(ORDERS, itemgetter(1)):
        server.sql(f"INSERT INTO orders VALUES {', '.join(map(str, orders))}")
        archive = Path(folder, f"{day.lower()}.tar.gz")
        back_up(lab, server.volume, archive, consistent="pause", progress=False)
    receipt = server.sql(RECEIPT)
    server.sql("DELETE FROM orders WHERE day = 'Monday'")
    server.close()
    lab.remove("website")
    lab.remove("shop-db", force=True)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    return receipt
