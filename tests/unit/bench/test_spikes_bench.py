"""What the benchmark of latency spikes counts as right and wrong, and that it runs from end to end."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from perfrun.devcluster import cgroups
from perfrun_kernels.contract import Result, Table

BENCH = Path(__file__).parents[3] / "bench"
PODS = [["web-0/web", "web-0/side"], ["web-1/web", "web-1/side"]]
COLUMNS = ["kind", "pod", "detected", "detect_s", "stage", "answer_pod", "answer_container"]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


def result(*rows):
    tables = {"injections": Table(COLUMNS, [list(row) for row in rows])}
    return Result("run", "stage", 1, "Completed", 0.0, 1.0, tables=tables)


def test_right_wrong_and_unseen_are_told_apart(bench):
    scoring = bench("spikebed.scoring")
    right, elsewhere, unseen = scoring.outcomes(
        result((0, 0, 1, 0.003, 4, 0, 0), (3, 1, 1, 0.004, 1, 0, 0), (5, 1, 0, -1, -1, -1, -1)), PODS, truth=0
    )
    assert (right.kind, right.delay, right.place_right, right.stage_right) == ("quota", 3.0, True, True)
    assert (elsewhere.truth, elsewhere.named, elsewhere.place_right) == ("web-1/web", "web-0/web", False)
    assert (elsewhere.kind, elsewhere.stage, elsewhere.stage_right) == ("tbf", "softirq", False)
    assert (unseen.delay, unseen.place_right, unseen.stage_right) == (None, False, False)


def test_a_confusion_matrix_has_what_was_done_by_what_was_said(bench):
    shown = bench("spikebed.scoring").matrix("stage", [("tbf", "qdisc"), ("tbf", "qdisc"), ("drop", "qdisc")])
    head, drop, tbf = (line.split() for line in shown.splitlines())
    assert (head, drop, tbf) == (["stage", "qdisc"], ["drop", "1"], ["tbf", "2"])


def test_a_kind_that_was_never_seen_has_a_row_without_figures(bench):
    table, scoring = bench("spikebed.table"), bench("spikebed.scoring")
    [row] = table._delays("idle", "tbf", [scoring.Outcome("tbf", None, "web-0/web", "not seen", "not seen")])
    assert row[0] == "tbf, idle: effect → alarm: never seen, of 1"


def test_the_99th_percentile_is_a_value_that_was_measured(bench):
    p99 = bench("spikebed.scoring").p99
    assert [p99([float(each) for each in range(count)]) for count in (1, 100, 200)] == [0.0, 98.0, 197.0]


def test_what_is_kept_goes_on_and_is_of_one_program_only(bench, tmp_path):
    kept = bench("spikebed.kept").Kept
    file = tmp_path / "build" / "spikes.json"
    kept.at(file, "one").add("idle", [1, 2])
    again = kept.at(file, "one")
    again.add("idle", [3])
    assert (again.get("idle"), kept.at(file, "one").get("idle"), again.get("other")) == ([1, 2, 3], [1, 2, 3], [])
    with pytest.raises(ValueError, match="of another version of the watching program than two: delete it"):
        kept.at(file, "two")


def test_only_what_lacks_is_measured(bench, tmp_path, monkeypatch):
    spikes, table = bench("spikes"), bench("spikebed.table")
    kept = bench("spikebed.kept").Kept.at(tmp_path / "spikes.json", "one")
    for state in (table.IDLE, table.LOADED):
        kept.add(table.AGENTS[state], [{"rounds": 20}, {"rounds": 5}])
    kept.add(table.BESIDE, [{}])
    kept.add(table.PEAK, [1000.0])
    kept.add(table.QUIET, [{"seconds": 60.0}])
    done = []
    monkeypatch.setattr(
        spikes,
        "_inject",
        lambda lab, kept, state, left, say: (
            done.append((state, left)),
            kept.add(table.AGENTS[state], [{"rounds": left}]),
        ),
    )
    monkeypatch.setattr(
        spikes, "_quiet", lambda lab, kept, lack: (done.append(lack), kept.add(table.QUIET, [{"seconds": lack}]))
    )
    monkeypatch.setattr(
        spikes,
        "_cost",
        lambda lab, kept, load, count, lack: (
            done.append((load, count)),
            kept.add(table.cost_name(load, count), [{"seconds": lack}]),
        ),
    )
    for part in spikes._parts(None, kept, spikes.Size(30, 100.0, 25.0, 2), print):
        part()
    costs = [(load, count) for load in ("iperf3", "http") for count in (1, 3)]
    assert done == [("idle", 5), *costs, ("at peak load", 5), 40.0]
    assert list(spikes._parts(None, kept, spikes.Size(30, 100.0, 25.0, 2), print)) == []


def test_what_is_lost_is_told_from_turns_by_turns(bench):
    cost = bench("spikebed.cost")
    turns = [(0.96 * each, each) for each in (100.0, 50.0, 200.0, 80.0) * 10]
    estimate, low, high = cost.lost([cost.Slice(turns, 3.0, 0.5, 2.25)])
    assert (estimate, low, high) == pytest.approx((4.5, 4.5, 4.5))
    noisy = [(on + (30 if number // 10 % 2 else -30), off) for number, (on, off) in enumerate(turns)]
    estimate, low, high = cost.lost([cost.Slice(noisy, 3.0, 0.5, 2.25)])
    assert low < 4.5 < high
    assert high - low > 20


@pytest.mark.full
def test_it_runs_from_end_to_end_and_leaves_nothing(bench):
    missing = [each for each in ("nginx", "nft", "tc", "iperf3", "nsenter") if shutil.which(each) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"a node of namespaces needs root and {missing or 'nothing else'}")
    spikes = bench("spikes")
    said = []
    rows = {row[0]: row for row in spikes.run(spikes.Size(2, 3.0, 2.0, 2), said.append)}
    assert any(line.startswith("at peak load: stage") for line in said), said
    assert any("tbf, idle: effect → alarm" in name for name in rows), rows
    assert any("requests of clients that never rest lost, 3 of 3 pods watched" in name for name in rows), rows
    assert cgroups.existing("perfrun-bench-spikes") == []
    listed = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert "vpod" not in listed
