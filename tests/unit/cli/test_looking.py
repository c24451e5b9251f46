"""A look at a cluster finds everything that tells of a fault, and says what it was not let look at."""

from __future__ import annotations

import attrs
import pytest

from perfrun.adapters.api import METADATA_ONLY, NotFound, Refused
from perfrun.api.faults import FINALIZER
from perfrun.cli.looking import look
from perfrun.manifests import labels
from perfrun.ports import Unavailable

RUNS = "/apis/perfrun.dev/v1alpha1/perfruns"
NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
CHAOS = "/apis/chaos-mesh.org/v1alpha1/networkchaos"


def run(name, uid, finalizers=(), **status):
    metadata = {"name": name, "namespace": "shop", "uid": uid, "finalizers": list(finalizers)}
    return {"kind": "PerfRun", "metadata": metadata, "spec": {"targetRef": "t"}, "status": status}


def marked(uid):
    return {"metadata": {"name": "a", "annotations": {labels.CORDONED_BY: uid}}, "spec": {"unschedulable": True}}


def agent(uid):
    marks = {labels.RUN_UID: uid, labels.FAULT_KIND: "isolate"}
    return {
        "metadata": {"name": "x", "namespace": "c", "labels": marks},
        "spec": {"nodeName": "a", "containers": []},
        "status": {"phase": "Running"},
    }


def experiment(uid):
    return {"kind": "NetworkChaos", "metadata": {"name": "n", "namespace": "shop", "labels": {labels.RUN_UID: uid}}}


@attrs.define
class Server:
    """Lists what it has, by path; a path that it does not have is no kind that it knows."""

    lists: dict
    asked: list = attrs.field(factory=list)

    async def pages(self, path, selector="", accept="", fields=""):
        self.asked.append((path, selector, accept))
        found = self.lists.get(path)
        if found is None:
            raise NotFound(path)
        if isinstance(found, Exception):
            raise found
        for each in found:
            yield each

    async def get(self, path, *_more):
        name = path.rpartition("/")[2]
        return next(each for each in self.lists[RUNS] if each["metadata"]["name"] == name)


async def test_an_empty_cluster_even_without_our_kinds_has_nothing_left():
    found = await look(Server({NODES: [], PODS: []}))
    assert (found.rows, found.unseen) == ((), ())


async def test_only_runs_that_matter_are_read_in_full():
    runs = [run("held", "u1", [FINALIZER], phase="Restoring"), run("told", "u2", phase="Passed"), run("other", "u3")]
    server = Server({NODES: [marked("u2")], PODS: [agent("u4")], RUNS: runs, CHAOS: [experiment("u1")]})
    found = await look(server)
    assert [(row.run, row.state) for row in found.rows] == [
        ("shop/held", "Restoring"),
        ("shop/told", "Passed"),
        ("u4", "RunGone"),
    ]
    assert (RUNS, "", METADATA_ONLY) in server.asked
    assert (PODS, f"{labels.COMPONENT}=fault-agent,{labels.MANAGED_BY}=perfrun", "") in server.asked


@pytest.mark.parametrize("path", [NODES, PODS, RUNS, CHAOS])
async def test_what_may_not_be_listed_is_said(path):
    server = Server({NODES: [], PODS: [], RUNS: [], CHAOS: []} | {path: Refused(403, "forbidden")})
    found = await look(server)
    assert [each for each in found.unseen if each.endswith("could not be looked at: forbidden")]


async def test_a_run_that_cannot_be_read_is_said_and_what_it_made_is_no_orphan():
    runs = [run("odd", "u1", [FINALIZER], phase="Odd")]
    found = await look(Server({NODES: [marked("u1")], PODS: [], RUNS: runs}))
    assert "PerfRun shop/odd could not be read" in found.unseen[0]
    assert [row.orphan for row in found.rows] == [False]


async def test_without_a_look_at_runs_nothing_is_an_orphan():
    found = await look(Server({NODES: [marked("u1")], PODS: [agent("u2")], RUNS: Refused(403, "forbidden")}))
    assert [row.orphan for row in found.rows] == [False, False]


async def test_silence_is_no_empty_cluster():
    with pytest.raises(Unavailable):
        await look(Server({NODES: [], PODS: Unavailable("down"), RUNS: []}))
