"""Per-token quantities of language models, from logits along the last axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core
from fastdiv.evaluation import (
    in_units,
    integer_of,
    refuse_masked,
    temperature_of,
    units,
    unmasked,
    weight_of,
)

__all__ = [
    "LogitComparison",
    "TokenStatistics",
    "compare_logits",
    "ignored_label",
    "logsumexp",
    "perplexity",
    "token_nll",
    "token_stats",
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
    if not 0 < integer_of(function, "vocab_size", vocab_size) <= shape[-1]:
        raise ValueError(
            f"{function}: vocab_size {vocab_size} is not in 1…{shape[-1]}, the length of a row of"
            f" {argument}"
        )
    return int(vocab_size)


def ignored_label(function: str, ignore_index: int | None) -> int | None:
    """Read the label of tokens that are left out; None if there is no such label."""
    if ignore_index is None:
        return None
    try:
        return integer_of(function, "ignore_index", ignore_index)
    except TypeError as error:
        raise TypeError(f"{error} or None") from None


def _labels(
    function: str,
    labels: ArrayLike,
    shape: tuple[int, ...],
    vocabulary: int,
    ignore_index: int | None,
) -> NDArray[np.int64]:
    """Check labels before any row is read; what is ignored becomes IGNORED."""
    given = unmasked(function, "labels", labels)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{function}: labels have dtype {given.dtype}; they are integers")
    try:
        np.broadcast_shapes(given.shape, shape)
    except ValueError:
        raise ValueError(
            f"{function}: labels have shape {given.shape}, which does not match the {shape} tokens"
        ) from None
    ignored = np.zeros(given.shape, np.bool_) if ignore_index is None else given == ignore_index
    wrong = ~ignored & ((given < 0) | (given >= vocabulary))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        row = index[0] if len(index) == 1 else index if index else 0
        other = "" if ignore_index is None else f", or ignore_index={ignore_index}"
        raise IndexError(
            f"{function}: the label of row {row} is {given[index]}; a vocabulary of {vocabulary}"
            f" takes 0…{vocabulary - 1}{other}"
        )
    return np.where(ignored, IGNORED, given.astype(np.int64, copy=False)).astype(np.int64)


def _kernel(
    function: str, rows: tuple[ArrayLike, ...], arguments: tuple[str, ...], *options: Any
) -> Any:
    """Call the kernel, which would drop the masks of arrays in a list."""
    for argument, x in zip(arguments, rows, strict=True):
        refuse_masked(function, argument, x)
    return _core.tokens(function, rows, arguments, *options)


def token_nll(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    ignore_index: int | None = -100,
    vocab_size: int | None = None,
    temperature: ArrayLike = 1.0,
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
    ignore_index : int or None, default -100
        Rows with this label get 0 and are not read; None: no label is ignored.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    temperature : array_like, default 1.0
        By which all logits of a row are divided; broadcasts against the rows.
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
    ignored = ignored_label("token_nll", ignore_index)
    checked = _labels("token_nll", labels, np.shape(logits)[:-1], vocabulary, ignored)
    numbers = (checked, temperature_of("token_nll", temperature))
    result = _kernel("token_nll", (logits,), ("logits",), numbers, out, dtype, vocab_size)
    return in_units(result, unit, out)


def perplexity(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    ignore_index: int | None = -100,
    vocab_size: int | None = None,
    temperature: float = 1.0,
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
    ignore_index : int or None, default -100
        Tokens with this label are not counted; None: all are.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary.
    temperature : float, default 1.0
        By which all logits are divided.
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
    ignored = ignored_label("perplexity", ignore_index)
    checked = _labels("perplexity", labels, shape, vocabulary, ignored)
    counted = int(
        np.count_nonzero(np.broadcast_to(checked, np.broadcast_shapes(checked.shape, shape)) + 1)
    )
    if counted == 0:
        raise ValueError(f"perplexity: none of the {checked.size} labels is counted")
    nll = token_nll(
        logits,
        labels,
        ignore_index=ignore_index,
        vocab_size=vocab_size,
        temperature=float(temperature_of("perplexity", temperature)),
        dtype=dtype,
    )
    try:
        return math.exp(math.fsum(np.ravel(nll)) / counted)
    except OverflowError:
        return math.inf


class LogitComparison(NamedTuple):
    """What `compare_logits` finds for each token; arrays of the shape of the batch.

    A field that was not asked for is None, and so are those of labels without labels.

    Attributes
    ----------
    kl : ndarray of float64
        D(base‖candidate), nats.
    reverse_kl : ndarray of float64
        D(candidate‖base), nats.
    js : ndarray of float64
        Jensen-Shannon divergence of the given `weight`, nats.
    tv : ndarray of float64
        Total variation distance; 1 − tv is the largest rate at which tokens that are drawn from
        both models can agree.
    hellinger : ndarray of float64
        Hellinger distance.
    nll_base, nll_candidate : ndarray of float64
        Negative log-likelihood of the label, nats.
    delta_p : ndarray of float64
        The candidate's probability of the label minus the base's.
    same_top : ndarray of bool
        Whether both have the same most probable token.
    chi2 : ndarray of float64
        Pearson's χ² divergence, Σ (p − q)²/q.
    entropy_base, entropy_candidate : ndarray of float64
        Entropy, nats.
    top_base, top_candidate : ndarray of int64
        The most probable token, the first of several; −1 for a row that is no distribution.
    confidence_base, confidence_candidate : ndarray of float64
        Its probability.
    rank_base, rank_candidate : ndarray of int64
        How many tokens are at least as probable as the label, itself included: 1 for the most
        probable token; of equal ones the first counts as more probable. 0 where there is no label.
    top_k_overlap : ndarray of float64
        Share of the `top_k` most probable tokens of the base that are so in the candidate too.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.compare_logits([[1.0, 2.0]], [[1.0, 2.0]]).kl
    array([0.])
    """

    kl: Any = None
    reverse_kl: Any = None
    js: Any = None
    tv: Any = None
    hellinger: Any = None
    nll_base: Any = None
    nll_candidate: Any = None
    delta_p: Any = None
    same_top: Any = None
    chi2: Any = None
    entropy_base: Any = None
    entropy_candidate: Any = None
    top_base: Any = None
    top_candidate: Any = None
    confidence_base: Any = None
    confidence_candidate: Any = None
    rank_base: Any = None
    rank_candidate: Any = None
    top_k_overlap: Any = None


class TokenStatistics(NamedTuple):
    """What `token_stats` finds for each token; arrays of the shape of the batch.

    A field that was not asked for is None, and so are those of labels without labels.

    Attributes
    ----------
    nll : ndarray of float64
        Negative log-likelihood of the label, nats.
    logsumexp : ndarray of float64
        Logarithm of the sum of exponentials: a logit minus this is a log-probability.
    entropy : ndarray of float64
        Entropy, nats.
    argmax : ndarray of int64
        The most probable token, the first of several; −1 for a row that is no distribution.
    max_prob : ndarray of float64
        Its probability.
    rank : ndarray of int64
        How many tokens are at least as probable as the label, itself included; of equal ones the
        first counts as more probable. 0 where there is no label.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.token_stats([[1.0, 2.0]], [0]).rank
    array([2])
    """

    nll: Any = None
    logsumexp: Any = None
    entropy: Any = None
    argmax: Any = None
    max_prob: Any = None
    rank: Any = None


_OF_LABELS = frozenset({"nll_base", "nll_candidate", "delta_p", "rank_base", "rank_candidate"})
_OF_LABEL = frozenset({"nll", "rank"})
_INTEGERS = frozenset(
    {"top_base", "top_candidate", "rank_base", "rank_candidate", "argmax", "rank"}
)
_ON_REQUEST = frozenset({"chi2", "rank_base", "rank_candidate", "top_k_overlap"})
_BY_DEFAULT = tuple(name for name in LogitComparison._fields if name not in _ON_REQUEST)


def _wanted(
    function: str,
    fields: Iterable[str] | None,
    default: tuple[str, ...],
    known: tuple[str, ...],
    of_labels: frozenset[str],
    labelled: bool,
) -> tuple[str, ...]:
    """Return the names of the fields to compute."""
    if fields is None:
        return tuple(name for name in default if labelled or name not in of_labels)
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    for name in names:
        if name not in known:
            raise ValueError(
                f"{function}: there is no field {name!r}; fields takes some of {', '.join(known)}"
            )
        if name in of_labels and not labelled:
            raise ValueError(f"{function}: the field {name!r} is of the labels, and there are none")
    return names


def _batch(shape: tuple[int, ...], *numbers: ArrayLike) -> tuple[int, ...]:
    """Return the shape of the results, or of the rows where the numbers do not fit them."""
    try:
        return np.broadcast_shapes(shape, *map(np.shape, numbers))
    except ValueError:
        return shape  # `_computed` says which one it is


def _computed(
    function: str,
    rows: tuple[ArrayLike, ...],
    arguments: tuple[str, ...],
    known: tuple[str, ...],
    names: tuple[str, ...],
    labels: NDArray[np.int64] | None,
    temperature: ArrayLike,
    weight: ArrayLike,
    top_k: int,
    dtype: str | None,
    vocab_size: int | None,
) -> dict[str, Any]:
    """Call the kernel and return the fields that are wanted, each in its type."""
    bits = np.int64(sum(1 << known.index(name) for name in set(names)))
    weights, temperatures = weight_of(function, weight), temperature_of(function, temperature)
    batch = [np.shape(x)[:-1] for x in rows]
    for argument, x in (("weight", weights), ("temperature", temperatures)):
        try:
            np.broadcast_shapes(x.shape, *batch)
        except ValueError:
            raise ValueError(
                f"{function}: {argument} has shape {x.shape}, which does not match the"
                f" {' and '.join(map(str, batch))} tokens of {' and '.join(arguments)}"
            ) from None
    label = np.int64(IGNORED) if labels is None else labels
    numbers = (label, bits, np.int64(top_k), weights, temperatures)
    result = _kernel(function, rows, arguments, numbers, None, dtype, vocab_size)
    fields = {name: x for name, x in zip(known, result, strict=True) if name in names}
    for name in _INTEGERS & fields.keys():
        fields[name] = fields[name].astype(np.int64)
    if "same_top" in fields:
        fields["same_top"] = fields["same_top"] != 0
    return fields


def token_stats(
    logits: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    fields: Iterable[str] | None = None,
    temperature: ArrayLike = 1.0,
    ignore_index: int | None = -100,
    vocab_size: int | None = None,
    dtype: str | None = None,
) -> TokenStatistics:
    r"""Statistics of each row of logits, read once from memory.

    .. math:: p_j = e^{a_j/T} / \textstyle\sum_k e^{a_k/T}, \quad H = -\sum_j p_j \log p_j

    Parameters
    ----------
    logits : array_like, shape (..., vocabulary)
        Unnormalised log-probabilities; float16, bfloat16, float32, float64. −inf is probability 0.
    labels : array_like of int, shape (...), optional
        The token that each row should predict.
    fields : iterable of str, optional
        Names of the fields to compute; all that there can be by default.
    temperature : array_like, default 1.0
        T, by which all logits of a row are divided; broadcasts against the rows.
    ignore_index : int or None, default -100
        Rows with this label get 0 for nll and rank; None: no label is ignored.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: a uint16 array holds raw bfloat16.

    Returns
    -------
    TokenStatistics
        Named tuple of arrays, one number per token, NaN (argmax −1, rank 0) for a row with NaN,
        +inf or nothing but −inf.

    Raises
    ------
    IndexError
        If a label is not in the vocabulary.
    TypeError
        If labels are no integers or the dtype is not supported.
    ValueError
        If shapes do not match, a field has no such name, or a temperature is not above 0.

    See Also
    --------
    compare_logits : of two models.

    References
    ----------
    .. [1] C. E. Shannon, "A mathematical theory of communication", Bell System Technical Journal
       27 (1948), 379-423.

    Examples
    --------
    >>> import fastdiv as fd
    >>> found = fd.token_stats([[0.0, 0.0, 0.0], [5.0, 1.0, 1.0]], [2, 0])
    >>> found.entropy, found.rank
    (array([1.09861229, 0.17732368]), array([3, 1]))
    >>> fd.token_stats([2.0, 0.0], temperature=[0.5, 1.0, 2.0]).max_prob
    array([0.98201379, 0.88079708, 0.73105858])
    """
    vocabulary = _vocabulary("token_stats", "logits", logits, vocab_size)
    known = _core.STATISTICS
    names = _wanted("token_stats", fields, known, known, _OF_LABEL, labels is not None)
    ignored = ignored_label("token_stats", ignore_index)
    checked = None
    if labels is not None:
        shape = _batch(np.shape(logits)[:-1], temperature)
        checked = _labels("token_stats", labels, shape, vocabulary, ignored)
    arguments = ("logits",)
    options = (known, names, checked, temperature, 0.5, 1, dtype, vocab_size)
    return TokenStatistics(**_computed("token_stats", (logits,), arguments, *options))


def compare_logits(
    base: ArrayLike,
    candidate: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    fields: Iterable[str] | None = None,
    weight: ArrayLike = 0.5,
    temperature: ArrayLike = 1.0,
    top_k: int = 10,
    ignore_index: int | None = -100,
    vocab_size: int | None = None,
    dtype: str | None = None,
) -> LogitComparison:
    r"""Compare two models token by token, reading both rows of logits once from memory.

    .. math:: \mathrm{kl}_i = \sum_j p_{ij} \log\frac{p_{ij}}{q_{ij}}, \quad
        p_i = \mathrm{softmax}(\mathrm{base}_i/T),\ q_i = \mathrm{softmax}(\mathrm{candidate}_i/T)

    Parameters
    ----------
    base, candidate : array_like, shape (..., vocabulary)
        Unnormalised log-probabilities; float16, bfloat16, float32, float64, not necessarily the
        same; −inf is probability 0. Batches broadcast.
    labels : array_like of int, shape (...), optional
        The token that each row should predict.
    fields : iterable of str, optional
        Names of the fields to compute. By default all but `chi2`, `rank_base`, `rank_candidate`
        and `top_k_overlap`, of which each needs one more look at the rows.
    weight : array_like, default 0.5
        What the base weighs in the mixture M = weight·P + (1 − weight)·Q that `js` is to; the β of
        generalised knowledge distillation [2]_.
    temperature : array_like, default 1.0
        T, by which all logits of both rows are divided; broadcasts against the rows. Whatever is
        not 1 computes in float64.
    top_k : int, default 10
        How many tokens `top_k_overlap` looks at, 1…128; all of a smaller vocabulary.
    ignore_index : int or None, default -100
        Tokens with this label get 0 as nll, delta_p and rank; None: no label is ignored.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary: cuts padding, also of two models
        that are padded differently.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.

    Returns
    -------
    LogitComparison
        Named tuple of arrays, one number per token. NaN (same_top False, top_base and
        top_candidate −1, ranks 0) for a row with NaN, +inf or nothing but −inf in either model.

    Raises
    ------
    IndexError
        If a label is not in the vocabulary.
    TypeError
        If labels are no integers or a dtype is not supported.
    ValueError
        If shapes or vocabularies do not match, a field has no such name or needs labels, or
        `weight`, `temperature` or `top_k` is out of range.

    See Also
    --------
    ComparisonMeter : statistics over many tokens.

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of
       Mathematical Statistics 22 (1951), 79-86.
    .. [2] R. Agarwal et al., "On-policy distillation of language models: learning from
       self-generated mistakes", ICLR 2024.

    Examples
    --------
    >>> import fastdiv as fd
    >>> found = fd.compare_logits([[1.0, 2.0, 3.0]], [[1.0, 2.0, 4.0]], labels=[2])
    >>> found.kl, found.same_top
    (array([0.0969991]), array([ True]))
    >>> found.delta_p
    array([0.17855378])
    >>> fd.compare_logits([1.0, 2.0], [2.0, 1.0], temperature=[1, 10], fields=["kl", "chi2"])[:2]
    (array([0.46211716, 0.00499584]), None)
    """
    vocabulary = _vocabulary("compare_logits", "base", base, vocab_size)
    known = _core.COMPARISONS
    names = _wanted("compare_logits", fields, _BY_DEFAULT, known, _OF_LABELS, labels is not None)
    if (
        isinstance(top_k, bool)
        or not isinstance(top_k, (int, np.integer))
        or not 1 <= top_k <= _core.LARGEST_TOP_K
    ):
        raise ValueError(f"compare_logits: top_k is {top_k!r}; it takes 1…{_core.LARGEST_TOP_K}")
    ignored = ignored_label("compare_logits", ignore_index)
    checked = None
    if labels is not None:
        shape = _batch(np.shape(base)[:-1], temperature, weight)
        checked = _labels("compare_logits", labels, shape, vocabulary, ignored)
    arguments = ("base", "candidate")
    options = (known, names, checked, temperature, weight, top_k, dtype, vocab_size)
    return LogitComparison(**_computed("compare_logits", (base, candidate), arguments, *options))


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
    return _kernel("logsumexp", (logits,), ("logits",), (), out, dtype, None, axis, keepdims)


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
    np.float64(-0.006252800698672286)
    """
    return _kernel(
        "truncated_kl",
        (log_p, logits_q),
        ("log_p", "logits_q"),
        (np.float64(floor),),
        None,
        dtype,
        None,
    )
