"""What a benchmark pod may and may not do."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from perfrun.api.plan import Stage
from perfrun.api.run import RunSpec
from perfrun.api.target import TargetSpec
from perfrun.manifests import labels
from perfrun.manifests.pods import Attempt, PodSettings, benchmark_pod
from perfrun.manifests.runs import perf_run
from perfrun_kernels import contract

STAGE = Stage(
    id="s1-sampling", scenario=0, kind="pod", program="sampling", parameters={"tokens": 8}, seconds=5, start_timeout=30,
    timeout=60.5,
)  # fmt: skip
ATTEMPT = Attempt(
    pod="pod-1",
    namespace="ns",
    run="run-1",
    run_uid="uid-1",
    feature="checkout",
    stage=STAGE,
    number=2,
    target=TargetSpec(),
)
SETTINGS = PodSettings(
    image="kernels:1", command=("python", "-m", "perfrun_kernels"), results_url="https://perfrun.system.svc:8443/",
    ca_bundle="PEM", runtime_class="slim", resources={"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}},
)  # fmt: skip


def made(
    target: dict[str, Any] | None = None, stage: Stage = STAGE, settings: PodSettings = SETTINGS
) -> dict[str, Any]:
    spec = TargetSpec.from_wire(target or {})
    return benchmark_pod(attrs.evolve(ATTEMPT, target=spec, stage=stage), settings)


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["spec"]["containers"]
    return dict(only)


def environment(pod: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(pod)["env"]}


def test_it_meets_the_restricted_profile() -> None:
    spec = made()["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(made())["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} == {"emptyDir", "projected"}


def test_it_gets_no_api_access_but_a_short_token_for_results() -> None:
    spec = made()["spec"]
    assert spec["automountServiceAccountToken"] is False
    token = spec["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"]
    assert token == {"audience": contract.AUDIENCE, "expirationSeconds": 600, "path": "token"}


def node_terms(pod: dict[str, Any]) -> list[dict[str, Any]]:
    affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return list(affinity["nodeSelectorTerms"])


def test_it_runs_where_the_scheduler_likes_unless_it_is_tied_to_other_pods_nodes() -> None:
    assert "affinity" not in made()["spec"]
    [beside] = node_terms(benchmark_pod(attrs.evolve(ATTEMPT, on="n1"), SETTINGS))
    assert beside == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    [apart] = node_terms(benchmark_pod(attrs.evolve(ATTEMPT, avoid=("n1", "n2")), SETTINGS))
    assert [(each["operator"], each["values"]) for each in apart["matchFields"]] == [
        ("NotIn", ["n1"]), ("NotIn", ["n2"]),
    ]  # fmt: skip


def test_it_uses_its_nodes_network_only_where_the_stage_says_so_and_still_knows_the_clusters_names() -> None:
    assert {"hostNetwork", "dnsPolicy"} & set(made()["spec"]) == set()
    spec = made(stage=STAGE.replace(host_network=True))["spec"]
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert "hostPID" not in spec


def test_it_ends_by_itself_and_is_never_restarted() -> None:
    spec = made()["spec"]
    assert (spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("Never", 91)


def test_it_goes_with_its_run_and_is_found_by_labels() -> None:
    metadata = made()["metadata"]
    [owner] = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "PerfRun",
        "uid-1",
        True,
        False,
    )
    found = metadata["labels"]
    wanted = (labels.RUN, labels.RUN_UID, labels.STAGE, labels.ATTEMPT, labels.FEATURE)
    assert [found[each] for each in wanted] == ["run-1", "uid-1", "s1-sampling", "2", "checkout"]


def test_what_it_writes_and_compiles_goes_where_it_may_write() -> None:
    pod = made()
    assert container(pod)["securityContext"]["readOnlyRootFilesystem"]
    [scratch] = [each["mountPath"] for each in container(pod)["volumeMounts"] if each["name"] == "tmp"]
    told = environment(pod)
    assert (told["TMPDIR"], told["TRITON_CACHE_DIR"]) == (scratch, f"{scratch}/triton")


def test_it_is_told_what_to_do_and_where_to_hand_in() -> None:
    told = environment(made())
    request = contract.Request.from_json(told[contract.REQUEST_ENV])
    assert (request.run, request.stage, request.attempt, request.kind) == ("run-1", "s1-sampling", 2, "sampling")
    assert (request.parameters, request.budget_seconds) == ({"tokens": 8}, 5)
    assert told[contract.RESULT_URL_ENV] == "https://perfrun.system.svc:8443/results/ns/run-1/s1-sampling/2"
    assert told[contract.TOKEN_FILE_ENV] == "/var/run/perfrun/token"


def test_the_certificates_are_mounted_where_there_are_any() -> None:
    pod = made()
    assert environment(pod)[contract.CA_FILE_ENV] == "/var/run/perfrun/ca.crt"
    assert pod["metadata"]["annotations"] == {labels.CA_BUNDLE: "PEM"}
    plain = made(settings=attrs.evolve(SETTINGS, ca_bundle=""))
    assert contract.CA_FILE_ENV not in environment(plain)
    assert "annotations" not in plain["metadata"]
    assert len(plain["spec"]["volumes"][1]["projected"]["sources"]) == 1


def test_the_operators_settings_hold_where_the_target_is_silent() -> None:
    pod = made()
    assert (container(pod)["image"], container(pod)["command"]) == ("kernels:1", ["python", "-m", "perfrun_kernels"])
    assert pod["spec"]["runtimeClassName"] == "slim"
    assert container(pod)["resources"] == {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}


def test_the_target_wins() -> None:
    toleration = {"key": "gpu", "operator": "Exists"}
    pods = {
        "image": "own:2", "command": ["run"], "runtimeClassName": "nvidia", "nodeSelector": {"gpu": "h100"},
        "tolerations": [toleration], "resources": {"requests": {"cpu": "4"}},
    }  # fmt: skip
    pod = made({"pods": pods})
    assert (container(pod)["image"], container(pod)["command"]) == ("own:2", ["run"])
    assert container(pod)["resources"] == {"requests": {"cpu": "4"}}
    spec = pod["spec"]
    assert (spec["runtimeClassName"], spec["nodeSelector"], spec["tolerations"]) == (
        "nvidia",
        {"gpu": "h100"},
        [toleration],
    )


def test_gpus_are_limited_by_the_resource_that_the_target_names() -> None:
    pod = made({"pods": {"gpuResource": "amd.com/gpu"}}, stage=STAGE.replace(gpus=2))
    assert container(pod)["resources"]["limits"] == {"memory": "2Gi", "amd.com/gpu": "2"}


def test_a_gpu_may_be_a_slice_of_one() -> None:
    pod = made({"pods": {"gpuResource": "nvidia.com/mig-1g.10gb"}}, stage=STAGE.replace(gpus=1))
    assert container(pod)["resources"]["limits"] == {"memory": "2Gi", "nvidia.com/mig-1g.10gb": "1"}


def test_gpus_are_claimed_from_a_driver_where_the_target_has_a_template_and_counted_nowhere_else() -> None:
    target = {"pods": {"resourceClaimTemplate": "one-h100"}}
    pod = made(target, stage=STAGE.replace(gpus=1))
    assert pod["spec"]["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "one-h100"}]
    assert container(pod)["resources"] == dict(SETTINGS.resources) | {"claims": [{"name": "gpu"}]}
    without = made(target)
    assert "resourceClaims" not in without["spec"]
    assert container(without)["resources"] == SETTINGS.resources


def test_it_has_the_account_and_the_pull_secrets_that_the_target_names() -> None:
    spec = made({"pods": {"serviceAccountName": "bench", "imagePullSecrets": ["registry"]}})["spec"]
    assert (spec["serviceAccountName"], spec["imagePullSecrets"]) == ("bench", [{"name": "registry"}])
    assert spec["automountServiceAccountToken"] is False
    assert {"serviceAccountName", "imagePullSecrets"} & set(made()["spec"]) == set()


def test_an_api_key_comes_from_a_secret_and_stands_nowhere() -> None:
    pod = made({"llm": {"engine": "openai", "url": "http://x/v1", "apiKeySecret": "keys"}})
    assert environment(pod)["PERFRUN_API_KEY"] == {"secretKeyRef": {"name": "keys", "key": "apiKey"}}
    assert "PERFRUN_API_KEY" not in environment(made())


def test_the_same_attempt_gives_the_same_pod() -> None:
    assert json.dumps(made()) == json.dumps(made())


@pytest.mark.parametrize("name", ["f", "F" * 100])
def test_a_run_belongs_to_its_feature_and_carries_nothing_else_of_it(name: str) -> None:
    made_run = perf_run("f-1", "ns", RunSpec(feature="Feature: x", target_ref="t"), "Changed", (name, "uid"))
    assert made_run["metadata"]["annotations"] == {labels.CAUSE: "Changed"}
    assert len(made_run["metadata"]["labels"][labels.FEATURE]) <= 63
    [owner] = made_run["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("PerfFeature", name, "uid")
