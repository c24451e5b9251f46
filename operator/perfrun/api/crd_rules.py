"""Rules that the API server itself enforces (CEL), each refusing with a sentence that says what to do.

What a single field may hold is in the models; here is what fields mean for each other. They hold even where the
admission webhook is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from perfrun.api.run import RunSpec

Rule = Mapping[str, str]


def _rule(rule: str, message: str, **more: str) -> Rule:
    return {"rule": rule, "message": message} | more


def _unchanged() -> str:
    """Return the rule that no field of a run's spec but ``cancel`` changes."""
    parts = []
    for name, field in RunSpec.model_fields.items():
        if name == "cancel":
            continue
        wire = field.alias or name
        if field.default is None:
            equal = f"has(self.{wire}) == has(oldSelf.{wire}) && (!has(self.{wire}) || self.{wire} == oldSelf.{wire})"
        else:
            equal = f"self.{wire} == oldSelf.{wire}"
        parts.append(f"({equal})")
    return " && ".join(parts)


RULES: Final[Mapping[str, list[Rule]]] = {
    "FeatureSpec": [
        _rule(
            "has(self.feature) != has(self.configMapKeyRef)",
            "exactly one of spec.feature and spec.configMapKeyRef holds the feature; set one of the two",
        ),
    ],
    "Schedule": [
        _rule(
            "self.cron.startsWith('@') || self.cron.trim().split(' ').filter(part, part != '').size() == 5",
            "spec.schedule.cron needs five fields, such as '*/15 * * * *', or a nickname such as @hourly",
        ),
    ],
    "RunSpec": [
        _rule(
            "has(self.feature) || has(self.configMapKeyRef) || has(self.featureRef)",
            "spec names no feature; set spec.feature, spec.configMapKeyRef or spec.featureRef",
        ),
        _rule(
            "!(has(self.feature) && has(self.configMapKeyRef))",
            "spec.feature and spec.configMapKeyRef exclude each other; set one of the two",
        ),
        _rule(
            _unchanged(),
            "the spec of a PerfRun records what was run and cannot change, except for spec.cancel; create another "
            "PerfRun",
        ),
        _rule(
            "!oldSelf.cancel || self.cancel",
            "spec.cancel cannot be taken back: the run is already being stopped; create another PerfRun",
        ),
    ],
    "LLM": [
        _rule(
            "self.engine != 'openai' || has(self.url)",
            "spec.llm.url is missing: engine openai needs the base URL of a server, such as http://server:8000/v1",
        ),
    ],
    "EngineModel": [
        _rule(
            "!(has(self.config) && has(self.path))",
            "config and path exclude each other: a model is either built from a config or loaded; set one of the two",
        ),
    ],
    "ModelSize": [
        _rule("self.hiddenSize % self.heads == 0", "hiddenSize must be a multiple of heads; change one of the two"),
        _rule("self.heads % self.kvHeads == 0", "heads must be a multiple of kvHeads; change one of the two"),
    ],
    "Chaos": [
        _rule(
            "!self.allowed || (self.maxNodes > 0 && self.maxShare > 0.0)",
            "spec.chaos.allowed is true, but maxNodes or maxShare is 0, so no node may ever fail; raise it or forbid "
            "chaos",
        ),
    ],
    "ForecastSpec": [
        _rule(
            "self == oldSelf",
            "a forecast that was made cannot change, or comparing it with what happened would mean nothing; delete it "
            "instead",
        ),
    ],
    "TargetSpec": [
        _rule(
            "self.metrics.all(one, self.metrics.exists_one(other, other.name == one.name))",
            "two of spec.metrics have the same name, so that a step could mean either; rename one",
        ),
    ],
}


def rules_of(model: str) -> list[Rule]:
    """Return the rules of a model, by its class name."""
    return RULES.get(model, [])
