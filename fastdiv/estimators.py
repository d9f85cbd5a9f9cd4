r"""Divergences estimated from sampled tokens, and rates that are read off a divergence.

With samples x of P and r = q(x)/p(x), d = ln r, each of Schulman's three numbers [1]_ averages to
KL(P‖Q), or nearly:

====  ==============  ==========================================================================
kind  per sample      what it is
====  ==============  ==========================================================================
k1    −d              unbiased; of either sign, so its variance is high
k2    d²/2            biased (by O(d³)); low variance
k3    e^d − 1 − d     unbiased where Q ≪ P; never negative; low variance where Q is near P
====  ==============  ==========================================================================

Where Q is far from P, k3 is the worst of them: most of its mean is e^d of samples that P hardly
ever gives, and without them both the estimate and its standard error are too small. k1 has no such
samples.

An f-divergence of any other f is the mean of f(p/q) over samples of Q, and of (q/p) f(p/q) over
samples of P; k3 is that of KL and samples of P.

`exp(d) - 1 - d` has no digit left for d below 1e-8, and is negative half of the time; here k3 is
d²ψ(d), ψ(d) = Σ dᵏ/(k+2)!, to the last digits for every d. Other f(e^d) take what e^d loses by
rounding from f′.

References
----------
.. [1] J. Schulman, "Approximating KL divergence", 2020, http://joschu.net/blog/kl-approx.html.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import generators
from fastdiv.custom import generator_of
from fastdiv.divergences import total_variation
from fastdiv.evaluation import real_numbers
from fastdiv.generators import Generator
from fastdiv.sums import Sequences, grouped
from fastdiv.uncertainty import Estimate, mean

__all__ = [
    "Kind",
    "Sampled",
    "expected_agreement_rate",
    "f_divergence_from_samples",
    "f_divergence_samples",
    "kl_from_samples",
    "kl_samples",
]

Kind: TypeAlias = Literal["k1", "k2", "k3"]
Sampled: TypeAlias = Literal["p", "q"]
_Floats: TypeAlias = NDArray[np.float64]

# ψ(d) = Σ dᵏ/(k+2)!, to 2^-60 for |d| ≤ 1.
_PSI = [1 / math.factorial(k + 2) for k in range(18)]


def kl_samples(logp: ArrayLike, logq: ArrayLike, *, kind: Kind = "k3") -> _Floats:
    r"""One estimate of KL(P‖Q) per sample of P.

    .. math:: k_1 = -d, \quad k_2 = d^2/2, \quad k_3 = e^d - 1 - d,
        \qquad d = \log q(x) - \log p(x)

    Parameters
    ----------
    logp, logq : array_like of float
        Log-probability, or log-density, that P and Q give to each sample; the samples are P's.
    kind : {"k1", "k2", "k3"}, default "k3"

    Returns
    -------
    ndarray of float64
        In the shape of the two. +inf where Q gives a sample the probability 0; NaN where P does (it
        is no sample of P then), and for NaN or +inf. k3 is +inf where e^d is beyond the largest
        number.

    Raises
    ------
    TypeError
        Values that are no real numbers.
    ValueError
        Shapes that differ, or an unknown kind.

    References
    ----------
    .. [1] J. Schulman, "Approximating KL divergence", 2020,
       http://joschu.net/blog/kl-approx.html.

    Examples
    --------
    >>> kl_samples([-1.0, -2.0], [-1.0, -2.0 + 2**-40]).tolist()
    [0.0, 4.135903062766392e-25]
    """
    name = "kl_samples"
    p, q = _logs(name, logp, logq)
    return _kl_of_each(p, q, kind_of(name, kind))


def kind_of(function: str, kind: Kind) -> Kind:
    """Refuse what is none of the three."""
    if kind not in get_args(Kind):
        raise ValueError(f"{function}: kind is {kind!r}; it takes 'k1', 'k2' or 'k3'")
    return kind


def _kl_of_each(p: _Floats, q: _Floats, kind: Kind) -> _Floats:
    with np.errstate(invalid="ignore", over="ignore"):
        d = q - p
        if kind == "k1":
            found = -d
        elif kind == "k2":
            found = d * d / 2
        else:
            near = np.abs(d) <= 1
            found = np.where(near, _near_k3(np.where(near, d, 0.0)), np.expm1(d) - d)
    found = np.where(np.isfinite(p) & (q < np.inf), found, np.nan)
    # −d is −0.0 for equal ones.
    return found + 0.0


def kl_from_samples(
    logp: ArrayLike,
    logq: ArrayLike,
    kind: Kind = "k3",
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> Estimate:
    """Estimate KL(P‖Q) from samples of P.

    Parameters
    ----------
    logp, logq : array_like of float
        Log-probability that P and Q give to each sample.
    kind : {"k1", "k2", "k3"}, default "k3"
        As :func:`kl_samples`: k3 where P and Q are near, as two models of one text are; k1 where
        they are far.
    sequence_ids : array_like of int or Sequences, optional
        The text that each token was sampled in: the error is cluster-robust then.

    Returns
    -------
    Estimate
        Mean and standard error; its square is the variance of the estimate. It is the error of
        sampling: that of k2 leaves out its bias. A sample of infinite value makes the mean
        infinite, one of NaN makes it NaN.

    Raises
    ------
    TypeError, ValueError
        As :func:`kl_samples`; no samples, or not one id per sample.

    References
    ----------
    .. [1] J. Schulman, "Approximating KL divergence", 2020,
       http://joschu.net/blog/kl-approx.html.

    Examples
    --------
    >>> import numpy as np
    >>> p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])
    >>> x = np.random.default_rng(0).choice(3, 10_000, p=p)
    >>> found = kl_from_samples(np.log(p[x]), np.log(q[x]))
    >>> abs(found.value - np.log(2) / 4) < 3 * found.se
    np.True_
    """
    name = "kl_from_samples"
    p, q = _logs(name, logp, logq)
    return _mean(name, _kl_of_each(p, q, kind_of(name, kind)), sequence_ids)


def _mean(
    function: str, each: _Floats, sequence_ids: ArrayLike | Sequences | None = None
) -> Estimate:
    if not each.size:
        raise ValueError(f"{function}: logp is empty; it takes at least one sample")
    return mean(each, sequence_ids=grouped(function, sequence_ids, each.size))


def f_divergence_samples(
    logp: ArrayLike,
    logq: ArrayLike,
    generator: str | Generator | Callable[..., Any],
    *,
    sampled: Sampled = "p",
) -> _Floats:
    r"""One estimate of an f-divergence per sample of P or of Q.

    .. math:: \frac{q(x)}{p(x)}\, f\!\left(\frac{p(x)}{q(x)}\right), \; x \sim P
        \qquad\text{or}\qquad f\!\left(\frac{p(x)}{q(x)}\right), \; x \sim Q

    Parameters
    ----------
    logp, logq : array_like of float
        Log-probability, or log-density, that P and Q give to each sample.
    generator : str, Generator or callable
        As `f_divergence` takes it.
    sampled : {"p", "q"}, default "p"
        Whose samples they are.

    Returns
    -------
    ndarray of float64
        In the shape of the two. NaN where the sampled distribution gives a sample the probability
        0, and for NaN or +inf. Ratios beyond e^±745 are 0 and ∞, whose limits f(0) and f′(∞) stand
        for what a sample cannot show. The mean is unbiased where no mass of the other distribution
        lies outside the one that is sampled, or weighs 0 there.

    Raises
    ------
    TypeError
        Values that are no real numbers.
    ValueError
        Shapes that differ, an unknown generator, or `sampled` neither "p" nor "q".

    See Also
    --------
    kl_samples : whose k3 is that of ``"kl"`` and samples of P.

    References
    ----------
    .. [1] F. Nielsen and R. Nock, "On the chi square and higher-order chi distances for
       approximating f-divergences", IEEE Signal Processing Letters 21 (2014), 10-13.

    Examples
    --------
    >>> f_divergence_samples([-1.0, -2.0], [-1.0, -2.0 + 2**-40], "squared_hellinger").tolist()
    [0.0, 1.0339757656917548e-25]
    """
    return _f_of_each("f_divergence_samples", logp, logq, generator, sampled)


def _f_of_each(
    name: str,
    logp: ArrayLike,
    logq: ArrayLike,
    generator: str | Generator | Callable[..., Any],
    sampled: Sampled,
) -> _Floats:
    g = generator_of(name, generator)
    p, q = _logs(name, logp, logq)
    if sampled not in ("p", "q"):
        raise ValueError(f"{name}: sampled is {sampled!r}; it takes 'p' or 'q'")
    own, other, f = (p, q, g.dual()) if sampled == "p" else (q, p, g)
    if f is generators.reverse_kl:
        return _kl_of_each(own, other, "k3")
    with np.errstate(invalid="ignore"):
        found = _at_exponential(f, other - own)
    return np.where(np.isfinite(own) & (other < np.inf), found, np.nan) + 0.0


def f_divergence_from_samples(
    logp: ArrayLike,
    logq: ArrayLike,
    generator: str | Generator | Callable[..., Any],
    *,
    sampled: Sampled = "p",
    sequence_ids: ArrayLike | Sequences | None = None,
) -> Estimate:
    """Estimate an f-divergence from samples of P or of Q.

    Parameters
    ----------
    logp, logq, generator, sampled
        As :func:`f_divergence_samples`.
    sequence_ids : array_like of int or Sequences, optional
        The text that each token was sampled in: the error is cluster-robust then.

    Returns
    -------
    Estimate
        Mean and standard error. Where e^d varies much (P far from Q) the error itself is uncertain:
        a few samples that did not come would have weighed most.

    Raises
    ------
    TypeError, ValueError
        As :func:`f_divergence_samples`; no samples, or not one id per sample.

    Examples
    --------
    >>> import numpy as np
    >>> import fastdiv as fd
    >>> p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])
    >>> x = np.random.default_rng(0).choice(3, 10_000, p=p)
    >>> found = f_divergence_from_samples(np.log(p[x]), np.log(q[x]), "js")
    >>> abs(found.value - fd.js_divergence(p, q)) < 3 * found.se
    np.True_
    """
    name = "f_divergence_from_samples"
    return _mean(name, _f_of_each(name, logp, logq, generator, sampled), sequence_ids)


def expected_agreement_rate(p: ArrayLike, q: ArrayLike, **options: Any) -> Any:
    r"""Probability that two samples agree when they are coupled as well as can be: 1 − TV.

    .. math:: \sum_j \min(p_j, q_j) = 1 - \mathrm{TV}(P, Q)

    It is the acceptance rate of speculative decoding with draft P and target Q.

    Parameters
    ----------
    p, q : array_like
        Weights, or logits with ``from_logits=True``.
    **options
        As :func:`fastdiv.total_variation`: axis, from_logits, keepdims, …

    Returns
    -------
    float64 or ndarray of float64

    Raises
    ------
    TypeError, ValueError
        As :func:`fastdiv.total_variation`; ``normalize=False``, of which there is no rate.

    References
    ----------
    .. [1] Y. Leviathan, M. Kalman and Y. Matias, "Fast inference from transformers via speculative
       decoding", ICML 2023, corollary 3.6.

    Examples
    --------
    >>> expected_agreement_rate([0.5, 0.5, 0.0], [0.25, 0.25, 0.5])
    np.float64(0.5)
    """
    if not options.get("normalize", True):
        raise ValueError("expected_agreement_rate: normalize=False gives no probabilities")
    if options.get("out") is not None:
        out = total_variation(p, q, **options)
        return np.subtract(1.0, out, out=out)
    return 1.0 - total_variation(p, q, **options)


def _near_k3(d: _Floats) -> _Floats:
    psi = np.full(d.shape, _PSI[-1])
    for coefficient in _PSI[-2::-1]:
        psi = psi * d + coefficient
    result: _Floats = d * d * psi
    return result


def _logs(function: str, logp: ArrayLike, logq: ArrayLike) -> tuple[_Floats, _Floats]:
    p, q = real_numbers(function, "logp", logp), real_numbers(function, "logq", logq)
    if p.shape != q.shape:
        raise ValueError(f"{function}: logp has shape {p.shape}, logq {q.shape}; they are paired")
    return p, q


def _at_exponential(g: Generator, d: _Floats) -> _Floats:
    """f(e^d): what e^d loses where it is near 1 comes back by f′ and f″(1)."""
    with np.errstate(over="ignore", invalid="ignore"):
        u = np.exp(d)
        lost = np.where(np.abs(d) < 0.5, np.expm1(d) - (u - 1), 0.0)
        if math.isfinite(g.curvature):
            slope = g.derivative(u) + g.curvature * lost / 2
        else:  # a kink at 1, where the slope is that of the side
            slope = g.derivative(np.where(u == 1, np.nextafter(1.0, 1 + np.sign(lost)), u))
        found: _Floats = g.f(u) + np.where(lost != 0, slope * lost, 0.0)
    return found
