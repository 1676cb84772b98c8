"""Backup and restore against docker's own way, the engine's bare stream, and zstd.

    python tests/benchmarks/bench_backup.py

On the engine that `Lab` finds, which needs to be on this machine for docker's own way; 14 GB of room and five minutes.
All that is compared is done in one run, in turns, on the same volumes; times are medians, in seconds. Goals:
- `back_up` of large files at least 4.5 times as fast as `tar czf` in a container, and at most 1.3 times as long as the
  engine's bare stream; of 50,000 small files at most 1.3 times as long as `tar czf`, and 1.2 times the bare stream;
- an archive at most 5 % larger than that of `tar czf`;
- unpacking no slower than `tar xzf` in a container, and `restore` with all that it checks at most 1.6 times as long;
- at most 100 MB of memory beyond the start, from 10 MB to 2 GB.
The engine's stream keeps one and a half cores busy: on two, what we do beside it costs time as soon as it is more than
the rest of the other one. `back_up CPU` says what that is, most of it compressing text, at 330 MB/s a core (with the
fastest level 380, and archives two fifths larger), and SHA-256 of the archive, at 1,350 MB/s. `all CPU` is what the
whole machine did in `back_up`, divided by its cores: with no wait at all, it could not take less. Of many small files,
the engine's stream itself takes more than 1.3 times as long as `tar czf`, and is all that `back_up` waits for.

Of a database that is written to throughout, what backups taken `live` hold is recorded; nothing is promised of them.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from dockerlab import Lab, back_up, restore, verify
from dockerlab.backup import saving, tar
from dockerlab.backup.archive import Archive
from dockerlab.backup.restoring import unpack
from dockerlab.backup.underway import Underway
from dockerlab.engine import images
from dockerlab.errors import BackupError

sys.path.insert(0, str(Path(__file__).parents[1]))
from busy import busy, counted

ROUNDS = 3
MEGABYTE = 1_000_000
FILES = 50_000
GROWTH = (10, 100, 500, 2000)
LIVE = 20


def noise(megabytes: int) -> Iterator[tar.Piece]:
    """Files of 10 MB that can't be compressed."""
    yield tar.Entry(tar.ROOT, tar.FOLDER, 0o755, 0, 0, 0, 0)
    for number in range(0, megabytes, 10):
        yield tar.Entry(b"noise%d" % number, tar.FILE, 0o644, 0, 0, 10 * MEGABYTE, number)
        for _ in range(10):
            yield memoryview(os.urandom(MEGABYTE))


def text(megabytes: int) -> Iterator[tar.Piece]:
    """Files of 100 kB in folders, of words in an order that does not repeat itself for 20 MB."""
    chance = random.Random(1)
    letters = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 10))) for _ in range(5000)]
    files = itertools.cycle([b" ".join(chance.choices(letters, k=20_000))[:100_000] for _ in range(200)])
    yield tar.Entry(tar.ROOT, tar.FOLDER, 0o755, 0, 0, 0, 0)
    for number in range(megabytes * 10):
        if number % 100 == 0:
            yield tar.Entry(b"text%d" % (number // 100), tar.FOLDER, 0o755, 0, 0, 0, 0)
        yield tar.Entry(b"text%d/%d" % (number // 100, number), tar.FILE, 0o644, 0, 0, 100_000, number)
        yield memoryview(next(files))


def small(files: int) -> Iterator[tar.Piece]:
    """Files of some bytes, a hundred to a folder."""
    yield tar.Entry(tar.ROOT, tar.FOLDER, 0o755, 0, 0, 0, 0)
    for number in range(files):
        if number % 100 == 0:
            yield tar.Entry(b"%d" % (number // 100), tar.FOLDER, 0o755, 0, 0, 0, 0)
        content = b"file %d\n" % number
        yield tar.Entry(b"%d/%d" % (number // 100, number), tar.FILE, 0o644, 0, 0, len(content), number)
        yield memoryview(content)


class Bench:
    """A lab, a folder, and what was measured in them."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.client = lab, folder, lab.engine.client
        self.fresh, self.verified = 0, dict[str, Archive]()

    def fill(self, volume: str, pieces: Iterator[tar.Piece]) -> None:
        images.ensure(self.lab.engine, "alpine")
        self.lab.create_volume(volume)
        with Underway(self.lab, "a benchmark") as work:
            work.door(volume).write(pieces)

    def new_volume(self) -> str:
        # Kept until the end: after many deletions ext4 takes several times as long to make files, for five minutes.
        self.fresh += 1
        return f"bench-{self.fresh}"

    # Out

    def bare(self, volume: str) -> None:
        with Underway(self.lab, "a benchmark") as work:
            door = work.door(volume, read_only=True)
            stream, _ = self.client.api.get_archive(door.id, "/dockerlab-volume/.", chunk_size=tar.CHUNK)
            for _ in stream:
                pass

    def tar_czf(self, volume: str) -> None:
        saving.same(volume, self.folder / f"c16-{volume}.tar.gz").call(self.client)

    def back_up(self, volume: str) -> None:
        back_up(self.lab, volume, self.folder / f"{volume}.tar.gz", progress=False)

    def zstd(self, volume: str) -> None:
        """The bare stream through zstd, level 3 on two threads."""
        with Underway(self.lab, "a benchmark") as work, (self.folder / f"{volume}.tar.zst").open("wb") as file:
            door = work.door(volume, read_only=True)
            stream, _ = self.client.api.get_archive(door.id, "/dockerlab-volume/.", chunk_size=tar.CHUNK)
            with subprocess.Popen(["zstd", "-3", "-T2", "-q", "-c"], stdin=subprocess.PIPE, stdout=file) as process:
                assert process.stdin
                for chunk in stream:
                    process.stdin.write(chunk)
                process.stdin.close()

    # In

    def tar_xzf(self, volume: str) -> None:
        target = self.new_volume()
        self.lab.create_volume(target)
        path = self.folder / f"c16-{volume}.tar.gz"
        words = ["docker", "run", "--rm", "-v", f"{target}:/target", "-v", f"{self.folder}:/backup", "alpine"]
        words += ["tar", "xzf", f"/backup/{path.name}", "-C", "/target"]
        subprocess.run(words, env=os.environ | self.lab.engine.cli_env(), check=True)

    def unpack(self, volume: str) -> None:
        target = self.new_volume()
        self.lab.create_volume(target)
        with Underway(self.lab, "a benchmark") as work:
            unpack(work, work.door(target), self.verified[volume], lambda number: None)

    def restore(self, volume: str) -> None:
        restore(self.lab, self.folder / f"{volume}.tar.gz", self.new_volume(), progress=False)

    def verify(self, volume: str) -> None:
        self.verified[volume] = verify(self.folder / f"{volume}.tar.gz", progress=False)

    def in_turns(self, volume: str, rounds: int = ROUNDS) -> dict[str, float]:
        """Median seconds of each, and of the CPU in `back_up`: this process's, and the machine's by core."""
        ways: list[Callable[[str], None]] = [self.bare, self.tar_czf, self.back_up]
        ways += [self.zstd] * bool(shutil.which("zstd")) + [self.verify, self.tar_xzf, self.unpack, self.restore]
        seconds: dict[str, list[float]] = {way.__name__: [] for way in ways} | {"back_up CPU": [], "all CPU": []}
        for _ in range(rounds):
            for old in self.folder.glob("*"):
                old.unlink()  # to free the blocks of an older archive is no part of making one
            for way in ways:
                os.sync()
                start, cpu, all_cpu = time.perf_counter(), time.process_time(), busy_seconds()
                way(volume)
                seconds[way.__name__].append(time.perf_counter() - start)
                if way == self.back_up:
                    seconds["back_up CPU"].append(time.process_time() - cpu)
                    seconds["all CPU"].append((busy_seconds() - all_cpu) / (os.cpu_count() or 1))
        return {name: statistics.median(times) for name, times in seconds.items()}


def busy_seconds() -> float:
    """What all cores of this machine have done since it started, without idling and waiting for a disk (Linux)."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def goals(volume: str, took: dict[str, float], ours: int, theirs: int) -> Iterator[tuple[str, float, float, bool]]:
    """What is asked, what was seen, the limit, and whether it holds."""
    many = volume == "small"
    faster = took["tar_czf"] / took["back_up"]
    if many:
        yield "back_up / tar czf", 1 / faster, 1.3, 1 / faster <= 1.3
    else:
        yield "tar czf / back_up", faster, 4.5, faster >= 4.5
    limit = 1.2 if many else 1.3
    for what, ratio, most in (
        ("back_up / bare stream", took["back_up"] / took["bare"], limit),
        ("size / size of tar czf", ours / theirs, 1.05),
        ("unpack / tar xzf", took["unpack"] / took["tar_xzf"], 1.0),
        ("restore / tar xzf", took["restore"] / took["tar_xzf"], 1.6),
    ):
        yield what, ratio, most, ratio <= most


MEMORY = """
import resource, sys, time
from pathlib import Path
from dockerlab import Lab, back_up
name, volume, path = sys.argv[1:]
lab = Lab(name, echo=None)
back_up(lab, "bench-tiny", Path(path).with_name("tiny.tar.gz"), progress=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
back_up(lab, volume, path, progress=False)
print(time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def grow(bench: Bench, megabytes: int) -> tuple[float, float]:
    """Seconds and MiB of memory beyond the start, for a volume of that size, half noise and half text."""
    volume = f"bench-{megabytes}mb"
    bench.fill(volume, half_and_half(megabytes))
    words = [sys.executable, "-c", MEMORY, bench.lab.name, volume, str(bench.folder / "grown.tar.gz")]
    seconds, memory = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(memory)


def half_and_half(megabytes: int) -> Iterator[tar.Piece]:
    yield from noise(megabytes // 2)
    yield from text(megabytes // 2)


def live(bench: Bench) -> Counter[str]:
    """What backups of a busy Postgres hold that are taken live."""
    folder, said = bench.folder / "live", Counter[str]()
    folder.mkdir()
    with busy(bench.lab.engine) as (db, client):
        for number in range(LIVE):
            before = client.wait_for_more()
            try:
                back_up(db.lab, "pgdata", folder / f"{number:03}-{before}.tar.gz", consistent="live", progress=False)
            except BackupError:
                said["not taken: a file changed while it was read"] += 1
        earlier = [int(path.name[4:].partition(".")[0]) for path in sorted(folder.glob("*.tar.gz"))]
        for before, line in zip(earlier, counted(db.lab, folder), strict=True):
            if line.startswith("no server"):
                said["no server starts on it"] += 1
            else:
                one, last_one, two, last_two = map(int, line.split())
                whole = one == last_one == two == last_two and one >= before
                said["whole, by luck" if whole else "a server starts, and rows are missing"] += 1
    return said


def main() -> int:
    missed = 0
    with tempfile.TemporaryDirectory() as folder, Lab("bench-backup", owner="", echo=None) as lab:
        bench = Bench(lab, Path(folder))
        print(f"{lab.engine!r}, {os.cpu_count()} CPUs")
        bench.fill("noise", noise(500))
        bench.fill("text", text(500))
        bench.fill("small", small(FILES))
        rows = {}
        told = []
        for volume in ("noise", "text", "small"):
            rows[volume] = bench.in_turns(volume)
            ours, theirs = ((bench.folder / f"{kind}{volume}.tar.gz").stat().st_size for kind in ("", "c16-"))
            rows[volume]["MB"], rows[volume]["MB tar czf"] = ours / MEGABYTE, theirs / MEGABYTE
            if (zstd := bench.folder / f"{volume}.tar.zst").exists():
                rows[volume]["MB zstd"] = zstd.stat().st_size / MEGABYTE
            for what, seen, limit, holds in goals(volume, rows[volume], ours, theirs):
                told.append((volume, what, round(seen, 2), limit, "yes" if holds else "NO"))
                missed += not holds
        print(pd.DataFrame(rows).round(2).to_string(), "\n")
        print(pd.DataFrame(told, columns=["volume", "ratio", "seen", "goal", "holds"]).to_string(index=False), "\n")
        bench.fill("bench-tiny", noise(10))
        grown = []
        for megabytes in GROWTH:
            seconds, memory = grow(bench, megabytes)
            grown.append((megabytes, round(seconds, 2), round(megabytes / seconds), round(memory, 1)))
            missed += memory > 100
        print(
            pd.DataFrame(grown, columns=["MB", "seconds", "MB/s", "MiB beyond the start"]).to_string(index=False), "\n"
        )
        print(f"{LIVE} backups of a busy Postgres, taken live:")
        for what, number in live(bench).most_common():
            print(f"{number:4} {what}")
        if not shutil.which("zstd"):
            print("zstd is not installed here: it was not compared.")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
