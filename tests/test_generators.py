"""Generators against the definitions in mpmath, and the laws that tie them to each other."""

from __future__ import annotations

import copy
import ctypes
import ctypes.util
import importlib.util
import math
import pickle
import sys
import types
from dataclasses import FrozenInstanceError

import mpmath
import numpy as np
import pytest
from scipy import LowLevelCallable

import fastdiv as fd
from fastdiv import generators
from fastdiv.generators import (
    GENERATORS,
    Generator,
    Interval,
    Term,
    alpha,
    arithmetic_geometric,
    c_function_address,
    gan,
    get,
    jeffreys,
    js,
    js_weighted,
    kl,
    mixture,
    neyman_chi2,
    pearson_chi2,
    reverse_kl,
    squared_hellinger,
    total_variation,
    triangular,
)

# The smallest and the largest float64 in one sum need 640 digits; only the extremes do.
deep = mpmath.mp.clone()
deep.dps = 700
mp = mpmath.mp.clone()
mp.dps = 50
INF = math.inf
EPS = 2.0**-53
TINY = 5e-324
WEIGHTS = (0.5, 0.1, 0.9, 1e-6, 1 - 2.0**-40)
ALPHAS = (-40.0, -1.0, -0.5, -1e-8, 0.0, 1e-8, 0.25, 0.4999, 0.5, 0.75, 1 - 1e-8, 1.0, 1 + 1e-8)
ALPHAS = (*ALPHAS, 1.5, 2.0, 3.1, 40.1)


def case(name, parameter=None):
    if parameter is None:
        return pytest.param(GENERATORS[name], name, None, id=name)
    made = {"alpha": alpha, "js_weighted": js_weighted}[name](parameter)
    return pytest.param(made, name, parameter, id=f"{name}({parameter!r})")


CASES = [
    *map(case, GENERATORS),
    *(case("js_weighted", w) for w in WEIGHTS),
    *(case("alpha", a) for a in ALPHAS),
]
every = pytest.mark.parametrize(("g", "name", "parameter"), CASES)
ALL = [c.values[0] for c in CASES]


# --- the definitions ----------------------------------------------------------------------------


def f_of(m, name, u, k):
    """f(u) in the arithmetic m; k is the parameter."""
    ln = m.log
    k = None if k is None else m.mpf(k)
    if name == "alpha" and k in (0, 1):
        name = "kl" if k else "reverse_kl"
    return {
        "kl": lambda: u * ln(u) - u + 1,
        "reverse_kl": lambda: u - 1 - ln(u),
        "pearson_chi2": lambda: (u - 1) ** 2,
        "neyman_chi2": lambda: (1 - u) ** 2 / u,
        "squared_hellinger": lambda: (m.sqrt(u) - 1) ** 2 / 2,
        "total_variation": lambda: abs(u - 1) / 2,
        "jeffreys": lambda: (u - 1) * ln(u),
        "js": lambda: (u * ln(u) - (1 + u) * ln((1 + u) / 2)) / 2,
        "js_weighted": lambda: k * u * ln(u) - (1 - k + k * u) * ln(1 - k + k * u),
        "alpha": lambda: (u**k - 1 - k * (u - 1)) / (k * (k - 1)),
        "triangular": lambda: (u - 1) ** 2 / (u + 1),
        "arithmetic_geometric": lambda: (1 + u) / 2 * ln((1 + u) / (2 * m.sqrt(u))),
        "gan": lambda: u * ln(u) - (u + 1) * ln(u + 1),
    }[name]()


def slope_of(m, name, u, k):
    ln = m.log
    k = None if k is None else m.mpf(k)
    return {
        "kl": lambda: ln(u),
        "reverse_kl": lambda: 1 - 1 / u,
        "pearson_chi2": lambda: 2 * u - 2,
        "neyman_chi2": lambda: 1 - u**-2,
        "squared_hellinger": lambda: (1 - 1 / m.sqrt(u)) / 2,
        "total_variation": lambda: m.sign(u - 1) / 2,
        "jeffreys": lambda: ln(u) + 1 - 1 / u,
        "js": lambda: ln(2 * u / (1 + u)) / 2,
        "js_weighted": lambda: k * ln(u / (1 - k + k * u)),
        "alpha": lambda: ln(u) if k == 1 else (u ** (k - 1) - 1) / (k - 1),
        "triangular": lambda: 1 - 4 / (u + 1) ** 2,
        "arithmetic_geometric": lambda: (ln((1 + u) / (2 * m.sqrt(u))) + (1 - 1 / u) / 2) / 2,
        "gan": lambda: ln(u / (1 + u)),
    }[name]()


def conjugate_of(m, name, t, k, near):
    """f*(t) between f′(0) and f′(∞); `near` is close to the u where it is reached."""
    ln = m.log
    k = None if k is None else m.mpf(k)
    if name == "alpha" and k in (0, 1):
        name = "kl" if k else "reverse_kl"
    if name == "arithmetic_geometric":
        x = m.findroot(lambda x: slope_of(m, name, m.exp(x), k) - t, ln(near))
        return m.exp(x) * t - f_of(m, name, m.exp(x), k)
    if name == "jeffreys":
        w = m.lambertw(m.exp(1 - t)).real
        return w + 1 / w + t - 2
    return {
        "kl": lambda: m.exp(t) - 1,
        "reverse_kl": lambda: -ln(1 - t),
        "pearson_chi2": lambda: t * t / 4 + t,
        "neyman_chi2": lambda: 2 - 2 * m.sqrt(1 - t),
        "squared_hellinger": lambda: t / (1 - 2 * t),
        "total_variation": lambda: t,
        "js": lambda: -ln(2 - m.exp(2 * t)) / 2,
        "js_weighted": lambda: (1 - k) * ln((1 - k) / (1 - k * m.exp(t / k))),
        "alpha": lambda: ((1 + (k - 1) * t) ** (k / (k - 1)) - 1) / k,
        "triangular": lambda: 4 - t - 4 * m.sqrt(1 - t),
        "gan": lambda: -ln(1 - m.exp(t)),
    }[name]()


# What the code takes for exact.
ENDS = {  # f(0), f′(∞), f′(0), f*(f′(∞))
    "kl": (1, INF, -INF, INF),
    "reverse_kl": (INF, 1, -INF, INF),
    "pearson_chi2": (1, INF, -2, INF),
    "neyman_chi2": (INF, 1, -INF, 2),
    "squared_hellinger": (0.5, 0.5, -INF, INF),
    "total_variation": (0.5, 0.5, -0.5, 0.5),
    "jeffreys": (INF, INF, -INF, INF),
    "js": (math.log(2) / 2, math.log(2) / 2, -INF, INF),
    "triangular": (1, 1, -3, 3),
    "arithmetic_geometric": (INF, INF, -INF, INF),
    "gan": (0, 0, -INF, INF),
}


def ends(name, k):
    if name == "js_weighted":
        return -(1 - k) * math.log1p(-k), -k * math.log(k), -INF, INF
    if name == "alpha":
        return (
            1 / k if k > 0 else INF,
            1 / (1 - k) if k < 1 else INF,
            -1 / (k - 1) if k > 1 else -INF,
            -1 / k if k < 0 else INF,
        )
    return ENDS[name]


def points():
    rng = np.random.default_rng(20)
    near = 10.0 ** -rng.uniform(0.1, 15, 40)
    some = [1.0, 0.5, 2.0, 1 / 3, 3.0, 1 + 2.0**-52, 1 - 2.0**-53]
    middle, far = 10.0 ** rng.uniform(-1.5, 1.5, 60), 10.0 ** rng.uniform(-14, 14, 20)
    return np.concatenate([1 + near, 1 - near, middle, far, some])


POINTS = points()
EXTREMES = np.array([TINY, 1e-310, 1e-290, 1e-150, 1e-30, 1e30, 1e150, 1e290, 1.7e308])


def units(got, want, scale=None):
    """Error in units of 2⁻⁵³ of `scale`, by default of the exact value."""
    if abs(want) > np.finfo(np.float64).max:
        return 0.0 if got == math.copysign(INF, want) else INF
    if not math.isfinite(got):
        return INF
    error = abs(deep.mpf(float(got)) - want)
    return float(error / (EPS * (abs(want) if scale is None else scale) + TINY))


def worst(function, reference, at):
    return max(
        units(y, reference(deep.mpf(float(u)))) for u, y in zip(at, function(at), strict=True)
    )


# --- f, f′, f* ----------------------------------------------------------------------------------


@every
def test_f(g, name, parameter):
    """16 units of 2⁻⁵³ at any u: 1 + 1e-15, subnormals and 1e308 included."""
    at = np.concatenate([POINTS, EXTREMES])
    assert worst(g.f, lambda u: f_of(deep, name, u, parameter), at) <= 16


@every
def test_derivative(g, name, parameter):
    # The quotients overflow a little before the exact derivative does, for a large exponent.
    at = POINTS if name == "alpha" and abs(parameter) > 10 else np.concatenate([POINTS, EXTREMES])
    assert worst(g.derivative, lambda u: slope_of(deep, name, u, parameter), at) <= 16


@every
def test_conjugate(g, name, parameter):
    """16 units of |f*| and of what moving t by one unit changes, |t u|."""
    ut = [(u, float(g.derivative(u))) for u in POINTS]
    lower, upper = float(g.derivative(0.0)), g.at_infinity
    ut = [(u, t) for u, t in ut if lower < t < upper]
    assert len(ut) > 100 or name == "total_variation"
    got = g.conjugate([t for _, t in ut])
    for (u, t), y in zip(ut, got, strict=True):
        want = conjugate_of(mp, name, mp.mpf(t), parameter, mp.mpf(float(u)))
        # A t rounded next to the end of the domain may have no u.
        if upper - t > 1e-9 * abs(upper):
            assert units(y, deep.mpf(want), abs(deep.mpf(want)) + abs(t) * u) <= 16, (u, t)


@every
def test_conjugate_at_the_largest_numbers(g, name, parameter):
    """Of a critic that lost its bounds: f* there is finite, or what is beyond float64."""
    for t in (-1.7e308, -1e200, 1e200, 1.7e308):
        got = float(g.conjugate(t))
        if t > g.at_infinity:
            assert got == INF
        elif t < float(g.derivative(0.0)):
            assert got == -g.at_zero
        elif name in ("neyman_chi2", "squared_hellinger", "alpha"):
            u = None
            if name == "alpha" and abs(parameter - 1) > 1e-9:
                u = (1 + (mp.mpf(parameter) - 1) * mp.mpf(t)) ** (1 / (mp.mpf(parameter) - 1))
            want = conjugate_of(mp, name, mp.mpf(t), parameter, u)
            assert units(got, deep.mpf(want)) <= 1e4, t
        else:
            assert not math.isnan(got)


@every
def test_fenchel_young(g, name, parameter):
    """f(u) + f*(f′(u)) = u f′(u): of the definitions in 50 digits, and of the code."""
    for u in np.exp2(np.linspace(-6, 6, 25)):
        x = mp.mpf(float(u))
        t = slope_of(mp, name, x, parameter)
        f, conjugate = f_of(mp, name, x, parameter), conjugate_of(mp, name, t, parameter, x)
        assert abs(f + conjugate - x * t) <= mp.mpf(10) ** -30 * (1 + abs(x * t) + abs(conjugate))
    u = np.concatenate([POINTS[np.abs(np.log(POINTS)) < 3], [1.0]])
    f, t = g.f(u), g.derivative(u)
    conjugate = g.conjugate(t)
    there = np.isfinite(conjugate)
    assert there.sum() > 100
    sizes = np.abs(f) + np.abs(u * t) + np.abs(conjugate)
    assert (np.abs(f + conjugate - u * t) <= 32 * EPS * sizes)[there].all()


@every
def test_conjugate_is_the_supremum(g, name, parameter):
    """Nowhere below u t − f(u), also where f* is clamped."""
    u = np.concatenate([[0.0], np.exp2(np.linspace(-20, 20, 401))])
    t = np.concatenate([g.activation(np.linspace(-20, 3, 60)), [-1e3, -4.0, -2.5, -2.0]])
    f = g.f(u)
    for x, y in zip(t, g.conjugate(t), strict=True):
        there = np.isfinite(f)
        lines = u[there] * x - f[there]
        assert lines.max() <= y + 32 * EPS * (np.abs(u * x) + np.abs(f))[there][lines.argmax()]


@every
def test_ends(g, name, parameter):
    at_zero, at_infinity, slope_at_zero, at_upper = ends(name, parameter)
    close = pytest.approx
    assert (g.at_zero, g.at_infinity) == (close(at_zero, rel=4e-16), close(at_infinity, rel=4e-16))
    assert g.f(0.0) == g.at_zero
    assert g.f(INF) == (-INF if name == "gan" else INF)
    assert g.derivative(INF) == g.at_infinity
    assert g.derivative(0.0) == close(slope_at_zero, rel=4e-16)
    domain = g.conjugate_domain
    assert (domain.lower, domain.upper) == (-INF, g.at_infinity)
    assert (domain.lower_closed, domain.upper_closed) == (False, math.isfinite(at_upper))
    assert g.conjugate(g.at_infinity) == close(at_upper, rel=4e-16)
    assert g.conjugate(-INF) == -g.at_zero
    if at_infinity < INF:
        beyond = [np.nextafter(g.at_infinity, INF), g.at_infinity + 1, INF]
        assert np.all(np.isposinf(g.conjugate(beyond)))
        assert not domain.contains(beyond).any()
    if slope_at_zero > -INF:
        below = slope_at_zero - np.array([1e-9, 1.0, 1e9])
        assert g.conjugate(below).tolist() == [-g.at_zero] * 3
        assert domain.contains(below).all()
    assert g.upper == g.at_zero + g.at_infinity
    assert g.bounded is math.isfinite(g.upper)


@every
def test_limits_are_limits(g, name, parameter):
    """What is told is what f tends to: at u = 2^∓(2^14), far outside float64."""
    at_zero, at_infinity, *_ = ends(name, parameter)
    wide = mpmath.mp.clone()
    wide.dps = 12000
    small, large = wide.mpf(2) ** -(2**14), wide.mpf(2) ** (2**14)
    slow = name == "alpha" and (parameter == -1e-8 or abs(parameter - 0.5) > 0.49)
    for told, tends_to in (
        (at_zero, f_of(wide, name, small, parameter)),
        (at_infinity, f_of(wide, name, large, parameter) / large),
    ):
        if told == INF:
            assert tends_to > 1000
        elif not slow:
            assert abs(tends_to - told) <= 1e-15 * abs(told) + 1e-100


@every
def test_shapes_and_nan(g, name, parameter):
    for function in (g.f, g.derivative, g.conjugate, g.activation):
        assert isinstance(function(0.25), np.float64)
        assert function(np.full((2, 0, 3), 0.5)).shape == (2, 0, 3)
        grid = np.array([[0.1, 0.2], [0.3, 0.4]])
        assert function(grid[:, ::-1]).tolist() == function(grid)[:, ::-1].tolist()
        assert np.isnan(function([0.5, np.nan])).tolist() == [False, True]
        assert function([1, 2]).dtype == np.float64
    assert np.isnan(g.f([-1.0, -TINY, -INF])).all()
    assert np.isnan(g.derivative([-1.0, -TINY, -INF])).all()


@every
def test_activation(g, name, parameter):
    """Into the domain, increasing; for sizes of v that occur, f* is finite there or overflows."""
    for v in (np.linspace(-50, 50, 2001), np.array([-1e4, -800.0, 800.0, 1e4])):
        t = g.activation(v)
        assert g.conjugate_domain.contains(t).all()
        assert np.isfinite(t).all()
        assert (np.diff(t) >= 0).all()
        assert not np.isnan(g.conjugate(t)).any()
    v = np.linspace(-5, 5, 101)
    assert (np.diff(g.activation(v)) > 0).all()
    if not (name == "alpha" and 0.9 < parameter < 1):  # f* ~ 1e8^1e8
        assert np.isfinite(g.conjugate(g.activation(v))).all()


def test_activations_are_those_of_the_table():
    v = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    softplus, exponential = np.log1p(np.exp(-v)), 1 - np.exp(-v)
    half_log_two = math.log(2) / 2
    for g, want in {
        kl: v,
        pearson_chi2: v,
        jeffreys: v,
        arithmetic_geometric: v,
        alpha(1.5): v,
        reverse_kl: exponential,
        neyman_chi2: exponential,
        triangular: exponential,
        squared_hellinger: exponential / 2,
        total_variation: np.tanh(v) / 2,
        js: half_log_two - softplus / 2,
        js_weighted(0.25): -0.25 * math.log(0.25) - 0.25 * softplus,
        alpha(0.25): 4 / 3 - softplus,
        gan: -softplus,
        3 * js: 3 * (half_log_two - softplus / 2),
        squared_hellinger + triangular: 1.5 - softplus,
        squared_hellinger + kl: v,
    }.items():
        np.testing.assert_allclose(g.activation(v), want, rtol=1e-15, atol=1e-16, err_msg=g.name)


@every
def test_curvature_and_symmetry(g, name, parameter):
    h = mp.mpf(10) ** -15

    def f(u):
        return f_of(mp, name, u, parameter)

    second = (f(1 + h) - 2 * f(mp.mpf(1)) + f(1 - h)) / h**2
    if name == "total_variation":
        assert g.curvature == INF
        assert second > 1e14
    else:
        assert g.curvature == pytest.approx(float(second), rel=1e-12)
    u = mp.mpf("2.7")
    assert g.symmetric == (abs(f(u) - u * f(1 / u)) < mp.mpf(10) ** -30)
    assert g.offset == pytest.approx(float(f(mp.mpf(1))), abs=1e-40, rel=1e-15)


# --- the divergences they make ------------------------------------------------------------------


def xlog(weight, top, bottom):
    if weight == 0:
        return mp.mpf(0)
    return mp.log(top / bottom) * weight if bottom else mp.inf


def kernel(name, p, q, k):
    """The functions of fastdiv that `terms` name, from their definitions."""
    k = mp.mpf(0.5 if name == "js_divergence" else k or 0)
    if name == "alpha_divergence" and k in (0, 1):
        name = "kl_divergence" if k else "reverse_kl_divergence"
    pairs = [(x, y) for x, y in zip(p, q, strict=True) if x or y]
    return mp.fsum(kernel_term(name, x, y, k) for x, y in pairs)


def kernel_term(name, x, y, k):
    if name == "alpha_divergence" and ((x == 0 and k < 0) or (y == 0 and k > 1)):
        return mp.inf
    m = k * x + (1 - k) * y
    return {
        "kl_divergence": lambda: xlog(x, x, y),
        "reverse_kl_divergence": lambda: xlog(y, y, x),
        "jeffreys_divergence": lambda: xlog(x, x, y) + xlog(y, y, x),
        "js_divergence": lambda: (xlog(x, x, m) + xlog(y, y, m)) / 2,
        "weighted_js_divergence": lambda: k * xlog(x, x, m) + (1 - k) * xlog(y, y, m),
        "total_variation": lambda: abs(x - y) / 2,
        "squared_hellinger": lambda: (mp.sqrt(x) - mp.sqrt(y)) ** 2 / 2,
        "chi2_divergence": lambda: (x - y) ** 2 / y if y else mp.inf,
        "neyman_divergence": lambda: (x - y) ** 2 / x if x else mp.inf,
        "triangular_discrimination": lambda: (x - y) ** 2 / (x + y),
        "alpha_divergence": lambda: (x**k * y ** (1 - k) - k * x - (1 - k) * y) / (k * (k - 1)),
    }[name]()


def divergence(g, p, q):
    """Σ q f(p/q), with f(0) and f′(∞) where a row has nothing."""
    both = q > 0
    return (q[both] * g.f(p[both] / q[both])).sum() + (
        g.at_infinity * p[~both].sum() if p[~both].any() else 0.0
    )


def pairs():
    rng = np.random.default_rng(7)
    for n in (2, 5, 40):
        yield rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
        p = rng.dirichlet(np.ones(n))
        q = p * (1 + 1e-3 * rng.standard_normal(n))
        yield p, q / q.sum()
    yield np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.25, 0.0, 0.75, 0.0])
    yield np.array([1.0, 0.0]), np.array([0.0, 1.0])
    yield np.array([0.5, 0.5]), np.array([1.0, 0.0])
    yield np.array([1.0, 0.0]), np.array([0.5, 0.5])


@pytest.mark.parametrize("g", [*ALL, kl.symmetrised(), 3 * js + gan, mixture([(0.3, kl), (2, js)])])
def test_terms_are_the_sum_of_f(g):
    for p, q in pairs():
        x, y = [mp.mpf(v) for v in p.tolist()], [mp.mpf(v) for v in q.tolist()]
        x, y = [v / mp.fsum(x) for v in x], [v / mp.fsum(y) for v in y]
        values = [
            term.weight * kernel(term.kernel, *((y, x) if term.swapped else (x, y)), term.parameter)
            for term in g.terms
        ]
        # A negative weight must never meet an infinity.
        assert all(v > -mp.inf for v in values)
        want = float(mp.fsum(values) if mp.inf not in values else mp.inf) + g.offset
        assert divergence(g, p, q) == pytest.approx(want, rel=1e-12, abs=2e-15)
        assert want <= g.upper * (1 + 1e-15) + 1e-15


def test_terms_of_today_are_functions_of_fastdiv():
    """Those kernels that are there; the others' definitions are above."""
    there = {
        "kl_divergence",
        "reverse_kl_divergence",
        "js_divergence",
        "total_variation",
        "squared_hellinger",
        "chi2_divergence",
    }
    seen = set()
    for g in ALL:
        for term in g.terms:
            if g.terms == (term,) and term.weight == 1 and term.kernel in there:
                seen.add(term.kernel)
                for p, q in pairs():
                    want = float(getattr(fd, term.kernel)(p, q))
                    assert divergence(g, p, q) == pytest.approx(want, rel=1e-11, abs=1e-16)
    assert seen == there


def test_terms():
    assert neyman_chi2.terms == ((1.0, "neyman_divergence", None, False),)
    assert alpha(0.3).terms == ((1.0, "alpha_divergence", 0.3, False),)
    assert js_weighted(0.3).terms == ((1.0, "weighted_js_divergence", 0.3, False),)
    assert (2 * kl + kl.dual()).terms == (
        Term(2.0, "kl_divergence"),
        Term(1.0, "reverse_kl_divergence"),
    )
    # What cancels is gone.
    assert (arithmetic_geometric + js).terms == (Term(0.25, "jeffreys_divergence"),)
    assert (kl + Generator.from_function(np.square)).terms is None


# --- composition --------------------------------------------------------------------------------

T = np.concatenate([np.linspace(-30, 3, 200), [-1e3, -1e-9, 1e-9, 0.0]])


def assert_same(a, b, units=64, names=("f", "derivative", "conjugate")):
    """Two generators agree in all they say, `units` of 2⁻⁵³ allowed."""
    u = np.concatenate([[0.0, INF], POINTS])
    for name in names:
        at = T if name == "conjugate" else u
        x, y = getattr(a, name)(at), getattr(b, name)(at)
        scale = np.abs(y) + (np.abs(T) if name == "conjugate" else 0)
        with np.errstate(invalid="ignore"):
            same = (x == y) | (np.abs(x - y) <= units * EPS * scale + 1e-300)
        assert same.all(), (a, b, name, at[~same], x[~same], y[~same])
    for name in ("at_zero", "at_infinity", "curvature", "offset"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-14), (a, b, name)
    assert a.symmetric == b.symmetric
    assert a.conjugate_domain.upper_closed == b.conjugate_domain.upper_closed


@pytest.mark.parametrize("g", ALL)
def test_dual(g):
    d = g.dual()
    # 1 − α and 1 − π round, for some α and π.
    assert d.dual() is g or d.dual().name.partition("(")[0] == g.name.partition("(")[0]
    assert (d is g) is g.symmetric
    # 1 − (1 − 1e-8) is 1e-8 to eight digits.
    tolerance = 1e-12 if d.dual() is g else 1e-8
    u = np.exp2(np.linspace(-8, 8, 101))
    np.testing.assert_allclose(d.f(u), u * g.f(1 / u), rtol=tolerance, atol=1e-14 * abs(g.f(4.0)))
    assert (d.at_zero, d.at_infinity) == pytest.approx((g.at_infinity, g.at_zero), rel=tolerance)
    p, q = next(pairs())
    assert divergence(d, p, q) == pytest.approx(divergence(g, q, p), rel=tolerance)


def test_named_duals():
    assert kl.dual() is reverse_kl
    assert pearson_chi2.dual() is neyman_chi2
    assert alpha(0.25).dual() is alpha(0.75)
    assert js_weighted(0.25).dual() is js_weighted(0.75)
    assert jeffreys.dual() is jeffreys


@pytest.mark.parametrize("derivative", [None, np.log])
def test_dual_of_a_function(derivative):
    g = Generator.from_function(kl.f, derivative, name="mine")
    d = g.dual()
    assert d.name == "dual(mine)"
    assert d.dual() is g
    assert g.dual() is d
    u = np.exp2(np.linspace(-8, 8, 101))
    np.testing.assert_allclose(d.f(u), reverse_kl.f(u), rtol=1e-12, atol=1e-30)
    np.testing.assert_allclose(d.derivative(u), reverse_kl.derivative(u), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(d.conjugate(T), reverse_kl.conjugate(T), rtol=1e-13, atol=1e-15)
    assert (d.f(0.0), d.f(INF), d.derivative(0.0), d.derivative(INF)) == (INF, INF, -INF, 1.0)
    assert d.conjugate(1.0) == INF
    both = g.symmetrised()
    assert both.symmetric
    np.testing.assert_allclose(both.f(u), jeffreys.f(u), rtol=1e-12, atol=1e-30)
    np.testing.assert_allclose(both.conjugate(T), jeffreys.conjugate(T), rtol=1e-13, atol=1e-15)


def test_dual_of_a_function_keeps_closed_ends():
    g = Generator.from_function(pearson_chi2.f, pearson_chi2.derivative).dual()
    assert repr(g.conjugate_domain) == "(-inf, 1.0]"
    assert g.conjugate([1.0, 1.5]).tolist() == [2.0, INF]


def test_symmetrised():
    assert_same(kl.symmetrised(), jeffreys)
    assert_same(reverse_kl.symmetrised(), jeffreys)
    assert_same(js.symmetrised(), 2 * js)
    assert js_weighted(0.25).symmetrised().symmetric
    assert not (kl + 2 * reverse_kl).symmetric
    assert not (kl + js).symmetric


def test_scaled():
    assert_same(2 * alpha(2.0), pearson_chi2)
    assert_same(alpha(-1.0) * 2, neyman_chi2)
    assert_same(0.25 * alpha(0.5), squared_hellinger)
    assert_same(js.scaled(1.0), js)
    assert kl.scaled(1) is kl
    assert 2 * (0.5 * kl) is kl
    assert (np.float64(0.5) * kl).name == "0.5*kl"
    g = 0.3 * triangular
    t = np.linspace(-2, 0.29, 50)
    np.testing.assert_allclose(g.conjugate(t), 0.3 * triangular.conjugate(t / 0.3), rtol=1e-15)
    assert g.conjugate_domain == Interval(-INF, 0.3, upper_closed=True)
    for c in (0.1, 0.3, 0.7, 3.0, 1e-5):
        for of in (reverse_kl, js, squared_hellinger, gan):
            g = c * of
            assert np.isfinite(g.conjugate(g.activation(np.linspace(-50, 50, 201)))).all()


def test_next_to_the_ends_of_the_domain():
    """A t inside the domain is not rounded out of it."""
    rng = np.random.default_rng(3)
    for of in (reverse_kl, js, squared_hellinger):
        scaled = [c * of for c in rng.uniform(0.01, 10, 200)]
        assert all(np.isfinite(g.conjugate(g.conjugate_domain.largest)) for g in scaled)
    for weight in rng.uniform(0.001, 0.999, 200):
        g = js_weighted(weight)
        assert np.isfinite(g.conjugate(g.conjugate_domain.largest))
    for a in (*rng.uniform(0.01, 0.8, 200), *rng.uniform(-40, -0.5, 200)):
        g = alpha(a)
        inside = g.conjugate(np.nextafter(g.at_infinity, 0))
        assert np.isfinite(inside)
        if a < 0:
            assert inside == pytest.approx(-1 / a, rel=1e-4)
    for a in rng.uniform(1.01, 40, 200):
        g = alpha(a)
        assert g.conjugate(np.nextafter(g.derivative(0.0), 0)) == pytest.approx(-1 / a, rel=1e-15)


def test_sums():
    """Two ways to the same generator; the conjugate of the sum comes from a search."""
    assert_same(4 * (arithmetic_geometric + js), jeffreys)
    assert_same(reverse_kl + kl, jeffreys)
    assert_same(mixture([(1, alpha(3.0)), (0.5, alpha(3.0))]), 1.5 * alpha(3.0))
    # KL from P to the mixture, both ways.
    half = mixture([(0.5, js_weighted(0.25)), (0.5, js_weighted(0.75))])
    assert half.symmetric
    # A closed end stays one, an open one opens the sum.
    closed = total_variation + triangular
    assert closed.conjugate_domain == Interval(-INF, 1.5, upper_closed=True)
    assert closed.conjugate(1.5) == 3.5
    assert closed.conjugate(np.nextafter(1.5, 0)) == pytest.approx(3.5, abs=1e-7)
    assert closed.conjugate(-3.5) == closed.conjugate(-9.0) == -1.5
    opened = closed + js
    assert not opened.conjugate_domain.upper_closed
    assert opened.conjugate(opened.at_infinity) == INF
    # A kink of one part holds the slope of the sum over an interval of t, where u = 1.
    assert closed.conjugate([-0.4, 0.0, 0.4]).tolist() == [-0.4, 0.0, 0.4]
    assert (gan + kl).f(INF) == INF
    assert (gan + gan).f(INF) == -INF


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", [n for n in GENERATORS if n != "arithmetic_geometric"])
def test_conjugate_by_search(name, exact):
    """Both searches find what the formulas say."""
    g = GENERATORS[name]
    t = g.activation(np.linspace(-6, 4, 120))
    found = Generator.from_function(g.f, g.derivative if exact else None).conjugate(t)
    want = g.conjugate(t)
    # u t and f(u) are near each other for large u, and each has an error of its own.
    u = 1 + np.abs(np.gradient(want, t)) if name != "total_variation" else 1
    allowed = 64 * EPS * (np.abs(want) + np.abs(t) * u + np.abs(g.f(u)))
    assert (np.abs(found - want) <= allowed).all()


@pytest.mark.parametrize("g", [*ALL, 2 * js, kl + js, (kl + 3 * gan).dual()])
def test_pickle_and_copy(g):
    for again in (pickle.loads(pickle.dumps(g)), copy.deepcopy(g), copy.copy(g)):
        assert again is g or g.name == again.name
        assert again.terms == g.terms
        assert again.f(0.3) == g.f(0.3)
        assert again.conjugate(-0.3) == g.conjugate(-0.3)


def test_composition_says_what_it_takes():
    with pytest.raises(ValueError, match=r"scaled: c is 0; it takes a finite number above 0"):
        kl.scaled(0)
    with pytest.raises(ValueError, match=r"scaled: c is inf"):
        INF * kl
    with pytest.raises(TypeError, match=r"scaled: c is '2'"):
        kl.scaled("2")
    with pytest.raises(TypeError, match="unsupported operand"):
        kl * kl
    with pytest.raises(TypeError, match="unsupported operand"):
        kl + 1
    with pytest.raises(ValueError, match=r"mixture: a weight is -1; it takes finite numbers"):
        mixture([(-1, kl)])
    with pytest.raises(ValueError, match=r"mixture: a weight is nan"):
        mixture([(math.nan, kl)])
    with pytest.raises(ValueError, match=r"mixture: no part has a weight above 0"):
        mixture([(0, kl)])
    with pytest.raises(ValueError, match=r"mixture: no part"):
        mixture([])
    with pytest.raises(TypeError, match=r"mixture: a part is 'kl'"):
        mixture([(1, "kl")])
    assert mixture([(0, js), (1, kl)]) is kl


def test_a_generator_is_frozen():
    with pytest.raises(FrozenInstanceError):
        kl.at_zero = 2.0
    assert repr(kl) == "Generator('kl')"


# --- parameters and the registry ----------------------------------------------------------------


def test_parameters():
    for bad in (0, 1, -0.5, 1.5):
        with pytest.raises(ValueError, match=r"js_weighted: weight is .*; it takes a number betw"):
            js_weighted(bad)
    for bad in (math.nan, INF):
        with pytest.raises(ValueError, match=r"alpha: alpha is .*; it takes a finite number"):
            alpha(bad)
    for bad in ("1", None, True, 1j):
        with pytest.raises(TypeError, match=r"alpha: alpha is"):
            alpha(bad)
        with pytest.raises(TypeError, match=r"js_weighted: weight is"):
            js_weighted(bad)
    assert alpha(2) is alpha(2.0)


def test_alpha_is_continuous():
    assert_same(alpha(1.0), kl)
    assert_same(alpha(0.0), reverse_kl)
    for at, e in ((0.0, 1e-9), (1.0, -1e-9), (1.0, 1e-9), (0.5, 1e-9)):
        u = np.exp2(np.linspace(-5, 5, 41))
        np.testing.assert_allclose(alpha(at + e).f(u), alpha(at).f(u), rtol=1e-8)


def test_registry():
    assert set(GENERATORS) == set(ENDS)
    for name, g in GENERATORS.items():
        assert g.name == name
        assert get(name) is g
        assert getattr(generators, name) is g
        assert name in generators.__all__
    with pytest.raises(ValueError, match=r"no generator 'jefreys'; did you mean 'jeffreys'; .*gan"):
        get("jefreys")
    with pytest.raises(ValueError, match=r"no generator 'xyzzy'; it takes one of kl, reverse_kl"):
        get("xyzzy")
    with pytest.raises(ValueError, match=r"'alpha' has a parameter: call alpha"):
        get("alpha")
    with pytest.raises(TypeError, match=r"get: name has type int"):
        get(3)


# --- functions of the user's --------------------------------------------------------------------

# As they are written by hand: they overflow, cancel, and are NaN at 0.
PLAIN = {
    "kl": lambda u: u * np.log(u) - u + 1,
    "reverse_kl": lambda u: u - 1 - np.log(u),
    "pearson_chi2": lambda u: (u - 1) ** 2,
    "neyman_chi2": lambda u: (1 - u) ** 2 / u,
    "squared_hellinger": lambda u: (np.sqrt(u) - 1) ** 2 / 2,
    "total_variation": lambda u: abs(u - 1) / 2,
    "jeffreys": lambda u: (u - 1) * np.log(u),
    "js": lambda u: (u * np.log(u) - (1 + u) * np.log((1 + u) / 2)) / 2,
    "triangular": lambda u: (u - 1) ** 2 / (u + 1),
    "arithmetic_geometric": lambda u: (1 + u) / 2 * np.log((1 + u) / (2 * np.sqrt(u))),
    "gan": lambda u: u * np.log(u) - (u + 1) * np.log(u + 1),
}


# Of these a limit of 1e8 would have to be seen from 1e-5 of the way.
TOO_SLOW = {alpha(a) for a in (-1e-8, 1e-8, 1 - 1e-8, 1 + 1e-8)}


def bare():
    for g in ALL:
        if g not in TOO_SLOW:
            yield pytest.param(g, g.f, id=f"exact-{g.name}")
    for name, f in PLAIN.items():
        yield pytest.param(GENERATORS[name], f, id=f"plain-{name}")
    for a in (-1.5, 0.05, 0.3, 0.95, 0.99, 3.0):
        plain = lambda u, a=a: (u**a - 1 - a * (u - 1)) / (a * (a - 1))  # noqa: E731
        yield pytest.param(alpha(a), plain, id=f"plain-alpha({a})")


@pytest.mark.parametrize(("g", "f"), [*bare()])
def test_limits_are_found(g, f):
    found = Generator.from_function(f)
    assert (found.at_zero_source, found.at_infinity_source) == ("found", "found")
    for told, got in ((g.at_zero, found.at_zero), (g.at_infinity, found.at_infinity)):
        assert got == pytest.approx(told, rel=1e-11, abs=1e-15)
    assert found.symmetric == g.symmetric
    assert found.curvature == pytest.approx(g.curvature, rel=1e-8)
    assert found.offset == pytest.approx(g.offset, rel=1e-15)
    assert found.conjugate_domain.upper_closed == g.conjugate_domain.upper_closed


@pytest.mark.parametrize("limit", ["at_zero", "at_infinity"])
def test_no_wrong_limit_is_found(limit):
    other = {"at_zero": "at_infinity", "at_infinity": "at_zero"}[limit]
    undecided = 0
    for g in TOO_SLOW:
        told, given = getattr(g, limit), {other: getattr(g, other)}
        if 1e7 < told < INF:
            undecided += 1
            with pytest.raises(ValueError, match=f"{limit} of .* could not be found"):
                Generator.from_function(g.f, **given)
        else:
            assert getattr(Generator.from_function(g.f, **given), limit) == pytest.approx(told)
    assert undecided == 1


@pytest.mark.parametrize("name", PLAIN)
def test_derivative_by_differences(name):
    g, found = GENERATORS[name], Generator.from_function(PLAIN[name])
    u = np.exp2(np.linspace(-6, 6, 97))
    if name == "total_variation":
        u = u[np.abs(u - 1) > 1 / 15]
    np.testing.assert_allclose(found.derivative(u), g.derivative(u), rtol=1e-10, atol=1e-11)
    assert found.derivative(0.0) == pytest.approx(g.derivative(0.0), rel=1e-6)
    assert found.derivative(INF) == pytest.approx(g.derivative(INF), rel=1e-11, abs=1e-15)


def test_given_limits_are_taken():
    g = Generator.from_function(PLAIN["js"], at_zero=0.5, at_infinity=INF, name="mine")
    assert (g.name, g.at_zero, g.at_infinity, g.terms) == ("mine", 0.5, INF, None)
    assert (g.at_zero_source, g.at_infinity_source) == ("given", "given")
    assert g.f([0.0, INF]).tolist() == [0.5, INF]
    g = Generator.from_function(PLAIN["js"], at_zero=1)
    assert (g.at_zero_source, g.at_infinity_source) == ("given", "found")
    assert ((g + kl).at_zero_source, (g + kl).at_infinity_source) == ("given", "found")
    assert g.dual().at_zero_source == "found"


def slowly(u):
    """Converges at 0, as 1/log u: too slowly to be told from divergence."""
    return 1 / np.log(2 + 1 / u) - 1 / np.log(3) + u * u


def test_no_decision():
    with pytest.raises(ValueError, match=r"at_zero of slowly could not be found: .*give at_zero"):
        Generator.from_function(slowly)
    with pytest.raises(ValueError, match=r"at_infinity of wave could not be found"):
        Generator.from_function(lambda u: u * np.sin(np.log(u)), at_zero=0, name="wave")
    assert Generator.from_function(slowly, at_zero=-1 / math.log(3)).at_infinity == INF


def test_given_limits_are_numbers():
    with pytest.raises(ValueError, match=r"at_zero of f is nan; it takes a number or inf"):
        Generator.from_function(np.square, at_zero=math.nan, name="f")
    with pytest.raises(ValueError, match=r"at_infinity of f is -inf; it takes a number or inf"):
        Generator.from_function(np.square, at_infinity=-INF, name="f")
    with pytest.raises(TypeError, match=r"at_zero of f is '1'"):
        Generator.from_function(np.square, at_zero="1", name="f")


def test_functions_map_arrays_to_arrays():
    takes = "it takes a float64 array and returns one of the same shape"
    for bad, says in {
        math.log: r"log does not take an array \(.*\)",
        lambda u: 1.0: r"<lambda> returned shape \(\) for an array of shape \(1022,\)",
        lambda u: u[:-1]: r"returned shape \(1021,\)",
        lambda u: u + 1j: r"returned dtype complex128",
        lambda u: u.astype(str): r"returned dtype <U",
    }.items():
        with pytest.raises(TypeError, match=f"from_function: .*{says}.*; {takes}"):
            Generator.from_function(bad)
        with pytest.raises(TypeError, match=r"from_function: the derivative of square "):
            Generator.from_function(np.square, bad)
    with pytest.raises(TypeError, match=r"from_function: int has type int; it takes a function"):
        Generator.from_function(3)
    assert Generator.from_function(lambda u: (u > 2) + 0).f(np.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("g", [g for g in ALL if g is not gan])
def test_check_passes(g):
    g.check()
    Generator.from_function(g.f, None, g.at_zero, g.at_infinity).check()
    Generator.from_function(g.f, g.derivative, g.at_zero, g.at_infinity).check()


@pytest.mark.parametrize("name", [name for name in PLAIN if name != "gan"])
def test_check_allows_for_rounding(name):
    Generator.from_function(PLAIN[name]).check()
    Generator.from_function(lambda u: 1e6 * PLAIN[name](u)).check()
    (kl + Generator.from_function(PLAIN[name])).check()


def test_check_says_what_is_wrong():
    def check(f, derivative=None):
        Generator.from_function(f, derivative, at_zero=1, at_infinity=1, name="bad").check()

    with pytest.raises(ValueError, match=r"gan: f\(1\) is -1.386.*; a divergence needs f\(1\) = 0"):
        gan.check()
    with pytest.raises(
        ValueError,
        match=r"bad: f is not convex: f\(1\) = 0 lies above the chord of f\(0.5\) = -0.25"
        r" and f\(2\) = -1",
    ):
        check(lambda u: 0.0 - (u - 1) ** 2)
    with pytest.raises(ValueError, match=r"bad: f is not convex: f\(0.4.*\) = 0.05"):
        check(lambda u: np.minimum((u - 1) ** 2, np.abs(u - 1) / 10))
    # A dent, far from 1.
    with pytest.raises(ValueError, match=r"bad: f is not convex: f\(90.5097\) = 7945.85 lies"):
        check(lambda u: (u - 1) ** 2 * (1 - 0.05 * np.exp(-((u - 100) ** 2) / 50)))
    with pytest.raises(ValueError, match=r"bad: f\(5.18736\) is NaN"):
        check(lambda u: np.where(u > 5, np.nan, (u - 1) ** 2))
    with pytest.raises(ValueError, match=r"bad: the derivative at 1.18921 is 0.189207, which is"):
        check(lambda u: (u - 1) ** 2, lambda u: u - 1)
    with pytest.raises(ValueError, match=r"bad: the derivative at 9.09495e-13 is NaN"):
        check(lambda u: (u - 1) ** 2, lambda u: u * np.nan)


# --- C functions --------------------------------------------------------------------------------

PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)


@PROTOTYPE
def reverse_kl_in_c(u):
    return u - 1 - math.log(u) if 0 < u < INF else INF


def libm():
    found = ctypes.util.find_library("m")
    return ctypes.CDLL(found) if found else ctypes.CDLL(None)


def address_of(pointer):
    return ctypes.cast(pointer, ctypes.c_void_p).value


def test_ctypes():
    assert c_function_address(reverse_kl_in_c) == address_of(reverse_kl_in_c)
    cosh = libm().cosh
    with pytest.raises(TypeError, match=r"f has no argtypes; it takes double \(\*\)\(double\)"):
        c_function_address(cosh)
    cosh.argtypes = [ctypes.c_double]
    with pytest.raises(TypeError, match=r"f is int \(\*\)\(double\); it takes double \(\*\)\(dou"):
        c_function_address(cosh)
    cosh.restype = ctypes.c_double
    address = c_function_address(cosh)
    assert PROTOTYPE(address)(1.0) == math.cosh(1.0)
    for result, arguments, says in (
        (ctypes.c_float, [ctypes.c_float], r"float \(\*\)\(float\)"),
        (None, [], r"void \(\*\)\(void\)"),
        (ctypes.c_double, [ctypes.c_double] * 2, r"double \(\*\)\(double, double\)"),
    ):
        with pytest.raises(TypeError, match=f"f is {says}; it takes"):
            c_function_address(ctypes.CFUNCTYPE(result, *arguments)(address))
    with pytest.raises(TypeError, match="f is of PYFUNCTYPE or PyDLL"):
        c_function_address(ctypes.PYFUNCTYPE(ctypes.c_double, ctypes.c_double)(address))
    with pytest.raises(ValueError, match="f is a null pointer"):
        c_function_address(PROTOTYPE(0))


def test_python_functions_have_no_address():
    for f in (math.cosh, np.cosh, lambda u: u, None, 3, ctypes.c_double(1.0), object()):
        assert c_function_address(f) is None


def test_low_level_callable():
    assert c_function_address(LowLevelCallable(reverse_kl_in_c)) == address_of(reverse_kl_in_c)
    with_data = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_void_p)(lambda u, d: u)
    data = ctypes.cast(ctypes.pointer(ctypes.c_double(1)), ctypes.c_void_p)
    with pytest.raises(
        TypeError, match=r"f is 'double \(double, void \*\)' with user data; it tak"
    ):
        c_function_address(LowLevelCallable(with_data, data))
    with pytest.raises(TypeError, match=r"f is 'double \(double, void \*\)'; it takes"):
        c_function_address(LowLevelCallable(with_data))
    with pytest.raises(TypeError, match=r"f is 'double \(double\)' with user data; it takes"):
        c_function_address(LowLevelCallable(reverse_kl_in_c, data))


class CType:
    def __init__(self, cname, kind="primitive", args=(), result=None, ellipsis=False):
        self.cname, self.kind, self.args, self.result = cname, kind, args, result
        self.ellipsis = ellipsis


class StandInFFI:
    """What the backend of cffi says of its pointers; for where cffi is not installed."""

    def typeof(self, pointer):
        return pointer.ctype

    def cast(self, name, pointer):
        assert name == "intptr_t"
        return pointer.address


def cffi_pointers(monkeypatch):
    """Pointers to reverse_kl_in_c's code, of the right and of a wrong type."""
    address = address_of(reverse_kl_in_c)
    if importlib.util.find_spec("cffi"):
        ffi = importlib.import_module("cffi").FFI()
        return [ffi.cast(t, address) for t in ("double(*)(double)", "float(*)(double)", "char *")]
    double, single = CType("double"), CType("float")
    right = CType("double(*)(double)", "function", (double,), double)
    wrong = CType("float(*)(double)", "function", (double,), single)
    backend = types.ModuleType("_cffi_backend")
    backend.FFI = StandInFFI
    monkeypatch.setitem(sys.modules, "_cffi_backend", backend)
    pointer = type("_CDataBase", (), {"__module__": "_cffi_backend", "address": address})
    made = []
    for ctype in (right, wrong, CType("char *", "pointer")):
        made.append(pointer())
        made[-1].ctype = ctype
    return made


def test_cffi(monkeypatch):
    right, wrong, no_function = cffi_pointers(monkeypatch)
    assert c_function_address(right) == address_of(reverse_kl_in_c)
    with pytest.raises(TypeError, match=r"f is float\(\*\)\(double\); it takes double \(\*\)\(dou"):
        c_function_address(wrong)
    with pytest.raises(TypeError, match=r"f is char \*; it takes"):
        c_function_address(no_function)
    g = Generator.from_function(right, name="rkl")
    assert g.f(2.0) == reverse_kl_in_c(2.0)


def numba_functions():
    """A cfunc double (*)(double), and one of two arguments."""
    if importlib.util.find_spec("numba"):
        numba = importlib.import_module("numba")
        return [
            numba.cfunc("float64(float64)")(lambda u: (u - 1) ** 2),
            numba.cfunc("float64(float64, float64)")(lambda u, v: u + v),
        ]
    kind = type("CFunc", (), {"__module__": "numba.core.ccallback"})
    made = []
    for pointer in (
        PROTOTYPE(lambda u: (u - 1) * (u - 1)),
        ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)(lambda u, v: u + v),
    ):
        made.append(kind())
        made[-1].ctypes, made[-1].address = pointer, address_of(pointer)
    return made


def test_numba():
    right, wrong = numba_functions()
    assert c_function_address(right) == right.address
    with pytest.raises(TypeError, match=r"f is double \(\*\)\(double, double\); it takes"):
        c_function_address(wrong)
    g = Generator.from_function(right, name="square")
    assert (g.address, g.at_zero, g.at_infinity) == (right.address, 1.0, INF)
    assert g.f([0.0, 3.0]).tolist() == [1.0, 4.0]


def test_generator_of_a_c_function():
    g = Generator.from_function(reverse_kl_in_c, name="rkl")
    assert g.address == address_of(reverse_kl_in_c)
    assert g.terms is None
    assert (g.at_zero, g.at_infinity) == (INF, 1.0)
    assert g.f([[0.5, 2.0], [0.0, INF]]).tolist() == [
        [reverse_kl_in_c(0.5), reverse_kl_in_c(2.0)],
        [INF, INF],
    ]
    t = np.linspace(-5, 0.9, 20)
    np.testing.assert_allclose(g.conjugate(t), reverse_kl.conjugate(t), rtol=1e-13, atol=1e-15)
    g.check()
    assert (2 * g).address is None
    assert kl.address is None


def test_generator_keeps_its_c_function_alive():
    g = Generator.from_function(PROTOTYPE(lambda u: (u - 1) * (u - 1)), name="square")
    others = [PROTOTYPE(lambda u: 0.0) for _ in range(100)]
    assert g.f(3.0) == 4.0
    assert len(others) == 100


def test_derivative_in_c():
    slope = PROTOTYPE(lambda u: 1 - 1 / u if u > 0 else -INF)
    g = Generator.from_function(reverse_kl_in_c, slope)
    assert g.derivative([0.5, 2.0, INF]).tolist() == [-1.0, 0.5, 1.0]
    assert g.conjugate(0.5) == pytest.approx(math.log(2), rel=1e-15)


# --- intervals ----------------------------------------------------------------------------------


def test_interval():
    half_open = Interval(-1.0, 1.0, lower_closed=True)
    assert repr(half_open) == "[-1.0, 1.0)"
    assert half_open.contains([-1.0, 0.0, 1.0, np.nan]).tolist() == [True, True, False, False]
    assert half_open.largest == np.nextafter(1.0, 0.0)
    assert Interval(-1.0, 1.0, upper_closed=True).largest == 1.0
    assert not Interval(-1.0, 1.0).contains(-1.0)
