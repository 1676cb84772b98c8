"""A line that was typed is read as docker reads it: labelled, named for its owner, and kept from what is foreign."""

from __future__ import annotations

import io
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines import free_port

from dockerlab import Lab, Volume
from dockerlab.belongings import RM_LABEL
from dockerlab.cli import invoke
from dockerlab.engine.find import Engine
from dockerlab.errors import CommandError, ForeignError
from dockerlab.lines import Line

SLEEP = "sleep 1000"
Read = Callable[..., Line]


@pytest.fixture
def ana(engine: Engine) -> Iterator[Lab]:
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="ana", echo=None) as lab:
        yield lab


@pytest.fixture
def other(engine: Engine) -> Iterator[Lab]:
    """Another lab on the same engine, with a container, volumes, a network and an image of its own."""
    with Lab(f"test-{secrets.token_hex(4)}", engine=engine, owner="", echo=None) as lab:
        lab.run("alpine", SLEEP, name="theirs", mounts=[Volume("their-data", "/data")])
        lab.create_volume("their-unused")
        lab.engine.client.api.create_network("their-net", labels=lab.belongings.labels)
        lab.container("theirs").commit("their-image", "1", changes=[f'LABEL dockerlab.built="/{lab.name}"'])
        yield lab


def read(lab: Lab, line: str, *, has_input: bool = False) -> Line:
    return Line(lab, line.split(), has_input=has_input, say=lambda text: None)


def argv(lab: Lab, line: str, *, has_input: bool = False) -> str:
    """The words that run, without the labels that come before the options."""
    words = read(lab, line, has_input=has_input).argv()
    for key, value in (*lab.belongings.labels.items(), *lab.belongings.image_labels.items(), (RM_LABEL, "yes")):
        said = ["--label", f"{key}={value}"]
        at = next((i for i in range(len(words)) if words[i : i + 2] == said), None)
        if at is not None:
            del words[at : at + 2]
    return " ".join(words)


# What is made carries the label


@pytest.mark.parametrize(
    "line", ["run alpine true", "container run alpine", "create alpine", "container create alpine"]
)
def test_a_container_is_labelled_before_its_own_options(ana: Lab, line: str) -> None:
    words = read(ana, line).argv()

    start = words.index("--label")
    assert words[:start] == line.split()[: line.split().index("alpine")]
    assert words[start : start + 4] == ["--label", f"dockerlab={ana.name}", "--label", "dockerlab.owner=ana"]


@pytest.mark.parametrize(
    ("line", "marked"),
    [("run --rm alpine", 1), ("create --rm=true alpine", 1), ("run --rm=false alpine", 0), ("run alpine ls --rm", 0)],
)
def test_what_the_engine_will_remove_by_itself_is_marked(lab: Lab, line: str, marked: int) -> None:
    assert read(lab, line).argv().count("dockerlab.rm=yes") == marked


@pytest.mark.parametrize("line", ["volume create", "volume create x1 --label a=b", "network create x1"])
def test_a_volume_and_a_network_are_labelled(lab: Lab, line: str) -> None:
    assert f"dockerlab={lab.name}" in read(lab, line).argv()


@pytest.mark.parametrize("line", ["build .", "image build -t x1 .", "buildx build .", "builder build ."])
def test_an_image_is_labelled_with_what_its_containers_do_not_take_for_theirs(lab: Lab, line: str) -> None:
    words = read(lab, line).argv()

    assert f"dockerlab.built=/{lab.name}" in words
    assert f"dockerlab={lab.name}" not in words


@pytest.mark.parametrize("line", ["", "ps -a", "volume ls", "version", "exec x1 ls", "rm x1", "--version", "volume"])
def test_what_makes_nothing_runs_as_it_is(lab: Lab, line: str) -> None:
    own = read(lab, line)

    assert own.argv() == own.typed == line.split()
    assert not own.notes


# A cell has no terminal


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("exec -it x1 sh", "exec x1 sh"),
        ("exec -i -t x1 sh -it", "exec x1 sh -it"),
        ("exec -ti -u 1 x1 sh", "exec -u 1 x1 sh"),
        ("exec -itu 1 x1 sh", "exec -u 1 x1 sh"),
        ("exec -u t -t x1 sh", "exec -u t x1 sh"),
        ("exec --tty --interactive x1 sh", "exec x1 sh"),
        ("exec --tty=true x1 sh", "exec x1 sh"),
        ("run --rm -it alpine sh", "run --rm alpine sh"),
        ("run -itv ab:/t alpine sh", "run -v ab:/t alpine sh"),
        ("run -dit alpine sh", "run -dit alpine sh"),
        ("run -it -d alpine sh", "run -it -d alpine sh"),
        ("create -it alpine sh", "create -it alpine sh"),
        ("run alpine ls -t", "run alpine ls -t"),
        ("run -e A=-t alpine", "run -e A=-t alpine"),
    ],
)
def test_a_terminal_is_left_out_where_docker_would_open_one(lab: Lab, typed: str, runs: str) -> None:
    assert argv(lab, typed) == runs
    left_out = [note for note in read(lab, typed).notes if "a cell has no terminal" in note]
    assert len(left_out) == (typed != runs)


def test_with_a_body_the_input_stays_open(lab: Lab) -> None:
    assert argv(lab, "exec -it x1 psql", has_input=True) == "exec -i x1 psql"
    assert argv(lab, "exec -i x1 psql", has_input=True) == "exec -i x1 psql"
    assert "# -t left out: a cell has no terminal" in read(lab, "exec -it x1 psql", has_input=True).notes


# An owner's names


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("run --name x1 alpine", "run --name ana-x1 alpine"),
        ("run --name=x1 alpine", "run --name=ana-x1 alpine"),
        ("run -v my-data:/data alpine", "run -v ana-my-data:/data alpine"),
        ("run -vmy-data:/data:ro alpine", "run -vana-my-data:/data:ro alpine"),
        ("run -v=my-data:/data alpine", "run -v=ana-my-data:/data alpine"),
        ("run -dv my-data:/data alpine", "run -dv ana-my-data:/data alpine"),
        ("run -dvmy-data:/data alpine", "run -dvana-my-data:/data alpine"),
        ("run --volume my-data:/data alpine", "run --volume ana-my-data:/data alpine"),
        ("run --volume=my-data:/data alpine", "run --volume=ana-my-data:/data alpine"),
        ("run -itp3999:3999 -v my-data:/d alpine -v x:/y", "run -p3999:3999 -v ana-my-data:/d alpine -v x:/y"),
        ("run -v /tmp:/data -v ./a:/b -v /anon alpine", "run -v /tmp:/data -v ./a:/b -v /anon alpine"),
        (
            "run --mount type=volume,source=ab,target=/a alpine",
            "run --mount type=volume,source=ana-ab,target=/a alpine",
        ),
        ("run --mount src=ab,dst=/a,readonly alpine", "run --mount src=ana-ab,dst=/a,readonly alpine"),
        ("run --mount=type=volume,src=ab,dst=/a alpine", "run --mount=type=volume,src=ana-ab,dst=/a alpine"),
        ("run --mount type=bind,src=/tmp,dst=/a alpine", "run --mount type=bind,src=/tmp,dst=/a alpine"),
        ("run --mount type=volume,dst=/a alpine", "run --mount type=volume,dst=/a alpine"),
        ("run --network bridge alpine", "run --network bridge alpine"),
        ("run --unknown-option --name x1 alpine", "run --unknown-option --name x1 alpine"),
        ("volume create my-data", "volume create ana-my-data"),
        ("volume create -d local my-data", "volume create -d local ana-my-data"),
        ("volume create my-data --opt type=tmpfs", "volume create ana-my-data --opt type=tmpfs"),
        ("volume create --name my-data", "volume create --name ana-my-data"),
        ("network create --driver bridge net", "network create --driver bridge ana-net"),
        ("build -t app:1.0 .", "build -t ana-app:1.0 ."),
        ("build --tag=app -f x/Dockerfile x", "build --tag=ana-app -f x/Dockerfile x"),
    ],
)
def test_what_is_made_gets_the_owner_s_prefix(ana: Lab, typed: str, runs: str) -> None:
    assert argv(ana, typed) == runs
    shown = [note for note in read(ana, typed).notes if note.startswith("# runs as: docker ")]
    assert len(shown) == ("ana-" in runs)


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ("exec writer cat writer", "exec ana-writer cat writer"),
        ("exec -w /tmp -e A=b writer ls", "exec -w /tmp -e A=b ana-writer ls"),
        ("stop -t 5 writer", "stop -t 5 ana-writer"),
        ("stop --time=5 writer", "stop --time=5 ana-writer"),
        ("rm -fv writer", "rm -fv ana-writer"),
        ("container rm writer --force", "container rm ana-writer --force"),
        ("container remove writer", "container remove ana-writer"),
        ("restart writer", "restart ana-writer"),
        ("logs --tail 5 writer", "logs --tail 5 ana-writer"),
        ("inspect writer", "inspect ana-writer"),
        ("inspect my-data", "inspect ana-my-data"),
        ("inspect -f {{.Name}} writer my-data", "inspect -f {{.Name}} ana-writer ana-my-data"),
        ("diff writer", "diff ana-writer"),
        ("port writer 80", "port ana-writer 80"),
        ("top writer aux", "top ana-writer aux"),
        ("volume rm my-data none", "volume rm ana-my-data none"),
        ("volume inspect my-data", "volume inspect ana-my-data"),
        ("rename writer reader", "rename ana-writer ana-reader"),
        ("cp writer:/etc/passwd /tmp/x", "cp ana-writer:/etc/passwd /tmp/x"),
        ("cp /tmp/x writer:/tmp", "cp /tmp/x ana-writer:/tmp"),
        ("cp ./a:b writer:/tmp", "cp ./a:b ana-writer:/tmp"),
        ("network connect --alias a net writer", "network connect --alias a ana-net ana-writer"),
        ("network rm net", "network rm ana-net"),
        ("run --network net alpine", "run --network ana-net alpine"),
        ("run --network name=net,alias=a alpine", "run --network name=ana-net,alias=a alpine"),
        ("run --network=alias=a,NAME=Net alpine", "run --network=alias=a,name=ana-net alpine"),
        ("run --net name=bridge alpine", "run --net name=bridge alpine"),
        ("run --net container:writer alpine", "run --net container:ana-writer alpine"),
        ("run --pid=container:writer alpine", "run --pid=container:ana-writer alpine"),
        ("run --volumes-from writer:ro alpine", "run --volumes-from ana-writer:ro alpine"),
        ("rm ana-writer", "rm ana-writer"),
    ],
)
def test_names_of_what_is_there_get_it_too(ana: Lab, typed: str, runs: str) -> None:
    ana.run("alpine", SLEEP, name="writer", mounts=[Volume("my-data", "/data")])
    ana.engine.client.api.create_network("ana-net", labels=ana.belongings.labels)

    assert argv(ana, typed) == runs


def test_ids_and_what_is_not_there_stay_as_they_are(ana: Lab) -> None:
    box = ana.run("alpine", SLEEP, name="writer")

    assert argv(ana, f"rm {box.id}") == f"rm {box.id}"
    assert argv(ana, f"exec {box.short_id} ls") == f"exec {box.short_id} ls"
    assert argv(ana, "rm none-such") == "rm none-such"


def test_an_image_built_for_an_owner_is_run_and_removed_by_its_short_name(ana: Lab, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM alpine\nCMD echo built\n")
    invoke(ana, f"build -q -t app:1.0 {tmp_path}", out=io.StringIO())

    out = io.StringIO()
    invoke(ana, "run --rm app:1.0", out=out)
    assert out.getvalue().endswith("built\n")
    assert str(ana.run("app:1.0", detach=False, remove=True)) == "built\n"
    assert argv(ana, "image rm app:1.0") == "image rm ana-app:1.0"
    assert argv(ana, "tag app:1.0 app:2.0") == "tag ana-app:1.0 ana-app:2.0"
    assert ana.cleanup() == ["image app:1.0"]


# What is foreign is left alone


@pytest.mark.parametrize(
    "line",
    [
        "rm -f theirs",
        "rm --force --volumes none theirs",
        "container rm theirs",
        "stop theirs",
        "stop -t 5 theirs",
        "restart theirs",
        "kill -s INT theirs",
        "pause theirs",
        "start theirs",
        "attach theirs",
        "update --memory 1g theirs",
        "rename theirs mine",
        "exec theirs rm -rf /data",
        "exec -it theirs sh",
        "exec -u 1 theirs true",
        "cp /etc/hostname theirs:/data",
        "cp theirs:/etc/hostname theirs:/x",
        "run -v their-data:/data alpine",
        "run -dv their-data:/data alpine",
        "run -vtheir-data:/data alpine",
        "run --rm -e A=b -p 80:80 --volume=their-data:/data alpine",
        "run --unknown-option x --volume their-data:/data alpine",
        "create -v their-data:/data:ro alpine",
        "run --mount type=volume,source=their-data,target=/data alpine",
        "run --mount SRC=their-data,dst=/data alpine",
        "run --volumes-from theirs alpine",
        "run --network container:theirs alpine",
        "run --network their-net alpine",
        "run --network name=their-net,alias=x alpine",
        "run --network=alias=x,NAME=Their-Net alpine",
        "run --pid container:theirs alpine",
        "volume rm their-unused",
        "volume rm -f none their-unused",
        "volume create their-unused",
        "network rm their-net",
        "network connect their-net mine",
        "network disconnect -f their-net theirs",
        "network create their-net",
        "rmi their-image:1",
        "image rm -f their-image:1",
        "build -t their-image:1 .",
        "tag their-image:1 mine:1",
    ],
)
def test_a_line_that_would_touch_another_lab_s_things_is_refused(lab: Lab, other: Lab, line: str) -> None:
    with pytest.raises(ForeignError) as caught:
        read(lab, line)

    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "line",
    [
        "logs theirs",
        "inspect theirs",
        "diff theirs",
        "top theirs",
        "volume inspect their-data",
        "cp theirs:/etc/hostname /tmp/x",
        "run their-image:1 true",
        "history their-image:1",
        "container inspect theirs",
        "image ls their-image",
        "wait none",
    ],
)
def test_looking_is_free(lab: Lab, other: Lab, line: str) -> None:
    assert argv(lab, line) == line


@pytest.mark.parametrize("line", ["-H tcp://127.0.0.1:1 ps", "--context other ps", "-c other rm x", "--config /x ps"])
def test_the_lab_s_engine_is_the_only_one_that_is_talked_to(lab: Lab, line: str) -> None:
    with pytest.raises(CommandError, match="talks to the lab's engine"):
        read(lab, line)


@pytest.mark.parametrize("line", ["container prune -f", "network prune -f", "image prune -af", "system prune -af"])
def test_a_prune_is_limited_to_the_lab_s_own(lab: Lab, other: Lab, line: str) -> None:
    label = f"dockerlab.built=/{lab.name}" if line.startswith("image") else f"dockerlab={lab.name}"

    own = read(lab, line)

    assert own.argv() == [*line.split(), "--filter", f"label={label}"]
    assert own.notes == [f"# limited to what the lab {lab.name} has labelled"]


def test_a_prune_of_volumes_says_what_it_takes(lab: Lab) -> None:
    lab.create_volume("unused")

    own = read(lab, "volume prune")

    if lab.engine.private:
        assert own.argv() == ["volume", "prune"]
        assert own.notes[0].startswith("# on this engine it takes: ")
        assert "unused" in own.notes[0]
    assert "without -f nothing is removed" in own.notes[-1]


def test_a_prune_of_volumes_that_would_also_take_another_lab_s_is_limited_and_says_so(lab: Lab, other: Lab) -> None:
    own = read(lab, "volume prune -f")

    assert own.argv() == ["volume", "prune", "-f", "--filter", f"label=dockerlab={lab.name}"]
    assert len(own.notes) == 1
    assert own.notes[0].startswith(f"# limited to what the lab {lab.name} has labelled")
    assert "their-unused" in own.notes[0]


@pytest.mark.parametrize(
    "line", ["compose up", "swarm init", "load -i x.tar", "commit theirs x", "context use x", "builder prune -f", "x"]
)
def test_on_an_engine_that_is_not_the_course_s_what_could_not_be_labelled_is_refused(
    stranger: Engine, line: str
) -> None:
    lab = Lab("test-lines", engine=stranger, owner="", echo=None)

    with pytest.raises(ForeignError, match="is not run on an engine"):
        read(lab, line)


@pytest.mark.parametrize("line", ["compose up", "load -i x.tar", "network ls", "image pull alpine"])
def test_on_the_course_s_own_engine_the_rest_of_docker_is_docker_s(lab: Lab, line: str) -> None:
    if lab.engine.private:
        assert argv(lab, line) == line


def test_a_missing_volume_is_made_with_the_label_before_docker_would_make_it_without(lab: Lab) -> None:
    read(lab, "run -v my-data:/data alpine")

    assert lab.inspect_volume("my-data")["Labels"] == {"dockerlab": lab.name}
    assert list(lab.journal["command"]) == [
        f"docker volume create --label dockerlab={lab.name} my-data",
        "docker volume inspect my-data",
    ]


# A port of the host that is in use


@pytest.mark.parametrize(
    ("typed", "runs"), [("{}:3000", "3000"), ("{}:3000/tcp", "3000/tcp"), ("127.0.0.1:{}:80", "127.0.0.1::80")]
)
@pytest.mark.parametrize("option", ["-p ", "--publish="])
def test_for_a_port_in_use_the_engine_chooses_another(lab: Lab, option: str, typed: str, runs: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        own = read(lab, f"run -d {option}{typed.format(port)} alpine")
        assert f"{option}{runs} alpine" in " ".join(own.argv())
        assert own.notes[0].startswith(f"# port {port} is in use on this machine")
        assert f"{option}{runs}" in own.notes[1]


def test_the_port_of_another_container_counts_as_in_use(lab: Lab) -> None:
    port = free_port()  # one that the engine picks, another engine here would pick next
    lab.run("alpine", SLEEP, name="server", ports={80: port})
    assert argv(lab, f"run -p {port}:80 alpine") == "run -p 80 alpine"
    lab.remove("server", force=True)
    assert argv(lab, f"run -p {port}:80 alpine") == f"run -p {port}:80 alpine"


@pytest.mark.parametrize("typed", ["{}-{}:80-80", "{}:53/udp", "80"])
def test_other_ways_to_publish_are_left_to_docker(lab: Lab, typed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = f"run -p {typed.format(port, port)} alpine"
        assert argv(lab, line) == line
