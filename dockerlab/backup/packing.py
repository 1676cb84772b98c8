"""Gzip by several threads at a time, as fast as a disk."""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from isal import isal_zlib

__all__ = ["packed"]

# Level 2 is as fast as 1, and its archives no larger than those of `tar czf`.
LEVEL = 2
# More than four are not faster: the engine's stream seldom is.
THREADS = max(2, min(4, os.cpu_count() or 1))
HEADER = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, 0, 0, 0, 0xFF)  # no name, no time, any system (RFC 1952)
STORED = 0xFFFF  # as much as deflate stores in one block
WINDOW = 32 << 10  # what deflate may refer back to
SAMPLES, SAMPLE = 8, 4 << 10


Data = bytes | memoryview


def packed(chunks: Iterable[bytes]) -> Iterator[Data]:
    """The chunks as one gzip stream, each compressed by itself; of the same chunks always the same, to the last bit."""
    waiting: deque[Future[list[Data]]] = deque()
    window, checksum, size = b"", 0, 0
    with ThreadPoolExecutor(THREADS) as pool:
        yield HEADER
        for chunk in chunks:
            waiting.append(pool.submit(_deflated, chunk, window))
            window, checksum, size = chunk[-WINDOW:], isal_zlib.crc32(chunk, checksum), size + len(chunk)
            if len(waiting) > 2 * THREADS:
                yield from waiting.popleft().result()
        for each in waiting:
            yield from each.result()
    yield isal_zlib.compress(b"", LEVEL, -15) + struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _deflated(chunk: bytes, window: bytes) -> list[Data]:
    if _shrinks(chunk):
        stream = isal_zlib.compressobj(LEVEL, wbits=-15, zdict=window)
        return [stream.compress(chunk), stream.flush(isal_zlib.Z_SYNC_FLUSH)]
    # Stored as it is (RFC 1951, 3.2.4): ISA-L has no level for that.
    whole = memoryview(chunk)
    pieces = [whole[at : at + STORED] for at in range(0, len(chunk), STORED)]
    parts = [part for piece in pieces for part in (struct.pack("<BHH", 0, len(piece), len(piece) ^ STORED), piece)]
    return [b"".join(parts)]  # one copy costs less than to digest and write them one by one


def _shrinks(chunk: bytes) -> bool:
    """Whether compressing is worth it, judged by samples: of pictures or archives it would be half of all the work."""
    step = max(SAMPLE, len(chunk) // SAMPLES)
    sample = b"".join([chunk[at : at + SAMPLE] for at in range(0, len(chunk), step)])
    return len(isal_zlib.compress(sample, 1, -15)) < 0.97 * len(sample)
