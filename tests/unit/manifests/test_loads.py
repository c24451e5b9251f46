"""What the generators of a load are told, where they may run, and that they come and go together."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import attrs

from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec
from perfrun.manifests import labels
from perfrun.manifests.loads import LoadAttempt, load_job, request_prefix
from perfrun.manifests.names import pod_name
from perfrun.manifests.pods import Attempt, PodSettings, benchmark_pod
from perfrun_kernels import contract

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
URL = "http://web.$namespace.svc:80/"
START = dt.datetime(2026, 1, 1, 0, 0, 8, 500_000, tzinfo=dt.UTC)
STAGE = Stage(
    id="s1-load", scenario=0, kind="load", program="load", shards=3, seconds=30, timeout=60,
    parameters={"url": URL, "lead_seconds": 8, "schedule": [{"seconds": 30, "rate": 900}]},
)  # fmt: skip
ATTEMPT = Attempt(
    pod=pod_name("run-1", "s1-load", 2), namespace="ns", run="run-1", run_uid=UID, feature="", stage=STAGE, number=2,
    target=TargetSpec(),
)  # fmt: skip
SETTINGS = PodSettings(image="kernels:1", command=("load",), results_url="https://perfrun:8443", ca_bundle="PEM")


def made(target: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    attempt = attrs.evolve(ATTEMPT, target=TargetSpec.from_wire(target or {}))
    return load_job(LoadAttempt(attempt, START, **changes), SETTINGS)


def pod_spec(job: dict[str, Any]) -> dict[str, Any]:
    return dict(job["spec"]["template"]["spec"])


def told(job: dict[str, Any]) -> dict[str, str]:
    [container] = pod_spec(job)["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


def test_each_shard_is_made_once() -> None:
    spec = made()["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (3, 3, "Indexed")
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert "ttlSecondsAfterFinished" not in spec
    assert pod_spec(made())["restartPolicy"] == "Never"


def test_generators_learn_when_to_begin_and_how_their_requests_are_named() -> None:
    request = contract.Request.from_json(told(made())[contract.REQUEST_ENV])
    assert request.kind == "load"
    assert request.parameters == {
        "url": "http://web.ns.svc:80/",
        "schedule": [{"seconds": 30, "rate": 900}],
        "run": "0a1b2c3d-4e5f-s1-load-2",
        "shards": 3,
        "start_at": START.timestamp(),
    }
    assert request.parameters["run"] == request_prefix(UID, "s1-load", 2)


def test_a_namespace_that_the_target_names_stays() -> None:
    stage = STAGE.replace(parameters=STAGE.parameters | {"url": "http://web.shop.svc:80/"})
    job = load_job(LoadAttempt(attrs.evolve(ATTEMPT, stage=stage), START), SETTINGS)
    assert json.loads(told(job)[contract.REQUEST_ENV])["parameters"]["url"] == "http://web.shop.svc:80/"


def test_all_shards_are_given_one_address_and_add_their_index() -> None:
    assert told(made())[contract.RESULT_URL_ENV] == "https://perfrun:8443/results/ns/run-1/s1-load/2"


def test_the_job_goes_with_its_run_and_its_pods_are_found_by_labels() -> None:
    job = made()
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("PerfRun", UID)
    template = job["spec"]["template"]["metadata"]
    found = template["labels"]
    wanted = (labels.RUN, labels.RUN_UID, labels.STAGE, labels.ATTEMPT)
    assert [found[each] for each in wanted] == ["run-1", UID, "s1-load", "2"]
    assert template["annotations"] == {labels.CA_BUNDLE: "PEM"}
    assert set(template) == {"labels", "annotations"}


def test_a_generator_is_as_confined_as_any_benchmark_pod() -> None:
    plain = benchmark_pod(ATTEMPT, SETTINGS)["spec"]
    spec = pod_spec(made())
    same = set(plain) - {"containers"}
    assert {name: spec[name] for name in same} == {name: plain[name] for name in same}
    [container], [expected] = spec["containers"], plain["containers"]
    assert container["securityContext"] == expected["securityContext"]


def test_generators_keep_away_from_nodes_that_fail() -> None:
    assert "affinity" not in pod_spec(made())
    affinity = pod_spec(made(avoid=("n1", "n2"), rather_not=("n3",)))["affinity"]["nodeAffinity"]
    [required] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    # One term: all of its expressions must hold, and each may name one node only.
    assert required == {
        "matchFields": [
            {"key": "metadata.name", "operator": "NotIn", "values": ["n1"]},
            {"key": "metadata.name", "operator": "NotIn", "values": ["n2"]},
        ]
    }
    [preferred] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["preference"]["matchFields"][0]["values"] == ["n3"]


def test_generators_have_nodes_of_their_own_beside_those_of_pods() -> None:
    target = {"pods": {"nodeSelector": {"pool": "bench", "zone": "a"}}, "load": {"nodeSelector": {"zone": "b"}}}
    assert pod_spec(made(target))["nodeSelector"] == {"pool": "bench", "zone": "b"}
    assert "nodeSelector" not in pod_spec(made())


def test_generators_spread() -> None:
    [spread] = pod_spec(made())["topologySpreadConstraints"]
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    found = made()["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= found.items()


def test_the_longest_names_leave_room_for_the_index_and_the_pods_own_suffix() -> None:
    job = pod_name("r" * 253, "s" * 60, 12)
    assert len(f"{job}-999-abcde") <= 63
