from __future__ import annotations

import pytest

from perfrun.controller.leadership import DURATION, GIVE_UP, RENEW_EVERY, Observed, may_take


@pytest.mark.parametrize(
    ("lease", "now", "expected"),
    [
        (None, 0.0, True),
        (Observed("", "t", 0.0), 0.0, True),
        (Observed("me", "t", 0.0), 0.0, True),
        (Observed("other", "t", 0.0), 14.9, False),
        (Observed("other", "t", 0.0), 15.0, True),
        (Observed("other", "t", 10.0), 15.0, False),
    ],
    ids=["no lease", "given back", "our own", "held", "expired", "renewed meanwhile"],
)
def test_who_may_take_the_lease(lease: Observed | None, now: float, *, expected: bool) -> None:
    assert may_take(lease, "me", now, 15.0) is expected


def test_a_holder_that_cannot_renew_stops_before_another_may_begin() -> None:
    assert GIVE_UP + RENEW_EVERY < DURATION
