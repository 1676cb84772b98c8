"""How a panel looks: its style, and its texts as HTML; pure functions, no widget."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

import pandas as pd

from ..errors import DockerLabError

__all__ = [
    "STYLE",
    "Line",
    "Progress",
    "error_box",
    "heading",
    "progress_bar",
    "sentences",
    "side_by_side",
    "table",
    "transcript",
]

SENTENCES = 5
COMMANDS = 4  # of one action, in sight
OUTPUT_LINES = 14

STYLE = f"<style>{Path(__file__).with_name('panel.css').read_text(encoding='utf-8')}</style>"


@dataclass(frozen=True)
class Line:
    """A line of a panel's terminal: a command that was run, what it wrote, or a note of ours."""

    text: str
    kind: Literal["command", "output", "note"] = "command"


@dataclass(frozen=True)
class Progress:
    """How far a long action is; without a `share` (0 to 1) nobody knows."""

    words: str
    share: float | None = None


def heading(title: str, lead: str) -> str:
    """A panel's title and what it shows, with the style of all of it."""
    return f'{STYLE}<p class="dl-title">{escape(title)}</p><p class="dl-lead">{escape(lead)}</p>'


def transcript(lines: Sequence[Line]) -> str:
    """What the last action would be in a terminal, its first commands folded where there are many."""
    commands = [at for at, line in enumerate(lines) if line.kind == "command"]
    cut = commands[-COMMANDS] if len(commands) > COMMANDS else 0
    earlier = f"{len(commands) - COMMANDS:,} earlier command{'s' * (len(commands) > COMMANDS + 1)}"
    folded = f"<details><summary>{earlier}</summary>{_terminal(lines[:cut])}</details>" if cut else ""
    return f'<div class="dl-terminal">{folded}{_terminal(lines[cut:])}</div>' if lines else ""


def _terminal(lines: Sequence[Line]) -> str:
    told = []
    for line in lines:
        rows = line.text.rstrip("\n").splitlines() or [""]
        if len(rows) > OUTPUT_LINES:
            rows = [*rows[:OUTPUT_LINES], f"… {len(rows) - OUTPUT_LINES:,} more lines"]
        text = escape("\n".join(rows))
        forms = {"command": f"<i>$</i> <b>{text}</b>", "output": text, "note": f"<i># {text}</i>"}
        told.append(forms[line.kind])
    return f"<pre>{chr(10).join(told)}</pre>"


def error_box(error: BaseException | None) -> str:
    """What failed, in its three lines; a bug with its traceback folded away."""
    if error is None:
        return ""
    if isinstance(error, DockerLabError):
        what, *rest = str(error).splitlines() or [type(error).__name__]
        more = "".join(f"<p>{escape(line)}</p>" for line in rest)
    else:
        what = f"{type(error).__name__}: {error}"
        trace = escape("".join(traceback.format_exception(error)))
        more = f"<details><summary>This is a fault of the panel. Details</summary><pre>{trace}</pre></details>"
    return f'<div class="dl-alert" role="alert"><p><b>{escape(what)}</b></p>{more}</div>'


def progress_bar(progress: Progress | None, done: int) -> str:
    """How far the action is that runs now, or an empty line of that height; and how many have ended."""
    if progress is None:
        return f'<div class="dl-work" data-done="{done}"></div>'
    words = escape(progress.words)
    if progress.share is None:
        state, endless, bar = "", " dl-endless", "<span></span>"
    else:
        percent = round(100 * min(max(progress.share, 0.0), 1.0))
        state, endless, bar = f' aria-valuenow="{percent}"', "", f'<span style="width: {percent}%"></span>'
    return (
        f'<div class="dl-work"><div class="dl-bar{endless}" role="progressbar" aria-label="{words}" '
        f'aria-valuemin="0" aria-valuemax="100"{state}>{bar}</div>{words}</div>'
    )


def sentences(told: Sequence[str]) -> str:
    """What happened, as a list that a screen reader reads out when it changes."""
    shown = list(told[:SENTENCES])
    if len(told) > SENTENCES:
        shown.append(f"and {len(told) - SENTENCES:,} more")
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in shown)
    listed = f'<ul class="dl-happened">{items}</ul>' if items else ""
    return f'<div role="status">{listed}</div>'


def table(frame: pd.DataFrame, caption: str = "", *, index: bool = False, header: bool = True) -> str:
    """A DataFrame as a table, its texts escaped."""
    html: str = frame.to_html(index=index, header=header, border=0, classes="dl-table", justify="left", na_rep="")
    if caption:
        html = html.replace(">", f"><caption>{escape(caption)}</caption>", 1)
    return f'<div class="dl-wide">{html}</div>'


def side_by_side(tables: Sequence[str]) -> str:
    """Tables in a row, as far as there is room."""
    return f'<div class="dl-side-by-side">{"".join(tables)}</div>' if tables else ""
