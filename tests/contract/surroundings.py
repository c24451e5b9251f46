"""What a run meets on a cluster (nodes, a Service with its pods, a workload), as objects that no kubelet is behind.

Tests set the status of these as kubelet and controllers would: what is tried here is how perfrun reads and changes
them, on a real API server.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from workbench import Bench

from perfrun.adapters.paths import in_namespace, node_path, pods_path
from perfrun.api.chaos import AnyFault, Backend
from perfrun.api.faults import FaultStatus, NodeFault
from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
URL = "http://web.$namespace.svc:80/"
LOAD = Stage(
    id="s1-load", scenario=0, kind="load", program="load", shards=2, seconds=5, timeout=60, attempts=2,
    parameters={"url": URL, "lead_seconds": 8, "schedule": [{"seconds": 5, "rate": 10}]},
)  # fmt: skip
FAULT = Stage(id="s1-fault", scenario=0, kind="fault", alongside="s1-load")
SCALE = Stage(id="s1-scale", scenario=0, kind="scale")
IDS = Stage(id="s1-ids", scenario=0, kind="ids", parameters={"after": "s1-load"})
SERVICES, SLICES, DEPLOYMENTS = ("/api/v1", "services"), ("/apis/discovery.k8s.io/v1", "endpointslices"), (
    "/apis/apps/v1", "deployments",
)  # fmt: skip


def path(bench: Bench, kind: tuple[str, str], name: str = "") -> str:
    return in_namespace(kind[0], bench.namespace, kind[1], name)


def target(chaos: dict[str, Any] | None = None, **service: Any) -> TargetSpec:
    return TargetSpec.from_wire(
        {"service": {"name": "web"} | service, "chaos": {"allowed": True, "maxDuration": "1m"} | (chaos or {})}
    )


def fault(kind: AnyFault = "isolate", backend: Backend = "native", *nodes: str, **changes: Any) -> FaultStatus:
    made = FaultStatus(
        id=FAULT.id, kind=kind, backend=backend, seed=1, nodes=tuple(NodeFault(node=each) for each in nodes),
        starts_at=NOW, ends_at=NOW + dt.timedelta(seconds=20),
    )  # fmt: skip
    return made.replace(**changes)


async def node(bench: Bench, name: str, **metadata: Any) -> str:
    """Create a node of this test's own, which is ready, and return its name."""
    name = f"{bench.namespace}-{name}"
    labels = {"kubernetes.io/hostname": f"{name}.example"} | metadata.pop("labels", {})
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, **metadata}}
    await bench.make("/api/v1/nodes", body)
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": NOW.isoformat()}
    addresses = [{"type": "InternalIP", "address": "192.0.2.7"}]
    status = {"status": {"conditions": [ready], "allocatable": {"cpu": "3920m"}, "addresses": addresses}}
    await bench.api.merge(f"{node_path(name)}/status", status)
    return name


async def owner(bench: Bench) -> dict[str, Any]:
    """Create something that may own pods, and return the reference to it."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    made = await bench.make(in_namespace("/api/v1", bench.namespace, "configmaps"), body)
    uid = made["metadata"]["uid"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}


async def pod(bench: Bench, name: str, on: str = "", **metadata: Any) -> dict[str, Any]:
    """Create a pod that goes at once when it is deleted; on a node it runs and is ready."""
    spec: dict[str, Any] = {
        "containers": [{"name": "web", "image": "perfrun.dev/none:1"}], "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
    }  # fmt: skip
    if on:
        spec["nodeName"] = on
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
    made = await bench.make(pods_path(bench.namespace), body)
    if on:
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await bench.api.merge(f"{pods_path(bench.namespace, name)}/status", {"status": status})
    return made


async def service(bench: Bench, *endpoints: dict[str, Any], selector: dict[str, str] | None = None) -> None:
    """Create the Service ``web`` with these endpoints."""
    spec = {"ports": [{"port": 80}]} | ({"selector": selector} if selector else {})
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    await bench.make(path(bench, SERVICES), body)
    labels = {"kubernetes.io/service-name": "web"}
    slices = {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "web-1", "labels": labels},
        "addressType": "IPv4", "endpoints": list(endpoints), "ports": [],
    }  # fmt: skip
    await bench.make(path(bench, SLICES), slices)


def endpoint(number: int, on: str, pod: str, *, ready: bool | None = True) -> dict[str, Any]:
    conditions = {} if ready is None else {"ready": ready}
    return {
        "addresses": [f"192.0.2.{number}"], "nodeName": on, "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": pod},
    }  # fmt: skip
