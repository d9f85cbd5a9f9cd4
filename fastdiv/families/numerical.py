"""What has no closed form: by quadrature, by summation, by samples of P."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastdiv.densities import integrated_kl, sample_count
from fastdiv.estimators import kl_from_samples
from fastdiv.evaluation import seed_of
from fastdiv.families.base import Family, Floats, Missing
from fastdiv.families.foreign import Other, name_of
from fastdiv.families.real import VonMises
from fastdiv.integration import FLAT, NEGLIGIBLE, TRUSTED, Doubtful, Integral
from fastdiv.uncertainty import Estimate

__all__ = ["by_quadrature", "by_samples", "event_shape", "unsupported"]

_TOLERANCE = 1e-12
# Levels of samples at which the interval is cut.
_LEVELS = (0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
# Terms of a sum: of families that are arithmetic alone, and of others.
_MOST, _MOST_OTHERS = 1 << 21, 1 << 17
_FIRST = 128
# Probability of P that may be left out where Q's is below the least number, and the logarithm that
# then stands for Q's.
_LOST, _FAR = 1e-20, 1e3
_ROUNDING = 2.0**-60


def by_samples(p: Family, q: Family, samples: Any, seed: Any) -> Estimate:
    """Mean of log(p/q) over samples of P."""
    sample_count("kl_divergence", samples)
    wrong = _objection(p, q, "monte_carlo")
    if wrong is not None:
        raise wrong
    if (p.unknown | q.unknown).any():
        return Estimate(math.nan, math.nan)
    x = p.sample(np.random.default_rng(seed_of("kl_divergence", seed)), int(samples))
    with np.errstate(all="ignore"):
        return kl_from_samples(p.log_density(x), q.log_density(x), "k1")


def by_quadrature(p: Family, q: Family, has_closed: Callable[[Family, Family], bool]) -> Integral:
    """Integrate, or add up, p log(p/q) over the line."""
    wrong = _objection(p, q, "quadrature")
    if wrong is not None:
        raise wrong
    if (p.unknown | q.unknown).any():
        return Integral(math.nan, math.nan)
    ends_p, ends_q = (tuple(float(np.squeeze(end)) for end in x.support) for x in (p, q))
    if isinstance(p, VonMises):
        ends_q = ends_p
    try:
        if ends_p[0] < ends_q[0] or ends_p[1] > ends_q[1]:
            return Integral(math.inf, 0.0)
        if p.discrete:
            return _by_summation(p, q, *ends_p)
        return _by_integration(p, q, ends_p, ends_q)
    except Doubtful as doubt:
        rest = ["monte_carlo"] if _objection(p, q, "monte_carlo") is None else []
        raise ValueError(
            f"kl_divergence: {name_of(p)} and {name_of(q)} by quadrature: {doubt}"
            + ('; method="closed" has it' if has_closed(p, q) else _advice(rest))
        ) from None


def unsupported(p: Family, q: Family) -> str:
    """Say that there is no closed form, and what there is."""
    text = f"kl_divergence: {name_of(p)} and {name_of(q)} have no closed form here"
    methods = [m for m in ("quadrature", "monte_carlo") if _objection(p, q, m, False) is None]
    if methods:
        one = _objection(p, q, methods[0])
        return text + _advice(methods, "" if one is None else " for one pair at a time")
    wrong = _objection(p, q, "monte_carlo", False)
    return f"{text}: {str(wrong).partition(': ')[2]}"


def _advice(methods: list[str], what: str = "") -> str:
    if not methods:
        return ""
    verb = "gives" if len(methods) == 1 else "give"
    texts = " or ".join(f'method="{m}"' for m in methods)
    return f"; {texts} {verb} it, with its error{what}"


def _objection(p: Family, q: Family, method: str, single: bool = True) -> Exception | None:
    """Why a method does not take a pair."""
    names = f"{name_of(p)} and {name_of(q)}"
    if p.discrete != q.discrete:
        return TypeError(
            f"kl_divergence: of {names} one is discrete, and one is not: a probability and a"
            " density cannot be compared, and what the one holds is nothing to the other"
        )
    if isinstance(p, VonMises) != isinstance(q, VonMises):
        return TypeError(f"kl_divergence: of {names} one is on the circle, and one on the line")
    if event_shape(p) != event_shape(q):
        return TypeError(
            f"kl_divergence: {names} are of values of shapes {event_shape(p)} and {event_shape(q)}"
        )
    if method == "quadrature" and event_shape(p):
        return ValueError('kl_divergence: method="quadrature" takes one variable')
    evaluated = all(isinstance(x, Other) or _has(x, "_log_density") for x in (p, q))
    sampled = _has(p, "sample")
    if not evaluated or (method == "monte_carlo" and not sampled):
        return TypeError(f"kl_divergence: {names} cannot both be sampled and evaluated")
    shapes = p.batch_shape, q.batch_shape
    if single and any(shape not in ((), (1,)) for shape in shapes):
        return ValueError(
            f"kl_divergence: method={method!r} takes one distribution each, no batches; it got"
            f" shapes {shapes[0]} and {shapes[1]}"
        )
    return None


def _has(x: Family, method: str) -> bool:
    return getattr(type(x), method) is not getattr(Family, method)


def event_shape(x: Family) -> tuple[int, ...]:
    """Return the shape of one value."""
    if isinstance(x, Other):
        return x.event_shape
    if x.discrete:
        return ()
    cores = [getattr(x, name).shape[-axes:] for name, axes in x.axes.items()]
    return min(cores, key=len, default=())


def _drawn(x: Family) -> Floats:
    """Draw some finite values, none of what cannot be sampled."""
    try:
        found = np.ravel(x.sample(np.random.default_rng(0), 1000))
    except (Missing, ValueError, NotImplementedError):
        return np.empty(0)
    return found[np.isfinite(found)]


def _by_integration(
    p: Family, q: Family, ends_p: tuple[float, ...], ends_q: tuple[float, ...]
) -> Integral:
    low, high = min(ends_p[0], ends_q[0]), max(ends_p[1], ends_q[1])

    def inside(x: Family, ends: tuple[float, ...]) -> Callable[[float], float]:
        def log_density(at: float) -> float:
            if not ends[0] <= at <= ends[1]:
                return -math.inf
            return float(np.squeeze(x.log_density(at)))

        return log_density

    cuts = set(ends_p)
    for x in (p, q):
        drawn = _drawn(x)
        if drawn.size:
            places = np.quantile(drawn, _LEVELS)
            width = places[-1] - places[0]
            # Beyond them tails would be narrow peaks on an interval without end.
            cuts |= {float(v) for v in (places[0] - width, *places, places[-1] + width)}
    return integrated_kl(
        "kl_divergence",
        inside(p, ends_p),
        inside(q, ends_q),
        low,
        high,
        {x for x in cuts if low < x < high},
        False,
        _TOLERANCE,
        isinstance(q, Other),
        # Some compute in float32.
        TRUSTED if isinstance(p, Other) or isinstance(q, Other) else 0.0,
    )


def _by_summation(p: Family, q: Family, low: float, high: float) -> Integral:
    """Add up p log(p/q) from the mode on, both ways, until what is beyond is bounded."""
    total = _Sum(p, q)
    top = _mode(p, low, high)
    rest = total.add(top, 1.0, high) + total.add(top - 1, -1.0, low)
    if math.isinf(total.value) or (total.flat and total.mass > 0.5):
        return Integral(math.inf, 0.0)
    if total.flat:
        rest = math.inf
    if not abs(total.mass - 1) <= TRUSTED + rest:
        raise Doubtful(f"the probabilities of p add up to {total.mass:.9g} around {top:g}")
    if rest > max(TRUSTED * abs(total.value), NEGLIGIBLE):
        raise Doubtful(
            f"the sum converges too slowly: beyond {total.most} terms there may be {rest:g} of it,"
            f" before them {total.value:g}"
        )
    # By how much the probabilities are wrong, their sum shows.
    rounding = (
        2.0**-50 * total.size
        + 2.0**-52 * total.factorials
        + 4 * abs(total.mass - 1) * max(1.0, abs(total.value))
    )
    return Integral(total.value, rest + rounding)


def _mode(p: Family, low: float, high: float) -> float:
    """Most probable value, of one top: the highest on a grid of all scales and around it."""
    drawn = _drawn(p)
    starts = [end for end in (low, high) if math.isfinite(end)] or drawn[:1].tolist() or [0.0]
    steps = np.unique(np.floor(2.0 ** np.arange(0, 53, 0.125)))
    x = np.concatenate([*(start + sign * steps for start in starts for sign in (-1, 1)), starts])
    x = np.concatenate([x, np.quantile(drawn, _LEVELS, method="nearest")]) if drawn.size else x
    while True:
        x = np.unique(x[(x >= low) & (x <= high)])
        found = np.ravel(p.log_density(x))
        _numbers(x, p=found)
        best = int(found.argmax())
        before, after = x[max(best - 1, 0)], x[min(best + 1, x.size - 1)]
        if after - before <= 2 or x.size < 3:
            return float(x[best])
        between = np.unique(np.round(np.linspace(before - x[best], after - x[best], 65)))
        x = x[best] + between


def _numbers(x: Floats, **logs: Floats) -> None:
    for name, found in logs.items():
        wrong = np.isnan(found)
        if wrong.any():
            raise Doubtful(f"the log-probability of {name} is nan at {x[wrong][0]:g}")


class _Sum:
    """Σ p log(p/q) as far as it has been added up, Σ p, and the size of what was rounded.

    It is `flat` where the terms do not fall although Q's tail is ever less than P's.
    """

    def __init__(self, p: Family, q: Family) -> None:
        self.p, self.q = p, q
        self.most = _MOST_OTHERS if isinstance(p, Other) or isinstance(q, Other) else _MOST
        self.value = self.mass = self.size = self.factorials = 0.0
        self.flat = False

    def add(self, start: float, sign: float, end: float) -> float:
        """Add up one way, in blocks that grow; return a bound of what is beyond."""
        taken, block = 0, _FIRST
        while (left := (end - start) * sign + 1 - taken) > 0:
            size = int(min(block, left))
            self._take(start + sign * np.arange(taken, taken + size, dtype=np.float64))
            taken, block = taken + size, 2 * block
            if math.isinf(self.value) or size == left:
                return 0.0
            beyond = self._beyond(start, sign, np.array([0.75 * taken, taken]), end)
            if beyond < _ROUNDING:
                return beyond
            if taken >= self.most:
                far = taken * np.append(0.75, np.exp2(np.arange(0.0, 49 - taken.bit_length(), 8)))
                return self._beyond(start, sign, far, end)
        return 0.0

    def _logs(self, x: Floats) -> tuple[Floats, Floats]:
        log_p, log_q = (np.ravel(f.log_density(x)) for f in (self.p, self.q))
        _numbers(x, p=log_p, q=log_q)
        return log_p, log_q

    def _take(self, x: Floats) -> None:
        log_p, log_q = self._logs(x)
        share = np.exp(log_p)
        nothing = (log_q == -np.inf) & (share > 0)
        if nothing.any() and not isinstance(self.q, Other):
            self.value = math.inf
            return
        if share[nothing].sum() > _LOST:
            raise Doubtful(
                f"the probability of q is 0 or below the least number at {x[nothing][0]:g}, where"
                f" that of p is {share[nothing][0]:g}"
            )
        counted = (share > 0) & ~nothing
        x = np.abs(x[counted])
        share, log_p, log_q = share[counted], log_p[counted], log_q[counted]
        apart = log_p - log_q
        # Log-probabilities are differences of such as log x!.
        self.factorials += float((share * x * np.log1p(x) * (1 + np.abs(apart))).sum())
        self.value += float((share * apart).sum())
        self.mass += float(share.sum())
        self.size += float((share * (np.abs(log_p) + np.abs(log_q))).sum())

    def _beyond(self, start: float, sign: float, distances: Floats, end: float) -> float:
        """Bound of the terms from the second of some distances on.

        On the scale of logarithms they fall as a power, or ever faster: the flattest slope between
        the distances bounds them.
        """
        distances = np.floor(distances[(end - start) * sign > distances])
        log_p, log_q = self._logs(start + sign * distances)
        if distances.size < 2 or (log_p == -np.inf).any():
            return 0.0 if (log_p == -np.inf).any() else math.inf
        apart = log_p - np.where(log_q == -np.inf, -_FAR, log_q)
        logs = log_p + np.log1p(np.abs(apart)) + np.log(distances)
        slopes = np.diff(logs) / np.diff(np.log(distances))
        if distances.size > 2:
            self.flat |= bool(
                (slopes >= FLAT).all() and apart[0] > 1 and (np.diff(apart) > 0).all()
            )
        slope = float(slopes.max())
        if slope >= FLAT:
            return math.inf
        # The sum from a term on is below that term and the integral from there on.
        return float(np.exp(logs[1])) * (1 / -slope + 1 / float(distances[1]))
