"""Dask arrays stay lazy: what stands beside them is cut into the same chunks.

Dask is not imported: who has such an array has imported it.
"""

import sys
from typing import Any

import numpy as np

__all__ = ["chunked", "is_lazy"]


def is_lazy(x: Any) -> bool:
    """Tell whether x is of Dask, or of a class made from one of its own."""
    return any(kind.__module__.partition(".")[0] == "dask" for kind in type(x).__mro__)


def chunked(
    name: str, rows: tuple[Any, ...], numbers: tuple[Any, ...], axis: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return rows and numbers in the same chunks, which is what Dask asks of them."""
    dask = sys.modules["dask.array"]
    pairs: list[Any] = []
    rows = tuple(dask.asanyarray(x) for x in rows)
    lengths = [x.shape[axis] for x in rows if -x.ndim <= axis < x.ndim]
    if len(set(lengths)) > 1:
        raise ValueError(f"{name}: p has rows of {lengths[0]}, q of {lengths[1]} outcomes")
    for x in rows:
        # Axes that broadcast have the same number from the right; that of the outcomes is none.
        others = iter(range(-x.ndim + 1, 0))
        along = axis % max(x.ndim, 1)
        pairs += [x, tuple("outcomes" if i == along else next(others, 0) for i in range(x.ndim))]
    for number in numbers:
        pairs += [dask.asanyarray(number), tuple(range(-np.ndim(number), 0))]
    _, arrays = dask.core.unify_chunks(*pairs)
    return tuple(arrays[: len(rows)]), tuple(arrays[len(rows) :])
