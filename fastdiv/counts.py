"""Counts of categories, each mapping with its own keys, as rows that can be compared."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from itertools import count
from typing import Any, Literal, Protocol, cast, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["from_counts"]


class HasItems(Protocol):
    """A dict, a Counter, a pandas Series: whatever names its values."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return pairs of a category and its count."""
        ...


@overload
def from_counts(
    *mappings: HasItems, dtype: DTypeLike = np.float64, return_categories: Literal[False] = False
) -> NDArray[Any]: ...


@overload
def from_counts(
    *mappings: HasItems, dtype: DTypeLike = np.float64, return_categories: Literal[True]
) -> tuple[NDArray[Any], list[Hashable]]: ...


def from_counts(
    *mappings: HasItems, dtype: DTypeLike = np.float64, return_categories: bool = False
) -> NDArray[Any] | tuple[NDArray[Any], list[Hashable]]:
    """Align counts of categories, so that every divergence can take them.

    Parameters
    ----------
    *mappings : mapping of category to count
        dict, ``collections.Counter``, pandas Series, or anything else with ``items()``. Categories
        are the same where they are equal, as keys of a dict are; all NaN are one category.
    dtype : float64, float32 or float16, default float64
        Of the result.
    return_categories : bool, default False
        Return the categories too.

    Returns
    -------
    counts : ndarray of shape (mappings, categories)
        One row per mapping; 0 where it has no such category. Categories stand in the order in which
        they first appear.
    categories : list
        What each column counts; only if `return_categories`.

    Raises
    ------
    TypeError
        If an argument is no mapping, a count is no number, or `dtype` is no such dtype.
    ValueError
        If there is no mapping or no category, a mapping has a category twice, or a count is
        negative, NaN, or beyond what `dtype` counts exactly: 2**53, for float32 2**24.

    Examples
    --------
    >>> from collections import Counter
    >>> import fastdiv as fd
    >>> fd.from_counts(Counter("abracadabra"), {"a": 1, "z": 1})
    array([[5., 2., 2., 1., 1., 0.],
           [1., 0., 0., 0., 0., 1.]])
    >>> fd.js_divergence(*fd.from_counts({"yes": 3, "no": 1}, {"no": 2, "maybe": 2}), base=2)
    np.float64(0.6556390622295665)
    """
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"from_counts: dtype is {dtype!r}; it takes float64, float32 or float16"
        ) from None
    if kind not in (np.float64, np.float32, np.float16):
        raise TypeError(f"from_counts: dtype is {kind}; it takes float64, float32 or float16")
    if not mappings:
        raise ValueError("from_counts: there is no mapping; it takes one or more")
    columns: defaultdict[Hashable, int] = defaultdict(count().__next__)  # first seen, first column
    rows = []
    for i, mapping in enumerate(mappings):
        keys, values = _parts(i, mapping)
        positions = np.fromiter(map(columns.__getitem__, keys), np.intp, len(keys))
        if len(keys) and (times := np.bincount(positions)).max() > 1:
            key = reprlib.repr(list(columns)[times.argmax()])
            raise ValueError(f"from_counts: mapping {i} has the category {key} twice")
        rows.append((positions, _counts(i, keys, values, kind)))
    if not columns:
        raise ValueError("from_counts: every mapping is empty; there is no category")
    result = np.zeros((len(mappings), len(columns)), kind)
    for row, (positions, counts) in zip(result, rows, strict=True):
        row[positions] = counts
    return (result, list(columns)) if return_categories else result


def _parts(i: int, mapping: HasItems) -> tuple[list[Hashable], list[Any]]:
    if not callable(getattr(mapping, "items", None)):
        raise TypeError(
            f"from_counts: mapping {i} is a {type(mapping).__name__}; it takes mappings from"
            " category to count (collections.Counter counts the items of a list)"
        )
    keys: list[Hashable]
    if isinstance(mapping, Mapping):
        keys, values = list(mapping), list(mapping.values())
    else:
        pairs = list(mapping.items())
        keys, values = [key for key, _ in pairs], [value for _, value in pairs]
    if any(issubclass(kind, float) for kind in set(map(type, keys))):
        # A NaN equals nothing; as a key only the one object is found again.
        keys = [math.nan if isinstance(key, float) and key != key else key for key in keys]
    return keys, values


def _counts(i: int, keys: list[Hashable], values: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    digits = np.finfo(dtype).nmant + 1
    most = 2**digits
    try:
        counts = np.array(values)
        doubtful = counts.ndim != 1 or counts.dtype.kind not in "biuf"
    except (TypeError, ValueError, OverflowError):  # ragged, or something that refuses
        doubtful = True
    # An integer just beyond the limit may have been rounded to it, if its neighbours are floats.
    if doubtful or not ((counts >= 0) & (counts < most)).all():
        from decimal import Decimal  # slow to import, and seldom needed

        for key, value in zip(keys, values, strict=True):
            where = f"from_counts: mapping {i} has {reprlib.repr(value)} for {reprlib.repr(key)}"
            if not isinstance(value, (numbers.Real, Decimal, np.bool_)):
                raise TypeError(f"{where}; a count is a number")
            number = cast(Any, value)  # a Decimal NaN cannot be compared
            if number != number or not 0 <= number <= most:
                raise ValueError(f"{where}; a count in {dtype} is from 0 to 2**{digits}")
        counts = np.array([float(value) for value in values])
    return counts
