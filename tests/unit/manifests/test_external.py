"""What other tools are ordered to do, whichever tool it is: names, labels, owners, and what is refused."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from perfrun.api.chaos import FaultKind
from perfrun.manifests import external, labels
from perfrun.manifests.external import ExternalBackend, ExternalFault
from perfrun.manifests.external_objects import ExternalState, together

FAULT = ExternalFault(
    id="s1-fault",
    run="nightly-7",
    run_namespace="shop",
    run_uid="uid-1",
    kind="pod-kill",
    nodes=("node-2", "node-4"),
    seconds=30,
    namespace="backend",
    selector={"app": "web"},
    service_account="litmus-admin",
    pods=("web-2", "web-4"),
)
POSSIBLE: list[tuple[ExternalBackend, FaultKind]] = [
    ("chaos-mesh", "isolate"),
    ("chaos-mesh", "pod-kill"),
    ("litmus", "freeze"),
    ("litmus", "drain"),
    ("litmus", "pod-kill"),
]
IMPOSSIBLE: list[tuple[ExternalBackend, FaultKind]] = [
    ("chaos-mesh", "freeze"),
    ("chaos-mesh", "drain"),
    ("litmus", "isolate"),
]


def of(kind: FaultKind, **changes: Any) -> ExternalFault:
    return attrs.evolve(FAULT, kind=kind, **changes)


@pytest.mark.parametrize(("backend", "kind"), POSSIBLE)
def test_what_a_tool_can_do_it_is_ordered_to_do(backend: ExternalBackend, kind: FaultKind) -> None:
    assert external.supported(backend, kind) == ""
    assert external.meaning(backend, kind).startswith({"chaos-mesh": "Chaos Mesh ", "litmus": "Litmus "}[backend])
    for each in external.objects(backend, of(kind)):
        assert each.manifest["metadata"]["namespace"] == "backend"
        assert each.manifest["metadata"]["labels"] == {
            labels.NAME: "perfrun",
            labels.COMPONENT: "fault",
            labels.MANAGED_BY: "perfrun",
            labels.RUN: "nightly-7",
            labels.RUN_UID: "uid-1",
            labels.RUN_NAMESPACE: "shop",
            labels.FAULT: "s1-fault",
        }
        assert each.path == external.path_of(each.manifest)
        assert each.path == f"{each.collection}/{each.manifest['metadata']['name']}"
        group, _, plural = each.collection.partition("/namespaces/backend/")
        assert f"{group}/{plural}" in external.collections(backend)


@pytest.mark.parametrize(("backend", "kind"), IMPOSSIBLE)
def test_what_a_tool_cannot_do_is_refused_with_the_way_out(backend: ExternalBackend, kind: FaultKind) -> None:
    sentence = external.supported(backend, kind)
    assert sentence.startswith(f"chaos.backend: {backend} cannot do {kind}, because ")
    assert "choose the backend native" in sentence
    assert external.meaning(backend, kind) == ""
    with pytest.raises(ValueError, match=f"{backend} cannot do {kind}"):
        external.objects(backend, of(kind))


@pytest.mark.parametrize(("backend", "kind"), POSSIBLE)
def test_ordering_twice_is_ordering_once_and_no_two_faults_share_an_object(
    backend: ExternalBackend, kind: FaultKind
) -> None:
    def paths(fault: ExternalFault) -> set[str]:
        return {each.path for each in external.objects(backend, fault)}

    once = paths(of(kind))
    assert paths(of(kind)) == once
    assert not once & paths(of(kind, id="s2-fault"))
    assert not once & paths(of(kind, run_uid="uid-2"))


@pytest.mark.parametrize(("backend", "kind"), POSSIBLE)
def test_a_run_owns_its_objects_only_in_its_own_namespace(backend: ExternalBackend, kind: FaultKind) -> None:
    for each in external.objects(backend, of(kind)):
        assert "ownerReferences" not in each.manifest["metadata"]
    for each in external.objects(backend, of(kind, namespace="shop")):
        (owner,) = each.manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("PerfRun", "nightly-7", "uid-1")


@pytest.mark.parametrize(
    ("backend", "kind", "changes", "sentence"),
    [
        ("chaos-mesh", "isolate", {"selector": {}}, "the Service has no selector"),
        ("chaos-mesh", "pod-kill", {"selector": {}}, "the Service has no selector"),
        ("litmus", "drain", {"service_account": ""}, "name the one that may run node-drain in namespace backend"),
        ("litmus", "pod-kill", {"pods": ()}, "no pod of the Service runs on node-2, node-4"),
    ],
)
def test_what_would_hit_others_or_nobody_is_refused(
    backend: ExternalBackend, kind: FaultKind, changes: dict[str, Any], sentence: str
) -> None:
    fault = of(kind, **changes)
    assert sentence in external.missing(backend, fault)
    with pytest.raises(ValueError, match=sentence):
        external.objects(backend, fault)


def test_a_fault_is_only_over_when_all_of_it_is() -> None:
    pending, injected = ExternalState("Pending", "waiting"), ExternalState("Injected", "once")
    recovered, failed = ExternalState("Recovered", "over"), ExternalState("Failed", "broken")
    assert together([recovered, injected]) == injected
    assert together([injected, pending]) == pending
    assert together([pending, failed, recovered]) == failed
    assert together([recovered, recovered]) == recovered
    assert together([injected, ExternalState("Injected", "twice")]).message == "once; twice"


@pytest.mark.parametrize("backend", ["chaos-mesh", "litmus"])
def test_nothing_stored_is_nothing_left(backend: ExternalBackend) -> None:
    assert external.state(backend, []) == ExternalState("Recovered", "nothing of it is left")
    assert external.stop(backend, []) == ()
