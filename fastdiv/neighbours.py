"""Divergences of two samples in space, read off the distances to their nearest neighbours."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import real_numbers, seed_of
from fastdiv.extras import scipy_module
from fastdiv.uncertainty import Estimate

__all__ = ["nearest_neighbour_kl", "nearest_neighbour_kl_estimate"]

# Into how many parts samples are divided for an error, and how often.
_PARTS, _DIVISIONS = 5, 8


def nearest_neighbour_kl(x: ArrayLike, y: ArrayLike, *, k: int = 5) -> float:
    r"""KL(P‖Q) of two densities, from a sample of each.

    .. math:: \frac{d}{n} \sum_i \log \frac{\nu_k(x_i)}{\rho_k(x_i)} + \log \frac{m}{n - 1}

    with the distances ρ from x_i to its k-th nearest neighbour among the other x, and ν to that
    among the y, in d dimensions. No density is estimated on the way, and nothing is chosen but k.

    Parameters
    ----------
    x : array_like of float
        Sample of P: n points, shape (n,) or (n, d).
    y : array_like of float
        Sample of Q: m points in as many dimensions.
    k : int, default 5
        Which neighbour: more of them vary less, and blur what is narrower than their distance.

    Returns
    -------
    float
        Nats. It tends to KL as n and m grow, for any fixed k; of a finite sample it may be
        negative, and is biased towards 0 where KL or d is large.
        :func:`nearest_neighbour_kl_estimate` has its standard error;
        ``permutation_test(x, y, nearest_neighbour_kl, samples=True)`` says whether it is more than
        chance.

    Raises
    ------
    ModuleNotFoundError
        Without SciPy: ``pip install "fastdiv[scipy]"``.
    TypeError
        Values that are no real numbers, a k that is no integer.
    ValueError
        NaN or infinite values, different dimensions, fewer than k + 1 points x or k points y; or a
        point of x that equals k others of its own sample, or k of y: samples of densities have no
        ties, so these numbers were rounded or counted.

    References
    ----------
    .. [1] Q. Wang, S. R. Kulkarni and S. Verdú, "Divergence estimation for multidimensional
       densities via k-nearest-neighbor distances", IEEE Transactions on Information Theory 55
       (2009), 2392-2405.
    .. [2] F. Pérez-Cruz, "Kullback-Leibler divergence estimation of continuous distributions",
       ISIT 2008, 1666-1670.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(0, 1, (5000, 2)), rng.normal([1, 0], 1, (5000, 2))
    >>> round(nearest_neighbour_kl(x, y), 2)  # it is 1/2
    0.48
    """
    name = "nearest_neighbour_kl"
    tree = scipy_module(name, "scipy.spatial").cKDTree
    points_x, points_y = _points(name, "x", x), _points(name, "y", y)
    n, d = points_x.shape
    m, other = points_y.shape
    if d != other:
        raise ValueError(f"{name}: x has {d} dimensions, y {other}; it takes points of one space")
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool):
        raise TypeError(f"{name}: k is {k!r}; it takes an integer")
    if n < 2 or m < 1:
        raise ValueError(f"{name}: {n} points x and {m} y; it takes 2 x and 1 y or more")
    if not 1 <= k <= min(n - 1, m):
        raise ValueError(
            f"{name}: k is {k}, for {n} points x and {m} y; it takes 1 to {min(n - 1, m)}"
        )
    # Squares of distances must not underflow; powers of two change no digit.
    _, exponent = np.frexp(max(np.abs(points_x).max(), np.abs(points_y).max()))
    points_x, points_y = np.ldexp(points_x, -exponent), np.ldexp(points_y, -exponent)
    own = tree(points_x).query(points_x, k=[k + 1])[0][:, 0]  # the nearest of all is x_i itself
    others = tree(points_y).query(points_x, k=[k])[0][:, 0]
    for distances, among in ((own, "other points of x"), (others, "points of y")):
        if not distances.all():
            places = np.flatnonzero(distances == 0)
            raise ValueError(
                f"{name}: {places.size} points of x, the first is row {places[0]}, equal at least"
                f" {k} {among}; samples of densities have no ties: take a larger k for a few of"
                " them, and counts (kl_divergence_from_counts) where values are counted or rounded"
            )
    return float(d * np.log(others / own).mean()) + math.log(m / (n - 1))


def nearest_neighbour_kl_estimate(
    x: ArrayLike, y: ArrayLike, *, k: int = 5, seed: int = 0
) -> Estimate:
    r"""Estimate KL(P‖Q) of two densities as `nearest_neighbour_kl` does, with a standard error.

    .. math:: \mathrm{se}^2 = \frac1B\,\mathrm{Var}(T_1, \dots, T_B)

    with the estimates T of B parts into which both samples are divided at random, and the mean of
    that over several divisions. The terms of one estimate share neighbours, so their own spread
    says little; estimates of disjoint parts are independent, and the variance falls as 1/n [1]_.

    Parameters
    ----------
    x, y, k
        As `nearest_neighbour_kl`.
    seed : int, default 0
        Of NumPy's generator, for the divisions.

    Returns
    -------
    Estimate
        Value and standard error; the error knows nothing of the bias, which is larger where KL or
        d is. It is itself uncertain by about 15 percent, and NaN for samples that cannot be divided
        into two parts of k + 1 points.

    Raises
    ------
    ModuleNotFoundError, TypeError, ValueError
        As `nearest_neighbour_kl`.

    References
    ----------
    .. [1] M. D. Penrose and J. E. Yukich, "Limit theory for point processes in manifolds", Annals
       of Applied Probability 23 (2013), 2161-2211.
    .. [2] D. N. Politis, J. P. Romano and M. Wolf, "Subsampling", Springer (1999), chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(0, 1, (5000, 2)), rng.normal([1, 0], 1, (5000, 2))
    >>> found = nearest_neighbour_kl_estimate(x, y)
    >>> abs(found.value - 0.5) < 3 * found.se < 0.1
    True
    """
    name = "nearest_neighbour_kl_estimate"
    rng = np.random.default_rng(seed_of(name, seed))
    samples = _points(name, "x", x), _points(name, "y", y)
    value = nearest_neighbour_kl(*samples, k=k)
    parts = min(_PARTS, min(map(len, samples)) // (k + 1))
    if parts < 2:
        return Estimate(value, math.nan)
    variances = []
    for _ in range(_DIVISIONS):
        divided = (np.array_split(rng.permutation(each), parts) for each in samples)
        found = [nearest_neighbour_kl(*pair, k=k) for pair in zip(*divided, strict=True)]
        variances.append(np.var(found, ddof=1) / parts)
    return Estimate(value, float(np.sqrt(np.mean(variances))))


def _points(name: str, argument: str, values: ArrayLike) -> NDArray[np.float64]:
    given = real_numbers(name, argument, values)
    if given.ndim not in (1, 2) or (given.ndim == 2 and not given.shape[1]):
        raise ValueError(
            f"{name}: {argument} has shape {given.shape}; it takes points, or points × dimensions"
        )
    points = given.reshape(given.shape[0], -1 if given.size else given.ndim)
    wrong = ~np.isfinite(points)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name}: {argument}, row {row}, has {points[row, column]}; it takes finite numbers"
        )
    return points
