"""Mixtures of Gaussians: what `densities` compares and `projection` fits to."""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import real_numbers
from fastdiv.gaussians import gaussian_log_density, mirrored
from fastdiv.probabilities import normalised

__all__ = ["GaussianMixture"]

_Floats = NDArray[np.float64]

_FIELDS = ("weights", "means", "covariances")


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Mixture of Gaussians.

    Parameters
    ----------
    weights : array_like of float
        One for each component, shape (n,); divided by their sum. Components of weight 0 are left
        out.
    means : array_like of float
        Shape (n, k), or (n,) for one variable.
    covariances : array_like of float
        Shape (n, k, k), of which the lower triangles are read; or (n,), variances of one variable.

    Attributes
    ----------
    factors, whitening : ndarray of float64, shape (n, k, k)
        Lower Cholesky factors of the covariances, and their inverses.

    Raises
    ------
    TypeError
        Numbers that are not real.
    ValueError
        Shapes that do not fit, numbers that are not finite, weights that are negative or all 0.
    numpy.linalg.LinAlgError
        A covariance that is not positive definite; the message names the component.

    Examples
    --------
    >>> from fastdiv.mixtures import GaussianMixture
    >>> peaks = GaussianMixture([1, 1], [-3, 3], [1, 1])
    >>> peaks.mean, peaks.covariance
    (array([0.]), array([[10.]]))
    >>> peaks.log_density([-3.0, 0.0]).round(6)
    array([-1.612086, -5.418939])
    """

    weights: Any
    means: Any
    covariances: Any
    factors: Any = field(init=False, repr=False)
    whitening: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the shapes and factor the covariances."""
        name = "GaussianMixture"
        given = {each: real_numbers(name, each, getattr(self, each)) for each in _FIELDS}
        weights, means, covariances = given.values()
        if means.ndim == 1:
            means = means[:, None]
        if covariances.ndim == 1:
            covariances = covariances[:, None, None]
        n, k = means.shape if means.ndim == 2 else (0, 0)
        if not n or not k or weights.shape != (n,) or covariances.shape != (n, k, k):
            shapes = ", ".join(f"{each} has shape {x.shape}" for each, x in given.items())
            raise ValueError(f"{name}: {shapes}; it takes (n,), (n, k) and (n, k, k), or (n,) each")
        for each, x in given.items():
            if not np.isfinite(x).all():
                wrong = x[~np.isfinite(x)][0]
                raise ValueError(f"{name}: {each} has {wrong}; it takes finite numbers")
        if (weights < 0).any() or not weights.any():
            raise ValueError(
                f"{name}: weights is {weights.tolist()}; it takes numbers that are not negative,"
                " and not all 0"
            )
        covariances = mirrored(covariances)
        factors = np.empty_like(covariances)
        for component, covariance in enumerate(covariances):
            try:
                factors[component] = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                raise np.linalg.LinAlgError(
                    f"{name}: the covariance of component {component} is not positive definite"
                ) from None
        some = weights > 0
        found = {
            "weights": normalised(weights[some], from_logits=False),
            "means": means[some],
            "covariances": covariances[some],
            "factors": factors[some],
            "whitening": np.linalg.inv(factors[some]),
        }
        for each, array in found.items():
            array.flags.writeable = False
            object.__setattr__(self, each, array)

    @classmethod
    def of(cls, other: Any) -> Self:
        """Return the mixture whose `weights`, `means` and `covariances` another object holds."""
        return cls(*(getattr(other, name) for name in _FIELDS))

    @property
    def mean(self) -> _Floats:
        """Mean, shape (k,)."""
        return np.asarray(self.weights @ self.means)

    @property
    def covariance(self) -> _Floats:
        """Covariance, shape (k, k)."""
        apart = self.means - self.mean
        within = np.einsum("n,nij->ij", self.weights, self.covariances)
        return np.asarray(within + np.einsum("n,ni,nj->ij", self.weights, apart, apart))

    def log_density(self, x: ArrayLike) -> _Floats:
        """Logarithm of the density at points.

        Parameters
        ----------
        x : array_like of float
            Shape (…, k); of one variable also (…).

        Returns
        -------
        ndarray of float64
        """
        points = self._points(x)
        with np.errstate(all="ignore"):
            logs = self._components(points.reshape(-1, points.shape[-1]))[0]
            found = np.asarray(np.logaddexp.reduce(logs)).reshape(points.shape[:-1])
        far = np.isinf(points).any(axis=-1) & ~np.isnan(points).any(axis=-1)
        return np.where(far, -np.inf, found)

    def log_density_and_score(self, x: ArrayLike) -> tuple[_Floats, _Floats]:
        """Logarithm of the density, and its gradient, at points.

        Parameters
        ----------
        x : array_like of float
            As that of `log_density`.

        Returns
        -------
        tuple of ndarray of float64
            Shapes (…) and (…, k).
        """
        points = self._points(x)
        logs, z = self._components(points.reshape(-1, points.shape[-1]))
        found = np.asarray(np.logaddexp.reduce(logs), np.float64)
        score = np.zeros(z[0].shape)
        for own, each, whitening in zip(logs, z, self.whitening, strict=True):
            score -= np.exp(own - found)[:, None] * np.einsum("ni,ij->nj", each, whitening)
        return found.reshape(points.shape[:-1]), score.reshape(points.shape)

    def sample(self, rng: np.random.Generator, size: int) -> _Floats:
        """Draw points.

        Parameters
        ----------
        rng : numpy.random.Generator
        size : int

        Returns
        -------
        ndarray of float64, shape (size, k)
        """
        which = rng.choice(len(self.weights), size, p=self.weights)
        z = rng.standard_normal((size, self.means.shape[1]))
        return np.asarray(self.means[which] + (self.factors[which] @ z[..., None])[..., 0])

    def _points(self, x: ArrayLike) -> _Floats:
        points = real_numbers("GaussianMixture", "x", x)
        k = self.means.shape[1]
        if k == 1 and points.shape[-1:] != (1,):
            points = points[..., None]
        if points.shape[-1:] != (k,):
            raise ValueError(
                f"GaussianMixture: x has shape {points.shape}; it takes points of {k} variables"
            )
        return points

    def _components(self, points: _Floats) -> tuple[_Floats, list[_Floats]]:
        """Log-density of each component times its weight; the points as each whitens them."""
        found = [
            gaussian_log_density(points, mean, whitening)
            for mean, whitening in zip(self.means, self.whitening, strict=True)
        ]
        logs = np.stack([each for each, _ in found]) + np.log(self.weights)[:, None]
        return logs, [z for _, z in found]
