"""A server on a volume: up when it lets us in, alone on its data, shut down cleanly, and silent about its password."""

from __future__ import annotations

import _thread
import copy
import logging
import os
import pickle
import re
import secrets
import subprocess
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import sqlalchemy
from docker.types import LogConfig
from engines import wait_until
from servers import DATA, ENV, IMAGE, LOGIN, PASSWORD, provide_data, running

from dockerlab import Bind, DockerLabError, Lab, Postgres, Volume
from dockerlab.commands import Run
from dockerlab.engine.find import Engine
from dockerlab.errors import ForeignError, InUseError, NotFoundError, PostgresError

USERS = """
CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR(100));
INSERT INTO users (name) VALUES ('Alice'), ('Bob'), ('Charlie');
SELECT * FROM users;
"""


@pytest.fixture(scope="module")
def db(engine: Engine) -> Iterator[Postgres]:
    with running(engine) as server:
        yield server


@pytest.fixture
def lab(lab: Lab) -> Lab:
    """A lab whose volume pgdata has a server's data; what a first start does is seen on other ones."""
    provide_data(lab)
    return lab


@pytest.fixture
def shown(lab: Lab) -> list[str]:
    """The lines that the lab shows."""
    lines: list[str] = []
    lab.say = lines.append
    return lines


def serve(lab: Lab, name: str = "test-db", **changes: Any) -> Postgres:
    return Postgres(lab, name, **{"volume": "pgdata", **LOGIN, **changes})


# How it comes up


def test_it_starts_in_dockers_own_words_and_publishes_on_this_machine_alone(lab: Lab, shown: list[str]) -> None:
    db = serve(lab, volume="new-data")
    assert (
        "docker run -d --name test-db -p 127.0.0.1::5432 -v new-data:/var/lib/postgresql/data -e POSTGRES_USER=admin"
        f" -e POSTGRES_PASSWORD={PASSWORD} -e POSTGRES_DB=testdb --label dockerlab={lab.name} postgres:16-alpine"
    ) in shown
    (binding,) = db.container.ports["5432/tcp"]
    assert binding["HostIp"] == "127.0.0.1" and db.url.port == int(binding["HostPort"])
    with psycopg.connect(
        host="127.0.0.1", port=db.url.port, user="admin", password=PASSWORD, dbname="testdb"
    ) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("admin", "testdb")


def test_it_is_not_taken_for_ready_while_its_data_is_only_being_made(lab: Lab, tmp_path: Path) -> None:
    # The server that makes the data directory answers on its socket; a slow script keeps it up.
    tmp_path.chmod(0o755)
    make = 'psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "CREATE TABLE last_of_all (n int)"'
    script = tmp_path / "10-slow.sh"
    script.write_text(f"#!/bin/sh\nuntil [ -e /docker-entrypoint-initdb.d/go ]; do sleep 0.1; done\n{make}\n")
    script.chmod(0o755)
    scripts = Bind(str(tmp_path), "/docker-entrypoint-initdb.d", read_only=True)
    box = lab.run(IMAGE, name="test-db", env=ENV, ports={5432: None}, mounts=[Volume("new-data", DATA), scripts])
    wait_until(lambda: lab.exec(box, "pg_isready -U admin -d testdb").exit_code == 0)
    lab.say = lambda line: (tmp_path / "go").touch() if "waiting until Postgres" in line else None

    db = serve(lab, volume="new-data")

    assert (tmp_path / "go").exists(), "it did not wait"
    assert db.sql("SELECT count(*) AS n FROM last_of_all")["n"][0] == 0


def test_a_cell_can_be_run_again(lab: Lab, shown: list[str]) -> None:
    first = serve(lab)
    first.sql(USERS)
    shown.clear()
    again = serve(lab)
    assert again.container.id == first.container.id and not [line for line in shown if line.startswith("docker")]
    assert len(again.sql("SELECT * FROM users")) == 3


def test_what_docker_itself_started_is_taken_up(lab: Lab) -> None:
    box = lab.run(IMAGE, name="test-db", env=ENV, mounts=[Volume("pgdata", DATA)])
    db = serve(lab)
    assert db.container.id == box.id and db.volume == "pgdata"


def test_a_container_that_does_not_run_is_made_to(lab: Lab) -> None:
    options: dict[str, Any] = {"environment": ENV, "labels": lab.belongings.labels, "name": "test-db"}
    box = lab.engine.client.containers.create(IMAGE, volumes=[f"pgdata:{DATA}"], **options)
    for state, leave_it in (("created", lambda: None), ("exited", box.stop), ("paused", box.pause)):
        leave_it()
        box.reload()
        assert box.status == state
        db = serve(lab)
        assert db.sql("SELECT 1").iloc[0, 0] == 1 and db.container.id == box.id
        db.close()


def test_a_container_with_other_settings_is_not_taken_up(lab: Lab) -> None:
    db = serve(lab)
    for changes, said in (
        ({"volume": "other"}, "its data is on pgdata, not on other"),
        ({"image": "postgres:15-alpine"}, "its image is postgres:16-alpine, not postgres:15-alpine"),
    ):
        with pytest.raises(PostgresError, match=re.escape(said)) as caught:
            serve(lab, **changes)
        assert "docker rm -f test-db" in str(caught.value)
    assert db.sql("SELECT 1").iloc[0, 0] == 1 and "other" not in list(lab.volumes()["name"])


def test_a_container_or_volume_of_someone_else_is_left_alone(lab: Lab, engine: Engine) -> None:
    serve(lab).close()
    with Lab(f"{lab.name}-b", engine=engine, owner="", echo=None) as other:
        with pytest.raises(ForeignError, match="container test-db"):
            serve(other)
        # Whose it is counts for more than that it is in use: to stop it is not theirs either.
        with pytest.raises(ForeignError, match="volume pgdata"):
            serve(other, "second-db")
    assert serve(lab).sql("SELECT 1").iloc[0, 0] == 1


def test_people_on_one_engine_each_have_their_own(lab: Lab, engine: Engine) -> None:
    with Lab(lab.name, engine=engine, owner="ana", echo=None) as anas:
        provide_data(anas)
        db = serve(anas)
        assert db.container.name == "ana-test-db" and db.volume == "pgdata" and "ana" not in repr(db)
        assert serve(lab).container.name == "test-db"
        db.sql(USERS)
        assert "Alice" in db.psql("SELECT name FROM users").text
        db.stop()
        db.start()
        db.remove()


def test_a_server_that_docker_named_is_asked_and_thawed_by_that_name_also_for_an_owner(
    engine: Engine, tmp_path: Path
) -> None:
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="ana", echo=None) as anas:
        box = Run(IMAGE, env=ENV, labels=anas.belongings.labels).call(engine.client)
        db = Postgres(anas, box.name, **LOGIN)
        db.sql("SELECT 1")
        box.pause()
        db.start()
        lines = [line for line in anas.journal["command"] if "exec" in line or "unpause" in line]
        assert lines and all(box.name in line and f"ana-{box.name}" not in line for line in lines)
        db.dump(tmp_path / "rows.dump")
        assert f"docker exec {box.name} pg_dump" in anas.journal["command"].iloc[-1]
        db.remove()


@pytest.mark.parametrize("option", [{"auto_remove": True}, {"log_config": LogConfig(type="none")}])
def test_a_server_run_with_rm_or_without_a_log_is_stopped_and_removed_like_any_other(
    lab: Lab, option: dict[str, Any]
) -> None:
    api, volumes = lab.engine.client.api, {DATA: {}}
    host = api.create_host_config(binds=["pgdata:" + DATA], tmpfs={"/scratch": ""}, **option)
    box = api.create_container(
        IMAGE, name="test-db", environment=ENV, labels=lab.belongings.labels, host_config=host, volumes=volumes
    )
    api.start(box["Id"])
    with serve(lab) as db:
        assert db.sql("SELECT 1").iloc[0, 0] == 1
    assert list(lab.containers()["name"]) == [] and "pgdata" in list(lab.volumes()["name"])


# Its data


def test_rows_outlive_their_container(lab: Lab) -> None:
    first = serve(lab)
    before, first_id = first.sql(USERS), first.container.id
    first.remove()
    assert list(lab.containers()["name"]) == [] and list(lab.volumes()["name"]) == ["pgdata"]

    second = serve(lab, "new-db")

    assert second.container.id != first_id and second.volume == first_volume(second) == "pgdata"
    assert second.sql("SELECT * FROM users").equals(before) and before["name"].tolist() == ["Alice", "Bob", "Charlie"]


def first_volume(db: Postgres) -> str:
    (mount,) = db.container.attrs["Mounts"]
    return str(mount["Name"])


def test_without_a_volume_the_rows_lie_in_an_orphan_from_which_they_can_be_had_again(lab: Lab) -> None:
    db = serve(lab, volume=None)
    before, orphan = db.sql(USERS), db.volume
    assert re.fullmatch("[0-9a-f]{64}", orphan)
    db.remove()

    volumes = lab.volumes().set_index("name")
    assert volumes.loc[orphan, "anonymous"] and volumes.loc[orphan, "used_by"] == ""
    assert "users" not in serve(lab, volume=None).psql("\\dt").text  # the same name, and none of the rows
    rescue = serve(lab, "rescue", volume=orphan)
    assert rescue.volume == orphan and rescue.sql("SELECT * FROM users").equals(before)


def test_a_second_server_on_a_volume_in_use_is_refused_by_name_before_it_is_made(lab: Lab) -> None:
    first = serve(lab)
    with pytest.raises(InUseError) as caught:
        serve(lab, "second-db")
    what, seen, next_step = str(caught.value).splitlines()
    assert "second-db is not started" in what and "pgdata" in what and "test-db" in what
    assert DATA in seen and "docker stop test-db" in next_step
    assert list(lab.containers()["name"]) == ["test-db"]

    first.stop()
    second = serve(lab, "second-db")
    with pytest.raises(InUseError, match="second-db"):
        first.start()
    assert first.container.status == "exited"
    second.remove()
    first.start()
    assert first.sql("SELECT 1").iloc[0, 0] == 1


@pytest.mark.parametrize(("read_only", "refused"), [(False, True), (True, False)])
def test_a_container_that_can_write_to_the_volume_keeps_a_server_off_and_one_that_only_reads_does_not(
    lab: Lab, read_only: bool, refused: bool
) -> None:
    lab.run("alpine", "sleep 600", name="box", mounts=[Volume("pgdata", "/data", read_only=read_only)])
    if refused:
        with pytest.raises(InUseError, match="running container box"):
            serve(lab)
    else:
        assert serve(lab).sql("SELECT 1").iloc[0, 0] == 1


def test_a_paused_server_still_has_its_volume(lab: Lab) -> None:
    serve(lab).close()
    lab.container("test-db").pause()
    with pytest.raises(InUseError, match="paused"):
        serve(lab, "second-db")


# Its life


def test_it_is_found_again_after_a_restart_which_gives_it_another_port(lab: Lab) -> None:
    db = serve(lab)
    engine, seen = db.engine, set()
    for _ in range(3):
        seen.add(db.url.port)
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
        db.stop()
        db.start()
    assert len(seen) > 1
    lab.stop("test-db")
    lab.start("test-db")  # behind its back
    wait_until(lambda: db.psql("SELECT 1").exit_code == 0)
    assert db.sql("SELECT 1").iloc[0, 0] == 1 and pd.read_sql("SELECT 2 AS n", engine)["n"][0] == 2


def test_stop_shuts_it_down_cleanly_and_gives_it_a_minute(lab: Lab, shown: list[str]) -> None:
    db = serve(lab)
    with db.engine.connect() as held:  # a client that stays does not hold it up
        held.execute(sqlalchemy.text("SELECT 1"))
        db.stop()
        held.invalidate()
    assert "docker stop -t 60 test-db" in shown
    assert "database system is shut down" in db.log(lines=1).text
    assert db.container.attrs["State"]["ExitCode"] == 0
    db.stop()  # again does nothing


def test_a_server_that_was_killed_is_not_said_to_be_shut_down(lab: Lab) -> None:
    db = serve(lab)
    db.sql(USERS)
    db.container.kill()
    with pytest.raises(PostgresError, match="did not shut down cleanly") as caught:
        db.stop()
    assert "Exit status 137" in str(caught.value)
    db.start()
    assert len(db.sql("SELECT * FROM users")) == 3
    db.container.kill()
    db.remove()  # a container that has ended goes as any other; its data stay
    with serve(lab) as again:
        assert len(again.sql("SELECT * FROM users")) == 3
        again.remove()


def test_a_paused_server_can_be_stopped(lab: Lab) -> None:
    db = serve(lab)
    db.container.pause()
    db.stop()
    assert db.container.status == "exited"


def test_remove_leaves_the_volume_and_then_there_is_nothing_to_ask(lab: Lab) -> None:
    with serve(lab) as db:
        db.sql(USERS)
    assert list(lab.containers()["name"]) == [] and list(lab.volumes()["name"]) == ["pgdata"]
    assert "removed" in repr(db)
    for ask in (lambda: db.sql("SELECT 1"), lambda: db.psql("SELECT 1"), db.stop, db.start, db.log, lambda: db.url):
        with pytest.raises(NotFoundError, match="test-db"):
            ask()


def test_one_line_says_what_it_is(db: Postgres) -> None:
    shared = f"'shared-db': {IMAGE}, admin@testdb, at 127.0.0.1:{db.url.port}, data on {db.volume}"
    assert repr(db) == f"Postgres({shared})"


def test_waiting_is_told_in_two_lines(lab: Lab, shown: list[str]) -> None:
    late = ["sh", "-c", "sleep 5; exec docker-entrypoint.sh postgres"]
    box = lab.run(IMAGE, late, name="test-db", mounts=[Volume("pgdata", DATA)])
    serve(lab)
    assert [line for line in shown if line.startswith("#") and "PowerShell" not in line][:1] == [
        "# waiting until Postgres in test-db answers …"
    ]
    assert re.fullmatch(r"# it answers, after \d+\.\d s", shown[-1]) and box.name == "test-db"


# Questions


def test_a_call_is_kept_as_a_whole_or_not_at_all(db: Postgres) -> None:
    db.sql("DROP TABLE IF EXISTS whole; CREATE TABLE whole (n int PRIMARY KEY)")
    with pytest.raises(PostgresError, match="duplicate key"):
        db.sql("INSERT INTO whole VALUES (1); INSERT INTO whole VALUES (2); INSERT INTO whole VALUES (1)")
    assert db.sql("SELECT * FROM whole").empty
    with pytest.raises(PostgresError, match="transaction open"):
        db.sql("BEGIN; INSERT INTO whole VALUES (1)")
    assert db.sql("SELECT * FROM whole").empty
    db.sql("BEGIN; INSERT INTO whole VALUES (1); SAVEPOINT here; DELETE FROM whole; ROLLBACK TO here; COMMIT")
    db.sql("INSERT INTO whole VALUES (2)")
    assert db.sql("SELECT * FROM whole")["n"].tolist() == [1, 2]
    # What Postgres does in no transaction works too.
    db.sql("DROP DATABASE IF EXISTS aside")
    assert db.sql("CREATE DATABASE aside")["status"][0] == "CREATE DATABASE"


def test_an_interrupt_ends_the_query_in_the_server_too(db: Postgres) -> None:
    timer = threading.Timer(1, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            db.sql("SELECT pg_sleep(600)")
    finally:
        timer.join()
    active = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    wait_until(lambda: db.sql(active)["n"][0] == 0)
    assert db.lab.journal["outcome"].str.contains("interrupted").any()


def test_psql_takes_sql_and_its_own_commands_and_says_how_it_ended(db: Postgres) -> None:
    db.sql("DROP TABLE IF EXISTS pets; CREATE TABLE pets (name text); INSERT INTO pets VALUES ('Rex'), ('it''s $HOME')")
    output = db.psql("\\dt pets\nSELECT name\n  FROM pets\n  ORDER BY length(name);\n\n  \\echo done")
    assert output.exit_code == 0
    assert re.search(r"public \| pets.*Rex\n.*it's \$HOME\n.*done", output.text, re.DOTALL)
    failed = db.psql("SELECT nothing;\nSELECT 'after'")
    assert failed.exit_code == 1 and 'column "nothing" does not exist' in failed.text and "after" not in failed.text


def test_the_log_ends_as_the_servers_does(db: Postgres) -> None:
    with pytest.raises(PostgresError):
        db.sql("SELECT 'find me' / 0")
    wait_until(lambda: "find me" in str(db.log(lines=4)))  # the engine takes it over in its own time
    assert len(db.log(lines=4).text.splitlines()) == 4


def test_other_libraries_can_ask_it_as_well(db: Postgres) -> None:
    frame = pd.DataFrame({"n": [1, 2], "t": ["x", "ÿ"]})
    frame.to_sql("from_pandas", db.engine, index=False, if_exists="replace")
    assert pd.read_sql("SELECT * FROM from_pandas", db.engine)["t"].tolist() == ["x", "ÿ"]
    own = sqlalchemy.create_engine(db.url)
    with own.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM from_pandas")) == 2
    own.dispose()


def test_the_script_does_the_same_again_in_a_shell(lab: Lab) -> None:
    db = serve(lab)
    db.sql(USERS)
    db.sql("INSERT INTO users (name) VALUES (:name)", name="O'Hara's $HOME `id` \\ \nSQL\n'")
    db.sql("UPDATE users SET name = name || '%' WHERE id = :id", id=1)
    with pytest.raises(PostgresError):
        db.sql("INSERT INTO users (name) VALUES (no_such)")
    db.psql("\\d users\nINSERT INTO users (name) VALUES ('Psql')")
    db.stop()
    db.start()
    before = db.sql("SELECT * FROM users ORDER BY id")
    script = lab.script()
    db.close()
    lab.cleanup()

    done = subprocess.run(
        ["sh"], input=script, env={**os.environ, **lab.engine.cli_env()}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    again = serve(lab)
    assert again.sql("SELECT * FROM users ORDER BY id").equals(before)


# Its password


def said_by(error: BaseException) -> str:
    """All that an exception, and whatever it drags along, could print."""
    parts, seen = [], error
    while seen is not None:
        parts += [str(seen), repr(seen), repr(seen.args), repr(vars(seen)), *traceback.format_exception(seen)]
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]
    return "\n".join(parts)


def test_no_password_is_in_any_error_repr_record_or_log(
    lab: Lab, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    other = "sesame-4711-yak"
    found: list[str] = []

    def failing(ask: Any) -> None:
        with pytest.raises(DockerLabError) as caught:
            ask()
        found.append(said_by(caught.value))
        found.append("\n".join(caught.value._render_traceback_()))
        found.append(repr(pickle.loads(pickle.dumps(caught.value))))

    db = serve(lab)
    db.engine.echo = "debug"
    db.engine.dispose()
    with db.engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 'logged'"))
    failing(lambda: serve(lab, "second-db"))
    failing(lambda: serve(lab, volume="other"))
    failing(lambda: serve(lab, password=other))
    failing(lambda: serve(lab, user="bob"))
    for statement in (
        f"ALTER USER admin PASSWORD '{other}' nonsense",
        f"ALTER USER admin SET PASSWORD '{other}'",
        f"ALTER USER admin PASSWORD '{PASSWORD}' nonsense",
        f"SELECT '{PASSWORD}'::int",
        f'SELECT 1 AS "{PASSWORD}" FROM nowhere',
        f"{'SELECT 1; ' * 8} ALTER USER nobody PASSWORD '{other}'",
        f"\\{PASSWORD}",
        "ALTER USER nobody PASSWORD :password",
    ):
        failing(
            lambda statement=statement: db.sql(statement, **({"password": other} if ":password" in statement else {}))
        )
    db.sql("ALTER USER admin PASSWORD :password", password=PASSWORD)
    db.psql(f"ALTER USER nobody PASSWORD '{other}'")
    found += [repr(db), str(db), f"{db}", repr(db.url), str(db.url), f"{db.url!s}", repr(db.engine), repr(vars(db))]
    found += [repr(db.log(50)), db.log(50).text, str(db.lab), repr(list(db.engine.pool.__dict__.items()))]
    for copier in (pickle.dumps, copy.deepcopy):
        # It holds connections, and is nothing to be written to a file.
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            copier(db)
    lab.stop("test-db")
    failing(lambda: db.sql("SELECT 1"))
    failing(lambda: db.url)
    db.container.start()
    db.container.kill()
    failing(db.stop)
    lab.remove("test-db")
    failing(lambda: db.sql(f"SELECT '{PASSWORD}'"))
    failing(lambda: serve(lab, image="alpine"))
    failing_line = ["sh", "-c", "exec docker-entrypoint.sh postgres -c no_such=$POSTGRES_PASSWORD"]
    lab.run(IMAGE, failing_line, name="third-db", env=ENV, mounts=[Volume("pgdata", DATA)])
    failing(lambda: serve(lab, "third-db"))
    lab.run(IMAGE, ["sh", "-c", "echo $POSTGRES_PASSWORD; sleep 600"], name="fourth-db", env=ENV)
    failing(lambda: serve(lab, "fourth-db", volume=None, timeout=1))
    found += [lab.journal.to_string(), lab.journal.to_html(), repr(lab)]

    everything = "\n".join([*found, caplog.text, *capfd.readouterr()])
    assert "SELECT 'logged'" in caplog.text and "***" in "".join(found)
    assert len(found) > 50
    for secret in (PASSWORD, other):
        lines = [line for line in everything.splitlines() if secret in line]
        assert lines == []


def test_a_password_that_is_also_the_users_name_does_not_garble_the_message(lab: Lab) -> None:
    serve(lab, volume="new-data", password="admin").close()
    with pytest.raises(PostgresError, match='for user "admin"'):
        serve(lab, volume="new-data", password="wrong")
