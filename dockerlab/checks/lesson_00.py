"""Lesson 00: the engine you have."""

from __future__ import annotations

from .evidence import Evidence
from .verdict import NotYet, check

_NOTE = "/tmp/note"


@check(
    "00-exercise",
    "a second container of alpine, which does not have the first one's note",
    expected="hello and second run, both of alpine; hello has /tmp/note and second does not",
    hints=(
        "Round 1 starts a container and writes into it. Do half of that again.",
        "lab.run starts one, name=… names it. Write nothing into it: only look.",
        'second = lab.run("alpine", "sleep infinity", name="second"), then answer = lab.exec(second, "cat /tmp/note").',
    ),
)
def _second_container(evidence: Evidence) -> str:
    running = {item["Name"]: item for item in evidence.containers if item["State"]["Running"]}
    for name in ("hello", "second"):
        if name not in running:
            raise NotYet(f"No container {name} runs; running: {', '.join(running) or 'nothing'}.")
    if running["hello"]["Image"] != running["second"]["Image"]:
        raise NotYet(f"second runs, but its image is {running['second']['Config']['Image']}.")
    if evidence.stat(running["hello"], _NOTE) is None:
        raise NotYet(f"hello has no {_NOTE} that second could lack.")
    if evidence.stat(running["second"], _NOTE) is not None:
        raise NotYet(f"second has a {_NOTE} of its own.")
    return f"hello has {_NOTE}, second of the same image has not."
