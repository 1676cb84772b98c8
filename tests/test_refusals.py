"""What an engine really refuses is said in three lines with what to do; the wording is the engine's own."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from dockerlab import Anonymous, Bind, Lab, Volume
from dockerlab.commands import Run, Unpause
from dockerlab.engine.find import Engine
from dockerlab.errors import (
    CommandError,
    DockerLabError,
    EngineError,
    ForeignError,
    ImageError,
    InUseError,
    NotFoundError,
)
from dockerlab.refusals import near

SLEEP = "sleep 1000"


@pytest.fixture
def other(engine: Engine) -> Iterator[Lab]:
    """Another lab on the same engine."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        yield lab


def refusal(act: Callable[[], object], kind: type[DockerLabError]) -> str:
    """What is said, with all that is to be said of every refusal."""
    with pytest.raises(DockerLabError) as caught:
        act()
    error = caught.value
    assert type(error) is kind, repr(error)
    lines = str(error).splitlines()
    assert len(lines) == 3, error
    assert all(line == line.strip() for line in lines)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return str(error)


def unreachable(engine: Engine) -> Engine:
    """An engine that was there, and is not any more."""
    url = "tcp://127.0.0.1:9"
    return replace(engine, url=url, private=False, client=docker.DockerClient(url, version="1.41", timeout=2))


def test_a_name_that_another_container_of_the_lab_has(lab: Lab) -> None:
    box = lab.run("alpine", SLEEP, name="writer")

    said = refusal(lambda: lab.run("alpine", name="writer"), InUseError)

    assert said.startswith("The name writer is taken by another container.\nIt is running.\n")
    assert "docker rm -f writer" in said
    assert lab.container("writer").id == box.id


def test_a_name_that_another_lab_s_container_has(lab: Lab, other: Lab) -> None:
    other.run("alpine", SLEEP, name="writer")

    said = refusal(lambda: lab.run("alpine", name="writer"), ForeignError)

    assert f"Lab('{other.name}').cleanup()" in said
    assert "docker rm" not in said


def test_a_port_that_another_container_has(lab: Lab) -> None:
    first = lab.run("alpine", SLEEP, name="first", ports={80: None})
    port = int(first.ports["80/tcp"][0]["HostPort"])

    said = refusal(lambda: lab.run("alpine", SLEEP, name="second", ports={80: port}), InUseError)

    assert f"127.0.0.1:{port} is in use.\nBy: first.\n" in said
    assert list(lab.containers()["name"]) == ["first"], "nothing is left of the second"


def test_a_port_that_a_program_of_the_host_has(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        said = refusal(lambda: lab.run("alpine", SLEEP, ports={80: port}), InUseError)

    assert f"127.0.0.1:{port} is in use.\nBy: a program outside this engine.\n" in said
    assert lab.containers().empty


def test_a_volume_in_use_names_who_uses_it_stopped_or_not(lab: Lab) -> None:
    lab.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data")])
    lab.run("alpine", "true", name="reader", mounts=[Volume("my-data", "/in")], detach=False)

    said = refusal(lambda: lab.remove_volume("my-data"), InUseError)

    assert said.startswith("The volume my-data is in use and stays.\n")
    assert "writer (running, at /data)" in said
    assert "reader (exited, at /in)" in said
    assert re.search(r"docker rm -f (reader writer|writer reader)", said)


def test_a_volume_that_a_foreign_container_uses_is_not_told_to_be_freed_by_force(lab: Lab, other: Lab) -> None:
    lab.create_volume("my-data")
    foreign = Run("alpine", SLEEP, name="foreign", mounts=[Volume("my-data", "/x")], labels=other.belongings.labels)
    box = foreign.call(lab.engine.client)

    said = refusal(lambda: lab.remove_volume("my-data"), InUseError)

    assert said.endswith("foreign is not this lab's: whoever made it removes it first.")
    assert isinstance(box, docker.models.containers.Container)
    other.remove(box, force=True)


def test_what_is_not_there_names_what_is_near_and_no_other_lab_s(lab: Lab, other: Lab) -> None:
    lab.run("alpine", SLEEP, name="writer")
    lab.create_volume("my-data")
    other.run("alpine", SLEEP, name="writes")
    other.create_volume("my-dato")

    assert refusal(lambda: lab.exec("write", "true"), NotFoundError).splitlines()[:2] == [
        "There is no container write.",
        "Near names: writer.",
    ]
    assert "Near names: my-data.\nLook with lab.volumes()." in refusal(
        lambda: lab.inspect_volume("my-dat"), NotFoundError
    )
    for act in (
        lambda: lab.remove_volume("my-dat"),
        lambda: lab.start("write"),
        lambda: lab.stop("write"),
        lambda: lab.remove("write"),
        lambda: lab.changes("write"),
        lambda: lab.container("write"),
        lambda: lab.do(Unpause("write")),
    ):
        assert "Near names: " in refusal(act, NotFoundError)


def test_a_container_that_was_removed_is_not_confused_with_the_next_of_its_name(lab: Lab) -> None:
    first = lab.run("alpine", SLEEP, name="writer")
    lab.remove(first, force=True)
    second = lab.run("alpine", SLEEP, name="writer")

    for act in (
        lambda: lab.exec(first, "true"),
        lambda: lab.remove(first, force=True),
        lambda: lab.changes(first),
        lambda: lab.container(first),
    ):
        assert f"There is no container {first.id[:12]}." in refusal(act, NotFoundError)
    assert lab.container("writer").id == second.id


def test_a_missing_program_and_nothing_is_left_behind(lab: Lab) -> None:
    for options in ({}, {"detach": False}, {"detach": False, "remove": True}, {"remove": True}):
        said = refusal(lambda: lab.run("alpine", "no-such-program", name="x1", **options), CommandError)  # noqa: B023
        assert said.startswith("The image alpine has no such program: no-such-program\nIt said: ")
        assert lab.containers().empty


def test_a_missing_image(lab: Lab) -> None:
    said = refusal(lambda: lab.run("example.invalid/none:1", name="x1"), ImageError)

    assert "example.invalid/none:1" in said


def test_a_missing_network(lab: Lab) -> None:
    said = refusal(lambda: lab.run("alpine", network="no-such-net"), CommandError)

    assert "no-such-net" in said
    assert lab.containers().empty


def test_a_stopped_container_takes_no_program(lab: Lab) -> None:
    lab.run("alpine", "true", name="ended", detach=False)

    said = refusal(lambda: lab.exec("ended", "true"), CommandError)

    assert said.startswith("The container is not running: docker exec ended sh -c true\nIt said: ")
    assert said.endswith("docker start ended")


def test_a_running_container_is_not_removed_without_force(lab: Lab) -> None:
    lab.run("alpine", SLEEP, name="writer")

    said = refusal(lambda: lab.remove("writer"), CommandError)

    assert said.startswith("The engine refused: docker rm writer\nIt said: ")
    assert "stop the container" in said.lower()


def test_a_name_that_docker_does_not_take(lab: Lab) -> None:
    assert "It said: " in refusal(lambda: lab.run("alpine", name="no name"), CommandError)
    assert "It said: " in refusal(lambda: lab.create_volume("no name"), CommandError)
    assert lab.containers().empty


def test_two_mounts_at_one_place(lab: Lab, tmp_path: Path) -> None:
    said = refusal(
        lambda: lab.run("alpine", mounts=[Bind(tmp_path, "/x"), Anonymous("/y"), Bind("/", "/x")]), CommandError
    )

    assert "duplicate mount point" in said.lower()


def test_an_engine_that_went_away(lab: Lab) -> None:
    cut_off = Lab("cut-off", engine=unreachable(lab.engine), owner="", echo=None)

    for act in (
        lambda: cut_off.exec("x", "true"),
        lambda: cut_off.volumes(),
        lambda: cut_off.containers(),
        lambda: cut_off.create_volume("x1"),
        lambda: cut_off.remove_volume("x1"),
        lambda: cut_off.plan_prune(),
        lambda: cut_off.container("x1"),
        lambda: cut_off.images(),
        lambda: cut_off.cleanup(),
        lambda: cut_off.check("K1"),
    ):
        said = refusal(act, EngineError)
        assert said.startswith("The engine did not answer to: docker ")
        assert "doctor" in said
    assert "stand-in" not in cut_off.engine._repr_html_() and "API 1.41" in cut_off.engine._repr_html_()


def test_near_names_are_the_most_alike_or_else_what_there_is() -> None:
    assert near("wroter", ["writer", "reader", "zzz"]) == "Near names: writer, reader."
    assert near("x", ["b", "a"]) == "There are: a, b."
    assert near("x", []) == "There is none yet."
