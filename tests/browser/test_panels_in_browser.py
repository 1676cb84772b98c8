"""The panels as a learner has them: clicked, driven by keyboard, in both themes, beside a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from lab_page import PATIENCE_MILLISECONDS, LabPage
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, Locator, expect
from test_storage import docker

from dockerlab import Lab, panels
from dockerlab.engine.find import Engine
from dockerlab.jupyter import Server
from dockerlab.panels.base import EVENT_SECONDS, Panel

THEMES = ("Light", "Dark")
WIDTHS = (1280, 800)
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
# What a learner chooses before a button of that text is clicked.
CHOICES = {"Back up": "panel-letters", "Compare with docker run … tar": "panel-letters", "Remove it": "shop-drafts"}
# Where each panel's whole story leads: words that are on it then.
ENDS = {
    "Backup": ["Side by side", "In the archive"],
    "Cleanup": ["refused: shop uses it"],
    "Mounts": ["✓ kept", "✕ lost", "The experiment"],
    "Persistence": ["The proof", "Charlie", "drill-data"],
    "WritableLayer": ["neighbour", "/etc/profile"],
}


@dataclass
class Board:
    """A panel in a notebook in a browser, with its lab as a terminal has it."""

    page: LabPage
    name: str
    lab: Lab

    @property
    def kind(self) -> type[Panel]:
        kind: type[Panel] = getattr(panels, self.name)
        return kind

    @property
    def panel(self) -> Locator:
        return self.page.output("panel").locator(".dockerlab-panel")

    @property
    def picture(self) -> Locator:
        return self.panel.locator("svg.dockerlab-picture")

    def button(self, label: str) -> Locator:
        return self.panel.get_by_role("button", name=label, exact=True)

    def labels(self) -> list[str]:
        """The buttons of the story, as they are to be clicked."""
        return [getattr(self.kind, name).label for _, names in self.kind.story for name in names]

    def ended(self) -> int:
        """How many actions have ended."""
        expect(self.panel.get_by_role("progressbar")).to_have_count(0, timeout=PATIENCE_MILLISECONDS)
        return int(self.panel.locator(".dl-work").get_attribute("data-done") or "")

    def awaits(self, number: int) -> None:
        """Wait until so many actions have ended."""
        ended = self.panel.locator(f'.dl-work[data-done="{number}"]')
        expect(ended).to_have_count(1, timeout=PATIENCE_MILLISECONDS)

    def click(self, label: str) -> None:
        """Click a button and wait until what it does is done."""
        if label in CHOICES:
            select = self.panel.get_by_label("Volume", exact=True)
            expect(select.locator("option", has_text=re.compile(f"^{CHOICES[label]}$"))).to_have_count(1)
            select.select_option(CHOICES[label])
        number = self.ended()
        self.button(label).click()
        self.awaits(number + 1)


@pytest.fixture(scope="module", params=panels.__all__)
def board(request: pytest.FixtureRequest, server: Server, browser: Browser, engine: Engine) -> Iterator[Board]:
    """A panel that was just shown, on a lab of its own."""
    name: str = request.param
    lab = f"browser-{name.lower()}"
    cells = {
        "lab": f"from dockerlab import Lab, panels\n\nlab = Lab({lab!r}, echo=None)\nlab.cleanup();",
        "panel": f"panels.{name}(lab)",
        "after": "21 * 2",
    }
    path = f"{name}.ipynb"
    notebook = new_notebook(cells=[new_code_cell(code, id=ident) for ident, code in cells.items()], metadata=KERNEL)
    nbformat.write(notebook, server.folder / path)
    with (
        Lab(lab, engine=engine, owner="", echo=None) as outside,
        browser.new_page(viewport={"width": 1280, "height": 1400}) as tab,
    ):
        page = LabPage(tab, path)
        page.open(server.url(path))
        page.run_all()
        shown = Board(page, name, outside)
        expect(shown.picture).to_be_visible()
        yield shown
        page.shut_down()


def test_it_names_itself_and_its_picture(board: Board) -> None:
    expect(board.panel).to_have_count(1)
    expect(board.panel).to_contain_text(board.kind.title)
    expect(board.panel.get_by_role("img", name=re.compile("^Storage of the lab"))).to_have_count(1)
    for label in board.labels():
        expect(board.button(label)).to_be_visible()


def test_the_story_is_told_by_clicks_alone(board: Board, album: Path | None) -> None:
    before = board.picture.inner_html()
    for label in board.labels():
        board.click(label)
        expect(board.panel.get_by_role("alert"), label).to_have_count(0)
    for words in ENDS[board.name]:
        expect(board.panel).to_contain_text(words)
    assert board.picture.inner_html() != before
    if album:
        for theme in THEMES:
            board.page.choose_theme(f"JupyterLab {theme}")
            for width in WIDTHS:
                board.page.show_whole(width)
                board.panel.screenshot(path=album / f"panel-{board.name.lower()}-{theme.lower()}-{width}.png")


def test_what_a_terminal_does_is_in_the_picture(board: Board) -> None:
    label = f"dockerlab={board.lab.name}"
    docker(board.lab, "run", "-d", "--name", "by-hand", "--label", label, "-v", "hand:/data", "alpine", "sleep", "600")
    expect(board.picture).to_contain_text("by-hand")
    docker(board.lab, "exec", "by-hand", "touch", "/written-by-hand")
    expect(board.picture).to_contain_text("/written-by-hand")
    board.page.page.wait_for_timeout(1000 * EVENT_SECONDS)  # what comes sooner is one event with what was before
    docker(board.lab, "rm", "-f", "by-hand")
    expect(board.panel).to_contain_text("by-hand removed")
    expect(board.picture.locator('[data-kind="container"][data-name="by-hand"][data-mark="removed"]')).to_have_count(1)
    docker(board.lab, "volume", "rm", "hand")
    expect(board.panel).to_contain_text("volume hand removed")


def test_an_error_is_in_the_panel_and_in_no_cell(board: Board) -> None:
    board.click("Start over")
    early = {
        "Backup": "Verify",
        "Cleanup": "Remove what is planned",
        "Mounts": "Write from the container",
        "Persistence": "Insert three users",
        "WritableLayer": "Write a file",
    }[board.name]
    board.click(early)
    alert = board.panel.get_by_role("alert")
    expect(alert).to_be_visible()
    assert alert.locator("p").count() >= 2
    outputs = {cell.id: cell.outputs for cell in board.page.code_cells()}
    assert outputs["lab"] == []
    assert [output.data["text/plain"] for output in outputs["after"]] == ["42"]
    assert len(outputs["panel"]) == 1
    board.click("Start over")
    expect(alert).to_have_count(0)


def test_the_keyboard_reaches_all_in_the_order_of_the_story(board: Board) -> None:
    keyboard = board.page.page.keyboard
    first, *rest = board.labels()
    board.button(first).focus()
    reached = [first]
    for _ in range(len(rest) + 4):
        keyboard.press("Tab")
        reached.append(board.page.page.evaluate("document.activeElement.textContent.trim()"))
    assert [label for label in reached if label in board.labels()] == board.labels()


def test_a_key_does_what_a_click_does_and_the_focus_stays(board: Board) -> None:
    board.click("Start over")
    for label, key in ((board.labels()[0], "Enter"), ("Start over", "Space")):
        number = board.ended()
        board.button(label).focus()
        board.page.page.keyboard.press(key)
        board.awaits(number + 1)
        expect(board.panel.get_by_role("alert")).to_have_count(0)
        expect(board.panel.locator(".dl-terminal")).to_contain_text("docker ")
        expect(board.button(label)).to_be_focused()


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_no_serious_fault(board: Board, theme: str) -> None:
    board.page.choose_theme(f"JupyterLab {theme}")
    board.page.page.wait_for_timeout(300)
    found = Axe().run(board.page.page, context=".dockerlab-panel").response["violations"]
    serious = [
        (each["id"], node["html"][:200], node.get("failureSummary", "")[:300])
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
    assert serious == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_window(board: Board, width: int) -> None:
    board.page.show_whole(width)
    inside = "panel => [panel.scrollWidth - panel.clientWidth, panel.getBoundingClientRect().right - window.innerWidth]"
    over, beyond = board.panel.evaluate(inside)
    assert over <= 0
    assert beyond <= 0
    for label in board.labels():
        box = board.button(label).bounding_box()
        assert box and box["x"] + box["width"] <= width


def test_run_again_there_is_one_panel(board: Board) -> None:
    for _ in range(3):
        board.page.run_cell(1)
    expect(board.panel).to_have_count(1)
    board.click("Start over")
    expect(board.panel.get_by_role("alert")).to_have_count(0)


def test_after_a_restart_it_runs_again(board: Board) -> None:
    board.page.restart()
    board.page.run_all()
    expect(board.panel).to_have_count(1)
    board.click(board.labels()[0])
    expect(board.panel.get_by_role("alert")).to_have_count(0)
    expect(board.panel.locator(".dl-terminal")).to_contain_text("docker run")


def test_the_console_is_quiet_and_no_other_machine_is_asked(board: Board) -> None:
    assert board.page.errors == []
    assert board.page.foreign == []
