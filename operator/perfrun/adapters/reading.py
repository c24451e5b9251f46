"""Objects as the API server stores them become values, or a sentence that says why they cannot be read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pydantic

from perfrun.api.base import Model
from perfrun.api.feature import FeatureSpec, FeatureStatus
from perfrun.api.kept import ForecastSpec, ForecastStatus
from perfrun.api.run import RunSpec, RunStatus
from perfrun.api.target import TargetSpec, TargetStatus
from perfrun.lifecycle.values import Feature, Kept, Key, Kind, Meta, Run, Target

PLURALS: Mapping[Kind, str] = {
    "PerfFeature": "perffeatures", "PerfRun": "perfruns", "PerfTarget": "perftargets", "PerfForecast": "perfforecasts",
}  # fmt: skip
"""How each kind is spelt in paths."""

M = TypeVar("M", bound=Model)
Object = TypeVar("Object", Run, Feature, Target, Kept)


class MalformedError(ValueError):
    """An object that is stored but cannot be read; the message is one sentence with the place."""

    def __init__(self, key: Key, stored: Mapping[str, Any], message: str) -> None:
        super().__init__(message)
        self.key = key
        self.stored = stored


def run_of(stored: Mapping[str, Any]) -> Run:
    """Read a PerfRun; raises MalformedError."""
    return _read("PerfRun", stored, Run, RunSpec, RunStatus)


def feature_of(stored: Mapping[str, Any]) -> Feature:
    """Read a PerfFeature; raises MalformedError."""
    return _read("PerfFeature", stored, Feature, FeatureSpec, FeatureStatus)


def target_of(stored: Mapping[str, Any]) -> Target:
    """Read a PerfTarget; raises MalformedError."""
    return _read("PerfTarget", stored, Target, TargetSpec, TargetStatus)


def forecast_of(stored: Mapping[str, Any]) -> Kept:
    """Read a PerfForecast; raises MalformedError."""
    return _read("PerfForecast", stored, Kept, ForecastSpec, ForecastStatus)


def meta_of(metadata: Mapping[str, Any]) -> Meta:
    """Read the part of the metadata that decisions need."""
    created = metadata.get("creationTimestamp")
    return Meta(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        resource_version=metadata.get("resourceVersion", ""),
        created=dt.datetime.fromisoformat(created) if created else None,
        deleting=metadata.get("deletionTimestamp") is not None,
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        finalizers=tuple(metadata.get("finalizers") or ()),
    )


def owned_by(stored: Mapping[str, Any], uid: str) -> bool:
    """Return whether the object's owner has this uid."""
    return any(owner.get("uid") == uid for owner in stored["metadata"].get("ownerReferences") or ())


def sentence(error: pydantic.ValidationError, under: str) -> str:
    """Return the first problem of a model as ``place: what was found and expected``."""
    first = error.errors(include_url=False)[0]
    place = ".".join([under, *(str(part) for part in first["loc"])])
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place}: {first['msg']}, found {str(first['input'])[:80]!r}{more}"


def _read(
    kind: Kind,
    stored: Mapping[str, Any],
    make: Callable[[Meta, Any, Any], Object],
    spec: type[Model],
    status: type[Model],
) -> Object:
    meta = meta_of(stored["metadata"])
    key = Key(kind, meta.namespace, meta.name)
    return make(meta, _part(key, stored, "spec", spec), _part(key, stored, "status", status))


def _part(key: Key, stored: Mapping[str, Any], name: str, model: type[M]) -> M:
    try:
        return model.from_wire(stored.get(name) or {})
    except pydantic.ValidationError as error:
        raise MalformedError(key, stored, f"{key.kind} {key.namespace}/{key.name}: {sentence(error, name)}") from error
