"""Lesson 03's claims and exercise, proven and not proven, with real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from dockerlab import Lab, Postgres, Volume
from dockerlab.cli import invoke
from dockerlab.errors import InUseError, PostgresError

LOGIN = {"user": "admin", "password": "secret", "database": "testdb"}
DATA = "/var/lib/postgresql/data"
USERS = "CREATE TABLE users AS SELECT * FROM (VALUES ('Alice'), ('Bob'), ('Charlie')) AS t(name)"


def serve(lab: Lab, name: str, **changed: str) -> Postgres:
    return Postgres(lab, name, **{"volume": "pgdata", **LOGIN, **changed})  # type: ignore[arg-type]


@pytest.fixture
def served(lab: Lab) -> Iterator[Lab]:
    """A lab whose server `test-db` has three users on `pgdata`."""
    with closing(serve(lab, "test-db")) as server:
        server.sql(USERS)
        yield lab


def successor(lab: Lab, name: str = "new-db", **changed: str) -> None:
    """Remove `test-db`, and have another server take its place."""
    lab.remove("test-db", force=True)
    serve(lab, name, **changed).close()


# K10


def test_k10_is_proven_by_another_server_that_has_the_rows(served: Lab) -> None:
    successor(served)
    verdict = served.check("K10")
    assert verdict
    assert verdict.observed == "test-db is gone; new-db, another container on pgdata, has Alice, Bob, Charlie."
    dora(served, "new-db")  # a row of its own takes nothing away
    assert served.check("K10")


def test_k10_is_not_proven_while_the_first_server_runs(served: Lab) -> None:
    served.run("alpine", "ls /x", mounts=[Volume("pgdata", "/x")], detach=False, remove=True)
    assert "no earlier server on the same volume was removed" in served.check("K10").observed


def test_k10_is_not_proven_without_a_running_server(served: Lab) -> None:
    served.remove("test-db", force=True)
    for path in ("/var", DATA):
        served.run("alpine", "sleep infinity", mounts=[Volume("pgdata", path)])  # no server
    assert served.check("K10").observed.startswith("No container of this lab runs")


def test_k10_is_not_proven_by_the_same_container_started_again(served: Lab) -> None:
    served.stop("test-db")
    served.start("test-db")
    assert not served.check("K10")


def test_k10_is_not_proven_on_another_volume(served: Lab) -> None:
    successor(served, volume="other")
    assert not served.check("K10")


def test_k10_is_not_proven_by_rows_that_the_second_server_was_given_itself(lab: Lab) -> None:
    with closing(serve(lab, "test-db")):
        successor(lab)
    with closing(serve(lab, "new-db")) as server:
        server.sql(USERS)
        assert lab.check("K10").observed.endswith("users has Alice, Bob, Charlie, inserted since it started.")


def test_k10_is_not_proven_without_rows(served: Lab) -> None:
    successor(served)
    invoke(served, "exec new-db psql -U admin -d testdb -c 'DELETE FROM users'")
    assert served.check("K10").observed.endswith("its table users has no rows.")
    invoke(served, "exec new-db psql -U admin -d testdb -c 'DROP TABLE users'")
    observed = served.check("K10").observed
    assert observed.startswith("new-db does not tell its users: ") and "users" in observed.rpartition(": ")[2]


def test_a_paused_server_is_no_proof_and_no_error(served: Lab) -> None:
    successor(served)
    invoke(served, "pause new-db")
    verdict = served.check("K10")
    assert not verdict and "is paused" in verdict.observed
    invoke(served, "unpause new-db")
    assert served.check("K10")


# K19


def test_k19_is_proven_by_a_new_password_on_an_old_volume(served: Lab) -> None:
    served.remove("test-db", force=True)
    with pytest.raises(PostgresError, match="count only when the data directory is first made"):
        serve(served, "late-db", password="changed")
    verdict = served.check("K19")
    assert verdict
    assert "late-db refuses the password of its own settings" in verdict.observed
    assert "secret" not in verdict.observed
    assert "changed" not in verdict.observed


def test_k19_is_proven_by_docker_run_as_well(served: Lab) -> None:
    invoke(served, "rm -f test-db")
    settings = "-e POSTGRES_USER=admin -e POSTGRES_PASSWORD=changed -e POSTGRES_DB=testdb"
    invoke(served, f"run -d --name late-db -v pgdata:{DATA} {settings} postgres:16-alpine")
    serve(served, "late-db").close()  # the old password still opens it
    assert served.check("K19")


def test_k19_is_not_proven_by_the_password_of_that_time(served: Lab) -> None:
    successor(served)
    assert served.check("K19").observed == "new-db on pgdata takes the password that it was started with."


def test_k19_is_not_proven_by_a_new_volume(served: Lab) -> None:
    successor(served, volume="other", password="changed")
    assert served.check("K19").observed == "new-db on other takes the password that it was started with."


def test_k19_is_not_proven_by_a_password_changed_in_sql(served: Lab) -> None:
    invoke(served, "exec test-db psql -U admin -d testdb -c \"ALTER USER admin PASSWORD 'other'\"")
    assert "it was changed in SQL since" in served.check("K19").observed


def test_k19_is_not_proven_by_no_password_at_all(served: Lab) -> None:
    invoke(served, "rm -f test-db")
    invoke(served, f"run -d --name late-db -v pgdata:{DATA} postgres:16-alpine")
    assert served.check("K19").observed == "No server of this lab runs that was given a password."


# K21


def test_k21_is_proven_by_two_servers_that_both_answer(served: Lab) -> None:
    with pytest.raises(InUseError, match="test-db"):
        serve(served, "two-db")
    assert served.check("K21").observed == "test-db answers on pgdata; no volume has two."
    invoke(served, f"run -d --name two-db -v pgdata:{DATA} -e POSTGRES_USER=admin postgres:16-alpine")
    with closing(serve(served, "two-db")):
        verdict = served.check("K21")
    assert verdict
    assert "two-db and test-db both write to pgdata" in verdict.observed


def test_k21_is_not_proven_by_two_volumes(served: Lab) -> None:
    serve(served, "two-db", volume="other").close()
    assert served.check("K21").observed.endswith("no volume has two.")


def test_k21_is_not_proven_by_servers_whose_data_is_on_their_own_anonymous_volumes(served: Lab) -> None:
    above = DATA.rpartition("/")[0]
    for name in ("one-db", "two-db"):
        invoke(served, f"run -d --name {name} -v scratch:{above} -e POSTGRES_PASSWORD=secret postgres:16-alpine")
        Postgres(served, name, password="secret").close()
    observed = served.check("K21").observed
    assert observed.endswith("no volume has two.") and "scratch" not in observed


def test_k21_is_not_proven_once_one_of_them_is_stopped(served: Lab) -> None:
    served.stop("test-db")
    serve(served, "two-db").close()
    assert served.check("K21").observed == "two-db answers on pgdata; no volume has two."


def test_k21_is_not_proven_by_a_container_that_is_no_server(served: Lab) -> None:
    invoke(served, f"run -d --name look -v pgdata:{DATA}:ro alpine sleep 1h")
    assert not served.check("K21")


# The exercise


@pytest.fixture
def second(served: Lab) -> Lab:
    """The lesson as the exercise finds it: `new-db` runs on `pgdata`."""
    successor(served)
    return served


def dora(lab: Lab, name: str) -> None:
    invoke(lab, f"exec {name} psql -U admin -d testdb -c \"INSERT INTO users VALUES ('Dora')\"")


def test_the_exercise_is_done_by_a_third_server_with_four_rows(second: Lab) -> None:
    dora(second, "new-db")
    second.remove("new-db", force=True)
    serve(second, "third-db").close()
    verdict = second.check("03-exercise")
    assert verdict
    assert verdict.observed == "third-db on pgdata has Alice, Bob, Charlie, Dora."


def test_the_exercise_is_done_by_a_server_that_leaves_all_settings_to_its_volume(second: Lab) -> None:
    dora(second, "new-db")
    second.remove("new-db", force=True)
    invoke(second, f"run -d --name third-db -v pgdata:{DATA} postgres:16-alpine")
    serve(second, "third-db").close()  # it answers
    assert second.check("03-exercise")


def test_untouched_the_exercise_is_not_done(second: Lab) -> None:
    assert second.check("03-exercise").observed == "Running: new-db."


def test_without_dora_the_exercise_is_not_done(second: Lab) -> None:
    second.remove("new-db", force=True)
    serve(second, "third-db").close()
    assert second.check("03-exercise").observed == "third-db has 3 rows: Alice, Bob, Charlie."


def test_a_dora_of_the_third_server_s_own_has_outlived_nothing(second: Lab) -> None:
    second.remove("new-db", force=True)
    serve(second, "third-db").close()
    dora(second, "third-db")
    assert second.check("03-exercise").observed.startswith("Dora came into third-db itself")


def test_on_another_volume_the_exercise_is_not_done(second: Lab) -> None:
    serve(second, "third-db", volume="other").close()
    assert second.check("03-exercise").observed == "third-db runs, but not on pgdata."


def test_the_exercise_wants_no_new_db_to_be_there_again(second: Lab) -> None:
    dora(second, "new-db")
    second.remove("new-db", force=True)
    second.run("alpine", "true", name="new-db")
    serve(second, "third-db").close()
    assert second.check("03-exercise").observed == "There is a new-db again."


def test_the_exercise_wants_new_db_removed(second: Lab) -> None:
    second.stop("new-db")
    serve(second, "third-db").close()
    dora(second, "third-db")
    assert second.check("03-exercise").observed == "new-db was not removed in this sitting."
