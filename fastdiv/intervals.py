r"""Intervals for divergences of rows of which only some probabilities are known.

What is known of P: for tokens of a set A limits of each probability, for the rest (the tail) limits
of their sum and a cap on each. Of Q likewise: B. Every f-divergence D is the sum of φ(p, q) =
q f(p/q) over tokens, here with f(1) = f′(1) = 0, so that no term is negative.

**Lower bounds.** D is jointly convex, so its minimum over all pairs (P, Q) that agree with what is
known equals the maximum of the Lagrangian dual. With multipliers λ for the tail mass of P and μ for
that of Q,

.. math:: D \ge \sum_{A\cap B}\min\varphi + \sum_{A\setminus B}\min_q[\varphi(p,q)-\mu q]
    + \sum_{B\setminus A}\min_p[\varphi(p,q)-\lambda p] + N\min_{p,q}[\varphi-\lambda p-\mu q]
    + \lambda p_t + \mu q_t

whatever λ and μ are; N counts the tokens in neither set. With λ = f′(t₁), μ = f(t₂) − t₂f′(t₂) the
minima are at p = min(t₁q, cap) and q = min(p/t₂, cap), and that of the last cell is 0 if t₁ ≤ t₂.

The best t₁ and t₂ are the ratios p/q that the minimising pair has in its free cells. Since
dμ/dt = −t dλ/dt for every f, **they do not depend on f**: one solution, of water-filling equations,
serves KL, its reverse, JS and TV. It is found by Newton steps and need not be exact to be safe.

**Upper bounds.** φ is convex, so its maximum is at an extreme point: tail tokens at the cap, one at
what is left, the others at 0. −∂²φ/∂p∂q ≥ 0, so the largest p belong to the smallest q.

**Rounding.** Limits of probabilities are widened by a few units in the last place. Of every sum the
sum of the sizes of what was added is kept too; `(64 + terms)·2⁻⁵³` times it is the allowance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Both", "Only", "Pair", "lower_bounds", "specht"]

Array: TypeAlias = NDArray[np.float64]
Index: TypeAlias = NDArray[np.int64]
Count: TypeAlias = "NDArray[np.integer[Any]] | int"

UNIT = 2.0**-53
LARGEST = 690.0  # of |log t|: e^690 and its reciprocal are normal numbers
SMALLEST = 1e-290  # more than all that underflows in a sum


LARGEST_OF = {"js": 0.6931471805599454, "tv": 1.0}  # log 2, rounded up


class Only(NamedTuple):
    """Tokens known on one side only: their limits there, and the row of each."""

    row: Index
    low: Array
    high: Array
    log_low: Array
    log_high: Array

    @property
    def middle(self) -> Array:
        """The value to solve with."""
        return 0.5 * (self.low + self.high)


class Both(NamedTuple):
    """Tokens known on both sides."""

    row: Index
    p: Only
    q: Only


class Pair(NamedTuple):
    """Everything that is known of rows of P and Q."""

    rows: int
    both: Both
    p_only: Only
    q_only: Only
    neither: Array
    p_tail: tuple[Array, Array]
    q_tail: tuple[Array, Array]
    p_cap: Array
    q_cap: Array

    def reversed(self) -> "Pair":
        """Exchange P and Q."""
        both = Both(self.both.row, self.both.q, self.both.p)
        return Pair(
            self.rows, both, self.q_only, self.p_only, self.neither,
            self.q_tail, self.p_tail, self.q_cap, self.p_cap,
        )  # fmt: skip


class Sum(NamedTuple):
    """A sum per row, and the sum of the sizes of its parts."""

    value: Array
    size: Array

    def plus(self, value: Array, size: Array | None = None) -> "Sum":
        """Add one part per row."""
        return Sum(self.value + value, self.size + (np.abs(value) if size is None else size))


Term: TypeAlias = Callable[[Array, Array, Array], tuple[Array, Array]]


def kl_term(p: Array, q: Array, d: Array) -> tuple[Array, Array]:
    """Return p·d − p + q for d = log(p/q), and its size."""
    with np.errstate(invalid="ignore", over="ignore"):
        # d knows of a p that exp has lost.
        weighted = np.where(d == np.inf, np.inf, np.where(p > 0, p * d, 0.0))
        rest = np.where(np.abs(d) < 1, p * np.expm1(-d), q - p)
    return weighted + rest, np.abs(weighted) + np.abs(rest)


def reverse_kl_term(p: Array, q: Array, d: Array) -> tuple[Array, Array]:
    """Return q·log(q/p) − q + p, and its size."""
    return kl_term(q, p, -d)


def js_term(p: Array, q: Array, d: Array) -> tuple[Array, Array]:
    """Return half of p·log(2p/(p + q)) + q·log(2q/(p + q)), and its size."""
    # Beyond the limits one of the two is less than 1e-300 of the other.
    d = np.clip(np.nan_to_num(d, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)
    of_p = -0.5 * p * np.log1p(0.5 * np.expm1(-d))
    of_q = -0.5 * q * np.log1p(0.5 * np.expm1(d))
    return of_p + of_q, np.abs(of_p) + np.abs(of_q)


def tv_term(p: Array, q: Array, d: Array) -> tuple[Array, Array]:
    """Return half of the difference, and its size."""
    half = 0.5 * np.abs(p - q)
    return half, half


class Generator(NamedTuple):
    """An f-divergence: φ, and the multipliers λ and μ as functions of log t."""

    term: Term
    of_p: Callable[[Array], Array]
    of_q: Callable[[Array], Array]


def _same(s: Array) -> Array:
    return s


def _reciprocal(s: Array) -> Array:
    value: Array = -np.expm1(-s)
    return value


def _js_slope(s: Array) -> Array:
    value: Array = -0.5 * np.log1p(0.5 * np.expm1(-s))
    return value


def _tv_slope(s: Array) -> Array:
    value: Array = 0.5 * np.sign(s)
    return value


GENERATORS = {
    "kl": Generator(kl_term, _same, lambda s: _reciprocal(-s)),
    "reverse_kl": Generator(reverse_kl_term, _reciprocal, lambda s: -s),
    "js": Generator(js_term, _js_slope, lambda s: _js_slope(-s)),
    "tv": Generator(tv_term, _tv_slope, lambda s: _tv_slope(-s)),
}


def specht(span: float) -> float:
    r"""Return the largest KL divergence of two distributions whose log-ratios span `span`.

    x = log(p/q) has E_q[eˣ] = 1, that is E_p[e⁻ˣ] = 1, and KL = E_p[x] = log E_p[y] − E_p[log y]
    with y = e⁻ˣ. For y in [m, hm], h = e^span, this reverse of Jensen's inequality is largest for
    two values at the ends; its maximum over m is the logarithm of Specht's ratio,

    .. math:: \log S(h) = r - 1 - \log r, \qquad r = \frac{\log h}{h-1}

    Examples
    --------
    >>> round(specht(2.0), 6), round(specht(0.01) / (0.01**2 / 8), 4)
    (0.474475, 1.0)
    """
    if span < 0.05:
        # The series: r - 1 - log r cancels. Its next term is -span**4 / 576.
        return span * span / 8
    if span > 700:
        return span - 1 - float(np.log(span))
    ratio = span / float(np.expm1(span))
    return ratio - 1 - float(np.log(ratio))


def total(row: Index, parts: Array, rows: int) -> Array:
    """Add `parts` up by row."""
    sums: NDArray[Any] = np.bincount(row, weights=parts, minlength=rows)
    # Of no parts at all NumPy makes integers.
    return np.asarray(sums, np.float64)


def allowance(found: Sum, terms: Count) -> Array:
    """Return what rounding may have changed."""
    # An infinite sum is no rounding's doing.
    size = np.where(np.isfinite(found.size), found.size, 0.0)
    return np.asarray((64.0 + terms) * UNIT * size + SMALLEST, np.float64)


def water_level(row: Index, values: Array, cap: Array, target: Array) -> Array:
    """Return per row the t with Σ min(t·value, cap) = target; inf where the cap prevents it.

    Newton's method from the left: the sum is concave in t and piecewise linear, so the steps ascend
    and end at the root.
    """
    rows = target.size
    level = np.zeros(rows)
    room = total(row, (values > 0).astype(np.float64), rows) * cap
    full = (target > 0) & (room <= target)
    level[full] = np.inf
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        open_rows = (target > 0) & ~full
        level = np.where(open_rows, target / total(row, values, rows), level)
        for _ in range(200):
            here = open_rows[row]
            if not here.any():
                break
            row, values = row[here], values[here]
            capped = level[row] * values >= cap[row]
            free = total(row, np.where(capped, 0.0, values), rows)
            held = total(row, capped.astype(np.float64), rows) * cap
            step = (target - held) / free
            moved = open_rows & (free > 0) & (step > level * (1 + 4 * UNIT))
            level = np.where(moved, step, level)
            open_rows = moved
    return level


def _bisect(excess: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return where a function that falls from low to high is 0."""
    for _ in range(70):
        middle = 0.5 * (low + high)
        above = excess(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return 0.5 * (low + high)


def solve(pair: Pair, p_tail: Array, q_tail: Array) -> tuple[Array, Array]:
    """Return log t₁ and log t₂ for given tail masses."""
    p_only, q_only, count = pair.p_only, pair.q_only, pair.neither
    p_cap, q_cap = pair.p_cap, pair.q_cap
    p, q = p_only.middle, q_only.middle
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        top = np.log(water_level(q_only.row, q, p_cap, p_tail))
        bottom = -np.log(water_level(p_only.row, p, q_cap, q_tail))
        # The cell of neither may hold count·cap at most; what more there is must be elsewhere.
        p_room = np.where(np.isinf(count), np.inf, count * p_cap)
        q_room = np.where(np.isinf(count), np.inf, count * q_cap)
        p_room, q_room = np.nan_to_num(p_room, posinf=np.inf), np.nan_to_num(q_room, posinf=np.inf)
        over_p, over_q = np.maximum(p_tail - p_room, 0), np.maximum(q_tail - q_room, 0)
        least = np.full(pair.rows, -np.inf)
        most = np.full(pair.rows, np.inf)
        if over_p.any():
            least = np.log(water_level(q_only.row, q, p_cap, over_p))
        if over_q.any():
            most = -np.log(water_level(p_only.row, p, q_cap, over_q))
    top, bottom, least, most = (np.clip(x, -LARGEST, LARGEST) for x in (top, bottom, least, most))
    s1, s2 = top.copy(), bottom.copy()
    coupled = (bottom < top) & (count > 0)
    if coupled.any():
        both = _coupled(pair, coupled, p_tail, q_tail, bottom, top)
        s1, s2 = np.where(coupled, both, s1), np.where(coupled, both, s2)
        for bound, other in ((coupled & (s1 < least), "q"), (coupled & (s2 > most), "p")):
            if not bound.any():
                continue
            if other == "q":
                s1 = np.where(bound, least, s1)

                def left_q(s: Array) -> Array:
                    t = np.exp(s)
                    held = total(
                        p_only.row, np.minimum(p, t[p_only.row] * q_cap[p_only.row]), t.size
                    )
                    rest: Array = p_room - (t * q_tail - held)
                    return rest

                s2 = np.where(bound, np.minimum(_bisect(left_q, bottom, top), most), s2)
            else:
                s2 = np.where(bound, most, s2)

                def left_p(s: Array) -> Array:
                    t = np.exp(s)
                    held = np.minimum(q * t[q_only.row], p_cap[q_only.row])
                    rest: Array = p_tail - total(q_only.row, held, t.size) - t * q_room
                    return rest

                s1 = np.where(bound, np.maximum(_bisect(left_p, bottom, top), least), s1)
    return s1, s2


def _coupled(
    pair: Pair, rows: NDArray[np.bool_], p_tail: Array, q_tail: Array, low: Array, high: Array
) -> Array:
    """Return log t where what is left of P and of Q for the cell of neither is in the ratio t.

    p_t − Σ min(t·q, cap) − t·q_t + Σ min(p, t·cap) falls between the limits: Newton, bisection
    where a step leaves them.
    """
    p_only, q_only = pair.p_only, pair.q_only
    count = pair.rows
    s = np.clip(np.log(np.maximum(p_tail, 1e-300) / np.maximum(q_tail, 1e-300)), low, high)
    low, high = low.copy(), high.copy()
    p_row, p, q_row, q = p_only.row, p_only.middle, q_only.row, q_only.middle
    p_cap, q_cap = pair.p_cap, pair.q_cap
    running = rows.copy()
    for _ in range(100):
        here_p, here_q = running[p_row], running[q_row]
        if not here_p.all():
            p_row, p = p_row[here_p], p[here_p]
        if not here_q.all():
            q_row, q = q_row[here_q], q[here_q]
        t = np.exp(s)
        free_q, free_p = q * t[q_row] < p_cap[q_row], p < t[p_row] * q_cap[p_row]
        q_slope = total(q_row, np.where(free_q, q, 0.0), count)
        q_held = total(q_row, (~free_q).astype(np.float64), count) * p_cap
        p_held = total(p_row, np.where(free_p, p, 0.0), count)
        p_slope = total(p_row, (~free_p).astype(np.float64), count) * q_cap
        constant, slope = p_tail - q_held + p_held, q_tail + q_slope - p_slope
        excess = constant - slope * t
        low, high = np.where(excess > 0, s, low), np.where(excess > 0, high, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.log(constant / slope)
        inside = (step >= low) & (step <= high)
        step = np.where(inside, step, 0.5 * (low + high))
        running = running & (np.abs(step - s) > 1e-14 * (1 + np.abs(s)))
        s = np.where(running, step, s)
        if not running.any():
            break
    return s


def only_terms(
    term: Term, known: Only, cap: Array, s: Array, multiplier: Array, *, mirrored: bool
) -> tuple[Array, Array]:
    """Return min over y in [0, cap] of φ − multiplier·y; the known x is P, or Q if mirrored.

    y = min(x·e^−s, cap). The minimum is a convex function of x whose slope is 0 at x = cap, and
    grows with x everywhere if s ≥ 0; so the x of the limits that attains it is known too.
    """
    row = known.row
    limit, ratio, price = cap[row], s[row], multiplier[row]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_limit = np.log(limit)
        rises = ratio >= 0
        log_x = np.where(rises, known.log_low, np.clip(log_limit, known.log_low, known.log_high))
        x = np.where(rises, known.low, np.clip(limit, known.low, known.high))
        d = np.maximum(ratio, log_x - log_limit)
        y = np.minimum(x * np.exp(-ratio), limit)
        value, size = term(y, x, -d) if mirrored else term(x, y, d)
        paid = price * y
    return value - paid, size + np.abs(paid)


def known_minimum(term: Term, both: Both, rows: int) -> Sum:
    """Return the least that the tokens known on both sides can add."""
    p, q = both.p, both.q
    above, below = p.log_low > q.log_high, p.log_high < q.log_low
    with np.errstate(invalid="ignore"):
        d = np.where(above, p.log_low - q.log_high, np.where(below, p.log_high - q.log_low, 0.0))
        value, size = term(np.where(above, p.low, p.high), np.where(above, q.high, q.low), d)
    apart = above | below
    return Sum(
        total(both.row, np.where(apart, value, 0.0), rows),
        total(both.row, np.where(apart, size, 0.0), rows),
    )


def known_maximum(term: Term, both: Both, rows: int) -> Sum:
    """Return the most that the tokens known on both sides can add.

    Of the corners of the limits, (high, low) or (low, high): along either edge from one of the
    other two, φ grows in one direction.
    """
    p, q = both.p, both.q
    with np.errstate(invalid="ignore"):
        first, size_1 = term(p.high, q.low, p.log_high - q.log_low)
        second, size_2 = term(p.low, q.high, p.log_low - q.log_high)
    larger = first >= second
    return Sum(
        total(both.row, np.where(larger, first, second), rows),
        total(both.row, np.where(larger, size_1, size_2), rows),
    )


def mass(multiplier: Array, tail: tuple[Array, Array]) -> Array:
    """Return the least of multiplier·mass over the limits of the mass."""
    return np.minimum(multiplier * tail[0], multiplier * tail[1])


def _dual(generator: Generator, pair: Pair, known: Sum, s1: Array, s2: Array) -> Sum:
    """Return the dual function; valid for all s1 and s2."""
    rows = pair.rows
    lam, mu = generator.of_p(s1), generator.of_q(s2)
    found = known
    for only, cap, s, price, mirrored in (
        (pair.p_only, pair.q_cap, s2, mu, False),
        (pair.q_only, pair.p_cap, -s1, lam, True),
    ):
        value, size = only_terms(generator.term, only, cap, s, price, mirrored=mirrored)
        found = found.plus(total(only.row, value, rows), total(only.row, size, rows))
    found = found.plus(mass(lam, pair.p_tail), np.abs(lam) * pair.p_tail[1])
    found = found.plus(mass(mu, pair.q_tail), np.abs(mu) * pair.q_tail[1])
    apart = (s1 > s2) & (pair.neither > 0)
    if apart.any():
        # The minimum of a homogeneous function over a box is 0, or on the far edges.
        least = np.zeros(rows)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            log_p, log_q = np.log(pair.p_cap), np.log(pair.q_cap)
            q = np.minimum(pair.p_cap * np.exp(-s2), pair.q_cap)
            at_p, _ = generator.term(pair.p_cap, q, np.maximum(s2, log_p - log_q))
            p = np.minimum(pair.q_cap * np.exp(s1), pair.p_cap)
            at_q, _ = generator.term(p, pair.q_cap, np.minimum(s1, log_p - log_q))
            at_p = np.nan_to_num(at_p - lam * pair.p_cap - mu * q, nan=0.0, posinf=0.0)
            at_q = np.nan_to_num(at_q - lam * p - mu * pair.q_cap, nan=0.0, posinf=0.0)
            least = np.minimum(np.minimum(at_p, at_q), 0.0)
            cell = np.where(apart, pair.neither * least, 0.0)
            size = np.where(apart, pair.neither * (np.abs(lam * p) + np.abs(mu * q)), 0.0)
            size = size + np.where(apart, np.abs(cell), 0.0)
        found = found.plus(
            np.nan_to_num(cell, nan=-np.inf, neginf=-np.inf), np.nan_to_num(size, posinf=0.0)
        )
    return found


def lower_bounds(pair: Pair) -> dict[str, Array]:
    """Return certified lower bounds of the four divergences, one number per row."""
    rows = pair.rows
    middle = [0.5 * (low + high) for low, high in (pair.p_tail, pair.q_tail)]
    candidates = [solve(pair, *middle)]
    loose = np.zeros(rows, np.bool_)
    for low, high in (pair.p_tail, pair.q_tail):
        loose |= high - low > 1e-12 * high
    if loose.any():
        # The minimising pair puts the mass of a tail at one end of its limits, or has t = 1.
        first, second = candidates[0]
        p_end = np.where(first > 0, *pair.p_tail)
        q_end = np.where(second < 0, *pair.q_tail)
        for ends in ((p_end, q_end), (pair.p_tail[1], pair.q_tail[1])):
            s1, s2 = solve(pair, *ends)
            candidates.append((np.where(loose, s1, first), np.where(loose, s2, second)))
        level = [np.where(loose, 0.0, s) for s in candidates[0]]
        candidates.append((level[0], level[1]))
    terms = sum(
        np.bincount(only.row, minlength=rows) for only in (pair.both, pair.p_only, pair.q_only)
    )
    found = {}
    for name, generator in GENERATORS.items():
        known = known_minimum(generator.term, pair.both, rows)
        at = candidates
        if name == "tv" and loose.any():
            # Its dual is piecewise linear: any multiplier may be the best, but only at the ends.
            first, second = candidates[0]
            for end in (1.0, -1.0):
                at = [*at, (np.where(loose, end, first), np.where(loose, end, second))]
        best = np.zeros(rows)
        for s1, s2 in at:
            dual = _dual(generator, pair, known, s1, s2)
            with np.errstate(invalid="ignore"):
                bound = dual.value - allowance(dual, terms)
            best = np.fmax(best, bound)
        found[name] = best
    found["kl"] = np.where(_without_room(pair), np.inf, found["kl"])
    found["reverse_kl"] = np.where(_without_room(pair.reversed()), np.inf, found["reverse_kl"])
    for name, most in LARGEST_OF.items():
        found[name] = np.minimum(found[name], most)
    return found


def _without_room(pair: Pair) -> NDArray[np.bool_]:
    """Return where some mass of P must be on tokens to which Q gives nothing."""
    held = total(pair.q_only.row, (pair.q_only.log_high > -np.inf).astype(np.float64), pair.rows)
    room = np.where((pair.q_tail[1] > 0) & (pair.neither > 0), np.inf, held * pair.p_cap)
    zero = pair.q_cap[pair.p_only.row] == 0
    lost = total(pair.p_only.row, np.where(zero, pair.p_only.low, 0.0), pair.rows) > 0
    return lost | (pair.p_tail[0] > room * (1 + 1e-12))
