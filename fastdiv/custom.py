"""f-divergences of any generator: a kernel's, a C function's or a Python function's.

A name or a `Generator` that kernels know is the weighted sum of their results. A C function is
called from the compiled row loop. A Python function is called once for a block of ratios that fits
the cache, with the sums around it in float64.
"""

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core, frames, generators, sparse
from fastdiv.evaluation import array_of, check_rows, legible, measure, placed
from fastdiv.generators import Generator, c_function_address
from fastdiv.tokens import logsumexp

__all__ = ["f_divergence", "generator_of"]

# Divergences that are called by name like generators.
PLAIN = frozenset(_core.DIVERGENCES) - {
    *_core.UNARY,
    *_core.PARAMETERS,
    *("cross_entropy", "js_distance", "hellinger_distance", "bhattacharyya_distance"),
}
BLOCK = 1 << 14  # ratios in one call of a Python function: 128 KiB
SMALLEST_NORMAL = float(np.finfo(np.float64).smallest_normal)


def f_divergence(
    p: ArrayLike,
    q: ArrayLike,
    generator: str | Generator | Callable[..., Any],
    *,
    at_zero: float | None = None,
    at_infinity: float | None = None,
    check: bool = False,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""f-divergence of any convex f with f(1) = 0.

    .. math:: D_f(P\|Q) = \sum_i q_i f\!\left(\frac{p_i}{q_i}\right)

    with :math:`q f(0)` where p = 0 and :math:`p f'(\infty)` where q = 0.

    Parameters
    ----------
    p, q : array_like
        Weights, or with `from_logits` unnormalised log-probabilities, along `axis`, as
        `kl_divergence` takes them.
    generator : str, Generator or callable
        The name of a generator (``fastdiv.generators.GENERATORS``) or of a divergence; a
        `fastdiv.generators.Generator`; a function that takes an array of ratios u > 0 and returns
        f(u) for each; or a C function ``double f(double)`` (``ctypes``, ``cffi``, ``numba.cfunc``,
        ``scipy.LowLevelCallable``), which is called at C speed, possibly from several threads.
    at_zero, at_infinity : float, optional
        f(0) and f′(∞) = lim f(u)/u of a function of your own; otherwise found numerically
        (``Generator.from_function`` tells which).
    check : bool, default False
        Make sure that a function of your own is convex and 0 at 1.
    axis : int, default -1
        The axis that a distribution lies along.
    normalize : bool, default True
        Divide each row by its sum. False: take the numbers as they are given.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities (`normalize` is then without meaning).
    keepdims : bool, default False
        Keep `axis` with length 1.
    out : ndarray, optional
        Array of float64 for the result.
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.
    validate : bool, default False
        Raise ValueError, naming argument, row and value, where the result would be NaN.

    Returns
    -------
    float64 or ndarray of float64
        One number per row; a scalar for 1-D input. Kernels keep their accuracy for near-equal rows;
        with a function of your own the result is as accurate as f is near 1.

    Raises
    ------
    TypeError
        If a dtype or the generator is not supported, or the function returns another shape or no
        real numbers.
    ValueError
        If the name is unknown (the known and the nearest are listed), shapes do not match, the
        function has no limit that could be found, or (`check`) is not convex or not 0 at 1.

    References
    ----------
    .. [1] I. Csiszár, "Information-type measures of difference of probability distributions and
       indirect observations", Studia Scientiarum Mathematicarum Hungarica 2 (1967), 299-318.

    Examples
    --------
    >>> import fastdiv as fd
    >>> import numpy as np
    >>> p, q = [0.5, 0.5], [0.25, 0.75]
    >>> fd.f_divergence(p, q, "squared_hellinger")
    np.float64(0.034074173710931716)
    >>> fd.f_divergence(p, q, lambda u: (u - 1) ** 4)
    np.float64(0.25925925925925924)
    >>> fd.f_divergence([1, 0], [0, 1], lambda u: np.abs(u - 1), at_zero=1, at_infinity=1)
    np.float64(2.0)
    """
    name = "f_divergence"
    options = (axis, None, normalize, from_logits, keepdims, out, dtype, validate)
    if isinstance(generator, str) and generator in PLAIN:
        return measure(generator, (p, q), *options)
    if check and callable(generator):  # before limits are looked for that might not be there
        Generator.from_function(generator, at_zero=0.0, at_infinity=0.0).check()
    g = generator_of(name, generator, at_zero, at_infinity)
    if check:
        g.check()
    # The offset is that of rows of sum 1.
    if g.terms is not None and (normalize or from_logits or g.offset == 0):
        return _by_kernels(g, p, q, options)
    for argument, x in zip("pq", (p, q), strict=True):
        if sparse.is_sparse(x):
            raise TypeError(f"{name}: {argument} is sparse; your own function takes dense rows")
    labels = None
    if frames.is_frame(p) or frames.is_frame(q):
        labels, (p, q) = frames.aligned(name, (p, q), axis)
    if g.address is not None:
        numbers = (np.int64(g.address), np.float64(g.at_zero), np.float64(g.at_infinity))
        result = _core.evaluate(
            name, (p, q), axis, keepdims, out, dtype, normalize, from_logits,
            check_rows if validate else None, numbers,
        )  # fmt: skip
        return result if out is not None else frames.labelled(result, labels, name)
    operands = tuple(
        array_of(name, argument, x, dtype) for argument, x in zip("pq", (p, q), strict=True)
    )
    if validate:
        check_rows(name, operands, axis, from_logits, dtype)
    first, second = (_last(x, axis) for x in operands)
    result = _by_blocks(g, first, second, normalize, from_logits)
    if keepdims:
        result = np.expand_dims(result, axis)
    result = placed(name, result[()], out)
    return result if out is not None else frames.labelled(result, labels, name)


def generator_of(
    function: str,
    generator: str | Generator | Callable[..., Any],
    at_zero: float | None = None,
    at_infinity: float | None = None,
) -> Generator:
    """Return what was given as a name, as itself or as a function."""
    if isinstance(generator, str):
        return _named(function, generator)
    if isinstance(generator, Generator):
        return generator
    if not callable(generator) and c_function_address(generator) is None:
        raise TypeError(
            f"{function}: generator has type {type(generator).__name__}; it takes a name, a"
            " Generator, or a function of an array or of C"
        )
    return Generator.from_function(generator, at_zero=at_zero, at_infinity=at_infinity)


def _named(function: str, name: str) -> Generator:
    known = [*generators.GENERATORS]
    if name in known:
        return generators.get(name)
    if function == "f_divergence":
        known += sorted(PLAIN)
    nearest = difflib.get_close_matches(name.lower(), known, 1, 0.5)
    hint = f"; did you mean {nearest[0]!r}" if nearest else ""
    raise ValueError(
        f"{function}: there is no generator {name!r}{hint}; it takes one of {', '.join(known)},"
        " or alpha(…) and js_weighted(…) of fastdiv.generators"
    )


def _by_kernels(g: Generator, p: Any, q: Any, options: tuple[Any, ...]) -> Any:
    axis, base, normalize, from_logits, keepdims, out, dtype, validate = options
    total: Any = g.offset
    for weight, kernel, parameter, swapped in g.terms or ():
        numbers = () if parameter is None else (np.asarray(parameter, np.float64),)
        rows = (q, p) if swapped else (p, q)
        part = measure(
            kernel,
            rows,
            axis,
            base,
            normalize,
            from_logits,
            keepdims,
            None,
            dtype,
            validate,
            numbers,
        )
        total = total + weight * part
    return placed("f_divergence", total, out)


def _last(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """Rows along the last axis, in a type that NumPy computes with."""
    if x.ndim == 0:
        raise ValueError("f_divergence: p or q is a single number; it takes an array")
    rows = np.moveaxis(x, axis, -1)
    if rows.shape[-1] == 0:
        raise ValueError("f_divergence: the distribution axis is empty")
    return legible(rows)


def _by_blocks(
    g: Generator, p: NDArray[Any], q: NDArray[Any], normalize: bool, from_logits: bool
) -> NDArray[np.float64]:
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(f"f_divergence: p has rows of {p.shape[-1]}, q of {q.shape[-1]} outcomes")
    shape = np.broadcast_shapes(p.shape[:-1], q.shape[:-1])
    length = p.shape[-1]
    p = np.broadcast_to(p, (*shape, length))
    q = np.broadcast_to(q, (*shape, length))
    with np.errstate(all="ignore"):
        scales = [_scale(x, normalize, from_logits) for x in (p, q)]
    result = np.zeros(shape)
    flat = result.reshape(-1)
    invalid = np.zeros(flat.size, np.bool_)
    for rows, columns in _blocks(flat.size, length):
        index: Any = np.unravel_index(rows, shape) if shape else ()
        # In one layout, whatever that of the rows is: NumPy's sums depend on it.
        x, y = (
            np.ascontiguousarray(np.atleast_2d(z[(*index, columns)]), np.float64) for z in (p, q)
        )
        (a, m), (b, n) = ((np.atleast_1d(z[index])[:, None] for z in s) for s in scales)
        with np.errstate(all="ignore"):
            if from_logits:
                wrong = np.isinf(a) | np.isinf(b) | (x == np.inf) | (y == np.inf)
                ratio = np.exp((x - y) - (a - b))
                ratio[x == -np.inf] = 0.0
                x, y = np.exp(x - a), np.exp(y - b)
            else:
                wrong = (x < 0) | (y < 0) | np.isinf(x) | np.isinf(y) | (a == 0) | (b == 0)
                ratio = _ratio(x, y, a, b, n - m)
                x, y = np.ldexp(x, -m) / a, np.ldexp(y, -n) / b
            invalid[rows] |= wrong.any(axis=-1)
            flat[rows] += _terms(g, ratio, x, y).sum(axis=-1)
    if invalid.any():
        flat[invalid] = np.nan
        np.subtract(np.inf, np.full(1, np.inf))  # NumPy's own "invalid value"
    return result


def _scale(
    x: NDArray[Any], normalize: bool, from_logits: bool
) -> tuple[NDArray[np.float64], NDArray[np.intc]]:
    """Return what a row is divided by, number and power of 2; of logits, what is subtracted."""
    exponent = np.zeros(x.shape[:-1], np.intc)
    if from_logits:
        return np.asarray(logsumexp(x)), exponent
    if not normalize:
        return np.ones(x.shape[:-1]), exponent
    total = _sums(x, 0)
    over = np.isinf(total)
    if over.any():
        exponent[over] = 64
        total[over] = _sums(x, -64)[over]
    return total, exponent


def _sums(x: NDArray[Any], exponent: int) -> NDArray[np.float64]:
    """Return the sums of rows times a power of 2, block by block as everything else."""
    total = np.zeros(x.shape[:-1])
    flat = total.reshape(-1)
    for rows, columns in _blocks(flat.size, x.shape[-1]):
        index: Any = np.unravel_index(rows, total.shape) if total.shape else ()
        block = np.ascontiguousarray(np.atleast_2d(x[(*index, columns)]), np.float64)
        flat[rows] += np.ldexp(block, exponent).sum(axis=-1)
    return total


def _ratio(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    exponent: NDArray[np.intc],
) -> NDArray[np.float64]:
    """Return (x/y) (b/a) 2**exponent, of which only the whole can overflow."""
    (x, i), (y, j), (a, k), (b, m) = (np.frexp(z) for z in (x, y, a, b))
    return np.asarray(np.ldexp((x / y) * (b / a), i - j - k + m + exponent))


def _blocks(count: int, length: int) -> Iterator[tuple[NDArray[np.intp], slice]]:
    """Rows and columns, at most BLOCK numbers at a time."""
    together = max(1, BLOCK // length)
    for first in range(0, count, together):
        rows = np.arange(first, min(first + together, count))
        for start in range(0, length, BLOCK):
            yield rows, slice(start, start + BLOCK)


def _terms(
    g: Generator, ratio: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evaluate y f(x/y) with the limits where one of them is 0."""
    inside = (ratio > 0) & (ratio < np.inf) & ((x > 0) | (y > 0))
    u, values = ratio[inside], g.f(ratio[inside])
    terms = np.where(np.isnan(ratio) & ~((x == 0) & (y == 0)), np.nan, 0.0)
    # y may have underflowed where the ratio is still known.
    terms[inside] = np.where(
        y[inside] < SMALLEST_NORMAL, x[inside] * (values / u), y[inside] * values
    )
    only_q, only_p = (ratio == 0) & (y > 0), np.isinf(ratio) & (x > 0)
    terms[only_q] = y[only_q] * g.at_zero
    terms[only_p] = x[only_p] * g.at_infinity
    return terms
