"""P2 and P3 for rows of a few numbers, each many times: all roundings of such rows go one way.

A divergence of k equal pairs (p, q) is that of one pair (k p, k q), so the exact divergence of
thousands of elements costs no more than that of a few, and thousands of such rows can be tried:
the worst there are, found where random numbers would never look. Some have sums that differ in
their last places, or a last element with nothing opposite it, which makes KL infinite and leaves
16u for every other divergence.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import double_double
import numpy as np
import pytest
from double_double import dd
from layouts import DTYPES
from reference import LITERAL, ORACLES, UNIT, Bound, exact, generalised_bound, normalised, share
from registry import DIVERGENCES
from test_contract_numerics import by_closeness, relative

NEAREST = {"float64": 1e-13, "float32": 1e-5}
MOST = 5  # numbers of a row that differ
# Where it mattered: near but for an element with nothing opposite, on both sides of a power of two.
MIXED = [
    ((2.8797661, 0.2370120), (3.1732, 0.39198), (1468, 578)),
    ((1.0938, 1.6790), (1.0458, 1.0711), (2047, 1)),
    ((0.46682, 0.64388), (0.25589, 3.98230), (39, 216)),
]
few_dtype = pytest.mark.parametrize("few_dtype", NEAREST)


class Few(NamedTuple):
    """Rows as the numbers that they have, and how many times each; 0 times behind the last."""

    p: np.ndarray
    q: np.ndarray
    times: np.ndarray

    def rows(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.repeat(x[at], self.times[at]) for x in (self.p, self.q))


def one_pair(rng: np.random.Generator, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if rng.random() < 0.2:
        p, q, times = MIXED[rng.integers(len(MIXED))]
        p, q = (np.array(x) * np.exp(rng.normal(0, 1e-3, 2)) for x in (p, q))
        return np.append(p, p[0] * 1e-9), np.append(q, 0), np.append(times, 1)
    different = int(rng.integers(2, MOST))
    longest = 11.3 if rng.random() < 0.7 else 3
    n = int(np.exp2(rng.uniform(1, longest)))
    shares = rng.dirichlet(np.full(different, rng.choice([0.3, 1, 3])))
    times = np.maximum(1, n * shares).astype(int)
    p = np.exp(rng.normal(0, rng.choice([0.3, 1, 2]), different))
    sizes = np.exp(rng.uniform(np.log(NEAREST[dtype]), np.log(2), different))
    if rng.random() < 0.7:  # one closeness for all of the row
        sizes[:] = np.exp(rng.choice([rng.uniform(np.log(NEAREST[dtype]), 0), rng.uniform(-3, 1)]))
    q = p * np.exp(sizes * rng.normal(0, 1, different))
    ending = rng.integers(4)
    if ending < 2:  # Q's sum is P's but for its last places
        q *= (p * times).sum() / (q * times).sum() * (1 + UNIT[dtype] * rng.integers(-80, 80))
    if ending in (1, 2):  # of no weight beside the others, and nothing opposite
        p = np.append(p, p[0] * 10.0 ** -rng.integers(2, 12))
        q = np.append(q, rng.choice([0, q[0] * 1e-30]))
        times = np.append(times, 1)
    return p, q, times


@cache
def few(dtype: str, seed: int, count: int) -> Few:
    rng = np.random.default_rng([seed, *dtype.encode()])
    found = Few(*np.zeros((2, count, MOST), DTYPES[dtype]), np.zeros((count, MOST), int))
    for at in range(count):
        p, q, times = one_pair(rng, dtype)
        for to, values in zip(found, (p, q, times), strict=True):
            to[at, : len(values)] = values
    return found


@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@pytest.mark.parametrize("seed", range(4))
@few_dtype
@np.errstate(invalid="ignore", divide="ignore")  # the reference's own, of what is infinite
def test_thousands(worst, few_dtype, seed):
    case = few(few_dtype, seed, 1500)
    as_given = tuple(dd(x.astype(np.float64)) * case.times for x in (case.p, case.q))
    of_sum_one = tuple(double_double.normalised(x) for x in as_given)
    away = by_closeness(double_double.kl_divergence(*of_sum_one).high)
    problems = []
    for name, function in double_double.DIVERGENCES.items():
        divergence = next(d for d in DIVERGENCES if d.name == name)
        for normalize, rows, allowed in ((False, as_given, 1.0), (True, of_sum_one, away)):
            pairs = (case.rows(at) for at in range(len(case.p)))
            got = np.array([divergence(*pair, normalize=normalize) for pair in pairs])
            want = function(*rows)
            if name == "total_variation" and normalize and few_dtype == "float64":
                got = np.where(abs(got - want.high) < 2.0**-104, want.high, got)  # all are finite
            found = relative(got, want) / allowed / UNIT[few_dtype]
            at = int(found.argmax())
            worst(found[at], f"u(1+√(2/KL)): few numbers of {few_dtype}, {normalize=}", 16)
            if found[at] > 16:
                problems.append((name, normalize, found[at], *case.rows(at)))
    assert problems == []


# What the logarithms of orders, and weights other than a half, are made of.
ORDERS = [
    d
    for d in DIVERGENCES
    if d.kernel not in LITERAL and not d.unary and d.name not in double_double.DIVERGENCES
]


@pytest.mark.promise("P2")
@pytest.mark.promise("P3")
@few_dtype
@pytest.mark.parametrize("divergence", ORDERS, ids=lambda d: d.name)
def test_orders(worst, few_dtype, divergence):
    case, problems = few(few_dtype, 9, 120), []
    for at in range(len(case.p)):
        as_given = [
            [int(k) * x for k, x in zip(case.times[at], exact(row[at]), strict=True) if k]
            for row in (case.p, case.q)
        ]
        of_sum_one = [normalised(row) for row in as_given]
        kl = ORACLES["kl_divergence"](*of_sum_one)
        away = 16 * UNIT[few_dtype] * (1 + float((2 / kl) ** 0.5) if kl else np.inf)
        literally = generalised_bound(divergence.name, *as_given, UNIT[few_dtype])
        for normalize, rows, bound in (
            (False, as_given, literally),
            (True, of_sum_one, Bound(away)),
        ):
            got = float(divergence(*case.rows(at), normalize=normalize))
            found = share(got, ORACLES[divergence.name](*rows), bound)
            worst(found, f"of what is allowed: few numbers of {few_dtype}, {normalize=}", 1)
            if found > 1:
                problems.append((normalize, found, *case.rows(at)))
    assert problems == []
