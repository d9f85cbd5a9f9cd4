r"""Divergences of Gaussians in closed form, over batches of any shape.

With whitened :math:`B = L_1^{-1}(\Sigma_0 - \Sigma_1)L_1^{-\top}`, :math:`\Sigma_1 = L_1 L_1^\top`,
and :math:`y = L_1^{-1}(\mu_0 - \mu_1)`,

.. math:: \mathrm{KL} = \tfrac12\bigl[\operatorname{tr} B - \log|I + B| + |y|^2\bigr]

where the first two terms are one sum of squares and of u − 1 − log u ≥ 0 over the Cholesky factor
of I + B, which is kept as what it has beside I: nothing cancels, however close P and Q are. The
relative error is a few k units of 2⁻⁵³ times the condition of Σ₁, or of Σ₀ if that is more, as log
abs(Σ₀) has it (of Q's factor alone, if factors are given). Eight problems are computed side by side
by the kernels of ``src_c/gaussian``; a problem's result has the same bits in any batch, on any
number of threads and on any instruction set. Wasserstein's distance is computed by NumPy.

How a covariance is given is said, never guessed from shapes:

================  =====================  ===========================================
``covariance=``   shape                  what it is
================  =====================  ===========================================
``"full"``        (…, k, k)              the matrix; its lower triangle is read
``"diagonal"``    (…, k)                 variances
``"scalar"``      (…)                    one variance for every coordinate
================  =====================  ===========================================

With ``cholesky=True`` it is a factor in the same shape: lower triangular, or standard deviations.
"""

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _gaussian
from fastdiv.evaluation import real_numbers, row_name, units

__all__ = [
    "Covariance",
    "gaussian_bhattacharyya",
    "gaussian_hellinger",
    "gaussian_jeffreys",
    "gaussian_kl",
    "gaussian_renyi",
    "gaussian_squared_hellinger",
    "gaussian_wasserstein",
    "normal_kl",
]

Covariance: TypeAlias = Literal["full", "diagonal", "scalar"]
_Floats: TypeAlias = NDArray[np.float64]

LOG_2PI = math.log(2 * math.pi)
# Below k times this an eigenvalue of correlations has no digit right; the kernels' pivots are
# refused at a quarter of it.
_SINGULAR = 2.0**-50


def gaussian_kl(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
    base: float | None = None,
) -> Any:
    r"""Kullback–Leibler divergence of two multivariate normal distributions.

    .. math:: D(P\|Q) = \tfrac12\Bigl[\operatorname{tr}\Sigma_1^{-1}\Sigma_0 - k
        + \log\frac{|\Sigma_1|}{|\Sigma_0|}
        + (\mu_0-\mu_1)^\top\Sigma_1^{-1}(\mu_0-\mu_1)\Bigr]

    formed without cancellation (see :mod:`fastdiv.gaussians`).

    Parameters
    ----------
    mean_p, mean_q : array_like, shape (…, k)
        Means of P and of Q.
    cov_p, cov_q : array_like
        Their covariances, in the form that `covariance` says. The axes before broadcast.
    covariance : {"full", "diagonal", "scalar"}, default "full"
        (…, k, k) matrices, of which the lower triangle is read; (…, k) variances; (…) one variance
        for all coordinates.
    cholesky : bool, default False
        The covariances are lower Cholesky factors, or standard deviations.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.

    Returns
    -------
    float64 or ndarray of float64
        One number per problem. +inf for a degenerate P, which Q gives the probability 0, and for
        means that are infinitely far; NaN for a problem with NaN or an infinite covariance in it.

    Raises
    ------
    TypeError
        If an argument is not of real numbers.
    ValueError
        If shapes do not fit, `covariance` is unknown or `base` is not a base of a logarithm.
    numpy.linalg.LinAlgError
        If a covariance is not positive definite to working precision (that of P: not even positive
        semi-definite), naming the argument and the index of the problem.

    References
    ----------
    .. [1] S. Kullback, "Information Theory and Statistics", Wiley (1959), chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdiv as fd
    >>> fd.gaussian_kl([0.0, 0.0], np.eye(2), [1.0, 0.0], [[2.0, 0.5], [0.5, 1.0]])
    np.float64(0.4226650368248541)
    >>> fd.gaussian_kl([[0.0, 0.0], [1.0, 1.0]], 1.0, [0.0, 0.0], 2.0, covariance="scalar")
    array([0.19314718, 0.69314718])
    """
    given = mean_p, cov_p, mean_q, cov_q
    return kl_of_named("gaussian_kl", _NAMES, given, covariance, cholesky, base)


def normal_kl(
    mu_p: ArrayLike,
    sigma_p: ArrayLike,
    mu_q: ArrayLike,
    sigma_q: ArrayLike,
    *,
    base: float | None = None,
) -> Any:
    r"""Kullback–Leibler divergence of normal distributions of one variable.

    .. math:: D(P\|Q) = r - 1 - \log r + \frac{(r-1)^2}{2} + \frac{(\mu_0-\mu_1)^2}{2\sigma_1^2},
        \qquad r = \frac{\sigma_0}{\sigma_1}

    Parameters
    ----------
    mu_p, mu_q : array_like
        Means.
    sigma_p, sigma_q : array_like
        Standard deviations; all four broadcast.
    base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.

    Returns
    -------
    float64 or ndarray of float64
        +inf where `sigma_p` is 0, NaN where anything is NaN or a deviation infinite.

    Raises
    ------
    TypeError
        If an argument is not of real numbers.
    ValueError
        If shapes do not broadcast, or `base` is not a base of a logarithm.
    numpy.linalg.LinAlgError
        If a standard deviation is negative, or `sigma_q` is 0, naming its index.

    References
    ----------
    .. [1] S. Kullback, "Information Theory and Statistics", Wiley (1959), chapter 9.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.normal_kl(0.0, 1.0, 1.0, 2.0)
    np.float64(0.4431471805599453)
    >>> fd.normal_kl(0.0, 1.0, 0.0, [1.0 + 1e-9, 1.0, 0.5])
    array([1.00000016e-18, 0.00000000e+00, 8.06852819e-01])
    """
    names = ("mu_p", "sigma_p", "mu_q", "sigma_q")
    given = (mu_p, sigma_p, mu_q, sigma_q)
    operands = [
        real_numbers("normal_kl", name, x)[..., None] for name, x in zip(names, given, strict=True)
    ]
    found = _batched("normal_kl", names, operands, [np.shape(x) for x in given], True, True)
    return _in_units("normal_kl", found, base)


def gaussian_jeffreys(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
    base: float | None = None,
) -> Any:
    r"""Jeffreys divergence of two multivariate normal distributions: KL in both directions.

    .. math:: J(P, Q) = D(P\|Q) + D(Q\|P)

    Parameters
    ----------
    mean_p, cov_p, mean_q, cov_q, covariance, cholesky, base
        As :func:`gaussian_kl`.

    Returns
    -------
    float64 or ndarray of float64
        +inf where one of both is degenerate: each is where the other has the probability 0.

    Raises
    ------
    TypeError, ValueError
        As :func:`gaussian_kl`.
    numpy.linalg.LinAlgError
        If a covariance is not positive semi-definite, or both are singular.

    References
    ----------
    .. [1] H. Jeffreys, "An invariant form for the prior probability in estimation problems",
       Proceedings of the Royal Society A 186 (1946), 453-461.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.gaussian_jeffreys([0.0], [[1.0]], [1.0], [[4.0]])
    np.float64(1.75)
    """
    name = "gaussian_jeffreys"
    p, q = (mean_p, cov_p), (mean_q, cov_q)
    there = _evaluate(name, *p, *q, covariance=covariance, cholesky=cholesky, symmetric=True)
    back = _evaluate(
        name,
        *q,
        *p,
        covariance=covariance,
        cholesky=cholesky,
        names=_exchanged(_NAMES),
        symmetric=True,
    )
    return _in_units(name, there + back, base)


def gaussian_renyi(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    alpha: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
    base: float | None = None,
) -> Any:
    r"""Rényi divergence of order α of two multivariate normal distributions.

    .. math:: D_\alpha(P\|Q) = \frac{\alpha}{2}\Delta^\top\Sigma_\alpha^{-1}\Delta
        + \frac{1}{2(1-\alpha)}\log\frac{|\Sigma_\alpha|}{|\Sigma_0|^{1-\alpha}|\Sigma_1|^\alpha},
        \quad \Sigma_\alpha = \alpha\Sigma_1 + (1-\alpha)\Sigma_0

    with Δ = μ₀ − μ₁; KL at α = 1, through which it is smooth; +inf where :math:`\Sigma_\alpha` is
    not positive definite, as can be for α > 1.

    Parameters
    ----------
    mean_p, cov_p, mean_q, cov_q : array_like
        As :func:`gaussian_kl`.
    alpha : array_like
        Order, finite and not negative; broadcasts with the problems.
    covariance, cholesky, base
        As :func:`gaussian_kl`.

    Returns
    -------
    float64 or ndarray of float64
        0 for the order 0: the supports are the same.

    Raises
    ------
    TypeError, ValueError, numpy.linalg.LinAlgError
        As :func:`gaussian_kl`; ValueError for a negative or infinite order.

    References
    ----------
    .. [1] M. Gil, F. Alajaji and T. Linder, "Rényi divergence measures for commonly used univariate
       continuous distributions", Information Sciences 249 (2013), 124-131.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.gaussian_renyi([0.0], [[1.0]], [1.0], [[4.0]], [0.5, 1.0, 2.0])
    array([0.32314355, 0.44314718, 0.55619643])
    """
    return _in_units(
        "gaussian_renyi",
        _renyi("gaussian_renyi", mean_p, cov_p, mean_q, cov_q, alpha, covariance, cholesky),
        base,
    )


def gaussian_bhattacharyya(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
    base: float | None = None,
) -> Any:
    r"""Bhattacharyya distance of two multivariate normal distributions.

    .. math:: D_B = \tfrac18\Delta^\top\Sigma^{-1}\Delta
        + \tfrac12\log\frac{|\Sigma|}{\sqrt{|\Sigma_0||\Sigma_1|}},
        \quad \Sigma = \tfrac12(\Sigma_0+\Sigma_1)

    Parameters
    ----------
    mean_p, cov_p, mean_q, cov_q, covariance, cholesky, base
        As :func:`gaussian_kl`.

    Returns
    -------
    float64 or ndarray of float64
        +inf where one of both is degenerate: each is where the other has the probability 0.

    Raises
    ------
    TypeError, ValueError
        As :func:`gaussian_kl`.
    numpy.linalg.LinAlgError
        If a covariance is not positive semi-definite, or both are singular.

    References
    ----------
    .. [1] T. Kailath, "The divergence and Bhattacharyya distance measures in signal selection",
       IEEE Transactions on Communication Technology 15 (1967), 52-60.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.gaussian_bhattacharyya([0.0], [[1.0]], [1.0], [[4.0]])
    np.float64(0.1615717756571049)
    """
    name = "gaussian_bhattacharyya"
    found = _renyi(name, mean_p, cov_p, mean_q, cov_q, 0.5, covariance, cholesky, symmetric=True)
    return _in_units(name, 0.5 * found, base)


def gaussian_squared_hellinger(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
) -> Any:
    r"""Squared Hellinger distance of two multivariate normal distributions, in [0, 1].

    .. math:: H^2 = 1 - \int\sqrt{pq} = 1 - e^{-D_B}

    Parameters
    ----------
    mean_p, cov_p, mean_q, cov_q, covariance, cholesky
        As :func:`gaussian_kl`.

    Returns
    -------
    float64 or ndarray of float64
        1 where one of both is degenerate: each is where the other has the probability 0.

    Raises
    ------
    TypeError, ValueError
        As :func:`gaussian_kl`.
    numpy.linalg.LinAlgError
        If a covariance is not positive semi-definite, or both are singular.

    References
    ----------
    .. [1] L. Pardo, "Statistical Inference Based on Divergence Measures", Chapman & Hall (2006),
       section 1.2.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.gaussian_squared_hellinger([0.0], [[1.0]], [1.0], [[4.0]])
    np.float64(0.14919453784735984)
    """
    name = "gaussian_squared_hellinger"
    return _squared_hellinger(name, mean_p, cov_p, mean_q, cov_q, covariance, cholesky)


def gaussian_hellinger(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
) -> Any:
    r"""Hellinger distance of two multivariate normal distributions, the root of its square.

    .. math:: H = \sqrt{1 - e^{-D_B}}

    Parameters
    ----------
    mean_p, cov_p, mean_q, cov_q, covariance, cholesky
        As :func:`gaussian_kl`.

    Returns
    -------
    float64 or ndarray of float64
        1 where one of both is degenerate: each is where the other has the probability 0.

    Raises
    ------
    TypeError, ValueError
        As :func:`gaussian_kl`.
    numpy.linalg.LinAlgError
        If a covariance is not positive semi-definite, or both are singular.

    References
    ----------
    .. [1] L. Pardo, "Statistical Inference Based on Divergence Measures", Chapman & Hall (2006),
       section 1.2.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.gaussian_hellinger([0.0], [[1.0]], [1.0], [[4.0]])
    np.float64(0.3862570877632666)
    """
    name = "gaussian_hellinger"
    return np.sqrt(_squared_hellinger(name, mean_p, cov_p, mean_q, cov_q, covariance, cholesky))


def gaussian_wasserstein(
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    *,
    covariance: Covariance = "full",
    cholesky: bool = False,
) -> Any:
    r"""Wasserstein distance W₂ of two multivariate normal distributions.

    .. math:: W_2^2 = |\mu_0-\mu_1|^2
        + \operatorname{tr}\bigl(\Sigma_0+\Sigma_1-2(\Sigma_1^{1/2}\Sigma_0\Sigma_1^{1/2})^{1/2}
        \bigr)

    For near covariances the trace has no digit left; it is the least :math:`|L_0\Omega - L_1|^2`
    (Frobenius) of rotations :math:`\Omega` here, :math:`\Sigma_i = L_i L_i^\top`, with a step of
    Newton's that takes :math:`\Sigma_0 - \Sigma_1` as it is given.

    Parameters
    ----------
    mean_p, cov_p, mean_q, cov_q, covariance, cholesky
        As :func:`gaussian_kl`; the covariances may be singular.

    Returns
    -------
    float64 or ndarray of float64
        The distance, in the unit of the variables.

    Raises
    ------
    TypeError, ValueError
        As :func:`gaussian_kl`.
    numpy.linalg.LinAlgError
        If a covariance is not positive semi-definite, naming argument and index.

    References
    ----------
    .. [1] I. Olkin and F. Pukelsheim, "The distance between two random vectors with given
       dispersion matrices", Linear Algebra and its Applications 48 (1982), 257-263.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.gaussian_wasserstein([0.0, 0.0], [4, 1], [3.0, 0.0], [1, 1], covariance="diagonal")
    np.float64(3.1622776601683795)
    """
    name = "gaussian_wasserstein"
    form = _form(name, covariance, cholesky)
    operands = _operands(name, _NAMES, (mean_p, cov_p, mean_q, cov_q), covariance)
    shapes = [np.shape(x) for x in (mean_p, cov_p, mean_q, cov_q)]
    batch, (m0, s0, m1, s1) = _broadcast(name, _NAMES, operands, shapes, form)
    of_factors = "has a negative number on its factor's diagonal"
    why = "is negative" if form else of_factors if cholesky else "is not positive semi-definite"
    for argument, s in (("cov_p", s0), ("cov_q", s1)):
        reach = 0.0 if form or cholesky else s.shape[-1] * _SINGULAR
        _refuse(name, argument, _least(s, form, cholesky) < -reach, why)
    with np.errstate(all="ignore"):
        # In a unit in which no square leaves the range of doubles; powers of two change no digit.
        once = 1 if cholesky else 2
        exponent = np.maximum(
            _exponent(m0 - m1, 1),
            np.maximum(*(_exponent(s, 1 if form else 2) for s in (s0, s1))) // once,
        )
        unit = exponent[..., None]
        m0, m1 = np.ldexp(m0, -unit), np.ldexp(m1, -unit)
        of_scale = once * (unit if form else unit[..., None])
        s0, s1 = np.ldexp(s0, -of_scale), np.ldexp(s1, -of_scale)
        apart = ((m0 - m1) ** 2).sum(axis=-1)
        if form:
            beside = s0 - s1 if cholesky else (s0 - s1) / (np.sqrt(s0) + np.sqrt(s1))
            beside = np.where(s0 == s1, 0.0, beside)
            spread = (beside**2).sum(axis=-1)
        else:
            difference = _difference(s0, s1, cholesky)
            s0, s1, difference = (x.reshape(-1, *x.shape[-2:]) for x in (s0, s1, difference))
            a, b = (np.tril(s) if cholesky else _cholesky(mirrored(s)) for s in (s0, s1))
            spread = _bures(a, b, difference).reshape(batch)
        found = np.ldexp(np.sqrt(apart + spread), exponent)
    return found[()]


# --- what they all do -----------------------------------------------------------------------------

_NAMES = ("mean_p", "cov_p", "mean_q", "cov_q")


def kl_of_named(
    function: str,
    names: tuple[str, ...],
    given: tuple[ArrayLike, ...],
    covariance: str,
    cholesky: bool,
    base: float | None = None,
) -> Any:
    """Kullback–Leibler divergence, of arguments that errors call by these names; P's end with p."""
    found = _evaluate(function, *given, covariance=covariance, cholesky=cholesky, names=names)
    return _in_units(function, found, base)


def renyi_of_named(
    function: str, names: tuple[str, ...], given: tuple[ArrayLike, ...], alpha: ArrayLike
) -> Any:
    """Rényi divergence, of arguments that errors call by these names; P's end with p."""
    mean_p, cov_p, mean_q, cov_q = given
    return _renyi(function, mean_p, cov_p, mean_q, cov_q, alpha, "full", False, names=names)


def _exchanged(names: tuple[str, ...]) -> tuple[str, ...]:
    return (*names[2:4], *names[:2], *names[4:])


def _in_units(function: str, found: Any, base: float | None) -> Any:
    unit = units(function, base)
    return found[()] if unit == 1.0 else (found / unit)[()]


def _form(function: str, covariance: str, cholesky: bool) -> bool:
    """Whether it is a diagonal."""
    if not isinstance(cholesky, (bool, np.bool_)):
        raise TypeError(f"{function}: cholesky is {cholesky!r}; it takes True or False")
    if covariance not in ("full", "diagonal", "scalar"):
        raise ValueError(
            f"{function}: covariance is {covariance!r}; it takes 'full', 'diagonal' or 'scalar'"
        )
    return covariance != "full"


def _operands(
    function: str, names: tuple[str, ...], given: tuple[ArrayLike, ...], covariance: str
) -> list[_Floats]:
    """Arrays of float64 with core axes (k) or (k, k)."""
    operands = [real_numbers(function, name, x) for name, x in zip(names, given, strict=True)]
    k = 0
    for o in (0, 2):
        if operands[o].ndim == 0 or operands[o].shape[-1] == 0:
            raise ValueError(
                f"{function}: {names[o]} has shape {operands[o].shape}; it takes (…, k), not empty"
            )
        k = k or operands[o].shape[-1]
        if operands[o].shape[-1] != k:
            raise ValueError(
                f"{function}: {names[o]} has {operands[o].shape[-1]} coordinates, {names[0]} {k}"
            )
    for o in (1, 3):
        x = operands[o]
        if covariance == "scalar":
            operands[o] = np.broadcast_to(x[..., None], (*x.shape, k))
            continue
        core = (k, k) if covariance == "full" else (k,)
        if x.shape[-len(core) :] != core:
            takes = "(…, k, k)" if covariance == "full" else "(…, k)"
            raise ValueError(
                f"{function}: {names[o]} has shape {x.shape}; covariance={covariance!r} takes"
                f" {takes} with k = {k}, the coordinates of {names[0]}"
            )
    return operands


def _broadcast(
    function: str,
    names: tuple[str, ...],
    operands: list[_Floats],
    given: list[tuple[int, ...]],
    diagonal: bool,
) -> tuple[tuple[int, ...], list[_Floats]]:
    """Give views of one batch shape; an operand after the four has no core axis.

    An error has the shapes that were given.
    """
    core = [1, 1 if diagonal else 2] * 2 + [0]
    shapes = [x.shape[: x.ndim - n] for x, n in zip(operands, core, strict=False)]
    try:
        batch = np.broadcast_shapes(*shapes)
    except ValueError:
        text = ", ".join(f"{n} {shape}" for n, shape in zip(names, given, strict=False))
        raise ValueError(f"{function}: shapes do not broadcast: {text}") from None
    return batch, [
        np.broadcast_to(x, (*batch, *x.shape[x.ndim - n :]))
        for x, n in zip(operands, core, strict=False)
    ]


def _evaluate(
    function: str,
    *given: ArrayLike,
    covariance: str,
    cholesky: bool,
    order: _Floats | None = None,
    names: tuple[str, ...] = _NAMES,
    symmetric: bool = False,
) -> _Floats:
    diagonal = _form(function, covariance, cholesky)
    operands = _operands(function, names, given, covariance)
    shapes = [np.shape(x) for x in given]
    return _batched(function, names, operands, shapes, diagonal, cholesky, order, symmetric)


def _batched(
    function: str,
    names: tuple[str, ...],
    operands: list[_Floats],
    given: list[tuple[int, ...]],
    diagonal: bool,
    factors: bool,
    order: _Floats | None = None,
    symmetric: bool = False,
) -> _Floats:
    if order is not None:
        operands, given = [*operands, order], [*given, order.shape]
    batch, views = _broadcast(function, (*names, "alpha"), operands, given, diagonal)
    # The kernels take doubles where a processor expects them, in its byte order.
    views = [x if x.flags.aligned else x.copy() for x in views]
    found, doubtful = _gaussian.evaluate(tuple(views), batch, diagonal, factors)
    if doubtful:
        _judge(function, names, views, found, diagonal, factors, symmetric)
    return found


def _judge(
    function: str,
    names: tuple[str, ...],
    views: list[_Floats],
    found: _Floats,
    diagonal: bool,
    factors: bool,
    symmetric: bool,
) -> None:
    """NaN stays where NaN was given; otherwise a covariance is at fault, or P's is singular.

    To a symmetric divergence Q may be singular, too, where P is not.
    """
    asked = np.isnan(found)
    mean_p, scale_p, mean_q, scale_q = (x[asked] for x in views[:4])
    core = (-1,) if diagonal else (-2, -1)
    known = np.isfinite(scale_p).all(axis=core) & np.isfinite(scale_q).all(axis=core)
    for x in (mean_p, mean_q):
        known &= ~np.isnan(x).any(axis=-1)
    for x in views[4:]:
        known &= ~np.isnan(x[asked])
    values = found[asked]
    tolerance = 0.0 if diagonal or factors else scale_p.shape[-1] * _SINGULAR
    least_p, least_q = (_least(x, diagonal, factors) for x in (scale_p, scale_q))
    # Q first: where both are singular neither is where the other is.
    for o, least, other in ((3, least_q, least_p), (1, least_p, least_q)):
        wrong = least < -tolerance
        if not names[o].endswith("p"):
            wrong |= (least <= tolerance) & ~(symmetric & (other > tolerance))
        wrong &= known
        if wrong.any():
            first = int(np.argmax(wrong))
            index = tuple(int(i) for i in np.argwhere(asked)[first])
            what = "standard deviation" if diagonal and factors else "covariance"
            kind = "positive" if diagonal else "positive definite"
            raise np.linalg.LinAlgError(
                f"{function}: {names[o]}, problem {row_name(index)}: the {what} is not {kind}"
                f" to working precision (least {_WHAT[diagonal, factors]} {least[first]:g})"
            )
        values[known & (least <= tolerance)] = np.inf
    with np.errstate(all="ignore"):
        apart = mean_p - mean_q
    values[known & ~np.isnan(apart).any(axis=-1)] = np.inf  # as numbers on the way were
    found[asked] = values


_WHAT = {
    (False, False): "eigenvalue of its correlations",
    (False, True): "diagonal element of its factor",
    (True, False): "variance",
    (True, True): "standard deviation",
}


def _squared_hellinger(name: str, *arguments: Any) -> Any:
    mean_p, cov_p, mean_q, cov_q, covariance, cholesky = arguments
    found = _renyi(name, mean_p, cov_p, mean_q, cov_q, 0.5, covariance, cholesky, symmetric=True)
    return -np.expm1(-0.5 * found)


def _renyi(
    function: str,
    mean_p: ArrayLike,
    cov_p: ArrayLike,
    mean_q: ArrayLike,
    cov_q: ArrayLike,
    alpha: ArrayLike,
    covariance: str,
    cholesky: bool,
    symmetric: bool = False,
    names: tuple[str, ...] = _NAMES,
) -> _Floats:
    order = real_numbers(function, "alpha", alpha)
    wrong = ~((order >= 0) & (order < np.inf))
    if wrong.any():
        raise ValueError(f"{function}: alpha is {order[wrong][0]}; it takes finite numbers ≥ 0")
    there = (mean_p, cov_p, mean_q, cov_q)
    back = (mean_q, cov_q, mean_p, cov_p)

    def of(given: tuple[ArrayLike, ...], names: tuple[str, ...], order: Any) -> _Floats:
        return _evaluate(
            function,
            *given,
            covariance=covariance,
            cholesky=cholesky,
            order=order,
            names=names,
            symmetric=symmetric,
        )

    def above_half(given: tuple[ArrayLike, ...], names: tuple[str, ...], order: _Floats) -> _Floats:
        one = order == 1  # a limit that the kernels do not take
        found = of(given, names, np.where(one, 0.5, order))
        return np.where(one, of(given, names, None), found) if one.any() else found

    # (1 − α) D_α(P‖Q) = α D_{1−α}(Q‖P); kernels know by what is below 1/2 that it is 1 − order
    low = order < 0.5
    found = above_half(there, names, np.where(low, 0.5, order))
    if low.any():
        # Of order 0 all that counts is whether one is degenerate, which any order tells.
        known = np.where(low & (order > 0), order, 0.5)
        reverse = above_half(back, _exchanged(names), known)
        with np.errstate(all="ignore"):
            reverse = np.where(np.isinf(reverse), np.inf, order / (1.0 - order) * reverse)
        found = np.where(low, reverse, found)
    return found


def _exponent(x: _Floats, axes: int) -> NDArray[np.int64]:
    """Of 2, of the largest number of each problem; 0 where that is not finite."""
    largest = np.abs(x).max(axis=tuple(range(-axes, 0)), initial=0.0)
    exponent = np.frexp(np.where(np.isfinite(largest), largest, 0.0))[1]
    return np.asarray(exponent, np.int64)


def _refuse(function: str, argument: str, wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise np.linalg.LinAlgError(
            f"{function}: {argument}, problem {row_name(index)}: the covariance {why}"
        )


def gaussian_log_density(x: _Floats, mean: _Floats, whitening: _Floats) -> tuple[_Floats, _Floats]:
    """Log-density of Gaussians, and x whitened by the inverses of their Cholesky factors."""
    # Many points of few variables: a BLAS would wake threads for next to nothing.
    z = np.asarray(np.einsum("...ij,...j->...i", whitening, x - mean))
    log_scale = -np.log(np.diagonal(whitening, axis1=-2, axis2=-1)).sum(axis=-1)
    squares = np.einsum("...i,...i->...", z, z)
    return np.asarray(-squares / 2 - log_scale - z.shape[-1] * LOG_2PI / 2), z


def mirrored(scale: _Floats) -> _Floats:
    """Return the symmetric matrices of the lower triangles."""
    return np.asarray(np.tril(scale) + np.swapaxes(np.tril(scale, -1), -1, -2))


def _difference(scale_p: _Floats, scale_q: _Floats, factors: bool) -> _Floats:
    """Σ₀ − Σ₁; of factors L₀(L₀ − L₁)ᵀ + (L₀ − L₁)L₁ᵀ."""
    if not factors:
        return mirrored(scale_p - scale_q)
    apart = np.tril(scale_p - scale_q)
    turned = np.swapaxes(apart, -1, -2)
    return np.asarray(np.tril(scale_p) @ turned + apart @ np.swapaxes(np.tril(scale_q), -1, -2))


def _least(scale: _Floats, diagonal: bool, factors: bool) -> _Floats:
    """Of each problem, what must not be negative: see `_WHAT`; NaN where there is no number."""
    if diagonal:
        return np.asarray(scale.min(axis=-1))
    variances = np.diagonal(scale, axis1=-2, axis2=-1)
    if factors:
        return np.asarray(variances.min(axis=-1))
    with np.errstate(all="ignore"):
        roots = np.sqrt(np.where(variances > 0, variances, 1.0))
        lower = np.tril(scale) / roots[..., None] / roots[..., None, :]
        fine = np.asarray(np.isfinite(lower).all(axis=(-2, -1)))
        unit = _exponent(lower, 2)
        known = np.where(fine[..., None, None], np.ldexp(lower, -unit[..., None, None]), 0.0)
        values = np.ldexp(np.linalg.eigvalsh(known)[..., 0], unit)
        # A correlation that is beyond doubles is no correlation.
        values = np.where(
            fine, values, np.where(np.isfinite(np.tril(scale)).all((-2, -1)), -np.inf, np.nan)
        )
    least = variances.min(axis=-1)
    return np.where(least < 0, least, values)


def definiteness(scale: _Floats) -> _Floats:
    """1 for positive definite matrices, 0 for singular ones to working precision, −1 for others."""
    least = _least(scale, False, False)
    return np.asarray(np.where(np.abs(least) <= scale.shape[-1] * _SINGULAR, 0.0, np.sign(least)))


def _cholesky(scale: _Floats) -> _Floats:
    """Factors of matrices (n, k, k) that may be singular, by the largest pivot left.

    Rows are where they were, so a factor is no triangle. A pivot below k 2⁻⁵² of its variance has
    no digit right, and columns divided by it have none: the matrix is singular there.
    """
    n, k = scale.shape[:2]
    rest, factor, every = scale.copy(), np.zeros(scale.shape), np.arange(n)
    variances = np.diagonal(scale, axis1=1, axis2=2)
    for column in range(k):
        left = np.diagonal(rest, axis1=1, axis2=2)
        left = np.where(left > k * 2.0**-52 * variances, left, 0.0)
        place = left.argmax(axis=1)
        pivot = left[every, place]
        root = np.sqrt(np.where(pivot > 0, pivot, np.inf))  # of what is singular nothing is left
        found = rest[every, :, place] / root[:, None]
        factor[:, :, column] = found
        rest -= found[:, :, None] * found[:, None, :]
        done = np.where(pivot > 0)[0]
        rest[done, place[done], :] = 0.0
        rest[done, :, place[done]] = 0.0
    return factor


def _bures(a: _Floats, b: _Floats, difference: _Floats) -> _Floats:
    """W₂² of centred Gaussians from factors A of Σ₀ and B of Σ₁ and Σ₀ − Σ₁, all (n, k, k).

    It is the least |AΩ − B|² (Frobenius) of rotations Ω, which an error of Ω changes by its square.
    R = AΩ − B solves R Bᵀ + B Rᵀ + R Rᵀ = Σ₀ − Σ₁ with Bᵀ R symmetric: a step towards both gives it
    the digits that the difference of factors has lost.
    """
    found = np.full(len(a), np.nan)
    fine = np.isfinite(a) & np.isfinite(b) & np.isfinite(difference)
    fine = np.asarray(fine.all(axis=(-2, -1)))
    a, b, difference = a[fine], b[fine], difference[fine]
    left, _, right = np.linalg.svd(_turned(b) @ a)
    r = a @ _turned(left @ right) - b
    outer, sizes, inner = np.linalg.svd(b + r)
    rest = _turned(outer) @ (difference - r @ _turned(b) - b @ _turned(r) - r @ _turned(r))
    squares = sizes[:, :, None] ** 2 + sizes[:, None, :] ** 2
    step = rest @ outer * sizes[:, None, :] / squares
    # A root has no digits to mend where the step is not small beside it, or it is 0.
    step = np.where(16 * step**2 < squares, step, 0.0)
    r = r + outer @ step @ inner
    product = _turned(b) @ (b + r)
    values, vectors = np.linalg.eigh((product + _turned(product)) / 2)
    skew = _turned(b) @ r
    skew = _sandwich(vectors, skew - _turned(skew))
    turn = -skew / (values[:, :, None] + values[:, None, :])
    turn = np.where(16 * turn**2 < 1, turn, 0.0)
    turn = vectors @ turn @ _turned(vectors)
    # Cayley's rotation: where A and B are across each other, turns are rounding, and do no harm.
    r = r + (b + r) @ np.linalg.solve(np.eye(b.shape[-1]) - turn / 2, turn)
    same = (difference == 0).all(axis=(1, 2))
    found[fine] = np.where(same, 0.0, (r**2).sum(axis=(1, 2)))
    return found


def _turned(x: _Floats) -> _Floats:
    return np.swapaxes(x, 1, 2)


def _sandwich(outer: _Floats, inner: _Floats) -> _Floats:
    return np.asarray(_turned(outer) @ inner @ outer)
