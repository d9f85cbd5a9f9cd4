"""Per-token quantities of language models, from logits along the last axis."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core
from fastdiv.evaluation import in_units, units

__all__ = [
    "LogitComparison",
    "compare_logits",
    "logsumexp",
    "perplexity",
    "token_nll",
    "truncated_kl",
]

IGNORED = -1  # what the kernels take for "no label here"


def _vocabulary(function: str, argument: str, logits: Any, vocab_size: int | None) -> int:
    shape = np.shape(logits)
    if not shape:
        raise ValueError(f"{function}: {argument} is a single number; a row of them is one token")
    if shape[-1] == 0:
        raise ValueError(f"{function}: {argument} has an empty vocabulary (shape {shape})")
    if vocab_size is None:
        return int(shape[-1])
    if not 0 < vocab_size <= shape[-1]:
        raise ValueError(
            f"{function}: vocab_size {vocab_size} is not in 1…{shape[-1]}, the length of a row of"
            f" {argument}"
        )
    return int(vocab_size)


def _labels(
    function: str, labels: ArrayLike, shape: tuple[int, ...], vocabulary: int, ignore_index: int
) -> NDArray[np.int64]:
    """Check labels before any row is read; what is ignored becomes IGNORED."""
    given = np.asarray(labels)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{function}: labels have dtype {given.dtype}; they are integers")
    try:
        np.broadcast_shapes(given.shape, shape)
    except ValueError:
        raise ValueError(
            f"{function}: labels have shape {given.shape}, which does not match the {shape} tokens"
        ) from None
    ignored = given == ignore_index
    wrong = ~ignored & ((given < 0) | (given >= vocabulary))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        row = index[0] if len(index) == 1 else index if index else 0
        raise IndexError(
            f"{function}: the label of row {row} is {given[index]}; a vocabulary of {vocabulary}"
            f" takes 0…{vocabulary - 1}, or ignore_index={ignore_index}"
        )
    return np.where(ignored, IGNORED, given.astype(np.int64, copy=False)).astype(np.int64)


def token_nll(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    ignore_index: int = -100,
    vocab_size: int | None = None,
    base: float | None = None,
    dtype: str | None = None,
    out: NDArray[np.float64] | None = None,
) -> Any:
    r"""Negative log-likelihood of each label: per-token cross-entropy, −log softmax(logits)[label].

    .. math:: \mathrm{nll}_i = \log \sum_j e^{a_{ij}} - a_{i,y_i}

    Parameters
    ----------
    logits : array_like, shape (..., vocabulary)
        Unnormalised log-probabilities; float16, bfloat16, float32, float64. −inf is probability 0.
    labels : array_like of int, shape (...)
        The token that each row should predict; broadcasts against the rows.
    ignore_index : int, default -100
        Rows with this label get 0 and are not read.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: a uint16 array holds raw bfloat16.
    out : ndarray, optional
        Array of float64 for the result.

    Returns
    -------
    float64 or ndarray of float64, shape (...)
        One number per token. +inf for a label of probability 0; NaN, with NumPy's "invalid value"
        warning, for a row with +inf or with nothing but −inf.

    Raises
    ------
    IndexError
        If a label is not in the vocabulary; nothing has been written then.
    TypeError
        If labels are no integers or the dtype of the logits is not supported.
    ValueError
        If shapes do not match or the vocabulary is empty.

    See Also
    --------
    perplexity : exp of the mean.

    References
    ----------
    .. [1] F. Jelinek, R. L. Mercer, L. R. Bahl and J. K. Baker, "Perplexity - a measure of the
       difficulty of speech recognition tasks", J. Acoust. Soc. Am. 62 (1977), S63.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.token_nll([[0.0, 0.0], [0.0, 100.0]], [1, 1])
    array([6.93147181e-01, 3.72007598e-44])
    """
    unit = units("token_nll", base)
    vocabulary = _vocabulary("token_nll", "logits", logits, vocab_size)
    checked = _labels("token_nll", labels, np.shape(logits)[:-1], vocabulary, ignore_index)
    result = _core.tokens("token_nll", (logits,), ("logits",), (checked,), out, dtype, vocab_size)
    return in_units(result, unit, out)


def perplexity(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    ignore_index: int = -100,
    vocab_size: int | None = None,
    dtype: str | None = None,
) -> float:
    r"""Perplexity: exp of the mean negative log-likelihood of the labels that are not ignored.

    .. math:: \mathrm{PPL} = \exp \frac1n \sum_i \mathrm{nll}_i

    Parameters
    ----------
    logits : array_like, shape (..., vocabulary)
        Unnormalised log-probabilities; float16, bfloat16, float32, float64.
    labels : array_like of int, shape (...)
        The token that each row should predict.
    ignore_index : int, default -100
        Tokens with this label are not counted.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: a uint16 array holds raw bfloat16.

    Returns
    -------
    float

    Raises
    ------
    IndexError, TypeError
        As `token_nll`.
    ValueError
        As `token_nll`, and if no token is left to count.

    References
    ----------
    .. [1] F. Jelinek, R. L. Mercer, L. R. Bahl and J. K. Baker, "Perplexity - a measure of the
       difficulty of speech recognition tasks", J. Acoust. Soc. Am. 62 (1977), S63.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.perplexity([[0.0, 0.0], [5.0, 1.0]], [1, -100])
    2.0
    """
    vocabulary = _vocabulary("perplexity", "logits", logits, vocab_size)
    shape = np.shape(logits)[:-1]
    checked = _labels("perplexity", labels, shape, vocabulary, ignore_index)
    counted = int(
        np.count_nonzero(np.broadcast_to(checked, np.broadcast_shapes(checked.shape, shape)) + 1)
    )
    if counted == 0:
        raise ValueError(f"perplexity: none of the {checked.size} labels is counted")
    nll = token_nll(logits, labels, ignore_index=ignore_index, vocab_size=vocab_size, dtype=dtype)
    return float(np.exp(math.fsum(np.ravel(nll)) / counted))


class LogitComparison(NamedTuple):
    """What `compare_logits` finds for each token; arrays of the shape of the batch.

    Attributes
    ----------
    kl : ndarray of float64
        D(base‖candidate), nats.
    reverse_kl : ndarray of float64
        D(candidate‖base), nats.
    js : ndarray of float64
        Jensen-Shannon divergence, nats.
    tv : ndarray of float64
        Total variation distance.
    hellinger : ndarray of float64
        Hellinger distance.
    nll_base, nll_candidate : ndarray of float64 or None
        Negative log-likelihood of the label; None without labels.
    delta_p : ndarray of float64 or None
        The candidate's probability of the label minus the base's; None without labels.
    same_top : ndarray of bool
        Whether both have the same most probable token (the first one of several).

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.compare_logits([[1.0, 2.0]], [[1.0, 2.0]]).kl
    array([0.])
    """

    kl: Any
    reverse_kl: Any
    js: Any
    tv: Any
    hellinger: Any
    nll_base: Any
    nll_candidate: Any
    delta_p: Any
    same_top: Any


def compare_logits(
    base: ArrayLike,
    candidate: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    ignore_index: int = -100,
    vocab_size: int | None = None,
    dtype: str | None = None,
) -> LogitComparison:
    r"""Compare two models token by token, reading both rows of logits once from memory.

    .. math:: \mathrm{kl}_i = \sum_j p_{ij} \log\frac{p_{ij}}{q_{ij}}, \quad
        p_i = \mathrm{softmax}(\mathrm{base}_i),\ q_i = \mathrm{softmax}(\mathrm{candidate}_i)

    Parameters
    ----------
    base, candidate : array_like, shape (..., vocabulary)
        Unnormalised log-probabilities; float16, bfloat16, float32, float64, not necessarily the
        same; −inf is probability 0. Batches broadcast.
    labels : array_like of int, shape (...), optional
        The token that each row should predict.
    ignore_index : int, default -100
        Tokens with this label get 0 as nll and delta_p.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary: cuts padding, also of two models
        that are padded differently.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.

    Returns
    -------
    LogitComparison
        Named tuple of arrays, one number per token. NaN (same_top: False) for a row with NaN, +inf
        or nothing but −inf in either model.

    Raises
    ------
    IndexError
        If a label is not in the vocabulary.
    TypeError
        If labels are no integers or a dtype is not supported.
    ValueError
        If shapes or vocabularies do not match.

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of
       Mathematical Statistics 22 (1951), 79-86.

    Examples
    --------
    >>> import fastdiv as fd
    >>> found = fd.compare_logits([[1.0, 2.0, 3.0]], [[1.0, 2.0, 4.0]], labels=[2])
    >>> found.kl, found.same_top
    (array([0.0969991]), array([ True]))
    >>> found.delta_p
    array([0.17855378])
    """
    vocabulary = _vocabulary("compare_logits", "base", base, vocab_size)
    batch = np.shape(base)[:-1]
    if labels is None:
        checked: Any = np.int64(IGNORED)
    else:
        checked = _labels("compare_logits", labels, batch, vocabulary, ignore_index)
    fields = _core.tokens(
        "compare_logits",
        (base, candidate),
        ("base", "candidate"),
        (checked,),
        None,
        dtype,
        vocab_size,
    )
    kl, reverse_kl, js, tv, hellinger, nll_base, nll_candidate, delta_p, same_top = fields
    if labels is None:
        nll_base = nll_candidate = delta_p = None
    return LogitComparison(
        kl, reverse_kl, js, tv, hellinger, nll_base, nll_candidate, delta_p, same_top != 0
    )


def logsumexp(
    logits: ArrayLike,
    *,
    axis: int = -1,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
) -> Any:
    r"""Logarithm of the sum of exponentials.

    .. math:: \log \sum_j e^{a_j}

    Parameters
    ----------
    logits : array_like
        float16, bfloat16, float32 or float64.
    axis : int, default -1
        The axis to sum over.
    keepdims : bool, default False
        Keep `axis` with length 1.
    out : ndarray, optional
        Array of float64 for the result.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: a uint16 array holds raw bfloat16.

    Returns
    -------
    float64 or ndarray of float64
        −inf for a row of nothing but −inf; NaN for a row with +inf.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If a row is empty.

    References
    ----------
    .. [1] P. Blanchard, D. J. Higham and N. J. Higham, "Accurately computing the log-sum-exp and
       softmax functions", IMA Journal of Numerical Analysis 41 (2021), 2311-2330.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.logsumexp([1000.0, 1000.0])
    np.float64(1000.6931471805599)
    """
    return _core.tokens("logsumexp", (logits,), ("logits",), (), out, dtype, None, axis, keepdims)


def truncated_kl(
    log_p: ArrayLike, logits_q: ArrayLike, *, floor: float = -16.0, dtype: str | None = None
) -> Any:
    r"""Divergence summed over the more probable tokens only, as llama.cpp does.

    .. math:: \sum_{j:\, l_j > \mathrm{floor}} e^{l_j}\,(l_j - \log\mathrm{softmax}(b)_j)

    It is no divergence: the rest of `log_p` is dropped, not accounted for, so it may be too high,
    too low or negative. It is here to reproduce the numbers of llama.cpp.

    Parameters
    ----------
    log_p : array_like, shape (..., vocabulary)
        Log-probabilities, taken as they are.
    logits_q : array_like, shape (..., vocabulary)
        Unnormalised log-probabilities of the candidate.
    floor : float, default -16.0
        Log-probabilities up to here are left out.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.

    Returns
    -------
    float64 or ndarray of float64, shape (...)

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If shapes do not match.

    References
    ----------
    .. [1] llama.cpp, tools/perplexity, ``--kl-divergence``.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.truncated_kl([-0.1, -2.5, -17.0], [3.0, 1.0, -9.0])
    np.float64(-0.006252800698672314)
    """
    return _core.tokens(
        "truncated_kl",
        (log_p, logits_q),
        ("log_p", "logits_q"),
        (np.float64(floor),),
        None,
        dtype,
        None,
    )
