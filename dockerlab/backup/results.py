"""What a backup, a check or a restore came to: a value that shows as a small table."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

__all__ = ["Result"]

_NAME = "text-align: left"
_TEXT = (
    f"{_NAME}; overflow-wrap: anywhere"  # an anonymous volume's name has 64 digits, which a narrow page has to break
)


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
            f'<tr><th style="{_NAME}">{escape(name)}</th><td style="{_TEXT}">{escape(text)}</td></tr>'
            for name, text in self.rows()
        )
        return f"<table>{rows}</table>"
