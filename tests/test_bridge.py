"""A free range of addresses is really free, and the rules let containers out and nobody in."""

from __future__ import annotations

import secrets
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from engines import needs_private_engine
from hypothesis import given
from hypothesis import strategies as st

from dockerlab.engine import private
from dockerlab.engine.bridge import RANGES, Bridge, free_range
from dockerlab.errors import EngineError

NETWORKS = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    st.integers(min_value=int(RANGES[0][0]), max_value=int(RANGES[0][-1])) | st.integers(0, 2**32 - 1),
    st.integers(2, 32),
)


@given(taken=st.lists(NETWORKS, max_size=40), first=st.integers(0, 2**32 - 1))
def test_a_free_range_overlaps_nothing_that_is_taken(taken: list[IPv4Network], first: int) -> None:
    try:
        found = free_range(taken, first)
    except EngineError:
        assert all(any(block.overlaps(n) for n in taken) for whole in RANGES for block in whole.subnets(new_prefix=19))
    else:
        assert found.prefixlen == 19
        assert any(found.subnet_of(whole) for whole in RANGES)
        assert not any(found.overlaps(network) for network in taken)


def test_where_a_whole_range_is_routed_the_next_one_is_used() -> None:
    assert free_range([IPv4Network("10.0.0.0/8")]).subnet_of(RANGES[1])


def test_where_all_is_routed_the_error_says_so() -> None:
    with pytest.raises(EngineError, match="No range") as caught:
        free_range([IPv4Network("128.0.0.0/1"), IPv4Network("0.0.0.0/1")])
    assert "DOCKER_HOST" in caught.value.next_step


@needs_private_engine
def test_up_and_down_again_leave_the_network_as_it_was() -> None:
    run = private._root_runner()
    bridge = Bridge(f"dl-{secrets.token_hex(4)}", run)

    def state() -> list[str]:
        rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout.splitlines()
        return [line for line in rules if bridge.name in line]

    try:
        addresses = bridge.up()
        rules = state()
        assert bridge.address() in addresses
        assert bridge.up() == addresses  # what is there is used again
        assert state() == rules  # and no rule is written twice
        assert f"-A {bridge.name} -d {addresses} -j DROP" in rules
    finally:
        bridge.down()
    assert state() == []
    assert bridge.address() is None
    assert not Path("/sys/class/net", bridge.name).exists()
