"""Families of vectors and of matrices."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastdiv.evaluation import row_name
from fastdiv.families.base import ExponentialFamily, Family, Floats, Missing
from fastdiv.families.special import (
    Pair,
    Parts,
    beta_bregman,
    excess,
    from_special,
    multivariate_gamma_rest,
    sum_with_rest,
    times_log,
)
from fastdiv.gaussians import (
    LOG_2PI,
    definiteness,
    gaussian_log_density,
    kl_of_named,
    mirrored,
    renyi_of_named,
)

__all__ = ["Dirichlet", "MultivariateNormal", "Wishart"]


_NAMES = ("mean of p", "cov of p", "mean of q", "cov of q")


@dataclass(frozen=True, eq=False)
class MultivariateNormal(ExponentialFamily):
    """Normal, of a vector; :func:`fastdiv.gaussian_kl` also takes diagonals and factors.

    Parameters
    ----------
    mean : array_like, shape (…, k)
    cov : array_like, shape (…, k, k)
        Covariance, positive semi-definite; its lower triangle is read.
    """

    mean: Any
    cov: Any
    domains: ClassVar[dict[str, str]] = {"mean": "real", "cov": "real"}
    axes: ClassVar[dict[str, int]] = {"mean": 1, "cov": 2}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean.shape[-1] != self.cov.shape[-1]:
            raise ValueError(
                f"MultivariateNormal: mean has {self.mean.shape[-1]} coordinates, cov"
                f" {self.cov.shape[-1]}"
            )
        _semidefinite("MultivariateNormal: cov", self.cov)

    def divergence_from(self, other: "MultivariateNormal") -> Floats:
        given = self.mean, self.cov, other.mean, other.cov
        return np.asarray(kl_of_named("MultivariateNormal", _NAMES, given, "full", False))

    def renyi_from(self, other: "MultivariateNormal", order: Floats) -> Floats:
        given = self.mean, self.cov, other.mean, other.cov
        return np.asarray(renyi_of_named("MultivariateNormal", _NAMES, given, order))

    @property
    def natural_parameters(self) -> Floats:
        """(Σ⁻¹μ, −Σ⁻¹/2 row by row), for (x, x xᵀ)."""
        precision = np.linalg.inv(_definite("MultivariateNormal: cov", self.cov))
        first = (precision @ self.mean[..., None])[..., 0]
        second = np.broadcast_to(-precision / 2, (*self.batch_shape, *precision.shape[-2:]))
        return np.concatenate([first, second.reshape(*self.batch_shape, -1)], axis=-1)

    @property
    def _size(self) -> int:
        return int(self.mean.shape[-1])

    @property
    def _dimensions(self) -> int:
        return self._size * (self._size + 1)

    def _parts(self, eta: Floats) -> tuple[Floats, Floats]:
        k = self._size
        return eta[..., :k], eta[..., k:].reshape(*eta.shape[:-1], k, k)

    def _log_partition(self, eta: Floats) -> Floats:
        first, second = self._parts(eta)
        solved = np.linalg.solve(second, first[..., None])[..., 0]
        logs = np.linalg.slogdet(-2 * second)[1]
        whole = (first * solved).sum(axis=-1)
        return np.asarray(-whole / 4 - logs / 2 + self._size / 2 * LOG_2PI)

    def _gradient(self, eta: Floats) -> Floats:
        made = self._of_natural(eta)
        second = made.cov + made.mean[..., None] * made.mean[..., None, :]
        return np.concatenate([made.mean, second.reshape(*eta.shape[:-1], -1)], axis=-1)

    def _of_natural(self, eta: Floats) -> Self:
        first, second = self._parts(eta)
        cov = np.asarray(np.linalg.inv(-2 * second), np.float64)
        inside = np.asarray((np.linalg.eigvalsh(cov) > 0).all(axis=-1))
        cov = np.where(np.expand_dims(inside, (-2, -1)), cov, np.nan)
        return self.unchecked((cov @ first[..., None])[..., 0], cov)

    def mean_quadratic(self, m: Floats, precision: Floats) -> Floats:
        """E (x − m)ᵀ Λ (x − m)."""
        apart = self.mean - m
        whole = (apart[..., None, :] @ precision @ apart[..., None])[..., 0, 0]
        return np.asarray(np.trace(precision @ mirrored(self.cov), axis1=-2, axis2=-1) + whole)

    def mean_log_density(self, of: Family) -> Floats:
        cov = _definite("MultivariateNormal: cov", self.cov)
        spread = of.expectation("quadratic", self.mean, np.linalg.inv(cov))
        logs = np.linalg.slogdet(cov)[1] + self._size * LOG_2PI
        return np.asarray(-(spread + logs) / 2)

    def _log_density(self, x: Floats) -> Floats:
        cov = _definite("MultivariateNormal: cov", self.cov)
        known = np.isfinite(cov).all(axis=(-2, -1), keepdims=True)
        factor = np.linalg.cholesky(np.where(known, cov, np.eye(self._size)))
        whitening = np.where(known, np.linalg.inv(factor), np.nan)
        return gaussian_log_density(x, self.mean, whitening)[0]

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.multivariate_normal(self.mean, mirrored(self.cov), size)


def mean_logs(alpha: Floats) -> Floats:
    """E log x of a Dirichlet's coordinates."""
    psi = from_special("psi")
    return np.asarray(psi(alpha) - psi(alpha.sum(axis=-1, keepdims=True)))


def _halved(x: Parts) -> tuple[Pair, Parts]:
    """Return every second and the others, and their sums with what there was no other for."""
    even = x[0].shape[-1] // 2 * 2
    (first, first_low), (second, second_low) = ([v[..., i:even:2] for v in x] for i in (0, 1))
    whole, rest = sum_with_rest(first, second)
    rest = rest + (first_low + second_low)
    joined = (
        np.concatenate([v, y[..., even:]], axis=-1) for v, y in zip((whole, rest), x, strict=True)
    )
    return ((first, first_low), (second, second_low)), (next(joined), next(joined))


@dataclass(frozen=True, eq=False)
class Dirichlet(ExponentialFamily):
    """Dirichlet, of rows of probabilities.

    Parameters
    ----------
    alpha : array_like, shape (…, categories)
    """

    alpha: Any
    domains: ClassVar[dict[str, str]] = {"alpha": "positive"}
    axes: ClassVar[dict[str, int]] = {"alpha": 1}

    def divergence_from(self, other: "Dirichlet") -> Floats:
        return self.divergence_towards(other, np.ones(()))

    def divergence_towards(self, other: "Dirichlet", t: Floats) -> Floats:
        # What two coordinates make of their sum is a Beta, which knows nothing of the others.
        alphas = np.broadcast_arrays(self.alpha, other.alpha)
        found = np.zeros(np.broadcast(alphas[0][..., 0], t).shape)
        p, q = ((x, np.zeros(x.shape)) for x in alphas)
        while p[0].shape[-1] > 1:
            (of_p, p), (of_q, q) = _halved(p), _halved(q)
            found = found + beta_bregman(of_p, of_q, t[..., None]).sum(axis=-1)
        return np.asarray(found)

    @property
    def natural_parameters(self) -> Floats:
        """α, for the logarithms, with h the inverse of their product."""
        return np.asarray(self.alpha)

    def _log_partition(self, eta: Floats) -> Floats:
        log_gamma = from_special("gammaln")
        return np.asarray(log_gamma(eta).sum(axis=-1) - log_gamma(eta.sum(axis=-1)))

    def _gradient(self, eta: Floats) -> Floats:
        return mean_logs(eta)

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(np.where((eta > 0).all(axis=-1, keepdims=True), eta, np.nan))

    def mean_logs(self) -> Floats:
        """E log x of each coordinate."""
        return self.log_partition_gradient()

    def mean_log_density(self, of: Family) -> Floats:
        logs = ((self.alpha - 1) * of.expectation("logs")).sum(axis=-1)
        return np.asarray(logs - self.log_partition())

    def _log_density(self, x: Floats) -> Floats:
        logs = times_log(self.alpha - 1, x).sum(axis=-1)
        outside = ((x < 0) | (x > 1)).any(axis=-1)
        return np.where(outside, -np.inf, logs - self.log_partition())

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.dirichlet(self.alpha, size)


@dataclass(frozen=True, eq=False)
class Wishart(ExponentialFamily):
    """Wishart, of positive definite matrices: X Xᵀ of ν normal columns of covariance V.

    Parameters
    ----------
    df : array_like
        ν, above k − 1.
    scale : array_like, shape (…, k, k)
        V; its lower triangle is read.
    """

    df: Any
    scale: Any
    domains: ClassVar[dict[str, str]] = {"df": "positive", "scale": "real"}
    axes: ClassVar[dict[str, int]] = {"scale": 2}

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.df <= self._size - 1).any():
            least = self._size - 1
            raise ValueError(f"Wishart: df has {self.df.min()}; it takes numbers above {least}")
        _semidefinite("Wishart: scale", self.scale)

    @property
    def _size(self) -> int:
        return int(self.scale.shape[-1])

    @property
    def _dimensions(self) -> int:
        return self._size**2 + 1

    def divergence_from(self, other: "Wishart") -> Floats:
        # By the member with Q's degrees of freedom and P's mean, as for Gamma.
        rest = multivariate_gamma_rest(self.df / 2, other.df / 2, self._size)
        return np.asarray(rest + other.df * self._divergence_of_means(other))

    def renyi_from(self, other: "Wishart", order: Floats) -> Floats:
        # A singular scale is where Q has no probability, and has no natural parameters.
        singular = definiteness(self.scale) == 0
        scale = np.where(singular[..., None, None], np.eye(self._size), self.scale)
        found = super(Wishart, self.unchecked(self.df, scale)).renyi_from(other, order)
        known = ~(self.unknown | other.unknown)
        return np.where(singular & known, np.inf, found)

    def _divergence_of_means(self, other: "Wishart") -> Floats:
        """KL of N(0, tV₀) from N(0, V₁), where t is the ratio of the degrees of freedom."""
        none = np.zeros(self._size)
        nu_p, nu_q = (np.asarray(x.df)[..., None, None] for x in (self, other))
        names = ("", "scale of p", "", "scale of q")
        given = none, self.scale * nu_p, none, other.scale * nu_q
        found = np.asarray(kl_of_named("Wishart", names, given, "full", False))
        # A product is rounded, and what tV₀ has beside V₁ with it: near V₁ by eigenvalues of that.
        known = np.isfinite(found)[..., None, None]
        factor = np.linalg.cholesky(np.where(known, mirrored(other.scale), np.eye(self._size)))
        half = np.linalg.solve(factor, np.where(known, mirrored(self.scale - other.scale), 0.0))
        beside = np.linalg.eigvalsh(np.linalg.solve(factor, np.swapaxes(half, -1, -2)))
        t_less_1 = ((self.df - other.df) / other.df)[..., None]
        x = t_less_1 + beside * (1 + t_less_1)
        near = np.asarray(np.abs(x).max(axis=-1) < 0.5) & known[..., 0, 0]
        of_eigenvalues = excess(np.where(near[..., None], x, 0.0)).sum(axis=-1) / 2
        return np.where(near, of_eigenvalues, found)

    @property
    def natural_parameters(self) -> Floats:
        """(−V⁻¹/2 row by row, (ν − k − 1)/2), for (X, log|X|)."""
        batch = self.batch_shape
        precision = np.linalg.inv(_definite("Wishart: scale", self.scale))
        first = np.broadcast_to(-precision / 2, (*batch, *precision.shape[-2:]))
        second = np.broadcast_to((self.df - self._size - 1) / 2, batch)
        return np.concatenate([first.reshape(*batch, -1), second[..., None]], axis=-1)

    def _parts(self, eta: Floats) -> tuple[Floats, Floats]:
        k = self._size
        return eta[..., :-1].reshape(*eta.shape[:-1], k, k), eta[..., -1] + (k + 1) / 2

    def _log_partition(self, eta: Floats) -> Floats:
        matrix, half = self._parts(eta)
        k = self._size
        logs = k * math.log(2) - np.linalg.slogdet(-2 * matrix)[1]
        return np.asarray(half * logs + _log_gamma(half, k))

    def _gradient(self, eta: Floats) -> Floats:
        matrix, half = self._parts(eta)
        k = self._size
        scale = np.linalg.inv(-2 * matrix)
        first = 2 * half[..., None, None] * scale
        psi = from_special("psi")
        second = k * math.log(2) + np.linalg.slogdet(scale)[1]
        second = second + sum(psi(half - j / 2) for j in range(k))
        return np.concatenate([first.reshape(*eta.shape[:-1], -1), second[..., None]], axis=-1)

    def _of_natural(self, eta: Floats) -> Self:
        matrix, half = self._parts(eta)
        scale = np.asarray(np.linalg.inv(-2 * matrix), np.float64)
        inside = (np.linalg.eigvalsh(scale) > 0).all(axis=-1) & (2 * half > self._size - 1)
        scale = np.where(np.expand_dims(inside, (-2, -1)), scale, np.nan)
        return self.unchecked(np.where(inside, 2 * half, np.nan), scale)

    def _log_density(self, x: Floats) -> Floats:
        scale = _definite("Wishart: scale", self.scale)
        lower = np.linalg.eigvalsh(np.where(np.isfinite(x), x, 0.0))[..., 0]
        inside = np.where(np.expand_dims(lower > 0, (-2, -1)), x, np.eye(self._size))
        spread = np.trace(np.linalg.solve(scale, inside), axis1=-2, axis2=-1)
        logs = (self.df - self._size - 1) * np.linalg.slogdet(inside)[1]
        found = np.where(lower > 0, (logs - spread) / 2 - self.log_partition(), -np.inf)
        return np.where(np.isnan(x).any(axis=(-2, -1)), np.nan, found)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        # X = L A Aᵀ Lᵀ of V = L Lᵀ: A has roots of χ² on its diagonal, normals below (Bartlett).
        k = self._size
        a = np.tril(rng.normal(size=(size, k, k)), -1)
        diagonal = np.arange(k)
        a[:, diagonal, diagonal] = np.sqrt(rng.chisquare(self.df - diagonal, (size, k)))
        made = np.linalg.cholesky(_definite("Wishart: scale", self.scale)) @ a
        return np.asarray(made @ np.swapaxes(made, -1, -2))

    def mean_log_density(self, of: Family) -> Floats:
        if not isinstance(of, Wishart):
            raise Missing
        along = (self.natural_parameters * of.log_partition_gradient()).sum(axis=-1)
        return np.asarray(along - self.log_partition())


def _semidefinite(name: str, matrix: Floats) -> None:
    """LinAlgError, if one is no covariance, not even a singular one."""
    try:
        np.linalg.cholesky(matrix)  # NaN passes
    except np.linalg.LinAlgError:
        known = np.isfinite(matrix).all(axis=(-2, -1), keepdims=True)
        found = np.where(known, mirrored(matrix), np.eye(matrix.shape[-1]))
        wrong = definiteness(found) < 0
        if wrong.any():
            least = np.linalg.eigvalsh(found[wrong][0])[0]
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise np.linalg.LinAlgError(
                f"{name}, problem {row_name(index)}, has the eigenvalue {least:g}; it takes"
                " positive semi-definite matrices"
            ) from None


def _definite(name: str, matrix: Floats) -> Floats:
    """Return the symmetric matrices; LinAlgError, if one has no density."""
    found = mirrored(matrix)
    known = np.asarray(np.isfinite(found).all(axis=(-2, -1)))
    least = np.linalg.eigvalsh(np.where(known[..., None, None], found, np.eye(found.shape[-1])))
    wrong = np.asarray(least[..., 0] <= 0)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise np.linalg.LinAlgError(
            f"{name}, problem {row_name(index)}, is singular: there is no density"
        )
    return found


def _log_gamma(x: Floats, k: int) -> Floats:
    """Log of the multivariate gamma function."""
    log_gamma = from_special("gammaln")
    constant = k * (k - 1) / 4 * math.log(math.pi)
    return np.asarray(constant + sum(log_gamma(x - j / 2) for j in range(k)))
