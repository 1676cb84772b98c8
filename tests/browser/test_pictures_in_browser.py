"""The storage picture in a real browser: its text fits, nothing covers it, and both themes of JupyterLab show it."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from lab_page import LabPage
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import Browser, expect
from snapshots import AFTER, BEFORE, SNAPSHOTS

from dockerlab.draw import draw
from dockerlab.jupyter import Server
from dockerlab.pictures import Picture

# Boxes in the picture's own pixels: of each text, of the thing that it belongs to, and points along each wire.
MEASURE = """() => {
    const svg = document.querySelector('svg');
    const box = element => {
        const {x, y, width, height} = element.getBBox();
        return {x, y, right: x + width, bottom: y + height, text: element.textContent};
    };
    const shapes = element => [...element.querySelectorAll(':scope > rect, :scope > path')].map(box);
    const things = [...svg.querySelectorAll('[data-kind]')].filter(thing => shapes(thing).length);
    return {
        size: {width: svg.viewBox.baseVal.width, height: svg.viewBox.baseVal.height},
        texts: [...svg.querySelectorAll('text')].map(text => {
            const thing = text.closest('g[data-kind]');
            return {...box(text), inside: thing ? shapes(thing) : [], kind: thing?.dataset.kind ?? ''};
        }),
        wires: [...svg.querySelectorAll('[data-kind=mount] path')].map(path => {
            const length = path.getTotalLength();
            return [...Array(200).keys()].map(at => path.getPointAtLength(length * at / 199))
                .map(({x, y}) => ({x, y}));
        }),
    };
}"""
COVERED = {"image"}  # wires pass behind plates, and so behind their text


@pytest.fixture(scope="module", params=SNAPSHOTS)
def measured(request: pytest.FixtureRequest, browser: Browser) -> dict[str, Any]:
    """A drawn snapshot, as the browser lays it out."""
    with browser.new_page(viewport={"width": 800, "height": 600}) as page:
        page.set_content(f"<!doctype html><body style='margin:0'>{draw(*SNAPSHOTS[request.param])}</body>")
        found: dict[str, Any] = page.evaluate(MEASURE)
        return found


def test_text_stays_in_its_thing_and_in_the_picture(measured: dict[str, Any]) -> None:
    for text in measured["texts"]:
        assert text["x"] >= 0 and text["right"] <= measured["size"]["width"], text
        assert text["y"] >= 0 and text["bottom"] <= measured["size"]["height"], text
        if text["inside"]:
            assert min(shape["x"] for shape in text["inside"]) <= text["x"], text
            assert text["right"] <= max(shape["right"] for shape in text["inside"]), text
            assert min(shape["y"] for shape in text["inside"]) <= text["y"] + 2, text
            assert text["bottom"] <= max(shape["bottom"] for shape in text["inside"]) + 2, text


def test_no_two_texts_meet(measured: dict[str, Any]) -> None:
    texts = measured["texts"]
    for at, one in enumerate(texts):
        for other in texts[at + 1 :]:
            apart = one["right"] <= other["x"] or other["right"] <= one["x"]
            # A line's box has room above and below its letters.
            apart = apart or one["bottom"] <= other["y"] + 3 or other["bottom"] <= one["y"] + 3
            assert apart, (one["text"], other["text"])


def test_wires_meet_no_text_but_that_of_the_plates_they_pass_behind(measured: dict[str, Any]) -> None:
    for text in measured["texts"]:
        if text["kind"] not in COVERED:
            for wire in measured["wires"]:
                # The pill of a wire covers its end.
                met = [
                    p for p in wire[:-8] if text["x"] < p["x"] < text["right"] and text["y"] < p["y"] < text["bottom"]
                ]
                assert not met, (text["text"], met)


def notebook(cell: NotebookNode) -> NotebookNode:
    """A notebook of one cell; without a kernel's name JupyterLab would ask for one."""
    return new_notebook(cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


def expect_shown(page: LabPage, ident: str, theme: str) -> None:
    """Of a cell's two pictures the one for that theme is seen, once it is decoded."""
    for each in ("light", "dark"):
        expect(page.output(ident).locator(f"img.dockerlab-{each}")).to_be_visible(visible=each == theme)


def test_jupyterlab_shows_the_picture_of_its_theme(server: Server, browser: Browser) -> None:
    name = "picture.ipynb"
    code = "from dockerlab import pictures, storage\npictures.Picture(storage.Snapshot('demo', ''))"
    nbformat.write(notebook(new_code_cell(code, id="picture")), server.folder / name)
    with browser.new_page() as tab:
        page = LabPage(tab, name)
        page.open(server.url(name))
        page.run_all()
        expect(page.output("picture").locator("img.dockerlab-light")).to_be_attached()  # in whatever theme was left
        for theme in ("Light", "Dark", "Light"):
            page.choose_theme(f"JupyterLab {theme}")
            expect_shown(page, "picture", theme.lower())
        assert not page.errors
        assert not page.foreign


def test_a_notebook_that_is_not_trusted_still_shows_the_picture_and_no_loose_words(
    server: Server, browser: Browser
) -> None:
    name = "untrusted.ipynb"
    data, metadata = Picture(AFTER, BEFORE)._repr_mimebundle_()
    cell = new_code_cell("picture(lab)", id="picture", execution_count=1)
    cell.outputs = [new_output("execute_result", data=data, metadata=metadata, execution_count=1)]
    nbformat.write(notebook(cell), server.folder / name)
    with browser.new_page() as tab:
        page = LabPage(tab, name)
        page.open(server.url(name))
        for theme in ("Light", "Dark"):
            page.choose_theme(f"JupyterLab {theme}")
            expect_shown(page, "picture", "light")
        assert page.output("picture").locator("img.dockerlab-light").evaluate("image => image.naturalWidth") == 800
        assert page.output_text("picture").replace("[1]:", "").strip() == ""
