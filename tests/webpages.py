"""What a folder of web pages refers to, and that nothing of it is missing or elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup


def links(page: Path) -> Iterable[str]:
    """All that a page refers to: what it links to, and what it would fetch."""
    text = page.read_text(encoding="utf-8")
    for element in BeautifulSoup(text, "html.parser").find_all(True):
        yield from (str(element[name]) for name in ("href", "src", "srcset", "data") if element.get(name))
    yield from re.findall(r"url\(\s*['\"]?([^)'\"]+)", text)
    yield from re.findall(r"@import\s+['\"]([^'\"]+)", text)


def assert_whole(folder: Path) -> None:
    """All pages of a folder are there, fetch nothing, and lead to each other."""
    for page in folder.glob("*.html"):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        assert not soup.find_all(["script", "iframe", "link"]), page.name
        assert all(image.get("alt", "").strip() for image in soup.find_all("img")), page.name
        for link in links(page):
            name, _, anchor = link.partition("#")
            if not link.startswith("data:"):
                assert not name or (folder / name).is_file(), f"{page.name}: {link}"
                target = BeautifulSoup((folder / (name or page.name)).read_text(encoding="utf-8"), "html.parser")
                assert not anchor or target.find(id=[anchor, unquote(anchor)]), f"{page.name}: {link}"
