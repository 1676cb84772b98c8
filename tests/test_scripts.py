"""A lesson's `lab.script()`, run by a shell on a clean engine, leaves what the lesson left."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import time
from collections import Counter
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell

from dockerlab import Lab, Volume, lessons, verify
from dockerlab.belongings import is_anonymous
from dockerlab.cli import invoke
from dockerlab.commands import Exec
from dockerlab.engine.find import Engine

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

# What a server's database holds, once it answers as the lesson's users see it.
ROWS = """
for try in $(seq 300); do pg_isready -q -h 127.0.0.1 && break; sleep 0.2; done
psql -XAt -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "SELECT * FROM users ORDER BY id"
"""


class Additions:
    """What has come to an engine since this was made."""

    def __init__(self, engine: Engine) -> None:
        self._api, self._before = engine.client.api, set[str]()
        self._before = {*self._containers(), *self._volumes()}

    def _containers(self) -> set[str]:
        return {item["Id"] for item in self._api.containers(all=True)} - self._before

    def _volumes(self) -> set[str]:
        return {item["Name"] for item in self._api.volumes()["Volumes"] or ()} - self._before

    def all(self) -> Counter[tuple[object, ...]]:
        """Containers with image, settings and mounts, and volumes; anonymous volumes are alike."""
        found = Counter[tuple[object, ...]](("volume", _alike(name)) for name in self._volumes())
        for record in map(self._api.inspect_container, self._containers()):
            mounts = (
                (mount["Type"], _alike(mount.get("Name", mount["Source"])), mount["Destination"], mount["RW"])
                for mount in record["Mounts"]
            )
            config, is_running = record["Config"], record["State"]["Running"]
            found[record["Name"], config["Image"], is_running, frozenset(config["Env"]), frozenset(mounts)] += 1
        return found

    def remove(self) -> None:
        for container in self._containers():
            self._api.remove_container(container, v=True, force=True)
        for volume in self._volumes():
            self._api.remove_volume(volume)


def _alike(volume: str) -> str:
    return "anonymous" if is_anonymous(volume) else volume


def play(path: Path, folder: Path) -> Path:
    """Run a lesson up to where it would clean up; return its sitting's script, which lies where the lesson worked."""
    notebook = nbformat.read(path, as_version=4)
    (end,) = (place for place, cell in enumerate(notebook.cells) if cell.id == "cleanup")
    notebook.cells[end:] = [new_code_cell("_ = open('replay.sh', 'w').write(lab.script())")]
    copy = folder / path.name
    nbformat.write(notebook, copy)
    (outcome,) = lessons.run([copy], report=lambda outcome: None)
    assert outcome.passed, outcome
    (script,) = folder.rglob("replay.sh")
    return script


def replay(script: str, folder: Path, engine: Engine) -> None:
    environment = os.environ | engine.cli_env()
    shell = subprocess.run(
        ["sh"], input=script, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr


def letters(folder: Path) -> dict[str, pd.DataFrame]:
    """What is in the archives of the volume that holds the same each time, but for when it was written."""
    frames = {path.name: verify(path).frame() for path in folder.glob("my-data*.tar.gz")}
    return {name: frame.drop(columns="time").sort_values("name", ignore_index=True) for name, frame in frames.items()}


def rows(engine: Engine, server: str | None) -> str:
    """What the table `users` of a server holds."""
    output = Exec(server, ROWS).call(engine.client) if server else None
    assert output is None or output.exit_code == 0, output
    return output.text if output else ""


# Each with a check of what is there at the lesson's end, asked of what the shell made.
@pytest.mark.parametrize(
    ("number", "check", "server"), [("02", "02-exercise", None), ("03", "K19", "late-db"), ("07", "07-exercise", None)]
)
@pytest.mark.timeout(1800)
def test_a_shell_makes_the_same_again(
    engine: Engine, tmp_path: Path, number: str, check: str, server: str | None
) -> None:
    (path,) = lessons.choose(NOTEBOOKS, [number])
    additions = Additions(engine)
    try:
        script = play(path, tmp_path)
        folder, lines, left, archives = script.parent, script.read_text(), additions.all(), letters(script.parent)
        users = rows(engine, server)
        assert bool(users) == bool(server)
        additions.remove()
        for each in folder.iterdir():
            each.unlink()

        lab = Lab(f"lesson-{number}", engine=engine, owner="", echo=None)
        replay(lines, folder, engine)
        assert additions.all() == left
        assert rows(engine, server) == users
        again = letters(folder)
        assert again.keys() == archives.keys()
        assert all(again[name].equals(archives[name]) for name in archives)
        verdict = lab.check(check)
        assert verdict, verdict
    finally:
        additions.remove()


def test_what_only_the_engine_named_is_found_under_its_new_name(engine: Engine, tmp_path: Path) -> None:
    name, additions = f"test-{secrets.token_hex(4)}", Additions(engine)
    try:
        with Lab(name, engine=engine, owner="", echo=None) as lab:
            invoke(lab, "run -d -v '/my notes' -v /other alpine sleep 1000", out=io.StringIO())
            (box,) = lab.containers().itertuples()
            mounts = lab.container(box.name).attrs["Mounts"]
            (orphan,) = (mount["Name"] for mount in mounts if mount["Destination"] == "/my notes")
            invoke(lab, f"exec {box.id} sh -c 'echo kept > \"/my notes/note\"'", out=io.StringIO())
            lab.remove(box.name, force=True)
            copied = [Volume(orphan, "/from"), Volume("copy", "/to")]
            lab.run("alpine", "cp /from/note /to", mounts=copied, detach=False, remove=True)
            script = lab.script()

        replay(script, tmp_path, engine)
        again = Lab(name, engine=engine, owner="", echo=None)
        note = again.run("alpine", "cat /to/note", mounts=[Volume("copy", "/to")], detach=False, remove=True)
        assert note.text == "kept\n"
        assert orphan not in script
    finally:
        additions.remove()


def test_what_a_line_made_is_known_where_this_machine_s_clock_is_ahead_of_the_engine_s(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600)
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        invoke(lab, "run -d alpine sleep 1000", out=io.StringIO())
        (box,) = lab.containers().itertuples()
        lab.remove(box.name, force=True)
        assert 'docker rm -f "$container_1"' in lab.script().splitlines()


def test_a_body_with_the_mark_s_own_line_is_the_input_as_it_was(lab: Lab, tmp_path: Path) -> None:
    body = "one\nEND_OF_INPUT\ntwo\n"
    invoke(lab, "run -i --name reader alpine cat", body, io.StringIO())
    script = lab.script()
    said = lab.container("reader").logs()
    lab.remove("reader")
    replay(script, tmp_path, lab.engine)
    assert lab.container("reader").logs() == said == body.encode()


def test_what_an_earlier_sitting_had_left_is_not_removed_again(engine: Engine, tmp_path: Path) -> None:
    name, additions = f"test-{secrets.token_hex(4)}", Additions(engine)
    try:
        Lab(name, engine=engine, owner="", echo=None).run(
            "alpine", "true", mounts=[Volume("old", "/old")], detach=False
        )
        with Lab(name, engine=engine, owner="", echo=None) as lab:
            assert len(lab.cleanup()) == 2
            lab.create_volume("first")
            lab.remove_volume("first")
            lab.create_volume("second")
            script = lab.script()
        additions.remove()

        replay(script, tmp_path, engine)
        assert "# left out (an earlier sitting had left it): docker volume rm old" in script.splitlines()
        assert Lab(name, engine=engine, owner="", echo=None).volumes()["name"].to_list() == ["second"]
    finally:
        additions.remove()
