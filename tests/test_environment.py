"""The environment of Python packages, made and mended by real installations in a real copy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from packaging.utils import canonicalize_name

from dockerlab import environment

# The newcomer's Python: the one below this environment, which has none of the packages.
PYTHON = str(Path(sys._base_executable).resolve())


@pytest.fixture(autouse=True)
def _no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERLAB_HOME", str(tmp_path / "no-engine-here"))


def down(clone: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The least that a command can do after it is set up: stop an engine that does not run."""
    words = [PYTHON, *options, "-m", "dockerlab", "down"]
    return subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False)


def packages(clone: Path) -> dict[str, str]:
    """What is installed in the clone's environment."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    python = clone / ".venv/bin/python"
    told: dict[str, str] = json.loads(
        subprocess.run([python, "-I", "-c", code], capture_output=True, check=True).stdout
    )
    return {canonicalize_name(name): version for name, version in told.items()}


@pytest.fixture
def made(clone: Path) -> Path:
    """The clone, with its environment made; a file in it tells whether it is still the same one afterwards."""
    done = down(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    (clone / ".venv/witness").touch()
    return clone


def test_the_first_run_makes_the_environment_that_the_lock_describes(clone: Path) -> None:
    made = clone
    shutil.rmtree(made / ".venv", ignore_errors=True)
    assert down(made).returncode == 0
    lock = (made / "requirements.lock").read_text(encoding="utf-8")
    there = packages(made)
    assert {"docker", "jupyterlab", "pandas", "dockerlab"} <= set(there)
    assert not {"pytest", "playwright"} & set(there)
    for name, version in there.items():
        assert name == "dockerlab" or re.search(rf"^{re.escape(name)}=={re.escape(version)} ", lock, re.MULTILINE)


def test_the_next_run_installs_nothing(made: Path) -> None:
    installed = (made / ".venv/dockerlab.installed").stat().st_mtime_ns
    done = down(made)
    assert done.returncode == 0
    assert "Python packages" not in done.stdout
    assert (made / ".venv/dockerlab.installed").stat().st_mtime_ns == installed


def test_an_installation_that_was_cut_off_is_made_afresh(made: Path) -> None:
    (made / ".venv/dockerlab.installed").write_text(environment.UNFINISHED)
    done = down(made)
    assert done.returncode == 0
    assert not (made / ".venv/witness").exists()


def test_an_environment_whose_python_is_gone_is_made_afresh(made: Path) -> None:
    (made / ".venv/bin/python").unlink()
    assert down(made).returncode == 0
    assert not (made / ".venv/witness").exists()


def test_an_environment_that_lost_a_package_is_made_afresh(made: Path) -> None:
    (lost,) = made.glob(".venv/lib/python3.*/site-packages/tqdm-*.dist-info/METADATA")
    lost.unlink()
    lost.parent.rename(made / "lost")
    done = down(made)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tqdm" in packages(made)


def test_a_changed_lock_is_installed_into_the_environment_that_is_there(made: Path) -> None:
    lock = made / "requirements.lock"
    text = lock.read_text(encoding="utf-8")
    try:
        lock.write_text(f"{text}# changed\n", encoding="utf-8")
        done = down(made)
    finally:
        lock.write_text(text, encoding="utf-8")
    assert done.returncode == 0
    assert "Python packages" in done.stdout
    assert (made / ".venv/witness").exists()


def test_a_package_that_is_not_what_the_lock_says_is_refused_and_the_next_run_mends_it(made: Path) -> None:
    lock = made / "requirements.lock"
    text = lock.read_text(encoding="utf-8")
    wrong = re.sub(
        r"(?m)(^tqdm==.*\n(?: +--hash=.*\n)*)", lambda entry: re.sub(r"sha256:\w{8}", "sha256:00000000", entry[0]), text
    )
    assert wrong != text
    try:
        lock.write_text(wrong, encoding="utf-8")
        (made / ".venv/dockerlab.installed").write_text(environment.UNFINISHED)
        done = down(made)
    finally:
        lock.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert "hash" in done.stdout.lower() + done.stderr.lower()
    assert len(done.stderr.strip().splitlines()) == 3
    assert done.stderr.startswith("uv failed.\n")
    assert down(made).returncode == 0


def test_ctrl_c_while_it_installs_is_no_harm(made: Path) -> None:
    (made / ".venv/dockerlab.installed").write_text(environment.UNFINISHED)
    with pexpect.spawn(PYTHON, ["-m", "dockerlab", "down"], cwd=str(made), encoding="utf-8", timeout=60) as terminal:
        terminal.expect(r"Python packages \d+ s")
        terminal.sendcontrol("c")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 130
    assert down(made).returncode == 0
    assert "jupyterlab" in packages(made)


def test_two_first_runs_at_once_make_one_environment(made: Path) -> None:
    (made / ".venv/dockerlab.installed").write_text(environment.UNFINISHED)
    words = [PYTHON, "-m", "dockerlab", "down"]
    both = [
        subprocess.Popen(words, cwd=made, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in "12"
    ]
    for each in both:
        said, _ = each.communicate(timeout=300)
        assert each.returncode == 0, said
    assert "jupyterlab" in packages(made)


def test_a_python_without_pip_takes_the_one_that_it_brings_along(made: Path) -> None:
    for kept in made.glob(".dockerlab/uv-*"):
        kept.rename(made / "kept")
    (made / ".venv/dockerlab.installed").write_text(environment.UNFINISHED)
    done = down(made, "-S")  # without site-packages, and so without pip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(made.glob(".dockerlab/uv-*"))
    assert not (made / ".dockerlab/scratch").exists()


@pytest.mark.parametrize("where", ["PIP_CONFIG_FILE", "PIP_INDEX_URL"])
def test_a_mirror_that_pip_was_told_of_is_where_uv_installs_from(tmp_path: Path, where: str) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    value = str(settings) if where == "PIP_CONFIG_FILE" else "https://mirror.example/simple"
    words = [PYTHON, "-c", "from dockerlab.environment import _index; print(_index())"]
    told = {**os.environ, where: value}
    done = subprocess.run(words, cwd=environment.ROOT, env=told, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'UV_DEFAULT_INDEX': 'https://mirror.example/simple'}"


def test_what_tests_need_is_added_and_their_words_go_to_pytest(made: Path) -> None:
    words = [PYTHON, "-m", "dockerlab", "test", "--version", "--version"]
    done = subprocess.run(words, cwd=made, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pytest-timeout" in done.stdout + done.stderr
    assert {"pytest", "playwright", "docker"} <= set(packages(made))
    assert down(made).returncode == 0
    assert "pytest" in packages(made)
