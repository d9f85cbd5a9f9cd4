"""Rows of which only the most probable tokens are known, and what that is enough to say.

A `TopKRows` holds for each row the tokens that are known, their log-probabilities, and what is
known of the rest. Nothing is made up: no renormalisation, no value for an unknown token. The
divergences of such rows are intervals, and every pair of distributions that agrees with what is
given has its divergence inside (:mod:`fastdiv.intervals`, :mod:`fastdiv.full_rows`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import array_of, legible, refuse_masked, unmasked
from fastdiv.full_rows import FullPair, full_bounds
from fastdiv.intervals import (
    GENERATORS,
    LARGEST_OF,
    SMALLEST,
    UNIT,
    Array,
    Both,
    Index,
    Only,
    Pair,
    allowance,
    known_maximum,
    lower_bounds,
    specht,
    total,
)
from fastdiv.tokens import compare_logits, logsumexp, token_nll

__all__ = ["TopKComparison", "TopKRows", "compare_topk", "concatenated", "top_k"]

BLOCK_NUMBERS = 1 << 19  # of a block of full rows: 4 MiB of float64
BLOCK_TOKENS = 1 << 18
IGNORED = -1
_NAMES = ("kl", "reverse_kl", "js", "tv")


_PER_ROW = ("error", "tail", "tail_error", "cap", "tail_entropy", "label_log_p")


@dataclass(frozen=True)
class TopKRows:
    """Rows of known tokens and a tail; row i has those from ``offsets[i]`` to ``offsets[i + 1]``.

    Parameters
    ----------
    offsets : ndarray of int64, shape (rows + 1,)
        Where each row begins in `tokens` and `log_p`.
    tokens : ndarray of int64
        Identifiers of the known tokens, each once in a row, in any order.
    log_p : ndarray of float64
        Their log-probabilities.
    error : ndarray of float64, shape (rows,)
        The true log-probability of each known token of the row is within this of `log_p`.
    tail : ndarray of float64, shape (rows,)
        Probability of all other tokens together; NaN in a row that is no distribution.
    tail_error : ndarray of float64, shape (rows,)
        The true one is within this of `tail`.
    cap : ndarray of float64, shape (rows,)
        No token of the tail is more probable than this.
    tail_entropy : ndarray of float64, shape (rows,)
        −Σ p log p over the tail, to within 2⁻⁴⁰ of itself and the tail; NaN where it is not known.
    label_log_p : ndarray of float64, shape (rows,)
        Log-probability of the token that the row predicts; NaN where it is not known.
    vocab : int or None
        Number of tokens in all; None where it is not known.

    Examples
    --------
    Somebody's top two of an unknown vocabulary, printed with four digits:

    >>> import numpy as np
    >>> log_p = np.array([-0.2231, -2.3026])
    >>> known = np.exp(log_p).sum()
    >>> row = TopKRows(
    ...     offsets=np.array([0, 2]),
    ...     tokens=np.array([17, 4]),
    ...     log_p=log_p,
    ...     error=np.array([5e-5]),
    ...     tail=np.array([1 - known]),
    ...     tail_error=np.array([5e-5]),
    ...     cap=np.exp(log_p[1:]),
    ...     tail_entropy=np.array([np.nan]),
    ...     label_log_p=np.array([np.nan]),
    ... )
    >>> len(row), row.vocab
    (1, None)
    """

    offsets: NDArray[np.int64]
    tokens: NDArray[np.int64]
    log_p: NDArray[np.float64]
    error: NDArray[np.float64]
    tail: NDArray[np.float64]
    tail_error: NDArray[np.float64]
    cap: NDArray[np.float64]
    tail_entropy: NDArray[np.float64]
    label_log_p: NDArray[np.float64]
    vocab: int | None = None

    def __post_init__(self) -> None:
        """Check shapes and dtypes; contents are checked where they are used."""
        rows = np.size(self.tail)
        for name, kind in (
            *((name, "f") for name in (*_PER_ROW, "log_p")),
            ("offsets", "i"),
            ("tokens", "i"),
        ):
            array = getattr(self, name)
            refuse_masked("TopKRows", name, array)
            if not isinstance(array, np.ndarray) or array.dtype != np.dtype(kind + "8"):
                found = getattr(array, "dtype", type(array).__name__)
                raise TypeError(f"TopKRows: {name} is {found}; it takes an array of {kind}8")
            shape = (rows,) if name in _PER_ROW else (rows + 1,) if name == "offsets" else None
            if array.ndim != 1 or (shape is not None and array.shape != shape):
                expected = "one axis" if shape is None else f"shape {shape}"
                raise ValueError(
                    f"TopKRows: {name} has shape {array.shape}; {rows} rows take {expected}"
                )
        if self.tokens.size != self.log_p.size:
            raise ValueError(
                f"TopKRows: {self.tokens.size} tokens and {self.log_p.size} log-probabilities"
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.tail.size

    def part(self, start: int, stop: int) -> "TopKRows":
        """Return the rows from `start` up to `stop`, as views."""
        first, last = self.offsets[start], self.offsets[stop]
        return TopKRows(
            self.offsets[start : stop + 1] - first,
            self.tokens[first:last],
            self.log_p[first:last],
            **{name: getattr(self, name)[start:stop] for name in _PER_ROW},
            vocab=self.vocab,
        )


class TopKComparison(NamedTuple):
    """What `compare_topk` finds for each row; arrays of shape (rows,).

    Attributes
    ----------
    kl_lower, kl_upper : ndarray of float64
        Limits of D(base‖candidate), nats. An upper one of +inf says that nothing is excluded.
    reverse_kl_lower, reverse_kl_upper : ndarray of float64
        Of D(candidate‖base), nats.
    js_lower, js_upper : ndarray of float64
        Of the Jensen-Shannon divergence, nats.
    tv_lower, tv_upper : ndarray of float64
        Of the total variation distance.
    nll_base, nll_candidate : ndarray of float64
        Negative log-likelihood of the label; NaN where it is not known.
    delta_p : ndarray of float64
        The candidate's probability of the label minus the base's; NaN where it is not known.
    same_top : ndarray of bool
        Whether both have the same most probable token; False where `undecided`.
    undecided : ndarray of bool
        Where what is known leaves `same_top` open.
    p_tail : ndarray of float64
        Probability that the base gives to tokens not known on both sides.
    """

    kl_lower: NDArray[np.float64]
    kl_upper: NDArray[np.float64]
    reverse_kl_lower: NDArray[np.float64]
    reverse_kl_upper: NDArray[np.float64]
    js_lower: NDArray[np.float64]
    js_upper: NDArray[np.float64]
    tv_lower: NDArray[np.float64]
    tv_upper: NDArray[np.float64]
    nll_base: NDArray[np.float64]
    nll_candidate: NDArray[np.float64]
    delta_p: NDArray[np.float64]
    same_top: NDArray[np.bool_]
    undecided: NDArray[np.bool_]
    p_tail: NDArray[np.float64]


def top_k(logits: ArrayLike, k: int, labels: ArrayLike | None = None) -> TopKRows:
    r"""Keep the `k` most probable tokens of each row, and exactly what the others add up to.

    .. math:: \log p_j = a_j - \log\sum_i e^{a_i}, \quad p_t = \sum_{j \notin A} p_j, \quad
        H_t = -\sum_{j \notin A} p_j \log p_j

    Parameters
    ----------
    logits : array_like, shape (rows, vocabulary)
        float16, bfloat16, float32 or float64; −inf is probability 0.
    k : int
        Tokens per row, from 0 to the vocabulary; of equal ones the first are kept.
    labels : array_like of int, shape (rows,), optional
        The token that each row predicts; −100 for none.

    Returns
    -------
    TopKRows
        Tokens ascend in each row. A row with NaN, +inf or nothing but −inf has no tokens and a tail
        of NaN.

    Raises
    ------
    IndexError
        If a label is not in the vocabulary.
    TypeError
        If labels are no integers or the dtype is not supported.
    ValueError
        If `logits` are no rows or `k` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> rows = top_k(np.log([[0.5, 0.25, 0.125, 0.125]]), 2)
    >>> rows.tokens, np.exp(rows.log_p).round(3), rows.tail.round(3), rows.cap.round(3)
    (array([0, 1]), array([0.5 , 0.25]), array([0.25]), array([0.125]))
    """
    values = _rows_of("top_k", "logits", logits)
    rows, vocab = values.shape
    if not 0 <= k <= vocab:
        raise ValueError(f"top_k: k is {k}; it takes 0…{vocab}, the length of a row of logits")
    given = _labels_of("top_k", labels, rows, vocab)
    parts = [
        _top_of_block(_wide(values[start:stop]), np.full(stop - start, k), given[start:stop])
        for start, stop in _blocks(rows, BLOCK_NUMBERS // vocab)
    ]
    return concatenated(parts, vocab)


def concatenated(parts: list[TopKRows], vocab: int | None) -> TopKRows:
    """Join rows of one vocabulary; the inverse of `TopKRows.part`."""
    sizes = [np.diff(part.offsets) for part in parts]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([*sizes, []]))])
    return TopKRows(
        offsets.astype(np.int64),
        np.concatenate([np.empty(0, np.int64), *(part.tokens for part in parts)]),
        np.concatenate([np.empty(0), *(part.log_p for part in parts)]),
        **{
            name: np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])
            for name in _PER_ROW
        },
        vocab=vocab,
    )


def compare_topk(
    base: TopKRows | ArrayLike,
    candidate: TopKRows | ArrayLike,
    labels: ArrayLike | None = None,
    *,
    tail_ratio: float | None = None,
) -> TopKComparison:
    r"""Return intervals that hold the divergences of rows whose tails are not known.

    .. math:: \min D(P‖Q) \le D(P‖Q) \le \max D(P‖Q)

    over all pairs of distributions that agree with what is given. The lower ends are attained up to
    the errors given. The upper ends are attained where one side is full and the other's numbers are
    exact; the upper end of KL is +inf as soon as the candidate may give 0 to a token to which the
    base may give more.

    Parameters
    ----------
    base, candidate : TopKRows or array_like, shape (rows, vocabulary)
        P and Q: known tokens, or logits of all tokens.
    labels : array_like of int, shape (rows,), optional
        The token that each row predicts; −100 for none: nll and delta_p are 0 there. Without, or
        where a side does not know the token, its `label_log_p` counts.
    tail_ratio : float, optional
        Trust that |log p/q| is at most this for every token that is not known on both sides: both
        upper ends of KL are then finite. They are certified under that condition only.

    Returns
    -------
    TopKComparison
        NaN in rows that are no distribution on either side.

    Raises
    ------
    IndexError
        If a label is not in the vocabulary.
    TypeError
        If labels are no integers or a dtype is not supported.
    ValueError
        If rows or vocabularies do not match, or a row contradicts itself: a token twice, a
        log-probability above 0, probabilities that cannot add up to 1.

    See Also
    --------
    fastdiv.compare_logits : both sides full.

    Notes
    -----
    A vocabulary of None is that of the other side; if both are None, nothing limits the number of
    tokens. Vocabularies may differ: a token outside has probability 0.

    References
    ----------
    .. [1] W. Specht, "Zur Theorie der elementaren Mittel", Mathematische Zeitschrift 74 (1960),
       91-98.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdiv as fd
    >>> p, q = np.log([[0.5, 0.3, 0.1, 0.1]]), np.log([[0.4, 0.4, 0.15, 0.05]])
    >>> fd.kl_divergence(p, q, from_logits=True).round(6)
    array([0.054035])
    >>> found = compare_topk(top_k(p, 1), q)
    >>> found.kl_lower.round(6), found.kl_upper.round(6)
    (array([0.032578]), array([0.486437]))
    >>> compare_topk(top_k(p, 2), top_k(q, 1)).kl_upper
    array([inf])
    """
    name = "compare_topk"
    if tail_ratio is not None and not 0 <= tail_ratio < np.inf:
        raise ValueError(f"{name}: tail_ratio is {tail_ratio}; it takes a number from 0 on")
    sides: list[Any] = [
        side if isinstance(side, TopKRows) else _rows_of(name, argument, side)
        for argument, side in (("base", base), ("candidate", candidate))
    ]
    rows = len(sides[0])
    if rows != len(sides[1]):
        raise ValueError(f"{name}: base has {rows} rows and candidate {len(sides[1])}")
    vocab = _common_vocabulary(sides)
    given = None if labels is None else _labels_of(name, labels, rows, vocab)
    known = []
    for argument, side in zip(("base", "candidate"), sides, strict=True):
        if isinstance(side, TopKRows):
            width = side.vocab if side.vocab is not None else vocab
            known.append(_Checked(name, argument, side, width))
    parts = []
    # Blocks stay in the cache; no result depends on them.
    width = (
        BLOCK_TOKENS * max(rows, 1) // max(*(k.tokens.size for k in known), 1)
        if len(known) == 2
        else BLOCK_NUMBERS // (vocab or 1)
    )
    for start, stop in _blocks(rows, width):
        some = None if given is None else given[start:stop]
        some_known = [side.part(start, stop) for side in known]
        if len(known) == 2:
            found = _of_two(some_known[0], some_known[1], some, tail_ratio)
        elif len(known) == 1:
            full = sides[1] if isinstance(sides[0], TopKRows) else sides[0]
            found = _of_known_and_full(
                some_known[0], full[start:stop], some, vocab or 0, tail_ratio
            )
            found = found if full is sides[1] else _exchanged(found)
        else:
            found = _of_full(sides[0][start:stop], sides[1][start:stop], some)
        parts.append(found)
    return TopKComparison(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _rows_of(function: str, argument: str, values: ArrayLike) -> NDArray[Any]:
    array = array_of(function, argument, values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"{function}: {argument} has shape {array.shape}; it takes (rows, vocabulary) or"
            " TopKRows"
        )
    return array


def _labels_of(
    function: str, labels: ArrayLike | None, rows: int, vocab: int | None
) -> NDArray[np.int64]:
    if labels is None:
        return np.full(rows, IGNORED)
    given = unmasked(function, "labels", labels)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{function}: labels have dtype {given.dtype}; they are integers")
    if given.shape != (rows,):
        raise ValueError(f"{function}: labels have shape {given.shape}; {rows} rows take ({rows},)")
    ignored = given == -100
    wrong = ~ignored & (given < 0)
    if vocab is not None:
        wrong |= given >= vocab
    if wrong.any():
        row = int(np.argmax(wrong))
        raise IndexError(
            f"{function}: the label of row {row} is {given[row]}; a vocabulary of {vocab} takes"
            f" 0…{'' if vocab is None else vocab - 1}, or -100"
        )
    return np.where(ignored, IGNORED, given).astype(np.int64)


def _common_vocabulary(sides: list[Any]) -> int | None:
    widths = [side.shape[1] if isinstance(side, np.ndarray) else side.vocab for side in sides]
    return max((width for width in widths if width is not None), default=None)


def _blocks(rows: int, step: int) -> Iterator[tuple[int, int]]:
    step = max(1, step)
    # A batch of nothing is one block of nothing, so that results have their types.
    return ((start, min(start + step, rows)) for start in range(0, max(rows, 1), step))


def _wide(values: NDArray[Any]) -> NDArray[np.float64]:
    return legible(values).astype(np.float64)


def log_softmax(values: Array) -> tuple[Array, Array, Array]:
    """Return log-probabilities, the log-sum-exp and a limit of the error of either, per row.

    The error is NaN in rows that are no distribution.
    """
    with np.errstate(invalid="ignore"):
        total_weight: Array = logsumexp(values)
        log_p = values - total_weight[:, None]
        largest = np.where(np.isfinite(values), np.abs(values), 0.0).max(-1)
        error = 16 * UNIT * (1 + np.abs(total_weight) + largest)
    error = np.where(np.isfinite(total_weight), error, np.nan)
    return log_p, total_weight, error


def kept_rows(
    log_p: Array, error: Array, kept: NDArray[np.bool_], labels: NDArray[np.int64]
) -> TopKRows:
    """Keep the tokens of a mask and add up the others; `labels` are `IGNORED` where unknown."""
    rows, vocab = log_p.shape
    sound = ~np.isnan(error)
    kept = kept & sound[:, None]
    row, tokens = np.nonzero(kept)
    rest = np.where(kept | ~sound[:, None], -np.inf, log_p)
    p = np.exp(rest)
    tail = p.sum(-1)
    # exp may have lost what the logarithm has: a tail of 0 is said only where all of it is.
    alive = (rest > -np.inf).any(-1)
    with np.errstate(invalid="ignore"):
        entropy = -np.where(p > 0, p * rest, 0.0).sum(-1)
    # Beyond this the entropy is no longer as good as TopKRows says.
    entropy[~(error <= 2.0**-42)] = np.nan
    slack = error + 64 * UNIT
    label_log_p = log_p[np.arange(rows), np.maximum(labels, 0)]
    return TopKRows(
        np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int64),
        tokens.astype(np.int64),
        log_p[row, tokens],
        error,
        np.where(sound, tail, np.nan),
        np.where(alive, tail * slack + SMALLEST, 0.0),
        np.where(alive, np.minimum(p.max(-1) * (1 + slack) + SMALLEST, 1.0), 0.0),
        np.where(sound, entropy, np.nan),
        np.where(sound & (labels >= 0), label_log_p, np.nan),
        vocab,
    )


def _top_of_block(
    values: Array, count: NDArray[np.integer[Any]], labels: NDArray[np.int64]
) -> TopKRows:
    log_p, _, error = log_softmax(values)
    return kept_rows(log_p, error, largest_mask(values, count), labels)


def largest_mask(
    values: Array, count: NDArray[np.integer[Any]], ordered: Array | None = None
) -> NDArray[np.bool_]:
    """Mark the `count` largest of each row, of equal ones the first.

    `ordered` is `values` sorted, where that is at hand.
    """
    rows, width = values.shape
    if ordered is None:
        ordered = np.sort(values, axis=-1)
    none = count == 0
    limit = ordered[np.arange(rows), np.minimum(width - count, width - 1)][:, None]
    above = values > limit
    ties = values == limit
    open_places = count - above.sum(-1)
    mask: NDArray[np.bool_] = above | (ties & (ties.cumsum(-1) <= open_places[:, None]))
    mask[none] = False
    return mask


class _Checked:
    """Rows with the limits of every number, in the order of their tokens."""

    def __init__(self, function: str, argument: str, rows: TopKRows, width: int | None) -> None:
        self.vocab = width
        self.source = rows
        row = np.repeat(np.arange(len(rows)), _sizes(function, argument, rows))
        where = f"{function}: {argument}"
        tokens, log_p = rows.tokens, rows.log_p
        _refuse(where, row, tokens, tokens < 0, "token", "tokens are not negative")
        if width is not None:
            _refuse(
                where, row, tokens, tokens >= width, "token", f"a vocabulary of {width} has no such"
            )
        span = int(tokens.max(initial=0)) + 1
        key = row * span + tokens
        if (key[1:] <= key[:-1]).any():
            order = np.argsort(key, kind="stable")
            key, tokens, log_p = key[order], tokens[order], log_p[order]
        twice = np.flatnonzero(key[1:] == key[:-1])
        if twice.size:
            at = int(twice[0])
            raise ValueError(f"{where}, row {row[at]}, has token {tokens[at]} twice")
        sound = ~np.isnan(rows.tail)
        self.sound = sound
        for name in ("error", "tail_error", "cap", "tail"):
            number = getattr(rows, name)
            wrong = sound & ~((number >= 0) & (number < np.inf))
            if wrong.any():
                at = int(np.argmax(wrong))
                raise ValueError(
                    f"{where}, row {at}, has {name} {number[at]}; it is finite and not negative"
                )
        error = np.where(sound, rows.error, 0.0)
        _refuse(where, row, log_p, ~(log_p <= error[row]), "log-probability", "it is at most 0")
        self.row, self.tokens, self.log_p = row, tokens, log_p
        with np.errstate(invalid="ignore"):
            # A few units in the last place, so that exp and the difference of two stay inside.
            margin = error[row] + 8 * UNIT * (1 + np.abs(log_p))
            nothing = log_p == -np.inf
            self.log_low = np.where(nothing, -np.inf, log_p - margin)
            self.log_high = np.where(nothing, -np.inf, np.minimum(log_p + margin, 0.0))
        self.low, self.high = np.exp(self.log_low), np.exp(self.log_high)
        self._limit_tail(where, np.bincount(row, minlength=len(rows)))

    def _limit_tail(self, where: str, count: NDArray[np.intp]) -> None:
        """Limit the mass of the tail by what is said of it and by what the rest leaves."""
        rows = self.source
        size = len(rows)
        slack = (count + 16) * UNIT
        least = 1 - total(self.row, self.high, size) - slack
        most = 1 - total(self.row, self.low, size) + slack
        tail = np.where(self.sound, rows.tail, 0.0)
        error = np.where(self.sound, rows.tail_error, 0.0)
        low = (tail - error) * (1 - 4 * UNIT)
        high = (tail + error) * (1 + 4 * UNIT)
        if self.vocab is not None:
            with np.errstate(invalid="ignore"):
                most = np.minimum(most, (self.vocab - count) * rows.cap * (1 + 4 * UNIT))
        else:
            most = np.where(rows.cap > 0, most, 0.0)
        apart = self.sound & ((low > most + 1e-12) | (high < least - 1e-12))
        if apart.any():
            at = int(np.argmax(apart))
            raise ValueError(
                f"{where}, row {at}, contradicts itself: a tail of {tail[at]} ± {error[at]}, where"
                f" the known tokens and the cap leave {max(least[at], 0.0)} to {max(most[at], 0.0)}"
            )
        # Where rounding alone parts the two, what is said counts.
        fits = (np.maximum(low, least) <= np.minimum(high, most)) & self.sound
        self.tail_low = np.maximum(np.where(fits, np.maximum(low, least), low), 0.0)
        self.tail_high = np.clip(np.where(fits, np.minimum(high, most), high), 0.0, 1.0)
        self.tail_high = np.maximum(self.tail_high, self.tail_low)
        self.cap = np.minimum(np.where(self.sound, rows.cap, 0.0), self.tail_high)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.sound.size

    def part(self, start: int, stop: int) -> "_Checked":
        """Return the rows from `start` up to `stop`."""
        part = object.__new__(_Checked)
        part.vocab = self.vocab
        part.source = self.source.part(start, stop)
        first, last = self.source.offsets[start], self.source.offsets[stop]
        part.row = self.row[first:last] - start
        for name in ("tokens", "log_p", "log_low", "log_high", "low", "high"):
            setattr(part, name, getattr(self, name)[first:last])
        for name in ("sound", "tail_low", "tail_high", "cap"):
            setattr(part, name, getattr(self, name)[start:stop])
        return part

    def only(self, at: NDArray[Any]) -> Only:
        """Return the limits of some tokens."""
        return Only(self.row[at], self.low[at], self.high[at], self.log_low[at], self.log_high[at])

    def keys(self, span: int) -> Index:
        """Return a number per token that no other token of any row has."""
        return self.row * span + self.tokens

    def label_log_p(self, labels: NDArray[np.int64] | None) -> Array:
        """Return the log-probability of each label, NaN where it is not known."""
        found: Array = self.source.label_log_p.copy()
        if labels is None:
            return found
        span = int(max(self.tokens.max(initial=0), labels.max(initial=0))) + 2
        wanted = np.arange(len(self)) * span + labels
        keys = self.keys(span)
        at = np.minimum(np.searchsorted(keys, wanted), max(keys.size - 1, 0))
        if keys.size:
            # The number of its own, where it is of this label, was not rounded to a code.
            other = ~(np.abs(found - self.log_p[at]) <= self.source.error)
            hit = (keys[at] == wanted) & (labels >= 0) & other
            found = np.where(hit, self.log_p[at], found)
        found[labels < 0] = 0.0
        return found

    def possible_tops(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which known tokens may be the top one, and where the tail may hold it."""
        rows = len(self)
        error = np.where(self.sound, self.source.error, 0.0)[self.row]
        low, high = self.log_p - error, self.log_p + error
        best = np.full(rows, -np.inf)
        np.maximum.at(best, self.row, low)
        possible = high >= best[self.row]
        # Of exactly equal ones the first is the top.
        exact = possible & (error == 0) & (self.log_p == best[self.row])
        _, first = np.unique(self.row[exact], return_index=True)
        later = np.flatnonzero(exact)
        later = np.delete(later, first)
        possible[later] = False
        tail = (self.tail_high > 0) & (self.cap >= np.exp(best) * (1 - 8 * UNIT))
        return possible, tail


def _sizes(function: str, argument: str, rows: TopKRows) -> Index:
    sizes = np.diff(rows.offsets)
    if rows.offsets[0] != 0 or rows.offsets[-1] != rows.tokens.size or (sizes < 0).any():
        at = int(np.argmax(sizes < 0)) if (sizes < 0).any() else 0
        raise ValueError(
            f"{function}: {argument}, row {at}: offsets ascend from 0 to {rows.tokens.size}, the"
            f" number of tokens; got {rows.offsets[at : at + 2].tolist()}"
        )
    return sizes


def _refuse(
    where: str, row: Index, values: NDArray[Any], wrong: NDArray[np.bool_], what: str, takes: str
) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{where}, row {row[at]}, has {what} {values[at]}; {takes}")


def _of_two(
    p: _Checked, q: _Checked, labels: NDArray[np.int64] | None, tail_ratio: float | None
) -> TopKComparison:
    rows = len(p)
    span = int(max(p.tokens.max(initial=0), q.tokens.max(initial=0))) + 1
    p_keys, q_keys = p.keys(span), q.keys(span)
    at = np.searchsorted(q_keys, p_keys)
    shared = np.zeros(p_keys.size, np.bool_)
    inside = at < q_keys.size
    shared[inside] = q_keys[at[inside]] == p_keys[inside]
    in_q = at[shared]
    alone_q = np.ones(q_keys.size, np.bool_)
    alone_q[in_q] = False
    alone_p = ~shared
    first, second = [p.only(shared)], [q.only(in_q)]
    # A token beyond the other vocabulary is known there: its probability is 0.
    if q.vocab is not None:
        beyond = alone_p & (p.tokens >= q.vocab)
        alone_p &= ~beyond
        first.append(p.only(beyond))
        second.append(_zeros(p.row[beyond]))
    if p.vocab is not None:
        beyond = alone_q & (q.tokens >= p.vocab)
        alone_q &= ~beyond
        first.append(_zeros(q.row[beyond]))
        second.append(q.only(beyond))
    known_p, known_q = _joined(first), _joined(second)
    both = Both(known_p.row, known_p, known_q)
    p_only, q_only = p.only(alone_p), q.only(alone_q)
    counts = [np.bincount(known.row, minlength=rows) for known in (known_p, p_only, q_only)]
    widest = _common_vocabulary([p, q])
    neither = np.full(rows, np.inf)
    if widest is not None:
        neither = np.maximum(widest - sum(counts), 0).astype(np.float64)
    pair = Pair(
        rows, both, p_only, q_only, neither,
        (p.tail_low, p.tail_high), (q.tail_low, q.tail_high), p.cap, q.cap,
    )  # fmt: skip
    lower = lower_bounds(pair)
    upper = _uppers_of_two(pair, p, q)
    free_p = _masses(p_only, pair.p_tail, rows)
    free_q = _masses(q_only, pair.q_tail, rows)
    if tail_ratio is not None:
        _trust(tail_ratio, both, free_p, free_q, upper)
    log_p, log_q = p.label_log_p(labels), q.label_log_p(labels)
    p_top, p_tail_top = p.possible_tops()
    q_top, q_tail_top = q.possible_tops()
    meets = np.zeros(rows, np.bool_)
    meets[p.row[shared][p_top[shared] & q_top[in_q]]] = True
    meets[p.row[~shared & p_top & q_tail_top[p.row]]] = True
    q_alone = np.ones(q_keys.size, np.bool_)
    q_alone[in_q] = False
    meets[q.row[q_alone & q_top & p_tail_top[q.row]]] = True
    meets |= p_tail_top & q_tail_top & (neither > 0)
    p_choices = np.bincount(p.row[p_top], minlength=rows) + p_tail_top
    q_choices = np.bincount(q.row[q_top], minlength=rows) + q_tail_top
    single = (p_choices == 1) & (q_choices == 1) & ~p_tail_top & ~q_tail_top
    return _comparison(
        lower, upper, -log_p, -log_q, meets & single, meets & ~single,
        0.5 * (free_p[0] + free_p[1]), p.sound & q.sound,
    )  # fmt: skip


def _zeros(row: Index) -> Only:
    nothing = np.zeros(row.size)
    return Only(row, nothing, nothing, nothing - np.inf, nothing - np.inf)


def _joined(parts: list[Only]) -> Only:
    return Only(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _masses(only: Only, tail: tuple[Array, Array], rows: int) -> tuple[Array, Array]:
    """Return the limits of all that is not known on both sides."""
    count = np.bincount(only.row, minlength=rows) + 16
    low = (total(only.row, only.low, rows) + tail[0]) * (1 - count * UNIT)
    high = (total(only.row, only.high, rows) + tail[1]) * (1 + count * UNIT)
    return low, high


def _trust(
    tail_ratio: float,
    both: Both,
    p: tuple[Array, Array],
    q: tuple[Array, Array],
    upper: dict[str, Array],
) -> None:
    """Bound KL and its reverse for tail tokens with |log p/q| ≤ tail_ratio, in place.

    Σ φ over the tail is φ(p_t, q_t) and p_t times the divergence of what is inside the tail, whose
    log-ratios span at most twice tail_ratio.
    """
    rows = p[0].size
    row = np.arange(rows)
    with np.errstate(divide="ignore"):
        bucket = Both(
            row,
            Only(row, *p, np.log(p[0]), np.log(p[1])),
            Only(row, *q, np.log(q[0]), np.log(q[1])),
        )
    inside = specht(2 * tail_ratio)
    terms = np.bincount(both.row, minlength=rows)
    for name, share in (("kl", p[1]), ("reverse_kl", q[1])):
        term = GENERATORS[name].term
        known = known_maximum(term, both, rows)
        of_buckets = known_maximum(term, bucket, rows)
        found = known.plus(of_buckets.value, of_buckets.size + p[1] + q[1]).plus(share * inside)
        with np.errstate(invalid="ignore"):
            upper[name] = np.fmin(upper[name], found.value + allowance(found, terms))


def _uppers_of_two(pair: Pair, p: _Checked, q: _Checked) -> dict[str, Array]:
    rows = pair.rows
    terms = np.bincount(pair.both.row, minlength=rows)
    free_p = _masses(pair.p_only, pair.p_tail, rows)[1]
    free_q = _masses(pair.q_only, pair.q_tail, rows)[1]
    upper = {}
    for name, share in (("js", 0.5 * np.log(2.0)), ("tv", 0.5)):
        found = known_maximum(GENERATORS[name].term, pair.both, rows)
        found = found.plus(share * (free_p + free_q))
        upper[name] = found.value + allowance(found, terms)
    shared = total(pair.both.row, np.minimum(pair.both.p.low, pair.both.q.low), rows)
    upper["tv"] = np.clip(upper["tv"], 0.0, 1 - shared + (terms + 64) * UNIT)
    for name, most in LARGEST_OF.items():
        upper[name] = np.minimum(upper[name], most)
    widest = _common_vocabulary([p, q])
    upper["kl"] = _kl_of_two(pair, q, widest)
    upper["reverse_kl"] = _kl_of_two(pair.reversed(), p, widest)
    return upper


def _kl_of_two(pair: Pair, q: _Checked, widest: int | None) -> Array:
    """Return an upper bound of KL: finite where Q leaves no token that P may have at 0."""
    rows = pair.rows
    term = GENERATORS["kl"].term
    least = np.zeros(rows)
    if q.vocab is not None:
        # All other tokens of the tail at their cap leave this for one.
        others = q.vocab - np.bincount(q.row, minlength=rows) - 1
        least = np.maximum(pair.q_tail[0] - others * pair.q_cap * (1 + 4 * UNIT), 0.0)
        # A difference of nearly equal numbers may be rounding alone.
        least = np.where(least > 1e-9 * pair.q_tail[1], least * (1 - 1e-6), 0.0)
    terms = np.bincount(pair.both.row, minlength=rows)
    found = known_maximum(term, pair.both, rows)
    only = pair.p_only
    with np.errstate(divide="ignore", invalid="ignore"):
        row = only.row
        limits = (least[row], pair.q_cap[row])
        unknown = Only(row, *limits, np.log(limits[0]), np.log(limits[1]))
        alone = known_maximum(term, Both(row, only, unknown), rows)
        found = found.plus(alone.value, alone.size)
        # What remains of P: at most its cap against the smallest q that there may be.
        smallest = np.where((pair.neither > 0) & (pair.q_tail[1] > 0), least, np.inf)
        # Tokens known to be 0 in Q, or beyond its vocabulary.
        beyond = q.vocab is not None and widest is not None and q.vocab < widest
        nothing = beyond | (pair.q_tail[1] == 0)
        smallest = np.where((pair.neither > 0) & nothing, 0.0, smallest)
        np.minimum.at(smallest, pair.q_only.row, pair.q_only.low)
        ratio = np.maximum(np.log(pair.p_cap / smallest), 0.0)
        low, high = pair.p_tail
        carried = np.where(high > 0, high * ratio, 0.0)
        rest = _masses(pair.q_only, pair.q_tail, rows)[1]
        found = found.plus(np.nan_to_num(carried, nan=np.inf, posinf=np.inf)).plus(
            rest - low, rest + low
        )
        bound = found.value + allowance(found, terms)
    return np.maximum(np.nan_to_num(bound, nan=np.inf, posinf=np.inf), 0.0)


def _of_known_and_full(
    p: _Checked,
    full: NDArray[Any],
    labels: NDArray[np.int64] | None,
    vocab: int,
    tail_ratio: float | None,
) -> TopKComparison:
    """Compare rows of P with a tail to full rows of Q."""
    rows = len(p)
    values = _wide(full)
    if values.shape[1] < vocab:
        values = np.pad(values, ((0, 0), (0, vocab - values.shape[1])), constant_values=-np.inf)
    log_q, _, delta = log_softmax(values)
    sound = p.sound & ~np.isnan(delta)
    log_q[np.isnan(delta)] = -np.log(vocab)
    delta = np.where(np.isnan(delta), 0.0, delta)
    row, tokens = p.row, p.tokens
    known_q = _limits(row, log_q[row, tokens], delta)
    known_p = p.only(np.ones(row.size, np.bool_))
    tail_q = log_q.copy()
    tail_q[row, tokens] = np.inf
    if p.vocab is not None and p.vocab < vocab:
        beyond = log_q[:, p.vocab :]
        extra_row = np.repeat(np.arange(rows), beyond.shape[1])
        known_p = _joined([known_p, _zeros(extra_row)])
        known_q = _joined([known_q, _limits(extra_row, beyond.ravel(), delta)])
        tail_q[:, p.vocab :] = np.inf
    both = Both(known_p.row, known_p, known_q)
    entropy = np.where(sound, p.source.tail_entropy, np.nan)
    lower, upper = full_bounds(
        FullPair(both, p.tail_low, p.tail_high, p.cap, entropy, tail_q, delta)
    )
    if tail_ratio is not None:
        q_tail = np.exp(np.where(tail_q < np.inf, tail_q, -np.inf)).sum(-1)
        margin = 2 * delta + 192 * UNIT
        limits = (q_tail * (1 - margin), q_tail * (1 + margin))
        _trust(tail_ratio, both, (p.tail_low, p.tail_high), limits, upper)
    q_top = np.argmax(values, axis=-1)
    possible, tail_top = p.possible_tops()
    hit = tokens == q_top[row]
    meets = np.zeros(rows, np.bool_)
    meets[row[hit & possible]] = True
    has_it = np.zeros(rows, np.bool_)
    has_it[row[hit]] = True
    meets |= ~has_it & tail_top
    choices = np.bincount(row[possible], minlength=rows) + tail_top
    single = (choices == 1) & ~tail_top
    nll_q = np.full(rows, np.nan)
    if labels is not None:
        nll_q = token_nll(values, labels, ignore_index=IGNORED)
    return _comparison(
        lower, upper, -p.label_log_p(labels), nll_q, meets & single, meets & ~single,
        0.5 * (p.tail_low + p.tail_high), sound,
    )  # fmt: skip


def _limits(row: Index, log_q: Array, delta: Array) -> Only:
    nothing = log_q == -np.inf
    with np.errstate(invalid="ignore"):
        margin = delta[row] + 8 * UNIT * (1 + np.abs(log_q))
        low = np.where(nothing, -np.inf, log_q - margin)
        high = np.where(nothing, -np.inf, np.minimum(log_q + margin, 0.0))
    return Only(row, np.exp(low), np.exp(high), low, high)


def _of_full(
    base: NDArray[Any], candidate: NDArray[Any], labels: NDArray[np.int64] | None
) -> TopKComparison:
    """Compare full rows: the value of the kernel, give or take its promised error."""
    p, q = _wide(base), _wide(candidate)
    width = max(p.shape[1], q.shape[1])
    p, q = (np.pad(x, ((0, 0), (0, width - x.shape[1])), constant_values=-np.inf) for x in (p, q))
    found = compare_logits(p, q, labels, ignore_index=IGNORED)
    sound = ~np.isnan(log_softmax(p)[2] + log_softmax(q)[2])
    largest = [np.where(np.isfinite(x), np.abs(x), 0.0).max(-1) for x in (p, q)]
    scale = 32 * UNIT * (1 + np.maximum(*largest))
    lower, upper = {}, {}
    for name in _NAMES:
        value = getattr(found, name)
        with np.errstate(invalid="ignore"):
            error = scale * (1.0 if name == "tv" else value + np.sqrt(2 * value))
        error = np.where(value > 0, np.nan_to_num(error, nan=0.0, posinf=0.0) + SMALLEST, 0.0)
        most = LARGEST_OF.get(name, np.inf)
        lower[name] = np.fmax(value - error, 0.0)
        upper[name] = np.fmin(value + error, most)
    nothing = np.full(len(p), np.nan)
    nll_base = nothing if labels is None else found.nll_base
    nll_candidate = nothing if labels is None else found.nll_candidate
    same_top = np.argmax(p, -1) == np.argmax(q, -1)
    undecided = np.zeros(len(p), np.bool_)
    return _comparison(
        lower, upper, nll_base, nll_candidate, same_top, undecided, np.zeros(len(p)), sound
    )


def _comparison(
    lower: dict[str, Array],
    upper: dict[str, Array],
    nll_base: Array,
    nll_candidate: Array,
    same_top: NDArray[np.bool_],
    undecided: NDArray[np.bool_],
    p_tail: Array,
    sound: NDArray[np.bool_],
) -> TopKComparison:
    bounds = {}
    for name in _NAMES:
        # Both are certified, so they cross by rounding at most.
        low = np.maximum(np.minimum(lower[name], upper[name]), 0.0)
        bounds[f"{name}_lower"] = np.where(sound, low, np.nan)
        bounds[f"{name}_upper"] = np.where(sound, upper[name], np.nan)
    # Adding 0 keeps -0.0 out of the results.
    nll_base, nll_candidate = (np.where(sound, x, np.nan) + 0.0 for x in (nll_base, nll_candidate))
    return TopKComparison(
        **bounds,
        nll_base=nll_base,
        nll_candidate=nll_candidate,
        delta_p=np.exp(-nll_candidate) - np.exp(-nll_base),
        same_top=same_top & sound,
        undecided=undecided & sound,
        p_tail=np.where(sound, p_tail, np.nan),
    )


def _exchanged(found: TopKComparison) -> TopKComparison:
    """Return the comparison of Q with P."""
    return found._replace(
        kl_lower=found.reverse_kl_lower,
        kl_upper=found.reverse_kl_upper,
        reverse_kl_lower=found.kl_lower,
        reverse_kl_upper=found.kl_upper,
        nll_base=found.nll_candidate,
        nll_candidate=found.nll_base,
        delta_p=0.0 - found.delta_p,
    )
