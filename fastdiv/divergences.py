"""Discrete divergences, distances and entropies: one typed function per name, one call down.

Formulas are in ``src_c/divergences.def``; what holds for every function here is said once, in
``PARAMETERS`` and ``ERRORS``.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core

__all__ = [
    "chi2_divergence",
    "cross_entropy",
    "entropy",
    "hellinger_distance",
    "js_distance",
    "js_divergence",
    "kl_divergence",
    "reverse_kl_divergence",
    "squared_hellinger",
    "total_variation",
]

Function = TypeVar("Function", bound=Callable[..., Any])

ROWS = {
    "pair": """p, q : array_like
        Weights, or with `from_logits` unnormalised log-probabilities (−inf is probability 0), along
        `axis`; the other axes broadcast. float16, bfloat16 (``ml_dtypes``, torch CPU tensors),
        float32, float64, integers and booleans; the two may differ.""",
    "single": """p : array_like
        Weights, or with `from_logits` unnormalised log-probabilities (−inf is probability 0), along
        `axis`. float16, bfloat16 (``ml_dtypes``, torch CPU tensors), float32, float64, integers and
        booleans.""",
}
BASE = """base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.
    """
PARAMETERS = """Parameters
    ----------
    {rows}
    axis : int, default -1
        The axis that a distribution lies along.
    {base}normalize : bool, default True
        Divide each row by its sum, so weights and counts are welcome. False: take the numbers as
        they are given, {raw}.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities (`normalize` is then without meaning).
    keepdims : bool, default False
        Keep `axis` with length 1.
    out : ndarray, optional
        Array of float64 for the result.
    dtype : {{'bfloat16'}}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.
    validate : bool, default False
        Raise ValueError, naming argument, row and value, where the result would be NaN.

    Returns
    -------
    float64 or ndarray of float64
        One number per row; a scalar for 1-D input."""
ERRORS = """Raises
    ------
    TypeError
        If a dtype is not supported.
    ValueError
        If a row is empty, shapes do not match, {bad_base}or `validate` finds a row that is no
        distribution.

    Warns
    -----
    RuntimeWarning
        "invalid value" for a row with a negative or infinite weight or, if `normalize`, none at all
        (logits: +inf, or nothing but −inf), whose result is NaN; ``numpy.errstate`` governs it. A
        NaN makes its own row's result NaN, silently."""


def _described(
    rows: str = "pair", raw: str = "and the generalised divergence of them", base: bool = True
) -> Callable[[Function], Function]:
    """Fill {parameters} and {errors} of a docstring with what all functions here share."""

    def fill(function: Function) -> Function:
        parameters = PARAMETERS.format(rows=ROWS[rows], base=BASE if base else "", raw=raw)
        errors = ERRORS.format(bad_base="`base` is not a base of a logarithm, " if base else "")
        text = function.__doc__ or ""
        function.__doc__ = text.replace("{parameters}", parameters).replace("{errors}", errors)
        return function

    return fill


def _check_rows(
    function: str, operands: tuple[Any, ...], axis: int, from_logits: bool, dtype: str | None
) -> None:
    """Raise ValueError for the first row that is no distribution."""
    for argument, x in zip("pq", operands, strict=False):
        rows = np.moveaxis(np.asarray(x), axis, -1)
        if rows.dtype == np.uint16:  # bfloat16, by the time it gets here
            rows = (rows.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(invalid="ignore"):
            wrong = ~(rows < np.inf) if from_logits else ~((rows >= 0) & (rows < np.inf))
            nothing = ~(rows > -np.inf if from_logits else rows > 0).any(axis=-1)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            kind = "logits" if from_logits else "weights"
            raise ValueError(
                f"{function}: {argument}, row {_row(index[:-1])}, has {rows[index]} at {index[-1]};"
                f" {kind} are {'below +inf' if from_logits else 'finite and not negative'}"
            )
        if nothing.any():
            row = _row(tuple(int(i) for i in np.argwhere(nothing)[0]))
            all_of_it = "-inf" if from_logits else "0"
            raise ValueError(f"{function}: {argument}, row {row}, is {all_of_it} everywhere")


def _row(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else str(index) if index else "0"


def _units(function: str, base: float | None) -> float:
    """Nats in one unit of the result."""
    if base is None:
        return 1.0
    if not (isinstance(base, (int, float, np.floating, np.integer)) and 1 < base < math.inf):
        raise ValueError(f"{function}: base is {base!r}; it takes a number above 1")
    return math.log(base)


def _in_units(result: Any, unit: float, out: NDArray[np.float64] | None) -> Any:
    if unit == 1.0:
        return result
    return result / unit if out is None else np.divide(out, unit, out=out)


@_described(raw="and sum p log(p/q) − p + q")
def kl_divergence(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Kullback-Leibler divergence D(P‖Q): the nats lost by coding P with a code for Q.

    .. math:: D(P\|Q) = \sum_i p_i \log\frac{p_i}{q_i}

    0 log 0 is 0; p > 0 where q = 0 makes it infinite. Every term is formed as
    p log(p/q) − p + q ≥ 0 without cancellation, so near-equal rows keep their digits and no result
    is negative.

    {parameters}

    {errors}

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of
       Mathematical Statistics 22 (1951), 79-86.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.kl_divergence([0.5, 0.5], [0.25, 0.75], base=2)
    np.float64(0.2075187496394219)
    >>> fd.kl_divergence([[1, 3], [0, 5]], [2, 2])  # counts; rows of the first against one second
    array([0.13081204, 0.69314718])
    """
    unit = _units("kl_divergence", base)
    result = _core.evaluate(
        "kl_divergence",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )
    return _in_units(result, unit, out)


@_described(raw="and sum q log(q/p) − q + p")
def reverse_kl_divergence(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Kullback-Leibler divergence D(Q‖P): `kl_divergence` with its arguments exchanged.

    .. math:: D(Q\|P) = \sum_i q_i \log\frac{q_i}{p_i}

    Infinite where p = 0 and q > 0.

    {parameters}

    {errors}

    References
    ----------
    .. [1] S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of
       Mathematical Statistics 22 (1951), 79-86.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.reverse_kl_divergence([0.25, 0.75], [0.5, 0.5], base=2)
    np.float64(0.2075187496394219)
    """
    unit = _units("reverse_kl_divergence", base)
    result = _core.evaluate(
        "reverse_kl_divergence",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )
    return _in_units(result, unit, out)


@_described()
def js_divergence(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Jensen-Shannon divergence: the mean divergence of P and Q from their mixture; at most log 2.

    .. math:: \mathrm{JS}(P, Q) = \tfrac12 D(P\|M) + \tfrac12 D(Q\|M), \quad M = \tfrac12 (P + Q)

    Finite for any two distributions; log 2 (1 bit) where they have nothing in common.

    {parameters}

    {errors}

    References
    ----------
    .. [1] J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on
       Information Theory 37 (1991), 145-151.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.js_divergence([1, 0], [0, 1], base=2)
    np.float64(1.0)
    """
    unit = _units("js_divergence", base)
    result = _core.evaluate(
        "js_divergence",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )
    return _in_units(result, unit, out)


@_described()
def js_distance(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Jensen-Shannon distance: the square root of the Jensen-Shannon divergence, a metric.

    .. math:: \sqrt{\mathrm{JS}(P, Q)}

    With `base`, the square root of the divergence in that base, as SciPy's ``jensenshannon``.

    {parameters}

    {errors}

    References
    ----------
    .. [1] D. M. Endres and J. E. Schindelin, "A new metric for probability distributions", IEEE
       Transactions on Information Theory 49 (2003), 1858-1860.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.js_distance([1, 0], [0, 1], base=2)
    np.float64(1.0)
    """
    unit = math.sqrt(_units("js_distance", base))
    result = _core.evaluate(
        "js_distance",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )
    return _in_units(result, unit, out)


@_described(base=False)
def total_variation(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Total variation distance: the most that the probabilities of one event differ.

    .. math:: \mathrm{TV}(P, Q) = \tfrac12 \sum_i |p_i - q_i|

    In [0, 1]; no logarithm, so no unit.

    {parameters}

    {errors}

    References
    ----------
    .. [1] A. B. Tsybakov, "Introduction to Nonparametric Estimation", Springer (2009), section 2.4.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.total_variation([0.5, 0.5], [0.25, 0.75])
    np.float64(0.25)
    """
    return _core.evaluate(
        "total_variation",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )


@_described(base=False)
def squared_hellinger(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Squared Hellinger distance: 1 minus the Bhattacharyya coefficient.

    .. math:: H^2(P, Q) = \tfrac12 \sum_i (\sqrt{p_i} - \sqrt{q_i})^2 = 1 - \sum_i \sqrt{p_i q_i}

    In [0, 1].

    {parameters}

    {errors}

    References
    ----------
    .. [1] A. B. Tsybakov, "Introduction to Nonparametric Estimation", Springer (2009), section 2.4.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.squared_hellinger([0.5, 0.5], [1, 0])
    np.float64(0.2928932188134525)
    """
    return _core.evaluate(
        "squared_hellinger",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )


@_described(base=False)
def hellinger_distance(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Hellinger distance: the square root of `squared_hellinger`, a metric.

    .. math:: H(P, Q) = \sqrt{\tfrac12 \sum_i (\sqrt{p_i} - \sqrt{q_i})^2}

    In [0, 1].

    {parameters}

    {errors}

    References
    ----------
    .. [1] A. B. Tsybakov, "Introduction to Nonparametric Estimation", Springer (2009), section 2.4.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.hellinger_distance([1, 0], [0, 1])
    np.float64(1.0)
    """
    return _core.evaluate(
        "hellinger_distance",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )


@_described(base=False)
def chi2_divergence(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Pearson's χ² divergence.

    .. math:: \chi^2(P\|Q) = \sum_i \frac{(p_i - q_i)^2}{q_i}

    Infinite where q = 0 and p > 0. For counts of n draws, n times this is the test statistic.

    {parameters}

    {errors}

    References
    ----------
    .. [1] I. Csiszár, "Information-type measures of difference of probability distributions and
       indirect observations", Studia Scientiarum Mathematicarum Hungarica 2 (1967), 299-318.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.chi2_divergence([0.5, 0.5], [0.25, 0.75])
    np.float64(0.3333333333333333)
    """
    return _core.evaluate(
        "chi2_divergence",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )


@_described(raw="and sum −p log q")
def cross_entropy(
    p: ArrayLike,
    q: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Cross-entropy H(P, Q) = −Σ p log q: the length of P's messages in a code for Q.

    .. math:: H(P, Q) = -\sum_i p_i \log q_i = H(P) + D(P\|Q)

    0 log 0 is 0; infinite where q = 0 and p > 0.

    {parameters}

    {errors}

    References
    ----------
    .. [1] C. E. Shannon, "A mathematical theory of communication", Bell System Technical Journal
       27 (1948), 379-423.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.cross_entropy([0.5, 0.5], [0.25, 0.75], base=2)
    np.float64(1.207518749639422)
    """
    unit = _units("cross_entropy", base)
    result = _core.evaluate(
        "cross_entropy",
        (p, q),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )
    return _in_units(result, unit, out)


@_described("single", raw="and sum −p log p")
def entropy(
    p: ArrayLike,
    *,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Shannon entropy H(P) = −Σ p log p.

    .. math:: H(P) = -\sum_i p_i \log p_i

    0 log 0 is 0. Right to its last digits also where one outcome has nearly all of the probability.

    {parameters}

    {errors}

    References
    ----------
    .. [1] C. E. Shannon, "A mathematical theory of communication", Bell System Technical Journal
       27 (1948), 379-423.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.entropy([1, 1, 1, 1], base=2)
    np.float64(2.0)
    >>> fd.entropy([1.0, 1e-30])
    np.float64(7.007755278982138e-29)
    """
    unit = _units("entropy", base)
    result = _core.evaluate(
        "entropy",
        (p,),
        axis,
        keepdims,
        out,
        dtype,
        normalize,
        from_logits,
        _check_rows if validate else None,
    )
    return _in_units(result, unit, out)
