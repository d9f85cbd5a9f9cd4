"""What fastdiv computes satisfies every inequality of `bounds`, on every instruction set and dtype.

An inequality is broken only if it is so for all values within the contract's relative error of the
computed ones, 16u(1 + √(2/KL)).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layouts import DTYPES, machine_epsilon
from reference import UNIT

import fastdiv as fd
from fastdiv.bounds import ALIASES, FALLING, INEQUALITIES, RANGES, SLACK, TINY

SIDE = ("min_q", "min_p", "max_ratio", "max_reverse_ratio")
NAMES = [name for name in RANGES if name not in SIDE]


def normalised(rows):
    rows = rows.astype(np.float64)
    return rows / rows.sum(axis=-1, keepdims=True)


def side_information(p, q):
    """As intervals: a normalised number is right to some ulp."""
    error = 1 + p.shape[-1] * 2.0**-51
    p, q = normalised(p), normalised(q)
    some = (p > 0) | (q > 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = [np.where(some, x, 0).max(axis=-1) for x in (p / q, q / p)]
    smallest = [np.where(some, x, 1).min(axis=-1) for x in (q, p)]
    return {
        name: (np.maximum(x / error, RANGES[name][0]), np.minimum(x * error, RANGES[name][1]))
        for name, x in zip(SIDE, [*smallest, *ratios], strict=True)
    }


def computed(p, q):
    """Every quantity of the rows, as intervals that the contract puts the true value in."""
    u = UNIT[p.dtype.name]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {name: getattr(fd, name)(p, q) for name in NAMES}
        closeness = np.minimum(values["kl_divergence"], values["reverse_kl_divergence"])
        relative = 16 * u * (1 + np.sqrt(2 / closeness))
    ends = {}
    for name, x in values.items():
        least, most = RANGES[name]
        with np.errstate(invalid="ignore"):
            low = np.where(relative < 1, x * (1 - relative), least)
            high = np.where(relative < 1, x * (1 + relative), most)
        ends[name] = np.clip(low, least, most), np.clip(high, least, most)
        assert not np.isnan(ends[name]).any(), name
    ends |= side_information(p, q)
    return {name: (low.tolist(), high.tolist()) for name, (low, high) in ends.items()}


def broken(ends):
    """Say which inequality the values of which row contradict, as loosely as they may be read."""
    known = {}
    for line in INEQUALITIES:
        at_most = line.sense == "≤"
        sources = [ends[name][at_most != (name in FALLING)] for name in line.sources]
        # A line and its mirror are often the same function of the same values.
        key = line.function, line.sense, line.sources
        if key not in known:
            known[key] = [line(*values) for values in zip(*sources, strict=True)]
        loosest = 1 + SLACK if at_most else 1 - SLACK
        targets = ends[line.target][not at_most]
        for row, (target, bound) in enumerate(zip(targets, known[key], strict=True)):
            if target > bound * loosest + TINY if at_most else target < bound * loosest - TINY:
                values = [x[row] for x in sources]
                yield f"{line}: row {row}, {line.target} {target!r}, {line.sources} {values}"


def first_broken(ends):
    return next(broken(ends), None)


def test_names():
    """Every name of `bounds` is a name of fastdiv."""
    assert all(callable(getattr(fd, name)) for name in NAMES)
    assert set(ALIASES.values()) <= set(NAMES)


# --- anything that hypothesis thinks of ----------------------------------------------------------


def weight_rows(dtype):
    """Weights of 8 bits times a power of two; partners equal, near, at a ratio, 0 or far."""
    ulp = machine_epsilon(dtype)
    ratios = (1, 1 + ulp, 1 - ulp, 1 + 3 * ulp, 0.5, 0.9, 1.1, 2, 0)

    def decoded(numbers):
        # One integer an element: a tuple of strategies takes hypothesis far longer to draw.
        p, q = [], []
        for number in numbers:
            weight, far, partner = number & 0xFFF, number >> 12 & 0xFFF, number >> 24
            p.append(math.ldexp(weight & 0xFF, -(weight >> 8)))
            other = math.ldexp(far & 0xFF, -(far >> 8))
            q.append(p[-1] * ratios[partner] if partner < len(ratios) else other)
        return np.array(p).astype(DTYPES[dtype]), np.array(q).astype(DTYPES[dtype])

    return st.lists(st.integers(0, 2**28 - 1), min_size=1, max_size=12).map(decoded)


@pytest.mark.promise("P5")
def test_any_pair(isa, dtype):
    @settings(max_examples=300)
    @given(pair=weight_rows(dtype))
    def check(pair):
        p, q = pair
        assume(p.any() and q.any())
        assert first_broken(computed(p[None], q[None])) is None

    check()


def test_a_wrong_value_is_noticed(monkeypatch):
    """Each function in turn 3 % too small and too large: some inequality is broken."""
    p, q = batch("float32", 400)
    for name in NAMES:
        for factor in (0.97, 1.03):
            ends = computed(p, q)
            low, high = ends[name]
            ends[name] = [x * factor for x in low], [x * factor for x in high]
            assert first_broken(ends) is not None, (name, factor)


# --- many ----------------------------------------------------------------------------------------


@cache
def batch(dtype, count):
    """Rows of 2 to 48 weights, padded with zeros: far, near, sparse, nearly disjoint, two-point."""
    rng = np.random.default_rng(20240608)
    n = 48
    p, q = rng.gamma(rng.choice([0.3, 2.0], (2, count, 1)), size=(2, count, n)) + 2.0**-10
    kind = rng.integers(0, 6, (count, 1))
    size = 10.0 ** -rng.uniform(0.3, -math.log10(machine_epsilon(dtype)), (count, 1))
    near = p * (1 + size * rng.uniform(-1, 1, (count, n)))
    q = np.where(kind == 0, near, q)
    p = np.where((kind == 1) & (rng.random((count, n)) < 0.5), 0, p)
    q = np.where((kind == 2) & (rng.random((count, n)) < 0.5), 0, q)
    apart = kind == 3
    p[:, 1::2] *= np.where(apart, np.maximum(size, 2.0**-10), 1)
    q[:, 0::2] *= np.where(apart, np.maximum(size, 2.0**-10), 1)
    # Conditioned on an event, or swapped: where inequalities are equalities.
    q = np.where(kind == 4, np.where(p > 0, p, 0), q)
    p = np.where((kind == 4) & (rng.random((count, n)) < 0.5), 0, p)
    length = rng.choice([2, 3, 8, n], (count, 1))
    p, q = (np.where(np.arange(n) < length, x, 0) for x in (p, q))
    two = (kind == 5)[:, 0]
    q[two] = p[two]
    q[two, :2] = p[two, 1::-1]
    p[:, 0] += 2.0**-8
    q[:, 0 if n else 1] += 2.0**-8
    return p.astype(DTYPES[dtype]), q.astype(DTYPES[dtype])


@pytest.mark.promise("P5")
@pytest.mark.slow
def test_many_pairs(each_isa, dtype):
    """25,000 rows a dtype; what another instruction set computes with the same bits is checked."""
    p, q = batch(dtype, 25_000)
    seen = []
    for isa in each_isa():
        ends = computed(p, q)
        if ends not in seen:
            seen.append(ends)
            assert first_broken(ends) is None, isa
    assert seen
