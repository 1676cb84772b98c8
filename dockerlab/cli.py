"""The real docker CLI on the lab's engine, verbatim, with what it makes labelled and what is foreign left alone."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO

from docker import DockerClient

from .errors import CommandError, EngineError
from .lab import Lab
from .lines import Line
from .refusals import explained
from .words import Command, redact_message, with_input

__all__ = ["invoke"]

_OPERATORS = frozenset("|;&<>")
INTERRUPT_SECONDS = 2


@dataclass(frozen=True, repr=False)
class _Typed(Command):
    """A line of the learner's own."""

    typed: tuple[str, ...]

    def words(self) -> list[str]:
        return ["docker", *self.typed]

    def call(self, client: DockerClient) -> None:
        raise NotImplementedError("the CLI does it")


def invoke(lab: Lab, line: str, body: str | None = None, out: IO[str] | None = None) -> None:
    """Run `docker <line>` on the lab's engine, printing what it prints as it comes; `body` is its standard input.

    The lab's labels are added to what it makes and an owner's prefix to names; `-t` is dropped, since a cell has no
    terminal. Raises `CommandError` when the CLI ends with another status than 0, and `ForeignError` before anything
    is changed that is not the lab's.
    """
    if shutil.which("docker") is None:
        raise EngineError(
            "The docker command-line program is not on this machine.",
            "Seen: no `docker` on the PATH.",
            "Install it (Debian: docker.io or docker-cli), or use the lab's methods: they do not need it.",
        )
    out = out or sys.stdout
    line = line.replace("\\\n", " ").strip().removeprefix("docker ")
    environment = os.environ | lab.engine.cli_env()
    typed = _Typed(tuple(_expand(line, environment)))
    with explained(typed, lab.engine.client, lab.belongings):
        own = Line(lab, list(typed.typed), has_input=body is not None, say=lambda text: print(text, file=out))
    for note in own.notes:
        print(note, file=out)
    start = time.perf_counter()
    outcome = "interrupted"
    try:
        status = _stream(["docker", *own.argv()], environment, body, out)
        outcome = f"exit status {status}" if status else "done"
    finally:
        # As typed where that is what ran: another day, `$(pwd)` is another folder.
        replay = f"docker {line}" if own.argv() == own.typed else shlex.join(["docker", *own.argv()])
        if body is not None:
            replay = with_input(replay, body.rstrip(), "END_OF_INPUT")
        lab.record(replay, typed.redacted(), time.perf_counter() - start, outcome)
    if status:
        raise CommandError(
            f"This ended with exit status {status}: {typed.redacted()}",
            "What docker said about it stands above.",
            "Mend the line and run it again; where the refusal was the point, go on.",
        )


def _expand(line: str, environment: dict[str, str]) -> list[str]:
    """The words that a shell would pass: `$(pwd)`, variables, quotes and wildcards are expanded by a real one."""
    try:
        operators = _operators(line)
    except ValueError as error:
        raise CommandError("This line cannot be read.", f"Seen: {error}.", "Look at its quotes.") from None
    if operators:
        raise CommandError(
            "%docker runs one docker command.",
            f"Seen: {' '.join(operators)}, outside of quotes.",
            "Put it into the container's own shell (sh -c '…'), or run the line in a terminal.",
        )
    shell = shutil.which("bash") or shutil.which("sh")
    if shell is None:  # Windows without one: the course's lines need no more than this.
        return [word.replace("$(pwd)", os.getcwd()).replace("${PWD}", os.getcwd()) for word in shlex.split(line)]
    # `docker ps -q` inside the line must ask the same engine. Only line ends part its answer into words, so that
    # $(pwd) is one word in a folder with a space in its name too.
    done = subprocess.run(
        [shell, "-c", f"IFS='\n'; printf '%s\\0' {line}"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        # Its first line says why; a further one of bash's quotes all of ours.
        said = redact_message(done.stderr.partition("\n")[0], [*line.split(), line])
        raise CommandError("The shell cannot read this line.", f"It said: {said}", "Look at its quotes and brackets.")
    return done.stdout.split("\0")[:-1] if line else []


def _operators(line: str) -> list[str]:
    """A shell's operators in the line; raises `ValueError` where a quote is not closed."""
    found = _tokens(line, posix=True)
    if found:
        # A quoted one looks the same once its quotes are read, so the line is read with them too.
        with contextlib.suppress(ValueError):
            found &= _tokens(line, posix=False)
    return sorted(found)


def _tokens(line: str, *, posix: bool) -> set[str]:
    lexer = shlex.shlex(line, posix=posix, punctuation_chars="".join(_OPERATORS))
    lexer.commenters = ""  # in a shell, a "#" within a word begins nothing
    return {token for token in lexer if token and _OPERATORS.issuperset(token)}


def _stream(argv: list[str], environment: dict[str, str], body: str | None, out: IO[str]) -> int:
    with tempfile.TemporaryFile() as file:  # a pipe would wait for a program that writes before it has read all
        file.write((body or "").encode())
        file.seek(0)
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    assert process.stdout is not None
    with process:
        try:
            text = "\n"
            for text in process.stdout:
                print(text, end="", file=out, flush=True)
            if not text.endswith("\n"):
                print(file=out)
            return process.wait()
        except BaseException:
            # Interrupt in the notebook ends the command too, one that will not hear of it as well.
            process.terminate()
            try:
                process.wait(INTERRUPT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
