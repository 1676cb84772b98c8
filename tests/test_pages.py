"""Lessons as pages of HTML: whole without a kernel, a script or a network."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from webpages import assert_whole, links

from dockerlab import lessons, pages
from dockerlab.engine.find import Engine

PANEL = """
from base64 import b64encode
import ipywidgets, resvg_py
slider = ipywidgets.IntSlider()
class Panel:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    def _repr_mimebundle_(self, include=None, exclude=None):
        png = b64encode(bytes(resvg_py.svg_to_bytes(svg_string=self.svg))).decode()
        view = {"model_id": "7", "version_major": 2, "version_minor": 0}
        forms = {"application/vnd.jupyter.widget-view+json": view, "image/png": png, "text/plain": "one <volume>"}
        return forms, {"image/png": {"width": 800}}
Panel()
"""


@pytest.fixture(scope="module")
def site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    solution = new_code_cell("answer = 42")
    solution.metadata["jupyter"] = {"source_hidden": True}
    failing = new_code_cell("1 / 0")
    failing.metadata["tags"] = ["raises-exception"]
    first = [
        new_markdown_cell("# 00 · The first\n\n**5 minutes.** You will see it."),
        new_code_cell(PANEL),
        solution,
        failing,
        new_markdown_cell("**Next:** [the second](01_second.ipynb#More), and [above](#Again).\n\n## Again"),
    ]
    second = [new_markdown_cell("# 01 · The second\n\n**7 minutes.** You will see it again.\n\n## More")]
    for name, cells in {"00_first": first, "01_second": second}.items():
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    outcomes = lessons.run(lessons.choose(folder), report=lambda outcome: None)
    assert pages.write(outcomes, engine, folder / "deep/site") == folder / "deep/site/index.html"
    return folder / "deep/site"


def test_pages_fetch_nothing_and_lead_to_each_other(site: Path) -> None:
    assert {page.name for page in site.iterdir()} == {"index.html", "00_first.html", "01_second.html"}
    assert_whole(site)
    assert {"01_second.html#More", "index.html"} <= set(links(site / "00_first.html"))


def test_the_index_lists_title_promise_minutes_and_the_engine(site: Path, engine: Engine) -> None:
    soup = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in soup.find_all("tr")[1:]]
    assert rows == [["00 · The first", "You will see it.", "5"], ["01 · The second", "You will see it again.", "7"]]
    assert f"claims are proven on {engine.title}." in soup.get_text()
    assert "All lessons" not in soup.get_text()


def test_a_panel_is_a_picture_with_its_words(site: Path) -> None:
    soup = BeautifulSoup((site / "00_first.html").read_text(encoding="utf-8"), "html.parser")
    (image,) = soup.find_all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert (image["alt"], image["width"]) == ("one <volume>", "800")


def test_a_hidden_solution_is_folded_and_an_expected_error_shown(site: Path) -> None:
    soup = BeautifulSoup((site / "00_first.html").read_text(encoding="utf-8"), "html.parser")
    (folded,) = soup.find_all("details")
    assert folded.find("summary").get_text() == "Solution" and "answer = 42" in folded.get_text()
    assert "open" not in folded.attrs
    assert "ZeroDivisionError" in soup.get_text()


def test_files_of_others_stay_and_pages_are_replaced(site: Path, engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "index.html").write_text("old")
    pages.write([], engine, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "The first" not in (tmp_path / "index.html").read_text() != "old"
