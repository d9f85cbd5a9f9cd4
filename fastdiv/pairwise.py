"""All pairs of rows: a matrix of divergences, or the nearest rows of each row.

1. The matrix is made strip by strip (`_Dense.fill`, `_Sparse.fill`); a strip is a slice of `out`,
   so nothing of the matrix's size exists beside the matrix.
2. In a strip 16-bit and strided rows are contiguous and of the type that is computed in, and rows
   of float64 are prepared for Jensen-Shannon, whose matrix needs one logarithm per coordinate.
3. Squares of pairs that fit the cache go to the kernels of the pair functions, so the bits are
   theirs; the other half of a symmetric matrix is a copy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core, divergences, evaluation, frames, sparse

__all__ = ["Neighbours", "pairwise"]

STRIP_BYTES = 1 << 25  # of rows that are converted or prepared together
STRIP_ROWS = 2048
STRIP_RESULTS = 1 << 22
PUBLIC = {"weighted_js_divergence": "js_divergence"}  # kernels whose function has another name

Matrix = NDArray[np.float64]


class Neighbours(NamedTuple):
    """The nearest rows of each row.

    Attributes
    ----------
    indices : ndarray of int64, shape (n, k)
        Rows of y.
    values : ndarray of float64, shape (n, k)
        Their divergences, ascending.

    Examples
    --------
    >>> import fastdiv as fd
    >>> nearest = fd.pairwise([[1, 1], [1, 2], [2, 1]], divergence="total_variation", top_k=1)
    >>> nearest.indices.ravel(), nearest.values.ravel()
    (array([1, 0, 0]), array([0.16666667, 0.16666667, 0.16666667]))
    """

    indices: NDArray[np.int64]
    values: Matrix


class _Term(NamedTuple):
    weight: float
    kernel: str
    parameter: float | None = None
    swapped: bool = False


class _Task(NamedTuple):
    """offset + sum of weight times kernel, in units."""

    terms: tuple[_Term, ...]
    source: int
    offset: float = 0.0
    unit: float = 1.0

    @property
    def symmetric(self) -> bool:
        return all(term.kernel in _core.SYMMETRIC for term in self.terms)

    @property
    def plain(self) -> bool:
        """Whether the first kernel's results are all there is."""
        return len(self.terms) == 1 and self.terms[0].weight == 1 and self.offset == 0


class _Rows(Protocol):
    """Pairs of two sets of rows, of whatever kind."""

    count: int
    across: int
    half: bool  # fill takes start = first, and the rest of the matrix mirrors what it fills

    def strips(self, most: int) -> Iterator[tuple[int, int]]:
        """First and last rows, of at most so many results that fit together."""

    def fill(self, task: _Task, first: int, last: int, start: int, target: Matrix) -> int:
        """Rows first…last−1 of the matrix from column `start` on; the status bits."""


def _strips(count: int, rows: int, first: int = 0) -> Iterator[tuple[int, int]]:
    for i in range(first, count, rows):
        yield i, min(i + rows, count)


class _Dense:
    def __init__(self, x: NDArray[Any], y: NDArray[Any] | None, half: bool) -> None:
        self.x, self.y, self.half = x, x if y is None else y, half
        self.count, self.across = len(self.x), len(self.y)
        double = 8 in (self.x.dtype.itemsize, self.y.dtype.itemsize)
        self.compute = np.dtype(np.float64 if double else np.float32)
        self.rows = max(4, min(STRIP_ROWS, STRIP_BYTES // (8 * self.x.shape[1])))

    def strips(self, most: int) -> Iterator[tuple[int, int]]:
        return _strips(self.count, max(1, min(self.rows, most)))

    def fill(self, task: _Task, first: int, last: int, start: int, target: Matrix) -> int:
        status = 0
        x = _Strip(self.x[first:last], self.compute)
        if self.half:
            status |= _block(task, x, x, target[:, : last - first])
            start, target = last, target[:, last - first :]
        for left, right in _strips(self.across, self.rows, start):
            y = _Strip(self.y[left:right], self.compute)
            status |= _block(task, x, y, target[:, left - start : right - start])
        return status


class _Strip:
    """Some rows, contiguous and in the type that is computed in."""

    def __init__(self, rows: NDArray[Any], compute: np.dtype[Any]) -> None:
        rows = evaluation.legible(rows)
        whole = rows.dtype == compute and rows.flags.aligned and rows.strides[1] == rows.itemsize
        if not whole:
            kind = np.float64 if rows.dtype.itemsize == 8 else np.float32
            rows = np.require(rows, kind, ["C", "A"])
        self.rows = _core.widen(rows) if rows.dtype != compute else rows
        self._prepared: tuple[Matrix, Matrix] | None = None

    def prepared(self) -> tuple[Matrix, Matrix]:
        if self._prepared is None:
            self._prepared = _core.js_prepare(self.rows)
        return self._prepared


def _block(task: _Task, x: _Strip, y: _Strip, target: Matrix) -> int:
    if task.plain:
        status = _all_pairs(task.terms[0], task.source, x, y, target)
    else:
        status, part = 0, np.empty(target.shape)
        target[...] = task.offset
        for term in task.terms:
            status |= _all_pairs(term, task.source, x, y, part)
            target += term.weight * part
    if task.unit != 1:
        target /= task.unit
    return status


def _all_pairs(term: _Term, source: int, x: _Strip, y: _Strip, target: Matrix) -> int:
    if term.swapped:
        x, y, target = y, x, target.T
    prepared = None
    if (
        term.kernel in ("js_divergence", "js_distance")
        and _core.SOURCES[source] == "normalized"
        and x.rows.dtype == np.float64
    ):
        prepared = (x.prepared(), y.prepared())
    half = x is y and term.kernel in _core.SYMMETRIC
    parameter = 0.0 if term.parameter is None else term.parameter
    return _core.all_pairs(term.kernel, source, x.rows, y.rows, parameter, target, half, prepared)


class _Sparse:
    def __init__(self, x: Any, y: Any, half: bool, dtype: str | None, validate: bool) -> None:
        self.x = sparse.prepare(x, "pairwise", "x", dtype=dtype)
        self.y = self.x if y is None else sparse.prepare(y, "pairwise", "y", dtype=dtype)
        if validate:
            sparse.check_rows(self.x, "pairwise", "x")
            sparse.check_rows(self.y, "pairwise", "y")
        self.count, self.across, self.half = len(self.x), len(self.y), half

    def strips(self, most: int) -> Iterator[tuple[int, int]]:
        # A strip's own square is computed whole.
        rows = min(STRIP_ROWS, self.count // 16 + 1) if self.half else STRIP_ROWS
        return _strips(self.count, max(1, min(rows, most)))

    def fill(self, task: _Task, first: int, last: int, start: int, target: Matrix) -> int:
        x, y = _some(self.x, first, last), _some(self.y, start, self.across)
        status = 0
        total: Matrix = np.full(target.shape, task.offset)
        for weight, kernel, parameter, swapped in task.terms:
            p, q = (y, x) if swapped else (x, y)
            part = np.empty((len(p), len(q)))
            status |= sparse.pairwise_block(kernel, task.source, p, q, parameter, 0, len(p), part)
            part = part.T if swapped else part
            total = part if task.plain else total + weight * part
        np.divide(total, task.unit, out=target)
        return status


def _some(rows: sparse.SparseRows, first: int, last: int) -> sparse.SparseRows:
    start, end = rows.indptr[first], rows.indptr[last]
    parts = (rows.data[start:end], rows.indices[start:end], rows.indptr[first : last + 1] - start)
    return sparse.SparseRows(*parts, rows.width, "pairwise: a strip")


def pairwise(
    x: ArrayLike,
    y: ArrayLike | None = None,
    divergence: Any = "js_distance",
    *,
    alpha: float | None = None,
    weight: float | None = None,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    out: Matrix | None = None,
    top_k: int | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Divergences of all rows of x from all rows of y, or the nearest rows of each.

    .. math:: D_{ij} = D(x_i \| y_j)

    Each number has the bits that the divergence's own function returns for the two rows.

    Parameters
    ----------
    x : array_like, shape (n, width)
        Rows of weights, or with `from_logits` of unnormalised log-probabilities. float16, bfloat16,
        float32, float64, integers and booleans; SciPy sparse matrices.
    y : array_like, shape (m, width), optional
        Other rows; their dtype may differ. Default: x, and of a symmetric divergence half is
        computed.
    divergence : str or Generator, default "js_distance"
        Name of a function of two rows, such as ``"kl_divergence"``; or a
        ``fastdiv.generators.Generator`` that is a sum of these.
    alpha : float, optional
        Order of ``"alpha_divergence"`` and ``"renyi_divergence"``, which need it.
    weight : float, optional
        Weight of x in the mixture of ``"js_divergence"``, in [0, 1]; default 0.5.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats. For divergences that have a logarithm.
    normalize : bool, default True
        Divide each row by its sum. False: take the numbers as they are given.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities (`normalize` is then without meaning).
    out : ndarray of float64, shape (n, m), optional
        Array for the result: in any order, or a ``numpy.memmap`` for a matrix larger than memory.
    top_k : int, optional
        Return the `top_k` nearest rows of each row instead of the matrix, which is then never
        there as a whole.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.
    validate : bool, default False
        Raise ValueError, naming argument, row and value, for a row that is no distribution.

    Returns
    -------
    ndarray of float64, shape (n, m), or Neighbours
        The matrix; or with `top_k` a named tuple ``(indices, values)`` of arrays of shape
        (n, top_k): the smallest divergences of each row, ascending, equal ones by index, NaN last.
        Without `y` no row is a neighbour of itself.

    Raises
    ------
    TypeError
        If a dtype is not supported, a parameter is missing or superfluous, or the generator is no
        sum of kernels.
    ValueError
        If the divergence is unknown or of one row, a parameter is NaN or out of its range, the rows
        are empty or their widths differ, `out` has another shape, `top_k` is not in 1…m (without
        `y`: 1…n−1) or comes with `out`, or `validate` finds a row that is no distribution.

    Warns
    -----
    RuntimeWarning
        "invalid value" if a row has a negative or infinite weight or, if `normalize`, none at all;
        its results are NaN. ``numpy.errstate`` governs it.

    References
    ----------
    .. [1] D. M. Endres and J. E. Schindelin, "A new metric for probability distributions", IEEE
       Transactions on Information Theory 49 (2003), 1858-1860.

    Examples
    --------
    >>> import fastdiv as fd
    >>> topics = [[4, 1, 0], [3, 2, 0], [0, 1, 4]]
    >>> fd.pairwise(topics, base=2)
    array([[0.        , 0.18668571, 0.89442719],
           [0.18668571, 0.        , 0.85118227],
           [0.89442719, 0.85118227, 0.        ]])
    >>> fd.pairwise(topics, [[1, 1, 1]], "kl_divergence")
    array([[0.59820987],
           [0.42560062],
           [0.59820987]])
    >>> fd.pairwise(topics, divergence="renyi_divergence", alpha=0.5, top_k=1)
    Neighbours(indices=array([[1],
           [0],
           [1]]), values=array([[0.04927601],
           [0.04927601],
           [2.52572864]]))
    """
    source = 2 if from_logits else 0 if normalize else 1
    task = _task(divergence, alpha, weight, base, source)
    if out is not None and top_k is not None:
        raise ValueError(
            "pairwise: out comes with top_k, which returns new arrays; give one of both"
        )
    half = y is None and top_k is None and task.symmetric
    rows = _rows(x, y, task, half, out, dtype, validate)
    if out is None and top_k is None:
        out = np.empty((rows.count, rows.across))
    if out is not None:
        _check_out(out, (rows.count, rows.across))
        status = _matrix(rows, task, out)
        result: Any = out
    else:
        result, status = _nearest(
            rows, task, _check_top_k(top_k, rows.across, y is None), y is None
        )
    if status:
        _warn_invalid(task)
    return result


def _matrix(rows: _Rows, task: _Task, out: Matrix) -> int:
    status = 0
    for first, last in rows.strips(STRIP_RESULTS // max(1, min(rows.across, STRIP_ROWS))):
        start = first if rows.half else 0
        target = out[first:last, start:]
        status |= rows.fill(task, first, last, start, target)
        if rows.half:
            out[last:, first:last] = target[:, last - first :].T
    return status


def _nearest(rows: _Rows, task: _Task, k: int, of_itself: bool) -> tuple[Neighbours, int]:
    status = 0
    indices, values = np.empty((rows.count, k), np.int64), np.empty((rows.count, k))
    for first, last in rows.strips(STRIP_RESULTS // max(1, rows.across)):
        strip = np.empty((last - first, rows.across))
        status |= rows.fill(task, first, last, 0, strip)
        for i, row in enumerate(strip, first):
            others = np.delete(row, i) if of_itself else row
            chosen = _smallest(others, k)
            indices[i], values[i] = chosen + (of_itself & (chosen >= i)), others[chosen]
    return Neighbours(indices, values), status


def _smallest(row: Matrix, k: int) -> NDArray[np.intp]:
    """Find the k smallest numbers: their indices, ascending, equal ones by index and NaN last."""
    limit = np.partition(row, k - 1)[k - 1]
    candidates = np.arange(row.size) if np.isnan(limit) else np.flatnonzero(row <= limit)
    return candidates[np.argsort(row[candidates], kind="stable")[:k]]


# --- what is asked for ---------------------------------------------------------------------------


def _task(
    divergence: Any, alpha: float | None, weight: float | None, base: float | None, source: int
) -> _Task:
    if not isinstance(divergence, str):
        return _generated(divergence, alpha, weight, base, source)
    from fastdiv import generators

    hidden = (*_core.UNARY, *PUBLIC)
    known = [*(n for n in _core.DIVERGENCES if n not in hidden), *generators.GENERATORS]
    if divergence in generators.GENERATORS and divergence not in _core.DIVERGENCES:
        return _generated(generators.get(divergence), alpha, weight, base, source)
    if divergence in _core.UNARY:
        raise ValueError(f"pairwise: {divergence} is of one row; call fastdiv.{divergence}")
    if divergence not in (*known, *PUBLIC):
        import difflib

        near = difflib.get_close_matches(divergence, known, 1)
        nearest = f", of which {near[0]!r} is nearest" if near else ""
        raise ValueError(
            f"pairwise: divergence is {divergence!r}; it takes {', '.join(known)}{nearest}"
        )
    parameter, kernel = _parameter(divergence, alpha, weight)
    if base is not None and not _has_base(PUBLIC.get(divergence, divergence)):
        raise TypeError(f"pairwise: {divergence} has no logarithm, so base is not taken")
    unit = evaluation.units("pairwise", base)
    unit = math.sqrt(unit) if kernel in evaluation.ROOTS else unit
    return _Task((_Term(1.0, kernel, parameter),), source, unit=unit)


def _has_base(name: str) -> bool:
    import inspect

    return "base" in inspect.signature(getattr(divergences, name)).parameters


def _parameter(name: str, alpha: float | None, weight: float | None) -> tuple[float | None, str]:
    """Return the parameter that a divergence has, and the kernel's name."""
    takes = "weight" if name == "js_divergence" else _core.PARAMETERS.get(name)
    for argument, value in (("alpha", alpha), ("weight", weight)):
        if value is not None and argument != takes:
            raise TypeError(f"pairwise: {name} takes no {argument}")
        if value is not None and np.ndim(value):
            raise TypeError(f"pairwise: {argument} is {value!r}; it takes one number")
    if takes == "alpha":
        if alpha is None:
            raise TypeError(f"pairwise: {name} needs alpha, its order")
        infinite = name == "renyi_divergence"
        return float(evaluation.order_of("pairwise", alpha, infinite=infinite)), name
    if takes != "weight":
        return None, name
    if name == "js_divergence" and (weight is None or weight == 0.5):
        return None, name
    if weight is None:
        raise TypeError(f"pairwise: {name} needs weight, that of x in the mixture")
    return float(evaluation.weight_of("pairwise", weight)), "weighted_js_divergence"


def _generated(generator: Any, alpha: Any, weight: Any, base: Any, source: int) -> _Task:
    for argument, value in (("alpha", alpha), ("weight", weight), ("base", base)):
        if value is not None:
            raise TypeError(f"pairwise: a generator takes no {argument}")
    if getattr(generator, "terms", None) is None:
        raise TypeError(
            f"pairwise: divergence is {generator!r}; it takes a name or a Generator that is a sum"
            " of kernels"
        )
    return _Task(tuple(_Term(*term) for term in generator.terms), source, generator.offset)


def _rows(
    x: Any,
    y: Any,
    task: _Task,
    half: bool,
    out: Matrix | None,
    dtype: str | None,
    validate: bool,
) -> _Rows:
    from_logits = _core.SOURCES[task.source] == "logits"
    if frames.is_frame(y) or (y is not None and frames.is_frame(x)):
        x, y = frames.aligned("pairwise", (x, y), -1, names="xy", paired=False)[1]
    given = [("x", x)] if y is None else [("x", x), ("y", y)]
    for argument, rows in given:
        shape = getattr(rows, "shape", None)
        _check_shape(np.shape(rows) if shape is None else shape, argument)
    widths = [(getattr(rows, "shape", None) or np.shape(rows))[1] for _, rows in given]
    if len(set(widths)) > 1:
        raise ValueError(f"pairwise: rows of x have {widths[0]} elements, rows of y {widths[1]}")
    if any(sparse.is_sparse(rows) for _, rows in given):
        if from_logits:
            raise ValueError(
                "pairwise: from_logits takes dense rows; a sparse row leaves out zeros"
            )
        return _Sparse(x, y, half, dtype, validate)
    arrays = []
    for argument, rows in given:
        array = evaluation.array_of("pairwise", argument, rows, dtype)
        if validate:
            evaluation.check_rows("pairwise", (array,), -1, from_logits, dtype, argument)
        if out is not None and np.may_share_memory(array, out):
            array = array.copy()
        arrays.append(array)
    return _Dense(arrays[0], arrays[1] if y is not None else None, half)


def _check_shape(shape: tuple[int, ...], argument: str) -> None:
    if len(shape) == 1:
        raise ValueError(
            f"pairwise: {argument} has one axis; it takes rows, so one row is {argument}[None]"
        )
    if len(shape) != 2:
        raise ValueError(f"pairwise: {argument} has {len(shape)} axes; it takes 2")
    if shape[1] == 0:
        raise ValueError(f"pairwise: {argument} has an empty distribution axis (shape {shape})")


def _check_out(out: Matrix, shape: tuple[int, int]) -> None:
    if not isinstance(out, np.ndarray) or out.dtype != np.float64:
        kind = getattr(out, "dtype", type(out).__name__)
        raise TypeError(f"pairwise: out is {kind}; it takes an array of float64")
    if out.shape != shape:
        raise ValueError(f"pairwise: out has shape {out.shape}; the result has {shape}")
    if not out.flags.writeable:
        raise ValueError("pairwise: out is read-only")


def _check_top_k(k: Any, across: int, of_itself: bool) -> int:
    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"pairwise: top_k is {k!r}; it takes an integer")
    most = across - 1 if of_itself else across
    if not 1 <= k.__index__() <= most:
        raise ValueError(f"pairwise: top_k is {k}; it takes 1 to {most}, the rows to choose from")
    return int(k.__index__())


def _warn_invalid(task: _Task) -> None:
    """Warn, raise or keep silent as the gufunc does for a row that is no distribution."""
    kernel = task.terms[0].kernel
    row = np.array([np.inf if _core.SOURCES[task.source] == "logits" else -1.0])
    numbers = [1.0] if kernel in _core.PARAMETERS else []
    _core.gufunc(kernel, task.source)(row, row, *numbers)
