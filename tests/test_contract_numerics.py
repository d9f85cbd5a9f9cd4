"""P2 to P5 where 50 digits are too slow: rows of up to 262,144 numbers, and many rows.

References are pairs of doubles (`double_double`), checked against mpmath first.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import double_double
import ml_dtypes
import numpy as np
import pytest
import reference
from double_double import DoubleDouble, dd
from layouts import DTYPES, PERTURBATIONS, ROW_SUMS, machine_epsilon
from reference import UNIT, exact, logits_magnitude, mp, mpf

import fastdiv as fd

LN2 = math.log(2)
NARROW = ("float16", "bfloat16", "float32")


# --- the references -------------------------------------------------------------------------------


def digits_apart(got: DoubleDouble, want: mpf) -> float:
    return float(abs((mpf(float(got.high)) + mpf(float(got.low))) / want - 1))


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-7, 1e-13])
def test_references(size):
    """An error that is nothing beside any bound: 1e-30 of a term, more as the rows come near."""
    rng = np.random.default_rng(2)
    p = rng.random(40) + 0.01
    q = abs(p * (1 + size * rng.standard_normal(40)))
    a = 3 * np.log(p) + 1000
    b = a + size * rng.standard_normal(40)
    x, y = double_double.softmax(a), double_double.softmax(b)
    forms = [
        ((dd(p), dd(q)), (exact(p), exact(q)), 1e-24),
        (
            tuple(double_double.normalised(dd(row)) for row in (p, q)),
            tuple(reference.normalised(exact(row)) for row in (p, q)),
            1e-29 + 1e-31 / size,
        ),
        ((x.p, y.p), tuple(reference.softmax(exact(row)) for row in (a, b)), 1e-28 + 1e-29 / size),
    ]
    for name, function in double_double.DIVERGENCES.items():
        for found, wanted, allowed in forms:
            want = reference.ORACLES[name](*wanted)
            assert digits_apart(function(*found), want) < allowed, name
    want = reference.entropy(forms[2][1][0], forms[2][1][0])
    assert digits_apart(double_double.entropy(x), want) < 1e-28
    assert digits_apart(x.logsumexp, reference.logsumexp(exact(a))) < 1e-28


def test_reference_of_extremes():
    """Masks, zeros, and a row whose entropy is 1e-16."""
    p, q = np.float64([0, 0.25, 0.75, 0]), np.float64([0.5, 0, 0.5, 0])
    for name in ("kl_divergence", "reverse_kl_divergence", "js_divergence", "squared_hellinger"):
        want = reference.ORACLES[name](exact(p), exact(q))
        got = double_double.DIVERGENCES[name](dd(p), dd(q))
        assert float(got.high) == np.inf if want == mp.inf else digits_apart(got, want) < 1e-29
    a = np.float64([0, -40, -np.inf, -45])
    s, rows = double_double.softmax(a), reference.softmax(exact(a))
    assert digits_apart(double_double.entropy(s), reference.entropy(rows, rows)) < 1e-28
    assert digits_apart(s.logsumexp, reference.logsumexp(exact(a))) < 1e-28
    b = np.float64([0, -1e4, -np.inf, 0])
    want = reference.kl_divergence(rows, reference.softmax(exact(b)))
    assert digits_apart(double_double.kl_of_logits(s, double_double.softmax(b)), want) < 1e-28


def relative(got: np.ndarray, want: DoubleDouble) -> np.ndarray:
    """Errors relative to what is exact; none where both are the same infinity or 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        error = abs((got - want.high) - want.low) / abs(want.high)
    error = np.where(np.isnan(error), np.inf, error)
    return np.where((got == want.high) & ((want.high == 0) | np.isinf(got)), 0.0, error)


# --- P2, P3: weights ------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def weights(dtype: str, n: int, *, of_all: bool) -> tuple[np.ndarray, np.ndarray]:
    """Each row with another perturbation, down to the type's last place; all numbers differ."""
    rng = np.random.default_rng(n)
    sizes = [s for s in PERTURBATIONS if s >= machine_epsilon(dtype)] + [machine_epsilon(dtype)]
    if n > 100_000:
        sizes = sizes[-2:]
    if not of_all:
        sizes = sizes[len(sizes) // 2 :: len(sizes)]
    p = (rng.random((len(sizes), n)) + 0.01).astype(DTYPES[dtype])
    q = p.astype(np.float64) * (1 + np.array(sizes)[:, None] * rng.standard_normal(p.shape))
    return p, np.maximum(abs(q), p.astype(np.float64) / 100).astype(DTYPES[dtype])


# One of each family of formulas: of long rows, where a reference takes seconds, these by default.
SOME = ("kl_divergence", "js_divergence", "hellinger_distance", "total_variation")
BY_LENGTH = [
    *((n, tuple(double_double.DIVERGENCES)) for n in (31, 4099)),
    *((n, SOME) for n in (32_768, 262_144)),
    *(
        pytest.param(n, tuple(double_double.DIVERGENCES), marks=pytest.mark.exhaustive)
        for n in (32_768, 262_144)
    ),
]
by_length = pytest.mark.parametrize(
    ("n", "names"), BY_LENGTH, ids=lambda x: f"{len(x)} of them" if isinstance(x, tuple) else None
)


@pytest.mark.promise("P2")
@by_length
def test_generalised(each_isa, worst, dtype, n, names):
    p, q = weights(dtype, n, of_all=names != SOME)
    for name in names:
        want = double_double.DIVERGENCES[name](dd(p), dd(q))
        for isa in each_isa():
            error = relative(getattr(fd, name)(p, q, normalize=False), want).max() / UNIT[dtype]
            worst(error, f"u: rows of {n:,} of {dtype}, perturbed by 1…1e-13", 16)
            assert error <= 16, (name, isa)


def by_closeness(kl: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return 1 + np.sqrt(2 / kl)


@pytest.mark.promise("P3")
@by_length
def test_normalised(each_isa, worst, dtype, n, names):
    """Row sums from 0.1 to 1e6, another one for each row; no number becomes 0 or too large."""
    p, q = (x.astype(np.float64) for x in weights(dtype, n, of_all=names != SOME))
    found = ml_dtypes.finfo(DTYPES[dtype])
    top, tiny = float(found.max), float(found.smallest_subnormal)
    sums = np.clip(np.resize(np.array(ROW_SUMS), (len(p) + 1, 1)), 1e4 * n * tiny, top / 4)
    # Powers of two: what is near stays as near.
    p *= np.exp2(np.rint(np.log2(sums[:-1] / p.sum(-1, keepdims=True))))
    q *= np.exp2(np.rint(np.log2(sums[1:] / q.sum(-1, keepdims=True))))
    p, q = p.astype(DTYPES[dtype]), q.astype(DTYPES[dtype])
    x, y = (double_double.normalised(dd(z)) for z in (p, q))
    closeness = by_closeness(double_double.kl_divergence(x, y).high)
    for name in names:
        want = double_double.DIVERGENCES[name](x, y)
        for isa in each_isa():
            error = (relative(getattr(fd, name)(p, q), want) / closeness).max() / UNIT[dtype]
            worst(error, f"u(1+√(2/KL)): rows of {n:,} of {dtype}, sums 0.1…1e6", 16)
            assert error <= 16, (name, isa)


# --- P4: logits -----------------------------------------------------------------------------------


class Logits(NamedTuple):
    a: np.ndarray
    b: np.ndarray
    p: double_double.Softmax
    q: double_double.Softmax
    kl: np.ndarray
    magnitude: float
    differ: np.ndarray  # rows that are not one distribution, of which the references know 1e-60


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x.astype(np.float64) - x.max(axis=-1, keepdims=True).astype(float) for x in (a, b))
    return (a != b).any(axis=-1)


def _near(rng, shape, size):
    a = rng.normal(0, 4, shape)
    return a, a + size * rng.standard_normal(shape)


def _at_two(rng, shape):
    """Ratios on both sides of e², where the fused comparison changes its formula."""
    a = rng.normal(0, 4, shape)
    return a, a + rng.choice([-1, 1], shape) * (2 + 1e-3 * rng.standard_normal(shape))


def _one_sided(rng, shape):
    """Nearly all tokens less probable by one factor, so that the terms have one sign."""
    a = rng.normal(0, 0.1, shape)
    return a, a - rng.choice([0.5, 1.9, 2.1, 30], shape) * (rng.random(shape) < 0.99)


def _rising(rng, shape):
    """Maxima that rise from block to block, by more than the sums have room for."""
    slope = rng.choice([0.01, 1, 60], (shape[0], 1))
    a = np.arange(shape[1]) * slope + rng.normal(0, 4, shape)
    return a, a + rng.normal(0, 1, shape)


def _falling(rng, shape):
    a, b = _rising(rng, shape)
    return a[:, ::-1], b[:, ::-1]


def _far_blocks(rng, shape):
    """Whole blocks more than e⁴⁰ apart."""
    a = rng.normal(0, 4, shape)
    return a, a + 90 * ((np.arange(shape[1]) // 256) % 2) + rng.normal(0, 0.1, shape)


def _peaked(rng, shape):
    a, b = rng.normal(-rng.choice([20, 46, 60], (shape[0], 1)), 1, (2, *shape))
    a[:, shape[1] // 2], b[:, shape[1] // 2] = 0.5, 0.25
    return a, b


def _ties(rng, shape):
    return rng.integers(-3, 1, shape).astype(float), rng.integers(-3, 1, shape).astype(float)


def _wide(rng, shape):
    return rng.normal(0, 40, shape), rng.normal(0, 40, shape)


def _shifted(rng, shape):
    a, b = _near(rng, shape, 0.01)
    return a + 1e4, b - 1e4


def _masked(rng, shape):
    a, b = _near(rng, shape, 0.01)
    hidden = rng.random(shape) < 0.4
    hidden[:, 0] = False
    a[hidden] = b[hidden] = -np.inf
    a[:, 1::5] = -np.inf
    return a, b


def _soft_masked(rng, shape):
    a, b = _near(rng, shape, 0.01)
    a[:, 1::3] = b[:, 1::3] = -3e4
    b[:, 2::5] = -3e4
    return a, b


def _one_masked(rng, shape):
    """One of the rows has a token that the other one masks, and is near or the same otherwise."""
    a, b = _near(rng, shape, 10.0 ** rng.uniform(-14, 0, (shape[0], 1)))
    b[::4] = a[::4]
    b[::3] += 0.75
    a[:, 1] = a.max(axis=1) - rng.choice([5, 14, 30], shape[0])  # references know 1e-30
    b[:, 1] = rng.choice([-np.inf, -3e4], shape[0])
    return a, b


KINDS = {
    f"near, {size:g}": (lambda rng, shape, size=size: _near(rng, shape, size))
    for size in (10, 2, 1, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-13)
} | {
    name.__name__.strip("_"): name
    for name in (
        _at_two,
        _one_sided,
        _rising,
        _falling,
        _far_blocks,
        _peaked,
        _ties,
        _wide,
        _shifted,
        _masked,
        _soft_masked,
        _one_masked,
    )
}
FIELDS = {
    "kl": "kl_divergence",
    "reverse_kl": "reverse_kl_divergence",
    "js": "js_divergence",
    "tv": "total_variation",
    "hellinger": "hellinger_distance",
}


@lru_cache(maxsize=2)
def logits(dtype: str, kind: str, shape: tuple[int, int]) -> Logits:
    rng = np.random.default_rng(shape[1])
    a, b = (np.clip(x, None, 6e4) for x in KINDS[kind](rng, shape))
    if kind.startswith("near"):  # near what the kernel sees
        b += a.astype(DTYPES[dtype]).astype(np.float64) - a
    a, b = a.astype(DTYPES[dtype]), b.astype(DTYPES[dtype])
    p, q, differ = double_double.softmax(a), double_double.softmax(b), _differ(a, b)
    kl = double_double.kl_of_logits(p, q).where(differ, 0.0).high
    return Logits(a, b, p, q, kl, logits_magnitude(a, b), differ)


def shares(found: Logits, dtype: str, which: str, got: np.ndarray, want: DoubleDouble) -> float:
    """The worst error, in units of what P4 allows: `which` is a divergence, or what stands alone.

    The total variation is of first order in what the terms are off by, and may be far less than
    √(KL/2): where they are float32's its closeness is its own, 1/TV, which is √(2/KL) where
    Pinsker's inequality is an equality.
    """
    error, u = relative(got, want), UNIT[dtype]
    size = found.kl if which in FIELDS.values() else want.high
    with np.errstate(divide="ignore"):
        closeness = np.sqrt(2 / abs(size))
        if which == "total_variation" and dtype != "float64":
            closeness = 1 / want.high
    if dtype == "float64":
        growth = closeness if which in FIELDS.values() else np.minimum(1, closeness)
        allowed = 16 * u * (1 + found.magnitude * growth)
    else:
        relative_bound = (which not in FIELDS.values()) | (
            which.endswith("kl_divergence") & (want.high >= 1e-12)
        )
        allowed = np.where(relative_bound, 1e-6, 16 * u * (1 + closeness))
    with np.errstate(invalid="ignore"):
        return float(np.where(error == 0, 0, error / allowed).max())


SHAPES = [(32, 5), (8, 300), (2, 1100)]


@pytest.mark.promise("P4")
@pytest.mark.parametrize("kind", KINDS)
def test_logits(each_isa, worst, dtype, kind):
    """Every field of a comparison, and the functions of one row."""
    problems = []
    for shape in SHAPES:
        check_logits(each_isa, worst, dtype, kind, shape, problems)
    assert problems == []


@pytest.mark.promise("P4")
@pytest.mark.parametrize(
    "n", [32_768, pytest.param(151_936, marks=pytest.mark.exhaustive), 262_144]
)
def test_vocabularies(each_isa, worst, dtype, n):
    problems = []
    check_logits(each_isa, worst, dtype, "near, 0.1", (1, n), problems)
    assert problems == []


@pytest.mark.promise("P4")
def test_total_variation_of_hardly_anything(each_isa, worst):
    """Float64 logits that differ only in tokens of next to no probability, or by a last place."""
    rng = np.random.default_rng(4)
    for n, shift in ((2, 0.0), (40, 0.0), (40, 1e4), (300, -30.0)):
        a = rng.normal(0, 1, (24, n)) - rng.uniform(37, 90, (24, 1))
        a[:, n // 2] = rng.normal(0, 1, 24)
        a += shift
        b = np.where(rng.random((24, n)) < 0.5, a + rng.normal(0, 1, (24, n)), a)
        b[:, n // 2] = a[:, n // 2]
        b[::4] = a[::4]
        b[::4, 0] = np.nextafter(a[::4, 0], 0)
        a[1::8, -1] = -np.inf
        b[5::8, -1] = -np.inf
        want = [
            reference.ORACLES["total_variation"](*(reference.softmax(exact(x)) for x in pair))
            for pair in zip(a, b, strict=True)
        ]
        assert sum(0 < x < 3e-17 for x in want) > 10
        for _ in each_isa():
            for got in (fd.total_variation(a, b, from_logits=True), fd.compare_logits(a, b).tv):
                errors = [abs(mpf(float(x)) - y) for x, y in zip(got, want, strict=True)]
                of = "total variation of float64 logits where it is below 3e-17"
                # NumPy's largest, which a NaN is
                most = np.max([float(x) for x, y in zip(errors, want, strict=True) if y < 3e-17])
                worst(most, of, 2.0**-104)


@pytest.mark.promise("P4")
@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_many_logits(each_isa, worst, dtype, kind):
    problems = []
    for shape in [(20_000, 3), (5_000, 40), (400, 500)]:
        check_logits(each_isa, worst, dtype, kind, shape, problems)
    assert problems == []


def check_logits(each_isa, worst, dtype, kind, shape, problems):
    found = logits(dtype, kind, shape)
    a, b, p, q, _, magnitude, differ = found
    label = shape[1] // 2
    wanted = {
        field: (name, double_double.DIVERGENCES[name](p.p, q.p)) for field, name in FIELDS.items()
    }
    wanted["kl"] = FIELDS["kl"], double_double.kl_of_logits(p, q)
    wanted["reverse_kl"] = FIELDS["reverse_kl"], double_double.kl_of_logits(q, p)
    wanted = {field: (name, x.where(differ, 0.0)) for field, (name, x) in wanted.items()}
    for model, s in (("base", p), ("candidate", q)):
        wanted[f"entropy_{model}"] = "entropy", double_double.entropy(s)
        wanted[f"nll_{model}"] = "nll", -s.log_p[..., label]
    # The NLL of the top token is what P4 says of a log-sum-exp: its logit is exact.
    nll = -p.log_p.high.max(axis=-1)
    of_top = (16 * UNIT[dtype] * (1 + magnitude) if dtype == "float64" else 1e-6) * nll
    for isa in each_isa():
        fields = fd.compare_logits(a, b, label, fields=fd.LogitComparison._fields)._asdict()
        got = [(field, "compare_logits", fields[field]) for field in wanted]
        got += [
            (field, "alone", getattr(fd, name)(a, b, from_logits=True))
            for field, name in FIELDS.items()
        ]
        got += [
            ("entropy_base", "alone", fd.entropy(a, from_logits=True)),
            ("nll_candidate", "alone", fd.token_nll(b, label)),
        ]
        for field, where, values in got:
            name, want = wanted[field]
            share = shares(found, dtype, name, values, want)
            worst(share, f"of what is allowed: {name} of {dtype} logits, {where}", 1)
            if share > 1:
                problems.append((shape, isa, field, where, share))
        top = fd.logsumexp(a)
        error = abs((top - p.logsumexp.high) - p.logsumexp.low)
        if (error > of_top + 2.0**-52 * abs(top)).any():
            problems.append((shape, isa, "logsumexp", error.max()))


# --- P5 -------------------------------------------------------------------------------------------

UPPER = {"js": LN2, "tv": 1.0, "hellinger": 1.0}
COUNTS = [(20_000, 2), (10_000, 5), (4_000, 17), (200, 300)]


def any_logits(dtype: str, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Near and far rows, masks, huge numbers, and partners some last places away."""
    rng = np.random.default_rng(n)
    a = rng.normal(0, 1, (count, n)) * 10.0 ** rng.uniform(-6, 4.5, (count, 1))
    b = np.where(
        rng.random((count, 1)) < 0.5,
        a * (1 + rng.integers(-2, 3, (count, n)) * machine_epsilon(dtype)),
        a + rng.normal(0, 1, (count, n)) * 10.0 ** rng.uniform(-14, 4, (count, 1)),
    )
    a, b = (np.clip(x, -6e4, 6e4) for x in (a, b))
    a[rng.random((count, n)) < 0.05] = -np.inf
    b[rng.random((count, n)) < 0.05] = -np.inf
    a[:, 0], b[:, 0] = 0.25, 0.5
    return a.astype(DTYPES[dtype]), b.astype(DTYPES[dtype])


@pytest.mark.promise("P5")
def test_sign_and_range_of_comparisons(isa, worst, dtype):
    """34,200 pairs of logits for each dtype, each both ways round; and each row with itself."""
    compared = 0
    for count, n in COUNTS:
        a, b = any_logits(dtype, count, n)
        for x, y in ((a, b), (b, a)):
            found = fd.compare_logits(x, y, 0, fields=fd.LogitComparison._fields)._asdict()
            for field in (*FIELDS, "chi2", "nll_base", "nll_candidate"):
                wrong = np.signbit(found[field]) | ~(found[field] <= UPPER.get(field, np.inf))
                assert not wrong.any(), (field, x[wrong][:1].tolist(), y[wrong][:1].tolist())
            for model in ("base", "candidate"):
                limit = np.log(n) * (1 + 1e-6)
                assert (found[f"entropy_{model}"] <= limit).all(), model
                assert not np.signbit(found[f"entropy_{model}"]).any(), model
                assert (found[f"confidence_{model}"] <= 1).all(), model
            compared += count
        same = fd.compare_logits(a, a.copy(), 0, fields=fd.LogitComparison._fields)._asdict()
        for field in (*FIELDS, "chi2", "delta_p"):
            assert (same[field] == 0).all(), field
            assert not np.signbit(same[field]).any(), field
    worst(0, f"broken of {compared:,} comparisons of {dtype} logits", 0)
