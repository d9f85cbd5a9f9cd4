"""Integrals of positive functions that are given by their logarithms, over one interval.

QUADPACK sees a function at a few points only, and what it says of an integral that does not exist
may be any number. So peaks are looked for first, on a grid of all scales, and the interval is cut
at them; towards 0 and infinity logarithms are the variable; and of each end it is asked whether the
function falls there at all.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fastdiv.extras import scipy_module

__all__ = [
    "FLAT",
    "NEGLIGIBLE",
    "TRUSTED",
    "Doubtful",
    "Integral",
    "Interval",
    "cuts_of",
    "end_slopes",
    "reach_of",
]

Log = Callable[[float], float]

# Slope of a logarithm that no number tells from 0.
FLAT = -1e-6
# Relative error that a result may have if QUADPACK had something to complain of.
TRUSTED = 1e-6
NEGLIGIBLE = 1e-12
# Below the top: about one, four and nine standard deviations of a Gaussian.
_DROPS = (0.5, 8.0, 40.0)
_PEAKS = 12
# Ratio of two cuts between which logarithms are the variable.
_WIDE = 4.0
# Of logarithms of distances: to the least normal number.
_LEAST = -708.0
_SMALLEST = 1e-300
# Subdivisions of a piece at first, and of all: noise would take as many as there are.
_FIRST, _ALL = 10, 1000
# What rounding leaves of the square of a difference of logarithms.
_ROUNDING = 2.0**-100
_SEGMENTS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Doubtful(Exception):
    """An integral that may not exist, or that was not found; the text says why."""


@dataclass(frozen=True)
class Integral:
    """What quadrature found, and its estimate of its absolute error.

    Attributes
    ----------
    value, error : float
    """

    value: float
    error: float


@dataclass(frozen=True)
class Interval:
    """An interval and where it is cut; how far out logarithms of its functions are numbers.

    Its errors name the `function` that was called.
    """

    function: str
    low: float
    high: float
    cuts: Sequence[float]
    reach: float

    def integral(self, log_f: Log, tolerance: float) -> Integral:
        """∫ exp(log f); `Doubtful` if QUADPACK doubts it and its error is no small one."""
        quad = scipy_module(self.function, "scipy.integrate").quad
        known_logs = {x: log_f(x) for x in self.cuts}

        def noted(x: float) -> float:
            known_logs[x] = log_f(x)
            return known_logs[x]

        pieces = list(self._pieces(noted))
        # No digits are asked of a piece that adds nothing, nor those that a log q − log p has not.
        rough = math.fsum(quad(*piece, limit=1, full_output=True)[0] for piece in pieces)
        known = 2.0**-52 * math.sqrt(max(rough, 0.0))
        wanted = max(tolerance * rough / 16, known, _of_places(known_logs))
        absolute = max(wanted / len(pieces), _ROUNDING)
        # Twice as many at a time, so that no piece spends what another one needs.
        found = [(0.0, math.inf, "", True)] * len(pieces)
        limit, left = _FIRST, _ALL
        while left > 0 and (short := [i for i, x in enumerate(found) if x[3]]):
            for i in sorted(short, key=lambda i: -found[i][1]):
                if left <= 0 and limit > _FIRST:
                    break
                some = quad(
                    *pieces[i], epsabs=absolute, epsrel=tolerance, limit=limit, full_output=True
                )
                said = " ".join(some[3].split()) if len(some) > 3 else ""
                found[i] = (*some[:2], said, bool(said) and some[2]["last"] >= limit)
                left -= some[2]["last"] - 1
            limit *= 2
        value, error = math.fsum(x[0] for x in found), math.fsum(x[1] for x in found)
        allowed = max(TRUSTED * value, NEGLIGIBLE)
        for _, of_piece, said, cut_short in found:
            if said and not of_piece <= allowed:
                raise Doubtful(
                    f"{_ALL} subdivisions of the support were spent before its integral, about"
                    f" {value:g}, was found"
                    if cut_short
                    else f"QUADPACK: {said}"
                )
        if not value >= -error:
            raise Doubtful(f"the integral of a positive function came out as {value:g}")
        return Integral(value, error + _of_places(known_logs))

    def ends(self) -> list[tuple[float, tuple[float, list[float]]]]:
        """Return ends, points that approach each, and the logarithm of their distances' ratio."""
        found = []
        for sign, end, last in ((-1.0, self.low, self.cuts[0]), (1.0, self.high, self.cuts[-1])):
            if math.isinf(end):
                near = math.log(self._outwards(sign))
                step = (math.log(self.reach) - near) / 4
                if step < 1:
                    continue
                at = [last + sign * math.exp(near + step * i) for i in (2, 3, 4)]
            elif end == 0:
                near = math.log(abs(last))
                step = (near - _LEAST) / 4
                if step < 1:
                    continue
                at = [-sign * math.exp(near - step * i) for i in (2, 3, 4)]
            else:
                # Powers of two of the end's own unit: those differences are exact.
                least = math.frexp(abs(math.nextafter(end, last) - end))[1] + 1
                most = math.frexp(abs(last - end))[1] - 2
                if most - least < 12:
                    continue
                step = 4 * math.log(2)
                at = [end - sign * math.ldexp(1.0, least + i) for i in (8, 4, 0)]
            found.append((end, (step, at)))
        return found

    def _outwards(self, sign: float) -> float:
        """Distance from the outermost cut from which on logarithms are the variable."""
        first, last = self.cuts[0], self.cuts[-1]
        outermost = last if sign > 0 else first
        return last - first or abs(outermost) or 1.0

    def _pieces(self, log_f: Log) -> Iterable[tuple[Log, float, float]]:
        def plain(x: float) -> float:
            return math.exp(log_f(x))

        def distant(start: float, sign: float) -> Log:
            def f(u: float) -> float:
                return math.exp(log_f(start + sign * math.exp(u)) + u)

            return f

        for sign, end, last in ((-1.0, self.low, self.cuts[0]), (1.0, self.high, self.cuts[-1])):
            if math.isinf(end):
                width = self._outwards(sign)
                beside = last + sign * width
                yield plain, min(last, beside), max(last, beside)
                near = math.log(width)
                far = max(math.log(self.reach), near + _SEGMENTS[0])
                at = [near, *(near + x for x in _SEGMENTS if near + x < far), far]
                for a, b in itertools.pairwise(at):
                    yield distant(last, sign), a, b
            elif end == 0:
                near = math.log(abs(last))
                if near - _SEGMENTS[0] < _LEAST:
                    yield plain, min(end, last), max(end, last)
                    continue
                at = [near, *(near - x for x in _SEGMENTS if near - x > _LEAST), _LEAST]
                for b, a in itertools.pairwise(at):
                    yield distant(0.0, -sign), a, b
            else:
                yield plain, min(end, last), max(end, last)
        for a, b in itertools.pairwise(self.cuts):
            if (a > 0 or b < 0) and max(a / b, b / a) > _WIDE:
                sign = math.copysign(1.0, a)
                near, far = sorted((math.log(abs(a)), math.log(abs(b))))
                yield distant(0.0, sign), near, far
            else:
                yield plain, a, b


def _of_places(logs: dict[float, float]) -> float:
    """Error that the rounding of x leaves: the variation of the function times a unit."""
    heights = [(math.exp(logs[x]), math.ulp(x)) for x in sorted(logs)]
    # Of the higher place: of a power it is the unit that counts.
    return math.fsum(abs(a[0] - b[0]) * max(a, b)[1] for a, b in itertools.pairwise(heights))


def end_slopes(step: float, at: Sequence[float], end: float, log_f: Log) -> tuple[float, float]:
    """How log(f·distance) changes towards an end in units of the distance's logarithm; its last.

    Where both slopes are not below 0 there is as much on every scale: the integral is infinite. The
    greater one is returned.
    """
    start = 0.0 if math.isinf(end) else end
    logs = [log_f(x) + math.log(abs(x - start)) for x in at]
    if -math.inf in logs:
        return -math.inf, logs[-1]
    return max((b - a) / step for a, b in itertools.pairwise(logs)), logs[-1]


def reach_of(*sounds: Callable[[float], bool]) -> float:
    """Greatest distance from 0, a power of two, where the first question, or the next, is true."""
    for sound in sounds:
        for exponent in range(1020, 0, -15):
            if sound(math.ldexp(1.0, exponent)):
                return math.ldexp(1.0, exponent)
    return 1.0


def _grid(low: float, high: float, reach: float) -> list[float]:
    """Points of all scales inside an interval."""
    scales = np.concatenate(
        [np.logspace(-300, -20, 141), np.logspace(-19.75, -4, 64), np.logspace(-3.95, 5, 180),
         np.logspace(5.25, 20, 60), np.logspace(20.5, 300, 140)]
    )  # fmt: skip
    found: list[np.ndarray] = []
    if math.isinf(low) and math.isinf(high):
        found = [-scales[scales < reach], np.zeros(1), scales[scales < reach]]
    else:
        if not math.isinf(low):
            found.append(low + scales)
        if not math.isinf(high):
            found.append(high - scales)
        if not math.isinf(high - low):
            found.append(np.linspace(low, high, 258))
    x = np.unique(np.concatenate(found))
    return [float(v) for v in x if low < v < high and abs(v) <= reach]


def cuts_of(logs: Sequence[Log], low: float, high: float, reach: float) -> set[float]:
    """Tops of functions on every scale, and where each has fallen by a few powers of e."""
    points, found = _grid(low, high, reach), set[float]()
    for log_f in logs:
        measures = [log_f]
        for end in (low, high):
            if not math.isinf(end):
                measures.append(_per_scale(log_f, end))
        if len(measures) == 1:
            measures.append(_per_scale(log_f, 0.0))
        for f in measures:
            found |= _peaks(f, points)
    return {x for x in found if low < x < high and (x == 0 or abs(x) >= _SMALLEST)}


def _per_scale(log_f: Log, end: float) -> Log:
    return lambda x: log_f(x) + math.log(abs(x - end)) if x != end else -math.inf


def _peaks(f: Log, points: Sequence[float]) -> set[float]:
    values = [f(x) for x in points]
    tops, first = [], 0
    for i in range(1, len(points) + 1):
        if i < len(points) and values[i] == values[first]:
            continue
        rises = first > 0 and values[first - 1] < values[first]
        if rises and i < len(points) and values[i] < values[first]:
            tops.append((values[first], points[first - 1], points[(first + i - 1) // 2], points[i]))
        first = i
    found = set[float]()
    for _, before, middle, after in sorted(tops, reverse=True)[:_PEAKS]:
        top = _highest(f, before, middle, after)
        found.add(top)
        height = f(top)
        if math.isinf(height):
            continue
        for drop in _DROPS:
            for limit in (points[0], points[-1]):
                found |= _fallen(f, top, limit, height - drop)
    return found


def _highest(f: Log, before: float, middle: float, after: float) -> float:
    """Golden section: of what is −∞ somewhere a parabola says nothing."""
    best = f(middle)
    for _ in range(60):
        left = middle - before > after - middle
        at = middle - 0.381966 * (middle - before) if left else middle + 0.381966 * (after - middle)
        if not before < at < after or at == middle:
            break
        height = f(at)
        if height > best:
            before, after = (before, middle) if left else (middle, after)
            middle, best = at, height
        else:
            before, after = (at, after) if left else (before, at)
    return middle


def _fallen(f: Log, top: float, limit: float, level: float) -> set[float]:
    """Where a function falls below a level, on the way from a top to a limit."""
    if f(limit) >= level:
        return set()
    sign, near, far = math.copysign(1.0, limit - top), math.ulp(top), abs(limit - top)
    if f(top + sign * near) < level:
        return set()
    while far > near:
        ratio = far / near
        middle = math.sqrt(near) * math.sqrt(far) if ratio > 2 else near + (far - near) / 2
        if not near < middle < far:
            break
        if f(top + sign * middle) < level:
            far = middle
        else:
            near = middle
    return {top + sign * near}
