"""Families on the whole line, and on the circle.

Their expectations: ``identity`` (E x), ``square`` (E (x − m)²), ``distance`` (E |x − m|) and
``exponential`` (E e^{tx}).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdiv.families.base import ExponentialFamily, Family, Floats, Missing
from fastdiv.families.positive import OfNormal, gumbel_divergence
from fastdiv.families.special import (
    bessel_bregman,
    bessel_ratio,
    excess,
    exp_beyond_line,
    from_special,
    ratio_excess,
    scaled_log_bessel,
)
from fastdiv.gaussians import LOG_2PI, normal_kl

__all__ = ["Cauchy", "Gumbel", "Laplace", "Normal", "VonMises"]


class Real(Family):
    """What is on the whole line."""

    @property
    def support(self) -> tuple[Floats, Floats]:
        """All numbers."""
        return np.full((), -np.inf), np.full((), np.inf)


@dataclass(frozen=True, eq=False)
class Normal(Real, OfNormal):
    """Normal, of one variable.

    Parameters
    ----------
    mu, sigma : array_like
        Mean and standard deviation.
    """

    def mean_identity(self) -> Floats:
        return np.asarray(self.mu)

    def mean_square(self, m: Floats) -> Floats:
        return np.asarray(self.sigma**2 + (self.mu - m) ** 2)

    def divergence_of(self, p: Family) -> Floats:
        # By the normal distribution of P's mean and variance: what P is beside it, and that to Q.
        try:
            beside, spread = p.expectation("beside", self.mu), p.expectation("variance")
            shape = p.expectation("negentropy")
        except Missing:
            return super().divergence_of(p)
        return np.asarray(shape + normal_kl(beside, np.sqrt(spread), 0.0, self.sigma))

    def mean_distance(self, m: Floats) -> Floats:
        z = (self.mu - m) / self.sigma
        middle = math.sqrt(2 / math.pi) * np.exp(-z * z / 2)
        return np.asarray(self.sigma * (middle + z * from_special("erf")(z / math.sqrt(2))))

    def mean_exponential(self, t: Floats) -> Floats:
        return np.asarray(np.exp(t * self.mu + (t * self.sigma) ** 2 / 2))

    def mean_log_density(self, of: Family) -> Floats:
        return self._of_square(of.expectation("square", self.mu) / self.sigma**2)

    def _log_density(self, x: Floats) -> Floats:
        return self._of_square(((x - self.mu) / self.sigma) ** 2)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.normal(self.mu, self.sigma, size)


@dataclass(frozen=True, eq=False)
class Laplace(Real, ExponentialFamily):
    """Laplace: density ∝ e^(−|x − μ|/b). An exponential family for one μ.

    Parameters
    ----------
    mu, scale : array_like
        μ and b.
    """

    mu: Any
    scale: Any
    domains: ClassVar[dict[str, str]] = {"mu": "real", "scale": "positive"}
    nuisance: ClassVar[tuple[str, ...]] = ("mu",)

    def divergence_from(self, other: "Laplace") -> Floats:
        z = np.abs(self.mu - other.mu) / self.scale
        apart = np.abs(self.mu - other.mu) / other.scale
        ratio = self.scale / other.scale
        found = np.where(z < 1, ratio * exp_beyond_line(-z), apart + ratio * np.expm1(-z))
        return np.asarray(found + ratio_excess(self.scale, other.scale))

    def divergence_towards(self, other: "Laplace", t: Floats) -> Floats:
        return excess(t * ((self.scale - other.scale) / other.scale))

    @property
    def natural_parameters(self) -> Floats:
        """−1/b, for |x − μ|."""
        return np.asarray(-1 / self.scale)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(np.log(-2 / eta[..., 0]))

    def _gradient(self, eta: Floats) -> Floats:
        return -1 / eta

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(self.mu, np.where(eta[..., 0] < 0, -1 / eta[..., 0], np.nan))

    def mean_identity(self) -> Floats:
        return np.asarray(self.mu)

    def mean_beside(self, m: Floats) -> Floats:
        return np.asarray(self.mu - m)

    def mean_variance(self) -> Floats:
        return np.asarray(2 * self.scale**2)

    def mean_square(self, m: Floats) -> Floats:
        return self.mean_variance() + self.mean_beside(m) ** 2

    def mean_negentropy(self) -> Floats:
        return np.full(np.shape(self.scale), (math.log(math.pi) - 1) / 2)

    def mean_distance(self, m: Floats) -> Floats:
        apart = np.abs(self.mu - m)
        return np.asarray(apart + self.scale * np.exp(-apart / self.scale))

    def mean_exponential(self, t: Floats) -> Floats:
        square = (t * self.scale) ** 2
        inside = square < 1
        found = np.exp(t * self.mu) / (1 - np.where(inside, square, 0.0))
        return np.asarray(np.where(inside, found, np.inf))

    def mean_log_density(self, of: Family) -> Floats:
        return np.asarray(
            -np.log(2 * self.scale) - of.expectation("distance", self.mu) / self.scale
        )

    def _log_density(self, x: Floats) -> Floats:
        z = np.abs(x - self.mu) / self.scale
        return np.asarray(-np.log(2 * self.scale) - z)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.laplace(self.mu, self.scale, size)


@dataclass(frozen=True, eq=False)
class Cauchy(Real):
    """Cauchy; the divergence is the same in both directions.

    Parameters
    ----------
    mu, scale : array_like
        Median and half the interquartile range.

    References
    ----------
    .. [1] F. Chyzak and F. Nielsen, "A closed-form formula for the Kullback-Leibler divergence
       between Cauchy distributions", arXiv:1905.10965 (2019).
    """

    mu: Any
    scale: Any
    domains: ClassVar[dict[str, str]] = {"mu": "real", "scale": "positive"}

    def divergence_from(self, other: "Cauchy") -> Floats:
        wider, moved = self.scale - other.scale, self.mu - other.mu
        # Neither a square nor the product of the scales may leave the range of doubles.
        squares = wider / self.scale * (wider / other.scale)
        whole = squares + moved / self.scale * (moved / other.scale)
        # ((b + c)² + (m − n)²)/(4 b c), of which ratios may leave the range, its logarithm never.
        length = np.hypot(self.scale / 2 + other.scale / 2, self.mu / 2 - other.mu / 2)
        far = 2 * np.log(length) - np.log(self.scale) - np.log(other.scale)
        return np.asarray(np.where(np.isfinite(whole), np.log1p(whole / 4), far))

    def mean_log_density(self, of: Family) -> Floats:
        if not isinstance(of, Cauchy):
            raise Missing
        # log(π((γ + γ')² + δ²)/γ'), of halves, which stay in the range of doubles.
        length = np.hypot(self.scale / 2 + of.scale / 2, self.mu / 2 - of.mu / 2)
        return np.asarray(np.log(self.scale) - 2 * np.log(length) - math.log(4 * math.pi))

    def _log_density(self, x: Floats) -> Floats:
        z = (x - self.mu) / self.scale
        return np.asarray(-np.log(math.pi * self.scale) - np.log1p(z * z))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(self.mu + self.scale * rng.standard_cauchy(size))


@dataclass(frozen=True, eq=False)
class Gumbel(Real):
    """Gumbel, of largest values: density ∝ e^(−z − e^(−z)), z = (x − μ)/β.

    Parameters
    ----------
    mu, scale : array_like
        μ and β.
    """

    mu: Any
    scale: Any
    domains: ClassVar[dict[str, str]] = {"mu": "real", "scale": "positive"}

    def divergence_from(self, other: "Gumbel") -> Floats:
        beside = (self.scale - other.scale) / other.scale
        d = (self.mu - other.mu) / other.scale
        return gumbel_divergence(self.scale / other.scale, beside, d)

    def mean_identity(self) -> Floats:
        return np.asarray(self.mu + np.euler_gamma * self.scale)

    def mean_beside(self, m: Floats) -> Floats:
        return np.asarray((self.mu - m) + np.euler_gamma * self.scale)

    def mean_variance(self) -> Floats:
        return np.asarray((math.pi * self.scale) ** 2 / 6)

    def mean_square(self, m: Floats) -> Floats:
        return self.mean_variance() + self.mean_beside(m) ** 2

    def mean_negentropy(self) -> Floats:
        shape = 0.5 * (LOG_2PI + math.log(math.pi**2 / 6) - 1) - np.euler_gamma
        return np.full(np.shape(self.scale), shape)

    def mean_exponential(self, t: Floats) -> Floats:
        order = 1 - self.scale * t
        found = np.exp(t * self.mu + from_special("gammaln")(order))
        return np.asarray(np.where(order > 0, found, np.inf))

    def mean_log_density(self, of: Family) -> Floats:
        z = (of.expectation("identity") - self.mu) / self.scale
        power = of.expectation("exponential", -1 / self.scale) * np.exp(self.mu / self.scale)
        return np.asarray(-np.log(self.scale) - z - power)

    def _log_density(self, x: Floats) -> Floats:
        z = (x - self.mu) / self.scale
        return np.asarray(-np.log(self.scale) - z - np.exp(-z))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.gumbel(self.mu, self.scale, size)


@dataclass(frozen=True, eq=False)
class VonMises(ExponentialFamily):
    """Von Mises, on the circle: density ∝ e^(κ cos(x − μ)).

    Parameters
    ----------
    mu, kappa : array_like
        Mean direction in radians, and concentration; 0 is the uniform distribution.
    """

    mu: Any
    kappa: Any
    domains: ClassVar[dict[str, str]] = {"mu": "real", "kappa": "nonnegative"}
    periodic: ClassVar[bool] = True

    def divergence_from(self, other: "VonMises") -> Floats:
        turned = 2 * np.sin((self.mu - other.mu) / 2) ** 2
        along = bessel_ratio(self.kappa) * other.kappa * turned
        return np.asarray(bessel_bregman(self.kappa, other.kappa) + along)

    def divergence_towards(self, other: "VonMises", t: Floats) -> Floats:
        # In the direction of P's mean, and across it.
        apart = other.mu - self.mu
        along = t * ((other.kappa - self.kappa) - 2 * other.kappa * np.sin(apart / 2) ** 2)
        across = t * other.kappa * np.sin(apart)
        kappa = np.hypot(self.kappa + along, across)
        beyond = across * (across / (kappa + np.abs(self.kappa + along)))
        # κ − κ cos of the angle, which beyond a right one is no small number
        rest = np.where(self.kappa + along > 0, beyond, kappa - (self.kappa + along))
        rest = np.where(kappa == 0, 0.0, rest)
        bregman = bessel_bregman(self.kappa, kappa, along + rest)
        return np.asarray(bregman + bessel_ratio(self.kappa) * rest)

    @property
    def support(self) -> tuple[Floats, Floats]:
        """Once around the mean direction."""
        return self.mu - math.pi, self.mu + math.pi

    @property
    def natural_parameters(self) -> Floats:
        """κ (cos μ, sin μ), for (cos x, sin x)."""
        return np.stack([self.kappa * np.cos(self.mu), self.kappa * np.sin(self.mu)], axis=-1)

    def _log_partition(self, eta: Floats) -> Floats:
        kappa = np.hypot(eta[..., 0], eta[..., 1])
        return np.asarray(LOG_2PI + kappa + scaled_log_bessel(kappa))

    def _gradient(self, eta: Floats) -> Floats:
        kappa = np.hypot(eta[..., 0], eta[..., 1])
        length = np.where(kappa > 0, bessel_ratio(kappa) / kappa, 0.5)
        return np.asarray(length[..., None] * eta)

    def _of_natural(self, eta: Floats) -> Self:
        first, second = eta[..., 0], eta[..., 1]
        return self.unchecked(np.arctan2(second, first), np.hypot(first, second))

    def mean_cosine(self, m: Floats) -> Floats:
        """E cos(x − m)."""
        return np.asarray(bessel_ratio(self.kappa) * np.cos(self.mu - m))

    def mean_log_density(self, of: Family) -> Floats:
        constant = LOG_2PI + self.kappa + scaled_log_bessel(self.kappa)
        return np.asarray(self.kappa * of.expectation("cosine", self.mu) - constant)

    def _log_density(self, x: Floats) -> Floats:
        turned = 2 * np.sin((x - self.mu) / 2) ** 2
        return np.asarray(-self.kappa * turned - LOG_2PI - scaled_log_bessel(self.kappa))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.vonmises(self.mu, self.kappa, size)
