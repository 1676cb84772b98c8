"""Docker's own words: what every command has in common, its line for each shell, and the line without passwords."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import CommandError

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = [
    "Command",
    "Output",
    "argv",
    "checked_pairs",
    "checked_port",
    "pairs",
    "redact",
    "redact_message",
    "with_input",
]

_PORT = re.compile(r"\d+(/(tcp|udp|sctp))?")
# A bare comma makes an array in PowerShell, and a dot splits what looks like an option.
_PLAIN_IN_POWERSHELL = re.compile(r"--?[A-Za-z-]+|[A-Za-z0-9_./:=\\+][A-Za-z0-9_./:=\\+-]*")
_QUOTES_IN_POWERSHELL = re.compile("(['‘’‚‛])")  # noqa: RUF001 - it takes each of these for a single quote

_NAME = r"[\w.-]*(?:PASS|SECRET|TOKEN|CREDENTIAL|_PWD|(?<![A-Za-z0-9])KEY(?![A-Za-z0-9]))[\w.-]*"
_FLAG = re.compile(rf"--?{_NAME}", re.IGNORECASE)
# A whole word, as an option's value is one: what follows the "=" is secret to its end.
_PAIR = re.compile(rf"((?:--?[\w-]*=)?{_NAME}=)(.+)", re.IGNORECASE | re.DOTALL)
# Within a longer text: a shell's assignment, a connection's settings, JSON, SQL's PASSWORD and a URL's login. SQL says
# a text in four ways ('…', E'…', U&'…', $tag$…$tag$), and where its end is missing the refusal quotes all of it.
_INSIDE = [
    re.compile(rf"((?<![\w.-]){_NAME}(?:\s*=|['\"]\s*:)\s*)('[^']*'|\"[^\"]*\"|[^\s;&|'\")]+)", re.IGNORECASE),
    re.compile(
        r"(PASSWORD\s+)(E'(?:[^'\\]|\\.|'')*(?:'|\Z)|(?:U&)?'(?:[^']|'')*(?:'|\Z)|\$(\w*)\$.*?(?:\$\3\$|\Z))",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(r"(://[^:/@\s]*:)([^@/\s]+(?=@))"),
]
_QUOTES = re.compile(r"\A(?:(?:E|U&)?'|\"|\$\w*\$)|(?:'|\"|\$\w*\$)\Z", re.IGNORECASE)
_STARS = r"\1***"
# Nearly every line is without: one look for a sign of them spares it the rest.
_SIGN = re.compile("PASS|SECRET|TOKEN|CREDENTIAL|PWD|KEY|://|LOGIN", re.IGNORECASE)


class Command:
    """One docker command: `words()` is its argument list, `call(client)` does the same through the SDK."""

    def words(self) -> list[str]:
        """The command line as `execve` takes it, `docker` first."""
        raise NotImplementedError

    def call(self, client: DockerClient) -> Any:
        """Do it on that engine; docker-py's own exceptions come through."""
        raise NotImplementedError

    def __str__(self) -> str:
        return shlex.join(self.words())

    def __repr__(self) -> str:
        return f"<{self.redacted()}>"

    def powershell(self) -> str:
        """The same line for PowerShell, where a quote inside quotes is doubled."""
        return " ".join(
            word if _PLAIN_IN_POWERSHELL.fullmatch(word) else "'" + _QUOTES_IN_POWERSHELL.sub(r"\1\1", word) + "'"
            for word in self.words()
        )

    def redacted(self) -> str:
        """The line with secret-looking values starred out, for errors and records."""
        return redact(self.words())


@dataclass(frozen=True)
class Output:
    """What a program in a container wrote, standard output and error as they came, and its exit status."""

    text: str
    exit_code: int

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        lines = [self.text.rstrip("\n")] if self.text else []
        return "\n".join(lines if self.exit_code == 0 else [*lines, f"(exit status {self.exit_code})"])


def argv(command: str | Sequence[str] | None) -> tuple[str, ...]:
    """A command as a list of words; a string is split as a shell would split it."""
    if not isinstance(command, str):
        return tuple(command or ())
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise CommandError(
            "This command cannot be split into words.", f"Seen: {error}.", "Close its quotes, or give a list of words."
        ) from None


def with_input(line: str, text: str, mark: str) -> str:
    """A shell's line with that text as its standard input; underscores make `mark` one that no line of the text is."""
    while mark in text.splitlines():
        mark += "_"
    return f"{line} <<'{mark}'\n{text}\n{mark}"


def checked_port(port: int | str) -> str:
    """A container's port with its protocol, `tcp` where none is said; `CommandError` where it is none."""
    if not _PORT.fullmatch(str(port)):
        raise CommandError("This is not a container's port.", f"Seen: {port!r}.", 'Give 5432, or "53/udp".')
    return str(port) if "/" in str(port) else f"{port}/tcp"


def pairs(flag: str, values: Mapping[str, str]) -> list[str]:
    """`-e name=value` for each, as words."""
    return [word for key, value in values.items() for word in (flag, f"{key}={value}")]


def checked_pairs(values: Mapping[str, str]) -> dict[str, str]:
    """Variables or labels as a dict of our own: a command is a value, whatever becomes of the caller's dict."""
    for key in values:
        if not key or re.search(r"[=\s]", key):
            raise CommandError(
                "A variable or label needs a name without '=' and spaces.",
                f"Seen: {key!r}.",
                "Give name and value apart.",
            )
    return {key: str(value) for key, value in values.items()}


def redact(words: Sequence[str]) -> str:
    """A command line whose passwords are stars: values of secret-looking names, SQL's, and those in URLs."""
    line = shlex.join(words)
    return shlex.join(_starred(words)) if _SIGN.search(line) else line


def redact_message(text: str, words: Sequence[str]) -> str:
    """What a program said about a command line, without the passwords that stood in the line."""
    for secret in sorted(set(filter(None, _secrets(words))), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return _inside(text)


def _starred(words: Sequence[str]) -> Iterator[str]:
    for before, word in zip(["", *words], words, strict=False):
        if _announces(before, words):
            yield "***"
        else:
            yield _inside(_PAIR.sub(_STARS, word) if _PAIR.fullmatch(word) else word)


def _announces(flag: str, words: Sequence[str]) -> bool:
    """Whether a password comes next; to `docker login`, `-p` says so."""
    return bool(_FLAG.fullmatch(flag)) or (flag == "-p" and list(words[1:2]) == ["login"])


def _inside(text: str) -> str:
    for pattern in _INSIDE:
        text = pattern.sub(_STARS, text)
    return text


def _secrets(words: Sequence[str]) -> Iterator[str]:
    for before, word in zip(["", *words], words, strict=False):
        if _announces(before, words):
            yield word
        elif match := _PAIR.fullmatch(word):
            yield match[2]
        else:
            found = (_QUOTES.sub("", match[2]) for pattern in _INSIDE for match in pattern.finditer(word))
            yield from filter(None, found)
