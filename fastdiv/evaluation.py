"""What every function of rows does before and after its kernel: operands, checks, units, results.

Arrays go to the gufuncs, SciPy's sparse rows to ``sparse.py``; pandas frames are aligned first and
give their labels to the result; Dask arrays stay lazy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core, frames, lazy, sparse

__all__ = [
    "check_rows",
    "in_units",
    "legible",
    "measure",
    "numbers_of",
    "order_of",
    "placed",
    "real_numbers",
    "row_name",
    "seed_of",
    "temperature_of",
    "units",
    "weight_of",
]


def check_rows(
    function: str,
    operands: tuple[Any, ...],
    axis: int,
    from_logits: bool,
    dtype: str | None,
    arguments: Sequence[str] = "pq",
) -> None:
    """Raise ValueError for the first row that is no distribution."""
    for argument, x in zip(arguments, operands, strict=False):
        rows = legible(np.moveaxis(np.asarray(x), axis, -1))
        with np.errstate(invalid="ignore"):
            wrong = ~(rows < np.inf) if from_logits else ~((rows >= 0) & (rows < np.inf))
            nothing = ~(rows > -np.inf if from_logits else rows > 0).any(axis=-1)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            kind = "logits are below +inf"
            if not from_logits:
                kind = "weights are finite and not negative"
            raise ValueError(
                f"{function}: {argument}, row {row_name(index[:-1])}, has {rows[index]} at"
                f" {index[-1]}; {kind}"
            )
        if nothing.any():
            row = row_name(tuple(int(i) for i in np.argwhere(nothing)[0]))
            all_of_it = "-inf" if from_logits else "0"
            raise ValueError(f"{function}: {argument}, row {row}, is {all_of_it} everywhere")


def legible(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows in a type that NumPy computes with.

    An operand of unsigned integers, of either byte order, is bfloat16: others are floats by then.
    """
    if rows.dtype.kind == "u":
        return (rows.astype(np.uint32) << 16).view(np.float32)
    return rows


def row_name(index: tuple[int, ...]) -> str:
    """Name a row of a batch in a message."""
    return str(index[0]) if len(index) == 1 else str(index) if index else "0"


ROOTS = frozenset({"js_distance"})  # whose square has the unit of a logarithm


def units(function: str, base: float | None) -> float:
    """Nats in one unit of the result."""
    if base is None:
        return 1.0
    if not (isinstance(base, (int, float, np.floating, np.integer)) and 1 < base < math.inf):
        raise ValueError(f"{function}: base is {base!r}; it takes a number above 1")
    return math.sqrt(math.log(base)) if function in ROOTS else math.log(base)


def real_numbers(function: str, argument: str, values: ArrayLike) -> NDArray[np.float64]:
    """Read numbers that float64 holds or is as wide as; TypeError for others."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{function}: {argument} is a masked array; it takes one that is filled")
    if getattr(values, "requires_grad", False):
        raise TypeError(
            f"{function}: {argument} is a tensor that requires gradients; it takes its detach()"
        )
    try:
        if hasattr(values, "__dlpack__") and not isinstance(values, np.ndarray):
            # NumPy has no name for bfloat16.
            array = legible(np.asarray(_core.array_of(values, function, argument, None)))
        else:
            array = np.asarray(values)
    except (TypeError, RuntimeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        said = str(error).removeprefix(f"{function}: ")
        raise kind(f"{function}: {argument} is no array of real numbers: {said}") from None
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"{function}: {argument} has dtype {array.dtype}; it takes real numbers")
    return array.astype(np.float64, copy=False)


def seed_of(function: str, seed: Any) -> int:
    """Read the seed of a generator."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"{function}: seed is {seed!r}; it takes an integer")
    if seed < 0:
        raise ValueError(f"{function}: seed is {seed}; it takes an integer that is not negative")
    return int(seed)


def numbers_of(function: str, argument: str, value: ArrayLike, takes: str) -> NDArray[np.float64]:
    """Read a number, or an array of them, that comes with the rows; not NaN."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: {argument} is {value!r}; it takes {takes}")
    array = array.astype(np.float64)
    if np.isnan(array).any():
        raise ValueError(f"{function}: {argument} is NaN; it takes {takes}")
    return array


def order_of(function: str, alpha: ArrayLike, *, infinite: bool) -> NDArray[np.float64]:
    """Read the order of a divergence or an entropy."""
    takes = "numbers, ±inf included" if infinite else "finite numbers"
    array = numbers_of(function, "alpha", alpha, takes)
    if not infinite and np.isinf(array).any():
        raise ValueError(f"{function}: alpha is {array[np.isinf(array)][0]}; it takes {takes}")
    return array


def weight_of(function: str, weight: ArrayLike) -> NDArray[np.float64]:
    """Read the weight of P in a mixture."""
    array = numbers_of(function, "weight", weight, "numbers in [0, 1]")
    wrong = (array < 0) | (array > 1)
    if wrong.any():
        raise ValueError(f"{function}: weight is {array[wrong][0]}; it takes numbers in [0, 1]")
    return array


def temperature_of(function: str, temperature: ArrayLike) -> NDArray[np.float64]:
    """Read what logits are to be divided by."""
    takes = "finite numbers above 0"
    array = numbers_of(function, "temperature", temperature, takes)
    wrong = ~((array > 0) & (array < np.inf))
    if wrong.any():
        raise ValueError(f"{function}: temperature is {array[wrong][0]}; it takes {takes}")
    return array


def measure(
    name: str,
    rows: tuple[Any, ...],
    axis: int,
    base: float | None,
    normalize: bool,
    from_logits: bool,
    keepdims: bool,
    out: NDArray[np.float64] | None,
    dtype: str | None,
    validate: bool,
    numbers: tuple[NDArray[np.float64], ...] = (),
) -> Any:
    """Evaluate the kernel `name` on rows of whatever kind."""
    unit = 1.0 if base is None else units(name, base)
    labels = None
    if not _core.are_arrays(rows):
        if any(sparse.is_sparse(x) for x in rows):
            options = (normalize, from_logits, keepdims, out, dtype, validate, numbers)
            return _of_sparse_rows(name, rows, axis, unit, *options)
        if any(frames.is_frame(x) for x in rows):
            labels, rows = frames.aligned(name, rows, axis)
        if out is None and any(lazy.is_lazy(x) for x in rows):
            rows, numbers = lazy.chunked(name, rows, numbers, axis)
    result = _core.evaluate(
        name,
        rows,
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        check_rows if validate else None,
        numbers,
    )
    result = in_units(result, unit, out)
    return result if out is not None else frames.labelled(result, labels, name)


def _of_sparse_rows(
    name: str,
    rows: tuple[Any, ...],
    axis: int,
    unit: float,
    normalize: bool,
    from_logits: bool,
    keepdims: bool,
    out: NDArray[np.float64] | None,
    dtype: str | None,
    validate: bool,
    numbers: tuple[NDArray[np.float64], ...],
) -> Any:
    if from_logits:
        raise ValueError(f"{name}: from_logits takes dense rows; a sparse row leaves out zeros")
    source = _core.SOURCES.index("normalized" if normalize else "raw")
    parameter = numbers[0] if numbers else None
    result = sparse.evaluate(
        name, rows, source, parameter, axis=axis, dtype=dtype, validate=validate
    )
    result = in_units(result, unit, None)
    return placed(name, np.expand_dims(result, axis) if keepdims else result, out)


def in_units(result: Any, unit: float, out: NDArray[np.float64] | None) -> Any:
    """Turn nats into the units of `base`."""
    if unit == 1.0:
        return result
    return result / unit if out is None else np.divide(out, unit, out=out)


def placed(name: str, result: Any, out: NDArray[np.float64] | None) -> Any:
    """Return the result, in `out` where that is given and fits."""
    if out is None:
        return result
    if not isinstance(out, np.ndarray) or out.dtype != np.float64:
        raise TypeError(f"{name}: out is {type(out).__name__}; it takes an array of float64")
    if out.shape != np.shape(result):
        raise ValueError(f"{name}: out has shape {out.shape}; the result has {np.shape(result)}")
    out[...] = result
    return out
