"""The journal says what was done without secrets; the script does it again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dockerlab.journal import Journal


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where `docker` is a program that writes down its arguments; it fails if one of them is `fail`."""
    stub = folder / "docker"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$@" >> {folder}/said\ncat >> {folder}/said\n[ "$1" != fail ]\n')
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
