r"""Entropy, KL and mutual information of the distributions that counts were drawn from.

The frequencies of a sample are further from each other than the probabilities behind them: the
entropy of n counts over K outcomes is too small by about (K − 1)/2n, and a divergence too large by
as much and more. Two corrections take the first order of that away:

============  ======================================================================
correction    how
============  ======================================================================
None          none: the entropy or divergence of the frequencies, exactly
miller-madow  the first term of the bias in powers of 1/n, at the frequencies
jackknife     what leaving out one draw changes, averaged over all draws, times n − 1
============  ======================================================================

A corrected number may leave the range of the quantity: an estimated divergence may be negative.
"""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.divergences import entropy, kl_divergence
from fastdiv.evaluation import along_last, check_pair, in_units, refuse, row_name, units
from fastdiv.joint import mutual_information
from fastdiv.probabilities import probabilities, widened

__all__ = [
    "Correction",
    "counts_of",
    "entropy_from_counts",
    "kl_divergence_from_counts",
    "mutual_information_from_counts",
]

Correction: TypeAlias = Literal["miller-madow", "jackknife"] | None
_Floats: TypeAlias = NDArray[np.float64]


def entropy_from_counts(
    counts: ArrayLike,
    correction: Correction = "miller-madow",
    *,
    axis: int = -1,
    base: float | None = None,
) -> Any:
    r"""Entropy of the distribution that counts were drawn from.

    .. math:: H + \frac{K - 1}{2n} \quad\text{(Miller-Madow)}, \qquad
        n H - \frac{n-1}{n} \sum_{\text{draws}} H_{-\text{draw}} \quad\text{(jackknife)}

    with the entropy H of the frequencies and K the number of outcomes that occurred.

    Parameters
    ----------
    counts : array_like
        Whole numbers along `axis`; a sample per row.
    correction : {"miller-madow", "jackknife", None}, default "miller-madow"
    axis : int, default -1
        The axis that a sample lies along.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.

    Returns
    -------
    float64 or ndarray of float64
        One number per row.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        Counts that are negative or not whole, a row without any, an unknown correction.

    References
    ----------
    .. [1] G. A. Miller, "Note on the bias of information estimates", in H. Quastler (ed.),
       "Information Theory in Psychology", Free Press (1955), 95-100.
    .. [2] S. Zahl, "Jackknifing an index of diversity", Ecology 58 (1977), 907-913.

    Examples
    --------
    >>> import fastdiv as fd
    >>> counts = [5, 3, 1, 1]
    >>> fd.entropy(counts), entropy_from_counts(counts), entropy_from_counts(counts, "jackknife")
    (np.float64(1.1682824501765627), np.float64(1.3182824501765626), np.float64(1.4269609236036813))
    """
    name = "entropy_from_counts"
    unit = units(name, base)
    _check_correction(name, correction)
    c = counts_of(name, "counts", counts, axis)
    return in_units(entropy(c) + _entropy_correction(c, correction), unit, None)


def kl_divergence_from_counts(
    p: ArrayLike,
    q: ArrayLike,
    correction: Correction = "miller-madow",
    *,
    known_q: bool = False,
    axis: int = -1,
    base: float | None = None,
) -> Any:
    r"""KL(P‖Q) of the distributions that two rows of counts were drawn from.

    .. math:: D - \frac{K - 1}{2n} - \frac1{2m} \Bigl(\sum_j \frac{\hat p_j}{\hat q_j} - 1\Bigr)
        \quad\text{(Miller-Madow)}

    with the divergence D of the frequencies p̂ of n draws and q̂ of m. The jackknife leaves out one
    draw of P or of Q at a time.

    Parameters
    ----------
    p : array_like
        Counts of the sample of P, whole numbers along `axis`.
    q : array_like
        Counts of the sample of Q; with `known_q` its weights.
    correction : {"miller-madow", "jackknife", None}, default "miller-madow"
    known_q : bool, default False
        Q is not estimated, but given.
    axis : int, default -1
        The axis that a sample lies along; the others broadcast.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.

    Returns
    -------
    float64 or ndarray of float64
        One number per row, perhaps negative. +∞ where the sample of Q lacks an outcome of P, which
        no correction mends. By jackknife NaN where one draw of Q is all that keeps it finite.

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        Counts that are negative or not whole, a row without any, shapes that do not match, an
        unknown correction.

    References
    ----------
    .. [1] G. A. Miller, "Note on the bias of information estimates", in H. Quastler (ed.),
       "Information Theory in Psychology", Free Press (1955), 95-100.
    .. [2] B. Efron and C. Stein, "The jackknife estimate of variance", Annals of Statistics 9
       (1981), 586-596.

    Examples
    --------
    >>> import fastdiv as fd
    >>> p, q = [12, 5, 3], [10, 6, 4]  # of one distribution, perhaps
    >>> fd.kl_divergence(p, q), kl_divergence_from_counts(p, q)
    (np.float64(0.02066023401011698), np.float64(-0.07392309932321635))
    """
    name = "kl_divergence_from_counts"
    unit = units(name, base)
    _check_correction(name, correction)
    c = counts_of(name, "p", p, axis)
    given_q = probabilities(name, "q", q, axis=axis) if known_q else counts_of(name, "q", q, axis)
    check_pair(name, c, given_q)
    plain = kl_divergence(c, given_q)
    found = plain - _entropy_correction(c, correction)
    if not known_q:
        with np.errstate(invalid="ignore"):
            found = found + _cross_correction(c, given_q, correction)
    return in_units(np.where(np.isinf(plain), np.inf, found)[()], unit, None)


def mutual_information_from_counts(
    joint: ArrayLike, correction: Correction = "miller-madow", *, base: float | None = None
) -> Any:
    r"""Mutual information of the joint distribution that a table of counts was drawn from.

    .. math:: I - \frac{K_{XY} - K_X - K_Y + 1}{2n} \quad\text{(Miller-Madow)}

    with the mutual information I of the frequencies, and K the numbers of cells, rows and columns
    that occurred: I = H(X) + H(Y) − H(X, Y), each corrected as `entropy_from_counts` does.

    Parameters
    ----------
    joint : array_like
        Whole numbers, shape (…, rows, columns).
    correction : {"miller-madow", "jackknife", None}, default "miller-madow"
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.

    Returns
    -------
    float64 or ndarray of float64
        One number per table; of independent variables about 0, and as often below it as above.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        Fewer than two axes, an empty one, counts that are negative or not whole, a table without
        any, an unknown correction.

    References
    ----------
    .. [1] M. S. Roulston, "Estimating the errors on measured entropy and mutual information",
       Physica D 125 (1999), 285-294.

    Examples
    --------
    >>> import fastdiv as fd
    >>> table = [[12, 7], [9, 12]]
    >>> fd.mutual_information(table).round(6), mutual_information_from_counts(table).round(6)
    (np.float64(0.020768), np.float64(0.008268))
    """
    name = "mutual_information_from_counts"
    unit = units(name, base)
    _check_correction(name, correction)
    given = widened(joint, name, "joint")
    if given.ndim < 2 or 0 in given.shape[-2:]:
        raise ValueError(
            f"{name}: joint has shape {given.shape}; it takes tables (…, rows, columns), not empty"
        )
    flat = counts_of(name, "joint", given.reshape(*given.shape[:-2], -1), -1)
    table = flat.reshape(given.shape)
    found = mutual_information(table) - _entropy_correction(flat, correction)
    for axis in (-1, -2):
        found = found + _entropy_correction(table.sum(axis=axis), correction)
    return in_units(found, unit, None)


def _entropy_correction(c: _Floats, correction: Correction) -> Any:
    n = c.sum(axis=-1)
    if correction is None:
        return 0.0
    if correction == "miller-madow":
        return ((c > 0).sum(axis=-1) - 1) / (2 * n)
    # n H − (n−1) mean H₋ telescopes: every draw of c like ones gives log c − (c−1) log(1 − 1/c).
    with np.errstate(divide="ignore", invalid="ignore"):
        jackknifed = _left_out(n) - (np.where(c > 0, c * _left_out(c), 0.0)).sum(axis=-1) / n
    return jackknifed - entropy(c)


def _left_out(c: _Floats) -> _Floats:
    """Evaluate c log c − (c−1) log(c−1), at 1 its limit 0."""
    found: _Floats = np.where(c > 1, np.log(c) - (c - 1) * np.log1p(-1 / c), 0.0)
    return found


def _cross_correction(c: _Floats, d: _Floats, correction: Correction) -> Any:
    """Return what is added for Q's sample, of which −Σ p̂ log q̂ is too large on average."""
    m, share = d.sum(axis=-1), c / c.sum(axis=-1, keepdims=True)
    if correction is None:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        if correction == "miller-madow":
            ratio = np.where(share > 0, share / d, 0.0).sum(axis=-1)
            return (1 / m - ratio) / 2
        lone = ((share > 0) & (d == 1)).any(axis=-1)
        each = np.where(share > 0, share * (-d * np.log1p(-1 / d)), 0.0).sum(axis=-1)
        found = -(m - 1) * np.log1p(-1 / m) - (m - 1) / m * each
    return np.where(lone, np.nan, found)


def _check_correction(name: str, correction: Correction) -> None:
    known = isinstance(correction, str) and correction in ("miller-madow", "jackknife")
    if not known and correction is not None:
        raise ValueError(
            f"{name}: correction is {correction!r}; it takes 'miller-madow', 'jackknife' or None"
        )


def counts_of(name: str, argument: str, values: ArrayLike, axis: int = -1) -> _Floats:
    """Return rows of whole numbers along the last axis, none of them without any."""
    rows = along_last(name, argument, widened(values, name, argument), axis)
    whole = (rows >= 0) & (rows < np.inf) & (rows == np.floor(rows))
    refuse(name, argument, rows, ~whole, "counts, whole and not negative")
    if not rows.any(axis=-1).all():
        index = tuple(int(i) for i in np.argwhere(~rows.any(axis=-1))[0])
        raise ValueError(f"{name}: {argument}, row {row_name(index)}, has no counts")
    return rows
