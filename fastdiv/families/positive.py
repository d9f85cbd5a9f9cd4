"""Families on the half-line, or on an interval of it.

Their expectations: ``power`` (E x^k), ``log`` (E log x), ``log_square`` (E (log x − m)²), and for
those that may stand on the whole line ``square`` (E (x − m)²) and ``exponential`` (E e^{tx}).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdiv.families.base import ExponentialFamily, Family, Floats, Missing
from fastdiv.families.multivariate import Dirichlet, mean_logs
from fastdiv.families.special import (
    SERIES,
    binet,
    excess,
    exp_beyond_line,
    from_special,
    gamma_beyond_entropy,
    gamma_bregman,
    log_ratio,
    log_sinh,
    log_sinh_slope,
    logistic,
    logit,
    product_difference,
    ratio_excess,
    sinh_bregman,
    sinh_curvature,
    times_log,
)
from fastdiv.gaussians import LOG_2PI, gaussian_renyi, normal_kl

__all__ = [
    "Beta",
    "Chi",
    "ContinuousBernoulli",
    "Exponential",
    "Gamma",
    "HalfNormal",
    "InverseGamma",
    "LogNormal",
    "LogUniform",
    "OfNormal",
    "Pareto",
    "Weibull",
    "gumbel_divergence",
]


def gumbel_divergence(t: Floats, t_less_1: Floats, d: Floats) -> Floats:
    """KL of Gumbel's: t is the ratio of the scales, d the distance of the locations by Q's scale.

    −log t − 1 + γ(t − 1) + d + e^(−d) Γ(1 + t), of which g = log Γ(1 + t) makes
    (e^(g − d) − 1 − (g − d)) + B of log Γ from 1 to t. What is as large as e^x has the digits of x.
    """
    rest = gamma_bregman(np.ones(()), t, t_less_1)
    g = log_ratio(t, np.ones(()), t_less_1) - np.euler_gamma * t_less_1 + rest
    return np.asarray(exp_beyond_line(g - d) + rest)


def normal_renyi(m: Floats, s: Floats, n: Floats, t: Floats, order: Floats) -> Floats:
    """Rényi divergence of normal distributions of one variable."""
    m, s, n, t = (x[..., None] for x in (m, s, n, t))
    return np.asarray(gaussian_renyi(m, s, n, t, order, covariance="diagonal", cholesky=True))


@dataclass(frozen=True, eq=False)
class OfNormal(ExponentialFamily):
    """What a normal variable t and its exponential share; the statistics are (t, t²)."""

    mu: Any
    sigma: Any
    domains: ClassVar[dict[str, str]] = {"mu": "real", "sigma": "positive"}

    def divergence_from(self, other: Self) -> Floats:
        return np.asarray(normal_kl(self.mu, self.sigma, other.mu, other.sigma))

    def renyi_from(self, other: Self, order: Floats) -> Floats:
        return normal_renyi(self.mu, self.sigma, other.mu, other.sigma, order)

    @property
    def natural_parameters(self) -> Floats:
        """(μ/σ², −1/2σ²)."""
        mu, sigma = np.broadcast_arrays(self.mu, self.sigma)
        precision = sigma**-2.0
        return np.stack([mu * precision, -precision / 2], axis=-1)

    def _log_partition(self, eta: Floats) -> Floats:
        first, second = eta[..., 0], eta[..., 1]
        return np.asarray(-(first**2) / (4 * second) + 0.5 * np.log(-math.pi / second))

    def _gradient(self, eta: Floats) -> Floats:
        mean, variance = self._moments(eta)
        return np.stack([mean, mean**2 + variance], axis=-1)

    def _of_natural(self, eta: Floats) -> Self:
        mean, variance = self._moments(eta)
        return self.unchecked(mean, np.sqrt(variance))

    def _moments(self, eta: Floats) -> tuple[Floats, Floats]:
        variance = -0.5 / eta[..., 1]
        variance = np.where(variance > 0, variance, np.nan)
        return eta[..., 0] * variance, variance

    def _of_square(self, square: Floats) -> Floats:
        """Log-density of t where ((t − μ)/σ)² is this, or its mean where that is its."""
        return np.asarray(-square / 2 - np.log(self.sigma) - LOG_2PI / 2)


class Positive(Family):
    """What follows from E x^k on the half-line."""

    @property
    def support(self) -> tuple[Floats, Floats]:
        """All positive numbers."""
        return np.zeros(()), np.full((), np.inf)

    def mean_power(self, k: Any) -> Floats:
        """E x^k, +inf where it is."""
        raise Missing

    def mean_square(self, m: Floats) -> Floats:
        """E (x − m)²."""
        return self.mean_variance() + self.mean_beside(m) ** 2

    def mean_variance(self) -> Floats:
        """Variance, +inf where it is."""
        raise Missing

    def mean_beside(self, m: Floats) -> Floats:
        """E x − m."""
        return self.mean_identity() - m

    def mean_identity(self) -> Floats:
        """E x."""
        return self.mean_power(1.0)


@dataclass(frozen=True, eq=False)
class LogNormal(Positive, OfNormal):
    """Log-normal: log x is normal.

    Parameters
    ----------
    mu, sigma : array_like
        Mean and standard deviation of log x.
    """

    def mean_power(self, k: Any) -> Floats:
        return np.asarray(np.exp(k * self.mu + (k * self.sigma) ** 2 / 2))

    def mean_log(self) -> Floats:
        return np.asarray(self.mu)

    def mean_beside(self, m: Floats) -> Floats:
        # Near 1, where that is what a mean of 0 of the logarithms makes.
        return np.asarray(np.expm1(self.mu + self.sigma**2 / 2) - (m - 1))

    def mean_variance(self) -> Floats:
        return np.asarray(np.exp(2 * self.mu + self.sigma**2) * np.expm1(self.sigma**2))

    def mean_negentropy(self) -> Floats:
        square = self.sigma**2
        return np.asarray(0.75 * square + log_sinh(square) / 2)

    def mean_log_square(self, m: Floats) -> Floats:
        return np.asarray(self.sigma**2 + (self.mu - m) ** 2)

    def mean_log_density(self, of: Family) -> Floats:
        spread = of.expectation("log_square", self.mu) / self.sigma**2
        return self._of_square(spread) - of.expectation("log")

    def _log_density(self, x: Floats) -> Floats:
        logs = np.log(x)
        return self._of_square(((logs - self.mu) / self.sigma) ** 2) - logs

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.lognormal(self.mu, self.sigma, size)


@dataclass(frozen=True, eq=False)
class HalfNormal(Positive, ExponentialFamily):
    """Half-normal: the absolute value of a normal variable of mean 0.

    Parameters
    ----------
    sigma : array_like
        Standard deviation of that variable.
    """

    sigma: Any
    domains: ClassVar[dict[str, str]] = {"sigma": "positive"}

    def divergence_from(self, other: "HalfNormal") -> Floats:
        return np.asarray(normal_kl(0.0, self.sigma, 0.0, other.sigma))

    def renyi_from(self, other: "HalfNormal", order: Floats) -> Floats:
        return normal_renyi(np.zeros(()), self.sigma, np.zeros(()), other.sigma, order)

    @property
    def natural_parameters(self) -> Floats:
        """−1/2σ², for x²."""
        return np.asarray(-0.5 / self.sigma**2)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(0.5 * np.log(-math.pi / (4 * eta[..., 0])))

    def _gradient(self, eta: Floats) -> Floats:
        return -0.5 / eta

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(np.sqrt(-0.5 / eta[..., 0]))

    def mean_power(self, k: Any) -> Floats:
        return np.asarray(self.sigma**k * Chi(1.0).mean_power(k))

    def mean_variance(self) -> Floats:
        return np.asarray(self.sigma**2 * (1 - 2 / math.pi))

    def mean_negentropy(self) -> Floats:
        return np.full(np.shape(self.sigma), 0.5 * math.log(4 - 8 / math.pi))

    def mean_log(self) -> Floats:
        return np.asarray(np.log(self.sigma) + Chi(1.0).mean_log())

    def mean_log_square(self, m: Floats) -> Floats:
        return Chi(1.0).mean_log_square(m - np.log(self.sigma))

    def mean_log_density(self, of: Family) -> Floats:
        constant = 0.5 * math.log(2 / math.pi) - np.log(self.sigma)
        return np.asarray(constant - of.expectation("power", 2.0) / (2 * self.sigma**2))

    def _log_density(self, x: Floats) -> Floats:
        z = x / self.sigma
        return np.asarray(0.5 * math.log(2 / math.pi) - np.log(self.sigma) - z * z / 2)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.abs(rng.normal(0.0, self.sigma, size))


@dataclass(frozen=True, eq=False)
class Gamma(Positive, ExponentialFamily):
    """Gamma: density ∝ x^(a−1) e^(−bx).

    Parameters
    ----------
    shape, rate : array_like
        a and b; the mean is a/b.
    """

    shape: Any
    rate: Any
    domains: ClassVar[dict[str, str]] = {"shape": "positive", "rate": "positive"}

    def divergence_from(self, other: "Gamma") -> Floats:
        return self.divergence_towards(other, np.ones(()))

    def divergence_towards(self, other: "Gamma", t: Floats) -> Floats:
        # By the member with Q's shape and P's mean: what shapes make, and what means make.
        a, b, c, d = self.shape, self.rate, other.shape, other.rate
        shapes, rates = (-np.frexp(x)[1] for x in (c, b))
        b_c = np.ldexp(b, rates) * np.ldexp(c, shapes)
        # a d/(b c) − 1
        beside = product_difference(
            np.ldexp(a, shapes), np.ldexp(d, rates), np.ldexp(b, rates), np.ldexp(c, shapes)
        )
        step = t * (c - a)
        ends = np.where(t == 1, c, a + step), np.where(t == 1, d, b + t * (d - b))
        more = t * (beside / b_c) * (c / ends[0])
        ratio = ends[1] / b
        means = ends[0] * ratio_excess(a / ends[0], 1 / ratio, more / ratio)
        # c u of an infinite u
        means = np.where(a / ends[0] * ratio == np.inf, a * ratio, means)
        return np.asarray(gamma_beyond_entropy(a, ends[0], step) + means)

    @property
    def natural_parameters(self) -> Floats:
        """(a − 1, −b), for (log x, x)."""
        return np.stack(np.broadcast_arrays(self.shape - 1, -self.rate), axis=-1)

    def _log_partition(self, eta: Floats) -> Floats:
        shape, rate = eta[..., 0] + 1, -eta[..., 1]
        return np.asarray(from_special("gammaln")(shape) - shape * np.log(rate))

    def _gradient(self, eta: Floats) -> Floats:
        shape, rate = eta[..., 0] + 1, -eta[..., 1]
        return np.stack([from_special("psi")(shape) - np.log(rate), shape / rate], axis=-1)

    def _of_natural(self, eta: Floats) -> Self:
        shape, rate = eta[..., 0] + 1, -eta[..., 1]
        wrong = (shape <= 0) | (rate <= 0)
        return self.unchecked(*(np.where(wrong, np.nan, x) for x in (shape, rate)))

    def mean_power(self, k: Any) -> Floats:
        log_gamma = from_special("gammaln")
        logs = log_gamma(self.shape + k) - log_gamma(self.shape) - k * np.log(self.rate)
        return np.asarray(np.where(self.shape + k > 0, np.exp(logs), np.inf))

    def mean_identity(self) -> Floats:
        return np.asarray(self.shape / self.rate)

    def mean_beside(self, m: Floats) -> Floats:
        whole = product_difference(self.shape, np.ones(()), self.rate, m)
        return np.asarray(whole / self.rate)

    def mean_variance(self) -> Floats:
        return np.asarray(self.shape / self.rate / self.rate)

    def mean_negentropy(self) -> Floats:
        a, log_gamma, psi = self.shape, from_special("gammaln"), from_special("psi")
        direct = (np.log(2 * math.pi * a) + 1) / 2 - (a + log_gamma(a) + (1 - a) * psi(a))
        value, slope = binet(a)
        # By log Γ(a) = (a − ½) log a − a + ½ log 2π + 1/(12a) + rest
        far = 1 / (3 * a) - 1 / (12 * a * a) - value - (1 / a - 1) * slope
        far = far + 1 / (6 * a * a)
        return np.asarray(np.where(a < SERIES, direct, far))

    def mean_log(self) -> Floats:
        return np.asarray(from_special("psi")(self.shape) - np.log(self.rate))

    def mean_log_square(self, m: Floats) -> Floats:
        return np.asarray(from_special("polygamma")(1, self.shape) + (self.mean_log() - m) ** 2)

    def mean_exponential(self, t: Floats) -> Floats:
        inside = t < self.rate
        logs = -self.shape * np.log1p(-np.where(inside, t, 0.0) / self.rate)
        return np.asarray(np.where(inside, np.exp(logs), np.inf))

    def mean_log_density(self, of: Family) -> Floats:
        constant = self.shape * np.log(self.rate) - from_special("gammaln")(self.shape)
        of_log = (self.shape - 1) * of.expectation("log")
        return np.asarray(constant + of_log - self.rate * of.expectation("identity"))

    def _log_density(self, x: Floats) -> Floats:
        constant = self.shape * np.log(self.rate) - from_special("gammaln")(self.shape)
        return np.asarray(constant + times_log(self.shape - 1, x) - self.rate * x)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.gamma(self.shape, 1 / self.rate, size)


@dataclass(frozen=True, eq=False)
class Exponential(Positive, ExponentialFamily):
    """Exponential: density λ e^(−λx).

    Parameters
    ----------
    rate : array_like
        λ.
    """

    rate: Any
    domains: ClassVar[dict[str, str]] = {"rate": "positive"}

    def divergence_from(self, other: "Exponential") -> Floats:
        return ratio_excess(other.rate, self.rate)

    def divergence_towards(self, other: "Exponential", t: Floats) -> Floats:
        return excess(t * ((other.rate - self.rate) / self.rate))

    @property
    def natural_parameters(self) -> Floats:
        """−λ, for x."""
        return np.asarray(-self.rate)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(-np.log(-eta[..., 0]))

    def _gradient(self, eta: Floats) -> Floats:
        return -1 / eta

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(np.where(eta[..., 0] < 0, -eta[..., 0], np.nan))

    def as_gamma(self) -> Gamma:
        """Return the same distribution as a Gamma."""
        return Gamma.unchecked(np.ones(()), self.rate)

    def as_weibull(self) -> "Weibull":
        """Return the same distribution as a Weibull."""
        return Weibull.unchecked(np.ones(()), 1 / self.rate)

    def expectation(self, statistic: str, *arguments: Any) -> Floats:
        return self.as_gamma().expectation(statistic, *arguments)

    def mean_log_density(self, of: Family) -> Floats:
        return np.asarray(np.log(self.rate) - self.rate * of.expectation("identity"))

    def mean_negentropy(self) -> Floats:
        return np.full(np.shape(self.rate), (LOG_2PI - 1) / 2)

    def _log_density(self, x: Floats) -> Floats:
        return np.asarray(np.log(self.rate) - self.rate * x)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.exponential(1 / self.rate, size)


@dataclass(frozen=True, eq=False)
class InverseGamma(Positive, ExponentialFamily):
    """Inverse gamma: 1/x is gamma; density ∝ x^(−a−1) e^(−s/x).

    Parameters
    ----------
    shape, scale : array_like
        a and s.
    """

    shape: Any
    scale: Any
    domains: ClassVar[dict[str, str]] = {"shape": "positive", "scale": "positive"}

    def inverse(self) -> Gamma:
        """Return the distribution of 1/x."""
        return Gamma.unchecked(self.shape, self.scale)

    def divergence_from(self, other: "InverseGamma") -> Floats:
        return self.inverse().divergence_from(other.inverse())

    def divergence_towards(self, other: "InverseGamma", t: Floats) -> Floats:
        return self.inverse().divergence_towards(other.inverse(), t)

    @property
    def natural_parameters(self) -> Floats:
        """(−a − 1, −s), for (log x, 1/x)."""
        return np.stack(np.broadcast_arrays(-self.shape - 1, -self.scale), axis=-1)

    def _gamma_eta(self, eta: Floats) -> Floats:
        return np.stack([-eta[..., 0] - 2, eta[..., 1]], axis=-1)

    def _log_partition(self, eta: Floats) -> Floats:
        return self.inverse().log_partition(self._gamma_eta(eta))

    def _gradient(self, eta: Floats) -> Floats:
        return self.inverse().log_partition_gradient(self._gamma_eta(eta)) * [-1.0, 1.0]

    def _of_natural(self, eta: Floats) -> Self:
        made = self.inverse().with_natural_parameters(self._gamma_eta(eta))
        return self.unchecked(made.shape, made.rate)

    def mean_power(self, k: Any) -> Floats:
        return self.inverse().mean_power(-k)

    def mean_variance(self) -> Floats:
        a, s = self.shape, self.scale
        return np.asarray(np.where(a > 2, (s / (a - 1)) ** 2 / (a - 2), np.inf))

    def mean_log(self) -> Floats:
        return -self.inverse().mean_log()

    def mean_log_square(self, m: Floats) -> Floats:
        return self.inverse().mean_log_square(-m)

    def mean_log_density(self, of: Family) -> Floats:
        constant = self.shape * np.log(self.scale) - from_special("gammaln")(self.shape)
        of_log = (self.shape + 1) * of.expectation("log")
        return np.asarray(constant - of_log - self.scale * of.expectation("power", -1.0))

    def _log_density(self, x: Floats) -> Floats:
        return np.asarray(self.inverse()._log_density(1 / x) - 2 * np.log(x))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return 1 / self.inverse().sample(rng, size)


@dataclass(frozen=True, eq=False)
class Chi(Positive, ExponentialFamily):
    """Chi: the length of a standard normal vector.

    Parameters
    ----------
    df : array_like
        Degrees of freedom, any positive number.
    """

    df: Any
    domains: ClassVar[dict[str, str]] = {"df": "positive"}

    def divergence_from(self, other: "Chi") -> Floats:
        return gamma_bregman(self.df / 2, other.df / 2)

    def divergence_towards(self, other: "Chi", t: Floats) -> Floats:
        half, step = self.df / 2, t * (other.df - self.df) / 2
        return gamma_bregman(half, half + step, step)

    @property
    def natural_parameters(self) -> Floats:
        """ν − 1, for log x."""
        return np.asarray(self.df - 1)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        half = (eta[..., 0] + 1) / 2
        return np.asarray((half - 1) * math.log(2) + from_special("gammaln")(half))

    def _gradient(self, eta: Floats) -> Floats:
        return np.asarray((math.log(2) + from_special("psi")((eta + 1) / 2)) / 2)

    def _of_natural(self, eta: Floats) -> Self:
        df = eta[..., 0] + 1
        return self.unchecked(np.where(df > 0, df, np.nan))

    def _half_square(self) -> Gamma:
        return Gamma.unchecked(self.df / 2, np.ones(()))

    def mean_power(self, k: Any) -> Floats:
        return np.asarray(2 ** (k / 2) * self._half_square().mean_power(k / 2))

    def mean_variance(self) -> Floats:
        # E x²/(E x)² is e^ of both Bregman divergences of log Γ.
        middle, half = (self.df + 1) / 2, self.df / 2
        up = gamma_bregman(middle, middle + 0.5, np.full((), 0.5))
        spread = up + gamma_bregman(middle, half, np.full((), -0.5))
        return np.asarray(-self.df * np.expm1(-spread))

    def mean_log(self) -> Floats:
        return (math.log(2) + self._half_square().mean_log()) / 2

    def mean_log_square(self, m: Floats) -> Floats:
        return self._half_square().mean_log_square(2 * m - math.log(2)) / 4

    def mean_log_density(self, of: Family) -> Floats:
        constant = (1 - self.df / 2) * math.log(2) - from_special("gammaln")(self.df / 2)
        of_log = (self.df - 1) * of.expectation("log")
        return np.asarray(constant + of_log - of.expectation("power", 2.0) / 2)

    def _log_density(self, x: Floats) -> Floats:
        constant = (1 - self.df / 2) * math.log(2) - from_special("gammaln")(self.df / 2)
        return np.asarray(constant + times_log(self.df - 1, x) - x * x / 2)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.sqrt(rng.chisquare(self.df, size))


@dataclass(frozen=True, eq=False)
class Weibull(Positive, ExponentialFamily):
    """Weibull: (x/λ)^c is exponential. An exponential family for one shape c.

    Parameters
    ----------
    shape, scale : array_like
        c and λ.
    """

    shape: Any
    scale: Any
    domains: ClassVar[dict[str, str]] = {"shape": "positive", "scale": "positive"}
    nuisance: ClassVar[tuple[str, ...]] = ("shape",)

    def divergence_from(self, other: "Weibull") -> Floats:
        # −log x is Gumbel's, with the location −log λ and the scale 1/c.
        apart = log_ratio(other.scale, self.scale)
        beside = (other.shape - self.shape) / self.shape
        return gumbel_divergence(other.shape / self.shape, beside, other.shape * apart)

    def divergence_towards(self, other: "Weibull", t: Floats) -> Floats:
        return excess(t * np.expm1(self.shape * log_ratio(self.scale, other.scale)))

    @property
    def natural_parameters(self) -> Floats:
        """−λ^(−c), for x^c."""
        return np.asarray(-(self.scale**-self.shape))[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(-np.log(-eta[..., 0]))

    def _gradient(self, eta: Floats) -> Floats:
        return -1 / eta

    def _of_natural(self, eta: Floats) -> Self:
        # Powers of negative numbers may be positive.
        size = np.where(eta[..., 0] < 0, -eta[..., 0], np.nan)
        return self.unchecked(self.shape, size ** (-1 / self.shape))

    def mean_power(self, k: Any) -> Floats:
        order = 1 + k / self.shape
        found = self.scale**k * np.exp(from_special("gammaln")(order))
        return np.asarray(np.where(order > 0, found, np.inf))

    def mean_variance(self) -> Floats:
        step = 1 / self.shape
        spread = gamma_bregman(1 + step, 1 + 2 * step, step)
        spread = spread + gamma_bregman(1 + step, np.ones(()), -step)
        return np.asarray(self.mean_power(1.0) ** 2 * np.expm1(spread))

    def mean_log(self) -> Floats:
        return np.asarray(np.log(self.scale) - np.euler_gamma / self.shape)

    def mean_log_square(self, m: Floats) -> Floats:
        return np.asarray(math.pi**2 / (6 * self.shape**2) + (self.mean_log() - m) ** 2)

    def mean_log_density(self, of: Family) -> Floats:
        constant = np.log(self.shape) - self.shape * np.log(self.scale)
        of_log = (self.shape - 1) * of.expectation("log")
        power = of.expectation("power", self.shape) / self.scale**self.shape
        return np.asarray(constant + of_log - power)

    def _log_density(self, x: Floats) -> Floats:
        z = x / self.scale
        constant = np.log(self.shape / self.scale)
        return np.asarray(constant + times_log(self.shape - 1, z) - z**self.shape)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(self.scale * rng.weibull(self.shape, size))


@dataclass(frozen=True, eq=False)
class Pareto(Positive, ExponentialFamily):
    """Pareto: density a mᵃ x^(−a−1) from m on. An exponential family for one m.

    Parameters
    ----------
    minimum, shape : array_like
        m and a.
    """

    minimum: Any
    shape: Any
    domains: ClassVar[dict[str, str]] = {"minimum": "positive", "shape": "positive"}
    nuisance: ClassVar[tuple[str, ...]] = ("minimum",)

    def divergence_from(self, other: "Pareto") -> Floats:
        inside = other.shape * log_ratio(self.minimum, other.minimum)
        found = inside + ratio_excess(other.shape, self.shape)
        return np.where(self.minimum < other.minimum, np.inf, found)

    def divergence_towards(self, other: "Pareto", t: Floats) -> Floats:
        return excess(t * ((other.shape - self.shape) / self.shape))

    @property
    def support(self) -> tuple[Floats, Floats]:
        """From the minimum on."""
        return self.minimum, np.full((), np.inf)

    @property
    def natural_parameters(self) -> Floats:
        """−a − 1, for log x."""
        return np.asarray(-self.shape - 1)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        shape = -eta[..., 0] - 1
        return np.asarray(-np.log(shape) - shape * np.log(self.minimum))

    def _gradient(self, eta: Floats) -> Floats:
        return np.asarray(-1 / (eta + 1) + np.log(self.minimum)[..., None])

    def _of_natural(self, eta: Floats) -> Self:
        shape = -eta[..., 0] - 1
        return self.unchecked(self.minimum, np.where(shape > 0, shape, np.nan))

    def mean_power(self, k: Any) -> Floats:
        found = self.shape * self.minimum**k / (self.shape - k)
        return np.asarray(np.where(self.shape > k, found, np.inf))

    def mean_variance(self) -> Floats:
        a = self.shape
        found = (self.minimum / (a - 1)) ** 2 * (a / (a - 2))
        return np.asarray(np.where(a > 2, found, np.inf))

    def mean_log(self) -> Floats:
        return np.asarray(np.log(self.minimum) + 1 / self.shape)

    def mean_log_square(self, m: Floats) -> Floats:
        return np.asarray(self.shape**-2.0 + (self.mean_log() - m) ** 2)

    def mean_log_density(self, of: Family) -> Floats:
        constant = np.log(self.shape) + self.shape * np.log(self.minimum)
        return np.asarray(constant - (self.shape + 1) * of.expectation("log"))

    def _log_density(self, x: Floats) -> Floats:
        constant = np.log(self.shape) + self.shape * np.log(self.minimum)
        return np.asarray(constant - (self.shape + 1) * np.log(x))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(self.minimum * (1 + rng.pareto(self.shape, size)))


@dataclass(frozen=True, eq=False)
class LogUniform(Positive):
    """Log-uniform, or reciprocal: density ∝ 1/x between two ends.

    Parameters
    ----------
    low, high : array_like
        The ends; 0 < low < high.
    """

    low: Any
    high: Any
    domains: ClassVar[dict[str, str]] = {"low": "positive", "high": "positive"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.low >= self.high).any():
            raise ValueError("LogUniform: low is not below high")

    def divergence_from(self, other: "LogUniform") -> Floats:
        more = log_ratio(other.high, self.high) + log_ratio(self.low, other.low)
        outside = (self.low < other.low) | (self.high > other.high)
        found = np.log1p(more / log_ratio(self.high, self.low))
        return np.where(outside, np.inf, found)

    @property
    def support(self) -> tuple[Floats, Floats]:
        """The two ends."""
        return self.low, self.high

    def mean_power(self, k: Any) -> Floats:
        width = log_ratio(self.high, self.low)
        return np.asarray(self.low**k * np.expm1(k * width) / (k * width))

    def mean_variance(self) -> Floats:
        # E x²/(E x)² is (w/2) coth(w/2) of the width w of log x.
        width = log_ratio(self.high, self.low)
        return np.asarray(self.mean_power(1.0) ** 2 * width * log_sinh_slope(width))

    def mean_log(self) -> Floats:
        return np.asarray((np.log(self.low) + np.log(self.high)) / 2)

    def mean_log_square(self, m: Floats) -> Floats:
        width = log_ratio(self.high, self.low)
        return np.asarray(width**2 / 12 + (self.mean_log() - m) ** 2)

    def mean_log_density(self, of: Family) -> Floats:
        return np.asarray(-np.log(log_ratio(self.high, self.low)) - of.expectation("log"))

    def _log_density(self, x: Floats) -> Floats:
        return np.asarray(-np.log(log_ratio(self.high, self.low)) - np.log(x))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(np.exp(rng.uniform(np.log(self.low), np.log(self.high), size)))


class UnitInterval(Positive):
    """What is between 0 and 1."""

    @property
    def support(self) -> tuple[Floats, Floats]:
        """0 and 1."""
        return np.zeros(()), np.ones(())


@dataclass(frozen=True, eq=False)
class Beta(UnitInterval, ExponentialFamily):
    """Beta: density ∝ x^(a−1) (1 − x)^(b−1).

    Parameters
    ----------
    a, b : array_like
    """

    a: Any
    b: Any
    domains: ClassVar[dict[str, str]] = {"a": "positive", "b": "positive"}

    def divergence_from(self, other: "Beta") -> Floats:
        return self.divergence_towards(other, np.ones(()))

    def divergence_towards(self, other: "Beta", t: Floats) -> Floats:
        pairs = [np.stack(np.broadcast_arrays(x.a, x.b), axis=-1) for x in (self, other)]
        p, q = (Dirichlet.unchecked(x) for x in pairs)
        return p.divergence_towards(q, t)

    @property
    def natural_parameters(self) -> Floats:
        """(a, b), for (log x, log(1 − x)), with h = 1/(x(1 − x))."""
        return np.stack(np.broadcast_arrays(self.a, self.b), axis=-1)

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(from_special("betaln")(eta[..., 0], eta[..., 1]))

    def _gradient(self, eta: Floats) -> Floats:
        return mean_logs(eta)

    def _of_natural(self, eta: Floats) -> Self:
        eta = np.where((eta > 0).all(axis=-1, keepdims=True), eta, np.nan)
        return self.unchecked(eta[..., 0], eta[..., 1])

    def mean_power(self, k: Any) -> Floats:
        log_beta = from_special("betaln")
        found = np.exp(log_beta(self.a + k, self.b) - log_beta(self.a, self.b))
        return np.asarray(np.where(self.a + k > 0, found, np.inf))

    def mean_identity(self) -> Floats:
        return np.asarray(self.a / (self.a + self.b))

    def mean_beside(self, m: Floats) -> Floats:
        return np.asarray(product_difference(self.a, 1 - m, m, self.b) / (self.a + self.b))

    def mean_variance(self) -> Floats:
        whole = self.a + self.b
        return np.asarray(self.a / whole * (self.b / whole) / (whole + 1))

    def mean_negentropy(self) -> Floats:
        a, b, s = self.a, self.b, self.a + self.b
        direct = (np.log(2 * math.pi * self.mean_variance()) + 1) / 2 + self.mean_log_density(self)
        # As Gamma's; what is of the order 1/a is (a − b)²/(3abs).
        apart = (a - b) / s
        found = apart * (apart * s) / (3 * a * b) + excess(1 / s) / 2
        found = found + (1 / (a * a) + 1 / (b * b) - 2 / (s * s)) / 12
        for x, sign, less in ((a, 1, 1), (b, 1, 1), (s, -1, 2)):
            value, slope = binet(x)
            found = found - sign * (value - (1 - less / x) * slope)
        return np.asarray(np.where(np.minimum(a, b) < SERIES, direct, found))

    def mean_log(self) -> Floats:
        psi = from_special("psi")
        return np.asarray(psi(self.a) - psi(self.a + self.b))

    def mean_log_square(self, m: Floats) -> Floats:
        trigamma = from_special("polygamma")
        spread = trigamma(1, self.a) - trigamma(1, self.a + self.b)
        return np.asarray(spread + (self.mean_log() - m) ** 2)

    def mean_log_of_rest(self) -> Floats:
        """E log(1 − x)."""
        return Beta.unchecked(self.b, self.a).mean_log()

    def mean_log_density(self, of: Family) -> Floats:
        logs = (self.a - 1) * of.expectation("log")
        logs = logs + (self.b - 1) * of.expectation("log_of_rest")
        return np.asarray(logs - from_special("betaln")(self.a, self.b))

    def _log_density(self, x: Floats) -> Floats:
        logs = times_log(self.a - 1, x) + times_log(self.b - 1, 1 - x)
        return np.asarray(logs - from_special("betaln")(self.a, self.b))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.beta(self.a, self.b, size)


@dataclass(frozen=True, eq=False)
class ContinuousBernoulli(UnitInterval, ExponentialFamily):
    """Continuous Bernoulli: density ∝ pˣ (1 − p)^(1−x) on [0, 1].

    Parameters
    ----------
    p : array_like
        In (0, 1); 1/2 is the uniform distribution.
    """

    p: Any
    domains: ClassVar[dict[str, str]] = {"p": "inside"}

    def divergence_from(self, other: "ContinuousBernoulli") -> Floats:
        return self.divergence_towards(other, np.ones(()))

    def divergence_towards(self, other: "ContinuousBernoulli", t: Floats) -> Floats:
        d = other.p - self.p
        apart = log_ratio(other.p, self.p, d) - log_ratio(1 - other.p, 1 - self.p, -d)
        return sinh_bregman(self.natural_parameters[..., 0], t * apart)

    @property
    def natural_parameters(self) -> Floats:
        """log(p/(1 − p)), for x."""
        return logit(self.p)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        eta = eta[..., 0]
        size = np.abs(eta)
        found = np.log(-np.expm1(-size) / np.where(size > 0, size, 1.0))
        return np.asarray(np.where(size > 0, found, 0.0) + np.maximum(eta, 0.0))

    def _gradient(self, eta: Floats) -> Floats:
        near = np.abs(eta) < 1e-3
        inside = np.where(near, 1.0, eta)
        return np.where(near, 0.5 + eta / 12 - eta**3 / 720, -1 / np.expm1(-inside) - 1 / inside)

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(logistic(eta[..., 0]))

    def mean_power(self, k: Any) -> Floats:
        raise Missing

    def mean_identity(self) -> Floats:
        return np.asarray(self.log_partition_gradient()[..., 0])

    def mean_variance(self) -> Floats:
        return sinh_curvature(self.natural_parameters[..., 0])

    def mean_log_density(self, of: Family) -> Floats:
        eta = self.natural_parameters
        return np.asarray(eta[..., 0] * of.expectation("identity") - self.log_partition(eta))

    def _log_density(self, x: Floats) -> Floats:
        eta = self.natural_parameters
        return np.asarray(eta[..., 0] * x - self.log_partition(eta))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        eta, u = self.natural_parameters[..., 0], rng.random(size)
        flat = np.abs(eta) < 1e-12
        inside = np.where(flat, 1.0, eta)
        return np.where(flat, u, np.log1p(u * np.expm1(inside)) / inside)
