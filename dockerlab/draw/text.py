"""How wide text is at most, whatever font shows it, and how it is made to fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

__all__ = ["clean", "elide", "elide_end", "elide_start", "first_fitting", "width"]

# Advance widths of DejaVu Sans for U+0020 to U+007E in hundredths of an em: of the fonts that stand behind `system-ui`
# and `sans-serif` it is the widest, so what fits by it fits in the others.
_REGULAR = (
    "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 84 53 "
    "100 68 69 70 77 63 58 77 75 29 29 66 56 86 75 79 60 79 69 63 61 73 68 99 69 61 69 39 34 39 84 50 "
    "50 61 63 55 63 62 35 63 63 28 28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 34 64 84"
)
_BOLD = (
    "35 46 52 84 70 100 87 31 46 46 52 84 38 42 38 37 70 70 70 70 70 70 70 70 70 70 40 40 84 84 84 58 "
    "100 77 76 73 83 68 68 82 84 37 37 77 64 100 84 85 73 85 77 72 68 81 77 110 77 72 73 46 37 46 84 50 "
    "50 67 72 59 72 68 44 72 71 34 34 67 34 104 71 69 72 72 49 60 48 71 65 92 65 65 58 71 37 71 84"
)
_WIDTHS = {
    bold: {chr(32 + at): int(value) / 100 for at, value in enumerate(table.split())}
    | {"·": 0.38, "…": 1.0, "\N{MINUS SIGN}": 0.84}
    for bold, table in ((False, _REGULAR), (True, _BOLD))
}
_MONO = 0.605
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """The text without what XML can't hold or what would turn its direction; such characters show as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "\ufffd" if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") else character
        for character in text
    )


def width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """How wide the text is at most, in the picture's pixels."""
    known = _WIDTHS[bold]
    if text.isascii() and text.isprintable():
        return size * (_MONO * len(text) if mono else sum(map(known.__getitem__, text)))
    return size * sum(_MONO if mono and " " <= c <= "~" else _em(c, known, mono=mono) for c in text)


def _em(character: str, known: dict[str, float], *, mono: bool) -> float:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.4 if character > "\U0001f000" else 1.05  # emoji are wider than their em
    if character in known and not mono:
        return known[character]
    if character < "\u0590":  # Latin, Greek, Cyrillic, which monospaced fonts have too
        return _MONO if mono else (1.35 if character.isupper() else 0.9)
    return 1.2


def elide(text: str, room: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """The text, its middle replaced by … where it is wider than `room`: a path keeps its start and its file's name."""
    return _fit(text, room, lambda t: width(t, size, bold=bold, mono=mono), share=0.4)


def elide_end(text: str, room: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """The text, its end replaced by … where it is wider than `room`."""
    return _fit(text, room, lambda t: width(t, size, bold=bold, mono=mono), share=1.0)


def elide_start(path: str, room: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """A path, its first folders replaced by … where it is wider than `room`: the last ones tell which it is."""
    path = clean(path)
    ends = [f"…{path[at:]}" for at, character in enumerate(path) if at and character == "/"]
    fitting = (text for text in (path, *ends) if width(text, size, bold=bold, mono=mono) <= room)
    return next(fitting, None) or elide([path, *ends][-1], room, size, bold=bold, mono=mono)


def first_fitting(wordings: Sequence[str], room: float, size: float, *, bold: bool = False) -> str:
    """The first of several wordings, longest first, that fits; the last one is cut where none does."""
    fitting = (words for words in wordings if width(words, size, bold=bold) <= room)
    return next(fitting, None) or elide_end(wordings[-1], room, size, bold=bold)


def _fit(text: str, room: float, measure: Callable[[str], float], *, share: float) -> str:
    text = clean(text)
    if measure(text) <= room:
        return text
    low, high = 0, min(len(text), 400)  # how many characters stay; the widths add up, so it can be halved
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(_shortened(text, middle, share)) <= room else (low, middle - 1)
    return _shortened(text, low, share) if low else ("…" if measure("…") <= room else "")


def _shortened(text: str, keep: int, share: float) -> str:
    head = round(keep * share)
    return f"{text[:head]}…{text[len(text) - (keep - head) :]}"
