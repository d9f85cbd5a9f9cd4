"""Means over a standard Gaussian: on lattices in few variables, over random points in more.

1. Up to `TENSOR` variables the trapezoidal rule, whose error falls exponentially with the inverse
   of its step for what is analytic. Each variable has a step of its own; that one whose halving
   changes the mean most is halved, until what halving each of them still changes is small.
2. Of more variables Sobol's points, in copies whose digits are shifted independently.

References
----------
.. [1] L. N. Trefethen and J. A. C. Weideman, "The exponentially convergent trapezoidal rule", SIAM
   Review 56 (2014), 385-458.
.. [2] P. L'Ecuyer and C. Lemieux, "Recent advances in randomized quasi-Monte Carlo methods", in
   "Modeling Uncertainty", Kluwer (2002), 419-474.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdiv.extras import scipy_module
from fastdiv.integration import Integral

__all__ = ["TENSOR", "gaussian_mean", "gaussian_nodes"]

_Floats = NDArray[np.float64]

TENSOR = 4
# In standard deviations: of what is beyond, a square has less than 1e-12 of its mean.
_REACH = 8.0
_FIRST_STEPS = {1: 0.25, 2: 0.5, 3: 0.6, 4: 0.8}
_MOST = 1 << 20
_COPIES, _POWER = 16, 12
# Of the mean size of what is summed.
_ROUNDING = 2.0**-48
# Steps of a search and of its end, and the radius there.
_SEARCHED = {1: (0.04, 0.02, 10.0), 2: (0.15, 0.075, 6.5), 3: (0.5, 0.25, 6.5), 4: (0.8, 0.55, 6.5)}


def gaussian_mean(
    function: Callable[[_Floats], _Floats], dimensions: int, *, tolerance: float = 1e-9
) -> Integral:
    """Mean of a function of points (n, dimensions), to an absolute tolerance if a lattice suffices.

    The error is what halving each of the steps changes; what is returned has them halved already,
    so it is mostly far better. Of more than `TENSOR` variables it is three standard errors.
    """
    if dimensions > TENSOR:
        return _at_random(function, dimensions)
    if dimensions == 0:
        return Integral(float(function(np.zeros((1, 0)))[0]), 0.0)
    steps = np.full(dimensions, _FIRST_STEPS[dimensions])
    while True:
        value, size = _on_lattice(function, steps)
        halved = [np.where(np.arange(dimensions) == i, steps / 2, steps) for i in range(dimensions)]
        changes = np.array([_on_lattice(function, finer)[0] - value for finer in halved])
        error = float(np.abs(changes).sum())
        if error <= tolerance or np.prod(2 * _REACH / steps) > _MOST / 2:
            return Integral(float(value + changes.sum()), error + _ROUNDING * size)
        steps = halved[int(np.abs(changes).argmax())]


def _on_lattice(function: Callable[[_Floats], _Floats], steps: _Floats) -> tuple[float, float]:
    """Mean of a function and of its size."""
    z, weights = _lattice(tuple(steps.tolist()), _REACH)
    found = function(z)
    return float((weights * found).sum()), float((weights * np.abs(found)).sum())


def _lattice(steps: tuple[float, ...], reach: float) -> tuple[_Floats, _Floats]:
    lines = [step * np.arange(-int(reach / step) - 1, int(reach / step) + 2) for step in steps]
    z = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, len(steps))
    squares = (z * z).sum(-1)
    inside = squares <= reach**2
    weights = np.exp(-squares[inside] / 2)
    return z[inside], weights / weights.sum()


def _at_random(function: Callable[[_Floats], _Floats], dimensions: int) -> Integral:
    corners = (_sobol(dimensions, _POWER) * 2.0**52).astype(np.int64)
    rng, inverse = np.random.default_rng(0), scipy_module("project", "scipy.special").ndtri
    copies = []
    for _ in range(_COPIES):
        shifted = corners ^ rng.integers(1 << 52, size=dimensions)
        copies.append(function(inverse((shifted + 0.5) * 2.0**-52)).mean())
    error = 3 * float(np.std(copies, ddof=1)) / _COPIES**0.5
    return Integral(float(np.mean(copies)), error)


@cache
def gaussian_nodes(dimensions: int, fine: bool = False) -> tuple[_Floats, _Floats]:
    """Points (n, dimensions) and weights, the same for all functions that a search compares."""
    if dimensions > TENSOR:
        power = 16 if fine else 13
        inverse = scipy_module("project", "scipy.special").ndtri
        # The middles of cells: a corner at 0 is infinitely far.
        points = inverse(_sobol(dimensions, power) + 0.5 ** (power + 1))
        return points, np.full(1 << power, 0.5**power)
    *steps, reach = _SEARCHED[dimensions]
    return _lattice((steps[fine],) * dimensions, reach)


def _sobol(dimensions: int, power: int) -> _Floats:
    sobol: Callable[..., Any] = scipy_module("project", "scipy.stats.qmc").Sobol
    return np.asarray(sobol(dimensions, scramble=False).random_base2(power), np.float64)
