"""What a fault agent may and may not do, and what it is told."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.manifests import labels
from perfrun.manifests.agents import AgentOrder, AgentSettings, Measuring, agent_pod
from perfrun.manifests.names import agent_name, fault_on_node
from perfrun_kernels import contract

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ORDER = AgentOrder(
    name="agent-1", fault="s1-fault", run="checkout-1", run_uid="1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    run_namespace="shop", node="node-a", kind="isolate", starts_at=START, ends_at=START + dt.timedelta(seconds=15.5),
)  # fmt: skip
SETTINGS = AgentSettings(namespace="chaos", image="kernels:1", command=("agent",))
KINDS: list[contract.FaultKind] = ["isolate", "freeze", "spike", "undo"]
SPIKE = attrs.evolve(
    ORDER, fault="s2-spike", kind="spike",
    measuring=Measuring({"inject": ["quota"], "pods": [{"name": "web-0"}]}, 2, "https://operator:8443/", "PEM"),
)  # fmt: skip
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
TEXT = st.text(max_size=200)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["spec"]["containers"]
    return dict(only)


def told(pod: dict[str, Any]) -> contract.FaultOrder:
    return contract.FaultOrder.from_json(environment(pod)[contract.FAULT_ENV])


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(pod)["env"]}


@pytest.mark.parametrize(
    ("kind", "capabilities"),
    [
        ("isolate", ["NET_ADMIN"]),
        ("freeze", ["SYS_PTRACE"]),
        (
            "spike",
            ["BPF", "PERFMON", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "SYS_NICE", "KILL", "DAC_OVERRIDE"],
        ),
        ("undo", ["NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_ADMIN", "KILL", "DAC_OVERRIDE"]),
    ],
)
def test_it_gets_only_the_capabilities_of_its_kind(kind: contract.FaultKind, capabilities: list[str]) -> None:
    security = container(agent_pod(attrs.evolve(ORDER, kind=kind), SETTINGS))["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": capabilities}
    assert (security["privileged"], security["allowPrivilegeEscalation"]) == (False, False)
    assert security["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize(("kind", "processes"), [("isolate", False), ("freeze", True), ("spike", True), ("undo", True)])
def test_it_sees_its_nodes_network_and_processes_only_where_it_must(
    kind: contract.FaultKind, *, processes: bool
) -> None:
    spec = agent_pod(attrs.evolve(ORDER, kind=kind), SETTINGS)["spec"]
    assert (spec["hostNetwork"], spec["hostPID"]) == (True, processes)


@pytest.mark.parametrize("kind", ["isolate", "freeze", "undo"])
def test_one_that_measures_nothing_mounts_nothing_and_is_told_its_order_only(kind: contract.FaultKind) -> None:
    pod = agent_pod(attrs.evolve(ORDER, kind=kind), SETTINGS)
    assert "volumes" not in pod["spec"]
    assert "volumeMounts" not in container(pod)
    assert "annotations" not in pod["metadata"]
    assert list(environment(pod)) == [contract.FAULT_ENV]


def test_one_that_measures_hands_in_for_its_stage_and_mounts_nothing_of_the_node() -> None:
    pod = agent_pod(SPIKE, SETTINGS)
    found = environment(pod)
    assert found[contract.RESULT_URL_ENV] == "https://operator:8443/results/shop/checkout-1/s2-spike/2"
    token, certificates = found[contract.TOKEN_FILE_ENV], found[contract.CA_FILE_ENV]
    scratch, identity = pod["spec"]["volumes"]
    assert set(scratch) == {"name", "emptyDir"}
    [own, others] = identity["projected"]["sources"]
    assert own["serviceAccountToken"]["audience"] == contract.AUDIENCE
    assert others["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == f"metadata.annotations['{labels.CA_BUNDLE}']"
    assert pod["metadata"]["annotations"] == {labels.CA_BUNDLE: "PEM"}
    mounts = {each["name"]: each["mountPath"] for each in container(pod)["volumeMounts"]}
    assert mounts == {"tmp": found["TMPDIR"], "identity": token.removesuffix("/token")}
    assert certificates == f"{mounts['identity']}/ca.crt"
    # By the node's own resolver it would not find the operator.
    assert pod["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"


def test_one_that_measures_needs_no_certificates_where_nothing_is_encrypted() -> None:
    plain = attrs.evolve(SPIKE, measuring=Measuring({}, 1, "http://operator"))
    pod = agent_pod(plain, SETTINGS)
    assert contract.CA_FILE_ENV not in environment(pod)
    assert "annotations" not in pod["metadata"]
    assert len(pod["spec"]["volumes"][1]["projected"]["sources"]) == 1


def test_one_that_measures_is_told_what_and_for_which_attempt() -> None:
    order = told(agent_pod(SPIKE, SETTINGS))
    assert order.spike == {"inject": ["quota"], "pods": [{"name": "web-0"}], "stage": "s2-spike", "attempt": 2}
    assert told(agent_pod(ORDER, SETTINGS)).spike == {}


def test_it_runs_on_its_node_whatever_the_scheduler_thinks_of_that() -> None:
    spec = agent_pod(ORDER, SETTINGS)["spec"]
    assert spec["nodeName"] == "node-a"
    assert spec["tolerations"] == [{"operator": "Exists"}]


def test_it_has_no_api_access_and_no_owner() -> None:
    pod = agent_pod(ORDER, SETTINGS)
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "ownerReferences" not in pod["metadata"]


def test_it_is_found_by_its_run_from_any_namespace() -> None:
    metadata = agent_pod(ORDER, SETTINGS)["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("agent-1", "chaos")
    wanted = (labels.COMPONENT, labels.RUN, labels.RUN_UID, labels.RUN_NAMESPACE, labels.FAULT, labels.FAULT_KIND)
    found = [metadata["labels"][each] for each in wanted]
    assert found == ["fault-agent", "checkout-1", ORDER.run_uid, "shop", "s1-fault", "isolate"]


def test_it_is_never_restarted_and_outlasts_its_fault() -> None:
    spec = agent_pod(ORDER, SETTINGS)["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] > 16
    longer = attrs.evolve(ORDER, ends_at=START + dt.timedelta(seconds=115.5))
    assert agent_pod(longer, SETTINGS)["spec"]["activeDeadlineSeconds"] == spec["activeDeadlineSeconds"] + 100


def test_an_undo_has_a_deadline_of_its_own() -> None:
    undo = attrs.evolve(ORDER, kind="undo", ends_at=START)
    assert agent_pod(undo, SETTINGS)["spec"]["activeDeadlineSeconds"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told_an_order_that_agents_accept(kind: contract.FaultKind) -> None:
    order = told(agent_pod(attrs.evolve(ORDER, kind=kind), SETTINGS))
    assert (order.kind, order.node, order.run) == (kind, "node-a", "shop/checkout-1")
    assert (order.starts_at, order.ends_at) == (START.timestamp(), START.timestamp() + 15.5)


def test_its_reports_name_the_fault_as_the_order_does() -> None:
    assert told(agent_pod(ORDER, SETTINGS)).fault == fault_on_node(ORDER.run_uid, "s1-fault")


def test_the_runtime_class_is_that_of_the_settings() -> None:
    assert "runtimeClassName" not in agent_pod(ORDER, SETTINGS)["spec"]
    slim = agent_pod(ORDER, attrs.evolve(SETTINGS, runtime_class="slim"))
    assert slim["spec"]["runtimeClassName"] == "slim"


def test_the_same_order_gives_the_same_pod() -> None:
    assert json.dumps(agent_pod(ORDER, SETTINGS)) == json.dumps(agent_pod(ORDER, SETTINGS))


@given(TEXT, TEXT, TEXT, st.integers(0, 10**6))
def test_every_agents_name_is_a_dns_label(uid: str, fault: str, node: str, attempt: int) -> None:
    assert DNS_LABEL.fullmatch(agent_name(uid, fault, node, "isolate", attempt))


@given(TEXT, TEXT)
def test_every_name_on_a_node_is_one_that_the_contract_takes(uid: str, fault: str) -> None:
    name = fault_on_node(uid, fault)
    order = contract.FaultOrder(name, "run", "node", "undo")
    assert contract.FaultOrder.from_json(order.to_json()).fault == name


def test_agents_of_different_runs_nodes_kinds_and_attempts_have_different_names() -> None:
    names = {
        agent_name(uid, fault, node, kind, attempt)
        for uid in ("u1", "u2")
        for fault in ("f1", "f2")
        for node in ("n1", "n2")
        for kind in KINDS
        for attempt in (1, 2)
    }
    assert len(names) == 64
