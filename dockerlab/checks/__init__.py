"""Claims and exercises, checked against the engine: whatever road was taken, the same question is asked."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from .evidence import Evidence
from .verdict import CHECKS, Check, NotYet, Verdict, check, judge

__all__ = ["CHECKS", "Check", "Evidence", "NotYet", "Verdict", "check", "judge"]

# Each lesson's checks register themselves where they are defined.
for _module in iter_modules(__path__):
    if _module.name.startswith("lesson_"):
        import_module(f"{__name__}.{_module.name}")
