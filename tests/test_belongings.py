"""Whose a thing is: by its labels, by its owner's prefix, and by the list of what no label marks."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import python

from dockerlab import Anonymous, Lab
from dockerlab.belongings import Belongings, built_by, is_anonymous
from dockerlab.engine.find import Engine
from dockerlab.errors import CommandError, ForeignError

Make = Callable[..., Belongings]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Belongings of a lab on an engine that nobody has to run, with a list of their own."""
    monkeypatch.setenv("DOCKERLAB_HOME", str(tmp_path))

    def make(lab: str = "demo", owner: str = "", *, private: bool = False, url: str = "unix:///a") -> Belongings:
        return Belongings(lab, owner, Engine(url, "20", "1.41", "docker", private, "Linux", client=None))  # type: ignore[arg-type]

    return make


def record(labels: dict[str, str], *volumes: str) -> dict[str, object]:
    return {"Labels": labels, "Mounts": [{"Type": "volume", "Name": name} for name in volumes]}


def test_an_owner_stands_before_every_name_once(make: Make) -> None:
    ana, nobody = make(owner="ana"), make()

    assert ana.full("data") == "ana-data"
    assert ana.full("ana-data") == "ana-data"
    assert ana.short("ana-data") == "data"
    assert nobody.full("data") == nobody.short("data") == "data"
    assert ana.full("a" * 64) == "a" * 64, "the engine made that name up"
    assert ana.full_image("app:1.0") == "ana-app:1.0"
    assert ana.full_image("example.org/app:1.0") == "example.org/app:1.0"


@pytest.mark.parametrize(
    ("lab", "owner"), [("", ""), ("De Mo", ""), ("-x", ""), ("a/b", ""), ("demo", "Ana B"), ("demo", "../x")]
)
def test_names_that_could_not_be_a_label_and_a_file_are_refused(make: Make, lab: str, owner: str) -> None:
    with pytest.raises(CommandError, match="cannot be"):
        make(lab, owner)


def test_a_label_says_whose_it_is(make: Make) -> None:
    demo, ana, ana_private = make("demo"), make("demo", "ana"), make("demo", "ana", private=True)

    for labels, by_demo, by_ana in [
        ({"dockerlab": "demo"}, True, False),
        ({"dockerlab": "demo", "dockerlab.owner": "ana"}, False, True),
        ({"dockerlab": "demo", "dockerlab.owner": "ben"}, False, False),
        ({"dockerlab": "other"}, False, False),
        ({"dockerlab.owner": "ana"}, False, False),
        ({"dockerlab.standin": "alpine"}, False, False),
        ({}, False, False),
        (None, False, False),
    ]:
        assert (demo.made(labels), ana.made(labels)) == (by_demo, by_ana), labels
        assert demo.may_touch(labels) == by_demo
        assert ana_private.may_touch(labels) == (by_ana or "dockerlab" not in (labels or {})), labels


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "It carries no label of this lab."),
        ({"dockerlab": "other"}, "end that lab with Lab('other').cleanup()"),
        ({"dockerlab": "demo", "dockerlab.owner": "ben"}, "end that lab with Lab('demo', owner='ben').cleanup()"),
    ],
)
def test_what_is_foreign_is_refused_with_whose_it_is(make: Make, labels: dict[str, str] | None, said: str) -> None:
    with pytest.raises(ForeignError) as caught:
        make("demo", "ana").refuse_foreign("volume", "ana-data", labels)

    assert said in str(caught.value)
    assert "The volume data is not this lab's (demo)." in str(caught.value)
    make("demo", "ana").refuse_foreign("volume", "ana-data", {"dockerlab": "demo", "dockerlab.owner": "ana"})


def test_an_image_is_marked_by_a_label_that_its_containers_do_not_mistake_for_theirs(make: Make) -> None:
    for owner in ("", "ana"):
        mine = make("demo", owner)
        assert not mine.made(mine.image_labels), "a container of that image inherits this"
        assert mine.made(built_by(mine.image_labels))
        assert not make("demo", "ben").made(built_by(mine.image_labels))
    assert built_by({"maintainer": "x"}) == built_by(None) == {}


def test_anonymous_volumes_are_remembered_in_the_next_kernel_until_they_are_forgotten(make: Make) -> None:
    one, two, foreign = ("1" * 64, "2" * 64, "3" * 64)
    make("demo").notice([record({"dockerlab": "demo"}, one, "named"), record({}, foreign)])
    make("demo").notice([record({"dockerlab": "demo"}, two, one)])

    again = make("demo")
    assert [again.made(None, name) for name in (one, two, foreign, "named")] == [True, True, False, False]
    for other in (make("other"), make("demo", "ana"), make("demo", url="unix:///b")):
        assert not other.made(None, one)
    other = make("other", private=True)
    assert [other.may_touch(None, name) for name in (one, foreign)] == [False, True], "on the course's own engine"

    again.forget()
    assert not again.made(None, one)
    assert not make("demo").made(None, one)
    again.forget()


def test_what_another_kernel_noticed_since_can_be_recalled(make: Make) -> None:
    early = make("demo")
    make("demo").notice([record({"dockerlab": "demo"}, "1" * 64)])

    assert not early.made(None, "1" * 64)
    early.recall()
    assert early.made(None, "1" * 64)


def test_a_list_that_goes_while_it_is_read_costs_no_other_list(make: Make, tmp_path: Path) -> None:
    for number, lab in enumerate(("first", "second", "third")):
        make(lab).notice([record({"dockerlab": lab}, str(number) * 64)])
    (gone,) = tmp_path.glob("labs/*/second.*")
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere")  # listed, and not there: as when another lab's cleanup was quicker

    other = make("other", private=True)
    assert not other.may_touch(None, "0" * 64)
    assert not other.may_touch(None, "2" * 64)
    assert other.may_touch(None, "1" * 64)


def test_a_folder_that_cannot_be_written_costs_the_memory_across_kernels_alone(make: Make, tmp_path: Path) -> None:
    (tmp_path / "labs").write_text("a file where the folder should be")
    mine = make("demo")

    mine.notice([record({"dockerlab": "demo"}, "1" * 64)])

    assert mine.made(None, "1" * 64)
    mine.forget()
    assert not mine.made(None, "1" * 64)


def test_a_name_of_64_hexadecimal_digits_is_the_engine_s() -> None:
    assert is_anonymous("0123456789abcdef" * 4)
    assert not is_anonymous("0123456789abcdef" * 4 + "0")
    assert not is_anonymous("my-data")
    assert not is_anonymous("G" * 64)


MAKE_AN_ORPHAN = """
import sys
from dockerlab import Anonymous, Lab
lab = Lab(sys.argv[1], owner="", echo=None)
box = lab.run("alpine", "sleep 1000", mounts=[Anonymous("/data")])
lab.exec(box, "echo kept > /data/x")
print(box.attrs["Mounts"][0]["Name"])
lab.remove(box, force=True)
"""


def test_a_kernel_that_was_restarted_still_cleans_up_the_orphans_of_the_former_one(engine: Engine) -> None:
    name = f"test-{secrets.token_hex(4)}"
    orphan = python(MAKE_AN_ORPHAN, name).strip()
    with Lab(f"{name}-too", engine=engine, owner="", echo=None) as other:
        other.run("alpine", "true", detach=False, mounts=[Anonymous("/data")])
        assert is_anonymous(orphan)
        assert orphan in set(other.volumes(all=True)["name"])

        gone = Lab(name, engine=engine, owner="", echo=None).cleanup()

        assert gone == [f"volume {orphan}"]
        assert orphan not in set(other.volumes(all=True)["name"])
        assert other.volumes()["anonymous"].sum() >= 1, "another lab's stays"
