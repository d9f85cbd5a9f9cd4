"""KL of logits in one loop: rows whose first tokens mislead it, and rows that it must leave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import double_double
import numpy as np
import pytest
from layouts import DTYPES
from reference import UNIT

import fastdiv as fd

Rows = tuple[np.ndarray, np.ndarray]


def noise(rng: np.random.Generator, n: int, size: float = 0.1) -> Rows:
    a = 3 * rng.standard_normal((2, n))
    return a, a + size * rng.standard_normal(a.shape)


def start_apart(rng: np.random.Generator) -> Rows:
    """The first tokens say that the log-sum-exps are 5 apart."""
    a, b = noise(rng, 9000)
    b[:, :256] += 5
    return a, b


def late_peak(rng: np.random.Generator) -> Rows:
    a, b = noise(rng, 9000, 1e-3)
    a[:, 5000], b[:, 5000] = 30, 30.001
    return a, b


def late_peak_of_one(rng: np.random.Generator) -> Rows:
    a, b = noise(rng, 9000)
    b[:, 5000] = 40
    return a, b


def rising(rng: np.random.Generator) -> Rows:
    """Beyond what floats hold beside the first tokens."""
    a, b = noise(rng, 9000)
    steps = np.repeat([0.0, 60, 120], 3000)
    return a + steps, b + steps


def falling(rng: np.random.Generator) -> Rows:
    a, b = rising(rng)
    return a[:, ::-1].copy(), b[:, ::-1].copy()


def half_far(rng: np.random.Generator) -> Rows:
    a, b = noise(rng, 5000)
    b[:, ::2] += 6 * rng.standard_normal(2500)
    return a, b


def at_the_edge(rng: np.random.Generator) -> Rows:
    """Differences about the one where tokens are called far."""
    a, b = noise(rng, 5000)
    b = a + rng.choice([-2.0, 2.0], a.shape) * (1 + 1e-6 * rng.standard_normal(a.shape))
    return a, b


def segments(rng: np.random.Generator) -> Rows:
    """Of which threads have some, with log-sum-exps and peaks of their own."""
    a, b = noise(rng, 150_001)
    b[:, :65_536] += 3
    a[:, 65_536:131_072] += 20
    b[:, 65_536:131_072] += 22
    return a, b


def moved(rng: np.random.Generator) -> Rows:
    a, b = noise(rng, 3000)
    return a + 1000, b - 3000


def under_the_others(rng: np.random.Generator) -> Rows:
    """Equal but for tokens that next to nothing is left for."""
    a, _ = noise(rng, 2000)
    a[:, 700:] -= 150
    b = a.copy()
    b[:, 700:] += rng.standard_normal(1300)
    return a, b


def repeated(rng: np.random.Generator) -> Rows:
    """One logit again and again behind some larger ones: sums round the same way every time."""
    large = np.resize([1, 2, 8, 16, 31, 240], 60)[:, None]
    a, b = 3 * rng.standard_normal((2, 60, 2)) - [0, 5]
    b[::2] = a[::2] + rng.choice([1e-3, 0.1], (30, 1)) * rng.standard_normal((30, 2))
    behind = np.arange(1100) >= large
    return np.where(behind, a[:, 1:], a[:, :1]), np.where(behind, b[:, 1:], b[:, :1])


NAMED = (start_apart, late_peak, late_peak_of_one, rising, falling, half_far, at_the_edge, segments)
CASES: dict[str, Callable[[np.random.Generator], Rows]] = {
    **{f"noise, {size}": partial(noise, n=5000, size=size) for size in (10, 1e-2, 1e-5)},
    **{f"{n} tokens": partial(noise, n=n) for n in (2, 3, 17, 255, 257, 2049)},
    **{function.__name__: function for function in (*NAMED, moved, repeated, under_the_others)},
}


# Whose weights floats do not hold together: these go the way of masked rows, to P4.
LEFT_BY_FLOATS = {"late_peak_of_one", "rising", "falling", "under_the_others"}


def allowed(name: str, dtype: str, kl: float) -> float:
    """Of the loop 8 u, 12 of rows that repeat themselves, however near the rows are; else P4."""
    if dtype == "float64" or name not in LEFT_BY_FLOATS:
        return (12 if name == "repeated" else 8) * UNIT[dtype]
    return 1e-6 if kl >= 1e-12 else 16 * UNIT[dtype] * (1 + np.sqrt(2 / kl))


@pytest.mark.promise("P4")
@pytest.mark.parametrize("name", CASES)
def test_against_pairs_of_doubles(each_isa, dtype, worst, name):
    a, b = (x.astype(DTYPES[dtype]) for x in CASES[name](np.random.default_rng(len(name))))
    softmaxes = double_double.softmax(a), double_double.softmax(b)
    shares = []
    for s, t, rows in ((*softmaxes, (a, b)), (*softmaxes[::-1], (b, a))):
        want = double_double.kl_of_logits(s, t)
        for isa in each_isa():
            for got in (
                fd.kl_divergence(*rows, from_logits=True),
                fd.reverse_kl_divergence(*rows[::-1], from_logits=True),
            ):
                error = abs((got - want.high) - want.low)
                shares += [
                    (e / (kl * allowed(name, dtype, kl)) if e else 0.0, isa, value, kl)
                    for e, value, kl in zip(error, got, want.high, strict=True)
                ]
    worst(max(shares)[0], f"share of what is allowed, {name}", 1)
    assert max(shares)[0] <= 1, max(shares)


def test_rows_that_are_equal(dtype):
    """Nothing, and nearly nothing where the logits of one are moved."""
    a = noise(np.random.default_rng(0), 3000)[0].astype(DTYPES[dtype])
    assert (fd.kl_divergence(a, a, from_logits=True) == 0).all()
    whole = np.round(a.astype(np.float64)).clip(-8, 8).astype(DTYPES[dtype])
    moved = fd.kl_divergence(whole, whole + DTYPES[dtype].type(16), from_logits=True)
    assert (moved >= 0).all()
    assert (moved < 1e-20).all()


@pytest.mark.parametrize("at", [0, 200, 1500, 2999])
def test_what_the_loop_leaves_to_others(each_isa, at):
    """Tokens without weight, and what is no distribution."""
    a, b = (x.astype(np.float32) for x in noise(np.random.default_rng(at), 3000))
    rest = np.delete(np.arange(3000), at)
    for _ in each_isa():
        x, y = a.copy(), b.copy()
        x[:, at] = -np.inf
        assert np.isfinite(fd.kl_divergence(x, y, from_logits=True)).all()
        assert (fd.kl_divergence(y, x, from_logits=True) == np.inf).all()
        y[:, at] = -np.inf
        got = fd.kl_divergence(x, y, from_logits=True)
        want = fd.kl_divergence(x[:, rest], y[:, rest], from_logits=True)
        np.testing.assert_allclose(got, want, rtol=1e-6)
        for wrong in (np.nan, np.inf):
            x[0, at] = wrong
            with np.errstate(invalid="ignore"):
                got = fd.kl_divergence(x, y, from_logits=True)
            assert np.isnan(got[0])
            assert np.isfinite(got[1])
