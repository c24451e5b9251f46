"""``perfrun lint`` and ``perfrun wrap`` as people and tools meet them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from golden import BAD, ROOT, VOCABULARIES

from perfrun.cli.stop import Stop
from perfrun.cli.wrap import wrap
from perfrun.language.lint import Finding, lint
from perfrun.language.model import Location, Problem
from perfrun.language.rendering import as_json, sarif

WRONG = "Feature: x\n  Scenario: y\n    Then p99 latncy should be below 10 ms\n"
FINDING = Finding("dir/a b.feature", Problem(Location(3, 5), "undefined-step", "no \u2028 such\nstep", "p99 latency"))
SARIF: dict[str, Any] = {
    "type": "object", "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"type": "string", "format": "uri"},
        "runs": {"type": "array", "items": {
            "type": "object", "required": ["tool", "results"],
            "properties": {
                "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                "tool": {"type": "object", "required": ["driver"], "properties": {"driver": {
                    "type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string", "minLength": 1},
                        "semanticVersion": {"type": "string"},
                        "rules": {"type": "array", "uniqueItems": True, "items": {
                            "type": "object", "required": ["id"], "properties": {
                                "id": {"type": "string"},
                                "shortDescription": {"type": "object", "required": ["text"]},
                            },
                        }},
                    },
                }}},
                "results": {"type": "array", "items": {
                    "type": "object", "required": ["message"], "additionalProperties": False,
                    "properties": {
                        "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": 0},
                        "level": {"enum": ["none", "note", "warning", "error"]},
                        "message": {"type": "object", "required": ["text"]},
                        "locations": {"type": "array", "items": {"type": "object", "properties": {
                            "physicalLocation": {"type": "object", "required": ["artifactLocation"], "properties": {
                                "artifactLocation": {"type": "object", "properties": {
                                    "uri": {"type": "string", "pattern": "^[^ ]*$"}}},
                                "region": {"type": "object", "properties": {
                                    "startLine": {"type": "integer", "minimum": 1},
                                    "startColumn": {"type": "integer", "minimum": 1}}},
                            }},
                        }}},
                    },
                }},
            },
        }},
    },
}  # fmt: skip


def perfrun(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from perfrun.cli.main import main; main()", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT)


def test_sound_features_are_passed_in_silence() -> None:
    ended = perfrun("lint", *(str(path.relative_to(ROOT)) for path in (ROOT / "features").glob("*.feature")))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "6 files checked, nothing wrong\n"


def test_every_problem_of_every_file_is_a_line() -> None:
    paths = [str(path.relative_to(ROOT)) for path in BAD]
    ended = perfrun("lint", *paths)
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert {line.partition(":")[0] for line in lines} == set(paths) - {"tests/unit/language/bad/ambiguous.feature"}
    assert f"{len(lines)} problems" in ended.stderr


def test_standard_input_is_a_file_too() -> None:
    ended = perfrun("lint", "-", stdin=WRONG)
    assert ended.returncode == 1
    assert ended.stdout == (
        "<stdin>:3:5: undefined step: nothing is known as 'p99 latncy'; did you mean 'p99 latency should be below "
        "10 ms'? [undefined-step]\n"
    )


@pytest.mark.parametrize("arguments", [("nowhere.feature",), ("-", "--format", "xml"), ()])
def test_bad_use_is_told_from_a_bad_feature(arguments: tuple[str, ...]) -> None:
    ended = perfrun("lint", *arguments, stdin=WRONG)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.strip()


def test_the_metrics_of_a_target_are_words(tmp_path: Path) -> None:
    target = {"kind": "PerfTarget", "spec": {"metrics": [{"name": "queue depth", "query": "q", "unit": ""}]}}
    (tmp_path / "target.yaml").write_text(yaml.safe_dump(target))
    text = "Feature: x\n  Scenario: y\n    Then queue depth should stay below 10\n"
    assert perfrun("lint", "-", stdin=text).returncode == 1
    assert perfrun("lint", "-", "--target", str(tmp_path / "target.yaml"), stdin=text).returncode == 0


def test_what_a_target_records_and_foretells_may_stand_in_tables(tmp_path: Path) -> None:
    recorded, foretold = {"Queue depth": {"series": ["q"]}}, {"Orders": {"query": "sum(q)"}}
    spec = {"telemetry": {"metrics": recorded}, "forecast": {"metrics": foretold}}
    (tmp_path / "target.yaml").write_text(yaml.safe_dump({"kind": "PerfTarget", "spec": spec}))
    text = """Feature: x
  Scenario: recorded
    When collecting metrics for 1 hour
    Then the following metrics should be recorded:
      | metric_type | sampling_rate | retention_period |
      | Queue depth | 5s            | 7d               |
  Scenario: foretold
    Given historical performance data
    Then prediction accuracy should be within 10% for:
      | metric | prediction_window |
      | Orders | 1h                |
"""
    without = perfrun("lint", "-", stdin=text)
    assert without.returncode == 1
    assert "Queue depth" in without.stdout
    assert "Orders" in without.stdout
    assert perfrun("lint", "-", "--target", str(tmp_path / "target.yaml"), stdin=text).returncode == 0


def test_telemetry_asks_for_how_long() -> None:
    text = """Feature: x
  Scenario: recorded
    Given the monitoring system is configured
    Then the following metrics should be recorded:
      | metric_type | sampling_rate | retention_period |
      | Throughput  | 5s            | 7d               |
"""
    ended = perfrun("lint", "-", stdin=text)
    assert ended.returncode == 1
    assert "When collecting metrics for 1 hour" in ended.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kind: PerfFeature\n", "holds no PerfTarget"),
        ("a: [", "is not YAML"),
        ("kind: PerfTarget\nspec: {metrics: [{name: x, query: y, unit: parsecs}]}\n", "'parsecs' is not a known unit"),
        ("kind: PerfTarget\nspec: {metric: []}\n", "spec.metric"),
    ],
)
def test_a_bad_target_is_bad_use(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(content)
    ended = perfrun("lint", "-", "--target", str(path), stdin=WRONG)
    assert ended.returncode == 3
    assert said in ended.stderr


def test_json_says_all_that_text_says() -> None:
    assert json.loads(as_json([FINDING], 2)) == {
        "files": 2,
        "problems": [
            {
                "path": "dir/a b.feature", "line": 3, "column": 5, "rule": "undefined-step",
                "message": "no \u2028 such\nstep", "hint": "p99 latency",
            }
        ],
    }  # fmt: skip


def test_sarif_is_what_code_hosts_take() -> None:
    log = json.loads(sarif([FINDING], "1.2.3"))
    jsonschema.validate(log, SARIF)
    (run,) = log["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "undefined-step"
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "dir/a%20b.feature"},
        "region": {"startLine": 3, "startColumn": 5},
    }


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_both_come_out_of_the_command(form: str) -> None:
    ended = perfrun("lint", "-", "--format", form, stdin=WRONG)
    assert ended.returncode == 1
    assert json.loads(ended.stdout)
    assert ended.stderr == ""


def test_places_in_a_manifest_are_those_of_the_manifest() -> None:
    manifest = wrap([(Path("good.feature"), b"Feature: x\n"), (Path("bad.feature"), WRONG.encode())], "default")
    first, second = lint(manifest.encode(), "x.yaml", VOCABULARIES)
    lines = manifest.split("\n")
    assert (first.rule, lines[first.location.line - 1].strip()) == ("no-scenario", "Feature: x")
    line = lines[second.location.line - 1]
    assert line[second.location.column - 1 :] == "Then p99 latncy should be below 10 ms"


def test_features_that_are_no_literal_block_are_placed_at_their_start() -> None:
    manifest = json.dumps({"kind": "List", "items": [{"kind": "PerfFeature", "spec": {"feature": WRONG}}]})
    (problem,) = lint(manifest.encode(), "x.json", VOCABULARIES)
    assert manifest[problem.location.column - 1 :].startswith('"Feature: x')


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("a: [", "is not YAML"),
        ("&a {kind: List, items: [*a]}", "holds no PerfFeature"),
        ("kind: [x]", "holds no"),
        ("kind: Pod\n", "holds no PerfFeature"),
        ("", "holds no PerfFeature"),
        ("\x00", "YAML"),
    ],
)
def test_a_manifest_without_a_feature_is_a_problem(manifest: str, said: str) -> None:
    (problem,) = lint(manifest.encode(), "x.yml", VOCABULARIES)
    assert problem.rule == "bad-manifest"
    assert said in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "Feature: x\n  Scenario: ü — 中文\n    Then y\n",
        "\ufeffFeature: x\r\n\r\n  Scenario: z\r\n",
        "Feature: x   \n\ttabs\n   \n",
        "  Feature: indented\n",
        "Feature: no end of line",
        "Feature: many\n\n\n\n",
        "Feature: '\"\\ --- : #\n---\n...\n",
    ],
)
def test_wrapped_text_comes_out_byte_for_byte(text: str) -> None:
    (wrapped,) = yaml.safe_load_all(wrap([(Path("Some Feature_1.feature"), text.encode())], "t", "team"))
    assert wrapped["spec"] == {"targetRef": "t", "feature": text}
    assert wrapped["metadata"] == {"name": "some-feature-1", "namespace": "team"}


def test_a_target_may_come_first() -> None:
    target, feature = yaml.safe_load_all(wrap([(Path("a.feature"), b"Feature: x\n")], "lab", with_target=True))
    assert (target["kind"], target["metadata"]["name"]) == ("PerfTarget", "lab")
    assert feature["spec"]["targetRef"] == "lab"


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([("a.feature", b"\xff")], "a.feature: the file is not UTF-8"),
        ([("a.feature", b"")], "the feature is empty"),
        ([("a/x.feature", b"Feature: x"), ("b/X.feature", b"Feature: x")], "would both be named 'x'"),
        ([("_.feature", b"Feature: x")], "gives no name for a resource"),
    ],
)
def test_what_cannot_be_wrapped_is_said(features: list[tuple[str, bytes]], said: str) -> None:
    with pytest.raises(Stop, match=said):
        wrap([(Path(path), data) for path, data in features], "default")


def test_wrap_prints_what_kubectl_takes() -> None:
    ended = perfrun("wrap", "features/load_balancing.feature", "--target-ref", "lab", "--namespace", "team")
    assert ended.returncode == 0
    assert yaml.safe_load(ended.stdout)["metadata"] == {"name": "load-balancing", "namespace": "team"}
    assert perfrun("wrap", "nowhere.feature").returncode == 3
