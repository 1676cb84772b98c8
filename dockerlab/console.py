"""The command line: parses it, sets up what is needed, and calls who does it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import backup_cli, bootstrap
from .engine import package
from .environment import ROOT, STATE
from .errors import DockerLabError, EngineError, NotFoundError
from .steps import Steps

# Until the environment is made only the standard library is here: the rest is imported where it is used.
if TYPE_CHECKING:
    from .engine.find import Engine

Arguments = argparse.Namespace
NOTEBOOKS = ROOT / "notebooks"
TEST_HOME = STATE / "test"
# They wait for engines more than they compute; each process has an engine of its own.
ALL_TESTS = ["--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal"]


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words of a command line say and return the exit status."""
    words = sys.argv[1:] if words is None else words
    parser = _parser()
    chosen, rest = parser.parse_known_args(words)
    if rest and chosen.do is not test:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    chosen.rest = rest
    if chosen.do is test:  # an engine of its own: a learner's volumes are no place for tests
        os.environ.setdefault("DOCKERLAB_HOME", str(TEST_HOME))
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # whoever ends us ends what we started, as Ctrl-C does
        signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        bootstrap.set_up(words, test=chosen.do is test, engine=chosen.engine, yes=chosen.yes)
        status: int = chosen.do(chosen)
        return status
    except DockerLabError as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        return 130


def up(chosen: Arguments) -> int:
    """Start the engine and JupyterLab, and wait until it ends."""
    from .jupyter import Server

    _check_clone()
    with Server(NOTEBOOKS, STATE / "jupyter", port=chosen.port) as server:
        with Steps(bootstrap.LOG) as steps:
            engine = _engine(steps, yes=chosen.yes)
            environment = _environment(engine)
            steps.together(
                lambda: steps.do("JupyterLab", lambda say: server.start(environment)),
                lambda: _provide_images(engine, steps),
            )
        url = server.url("00_start_here.ipynb")
        print(f"\n{engine!r}\nJupyterLab is ready: {url}\nCtrl-C ends it.", flush=True)
        if not chosen.no_browser:
            _open(url)
        try:
            return server.wait()
        except KeyboardInterrupt:
            print("\nJupyterLab ends. The engine and what the lessons keep stay; `python3 -m dockerlab down` stops it.")
            return 0


def run(chosen: Arguments) -> int:
    """Run lessons without a browser, a line each; 1 if one failed."""
    return int(not all(outcome.passed for outcome in _run(chosen, chosen.lesson)[0]))


def render(chosen: Arguments) -> int:
    """Run all lessons and write them as pages of HTML, or none if one failed."""
    from . import pages

    outcomes, engine = _run(chosen)
    if not all(outcome.passed for outcome in outcomes):
        print(f"Nothing was written to {chosen.folder}: first all lessons have to pass.", file=sys.stderr)
        return 1
    print(f"The course is at {pages.write(outcomes, engine, chosen.folder)}")
    return 0


def _run(chosen: Arguments, wanted: Sequence[str] = ()) -> tuple[list[Any], Engine]:
    from . import lessons

    _check_clone()
    paths = lessons.choose(NOTEBOOKS, wanted)
    with Steps(bootstrap.LOG) as steps:
        engine = _engine(steps, yes=chosen.yes)
        _provide_images(engine, steps)
    outcomes = lessons.run(paths, environment=_environment(engine))
    print(lessons.proven(outcomes, engine))
    return outcomes, engine


def test(chosen: Arguments) -> int:
    """Run the tests with pytest, which gets all arguments that are not ours; without any, all tests side by side."""
    import pytest

    _check_clone()
    os.chdir(ROOT)
    return int(pytest.main(chosen.rest or ALL_TESTS))


def doctor(chosen: Arguments) -> int:
    """Say what is here, try it, and name the next step; 1 where the course can't be used."""
    from .doctor import examine

    report = examine()
    print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) if chosen.json else report)
    return 0 if report.usable else 1


def down(chosen: Arguments) -> int:
    """Stop the private engine; with --purge delete all that it holds, after a question."""
    from .engine import private

    if chosen.purge and (lost := _volumes()):
        print("These volumes, and all else in the private engine, will be lost:", *lost, sep="\n  ", flush=True)
        if not chosen.yes and not sys.stdin.isatty():
            raise EngineError("Nothing was deleted.", "Nobody is here to answer.", "Say --yes if they may go.")
        if not chosen.yes and input("Delete them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was deleted.")
            return 1
    private.stop(purge=chosen.purge)
    if chosen.purge:
        shutil.rmtree(private.home() / "parts", ignore_errors=True)  # fetched again for the next stand-in
    print("The private engine is stopped" + (" and what it held deleted." if chosen.purge else "; its volumes stay."))
    return 0


def images(chosen: Arguments) -> int:
    """Make the course's images be there, or carry them from one machine to another."""
    from .engine import images as course

    with Steps(bootstrap.LOG) as steps:
        engine = _engine(steps, yes=chosen.yes)
        if chosen.what == "load":
            steps.do(f"Load {chosen.path}", lambda say: course.load(engine, chosen.path))
            return 0
        _provide_images(engine, steps)
        if chosen.what == "save":
            steps.do(f"Save {chosen.path}", lambda say: course.save(engine, chosen.path))
    return 0


def _engine(steps: Steps, *, yes: bool) -> Engine:
    """Return an engine that answers, else the private one, started, for which its package may have to be installed."""
    from .engine.find import find

    with contextlib.suppress(EngineError):
        return find(start=False)
    if os.environ.get("DOCKERLAB_ENGINE", "private") == "private" and bootstrap.may_be_root():
        commands = None if package.installed() else package.install_command()
        if commands and bootstrap.agree(commands, yes):
            steps.do("System packages", lambda say: package.install((), say))
    return steps.do("Docker engine", lambda say: find())


def _provide_images(engine: Engine, steps: Steps) -> None:
    from .engine.images import COURSE, ensure

    def step(name: str) -> Any:
        return lambda: steps.do(name, lambda say: ensure(engine, name, report=say))

    steps.together(*map(step, COURSE))


def _environment(engine: Engine) -> dict[str, str]:
    """What leads kernels, and the docker CLI in JupyterLab's terminals, to this engine."""
    return engine.cli_env() | ({"DOCKERLAB_ENGINE": "private"} if engine.private else {})


def _volumes() -> list[str]:
    """The volumes in the private engine, which is started to be asked."""
    from .engine import private
    from .engine.find import find

    if not private.home().exists():
        return []
    try:
        return [volume.name for volume in find("private").client.volumes.list()]
    except EngineError as error:
        return [f"(which ones can't be said: {error.seen or error.what})"]


def _check_clone() -> None:
    if not NOTEBOOKS.is_dir():
        seen = f"Seen: no folder {NOTEBOOKS}."
        raise NotFoundError("The lessons are not here.", seen, "Use a clone of the course, not an installed package.")


def _open(url: str) -> None:
    """Open a browser where there is a screen."""
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & set(os.environ):
        return
    # By way of a page that only its owner can read: a command line, and a token in it, is for all to see.
    page = STATE / "open.html"
    page.unlink(missing_ok=True)
    page.touch(mode=0o600)
    page.write_text(f'<meta http-equiv="refresh" content="0; url={url}">')
    webbrowser.open(page.as_uri())


def _parser() -> argparse.ArgumentParser:
    about = "Where container data lives: a course on a real engine."
    parser = argparse.ArgumentParser(prog="dockerlab", description=about)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(do: Any, about: str, *, engine: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(do.__name__, help=about, description=f"{about.capitalize()}.", allow_abbrev=False)
        added.add_argument("--yes", "-y", action="store_true", help="ask nothing")
        added.set_defaults(do=do, engine=engine)
        return added

    added = command(up, "set everything up and open JupyterLab on the lessons")
    added.add_argument("--no-browser", action="store_true", help="only print the address")
    added.add_argument("--port", type=int, help="listen on this port (without: a free one, from 8888)")
    added = command(run, "run lessons without a browser, a line each")
    added.add_argument("lesson", nargs="*", help="number or name, as 03 or 03_persistence_proof (without: all)")
    added = command(render, "run the lessons and write them as pages of HTML, for where no kernel is")
    added.add_argument("folder", nargs="?", type=Path, default=ROOT / "site", metavar="FOLDER", help="(without: site)")
    command(test, "run the tests; other arguments go to pytest")
    added = command(doctor, "say what is here, whether it works, and what to do next", engine=False)
    added.add_argument("--json", action="store_true", help="the same for programs")
    added = command(down, "stop the course's private engine", engine=False)
    added.add_argument("--purge", action="store_true", help="delete its images and volumes as well")
    added = command(images, "make the course's images be there, or carry them elsewhere")
    kinds = added.add_subparsers(dest="what", metavar="WHAT", required=True)
    kinds.add_parser("prefetch", help="pull them, or build what stands in for them")
    for what, about in {"save": "write them into a bundle", "load": "take them from a bundle"}.items():
        kinds.add_parser(what, help=about).add_argument("path", type=Path, metavar="PATH")
    backup_cli.add_commands(commands)
    return parser
