"""Which panels are open: a cell that is run again closes those that it had made before."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from IPython.core.getipython import get_ipython

__all__ = ["forget", "take_place"]


class _Closes(Protocol):
    def close(self) -> None: ...


_open: dict[Hashable, tuple[int | None, list[_Closes]]] = {}


def take_place(panel: _Closes, name: Hashable) -> None:
    """Note a panel as its cell's, and close those that an earlier run of that cell made.

    Where cells have no ids, as in a notebook that is run without JupyterLab, or where there is no notebook, panels of
    the same `name` replace each other.
    """
    shell: Any = get_ipython()
    run = shell.execution_count if shell is not None else None
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    place = parent.get("metadata", {}).get("cellId") or name
    former, panels = _open.get(place, (None, []))
    if run is None or run != former:
        for each in tuple(panels):
            each.close()
        panels = []
    _open[place] = (run, [*panels, panel])


def forget(panel: _Closes) -> None:
    """It is closed."""
    for place, (run, panels) in tuple(_open.items()):
        rest = [each for each in panels if each is not panel]
        if rest:
            _open[place] = (run, rest)
        else:
            del _open[place]
