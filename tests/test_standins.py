"""Stand-ins behave as the official images do wherever the course touches them, and say what they are."""

from __future__ import annotations

import gzip
import io
import secrets
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from docker.errors import APIError
from docker.models.containers import Container
from engines import wait_until

from dockerlab.engine import images
from dockerlab.engine.find import Engine

POSTGRES, NODE = "postgres:16-alpine", "node:20-alpine"
DATA = "/var/lib/postgresql/data"
LOGIN = {"POSTGRES_USER": "admin", "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "testdb"}


@pytest.fixture(scope="module", autouse=True)
def course_images(engine: Engine) -> None:
    for name in images.COURSE:
        images.ensure(engine, name)


Box = Callable[..., Container]


@contextmanager
def boxes(engine: Engine) -> Iterator[Box]:
    """Starts containers, and removes them with their anonymous volumes."""
    started: list[Container] = []

    def box(image: str, *words: str, files: dict[str, bytes | str] | None = None, **options: Any) -> Container:
        container: Container = engine.client.containers.create(image, list(words) or None, **options)
        started.append(container)
        if files:
            container.put_archive("/", packed(files))
        container.start()
        return container

    try:
        yield box
    finally:
        for container in started:
            container.remove(force=True, v=True)


@pytest.fixture
def box(engine: Engine) -> Iterator[Box]:
    with boxes(engine) as box:
        yield box


@pytest.fixture
def volume(engine: Engine) -> Iterator[str]:
    volume = engine.client.volumes.create(f"standin-{secrets.token_hex(4)}")
    yield volume.name
    volume.remove()


def packed(files: dict[str, bytes | str]) -> bytes:
    """Files by their absolute paths as a tar; what begins with #! is executable."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(data)
            entry.mode = 0o755 if data.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def logs(container: Container) -> str:
    return str(container.logs().decode())


def ended(container: Container) -> int:
    return int(container.wait(timeout=60)["StatusCode"])


def tell(container: Container, *words: str, **options: Any) -> str:
    """Run a program in a container that must succeed, and return what it printed."""
    code, output = container.exec_run(list(words), **options)
    assert code == 0, output.decode()
    return str(output.decode())


def sql(container: Container, statement: str, user: str = "admin", database: str = "testdb") -> str:
    return tell(container, "psql", "-U", user, "-d", database, "-Atc", statement).strip()


def ready(container: Container) -> Container:
    """Wait for the server of the network, which comes after all the setting up."""

    def answers() -> bool:
        container.reload()
        assert container.status == "running", logs(container)
        try:
            return bool(container.exec_run(["pg_isready", "-q", "-h", "127.0.0.1"]).exit_code == 0)
        except APIError:  # it ended in between
            return False

    wait_until(answers, 60)
    return container


def login(container: Container, password: str, user: str = "admin", database: str = "testdb") -> str:
    """The database's name, by a login from outside."""
    container.reload()
    port = container.ports["5432/tcp"][0]["HostPort"]
    with psycopg.connect(host="127.0.0.1", port=port, user=user, password=password, dbname=database) as connection:
        row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[Container]:
    with boxes(engine) as box:
        yield ready(box(POSTGRES, environment=LOGIN, ports={"5432/tcp": ("127.0.0.1", None)}))


def test_a_server_has_the_user_the_password_and_the_database_that_were_asked_for(server: Container) -> None:
    assert sql(server, "SELECT current_user || '@' || current_database()") == "admin@testdb"
    assert login(server, "secret") == "testdb"
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "admin"'):
        login(server, "wrong")
    assert sql(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'admin'").startswith("SCRAM-SHA-256$")


def test_the_server_is_process_1_and_user_70(server: Container) -> None:
    assert tell(server, "cat", "/proc/1/cmdline").split("\0")[0] == "postgres"
    status = dict(line.split(":", 1) for line in tell(server, "cat", "/proc/1/status").splitlines())
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"70"}
    assert tell(server, "stat", "-c", "%U %a", DATA).strip() == "postgres 700"


def test_the_image_says_what_the_official_one_says(engine: Engine) -> None:
    config = engine.client.images.get(POSTGRES).attrs["Config"]
    assert config["StopSignal"] == "SIGINT"
    assert list(config["ExposedPorts"]) == ["5432/tcp"]
    assert list(config["Volumes"]) == [DATA]
    assert (config["Entrypoint"], config["Cmd"]) == (["docker-entrypoint.sh"], ["postgres"])
    environment = dict(line.split("=", 1) for line in config["Env"])
    assert (environment["PGDATA"], environment["PG_MAJOR"], environment["LANG"]) == (DATA, "16", "en_US.utf8")


def test_text_is_unicode_and_ordered_by_code_points(server: Container) -> None:
    assert sql(server, "SHOW server_encoding") == "UTF8"
    assert sql(server, "SELECT upper('zoë') || length('日本')") == "ZOË2"
    assert sql(server, "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['a', 'Z', 'ä', 'B']) x") == "BZaä"
    assert sql(server, "SELECT to_tsvector('running')") == "'run':1"


def test_time_zones_are_known(server: Container) -> None:
    moment = "TIMESTAMPTZ '2026-07-01 12:00 Europe/Berlin' AT TIME ZONE 'Asia/Tokyo'"
    assert sql(server, f"SELECT {moment}") == "2026-07-01 19:00:00"


def test_memory_is_shared_between_workers(server: Container) -> None:
    settings = "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0"
    table = "SET min_parallel_table_scan_size = 0; CREATE TABLE many AS SELECT generate_series(1, 200000) n"
    explained = sql(server, f"{table}; {settings}; EXPLAIN (ANALYZE) SELECT sum(n) FROM many")
    assert "Workers Launched: 2" in explained


def test_a_dump_is_restored_and_a_benchmark_runs(server: Container) -> None:
    sql(server, "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR(100))")
    sql(server, "INSERT INTO users (name) VALUES ('Alice'), ('Bob'), ('Charlie')")
    sql(server, "CREATE DATABASE copy")
    tell(server, "sh", "-c", "pg_dump -U admin -Fc testdb > /tmp/dump && pg_restore -U admin -d copy /tmp/dump")
    assert sql(server, "SELECT string_agg(name, ',' ORDER BY id) FROM users", database="copy") == "Alice,Bob,Charlie"
    assert "CREATE TABLE public.users" in tell(server, "pg_dump", "-U", "admin", "testdb")
    tell(server, "pgbench", "-U", "admin", "-q", "-i", "copy")
    assert "number of failed transactions: 0" in tell(server, "pgbench", "-U", "admin", "-t", "5", "copy")


def test_a_relay_reaches_the_server_from_inside(server: Container) -> None:
    code = "printf '\\0\\0\\0\\10\\4\\322\\26\\57' | nc -w 2 127.0.0.1 5432"  # asks whether it speaks TLS
    assert tell(server, "sh", "-c", code) == "N"


def test_without_a_password_it_ends_with_status_1_and_says_why(box: Box) -> None:
    container = box(POSTGRES)
    assert ended(container) == 1
    assert logs(container).startswith("Error: Database is uninitialized and superuser password is not specified.\n")
    assert "You must specify POSTGRES_PASSWORD to a non-empty value" in logs(container)


def test_trust_needs_no_password_and_warns_and_the_database_is_named_after_the_user_unless_said(box: Box) -> None:
    environment = {"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_USER": "ana"}
    container = ready(box(POSTGRES, environment=environment, ports={"5432/tcp": ("127.0.0.1", None)}))
    assert login(container, "", "ana", "ana") == "ana"
    wait_until(lambda: "WARNING: POSTGRES_HOST_AUTH_METHOD has been set to" in logs(container))


def test_it_starts_as_user_70_too_and_its_own_user_is_postgres_unless_said(box: Box) -> None:
    container = ready(box(POSTGRES, environment={"POSTGRES_PASSWORD": "x"}, user="70"))
    assert sql(container, "SELECT current_user", "postgres", "postgres") == "postgres"


def test_odd_names_and_passwords_are_taken_as_they_are(box: Box) -> None:
    odd = """it's "so" $HOME `id` \\n; -- Zoë"""
    user = "Zoë of the lab"  # initdb itself refuses quotes in it
    environment = {"POSTGRES_USER": user, "POSTGRES_PASSWORD": odd, "POSTGRES_DB": odd}
    container = ready(box(POSTGRES, environment=environment, ports={"5432/tcp": ("127.0.0.1", None)}))
    assert login(container, odd, user, odd) == odd


def test_variables_are_read_from_files(box: Box) -> None:
    files: dict[str, bytes | str] = {"/run/user": "ana\n", "/run/password": "from a file\n", "/run/name": "shop"}
    environment = {
        "POSTGRES_USER_FILE": "/run/user",
        "POSTGRES_PASSWORD_FILE": "/run/password",
        "POSTGRES_DB_FILE": "/run/name",
    }
    ports = {"5432/tcp": ("127.0.0.1", None)}
    container = ready(box(POSTGRES, environment=environment, files=files, ports=ports))
    assert login(container, "from a file", "ana", "shop") == "shop"


def test_a_variable_and_its_file_exclude_each_other(box: Box) -> None:
    container = box(POSTGRES, environment={"POSTGRES_PASSWORD": "x", "POSTGRES_PASSWORD_FILE": "/etc/motd"})
    assert ended(container) == 1
    assert "error: both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set (but are exclusive)" in logs(container)


def test_the_data_lie_where_pgdata_says_and_options_for_initdb_and_for_the_server_arrive(box: Box) -> None:
    arguments = "--data-checksums --set 'work_mem=9 MB'"
    environment = {**LOGIN, "PGDATA": f"{DATA}/deep/er", "POSTGRES_INITDB_ARGS": arguments}
    container = ready(box(POSTGRES, "-c", "max_connections=17", "-c", "log_line_prefix=it's ", environment=environment))
    assert sql(container, "SHOW data_directory") == f"{DATA}/deep/er"
    assert tell(container, "ls", DATA).split() == ["deep"]
    assert sql(container, "SHOW data_checksums") == "on"
    assert sql(container, "SHOW work_mem") == "9MB"
    assert sql(container, "SHOW max_connections") == "17"
    assert sql(container, "SHOW log_line_prefix") == "it's"


INIT = "/docker-entrypoint-initdb.d"


def test_init_scripts_run_in_order_on_the_new_database_before_the_network_is_open(box: Box) -> None:
    add = "INSERT INTO done (what) VALUES ('{}');"
    files: dict[str, bytes | str] = {
        f"{INIT}/10-table.sql": "CREATE TABLE done (n SERIAL, what TEXT);" + add.format("sql"),
        f"{INIT}/20-packed.sql.gz": gzip.compress(add.format("sql.gz").encode()),
        f"{INIT}/30-run.sh": '#!/bin/sh\npsql -U "$POSTGRES_USER" -c "' + add.format("run") + '" "$POSTGRES_DB"',
        f"{INIT}/40-sourced.sh": 'docker_process_sql -c "' + add.format("sourced") + '"',
        f"{INIT}/50-network.sh": "#!/bin/sh\npg_isready && ! nc -z 127.0.0.1 5432 && echo the network is shut",
        f"{INIT}/60-notes.txt": "nothing to run",
    }
    container = ready(box(POSTGRES, environment=LOGIN, files=files))
    assert sql(container, "SELECT string_agg(what, ' ' ORDER BY n) FROM done") == "sql sql.gz run sourced"
    wait_until(lambda: "ready for start up." in logs(container))
    said = logs(container)
    steps = ["running", "running", "running", "sourcing", "running", "ignoring"]
    names = [Path(name).name for name in files]
    lines = [line for line in said.splitlines() if f" {INIT}/" in line]
    assert lines == [
        f"/usr/local/bin/docker-entrypoint.sh: {step} {INIT}/{name}" for step, name in zip(steps, names, strict=True)
    ]
    assert "the network is shut" in said
    assert said.index("the network is shut") < said.index("PostgreSQL init process complete; ready for start up.")


def test_an_init_script_that_fails_ends_it(box: Box) -> None:
    files: dict[str, bytes | str] = {f"{INIT}/10.sql": "SELECT nonsense;", f"{INIT}/20.sql": "CREATE TABLE late ();"}
    container = box(POSTGRES, environment=LOGIN, files=files)
    assert ended(container) != 0
    assert 'column "nonsense" does not exist' in logs(container)
    assert "20.sql" not in logs(container)


def test_data_that_are_there_are_kept_with_their_password(volume: str, box: Box) -> None:
    options = {"volumes": {volume: {"bind": DATA, "mode": "rw"}}, "ports": {"5432/tcp": ("127.0.0.1", None)}}
    first = ready(box(POSTGRES, environment=LOGIN, **options))
    sql(first, "CREATE TABLE kept AS SELECT 42 AS n")
    first.stop(timeout=60)

    second = ready(box(POSTGRES, environment={**LOGIN, "POSTGRES_PASSWORD": "another"}, **options))
    message = "PostgreSQL Database directory appears to contain a database; Skipping initialization"
    wait_until(lambda: message in logs(second))  # a log may be a moment behind what runs
    assert sql(second, "SELECT n FROM kept") == "42"
    assert login(second, "secret") == "testdb"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(second, "another")
    second.stop(timeout=60)

    third = ready(box(POSTGRES, **options))  # nothing needs to be said any more
    assert sql(third, "SELECT n FROM kept") == "42"


def test_stop_is_a_fast_and_clean_shutdown_and_a_kill_is_recovered_from(box: Box) -> None:
    container = ready(box(POSTGRES, environment=LOGIN))
    sql(container, "CREATE TABLE kept AS SELECT 42 AS n")
    container.stop(timeout=60)
    assert ended(container) == 0
    assert "received fast shutdown request" in logs(container)
    assert logs(container).rstrip().endswith("database system is shut down")
    container.start()
    ready(container)
    assert "was not properly shut down" not in logs(container)
    container.kill()
    container.start()
    assert sql(ready(container), "SELECT n FROM kept") == "42"
    wait_until(lambda: "was not properly shut down; automatic recovery in progress" in logs(container))


def test_an_anonymous_volume_is_made_where_none_is_named(box: Box, engine: Engine) -> None:
    container = box(POSTGRES, "true")
    container.reload()
    (mount,) = container.attrs["Mounts"]
    assert (mount["Type"], mount["Destination"]) == ("volume", DATA)


def test_other_programs_and_questions_need_no_database(box: Box) -> None:
    for words in (["postgres", "--version"], ["psql", "--version"], ["sh", "-c", "id"], ["-V"]):
        container = box(POSTGRES, *words)
        assert ended(container) == 0
        assert "uninitialized" not in logs(container)


def test_node_runs_scripts_and_modules_and_npm(box: Box) -> None:
    container = box(NODE, "-p", "process.version + [1, 2].at(-1)")
    assert ended(container) == 0
    assert logs(container).startswith("v20.") and logs(container).endswith("2\n")
    container = box(NODE, "npm", "--version")
    assert ended(container) == 0, logs(container)
    container = box(
        NODE, "node", "app.mjs", working_dir="/app", files={"/app/app.mjs": "import 'fs'; console.log('hi')"}
    )
    assert (ended(container), logs(container)) == (0, "hi\n")
    container = box(NODE, "app.js", working_dir="/app", files={"/app/app.js": "console.log('by name')"})
    assert (ended(container), logs(container)) == (0, "by name\n")


def test_node_watches_a_bind_mount_and_reloads(box: Box, tmp_path: Path) -> None:
    app = tmp_path / "app.js"
    app.write_text("console.log('one'); setInterval(() => {}, 1000)")
    mount = {str(tmp_path): {"bind": "/app", "mode": "rw"}}
    container = box(NODE, "node", "--watch", "app.js", working_dir="/app", volumes=mount, stop_signal="SIGKILL")
    wait_until(lambda: "one" in logs(container))

    def edited() -> bool:
        app.write_text("console.log('two'); setInterval(() => {}, 1000)")  # perhaps before node watches
        with suppress(AssertionError):  # each writing has node start again
            wait_until(lambda: "two" in logs(container), 15)
        return "two" in logs(container)

    wait_until(edited)


def test_node_has_its_user(box: Box) -> None:
    container = box(NODE, "sh", "-c", "id -u; cd && touch mine && pwd", user="node")
    assert (ended(container), logs(container)) == (0, "1000\n/home/node\n")


def test_alpine_is_a_shell_with_the_tools_of_the_lessons(box: Box) -> None:
    tools = "sh cat cp dd df diff du echo find grep gunzip gzip head id ls md5sum mkdir mount mv nc rm sed sha256sum"
    tools += " sleep stat sync tail tar touch tr truncate vi wc wget"
    container = box("alpine", "sh", "-c", f"for tool in {tools}; do command -v $tool >/dev/null || echo $tool; done")
    assert (ended(container), logs(container)) == (0, "")


def test_alpine_has_the_folders_and_files_that_learners_change(box: Box, engine: Engine) -> None:
    container = box(
        "alpine", "sh", "-c", "stat -c %a /tmp; echo mine >>/etc/motd && rm /etc/profile && tail -n1 /etc/motd"
    )
    assert (ended(container), logs(container)) == (0, "1777\nmine\n")
    changed = {change["Path"]: change["Kind"] for change in container.diff()}
    assert changed == {"/etc": 0, "/etc/motd": 0, "/etc/profile": 2}


def test_alpine_packs_and_unpacks_with_owners(volume: str, box: Box) -> None:
    mount = {volume: {"bind": "/data", "mode": "rw"}}
    make = "cd /data && echo hi >x && chown 70:70 x && chmod 640 x && ln x hard && ln -s nowhere soft"
    pack = "tar czf /tmp/a.tar.gz -C /data . && mkdir /copy && tar xzf /tmp/a.tar.gz -C /copy"
    show = "cd /copy && stat -c '%n %u:%g %a %h' x hard && readlink soft && cat hard"
    container = box("alpine", "sh", "-c", f"{make} && {pack} && {show}", volumes=mount)
    assert (ended(container), logs(container)) == (0, "x 70:70 640 2\nhard 70:70 640 2\nnowhere\nhi\n")


def test_alpine_starts_a_shell_by_itself(box: Box, engine: Engine) -> None:
    assert engine.client.images.get("alpine").attrs["Config"]["Cmd"] == ["/bin/sh"]


@pytest.mark.parametrize("name", images.COURSE)
def test_a_stand_in_says_so_and_shows_honest_layers(engine: Engine, box: Box, name: str) -> None:
    image = engine.client.images.get(name)
    if images.origin(image) != "stand-in":
        pytest.skip("the engine of this run has the official image")
    assert image.labels["dockerlab.standin"] == name
    container = box(name, "cat", "/etc/os-release")
    ended(container)
    assert "stand-in" in logs(container)

    steps = [(step["CreatedBy"], step["Size"]) for step in image.history()]
    filled = [(text, size) for text, size in steps if size > 0]
    assert len(filled) >= 4
    assert all("COPY" in text or "busybox" in text or text.startswith("/bin/sh -c") for text, _ in filled)
    assert len(image.attrs["RootFS"]["Layers"]) >= len(filled)


@pytest.mark.parametrize("name", images.COURSE)
def test_sending_and_listening_tools_are_in_each(box: Box, name: str) -> None:
    listen = "(echo hello | nc -l -p 1234) & until nc 127.0.0.1 1234 2>/dev/null; do sleep 0.1; done"
    # An input that ends would end the connection, perhaps before the other side has said its word.
    container = box(name, "sh", "-c", listen, stdin_open=True)
    assert (ended(container), logs(container)) == (0, "hello\n")
