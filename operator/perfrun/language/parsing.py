"""Feature text → scenarios with places but without meaning: the official parser and compiler, made safe.

The official compiler decides what a scenario is (backgrounds, rules, outlines, tags); this module adds what it
leaves out: where each substituted step stands in the file, placeholders that nothing fills, and sentences for the
parser's errors. Nothing that is wrong with a text raises; it becomes a problem with line and column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
from gherkin.errors import CompositeParserException, NoSuchLanguageException, ParserException
from gherkin.parser import Parser

from perfrun.api.limits import MAX_FEATURE_BYTES
from perfrun.language.expanding import PLACEHOLDER, ExpansionError, expand
from perfrun.language.model import Cell, Feature, Location, Problem, Role, Scenario, Step, Table
from perfrun.language.wording import quoted

STEP_LENGTH: Final = 1024
"""Longest step, characters; it bounds what matching a step may cost."""

_ROLES: Final[Mapping[str, Role]] = {"Context": "context", "Action": "action", "Outcome": "outcome"}
_EXPECTED = re.compile(r"^\([0-9]+:[0-9]+\): (?:unexpected end of file, )?expected: (.*?)(?:, got '(.*)')?$", re.DOTALL)
_TOKENS = {
    "#FeatureLine": "'Feature:'", "#RuleLine": "'Rule:'", "#BackgroundLine": "'Background:'",
    "#ScenarioLine": "'Scenario:'", "#ExamplesLine": "'Examples:'", "#StepLine": "a step", "#TableRow": "a table row",
    "#DocStringSeparator": "a doc string", "#TagLine": "a tag",
}  # fmt: skip


@attrs.frozen
class Written:
    """What the file says of steps beyond their text.

    ``loose`` are the places of steps whose keyword fits several roles (``*``, or a word that a language uses for two);
    ``templates`` hold steps as written, before an outline filled them in.
    """

    loose: frozenset[Location] = frozenset()
    templates: Mapping[Location, str] = attrs.field(factory=dict)


@attrs.frozen
class Parsed:
    """A parsed feature and what is wrong with its form; ``feature`` is None where the text could not be parsed."""

    feature: Feature | None
    problems: tuple[Problem, ...]
    written: Written = Written()


def decode(data: bytes | str) -> tuple[str, tuple[Problem, ...]]:
    """Return the text of a feature with plain line ends, or the reason why there is none."""
    try:
        size = len(data if isinstance(data, bytes) else data.encode())
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
    except UnicodeError as error:
        what = f"byte {error.start}" if isinstance(error, UnicodeDecodeError) else "a lone surrogate"
        return "", (_first("not-utf-8", f"the file is not UTF-8 ({what} is not valid); save it as UTF-8"),)
    if size > MAX_FEATURE_BYTES:
        message = (
            f"the feature is {size} bytes long, but {MAX_FEATURE_BYTES} is the most that fits into a resource; "
            "split it into several features"
        )
        return "", (_first("too-large", message),)
    if not text.strip():
        return "", (_first("empty", "the feature is empty; expected 'Feature:' with a name and at least one scenario"),)
    return text.replace("\r\n", "\n").replace("\r", "\n"), ()


def parse(data: bytes | str) -> Parsed:
    """Parse a feature in any of Gherkin's spoken languages."""
    text, problems = decode(data)
    if problems:
        return Parsed(None, problems)
    lines = text.split("\n")
    try:
        document: Any = Parser().parse(text)
    except CompositeParserException as error:
        # A line that breaks two rules at once is one mistake.
        found = {each.location: each for each in reversed([_syntax(each, lines) for each in error.errors])}
        return Parsed(None, tuple(found.values()))
    except ParserException as error:
        return Parsed(None, (_syntax(error, lines),))
    if "feature" not in document:
        return Parsed(None, (_first("empty", "the file holds only comments; expected 'Feature:' with a name"),))
    return _compiled(document)


def _compiled(document: Any) -> Parsed:
    node = document["feature"]
    index = {each["id"]: each for each in _nodes(node)}
    rules = {
        scenario["id"]: child["rule"]["name"]
        for child in node["children"] if "rule" in child
        for scenario in (each["scenario"] for each in child["rule"]["children"] if "scenario" in each)
    }  # fmt: skip
    headers = {
        row["id"]: examples["tableHeader"]["cells"]
        for each in index.values() for examples in each.get("examples", ()) for row in examples["tableBody"]
    }  # fmt: skip
    try:
        pickles = expand(document)
    except ExpansionError as error:
        return Parsed(None, (Problem(_at(node["location"]), "too-large", str(error)),))
    scenarios = tuple(_scenario(pickle, index, headers, rules) for pickle in pickles)
    steps = [each for each in index.values() if "keywordType" in each]
    feature = Feature(
        name=node["name"], language=node["language"], scenarios=scenarios,
        tags=tuple(tag["name"] for tag in node["tags"]),
    )  # fmt: skip
    problems = [*_unfilled(node), *_rowless(node)]
    if not pickles and not problems:
        message = f"the feature {node['name']!r} has no scenario; expected at least one 'Scenario:'"
        problems.append(Problem(_at(node["location"]), "no-scenario", message))
    written = Written(
        loose=frozenset(_at(each["location"]) for each in steps if each["keywordType"] == "Unknown"),
        templates={_at(each["location"]): each["text"] for each in steps},
    )
    return Parsed(feature, tuple(problems), written)


def _nodes(feature: Any) -> Iterator[Any]:
    """Yield every node that a pickle may point at: scenarios, steps and rows of examples."""
    for child in _definitions(feature):
        yield child
        yield from child["steps"]
        for examples in child.get("examples", ()):
            yield from examples["tableBody"]


def _definitions(parent: Any) -> Iterator[Any]:
    for child in parent["children"]:
        if "rule" in child:
            yield from _definitions(child["rule"])
        else:
            yield child.get("background") or child["scenario"]


def _scenario(pickle: Any, index: Mapping[str, Any], headers: Mapping[str, Any], rules: Mapping[str, str]) -> Scenario:
    scenario, *rows = (index[each] for each in pickle["astNodeIds"])
    row = {
        head["value"]: cell["value"]
        for each in rows for head, cell in zip(headers[each["id"]], each["cells"], strict=True)
    }  # fmt: skip
    steps: list[Step] = []
    role: Role = "context"
    for step in pickle["steps"]:
        node = index[step["astNodeIds"][0]]
        role = _ROLES.get(node["keywordType"], role)
        steps.append(_step(step, node, role))
    return Scenario(
        name=pickle["name"], location=_at(pickle["location"]), steps=tuple(steps), row=row,
        tags=tuple(dict.fromkeys(tag["name"] for tag in pickle["tags"])), rule=rules.get(scenario["id"], ""),
    )  # fmt: skip


def _step(step: Any, node: Any, role: Role) -> Step:
    argument = step.get("argument", {})
    table = None
    if "dataTable" in argument:
        rows = tuple(
            tuple(
                Cell(text=cell["value"], location=_at(place["location"]))
                for cell, place in zip(row["cells"], source["cells"], strict=True)
            )
            for row, source in zip(argument["dataTable"]["rows"], node["dataTable"]["rows"], strict=True)
        )
        table = Table(header=rows[0], rows=rows[1:])
    return Step(
        keyword=node["keyword"].strip(), role=role, text=step["text"], location=_at(node["location"]), table=table,
        doc=argument["docString"]["content"] if "docString" in argument else None,
    )  # fmt: skip


def _unfilled(feature: Any) -> Iterator[Problem]:
    """Yield a problem for each placeholder that no column fills."""
    for each in _definitions(feature):
        tables = [examples["tableHeader"] for examples in each.get("examples", ()) if "tableHeader" in examples]
        known = [{cell["value"] for cell in table["cells"]} for table in tables]
        common = set.intersection(*known) if known else set()
        for text, location, offset in _texts(each):
            for found in PLACEHOLDER.finditer(text):
                if found.group(1) not in common:
                    place = Location(location.line, location.column + offset + found.start())
                    yield Problem(place, "unknown-placeholder", _no_column(found.group(1), known, "examples" in each))


def _no_column(name: str, known: Sequence[set[str]], may_have: bool) -> str:
    if not may_have:
        return f"<{name}> stands in a Background, where no Examples fill it in; write the value itself"
    if not known:
        return f"<{name}> is a placeholder, but the scenario has no Examples table; add one with a column {name!r}"
    columns = ", ".join(repr(each) for each in sorted(set.union(*known)))
    return f"<{name}> has no column in the Examples; expected one of {columns}, or another column"


def _texts(definition: Any) -> Iterator[tuple[str, Location, int]]:
    """Yield each text that placeholders may stand in, with its place and the offset of its first character."""
    for step in definition["steps"]:
        yield step["text"], _at(step["location"]), len(step["keyword"])
        if "dataTable" in step:
            for row in step["dataTable"]["rows"]:
                for cell in row["cells"]:
                    yield cell["value"], _at(cell["location"]), 0


def _rowless(feature: Any) -> Iterator[Problem]:
    for each in _definitions(feature):
        for examples in each.get("examples", ()):
            if not examples["tableBody"]:
                message = f"the Examples of {each['name']!r} have no rows, so nothing would be verified; add one"
                yield Problem(_at(examples["location"]), "empty-examples", message)
            heads = [cell["value"] for cell in examples.get("tableHeader", {"cells": ()})["cells"]]
            for position, name in enumerate(heads):
                if name in heads[:position]:
                    place = _at(examples["tableHeader"]["cells"][position]["location"])
                    yield Problem(
                        place, "duplicate-column", f"column {name!r} stands twice in the Examples; remove one"
                    )


def _syntax(error: ParserException, lines: Sequence[str]) -> Problem:
    line = min(max(error.location["line"], 1), len(lines))
    column = min(max(error.location.get("column", 1), 1), len(lines[line - 1]) + 1)
    return Problem(Location(line, column), "syntax", _sentence(error))


def _sentence(error: ParserException) -> str:
    raw = str(error)
    if isinstance(error, NoSuchLanguageException):
        return f"{raw.rpartition(': ')[2]!r} is no spoken language of Gherkin; expected a code such as en, de or fr"
    found = _EXPECTED.match(raw)
    if found is None:
        what = raw.partition("): ")[2]
        if "cell count" in what:
            return "this row has another number of cells than the table's first row; give each row the same number"
        return what[:1].lower() + what[1:]
    tokens = [_TOKENS[each] for each in found.group(1).split(", ") if each in _TOKENS]
    wanted = " or ".join([", ".join(tokens[:-1]), tokens[-1]] if len(tokens) > 1 else tokens) or "the end of the file"
    if found.group(2) is None:
        return f"the file ends where {wanted} was expected"
    return f"found {quoted(found.group(2))} where {wanted} was expected"


def _at(location: Any) -> Location:
    return Location(location["line"], location.get("column", 1))


def _first(rule: str, message: str) -> Problem:
    return Problem(Location(1, 1), rule, message)
