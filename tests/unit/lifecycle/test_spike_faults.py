"""A fault that holds containers up, or only watches: its node stays well, and its agent may be done before its time."""

from __future__ import annotations

import pytest
from lab import NOON, Lab, seconds

from perfrun.api.chaos import Chaos
from perfrun.lifecycle.faults import avoid, called_off
from perfrun.lifecycle.values import Hold, StartAgent, StopAgent

STARTS = NOON + seconds(18)
ENDS = STARTS + seconds(20)
ALLOWED = Chaos(allowed=True, max_nodes=0, max_share=0.0, kind="drain", backend="litmus")
"""Of failing nodes the target permits nothing, and has another tool do it."""


def spiking(*inject: str, chaos: Chaos = ALLOWED, **world) -> Lab:
    lab = Lab(inject=inject, chaos=chaos, **world)
    lab.begin()
    return lab


def settled(lab: Lab):
    return lambda: lab.stage.state in ("Done", "Lost") and lab.clean()


def looks(lab: Lab):
    """Look, and give the load up where the fault is called off."""

    def look():
        lab.look()
        if called_off(lab.fault) is not None:
            lab.load("Lost", reason=lab.fault.reason)

    return look


def test_an_agent_of_perfruns_own_holds_containers_up_whatever_the_targets_kind():
    lab = spiking("quota")
    assert (lab.fault.kind, lab.fault.backend, lab.fault.state) == ("spike", "native", "Intended")
    hold, start = lab.look().actions
    assert isinstance(hold, Hold)
    assert isinstance(start, StartAgent)
    assert (start.kind, start.node, start.attempt) == ("spike", lab.failing[0], 1)
    assert (start.starts_at, start.ends_at) == (STARTS, ENDS)
    assert avoid(lab.fault, lab.status.frozen.target) == ()


@pytest.mark.parametrize(
    ("inject", "chaos"), [(("quota", "drop"), ALLOWED), ((), Chaos())], ids=["made", "only watched"]
)
def test_nodes_stay_ready_and_are_proven_clean(inject, chaos):
    lab = spiking(*inject, chaos=chaos)
    lab.until(settled(lab))
    assert lab.ever_cut == set()
    assert (lab.fault.state, lab.fault.reason, lab.stage.state) == ("Undone", "", "Done")
    [node] = lab.fault.nodes
    assert (node.injected_at, node.undone_at, node.not_ready_at) == (STARTS, ENDS, None)
    assert node.proof == "nothing is there"
    assert any(isinstance(each, StartAgent) and each.kind == "undo" for each in lab.done)


def test_an_agent_that_is_done_before_its_time_cuts_nothing_short_and_is_not_waited_for():
    lab = spiking("quota")
    lab.fates[lab.failing[0]] = "Short"
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.state, lab.fault.reason, lab.stage.state) == ("Undone", "", "Done")
    assert lab.fault.nodes[0].undone_at < lab.fault.nodes[0].clean_at < ENDS


def test_an_agent_that_dies_leaves_no_proof_even_if_its_node_was_not_ready():
    lab = spiking("quota")
    lab.fates[lab.failing[0]] = "Killed"
    lab.until(lambda: lab.fault.state == "Injected")
    lab.ready(lab.failing[0], ready=False)
    lab.tick(0.5)
    lab.look()
    lab.ready(lab.failing[0], ready=True)
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Undone", "FaultNotProven")
    assert lab.fault.message == f"the agent on {lab.failing[0]} left no report of what it made and saw"
    assert lab.stage.state == "Done"


def test_an_agent_that_refuses_says_why_and_nothing_is_measured():
    lab = spiking("quota")
    lab.fates[lab.failing[0]] = "Refuse"
    lab.until(settled(lab), looks(lab))
    assert (lab.stage.state, lab.stage.reason, lab.fault.state) == ("Lost", "AgentRefused", "Refused")


def test_a_load_that_is_given_up_ends_the_agent_which_undoes_what_it_did():
    lab = spiking("quota")
    lab.until(lambda: lab.fault.state == "Injected")
    lab.load("Lost", reason="PodLost")
    lab.until(settled(lab))
    assert any(isinstance(each, StopAgent) for each in lab.done)
    assert (lab.fault.state, lab.fault.reason, lab.stage.reason) == ("Undone", "EndedEarly", "PodLost")


def test_an_unhealthy_cluster_spares_containers_but_may_be_watched():
    for inject, chaos, reason in ((("quota",), ALLOWED, "ClusterUnhealthy"), ((), Chaos(), "")):
        lab = spiking(*inject, chaos=chaos)
        other = next(name for name in lab.nodes if name not in lab.failing)
        lab.until(lambda lab=lab: lab.now >= STARTS - seconds(5))
        lab.ready(other, ready=False)
        lab.until(lambda lab=lab: lab.fault.reason or lab.fault.state == "Injected")
        assert lab.fault.reason == reason


def test_what_is_not_permitted_starts_nothing():
    lab = spiking("quota", chaos=Chaos())
    assert (lab.fault.state, lab.fault.reason, lab.fault.nodes) == ("Refused", "ChaosNotAllowed", ())
