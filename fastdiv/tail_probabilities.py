"""Tails of the binomial and of Student's distribution, for intervals and tests without SciPy.

Both are the regularised incomplete beta function: its continued fraction, and in front of that the
binomial density by Stirling's series and deviances [1]_, which keeps the digits that differences of
log-gammas lose (1e-12 relative for a million trials, not 1e-8).

References
----------
.. [1] C. Loader, "Fast and accurate computation of binomial probabilities", 2000.
"""

import itertools
import math
from functools import lru_cache
from statistics import NormalDist

__all__ = ["binomial_cdf", "binomial_upper", "student_t_quantile"]


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Probability of at most k successes in n trials.

    Parameters
    ----------
    k, n : int
    p : float
        Of one success.

    Returns
    -------
    float
        To a relative 1e-12 or so, in the far tail, too.

    Examples
    --------
    >>> round(binomial_cdf(1, 3, 0.5), 12)
    0.5
    """
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    return _beta_below(n - k, k + 1, 1 - p, p)


def binomial_upper(k: int, n: int, p: float) -> float:
    """Probability of at least k successes in n trials.

    Parameters
    ----------
    k, n : int
    p : float
        Of one success.

    Returns
    -------
    float
        As exact as :func:`binomial_cdf`, where that is near 1, too.

    Examples
    --------
    >>> round(binomial_upper(2, 3, 0.5), 12)
    0.5
    """
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return _beta_below(k, n - k + 1, p, 1 - p)


@lru_cache(maxsize=1024)
def student_t_quantile(p: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t distribution.

    Parameters
    ----------
    p : float
        Between 0.5 and 1.
    degrees_of_freedom : float
        At least 1; inf is the normal distribution.

    Returns
    -------
    float

    References
    ----------
    .. [1] M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", 26.7.

    Examples
    --------
    >>> round(student_t_quantile(0.975, 10), 12)
    2.228138851986
    """
    if not 0.5 <= p < 1:
        raise ValueError(f"student_t_quantile: p is {p!r}; it takes a number in [0.5, 1)")
    if not degrees_of_freedom >= 1:
        raise ValueError(
            f"student_t_quantile: {degrees_of_freedom!r} degrees of freedom; at least 1"
        )
    if p == 0.5:
        return 0.0
    normal = NormalDist().inv_cdf(p)
    nu = degrees_of_freedom
    if nu > 3e4:
        # 26.7.5: what it leaves out is below 1e-13, and the fraction has lost more digits here.
        z, z2 = normal, normal * normal
        first = (z2 + 1) / 4
        second = ((5 * z2 + 16) * z2 + 3) / 96
        third = (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384
        return z + z / nu * (first + (second + third / nu) / nu)
    both = 2 * (1 - p)

    def beyond(t: float) -> float:
        scale = nu + t * t
        return _beta_below(nu / 2, 0.5, nu / scale, t * t / scale)

    low, high = normal, 2 * normal + 1
    while beyond(high) > both:
        low, high = high, 2 * high
    while True:
        middle = (low + high) / 2
        if not low < middle < high:
            return middle
        if beyond(middle) > both:
            low = middle
        else:
            high = middle


def _beta_below(a: float, b: float, x: float, y: float) -> float:
    """Regularised incomplete beta function I_x(a, b), y = 1 − x given apart for its digits.

    The continued fraction of Abramowitz and Stegun 26.5.8, on the side of the mode on which it
    converges fast; its leading factor is free of the cancellation of log-gammas.
    """
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_below(b, a, y, x)
    if x == 0:
        return 0.0
    n = a + b
    logarithm = (
        _stirling_error(n)
        - _stirling_error(a)
        - _stirling_error(b)
        - _deviance(a, n * x)
        - _deviance(b, n * y)
    )
    leading = math.exp(logarithm) * math.sqrt(a * b / (2 * math.pi * n))
    return leading * _beta_fraction(a, b, x) / a


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return 1/(1 + d₁/(1 + d₂/(1 + …))), by the ratios of successive convergents."""
    tiny = 1e-300
    value, above, below = 1.0, 1.0, 0.0
    for i in itertools.count(1):
        m = i // 2
        if i % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        # The denominators of two convergents: neither may be 0.
        below = 1 / ((1 + d * below) or tiny)
        above = (1 + d / above) or tiny
        value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return 1 / value


def _stirling_error(x: float) -> float:
    """Return ln Γ(x + 1) − (x + ½) ln x + x − ½ ln 2π."""
    if x < 16:
        return math.lgamma(x + 1) - (x + 0.5) * math.log(x) + x - 0.5 * math.log(2 * math.pi)
    y = 1 / (x * x)
    return (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / x


def _deviance(x: float, m: float) -> float:
    """Return x ln(x/m) + m − x, without cancellation where the two are close."""
    t = (m - x) / x
    if abs(t) > 0.3:
        return x * (math.log(x / m) + t)
    u = t / (2 + t)
    series = math.fsum(u ** (2 * k) / (2 * k + 1) for k in range(1, 12))
    return x * u * (t - 2 * series)
