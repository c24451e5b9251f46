"""The pod that makes one node fail for a while, or cleans up after such a fault.

It gets the fewest rights with which a node can be cut off or frozen: the node's network, its process table and two
capabilities, and of these only what its kind of fault needs. It is not privileged, mounts nothing of the node and has
no token.
No owner: an agent lives in another namespace than its run, and it must not go with the run before it has cleaned up.

Pure: the same order and settings give the same manifest, so an agent can be ordered again without becoming another.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.manifests import labels
from perfrun.manifests.names import fault_on_node, label_value
from perfrun_kernels import contract

DEFAULT_NAMESPACE: Final = "perfrun-chaos"
DEFAULT_COMMAND: Final = ("python", "-m", "perfrun_kernels.fault")

_RESOURCES: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"memory": "128Mi"},
}
"""No limit of CPU: a throttled agent begins late."""

WAITING_SECONDS: Final = 600
"""Seconds for which a pod of an agent may run beside its fault: to wait for the start, and to prove the end."""

_GRACE_SECONDS: Final = 15
_CAPABILITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "isolate": ("NET_ADMIN",),
    "freeze": ("SYS_PTRACE",),
    "undo": ("NET_ADMIN", "SYS_PTRACE"),
}


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


def agent_pod(order: AgentOrder, settings: AgentSettings) -> dict[str, Any]:
    """Return the manifest of the pod that carries out the order."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
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
        },
        "spec": _spec(order, settings),
    }


def _spec(order: AgentOrder, settings: AgentSettings) -> dict[str, Any]:
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
        "containers": [
            {
                "name": "agent",
                "image": settings.image,
                "command": list(settings.command),
                "env": [{"name": contract.FAULT_ENV, "value": _contract_order(order).to_json()}],
                "resources": {kind: dict(amounts) for kind, amounts in _RESOURCES.items()},
                "securityContext": _security(order.kind),
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }
    if settings.runtime_class:
        spec["runtimeClassName"] = settings.runtime_class
    return spec


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
    return contract.FaultOrder(
        fault=fault_on_node(order.run_uid, order.fault),
        run=f"{order.run_namespace}/{order.run}",
        node=order.node,
        kind=order.kind,
        starts_at=order.starts_at.timestamp(),
        ends_at=order.ends_at.timestamp(),
    )
