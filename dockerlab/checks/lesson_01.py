"""Lesson 01: where a container writes."""

from __future__ import annotations

from typing import Any

from .evidence import Evidence, moment
from .verdict import NotYet, check

_KINDS = {"A": "added", "C": "changed", "D": "deleted"}


def _told(written: dict[str, str]) -> str:
    """`added /note, deleted /etc/motd`: a few of the files for each kind of change."""
    parts = []
    for kind, verb in _KINDS.items():
        paths = [path for path, found in written.items() if found == kind]
        more = ", …" if len(paths) > 2 else ""
        parts += [f"{verb} {', '.join(paths[:2])}{more}"] if paths else []
    return ", ".join(parts)


@check(
    "K1",
    "what a container writes goes into a layer of its own; image and other containers see none of it",
    expected="a container that has added, changed and deleted files, and another one of its image that has not",
    hints=(
        "docker diff has three letters: A, C and D. Which of them does none of your containers show yet?",
        "In one container add a file, change one of the image's and delete another; start a second one and leave it.",
        'lab.exec(first, "echo hi > /note; echo hello >> /etc/motd; rm /etc/profile"), and a second, idle container.',
    ),
)
def _layers(evidence: Evidence) -> str:
    seen = [(container, evidence.written(container)) for container in evidence.containers]
    writers = [(container, written) for container, written in seen if set(written.values()) == set(_KINDS)]
    if not writers:
        told = [f"{container['Name']} has {_told(written)}" for container, written in seen if written]
        raise NotYet(f"{'; '.join(told) or 'No container of this lab has written anything'}.")
    for writer, written in writers:
        for other, its_own in seen:
            same_image = other["Image"] == writer["Image"] and other["Id"] != writer["Id"]
            only = {path: kind for path, kind in written.items() if path not in its_own}
            if same_image and set(only.values()) == set(_KINDS):
                return (
                    f"{writer['Name']} has {_told(only)}; {other['Name']} sees none of it,"
                    f" and the image of both is still {writer['Image'].removeprefix('sha256:')[:12]}."
                )
    writer, written = writers[0]
    raise NotYet(f"{writer['Name']} has {_told(written)}, but no other container of its image is without them.")


@check(
    "K2",
    "stopping a container keeps its writable layer, removing it deletes the layer",
    expected="a container that was stopped and started again and has its files, and a removed one with a successor",
    hints=(
        "Two things can happen to a container: it stops, or it is removed. Has each happened to one of yours?",
        "Stop and start a container that has a file. Remove another one and run a new one in its place.",
        "docker stop -t 1 first; docker start first; docker rm -f other; docker run -d alpine sleep infinity.",
    ),
)
def _life(evidence: Evidence) -> str:
    survivor, path = _survivor(evidence)
    by_hand = [each for each in evidence.removed if not each["by_itself"]]
    pairs = [
        (removed["name"], successor["Name"])
        for removed in by_hand
        for successor in evidence.containers
        if successor["Config"]["Image"] == removed["image"] and moment(successor["Created"]) > removed["time"]
    ]
    if pairs:
        removed, successor = max(pairs, key=lambda pair: pair[0] == pair[1])
        return (
            f"{survivor} was stopped and started, and still has {path}. {removed} was removed, its layer with it;"
            f" {'the new ' * (removed == successor)}{successor} began with an empty one."
        )
    names = ", ".join(removed["name"] for removed in by_hand)
    none = "no container was removed but by its --rm" if evidence.removed else "no container was removed"
    lost = f"{names} went, but nothing came in its place" if names else none
    raise NotYet(f"{survivor} was stopped and started, and still has {path}; {lost}.")


def _survivor(evidence: Evidence) -> tuple[str, str]:
    """A container that runs again, and a file in its layer from before it stopped."""
    for container in evidence.containers:
        stopped = moment(container["State"]["FinishedAt"])
        if not stopped or not container["State"]["Running"]:
            continue
        for path, kind in evidence.written(container).items():
            # A copied-up file may be as old as the image: only one that was added tells.
            found = evidence.stat(container, path) if kind == "A" else None
            if found and found["mtime"] < stopped:
                return container["Name"], path
    raise NotYet("No container that has written something was stopped and started again.")


@check(
    "K3",
    "changing a file of the image copies it up whole, deleting one only hides it",
    expected="a container whose layer holds the copy of a changed file and hides a deleted one that the image has",
    hints=(
        "docker ps -s weighs the layer. Which change would make it much heavier than what you wrote?",
        "Change anything about a large file of the image, its permissions for one, and delete another of its files.",
        'lab.exec(first, "chmod 700 /bin/busybox; rm /etc/profile"), then docker ps -s.',
    ),
)
def _copy_up(evidence: Evidence) -> str:
    seen = "No container of this lab has changed and deleted files of its image."
    for container in evidence.containers:
        written = evidence.written(container)
        if "D" not in written.values() or "C" not in written.values():
            continue
        copies, hidden = _of_the_image(evidence, container, written)
        layer = evidence.writable_bytes(container)
        if not hidden or not copies:
            seen = f"{container['Name']} has {_told(written)}, but not all of it came from the image."
            continue
        path, (size, original) = max(copies.items(), key=lambda item: (item[1][0] >= item[1][1], item[1]))
        if not 0 < original <= size:  # written anew, as by `echo x > /etc/motd`, nothing had to be copied
            seen = f"{path} has {size:,} bytes in {container['Name']}, {original:,} in its image: no copy of the whole."
            continue
        if layer < size:
            seen = f"{path} in {container['Name']} has {size:,} bytes, its layer {layer:,}."
            continue
        return (
            f"The layer of {container['Name']} has {layer:,} bytes: {path} ({size:,}) was copied up."
            f" {hidden[0]} is hidden in it, and a fresh container has it."
        )
    raise NotYet(seen)


def _of_the_image(
    evidence: Evidence, container: dict[str, Any], written: dict[str, str]
) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """The image's files that the layer has changed, with their sizes there and here, and those that it hides."""
    copies, hidden = {}, []
    with evidence.fresh(container["Image"]) as fresh:
        for path, kind in written.items():
            original = evidence.stat(fresh, path) if kind != "A" else None
            if original is None or original["folder"]:
                continue
            if kind == "D":
                hidden.append(path)
            elif copy := evidence.stat(container, path):
                copies[path] = int(copy["size"]), int(original["size"])
    return copies, hidden


@check(
    "01-exercise",
    "a layer that outlives a stop: /diary added, /etc/motd hidden",
    expected="mine runs again after a stop, and docker diff lists A /diary and D /etc/motd",
    hints=(
        "What do docker diff's letters ask for, and what must happen to the container afterwards?",
        "One lab.exec writes /diary and removes /etc/motd; then stop the container and start the same one again.",
        'lab.exec("mine", "echo day one > /diary; rm /etc/motd"); lab.stop("mine", 1); lab.start("mine").',
    ),
)
def _diary(evidence: Evidence) -> str:
    mine = next((item for item in evidence.containers if item["Name"] == "mine"), None)
    if mine is None:
        raise NotYet(f"There is no container mine, only {', '.join(c['Name'] for c in evidence.containers) or 'none'}.")
    changes = evidence.changes(mine)
    for path, kind in (("/diary", "A"), ("/etc/motd", "D")):
        if changes.get(path) != kind:
            raise NotYet(f"docker diff mine does not list {kind} {path}.")
    if not mine["State"]["Running"]:
        raise NotYet("mine does not run.")
    if not moment(mine["State"]["FinishedAt"]):
        raise NotYet("mine has both, but was not stopped yet.")
    diary = evidence.stat(mine, "/diary")
    if diary is None or diary["mtime"] >= moment(mine["State"]["FinishedAt"]):
        raise NotYet("mine has both, but /diary is younger than its stop.")
    return "mine was stopped and started again, and still adds /diary and hides /etc/motd."
