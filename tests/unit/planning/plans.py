"""What the golden plans say: ``python tests/unit/planning/plans.py`` rewrites them for review."""

from __future__ import annotations

import json
from pathlib import Path

from perfrun.api.service import RequestLog, RequestSize, Service, Workload
from perfrun.api.target import Load, Prometheus, TargetSpec
from perfrun.planning.compile import plan

HERE = Path(__file__).parent
NAMES = ("load_balancing", "fault_tolerance")
TARGET = TargetSpec(
    service=Service(
        name="served",
        sizes={
            "medium": RequestSize(path="/medium", method="POST", body_bytes=4096),
            "large": RequestSize(path="/large", method="POST", body_bytes=65536),
        },
        headers={"Authorization": "none"},
        request_log=RequestLog(container="nginx"),
        workload=Workload(name="served"),
    ),
    load=Load(connection="new", shards=2),
    prometheus=Prometheus(url="http://prometheus:9090"),
)


def expectation(name: str) -> Path:
    """Return the file that holds the plan of a feature."""
    return HERE / "golden" / f"{name}.json"


def planned(name: str) -> str:
    """Return the plan of a feature as JSON, without its steps, which the language's own golden files hold."""
    text = (HERE.parents[2] / "features" / f"{name}.feature").read_text(encoding="utf-8")
    made = plan(text, TARGET)
    claims = [
        {"scenario": scenario.name, "step": step.text, "claim": step.claim.to_wire()}
        for scenario in made.scenarios
        for step in scenario.steps
        if step.claim is not None
    ]
    document = {"claims": claims, "stages": [stage.to_wire() for stage in made.stages]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in NAMES:
        expectation(each).parent.mkdir(exist_ok=True)
        expectation(each).write_text(planned(each), encoding="utf-8")
