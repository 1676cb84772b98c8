"""What is outside the writable layer: volumes as drums, host folders as folders, memory as chips."""

from __future__ import annotations

from .containers import DASHED, DOTTED, draw_tag
from .geometry import Pill, PlacedItem, Wire
from .pen import Pen, number
from .text import elide, elide_end, elide_start

__all__ = ["draw_item", "draw_pill", "draw_socket", "draw_wire"]

LID = 9  # half the height of a drum's lid
TAB = 58


def draw_item(pen: Pen, placed: PlacedItem) -> str:
    """A store with its name and what is known of it."""
    item = placed.item
    shape = {"volume": _drum, "bind": _folder, "tmpfs": _chip}[item.kind]
    parts = [shape(pen, placed), _words(pen, placed)]
    if item.tag:
        ink = "lost" if item.ghost else "ink"
        parts.append(draw_tag(pen, placed.box.right - 6, placed.box.bottom - 6, item.tag, ink=ink, anchor="end"))
    mark = {"removed": "removed", "new": "added"}.get(item.tag, "changed" if item.tag else "")
    kind = item.kind if item.number == 1 else "stores"
    count = str(item.number) if item.number > 1 else ""
    return pen.group(*parts, title=item.told, kind=kind, name=item.name, mark=mark, count=count)


def draw_wire(pen: Pen, wire: Wire) -> str:
    """A mount's way, with a rim of the paper's colour, so that where two meet one visibly passes over the other."""
    if wire.ghost:
        return pen.group(pen.path(wire.d, stroke="muted", weight=1.5, dash=DOTTED), kind="mount", mark="idle")
    rim, line = pen.path(wire.d, stroke="paper", weight=5.5), pen.path(wire.d, stroke=f"{wire.kind}-edge", weight=2)
    return pen.group(rim, line, kind="mount")


def draw_socket(pen: Pen, wire: Wire) -> str:
    """Where a mount leaves its container."""
    x, y = wire.port
    edge = "muted" if wire.ghost else f"{wire.kind}-edge"
    return pen.circle(x, y, 4, fill="card", stroke=edge, weight=1.4 if wire.ghost else 2)


def draw_pill(pen: Pen, pill: Pill) -> str:
    """The path in the container at which the store is seen, and the wire's end in the store."""
    box = pill.box
    edge = "muted" if pill.ghost else f"{pill.kind}-edge"
    dash = DOTTED if pill.ghost else ""
    end = pen.path(
        f"M{number(box.middle)},{number(box.bottom)} V{number(pill.store_top)}", stroke=edge, weight=2, dash=dash
    )
    badge = 20 if pill.read_only else 0
    path = elide(pill.target, box.w - 16 - badge, 11, mono=True)
    parts = [
        end,
        "" if pill.ghost else pen.circle(box.middle, pill.store_top, 3.5, fill=edge),
        pen.rect(box.x, box.y, box.w, box.h, fill="paper", stroke=edge, radius=9, weight=1.4, dash=dash),
        pen.text(box.x + 9, box.y + 13, path, mono=True, fill="muted" if pill.ghost else "ink"),
    ]
    if badge:
        parts.append(pen.text(box.right - 9, box.y + 13, "ro", bold=True, fill=edge, anchor="end"))
    return pen.group(*parts, kind="path", name=pill.target, ro="yes" if pill.read_only else "")


def _words(pen: Pen, placed: PlacedItem) -> str:
    item, box = placed.item, placed.box
    room = box.w - (30 if item.kind == "tmpfs" else 24)
    y = box.y + {"volume": 37, "bind": 36, "tmpfs": 28}[item.kind] + (8 if item.kind == "tmpfs" and item.ghost else 0)
    muted = "muted" if item.ghost or not item.named else "ink"
    shorten = elide_start if item.kind == "bind" else elide
    name = shorten(item.name, room - (12 if item.named else 0), 13, bold=True, mono=item.number == 1)
    parts = [
        pen.text(
            box.middle,
            y,
            name,
            size=13,
            bold=True,
            mono=item.number == 1,
            fill=muted,
            anchor="middle",
            struck=item.ghost and item.kind != "tmpfs",
        )
    ]
    for at, line in enumerate(item.lines):
        is_end = item.kind == "tmpfs" and at == len(item.lines) - 1
        ink = "lost" if item.ghost and at == len(item.lines) - 1 else f"{item.kind}-edge" if is_end else "muted"
        words = elide_end(line, room, 11, bold=ink != "muted")
        parts.append(pen.text(box.middle, y + 17 + 15 * at, words, fill=ink, bold=ink != "muted", anchor="middle"))
    return "".join(parts)


def _drum(pen: Pen, placed: PlacedItem) -> str:
    box, item = placed.box, placed.item
    x, w, rx = number(box.x), number(box.w), number(box.w / 2)
    edge = "muted" if item.ghost else "volume-edge"
    face, lid = ("", "") if item.ghost else ("volume", "volume-top")
    dash = DOTTED if item.ghost else ""
    parts = []
    for by in (8, 4, 0) if item.number > 1 else (0,):
        start, depth = f"M{x},{number(box.y + LID - by)}", number(box.h - 2 * LID)
        body = f"{start} v{depth} a{rx},{LID} 0 0 0 {w},0 v-{depth}"
        rim = f"{start} a{rx},{LID} 0 0 1 {w},0 a{rx},{LID} 0 0 1 -{w},0 z"
        parts += [pen.path(body, fill=face, stroke=edge, dash=dash), pen.path(rim, fill=lid, stroke=edge, dash=dash)]
    return "".join(parts)


def _folder(pen: Pen, placed: PlacedItem) -> str:
    box = placed.box
    x, y, w, h = box.x, box.y, box.w, box.h
    back = f"M{number(x)},{number(y + 16)} v-11 a5,5 0 0 1 5,-5 h{TAB} l9,9 H{number(x + w - 5)} a5,5 0 0 1 5,5 v2 z"
    front = (
        f"M{number(x)},{number(y + 16)} H{number(x + w)} V{number(y + h - 5)} a5,5 0 0 1 -5,5 "
        f"H{number(x + 5)} a5,5 0 0 1 -5,-5 z"
    )
    return pen.path(back, fill="bind-top", stroke="bind-edge") + pen.path(front, fill="bind", stroke="bind-edge")


def _chip(pen: Pen, placed: PlacedItem) -> str:
    box, ghost = placed.box, placed.item.ghost
    edge = "muted" if ghost else "tmpfs-edge"
    pins, step = 9, (box.w - 40) / 8
    d = "".join(
        f"M{number(box.x + 20 + step * at)},{number(y)} v6" for at in range(pins) for y in (box.y, box.bottom - 6)
    )
    return pen.path(d, stroke=edge, weight=2.4 if not ghost else 1.4) + pen.rect(
        box.x,
        box.y + 6,
        box.w,
        box.h - 12,
        fill="" if ghost else "tmpfs",
        stroke=edge,
        radius=4,
        dash=DOTTED if ghost else DASHED,
    )
