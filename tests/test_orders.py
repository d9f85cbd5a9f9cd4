"""Divergences and entropies of every order from −∞ to ∞, and weighted Jensen-Shannon."""

from __future__ import annotations

import math
import warnings
from functools import cache

import mpmath
import numpy as np
import pytest
from reference import Bound, exact, excess, mp, normalised, weighted_js_divergence

import fastdiv as fd

INF = math.inf
U = 2.0**-53
FINITE = (-40.0, -10.0, -3.0, -1.0, -0.5, -1e-9, -1e-300, 0.0, 1e-300, 1e-9, 0.25, 0.5, 0.75)
FINITE += (1 - 1e-9, 1.0, 1 + 1e-9, 1.5, 2.0, 3.0, 10.0, 40.0)
ORDERS = (-INF, *FINITE, INF)


def digits(order):
    """A context in which 1 and 1 + order x log(p/q) of rows 1e-13 apart differ by enough."""
    context = mpmath.mp.clone()
    context.dps = 700 if 0 < abs(order) < 1e-20 else 100
    return context


# --- the definitions ------------------------------------------------------------------------------


def power_sum(m, a, p, q):
    total = m.mpf(0)
    for x, y in zip(p, q, strict=True):
        if x and y:
            total += x**a * y ** (1 - a)
        elif (y and a < 0) or (x and a > 1):
            return m.inf
        elif (y and a == 0 and x) or (x and a == 1):
            total += x
    return total


def relative_entropy(m, p, q):
    if any(x and not y for x, y in zip(p, q, strict=True)):
        return m.inf
    return m.fsum(x * m.log(x / y) for x, y in zip(p, q, strict=True) if x)


def alpha_oracle(m, order, p, q):
    a = m.mpf(order)
    if a in (0, 1):
        return relative_entropy(m, p, q) if a else relative_entropy(m, q, p)
    return (power_sum(m, a, p, q) - 1) / (a * (a - 1))


def renyi_oracle(m, order, p, q):
    a = m.mpf(order)
    pairs = list(zip(p, q, strict=True))
    if order == INF:
        if any(x and not y for x, y in pairs):
            return m.inf
        return m.log(max(x / y for x, y in pairs if y))
    if order == -INF:
        return -renyi_oracle(m, INF, q, p)
    if a == 1:
        return relative_entropy(m, p, q)
    affinity = power_sum(m, a, p, q)
    if a == 0:
        affinity = m.fsum(y for x, y in pairs if x)
    if affinity == 0:
        return m.inf
    return m.log(affinity) / (a - 1) if affinity < m.inf else m.inf / (a - 1)


def renyi_entropy_oracle(m, order, p, _):
    a = m.mpf(order)
    if order == INF:
        return -m.log(max(p))
    if a < 0 and not all(p):
        return m.inf
    if order == -INF:
        return -m.log(min(p))
    if a == 1:
        return -m.fsum(x * m.log(x) for x in p if x)
    return m.log(m.fsum(x**a for x in p if x)) / (1 - a)


def tsallis_entropy_oracle(m, order, p, _):
    a = m.mpf(order)
    if a < 0 and not all(p):
        return m.inf
    if a == 1:
        return -m.fsum(x * m.log(x) for x in p if x)
    return (1 - m.fsum(x**a for x in p if x)) / (a - 1)


ORACLES = {
    "alpha_divergence": alpha_oracle,
    "renyi_divergence": renyi_oracle,
    "renyi_entropy": renyi_entropy_oracle,
    "tsallis_entropy": tsallis_entropy_oracle,
}
UNARY = ("renyi_entropy", "tsallis_entropy")
RENYI = ("renyi_divergence", "renyi_entropy")


def softmax(m, logits):
    powers = [m.exp(m.mpf(x)) for x in logits]
    return [x / m.fsum(powers) for x in powers]


# --- rows -----------------------------------------------------------------------------------------


def make_rows():
    rng = np.random.default_rng(42)
    p, q = rng.gamma(0.5, size=(2, 19)) + 1e-3
    near = rng.random(19) + 0.1
    no_p, no_q, disjoint = p.copy(), q.copy(), np.arange(19) % 2
    no_p[::4] = no_q[1::4] = 0
    step = 1 + rng.standard_normal(19) * np.array([[1e-13], [1e-6], [1e-2]])
    return {
        "random": (p, q),
        "counts": np.floor(np.array([p, q]) * 50) + 1,
        "sums": (p * 1e6, q * 1e-3),
        "no p": (no_p, q),
        "no q": (p, no_q),
        "both": (np.where(no_p * no_q, p, 0), np.where(no_p * no_q, q, 0)),
        "overlapping": (no_p, no_q),
        "disjoint": (p * disjoint, q * (1 - disjoint)),
        "near 1e-13": (near, near * step[0]),
        "near 1e-6": (near, near * step[1]),
        "near 1e-2": (near, near * step[2]),
        "peaked": (np.append(p[1:] * 1e-12, 1), np.append(q[1:] * 1e-12, 1)),
        "two": (np.array([0.5, 0.5]), np.array([0.25, 0.75])),
        "one": (np.array([3.0]), np.array([5.0])),
    }


ROWS = make_rows()
OTHERS = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
FAR = {
    "far": (np.append([1.0, 1e-300, 1e-9], OTHERS), np.append([1e-300, 1.0, 1e-3], OTHERS)),
    "farther": (np.append([1e-3, 1e-120, 1.0], OTHERS), np.append([1.0, 1e-4, 1e-250], OTHERS)),
}


@cache
def wanted(function, kind, order, single=False):
    rows = (ROWS | FAR)[kind]
    p, q = (exact(x.astype(np.float32) if single else x) for x in rows)
    m = digits(order)
    p, q = ([m.mpf(x) for x in row] for row in (p, q))
    p, q = ([x / m.fsum(row) for x in row] for row in (p, q))
    closeness = relative_entropy(m, p, q)
    if function in UNARY:
        closeness = -m.fsum(x * m.log(x) for x in p if x)
    return ORACLES[function](m, order, p, q), closeness


def allowed(order, closeness, single=False, far=False):
    """16u (1 + |α|/8) (1 + √(2/KL)); an infinite order only finds an extreme.

    100u for rows with probabilities of 1e-300.
    """
    size = 1 + abs(order) / 8 if abs(order) < INF else 1.0
    relative = 16 * U * size * (1 + (float(mp.sqrt(2 / closeness)) if closeness else 0.0))
    if far:
        relative = max(relative, 100 * U)
    # Of one outcome the ratio of the sums is 1 only to 2 ulp, which are squared.
    absolute = 5e-324 if closeness else 2 * (16 * U) ** 2
    return Bound(max(relative, 1e-12) if single else relative, absolute)


def problems(function, kinds, single=False):
    for kind in kinds:
        rows = [x.astype(np.float32) if single else x for x in (ROWS | FAR)[kind]]
        rows = rows[: 1 if function in UNARY else 2]
        orders = ORDERS if function in RENYI else FINITE
        results = getattr(fd, function)(*rows, orders)
        for order, got in zip(orders, results, strict=True):
            want, closeness = wanted(function, kind, order, single)
            problem = excess(float(got), want, allowed(order, closeness, single, kind in FAR))
            if problem:
                yield f"{kind}, order {order}: {problem}"


@pytest.mark.parametrize("function", ORACLES)
def test_orders(each_isa, function):
    for _ in each_isa():
        assert list(problems(function, ROWS)) == []


@pytest.mark.parametrize("function", ORACLES)
def test_orders_of_float32(each_isa, function):
    """Powers are always taken in double."""
    kinds = [kind for kind in ROWS if "1e-13" not in kind]
    for _ in each_isa():
        assert list(problems(function, kinds, single=True)) == []


@pytest.mark.parametrize("function", ORACLES)
def test_rows_very_far_apart(each_isa, function):
    """Here log(p/q) is so great that the rounding of alpha - 1 shows; see `allowed`."""
    for _ in each_isa():
        assert list(problems(function, FAR)) == []


def test_instruction_sets_agree_to_the_last_bit(each_isa):
    bits = set()
    for _ in each_isa():
        parts = [
            getattr(fd, f)(*rows[: 1 if f in UNARY else 2], FINITE).tobytes()
            for f in ORACLES
            for rows in (ROWS | FAR).values()
        ]
        bits.add(b"".join(parts))
    assert len(bits) == 1


# --- what no double holds -------------------------------------------------------------------------


def test_sums_beyond_the_doubles():
    """Rényi's logarithm is there where the sum is not; the sum itself is infinite."""
    p, q = np.array([1.0, 1e-300, 1e-3]), np.array([1e-300, 1.0, 1e-3])
    for order in (3.0, 40.0, 1000.0, 1e6):
        m = digits(order)
        x, y = ([m.mpf(v) for v in normalised(exact(row))] for row in (p, q))
        want = renyi_oracle(m, order, x, y)
        assert fd.renyi_divergence(p, q, order) == pytest.approx(float(want), rel=1e-13)
        mirrored = fd.renyi_divergence(q, p, 1 - order)
        assert mirrored == pytest.approx(float((1 - order) / order * want), rel=1e-13)
        assert fd.alpha_divergence(p, q, order) == INF
        assert fd.alpha_divergence(q, p, 1 - order) == INF
    p = np.array([1.0, 1e-9, 1e-12, 1e-5, 1, 1, 1, 1])
    for order in (1000.0, -1000.0):
        m = digits(order)
        x = [m.mpf(v) for v in normalised(exact(p))]
        want = float(renyi_entropy_oracle(m, order, x, None))
        assert fd.renyi_entropy(p, order) == pytest.approx(want, rel=1e-13)
    assert fd.tsallis_entropy(p, 1000.0) == pytest.approx(1 / 999, rel=1e-15)
    assert fd.tsallis_entropy(p, -1000.0) == INF


LOGITS = [
    ([0.0, -600], [0.0, -3000]),  # p^2/q = e^1800
    ([0.0, -650, -1], [0.0, -1500, -2]),
    ([0.0, -760, 1], [-700.0, 0, 1]),
    ([0.0, -900, -INF, 2], [0.0, -890, -1, -INF]),
    ([0.5, -1.5, 2.0, -3.0], [0.25, -2.5, 2.0, -2.0]),
]


@pytest.mark.parametrize(("a", "b"), LOGITS)
def test_logits(each_isa, a, b):
    """A probability that underflows counts where its power does."""
    for order in ORDERS:
        m = digits(order)
        x, y = softmax(m, a), softmax(m, b)
        renyi = renyi_oracle(m, order, x, y)
        for _ in each_isa():
            got = fd.renyi_divergence(a, b, order, from_logits=True)
            # A logarithm of probabilities 1e-300 and below has the error of the logits.
            assert excess(float(got), renyi, Bound(1e-13, 1e-15)) is None, order
        if abs(order) < INF:
            want = alpha_oracle(m, order, x, y)
            got = fd.alpha_divergence(a, b, order, from_logits=True)
            problem = excess(float(got), want, Bound(1e-13 * (1 + abs(order) * 200), 1e-15))
            assert problem is None, (order, problem)


def test_powers_that_count():
    """A term of probability e^-600, beside which that of 1 is nothing."""
    a, b = [0.0, -600], [0.0, -3000]
    assert fd.renyi_divergence(a, b, 2.0, from_logits=True) == pytest.approx(1800, rel=1e-13)
    assert fd.alpha_divergence(a, b, 2.0, from_logits=True) == INF
    got = fd.alpha_divergence(a, b, 1.4, from_logits=True)
    assert got == pytest.approx(math.exp(-600 + 0.4 * 2400) / 0.56, rel=1e-12)


@pytest.mark.parametrize("function", ["renyi_entropy", "tsallis_entropy"])
def test_entropies_of_logits(each_isa, function):
    a = np.array([0.0, -800, -1, -2, -3, -4, 1, -700])
    for order in (-0.5, 1e-9, 0.25, 1.0, 1 + 1e-9, 2.0, 40.0):
        m = digits(order)
        want = ORACLES[function](m, order, softmax(m, a), None)
        for _ in each_isa():
            got = getattr(fd, function)(a, order, from_logits=True)
            problem = excess(float(got), want, Bound(1e-12))
            assert problem is None, (order, problem)


# --- what orders do -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in ROWS if "1e-13" not in k])
def test_renyi_is_monotone(kind):
    orders = [-INF, *np.linspace(-40, 40, 801), INF]
    got = fd.renyi_divergence(*ROWS[kind], orders)
    with np.errstate(invalid="ignore"):
        steps = np.diff(got)
    size = np.abs(got[1:])
    finite = np.isfinite(got[1:]) & np.isfinite(got[:-1])
    assert (steps[finite] >= -1e-11 * size[finite] - 1e-28).all()
    assert (got[1:] >= got[:-1])[~finite].all()
    entropies = fd.renyi_entropy(ROWS[kind][0], orders)
    finite = np.isfinite(entropies)
    assert (np.diff(entropies[finite]) <= 1e-13 * entropies[finite][1:] + 1e-300).all()


@pytest.mark.parametrize("kind", ["random", "no p", "near 1e-13", "near 1e-2", "peaked"])
def test_limits(kind):
    """KL from both sides of 1, and of the exchanged rows at 0."""
    p, q = ROWS[kind]
    kl, reverse = fd.kl_divergence(p, q), fd.reverse_kl_divergence(p, q)
    for h in (1e-6, -1e-6, 1e-9, -1e-9, 2.0**-52, -(2.0**-53)):
        allowed = pytest.approx(kl, rel=1e3 * abs(h) + 1e-12 + 0.1 * ("1e-13" in kind))
        assert fd.alpha_divergence(p, q, 1 + h) == allowed
        assert fd.renyi_divergence(p, q, 1 + h) == allowed
        if math.isfinite(reverse):
            assert fd.alpha_divergence(q, p, h) == allowed
    assert fd.renyi_divergence(p, q, 1) == pytest.approx(kl, rel=1e-14 + ("1e-13" in kind))
    h = fd.entropy(p)
    for order in (1.0, 1 + 1e-9, 1 - 1e-9):
        assert fd.renyi_entropy(p, order) == pytest.approx(h, rel=1e-7)
        assert fd.tsallis_entropy(p, order) == pytest.approx(h, rel=1e-7)
    assert fd.alpha_divergence(p, q, 2) == pytest.approx(fd.chi2_divergence(p, q) / 2, rel=1e-2)


@pytest.mark.parametrize("function", ORACLES)
def test_equal_rows_and_negative_zero(function):
    p = ROWS["both"][0]
    got = getattr(fd, function)(*([p] if function in UNARY else [p, p.copy()]), FINITE)
    if function not in UNARY:
        assert got.tolist() == [0.0] * len(FINITE)
    assert not np.signbit(got).any()
    point = fd.renyi_entropy([0, 1, 0], [0.0, 0.5, 1, 2, INF])
    assert point.tolist() == [0.0] * 5
    assert not np.signbit(point).any()


# --- arrays of orders -----------------------------------------------------------------------------


@pytest.mark.parametrize("function", [*ORACLES, "js_divergence"])
def test_arrays_of_parameters(function):
    """They broadcast against the rows; each result is that of its one row and one number."""
    rng = np.random.default_rng(7)
    call = getattr(fd, function)
    rows = rng.random((1 if function in UNARY else 2, 3, 4, 6)) + 0.01
    key = "weight" if function == "js_divergence" else "alpha"
    for shape in ((), (4,), (3, 1), (3, 4), (5, 1, 1), (1,)):
        numbers = rng.random(shape) * (1 if key == "weight" else 5)
        want = np.empty(np.broadcast_shapes((3, 4), shape))
        for i in np.ndindex(want.shape):
            number = float(np.broadcast_to(numbers, want.shape)[i])
            want[i] = call(*rows[:, i[-2], i[-1]], **{key: number})
        got = call(*rows, **{key: numbers})
        np.testing.assert_array_equal(got, want)
        turned = call(*np.moveaxis(rows, -1, 1), axis=0, **{key: numbers})
        np.testing.assert_array_equal(turned, want)
        out = np.empty(want.shape)
        assert call(*rows, out=out, **{key: numbers}) is out
        np.testing.assert_array_equal(out, want)
        kept = call(*rows, keepdims=True, **{key: numbers})
        np.testing.assert_array_equal(kept, want[..., None])
        with pytest.raises(ValueError, match="out has shape"):
            call(*rows, out=np.empty((2, *want.shape)), **{key: numbers})
    assert call(*rows[:, :0], **{key: 0.25}).shape == (0, 4)
    assert type(call(*rows[:, 0, 0], **{key: 0.25})) is np.float64
    assert call(*rows[:, 0, 0], **{key: [0.25, 0.5]}).shape == (2,)


@pytest.mark.parametrize("function", [*ORACLES, "js_divergence"])
def test_parameters_that_are_none(function):
    rows = np.ones((1 if function in UNARY else 2, 3))
    call, key = getattr(fd, function), "weight" if function == "js_divergence" else "alpha"
    for wrong, error, message in [
        (math.nan, ValueError, "NaN"),
        ([0.5, math.nan], ValueError, "NaN"),
        ("half", TypeError, "'half'"),
        (None, TypeError, "None|NaN"),
        (1j, TypeError, "1j"),
    ]:
        with pytest.raises((error, ValueError), match=f"{function}: {key} is.*({message})"):
            call(*rows, **{key: wrong})
    wrong = [-0.1, 1.1, [0.5, 2], INF] if key == "weight" else [INF, [1, -INF]]
    for number in wrong if function not in RENYI else ():
        with pytest.raises(ValueError, match=rf"{function}: {key} is .*; it takes"):
            call(*rows, **{key: number})


# --- weighted Jensen-Shannon ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ROWS)
def test_weights(each_isa, kind):
    p, q = ROWS[kind]
    x, y = normalised(exact(p)), normalised(exact(q))
    closeness = relative_entropy(mp, x, y)
    for _ in each_isa():
        weights = np.array([0.0, 1e-9, 0.01, 0.3, 0.5, 0.75, 1 - 2.0**-53, 1.0])
        got = fd.js_divergence(p, q, weight=weights)
        assert got[0] == got[-1] == 0.0
        for weight, value in zip(weights, got, strict=True):
            want = weighted_js_divergence(float(weight))(x, y) if 0 < weight < 1 else mp.mpf(0)
            bound = Bound(16 * U * (1 + float(mp.sqrt(2 / closeness))) if closeness else 0, 1e-29)
            assert excess(float(value), want, bound) is None, weight
        assert fd.js_divergence(p, q, weight=0.5) == fd.js_divergence(p, q)
        with_numpy = fd.js_divergence(p, q, weight=np.float32(0.5))
        assert with_numpy == pytest.approx(fd.js_divergence(p, q), rel=1e-7, abs=1e-29)
        mirrored = fd.js_divergence(q, p, weight=1 - weights)
        some = [2, 3, 4, 5]
        np.testing.assert_allclose(mirrored[some], got[some], 1e-2 if "13" in kind else 1e-9, 1e-30)
        w = weights[1:-1]
        bound = -w * np.log(w) - (1 - w) * np.log1p(-w)
        assert (got[1:-1] <= bound * (1 + 4 * U)).all()


def test_nan_and_invalid_rows():
    rows = np.ones((2, 3, 4))
    rows[0, 1, 2], rows[0, 2, 3] = np.nan, -1
    for function in ("alpha_divergence", "renyi_divergence"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(getattr(fd, function)(*rows[:, 1], [2.0, 0.3])).all()
        with pytest.warns(RuntimeWarning, match="invalid value"):
            got = getattr(fd, function)(*rows, 2.0)
        assert np.isnan(got).tolist() == [False, True, True]
