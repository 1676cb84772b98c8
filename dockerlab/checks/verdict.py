"""A check and its verdict: what was expected, what was observed, and the next hint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

import docker.errors

from ..errors import NotFoundError
from ..refusals import near
from .evidence import Evidence

__all__ = ["CHECKS", "METADATA", "Check", "NotYet", "Verdict", "check", "judge"]

METADATA = "dockerlab.verdict"


class NotYet(Exception):  # noqa: N818 - an answer, no error
    """Raised by a check's function where the claim is not shown yet; its text is what was observed instead."""


@dataclass(frozen=True)
class Check:
    """One question to the engine; `look` returns in words what proves it, or raises `NotYet`.

    The hints go from a nudge to the way.
    """

    id: str
    claim: str
    expected: str
    hints: tuple[str, str, str]
    look: Callable[[Evidence], str]


CHECKS: dict[str, Check] = {}


def check(
    id: str, claim: str, *, expected: str, hints: tuple[str, str, str]
) -> Callable[[Callable[[Evidence], str]], Callable[[Evidence], str]]:
    """Register the function below it as the check of that id."""

    def register(look: Callable[[Evidence], str]) -> Callable[[Evidence], str]:
        if id in CHECKS:
            raise ValueError(f"two checks are called {id}")
        CHECKS[id] = Check(id, claim, expected, hints, look)
        return look

    return register


@dataclass(frozen=True)
class Verdict:
    """What a check found. True in an `if` when the claim is proven; `hint` is empty then."""

    id: str
    claim: str
    passed: bool
    expected: str
    observed: str
    hint: str = ""

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        if self.passed:
            return f"✔ {self.id} proven: {self.claim}\n  observed: {self.observed}"
        lines = (f"expected: {self.expected}", f"observed: {self.observed}", f"hint: {self.hint}")
        return "\n  ".join([f"✘ {self.id} not yet: {self.claim}", *lines])

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, dict[str, str | bool]]]:
        """Metadata alone beside the usual forms: `dockerlab run` counts claims by it."""
        return {"text/plain": repr(self)}, {METADATA: {"id": self.id, "passed": self.passed}}

    def _repr_html_(self) -> str:
        colour = "var(--jp-success-color1, #2e7d32)" if self.passed else "var(--jp-error-color1, #c62828)"
        head = f"✔ {self.id} proven" if self.passed else f"✘ {self.id} not yet"
        rows = {"Observed": self.observed} if self.passed else {"Expected": self.expected, "Observed": self.observed}
        rows |= {"Hint": self.hint} if self.hint else {}
        body = "".join(f"<div><b>{name}:</b> {escape(text)}</div>" for name, text in rows.items())
        return (
            f'<div role="status" style="border-left: 4px solid {colour}; padding: 4px 12px;'
            ' font-family: var(--jp-ui-font-family, sans-serif); color: var(--jp-ui-font-color1, inherit)">'
            f'<div><b style="color: {colour}">{head}</b> · {escape(self.claim)}</div>{body}</div>'
        )


def judge(
    id: str, evidence: Evidence, failures: MutableMapping[str, int], checks: Mapping[str, Check] = CHECKS
) -> Verdict:
    """Ask that check; `failures` counts the tries that failed, since each shows the next hint, up to the last.

    Raises `NotFoundError` for an id that is none.
    """
    if id not in checks:
        raise NotFoundError(f"There is no check {id}.", f"Seen: {id!r}.", near(id, list(checks)))
    asked = checks[id]
    try:
        observed = asked.look(evidence)
    except (NotYet, docker.errors.APIError) as not_yet:
        said = str(not_yet)
        if isinstance(not_yet, docker.errors.APIError):
            if not_yet.status_code != HTTPStatus.CONFLICT:  # that a container is paused, or only starting
                raise
            said = str(not_yet.explanation)
        hint = asked.hints[min(failures.get(id, 0), len(asked.hints) - 1)]
        failures[id] = failures.get(id, 0) + 1
        return Verdict(id, asked.claim, False, asked.expected, said, hint)
    failures.pop(id, None)
    return Verdict(id, asked.claim, True, asked.expected, observed)
