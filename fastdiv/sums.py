"""Sums that are rounded once, over all rows or by sequence; and what such functions are given.

A correctly rounded sum does not depend on the order of its terms, which is what makes every figure
of :mod:`fastdiv.uncertainty` independent of how rows were batched.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import real_numbers, unmasked

__all__ = ["Floats", "Sequences", "floats_of", "grouped", "mean_of", "pair_of", "total"]

Floats: TypeAlias = NDArray[np.float64]

_CHUNK = 1 << 14
_EXTRACTIONS = 4


def total(values: ArrayLike) -> float:
    """Correctly rounded sum, the same in any order.

    Parameters
    ----------
    values : array_like of float

    Returns
    -------
    float
        NaN for a NaN or for inf − inf; infinite beyond the largest float.

    Notes
    -----
    Chunks are split without error into a few sums and what is left (the extraction of [1]_), which
    :func:`math.fsum` then adds: one Python number per chunk instead of one per value.

    References
    ----------
    .. [1] S. M. Rump, T. Ogita and S. Oishi, "Accurate floating-point summation", SIAM Journal on
       Scientific Computing 31 (2008), 189-224.

    Examples
    --------
    >>> total([1e300, 1.0, -1e300])
    1.0
    """
    x = floats_of("total", "values", values)
    with np.errstate(invalid="ignore", over="ignore"):
        pieces = itertools.chain.from_iterable(
            _pieces(x[start : start + _CHUNK]) for start in range(0, x.size, _CHUNK)
        )
        result = _fsum(pieces)
        if result is None:
            # Some partial sum overflows, whichever way the whole goes; a power of two is exact.
            scaled = _fsum((x * 2.0**-64).tolist())
            result = math.nan if scaled is None else scaled * 2.0**64
    return result


def _fsum(values: Iterable[float]) -> float | None:
    """Return the correctly rounded sum; None where a partial sum overflows."""
    try:
        return math.fsum(values)
    except ValueError:
        return math.nan
    except OverflowError:
        return None


def _pieces(x: Floats) -> Iterator[float]:
    """Yield numbers whose exact sum is that of at most _CHUNK values."""
    if x.size < 1024:  # splitting pays for long chunks only
        yield from x.tolist()
        return
    for _ in range(_EXTRACTIONS):
        top = float(np.abs(x).max())
        # NaN fails the comparison; beyond 2^960 the splitting constant could overflow.
        if not 0 < top < 2.0**960:
            break
        # 2^15 bounds the sum of a chunk of 2^14, so its leading parts add up without rounding.
        split = math.ldexp(1.0, math.frexp(top)[1] + 15)
        leading = (x + split) - split
        x = x - leading
        yield float(leading.sum())
    if x.any():
        yield from x.tolist()


def mean_of(x: Floats) -> float:
    """Return the mean of a column; NaN of none."""
    return total(x) / x.size if x.size else math.nan


class Sequences:
    """Which rows belong to which sequence: made once, used for many columns.

    Parameters
    ----------
    sequence_ids : array_like of int
        One per row; rows of a sequence need not be neighbours.

    Attributes
    ----------
    rows : int
    ids : ndarray of int64
        The different ids, in ascending order.
    starts, sizes : ndarray of int64
        Of each sequence, in that order: where it begins if sequences follow one another, and how
        many rows it has.

    Examples
    --------
    >>> sequences = Sequences([7, 7, 3])
    >>> sequences.ids.tolist(), sequences.sums([1.0, 2.0, 4.0]).tolist()
    ([3, 7], [4.0, 3.0])
    """

    def __init__(self, sequence_ids: ArrayLike) -> None:
        given = unmasked("Sequences", "sequence_ids", sequence_ids).ravel()
        if given.dtype.kind not in "biu" and given.size:
            raise TypeError(f"Sequences: sequence_ids have dtype {given.dtype}; they are integers")
        if given.dtype.kind == "u" and (given > np.iinfo(np.int64).max).any():
            raise ValueError(
                f"Sequences: sequence_ids has {given.max()}; it takes integers below 2⁶³"
            )
        given = given.astype(np.int64)
        self.rows = given.size
        self._order = None if (np.diff(given) >= 0).all() else np.argsort(given, kind="stable")
        ordered = given if self._order is None else given[self._order]
        self.starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) != 0])[: given.size])
        self.ids: NDArray[np.int64] = ordered[self.starts]
        self.sizes = np.diff(self.starts, append=given.size)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return self.ids.size

    def original(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows at given places of the order in which sequences follow one another."""
        return places if self._order is None else self._order[places]

    def sums(self, values: ArrayLike) -> Floats:
        """Return the exact sum of each sequence, in the order of `ids`.

        Parameters
        ----------
        values : array_like of float
            One per row.

        Returns
        -------
        ndarray of float64
        """
        return np.array([total(part) for part in self.parts(values)], np.float64)

    def counts(self, hits: ArrayLike) -> NDArray[np.int64]:
        """Return how many are True in each sequence, in the order of `ids`.

        Parameters
        ----------
        hits : array_like of bool
            One per row.

        Returns
        -------
        ndarray of int64
        """
        ordered = unmasked("Sequences.counts", "hits", hits).astype(np.bool_, copy=False).ravel()
        ordered = ordered if self._order is None else ordered[self._order]
        before = np.concatenate([[0], np.cumsum(ordered)])
        found: NDArray[np.int64] = before[self.starts + self.sizes] - before[self.starts]
        return found

    def parts(self, values: ArrayLike) -> Iterator[Floats]:
        """Yield the values of each sequence, in the order of `ids`.

        Parameters
        ----------
        values : array_like of float
            One per row.

        Yields
        ------
        ndarray of float64
        """
        x = floats_of("Sequences.parts", "values", values)
        if x.size != self.rows:
            raise ValueError(
                f"Sequences.parts: {x.size} values for {self.rows} sequence_ids; one for each row"
            )
        x = x if self._order is None else x[self._order]
        for start, size in zip(self.starts.tolist(), self.sizes.tolist(), strict=True):
            yield x[start : start + size]


def floats_of(function: str, argument: str, values: ArrayLike) -> Floats:
    """Return numbers as one flat column of float64."""
    return real_numbers(function, argument, values).ravel()


def pair_of(
    function: str, name: str, x: ArrayLike, other: str, y: ArrayLike
) -> tuple[Floats, Floats]:
    """Return two columns of one length."""
    a, b = floats_of(function, name, x), floats_of(function, other, y)
    if a.size != b.size:
        raise ValueError(f"{function}: {name} has {a.size} rows, {other} {b.size}; they are paired")
    return a, b


def grouped(
    function: str, sequence_ids: ArrayLike | Sequences | None, rows: int
) -> Sequences | None:
    """Return the sequences of so many rows, if there are any."""
    if sequence_ids is None:
        return None
    groups = sequence_ids if isinstance(sequence_ids, Sequences) else Sequences(sequence_ids)
    if groups.rows != rows:
        raise ValueError(f"{function}: {groups.rows} sequence_ids for {rows} rows; one for each")
    return groups
