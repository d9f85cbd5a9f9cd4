"""The permutation test: against every permutation there is, and against its promise."""

from __future__ import annotations

import itertools
import math
import re
from functools import partial

import numpy as np
import pytest
from scipy import stats

import fastdiv as fd
from fastdiv import _core, generators
from fastdiv.neighbours import nearest_neighbour_kl
from fastdiv.permutation import permutation_test

RNG = np.random.default_rng(10)
B = 4_000


def near(p: float) -> float:
    """Four standard errors of a fraction of B shuffles."""
    return 4 * math.sqrt(p * (1 - p) / B) + 1 / B


@pytest.mark.parametrize("name", ["js_divergence", "total_variation", "kl", "js_distance"])
def test_two_outcomes_exactly(name):
    """Counts of a shuffle are hypergeometric: its p-value is a sum of SciPy's probabilities."""
    x, y = np.array([14, 6]), np.array([9, 16])
    pooled, size = x + y, x.sum()
    every = np.arange(max(0, size - pooled[1]), min(size, pooled[0]) + 1)
    rows = np.stack([every, size - every], -1)
    function = fd.js_distance if name == "js_distance" else partial(fd.f_divergence, generator=name)
    values = function(rows, pooled - rows)
    observed = function(x, y)
    mass = stats.hypergeom.pmf(every, pooled.sum(), pooled[0], size)
    want = mass[values >= observed * (1 - 1e-12)].sum()
    found = permutation_test(x, y, name, permutations=B)
    assert found.statistic == observed
    assert abs(found.p_value - want) < near(want)
    assert 0.01 < want < 0.1
    assert found.null.shape == (B,)


@pytest.mark.parametrize("vectorized", [False, True])
def test_samples_against_all_divisions(vectorized):
    x, y = RNG.normal(0, 1, 6), RNG.normal(1.2, 1, 5)

    def difference(a, b):
        return abs(np.mean(a, axis=-1) - np.mean(b, axis=-1))

    pooled = np.concatenate([x, y])
    values = []
    for chosen in itertools.combinations(range(11), 6):
        rest = np.setdiff1d(range(11), chosen)
        values.append(difference(pooled[list(chosen)], pooled[rest]))
    observed = difference(x, y)
    want = np.mean(np.array(values) >= observed - 1e-12)
    found = permutation_test(
        x, y, difference, samples=True, vectorized=vectorized, permutations=B, seed=3
    )
    assert found.statistic == observed
    assert abs(found.p_value - want) < near(want)


def test_the_same_shuffles_again():
    x, y = [5, 3, 2], [2, 3, 5]
    first, second, other = (permutation_test(x, y, permutations=500, seed=s) for s in (7, 7, 8))
    np.testing.assert_array_equal(first.null, second.null)
    assert (first.null != other.null).any()


def test_p_is_never_zero_and_its_rule():
    far = permutation_test([1000, 0], [0, 1000], permutations=99)
    assert far.p_value == 1 / 100
    assert permutation_test([5, 5], [5, 5], permutations=99).p_value == 1
    found = permutation_test([30, 20], [20, 30], permutations=999)
    hits = (found.null >= found.statistic * (1 - 1e-9)).sum()
    assert found.p_value == (1 + hits) / 1000


def test_too_small_p_values_are_rare():
    """P(p ≤ α) ≤ α where both samples are of one distribution."""
    p = [
        permutation_test(*RNG.multinomial(40, [0.5, 0.3, 0.2], 2), permutations=199, seed=i).p_value
        for i in range(400)
    ]
    for level in (0.05, 0.1, 0.3):
        share = np.mean(np.array(p) <= level)
        assert share <= level + 3 * math.sqrt(level * (1 - level) / 400)
        assert share >= 0.4 * level


def test_observations_are_counted():
    x, y = RNG.choice(["a", "b", "c"], 60, p=[0.5, 0.3, 0.2]), RNG.choice(["a", "b"], 50)
    counts = [[(z == w).sum() for w in "abc"] for z in (x, y)]
    found = permutation_test(x, y, samples=True, permutations=300)
    want = permutation_test(*counts, permutations=300)
    assert found.p_value == want.p_value
    np.testing.assert_array_equal(found.null, want.null)


def test_wasserstein_is_at_the_values():
    x, y = RNG.normal(0, 1, 40), RNG.normal(0.8, 1, 30)
    found = permutation_test(x, y, "wasserstein_distance", samples=True, permutations=B)
    assert found.statistic == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    slow = permutation_test(x, y, stats.wasserstein_distance, samples=True, permutations=500)
    assert abs(found.p_value - slow.p_value) < 4 * math.sqrt(found.p_value / 500) + 2 / 500
    np.testing.assert_allclose(
        np.quantile(found.null, [0.25, 0.5, 0.75]), np.quantile(slow.null, [0.25, 0.5, 0.75]),
        rtol=0.1,
    )  # fmt: skip


def test_statistics_of_every_kind():
    x, y = [30, 10, 5], [22, 20, 9]
    by_name = permutation_test(x, y, "js", permutations=200)
    for statistic in ("js_divergence", generators.js, fd.js_divergence):
        found = permutation_test(x, y, statistic, permutations=200)
        assert found.p_value == by_name.p_value
    infinite = permutation_test([5, 5, 5], [15, 5, 0], "kl", permutations=200)
    assert infinite.statistic == math.inf
    assert infinite.p_value == (1 + np.isinf(infinite.null).sum()) / 201
    points = RNG.normal(0, 1, (40, 2)), RNG.normal([1.5, 0], 1, (40, 2))
    assert permutation_test(
        *points, nearest_neighbour_kl, samples=True, permutations=50
    ).p_value == 1 / 51  # fmt: skip


@pytest.mark.parametrize("outcomes", [5, 5_000])
def test_shuffled_counts_have_the_moments_of_shuffles(outcomes):
    """By either way of drawing them: mean n·c/N, and the hypergeometric variance."""
    x, y = RNG.multinomial(70, np.full(outcomes, 1 / outcomes), 2)
    pooled = x + y
    seen = []

    def first(a, b):
        np.testing.assert_array_equal(a + b, np.broadcast_to(pooled, a.shape))
        assert (a.sum(-1) == 70).all()
        seen.append(a[:, pooled.argmax()])
        return a[:, 0].astype(float)

    permutation_test(x, y, first, permutations=B)
    drawn = np.concatenate(seen[1:])  # the first are the counts as they are
    law = stats.hypergeom(140, pooled.max(), 70)
    assert abs(drawn.mean() - law.mean()) < 4 * law.std() / math.sqrt(B)
    assert drawn.var() == pytest.approx(law.var(), rel=0.15)


PARAMETERS = {
    "alpha_divergence": {"alpha": 1.5},
    "renyi_divergence": {"alpha": 0.7},
    "js_divergence": {"weight": 0.3},
}
BY_NAME = [
    name
    for name in _core.DIVERGENCES
    if name not in (*_core.UNARY, "weighted_js_divergence")
] + ["wasserstein_distance"]  # fmt: skip


@pytest.mark.parametrize("name", BY_NAME)
def test_every_divergence_by_name(name):
    """As the function itself with its parameter; the shuffles are the same for all."""
    x, y = [12, 9, 20, 7], [20, 5, 17, 9]
    for parameters in ({}, PARAMETERS.get(name, {})):
        if not parameters and PARAMETERS.get(name, {}).keys() == {"alpha"}:
            with pytest.raises(TypeError, match=f"{name} needs alpha"):
                permutation_test(x, y, name, permutations=9)
            continue
        function = getattr(fd, name)
        want = permutation_test(x, y, partial(function, **parameters), permutations=200)
        found = permutation_test(x, y, name, permutations=200, **parameters)
        assert found.statistic == function(x, y, **parameters)
        np.testing.assert_array_equal(found.null, want.null)
    observations = np.repeat(range(4), x), np.repeat(range(4), y)
    again = permutation_test(*observations, name, samples=True, permutations=200, **parameters)
    np.testing.assert_array_equal(again.null, found.null)


def test_parameters_that_are_not_taken():
    with pytest.raises(TypeError, match="'kl_divergence' takes no alpha"):
        permutation_test([1, 2], [1, 2], "kl_divergence", alpha=0.5)
    with pytest.raises(TypeError, match="takes no weight"):
        permutation_test([1, 2], [1, 2], fd.js_divergence, weight=0.5)
    with pytest.raises(TypeError, match=r"alpha is \[0\.5, 2\]; it takes one number"):
        permutation_test([1, 2], [1, 2], "renyi_divergence", alpha=[0.5, 2])
    with pytest.raises(ValueError, match="alpha"):
        permutation_test([1, 2], [1, 2], "renyi_divergence", alpha=np.nan)
    with pytest.raises(TypeError, match="statistic is 3; it takes a name"):
        permutation_test([1, 2], [1, 2], 3)


def test_refusals():
    with pytest.raises(ValueError, match="x has 2 counts, y 3"):
        permutation_test([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"y has 0\.5 at 1; it takes counts, whole.*samples=True"):
        permutation_test([1, 2], [1, 0.5])
    with pytest.raises(ValueError, match="x, row 0, has no counts"):
        permutation_test([0, 0], [1, 2])
    with pytest.raises(ValueError, match="there is no statistic 'jss'; did you mean 'js'"):
        permutation_test([1, 2], [1, 2], "jss")
    with pytest.raises(ValueError, match="all observations differ"):
        permutation_test([0.1, 0.2], [0.3, 0.4], samples=True)
    with pytest.raises(ValueError, match=r"statistic has shape \(\) for \d+ shuffles"):
        permutation_test([1, 2], [1, 2], lambda x, y: 1.0)
    with pytest.raises(ValueError, match="statistic is NaN"):
        permutation_test([1, 2], [1, 2], lambda x, y: np.full(len(x), np.nan))
    with pytest.raises(ValueError, match="permutations is 0"):
        permutation_test([1, 2], [1, 2], permutations=0)
    with pytest.raises(TypeError, match=r"permutations is 10\.0"):
        permutation_test([1, 2], [1, 2], permutations=10.0)
    with pytest.raises(TypeError, match="seed is None"):
        permutation_test([1, 2], [1, 2], seed=None)
    with pytest.raises(ValueError, match="seed is -1"):
        permutation_test([1, 2], [1, 2], seed=-1)
    with pytest.raises(ValueError, match=r"x has shape \(2, 1\), y \(2,\)"):
        permutation_test([[1], [2]], [1, 2], samples=True)
    with pytest.raises(ValueError, match="y has shape"):
        permutation_test([1, 2], [], np.subtract, samples=True)
    # In int64 the second pair has the sum 0, and the third is negative.
    for counts in ([10**9, 1], [2**62, 2**62], [2**62, 2**61], [1e300, 1]):
        total = f"{float(sum(counts)) + 5:.17g}"
        with pytest.raises(ValueError, match=rf"x and y have {re.escape(total)} counts; .* 10⁹"):
            permutation_test(counts, [5, 0], permutations=5)
    with pytest.raises(ValueError, match=r"y has nan at 0; it takes counts"):
        permutation_test([1, 2], [math.nan, 2])


def test_missing_observations_are_no_category():
    times = np.array(["2020-01-01", "NaT", "2020-01-01"], "M8[D]")
    for given in ([1.0, math.nan, 1.0], times, np.array([1.0, math.nan, 1.0], object)):
        filled = np.array([given[0]] * 3)
        for place, pair in enumerate([(given, filled), (filled, given)]):
            message = f"permutation_test: {'xy'[place]} has (nan|NaT) at 1"
            with pytest.raises(ValueError, match=message):
                permutation_test(*pair, samples=True, permutations=9)
    # A callable does with them what it likes.
    found = permutation_test(
        [1.0, math.nan, 1.0], [1.0, 1.0],
        lambda a, b: float(np.nanmean(a) - np.nanmean(b)), samples=True, permutations=9,
    )  # fmt: skip
    assert found.p_value == 1
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"x has {wrong} at 1; .*'wasserstein_distance'"):
            permutation_test([1.0, wrong], [1.0, 2.0], "wasserstein_distance", samples=True)
    with pytest.raises(TypeError, match="permutation_test: x has dtype <U1; it takes real numbers"):
        permutation_test(["a"], ["b"], "wasserstein_distance", samples=True)
    with pytest.raises(TypeError, match="x has dtype <U1, y int64; it takes observations of one"):
        permutation_test(["1", "1"], [1, 1], samples=True)
    with pytest.raises(TypeError, match="cannot be put in order"):
        permutation_test(np.array([None, 1]), np.array(["a", 1], object), samples=True)


def test_statistics_equal_but_for_rounding_are_hits():
    """The observed 1 + 2⁻⁴⁸ is the 1 − 2⁻⁴⁸ of other shuffles; by 1e-8 they would differ."""
    x, y = np.array([3, 0, 4, 3]), np.array([0, 3, 3, 4])

    def noisy(a, b):
        far = np.abs(a[..., 0] - a[..., 1]) >= 3
        up = a[..., 2] > b[..., 2]
        return np.where(far, np.where(up, 1 + 2.0**-48, 1 - 2.0**-48), 0.0)

    found = permutation_test(x, y, noisy, permutations=B)
    want = (1 + (found.null > 0.5).sum()) / (1 + B)
    assert found.p_value == want
    assert (found.null == 1 - 2.0**-48).any()
    assert (found.null == 1 + 2.0**-48).any()
    # What differs by more than rounding does not count.
    apart = permutation_test(x, y, lambda a, b: noisy(a, b) ** 2.0**20, permutations=B)
    assert apart.p_value < want


def test_more_outcomes_than_are_drawn_at_once():
    x = np.ones((1 << 20) + 1)
    found = permutation_test(x, x, lambda a, b: np.abs(a - b).sum(-1), permutations=2)
    assert found.statistic == 0
    assert found.p_value == 1
    assert found.null.shape == (2,)
