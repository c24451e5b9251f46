"""A fault in one line: who, what, when, how soon it was noticed, and whether it is proven undone."""

from __future__ import annotations

import datetime as dt

import pytest

from perfrun.api.faults import FaultStatus, NodeFault, Scaling
from perfrun.lifecycle.telling import fault_line, scaling_line

START = dt.datetime(2026, 11, 25, 18, 40, 2, tzinfo=dt.UTC)


def at(seconds):
    return START + dt.timedelta(seconds=seconds)


def fault(*nodes, state="Injected", kind="isolate", backend="native", **more):
    return FaultStatus(
        id="s1-fault", kind=kind, backend=backend, seed=1, nodes=nodes, state=state, starts_at=START, ends_at=at(46),
        **more,
    )  # fmt: skip


def node(name, injected=None, noticed=None, undone=None, clean=None):
    times = {"injected_at": injected, "not_ready_at": noticed, "undone_at": undone, "clean_at": clean}
    return NodeFault(node=name, **{key: at(value) for key, value in times.items() if value is not None})


DONE = node("node-3", 0, 4.1, 46, 50)
GONE = node("node-3", 0, None, 46, 50)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (
            fault(DONE, node("node-7", 0, 4.12, 45, 50), state="Undone"),
            "2 nodes (node-3, node-7) isolated 18:40:02–18:40:48 UTC, NotReady after 4.1 s, proven undone",
        ),
        (
            fault(DONE, node("node-7", 0, 6.0, 45, 50), state="Undone", kind="freeze"),
            "2 nodes (node-3, node-7) frozen 18:40:02–18:40:48 UTC, NotReady after 4.1 to 6.0 s, proven undone",
        ),
        (
            fault(node("a"), node("b"), state="Intended", kind="drain"),
            "2 nodes (a, b) to be drained 18:40:02–18:40:48 UTC",
        ),
        (
            fault(node("a"), state="Intended", kind="spike"),
            "1 node (a) to be watched for latency spikes 18:40:02–18:40:48 UTC",
        ),
        (
            fault(GONE, state="Undone", kind="spike"),
            "1 node (node-3) watched for latency spikes 18:40:02–18:40:48 UTC, proven undone",
        ),
        (
            fault(node("a", 0)),
            "1 node (a) isolated since 18:40:02, until 18:40:48 UTC at the latest",
        ),
        (
            fault(node("a", 0, None, 46)),
            "1 node (a) isolated 18:40:02–18:40:48 UTC, not proven undone yet",
        ),
        (
            fault(node("a", 0, 4.1, 46, 50), node("b", 0, None, 46)),
            "2 nodes (a, b) isolated 18:40:02–18:40:48 UTC, 1 of them NotReady after 4.1 s, proven undone but for b",
        ),
        (
            fault(GONE, kind="pod-kill", backend="chaos-mesh", state="Undone", message="two tries"),
            "1 node (node-3) hit by a pod kill by Chaos Mesh 18:40:02–18:40:48 UTC, proven undone (two tries)",
        ),
        (
            fault(node("a"), state="Refused", reason="AgentLate", message="the agent on a was late"),
            "called off before anything happened: the agent on a was late",
        ),
        (
            fault(*(node(name) for name in "abcdef"), state="Intended"),
            "6 nodes (a, b, c, d and 2 more) to be isolated 18:40:02–18:40:48 UTC",
        ),
    ],
)
def test_a_fault_in_one_line(status, line):
    assert fault_line(status) == line


@pytest.mark.parametrize(
    ("restored", "line"),
    [
        (True, "Deployment shop/web has its 3 replicas again"),
        (False, "Deployment shop/web has 5 replicas for the run, and is yet to have its 3 again"),
    ],
)
def test_a_scaling_in_one_line(restored, line):
    scaling = Scaling(kind="Deployment", namespace="shop", name="web", before=3, now=5, restored=restored)
    assert scaling_line(scaling) == line
