"""What to say about tokens whose probability a file does not hold.

llama.cpp's files raise every probability below about e^−16 of the largest to one floor. Such a
token is *in the tail*: its value is an upper limit, and the values of a row add up to more than 1.
Two answers, for blocks of rows:

:func:`compare_llama_cpp`
    reproduces llama.cpp's own figures: its KL takes the floor for a value, leaves out what lies
    at or below e^−16, and does not normalise;
:func:`compare_bucket`
    makes one outcome of all tokens of a row's tail. Merging outcomes never adds to a divergence,
    so each figure is never negative and, but for the rounding of the file's codes (about 1e-4 of
    a probability), at most the true one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdiv.divergences import kl_divergence
from fastdiv.tokens import LogitComparison, compare_logits, logsumexp, token_nll

__all__ = [
    "BucketComparison",
    "Rows",
    "compare_bucket",
    "compare_llama_cpp",
    "label_nll",
    "llama_cpp_quantile",
]

_Values = NDArray[np.generic]
_Labels = NDArray[np.integer]


class Rows(NamedTuple):
    """Rows of one model.

    Attributes
    ----------
    values : ndarray, shape (rows, vocabulary)
        Logits; log-probabilities if `floor` is given.
    floor : ndarray of bool or None
        True for tokens of the tail; None if every value is known.
    """

    values: _Values
    floor: NDArray[np.bool_] | None = None


class BucketComparison(NamedTuple):
    """Columns of the bucketed pair, and what the bucket weighs.

    Attributes
    ----------
    columns : LogitComparison
    p_tail : ndarray of float64
        Probability that the base gives to the bucket.
    """

    columns: LogitComparison
    p_tail: NDArray[np.float64]


def label_nll(rows: Rows, labels: _Labels, *, ignore_index: int = -100) -> NDArray[np.float64]:
    """Return −ln p[label] per row, log-probabilities taken as they stand.

    Parameters
    ----------
    rows : Rows
    labels : ndarray of int, shape (rows,)
    ignore_index : int
        Rows with this label get 0.

    Examples
    --------
    >>> import numpy as np
    >>> log_p = np.log(np.array([[0.5, 0.25, 0.25]]))
    >>> floor = np.array([[False, False, True]])
    >>> label_nll(Rows(log_p, floor), np.array([1])).round(6).tolist()
    [1.386294]
    """
    if rows.floor is None:
        nll: NDArray[np.float64] = token_nll(rows.values, labels, ignore_index=ignore_index)
        return nll
    ignored = labels == ignore_index
    at = np.where(ignored, 0, labels)[:, None]
    picked = np.take_along_axis(rows.values, at, -1)[:, 0].astype(np.float64)
    # Subtracting from 0.0 keeps -0.0 out of the results.
    return np.where(ignored, 0.0, 0.0 - picked)


def compare_llama_cpp(
    base: Rows,
    candidate: _Values,
    labels: _Labels | None = None,
    *,
    ignore_index: int = -100,
) -> LogitComparison:
    """Compare as ``llama-perplexity --kl-divergence`` does, to the digits that it prints.

    kl = Σ over ln p > −16 of p·(ln p − ln q), with the base's ln p as decoded; it may be negative.
    Terms, log-sum-exps, nll and delta_p are float32, as llama.cpp's are: that shows in the last
    digits. llama.cpp knows no other divergence: reverse_kl, js, tv and hellinger are those of
    :func:`compare_bucket`.

    Parameters
    ----------
    base : Rows
        Log-probabilities and floor mask of the file.
    candidate : ndarray, shape (rows, vocabulary)
        Logits.
    labels : ndarray of int, shape (rows,), optional
    ignore_index : int
        Rows with this label get 0 for nll and delta_p.

    Returns
    -------
    LogitComparison
    """
    columns = compare_bucket(base, Rows(candidate), labels, ignore_index=ignore_index).columns
    logits = candidate.astype(np.float32)
    largest = logits.max(-1, keepdims=True)
    rest = np.log(_exp(logits - largest).sum(-1, keepdims=True, dtype=np.float64))
    log_sum = largest + rest.astype(np.float32)
    log_p = base.values.astype(np.float32, copy=False)
    terms = np.where(log_p > -16, _exp(log_p) * ((log_p - logits) + log_sum), np.float32(0))
    columns = columns._replace(kl=terms.sum(-1, dtype=np.float64))
    if labels is None:
        return columns
    counted = labels != ignore_index
    at = np.where(counted, labels, 0)[:, None]
    nll_candidate, nll_base = (
        np.where(counted, nll[:, 0], np.float32(0))
        for nll in (
            log_sum - np.take_along_axis(logits, at, -1),
            0 - np.take_along_axis(log_p, at, -1),
        )
    )
    return columns._replace(
        nll_base=nll_base.astype(np.float64),
        nll_candidate=nll_candidate.astype(np.float64),
        delta_p=(_exp(-nll_candidate) - _exp(-nll_base)).astype(np.float64),
    )


def _exp(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round e^x once: what C's expf gives, but for one case in thousands."""
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(x, dtype=np.float64).astype(np.float32)


def llama_cpp_quantile(ordered: NDArray[np.float64], q: float) -> float:
    """Interpolate as llama.cpp does: everything, the place among the values too, is float32.

    Parameters
    ----------
    ordered : ndarray of float
        Ascending.
    q : float

    Examples
    --------
    >>> import numpy as np
    >>> llama_cpp_quantile(np.arange(5.0), 0.75)
    3.0
    """
    values, one = ordered.astype(np.float32), np.float32(1)
    place = np.float32(q) * np.float32(values.size - 1)
    below = int(place)
    part = place - np.float32(below)
    above = min(below + 1, values.size - 1)
    return float((one - part) * values[below] + part * values[above])


def compare_bucket(
    base: Rows,
    candidate: Rows,
    labels: _Labels | None = None,
    *,
    ignore_index: int = -100,
) -> BucketComparison:
    """Compare with all tokens of either tail merged into one outcome.

    Of each row remain the log-weights of its known tokens and one more, the logarithm of the tail:
    what the known probabilities leave of 1, at least 0, where the tail is unknown; the log-sum-exp
    of its tokens where they are known.

    What is left of 1 may come out as 0 by rounding alone, and a divergence to a model that gives
    0 is infinite. So where a model with an unknown tail is the one diverged *to* (the base in
    reverse_kl, the candidate in kl), its tail enters as the sum of its floors, the most that it
    can be: the result is again a lower bound.

    Parameters
    ----------
    base, candidate : Rows
        P and Q; at least one with a floor.
    labels : ndarray of int, shape (rows,), optional
    ignore_index : int
        Rows with this label get 0 for nll and delta_p.

    Returns
    -------
    BucketComparison
        nll, delta_p and same_top are of the rows as they are, not of the bucketed ones.

    Examples
    --------
    >>> import numpy as np
    >>> log_p = np.log(np.array([[0.5, 0.3, 0.15, 0.15]]))  # the last two: at most 0.15 each
    >>> logits_q = np.log(np.array([[0.4, 0.4, 0.1, 0.1]]))
    >>> tail = np.array([[False, False, True, True]])
    >>> columns, p_tail = compare_bucket(Rows(log_p, tail), Rows(logits_q))
    >>> p_tail.round(6).tolist()
    [0.2]
    >>> expected = 0.5 * np.log(0.5 / 0.4) + 0.3 * np.log(0.3 / 0.4)  # 0.2 against 0.2 adds 0
    >>> bool(np.isclose(columns.kl[0], expected))
    True
    """
    tail = _either(base.floor, candidate.floor)
    # One row at a time: each has its own number of known tokens, often a fifth of the vocabulary.
    found = []
    for p, q, in_tail in zip(base.values, candidate.values, tail, strict=True):
        places = np.flatnonzero(~in_tail), np.flatnonzero(in_tail)
        found.append(
            _bucketed_row(
                _bucketed(p, *places, unknown=base.floor is not None),
                _bucketed(q, *places, unknown=candidate.floor is not None),
            )
        )
    kl, reverse_kl, js, tv, hellinger, p_tail = np.reshape(found, (-1, 6)).T
    nll_base = nll_candidate = delta_p = None
    if labels is not None:
        nll_base = label_nll(base, labels, ignore_index=ignore_index)
        nll_candidate = label_nll(candidate, labels, ignore_index=ignore_index)
        delta_p = np.exp(-nll_candidate) - np.exp(-nll_base)
    same_top = np.argmax(base.values, -1) == np.argmax(candidate.values, -1)
    columns = LogitComparison(
        kl, reverse_kl, js, tv, hellinger, nll_base, nll_candidate, delta_p, same_top
    )
    return BucketComparison(columns, p_tail)


class _Bucketed(NamedTuple):
    """Log-weights of a row, the bucket last; its share; the most it can weigh, if unknown."""

    weights: _Values
    share: float
    limit: float | None


def _either(a: NDArray[np.bool_] | None, b: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if a is None or b is None:
        tail = b if a is None else a
        if tail is None:
            raise ValueError("compare_bucket: neither base nor candidate has a floor mask")
        return tail
    return a | b


def _bucketed(
    values: _Values, known_at: NDArray[np.intp], tail_at: NDArray[np.intp], *, unknown: bool
) -> _Bucketed:
    values = values.astype(np.result_type(values, np.float32), copy=False)
    known = values.take(known_at)
    limit = weight = _log_sum(values.take(tail_at))
    if unknown and tail_at.size:
        share = max(0.0, -float(np.expm1(_log_sum(known))))
        weight = float(np.log(share)) if share else -np.inf
    else:
        share = float(np.exp(weight - _log_sum(values)))
    return _Bucketed(np.append(known, known.dtype.type(weight)), share, limit if unknown else None)


def _bucketed_row(p: _Bucketed, q: _Bucketed) -> tuple[float, ...]:
    """Return the five divergences of one row, and the share of P's bucket."""
    kl, reverse_kl, js, tv, hellinger, *_ = compare_logits(p.weights, q.weights)
    if q.limit is not None:
        kl = _kl_to_limit(p.weights, q.weights, q.limit)
    if p.limit is not None:
        reverse_kl = _kl_to_limit(q.weights, p.weights, p.limit)
    return kl, reverse_kl, js, tv, hellinger, p.share


def _kl_to_limit(log_p: _Values, log_q: _Values, limit: float) -> float:
    """Return the KL divergence of bucketed rows, the bucket of Q as large as it may be."""
    raised = np.append(log_q[:-1], log_q.dtype.type(limit))
    # kl_divergence divides by the sum, which exceeds 1 here and is no part of the model.
    bound = float(kl_divergence(log_p, raised, from_logits=True)) - _log_sum(raised)
    return bound if np.isnan(bound) else max(bound, 0.0)


def _log_sum(values: _Values) -> float:
    return float(logsumexp(values)) if values.size else -np.inf
