"""The colours of the picture: literal for light and dark, or following JupyterLab's theme."""

from __future__ import annotations

from typing import Literal

__all__ = ["COLOURS", "STYLE", "Theme", "colour"]

Theme = Literal["light", "dark"]

# What it is for: light, dark, and JupyterLab's own variable where it has one that fits both.
COLOURS: dict[str, tuple[str, str, str]] = {
    "paper": ("#ffffff", "#111111", "--jp-layout-color0"),
    "ink": ("#1c2733", "#e9eef3", ""),
    "muted": ("#4d5a68", "#a5b2bf", ""),
    "line": ("#b9c4cf", "#4a5763", ""),
    "card": ("#ffffff", "#191f26", ""),
    # Image: cool and solid.
    "plate": ("#e4ebf4", "#212d3a", ""),
    "plate-top": ("#f1f5fa", "#2c3b4b", ""),
    "plate-foot": ("#cfdbe9", "#2d3f53", ""),
    "plate-edge": ("#748aa3", "#6d87a3", ""),
    # Writable layer: warm, the only thing that will be lost.
    "layer": ("#ffeccb", "#3d2c0c", ""),
    "layer-top": ("#fff7e8", "#553f16", ""),
    "layer-edge": ("#b96f00", "#e5a13a", ""),
    # Stores.
    "volume": ("#d9f0e1", "#14301f", ""),
    "volume-top": ("#eefaf2", "#1f4630", ""),
    "volume-edge": ("#257a4d", "#5cc38d", ""),
    "bind": ("#e9e3fb", "#281f42", ""),
    "bind-top": ("#d9cff7", "#392c5e", ""),
    "bind-edge": ("#6746bd", "#a892f3", ""),
    "tmpfs": ("#fde4eb", "#391524", ""),
    "tmpfs-top": ("#fbd0dc", "#561f36", ""),
    "tmpfs-edge": ("#b6315a", "#f2809f", ""),
    "shelf": ("#f4f7f9", "#171b20", ""),
    "board": ("#d5dee6", "#2b343d", ""),
    "lost": ("#ad2117", "#ff9187", ""),
    "running": ("#257a4d", "#5cc38d", ""),
}


def colour(name: str, theme: Theme | None) -> str:
    """A colour as an SVG attribute takes it; without a theme a CSS variable, with the light one for want of it."""
    light, dark, _ = COLOURS[name]
    return f"var(--dl-{name},{light})" if theme is None else (light if theme == "light" else dark)


def _rule(selector: str, which: int) -> str:
    values = "".join(
        f"--dl-{name}:{f'var({shades[2]},{shades[which]})' if shades[2] else shades[which]};"
        for name, shades in COLOURS.items()
    )
    return f"{selector}{{{values}}}"


# JupyterLab says on its body whether the theme is a dark one, third-party themes included.
STYLE = _rule(".dockerlab-picture", 0) + _rule('[data-jp-theme-light="false"] .dockerlab-picture', 1)
