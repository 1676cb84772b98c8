"""The private engine's corner of the network: a free range of addresses, a bridge, and rules of its own.

Two engines must not share docker0: the second gives it other addresses, and the first one's published ports then
lead nowhere. Nor may a second engine write Docker's firewall chains: on start it would empty the first one's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from dockerlab.errors import EngineError

__all__ = ["Bridge", "free_range"]

# Runs a command as root and returns what it printed; raises EngineError when it fails.
Runner = Callable[..., str]

# Private ranges, the least used ones first; the last is for measurements between networks (RFC 2544).
RANGES = tuple(IPv4Network(text) for text in ("10.192.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"))


def free_range(taken: list[IPv4Network], first: int = 0) -> IPv4Network:
    """Return a /19 that overlaps nothing in `taken`, looking from the `first`th one on in each range."""
    for whole in RANGES:
        blocks = list(whole.subnets(new_prefix=19))
        for i in range(len(blocks)):
            block = blocks[(first + i) % len(blocks)]
            if not any(block.overlaps(network) for network in taken):
                return block
    raise EngineError(
        "No range of addresses is free for the engine's network.",
        f"All of {', '.join(map(str, RANGES))} is routed on this machine.",
        "Start Docker yourself, with a network that suits this machine, and set DOCKER_HOST to it.",
    )


class Bridge:
    """A network bridge named `name`, and the firewall chains of the same name.

    `run` runs a command as root. The lower half of `addresses` is the bridge's, the upper half is for the
    networks that users of the engine create.
    """

    def __init__(self, name: str, run: Runner) -> None:
        self.name, self._run = name, run

    def address(self) -> IPv4Interface | None:
        """Return the bridge's address, or None where there is no such bridge."""
        return next(iter(self._links().get(self.name, ())), None)

    def up(self) -> IPv4Network:
        """Make the bridge be there, and return its range of addresses; one that was left behind is used again."""
        address = self.address()
        if address is None or not any(address in whole for whole in RANGES):
            self.down()
            addresses = free_range(list(self._taken()), int(self.name.rpartition("-")[2], 16))
            address = IPv4Interface(f"{addresses[1]}/24")
            self._run("ip", "link", "add", self.name, "type", "bridge")
            self._run("ip", "address", "add", str(address), "dev", self.name)
        addresses = address.network.supernet(new_prefix=19)
        self._run("ip", "link", "set", self.name, "up")
        self._write_rules(addresses)
        return addresses

    def down(self) -> None:
        """Remove the bridge, those of networks that the engine made beside it, and the rules."""
        address = self.address()
        addresses = address.network.supernet(new_prefix=19) if address else None
        for link, its_addresses in self._links("type", "bridge").items():
            if link == self.name or (addresses and any(one in addresses for one in its_addresses)):
                self._run("ip", "link", "delete", link)
        for table, chain in (("nat", "POSTROUTING"), ("filter", "FORWARD")):
            self._iptables(table, "-D", chain, "-j", self.name)
            self._iptables(table, "-F", self.name)
            self._iptables(table, "-X", self.name)

    def _write_rules(self, addresses: IPv4Network) -> None:
        # Published ports need no rule: the engine's own relay listens on 127.0.0.1. What is here lets containers
        # out, and nobody in. Without iptables the containers merely have no way out.
        ours = str(addresses)
        rules = {
            ("nat", "POSTROUTING"): [["-s", ours, "!", "-d", ours, "-j", "MASQUERADE"]],
            ("filter", "FORWARD"): [
                ["-s", ours, "-d", ours, "-j", "ACCEPT"],
                *(["-s", ours, "-o", device, "-j", "ACCEPT"] for device in self._ways_out()),
                ["-d", ours, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
                ["-d", ours, "-j", "DROP"],
            ],
        }
        if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "0":
            # The engine will turn forwarding on. As Docker's own rules do, keep this machine from routing for others.
            self._iptables("filter", "-P", "FORWARD", "DROP")
        for (table, chain), lines in rules.items():
            self._iptables(table, "-N", self.name)
            self._iptables(table, "-F", self.name)
            for line in lines:
                self._iptables(table, "-A", self.name, *line)
            self._iptables(table, "-D", chain, "-j", self.name)
            self._iptables(table, "-I", chain, "-j", self.name)

    def _iptables(self, table: str, *words: str) -> None:
        try:
            self._run("iptables", "--wait", "--table", table, *words)
        except EngineError:
            pass  # not there to be removed, there already, or no firewall here

    def _ip(self, *words: str) -> list[dict[str, Any]]:
        # Where nothing is to be told, that is an empty text or entry.
        return [entry for entry in json.loads(self._run("ip", "-json", *words) or "[]") if entry]

    def _links(self, *which: str) -> dict[str, list[IPv4Interface]]:
        """The addresses of each link, by its name."""
        return {
            link["ifname"]: [
                IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")
                for entry in link["addr_info"]
                if entry["family"] == "inet"
            ]
            for link in self._ip("address", "show", *which)
        }

    def _ways_out(self) -> list[str]:
        return [route["dev"] for route in self._ip("-4", "route", "show", "default") if "dev" in route]

    def _taken(self) -> Iterator[IPv4Network]:
        for route in self._ip("-4", "route", "show", "table", "all"):
            network = IPv4Network(route["dst"].replace("default", "0.0.0.0/0"), strict=False)
            if network.prefixlen > 1:  # the default route, whole or in two halves as VPNs write it, takes no range
                yield network
        for addresses in self._links().values():
            yield from (address.network for address in addresses)
        # A name server in the same range, behind the default route, must stay reachable.
        try:
            resolvers = Path("/etc/resolv.conf").read_text()
        except OSError:
            resolvers = ""
        for server in re.findall(r"^nameserver\s+(\d+\.\d+\.\d+\.\d+)$", resolvers, re.MULTILINE):
            yield IPv4Network(server)
