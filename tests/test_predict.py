"""The prompt for a prediction, without a kernel: what is chosen, how it compares, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ipywidgets.widgets.widget import _instances

from dockerlab import predict
from dockerlab.errors import CommandError
from dockerlab.panels import registry
from dockerlab.panels.predict import Prediction

QUESTION = "Is <x> there after docker stop?"


@pytest.fixture
def guess() -> Iterator[Prediction]:
    guess = predict(QUESTION, ["yes", "no"])
    yield guess
    guess.close()


def test_nothing_is_chosen_until_someone_chooses(guess: Prediction) -> None:
    assert guess.answer is None
    guess._radios.index = 1  # as the browser sends it
    assert guess.answer == "no"
    guess.choose("yes")
    assert guess.answer == "yes"


def test_a_right_prediction_is_told_by_mark_and_words(guess: Prediction) -> None:
    guess.choose("yes")
    compared = guess.compare("yes")
    assert compared
    assert repr(compared).splitlines()[1:] == ["  predicted: yes", "  observed:  yes", "  ✔ As you predicted."]
    assert "✔ As you predicted." in compared._repr_html_()


def test_a_wrong_one_too(guess: Prediction) -> None:
    guess.choose("no")
    compared = guess.compare("<b>yes</b>")
    assert not compared
    assert "✕ Not as you predicted" in repr(compared)
    html = compared._repr_html_()
    assert "<dt>You predicted</dt><dd>no</dd>" in html
    assert "<dt>You saw</dt><dd>&lt;b&gt;yes&lt;/b&gt;</dd>" in html
    assert "&lt;x&gt;" in html and "<x>" not in html


def test_without_a_prediction_it_says_so(guess: Prediction) -> None:
    compared = guess.compare("yes")
    assert not compared
    for text in (repr(compared), compared._repr_html_()):
        assert "You made no prediction" in text
        assert "Not as" not in text


def test_an_answer_may_stand_in_the_cell_and_need_be_no_text() -> None:
    guess = predict("How many volumes?", [0, 1, 2], answer=1)
    assert guess.compare(1)
    assert not guess.compare(2)
    guess.close()


def test_an_answer_that_is_no_choice_is_refused_with_what_there_is(guess: Prediction) -> None:
    before = set(_instances)
    with pytest.raises(CommandError, match=r"'yess' is none of the choices\.\nNear names: yes\."):
        predict("Again?", ["yes", "no"], answer="yess")
    assert set(_instances) == before
    with pytest.raises(CommandError):
        guess.choose("perhaps")
    assert guess.answer is None


def test_run_again_it_asks_anew_and_leaves_nothing_of_the_former() -> None:
    before = set(_instances)
    former = predict(QUESTION, ["yes", "no"], answer="no")
    open_now = set(_instances)
    again = predict(QUESTION, ["yes", "no"])
    assert len(_instances) == len(open_now)
    assert (former.answer, again.answer) == ("no", None)
    again.close()
    assert set(_instances) == before
    assert not registry._open


def test_where_no_kernel_is_the_question_and_its_choices_are_text(guess: Prediction) -> None:
    guess.choose("no")
    data = guess._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert data["text/plain"] == f"{QUESTION}\n  ( ) yes\n  (x) no"
    assert data["text/html"] == (
        "<p>Is &lt;x&gt; there after docker stop?</p><ul><li>yes</li><li><b>no (chosen)</b></li></ul>"
    )
    guess.close()
    assert set(guess._repr_mimebundle_()) == {"text/html", "text/plain"}
