"""Divergences of more than two rows: joint tables, and Jensen-Shannon of many distributions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.divergences import kl_divergence
from fastdiv.evaluation import in_units, real_numbers, refuse, row_name, units
from fastdiv.probabilities import normalised, widened

__all__ = ["js_divergence_of", "mutual_information"]

_WEIGHTS = "weights, finite and not negative"


def mutual_information(
    joint: ArrayLike,
    *,
    base: float | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Mutual information of a joint table: its divergence from the product of its margins.

    .. math:: I(X; Y) = D(P_{XY} \| P_X \otimes P_Y)
       = \sum_{ij} p_{ij} \log\frac{p_{ij}}{p_{i\cdot}\, p_{\cdot j}}

    Never negative, and exactly 0 for a table of small counts that factorises.

    Parameters
    ----------
    joint : array_like
        Weights or counts, shape (…, rows, columns); all dtypes of `kl_divergence`. Each table is
        divided by its sum.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.
    validate : bool, default False
        Raise ValueError, naming table and value, where the result would be NaN.

    Returns
    -------
    float64 or ndarray of float64
        One number per table.

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If there are fewer than two axes, an axis of the table is empty, `base` is not a base of a
        logarithm, or `validate` finds a table that is no distribution.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd edition, Wiley
       (2006), section 2.3.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.mutual_information([[10, 0], [0, 10]], base=2)
    np.float64(1.0)
    >>> fd.mutual_information([[1, 2, 3], [2, 4, 6]])
    np.float64(0.0)
    """
    name = "mutual_information"
    unit = units(name, base)
    table = widened(joint, name, "joint", dtype)
    if table.ndim < 2 or 0 in table.shape[-2:]:
        raise ValueError(
            f"{name}: joint has shape {table.shape}; it takes tables (…, rows, columns), not empty"
        )
    flat = table.reshape(*table.shape[:-2], table.shape[-2] * table.shape[-1])
    if validate:
        _check_tables(name, "joint", flat)
    with np.errstate(all="ignore"):  # what is wrong with a table, kl_divergence will say
        # Powers of two bring the sum near 2**510, so that no product leaves the doubles.
        _, exponent = np.frexp(table.max(axis=(-2, -1), keepdims=True))
        near_one = np.ldexp(table, -exponent).sum(axis=(-2, -1), keepdims=True)
        scaled = np.ldexp(table, 510 - np.frexp(near_one)[1] - exponent)
        # A part of 2**-1022 is no part of the result, and the product of its margins might be 0.
        scaled[(scaled > 0) & (scaled < 2.0**-512)] = 0.0
        rows, columns = scaled.sum(axis=-1, keepdims=True), scaled.sum(axis=-2, keepdims=True)
        total = rows.sum(axis=-2, keepdims=True)
        # With the sum on both sides a table of counts that factorises is its product bit for bit.
        product = (rows * columns).reshape(flat.shape)
        weights = (scaled * total).reshape(flat.shape)
        empty = weights == 0
        beside = np.where(empty, product, 0.0).sum(axis=-1)
        product[empty] = 0.0
    # Of one sum as they are; normalising would lose shares of a product below 2**-1074.
    divergence = kl_divergence(weights, product, normalize=False) + beside
    return in_units(divergence / (total * total).reshape(flat.shape[:-1]), unit, None)


def _check_tables(function: str, argument: str, flat: NDArray[np.float64]) -> None:
    refuse(function, argument, flat, ~((flat >= 0) & (flat < np.inf)), _WEIGHTS, "table")
    if not flat.any(axis=-1).all():
        index = tuple(int(i) for i in np.argwhere(~flat.any(axis=-1))[0])
        raise ValueError(f"{function}: {argument}, table {row_name(index)}, is 0 everywhere")


def js_divergence_of(
    rows: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    base: float | None = None,
    from_logits: bool = False,
    dtype: str | None = None,
) -> Any:
    r"""Jensen-Shannon divergence of many distributions: their mean divergence from their mixture.

    .. math::
        \mathrm{JS}_w(P_1, \dots, P_k) = \sum_j w_j D(P_j \| M), \quad M = \sum_j w_j P_j

    At most the entropy of the weights. Equal to `js_divergence` for two rows of equal weight; as
    the entropy of the mixture minus the mean entropy it is also the mutual information between an
    outcome and the distribution that it was drawn from.

    Parameters
    ----------
    rows : array_like
        Weights, shape (…, k, outcomes): k distributions, each divided by its sum; or with
        `from_logits` unnormalised log-probabilities. All dtypes of `kl_divergence`.
    weights : array_like, optional
        Weights of the k distributions, shape (…, k); divided by their sum. Default: all equal.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities (−inf is probability 0).
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.

    Returns
    -------
    float64 or ndarray of float64
        One number per set of k rows.

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If there are fewer than two axes, a row is empty, there are no rows, `weights` do not fit,
        are negative, not finite or all 0, or `base` is not a base of a logarithm.

    References
    ----------
    .. [1] J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on
       Information Theory 37 (1991), 145-151.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.js_divergence_of([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], base=2)
    np.float64(1.188721875540867)
    >>> fd.js_divergence_of([[1, 0], [0, 1]], weights=[3, 1], base=2)
    np.float64(0.8112781244591328)
    """
    name = "js_divergence_of"
    unit = units(name, base)
    given = widened(rows, name, "rows", dtype)
    if given.ndim < 2 or 0 in given.shape[-2:]:
        raise ValueError(
            f"{name}: rows has shape {given.shape}; it takes (…, distributions, outcomes), none 0"
        )
    shares = _shares(name, weights, given.shape[:-1])
    # Rows without weight do not count, whatever they hold.
    most = shares.argmax(axis=-1)[..., None, None]
    given = np.where(shares[..., None] > 0, given, np.take_along_axis(given, most, axis=-2))
    kl_divergence(given, given, from_logits=from_logits)  # for its warning of what is no row
    with np.errstate(all="ignore"):
        p = normalised(given, from_logits=from_logits)
        # From the first row on, so that equal rows have themselves for their mixture; but from one
        # that is far greater a small one would be lost.
        first, part = p[..., :1, :], shares[..., None]
        near = p.max(axis=-2, keepdims=True) <= 2 * p.min(axis=-2, keepdims=True)
        from_first = first + (part * (p - first)).sum(axis=-2, keepdims=True)
        mixture = np.where(near, from_first, (part * p).sum(axis=-2, keepdims=True))
        parts = kl_divergence(p, mixture)
    return in_units((shares * parts).sum(axis=-1), unit, None)


def _shares(name: str, weights: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Weights of sum 1 for every set of rows."""
    if weights is None:
        return np.full(shape, 1.0 / shape[-1])
    array = real_numbers(name, "weights", weights)
    try:
        shares = np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name}: weights has shape {array.shape}; it takes one number for each of the"
            f" {shape[-1]} distributions"
        ) from None
    refuse(name, "weights", array, ~((array >= 0) & (array < np.inf)), _WEIGHTS)
    most = shares.max(axis=-1, keepdims=True)
    if (most == 0).any():
        raise ValueError(f"{name}: weights are 0 everywhere")
    shares = shares / most
    result: NDArray[np.float64] = shares / shares.sum(axis=-1, keepdims=True)
    return result
