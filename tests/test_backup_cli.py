"""The four words of the command line do as the functions do, with an exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pexpect
import pytest
from content import hard_to_keep, helpers, item, listing, put
from engines import ROOT

from dockerlab import Lab, Volume, verify
from dockerlab.engine.find import Engine


def dockerlab(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dockerlab", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_volume_goes_out_and_comes_back(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", hard_to_keep())
    done = dockerlab("backup", "data", "--lab", lab.name, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "data.tar.gz" in done.stdout and done.stderr == ""
    digest = verify(tmp_path / "data.tar.gz").digest
    for words in (["verify", "data.tar.gz"], ["rehearse", "data.tar.gz", "--lab", lab.name]):
        done = dockerlab(*words, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "yes: gzip" in done.stdout or "this backup restores" in done.stdout
    done = dockerlab("restore", "data.tar.gz", "again", "--lab", lab.name, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert listing(lab, "again") == listing(lab, "data")
    done = dockerlab("restore", "data.tar.gz", "again", "--replace", "--lab", lab.name, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = dockerlab("backup", "again", "again.tar.gz", "--lab", lab.name, folder=tmp_path)
    assert done.returncode == 0 and verify(tmp_path / "again.tar.gz").digest == digest
    assert helpers(lab) == []


@pytest.mark.parametrize("words", [["verify"], ["rehearse"]])
def test_a_terminal_shows_how_far_it_is_unless_it_is_to_be_quiet(
    engine: Engine, tmp_path: Path, words: list[str]
) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as made:
        made.addfile(item("a")[0])
    for options, shown in (([], True), (["--quiet"], False)):
        child = pexpect.spawn(
            sys.executable,
            ["-m", "dockerlab", *words, "a.tar.gz", *options],
            cwd=str(tmp_path),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
        )
        said = child.read().decode()
        child.close()
        assert child.exitstatus == 0, said
        assert ("Verifying" in said) == shown


def test_what_can_t_be_done_is_three_lines_and_a_status(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    for words in (
        ["backup", "no-such-volume"],
        ["verify", "bad.tar.gz"],
        ["restore", "bad.tar.gz", "new"],
        ["rehearse", "bad.tar.gz"],
        ["verify", "none.tar.gz"],
    ):
        done = dockerlab(*words, folder=tmp_path)
        assert done.returncode == 1, words
        assert 2 <= len(done.stderr.splitlines()) <= 3, done.stderr
        assert done.stdout == ""


def test_the_way_with_a_volume_in_use_is_an_option(lab: Lab, tmp_path: Path) -> None:
    put(lab, "data", [item("a")])
    words = ["sh", "-c", "trap exit TERM; sleep 1000 & wait"]
    lab.run("alpine", words, name="app", mounts=[Volume("data", "/data")])
    done = dockerlab("backup", "data", "--lab", lab.name, folder=tmp_path)
    assert done.returncode == 1 and "app (running)" in done.stderr
    done = dockerlab("backup", "data", "--consistent", "pause", "--lab", lab.name, folder=tmp_path)
    assert done.returncode == 0 and "paused meanwhile" in done.stdout
    assert "docker pause app" in done.stderr
    assert lab.container("app").status == "running"


@pytest.mark.parametrize("words", [["backup"], ["restore", "a.tar.gz"], ["backup", "a", "--consistent", "maybe"]])
def test_a_word_too_few_is_a_usage_error(words: list[str], tmp_path: Path) -> None:
    done = dockerlab(*words, folder=tmp_path)
    assert done.returncode == 2 and "usage:" in done.stderr
