r"""Divergences estimated from sampled tokens, and rates that are read off a divergence.

With samples x of P and r = q(x)/p(x), d = ln r, each of Schulman's three numbers [1]_ averages to
KL(P‖Q), or nearly:

====  ==============  ==========================================================================
kind  per sample      what it is
====  ==============  ==========================================================================
k1    −d              unbiased; of either sign, so its variance is high
k2    d²/2            biased (by O(d³)); low variance
k3    e^d − 1 − d     unbiased where Q ≪ P; never negative
====  ==============  ==========================================================================

`exp(d) - 1 - d` has no digit left for d below 1e-8, and is negative half of the time; here k3 is
d²ψ(d), ψ(d) = Σ dᵏ/(k+2)!, to the last digits for every d.

References
----------
.. [1] J. Schulman, "Approximating KL divergence", 2020, http://joschu.net/blog/kl-approx.html.
"""

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.divergences import total_variation
from fastdiv.uncertainty import Estimate, Sequences, mean

__all__ = ["Kind", "expected_agreement_rate", "kl_from_samples", "kl_samples"]

Kind: TypeAlias = Literal["k1", "k2", "k3"]
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
    p, q = (_logs(name, x) for name, x in (("logp", logp), ("logq", logq)))
    if p.shape != q.shape:
        raise ValueError(f"kl_samples: logp has shape {p.shape}, logq {q.shape}; they are paired")
    with np.errstate(invalid="ignore", over="ignore"):
        d = q - p
        if kind == "k1":
            found = -d
        elif kind == "k2":
            found = d * d / 2
        elif kind == "k3":
            near = np.abs(d) <= 1
            found = np.where(near, _near_k3(np.where(near, d, 0.0)), np.expm1(d) - d)
        else:
            raise ValueError(f"kl_samples: kind is {kind!r}; it takes 'k1', 'k2' or 'k3'")
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
        As :func:`kl_samples`.
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
        As :func:`kl_samples`; not one id per sample.

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
    return mean(kl_samples(logp, logq, kind=kind), sequence_ids=sequence_ids)


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


def _logs(argument: str, values: ArrayLike) -> _Floats:
    given = np.asarray(values)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"kl_samples: {argument} has dtype {given.dtype}; it takes real numbers")
    return given.astype(np.float64, copy=False)
