"""Snapshots to draw, from the plainest to the most awkward, each with what was before it or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from dockerlab.storage import Change, Container, Image, Layer, MountPoint, Snapshot, Volume

ALPINE = Image("sha256:a", "alpine", (Layer("ADD rootfs.tar.gz in /", 1_984_181),))
STAND_IN = replace(ALPINE, id="sha256:s", stand_in=True)
NODE = Image(
    "sha256:n",
    "node:20-alpine",
    (
        Layer("RUN npm ci --omit=dev", 12_300_000),
        Layer("COPY . /app", 1_200),
        Layer("RUN apk add --no-cache curl tini", 2_300_000),
        Layer("COPY docker-entrypoint.sh /usr/local/bin/", 388),
        Layer("RUN addgroup -g 1000 node && adduser -u 1000 -G node -s /bin/sh -D node", 114_000_000),
        Layer("ADD alpine-minirootfs-3.21.0-x86_64.tar.gz in /", 8_000_000),
    ),
)
POSTGRES = Image(
    "sha256:p",
    "postgres:16-alpine",
    (
        Layer("COPY docker-entrypoint.sh /usr/local/bin/", 12_345),
        Layer("RUN set -eux; apk add postgresql16", 250_000_000),
        Layer("ADD alpine-minirootfs.tar.gz in /", 8_000_000),
    ),
)


def digits(seed: str) -> str:
    """64 hexadecimal digits, as the engine's ids and the names of anonymous volumes are."""
    return hashlib.sha256(seed.encode()).hexdigest()


def box(
    name: str,
    image: Image = ALPINE,
    state: str = "running",
    files: str = "",
    size: int = 0,
    mounts: Iterable[MountPoint] = (),
) -> Container:
    """A container; `files` as in `A/root/a.txt|D/etc/motd`."""
    changes = tuple(sorted(Change(path[1:], path[:1]) for path in files.split("|") if path))  # type: ignore[arg-type]
    return Container(digits(name), name, image, state, changes, size, tuple(mounts))


def volume(name: str, *users: str, size: int | None = None, anonymous: bool = False) -> Volume:
    place = f"/var/lib/docker/volumes/{name}/_data"
    return Volume(name, "local", place, (("dockerlab", "demo"),), anonymous, users, size)


def on(name: str, target: str, *, read_only: bool = False) -> MountPoint:
    return MountPoint("volume", name, target, read_only)


def bind(path: str, target: str, *, read_only: bool = False) -> MountPoint:
    return MountPoint("bind", path, target, read_only)


def memory(target: str, limit: int | None = None, used: int | None = None) -> MountPoint:
    return MountPoint("tmpfs", "", target, False, limit, used)


def snap(containers: Iterable[Container] = (), volumes: Iterable[Volume] = (), note: str = "") -> Snapshot:
    return Snapshot("demo", "Docker 26.1.5 · private engine", tuple(containers), tuple(volumes), note)


NAMELESS = digits("nameless")
WRITER = box("writer", files="A/root/notes.txt|A/tmp/cache|A/tmp/cache2", size=12_000, mounts=[on("my-data", "/data")])
READER = box("reader", files="A/root/todo.txt|C/etc/hosts|D/etc/motd", size=3_000, mounts=[on("my-data", "/data")])
APP = box(
    "app",
    NODE,
    "exited",
    mounts=[bind("/home/ana/course/site", "/app", read_only=True), memory("/scratch", 64 << 20)],
)
BEFORE = snap(
    [WRITER, READER, replace(APP, state="running")],
    [volume("my-data", "writer", "reader", size=48_000), volume(NAMELESS, anonymous=True)],
)
AFTER = snap([READER, APP], [volume("my-data", "reader", size=48_000), volume(NAMELESS, anonymous=True)])

_LAST = snap(
    [
        box(
            "test-db",
            POSTGRES,
            files="A/run/postgresql/.s.PGSQL.5432|A/run/postgresql/.s.PGSQL.5432.lock",
            size=63,
            mounts=[on("pgdata", "/var/lib/postgresql/data")],
        ),
        box(
            "scratch",
            files="A/root/rows.csv|C/etc/passwd|D/etc/motd",
            size=88_000,
            mounts=[on(NAMELESS, "/cache"), memory("/mem", 1 << 20)],
        ),
    ],
    [volume("pgdata", "test-db", size=46_000_000), volume(NAMELESS, "scratch", size=46_000_000, anonymous=True)],
)
_LONG = "a-container-with-a-rather-long-name-that-goes-on"
_LONG_VOLUME = "a-volume-with-quite-a-long-name-of-its-own-2026-11-24"


def _twelve() -> Snapshot:
    boxes = []
    for at in range(12):
        mounts = [
            *([on(f"data-{at // 2}", "/data")] if at % 2 == 0 else []),
            *([on("shared", "/shared", read_only=True)] if at % 5 == 0 else []),
            *([memory("/scratch", 64 << 20)] if at % 6 == 1 else []),
            *([bind(f"/srv/site{at}", "/app")] if at % 7 == 3 else []),
        ]
        files = "|".join(f"A/root/file{number}" for number in range(at % 4))
        image = (ALPINE, ALPINE, NODE, POSTGRES)[at % 4]
        boxes.append(box(f"box-{at}", image, ("running", "exited", "paused")[at % 3], files, at * 100, mounts))
    volumes = [volume(f"data-{at}", f"box-{2 * at}", size=at * 1000) for at in range(6)]
    return snap(boxes, [*volumes, volume("shared", "box-0", "box-5", "box-10")])


SNAPSHOTS: dict[str, tuple[Snapshot, Snapshot | None]] = {
    "nothing": (snap(), None),
    "one container": (snap([box("writer", files="A/root/notes.txt|C/etc/motd|D/etc/issue", size=12_345)]), None),
    "one volume": (
        snap(
            [box("writer", files="A/root/notes.txt", size=5, mounts=[on("my-data", "/data")])],
            [volume("my-data", "writer")],
        ),
        None,
    ),
    "removed": (AFTER, BEFORE),
    "three on one image": (
        snap(
            [
                box("first", files="A/root/a.txt|A/root/b.txt", size=120),
                box("second"),
                box("third", state="created", files="D/etc/motd"),
            ]
        ),
        None,
    ),
    "five stores": (
        snap(
            [
                box(
                    "five",
                    files="A/layer/proof.txt",
                    size=9,
                    mounts=[
                        on(NAMELESS, "/anonymous"),
                        on("named", "/named"),
                        bind("/home/ana/dockerlab/five", "/bind"),
                        memory("/tmpfs", 64 << 20, 12_288),
                    ],
                )
            ],
            [volume(NAMELESS, "five", size=9, anonymous=True), volume("named", "five", size=9)],
        ),
        None,
    ),
    "all removed": (
        snap([], [volume("pgdata", size=46_000_000), volume(NAMELESS, size=46_000_000, anonymous=True)]),
        _LAST,
    ),
    "long names": (
        snap(
            [
                box(
                    _LONG,
                    NODE,
                    files="A/usr/local/lib/node_modules/some-package/node_modules/deeper/dist/index.min.js"
                    "|C/etc/ssl/certs/ca-certificates-with-a-long-name.crt|D/opt/yarn-v1.22.22/lib/cli.js",
                    size=999_499,
                    mounts=[
                        bind(
                            "/home/some.user/projects/2026/course/site/public", "/usr/share/html/assets", read_only=True
                        ),
                        on(_LONG_VOLUME, "/var/lib/postgresql/16/main/base"),
                    ],
                )
            ],
            [volume(_LONG_VOLUME, _LONG, size=123_456_789_012)],
        ),
        None,
    ),
    "twelve containers": (_twelve(), None),
    "forty volumes": (
        snap(
            [box("writer", mounts=[on("vol-07", "/data"), on("vol-25", "/more")])],
            [
                *(volume(f"vol-{at:02}", *["writer"] * (at in (7, 25)), size=at * 1000) for at in range(26)),
                *(volume(digits(f"nameless {at}"), anonymous=True) for at in range(14)),
            ],
        ),
        None,
    ),
    "ten mounts": (
        snap(
            [
                box(
                    "hub",
                    files="A/a",
                    size=1,
                    mounts=[
                        *(on(f"v{at}", f"/mnt/volume-{at}", read_only=at % 3 == 0) for at in range(5)),
                        *(bind(f"/srv/folder-{at}", f"/host/{at}") for at in range(3)),
                        memory("/run"),
                        memory("/tmp", 64 << 20),
                    ],
                )
            ],
            [volume(f"v{at}", "hub", size=at * 10**at) for at in range(5)],
        ),
        None,
    ),
    "any script": (
        snap(
            [
                box(
                    "дневник-контейнер",
                    files="A/данные/имя файла.txt|A/文件/資料夾/設定.json|A/😀/🎉 party.md"
                    "|C/odd\n\x07name\u202egpj.exe|D/<script>&\"'",
                    size=77,
                    mounts=[bind("/home/жанна/Документы/проект", "/приложение"), on("データ", "/数据", read_only=True)],
                )
            ],
            [volume("データ", "дневник-контейнер", size=1)],
        ),
        None,
    ),
    "just now": (
        snap(
            [
                replace(
                    READER,
                    changes=(
                        *READER.changes,
                        Change("/root/new.txt", "A"),
                        Change("/etc/passwd", "C"),
                        Change("/etc/issue", "D"),
                    ),
                    mounts=(),
                    size=4_100,
                ),
                box("fresh", state="created", mounts=[on("brand-new", "/data")]),
            ],
            [volume("my-data", size=48_000), volume("brand-new", "fresh", size=0)],
        ),
        snap([READER], [volume("my-data", "reader", size=48_000), volume("old", size=3)]),
    ),
    "away": (replace(AFTER, note="The engine does not answer. This is what was there before."), None),
    "hundreds": (
        snap(
            (box(f"c-{at}", (ALPINE, NODE)[at % 2], "exited" if at % 3 else "running", size=at) for at in range(300)),
            (volume(f"volume-{at}", size=at) for at in range(1000)),
        ),
        None,
    ),
    "three paths of one volume": (
        snap(
            [
                box("packer", mounts=[on("my-data", "/source"), bind("/home/ana/backup", "/backup")]),
                box("server", POSTGRES, mounts=[on("my-data", "/var/lib/postgresql/data")]),
                box("third", mounts=[on("my-data", "/x", read_only=True)]),
            ],
            [volume("my-data", "packer", "server", "third", size=1)],
        ),
        None,
    ),
    "four images": (
        snap(
            [
                box("one", mounts=[on("v1", "/data")]),
                box("two", NODE, mounts=[on("v1", "/data", read_only=True)]),
                box("three", replace(ALPINE, id="sha256:b", name="busybox"), mounts=[memory("/m")]),
                box("four", POSTGRES, "paused", mounts=[bind("/srv/x", "/x")]),
            ],
            [volume("v1", "one", "two")],
        ),
        None,
    ),
}
