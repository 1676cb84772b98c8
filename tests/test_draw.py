"""Drawing: what a snapshot's picture shows, by the elements it is made of; nothing of an engine or a browser."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snapshots import AFTER, BEFORE, NAMELESS, READER, SNAPSHOTS, STAND_IN, bind, box, on, snap, volume

from dockerlab.draw import Theme, draw
from dockerlab.draw.palette import COLOURS
from dockerlab.draw.text import elide, elide_start, width
from dockerlab.storage import Snapshot

SVG = "{http://www.w3.org/2000/svg}"


def drawn(snapshot: Snapshot, previous: Snapshot | None = None, theme: Theme | None = "light") -> Element:
    return ElementTree.fromstring(draw(snapshot, previous, theme))


def things(picture: Element, kind: str) -> list[Element]:
    return [group for group in picture.iter(f"{SVG}g") if group.get("data-kind") == kind]


def named(picture: Element, kind: str) -> list[str | None]:
    return [thing.get("data-name") for thing in things(picture, kind)]


def thing(picture: Element, kind: str, name: str) -> Element:
    (found,) = (each for each in things(picture, kind) if each.get("data-name") == name)
    return found


def words(element: Element) -> str:
    return " | ".join("".join(text.itertext()) for text in element.iter(f"{SVG}text"))


def marks(element: Element) -> dict[str, str]:
    """By path, the mark of each file that is listed."""
    rows = (group for group in element.iter(f"{SVG}g") if group.get("data-path"))
    return {str(row.get("data-path")): str(row.get("data-mark")) for row in rows}


@pytest.mark.parametrize("theme", ["light", "dark", None])
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_every_snapshot_is_drawn_as_an_image_with_its_words(name: str, theme: Theme | None) -> None:
    picture = drawn(*SNAPSHOTS[name], theme=theme)
    assert picture.get("role") == "img"
    told = picture.find(f"{SVG}desc")
    assert told is not None and told.get("id") == picture.get("aria-describedby")
    title = picture.find(f"{SVG}title")
    assert title is not None and title.text == picture.get("aria-label")
    assert picture.get("width") == "800"


def test_the_same_snapshot_is_the_same_picture() -> None:
    for snapshot, previous in SNAPSHOTS.values():
        assert draw(snapshot, previous) == draw(replace(snapshot), previous)


def test_containers_stand_once_on_the_layers_of_their_image() -> None:
    picture = drawn(SNAPSHOTS["three on one image"][0])
    assert named(picture, "container") == ["first", "second", "third"]
    assert named(picture, "image") == ["alpine"]
    assert words(thing(picture, "image", "alpine")) == (
        "ADD rootfs.tar.gz in / | 1.98 MB | alpine | image · read-only · shared by 3"
    )


def test_a_stand_in_says_that_it_is_one() -> None:
    picture = drawn(snap([box("writer", STAND_IN)]))
    assert "stand-in image · read-only" in words(thing(picture, "image", "alpine"))


def test_a_writable_layer_lists_its_files_with_a_mark_and_a_word_each() -> None:
    writer = thing(drawn(SNAPSHOTS["one container"][0]), "container", "writer")
    assert marks(writer) == {"/root/notes.txt": "added", "/etc/motd": "changed", "/etc/issue": "deleted"}
    said = words(writer)
    assert "+ | /root/notes.txt | added" in said
    assert "~ | /etc/motd | copied up" in said
    assert "\N{MINUS SIGN} | /etc/issue | hidden, still in the image" in said
    assert "12.3 kB" in said
    before = box("writer", files="A/note")
    after = replace(before, changes=box("", files="A/note|D/etc/profile").changes)
    assert "/etc/profile | just hidden, still in the image" in words(drawn(snap([after]), snap([before])))


def test_files_beyond_the_room_are_counted() -> None:
    many = box("many", files="|".join(f"A/root/file{at:02}" for at in range(40)))
    said = thing(drawn(snap([many])), "container", "many")
    assert len(marks(said)) == 5
    assert "and 35 more" in words(said)


def test_stores_have_a_shape_and_a_word_of_their_kind() -> None:
    picture = drawn(SNAPSHOTS["five stores"][0])
    assert "anonymous · 9 B" in words(thing(picture, "volume", NAMELESS[:12]))
    assert "volume · 9 B" in words(thing(picture, "volume", "named"))
    assert "host folder · bind mount" in words(thing(picture, "bind", "/home/ana/dockerlab/five"))
    assert "12.3 kB of 67.1 MB | gone on stop" in words(thing(picture, "tmpfs", "/tmpfs"))
    assert named(picture, "path") == ["/anonymous", "/named", "/bind", "/tmpfs"]
    assert len(things(picture, "mount")) == 4


def test_a_read_only_mount_says_so() -> None:
    picture = drawn(
        snap([box("web", mounts=[bind("/srv", "/app", read_only=True), on("v", "/data")])], [volume("v", "web")])
    )
    assert {path.get("data-name"): path.get("data-ro") for path in things(picture, "path")} == {
        "/app": "yes",
        "/data": None,
    }
    assert "ro" in words(thing(picture, "path", "/app"))


def test_what_is_gone_is_a_ghost_with_what_went_with_it() -> None:
    picture = drawn(AFTER, BEFORE)
    writer = thing(picture, "container", "writer")
    assert writer.get("data-mark") == "removed"
    assert set(marks(writer).values()) == {"lost"}
    assert "lost | 12 kB" in words(writer)
    assert thing(picture, "volume", "my-data").get("data-mark") is None
    assert thing(picture, "container", "reader").get("data-mark") is None
    assert "just stopped" in words(thing(picture, "container", "app"))
    assert "emptied" in words(thing(picture, "tmpfs", "/scratch"))


def test_ghosts_keep_the_place_that_the_thing_had() -> None:
    def places(picture: Element) -> dict[str | None, str | None]:
        found = {}
        for container in things(picture, "container"):
            frame = container.find(f"{SVG}rect")
            assert frame is not None
            found[container.get("data-name")] = frame.get("x")
        return found

    assert places(drawn(AFTER, BEFORE)) == places(drawn(BEFORE))


def test_without_a_previous_snapshot_nothing_is_marked() -> None:
    marked = [group for group in drawn(AFTER).iter(f"{SVG}g") if group.get("data-mark") in ("added", "removed")]
    assert [group.get("data-path") for group in marked] == ["/root/todo.txt"]
    assert "writer" not in draw(AFTER)


def test_what_is_new_says_so() -> None:
    picture = drawn(*SNAPSHOTS["just now"])
    assert words(thing(picture, "container", "fresh")).endswith("new")
    assert words(thing(picture, "volume", "brand-new")).endswith("new")
    assert words(thing(picture, "volume", "my-data")).endswith("now unused")
    assert words(thing(picture, "volume", "old")).endswith("removed")
    reader = words(thing(picture, "container", "reader"))
    assert "/root/new.txt | just added" in reader
    assert "/root/todo.txt | added" in reader


def test_more_than_twelve_are_counted_together() -> None:
    picture = drawn(SNAPSHOTS["hundreds"][0])
    assert len(named(picture, "container")) == 11
    assert len(named(picture, "volume")) == 11
    (rest,) = things(picture, "containers")
    assert rest.get("data-count") == "289"
    (stores,) = things(picture, "stores")
    assert stores.get("data-count") == "989"
    assert "989 unused" in words(stores)


def test_of_many_volumes_those_in_use_are_drawn() -> None:
    assert {"vol-07", "vol-25"} <= set(named(drawn(SNAPSHOTS["forty volumes"][0]), "volume"))


def test_a_path_that_two_containers_share_is_there_once() -> None:
    boxes = [box(name, mounts=[on("shared", "/data")]) for name in ("one", "two")]
    picture = drawn(snap(boxes, [volume("shared", "one", "two")]))
    assert named(picture, "path") == ["/data"]
    assert len(things(picture, "mount")) == 2


def test_a_note_is_in_the_picture() -> None:
    picture = drawn(replace(AFTER, note="The engine does not answer."))
    assert "The engine does not answer." in words(picture)


def test_a_literal_theme_needs_no_style_sheet() -> None:
    for theme in ("light", "dark"):
        svg = draw(AFTER, BEFORE, theme)
        assert "var(" not in svg and "<style" not in svg
    assert draw(AFTER, BEFORE, "light") != draw(AFTER, BEFORE, "dark")


def test_without_a_theme_each_colour_follows_the_page_and_has_a_fallback() -> None:
    svg = draw(AFTER, BEFORE)
    used = set(re.findall(r'(?:fill|stroke)="([^"]*)"', svg)) - {"none"}
    assert used <= {f"var(--dl-{name},{shades[0]})" for name, shades in COLOURS.items()}


def luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("which", [0, 1], ids=["light", "dark"])
def test_text_and_edges_stand_out_as_wcag_asks(which: int) -> None:
    shade = {name: shades[which] for name, shades in COLOURS.items()}
    grounds = ("paper", "card", "plate", "plate-foot", "layer", "volume", "bind", "tmpfs", "shelf")
    for ink, ground in itertools.product(("ink", "muted"), grounds):
        assert contrast(shade[ink], shade[ground]) >= 4.5, (ink, ground)
    assert contrast(shade["tmpfs-edge"], shade["tmpfs"]) >= 4.5
    assert min(contrast(shade[f"{kind}-edge"], shade["paper"]) for kind in ("volume", "bind", "tmpfs")) >= 4.5
    for ground in ("paper", "card", "shelf"):
        assert contrast(shade["lost"], shade[ground]) >= 4.5
        for edge in ("plate-edge", "layer-edge", "volume-edge", "bind-edge", "tmpfs-edge"):
            assert contrast(shade[edge], shade[ground]) >= 3, (edge, ground)


@given(st.text(max_size=60), st.floats(0, 300), st.booleans(), st.booleans())
def test_elided_text_fits(text: str, room: float, bold: bool, mono: bool) -> None:
    for cut in (elide, elide_start):
        assert width(cut(text, room, 12, bold=bold, mono=mono), 12, bold=bold, mono=mono) <= room


def test_a_folder_keeps_the_end_of_its_path() -> None:
    for room, shown in ((300, "/home/ana/notebooks/my-code"), (150, "…/notebooks/my-code"), (80, "…/my-code")):
        assert elide_start("/home/ana/notebooks/my-code", room, 12, mono=True) == shown


def test_a_path_is_elided_in_its_middle() -> None:
    path = "/var/lib/postgresql/data/base/16384/pg_filenode.map"
    shown = elide(path, 200, 12, mono=True)
    head, _, tail = shown.partition("…")
    assert head and path.startswith(head)
    assert tail.endswith("filenode.map") and path.endswith(tail)


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=80))
def test_any_name_and_path_is_drawn_as_xml_that_can_be_read(name: str, path: str) -> None:
    container = replace(READER, name=name, mounts=(on(name, "/" + path),), changes=())
    drawn(snap([container], [volume(name, name)]), theme=None)
