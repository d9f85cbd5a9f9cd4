"""Families over all of 1e-8 to 1e8, equal up to 1e-13, against textbook formulas in 110 digits."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from mpmath import mpf
from test_families import CASES, FUNCTIONS, NAMES, bregman_of, covariances, family, numbers

from fastdiv import families
from fastdiv.families import special

COUNT = 8
CLOSENESS = [None, 1.0, 1e-3, 1e-8, 1e-13]
ORDERS = [1e-9, 0.3, 0.5, 0.99, 1 - 1e-9, 1 + 1e-15, 1.01, 3.0]


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(110):
        yield


def wide(rng, *shape, ends=(-8, 8)):
    return 10 ** rng.uniform(*ends, (COUNT, *shape))


def located(rng):
    return rng.choice([-1, 1], COUNT) * wide(rng), wide(rng)


def chance(rng):
    return (wide(rng, ends=(-8, 0)),)


def two(rng):
    return wide(rng), wide(rng)


def one(rng):
    return (wide(rng),)


WIDE = {
    **dict.fromkeys(["Gamma", "InverseGamma", "Beta", "Weibull", "Pareto"], two),
    **dict.fromkeys(["Chi", "Exponential", "Poisson", "HalfNormal"], one),
    **dict.fromkeys(["Normal", "LogNormal", "Laplace", "Cauchy", "Gumbel"], located),
    **dict.fromkeys(["Bernoulli", "Geometric", "ContinuousBernoulli"], chance),
    "Binomial": lambda rng: (rng.integers(1, 10**8, COUNT).astype(float), *chance(rng)),
    "NegativeBinomial": lambda rng: (wide(rng), *chance(rng)),
    "Dirichlet": lambda rng: (wide(rng, 5),),
    "Categorical": lambda rng: (wide(rng, 5),),
    "VonMises": lambda rng: (rng.uniform(-3, 3, COUNT), wide(rng)),
    "LogUniform": lambda rng: tuple(np.sort([wide(rng), wide(rng)], axis=0)),
}
# Condition numbers are what digits of these depend on: see test_families.
OF_MATRICES = {"MultivariateNormal", "Wishart"}


def pairs(name, closeness, seed=0):
    case, rng = CASES[name], np.random.default_rng([seed, len(name)])
    p = WIDE[name](rng)
    if closeness is None:
        q = tuple(
            x if i in case.fixed else y
            for i, (x, y) in enumerate(zip(p, WIDE[name](rng), strict=True))
        )
    else:
        locations = case.locations if name == "VonMises" else ()
        steps = (closeness * rng.normal(size=x.shape) for x in p)
        q = tuple(
            x if i in case.fixed
            else x + step if i in locations
            else x / (x + (1 - x) * np.exp(-step)) if case.bounded
            else x * np.exp(step)
            for i, (x, step) in enumerate(zip(p, steps, strict=True))
        )  # fmt: skip
    if name == "Pareto":
        p, q = (np.maximum(p[0], q[0]), p[1]), (np.minimum(p[0], q[0]), q[1])
    if name == "LogUniform":
        low, high = (p[0], q[0]), (p[1], q[1])
        p, q = (np.max(low, 0), np.min(high, 0)), (np.min(low, 0), np.max(high, 0))
        p = (np.minimum(p[0], p[1] * (1 - 1e-3)), p[1])
        q = (np.minimum(p[0], q[0]), q[1])
    return p, q


def off(found, exact):
    if exact == 0 or exact > mpf(np.finfo(float).max):
        return 0.0 if found == (np.inf if exact else 0) else np.inf
    # What is as large as e^x has the digits of x; what is subnormal has few.
    if exact < 1e-290:
        return 0.0
    share = abs(mpf(float(found)) - exact) / exact if np.isfinite(found) else mp.inf
    return float(share - mpf(2) ** -52 * max(0, mp.log(exact)))


def test_every_family_is_here():
    assert set(WIDE) | OF_MATRICES == set(NAMES)


@pytest.mark.parametrize("closeness", CLOSENESS)
@pytest.mark.parametrize("name", sorted(WIDE))
def test_digits(name, closeness, worst):
    p, q = pairs(name, closeness)
    found = families.kl_divergence(family(name)(*p), family(name)(*q))
    errors = []
    for i, value in enumerate(found):
        exact = CASES[name].exact(*(numbers(x[i]) for x in p), *(numbers(x[i]) for x in q))
        errors.append(off(value, exact))
    worst(max(errors) / 1e-14, "KL within a family from 1e-8 to 1e8, by 1e-14", 1)
    assert max(errors) <= 1e-14, ([x[np.argmax(errors)] for x in (*p, *q)], found)


@pytest.mark.parametrize("closeness", [1.0, 1e-8, 1e-13])
def test_wishart_of_any_degrees_of_freedom(closeness):
    rng = np.random.default_rng(3)
    scale = covariances(rng, COUNT, 2)
    p = (1 + wide(rng), scale)
    q = (1 + (p[0] - 1) * np.exp(closeness * rng.normal(size=COUNT)), scale)
    found = families.kl_divergence(families.Wishart(*p), families.Wishart(*q))
    for i, value in enumerate(found):
        exact = CASES["Wishart"].exact(
            *(mp.matrix(x[i]) if x.ndim == 3 else numbers(x[i]) for x in (*p, *q))
        )
        assert off(value, exact) <= 1e-14 * np.linalg.cond(scale[i])


# --- Renyi ----------------------------------------------------------------------------------------


def log_beta(eta):
    return mp.fsum(map(mp.loggamma, eta)) - mp.loggamma(mp.fsum(eta))


def minus_log(eta):
    return -mp.log(-eta[0])


def log_odds(p):
    return [mp.log(p / (1 - p))]


# η and A(η), of textbooks.
LOG_PARTITIONS = {
    "Normal": (
        lambda m, s: [m / s**2, -1 / (2 * s**2)],
        lambda e: -(e[0] ** 2) / (4 * e[1]) - mp.log(-2 * e[1]) / 2,
    ),
    "HalfNormal": (lambda s: [-(s**-2)], lambda e: minus_log(e) / 2),
    "Exponential": (lambda a: [-a], minus_log),
    "Laplace": (lambda m, b: [-1 / b], minus_log),
    "Pareto": (lambda m, a: [-a], minus_log),
    "Weibull": (lambda k, s: [-(s**-k)], minus_log),
    "Gamma": (lambda a, b: [a, -b], lambda e: mp.loggamma(e[0]) - e[0] * mp.log(-e[1])),
    "InverseGamma": (lambda a, b: [a, -b], lambda e: mp.loggamma(e[0]) - e[0] * mp.log(-e[1])),
    "Chi": (lambda n: [n / 2], lambda e: mp.loggamma(e[0])),
    "Beta": (lambda a, b: [a, b], log_beta),
    "Dirichlet": (lambda a: list(a), log_beta),
    "Poisson": (lambda a: [mp.log(a)], lambda e: mp.exp(e[0])),
    "Bernoulli": (log_odds, lambda e: mp.log(1 + mp.exp(e[0]))),
    "ContinuousBernoulli": (log_odds, lambda e: mp.log(mp.expm1(e[0]) / e[0])),
    "Geometric": (lambda p: [mp.log(1 - p)], lambda e: -mp.log(1 - mp.exp(e[0]))),
    "VonMises": (
        lambda m, k: [k * mp.cos(m), k * mp.sin(m)],
        lambda e: mp.log(mp.besseli(0, mp.sqrt(e[0] ** 2 + e[1] ** 2))),
    ),
}


def renyi(name, p, q, order):
    make, partition = LOG_PARTITIONS[name]
    eta_p, eta_q, order = make(*p), make(*q), mpf(order)
    middle = [order * x + (1 - order) * y for x, y in zip(eta_p, eta_q, strict=True)]
    inside = {
        **dict.fromkeys(["Beta", "Dirichlet", "Chi"], min(middle) > 0),
        **dict.fromkeys(["Gamma", "InverseGamma"], middle[0] > 0 > middle[-1]),
        **dict.fromkeys(["Poisson", "Bernoulli", "ContinuousBernoulli", "VonMises"], True),
    }.get(name, middle[-1] < 0)
    if not inside:
        return mp.inf
    sums = order * partition(eta_p) + (1 - order) * partition(eta_q) - partition(middle)
    return sums / (1 - order)


@pytest.mark.parametrize("closeness", [None, 1e-3, 1e-10])
@pytest.mark.parametrize("name", sorted(LOG_PARTITIONS))
def test_renyi(name, closeness, worst):
    """Every order, next to 1 and of P next to Q too; never below 0, nor −0."""
    p, q = pairs(name, closeness, 1)
    if name in ("Laplace", "Pareto", "Weibull"):
        q = (p[0], q[1])
    if name == "Weibull":
        p, q = ((np.clip(k, 0.1, 3), s**0.3) for k, s in (p, q))
    a, b = family(name)(*p), family(name)(*q)
    found = families.renyi_divergence(a, b, np.array(ORDERS)[:, None])
    assert (found >= 0).all()
    own = families.renyi_divergence(a, a, np.array(ORDERS)[:, None])
    assert (own == 0).all()
    assert not np.signbit(own).any()
    errors = {}
    for order, row in zip(ORDERS, found, strict=True):
        # The kernel of Gaussians takes 1 − α, of which nothing is left of a tiny α.
        if order < 0.1 and name in ("Normal", "HalfNormal") and closeness is None:
            continue
        for i, value in enumerate(row):
            exact = renyi(name, *([numbers(x[i]) for x in y] for y in (p, q)), order)
            errors[order, i] = off(value, exact)
    worst(max(errors.values()) / 2e-14, "Renyi of families, by 2e-14", 1)
    assert max(errors.values()) <= 2e-14, max(errors, key=lambda x: errors[x])


def test_renyi_of_certainties():
    """Against sums over both outcomes."""
    p, q = np.array([0, 0, 0.5, 0, 1, 0.3]), np.array([0, 0.5, 0, 1, 1, 1])
    for order in (0.5, 2.0):
        with np.errstate(all="ignore"):
            power = sum(
                np.where((x == 0) | ((y == 0) & (order < 1)), 0.0, x**order * y ** (1 - order))
                for x, y in ((p, q), (1 - p, 1 - q))
            )
            want = np.log(power) / (order - 1)
        found = families.renyi_divergence(families.Bernoulli(p), families.Bernoulli(q), order)
        np.testing.assert_allclose(found, want, rtol=1e-14, atol=0)
        found = families.renyi_divergence(families.Binomial(3, p), families.Binomial(3, q), order)
        np.testing.assert_allclose(found, 3 * want, rtol=1e-14, atol=0)


# --- where the numbers end ------------------------------------------------------------------------


def test_ratios_beyond_the_doubles():
    """None of these ratios is a double; every divergence is."""
    kl, f = families.kl_divergence, families
    log_10 = mp.log(10)
    for found, exact in (
        (kl(f.Cauchy(0, 1e160), f.Cauchy(0, 1e-160)), 320 * log_10 - mp.log(4)),
        (kl(f.Cauchy(0, 1e-160), f.Cauchy(1e200, 1e160)), 400 * log_10 - mp.log(4)),
        (kl(f.Pareto(1e200, 1), f.Pareto(1e-200, 1)), 400 * log_10),
        (kl(f.LogUniform(1e-10, 1e10), f.LogUniform(1e-200, 1e200)), mp.log(20)),
        (kl(f.LogUniform(1e-200, 1e200), f.LogUniform(1e-300, 1e300)), mp.log(1.5)),
        (kl(f.Exponential(1e200), f.Exponential(1e-200)), 400 * log_10 - 1),
        (kl(f.Laplace(0, 1e-160), f.Laplace(1, 1e160)), 320 * log_10 - 1),
        (kl(f.Poisson(1e200), f.Poisson(1e-200)), mpf(1e200) * (400 * log_10 - 1)),
        (kl(f.Gamma(1e-200, 1e200), f.Gamma(1e-200, 2e200)), mpf(1e-200) * (1 - mp.log(2))),
        (kl(f.Gamma(1e200, 1), f.Gamma(1e-200, 1)), mpf(1e200)),
        (f.entropy(f.Categorical([1e308, 1e308])), mp.log(2)),
        (f.renyi_divergence(f.Bernoulli(0.0), f.Bernoulli(0.5), 2), mp.log(2)),
    ):
        assert abs(mpf(float(found)) - exact) <= mpf(10) ** -14 * exact, (found, exact)


@pytest.mark.parametrize("tiny", [1e-17, 1e-30, 1e-300])
def test_tiny_shapes(tiny):
    kl, f = families.kl_divergence, families
    for found, exact in (
        (kl(f.Gamma(tiny, 1), f.Gamma(1, 1)), CASES["Gamma"].exact(mpf(tiny), 1, 1, 1)),
        (kl(f.Gamma(1, 1), f.Gamma(tiny, 1)), CASES["Gamma"].exact(1, 1, mpf(tiny), 1)),
        (kl(f.Beta(tiny, 1), f.Beta(1, 1)), CASES["Beta"].exact(mpf(tiny), 1, 1, 1)),
        (kl(f.Beta(1, 1), f.Beta(tiny, 1)), CASES["Beta"].exact(1, 1, mpf(tiny), 1)),
    ):
        assert off(found, mpf(exact)) <= 1e-14


def test_von_mises_beside_a_narrow_one():
    """Concentrations between 70 and 120 beside small ones, and tiny ones that are turned."""
    kappa = np.array([70.0, 85.0, 100.0, 119.0, 121.0])
    for small in (1e-3, 1.0, 12.0, 29.0, 31.0):
        for p, q in ((kappa, small), (small, kappa)):
            found = families.kl_divergence(families.VonMises(0, p), families.VonMises(0.5, q))
            for value, x, y in zip(found, *np.broadcast_arrays(p, q), strict=True):
                exact = CASES["VonMises"].exact(0, mpf(float(x)), mpf(0.5), mpf(float(y)))
                assert off(value, exact) <= 1e-14
    found = families.kl_divergence(families.VonMises(0, 1e-12), families.VonMises(1, 1e-12))
    assert off(found, CASES["VonMises"].exact(0, mpf(1e-12), 1, mpf(1e-12))) <= 1e-14


# --- pairs with a normal distribution -------------------------------------------------------------


def of_log_normal(m, s):
    mean = mp.exp(m + s * s / 2)
    return m + mp.log(2 * mp.pi * mp.e * s * s) / 2, mean, mean**2 * mp.expm1(s * s)


def of_gamma(a, b):
    entropy = a - mp.log(b) + mp.loggamma(a) + (1 - a) * mp.digamma(a)
    return entropy, a / b, a / b**2


def of_beta(a, b):
    s = a + b
    slopes = (a - 1) * mp.digamma(a) + (b - 1) * mp.digamma(b) - (s - 2) * mp.digamma(s)
    return log_beta([a, b]) - slopes, a / s, a * b / (s * s * (s + 1))


NARROW = [
    ("LogNormal", of_log_normal, (0.0, 1e-6), (1.0, 1e-6)),
    ("LogNormal", of_log_normal, (0.0, 1e-9), (1.0, 1e-9)),
    ("LogNormal", of_log_normal, (0.3, 0.5), (1.0, 1.0)),
    ("Gamma", of_gamma, (1e14, 1.0), (1e14, 1e7)),
    ("Gamma", of_gamma, (1e14, 1e14), (1.0, 1e-7)),
    ("Gamma", of_gamma, (20.0, 2.0), (10.0, 2.0)),
    ("Beta", of_beta, (1e14, 1e14), (0.5, 3.6e-8)),
    ("Beta", of_beta, (20.0, 30.0), (0.4, 0.1)),
    ("Beta", of_beta, (1e6, 13.0), (1.0, 1e-5)),
    ("Beta", of_beta, (1e5, 3e5), (0.25, 7e-4)),
    ("Laplace", lambda m, b: (1 + mp.log(2 * b), m, 2 * b * b), (1e-6, 1e-6), (0.0, 1e-6)),
    (
        "Gumbel",
        lambda m, b: (mp.log(b) + mp.euler + 1, m + mp.euler * b, (mp.pi * b) ** 2 / 6),
        (0.0, 1e-6),
        (1e-6, 1e-6),
    ),
    ("Exponential", lambda a: (1 - mp.log(a), 1 / a, a**-2), (1e6,), (1e-6, 1e-6)),
    (
        "HalfNormal",
        lambda s: (
            mp.log(mp.pi * mp.e / 2 * s * s) / 2,
            s * mp.sqrt(2 / mp.pi),
            s * s * (1 - 2 / mp.pi),
        ),
        (1e-6,),
        (1e-6, 1e-6),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", NARROW, ids=lambda case: f"{case[0]}-{case[2]}")
def test_narrow_ones_beside_a_normal(case):
    name, moments, p, (m, s) = case
    entropy, mean, variance = moments(*map(mpf, p))
    m, s = mpf(m), mpf(s)
    exact = mp.log(2 * mp.pi * s * s) / 2 - entropy + (variance + (mean - m) ** 2) / (2 * s * s)
    found = families.kl_divergence(family(name)(*p), families.Normal(float(m), float(s)))
    assert found > 0
    assert off(found, exact) <= 1e-14


VARIANCES = [
    ("Chi", (1e14,), lambda n: n - 2 * mp.exp(2 * (mp.loggamma((n + 1) / 2) - mp.loggamma(n / 2)))),
    ("Weibull", (1e8, 1.0), lambda k, s: mp.gamma(1 + 2 / k) - mp.gamma(1 + 1 / k) ** 2),
    ("Weibull", (3.0, 1.0), lambda k, s: mp.gamma(1 + 2 / k) - mp.gamma(1 + 1 / k) ** 2),
    ("Pareto", (1.0, 1e8), lambda m, a: a / (a - 2) - (a / (a - 1)) ** 2),
    ("InverseGamma", (1e8, 1.0), lambda a, s: 1 / ((a - 1) * (a - 2)) - 1 / (a - 1) ** 2),
    ("LogUniform", (1.0, 1 + 1e-7), lambda a, b: log_uniform_variance(b)),
    ("LogUniform", (1.0, 30.0), lambda a, b: log_uniform_variance(b)),
    ("ContinuousBernoulli", (0.3,), lambda p: continuous_variance(mp.log(p / (1 - p)))),
    ("ContinuousBernoulli", (1e-6,), lambda p: continuous_variance(mp.log(p / (1 - p)))),
]


def log_uniform_variance(b):
    w = mp.log(b)
    return (b * b - 1) / (2 * w) - ((b - 1) / w) ** 2


def continuous_variance(x):
    return 1 / x**2 - 1 / (4 * mp.sinh(x / 2) ** 2)


@pytest.mark.parametrize("case", VARIANCES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_variances(case):
    name, p, variance = case
    made = family(name)(*p)
    mean = float(made.expectation("identity"))
    exact = variance(*map(mpf, p)) + (mpf(mean) - mean) ** 2
    assert off(made.expectation("square", np.float64(mean)), exact) <= 1e-14


# --- special functions ----------------------------------------------------------------------------

GAMMAS = {
    "gamma_bregman": FUNCTIONS["gamma_bregman"],
    "gamma_beyond_entropy": FUNCTIONS["gamma_beyond_entropy"],
    "digamma_bregman": (
        lambda a, b: special.digamma_bregman(a, b, b - a),
        lambda x: -mp.digamma(x),
        lambda x: -mp.psi(1, x),
    ),
}


@pytest.mark.parametrize("closeness", CLOSENESS)
@pytest.mark.parametrize("name", GAMMAS)
def test_bregman_of_special_functions(name, closeness):
    ours, f, slope = GAMMAS[name]
    rng = np.random.default_rng(8)
    a = 10 ** rng.uniform(-12, 12, 25)
    b = (
        10 ** rng.uniform(-12, 12, 25)
        if closeness is None
        else a * np.exp(closeness * rng.normal(size=25))
    )
    for x, y, found in zip(a, b, ours(a, b), strict=True):
        assert off(found, bregman_of(f, slope, x, y)) < 5e-15, (x, y)
    for x, y, found in zip(a, b, special.digamma_difference(a, b, b - a), strict=True):
        exact = mp.digamma(mpf(y)) - mp.digamma(mpf(x))
        assert abs(mpf(found) - exact) <= mpf(10) ** -15 * abs(exact)
