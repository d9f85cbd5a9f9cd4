"""What a Gaussian is fitted to: a mixture of Gaussians, or a density on a grid."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from fastdiv.densities import Integral
from fastdiv.divergences import kl_divergence
from fastdiv.evaluation import real_numbers, row_name
from fastdiv.gaussians import gaussian_kl, gaussian_log_density
from fastdiv.mixtures import GaussianMixture
from fastdiv.quadrature import gaussian_mean, gaussian_nodes
from fastdiv.tokens import logsumexp

_Floats: TypeAlias = NDArray[np.float64]

# In a direction in which components differ by less, they differ by rounding.
_FLAT = 1e-11
# Where the points of the search are off by less than this, in nats, a minimum of theirs is KL's;
# else KL is compared with that of Gaussians so many deviations away.
_RESOLVED, _STEP = 1e-4, 0.03
# KL goes as the square of a distance, the search's products as its fourth power.
_FARTHEST = 1e75


class Target(Protocol):
    """What is fitted to: a mixture or a `GridDensity`."""

    @property
    def mean(self) -> _Floats:
        """Mean, shape (d,)."""
        ...

    @property
    def covariance(self) -> _Floats:
        """Covariance, shape (d, d)."""
        ...

    def divergences(self, mean: _Floats, factor: _Floats) -> tuple[Integral, Integral]:
        """Return KL(P‖Q) and KL(Q‖P) for Q of that mean and Cholesky factor."""
        ...

    def objective(
        self, mean: _Floats, factor: _Floats, *, fine: bool = False
    ) -> tuple[float, _Floats, _Floats]:
        """Return KL(Q‖P) + constant and its gradient by mean and lower factor."""
        ...

    def starts(self, rng: np.random.Generator, count: int) -> Iterator[tuple[_Floats, _Floats]]:
        """Yield means and factors to begin from."""
        ...

    def deviations(self) -> tuple[float, float]:
        """Return between which two the diagonal of an optimum's factor lies."""
        ...

    def holds(self, mean: _Floats, factor: _Floats) -> bool:
        """Tell whether the target is known where Q has its mass."""
        ...

    def is_least(self, mean: _Floats, factor: _Floats) -> bool:
        """Tell whether KL(Q‖P) itself, and not only `objective`, is least there."""
        ...


@dataclass(frozen=True, eq=False)
class MixtureTarget:
    """Mixture of Gaussians, integrated over Q."""

    mixture: GaussianMixture

    @property
    def mean(self) -> _Floats:
        """Mean, shape (d,)."""
        return self.mixture.mean

    @property
    def covariance(self) -> _Floats:
        """Covariance, shape (d, d)."""
        return self.mixture.covariance

    def divergences(self, mean: _Floats, factor: _Floats) -> tuple[Integral, Integral]:
        """Return KL(P‖Q) and KL(Q‖P) for Q of that mean and Cholesky factor."""
        p = self.mixture
        closed = [
            float(gaussian_kl(own_mean, own, mean, factor, cholesky=True))
            for own_mean, own in zip(p.means, p.factors, strict=True)
        ]
        if len(closed) == 1:
            back = gaussian_kl(mean, factor, p.means[0], p.factors[0], cholesky=True)
            return Integral(closed[0], 0.0), Integral(float(back), 0.0)
        forward = error = 0.0
        for component, share in enumerate(p.weights):
            gain = _mean_log_ratio(p, component, p.means[component], p.factors[component])
            forward += share * (closed[component] + gain.value)
            error += share * gain.error
        # Integrals of what is 0 or more may end a rounding below.
        return Integral(max(float(forward), 0.0), float(error)), self._reverse(mean, factor)

    def _reverse(self, mean: _Floats, factor: _Floats) -> Integral:
        """Return KL(Q‖P)."""
        p = self.mixture
        # Of the components that which leaves least to integrate.
        beside = gaussian_kl(mean, factor, p.means, p.factors, cholesky=True) - np.log(p.weights)
        nearest = int(np.argmin(beside))
        back = beside[nearest] + np.log(p.weights[nearest])
        loss = _mean_log_ratio(p, nearest, mean, factor)
        return Integral(max(float(back) - loss.value, 0.0), loss.error)

    def objective(
        self, mean: _Floats, factor: _Floats, *, fine: bool = False
    ) -> tuple[float, _Floats, _Floats]:
        """Return KL(Q‖P) + constant and its gradient by mean and lower factor."""
        z, weights = gaussian_nodes(len(mean), fine)
        log_p, slope = self.mixture.log_density_and_score(mean + _turned(z, factor))
        diagonal = np.diag(factor)
        by_mean = -_moment(weights, slope)
        by_factor = -np.tril(_moments(weights, slope, z)) - np.diag(1 / diagonal)
        return float(-(weights * log_p).sum() - np.log(diagonal).sum()), by_mean, by_factor

    def starts(self, rng: np.random.Generator, count: int) -> Iterator[tuple[_Floats, _Floats]]:
        """Yield means and factors to begin from."""
        p = self.mixture
        yield p.mean, cholesky_factor(p.covariance)
        yield from zip(p.means, p.factors, strict=True)
        for component in rng.choice(len(p.weights), count, p=p.weights):
            other = rng.choice(len(p.weights))
            between = rng.random() * (p.means[other] - p.means[component])
            yield p.means[component] + between, p.factors[component] * rng.uniform(0.5, 3)

    def deviations(self) -> tuple[float, float]:
        """Return between which two the diagonal of an optimum's factor lies.

        There Q's precision is the mean of −∇² log P, which is the components' mean precision less a
        covariance of their slopes: at most the greatest precision. The scale at which KL is least
        is not beyond the means and the widest component by more than the precisions differ.
        """
        p = self.mixture
        sizes = np.linalg.svd(p.factors, compute_uv=False)
        least, most = float(sizes.min()), float(sizes.max())
        apart = float(np.sqrt(((p.means - p.mean) ** 2).sum(-1)).max())
        return least / 2, 4 * (most + apart) * (most / least) ** 2

    def holds(self, mean: _Floats, factor: _Floats) -> bool:
        """Tell whether the target is known where Q has its mass: everywhere."""
        return True

    def is_least(self, mean: _Floats, factor: _Floats) -> bool:
        """Tell whether no Gaussian next to Q is nearer, by more than the integrals' errors.

        Where the components are narrow beside Q, the search's points miss them and have minima of
        their own.
        """
        here = self._reverse(mean, factor)
        entropy = len(mean) * (1 + math.log(2 * math.pi)) / 2
        points = self.objective(mean, factor, fine=True)[0] - entropy
        if abs(points - here.value) <= _RESOLVED + here.error:
            return True
        moved = [mean + side * _STEP * each for each in factor.T for side in (-1, 1)]
        scaled = [factor * scale for scale in (1 - _STEP, 1 + _STEP)]
        beside = [(each, factor) for each in moved] + [(mean, each) for each in scaled]
        return all(
            found.value + found.error >= here.value - here.error
            for found in (self._reverse(*each) for each in beside)
        )


@dataclass(frozen=True, eq=False)
class GridDensity:
    """Density that is known on a grid, and taken for 0 outside of it.

    KL is that of the probabilities of the grid's cells (the trapezoidal rule), the Gaussian's and
    the density's; so the grid should be finer than the Gaussian and reach beyond both.

    Parameters
    ----------
    axes : array_like of float, or tuple of them
        Increasing coordinates, of one dimension or of each.
    log_density : array_like of float
        Logarithm of the density, up to a constant: one number for each point of the grid, an axis
        for each dimension. −inf is density 0.

    Raises
    ------
    ValueError
        Axes that do not increase or are too short, another shape, NaN, +inf, or −inf everywhere.

    Examples
    --------
    >>> x = np.linspace(-8, 8, 321)
    >>> target = GridDensity(x, -(x**2) / 8)
    >>> target.covariance.round(2)
    array([[4.]])
    """

    axes: Any
    log_density: Any
    points: Any = field(init=False, repr=False)
    log_mass: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the shapes and weigh the cells."""
        given = self.axes if isinstance(self.axes, tuple) else (self.axes,)
        axes = tuple(real_numbers("GridDensity", "axes", axis).copy() for axis in given)
        takes = "it takes at least 3 increasing finite coordinates"
        for place, axis in enumerate(axes):
            if axis.ndim != 1 or axis.size < 3:
                raise ValueError(f"GridDensity: axis {place} has shape {axis.shape}; {takes}")
            wrong = ~np.isfinite(axis)
            wrong[1:] |= axis[1:] <= axis[:-1]
            if wrong.any():
                at = int(np.argmax(wrong))
                before = f" after {axis[at - 1]:g}" if at else ""
                raise ValueError(
                    f"GridDensity: axis {place} has {axis[at]:g} at {at}{before}; {takes}"
                )
        log_density = real_numbers("GridDensity", "log_density", self.log_density).copy()
        shape = tuple(axis.size for axis in axes)
        if log_density.shape != shape:
            raise ValueError(
                f"GridDensity: log_density has shape {log_density.shape}; the axes have {shape}"
            )
        takes = "it takes numbers and −inf, not −inf everywhere"
        wrong = ~(log_density < np.inf)
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"GridDensity: log_density has {log_density[where]:g} at {row_name(where)}; {takes}"
            )
        if np.isneginf(log_density).all():
            raise ValueError(f"GridDensity: log_density is −inf everywhere; {takes}")
        widths = [np.convolve(np.diff(axis), [0.5, 0.5]) for axis in axes]
        log_width = sum(np.ix_(*(np.log(width) for width in widths)))
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
        log_mass = (log_density + log_width).ravel()
        found = {
            "axes": axes,
            "log_density": log_density,
            "points": points,
            "log_mass": log_mass - logsumexp(log_mass),
            "_log_width": np.broadcast_to(log_width, shape).ravel(),
        }
        for name, x in found.items():
            object.__setattr__(self, name, x)

    @property
    def mean(self) -> _Floats:
        """Mean, shape (d,)."""
        return _moment(np.exp(self.log_mass), self.points)

    @property
    def covariance(self) -> _Floats:
        """Covariance, shape (d, d)."""
        apart = self.points - self.mean
        return _moments(np.exp(self.log_mass), apart, apart)

    def divergences(self, mean: _Floats, factor: _Floats) -> tuple[Integral, Integral]:
        """Return KL(P‖Q) and KL(Q‖P) for Q of that mean and Cholesky factor."""
        found = self._divergences(mean, factor)
        try:
            # A grid of every second point, whose error is about four times this one's.
            half = tuple(axis[::2] for axis in self.axes)
            every_second = self.log_density[(slice(None, None, 2),) * len(half)]
            coarse = GridDensity(half, every_second)._divergences(mean, factor)
        except ValueError:  # too short for that
            coarse = (np.nan, np.nan)
        forward, reverse = (
            Integral(value, abs(value - other) if np.isfinite(value) else 0.0)
            for value, other in zip(found, coarse, strict=True)
        )
        return forward, reverse

    def _divergences(self, mean: _Floats, factor: _Floats) -> tuple[float, float]:
        log_q = self._log_cells(mean, factor)[0]
        rows = ((self.log_mass, log_q), (log_q, self.log_mass))
        forward, reverse = (float(kl_divergence(*pair, from_logits=True)) for pair in rows)
        return forward, reverse

    def objective(
        self, mean: _Floats, factor: _Floats, *, fine: bool = False
    ) -> tuple[float, _Floats, _Floats]:
        """Return KL(Q‖P) and its gradient by mean and lower factor; a grid is as fine as it is."""
        log_q, z, whitening = self._log_cells(mean, factor)
        q = np.exp(log_q)
        excess = q * np.where(q > 0, log_q - self.log_mass, 0.0)
        value = float(kl_divergence(log_q, self.log_mass, from_logits=True))
        # The slope of log q is s − Σ q s: of the excess only what is left without its mean counts.
        excess -= q * excess.sum()
        by_mean = whitening.T @ _moment(excess, z)
        by_factor = np.tril(whitening.T @ _moments(excess, z, z))
        return value, by_mean, by_factor

    def starts(self, rng: np.random.Generator, count: int) -> Iterator[tuple[_Floats, _Floats]]:
        """Yield means and factors to begin from."""
        factor = cholesky_factor(self.covariance)
        yield self.mean, factor
        mass = np.exp(self.log_mass)
        for place in rng.choice(mass.size, count, p=mass / mass.sum()):
            yield self.points[place], factor * rng.uniform(0.1, 0.7)

    def deviations(self) -> tuple[float, float]:
        """Return between which two the diagonal of a factor lies, if the grid holds Q."""
        return (
            min(float(np.diff(axis).min()) for axis in self.axes) / 2,
            max(float(axis[-1] - axis[0]) for axis in self.axes),
        )

    def holds(self, mean: _Floats, factor: _Floats) -> bool:
        """Tell whether the target is known where Q has its mass: 3 deviations each way."""
        deviation = np.sqrt((factor**2).sum(-1))
        return all(
            axis[0] <= m - 3 * s and m + 3 * s <= axis[-1] and s > np.diff(axis).min()
            for axis, m, s in zip(self.axes, mean, deviation, strict=True)
        )

    def is_least(self, mean: _Floats, factor: _Floats) -> bool:
        """Tell whether KL(Q‖P) is least there: the search has no other points than the grid's."""
        return True

    def _log_cells(self, mean: _Floats, factor: _Floats) -> tuple[_Floats, _Floats, _Floats]:
        """Logarithm of Q's probability of each cell; whitened points; what whitens them."""
        whitening = np.asarray(np.linalg.inv(factor), np.float64)
        logs, z = gaussian_log_density(self.points, mean, whitening)
        logs = logs + self._log_width  # type: ignore[attr-defined]
        return logs - logsumexp(logs), z, whitening


def target_of(target: Any) -> Target:
    """Return what is fitted to, of a mixture, what has a mixture's fields, or a grid."""
    if isinstance(target, GridDensity):
        return target
    fields = ("weights", "means", "covariances")
    if not isinstance(target, GaussianMixture) and all(hasattr(target, name) for name in fields):
        target = GaussianMixture.of(target)
    if isinstance(target, GaussianMixture):
        found = MixtureTarget(target)
        with np.errstate(over="ignore", invalid="ignore"):
            apart = np.abs(target.means - target.mean).max() / (2 * found.deviations()[0])
        if not apart < _FARTHEST:
            raise ValueError(
                f"project: target has means {apart:.3g} of its least deviations apart, whose powers"
                f" float64 does not hold; it takes less than {_FARTHEST:g}"
            )
        return found
    raise TypeError(
        f"project: target has type {type(target).__name__}; it takes a GaussianMixture or a"
        " GridDensity"
    )


def _mean_log_ratio(p: GaussianMixture, component: int, mean: _Floats, factor: _Floats) -> Integral:
    """E log Σ π_b f_b(x)/f_c(x) over a Gaussian: the logarithm of P beside that of a component.

    It depends on x only through what the components differ in, so only that is integrated over.
    """
    precisions = p.whitening.swapaxes(1, 2) @ p.whitening
    apart = (precisions @ (p.means - mean)[..., None])[..., 0]
    # In z, x = mean + factor z: constants, slopes and curvatures of the logarithms of f_b/f_c.
    curvatures = factor.T @ (precisions - precisions[component]) @ factor
    slopes = (apart - apart[component]) @ factor
    logs = np.log(p.weights) + [
        gaussian_log_density(mean, own, whitening)[0]
        for own, whitening in zip(p.means, p.whitening, strict=True)
    ]
    logs = logs - gaussian_log_density(mean, p.means[component], p.whitening[component])[0]
    together = np.concatenate([slopes.T, *curvatures], axis=1)
    axes, sizes, _ = np.linalg.svd(together, full_matrices=False)
    kept = sizes > _FLAT * max(1.0, float(sizes[0]))
    axes = axes[:, kept]
    slopes, curvatures = slopes @ axes, axes.T @ curvatures @ axes

    rows, columns = np.triu_indices(axes.shape[1])
    bent = curvatures[:, rows, columns] * np.where(rows == columns, -0.5, -1.0)

    def log_ratio(z: _Floats) -> _Floats:
        each = np.einsum("ni,bi->bn", z[:, rows] * z[:, columns], bent)
        each += np.einsum("ni,bi->bn", z, slopes) + logs[:, None]
        largest = each.max(axis=0)
        return np.asarray(largest + np.log(np.exp(each - largest).sum(axis=0)))

    found = gaussian_mean(log_ratio, axes.shape[1])
    return Integral(found.value, found.error + float(sizes[~kept].sum()))


def cholesky_factor(covariance: _Floats) -> _Floats:
    """Return a target's lower factor."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), np.float64)
    except np.linalg.LinAlgError:
        raise np.linalg.LinAlgError(
            "project: the target's covariance is singular, so it has no nearest Gaussian; a grid"
            " takes density at several points along each axis"
        ) from None


# Sums over many points of few dimensions by einsum: a BLAS would wake threads for next to nothing.


def _turned(points: _Floats, matrix: _Floats) -> _Floats:
    """Return each point (n, d) times a matrix."""
    return cast(_Floats, np.einsum("nj,ij->ni", points, matrix))


def _moment(weights: _Floats, points: _Floats) -> _Floats:
    return cast(_Floats, np.einsum("n,ni->i", weights, points))


def _moments(weights: _Floats, points: _Floats, others: _Floats) -> _Floats:
    return cast(_Floats, np.einsum("n,ni,nj->ij", weights, points, others))
