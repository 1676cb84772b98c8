"""Lesson 08's claims and exercise, proven and not proven, on a real engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engines import wait_until

from dockerlab import Anonymous, Lab, Postgres, Volume
from dockerlab.belongings import is_anonymous
from dockerlab.cli import invoke
from dockerlab.errors import CommandError, InUseError

DATA = "/var/lib/postgresql/data"


def ended(lab: Lab, name: str, *mounts: Anonymous | Volume) -> None:
    lab.run("alpine", "true", name=name, mounts=mounts)
    lab.container(name).wait()


def orphan(lab: Lab, name: str = "gone") -> None:
    """An anonymous volume that its container has left behind."""
    ended(lab, name, Anonymous("/data"))
    lab.remove(name)


# K14


@pytest.fixture
def keeper(lab: Lab) -> Lab:
    """A lab with a running container `keeper` on a volume `my-data`."""
    lab.run("alpine", "sleep infinity", name="keeper", mounts=[Volume("my-data", "/data")])
    return lab


def test_k14_is_proven_once_container_and_volume_went_in_that_order(keeper: Lab) -> None:
    keeper.stop("keeper", 1)
    with pytest.raises(InUseError, match="keeper"):
        keeper.remove_volume("my-data")
    assert keeper.check("K14").observed == "my-data is used by keeper (exited)."
    keeper.remove("keeper")
    assert keeper.check("K14").observed == "keeper is gone, its volume my-data is still there."
    keeper.remove_volume("my-data")
    verdict = keeper.check("K14")
    assert verdict
    assert verdict.observed == "my-data went only after keeper, stopped and still using it, was removed."


def test_k14_is_proven_by_docker_lines_as_well(lab: Lab) -> None:
    invoke(lab, "run --name keeper -v my-data:/data alpine true")
    with pytest.raises(CommandError):
        invoke(lab, "volume rm my-data")
    invoke(lab, "rm keeper")
    invoke(lab, "volume rm my-data")
    assert lab.check("K14")


def test_k14_is_not_proven_while_the_container_runs(keeper: Lab) -> None:
    assert keeper.check("K14").observed == "my-data is used by keeper (running)."


def test_k14_wants_the_container_to_have_been_stopped_only(keeper: Lab) -> None:
    keeper.remove("keeper", force=True)
    keeper.remove_volume("my-data")
    assert "was never only stopped" in keeper.check("K14").observed


@pytest.mark.parametrize("end", ["true", "sleep 1000"])
def test_k14_is_not_proven_by_a_container_that_stayed_no_moment(lab: Lab, end: str) -> None:
    invoke(lab, f"run -d --rm --name brief -v my-data:/data alpine {end}")
    if end != "true":
        lab.stop("brief", 1)
    wait_until(lambda: "brief" not in list(lab.containers()["name"]))
    lab.remove_volume("my-data")
    assert "was never only stopped" in lab.check("K14").observed


def test_k14_is_proven_by_a_program_that_ended_and_a_removal_right_after(lab: Lab) -> None:
    ended(lab, "brief", Volume("my-data", "/data"))
    lab.remove("brief")
    lab.remove_volume("my-data")
    assert lab.check("K14")


# K16


def test_k16_is_proven_by_a_volume_left_and_a_volume_taken(lab: Lab) -> None:
    orphan(lab)
    ended(lab, "clean", Anonymous("/data"))
    lab.remove("clean", volumes=True)
    verdict = lab.check("K16")
    assert verdict
    assert "gone left" in verdict.observed
    assert "clean took" in verdict.observed


def test_k16_is_proven_by_docker_run_rm_as_well(lab: Lab) -> None:
    invoke(lab, "run --name left -v /data alpine true")
    invoke(lab, "rm left")
    invoke(lab, "run --rm -v /data alpine true")
    assert lab.check("K16")


def test_k16_is_not_proven_by_what_is_left_alone(lab: Lab) -> None:
    orphan(lab)
    assert "gone left" in lab.check("K16").observed
    assert not lab.check("K16")


def test_k16_is_not_proven_by_what_was_taken_alone(lab: Lab) -> None:
    invoke(lab, "run --rm -v /data alpine true")
    assert not lab.check("K16")


def test_k16_is_not_proven_by_an_orphan_that_was_removed_later(lab: Lab) -> None:
    orphan(lab)
    orphan(lab, "other")
    lab.remove_volume(lab.volumes().loc[0, "name"])
    assert "took" not in lab.check("K16").observed
    assert not lab.check("K16")


def test_k16_is_not_proven_by_named_volumes(lab: Lab) -> None:
    ended(lab, "one", Volume("my-data", "/data"))
    lab.remove("one", volumes=True)
    assert lab.check("K16").observed == "No container with an anonymous volume was removed in this sitting."


# K17


@pytest.fixture
def careless(lab: Lab) -> Lab:
    """A lab in which a server without a named volume took orders and was removed."""
    server = Postgres(lab, "careless", password="secret")
    server.sql("CREATE TABLE orders AS SELECT 'unicycle' AS item")
    server.close()
    lab.remove("careless", force=True)
    return lab


def the_orphan(lab: Lab) -> str:
    (name,) = lab.volumes().query("anonymous and used_by == ''")["name"]
    return str(name)


def test_k17_is_proven_by_a_copy_of_the_orphan_on_a_named_volume(careless: Lab) -> None:
    source, target = Volume(the_orphan(careless), "/from", read_only=True), Volume("pgdata", "/to")
    careless.run("alpine", "cp -a /from/. /to", mounts=[source, target], detach=False, remove=True)
    assert careless.check("K17").observed == "No newer server runs."
    invoke(careless, f"run -d -v pgdata:{DATA} postgres:16-alpine")
    Postgres(careless, careless.containers().loc[0, "name"], password="secret").close()
    verdict = careless.check("K17")
    assert verdict
    assert verdict.observed.endswith("has 1 orders again.")


def test_k17_is_proven_by_a_server_on_the_orphan_itself(careless: Lab) -> None:
    Postgres(careless, "found", volume=the_orphan(careless), password="secret").close()
    assert careless.check("K17")


def test_k17_is_proven_by_a_dump_from_a_server_on_the_orphan(careless: Lab) -> None:
    found = Postgres(careless, "found", volume=the_orphan(careless), password="secret")
    dump = careless.exec("found", "pg_dump -U postgres").text
    found.remove()
    careless.run("postgres:16-alpine", name="new", env={"POSTGRES_PASSWORD": "secret"}, mounts=[Volume("pgdata", DATA)])
    new = Postgres(careless, "new", password="secret")
    assert careless.check("K17").observed == "new runs, and has no orders."
    invoke(careless, "exec -i new psql -U postgres", dump)
    new.close()
    assert careless.check("K17")


def test_k17_is_not_proven_before_a_server_was_removed(lab: Lab) -> None:
    Postgres(lab, "careless", password="secret").close()
    assert lab.check("K17").observed == "No server was removed that has left an anonymous volume."


def test_k17_is_not_proven_by_orders_that_were_typed_again(careless: Lab) -> None:
    server = Postgres(careless, "new", volume="pgdata", password="secret")
    server.sql("CREATE TABLE orders AS SELECT 'unicycle' AS item")
    server.close()
    look = Volume(the_orphan(careless), "/look", read_only=True)
    careless.run("alpine", "ls /look", mounts=[look], detach=False, remove=True)
    assert "new has 1 orders, but not from" in careless.check("K17").observed


# K15


def test_k15_is_proven_by_a_prune_that_spares_what_is_used(keeper: Lab) -> None:
    orphan(keeper)
    keeper.create_volume("drafts")
    assert "a prune here would take them" in keeper.check("K15").observed
    keeper.plan_prune(all=True).apply()
    verdict = keeper.check("K15")
    assert verdict
    assert "1 orphan went, my-data, which keeper uses, stayed" in verdict.observed


def test_k15_is_proven_by_dockers_own_prune_answered_in_the_cell(
    keeper: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    orphan(keeper)
    plan = keeper.plan_prune()
    invoke(keeper, "volume prune")
    assert "without -f nothing is removed" in capsys.readouterr().out
    assert not keeper.check("K15")
    invoke(keeper, "volume prune", "y\n")
    assert "without -f nothing is removed" not in capsys.readouterr().out
    left = plan.apply()  # on an engine that is shared, docker's prune is kept to labelled volumes
    assert not (left and keeper.engine.private)
    assert keeper.check("K15")


def test_k15_is_proven_beside_the_volumes_of_another_lab_which_stay(
    keeper: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lab(f"{keeper.name}-other", engine=keeper.engine, owner="", echo=None) as other:
        other.create_volume("theirs")
        orphan(keeper)
        plan = keeper.plan_prune(all=True)
        invoke(keeper, "volume prune", "y\n")
        assert "it would also take theirs" in capsys.readouterr().out
        plan.apply()
        assert keeper.check("K15")
        assert list(other.volumes()["name"]) == ["theirs"]


def test_k15_is_not_proven_where_nothing_was_unused(keeper: Lab) -> None:
    assert keeper.check("K15").observed == "Nothing is unused, but no orphan was removed in this sitting."


def test_k15_is_not_proven_by_rm_with_v(keeper: Lab) -> None:
    ended(keeper, "clean", Anonymous("/data"))
    keeper.remove("clean", volumes=True)
    assert not keeper.check("K15")


def test_k15_wants_a_volume_that_was_spared(lab: Lab) -> None:
    orphan(lab)
    lab.plan_prune().apply()
    assert "no volume is in use" in lab.check("K15").observed


def test_k15_follows_the_engine_in_what_may_be_left(keeper: Lab) -> None:
    orphan(keeper)
    for name in keeper.volumes().query("anonymous")["name"]:
        keeper.remove_volume(name)
    keeper.create_volume("drafts")
    for version, passes in (("1.41", False), ("1.42", True)):
        keeper.engine = replace(keeper.engine, api_version=version)
        assert bool(keeper.check("K15")) is passes


# The exercise


def test_the_exercise_is_done_once_all_three_are_gone(lab: Lab) -> None:
    lab.run("alpine", "sleep infinity", name="server", mounts=[Volume("pgdata", "/data")])
    ended(lab, "old-app", Anonymous("/a"), Volume("cache", "/c"))
    assert lab.check("08-exercise").observed == "No container old-app was removed; removed: none."
    lab.remove("old-app", volumes=True)
    assert lab.check("08-exercise").observed == "old-app is gone and has left cache."
    lab.remove_volume("cache")
    assert lab.check("08-exercise")


def test_an_anonymous_volume_left_behind_is_not_all(lab: Lab) -> None:
    lab.run("alpine", "sleep infinity", name="server", mounts=[Volume("pgdata", "/data")])
    ended(lab, "old-app", Anonymous("/a"), Volume("cache", "/c"))
    lab.remove("old-app")
    lab.remove_volume("cache")
    assert not lab.check("08-exercise")
    (left,) = (name for name in lab.volumes()["name"] if is_anonymous(name))
    lab.remove_volume(left)
    assert lab.check("08-exercise")


def test_untouched_the_exercise_is_not_done(careless: Lab) -> None:
    assert not careless.check("08-exercise")


def test_a_container_without_both_volumes_is_not_what_was_asked(lab: Lab) -> None:
    lab.run("alpine", "sleep infinity", name="server", mounts=[Volume("pgdata", "/data")])
    ended(lab, "old-app", Volume("cache", "/c"))
    lab.remove("old-app")
    lab.remove_volume("cache")
    assert lab.check("08-exercise").observed == "old-app had the volumes cache."


def test_pgdata_must_be_spared(lab: Lab) -> None:
    ended(lab, "old-app", Anonymous("/a"), Volume("cache", "/c"))
    lab.remove("old-app", volumes=True)
    lab.remove_volume("cache")
    assert lab.check("08-exercise").observed == "pgdata is in use by no container."
