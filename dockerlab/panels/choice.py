"""A choice among what is there now, such as the lab's volumes."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets

from ..errors import CommandError

__all__ = ["Choice"]


class Choice:
    """A list to choose from that can change while it is shown; `ui` is its widget."""

    def __init__(self, label: str) -> None:
        self.ui = ipywidgets.Dropdown(description=label, layout={"width": "auto"})
        self._label = label

    @property
    def value(self) -> str:
        """What is chosen; `CommandError` where there is nothing to choose."""
        if self.ui.value is None:
            raise CommandError(f"No {self._label.lower()} is chosen.", "There is none yet.", "Make one first.")
        return str(self.ui.value)

    def choose(self, value: str) -> bool:
        """Choose this if it is offered, and say whether it is."""
        offered = value in dict(self.ui.options).values()
        if offered:
            self.ui.value = value
        return offered

    def offer(self, options: Mapping[str, str]) -> None:
        """Offer these, names to values; what is chosen stays so while it is among them."""
        if dict(self.ui.options) != dict(options):
            chosen = self.ui.value
            with self.ui.hold_sync():
                self.ui.options = tuple(options.items())
                self.ui.value = chosen if chosen in options.values() else next(iter(options.values()), None)
