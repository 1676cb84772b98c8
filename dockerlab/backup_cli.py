"""The command line's words for backups: backup, verify, restore, rehearse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

# Until the environment is made only the standard library is here: the rest is imported where it is used.
__all__ = ["add_commands"]

# A lab of its own, whose volumes stay: nothing cleans it up.
LAB = "backup"


def add_commands(commands: Any) -> None:
    """Add the four words to the subparsers of a command line; each sets `do` to what does it and returns its status."""
    added = _command(commands, "backup", "back_up", "back a volume up into a .tar.gz")
    added.add_argument("volume", metavar="VOLUME")
    added.add_argument("path", nargs="?", type=Path, metavar="PATH", help="(without: VOLUME.tar.gz, here)")
    ways = "what to do where running containers use it: they run again afterwards"
    added.add_argument("--consistent", choices=("stop", "pause", "live"), help=ways)
    added = _command(commands, "verify", "verify", "read an archive to its end, and say whether it is whole")
    added.add_argument("path", type=Path, metavar="PATH")
    added = _command(commands, "restore", "restore", "restore a volume from an archive, and compare the two")
    added.add_argument("path", type=Path, metavar="PATH")
    added.add_argument("volume", metavar="VOLUME")
    added.add_argument("--replace", action="store_true", help="what the volume holds goes, once all went well")
    about = "restore an archive into a volume of its own, compare, and remove that"
    added = _command(commands, "rehearse", "rehearse", about)
    added.add_argument("path", type=Path, metavar="PATH")


def _command(commands: Any, word: str, function: str, about: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        word, help=about, description=f"{about.capitalize()}.", allow_abbrev=False
    )
    added.add_argument("--quiet", "-q", action="store_true", help="show no progress")
    if word != "verify":
        added.add_argument("--lab", default=LAB, metavar="NAME", help="whose volumes and containers it may change")
    # An engine that answers is taken, or the private one; none is installed for this.
    added.set_defaults(do=_do, function=function, engine=False, yes=False)
    return added


def _do(chosen: argparse.Namespace) -> int:
    from . import backup

    given = {name: getattr(chosen, name) for name in ("volume", "path", "consistent", "replace") if name in chosen}
    if "lab" in chosen:
        from .lab import Lab

        lab = Lab(chosen.lab, echo=lambda line: print(line, file=sys.stderr))
        given["lab"] = lab
    given["progress"] = sys.stdout.isatty() and not chosen.quiet
    print(getattr(backup, chosen.function)(**given))
    return 0
