"""The vocabularies of all capabilities at work: a step's text → everything that it could mean.

Reading does not choose; ``resolve`` does, with the whole scenario in view. A text that fits a phrase but for a value
or a unit is still a reading, one that carries its problem, so that the user hears "expected a length of time" and
not "undefined step".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import attrs

from perfrun.language import quantities
from perfrun.language.comparators import Comparison
from perfrun.language.expressions import arguments, nearest
from perfrun.language.model import Meaning, Problem, Quantity, Role, Step
from perfrun.language.tables import read_rows
from perfrun.language.vocabulary import Phrase, Subject, Vocabulary
from perfrun.language.wording import quoted

_CLAIM = "{subject} {comparator} {rest}"


@attrs.frozen
class Reading:
    """One thing that a step could mean; ``problems`` say why it cannot quite."""

    capability: str
    role: Role
    said: str
    meaning: Meaning | None = None
    problems: tuple[Problem, ...] = ()
    neutral: bool = False
    companion: bool = False


@attrs.frozen
class Lexicon:
    """All phrases and subjects of the vocabularies."""

    vocabularies: tuple[Vocabulary, ...]

    @functools.cached_property
    def _relatives(self) -> tuple[str, ...]:
        return tuple({each.relative_to for _, each in self._subjects() if each.relative_to})

    def readings(self, step: Step) -> tuple[Reading, ...]:
        """Return everything that the step could mean, in the vocabularies' order."""
        return (*self._phrased(step), *self._claimed(step))

    def undefined(self, step: Step, template: str, *, hint: bool) -> Problem:
        """Return the problem of a step without any reading, with the nearest known phrase where one is asked for."""
        parts = arguments(_CLAIM, step.text)
        if parts is None:
            what = f"{quoted(template)} is not known"
            near = self._nearest_phrase(step) if hint else ""
            otherwise = "no known phrase is like it" if hint else ""
        else:
            words, comparison, rest = parts
            what = f"nothing is known as {quoted(words)}"
            near = self._nearest_subject(words, comparison) if hint else ""
            near = f"{near}{step.text[len(words) : -len(rest)]}{rest}" if near else ""
            otherwise = "expected a known subject, or a metric that the PerfTarget names (perfrun lint --target FILE)"
        also = f"did you mean {quoted(near)}?" if near else otherwise
        return Problem(step.location, "undefined-step", f"undefined step: {what}{also and '; '}{also}", near)

    def _nearest_phrase(self, step: Step) -> str:
        return nearest(step.text, self._examples(step.role)) or nearest(step.text, self._examples(None))

    def _nearest_subject(self, words: str, comparison: Comparison) -> str:
        return nearest(_bare(words), [say(each) for _, each in self._subjects() if each.change == comparison.change])

    def _phrased(self, step: Step) -> Iterator[Reading]:
        for vocabulary in self.vocabularies:
            for phrase in vocabulary.phrases:
                found = _read_phrase(vocabulary, phrase, step)
                if found is not None:
                    yield found

    def _claimed(self, step: Step) -> Iterator[Reading]:
        parts = arguments(_CLAIM, step.text)
        if parts is None:
            return
        words, comparison, rest = parts
        subjects = [
            (vocabulary, subject, values)
            for vocabulary, subject in self._subjects()
            for values in (_named(subject, _bare(words)),)
            if values is not None
        ]
        same = [each for each in subjects if each[1].change == comparison.change]
        for vocabulary, subject, values in same:
            reading = Reading(vocabulary.capability, "outcome", say(subject), companion=vocabulary.companion)
            try:
                limit = self._limit(subject, comparison, rest)
                meaning = Meaning(
                    capability=vocabulary.capability, key=subject.key, values=values, comparator=comparison.comparator,
                    limit=limit, label=_label(_bare(words), comparison), sustained=comparison.sustained,
                )  # fmt: skip
                yield attrs.evolve(reading, meaning=meaning, problems=_left_over(step))
            except quantities.QuantityError as error:
                yield attrs.evolve(
                    reading, problems=(Problem(step.location, error.rule, str(error), error.hint), *_left_over(step))
                )

    def _limit(self, subject: Subject, comparison: Comparison, rest: str) -> Quantity:
        relative = next((each for each in self._relatives if rest.endswith(f" {each}")), "")
        limit = quantities.parse(rest.removesuffix(relative))
        wanted = f"{quantities.example(subject.dimension)} {subject.relative_to}".strip()
        if not quantities.fits(limit, subject.dimension):
            found = quantities.describe(quantities.dimension(limit))
            raise quantities.QuantityError(
                "wrong-dimension",
                f"{say(subject)!r} is {quantities.describe(subject.dimension)}, but {quantities.show(limit)!r} is "
                f"{found}; expected a limit such as {wanted}",
            )
        if relative != subject.relative_to:
            raise quantities.QuantityError(
                "wrong-reference", f"the limit of {say(subject)!r} must read like {wanted!r}"
            )
        if limit.value < 0 and not subject.signed:
            message = f"the limit {quantities.show(limit)} is negative, but {say(subject)!r} cannot be"
            raise quantities.QuantityError("impossible-limit", f"{message}; expected a limit such as {wanted}")
        _possible(subject, comparison, limit)
        return limit

    def _subjects(self) -> Iterator[tuple[Vocabulary, Subject]]:
        for vocabulary in self.vocabularies:
            for subject in vocabulary.subjects:
                yield vocabulary, subject

    def _examples(self, role: Role | None) -> Iterator[str]:
        for vocabulary in self.vocabularies:
            yield from (each.example or each.expression for each in vocabulary.phrases if role in (each.role, None))
        if role in ("outcome", None):
            for _, subject in self._subjects():
                verb = f"{subject.change} by at least" if subject.change else "be below"
                limit = f"{quantities.example(subject.dimension)} {subject.relative_to}".strip()
                yield f"{say(subject)} should {verb} {limit}"


def say(subject: Subject) -> str:
    """Return how a subject is called, as a user would write it."""
    return subject.example or subject.words[0]


@functools.lru_cache(maxsize=64)
def lexicon(vocabularies: tuple[Vocabulary, ...]) -> Lexicon:
    """Return the lexicon of these vocabularies; compiled once for each distinct set of them."""
    return Lexicon(vocabularies)


def _read_phrase(vocabulary: Vocabulary, phrase: Phrase, step: Step) -> Reading | None:
    try:
        values = arguments(phrase.expression, step.text)
        if values is None:
            return None
        meaning, problems = _built(phrase, step, values)
    except quantities.QuantityError as error:
        meaning, problems = None, (Problem(step.location, error.rule, str(error), error.hint),)
    except ValueError as error:
        meaning, problems = None, (Problem(step.location, "bad-value", str(error)),)
    return Reading(
        capability=vocabulary.capability, role=phrase.role, said=phrase.example or phrase.expression, meaning=meaning,
        problems=problems, neutral=phrase.neutral, companion=vocabulary.companion,
    )  # fmt: skip


def _built(phrase: Phrase, step: Step, values: tuple[object, ...]) -> tuple[Meaning | None, tuple[Problem, ...]]:
    _check_dimensions(phrase, [each for each in values if isinstance(each, Quantity)])
    rows: dict[str, tuple[Mapping[str, object], ...]] = {}
    problems: tuple[Problem, ...] = ()
    if phrase.columns:
        rows["rows"], problems = read_rows(step.table, phrase.columns, step.location)
    problems += _left_over(step, table=not phrase.columns)
    return (None if problems else phrase.build(*values, **rows)), problems


def _check_dimensions(phrase: Phrase, found: list[Quantity]) -> None:
    for quantity, wanted in zip(found, phrase.dimensions, strict=True):
        expected = f"expected {quantities.describe(wanted)} such as {quantities.example(wanted)}"
        if not quantities.fits(quantity, wanted):
            what = quantities.describe(quantities.dimension(quantity))
            raise quantities.QuantityError("wrong-dimension", f"{quantities.show(quantity)!r} is {what}; {expected}")
        if quantity.value <= 0:
            message = f"{quantities.show(quantity)!r} is not above zero; {expected}"
            raise quantities.QuantityError("impossible-limit", message)


def _left_over(step: Step, *, table: bool = True) -> tuple[Problem, ...]:
    problems = []
    if table and step.table is not None:
        message = "the step takes no table; remove it"
        # A lone bar is a table without a cell.
        place = step.table.header[0].location if step.table.header else step.location
        problems.append(Problem(place, "unexpected-table", message))
    if step.doc is not None:
        problems.append(Problem(step.location, "unexpected-doc-string", "the step takes no doc string; remove it"))
    return tuple(problems)


def _named(subject: Subject, words: str) -> Mapping[str, object] | None:
    for each in subject.words:
        try:
            found = arguments(each, words)
        except quantities.QuantityError:
            continue
        if found is not None:
            named = dict(zip(subject.parameters, found, strict=False))
            return dict(subject.values) | ({subject.gather: named} if subject.gather else named)
    return None


def _possible(subject: Subject, comparison: Comparison, limit: Quantity) -> None:
    value = quantities.convert(limit, subject.unit) if subject.largest is not None else limit.value
    name = say(subject)
    if subject.largest is not None and (
        value > subject.largest or (value == subject.largest and comparison.comparator == ">")
    ):
        most = quantities.show(Quantity(subject.largest, subject.unit))
        message = f"{name!r} is never more than {most}, so a limit of {quantities.show(limit)} decides nothing"
        bound = "below" if comparison.comparator == ">" else "up to"
        raise quantities.QuantityError("impossible-limit", f"{message}; expected one {bound} {most}")
    if value == 0 and comparison.comparator == "<" and not subject.signed:
        message = f"{name!r} is never below zero, so this can never hold; expected a limit above zero"
        raise quantities.QuantityError("impossible-limit", message)


def _label(words: str, comparison: Comparison) -> str:
    return f"{words} {comparison.change}" if comparison.change else words


def _bare(words: str) -> str:
    return words.removeprefix("the ")
