"""The journal says what was done without secrets; the script does it again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dockerlab.journal import Journal

STUB = """#!/bin/sh
case $1 in inspect | ps) echo "answer to $*"; exit;; esac
printf "%s\\n" "$#" "$@" >> FOLDER/said
cat >> FOLDER/said
[ "$1" != fail ]
"""
ID, VOLUME, OTHER = "c0ffee" + 58 * "1", 64 * "a", 64 * "b"


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where `docker` is a program that writes down its arguments; it fails if the first is `fail`.

    What it is asked by `docker inspect` and `docker ps` it answers, and does not write down.
    """
    stub = folder / "docker"
    stub.write_text(STUB.replace("FOLDER", str(folder)))
    stub.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, input="", check=False)


def test_a_frame_has_a_row_for_each_line_in_order() -> None:
    journal = Journal()
    journal.record("docker run -e PASSWORD=a", "docker run -e PASSWORD=***", 0.1234)
    journal.record("docker rm x", "docker rm x", 0.1, "exit status 1")

    frame = journal.frame()

    assert list(frame.columns) == ["at", "seconds", "command", "outcome"]
    assert list(frame["command"]) == ["docker run -e PASSWORD=***", "docker rm x"]
    assert list(frame["outcome"]) == ["done", "exit status 1"]
    assert list(frame["seconds"]) == [0.123, 0.1]
    assert frame["at"].is_monotonic_increasing
    assert frame["at"].dt.tz is not None
    assert "PASSWORD=a" not in repr(journal.entries)


def test_an_empty_journal_is_an_empty_frame_with_the_same_columns() -> None:
    assert list(Journal().frame().columns) == ["at", "seconds", "command", "outcome"]


def test_a_script_runs_what_went_well_and_goes_on_after_what_failed(tmp_path: Path) -> None:
    journal = Journal()
    journal.record("docker run 'two\nlines'", "", 0)
    journal.record("docker fail 'two\nlines'", "", 0, "exit status 3")
    journal.record("docker exec -i <<'END_OF_INPUT'\nSELECT 1;\nEND_OF_INPUT", "", 0)
    journal.record("docker fail -i <<'END_OF_INPUT'\nSELECT;\nEND_OF_INPUT", "", 0, "exit status 1")
    journal.record("docker rm secret", "docker rm 'a\nb'", 0, "There is\nnone.")
    journal.record("docker last", "", 0)

    script = journal.script("A sitting")
    done = run(script, tmp_path)

    assert done.returncode == 0, done.stderr
    said = (tmp_path / "said").read_text()
    assert said == ("2\nrun\ntwo\nlines\n2\nfail\ntwo\nlines\n2\nexec\n-i\nSELECT 1;\n2\nfail\n-i\nSELECT;\n1\nlast\n")
    assert "secret" not in script
    assert "# refused (There is none.): docker rm 'a b'" in script
    assert script.startswith("#!/bin/sh\n# A sitting\n")


def test_a_line_that_went_well_and_now_fails_ends_the_script(tmp_path: Path) -> None:
    journal = Journal()
    journal.record("docker fail", "", 0)
    journal.record("docker next", "", 0)

    assert run(journal.script("x"), tmp_path).returncode != 0
    assert "next" not in (tmp_path / "said").read_text()


def container(name: str) -> dict[str, object]:
    """A record of `docker ps`, as far as the journal reads it, with two anonymous volumes."""
    mounts = [{"Name": VOLUME, "Destination": "/data"}, {"Name": OTHER, "Destination": "/it's"}, {"Source": "/home"}]
    return {"Id": ID, "Names": [f"/{name}"], "Mounts": mounts}


def test_a_name_that_the_engine_made_up_is_taken_right_after_its_line(tmp_path: Path) -> None:
    journal = Journal()
    journal.notice([container("box")])
    journal.record('docker run -d --name box -v /data -v "/it\'s" alpine', "", 0)
    journal.record("docker stop box", "", 0)
    journal.record(f"docker cat -v {OTHER}:/x sh -c 'ls '\"'\"'{OTHER}'\"'\"''", "", 0)
    journal.record(f'docker volume inspect "{OTHER}"', "", 0, "exit status 1")

    script = journal.script("x")

    assert script.splitlines()[4].startswith("volume_1=$(docker inspect ")
    assert script.count("$(") == 1, "what no later line has is not asked for"
    assert OTHER not in script
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stderr
    form = '{{range .Mounts}}{{if eq .Destination "/it\'s"}}{{.Name}}{{end}}{{end}}'
    found = f"answer to inspect --format {form} box"
    assert (
        (tmp_path / "said")
        .read_text()
        .endswith(f"6\ncat\n-v\n{found}:/x\nsh\n-c\nls '{found}'\n3\nvolume\ninspect\n{found}\n")
    )


def test_a_container_without_a_name_in_its_line_is_the_one_made_last() -> None:
    journal = Journal()
    journal.notice([container("brave_bohr")])
    journal.record("docker run -d alpine", "", 0)
    journal.notice([container("brave_bohr")])
    journal.record("docker ps", "", 0)
    journal.record(f"docker exec brave_bohr ls brave_bohr.d {VOLUME} {ID[:12]}", "", 0)
    journal.record(f"docker rm {ID} <<'SQL'\nbrave_bohr\nSQL", "", 0)

    form = '{{range .Mounts}}{{if eq .Destination "/data"}}{{.Name}}{{end}}{{end}}'
    assert journal.script("x").splitlines()[3:] == [
        "docker run -d alpine",
        'container_1="$(docker ps -lq)"',
        f"volume_1=$(docker inspect --format '{form}' \"$container_1\")",
        "docker ps",
        'docker exec "$container_1" ls brave_bohr.d "$volume_1" "$container_1"',
        "docker rm \"$container_1\" <<'SQL'",
        "brave_bohr",
        "SQL",
    ]


def test_a_script_without_such_names_is_as_it_was_typed() -> None:
    lines = ["docker run -d alpine", "docker rm -v box", f"docker exec box grep {64 * 'c'} '/sums'"]
    journal = Journal()
    journal.notice([container("brave_bohr")])
    for line in lines:
        journal.record(line, "", 0)
    journal.record("", f"docker volume rm {VOLUME}", 0, "In use.")

    assert journal.script("x").splitlines()[3:] == [*lines, f"# refused (In use.): docker volume rm {VOLUME}"]


def test_a_line_with_a_volume_from_before_the_sitting_is_a_comment_that_says_so() -> None:
    journal = Journal()
    journal.notice([container("brave_bohr")])
    journal.record("docker start box", "", 0)
    journal.record(f"docker run -v {VOLUME}:/x -e PASSWORD=a alpine", f"docker run -v {VOLUME}:/x -e PASSWORD=***", 0)

    assert journal.script("x").splitlines()[4:] == [
        f"# left out (no line here tells which volume aaaaaaaaaaaa was): docker run -v {VOLUME}:/x -e PASSWORD=***"
    ]
