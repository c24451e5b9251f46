"""The generated definitions: in step with the models, structural, and complete in what they explain."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from perfrun.api import feature, kept, plan, run, target
from perfrun.api.base import Model
from perfrun.api.crd_rules import RULES
from perfrun.api.crds import KINDS, definition, files
from perfrun.api.structural import structural

ROOT = Path(__file__).parents[3]
NOT_STRUCTURAL = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title", "uniqueItems", "patternProperties"}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from nodes(each, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from nodes(schema[inner], f"{path}[]")


def schema_of(kind: str) -> dict[str, Any]:
    (found,) = (definition(each) for each in KINDS if each.name == kind)
    schema: dict[str, Any] = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def test_the_committed_files_are_what_the_models_say() -> None:
    assert {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")} == files()


@pytest.mark.parametrize("kind", [each.name for each in KINDS])
def test_every_level_is_structural_and_every_field_explained(kind: str) -> None:
    for path, node in nodes(schema_of(kind)):
        assert not NOT_STRUCTURAL & set(node), path
        assert node.get("additionalProperties", {}) is not False, path
        assert "type" in node or any(key.startswith("x-kubernetes-") for key in node), path
        if not path.endswith("[]") and path != ".metadata":
            assert node["description"], path
        if "properties" in node:
            assert set(node.get("required", [])) <= set(node["properties"]), path
        if node.get("type") == "object":
            kept = node.get("x-kubernetes-preserve-unknown-fields")
            assert path == ".metadata" or kept or {"properties", "additionalProperties"} & set(node), path


@pytest.mark.parametrize("kind", [each.name for each in KINDS])
def test_a_status_has_one_default_and_no_rule(kind: str) -> None:
    status = schema_of(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    for path, node in nodes(status):
        assert not path or "default" not in node, path
        assert "x-kubernetes-validations" not in node, path


@pytest.mark.parametrize("kind", [each.name for each in KINDS])
def test_defaults_hold_no_null(kind: str) -> None:
    for path, node in nodes(schema_of(kind)["properties"]["spec"]):
        assert "null" not in yaml.safe_dump(node.get("default", "")), path


def test_every_rule_names_fields_of_its_model() -> None:
    models = {
        name: each
        for module in (feature, kept, plan, run, target)
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, Model)
    }
    for name, rules in RULES.items():
        known = {field.alias or own for own, field in models[name].model_fields.items()}
        for rule in rules:
            assert set(re.findall(r"(?:self|oldSelf)\.([A-Za-z]+)", rule["rule"])) <= known, rule["rule"]
            assert "; " in rule["message"] or ": " in rule["message"] or "such as" in rule["message"]


def test_only_cancel_may_change_on_a_run() -> None:
    (rule,) = (each["rule"] for each in RULES["RunSpec"] if "except for spec.cancel" in each["message"])
    guarded = set(re.findall(r"oldSelf\.([A-Za-z]+)", rule))
    assert guarded == {field.alias or name for name, field in run.RunSpec.model_fields.items()} - {"cancel"}


def test_columns_tell_the_story() -> None:
    columns = {
        each.name: [column["name"] for column in definition(each)["spec"]["versions"][0]["additionalPrinterColumns"]]
        for each in KINDS
    }
    assert columns["PerfRun"] == [
        "Feature",
        "Verdict",
        "Phase",
        "Fault",
        "Scenarios",
        "Message",
        "Duration",
        "Saved",
        "Age",
    ]
    assert columns["PerfFeature"] == ["Target", "Verdict", "Ready", "Message", "Active", "Next", "Age"]
    assert columns["PerfTarget"] == ["Service", "Chaos", "Ready", "Message", "Age"]


class Inner(Model):
    """An inner thing."""

    anything: Any = None
    """Whatever."""


class Outer(Model):
    """An outer thing."""

    maybe: Inner | None = None
    """Perhaps."""
    words: tuple[str, ...] = ()
    """Some."""
    counts: dict[str, int] = Field(default_factory=dict)
    """By name."""
    loose: dict[str, Any] = Field(default_factory=dict)
    """Anything by name."""


def test_what_pydantic_says_becomes_what_an_api_server_takes() -> None:
    anything = {"description": "Whatever.", "x-kubernetes-preserve-unknown-fields": True}
    assert structural(Outer, lambda name: [{"rule": "true", "message": "m"}] if name == "Inner" else []) == {
        "type": "object",
        "description": "An outer thing.",
        "properties": {
            "maybe": {
                "type": "object",
                "description": "Perhaps.",
                "properties": {"anything": anything},
                "x-kubernetes-validations": [{"rule": "true", "message": "m"}],
            },
            "words": {"type": "array", "description": "Some.", "items": {"type": "string"}, "default": []},
            "counts": {
                "type": "object", "description": "By name.",
                "additionalProperties": {"type": "integer", "format": "int64"},
            },
            "loose": {
                "type": "object", "description": "Anything by name.",
                "x-kubernetes-preserve-unknown-fields": True,
            },
        },
    }  # fmt: skip
