"""Discrete divergences, distances and entropies: one typed function per name, one call down.

Formulas are in ``src_c/divergences.def``; what holds for every function here is said once, in
``PARAMETERS`` and ``ERRORS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import measure, order_of, weight_of

__all__ = [
    "alpha_divergence",
    "bhattacharyya_distance",
    "chi2_divergence",
    "cross_entropy",
    "entropy",
    "hellinger_distance",
    "jeffreys_divergence",
    "js_distance",
    "js_divergence",
    "kl_divergence",
    "neyman_divergence",
    "renyi_divergence",
    "renyi_entropy",
    "reverse_kl_divergence",
    "squared_hellinger",
    "total_variation",
    "triangular_discrimination",
    "tsallis_entropy",
]

Function = TypeVar("Function", bound=Callable[..., Any])

ROWS = {
    "pair": """p, q : array_like
        Weights, or with `from_logits` unnormalised log-probabilities (−inf is probability 0), along
        `axis`; the other axes broadcast. float16, bfloat16 (``ml_dtypes``, torch CPU tensors),
        float32, float64, integers and booleans; the two may differ. SciPy sparse matrices hold a
        row of weights each; pandas frames give a Series with their index.""",
    "single": """p : array_like
        Weights, or with `from_logits` unnormalised log-probabilities (−inf is probability 0), along
        `axis`. float16, bfloat16 (``ml_dtypes``, torch CPU tensors), float32, float64, integers and
        booleans; SciPy sparse matrices and pandas frames row by row.""",
}
BASE = """base : float, optional
        Base of the logarithm: 2 for bits. Default: nats.
    """
EXTRA = {
    "": "",
    "weight": """weight : float or array_like, default 0.5
        Weight of P in the mixture, in [0, 1]; an array broadcasts against the rows.
    """,
    "order": """alpha : float or array_like
        Order, any number, ±inf included; an array broadcasts against the rows.
    """,
    "finite order": """alpha : float or array_like
        Order, any finite number; an array broadcasts against the rows.
    """,
}
PARAMETERS = """Parameters
    ----------
    {rows}
    {extra}axis : int, default -1
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
        If a row is empty, shapes do not match, {bad}or `validate` finds a row that is no
        distribution.

    Warns
    -----
    RuntimeWarning
        "invalid value" for a row with a negative or infinite weight or, if `normalize`, none at all
        (logits: +inf, or nothing but −inf), whose result is NaN; ``numpy.errstate`` governs it. A
        NaN makes its own row's result NaN, silently."""


def _described(
    rows: str = "pair",
    raw: str = "and the generalised divergence of them",
    base: bool = True,
    extra: str = "",
) -> Callable[[Function], Function]:
    """Fill {parameters} and {errors} of a docstring with what all functions here share."""

    def fill(function: Function) -> Function:
        parameters = PARAMETERS.format(
            rows=ROWS[rows], base=BASE if base else "", raw=raw, extra=EXTRA[extra]
        )
        bad = "`base` is not a base of a logarithm, " if base else ""
        if extra:
            bad += f"`{EXTRA[extra].split()[0]}` is NaN or out of its range, "
        text = function.__doc__ or ""
        errors = ERRORS.format(bad=bad)
        function.__doc__ = text.replace("{parameters}", parameters).replace("{errors}", errors)
        return function

    return fill


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
    return measure(
        "kl_divergence", (p, q), axis, base, normalize, from_logits, keepdims, out, dtype, validate
    )


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
    return measure(
        "reverse_kl_divergence",
        (p, q),
        axis,
        base,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
    )


@_described()
def jeffreys_divergence(
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
    r"""Jeffreys divergence: the symmetrised Kullback-Leibler divergence D(P‖Q) + D(Q‖P).

    .. math:: J(P, Q) = \sum_i (p_i - q_i) \log\frac{p_i}{q_i}

    Infinite where one of the two is 0 and the other is not.

    {parameters}

    {errors}

    References
    ----------
    .. [1] H. Jeffreys, "An invariant form for the prior probability in estimation problems",
       Proceedings of the Royal Society A 186 (1946), 453-461.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.jeffreys_divergence([0.5, 0.5], [0.25, 0.75])
    np.float64(0.2746530721670274)
    """
    return measure(
        "jeffreys_divergence",
        (p, q),
        axis,
        base,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
    )


@_described(extra="weight")
def js_divergence(
    p: ArrayLike,
    q: ArrayLike,
    *,
    weight: ArrayLike = 0.5,
    axis: int = -1,
    base: float | None = None,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Jensen-Shannon divergence: the mean divergence of P and Q from their mixture.

    .. math::
        \mathrm{JS}_w(P, Q) = w D(P\|M) + (1 - w) D(Q\|M), \quad M = w P + (1 - w) Q

    Finite for any two distributions. With w = 1/2 it is symmetric and at most log 2 (1 bit), which
    it reaches where the two have nothing in common; other weights give the generalised
    Jensen-Shannon divergence, at most the entropy of (w, 1 − w).

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
    >>> fd.js_divergence([0.5, 0.5], [0.25, 0.75], weight=[0.1, 0.5, 0.9])
    array([0.01275243, 0.03382208, 0.01183068])
    """
    if isinstance(weight, float) and weight == 0.5:
        name, numbers = "js_divergence", ()
    else:
        name, numbers = "weighted_js_divergence", (weight_of("js_divergence", weight),)
    return measure(
        name, (p, q), axis, base, normalize, from_logits, keepdims, out, dtype, validate, numbers
    )


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
    return measure(
        "js_distance", (p, q), axis, base, normalize, from_logits, keepdims, out, dtype, validate
    )


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
    return measure(
        "total_variation",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
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
    return measure(
        "squared_hellinger",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
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
    return measure(
        "hellinger_distance",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
    )


@_described(raw="and −log(1 − H²) of the generalised squared Hellinger distance")
def bhattacharyya_distance(
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
    r"""Bhattacharyya distance: minus the logarithm of the Bhattacharyya coefficient.

    .. math:: -\log \sum_i \sqrt{p_i q_i} = -\log(1 - H^2(P, Q))

    Half of the Rényi divergence of order 1/2; infinite for disjoint supports. Not a metric. With
    ``normalize=False`` it is −log(1 − H²) of the weights as given, infinite where H² ≥ 1.

    {parameters}

    {errors}

    References
    ----------
    .. [1] A. Bhattacharyya, "On a measure of divergence between two statistical populations
       defined by their probability distributions", Bulletin of the Calcutta Mathematical Society
       35 (1943), 99-109.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.bhattacharyya_distance([0.5, 0.5], [0.25, 0.75])
    np.float64(0.03466823209753696)
    """
    return measure(
        "bhattacharyya_distance",
        (p, q),
        axis,
        base,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
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
    return measure(
        "chi2_divergence",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
    )


@_described(base=False)
def neyman_divergence(
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
    r"""Neyman's χ² divergence: `chi2_divergence` with its arguments exchanged.

    .. math:: \chi^2(Q\|P) = \sum_i \frac{(p_i - q_i)^2}{p_i}

    Infinite where p = 0 and q > 0.

    {parameters}

    {errors}

    References
    ----------
    .. [1] J. Neyman, "Contribution to the theory of the χ² test", Proceedings of the Berkeley
       Symposium on Mathematical Statistics and Probability (1949), 239-273.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.neyman_divergence([0.25, 0.75], [0.5, 0.5])
    np.float64(0.3333333333333333)
    """
    return measure(
        "neyman_divergence",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
    )


@_described(base=False)
def triangular_discrimination(
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
    r"""Triangular discrimination (Vincze-Le Cam divergence): a symmetric, bounded χ².

    .. math:: \Delta(P, Q) = \sum_i \frac{(p_i - q_i)^2}{p_i + q_i}

    In [0, 2]; twice Le Cam's distance.

    {parameters}

    {errors}

    References
    ----------
    .. [1] F. Topsøe, "Some inequalities for information divergence and related measures of
       discrimination", IEEE Transactions on Information Theory 46 (2000), 1602-1609.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.triangular_discrimination([0.5, 0.5], [0.25, 0.75])
    np.float64(0.13333333333333333)
    """
    return measure(
        "triangular_discrimination",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
    )


@_described(
    extra="finite order",
    base=False,
)
def alpha_divergence(
    p: ArrayLike,
    q: ArrayLike,
    alpha: ArrayLike,
    *,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Divergence of order α in the family of Cressie, Read and Amari.

    .. math::
        D_\alpha(P\|Q) = \frac{\sum_i p_i^\alpha q_i^{1-\alpha} - 1}{\alpha (\alpha - 1)}

    Smooth in α: D(P‖Q) at 1, D(Q‖P) at 0, half of χ² at 2 and of Neyman's χ² at −1, four times the
    squared Hellinger distance at 1/2. Exchanging the arguments is exchanging α and 1 − α. Always
    computed in float64, since a power magnifies an error by α: to 16 u (1 + \|α\|/8), or 100 u for
    rows that are hundreds of orders of magnitude apart.

    {parameters}

    {errors}

    References
    ----------
    .. [1] N. Cressie and T. R. C. Read, "Multinomial goodness-of-fit tests", Journal of the Royal
       Statistical Society B 46 (1984), 440-464.
    .. [2] S. Amari, "Differential-Geometrical Methods in Statistics", Springer (1985).

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.alpha_divergence([0.5, 0.5], [0.25, 0.75], [-1, 0, 0.5, 1, 2])
    array([0.125     , 0.13081204, 0.13629669, 0.14384104, 0.16666667])
    """
    return measure(
        "alpha_divergence",
        (p, q),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
        (order_of("alpha_divergence", alpha, infinite=False),),
    )


@_described(
    raw="and log(1 + α(α−1)A)/(α−1) with A their generalised `alpha_divergence`",
    extra="order",
)
def renyi_divergence(
    p: ArrayLike,
    q: ArrayLike,
    alpha: ArrayLike,
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
    r"""Rényi divergence of order α.

    .. math::
        D_\alpha(P\|Q) = \frac{1}{\alpha - 1} \log \sum_i p_i^\alpha q_i^{1-\alpha}

    Smooth in α: D(P‖Q) at 1, twice the Bhattacharyya distance at 1/2, −log Q(p > 0) at 0, the
    logarithm of the largest p/q at ∞. For α < 0, where it is
    :math:`\tfrac{\alpha}{1-\alpha} D_{1-\alpha}(Q\|P)`, it is not positive; at −∞ it is the
    logarithm of the least p/q. Always computed in float64; sums beyond its range are taken as
    logarithms. With ``normalize=False`` it is log(1 + α(α − 1) A)/(α − 1), A the divergence of
    order α of the weights as given, and infinite (for α < 0, −∞) where that logarithm is of 0 or
    less.

    {parameters}

    {errors}

    References
    ----------
    .. [1] A. Rényi, "On measures of entropy and information", Proceedings of the Fourth Berkeley
       Symposium on Mathematical Statistics and Probability 1 (1961), 547-561.
    .. [2] T. van Erven and P. Harremoës, "Rényi divergence and Kullback-Leibler divergence", IEEE
       Transactions on Information Theory 60 (2014), 3797-3820.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.renyi_divergence([0.5, 0.5], [0.25, 0.75], [0, 0.5, 1, 2, float("inf")])
    array([0.        , 0.06933646, 0.14384104, 0.28768207, 0.69314718])
    """
    return measure(
        "renyi_divergence",
        (p, q),
        axis,
        base,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
        (order_of("renyi_divergence", alpha, infinite=True),),
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
    return measure(
        "cross_entropy", (p, q), axis, base, normalize, from_logits, keepdims, out, dtype, validate
    )


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
    return measure(
        "entropy", (p,), axis, base, normalize, from_logits, keepdims, out, dtype, validate
    )


@_described(
    "single",
    raw="and log(sum p^α / sum p) / (1−α)",
    extra="order",
)
def renyi_entropy(
    p: ArrayLike,
    alpha: ArrayLike,
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
    r"""Rényi entropy of order α.

    .. math:: H_\alpha(P) = \frac{1}{1 - \alpha} \log \sum_i p_i^\alpha

    Smooth in α: the logarithm of the number of possible outcomes at 0 (Hartley), Shannon's entropy
    at 1, the collision entropy at 2, −log of the largest probability at ∞ (min-entropy). For α < 0
    infinite if a probability is 0.

    {parameters}

    {errors}

    References
    ----------
    .. [1] A. Rényi, "On measures of entropy and information", Proceedings of the Fourth Berkeley
       Symposium on Mathematical Statistics and Probability 1 (1961), 547-561.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.renyi_entropy([0.5, 0.25, 0.25], [0, 1, 2, float("inf")], base=2)
    array([1.5849625, 1.5      , 1.4150375, 1.       ])
    """
    return measure(
        "renyi_entropy",
        (p,),
        axis,
        base,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
        (order_of("renyi_entropy", alpha, infinite=True),),
    )


@_described(
    "single",
    raw="and sum (p − p^α) / (α−1)",
    extra="finite order",
    base=False,
)
def tsallis_entropy(
    p: ArrayLike,
    alpha: ArrayLike,
    *,
    axis: int = -1,
    normalize: bool = True,
    from_logits: bool = False,
    keepdims: bool = False,
    out: NDArray[np.float64] | None = None,
    dtype: str | None = None,
    validate: bool = False,
) -> Any:
    r"""Tsallis entropy of order α.

    .. math:: S_\alpha(P) = \frac{1 - \sum_i p_i^\alpha}{\alpha - 1}

    Smooth in α: Shannon's entropy at 1, the Gini-Simpson index at 2. For α < 0 infinite if a
    probability is 0.

    {parameters}

    {errors}

    References
    ----------
    .. [1] C. Tsallis, "Possible generalization of Boltzmann-Gibbs statistics", Journal of
       Statistical Physics 52 (1988), 479-487.

    Examples
    --------
    >>> import fastdiv as fd
    >>> fd.tsallis_entropy([0.5, 0.5], [1, 2])
    array([0.69314718, 0.5       ])
    """
    return measure(
        "tsallis_entropy",
        (p,),
        axis,
        None,
        normalize,
        from_logits,
        keepdims,
        out,
        dtype,
        validate,
        (order_of("tsallis_entropy", alpha, infinite=False),),
    )
