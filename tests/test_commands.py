"""A command's line says its fields, whatever they hold, in every shell; and it is a value."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mounts import mounts, read_mount

from dockerlab import commands as commands_module
from dockerlab import mounts as mounts_module
from dockerlab.commands import (
    Command,
    CreateVolume,
    Diff,
    Exec,
    InspectVolume,
    ListContainers,
    ListImages,
    ListVolumes,
    Output,
    Pause,
    Remove,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
    Run,
    Start,
    Stop,
    Unpause,
    _unframed,
)
from dockerlab.errors import CommandError

# What a process can be given as an argument: any text without NUL, and no halves of UTF-16 pairs.
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
some_text = text.filter(bool)
name = some_text.filter(lambda value: not value.startswith("-"))
# Dense in what shells and docker's options care about.
nasty = st.text(st.sampled_from(list("a:,='\"\\$`!*?#&|;<>(){}[]~ \t\n-%@^é\u2019漢")), min_size=1)
value = text | nasty
key = st.from_regex(r"[^\s=\0]+", fullmatch=True).filter(lambda value: value.isprintable()) | st.just("POSTGRES_DB")
pairs = st.dictionaries(key, value, max_size=3)
optional = st.none() | some_text | nasty
words = st.lists(value, max_size=4)
ports = st.dictionaries(
    st.integers(1, 65535) | st.builds("{}/{}".format, st.integers(1, 65535), st.sampled_from(["tcp", "udp", "sctp"])),
    st.none() | st.integers(1, 65535),
    max_size=3,
)

runs = st.builds(
    Run,
    image=name,
    command=words,
    name=optional,
    mounts=st.lists(mounts, max_size=3),
    env=pairs,
    ports=ports,
    workdir=optional,
    user=optional,
    network=optional,
    labels=pairs,
    detach=st.booleans(),
    remove=st.booleans(),
)
execs = st.builds(Exec, name, value | words.filter(bool), env=pairs, workdir=optional, user=optional)
others = st.one_of(
    *(st.builds(kind, name) for kind in (Start, Pause, Unpause, Diff, RemoveVolume, InspectVolume, RemoveImage)),
    st.builds(RemoveNetwork, name),
    st.builds(Stop, name, st.none() | st.integers(0, 600)),
    st.builds(Remove, name, st.booleans(), st.booleans()),
    st.builds(CreateVolume, name, pairs),
    st.sampled_from([ListVolumes(), ListImages()]),
    st.builds(ListContainers, st.booleans()),
)
commands: st.SearchStrategy[Command] = runs | execs | others
thorough = settings(deadline=None, max_examples=300)


# Docker's words read back, by what `docker --help` says of them and by nothing of ours.


def read(line: list[str]) -> Command:
    assert line[0] == "docker"
    match line[1:]:
        case ["run", *rest]:
            return read_run(rest)
        case ["exec", *rest]:
            return read_exec(rest)
        case ["volume", "ls"]:
            return ListVolumes()
        case ["image", "ls"]:
            return ListImages()
        case ["volume", "create", *rest]:
            options, operands = split(rest, {"--label": 1})
            return CreateVolume(*operands, labels=pairs_of(options, "--label"))
        case ["volume", "rm", volume]:
            return RemoveVolume(volume)
        case ["volume", "inspect", volume]:
            return InspectVolume(volume)
        case ["network", "rm", network]:
            return RemoveNetwork(network)
        case ["image", "rm", image]:
            return RemoveImage(image)
        case ["ps", *rest]:
            return ListContainers(all=rest == ["-a"])
        case ["stop", *rest]:
            options, operands = split(rest, {"-t": 1})
            return Stop(*operands, timeout=next((int(seconds) for _, seconds in options), None))
        case ["rm", *rest]:
            options, operands = split(rest, {"-f": 0, "-v": 0})
            return Remove(*operands, force=("-f", "") in options, volumes=("-v", "") in options)
        case [verb, container]:
            return {"start": Start, "pause": Pause, "unpause": Unpause, "diff": Diff}[verb](container)
    raise AssertionError(line)


def read_run(rest: list[str]) -> Run:
    takes = dict.fromkeys(["--name", "-w", "-u", "--network", "-p", "-v", "--mount", "--tmpfs", "-e", "--label"], 1)
    options, (image, *command) = split(rest, {"-d": 0, "--rm": 0, **takes})
    one = dict(options)
    published = [re.fullmatch(r"127\.0\.0\.1:(\d*):(.+)", port) for flag, port in options if flag == "-p"]
    return Run(
        image,
        command,
        name=one.get("--name"),
        mounts=[read_mount(flag, said) for flag, said in options if flag in ("-v", "--mount", "--tmpfs")],
        env=pairs_of(options, "-e"),
        ports={port[2]: int(port[1]) if port[1] else None for port in published if port},
        workdir=one.get("-w"),
        user=one.get("-u"),
        network=one.get("--network"),
        labels=pairs_of(options, "--label"),
        detach="-d" in one,
        remove="--rm" in one,
    )


def read_exec(rest: list[str]) -> Exec:
    options, (container, *command) = split(rest, {"-w": 1, "-u": 1, "-e": 1})
    one = dict(options)
    return Exec(container, command, env=pairs_of(options, "-e"), workdir=one.get("-w"), user=one.get("-u"))


def split(rest: list[str], flags: dict[str, int]) -> tuple[list[tuple[str, str]], list[str]]:
    options = []
    while rest and rest[0] in flags:
        flag, *rest = rest
        options.append((flag, rest.pop(0) if flags[flag] else ""))
    return options, rest


def pairs_of(options: list[tuple[str, str]], flag: str) -> dict[str, str]:
    return dict(said.split("=", 1) for each, said in options if each == flag)


@given(commands)
@thorough
def test_a_line_split_as_a_shell_splits_it_gives_back_the_same_command(command: Command) -> None:
    assert read(shlex.split(str(command))) == command


@given(commands)
@settings(deadline=None, max_examples=100)
def test_a_real_shell_splits_it_the_same_way(command: Command) -> None:
    printed = subprocess.run(["sh", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True).stdout

    assert printed.decode().split("\0")[:-1] == command.words()


@given(commands)
@thorough
def test_powershell_is_given_the_same_words(command: Command) -> None:
    assert split_as_powershell_does(command.powershell()) == command.words()


QUOTES = "'\u2018\u2019\u201a\u201b"  # each of them is a single quote to PowerShell


def split_as_powershell_does(line: str) -> list[str]:
    """By about_Quoting_Rules and about_Parsing: between single quotes, of which it knows five, all is literal and a
    doubled one is one; outside of them only characters without a meaning of their own are admitted."""
    found, rest = list[str](), line
    while rest:
        quoted = re.match(rf"[{QUOTES}]((?:[^{QUOTES}]|([{QUOTES}])\2)*)[{QUOTES}](?: |$)", rest)
        plain = re.match(r"[\w./:=\\+-]+(?: |$)", rest, re.ASCII)
        match = quoted or plain
        assert match, f"PowerShell makes something else of {rest!r}"
        if quoted:
            found.append(re.sub(rf"([{QUOTES}])\1", r"\1", quoted[1]))
        else:
            word = match[0].removesuffix(" ")
            assert not (word.startswith("-") and re.search(r"[.:]", word)), f"PowerShell splits {word}"
            found.append(word)
        rest = rest[match.end() :]
    return found


@given(commands)
@thorough
def test_no_repr_and_no_record_is_broken_by_what_a_line_holds(command: Command) -> None:
    assert shlex.split(command.redacted())[0] == "docker"
    assert repr(command) == f"<{command.redacted()}>"


def test_a_string_is_split_for_run_and_goes_through_sh_for_exec() -> None:
    assert Run("alpine", "echo 'a b' c").command == ("echo", "a b", "c")
    assert Exec("box", "echo 'a b' > x").command == ("sh", "-c", "echo 'a b' > x")
    assert Exec("box", ["echo", "a b"]).command == ("echo", "a b")


def test_a_command_keeps_its_fields_whatever_becomes_of_what_it_was_made_from() -> None:
    env, labels, ports, command = {"A": "1"}, {"b": "2"}, {80: None}, ["sleep", "1"]
    run = Run("alpine", command, env=env, labels=labels, ports=ports)
    before = str(run)
    for changing in (env, labels, ports):
        changing.clear()
    command.append("2")

    assert str(run) == before
    assert run == Run("alpine", "sleep 1", env={"A": "1"}, labels={"b": "2"}, ports={"80/tcp": None})
    assert replace(run, name="x") != run


@pytest.mark.parametrize(
    "make",
    [
        lambda: Run(""),
        lambda: Run("-v"),
        lambda: Run("alpine", "echo 'open"),
        lambda: Run("alpine", env={"A=B": "c"}),
        lambda: Run("alpine", env={"": "c"}),
        lambda: Run("alpine", labels={"a b": "c"}),
        lambda: Run("alpine", ports={"http": 80}),
        lambda: Run("alpine", ports={"80/http": 80}),
        lambda: CreateVolume("data", {"a=b": "c"}),
        lambda: Exec("box", "true", env={"A B": "c"}),
    ],
)
def test_what_no_line_could_say_is_refused_when_it_is_made(make: object) -> None:
    assert callable(make)
    with pytest.raises(CommandError) as caught:
        make()

    assert len(str(caught.value).splitlines()) == 3


def test_an_output_shows_its_text_and_a_status_that_is_not_zero() -> None:
    assert repr(Output("hello\n", 0)) == "hello"
    assert repr(Output("oh\n", 3)) == "oh\n(exit status 3)"
    assert repr(Output("", 3)) == "(exit status 3)"
    assert str(Output("hello\n", 0)) == "hello\n"


def test_what_a_program_wrote_is_taken_out_of_the_engines_frames_in_order() -> None:
    frames = [b"\x01\0\0\0\0\0\0\x03out", b"\x02\0\0\0\0\0\0\x04err\n", b"\x01\0\0\0\0\0\x01\x00" + b"x" * 256]
    assert _unframed(b"".join(frames)) == b"outerr\n" + b"x" * 256
    assert _unframed(b"") == b""


def test_a_command_and_its_mounts_come_from_one_place() -> None:
    for name in ("Anonymous", "Bind", "Mount", "Tmpfs", "Volume"):
        assert name in commands_module.__all__
        assert getattr(commands_module, name) is getattr(mounts_module, name)
