"""An engine for the tests alone, labs that clean up, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from dockerlab import Lab
from dockerlab.console import TEST_HOME
from dockerlab.engine import images, private
from dockerlab.engine.find import Engine, find
from dockerlab.environment import ROOT
from dockerlab.errors import EngineError

# No example is late on a machine whose cores are all busy.
hypothesis.settings.register_profile("any machine", hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("any machine")

# Reasons for which a test may be skipped in CI: programs that the course itself does not need, and so does not install.
MAY_BE_SKIPPED = frozenset({"no podman here", "no sudo here"})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[misc]
    _fail_if_skipped_in_ci(report)
    return report  # type: ignore[return-value]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report: pytest.CollectReport = yield  # type: ignore[misc]
    _fail_if_skipped_in_ci(report)
    return report  # type: ignore[return-value]


def _fail_if_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if reason.removeprefix("Skipped: ") not in MAY_BE_SKIPPED:
            report.outcome = "failed"
            report.longrepr = f"Skipped in CI: {reason}"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this run: a private one of its own, else one that answers here; it is what `Lab()` takes."""
    with _seat() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKERLAB_HOME", str(home))
        patch.delenv("DOCKERLAB_BUNDLE", raising=False)
        patch.delenv("DOCKERLAB_OWNER", raising=False)
        try:
            found = find(os.environ.get("DOCKERLAB_ENGINE") or "private")
        except EngineError as no_private:
            try:
                found = find()
            except EngineError:
                pytest.skip(f"no engine: {no_private.seen}")
        patch.setenv("DOCKERLAB_ENGINE", "private" if found.private else found.url)
        if found.private and home.parent == TEST_HOME.parent:  # a home of the tests alone
            _sweep(found)
        try:
            yield found
        finally:
            found.client.close()
            if found.private:
                private.stop(home)


def _sweep(engine: Engine) -> None:
    """Remove what a run that was killed left behind."""
    for box in engine.client.containers.list(all=True):
        box.remove(force=True, v=True)
    for volume in engine.client.volumes.list():
        volume.remove()
    engine.client.networks.prune()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lab(engine: Engine) -> Iterator[Lab]:
    """A lab of a name of its own, silent, and cleaned up afterwards."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        yield lab


@pytest.fixture(scope="session")
def stranger(engine: Engine) -> Iterator[Engine]:
    """A second engine with the first one's images, found by its address: to a lab it is not the course's own."""
    first = Path(os.environ["DOCKERLAB_HOME"])
    home = first.with_name(f"{first.name}-stranger")
    private.stop(home, purge=True)  # what a run that was killed left behind
    try:
        found = find(private.start(home))
    except EngineError as no_private:
        pytest.skip(f"no second engine: {no_private.seen}")
    try:
        for name in ("alpine", "postgres:16-alpine"):
            found.client.images.load(images.ensure(engine, name).save(named=True))
        yield found
    finally:
        found.client.close()
        private.stop(home, purge=True)


@pytest.fixture
def private_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home for another private engine, which is stopped and deleted afterwards; no other engine is asked for."""
    home = tmp_path / "home"
    monkeypatch.setenv("DOCKERLAB_HOME", str(home))
    monkeypatch.setenv("DOCKERLAB_ENGINE", "private")
    yield home
    private.stop(home, purge=True)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project as a newcomer has it, in a folder whose name has a space, set up by its own first run."""
    folder = tmp_path_factory.mktemp("a course") / "dockerlab"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@contextmanager
def _seat() -> Iterator[Path]:
    """A home that no other run of the tests uses now; it stays, since images take their time to make."""
    first = Path(os.environ.get("DOCKERLAB_HOME") or TEST_HOME)
    for number in itertools.count(1):
        home = first if number == 1 else first.with_name(f"{first.name}-{number}")
        home.mkdir(parents=True, exist_ok=True)
        with (home / "tests.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield home
            return
