r"""What a divergence costs in bits: codes made for Q that carry data from P.

A code for Q gives outcome j a word of about −log₂ q_j bits. Data from P then take H(P, Q) bits each
instead of H(P), and the difference is KL(P‖Q). Words have whole lengths, so a real code adds to
that: Shannon's takes ⌈−log₂ q_j⌉ bits and loses less than one bit more; Huffman's is the best there
is for data from Q, and for data from P it may even beat the ideal lengths.
"""

import heapq
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.divergences import entropy, kl_divergence
from fastdiv.evaluation import check_pair, dense, real_numbers, refuse, units
from fastdiv.probabilities import probabilities

__all__ = [
    "CodingOverhead",
    "CrossEntropy",
    "canonical_code",
    "coding_overhead",
    "cross_entropy_decomposition",
    "huffman_lengths",
]

_Floats = NDArray[np.float64]
# Bits of a word: a Huffman code of float64 weights has none so long, and a gigabyte is no word.
_LONGEST = 1 << 20


class CrossEntropy(NamedTuple):
    """H(P, Q) and the two parts of which it is the sum.

    Attributes
    ----------
    cross_entropy, entropy, kl_divergence : float64 or ndarray of float64
        The first is the float64 sum of the other two, exactly.
    """

    cross_entropy: Any
    entropy: Any
    kl_divergence: Any


class CodingOverhead(NamedTuple):
    """Bits per outcome of P, for codes made for Q; one number or one array each.

    Attributes
    ----------
    entropy : float64 or ndarray of float64
        H(P), which no code beats.
    ideal : float64 or ndarray of float64
        KL(P‖Q): bits wasted by lengths −log₂ q.
    shannon : float64 or ndarray of float64
        Bits wasted by lengths ⌈−log₂ q⌉: at least `ideal`, and less than 1 more.
    huffman : float64 or ndarray of float64
        Bits wasted by Huffman's code for Q, against H(P).
    huffman_of_p : float64 or ndarray of float64
        Bits that Huffman's code for P itself wastes: `huffman` less this is the price of having
        taken Q for P where words have whole lengths; it is never negative.
    """

    entropy: Any
    ideal: Any
    shannon: Any
    huffman: Any
    huffman_of_p: Any


def cross_entropy_decomposition(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    from_logits: bool = False,
) -> CrossEntropy:
    r"""Cross-entropy with its parts: the entropy of P, and what Q costs on top of it.

    .. math:: H(P, Q) = -\sum_j p_j \log q_j = H(P) + D(P \| Q)

    Parameters
    ----------
    p, q : array_like
        Weights, or with `from_logits` unnormalised log-probabilities, along `axis`; the other axes
        broadcast. All that `kl_divergence` takes.
    axis : int, default -1
        The axis that a distribution lies along.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities.

    Returns
    -------
    CrossEntropy
        One number per row in each field.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd edition, Wiley
       (2006), sections 2.3 and 5.4.

    Examples
    --------
    >>> cross_entropy_decomposition([0.5, 0.25, 0.25], [0.25, 0.25, 0.5], base=2)
    CrossEntropy(cross_entropy=np.float64(1.75), entropy=np.float64(1.5),
                 kl_divergence=np.float64(0.25))
    """
    name = "cross_entropy_decomposition"
    units(name, base)
    p, q, axis = dense(name, axis, p=p, q=q)
    of_p = entropy(p, axis=axis, base=base, from_logits=from_logits)
    between = kl_divergence(p, q, axis=axis, base=base, from_logits=from_logits)
    # An entropy of many rows of P, a divergence from many of Q: both in the shape of the result.
    of_p = of_p + np.zeros(np.shape(between))
    return CrossEntropy(of_p + between, of_p, between)


def coding_overhead(p: ArrayLike, q: ArrayLike, *, axis: int = -1) -> CodingOverhead:
    r"""Bits per outcome that a code for Q wastes on data from P.

    .. math:: \sum_j p_j \ell_j - H(P), \qquad
        \ell_j = -\log_2 q_j, \quad \lceil -\log_2 q_j \rceil, \quad \ell_j^{\text{Huffman}(Q)}

    Parameters
    ----------
    p, q : array_like
        Weights along `axis`; each row is divided by its sum, the other axes broadcast.
    axis : int, default -1
        The axis that a distribution lies along.

    Returns
    -------
    CodingOverhead
        In bits. Infinite where Q has no word for an outcome of P.

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If a row is empty or no distribution, or shapes do not match.

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd edition, Wiley
       (2006), theorem 5.4.3.
    .. [2] D. A. Huffman, "A method for the construction of minimum-redundancy codes", Proceedings
       of the IRE 40 (1952), 1098-1101.

    Examples
    --------
    >>> found = coding_overhead([0.5, 0.25, 0.25], [0.25, 0.25, 0.5])
    >>> found.ideal, found.huffman, found.huffman_of_p
    (np.float64(0.25), np.float64(0.25), np.float64(0.0))
    >>> coding_overhead([0.9, 0.1], [0.9, 0.1]).huffman.round(6)  # a word has at least one bit
    np.float64(0.531004)
    """
    name = "coding_overhead"
    rows_p = probabilities(name, "p", p, axis=axis)
    rows_q = probabilities(name, "q", q, axis=axis)
    check_pair(name, rows_p, rows_q)
    ideal = kl_divergence(rows_p, rows_q, base=2)
    of_p = entropy(rows_p, base=2) + np.zeros(np.shape(ideal))
    with np.errstate(divide="ignore"):
        whole = np.ceil(-np.log2(rows_q)) + 0.0
    waste = [
        _expected(rows_p, lengths) - of_p
        for lengths in (whole, huffman_lengths(rows_q), huffman_lengths(rows_p))
    ]
    # Of dyadic rows the two are one number, which rounding must not split.
    waste[0] = np.maximum(waste[0], ideal)
    return CodingOverhead(of_p, ideal, *waste)


def _expected(p: _Floats, lengths: _Floats) -> _Floats:
    with np.errstate(invalid="ignore"):
        terms = np.where(p > 0, p * lengths, 0.0)
    result: _Floats = terms.sum(axis=-1)
    return result


def huffman_lengths(weights: ArrayLike, *, axis: int = -1) -> _Floats:
    """Word lengths of Huffman's code, the shortest on average that a code can have.

    Parameters
    ----------
    weights : array_like
        Weights along `axis`; one code per row.
    axis : int, default -1
        The axis that a distribution lies along.

    Returns
    -------
    ndarray of float64
        Bits, in the shape of `weights`: whole numbers; infinite for weight 0, which has no word; 0
        for the only outcome of a row. Of the codes of equal mean length, the one whose longest
        word is shortest.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If a row is empty or no distribution.

    References
    ----------
    .. [1] D. A. Huffman, "A method for the construction of minimum-redundancy codes", Proceedings
       of the IRE 40 (1952), 1098-1101.
    .. [2] E. S. Schwartz, "An optimum encoding with minimum longest code and total number of
       digits", Information and Control 7 (1964), 37-44.

    Examples
    --------
    >>> huffman_lengths([0.4, 0.3, 0.2, 0.1, 0.0]).tolist()
    [1.0, 2.0, 3.0, 3.0, inf]
    """
    rows = probabilities("huffman_lengths", "weights", weights, axis=axis)
    lengths = np.full(rows.shape, np.inf)
    for index in np.ndindex(rows.shape[:-1]):
        some = np.flatnonzero(rows[index])
        lengths[(*index, some)] = _lengths_of(rows[index][some])
    return np.moveaxis(lengths, -1, axis)


def _lengths_of(weights: _Floats) -> NDArray[np.int64]:
    """Merge the two lightest until one is left; older trees first among equal ones."""
    count = weights.size
    heap = list(zip(weights.tolist(), range(count), strict=True))
    heapq.heapify(heap)
    parents = [0] * (2 * count - 1)
    for made in range(count, 2 * count - 1):
        weight, first = heapq.heappop(heap)
        other, second = heap[0]
        parents[first] = parents[second] = made
        heapq.heapreplace(heap, (weight + other, made))
    depths = [0] * (2 * count - 1)
    for node in range(2 * count - 3, -1, -1):
        depths[node] = depths[parents[node]] + 1
    return np.array(depths[:count])


def canonical_code(lengths: ArrayLike) -> list[str | None]:
    """Words of a prefix code with given lengths: in order of length, then of place.

    Parameters
    ----------
    lengths : array_like
        Bits of each word, such as `huffman_lengths` gives for one row; infinite: no word.

    Returns
    -------
    list of str or None
        Words of "0" and "1", none the beginning of another; None where there is no word.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If a length is no whole number, there is more than one axis, or no prefix code has these
        lengths (Kraft: Σ 2^−ℓ ≤ 1).

    References
    ----------
    .. [1] T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd edition, Wiley
       (2006), theorem 5.2.1.

    Examples
    --------
    >>> canonical_code([1, 3, 2, 3])
    ['0', '110', '10', '111']
    """
    given = real_numbers("canonical_code", "lengths", lengths)
    if given.ndim != 1:
        raise ValueError(f"canonical_code: lengths has shape {given.shape}; it takes one row")
    whole = (given >= 0) & (given <= _LONGEST) & (given == np.floor(given))
    takes = f"whole numbers up to {_LONGEST}, or +inf for no word"
    refuse("canonical_code", "lengths", given, ~(whole | (given == np.inf)), takes)
    words: list[str | None] = [None] * given.size
    next_word, length = 0, 0
    for place in np.argsort(given, kind="stable").tolist():
        if math.isinf(given[place]):
            break
        next_word <<= int(given[place]) - length
        length = int(given[place])
        if next_word >> length:
            raise ValueError(
                f"canonical_code: lengths leave no room for a word of {length} bits at {place}; it"
                " takes lengths of which the sum of 2^−length is at most 1"
            )
        words[place] = f"{next_word:0{length}b}" if length else ""
        next_word += 1
    return words
