"""The real docker CLI on the lab's engine, verbatim, with what it makes labelled and what is foreign left alone."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO

import docker.errors

from .commands import redact
from .errors import CommandError, EngineError, ForeignError
from .lab import Lab

__all__ = ["invoke"]

# Options of `docker run`, `create` and `exec` that take no value; every other takes the next word (docker run --help).
_FLAGS = frozenset(
    """
    -d --detach -i --interactive -t --tty -P --publish-all -q --quiet --rm --init --privileged
    --read-only --no-healthcheck --oom-kill-disable --sig-proxy --disable-content-trust --use-api-socket
    --help
    """.split()  # noqa: SIM905
)
_READS = frozenset("ps ls list inspect logs diff images info version top stats port history events search df".split())  # noqa: SIM905
_GROUPS = frozenset("container volume image network system builder buildx context".split())  # noqa: SIM905
_OPERATORS = frozenset({"|", "||", "|&", "&&", "&", ";", "<", "<<", ">", ">>"})


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
    words = _Line(lab, _expand(line), has_input=body is not None)
    for note in words.notes:
        print(note, file=out)
    start = time.perf_counter()
    status = _stream(["docker", *words.argv()], lab.engine.cli_env(), body, out)
    replay = shlex.join(["docker", *words.path, *words.rest]) if words.changed else f"docker {line}"
    if body is not None:
        replay += f" <<'END_OF_INPUT'\n{body.rstrip()}\nEND_OF_INPUT"
    shown = redact(["docker", *words.typed])
    lab.record(replay, shown, time.perf_counter() - start, "done" if status == 0 else f"exit status {status}")
    if status:
        raise CommandError(
            f"This ended with exit status {status}: {shown}",
            "What docker said about it stands above.",
            "Mend the line and run it again; where the refusal was the point, go on.",
        )


def _expand(line: str) -> list[str]:
    """The words that a shell would pass: `$(pwd)`, variables, quotes and wildcards are expanded by a real one."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    try:
        operators = sorted(_OPERATORS & set(lexer))
    except ValueError as error:
        raise CommandError("This line cannot be read.", f"Seen: {error}.", "Look at its quotes.") from None
    if operators:
        raise CommandError(
            "%docker runs one docker command.",
            f"Seen: {' '.join(operators)}, outside of single quotes.",
            "Put it into the container's own shell (sh -c '…'), or run the line in a terminal.",
        )
    shell = shutil.which("bash") or shutil.which("sh")
    if shell is None:  # Windows without one: the course's lines need no more than this.
        return [word.replace("$(pwd)", os.getcwd()).replace("${PWD}", os.getcwd()) for word in shlex.split(line)]
    done = subprocess.run([shell, "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError("The shell cannot read this line.", f"It said: {done.stderr.strip()}", "Look at its quotes.")
    return done.stdout.split("\0")[:-1] if line else []


def _stream(argv: list[str], env: dict[str, str], body: str | None, out: IO[str]) -> int:
    process = subprocess.Popen(
        argv,
        env=os.environ | env,
        stdin=subprocess.DEVNULL if body is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    with process:
        try:
            if process.stdin is not None:
                process.stdin.write(body or "")
                process.stdin.close()
        except BrokenPipeError:
            pass  # It ended without reading its input; its status says why.
        try:
            text = "\n"
            for text in process.stdout:
                print(text, end="", file=out, flush=True)
            if not text.endswith("\n"):
                print(file=out)
        except BaseException:
            process.terminate()  # Interrupt in the notebook ends the command too.
            raise
    return process.returncode


class _Line:
    """One docker line made the lab's own: `typed` as given, `argv()` as it runs, `notes` on what differs and why."""

    def __init__(self, lab: Lab, typed: list[str], *, has_input: bool) -> None:
        self.lab, self.own, self.typed, self.notes = (lab, lab.belongings, typed, list[str]())
        depth = 2 if typed and typed[0] in _GROUPS else 1
        self.path, self.rest = typed[:depth], typed[depth:]
        self.verb = self.path[-1] if self.path else ""
        self.noun = self.path[0] if depth == 2 else "container"
        self.labels: list[str] = []
        self.changed = False
        makes = self.verb in ("run", "create", "build")
        if self.noun == "container" and self.verb in ("run", "create", "exec"):
            self._drop_terminal(has_input)
        if makes:
            self.labels = [word for key, value in self.own.labels.items() for word in ("--label", f"{key}={value}")]
        if self.noun == "container" and self.verb in ("run", "create"):
            self._own_mounts_and_name()
        elif self.noun in ("volume", "network") and self.verb == "create":
            self._own_new_name()
        elif self.verb == "prune":
            self._own_prune()
        else:
            self._own_operands()

    def argv(self) -> list[str]:
        return [*self.path, *self.labels, *self.rest]

    def _options(self) -> Iterator[tuple[str, str, int]]:
        """The options before the first operand: flag, value (empty for a switch) and the index of its last word."""
        index = 0
        while index < len(self.rest) and self.rest[index].startswith("-") and self.rest[index] != "--":
            word = self.rest[index]
            flag, joined, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
            if word in _FLAGS or (not word.startswith("--") and all(f"-{letter}" in _FLAGS for letter in word[1:])):
                yield word, "", index
            elif joined:
                yield flag, value, index
            else:
                index += 1
                yield flag, self.rest[index] if index < len(self.rest) else "", index
            index += 1

    def _drop_terminal(self, has_input: bool) -> None:
        # -i keeps its meaning where the cell has a body to read; detached, it only keeps the input open.
        dropped = {"-t", "--tty"} | (set() if has_input or "-d" in self.rest else {"-i", "--interactive"})
        for flag, value, index in list(self._options()):
            letters = [flag] if flag.startswith("--") else [f"-{letter}" for letter in flag[1:]]
            if not value and (gone := dropped & set(letters)):
                kept = [letter for letter in letters if letter not in gone]
                self.rest[index] = kept[0] if flag.startswith("--") and kept else "-" + "".join(x[1:] for x in kept)
                self.changed = True
                self.notes.append(f"# {' '.join(sorted(gone))} left out: a cell has no terminal")
        self.rest = [word for word in self.rest if word != "-"]

    def _own_mounts_and_name(self) -> None:
        for flag, value, index in list(self._options()):
            if flag == "--name":
                self._replace(index, value, self.own.full(value))
            elif flag in ("-v", "--volume"):
                source, colon, target = value.partition(":")
                if colon and not source.startswith(("/", ".", "~")) and len(source) > 1:
                    self.lab.claim_volume(self.own.full(source), quietly=True)
                    self._replace(index, value, f"{self.own.full(source)}:{target}")
            elif flag == "--mount" and not {"type=bind", "type=tmpfs"} & set(value.split(",")):
                options = [option.partition("=") for option in value.split(",")]
                for _, _, source in (option for option in options if option[0] in ("source", "src")):
                    self.lab.claim_volume(self.own.full(source), quietly=True)
                named = [(k, e, self.own.full(v)) if k in ("source", "src") else (k, e, v) for k, e, v in options]
                self._replace(index, value, ",".join("".join(option) for option in named))

    def _replace(self, index: int, old: str, new: str) -> None:
        self.rest[index] = self.rest[index].removesuffix(old) + new

    def _own_new_name(self) -> None:
        if self.rest and not self.rest[-1].startswith("-"):
            self.rest[-1] = self.own.full(self.rest[-1])
            labels = self._labels_of(self.rest[-1])
            if labels is not None:
                self.own.refuse_foreign(self.noun, self.rest[-1], labels)

    def _own_operands(self) -> None:
        """Names of what is there get the owner's prefix; what a command would change must be the lab's."""
        start = max((index + 1 for _, _, index in self._options()), default=0) if self.verb == "exec" else 0
        for index in range(start, start + 1 if self.verb == "exec" else len(self.rest)):
            word = self.rest[index : index + 1]
            for name in dict.fromkeys((self.own.full(word[0]), word[0]) if word else ()):
                labels = self._labels_of(name)
                if labels is not None:
                    if self.verb not in _READS:
                        self.own.refuse_foreign(self.noun, name, labels)
                    self.rest[index] = name
                    break

    def _labels_of(self, name: str) -> dict[str, str] | None:
        """The labels of the container, volume or network of that name; None where there is none."""
        api = self.lab.engine.client.api
        try:
            if self.noun == "volume":
                return dict(api.inspect_volume(name)["Labels"] or {})
            if self.noun == "network":
                return dict(api.inspect_network(name)["Labels"] or {})
            return dict(api.inspect_container(name)["Config"]["Labels"] or {})
        except (docker.errors.APIError, docker.errors.NullResource):
            return None

    def _own_prune(self) -> None:
        if not self.own.private:
            self.rest += [
                word for key, value in self.own.labels.items() for word in ("--filter", f"label={key}={value}")
            ]
            self.notes.append(f"# limited to what the lab {self.own.lab} made")
        elif self.noun == "volume":
            plan = self.lab.plan_prune(all=bool({"-a", "--all"} & set(self.rest)))
            if plan.foreign:
                raise ForeignError(
                    "This prune would also take volumes that are not this lab's.",
                    f"Seen: {', '.join(plan.foreign)}.",
                    "End the labs that made them first (cleanup), or use lab.plan_prune(): it takes only this lab's.",
                )
            self.notes.append(f"# on this engine it takes: {', '.join(plan.removes['name']) or 'nothing'}")
        if not {"-f", "--force"} & set(self.rest):
            self.notes.append("# a cell cannot answer docker's question: without -f nothing is removed")
