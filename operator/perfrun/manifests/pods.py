"""One attempt at a stage becomes a pod manifest: no API access, no privileges, bounded in time and size.

Pure: the same run, action and settings give the same manifest, so the pod of an attempt can be created again
after a crash without becoming another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.api import API_VERSION
from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec
from perfrun.manifests import identity, labels
from perfrun.manifests.names import label_value
from perfrun_kernels import contract

API_KEY_ENV: Final = "PERFRUN_API_KEY"
"""Environment variable with the key of an OpenAI-compatible server."""

SCRATCH: Final = "/scratch"
"""Where a pod may write. Not /tmp: a RuntimeClass may show the pod programs that are below the node's /tmp."""

_GPU_CLAIM: Final = "gpu"
"""Name, within a pod, of the claim by which a driver for dynamic resource allocation gives it GPUs."""

_USER: Final = 65532
_SCRATCH_SIZE: Final = "1Gi"


@attrs.frozen
class PodSettings:
    """What the operator adds to every benchmark pod where the target does not say otherwise.

    ``results_url`` is how pods reach the operator; ``ca_bundle`` are PEM certificates that vouch for it (empty for
    plain HTTP). ``resources`` are as in a container.
    """

    image: str
    command: tuple[str, ...]
    results_url: str
    ca_bundle: str = ""
    runtime_class: str = ""
    resources: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)


@attrs.frozen
class Attempt:
    """One attempt at a stage of a run: what the pod is for, whom it belongs to and where it runs.

    ``feature`` names the PerfFeature that the run belongs to, or is empty. ``target`` is the run's frozen copy. The pod
    runs ``on`` that node only, where one is named, and never on those in ``avoid``.
    """

    pod: str
    namespace: str
    run: str
    run_uid: str
    feature: str
    stage: Stage
    number: int
    target: TargetSpec
    on: str = ""
    avoid: tuple[str, ...] = ()


def benchmark_pod(attempt: Attempt, settings: PodSettings) -> dict[str, Any]:
    """Return the manifest of the pod that makes one attempt at a stage."""
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": _metadata(attempt, settings), "spec": _spec(attempt, settings),
    }  # fmt: skip


def on_node(node: str) -> dict[str, Any]:
    """Return the term of an affinity that matches one node."""
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}


def not_on(nodes: tuple[str, ...]) -> dict[str, Any]:
    """Return the term of an affinity that matches all nodes but these; each expression may name one node only."""
    return {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]}


def owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which a child goes when its owner goes.

    It does not block the owner's deletion: that would need permission on the owner's finalizers for nothing.
    """
    return {
        "apiVersion": API_VERSION, "kind": kind, "name": name, "uid": uid,
        "controller": True, "blockOwnerDeletion": False,
    }  # fmt: skip


def _metadata(attempt: Attempt, settings: PodSettings) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": attempt.pod,
        "namespace": attempt.namespace,
        "labels": {
            labels.NAME: "perfrun",
            labels.COMPONENT: "benchmark",
            labels.MANAGED_BY: "perfrun",
            labels.RUN: label_value(attempt.run),
            labels.RUN_UID: attempt.run_uid,
            labels.STAGE: label_value(attempt.stage.id),
            labels.ATTEMPT: str(attempt.number),
        },
        "ownerReferences": [owner_reference("PerfRun", attempt.run, attempt.run_uid)],
    }
    if attempt.feature:
        metadata["labels"][labels.FEATURE] = label_value(attempt.feature)
    if settings.ca_bundle:
        metadata["annotations"] = identity.annotation(settings.ca_bundle)
    return metadata


def _spec(attempt: Attempt, settings: PodSettings) -> dict[str, Any]:
    pods, stage = attempt.target.pods, attempt.stage
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        # The operator ends an attempt earlier; this bound holds when there is no operator. The kubelet counts
        # from its first sight of the pod, so the time that an image may take to arrive is part of it.
        "activeDeadlineSeconds": math.ceil(stage.start_timeout + stage.timeout),
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(attempt, settings)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": _SCRATCH_SIZE}},
            identity.volume(settings.ca_bundle),
        ],
    }  # fmt: skip
    if runtime := pods.runtime_class_name or settings.runtime_class:
        spec["runtimeClassName"] = runtime
    if pods.node_selector:
        spec["nodeSelector"] = dict(pods.node_selector)
    if pods.tolerations:
        spec["tolerations"] = [dict(each) for each in pods.tolerations]
    if pods.service_account_name:
        spec["serviceAccountName"] = pods.service_account_name
    if pods.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": each} for each in pods.image_pull_secrets]
    if stage.gpus and pods.resource_claim_template:
        spec["resourceClaims"] = [{"name": _GPU_CLAIM, "resourceClaimTemplateName": pods.resource_claim_template}]
    if stage.host_network:
        # Names of the cluster, such as the operator's own, are not known to the node's resolver.
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if attempt.on or attempt.avoid:
        # The scheduler's affinity rather than a node's name, so that it still sees to room and taints.
        term = on_node(attempt.on) if attempt.on else not_on(attempt.avoid)
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        spec["affinity"] = {"nodeAffinity": required}
    return spec


def _container(attempt: Attempt, settings: PodSettings) -> dict[str, Any]:
    pods = attempt.target.pods
    return {
        "name": "benchmark",
        "image": pods.image or settings.image,
        "command": list(pods.command or settings.command),
        "env": _environment(attempt, settings),
        "resources": _resources(attempt, settings),
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": SCRATCH},
            identity.mount(),
        ],
    }  # fmt: skip


def _environment(attempt: Attempt, settings: PodSettings) -> list[dict[str, Any]]:
    stage, llm = attempt.stage, attempt.target.llm
    request = contract.Request(
        run=attempt.run, stage=stage.id, attempt=attempt.number, kind=stage.program,
        parameters=dict(stage.parameters), budget_seconds=stage.seconds,
    )  # fmt: skip
    url = identity.result_url(settings.results_url, attempt.namespace, attempt.run, stage.id, attempt.number)
    # Nothing else can be written to.
    plain = {"TMPDIR": SCRATCH, "TRITON_CACHE_DIR": f"{SCRATCH}/triton", contract.REQUEST_ENV: request.to_json()}
    plain |= identity.environment(url, settings.ca_bundle)
    environment: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in plain.items()]
    if llm is not None and llm.api_key_secret:
        reference = {"name": llm.api_key_secret, "key": "apiKey"}
        environment.append({"name": API_KEY_ENV, "valueFrom": {"secretKeyRef": reference}})
    return environment


def _resources(attempt: Attempt, settings: PodSettings) -> dict[str, Any]:
    pods = attempt.target.pods
    source: Mapping[str, Mapping[str, str]] = pods.resources or settings.resources
    resources: dict[str, Any] = {kind: dict(amounts) for kind, amounts in source.items()}
    if attempt.stage.gpus and pods.resource_claim_template:
        resources["claims"] = [{"name": _GPU_CLAIM}]
    elif attempt.stage.gpus:
        # Extended resources must be requested and limited alike; the limit alone means both.
        resources.setdefault("limits", {})[pods.gpu_resource] = str(attempt.stage.gpus)
    return resources
