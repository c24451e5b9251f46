"""Penalties, temperature, top-k, top-p and min-p in one kernel that never sorts: it draws and rejects.

A draw takes one pass over the row: the blocks of the vocabulary race for the draw in proportion to their mass, then
the tokens of the winning block do. A further pass adds up what is likelier than the token that was drawn. If that
already reaches top-p, the token lies outside of what top-p keeps; it is rejected, and the next draw is among the
likelier ones alone. So at least top-p of all draws are accepted, and what is accepted has exactly the distribution
that sorting would give. (Rejection with a rising pivot is the idea of FlashInfer's sampling kernels, Ye et al., 2025;
the exponential race is the sampling without a normalising constant of Efraimidis and Spirakis, 2006.) top-k comes
first and is a radix select on the bits of the scores, eight at a time, with counts that are whole numbers.

Order: a higher score comes first, and of equal scores the lower token. Bounds of top-k and top-p are tokens in that
order, so ties are cut in the same place each time.

Randomness is Philox (Salmon et al., 2011) on (token or block, draw, row, step) with the seed as its key: no state is
kept, and a row's tokens depend on nothing but these and its logits.

Shapes: a program holds a tile of ``ROWS`` rows and ``BLOCK`` tokens, [r, b]; [r] means one value a row. ``source`` is
what all passes read: logits, marks, stride of a row, vocabulary, repetition penalty, presence penalty.
"""

from __future__ import annotations

import triton
import triton.language as tl

LARGEST = tl.constexpr(3.4028234663852886e38)
INFINITY = tl.constexpr(float("inf"))
PER_WORD = tl.constexpr(2.0**-32)
DIGITS = tl.constexpr(256)


@triton.jit
def _tile(source, row, inside_row, start, PENALISED: tl.constexpr, BLOCK: tl.constexpr):
    """Return tokens from ``start`` [r] on, whether each exists, and its penalised logit as float32, each [r, b].

    NaN comes as -inf and +inf as the largest finite number. Bit 0 of a mark says that the token is in the prompt or
    was drawn, bit 1 that it was drawn.
    """
    logits, marks, stride, vocabulary, repetition, presence = source
    token = start[:, None] + tl.arange(0, BLOCK)[None, :]
    inside = inside_row[:, None] & (token < vocabulary)
    scores = tl.load(logits + row[:, None] * stride + token, mask=inside, other=-INFINITY).to(tl.float32)
    if PENALISED:
        mark = tl.load(marks + row[:, None] * vocabulary + token, mask=inside, other=0)
        rarer = tl.where(scores > 0, scores / repetition, scores * repetition)
        scores = tl.where((mark & 1) != 0, rarer, scores)
        scores = tl.where((mark & 2) != 0, scores - presence, scores)
    scores = tl.where(scores == scores, scores, -INFINITY)  # noqa: PLR0124 -- only NaN differs from itself
    scores = tl.where(scores > LARGEST, LARGEST, scores)
    return token, inside, tl.where(scores == 0, 0.0, scores)


@triton.jit
def _keys(scores):
    """Return whole numbers in the order of ``scores``, as uint32; none is 0."""
    bits = scores.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.uint32, bitcast=True) ^ 0x80000000


@triton.jit
def _exponential(word):
    """Return exponential variables from random bits, with full precision where they are small and races are won."""
    share = (word.to(tl.float32) + 0.5) * PER_WORD
    rest = ((word ^ 0xFFFFFFFF).to(tl.float32) + 0.5) * PER_WORD
    series = share * (1 + share * (1 / 2 + share * (1 / 3 + share * (1 / 4 + share * (1 / 5 + share * (1 / 6))))))
    return tl.where(share < 1 / 32, series, -tl.log(rest))


@triton.jit
def _candidates(
    source, row, inside_row, start, best, bound_key, bound_token, temperature,
    PENALISED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Return tokens from ``start`` [r] on, their keys, and the weights of those before the bound [r], each [r, b].

    Weights are relative to the likeliest token of the row, whose weight is 1; the others' weights are 0.
    """
    token, inside, scores = _tile(source, row, inside_row, start, PENALISED, BLOCK)
    key = _keys(scores)
    before = (key > bound_key[:, None]) | ((key == bound_key[:, None]) & (token < bound_token[:, None]))
    nothing = best == -INFINITY
    centred = (scores - tl.where(nothing, 0.0, best)[:, None]) / temperature
    centred = tl.where(nothing[:, None], 0.0, centred)
    return token, key, tl.where(inside & before, tl.exp(centred), 0.0)


@triton.jit
def _race(
    source, row, inside_row, best, bound_key, bound_token, temperature, min_p, seed, step, draw,
    PENALISED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Draw among the tokens before the bound [r]; return the mass of them all, the token and its key, each [r].

    min-p rules tokens out of the draw, not out of the mass.
    """
    none = tl.zeros([ROWS], tl.int32)
    counter = row.to(tl.int32)
    winner = none
    mass = tl.zeros([ROWS], tl.float32)
    earliest = tl.full([ROWS], INFINITY, tl.float32)
    for start in range(0, source[3], BLOCK):
        _, _, weight = _candidates(
            source, row, inside_row, start + none, best, bound_key, bound_token, temperature, PENALISED, BLOCK
        )
        mass += tl.sum(weight, axis=1)
        share = tl.sum(tl.where(weight >= min_p, weight, 0.0), axis=1)
        word, _, _, _ = tl.philox(seed, start + none, draw * 2 + none, counter, step + none)
        arrival = tl.where(share > 0, _exponential(word) / tl.where(share > 0, share, 1.0), INFINITY)
        winner = tl.where(arrival < earliest, start, winner)
        earliest = tl.minimum(earliest, arrival)
    token, key, weight = _candidates(
        source, row, inside_row, winner, best, bound_key, bound_token, temperature, PENALISED, BLOCK
    )
    nothing = token * 0
    word, _, _, _ = tl.philox(seed, token, draw * 2 + 1 + nothing, counter[:, None] + nothing, step + nothing)
    racing = (weight > 0) & (weight >= min_p)
    arrival = tl.where(racing, _exponential(word) / tl.where(racing, weight, 1.0), INFINITY)
    place = tl.argmin(arrival, axis=1)
    chosen = tl.arange(0, BLOCK)[None, :] == place[:, None]
    return mass, winner + place, tl.max(tl.where(chosen, key, 0), axis=1)


@triton.jit
def _top_k(source, row, inside_row, top_k, PENALISED: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Return the bound [r] before which exactly ``top_k`` tokens come: a key, and a token among those of that key."""
    none = tl.zeros([ROWS], tl.int32)
    wanted = none + top_k
    edge = tl.zeros([ROWS], tl.uint32)
    first_bin = tl.arange(0, ROWS)[:, None] * DIGITS
    digits = tl.arange(0, DIGITS)[None, :]
    for level in tl.static_range(4):
        counts = tl.zeros([ROWS, DIGITS], tl.int32)
        for start in range(0, source[3], BLOCK):
            _, inside, scores = _tile(source, row, inside_row, start + none, PENALISED, BLOCK)
            key = _keys(scores)
            if level > 0:
                inside = inside & ((key >> (32 - 8 * level)) == edge[:, None])
            bins = ((key >> (24 - 8 * level)) & 255).to(tl.int32) + first_bin
            found = tl.histogram(tl.ravel(bins), ROWS * DIGITS, mask=tl.ravel(inside))
            counts += tl.reshape(found, [ROWS, DIGITS])
        at_least = tl.sum(counts, axis=1)[:, None] - tl.cumsum(counts, axis=1) + counts
        digit = tl.sum((at_least >= wanted[:, None]).to(tl.int32), axis=1) - 1
        wanted -= tl.sum(tl.where(digits > digit[:, None], counts, 0), axis=1)
        edge = (edge << 8) | digit.to(tl.uint32)
    passed = none
    last = none
    for start in range(0, source[3], BLOCK):
        token, inside, scores = _tile(source, row, inside_row, start + none, PENALISED, BLOCK)
        equal = (inside & (_keys(scores) == edge[:, None])).to(tl.int32)
        rank = passed[:, None] + tl.cumsum(equal, axis=1)
        last = tl.maximum(last, tl.max(tl.where((equal > 0) & (rank == wanted[:, None]), token, 0), axis=1))
        passed += tl.sum(equal, axis=1)
    return edge, last + 1


@triton.jit(do_not_specialize=["rows", "top_k", "seed", "step"])
def sample(
    logits, marks, tokens, rows, vocabulary, stride, repetition, presence, temperature, top_k, top_p, min_p,
    seed: tl.int64, step,
    GREEDY: tl.constexpr, TOP_K: tl.constexpr, TOP_P: tl.constexpr, PENALISED: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write one token for each row into ``tokens`` [rows], and mark it as drawn where penalties are kept."""
    source = (logits, marks, stride, vocabulary, repetition, presence)
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    inside_row = row < rows
    none = tl.zeros([ROWS], tl.int32)
    best = tl.full([ROWS], -INFINITY, tl.float32)
    token = none
    for start in range(0, vocabulary, BLOCK):
        _, _, scores = _tile(source, row, inside_row, start + none, PENALISED, BLOCK)
        peak = tl.max(scores, axis=1)
        token = tl.where(peak > best, start + tl.argmax(scores, axis=1), token)
        best = tl.maximum(best, peak)
    if not GREEDY:
        bound_key = tl.zeros([ROWS], tl.uint32)
        bound_token = none
        if TOP_K:
            bound_key, bound_token = _top_k(source, row, inside_row, top_k, PENALISED, ROWS, BLOCK)
        total, token, key = _race(
            source, row, inside_row, best, bound_key, bound_token, temperature, min_p, seed, step, 0,
            PENALISED, ROWS, BLOCK,
        )  # fmt: skip
        if TOP_P:
            drawn = token
            waiting = inside_row
            draw = 1
            while tl.max(waiting.to(tl.int32), axis=0) > 0:
                before, likelier, likelier_key = _race(
                    source, row, inside_row, best, key, drawn, temperature, min_p, seed, step, draw,
                    PENALISED, ROWS, BLOCK,
                )  # fmt: skip
                token = tl.where(waiting & (before < top_p * total), drawn, token)
                waiting = waiting & (before >= top_p * total)
                drawn = likelier
                key = likelier_key
                draw += 1
    tl.store(tokens + row, token.to(tl.int64), mask=inside_row)
    if PENALISED:
        tl.store(marks + row * vocabulary + token, 3, mask=inside_row)
