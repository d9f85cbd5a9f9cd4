"""References of about 30 digits for whole arrays: numbers as unevaluated sums of two doubles.

For rows, and numbers of rows, that mpmath is too slow for. Written from the definitions like
`reference`, against which ``test_contract_numerics`` checks it. Range: from 2^-400 to 2^400, but
for the arguments of `exp`, and 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Array = np.ndarray
SPLITTER = 2.0**27 + 1


def _fast_sum(a: Array, b: Array) -> DoubleDouble:
    total = a + b
    return DoubleDouble(total, b - (total - a))


def _sum(a: Array, b: Array) -> DoubleDouble:
    total = a + b
    back = total - a
    return DoubleDouble(total, (a - (total - back)) + (b - back))


def _halves(a: Array) -> tuple[Array, Array]:
    large = a * SPLITTER
    high = large - (large - a)
    return high, a - high


def _product(a: Array, b: Array) -> DoubleDouble:
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return DoubleDouble(product, rest)


class DoubleDouble(NamedTuple):
    """high + low, where low is nothing beside high."""

    high: Array
    low: Array

    def __add__(self, other: DoubleDouble | float) -> DoubleDouble:  # type: ignore[override]
        other = dd(other)
        total, rest = _sum(self.high, other.high), _sum(self.low, other.low)
        total = _fast_sum(total.high, total.low + rest.high)
        return _fast_sum(total.high, total.low + rest.low)

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.high, -self.low)

    def __sub__(self, other: DoubleDouble | float) -> DoubleDouble:
        return self + -dd(other)

    def __mul__(self, other: DoubleDouble | float) -> DoubleDouble:  # type: ignore[override]
        other = dd(other)
        product = _product(self.high, other.high)
        return _fast_sum(
            product.high, product.low + (self.high * other.low + self.low * other.high)
        )

    def __truediv__(self, other: DoubleDouble | float) -> DoubleDouble:
        other = dd(other)
        first = dd(self.high / other.high)
        rest = self - other * first
        second = dd(rest.high / other.high)
        third = (rest - other * second).high / other.high
        return _fast_sum(first.high, second.high) + dd(third)

    def scaled(self, by: float | Array) -> DoubleDouble:
        """Times a power of two."""
        return DoubleDouble(self.high * by, self.low * by)

    def where(self, condition: Array, other: DoubleDouble | float) -> DoubleDouble:
        """Take `other` where the condition does not hold."""
        other = dd(other)
        return DoubleDouble(
            np.where(condition, self.high, other.high), np.where(condition, self.low, other.low)
        )

    def __abs__(self) -> DoubleDouble:
        return self.where(self.high >= 0, -self)

    def __getitem__(self, at: object) -> DoubleDouble:  # type: ignore[override]
        return DoubleDouble(self.high[at], self.low[at])


def dd(x: DoubleDouble | float | Array) -> DoubleDouble:
    if isinstance(x, DoubleDouble):
        return x
    x = np.asarray(x, np.float64)
    return DoubleDouble(x, np.zeros_like(x))


def sqrt(x: DoubleDouble) -> DoubleDouble:
    root = np.sqrt(np.where(x.high > 0, x.high, 1.0))
    rest = (x - _product(root, root)).high
    return _fast_sum(root, rest / (2 * root)).where(x.high > 0, 0.0)


LOG2 = DoubleDouble(
    np.float64(float.fromhex("0x1.62e42fefa39efp-1")),
    np.float64(float.fromhex("0x1.abc9e3b39803fp-56")),
)
INVERSE_FACTORIALS = [dd(1.0)]
for _k in range(1, 19):
    INVERSE_FACTORIALS.append(INVERSE_FACTORIALS[-1] / float(_k))


def exp(x: DoubleDouble) -> DoubleDouble:
    """Zero below e^-690, where squares of weights have no double."""
    there = x.high > -690
    x = x.where(there, 0.0)
    n = np.rint(x.high / math.log(2))
    r = (x - LOG2 * dd(n)).scaled(2.0**-5)
    total = INVERSE_FACTORIALS[14]
    for k in range(13, -1, -1):
        total = total * r + INVERSE_FACTORIALS[k]
    for _ in range(5):
        total = total * total
    return total.scaled(np.ldexp(1.0, n.astype(np.int64))).where(there, 0.0)


def log(x: DoubleDouble) -> DoubleDouble:
    """By Newton's rule for its exponential; of positive numbers."""
    first = dd(np.log(x.high))
    return first + (x * exp(-first) - 1.0)


def total(x: DoubleDouble) -> DoubleDouble:
    """The sum along the last axis, in halves."""
    n = x.high.shape[-1]
    padding = [(0, 0)] * (x.high.ndim - 1) + [(0, (1 << (n - 1).bit_length()) - n)]
    x = DoubleDouble(*(np.pad(part, padding) for part in x))
    while (half := x.high.shape[-1] // 2) > 0:
        x = x[..., :half] + x[..., half:]
    return x[..., 0]


def along(x: DoubleDouble) -> DoubleDouble:
    """A number per row as one that goes with every element of the row."""
    return x[..., None]


# --- divergences: rows p and q of weights, of whatever sums ---------------------------------------


def _kl_terms(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    """p log(p/q) - p + q: near q by the series q (r²/(1·2) - r³/(2·3) + ...), r = (p - q)/q."""
    some = (p.high > 0) & (q.high > 0)
    top, bottom = p.where(some, 1.0), q.where(some, 1.0)
    difference = top - bottom
    r = difference / bottom
    near = abs(r.high) < 2.0**-5
    small = r.where(near, 0.0)
    series = dd(np.zeros_like(r.high))
    for k in range(22, 1, -1):
        series = dd((-1.0) ** k) / float(k * (k - 1)) + series * small
    far = top * log((top / bottom).where(~near, 1.0)) - difference
    terms = (bottom * (small * small * series)).where(near, far)
    limit = np.where(p.high > 0, np.inf, q.high)
    return terms.where(some, DoubleDouble(limit, np.where(p.high > 0, 0.0, q.low)))


def _total_or_infinite(terms: DoubleDouble) -> DoubleDouble:
    infinite = np.isinf(terms.high).any(axis=-1)
    return total(terms.where(np.isfinite(terms.high), 0.0)).where(~infinite, np.inf)


def kl_divergence(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    return _total_or_infinite(_kl_terms(p, q))


def reverse_kl_divergence(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    return kl_divergence(q, p)


def jeffreys_divergence(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    there, back = kl_divergence(p, q), kl_divergence(q, p)
    return (there + back).where(np.isfinite(there.high) & np.isfinite(back.high), np.inf)


def js_divergence(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    mean = (p + q).scaled(0.5)
    return (kl_divergence(p, mean) + kl_divergence(q, mean)).scaled(0.5)


def total_variation(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    return total(abs(p - q)).scaled(0.5)


def squared_hellinger(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    roots = sqrt(p) + sqrt(q)
    root = (p - q) / roots.where(roots.high > 0, 1.0)
    return total(root * root).scaled(0.5)


def hellinger_distance(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    return sqrt(squared_hellinger(p, q))


def js_distance(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    return sqrt(js_divergence(p, q))


def chi2_divergence(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    difference, some = p - q, q.high > 0
    terms = difference * (difference / q.where(some, 1.0))
    return _total_or_infinite(terms.where(some, np.where(p.high > 0, np.inf, 0.0)))


def neyman_divergence(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    return chi2_divergence(q, p)


def triangular_discrimination(p: DoubleDouble, q: DoubleDouble) -> DoubleDouble:
    difference, both = p - q, p + q
    return total(difference * (difference / both.where(both.high > 0, 1.0)))


DIVERGENCES = {
    f.__name__: f
    for f in (
        kl_divergence,
        reverse_kl_divergence,
        jeffreys_divergence,
        js_divergence,
        js_distance,
        total_variation,
        squared_hellinger,
        hellinger_distance,
        chi2_divergence,
        neyman_divergence,
        triangular_discrimination,
    )
}


def normalised(p: DoubleDouble) -> DoubleDouble:
    return p / along(total(p))


# --- logits ---------------------------------------------------------------------------------------


class Softmax(NamedTuple):
    """What rows of logits say: probabilities, their logarithms, and the log-sum-exp."""

    p: DoubleDouble
    log_p: DoubleDouble
    logsumexp: DoubleDouble


def softmax(logits: Array) -> Softmax:
    """Of rows with at least one number that is not −inf."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=-1)
    argmax = wide.argmax(axis=-1)
    there = np.isfinite(wide)
    shifted = _sum(np.where(there, wide, 0.0), -np.where(there, top[..., None], 0.0))
    weights = exp(shifted).where(there, 0.0)
    others = weights.high.copy()
    np.put_along_axis(others, argmax[..., None], 0.0, axis=-1)
    rest = total(DoubleDouble(others, np.where(others == 0, 0.0, weights.low)))
    log_z = _log1p(rest)
    log_p = (shifted - along(log_z)).where(there, -np.inf)
    return Softmax(weights / along(rest + 1.0), log_p, log_z + top)


def _log1p(x: DoubleDouble) -> DoubleDouble:
    """Of x ≥ 0: tiny ones by the series."""
    tiny = x.high < 2.0**-20
    small = x.where(tiny, 0.0)
    series = dd(np.zeros_like(x.high))
    for k in range(6, 0, -1):
        series = dd((-1.0) ** (k - 1)) / float(k) + series * small
    return (small * series).where(tiny, log(x.where(~tiny, 1.0) + 1.0))


def entropy(s: Softmax) -> DoubleDouble:
    there = np.isfinite(s.log_p.high)
    return -total(s.p * s.log_p.where(there, 0.0))


def kl_of_logits(s: Softmax, t: Softmax) -> DoubleDouble:
    """KL from s to t, where a probability that underflows still has its logarithm."""
    terms = _kl_terms(s.p, t.p)
    faint = (t.p.high == 0) & np.isfinite(t.log_p.high) & (s.p.high > 0)
    ratio = s.log_p.where(faint, 0.0) - t.log_p.where(faint, 0.0)
    return _total_or_infinite((s.p * ratio - s.p).where(faint, terms))
