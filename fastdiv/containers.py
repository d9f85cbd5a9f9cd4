"""Rows that are no plain arrays: SciPy sparse matrices, pandas frames, Dask arrays, by their types.

None of the packages is imported: who has such an object has imported it. Sparse rows go to
``sparse.py``. Frames are aligned by their labels, and the result has those of the rows. What stands
beside Dask arrays is cut into the same chunks.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdiv import _core, sparse

__all__ = ["measure"]


def _is_from(package: str, x: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == package for kind in type(x).__mro__)


def measure(
    name: str,
    rows: tuple[Any, ...],
    axis: int,
    normalize: bool,
    from_logits: bool,
    keepdims: bool,
    out: NDArray[np.float64] | None,
    dtype: str | None,
    validate: bool,
    numbers: tuple[NDArray[np.float64], ...],
) -> Any:
    """Evaluate the kernel `name` on rows of which at least one is from SciPy, pandas or Dask."""
    from fastdiv.divergences import _check_rows

    if any(sparse.is_sparse(x) for x in rows):
        if from_logits:
            raise ValueError(f"{name}: from_logits takes dense rows; a sparse row leaves out zeros")
        source = _core.SOURCES.index("normalized" if normalize else "raw")
        parameter = numbers[0] if numbers else None
        result = sparse.evaluate(
            name, rows, source, parameter, axis=axis, dtype=dtype, validate=validate
        )
        return placed(name, np.expand_dims(result, axis) if keepdims else result, out)
    labels, arrays = _aligned(name, rows, axis)
    if out is None and any(_is_from("dask", x) for x in rows):
        arrays, numbers = _chunked(name, arrays, numbers, axis)
    result = _core.evaluate(
        name,
        arrays,
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
        numbers,
    )
    if labels is None or out is not None or np.shape(result) != (len(labels),):
        return result
    return sys.modules["pandas"].Series(result, index=labels, name=name)


def _aligned(name: str, rows: tuple[Any, ...], axis: int) -> tuple[Any, tuple[Any, ...]]:
    """Labels of the rows, and the arrays with their outcomes in one order."""
    along = 0 if axis in (0, -2) else 1  # of a frame, the axis of the outcomes
    outcomes = batch = None
    arrays = []
    for argument, x in zip("pq", rows, strict=False):
        if not _is_from("pandas", x) or getattr(x, "ndim", 0) not in (1, 2):
            arrays.append(x)
            continue
        axes = x.axes if along == 1 or x.ndim == 1 else x.axes[::-1]
        if outcomes is None:
            outcomes = axes[-1]
        elif not axes[-1].equals(outcomes):
            missing = axes[-1].symmetric_difference(outcomes, sort=False)
            twice = [
                label for labels in (outcomes, axes[-1]) for label in labels[labels.duplicated()]
            ]
            if len(missing) or twice:
                label = missing[0] if len(missing) else twice[0]
                raise ValueError(
                    f"{name}: the outcomes of {argument} have other labels than those of p, for"
                    f" instance {label!r}; fastdiv.from_counts aligns, with 0 for what is missing"
                )
            x = x.reindex(outcomes, axis=along if x.ndim == 2 else 0)
        if x.ndim == 2:
            if batch is not None and not axes[0].equals(batch):
                raise ValueError(
                    f"{name}: the rows of {argument} have other labels than those of p"
                )
            batch = axes[0]
        arrays.append(x.to_numpy())
    return batch, tuple(arrays)


def _chunked(
    name: str, rows: tuple[Any, ...], numbers: tuple[Any, ...], axis: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Rows and numbers in the same chunks, which is what Dask asks of them."""
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


def placed(name: str, result: Any, out: NDArray[np.float64] | None) -> Any:
    if out is None:
        return result
    if not isinstance(out, np.ndarray) or out.dtype != np.float64:
        raise TypeError(f"{name}: out is {type(out).__name__}; it takes an array of float64")
    if out.shape != np.shape(result):
        raise ValueError(f"{name}: out has shape {out.shape}; the result has {np.shape(result)}")
    out[...] = result
    return out
