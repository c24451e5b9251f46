"""``perfrun plan``: what would run, for all six features, and what it would cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfrun.cli.plan import length

ROOT = Path(__file__).parents[3]
FEATURES = sorted((ROOT / "features").glob("*.feature"))
LLM = str(ROOT / "features" / "llm_sampling_performance.feature")
KERNELS = str(ROOT / "features" / "gpu_kernel_optimization.feature")
FAULTS = str(ROOT / "features" / "fault_tolerance.feature")
SLO = str(ROOT / "examples" / "slo.feature")
SERVED = str(ROOT / "examples" / "served-target.yaml")
SERVING = ("load_balancing", "fault_tolerance", "network_performance", "system_performance")
TARGET = str(ROOT / "examples" / "target.yaml")


@pytest.mark.parametrize("feature", FEATURES, ids=lambda path: path.stem)
def test_every_feature_has_a_plan(cli, feature):
    target = ["--target", SERVED] if feature.stem in SERVING else []
    answer = cli("plan", str(feature), *target, "--format", "json")
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    for index, scenario in enumerate(document["plan"]["scenarios"]):
        stages = [stage for stage in document["plan"].get("stages", []) if stage["scenario"] == index]
        assert stages, scenario["name"]


def test_the_cost_adds_up(cli):
    document = json.loads(cli("plan", LLM, "--format", "json").out)
    cost, stages = document["cost"], document["plan"]["stages"]
    assert cost["pods"] == len(stages) == 3
    assert cost["seconds"] == sum(stage["seconds"] for stage in stages)
    assert cost["seconds_at_most"] > cost["seconds"]


def test_a_load_costs_requests_and_a_fault_nodes(cli):
    answer = cli("plan", FAULTS, "--target", SERVED)
    assert answer.code == 0, answer.err
    told = " ".join(answer.out.split())
    assert "fault isolate of 4 of 20 nodes for 47 s" in told
    assert "1000/s for 10 s, then 1000/s for 47 s" in told
    assert "3 pods (6 at most), 0 GPUs at once, 0 queries, 201000 requests, 4 nodes failing at once; 4 min" in told


def test_what_gpus_are_held_for_is_told_in_gpu_seconds(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    target = tmp_path / "target.yaml"
    spec = {"llm": {}, "pods": {"gpus": 2, "startTimeout": "100s", "attempts": 2}}
    named = {"apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfTarget", "metadata": {"name": "gpu"}, "spec": spec}
    target.write_text(json.dumps(named))
    answer = cli("plan", KERNELS, "--target", str(target))
    assert answer.code == 0, answer.err
    told = " ".join(answer.out.split())
    # 180 s and 120 s on two GPUs; at most, twice 100 s to start and 360 s and 300 s to run.
    assert "2 pods (4 at most), 2 GPUs at once for 600 GPU-seconds (3440 at most), 0 queries" in told
    assert "convert the pretrained encoder that comes with perfrun to FP16" in told
    assert "keep 4 batches of 4 prompts under way for 2 min" in told


@pytest.mark.parametrize(
    ("seconds", "said"), [(45, "45 s"), (180, "3 min"), (7100, "118 min"), (7200, "2 h"), (86400, "24 h")]
)
def test_lengths_are_told_in_the_unit_that_people_would_choose(seconds, said):
    assert length(seconds) == said


def test_tags_select(cli):
    assert cli("plan", LLM, "--tags", "@sampling and @latency", "--format", "json").code == 0
    answer = cli("plan", LLM, "--tags", "@nothing")
    assert answer.code == 3
    assert "selects no scenario" in answer.err


def test_the_table_shows_stages_and_sums(cli):
    answer = cli("plan", SLO, "--target", TARGET)
    assert answer.code == 0
    assert "s1-observe" in answer.out
    assert "0 pods (0 at most), 0 GPUs at once, 3 queries" in answer.out


def test_a_target_that_cannot_serve_the_feature_says_what_it_lacks(cli, tmp_path):
    bare = tmp_path / "target.yaml"
    bare.write_text("apiVersion: perfrun.dev/v1alpha1\nkind: PerfTarget\nmetadata: {name: t}\nspec: {}\n")
    answer = cli("plan", LLM, "--target", str(bare))
    assert answer.code == 3
    assert "add spec.llm to the PerfTarget" in answer.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("kind: Pod\n", "holds no PerfTarget"),
        ("a: [", "is not YAML"),
        ("kind: PerfTarget\nspec: {lmm: {}}\n", "spec.lmm"),
        ("kind: PerfTarget\nspec: {metrics: [{name: x, unit: parsec, query: up}]}\n", "parsec"),
        ("kind: PerfTarget\nspec: {metrics: [{name: x, unit: s, query: 'up{a=\"$b\"}'}]}\n", "b"),
        ("kind: PerfTarget\nspec: {chaos: {backend: litmus}}\n", "chaos.backend: litmus cannot do isolate"),
        ("kind: PerfTarget\nspec: {chaos: {windows: [{cron: often, length: 1h}]}}\n", "chaos.windows[0]: cron"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "lint"])
def test_a_target_that_is_wrong_is_told_with_its_place(cli, tmp_path, command, content, sentence):
    wrong = tmp_path / "target.yaml"
    wrong.write_text(content)
    answer = cli(command, SLO, "--target", str(wrong))
    assert answer.code == 3
    assert str(wrong) in answer.err
    assert sentence in answer.err


def test_what_is_recorded_and_foretold_is_said_in_words(cli):
    answer = cli("plan", str(ROOT / "features" / "system_performance.feature"), "--target", SERVED)
    assert answer.code == 0, answer.err
    told = " ".join(answer.out.split())
    assert "judge how Prometheus has recorded" in told
    assert "62 min" in told
    assert "foretell Response time 1 h ahead" in told
