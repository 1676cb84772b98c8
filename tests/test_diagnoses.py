"""What goes wrong with a real server is said at once, in three lines, with what to do about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from engines import relay_threads, wait_until
from servers import DATA, ENV, IMAGE, LOGIN, PASSWORD, provide_data, running

from dockerlab import Lab, Postgres, Volume
from dockerlab.engine.find import Engine
from dockerlab.errors import CommandError, DockerLabError, PostgresError

# Longer than any of these tests may take: who waits until then has not seen that there is nothing to wait for.
LONG = 3600


@pytest.fixture(scope="module")
def db(engine: Engine) -> Iterator[Postgres]:
    with running(engine) as server:
        server.sql("CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('Alice')")
        yield server


def refusal(lab: Lab, name: str = "test-db", *, timeout: float = LONG, **changes: Any) -> list[str]:
    """The three lines with which a server does not come up."""
    with pytest.raises(PostgresError) as caught:
        Postgres(lab, name, timeout=timeout, **{**LOGIN, **changes})
    assert PASSWORD not in str(caught.value)
    return three_lines(caught.value)


def three_lines(error: DockerLabError) -> list[str]:
    lines = str(error).splitlines()
    assert len(lines) == 3 and all(lines), lines
    return lines


def on_volume(lab: Lab, volume: str, command: str) -> str:
    """What a shell command says that runs with the volume at /data."""
    box = lab.run("alpine", "sleep 60", mounts=[Volume(volume, "/data")])
    text: str = lab.exec(box, command).text
    lab.remove(box, force=True)
    return text


def names(lab: Lab) -> list[str]:
    return list(lab.containers()["name"])


def test_a_server_that_was_given_no_password_is_explained_and_left_for_its_log(lab: Lab) -> None:
    lab.run(IMAGE, name="test-db", mounts=[Volume("pgdata", DATA)])  # the lesson's C4, as it is often shown
    what, seen, next_step = refusal(lab, volume="pgdata")
    assert "test-db ended at once" in what and "needs a password" in what
    assert "Exit status 1" in seen and "superuser password is not specified" in seen
    assert "POSTGRES_PASSWORD" in next_step
    assert names(lab) == ["test-db"]


def test_a_password_that_is_a_word_of_the_log_hides_no_reason(lab: Lab) -> None:
    lab.run(IMAGE, name="test-db")
    what, seen, _ = refusal(lab, password="password")
    assert "needs a password" in what and "superuser *** is not specified" in seen


def test_what_was_started_here_and_ended_makes_room_for_the_next_try(lab: Lab) -> None:
    what, *_ = refusal(lab, volume="pgdata", password="")
    assert "needs a password" in what
    assert names(lab) == [] and list(lab.volumes()["name"]) == ["pgdata"]
    assert Postgres(lab, "test-db", volume="pgdata", **LOGIN).sql("SELECT 1").iloc[0, 0] == 1


def test_data_of_another_major_version_is_explained_and_left_as_it_is(lab: Lab) -> None:
    provide_data(lab)
    on_volume(lab, "pgdata", "echo 18 > /data/PG_VERSION")
    what, seen, next_step = refusal(lab, volume="pgdata")
    assert "another major version" in what
    assert "initialized by PostgreSQL version 18" in seen and "not compatible with this version 16" in seen
    assert "image=" in next_step and "dump" in next_step
    on_volume(lab, "pgdata", "echo 16 > /data/PG_VERSION")
    assert Postgres(lab, "test-db", volume="pgdata", **LOGIN).sql("SELECT 1").iloc[0, 0] == 1


def test_a_volume_with_something_else_in_it_is_explained_and_left_as_it_is(lab: Lab) -> None:
    on_volume(lab, "papers", "echo mine > /data/letter")
    what, seen, _ = refusal(lab, volume="papers")
    assert "not a Postgres data directory" in what and "exists but is not empty" in seen
    assert on_volume(lab, "papers", "cat /data/letter") == "mine\n"


def test_any_other_end_is_shown_by_its_log(lab: Lab) -> None:
    lab.run(IMAGE, ["postgres", "-c", "no_such_setting=1"], name="test-db", env=ENV)
    what, seen, _ = refusal(lab)
    assert "ended before it answered" in what and 'unrecognized configuration parameter "no_such_setting"' in seen


def test_a_server_that_does_not_answer_in_time_is_left_to_be_waited_for(lab: Lab) -> None:
    box = lab.run(IMAGE, ["sh", "-c", "echo still thinking; sleep 600"], name="test-db")
    wait_until(lambda: b"still thinking" in box.logs())
    earlier = set(threading.enumerate())
    what, seen, next_step = refusal(lab, timeout=1)
    assert "did not answer within 1 s" in what
    assert "container is running" in seen and "still thinking" in seen
    assert "timeout=" in next_step
    assert lab.container("test-db").status == "running"
    assert relay_threads(earlier) == [], "nor a way to it"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "not " + PASSWORD}, 'password authentication failed for user "admin"'),
        ({"user": "bob"}, 'password authentication failed for user "bob"'),
        ({"database": "elsewhere"}, 'database "elsewhere" does not exist'),
    ],
)
def test_a_refused_login_says_when_settings_count(db: Postgres, changes: dict[str, str], said: str) -> None:
    what, seen, next_step = refusal(db.lab, "shared-db", **changes)
    assert "refuses the login" in what and said in seen
    assert "count only when the data directory is first made" in next_step


def test_a_new_password_on_an_old_volume_is_refused_and_the_old_one_still_counts(lab: Lab) -> None:
    provide_data(lab)
    _, seen, next_step = refusal(lab, "new-db", volume="pgdata", password="a-new-one")
    assert "password authentication failed" in seen and "first made" in next_step
    # The container runs, with the wrong password in its settings, where it does not count.
    assert Postgres(lab, "new-db", volume="pgdata", **LOGIN).sql("SELECT 1").iloc[0, 0] == 1


STATEMENTS = [
    ("SELEC 1", 'syntax error at or near "SELEC"', "Line 1, at the ^: ^SELEC 1", "Nothing of this call was kept"),
    (
        "SELECT 1;\n  SELECT nme\n  FROM users",
        'column "nme" does not exist',
        "Line 2, at the ^: SELECT ^nme",
        "users.name",
    ),
    ("SELECT * FROM user_s", 'relation "user_s" does not exist', "FROM ^user_s", r'db.psql("\\dt")'),
    (r"\dt", "syntax error", r"^\dt", "db.psql"),
    ("INSERT INTO users VALUES (1, 'x')", "duplicate key", "Key (id)=(1) already exists.", "Nothing of this call"),
    ("SELECT 1 / 0", "division by zero", "In: SELECT 1 / 0", "Nothing of this call"),
    ("SELECT 'infinity'::date", "date too large", "In: SELECT", "::text"),
    ("COPY users TO STDOUT", "COPY", "In: COPY", r"\\copy"),
    ("BEGIN; SELECT 1", "left a transaction open", "transaction of its own", "COMMIT"),
    ("SELECT " + "1 + " * 500 + "x", 'column "x" does not exist', "1 + ^x", "columns"),
]


@pytest.mark.parametrize(("query", "what", "seen", "next_step"), STATEMENTS, ids=[case[0][:30] for case in STATEMENTS])
def test_a_refused_statement_shows_the_place_and_the_next_step(
    db: Postgres, query: str, what: str, seen: str, next_step: str
) -> None:
    with pytest.raises(PostgresError) as caught:
        db.sql(query)
    lines = three_lines(caught.value)
    assert what in lines[0] and seen in lines[1] and next_step in lines[2], lines
    assert max(map(len, lines)) < 250
    assert db.sql("SELECT count(*) AS n FROM users")["n"][0] == 1  # and the server still answers


def test_a_server_that_is_stopped_is_said_to_be(lab: Lab) -> None:
    provide_data(lab)
    db = Postgres(lab, "test-db", volume="pgdata", **LOGIN)
    lab.stop("test-db")
    with pytest.raises(PostgresError, match="test-db is not running") as caught:
        db.sql("SELECT 1")
    assert "start()" in three_lines(caught.value)[2]
    with pytest.raises(CommandError, match="not running"):
        db.psql("SELECT 1")


def test_a_connection_that_is_cut_in_a_statement_is_said_to_be(db: Postgres) -> None:
    with pytest.raises(PostgresError) as caught:
        db.sql("SELECT pg_terminate_backend(pg_backend_pid())")
    assert "nothing of the call was kept" in three_lines(caught.value)[2]
    assert db.sql("SELECT 1").iloc[0, 0] == 1
