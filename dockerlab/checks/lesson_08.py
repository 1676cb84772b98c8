"""Lesson 08: cleaning up without regret."""

from __future__ import annotations

import math
from typing import Any

from ..belongings import is_anonymous, shown
from ..prune import prunes_named
from .evidence import Evidence, moment
from .servers import DATA, ask, servers
from .verdict import NotYet, check


def _was_stopped(evidence: Evidence, removed: dict[str, Any]) -> bool:
    """Whether a container ended by itself or by `docker stop`, not by `docker rm -f`, and stayed with no --rm."""
    done = evidence.done(removed["id"])
    return not removed["by_itself"] and ("stop" in done or ("die" in done and "kill" not in done))


def _outlived(evidence: Evidence, volume: str, removed: dict[str, Any]) -> bool:
    """Whether a volume was still there when that container was gone."""
    # With -v the engine removes volumes before it reports the container's end; a prune reports no single volume.
    return evidence.gone.get(volume, math.inf) > float(removed["time"])


@check(
    "K14",
    "a volume in use cannot be removed, also while the container using it is stopped",
    expected="a volume that was removed once the stopped container that used it had been removed",
    hints=(
        "The refusal names what is in the way. What must happen to it?",
        "Stop the container that uses the volume, try again, then remove the container, then the volume.",
        "docker stop -t 1 keeper; docker rm keeper; docker volume rm my-data.",
    ),
)
def _in_use(evidence: Evidence) -> str:
    seen = "No container with a named volume was removed in this sitting."
    for removed in evidence.removed:
        for volume in removed["volumes"]:
            if is_anonymous(volume):
                continue
            if volume in evidence.volumes:
                seen = f"{removed['name']} is gone, its volume {volume} is still there."
            elif _outlived(evidence, volume, removed) and _was_stopped(evidence, removed):
                return f"{volume} went only after {removed['name']}, stopped and still using it, was removed."
            else:
                seen = f"{volume} and {removed['name']} are gone, but {removed['name']} was never only stopped."
    in_use = [
        f"{volume} is used by {user['Name']} ({user['State']['Status']})"
        for volume in evidence.volumes
        for user in evidence.users(volume)
    ]
    raise NotYet("; ".join(in_use) + "." if in_use else seen)


@check(
    "K16",
    "a volume without a name gets a random one, and docker rm leaves it behind; rm -v and run --rm do not",
    expected="one anonymous volume that a removed container left, and another that went with its container",
    hints=(
        "There are two ways to remove a container. Which did you not use yet?",
        "Remove one container with an anonymous volume by docker rm, another by docker rm -v or docker run --rm.",
        "docker run -d --name a1 -v /data alpine true; docker rm a1; docker run --rm -v /data alpine true.",
    ),
)
def _left_behind(evidence: Evidence) -> str:
    left, taken = {}, {}
    for removed in evidence.removed:
        for volume in filter(is_anonymous, removed["volumes"]):
            if volume in evidence.volumes and not evidence.users(volume):
                left[removed["name"]] = volume
            elif not _outlived(evidence, volume, removed):
                taken[removed["name"]] = volume
    told = [f"{name} left {shown(volume)} behind" for name, volume in left.items()]
    told += [f"{name} took {shown(volume)} along" for name, volume in taken.items()]
    if left and taken:
        return f"{'; '.join(told)}."
    raise NotYet(f"{'; '.join(told) or 'No container with an anonymous volume was removed in this sitting'}.")


@check(
    "K17",
    "a database's rows lie in an orphaned anonymous volume after docker rm, and can be recovered from it",
    expected="a removed server, its orphaned volume read since, and a newer server that has the orders",
    hints=(
        "docker volume ls -f dangling=true lists orphans. What tells you which of them has the rows?",
        "Copy the orphan's files to a volume with a name, then start a server on that one.",
        "docker run --rm -v ORPHAN:/from:ro -v pgdata:/to alpine cp -a /from/. /to;"
        " docker run -d -v pgdata:/var/lib/postgresql/data postgres:16-alpine.",
    ),
)
def _recovered(evidence: Evidence) -> str:
    orphans = [
        (removed, volume)
        for removed in evidence.removed
        for volume, path in removed["volumes"].items()
        if is_anonymous(volume) and path.startswith(DATA) and volume in evidence.volumes
    ]
    if not orphans:
        raise NotYet("No server was removed that has left an anonymous volume.")
    seen = "No newer server runs."
    for server, _ in servers(evidence):
        for removed, orphan in orphans:
            if moment(server["Created"]) < removed["time"]:
                continue
            orders = _orders(evidence, server)
            if not orders:
                seen = f"{server['Name']} runs, and has no orders."
            elif evidence.later_user(orphan, removed["time"]) and _descends(evidence, server, removed, orphan):
                return (
                    f"{removed['name']} is gone; its rows lay in {shown(orphan)},"
                    f" and {server['Name']} has {orders} orders again."
                )
            else:
                seen = f"{server['Name']} has {orders} orders, but not from {shown(orphan)}."
    raise NotYet(seen)


def _orders(evidence: Evidence, server: dict[str, Any]) -> int:
    said = ask(evidence, server, "SELECT count(*) FROM orders")
    return int(said.text) if said.exit_code == 0 else 0


def _descends(evidence: Evidence, server: dict[str, Any], removed: dict[str, Any], orphan: str) -> bool:
    """Whether a server's data is older than that removal, or was dumped from a server that ran on the orphan."""
    born = evidence.run(server, ["sh", "-c", "stat -c %Y $PGDATA/PG_VERSION"])
    # stat says whole seconds, and a new server's first one may be that of the removal.
    older = born.exit_code == 0 and int(born.text) + 1 < removed["time"]
    return older or evidence.later_user(orphan, removed["time"], DATA) is not None


@check(
    "K15",
    "docker volume prune removes unused volumes: before Engine 23 all, since then only anonymous ones",
    expected="orphans of removed containers swept away, none left that a prune would take, and a volume in use kept",
    hints=(
        "Ask the engine for its version: what does a prune take there?",
        "lab.plan_prune() shows what would go; docker volume prune, answered with y, or .apply() does it.",
        "docker volume prune -f, while a container uses a volume that must stay.",
    ),
)
def _pruned(evidence: Evidence) -> str:
    users = {volume: [user["Name"] for user in evidence.users(volume)] for volume in evidence.volumes}
    named_too = prunes_named(evidence.engine.api_version)
    unused = [volume for volume, names in users.items() if not names and (named_too or is_anonymous(volume))]
    if unused:
        raise NotYet(f"Unused, and a prune here would take them: {', '.join(map(shown, unused))}.")
    swept = {
        volume
        for removed in evidence.removed
        for volume in filter(is_anonymous, removed["volumes"])
        if volume not in evidence.volumes and _outlived(evidence, volume, removed)
    }
    if not swept:
        raise NotYet("Nothing is unused, but no orphan was removed in this sitting.")
    kept = [f"{shown(volume)}, which {', '.join(names)} uses," for volume, names in users.items() if names]
    if not kept:
        raise NotYet("The orphans are gone, but no volume is in use that could have been spared.")
    rule = "all unused volumes" if named_too else "unused anonymous volumes"
    went = f"{len(swept)} orphan{'s' * (len(swept) > 1)} went"
    return f"Engine {evidence.engine.version} prunes {rule}: {went}, {' '.join(kept)} stayed."


@check(
    "08-exercise",
    "a container, its anonymous and its named volume, all gone, and nothing else",
    expected="old-app removed, with an anonymous volume and the volume cache; both gone too, pgdata still in use",
    hints=(
        "Two volumes, two fates: which of them does docker rm -v take along?",
        "docker rm -v takes the anonymous one. The named one needs a line of its own, afterwards.",
        "docker run -d --name old-app -v /a -v cache:/c alpine true; docker rm -f -v old-app; docker volume rm cache.",
    ),
)
def _all_gone(evidence: Evidence) -> str:
    if not evidence.users("pgdata"):
        raise NotYet("pgdata is in use by no container.")
    names = [removed["name"] for removed in evidence.removed]
    if "old-app" not in names:
        raise NotYet(f"No container old-app was removed; removed: {', '.join(names) or 'none'}.")
    volumes = next(removed["volumes"] for removed in reversed(evidence.removed) if removed["name"] == "old-app")
    if "cache" not in volumes or not any(map(is_anonymous, volumes)):
        raise NotYet(f"old-app had the volumes {', '.join(map(shown, volumes)) or 'none'}.")
    left = [shown(volume) for volume in volumes if volume in evidence.volumes]
    if left:
        raise NotYet(f"old-app is gone and has left {', '.join(left)}.")
    return f"old-app is gone, and so are {', '.join(map(shown, volumes))}; pgdata is untouched."
