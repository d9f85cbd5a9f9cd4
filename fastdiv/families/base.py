"""What a family of distributions is: parameters that broadcast, and what its closed forms need."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import real_numbers, row_name

__all__ = ["ExponentialFamily", "Family", "Floats", "Missing", "bregman"]

Floats = NDArray[np.float64]

DOMAINS: dict[str, tuple[Callable[[Floats], NDArray[np.bool_]], str]] = {
    "real": (lambda x: np.isfinite(x), "finite numbers"),
    "positive": (lambda x: (x > 0) & (x < np.inf), "finite numbers above 0"),
    "nonnegative": (lambda x: (x >= 0) & (x < np.inf), "finite numbers not below 0"),
    "probability": (lambda x: (x >= 0) & (x <= 1), "numbers in [0, 1]"),
    "chance": (lambda x: (x > 0) & (x <= 1), "numbers in (0, 1]"),
    "inside": (lambda x: (x > 0) & (x < 1), "numbers in (0, 1)"),
    "count": (lambda x: (x >= 0) & (x == np.floor(x)) & (x < np.inf), "whole numbers"),
    "start": (lambda x: (x == 0) | (x == 1), "0 or 1"),
}


class Missing(Exception):
    """A family does not know an expectation in closed form."""


class Family:
    """Distributions of one family: parameters are arrays of float64 that broadcast.

    A parameter outside its domain is a ValueError that names it; NaN stays NaN in every result.
    """

    discrete: ClassVar[bool] = False
    periodic: ClassVar[bool] = False
    domains: ClassVar[dict[str, str]]
    axes: ClassVar[dict[str, int]] = {}  # of one distribution's parameter, where it is no number

    def __post_init__(self) -> None:
        """Read the parameters."""
        name = type(self).__name__
        for parameter in fields(self):  # type: ignore[arg-type]
            array = real_numbers(name, parameter.name, getattr(self, parameter.name)).copy()
            least = self.axes.get(parameter.name, 0)
            if array.ndim < least or 0 in array.shape[array.ndim - least :]:
                raise ValueError(
                    f"{name}: {parameter.name} has shape {array.shape}; it takes {least} axes of"
                    " each distribution, not empty"
                )
            if least == 2 and array.shape[-1] != array.shape[-2]:
                raise ValueError(
                    f"{name}: {parameter.name} has shape {array.shape}; it takes square matrices"
                )
            inside, takes = DOMAINS[self.domains[parameter.name]]
            wrong = ~inside(array) & ~np.isnan(array)
            if wrong.any():
                index = tuple(int(i) for i in np.argwhere(wrong)[0])
                where = f" at {row_name(index)}" if index else ""
                raise ValueError(
                    f"{name}: {parameter.name} has {array[wrong][0]}{where}; it takes {takes}"
                )
            array.flags.writeable = False
            object.__setattr__(self, parameter.name, array)
        _ = self.batch_shape

    @classmethod
    def unchecked(cls, *parameters: Floats) -> Self:
        """Make one of what formulas give, NaN where nothing fits."""
        made = object.__new__(cls)
        for parameter, value in zip(fields(cls), parameters, strict=True):  # type: ignore[arg-type]
            object.__setattr__(made, parameter.name, np.asarray(value, np.float64))
        return made

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch of distributions."""
        shapes = []
        for parameter in fields(self):  # type: ignore[arg-type]
            array = getattr(self, parameter.name)
            shapes.append(array.shape[: array.ndim - self.axes.get(parameter.name, 0)])
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            text = f"{type(self).__name__}: parameters of shapes {shapes} do not broadcast"
            raise ValueError(text) from None

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Where a parameter is NaN."""
        found = np.zeros((), np.bool_)
        for parameter in fields(self):  # type: ignore[arg-type]
            axes = tuple(range(-self.axes.get(parameter.name, 0), 0))
            found = found | np.isnan(getattr(self, parameter.name)).any(axis=axes)
        return np.asarray(found)

    @property
    def support(self) -> tuple[Floats, Floats]:
        """Ends of the interval outside which there is no probability."""
        raise Missing

    def divergence_from(self, other: Any) -> Floats:
        """KL(self‖other) of two of this family."""
        raise Missing

    def expectation(self, statistic: str, *arguments: Any) -> Floats:
        """E of a statistic, by name; `Missing` if it has no closed form."""
        method = getattr(self, f"mean_{statistic}", None)
        if method is None:
            raise Missing
        found: Floats = method(*arguments)
        return found

    def mean_log_density(self, of: "Family") -> Floats:
        """E log q(x) of this q, x from another distribution on a part of its support."""
        raise Missing

    def divergence_of(self, p: "Family") -> Floats:
        """KL(p‖self) of a distribution of another family on a part of the support."""
        return p.mean_log_density(p) - self.mean_log_density(p)

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density, or log-probability, at x: −inf where there is none."""
        at = real_numbers(type(self).__name__, "x", x)
        with np.errstate(all="ignore"):
            if self.axes or self.periodic:
                return self._log_density(at)
            low, high = self.support
            found = self._log_density(at)
            outside = (at < low) | (at > high)
            if self.discrete:
                outside |= at != np.floor(at)
            # At an end a formula may be ∞ − ∞; what has a density there has a number.
            end = ((at == low) | (at == high)) & np.isnan(found)
            outside = (outside | end) & ~self.unknown & ~np.isnan(at)
            return np.where(outside, -np.inf, found)

    def _log_density(self, x: Floats) -> Floats:
        """Log-density by its formula."""
        raise Missing

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        """Draw `size` values of one distribution."""
        raise Missing


class ExponentialFamily(Family):
    r"""A family of densities :math:`h(x)\exp(\langle\eta, T(x)\rangle - A(\eta))`.

    Natural parameters are an array whose last axis is η. Parameters in `nuisance` belong to h and
    T: only distributions that share them are one exponential family.
    """

    nuisance: ClassVar[tuple[str, ...]] = ()

    @property
    def natural_parameters(self) -> Floats:
        """η, along the last axis."""
        raise NotImplementedError

    def log_partition(self, eta: ArrayLike | None = None) -> Floats:
        """A(η); of this distribution's own η by default."""
        with np.errstate(all="ignore"):
            return np.asarray(self._log_partition(self._eta(eta)))

    def log_partition_gradient(self, eta: ArrayLike | None = None) -> Floats:
        """∇A(η), the expectation of T(x)."""
        with np.errstate(all="ignore"):
            return np.asarray(self._gradient(self._eta(eta)))

    def with_natural_parameters(self, eta: ArrayLike) -> Self:
        """Make the distribution of η with this one's nuisance parameters, NaN outside."""
        with np.errstate(all="ignore"):
            return self._of_natural(self._eta(eta))

    def divergence_towards(self, other: Self, t: Floats) -> Floats:
        """KL from this member to that a part t of the way to another, on a line of η.

        Families that know what it is beside their own parameters have all its digits.
        """
        eta = self.natural_parameters
        way = t[..., None] * (other.natural_parameters - eta)
        return self.divergence_from(self._of_natural(eta + way))

    def renyi_from(self, other: Self, order: Floats) -> Floats:
        """Rényi divergence of two members that share the nuisance parameters."""
        low = order < 0.5
        found = self._renyi_above_half(
            other, np.where(low, 0.5, order), np.where(low, 0.5, 1 - order)
        )
        if not low.any():
            return found
        # (1 − α) D_α(P‖Q) = α D_{1−α}(Q‖P)
        t = np.where(low, order, 0.5)
        back = t / (1 - t) * other._renyi_above_half(self, 1 - t, t)
        return np.where(low, back, found)

    def _renyi_above_half(self, other: Self, order: Floats, t: Floats) -> Floats:
        whole = self.divergence_from(other)
        found = whole - np.where(t == 0, 0.0, self.divergence_towards(other, t) / t)
        eta_p, eta_q = self.natural_parameters, other.natural_parameters
        middle = self._of_natural(order[..., None] * eta_p + t[..., None] * eta_q)
        # A difference, which far from each other may leave no digit: then a sum of terms ≥ 0.
        sums = order * middle.divergence_from(self) + t * middle.divergence_from(other)
        found = np.where((found >= whole / 4) | (t == 0), found, sums / t)
        # No distribution is there, or, of an order below 1, none is where both P and Q are.
        found = np.where((t != 0) & middle.unknown, np.inf, found)
        # Equal ones are, of every order and where η is infinite, too.
        return np.where(whole == 0, 0.0, np.where(np.isnan(whole), np.nan, found))

    def _eta(self, eta: ArrayLike | None) -> Floats:
        if eta is None:
            return self.natural_parameters
        name = type(self).__name__
        array = real_numbers(name, "eta", eta)
        if array.shape[-1:] != (self._dimensions,):
            raise ValueError(
                f"{name}: eta has shape {array.shape}; it takes {self._dimensions} along the last"
                " axis"
            )
        return array

    @property
    def _dimensions(self) -> int:
        return int(self.natural_parameters.shape[-1])

    def _log_partition(self, eta: Floats) -> Floats:
        raise NotImplementedError

    def _gradient(self, eta: Floats) -> Floats:
        raise NotImplementedError

    def _of_natural(self, eta: Floats) -> Self:
        raise NotImplementedError


def bregman(
    log_partition: Callable[[Floats], Floats],
    gradient: Callable[[Floats], Floats],
    eta_q: ArrayLike,
    eta_p: ArrayLike,
) -> Any:
    r"""Bregman divergence of a convex function: KL(P‖Q) if it is the log-partition of a family.

    .. math:: A(\eta_q) - A(\eta_p) - \langle \eta_q - \eta_p, \nabla A(\eta_p)\rangle

    Computed as it stands, for any function: near η_p it has the digits of the three terms only,
    which :func:`fastdiv.families.kl_divergence` does not lose.

    Parameters
    ----------
    log_partition, gradient : callable
        A and its gradient, of arrays whose last axis is η; the gradient has that axis, too.
    eta_q, eta_p : array_like
        Natural parameters; they broadcast.

    Returns
    -------
    float64 or ndarray of float64

    Raises
    ------
    TypeError
        If the first two cannot be called, or the others are no numbers.
    ValueError
        If natural parameters have no axis.

    References
    ----------
    .. [1] A. Banerjee, S. Merugu, I. S. Dhillon and J. Ghosh, "Clustering with Bregman
       divergences", Journal of Machine Learning Research 6 (2005), 1705-1749.

    Examples
    --------
    >>> from fastdiv import families
    >>> p, q = families.Poisson(3.0), families.Poisson(4.0)
    >>> found = families.bregman(
    ...     p.log_partition, p.log_partition_gradient, q.natural_parameters, p.natural_parameters
    ... )
    >>> abs(found - families.kl_divergence(p, q)) < 1e-15
    np.True_
    """
    for name, function in (("log_partition", log_partition), ("gradient", gradient)):
        if not callable(function):
            raise TypeError(f"bregman: {name} is {function!r}; it takes a function of arrays")
    q, p = (real_numbers("bregman", n, x) for n, x in (("eta_q", eta_q), ("eta_p", eta_p)))
    for name, eta in (("eta_q", q), ("eta_p", p)):
        if eta.ndim == 0:
            raise ValueError(f"bregman: {name} has shape (); it takes η along the last axis")
    along = ((q - p) * gradient(p)).sum(axis=-1)
    return np.asarray(log_partition(q) - log_partition(p) - along)[()]
