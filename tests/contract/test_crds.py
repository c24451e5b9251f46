"""A real API server takes the definitions, teaches them, refuses what makes no sense, and says so in our words."""

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml

from perfrun.api import API_VERSION, GROUP, VERSION
from perfrun.api.crds import KINDS, definition
from perfrun.api.feature import Policy
from perfrun.api.run import (
    ArtifactLink,
    Frozen,
    Phase,
    RunSpec,
    RunStatus,
    ScenarioStatus,
    Source,
    StepStatus,
    TimeWindow,
)
from perfrun.api.target import TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.freezing import freeze

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]
PLURALS = {kind.name: kind.plural for kind in KINDS}


@pytest.fixture(scope="module")
def client(kubeconfig: Path) -> Iterator[Any]:
    connected: Any = kubernetes.config.new_client_from_config(str(kubeconfig))
    extensions: Any = kubernetes.client.ApiextensionsV1Api(connected)
    for kind in KINDS:
        body = definition(kind)
        extensions.patch_custom_resource_definition(
            body["metadata"]["name"], body, field_manager="contract", force=True,
            _content_type="application/apply-patch+yaml",
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        served = kubernetes.client.CustomObjectsApi(connected).get_api_resources(GROUP, VERSION)
        if set(PLURALS.values()) <= {each.name for each in served.resources}:
            break
        time.sleep(0.1)
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def namespace(client: Any) -> Iterator[str]:
    core: Any = kubernetes.client.CoreV1Api(client)
    created: str = core.create_namespace({"metadata": {"generateName": "contract-crds-"}}).metadata.name
    yield created
    core.delete_namespace(created)


def wire(kind: str, spec: dict[str, Any], name: str = "x") -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def create(client: Any, namespace: str, body: dict[str, Any], *, dry_run: bool = True) -> dict[str, Any]:
    more = {"dry_run": "All"} if dry_run else {}
    api: Any = kubernetes.client.CustomObjectsApi(client)
    stored: dict[str, Any] = api.create_namespaced_custom_object(
        GROUP, VERSION, namespace, PLURALS[body["kind"]], body, field_validation="Strict", **more
    )
    return stored


def refusal(client: Any, namespace: str, body: dict[str, Any]) -> str:
    with pytest.raises(kubernetes.client.ApiException) as raised:
        create(client, namespace, body)
    assert raised.value.status in (400, 422), raised.value.body
    return str(raised.value.body).replace('\\"', '"')


METRIC = {"name": "checkout error ratio", "query": "vector(0)", "unit": "ratio"}
MODEL = {"hiddenSize": 64, "intermediateSize": 128, "layers": 2, "heads": 4, "kvHeads": 2, "vocabSize": 100}

BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "feature nowhere": ("PerfFeature", {"targetRef": "t"}, "exactly one of spec.feature and spec.configMapKeyRef"),
    "feature twice": (
        "PerfFeature",
        {"targetRef": "t", "feature": "x", "configMapKeyRef": {"name": "a", "key": "b"}},
        "exactly one of spec.feature and spec.configMapKeyRef",
    ),
    "feature too large": ("PerfFeature", {"targetRef": "t", "feature": "x" * 131_073}, "spec.feature"),
    "cron with four fields": (
        "PerfFeature", {"targetRef": "t", "feature": "x", "schedule": {"cron": "* * * *"}}, "needs five fields",
    ),
    "duration without unit": ("PerfFeature", {"targetRef": "t", "feature": "x", "timeout": "10"}, "spec.timeout"),
    "misspelt field": ("PerfFeature", {"targetRef": "t", "feature": "x", "tag": "@a"}, 'unknown field "spec.tag"'),
    "no target": ("PerfRun", {"feature": "x"}, "spec.targetRef: Required value"),
    "run of nothing": ("PerfRun", {"targetRef": "t"}, "spec names no feature"),
    "run of two texts": (
        "PerfRun",
        {"targetRef": "t", "feature": "x", "configMapKeyRef": {"name": "a", "key": "b"}},
        "exclude each other",
    ),
    "openai without url": ("PerfTarget", {"llm": {"engine": "openai"}}, "spec.llm.url is missing"),
    "unknown engine": ("PerfTarget", {"llm": {"engine": "magic"}}, 'supported values: "builtin", "openai"'),
    "config and path": (
        "PerfTarget", {"llm": {"models": {"small": {"config": MODEL, "path": "/m"}}}}, "config and path exclude",
    ),
    "uneven heads": (
        "PerfTarget", {"llm": {"models": {"small": {"config": MODEL | {"heads": 5}}}}}, "must be a multiple of heads",
    ),
    "two metrics of one name": ("PerfTarget", {"metrics": [METRIC, METRIC]}, "have the same name"),
    "share of all nodes": ("PerfTarget", {"chaos": {"allowed": True, "maxShare": 1}}, "spec.chaos.maxShare"),
    "chaos that may fail nothing": ("PerfTarget", {"chaos": {"allowed": True, "maxNodes": 0}}, "no node may ever fail"),
    "not http": ("PerfTarget", {"prometheus": {"url": "ftp://x"}}, "spec.prometheus.url"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_sense_is_refused_with_the_reason(client: Any, namespace: str, case: str) -> None:
    kind, spec, said = BAD[case]
    assert said in refusal(client, namespace, wire(kind, spec))


def test_the_committed_example_is_taken_and_kept_byte_for_byte(client: Any, namespace: str) -> None:
    objects = list(yaml.safe_load_all((ROOT / "examples/features-cr.yaml").read_text()))
    assert len(objects) == 6
    for body in objects:
        stored = create(client, namespace, body)
        text = (ROOT / "features" / f"{body['metadata']['name'].replace('-', '_')}.feature").read_bytes()
        assert stored["spec"]["feature"].encode() == text


def test_an_object_that_nobody_looked_at_yet_says_so(client: Any, namespace: str) -> None:
    objects: tuple[tuple[str, dict[str, Any]], ...] = (
        ("PerfFeature", {"targetRef": "t", "feature": "x"}),
        ("PerfRun", {"targetRef": "t", "feature": "x"}),
        ("PerfTarget", {}),
    )
    for kind, spec in objects:
        assert create(client, namespace, wire(kind, spec))["status"] == {"observedGeneration": -1}


def test_a_full_target_is_stored_as_the_model_writes_it(client: Any, namespace: str) -> None:
    spec = TargetSpec.from_wire(
        {
            "llm": {"engine": "openai", "url": "http://server:8000/v1", "models": {"small": {"config": MODEL}}},
            "prometheus": {"url": "http://prometheus:9090"},
            "metrics": [METRIC],
            "pods": {
                "resources": {"limits": {"cpu": 2, "memory": "4Gi"}},
                "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}],
            },
            "chaos": {"allowed": True, "windows": [{"cron": "0 2 * * *", "length": "1h"}]},
            "selector": {"app": "checkout"},
        }
    )
    assert create(client, namespace, wire("PerfTarget", spec.to_wire()))["spec"] == spec.to_wire()


def test_numbers_and_texts_are_both_quantities(client: Any, namespace: str) -> None:
    spec = {"pods": {"resources": {"limits": {"cpu": 2, "memory": "4Gi"}}}}
    stored = create(client, namespace, wire("PerfTarget", spec))["spec"]
    assert TargetSpec.from_wire(stored).pods.resources == {"limits": {"cpu": "2", "memory": "4Gi"}}


def test_defaults_of_server_and_model_agree(client: Any, namespace: str) -> None:
    spec = {"targetRef": "t", "feature": "x"}
    stored = create(client, namespace, wire("PerfRun", spec))["spec"]
    assert stored == RunSpec.from_wire(spec).to_wire()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"feature": "another"}, "cannot change, except for spec.cancel"),
        ({"tags": "@a"}, "cannot change, except for spec.cancel"),
        ({"featureRef": "late"}, "cannot change, except for spec.cancel"),
        ({"policy": {"confidence": 0.9}}, "cannot change, except for spec.cancel"),
        ({"cancel": False}, "spec.cancel cannot be taken back"),
    ],
)
def test_a_run_is_a_record(client: Any, namespace: str, change: dict[str, Any], said: str) -> None:
    api: Any = kubernetes.client.CustomObjectsApi(client)
    name = f"run-{'-'.join(change).lower()}"
    create(client, namespace, wire("PerfRun", {"targetRef": "t", "feature": "x"}, name), dry_run=False)
    where = (GROUP, VERSION, namespace, "perfruns", name)
    cancelled = api.patch_namespaced_custom_object(*where, {"spec": {"cancel": True}})
    assert cancelled["spec"]["cancel"] is True
    with pytest.raises(kubernetes.client.ApiException) as raised:
        api.patch_namespaced_custom_object(*where, {"spec": change})
    assert said in str(raised.value.body)
    api.delete_namespaced_custom_object(*where)


def test_a_full_status_is_stored_as_the_model_writes_it(client: Any, namespace: str) -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)
    target = TargetSpec.from_wire({"llm": {}, "prometheus": {"url": "http://prometheus:9090"}, "metrics": [METRIC]})
    text = (ROOT / "features/llm_sampling_performance.feature").read_text()
    frozen = freeze(text, target, "", Policy())
    assert isinstance(frozen, Frozen)
    steps = tuple(
        StepStatus(
            keyword=step.keyword, text=step.text, verdict=Verdict.FAIL, reason="TooSlow", message="12.4 ms > 10 ms",
            value=12.4, lower=12.0, upper=12.9, samples=1000, window=TimeWindow(start=moment, end=moment),
            source=Source(kind="Prometheus", name="http://x", query="up"), basis="Observed",
            facts={"device": "cpu", "sizes": [1, 2.5, {"deep": None}], "on": True},
        )
        for step in frozen.plan.scenarios[0].steps
    )  # fmt: skip
    status = RunStatus(
        observed_generation=1, phase=Phase.FAILED, verdict=Verdict.FAIL, frozen=frozen, started_at=moment,
        conditions=(
            {
                "type": "Finished", "status": "True", "reason": "Failed", "message": "x", "observedGeneration": 1,
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            },
        ),
        scenarios=(ScenarioStatus(name="s", line=3, verdict=Verdict.FAIL, steps=steps),),
        artifacts=(ArtifactLink(name="report", url="file:///x", digest="sha256:0", bytes=12),),
    )  # fmt: skip
    stored = create(client, namespace, wire("PerfRun", {"targetRef": "t", "feature": text}, "full"), dry_run=False)
    api: Any = kubernetes.client.CustomObjectsApi(client)
    where = (GROUP, VERSION, namespace, "perfruns", "full")
    stored = api.replace_namespaced_custom_object_status(
        *where, stored | {"status": status.to_wire()}, field_validation="Strict"
    )
    assert stored["status"] == status.to_wire()
    assert RunStatus.from_wire(stored["status"]) == status
    api.delete_namespaced_custom_object(*where)


def test_every_field_is_explained(client: Any) -> None:
    extensions: Any = kubernetes.client.ApiextensionsV1Api(client)
    for kind in KINDS:
        stored = extensions.read_custom_resource_definition(f"{kind.plural}.{GROUP}")
        schema = client.sanitize_for_serialization(stored.spec.versions[0].schema.open_apiv3_schema)
        silent = [path for path, node in fields(schema, kind.name) if not node.get("description")]
        assert silent == [f"{kind.name}.metadata"]


def fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in node.get("properties", {}).items():
        yield f"{path}.{name}", each
        yield from fields(each, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            yield from fields(node[inner], f"{path}[]")
