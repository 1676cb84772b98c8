"""The course without a browser: lessons run from top to bottom in fresh kernels, a line for each."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_notebook
from tqdm import tqdm

from .checks import CHECKS
from .checks.verdict import METADATA
from .engine.find import Engine
from .errors import NotFoundError
from .jupyter import kernel_folder

__all__ = ["Outcome", "choose", "proven", "run"]

CELL_SECONDS = 600
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Outcome:
    """How a lesson went; prints as a line.

    `cells` are its code cells; `failed` is the number (from 1) of the one that failed with `error`. `verdicts` say of
    each check's id whether it passed when it was last asked; `notebook` is what ran, with its outputs.
    """

    lesson: str
    cells: int
    seconds: float
    failed: int = 0
    error: str = ""
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    notebook: nbformat.NotebookNode = field(default_factory=new_notebook, repr=False, compare=False)

    def __str__(self) -> str:
        verdict = f"failed at code cell {self.failed}" if self.failed else "passed" if self.passed else "failed"
        line = f"{self.lesson:<24} {self.cells:3} cells {self.seconds:6.1f} s  {verdict}"
        unproven = [f"not proven: {name}" for name, passed in self.verdicts.items() if not passed]
        return "\n    ".join([line, *self.error.splitlines(), *unproven])

    @property
    def passed(self) -> bool:
        """Whether all its cells ran, and all that it checks was found so."""
        return not self.failed and all(self.verdicts.values())


def choose(folder: Path, wanted: Sequence[str] = ()) -> list[Path]:
    """Return the notebooks of `folder` that are wanted, by number (`03` or `3`) or name; without any, all of them.

    Raises `NotFoundError` that lists what there is.
    """
    there = sorted(folder.glob("*.ipynb"))
    if not there:
        raise NotFoundError(
            "There are no lessons here.", f"Seen: no notebook in {folder}.", "Use a clone of the course."
        )
    chosen: dict[Path, None] = {}
    for name in wanted:
        found = [path for path in there if _means(name, path.stem)]
        if not found:
            names = f"There are: {', '.join(path.stem for path in there)}."
            raise NotFoundError(f"There is no lesson {name!r}.", names, "Name one of them, or its number.")
        chosen |= dict.fromkeys(found)
    return list(chosen) or there


def proven(outcomes: Sequence[Outcome], engine: Engine) -> str:
    """How many of the course's claims were proven, out of how many, and on which engine."""
    claims = {name for name in CHECKS if name.startswith("K")}
    found = {name for outcome in outcomes for name, passed in outcome.verdicts.items() if passed}
    return f"{len(claims & found)} of the course's {len(claims)} claims are proven on {engine.title}."


def run(
    lessons: Sequence[Path],
    report: Callable[[Outcome], object] = print,
    environment: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """Run lessons in fresh kernels of this very Python and return their outcomes, in the order given.

    Those whose metadata say `{"dockerlab": {"alone": true}}` run by themselves, one after the other; the rest run side
    by side, two at a time: the engine keeps its last 256 events only, which checks ask for. `report` gets each outcome
    as it comes. `environment` is added to what the kernels inherit. The notebooks' own files stay as they are.
    """
    notebooks = {path: nbformat.read(path, as_version=4) for path in lessons}
    cells = sum(map(_code_cells, notebooks.values()))
    with tqdm(total=cells, unit="cell", leave=False, disable=None) as bar:  # None: only where someone watches

        def tell(outcome: Outcome) -> None:
            bar.clear()
            report(outcome)

        runner = _Runner({**os.environ, **(environment or {})}, tell, bar.update)
        return asyncio.run(runner.run_all(notebooks))


@dataclass(frozen=True)
class _Runner:
    environment: Mapping[str, str]
    tell: Callable[[Outcome], object]
    advance: Callable[[], object]

    async def run_all(self, notebooks: Mapping[Path, nbformat.NotebookNode]) -> list[Outcome]:
        alone = [path for path, notebook in notebooks.items() if notebook.metadata.get("dockerlab", {}).get("alone")]
        places = asyncio.Semaphore(2)  # checks read the engine's events, of which it keeps the last 256
        outcomes: dict[Path, Outcome] = {}

        async def run_one(path: Path) -> None:
            async with places:
                outcomes[path] = await self.run(path.stem, notebooks[path], path.parent)
            self.tell(outcomes[path])

        async with asyncio.TaskGroup() as group:
            for path in notebooks.keys() - alone:
                group.create_task(run_one(path))
        for path in alone:
            await run_one(path)
        return [outcomes[path] for path in notebooks]

    async def run(self, name: str, notebook: nbformat.NotebookNode, folder: Path) -> Outcome:
        started, begun = time.monotonic(), 0

        def begin(cell: nbformat.NotebookNode, cell_index: int) -> None:
            nonlocal begun
            begun = sum(each.cell_type == "code" for each in notebook.cells[: cell_index + 1])

        def end(cell: nbformat.NotebookNode, cell_index: int, execute_reply: object) -> None:
            self.advance()

        sockets = kernel_folder()
        client = _Client(
            notebook,
            km=_kernel(sockets),
            timeout=CELL_SECONDS,
            resources={"metadata": {"path": str(folder)}},
            on_cell_start=begin,
            on_cell_executed=end,
        )
        error = ""
        try:
            # IPython's folder too: a learner's start-up scripts are no part of a lesson.
            environment = {**self.environment, "IPYTHONDIR": str(sockets / "ipython")}
            await client.async_execute(env=environment)
        except CellExecutionError as failure:
            error = _said(notebook) or f"{failure.ename}: {failure.evalue}"
        except CellTimeoutError:
            error = f"It did not end within {CELL_SECONDS} s."
        except DeadKernelError:
            error = "Its kernel died."
        finally:
            shutil.rmtree(sockets, ignore_errors=True)
        seconds = time.monotonic() - started
        verdicts = _verdicts(notebook)
        return Outcome(name, _code_cells(notebook), seconds, begun if error else 0, error, verdicts, notebook)


class _Client(NotebookClient):
    @asynccontextmanager
    async def async_setup_kernel(self, **options: Any) -> AsyncGenerator[None]:
        # Its own would also take over SIGINT, each lesson from the one before, and then wait for dead kernels.
        await self.async_start_new_kernel(**options)
        await self.async_start_new_kernel_client()
        try:
            yield
        finally:
            await self._async_cleanup_kernel()


def _kernel(folder: Path) -> AsyncKernelManager:
    """A kernel of this very Python, whatever is registered as "python3", which talks through sockets in `folder`."""
    options: dict[str, Any] = {"transport": "ipc"} if os.name == "posix" else {}
    return AsyncKernelManager(kernel_spec_manager=_ThisPython(), connection_file=str(folder / "kernel.json"), **options)


class _ThisPython(KernelSpecManager):
    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


def _said(notebook: nbformat.NotebookNode) -> str:
    """What the failing cell showed: an expected error's own lines, or the last line of a traceback."""
    errors = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    if not errors:
        return ""
    shown = _COLOURS.sub("", "\n".join(errors[-1].traceback))
    return shown if "Traceback" not in shown else f"{errors[-1].ename}: {errors[-1].evalue}"


def _verdicts(notebook: nbformat.NotebookNode) -> dict[str, bool]:
    """What its checks found; of one that was asked again, the last."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    found = [output.metadata[METADATA] for output in outputs if METADATA in output.get("metadata", {})]
    return {verdict["id"]: verdict["passed"] for verdict in found}


def _code_cells(notebook: nbformat.NotebookNode) -> int:
    return sum(cell.cell_type == "code" for cell in notebook.cells)


def _means(name: str, lesson: str) -> bool:
    name = name.removesuffix(".ipynb")
    return name == lesson or (name.isdecimal() and name.zfill(2) == lesson.partition("_")[0])
