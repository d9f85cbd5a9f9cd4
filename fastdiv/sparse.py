"""Rows of distributions of which only the nonzero elements are stored: SciPy's sparse formats.

A pair of rows becomes two short dense rows at the union of their indices, and the kernels of dense
rows do the rest; what is missing in both adds nothing to any divergence. Memory is that of the two
rows per thread, whatever their width. SciPy itself is never imported: an operand that came from it
brings its own methods.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdiv import _core
from fastdiv._core import SparseRows

__all__ = ["SparseRows", "evaluate", "is_sparse", "pairwise_block", "prepare", "warn_invalid"]

INVALID = 1  # FD_INVALID of src_c/fastdiv.h
COMPRESSED = {"csr": 0, "csc": 1, "bsr": 0}  # format: the axis that indptr runs along


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix or array of SciPy's, or of a class made from one.

    Parameters
    ----------
    x : object
        Anything.

    Returns
    -------
    bool
        True for what `prepare` takes as sparse.

    Examples
    --------
    >>> from scipy.sparse import coo_array, csr_matrix
    >>> is_sparse(csr_matrix((2, 3))), is_sparse(coo_array((2, 3))), is_sparse([0, 1])
    (True, True, False)
    """
    return hasattr(x, "tocsr") and any(
        kind.__module__.startswith("scipy.sparse") for kind in type(x).__mro__
    )


def prepare(
    x: Any, function: str, argument: str, *, axis: int = -1, dtype: str | None = None
) -> SparseRows:
    """Check an operand, sparse or dense, and bring it to rows of nonzero elements.

    Parameters
    ----------
    x : sparse matrix or array, or array_like
        One distribution, or with two axes many. It is never written to; CSR of float32 or float64
        with sorted indices is not copied.
    function, argument : str
        Names for the messages.
    axis : int, default -1
        The axis that a distribution lies along.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 holds raw bfloat16.

    Returns
    -------
    SparseRows
        The rows; ``len(rows)`` is 1 for what has one axis.

    Raises
    ------
    TypeError
        If the dtype is not supported.
    ValueError
        If the axes do not fit, a distribution is empty, or the parts of a sparse matrix contradict
        each other: an index outside its row, an ``indptr`` that does not ascend.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> rows = prepare(csr_array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]]), "kl_divergence", "p")
    >>> len(rows), rows.width, rows.data
    (2, 3, array([2., 1., 3.]))
    """
    where = f"{function}: {argument}"
    if not is_sparse(x):
        x = _core.weights(x, function, argument, dtype)
        _check_axis(x.shape, where, axis)
        return _nonzero(np.atleast_2d(np.moveaxis(x, axis, -1)), where)
    _check_axis(x.shape, where, axis)
    _core.weights(np.empty(0, x.dtype), function, argument, dtype)
    one_axis, transposed = len(x.shape) == 1, len(x.shape) == 2 and axis in (0, -2)
    if x.format != "csr" or transposed:
        _check_parts(x, where)
    try:
        if one_axis and x.format != "csr":
            x = x.reshape(1, -1)
        elif transposed:
            x = x.T
        x = x.tocsr()
    except ValueError as error:
        raise ValueError(f"{where} cannot become CSR: SciPy says {error}") from None
    rows = _rows(x, function, argument, dtype)
    if not rows.canonical:
        # A matrix notes once whether its indices ascend; a copy of its parts looks anew.
        parts = (x.data.copy(), x.indices.copy(), x.indptr.copy())
        x = type(x)(parts, shape=x.shape)
        x.sum_duplicates()
        rows = _rows(x, function, argument, dtype)
    return rows


def _rows(x: Any, function: str, argument: str, dtype: str | None) -> SparseRows:
    where, count = f"{function}: {argument}", x.shape[0] if len(x.shape) == 2 else 1
    _check_count(x.indptr, count, where)
    data = _core.weights(x.data, function, argument, dtype)
    return SparseRows(data, x.indices, x.indptr, x.shape[-1], where)


def _check_count(indptr: Any, count: int, where: str) -> None:
    if len(indptr) != count + 1:
        raise ValueError(f"{where} has an indptr of {len(indptr)} elements, and {count} rows")


def _nonzero(x: NDArray[Any], where: str) -> SparseRows:
    rows, indices = np.nonzero(x)
    indptr = np.searchsorted(rows, np.arange(len(x) + 1))
    return SparseRows(x[rows, indices], indices, indptr, x.shape[1], where)


def _check_axis(shape: tuple[int, ...], where: str, axis: int) -> None:
    if len(shape) not in (1, 2):
        raise ValueError(
            f"{where} has {len(shape)} axes; sparse rows, and rows beside them, have 1 or 2"
        )
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{where} has {len(shape)} axes, and none with the number {axis}")
    if shape[axis] == 0:
        raise ValueError(f"{where} has an empty distribution axis (shape {shape}, axis {axis})")


def _check_parts(x: Any, where: str) -> None:
    """Raise ValueError for indices that SciPy's own conversions would follow out of its arrays."""
    if x.format in COMPRESSED:
        along = COMPRESSED[x.format] if len(x.shape) == 2 else 0
        shape = tuple(np.floor_divide(x.shape, getattr(x, "blocksize", 1)).tolist())
        _check_count(x.indptr, shape[along] if len(shape) == 2 else 1, where)
        # The values are of no interest here, so these take no memory.
        SparseRows(np.zeros(len(x.data), np.float32), x.indices, x.indptr, shape[along - 1], where)
    elif x.format == "coo":
        for indices, size in zip(x.coords, x.shape, strict=True):
            indices = np.asarray(indices)
            if indices.shape != x.data.shape or indices.dtype.kind not in "iu":
                raise ValueError(
                    f"{where} has indices of {indices.dtype} and shape {indices.shape},"
                    f" and data of shape {x.data.shape}"
                )
            if indices.size and not (indices.min() >= 0 and indices.max() < size):
                wrong = indices[(indices < 0) | (indices >= size)][0]
                raise ValueError(f"{where} has the index {wrong} on an axis of {size}")


def evaluate(
    name: str,
    operands: tuple[Any, ...],
    source: int,
    parameter: Any = None,
    *,
    axis: int = -1,
    dtype: str | None = None,
    validate: bool = False,
    function: str | None = None,
) -> Any:
    """One divergence, row by row, of operands of which at least one is sparse.

    Parameters
    ----------
    name : str
        One of ``_core.DIVERGENCES``.
    operands : tuple
        p and q, or p alone for an entropy: sparse, or dense with one or two axes. One row goes
        with any number of rows.
    source : int
        Index in ``_core.SOURCES``: 0 divides rows by their sums, 1 takes the numbers as given.
    parameter : float or array_like of float, optional
        The divergence's parameter; an array broadcasts against the batch.
    axis : int, default -1
        The axis that a distribution lies along.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 holds raw bfloat16.
    validate : bool, default False
        Raise ValueError where the result would be NaN.
    function : str, optional
        Name for the messages; default `name`.

    Returns
    -------
    float64 or ndarray of float64
        One number per row; a scalar where every operand has one axis.

    Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If `source` is logits, an operand is malformed, lengths or numbers of rows do not match, or
        `validate` finds a row that is no distribution.

    Warns
    -----
    RuntimeWarning
        "invalid value", as from the function of dense rows; ``numpy.errstate`` governs it.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> p = csr_array([[0, 1, 3, 0], [2, 0, 0, 0]])
    >>> evaluate("total_variation", (p, [1, 1, 0, 0]), 0)
    array([0.75, 0.5 ])
    """
    function = function or name
    if _core.SOURCES[source] == "logits":
        raise ValueError(
            f"{function}: from_logits takes dense rows;"
            " what a sparse row leaves out is a probability of 0, no logit"
        )
    prepared = [
        prepare(x, function, argument, axis=axis, dtype=dtype)
        for argument, x in zip("pq", operands, strict=False)
    ]
    if validate:
        for argument, rows in zip("pq", prepared, strict=False):
            check_rows(rows, function, argument)
    p, q = prepared[0], prepared[1] if len(prepared) == 2 else None
    count = len(p) if q is None or len(q) == 1 else len(q)
    if q is not None:
        if p.width != q.width:
            raise ValueError(
                f"{function}: rows of p have {p.width} elements, rows of q {q.width};"
                " they are to be of one length"
            )
        if len(p) not in (1, count):
            raise ValueError(
                f"{function}: p has {len(p)} rows, q has {len(q)};"
                " they are to have the same number, or one"
            )
    numbers = np.asarray(0.0 if parameter is None else parameter, np.float64)
    one_axis = all(len(x.shape if is_sparse(x) else np.shape(x)) == 1 for x in operands)
    shape = np.broadcast_shapes(() if one_axis else (count,), numbers.shape)
    result = np.empty(shape or (1,))
    status = 0
    for i in np.ndindex(result.shape[:-1]):
        some = numbers if numbers.ndim == 0 else np.broadcast_to(numbers, shape)[i]
        status |= _core.sparse(name, source, p, q, some, 0, result[i])
    if status & INVALID:
        warn_invalid(name, source)
    return result if shape else result[0]


def pairwise_block(
    name: str,
    source: int,
    x: SparseRows,
    y: SparseRows,
    parameter: float | None,
    first_row: int,
    last_row: int,
    out: NDArray[np.float64],
) -> int:
    """All pairs of some rows of x with every row of y.

    Parameters
    ----------
    name : str
        One of ``_core.DIVERGENCES`` that is of two rows.
    source : int
        0 divides rows by their sums, 1 takes the numbers as given.
    x, y : SparseRows
        From `prepare`, of one width.
    parameter : float, optional
        The divergence's parameter.
    first_row, last_row : int
        The rows ``x[first_row:last_row]``.
    out : ndarray
        Contiguous float64 array of shape ``(last_row - first_row, len(y))``, which is written.

    Returns
    -------
    int
        Status bits: 1 where a row was no distribution; its results are NaN, and it is for the
        caller to say so by `warn_invalid`, once.

    Raises
    ------
    ValueError
        If the rows or `out` do not fit.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> x = prepare(csr_array([[1, 0], [1, 1], [0, 1]]), "pairwise", "x")
    >>> out = np.empty((2, 3))
    >>> pairwise_block("total_variation", 0, x, x, None, 1, 3, out)
    0
    >>> out
    array([[0.5, 0. , 0.5],
           [1. , 0.5, 0. ]])
    """
    if out.shape != (last_row - first_row, len(y)):
        raise ValueError(
            f"{name}: out has shape {out.shape}; the result has {(last_row - first_row, len(y))}"
        )
    return _core.sparse(name, source, x, y, 0.0 if parameter is None else parameter, first_row, out)


def warn_invalid(name: str, source: int) -> None:
    """Warn, raise or stay silent as the function of dense rows does for a row that is none.

    Parameters
    ----------
    name : str
        One of ``_core.DIVERGENCES``.
    source : int
        Index in ``_core.SOURCES``.

    Raises
    ------
    FloatingPointError
        If ``numpy.errstate(invalid="raise")`` governs.

    Examples
    --------
    >>> with np.errstate(invalid="ignore"):
    ...     warn_invalid("kl_divergence", 0)
    """
    rows = [[-1.0]] * (1 if name in _core.UNARY else 2)
    numbers = [1.0] if name in _core.PARAMETERS else []
    _core.gufunc(name, source)(*rows, *numbers)


def check_rows(rows: SparseRows, function: str, argument: str) -> None:
    """Raise ValueError for the first row that is no distribution."""
    data = rows.data[: rows.indptr[-1]]
    wrong = ~((data >= 0) & (data < np.inf))
    if wrong.any():
        k = int(wrong.argmax())
        row = int(np.searchsorted(rows.indptr, k, "right")) - 1
        raise ValueError(
            f"{function}: {argument}, row {row}, has {data[k]} at {rows.indices[k]};"
            " weights are finite and not negative"
        )
    positive = np.concatenate([[0], np.cumsum(data > 0)])[rows.indptr]
    nothing = positive[1:] == positive[:-1]
    if nothing.any():
        raise ValueError(f"{function}: {argument}, row {nothing.argmax()}, is 0 everywhere")
