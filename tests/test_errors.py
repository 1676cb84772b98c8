"""An expected failure is three lines, also in a notebook; a bug keeps its traceback."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable

import pytest
from notebook import Notebook

from dockerlab import errors
from dockerlab.errors import CommandError, DockerLabError

CHILDREN = [getattr(errors, name) for name in errors.__all__]


def test_a_message_is_what_failed_what_was_seen_and_what_to_do_next() -> None:
    error = DockerLabError("It failed.", "Seen: smoke.", "Leave the house.")

    assert str(error).splitlines() == ["It failed.", "Seen: smoke.", "Leave the house."]
    assert (error.what, error.seen, error.next_step) == ("It failed.", "Seen: smoke.", "Leave the house.")


def test_a_line_that_is_not_given_is_left_out() -> None:
    assert str(DockerLabError("It failed.", next_step="Leave the house.")) == "It failed.\nLeave the house."


def test_line_breaks_in_what_an_engine_said_do_not_make_more_than_three_lines() -> None:
    error = DockerLabError("It failed.", "It said: one\n  two\r\n\nthree\n", "Do.")

    assert str(error).splitlines() == ["It failed.", "It said: one two three", "Do."]


@pytest.mark.parametrize("kind", CHILDREN)
def test_all_are_of_one_root_and_can_be_sent_to_another_process(kind: type[DockerLabError]) -> None:
    error = kind("What.", "Seen.", "Next.")

    assert isinstance(error, DockerLabError)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert error.next_step == again.next_step


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_notebook_shows_the_three_lines_and_no_traceback(kind: type[DockerLabError]) -> None:
    notebook = Notebook(fail=raise_deep_down(kind("What failed.", "What was seen.", "What to do next.")))

    shown = notebook.run("fail()")

    assert shown.splitlines() == [f"{kind.__name__}: What failed.", "What was seen.", "What to do next."]
    assert isinstance(notebook.error, kind)


def test_a_bug_keeps_its_traceback() -> None:
    notebook = Notebook(fail=raise_deep_down(KeyError("a bug")))

    shown = notebook.run("fail()")

    assert "Traceback" in shown
    assert "KeyError: 'a bug'" in shown


def test_outside_a_notebook_the_traceback_ends_in_the_same_lines() -> None:
    with pytest.raises(CommandError) as caught:
        raise_deep_down(CommandError("What.", "Seen.", "Next."))()

    assert traceback.format_exception(caught.value)[-1] == "dockerlab.errors.CommandError: What.\nSeen.\nNext.\n"


def raise_deep_down(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        try:
            raise OSError("underneath")
        except OSError:
            raise error from None

    return fail
