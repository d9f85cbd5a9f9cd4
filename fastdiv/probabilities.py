"""Rows as the probabilities that they stand for, where Python computes with them and no kernel."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import along_last, array_of, check_rows, legible
from fastdiv.tokens import logsumexp

__all__ = ["normalised", "probabilities", "widened"]


def widened(x: Any, function: str, argument: str, dtype: str | None = None) -> NDArray[np.float64]:
    """X in float64, which holds every supported dtype exactly."""
    return legible(array_of(function, argument, x, dtype)).astype(np.float64)


def normalised(rows: NDArray[np.float64], *, from_logits: bool) -> NDArray[np.float64]:
    """Rows of sum 1 along the last axis, whatever their magnitude."""
    if from_logits:
        p = np.exp(rows - logsumexp(rows)[..., None])
        p[rows == -np.inf] = 0.0
        return np.asarray(p)
    _, exponent = np.frexp(rows.max(axis=-1, keepdims=True))
    scaled = np.ldexp(rows, -exponent)
    return np.asarray(scaled / scaled.sum(axis=-1, keepdims=True))


def probabilities(
    function: str, argument: str, x: ArrayLike, *, axis: int = -1, from_logits: bool = False
) -> NDArray[np.float64]:
    """Rows of sum 1 along the last axis; ValueError for what is no distribution."""
    rows = along_last(function, argument, widened(x, function, argument), axis)
    check_rows(function, (rows,), -1, from_logits, None, (argument,))
    return normalised(rows, from_logits=from_logits)
