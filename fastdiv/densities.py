r"""Divergences of densities that have no closed form: by quadrature, by samples, by bounds.

`kl_density` integrates :math:`p\,(e^d - 1 - d)`, d = log q − log p, which is never negative: for
near densities the integral has the digits of that difference, where p log(p/q) would leave none.
Mixtures of Gaussians have no closed form at all: Monte Carlo gives an estimate with its standard
error, and component-wise divergences give bounds.

References
----------
.. [1] J. R. Hershey and P. A. Olsen, "Approximating the Kullback Leibler divergence between
   Gaussian mixture models", ICASSP 2007.
.. [2] J.-L. Durrieu, J.-P. Thiran and F. Kelly, "Lower and upper bounds for approximation of the
   Kullback-Leibler divergence between Gaussian mixture models", ICASSP 2012.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdiv.estimators import Kind, kl_from_samples, kl_samples
from fastdiv.extras import scipy_module
from fastdiv.gaussians import gaussian_kl, gaussian_log_density
from fastdiv.mixtures import GaussianMixture
from fastdiv.uncertainty import Estimate

__all__ = [
    "GaussianMixture",
    "Integral",
    "MixtureBounds",
    "kl_density",
    "mixture_kl",
    "mixture_kl_bounds",
]

_Floats = NDArray[np.float64]
# What SciPy's quadrature can be asked for, relative.
_FINEST = 1.2e-14
_LogDensity = Callable[[float], Any]


@dataclass(frozen=True)
class Integral:
    """What quadrature found, and its estimate of its absolute error.

    Attributes
    ----------
    value, error : float
    """

    value: float
    error: float


def kl_density(
    log_p: _LogDensity,
    log_q: _LogDensity,
    support: tuple[float, float],
    *,
    points: Sequence[float] = (),
    normalize: bool = False,
    tolerance: float = 1e-12,
) -> Integral:
    r"""Kullback–Leibler divergence of two densities by adaptive quadrature.

    .. math:: D(P\|Q) = \int p\log\frac{p}{q} = \int p\,(e^d - 1 - d), \qquad d = \log q - \log p

    Parameters
    ----------
    log_p, log_q : callable
        Log-densities, of one number; −inf where there is no probability.
    support : tuple of float
        Ends of an interval that holds all probability of P and of Q; −inf and inf are allowed.
    points : sequence of float, optional
        Where to cut the interval: jumps, and narrow peaks that quadrature would not find.
    normalize : bool, default False
        Divide both densities by their integrals over the support. By default they have to be 1.
    tolerance : float, default 1e-12
        Relative error that is asked of each piece.

    Returns
    -------
    Integral
        Value and estimated absolute error; +inf where Q has no density and P has.

    Raises
    ------
    ValueError
        If the ends are no interval, a cut is outside, or a density does not integrate to 1 (with
        `normalize`: to a number above 0), which is what a peak between the cuts looks like; if
        `tolerance` is below 1.2e-14.
    ModuleNotFoundError
        Without SciPy.

    References
    ----------
    .. [1] R. Piessens, E. de Doncker-Kapenga, C. W. Überhuber and D. K. Kahaner, "QUADPACK",
       Springer (1983).

    Examples
    --------
    >>> import math
    >>> from fastdiv.densities import kl_density
    >>> found = kl_density(lambda x: -x, lambda x: math.log(2) - 2 * x, (0, math.inf))
    >>> round(found.value, 12), round(1 - math.log(2), 12)  # exponential, rates 1 and 2
    (0.30685281944, 0.30685281944)
    """
    integrate = scipy_module("kl_density", "scipy.integrate")
    ends = [float(x) for x in support]
    cuts = sorted({float(x) for x in points})
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError(f"kl_density: support is {support!r}; it takes two ends, the lower first")
    low, high = ends
    if not tolerance >= _FINEST:
        raise ValueError(f"kl_density: tolerance is {tolerance}; it takes {_FINEST} or more")
    if any(not low < x < high for x in cuts):
        raise ValueError(f"kl_density: points {cuts} are not inside the support {support!r}")
    if not cuts and low == -math.inf and high == math.inf:
        cuts = [0.0]
    ends = [low, *cuts, high]
    beyond = False

    def both(x: float) -> tuple[float, float]:
        return float(log_p(x)), float(log_q(x))

    def gain(x: float) -> float:
        nonlocal beyond
        a, b = both(x)
        if b == -math.inf:
            beyond = beyond or a > -745.0
            return 0.0
        if a == -math.inf:
            return math.exp(b)
        if b - a > 700.0:
            return math.exp(b) + math.exp(a) * (a - b - 1.0)
        return math.exp(a) * float(kl_samples(0.0, b - a, kind="k3"))

    def integral(f: Callable[[float], float]) -> tuple[float, float]:
        value = error = 0.0
        for a, b in itertools.pairwise(ends):
            found = integrate.quad(
                f, a, b, epsabs=0.0, epsrel=tolerance, limit=200, full_output=True
            )
            value, error = value + found[0], error + found[1]
        return value, error

    value, error = integral(gain)
    if beyond:
        return Integral(math.inf, 0.0)
    masses = []
    for name, log_density in (("log_p", log_p), ("log_q", log_q)):
        mass, _ = integral(lambda x, f=log_density: math.exp(float(f(x))))  # type: ignore[misc]
        if not normalize and not abs(mass - 1) < 1e-6:
            raise ValueError(
                f"kl_density: {name} integrates to {mass:g} over {support!r}; normalize=True"
                " divides by that, and points= says where narrow peaks are"
            )
        if not 0 < mass < math.inf:
            raise ValueError(f"kl_density: {name} integrates to {mass:g} over {support!r}")
        masses.append(mass)
    if normalize:
        # log(Q/P) is what dividing adds, less what the integral of q − p had added.
        p, q = masses
        value = value / p - (q / p - 1 - math.log(q / p))
        error = error / p
    return Integral(value, error)


def sample_count(function: str, samples: int) -> None:
    """Refuse what is no number of samples that have a standard error."""
    if not isinstance(samples, (int, np.integer)) or isinstance(samples, bool):
        raise TypeError(f"{function}: samples is {samples!r}; it takes an integer")
    if samples < 2:
        raise ValueError(f"{function}: samples is {samples}; it takes 2 or more")


def _mixtures(function: str, p: GaussianMixture, q: GaussianMixture) -> None:
    for argument, x in (("p", p), ("q", q)):
        if not isinstance(x, GaussianMixture):
            raise TypeError(
                f"{function}: {argument} is {type(x).__name__}; it takes a GaussianMixture"
            )
    if p.means.shape[1] != q.means.shape[1]:
        raise ValueError(f"{function}: p has {p.means.shape[1]} variables, q {q.means.shape[1]}")


def mixture_kl(
    p: GaussianMixture,
    q: GaussianMixture,
    *,
    samples: int = 100_000,
    seed: int = 0,
    kind: Kind = "k3",
) -> Estimate:
    r"""Estimate KL(P‖Q) of mixtures of Gaussians from samples of P.

    Parameters
    ----------
    p, q : GaussianMixture
    samples : int, default 100,000
    seed : int, default 0
        The same seed gives the same estimate.
    kind : {"k1", "k2", "k3"}, default "k3"
        As :func:`fastdiv.estimators.kl_samples`. k3 is never negative, and the better the nearer Q
        is to P; its variance may be infinite where Q has the heavier tails: k1's is not.

    Returns
    -------
    Estimate
        Value and standard error.

    Raises
    ------
    TypeError
        If an argument is no mixture.
    ValueError
        If the mixtures are of different dimensions, or `samples` is below 2.

    References
    ----------
    .. [1] J. R. Hershey and P. A. Olsen, "Approximating the Kullback Leibler divergence between
       Gaussian mixture models", ICASSP 2007.

    Examples
    --------
    >>> from fastdiv.densities import GaussianMixture, mixture_kl
    >>> p = GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.5, 0.5])
    >>> found = mixture_kl(p, GaussianMixture([1.0], [0.0], [1.5]))
    >>> 0 < found.se < found.value
    True
    """
    _mixtures("mixture_kl", p, q)
    sample_count("mixture_kl", samples)
    x = p.sample(np.random.default_rng(seed), samples)
    return kl_from_samples(p.log_density(x), q.log_density(x), kind)


@dataclass(frozen=True)
class MixtureBounds:
    """Between what the divergence of two mixtures lies.

    Attributes
    ----------
    lower, upper : float
        Certain.
    approximation : float
        Hershey and Olsen's variational one; no bound.
    """

    lower: float
    upper: float
    approximation: float


def mixture_kl_bounds(
    p: GaussianMixture, q: GaussianMixture, *, iterations: int = 200
) -> MixtureBounds:
    r"""Bounds of KL(P‖Q) of mixtures of Gaussians, from divergences of their components.

    With weights π and ω, components f and g, their entropies H, and
    :math:`t_{ab} = \int f_a g_b`, Jensen's inequality gives

    .. math:: \sum_a \pi_a\Bigl[\log\sum_b \omega_b e^{-D(f_a\|g_b)} - H(f_a)\Bigr]
        \le E_P\log q \le \sum_a \pi_a\log\sum_b \omega_b t_{ab}

    and the same for p: their differences bound the divergence, which is also at most

    .. math:: \sum_{ab} \varphi_{ab}\Bigl[\log\frac{\varphi_{ab}}{\psi_{ab}} + D(f_a\|g_b)\Bigr],
        \qquad \sum_b \varphi_{ab} = \pi_a, \quad \sum_a \psi_{ab} = \omega_b

    made as small as the iteration of Hershey and Olsen makes it.

    Parameters
    ----------
    p, q : GaussianMixture
    iterations : int, default 200
        Of the last bound; every one of them is valid.

    Returns
    -------
    MixtureBounds

    Raises
    ------
    TypeError, ValueError
        As :func:`mixture_kl`.

    References
    ----------
    .. [1] J. R. Hershey and P. A. Olsen, "Approximating the Kullback Leibler divergence between
       Gaussian mixture models", ICASSP 2007, sections 5-8.
    .. [2] J.-L. Durrieu, J.-P. Thiran and F. Kelly, "Lower and upper bounds for approximation of
       the Kullback-Leibler divergence between Gaussian mixture models", ICASSP 2012.

    Examples
    --------
    >>> from fastdiv.densities import GaussianMixture, mixture_kl_bounds
    >>> p = GaussianMixture([0.5, 0.5], [-1.0, 1.0], [0.5, 0.5])
    >>> found = mixture_kl_bounds(p, GaussianMixture([1.0], [0.0], [1.5]))
    >>> round(found.lower, 6), round(found.upper, 6)
    (0.0, 0.136513)
    """
    _mixtures("mixture_kl_bounds", p, q)
    log_p, log_q = np.log(p.weights), np.log(q.weights)
    among, between = _divergences(p, p), _divergences(p, q)
    variational_p = np.logaddexp.reduce(log_p - among, axis=1)
    variational_q = np.logaddexp.reduce(log_q - between, axis=1)
    product_p = np.logaddexp.reduce(log_p + _log_products(p, p), axis=1)
    product_q = np.logaddexp.reduce(log_q + _log_products(p, q), axis=1)
    entropies = np.linalg.slogdet(2 * math.pi * math.e * p.covariances)[1] / 2
    lower = p.weights @ (variational_p - entropies - product_q)
    upper = p.weights @ (product_p - variational_q + entropies)
    upper = min(float(upper), _matched(p.weights, q.weights, between, iterations))
    approximation = float(p.weights @ (variational_p - variational_q))
    return MixtureBounds(max(float(lower), 0.0), float(upper), approximation)


def _divergences(p: GaussianMixture, q: GaussianMixture) -> _Floats:
    """KL of each component of P from each of Q."""
    given = (p.means[:, None], p.covariances[:, None], q.means[None], q.covariances[None])
    return np.asarray(gaussian_kl(*given))


def _log_products(p: GaussianMixture, q: GaussianMixture) -> _Floats:
    """Log ∫ f_a g_b, a Gaussian of the difference of the means."""
    spread = p.covariances[:, None] + q.covariances[None]
    whitening = np.asarray(np.linalg.inv(np.linalg.cholesky(spread)))
    return gaussian_log_density(p.means[:, None], q.means[None], whitening)[0]


def _matched(p: _Floats, q: _Floats, between: _Floats, iterations: int) -> float:
    """Least upper bound that the iteration reaches: components are matched in shares."""
    best, match = math.inf, np.outer(p, q)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(iterations):
            columns = match.sum(axis=0)
            theirs = np.where(columns > 0, q * match / columns, q / len(p))
            scaled = theirs * np.exp(-between)
            rows = scaled.sum(axis=1, keepdims=True)
            match = np.where(rows > 0, p[:, None] * scaled / rows, match)
            terms = match * (np.log(match / theirs) + between)
            found = float(np.where(match > 0, terms, 0.0).sum())
            if found >= best - 1e-15 * abs(best):
                break
            best = found
    return best
