"""The strokes that the picture is made of, as SVG elements in one theme."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

from .geometry import WIDTH
from .palette import STYLE, Theme, colour
from .text import clean

__all__ = ["Pen", "number"]

# Browsers take the first; resvg, which knows no system-ui, needs one by name.
SANS = "system-ui,-apple-system,'Segoe UI','DejaVu Sans','Liberation Sans','Noto Sans',Arial,sans-serif"
MONO = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono','Noto Sans Mono','Courier New',monospace"

Anchor = Literal["start", "middle", "end"]


def number(value: float) -> str:
    """A coordinate with at most one digit behind the point."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Pen:
    """Draws in one theme; `None` is JupyterLab's, whichever it has."""

    theme: Theme | None = None

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        *,
        fill: str = "",
        stroke: str = "",
        radius: float = 0,
        weight: float = 1.5,
        dash: str = "",
    ) -> str:
        """A rectangle; `fill` and `stroke` are names of colours."""
        size = f'x="{number(x)}" y="{number(y)}" width="{number(w)}" height="{number(h)}" rx="{number(radius)}"'
        return f"<rect {size}{self._look(fill, stroke, weight, dash)}/>"

    def path(self, d: str, *, fill: str = "", stroke: str = "", weight: float = 1.5, dash: str = "") -> str:
        """A path of absolute or relative commands."""
        return f'<path d="{d}"{self._look(fill, stroke, weight, dash)}/>'

    def circle(self, x: float, y: float, r: float, *, fill: str = "", stroke: str = "", weight: float = 1.5) -> str:
        """A circle."""
        return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(r)}"{self._look(fill, stroke, weight, "")}/>'

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: float = 11,
        fill: str = "ink",
        bold: bool = False,
        mono: bool = False,
        anchor: Anchor = "start",
        struck: bool = False,
    ) -> str:
        """A line of text; `y` is its baseline. Whoever calls sees to it that it fits."""
        look = f'font-size="{number(size)}" fill="{colour(fill, self.theme)}"'
        look += ' font-weight="600"' if bold else ""
        look += f' font-family="{MONO}"' if mono else ""
        look += f' text-anchor="{anchor}"' if anchor != "start" else ""
        look += ' text-decoration="line-through"' if struck else ""
        return f'<text x="{number(x)}" y="{number(y)}" {look} xml:space="preserve">{escape(clean(content))}</text>'

    def group(self, *parts: str, title: str = "", opacity: float = 1, **data: str) -> str:
        """Elements that are one thing: its `data-…` for programs, its title for who points at it."""
        attributes = "".join(f' data-{key}="{escape(clean(value))}"' for key, value in data.items() if value)
        attributes += f' opacity="{opacity}"' if opacity != 1 else ""
        heading = f"<title>{escape(_lines(title))}</title>" if title else ""
        return f"<g{attributes}>{heading}{''.join(parts)}</g>"

    def whole(self, height: float, label: str, body: str, *, key: str = "", head: str = "") -> str:
        """The SVG element of a picture of that height; `head` comes first in it, and has what `key` describes it by."""
        size = f'viewBox="0 0 {WIDTH} {number(height)}" width="{WIDTH}" height="{number(height)}"'
        look = f'style="max-width:100%;height:auto" font-family="{SANS}" role="img" aria-label="{escape(label)}"'
        look += f' aria-describedby="{key}"' if key else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="dockerlab-picture" {size} {look}>'
            f"{head}{'' if self.theme else f'<style>{STYLE}</style>'}{body}</svg>"
        )

    def _look(self, fill: str, stroke: str, weight: float, dash: str) -> str:
        look = f' fill="{colour(fill, self.theme) if fill else "none"}"'
        if stroke:
            look += f' stroke="{colour(stroke, self.theme)}" stroke-width="{number(weight)}"'
        return look + (f' stroke-dasharray="{dash}"' if dash else "")


def _lines(text: str) -> str:
    return "\n".join(clean(line) for line in text.split("\n"))
