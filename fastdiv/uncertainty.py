r"""How sure a figure is: standard errors, intervals, the bootstrap, paired comparison.

Conventions of the whole room:

- Every sum is the correctly rounded one (as of :func:`math.fsum`), so no result depends on the
  order of the rows, nor on how they were batched.
- NaN in, NaN out.  A mean may be infinite; its standard error is NaN then, as for one number alone.
- `sequence_ids` says which rows belong together.  Tokens of one text are correlated, and a standard
  error that takes them for independent is too small; the cluster-robust one [1]_ is

  .. math:: \mathrm{Var}(\bar x) =
      \frac{G}{G-1} \sum_{g=1}^{G} \Bigl(\sum_{i \in g} (x_i - \bar x)\Bigr)^2 \Big/ N^2

  with G sequences, and its intervals take Student's t with G − 1 degrees of freedom.  Without ids
  the rows are independent: √(Σ(x−x̄)²/n/(n−1)), t with n − 1.
- Intervals of quantiles are of order statistics, exact for independent rows of any distribution.
- Intervals of means lean on the mean being nearly normal: with few or very skewed values (G below
  about 10) they cover less often than they say.

References
----------
.. [1] K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using generalized linear models",
   Biometrika 73 (1986), 13-22.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core
from fastdiv.evaluation import unmasked
from fastdiv.sums import Floats, Sequences, floats_of, grouped, mean_of, pair_of, total
from fastdiv.tail_probabilities import binomial_cdf, binomial_upper, student_t_quantile

__all__ = [
    "Bootstrap",
    "Bucket",
    "ConfidenceInterval",
    "Estimate",
    "Json",
    "PairedDifference",
    "Sequences",
    "SignTest",
    "binomial_cdf",
    "bootstrap",
    "by_bucket",
    "correlation",
    "exp_interval",
    "exp_of",
    "fraction",
    "fraction_interval",
    "json_number",
    "mean",
    "mean_interval",
    "noise_floor",
    "paired",
    "perplexity",
    "perplexity_interval",
    "perplexity_ratio",
    "perplexity_ratio_interval",
    "quantile",
    "quantile_interval",
    "quantile_intervals",
    "root_mean_square",
    "sign_test",
    "student_t_quantile",
    "total",
]

Json: TypeAlias = "dict[str, Json] | list[Json] | float | int | str | None"
Statistic: TypeAlias = Callable[..., Any]

_WHOLE_LINE = (-math.inf, math.inf)


# --- numbers that a report is made of -------------------------------------------------------------


def json_number(value: float) -> Json:
    """Return a number for JSON: None for NaN, a string where it is infinite.

    Parameters
    ----------
    value : float

    Returns
    -------
    float, str or None

    Examples
    --------
    >>> json_number(0.5), json_number(math.inf), json_number(math.nan)
    (0.5, 'Infinity', None)
    """
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


class ConfidenceInterval(NamedTuple):
    """An interval that holds the true value with the probability `confidence`.

    Attributes
    ----------
    lower, upper : float
        NaN where undefined; infinite where the data say nothing on that side.
    confidence : float
    """

    lower: float
    upper: float
    confidence: float

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"lower", "upper"}``, undefined as None and infinite as a string."""
        return {"lower": json_number(self.lower), "upper": json_number(self.upper)}


class Estimate(NamedTuple):
    """A value and its standard error; NaN where undefined.

    Attributes
    ----------
    value, se : float
    """

    value: float
    se: float

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"value", "se"}``, undefined as None and infinite as a string."""
        return {"value": json_number(self.value), "se": json_number(self.se)}

    def interval(
        self, confidence: float = 0.95, *, degrees_of_freedom: float = math.inf
    ) -> ConfidenceInterval:
        """Return value ± t·se.

        Parameters
        ----------
        confidence : float, default 0.95
        degrees_of_freedom : float, default inf
            Of Student's t; infinitely many are the normal distribution.

        Returns
        -------
        ConfidenceInterval
            NaN ends where the error is undefined.
        """
        _check_confidence("Estimate.interval", confidence)
        if math.isnan(self.se):
            return ConfidenceInterval(math.nan, math.nan, confidence)
        reach = student_t_quantile(0.5 + confidence / 2, degrees_of_freedom) * self.se
        return ConfidenceInterval(self.value - reach, self.value + reach, confidence)


# --- means ----------------------------------------------------------------------------------------


def mean(x: ArrayLike, *, sequence_ids: ArrayLike | Sequences | None = None) -> Estimate:
    r"""Mean and its standard error.

    .. math:: \sqrt{\frac{S_2/n - \mu^2}{n-1}}
        \quad\text{or}\quad
        \sqrt{\frac{G}{G-1} \sum_g \Bigl(\sum_{i\in g}(x_i-\mu)\Bigr)^2} \Big/ n

    both taken from the centred values.

    Parameters
    ----------
    x : array_like of float
    sequence_ids : array_like of int or Sequences, optional
        The sequence of each row: the error is cluster-robust then.

    Returns
    -------
    Estimate
        The error is NaN for one row (one sequence) alone and for an infinite mean.

    Raises
    ------
    TypeError
        Values that are no numbers, ids that are no integers.
    ValueError
        Not one id per value.

    References
    ----------
    .. [1] K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using generalized linear
       models", Biometrika 73 (1986), 13-22.

    Examples
    --------
    >>> mean([1.0, 2.0, 3.0, 6.0])
    Estimate(value=3.0, se=1.0801234497346435)
    >>> mean([1.0, 2.0, 3.0, 6.0], sequence_ids=[0, 0, 1, 1])
    Estimate(value=3.0, se=1.5)
    """
    values = floats_of("mean", "x", x)
    groups = grouped("mean", sequence_ids, values.size)
    average = mean_of(values)
    units = values.size if groups is None else len(groups)
    if units < 2 or not math.isfinite(average):
        return Estimate(average, math.nan)
    with np.errstate(over="ignore"):
        if groups is None:
            variance = mean_of((values - average) ** 2) / (units - 1)
        else:
            if np.asarray(x).dtype == np.bool_:
                residuals = groups.counts(x) - groups.sizes * average
            else:
                residuals = groups.sums(values - average)
            variance = units / (units - 1) * total((residuals / values.size) ** 2)
    return Estimate(average, math.sqrt(variance))


def fraction(hits: ArrayLike, *, sequence_ids: ArrayLike | Sequences | None = None) -> Estimate:
    """Fraction of True and its standard error √(a(1−a)/(n−1)), or the cluster-robust one.

    Parameters
    ----------
    hits : array_like of bool
    sequence_ids : array_like of int or Sequences, optional

    Returns
    -------
    Estimate

    Examples
    --------
    >>> fraction([True, True, False, True, False])
    Estimate(value=0.6, se=0.2449489742783178)
    """
    values = floats_of("fraction", "hits", hits)
    if sequence_ids is not None:
        return mean(hits, sequence_ids=sequence_ids)
    value = mean_of(values)
    if values.size < 2:
        return Estimate(value, math.nan)
    return Estimate(value, math.sqrt(value * (1 - value) / (values.size - 1)))


def fraction_interval(
    hits: ArrayLike,
    confidence: float = 0.95,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> ConfidenceInterval:
    r"""Wilson's interval of a fraction a of n: inside [0, 1], and no point where all are hits.

    .. math:: \frac{a + t^2/2n \pm t\sqrt{a(1-a)/n + t^2/4n^2}}{1 + t^2/n}

    Parameters
    ----------
    hits : array_like of bool
    confidence : float, default 0.95
    sequence_ids : array_like of int or Sequences, optional
        n is then the number of independent rows that would have the cluster-robust error (of
        sequences, where that error is 0), and t has G − 1 degrees of freedom; else t is normal.

    Returns
    -------
    ConfidenceInterval

    Raises
    ------
    TypeError, ValueError
        As :func:`mean_interval`.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
       Journal of the American Statistical Association 22 (1927), 209-212.

    Examples
    --------
    >>> lower, upper, _ = fraction_interval([True] * 10)
    >>> round(lower, 6), upper
    (0.722467, 1.0)
    """
    values = floats_of("fraction_interval", "hits", hits)
    groups = grouped("fraction_interval", sequence_ids, values.size)
    _check_confidence("fraction_interval", confidence)
    a, n, freedom = mean_of(values), float(values.size), math.inf
    if groups is not None:
        se = mean(hits, sequence_ids=groups).se
        # An error of 0 (or none, for one sequence) says nothing of how many rows count.
        n = min(n, a * (1 - a) / (se * se)) if se > 0 else float(len(groups))
        freedom = max(len(groups) - 1, 1)
    if not n or math.isnan(a):
        return ConfidenceInterval(math.nan, math.nan, confidence)
    t2 = student_t_quantile(0.5 + confidence / 2, freedom) ** 2
    centre, reach = a + t2 / (2 * n), math.sqrt(t2 * (a * (1 - a) / n + t2 / (4 * n * n)))
    lower, upper = (centre - reach) / (1 + t2 / n), (centre + reach) / (1 + t2 / n)
    return ConfidenceInterval(
        0.0 if a == 0 else max(lower, 0.0), 1.0 if a == 1 else min(upper, 1.0), confidence
    )


def root_mean_square(
    x: ArrayLike, *, sequence_ids: ArrayLike | Sequences | None = None
) -> Estimate:
    """Root r of the mean square, with the standard error se(x²)/(2r).

    Parameters
    ----------
    x : array_like of float
    sequence_ids : array_like of int or Sequences, optional

    Returns
    -------
    Estimate
        The error is NaN where the root is 0.

    Examples
    --------
    >>> root_mean_square([3.0, -3.0])
    Estimate(value=3.0, se=0.0)
    """
    values = floats_of("root_mean_square", "x", x)
    with np.errstate(over="ignore"):
        square = mean(values * values, sequence_ids=sequence_ids)
    root = math.sqrt(square.value) if square.value >= 0 else math.nan
    return Estimate(root, square.se / (2 * root) if root else math.nan)


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation of two columns.

    Parameters
    ----------
    x, y : array_like of float

    Returns
    -------
    float
        NaN where a column is constant or not finite.

    Examples
    --------
    >>> round(correlation([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 12)
    1.0
    """
    a, b = pair_of("correlation", "x", x, "y", y)
    mean_a, mean_b = mean_of(a), mean_of(b)
    if not (math.isfinite(mean_a) and math.isfinite(mean_b)):
        return math.nan
    da, db = a - mean_a, b - mean_b
    scale = math.sqrt(total(da * da)) * math.sqrt(total(db * db))
    if not 0 < scale < math.inf:
        return math.nan
    return min(1.0, max(-1.0, total(da * db) / scale))


def mean_interval(
    x: ArrayLike,
    confidence: float = 0.95,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> ConfidenceInterval:
    """Student's interval of a mean, μ ± t·se.

    Parameters
    ----------
    x : array_like of float
    confidence : float, default 0.95
    sequence_ids : array_like of int or Sequences, optional
        With them the error is cluster-robust and t has G − 1 degrees of freedom, else n − 1.

    Returns
    -------
    ConfidenceInterval
        Exact for independent normal values; for others an approximation that needs n.

    Raises
    ------
    TypeError, ValueError
        As :func:`mean`; a confidence that is not between 0 and 1.

    References
    ----------
    .. [1] Student, "The probable error of a mean", Biometrika 6 (1908), 1-25.

    Examples
    --------
    >>> lower, upper, _ = mean_interval([1.0, 2.0, 3.0, 6.0])
    >>> round(lower, 6), round(upper, 6)
    (-0.437435, 6.437435)
    """
    values = floats_of("mean_interval", "x", x)
    groups = grouped("mean_interval", sequence_ids, values.size)
    units = values.size if groups is None else len(groups)
    _check_confidence("mean_interval", confidence)
    return mean(values, sequence_ids=groups).interval(
        confidence, degrees_of_freedom=max(units - 1, 1)
    )


# --- perplexities ---------------------------------------------------------------------------------


def perplexity(nll: ArrayLike, *, sequence_ids: ArrayLike | Sequences | None = None) -> Estimate:
    """Perplexity exp μ and its standard error, perplexity·se(μ).

    Parameters
    ----------
    nll : array_like of float
        Negative log-likelihood of each token, in nats.
    sequence_ids : array_like of int or Sequences, optional

    Returns
    -------
    Estimate

    Examples
    --------
    >>> perplexity([0.0, 0.0, 0.0])
    Estimate(value=1.0, se=0.0)
    """
    return exp_of(mean(nll, sequence_ids=sequence_ids))


def perplexity_ratio(
    candidate: ArrayLike,
    base: ArrayLike,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> Estimate:
    """Ratio of two perplexities on the same tokens, PPL(candidate)/PPL(base).

    The error is of the paired differences, so that what both find hard does not count.

    Parameters
    ----------
    candidate, base : array_like of float
        Negative log-likelihood of each token, in nats.
    sequence_ids : array_like of int or Sequences, optional

    Returns
    -------
    Estimate

    Examples
    --------
    >>> perplexity_ratio([1.5, 2.5], [1.5, 2.5])
    Estimate(value=1.0, se=0.0)
    """
    return exp_of(
        mean(_differences("perplexity_ratio", candidate, base), sequence_ids=sequence_ids)
    )


def perplexity_interval(
    nll: ArrayLike,
    confidence: float = 0.95,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> ConfidenceInterval:
    """Interval exp(μ ± t·se) of a perplexity: on the scale on which it is nearly normal.

    Parameters
    ----------
    nll : array_like of float
        Negative log-likelihood of each token, in nats.
    confidence : float, default 0.95
    sequence_ids : array_like of int or Sequences, optional
        As :func:`mean_interval`.

    Returns
    -------
    ConfidenceInterval

    Examples
    --------
    >>> lower, upper, _ = perplexity_interval([0.9, 1.0, 1.1])
    >>> round(lower, 6), round(upper, 6)
    (2.120361, 3.484811)
    """
    return exp_interval(mean_interval(nll, confidence, sequence_ids=sequence_ids))


def perplexity_ratio_interval(
    candidate: ArrayLike,
    base: ArrayLike,
    confidence: float = 0.95,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> ConfidenceInterval:
    """Interval exp(μ ± t·se) of a ratio of perplexities, of the paired differences.

    Parameters
    ----------
    candidate, base : array_like of float
        Negative log-likelihood of each token, in nats.
    confidence : float, default 0.95
    sequence_ids : array_like of int or Sequences, optional
        As :func:`mean_interval`.

    Returns
    -------
    ConfidenceInterval

    Examples
    --------
    >>> lower, upper, _ = perplexity_ratio_interval([1.1, 2.2, 3.0], [1.0, 2.0, 3.0])
    >>> round(lower, 6), round(upper, 6)
    (0.862074, 1.416818)
    """
    differences = _differences("perplexity_ratio_interval", candidate, base)
    return exp_interval(mean_interval(differences, confidence, sequence_ids=sequence_ids))


def exp_of(log_value: Estimate) -> Estimate:
    """Carry an estimate of a logarithm over to the value itself, with value·se."""
    value = _exp(log_value.value)
    return Estimate(value, value * log_value.se)


def exp_interval(log_interval: ConfidenceInterval) -> ConfidenceInterval:
    """Carry an interval of a logarithm over to the value itself."""
    lower, upper, confidence = log_interval
    return ConfidenceInterval(_exp(lower), _exp(upper), confidence)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _differences(function: str, candidate: ArrayLike, base: ArrayLike) -> Floats:
    x, y = pair_of(function, "candidate", candidate, "base", base)
    with np.errstate(invalid="ignore", over="ignore"):
        return x - y


# --- quantiles ------------------------------------------------------------------------------------


def quantile(x: ArrayLike, q: float, *, ordered: bool = False) -> float:
    """Quantile, linearly interpolated at q·(n − 1).

    Parameters
    ----------
    x : array_like of float
    q : float
        Between 0 and 1, both included; taken as the decimal number that it prints as, so that 0.9
        of 11 values is the tenth itself.
    ordered : bool, default False
        Says that x is sorted.

    Returns
    -------
    float
        NaN of no values, or with NaN among them.

    References
    ----------
    .. [1] R. J. Hyndman and Y. Fan, "Sample quantiles in statistical packages", The American
       Statistician 50 (1996), 361-365, definition 7.

    Examples
    --------
    >>> quantile([3.0, 1.0, 2.0, 10.0], 0.5)
    2.5
    """
    if not 0 <= q <= 1:
        raise ValueError(f"quantile: q is {q!r}; it takes a number in [0, 1]")
    values = floats_of("quantile", "x", x)
    if not ordered:
        values = np.sort(values)
    if not values.size or math.isnan(values[-1]):
        return math.nan
    place = Fraction(repr(float(q))) * (values.size - 1)
    below = int(place)
    low = float(values[below])
    if place == below:
        return low
    high = float(values[below + 1])
    # Two equal neighbours may be infinite, and inf - inf is no distance.
    return low if low == high else low + (high - low) * float(place - below)


def quantile_interval(
    x: ArrayLike,
    q: float,
    confidence: float = 0.95,
    *,
    limits: tuple[float, float] = _WHOLE_LINE,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> ConfidenceInterval:
    r"""Nonparametric interval of a quantile: two of the sorted values themselves.

    With B of the binomial distribution (n, q), the interval :math:`[x_{(l)}, x_{(u)}]` has the
    largest l with :math:`P(B < l) \le (1-c)/2` and the smallest u with
    :math:`P(B \ge u) \le (1-c)/2`. It covers the true quantile with at least the probability c,
    whatever the distribution and however small n.

    Parameters
    ----------
    x : array_like of float
        Infinite values are values.
    q : float
        Between 0 and 1, both excluded: the smallest and largest possible value have no interval.
    confidence : float, default 0.95
    limits : tuple of two floats, default (−inf, inf)
        What x can be at all. Where n is too small for one end (n·min(q, 1 − q) below about 4), that
        end is the limit, never the extreme value of the sample.
    sequence_ids : array_like of int or Sequences, optional
        Woodruff's interval with the cluster-robust error of the fraction below the quantile and
        Student's t, but never less than that of independent rows: an approximation.

    Returns
    -------
    ConfidenceInterval
        NaN ends with a NaN in x.

    Raises
    ------
    ValueError
        q or confidence not between 0 and 1.

    References
    ----------
    .. [1] W. R. Thompson, "On confidence ranges for the median and other expectation distributions
       for populations of unknown distribution form", Ann. Math. Statist. 7 (1936), 122-128.
    .. [2] R. S. Woodruff, "Confidence intervals for medians and other position measures", Journal
       of the American Statistical Association 47 (1952), 635-646.

    Examples
    --------
    >>> quantile_interval(range(100), 0.5)
    ConfidenceInterval(lower=39.0, upper=60.0, confidence=0.95)
    >>> quantile_interval(range(100), 0.99, limits=(0, math.inf))
    ConfidenceInterval(lower=96.0, upper=inf, confidence=0.95)
    """
    options: Any = {"limits": limits, "sequence_ids": sequence_ids}
    return quantile_intervals(x, [q], confidence, **options)[0]


def quantile_intervals(
    x: ArrayLike,
    levels: Iterable[float],
    confidence: float = 0.95,
    *,
    limits: tuple[float, float] = _WHOLE_LINE,
    sequence_ids: ArrayLike | Sequences | None = None,
) -> list[ConfidenceInterval]:
    """Intervals of several quantiles, each by itself, as :func:`quantile_interval`; sorts once.

    Parameters
    ----------
    x : array_like of float
    levels : iterable of float
    confidence : float, default 0.95
        Of each: that all hold at once is less sure.
    limits, sequence_ids
        As :func:`quantile_interval`.

    Returns
    -------
    list of ConfidenceInterval

    Examples
    --------
    >>> [tuple(found) for found in quantile_intervals(range(100), [0.25, 0.75], 0.9)]
    [(17.0, 32.0, 0.9), (67.0, 82.0, 0.9)]
    """
    _check_confidence("quantile_interval", confidence)
    values = floats_of("quantile_interval", "x", x)
    groups = grouped("quantile_interval", sequence_ids, values.size)
    ordered = np.sort(values)
    n = values.size
    undefined = bool(n) and math.isnan(ordered[-1])
    found = []
    for q in levels:
        if not 0 < q < 1:
            raise ValueError(f"quantile_interval: q is {q!r}; it takes a number in (0, 1)")
        if undefined:
            found.append(ConfidenceInterval(math.nan, math.nan, confidence))
            continue
        first, last = _ranks(n, q, confidence)
        if groups is not None:
            below = values <= quantile(ordered, q, ordered=True)
            se = mean(below, sequence_ids=groups).se
            # Few rows beyond a far quantile give too small an error of their fraction.
            wide = _woodruff_ranks(se, groups, q, confidence)
            first, last = min(first, wide[0]), max(last, wide[1])
        lower = float(ordered[first - 1]) if first >= 1 else limits[0]
        upper = float(ordered[last - 1]) if last <= n else limits[1]
        found.append(ConfidenceInterval(lower, upper, confidence))
    return found


def _woodruff_ranks(se: float, groups: Sequences, q: float, confidence: float) -> tuple[int, int]:
    """Ranks, from 1, of the interval's ends, from the error of the fraction below the quantile."""
    reach = student_t_quantile(0.5 + confidence / 2, max(len(groups) - 1, 1)) * se
    if math.isnan(reach):
        return 0, groups.rows + 1
    # One more rank above: a fraction of n counts whole values.
    return (
        math.floor(groups.rows * max(q - reach, 0.0)),
        math.ceil(groups.rows * min(q + reach, 1.0)) + 1,
    )


@lru_cache(maxsize=1024)
def _ranks(n: int, q: float, confidence: float) -> tuple[int, int]:
    """Ranks, from 1, of the interval's ends; 0 and n + 1 stand for the limits."""
    tail = (1 - confidence) / 2

    spread = NormalDist().inv_cdf(1 - tail) * math.sqrt(n * q * (1 - q))
    lower = _last_allowed(
        lambda rank: binomial_cdf(rank - 1, n, q) <= tail, n, round(n * q - spread)
    )
    upper = _last_allowed(
        lambda back: binomial_upper(n + 1 - back, n, q) <= tail, n, round(n * (1 - q) - spread)
    )
    return lower, n + 1 - upper


def _last_allowed(allowed: Callable[[int], bool], n: int, start: int) -> int:
    """Return the last of 0…n that is allowed, as 0 and all before it are; `start` is a guess."""
    low = high = min(max(start, 0), n)
    step = 1
    while low > 0 and not allowed(low):
        low, high, step = max(low - step, 0), low, 2 * step
    if low == high:
        high = low + 1
        while high <= n and allowed(high):
            low, high, step = high, high + step, 2 * step
        high = min(high, n + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low


# --- paired comparison ----------------------------------------------------------------------------


class SignTest(NamedTuple):
    """In how many pairs the first is greater, and how surprising that is.

    Attributes
    ----------
    greater, less, ties, undefined : int
        Pairs in which the first number is greater, less, equal, and in which that cannot be said
        (NaN). The last two are left out of the test.
    p_value : float
        Two-sided: 2·P(B ≤ min(greater, less)), at most 1, B binomial(greater + less, ½). 1 where
        no pair differs.
    """

    greater: int
    less: int
    ties: int
    undefined: int
    p_value: float

    def to_dict(self) -> dict[str, Json]:
        """Return the fields by name."""
        return {**self._asdict()}


def sign_test(x: ArrayLike, y: ArrayLike) -> SignTest:
    """Exact two-sided sign test of pairs; ties are left out, and counted.

    Parameters
    ----------
    x, y : array_like of float

    Returns
    -------
    SignTest

    References
    ----------
    .. [1] W. J. Dixon and A. M. Mood, "The statistical sign test", Journal of the American
       Statistical Association 41 (1946), 557-566.

    Examples
    --------
    >>> found = sign_test([1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 6])
    >>> found.greater, found.less, found.ties, round(found.p_value, 12)
    (5, 0, 1, 0.0625)
    """
    a, b = pair_of("sign_test", "x", x, "y", y)
    greater, less, ties = (int(np.count_nonzero(found)) for found in (a > b, a < b, a == b))
    p_value = min(1.0, 2 * binomial_cdf(min(greater, less), greater + less, 0.5))
    return SignTest(greater, less, ties, a.size - greater - less - ties, p_value)


@dataclass(frozen=True)
class PairedDifference:
    """How two columns of the same tokens differ.

    Attributes
    ----------
    first, second : Estimate
        Mean of each.
    difference : Estimate
        first − second; its error is of the differences token by token.
    interval : ConfidenceInterval
        Of the difference.
    sign_test : SignTest
        Of the means of the sequences; without ids, of the tokens.
    tokens : int
    sequences : int or None
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    interval: ConfidenceInterval
    sign_test: SignTest
    tokens: int
    sequences: int | None

    def to_dict(self) -> dict[str, Json]:
        """Return the fields by name, undefined as None and infinite as a string."""
        return {
            "tokens": self.tokens,
            "sequences": self.sequences,
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "difference": self.difference.to_dict(),
            "interval": self.interval.to_dict(),
            "confidence": self.interval.confidence,
            "sign_test": self.sign_test.to_dict(),
        }


def paired(
    first: ArrayLike,
    second: ArrayLike,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
    confidence: float = 0.95,
) -> PairedDifference:
    """Compare two candidates on one base, token by token.

    The columns may be KLD of each candidate from the base (the difference of mean KLD), or their
    negative log-likelihoods (the difference of ln PPL). What both find hard cancels, so the error
    is that of the differences, not of two separate means.

    Parameters
    ----------
    first, second : array_like of float
        One number per token, of the same tokens in the same order.
    sequence_ids : array_like of int or Sequences, optional
        Cluster-robust error, t with G − 1 degrees of freedom, and a sign test over the sequences
        (their mean differences; equal ones are ties) instead of the tokens.
    confidence : float, default 0.95

    Returns
    -------
    PairedDifference
        A token on which both are infinite makes the difference NaN.

    Raises
    ------
    ValueError
        Columns of different lengths.

    Examples
    --------
    >>> found = paired([0.3, 0.5, 0.2, 0.4], [0.1, 0.4, 0.1, 0.2], sequence_ids=[0, 0, 1, 1])
    >>> round(found.difference.value, 12), found.sign_test.greater, found.sequences
    (0.15, 2, 2)
    """
    a, b = pair_of("paired", "first", first, "second", second)
    groups = grouped("paired", sequence_ids, a.size)
    _check_confidence("paired", confidence)
    with np.errstate(invalid="ignore", over="ignore"):
        differences = a - b
    difference = mean(differences, sequence_ids=groups)
    units = differences if groups is None else groups.sums(differences)
    freedom = max(units.size - 1, 1)
    return PairedDifference(
        first=mean(a, sequence_ids=groups),
        second=mean(b, sequence_ids=groups),
        difference=difference,
        interval=difference.interval(confidence, degrees_of_freedom=freedom),
        sign_test=sign_test(units, np.zeros(units.size)),
        tokens=a.size,
        sequences=None if groups is None else len(groups),
    )


def noise_floor(
    values: ArrayLike,
    rerun: ArrayLike,
    *,
    sequence_ids: ArrayLike | Sequences | None = None,
    confidence: float = 0.95,
) -> PairedDifference:
    """Subtract from a divergence that of the base from itself, run again.

    Parameters
    ----------
    values : array_like of float
        Divergence of the candidate from the base, per token.
    rerun : array_like of float
        Divergence of a second run of the base from the base, per token: batching and the order of
        additions alone make it positive.
    sequence_ids, confidence
        As :func:`paired`.

    Returns
    -------
    PairedDifference
        `second` is the floor, `difference` what exceeds it. It may be negative: a candidate can be
        nearer than the noise.

    Examples
    --------
    >>> noise_floor([0.25, 0.5], [0.125, 0.125]).difference
    Estimate(value=0.25, se=0.125)
    """
    return paired(values, rerun, sequence_ids=sequence_ids, confidence=confidence)


# --- buckets --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bucket:
    """The rows whose `by` lies in [lower, upper), or [lower, upper] for the last bucket.

    Attributes
    ----------
    lower, upper : float
    count : int
    mean : Estimate
    """

    lower: float
    upper: float
    count: int
    mean: Estimate

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"lower", "upper", "count", "mean"}``."""
        return {
            "lower": json_number(self.lower),
            "upper": json_number(self.upper),
            "count": self.count,
            "mean": self.mean.to_dict(),
        }


def by_bucket(
    values: ArrayLike,
    by: ArrayLike,
    *,
    edges: ArrayLike | None = None,
    quantiles: int | None = None,
    sequence_ids: ArrayLike | None = None,
) -> list[Bucket]:
    """Mean of one column by ranges of another: KLD by position, or by the base's confidence.

    Parameters
    ----------
    values : array_like of float
    by : array_like of float
        One per value.
    edges : array_like of float
        Ascending; k + 1 edges make k buckets, which must hold every number of `by`.
    quantiles : int
        Instead of edges: so many buckets of about equal size. Equal numbers stay together, so
        there may be fewer.
    sequence_ids : array_like of int, optional
        Cluster-robust errors.

    Returns
    -------
    list of Bucket
        Empty buckets have count 0 and mean NaN.

    Raises
    ------
    ValueError
        Not exactly one of `edges` and `quantiles`; edges that do not ascend; a number of `by` that
        is NaN or in no bucket.

    Examples
    --------
    >>> found = by_bucket([1.0, 3.0, 5.0], [0, 1, 2], edges=[0, 2, 4])
    >>> [(b.count, b.mean.value) for b in found]
    [(2, 2.0), (1, 5.0)]
    """
    x, place = pair_of("by_bucket", "values", values, "by", by)
    limits = _edges(place, edges, quantiles)
    if limits is None:
        return []
    wrong = ~((place >= limits[0]) & (place <= limits[-1]))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"by_bucket: by is {place[row]} in row {row}; the edges hold {limits[0]}…{limits[-1]}"
        )
    ids = None
    if sequence_ids is not None:
        ids = unmasked("by_bucket", "sequence_ids", sequence_ids).ravel()
    if ids is not None and ids.size != x.size:
        raise ValueError(f"by_bucket: {ids.size} sequence_ids for {x.size} rows; one for each")
    number = np.minimum(np.searchsorted(limits, place, side="right") - 1, limits.size - 2)
    order = np.argsort(number, kind="stable")
    bounds = np.searchsorted(number[order], np.arange(limits.size))
    found = []
    for i, (start, stop) in enumerate(itertools.pairwise(bounds.tolist())):
        rows = order[start:stop]
        average = mean(x[rows], sequence_ids=None if ids is None else ids[rows])
        found.append(Bucket(float(limits[i]), float(limits[i + 1]), rows.size, average))
    return found


def _edges(place: Floats, edges: ArrayLike | None, quantiles: int | None) -> Floats | None:
    if (edges is None) == (quantiles is None):
        raise ValueError("by_bucket: give either edges or quantiles")
    if quantiles is None:
        limits = floats_of("by_bucket", "edges", edges if edges is not None else [])
        if limits.size < 2 or not (np.diff(limits) > 0).all():
            raise ValueError(
                f"by_bucket: edges are {limits.tolist()}; at least two, each above the one before"
            )
        return limits
    if quantiles < 1:
        raise ValueError(f"by_bucket: quantiles is {quantiles}; at least 1")
    if not place.size:
        return None
    if np.isnan(place).any():
        raise ValueError(f"by_bucket: by is NaN in row {int(np.argmax(np.isnan(place)))}")
    ordered = np.sort(place)
    ranks = [(ordered.size - 1) * i // quantiles for i in range(quantiles + 1)]
    limits = np.unique(ordered[ranks])
    return limits if limits.size > 1 else np.repeat(limits, 2)


# --- bootstrap ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """What resampling says of a statistic.

    Attributes
    ----------
    estimate : Estimate
        The statistic of the data, and the standard deviation over the resamples.
    interval : ConfidenceInterval
        Between quantiles of the resamples.
    resamples : ndarray of float64
        The statistic of each.
    blocks : int
        How many there were to draw from.
    """

    estimate: Estimate
    interval: ConfidenceInterval
    resamples: Floats
    blocks: int

    def to_dict(self) -> dict[str, Json]:
        """Return estimate, interval and counts."""
        return {
            **self.estimate.to_dict(),
            "interval": self.interval.to_dict(),
            "confidence": self.interval.confidence,
            "resamples": self.resamples.size,
            "blocks": self.blocks,
        }


# Of the means of one or two columns.
STATISTICS: dict[str, tuple[int, Statistic]] = {
    "mean": (1, lambda x: x),
    "perplexity": (1, np.exp),
    "difference": (2, lambda x, y: x - y),
    "ratio": (2, lambda x, y: x / y),
    "perplexity_difference": (2, lambda x, y: np.exp(x) - np.exp(y)),
    "perplexity_ratio": (2, lambda x, y: np.exp(x - y)),
}
# Numbers drawn at a time: bounds memory, and keeps the indices in the cache.
_DRAWN_AT_ONCE = 1 << 16


def bootstrap(
    statistic: str | Statistic,
    *columns: ArrayLike,
    sequence_ids: ArrayLike | Sequences | None = None,
    block_length: int | None = None,
    of_means: bool = False,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Bootstrap:
    """Block bootstrap of a statistic.

    Parameters
    ----------
    statistic : str or callable
        ``"mean"``, ``"perplexity"``; of two columns ``"difference"``, ``"ratio"``,
        ``"perplexity_difference"``, ``"perplexity_ratio"`` (of first and second). A callable takes
        as many arrays as there are columns, of shape (resamples, rows), and reduces the last axis.
    *columns : array_like of float
        One number per token; rows are drawn together.
    sequence_ids : array_like of int or Sequences, optional
        Blocks are the sequences: as many are drawn as there are.
    block_length : int, optional
        Blocks are all runs of so many neighbouring rows (moving blocks [2]_); ⌈n/length⌉ are
        drawn. Without either, each row is a block.
    of_means : bool, default False
        Says that a callable takes the means of the columns, arrays of shape (resamples,), as the
        named statistics do. The work is then resamples × blocks, however long the blocks: each is
        summed once.
    resamples : int, default 10000
    confidence : float, default 0.95
    seed : int, default 0
        Which rows are drawn: the same ones tomorrow, with any number of threads, and whatever the
        statistic; 0…2⁶⁴ − 1.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        No rows, columns of different lengths, both kinds of blocks, an unknown statistic, a
        statistic that does not reduce its last axis.

    References
    ----------
    .. [1] B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
       (1979), 1-26.
    .. [2] H. R. Künsch, "The jackknife and the bootstrap for general stationary observations",
       Annals of Statistics 17 (1989), 1217-1241.

    Examples
    --------
    >>> nll = np.arange(1.0, 9.0)
    >>> found = bootstrap("mean", nll, sequence_ids=[0, 0, 0, 1, 1, 2, 2, 2], seed=1)
    >>> found.estimate.value, found.blocks
    (4.5, 3)
    >>> found.interval.lower >= 2.0, found.interval.upper <= 7.0
    (True, True)
    """
    x = _columns_of(columns)
    function, of_means = _statistic_of(statistic, len(x), of_means)
    _check_confidence("bootstrap", confidence)
    if resamples < 2:
        raise ValueError(f"bootstrap: {resamples} resamples; at least 2")
    if not isinstance(seed, (int, np.integer)):
        raise TypeError(f"bootstrap: seed is {seed!r}; it takes an integer")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"bootstrap: seed is {seed}; it takes 0…2⁶⁴ − 1")
    groups = grouped("bootstrap", sequence_ids, x[0].size)
    blocks = _blocks_of(groups, x[0].size, block_length)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if of_means:
            value = function(*(np.array([mean_of(column)]) for column in x))
            found = _resampled_means(function, x, blocks, resamples, seed)
        else:
            value = function(*(column[None] for column in x))
            found = np.concatenate(list(_resampled_rows(function, x, blocks, resamples, seed)))
        spread = float(np.std(found, ddof=1)) if np.isfinite(found).all() else math.nan
    estimate = Estimate(float(_reduced(value, 1)[0]), spread)
    ordered = np.sort(found)
    tail = (1 - confidence) / 2
    lower, upper = (quantile(ordered, p, ordered=True) for p in (tail, 1 - tail))
    return Bootstrap(
        estimate, ConfidenceInterval(lower, upper, confidence), found, blocks.starts.size
    )


class _Blocks(NamedTuple):
    """Runs of rows, of an order of the rows, to draw from."""

    groups: Sequences | None
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    drawn: int

    def sums(self, column: Floats) -> Floats:
        return self.groups.sums(column) if self.groups else _moving_sums(column, self.sizes[0])

    def rows(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of chosen blocks, which are of one size or chosen for one resample."""
        sizes = self.sizes[chosen]
        if (sizes == sizes.flat[0]).all():
            rows = self.starts[chosen][..., None] + np.arange(sizes.flat[0])
        else:
            ends = np.cumsum(sizes[0])
            rows = np.arange(ends[-1]) + np.repeat(
                self.starts[chosen[0]] - ends + sizes[0], sizes[0]
            )
        return self.groups.original(rows) if self.groups else rows


def _blocks_of(groups: Sequences | None, rows: int, length: int | None) -> _Blocks:
    if groups is not None:
        if length is not None:
            raise ValueError("bootstrap: blocks are sequences or of a given length, not both")
        return _Blocks(groups, groups.starts, groups.sizes, len(groups))
    length = 1 if length is None else length
    if not 1 <= length <= rows:
        raise ValueError(f"bootstrap: block_length is {length}; it takes 1…{rows}, the rows")
    starts = np.arange(rows - length + 1)
    return _Blocks(None, starts, np.full(starts.size, length), -(-rows // length))


def _moving_sums(x: Floats, length: int) -> Floats:
    """Sum all runs of `length` neighbours, by additions alone: inf does not leave its runs."""
    if length == 1:
        return x
    padded = np.concatenate([x, np.zeros(-x.size % length)]).reshape(-1, length)
    upto = np.cumsum(padded, axis=1).ravel()
    onward = np.cumsum(padded[:, ::-1], axis=1)[:, ::-1].ravel()
    first = np.arange(x.size - length + 1)
    before = np.where(first % length == 0, 0.0, onward[first])
    sums: Floats = before + upto[first + length - 1]
    return sums


def _resampled_means(
    function: Statistic, columns: list[Floats], blocks: _Blocks, resamples: int, seed: int
) -> Floats:
    columns = [blocks.sums(column) for column in columns]
    if (blocks.sizes == blocks.sizes[0]).all():
        size: Any = blocks.drawn * blocks.sizes[0]
    else:
        columns.append(blocks.sizes.astype(np.float64))
        size = None
    sums = list(_core.resampled_sums(np.stack(columns), blocks.drawn, seed, resamples).T)
    if size is None:
        size = sums.pop()
    return _reduced(function(*(column / size for column in sums)), resamples)


def _resampled_rows(
    function: Statistic,
    columns: list[Floats],
    blocks: _Blocks,
    resamples: int,
    seed: int,
) -> Iterator[Floats]:
    equal = (blocks.sizes == blocks.sizes[0]).all()
    at_once = max(1, _DRAWN_AT_ONCE // (blocks.drawn * blocks.sizes[0])) if equal else 1
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        chosen = _core.drawn_rows(blocks.starts.size, blocks.drawn, seed, start, count)
        rows = blocks.rows(chosen)
        rows = rows.reshape(count, -1)
        yield _reduced(function(*(column[rows] for column in columns)), count)


def _reduced(found: Any, count: int) -> Floats:
    result = unmasked("bootstrap", "statistic", found).astype(np.float64)
    if result.shape != (count,):
        raise ValueError(
            f"bootstrap: statistic gave shape {result.shape} for {count} resamples; it reduces the"
            " last axis and keeps the first"
        )
    return result


def _columns_of(columns: tuple[ArrayLike, ...]) -> list[Floats]:
    found = [floats_of("bootstrap", f"column {i}", column) for i, column in enumerate(columns)]
    if not found or not found[0].size:
        raise ValueError("bootstrap: no rows to draw from")
    if len({column.size for column in found}) > 1:
        raise ValueError(
            f"bootstrap: columns of {', '.join(str(c.size) for c in found)} rows; they are paired"
        )
    return found


def _statistic_of(
    statistic: str | Statistic, columns: int, of_means: bool
) -> tuple[Statistic, bool]:
    if not isinstance(statistic, str):
        return statistic, of_means
    if statistic not in STATISTICS:
        raise ValueError(
            f"bootstrap: statistic is {statistic!r}; it takes {', '.join(STATISTICS)} or a callable"
        )
    takes, function = STATISTICS[statistic]
    if takes != columns:
        raise ValueError(f"bootstrap: {statistic} is of {takes} columns; given are {columns}")
    return function, True


def _check_confidence(function: str, confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"{function}: confidence is {confidence!r}; it takes a number in (0, 1)")
