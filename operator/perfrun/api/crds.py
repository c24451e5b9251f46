"""The CustomResourceDefinitions, generated from the models: ``python -m perfrun.api.crds DIR`` writes them.

The models are the one source; the files in ``crds/`` are committed so that people can read and apply them, and a
test holds them to the models.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import attrs
import yaml
from pydantic import BaseModel

from perfrun.api import GROUP, VERSION
from perfrun.api.crd_rules import rules_of
from perfrun.api.feature import FeatureSpec, FeatureStatus
from perfrun.api.kept import ForecastSpec, ForecastStatus
from perfrun.api.run import RunSpec, RunStatus
from perfrun.api.structural import Schema, structural
from perfrun.api.target import TargetSpec, TargetStatus

Column = tuple[str, str, str, str, int]
"""Name, type, path, description, priority."""

_CONDITION: Final[Schema] = {
    "type": "object",
    "description": "One aspect of the object's state.",
    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
    "properties": {
        "type": {"type": "string", "maxLength": 316, "description": "Which aspect, such as Ready or Finished."},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
        "observedGeneration": {
            "type": "integer", "format": "int64", "minimum": 0,
            "description": "Generation of the object that this condition describes.",
        },
        "lastTransitionTime": {
            "type": "string", "format": "date-time", "description": "When the status last changed.",
        },
        "reason": {"type": "string", "maxLength": 1024, "description": "Why, in one word for programs."},
        "message": {"type": "string", "maxLength": 32768, "description": "Why, in one sentence for people."},
    },
}  # fmt: skip


@attrs.frozen
class Kind:
    """What tells one resource from the others."""

    name: str
    short: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()

    @property
    def plural(self) -> str:
        """Return the name in URLs."""
        return f"{self.name.lower()}s"


_AGE: Final[Column] = ("Age", "date", ".metadata.creationTimestamp", "Time since the object was created.", 0)
_READY = '.status.conditions[?(@.type=="Ready")].status'

KINDS: Final = (
    Kind(
        "PerfFeature", "pf",
        "PerfFeature is a feature file (Gherkin) whose promises are verified on change and on schedule. Its Ready "
        "condition says whether the newest verdict is a pass.",
        FeatureSpec, FeatureStatus,
        (
            ("Target", "string", ".spec.targetRef", "PerfTarget that the feature is verified against.", 0),
            ("Verdict", "string", ".status.verdict", "Verdict of the newest finished run.", 0),
            ("Ready", "string", _READY, "Whether the newest verdict is a pass that still counts.", 0),
            ("Message", "string", ".status.message", "Why, in one sentence.", 0),
            ("Active", "string", ".status.activeRun", "PerfRun under way.", 0),
            ("Next", "date", ".status.nextScheduleTime", "When the next run is due.", 0),
            _AGE,
        ),
        selectable=(".spec.targetRef",),
    ),
    Kind(
        "PerfRun", "pr",
        "PerfRun is one execution of a feature: what was run, frozen, and the evidence behind every step's verdict.",
        RunSpec, RunStatus,
        (
            ("Feature", "string", ".spec.featureRef", "PerfFeature that the run belongs to.", 0),
            ("Verdict", "string", ".status.verdict", "Worst verdict of its scenarios.", 0),
            ("Phase", "string", ".status.phase", "Where the run stands.", 1),
            ("Fault", "string", ".status.faults[-1:].state", "How far the newest fault has come.", 1),
            ("Scenarios", "string", ".status.summary", "Scenarios passed of all.", 0),
            ("Message", "string", ".status.message", "Why, in one sentence.", 0),
            ("Duration", "string", ".status.duration", "How long it took.", 0),
            ("Saved", "string", ".status.saved", "Measuring time that the evidence did not need.", 1),
            _AGE,
        ),
        selectable=(".spec.featureRef", ".spec.targetRef", ".status.phase"),
    ),
    Kind(
        "PerfTarget", "pt",
        "PerfTarget is what features are verified against: the system under test, its metrics, how benchmark pods are "
        "made, and what chaos may do. It belongs to the platform team.",
        TargetSpec, TargetStatus,
        (
            ("Service", "string", ".spec.service.name", "Service under load.", 0),
            ("Chaos", "boolean", ".spec.chaos.allowed", "Whether faults may be injected.", 0),
            ("Ready", "string", _READY, "Whether the target is usable.", 0),
            ("Message", "string", ".status.message", "What is wrong with it.", 0),
            _AGE,
        ),
    ),
    Kind(
        "PerfForecast", "pfc",
        "PerfForecast is what a run foretold of one metric. perfrun makes it, compares it with what happened when its "
        "time has come, and lets later runs tell how such forecasts did. It goes with its PerfTarget.",
        ForecastSpec, ForecastStatus,
        (
            ("Target", "string", ".spec.targetRef", "PerfTarget whose metric is foretold.", 0),
            ("Metric", "string", ".spec.metric", "What is foretold.", 0),
            ("Horizon", "string", ".spec.horizon", "How far ahead.", 0),
            ("Due", "string", ".spec.points[-1:].at", "When all of it has happened.", 0),
            ("WAPE", "number", ".status.wape", "Weighted absolute percentage error, percent.", 0),
            ("Coverage", "number", ".status.coverage", "Share of points within the interval, percent.", 0),
            ("Scored", "string", '.status.conditions[?(@.type=="Scored")].status', "Whether it was compared yet.", 0),
            ("Backtest", "number", ".spec.backtest.wape", "Error of the model on history, percent.", 1),
            ("Model", "string", ".spec.model", "The model that was chosen.", 1),
            ("Message", "string", ".status.message", "How it did, in one sentence.", 1),
            _AGE,
        ),
        selectable=(".spec.targetRef",),
    ),
)  # fmt: skip


def definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": form, "jsonPath": path, "description": description, "priority": priority}
            for name, form, path, description, priority in kind.columns
        ],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name, "listKind": f"{kind.name}List", "plural": kind.plural,
                "singular": kind.name.lower(), "shortNames": [kind.short], "categories": ["perf"],
            },
            "versions": [version],
        },
    }  # fmt: skip


def _schema(kind: Kind) -> Schema:
    status = structural(kind.status, lambda _model: [], defaults=False)
    status["properties"]["conditions"] |= {
        "items": _CONDITION, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
    }  # fmt: skip
    # A reader that finds no observedGeneration skips the check altogether and takes an object that nobody has looked
    # at yet for a finished one.
    status["default"] = {"observedGeneration": -1}
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Version of this schema: {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Kind of the object: {kind.name}."},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec, rules_of),
            "status": status,
        },
    }


def files() -> dict[str, str]:
    """Return the content of every file, by name."""
    return {
        f"{kind.plural}.yaml": "# Generated by python -m perfrun.api.crds; edit the models instead.\n"
        + yaml.dump(definition(kind), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
        for kind in KINDS
    }


class _Plain(yaml.SafeDumper):
    """PyYAML's dumper without anchors: rules and conditions occur in several places."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- the library's signature
        return True


if __name__ == "__main__":
    for name, content in files().items():
        (Path(sys.argv[1]) / name).write_text(content)
