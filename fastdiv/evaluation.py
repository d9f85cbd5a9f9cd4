"""What every function of rows does before and after its kernel: operands, checks, units, results.

Arrays go to the gufuncs, SciPy's sparse rows to ``sparse.py``; pandas frames are aligned first and
give their labels to the result; Dask arrays stay lazy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core, frames, lazy, sparse

__all__ = [
    "along_last",
    "array_of",
    "check_batches",
    "check_pair",
    "check_rows",
    "dense",
    "in_units",
    "integer_of",
    "is_masked",
    "legible",
    "measure",
    "numbers_of",
    "order_of",
    "placed",
    "real_numbers",
    "refuse",
    "refuse_masked",
    "row_name",
    "seed_of",
    "temperature_of",
    "units",
    "unmasked",
    "weight_of",
]

_MASKS = "numpy.ma"  # takes long to import, and whoever has a masked array has imported it
_AXES = 64  # more have no arrays of NumPy's, so no lists are nested deeper


def array_of(function: str, argument: str, values: Any, dtype: str | None = None) -> NDArray[Any]:
    """Read an array of one of the storage types, bfloat16 as uint16; never a masked one."""
    if getattr(values, "requires_grad", False) is True:
        raise TypeError(
            f"{function}: {argument} is a tensor that requires its gradient; it takes"
            f" {argument}.detach()"
        )
    refuse_masked(function, argument, values)
    if isinstance(values, (list, tuple)):
        try:
            values = np.asarray(values)
        except (OverflowError, RuntimeError, TypeError, ValueError):
            raise ValueError(
                f"{function}: {argument} has rows of different lengths, or what is no number; it"
                " takes an array"
            ) from None
    return np.asarray(_core.array_of(values, function, argument, dtype))


def is_masked(x: object) -> bool:
    """Tell whether it is a masked array."""
    return _of_masked(type(x))


def _of_masked(kind: type) -> bool:
    if kind is np.ndarray or not issubclass(kind, np.ndarray):
        return False
    return _MASKS in sys.modules and issubclass(kind, np.ma.MaskedArray)


def refuse_masked(function: str, argument: str, values: Any) -> None:
    """Raise TypeError for a masked array, or lists of them: NumPy would drop the mask."""
    if _MASKS not in sys.modules:
        return
    if is_masked(values):
        # It says so in the words that the kernels have for their rows.
        _core.array_of(values.view(np.ma.MaskedArray), function, argument)
    level = [values] if isinstance(values, (list, tuple)) else []
    for _ in range(_AXES):
        kinds = set(map(type, chain.from_iterable(level)))
        if any(map(_of_masked, kinds)):
            raise TypeError(f"{function}: {argument} holds masked arrays; fill them first")
        if not any(issubclass(kind, (list, tuple)) for kind in kinds):
            return
        level = [x for x in chain.from_iterable(level) if isinstance(x, (list, tuple))]


def unmasked(function: str, argument: str, values: Any) -> NDArray[Any]:
    """Read an array of whatever dtype, as it is; TypeError for a masked one."""
    refuse_masked(function, argument, values)
    return np.asarray(values)


def along_last(function: str, argument: str, x: NDArray[Any], axis: int) -> NDArray[Any]:
    """Move the axis of the outcomes to the end; errors where there is none, or nothing along it."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"{function}: axis is {axis!r}; it takes an integer")
    if x.ndim == 0:
        raise ValueError(
            f"{function}: {argument} is a single number; it takes an array with an axis {axis}"
        )
    if not -x.ndim <= axis < x.ndim:
        raise np.exceptions.AxisError(
            f"{function}: axis is {axis}; {argument} has shape {x.shape}, so it takes"
            f" {-x.ndim}…{x.ndim - 1}"
        )
    if not x.shape[axis]:
        raise ValueError(f"{function}: {argument} has shape {x.shape}; its axis {axis} is empty")
    return np.moveaxis(x, int(axis), -1)


def check_pair(function: str, p: NDArray[Any], q: NDArray[Any]) -> None:
    """Raise ValueError for rows, along the last axis, that cannot be compared."""
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(f"{function}: p has rows of {p.shape[-1]}, q of {q.shape[-1]} outcomes")
    check_batches(function, p=p.shape[:-1], q=q.shape[:-1])


def check_batches(function: str, **shapes: tuple[int, ...]) -> None:
    """Raise ValueError for batches of rows, and what comes with them, that do not broadcast."""
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        each = ", ".join(f"{argument} {shape}" for argument, shape in shapes.items())
        raise ValueError(
            f"{function}: beside the axis of outcomes the shapes do not broadcast: {each}"
        ) from None


def integer_of(function: str, argument: str, value: Any, least: int | None = None) -> int:
    """Read a whole number."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{function}: {argument} is {value!r}; it takes an integer")
    if least is not None and value < least:
        raise ValueError(f"{function}: {argument} is {value}; it takes at least {least}")
    return int(value)


def seed_of(function: str, seed: int) -> int:
    """Read the seed of a generator."""
    if integer_of(function, "seed", seed, 0) >= 1 << 64:
        raise ValueError(f"{function}: seed is {seed}; it takes 0…2⁶⁴ − 1")
    return int(seed)


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


def refuse(
    function: str,
    argument: str,
    values: NDArray[Any],
    wrong: NDArray[np.bool_],
    takes: str,
    row: str = "row",
) -> None:
    """Raise ValueError for the first value that is wrong."""
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        value = np.broadcast_to(values, wrong.shape)[index]
        where = f", {row} {row_name(index[:-1])}," if len(index) > 1 else ""
        got = f"{where} has {value} at {index[-1]}" if index else f" is {value}"
        raise ValueError(f"{function}: {argument}{got}; it takes {takes}")


def dense(function: str, axis: int, **rows: Any) -> tuple[Any, ...]:
    """Return rows along the last axis, and that axis; frames, sparse and lazy rows as they are."""
    if any(frames.is_frame(x) or sparse.is_sparse(x) or lazy.is_lazy(x) for x in rows.values()):
        return (*rows.values(), axis)
    found = [
        along_last(function, argument, legible(array_of(function, argument, x)), axis)
        for argument, x in rows.items()
    ]
    check_pair(function, *found)
    return (*found, -1)


ROOTS = frozenset({"js_distance"})  # whose square has the unit of a logarithm


def units(function: str, base: float | None) -> float:
    """Nats in one unit of the result."""
    if base is None:
        return 1.0
    if not (isinstance(base, (int, float, np.floating, np.integer)) and 1 < base < math.inf):
        raise ValueError(f"{function}: base is {base!r}; it takes a number above 1")
    return math.sqrt(math.log(base)) if function in ROOTS else math.log(base)


def real_numbers(function: str, argument: str, values: ArrayLike) -> NDArray[np.float64]:
    """Read numbers of every dtype that rows may have, in float64; TypeError for others."""
    try:
        array = array_of(function, argument, values)
    except TypeError as error:
        text, of_dtype, _ = str(error).partition("; it takes float16")
        raise TypeError(f"{text}; it takes real numbers" if of_dtype else text) from None
    return legible(array).astype(np.float64, copy=False)


def numbers_of(function: str, argument: str, value: ArrayLike, takes: str) -> NDArray[np.float64]:
    """Read a number, or an array of them, that comes with the rows; not NaN."""
    array = unmasked(function, argument, value)
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
        for argument, x in zip("pq", rows, strict=False):
            refuse_masked(_public(name), argument, x)
        if any(sparse.is_sparse(x) for x in rows):
            options = (normalize, from_logits, keepdims, out, dtype, validate, numbers)
            return _of_sparse_rows(name, rows, axis, unit, *options)
        if any(frames.is_frame(x) for x in rows):
            labels, rows = frames.aligned(name, rows, axis)
        if out is None and any(lazy.is_lazy(x) for x in rows):
            rows, numbers = lazy.chunked(name, rows, numbers, axis)
    try:
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
    except (BufferError, OverflowError, RuntimeError, TypeError, ValueError):
        _explain(name, rows, axis, dtype, numbers)
        raise
    result = in_units(result, unit, out)
    return result if out is not None else frames.labelled(result, labels, name)


def _public(name: str) -> str:
    """Return the function that its kernel is called by."""
    return "js_divergence" if name == "weighted_js_divergence" else name


def _explain(
    name: str,
    rows: tuple[Any, ...],
    axis: int,
    dtype: str | None,
    numbers: tuple[NDArray[np.float64], ...],
) -> None:
    """Raise the error that names what does not fit, where the kernel's own speaks of gufuncs."""
    if any(lazy.is_lazy(x) for x in rows):
        return
    name = _public(name)
    found = [
        along_last(name, argument, array_of(name, argument, x, dtype), axis)
        for argument, x in zip("pq", rows, strict=False)
    ]
    if len(found) == 2:
        check_pair(name, *found)
    if numbers:
        batches = {argument: x.shape[:-1] for argument, x in zip("pq", found, strict=False)}
        check_batches(name, **batches, parameter=numbers[0].shape)


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
