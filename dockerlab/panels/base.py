"""What every panel is: the storage picture, few buttons, the last action as it would be in a terminal, an error box."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import ipywidgets

from ..describe import describe
from ..difference import difference
from ..draw import draw
from ..errors import DockerLabError, EngineError, NotFoundError
from ..lab import Lab
from ..listings import first_name
from ..pictures import Picture
from ..storage import Snapshot
from ..watcher import Watcher
from . import registry
from .look import Line, Progress, error_box, heading, progress_bar, sentences, transcript

__all__ = ["CancelledError", "Panel", "action", "tree"]

# A server drops messages beyond about 1,000 a second, and the page then keeps a stale picture.
RENDERS_PER_SECOND = 8
# What comes later than this after the last change is a new event, and the marks of the former one go.
EVENT_SECONDS = 2.0
CLOSE_SECONDS = 5.0

Self = TypeVar("Self", bound="Panel")
Box = TypeVar("Box", bound=ipywidgets.Box)
Words = ParamSpec("Words")
Answer = TypeVar("Answer")
Act = Callable[Concatenate[Self, Words], Answer]


class CancelledError(DockerLabError):
    """The learner ended an action before it was done; what it had begun is put right."""


def action(label: str) -> Callable[[Act[Self, Words, Answer]], Act[Self, Words, Answer]]:
    """A method that a button of that label calls too; what it says and how it ends is shown in the panel."""

    def decorate(method: Act[Self, Words, Answer]) -> Act[Self, Words, Answer]:
        @functools.wraps(method)
        def act(self: Self, /, *args: Words.args, **kwargs: Words.kwargs) -> Answer:
            with self._acting(method.__name__, label):
                return method(self, *args, **kwargs)

        act.label = label  # type: ignore[attr-defined]
        return act

    return decorate


class Panel:
    """A panel on one lab, shown when it is a cell's last value; the base of all, with widgets inside.

    Each button is a method too. Called, it does its work at once and raises as the lab would; clicked, a thread of the
    panel's own does it, and the panel shows how it ended. What a terminal does to the lab is shown as well. Run again,
    a cell closes the panel that it had made. Raises `EngineError` where the engine does not answer.
    """

    title: ClassVar[str]
    lead: ClassVar[str]
    #: Groups of buttons in the order of the story: a heading, then methods.
    story: ClassVar[Sequence[tuple[str, Sequence[str]]]]
    #: Methods apart from the story.
    aside: ClassVar[Sequence[str]] = ("start_over",)

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        # The same lab in all but where its lines are said.
        self._lab = copy.copy(lab)
        self._lab.say = self._say
        self._state = threading.RLock()  # guards what several threads write, down to _worker
        self._turn = threading.RLock()  # one action at a time
        self._drawing = threading.RLock()  # one rendering at a time, so that the last has the newest picture
        self._before: Snapshot | None = None
        self._changed_at = 0.0
        self._lines: list[Line] = []
        self._error: Exception | None = None
        self._progress: Progress | None = None
        self._done: set[str] = set()
        self._depth = self._ended = 0
        self._may_cancel = self._sizes = False
        self._worker: threading.Thread | None = None
        self._cancelled, self._dirty, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._watcher = Watcher(lab)
        registry.take_place(self, (type(self), lab.name))
        self._now = self._watcher.snapshot
        self.renders = 0
        self.ui = self._build()
        self._render()
        self._watcher.listen(self._see)
        self._see(self._watcher.snapshot)
        self._renderer = threading.Thread(target=self._keep_rendering, name=f"dockerlab-panel-{lab.name}", daemon=True)
        self._renderer.start()

    # What is shown

    @property
    def snapshot(self) -> Snapshot:
        """The storage as it was last seen; `refresh()` looks again."""
        return self._now

    @property
    def error(self) -> Exception | None:
        """How the last action failed, if it did."""
        return self._error

    @property
    def lines(self) -> list[str]:
        """The docker commands of the last action."""
        return [line.text for line in self._lines if line.kind == "command"]

    @property
    def happened(self) -> tuple[str, ...]:
        """What the last action, or the last change in a terminal, did to the storage, in sentences."""
        with self._state:
            return difference(self._before or self._now, self._now).sentences

    def refresh(self, *, sizes: bool = False) -> Snapshot:
        """Look at the engine again now, with `sizes` measure the volumes too; the picture follows."""
        self._see(self._watcher.refresh(sizes=sizes or self._sizes))
        return self._now

    def __repr__(self) -> str:
        return "\n".join([f"{self.title} ({self.lab.name})", describe(self._now), *self.happened, *self._more_words()])

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        with contextlib.suppress(EngineError):  # then it is what was seen last
            if not self._closed.is_set():
                self.refresh()
                self._render()
        shown: dict[str, Any] = {} if self._closed.is_set() else dict(self.ui._repr_mimebundle_())
        png = Picture(self._now, self._before).png()
        shown |= {"image/png": b64encode(png).decode(), "text/plain": repr(self)}
        return shown, {"image/png": {"width": 800}}

    def close(self) -> None:
        """End its threads and take it off the page; the lab, and what it made, stays."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._cancelled.set()
        self._dirty.set()
        registry.forget(self)
        self._watcher.close()
        if self._renderer is not threading.current_thread():
            self._renderer.join(CLOSE_SECONDS)
        for widget in tree(self.ui):
            widget.close()

    # For the panels: what they add, and what they tell

    def _more(self) -> Sequence[ipywidgets.Widget]:
        """Widgets below the picture."""
        return ()

    def _inputs(self) -> Mapping[str, ipywidgets.Widget]:
        """Widgets before the buttons of a group of the story, by its heading."""
        return {}

    def _show_more(self) -> None:
        """Bring those widgets up to date, in the thread that renders."""

    def _more_words(self) -> Sequence[str]:
        """The same in words."""
        return ()

    def _next(self) -> str:
        """The method whose button is emphasised: the first of the story that was not done yet."""
        names = (name for _, group in self.story for name in group)
        return next((name for name in names if name not in self._done), "")

    def _tell(self, text: object) -> None:
        """Show what a command wrote."""
        if str(text):
            self._add(Line(str(text), "output"))

    def _note(self, text: str) -> None:
        """Show a remark."""
        self._add(Line(text, "note"))

    def _exec(self, box: str, command: str) -> Any:
        """`docker exec`, with what it wrote shown below it."""
        output = self._lab.exec(box, command)
        self._tell(output)
        return output

    def _advance(self, words: str, done: float | None = None, total: float | None = None) -> None:
        """Show how far a long action is, where it is safe to end it: raises `CancelledError` if the learner did."""
        if self._cancelled.is_set():
            raise CancelledError(
                f"Cancelled: {words}.", "", "What it had begun is put right; try again whenever you like."
            )
        with self._state:
            self._may_cancel = True
            self._progress = Progress(words, done / total if done is not None and total else None)
        self._dirty.set()

    def cancel(self) -> None:
        """End the action that runs now at the next place where that is safe."""
        self._cancelled.set()

    def _there(self, box: str) -> bool:
        """Whether the lab has a container of that name now."""
        name = self._lab.belongings.full(box)
        return name in map(first_name, self._lab.claims.containers())

    def _remove(self, *boxes: str) -> None:
        """Remove those of the containers that are there, with their anonymous volumes."""
        for box in filter(self._there, boxes):
            self._lab.remove(box, volumes=True, force=True)

    def _remove_volumes(self, *names: str) -> None:
        """Remove those of the volumes that are there."""
        for name in names:
            with contextlib.suppress(NotFoundError):
                self._lab.remove_volume(name)

    # How an action runs

    @contextlib.contextmanager
    def _acting(self, name: str, label: str) -> Iterator[None]:
        with self._turn:
            outermost = self._depth == 0
            self._depth += 1
            if outermost:
                with self._state:
                    self._before, self._error, self._lines = self._now, None, []
                    self._progress = Progress(f"{label} …")
                self._cancelled.clear()
                self._dirty.set()
            try:
                yield
                self._done.add(name)
            except Exception as error:
                with self._state:
                    self._error = error
                raise
            finally:
                if outermost:
                    with contextlib.suppress(EngineError):  # it says so in the picture
                        # Before the next action begins, all that this one did is to be seen as its doing.
                        self.refresh()
                self._depth -= 1
                if outermost:
                    with self._state:
                        self._progress, self._may_cancel, self._changed_at = None, False, time.monotonic()
                        self._ended += 1
                    self._dirty.set()

    def _click(self, name: str) -> None:
        """Have an action done by a thread: a callback that takes long would hold the next click up."""
        with self._state:
            if self._closed.is_set() or (self._worker and self._worker.is_alive()):
                return  # the second click of a double click
            self._worker = threading.Thread(
                target=self._work, args=(name,), name=f"dockerlab-work-{self.lab.name}", daemon=True
            )
            self._worker.start()

    def _work(self, name: str) -> None:
        with contextlib.suppress(Exception):  # it is shown
            getattr(self, name)()

    def _say(self, line: str) -> None:
        """Where the lab's lines go: into the panel, and where a cell called, to the cell as well."""
        if not line.startswith("# PowerShell"):  # a cell says it; here the picture is what matters
            self._add(Line(line.removeprefix("# "), "note" if line.startswith("#") else "command"))
        if threading.current_thread() is not self._worker:
            self.lab.say(line)

    def _add(self, line: Line) -> None:
        with self._state:
            self._lines = [*self._lines, line]
        self._dirty.set()

    # How it is drawn

    def _see(self, _: Snapshot) -> None:
        with self._state:
            snapshot = self._watcher.snapshot  # what a thread brings may have been overtaken
            if snapshot == self._now:
                return
            long_ago = time.monotonic() - self._changed_at > EVENT_SECONDS
            if not self._depth and long_ago and difference(self._now, snapshot):
                self._before = self._now
            self._now, self._changed_at = snapshot, time.monotonic()
        self._dirty.set()

    def _keep_rendering(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            self._dirty.clear()
            if self._closed.is_set():
                return
            try:
                self._render()
            except Exception as error:  # noqa: BLE001 - a thread's errors are seen nowhere else
                self._alert.value = error_box(error)
            self._closed.wait(1 / RENDERS_PER_SECOND)

    def _render(self) -> None:
        with self._drawing:
            self._draw()

    def _draw(self) -> None:
        with self._state:
            before, now, lines, error, progress = self._before, self._now, self._lines, self._error, self._progress
            may_cancel, ended = self._may_cancel and not self._cancelled.is_set(), self._ended
            self.renders += 1
        self._picture.value = draw(now, before)
        self._terminal.value = transcript(lines)
        self._alert.value = error_box(error)
        self._working.value = progress_bar(progress, ended)
        self._happened.value = sentences(difference(before or now, now).sentences)
        self._cancel.layout.display = "" if may_cancel else "none"
        following = "" if progress else self._next()
        for name, button in self._buttons.items():
            (button.add_class if name == following else button.remove_class)("dl-next")
        self._show_more()

    def _build(self) -> ipywidgets.VBox:
        self._buttons = {name: self._button(name) for _, group in (*self.story, ("", self.aside)) for name in group}
        self._picture, self._terminal, self._alert = (ipywidgets.HTML() for _ in range(3))
        self._working, self._happened = ipywidgets.HTML(), ipywidgets.HTML()
        self._cancel = ipywidgets.Button(description="Cancel")
        self._cancel.on_click(lambda _: self.cancel())
        inputs = self._inputs()
        groups = [
            _group(title, [*([inputs[title]] if title in inputs else []), *(self._buttons[name] for name in names)])
            for title, names in self.story
        ]
        aside = _classed(ipywidgets.HBox([self._buttons[name] for name in self.aside]), "dl-row", "dl-aside")
        story = _classed(ipywidgets.HBox(groups), "dl-story")
        work = _classed(ipywidgets.HBox([self._working, self._cancel]), "dl-row")
        head = _classed(ipywidgets.HBox([ipywidgets.HTML(heading(self.title, self.lead)), aside]), "dl-head")
        children = [head, story, self._terminal, self._alert, work, self._picture, self._happened, *self._more()]
        return _classed(ipywidgets.VBox(children), "dockerlab-panel")

    def _button(self, name: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=getattr(type(self), name).label)
        button.on_click(lambda _: self._click(name))
        return button


def _classed(widget: Box, *names: str) -> Box:
    for name in names:
        widget.add_class(name)
    return widget


def _group(title: str, buttons: Sequence[ipywidgets.Widget]) -> ipywidgets.VBox:
    row = _classed(ipywidgets.HBox(buttons), "dl-row")
    return _classed(ipywidgets.VBox([ipywidgets.HTML(title), row]), "dl-group")


def tree(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget with all below it, their layouts and styles too: each of them stays until it is closed."""
    for child in getattr(widget, "children", ()):
        yield from tree(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, ipywidgets.Widget):
            yield part
    yield widget
