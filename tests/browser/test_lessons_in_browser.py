"""The lessons as a learner has them: JupyterLab in a real browser, on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from lab_page import LabPage
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, expect

from dockerlab.engine.find import Engine
from dockerlab.jupyter import Server

NOTEBOOKS = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PROOF = NOTEBOOKS[3]  # the same object: by another one pytest would open the lesson anew
THEMES = ("JupyterLab Light", "JupyterLab Dark")
WIDTHS = (1280, 800)


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda name: name[:2])
def lesson(request: pytest.FixtureRequest, server: Server, browser: Browser) -> Iterator[LabPage]:
    """A lesson after Run All."""
    name: str = request.param
    with browser.new_page(viewport={"width": 1280, "height": 900}) as page:
        lab_page = LabPage(page, name)
        lab_page.open(server.url(name))
        lab_page.run_all()
        yield lab_page
        lab_page.shut_down()


def assert_all_cells_ran(lesson: LabPage) -> None:
    """Each code cell once, in order, and to its end; one that is to show an error shows its three lines."""
    cells = lesson.code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        errors = [output for output in cell.outputs if output.output_type == "error"]
        assert len(errors) == ("raises-exception" in cell.metadata.get("tags", [])), cell.id
        for error in errors:
            assert len(error.traceback) == 3, cell.id


def test_all_cells_run(lesson: LabPage) -> None:
    assert_all_cells_ran(lesson)


def test_the_console_is_quiet(lesson: LabPage) -> None:
    assert lesson.errors == []


def test_the_engine_says_what_it_is(lesson: LabPage, engine: Engine) -> None:
    said = lesson.output_text("lab")
    assert engine.version in said
    assert engine.url in said
    assert ("stand-in images" in said) == any(
        "dockerlab.standin" in image.labels for image in engine.client.images.list()
    )


def test_the_solution_is_folded_and_opens(lesson: LabPage) -> None:
    solution = next(cell.id for cell in lesson.code_cells() if cell.id.startswith("solution"))
    expect(lesson.cell(solution).locator(".cm-editor")).to_be_hidden()
    lesson.cell(solution).locator(".jp-InputPlaceholder").click()
    expect(lesson.cell(solution).locator(".cm-editor")).to_be_visible()


def test_answers_unfold_by_keyboard(lesson: LabPage) -> None:
    answers = lesson.cell("questions").locator("details")
    assert answers.count() == 2
    for answer in answers.all():
        text = answer.locator("p").first
        expect(text).to_be_hidden()
        answer.locator("summary").focus()
        lesson.page.keyboard.press("Enter")
        expect(text).to_be_visible()
        lesson.page.keyboard.press("Enter")
        expect(text).to_be_hidden()


@pytest.mark.parametrize("lesson", [PROOF], indirect=True)
def test_the_rows_are_a_table_before_and_after(lesson: LabPage) -> None:
    for table in (lesson.output("before").locator("table"), lesson.output("solution-03").locator("table")):
        expect(table).to_be_visible()
        assert table.locator("tbody tr td:last-child").all_text_contents()[:3] == ["Alice", "Bob", "Charlie"]
    assert all(name in lesson.output_text("select-second") for name in ("Alice", "Bob", "Charlie"))


@pytest.mark.parametrize("lesson", [PROOF], indirect=True)
def test_the_proof_is_a_table_of_two_containers_and_one_volume(lesson: LabPage) -> None:
    proof = lesson.output("proof").locator("table")
    expect(proof).to_be_visible()
    (first, *before), (second, *after) = (
        row.locator("td").all_text_contents() for row in proof.locator("tbody tr").all()
    )
    assert first != second
    assert before == after == ["pgdata", "3"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_text_stays_within_the_window(lesson: LabPage, album: Path | None, theme: str, width: int) -> None:
    lesson.choose_theme(theme)
    picture = album and album / f"{lesson.name[:2]}-{theme.split()[-1].lower()}-{width}.png"
    lesson.show_whole(width, picture)
    assert lesson.wider_than_the_window() == []


def test_the_way_on_leads_to_a_lesson_that_opens(lesson: LabPage) -> None:
    names = [lesson.follow(link) for link in lesson.cell("next").locator("a").all()]
    assert names
    assert set(names) <= set(NOTEBOOKS)


# That each lesson runs again in a new kernel is proven without a browser; here it is JupyterLab's part in it.
@pytest.mark.parametrize("lesson", [PROOF], indirect=True)
def test_after_a_restart_all_cells_run_again(lesson: LabPage) -> None:
    lesson.restart()
    lesson.run_all()
    assert_all_cells_ran(lesson)


def test_nothing_is_asked_of_other_machines(lesson: LabPage) -> None:
    assert lesson.foreign == []


def test_an_expected_error_is_three_lines_without_a_traceback(server: Server, browser: Browser) -> None:
    cells = ['from dockerlab import Lab\nlab = Lab("browser-errors")', 'lab.remove_volume("nope")', "1 / 0"]
    notebook = new_notebook(cells=[new_code_cell(source, id=f"cell-{place}") for place, source in enumerate(cells)])
    # Without a kernel's name JupyterLab would ask for one.
    notebook.metadata = nbformat.read(server.folder / PROOF, as_version=4).metadata
    nbformat.write(notebook, server.folder / "errors.ipynb")
    with browser.new_page() as page:
        errors = LabPage(page, "errors.ipynb")
        errors.open(server.url("errors.ipynb"))
        for place in range(len(cells)):
            errors.run_cell(place)
        expect(errors.output("cell-1")).to_contain_text("NotFoundError")
        expect(errors.output("cell-2")).to_contain_text("Traceback")  # a bug keeps it
        assert errors.output_text("cell-0") == ""
        said = errors.output_text("cell-1").strip().splitlines()
        assert said[0] == "NotFoundError: There is no volume nope."
        assert len(said) == 3
        assert all(said)
