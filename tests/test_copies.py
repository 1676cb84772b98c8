"""Four copies of a real server that is being written to: what is whole, what may not be, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from dockerlab import Lab, Postgres, copies, verify
from dockerlab.copies import four_copies
from dockerlab.errors import CommandError


@pytest.fixture
def shop(lab: Lab) -> Iterator[Postgres]:
    server = Postgres(lab, "shop", volume="shop-data", password="it's $hidden", database="shop")
    yield server
    server.close()


def test_three_copies_are_whole_and_the_live_one_is_told_as_it_came_out(shop: Postgres, tmp_path: Path) -> None:
    lab = shop.lab
    frame = four_copies(shop, tmp_path)
    assert list(frame.index) == ["live", "paused", "stopped", "pg_dump"]
    assert (frame["committed"] - frame["rows"] == frame["missing"]).all()
    careful = frame.drop("live")
    assert careful["starts"].all()
    assert (careful["missing"] == 0).all()
    assert (careful["rows"] >= 5_000).all()
    live = frame.loc["live"]
    is_torn = bool(live["missing"] or not live["starts"])
    assert lab.check("K20").passed == is_torn

    assert shop.sql("SELECT count(*) FROM ledger").squeeze() >= careful["rows"].max(), "it runs again"
    assert list(lab.containers()["name"]) == ["shop"]
    assert set(lab.volumes()["name"]) == {"shop-data", "shop-live", "shop-paused", "shop-stopped"}
    assert verify(tmp_path / "shop-live.tar.gz").files > 900, "as an archive it is whole"


@pytest.mark.parametrize(("rounds", "told"), [(1, "(1 of 1). Call it again, if you like."), (2, "(1 of 2). All four")])
def test_a_live_copy_that_is_whole_by_luck_is_told_and_taken_again(
    shop: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, told: str
) -> None:
    take, lucky = copies._copy, iter(["once"])

    def copy(db: Postgres, archive: Path, consistent: Literal["live", "pause", "stop"]) -> None:
        """Luck, made by pausing the server."""
        take(db, archive, "pause" if consistent == "live" and next(lucky, None) else consistent)

    said: list[str] = []
    monkeypatch.setattr(copies, "_copy", copy)
    monkeypatch.setattr(copies, "_ROUNDS", rounds)
    shop.lab.say = said.append
    frame = four_copies(shop, tmp_path)
    first, *_ = (line for line in said if "which is luck" in line)
    assert told in first
    assert frame.attrs["rounds"] == rounds
    if rounds == 1:
        assert frame.loc["live", "missing"] == 0
        assert not shop.lab.check("K20")


def test_a_program_that_does_not_get_to_write_is_an_error_and_goes(
    shop: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dockerlab.copies._PATIENCE", 0.5)
    monkeypatch.setattr("dockerlab.copies._WRITE", "sleep 600")
    with pytest.raises(CommandError, match="shop-writer does not write to shop"):
        four_copies(shop, tmp_path)
    assert list(shop.lab.containers()["name"]) == ["shop"]
    assert list(tmp_path.iterdir()) == []
