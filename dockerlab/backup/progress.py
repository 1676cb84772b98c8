"""How far a stream is: shown as a bar, told to a function, or kept quiet."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from docker import DockerClient
from tqdm import tqdm

from ..listings import disk_usage
from ..refusals import REFUSALS

__all__ = ["Progress", "metered", "volume_size"]

# True shows a bar, False nothing; a function gets the bytes done and, as soon as it is known, how many there are.
Progress = bool | Callable[[int, int | None], object]
Total = int | None | Callable[[], int | None]


@contextlib.contextmanager
def metered(progress: Progress, title: str, total: Total) -> Iterator[Callable[[int], object]]:
    """A function that is told of each further number of bytes, while it is shown how far they are.

    `total` may be a function that takes its time: it runs beside, and the estimate comes when it is done.
    """
    # The text bar, and on standard output: it is the same in a terminal, in a notebook, and where a notebook is run
    # without a browser, and leaves nothing behind.
    bar = tqdm(desc=title, unit="B", unit_scale=True, leave=False, file=sys.stdout, disable=progress is not True)
    known: list[int | None] = [total if not callable(total) else None]
    bar.total = known[0]
    if callable(progress):
        progress(0, known[0])
    if progress and callable(total):
        threading.Thread(target=_ask, args=(total, known, bar), daemon=True).start()
    if not callable(progress):
        with bar:
            yield bar.update
        return
    done = 0

    def tell(number: int) -> None:
        nonlocal done
        done += number
        progress(done, known[0])

    yield tell


def _ask(total: Callable[[], int | None], known: list[int | None], bar: Any) -> None:
    known[0] = bar.total = total()


def volume_size(client: DockerClient, volume: str) -> int | None:
    """The bytes in a volume as the engine counts them, which takes it a while; `None` where it does not say."""
    try:
        for record in disk_usage(client)["Volumes"] or ():
            if record["Name"] == volume and (record.get("UsageData") or {}).get("Size", -1) >= 0:
                return int(record["UsageData"]["Size"])
    except (*REFUSALS, KeyError):
        pass
    return None
