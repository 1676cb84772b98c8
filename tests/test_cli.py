"""%docker runs the real CLI on the lab's engine: its words, its output, its status, and nothing else here."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import command_of, wait_until
from test_refusals import unreachable

from dockerlab import Lab
from dockerlab.cli import invoke
from dockerlab.errors import CommandError, EngineError

SLEEP = "sleep 1000"
Docker = Callable[..., str]


@pytest.fixture
def docker(lab: Lab) -> Docker:
    """Run a line and return what it printed."""

    def docker(line: str, body: str | None = None) -> str:
        out = io.StringIO()
        invoke(lab, line, body, out)
        return out.getvalue()

    return docker


def test_the_line_goes_to_the_lab_s_engine_whatever_the_environment_says(
    lab: Lab, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_CONTEXT", "no-such-context")
    lab.run("alpine", SLEEP, name="writer")

    assert docker("ps --format '{{.Names}}' --filter name=writer") == "writer\n"
    assert docker("docker version --format '{{.Server.Version}}'") == f"{lab.engine.version}\n"
    assert docker("inspect -f '{{.Name}}' $(docker ps -q --filter name=writer)") == "/writer\n"


def test_a_shell_expands_the_line_as_a_terminal_would(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "it's mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GREETING", "hello there")
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)

    assert docker('run --rm -v "$(pwd)":/here alpine ls /here') == "a.txt\nb.txt\n"
    assert docker("run --rm -v $(pwd):/here alpine ls /here") == "a.txt\nb.txt\n", "one word, as the lessons have it"
    docker("run -d --name box alpine sleep 1000")  # for what is only about words, a look at the same one
    assert docker("exec box echo *.txt") == "a.txt b.txt\n"
    assert docker('run --rm -e "GREETING=$GREETING" alpine sh -c \'echo "$GREETING"\'') == "hello there\n"
    assert docker("exec box echo 'a  b' \"c d\" e\\ f") == "a  b c d e f\n"
    assert docker("exec box \\\n  echo one \\\n  two") == "one two\n"
    assert docker("exec box echo a#b '#c'") == "a#b #c\n"
    assert docker("exec box echo 'é' '漢'") == "é 漢\n"
    assert docker("exec box sh -c 'echo a | tr a b; echo c && echo d > /dev/null'") == "b\nc\n"
    assert docker("exec box echo '|' \";\" \"'>'\"") == "| ; '>'\n"


@pytest.mark.parametrize(
    ("line", "operator"),
    [
        ("ps | grep x", "|"),
        ("ps; touch {}", ";"),
        ("ps && touch {}", "&&"),
        ("ps > {}", ">"),
        ("ps 2>&1", ">&"),
        ("ps & touch {}", "&"),
        ("ps a#b; touch {}", ";"),
        ("run alpine echo '|' | cat", "|"),
        ("exec x1 cat < {}", "<"),
        ("exec x1 cat <<E", "<<"),
    ],
)
def test_a_shell_s_own_operators_are_refused_and_nothing_of_the_line_runs(
    lab: Lab, docker: Docker, tmp_path: Path, line: str, operator: str
) -> None:
    made = tmp_path / "made"

    with pytest.raises(CommandError, match="runs one docker command") as caught:
        docker(line.format(made))

    assert caught.value.seen.startswith(f"Seen: {operator}")
    assert not made.exists()
    assert lab.journal.empty


@pytest.mark.parametrize("line", ["run alpine echo 'open", "run alpine echo $(", 'exec x1 echo "open'])
def test_a_line_that_no_shell_can_read_is_refused(docker: Docker, line: str) -> None:
    with pytest.raises(CommandError, match="cannot") as caught:
        docker(line)

    assert len(str(caught.value).splitlines()) == 3


def test_a_status_that_is_not_zero_raises_after_what_docker_said(lab: Lab) -> None:
    out = io.StringIO()
    with pytest.raises(CommandError, match="exit status 1: docker volume rm none") as caught:
        invoke(lab, "volume rm none", out=out)

    assert "no such volume" in out.getvalue().lower()
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(CommandError, match="exit status 7"):
        invoke(lab, "run --rm alpine sh -c 'exit 7'", out=out)
    with pytest.raises(CommandError, match="exit status 125"):
        invoke(lab, "run --no-such-option alpine", out=out)


def test_what_it_makes_is_labelled_and_cleaned_up(lab: Lab, docker: Docker) -> None:
    docker("run -d --name typed -v my-data:/data -v /anonymous alpine sleep 1000")
    docker("create --name made alpine")
    docker("volume create typed-volume")
    docker("network create typed-net")
    docker("run --name ended alpine true")

    assert set(lab.containers()["name"]) == {"typed", "made", "ended"}
    anonymous = set(lab.volumes()["name"][lab.volumes()["anonymous"]])
    docker("rm -f typed")
    gone = set(lab.cleanup())
    assert {"container made", "container ended", "volume my-data", "volume typed-volume", "network typed-net"} <= gone
    assert {thing.removeprefix("volume ") for thing in gone} & anonymous, "the orphan of the one that was typed"


def test_a_body_is_the_standard_input(docker: Docker, lab: Lab) -> None:
    lab.run("alpine", SLEEP, name="writer")

    assert docker("exec -i writer cat", "one\ntwo $HOME `id`\n") == "one\ntwo $HOME `id`\n"
    assert docker("exec -it writer cat", "typed\n").splitlines()[-1] == "typed"
    assert docker("exec writer cat", "not asked for\n") == ""
    assert docker("run -i --rm alpine wc -l", "a\nb\nc\n").strip() == "3"


def test_a_body_of_any_size_goes_through_and_comes_back(docker: Docker, lab: Lab) -> None:
    lab.run("alpine", SLEEP, name="writer")
    body = "0123456789abcde\n" * 200_000

    assert docker("exec -i writer cat", body) == body


def test_without_a_body_a_program_that_reads_finds_the_end(docker: Docker, lab: Lab) -> None:
    lab.run("alpine", SLEEP, name="writer")

    assert "left out: a cell has no terminal" in docker("exec -it writer cat")


def test_output_comes_as_it_is_written_and_in_any_bytes(lab: Lab, tmp_path: Path) -> None:
    class Reader(io.StringIO):
        def write(self, text: str) -> int:
            if "one" in text:
                (tmp_path / "seen").touch()
            return super().write(text)

    out = Reader()
    wait = "for i in $(seq 600); do test -e /s/seen && break; sleep 0.1; done; test -e /s/seen"
    invoke(lab, f"run --rm -v {tmp_path}:/s alpine sh -c 'echo one; {wait} && printf \"\\377two\"'", out=out)
    assert out.getvalue() == "one\n\ufffdtwo\n"


def test_the_journal_has_the_line_and_the_script_what_ran(lab: Lab, docker: Docker) -> None:
    docker("run -d --name writer -e A_PASSWORD=hunter2 alpine sleep 1000")
    docker("exec -it writer echo 'a b'")
    docker("exec -i writer cat", "body\n")
    docker("ps --format '{{.Names}}'")
    with pytest.raises(CommandError):
        docker("rm writer")

    assert list(lab.journal["command"]) == [
        "docker run -d --name writer -e 'A_PASSWORD=***' alpine sleep 1000",
        "docker exec -it writer echo 'a b'",
        "docker exec -i writer cat",
        "docker ps --format '{{.Names}}'",
        "docker rm writer",
    ]
    assert list(lab.journal["outcome"]) == ["done"] * 4 + ["exit status 1"]
    assert lab.script().splitlines()[3:] == [
        f"docker run --label dockerlab={lab.name} -d --name writer -e A_PASSWORD=hunter2 alpine sleep 1000",
        "docker exec writer echo 'a b'",
        "docker exec -i writer cat <<'END_OF_INPUT'",
        "body",
        "END_OF_INPUT",
        "docker ps --format '{{.Names}}'",
        "{",
        "docker rm writer",
        "} || true  # exit status 1",
    ]


def test_an_interrupt_ends_the_command_also_one_that_does_not_listen(lab: Lab, docker: Docker) -> None:
    lab.run("alpine", SLEEP, name="writer")
    main = threading.get_ident()

    for line in ("logs -f writer", "run --name deaf alpine sleep 1000"):
        before = children()

        def interrupt(before: set[str] = before, line: str = line) -> None:
            wait_until(lambda: children() - before)
            if "deaf" in line:  # its container is there before we interrupt
                wait_until(lambda: "/deaf" in {name for box in lab.claims.containers() for name in box["Names"]})
            time.sleep(1)
            signal.pthread_kill(main, signal.SIGINT)

        watcher = threading.Thread(target=interrupt)
        watcher.start()
        with pytest.raises(KeyboardInterrupt):
            docker(line)
        watcher.join()
        assert not children() - before
        assert lab.journal["outcome"].iloc[-1] == "interrupted"
    assert "container deaf" in lab.cleanup(), "what it started is the lab's, and goes with it"


def children() -> set[str]:
    """The docker programs that this process started and that run."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    found = set[str]()
    for task in tasks:
        with contextlib.suppress(OSError):  # a thread that has just ended
            found.update(task.read_text().split())
    return {child for child in found if command_of(child).startswith("docker\0")}


def test_an_engine_that_went_away_is_said_in_three_lines(lab: Lab) -> None:
    cut_off = Lab("cut-off", engine=unreachable(lab.engine), owner="", echo=None)
    for line, asked in (("rm x1", "rm x1"), ("version", "ps -a")):
        with pytest.raises(EngineError) as caught:
            invoke(cut_off, line, out=io.StringIO())
        assert str(caught.value).startswith(f"The engine did not answer to: docker {asked}\n")


def test_a_machine_without_the_cli_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EngineError, match="not on this machine"):
        invoke(lab, "ps", out=io.StringIO())
