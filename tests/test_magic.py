"""%docker and %%docker in a notebook, and the syllabus's commands in it, word for word."""

from __future__ import annotations

import re
import secrets

import pytest
from engines import wait_until
from notebook import Notebook

from dockerlab import Lab
from dockerlab.engine.find import Engine
from dockerlab.errors import CommandError

NEEDS_A_PASSWORD = "Database is uninitialized and superuser password is not specified"


@pytest.fixture
def notebook(lab: Lab) -> Notebook:
    notebook = Notebook(lab=lab)
    notebook.must("%load_ext dockerlab")
    return notebook


def test_the_extension_loads_by_the_package_s_name_and_by_the_module_s(lab: Lab) -> None:
    for name in ("dockerlab", "dockerlab.magic"):
        notebook = Notebook()
        assert "%docker" in notebook.run("%docker ps")
        notebook.must(f"%load_ext {name}")
        assert "CONTAINER ID" in notebook.must("%docker ps")


def test_the_latest_lab_s_engine_is_taken(engine: Engine, notebook: Notebook) -> None:
    notebook.must("%docker volume create of-the-first")
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as second:
        notebook.must("%docker volume create of-the-second")
        assert set(second.volumes()["name"]) >= {"of-the-second"}
        assert second.inspect_volume("of-the-second")["Labels"] == {"dockerlab": second.name}
        assert second.inspect_volume("of-the-first")["Labels"] == notebook.get("lab").belongings.labels


def test_braces_and_dollars_are_docker_s_and_the_shell_s_and_not_ipython_s(notebook: Notebook) -> None:
    notebook.must("x, Name = 'seen by IPython', 'seen by IPython'")
    notebook.must("%docker volume create my-data")

    assert notebook.must("%docker volume ls --format '{{.Name}}' --filter name=my-data") == "my-data\n"
    assert notebook.must("%docker run --rm -e x=there alpine sh -c 'echo $x {x}'") == "there {x}\n"


def test_a_line_may_be_continued(notebook: Notebook) -> None:
    shown = notebook.must(
        """
        %docker run --rm \\
          alpine \\
          echo one two
        """
    )
    assert shown == "one two\n"


def test_a_cell_alone_is_a_line_each_and_stops_at_the_first_that_fails(notebook: Notebook) -> None:
    shown = notebook.run(
        """
        %%docker
        # a comment, and an empty line

        docker volume create first
        volume create \\
          second
        docker volume rm none
        docker volume create third
        """
    )

    assert isinstance(notebook.error, CommandError)
    assert shown.splitlines()[:2] == ["first", "second"]
    assert "no such volume" in shown
    assert "CommandError: This ended with exit status 1: docker volume rm none" in shown
    assert "Traceback" not in shown
    assert {"first", "second"} <= set(notebook.get("lab").volumes()["name"])
    assert "third" not in set(notebook.get("lab").volumes()["name"])


def test_a_cell_with_a_line_is_the_line_s_standard_input(notebook: Notebook) -> None:
    notebook.must("%docker run -d --name writer alpine sleep 1000")

    assert notebook.must("%%docker exec -i writer sh\necho $((6 * 7))\nexit 0\n") == "42\n"
    notebook.run("%%docker exec -i writer sh\nexit 3\n")
    assert "exit status 3" in str(notebook.error)


# The syllabus, word for word


@pytest.fixture
def postgres(notebook: Notebook) -> Notebook:
    """A notebook on whose engine the syllabus's names are free."""
    taken = notebook.get("lab").containers(all=True)["name"]
    assert not {"my-database", "test-db", "new-db"} & set(taken)
    return notebook


def ready(notebook: Notebook, box: str) -> None:
    """Wait until the server, and not the one that only sets up, answers over TCP."""
    lab = notebook.get("lab")
    wait_until(lambda: lab.exec(box, "pg_isready -h 127.0.0.1").exit_code == 0, 60)


def rows(shown: str) -> list[str]:
    return re.findall(r"^ +\d+ \| \w+$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    "run",
    [
        "docker run -d --name my-database -v my-data:/var/lib/postgresql/data postgres:16-alpine",  # C4
        "docker run -d --name my-database"
        " --mount type=volume,source=my-data,target=/var/lib/postgresql/data postgres:16-alpine",  # C5
    ],
)
def test_c1_to_c5_a_volume_is_made_looked_at_and_given_to_a_server_that_wants_a_password(
    postgres: Notebook, run: str
) -> None:
    lab = postgres.get("lab")

    assert postgres.must("%docker volume create my-data") == "my-data\n"  # C1
    assert re.search(r"^local +my-data$", postgres.must("%docker volume ls"), re.MULTILINE)  # C2
    inspected = postgres.must("%docker volume inspect my-data")  # C3
    for key in ("Name", "Driver", "Mountpoint", "Scope"):
        assert f'"{key}": ' in inspected
    assert re.fullmatch(r"[0-9a-f]{64}\n", postgres.must(f"%{run}"))

    wait_until(lambda: lab.container("my-database").status == "exited")
    state = lab.container("my-database").attrs["State"]
    assert state["ExitCode"] == 1
    assert NEEDS_A_PASSWORD in postgres.must("%docker logs my-database")
    mount = lab.container("my-database").attrs["Mounts"][0]
    assert (mount["Type"], mount["Name"], mount["RW"]) == ("volume", "my-data", True)

    postgres.must("%docker rm my-database")
    postgres.must(f"%{run.replace(' postgres:16', ' -e POSTGRES_PASSWORD=secret postgres:16')}")
    ready(postgres, "my-database")


SETTINGS = "-e POSTGRES_USER=admin -e POSTGRES_PASSWORD=secret -e POSTGRES_DB=testdb postgres:16-alpine"


def test_c6_to_c12_the_rows_outlive_their_container(postgres: Notebook) -> None:
    lab = postgres.get("lab")
    first = postgres.must(f"%docker run -d --name test-db -v pgdata:/var/lib/postgresql/data {SETTINGS}")  # C6
    ready(postgres, "test-db")

    shown = postgres.must(  # C7, C8
        "%%docker exec -it test-db psql -U admin -d testdb\n"
        "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR(100));"
        " INSERT INTO users (name) VALUES ('Alice'), ('Bob'), ('Charlie'); SELECT * FROM users;\n"
    )
    assert shown.startswith("# -t left out: a cell has no terminal\n")
    assert "CREATE TABLE" in shown
    assert [row.split()[-1] for row in rows(shown)] == ["Alice", "Bob", "Charlie"]
    assert "(3 rows)" in postgres.must("%docker exec -it test-db psql -U admin -d testdb -c 'SELECT * FROM users'")

    assert postgres.must("%docker stop test-db") == "test-db\n"  # C9
    assert lab.container("test-db").attrs["State"]["ExitCode"] == 0
    assert postgres.must("%docker rm test-db") == "test-db\n"
    assert "test-db" not in postgres.must("%docker ps -a")
    assert re.search(r"^local +pgdata$", postgres.must("%docker volume ls"), re.MULTILINE)  # C10

    second = postgres.must(f"%docker run -d --name new-db -v pgdata:/var/lib/postgresql/data {SETTINGS}")  # C11
    assert first != second
    ready(postgres, "new-db")
    again = postgres.must("%docker exec new-db psql -U admin -d testdb -c 'SELECT * FROM users'")  # C12
    assert rows(again) == rows(shown)
    assert {"container new-db", "volume pgdata"} <= set(lab.cleanup())


def test_an_owner_runs_the_same_lines_and_has_containers_and_volumes_of_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKERLAB_OWNER", "ana")
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, echo=None) as lab:
        notebook = Notebook(lab=lab)
        notebook.must("%load_ext dockerlab")
        notebook.must("%docker volume create my-data")
        shown = notebook.must("%docker run -d --name writer -v my-data:/data alpine sleep 1000")
        assert "# runs as: docker run -d --name ana-writer -v ana-my-data:/data alpine sleep 1000" in shown
        notebook.must("%docker exec writer sh -c 'echo hi > /data/x'")
        assert '"Name": "ana-my-data"' in notebook.must("%docker volume inspect my-data")
        assert re.search(r"^local +ana-my-data$", notebook.must("%docker volume ls"), re.MULTILINE)
        assert "ana-writer" in notebook.must("%docker ps --filter name=writer")
        assert notebook.must("%docker run --rm --mount type=volume,source=my-data,target=/m alpine cat /m/x").endswith(
            "\nhi\n"
        )
        assert notebook.must("%docker rm -f writer").endswith("ana-writer\n")
        assert notebook.must("%docker volume rm my-data").endswith("ana-my-data\n")
        assert lab.cleanup() == []
