"""What every panel does, without a browser: buttons and methods, errors, marks, few renderings, and no leak."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ipywidgets
import pytest
from docker import DockerClient
from engines import free_port, wait_until
from ipywidgets.widgets.widget import _instances
from test_storage import docker

from dockerlab import Lab, panels
from dockerlab.engine.find import Engine
from dockerlab.errors import EngineError, NotFoundError
from dockerlab.panels import base, registry
from dockerlab.panels.base import CancelledError, Panel, action
from dockerlab.storage import Snapshot


class Trial(Panel):
    """A panel for the tests of what all panels have."""

    title, lead = "A trial", "Whatever is tried here."
    story = (("Do", ("work", "fail", "break_down")), ("Wait", ("linger",)))

    def __init__(self, lab: Lab) -> None:
        self.may_go, self.started, self.thread = threading.Event(), threading.Event(), ""
        super().__init__(lab)

    @action("Work")
    def work(self, name: str = "box") -> str:
        """Run a container."""
        self.thread = threading.current_thread().name
        return str(self._lab.run("alpine", "sleep infinity", name=name).name)

    @action("Fail")
    def fail(self) -> None:
        """Do what the engine refuses."""
        self._lab.stop("nobody <b>")

    @action("Break down")
    def break_down(self) -> None:
        """Do what is a bug."""
        raise ValueError("a bug & <i>more</i>")

    @action("Linger")
    def linger(self) -> None:
        """Take long, in steps."""
        for step in itertools.count():
            self._advance("lingering", step % 1000, 1000)
            self.started.set()
            if self.may_go.wait(0.01):
                break

    @action("Start over")
    def start_over(self) -> None:
        """Remove the container."""
        self._remove("box")


@pytest.fixture
def trial(lab: Lab) -> Iterator[Trial]:
    panel = Trial(lab)
    yield panel
    panel.close()


def button(panel: Panel, label: str) -> ipywidgets.Button:
    """The button of that text, found as a page finds it: among the widgets."""
    found = [each for each in widgets(panel.ui) if isinstance(each, ipywidgets.Button) and each.description == label]
    assert len(found) == 1, label
    return found[0]


def widgets(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets(child)


def page(panel: Panel) -> str:
    """All HTML of a panel."""
    return "\n".join(each.value for each in widgets(panel.ui) if isinstance(each, ipywidgets.HTML))


def press(panel: Panel, label: str) -> None:
    """Click as a browser does, and wait until its work is done."""
    button(panel, label)._handle_custom_msg({"event": "click"}, [])
    wait_until(lambda: not panel._worker or not panel._worker.is_alive(), 60)


def shows(panel: Panel, text: str) -> Callable[[], bool]:
    return lambda: text in page(panel)


def panel_threads(lab: Lab) -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.endswith(lab.name)]


def test_a_method_works_in_the_calling_thread_and_returns(trial: Trial) -> None:
    assert trial.work() == "box"
    assert trial.thread == threading.current_thread().name


def test_a_button_works_in_a_thread_of_the_panel(trial: Trial) -> None:
    press(trial, "Work")
    assert trial.thread.startswith("dockerlab-work-")
    assert trial._there("box")
    assert trial.error is None


def test_a_method_raises_as_the_lab_does_and_the_panel_shows_it(trial: Trial) -> None:
    with pytest.raises(NotFoundError):
        trial.fail()
    assert isinstance(trial.error, NotFoundError)
    wait_until(shows(trial, 'role="alert"'))


def test_a_buttons_error_is_in_the_panel_with_its_three_lines_escaped(trial: Trial) -> None:
    press(trial, "Fail")
    assert isinstance(trial.error, NotFoundError)
    wait_until(shows(trial, 'role="alert"'))
    for line in str(trial.error).splitlines():
        assert line.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in page(trial)
    assert "nobody <b>" not in page(trial)
    assert "Traceback" not in page(trial)


def test_a_bug_is_shown_with_its_traceback_folded(trial: Trial) -> None:
    press(trial, "Break down")
    wait_until(shows(trial, "ValueError"))
    alert = page(trial).partition('role="alert"')[2]
    assert "<details>" in alert and "Traceback (most recent call last)" in alert
    assert "a bug &amp; &lt;i&gt;more" in alert


def test_the_next_action_takes_the_error_away(trial: Trial) -> None:
    press(trial, "Fail")
    press(trial, "Work")
    wait_until(lambda: 'role="alert"' not in page(trial))


def test_the_docker_line_is_the_labs_own(lab: Lab, trial: Trial) -> None:
    trial.work()
    assert trial.lines[-1] == lab.journal["command"].iloc[-1]
    wait_until(shows(trial, "docker run -d --name box"))


def test_a_cell_that_calls_a_method_is_told_the_line_and_a_click_tells_the_panel_alone(lab: Lab, trial: Trial) -> None:
    said: list[str] = []
    lab.say = said.append
    trial.work()
    assert said == trial.lines
    said.clear()
    press(trial, "Fail")
    press(trial, "Start over")
    assert said == []


def test_what_a_terminal_does_is_shown_and_marked(lab: Lab, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "EVENT_SECONDS", 60.0)  # an engine that is busy may make now, and start much later
    docker(lab, "run", "-d", "--name", "byhand", "--label", f"dockerlab={lab.name}", "alpine", "sleep", "infinity")
    wait_until(shows(trial, "byhand"))
    wait_until(lambda: any(told.startswith("byhand made from") for told in trial.happened))
    trial._changed_at -= 100  # as if it was long ago
    docker(lab, "rm", "-f", "byhand")
    wait_until(lambda: any(told.startswith("byhand removed") for told in trial.happened))
    wait_until(shows(trial, 'data-kind="container"'))  # its ghost


def test_marks_are_those_of_the_last_action(trial: Trial) -> None:
    trial.work()
    wait_until(lambda: trial.snapshot.containers)
    trial.work("other")
    wait_until(lambda: len(trial.snapshot.containers) == 2)
    assert [told.split()[0] for told in trial.happened] == ["other"]


def test_the_next_step_of_the_story_is_emphasised(trial: Trial) -> None:
    assert "dl-next" in button(trial, "Work")._dom_classes
    press(trial, "Work")
    wait_until(lambda: "dl-next" in button(trial, "Fail")._dom_classes)
    assert "dl-next" not in button(trial, "Work")._dom_classes


def test_progress_is_shown_and_an_action_can_be_cancelled(trial: Trial) -> None:
    button(trial, "Linger").click()
    assert trial.started.wait(10)
    wait_until(shows(trial, 'role="progressbar"'))
    wait_until(shows(trial, "aria-valuenow"))
    wait_until(lambda: button(trial, "Cancel").layout.display == "")
    button(trial, "Cancel").click()
    wait_until(lambda: isinstance(trial.error, CancelledError))
    wait_until(lambda: 'role="progressbar"' not in page(trial))
    wait_until(lambda: button(trial, "Cancel").layout.display == "none")


def test_a_double_click_does_it_once(trial: Trial) -> None:
    button(trial, "Linger").click()
    assert trial.started.wait(10)
    button(trial, "Work").click()
    trial.may_go.set()
    wait_until(lambda: not trial._worker.is_alive())  # type: ignore[union-attr]
    assert not trial._there("box")


def test_two_thousand_changes_are_few_renderings_and_the_last_is_shown(trial: Trial) -> None:
    trial.work()
    wait_until(lambda: trial.snapshot.containers)
    before, start = trial.renders, time.monotonic()
    for _ in range(2000):
        trial._note("one more")
    trial._note("the last")
    wait_until(lambda: "# the last</i></pre>" in trial._terminal.value and not trial._dirty.is_set())
    # At most 8 times a second, so it is the machine's pace that says how many are due.
    assert trial.renders - before <= 2 + 8 * (time.monotonic() - start)


def test_a_refresh_that_an_event_overtook_shows_what_is_newest(
    lab: Lab, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = trial._watcher.refresh

    def overtaken(**options: bool) -> Snapshot:
        older = refresh(**options)
        lab.run("alpine", "sleep infinity", name="late")
        wait_until(lambda: trial.snapshot.containers)
        return older

    monkeypatch.setattr(trial._watcher, "refresh", overtaken)
    assert [box.name for box in trial.refresh().containers] == ["late"]


def test_a_rendering_that_takes_long_does_not_cover_a_newer_one(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing, may_go, draw = threading.Event(), threading.Event(), base.draw

    def draw_slowly(now: Snapshot, before: Snapshot | None) -> str:
        if not drawing.is_set():
            drawing.set()
            may_go.wait(10)
        return draw(now, before)

    monkeypatch.setattr(base, "draw", draw_slowly)
    slow = threading.Thread(target=trial._render)
    slow.start()
    assert drawing.wait(10)
    trial._note("the last")
    time.sleep(1)  # in which the panel's own thread would have shown it
    may_go.set()
    slow.join()
    wait_until(shows(trial, "# the last"))


def test_without_a_kernel_it_is_a_picture_and_words(lab: Lab, trial: Trial) -> None:
    trial.work()
    data, metadata = trial._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == trial.ui.model_id
    assert b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert "container box (alpine, running)" in data["text/plain"]
    assert metadata["image/png"]["width"] == 800


def test_closed_it_leaves_no_thread_and_no_widget(lab: Lab) -> None:
    before = set(_instances)
    panel = Trial(lab)
    assert set(_instances) > before
    assert len(panel_threads(lab)) == 3
    panel.close()
    panel.close()
    assert set(_instances) == before
    wait_until(lambda: panel_threads(lab) == [])
    data, _ = panel._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}


def test_after_five_runs_there_is_as_much_as_after_one(lab: Lab) -> None:
    open_panel = Trial(lab)
    counts = set()
    for _ in range(5):
        open_panel = Trial(lab)
        gc.collect()
        counts.add((len(_instances), len(panel_threads(lab)), len(registry._open)))
    open_panel.close()
    assert len(counts) == 1


class Shell:
    """What the registry asks of IPython's shell."""

    def __init__(self) -> None:
        self.execution_count, self.cell = 1, "cell-1"

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": {"cellId": self.cell}}


def test_two_panels_in_one_cell_live_until_it_runs_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell()
    monkeypatch.setattr(registry, "get_ipython", lambda: shell)
    first, second = Trial(lab), Trial(lab)
    shell.cell, shell.execution_count = "cell-2", 2
    elsewhere = Trial(lab)
    assert not any(panel._closed.is_set() for panel in (first, second, elsewhere))
    shell.cell, shell.execution_count = "cell-1", 3
    again = Trial(lab)
    assert first._closed.is_set() and second._closed.is_set()
    assert not elsewhere._closed.is_set()
    for panel in (elsewhere, again):
        panel.close()
    assert not registry._open


def test_where_the_engine_does_not_answer_nothing_is_left(engine: Engine) -> None:
    before = set(_instances)
    away = DockerClient(base_url=f"tcp://127.0.0.1:{free_port()}", version="1.41")
    with pytest.raises(EngineError):
        Trial(Lab("away", engine=replace(engine, client=away), echo=None))
    assert set(_instances) == before
    assert [thread.name for thread in threading.enumerate() if thread.name.endswith("-away")] == []
    assert not registry._open


def test_every_button_is_a_documented_method_of_the_same_name() -> None:
    for name in panels.__all__:
        kind = getattr(panels, name)
        for _, methods in (*kind.story, ("", kind.aside)):
            for method in methods:
                assert getattr(kind, method).__doc__, f"{name}.{method}"
                assert getattr(kind, method).label
