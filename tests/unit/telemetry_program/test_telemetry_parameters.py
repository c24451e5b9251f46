"""What the telemetry program takes and what it refuses, all at once."""

from __future__ import annotations

import copy

import pytest

from perfrun_kernels.faults import ParametersError
from perfrun_kernels.telemetry.parameters import parse

GOOD = {
    "prometheus": {"url": "http://localhost:9090", "timeout_s": 5.0}, "period_s": 3600.0, "window": "auto",
    "completeness": 0.99,
    "rows": [{
        "key": "cpu", "name": "CPU", "series": ["load"], "per": "node", "label": "", "interval_s": 15.0,
        "retention_s": 604800.0,
    }],
    "expected": {
        "nodes": [{"name": "n1", "since": 1.0, "gpus": 2, "addresses": ["10.0.0.1"]}, {"name": "n2"}],
        "pods": [{"name": "p1", "node": "n1", "since": 5.0}],
    },
}  # fmt: skip


def test_what_is_complete_is_taken():
    found = parse(GOOD)
    assert [each.name for each in found.expected.of("node")] == ["n1", "n2"]
    assert [each.name for each in found.expected.of("gpuNode")] == ["n1"]
    assert [each.name for each in found.expected.of("pod")] == ["p1"]
    assert found.expected.of("any") == ()
    assert found.expected.nodes[0].addresses == ("10.0.0.1",)
    assert parse({name: each for name, each in GOOD.items() if name != "expected"}).expected is None


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("period_s",), -1), (("period_s",), "1h"), (("window",), "future"), (("completeness",), 1.5), (("rows",), []),
        (("rows", 0, "series"), []), (("rows", 0, "series"), ["load", ""]), (("rows", 0, "per"), "rack"),
        (("rows", 0, "interval_s"), 0), (("rows", 0, "key"), ""), (("expected", "nodes", 0, "gpus"), -1),
        (("expected", "nodes", 0, "name"), None), (("prometheus", "url"), None), (("hour",), 1),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(place, wrong):
    given = copy.deepcopy(GOOD)
    inside = given
    for each in place[:-1]:
        inside = inside[each]
    inside[place[-1]] = wrong
    with pytest.raises(ParametersError, match=str(place[-1])):
        parse(given)


def test_a_key_that_comes_twice_would_hide_a_row():
    with pytest.raises(ParametersError, match="each key once"):
        parse({**GOOD, "rows": GOOD["rows"] * 2})
