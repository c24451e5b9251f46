"""That the benchmark of memory runs from end to end."""

from __future__ import annotations

import memory
import pytest


@pytest.mark.full
def test_engines_are_judged():
    rows = {row[0]: row for row in memory.run(runs=2, seconds=4.0, cards=5, series=10)}
    assert rows["memory: leak of 64 KiB a batch not failed, %"][1] == 0
    assert rows["memory: no leak, but failed for one, %"][1] == 0
    assert rows["memory: thrashing not failed, %"][1] == 0
    assert rows["memory: not thrashing, but failed for it, %"][1] == 0
    assert rows["memory: fragmenting, but below 10 %, %"][1] == 0
    assert rows["memory: not fragmenting, but not below 10 %, %"][1] == 0


def test_shares_are_of_what_is_wanted_or_of_all_others():
    verdicts = [memory.Verdict.FAIL, memory.Verdict.PASS, memory.Verdict.INCONCLUSIVE, memory.Verdict.FAIL]
    assert memory._share(verdicts, memory.Verdict.FAIL) == 50
    assert memory._share(verdicts, memory.Verdict.PASS, other=True) == 75


def test_what_stays_between_what_goes_makes_a_card_fragment():
    assert memory._whole(3, 0, 0) == 1
    assert memory._whole(3, 1_100_000, 1_900_000) == 0
