"""JupyterLab as `up` starts it, on a copy of the lessons, in the distribution's Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_page import PATIENCE_MILLISECONDS
from playwright.sync_api import Browser, expect, sync_playwright

from dockerlab.engine import images
from dockerlab.engine.find import Engine
from dockerlab.jupyter import Server

# What is done on a machine with other engines and browsers takes longer than the five seconds of the default.
expect.set_options(timeout=PATIENCE_MILLISECONDS)

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",  # a container's root user cannot start it in one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab on a copy of the lessons, whose kernels use the tests' engine and find all images there."""
    for image in images.COURSE:
        images.ensure(engine, image)
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    options = ("--LabApp.expose_app_in_browser=True",)  # `jupyterapp`, by which tests wait for a kernel
    with Server(folder / "notebooks", folder / "state", options=options) as server:
        yield server.start()


# Once a module, not once a session: while it lives, nothing else in its thread may run an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser: {CHROMIUM} is not there")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def album() -> Path | None:
    """Where pictures of the lessons go, to be looked at; none are taken unless DOCKERLAB_SCREENSHOTS names a folder."""
    named = os.environ.get("DOCKERLAB_SCREENSHOTS")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
