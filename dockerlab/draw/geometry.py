"""Places in the picture, in its pixels, from its upper left corner."""

from __future__ import annotations

from dataclasses import dataclass

from .scene import Card, Item, Key, Stack

__all__ = ["MARGIN", "WIDTH", "Box", "Layout", "Pill", "PlacedCard", "PlacedItem", "PlacedStack", "Plate", "Wire"]

WIDTH = 800
MARGIN = 24


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.y + self.h

    @property
    def middle(self) -> float:
        """Half way from left to right."""
        return self.x + self.w / 2


@dataclass(frozen=True)
class PlacedCard:
    """A container's place, the height of its heading, and how many lines its writable layer has room for."""

    card: Card
    box: Box
    heading: float
    rows: int


@dataclass(frozen=True)
class Plate:
    """A layer's place, with what it says at its left and right; the lowest is the image's foot, with its name."""

    box: Box
    left: str
    right: str
    is_foot: bool = False


@dataclass(frozen=True)
class PlacedStack:
    """An image's plates below its cards; no plates for containers that are only counted."""

    stack: Stack
    cards: tuple[PlacedCard, ...]
    plates: tuple[Plate, ...]


@dataclass(frozen=True)
class PlacedItem:
    """A store's place; `row` counts the shelves from the top."""

    item: Item
    box: Box
    row: int


@dataclass(frozen=True)
class Pill:
    """A path in the container, on the wire just above the store's top."""

    item: Key
    box: Box
    kind: str
    target: str
    read_only: bool
    ghost: bool
    store_top: float


@dataclass(frozen=True)
class Wire:
    """The way of a mount from its card's side, at `port`, to its pill, as an SVG path."""

    card: Key
    item: Key
    d: str
    kind: str
    ghost: bool
    port: tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Everything's place; `floor` is where the stores' ground begins, `boards` are the y of the shelves they stand on.

    `empty` is the place that says so where there is no container.
    """

    height: float
    stacks: tuple[PlacedStack, ...]
    items: tuple[PlacedItem, ...]
    pills: tuple[Pill, ...]
    wires: tuple[Wire, ...]
    floor: float
    boards: tuple[float, ...]
    empty: Box | None
