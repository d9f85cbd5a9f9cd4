r"""Bregman divergences of the functions that log-partitions are made of, without cancellation.

.. math:: B_f(a \to b) = f(b) - f(a) - (b - a) f'(a) \ge 0 \quad\text{for convex } f

Near b = a this is of the size (b − a)², of which the difference of three numbers has no digit.
Every function here is a sum of terms ≥ 0, or one in which nothing cancels but a factor of about 3:

1. ``excess``: u − 1 − log u = x − log(1 + x) of u = 1 + x, by the series of artanh(x/(2 + x)).
2. ``gamma_bregman``: f = log Γ. Since log Γ(x) = log Γ(x + 1) − log x, each step from x to x + 1 is
   one ``excess``; from 12 on log Γ(x) = x log x − x − (log x)/2 + Binet(x) + constant.
3. ``gamma_beyond_entropy``: f = h = log Γ(x) − x log x + x, what is left of log Γ beside a
   Poisson's entropy; its step is (x + 1) log(1 + 1/x) − 1.
4. ``bessel_bregman``: f = log I₀. f″ = E[1/(K + 1)²]/2 with the weights (2k)!/k!⁴ (x/2)²ᵏ of I₀²,
   by Gauss-Legendre; from 30 on log I₀(x) = x − (log 2πx)/2 + a series in 1/x.
5. ``sinh_bregman``: f = log(sinh(x/2)/(x/2)), by Gauss-Legendre again, or from exponentials.

References
----------
.. [1] NIST Digital Library of Mathematical Functions, 5.11, 10.31, 10.40, https://dlmf.nist.gov.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdiv.estimators import kl_samples
from fastdiv.extras import scipy_module

__all__ = [
    "bessel_bregman",
    "bessel_ratio_rest",
    "excess",
    "exp_beyond_line",
    "from_special",
    "gamma_beyond_entropy",
    "gamma_bregman",
    "log_ratio",
    "logistic",
    "logit",
    "multivariate_gamma_rest",
    "ratio_excess",
    "scaled_log_bessel",
    "sinh_bregman",
    "times_log",
]

Floats = NDArray[np.float64]

_ARTANH = [1 / (2 * k + 3) for k in range(18)]
# B₂ₘ / (2m (2m − 1)): Binet's function is Σ of them x^(1 − 2m).
_BINET = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400]
_SHIFT = 12.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def from_special(name: str) -> Any:
    """Return a function of scipy.special, which is asked for where it is used."""
    return getattr(scipy_module("fastdiv.families", "scipy.special"), name)


def excess(x: Floats) -> Floats:
    """X − log(1 + x), which is ≥ 0."""
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        near = (x > -0.5) & (x < 1.0)
        inside = np.where(near, x, 0.0)
        s = inside / (2.0 + inside)
        square = s * s
        series = np.full(x.shape, _ARTANH[-1])
        for coefficient in _ARTANH[-2::-1]:
            series = series * square + coefficient
        far = np.where(x == np.inf, np.inf, x - np.log1p(x))
        return np.asarray(np.where(near, s * (inside - 2.0 * square * series), far))


def ratio_excess(above: Floats, below: Floats, difference: Floats | None = None) -> Floats:
    """U − 1 − log u of u = above/below, from their difference; +inf for u = 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    with np.errstate(all="ignore"):
        u = above / below
        x = ((above - below) if difference is None else difference) / below
        # Near u = 0 the digits are in u.
        return np.asarray(np.where(u < 0.5, u - 1.0 - np.log(u), excess(x)))


def log_ratio(above: Floats, below: Floats, difference: Floats | None = None) -> Floats:
    """Log(above/below)."""
    with np.errstate(all="ignore"):
        u = above / below
        x = ((above - below) if difference is None else difference) / below
        return np.asarray(np.where(np.abs(x) < 0.5, np.log1p(x), np.log(u)))


def times_log(c: Floats, x: Floats) -> Floats:
    """C log x, and 0 for c = 0, where x is 0 or infinite, too."""
    return np.where((c == 0) & ~np.isnan(x), 0.0, c * np.log(x))


def logit(p: Floats) -> Floats:
    """Log(p/(1 − p))."""
    return log_ratio(p, 1 - p, 2 * (p - 0.5))


def logistic(x: Floats) -> Floats:
    """1/(1 + e^−x)."""
    return np.asarray(1 / (1 + np.exp(-x)))


def exp_beyond_line(d: Floats) -> Floats:
    """e^d − 1 − d, which is what the estimator k3 is of log-probabilities."""
    return kl_samples(np.zeros(np.shape(d)), d, kind="k3")


def _power_bregman(x: Floats, power: int) -> Floats:
    """(1 + x)^−m − 1 + m x, which is B of y^−m from 1 to 1 + x."""
    v = np.log1p(x)
    return exp_beyond_line(-power * v) + power * excess(x)


def _series_bregman(a: Floats, difference: Floats, coefficients: list[float], step: int) -> Floats:
    """B of Σ cₘ x^−(1 + step·m): the terms fall fast, so their signs do not matter."""
    x, found = difference / a, np.zeros(np.shape(a))
    for m in reversed(range(len(coefficients))):
        power = 1 + step * m
        found = found + coefficients[m] * a**-power * _power_bregman(x, power)
    return found


def _gamma_tail(a: Floats, difference: Floats) -> Floats:
    """B of −(log x)/2 + Binet(x)."""
    return 0.5 * excess(difference / a) + _series_bregman(a, difference, _BINET, 2)


def _shifted(
    a: Floats,
    b: Floats,
    difference: Floats | None,
    step: Callable[[Floats, Floats, Floats], Floats],
) -> tuple[Floats, Floats, Floats]:
    """Sum of the steps that take both to `_SHIFT` or beyond, and where they are then."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    difference = b - a if difference is None else np.broadcast_to(difference, a.shape)
    found = np.zeros(np.shape(a))
    steps = np.ceil(np.clip(_SHIFT - np.minimum(a, b), 0.0, _SHIFT))
    for n in range(int(np.max(np.where(np.isnan(steps), 0.0, steps), initial=0.0))):
        more = step(a + n, b + n, difference)
        found = found + np.where(n < steps, more, 0.0)
    return found, a + steps, difference


def gamma_bregman(a: Floats, b: Floats, difference: Floats | None = None) -> Floats:
    """B of log Γ from a to b, both positive: log Γ(b) − log Γ(a) − (b − a) ψ(a)."""
    with np.errstate(all="ignore"):
        found, a, difference = _shifted(a, b, difference, lambda x, y, d: ratio_excess(y, x, d))
        # B of x log x is (a + d) log(1 + d/a) − d, a times the excess of 1/(1 + d/a).
        entropy = (a + difference) * excess(-difference / (a + difference))
        return np.asarray(found + (entropy + _gamma_tail(a, difference)))


def gamma_beyond_entropy(a: Floats, b: Floats, difference: Floats | None = None) -> Floats:
    """B of log Γ(x) − x log x + x from a to b, both positive."""

    def step(x: Floats, y: Floats, d: Floats) -> Floats:
        w = d / ((x + 1.0) * y)
        return d / (x * (x + 1.0)) * (d / y) - (y + 1.0) * excess(-w)

    with np.errstate(all="ignore"):
        found, a, difference = _shifted(a, b, difference, step)
        return np.asarray(found + _gamma_tail(a, difference))


def multivariate_gamma_rest(a: Floats, b: Floats, k: int) -> Floats:
    """B of log Γ_k(x) − k (x log x − x) from a to b, both above (k − 1)/2."""
    found = np.zeros(np.broadcast(a, b).shape)
    with np.errstate(all="ignore"):
        difference = b - a
        for j in range(k):
            c = j / 2
            found = found + gamma_beyond_entropy(a - c, b - c, difference)
            # (x − c) log(x − c) − x log x = x log(1 − c/x) − c log(x − c)
            w = c * difference / (b * (a - c))
            found = found + c * ratio_excess(b - c, a - c, difference) - b * excess(w)
    return found


# --- log I₀ ---------------------------------------------------------------------------------------


def _log_bessel_series() -> list[float]:
    """Coefficients of 1/x, 1/x², … in log I₀(x) − x + (log 2πx)/2, by f″ + f′² + f′/x = 1."""
    # With f′ = 1 + Σ s_m x^−m: s_1 = −1/2 and 2 s_m = (m − 2) s_{m−1} − Σ s_i s_{m−i}.
    s = [Fraction(0), Fraction(-1, 2)]
    for m in range(2, 20):
        crossed = sum((s[i] * s[m - i] for i in range(1, m)), Fraction(0))
        s.append(((m - 2) * s[m - 1] - crossed) / 2)
    return [float(-s[m] / (m - 1)) for m in range(2, 20)]


_BESSEL = _log_bessel_series()
_BESSEL_FAR = 30.0


def _bessel_curvature(x: Floats) -> Floats:
    """F″ of f = log I₀."""
    quarter = (np.asarray(x) / 2) ** 2
    term = np.ones(quarter.shape)
    whole, part = term, term
    for k in range(1, 110):
        term = term * quarter * ((2 * k) * (2 * k - 1) / k**4)
        whole, part = whole + term, part + term / (k + 1) ** 2
    return 0.5 * part / whole


def _by_panels(
    curvature: Callable[[Floats], Floats], a: Floats, difference: Floats, length: float
) -> Floats:
    """B from f″: d² ∫ (1 − u) f″(a + u d) du."""
    farthest = np.max(np.where(np.isnan(difference), 0.0, np.abs(difference)), initial=0.0)
    panels = max(1, int(np.ceil(farthest / length)))
    found = np.zeros(np.shape(a))
    for panel in range(panels):
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            u = (panel + 0.5 * (node + 1.0)) / panels
            found = found + weight * (1.0 - u) * curvature(a + u * difference)
    return difference * difference * found * (0.5 / panels)


def scaled_log_bessel(x: Floats) -> Floats:
    """Log I₀(x) − x."""
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        far = -0.5 * np.log(2 * math.pi * x)
        for m in reversed(range(len(_BESSEL))):
            far = far + _BESSEL[m] * x ** -(m + 1.0)
        inside = np.minimum(x, _BESSEL_FAR)
        term, whole = np.ones(x.shape), np.ones(x.shape)
        for k in range(1, 90):
            term = term * (inside / (2 * k)) ** 2
            whole = whole + term
        return np.asarray(np.where(x > _BESSEL_FAR, far, np.log(whole) - x))


def bessel_ratio_rest(x: Floats) -> Floats:
    """1 − I₁(x)/I₀(x)."""
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        far = 0.5 / x
        for m in range(len(_BESSEL)):
            far = far + (m + 1) * _BESSEL[m] * x ** -(m + 2.0)
        inside = np.minimum(x, _BESSEL_FAR)
        term, whole, part = np.ones(x.shape), np.ones(x.shape), np.ones(x.shape)
        for k in range(1, 90):
            term = term * (inside / (2 * k)) ** 2
            whole, part = whole + term, part + term / (k + 1)
        return np.asarray(np.where(x > _BESSEL_FAR, far, 1.0 - inside / 2 * part / whole))


def bessel_bregman(a: Floats, b: Floats) -> Floats:
    """B of log I₀ from a to b, both ≥ 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    with np.errstate(all="ignore"):
        difference = b - a
        far = np.minimum(a, b) > _BESSEL_FAR
        wide = ~far & (np.maximum(a, b) > 4 * _BESSEL_FAR)
        near = ~far & ~wide
        large = np.where(far, a, 100.0)
        gap = np.where(far, difference, 0.0)
        found = 0.5 * excess(gap / large) + _series_bregman(large, gap, _BESSEL, 1)
        if near.any():
            inside, gap = np.where(near, a, 0.0), np.where(near, difference, 0.0)
            found = np.where(near, _by_panels(_bessel_curvature, inside, gap, 1.5), found)
        apart = scaled_log_bessel(b) - scaled_log_bessel(a) + difference * bessel_ratio_rest(a)
        return np.asarray(np.where(wide, apart, found))


# --- log(sinh(x/2)/(x/2)) -------------------------------------------------------------------------

_SINH_FAR = 48.0
# 1/x² − 1/(4 sinh²(x/2)) = −Σ (2m + 1) B₂ₘ₊₂/(2m + 2)! x^2m, up to the sign: f″ near 0.
_SINH = [
    1 / 12,
    -1 / 240,
    1 / 6048,
    -1 / 172800,
    1 / 5322240,
    -691 / 118879488000,
    1 / 5748019200,
    -3617 / 711374856192000,
    43867 / 300361133850624000,
]


def _sinh_curvature(x: Floats) -> Floats:
    x = np.abs(x)
    near = x < 0.75
    inside = np.where(near, x, 0.0) ** 2
    series = np.full(np.shape(x), _SINH[-1])
    for coefficient in _SINH[-2::-1]:
        series = series * inside + coefficient
    far = 1.0 / x**2 - 0.25 / np.sinh(np.minimum(x, 700.0) / 2) ** 2
    return np.asarray(np.where(near, series, far))


def sinh_bregman(a: Floats, difference: Floats) -> Floats:
    """B of log(sinh(x/2)/(x/2)) from a to a + difference."""
    a, difference = np.broadcast_arrays(
        np.asarray(a, np.float64), np.asarray(difference, np.float64)
    )
    with np.errstate(all="ignore"):
        b = a + difference
        # There f is |x|/2 − log|x|, to the last digit.
        far = (np.minimum(np.abs(a), np.abs(b)) > _SINH_FAR) & (a * b > 0)
        wide = ~far & (np.abs(difference) > 3 * _SINH_FAR)
        near = ~far & ~wide
        found = ratio_excess(np.abs(b), np.abs(a), np.abs(b) - np.abs(a))
        found = np.where(far, excess(difference / a), found)
        if near.any():
            inside, gap = np.where(near, a, 0.0), np.where(near, difference, 0.0)
            found = np.where(near, _by_panels(_sinh_curvature, inside, gap, 3.0), found)
        apart = _log_sinh(b) - _log_sinh(a) - difference * _log_sinh_slope(a)
        return np.asarray(np.where(wide, apart, found))


def _log_sinh(x: Floats) -> Floats:
    x = np.abs(x)
    return np.asarray(np.where(x == 0, 0.0, x / 2 + np.log(-np.expm1(-x) / x)))


def _log_sinh_slope(x: Floats) -> Floats:
    small = np.abs(x) < 1e-4
    inside = np.where(small, 1.0, x)
    return np.asarray(np.where(small, x / 12, 0.5 / np.tanh(inside / 2) - 1.0 / inside))
