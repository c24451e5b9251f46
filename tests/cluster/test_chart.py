"""The chart with real Helm on a real cluster: installed, upgraded, refused, used with little permission, and gone."""

from __future__ import annotations

import itertools
import json
import time
from typing import get_args

import pytest
import yaml

from perfrun.adapters.rights import needed
from perfrun.api.chaos import Backend, FaultKind
from perfrun.api.target import TargetSpec
from perfrun.cli.devinstall import CHECKOUT, RELEASE, SYSTEM, development_values, install, make_namespace
from perfrun.cli.stop import Stop
from perfrun.manifests.agents import DEFAULT_NAMESPACE

pytestmark = pytest.mark.cluster

CHART = str(CHECKOUT / "charts" / "perfrun")
KINDS = "perffeatures,perfruns,perftargets"
EVERYTHING = (
    "deployments,pods,services,serviceaccounts,secrets,configmaps,jobs,roles,rolebindings,leases,persistentvolumeclaims,"
    "networkpolicies"
)
FEATURE = """Feature: Prometheus knows
  Scenario: The API server answers
    When observing for 3 seconds
    Then API server availability should be at least 0%
"""
TARGET = {
    "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfTarget", "metadata": {"name": "default"},
    "spec": {
        "llm": {"device": "cpu", "budget": "600s"},
        "prometheus": {"url": "http://prometheus.monitoring.svc:9090", "step": "1s"},
        "metrics": [{"name": "API server availability", "unit": "%", "query": '100 * min(up{job="apiserver"})'}],
    },
}  # fmt: skip
LONG = """Feature: Long
  Scenario: Sampling
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | large      | 8          | 128             |
    And a model of size "large"
    And a batch size of 8
    When sampling 100000 tokens
    Then throughput should exceed 1 token per second
"""


def feature(name, text=FEATURE):
    return {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfFeature", "metadata": {"name": name},
        "spec": {"targetRef": "default", "feature": text, "retry": {"limit": 0}},
    }  # fmt: skip


def apply(tools, namespace, *manifests, user=None):
    listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    impersonated = ("--as", user) if user else ()
    return tools.kubectl("apply", "--namespace", namespace, "--filename", "-", *impersonated, stdin=json.dumps(listed))


def wait_for(tools, namespace, name, accepted, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = tools.get("perffeature", name, "--namespace", namespace)[0].get("status") or {}
        if accepted(status):
            return status
        time.sleep(0.3)
    raise AssertionError(f"{name} did not get there: {status}")


def leftovers(tools, namespace):
    found = tools.get(EVERYTHING, "--namespace", namespace)
    standard = ("kube-root-ca.crt", "default")
    return sorted(
        f"{each['kind']}/{each['metadata']['name']}" for each in found if each["metadata"]["name"] not in standard
    )


def gone(tools, namespace):
    """Pods take a moment to end after Helm is done."""
    deadline = time.monotonic() + 60
    while (left := leftovers(tools, namespace)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


def test_helm_lint_is_strict_and_the_schema_refuses_in_a_sentence(chart_cluster):
    chart_cluster.helm("lint", "--strict", CHART)
    for wrong, sentence in (
        ("replicas=many", "at '/replicas': got string, want integer"),
        ("webhook.failurePolicy=Maybe", "value must be one of 'Ignore', 'Fail'"),
        ("scope.kind=everything", "value must be one of 'cluster', 'namespaced'"),
        ("replica=2", "additional properties 'replica' not allowed"),
        ("artifacts.url=nowhere", "at '/artifacts/url'"),
        ("chaos.namespace=Chaos", "at '/chaos/namespace'"),
        ("chaos.namespace=default", "fault agents need one of their own"),
    ):
        with pytest.raises(Stop, match="failed") as refused:
            chart_cluster.helm("template", CHART, "--set", wrong)
        assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("--set=scope.kind=namespaced", '--set-json=scope.namespaces=["a","b"]'),
        ("--set=chaos.enabled=false",),
        ("--set=chaos.otherTools=false", '--set-json=chaos.agents.command=["agent"]'),
        ("--set=artifacts.persistence.enabled=true", "--set=networkPolicy.enabled=true"),
        ("--set=webhook.enabled=false", "--set=drain.enabled=false", "--set=crds.install=false"),
        ("--set=tls.existingSecret=mine", "--set=tls.caBundle=PEM", "--set=artifacts.url=s3://bucket/x"),
    ],
)
def test_the_api_server_takes_everything_that_the_chart_can_render(chart_cluster, values):
    make_namespace(chart_cluster, SYSTEM)
    for name in ("a", "b", "rendered"):
        make_namespace(chart_cluster, name)
    # A dry run does not make the namespace that the next object needs.
    values = (*values, "--set=chaos.namespace=rendered")
    rendered = chart_cluster.helm("template", RELEASE, CHART, "--namespace", SYSTEM, *values)
    chart_cluster.kubectl("apply", "--dry-run=server", "--filename", "-", stdin=rendered)


def granted(tools, *values):
    """Return what the operator may do, as (namespace, group, resource, verb); no namespace means everywhere."""
    rendered = tools.helm("template", RELEASE, CHART, "--namespace", SYSTEM, *values)
    objects = [each for each in yaml.safe_load_all(rendered) if each]
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in objects
        if each["kind"].endswith("Binding") and each["subjects"][0]["name"] == RELEASE
    }
    return {
        (role["metadata"].get("namespace", ""), *right)
        for role in objects
        if (role["kind"], role["metadata"]["name"]) in bound
        for rule in role["rules"]
        for right in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def lacking(rights, backend, kind, stages):
    service = {"name": "web", "port": 80, "workload": {"kind": "Deployment", "name": "web"}}
    target = TargetSpec.from_wire({"service": service, "chaos": {"allowed": True, "kind": kind, "backend": backend}})
    missing = []
    for each in needed(target, stages, "a", DEFAULT_NAMESPACE):
        places = {(place, each.group, each.resource, each.verb) for place in ("", each.namespace)}
        if not places & rights:
            missing.append(str(each))
    return missing


DANGEROUS = {"nodes": "patch", "pods/eviction": "create", "deployments/scale": "patch", "statefulsets/scale": "patch"}


@pytest.mark.parametrize("backend", get_args(Backend))
@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_the_chart_grants_what_faults_need_and_nothing_of_it_without_chaos(chart_cluster, backend, kind):
    stages = {"scale", "load", "fault", "ids"}
    assert lacking(granted(chart_cluster), backend, kind, stages) == []
    for without in (
        ("--set=chaos.enabled=false",),
        ("--set=scope.kind=namespaced", '--set-json=scope.namespaces=["a"]'),
    ):
        rights = granted(chart_cluster, *without)
        assert lacking(rights, backend, kind, {"load", "ids"}) == []
        assert lacking(rights, backend, kind, stages) != []
        assert not [each for each in rights if DANGEROUS.get(each[2]) == each[3]]
        assert not [each for each in rights if each[1] in ("chaos-mesh.org", "litmuschaos.io")]


def test_other_tools_may_be_ruled_out_alone(chart_cluster):
    rights = granted(chart_cluster, "--set=chaos.otherTools=false")
    assert lacking(rights, "native", "isolate", {"scale", "load", "fault", "ids"}) == []
    assert lacking(rights, "litmus", "isolate", {"fault"}) != []
    assert lacking(rights, "chaos-mesh", "isolate", {"fault"}) != []


def test_installed_upgraded_and_uninstalled_without_a_trace(chart_cluster):
    install(chart_cluster)
    before = chart_cluster.get("secret", f"{RELEASE}-tls", "--namespace", SYSTEM)[0]["data"]
    install(chart_cluster, ("--set=logLevel=debug",))
    assert chart_cluster.get("secret", f"{RELEASE}-tls", "--namespace", SYSTEM)[0]["data"] == before
    make_namespace(chart_cluster, "apps")
    apply(chart_cluster, "apps", TARGET, feature("long", LONG))
    running = wait_for(chart_cluster, "apps", "long", lambda status: status.get("activeRun"))["activeRun"]
    chart_cluster.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "180s")
    run = chart_cluster.get("perfrun", running, "--namespace", "apps")[0]
    assert run["status"]["phase"] == "Cancelled", run["status"]
    assert gone(chart_cluster, SYSTEM) == []
    assert gone(chart_cluster, "apps") == []
    kinds = "clusterroles,clusterrolebindings,validatingwebhookconfigurations,namespaces"
    assert chart_cluster.get(kinds, "--selector", "app.kubernetes.io/name=perfrun") == []
    # The definitions stay, and with them what people wrote.
    assert chart_cluster.get("perffeature", "long", "--namespace", "apps")
    chart_cluster.kubectl("delete", KINDS, "--all", "--namespace", "apps")


def test_a_feature_author_cannot_widen_what_a_target_permits(operator_chart):
    make_namespace(operator_chart, "team")
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}
    edit = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}

    def bound(user, role):
        return {
            **binding, "metadata": {"name": user}, "roleRef": {**edit, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }  # fmt: skip

    apply(
        operator_chart,
        "team",
        bound("author", "edit"),
        bound("platform", f"{RELEASE}-platform"),
        bound("reader", "view"),
    )
    deadline = time.monotonic() + 30
    # The API server needs a moment to aggregate roles.
    while time.monotonic() < deadline and not may(operator_chart, "author", "create", "perffeatures"):
        time.sleep(0.3)
    assert may(operator_chart, "author", "create", "perffeatures")
    assert may(operator_chart, "author", "delete", "perfruns")
    assert may(operator_chart, "author", "get", "perftargets")
    for verb in ("create", "update", "patch", "delete"):
        assert not may(operator_chart, "author", verb, "perftargets")
        assert not may(operator_chart, "reader", verb, "perffeatures")
        assert may(operator_chart, "platform", verb, "perftargets")
        assert not may(operator_chart, "author", verb, "perfforecasts")
        assert may(operator_chart, "platform", verb, "perfforecasts") == (verb == "delete")
    assert may(operator_chart, "reader", "get", "perfforecasts")
    for subresource in ("perffeatures/status", "perfruns/status", "perfforecasts/status"):
        assert not may(operator_chart, "author", "update", subresource)
    assert may(operator_chart, "reader", "list", "perfruns")
    with pytest.raises(Stop, match="forbidden"):
        apply(operator_chart, "team", TARGET, user="author")


def may(tools, user, verb, resource):
    plain, _, subresource = resource.partition("/")
    extra = (f"--subresource={subresource}",) if subresource else ()
    try:
        answer = tools.kubectl(
            "auth", "can-i", verb, f"{plain}.perfrun.dev", "--namespace", "team", "--as", user, *extra
        )
    except Stop:
        return False
    return answer.strip() == "yes"


def test_admission_refuses_a_wrong_feature_with_its_place(operator_chart):
    make_namespace(operator_chart, "apps")
    apply(operator_chart, "apps", TARGET)
    with pytest.raises(Stop, match="4:") as refused:
        apply(operator_chart, "apps", feature("wrong", FEATURE.replace("availability", "availabillity")))
    assert "API server availability" in str(refused.value)


def test_a_namespaced_role_is_enough_and_is_all_that_is_given(chart_cluster):
    for name in ("inside", "outside"):
        make_namespace(chart_cluster, name)
    install(chart_cluster, ("--set=scope.kind=namespaced", '--set-json=scope.namespaces=["inside"]'))
    account = f"system:serviceaccount:{SYSTEM}:{RELEASE}"
    for resource in ("pods", "perfruns.perfrun.dev", "configmaps"):
        with pytest.raises(Stop):
            chart_cluster.kubectl("auth", "can-i", "get", resource, "--namespace", "outside", "--as", account)
    for wanted in (
        ("get", "secrets"),
        ("patch", "nodes"),
        ("get", "namespaces"),
        ("create", "pods", "--subresource=exec"),
    ):
        with pytest.raises(Stop):
            chart_cluster.kubectl("auth", "can-i", *wanted, "--namespace", "inside", "--as", account)
    for name in ("inside", "outside"):
        apply(chart_cluster, name, TARGET, feature("slo"))
    status = wait_for(chart_cluster, "inside", "slo", lambda status: status.get("verdict"))
    assert status["verdict"] == "Pass", status
    assert (
        chart_cluster.get("perffeature", "slo", "--namespace", "outside")[0].get("status", {}).get("activeRun", "")
        == ""
    )
    logs = chart_cluster.kubectl("logs", "--namespace", SYSTEM, f"deployment/{RELEASE}")
    assert "forbidden" not in logs.lower()
    chart_cluster.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "180s")
    assert gone(chart_cluster, SYSTEM) == []
    assert "perfrun" not in chart_cluster.kubectl(
        "get", "roles,rolebindings", "--namespace", "inside", "--output", "name"
    )


def test_the_operator_meets_the_restricted_standard(operator_chart):
    # The namespace enforces it, so a pod that does not meet it would not be there.
    labels = operator_chart.get("namespace", SYSTEM)[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = operator_chart.get("pods", "--namespace", SYSTEM, "--selector", "app.kubernetes.io/name=perfrun")
    assert [pod["status"]["phase"] for pod in pods] == ["Running"]


def test_the_values_of_the_development_cluster_are_known_to_the_schema(chart_cluster):
    chart_cluster.helm("template", RELEASE, CHART, *development_values())
