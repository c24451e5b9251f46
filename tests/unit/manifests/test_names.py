from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from perfrun.manifests.names import event_name, label_value, pod_name, run_name

DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
TEXT = st.text(max_size=200)


@given(TEXT, TEXT, st.integers(0, 10**6))
def test_every_pod_name_is_a_dns_label(run: str, stage: str, attempt: int) -> None:
    assert DNS_LABEL.match(pod_name(run, stage, attempt))


@given(TEXT, TEXT)
def test_every_run_name_is_a_dns_label_that_may_be_a_label_value(feature: str, cause: str) -> None:
    name = run_name(feature, cause)
    assert DNS_LABEL.match(name)
    assert label_value(name) == name


@given(TEXT)
def test_label_values_are_valid(text: str) -> None:
    assert re.match(r"^(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?\Z", label_value(text))


def test_names_are_readable() -> None:
    assert re.match(r"^checkout-1-[0-9a-f]{8}$", run_name("checkout", "1"))
    assert re.match(r"^checkout-1-abc-sampling-0-2-[0-9a-f]{8}$", pod_name("checkout-1-abc", "sampling-0", 2))


def test_parts_that_read_the_same_give_different_names() -> None:
    assert pod_name("a", "b-1", 1) != pod_name("a-b", "1", 1)
    assert run_name("A", "1") != run_name("a", "1")
    assert label_value("x y") != label_value("x-y")


def test_long_names_differ_in_their_tails() -> None:
    long = "f" * 253
    assert len({pod_name(long, "s", attempt) for attempt in range(20)}) == 20


def test_an_event_has_one_name() -> None:
    assert event_name("u", "Started", "m") == event_name("u", "Started", "m")
    assert event_name("u", "Started", "m") != event_name("u", "Started", "n")
