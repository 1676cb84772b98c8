"""A lab runs docker's commands, shows their words, remembers them, and removes what it made."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from docker.models.containers import Container
from engines import wait_until

from dockerlab import Anonymous, Bind, Lab, Tmpfs, Volume
from dockerlab.belongings import is_anonymous
from dockerlab.commands import Exec, Pause, Run, Unpause
from dockerlab.engine.find import Engine
from dockerlab.errors import DockerLabError, ForeignError, NotFoundError

SLEEP = "sleep 1000"


@pytest.fixture
def other(engine: Engine) -> Iterator[Lab]:
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        yield lab


def names(frame: pd.DataFrame) -> set[str]:
    return set(frame["name"])


# What it is


def test_a_lab_says_where_it_is_and_whose(engine: Engine) -> None:
    assert repr(Lab("demo", engine=engine, owner="", echo=None)) == f"Lab('demo') on {engine!r}"
    assert repr(Lab("demo", engine=engine, owner="ana", echo=None)) == f"Lab('demo', owner='ana') on {engine!r}"
    assert engine.version in repr(engine)


def test_the_owner_may_come_from_the_environment(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERLAB_OWNER", "ana")

    assert Lab("demo", engine=engine).owner == "ana"
    assert Lab("demo", engine=engine, owner="").owner == ""
    assert Lab("demo", engine=engine, owner="ben").owner == "ben"


def test_an_engine_may_be_named(engine: Engine) -> None:
    assert Lab("demo", engine=engine.url, echo=None).engine == engine
    assert Lab("demo", echo=None).engine == engine, "the environment of the tests names it"


# Run


def test_a_detached_container_is_docker_py_s_and_carries_the_lab_s_label(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data")])

    assert isinstance(box, Container)
    assert (box.name, box.status) == ("writer", "running")
    assert box.labels["dockerlab"] == lab.name
    assert lab.inspect_volume("my-data")["Labels"] == {"dockerlab": lab.name}


def test_a_container_without_a_name_is_given_one_that_says_its_image(lab: Lab) -> None:
    one, two = lab.run("alpine", SLEEP), lab.run("alpine", SLEEP)

    assert one.name.startswith("alpine-")
    assert one.name != two.name


def test_run_to_the_end_gives_what_was_written_and_how_it_ended(lab: Lab) -> None:
    output = lab.run("alpine", ["sh", "-c", "echo out; echo err >&2; exit 3"], detach=False)

    # Two streams, which the engine passes on in no order.
    assert (sorted(output.text.splitlines()), output.exit_code) == (["err", "out"], 3)
    wait_until(lambda: list(lab.containers()["state"]) == ["exited"])  # the list follows a moment later


@pytest.mark.parametrize("remove", [True, False])
def test_no_exit_status_is_lost_however_fast_a_program_ends(lab: Lab, remove: bool) -> None:
    for status in range(5):
        output = lab.run("alpine", ["sh", "-c", f"echo {status}; exit {status}"], detach=False, remove=remove)
        assert (output.text, output.exit_code) == (f"{status}\n", status)

    assert len(lab.containers()) == (0 if remove else 5)


def test_a_program_may_be_silent_for_longer_than_the_engine_is_waited_for(lab: Lab) -> None:
    box, api = lab.run("alpine", SLEEP), lab.engine.client.api
    patience, api.timeout = api.timeout, 8
    try:
        with ThreadPoolExecutor() as pool:
            in_run = pool.submit(lab.run, "alpine", ["sh", "-c", "sleep 9; exit 5"], detach=False, remove=True)
            in_exec = pool.submit(lab.exec, box, "sleep 9; exit 6")
            assert (in_run.result().exit_code, in_exec.result().exit_code) == (5, 6)
    finally:
        api.timeout = patience


def test_a_program_that_closes_its_output_is_still_waited_for(lab: Lab) -> None:
    close = "exec >&- 2>&-; sleep 1; exit 7"

    assert lab.run("alpine", ["sh", "-c", close], detach=False, remove=True).exit_code == 7
    assert lab.exec(lab.run("alpine", SLEEP), close).exit_code == 7


def test_output_of_any_size_and_in_no_encoding_at_all(lab: Lab) -> None:
    noise = "printf 'a\\377\\376b'; head -c 3000000 /dev/zero"

    for output in (
        lab.run("alpine", ["sh", "-c", noise], detach=False, remove=True),
        lab.exec(lab.run("alpine", SLEEP), noise),
    ):
        assert output.text[:4] == "a\ufffd\ufffdb"
        assert len(output.text) == 3_000_004


def test_a_detached_program_with_rm_may_be_gone_at_once(lab: Lab) -> None:
    for _ in range(5):
        assert isinstance(lab.run("alpine", "true", remove=True), Container)


def test_interrupted_it_leaves_no_container(lab: Lab) -> None:
    def interrupt() -> None:
        wait_until(lambda: [each["State"] for each in lab.claims.containers()] == ["running"])
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        lab.run("alpine", SLEEP, detach=False)
    watcher.join()

    assert list(lab.journal["outcome"]) == ["interrupted"]
    assert lab.containers().empty


def test_ports_are_published_on_this_machine_alone(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, ports={80: None, "53/udp": None})

    published = [host for hosts in box.ports.values() for host in hosts]
    assert {host["HostIp"] for host in published} == {"127.0.0.1"}
    assert {"80/tcp", "53/udp"} == set(box.ports)


# Exec and the container's life


def test_exec_takes_a_string_through_sh_and_a_list_as_it_is(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, env={"WHO": "it"})

    assert lab.exec(box, "echo $WHO > /x; cat /x").text == "it\n"
    assert lab.exec(box, ["echo", "$WHO", ">", "/x"]).text == "$WHO > /x\n"
    assert lab.exec(str(box.name), "exit 4").exit_code == 4
    assert lab.exec(box, "id -u", user="1000").text == "1000\n"
    assert lab.do(Exec(str(box.name), "pwd; echo $A", env={"A": "b"}, workdir="/tmp")).text == "/tmp\nb\n"


def test_the_writable_layer_outlives_stop_and_start_and_not_rm(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, name="writer")
    lab.exec(box, "echo hi > /note")

    lab.stop(box, timeout=0)
    wait_until(lambda: list(lab.containers()["state"]) == ["exited"])
    lab.start(box)
    assert lab.exec(box, "cat /note").text == "hi\n"

    lab.remove(box, force=True)
    assert lab.containers().empty
    assert lab.exec(lab.run("alpine", SLEEP, name="writer"), "cat /note").exit_code == 1


def test_changes_are_added_changed_and_deleted_paths(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP)
    assert list(lab.changes(box).columns) == ["kind", "path"]
    assert lab.changes(box).empty

    lab.exec(box, "echo hi > /new; echo more >> /etc/passwd; rm /etc/group")

    found = list(lab.changes(box).itertuples(index=False, name=None))
    assert found == [("C", "/etc"), ("D", "/etc/group"), ("C", "/etc/passwd"), ("A", "/new")]


def test_commands_that_have_no_method_go_through_do(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, name="writer")

    lab.do(Pause("writer"))
    assert lab.container(box).status == "paused"
    lab.do(Unpause("writer"))
    assert lab.container(box).status == "running"


# Tables


def test_tables_have_their_columns_even_when_empty(lab: Lab) -> None:
    assert list(lab.containers().columns) == ["name", "image", "state", "mounts", "ports", "id"]
    assert list(lab.volumes().columns) == ["name", "driver", "anonymous", "used_by", "mountpoint"]
    assert list(lab.images().columns) == ["image", "megabytes", "origin", "id"]
    assert list(lab.journal.columns) == ["at", "seconds", "command", "outcome"]


def test_a_container_s_row_says_its_mounts_and_ports(lab: Lab, tmp_path: Path) -> None:
    mounts = [Volume("my-data", "/data"), Bind(tmp_path, "/code"), Tmpfs("/scratch")]
    box = lab.run("alpine", SLEEP, name="writer", mounts=mounts, ports={80: None})

    row = lab.containers().set_index("name").loc["writer"]

    assert row["image"] == "alpine"
    assert row["state"] == "running"
    assert row["id"] == box.id[:12]
    assert set(row["mounts"].split(", ")) == {"my-data:/data", f"{tmp_path}:/code"}
    assert row["ports"] == f"127.0.0.1:{box.ports['80/tcp'][0]['HostPort']}->80"


def test_a_volume_s_row_says_who_uses_it_stopped_ones_too(lab: Lab) -> None:
    lab.create_volume("unused")
    lab.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data"), Anonymous("/x")])
    lab.run("alpine", "true", name="ended", mounts=[Volume("my-data", "/data")], detach=False)

    frame = lab.volumes()
    rows = frame.set_index("name")

    assert set(rows.loc["my-data", "used_by"].split(", ")) == {"writer", "ended"}
    assert rows.loc["unused", "used_by"] == ""
    assert rows.loc["my-data", "mountpoint"].endswith("/volumes/my-data/_data")
    anonymous = frame[frame["anonymous"]]
    assert "writer" in set(anonymous["used_by"])
    assert all(map(is_anonymous, anonymous["name"]))


def test_volumes_come_by_name_as_docker_volume_ls_has_them(lab: Lab) -> None:
    made = [f"{letter}-data" for letter in "gahbfdce"]
    for name in made:
        lab.create_volume(name)
    assert [name for name in lab.volumes()["name"] if name in made] == sorted(made)


def test_images_say_where_they_came_from(lab: Lab) -> None:
    lab.run("alpine", "true", detach=False, remove=True)

    row = lab.images().set_index("image").loc["alpine:latest"]

    assert row["origin"] in ("pulled", "stand-in", "loaded")
    assert row["megabytes"] > 0
    assert len(row["id"]) == 12


# What is shown and recorded


def test_each_line_is_shown_before_it_runs_and_again_for_powershell_where_that_differs(engine: Engine) -> None:
    shown: list[str] = []
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=shown.append) as lab:
        box = lab.run("alpine", SLEEP, name="writer")
        lab.exec(box, "echo 'it'")
        assert shown == [
            f"docker run -d --name writer --label dockerlab={lab.name} alpine sleep 1000",
            """docker exec writer sh -c 'echo '"'"'it'"'"''""",
            "# PowerShell: docker exec writer sh -c 'echo ''it'''",
        ]


def test_the_journal_has_what_was_done_and_what_was_refused(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data")])
    lab.exec(box, "exit 3")
    for refused in (lambda: lab.remove_volume("my-data"), lambda: lab.exec("wroter", "true")):
        with pytest.raises(DockerLabError):
            refused()

    journal = lab.journal
    assert [line.split()[1] for line in journal["command"]] == ["volume", "run", "exec", "volume", "exec"]
    assert list(journal["outcome"]) == [
        "done",
        "done",
        "exit status 3",
        "The volume my-data is in use and stays.",
        "There is no container wroter.",
    ]
    assert (journal["seconds"] >= 0).all()
    assert journal["seconds"].iloc[1] > 0.01


def test_looking_before_a_prune_is_not_a_command_of_the_learner_s(lab: Lab) -> None:
    lab.plan_prune()

    assert lab.journal.empty


# Volumes


def test_creating_a_volume_again_gives_the_one_that_is_there(lab: Lab) -> None:
    first, second = lab.create_volume("my-data"), lab.create_volume("my-data")

    assert first.name == second.name == "my-data"
    assert lab.inspect_volume("my-data")["Scope"] == "local"
    lab.remove_volume("my-data")
    assert "my-data" not in names(lab.volumes())


# Cleaning up


def test_cleanup_removes_all_that_the_lab_made_and_says_what(lab: Lab) -> None:
    lab.run("alpine", SLEEP, name="running", mounts=[Volume("my-data", "/data"), Anonymous("/x")])
    lab.run("alpine", "true", name="ended", detach=False, mounts=[Anonymous("/y")])
    lab.do(Pause(str(lab.run("alpine", SLEEP, name="paused").name)))
    orphaned = lab.run("alpine", SLEEP, mounts=[Anonymous("/z")])
    orphan = orphaned.attrs["Mounts"][0]["Name"]
    lab.remove(orphaned, force=True)
    ended = lab.run("alpine", "true", detach=False, name="gone", mounts=[Anonymous("/z")])
    lab.remove("gone")
    lab.create_volume("unused")
    api, labels = lab.engine.client.api, lab.belongings.labels
    api.create_network(f"{lab.name}-net", labels=labels)
    before = names(lab.volumes())

    gone = lab.cleanup()

    assert ended.exit_code == 0
    assert {"container running", "container ended", "container paused"} <= set(gone)
    assert {"volume my-data", "volume unused", f"volume {orphan}", f"network {lab.name}-net"} <= set(gone)
    assert sum(thing.startswith("volume ") and is_anonymous(thing.removeprefix("volume ")) for thing in gone) == 2
    assert lab.containers().empty
    assert len(before - names(lab.volumes())) == 6, "those, and the two that went with their containers"
    assert lab.cleanup() == []


def test_a_container_that_was_renamed_in_a_terminal_is_still_the_lab_s(engine: Engine) -> None:
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="ana", echo=None) as lab:
        lab.run("alpine", SLEEP, name="writer").rename(f"{lab.name}-else")

        assert lab.cleanup() == [f"container {lab.name}-else"]
        assert lab.containers().empty


def test_a_container_that_docker_named_is_found_by_that_name_and_another_lab_s_is_not(engine: Engine) -> None:
    client, name = engine.client, f"test-{secrets.token_hex(4)}"
    with (
        Lab(name, engine=engine, owner="ana", echo=None) as ana,
        Lab(name, engine=engine, owner="ben", echo=None) as ben,
    ):
        made_up = client.containers.run("alpine", SLEEP, labels=ana.belongings.labels, detach=True)

        assert list(ana.containers()["name"]) == [made_up.name]
        assert ana.exec(str(made_up.name), "echo hi").text == "hi\n"
        with pytest.raises(NotFoundError):
            ben.exec(str(made_up.name), "echo hi")


def test_an_image_that_was_built_goes_and_one_that_is_used_by_another_stays(lab: Lab, other: Lab) -> None:
    client, labels = lab.engine.client, lab.belongings.image_labels
    for tag in (f"{lab.name}:used", f"{lab.name}:unused"):
        client.containers.create("alpine", "true", name=f"{lab.name}-build").commit(
            *tag.split(":"), changes=[f'LABEL {key}="{value}"' for key, value in labels.items()] + [f"ENV TAG={tag}"]
        )
        client.containers.get(f"{lab.name}-build").remove()
    foreign = other.run(f"{lab.name}:used", SLEEP)
    said: list[str] = []
    lab.say = said.append

    assert lab.cleanup() == [f"image {lab.name}:unused"]

    assert foreign.image.tags == [f"{lab.name}:used"]
    assert other.container(foreign).status == "running"
    assert said[-1].startswith("Left, since something that this lab did not make uses it:\n")
    other.cleanup()
    assert lab.cleanup() == [f"image {lab.name}:used"]


def test_a_volume_that_a_foreign_container_uses_is_left_and_said(lab: Lab, other: Lab) -> None:
    lab.create_volume("my-data")
    run = Run("alpine", SLEEP, name=f"{other.name}-x", mounts=[Volume("my-data", "/x")], labels=other.belongings.labels)
    run.call(lab.engine.client)
    said: list[str] = []
    lab.say = said.append

    assert lab.cleanup() == []

    assert "my-data is in use and stays." in said[-1]
    assert other.exec(f"{other.name}-x", "true").exit_code == 0
    other.cleanup()
    assert lab.cleanup() == ["volume my-data"]


def test_a_with_block_cleans_up_also_when_it_fails(engine: Engine) -> None:
    name = f"test-{secrets.token_hex(4)}"
    with pytest.raises(NotFoundError), Lab(name, engine=engine, owner="", echo=None) as lab:
        lab.start(str(lab.run("alpine", SLEEP).name) + "-not")

    assert Lab(name, engine=engine, owner="", echo=None).cleanup() == []


def test_programs_that_end_by_themselves_do_not_disturb_a_cleanup(lab: Lab) -> None:
    for _ in range(4):
        lab.run("alpine", "sleep 0.2", remove=True, mounts=[Anonymous("/x"), Volume("my-data", "/data")])

    assert "volume my-data" in lab.cleanup()
    assert lab.containers().empty
    assert "my-data" not in names(lab.volumes())


# Several labs on one engine


def test_two_labs_on_one_engine_leave_each_other_alone(lab: Lab, other: Lab) -> None:
    lab.run("alpine", SLEEP, name="mine", mounts=[Volume("my-data", "/data"), Anonymous("/x")])
    other.run("alpine", SLEEP, name="theirs", mounts=[Volume("their-data", "/data")])

    assert names(lab.containers()) == {"mine"}
    assert "their-data" not in names(lab.volumes())
    assert {"mine", "theirs"} <= names(lab.containers(all=True))
    assert {"my-data", "their-data"} <= names(lab.volumes(all=True))
    for act in (
        lambda: lab.exec("theirs", "true"),
        lambda: lab.stop("theirs"),
        lambda: lab.start("theirs"),
        lambda: lab.remove("theirs", force=True),
        lambda: lab.remove(other.container("theirs"), force=True),
        lambda: lab.do(Pause("theirs")),
        lambda: lab.do(Exec("theirs", "true")),
        lambda: lab.remove_volume("their-data"),
        lambda: lab.create_volume("their-data"),
        lambda: lab.run("alpine", mounts=[Volume("their-data", "/x")]),
        lambda: lab.run("alpine", name="theirs"),
        lambda: lab.run("alpine", network="container:theirs"),
    ):
        with pytest.raises(ForeignError):
            act()
    lab.cleanup()
    assert other.exec("theirs", "echo here").text == "here\n"
    assert list(lab.changes("theirs")["path"]) == ["/data"], "looking is free"


def test_owners_have_the_same_names_side_by_side(engine: Engine) -> None:
    name = f"test-{secrets.token_hex(4)}"
    with (
        Lab(name, engine=engine, owner="ana", echo=None) as ana,
        Lab(name, engine=engine, owner="ben", echo=None) as ben,
    ):
        for lab in (ana, ben):
            box = lab.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data")])
            lab.exec(box, f"echo {lab.owner} > /data/x")
            assert box.name == f"{lab.owner}-writer"
        for lab in (ana, ben):
            assert names(lab.containers()) == {"writer"}
            assert lab.exec("writer", "cat /data/x").text == f"{lab.owner}\n"
            assert lab.inspect_volume("my-data")["Name"] == f"{lab.owner}-my-data"
            assert lab.volumes().set_index("name").loc["my-data", "used_by"] == "writer"
            assert lab.containers().set_index("name").loc["writer", "mounts"] == "my-data:/data"
        with pytest.raises(ForeignError, match="owner='ben'"):
            ana.exec(ben.container("writer"), "true")
        assert set(ana.cleanup()) == {"container writer", "volume my-data"}
        assert ben.exec("writer", "cat /data/x").text == "ben\n"
        with pytest.raises(NotFoundError):
            ana.exec("writer", "true")


def test_what_another_lab_has_orphaned_meanwhile_is_not_listed_as_nobody_s(engine: Engine) -> None:
    with (
        Lab(f"test-{secrets.token_hex(4)}", engine=engine, echo=None) as first,
        Lab(f"test-{secrets.token_hex(4)}", engine=engine, echo=None) as second,
    ):
        box = first.run("alpine", SLEEP, mounts=[Anonymous("/x")])
        (orphan,) = [mount["Name"] for mount in box.attrs["Mounts"]]
        first.remove(box, force=True)
        assert orphan in names(first.volumes())
        assert orphan in names(second.volumes(all=True)) - names(second.volumes())
        with pytest.raises(ForeignError, match=r"made for another lab\.\nChoose another name"):
            second.remove_volume(orphan)


def test_what_is_nobody_s_is_found_by_the_name_that_it_is_listed_with(engine: Engine) -> None:
    name = f"nobodys-{secrets.token_hex(4)}"
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="ana", echo=None) as ana:
        for remove in (ana.remove_volume, lambda name: ana.plan_prune(all=True).apply()):
            engine.client.volumes.create(name)
            assert name in names(ana.volumes()) and ana.inspect_volume(name)["Name"] == name
            remove(name)
            assert name not in names(ana.volumes(all=True))
        engine.client.containers.create("alpine", "true", name=name)
        assert name in names(ana.containers())
        ana.remove(name)
        assert name not in names(ana.containers(all=True))
