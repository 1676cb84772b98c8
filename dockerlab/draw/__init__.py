"""The storage picture: a snapshot as SVG, by pure functions; no widget and no engine is needed."""

from __future__ import annotations

from html import escape
from zlib import crc32

from ..describe import count, describe
from ..storage import Snapshot
from .containers import draw_stack
from .frame import draw_emptiness, draw_ground, draw_header
from .layout import lay_out
from .palette import Theme
from .pen import Pen
from .scene import scene
from .stores import draw_item, draw_pill, draw_socket, draw_wire
from .text import clean

__all__ = ["Theme", "draw"]


def draw(snapshot: Snapshot, previous: Snapshot | None = None, theme: Theme | None = None) -> str:
    """The picture of a snapshot as an SVG element, 800 pixels wide where there is room.

    With the `previous` snapshot it marks what is new, and shows what is gone as a ghost with what went with it.
    Without a theme its colours follow JupyterLab's, so it belongs into a page; with one they are literal, so it can
    be a file, an `<img>` or a PNG.
    """
    shown = scene(snapshot, previous)
    layout = lay_out(shown)
    pen = Pen(theme)
    body = "".join(
        [
            draw_ground(pen, layout),
            draw_header(pen, shown),
            pen.group(
                draw_emptiness(pen, layout),
                *(draw_wire(pen, wire) for wire in sorted(layout.wires, key=lambda wire: not wire.ghost)),
                *(draw_stack(pen, stack) for stack in layout.stacks),
                *(draw_socket(pen, wire) for wire in layout.wires),
                *(draw_item(pen, item) for item in layout.items),
                *(draw_pill(pen, pill) for pill in layout.pills),
                opacity=0.7 if snapshot.note else 1,
            ),
        ]
    )
    title, told = _title(snapshot), describe(snapshot)
    key = f"dl{crc32(body.encode()):08x}"
    head = f'<title>{escape(title)}</title><desc id="{key}">{escape(_told(told))}</desc>'
    return pen.whole(layout.height, title, body, key=key, head=head)


def _title(snapshot: Snapshot) -> str:
    numbers = (
        (len(snapshot.containers), "container"),
        (len(snapshot.volumes), "volume"),
        (len(snapshot.folders), "host folder"),
        (len(snapshot.memories), "memory mount"),
    )
    parts = [count(number, noun) for number, noun in numbers if number]
    return f"Storage of the lab {clean(snapshot.lab)}: {', '.join(parts) or 'nothing yet'}"


def _told(text: str) -> str:
    return "\n".join(clean(line) for line in text.split("\n"))
