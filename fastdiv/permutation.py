"""Whether two samples differ by more than chance: the permutation test, of any divergence."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import _core, divergences
from fastdiv.custom import f_divergence
from fastdiv.evaluation import (
    array_of,
    integer_of,
    legible,
    order_of,
    real_numbers,
    refuse,
    refuse_masked,
    seed_of,
    weight_of,
)
from fastdiv.generators import GENERATORS, Generator
from fastdiv.plug_in import counts_of
from fastdiv.transport import wasserstein_distance

__all__ = ["PermutationTest", "permutation_test"]

_Floats: TypeAlias = NDArray[np.float64]
_Statistic: TypeAlias = Callable[..., Any]

_BY_NAME: dict[str, _Statistic] = {
    name: getattr(divergences, name)
    for name in _core.DIVERGENCES
    if name not in _core.UNARY and hasattr(divergences, name)
}
_BY_NAME["wasserstein_distance"] = wasserstein_distance
# Which parameter a divergence has.
_PARAMETERS = {"alpha_divergence": "alpha", "renyi_divergence": "alpha", "js_divergence": "weight"}
_NUMBERS = "biufc"
# Numbers drawn at a time.
_DRAWN_AT_ONCE = 1 << 20
# What rounding may make of equal statistics of different permutations.
_ROUNDING = 1e-12
# NumPy draws from no larger urn.
_MOST_COUNTS = 1e9


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """What shuffling says of a statistic of two samples.

    Attributes
    ----------
    statistic : float
        Of the samples as they are.
    p_value : float
        The probability that shuffled samples differ as much.
    null : ndarray of float64
        The statistic of each shuffle.
    """

    statistic: float
    p_value: float
    null: _Floats


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    statistic: str | Generator | _Statistic = "js_divergence",
    *,
    samples: bool = False,
    vectorized: bool = False,
    permutations: int = 9_999,
    seed: int = 0,
    alpha: float | None = None,
    weight: float | None = None,
) -> PermutationTest:
    r"""Test whether two samples come from one distribution.

    Under that hypothesis all ways to divide the pooled sample in two are equally likely, so

    .. math:: p = \frac{1 + \#\{b : T_b \ge T\}}{1 + B}

    is a probability to see a statistic T as large as this one's that is never too small, whatever
    the distribution, the statistic and the number B of shuffles.

    Parameters
    ----------
    x, y : array_like
        Counts of the same outcomes in two samples, one row each; with `samples` the samples
        themselves, one observation per place along the first axis.
    statistic : str, Generator or callable, default "js_divergence"
        The larger, the more the samples differ. The name of a function of `fastdiv` that compares
        two rows, ``"wasserstein_distance"`` among them (of samples: at their values), or a
        generator, as `f_divergence` takes it. A callable takes two samples of observations and
        returns a number; or two arrays of counts, one shuffle per row, and returns one number per
        row, as the functions of `fastdiv` do.
    samples : bool, default False
        `x` and `y` hold observations, not counts; for a named statistic they are counted.
    vectorized : bool, default False
        A callable takes many shuffles of the samples at once, along a new first axis.
    permutations : int, default 9999
        How many shuffles.
    seed : int, default 0
        Of NumPy's generator: the same shuffles tomorrow.
    alpha : float, optional
        Order of ``"alpha_divergence"`` and ``"renyi_divergence"``, which need it.
    weight : float, optional
        That of x in the mixture of ``"js_divergence"``; 1/2 by default.

    Returns
    -------
    PermutationTest

    Raises
    ------
    TypeError
        A seed or a number of permutations that is no integer; a parameter that the statistic does
        not have, or none where it needs one.
    ValueError
        Rows of different lengths, counts that are negative or not whole, an empty sample, missing
        observations (NaN) of a named statistic, an unknown name, a statistic that is NaN or not one
        number per shuffle; a divergence of counts for observations all of which differ.

    Notes
    -----
    Statistics within 1e-12, relative, count as equal, which can only make p larger. Shuffled counts
    are drawn from the multivariate hypergeometric distribution, without the observations.

    References
    ----------
    .. [1] B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", Statistical
       Applications in Genetics and Molecular Biology 9 (2010), article 39.

    Examples
    --------
    >>> permutation_test([30, 50, 20], [45, 50, 5]).p_value
    0.0018
    >>> permutation_test([30, 50, 20], [45, 50, 5], "renyi_divergence", alpha=2).p_value
    0.0005
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> x, y = rng.normal(0, 1, 50), rng.normal(0.5, 1, 60)
    >>> permutation_test(x, y, "wasserstein_distance", samples=True).p_value < 0.05
    True
    """
    name = "permutation_test"
    permutations = integer_of(name, "permutations", permutations, 1)
    rng = np.random.default_rng(seed_of(name, seed))
    own = not isinstance(statistic, (str, Generator))
    if own and not callable(statistic):
        raise TypeError(
            f"{name}: statistic is {statistic!r}; it takes a name, a Generator or a callable"
        )
    function = _with_parameter(statistic, alpha=alpha, weight=weight)
    if samples and own:
        if not vectorized:
            function = _one_by_one(function)
        given = _observations(name, x, y)
        drawn = _shuffled_samples(*given, function, permutations, rng)
    else:
        if samples:
            values, given = _counted(name, *_observations(name, x, y), statistic)
            if statistic == "wasserstein_distance":
                function = partial(function, positions=values)
        else:
            given = _counts(name, x, y)
        drawn = _shuffled_counts(*given, function, permutations, rng)
    observed = function(*(each[None] for each in given))
    null = np.concatenate(list(drawn))
    found = float(_checked(name, observed, 1)[0])
    # inf − inf is no threshold.
    least = found - _ROUNDING * abs(found) if np.isfinite(found) else found
    hits = int(np.count_nonzero(null >= least))
    return PermutationTest(found, (1 + hits) / (1 + int(permutations)), null)


def _with_parameter(statistic: Any, **parameters: float | None) -> _Statistic:
    name = "permutation_test"
    known = {**_BY_NAME, **GENERATORS} if isinstance(statistic, str) else {}
    if isinstance(statistic, str) and statistic not in known:
        nearest = difflib.get_close_matches(statistic, known, 1)
        hint = f"; did you mean {nearest[0]!r}" if nearest else ""
        raise ValueError(
            f"{name}: there is no statistic {statistic!r}{hint}; it takes one of {', '.join(known)}"
        )
    takes = _PARAMETERS.get(statistic) if isinstance(statistic, str) else None
    given = {argument: x for argument, x in parameters.items() if x is not None}
    for argument, x in given.items():
        if argument != takes:
            raise TypeError(f"{name}: {statistic!r} takes no {argument}")
        one = (
            order_of(name, x, infinite=statistic != "alpha_divergence")
            if takes == "alpha"
            else (weight_of(name, x))
        )
        if one.ndim:
            raise TypeError(f"{name}: {argument} is {x!r}; it takes one number")
    if takes == "alpha" and not given:
        raise TypeError(f"{name}: {statistic} needs alpha, its order")
    if takes is not None and given:
        given = {takes: float(given[takes])}
    if isinstance(statistic, str) and statistic in _BY_NAME:
        return partial(_BY_NAME[statistic], **given)
    if isinstance(statistic, (str, Generator)):
        return partial(f_divergence, generator=statistic)
    function: _Statistic = statistic
    return function


def _one_by_one(statistic: _Statistic) -> _Statistic:
    def each(x: NDArray[Any], y: NDArray[Any]) -> list[Any]:
        return [statistic(a, b) for a, b in zip(x, y, strict=True)]

    return each


def _shuffled_counts(
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    function: _Statistic,
    permutations: int,
    rng: np.random.Generator,
) -> Iterator[_Floats]:
    pooled, size = x + y, int(x.sum())
    # A draw costs a few operations per outcome, or one per observation.
    method: Any = "count" if pooled.sum() < 4 * pooled.size else "marginals"
    for count in _batches(permutations, pooled.size):
        rows = rng.multivariate_hypergeometric(pooled, size, count, method=method)
        yield _checked("permutation_test", function(rows, pooled - rows), count)


def _shuffled_samples(
    x: NDArray[Any],
    y: NDArray[Any],
    function: _Statistic,
    permutations: int,
    rng: np.random.Generator,
) -> Iterator[_Floats]:
    pooled, size = np.concatenate([x, y]), len(x)
    for count in _batches(permutations, pooled.size):
        order = rng.permuted(np.tile(np.arange(len(pooled)), (count, 1)), axis=1)
        found = function(pooled[order[:, :size]], pooled[order[:, size:]])
        yield _checked("permutation_test", found, count)


def _batches(permutations: int, numbers: int) -> Iterator[int]:
    together = max(1, _DRAWN_AT_ONCE // numbers)
    for start in range(0, permutations, together):
        yield min(together, permutations - start)


def _checked(name: str, found: Any, count: int) -> _Floats:
    refuse_masked(name, "the statistic", found)
    try:
        values = np.asarray(found, np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name}: the statistic is of type {type(found).__name__}, no numbers; it takes one"
            " number for each shuffle"
        ) from None
    if values.shape != (count,):
        raise ValueError(
            f"{name}: the statistic has shape {values.shape} for {count} shuffles; it takes one"
            " number for each"
        )
    if np.isnan(values).any():
        raise ValueError(f"{name}: the statistic is NaN; it takes numbers that can be compared")
    return values


def _counts(name: str, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = []
    for argument, values in (("x", x), ("y", y)):
        try:
            given = counts_of(name, argument, values)
        except ValueError as error:
            raise ValueError(f"{error}; observations take samples=True") from None
        if given.ndim != 1:
            raise ValueError(f"{name}: {argument} has shape {given.shape}; it takes one row")
        rows.append(given)
    if rows[0].size != rows[1].size:
        raise ValueError(f"{name}: x has {rows[0].size} counts, y {rows[1].size}; of one list each")
    # In float64, which does not wrap round.
    total = sum(float(row.sum()) for row in rows)
    if total >= _MOST_COUNTS:
        raise ValueError(f"{name}: x and y have {total:.17g} counts; it takes fewer than 10⁹")
    return rows[0].astype(np.int64), rows[1].astype(np.int64)


def _observations(name: str, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    given = _observed(name, "x", x), _observed(name, "y", y)
    for argument, values in zip("xy", given, strict=True):
        if values.ndim == 0 or not len(values):
            raise ValueError(f"{name}: {argument} has shape {values.shape}; it takes observations")
    if given[0].shape[1:] != given[1].shape[1:]:
        raise ValueError(
            f"{name}: x has shape {given[0].shape}, y {given[1].shape}; observations of one kind"
        )
    return given


def _observed(name: str, argument: str, values: ArrayLike) -> NDArray[Any]:
    """Read observations: numbers, words, times, or anything else that can be compared."""
    refuse_masked(name, argument, values)
    try:
        found = np.asarray(values)
        if found.dtype.name != "bfloat16":
            return found
    except (TypeError, ValueError, RuntimeError):
        pass
    return legible(array_of(name, argument, values))


def _counted(
    name: str, x: NDArray[Any], y: NDArray[Any], statistic: Any
) -> tuple[NDArray[Any], tuple[NDArray[Any], NDArray[Any]]]:
    if x.ndim != 1:
        raise ValueError(
            f"{name}: x has shape {x.shape}; a named statistic takes one number or word for each"
            " observation, a callable any array"
        )
    at_values = statistic == "wasserstein_distance"
    for argument, given in (("x", x), ("y", y)):
        if at_values:
            takes = "finite numbers, the positions of 'wasserstein_distance'"
            refuse(name, argument, given, ~np.isfinite(real_numbers(name, argument, given)), takes)
        # NaN and NaT, which differ from themselves and are no value.
        refuse(name, argument, given, given != given, "observations, none of them missing")
    if (x.dtype.kind in _NUMBERS) != (y.dtype.kind in _NUMBERS):
        raise TypeError(
            f"{name}: x has dtype {x.dtype}, y {y.dtype}; it takes observations of one kind"
        )
    try:
        values, places = np.unique(np.concatenate([x, y]), return_inverse=True)
    except TypeError as error:
        raise TypeError(
            f"{name}: x and y have observations that cannot be put in order ({error}); it takes"
            " numbers, or words"
        ) from None
    if values.size == places.size > 1 and not at_values:
        raise ValueError(
            f"{name}: all observations differ, so a divergence of their counts says nothing; take"
            " 'wasserstein_distance' or a callable such as nearest_neighbour_kl"
        )
    first, second = (
        np.bincount(part, minlength=values.size) for part in np.split(places, [len(x)])
    )
    return values, (first, second)
