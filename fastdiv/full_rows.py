r"""Intervals for divergences of a row whose tail is unknown and one that is known in full.

With every q known, the bounds of :mod:`fastdiv.intervals` need no cell of unknown pairs:

1. lower: the tail of P is min(t·q, cap), one water-filling equation for t;
2. upper: the tail of P fills the tokens of smallest q up to the cap, the extreme point at which
   every f-divergence is largest, so each upper bound is attained if the given numbers are exact;
3. KL, where the entropy H of the tail is known too: Σ p log(p/q) = −H − Σ p log q over the tail,
   and a linear function on the distributions of that entropy is bounded by its dual: with
   a = −log q,

   .. math:: \sum p\,a \ge \nu p_t + \tau H
       + \sum_j \min_{0\le p\le\mathrm{cap}}[p\,a_j + \tau p\log p - \nu p]

   for every τ > 0 and ν, and likewise from above with −τ and max. The best p is e^c·q^{1/τ} from
   below, e^c·q^{−1/τ} from above, each cut at the cap. τ and c come from a histogram of a; any
   values are safe.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdiv.intervals import (
    GENERATORS,
    LARGEST,
    LARGEST_OF,
    SMALLEST,
    UNIT,
    Array,
    Both,
    Count,
    Only,
    Sum,
    known_maximum,
    known_minimum,
    mass,
    only_terms,
    total,
)

__all__ = ["FullPair", "full_bounds"]

BINS = 128
Bounds = tuple[dict[str, Array], dict[str, Array]]


class FullPair(NamedTuple):
    """Rows of P with a tail, and all of Q.

    Attributes
    ----------
    both : Both
        The known tokens of P.
    tail_low, tail_high, cap, entropy : ndarray, shape (rows,)
        Of the tail of P.
    log_q : ndarray, shape (rows, vocabulary)
        +inf at the tokens that P knows.
    delta : ndarray, shape (rows,)
        Error of `log_q`.
    """

    both: Both
    tail_low: Array
    tail_high: Array
    cap: Array
    entropy: Array
    log_q: Array
    delta: Array


def _slack(found: Sum, pair: FullPair, terms: Count = 0) -> Array:
    """Return what rounding and the error of log q may have changed."""
    size = np.where(np.isfinite(found.size), found.size, 0.0)
    # NumPy adds up along rows pairwise: some 20 roundings for a row of a million.
    return ((192.0 + terms) * UNIT + 2 * pair.delta) * size + SMALLEST


def full_bounds(pair: FullPair) -> Bounds:
    """Return the lower and the upper bounds of the four divergences."""
    rows = pair.tail_low.size
    free = pair.log_q < np.inf
    q = np.exp(np.where(free, pair.log_q, -np.inf))
    q_tail = q.sum(-1)
    count = np.bincount(pair.both.row, minlength=rows)
    lower = _lower(pair, q, q_tail, count)
    upper = _upper(pair, q, q_tail, free, count)
    known = (pair.entropy >= 0) & (pair.tail_high > 0) & np.isfinite(upper["kl"])
    if known.any():
        _by_entropy(pair, known, q, q_tail, count, lower["kl"], upper["kl"])
    return lower, upper


def _level(q: Array, q_tail: Array, cap: Array, target: Array) -> Array:
    """Return log t with Σ min(t·q, cap) = target."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = target / q_tail
        over = np.flatnonzero(t * q.max(-1) > cap)
        for _ in range(100):
            if not over.size:
                break
            some = q[over]
            capped = some * t[over, None] > cap[over, None]
            held = capped.sum(-1) * cap[over]
            free = np.where(capped, 0.0, some).sum(-1)
            step = (target[over] - held) / free
            moved = (free > 0) & (held < target[over]) & (step > t[over] * (1 + 8 * UNIT))
            # Without room for the rest, every token is at its cap.
            t[over] = np.where(moved, step, np.where(held < target[over], np.inf, t[over]))
            t[over] = np.where((step <= t[over]) & (free > 0), np.maximum(step, 0), t[over])
            over = over[moved]
        s: Array = np.clip(np.nan_to_num(np.log(t), nan=-LARGEST), -LARGEST, LARGEST)
    return s


def _lower(pair: FullPair, q: Array, q_tail: Array, count: NDArray[np.intp]) -> dict[str, Array]:
    rows = q_tail.size
    low, high = pair.tail_low, pair.tail_high
    candidates = [_level(q, q_tail, pair.cap, 0.5 * (low + high)), np.zeros(rows)]
    loose = high - low > 1e-12 * high
    if loose.any():
        end = np.where(candidates[0] > 0, low, high)
        end_level = _level(q, q_tail, pair.cap, end)
        candidates.append(np.where(loose, end_level, candidates[0]))
    known = {name: known_minimum(g.term, pair.both, rows) for name, g in GENERATORS.items()}
    found = {name: np.zeros(rows) for name in GENERATORS}
    largest = q.max(-1)
    for s in candidates:
        over = np.flatnonzero(largest * np.exp(np.minimum(s, 700)) > pair.cap)
        capped = np.empty((0, q.shape[1]), np.bool_)
        if over.size:
            capped = q[over] > (pair.cap[over] * np.exp(-s[over]))[:, None]
        free = q_tail.copy()
        free[over] = np.where(capped, 0.0, q[over]).sum(-1)
        at, token = np.nonzero(capped)
        row = over[at]
        held, log_q = q[row, token], pair.log_q[row, token]
        only = Only(row, held, held, log_q, log_q)
        terms = count + np.bincount(row, minlength=rows)
        for name, generator in GENERATORS.items():
            lam, mu = generator.of_p(s), generator.of_q(s)
            bound = known[name].plus(mu * free)
            value, size = only_terms(generator.term, only, pair.cap, -s, lam, mirrored=True)
            bound = bound.plus(total(row, value, rows), total(row, size, rows))
            bound = bound.plus(mass(lam, (low, high)), np.abs(lam) * high)
            with np.errstate(invalid="ignore"):
                found[name] = np.fmax(found[name], bound.value - _slack(bound, pair, terms))
    room = (q > 0).sum(-1) * pair.cap
    # exp may have lost what log q has.
    room = np.where((np.isfinite(pair.log_q) & (q == 0)).any(-1), np.inf, room)
    found["kl"] = np.where(low > room * (1 + 1e-12), np.inf, found["kl"])
    for name, most_of_all in LARGEST_OF.items():
        found[name] = np.minimum(found[name], most_of_all)
    return found


def _upper(
    pair: FullPair, q: Array, q_tail: Array, free: NDArray[np.bool_], count: NDArray[np.intp]
) -> dict[str, Array]:
    """Return upper bounds: the value of the extreme point that is best for all divergences.

    Tail tokens of P that are 0 add `share`·q each, so a sum over the filled ones is enough. It runs
    along the row one by one: what comes after the filled ones adds exact zeros, and the bits of a
    row do not depend on how far its neighbours are filled.
    """
    rows, width = q.shape
    tokens = free.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cap = np.fmax(pair.cap, pair.tail_high / tokens)
        most = np.where(cap > 0, pair.tail_high / cap, 0.0)
    columns = int(min(width, np.ceil(most.max(initial=0.0)) + 1))
    if 4 * columns < width:
        smallest = np.partition(pair.log_q, columns - 1, axis=-1)[:, :columns]
        smallest.sort(axis=-1)
    else:
        smallest, columns = np.sort(pair.log_q, axis=-1), width
    inside = smallest < np.inf
    log_q = np.where(inside, smallest, -np.inf)
    filled = np.exp(log_q)
    # Of the tokens of the tail that Q has, as many as there are in all.
    present = (free & (pair.log_q > -np.inf)).sum(-1)
    place = np.arange(columns)
    share = {"kl": 1.0, "reverse_kl": 0.0, "js": 0.5 * LARGEST_OF["js"], "tv": 0.5}
    known = {name: known_maximum(g.term, pair.both, rows) for name, g in GENERATORS.items()}
    found = {name: np.full(rows, -np.inf) for name in GENERATORS}

    def running(name: str, p: Array) -> Sum:
        with np.errstate(divide="ignore", invalid="ignore"):
            d = np.log(p) - log_q
        value, size = GENERATORS[name].term(p, filled, d)
        gain = np.where(p > 0, value - share[name] * filled, 0.0)
        sizes = np.where(p > 0, size + p + filled, 0.0)
        return Sum(np.cumsum(gain, axis=-1), np.cumsum(sizes, axis=-1))

    for end in (pair.tail_low, pair.tail_high):
        p = np.where(inside, np.clip(end[:, None] - place * cap[:, None], 0.0, cap[:, None]), 0.0)
        number = (p > 0).sum(-1)
        # What is left of a subtraction may be nothing but its rounding.
        sure = ((p > 1e-12 * cap[:, None]) & (log_q > -np.inf)).sum(-1)
        for name in GENERATORS:
            sums = running(name, p)
            bound = known[name].plus(sums.value[:, -1], sums.size[:, -1])
            bound = bound.plus(share[name] * q_tail, q_tail)
            found[name] = np.maximum(found[name], bound.value + _slack(bound, pair, count + number))
        found["reverse_kl"] = np.where(sure < present, np.inf, found["reverse_kl"])
    # Limits of the tail that are apart have more extreme points between: only tokens at the cap.
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(cap > 0, np.ceil(pair.tail_low / cap * (1 - 1e-12)), np.inf)
        last = np.where(cap > 0, np.floor(pair.tail_high / cap * (1 + 1e-12)), 0.0)
    between = first <= last
    if between.any():
        number = np.arange(columns + 1)
        allowed = (number >= first[:, None]) & (number <= last[:, None])
        p = np.where(inside, cap[:, None], 0.0)
        for name in ("kl", "js", "tv"):
            sums = running(name, p)
            start = np.zeros((rows, 1))
            best = np.where(allowed, np.hstack([start, sums.value]), -np.inf).max(-1)
            sizes = np.where(allowed, np.hstack([start, sums.size]), 0.0).max(-1)
            with np.errstate(invalid="ignore"):
                bound = known[name].plus(best, sizes).plus(share[name] * q_tail, q_tail)
                most_of_it = bound.value + _slack(bound, pair, count + np.fmin(last, columns))
            found[name] = np.where(between, np.fmax(found[name], most_of_it), found[name])
        # A token at 0 that Q has; where all are at the cap, so they are at one of the ends.
        fewer = between & (first <= tokens - 1) & (q_tail > 0)
        found["reverse_kl"] = np.where(fewer, np.inf, found["reverse_kl"])
    for name, most_of_all in LARGEST_OF.items():
        found[name] = np.minimum(found[name], most_of_all)
    return found


def _by_entropy(
    pair: FullPair,
    rows: NDArray[np.bool_],
    q: Array,
    q_tail: Array,
    count: NDArray[np.intp],
    lower: Array,
    upper: Array,
) -> None:
    """Tighten the bounds of KL, in place."""
    some = np.flatnonzero(rows)
    term = GENERATORS["kl"].term
    least, most = (f(term, pair.both, rows.size) for f in (known_minimum, known_maximum))
    log_q, cap, entropy = pair.log_q[some], pair.cap[some], pair.entropy[some]
    low, high = pair.tail_low[some], pair.tail_high[some]
    # Tokens that P knows are at +inf here; their p is 0 by the mask.
    inside = log_q < np.inf
    a = np.where(inside, -log_q, 0.0)
    histogram = _histogram(a, inside)
    entropy_error = 2.0**-40 * (entropy + high)
    for sign in (1.0, -1.0):
        tau, c = _gibbs(histogram, sign, 0.5 * (low + high), cap, entropy)
        with np.errstate(over="ignore", divide="ignore"):
            log_cap = np.log(cap)
            log_p = c[:, None] - sign * a / tau[:, None]
            capped = log_p > log_cap[:, None]
            p = np.where(inside & ~capped, np.exp(np.minimum(log_p, 0.0)), 0.0)
        nu = sign * tau * (c + 1)
        free = p.sum(-1)
        held = inside & capped
        held_count = held.sum(-1)
        held_a = np.where(held, a, 0.0).sum(-1)
        # The optimum of each token: -sign·tau·p where it is free.
        value = -sign * tau * free + cap * (held_a + held_count * (sign * tau * log_cap - nu))
        size = tau * free + cap * (
            np.abs(held_a) + held_count * (tau * np.abs(log_cap) + np.abs(nu))
        )
        # A rounding of log p counts twice in free tokens, whose p is best to first order.
        size = size + (free + cap * held_count) * (1 + tau * np.abs(c) + np.abs(a).max(-1))
        found = Sum(value, size).plus(sign * tau * entropy).plus(-entropy)
        found = found.plus(q_tail[some])
        wider = np.abs(sign * tau - 1) * entropy_error
        ends = [(nu - 1) * end for end in (low, high)]
        size_of_ends = (np.abs(nu) + 1) * high
        part = FullPair(pair.both, low, high, cap, entropy, log_q, pair.delta[some])
        with np.errstate(invalid="ignore"):
            if sign > 0:
                found = found.plus(np.minimum(*ends), size_of_ends)
                found = Sum(found.value + least.value[some], found.size + least.size[some])
                bound = found.value - _slack(found, part, count[some]) - wider
                lower[some] = np.fmax(lower[some], bound)
            else:
                found = found.plus(np.maximum(*ends), size_of_ends)
                found = Sum(found.value + most.value[some], found.size + most.size[some])
                bound = found.value + _slack(found, part, count[some]) + wider
                upper[some] = np.fmin(upper[some], bound)


def _histogram(a: Array, inside: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the number of tokens per bin of a, and their mean."""
    rows = a.shape[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        start = np.where(inside, a, np.inf).min(-1)
        stop = np.where(inside, a, -np.inf).max(-1)
        scale = np.nan_to_num((BINS - 1e-6) / (stop - start), nan=0.0, posinf=0.0)
        bins = ((a - start[:, None]) * scale[:, None]).astype(np.int64)
    place = (bins + BINS * np.arange(rows)[:, None])[inside]
    shape = rows, BINS
    number = np.bincount(place, minlength=rows * BINS).reshape(shape).astype(np.float64)
    sums = np.bincount(place, weights=a[inside], minlength=rows * BINS).reshape(shape)
    return number, sums / np.maximum(number, 1)


def _gibbs(
    histogram: tuple[Array, Array], sign: float, target: Array, cap: Array, entropy: Array
) -> tuple[Array, Array]:
    """Return τ and c for which min(cap, e^(c − sign·a/τ)) has the mass and entropy asked for."""
    number, a = histogram
    log_cap = np.log(np.maximum(cap, 1e-300))
    low, high = np.full(target.size, -5.0), np.full(target.size, 7.0)
    c = np.zeros(target.size)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(24):
            tau = np.exp(0.5 * (low + high))
            exponent = -sign * a / tau[:, None]
            exponent = np.where(number > 0, exponent, -np.inf)
            top = exponent.max(-1)
            weight = np.exp(exponent - top[:, None])
            held = np.zeros(target.size)
            capped = np.zeros(number.shape, np.bool_)
            for _ in range(12):
                room = np.where(capped, 0.0, number * weight).sum(-1)
                c = np.log(np.maximum(target - held, 1e-300) / room) - top
                more = (exponent + c[:, None] > log_cap[:, None]) & (number > 0) & ~capped
                # A row with nothing below the cap is as full as it can be.
                more[(more | capped | (number == 0)).all(-1)] = False
                if not more.any():
                    break
                capped |= more
                held = np.where(capped, number, 0.0).sum(-1) * cap
            log_p = np.minimum(exponent + c[:, None], log_cap[:, None])
            have = -np.where(number > 0, number * np.exp(log_p) * log_p, 0.0).sum(-1)
            low, high = (
                np.where(have < entropy, 0.5 * (low + high), low),
                np.where(have < entropy, high, 0.5 * (low + high)),
            )
    c = np.clip(np.nan_to_num(c, nan=0.0), -LARGEST, LARGEST)
    return tau, c
