"""`picture(lab)`: the storage of a lab as it is now, as a value that a notebook shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from typing import Any

import resvg_py

from .describe import describe
from .difference import Difference, difference
from .draw import Theme, draw
from .inventory import read
from .lab import Lab
from .storage import Snapshot

__all__ = ["Drawing", "Picture", "picture"]

# Two images, of which the page's theme shows one. No inline SVG: a notebook that is not trusted, and so may hold no
# style either, would leave its bare words; of these it shows the light one, on its own paper.
HTML = """<style>
[data-jp-theme-light="false"] .dockerlab-light {{ display: none }}
[data-jp-theme-light="false"] .dockerlab-dark {{ display: inline !important }}
</style>
<img class="dockerlab-light" alt="{words}" src="{light}">
<img class="dockerlab-dark" style="display: none" alt="{words}" src="{dark}">"""
PNG_SCALE = 1.5


class Drawing(ABC):
    """What is drawn as SVG; displayed, a picture in the page's theme, a PNG where HTML is not shown, else words."""

    @abstractmethod
    def svg(self, theme: Theme | None = "light") -> str:
        """The drawing as SVG; without a theme for a page of JupyterLab, whose colours it follows."""

    def png(self, theme: Theme = "light") -> bytes:
        """The drawing as PNG, 1200 pixels wide; text needs a font on this machine."""
        return bytes(resvg_py.svg_to_bytes(svg_string=self.svg(theme), zoom=PNG_SCALE))

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        light, dark = (_address(self.svg(theme)) for theme in ("light", "dark"))
        html = HTML.format(words=escape(repr(self)), light=light, dark=dark)
        return (
            {"text/html": html, "image/png": b64encode(self.png()).decode(), "text/plain": repr(self)},
            {"image/png": {"width": 800}},
        )


@dataclass(frozen=True)
class Picture(Drawing):
    """A snapshot as it is drawn; with what was `before`, what is new or gone is marked."""

    snapshot: Snapshot
    before: Snapshot | None = None

    @property
    def difference(self) -> Difference:
        """What happened since `before`, in sentences; none without one."""
        return difference(self.before or self.snapshot, self.snapshot)

    def svg(self, theme: Theme | None = "light") -> str:
        return draw(self.snapshot, self.before, theme)

    def __repr__(self) -> str:
        return "\n".join([describe(self.snapshot), *self.difference.sentences])


def picture(lab: Lab, since: Picture | None = None, *, sizes: bool = False) -> Picture:
    """The storage of a lab as it is now; with an earlier picture, what is new or gone since then is marked.

    `sizes` measures the volumes too, which takes as long as `docker system df`. docker-py's exceptions come through.

        before = picture(lab)
        lab.remove("writer")
        picture(lab, since=before)
    """
    return Picture(read(lab, sizes=sizes), since.snapshot if since else None)


def _address(svg: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
