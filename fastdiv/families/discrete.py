"""Families of whole numbers."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fastdiv.divergences import kl_divergence
from fastdiv.evaluation import row_name
from fastdiv.families.base import ExponentialFamily, Family, Floats, Missing
from fastdiv.families.special import (
    digamma_difference,
    exp_beyond_line,
    factorial_rest,
    from_special,
    gamma_bregman,
    log_ratio,
    logistic,
    logit,
    ratio_excess,
)

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Geometric",
    "NegativeBinomial",
    "Poisson",
]


def bernoulli_divergence(
    p: Floats,
    q: Floats,
    difference: Floats | None = None,
    rest_q: Floats | None = None,
    rest_p: Floats | None = None,
) -> Floats:
    """KL of one trial, as a sum of p log(p/q) − p + q ≥ 0 over both outcomes."""
    difference = q - p if difference is None else difference
    rest_p, rest_q = 1 - p if rest_p is None else rest_p, 1 - q if rest_q is None else rest_q
    found = np.zeros(np.broadcast(p, q).shape)
    for x, y, d in ((p, q, difference), (rest_p, rest_q, -difference)):
        term = x * ratio_excess(y, x, d)
        found = found + np.where(x == 0, y + 0.0 * x, term)
    return found


def _bernoulli_towards(p: Floats, q: Floats, t: Floats) -> Floats:
    """KL of one trial from that a part t of the way to q, on a line of logits."""
    apart = log_ratio(q, p) - log_ratio(1 - q, 1 - p, p - q)
    # Beside each other the probabilities are p and (1 − p) e^−way; none may leave the doubles.
    way = t * apart
    yes, no = np.where(way < 0, np.exp(way), 1.0), np.where(way < 0, 1.0, np.exp(-way))
    whole = p * yes + (1 - p) * no
    step = p * (1 - p) * np.sign(way) * -np.expm1(-np.abs(way)) / whole
    return bernoulli_divergence(p, p * yes / whole, step, (1 - p) * no / whole)


def _failures_towards(p: Floats, q: Floats, t: Floats, rest_p: Floats, rest_q: Floats) -> Floats:
    """KL of one trial from that whose failures have (1 − p)((1 − q)/(1 − p))^t."""
    way = t * log_ratio(rest_q, rest_p, -_beside(p, q, rest_p, rest_q))
    step = -rest_p * np.expm1(way)
    return bernoulli_divergence(p, p + step, step, rest_p * np.exp(way), rest_p) / p


def _beside(p: Floats, q: Floats, rest_p: Floats, rest_q: Floats) -> Floats:
    """Return q − p, of the smaller numbers."""
    return np.where((p > 0.5) & (q > 0.5), rest_p - rest_q, q - p)


def _log_choice(yes: Floats, no: Floats, p: Floats, rest: Floats) -> Floats:
    """Log of (yes + no)!/(yes! no!) p^yes (1 − p)^no, of numbers that need not be whole.

    By both Poisson's deviances, of which nothing cancels, however many trials there are (Loader).
    """
    n = yes + no
    beside = np.where(p > 0.5, no - n * rest, n * p - yes)
    found = 0.5 * np.log(n / (2 * math.pi * yes * no)) + factorial_rest(n)
    for x, share, d in ((yes, p, beside), (no, rest, -beside)):
        found = found - x * ratio_excess(n * share, x, d) - factorial_rest(x)
    never = np.where(no == 0, 0.0, no * _log_of_rest(p, rest))
    always = yes * _log_of_rest(rest, p)
    return np.where(yes == 0, never, np.where(no == 0, always, found))


def _log_of_rest(p: Floats, rest: Floats) -> Floats:
    """Log(1 − p), of the smaller number."""
    return np.where(p > 0.5, np.log(rest), np.log1p(-p))


_TERMS = 2**22  # of one sum
_SMOOTH = 50.0  # standard deviations between the ends of the support and the mean
_PRODUCTS = 2**20  # factors whose logarithms are added up
_FALL = 42.0  # nats below its largest where a probability is nothing


class Discrete(Family):
    """What is on whole numbers.

    Expectations of log-densities with factorials are sums, to 1e-14: over all numbers with a
    probability that is not below e⁻⁴² of the largest; or, of a probability that is smooth at the
    ends, over every m-th, which m below a quarter of the standard deviation does not change.
    """

    discrete: ClassVar[bool] = True

    @property
    def support(self) -> tuple[Floats, Floats]:
        """From 0 on."""
        return np.zeros(()), np.full((), np.inf)

    def mean_variance(self) -> Floats:
        """Variance."""
        raise Missing

    def summed_log_density(self, of: Family) -> Floats:
        """E log q(x) of this q by a sum."""
        if not isinstance(of, Discrete):
            raise Missing
        shape = np.broadcast_shapes(self.batch_shape, of.batch_shape)
        found = np.empty(shape)
        for index in np.ndindex(shape):
            p, q = (_at(x, index, shape) for x in (of, self))
            if p.unknown or q.unknown:
                found[index] = np.nan
                continue
            x = _places(p._reach())
            logs = p.log_density(x)
            weights = np.exp(logs - logs.max())
            terms = np.where(weights == 0, 0.0, weights * q.log_density(x))
            found[index] = math.fsum(terms) / math.fsum(weights)
        return found

    def summed_divergence(self, other: Any, where: NDArray[np.bool_], found: Floats) -> Floats:
        """KL by a sum where it is asked for, else what was found; `_log_odds` has log(q/p)."""
        shape = np.broadcast_shapes(self.batch_shape, other.batch_shape)
        where, found = np.broadcast_to(where, shape), np.broadcast_to(found, shape).copy()
        for index in zip(*np.nonzero(where), strict=True) if shape else [()] * bool(where):
            found[index] = _sum_of_ratios(*(_at(x, index, shape) for x in (self, other)))
        return found

    def _log_odds(self, other: Any, x: Floats) -> Floats:
        """Log(q(x)/p(x)), with its digits for near parameters."""
        raise Missing

    def _reach(self) -> tuple[float, float, float]:
        """Return from where by which steps to where a sum is all of a sum, of one distribution."""
        low, high = (float(end) for end in self.support)
        mean, deviation = (
            float(self.expectation("identity")),
            math.sqrt(float(self.mean_variance())),
        )
        step = 1.0
        if min(mean - low, high - mean) > _SMOOTH * deviation and deviation > 8:
            step = math.floor(deviation / 4)
        middle = math.floor(mean)
        # The mode is at most a deviation from the mean.
        top = float(
            self.log_density(
                np.clip(middle + np.linspace(-1, 1, 65) * deviation // 1, low, high)
            ).max()
        )
        ends = []
        for sign, end in ((-1, low), (1, high)):
            reach = step
            while sign * (middle + sign * reach) < sign * end and reach < 2**60:
                if float(self.log_density(middle + sign * reach)) < top - _FALL:
                    break
                reach *= 2
            ends.append(reach)
        below = min(ends[0], (middle - low) // step * step)
        above = min(ends[1], (high - middle) // step * step)
        if (below + above) / step > _TERMS:
            raise ValueError(
                f"{type(self).__name__}: a standard deviation is {deviation:g}: E log x! would be"
                f" a sum of more than {_TERMS} terms; it takes smaller ones"
            )
        return middle - below // step * step, step, middle + above // step * step


def _places(reach: tuple[float, float, float]) -> Floats:
    first, step, last = reach
    return first + step * np.arange((last - first) // step + 1)


def _sum_of_ratios(p: Any, q: Any) -> float:
    """KL of two that are both distributions of one number each."""
    reaches = p._reach(), q._reach()
    x = _places(reaches[0])
    logs = p.log_density(x)
    top = logs.max()
    weights = np.exp(logs - top)
    odds = np.where(weights == 0, 0.0, p._log_odds(q, x))
    terms = -weights * odds
    plain = math.fsum(terms)
    # Of terms of both signs little may be left: for near P and Q those that have none below 0.
    if not abs(plain) < math.fsum(np.abs(terms)) / 8:
        return plain / math.fsum(weights)
    ends = min(r[0] for r in reaches), max(r[2] for r in reaches)
    step = min(r[1] for r in reaches)
    if (ends[1] - ends[0]) / step > 2 * _TERMS:
        raise ValueError(
            f"{type(p).__name__}: KL would be a sum of more than {2 * _TERMS} terms; it takes"
            " smaller standard deviations"
        )
    x = _places((ends[0], step, ends[1]))
    weights, others = (np.exp(y.log_density(x) - top) for y in (p, q))
    odds = np.where(weights == 0, 0.0, p._log_odds(q, x))
    near = weights * exp_beyond_line(odds)
    terms = np.where((np.abs(odds) < 1) & (weights > 0), near, others - weights - weights * odds)
    return math.fsum(terms) / math.fsum(weights)


def _log_of_products(a: Floats, b: Floats, x: Floats, sign: float) -> Floats:
    """Σ log((b ± k)/(a ± k)) over k < x: ratios of Γ, of which no term has another sign."""
    most, d = float(x.max()), b - a
    if most < _PRODUCTS:
        k = sign * np.arange(most)
        sums = np.concatenate([[0.0], np.cumsum(log_ratio(b + k, a + k, d))])
        return np.asarray(sums[x.astype(np.int64)])
    # By ψ from end to end, which leaves what is of d².
    start = a + 0.0 * x if sign > 0 else a + 1 - x
    there, back = (gamma_bregman(y, y + d, d) for y in (start + x, start))
    return np.asarray(there - back + d * digamma_difference(start, start + x, x))


def _at(x: Family, index: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """One distribution of a batch."""
    made = object.__new__(type(x))
    for name, given in vars(x).items():
        object.__setattr__(made, name, np.asarray(np.broadcast_to(given, shape)[index]))
    return made


@dataclass(frozen=True, eq=False)
class Bernoulli(Discrete, ExponentialFamily):
    """Bernoulli: 1 with probability p, else 0.

    Parameters
    ----------
    p : array_like
    """

    p: Any
    domains: ClassVar[dict[str, str]] = {"p": "probability"}

    def as_binomial(self) -> "Binomial":
        """Return the same distribution as a Binomial."""
        return Binomial.unchecked(np.ones(()), self.p)

    def divergence_from(self, other: "Bernoulli") -> Floats:
        return bernoulli_divergence(self.p, other.p)

    def divergence_towards(self, other: "Bernoulli", t: Floats) -> Floats:
        return _bernoulli_towards(self.p, other.p, t)

    @property
    def support(self) -> tuple[Floats, Floats]:
        """0 and 1."""
        return np.zeros(()), np.ones(())

    @property
    def natural_parameters(self) -> Floats:
        """log(p/(1 − p)), for x."""
        return logit(self.p)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.logaddexp(0.0, eta[..., 0])

    def _gradient(self, eta: Floats) -> Floats:
        return logistic(eta)

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(logistic(eta[..., 0]))

    def mean_identity(self) -> Floats:
        return np.asarray(self.p)

    def mean_variance(self) -> Floats:
        return np.asarray(self.p * (1 - self.p))

    def mean_log_density(self, of: Family) -> Floats:
        if not isinstance(of, Bernoulli):
            raise Missing
        yes = np.where(of.p == 0, 0.0, of.p * np.log(self.p))
        return np.asarray(yes + np.where(of.p == 1, 0.0, (1 - of.p) * np.log1p(-self.p)))

    def _log_density(self, x: Floats) -> Floats:
        return self.as_binomial()._log_density(x)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(rng.random(size) < self.p, np.float64)


@dataclass(frozen=True, eq=False)
class Categorical(ExponentialFamily):
    """Categorical: category i with probability pᵢ; rows are divided by their sums.

    Parameters
    ----------
    p : array_like, shape (…, categories)
    """

    p: Any
    domains: ClassVar[dict[str, str]] = {"p": "nonnegative"}
    axes: ClassVar[dict[str, int]] = {"p": 1}
    discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        empty = (self.p == 0).all(axis=-1)
        if empty.any():
            index = tuple(int(i) for i in np.argwhere(empty)[0])
            raise ValueError(
                f"Categorical: p, row {row_name(index)}, is 0 everywhere; it takes weights, not all"
                " 0"
            )

    def _shares(self) -> Floats:
        shares = self.p / self.p.max(axis=-1, keepdims=True)  # whose sum is in the range of doubles
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True))

    def divergence_from(self, other: "Categorical") -> Floats:
        return np.asarray(kl_divergence(self.p, other.p))

    @property
    def support(self) -> tuple[Floats, Floats]:
        """The numbers of the categories."""
        return np.zeros(()), np.full((), self.p.shape[-1] - 1.0)

    @property
    def natural_parameters(self) -> Floats:
        """Log-probabilities of all categories but the last, less that of the last."""
        return log_ratio(self.p[..., :-1], self.p[..., -1:])

    def _log_partition(self, eta: Floats) -> Floats:
        found = np.logaddexp.reduce(eta, axis=-1, initial=-np.inf)
        return np.asarray(np.logaddexp(found, 0.0))

    def _gradient(self, eta: Floats) -> Floats:
        return np.exp(eta - self._log_partition(eta)[..., None])

    def _of_natural(self, eta: Floats) -> Self:
        logs = np.concatenate([eta, np.zeros((*eta.shape[:-1], 1))], axis=-1)
        return self.unchecked(np.exp(logs - logs.max(axis=-1, keepdims=True)))

    def mean_log_density(self, of: Family) -> Floats:
        if not isinstance(of, Categorical):
            raise Missing
        p = of._shares()
        return np.asarray(np.where(p == 0, 0.0, p * np.log(self._shares())).sum(axis=-1))

    def _log_density(self, x: Floats) -> Floats:
        inside = (x >= 0) & (x < self.p.shape[-1]) & (x == np.floor(x))
        found = np.log(self._shares()[np.where(inside, x, 0.0).astype(np.int64)])
        return np.where(inside | np.isnan(x), found + 0.0 * x, -np.inf)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.choice(self.p.shape[-1], size, p=self._shares()).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Binomial(Discrete, ExponentialFamily):
    """Binomial: the successes of n trials. An exponential family for one n.

    The divergence has a closed form for equal n; it is +inf where P has more trials than Q, and a
    sum over the numbers of P where it has fewer.

    Parameters
    ----------
    n, p : array_like
        Trials, and the probability of each to succeed.
    """

    n: Any
    p: Any
    domains: ClassVar[dict[str, str]] = {"n": "count", "p": "probability"}
    nuisance: ClassVar[tuple[str, ...]] = ("n",)

    def divergence_from(self, other: "Binomial") -> Floats:
        certain = (self.p == 0) | (self.n == 0)
        found = self.n * bernoulli_divergence(self.p, other.p)
        found = np.where(certain, -other.n * np.log1p(-other.p), found)
        known = ~certain & ~np.isnan(found)
        found = np.where((self.n > other.n) & known, np.inf, found)
        fewer = (self.n < other.n) & known
        # Q is certain of what P is not.
        never = fewer & ((other.p == 0) | (other.p == 1))
        return self.summed_divergence(other, fewer & ~never, np.where(never, np.inf, found))

    def _log_odds(self, other: "Binomial", x: Floats) -> Floats:
        p, q = self.p, other.p
        x = np.minimum(x, self.n)  # beyond is nothing of P
        choices = _log_of_products(self.n, other.n, x, -1.0)
        yes = x * log_ratio(q, p)
        no = np.where(x == self.n, 0.0, (self.n - x) * log_ratio(1 - q, 1 - p, p - q))
        return np.asarray(choices + yes + no + (other.n - self.n) * np.log1p(-q))

    def divergence_towards(self, other: "Binomial", t: Floats) -> Floats:
        return np.asarray(self.n * _bernoulli_towards(self.p, other.p, t))

    @property
    def support(self) -> tuple[Floats, Floats]:
        """0 to n, or only 0."""
        return np.zeros(()), np.where(self.p == 0, 0.0, self.n)

    @property
    def natural_parameters(self) -> Floats:
        """log(p/(1 − p)), for x."""
        return np.broadcast_to(logit(self.p), self.batch_shape)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(self.n * np.logaddexp(0.0, eta[..., 0]))

    def _gradient(self, eta: Floats) -> Floats:
        return np.asarray(self.n[..., None] * logistic(eta))

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(self.n, logistic(eta[..., 0]))

    def _log_density(self, x: Floats) -> Floats:
        return _log_choice(x, self.n - x, self.p, 1 - self.p)

    def mean_identity(self) -> Floats:
        return np.asarray(self.n * self.p)

    def mean_variance(self) -> Floats:
        return np.asarray(self.n * self.p * (1 - self.p))

    def mean_log_density(self, of: Family) -> Floats:
        return self.summed_log_density(of)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.binomial(self.n.astype(np.int64), self.p, size).astype(np.float64)


@dataclass(frozen=True, eq=False)
class NegativeBinomial(Discrete, ExponentialFamily):
    """Negative binomial: failures before success r. An exponential family for one r.

    The divergence has a closed form for equal r; else it is a sum over the numbers of P.

    Parameters
    ----------
    r, p : array_like
        Successes, any positive number; and the probability of each.
    """

    r: Any
    p: Any
    domains: ClassVar[dict[str, str]] = {"r": "positive", "p": "chance"}
    nuisance: ClassVar[tuple[str, ...]] = ("r",)

    @classmethod
    def of_failures(cls, r: Floats, failure: Floats, p: Floats | None = None) -> Self:
        """Make one by the probability of what is counted, whose digits 1 − p may not have."""
        made = cls(r, 1 - failure if p is None else p)
        object.__setattr__(made, "_failure", failure)
        return made

    @property
    def failure(self) -> Floats:
        """Probability of what is counted, 1 − p."""
        found: Floats | None = vars(self).get("_failure")
        return np.asarray(1 - self.p) if found is None else found

    def divergence_from(self, other: "NegativeBinomial") -> Floats:
        beside = _beside(self.p, other.p, self.failure, other.failure)
        one = bernoulli_divergence(self.p, other.p, beside, other.failure, self.failure)
        found = np.asarray(self.r * (one / self.p))
        differs = ((self.r < other.r) | (self.r > other.r)) & ~np.isnan(found)
        certain = differs & (self.failure == 0)
        found = np.where(certain, -other.r * _log_of_rest(other.failure, other.p), found)
        # Of a Q that is certain and a P that is not KL is +inf, whatever r.
        return self.summed_divergence(other, differs & ~certain & (other.failure > 0), found)

    def _log_odds(self, other: "NegativeBinomial", x: Floats) -> Floats:
        beside = _beside(self.p, other.p, self.failure, other.failure)
        log_p = _log_of_rest(self.failure, self.p)
        never = (other.r - self.r) * log_p + other.r * log_ratio(other.p, self.p, beside)
        failures = x * log_ratio(other.failure, self.failure, -beside)
        return np.asarray(_log_of_products(self.r, other.r, x, 1.0) + never + failures)

    def divergence_towards(self, other: "NegativeBinomial", t: Floats) -> Floats:
        towards = _failures_towards(self.p, other.p, t, self.failure, other.failure)
        return np.asarray(self.r * towards)

    @property
    def natural_parameters(self) -> Floats:
        """log(1 − p), for x."""
        logs = _log_of_rest(self.p, self.failure)
        return np.broadcast_to(logs, self.batch_shape)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(-self.r * np.log(-np.expm1(eta[..., 0])))

    def _gradient(self, eta: Floats) -> Floats:
        return np.asarray(self.r[..., None] / np.expm1(-eta))

    def _of_natural(self, eta: Floats) -> Self:
        p = -np.expm1(eta[..., 0])
        made = self.unchecked(self.r, np.where(p > 0, p, np.nan))
        object.__setattr__(made, "_failure", np.exp(eta[..., 0]))
        return made

    def mean_identity(self) -> Floats:
        return np.asarray(self.r * self.failure / self.p)

    def _log_density(self, x: Floats) -> Floats:
        found = _log_choice(self.r + 0.0 * x, x, self.p, self.failure)
        return np.asarray(found - np.log1p(x / self.r))

    def mean_variance(self) -> Floats:
        return np.asarray(self.mean_identity() / self.p)

    def mean_log_density(self, of: Family) -> Floats:
        return self.summed_log_density(of)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.negative_binomial(self.r, self.p, size).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Geometric(Discrete, ExponentialFamily):
    """Geometric: trials until the first success, or failures before it.

    Parameters
    ----------
    p : array_like
        Probability of success.
    start : array_like, default 1
        1 counts the trials, 0 the failures.
    """

    p: Any
    start: Any = 1.0
    domains: ClassVar[dict[str, str]] = {"p": "chance", "start": "start"}
    nuisance: ClassVar[tuple[str, ...]] = ("start",)

    def as_negative_binomial(self) -> NegativeBinomial:
        """Return the distribution of the failures."""
        if (self.start != 0).any():
            raise Missing
        return NegativeBinomial.unchecked(np.ones(()), self.p)

    def divergence_from(self, other: "Geometric") -> Floats:
        found = bernoulli_divergence(self.p, other.p) / self.p
        found = found - np.where(self.start > other.start, np.log1p(-other.p), 0.0)
        return np.where(self.start < other.start, np.inf, found)

    def divergence_towards(self, other: "Geometric", t: Floats) -> Floats:
        return _failures_towards(self.p, other.p, t, 1 - self.p, 1 - other.p)

    @property
    def support(self) -> tuple[Floats, Floats]:
        """From the start on."""
        return self.start, np.full((), np.inf)

    @property
    def natural_parameters(self) -> Floats:
        """log(1 − p), for the failures."""
        return np.broadcast_to(np.log1p(-self.p), self.batch_shape)[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.asarray(-np.log(-np.expm1(eta[..., 0])))

    def _gradient(self, eta: Floats) -> Floats:
        return 1 / np.expm1(-eta)

    def _of_natural(self, eta: Floats) -> Self:
        p = -np.expm1(eta[..., 0])
        return self.unchecked(np.where(p > 0, p, np.nan), self.start)

    def mean_identity(self) -> Floats:
        return np.asarray((1 - self.p) / self.p + self.start)

    def mean_variance(self) -> Floats:
        return np.asarray((1 - self.p) / self.p**2)

    def mean_log_density(self, of: Family) -> Floats:
        failures = of.expectation("identity") - self.start
        rest = np.where(failures == 0, 0.0, failures * np.log1p(-self.p))
        return np.asarray(np.log(self.p) + rest)

    def _log_density(self, x: Floats) -> Floats:
        failures = x - self.start
        found = np.log(self.p) + from_special("xlog1py")(failures, -self.p)
        return np.asarray(np.where(failures < 0, -np.inf, found))

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(rng.geometric(self.p, size) - 1.0 + self.start)


@dataclass(frozen=True, eq=False)
class Poisson(Discrete, ExponentialFamily):
    """Poisson.

    Parameters
    ----------
    rate : array_like
        The mean; 0 is certainly 0.
    """

    rate: Any
    domains: ClassVar[dict[str, str]] = {"rate": "nonnegative"}

    def divergence_from(self, other: "Poisson") -> Floats:
        found = self.rate * ratio_excess(other.rate, self.rate)
        return np.asarray(np.where(self.rate == 0, other.rate + 0.0 * self.rate, found))

    def divergence_towards(self, other: "Poisson", t: Floats) -> Floats:
        return np.asarray(self.rate * exp_beyond_line(t * log_ratio(other.rate, self.rate)))

    @property
    def natural_parameters(self) -> Floats:
        """Log λ, for x."""
        return np.asarray(np.log(self.rate))[..., None]

    def _log_partition(self, eta: Floats) -> Floats:
        return np.exp(eta[..., 0])

    def _gradient(self, eta: Floats) -> Floats:
        return np.exp(eta)

    def _of_natural(self, eta: Floats) -> Self:
        return self.unchecked(np.exp(eta[..., 0]))

    def mean_identity(self) -> Floats:
        return np.asarray(self.rate)

    def mean_variance(self) -> Floats:
        return np.asarray(self.rate)

    def mean_log_density(self, of: Family) -> Floats:
        return self.summed_log_density(of)

    def _log_density(self, x: Floats) -> Floats:
        found = x * ratio_excess(self.rate, x) + np.log(2 * math.pi * x) / 2 + factorial_rest(x)
        return np.where(x == 0, -self.rate, -found)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return rng.poisson(self.rate, size).astype(np.float64)
