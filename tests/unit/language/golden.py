"""What the golden files say: ``python tests/unit/language/golden.py`` rewrites them for review."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from perfrun.api.target import Metric
from perfrun.capabilities.words import builtin
from perfrun.language.lint import Finding, lint
from perfrun.language.model import Meaning, Quantity
from perfrun.language.quantities import show
from perfrun.language.read import read_feature
from perfrun.language.rendering import text

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
METRICS = tuple(
    Metric(name=name, query="vector(0)", unit=unit)
    for name, unit in (
        ("checkout error ratio", "ratio"), ("error ratio of {service}", "%"), ("request rate of {a} on {b}", "1/s"),
        ("free memory (heap/total)", "GB"), ("drift", "s"), ("cache hit rate", "%"),
    )
)  # fmt: skip
VOCABULARIES = builtin(METRICS)
GOOD = [*sorted((ROOT / "features").glob("*.feature")), *sorted((HERE / "good").glob("*.feature"))]
BAD = sorted((HERE / "bad").glob("*.feature"))


def expectation(path: Path) -> Path:
    """Return the file that holds what is expected of a feature."""
    good = path.parent.name != "bad"
    return HERE / ("good" if good else "bad") / f"{path.stem}.{'json' if good else 'txt'}"


def understood(data: bytes) -> str:
    """Return what a sound feature means, as JSON."""
    feature = read_feature(data, VOCABULARIES)
    scenarios = [
        {
            "title": scenario.title, "line": scenario.location.line, "capability": scenario.capability,
            "tags": scenario.tags, "rule": scenario.rule,
            "steps": [f"{step.location.line} {step.role}: {said(step.meaning)}" for step in scenario.steps],
        }
        for scenario in feature.scenarios
    ]  # fmt: skip
    return json.dumps({"name": feature.name, "scenarios": scenarios}, indent=1, ensure_ascii=False) + "\n"


def said(meaning: Meaning | None) -> str:
    assert meaning is not None
    parts = [f"{meaning.capability}.{meaning.key}", *(f"{key}={plain(each)}" for key, each in meaning.values.items())]
    if meaning.limit is not None:
        parts += [f"[{meaning.label}]", meaning.comparator or "", show(meaning.limit)]
    return " ".join(parts + ["throughout"] * meaning.sustained)


def plain(value: Any) -> Any:
    if isinstance(value, Quantity):
        return show(value)
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def refused(data: bytes, name: str) -> str:
    """Return what is wrong with a feature, as lint prints it."""
    return text([Finding(name, attrs.evolve(each)) for each in lint(data, name, VOCABULARIES)])


if __name__ == "__main__":
    for each in GOOD:
        expectation(each).write_text(understood(each.read_bytes()))
    for each in BAD:
        expectation(each).write_text(refused(each.read_bytes(), each.name))
