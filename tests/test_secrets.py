"""A password that a learner types is in the line that is shown, and in nothing else that is ours."""

from __future__ import annotations

import io
import shlex
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notebook import Notebook

from dockerlab import DockerLabError, Lab
from dockerlab.cli import invoke
from dockerlab.words import redact, redact_message

SECRET = "hunter2-Xq7"


@pytest.mark.parametrize(
    "line",
    [
        f"docker run -e POSTGRES_PASSWORD={SECRET} postgres",
        f"docker run -ePOSTGRES_PASSWORD={SECRET} postgres",
        f"docker run -e=POSTGRES_PASSWORD={SECRET} postgres",
        f"docker run --env=POSTGRES_PASSWORD={SECRET} postgres",
        f"docker run --env POSTGRES_PASSWORD='{SECRET} and more {SECRET}' postgres",
        f"docker run -e mysql_pwd={SECRET} -e API_KEY={SECRET} -e GITHUB_TOKEN={SECRET} -e client.secret={SECRET} x",
        f"docker run --label db-password={SECRET} x",
        f"docker exec db psql postgresql://admin:{SECRET}@127.0.0.1:5432/testdb",
        f"docker exec db redis-cli -u redis://:{SECRET}@127.0.0.1",
        f"docker exec db sh -c 'PGPASSWORD={SECRET} psql -c \"SELECT 1\"'",
        f"docker exec db sh -c 'export A=1; PGPASSWORD=\"{SECRET}\" psql'",
        f"docker exec db psql 'host=localhost password={SECRET} user=admin'",
        f"docker exec db psql -c \"ALTER USER admin PASSWORD '{SECRET}'\"",
        f"docker exec db psql -c \"create role x with encrypted password  '{SECRET}''s'\"",
        f"docker exec db psql -c \"ALTER USER x PASSWORD E'it\\\\'s {SECRET}'\"",
        f"docker exec db psql -c \"ALTER USER x PASSWORD U&'{SECRET}'\"",
        f"docker exec db psql -c 'ALTER USER x PASSWORD $${SECRET}$$; SELECT 1'",
        f"docker exec db psql -c 'ALTER USER x PASSWORD $q$a$$ {SECRET}$q$'",
        f'docker exec db psql -c "ALTER USER x PASSWORD \'{SECRET}"',
        f"docker login --username ana --password {SECRET}",
        f"docker login -u ana -p {SECRET} registry.example",
        f"docker run x --token={SECRET} --secret '{SECRET}'",
        f'docker exec api curl -d \'{{"password": "{SECRET}"}}\' localhost',
    ],
)
def test_the_redacted_line_has_stars_in_the_password_s_place(line: str) -> None:
    said = redact(shlex.split(line))

    assert SECRET not in said
    assert "***" in said
    assert shlex.split(said)[:2] == shlex.split(line)[:2]


@pytest.mark.parametrize(
    "line",
    [
        "docker run -d --name test-db -v pgdata:/var/lib/postgresql/data -e POSTGRES_USER=admin postgres:16-alpine",
        "docker run --mount type=volume,source=secrets,target=/run/secrets alpine",
        "docker run -v tokens:/passwords -p 127.0.0.1::5432 alpine",
        "docker exec db psql -c 'SELECT password FROM users'",
        "docker run -e KEYBOARD=us -e MONKEY=1 alpine echo http://example.org:80/a@b",
    ],
)
def test_what_is_no_password_is_left_as_it_is(line: str) -> None:
    assert redact(shlex.split(line)) == line


def test_what_a_program_says_loses_the_line_s_own_passwords() -> None:
    words = ["docker", "run", "-e", f"POSTGRES_PASSWORD={SECRET}", "-e", "A_TOKEN=a", "postgres"]

    said = redact_message(f"no such file: {SECRET}, nor 'x{SECRET}', a cat; PGPASSWORD=other", words)

    assert said == f"no such file: ***, nor 'x{SECRET}', *** cat; PGPASSWORD=***"


@pytest.mark.parametrize("literal", ["'{}'", "E'{}'", "u&'{}'", "$${}$$", "$tag${}$tag$", "'{}"])
def test_what_postgres_says_of_a_statement_loses_the_passwords_in_it(literal: str) -> None:
    text = literal.format(SECRET)

    for said in (f'syntax error at or near "{text}"', f"LINE 1: ALTER USER x PASSWORD {text}", f"value {SECRET} is"):
        assert SECRET not in redact_message(said, [f"ALTER USER x PASSWORD {text}"]), said


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))), st.text("aA=:/@'\" ;\n"))
def test_any_line_can_be_redacted(words: list[str], more: str) -> None:
    again = shlex.split(redact([*words, more]))

    assert len(again) == len(words) + 1
    assert redact_message("", [*words, more]) == ""


def test_a_long_line_is_redacted_in_a_moment() -> None:
    word = "YWJj" * 50_000
    assert redact(["docker", word]) == f"docker {word}"


# On a real engine: each of these ends in an error.

FAILURES: dict[str, Callable[[Lab], object]] = {
    "no such program": lambda lab: lab.run("alpine", [f"PGPASSWORD={SECRET}"], env={"A_PASSWORD": SECRET}),
    "no such image": lambda lab: lab.run("example.invalid/none", env={"A_PASSWORD": SECRET}),
    "name taken": lambda lab: [
        lab.run("alpine", "sleep 1000", name="taken", env={"A_PASSWORD": SECRET}) for _ in range(2)
    ],
    "exec in none": lambda lab: lab.exec("none", f"PGPASSWORD={SECRET} psql"),
    "exec in a stopped one": lambda lab: lab.exec(
        stopped(lab), ["psql", f"postgresql://me:{SECRET}@127.0.0.1/x", f"--password={SECRET}"]
    ),
    "typed": lambda lab: invoke(lab, f"run -e A_PASSWORD={SECRET} alpine false", out=io.StringIO()),
    "typed for none": lambda lab: invoke(lab, f"exec none env PGPASSWORD={SECRET} psql", out=io.StringIO()),
    "typed with an operator": lambda lab: invoke(
        lab, f"exec -e PGPASSWORD={SECRET} none psql | cat", out=io.StringIO()
    ),
    "typed with a bracket": lambda lab: invoke(lab, f"exec -e PGPASSWORD={SECRET} (none psql", out=io.StringIO()),
    "typed with an open quote": lambda lab: invoke(lab, f"exec -e PGPASSWORD='{SECRET} none", out=io.StringIO()),
}


def stopped(lab: Lab) -> str:
    lab.run("alpine", "true", detach=False, name="stopped")
    return "stopped"


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_no_error_holds_it_nor_anything_that_a_notebook_shows_of_one(lab: Lab, fail: Callable[[Lab], object]) -> None:
    with pytest.raises(DockerLabError) as caught:
        fail(lab)
    assert len(str(caught.value).splitlines()) == 3
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(caught.value)

    lab.cleanup()
    notebook = Notebook(lab=lab, fail=fail)
    shown = notebook.run("fail(lab)")
    assert notebook.error is not None
    assert SECRET not in shown
    assert SECRET not in notebook.run("%tb")
    assert "Traceback" not in shown

    for said in (lab.journal.to_string(), repr(lab), repr(lab._journal), repr(lab.containers()), repr(lab.volumes())):
        assert SECRET not in said
