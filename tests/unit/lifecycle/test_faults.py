"""A fault from the intent to the proof, and through every misfortune."""

from __future__ import annotations

import attrs
import pytest
from lab import NOON, Lab, fault_stage, seconds

from perfrun.api.chaos import Chaos
from perfrun.lifecycle.choosing import choose, seed_of
from perfrun.lifecycle.faults import advance_fault, avoid, called_off, may_retry, patience
from perfrun.lifecycle.values import Cordon, Hold, KillPods, StartAgent, StartExternal, StopAgent, Uncordon
from perfrun.manifests.external import ExternalState

STARTS = NOON + seconds(18)
ENDS = STARTS + seconds(20)


def settled(lab: Lab):
    return lambda: lab.stage.state in ("Done", "Lost") and lab.clean()


def loaded(count: int = 1, kind="isolate", backend="native", **world) -> Lab:
    chaos = Chaos(allowed=True, max_nodes=4, max_share=0.9, kind=kind, backend=backend, service_account_name="litmus")
    lab = Lab(count=count, chaos=chaos, **world)
    lab.begin()
    return lab


def give_up_on(lab: Lab) -> None:
    """Do with the load what its own decision does when the fault is called off."""
    if called_off(lab.fault) is not None:
        lab.load("Lost", reason=lab.fault.reason)


def looks(lab: Lab):
    """Look, and give the load up where the fault is called off."""

    def look():
        lab.look()
        give_up_on(lab)

    return look


def test_nodes_are_chosen_by_the_seed_of_the_run_and_written_down():
    fault = Lab(count=2).begin()
    assert (fault.state, fault.id, fault.starts_at, fault.ends_at) == ("Intended", "s1-fault", STARTS, ENDS)
    assert fault.seed == seed_of("uid-1", "s1-fault")
    assert tuple(each.node for each in fault.nodes) == choose([f"n{i}" for i in range(1, 6)], 2, fault.seed)
    again = Lab(count=2, chaos=Chaos(allowed=True, max_nodes=4, max_share=0.9, seed=7)).begin()
    assert again.seed == 7


def test_a_refused_fault_starts_nothing_and_is_over_at_once():
    lab = Lab(chaos=Chaos())
    fault = lab.begin()
    assert (fault.state, fault.reason, fault.nodes) == ("Refused", "ChaosNotAllowed", ())
    assert patience(fault, lab.scene().target) == seconds(0)
    lab.load("Lost", reason=fault.reason)
    assert lab.look().actions == ()
    assert (lab.stage.state, lab.stage.reason) == ("Lost", "ChaosNotAllowed")


def test_what_may_pass_is_waited_for():
    lab = Lab(foreign=("shop/other",))
    assert patience(lab.begin(), lab.scene().target) > seconds(60)


def test_unhealthy_nodes_are_waited_for_as_long_as_the_target_grants():
    lab = Lab(count=4, chaos=Chaos(allowed=True, max_nodes=4, max_share=0.9, patience="7s"))
    fault = lab.begin().replace(reason="ClusterUnhealthy")
    assert patience(fault, lab.scene().target) == seconds(7)


def test_the_run_is_held_before_agents_start_and_generators_keep_off():
    lab = loaded(2)
    first = lab.look()
    assert isinstance(first.actions[0], Hold)
    assert [each.node for each in first.actions[1:]] == lab.failing
    assert (lab.stage.state, lab.stage.attempt) == ("Starting", 1)
    target = lab.status.frozen.target
    assert avoid(lab.fault, target) == tuple(lab.failing)
    assert avoid(lab.fault, target.replace(chaos=target.chaos.replace(spare=()))) == ()
    assert avoid(None, target) == ()


@pytest.mark.parametrize("kind", ["isolate", "freeze"])
def test_agents_fail_their_nodes_together_and_others_prove_them_clean(kind):
    lab = loaded(2, kind)
    lab.until(lambda: lab.cut)
    assert (lab.now, lab.cut) == (STARTS, set(lab.failing))
    lab.look()
    assert (lab.fault.state, lab.stage.state) == ("Injected", "Running")
    lab.ready(lab.failing[0], ready=False)
    lab.tick(0.5)
    noticed = lab.now
    lab.until(lambda: lab.now > ENDS)
    assert not any(each.clean_at for each in lab.fault.nodes if each.node == lab.failing[0])
    lab.ready(lab.failing[0], ready=True)
    lab.until(settled(lab))
    assert (lab.stage.state, lab.fault.state, lab.fault.reason) == ("Done", "Undone", "")
    assert (lab.stage.started_at, lab.stage.finished_at) == (STARTS, ENDS)
    for each in lab.fault.nodes:
        assert (each.injected_at, each.undone_at) == (STARTS, ENDS)
        assert each.clean_at > ENDS
        assert each.proof == "nothing is there"
    assert [each.not_ready_at for each in lab.fault.nodes] == [noticed, None]
    undone = [each.node for each in lab.done if isinstance(each, StartAgent) and each.kind == "undo"]
    assert set(undone) == set(lab.failing)


def test_looks_are_close_while_nodes_fail_and_never_missing():
    lab = loaded()
    while lab.stage.state not in ("Done", "Lost"):
        progress = lab.look()
        if lab.stage.state in ("Done", "Lost"):
            break
        assert progress.look_at is not None
        ahead = progress.look_at - lab.now
        assert seconds(0) <= ahead <= (seconds(0.5) if lab.fault.state == "Injected" and lab.now < ENDS else seconds(1))
        lab.tick(0.5)


BEFORE = {
    "slow": ("Slow", "AgentLate", "load.lead", True),
    "no image": ("ImagePullBackOff", "AgentNotStarted", "ImagePullBackOff", False),
    "refused by the API server": ("Refused", "AgentNotStarted", "because of Refused", False),
    "crashed": ("Crash", "AgentNotStarted", "it broke", False),
}


@pytest.mark.parametrize("case", BEFORE)
def test_one_agent_that_is_not_ready_calls_the_fault_off_on_every_node(case):
    fate, reason, words, again = BEFORE[case]
    lab = loaded(2)
    lab.fates[lab.failing[1]] = fate
    lab.until(lambda: lab.fault.reason)
    wrong = called_off(lab.fault)
    assert (wrong.reason, wrong.again) == (reason, again)
    assert words in wrong.message
    assert lab.failing[1] in wrong.message
    lab.load("Lost", reason=reason)
    lab.until(settled(lab))
    assert lab.ever_cut == set()
    assert (lab.fault.state, lab.stage.state, lab.stage.reason) == ("Refused", "Lost", reason)
    assert may_retry(lab.fault)


def test_a_load_that_is_tried_again_has_its_fault_called_off_and_intended_anew_on_the_same_nodes():
    lab = loaded(2)
    lab.until(lambda: lab.now >= NOON + seconds(9))
    lab.load("Waiting", reason="LateStart")
    lab.until(lambda: lab.stage.state == "Waiting")
    assert (lab.fault.state, lab.fault.reason, lab.clean()) == ("Refused", "CalledOff", True)
    assert may_retry(lab.fault)
    assert called_off(lab.fault) is None
    before = lab.failing
    lab.begin()
    assert lab.failing == before
    lab.until(lambda: lab.stage.state == "Done")
    assert (lab.stage.attempt, lab.fault.state, lab.fault.reason) == (2, "Undone", "")
    names = [each.name for each in lab.done if isinstance(each, StartAgent) and each.kind != "undo"]
    assert len(set(names)) == 4


def test_a_fault_waits_to_be_over_until_its_load_is_given_up():
    lab = loaded()
    lab.fates[lab.failing[0]] = "Slow"
    lab.until(lambda: lab.fault.state == "Refused")
    assert lab.stage.state == "Starting"
    lab.load("Waiting")
    lab.look()
    assert lab.stage.state == "Waiting"


def test_an_agent_that_refuses_when_others_began_ends_the_fault_early():
    lab = loaded(2)
    first, second = lab.failing
    lab.fates[second] = "Refuse"
    lab.until(lambda: lab.cut, looks(lab))
    lab.until(settled(lab), looks(lab))
    assert lab.ever_cut == {first}
    assert (lab.fault.state, lab.fault.reason) == ("Undone", "AgentRefused")
    assert "NftRefused" in lab.fault.message
    assert not may_retry(lab.fault)
    assert not called_off(lab.fault).again
    assert (lab.stage.state, lab.stage.reason) == ("Lost", "AgentRefused")
    assert any(isinstance(each, StopAgent) for each in lab.done)


def test_a_fault_that_ends_long_before_its_end_is_no_evidence():
    lab = loaded()
    lab.fates[lab.failing[0]] = "Short"
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Undone", "FaultCutShort")
    assert lab.failing[0] in lab.fault.message


def test_a_cluster_that_becomes_unhealthy_before_the_start_is_spared():
    lab = loaded()
    other = next(name for name in lab.nodes if name not in lab.failing)
    lab.until(lambda: lab.now >= STARTS - seconds(5))
    lab.ready(other, ready=False)
    lab.until(lambda: lab.fault.reason)
    assert lab.fault.reason == "ClusterUnhealthy"
    assert other in lab.fault.message
    lab.load("Lost")
    lab.until(settled(lab))
    assert (lab.ever_cut, lab.fault.state) == (set(), "Refused")


@pytest.mark.parametrize(("other", "reason"), [("a/run", "AnotherFault"), ("shop/zebra", ""), ("team/a", "")])
def test_of_two_faults_that_were_intended_at_once_one_goes_on(other, reason):
    lab = loaded()
    lab.look()
    lab.foreign = (other,)
    lab.until(lambda: lab.now >= STARTS + seconds(1), looks(lab))
    assert lab.fault.reason == reason
    assert bool(lab.ever_cut) == (reason == "")


def test_endpoints_that_gathered_on_the_failing_node_before_the_start_are_spared():
    lab = loaded()
    lab.until(lambda: lab.now >= STARTS - seconds(5))
    lab.pods = {"web-1": lab.failing[0]}
    lab.until(lambda: lab.fault.reason)
    assert lab.fault.reason == "NoEndpointsLeft"


@pytest.mark.parametrize("away", [(0, 60), (5, 25), (17, 19), (20, 70), (30, 31)])
def test_an_operator_that_was_away_finds_out_what_became_of_the_fault(away):
    lab = loaded(2)
    gone, back = (NOON + seconds(each) for each in away)
    lab.look()
    lab.until(lambda: lab.now >= gone)
    lab.pass_time(back)
    lab.until(settled(lab))
    assert (lab.fault.state, lab.fault.reason, lab.stage.state) == ("Undone", "", "Done")
    assert all(each.injected_at == STARTS for each in lab.fault.nodes)


def test_an_operator_that_finds_no_report_does_not_claim_the_fault():
    lab = loaded()
    lab.until(lambda: lab.now >= STARTS - seconds(1))
    lab.pass_time(ENDS + seconds(5))
    lab.agents.clear()
    lab.until(settled(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Undone", "FaultNotProven")
    assert lab.failing[0] in lab.fault.message
    assert called_off(lab.fault) is None


@pytest.mark.parametrize("noticed", [True, False])
def test_an_agent_that_was_killed_leaves_what_was_seen(noticed):
    lab = loaded()
    lab.fates[lab.failing[0]] = "Killed"
    lab.until(lambda: lab.now >= STARTS + seconds(3))
    lab.ready(lab.failing[0], ready=not noticed)
    lab.until(lambda: lab.now >= ENDS)
    lab.ready(lab.failing[0], ready=True)
    lab.until(settled(lab))
    (node,) = lab.fault.nodes
    assert lab.fault.reason == ("" if noticed else "FaultNotProven")
    assert node.injected_at == (STARTS if noticed else None)
    assert "report" in lab.fault.message


def test_draining_is_repeated_until_nothing_serves_there_and_taken_back():
    lab = loaded(2, "drain")
    lab.until(lambda: lab.now >= STARTS + seconds(1))
    assert (lab.fault.state, lab.stage.state) == ("Injected", "Running")
    assert all(each.injected_at == STARTS for each in lab.fault.nodes)
    assert all(lab.nodes[name].cordoned_by for name in lab.failing)
    quiet = len(lab.done)
    lab.look()
    assert lab.done[quiet:] == []
    lab.pods["web-9"] = lab.failing[0]
    lab.look()
    assert Cordon(lab.failing[0]) in lab.done[quiet:]
    lab.until(settled(lab))
    assert (lab.fault.state, lab.fault.reason, lab.stage.state) == ("Undone", "", "Done")
    assert all(ENDS <= each.undone_at <= each.clean_at for each in lab.fault.nodes)
    assert {each.node for each in lab.done if isinstance(each, Uncordon)} == set(lab.failing)


def test_a_node_that_somebody_cordoned_meanwhile_is_not_drained_and_stays_cordoned():
    lab = loaded(1, "drain")
    lab.until(lambda: lab.now >= STARTS - seconds(0.5))
    lab.tick(0.5)
    (name,) = lab.failing
    lab.nodes[name] = attrs.evolve(lab.nodes[name], cordoned=True)
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Refused", "ClusterUnhealthy")
    assert lab.nodes[name].cordoned
    assert not any(isinstance(each, (Cordon, Uncordon)) for each in lab.done)


def test_only_the_pods_that_served_when_the_load_began_are_killed():
    lab = loaded(1, "pod-kill")
    lab.until(lambda: any(isinstance(each, KillPods) for each in lab.done))
    (kill,) = [each for each in lab.done if isinstance(each, KillPods)]
    assert kill.pods == (f"web-{lab.failing[0][1:]}",)
    assert kill.before == STARTS
    lab.look()
    lab.pods["web-9"] = "n1"
    lab.until(settled(lab))
    (node,) = lab.fault.nodes
    assert (lab.fault.state, lab.fault.reason, lab.stage.state) == ("Undone", "", "Done")
    assert (node.injected_at, node.undone_at) == (STARTS, STARTS)
    assert "5 of 5" in node.proof
    assert len([each for each in lab.done if isinstance(each, KillPods)]) == 1


@pytest.mark.parametrize("kind", ["drain", "pod-kill"])
def test_an_act_that_comes_too_late_is_not_done(kind):
    lab = loaded(1, kind)
    lab.look()
    lab.pass_time(STARTS + seconds(4))
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Refused", "FaultLate")
    assert not any(isinstance(each, (Cordon, KillPods)) for each in lab.done)


@pytest.mark.parametrize("kind", ["drain", "pod-kill"])
def test_an_act_that_nobody_saw_done_has_no_beginning(kind):
    lab = loaded(1, kind)
    lab.until(lambda: any(isinstance(each, (Cordon, KillPods)) for each in lab.done))
    lab.pass_time(STARTS + seconds(10))
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Undone", "FaultLate")
    assert not may_retry(lab.fault)


def external(lab: Lab, phase, message=""):
    lab.externals["s1-fault"] = ExternalState(phase, message)


@pytest.mark.parametrize(
    ("kind", "backend"), [("isolate", "chaos-mesh"), ("pod-kill", "chaos-mesh"), ("freeze", "litmus")]
)
def test_another_tool_is_asked_on_time_and_its_objects_are_removed(kind, backend):
    lab = loaded(1, kind, backend)
    lab.until(lambda: any(isinstance(each, StartExternal) for each in lab.done))
    assert STARTS - seconds(1) <= lab.now <= STARTS
    lab.tick(0.5)
    lab.until(lambda: lab.now >= STARTS + seconds(2))
    external(lab, "Injected")
    last = lab.now
    lab.tick(0.5)
    lab.look()
    (node,) = lab.fault.nodes
    assert (lab.fault.state, node.injected_at) == ("Injected", last)
    lab.until(settled(lab))
    (node,) = lab.fault.nodes
    assert (lab.fault.state, lab.fault.reason, lab.stage.state) == ("Undone", "", "Done")
    assert node.undone_at == last if kind == "pod-kill" else node.undone_at >= ENDS
    assert "objects are gone" in node.proof


def test_when_another_tool_began_is_not_known_where_nobody_looked():
    lab = loaded(1, "isolate", "chaos-mesh")
    lab.until(lambda: lab.externals)
    external(lab, "Injected")
    lab.pass_time(STARTS + seconds(9))
    lab.until(settled(lab))
    assert (lab.fault.state, lab.fault.reason) == ("Undone", "FaultNotProven")


@pytest.mark.parametrize(("phase", "reason"), [("Failed", "ExternalFailed"), ("Pending", "FaultLate")])
def test_a_tool_that_does_not_begin_costs_the_load_but_leaves_nothing(phase, reason):
    lab = loaded(1, "isolate", "chaos-mesh")
    lab.until(lambda: lab.externals)
    external(lab, phase, "is its controller running?")
    stage = fault_stage()
    assert advance_fault(stage, lab.scene()) == advance_fault(stage, lab.scene())
    lab.until(settled(lab), looks(lab))
    assert (lab.fault.reason, lab.stage.state) == (reason, "Lost")
    assert "is its controller running?" in lab.fault.message
    assert lab.fault.settled
    assert lab.now < STARTS + seconds(15)
