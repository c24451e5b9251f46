"""The pod that makes one node fail for a while, or holds containers on it up, or cleans up after such a fault.

It gets the fewest rights with which that can be done: the node's network, its process table and a few capabilities, and
of these only what its kind of fault needs. It is not privileged, mounts nothing of the node and has no token, but for
the agent that measures: it has one with which nothing can be done but to hand its result in to the operator.
No owner: an agent lives in another namespace than its run, and it must not go with the run before it has cleaned up.

Pure: the same order and settings give the same manifest, so an agent can be ordered again without becoming another.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.api.base import JSON
from perfrun.manifests import identity, labels
from perfrun.manifests.names import fault_on_node, label_value
from perfrun.manifests.pods import SCRATCH
from perfrun_kernels import contract

DEFAULT_NAMESPACE: Final = "perfrun-chaos"
DEFAULT_COMMAND: Final = ("python", "-m", "perfrun_kernels.fault")

_RESOURCES: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"memory": "128Mi"},
}
"""No limit of CPU: a throttled agent begins late."""

_MEASURING: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}
"""Of an agent that keeps the kernel's events of some seconds, and makes a trace of them."""

WAITING_SECONDS: Final = 600
"""Seconds for which a pod of an agent may run beside its fault: to wait for the start, and to prove the end."""

_GRACE_SECONDS: Final = 15
_SCRATCH_SIZE: Final = "64Mi"
_CAPABILITIES: Final[Mapping[contract.FaultKind, tuple[str, ...]]] = {
    "isolate": ("NET_ADMIN",),
    "freeze": ("SYS_PTRACE",),
    # Of these, SYS_ADMIN is for the pods' network namespaces, SYS_PTRACE for which process is in which, DAC_OVERRIDE
    # for cgroups that belong to somebody else, KILL for what it started that has become somebody else.
    "spike": (
        "BPF", "PERFMON", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "SYS_NICE", "KILL", "DAC_OVERRIDE",
    ),
    # NET_RAW, so that packets which a queue still holds are let go before it is removed.
    "undo": ("NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_ADMIN", "KILL", "DAC_OVERRIDE"),
}  # fmt: skip


@attrs.frozen
class AgentSettings:
    """What the operator adds to every fault agent.

    ``namespace`` is where agents run, whatever the run's own: one whose Pod Security level is privileged.
    """

    namespace: str = DEFAULT_NAMESPACE
    image: str = ""
    command: tuple[str, ...] = DEFAULT_COMMAND
    runtime_class: str = ""


@attrs.frozen
class Measuring:
    """What an agent of kind spike is told besides: its ``arguments`` as the contract has them, and how it hands in.

    ``results_url`` and ``ca_bundle`` are as in PodSettings, ``attempt`` is that at the fault's stage.
    """

    arguments: Mapping[str, JSON]
    attempt: int
    results_url: str
    ca_bundle: str = ""


@attrs.frozen
class AgentOrder:
    """One agent on one node: ``name`` is its pod's, ``fault`` the id of the run's fault, ``kind`` the contract's."""

    name: str
    fault: str
    run: str
    run_uid: str
    run_namespace: str
    node: str
    kind: contract.FaultKind
    starts_at: dt.datetime
    ends_at: dt.datetime
    measuring: Measuring | None = None


def agent_pod(order: AgentOrder, settings: AgentSettings) -> dict[str, Any]:
    """Return the manifest of the pod that carries out the order."""
    metadata: dict[str, Any] = {
        "name": order.name,
        "namespace": settings.namespace,
        "labels": {
            labels.NAME: "perfrun",
            labels.COMPONENT: labels.FAULT_AGENT,
            labels.MANAGED_BY: "perfrun",
            labels.RUN: label_value(order.run),
            labels.RUN_UID: order.run_uid,
            labels.RUN_NAMESPACE: order.run_namespace,
            labels.FAULT: label_value(order.fault),
            labels.FAULT_KIND: order.kind,
        },
    }
    if order.measuring is not None and order.measuring.ca_bundle:
        metadata["annotations"] = identity.annotation(order.measuring.ca_bundle)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _spec(order, settings)}


def _spec(order: AgentOrder, settings: AgentSettings) -> dict[str, Any]:
    measuring = order.measuring
    container: dict[str, Any] = {
        "name": "agent",
        "image": settings.image,
        "command": list(settings.command),
        "env": [{"name": name, "value": value} for name, value in _environment(order).items()],
        "resources": _resources(_RESOURCES if measuring is None else _MEASURING),
        "securityContext": _security(order.kind),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec: dict[str, Any] = {
        # Not left to the scheduler, for the node may be cordoned, tainted or full.
        "nodeName": order.node,
        "tolerations": [{"operator": "Exists"}],
        "hostNetwork": True,
        # Only kubelet and container runtime have to be seen; a network is cut off without.
        "hostPID": order.kind != "isolate",
        "restartPolicy": "Never",
        "activeDeadlineSeconds": WAITING_SECONDS + _seconds(order),
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
    }
    if measuring is not None:
        # The operator's own name is not known to the node's resolver.
        spec["dnsPolicy"] = "ClusterFirstWithHostNet"
        scratch = {"name": "tmp", "emptyDir": {"sizeLimit": _SCRATCH_SIZE}}
        spec["volumes"] = [scratch, identity.volume(measuring.ca_bundle)]
        container["volumeMounts"] = [{"name": "tmp", "mountPath": SCRATCH}, identity.mount()]
    if settings.runtime_class:
        spec["runtimeClassName"] = settings.runtime_class
    return spec


def _environment(order: AgentOrder) -> dict[str, str]:
    told = {contract.FAULT_ENV: _contract_order(order).to_json()}
    measuring = order.measuring
    if measuring is None:
        return told
    url = identity.result_url(
        measuring.results_url, order.run_namespace, order.run, order.fault, measuring.attempt
    )  # fmt: skip
    return told | {"TMPDIR": SCRATCH} | identity.environment(url, measuring.ca_bundle)


def _resources(amounts: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    return {kind: dict(each) for kind, each in amounts.items()}


def _seconds(order: AgentOrder) -> int:
    return 0 if order.kind == "undo" else math.ceil((order.ends_at - order.starts_at).total_seconds())


def _security(kind: contract.FaultKind) -> dict[str, Any]:
    return {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": list(_CAPABILITIES[kind])},
        "seccompProfile": {"type": "RuntimeDefault"},
        # Both keep a container from tracing what is outside of it, whatever its capabilities are.
        "appArmorProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"type": "spc_t"},
    }


def _contract_order(order: AgentOrder) -> contract.FaultOrder:
    measuring = order.measuring
    spike = {} if measuring is None else {**measuring.arguments, "stage": order.fault, "attempt": measuring.attempt}
    return contract.FaultOrder(
        fault=fault_on_node(order.run_uid, order.fault),
        run=f"{order.run_namespace}/{order.run}",
        node=order.node,
        kind=order.kind,
        starts_at=order.starts_at.timestamp(),
        ends_at=order.ends_at.timestamp(),
        spike=spike,
    )
