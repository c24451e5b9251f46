"""What nft is told, and which interfaces are uplinks."""

import time

import pytest

from perfrun_kernels.fault import links, rules
from perfrun_kernels.fault.links import Link
from perfrun_kernels.fault.refusal import RefusedError
from perfrun_kernels.fault.rules import Table

CARD = Link(2, "eth0", up=True, loopback=False, card=True, virtual=False)
LOOPBACK = Link(1, "lo", up=True, loopback=True, card=False, virtual=False)


@pytest.mark.parametrize(
    ("found", "routed", "uplinks"),
    [
        ([LOOPBACK, CARD], {2}, ["eth0"]),
        ([LOOPBACK, CARD], set(), ["eth0"]),
        ([LOOPBACK], {1}, []),
        ([Link(3, "eth1", up=False, loopback=False, card=True, virtual=False)], set(), []),
        ([Link(4, "veth1", up=True, loopback=False, card=True, virtual=True)], set(), []),
        ([Link(4, "veth1", up=True, loopback=False, card=True, virtual=True)], {4}, ["veth1"]),
        ([Link(5, "tun0", up=True, loopback=False, card=False, virtual=True)], set(), []),
        ([Link(6, "b", up=True, loopback=False, card=True, virtual=False), CARD], {2}, ["b", "eth0"]),
    ],
)
def test_uplinks_are_real_cards_and_whatever_has_a_default_route(found, routed, uplinks):
    assert links.choose(found, routed) == uplinks


@pytest.mark.parametrize(
    ("seconds", "timeout"), [(15, "15000ms"), (0.0004, "1ms"), (-1, "1ms"), (1.2345, "1234ms"), (3600, "3600000ms")]
)
def test_an_element_lives_as_long_as_the_fault(seconds, timeout):
    command = rules.cutting(Table("netdev", "perfrun-chaos-f"), ["eth0", "eth1"], seconds)
    assert command == (
        f'add element netdev perfrun-chaos-f cut {{ "eth0" timeout {timeout}, "eth1" timeout {timeout} }}\n'
    )


@pytest.mark.parametrize("name", ['a"b', "a\nb"])
def test_a_name_that_could_be_taken_for_a_command_is_refused(name):
    with pytest.raises(RefusedError) as refused:
        rules.quoted(name)
    assert refused.value.reason == "BadInterface"


def test_a_kernel_without_egress_hooks_gets_a_table_for_all_ip_traffic(node, outside):
    node.run("nft", rules.definition(Table("inet", "perfrun-chaos-f"), ["up0"]))
    node.run("nft", rules.cutting(Table("inet", "perfrun-chaos-f"), ["up0"], 60))
    probes = [outside.probe("10.9.0.1"), node.probe("10.9.0.2")]
    time.sleep(0.2)
    assert [probe.stop() for probe in probes] == [[], []]
    assert node.undo("f").message == "table inet perfrun-chaos-f was removed, which dropped packets of up0"
