"""What some divergences of a pair (P, Q) imply for another: the table of inequalities, and its use.

`INEQUALITIES` is the table, one line per inequality; `interval` and `intervals` propagate what is
known through it until nothing narrows.  Nats throughout, H² = 1 − Σ√(pq), LC = ½Σ(p−q)²/(p+q),
J = KL + KL(Q‖P), B = −ln(1−H²).  Each line is read in both directions: g(A) ≤ C bounds C from below
and A from above.  Lines that mean another thing for (Q, P) are mirrored, not written twice.

Rounding.  Each step is loosened by 16 ulp, so an end errs outward, and is the exact one of inputs
moved by 16 ulp per step of its chain.  That is a relative 1e-14 or so, but for ends inferred from a
quantity within about 1e-3 of the end of its range (TV, H², LC → 1, JS → ln 2), whose last digits
are all that says how close P and Q are to disjoint.

Where each comes from
---------------------
- Pinsker: Csiszár, "Information-type measures of difference", Studia Sci. Math. Hungar. 2, 1967.
- Bretagnolle–Huber: "Estimation des densités: risque minimax", Z. Wahrsch. 47, 1979; Tsybakov's
  form, the Hellinger bounds 2H² ≤ −2ln(1−H²) ≤ KL ≤ ln(1+χ²) ≤ χ², and 1−√(1−TV²) ≤ H² ≤ TV (Le
  Cam): "Introduction to Nonparametric Estimation", 2009, section 2.4.
- Vajda: "Note on discrimination information and variation", IEEE Trans. Inf. Theory 16, 1970.
- Gilardoni: "On Pinsker's and Vajda's type inequalities for Csiszár's f-divergences", IEEE Trans.
  Inf. Theory 56, 2010; the tight χ² and J for a given TV, and that a symmetric f-divergence is
  least for ((1−v)/2, (1+v)/2) against its exchange: "On the minimum f-divergence for given total
  variation", C. R. Acad. Sci. Paris 343, 2006.
- Fedotov–Harremoës–Topsøe: "Refinements of Pinsker's inequality", IEEE Trans. Inf. Theory 49, 2003.
  Their curve (TV(t), KL(t)) has the slope 2t, so KL ≥ 2t·TV − (t coth t − 1) − ln(sinh t/t), which
  is how it is computed here.
- Topsøe: "Some inequalities for information divergence and related measures of discrimination",
  IEEE Trans. Inf. Theory 46, 2000 (LC against JS; LC ≤ (χ² + χ²(Q‖P))/8 is his harmonic mean).
- Hermite–Hadamard: ln(p/q)/(p−q) is the mean of 1/x between q and p, at most that of its ends.
- Lin: "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37, 1991.
- Crooks: "Inequalities between the Jenson–Shannon and Jeffreys divergences", tech. note 4, 2008.
- Symmetric hull: TV, LC, JS, H² and J are means of φ(|p−q|/(p+q)) under (P+Q)/2, so the joint range
  of two of them is the convex hull of one curve: the curve bounds one side, its chord the other.
  Two-point pairs suffice for any two f-divergences: Harremoës–Vajda, "On pairs of f-divergences and
  their joint range", IEEE Trans. Inf. Theory 57, 2011.  Restriction (Q conditioned on an event)
  gives LC ≤ χ²/(2+χ²), by Jensen, and JS ≤ ½[(2−w)ln(2/(2−w)) + (1−w)ln(1−w) + w ln 2] with
  w = 1−e^−KL, by this theorem with the two-point pairs checked on a grid.  The least KL for an LC
  (`_triangular`) is the common tangent of that theorem, solved here.
- Sason–Verdú: "f-divergence inequalities", IEEE Trans. Inf. Theory 62, 2016: KL ≤ ½(TV + χ²), those
  with min q, and, for bounded p/q, the ratios of two divergences.
- Binette: "A note on reverse Pinsker inequalities", IEEE Trans. Inf. Theory 65, 2019: those with TV
  and max p/q.
"""

import difflib
import math
import re
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

__all__ = ["INEQUALITIES", "Inequality", "Interval", "interval", "intervals"]

Function = Callable[..., float]
Known = float | tuple[float, float]

INF = math.inf
LN2 = math.log(2)
LN2_REST = 2.3190468138462996e-17  # ln 2 − LN2
ROUNDING = 1e-7  # of given values, as far as one may be from what the others allow
SLACK = 16 * 2.0**-52
TINY = 16 * 5e-324

RANGES: dict[str, tuple[float, float]] = {
    "kl_divergence": (0.0, INF),
    "reverse_kl_divergence": (0.0, INF),
    "jeffreys_divergence": (0.0, INF),
    "js_divergence": (0.0, math.nextafter(LN2, 1)),
    "js_distance": (0.0, math.nextafter(math.sqrt(LN2), 1)),
    "total_variation": (0.0, 1.0),
    "squared_hellinger": (0.0, 1.0),
    "hellinger_distance": (0.0, 1.0),
    "bhattacharyya_distance": (0.0, INF),
    "chi2_divergence": (0.0, INF),
    "neyman_divergence": (0.0, INF),
    "triangular_discrimination": (0.0, 2.0),
    "min_q": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "max_ratio": (1.0, INF),
    "max_reverse_ratio": (1.0, INF),
}
# What they are where P = Q, and nowhere else.
EQUAL = {name: least for name, (least, _) in RANGES.items() if not name.startswith("min")}
ALIASES = {
    "kl": "kl_divergence",
    "reverse_kl": "reverse_kl_divergence",
    "jeffreys": "jeffreys_divergence",
    "js": "js_divergence",
    "tv": "total_variation",
    "h2": "squared_hellinger",
    "hellinger": "hellinger_distance",
    "bhattacharyya": "bhattacharyya_distance",
    "chi2": "chi2_divergence",
    "neyman": "neyman_divergence",
    "triangular": "triangular_discrimination",
}
MIRRORED = {
    "kl_divergence": "reverse_kl_divergence",
    "chi2_divergence": "neyman_divergence",
    "min_q": "min_p",
    "max_ratio": "max_reverse_ratio",
    "KL": "KL(Q‖P)",
    "χ²": "χ²(Q‖P)",
    "min q": "min p",
    "max p/q": "max q/p",
}
MIRRORED |= {there: here for here, there in MIRRORED.items()}
FALLING = {"min_q", "min_p"}  # all other sources raise what they bound


# --- functions, each without cancellation ---------------------------------------------------------


def _atanh_tail(x: float) -> float:
    """(atanh x − x)/x, for |x| < 1."""
    if abs(x) > 0.5:
        return (math.atanh(x) - x) / x
    total, power, y = 0.0, 1.0, x * x
    for k in range(3, 57, 2):
        power *= y
        total += power / k
    return total


def _kl_term(u: float) -> float:
    """Return (u ln u − u + 1)/(u−1)²."""
    x = u - 1
    if abs(x) > 0.5:
        return (u / x * math.log(u) - 1) / x if u else 1.0
    return (1 + (2 * u * _atanh_tail(x / (2 + x)) / x if x else 0.0)) / (2 + x)


def _ratio_of_kls(u: float) -> float:
    """Return (u ln u − u + 1)/(u − 1 − ln u)."""
    return u * _kl_term(u) / _kl_term(1 / u)


def _ratio_slope(b: float) -> float:
    """Return b ln b/(b−1)."""
    return b * math.log1p(b - 1) / (b - 1) if b > 1 else 1.0


def _slope_above(b: float) -> float:
    """Return b ln b/(b−1) − 1."""
    return (b - 1) * _kl_term(b)


def _slope_below(c: float) -> float:
    """Return 1 − ln c/(c−1)."""
    return (c - 1) / c * _kl_term(1 / c) if c < INF else 1.0


def _restricted_js(kl: float) -> float:
    """JS of Q conditioned on an event against Q, where KL is −ln Q(event)."""
    w = -math.expm1(-kl)
    rest = -(2 - w) * math.log1p(-w / 2)
    return (rest - math.exp(-kl) * (kl if kl < INF else 0.0) + w * LN2) / 2


@cache
def _coth_series() -> list[float]:
    """Coefficients of t^2n in t coth t − 1, exact before their one rounding."""
    found = [Fraction(1)]
    for n in range(1, 24):
        seen = sum(b / math.factorial(2 * (n - k) + 1) for k, b in enumerate(found))
        found.append(Fraction(1, math.factorial(2 * n)) - seen)
    return [float(b) for b in found[1:]]


def _is_left_of(t: float, v: float) -> bool:
    """Whether the total variation at the parameter t of the curve is below v."""
    if t < 1:
        square = t * t
        return (t / 2) * (1 - square * _polynomial(_coth_series(), square) ** 2) < v
    rest = 2 / math.expm1(2 * t) if t < 300 else 0.0
    return 1 / (2 * t) + (t - 1) * rest + t * rest * rest / 2 > 1 - v


def _polynomial(coefficients: list[float], y: float) -> float:
    total = 0.0
    for c in reversed(coefficients):
        total = total * y + c
    return total


@cache
def _fedotov_series() -> list[float]:
    """Coefficients of t^2n in t coth t − 1 + ln(sinh t/t)."""
    return [b * (1 + 1 / (2 * n)) for n, b in enumerate(_coth_series(), 1)]


def _fedotov(v: float) -> float:
    """Least KL for a total variation v; any t would do, so a rough root costs nothing."""
    if v in (0.0, 1.0):
        return INF if v else 0.0
    low, high = 2 * v, 2 * v / (1 - v)
    while high - low > 1e-9 * low:
        middle = (low + high) / 2 if high < 2 * low else math.sqrt(low) * math.sqrt(high)
        if _is_left_of(middle, v):
            low = middle
        else:
            high = middle
    t = low
    if t < 1:
        return 2 * t * v - t * t * _polynomial(_fedotov_series(), t * t)
    rest = 2 * t / math.expm1(2 * t) if t < 300 else 0.0
    return math.log(2 * t) + (1 - 2 * t * (1 - v)) - rest - math.log1p(-math.exp(-2 * t))


def _ratios_of_triangular(x: float) -> tuple[float, float]:
    """Return the two values a < 1 < b of p/q that make KL least for some LC; b/a is e^2x."""
    e = math.exp(-2 * x)
    b = 2 * (x * (1 + e) - (1 - e)) / ((1 - e * e) - 4 * e * x)
    return b * e, b


@cache
def _start_of_triangular() -> float:
    """Where b = 1: of LC = 0."""
    return _smallest(lambda x: _ratios_of_triangular(x)[1], 1.0, 0.5, 4.0)


def _triangular(d: float) -> float:
    """Least KL for a triangular discrimination d; as for `_fedotov`, any x would do.

    For each x there are λ and k such that λ u ln u + 2u/(1+u) ≥ 1 + k + (…)(u−1), with equality at
    a and b; its mean under Q is KL ≥ (LC + k)/λ.
    """
    if d >= 2:
        return INF
    lc, rest, start = d / 2, 1 - d / 2, _start_of_triangular()
    low, high = start + 0.99 * lc / rest, start + 3.8 * lc / rest
    # Where LC is below the spacing of x, the curve is its tangent.
    while lc > 1e-17 and high - low > 1e-9 * (low - start):
        middle = (low + high) / 2 if high < 2 * low else math.sqrt(low) * math.sqrt(high)
        if not low < middle < high:
            break
        a, b = _ratios_of_triangular(middle)
        if lc < 0.5:
            there = (b - 1) * (1 - a) / (b - a) * ((1 - a) / (1 + a) + (b - 1) / (b + 1)) / 2
            left = there < lc
        else:
            there = 2 * ((b - 1) * a / (1 + a) + (1 - a) * b / (1 + b)) / (b - a)
            left = there > rest
        low, high = (middle, high) if left else (low, middle)
    a, b = _ratios_of_triangular(low)
    missing = (1 + 2 * b) / (1 + b) ** 2 + (a / (1 + a)) ** 2  # 1 − λ(b−a)/2
    factor = (b - a) / (2 * (1 - missing))  # 1/λ
    if lc < 0.5:
        square = (b - 1) ** 2 if lc > 1e-17 else 0.0
        return factor * (lc + square / (1 + b) ** 2) - square * _kl_term(1 / b) / b
    line = ((1 - a) + (b - 1) * missing) / (1 - missing)
    return math.log(b) + line - factor * (rest + 4 * b / (1 + b) ** 2)


# --- the curve of the symmetric divergences, whose parameter x is artanh(|p−q|/(p+q)) -------------


def _x_of_variation(v: float) -> float:
    return math.atanh(v) if v < 1 else INF


def _x_of_triangular(d: float) -> float:
    root = math.sqrt(d / 2)
    return math.log1p(root) - math.log1p(-d / 2) / 2 if d < 2 else INF


def _x_of_js(js: float) -> float:
    if js > LN2:
        return INF
    if js < 0.3:
        # JS is concave in y = x² and below y/2, so Newton's steps go up to the root,
        # and the one after 1e-9 is the last that counts.
        y, step = 2 * js, js
        while step > 1e-9 * y:
            x = math.sqrt(y)
            step = (js - _js_at(x)) * 2 * math.cosh(x) ** 2
            y += step
        return math.sqrt(y)
    # The logarithm of what is missing to ln 2 is concave: the steps go down to the root.
    missing = (LN2 - js) + LN2_REST
    x, step = 1 - math.log(missing), 1.0
    while step > 1e-9 * x:
        e, here = math.exp(-2 * x), _js_missing(x)
        step = math.log(missing / here) * here * (1 + e) ** 2 / (4 * x * e)
        x -= step
    return x


def _x_of_hellinger(h: float) -> float:
    return 2 * math.asinh(math.sqrt(h / (1 - h) / 2)) if h < 1 else INF


def _x_of_bhattacharyya(b: float) -> float:
    return 2 * math.asinh(math.sqrt(math.expm1(b) / 2)) if b < 700 else b + LN2


def _x_of_jeffreys(j: float) -> float:
    return _smallest(_jeffreys_at, j, 0.0, j / 4 + math.sqrt(j)) if j < INF else INF


def _triangular_at(x: float) -> float:
    return 2 * math.tanh(x) ** 2


def _js_missing(x: float) -> float:
    """Return ln 2 − JS."""
    return 2 * x * math.exp(-2 * x) / (1 + math.exp(-2 * x)) + math.log1p(math.exp(-2 * x))


def _js_at(x: float) -> float:
    if x > 1:
        return LN2 - _js_missing(x) if x < 400 else LN2
    return x * math.tanh(x) - math.log1p(math.sinh(x) ** 2) / 2


def _hellinger_at(x: float) -> float:
    return math.tanh(x) * math.tanh(x / 2)


def _bhattacharyya_at(x: float) -> float:
    if x > 1:
        return x - LN2 + math.log1p(math.exp(-2 * x))
    return math.log1p(math.sinh(x) ** 2) / 2


def _jeffreys_at(x: float) -> float:
    return 4 * x * math.tanh(x)


CURVE: dict[str, tuple[Function, Function]] = {
    "total_variation": (_x_of_variation, math.tanh),
    "triangular_discrimination": (_x_of_triangular, _triangular_at),
    "js_divergence": (_x_of_js, _js_at),
    "squared_hellinger": (_x_of_hellinger, _hellinger_at),
    "bhattacharyya_distance": (_x_of_bhattacharyya, _bhattacharyya_at),
    "jeffreys_divergence": (_x_of_jeffreys, _jeffreys_at),
}


# --- inequalities -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inequality:
    """One line of the table: ``target ≥ function(*sources)``, or ≤.

    Parameters
    ----------
    name : str
        Whose it is, or what it says.
    formula : str
        As it is written in books; nats.
    target, sense, sources : str, {'≥', '≤'}, tuple of str
        Names of quantities, and which way it bounds.
    function : callable
        Of the sources, rising in each of them (falling in `min_q` and `min_p`).
    inverse : callable, optional
        Of the one source of a lower bound; without it the inverse is found by bisection.

    Examples
    --------
    >>> from fastdiv import bounds
    >>> pinsker = next(line for line in bounds.INEQUALITIES if line.name == "Pinsker")
    >>> print(pinsker)
    Pinsker: 2 TV² ≤ KL
    >>> pinsker.target, pinsker.sense, pinsker.sources, pinsker(0.5)
    ('kl_divergence', '≥', ('total_variation',), 0.5)
    """

    name: str
    formula: str
    target: str
    sense: str
    sources: tuple[str, ...]
    function: Function
    inverse: Function | None = None

    def __str__(self) -> str:
        """Return name and formula."""
        return f"{self.name}: {self.formula}"

    def __call__(self, *values: float) -> float:
        """Return the bound: what `target` is at least, or at most, for these sources.

        Parameters
        ----------
        *values : float
            One per source.

        Returns
        -------
        float
            Infinite where the function has a pole, and where an upper bound says nothing.
        """
        try:
            result = self.function(*values)
        except OverflowError:
            return INF if self.sense == "≤" else sys.float_info.max
        except (ValueError, ZeroDivisionError):
            return INF
        if math.isnan(result):
            return INF if self.sense == "≤" else -INF
        return result

    def mirror(self) -> "Inequality | None":
        """Return the same for (Q, P), or None where that is the same.

        Returns
        -------
        Inequality or None
        """
        target, sources = _other(self.target), tuple(_other(s) for s in self.sources)
        if (target, sorted(sources)) == (self.target, sorted(self.sources)):
            return None
        formula = re.sub(
            r"KL\(Q‖P\)|χ²\(Q‖P\)|KL|χ²|min [qp]|max p/q|max q/p",
            lambda found: MIRRORED[found[0]],
            self.formula,
        )
        name = f"{self.name} for (Q, P)"
        return Inequality(name, formula, target, self.sense, sources, self.function, self.inverse)


def _other(quantity: str) -> str:
    return MIRRORED.get(quantity, quantity)


def _at_least(name: str, formula: str, target: str, sources: str, function: Function) -> Inequality:
    return Inequality(name, formula, _full(target), "≥", _all_full(sources), function)


def _at_most(name: str, formula: str, target: str, sources: str, function: Function) -> Inequality:
    return Inequality(name, formula, _full(target), "≤", _all_full(sources), function)


def _equal(
    name: str, formula: str, target: str, sources: str, function: Function
) -> list[Inequality]:
    return [way(name, formula, target, sources, function) for way in (_at_least, _at_most)]


def _curve(name: str, formula: str, target: str, source: str) -> Inequality:
    """Bound the steeper of two symmetric divergences by their common curve."""
    (x_of_source, source_at), (x_of_target, target_at) = CURVE[_full(source)], CURVE[_full(target)]
    return Inequality(
        name,
        formula,
        _full(target),
        "≥",
        _all_full(source),
        lambda value: target_at(x_of_source(value)),
        lambda value: source_at(x_of_target(value)),
    )


def _full(name: str) -> str:
    return ALIASES.get(name, name)


def _all_full(names: str) -> tuple[str, ...]:
    return tuple(_full(name) for name in names.split())


# fmt: off
# ruff: noqa: E501
_LINES: list[Inequality] = [
    # Identities.
    *_equal("sum", "J = KL + KL(Q‖P)", "jeffreys", "kl reverse_kl", lambda a, b: a + b),
    *_equal("square", "JS = (JS distance)²", "js", "js_distance", lambda d: d * d),
    *_equal("square", "H² = (Hellinger distance)²", "h2", "hellinger", lambda d: d * d),
    *_equal("affinity", "B = −ln(1−H²)", "bhattacharyya", "h2", lambda h: -math.log1p(-h)),
    # Tight, between symmetric divergences: a curve on one side, its chord on the other.
    _curve("symmetric hull", "TV² ≤ LC", "triangular", "tv"),
    _curve("symmetric hull", "½[(1+TV)ln(1+TV) + (1−TV)ln(1−TV)] ≤ JS", "js", "tv"),
    _curve("Le Cam", "1−√(1−TV²) ≤ H²", "h2", "tv"),
    _curve("Gilardoni", "2TV ln((1+TV)/(1−TV)) ≤ J", "jeffreys", "tv"),
    _curve("symmetric hull", "½[(1+s)ln(1+s) + (1−s)ln(1−s)] ≤ JS, s² = LC", "js", "triangular"),
    _curve("symmetric hull", "1−√(1−LC) ≤ H²", "h2", "triangular"),
    _curve("symmetric hull", "2s ln((1+s)/(1−s)) ≤ J, s² = LC", "jeffreys", "triangular"),
    _curve("symmetric hull", "JS ≤ x tanh x − ln cosh x, cosh x = 1/(1−H²)", "h2", "js"),
    _curve("symmetric hull", "JS ≤ x tanh x − ln cosh x, J = 4x tanh x", "jeffreys", "js"),
    _curve("symmetric hull", "4x tanh x ≤ J, cosh x = e^B", "jeffreys", "bhattacharyya"),
    _at_most("chord", "LC ≤ TV", "triangular", "tv", lambda v: 2 * v),
    _at_most("chord", "JS ≤ ln 2·TV", "js", "tv", lambda v: LN2 * v),
    _at_most("Le Cam", "H² ≤ TV", "h2", "tv", lambda v: v),
    _at_most("Topsøe", "JS ≤ ln 2·LC", "js", "triangular", lambda d: LN2 / 2 * d),
    _at_most("chord", "H² ≤ LC", "h2", "triangular", lambda d: d / 2),
    _at_most("chord", "H² ≤ JS/ln 2", "h2", "js", lambda js: js / LN2),
    # Tight, with KL or χ².
    _at_least("Fedotov–Harremoës–Topsøe", "max over t of 2t·TV − t coth t + 1 − ln(sinh t/t) ≤ KL", "kl", "tv", _fedotov),
    _at_least("two-point pairs", "(LC + k(x))/λ(x) ≤ KL, the tangents of the least KL", "kl", "triangular", _triangular),
    _at_least("Tsybakov", "−2ln(1−H²) ≤ KL", "kl", "bhattacharyya", lambda b: 2 * b),
    _at_most("restriction", "JS ≤ ½[(2−w)ln(2/(2−w)) + (1−w)ln(1−w) + w ln 2], w = 1−e^−KL", "js", "kl", _restricted_js),
    _at_least("Tsybakov", "KL ≤ ln(1+χ²)", "chi2", "kl", math.expm1),
    _at_least("Gilardoni", "4TV² ≤ χ² (TV ≤ ½), TV/(1−TV) ≤ χ² (TV ≥ ½)", "chi2", "tv", lambda v: 4 * v * v if v < 0.5 else v / (1 - v)),
    _at_least("restriction", "LC ≤ χ²/(2+χ²)", "chi2", "triangular", lambda d: 2 * d / (2 - d)),
    # Of three.
    _at_most("Sason–Verdú", "KL ≤ ½(TV + χ²)", "kl", "tv chi2", lambda v, c: (v + c) / 2),
    _at_most("Hermite–Hadamard", "J ≤ (χ² + χ²(Q‖P))/2", "jeffreys", "chi2 neyman", lambda c, n: (c + n) / 2),
    _at_most("Topsøe", "LC ≤ (χ² + χ²(Q‖P))/8", "triangular", "chi2 neyman", lambda c, n: (c + n) / 4),
    # With the smallest probability, or the largest ratios.
    _at_most("Sason–Verdú", "χ² ≤ 2TV²/min q", "chi2", "tv min_q", lambda v, m: 2 * v * v / m),
    _at_most("ratio", "max p/q ≤ 1 + TV/min q", "max_ratio", "tv min_q", lambda v, m: 1 + v / m),
    _at_most("ratio", "max p/q ≤ 1/min q", "max_ratio", "min_q", lambda m: 1 / m),
    _at_most("ratio", "TV ≤ (b−1)(c−1)/(bc−1), b = max p/q, c = max q/p", "tv", "max_ratio max_reverse_ratio", lambda b, c: 1 / (1 + 1 / (b - 1) + 1 / (c - 1)) if b > 1 < c else 0.0),
    _at_most("Binette", "KL ≤ TV·(b ln b/(b−1) − ln c/(c−1)), b = max p/q, c = max q/p", "kl", "tv max_ratio max_reverse_ratio", lambda v, b, c: v * (_slope_above(b) + _slope_below(c))),
    _at_most("Binette", "χ² ≤ TV·(b − 1/c), b = max p/q, c = max q/p", "chi2", "tv max_ratio max_reverse_ratio", lambda v, b, c: v * (b - 1 + ((c - 1) / c if c < INF else 1.0))),
    _at_most("Rényi", "χ² ≤ max p/q − 1", "chi2", "max_ratio", lambda b: b - 1),
    _at_most("Sason–Verdú", "χ² ≤ KL·(b−1)²/(b ln b − b + 1), b = max p/q", "chi2", "kl max_ratio", lambda k, b: k / _kl_term(b)),
    _at_most("Sason–Verdú", "KL ≤ χ²·(a ln a − a + 1)/(a−1)², 1/a = max q/p", "kl", "chi2 max_reverse_ratio", lambda c, b: c * _kl_term(1 / b)),
    _at_most("Sason–Verdú", "KL ≤ KL(Q‖P)·(b ln b − b + 1)/(b − 1 − ln b), b = max p/q", "kl", "reverse_kl max_ratio", lambda r, b: r * _ratio_of_kls(b)),
    # Implied by those above, but what books and papers quote.
    _at_least("Pinsker", "2 TV² ≤ KL", "kl", "tv", lambda v: 2 * v * v),
    _at_least("Bretagnolle–Huber", "TV² ≤ 1−e^−KL", "kl", "tv", lambda v: -math.log1p(-v) - math.log1p(v) if v > 0.5 else -math.log1p(-v * v)),
    _at_least("Tsybakov", "TV ≤ 1−½e^−KL", "kl", "tv", lambda v: -math.log(2 * (1 - v))),
    _at_least("Vajda", "ln((1+TV)/(1−TV)) − 2TV/(1+TV) ≤ KL", "kl", "tv", lambda v: 2 * v * (v / (1 + v) + _atanh_tail(v)) if v else 0.0),
    _at_least("Gilardoni", "−ln(1−TV) − (1−TV)ln(1+TV) ≤ KL", "kl", "tv", lambda v: v * math.log1p(v) - math.log1p(-v) - math.log1p(v) if v > 0.5 else v * math.log1p(v) - math.log1p(-v * v)),
    _at_least("Tsybakov", "2H² ≤ KL", "kl", "h2", lambda h: 2 * h),
    _at_least("Tsybakov", "KL ≤ χ²", "chi2", "kl", lambda k: k),
    _at_most("Le Cam", "LC ≤ 2H²", "triangular", "h2", lambda h: 4 * h),
    _at_least("Topsøe", "LC/2 ≤ JS", "js", "triangular", lambda d: d / 4),
    _at_least("Pinsker", "TV²/2 ≤ JS", "js", "tv", lambda v: v * v / 2),
    _at_least("Topsøe", "H²/2 ≤ JS", "js", "h2", lambda h: h / 2),
    _at_most("Topsøe", "JS ≤ 2 ln 2·H²", "js", "h2", lambda h: 2 * LN2 * h),
    _at_least("Crooks", "JS ≤ ln(2/(1+e^(−J/2)))", "jeffreys", "js", lambda js: -2 * (math.log1p(2 * math.expm1(-js)) if js < 0.3 else math.log(math.expm1(LN2 - js + LN2_REST)))),
    _at_most("term by term", "J ≤ χ² + χ²(Q‖P)", "jeffreys", "chi2 neyman", lambda c, n: c + n),
    _at_most("Lin", "JS ≤ J/4", "js", "jeffreys", lambda j: j / 4),
    _at_most("Sason–Verdú", "KL ≤ ln(1+2TV²/min q)", "kl", "tv min_q", lambda v, m: math.log1p(2 * v * v / m)),
    _at_most("Binette", "KL ≤ TV·b ln b/(b−1), b = max p/q", "kl", "tv max_ratio", lambda v, b: v * _ratio_slope(b)),
]
# fmt: on

INEQUALITIES: tuple[Inequality, ...] = tuple(
    each for line in _LINES for each in (line, line.mirror()) if each is not None
)


# --- monotone functions, and both ways through an inequality --------------------------------------


def _bits(x: float) -> int:
    return int.from_bytes(struct.pack(">d", x), "big")


def _float(bits: int) -> float:
    found: float = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    return found


def _smallest(rising: Function, value: float, low: float, high: float) -> float:
    """Return the least float in [low, high] at which `rising` reaches `value`, else `high`."""
    # Floats that are not negative are ordered as their bits are: 64 halvings, whatever the scale.
    below, there = _bits(low + 0.0) - 1, _bits(high)
    while there - below > 1:
        middle = (below + there) // 2
        if rising(_float(middle)) >= value:
            there = middle
        else:
            below = middle
    return _float(there)


def _more(x: float) -> float:
    return x + abs(x) * SLACK + TINY


def _less(x: float) -> float:
    return x - abs(x) * SLACK - TINY if x < INF else INF


@dataclass(frozen=True)
class Interval:
    """What is known of a quantity, and from which inequalities.

    Parameters
    ----------
    lower, upper : float
        The ends, rounded outward.
    lower_by, upper_by : tuple of str
        The chain of inequalities that gave each end, from what was given to this quantity; empty
        for an end that is the quantity's own range or was given.
    quantity : str
        Its name.

    Examples
    --------
    >>> from fastdiv import bounds
    >>> print(bounds.interval("chi2_divergence", kl=1.0))
    1.71828 ≤ chi2_divergence ≤ inf, lower by Tsybakov: KL ≤ ln(1+χ²)
    """

    lower: float
    upper: float
    lower_by: tuple[str, ...] = ()
    upper_by: tuple[str, ...] = ()
    quantity: str = ""

    def __str__(self) -> str:
        """Return the interval, and the chains of its ends."""
        text = f"{self.lower:.6g} ≤ {self.quantity} ≤ {self.upper:.6g}"
        for end, chain in (("lower", self.lower_by), ("upper", self.upper_by)):
            if chain:
                text += f", {end} by " + "; ".join(chain)
        return text

    def __contains__(self, value: float) -> bool:
        """Whether `value` lies between the ends."""
        return self.lower <= value <= self.upper


class _State:
    """The ends so far; each knows the chain that gave it."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.ends = {name: Interval(*ends, quantity=name) for name, ends in RANGES.items()}
        self.changed = False

    def narrow(
        self, name: str, lower: float, upper: float, chain: tuple[str, ...], values: str = ""
    ) -> None:
        old = self.ends[name]
        if not (lower > old.lower or upper < old.upper):
            return
        if _crossed(lower, old.upper) or _crossed(old.lower, upper):
            found, stands = (
                (f"{name} ≥ {lower:.6g}", f"{name} ≤ {old.upper:.6g}{_origin(old.upper_by)}")
                if lower > old.upper
                else (f"{name} ≤ {upper:.6g}", f"{name} ≥ {old.lower:.6g}{_origin(old.lower_by)}")
            )
            raise ValueError(
                f"{self.function}: no pair has these values: {chain[-1]} with {values} asks for "
                f"{found}, but {stands}"
            )
        # A few ulp of rounding in what was given leave one value, not none.
        lower, upper = min(lower, old.upper), max(upper, old.lower)
        new_lower = (lower, chain) if lower > old.lower else (old.lower, old.lower_by)
        new_upper = (upper, chain) if upper < old.upper else (old.upper, old.upper_by)
        if (new_lower[0], new_upper[0]) != (old.lower, old.upper):
            self.ends[name] = Interval(new_lower[0], new_upper[0], new_lower[1], new_upper[1], name)
            self.changed = True

    def chain(self, line: Inequality, upper: Mapping[str, bool]) -> tuple[str, ...]:
        """Return the chains of the ends that `line` takes (True: the upper one), and `line`."""
        links = [
            link
            for name, is_upper in upper.items()
            for link in (self.ends[name].upper_by if is_upper else self.ends[name].lower_by)
        ]
        return tuple(dict.fromkeys((*links, str(line))))

    def values(self, upper: Mapping[str, bool]) -> str:
        return " and ".join(
            f"{name} {'≤' if is_upper else '≥'} {self._end(name, is_upper):.6g}"
            if self.ends[name].lower < self.ends[name].upper
            else f"{name} = {self._end(name, is_upper):.6g}"
            for name, is_upper in upper.items()
        )

    def _end(self, name: str, is_upper: bool) -> float:
        return self.ends[name].upper if is_upper else self.ends[name].lower

    def apply(self, line: Inequality) -> None:
        """Narrow the target by the sources, and each source by the target and the others."""
        at_most = line.sense == "≤"
        # The ends at which the bound is loosest.
        corner = {name: at_most != (name in FALLING) for name in line.sources}
        values = [self._end(name, is_upper) for name, is_upper in corner.items()]
        bound = line(*values)
        if at_most:
            if _more(bound) < self.ends[line.target].upper:
                self._narrow_end(line, line.target, True, _more(bound), corner)
        elif _less(bound) > self.ends[line.target].lower:
            self._narrow_end(line, line.target, False, _less(bound), corner)
        for index, name in enumerate(line.sources):
            self._invert(line, index, name, corner, values)

    def _narrow_end(
        self, line: Inequality, name: str, is_upper: bool, value: float, used: Mapping[str, bool]
    ) -> None:
        lower, upper = (-INF, value) if is_upper else (value, INF)
        self.narrow(name, lower, upper, self.chain(line, used), self.values(used))

    def _invert(
        self,
        line: Inequality,
        index: int,
        name: str,
        corner: Mapping[str, bool],
        values: list[float],
    ) -> None:
        at_most = line.sense == "≤"
        wanted = self._end(line.target, not at_most)
        here = self.ends[name]

        def reaches(x: float) -> bool:
            """Whether `target` at its end agrees with this value of the source."""
            bound = line(*values[:index], x, *values[index + 1 :])
            return _more(bound) >= wanted if at_most else _less(bound) <= wanted

        is_upper = not corner[name]
        if reaches(here.upper if is_upper else here.lower):
            return
        used = {line.target: not at_most, **{n: u for n, u in corner.items() if n != name}}
        if not reaches(here.lower if is_upper else here.upper):
            # Nothing in the interval agrees: narrowing the target by this line says so, or did
            # within rounding.
            return
        if line.inverse is not None:
            value = _more(line.inverse(_more(wanted)))
        elif is_upper:
            value = _smallest(lambda x: float(not reaches(x)), 1.0, here.lower, here.upper)
        else:
            # The value sought lies between this float and the last that does not agree.
            first = _smallest(lambda x: float(reaches(x)), 1.0, here.lower, here.upper)
            value = math.nextafter(first, here.lower)
        if value < here.upper if is_upper else value > here.lower:
            self._narrow_end(line, name, is_upper, value, used)


def _crossed(lower: float, upper: float) -> bool:
    # A last bit of what was given is seen a billion times as large in log(1 - H^2) near 1.
    return lower > upper + abs(upper) * ROUNDING + 8 * TINY


def _origin(chain: tuple[str, ...]) -> str:
    return f" by {'; '.join(chain)}" if chain else ""


# --- the public face ------------------------------------------------------------------------------


def _name_of(function: str, name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{function}: target is {name!r}; it takes the name of a divergence")
    full = ALIASES.get(name, name)
    if full in RANGES:
        return full
    known = [*RANGES, *ALIASES]
    nearest = difflib.get_close_matches(str(name), known, 1, 0)
    raise ValueError(
        f"{function}: {name!r} is not a known quantity (nearest: {nearest[0]!r}); it takes "
        f"{', '.join(RANGES)}, or for short {', '.join(ALIASES)}"
    )


def _ends_of(function: str, name: str, given: Known) -> tuple[float, float]:
    try:
        lower, upper = ends = given if isinstance(given, (tuple, list)) else (given, given)
        if any(isinstance(end, (str, bytes)) or type(end).__name__ == "bool" for end in ends):
            raise TypeError  # which float() would take
        lower, upper = float(lower), float(upper)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(
            f"{function}: {name} is {given!r}; it takes a number or a pair (lower, upper)"
        ) from None
    least, most = RANGES[name]
    # What was computed as 1 + 2 ulp is 1.
    if not (least <= lower <= upper and not _crossed(upper, most)):
        raise ValueError(
            f"{function}: {name} is {given!r}; it takes a number in [{least:g}, {most:g}], "
            "or a pair (lower, upper) of them in order"
        )
    return min(lower, most), min(upper, most)


def _propagate(function: str, known: Mapping[str, Known]) -> dict[str, Interval]:
    if not known:
        raise ValueError(f"{function}: nothing is given; it takes one divergence at least")
    state = _State(function)
    seen: dict[str, str] = {}
    for alias, given in known.items():
        name = _name_of(function, alias)
        if name in seen:
            raise ValueError(f"{function}: {name} is given twice, as {seen[name]} and as {alias}")
        seen[name] = alias
        lower, upper = _ends_of(function, name, given)
        state.ends[name] = Interval(lower, upper, quantity=name)
    equal = [name for name, end in state.ends.items() if end.upper == EQUAL.get(name)]
    for name, value in EQUAL.items() if equal else ():
        state.narrow(name, -INF, value, ("P = Q",), f"{equal[0]} = {EQUAL[equal[0]]:g}")
    state.changed = True
    while state.changed:
        state.changed = False
        for line in INEQUALITIES:
            state.apply(line)
    return state.ends


def interval(target: str, **known: Known) -> Interval:
    """Return the narrowest interval for one divergence that the table derives from others.

    Parameters
    ----------
    target : str
        What is wanted: any name that may be given.
    **known : float or (float, float)
        What is known of the same pair (P, Q), in nats, as numbers or as (lower, upper):
        `kl_divergence` (`kl`), `reverse_kl_divergence` (`reverse_kl`), `jeffreys_divergence`
        (`jeffreys`), `js_divergence` (`js`), `js_distance`, `total_variation` (`tv`),
        `squared_hellinger`, `hellinger_distance` (`hellinger`), `bhattacharyya_distance`
        (`bhattacharyya`), `chi2_divergence` (`chi2`), `neyman_divergence` (`neyman`),
        `triangular_discrimination` (`triangular`), Σ(p−q)²/(p+q).
        On the side: `min_q`, the smallest q where p or q is positive (so 0 if P has mass where Q
        has none), `max_ratio`, the largest p/q, and for (Q, P) `min_p` and `max_reverse_ratio`.

    Returns
    -------
    Interval
        Both ends, and the inequalities that gave them. Scalars only.

    Raises
    ------
    TypeError
        If a value is neither a number nor a pair of them.
    ValueError
        If a name is not known or given twice, nothing is given, a value is outside its range or
        NaN, or no pair (P, Q) has these values: the message names the inequality they violate.

    Notes
    -----
    Rényi divergences of the orders ½, 1, 2 and ∞ are 2B, KL, ln(1+χ²) and ln max p/q.

    From one divergence alone the ends are the best possible but for rounding (compared with the
    convex hull of all two-point pairs); from several they are valid and need not be. A `max_ratio`
    near 1 is best given rounded up, a `min_q` rounded down. See the module for the sources.

    Examples
    --------
    >>> from fastdiv import bounds
    >>> print(bounds.interval("squared_hellinger", tv=0.5))
    0.133975 ≤ squared_hellinger ≤ 0.5, lower by Le Cam: 1−√(1−TV²) ≤ H², upper by Le Cam: H² ≤ TV
    >>> round(bounds.interval("total_variation", kl=0.1).upper, 6)
    0.222355
    >>> round(bounds.interval("kl", tv=(0.1, 0.2), max_ratio=3).upper, 6)
    0.329584
    """
    name = _name_of("interval", target)
    return _propagate("interval", known)[name]


def intervals(**known: Known) -> dict[str, Interval]:
    """Return `interval` of every quantity, by its full name.

    Parameters
    ----------
    **known : float or (float, float)
        As for `interval`.

    Returns
    -------
    dict of str to Interval

    Raises
    ------
    TypeError, ValueError
        As for `interval`.

    Examples
    --------
    >>> from fastdiv import bounds
    >>> all_of_them = bounds.intervals(kl=0.1, reverse_kl=0.12)
    >>> print(all_of_them["jeffreys_divergence"])
    0.22 ≤ jeffreys_divergence ≤ 0.22, lower by sum: J = KL + KL(Q‖P), upper by sum: J = KL + KL(Q‖P)
    >>> all_of_them["js_divergence"].upper < bounds.interval("js", kl=0.1).upper
    True
    """
    return _propagate("intervals", known)
