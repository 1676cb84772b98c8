"""What is this lab's own: labels, names, and the anonymous volumes that no label marks."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .engine.find import Engine
from .engine.private import home
from .errors import CommandError, ForeignError

__all__ = [
    "FOLDER_MARK",
    "HELPER_LABEL",
    "LABEL",
    "OWNER_LABEL",
    "RM_LABEL",
    "Belongings",
    "built_by",
    "is_anonymous",
    "shown",
]

LABEL = "dockerlab"
OWNER_LABEL = "dockerlab.owner"
# A container inherits the labels of its image, so what marks an image as built here must be another one: a foreign
# container made of such an image stays foreign.
BUILT_LABEL = "dockerlab.built"
# Marks what is there for a backup or restore only; its value is that of the `Underway`. The pictures leave it out.
HELPER_LABEL = "dockerlab.helper"
# Marks what %docker runs with --rm: no event tells what the engine removes by itself from what docker rm does.
RM_LABEL = "dockerlab.rm"
# A file in each folder that a lesson made: no other folder is emptied or removed.
FOLDER_MARK = ".made-by-a-lesson"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


def is_anonymous(volume: str) -> bool:
    """Whether a volume's name is one that the engine made up: 64 hexadecimal digits."""
    return bool(_ANONYMOUS.fullmatch(volume))


def shown(volume: str) -> str:
    """A volume's name as it is shown: of an anonymous one the first 12 digits, as Docker shortens ids."""
    return volume[:12] if is_anonymous(volume) else volume


class Belongings:
    """The labels and names of one lab, and the question whether something is its own.

    `owner` keeps several people apart on one engine: it is a second label, and a prefix of every name.
    """

    def __init__(self, lab: str, owner: str, engine: Engine) -> None:
        for what, value in (("lab", lab), ("owner", owner)):
            if not _NAME.fullmatch(value) and (value or what == "lab"):
                raise CommandError(
                    f"A name of this form cannot be a {what}'s.",
                    f"Seen: {value!r}.",
                    "Use lower-case letters, digits, _ . - and start with a letter or digit.",
                )
        self.lab, self.owner, self.private = lab, owner, engine.private
        self.labels = {LABEL: lab} | ({OWNER_LABEL: owner} if owner else {})
        self.image_labels = {BUILT_LABEL: f"{owner}/{lab}"}
        self._prefix = f"{owner}-" if owner else ""
        # The lists outlive the kernels, so that a later cleanup still finds what no label marks.
        self._lists, self._place = home() / "labs", hashlib.sha256(engine.url.encode()).hexdigest()[:8]
        self._list = self._lists / (owner or "_") / f"{lab}.{self._place}.volumes"
        self._remembered, self._others = set[str](), set[str]()
        self.recall()

    def full(self, name: str) -> str:
        """A learner's name as the engine has it: with the owner's prefix, unless it has it or the engine made it up."""
        return name if name.startswith(self._prefix) or is_anonymous(name) else self._prefix + name

    def full_image(self, name: str) -> str:
        """The same for an image built here; one with a registry or an account in its name keeps it."""
        return name if "/" in name or name.startswith("sha256:") else self.full(name)

    def short(self, name: str) -> str:
        """The engine's name as the learner gave it."""
        return name.removeprefix(self._prefix)

    def made(self, labels: Mapping[str, str] | None, name: str = "") -> bool:
        """Whether this lab made it."""
        labels = labels or {}
        if LABEL in labels:
            return labels[LABEL] == self.lab and labels.get(OWNER_LABEL, "") == self.owner
        return name in self._remembered

    def may_touch(self, labels: Mapping[str, str] | None, name: str = "") -> bool:
        """Whether this lab may change it: its own, and on the course's own engine what is nobody's."""
        nobodys = LABEL not in (labels or {}) and name not in self._others
        return self.made(labels, name) or (self.private and nobodys)

    def refuse_foreign(self, kind: str, name: str, labels: Mapping[str, str] | None) -> None:
        """Raise `ForeignError` unless this lab may change it."""
        if is_anonymous(name):
            self.recall()
        if self.may_touch(labels, name):
            return
        other, owner = (labels or {}).get(LABEL), (labels or {}).get(OWNER_LABEL)
        if other is None:
            where = "was made for another lab" if name in self._others else "carries no label of this lab"
            seen, next_step = f"It {where}.", "Choose another name; it is left as it is."
        else:
            seen = f"It belongs to the lab {other!r}" + (f" of {owner}." if owner else ".")
            call = f"Lab({other!r}" + (f", owner={owner!r})" if owner else ")")
            next_step = f"Choose another name, or end that lab with {call}.cleanup()."
        raise ForeignError(f"The {kind} {self.short(name)} is not this lab's ({self.lab}).", seen, next_step)

    def notice(self, containers: Iterable[Mapping[str, Any]]) -> None:
        """Remember the anonymous volumes of these containers (records of `docker ps`), if the lab made them."""
        new = {
            mount["Name"]
            for container in containers
            if self.made(container.get("Labels"))
            for mount in container.get("Mounts", ())
            if mount.get("Type") == "volume" and is_anonymous(mount.get("Name", ""))
        } - self._remembered
        if new:
            self._remembered |= new
            # A full or read-only disk costs the memory across kernels, not the command that was run.
            with contextlib.suppress(OSError):
                self._list.parent.mkdir(parents=True, exist_ok=True)
                with self._list.open("a") as lines:
                    lines.writelines(f"{name}\n" for name in sorted(new))

    def recall(self) -> None:
        """Learn what this lab noticed in another kernel, and what other labs did."""
        lists = dict[Path, list[str]]()
        with contextlib.suppress(OSError):
            for path in sorted(self._lists.glob(f"*/*.{self._place}.volumes")):
                with contextlib.suppress(FileNotFoundError):  # another lab's cleanup removes its list at any moment
                    lists[path] = path.read_text().split()
        self._remembered.update(lists.pop(self._list, ()))
        self._others = {name for names in lists.values() for name in names}

    def forget(self) -> None:
        """The list is empty again: after a cleanup."""
        self._remembered.clear()
        with contextlib.suppress(OSError):
            self._list.unlink()


def built_by(labels: Mapping[str, str] | None) -> dict[str, str]:
    """An image's labels said as those of a container, to ask the same questions of both."""
    owner, slash, lab = (labels or {}).get(BUILT_LABEL, "").partition("/")
    return {LABEL: lab} | ({OWNER_LABEL: owner} if owner else {}) if slash else {}
