"""The panel for cleaning up, on a real engine: what it says would go is what goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engines import wait_until
from snapshots import NAMELESS, snap, volume
from test_panels_base import page, press
from test_storage import docker

from dockerlab import Lab
from dockerlab.errors import CommandError, InUseError, NotFoundError
from dockerlab.panels import Cleanup
from dockerlab.panels.cleanup import ROWS, verdicts


@pytest.fixture
def panel(lab: Lab) -> Iterator[Cleanup]:
    panel = Cleanup(lab)
    yield panel
    panel.start_over()
    panel.close()


def own(panel: Cleanup) -> dict[str, tuple[str, ...]]:
    """The volumes that the panel made, with their users; those with no name are called so."""
    made = {"shop-orders", "shop-archive", "shop-drafts", *panel._made}
    return {
        "nameless" if each.anonymous else each.name: each.users for each in panel.refresh().volumes if each.name in made
    }


def test_it_makes_one_volume_of_each_kind(panel: Cleanup) -> None:
    panel.make()
    assert own(panel) == {"shop-orders": ("shop",), "shop-archive": ("old-shop",), "shop-drafts": (), "nameless": ()}
    states = {each.name: each.state for each in panel.snapshot.containers}
    assert states == {"shop": "running", "old-shop": "exited"}


def test_where_there_are_volumes_the_story_begins_with_them(lab: Lab, panel: Cleanup) -> None:
    def emphasised() -> list[str]:
        return [name for name, button in panel._buttons.items() if "dl-next" in button._dom_classes]

    assert emphasised() == ["make"]
    lab.create_volume("my-own")
    wait_until(lambda: emphasised() == ["look_inside"])


def test_of_many_volumes_the_first_are_in_the_table_and_the_rest_is_counted(lab: Lab, panel: Cleanup) -> None:
    for at in range(ROWS + 2):
        lab.engine.client.volumes.create(f"{lab.name}-{at:02}", labels=lab.belongings.labels)
    wait_until(lambda: panel._table.value.endswith("and 2 more"))
    assert panel._table.value.count("<tr>") == ROWS
    assert len(panel.verdicts) == ROWS + 2


def test_verdicts_follow_the_engines_version() -> None:
    there = snap([], [volume("used", "web"), volume("named"), volume(NAMELESS, anonymous=True)])
    before_23, since_23 = verdicts(there, "1.41"), verdicts(there, "1.42")
    assert list(before_23.loc["named"]) == ["goes", "goes", "goes"]
    assert list(since_23.loc["named"]) == ["goes", "stays: it has a name", "goes"]
    for frame in (before_23, since_23):
        assert list(frame.loc["used"]) == ["refused: web uses it", "stays: in use", "stays: in use"]
        assert list(frame.loc[NAMELESS]) == ["goes", "goes", "goes"]


@pytest.mark.parametrize(("method", "way"), [("plan_prune", "prune"), ("plan_prune_all", "prune --all")])
def test_what_the_table_says_of_a_prune_is_what_the_lab_plans(panel: Cleanup, method: str, way: str) -> None:
    panel.make()
    plan = getattr(panel, method)()
    said = panel.verdicts[f"docker volume {way}"]
    assert set(said[said == "goes"].index) == set(plan.removes["name"])
    wait_until(lambda: "Nothing is removed yet" in page(panel))


def test_apply_removes_what_was_planned_and_nothing_else(panel: Cleanup) -> None:
    panel.make()
    planned = set(panel.plan_prune_all().removes["name"])
    assert {"shop-drafts"} < planned
    assert set(panel.apply()) == planned
    assert own(panel) == {"shop-orders": ("shop",), "shop-archive": ("old-shop",)}
    assert panel.plan is None


def test_without_a_plan_nothing_is_removed(panel: Cleanup) -> None:
    panel.make()
    with pytest.raises(CommandError, match="Nothing is planned"):
        panel.apply()
    assert len(own(panel)) == 4


@pytest.mark.parametrize(("name", "user"), [("shop-orders", "shop"), ("shop-archive", "old-shop")])
def test_a_volume_in_use_is_refused_by_name_of_its_user(panel: Cleanup, name: str, user: str) -> None:
    panel.make()
    assert panel.verdicts.loc[name, "docker volume rm"] == f"refused: {user} uses it"
    with pytest.raises(InUseError) as refusal:
        panel.remove(name)
    assert user in str(refusal.value)
    assert name in own(panel)


def test_the_chosen_volume_is_removed_by_the_button(panel: Cleanup) -> None:
    panel.make()
    wait_until(lambda: "shop-drafts" in dict(panel._choice.ui.options))
    with panel._drawing:  # it may be about to put the former choice back
        panel._choice.ui.set_state({"index": [name for name, _ in panel._choice.ui.options].index("shop-drafts")})
    press(panel, "Remove it")
    assert panel.error is None
    assert "shop-drafts" not in own(panel)
    assert panel.lines == ["docker volume rm shop-drafts"]


def test_what_is_chosen_stays_chosen_when_others_come(lab: Lab, panel: Cleanup) -> None:
    panel.make()
    wait_until(lambda: "shop-drafts" in dict(panel._choice.ui.options))
    with panel._drawing:
        panel._choice.choose("shop-drafts")
    docker(lab, "volume", "create", "--label", f"dockerlab={lab.name}", "a-new-one")
    wait_until(lambda: "a-new-one" in dict(panel._choice.ui.options))
    assert panel._choice.value == "shop-drafts"


def test_it_tells_who_made_a_volume_without_a_name_and_what_is_in_it(panel: Cleanup) -> None:
    panel.make()
    (orphan,) = panel._made
    panel._makers.clear()  # so that the engine is asked
    assert "item" in panel.look_inside(orphan).text
    assert any("was made for old-shop (alpine), removed since" in line.text for line in panel._lines)
    assert len(panel.snapshot.containers) == 2, "who looked is gone"


def test_to_look_into_what_is_not_there_makes_nothing(panel: Cleanup) -> None:
    with pytest.raises(NotFoundError):
        panel.look_inside("nowhere")
    assert "nowhere" not in {each.name for each in panel.refresh().volumes}


def test_sizes_come_when_they_are_measured(panel: Cleanup) -> None:
    panel.make()
    # What has just started is read once more a second later, and what was measured of it is forgotten then.
    wait_until(lambda: not panel._watcher._later)
    panel.refresh()
    assert all(each.size is None for each in panel.snapshot.volumes)
    panel.measure()
    sizes = {each.name: each.size for each in panel.snapshot.volumes}
    assert sizes["shop-archive"] == 5
    assert sizes["shop-drafts"] == 0
    wait_until(lambda: ">5\N{NO-BREAK SPACE}B<" in page(panel))


def test_start_over_removes_what_it_made_and_only_that(lab: Lab, panel: Cleanup) -> None:
    lab.create_volume("mine")
    before = {each.name for each in panel.refresh().volumes}
    panel.make()
    panel.start_over()
    assert {each.name for each in panel.refresh().volumes} == before
    assert "mine" in before
