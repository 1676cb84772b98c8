"""What the project asks of itself: formatted, typed, stripped, spelled, and its lists of dependencies in step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(line) for line in PROJECT["dependencies"]]
FOR_TESTS = [Requirement(line) for line in PROJECT["optional-dependencies"]["test"]]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# The names that conda-forge has for what Python's index calls otherwise.
CONDA_NAMES = {"docker": "docker-py", "isal": "python-isal"}


def run(*words: str | Path) -> None:
    """Run a tool of this environment in the project; its words are the failure's."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def tracked() -> Iterator[tuple[str, str]]:
    """The project's text files, by their path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            try:
                yield name, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a picture


def locked() -> dict[str, list[str]]:
    """The lock's entries: by name, the versions; each is pinned and has its hashes."""
    entries: dict[str, list[str]] = {}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        requirement = Requirement(entry.partition("\\\n")[0])
        (pin,) = requirement.specifier
        assert pin.operator == "==", entry
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
        entries.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return entries


@pytest.mark.parametrize("words", [("ruff", "format", "--check", "--diff", "."), ("ruff", "check", "."), ("mypy",)])
def test_code_is_formatted_linted_and_typed(words: tuple[str, ...]) -> None:
    run(*words)


def test_words_are_spelled() -> None:
    run("codespell_lib", *(name for name, _ in tracked()))


def test_there_are_lessons() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_valid_and_hold_no_outputs(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    run("nbstripout", "--keep-id", "--verify", path)


def test_the_lock_holds_what_the_project_needs_in_versions_that_it_allows() -> None:
    entries = locked()
    for requirement in NEEDED + FOR_TESTS:
        versions = entries[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), requirement
        assert all(f"{requirement.name}-{extra}" in entries for extra in requirement.extras), requirement


def test_the_lock_was_made_from_this_project() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    direct = {
        canonicalize_name(re.split(r"[=\[ ]", entry, maxsplit=1)[0])
        for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
        if "dockerlab (pyproject.toml)" in entry
    }
    assert direct == {canonicalize_name(requirement.name) for requirement in NEEDED + FOR_TESTS}


def test_conda_gets_the_same_packages_in_the_same_minor_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == "dockerlab"
    assert environment["channels"] == ["conda-forge"]
    *pins, rest = environment["dependencies"]
    assert rest == {"pip": ["--editable ."]}
    minors = dict(pin.split("=") for pin in pins)
    python = minors.pop("python")
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)
    assert minors.pop("pip")
    entries = locked()
    wanted = {}
    for requirement in NEEDED:
        newest = max(map(Version, entries[canonicalize_name(requirement.name)]))
        wanted[CONDA_NAMES.get(requirement.name, requirement.name)] = f"{newest.major}.{newest.minor}"
    assert minors == wanted


def test_each_line_of_the_dependency_lists_says_why() -> None:
    for line in (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines():
        if re.match(r"\s+-\s+\S+(=|\s+\.)", line):
            assert re.search(r"\S\s+# \w", line), line


def test_no_address_of_a_package_index_or_registry_is_written_anywhere() -> None:
    # Where packages and images come from is the user's to say, by pip's, uv's, apt's or the engine's settings.
    places = "pypi|pythonhosted|npmjs|anaconda|debian|ubuntu|quay|ghcr|gcr"
    address = re.compile(
        rf"(?:\b|https?://)(?:[\w-]+\.)*(?:{places})\.(?:org|io|com|net|dev)\b|(?:registry|index|auth|hub)[\w-]*\.docker\.(?:io|com)\b"
    )
    index_option = re.compile(r"^--(extra-)?index-url|^--find-links", re.MULTILINE)
    for name, text in tracked():
        assert not address.search(text), f"{name}: {address.search(text)}"
        assert not index_option.search(text), name


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
@pytest.mark.parametrize("skip", ["def test_x(): pytest.skip('why')", "pytest.skip('why', allow_module_level=True)"])
def test_what_is_skipped_fails_in_ci(tmp_path: Path, ci: str, status: int, skip: str) -> None:
    (tmp_path / "test_x.py").write_text(f"import pytest\ndef test_y(): pass\n{skip}\n")
    words = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", os.devnull, "--rootdir", tmp_path, tmp_path]
    told = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(words, env=told, capture_output=True, text=True, check=False)
    # A module that is skipped whole leaves no test to run, which is status 5 and no success either.
    assert (done.returncode in (0, 5)) == (status == 0), done.stdout
    assert not ci or "Skipped in CI" in done.stdout
