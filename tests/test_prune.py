"""A prune is a plan first: it shows what goes and why the rest stays, and takes just that."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dockerlab import Anonymous, Lab, Volume
from dockerlab.engine.find import Engine
from dockerlab.prune import Plan, prunes_named

SLEEP = "sleep 1000"


@pytest.fixture
def other(engine: Engine) -> Iterator[Lab]:
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        yield lab


def orphan(lab: Lab) -> str:
    """An anonymous volume whose container is gone."""
    box = lab.run("alpine", SLEEP, mounts=[Anonymous("/data")])
    lab.remove(box, force=True)
    return str(box.attrs["Mounts"][0]["Name"])


def at_version(lab: Lab, api_version: str, version: str) -> Lab:
    """The same lab on the same engine, had it that version."""
    engine = replace(lab.engine, api_version=api_version, version=version)
    return Lab(lab.name, engine=engine, owner=lab.owner, echo=None)


def reasons(plan: Plan) -> dict[str, str]:
    return dict(zip(plan.keeps["name"], plan.keeps["why"], strict=True))


def test_the_version_of_the_api_says_what_a_prune_takes() -> None:
    assert [prunes_named(version) for version in ("1.24", "1.41", "1.42", "1.43", "1.51", "2.0")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


def test_before_engine_23_every_unused_volume_would_go(lab: Lab) -> None:
    lab.create_volume("unused")
    lab.run("alpine", SLEEP, name="writer", mounts=[Volume("used", "/data"), Anonymous("/x")])
    lab.run("alpine", "true", name="ended", mounts=[Volume("kept", "/data")], detach=False)
    left = orphan(lab)

    plan = at_version(lab, "1.41", "20.10.24").plan_prune()

    assert {"unused", left} <= set(plan.removes["name"])
    assert set(plan.removes["why"]) == {"unused"}
    assert {"used": "used by writer", "kept": "used by ended"}.items() <= reasons(plan).items()
    assert "all unused volumes" in plan.note
    assert "20.10.24" in plan.note


def test_from_engine_23_on_named_ones_go_only_with_all(lab: Lab) -> None:
    lab.create_volume("unused")
    left = orphan(lab)
    newer = at_version(lab, "1.43", "24.0")

    assert left in set(newer.plan_prune().removes["name"])
    assert "unused" not in set(newer.plan_prune().removes["name"])
    assert reasons(newer.plan_prune())["unused"] == "named: only prune --all takes it"
    assert {"unused", left} <= set(newer.plan_prune(all=True).removes["name"])
    assert "all with --all" in newer.plan_prune().note


def test_nothing_goes_before_it_is_applied_and_then_what_was_listed_and_no_more(lab: Lab) -> None:
    lab.create_volume("unused")
    left = orphan(lab)
    plan = lab.plan_prune(all=True)
    lab.create_volume("made-later")
    assert {"unused", left, "made-later"} <= set(lab.volumes()["name"])

    gone = plan.apply()

    assert gone == list(plan.removes["name"])
    assert {"unused", left} <= set(gone)
    assert set(lab.volumes()["name"]) >= {"made-later"}
    assert not {"unused", left} & set(lab.volumes()["name"])
    assert plan.apply() == [], "once"


def test_what_came_into_use_or_went_since_is_passed_over(lab: Lab) -> None:
    for name in ("used-since", "gone-since", "unused"):
        lab.create_volume(name)
    plan = lab.plan_prune(all=True)
    lab.run("alpine", SLEEP, mounts=[Volume("used-since", "/data")])
    lab.remove_volume("gone-since")

    gone = plan.apply()

    assert "unused" in gone
    assert not {"used-since", "gone-since"} & set(gone)
    assert "used-since" in set(lab.volumes()["name"])


def test_another_lab_s_volumes_are_named_and_left(lab: Lab, other: Lab) -> None:
    name = f"{other.name}-data"
    other.create_volume(name)
    left = orphan(other)

    plan = lab.plan_prune(all=True)

    assert name in plan.foreign
    assert name not in set(plan.removes["name"])
    assert name not in plan.apply()
    assert name in set(other.volumes()["name"])
    assert left in set(other.volumes()["name"]), "no label says so, but it is the other's"


def test_one_that_became_another_lab_s_since_is_passed_over(lab: Lab, other: Lab) -> None:
    name = f"{lab.name}-data"
    lab.create_volume(name)
    plan = lab.plan_prune(all=True)
    lab.remove_volume(name)
    other.create_volume(name)

    assert name not in plan.apply()
    assert name in set(other.volumes()["name"])


def test_a_plan_shows_itself(lab: Lab) -> None:
    lab.create_volume("unused")
    lab.run("alpine", SLEEP, name="writer", mounts=[Volume("used", "/data")])
    plan = lab.plan_prune(all=True)

    text, html = repr(plan), plan._repr_html_()

    assert text.startswith("A prune would remove ")
    assert "for good. Nothing is removed yet: .apply() does it." in text
    assert "\n  unused\n" in text
    assert "used by writer" in html
    assert "<details>" in html
    plan.apply()
    empty = lab.plan_prune(all=True)
    assert repr(empty).startswith("A prune would remove nothing.")
    assert "<b>A prune would remove nothing.</b>" in empty._repr_html_()
