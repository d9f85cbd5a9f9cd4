"""Families of distributions, against textbook formulas in 60 digits and those against integrals.

`CASES` is the registry: a family that is not in it fails, and one that is gets every test.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from families_by_quadrature import LAWS, known_divergences
from mpmath import mpf
from scipy import integrate, stats

import fastdiv as fd
from fastdiv import families
from fastdiv.densities import Integral
from fastdiv.families import FAMILIES, ExponentialFamily, special

UNIT = 2.0**-53
CLOSENESS = [1.0, 1e-2, 1e-5, 1e-8, 1e-12]


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(60):
        yield


# --- textbook formulas ----------------------------------------------------------------------------


def normal(m, s, n, t):
    r = (s / t) ** 2
    return (((m - n) / t) ** 2 + r - 1 - mp.log(r)) / 2


def bernoulli(p, q):
    return p * mp.log(p / q) + (1 - p) * mp.log((1 - p) / (1 - q))


def geometric(p, q):
    return mp.log(p / q) + (1 / p - 1) * mp.log((1 - p) / (1 - q))


def gamma(a, b, c, d):
    logs = mp.loggamma(c) - mp.loggamma(a) + c * mp.log(b / d)
    return (a - c) * mp.digamma(a) + logs + a * (d - b) / b


def chi(n, k):
    logs = mp.loggamma(k / 2) - mp.loggamma(n / 2)
    return mp.digamma(n / 2) * (n - k) / 2 + logs


def dirichlet(a, b):
    logs = mp.loggamma(sum(a)) - mp.loggamma(sum(b))
    logs += sum(mp.loggamma(y) - mp.loggamma(x) for x, y in zip(a, b, strict=True))
    of_sum = mp.digamma(sum(a))
    return logs + sum((x - y) * (mp.digamma(x) - of_sum) for x, y in zip(a, b, strict=True))


def laplace(m, b, n, c):
    apart = abs(m - n)
    return mp.log(c / b) + apart / c + b / c * mp.exp(-apart / b) - 1


def cauchy(m, b, n, c):
    return mp.log(((b + c) ** 2 + (m - n) ** 2) / (4 * b * c))


def gumbel(m, b, n, c):
    power = mp.exp((n - m) / c) * mp.gamma(b / c + 1) - 1
    return mp.log(c / b) + mp.euler * (b / c - 1) + (m - n) / c + power


def weibull(k, s, c, t):
    power = (s / t) ** c * mp.gamma(c / k + 1) - 1
    return mp.log(k / s**k) - mp.log(c / t**c) + (k - c) * (mp.log(s) - mp.euler / k) + power


def pareto(m, a, n, b):
    if m < n:
        return mp.inf
    return b * mp.log(m / n) + mp.log(a / b) + b / a - 1


def von_mises(m, k, n, c):
    ratio = mp.besseli(1, k) / mp.besseli(0, k)
    return mp.log(mp.besseli(0, c) / mp.besseli(0, k)) + ratio * (k - c * mp.cos(m - n))


def log_uniform(a, b, c, d):
    if a < c or b > d:
        return mp.inf
    return mp.log(mp.log(d / c) / mp.log(b / a))


def continuous_bernoulli(p, q):
    def partition(x):
        return mp.log(mp.expm1(x) / x) if x else mpf(0)

    x, y = mp.log(p / (1 - p)), mp.log(q / (1 - q))
    slope = 1 / (1 - mp.exp(-x)) - 1 / x if x else mpf(1) / 2
    return partition(y) - partition(x) - (y - x) * slope


def mp_matrix(a):
    return a if isinstance(a, mp.matrix) else mp.matrix(a)


def multivariate_normal(m, s, n, t):
    s, t, apart = mp_matrix(s), mp_matrix(t), mp_matrix(m) - mp_matrix(n)
    inverse = t**-1
    whole = sum((inverse * s)[i, i] for i in range(s.rows)) + (apart.T * inverse * apart)[0]
    return (whole - s.rows + mp.log(mp.det(t) / mp.det(s))) / 2


def wishart(n, s, k, t):
    s, t = mp_matrix(s), mp_matrix(t)
    size, both = s.rows, t**-1 * s
    trace = sum(both[i, i] for i in range(size))

    def log_gamma(x):
        return sum(mp.loggamma(x - mpf(j) / 2) for j in range(size))

    psi = sum(mp.digamma(n / 2 - mpf(j) / 2) for j in range(size))
    logs = log_gamma(k / 2) - log_gamma(n / 2) - k / 2 * mp.log(mp.det(both))
    return logs + n / 2 * (trace - size) + (n - k) / 2 * psi


# --- the registry ---------------------------------------------------------------------------------


@dataclass
class Case:
    """A family: its divergence, and what its parameters may be; densities are in LAWS."""

    exact: Callable[..., Any]
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, ...]]
    fixed: tuple[int, ...] = ()  # parameters that Q shares
    locations: tuple[int, ...] = ()  # parameters that are moved by a distance, not by a factor
    bounded: bool = False  # a parameter is between 0 and 1
    scipy: Callable[..., Any] | None = None
    reach: float = 1.0  # by which Q's are moved at most
    least: dict[int, float] = field(default_factory=dict)  # below which a parameter may not be


def positive(*count: int) -> Callable[..., Any]:
    return lambda rng, n: tuple(np.exp(rng.normal(0, 1, (n, *count) if count else n)))


def several(number: int) -> Callable[..., Any]:
    return lambda rng, n: tuple(np.exp(rng.normal(0, 0.8, (number, n))))


def located(rng, n):
    return rng.normal(size=n), np.exp(rng.normal(0, 0.5, n))


def shares(rng, n):
    return (rng.uniform(0.02, 0.98, n),)


def covariances(rng, n, k=3):
    half = rng.normal(size=(n, k, 2 * k))
    return half @ half.transpose(0, 2, 1) / (2 * k)


CASES: dict[str, Case] = {
    "Normal": Case(
        normal,
        located,
        locations=(0,),
        scipy=lambda m, s: stats.norm(m, s),
    ),
    "LogNormal": Case(
        normal,
        located,
        locations=(0,),
        scipy=lambda m, s: stats.lognorm(s, scale=np.exp(m)),
    ),
    "HalfNormal": Case(
        lambda s, t: normal(0, s, 0, t),
        several(1),
        scipy=lambda s: stats.halfnorm(scale=s),
    ),
    "MultivariateNormal": Case(
        multivariate_normal,
        lambda rng, n: (rng.normal(size=(n, 3)), covariances(rng, n)),
        locations=(0,),
        scipy=lambda m, s: stats.multivariate_normal(m, s),
    ),
    "Bernoulli": Case(
        bernoulli,
        shares,
        bounded=True,
        scipy=lambda p: stats.bernoulli(p),
    ),
    "Categorical": Case(
        lambda p, q: sum(
            x / sum(p) * mp.log(x * sum(q) / (y * sum(p))) for x, y in zip(p, q, strict=True)
        ),
        lambda rng, n: (rng.dirichlet(np.ones(4), n),),
        scipy=lambda p: stats.multinomial(1, p / p.sum()),
    ),
    "Binomial": Case(
        lambda n, p, k, q: n * bernoulli(p, q),
        lambda rng, n: (rng.integers(1, 30, n).astype(float), rng.uniform(0.02, 0.98, n)),
        fixed=(0,),
        bounded=True,
        scipy=lambda n, p: stats.binom(n, p),
    ),
    "Geometric": Case(
        geometric,
        shares,
        bounded=True,
        scipy=lambda p: stats.geom(p),
    ),
    "NegativeBinomial": Case(
        lambda r, p, k, q: r * geometric(p, q),
        lambda rng, n: (np.exp(rng.normal(0, 1, n)), rng.uniform(0.02, 0.98, n)),
        fixed=(0,),
        bounded=True,
        scipy=lambda r, p: stats.nbinom(r, p),
    ),
    "Poisson": Case(
        lambda a, b: b - a + a * mp.log(a / b),
        several(1),
        scipy=lambda a: stats.poisson(a),
    ),
    "Exponential": Case(
        lambda a, b: mp.log(a / b) + b / a - 1,
        several(1),
        scipy=lambda a: stats.expon(scale=1 / a),
    ),
    "Gamma": Case(
        gamma,
        lambda rng, n: (np.exp(rng.normal(0, 2, n)), np.exp(rng.normal(0, 1, n))),
        scipy=lambda a, b: stats.gamma(a, scale=1 / b),
    ),
    "InverseGamma": Case(
        gamma,
        several(2),
        scipy=lambda a, b: stats.invgamma(a, scale=b),
    ),
    "Chi": Case(
        chi,
        several(1),
        scipy=lambda n: stats.chi(n),
    ),
    "Beta": Case(
        lambda a, b, c, d: dirichlet([a, b], [c, d]),
        several(2),
        scipy=lambda a, b: stats.beta(a, b),
    ),
    "Dirichlet": Case(
        dirichlet,
        lambda rng, n: (np.exp(rng.normal(0, 0.8, (n, 4))),),
        scipy=lambda a: stats.dirichlet(a),
    ),
    "Laplace": Case(
        laplace,
        located,
        locations=(0,),
        scipy=lambda m, b: stats.laplace(m, b),
    ),
    "Cauchy": Case(
        cauchy,
        located,
        locations=(0,),
        scipy=lambda m, b: stats.cauchy(m, b),
    ),
    "Gumbel": Case(
        gumbel,
        located,
        locations=(0,),
        scipy=lambda m, b: stats.gumbel_r(m, b),
    ),
    "Weibull": Case(
        weibull,
        several(2),
        scipy=lambda k, s: stats.weibull_min(k, scale=s),
    ),
    "Pareto": Case(
        pareto,
        several(2),
        scipy=lambda m, a: stats.pareto(a, scale=m),
    ),
    "VonMises": Case(
        von_mises,
        lambda rng, n: (rng.uniform(-3, 3, n), np.exp(rng.normal(0, 1.5, n))),
        locations=(0,),
        scipy=lambda m, k: stats.vonmises(k, m),
    ),
    "LogUniform": Case(
        log_uniform,
        lambda rng, n: (np.exp(rng.uniform(-2, 0, n)), np.exp(rng.uniform(0.5, 2, n))),
        scipy=lambda a, b: stats.loguniform(a, b),
        reach=0.2,
    ),
    "ContinuousBernoulli": Case(
        continuous_bernoulli,
        lambda rng, n: (1 / (1 + np.exp(-rng.normal(0, 4, n))),),
        bounded=True,
    ),
    "Wishart": Case(
        wishart,
        lambda rng, n: (2.5 + np.exp(rng.normal(0, 1, n)), covariances(rng, n)),
        scipy=lambda n, s: stats.wishart(n, s),
        least={0: 2.0},
    ),
}
NAMES = [family.__name__ for family in FAMILIES]


def family(name: str) -> Any:
    return getattr(families, name)


def moved(rng, case: Case, given: tuple[np.ndarray, ...], closeness: float):
    """Parameters of Q near those of P."""
    found = []
    for i, x in enumerate(given):
        step = closeness * case.reach * rng.normal(size=x.shape)
        if i in case.fixed:
            y = x
        elif i in case.locations:
            y = x + step
        elif x.ndim == 3:
            factor = np.linalg.cholesky(x)
            beside = np.eye(x.shape[-1]) + min(closeness, 0.5) * rng.uniform(-0.3, 0.3, x.shape)
            y = factor @ (beside + beside.transpose(0, 2, 1)) @ factor.transpose(0, 2, 1) / 2
            y = (y + y.transpose(0, 2, 1)) / 2
        elif case.bounded:
            y = x / (x + (1 - x) * np.exp(-step))
        else:
            least = case.least.get(i, 0.0)
            y = least + (x - least) * np.exp(step)
        found.append(y)
    return tuple(found)


def numbers(x: np.ndarray) -> Any:
    return mpf(float(x)) if x.ndim == 0 else [numbers(y) for y in x]


def in_digits(case: Case, p, q) -> list[Any]:
    count = len(p[0])
    return [
        case.exact(*(numbers(x[i]) for x in p), *(numbers(x[i]) for x in q)) for i in range(count)
    ]


def off(found, exact) -> float:
    if exact == mp.inf:
        return 0.0 if found == np.inf else math.inf
    return float(abs(mpf(float(found)) - exact) / abs(exact))


def ill(name: str, p, q) -> np.ndarray:
    """What a covariance's condition does to digits (P6)."""
    if name in ("MultivariateNormal", "Wishart"):
        return 2 * np.maximum(np.linalg.cond(q[1]), np.linalg.cond(p[1]))
    return np.ones(len(p[0]))


def test_every_family_is_here():
    assert set(NAMES) == set(CASES)
    assert {n for n in families.__all__ if inspect.isclass(getattr(families, n))} == {
        *NAMES,
        "Family",
        "ExponentialFamily",
    }


@pytest.mark.parametrize("closeness", CLOSENESS)
@pytest.mark.parametrize("name", NAMES)
def test_digits(name, closeness, worst):
    """1e-14 where parameters differ, twelve digits where they are 1e-8 apart; far more, in fact."""
    case, rng = CASES[name], np.random.default_rng(len(name))
    p = case.draw(rng, 24)
    q = moved(rng, case, p, closeness)
    found = families.kl_divergence(family(name)(*p), family(name)(*q))
    exact = in_digits(case, p, q)
    errors = np.array([off(x, y) for x, y in zip(found, exact, strict=True)]) / ill(name, p, q)
    assert errors.max() <= 1e-14, errors.argmax()
    assert (found >= 0).all()
    if name in ("Pareto", "LogUniform"):
        assert 0 < np.isinf(found).sum() < len(found)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Categorical"])
def test_textbook_is_the_integral(name):
    """The formulas above, against integrals and sums of the densities."""
    known = [x for x in known_divergences() if x[0] == x[2] == name]
    assert len(known) > 1
    for _, p, _, q, exact in known:
        found = CASES[name].exact(*map(digits_of, p), *map(digits_of, q))
        assert abs(found - exact) <= mpf(10) ** -22 * abs(exact), (p, q)


def digits_of(x: Any) -> Any:
    return [digits_of(y) for y in x] if isinstance(x, (list, tuple)) else mpf(x)


@pytest.mark.parametrize("name", NAMES)
def test_a_distribution_is_at_0_from_itself(name):
    p = family(name)(*CASES[name].draw(np.random.default_rng(1), 9))
    found = families.kl_divergence(p, p)
    assert (found == 0).all()
    assert not np.signbit(found).any()


@pytest.mark.parametrize("name", NAMES)
def test_broadcasting(name):
    case, rng = CASES[name], np.random.default_rng(2)
    p, q = case.draw(rng, 3), case.draw(rng, 4)
    if case.fixed:
        q = tuple(np.full(4, 5.0) if i in case.fixed else x for i, x in enumerate(q))
        p = tuple(np.full(3, 5.0) if i in case.fixed else x for i, x in enumerate(p))
    column = family(name)(*(x[:, None] for x in p))
    found = families.kl_divergence(column, family(name)(*q))
    assert found.shape == (3, 4)
    for i, j in ((0, 0), (2, 1), (1, 3)):
        one = families.kl_divergence(
            family(name)(*(x[i] for x in p)), family(name)(*(x[j] for x in q))
        )
        assert isinstance(one, np.float64)
        assert one == pytest.approx(found[i, j], rel=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_nan_and_wrong_parameters(name):
    case, rng = CASES[name], np.random.default_rng(2)
    given = case.draw(rng, 4)
    parameters = list(inspect.signature(family(name)).parameters)
    for i, x in enumerate(given):
        spoilt = [y.copy() for y in given]
        spoilt[i][(1, *(0,) * (x.ndim - 1))] = np.nan
        found = families.kl_divergence(family(name)(*spoilt), family(name)(*given))
        assert np.isnan(found[1])
        assert (found[[0, 2, 3]] == 0).all()
        wrong = [y.copy() for y in given]
        wrong[i][(2, *(0,) * (x.ndim - 1))] = -np.inf
        with pytest.raises(ValueError, match=rf"{name}: {parameters[i]} has -inf at"):
            family(name)(*wrong)
        text = [y.astype(str) if i == k else y for k, y in enumerate(given)]
        with pytest.raises(TypeError, match=rf"{name}: {parameters[i]} has dtype"):
            family(name)(*text)


# --- exponential families -------------------------------------------------------------------------

EXPONENTIAL = [n for n in NAMES if issubclass(family(n), ExponentialFamily)]


def test_which_are_exponential_families():
    assert set(NAMES) - set(EXPONENTIAL) == {"Cauchy", "Gumbel", "LogUniform"}


def members(name, n=12, closeness=0.4):
    case, rng = CASES[name], np.random.default_rng(4)
    p = case.draw(rng, n)
    q = list(moved(rng, case, p, closeness))
    for i, parameter in zip(
        range(len(p)), inspect.signature(family(name)).parameters, strict=False
    ):
        if parameter in family(name).nuisance:
            q[i] = p[i]
    return family(name)(*p), family(name)(*q)


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_bregman(name):
    """The divergence is that of the log-partition, in both directions."""
    p, q = members(name)
    for x, y in ((p, q), (q, p)):
        found = families.bregman(
            x.log_partition, x.log_partition_gradient, y.natural_parameters, x.natural_parameters
        )
        terms = np.abs(x.log_partition()) + np.abs(y.log_partition()) + 1
        scale = (np.abs(x.natural_parameters) + np.abs(y.natural_parameters)) * np.abs(
            x.log_partition_gradient()
        )
        want = families.kl_divergence(x, y)
        assert (np.abs(found - want) <= 1e-13 * (terms + scale.sum(axis=-1))).all()
    np.testing.assert_array_equal(
        families.reverse_kl_divergence(p, q), families.kl_divergence(q, p)
    )


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_gradient_and_natural_parameters(name):
    """The gradient is one, and parameters come back from η."""
    p, q = members(name)
    eta = p.natural_parameters
    gradient = p.log_partition_gradient()
    direction = (q.natural_parameters - eta) * 1e-4
    slope = (p.log_partition(eta + direction) - p.log_partition(eta - direction)) / 2
    want = (direction * gradient).sum(axis=-1)
    np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-11)
    back = p.with_natural_parameters(eta)
    if name not in ("Categorical", "VonMises"):
        for parameter in inspect.signature(family(name)).parameters:
            np.testing.assert_allclose(
                getattr(back, parameter), getattr(p, parameter), rtol=1e-12, atol=1e-12
            )
    assert (families.kl_divergence(p, back) < 1e-25).all()


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_renyi(name):
    """Against log-partitions in the order of the definition, and near 1 and near P."""
    p, q = members(name)
    eta_p, eta_q = p.natural_parameters, q.natural_parameters
    for order in (0.2, 0.5, 0.9, 1.05):
        found = families.renyi_divergence(p, q, order)
        middle = p.log_partition(order * eta_p + (1 - order) * eta_q)
        sums = order * p.log_partition() + (1 - order) * q.log_partition() - middle
        scale = np.abs(p.log_partition()) + np.abs(q.log_partition()) + 1
        inside = np.isfinite(found) & np.isfinite(sums)
        assert inside.sum() > 6
        error = np.abs(found - sums / (1 - order))[inside]
        assert (error <= 1e-12 * (scale[inside] + 1) / abs(1 - order)).all()
    kl = families.kl_divergence(p, q)
    np.testing.assert_allclose(families.renyi_divergence(p, q, 1.0), kl, rtol=1e-14)
    np.testing.assert_allclose(families.renyi_divergence(p, q, 1 - 1e-9), kl, rtol=1e-6)
    near_p, near_q = members(name, closeness=1e-7)
    ratio = families.renyi_divergence(near_p, near_q, 0.3) / families.kl_divergence(near_p, near_q)
    np.testing.assert_allclose(ratio, 0.3, rtol=1e-5)


def test_renyi_of_gaussians_and_what_has_none():
    p, q = families.Normal(0.0, 1.0), families.Normal(1.0, 2.0)
    for order in (0.3, 0.5, 1.2):
        want = fd.gaussian_renyi([0.0], [[1.0]], [1.0], [[4.0]], order)
        assert families.renyi_divergence(p, q, order) == pytest.approx(want, rel=1e-14)
    assert families.renyi_divergence(families.Normal(0, 2), families.Normal(0, 1), 2.0) == np.inf
    with pytest.raises(TypeError, match="Cauchy and Cauchy are not of one exponential"):
        families.renyi_divergence(families.Cauchy(0, 1), families.Cauchy(0, 2), 0.5)
    with pytest.raises(TypeError, match="Weibull of different shape"):
        families.renyi_divergence(families.Weibull(1, 1), families.Weibull(2, 1), 0.5)
    for order in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="alpha"):
            families.renyi_divergence(p, q, order)


@pytest.mark.parametrize("name", NAMES)
def test_entropies(name):
    """H(P, Q) = H(P) + KL(P‖Q), where they have a closed form; the entropy as scipy computes it."""
    p, q = (
        members(name)
        if name in EXPONENTIAL
        else (family(name)(*CASES[name].draw(np.random.default_rng(s), 12)) for s in (1, 2))
    )
    crossed = families.cross_entropy(p, q)
    own = families.entropy(p)
    want = families.kl_divergence(p, q)
    np.testing.assert_allclose(crossed - own, want, rtol=1e-9, atol=1e-11)
    make = CASES[name].scipy
    if make is not None and name != "Categorical":
        names = [n for n in inspect.signature(type(p)).parameters if n != "start"]
        parameters = [getattr(p, n)[0] for n in names]
        assert own[0] == pytest.approx(make(*parameters).entropy(), rel=1e-8)


# --- pairs of two families ------------------------------------------------------------------------

PAIRS = {
    "Exponential Gamma": (families.Exponential(1.3), families.Gamma(2.2, 0.7)),
    "Gamma Exponential": (families.Gamma(2.2, 0.7), families.Exponential(1.3)),
    "Exponential Weibull": (families.Exponential(1.3), families.Weibull(1.7, 0.8)),
    "Weibull Gamma": (families.Weibull(1.7, 0.8), families.Gamma(2.2, 0.7)),
    "Gamma Weibull": (families.Gamma(2.2, 0.7), families.Weibull(1.7, 0.8)),
    "HalfNormal Exponential": (families.HalfNormal(1.4), families.Exponential(0.6)),
    "Exponential HalfNormal": (families.Exponential(0.6), families.HalfNormal(1.4)),
    "HalfNormal Gamma": (families.HalfNormal(1.4), families.Gamma(0.9, 1.1)),
    "Gamma LogNormal": (families.Gamma(2.2, 0.7), families.LogNormal(0.4, 0.9)),
    "LogNormal Gamma": (families.LogNormal(0.4, 0.6), families.Gamma(2.2, 0.7)),
    "LogNormal InverseGamma": (families.LogNormal(0.4, 0.6), families.InverseGamma(2.0, 1.5)),
    "InverseGamma LogNormal": (families.InverseGamma(3.0, 1.5), families.LogNormal(0.4, 0.9)),
    "InverseGamma Gamma": (families.InverseGamma(4.0, 1.5), families.Gamma(2.2, 0.7)),
    "Chi Gamma": (families.Chi(3.3), families.Gamma(2.2, 0.7)),
    "Gamma Chi": (families.Gamma(2.2, 0.9), families.Chi(3.3)),
    "Chi HalfNormal": (families.Chi(3.3), families.HalfNormal(1.4)),
    "Weibull LogNormal": (families.Weibull(1.7, 0.8), families.LogNormal(0.4, 0.9)),
    "Pareto LogNormal": (families.Pareto(1.2, 3.5), families.LogNormal(0.4, 0.9)),
    "Pareto Exponential": (families.Pareto(1.2, 3.5), families.Exponential(0.5)),
    "LogUniform Gamma": (families.LogUniform(0.4, 3.0), families.Gamma(2.2, 0.7)),
    "LogUniform Beta": (families.LogUniform(0.4, 3.0), families.Beta(2.2, 0.7)),
    "LogUniform Pareto": (families.LogUniform(0.4, 3.0), families.Pareto(0.3, 1.5)),
    "Beta Gamma": (families.Beta(2.2, 1.7), families.Gamma(2.2, 0.7)),
    "Beta ContinuousBernoulli": (families.Beta(2.2, 1.7), families.ContinuousBernoulli(0.3)),
    "ContinuousBernoulli Exponential": (
        families.ContinuousBernoulli(0.3),
        families.Exponential(1.3),
    ),
    "Laplace Normal": (families.Laplace(0.3, 1.2), families.Normal(-0.4, 1.9)),
    "Normal Laplace": (families.Normal(-0.4, 1.9), families.Laplace(0.3, 1.2)),
    "Gumbel Normal": (families.Gumbel(0.3, 1.2), families.Normal(-0.4, 1.9)),
    "Normal Gumbel": (families.Normal(-0.4, 0.9), families.Gumbel(0.3, 1.2)),
    "Laplace Gumbel": (families.Laplace(-0.4, 0.6), families.Gumbel(0.3, 1.2)),
    "Gamma Normal": (families.Gamma(2.2, 0.7), families.Normal(-0.4, 1.9)),
    "Exponential Gumbel": (families.Exponential(1.3), families.Gumbel(0.3, 1.2)),
    "Beta Normal": (families.Beta(2.2, 1.7), families.Normal(-0.4, 1.9)),
    "Normal Gamma": (families.Normal(-0.4, 1.9), families.Gamma(2.2, 0.7)),
    "Bernoulli Binomial": (families.Bernoulli(0.3), families.Binomial(1, 0.6)),
    "Bernoulli Poisson": (families.Bernoulli(0.3), families.Poisson(0.6)),
    "Bernoulli Geometric": (families.Bernoulli(0.3), families.Geometric(0.6, 0)),
    "Geometric NegativeBinomial": (
        families.Geometric(0.3, 0),
        families.NegativeBinomial(1.0, 0.6),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_families(name):
    """Closed forms, quadrature and (loosely) samples agree."""
    p, q = PAIRS[name]
    found = families.kl_divergence(p, q)
    integral = families.kl_divergence(p, q, method="quadrature")
    assert isinstance(integral, Integral)
    if np.isinf(found):
        assert integral.value == np.inf
        return
    assert integral.value == pytest.approx(found, rel=1e-8)
    assert abs(integral.value - found) <= 10 * integral.error + 1e-12
    estimate = families.kl_divergence(p, q, method="monte_carlo", samples=20_000, seed=1)
    assert abs(estimate.value - found) <= 5 * estimate.se
    assert families.cross_entropy(p, q) - families.entropy(p) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("name", list(LAWS))
def test_quadrature_of_every_family(name):
    case, rng = CASES[name], np.random.default_rng(6)
    p = tuple(x[0] for x in case.draw(rng, 1))
    q = tuple(x[0] for x in moved(rng, case, tuple(np.array([x]) for x in p), 0.2))
    a, b = family(name)(*p), family(name)(*q)
    want = families.kl_divergence(a, b)
    found = families.kl_divergence(a, b, method="quadrature")
    assert found.value == pytest.approx(want, rel=1e-7)
    estimate = families.kl_divergence(a, b, method="monte_carlo", samples=20_000)
    assert np.isinf(want) or abs(estimate.value - want) <= 5 * estimate.se


def test_supports():
    """P somewhere where Q is not."""
    for p, q in (
        (families.Normal(0, 1), families.Gamma(1, 1)),
        (families.Gamma(1, 1), families.Beta(1, 2)),
        (families.Exponential(1), families.Pareto(1, 1)),
        (families.Binomial(5, 0.5), families.Binomial(3, 0.5)),
        (families.Geometric(0.5, 0), families.Geometric(0.5, 1)),
    ):
        assert families.kl_divergence(p, q) == np.inf
    shifted = families.kl_divergence(families.Geometric(0.5, 1), families.Geometric(0.25, 0))
    assert shifted == pytest.approx(float(geometric(0.5, 0.25)) - math.log(0.75), rel=1e-14)


def test_cross_entropy_and_kl_agree_on_supports():
    """Where KL of two families is +inf by their supports the cross-entropy is, asking no more."""
    made = [family(n)(*CASES[n].draw(np.random.default_rng(3), 1)) for n in NAMES]
    made = [x for x in made if not x.axes]
    infinite = refused = 0
    for p in made:
        for q in made:
            try:
                kl = families.kl_divergence(p, q)
            except TypeError:
                refused += 1
                with pytest.raises(TypeError, match=r"cross_entropy: .* no closed form here"):
                    families.cross_entropy(p, q)
                continue
            if np.isinf(kl).all():
                infinite += 1
                assert np.isinf(families.cross_entropy(p, q)).all(), (p, q)
    assert infinite > 100
    assert refused > 100
    unknown = families.cross_entropy(families.Normal([np.nan, 0], 1), families.LogNormal(0, 1))
    np.testing.assert_array_equal(unknown, [np.nan, np.inf])


def test_entropies_of_cauchy():
    """log 4πγ, and log(π((γ₁ + γ₂)² + δ²)/γ₂), against integrals, and at the ends of doubles."""
    p, q = families.Cauchy(0.5, 2.0), families.Cauchy(-1.0, 0.7)
    assert families.entropy(p) == pytest.approx(math.log(8 * math.pi), rel=1e-15)
    with mp.workdps(20):

        def law(x, m, g):
            return g / mp.pi / ((x - m) ** 2 + g**2)

        want = mp.quad(
            lambda x: -law(x, 0.5, 2) * mp.log(law(x, -1, 0.7)), [-mp.inf, -1, 0.5, mp.inf]
        )
    assert families.cross_entropy(p, q) == pytest.approx(float(want), rel=1e-9)
    closed = math.log(math.pi * (2.7**2 + 1.5**2) / 0.7)
    assert families.cross_entropy(p, q) == pytest.approx(closed, rel=1e-15)
    for scale in (1e-308, 1e300, 1e308):
        far = families.Cauchy(0, scale)
        want = math.log(4 * math.pi) + math.log(scale)
        assert families.entropy(far) == pytest.approx(want, rel=1e-15)
    with pytest.raises(TypeError, match="Normal and Cauchy have no closed form"):
        families.cross_entropy(families.Normal(0, 1), p)


def test_raw_errors_are_none():
    gamma = families.Gamma(2, 1)
    for call, kind, text in (
        (lambda: families.renyi_divergence(gamma, gamma, "a"), TypeError, "_divergence: alpha"),
        (lambda: families.renyi_divergence(gamma, gamma, 1j), TypeError, "renyi_divergence: alpha"),
        (lambda: gamma.log_partition(5.0), ValueError, r"Gamma: eta has shape \(\); it takes 2 al"),
        (lambda: gamma.log_partition([1, 2, 3]), ValueError, r"Gamma: eta has shape \(3,\)"),
        (lambda: gamma.log_partition("a"), TypeError, "Gamma: eta "),
        (lambda: gamma.log_partition_gradient([1]), ValueError, r"Gamma: eta has shape \(1,\)"),
        (lambda: gamma.with_natural_parameters([1]), ValueError, r"Gamma: eta has shape \(1,\)"),
        (lambda: families.bregman(1, 2, 3, 4), TypeError, "bregman: log_partition is 1; it takes"),
        (lambda: families.bregman(abs, 2, 3, 4), TypeError, "bregman: gradient is 2; it takes"),
        (lambda: families.bregman(abs, abs, "a", [1]), TypeError, "bregman: eta_q"),
        (lambda: families.bregman(abs, abs, [1], 4.0), ValueError, r"eta_p has shape \(\)"),
        (lambda: families.renyi_divergence(
            families.Geometric(0.5), families.NegativeBinomial(1, 0.5), 2),
         TypeError, "Geometric and NegativeBinomial are not of one"),
    ):  # fmt: skip
        with pytest.raises(kind, match=text):
            call()
    flat = families.MultivariateNormal([0, 0], np.ones((2, 2)))
    normal = families.MultivariateNormal([0, 0], np.eye(2))
    for x in (normal, families.Wishart(3, np.eye(2))):
        assert x.log_partition(x.natural_parameters) == x.log_partition()
    assert flat.log_partition(normal.natural_parameters) == normal.log_partition()


def test_nan_by_every_method():
    p, q = families.Normal(np.nan, 1), families.Normal(1, 1)
    for of_p, of_q in ((p, q), (q, p), (families.Poisson(np.nan), families.Poisson(2))):
        assert np.isnan(families.kl_divergence(of_p, of_q))
        for method in ("quadrature", "monte_carlo"):
            found = families.kl_divergence(of_p, of_q, method=method)
            assert np.isnan(found).all() if isinstance(found, tuple) else np.isnan(found.value)


def test_certainties():
    """0 log 0 is 0, and what P does and Q does not is +inf."""
    kl = families.kl_divergence
    certain, fair = families.Bernoulli([0.0, 1.0]), families.Bernoulli(0.5)
    np.testing.assert_allclose(kl(certain, fair), math.log(2), rtol=1e-15)
    assert kl(fair, certain).tolist() == [np.inf, np.inf]
    assert kl(certain, certain).tolist() == [0.0, 0.0]
    assert kl(families.Poisson(0.0), families.Poisson(2.0)) == 2.0
    assert kl(families.Poisson(2.0), families.Poisson(0.0)) == np.inf
    assert kl(families.Categorical([1, 0]), families.Categorical([1, 1])) == math.log(2)


def test_certain_binomials():
    """No success is what fewer trials of another distribution may give, too."""
    kl, binomial = families.kl_divergence, families.Binomial
    for p, q, exact in (
        (binomial(5, 0), binomial(9, 0.3), -9 * mp.log(1 - mpf(0.3))),
        (binomial(9, 0), binomial(5, 0.3), -5 * mp.log(1 - mpf(0.3))),
        (binomial(5, 0), binomial(5, 0.3), -5 * mp.log(1 - mpf(0.3))),
        (binomial(0, 0.5), binomial(3, 0.25), -3 * mp.log(mpf(0.75))),
    ):
        assert off(kl(p, q), exact) <= 1e-15
    want = [4 * math.log(2), np.inf]
    p, q = binomial([5, 5], [0, 0.5]), binomial([4, 4], 0.5)
    np.testing.assert_array_equal(kl(p, q), want)
    np.testing.assert_allclose(families.cross_entropy(p, q), want, rtol=1e-15)


def test_errors_name_the_family_and_its_argument():
    eye, flat = np.eye(2), np.ones((2, 2))
    normal, wishart = families.MultivariateNormal, families.Wishart
    for p, q, text in (
        (
            normal([0, 0], eye),
            normal([0, 0], [eye, flat]),
            "MultivariateNormal: cov of q, problem 1",
        ),
        (wishart(3, eye), wishart(3, flat), "Wishart: scale of q, problem 0"),
    ):
        with pytest.raises(np.linalg.LinAlgError, match=text):
            families.kl_divergence(p, q)
    assert families.kl_divergence(normal([0, 0], flat), normal([0, 0], eye)) == np.inf
    p, q = normal([0, 0], [[2, 0.5], [0.5, 1]]), normal([1, 0], eye)
    want = fd.gaussian_renyi(p.mean, p.cov, q.mean, q.cov, [0.3, 0.999999999, 1.2])
    np.testing.assert_array_equal(families.renyi_divergence(p, q, [0.3, 0.999999999, 1.2]), want)
    singular = normal([0, 0], flat)
    for order in (0.3, 0.5, 1.0, 2.0):
        assert families.renyi_divergence(singular, q, order) == np.inf
        with pytest.raises(np.linalg.LinAlgError, match="Normal: cov of q, problem 0: the cov"):
            families.renyi_divergence(p, singular, order)


def test_renyi_of_a_singular_wishart():
    eye, flat = np.eye(2), np.ones((2, 2))
    p, q = families.Wishart(3, [flat, eye, eye * np.nan]), families.Wishart(4, eye)
    for order in (0.3, 0.5, 1.0, 2.0):
        found = families.renyi_divergence(p, q, order)
        want = families.renyi_divergence(families.Wishart(3, eye), q, order)
        np.testing.assert_array_equal(found, [np.inf, want, np.nan])
        assert 0 < want < np.inf
        with pytest.raises(np.linalg.LinAlgError, match="Wishart: scale of q, problem 0"):
            families.renyi_divergence(q, p, order)


def test_what_is_no_covariance_is_refused():
    """Where it is made, with its own eigenvalue; singular ones, by rounding, too, and NaN are."""
    normal, wishart = families.MultivariateNormal, families.Wishart
    eye, mixed = np.eye(2), np.array([[1, 0], [2, 1]])
    for call, text in (
        (
            lambda: wishart(5, -np.eye(3)),
            "Wishart: scale, problem 0, has the eigenvalue -1; it",
        ),
        (lambda: wishart(5, [eye, mixed]), "Wishart: scale, problem 1, has the eigenvalue -1"),
        (lambda: normal([0, 0], -eye), "MultivariateNormal: cov, problem 0, has the eigenvalue -1"),
        (lambda: normal([0, 0], [[eye, mixed]]), r"cov, problem \(0, 1\), has the eigenvalue -1"),
    ):
        with pytest.raises(np.linalg.LinAlgError, match=text):
            call()
    rng = np.random.default_rng(1)
    for size in (2, 5, 20):
        thin = rng.normal(size=(50, size, size - 1)) * 10.0 ** rng.uniform(-9, 9, (50, size, 1))
        assert normal(np.zeros(size), thin @ thin.swapaxes(-1, -2)).batch_shape == (50,)
    unknown = normal([0, 0], [eye, eye * np.nan, np.ones((2, 2)), 0 * eye])
    want = [0.0, np.nan, np.inf, np.inf]
    np.testing.assert_array_equal(families.kl_divergence(unknown, normal([0, 0], eye)), want)


def test_what_has_no_closed_form():
    p, q = families.Cauchy(0.0, 1.0), families.Normal(0.0, 1.0)
    with pytest.raises(TypeError, match=r'Cauchy and Normal have.*"quadrature".*"monte_carlo"'):
        families.kl_divergence(p, q)
    with pytest.raises(TypeError, match=r"kl_divergence: q is list; it takes a distribution"):
        families.kl_divergence(p, [0.5, 0.5])
    with pytest.raises(ValueError, match="method is 'magic'"):
        families.kl_divergence(p, q, method="magic")
    with pytest.raises(ValueError, match="no batches"):
        families.kl_divergence(families.Normal([0, 1], 1), q, method="quadrature")
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\) do not broadcast"):
        families.kl_divergence(families.Poisson([1, 2]), families.Poisson([1, 2, 3]))
    summed = families.kl_divergence(
        families.Binomial(3, 0.5), families.Binomial(5, 0.5), method="quadrature"
    )
    weights = stats.binom(3, 0.5).pmf(range(4)), stats.binom(5, 0.5).pmf(range(4))
    want = sum(a * math.log(a / b) for a, b in zip(*weights, strict=True))
    assert abs(summed.value - want) <= summed.error + 1e-15


def advised(p, q):
    """Methods that the refusal of a closed form names."""
    with pytest.raises(TypeError, match="have no closed form here") as refused:
        families.kl_divergence(p, q)
    return re.findall(r'method="(\w+)"', str(refused.value))


def test_what_is_advised_works():
    for p, q, methods in (
        (families.Cauchy(0, 1), families.Normal(0, 1), ["quadrature", "monte_carlo"]),
        (families.Cauchy([0, 1], 1), families.Normal(0, 1), ["quadrature", "monte_carlo"]),
        (stats.t(4), stats.norm(), ["quadrature", "monte_carlo"]),
        (families.Poisson(3), families.Normal(3, 1), []),
        (families.Normal(3, 1), families.Poisson(3), []),
        (families.VonMises(0, 1), families.Normal(0, 1), []),
        (families.MultivariateNormal([0, 0], np.eye(2)), families.Normal(0, 1), []),
        (families.MultivariateNormal([0, 0], np.eye(2)), families.Dirichlet([1, 1]),
         ["monte_carlo"]),
    ):  # fmt: skip
        assert advised(p, q) == methods
        for method in ("quadrature", "monte_carlo"):
            single = p.batch_shape == () if isinstance(p, families.Family) else True
            if single and method in methods:
                assert families.kl_divergence(p, q, method=method, samples=100).value > 0
            else:
                with pytest.raises((TypeError, ValueError), match="kl_divergence: "):
                    families.kl_divergence(p, q, method=method, samples=100)


@pytest.mark.parametrize("method", ["closed", "quadrature", "monte_carlo"])
def test_a_probability_is_no_density(method):
    for p, q in (
        (families.Poisson(3), families.Normal(3, 1)),
        (families.Normal(3, 1), families.Poisson(3)),
        (stats.skellam(1, 2), stats.t(3)),
    ):
        with pytest.raises(TypeError, match="one is discrete, and one is not"):
            families.kl_divergence(p, q, method=method)


@pytest.mark.parametrize("method", ["quadrature", "monte_carlo"])
def test_batches_of_foreign_distributions_are_refused(method):
    for p, q, shape in (
        (stats.t([3, 4]), stats.norm(), r"\(2,\) and \(\)"),
        (stats.norm(), stats.t(3, loc=[0, 1, 2]), r"\(\) and \(3,\)"),
        (stats.skellam([1, 2], 3), stats.poisson(2), r"\(2,\) and \(\)"),
    ):
        with pytest.raises(ValueError, match=f"takes one distribution each.* shapes {shape}"):
            families.kl_divergence(p, q, method=method)


def test_arguments_of_monte_carlo():
    p = families.Normal(0, 1)
    for wrong, error in (("a", TypeError), (None, TypeError), (True, TypeError), (-1, ValueError)):
        with pytest.raises(error, match=f"kl_divergence: seed is {wrong!r}; it takes"):
            families.kl_divergence(p, p, method="monte_carlo", seed=wrong)


# --- sums and integrals that are hard -------------------------------------------------------------

SUMS = {
    "far from 0": (families.Poisson(1e8), families.Poisson(1.0001e8)),
    "many trials": (families.Binomial(1e9, 0.3), families.Binomial(1e9, 0.3001)),
    "wide": (families.Geometric(1e-4, 1), families.Geometric(2e-4, 1)),
    "narrow": (families.Poisson(1e-9), families.Poisson(1.0)),
    "far from its mode": (
        families.NegativeBinomial(0.01, 1e-3),
        families.NegativeBinomial(0.01, 0.1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_sums_where_the_probability_is(name):
    p, q = SUMS[name]
    want = float(families.kl_divergence(p, q))
    found = families.kl_divergence(p, q, method="quadrature")
    assert abs(found.value - want) <= found.error <= 1e-5 * want


def zeta_divergence(a, b):
    """Of zeta distributions: log ζ(b)/ζ(a) + (b − a) E log k."""
    return float(mp.log(mp.zeta(b) / mp.zeta(a)) - (b - a) * mp.zeta(a, derivative=1) / mp.zeta(a))


FOREIGN_SUMS = {
    # The halves of Skellam's are exchanged: (μ₂ − μ₁)/2 log ratio.
    "skellam": (stats.skellam(3, 4), stats.skellam(4, 3), math.log(4 / 3)),
    "dlaplace": (stats.dlaplace(0.5), stats.dlaplace(0.8),
                 math.log(math.tanh(0.25) / math.tanh(0.4)) + 0.3 / math.sinh(0.5)),
    "zipf": (stats.zipf(4), stats.zipf(3), zeta_divergence(4, 3)),
    "of a tail": (stats.zipf(2), stats.geom(0.5), math.inf),
    "of two": (stats.zipf(3.5), stats.geom(0.5), float(
        -mp.log(mp.zeta(3.5)) + 3.5 * mp.zeta(3.5, derivative=1) / mp.zeta(3.5)
        + mp.log(2) * mp.zeta(2.5) / mp.zeta(3.5))),
    "moved": (stats.poisson(3, loc=0.5), stats.poisson(4, loc=0.5), 3 * math.log(3 / 4) + 1),
    "to both sides": (stats.dlaplace(0.5), stats.poisson(3), math.inf),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN_SUMS)
def test_sums_of_foreign_distributions(name):
    p, q, want = FOREIGN_SUMS[name]
    found = families.kl_divergence(p, q, method="quadrature")
    assert found.value == pytest.approx(want, rel=1e-6)
    if math.isfinite(want):
        assert abs(found.value - want) <= found.error + 1e-14


def test_sums_that_are_refused():
    for p, q, text in (
        (stats.zipf(2), stats.zipf(3), r'too slowly: beyond \d+ terms.*method="monte_carlo"'),
        (families.Geometric(1e-9, 1), families.Geometric(2e-9, 1), 'too slowly.*method="closed"'),
        (families.Poisson(1e13), families.Poisson(1.1e13), 'too slowly.*method="closed"'),
        (families.Poisson(1000), stats.skellam(1, 1), "0 or below the least number"),
    ):
        with pytest.raises(ValueError, match=f"kl_divergence: .* by quadrature: .*{text}"):
            families.kl_divergence(p, q, method="quadrature")


SHARP = {
    "Beta at 0": (families.Beta(0.05, 1), families.Beta(0.5, 1)),
    "Gamma at 0": (families.Gamma(0.05, 1), families.Gamma(0.2, 1)),
    "Weibull": (families.Weibull(0.1, 1), families.Weibull(0.2, 1)),
    "Pareto's tail": (families.Pareto(3, 0.05), families.Pareto(2, 0.2)),
    "Pareto at its end": (families.Pareto(1, 1e6), families.Pareto(1, 2e6)),
    "LogNormal": (families.LogNormal(0, 20), families.LogNormal(0, 30)),
    "InverseGamma": (families.InverseGamma(0.1, 1), families.InverseGamma(0.2, 1)),
    "Beta at both ends": (families.Beta(0.5, 0.5), families.Beta(1.5, 0.7)),
}


@pytest.mark.parametrize("name", SHARP)
def test_quadrature_of_what_is_sharp(name):
    p, q = SHARP[name]
    want = float(families.kl_divergence(p, q))
    found = families.kl_divergence(p, q, method="quadrature")
    assert abs(found.value - want) <= 5 * found.error + 1e-14 * want
    assert found.error < 1e-6


def test_quadrature_says_what_works_instead():
    """A half of these densities is nearer to 1 than the next number."""
    p = families.Beta(0.01, 0.01)
    with pytest.raises(ValueError, match="nearer to an end") as refused:
        families.kl_divergence(p, families.Beta(0.5, 0.5), method="quadrature")
    assert str(refused.value).endswith('method="closed" has it')
    assert "points" not in str(refused.value)
    assert "normalize" not in str(refused.value)
    for q in (families.Normal(0, 1), families.Exponential(1)):
        heavy = families.kl_divergence(families.Pareto(1, 0.9), q, method="quadrature")
        assert heavy == Integral(math.inf, 0.0)


# --- other libraries ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n].scipy])
def test_frozen_scipy(name):
    case, rng = CASES[name], np.random.default_rng(7)
    p = tuple(x[0] for x in case.draw(rng, 1))
    q = tuple(x[0] for x in moved(rng, case, tuple(np.array([x]) for x in p), 0.3))
    make = case.scipy
    assert make is not None
    found = families.kl_divergence(make(*p), make(*q))
    want = families.kl_divergence(family(name)(*p), family(name)(*q))
    assert found == pytest.approx(want, rel=1e-12)
    assert families.kl_divergence(make(*p), family(name)(*q)) == pytest.approx(want, rel=1e-12)


def test_scipy_with_loc_and_scale():
    kl = families.kl_divergence
    assert kl(stats.chi2(3), stats.chi2(5)) == kl(
        families.Gamma(1.5, 0.5), families.Gamma(2.5, 0.5)
    )
    assert kl(stats.gamma(a=2, scale=3), stats.expon(scale=2)) == kl(
        families.Gamma(2, 1 / 3), families.Exponential(0.5)
    )
    with pytest.raises(TypeError, match=r"scipy.stats.gamma and scipy.stats.gamma have no closed"):
        kl(stats.gamma(2, loc=1), stats.gamma(2, loc=1))
    moved = kl(stats.gamma(2, loc=1), stats.gamma(3, loc=1), method="quadrature")
    assert moved.value == pytest.approx(kl(families.Gamma(2, 1), families.Gamma(3, 1)), rel=1e-9)
    t = kl(stats.t(5), stats.norm(), method="quadrature")
    sampled = kl(stats.t(5), stats.norm(), method="monte_carlo", samples=50_000)
    assert abs(sampled.value - t.value) < 5 * sampled.se
    made, other = stats.beta(2, 3, scale=2), stats.beta(3, 2, scale=2)
    with pytest.raises(TypeError, match="have no closed form"):
        kl(made, other)
    with pytest.raises(TypeError, match="have no closed form"):
        kl(stats.chi(3, scale=2), stats.chi(4, scale=2))
    found = kl(made, other, method="quadrature").value
    assert found == pytest.approx(kl(families.Beta(2, 3), families.Beta(3, 2)), rel=1e-9)
    beside = kl(stats.beta(2, 3, scale=2), families.Exponential(1.0), method="quadrature").value
    want = integrate.quad(
        lambda x: stats.beta(2, 3).pdf(x / 2) / 2 * (np.log(stats.beta(2, 3).pdf(x / 2) / 2) + x),
        0, 2,
    )[0]  # fmt: skip
    assert beside == pytest.approx(want, rel=1e-7)
    counts = kl(stats.poisson(3, loc=1), stats.poisson(4, loc=1), method="quadrature")
    assert counts.value == pytest.approx(kl(stats.poisson(3), stats.poisson(4)), rel=1e-10)


NEW = {
    "normal": (lambda: stats.Normal(mu=1.0, sigma=2.0), families.Normal(1, 2)),
    "moved": (lambda: 2 * stats.Normal(mu=1.0, sigma=2.0) + 1, families.Normal(3, 4)),
    "made": (lambda: stats.make_distribution(stats.gamma)(a=2.0), families.Gamma(2, 1)),
    "scaled": (lambda: 3 * stats.make_distribution(stats.gamma)(a=2.0), families.Gamma(2, 1 / 3)),
    "made weibull": (
        lambda: stats.make_distribution(stats.weibull_min)(c=2.0),
        families.Weibull(2, 1),
    ),
}


@pytest.mark.parametrize("name", NEW if hasattr(stats, "make_distribution") else [])
def test_new_scipy(name):
    make, want = NEW[name]
    assert families.kl_divergence(make(), want) < 1e-30
    other = type(want)(*(getattr(want, n) * 1.5 for n in inspect.signature(type(want)).parameters))
    assert families.kl_divergence(other, make()) == pytest.approx(
        families.kl_divergence(other, want), rel=1e-14
    )
    sampled = families.kl_divergence(make(), other, method="monte_carlo", samples=10_000)
    assert abs(sampled.value - families.kl_divergence(want, other)) < 5 * sampled.se


class Tensor:
    """What is read of a tensor of torch's."""

    def __init__(self, x):
        self.x = np.asarray(x)

    def detach(self):
        return self

    double = cpu = detach

    def numpy(self):
        return self.x


TORCH = {
    "Normal": ({"loc": 1.0, "scale": 2.0}, families.Normal(1, 2)),
    "LogNormal": ({"loc": 1.0, "scale": 2.0}, families.LogNormal(1, 2)),
    "HalfNormal": ({"scale": 2.0}, families.HalfNormal(2)),
    "MultivariateNormal": (
        {"loc": [1.0, 0.0], "covariance_matrix": [[2.0, 0.5], [0.5, 1.0]]},
        families.MultivariateNormal([1, 0], [[2, 0.5], [0.5, 1]]),
    ),
    "LowRankMultivariateNormal": (
        {"loc": [1.0, 0.0], "cov_factor": [[1.0], [0.5]], "cov_diag": [1.0, 0.75]},
        families.MultivariateNormal([1, 0], [[2, 0.5], [0.5, 1]]),
    ),
    "OneHotCategorical": ({"probs": [0.25, 0.75]}, families.Categorical([0.25, 0.75])),
    "Bernoulli": ({"probs": [0.25, 0.5]}, families.Bernoulli([0.25, 0.5])),
    "Categorical": ({"probs": [0.25, 0.75]}, families.Categorical([0.25, 0.75])),
    "Binomial": ({"total_count": 5.0, "probs": 0.25}, families.Binomial(5, 0.25)),
    "Geometric": ({"probs": 0.25}, families.Geometric(0.25, 0)),
    "NegativeBinomial": ({"total_count": 5.0, "probs": 0.25}, families.NegativeBinomial(5, 0.75)),
    "Poisson": ({"rate": 3.0}, families.Poisson(3)),
    "Exponential": ({"rate": 3.0}, families.Exponential(3)),
    "Gamma": ({"concentration": 3.0, "rate": 2.0}, families.Gamma(3, 2)),
    "Chi2": ({"df": 3.0}, families.Gamma(1.5, 0.5)),
    "InverseGamma": ({"concentration": 3.0, "rate": 2.0}, families.InverseGamma(3, 2)),
    "Beta": ({"concentration1": 3.0, "concentration0": 2.0}, families.Beta(3, 2)),
    "Dirichlet": ({"concentration": [1.0, 2.0]}, families.Dirichlet([1, 2])),
    "Laplace": ({"loc": 1.0, "scale": 2.0}, families.Laplace(1, 2)),
    "Cauchy": ({"loc": 1.0, "scale": 2.0}, families.Cauchy(1, 2)),
    "Gumbel": ({"loc": 1.0, "scale": 2.0}, families.Gumbel(1, 2)),
    "Weibull": ({"scale": 3.0, "concentration": 2.0}, families.Weibull(2, 3)),
    "Pareto": ({"scale": 3.0, "alpha": 2.0}, families.Pareto(3, 2)),
    "VonMises": ({"loc": 1.0, "concentration": 2.0}, families.VonMises(1, 2)),
    "ContinuousBernoulli": ({"probs": 0.25}, families.ContinuousBernoulli(0.25)),
    "Wishart": (
        {"df": 3.0, "covariance_matrix": [[2.0, 0.5], [0.5, 1.0]]},
        families.Wishart(3, [[2, 0.5], [0.5, 1]]),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_by_its_names(name, monkeypatch):
    """A stand-in with the attributes of torch's class, and the class where torch is installed."""
    attributes, want = TORCH[name]
    stand_in = type(name, (SimpleNamespace,), {"__module__": f"torch.distributions.{name.lower()}"})
    given = stand_in(**{k: Tensor(v) for k, v in attributes.items()})
    assert (families.kl_divergence(given, want) == 0).all()


def test_every_family_of_torch_is_read():
    from fastdiv.families.foreign import _TORCH

    assert set(TORCH) == set(_TORCH)
    read = {type(want).__name__ for _, want in TORCH.values()}
    assert set(NAMES) - read == {"Chi", "LogUniform"}


def torch_or_nothing() -> ModuleType | None:
    try:
        import torch
    except ModuleNotFoundError:
        return None
    return torch


def test_torch_itself():
    """Not part of the extra `test`: what is installed is tried."""
    torch = torch_or_nothing()
    assert (torch is None) == ("torch" not in sys.modules)
    if torch is None:
        return
    for name, (attributes, want) in TORCH.items():
        made = getattr(torch.distributions, name)(
            **{k: torch.tensor(v, dtype=torch.float64) for k, v in attributes.items()}
        )
        assert np.max(families.kl_divergence(made, want)) < 1e-28, name
    heavy = torch.distributions.StudentT(torch.tensor(5.0, dtype=torch.float64))
    for method in ("quadrature", "monte_carlo"):
        found = families.kl_divergence(heavy, families.Normal(0, 1), method=method)
        want = families.kl_divergence(stats.t(5), stats.norm(), method="quadrature").value
        assert abs(found.value - want) < 0.1


TORCHS = "torch.distributions.distribution"


def test_torch_given_factors_and_logits_by_names():
    """Stand-ins: what a distribution was made of is read, not what was computed from it."""
    root = np.array([[1.0, 0.0], [1.0, 1e-9]])
    made = []
    for width in (1.0, 2.0):
        stand_in = type(
            "MultivariateNormal", (SimpleNamespace,), {"__module__": "torch.distributions.x"}
        )
        made.append(stand_in(
            loc=Tensor([0.0, 0.0]), scale_tril=Tensor(root * [1, width]),
            covariance_matrix=Tensor(np.ones((2, 2))),
        ))  # fmt: skip
    want = math.log(2) + (0.25 - 1) / 2
    assert families.kl_divergence(*made) == pytest.approx(want, rel=1e-14)
    stand_in = type("Bernoulli", (SimpleNamespace,), {"__module__": TORCHS})
    p, q = (stand_in(logits=Tensor(x), probs=Tensor(1.0)) for x in (40.0, 41.0))
    with mp.workdps(60):
        a, b = (1 / (1 + mp.exp(-x)) for x in (mp.mpf(40), mp.mpf(41)))
        want = a * mp.log(a / b) + (1 - a) * mp.log((1 - a) / (1 - b))
    assert families.kl_divergence(p, q) == pytest.approx(float(want), rel=1e-12)
    fair = families.kl_divergence(families.Bernoulli(0.5), p)
    assert fair == pytest.approx(20 - math.log(2), rel=1e-14)
    one = stand_in(probs=Tensor(0.25), logits=Tensor(99.0))
    assert families.kl_divergence(one, families.Bernoulli(0.25)) == 0


@pytest.mark.parametrize("given", ["probs", "logits"])
def test_failures_of_torch_have_their_digits(given):
    """Probabilities, or e^logits, from 1e-300 on: 1 − p has none of them."""
    stand_in = type("NegativeBinomial", (SimpleNamespace,), {"__module__": TORCHS})
    for a, b in ((1e-12, 2e-12), (1e-300, 2e-300), (0.25, 0.5), (0.6, 0.4), (1 - 1e-12, 0.3)):
        if given == "logits":
            a, b = math.log(a), math.log(b)
        p, q = (stand_in(total_count=Tensor(3.0), **{given: Tensor(x)}) for x in (a, b))
        with mp.workdps(700):
            x, y = (mpf(v) if given == "probs" else 1 / (1 + mp.exp(-mpf(v))) for v in (a, b))
            want = 3 * (mp.log((1 - x) / (1 - y)) + x / (1 - x) * mp.log(x / y))
        assert off(families.kl_divergence(p, q), want) <= 1e-12
        if math.exp(-42) < x < 0.9:  # else a sum has nothing to add, or too many terms
            crossed = want + families.entropy(p)
            assert off(families.cross_entropy(p, q), crossed) <= 1e-12
        half = families.renyi_divergence(p, q, 0.5)
        with mp.workdps(700):
            root = mp.sqrt((1 - x) * (1 - y))
            want = -6 * mp.log(root / (1 - mp.sqrt(x * y)))
        assert off(half, want) <= 1e-12


def test_torch_with_logits():
    torch = torch_or_nothing()
    if torch is None:
        return
    made, kl = torch.distributions, families.kl_divergence
    for logits in (-3.0, 0.5, 4.0):
        share = 1 / (1 + math.exp(-logits))
        x = torch.tensor(logits)
        for given, want in (
            (made.Bernoulli(logits=x), families.Bernoulli(share)),
            (made.Geometric(logits=x), families.Geometric(share, 0)),
            (made.Binomial(5, logits=x), families.Binomial(5, share)),
            (made.NegativeBinomial(5.0, logits=x), families.NegativeBinomial(5, 1 - share)),
            (made.ContinuousBernoulli(logits=x), families.ContinuousBernoulli(share)),
        ):
            assert kl(given, want) < 1e-27
            _ = given.probs
            assert kl(given, want) < 1e-27
    assert kl(made.Bernoulli(logits=torch.tensor(1.0)), families.Poisson(2.0)) == pytest.approx(
        kl(families.Bernoulli(1 / (1 + math.exp(-1))), families.Poisson(2.0)), rel=1e-14
    )
    far = made.Categorical(logits=torch.tensor([0.0, -200.0]).double())
    assert kl(families.Categorical([0.5, 0.5]), far) == pytest.approx(100 - math.log(2), rel=1e-14)
    for sharp in (
        made.Geometric(logits=torch.tensor(40.0)),
        made.Binomial(3, logits=torch.tensor(40.0)),
        made.ContinuousBernoulli(logits=torch.tensor(40.0)),
    ):
        with pytest.raises(ValueError, match=r"q is torch.* with logits -?40: float64 does not"):
            kl(families.Normal(0, 1), sharp)
    root = torch.tensor([[1.0, 0.0], [1.0, 1e-9]], dtype=torch.float64)
    wide = root * torch.tensor([1.0, 2.0])
    p, q = (made.MultivariateNormal(torch.zeros(2).double(), scale_tril=x) for x in (root, wide))
    assert kl(p, q) == pytest.approx(math.log(2) + (0.25 - 1) / 2, rel=1e-14)


def test_what_torch_alone_has():
    torch = torch_or_nothing()
    if torch is None:
        return
    made, kl = torch.distributions, families.kl_divergence
    heavy = made.StudentT(torch.tensor([3.0, 4.0]))
    for method in ("quadrature", "monte_carlo"):
        with pytest.raises(ValueError, match=r"no batches; it got shapes \(2,\) and \(\)"):
            kl(heavy, families.Normal(0, 1), method=method)
    with pytest.raises(TypeError, match="have no closed form here"):
        kl(heavy, families.Normal(0, 1))
    single = kl(made.StudentT(torch.tensor([3.0])), families.Normal(0, 1), method="quadrature")
    want = kl(stats.t(3), stats.norm(), method="quadrature").value
    assert single.value == pytest.approx(want, rel=1e-6)
    square = made.Uniform(torch.tensor(0.0), torch.tensor(2.0))
    found = kl(families.Normal(0, 1), square, method="monte_carlo", samples=50)
    assert found.value == math.inf
    pair = made.Independent(made.StudentT(torch.full((2,), 4.0)), 1)
    both = families.MultivariateNormal([1, 1], np.eye(2))
    with pytest.raises(TypeError, match="have no closed form here"):
        kl(pair, both)
    one = kl(stats.t(4), stats.norm(1), method="quadrature").value
    found = kl(pair, both, method="monte_carlo", samples=20_000)
    assert abs(found.value - 2 * one) < 5 * found.se
    with pytest.raises(TypeError, match=r"of values of shapes \(2,\) and \(\)"):
        kl(pair, families.Normal(0, 1), method="monte_carlo")


def test_independent_coordinates_of_torch():
    torch = torch_or_nothing()
    if torch is None:
        return
    made, kl = torch.distributions, families.kl_divergence

    def normal(mean, sigma, count=1):
        mean, sigma = (torch.tensor(x).double() for x in (mean, sigma))
        return made.Independent(made.Normal(mean, sigma), count)

    p, q = normal([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), normal([0.5, 0.5, 0.5], [2.0, 2.0, 1.0])
    ours = families.MultivariateNormal([0.5, 0.5, 0.5], np.diag([4.0, 4.0, 1.0]))
    each = [kl(families.Normal(m, s), families.Normal(0.5, t)) for m, s, t in
            ((0, 1, 2), (1, 2, 2), (2, 3, 1))]  # fmt: skip
    for other in (q, ours):
        assert kl(p, other) == pytest.approx(sum(each), rel=1e-14)
        assert families.cross_entropy(p, other) - families.entropy(p) == pytest.approx(
            sum(each), rel=1e-13
        )
        half = [float(families.renyi_divergence(p, other, a)) for a in (0.5, 0.9)]
        np.testing.assert_allclose(
            families.renyi_divergence(p, other, [0.5, 0.9]), half, rtol=1e-15
        )
        assert half[0] < half[1] < sum(each)
    wide = families.renyi_divergence(p, ours, [0.5, 0.9])
    np.testing.assert_allclose(families.renyi_divergence(p, q, [0.5, 0.9]), wide, rtol=1e-13)
    batch = normal(np.zeros((4, 2, 3)), np.ones((4, 2, 3)), 2)
    assert kl(batch, normal(np.ones((2, 3)), np.ones((2, 3)), 2)).tolist() == [3.0] * 4
    assert kl(normal([0.0, 1.0], 1.0, 0), families.Normal(0, 1)).tolist() == [0.0, 0.5]
    rates = [made.Independent(made.Poisson(torch.tensor([a, 3.0])), 1) for a in (1.0, 2.0)]
    assert kl(*rates) == pytest.approx(1 - math.log(2), rel=1e-14)
    for wrong in (normal([0.0, 1.0], [1.0, 1.0]), rates[0], families.Dirichlet([1, 1, 1])):
        with pytest.raises((TypeError, ValueError), match=r"kl_divergence: |MultivariateNormal: "):
            kl(p, wrong)
        with pytest.raises((TypeError, ValueError), match="not of one exponential family"):
            families.renyi_divergence(p, wrong, 0.5)
    sampled = kl(p, q, method="monte_carlo", samples=20_000)
    assert abs(sampled.value - sum(each)) < 5 * sampled.se
    logits = torch.tensor([0.0, -200.0]).double()
    far = made.OneHotCategorical(logits=logits)
    assert kl(families.Categorical([0.5, 0.5]), far) == pytest.approx(100 - math.log(2), rel=1e-14)


def test_tensors_as_parameters_and_samples():
    torch = torch_or_nothing()
    if torch is None:
        return
    x = torch.tensor([1.0, 2.5])
    np.testing.assert_array_equal(families.Normal(x.bfloat16(), 1).mu, [1, 2.5])
    assert fd.estimators.kl_samples(x.bfloat16(), x).tolist() == [0, 0]
    for call in (lambda y: families.Normal(y, 1), lambda y: fd.estimators.kl_samples(y, y)):
        with pytest.raises(TypeError, match=r"requires its gradient; it takes \w+\.detach\(\)"):
            call(x.requires_grad_())


def test_masked_arrays_are_refused():
    some = np.ma.masked_array([1.0, 2.0], [False, True])
    for call in (
        lambda: families.Normal(some, 1),
        lambda: families.Normal(0, 1).log_density(some),
        lambda: fd.estimators.kl_samples(some, [0.0, 0.0]),
        lambda: fd.normal_kl(0.0, some, 0.0, 1.0),
        lambda: fd.densities.GaussianMixture(some, [0, 1], [1, 1]),
        lambda: fd.neighbours.nearest_neighbour_kl(some, [1.0, 2.0], k=1),
    ):
        with pytest.raises(TypeError, match=r": \w+ is a masked array; fill it"):
            call()


# --- special functions ----------------------------------------------------------------------------


def bregman_of(f, slope, a, b):
    a, b = mpf(float(a)), mpf(float(b))
    return f(b) - f(a) - (b - a) * slope(a)


FUNCTIONS = {
    "gamma_bregman": (special.gamma_bregman, mp.loggamma, mp.digamma),
    "gamma_beyond_entropy": (
        special.gamma_beyond_entropy,
        lambda x: mp.loggamma(x) - x * mp.log(x) + x,
        lambda x: mp.digamma(x) - mp.log(x),
    ),
    "bessel_bregman": (
        special.bessel_bregman,
        lambda x: mp.log(mp.besseli(0, x)),
        lambda x: mp.besseli(1, x) / mp.besseli(0, x),
    ),
    "sinh_bregman": (
        lambda a, b: special.sinh_bregman(a, b - a),
        lambda x: mp.log(mp.sinh(x / 2) / (x / 2)),
        lambda x: mp.coth(x / 2) / 2 - 1 / x,
    ),
}


@pytest.mark.parametrize("closeness", CLOSENESS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bregman_of_special_functions(name, closeness):
    ours, f, slope = FUNCTIONS[name]
    rng = np.random.default_rng(8)
    a = np.exp(rng.uniform(-7, 7, 100))
    b = np.clip(a * np.exp(closeness * rng.normal(size=100)), 1e-4, 2e3)
    for x, y, found in zip(a, b, ours(a, b), strict=True):
        assert off(found, bregman_of(f, slope, x, y)) < 1e-14, (x, y)


# --- what is given wrongly, and ends --------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in LAWS if CASES[n].scipy])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_log_densities(name):
    """As scipy has them, at the ends of the support, beyond them and between whole numbers too."""
    case, rng = CASES[name], np.random.default_rng(8)
    p = case.draw(rng, 6)
    made = family(name)(*p)
    x = np.array([-3.0, -1.0, -0.0, 0.5, 1.0, 1.5, 2.0, 7.0, np.inf])
    if name == "VonMises":
        x = np.array([-3.0, 0.0, 1.0])
    for i in range(6):
        scipys = case.scipy(*(y[i] for y in p))
        want = (scipys.logpmf if LAWS[name].cuts is None else scipys.logpdf)(x)
        if name == "VonMises":
            want = case.scipy(p[0][i], p[1][i]).logpdf(x)
        found = family(name)(*(y[i] for y in p)).log_density(x)
        assert not np.isnan(found).any()
        known = ~np.isnan(want)  # scipy's of infinity are not all
        np.testing.assert_allclose(found[known], want[known], rtol=1e-9, atol=1e-9)
    assert made.log_density(x[:1]).shape == (6,)
    assert np.isnan(made.log_density(np.nan)).all()


def test_log_densities_at_ends():
    """Those that have a density at an end: a finite number there."""
    at = [
        (families.Gamma(1.0, 2.0), 0.0, math.log(2)),
        (families.Gamma(2.0, 2.0), 0.0, -np.inf),
        (families.Gamma(0.5, 2.0), 0.0, np.inf),
        (families.Exponential(2.0), -1e-300, -np.inf),
        (families.Beta(1.0, 1.0), 1.0, 0.0),
        (families.Beta(1.0, 2.0), 0.0, math.log(2)),
        (families.Chi(1.0), 0.0, math.log(2 / math.pi) / 2),
        (families.Weibull(1.0, 2.0), 0.0, -math.log(2)),
        (families.LogNormal(0.0, 1.0), 0.0, -np.inf),
        (families.InverseGamma(1.0, 1.0), 0.0, -np.inf),
        (families.ContinuousBernoulli(0.3), 1.5, -np.inf),
        (families.Categorical([1, 3]), 1, math.log(0.75)),
        (families.Categorical([1, 3]), -1, -np.inf),
        (families.Categorical([1, 3]), 2, -np.inf),
        (families.Categorical([1, 3]), 0.5, -np.inf),
        (families.Dirichlet([1.0, 1.0, 1.0]), [0.0, 0.5, 0.5], math.log(2)),
        (families.Dirichlet([1.0, 1.0, 1.0]), [-0.5, 0.5, 1.0], -np.inf),
    ]
    for made, x, want in at:
        assert made.log_density(x) == pytest.approx(want, rel=1e-14), (made, x)


def test_samples_of_wishart():
    """Mean νV, variance ν(V²ᵢⱼ + VᵢᵢVⱼⱼ); log-densities as scipy has them, and Monte Carlo's KL."""
    v, df, size = np.array([[2.0, 0.5], [0.5, 1.0]]), 3.5, 40_000
    p, q = families.Wishart(df, v), families.Wishart(4.0, [[1.5, 0.2], [0.2, 1.2]])
    x = p.sample(np.random.default_rng(1), size)
    assert x.shape == (size, 2, 2)
    np.testing.assert_array_equal(x, x.swapaxes(-1, -2))
    variance = df * (v**2 + np.outer(np.diag(v), np.diag(v)))
    assert (np.abs(x.mean(axis=0) - df * v) < 5 * np.sqrt(variance / size)).all()
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.1)
    logs = np.linalg.slogdet(x)[1]
    want = p.log_partition_gradient()[..., -1]
    assert abs(logs.mean() - want) < 5 * logs.std() / math.sqrt(size)
    scipys = stats.wishart(df, v).logpdf(np.moveaxis(x[:9], 0, -1))
    np.testing.assert_allclose(p.log_density(x[:9]), scipys, rtol=1e-11)
    assert p.log_density(-np.eye(2)) == -np.inf
    assert np.isnan(p.log_density(np.full((2, 2), np.nan)))
    estimate = families.kl_divergence(p, q, method="monte_carlo", samples=20_000)
    assert abs(estimate.value - families.kl_divergence(p, q)) <= 5 * estimate.se


# Of every P here more than a dozen numbers have probabilities.
LAWS_OF_NUMBERS = {
    "Poisson": lambda k, a: k * mp.log(a) - a - mp.loggamma(k + 1),
    "Binomial": lambda k, n, p: mp.log(mp.binomial(n, k)) + k * mp.log(p) + (n - k) * mp.log(1 - p),
    "NegativeBinomial": lambda k, r, p: (
        mp.log(mp.gamma(k + r) / mp.gamma(r) / mp.factorial(k)) + r * mp.log(p) + k * mp.log(1 - p)
    ),
}
DISCRETE = [
    ("Poisson", (1e-8,), (2.0,), 10),
    ("Poisson", (0.3,), (2.0,), 60),
    ("Poisson", (100.0,), (90.0,), 500),
    ("Poisson", (2600.0,), (2700.0,), 4500),
    ("Binomial", (40.0, 0.01), (40.0, 0.3), 41),
    ("Binomial", (10.0, 1e-8), (10.0, 0.3), 11),
    ("Binomial", (10_000.0, 0.5), (10_000.0, 0.4), 10_001),
    ("NegativeBinomial", (2.5, 0.3), (2.5, 0.2), 400),
    ("NegativeBinomial", (1e-3, 0.2), (0.5, 0.3), 500),
    ("NegativeBinomial", (3000.0, 0.5), (3000.0, 0.4), 6000),
]


@pytest.mark.parametrize("case", DISCRETE, ids=lambda case: f"{case[0]}-{case[1]}")
def test_sums_of_factorials(case):
    """Entropies and cross-entropies, against sums over all numbers in 30 digits."""
    name, p, q, count = case
    law = LAWS_OF_NUMBERS[name]
    with mp.workdps(30):
        logs = [[law(mpf(k), *map(mpf, x)) for k in range(count)] for x in (p, q)]
        own, crossed = (
            -mp.fsum(mp.exp(a) * b for a, b in zip(logs[0], x, strict=True)) for x in logs
        )
    assert off(families.entropy(family(name)(*p)), own) <= 1e-14
    assert off(families.cross_entropy(family(name)(*p), family(name)(*q)), crossed) <= 1e-14


UNEQUAL = [
    ("NegativeBinomial", (3.0, 0.5), (5.0, 0.5), 250),
    ("NegativeBinomial", (3.0, 0.5), (3e-5, 0.5), 250),
    ("NegativeBinomial", (3.0, 0.5), (3.0 + 1e-12, 0.5 + 1e-13), 250),
    ("NegativeBinomial", (0.01, 0.1), (0.0100001, 0.1), 900),
    ("NegativeBinomial", (50.0, 0.3), (50.001, 0.30001), 800),
    ("NegativeBinomial", (2.5, 1 - 1e-6), (3.5, 1 - 1e-6), 20),
    ("Binomial", (3.0, 0.5), (5.0, 0.3), 4),
    ("Binomial", (1000.0, 0.3), (1001.0, 0.2997), 1001),
    ("Binomial", (100.0, 1e-9), (101.0, 1e-9), 101),
    ("Binomial", (5.0, 0.2), (1000.0, 0.001), 6),
]


@pytest.mark.parametrize("case", UNEQUAL, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_sums_of_unequal_numbers_of_trials(case):
    """KL where r or n differ, down to 1e-26, against sums in 60 digits."""
    name, p, q, count = case
    law = LAWS_OF_NUMBERS[name]
    logs = [[law(mpf(k), *map(mpf, x)) for k in range(count)] for x in (p, q)]
    want = mp.fsum(mp.exp(a) * (a - b) for a, b in zip(*logs, strict=True))
    assert off(families.kl_divergence(family(name)(*p), family(name)(*q)), want) <= 4e-13


def test_unequal_numbers_of_trials_in_batches():
    """A batch has equal ones, sums, +inf and NaN; of many trials by Γ as by products."""
    kl, negative = families.kl_divergence, families.NegativeBinomial
    found = kl(families.Binomial([5, 3, 3, 4, np.nan], [0.5, 0.5, 0.5, 0, 0.5]),
               families.Binomial(4, [0.5, 0.5, 0, 1, 0.5]))  # fmt: skip
    want = sum(
        a * math.log(a / b)
        for a, b in zip(*(stats.binom(n, 0.5).pmf(range(4)) for n in (3, 4)), strict=True)
    )
    np.testing.assert_allclose(found, [np.inf, want, np.inf, np.inf, np.nan], rtol=1e-14)
    found = kl(negative([1, 2, 3], 0.5), negative(2, [[0.5], [1]]))
    assert found[0, 1] == 0
    assert found[1].tolist() == [np.inf] * 3
    assert kl(negative(1, 1), negative(2, 0.5)) == pytest.approx(2 * math.log(2), rel=1e-15)
    # of far more trials than what d adds: the leading term of the expansion in 1/r
    for r in (5e5, 3e6):
        near = kl(negative(r, 0.5), negative(r + 1, 0.5))
        assert near == pytest.approx(1 / (4 * r), rel=2 / r)


def test_sums_that_leave_numbers_out():
    """Of 10¹² events every m-th number is enough: the entropy by its series in 1/λ."""
    for rate in (1e5, 1e8, 1e12):
        a = mpf(rate)
        series = 1 / (12 * a) + 1 / (24 * a**2) + 19 / (360 * a**3)
        exact = mp.log(2 * mp.pi * mp.e * a) / 2 - series
        assert off(families.entropy(families.Poisson(rate)), exact) <= 1e-14
    p, q = families.Poisson([1e8, np.nan]), families.Poisson(1.001e8)
    apart = families.cross_entropy(p, q) - families.entropy(p)
    assert apart[0] == pytest.approx(families.kl_divergence(p, q)[0], rel=1e-12)
    assert np.isnan(apart[1])
    for certain in (families.Poisson(0), families.Binomial(5, [0, 1]), families.Binomial(0, 0.5)):
        assert (families.entropy(certain) == 0).all()
    with pytest.raises(
        ValueError, match=r"NegativeBinomial: a standard deviation is 1\.41421e\+09"
    ):
        families.entropy(families.NegativeBinomial(2, 1e-9))


def test_log_density_of_vectors():
    rng = np.random.default_rng(3)
    mean, cov, x = rng.normal(size=3), covariances(rng, 1)[0], rng.normal(size=(7, 3))
    made = families.MultivariateNormal(mean, cov)
    want = stats.multivariate_normal(mean, cov).logpdf(x)
    np.testing.assert_allclose(made.log_density(x), want, rtol=1e-12)
    some = families.MultivariateNormal([mean, mean], [cov, np.full((3, 3), np.nan)])
    assert np.isnan(some.log_density(x[0])).tolist() == [False, True]


@pytest.mark.parametrize("name", ["Exponential", "Gamma", "HalfNormal", "LogNormal", "Beta"])
def test_samples_beyond_a_support(name):
    """P has probability where Q has none, and samples show it: no finite estimate."""
    q = family(name)(*np.ones(len(CASES[name].draw(np.random.default_rng(1), 1))))
    found = families.kl_divergence(families.Normal(0, 1), q, method="monte_carlo", samples=100)
    assert found.value == np.inf


@pytest.mark.parametrize("samples", [-1, 0, 1, 1.5, True])
def test_numbers_of_samples(samples):
    p = families.Normal(0, 1)
    with pytest.raises((ValueError, TypeError), match="samples is"):
        families.kl_divergence(p, p, method="monte_carlo", samples=samples)


def test_quadrature_of_the_narrow_and_the_far():
    for p, q in (
        (families.Normal(0, 1e-6), families.Normal(0, 1e-6)),
        (families.Normal(0.0, 1e-6), families.Laplace(0.0, 1.0)),
        (families.Normal(1e6, 1.0), families.Laplace(0.0, 1e5)),
    ):
        found = families.kl_divergence(p, q, method="quadrature")
        assert found.value == pytest.approx(families.kl_divergence(p, q), rel=1e-9, abs=1e-12)


def test_categories_of_probability_0():
    """Renyi's divergence is that of the rows."""
    p, q = [[0.5, 0.5, 0.0], [0.2, 0.0, 0.8]], [0.2, 0.3, 0.5]
    found = families.renyi_divergence(families.Categorical(p), families.Categorical(q), [0.5, 2.0])
    np.testing.assert_array_equal(found, fd.renyi_divergence(p, q, [0.5, 2.0]))
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match=r"Categorical: p, row 1, is 0 everywhere"):
        families.Categorical([[1, 2], [0, 0]])


def test_shapes_of_vectors_and_matrices():
    eye = np.eye(2)
    wrong = [
        (lambda: families.MultivariateNormal([0, 0, 0], eye), "mean has 3 coordinates, cov 2"),
        (lambda: families.MultivariateNormal([0, 0], [[1, 1]]), "square matrices"),
        (lambda: families.Wishart(3, [[1, 1]]), "square matrices"),
    ]
    for p, q in (
        (families.Dirichlet([1, 1, 1]), families.Dirichlet([1, 1])),
        (families.Categorical([1, 1, 1]), families.Categorical([1, 1])),
        (families.Wishart(3, eye), families.Wishart(3, np.eye(3))),
    ):
        wrong.append((lambda p=p, q=q: families.kl_divergence(p, q), "they take one length"))
        wrong.append((lambda p=p, q=q: families.renyi_divergence(p, q, 0.5), "one length"))
    for call, text in wrong:
        with pytest.raises(ValueError, match=text):
            call()
    p = families.Normal([0, 1], 1)
    with pytest.raises(ValueError, match="batches and alpha of shapes"):
        families.renyi_divergence(p, p, [0.1, 0.2, 0.3])
    flat = families.MultivariateNormal([[0, 0], [0, 0]], [eye, np.ones((2, 2))])
    for call in (lambda: flat.log_density([0, 0]), lambda: families.entropy(flat)):
        with pytest.raises(np.linalg.LinAlgError, match="Normal: cov, problem 1, is singular"):
            call()
    with pytest.raises(np.linalg.LinAlgError, match="Wishart: scale, problem 0, is singular"):
        _ = families.Wishart(3, np.ones((2, 2))).natural_parameters


def test_extreme_parameters():
    """Scales near the ends of the doubles, and NaN alone: no warning, and the digits."""
    for scale in (1e-308, 1e-200, 1e200, 1e307):
        p, q = families.Cauchy(0.0, scale), families.Cauchy(0.0, scale * 2)
        assert families.kl_divergence(p, q) == pytest.approx(math.log(9 / 8), rel=1e-14)
        assert families.kl_divergence(p, p) == 0
    for name in ("Gamma", "Beta", "Gumbel", "Weibull", "VonMises", "ContinuousBernoulli"):
        count = len(CASES[name].draw(np.random.default_rng(1), 1))
        p = family(name)(*[np.nan] * count)
        assert np.isnan(families.kl_divergence(p, p))
