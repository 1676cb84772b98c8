"""Where everything of the picture goes: containers on the plates of their images, stores on their shelves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..describe import bytes_in_words, count
from ..storage import Image
from .geometry import MARGIN, WIDTH, Box, Layout, PlacedCard, PlacedItem, PlacedStack, Plate
from .scene import Card, Item, Key, Link, Scene, Stack
from .text import width
from .wiring import PILL, PILL_GAP, STORE_GAP, Grid, Seat, Spot, choose_sides, grid, pills, wires

__all__ = ["BOARD", "FOOT", "HEADER", "NARROW", "NOTE", "ROW", "lay_out"]

HEADER, NOTE = 40, 44
NARROW = 215  # a card below this width has its state on a line of its own
ROW = 17  # of the text in a writable layer
CARD_GAP = 18  # between two rows of cards, and below what stands on plates
PLATE, PLATE_TOP = 22, 8
FOOT, HIGH_FOOT = 29, 44  # the high one has its words below the image's name
STORE, COLUMNS = 92, 4
STORES_APART = 26  # from a shelf to the paths of the next
BOARD, CAPTION = 7, 30


@dataclass
class _Line:
    """Stacks side by side, each with its first column; `used` columns of the grid."""

    stacks: list[tuple[Stack, int]]
    used: int = 0


def lay_out(scene: Scene) -> Layout:
    """Give everything its place."""
    total = sum(len(stack.cards) for stack in scene.stacks)
    columns = max(1, total if total <= 4 else 3 if total <= 6 else 4)
    lines = _lines(scene.stacks, columns)
    seats = [
        Seat(card, at, number // columns, first + number % columns)
        for at, line in enumerate(lines)
        for stack, first in line.stacks
        for number, card in enumerate(stack.cards)
    ]
    # Where stores go depends on the cards, and the cards' width on the wires to the stores: so from even columns first.
    nominal = {seat.card.key: WIDTH * (seat.column + 0.5) / columns for seat in seats}
    spots = _spots(scene.items, scene.links, nominal)
    choose_sides(seats, scene.links, nominal, spots, _store_width(len(spots)))
    table = grid(seats, columns)

    top = HEADER + (NOTE if scene.note else 0) + 10
    stacks, bottom = _place_stacks(lines, table, columns, top, *_detail(total))
    empty = None if total else Box(MARGIN, top, WIDTH - 2 * MARGIN, 88)
    bottom = empty.bottom if empty else bottom
    boxes = {placed.card.key: placed.box for stack in stacks for placed in stack.cards}
    floor = bottom + (min(110, 36 + 8 * len(scene.links)) if scene.links else 24)
    items, boards = _place_items(scene, {key: box.middle for key, box in boxes.items()}, floor)
    ends = pills(scene.links, items)
    drawn = wires(seats, boxes, table.channels, items, ends, (bottom, floor))
    height = (boards[-1] + BOARD if boards else floor + 30) + CAPTION
    shown = tuple(dict.fromkeys(ends.values()))
    return Layout(height, stacks, tuple(items.values()), shown, drawn, floor, boards, empty)


def _detail(containers: int) -> tuple[int, int]:
    """How many files of a container, and how many layers of an image are shown, by the number of containers."""
    return (6, 4) if containers <= 2 else (4, 4) if containers <= 6 else (2, 2)


def _lines(stacks: Sequence[Stack], columns: int) -> list[_Line]:
    """Stacks into lines of the grid, each in the first that has room for it."""
    lines: list[_Line] = []
    for stack in stacks:
        span = min(len(stack.cards), columns)
        line = next((line for line in lines if columns - line.used >= span), None)
        if line is None:
            line = _Line([])
            lines.append(line)
        line.stacks.append((stack, line.used))
        line.used = columns if len(stack.cards) > columns else line.used + span
    return lines


def _place_stacks(
    lines: Sequence[_Line], table: Grid, columns: int, top: float, rows: int, plates: int
) -> tuple[tuple[PlacedStack, ...], float]:
    """Cards and plates of every stack, and where they end."""
    placed, y = [], top
    heading = 34 if table.card_width >= NARROW else 50
    for line in lines:
        rows_of_cards = []
        for row in range(1 + max((len(stack.cards) - 1) // columns for stack, _ in line.stacks)):
            cards = [card for stack, _ in line.stacks for card in stack.cards[row * columns : (row + 1) * columns]]
            lines_shown = max(1, *(_rows(card, rows) for card in cards))
            rows_of_cards.append((y, heading + 40 + ROW * lines_shown, lines_shown))
            y += rows_of_cards[-1][1] + CARD_GAP
        y -= CARD_GAP
        ends = [y]
        for stack, first in line.stacks:
            cards_placed = []
            for number, card in enumerate(stack.cards):
                card_y, height, lines_shown = rows_of_cards[number // columns]
                box = Box(table.lefts[first + number % columns], card_y, table.card_width, height)
                cards_placed.append(PlacedCard(card, box, heading, lines_shown))
            layers: tuple[Plate, ...] = ()
            if stack.image:
                left = table.lefts[first]
                right = table.lefts[min(first + len(stack.cards), columns) - 1] + table.card_width
                layers = _plates(stack, stack.image, Box(left, y + PLATE_TOP, right - left, PLATE), plates)
                ends.append(layers[-1].box.bottom)
            placed.append(PlacedStack(stack, tuple(cards_placed), layers))
        y = max(ends) + CARD_GAP + 8
    return tuple(placed), y - CARD_GAP - 8


def _rows(card: Card, most: int) -> int:
    """How many lines the card's writable layer needs."""
    return len(card.lines) - 1 if card.lines else min(card.files, most)


def _plates(stack: Stack, image: Image, top: Box, most: int) -> tuple[Plate, ...]:
    """The image's plates from the `top` one down; more than `most` layers are partly one plate."""
    layers = [(layer.instruction, layer.size) for layer in image.layers]
    if len(layers) > most:
        hidden = layers[most - 2 : -1]
        layers = [
            *layers[: most - 2],
            (f"… {count(len(hidden), 'layer')}", sum(size for _, size in hidden)),
            layers[-1],
        ]
    at = [Box(top.x, top.y + PLATE * number, top.w, PLATE) for number in range(len(layers) + 1)]
    users = sum(1 for card in stack.cards if not card.ghost)
    words = "stand-in image · read-only" if image.stand_in else "image · read-only"
    words += f" · shared by {users}" * (users > 1)
    beside = width(image.name, 12, mono=True) + 16 + width(words, 11) <= top.w - 40
    foot = Plate(Box(top.x, at[-1].y, top.w, FOOT if beside else HIGH_FOOT), image.name, words, is_foot=True)
    return (*(Plate(box, left, bytes_in_words(size)) for box, (left, size) in zip(at, layers, strict=False)), foot)


# Stores


def _place_items(
    scene: Scene, centres: Mapping[Key, float], floor: float
) -> tuple[dict[Key, PlacedItem], tuple[float, ...]]:
    """Stores on shelves below `floor`, and the boards' y."""
    spots = _spots(scene.items, scene.links, centres)
    linked = {link.item for link in scene.links}
    wide = _store_width(len(scene.items))
    placed: dict[Key, PlacedItem] = {}
    boards: list[float] = []
    y = floor
    for row in sorted({row for _, row in spots.values()}):
        here = [item for item in scene.items if spots[item.key][1] == row]
        paths = PILL + PILL_GAP if any(item.key in linked for item in here) else 6
        y += paths + (14 if row == 0 else STORES_APART if paths > 6 else 16)
        placed |= {item.key: PlacedItem(item, Box(spots[item.key][0] - wide / 2, y, wide, STORE), row) for item in here}
        y += STORE
        boards.append(y)
        y += BOARD
    return placed, tuple(boards)


def _store_width(number: int) -> float:
    return 184 if number <= 3 else (WIDTH - 2 * MARGIN - (COLUMNS - 1) * STORE_GAP) / COLUMNS


def _spots(items: Sequence[Item], links: Sequence[Link], centres: Mapping[Key, float]) -> dict[Key, Spot]:
    """Each store's middle and shelf: below the containers that use it where there is room, the unused after them."""
    users = {item.key: [centres[link.card] for link in links if link.item == item.key] for item in items}
    linked = sorted((item for item in items if users[item.key]), key=lambda item: fmean(users[item.key]))
    rest = [item for item in items if not users[item.key]]
    pitch = _store_width(len(items)) + STORE_GAP
    if len(items) <= COLUMNS:
        wanted = [fmean(users[item.key]) for item in linked] + [WIDTH if linked else WIDTH / 2] * len(rest)
        return {item.key: (x, 0) for item, x in zip([*linked, *rest], _apart(wanted, pitch), strict=True)}
    shelves = -(-len(linked) // COLUMNS)
    slots = {(at % shelves, at // shelves): item for at, item in enumerate(linked)}
    free = ((row, column) for row in range(len(items)) for column in range(COLUMNS) if (row, column) not in slots)
    slots |= dict(zip(free, rest, strict=False))
    start = MARGIN + _store_width(len(items)) / 2
    return {
        item.key: (start + column * pitch, row) for (row, column), item in sorted(slots.items(), key=lambda s: s[0])
    }


def _apart(wanted: Sequence[float], pitch: float) -> list[float]:
    """The places nearest to those wanted (in order) that are a pitch apart and in the picture."""
    groups: list[list[float]] = []  # of those that touch: where each would have the group's first be
    for at, x in enumerate(wanted):
        groups.append([x - at * pitch])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    lowest = MARGIN + (pitch - STORE_GAP) / 2
    highest = WIDTH - lowest - (len(wanted) - 1) * pitch
    firsts = [max(lowest, min(fmean(group), highest)) for group in groups for _ in group]
    return [first + at * pitch for at, first in enumerate(firsts)]
