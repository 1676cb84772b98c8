"""A docker line as it was typed, made the lab's own: labelled, named for its owner, kept from what is foreign."""

from __future__ import annotations

import contextlib
import errno
import re
import shlex
import socket
from collections.abc import Callable
from dataclasses import dataclass

from docker.errors import APIError, NotFound, NullResource

from .belongings import RM_LABEL, built_by
from .engine import images
from .errors import CommandError, ForeignError, ImageError
from .lab import Lab
from .mounts import NAME, csv_fields, csv_record

__all__ = ["Line"]

_GROUPS = frozenset("builder buildx container context image network system volume".split())  # noqa: SIM905
_IMAGE_VERBS = frozenset("build history images import load pull push rmi save search tag".split())  # noqa: SIM905
_ALIASES = {"images": "ls", "list": "ls", "ps": "ls", "remove": "rm", "rmi": "rm"}
_READS = frozenset(
    "df diff events export help history info inspect logs ls port save search show stats top version wait".split()  # noqa: SIM905
)
_CHANGES = {
    "container": frozenset("attach kill pause restart rm start stop unpause update".split()),  # noqa: SIM905
    "image": frozenset(["rm"]),
    "network": frozenset(["rm"]),
    "volume": frozenset(["rm", "update"]),
}
# Options of run, create and exec that take no value (docker run --help). One that is missing here is taken to have
# one, and elsewhere one that is missing to have none: either way more words are looked at, not fewer.
_SWITCHES = frozenset(
    """
    -d --detach -i --interactive -t --tty -P --publish-all -q --quiet --rm --init --privileged --read-only
    --no-healthcheck --oom-kill-disable --sig-proxy --disable-content-trust --use-api-socket --help
    """.split()  # noqa: SIM905
)
_VALUED = {
    "attach": "--detach-keys",
    "build": """-f --file -t --tag --build-arg --build-context --cache-from --cache-to --iidfile --label --metadata-file
        --network -o --output --platform --progress --secret --ssh --target""",
    "connect": "--alias --driver-opt --gw-priority --ip --ip6 --link --link-local-ip",
    "create": """-d --driver -o --opt --name --label --aux-address --config-from --gateway --ip-range --ipam-driver
        --ipam-opt --scope --subnet""",
    "export": "-o --output",
    "history": "--format",
    "inspect": "-f --format --type",
    "kill": "-s --signal",
    "logs": "-n --since --tail --until",
    "prune": "--filter",
    "restart": "-s --signal -t --time --timeout",
    "save": "-o --output --platform",
    "start": "--checkpoint --checkpoint-dir --detach-keys",
    "stats": "--format",
    "stop": "-s --signal -t --time --timeout",
    "update": """--blkio-weight -c --cpu-period --cpu-quota --cpu-rt-period --cpu-rt-runtime --cpu-shares --cpus
        --cpuset-cpus --cpuset-mems -m --memory --memory-reservation --memory-swap --pids-limit --restart""",
}


@dataclass(frozen=True)
class _Option:
    """An option's flag, its value (empty for a switch) and the index of the word that the value ends."""

    flag: str
    value: str
    index: int


class Line:
    """One docker line made the lab's own: `typed` as given, `argv()` as it runs, `notes` on what differs and why.

    What it is about to make or to mount is claimed here; raises `ForeignError` before anything foreign is changed.
    """

    def __init__(self, lab: Lab, typed: list[str], *, has_input: bool, say: Callable[[str], object]) -> None:
        self.typed, self.notes = typed, list[str]()
        self._lab, self._own, self._say, self._has_input = lab, lab.belongings, say, has_input
        depth = 2 if typed and typed[0] in _GROUPS else 1
        self._path, self._rest = typed[:depth], typed[depth:]
        verb = typed[depth - 1] if len(typed) >= depth else "help"
        self._verb = _ALIASES.get(verb, verb)
        self._noun = typed[0] if depth == 2 else "image" if verb in _IMAGE_VERBS else "container"
        self._labels = list[str]()
        runs = self._noun == "container" and self._verb in ("run", "create", "exec")
        if runs and self._verb != "create":
            self._drop_terminal()
        self._options, self._operands = _parse(self._rest, self._takes_value(runs), mixed=not runs)
        before = list(self._rest)
        self._make_own()
        if self._rest != before and self._verb != "prune":
            self.notes.append(f"# runs as: {shlex.join(['docker', *self._path, *self._rest])}")

    def argv(self) -> list[str]:
        """The words after `docker`, as they run."""
        return [*self._path, *self._labels, *self._rest]

    def _takes_value(self, runs: bool) -> Callable[[str], bool]:
        valued = _VALUED.get(self._verb, "").split()
        return lambda flag: flag not in _SWITCHES if runs else flag in valued

    def _drop_terminal(self) -> None:
        options, _ = _parse(self._rest, self._takes_value(True), mixed=False)
        if {"-d", "--detach"} & {option.flag for option in options}:
            return  # a container of its own may have a terminal of its own
        # -i keeps its meaning where the cell has a body to read.
        unwanted = {"-t", "--tty"} | (set() if self._has_input else {"-i", "--interactive"})
        gone = [option for option in options if option.flag in unwanted]
        for option in gone:
            word = self._rest[option.index]
            self._rest[option.index] = "-" if word.startswith("--") else word.replace(option.flag[1], "", 1)
        if gone:
            self._rest = [word for word in self._rest if word != "-"]
            self.notes.append(f"# {' '.join(option.flag for option in gone)} left out: a cell has no terminal")

    def _make_own(self) -> None:
        first = self._operands[:1]
        match self._noun, self._verb:
            case "container", "run" | "create":
                self._own_run()
            case "container", "exec":
                self._own_each("container", first)
            case "container", "cp":
                self._own_copy()
            case "container", "rename":
                self._own_each("container", first)
                for index in self._operands[1:]:
                    self._rest[index] = self._own.full(self._rest[index])
            case "volume" | "network", "create":
                self._label(self._own.labels)
                self._own_new_names()
            case "network", "connect" | "disconnect":
                self._own_each("network", first)
                self._own_each("container", self._operands[1:])
            case "builder" | "buildx" | "image", "build":
                self._label(self._own.image_labels)
                for option in self._options:
                    if option.flag in ("-t", "--tag"):
                        self._own_new_image(option.index, option.value)
            case "image", "tag":
                self._own_each("image", first)
                for index in self._operands[1:]:
                    self._own_new_image(index, self._rest[index])
            case "container" | "image" | "network" | "system" | "volume", "prune":
                self._own_prune()
            case noun, verb if verb in _CHANGES.get(noun, ()):
                self._own_each(noun, self._operands)
            case noun, verb if verb in _READS or verb in ("-h", "--help", "-v", "--version"):
                kinds = ("container", "volume", "network") if self.typed[:1] == ["inspect"] else (noun,)
                for kind in kinds:
                    self._own_each(kind, self._operands, change=False)
            case _, verb if verb.startswith("-"):
                raise CommandError(
                    "%docker talks to the lab's engine, and has no options of its own.",
                    f"Seen: {verb}",
                    "Leave it out, or give the engine to the lab: Lab(engine=…).",
                )
            case "image", "pull":
                pass
            case _ if not self._own.private:
                raise ForeignError(
                    f"docker {' '.join(self._path)} is not run on an engine that is not the course's own.",
                    "What it makes or changes would not carry the lab's label.",
                    'Run it in a terminal, or in a Lab(engine="private").',
                )

    def _label(self, labels: dict[str, str]) -> None:
        self._labels = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]

    def _own_run(self) -> None:
        removes = any(option.flag == "--rm" and option.value in ("", "true") for option in self._options)
        self._label({**self._own.labels, **({RM_LABEL: "yes"} if removes else {})})
        for option in self._options:
            index, value = option.index, option.value
            match option.flag:
                case "--name":
                    self._put(index, value, self._new_name("container", self._own.full(value)))
                case "-v" | "--volume":
                    source, colon, rest = value.partition(":")
                    if colon and NAME.fullmatch(source):
                        self._put(index, value, f"{self._volume(source)}:{rest}")
                case "--mount":
                    self._put(index, value, self._own_mount(value))
                case "-p" | "--publish":
                    self._put(index, value, self._free_port(value))
                case "--volumes-from":
                    box, colon, mode = value.partition(":")
                    self._put(index, value, f"{self._lab.claims.container(box).name}{colon}{mode}")
                case "--network" | "--net":
                    self._put(index, value, self._own_network(value))
                case "--ipc" | "--pid" if value.startswith("container:"):
                    self._put(index, value, self._lab.claims.network(value))
        for index in self._operands[:1]:
            self._rest[index] = self._lab.claims.image(self._rest[index])
            if self._own.private:
                with contextlib.suppress(ImageError):  # docker says it better
                    images.ensure(self._lab.engine, self._rest[index], report=self._say)

    def _own_mount(self, value: str) -> str:
        fields = dict.fromkeys(csv_fields(value))
        options = {field.partition("=")[0].lower(): field.partition("=")[2] for field in fields}
        if options.get("type", "volume").lower() == "volume":
            for field in fields:
                key, _, name = field.partition("=")
                fields[field] = f"{key}={self._volume(name)}" if key.lower() in ("source", "src") else None
        return csv_record(*(new or field for field, new in fields.items()))

    def _own_network(self, value: str) -> str:
        if "=" not in value:
            return self._lab.claims.network(value)
        fields = csv_fields(value)
        for place, field in enumerate(fields):
            # In this form docker takes small letters for capital ones, in the name too (cli, opts/network.go).
            key, _, name = (part.strip() for part in field.lower().partition("="))
            if key == "name":
                fields[place] = f"name={self._lab.claims.network(name)}"
        return csv_record(*fields)

    def _free_port(self, value: str) -> str:
        """The same where that port of the host is free; else one that the engine chooses."""
        found = re.fullmatch(r"(?P<host>[\d.]+:)?(?P<port>\d+):(?P<inside>\d+(/tcp)?)", value)
        if not found or not self._in_use(int(found["port"])):
            return value
        self.notes.append(f"# port {found['port']} is in use on this machine: the engine chooses another (docker port)")
        return f"{found['host']}:{found['inside']}" if found["host"] else found["inside"]

    def _in_use(self, port: int) -> bool:
        published = (item for box in self._lab.engine.client.api.containers() for item in box["Ports"])
        if any(item.get("PublicPort") == port for item in published):
            return True
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            return error.errno == errno.EADDRINUSE
        return False

    def _volume(self, name: str) -> str:
        full = self._own.full(name)
        self._lab.claim_volume(full, quietly=True)
        return full

    def _own_new_names(self) -> None:
        named = [(option.index, option.value) for option in self._options if option.flag == "--name"]
        for index, name in [*named, *((index, self._rest[index]) for index in self._operands)]:
            self._put(index, name, self._new_name(self._noun, self._own.full(name)))

    def _own_new_image(self, index: int, name: str) -> None:
        self._put(index, name, self._new_name("image", self._own.full_image(name)))

    def _new_name(self, kind: str, full: str) -> str:
        """A name for something new; taken by something of the lab's own, docker says what that means."""
        labels = self._labels_of(kind, full)
        if labels is not None:
            self._own.refuse_foreign(kind, full, labels)
        return full

    def _own_each(self, kind: str, indexes: list[int], *, change: bool = True) -> None:
        """Names of what is there get the owner's prefix; what the line would change must be the lab's."""
        for index in indexes:
            self._rest[index] = self._owned(kind, self._rest[index], change=change)

    def _owned(self, kind: str, name: str, *, change: bool) -> str:
        full = self._own.full_image(name) if kind == "image" else self._own.full(name)
        for candidate in dict.fromkeys((full, name)):
            labels = self._labels_of(kind, candidate)
            if labels is not None:
                if change:
                    self._own.refuse_foreign(kind, candidate, labels)
                return candidate
        return name

    def _own_copy(self) -> None:
        for index in self._operands:
            box, colon, path = self._rest[index].partition(":")
            if colon and not box.startswith((".", "/")):
                into = index == self._operands[-1]
                self._rest[index] = f"{self._owned('container', box, change=into)}:{path}"

    def _labels_of(self, kind: str, name: str) -> dict[str, str] | None:
        """The labels of the container, image, volume or network of that name; None where there is none."""
        api = self._lab.engine.client.api
        try:
            match kind:
                case "volume":
                    labels = api.inspect_volume(name)["Labels"]
                case "network":
                    labels = api.inspect_network(name)["Labels"]
                case "image":
                    labels = built_by(self._lab.engine.client.images.get(name).labels)
                case _:
                    labels = api.inspect_container(name)["Config"]["Labels"]
        except (NotFound, NullResource):
            return None
        except APIError as error:
            if error.status_code == 400:  # no name at all, as far as the engine is concerned
                return None
            raise
        return dict(labels or {})

    def _own_prune(self) -> None:
        flags = {option.flag for option in self._options}
        plan = self._lab.plan_prune(all=bool({"-a", "--all"} & flags)) if self._noun == "volume" else None
        if plan and self._own.private and not plan.foreign:
            self.notes.append(f"# on this engine it takes: {', '.join(plan.removes['name']) or 'nothing'}")
        else:
            labels = self._own.image_labels if self._noun == "image" else self._own.labels
            self._rest += [word for key, value in labels.items() for word in ("--filter", f"label={key}={value}")]
            others = f", since it would also take {', '.join(plan.foreign)}" if plan and plan.foreign else ""
            self.notes.append(f"# limited to what the lab {self._own.lab} has labelled{others}")
        if not self._has_input and not {"-f", "--force"} & flags:
            self.notes.append("# a cell cannot answer docker's question: without -f nothing is removed")

    def _put(self, index: int, old: str, new: str) -> None:
        self._rest[index] = self._rest[index].removesuffix(old) + new


def _parse(words: list[str], takes_value: Callable[[str], bool], *, mixed: bool) -> tuple[list[_Option], list[int]]:
    """The options and the indexes of the operands.

    `mixed` where options may follow operands; elsewhere what follows the first is its own, as a command is an image's.
    """
    options, operands, index = list[_Option](), list[int](), 0
    while index < len(words):
        word = words[index]
        if word == "--":
            return options, [*operands, *range(index + 1, len(words))]
        if word == "-" or not word.startswith("-"):
            if not mixed:
                return options, list(range(index, len(words)))
            operands.append(index)
        elif word.startswith("--"):
            flag, joined, value = word.partition("=")
            if not joined and takes_value(flag):
                index += 1
                value = words[index] if index < len(words) else ""
            options.append(_Option(flag, value, min(index, len(words) - 1)))
        else:
            for place, letter in enumerate(word[1:], 2):
                value, flag = word[place:].removeprefix("="), f"-{letter}"
                if not takes_value(flag) and word[place : place + 1] != "=":
                    options.append(_Option(flag, "", index))
                    continue
                if not word[place:]:
                    index += 1
                    value = words[index] if index < len(words) else ""
                options.append(_Option(flag, value, min(index, len(words) - 1)))
                break
        index += 1
    return options, operands
