"""PromQL templates: a value from a feature is a label value, and nothing that it holds makes it anything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.api.durations import seconds
from perfrun.measuring.promql import TemplateError, check, duration, render, with_window

TEMPLATE = 'sum(rate(errors{service="$service",path=~"/v1/$service(/.*)?"}[$window])) / on() vector(1) # all'
LEXER = re.compile(
    r"""(?P<comment>\#[^\n]*) | (?P<string>"(?:\\(?:[abfnrtv\\'"]|x[0-9a-fA-F]{2}|[0-7]{3}
      |u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|[^"\\\n])*") | (?P<space>\s+) | (?P<word>[A-Za-z0-9_:.]+) | (?P<sign>.)""",
    re.VERBOSE,
)
ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def lex(query: str) -> list[tuple[str, str]]:
    """Split a query as PromQL's lexer does; independent of the module under test."""
    tokens = [(found.lastgroup or "", found.group()) for found in LEXER.finditer(query)]
    assert "".join(text for _, text in tokens) == query
    return tokens


def unquoted(string: str) -> str:
    """Return what a double-quoted PromQL string stands for."""

    def one(found: re.Match[str]) -> str:
        text = found.group(1)
        return chr(int(text[1:], 16)) if text[0] in "xuU" else ESCAPES.get(text, text)

    return re.sub(r"\\(x..|u.{4}|U.{8}|.)", one, string[1:-1], flags=re.DOTALL)


@given(st.text())
def test_whatever_the_value_only_the_strings_change(value: str) -> None:
    rendered = lex(render(TEMPLATE, {"service": value}, window=300))
    reference = lex(render(TEMPLATE, {"service": "x"}, window=300))
    assert [kind for kind, _ in rendered] == [kind for kind, _ in reference]
    assert [text for kind, text in rendered if kind != "string"] == [
        text for kind, text in reference if kind != "string"
    ]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_the_label_value_is_exactly_the_value_and_the_pattern_matches_exactly_it(value: str) -> None:
    plain, pattern = (
        unquoted(text) for kind, text in lex(render(TEMPLATE, {"service": value}, 300)) if kind == "string"
    )
    assert plain == value
    # RE2 and Python agree on the escapes that are used here; DOTALL because values may hold line ends.
    assert re.fullmatch(pattern, f"/v1/{value}/x", re.DOTALL)
    assert not re.fullmatch(pattern, f"/v1/{value}x", re.DOTALL)


def test_a_value_that_looks_like_a_variable_stays_as_it_is() -> None:
    query = render('up{a="$a",b="$b"}[$window]', {"a": "$b", "b": "$window"}, window=None)
    assert query == 'up{a="$b",b="$window"}[$window]'
    assert with_window(query, 60, 5) == 'up{a="$b",b="$window"}[1m]'


def test_window_and_step_are_rendered_also_in_braces() -> None:
    assert render("rate(a[$window])[${window}:$step]", {}, 300, 15) == "rate(a[5m])[5m:15s]"
    assert with_window("rate(a[$window])[${window}:${step}]", 90, 15) == "rate(a[1m30s])[1m30s:15s]"


@pytest.mark.parametrize(
    ("template", "parameters", "said"),
    [
        ("up{job=$job}", {"job"}, "$job at character 8 of the query stands outside a label value"),
        ("rate($job[$window])", {"job"}, "stands outside a label value"),
        ('label_replace(up, "a", "$job", "b", "")', {"job"}, "stands outside a label value"),
        ("up{job='$job'}", {"job"}, "stands outside a label value"),
        ("up{job=`$job`}", {"job"}, "stands outside a label value"),
        ('{"$job"}', {"job"}, "stands outside a label value"),
        ('up{job="$jobs"}', {"job"}, "$jobs at character 8 of the query is unknown; the metric's name takes $job"),
        ('up{job="$job"}', set(), "the metric's name takes no parameter"),
        ("rate(up[$windw])", set(), "only $window and $step"),
        ('up{job="$window"}', set(), "only $window and $step may stand outside"),
        ('up{job="$job}', {"job"}, 'is not closed; add the missing "'),
        ('up{job="$job"} # $window', {"job"}, "a comment"),
        ("up", {"job"}, "never uses $job"),
    ],
)
def test_a_template_that_is_none_is_an_error_that_says_where(template: str, parameters: set[str], said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        check(template, frozenset(parameters))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        'sum by (code) (rate(http_requests_total{path=~"^/api$"}[$window]))',
        'label_replace(up, "dst", "${1}-$1", "src", "(.*)")',
        'rate({"http.requests", "service.name"="$job"}[${window}])',
        "sum(a) - sum(b offset 5m)",
        'up{job="it\'s"} or up{job=`raw "text" #`} # a comment',
    ],
)
def test_ordinary_queries_pass(template: str) -> None:
    check(template, frozenset({"job"} if "$job" in template else ()))


@given(st.floats(min_value=0.001, max_value=1e8))
def test_a_duration_reads_back_as_the_same_length_to_the_millisecond(length: float) -> None:
    assert seconds(duration(length)) == pytest.approx(length, abs=0.0006)


def test_durations_have_no_fractions_and_are_never_zero() -> None:
    assert [duration(each) for each in (0, 0.25, 90, 3600, 86_400 * 1.5)] == ["1ms", "250ms", "1m30s", "1h", "1d12h"]
