"""Histograms of several generator pods become one, and percentiles are taken of that one only.

The generators write HdrHistograms in the compressed V2 encoding (HdrHistogram's own exchange format), which is read
here with the standard library alone. Merging adds counts and loses nothing; a mean of percentiles would be no
percentile of anything. Bounds are order statistics, as for raw samples, widened to the bucket in which a rank lies.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

import attrs

from perfrun.measuring.percentiles import Bounds, ranks

_COMPRESSED: Final = 0x1C849304
_PLAIN: Final = 0x1C849303
_COOKIE_MASK: Final = ~0xF0
_HEADER: Final = struct.Struct(">iiiiqqd")
_LONGEST_VARINT: Final = 9
_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_DIGITS: Final = 5


class HistogramError(ValueError):
    """What arrived is no HdrHistogram of this encoding; the message says what was found instead."""


class Edges(Protocol):
    """Where the buckets of a histogram lie."""

    def edges(self, index: int) -> tuple[float, float]:
        """Return the smallest and the largest value that fall into a bucket."""


@attrs.frozen
class Octaves:
    """Buckets that divide each doubling evenly: bucket k holds 2^(k/n) to 2^((k+1)/n)."""

    per_doubling: int

    def edges(self, index: int) -> tuple[float, float]:
        """Return the smallest and the largest value that fall into a bucket."""
        return 2.0 ** (index / self.per_doubling), 2.0 ** ((index + 1) / self.per_doubling)


@attrs.frozen
class Layout:
    """How buckets lie: ``unit_magnitude`` (a power of two) and as many sub-buckets as the digits need."""

    digits: int
    unit_magnitude: int

    @property
    def half_magnitude(self) -> int:
        """Return the exponent of half the number of sub-buckets."""
        return max(1, math.ceil(math.log2(2 * 10**self.digits))) - 1

    def edges(self, index: int) -> tuple[int, int]:
        """Return the smallest and the largest value that fall into a bucket."""
        half = 1 << self.half_magnitude
        bucket, sub = (index >> self.half_magnitude) - 1, (index & (half - 1)) + half
        if bucket < 0:
            bucket, sub = 0, sub - half
        shift = bucket + self.unit_magnitude
        return sub << shift, ((sub + 1) << shift) - 1


@attrs.frozen
class Histogram:
    """Counts by bucket; values in ``unit``, each ``scale`` times the integer that was recorded."""

    unit: str
    scale: float
    layout: Edges
    counts: Mapping[int, int]

    @property
    def total(self) -> int:
        """Return how many values were recorded."""
        return sum(self.counts.values())

    def quantile(self, quantile: float) -> float:
        """Return a quantile in ``unit``: the upper edge of its bucket, so that it is never flattered.

        Raises:
            HistogramError: nothing was recorded.
        """
        total = self.total
        if total == 0:
            msg = "a percentile needs at least one sample, and the histogram is empty"
            raise HistogramError(msg)
        return self._edges(min(total, max(1, math.ceil(quantile * total))))[1]

    def bounds(self, quantile: float, confidence: float, effective: float | None = None) -> Bounds:
        """Return a quantile with its order-statistic bounds, each at ``confidence``, in ``unit``.

        ``effective`` is how many independent samples these are worth. The lower bound is the lower edge of its
        bucket and the upper bound the upper edge: grouping can only widen the interval.

        Raises:
            HistogramError: nothing was recorded.
        """
        value, total = self.quantile(quantile), self.total
        worth = min(total, max(1, math.floor(effective))) if effective is not None else total
        lower, upper = ranks(worth, quantile, confidence)
        below = (lower - 1) * total // worth + 1 if lower else 0
        above = total - (worth - upper) * total // worth if upper <= worth else total + 1
        return Bounds(
            value=value,
            lower=min(self._edges(below)[0], value) if below else -math.inf,
            upper=max(self._edges(above)[1], value) if above <= total else math.inf,
            samples=total,
            effective_samples=float(total) if effective is None else min(float(total), effective),
        )

    def over(self, limit: float) -> int:
        """Return how many values may lie above ``limit`` (in ``unit``); a bucket that straddles it counts as above."""
        return sum(count for index, count in self.counts.items() if self.layout.edges(index)[1] * self.scale > limit)

    def _edges(self, rank: int) -> tuple[float, float]:
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank:
                break
        low, high = self.layout.edges(index)
        return low * self.scale, high * self.scale


def merge(parts: Sequence[Histogram]) -> Histogram:
    """Return the histogram of all the parts' values together.

    Raises:
        HistogramError: there are no parts, or they differ in unit or layout.
    """
    if not parts:
        msg = "there is no histogram to merge"
        raise HistogramError(msg)
    first = parts[0]
    for part in parts[1:]:
        if (part.unit, part.scale, part.layout) != (first.unit, first.scale, first.layout):
            msg = f"a histogram in {part.unit} × {part.scale:g} cannot join one in {first.unit} × {first.scale:g}"
            raise HistogramError(msg)
    counts: Counter[int] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Histogram(first.unit, first.scale, first.layout, dict(counts))


def decode(text: str, unit: str, scale: float) -> Histogram:
    """Read a histogram in base64 of the compressed V2 encoding.

    Raises:
        HistogramError: the text is none.
    """
    try:
        return _decode(text, unit, scale)
    except (binascii.Error, ValueError, zlib.error, struct.error, IndexError) as error:
        msg = f"expected an HdrHistogram in base64 of the compressed V2 encoding, found {text[:40]!r}: {error}"
        raise HistogramError(msg) from error


def _decode(text: str, unit: str, scale: float) -> Histogram:
    packed = base64.b64decode(text, validate=True)
    cookie, length = struct.unpack_from(">ii", packed)
    if cookie & _COOKIE_MASK != _COMPRESSED & _COOKIE_MASK:
        msg = f"its cookie is {cookie:#x}"
        raise ValueError(msg)
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(packed[8 : 8 + length], _MOST_BYTES)
    if not unpacker.eof:
        msg = "it is cut off or too large"
        raise ValueError(msg)
    cookie, size, _, digits, lowest, _, _ = _HEADER.unpack_from(plain)
    body = plain[_HEADER.size : _HEADER.size + size]
    if cookie & _COOKIE_MASK != _PLAIN & _COOKIE_MASK or len(body) != size or not 1 <= digits <= _MOST_DIGITS:
        msg = "its header makes no sense"
        raise ValueError(msg)
    layout = Layout(digits, max(0, lowest.bit_length() - 1))
    return Histogram(unit, scale, layout, dict(_counts(body)))


def _counts(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield (index, count); a negative number stands for so many empty buckets."""
    index = 0
    for number in _zigzags(body):
        if number < 0:
            index -= number
        else:
            if number:
                yield index, number
            index += 1


def _zigzags(body: bytes) -> Iterator[int]:
    at = 0
    while at < len(body):
        value = shift = 0
        for position in range(_LONGEST_VARINT):
            byte = body[at]
            at += 1
            # The ninth byte, where there is one, carries eight bits.
            whole = position == _LONGEST_VARINT - 1
            value |= (byte if whole else byte & 0x7F) << shift
            shift += 7
            if whole or not byte & 0x80:
                break
        yield (value >> 1) ^ -(value & 1)
