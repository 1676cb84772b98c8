"""A mount's words say its fields, and mount what they say; what they could not say is refused."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerlab import Lab
from dockerlab.errors import CommandError, InUseError, NotFoundError
from dockerlab.mounts import Anonymous, Bind, Mount, Tmpfs, Volume, csv_fields, csv_record

_part = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1)
_nasty = st.text(st.sampled_from(list("a:,='\"\\$` \n-é")), min_size=1)
paths = (_part | _nasty).map(lambda text: "/" + text).filter(lambda path: path.strip("/") != "")
no_colon = paths.filter(lambda path: ":" not in path)
volume_names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", fullmatch=True)
tmpfs_sizes = st.none() | st.from_regex(r"[0-9]+[kmg]?", fullmatch=True)

sourced = st.one_of(
    st.builds(Volume, volume_names, paths, read_only=st.booleans(), nocopy=st.booleans()),
    st.builds(Volume, volume_names, paths, syntax=st.just("--mount"), nocopy=st.booleans()),
    st.builds(Bind, paths, paths, read_only=st.booleans()),
    st.builds(Bind, paths, paths, syntax=st.just("--mount")),
)
mounts: st.SearchStrategy[Mount] = st.one_of(
    sourced,
    st.builds(Anonymous, no_colon),
    st.builds(Tmpfs, no_colon, size=tmpfs_sizes, mode=st.none() | st.integers(0, 0o7777)),
)


def read_mount(flag: str, said: str) -> Mount:
    """A mount from its words, by docker's documentation: `-v` has fields between colons, `--mount` is a CSV record."""
    if flag == "--tmpfs":
        target, _, options = said.partition(":")
        given = dict(option.split("=") for option in options.split(",") if option)
        return Tmpfs(target, given.get("size"), int(given["mode"], 8) if "mode" in given else None)
    if flag == "--mount":
        (record,) = csv.reader(io.StringIO(said, newline=""))
        given = {key: value for key, _, value in (option.partition("=") for option in record)}
        source, target, read_only = given["source"], given["target"], "readonly" in given
        if given["type"] == "bind":
            return Bind(source, target, read_only=read_only, syntax="--mount")
        return Volume(source, target, read_only=read_only, nocopy="volume-nocopy" in given, syntax="--mount")
    source, colon, rest = said.partition(":")
    if not colon:
        return Anonymous(source)
    target, _, modes = rest.partition(":")
    read_only, nocopy = "ro" in modes.split(","), "nocopy" in modes.split(",")
    if source.startswith("/"):
        return Bind(source, target, read_only=read_only)
    return Volume(source, target, read_only=read_only, nocopy=nocopy)


@given(mounts)
@settings(deadline=None, max_examples=500)
def test_the_words_of_a_mount_say_its_fields(mount: Mount) -> None:
    assert read_mount(*mount.words()) == mount


def test_a_line_break_in_a_path_is_quoted_in_the_record() -> None:
    assert csv_fields('type=bind,"source=/a\nb"') == ["type=bind", "source=/a\nb"]
    assert csv_record("type=bind", "source=/a\nb", "target=/c") == 'type=bind,"source=/a\nb",target=/c'


def test_a_colon_in_a_path_needs_the_long_form() -> None:
    assert Bind("/a:b", "/c").words()[0] == "--mount"
    assert Volume("data", "/a:b").words()[0] == "--mount"
    assert Volume("data", "/a").words()[0] == "-v"


def test_a_host_s_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ana")

    assert Bind("code/..", "/app").source == str(tmp_path)
    assert Bind("~/code", "/app").source == "/home/ana/code"
    assert Bind(os.fspath(tmp_path), "/app") == Bind(".", "/app")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Volume("a", "/data"),
        lambda: Volume("my vol", "/data"),
        lambda: Volume("./code", "/data"),
        lambda: Volume("-data", "/data"),
        lambda: Volume("data", "data"),
        lambda: Volume("data", "/"),
        lambda: Volume("data", "/a:b", syntax="-v"),
        lambda: Bind("/a:b", "/c", syntax="-v"),
        lambda: Bind("/a", "c"),
        lambda: Anonymous("/a:b"),
        lambda: Anonymous("a"),
        lambda: Tmpfs("/a:b"),
        lambda: Tmpfs("/a", size="8 MB"),
        lambda: Tmpfs(""),
    ],
)
def test_what_docker_would_misread_is_refused_when_it_is_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(CommandError) as caught:
        make()

    assert re.search("Seen: ", str(caught.value))


# On a real engine


def test_an_empty_volume_is_first_filled_from_the_image_unless_nocopy(lab: Lab) -> None:
    def listing(mount: Mount) -> str:
        return str(lab.run("alpine", "ls /etc", detach=False, remove=True, mounts=[mount]))

    assert "passwd" in listing(Volume("filled", "/etc"))
    assert "passwd" in listing(Volume("filled-long", "/etc", syntax="--mount"))
    assert "passwd" not in listing(Volume("bare", "/etc", nocopy=True))
    assert "passwd" not in listing(Volume("bare-long", "/etc", nocopy=True, syntax="--mount"))


@pytest.mark.parametrize("syntax", ["-v", "--mount"])
def test_read_only_is_read_only(lab: Lab, tmp_path: Path, syntax: str) -> None:
    mounts = [Volume("data", "/v", read_only=True, syntax=syntax), Bind(tmp_path, "/b", read_only=True, syntax=syntax)]  # type: ignore[arg-type]
    box = lab.run("alpine", "sleep 1000", mounts=mounts)

    for folder in ("/v", "/b"):
        refused = lab.exec(box, f"touch {folder}/x")
        assert refused.exit_code != 0
        assert "Read-only" in refused.text
    assert not list(tmp_path.iterdir())


def test_a_host_s_folder_is_seen_both_ways_whatever_its_name(lab: Lab, tmp_path: Path) -> None:
    for number, name in enumerate(["a b", "it's", 'q"q', "a,b", "a:b", "$HOME", "é漢", "a\nb"]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "there").write_text(name)
        for syntax in ("-v", "--mount") if ":" not in name else ("--mount",):
            bind = Bind(folder, f"/t{number}", syntax=syntax)  # type: ignore[arg-type]
            said = lab.run("alpine", ["cat", f"/t{number}/there"], detach=False, remove=True, mounts=[bind])
            assert said.text == name


def test_a_missing_host_folder_is_made_by_the_short_form_and_refused_by_the_long(lab: Lab, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(NotFoundError, match="does not exist, and --mount does not make it") as caught:
        lab.run("alpine", "true", mounts=[Bind(missing, "/x", syntax="--mount")], name="long")
    assert str(missing) in str(caught.value)
    assert not missing.exists()
    assert lab.containers().empty, "and nothing is left behind"

    lab.run("alpine", "true", mounts=[Bind(missing, "/x")], name="short", detach=False, remove=True)
    assert missing.is_dir()
    assert missing.stat().st_uid == 0


def test_memory_has_the_size_and_mode_asked_for_and_forgets_when_the_container_stops(lab: Lab) -> None:
    box = lab.run("alpine", "sleep 1000", mounts=[Tmpfs("/small", size="1m", mode=0o700), Tmpfs("/plain")])

    assert lab.exec(box, "stat -c %a /small /plain").text.split() == ["700", "1777"]
    assert lab.exec(box, "head -c 900000 /dev/zero > /small/x").exit_code == 0
    assert lab.exec(box, "head -c 900000 /dev/zero > /small/y").exit_code != 0
    assert lab.exec(box, "du -k /small").text.split() == ["1024", "/small"]
    lab.exec(box, "echo hi > /plain/x")
    lab.stop(box, timeout=0)
    lab.start(box)
    assert lab.exec(box, "ls /small /plain").text.split() == ["/plain:", "/small:"]


def test_an_anonymous_volume_outlives_rm_and_not_rm_v(lab: Lab) -> None:
    for volumes, left in ((False, 1), (True, 1)):
        box = lab.run("alpine", "sleep 1000", mounts=[Anonymous("/data")])
        with pytest.raises(InUseError):
            lab.remove_volume(box.attrs["Mounts"][0]["Name"])
        lab.remove(box, volumes=volumes, force=True)
        assert lab.volumes()["anonymous"].sum() == left
