"""The ways of the mounts: out of a card's side, down the gutter between the cards, in a curve to the store's path.

A gutter holds no text, each wire has its own channel in it, and the band above the stores holds nothing else: no wire
meets a text, and where one meets a plate it passes behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .geometry import MARGIN, WIDTH, Box, Pill, PlacedItem, Wire
from .pen import number
from .scene import Card, Key, Link
from .text import width

__all__ = ["PILL", "PILL_GAP", "STORE_GAP", "Grid", "Seat", "Spot", "choose_sides", "grid", "pills", "wires"]

CARD_WIDEST = 330
GUTTER = 22
FIRST, CHANNEL = 10, 7  # from a card's side to the first channel, and to each further one
BEND = 6
PILL, PILL_GAP = 18, 12
STORE_GAP = 24  # between two stores on a shelf
PILLS = 2  # paths above one store
DEPTHS = {"volume": 9, "bind": 9, "tmpfs": 6}  # of a wire's end, below the top of the store's box


Spot = tuple[float, int]  # a store's middle, and its shelf from the top


@dataclass
class Seat:
    """A card's place among the columns, and its mounts at each side, from the innermost channel to the outermost."""

    card: Card
    line: int
    row: int
    column: int
    left: list[Link] = field(default_factory=list)
    right: list[Link] = field(default_factory=list)


@dataclass(frozen=True)
class Grid:
    """The columns of cards; `channels` is each mount's x in its gutter."""

    card_width: float
    lefts: tuple[float, ...]
    channels: Mapping[Link, float]


def choose_sides(
    seats: Iterable[Seat], links: Sequence[Link], centres: Mapping[Key, float], spots: Mapping[Key, Spot], store: float
) -> None:
    """Share each card's mounts between its sides, by where their stores are, so that they cross little."""
    for seat in seats:
        centre = centres[seat.card.key]
        coming = {link: sum(_approach(spots[link.item], store, centre)) for link in links if link.card == seat.card.key}
        own = sorted(coming, key=lambda link: (coming[link], link.target))
        split = sum(1 for link in own if coming[link] < centre - 1)
        if len(own) > 1:
            split = max(len(own) // 3, min(split, len(own) - len(own) // 3))
        seat.left, seat.right = own[:split][::-1], own[split:]


def _approach(spot: Spot, store: float, start: float) -> tuple[float, float]:
    """The x at which a wire from `start` comes down to a store, and its place among those that do so there.

    To the first shelf that is above the store; to the others between the stores of the shelves above. Who leaves that
    passage first keeps to the side to which it turns.
    """
    x, row = spot
    if row == 0:
        return x, 0
    side = -1 if start < x else 1
    return x + side * (store / 2 + STORE_GAP / 2), -side * (1 - row / 100)


def grid(seats: Sequence[Seat], columns: int) -> Grid:
    """Make each gutter as wide as its wires need, and share the rest among the columns."""
    # What comes from above keeps outside, so that it meets no wire that leaves a card further down.
    upwards = sorted(seats, key=lambda seat: (-seat.line, -seat.row))
    rights = [[link for seat in upwards if seat.column == column for link in seat.right] for column in range(columns)]
    lefts = [[link for seat in upwards if seat.column == column for link in seat.left] for column in range(columns)]
    gutters = [
        _gutter(rights[at - 1] if at else (), lefts[at] if at < columns else (), at in (0, columns))
        for at in range(columns + 1)
    ]
    card_width = min(CARD_WIDEST, (WIDTH - sum(gutters)) / columns)
    x = (WIDTH - sum(gutters) - columns * card_width) / 2
    starts: list[float] = []
    channels: dict[Link, float] = {}
    for column in range(columns):
        x += gutters[column]
        starts.append(x)
        channels |= {link: x - FIRST - CHANNEL * at for at, link in enumerate(lefts[column])}
        x += card_width
        channels |= {link: x + FIRST + CHANNEL * at for at, link in enumerate(rights[column])}
    return Grid(card_width, tuple(starts), channels)


def _gutter(from_left: Sequence[Link], from_right: Sequence[Link], is_edge: bool) -> float:
    sides = [FIRST + CHANNEL * (len(links) - 1) for links in (from_left, from_right) if links]
    return max(MARGIN if is_edge else GUTTER, sum(sides) + (14 if is_edge else FIRST))


def pills(links: Sequence[Link], items: Mapping[Key, PlacedItem]) -> dict[Link, Pill]:
    """The path above its store of each mount; one that several containers share is there once."""
    found: dict[Link, Pill] = {}
    for key, placed in items.items():
        paths: dict[tuple[str, bool], list[Link]] = {}
        for link in links:
            if link.item == key:
                paths.setdefault((link.target, link.read_only), []).append(link)
        groups = [(target, read_only, group) for (target, read_only), group in paths.items()]
        if len(groups) > PILLS:
            rest = [link for _, _, group in groups[PILLS - 1 :] for link in group]
            groups = [*groups[: PILLS - 1], (f"{len(groups) - PILLS + 1} others", False, rest)]
        room = (placed.box.w + 16) / max(1, len(groups)) - 8
        for at, (target, read_only, group) in enumerate(groups):
            wide = min(room, width(target, 11, mono=True) + (40 if read_only else 20))
            middle = placed.box.middle + (at - (len(groups) - 1) / 2) * (room + 8)
            box = Box(middle - wide / 2, placed.box.y - PILL_GAP - PILL, wide, PILL)
            ghost = all(link.ghost for link in group)
            top = placed.box.y + DEPTHS[group[0].kind]
            pill = Pill(key, box, group[0].kind, target, read_only, ghost, top)
            found |= dict.fromkeys(group, pill)
    return found


def wires(
    seats: Sequence[Seat],
    boxes: Mapping[Key, Box],
    channels: Mapping[Link, float],
    items: Mapping[Key, PlacedItem],
    ends: Mapping[Link, Pill],
    band: tuple[float, float],
) -> tuple[Wire, ...]:
    """The way of every mount; `band` is the y where the containers end, and where the stores' ground begins."""
    passages = _passages(channels, items, ends)
    goals = {link: passages.get(pill) or _landing(link, pill, ends, channels) for link, pill in ends.items()}
    bends = _bends(channels, goals)
    drawn = []
    for seat in seats:
        box = boxes[seat.card.key]
        for links, edge, out in ((seat.left, box.x, -1), (seat.right, box.right, 1)):
            step = min(13.0, (box.h - 32) / max(1, len(links)))
            for at, link in enumerate(links):
                port = (edge, box.y + 18 + (len(links) - 1 - at) * step)
                x, pill = channels[link], ends[link]
                d = f"M{number(edge)},{number(port[1])} H{number(x - out * BEND)} "
                d += f"q{out * BEND},0 {out * BEND},{BEND} V{number(band[0])} "
                if pill in passages:
                    entry, leave = band[1] + 4, pill.box.y - 22
                    d += f"{_curve(x, band[0], goals[link], entry, bends[link])} V{number(leave)} "
                    d += _curve(goals[link], leave, _landing(link, pill, ends, channels), pill.box.y)
                else:
                    d += _curve(x, band[0], goals[link], pill.box.y, bends[link])
                drawn.append(Wire(link.card, link.item, d, link.kind, link.ghost, port))
    return tuple(drawn)


def _bends(channels: Mapping[Link, float], goals: Mapping[Link, float]) -> dict[Link, float]:
    """How far down the band each wire goes over, so that those of one direction lie apart there."""
    bends = {}
    for is_leftward in (True, False):
        together = [link for link, x in goals.items() if (x < channels[link]) is is_leftward]
        for at, link in enumerate(sorted(together, key=lambda link: channels[link], reverse=not is_leftward)):
            bends[link] = 0.5 + 0.36 * (at / (len(together) - 1) - 0.5 if len(together) > 1 else 0)
    return bends


def _landing(link: Link, pill: Pill, ends: Mapping[Link, Pill], channels: Mapping[Link, float]) -> float:
    """Where a wire meets its pill: side by side with the others that do, in the order in which they come."""
    arriving = sorted((other for other, end in ends.items() if end is pill), key=lambda other: channels[other])
    step = min(8.0, (pill.box.w - 16) / max(1, len(arriving)))
    return pill.box.middle + (arriving.index(link) - (len(arriving) - 1) / 2) * step


def _passages(
    channels: Mapping[Link, float], items: Mapping[Key, PlacedItem], ends: Mapping[Link, Pill]
) -> dict[Pill, float]:
    """For each pill below the first shelf, the x between the stores above at which its wires pass."""
    taken: dict[float, dict[Pill, float]] = {}
    for link, pill in ends.items():
        placed = items[pill.item]
        if placed.row and not any(pill in others for others in taken.values()):
            x, order = _approach((placed.box.middle, placed.row), placed.box.w, channels[link])
            taken.setdefault(x, {})[pill] = order
    return {
        pill: x + (at - (len(others) - 1) / 2) * 5
        for x, others in taken.items()
        for at, pill in enumerate(sorted(others, key=lambda pill: others[pill]))
    }


def _curve(x: float, y: float, to_x: float, to_y: float, bend: float = 0.5) -> str:
    middle = y + bend * (to_y - y)
    return f"C{number(x)},{number(middle)} {number(to_x)},{number(middle)} {number(to_x)},{number(to_y)}"
