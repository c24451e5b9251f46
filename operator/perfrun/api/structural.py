"""Pydantic's JSON schema → the structural OpenAPI v3 schema that an API server takes.

The two differ in what they allow: references, null as a type, numeric exclusive bounds, constants and closed objects
are JSON Schema only, and a value of any kind must say that its fields are kept. Defaults are kept in specs, where
people read them, and left out of statuses, where the API server would write them as if somebody had found them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT: Final = (
    "type", "format", "description", "enum", "pattern", "minLength", "maxLength", "minItems", "maxItems",
    "minProperties", "maxProperties", "minimum", "maximum", "default", "required",
)  # fmt: skip


def structural(
    model: type[BaseModel], rules: Callable[[str], list[Mapping[str, str]]], *, defaults: bool = True
) -> Schema:
    """Return a model's structural schema.

    ``rules`` gives the validation rules of a model by its class name. ``defaults`` says whether they are kept.
    """
    raw = model.model_json_schema(by_alias=True)
    return _Translation(raw.get("$defs", {}), rules, defaults).schema(raw)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items() if each is not None}
    return value


class _Translation:
    """One run over a schema; holds what every level needs."""

    def __init__(
        self, definitions: Mapping[str, Schema], rules: Callable[[str], list[Mapping[str, str]]], defaults: bool
    ) -> None:
        self._definitions = definitions
        self._rules = rules
        self._defaults = defaults

    def schema(self, node: Schema) -> Schema:
        """Return one node, and all below it, in structural form."""
        node, name = self._resolved(node)
        result: Schema = {key: node[key] for key in _KEPT if key in node}
        if "const" in node:
            result["enum"] = [node["const"]]
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if exclusive in node:
                result |= {bound: node[exclusive], exclusive: True}
        if result.get("type") == "integer":
            result.setdefault("format", "int64")
        default = _without_null(result.pop("default", None))
        if self._defaults and default is not None:
            result["default"] = default
        result |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
        self._nested(node, result)
        if "type" not in node and "enum" not in result and "x-kubernetes-int-or-string" not in result:
            result.setdefault("x-kubernetes-preserve-unknown-fields", True)
        validations = self._rules(name)
        if validations:
            result["x-kubernetes-validations"] = [dict(each) for each in validations]
        return result

    def _nested(self, node: Schema, result: Schema) -> None:
        if "properties" in node:
            result["properties"] = {name: self.schema(each) for name, each in node["properties"].items()}
        elif node.get("type") == "object":
            values = node.get("additionalProperties", True)
            if isinstance(values, dict) and values:
                result["additionalProperties"] = self.schema(values)
            else:
                result["x-kubernetes-preserve-unknown-fields"] = True
        if "items" in node:
            result["items"] = self.schema(node["items"])

    def _resolved(self, node: Schema) -> tuple[Schema, str]:
        """Return the node with references and alternatives to null taken in, and the name of its model."""
        name = node.get("title", "")
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                name = node["$ref"].rpartition("/")[2]
                target = self._definitions[name]
            else:
                (target,) = (each for each in node["anyOf"] if each.get("type") != "null")
            node = target | {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
        return node, name
