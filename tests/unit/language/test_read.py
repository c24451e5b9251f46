"""Reading whole features: what is refused at the door, tag expressions, and size."""

import pytest
from golden import ROOT, VOCABULARIES

from perfrun.api.limits import MAX_FEATURE_BYTES
from perfrun.language.read import FeatureErrors, read_feature

LLM = (ROOT / "features/llm_sampling_performance.feature").read_bytes()
SOUND = """\
@all
Feature: Tags
  @gpu
  Scenario: One
    Then checkout error ratio should be below 1%
  @cpu @slow
  Scenario: Two
    Then checkout error ratio should be below 1%
"""


def problems(text: bytes | str, tags: str = "") -> list[tuple[int, str, str]]:
    with pytest.raises(FeatureErrors) as raised:
        read_feature(text, VOCABULARIES, tags)
    return [(each.location.line, each.rule, each.message) for each in raised.value.problems]


@pytest.mark.parametrize(
    ("data", "rule", "said"),
    [
        (b"", "empty", "the feature is empty"),
        (b"\xef\xbb\xbf \r\n\t\n", "empty", "the feature is empty"),
        (b"Feature: \xff", "not-utf-8", "byte 9 is not valid"),
        ("Feature: x".encode("utf-16"), "not-utf-8", "save it as UTF-8"),
        (b"Feature: x\n" + b"#" * 1_000_000, "too-large", f"{MAX_FEATURE_BYTES} is the most"),
        ("Feature: \ud800", "not-utf-8", "a lone surrogate"),
    ],
)
def test_what_is_no_feature_is_an_error_on_line_1(data: bytes | str, rule: str, said: str) -> None:
    ((line, found, message),) = problems(data)
    assert (line, found) == (1, rule)
    assert said in message


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ("", ["One", "Two"]),
        ("@all", ["One", "Two"]),
        ("@gpu or @slow", ["One", "Two"]),
        ("not @slow", ["One"]),
        ("@cpu and (@slow or @gpu)", ["Two"]),
    ],
)
def test_a_tag_expression_selects(tags: str, names: list[str]) -> None:
    assert [each.name for each in read_feature(SOUND, VOCABULARIES, tags).scenarios] == names


@pytest.mark.parametrize("tags", ["@gpu and", "((", "@gpu @slow", ")", "(" * 5000])
def test_a_malformed_tag_expression_is_said(tags: str) -> None:
    ((line, rule, message),) = problems(SOUND, tags)
    assert (line, rule) == (1, "bad-tag-expression")
    assert "expected tags joined by and, or, not" in message


def test_a_tag_expression_that_selects_nothing_is_said() -> None:
    ((_, rule, message),) = problems(SOUND, "@none")
    assert rule == "nothing-selected"
    assert "@all, @cpu, @gpu, @slow" in message


def test_scenarios_that_are_not_selected_must_be_sound_too() -> None:
    assert [rule for _, rule, _ in problems(SOUND + "    And nonsense\n", "@gpu")] == ["undefined-step"]


def test_a_thousand_rows_are_read() -> None:
    rows = "".join(f"      | small | 8 | {100 + number} | 10 | 100 | 8 |\n" for number in range(1000))
    feature = read_feature(LLM + rows.encode(), VOCABULARIES)
    assert len(feature.scenarios) == 1003
    assert feature.scenarios[-1].meanings("sample_tokens")[0].values == {"count": 1099}


def test_a_thousand_rows_with_one_mistake_are_one_problem() -> None:
    rows = "".join("      | small | 8 | 100 | 10 | 100 | -8 |\n" for _ in range(1000))
    ((line, rule, message),) = problems(LLM + rows.encode())
    assert (line, rule) == (22, "impossible-limit")
    assert "(row on line 29 and 999 more)" in message


def test_a_step_that_is_too_long_is_not_matched() -> None:
    text = "Feature: x\n  Scenario: y\n    Then " + "p99 latency should be below " * 100
    assert [rule for _, rule, _ in problems(text)] == ["long-step"]


def test_rows_that_multiply_are_counted_before_they_are_made() -> None:
    table = "".join(f"      | s{number} | 1 | 1 |\n" for number in range(500))
    rows = "".join(f"      | {number} |\n" for number in range(1000))
    text = (
        "Feature: x\n  Background:\n    Given the following model configurations:\n"
        f"      | model_size | batch_size | sequence_length |\n{table}  Rule: r\n    Scenario Outline: y\n"
        f"      When sampling <n> tokens\n    Examples:\n      | n |\n{rows}"
    )
    ((line, rule, message),) = problems(text)
    assert (line, rule) == (1, "too-large")
    assert "expand to 1505000 steps and table cells" in message


def test_text_that_multiplies_is_not_made() -> None:
    text = (
        f"Feature: x\n  Scenario Outline: y\n    Then {'<a>' * 10_000}\n    Examples:\n      | a |\n"
        f"      | {'b' * 50_000} |\n"
    )
    ((_, rule, message),) = problems(text)
    assert rule == "too-large"
    assert "expand to more than 4194304 characters" in message


def test_thousands_of_undefined_steps_are_all_said_and_some_get_a_hint() -> None:
    steps = "".join(f"    And a batch sise of {number}\n" for number in range(3000))
    with pytest.raises(FeatureErrors) as raised:
        read_feature(f"Feature: x\n  Scenario: y\n    Then nothing\n{steps}", VOCABULARIES)
    assert len(raised.value.problems) == 3001
    assert 50 < len([each for each in raised.value.problems if each.hint]) <= 100


def test_column_names_are_text_and_no_patterns() -> None:
    text = (
        "Feature: x\n  Scenario Outline: <a+b> \\1\n    Then checkout error ratio should be below <a+b>\n"
        "    Examples:\n      | a+b | ( |\n      | 1%  | \\\\1 |\n"
    )
    (scenario,) = read_feature(text, VOCABULARIES).scenarios
    assert scenario.name == "1% \\1"
    assert scenario.row == {"a+b": "1%", "(": "\\1"}


def test_values_are_not_taken_for_placeholders() -> None:
    text = (
        'Feature: x\n  Scenario Outline: y\n    Then error ratio of "<a>" should be below <b>\n'
        "    Examples:\n      | a   | b  |\n      | <b> | 1% |\n"
    )
    (scenario,) = read_feature(text, VOCABULARIES).scenarios
    meaning = scenario.steps[0].meaning
    assert meaning is not None
    assert meaning.values["parameters"] == {"service": "<b>"}


def test_all_errors_are_in_the_exception() -> None:
    with pytest.raises(FeatureErrors, match=r"3:5: undefined step: 'a' is not known.*\n4:5: undefined") as raised:
        read_feature("Feature: x\n  Scenario: y\n    Then a\n    And b\n", VOCABULARIES)
    assert len(raised.value.problems) == 2
