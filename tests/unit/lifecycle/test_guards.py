"""Every guard: what it refuses, with the sentence's parts, and what it lets through."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from perfrun.api.chaos import Chaos, Window
from perfrun.lifecycle.asked import GuardInput
from perfrun.lifecycle.guards import RULES, changed, possible, refusal
from perfrun.lifecycle.values import Missing, NodeView

NOON = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
CHAOS = Chaos(allowed=True, max_nodes=2, max_share=0.5)


def node(name, *, ready=True, cordoned=False, **labels):
    return NodeView(name, ready, cordoned, labels, 4.0)


def nodes(*views):
    return {f"n{i}": node(f"n{i}") for i in range(1, 6)} | {each.name: each for each in views}


SOUND = GuardInput(
    chaos=CHAOS,
    service="web",
    count=1,
    wanted=5,
    starts_at=NOON,
    ends_at=NOON + dt.timedelta(seconds=60),
    nodes=nodes(),
    serving={f"n{i}": (f"web-{i}",) for i in range(1, 6)},
)


def chaos(**changes):
    return {"chaos": CHAOS.replace(**changes)}


def on(count):
    return {f"n{i}": (f"web-{i}",) for i in range(1, count + 1)}


WINDOW = Window(cron="0 22 * * *", length="2h", time_zone="Europe/Berlin")

REFUSED = {
    "not allowed": (chaos(allowed=False), "ChaosNotAllowed", ["chaos.allowed", "false", "expected true", "platform"]),
    "no right": ({"denied": "the operator may not patch nodes"}, "MissingRights", ["may not patch nodes"]),
    "a kind that the tool cannot do": (
        chaos(backend="chaos-mesh", kind="freeze"), "UnsupportedFault", ["chaos.backend", "freeze", "choose"],
    ),
    "no service account for Litmus": (
        chaos(backend="litmus", kind="drain"), "UnsupportedFault", ["chaos.serviceAccountName", "none is named"],
    ),
    "an unknown node": (
        chaos(nodes=("n1", "n9")), "UnknownNode", ["chaos.nodes names n9", "n1, n2, n3", "correct"],
    ),
    "more than the number": (
        {"count": 2} | chaos(max_nodes=1), "ExceedsMaxNodes", ["chaos.maxNodes", "is 1", "2 nodes", "at most 1"],
    ),
    "longer than allowed": (
        chaos(max_duration="30s"), "TooLong", ["chaos.maxDuration", "30s", "60 s", "load.rate"],
    ),
    "no window open": (
        chaos(windows=(WINDOW,)), "OutsideWindow",
        ["chaos.windows", "12:00:00 to 12:01:00 UTC", "2026-11-25 21:00 UTC"],
    ),
    "a window that closes too early": (
        chaos(windows=(Window(cron="30 11 * * *", length="30m"),)), "OutsideWindow", ["2026-11-26 11:30 UTC"],
    ),
    "a window that is too short": (
        chaos(windows=(Window(cron="0 12 * * *", length="59s"),)), "OutsideWindow", ["2026-11-26 12:00 UTC"],
    ),
    "no zone of this name": (
        chaos(windows=(WINDOW.replace(time_zone="Berlin"),)), "BadWindow", ["chaos.windows", "'Berlin'", "IANA"],
    ),
    "no cron expression": (
        chaos(windows=(Window(cron="often", length="1h"),)), "BadWindow", ["'often'", "five", "correct it there"],
    ),
    "no Service": (
        {"serving": Missing("ServiceNotFound", "Service web was not found")}, "ServiceNotFound", ["Service web"],
    ),
    "no endpoints": ({"serving": {}}, "NoEndpoints", ["service.name", "web has no ready endpoint", "correct"]),
    "a node that is not ready": (
        {"nodes": nodes(node("n7", ready=False))}, "ClusterUnhealthy", ["node n7 is not ready", "mend"],
    ),
    "a serving node that is cordoned": (
        {"nodes": nodes(node("n2", cordoned=True))}, "ClusterUnhealthy", ["node n2 is cordoned", "uncordon"],
    ),
    "a node that may serve is cordoned": (
        {"nodes": nodes(node("n7", cordoned=True))} | chaos(nodes=("n1", "n7")), "ClusterUnhealthy", ["n7"],
    ),
    "fewer nodes than the scenario names": (
        {"serving": on(3)}, "NotEnoughNodes", ["on 3 nodes", "expects 5", "service.workload"],
    ),
    "more failures than nodes": (
        {"count": 4, "wanted": 0, "serving": on(3)} | chaos(max_nodes=9),
        "TooManyFailures", ["4 nodes are to fail", "is on 3", "correct the scenario"],
    ),
    "all endpoints on the failing nodes": (
        {"wanted": 0, "serving": on(1)}, "NoEndpointsLeft", ["all endpoints", "n1", "100 %"],
    ),
    "a share of all": (
        {"count": 5} | chaos(max_nodes=9, max_share=0.99), "NoEndpointsLeft", ["n1, n2, n3, n4, n5", "100 %"],
    ),
    "a larger share": (
        chaos(max_share=0.19), "ExceedsMaxShare", ["chaos.maxShare", "19 %", "1 of the 5", "20 %"],
    ),
    "another run's fault": (
        {"foreign_faults": ("shop/llm-7",)}, "AnotherFault", ["shop/llm-7", "not proven undone", "perfrun chaos list"],
    ),
    "every node is taken by a rule": (
        {
            "nodes": nodes(node("n1", tier="db"), node("n2", pool="a"), *(node(f"n{i}", pool="b") for i in (3, 4, 5))),
            "protected": {"n3": "the operator", "n4": "Prometheus", "n5": "the operator and Prometheus"},
        } | chaos(protected_labels={"pool": "a"}, node_selector={}, nodes=("n2", "n3", "n4", "n5")),
        "NoCandidates",
        ["of the 5 nodes", "0 may fail, and 1 must", "1 not named in chaos.nodes", "1 with a label of chaos.protected",
         "2 with the operator on it", "1 with Prometheus"],
    ),
    "no node is selected": (
        chaos(node_selector={"pool": "a"}), "NoCandidates", ["5 not selected by chaos.nodeSelector"],
    ),
    "the only node for generators": (
        {"wanted": 0, "serving": on(2), "nodes": nodes(node("n1", gen="yes")), "generators": {"gen": "yes"}}
        | chaos(nodes=("n1",)),
        "NoCandidates", ["1 without which generators have no node left"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_is_refused_in_a_sentence(case):
    changes, reason, parts = REFUSED[case]
    found = refusal(attrs.evolve(SOUND, **changes))
    assert found is not None
    assert found.reason == reason, found
    for part in parts:
        assert part in found.message


GRANTED = {
    "what is sound": {},
    "as many nodes as allowed": {"count": 2},
    "a share that is just allowed": chaos(max_share=0.2),
    "more nodes than the scenario names": {"wanted": 4},
    "as long as allowed": chaos(max_duration="1m"),
    "a window that is open": chaos(windows=(Window(cron="0 12 * * *", length="60s"),)),
    "one window of several": chaos(windows=(WINDOW, Window(cron="30 11 * * wed", length="31m"))),
    "a window by the clock of its zone": chaos(
        windows=(Window(cron="0 13 25 nov *", length="1m", time_zone="Europe/Berlin"),)
    ),
    "a cordoned node that never serves": {"nodes": nodes(node("n7", cordoned=True))},
    "a node that carries the operator, as asked": {"protected": {f"n{i}": "the operator" for i in range(1, 6)}}
    | chaos(spare=("prometheus",)),
    "generators that run elsewhere": {
        "nodes": nodes(node("n7", gen="yes"), node("n8", gen="yes")),
        "generators": {"gen": "yes"},
    },
}


@pytest.mark.parametrize("case", GRANTED)
def test_a_fault_that_is_permitted_may_be(case):
    assert refusal(attrs.evolve(SOUND, **GRANTED[case])) is None


def test_every_rule_is_the_first_to_refuse_something():
    asks = [attrs.evolve(SOUND, **changes) for changes, _, _ in REFUSED.values()]
    assert {next(rule for rule in RULES["nodes"] if rule(ask)) for ask in asks} == set(RULES["nodes"])


def test_only_nodes_behind_the_service_may_fail():
    ask = attrs.evolve(SOUND, serving=on(2), nodes=nodes(node("n9")))
    assert possible(ask).names == ("n1", "n2")


ONE = {"wanted": 0, "serving": on(1), "harm": "containers"}
"""Containers on the one node that serves are held up."""

HOLDING_UP = {
    "not allowed": (chaos(allowed=False), "ChaosNotAllowed", ["before any container is held up"]),
    "no right": ({"denied": "the operator may not list pods"}, "MissingRights", ["list pods"]),
    "an unknown node": (chaos(nodes=("n9",)), "UnknownNode", ["n9"]),
    "longer than allowed": (chaos(max_duration="30s"), "TooLong", ["60 s", "spikes.inject, spikes.rounds"]),
    "no window open": (chaos(windows=(WINDOW,)), "OutsideWindow", ["2026-11-25 21:00 UTC"]),
    "no endpoints": ({"serving": {}}, "NoEndpoints", ["web has no ready endpoint"]),
    "a node that is not ready": ({"nodes": nodes(node("n7", ready=False))}, "ClusterUnhealthy", ["n7"]),
    "another run's fault": ({"foreign_faults": ("shop/llm-7",)}, "AnotherFault", ["shop/llm-7"]),
    "a node that is protected": (
        {"nodes": nodes(node("n1", pool="a"))} | chaos(protected_labels={"pool": "a"}),
        "NoCandidates", ["0 may have containers held up", "1 with a label of chaos.protectedLabels"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOLDING_UP)
def test_to_hold_containers_up_asks_for_all_that_is_permitted(case):
    changes, reason, parts = HOLDING_UP[case]
    found = refusal(attrs.evolve(SOUND, **(ONE | changes)))
    assert found is not None
    assert found.reason == reason, found
    for part in parts:
        assert part in found.message


def test_every_rule_on_containers_is_the_first_to_refuse_something():
    asks = [attrs.evolve(SOUND, **(ONE | changes)) for changes, _, _ in HOLDING_UP.values()]
    assert {next(rule for rule in RULES["containers"] if rule(ask)) for ask in asks} == set(RULES["containers"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        chaos(max_nodes=0, max_share=0.0),
        {"protected": {"n1": "the operator and Prometheus"}},
        {"nodes": {"n1": node("n1")}},
        chaos(backend="litmus", kind="drain"),
    ],
    ids=["one node serves", "no node may fail", "what the node carries", "generators have no other", "another tool"],
)
def test_where_no_node_fails_no_rule_on_failing_nodes_applies(changes):
    ask = attrs.evolve(SOUND, **(ONE | changes))
    assert refusal(ask) is None
    assert possible(ask).names == ("n1",)


WATCHING = ONE | {"harm": "nothing"} | chaos(allowed=False, max_duration="1s", windows=(WINDOW,), nodes=("n9",))


def test_to_watch_takes_no_permission_to_break_anything():
    ask = attrs.evolve(SOUND, **WATCHING)
    assert refusal(ask) is None
    assert possible(attrs.evolve(ask, serving=on(3), nodes=nodes(node("n1", ready=False)))).names == ("n2", "n3")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"denied": "the operator may not create pods"}, "MissingRights"),
        ({"serving": {}}, "NoEndpoints"),
        ({"nodes": nodes(node("n1", ready=False))}, "ClusterUnhealthy"),
        ({"foreign_faults": ("shop/llm-7",)}, "AnotherFault"),
    ],
)
def test_to_watch_is_refused_where_nothing_would_be_seen(changes, reason):
    found = refusal(attrs.evolve(SOUND, **(WATCHING | changes)))
    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize(
    ("harm", "changes", "reason"),
    [
        ("nodes", {"serving": on(1)}, "NoEndpointsLeft"),
        ("nodes", {"nodes": nodes(node("n7", ready=False))}, "ClusterUnhealthy"),
        ("containers", {"nodes": nodes(node("n7", ready=False))}, "ClusterUnhealthy"),
        ("containers", {"serving": on(1)}, ""),
        ("nothing", {"nodes": nodes(node("n7", ready=False))}, ""),
    ],
)
def test_just_before_a_fault_only_what_may_have_changed_is_asked_again(harm, changes, reason):
    found = changed(attrs.evolve(SOUND, harm=harm, **changes), ["n1"])
    assert (found.reason if found is not None else "") == reason
