"""Tar as a stream: entries and their content read in order, and written so that any tar restores them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn
from zlib import adler32

__all__ = ["BLOCK", "CHUNK", "END", "Entry", "Piece", "TarError", "encode", "padding", "read", "write"]

BLOCK = 512
CHUNK = 1 << 20
END = bytes(2 * BLOCK)
ROOT = b"."

FILE, HARD_LINK, LINK, FOLDER, FIFO = "file", "hard link", "link", "folder", "FIFO"
CHARACTER_DEVICE, BLOCK_DEVICE = "character device", "block device"
_FLAGS = {
    FILE: b"0",
    HARD_LINK: b"1",
    LINK: b"2",
    CHARACTER_DEVICE: b"3",
    BLOCK_DEVICE: b"4",
    FOLDER: b"5",
    FIFO: b"6",
}
_EXTENSION = "extension"  # of the next entry's header, by PAX (x; g is for all) or GNU (L its name, K its link)
_KINDS = {flag: kind for kind, flag in _FLAGS.items()} | {b"\0": FILE, b"7": FILE} | dict.fromkeys(
    (b"x", b"g", b"L", b"K"), _EXTENSION
)  # fmt: skip
_ZEROS = bytes(BLOCK)
# An extension is held in memory; Linux knows no name or attribute longer than 64 KiB.
_LONGEST_EXTENSION = 1 << 20
_MOST = 1 << 62  # numbers are below it: more than any file system has, and no more than can be written
_XATTR = b"SCHILY.xattr."
# POSIX ustar: name, mode, uid, gid, size, mtime, checksum, type, link, magic, owner, group, device numbers, prefix.
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")


class TarError(Exception):
    """A tar that is not whole or can't be restored: `offset` bytes into it, at or after the entry `name`."""

    def __init__(self, reason: str, offset: int, name: bytes = b"") -> None:
        self.reason, self.offset, self.name = reason, offset, name
        super().__init__(reason, offset, name)


@dataclass(slots=True)
class Entry:
    """One file, folder or link of a tar. Times are whole seconds; `digest` is the content's SHA-256 where it was taken.

    `name` is as below the folder that was archived, without `./` and a slash at the end; that folder itself is `.`.
    """

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    digest: bytes = b""


Piece = Entry | memoryview


def read(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Each entry, followed by its content in pieces as they come; raises `TarError` where the tar is not whole.

    It ends with two blocks of zeros, and has nothing but zeros after them: without these, it was cut off.
    """
    source = _Source(chunks)
    extensions: dict[bytes, bytes] = {}
    while (block := source.take(BLOCK)) != _ZEROS:
        entry = _entry(block, extensions, source)
        if entry.kind is _EXTENSION:
            _take_extension(extensions, block[156:157], entry.size, source)
            continue
        extensions.clear()
        source.name = entry.name
        yield entry
        if entry.size:
            yield from source.content(entry.size)
            if entry.size % BLOCK:
                source.take(BLOCK - entry.size % BLOCK)
    if source.take(BLOCK) != _ZEROS:
        source.fail("a lone block of zeros")
    source.expect_zeros()


def write(pieces: Iterable[Piece], folder: bytes = ROOT) -> Iterator[bytes]:
    """The same entries as a tar, below `folder`, in chunks of a mebibyte; the last is another size."""
    held: list[bytes | memoryview] = []
    room, size = CHUNK, 0
    for piece in pieces:
        data: bytes | memoryview
        if isinstance(piece, Entry):
            data, size = padding(size) + encode(piece, folder), piece.size
        else:
            data = piece
        while len(data) >= room:
            yield b"".join([*held, data[:room]])
            held, data, room = [], data[room:], CHUNK
        held.append(data)
        room -= len(data)
    yield b"".join([*held, padding(size), END])


def padding(size: int) -> bytes:
    """The zeros that fill up the last block of that much content."""
    return bytes(-size % BLOCK)


def encode(entry: Entry, folder: bytes = ROOT) -> bytes:
    """An entry's header, with owners as numbers alone.

    A number too large for its field is in GNU's base 256 rather than a PAX record: busybox reads names from those, but
    no numbers. Without names of owners, the numbers hold on every machine.
    """
    name = folder + b"/" if entry.name == ROOT else folder + b"/" + entry.name + b"/" * (entry.kind == FOLDER)
    link = folder + b"/" + entry.link if entry.kind == HARD_LINK else entry.link
    records = [(_XATTR + key, value) for key, value in entry.xattrs]
    if len(name) > 100:
        records.append((b"path", name))
    if len(link) > 100:
        records.append((b"linkpath", link))
    header = _header(name, entry, link, _FLAGS[entry.kind])
    if not records:
        return header
    body = b"".join(_record(key, value) for key, value in records)
    extension = Entry(b"", _EXTENSION, 0o644, 0, 0, len(body), 0)
    return _header(b"PaxHeader", extension, b"", b"x") + body + padding(len(body)) + header


def _header(name: bytes, entry: Entry, link: bytes, flag: bytes) -> bytes:
    block = _HEADER.pack(
        name,
        b"%07o" % entry.mode,
        _number(entry.uid, 8),
        _number(entry.gid, 8),
        _number(entry.size, 12),
        _number(entry.mtime, 12),
        b"",
        flag,
        link,
        b"ustar\x0000",
        b"",
        b"",
        _number(entry.device[0], 8),
        _number(entry.device[1], 8),
        b"",
    )
    return b"%b%06o\0 %b" % (block[:148], _checksum(block), block[156:])


def _checksum(block: bytes) -> int:
    """The sum of a header's bytes, with the field of the checksum itself as eight spaces."""
    # sum() takes ten times as long, and where files are small this is most of the work. The lower half of Adler-32 is
    # 1 plus the sum, modulo 65521, which so few bytes as are taken here at a time can't reach.
    parts = block[:148], block[156:384], block[384:]
    return sum([adler32(part) & 0xFFFF for part in parts]) - len(parts) + 8 * ord(" ")


@lru_cache(1024)
def _number(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o" % (width - 1, value)
    encoded = bytearray(value.to_bytes(width, "big", signed=True))
    encoded[0] |= 0x80
    return bytes(encoded)


@lru_cache(1024)
def _parse(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: base 256, the sign in the second bit
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    return int(field.rstrip(b"\0 ") or b"0", 8)


def _record(key: bytes, value: bytes) -> bytes:
    """A PAX record: its own length in decimal, which counts itself, then key and value."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


class _Source:
    """Bytes of a stream of chunks, taken in the sizes that are wanted."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.offset = 0
        self.name = b""

    def fail(self, reason: str) -> NoReturn:
        raise TarError(reason, self.offset, self.name)

    def take(self, size: int) -> bytes:
        """Exactly that many bytes."""
        rest = self._rest
        if len(rest) >= size:
            self._rest = rest[size:]
            self.offset += size
            return bytes(rest[:size])
        return b"".join(self.content(size))

    def content(self, size: int) -> Iterator[memoryview]:
        """That many bytes, in the pieces in which they come."""
        while size:
            if not self._rest:
                try:
                    self._rest = memoryview(next(self._chunks))
                except StopIteration:
                    self.fail("it ends too early")
                continue
            piece = self._rest[:size]
            self._rest = self._rest[size:]
            self.offset += len(piece)
            size -= len(piece)
            yield piece

    def expect_zeros(self) -> None:
        """Read to the end, for what may fill up the last record of a tape."""
        while True:
            if any(self._rest):
                self.fail("something follows its end")
            self.offset += len(self._rest)
            try:
                self._rest = memoryview(next(self._chunks))
            except StopIteration:
                return


def _entry(block: bytes, extensions: dict[bytes, bytes], source: _Source) -> Entry:
    name, mode, uid, gid, size, mtime, checksum, flag, link, magic, _, _, major, minor, prefix = _HEADER.unpack(block)
    name, link = name.partition(b"\0")[0], link.partition(b"\0")[0]
    if prefix[0] and magic == b"ustar\x0000":
        name = prefix.partition(b"\0")[0] + b"/" + name
    kind = _KINDS.get(flag, "")
    device = (0, 0)
    try:
        if _parse(checksum) != _checksum(block):
            source.fail("a header's checksum is wrong")
        if kind is CHARACTER_DEVICE or kind is BLOCK_DEVICE:
            device = _parse(major), _parse(minor)
        # The cache keeps what repeats itself; sizes and times are many.
        entry = Entry(
            name, kind, _parse(mode) & 0o7777, _parse(uid), _parse(gid), _parse(size), _parse(mtime), link, device
        )
        if extensions and kind is not _EXTENSION:
            _extend(entry, extensions)
        if not (0 <= entry.size < _MOST and max(abs(entry.uid), abs(entry.gid)) < _MOST >= abs(entry.mtime)):
            raise ValueError
    except ValueError:
        source.fail("a header has something else where a number should be")
    if kind is _EXTENSION:
        return entry
    if kind is FILE and entry.name.endswith(b"/"):
        entry.kind = kind = FOLDER  # as tars older than POSIX have them
    entry.name = _below_root(entry.name)
    if not kind or any(key.startswith(b"GNU.sparse") for key in extensions):
        source.name = entry.name
        source.fail("an entry of a kind that only the tar that made it knows (sparse, or of several volumes)")
    if kind is not FILE:
        entry.size = 0
        entry.link = entry.link if kind is LINK else _below_root(entry.link) if kind is HARD_LINK else b""
    return entry


def _extend(entry: Entry, extensions: dict[bytes, bytes]) -> None:
    """Give an entry what was said before its header; `ValueError` where that should be a number and is none."""
    entry.name = extensions.get(b"path", entry.name)
    entry.link = extensions.get(b"linkpath", entry.link)
    for field in ("size", "uid", "gid", "mtime"):
        if (value := extensions.get(field.encode())) is not None:
            whole, _, fraction = value.partition(b".")
            setattr(entry, field, int(whole) - (whole.startswith(b"-") and any(fraction.strip(b"0"))))
    entry.xattrs = tuple((key[len(_XATTR) :], extensions[key]) for key in sorted(extensions) if key.startswith(_XATTR))


def _take_extension(extensions: dict[bytes, bytes], flag: bytes, size: int, source: _Source) -> None:
    """Read what is said of the next entry; what a PAX header says of all entries is passed over."""
    if size > _LONGEST_EXTENSION:
        source.fail("a header is extended by more than 1 MiB")
    data = source.take(size + len(padding(size)))[:size]
    if flag == b"L":
        extensions[b"path"] = data.rstrip(b"\0")
    elif flag == b"K":
        extensions[b"linkpath"] = data.rstrip(b"\0")
    elif flag == b"x":
        while data:
            digits = data.partition(b" ")[0]
            length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
            record = data[:length]
            key, equals, value = record[len(digits) + 1 :].partition(b"=")
            if not (equals and value.endswith(b"\n") and len(record) == length):
                source.fail("a PAX header is not one")
            extensions[key] = value[:-1]
            data = data[len(record) :]


def _below_root(name: bytes) -> bytes:
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return name.rstrip(b"/") or (b"/" if name else ROOT)
