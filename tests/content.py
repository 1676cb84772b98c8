"""Volumes with content that is hard to keep, and what is in a volume, told by a container's own tools."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

from docker.types import Mount

from dockerlab import Lab, Volume
from dockerlab.engine import images

# cap_net_bind_service, permitted and effective: as setcap writes it.
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
CAPABLE = {"SCHILY.xattr.security.capability": CAPABILITY.decode()}

# Of each entry: name, type and mode, owner, links; of files and links the size and time too (a folder's depend on the
# file system, and tars of busybox do not set them), then contents and where links lead.
LIST = r"""cd /v
find . -exec stat -c '%n|%f|%u|%g|%h' {} + | sort
find . ! -type d -exec stat -c '%n|%s|%Y' {} + | sort
find . -type f -exec sha256sum {} + | sort
find . -type l -exec readlink {} \; | sort
"""


def volumes(lab: Lab) -> set[str]:
    """The engine's names of all volumes."""
    return {each["Name"] for each in lab.engine.client.api.volumes()["Volumes"] or []}


def item(
    name: bytes | str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    """One entry for `put`."""
    text = name.decode(errors="surrogateescape") if isinstance(name, bytes) else name
    entry = tarfile.TarInfo(text)
    entry.type, entry.size, entry.mtime = kind, len(content), 1_600_000_000
    entry.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


def tar_of(items: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar as Python's own library writes it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for entry, content in items:
            tar.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def put(lab: Lab, volume: str, items: Iterable[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Put entries into a volume of a lab, which is made if it is not there."""
    lab.claim_volume(volume)
    images.ensure(lab.engine, "alpine")
    api = lab.engine.client.api
    mount = Mount("/v", lab.belongings.full(volume), type="volume", no_copy=True)
    box = api.create_container("alpine", ["true"], host_config=api.create_host_config(mounts=[mount]))["Id"]
    try:
        api.put_archive(box, "/", tar_of((_below(entry), content) for entry, content in items))
    finally:
        api.remove_container(box)


def _below(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.name = "v/" + entry.name
    if entry.islnk():
        entry.linkname = "v/" + entry.linkname
    return entry


def hard_to_keep() -> list[tuple[tarfile.TarInfo, bytes]]:
    """Entries of every kind that a volume can have and the engine carries."""
    folder, link, hard, fifo = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
    deep = "/".join(["L" * 200, "M" * 200, "N" * 200])
    return [
        item(".", folder, mode=0o700, uid=70, gid=71),
        item("plain", content=b"hello\n" * 1000, uid=1000, gid=1001, mode=0o6755),
        item("big owner", content=b"x", uid=4_000_000_000, gid=3_000_000),
        item("empty file"),
        item("empty folder", folder, mode=0o1777, mtime=1_000_000_000),
        item("capable", content=b"\x7fELF", mode=0o755, pax_headers=CAPABLE),
        item(b"bytes \xff\xfe\n of a name", content=b"1"),
        item("ünïcödé ☃", content=b"2"),
        item("-rf", content=b"3"),
        item(".hidden", content=b"4"),
        item("L" * 200, folder),
        item("/".join(["L" * 200, "M" * 200]), folder),
        item(deep, content=b"5"),
        item("folder", folder, mode=0o2750, uid=5, gid=6),
        item("folder/" + "y" * 93, content=b"6"),
        item("folder/" + "y" * 94, content=b"7"),
        item("folder/up", link, linkname="../../outside"),
        item("absolute", link, linkname="/etc/passwd"),
        item("dangling", link, linkname="../nowhere", uid=5, gid=6, mtime=1_000_000_000),
        item("long link", link, linkname="t" * 300),
        item("link", link, linkname="plain"),
        item("other name", hard, linkname="plain", uid=1000, gid=1001, mode=0o6755),
        item("z" * 150, hard, linkname="folder/" + "y" * 94),
        item("fifo", fifo, mode=0o620),
        item("zeros", content=bytes(3_000_000) + b"data" + bytes(2_000_000)),
        item("noise", content=bytes(range(256)) * 9000),
    ]  # fmt: skip


def listing(lab: Lab, volume: str) -> list[str]:
    """What is in a volume, in lines of busybox's `stat`, `sha256sum` and `readlink`."""
    done = lab.run("alpine", ["sh", "-c", LIST], mounts=[Volume(volume, "/v")], detach=False, remove=True)
    assert done.exit_code == 0, done.text
    return str(done.text).splitlines()


def helpers(lab: Lab) -> list[str]:
    """Containers and volumes that a backup or restore made for itself and left."""
    api = lab.engine.client.api
    label = {"label": "dockerlab.helper"}
    left = [container["Id"] for container in api.containers(all=True, filters=label)]
    return left + [volume["Name"] for volume in api.volumes(filters=label)["Volumes"] or []]
