"""Archives are read to the end, known to be whole or not, and never unpacked outside their folder. No engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from content import hard_to_keep, item, tar_of
from hypothesis import given
from hypothesis import strategies as some

from dockerlab import DockerLabError
from dockerlab.backup import tar, verify
from dockerlab.backup.contents import Entries, differences, hazard, inventory
from dockerlab.backup.door import rooted
from dockerlab.backup.packing import packed
from dockerlab.errors import BackupError, NotFoundError

PARTS = some.binary(min_size=1, max_size=120).filter(
    lambda part: not set(b"/\0") & set(part) and part not in (b".", b"..")
)
NAMES = some.lists(PARTS, min_size=1, max_size=4).map(b"/".join)
KINDS = [tar.FILE, tar.LINK, tar.HARD_LINK, tar.FOLDER, tar.FIFO, tar.CHARACTER_DEVICE, tar.BLOCK_DEVICE]


@some.composite
def entries(draw: some.DrawFn) -> tuple[tar.Entry, bytes]:
    kind = draw(some.sampled_from(KINDS))
    content = draw(some.binary(max_size=1500)) if kind == tar.FILE else b""
    keys = some.binary(min_size=1, max_size=9).filter(lambda key: b"=" not in key)
    entry = tar.Entry(
        draw(NAMES),
        kind,
        draw(some.integers(0, 0o7777)),
        draw(some.integers(0, 2**32 - 1)),
        draw(some.integers(0, 2**32 - 1)),
        len(content),
        draw(some.integers(-(2**62), 2**62)),
        draw(NAMES) if kind in (tar.LINK, tar.HARD_LINK) else b"",
        (draw(some.integers(0, 4095)), draw(some.integers(0, 2**20))) if kind.endswith("device") else (0, 0),
        tuple(sorted(draw(some.dictionaries(keys, some.binary(max_size=99), max_size=2)).items())),
    )
    return entry, content


def pieces(items: list[tuple[tar.Entry, bytes]]) -> Iterator[tar.Piece]:
    for entry, content in items:
        yield entry
        if content:
            yield memoryview(content)


@given(some.lists(entries(), max_size=4), some.integers(1, 3000))
def test_any_entry_is_read_as_it_was_written_however_the_stream_is_cut(
    items: list[tuple[tar.Entry, bytes]], step: int
) -> None:
    data = b"".join(tar.write(pieces(items)))
    read: list[tuple[tar.Entry, bytes]] = []
    for piece in tar.read(data[start : start + step] for start in range(0, len(data), step)):
        if isinstance(piece, tar.Entry):
            read.append((piece, b""))
        else:
            read[-1] = read[-1][0], read[-1][1] + piece
    assert read == items


@given(entries())
def test_python_s_own_library_reads_what_is_written(given: tuple[tar.Entry, bytes]) -> None:
    entry, content = given
    data = b"".join(tar.write(pieces([given])))
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as library:
        (found,) = library
        name = os.fsencode(found.name).removeprefix(b"./")
        assert (name, found.mode, found.uid, found.gid) == (entry.name, entry.mode, entry.uid, entry.gid)
        assert (found.size, found.mtime, found.uname, found.gname) == (entry.size, entry.mtime, "", "")
        if entry.kind == tar.FILE:
            assert library.extractfile(found).read() == content  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7"])
def test_what_gnu_tar_makes_is_read_as_its_files_are(form: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "folder" / ("n" * 60)).mkdir(parents=True)
    (source / "folder" / ("n" * 60) / "file").write_bytes(b"content")
    (source / "one").write_bytes(b"1" * 5000)
    os.link(source / "one", source / "two")
    (source / "link").symlink_to("../elsewhere")
    if form in ("gnu", "pax"):
        (source / ("l" * 150)).write_bytes(b"long")
        (source / "long link").symlink_to("t" * 150)
    os.utime(source / "one", ns=(0, 1_500_000_000_987_654_321))
    path = tmp_path / "a.tar.gz"
    subprocess.run(["tar", f"--format={form}", "-czf", path, "-C", source, "."], check=True)
    found = verify(path).entries
    for name in (b"one", b"link", b"folder"):
        state = (source / os.fsdecode(name)).lstat()
        entry = found[name]
        assert (entry.uid, entry.gid, entry.mtime) == (state.st_uid, state.st_gid, int(state.st_mtime))
    (first,) = {b"one", b"two"} - {name for name, entry in found.items() if entry.kind == tar.HARD_LINK}
    assert found[first].digest == hashlib.sha256(b"1" * 5000).digest()
    assert found[b"link"].link == b"../elsewhere"
    names = {os.fsencode(each.relative_to(source)) for each in source.rglob("*")} | {b"."}
    assert set(found) == names


def test_a_file_beyond_8_gb_keeps_its_size_for_every_tar(tmp_path: Path) -> None:
    size = 9 * 2**30 + 7
    big = tmp_path / "big.tar"  # with a hole for the content
    with big.open("wb") as file:
        file.write(tar.encode(tar.Entry(b"big", tar.FILE, 0o644, 0, 0, size, 0)))
        file.seek(size, os.SEEK_CUR)
        file.write(tar.padding(size) + tar.END)
    listed = subprocess.run(["tar", "-tvf", big], capture_output=True, text=True, check=True).stdout
    assert str(size) in listed
    with tarfile.open(big) as library:
        assert [entry.size for entry in library] == [size]
    with big.open("rb") as file:
        header = file.read(tar.BLOCK)
    pieces = tar.read([header, *[bytes(2**20)] * (9 * 1024), bytes(1024 + 512)])
    entry = next(pieces)
    assert isinstance(entry, tar.Entry)
    assert entry.size == size == sum(map(len, pieces))


# Compressed by several threads


@given(some.lists(some.one_of(some.binary(max_size=99), some.integers(0, 200_000).map(os.urandom)), max_size=9))
def test_any_chunks_are_packed_into_one_gzip(chunks: list[bytes]) -> None:
    assert gzip.decompress(b"".join(packed(chunks))) == b"".join(chunks)


def test_what_does_not_shrink_is_stored_and_what_shrinks_is_not_however_they_are_mixed(tmp_path: Path) -> None:
    noise, text = os.urandom(1 << 20), b" ".join(b"%d" % number for number in range(150_000))[: 1 << 20]
    sizes = {}
    mixed = [noise, text, noise[: 1 << 19] + text[: 1 << 19]]
    for name, chunks in {"noise": [noise] * 3, "text": [text] * 3, "mixed": mixed}.items():
        path = tmp_path / name
        path.write_bytes(b"".join(packed(chunks)))
        unpacked = subprocess.run(["gzip", "-dc"], input=path.read_bytes(), capture_output=True, check=True).stdout
        assert unpacked == b"".join(chunks)
        sizes[name] = path.stat().st_size / sum(map(len, chunks))
        assert path.read_bytes() == b"".join(packed(chunks))  # of the same always the same
    assert 1 < sizes["noise"] < 1.001 and sizes["text"] < 0.5 and sizes["mixed"] < 0.75


# Whether it is whole


def seal(path: Path) -> None:
    path.with_name(path.name + ".sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "data.tar.gz"
    path.write_bytes(gzip.compress(tar_of(hard_to_keep()), mtime=0))
    seal(path)
    return path


def test_a_whole_archive_is_said_to_be_whole(archive: Path) -> None:
    found = verify(archive)
    assert found.sealed
    assert found.files == 13
    assert "yes" in repr(found)
    assert len(found.frame()) == len(hard_to_keep())
    archive.with_name("data.tar.gz.sha256").unlink()
    assert not verify(archive).sealed
    assert "no .sha256" in repr(verify(archive))


def test_an_archive_cut_anywhere_is_caught(archive: Path) -> None:
    data = archive.read_bytes()
    for end in [0, 1, len(data) - 1, *random.Random(1).sample(range(len(data)), 197)]:
        archive.write_bytes(data[:end])
        with pytest.raises(BackupError, match=r"is not whole(.|\n)*digest:") as caught:
            verify(archive)
        assert "gzip:" in str(caught.value) or not end  # nothing at all unpacks to nothing


def test_an_archive_with_any_bit_flipped_is_caught(archive: Path) -> None:
    data = archive.read_bytes()
    for bit in random.Random(2).sample(range(8 * len(data)), 200):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        archive.write_bytes(flipped)
        with pytest.raises(BackupError, match="digest:"):
            verify(archive)


def test_without_a_digest_a_flipped_bit_is_caught_wherever_it_could_change_what_is_restored(archive: Path) -> None:
    whole, data = verify(archive).entries, archive.read_bytes()
    archive.with_name("data.tar.gz.sha256").unlink()
    caught = 0
    for bit in [*range(8 * 10), *random.Random(3).sample(range(8 * len(data)), 200)]:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        archive.write_bytes(flipped)
        try:
            assert differences(whole, verify(archive).entries) == []
        except BackupError:
            caught += 1
    assert caught >= 200  # gzip's header has a time and a system's name, which nothing depends on


def test_which_of_the_checks_failed_is_said(archive: Path) -> None:
    content = gzip.decompress(archive.read_bytes())
    archive.write_bytes(gzip.compress(content + b"\0" * 512, mtime=0))
    with pytest.raises(BackupError) as digest:
        verify(archive)
    assert "digest:" in digest.value.seen and "gzip:" not in digest.value.seen and "tar:" not in digest.value.seen

    archive.write_bytes(gzip.compress(content[:-20000], mtime=0))
    seal(archive)
    with pytest.raises(BackupError, match="in or after 'noise'") as structure:
        verify(archive)
    assert "tar: it ends too early" in structure.value.seen and "gzip:" not in structure.value.seen

    data = bytearray(gzip.compress(content, mtime=0))
    data[-8] ^= 1
    archive.write_bytes(data)
    seal(archive)
    with pytest.raises(BackupError, match="near byte") as checksum:
        verify(archive)
    assert "gzip:" in checksum.value.seen and "digest:" not in checksum.value.seen


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda data: data + b"x", "gzip:"),
        (lambda data: data + gzip.compress(b"more"), "something follows"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1536].rstrip(b"\0") + bytes(512)), "tar:"),
        (lambda data: b"", "too early"),
        (lambda data: gzip.compress(b""), "too early"),
        (lambda data: gzip.compress(b"no tar at all" * 100), "tar: a header"),
        (lambda data: b"no gzip at all", "Not a gzip"),
    ],
)
def test_other_things_that_are_no_archive_are_said_to_be_none(archive: Path, spoil: object, complaint: str) -> None:
    assert callable(spoil)
    archive.write_bytes(spoil(archive.read_bytes()))
    archive.with_name("data.tar.gz.sha256").unlink()
    with pytest.raises(BackupError, match="is not whole") as caught:
        verify(archive)
    assert complaint in str(caught.value)


def test_what_gzip_itself_accepts_is_whole(archive: Path) -> None:
    archive.with_name("data.tar.gz.sha256").unlink()
    content = gzip.decompress(archive.read_bytes())
    archive.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:] + bytes(10240)))
    assert verify(archive).files == 13


def test_a_sha256_that_names_another_file_or_none_is_understood(archive: Path) -> None:
    moved = archive.rename(archive.with_name("moved.tar.gz"))
    archive.with_name("data.tar.gz.sha256").rename(moved.with_name("moved.tar.gz.sha256"))
    assert verify(moved).sealed
    moved.with_name("moved.tar.gz.sha256").write_text("nonsense")
    with pytest.raises(BackupError, match="compared with its digest") as broken:
        verify(moved)
    assert "moved.tar.gz.sha256 has 8 bytes" in broken.value.seen  # the archive itself may be whole


def test_where_a_later_member_breaks_is_said_as_a_place_in_the_file(archive: Path) -> None:
    archive.with_name("data.tar.gz.sha256").unlink()
    content = gzip.decompress(archive.read_bytes())
    first, second = gzip.compress(content[:5000]), bytearray(gzip.compress(content[5000:]))
    second[-8] ^= 1
    archive.write_bytes(first + second)
    with pytest.raises(BackupError, match="gzip:") as caught:
        verify(archive)
    place = int(
        caught.value.seen.rpartition("near byte ")[2].split(",  ")[0].split(", in")[0].rstrip(".").replace(",", "")
    )
    assert len(first) < place <= len(first) + len(second)


def test_an_archive_that_can_t_be_read_is_an_error_in_three_lines(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackupError, match="File name too long") as caught:
        verify(archive.with_name("x" * 300))
    assert len(str(caught.value).splitlines()) == 3
    monkeypatch.setenv("HOME", str(archive.parent))
    assert verify(f"~/{archive.name}").sealed


def test_reading_is_metered_in_bytes_of_the_file(archive: Path) -> None:
    told: list[tuple[int, int | None]] = []
    verify(archive, progress=lambda done, total: told.append((done, total)))
    size = archive.stat().st_size
    assert told[0] == (0, size) and told[-1] == (size, size)


def test_a_missing_archive_is_named_with_near_ones(archive: Path) -> None:
    with pytest.raises(NotFoundError, match=r"data\.tar\.gz"):
        verify(archive.with_name("dta.tar.gz"))
    with pytest.raises(DockerLabError):
        verify("/no/such/folder/data.tar.gz")


# What may be unpacked

LINK, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
HOSTILE = {
    "a name that leads up": [item("../evil")],
    "a name that leads up on its way": [item("folder/../../evil")],
    "an absolute name": [item("/evil")],
    "a name that is dots": [item("a/./b")],
    "written through a link": [item("out", LINK, linkname="/etc"), item("out/evil")],
    "written through a link further up": [item("out", LINK, linkname=".."), item("out/a/b/evil")],
    "written before the link is there": [item("out/evil"), item("out", LINK, linkname="/etc")],
    "written through a link inside": [item("in", LINK, linkname="folder"), item("folder", FOLDER), item("in/evil")],
    "below a file": [item("file"), item("file/evil")],
    "a root that is a link": [item(".", LINK, linkname="/etc")],
    "a hard link out": [item("out", HARD, linkname="../../etc/passwd")],
    "an absolute hard link": [item("out", HARD, linkname="/etc/passwd")],
    "a hard link to what comes later": [item("out", HARD, linkname="later"), item("later")],
    "a hard link to itself": [item("out", HARD, linkname="out")],
    "a character device": [item("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a block device": [item("disk", tarfile.BLKTYPE, devmajor=8, devminor=0)],
}


def contents(items: list[tuple[tarfile.TarInfo, bytes]]) -> Entries:
    return inventory(tar.read([tar_of(items)]))


@pytest.mark.parametrize("what", HOSTILE)
def test_what_could_write_outside_is_a_hazard(what: str) -> None:
    assert hazard(contents([item("good"), *HOSTILE[what]])), what


def test_what_volumes_hold_is_no_hazard() -> None:
    assert hazard(contents(hard_to_keep())) == ""
    # A hard link to a symbolic link, as Linux allows it, leads nowhere by itself.
    assert hazard(contents([item("a", LINK, linkname="/etc"), item("b", HARD, linkname="a")])) == ""


def test_a_name_that_comes_twice_is_refused() -> None:
    for second in (item("a", LINK, linkname="/etc"), item("./a"), item("a", FOLDER)):
        with pytest.raises(tar.TarError, match="twice"):
            contents([item("a"), second])
    assert contents([item("a", FOLDER), item("a", FOLDER)])


@pytest.mark.parametrize("kind", [b"S", b"M", b"V", b"Z"])
def test_kinds_that_no_other_tar_knows_are_refused(kind: bytes) -> None:
    with pytest.raises(tar.TarError, match="only the tar that made it"):
        contents([item("a", kind)])


def test_a_stream_that_does_not_begin_with_the_root_is_not_all_of_a_volume() -> None:
    for items in ([item("a"), item(".", FOLDER)], []):
        with pytest.raises(tar.TarError, match="root"):
            list(rooted(tar.read([tar_of(items)])))
    assert len(list(rooted(tar.read([tar_of([item(".", FOLDER), item("a")])])))) == 2


def test_a_header_without_end_does_not_fill_the_memory() -> None:
    header = tar.encode(tar.Entry(b"x", tar.FILE, 0, 0, 0, 2**40, 0))
    endless = header[:156] + b"x" + header[157:]
    checksum = sum(endless[:148]) + sum(endless[156:]) + 8 * 32
    endless = endless[:148] + b"%06o\0 " % checksum + endless[156:]
    with pytest.raises(tar.TarError, match="1 MiB"):
        list(tar.read([endless, *[bytes(2**20)] * 10]))


def pax(record: bytes, size: bytes = b"") -> bytes:
    """A file of a hostile tar: with a PAX record of its own, or with that in its header's field of the size."""
    header = tar.encode(tar.Entry(b"x", tar.FILE, 0, 0, 0, len(record), 0))
    extension = header[:156] + b"x" + header[157:]
    file = tar.encode(tar.Entry(b"a", tar.FILE, 0, 0, 0, 0, 0))
    file = file[:124] + (size or file[124:136]) + file[136:]
    blocks = [extension, file] if record else [file]
    summed = [b[:148] + b"%06o\0 " % (sum(b[:148]) + sum(b[156:]) + 8 * 32) + b[156:] for b in blocks]
    return b"".join([summed[0], record, tar.padding(len(record)), *summed[1:]]) + bytes(1024)


@pytest.mark.parametrize(
    "stream",
    [
        pax(b"", size=b"-0000000001\0"),
        pax(b"", size=b"\xff" * 12),
        pax(b"", size=b"\x80" + b"\xff" * 11),
        pax(b"12 size=-99\n"),
        pax(b"40 uid=1%s\n" % (b"0" * 31)),
        pax(b"40 mtime=1%s\n" % (b"0" * 29)),
        pax(b"9" * 5000 + b" size=1\n"),
    ],
    ids=["negative", "negative in base 256", "beyond any disk", "negative in PAX", "owner", "time", "length"],
)
def test_a_number_that_no_file_has_is_refused(stream: bytes) -> None:
    with pytest.raises(tar.TarError, match=r"where a number should be|a PAX header is not one"):
        list(tar.read([stream]))


# What counts as the same

CHANGES = {
    "kind": {"kind": tar.FIFO},
    "mode": {"mode": 0o600},
    "owner": {"uid": 7},
    "size": {"size": 3},
    "time": {"mtime": 5},
    "content": {"digest": b"other"},
    "attributes": {"xattrs": ((b"security.capability", b"1"),)},
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_difference_is_named(what: str) -> None:
    old, new = contents([item("a", content=b"1")]), contents([item("a", content=b"1")])
    for field, value in CHANGES[what].items():
        setattr(new[b"a"], field, value)
    assert [line.partition(":")[0] for line in differences(old, new)] == [f"a has another {what}"]


def test_missing_and_added_entries_and_parted_links_are_differences() -> None:
    one, two = item("a", content=b"1"), item("b", HARD, linkname="a")
    whole = contents([one, two])
    assert differences(whole, contents([one])) == ["b is missing"]
    assert differences(contents([one]), whole) == ["b is too much"]
    assert differences(whole, contents([one, item("b", content=b"1")])) == [
        "b has another set of names: b'b', not b'a'"
    ]
    assert differences(contents([one]), contents([one, item("c")])) == ["c is too much"]


def test_which_name_of_a_file_came_first_does_not_matter() -> None:
    first = contents([item("a", content=b"1"), item("b", HARD, linkname="a"), item("c", HARD, linkname="b")])
    other = contents([item("c", content=b"1"), item("a", HARD, linkname="c"), item("b", HARD, linkname="a")])
    assert differences(first, other) == []


def test_folders_that_an_archive_leaves_out_may_be_there() -> None:
    assert (
        differences(
            contents([item("a/b/c")]),
            contents([item(".", FOLDER), item("a", FOLDER), item("a/b", FOLDER), item("a/b/c")]),
        )
        == []
    )
