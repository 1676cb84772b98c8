"""Lesson 07's claims and exercise, proven and not proven, with real volumes and servers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from engines import wait_until

from dockerlab import Lab, Postgres, Volume
from dockerlab.cli import invoke
from dockerlab.engine.find import Engine

DATA = "/var/lib/postgresql/data"
LOGIN: dict[str, Any] = {"password": "secret", "database": "shop"}
LEDGER = "CREATE TABLE ledger AS SELECT n, clock_timestamp() AS at FROM generate_series(1, 500) AS n"


# K13


@pytest.fixture
def letters(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab with two letters on `my-data`, and an archive of them in the working directory."""
    monkeypatch.chdir(tmp_path)
    write(lab, "mkdir /v/1999; echo Dear Ana > /v/first; echo Dear Bob > /v/1999/second")
    invoke(
        lab,
        "run --rm -v my-data:/source -v $(pwd):/backup alpine tar czf /backup/my-data-backup.tar.gz -C /source .",
    )
    return lab


def write(lab: Lab, script: str) -> None:
    lab.run("alpine", ["sh", "-c", script], mounts=[Volume("my-data", "/v")], detach=False, remove=True)


def unpack(lab: Lab, volume: str) -> None:
    mount = f"-v {volume}:/target"
    invoke(lab, f"run --rm {mount} -v $(pwd):/backup alpine tar xzf /backup/my-data-backup.tar.gz -C /target")


def test_k13_is_proven_by_a_volume_that_came_back(letters: Lab) -> None:
    letters.remove_volume("my-data")
    unpack(letters, "my-data")
    verdict = letters.check("K13")
    assert verdict
    assert verdict.observed == "my-data was made after its 2 files were: a container that is gone unpacked them."


def test_k13_is_proven_by_a_copy_beside_the_original_too(letters: Lab) -> None:
    unpack(letters, "copy")
    assert letters.check("K13").observed.startswith("copy was made after its 2 files")


def test_k13_is_not_proven_by_a_backup_alone(letters: Lab) -> None:
    assert letters.check("K13").observed == (
        "my-data has 0 files that are older than itself, and 2 that were written to it since."
    )


def test_k13_is_not_proven_by_a_mixture(letters: Lab) -> None:
    letters.remove_volume("my-data")
    write(letters, "echo mine > /v/draft")
    unpack(letters, "my-data")
    assert letters.check("K13").observed == (
        "my-data has 2 files that are older than itself, and 1 that were written to it since."
    )


def test_k13_is_not_proven_by_a_copy_without_an_archive(letters: Lab) -> None:
    mounts = [Volume("my-data", "/from", read_only=True), Volume("copy", "/to")]
    letters.run("alpine", "cp -a /from/. /to", mounts=mounts, detach=False, remove=True)
    assert not letters.check("K13")


@pytest.mark.parametrize("rest", ["run --rm -v fresh:/x alpine true", "run -d --name user -v fresh:/bin alpine true"])
def test_k13_is_not_proven_by_what_the_engine_itself_copied_from_an_image(lab: Lab, rest: str) -> None:
    invoke(lab, "run --rm -v fresh:/bin alpine true")
    invoke(lab, rest)
    assert lab.check("K13").observed.endswith("files that are older than itself, but it has them from an image.")


def test_k13_is_proven_too_where_the_volume_is_used_over_files_of_an_image_since(letters: Lab) -> None:
    unpack(letters, "copy")
    invoke(letters, "create -v copy:/bin alpine true")
    assert letters.check("K13")


# K20 and the exercise: a server that writes no more, and what is made of its volume


@pytest.fixture(scope="module")
def serving(engine: Engine) -> Iterator[Lab]:
    """A lab whose server `shop` has a ledger of 500 rows on `shop-data`, all of it in its files."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        shop = Postgres(lab, "shop", volume="shop-data", **LOGIN)
        shop.sql(LEDGER)
        shop.sql("CHECKPOINT")
        shop.close()
        yield lab


@contextmanager
def copied(lab: Lab, damage: str = "", name: str = "copy") -> Iterator[None]:
    """A copy of `shop-data`, with something done to it."""
    mounts = [Volume("shop-data", "/from", read_only=True), Volume(name, "/to")]
    script = f"cp -a /from/. /to && rm /to/postmaster.pid; cd /to; {damage}"
    lab.run("alpine", ["sh", "-c", script], mounts=mounts, detach=False, remove=True)
    yield
    lab.remove_volume(name)


@contextmanager
def new_shop(lab: Lab, volume: str = "copy") -> Iterator[Postgres]:
    server = Postgres(lab, "new-shop", volume=volume, **LOGIN)
    yield server
    server.close()
    lab.remove("new-shop", force=True)


def test_k20_is_proven_by_a_whole_copy_and_one_on_which_no_server_starts(serving: Lab) -> None:
    with copied(serving), copied(serving, "rm pg_wal/0*", name="torn"):
        verdict = serving.check("K20")
    assert verdict
    assert verdict.observed == "copy has all 500 rows; torn does not start, or can't read its ledger."


def test_k20_is_proven_by_a_copy_that_lacks_rows(serving: Lab) -> None:
    with copied(serving), copied(serving, name="whole"):
        with new_shop(serving) as server:
            server.sql("DELETE FROM ledger WHERE n BETWEEN 100 AND 139")
            server.stop()
        verdict = serving.check("K20")
    assert verdict
    assert "copy lacks 40 of 500 rows" in verdict.observed


def test_k20_is_not_proven_by_whole_copies(serving: Lab) -> None:
    with copied(serving):
        verdict = serving.check("K20")
    assert not verdict
    assert verdict.observed == "copy has all 500 rows."


def test_k20_is_not_proven_by_a_torn_copy_alone(serving: Lab) -> None:
    with copied(serving, "rm pg_wal/0*"):
        verdict = serving.check("K20")
    assert not verdict
    assert verdict.observed == "copy does not start, or can't read its ledger."


def test_k20_is_not_proven_by_a_whole_copy_from_before_there_was_a_ledger(serving: Lab) -> None:
    with copied(serving), copied(serving, name="older"):
        with new_shop(serving, "older") as server:
            server.sql("DROP TABLE ledger")
            server.stop()
        verdict = serving.check("K20")
    assert not verdict
    assert verdict.observed == "copy has all 500 rows; older has no rows in a ledger."


def test_files_that_no_database_can_be_told_of_are_no_error(serving: Lab) -> None:
    with copied(serving), copied(serving, "rm global/pg_control", name="half"):
        assert serving.check("K20").observed == "copy has all 500 rows."


def test_k20_is_not_proven_by_another_server_s_files(serving: Lab) -> None:
    with new_shop(serving, "other"):
        pass
    assert serving.check("K20").observed == "No volume has a copy of the files of a server that runs."
    serving.remove_volume("other")


def test_the_exercise_is_done_by_a_server_on_a_copy(serving: Lab) -> None:
    with copied(serving), new_shop(serving):
        verdict = serving.check("07-exercise")
    assert verdict
    assert verdict.observed == "new-shop on copy has the same 500 rows as shop on shop-data."


def test_the_exercise_is_done_by_a_dump_as_well(serving: Lab, tmp_path: Path) -> None:
    shop = Postgres(serving, "shop", **LOGIN)
    shop.dump(tmp_path / "dump")
    shop.close()
    with new_shop(serving, "new") as server:
        assert "does not tell its ledger" in serving.check("07-exercise").observed
        server.load(tmp_path / "dump")
        assert serving.check("07-exercise")
    serving.remove_volume("new")


def test_the_exercise_is_done_by_a_server_that_leaves_all_settings_to_its_volume(serving: Lab) -> None:
    with copied(serving):
        invoke(serving, f"run -d --name new-shop -v copy:{DATA} postgres:16-alpine")
        wait_until(lambda: serving.check("07-exercise"))
        serving.remove("new-shop", force=True)


def test_a_server_that_is_only_starting_is_no_error(serving: Lab) -> None:
    with copied(serving), new_shop(serving):
        serving.stop("shop")
        serving.start("shop")
        wait_until(lambda: serving.check("07-exercise"))


def test_untouched_the_exercise_is_not_done(serving: Lab) -> None:
    assert serving.check("07-exercise").observed == "No server new-shop runs on a volume."


def test_the_exercise_is_not_done_by_rows_that_were_typed_again(serving: Lab) -> None:
    with new_shop(serving, "new") as server:
        server.sql(LEDGER)
        observed = serving.check("07-exercise").observed
    assert observed == "shop's ledger has 500 rows, new-shop's has 500, and they are not the same."
    serving.remove_volume("new")


def test_the_exercise_is_not_done_by_a_copy_that_lacks_rows(serving: Lab) -> None:
    with copied(serving), new_shop(serving) as server:
        server.sql("DELETE FROM ledger WHERE n = 7")
        assert "new-shop's has 499" in serving.check("07-exercise").observed


def test_the_exercise_is_not_done_on_the_same_volume(serving: Lab) -> None:
    invoke(serving, "run -d --name new-shop -v shop-data:/var/lib/postgresql/data postgres:16-alpine")
    assert serving.check("07-exercise").observed == "Both run on shop-data: that is no copy, and dangerous."
    serving.remove("new-shop", force=True)
