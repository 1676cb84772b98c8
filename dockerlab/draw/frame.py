"""What stands around the containers and stores: heading, note, ground, shelves, and what an empty picture says."""

from __future__ import annotations

from .geometry import MARGIN, WIDTH, Layout
from .layout import BOARD, HEADER, NOTE
from .pen import Pen
from .scene import Scene
from .text import elide, elide_end, width

__all__ = ["draw_emptiness", "draw_ground", "draw_header"]

OUTSIDE = "outside the writable layer"
KEPT = "what is here outlives the container; memory does not"


def draw_header(pen: Pen, scene: Scene) -> str:
    """The heading, and below it the note that the picture may be behind."""
    engine = elide_end(scene.engine, 340, 11)
    x = MARGIN + width("Storage now", 15, bold=True) + 8
    name = elide(f"lab {scene.lab}", WIDTH - MARGIN - width(engine, 11) - 16 - x, 12)
    parts = [
        pen.text(MARGIN, 27, "Storage now", size=15, bold=True),
        pen.text(x, 27, name, size=12, fill="muted"),
        pen.text(WIDTH - MARGIN, 27, engine, fill="muted", anchor="end"),
    ]
    return pen.group(*parts, kind="heading") + (_note(pen, scene.note) if scene.note else "")


def _note(pen: Pen, note: str) -> str:
    x, y, w = MARGIN, HEADER + 2, WIDTH - 2 * MARGIN
    return pen.group(
        pen.rect(x, y, w, NOTE - 14, stroke="lost", radius=5),
        pen.path(f"M{x + 20},{y + 8} l8,14 h-16 z m0,5 v4 m0,2.2 v1", stroke="lost"),
        pen.text(x + 38, y + 19.5, elide_end(note, w - 50, 11.5), size=11.5, fill="lost"),
        kind="note",
    )


def draw_ground(pen: Pen, layout: Layout) -> str:
    """The paper, the ground of the stores, and the boards that they stand on."""
    caption = layout.height - 11
    parts = [
        pen.rect(0, 0, WIDTH, layout.height, fill="paper"),
        pen.rect(0, layout.floor, WIDTH, layout.height - layout.floor, fill="shelf"),
        *(pen.rect(MARGIN - 10, y, WIDTH - 2 * MARGIN + 20, BOARD, fill="board", radius=2) for y in layout.boards),
        pen.text(MARGIN, caption, OUTSIDE, size=12, bold=True, fill="muted"),
        pen.text(WIDTH - MARGIN, caption, KEPT if layout.items else "nothing yet", fill="muted", anchor="end"),
    ]
    return "".join(parts)


def draw_emptiness(pen: Pen, layout: Layout) -> str:
    """What the picture says where there is no container."""
    box = layout.empty
    if box is None:
        return ""
    return pen.group(
        pen.rect(box.x, box.y, box.w, box.h, stroke="line", radius=9, dash="1.5 4"),
        pen.text(box.middle, box.y + 40, "no container", size=14, bold=True, fill="muted", anchor="middle"),
        pen.text(
            box.middle,
            box.y + 60,
            "docker run makes one, with a writable layer of its own",
            fill="muted",
            anchor="middle",
        ),
        kind="nothing",
    )
