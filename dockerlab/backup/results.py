"""What a backup, a check or a restore came to: a value that shows as a small table."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tqdm import tqdm

__all__ = ["Result", "count", "size"]


class Result:
    """Base of the results: `rows()` is what is shown, as text or as HTML."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Each line's name and its text."""
        raise NotImplementedError

    def __repr__(self) -> str:
        rows = list(self.rows())
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:{width}}  {text}" for name, text in rows)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
            for name, text in self.rows()
        )
        return f"<table>{rows}</table>"


def size(number: int) -> str:
    """A number of bytes in three digits, as `474 MB`."""
    return f"{number} B" if number < 1000 else tqdm.format_sizeof(number, " ").replace(" ", "") + "B"


def count(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun: `1 file`, `3 files`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
