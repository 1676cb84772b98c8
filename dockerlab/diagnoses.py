"""What Postgres says when it does not start, does not let us in or refuses a statement, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg

from .errors import PostgresError
from .frames import names

__all__ = ["is_refusal", "of_exit", "of_login", "of_silence", "of_statement", "tail"]

_ONLY_AT_FIRST = (
    "POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB count only when the data directory is first made, "
    "and are stored in it: use those of that time."
)
# What ends a log, in the order in which to look: a sign, what it means, what to do.
_ENDS = (
    (
        "superuser password is not specified",
        "A new data directory needs a password for its superuser, and none was given.",
        "Give it one: -e POSTGRES_PASSWORD=… in docker's words, password=… in Postgres(…).",
    ),
    (
        "database files are incompatible with server",
        "The data directory was made by another major version of Postgres, which this one can't read.",
        "Use an image of the version that made it (image=…); to move on, dump it there, and load that in a new volume.",
    ),
    (
        "exists but is not empty",
        "The volume holds something that is not a Postgres data directory.",
        "Take another volume, or look at what is in this one: it was left as it is.",
    ),
    ("No space left on device", "The engine's disk is full.", "Make room (docker system df), and start it again."),
)
_REFUSED = re.compile(
    r"password authentication failed|role \".*\" (does not exist|is not permitted)|database \".*\" does not exist"
    r"|no pg_hba.conf entry|permission denied for database|no password supplied|not currently accepting connections"
)
_NEXT = {
    "42P01": 'Look at what there is: db.psql("\\\\dt").',
    "42703": 'Look at its columns: db.psql("\\\\d") and the table\'s name.',
    "57014": "It was cancelled, and nothing of it was kept.",
    "57P01": "The server was stopped while it worked; nothing of the call was kept. Start it, and run it again.",
}


def tail(log: str, lines: int = 3) -> str:
    """The last lines of a log in one, without their times."""
    kept = [re.sub(r"^[\d-]+ [\d:.]+ \w+ \[\d+\] ", "", line).strip() for line in log.splitlines() if line.strip()]
    return " / ".join(kept[-lines:]) or "empty"


def of_exit(name: str, code: int, log: str, star: Callable[[str], str]) -> PostgresError:
    """Why a server's container ended, from its log; `star` takes the passwords out of a text."""
    for sign, meaning, next_step in _ENDS:
        if sign in log:
            told = [line for line in log.splitlines() if sign in line or "DETAIL:" in line][-2:]
            return PostgresError(
                f"Postgres in {name} ended at once: {meaning}",
                f"Exit status {code}. Its log: {tail(star(chr(10).join(told)))}",
                next_step,
            )
    return PostgresError(
        f"Postgres in {name} ended before it answered.",
        f"Exit status {code}. Its log ends: {tail(star(log), 5)}",
        "Mend what the log names, and start it again.",
    )


def is_refusal(error: BaseException) -> bool:
    """Whether a server that is up does not let us in, and won't a moment later either."""
    return bool(_REFUSED.search(str(error)))


def of_login(name: str, reason: str) -> PostgresError | None:
    """Why a server that is up does not let us in; None where it is something else."""
    lines = [line for line in reason.splitlines() if _REFUSED.search(line)]
    if not lines:
        return None
    said = lines[0].rpartition("FATAL:")[2].strip()
    return PostgresError(f"Postgres in {name} refuses the login.", f"It said: {said}", _ONLY_AT_FIRST)


def of_silence(name: str, waited: float | None, state: str, reason: str, log: str) -> PostgresError:
    """A server that did not answer, in so many seconds if we waited."""
    return PostgresError(
        f"Postgres in {name} did not answer{f' within {waited:g} s' if waited is not None else ''}.",
        f"Its container is {state}; the last try: {' '.join(reason.split()).rstrip('.')}. Its log ends: {tail(log)}",
        "It is left as it is: read its log (docker logs), or run the cell again to wait on, with timeout=… if need be.",
    )


def of_statement(query: str, error: psycopg.Error, star: Callable[[str], str]) -> PostgresError:
    """Why a statement was refused: Postgres's message, the place with a caret before it, and its hint or ours.

    `star` takes the passwords out of a text.
    """
    told = error.diag
    message = told.message_primary or str(error).partition("\n")[0].strip('"')
    if told.statement_position:
        place = int(told.statement_position) - 1
        line, start = query.count("\n", 0, place) + 1, query.rfind("\n", 0, place) + 1
        # Cut only when the passwords are out: half of one would not be found any more.
        before, _, after = star(f"{query[start:place]}\0{query[place:].partition(chr(10))[0]}").partition("\0")
        seen = f"Line {line}, at the ^: {before.lstrip()[-70:]}^{after.rstrip()[:70]}"
    else:
        seen = told.message_detail or f"In: {' '.join(star(query).split())[:100]}"
    next_step = told.message_hint or _next_step(query, error)
    return PostgresError(f"Postgres refused this: {star(message)}", " ".join(star(seen).split()), star(next_step))


def _next_step(query: str, error: psycopg.Error) -> str:
    if error.sqlstate == "42601":
        if query.lstrip().startswith("\\"):
            return "Commands with a backslash are psql's own: db.psql(…)."
        if 'near ":"' in str(error) and (missing := sorted(names(query))):
            return f"Give it its value: db.sql(query, {', '.join(f'{name}=…' for name in missing)})."
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        return "Python has no such value: cast it to text in the query (::text)."
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return "The connection was lost on the way: look whether the call was kept before you run it again."
    if "COPY" in str(error):
        return r"Use psql's: db.psql('\\copy …')."
    return _NEXT.get(error.sqlstate or "", "Nothing of this call was kept. Mend it, and run it again.")
