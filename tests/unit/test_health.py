"""What GitOps tools make of a status, evaluated with the very Lua and CEL that the chart ships."""

from __future__ import annotations

from pathlib import Path

import celpy
import lupa
import pytest
import yaml

HEALTH = Path(__file__).parents[2] / "charts" / "perfrun" / "files" / "health"


def condition(kind, status="True", generation=2):
    return {"type": kind, "status": status, "observedGeneration": generation, "message": f"{kind} said so"}


READY, STALLED, RECONCILING = condition("Ready"), condition("Stalled"), condition("Reconciling")
NOT_READY, UNKNOWN = condition("Ready", "False"), condition("Ready", "Unknown")

# name, status, what Argo CD says, what Flux says
STATES = [
    ("new, nobody looked", {"observedGeneration": -1}, "Progressing", "InProgress"),
    ("nothing at all", {}, "Progressing", "InProgress"),
    (
        "older generation passed",
        {"observedGeneration": 1, "conditions": [condition("Ready", generation=1)]},
        "Progressing",
        "InProgress",
    ),
    (
        "older generation failed",
        {"observedGeneration": 1, "conditions": [condition("Stalled", generation=1)]},
        "Progressing",
        "InProgress",
    ),
    ("first run going", {"observedGeneration": 2, "conditions": [UNKNOWN, RECONCILING]}, "Progressing", "InProgress"),
    ("passed", {"observedGeneration": 2, "conditions": [READY]}, "Healthy", "Current"),
    (
        "passed, periodic run going",
        {"observedGeneration": 2, "conditions": [READY, condition("Running")]},
        "Healthy",
        "Current",
    ),
    ("violated", {"observedGeneration": 2, "conditions": [NOT_READY, STALLED]}, "Degraded", "Failed"),
    ("will retry", {"observedGeneration": 2, "conditions": [UNKNOWN, RECONCILING]}, "Progressing", "InProgress"),
    ("too old", {"observedGeneration": 2, "conditions": [UNKNOWN]}, "Progressing", "InProgress"),
    (
        "not ready alone is no failure",
        {"observedGeneration": 2, "conditions": [NOT_READY]},
        "Progressing",
        "InProgress",
    ),
    (
        "a stale condition is no pass",
        {"observedGeneration": 2, "conditions": [condition("Ready", generation=1)]},
        "Progressing",
        "InProgress",
    ),
    (
        "a stale condition is no failure",
        {"observedGeneration": 2, "conditions": [condition("Stalled", generation=1)]},
        "Progressing",
        "InProgress",
    ),
]
NAMES = [each[0] for each in STATES]


def stored(status, **more):
    return {"kind": "PerfFeature", "metadata": {"name": "f", "generation": 2}, "spec": {}, "status": status} | more


def argo(manifest):
    runtime = lupa.LuaRuntime(unpack_returned_tuples=True)
    runtime.globals()["obj"] = runtime.table_from(manifest, recursive=True)
    answer = runtime.execute((HEALTH / "argocd.lua").read_text())
    return answer["status"], answer["message"]


def flux(manifest, check):
    environment = celpy.Environment()
    variables = {name: celpy.json_to_cel(manifest[name]) for name in ("metadata", "spec", "status")}
    for name, meaning in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if environment.program(environment.compile(check[name])).evaluate(variables):
            return meaning
    return "InProgress"


@pytest.mark.parametrize(("name", "status", "expected", "_flux"), STATES, ids=NAMES)
def test_argo_cd(name, status, expected, _flux):
    health, message = argo(stored(status))
    assert health == expected, name
    assert message or expected == "Progressing"


@pytest.mark.parametrize("check", yaml.safe_load((HEALTH / "flux.yaml").read_text()), ids=lambda check: check["kind"])
@pytest.mark.parametrize(("name", "status", "_argo", "expected"), STATES, ids=NAMES)
def test_flux(name, status, _argo, expected, check):
    assert flux(stored(status), check) == expected, name


def test_argo_cd_sees_deletion_and_suspension():
    leaving = stored({"observedGeneration": 2, "conditions": [READY]})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert argo(leaving)[0] == "Progressing"
    assert argo(stored({"observedGeneration": 2, "conditions": [UNKNOWN]}, spec={"suspend": True}))[0] == "Suspended"


def test_flux_reads_all_three_kinds_by_their_version():
    checks = yaml.safe_load((HEALTH / "flux.yaml").read_text())
    assert [each["kind"] for each in checks] == ["PerfFeature", "PerfRun", "PerfTarget"]
    assert {each["apiVersion"] for each in checks} == {"perfrun.dev/v1alpha1"}
