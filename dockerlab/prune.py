"""What a prune would remove on this engine, as a plan to look at before it is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .commands import RemoveVolume
from .errors import InUseError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Plan", "prunes_named"]


def prunes_named(api_version: str) -> bool:
    """Whether a plain `docker volume prune` takes named volumes too: below API 1.42, that is before Engine 23.

    Source: Engine API 1.42's change list, `POST /volumes/prune` considers only anonymous volumes by default.
    """
    return tuple(int(part) for part in api_version.split(".")[:2]) < (1, 42)


@dataclass(frozen=True)
class Plan:
    """The volumes that would go, and what stays; nothing is removed before `apply()`.

    `removes` and `keeps` are DataFrames: `name`, `anonymous`, `why`. `foreign` names what docker's own prune would take
    on this engine although it is not the lab's; `apply` never does.
    """

    removes: pd.DataFrame
    keeps: pd.DataFrame
    foreign: list[str]
    note: str
    _do: Callable[[RemoveVolume], object] = field(repr=False, compare=False)

    def apply(self) -> list[str]:
        """Remove exactly the volumes listed, and return the names that went.

        One that has come into use since, or is gone already, is passed over. What goes cannot be brought back.
        """
        gone = []
        for name in self.removes["name"]:
            try:
                self._do(RemoveVolume(name))
            except (InUseError, NotFoundError):
                continue
            gone.append(name)
        return gone

    def __repr__(self) -> str:
        return "\n".join([self._headline(), *(f"  {name}" for name in self.removes["name"]), self.note])

    def _repr_html_(self) -> str:
        table = self.removes.to_html(index=False) if len(self.removes) else ""
        kept = self.keeps.to_html(index=False)
        stays = f"<details><summary>{len(self.keeps)} stay</summary>{kept}</details>" if len(self.keeps) else ""
        return f"<p><b>{self._headline()}</b></p>{table}{stays}<p>{self.note}</p>"

    def _headline(self) -> str:
        count = len(self.removes)
        if not count:
            return "A prune would remove nothing."
        return f"A prune would remove {count} volume{'s' * (count > 1)}, for good. Nothing is removed yet: .apply() does it."
