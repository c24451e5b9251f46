"""Scenarios gain their meaning here: of everything that a step could mean, the scenario as a whole decides.

"throughput" is tokens per second after "sampling 1000 tokens" and a share of normal after "2 nodes fail". So each
step is read on its own first; the steps that can only belong to one capability then settle the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from perfrun.language.lexicon import Lexicon, Reading
from perfrun.language.model import Problem, Role, Scenario, Step
from perfrun.language.parsing import STEP_LENGTH, Written
from perfrun.language.wording import quoted

_SETTLING: tuple[Role, ...] = ("action", "context", "outcome")
_KEYWORDS: Mapping[Role, str] = {"context": "Given", "action": "When", "outcome": "Then"}


@attrs.frozen
class Bound:
    """A scenario with meanings, and what is wrong with it; with problems, meanings may be missing."""

    scenario: Scenario
    problems: tuple[Problem, ...]


def bind(scenario: Scenario, words: Lexicon, written: Written, hints: int = 100) -> Bound:
    """Give every step its meaning.

    Up to ``hints`` undefined steps get the nearest known phrase: finding it is slow, and nobody needs a thousand.
    """
    problems: list[Problem] = []
    read: list[tuple[Reading, ...]] = []
    for step in scenario.steps:
        found, problem = _read(step, words, written, hint=len(problems) < hints)
        read.append(found)
        problems += [problem] if problem else []
    capability = _capability(scenario.steps, read)
    steps: list[Step] = []
    for step, readings in zip(scenario.steps, read, strict=True):
        chosen, wrong = _choose(step, readings, capability)
        problems += wrong
        steps.append(step if chosen is None else attrs.evolve(step, meaning=chosen.meaning, role=chosen.role))
    if not any(step.role == "outcome" for step in steps):
        message = f"the scenario {quoted(scenario.name)} claims nothing; add a Then step that states a limit"
        problems.append(Problem(scenario.location, "no-claim", message))
    companions = [each.capability for readings in read for each in readings if each.companion]
    bound = attrs.evolve(scenario, steps=tuple(steps), capability=capability or next(iter(companions), ""))
    checked = [problem for each in words.vocabularies if each.capability == bound.capability
               for problem in each.check(bound)]  # fmt: skip
    # A step that could not be read is not a step that is missing.
    problems += [each for each in checked if each.rule != "missing-step" or not problems]
    return Bound(bound, tuple(problems))


def _read(step: Step, words: Lexicon, written: Written, *, hint: bool) -> tuple[tuple[Reading, ...], Problem | None]:
    template = written.templates.get(step.location, step.text)
    if len(step.text) > STEP_LENGTH:
        message = f"the step has {len(step.text)} characters; expected at most {STEP_LENGTH}"
        return (), Problem(step.location, "long-step", message)
    found = words.readings(step)
    if not found:
        return (), words.undefined(step, template, hint=hint)
    right = tuple(each for each in found if each.role == step.role)
    if right or step.location in written.loose:
        return right or found, None
    keyword = _KEYWORDS[found[0].role]
    message = (
        f"{quoted(template)} belongs under {keyword}, not under {_KEYWORDS[step.role]}; write it as a {keyword} step"
    )
    return (), Problem(step.location, "wrong-keyword", message, keyword)


def _capability(steps: Sequence[Step], read: Sequence[tuple[Reading, ...]]) -> str:
    for role in _SETTLING:
        for step, readings in zip(steps, read, strict=True):
            if step.role == role:
                owners = {each.capability for each in _fitting(readings) if not each.neutral}
                companions = {each.capability for each in readings if each.companion}
                if len(owners) == 1 and not owners & companions:
                    return owners.pop()
    return ""


def _fitting(readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
    return tuple(each for each in readings if not each.problems) or readings


def _choose(step: Step, readings: tuple[Reading, ...], capability: str) -> tuple[Reading | None, tuple[Problem, ...]]:
    if not readings:
        return None, ()
    mine = _fitting(tuple(each for each in readings if each.capability == capability))
    guests = _fitting(tuple(each for each in readings if each.neutral or each.companion))
    options = mine or guests
    if not options and capability:
        message = (
            f"{quoted(step.text)} belongs to {readings[0].capability}, but the other steps of this scenario belong to "
            f"{capability}; move it into a scenario of its own"
        )
        return None, (Problem(step.location, "mixed-capabilities", message),)
    options = options if capability else _fitting(readings)
    distinct = {(each.capability, each.said): each for each in options if not each.neutral}
    if len(distinct) > 1:
        names = " or ".join(f"{said!r} ({owner})" for owner, said in sorted(distinct))
        message = (
            f"{quoted(step.text)} is ambiguous: it could mean {names}; say which, or add a When step that settles it"
        )
        return None, (Problem(step.location, "ambiguous-step", message),)
    chosen = options[0]
    return (None, chosen.problems) if chosen.problems else (chosen, ())
