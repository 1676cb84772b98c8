"""Four ways to copy a database while a program writes to it, and what each copy holds once it is restored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pandas as pd

from .backup import back_up, restore
from .checks import Evidence
from .checks.servers import Copy, copies
from .errors import BackupError, CommandError
from .postgres import Postgres

__all__ = ["four_copies"]

# How to hold a server's containers while its files are copied; the last one ends the program that writes.
_FILES: dict[str, Literal["live", "pause", "stop"]] = {"live": "live", "paused": "pause", "stopped": "stop"}
# Rows 1, 2, 3 …, a hundred to a transaction, and a checkpoint after each. A server makes one by itself every few
# minutes; here nobody waits for it. The shell counts, since a loop in the server would outlive its client.
_INSERT = "INSERT INTO ledger SELECT generate_series($((n + 1)), $((n + 100))); CHECKPOINT;"
_WRITE = f'n=0; while :; do echo "{_INSERT}"; n=$((n + 100)); done | psql -Xq -h 127.0.0.1 -U "$0" -d "$1"'
# Rows to be there before the first copy begins, and seconds for the next of them to come.
_ROWS, _PATIENCE = 5_000, 60.0
# The engine gives its stream up when a file goes that it is about to read, as a checkpoint's do.
_TRIES = 5
# How often all is done before a live copy that is whole counts as what came out.
_ROUNDS = 5
_COUNT = "SELECT count(*), coalesce(max(n), 0) FROM ledger"


def four_copies(db: Postgres, folder: str | Path = ".") -> pd.DataFrame:
    """Copy a running server's data in four ways, each while a program writes rows to its table `ledger`.

    The program numbers its rows without a gap and commits them in that order: a copy that has row 500 and is whole has
    500 rows. Returns a DataFrame with a row for each way (`live`, `paused`, `stopped`, `pg_dump`): whether a server
    `starts` on the restored copy, how many rows were `committed` before the last one in it, how many `rows` it has, and
    how many are `missing`. A live copy may be whole by luck: then that is said, and all four are taken again, five
    times at most. The frame has what came out last, and in `attrs["rounds"]` how many it took.

    Left behind, for a closer look: the table; in `folder`, `<server>-<way>.tar.gz` and `<server>.dump`; the volumes
    `<server>-<way>`; and in the server a database `dumped`. What a former call left is replaced. Raises `CommandError`
    where the program does not get to write, `BackupError` where a live copy ends too early five times over.
    """
    for number in range(1, _ROUNDS + 1):
        frame = _four_copies(db, folder)
        frame.attrs["rounds"] = number
        if frame.loc["live", "missing"] or not frame.loc["live", "starts"]:
            break
        again = "All four are taken again." if number < _ROUNDS else "Call it again, if you like."
        db.lab.say(f"# the live copy is whole this time, which is luck ({number} of {_ROUNDS}). {again}")
    return frame


def _four_copies(db: Postgres, folder: str | Path) -> pd.DataFrame:
    lab, writer = db.lab, f"{db.name}-writer"
    user, database = str(db.url.username), str(db.url.database)
    db.sql("DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (n int PRIMARY KEY, at timestamptz DEFAULT now())")
    archives = {way: Path(folder, f"{db.name}-{way}.tar.gz") for way in _FILES}
    network = f"container:{db.name}"
    lab.run(db.image, ["sh", "-c", _WRITE, user, database], name=writer, network=network)
    try:
        _wait_for_rows(db, writer)
        db.dump(dump := Path(folder, f"{db.name}.dump"))
        for way, consistent in _FILES.items():
            _copy(db, archives[way], consistent)
    finally:
        lab.remove(writer, volumes=True, force=True)
    db.start()  # it runs already; now it answers as well
    for way, archive in archives.items():
        restore(lab, archive, f"{db.name}-{way}", replace=True, progress=False)
    found = copies(Evidence(lab.engine, lab.belongings, 0))
    db.sql("DROP DATABASE IF EXISTS dumped")
    db.sql("CREATE DATABASE dumped")
    dumped = Postgres(lab, db.name, user=user, password=str(db.url.password), database="dumped")
    dumped.load(dump)
    rows, last = dumped.sql(_COUNT).iloc[0]
    dumped.close()
    outcomes = {way: found[f"{db.name}-{way}"] for way in _FILES} | {"pg_dump": Copy(True, int(rows), int(last))}
    table = [(each.starts, each.last, each.rows, each.missing) for each in outcomes.values()]
    index = pd.Index(outcomes, name="copied")
    return pd.DataFrame(table, index, ["starts", "committed", "rows", "missing"])


def _copy(db: Postgres, archive: Path, consistent: Literal["live", "pause", "stop"]) -> None:
    """Back the server's volume up; a live copy that a vanishing file ends is taken again."""
    for left in reversed(range(_TRIES if consistent == "live" else 1)):
        try:
            back_up(db.lab, db.volume, archive, consistent=consistent, progress=False)
            return
        except BackupError:
            if not left:
                raise


def _wait_for_rows(db: Postgres, writer: str) -> None:
    rows, deadline = 0, time.monotonic() + _PATIENCE
    while True:
        with db.engine.connect() as connection:
            seen = connection.exec_driver_sql(_COUNT).one()[0]
        if seen >= _ROWS:
            return
        if seen > rows:
            rows, deadline = seen, time.monotonic() + _PATIENCE
        box = db.lab.container(writer)
        if box.status != "running" or time.monotonic() > deadline:
            said = box.logs(tail=3).decode(errors="replace").strip()
            raise CommandError(f"{writer} does not write to {db.name}.", f"It is {box.status}, and said: {said}")
        time.sleep(0.05)
