"""The prompt for a prediction as a learner has it: chosen by keyboard, compared, asked anew."""

from __future__ import annotations

import nbformat
from axe_playwright_python.sync_playwright import Axe
from lab_page import LabPage
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Browser, expect

from dockerlab.jupyter import Server

CELLS = {
    "ask": 'from dockerlab import predict\n\nguess = predict("What is left?", ["layer", "volume", "both"])\nguess',
    "compare": 'guess.compare("volume")',
}
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def test_a_prediction_is_chosen_by_keyboard_compared_and_asked_anew(server: Server, browser: Browser) -> None:
    cells = [new_code_cell(code, id=ident) for ident, code in CELLS.items()]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), server.folder / "predict.ipynb")
    with browser.new_page() as tab:
        page = LabPage(tab, "predict.ipynb")
        page.open(server.url("predict.ipynb"))
        page.run_all()
        expect(page.output("compare")).to_contain_text("You made no prediction")
        radios = page.output("ask").get_by_role("radio")
        expect(radios).to_have_count(3)
        radios.first.focus()
        tab.keyboard.press("Tab")
        tab.keyboard.press("Space")
        expect(page.output("ask").get_by_label("volume", exact=True)).to_be_checked()
        page.run_cell(1)
        expect(page.output("compare")).to_contain_text("✔ As you predicted.")
        found = Axe().run(tab, context=".dockerlab-panel").response["violations"]
        assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
        page.run_cell(0)
        expect(page.output("ask").locator(":checked")).to_have_count(0)
        expect(radios).to_have_count(3)
        page.run_cell(1)
        expect(page.output("compare")).to_contain_text("You made no prediction")
        assert page.errors == []
