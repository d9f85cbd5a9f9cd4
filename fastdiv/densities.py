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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdiv.estimators import Kind, kind_of, kl_from_samples, kl_samples
from fastdiv.evaluation import real_numbers, seed_of
from fastdiv.extras import scipy_module
from fastdiv.gaussians import gaussian_kl, gaussian_log_density
from fastdiv.integration import (
    FLAT,
    NEGLIGIBLE,
    TRUSTED,
    Doubtful,
    Integral,
    Interval,
    cuts_of,
    end_slopes,
    reach_of,
)
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
LogDensity = Callable[[float], Any]
_BEYOND = "{}: about {:g} of its integral {} is nearer to an end than numbers are"
# Whose exponential is 0.
_NOTHING = -745.0
# Where a density of 0 may be one below the least number, P's has to count to matter.
_NOTHING_BESIDE_UNDERFLOW = -80.0
# A mass as near to 1 is told by its difference.
_NEARLY = 1e-3
# Relative error that is asked of an integral that should be 1, how many of its own errors it may
# be off, and what is allowed to the rounding of the density.
_OF_ONE, _ERRORS, _ROUNDED = 1e-11, 4.0, 1e-11


def kl_density(
    log_p: LogDensity,
    log_q: LogDensity,
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
        The densities are never asked for at the ends themselves.
    points : sequence of float, optional
        Where to cut the interval: jumps and holes, and narrow peaks, best on both sides of their
        top at a few widths. It is also cut at the tops that a grid of all scales shows; a needle
        that only points near it show is no such top. Between two neighbouring points the cuts are
        the same in every partition.
    normalize : bool, default False
        Divide both densities by their integrals over the support. By default those have to be 1.
    tolerance : float, default 1e-12
        Relative error that is asked of each piece.

    Returns
    -------
    Integral
        Value and estimated absolute error. +inf where Q's log-density is −inf on an interval and
        P's is not, and where p log(p/q) falls no faster than 1/distance towards an end, as far as
        numbers go.

    Raises
    ------
    TypeError
        Arguments that are no functions or no numbers.
    ValueError
        If the ends are no interval, a cut is outside, or a density does not integrate to 1 (with
        `normalize`: to a number above 0); where QUADPACK's doubts of a piece are about more than
        1e-6 of the value, its subdivisions are spent, two partitions give different values, or the
        integral converges too slowly; if `tolerance` is below 1.2e-14.
    ModuleNotFoundError
        Without SciPy.

    Notes
    -----
    Quadrature knows a density at some thousand points. A needle or a hole between them is noticed
    by what it lacks: an integral of P or of Q that differs from 1 by more than 1e-11 and four times
    its own error (as that of a density in float32, or with a constant of seven digits, does too).
    Not noticed are needles and holes of less probability than that, and holes in a density that
    would integrate to 1 without them. With `normalize` no integral is known beforehand, and only
    that is noticed which one of two partitions saw and the other did not.

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
    name = "kl_density"
    scipy_module(name, "scipy.integrate")
    ends = [float(x) for x in real_numbers(name, "support", support).ravel()]
    cuts = {float(x) for x in real_numbers(name, "points", points).ravel()}
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError(f"{name}: support is {support!r}; it takes two ends, the lower first")
    low, high = ends
    for argument, f in (("log_p", log_p), ("log_q", log_q)):
        if not callable(f):
            raise TypeError(
                f"{name}: {argument} is {type(f).__name__}; it takes a function of one number"
            )
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float, np.floating)):
        raise TypeError(f"{name}: tolerance is {tolerance!r}; it takes a number")
    if not _FINEST <= tolerance < 1:
        raise ValueError(f"{name}: tolerance is {tolerance}; it takes {_FINEST} to below 1")
    if any(not low < x < high for x in cuts):
        raise ValueError(f"{name}: points {sorted(cuts)} are not inside the support {support!r}")
    try:
        return integrated_kl(name, log_p, log_q, low, high, cuts, bool(normalize), float(tolerance))
    except Doubtful as doubt:
        raise ValueError(
            f"{name}: {doubt}; points= says where jumps are, and both sides of narrow peaks"
            + ("" if normalize else ", normalize=True divides densities by their integrals")
        ) from None


class _Infinite(Exception):
    """Q has no density where P has."""


class _Pair:
    """Two log-densities on one interval, each evaluated once at a point."""

    def __init__(
        self,
        function: str,
        log_p: LogDensity,
        log_q: LogDensity,
        low: float,
        high: float,
        underflows: bool,
    ) -> None:
        self.function = function
        self.first, self.last = math.nextafter(low, high), math.nextafter(high, low)
        self.low, self.high, self.underflows = low, high, underflows
        self.nothing = _NOTHING_BESIDE_UNDERFLOW if underflows else _NOTHING
        self.logs = (self._once("log_p", log_p), self._once("log_q", log_q))

    def _once(self, argument: str, log_density: LogDensity) -> Callable[[float], float]:
        known: dict[float, float] = {}

        def log(x: float) -> float:
            # Rounding takes quadrature to the ends, where a density need not be defined.
            x = min(max(x, self.first), self.last)
            if x not in known:
                known[x] = _one_number(self.function, argument, log_density(x), x)
            return known[x]

        return log

    def either(self, x: float) -> bool:
        """Whether one of them is a number at this distance."""
        return any(max(logs) > -math.inf for logs in self._at(x))

    def other(self, x: float) -> bool:
        """Whether Q's is one wherever P's is; `_Infinite` if it is not, and P is there."""
        found = self._at(x)
        return bool(found) and all(b > -math.inf or a == b for a, b in found) and self.either(x)

    def _at(self, x: float) -> list[tuple[float, float]]:
        found = []
        for at in (-x, x):
            if self.low < at < self.high:
                try:
                    a, b = (log(at) for log in self.logs)
                    beyond = self.beyond(at)
                except (OverflowError, Doubtful):
                    return []
                if beyond:
                    raise _Infinite
                if math.inf in (a, b):
                    return []
                found.append((a, b))
        return found

    def near(self, x: float) -> tuple[float, float]:
        """Both at a point, or beside it where one is infinite at that point alone."""
        a, b = (log(x) for log in self.logs)
        if math.inf in (a, b) or b == -math.inf < a:
            x = math.nextafter(x, self.low if self.high - x < x - self.low else self.high)
            a, b = (log(x) for log in self.logs)
        if math.inf in (a, b):
            which = "log_p" if a == math.inf else "log_q"
            raise Doubtful(f"{which} is inf around {x}")
        return a, b

    def beyond(self, x: float) -> bool:
        """Whether Q has nothing around a point where P has: an interval, not the point alone."""
        log_p, log_q = self.logs
        if log_q(x) > -math.inf or log_p(x) <= self.nothing:
            return False
        sides = (math.nextafter(x, side) for side in (self.low, self.high))
        found = any(
            log_q(y) == -math.inf and log_p(y) > self.nothing
            for y in sides
            if self.low < y < self.high
        )
        if found and self.underflows:
            raise Doubtful(
                f"the density of q is 0 or below the least number at {x:g}, where that of p is"
                f" {math.exp(log_p(x)):g}"
            )
        return found

    def gain(self, x: float, factor_p: float, factor_q: float) -> float:
        """Log p(e^d − 1 − d)."""
        if self.beyond(x):
            raise _Infinite
        a, b = self.near(x)
        a, b = a - factor_p, b - factor_q
        if a == -math.inf:
            return b
        if b == -math.inf:
            return -math.inf
        if b - a > 700.0:
            return b
        k3 = float(kl_samples(0.0, b - a, kind="k3"))
        return a + math.log(k3) if k3 else -math.inf


def _one_number(function: str, argument: str, found: Any, x: float) -> float:
    try:
        number = float(found)
    except (TypeError, ValueError):
        raise TypeError(
            f"{function}: {argument}({x}) is {found!r}; it takes a function that returns a number"
        ) from None
    if math.isnan(number):
        raise Doubtful(f"{argument}({x}) is nan")
    return number


def integrated_kl(
    function: str,
    log_p: LogDensity,
    log_q: LogDensity,
    low: float,
    high: float,
    given: set[float],
    normalize: bool,
    tolerance: float,
    underflows: bool = False,
    allowed: float = 0.0,
) -> Integral:
    """Integrate as `kl_density` does; `Doubtful` where it cannot be trusted.

    If log q `underflows`, its −∞ does not prove that there is nothing. A density may
    integrate to what differs from 1 by `allowed` more than quadrature explains; that is added to
    the error. Errors that are no `Doubtful` name the `function`.
    """
    pair = _Pair(function, log_p, log_q, low, high, underflows)
    with np.errstate(all="ignore"):
        try:
            return _integrated(pair, given, normalize, allowed, tolerance)
        except _Infinite:
            return Integral(math.inf, 0.0)


def _integrated(
    pair: _Pair, given: set[float], normalize: bool, allowed: float, tolerance: float
) -> Integral:
    low, high = pair.low, pair.high
    infinite = math.isinf(low) or math.isinf(high)
    nothing = pair.nothing
    if normalize:  # what is nothing is known when the top is
        pair.nothing = math.inf
    reach = reach_of(pair.other, pair.either) if infinite else max(abs(low), abs(high))
    cuts = given | cuts_of(pair.logs, low, high, reach)
    if not cuts:
        cuts = {_middle(low, high)}
    interval = Interval(pair.function, low, high, sorted(cuts), reach)
    pair.nothing = nothing + (_top(pair.logs[0], cuts) if normalize else 0.0)
    if any(pair.beyond(x) for x in given):  # a hole that no node may meet
        raise _Infinite
    factors, errors, unexplained = [], [], 0.0
    for which, argument in enumerate(("log_p", "log_q")):

        def log(x: float, which: int = which) -> float:
            return pair.near(x)[which]

        mass, error, top = _mass(argument, log, interval, given, normalize, allowed, tolerance)
        factors.append(top + math.log(mass) if normalize else 0.0)
        errors.append(error / mass if normalize else abs(mass - 1) + error)
        unexplained += 0.0 if normalize else _unexplained(mass, error)

    def gain(x: float) -> float:
        return pair.gain(x, *factors)

    rest = 0.0
    for end, (step, at) in interval.ends():
        # Of a bounded d the integrals of p and q are a bound.
        distances = [
            pair.logs[0](x) - pair.logs[1](x) for x in at if math.isfinite(pair.logs[0](x))
        ]
        if len(distances) < 3 or not 1 < distances[0] < distances[1] < distances[2]:
            continue
        slope, last = end_slopes(step, at, end, gain)
        if slope >= FLAT:
            raise _Infinite
        rest += math.exp(last) / -slope
    found = _twice(interval, given, gain, tolerance)
    if rest > max(TRUSTED * found.value, NEGLIGIBLE):
        raise Doubtful(
            f"the integral converges too slowly: beyond the numbers there are about {rest:g} of it,"
            f" before them {found.value:g}"
        )
    # Errors of the integrals of p and q: their first powers leave the value's digits alone.
    of_masses = errors[0] * found.value + sum(x * x for x in errors) + unexplained
    return Integral(found.value, found.error + rest + of_masses)


def _middle(low: float, high: float) -> float:
    if math.isinf(low):
        return 0.0 if high > 0 else 2 * high - 1
    return (
        2 * low + 1
        if math.isinf(high) and low >= 0
        else 1.0
        if math.isinf(high)
        else (low / 2 + high / 2)
    )


def _top(log: Callable[[float], float], cuts: Iterable[float]) -> float:
    return max((h for h in map(log, cuts) if math.isfinite(h)), default=0.0)


def _mass(
    argument: str,
    log: Callable[[float], float],
    interval: Interval,
    given: set[float],
    normalize: bool,
    allowed: float,
    tolerance: float,
) -> tuple[float, float, float]:
    """Integral of a density, its error, and the logarithm of what it was divided by first."""
    top = _top(log, interval.cuts) if normalize else 0.0
    support = f"over ({interval.low:g}, {interval.high:g})"

    def scaled(x: float) -> float:
        return log(x) - top

    rest = 0.0
    for end, (step, at) in interval.ends():
        slope, last = end_slopes(step, at, end, scaled)
        if slope >= FLAT:
            raise Doubtful(f"{argument} has no finite integral {support}")
        rest += math.exp(last) / -slope

    def refuse_rest(whole: float) -> None:
        if rest > TRUSTED * whole:
            raise Doubtful(_BEYOND.format(argument, rest, support))

    if not normalize:
        refuse_rest(1.0)
    try:
        if normalize:
            found = _twice(interval, given, scaled, tolerance)
        else:  # 1 is what it is compared with
            found = interval.integral(scaled, max(tolerance, _OF_ONE))
    except OverflowError:
        raise Doubtful(f"{argument} integrates to inf {support}") from None
    error = found.error + rest
    unlike_1 = not normalize and not _unexplained(found.value, error) <= allowed
    if unlike_1 or not 0 < found.value < math.inf:
        apart = found.value - 1
        near = unlike_1 and abs(apart) < _NEARLY
        sign = "-" if apart < 0 else "+"
        mass = f"1 {sign} {abs(apart):.3g} (±{error:.1g})" if near else f"{found.value:g}"
        raise Doubtful(f"{argument} integrates to {mass} {support}")
    refuse_rest(found.value)
    return found.value, error, top


def _unexplained(mass: float, error: float) -> float:
    """How far a mass is from 1, but for its error and the rounding of the density."""
    return max(abs(mass - 1) - _ERRORS * error - _ROUNDED, 0.0)


def _twice(
    interval: Interval, given: set[float], log_f: Callable[[float], float], tolerance: float
) -> Integral:
    """Integrate twice, cut at the cuts and between them; jumps that were given stay."""
    found = interval.integral(log_f, tolerance)
    cuts = sorted({*given, *_between(interval.cuts, given)} or interval.cuts)
    other = replace(interval, cuts=cuts)
    again = other.integral(log_f, tolerance)
    apart = abs(again.value - found.value)
    if apart > max(TRUSTED * found.value, NEGLIGIBLE, 2 * (found.error + again.error)):
        raise Doubtful(
            f"an integral is {found.value:g}, and {again.value:g} if the support is cut otherwise"
        )
    return Integral(found.value, found.error + apart)


def _between(cuts: Sequence[float], given: set[float]) -> list[float]:
    """Cut otherwise, but where the caller knows what there is."""
    pairs = itertools.pairwise(cuts)
    return [a + 0.4 * (b - a) for a, b in pairs if not (a in given and b in given)]


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
    kind: Kind = "k1",
) -> Estimate:
    r"""Estimate KL(P‖Q) of mixtures of Gaussians from samples of P.

    Parameters
    ----------
    p, q : GaussianMixture
    samples : int, default 100,000
    seed : int, default 0
        The same seed gives the same estimate.
    kind : {"k1", "k2", "k3"}, default "k1"
        As :func:`fastdiv.estimators.kl_samples`. k1's log-ratios grow at most as the square of x:
        its standard error can be trusted however far Q is. k3 is never negative, and has the less
        variance where Q is near P. Where Q is far, or has the heavier tails, q/p is heavy-tailed
        under P, of variance infinite or not to be seen: a sample then misses most of k3's mean, and
        its error tells nothing of that. ``N(0, 1)`` and ``N(6, 1)``, whose divergence is 18, give
        about 17 ± 0.03.

    Returns
    -------
    Estimate
        Value and standard error, which is honest of k1; that of k2 leaves out its bias.

    Raises
    ------
    TypeError
        If an argument is no mixture.
    ValueError
        If the mixtures are of different dimensions, `samples` is below 2, or `kind` unknown.

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
    kind_of("mixture_kl", kind)
    x = p.sample(np.random.default_rng(seed_of("mixture_kl", seed)), int(samples))
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
        As :func:`mixture_kl`; `iterations` is no integer above 0.

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
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)):
        raise TypeError(f"mixture_kl_bounds: iterations is {iterations!r}; it takes an integer")
    if iterations < 1:
        raise ValueError(f"mixture_kl_bounds: iterations is {iterations}; it takes 1 or more")
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
