"""The textbook in 50 digits, and the one table of tolerances.

Each divergence is one mpmath line on exact input values, written from its definition and never
from the code under test.  `normalize=True` and `from_logits=True` are the same line on normalised
rows, so a name needs nothing else.  The tolerances are promises P2 to P4 of the numerical contract.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

import mpmath
import numpy as np
from layouts import Case, rows

# A context of our own: 50 digits leave 23 for a KL of 1e-27, whose terms are of order 1.
mp = mpmath.mp.clone()
mp.dps = 50
mpf = mp.mpf
INF = mpf("inf")

Row = Sequence[mpmath.mpf]
Oracle = Callable[[Row, Row], mpmath.mpf]
Form = Literal["generalised", "normalised", "logits"]


def _log_ratio(weight: mpf, top: mpf, bottom: mpf) -> mpf:
    """weight·log(top/bottom) with the limits that the zero rules ask for."""
    if weight == 0:
        return mpf(0)
    if bottom == 0:
        return INF
    return weight * mp.log(top / bottom)


def _sum(terms: Sequence[mpf]) -> mpf:
    return INF if any(t == INF for t in terms) else mp.fsum(terms)


def entropy(p: Row, q: Row) -> mpf:
    return _sum([_log_ratio(x, mpf(1), x) for x in p])


def cross_entropy(p: Row, q: Row) -> mpf:
    return _sum([_log_ratio(x, mpf(1), y) for x, y in zip(p, q, strict=True)])


def kl_divergence(p: Row, q: Row) -> mpf:
    return _sum([_log_ratio(x, x, y) - x + y for x, y in zip(p, q, strict=True)])


def reverse_kl_divergence(p: Row, q: Row) -> mpf:
    return kl_divergence(q, p)


def jeffreys_divergence(p: Row, q: Row) -> mpf:
    return _sum([kl_divergence(p, q), kl_divergence(q, p)])


def weighted_js_divergence(weight: float) -> Oracle:
    w = mpf(weight)

    def oracle(p: Row, q: Row) -> mpf:
        m = [w * x + (1 - w) * y for x, y in zip(p, q, strict=True)]
        return w * kl_divergence(p, m) + (1 - w) * kl_divergence(q, m)

    return oracle


def js_divergence(p: Row, q: Row) -> mpf:
    return _sum(
        [
            (_log_ratio(x, 2 * x, x + y) + _log_ratio(y, 2 * y, x + y)) / 2
            for x, y in zip(p, q, strict=True)
        ]
    )


def js_distance(p: Row, q: Row) -> mpf:
    return mp.sqrt(js_divergence(p, q))


def total_variation(p: Row, q: Row) -> mpf:
    return _sum([abs(x - y) for x, y in zip(p, q, strict=True)]) / 2


def squared_hellinger(p: Row, q: Row) -> mpf:
    return _sum([(mp.sqrt(x) - mp.sqrt(y)) ** 2 for x, y in zip(p, q, strict=True)]) / 2


def hellinger_distance(p: Row, q: Row) -> mpf:
    return mp.sqrt(squared_hellinger(p, q))


def _of_sum_one(p: Row, q: Row) -> bool:
    return max(abs(mp.fsum(p) - 1), abs(mp.fsum(q) - 1)) < mpf(10) ** -45


def bhattacharyya_distance(p: Row, q: Row) -> mpf:
    if _of_sum_one(p, q):  # where 1 - H² has digits only as a sum of its own
        affinity = mp.fsum(mp.sqrt(x * y) for x, y in zip(p, q, strict=True))
        return -mp.log(affinity) if affinity else INF
    squared = squared_hellinger(p, q)
    return -mp.log1p(-squared) if squared < 1 else INF


def neyman_divergence(p: Row, q: Row) -> mpf:
    return chi2_divergence(q, p)


def triangular_discrimination(p: Row, q: Row) -> mpf:
    return _sum([(x - y) ** 2 / (x + y) if x or y else mpf(0) for x, y in zip(p, q, strict=True)])


def alpha_divergence(alpha: float) -> Oracle:
    """Neither 0 nor 1: those are KL's."""
    a = mpf(alpha)

    def term(x: mpf, y: mpf) -> mpf:
        if x == y:
            return mpf(0)
        if (x == 0 and a < 0) or (y == 0 and a > 1):
            return INF
        power = x**a * y ** (1 - a) if x and y else mpf(0)
        return (power - a * x - (1 - a) * y) / (a * (a - 1))

    return lambda p, q: _sum([term(x, y) for x, y in zip(p, q, strict=True)])


def renyi_divergence(alpha: float) -> Oracle:
    a = mpf(alpha)
    oracle = alpha_divergence(alpha)

    def logarithm(p: Row, q: Row) -> mpf:
        if _of_sum_one(p, q) and oracle(p, q) < INF:
            power = mp.fsum(x**a * y ** (1 - a) for x, y in zip(p, q, strict=True) if x and y)
            return mp.log(power) / (a - 1) if power else INF
        excess = a * (a - 1) * oracle(p, q)
        return INF if excess <= -1 or excess == INF else mp.log1p(excess) / (a - 1)

    return logarithm


def _power_sum(p: Row, a: mpf) -> mpf:
    return _sum([x**a for x in p if x]) if a > 0 or all(p) else INF


def renyi_entropy(alpha: float) -> Oracle:
    a = mpf(alpha)
    return lambda p, q: mp.log(_power_sum(p, a) / mp.fsum(p)) / (1 - a)


def tsallis_entropy(alpha: float) -> Oracle:
    a = mpf(alpha)
    return lambda p, q: (mp.fsum(p) - _power_sum(p, a)) / (a - 1)


def chi2_divergence(p: Row, q: Row) -> mpf:
    return _sum(
        [(x - y) ** 2 / y if y else (INF if x else mpf(0)) for x, y in zip(p, q, strict=True)]
    )


# Kernels that take a number beside the rows, each with some of them.
FAMILIES: dict[str, tuple[Callable[[float], Oracle], tuple[float, ...]]] = {
    "weighted_js_divergence": (weighted_js_divergence, (0.2,)),
    "alpha_divergence": (alpha_divergence, (-0.5, 1.5)),
    "renyi_divergence": (renyi_divergence, (0.3, 3.0)),
    "renyi_entropy": (renyi_entropy, (0.5,)),
    "tsallis_entropy": (tsallis_entropy, (2.0,)),
}
ORACLES: dict[str, Oracle] = {
    f.__name__: f
    for f in (
        entropy,
        cross_entropy,
        kl_divergence,
        reverse_kl_divergence,
        jeffreys_divergence,
        js_divergence,
        js_distance,
        total_variation,
        squared_hellinger,
        hellinger_distance,
        bhattacharyya_distance,
        chi2_divergence,
        neyman_divergence,
        triangular_discrimination,
    )
} | {
    f"{name}({parameter})": make(parameter)
    for name, (make, parameters) in FAMILIES.items()
    for parameter in parameters
}
# Their `normalize=False` is the literal sum, whose terms change sign where a number passes 1.
LITERAL = frozenset(name for name in ORACLES if "entropy" in name)
ROOTS = frozenset({"js_distance", "hellinger_distance"})
# First order in the difference of the rows, where the others are second order.
LINEAR = ROOTS | {"total_variation"}


def tiled(name: str, form: Form, copies: int, value: mpf) -> mpf:
    """The value for rows that are `copies` copies of rows with this value."""
    kernel, _, rest = name.partition("(")
    a = mpf(rest.rstrip(")") or 1)
    if form != "generalised":
        if kernel == "tsallis_entropy":
            return (1 - (1 - (a - 1) * value) * mpf(copies) ** (1 - a)) / (a - 1)
        return value + mp.log(copies) if name in LITERAL else value
    if kernel == "renyi_entropy":
        return value
    if name in ROOTS:
        return value * mp.sqrt(copies)
    if kernel in ("renyi_divergence", "bhattacharyya_distance"):
        order = a - 1 if rest else mpf(-1)
        excess = copies * mp.expm1(order * value)
        return mp.log1p(excess) / order if -1 < excess < INF else INF
    return value * copies


# --- exact rows ---------------------------------------------------------------------------------


def exact(row: np.ndarray) -> list[mpf]:
    """The numbers of a float row as they are: every supported dtype fits in a float64."""
    return [mpf(float(x)) for x in row.astype(np.float64)]


def normalised(row: Row) -> list[mpf]:
    total = mp.fsum(row)
    return [x / total for x in row]


def logsumexp(logits: Row) -> mpf:
    top = max(logits)
    return top if mp.isinf(top) else top + mp.log(mp.fsum(mp.exp(x - top) for x in logits))


def softmax(logits: Row) -> list[mpf]:
    top = max(logits)
    return normalised([mp.exp(x - top) for x in logits])


def token_nll(logits: Row, label: int) -> mpf:
    return logsumexp(logits) - logits[label]


def truncated_kl(log_p: Row, logits_q: Row, floor: float = -16.0) -> mpf:
    log_z = logsumexp(logits_q)
    return _sum(
        [mp.exp(a) * (a - (b - log_z)) for a, b in zip(log_p, logits_q, strict=True) if a > floor]
    )


# --- cached references of the cases -------------------------------------------------------------


@cache
def rows_in_form(case: Case, form: Form) -> tuple[Row, Row]:
    change = {"generalised": list, "normalised": normalised, "logits": softmax}[form]
    p, q = rows(case)
    return change(exact(p)), change(exact(q))


@cache
def reference(name: str, case: Case, form: Form) -> mpf:
    return ORACLES[name](*rows_in_form(case, form))


@cache
def log_normalisers(case: Case) -> tuple[mpf, mpf]:
    """The log-sum-exp of both rows."""
    a, b = rows(case)
    return logsumexp(exact(a)), logsumexp(exact(b))


# --- the contract -------------------------------------------------------------------------------

UNIT = {"float16": 2.0**-24, "bfloat16": 2.0**-24, "float32": 2.0**-24, "float64": 2.0**-53}
TINIEST = 5e-324


def _by_closeness(u: float, kl: mpf, factor: float = 1.0) -> float:
    return 16 * u * (1 + factor * float(mp.sqrt(2 / kl))) if kl else math.inf


def logits_magnitude(*logits: np.ndarray) -> float:
    """|a|max of P4, without masks: what has probability 0 cannot excuse an error."""
    values = np.abs(np.concatenate([x.astype(np.float64).ravel() for x in logits]))
    return float(values[values < 1e6].max(initial=0.0))


def log_tolerance(dtype: str, value: mpf, magnitude: float) -> float:
    """P4 for what stands alone: an NLL, an entropy, a cross-entropy."""
    if dtype != "float64":
        return 1e-6
    closeness = float(mp.sqrt(2 / value)) if value else math.inf
    return 16 * UNIT[dtype] * (1 + magnitude * min(1.0, closeness))


class Bound(NamedTuple):
    relative: float
    absolute: float = TINIEST


def amplification(name: str, value: mpf) -> float:
    """How much a relative error of the sum y grows in a logarithm of 1 plus it.

    The condition of that logarithm, y/((1 + y) log(1 + y)), where log(1 + y) is `power` below;
    less than 1 counts as 1, for the logarithm has an error of its own.
    """
    kernel, _, rest = name.partition("(")
    if kernel not in ("renyi_divergence", "bhattacharyya_distance") or value in (0, INF):
        return 1.0
    power = (mpf(rest.rstrip(")") or 0) - 1) * value
    return max(1.0, float(-mp.expm1(-power) / power))


def generalised_bound(name: str, p: Row, q: Row, u: float) -> Bound:
    """P2; a literal sum is held to the size of its terms."""
    # Where a float64 result is subnormal its terms have no relative precision, only this grid.
    underflow = 4 * len(p) * TINIEST
    if name not in LITERAL:
        grown = amplification(name, ORACLES[name](p, q))
        return Bound(16 * u * grown, math.sqrt(underflow) if name in ROOTS else underflow)
    kernel, _, rest = name.partition("(")
    if rest:  # of powers: the terms have one sign where all numbers are on one side of 1
        a = mpf(rest.rstrip(")"))
        size = mp.fsum(abs(x - x**a) for x in p if x) / abs(a - 1)
        if kernel == "renyi_entropy":
            ratio = _power_sum(p, a) / mp.fsum(p)
            size *= max(1, 1 / ratio) / mp.fsum(p)
        return Bound(0.0, float(16 * u * size) + underflow)
    terms = [
        abs(_log_ratio(x, mpf(1), x if name == "entropy" else y)) for x, y in zip(p, q, strict=True)
    ]
    return Bound(0.0, float(16 * u * _sum(terms)) + underflow)


@cache
def bound(name: str, case: Case, form: Form) -> Bound:
    """What the contract allows for one result: P2, P3 or P4."""
    u = UNIT[case.dtype]
    if form == "generalised":
        return generalised_bound(name, *rows_in_form(case, form), u)
    value = reference(name, case, form)
    if value == 0:
        p, q = rows(case)
        if form == "logits" or name in LITERAL or np.array_equal(p, q):
            return Bound(0.0, 0.0)
        # One is a multiple of the other, by a factor that is rounded: to a double, whatever the
        # dtype.  What moving the inputs by 16 of its units would give, and no more.
        u = UNIT["float64"]
        return Bound(0.0, 32 * u if name in LINEAR else 2 * (16 * u) ** 2)
    kl = value if name in LITERAL else reference("kl_divergence", case, form)
    if form == "normalised":
        return Bound(_by_closeness(u, kl))
    if case.dtype == "float64":
        magnitude = logits_magnitude(*rows(case))
        if name in LITERAL:
            return Bound(log_tolerance(case.dtype, value, magnitude))
        return Bound(_by_closeness(u, kl, magnitude))
    if name in LITERAL or (name.endswith("kl_divergence") and value >= 1e-12):
        return Bound(1e-6)
    return Bound(_by_closeness(u, kl))


def share(got: float, want: mpf, allowed: Bound) -> float:
    """The error in units of what is allowed: a promise is kept up to 1."""
    if abs(want) > np.finfo(np.float64).max:
        return 0.0 if got == math.copysign(math.inf, want) else math.inf
    if not math.isfinite(got):
        return math.inf
    error = abs(mpf(float(got)) - want)
    size = allowed.relative * abs(want) + allowed.absolute
    return float(error / size) if size else math.inf if error else 0.0


def excess(got: float, want: mpf, allowed: Bound) -> str | None:
    """None where `got` keeps the bound, else what to print."""
    if abs(want) > np.finfo(np.float64).max:
        return None if got == math.copysign(math.inf, want) else f"got {got!r}, want an infinity"
    if not math.isfinite(got):
        return f"got {got!r}, want {mp.nstr(want, 17)}"
    if share(got, want, allowed) <= 1:
        return None
    error = abs(mpf(float(got)) - want)
    relative = mp.nstr(error / abs(want), 3) if want else "inf"
    return (
        f"got {got!r}, want {mp.nstr(want, 17)}: relative error {relative}, "
        f"allowed {allowed.relative:.3g} (absolute {allowed.absolute:.3g})"
    )
