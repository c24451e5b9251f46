"""Whatever is thrown at it, lint answers, and points into the file."""

from golden import BAD, GOOD, VOCABULARIES
from hypothesis import given, settings
from hypothesis import strategies as st

from perfrun.language.comparators import COMPARATORS
from perfrun.language.lint import lint
from perfrun.language.read import FeatureErrors, read_feature
from perfrun.language.rules import RULES

FEATURES = [path.read_bytes().decode() for path in (*GOOD, *BAD)]
WORDS = [
    "Feature: x", "Rule: r", "Background:", "Scenario: s", "Scenario Outline: o", "Examples:", "@tag", "@",
    "# language: fr",
    "| a | b |", "| <a> |", "|", '"""', "```", "Given a batch size of <a>", "When sampling 10 tokens",
    "Then p99 latency should be below <b> ms", "And throughput should exceed 1e999 tokens per second", "* x", "\\", "",
    "the following model configurations:", "| model_size | batch_size | sequence_length |", "\ufeff", "\x00", "\u2028",
]  # fmt: skip


def answers(text: str, name: str = "x.feature") -> None:
    data = text.encode("utf-8", errors="surrogatepass")
    lines = data.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = lint(data, name, VOCABULARIES)
    for problem in found:
        assert 1 <= problem.location.line <= len(lines)
        assert 1 <= problem.location.column <= len(lines[problem.location.line - 1]) + 1
        assert problem.rule in RULES
        assert problem.message.strip()
    assert list(found) == sorted(found, key=lambda each: each.location)


@settings(deadline=None)
@given(st.text(max_size=500))
def test_any_text(text: str) -> None:
    answers(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=20), max_size=30))
def test_any_pile_of_gherkin(lines: list[str]) -> None:
    answers("\n".join(lines))


@settings(deadline=None)
@given(st.sampled_from(FEATURES), st.data())
def test_any_damaged_feature(feature: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(feature)))
    until = data.draw(st.integers(at, min(len(feature), at + 40)))
    answers(feature[:at] + data.draw(st.text(max_size=8)) + feature[until:])


@settings(deadline=None)
@given(st.text(max_size=300), st.sampled_from(["x.yaml", "x.json"]))
def test_any_manifest(text: str, name: str) -> None:
    answers(text, name)


@settings(deadline=None)
@given(st.sampled_from(sorted(COMPARATORS)), st.floats(0.001, 1000), st.sampled_from(["ms", " seconds", " µs"]))
def test_every_comparator_works_with_a_subject_of_its_kind(comparator: str, value: float, unit: str) -> None:
    comparison = COMPARATORS[comparator]
    subject, limit = ("model size", "10%") if comparison.change == "decrease" else ("p95 latency", f"{value:.6f}{unit}")
    subject, limit = ("inference speed", "10%") if comparison.change == "increase" else (subject, limit)
    text = f"Feature: f\nScenario: s\nThen {subject} {comparator} {limit}"
    try:
        read_feature(text, VOCABULARIES)
    except FeatureErrors as error:
        # The claim itself is sound; only the rest of a sampling scenario is missing.
        assert {each.rule for each in error.problems} == {"missing-step"}  # noqa: PT017 -- see above
