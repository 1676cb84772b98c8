"""The course where no kernel is: each lesson as it ran, a page of HTML that needs nothing but itself."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook
from traitlets.config import Config

from .engine.find import Engine
from .lessons import Outcome, proven

__all__ = ["write"]

# JupyterLab's own page without what it would fetch from elsewhere: no script is needed to read it.
TEMPLATE = """
{%- extends "lab/index.html.j2" -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 960px; margin: auto }
details > summary { cursor: pointer }
nav { padding: 8px 14px; text-align: right }
.jp-CodeCell details > summary { margin-left: calc(var(--jp-cell-prompt-width) + var(--jp-cell-prompt-padding, 5px)) }
.jp-RenderedImage img { max-width: 100%; height: auto }
</style>
{%- endblock -%}
{%- block body_header -%}
{{ super() }}
{%- if resources.is_lesson %}<nav class="jp-RenderedHTMLCommon"><a href="index.html">All lessons</a></nav>{% endif -%}
{%- endblock -%}
{%- block input_group -%}
{%- if cell.metadata.get("jupyter", {}).get("source_hidden") -%}
<details><summary>Solution</summary>{{ super() }}</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock -%}
{%- block data_png -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img alt="{{ output.data["text/plain"] | escape_html }}" width="{{ output | get_metadata("width", "image/png") }}"
 src="data:image/png;base64,{{ output.data["image/png"] | escape_html }}">
</div>
{%- endblock -%}
"""
# A panel's widgets need a kernel; its picture does not.
FORMS = ["text/html", "image/svg+xml", "image/png", "text/plain"]


def write(outcomes: Sequence[Outcome], engine: Engine, folder: Path) -> Path:
    """Write lessons that ran there, and an `index.html` that lists them, into a folder; return the index.

    The folder is made. The pages fetch nothing from anywhere, and link to each other. Files of the same names are
    replaced, others stay.
    """
    config = Config(NbConvertBase={"display_data_priority": FORMS})
    exporter = HTMLExporter(config=config, raw_template=TEMPLATE)  # type: ignore[no-untyped-call]
    pages = {outcome.lesson: outcome.notebook for outcome in outcomes} | {"index": _index(outcomes, engine)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, notebook in pages.items():
        title = re.sub(r"^#\s*", "", _lines(notebook)[0])
        resources = {"metadata": {"name": title}, "is_lesson": name != "index"}
        body, _ = exporter.from_notebook_node(_linked(notebook), resources)
        (folder / f"{name}.html").write_text(body, encoding="utf-8")
    return folder / "index.html"


def _index(outcomes: Sequence[Outcome], engine: Engine) -> nbformat.NotebookNode:
    rows = ["# Where container data lives, and how to keep it", "", proven(outcomes, engine), ""]
    rows += ["| lesson | what happens | minutes |", "|---|---|---|"]
    for outcome in outcomes:
        title, *lines = _lines(outcome.notebook)
        promise = next((found for line in lines if (found := re.match(r"\*\*(\d+) minutes\.\*\* (.+)", line))), None)
        minutes, words = promise.groups() if promise else ("", "")
        rows.append(f"| [{re.sub('^# *', '', title)}]({outcome.lesson}.ipynb) | {words} | {minutes} |")
    index: nbformat.NotebookNode = new_notebook(cells=[new_markdown_cell("\n".join(rows))])
    return index


def _lines(notebook: nbformat.NotebookNode) -> list[str]:
    """The lines of its first cell, the title first."""
    lines: list[str] = notebook.cells[0].source.splitlines()
    return lines


def _linked(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy whose links to notebooks lead to pages, without the state of widgets: nothing here would show it."""
    copied: nbformat.NotebookNode = copy.deepcopy(notebook)
    copied.metadata.pop("widgets", None)
    for cell in copied.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\(([\w-]+)\.ipynb(#[\w-]+)?\)", r"](\1.html\2)", cell.source)
    return copied
