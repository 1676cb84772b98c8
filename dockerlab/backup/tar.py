"""Tar as a stream: entries and their content read in order, and written so that any tar restores them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

__all__ = ["BLOCK", "END", "Entry", "Piece", "TarError", "encode", "padding", "read", "write"]

BLOCK = 512
END = bytes(2 * BLOCK)
ROOT = b"."

FILE, HARD_LINK, LINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO = (
    "file",
    "hard link",
    "link",
    "character device",
    "block device",
    "folder",
    "FIFO",
)
_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"1": HARD_LINK,
    b"2": LINK,
    b"3": CHARACTER_DEVICE,
    b"4": BLOCK_DEVICE,
    b"5": FOLDER,
    b"6": FIFO,
}
_FLAGS = {kind: flag for flag, kind in reversed(_KINDS.items())}
_ZEROS = bytes(BLOCK)
# What extends a header (names, extended attributes) is held in memory; Linux knows none longer than 64 KiB.
_LONGEST_EXTENSION = 1 << 20
_XATTR = b"SCHILY.xattr."
# POSIX ustar: name, mode, uid, gid, size, mtime, checksum, type, link, magic, owner, group, device numbers, prefix.
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")


class TarError(ValueError):
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
        flag = block[156:157]
        if flag in b"xgLK" and flag:
            _extend(extensions, flag, source, _size(block, source))
            continue
        entry = _entry(block, extensions, source)
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


def write(pieces: Iterable[Piece], folder: bytes = ROOT) -> Iterator[bytes | memoryview]:
    """The same entries as a tar, below `folder`; content is passed on as it is."""
    size = 0
    for piece in pieces:
        if isinstance(piece, Entry):
            if size % BLOCK:
                yield padding(size)
            size = piece.size
            yield encode(piece, folder)
        else:
            yield piece
    yield padding(size) + END


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
    header = _header(name, entry, link)
    if not records:
        return header
    body = b"".join(_record(key, value) for key, value in records)
    extension = Entry(b"", FILE, 0o644, 0, 0, len(body), 0)
    return _header(b"PaxHeader", extension, b"", b"x") + body + padding(len(body)) + header


def _header(name: bytes, entry: Entry, link: bytes, flag: bytes = b"") -> bytes:
    block = _HEADER.pack(
        name,
        b"%07o" % entry.mode,
        _number(entry.uid, 8),
        _number(entry.gid, 8),
        _number(entry.size, 12),
        _number(entry.mtime, 12),
        b" " * 8,
        flag or _FLAGS[entry.kind],
        link,
        b"ustar\x0000",
        b"",
        b"",
        _number(entry.device[0], 8),
        _number(entry.device[1], 8),
        b"",
    )
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _number(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o" % (width - 1, value)
    encoded = bytearray(value.to_bytes(width, "big", signed=True))
    encoded[0] |= 0x80
    return bytes(encoded)


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
        if len(self._rest) >= size:
            taken = bytes(self._rest[:size])
            self._rest = self._rest[size:]
            self.offset += size
            return taken
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


def _size(block: bytes, source: _Source) -> int:
    if sum(block) - sum(block[148:156]) + 8 * 32 != _parse(block[148:156], source):
        source.fail("a header's checksum is wrong")
    return _parse(block[124:136], source)


def _entry(block: bytes, extensions: dict[bytes, bytes], source: _Source) -> Entry:
    size = _size(block, source)
    flag = block[156:157]
    kind = _KINDS.get(flag)
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    link = block[157:257].partition(b"\0")[0]
    uid, gid = _parse(block[108:116], source), _parse(block[116:124], source)
    mtime = _parse(block[136:148], source)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    if extensions:
        name, link = extensions.get(b"path", name), extensions.get(b"linkpath", link)
        size, uid, gid, mtime = (
            _decimal(extensions[key], source) if key in extensions else value
            for key, value in ((b"size", size), (b"uid", uid), (b"gid", gid), (b"mtime", mtime))
        )
        xattrs = tuple((key[len(_XATTR) :], extensions[key]) for key in sorted(extensions) if key.startswith(_XATTR))
        if any(key.startswith(b"GNU.sparse") for key in extensions):
            kind = None
    if kind is FILE and name.endswith(b"/"):
        kind = FOLDER  # as tars older than POSIX have them
    if kind is None:
        source.name = name
        source.fail("an entry of a kind that only the tar that made it knows (sparse, or of several volumes)")
    return Entry(
        _below_root(name),
        kind,
        _parse(block[100:108], source) & 0o7777,
        uid,
        gid,
        size if kind is FILE else 0,
        mtime,
        _below_root(link) if kind is HARD_LINK else link if kind is LINK else b"",
        (_parse(block[329:337], source), _parse(block[337:345], source)) if kind.endswith("device") else (0, 0),
        xattrs,
    )


def _below_root(name: bytes) -> bytes:
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return name.rstrip(b"/") or (b"/" if name else ROOT)


def _parse(field: bytes, source: _Source) -> int:
    if field[0] & 0x80:  # GNU: base 256, the sign in the second bit
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    try:
        return int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        source.fail("a header has something else where a number should be")


def _decimal(value: bytes, source: _Source) -> int:
    try:
        whole, _, fraction = value.partition(b".")
        return int(whole) - (value.startswith(b"-") and any(fraction.strip(b"0")))
    except ValueError:
        source.fail("a PAX record has something else where a number should be")


def _extend(extensions: dict[bytes, bytes], flag: bytes, source: _Source, size: int) -> None:
    """Take what a PAX or GNU header says about the next entry; a PAX header for all entries is passed over."""
    if size > _LONGEST_EXTENSION:
        source.fail("a header is extended by more than 1 MiB")
    data = source.take(size + len(padding(size)))[:size]
    if flag == b"L":
        extensions[b"path"] = data.rstrip(b"\0")
    elif flag == b"K":
        extensions[b"linkpath"] = data.rstrip(b"\0")
    elif flag == b"x":
        while data:
            length = data.partition(b" ")[0]
            record = data[: int(length)] if length.isdigit() else b""
            key, equals, value = record[len(length) + 1 :].partition(b"=")
            if not (equals and value.endswith(b"\n") and len(record) == int(length)):
                source.fail("a PAX header is not one")
            extensions[key] = value[:-1]
            data = data[len(record) :]
