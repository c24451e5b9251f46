"""Addresses and names that a cluster derives from its slot never meet another's."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.layout import MAX_NODES, SLOTS, Layout, checked_name, checked_nodes, state_root

layouts = st.builds(
    Layout,
    name=st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True),
    slot=st.integers(0, len(SLOTS) - 1),
    nodes=st.integers(1, MAX_NODES),
    state_root=st.just(Path("/var/lib/perfrun")),
)


@given(layouts)
def test_every_range_lies_in_the_clusters_own_and_meets_no_other(layout: Layout) -> None:
    ranges = [layout.node_network, layout.services, *(layout.node_pods(number) for number in layout.node_numbers)]
    assert all(found.subnet_of(layout.network) for found in [*ranges, layout.pods])
    assert not any(one.overlaps(other) for one, other in itertools.combinations(ranges, 2))
    assert all(layout.node_pods(number).subnet_of(layout.pods) for number in layout.node_numbers)


@given(layouts)
def test_every_address_is_used_once(layout: Layout) -> None:
    addresses = [layout.control_plane_ip, layout.host_ip, *(layout.node_ip(number) for number in layout.node_numbers)]
    assert len(set(addresses)) == len(addresses)
    assert all(address in layout.node_network for address in addresses)
    assert {layout.api_service_ip, layout.dns_ip} < set(layout.services.hosts())


def test_slots_never_meet() -> None:
    assert not any(one.overlaps(other) for one, other in itertools.combinations(SLOTS, 2))


@given(layouts)
def test_names_fit_into_what_the_kernel_allows(layout: Layout) -> None:
    assert len(layout.host_link) <= 15
    assert max(len(str(layout.containerd_socket(number))) for number in layout.node_numbers) < 100


@pytest.mark.parametrize("name", ["", "1a", "A", "a_b", "a-", "-a", "a/b", "..", "a" * 21])
def test_names_that_paths_could_not_bear_are_refused(name: str) -> None:
    with pytest.raises(DevClusterError, match="cluster name"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a", "team", "a-1", "a" * 20])
def test_ordinary_names_are_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("nodes", [-1, 0, MAX_NODES + 1])
def test_impossible_sizes_are_refused(nodes: int) -> None:
    with pytest.raises(DevClusterError, match=f"--nodes {nodes}"):
        checked_nodes(nodes)


@pytest.mark.parametrize("path", ["/run/perfrun", "/" + "x" * 60])
def test_state_where_sockets_could_not_live_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFRUN_STATE", path)
    with pytest.raises(DevClusterError, match="PERFRUN_STATE"):
        state_root()
