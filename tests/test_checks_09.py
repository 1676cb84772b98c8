"""Lesson 09's accident and its rescue, by several roads and by some that do not lead there, on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerlab import Lab, Postgres, Volume, back_up, restore, verify
from dockerlab.checks.lesson_09 import ORDERS
from dockerlab.cli import invoke
from dockerlab.errors import BackupError
from dockerlab.rescue import accident

DATA = "/var/lib/postgresql/data"
MONDAY, TUESDAY = ([order for order in ORDERS if order[1] == day] for day in ("Monday", "Tuesday"))


@pytest.fixture
def lost(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab after the accident, with its folder as the one where we are."""
    monkeypatch.chdir(tmp_path)
    receipt = accident(lab)
    assert list(receipt.itertuples(index=False, name=None)) == [(len(ORDERS), sum(order[3] for order in ORDERS))]
    return lab


def observed(lab: Lab) -> str:
    verdict = lab.check("09-exercise")
    assert not verdict
    return verdict.observed


def the_orphan(lab: Lab) -> str:
    """The anonymous volume in which a database is."""
    words = "test -e /look/PG_VERSION"
    (found,) = (
        name
        for name in lab.volumes()["name"]
        if not lab.run(
            "alpine", words, mounts=[Volume(name, "/look", read_only=True)], detach=False, remove=True
        ).exit_code
    )
    return str(found)


def add(server: Postgres, orders: list[tuple[int, str, str, int]]) -> None:
    server.sql(f"INSERT INTO orders VALUES {', '.join(map(str, orders))}")


def test_the_accident_leaves_two_halves_and_a_broken_backup(lost: Lab) -> None:
    assert lost.containers().empty
    volumes = lost.volumes()
    assert list(volumes["anonymous"]) == [True] * 3
    assert set(volumes["used_by"]) == {""}
    assert verify("monday.tar.gz").sealed
    with pytest.raises(BackupError, match=r"(?s)tuesday\.tar\.gz is not whole.*digest:.*gzip:"):
        verify("tuesday.tar.gz")
    assert observed(lost) == "No server of this lab runs."
    with Postgres(lost, "on-the-orphan", volume=the_orphan(lost), password="secret") as server:
        found = server.sql("SELECT * FROM orders")
        assert list(found.itertuples(index=False, name=None)) == TUESDAY
        assert observed(lost).endswith("has 3 of the 6 orders.")


def test_the_rescue_is_judged_at_each_step(lost: Lab, tmp_path: Path) -> None:
    restore(lost, "monday.tar.gz", "shop-data", progress=False)
    with Postgres(lost, "shop-db", volume="shop-data", password="secret") as shop:
        held = shop.sql("SELECT * FROM orders")
        assert list(held.itertuples(index=False, name=None)) == MONDAY
        assert observed(lost) == "shop-db on shop-data has 3 of the 6 orders."
        back_up(lost, "shop-data", "half.tar.gz", consistent="pause", progress=False)
        add(shop, TUESDAY)
        assert observed(lost).endswith("the newest backup, half.tar.gz, holds 3 of the 6 orders.")
        back_up(lost, "shop-data", "whole.tar.gz", consistent="pause", progress=False)
        verdict = lost.check("09-exercise")
        assert verdict, verdict
        assert "shop-db on shop-data has all 6 orders again, and whole.tar.gz" in verdict.observed
        add(shop, [(7, "Tuesday", "ladder", 50)])
        assert observed(lost) == "shop-db on shop-data has 6 of the 6 orders and others."
        shop.sql("DELETE FROM orders WHERE number = 7")
        whole = Path("whole.tar.gz").read_bytes()
        Path("whole.tar.gz").write_bytes(whole[: len(whole) // 2])
        assert observed(lost).startswith("The newest backup, whole.tar.gz, does not restore: ")
        for archive in tmp_path.glob("*.tar.gz"):
            archive.unlink()
        assert observed(lost).startswith("There is no backup in ")


def test_all_orders_on_a_volume_without_a_name_are_no_rescue_yet(lost: Lab) -> None:
    orphan = the_orphan(lost)
    with Postgres(lost, "found-db", volume=orphan, password="secret") as server:
        add(server, MONDAY)
        back_up(lost, orphan, "found.tar.gz", consistent="pause", progress=False)
        assert observed(lost) == f"found-db on the anonymous volume {orphan[:12]} has 6 of the 6 orders."
    # The rest of the way in docker's own words.
    invoke(lost, f"run --rm -v {orphan}:/from:ro -v named:/to alpine cp -a /from/. /to")
    invoke(lost, "run --rm -v named:/source -v $(pwd):/backup alpine tar czf /backup/by-hand.tar.gz -C /source .")
    invoke(lost, f"run -d --name by-hand -v named:{DATA} postgres:16-alpine")
    server = Postgres(lost, "by-hand", password="secret")
    server.close()
    assert lost.check("09-exercise")


def test_what_a_prune_took_is_not_to_be_had_again(lost: Lab) -> None:
    restore(lost, "monday.tar.gz", "shop-data", progress=False)
    with Postgres(lost, "shop-db", volume="shop-data", password="secret"):
        lost.plan_prune(all=True).apply()
        assert "has 3 of the 6 orders. No anonymous volume is left" in observed(lost)
