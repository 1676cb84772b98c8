"""A prediction before the run, and beside it afterwards what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets

from ..errors import CommandError
from ..refusals import near
from . import registry
from .base import tree
from .look import STYLE, heading

__all__ = ["Comparison", "Prediction", "predict"]


@dataclass(frozen=True)
class Comparison:
    """What was predicted beside what was seen; true in an `if` where they are the same."""

    question: str
    predicted: str | None
    observed: str

    def __bool__(self) -> bool:
        return self.predicted == self.observed

    @property
    def verdict(self) -> str:
        """Right or wrong, by a mark and in words."""
        if self.predicted is None:
            return "· You made no prediction: choose one above, and run this cell again."
        return "✔ As you predicted." if self else "✕ Not as you predicted: this is where you learn something."

    def __repr__(self) -> str:
        predicted = "nothing" if self.predicted is None else self.predicted
        return f"{self.question}\n  predicted: {predicted}\n  observed:  {self.observed}\n  {self.verdict}"

    def _repr_html_(self) -> str:
        kind = "" if self.predicted is None else " dl-right" if self else " dl-wrong"
        sides = {"You predicted": self.predicted or "nothing yet", "You saw": self.observed}
        shown = "".join(f"<div><dt>{name}</dt><dd>{escape(side)}</dd></div>" for name, side in sides.items())
        return (
            f'{STYLE}<div class="dockerlab-panel dl-compared{kind}" role="status"><p class="dl-lead">'
            f"{escape(self.question)}</p><dl>{shown}</dl><p><b>{escape(self.verdict)}</b></p></div>"
        )


class Prediction:
    """A question with radio buttons, shown when it is a cell's last value; what `predict` returns.

    Where no kernel is, it is the question and its choices as a list. Run again, a cell closes the prompt that it had
    made, and asks anew.
    """

    def __init__(self, question: str, choices: Sequence[object], answer: object = None) -> None:
        self.question, self.choices = question, tuple(map(str, choices))
        chosen = None if answer is None else self._one_of(answer)
        self._radios = ipywidgets.RadioButtons(options=self.choices, value=chosen, layout={"width": "auto"})
        head = ipywidgets.HTML(heading(question, "What do you think? Choose before you go on."))
        self.ui = ipywidgets.VBox([head, self._radios])
        self.ui.add_class("dockerlab-panel")
        registry.take_place(self, (type(self), question))

    @property
    def answer(self) -> str | None:
        """What is chosen, None as long as nothing is."""
        chosen: str | None = self._radios.value
        return chosen

    def choose(self, answer: object) -> None:
        """Choose this, as a click does; `CommandError` where it is none of the choices."""
        self._radios.value = self._one_of(answer)

    def compare(self, observed: object) -> Comparison:
        """What was predicted, beside what the engine showed: shown side by side. Without a prediction it says so."""
        return Comparison(self.question, self.answer, str(observed))

    def close(self) -> None:
        """Take the prompt off the page; the answer stays."""
        registry.forget(self)
        for widget in tree(self.ui):
            widget.close()

    def _one_of(self, answer: object) -> str:
        if str(answer) in self.choices:
            return str(answer)
        raise CommandError(f"{answer!r} is none of the choices.", "", near(str(answer), list(self.choices)))

    def __repr__(self) -> str:
        return "\n".join(
            [self.question, *(f"  ({'x' if each == self.answer else ' '}) {each}" for each in self.choices)]
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        marked = (f"<b>{escape(each)} (chosen)</b>" if each == self.answer else escape(each) for each in self.choices)
        listed = "".join(f"<li>{each}</li>" for each in marked)
        shown: dict[str, Any] = {} if self.ui.comm is None else dict(self.ui._repr_mimebundle_())
        return shown | {"text/html": f"<p>{escape(self.question)}</p><ul>{listed}</ul>", "text/plain": repr(self)}


def predict(question: str, choices: Sequence[object], answer: object = None) -> Prediction:
    """Ask for a prediction: a question with radio buttons, to be compared later with what is seen.

    Without widgets, or to say it in the cell, give the `answer`; `CommandError` where it is none of the choices. Where
    nobody chooses, as when a notebook is run from end to end, `compare` says that there was no prediction.

        guess = predict("Does the note survive docker stop?", ["yes", "no"])
        guess                                            # choose, then try it
        guess.compare("yes" if lab.exec("box", "cat /note").exit_code == 0 else "no")
    """
    return Prediction(question, choices, answer)
