"""Amounts of memory as resources write them."""

from __future__ import annotations

import re

import pytest

from perfrun.api.optimization import Memory
from perfrun.api.sizes import PATTERN, bytes_of


@pytest.mark.parametrize(
    ("text", "count"), [("4096", 4096), ("1k", 1000), ("1.5G", 1.5e9), ("64Mi", 64 * 2**20), ("2Ti", 2 * 2**40)]
)
def test_a_number_with_a_unit_is_a_count_of_bytes(text: str, count: float) -> None:
    assert bytes_of(text) == count
    assert re.search(PATTERN, text)
    assert Memory(leak_budget=text).leak_budget == text


@pytest.mark.parametrize("text", ["", "Mi", "64 Mi", "64MB", "-1", "1e3", "64mi", "64Mi\n"])
def test_everything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount of memory; expected a number of bytes with a unit"):
        bytes_of(text)
    with pytest.raises(ValueError, match="leak"):
        Memory(leak_budget=text)
