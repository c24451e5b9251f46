"""What a scenario about the container network would run: two loads, the pods beside the second, and the claims."""

from __future__ import annotations

import itertools

import pytest
from paths import PLAN, STAGES, TARGET, TEXT, made

from perfrun.api.network import Network, Peak
from perfrun.api.service import Load, Service
from perfrun.capabilities.base import PlanError
from perfrun.cli.plan import _told
from perfrun.language.read import FeatureErrors
from perfrun.measuring.percentiles import samples_needed
from perfrun.planning.compile import plan
from perfrun.planning.cost import cost

ONLY = "Feature: f\n  Scenario: s\n    When processing inference requests at peak load\n    Then {claim}\n"


def tuned(**network):
    return TARGET.replace(network=Network(**network))


def only(claim, target=TARGET):
    return {stage.id: stage for stage in plan(ONLY.format(claim=claim), target).stages}


def test_a_ladder_finds_the_rate_that_the_second_load_holds() -> None:
    peak, load = STAGES["s1-peak"], STAGES["s1-load"]
    rates = [each["rate"] for each in peak.parameters["schedule"]]
    assert rates == [500, 750, 1125, 1687.5, 2531.25, 3796.875, 5695.312, 8542.969]
    assert load.rate_of == peak.id
    assert load.parameters["schedule"] == [{"seconds": 5.0, "rate": 1.0}, {"seconds": 75.0, "rate": 1.0}]
    assert not peak.parameters["probe"]
    assert not load.parameters["probe"]
    assert peak.parameters["peak_latency_seconds"] == 0.05


def test_a_peak_that_the_target_states_is_not_looked_for() -> None:
    stated = made(tuned(peak=Peak(rate=3000)))
    load = stated.stages[0]
    assert [stage.id for stage in stated.stages] == [stage.id for stage in PLAN.stages if stage.id != "s1-peak"]
    assert (load.id, load.rate_of) == ("s1-load", "")
    assert load.parameters["schedule"] == [{"seconds": 5.0, "rate": 3000.0}, {"seconds": 75.0, "rate": 3000.0}]
    assert not load.parameters["probe"]
    assert cost(stated).requests == 80 * 3000


def test_pods_are_placed_so_that_each_path_is_what_it_is_named_for() -> None:
    pods = [stage for stage in PLAN.stages if stage.kind == "pod"]
    assert [(p.id, p.parameters["role"], p.peer, p.beside, p.apart, p.host_network) for p in pods] == [
        ("s1-server", "server", "", "", "", False),
        ("s1-other", "client", "s1-server", "", "s1-server", False),
        ("s1-same", "client", "s1-server", "s1-server", "", False),
        ("s1-hostserver", "server", "", "s1-server", "", True),
        ("s1-host", "client", "s1-hostserver", "s1-other", "", True),
    ]
    assert {(p.alongside, p.offset, p.program) for p in pods} == {("s1-load", 5.0, "network")}


def test_only_one_path_is_measured_at_a_time_and_there_is_room_between() -> None:
    slots = []
    for name in ("s1-other", "s1-same", "s1-host"):
        asked = STAGES[name].parameters
        slots.append((asked["packets"]["at"], asked["packets"]["seconds"] + 2))
        slots += [(each["at"], each["seconds"] + 1) for each in asked["slices"]]
    slots.sort()
    assert slots[0][0] == 1
    assert all(at + lasts <= after for (at, lasts), (after, _) in itertools.pairwise(slots))
    last = sum(slots[-1])
    assert STAGES["s1-server"].parameters["seconds"] == last + 3
    assert STAGES["s1-load"].seconds == 5 + last + 2


def test_paths_take_turns_for_throughput() -> None:
    turns = sorted(
        (each["at"], name) for name in ("s1-other", "s1-same", "s1-host") for each in STAGES[name].parameters["slices"]
    )
    assert [name for _, name in turns] == ["s1-other", "s1-same", "s1-host"] * 5


@pytest.mark.parametrize(("loss", "rate", "seconds"), [("0.01%", 5000, 17), ("0.1%", 5000, 2), ("0.01%", 20_000, 5)])
def test_as_many_packets_are_sent_as_the_claim_needs_even_where_two_get_lost(
    loss: str, rate: float, seconds: float
) -> None:
    other = {stage.id: stage for stage in made(tuned(packet_rate=rate), loss=loss).stages}["s1-other"]
    sent = other.parameters["packets"]
    assert sent["seconds"] == seconds
    assert sent["seconds"] * sent["rate"] >= samples_needed(1 - float(loss[:-1]) / 100, 0.99, over=2)


def test_what_is_not_claimed_is_not_measured_for_long() -> None:
    latency = only("kernel-level network latency should be below 1ms")
    assert latency["s1-other"].parameters["slices"] == []
    assert latency["s1-other"].parameters["packets"]["seconds"] == 2
    assert latency["s1-load"].seconds == 5 + 1 + 3 * 4 + 2


def test_claims_are_on_the_path_to_another_node() -> None:
    claims = [step.claim for step in PLAN.scenarios[0].steps if step.claim is not None]
    assert [(each.subject, each.comparator, each.limit, each.unit) for each in claims] == [
        ("network.kernel_latency", "<", 1, "ms"),
        ("network.packet_loss", "<", 0.01, "%"),
        ("network.throughput", ">", 10, "Gbit/s"),
    ]
    assert {each.stage for each in claims} == {"s1-other"}
    assert claims[0].parameters["quantile"] == 0.99
    assert claims[0].parameters["paths"] == {
        "other node": "s1-other", "same node": "s1-same", "host network": "s1-host",
    }  # fmt: skip


def test_the_nodes_own_network_may_be_left_out() -> None:
    bare = made(tuned(host_network=False))
    assert [stage.id for stage in bare.stages] == ["s1-peak", "s1-load", "s1-server", "s1-other", "s1-same"]


@pytest.mark.parametrize(
    ("target", "loss", "said"),
    [
        (TARGET.replace(service=None), "1%", r"add spec\.service\.name to the PerfTarget"),
        (TARGET, "0.00001%", r"needs 10000000 packets, and 1000000 in 600 s are the most"),
        (tuned(packet_rate=10), "0.01%", r"correct network\.packetRate of the PerfTarget \(10/s\)"),
        (tuned(slice="1500ms"), "1%", r"network\.slice of the PerfTarget is 1500ms; expected whole seconds"),
    ],
    ids=["no service", "next to none", "too slow", "half a second"],
)
def test_what_cannot_be_planned_is_a_sentence(target, loss: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        made(target, loss=loss)


def test_no_number_of_packets_proves_that_none_is_lost() -> None:
    with pytest.raises(PlanError, match="limits the loss of packets to 0, which no number of packets proves"):
        only("packet loss rate should be at most 0%")


def test_a_scenario_without_its_load_is_told_what_it_lacks() -> None:
    text = TEXT.replace("    When processing inference requests at peak load\n", "")
    with pytest.raises(FeatureErrors, match="When processing inference requests at peak load"):
        plan(text.format(latency="1ms", loss="1%", throughput="1Gbps"), TARGET)


def test_the_target_tunes_what_is_sent() -> None:
    target = TARGET.replace(
        service=Service(name="served"), load=Load(size="large", shards=3),
        network=Network(peak=Peak(first=10, steps=2), packet_bytes=1400, streams=8, rounds=2, slice="3s", port=6000),
    )  # fmt: skip
    stages = {stage.id: stage for stage in made(target).stages}
    other = stages["s1-other"].parameters
    assert (stages["s1-peak"].shards, stages["s1-load"].shards) == (3, 3)
    assert (other["port"], other["streams"], other["packets"]["bytes"]) == (6000, 8, 1400)
    assert [each["seconds"] for each in other["slices"]] == [3, 3]
    assert stages["s1-hostserver"].parameters["port"] == 6000


def test_the_cost_counts_all_pods_and_the_most_requests_and_pods_beside_a_load_take_no_time() -> None:
    price = cost(PLAN)
    assert (price.pods, price.pods_at_most) == (7, 14)
    assert price.seconds == 8 + 16 + 8 + 80
    highest = STAGES["s1-peak"].parameters["schedule"][-1]["rate"]
    climbed = sum(2 * each["rate"] for each in STAGES["s1-peak"].parameters["schedule"])
    assert price.requests == pytest.approx(climbed + 80 * highest)


def test_people_are_told_where_rates_and_pods_come_from() -> None:
    told = {name: _told(stage) for name, stage in STAGES.items()}
    assert told["s1-peak"].endswith("from 500/s to 8543/s in 8 steps of 2 s")
    assert told["s1-load"].endswith("the rate that s1-peak finds for 80 s")
    assert told["s1-other"] == "pod network client on a node other than that of s1-server, along with s1-load"
    assert told["s1-host"] == "pod network client on the node of s1-other, in its network, along with s1-load"
