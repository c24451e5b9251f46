"""Undoing never ends without proof, and ends as soon as there is one, whatever happens on the way."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab import NOON, Agent, Lab, seconds

from perfrun.api.chaos import Chaos
from perfrun.lifecycle.faults import advance_fault
from perfrun.lifecycle.undoing import NOTHING, undo
from perfrun.lifecycle.values import StartAgent, StopAgent, Uncordon
from perfrun.manifests.external import ExternalState
from perfrun_kernels.contract import FaultReport

STARTS = NOON + seconds(18)
ENDS = STARTS + seconds(20)
KINDS = [("isolate", "native"), ("freeze", "native"), ("drain", "native"), ("pod-kill", "native"),
         ("isolate", "chaos-mesh"), ("pod-kill", "chaos-mesh"), ("freeze", "litmus"), ("drain", "litmus")]  # fmt: skip


def loaded(count: int = 1, kind="isolate", backend="native") -> Lab:
    chaos = Chaos(allowed=True, max_nodes=4, max_share=0.9, kind=kind, backend=backend, service_account_name="litmus")
    lab = Lab(count=count, chaos=chaos)
    lab.begin()
    lab.look()
    return lab


def at(moment, **world) -> Lab:
    lab = loaded(**world)
    lab.until(lambda: lab.now >= moment)
    return lab


def restored(lab: Lab):
    """Undo until it is settled, and see that it is not before nothing is left."""
    found = []

    def look():
        found[:] = [lab.restore()]
        assert not found[0].settled or lab.clean(), found
        assert found[0].settled or (found[0].waits_for and found[0].look_at > lab.now)

    lab.until(lambda: found[0].settled, look, most=400)
    return lab.fault


@pytest.mark.parametrize(("kind", "backend"), KINDS)
@pytest.mark.parametrize("after", [0, 1, 9, 16, 17.5, 18, 18.5, 20, 37.5, 38, 40])
def test_a_fault_is_undone_from_every_moment_on(kind, backend, after):
    lab = at(NOON + seconds(after), count=2, kind=kind, backend=backend)
    fault = restored(lab)
    assert fault.settled
    if backend == "native" and after <= 16:
        assert fault.state == "Refused"
    if fault.state == "Refused":
        assert lab.ever_cut == set()
        assert fault.reason == "CalledOff"
        assert all(each.proof.startswith(NOTHING) for each in fault.nodes)
    else:
        # Less than a second before the start it cannot be told whether agents heard in time, so it counts as happened.
        assert after >= 17.5


def test_before_the_start_agents_are_stopped_and_no_node_is_touched():
    lab = at(NOON + seconds(10), count=2)
    fault = restored(lab)
    assert lab.now < STARTS
    assert lab.ever_cut == set()
    assert (fault.state, fault.reason) == ("Refused", "CalledOff")
    assert {each.name for each in lab.done if isinstance(each, StopAgent)} == {
        each.name for each in lab.done if isinstance(each, StartAgent)
    }


def test_a_fault_that_is_ended_early_says_so():
    lab = at(STARTS + seconds(3))
    fault = restored(lab)
    assert (fault.state, fault.reason) == ("Undone", "EndedEarly")
    assert "12:00:21 UTC" in fault.message


def test_nobody_cleans_up_behind_an_agent_that_is_still_at_work():
    lab = at(ENDS - seconds(0.5))
    lab.now = ENDS + seconds(5)
    assert not any(isinstance(each, StartAgent) for each in lab.restore().actions)
    lab.now = ENDS + seconds(61)
    actions = lab.restore().actions
    assert [type(each) for each in actions] == [StartAgent]
    assert actions[0].kind == "undo"


def test_the_report_of_an_agent_is_waited_for_while_its_node_is_away():
    lab = at(STARTS + seconds(3))
    (name,) = lab.failing
    lab.ready(name, ready=False)
    lab.until(lambda: lab.now >= ENDS)
    (agent,) = lab.agents.values()
    lab.agents[agent.order.name] = silent = attrs.evolve(
        agent, view=attrs.evolve(agent.view, pod=attrs.evolve(agent.view.pod, phase="Running"), report=None)
    )
    lab.now = ENDS + seconds(100)
    lab.look()
    assert silent.view.pod.deleting is False
    lab.agents[agent.order.name] = agent
    lab.ready(name, ready=True)
    lab.until(lambda: lab.stage.state == "Done")
    assert (lab.fault.reason, lab.fault.nodes[0].injected_at) == ("", STARTS)


def test_an_agent_that_refused_says_nothing_of_another_on_its_node():
    lab = at(STARTS - seconds(4))
    (name, agent), *_ = lab.agents.items()
    refused = FaultReport("f", agent.order.node, "isolate", "Refused", reason="Late", message="it was late")
    pod = attrs.evolve(agent.view.pod, phase="Succeeded")
    agent.view = attrs.evolve(agent.view, pod=pod, report=refused)
    lab.now = ENDS
    assert lab.restore().faults[0].nodes[0].proof.startswith(NOTHING)
    lab.status = lab.status.replace(faults=(lab.fault.replace(
        state="Intended", nodes=tuple(each.replace(clean_at=None, proof="") for each in lab.fault.nodes)
    ),))  # fmt: skip
    silent = attrs.evolve(agent.view, pod=attrs.evolve(pod, name=f"{name}-2"), report=None)
    lab.agents[f"{name}-2"] = Agent(agent.order, silent)
    assert lab.restore().faults[0].nodes[0].clean_at is None


def test_what_an_agent_could_not_clean_is_left_to_the_next_one():
    lab = at(STARTS + seconds(3))
    lab.undo_fates = ["Left", "Refused", "Left"]
    waits = set()

    def look():
        waits.add(lab.restore().waits_for)

    lab.until(lambda: lab.fault.settled, look)
    assert lab.fault.state == "Undone"
    undoing = [each for each in lab.done if isinstance(each, StartAgent) and each.kind == "undo"]
    assert len(undoing) >= 4
    assert any("TableLeft" in each for each in waits)
    restored(lab)


def test_an_undoing_agent_that_is_stuck_makes_way_for_another():
    lab = at(ENDS)
    lab.until(lambda: any(each.view.undo for each in lab.agents.values()), lab.restore)
    (stuck,) = [name for name, each in lab.agents.items() if each.view.undo]
    for _ in range(130):
        lab.now += seconds(1)
        lab.restore()
    assert StopAgent(stuck) in lab.done
    others = [each for each in lab.done if isinstance(each, StartAgent) and each.kind == "undo" and each.name != stuck]
    assert others
    restored(lab)


def test_a_node_that_stays_away_is_waited_for_without_end():
    lab = at(STARTS + seconds(3))
    (name,) = lab.failing
    lab.ready(name, ready=False)
    for _ in range(3600):
        undoing = lab.restore()
        assert not undoing.settled
        lab.tick(1)
    assert f"{name} to be Ready again" in undoing.waits_for
    assert undoing.look_at - lab.now <= seconds(5)
    assert not any(isinstance(each, StartAgent) and each.kind == "undo" for each in lab.done)
    lab.ready(name, ready=True)
    assert restored(lab).state == "Undone"


def test_a_node_that_is_gone_counts_as_undone_once_its_kernel_would_have_ended_it():
    lab = at(STARTS + seconds(3))
    lab.remove(lab.failing[0])
    fault = restored(lab)
    assert lab.now >= ENDS
    assert "no longer part of the cluster" in fault.nodes[0].proof


def test_seeing_no_node_at_all_proves_nothing():
    lab = at(ENDS)
    lab.agents.clear()
    lab.nodes.clear()
    lab.now = ENDS + seconds(100)
    for kind in ("isolate", "drain"):
        faults = (lab.fault.replace(kind=kind, nodes=tuple(
            each.replace(injected_at=STARTS, clean_at=None) for each in lab.fault.nodes
        )),)  # fmt: skip
        assert not undo(faults, lab.scene(), early=True).settled


def test_a_cordon_of_somebody_else_stays():
    lab = at(STARTS + seconds(3), kind="drain")
    (name,) = lab.failing
    lab.nodes[name] = attrs.evolve(lab.nodes[name], cordoned_by="")
    fault = restored(lab)
    assert lab.nodes[name].cordoned
    assert "somebody else" in fault.nodes[0].proof
    assert not any(isinstance(each, Uncordon) for each in lab.done)


def test_killed_pods_are_waited_for_only_so_long():
    lab = at(STARTS + seconds(3), kind="pod-kill")
    fault = restored(lab)
    assert STARTS + seconds(60) <= lab.now <= STARTS + seconds(62)
    assert "4 of 5 endpoints" in fault.nodes[0].proof


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"ready": False}, "Ready again"), ({"cordoned": True}, "to be uncordoned, which litmus drained")],
)
def test_what_another_tool_left_on_a_node_is_waited_for(changes, words):
    lab = at(STARTS, kind="drain", backend="litmus")
    lab.externals["s1-fault"] = ExternalState("Injected", "node-drain is running")
    lab.look()
    (name,) = lab.failing
    lab.nodes[name] = attrs.evolve(lab.nodes[name], **changes)
    for _ in range(100):
        undoing = lab.restore()
        assert not undoing.settled
        lab.tick(1)
    assert words in undoing.waits_for
    lab.nodes[name] = attrs.evolve(lab.nodes[name], ready=True, cordoned=False)
    assert restored(lab).state == "Undone"


@pytest.mark.parametrize(("kind", "backend"), KINDS)
def test_the_same_look_decides_the_same_and_repeats_what_is_not_seen(kind, backend):
    lab = loaded(2, kind, backend)
    lab.works = lambda _action: False
    for after in range(0, 45, 3):
        lab.now = NOON + seconds(after)
        stage = next(each for each in lab.status.frozen.plan.stages if each.kind == "fault")
        first, second = advance_fault(stage, lab.scene()), advance_fault(stage, lab.scene())
        assert first == second
        ending = undo(lab.status.faults, lab.scene(), early=True)
        assert ending == undo(lab.status.faults, lab.scene(), early=True)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_happens_nothing_is_settled_before_it_is_proven(data):
    kind, backend = data.draw(st.sampled_from(KINDS))
    lab = loaded(data.draw(st.integers(1, 3)), kind, backend)
    fates = st.sampled_from(["", "Slow", "Refuse", "Crash", "Killed", "Short", "ImagePullBackOff"])
    lab.fates = {name: data.draw(fates) for name in lab.failing}
    lab.undo_fates = data.draw(st.lists(st.sampled_from(["Left", "Refused", "Clean"]), max_size=4))
    failing = data.draw(st.floats(0, 0.9))
    random = data.draw(st.randoms(use_true_random=False))
    lab.works = lambda _action: random.random() >= failing
    ends_at = data.draw(st.integers(0, 100))
    happenings = data.draw(st.lists(st.tuples(st.integers(0, 160), st.sampled_from(
        ["away", "vanish", "remove", "notice", "tool"])), max_size=5))  # fmt: skip
    ending = False
    for turn in range(160):
        for _, what in (each for each in happenings if each[0] == turn):
            happen(lab, what, random)
        ending = ending or turn >= ends_at or lab.stage.state in ("Done", "Lost")
        if ending:
            undoing = lab.restore()
            assert not undoing.settled or lab.clean(), undoing
        else:
            lab.look()
            assert lab.stage.state not in ("Done", "Lost") or lab.clean()
        lab.tick(0.5)
    # Once all works again, it comes to an end.
    lab.works = lambda _action: True
    lab.undo_fates = []
    for name in lab.nodes:
        lab.ready(name, ready=True)
    fault = restored(lab)
    assert fault.state != "Refused" or not lab.ever_cut


def happen(lab: Lab, what: str, random) -> None:
    name = random.choice(lab.failing)
    if what == "away":
        lab.pass_time(lab.now + seconds(random.choice([1, 3, 10, 30])))
    elif what == "vanish" and lab.now >= STARTS:
        lab.vanish()
    elif what == "remove" and len(lab.nodes) > 3:
        lab.remove(name)
    elif what == "notice" and name in lab.nodes:
        lab.ready(name, ready=random.random() < 0.5)
    elif what == "tool" and lab.externals:
        phase = random.choice(["Injected", "Recovered", "Failed", "Pending"])
        lab.externals = dict.fromkeys(lab.externals, ExternalState(phase, "as it says"))
