r"""Bregman divergences of the functions that log-partitions are made of, without cancellation.

.. math:: B_f(a \to b) = f(b) - f(a) - (b - a) f'(a) \ge 0 \quad\text{for convex } f

Near b = a this is of the size (b − a)², of which the difference of three numbers has no digit.
Every function here is a sum of terms ≥ 0, or one in which nothing cancels but a factor of about 3:

1. ``excess``: u − 1 − log u = x − log(1 + x) of u = 1 + x, by the series of artanh(x/(2 + x)).
2. ``gamma_bregman``: f = log Γ. Since log Γ(x) = log Γ(x + 1) − log x, each step from x to x + 1 is
   one ``excess``; from 12 on log Γ(x) = x log x − x − (log x)/2 + Binet(x) + constant.
3. ``gamma_beyond_entropy``: f = h = log Γ(x) − x log x + x, what is left of log Γ beside a
   Poisson's entropy; its step is (x + 1) log(1 + 1/x) − 1. ``digamma_bregman``: f = −ψ, by 1/x.
4. ``beta_bregman``: log Γ of both less that of their sum, by 3 or by the integral of −ψ.
5. ``bessel_bregman``: f = log I₀. f″ = E[1/(K + 1)²]/2 with the weights (2k)!/k!⁴ (x/2)²ᵏ of I₀²,
   by Gauss-Legendre; from 30 on log I₀(x) = x − (log 2πx)/2 + a series in 1/x.
6. ``sinh_bregman``: f = log(sinh(x/2)/(x/2)), by Gauss-Legendre again, or from exponentials.

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
    "SERIES",
    "bessel_bregman",
    "bessel_ratio",
    "beta_bregman",
    "binet",
    "digamma_bregman",
    "digamma_difference",
    "excess",
    "exp_beyond_line",
    "factorial_rest",
    "from_special",
    "gamma_beyond_entropy",
    "gamma_bregman",
    "log_ratio",
    "log_sinh",
    "log_sinh_slope",
    "logistic",
    "logit",
    "multivariate_gamma_rest",
    "product_difference",
    "ratio_excess",
    "scaled_log_bessel",
    "sinh_bregman",
    "sinh_curvature",
    "sum_with_rest",
    "times_log",
]

Floats = NDArray[np.float64]
Parts = tuple[Floats, Floats]  # a number, and what rounding has taken from it
Pair = tuple[Parts, Parts]

_ARTANH = [1 / (2 * k + 3) for k in range(18)]
# B₂ₘ / (2m (2m − 1)): Binet's function is Σ of them x^(1 − 2m).
_BINET = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400]
SERIES = 12.0
_LEAST = 2.0**-1022
_SPLIT = 2.0**27 + 1
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
        far = u - 1.0 - _log_of_ratio(u, above, below)
        return np.asarray(np.where(u < 0.5, far, excess(x)))


def _log_of_ratio(u: Floats, above: Floats, below: Floats) -> Floats:
    """Log u of u = above/below, which may have left the range of doubles or their digits."""
    left = ~((u > _LEAST) & (u < np.inf)) & (above > 0) & (below > 0)
    return np.where(left, np.log(above) - np.log(below), np.log(u))


def product_difference(a: Floats, d: Floats, b: Floats, c: Floats) -> Floats:
    """Return a d − b c, with its digits where the products are near each other."""
    with np.errstate(all="ignore"):
        p, q = a * d, b * c
        return np.asarray((p - q) + (_rounding(a, d, p) - _rounding(b, c, q)))


def _rounding(x: Floats, y: Floats, product: Floats) -> Floats:
    """X y − product exactly, by halves of the numbers' digits (Dekker)."""
    x_high, y_high = ((_SPLIT * v) - (_SPLIT * v - v) for v in (x, y))
    x_low, y_low = x - x_high, y - y_high
    rest = (x_high * y_high - product) + x_high * y_low + x_low * y_high
    return np.asarray(rest + x_low * y_low)


def sum_with_rest(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """X + y, and what rounding has taken from it (Knuth)."""
    whole = x + y
    back = whole - x
    return whole, (x - (whole - back)) + (y - back)


def log_ratio(above: Floats, below: Floats, difference: Floats | None = None) -> Floats:
    """Log(above/below)."""
    with np.errstate(all="ignore"):
        u = above / below
        x = ((above - below) if difference is None else difference) / below
        far = _log_of_ratio(u, np.asarray(above), np.asarray(below))
        return np.asarray(np.where(np.abs(x) < 0.5, np.log1p(x), far))


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
    return np.where(d == np.inf, d, kl_samples(np.zeros(np.shape(d)), d, kind="k3"))


def _power_bregman(a: Floats, b: Floats, difference: Floats, power: int) -> Floats:
    """B of x^−m from a to b."""
    u, x, v = b / a, difference / a, log_ratio(b, a, difference)
    # (1 + x)^−m − 1 + m x, of which nothing is lost near b = a.
    near = a**-power * (exp_beyond_line(-power * v) + power * ratio_excess(b, a, difference))
    return np.where(u < 0.5, b**-power + a**-power * (power * x - 1.0), near)


def _series_bregman(
    a: Floats, b: Floats, difference: Floats, coefficients: list[float], first: int, step: int
) -> Floats:
    """B of Σ cₘ x^−(first + step·m): the terms fall fast, so their signs do not matter."""
    found = np.zeros(np.shape(a))
    for m in reversed(range(len(coefficients))):
        power = first + step * m
        found = found + coefficients[m] * _power_bregman(a, b, difference, power)
    return found


def _gamma_tail(a: Floats, b: Floats, difference: Floats) -> Floats:
    """B of −(log x)/2 + Binet(x)."""
    logs = 0.5 * ratio_excess(b, a, difference)
    return logs + _series_bregman(a, b, difference, _BINET, 1, 2)


def _shifted(
    a: Floats,
    b: Floats,
    difference: Floats | None,
    step: Callable[[Floats, Floats, Floats], Floats],
) -> tuple[Floats, Floats, Floats, Floats]:
    """Sum of the steps that take both to `SERIES` or beyond, and where they are then."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    difference = b - a if difference is None else np.broadcast_to(difference, a.shape)
    found = np.zeros(np.shape(a))
    steps = np.ceil(np.clip(SERIES - np.minimum(a, b), 0.0, SERIES))
    # The smallest steps first: no digit of theirs is lost to the largest.
    for n in reversed(range(int(np.max(np.where(np.isnan(steps), 0.0, steps), initial=0.0)))):
        more = step(a + n, b + n, difference)
        found = found + np.where(n < steps, more, 0.0)
    return found, a + steps, b + steps, difference


def gamma_bregman(a: Floats, b: Floats, difference: Floats | None = None) -> Floats:
    """B of log Γ from a to b, both positive: log Γ(b) − log Γ(a) − (b − a) ψ(a)."""
    with np.errstate(all="ignore"):
        found, a, b, difference = _shifted(a, b, difference, lambda x, y, d: ratio_excess(y, x, d))
        # B of x log x − x is b times the excess of a/b.
        entropy = b * ratio_excess(a, b, -difference)
        return np.asarray(_gamma_tail(a, b, difference) + entropy + found)


def gamma_beyond_entropy(a: Floats, b: Floats, difference: Floats | None = None) -> Floats:
    """B of log Γ(x) − x log x + x from a to b, both positive."""

    def step(x: Floats, y: Floats, d: Floats) -> Floats:
        w = d / ((x + 1.0) * y)
        near = d / (x * (x + 1.0)) * (d / y) - (y + 1.0) * excess(-w)
        # 1 − w = x (y + 1) / (y (x + 1)), of which w has no digit if it is tiny or large.
        far = d / x + (y + 1.0) * log_ratio(x / (x + 1.0), y / (y + 1.0))
        return np.where(np.abs(w) < 0.5, near, far)

    with np.errstate(all="ignore"):
        found, a, b, difference = _shifted(a, b, difference, step)
        return np.asarray(_gamma_tail(a, b, difference) + found)


# ψ(x) − log x + 1/(2x) = −Σ B₂ₘ/(2m) x^(−2m).
_DIGAMMA = [-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12, 3617 / 8160]


def binet(x: Floats) -> tuple[Floats, Floats]:
    """Binet's function less 1/(12x), and x times its derivative's rest, both from `SERIES` on."""
    value, slope = np.zeros(np.shape(x)), np.zeros(np.shape(x))
    for m in reversed(range(1, len(_BINET))):
        term = _BINET[m] * x ** -(2.0 * m + 1)
        value, slope = value + term, slope - (2 * m + 1) * term
    return value, slope


def factorial_rest(x: Floats) -> Floats:
    """Log x! − (x + ½) log x + x − ½ log 2π of x > 0."""
    with np.errstate(all="ignore"):
        direct = from_special("gammaln")(x + 1) - times_log(x + 0.5, x) + x
        far = 1 / (12 * x) + binet(x)[0]
        return np.asarray(np.where(x < SERIES, direct - 0.5 * math.log(2 * math.pi), far))


def digamma_bregman(a: Floats, b: Floats, difference: Floats) -> Floats:
    """B of −ψ from a to b, both positive."""
    with np.errstate(all="ignore"):
        found, a, b, difference = _shifted(a, b, difference, lambda x, y, d: d / x * (d / x) / y)
        tail = ratio_excess(b, a, difference) + 0.5 * _power_bregman(a, b, difference, 1)
        falling = [-c for c in _DIGAMMA]
        return np.asarray(_series_bregman(a, b, difference, falling, 2, 2) + tail + found)


def digamma_difference(a: Floats, b: Floats, difference: Floats) -> Floats:
    """ψ(b) − ψ(a), both positive."""
    with np.errstate(all="ignore"):
        found, a, b, difference = _shifted(a, b, difference, lambda x, y, d: d / x / y)
        v = log_ratio(b, a, difference)
        rest = 0.5 * difference / a / b
        for m in reversed(range(len(_DIGAMMA))):
            power = 2.0 * m + 2.0
            rest = rest + _DIGAMMA[m] * np.where(
                v < -0.5, b**-power - a**-power, a**-power * np.expm1(-power * v)
            )
        return np.asarray(rest + v + found)


def beta_bregman(p: Pair, q: Pair, t: Floats) -> Floats:
    """B of log Γ(x) + log Γ(y) − log Γ(x + y) from p = (a, b) to a part t of the way to q = (c, d).

    log Γ = h + (x log x − x), of whose sums a divergence of two categories is left. Where y is
    small beside x, h(x) and h(x + y) cancel: then by way of (c, b), and of −ψ from a to a + b.
    """
    turn = p[1][0] > p[0][0]
    (a, a_low), (b, b_low) = _turned(p, turn)
    (to_c, c_low), (to_d, d_low) = _turned(q, turn)
    with np.errstate(all="ignore"):
        s, to_s, unit, to_unit = a + b, to_c + to_d, -np.frexp(a + b)[1], -np.frexp(to_c + to_d)[1]
        da, db = t * ((to_c - a) + (c_low - a_low)), t * ((to_d - b) + (d_low - b_low))
        c, d = np.where(t == 1, to_c, a + da), np.where(t == 1, to_d, b + db)
        # a/(a + b) − c/(c + d), times (a + b)(c + d) in units in which it is in range
        mine = [np.ldexp(x, unit) for x in (a, a_low, b, b_low)]
        others = [np.ldexp(x, to_unit) for x in (to_c, c_low, to_d, d_low)]
        beside = product_difference(mine[0], others[2], mine[2], others[0])
        beside = beside + (mine[0] * others[3] + mine[1] * others[2])
        beside = beside - (mine[2] * others[1] + mine[3] * others[0])
        beside = t * beside / (np.ldexp(s, unit) * np.ldexp(to_s, to_unit)) * (to_s / (c + d))
        shares = c * ratio_excess(a / s, c / (c + d), beside)
        shares = shares + d * ratio_excess(b / s, d / (c + d), -beside)
        each = gamma_beyond_entropy(a, c, da) + gamma_beyond_entropy(b, d, db)
        both = gamma_beyond_entropy(s, c + d, da + db)
        found = each - both + shares
        kept = found / (each + both + shares)
        lost = (kept < 1 / 8) & (c >= d) & (b <= 2 * c)
        if not lost.any():
            return np.asarray(found)
        a, b, c, d = (np.where(lost, x, 0.5) for x in (a, b, c, d))
        da, db = (np.where(lost, x, 0.0) for x in (da, db))
        axis = (-1, *(1,) * np.ndim(a))
        more = 0.5 * (_NODES.reshape(axis) + 1.0) * b
        along = digamma_bregman(a + more, c + more, np.broadcast_to(da, more.shape))
        first = b * (0.5 * _WEIGHTS.reshape(axis) * along).sum(axis=0)
        second, less = gamma_bregman(b, d, db), gamma_bregman(c + b, c + d, db)
        turned = db * digamma_difference(a + b, c + b, da)
        other = first + second - less - turned
        better = lost & (other > kept * (first + second + less + np.abs(turned)))
        return np.asarray(np.where(better, other, found))


def _turned(pair: Pair, turn: NDArray[np.bool_]) -> Pair:
    (x, x_low), (y, y_low) = pair
    return (
        (np.where(turn, y, x), np.where(turn, y_low, x_low)),
        (np.where(turn, x, y), np.where(turn, x_low, y_low)),
    )


def multivariate_gamma_rest(a: Floats, b: Floats, k: int) -> Floats:
    """B of log Γ_k(x) − k (x log x − x) from a to b, both above (k − 1)/2."""
    found = np.zeros(np.broadcast(a, b).shape)
    with np.errstate(all="ignore"):
        difference = b - a
        for j in range(k):
            c = j / 2
            found = found + gamma_beyond_entropy(a - c, b - c, difference)
            # (x − c) log(x − c) − x log x = x log(1 − c/x) − c log(x − c)
            spread = ratio_excess(a * (b - c), b * (a - c), c * difference)
            found = found + c * ratio_excess(b - c, a - c, difference) - b * spread
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
    curvature: Callable[[Floats], Floats],
    a: Floats,
    difference: Floats,
    length: float,
    beyond: Floats | float = 0.0,
) -> Floats:
    """B from f″: d ∫ (d (1 − u) + beyond) f″(a + u d) du, of which `beyond` is for a longer way."""
    farthest = np.max(np.where(np.isnan(difference), 0.0, np.abs(difference)), initial=0.0)
    panels = max(1, int(np.ceil(farthest / length)))
    found = np.zeros(np.shape(a))
    axis = (-1, *(1,) * np.ndim(a))
    nodes, weights = (_NODES + 1.0).reshape(axis), _WEIGHTS.reshape(axis)
    for panel in range(panels):
        u = (panel + 0.5 * nodes) / panels
        part = weights * (difference * (1.0 - u) + beyond) * curvature(a + u * difference)
        found = found + part.sum(axis=0)
    return difference * found * (0.5 / panels)


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


def bessel_ratio(x: Floats) -> Floats:
    """I₁(x)/I₀(x)."""
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        rest = 0.5 / x
        for m in range(len(_BESSEL)):
            rest = rest + (m + 1) * _BESSEL[m] * x ** -(m + 2.0)
        inside = np.minimum(x, _BESSEL_FAR)
        term, whole, part = np.ones(x.shape), np.ones(x.shape), np.ones(x.shape)
        for k in range(1, 90):
            term = term * (inside / (2 * k)) ** 2
            whole, part = whole + term, part + term / (k + 1)
        return np.asarray(np.where(x > _BESSEL_FAR, 1.0 - rest, inside / 2 * part / whole))


def _far_bessel_slopes(a: Floats, b: Floats) -> Floats:
    """F′(b) − f′(a) of f = log I₀, both beyond `_BESSEL_FAR`."""
    v = log_ratio(b, a)
    found = -0.5 / a * np.expm1(-v)
    for m in range(len(_BESSEL)):
        found = found - (m + 1) * _BESSEL[m] * a ** -(m + 2.0) * np.expm1(-(m + 2.0) * v)
    return np.asarray(found)


def bessel_bregman(a: Floats, b: Floats, difference: Floats | None = None) -> Floats:
    """B of log I₀ from a to b, both ≥ 0.

    By f″ up to `_BESSEL_FAR`, c, and by the series beyond: for b beyond c > a the parts are
    ∫ (b − t) f″(t) dt to c and B from c to b; for a beyond they are B from a to c,
    (c − b)(f′(a) − f′(c)) and B from c to b. All are positive.
    """
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    with np.errstate(all="ignore"):
        difference = b - a if difference is None else np.broadcast_to(difference, a.shape)
        c = _BESSEL_FAR
        from_far, to_far = a > c, b > c
        start, end = np.where(from_far, a, c), np.where(to_far, b, c)
        gap = np.where(from_far & to_far, difference, end - start)
        found = 0.5 * ratio_excess(end, start, gap)
        found = found + _series_bregman(start, end, gap, _BESSEL, 1, 1)
        down = from_far & ~to_far
        found = np.where(down, found + (c - b) * _far_bessel_slopes(np.full((), c), start), found)
        inside = ~(from_far & to_far)
        if inside.any():
            first = np.where(inside & ~from_far, a, c)
            last = np.where(inside & ~to_far, b, c)
            gap = np.where(from_far | to_far, last - first, difference)
            beyond = np.where(to_far & ~from_far, b - c, 0.0)
            found = found + _by_panels(
                _bessel_curvature, first, np.where(inside, gap, 0.0), 2.5, beyond
            )
        return np.asarray(np.where(np.isnan(a) | np.isnan(b), np.nan, found))


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


def sinh_curvature(x: Floats) -> Floats:
    """F″ of f = log(sinh(x/2)/(x/2))."""
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
            found = np.where(near, _by_panels(sinh_curvature, inside, gap, 3.0), found)
        apart = log_sinh(b) - log_sinh(a) - difference * log_sinh_slope(a)
        return np.asarray(np.where(wide, apart, found))


def log_sinh(x: Floats) -> Floats:
    """Log(sinh(x/2)/(x/2))."""
    x = np.abs(x)
    near = x < 0.75
    square = np.where(near, x, 0.0) ** 2
    series = np.zeros(np.shape(x))
    for m in reversed(range(len(_SINH))):
        series = series * square + _SINH[m] / ((2 * m + 1) * (2 * m + 2))
    beyond = np.where(near, 1.0, x)
    far = beyond / 2 + np.log(-np.expm1(-beyond) / beyond)
    return np.asarray(np.where(near, square * series, far))


def log_sinh_slope(x: Floats) -> Floats:
    """F′ of f = log(sinh(x/2)/(x/2))."""
    near = np.abs(x) < 0.75
    inside = np.where(near, x, 0.0)
    square = inside * inside
    series = np.zeros(np.shape(x))
    for m in reversed(range(len(_SINH))):
        series = series * square + _SINH[m] / (2 * m + 1)
    beyond = np.where(near, 1.0, x)
    return np.asarray(np.where(near, inside * series, 0.5 / np.tanh(beyond / 2) - 1.0 / beyond))
