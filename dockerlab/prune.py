"""What a prune would remove on this engine, as a plan to look at before it is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .belongings import Belongings, is_anonymous
from .commands import RemoveVolume
from .engine.find import Engine
from .errors import ForeignError, InUseError, NotFoundError

__all__ = ["Plan", "plan", "prunes_named"]


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

        One that has come into use since, is gone already or has become another's is passed over. What goes cannot be
        brought back.
        """
        gone = []
        for name in self.removes["name"]:
            try:
                self._do(RemoveVolume(name))
            except (InUseError, NotFoundError, ForeignError):
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
        volumes = f"{count} volume{'s' * (count > 1)}"
        return f"A prune would remove {volumes}, for good. Nothing is removed yet: .apply() does it."


def plan(
    volumes: Iterable[Mapping[str, Any]],
    used_by: Mapping[str, list[str]],
    belongings: Belongings,
    engine: Engine,
    do: Callable[[RemoveVolume], object],
    *,
    all: bool,
) -> Plan:
    """The plan of a prune on that engine: `volumes` are its records, `used_by` names their containers."""
    named_too = all or prunes_named(engine.api_version)
    removes, keeps, foreign = [], [], []
    for item in volumes:
        name, anonymous = item["Name"], is_anonymous(item["Name"])
        used, goes = name in used_by, anonymous or named_too
        if not belongings.may_touch(item["Labels"], name):
            foreign += [name] if goes and not used else []
        elif used:
            keeps.append((belongings.short(name), anonymous, f"used by {', '.join(used_by[name])}"))
        elif goes:
            removes.append((belongings.short(name), anonymous, "unused"))
        else:
            keeps.append((belongings.short(name), anonymous, "named: only prune --all takes it"))
    columns = ["name", "anonymous", "why"]
    rule = "all unused volumes" if prunes_named(engine.api_version) else "unused anonymous volumes, all with --all"
    note = f"Engine {engine.version} prunes {rule}. Volumes that are not this lab's are left alone."
    return Plan(pd.DataFrame(removes, columns=columns), pd.DataFrame(keeps, columns=columns), foreign, note, do)
