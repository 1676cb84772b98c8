"""Containers and images: cards with their writable layer, on the read-only plates that they share."""

from __future__ import annotations

from ..describe import MARKS
from .geometry import Box, PlacedCard, PlacedStack, Plate
from .layout import FOOT, NARROW, ROW
from .pen import Pen, number
from .scene import Row
from .text import elide, elide_end, first_fitting, width

__all__ = ["draw_stack", "draw_tag", "slab"]

INSET = 10  # from a card's side to its writable layer
DOTTED = "1.5 4"
DASHED = "6 4"
SHORTEST_PATH = 120
TOP = 8  # the upper face of a plate, seen from the front


def draw_stack(pen: Pen, placed: PlacedStack) -> str:
    """The plates of an image, and on them its containers."""
    parts = []
    if placed.plates and placed.stack.image:
        image = placed.stack.image
        plates = [_plate(pen, plate, is_top=at == 0) for at, plate in enumerate(placed.plates)]
        told = "\n".join([f"image {image.name}", *(f"{layer.instruction}" for layer in image.layers)])
        parts.append(pen.group(*plates, title=told, kind="image", name=image.name))
    parts += [_card(pen, card) for card in placed.cards]
    return "".join(parts)


def slab(pen: Pen, box: Box, *, face: str, top: str, edge: str) -> str:
    """A thick plate seen from the front: its face, and its upper side behind it."""
    x, y, right = number(box.x), number(box.y), number(box.right)
    upper = f"M{x},{y} l{TOP},-{TOP} H{number(box.right - TOP)} L{right},{y} z"
    return pen.path(upper, fill=top, stroke=edge, weight=1.2) + pen.rect(
        box.x, box.y, box.w, box.h, fill=face, stroke=edge, weight=1.2
    )


def draw_tag(pen: Pen, x: float, y: float, words: str, *, ink: str = "ink", anchor: str = "start") -> str:
    """A small flag with what just happened, its middle at the height `y`."""
    wide = width(words, 10.5, bold=True) + 14
    left = x if anchor == "start" else x - wide
    return pen.rect(left, y - 8.5, wide, 17, fill="paper", stroke=ink, radius=4, weight=1.3) + pen.text(
        left + wide / 2, y + 3.7, words, size=10.5, bold=True, fill=ink, anchor="middle"
    )


def _plate(pen: Pen, plate: Plate, *, is_top: bool) -> str:
    box = plate.box
    face = "plate-foot" if plate.is_foot else "plate"
    parts = [
        slab(pen, box, face=face, top="plate-top", edge="plate-edge")
        if is_top
        else pen.rect(box.x, box.y, box.w, box.h, fill=face, stroke="plate-edge", weight=1.2)
    ]
    left, right = box.x + 12, box.right - 12
    if not plate.is_foot:
        size_width = width(plate.right, 11)
        words = elide_end(plate.left, right - left - size_width - 12, 11, mono=True)
        parts.append(pen.text(left, box.y + 15, words, mono=True))
        parts.append(pen.text(right, box.y + 15, plate.right, fill="muted", anchor="end"))
        return "".join(parts)
    left += 15
    parts.append(_lock(pen, box.x + 12, box.y + 9))
    parts.append(
        pen.text(left, box.y + 19, elide(plate.left, right - left, 12, mono=True), size=12, bold=True, mono=True)
    )
    if box.h > FOOT:
        parts.append(pen.text(left, box.y + 35, elide_end(plate.right, right - left, 11), fill="muted"))
    else:
        parts.append(pen.text(right, box.y + 19, plate.right, fill="muted", anchor="end"))
    return "".join(parts)


def _lock(pen: Pen, x: float, y: float) -> str:
    shackle = f"M{number(x + 2)},{number(y + 5.5)} v-2.5 a2.8,2.8 0 0 1 5.6,0 v2.5"
    return pen.path(shackle, stroke="plate-edge", weight=1.6) + pen.rect(
        x, y + 5.5, 9.6, 6.8, fill="plate-edge", radius=1.2
    )


# A card


def _card(pen: Pen, placed: PlacedCard) -> str:
    card, box = placed.card, placed.box
    if card.number > 1:
        return pen.group(_many(pen, placed), title=card.told, kind="containers", count=str(card.number))
    ghost = card.ghost
    parts = [
        pen.rect(
            box.x,
            box.y,
            box.w,
            box.h,
            fill="" if ghost else "card",
            stroke="line",
            radius=9,
            weight=1.6,
            dash=DOTTED if ghost else "",
        ),
        _heading(pen, placed),
        _writable_layer(pen, placed),
    ]
    if card.tag and not ghost:
        parts.append(draw_tag(pen, box.x + 12, box.y, card.tag))
    mark = {"removed": "removed", "new": "added"}.get(card.tag, "changed" if card.tag else "")
    return pen.group(*parts, title=card.told, kind="container", name=card.name, state=card.state, mark=mark)


def _heading(pen: Pen, placed: PlacedCard) -> str:
    card, box = placed.card, placed.box
    narrow = box.w < NARROW
    ink = "lost" if card.ghost else "muted"
    state_width = width(card.state, 11, bold=card.ghost) + 16
    room = box.w - 28 - (0 if narrow else state_width + 12)
    name = elide(card.name, room, 14, bold=True, mono=True)
    parts = [
        pen.text(
            box.x + 14,
            box.y + 23,
            name,
            size=14,
            bold=True,
            mono=True,
            fill="muted" if card.ghost else "ink",
            struck=card.ghost,
        )
    ]
    beside = width(name, 14, mono=True) + 8
    if beside + width("container", 11) <= room:
        parts.append(pen.text(box.x + 14 + beside, box.y + 23, "container", fill="muted"))
    x = box.x + 14 if narrow else box.right - 14 - state_width
    y = box.y + (40 if narrow else 23)
    parts.append(_state(pen, x + 5, y - 4, card.state))
    parts.append(pen.text(x + 15, y, card.state, fill=ink, bold=card.ghost))
    return "".join(parts)


def _state(pen: Pen, x: float, y: float, state: str) -> str:
    """A container's state by shape: a disc runs, a square stands, two bars pause, a ring was never started."""
    if state == "running":
        return pen.circle(x, y, 4.5, fill="running")
    if state == "removed":
        return pen.path(f"M{number(x - 4)},{number(y - 4)} l8,8 m0,-8 l-8,8", stroke="lost", weight=2)
    if state == "paused":
        return pen.rect(x - 4, y - 4, 3, 8, fill="muted") + pen.rect(x + 1, y - 4, 3, 8, fill="muted")
    if state == "created":
        return pen.circle(x, y, 3.8, stroke="muted", weight=1.6)
    return pen.rect(x - 4, y - 4, 8, 8, fill="muted", radius=1)


def _writable_layer(pen: Pen, placed: PlacedCard) -> str:
    card, box = placed.card, placed.box
    y = box.y + placed.heading
    layer = Box(box.x + INSET, y + TOP, box.w - 2 * INSET, box.bottom - INSET - y - TOP)
    if card.ghost:
        body = pen.rect(layer.x, y, layer.w, layer.h + TOP, stroke="lost", radius=3, weight=1.4, dash=DASHED)
    else:
        body = slab(pen, layer, face="layer", top="layer-top", edge="layer-edge")
    left, right, first = layer.x + 11, layer.right - 11, layer.y + 15
    wordings = ("writable layer, gone with it", "writable layer, lost", "lost")
    ink = "lost" if card.ghost else "ink"
    room = right - left - width(card.size, 11.5, bold=True) - 8
    words = first_fitting(wordings if card.ghost else ("writable layer", "writable"), room, 11.5, bold=True)
    parts = [
        body,
        pen.text(left, first, words, size=11.5, bold=True, fill=ink),
        pen.text(right, first, card.size, size=11.5, bold=True, fill=ink, anchor="end"),
    ]
    shown = card.rows[: placed.rows]
    if card.files > len(shown):
        shown = card.rows[: placed.rows - 1]  # the last line is for how many more there are
    for at, row in enumerate(shown):
        parts.append(_row(pen, row, left, right, first + ROW * (at + 1), lost=card.ghost))
    if not card.files:
        nothing = "nothing was in it" if card.ghost else "nothing written"
        parts.append(pen.text(left, first + ROW, nothing, fill="muted"))
    elif card.files > len(shown):
        rest = f"and {card.files - len(shown):,} more" if shown else f"{card.files:,} files"
        parts.append(pen.text(left + 16, first + ROW * (len(shown) + 1), rest, fill="muted"))
    return pen.group(*parts, kind="writable-layer")


def _row(pen: Pen, row: Row, left: float, right: float, y: float, *, lost: bool) -> str:
    # As many words as fit beside the whole path; beside one that is cut the shortest, if much of it stays and they say
    # more than the mark does.
    shortest = "" if row.mark == MARKS["A"] else row.word.partition(",")[0]
    wordings = [f"just {row.word}"] * row.fresh + [row.word, shortest]
    room = right - left - 16
    whole = width(row.path, 11.5, bold=row.fresh, mono=True)
    fitting = (words for words in wordings if width(words, 10.5, bold=row.fresh) + 12 <= room - whole)
    word = next(fitting, wordings[-1])
    taken = width(word, 10.5, bold=row.fresh) + 12 if word else 0
    if room - taken < min(SHORTEST_PATH, whole):
        word, taken = "", 0
    path = elide(row.path, room - taken, 11.5, bold=row.fresh, mono=True)
    ink = "lost" if lost else "ink"
    data = {"+": "added", "~": "changed", "✕": "lost"}.get(row.mark, "deleted")
    return pen.group(
        pen.text(left + 4, y, row.mark, size=12, bold=True, mono=True, fill=ink, anchor="middle"),
        pen.text(left + 16, y, path, size=11.5, bold=row.fresh, mono=True, fill=ink),
        pen.text(right, y, word, size=10.5, bold=row.fresh, fill="muted", anchor="end") if word else "",
        mark=data,
        path=row.path,
    )


def _many(pen: Pen, placed: PlacedCard) -> str:
    """Containers that are only counted: a pile of cards."""
    card, box = placed.card, placed.box
    parts = [
        pen.rect(box.x + by, box.y + 8 - by, box.w - 8, box.h - 8, fill="card", stroke="line", radius=9)
        for by in (8, 4, 0)
    ]
    parts.append(pen.text(box.x + 14, box.y + 32, card.name, size=14, bold=True))
    parts.append(pen.text(box.x + 22 + width(card.name, 14, bold=True), box.y + 32, "containers", fill="muted"))
    for at, line in enumerate(card.lines):
        words = elide_end(line, box.w - 36, 11)
        parts.append(pen.text(box.x + 14, box.y + 52 + ROW * at, words, fill="muted"))
    return "".join(parts)
