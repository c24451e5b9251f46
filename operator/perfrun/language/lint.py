"""Checks of whole files: features, and manifests that hold features, with every problem at its place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final

import attrs

from perfrun.language.model import Location, Problem
from perfrun.language.read import understand
from perfrun.language.vocabulary import Vocabulary

_MANIFESTS: Final = frozenset({".yaml", ".yml", ".json"})
_KINDS: Final = frozenset({"PerfFeature", "PerfRun"})


@attrs.frozen
class Finding:
    """A problem and the file that it is in."""

    path: str
    problem: Problem


def lint(data: bytes, path: str, vocabularies: tuple[Vocabulary, ...]) -> tuple[Problem, ...]:
    """Return everything that is wrong with a file, in the file's order; nothing for a sound one.

    A file whose name ends in .yaml, .yml or .json is a manifest: each PerfFeature and PerfRun in it that carries its
    feature is checked, and places are those in the manifest.
    """
    if PurePath(path).suffix.lower() in _MANIFESTS:
        return tuple(sorted(_manifest(data, vocabularies), key=lambda each: each.location))
    return understand(data, vocabularies)[1]


def _manifest(data: bytes, vocabularies: tuple[Vocabulary, ...]) -> Iterator[Problem]:
    import yaml  # noqa: PLC0415 -- features alone need none

    lines = data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    try:
        text = data.decode("utf-8-sig")
        documents: list[Any] = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = _within(mark.line + 1, mark.column + 1, lines) if mark else Location(1)
        what = getattr(error, "problem", None) or type(error).__name__
        yield Problem(place, "bad-manifest", f"the manifest is not YAML ({what}); expected PerfFeature objects")
        return
    features = [feature for each in documents for feature in map(_feature, _objects(each)) if feature is not None]
    if not features:
        message = "the manifest holds no PerfFeature with a feature in it; expected spec.feature"
        yield Problem(Location(1), "bad-manifest", message)
    for feature in features:
        for problem in understand(feature.value, vocabularies)[1]:
            yield attrs.evolve(problem, location=_moved(problem.location, feature, lines))


def _objects(document: Any) -> tuple[Any, ...]:
    """Return the objects of a document; kubectl's lists do not nest."""
    if getattr(_member(document, "kind"), "value", "") != "List":
        return (document,)
    items = _member(document, "items")
    return tuple(items.value) if getattr(items, "id", "") == "sequence" else ()


def _feature(node: Any) -> Any:
    """Return the scalar node that holds an object's feature, or None where it has none."""
    kind = str(getattr(_member(node, "kind"), "value", ""))
    feature = _member(_member(node, "spec"), "feature")
    return feature if kind in _KINDS and getattr(feature, "id", "") == "scalar" else None


def _member(node: Any, name: str) -> Any:
    pairs = node.value if getattr(node, "id", "") == "mapping" else ()
    return next((value for key, value in pairs if key.value == name), None)


def _moved(location: Location, scalar: Any, lines: Sequence[str]) -> Location:
    """Return the place in the manifest; only a literal block keeps the feature's lines."""
    start = scalar.start_mark.line + 1
    if scalar.style != "|":
        return _within(start, scalar.start_mark.column + 1, lines)
    line = min(start + location.line, len(lines))
    body = lines[start : max(line, scalar.end_mark.line)]
    indent = min((len(each) - len(each.lstrip(" ")) for each in body if each.strip()), default=0)
    return _within(line, location.column + indent, lines)


def _within(line: int, column: int, lines: Sequence[str]) -> Location:
    """Return a place that exists: YAML has more line ends than editors, and errors may lie past the last line."""
    line = min(line, len(lines))
    return Location(line, min(column, len(lines[line - 1]) + 1))
