"""Before anything is installed: who is asked what, and when an engine is surely not here."""

from __future__ import annotations

import sys

import pexpect
import pytest

from dockerlab import bootstrap


@pytest.mark.parametrize(("answer", "agreed"), [("n", "False"), ("", "True"), ("yes", "True")])
def test_it_says_what_it_runs_as_root_and_asks_where_someone_can_answer(answer: str, agreed: str) -> None:
    code = "from dockerlab.bootstrap import agree; print('agreed:', agree([['apt-get', 'install', 'a b']], yes=False))"
    with pexpect.spawn(sys.executable, ["-c", code], encoding="utf-8", timeout=60) as terminal:
        terminal.expect_exact("apt-get install 'a b'")
        terminal.expect_exact("Go on?")
        terminal.sendline(answer)
        terminal.expect(r"agreed: (\w+)")
        assert terminal.match[1] == agreed


def test_without_someone_to_answer_it_says_so_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.agree([["apt-get", "update"]], yes=False)
    assert "apt-get update" in capsys.readouterr().out


def test_an_engine_is_installed_early_only_where_surely_none_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKERLAB_ENGINE", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert bootstrap._may_answer(private=False)
    assert not bootstrap._may_answer(private=True)
    monkeypatch.setenv("DOCKERLAB_ENGINE", "tcp://127.0.0.1:1")
    assert bootstrap._may_answer(private=True)
    monkeypatch.setenv("DOCKERLAB_ENGINE", "private")
    assert not bootstrap._may_answer(private=False)
