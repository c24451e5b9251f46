"""The objects that make a new cluster like any other: DNS and Prometheus as Services, and their permissions."""

import contextlib
from typing import Any

from perfrun.devcluster.api import ApiClient, ApiError
from perfrun.devcluster.configs import HOST_RUNTIME
from perfrun.devcluster.layout import Layout

MONITORING = "monitoring"
_RBAC = "rbac.authorization.k8s.io"


def objects(layout: Layout) -> list[tuple[str, dict[str, Any]]]:
    """API path and object, in the order of creation."""
    rbac = f"/apis/{_RBAC}/v1"
    return [
        (f"/api/v1/namespaces/{MONITORING}", _object("v1", "Namespace", MONITORING)),
        *_service(layout, "kube-system", "kube-dns", {"dns": 53, "metrics": 9153}, str(layout.dns_ip)),
        *_service(layout, MONITORING, "prometheus", {"http": 9090}),
        (f"{rbac}/clusterroles/perfrun:coredns", _role("coredns", _COREDNS_RULES)),
        (f"{rbac}/clusterrolebindings/perfrun:coredns", _binding("coredns")),
        (f"{rbac}/clusterroles/perfrun:prometheus", _role("prometheus", _PROMETHEUS_RULES)),
        (f"{rbac}/clusterrolebindings/perfrun:prometheus", _binding("prometheus")),
        (
            f"/apis/node.k8s.io/v1/runtimeclasses/{HOST_RUNTIME}",
            {**_object("node.k8s.io/v1", "RuntimeClass", HOST_RUNTIME), "handler": HOST_RUNTIME},
        ),
    ]


_READ = ["get", "list", "watch"]
_COREDNS_RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": _READ},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _READ},
]
_PROMETHEUS_RULES: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["nodes", "pods", "services", "endpoints"], "verbs": _READ},
    {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
]


def _object(api_version: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app.kubernetes.io/managed-by": "perfrun-dev"}}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {**metadata, **({"namespace": namespace} if namespace else {})},
    }


def _service(
    layout: Layout, namespace: str, name: str, ports: dict[str, int], address: str | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """A Service without pods: its endpoint is the control plane's address, where the program runs."""
    protocols = {port: ("UDP", "TCP") if port == "dns" else ("TCP",) for port in ports}
    listed = [
        {"name": port if protocol == "TCP" else f"{port}-udp", "port": number, "protocol": protocol}
        for port, number in ports.items()
        for protocol in protocols[port]
    ]
    service = _object("v1", "Service", name, namespace)
    service["spec"] = {"ports": listed, **({"clusterIP": address} if address else {})}
    endpoints = _object("discovery.k8s.io/v1", "EndpointSlice", f"{name}-perfrun-dev", namespace)
    endpoints["metadata"]["labels"]["kubernetes.io/service-name"] = name
    endpoints |= {
        "addressType": "IPv4",
        "ports": listed,
        "endpoints": [{"addresses": [str(layout.control_plane_ip)], "conditions": {"ready": True}}],
    }
    return [
        (f"/api/v1/namespaces/{namespace}/services/{name}", service),
        (f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}-perfrun-dev", endpoints),
    ]


def _role(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {**_object(f"{_RBAC}/v1", "ClusterRole", f"perfrun:{name}"), "rules": rules}


def _binding(name: str) -> dict[str, Any]:
    user = f"perfrun:{name}"
    return {
        **_object(f"{_RBAC}/v1", "ClusterRoleBinding", user),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
    }


def apply(client: ApiClient, layout: Layout) -> None:
    """Create or update all of them.

    Raises:
        ApiError: the API server refused.
    """
    for path, document in objects(layout):
        client.apply(path, document)


def default_account_exists(client: ApiClient) -> bool:
    """Whether pods of the namespace `default` can be created: before its service account exists they are refused."""
    with contextlib.suppress(ApiError):
        client.get("/api/v1/namespaces/default/serviceaccounts/default")
        return True
    return False


def label_workers(client: ApiClient, layout: Layout) -> None:
    """Give nodes the role that kubelets may not give themselves.

    Raises:
        ApiError: the API server refused.
    """
    labels = {"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}}
    for number in layout.node_numbers:
        path = f"/api/v1/nodes/{layout.node_name(number)}"
        client.request("PATCH", path, labels, "application/merge-patch+json")


def add_gpus(client: ApiClient, capacity: dict[str, int]) -> None:
    """Advertise GPUs that are not there: for scheduling only, never for a measurement.

    Raises:
        ApiError: the API server refused, for example a node of that name.
    """
    for node, count in capacity.items():
        patch = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(count)}]
        client.request("PATCH", f"/api/v1/nodes/{node}/status", patch, "application/json-patch+json")


def gpus_allocatable(client: ApiClient, capacity: dict[str, int]) -> bool:
    """Whether every kubelet has taken its GPUs over."""
    found = {
        node["metadata"]["name"]: node.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", "0")
        for node in client.nodes()
    }
    return all(found.get(node) == str(count) for node, count in capacity.items())
