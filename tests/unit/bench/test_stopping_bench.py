"""The simulation of early stopping draws what it says, and its runs end where the looks end them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from perfrun.measuring.looks import Look

HERE = Path(__file__).parents[3] / "bench" / "stopping.py"


@pytest.fixture(scope="module")
def stopping() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_stopping", HERE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_runs_end_at_the_first_look_that_settles_them(stopping: ModuleType) -> None:
    boundary = [Look(10, -1, 3), Look(20, 2, 5)]
    found = stopping.ends(boundary, [10, 20], np.array([[3, 3], [0, 2], [2, 5], [2, 4]]))
    assert found.samples.tolist() == [10, 20, 20, 20]
    assert found.passed.tolist() == [False, True, False, False]
    assert found.failed.tolist() == [True, False, True, False]
    assert found.decided == 0.75


@pytest.mark.parametrize(("likeness", "design_effect"), [(0.0, 1.0), (0.5, 3.0)])
def test_steps_cluster_as_much_as_is_asked(
    stopping: ModuleType, likeness: float, design_effect: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "RUNS", 2000)
    [over] = stopping.counts(0.2, likeness, [400], np.random.default_rng(3)).T
    # Of 2000 runs, the mean is known to within 0.6 (five deviations), and the variance to within a sixth.
    assert over.mean() == pytest.approx(80, abs=2)
    assert over.var() == pytest.approx(400 * 0.2 * 0.8 * design_effect, rel=1 / 6)


def test_the_budget_is_the_least_that_decides_as_often(stopping: ModuleType) -> None:
    at = [1000, 2000, 4000]
    seen = {0.0: np.zeros((5, 3), dtype=np.int64)}
    early = {0.0: stopping.Ends(np.full(5, 1000), np.ones(5, dtype=bool), np.zeros(5, dtype=bool))}
    [single] = stopping.budget(early, at, seen)
    assert (single.samples, single.accept_at_most >= 0) == (2000, True)
