"""The served system of examples/served on a development cluster: as it is, and with something wrong with it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import attrs
import yaml

from perfrun.cli.demo import merged
from perfrun.cli.devinstall import CHECKOUT

EXAMPLES = CHECKOUT / "examples"
NAME = "served"
Kubectl = Callable[..., str]

_LISTEN = re.compile(r"listen 8080[^;]*;")


@attrs.frozen
class Variant:
    """What is changed in the example before it is applied."""

    replicas: int
    sticky: bool = False
    """All connections of one client go to one pod: as skewed as load can be."""

    dropped: float = 0.0
    """Share of requests, at least 0.0001, whose connections are closed without an answer, however often retried."""

    node_selector: dict[str, str] = attrs.field(factory=dict)


def serve(kubectl: Kubectl, namespace: str, variant: Variant, seconds: float = 120) -> tuple[str, ...]:
    """Apply the system and wait until it is behind its Service on every node; return these nodes' names."""
    rendered = kubectl("kustomize", str(EXAMPLES / NAME / "dev"))
    objects = changed(list(yaml.safe_load_all(rendered)), variant)
    kubectl("apply", "--namespace", namespace, "--filename", "-", input=yaml.safe_dump_all(objects))
    deadline = time.monotonic() + seconds
    while len(nodes := ready_nodes(kubectl, namespace)) != variant.replicas:
        if time.monotonic() > deadline:
            pods = kubectl("get", "pods", "--namespace", namespace, "--output", "wide")
            raise AssertionError(f"served on {nodes} after {seconds:.0f} s, not on {variant.replicas} nodes:\n{pods}")
        time.sleep(0.2)
    return nodes


def changed(objects: list[dict[str, Any]], variant: Variant) -> list[dict[str, Any]]:
    """Return the example's manifests as the variant wants them."""
    found = {each["kind"]: each for each in objects}
    deployment, service = found["Deployment"]["spec"], found["Service"]["spec"]
    deployment["replicas"] = variant.replicas
    deployment["template"]["spec"]["nodeSelector"] = dict(variant.node_selector)
    if variant.sticky:
        service["sessionAffinity"] = "ClientIP"
    if variant.dropped:
        data = found["ConfigMap"]["data"]
        data["nginx.conf"] = _dropping(data["nginx.conf"], variant.dropped)
    return objects


def _dropping(configuration: str, share: float) -> str:
    # Ids end with the number of the attempt, which must not matter: a retry fares as the first attempt did. What has no
    # id, as the kubelet's probe, is always answered.
    choice = f"""http {{
    map $http_x_request_id $numbered {{ "~^(?<number>.+)-\\d+$" $number; default ""; }}
    split_clients $numbered $chosen {{ {100 * share:.2f}% 1; * 0; }}
    map $numbered $dropped {{ "" 0; default $chosen; }}
"""
    listen = _LISTEN.search(configuration)
    assert listen is not None, "examples/served/base/nginx.conf no longer listens on 8080"
    closing = f"{listen.group()}\n        if ($dropped) {{ return 444; }}"
    return configuration.replace("http {\n", choice, 1).replace(listen.group(), closing, 1)


def ready_nodes(kubectl: Kubectl, namespace: str, service: str = NAME) -> tuple[str, ...]:
    """Names of the nodes with ready endpoints, each once for every endpoint on it."""
    selector = f"kubernetes.io/service-name={service}"
    slices = kubectl("get", "endpointslices", "--namespace", namespace, "--selector", selector, "--output", "json")
    return tuple(
        sorted(
            endpoint["nodeName"]
            for each in json.loads(slices)["items"]
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"].get("ready")
        )
    )


def target(name: str = NAME, **spec: Any) -> dict[str, Any]:
    """Return the example's PerfTarget with this laid over its spec."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / "served-target.yaml").read_text())
    return merged(document, {"metadata": {"name": name}, "spec": spec})
