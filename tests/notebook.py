"""A notebook in this process: IPython's shell runs cells, and what they print is kept."""

from __future__ import annotations

import contextlib
import io
import textwrap
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class Notebook:
    """One IPython shell; `names` are there from the start."""

    def __init__(self, **names: object) -> None:
        settings = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
        self.shell = InteractiveShell(config=settings, user_ns=dict(names))
        self.error: BaseException | None = None

    def run(self, cell: str) -> str:
        """Run a cell and return all that it shows, a traceback included; its exception is in `error`."""
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            result = self.shell.run_cell(textwrap.dedent(cell))
        self.error = result.error_in_exec or result.error_before_exec
        return shown.getvalue()

    def must(self, cell: str) -> str:
        """The same, for a cell that has to go well."""
        shown = self.run(cell)
        assert self.error is None, shown
        return shown

    def get(self, name: str) -> Any:
        return self.shell.user_ns[name]
