"""Lesson 05: tmpfs, memory only."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from .evidence import Evidence, moment
from .verdict import NotYet, check


def _memory(evidence: Evidence, container: dict[str, Any]) -> dict[str, int | None]:
    """Where a running container has a tmpfs of its own, and the limit in bytes that the kernel keeps there."""
    asked = set(container["HostConfig"].get("Tmpfs") or {})
    asked |= {mount["Destination"] for mount in container["Mounts"] if mount["Type"] == "tmpfs"}
    if not asked or not container["State"]["Running"]:
        return {}
    found: dict[str, int | None] = {}
    for line in evidence.run(container, ["cat", "/proc/mounts"]).text.splitlines():
        _, path, kind, options, *_ = line.split()
        if kind == "tmpfs" and path in asked:
            limits = [option for option in options.split(",") if option.startswith("size=")]
            found[path] = int(limits[0].removeprefix("size=").removesuffix("k")) * 1024 if limits else None
    return found


def _files(evidence: Evidence, container: dict[str, Any], path: str) -> set[str]:
    # From outside the engine sees an empty folder: only a program in the container sees its memory.
    return set(evidence.run(container, ["ls", "-A", path]).text.split())


def _survivors(evidence: Evidence, container: dict[str, Any], stopped: float) -> list[str]:
    """Files of the layer and of volumes that are older than the stop."""
    layer = [path for path, kind in evidence.written(container).items() if kind == "A"]
    volumes = [
        f"{mount['Destination']}/{name}"
        for mount in container["Mounts"]
        if mount["Type"] == "volume"
        for name in evidence.names(container, mount["Destination"])
    ]
    found = {path: evidence.stat(container, path) for path in [*layer, *volumes]}
    return [path for path, item in found.items() if item and not item["folder"] and item["mtime"] < stopped]


@check(
    "K8",
    "tmpfs lives in memory, is limited by size=, and is gone when the container stops",
    expected="a container stopped and started again, with a limited tmpfs that lacks what layer or volume still have",
    hints=(
        "Put the same file into the tmpfs and beside it. What must happen before one of them is gone?",
        "Write a file to the tmpfs and to the layer, then stop the container and start it again.",
        "docker run -d --name desk --tmpfs /scratch:size=16m alpine sleep infinity; write /note and /scratch/note;"
        " docker stop -t 1 desk; docker start desk.",
    ),
)
def _forgets(evidence: Evidence) -> str:
    seen = "No running container of this lab has a tmpfs."
    for container in evidence.containers:
        for path, limit in _memory(evidence, container).items():
            name, stopped = container["Name"], moment(container["State"]["FinishedAt"])
            if limit is None:
                seen = f"{name} has a tmpfs at {path}, without a limit."
            elif not stopped:
                seen = f"{name} has a tmpfs at {path}, {limit:,} bytes, and was not stopped yet."
            elif not (kept := _survivors(evidence, container, stopped)):
                seen = f"{name} was stopped and started, but has no file from before to compare with."
            elif both := _files(evidence, container, path) & {PurePosixPath(item).name for item in kept}:
                seen = f"{path} has {', '.join(sorted(both))} (again?) after the start of {name}."
            else:
                stayed = f"{name} was stopped and started: {', '.join(kept)} stayed"
                return f"{stayed}; {path}, {limit:,} bytes of memory, has nothing of that name."
    raise NotYet(seen)


@check(
    "05-exercise",
    "a key in 1 MB of memory, and nothing of it in the layer",
    expected="vault runs with a tmpfs of at most 1 MB at /vault that has a file key; its layer has no file",
    hints=(
        "Which option limits a tmpfs, and in what unit?",
        "--mount type=tmpfs,target=/vault,tmpfs-size=1m, or Tmpfs(…, size=…); then write the key with docker exec.",
        'docker run -d --name vault --tmpfs /vault:size=1m alpine sleep 1d; lab.exec("vault", "echo 1 > /vault/key").',
    ),
)
def _vault(evidence: Evidence) -> str:
    vault = next((item for item in evidence.containers if item["Name"] == "vault"), None)
    if vault is None or not vault["State"]["Running"]:
        raise NotYet("vault does not run." if vault else "There is no container vault.")
    memory = _memory(evidence, vault)
    if "/vault" not in memory:
        raise NotYet(f"vault has memory at {', '.join(memory) or 'no path'}, not at /vault.")
    limit = memory["/vault"]
    if limit is None or limit > 1 << 20:
        raise NotYet(f"The limit of /vault is {f'{limit:,} bytes' if limit else 'not set'}.")
    if "key" not in _files(evidence, vault, "/vault"):
        raise NotYet("/vault has the right size, and no file key.")
    if written := evidence.written(vault):
        raise NotYet(f"The layer of vault has {', '.join(written)}.")
    return f"/vault has a key in {limit:,} bytes of memory, and the layer of vault is empty."
