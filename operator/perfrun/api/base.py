"""What all API models share: frozen, camelCase on the wire, and unknown fields refused rather than dropped.

A misspelt field that is silently ignored would change what a verdict means, so reading is strict. Absent and
null are the same thing on the wire; writing leaves out what is None.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

JSON = Any
"""A JSON value: what ``json.loads`` returns."""


class Model(BaseModel):
    """Base of every API model."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True
    )

    def to_wire(self) -> dict[str, Any]:
        """Return the value as Kubernetes stores it: camelCase, JSON types, nothing that is None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """Read a stored value.

        Raises:
            pydantic.ValidationError: the data does not fit the model.
        """
        return cls.model_validate(data)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, validated anew."""
        data = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(data | changes)
