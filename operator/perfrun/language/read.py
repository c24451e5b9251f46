"""The language's front door: a feature's text and the vocabularies → scenarios that mean something.

Either everything in the file is understood, or a list of every problem comes back; there is no third way in which
a step could be skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from perfrun.language.binding import Bound, bind
from perfrun.language.lexicon import lexicon
from perfrun.language.model import Feature, Location, Problem, Scenario
from perfrun.language.parsing import parse
from perfrun.language.tags import TagError, matcher
from perfrun.language.vocabulary import Vocabulary

HINTED: Final = 100
"""Problems of a file that may come with the nearest known phrase."""


class FeatureErrors(ValueError):  # noqa: N818 -- it carries several, each a sentence
    """A feature that cannot be verified; ``problems`` say why, in the file's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(sentence(each) for each in problems))
        self.problems = problems


def sentence(problem: Problem) -> str:
    """Return a problem as one line: ``12:5: message [rule]``."""
    place = problem.location
    return f"{place.line}:{place.column}: {' '.join(problem.message.split())} [{problem.rule}]"


def read_feature(text: bytes | str, vocabularies: tuple[Vocabulary, ...], tags: str = "") -> Feature:
    """Return the feature with its meanings, cut down to the scenarios that the tag expression selects.

    Scenarios that are not selected must be sound all the same: a file is accepted or refused as a whole.

    Raises:
        FeatureErrors: something is wrong with the text, or the tag expression is malformed or selects nothing.
    """
    feature, problems = understand(text, vocabularies)
    if problems or feature is None:
        raise FeatureErrors(problems)
    try:
        selected = tuple(each for each in feature.scenarios if matcher(tags)(each.tags))
    except TagError as error:
        raise FeatureErrors((Problem(Location(1), "bad-tag-expression", str(error)),)) from error
    if not selected:
        known = ", ".join(sorted({tag for each in feature.scenarios for tag in each.tags})) or "no tags at all"
        message = f"the tag expression {tags!r} selects no scenario; the feature's tags are {known}"
        raise FeatureErrors((Problem(Location(1), "nothing-selected", message),))
    return attrs.evolve(feature, scenarios=selected)


def understand(text: bytes | str, vocabularies: tuple[Vocabulary, ...]) -> tuple[Feature | None, tuple[Problem, ...]]:
    """Return the feature as far as it could be read, and everything that is wrong with it; never raises."""
    parsed = parse(text)
    if parsed.feature is None:
        return None, tuple(sorted(parsed.problems, key=lambda each: each.location))
    words = lexicon(vocabularies)
    unfilled = {each.location.line for each in parsed.problems if each.rule == "unknown-placeholder"}
    bounds: list[Bound] = []
    hints = HINTED
    for scenario in parsed.feature.scenarios:
        bounds.append(bind(scenario, words, parsed.written, hints))
        hints -= len(bounds[-1].problems)
    problems = (*parsed.problems, *(each for each in _summed(bounds) if each.location.line not in unfilled))
    feature = attrs.evolve(parsed.feature, scenarios=tuple(each.scenario for each in bounds))
    return feature, tuple(sorted(problems, key=lambda each: each.location))


def _summed(bounds: Iterable[Bound]) -> tuple[Problem, ...]:
    """Return each place's problems once, however many rows or scenarios (of a Background) share them."""
    first: dict[tuple[Location, str], tuple[Bound, list[Problem]]] = {}
    others: dict[tuple[Location, str], int] = {}
    for bound in bounds:
        grouped: dict[tuple[Location, str], list[Problem]] = {}
        for problem in bound.problems:
            grouped.setdefault((problem.location, problem.rule), []).append(problem)
        for key, same in grouped.items():
            if first.setdefault(key, (bound, same))[0] is not bound:
                others[key] = others.get(key, 0) + 1
    return tuple(
        _placed(problem, bound.scenario, others.get(key, 0))
        for key, (bound, problems) in first.items()
        for problem in problems
    )


def _placed(problem: Problem, scenario: Scenario, others: int) -> Problem:
    """Say which row a problem of an outline comes from, unless it is plain from its place."""
    if not scenario.row or problem.location == scenario.location:
        return problem
    also = f" and {others} more" if others else ""
    return attrs.evolve(problem, message=f"{problem.message} (row on line {scenario.location.line}{also})")
