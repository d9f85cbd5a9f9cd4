"""Against mpmath, SciPy, and definitions written down once more; coverage by exact arithmetic."""

import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import fastdiv as fd
from fastdiv import _core
from fastdiv import uncertainty as un

mp.mp.dps = 50
RNG = np.random.default_rng(3)
IDS = RNG.integers(0, 7, 60)
X = RNG.lognormal(size=60) + IDS
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def exact(x: Any) -> list[mp.mpf]:
    return [mp.mpf(float(v)) for v in np.ravel(x)]


def cluster_se(x: Any, ids: Any) -> mp.mpf:
    values = exact(x)
    average = mp.fsum(values) / len(values)
    sums: dict[int, mp.mpf] = {}
    for value, i in zip(values, np.ravel(ids).tolist(), strict=True):
        sums[i] = sums.get(i, mp.mpf(0)) + value - average
    count = len(sums)
    return mp.sqrt(mp.fsum(s * s for s in sums.values()) * count / (count - 1)) / len(values)


# --- sums -----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(FINITE, max_size=300))
def test_sums_are_correctly_rounded(values: list[float]) -> None:
    expected = sum(map(Fraction, values), Fraction(0))
    try:
        wanted = float(expected)
    except OverflowError:
        wanted = math.inf if expected > 0 else -math.inf
    found = un.total(values)
    # The overflow path scales by 2^-64, which only subnormal numbers can feel.
    assert found == wanted or abs(wanted) > 1e290
    assert found == un.total(values[::-1])


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 16384, 16385, 100_001])
@pytest.mark.parametrize("spread", [0.1, 5.0, 60.0, 200.0])
def test_long_sums(size: int, spread: float) -> None:
    x = np.exp(np.clip(RNG.normal(0, spread, size), -744, 690)) * RNG.choice([-1, 1], size)
    assert un.total(x) == math.fsum(x.tolist())


def test_long_sums_of_one_sign() -> None:
    """A whole chunk just below a power of two is what the splitting constant has to bound."""
    for size in (1 << 14, 1 << 16):
        x = 2 - RNG.random(size) / 1000
        assert un.total(x) == math.fsum(x.tolist())


def test_sums_of_extremes() -> None:
    big = [1.7e308] * 2000
    assert un.total(big) == math.inf
    assert un.total([-b for b in big]) == -math.inf
    assert un.total([*big, *(-b for b in big), 5e-324]) in (0.0, 5e-324)
    assert un.total([1.0] * 2000 + [math.inf]) == math.inf
    assert math.isnan(un.total([1.0] * 2000 + [math.inf, -math.inf]))
    assert math.isnan(un.total([1.0] * 2000 + [math.nan]))
    assert un.total([5e-324] * 3000) == 3000 * 5e-324


# --- means ----------------------------------------------------------------------------------------


def test_independent_error() -> None:
    found, values = un.mean(X), exact(X)
    average = mp.fsum(values) / 60
    moment = mp.fsum(v * v for v in values) / 60
    assert found.value == pytest.approx(float(average), rel=1e-15)
    assert found.se == pytest.approx(float(mp.sqrt((moment - average**2) / 59)), rel=1e-14)


def test_cluster_robust_error() -> None:
    found = un.mean(X, sequence_ids=IDS)
    assert found.value == un.mean(X).value
    assert found.se == pytest.approx(float(cluster_se(X, IDS)), rel=1e-13)
    assert found.se > 2 * un.mean(X).se
    each = un.mean(X, sequence_ids=np.arange(60)[::-1])
    assert each.se == pytest.approx(un.mean(X).se, rel=1e-14)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(60)))
def test_no_order_changes_a_bit(order: list[int]) -> None:
    assert un.mean(X[order]) == un.mean(X)
    assert un.mean(X[order], sequence_ids=IDS[order]) == un.mean(X, sequence_ids=IDS)
    pair = un.paired(X[order], X[order] ** 2, sequence_ids=IDS[order])
    assert pair == un.paired(X, X**2, sequence_ids=IDS)
    buckets = un.by_bucket(X[order], IDS[order], quantiles=3, sequence_ids=IDS[order])
    assert buckets == un.by_bucket(X, IDS, quantiles=3, sequence_ids=IDS)


def test_sequences() -> None:
    groups = un.Sequences(IDS)
    assert len(groups) == len(set(IDS.tolist()))
    assert groups.ids.tolist() == sorted(set(IDS.tolist()))
    assert groups.sizes.tolist() == [Counter(IDS.tolist())[i] for i in groups.ids.tolist()]
    sums = [math.fsum(X[i == IDS].tolist()) for i in groups.ids]
    assert groups.sums(X).tolist() == sums
    assert un.mean(X, sequence_ids=groups) == un.mean(X, sequence_ids=IDS)
    assert len(un.Sequences([])) == 0


def test_where_no_error_is_defined() -> None:
    for found in (
        un.mean([1.0]),
        un.mean([1.0, 2.0], sequence_ids=[4, 4]),
        un.mean([1.0, math.inf]),
        un.fraction([True]),
    ):
        assert math.isnan(found.se)
    assert un.mean([1.0, math.inf]).value == math.inf
    assert all(map(math.isnan, un.mean([])))
    assert all(map(math.isnan, un.mean([1.0, math.nan, 2.0])))
    assert all(map(math.isnan, un.mean([math.inf, -math.inf])))
    assert math.isnan(un.mean_interval([1.0]).lower)


def test_fraction_and_root() -> None:
    hits = RNG.random(200) < 0.3
    a = hits.mean()
    assert un.fraction(hits) == pytest.approx((a, math.sqrt(a * (1 - a) / 199)), rel=1e-14)
    ids = np.arange(200) // 10
    assert un.fraction(hits, sequence_ids=ids).se == pytest.approx(float(cluster_se(hits, ids)))
    r = un.root_mean_square(X)
    assert r.value == pytest.approx(math.sqrt(np.mean(X**2)))
    assert r.se == pytest.approx(un.mean(X**2).se / (2 * r.value))
    assert un.fraction(hits, sequence_ids=ids[::-1]) == un.mean(
        hits.astype(float), sequence_ids=ids[::-1]
    )


def test_wilson() -> None:
    hits = RNG.random(200) < 0.97
    found = un.fraction_interval(hits, 0.9)
    expected = stats.binomtest(int(hits.sum()), 200).proportion_ci(0.9, method="wilson")
    assert found[:2] == pytest.approx(tuple(expected), rel=1e-12)
    assert un.fraction_interval([True] * 30).upper == 1.0
    assert 0.85 < un.fraction_interval([True] * 30).lower < 1
    assert un.fraction_interval([False] * 30).lower == 0.0
    # Thirty copies of each of 20 rows are 20 rows.
    twenty = RNG.random(20) < 0.5
    copies = un.fraction_interval(np.repeat(twenty, 30), sequence_ids=np.repeat(np.arange(20), 30))
    wide = un.fraction_interval(np.repeat(twenty, 30))
    assert copies.upper - copies.lower > 4 * (wide.upper - wide.lower)
    same = un.fraction_interval([True] * 600, sequence_ids=np.repeat(np.arange(20), 30))
    assert same.lower < un.fraction_interval([True] * 20).lower
    assert all(map(math.isnan, un.fraction_interval([])[:2]))


def test_correlation() -> None:
    y = X + RNG.normal(size=60)
    assert un.correlation(X, y) == pytest.approx(np.corrcoef(X, y)[0, 1], rel=1e-13)
    assert math.isnan(un.correlation([1.0, 1.0], [1.0, 2.0]))
    assert math.isnan(un.correlation([1.0, math.inf], [1.0, 2.0]))


def test_intervals_of_means() -> None:
    for x in (X, X[:2], X[:5]):
        found = un.mean_interval(x, 0.9)
        expected = stats.t.interval(0.9, x.size - 1, np.mean(x), stats.sem(x))
        assert found[:2] == pytest.approx(expected, rel=1e-11)
    groups = len(set(IDS.tolist()))
    found = un.mean_interval(X, 0.99, sequence_ids=IDS)
    reach = stats.t.ppf(0.995, groups - 1) * float(cluster_se(X, IDS))
    assert found[:2] == pytest.approx((X.mean() - reach, X.mean() + reach), rel=1e-11)
    normal = un.Estimate(1.0, 2.0).interval(0.95)
    assert normal[:2] == pytest.approx(stats.norm.interval(0.95, 1.0, 2.0), rel=1e-13)


def test_perplexities() -> None:
    q, b = X / 3, X / 3 + RNG.normal(0, 0.1, 60)
    found = un.perplexity(q, sequence_ids=IDS)
    assert found.value == pytest.approx(math.exp(q.mean()))
    assert found.se == pytest.approx(math.exp(q.mean()) * float(cluster_se(q, IDS)))
    ratio = un.perplexity_ratio(q, b)
    assert ratio.value == pytest.approx(math.exp(q.mean() - b.mean()))
    assert ratio.se == pytest.approx(ratio.value * un.mean(q - b).se)
    ends = un.perplexity_interval(q, 0.9, sequence_ids=IDS)
    inner = un.mean_interval(q, 0.9, sequence_ids=IDS)
    assert ends == (math.exp(inner.lower), math.exp(inner.upper), 0.9)
    ends = un.perplexity_ratio_interval(q, b)
    inner = un.mean_interval(q - b)
    assert ends == (math.exp(inner.lower), math.exp(inner.upper), 0.95)
    assert un.perplexity([1e4, 1e4]).value == math.inf


# --- distributions --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 10, 137, 3000])
@pytest.mark.parametrize("p", [0.001, 0.3, 0.5, 0.95])
def test_binomial(n: int, p: float) -> None:
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        terms = (
            mp.binomial(n, i) * mp.mpf(p) ** i * (1 - mp.mpf(p)) ** (n - i) for i in range(k + 1)
        )
        wanted = mp.fsum(terms)
        assert un.binomial_cdf(k, n, p) == pytest.approx(float(wanted), rel=1e-11, abs=1e-300)
    assert un.binomial_cdf(-1, n, p) == 0.0
    assert un.binomial_cdf(n, n, p) == 1.0


@pytest.mark.parametrize("nu", [1, 2, 3.5, 30, 1000, 29_999, 30_001, 10**7])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.975, 0.9995, 1 - 1e-9])
def test_student(nu: float, p: float) -> None:
    t = un.student_t_quantile(p, nu)
    v = mp.mpf(nu)
    tail = mp.betainc(v / 2, 0.5, 0, v / (v + mp.mpf(t) ** 2), regularized=True) / 2
    assert float(tail / (1 - mp.mpf(p))) == pytest.approx(1, rel=3e-11)


def test_student_takes() -> None:
    assert un.student_t_quantile(0.975, math.inf) == pytest.approx(stats.norm.ppf(0.975))
    with pytest.raises(ValueError, match=r"p is 0\.2"):
        un.student_t_quantile(0.2, 3)
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        un.student_t_quantile(0.9, 0)


# --- quantiles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 11, 1000, 4001])
def test_quantiles(n: int) -> None:
    x = RNG.normal(size=n)
    for q in (0, 0.001, 0.25, 0.5, 0.9, 0.999, 1):
        assert un.quantile(x, q) == pytest.approx(np.quantile(x, q), rel=1e-13, abs=1e-14)
    assert math.isnan(un.quantile([], 0.5))
    assert math.isnan(un.quantile([1.0, math.nan], 0.0))
    assert un.quantile([1.0, math.inf, math.inf], 0.7) == math.inf


def test_decimal_levels_hit_the_sorted_values() -> None:
    for n, q in itertools.product((11, 101, 1001, 10**6 + 1), (0.1, 0.3, 0.7, 0.9)):
        x = np.arange(n) * math.pi
        assert un.quantile(x, q) == x[round(q * (n - 1))]


@pytest.mark.parametrize("n", [1, 3, 10, 50, 126, 1000])
@pytest.mark.parametrize("q", [0.01, 0.25, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_coverage_of_order_statistics_in_exact_arithmetic(
    n: int, q: float, confidence: float
) -> None:
    """P(x_(l) ≤ ξ ≤ x_(u)) ≥ confidence, each tail at most half, and no rank is given away."""
    x = np.arange(1.0, n + 1)
    lower, upper, _ = un.quantile_interval(x, q, confidence, limits=(0, n + 1))
    first, last = int(lower), int(upper)
    p, half = mp.mpf(q), (1 - mp.mpf(confidence)) / 2
    mass = [mp.binomial(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert sum(mass[:first]) <= half
    assert sum(mass[last:]) <= half
    assert sum(mass[first:last]) >= confidence
    if first < n:
        assert sum(mass[: first + 1]) > half
    if last > 1:
        assert sum(mass[last - 1 :]) > half


def test_coverage_of_quantile_intervals_by_simulation() -> None:
    rng = np.random.default_rng(0)
    truth = stats.lognorm(1).ppf(0.9)
    hits = 0
    for _ in range(2000):
        lower, upper, _ = un.quantile_interval(rng.lognormal(size=80), 0.9)
        hits += lower <= truth <= upper
    # 95 % or more is promised; 3.5 standard deviations of the simulation below that.
    assert hits >= 1900 - 3.5 * math.sqrt(2000 * 0.05 * 0.95)


def test_several_quantiles_at_once() -> None:
    for options in ({}, {"sequence_ids": IDS}):
        many = un.quantile_intervals(X, [0.1, 0.5], 0.9, limits=(0, 99), **options)
        assert many == [
            un.quantile_interval(X, q, 0.9, limits=(0, 99), **options) for q in (0.1, 0.5)
        ]


def test_small_samples_have_open_ends() -> None:
    assert un.quantile_interval([1.0, 2.0, 3.0], 0.5)[:2] == (-math.inf, math.inf)
    assert un.quantile_interval(np.arange(10.0), 0.99, limits=(0, 99)).upper == 99
    assert un.quantile_interval([], 0.5)[:2] == (-math.inf, math.inf)
    assert all(map(math.isnan, un.quantile_interval([math.nan, 1.0], 0.5)[:2]))


def test_quantile_intervals_of_sequences() -> None:
    """Copies of a row tell nothing new: Woodruff's interval knows, the order statistics do not."""
    rng = np.random.default_rng(1)
    hits = naive = 0
    for _ in range(600):
        x = np.repeat(rng.normal(size=40), 25)
        ids = np.repeat(np.arange(40), 25)
        lower, upper, _ = un.quantile_interval(x, 0.5, sequence_ids=ids)
        hits += lower <= 0 <= upper
        lower, upper, _ = un.quantile_interval(x, 0.5)
        naive += lower <= 0 <= upper
    assert 0.92 <= hits / 600 <= 0.99
    assert naive / 600 < 0.4


def test_quantile_intervals_of_sequences_are_never_narrower() -> None:
    x = RNG.normal(size=126)
    for q in (0.001, 0.05, 0.5, 0.99, 0.999):
        alone = un.quantile_interval(x, q)
        found = un.quantile_interval(x, q, sequence_ids=np.arange(126) // 21)
        assert found.lower <= alone.lower
        assert found.upper >= alone.upper


def test_coverage_of_clustered_means() -> None:
    """Ten sequences that differ among themselves: t of nine degrees of freedom, not the normal."""
    rng = np.random.default_rng(6)
    hits = naive = 0
    ids = np.repeat(np.arange(10), 20)
    for _ in range(2000):
        x = np.repeat(rng.normal(size=10), 20) + rng.normal(size=200)
        lower, upper, _ = un.mean_interval(x, sequence_ids=ids)
        hits += lower <= 0 <= upper
        lower, upper, _ = un.mean_interval(x)
        naive += lower <= 0 <= upper
    assert 0.935 < hits / 2000 < 0.965
    assert naive / 2000 < 0.6


# --- pairs ----------------------------------------------------------------------------------------


def test_sign_test() -> None:
    x, y = RNG.normal(size=(2, 40)).round(1)
    found = un.sign_test(x, y)
    greater, less = int((x > y).sum()), int((x < y).sum())
    assert (found.greater, found.less, found.ties) == (greater, less, 40 - greater - less)
    assert found.p_value == pytest.approx(stats.binomtest(greater, greater + less).pvalue)
    assert un.sign_test([1.0], [1.0]).p_value == 1.0
    assert un.sign_test([math.nan, 2.0], [1.0, 1.0])[:4] == (1, 0, 0, 1)
    assert un.sign_test([math.inf], [math.inf])[:4] == (0, 0, 1, 0)


def test_paired() -> None:
    y = X * 0.9 + RNG.normal(0, 0.01, 60)
    found = un.paired(X, y, sequence_ids=IDS, confidence=0.9)
    assert (found.first, found.second) == (
        un.mean(X, sequence_ids=IDS),
        un.mean(y, sequence_ids=IDS),
    )
    assert found.difference == un.mean(X - y, sequence_ids=IDS)
    assert found.interval == un.mean_interval(X - y, 0.9, sequence_ids=IDS)
    sums = [float(np.sum((X - y)[i == IDS])) for i in set(IDS.tolist())]
    assert found.sign_test.greater == sum(s > 0 for s in sums)
    assert (found.tokens, found.sequences) == (60, len(sums))
    alone = un.paired(X, y)
    assert alone.sequences is None
    assert alone.sign_test == un.sign_test(X, y)
    assert alone.difference.se < 0.2 * un.mean(X).se
    assert math.isnan(un.paired([1.0, math.inf], [1.0, math.inf]).difference.value)
    assert un.noise_floor(X, y, sequence_ids=IDS) == un.paired(X, y, sequence_ids=IDS)
    assert found.to_dict()["sequences"] == len(sums)


# --- buckets --------------------------------------------------------------------------------------


def test_buckets_by_edges() -> None:
    by = RNG.integers(0, 10, 60)
    found = un.by_bucket(X, by, edges=[0, 3, 4, 20, 30], sequence_ids=IDS)
    for bucket, (low, high) in zip(found, itertools.pairwise([0, 3, 4, 20, 30]), strict=True):
        rows = (by >= low) & (by < high)
        assert (bucket.lower, bucket.upper, bucket.count) == (low, high, rows.sum())
        if rows.any():
            assert bucket.mean == un.mean(X[rows], sequence_ids=IDS[rows])
    assert found[-1].count == 0
    assert math.isnan(found[-1].mean.value)
    assert [b.count for b in un.by_bucket([1, 2, 3], [0, 1, 2], edges=[0, 1, 2])] == [1, 2]
    assert found[-1].to_dict()["mean"] == {"value": None, "se": None}


def test_buckets_by_quantiles() -> None:
    found = un.by_bucket(X, X, quantiles=4)
    assert [b.count for b in found] == [14, 15, 15, 16]
    assert (found[0].lower, found[-1].upper) == (X.min(), X.max())
    assert len(un.by_bucket(X, np.ones(60), quantiles=4)) == 1
    assert un.by_bucket([], [], quantiles=4) == []


# --- bootstrap ------------------------------------------------------------------------------------


def test_bootstrap_knows_every_resample_of_three() -> None:
    """All 27 resamples of three blocks have a known frequency each."""
    sizes, values = (1, 2, 3), (1.0, 10.0, 100.0)
    x, ids = np.repeat(values, sizes), np.repeat([5, 2, 9], sizes)
    found = un.bootstrap("mean", x, sequence_ids=ids, resamples=20_000, seed=4)
    expected: Counter[float] = Counter()
    for drawn in itertools.product(range(3), repeat=3):
        total = sum(values[i] * sizes[i] for i in drawn)
        expected[total / sum(sizes[i] for i in drawn)] += 1
    seen = Counter(found.resamples.tolist())
    assert seen.keys() == expected.keys()
    observed = [seen[key] for key in expected]
    test = stats.chisquare(observed, [20_000 * count / 27 for count in expected.values()])
    assert test.pvalue > 1e-3


def test_bootstrap_error_is_the_known_one() -> None:
    found = un.bootstrap("mean", X, resamples=20_000)
    assert found.estimate.value == un.mean(X).value
    assert found.estimate.se == pytest.approx(np.std(X) / math.sqrt(60), rel=0.02)
    assert found.blocks == 60
    assert found.estimate.se == pytest.approx(np.std(found.resamples, ddof=1), rel=1e-12)
    ends = np.quantile(found.resamples, [0.025, 0.975])
    assert found.interval[:2] == pytest.approx(ends, rel=1e-12)


@pytest.mark.parametrize("name", un.STATISTICS)
@pytest.mark.parametrize("blocks", [{}, {"sequence_ids": IDS}, {"block_length": 7}])
def test_sums_per_block_are_the_rows_themselves(name: str, blocks: dict[str, Any]) -> None:
    """The same draws, once by sums of blocks and once row by row."""
    count, function = un.STATISTICS[name]
    columns = [X, X**1.5 / 4][:count]
    fast = un.bootstrap(name, *columns, resamples=300, seed=8, **blocks)
    slow = un.bootstrap(
        lambda *x: function(*(c.mean(axis=-1) for c in x)),
        *columns,
        resamples=300,
        seed=8,
        **blocks,
    )
    np.testing.assert_allclose(fast.resamples, slow.resamples, rtol=1e-12)
    np.testing.assert_allclose(fast.estimate, slow.estimate, rtol=1e-9)
    assert fast.blocks == slow.blocks == {"s": 7, "b": 54}.get(next(iter(blocks), "")[:1], 60)


def test_moving_blocks_are_runs_of_neighbours() -> None:
    seen: list[np.ndarray] = []

    def note(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x[:, 0]

    un.bootstrap(note, np.arange(10.0), block_length=4, resamples=500)
    rows = np.concatenate(seen[1:])
    assert rows.shape == (500, 12)
    runs = rows.reshape(-1, 4)
    assert (np.diff(runs, axis=1) == 1).all()
    assert set(runs[:, 0].tolist()) == set(range(7))


def test_any_statistic() -> None:
    found = un.bootstrap(lambda x: np.median(x, axis=-1), X, sequence_ids=IDS, resamples=400)
    assert found.estimate.value == np.median(X)
    assert set(found.resamples * 2) <= set(np.add.outer(X, X).ravel())
    same = un.bootstrap(lambda x: np.max(x, axis=-1), X, resamples=400)
    assert set(same.resamples) <= set(X)
    means = un.bootstrap(lambda x, y: x * y, X, X, of_means=True, resamples=50)
    assert means.resamples == pytest.approx(un.bootstrap("mean", X, resamples=50).resamples ** 2)


WORD = (1 << 64) - 1


def splitmix(z: int) -> int:
    z = z + 0x9E3779B97F4A7C15 & WORD
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return z ^ z >> 31


def wyrand(key: int, i: int) -> int:
    x = key + (i + 1) * 0xA0761D6478BD642F & WORD
    product = x * (x ^ 0xE7037ED1A0B428DB)
    return product >> 64 ^ product & WORD


def draws(rows: int, drawn: int, seed: int, resample: int) -> list[int]:
    """What a resample draws, by the published generators and plain integers."""
    key = splitmix(splitmix(seed) ^ resample)
    found: list[int] = []
    for i in range(drawn):
        u = wyrand(key, i // 2) >> 32 * (i % 2) & 0xFFFFFFFF
        other = key ^ WORD
        while u * rows & 0xFFFFFFFF < (1 << 32) % rows:
            other = wyrand(other, i)
            u = other >> 32
        found.append(u * rows >> 32)
    return found


@pytest.mark.parametrize("rows", [1, 2, 10, 1000, (1 << 31) + 7, (1 << 32) - 1])
def test_rows_that_are_drawn(rows: int) -> None:
    """With (2³¹ + 7) rows every other number is refused."""
    for seed in (0, 42, WORD):
        chosen = _core.drawn_rows(rows, 700, seed, 5, 2)
        assert chosen.tolist() == [draws(rows, 700, seed, r) for r in (5, 6)]
        assert chosen.min() >= 0
        assert chosen.max() < rows


def test_the_same_numbers_tomorrow() -> None:
    """Written down: they are part of what a seed promises."""
    x = np.arange(10.0)
    found = un.bootstrap("mean", x, resamples=4, seed=42).resamples
    assert found.tolist() == [x[draws(10, 10, 42, r)].mean() for r in range(4)]
    assert found.tolist() == SEED_42
    assert un.bootstrap("mean", x, resamples=4, seed=43).resamples.tolist() != SEED_42
    for threads in (1, 2, 5):
        with fd.num_threads(threads):
            many = un.bootstrap("mean", np.arange(5000.0), resamples=900, seed=3).resamples
        assert many[899] == np.arange(5000.0)[draws(5000, 5000, 3, 899)].mean()


SEED_42 = [3.1, 3.8, 4.3, 4.3]


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_seeds(seed: int) -> None:
    with pytest.raises(ValueError, match=f"bootstrap: seed is {seed}; it takes 0…2⁶⁴ − 1"):
        un.bootstrap("mean", [1.0, 2.0], seed=seed)


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = un.bootstrap("mean", X, resamples=100)
    median = un.bootstrap(lambda x: np.median(x, axis=-1), X, resamples=100)
    monkeypatch.setattr(un, "_DRAWN_AT_ONCE", 61)
    assert un.bootstrap("mean", X, resamples=100).resamples.tolist() == whole.resamples.tolist()
    again = un.bootstrap(lambda x: np.median(x, axis=-1), X, resamples=100)
    assert again.resamples.tolist() == median.resamples.tolist()


def test_bootstrap_of_infinite_values() -> None:
    x = X.copy()
    x[7] = math.inf
    found = un.bootstrap("mean", x, block_length=5, resamples=200)
    assert found.estimate.value == math.inf
    assert math.isnan(found.estimate.se)
    assert 0 < np.isfinite(found.resamples).sum() < 200
    assert not np.isnan(found.resamples).any()
    assert found.to_dict()["interval"]["upper"] == "Infinity"  # type: ignore[index,call-overload]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: un.mean(["a"]), TypeError, "mean: x has dtype"),
        (lambda: un.mean([1j]), TypeError, "real numbers"),
        (lambda: un.mean([1.0], sequence_ids=[0.5]), TypeError, "they are integers"),
        (lambda: un.mean([1.0], sequence_ids=[1, 2]), ValueError, "2 sequence_ids for 1 rows"),
        (lambda: un.mean_interval([1.0, 2.0], 95), ValueError, "confidence is 95"),
        (lambda: un.quantile([1.0], 1.5), ValueError, "q is 1.5"),
        (lambda: un.quantile_interval([1.0], 0), ValueError, "q is 0"),
        (lambda: un.paired([1.0], [1.0, 2.0]), ValueError, "first has 1 rows, second 2"),
        (lambda: un.by_bucket([1.0], [1.0]), ValueError, "either edges or quantiles"),
        (lambda: un.by_bucket([1.0], [1.0], edges=[2, 2]), ValueError, "each above the one"),
        (lambda: un.by_bucket([1.0], [5.0], edges=[0, 2]), ValueError, "by is 5.0 in row 0"),
        (lambda: un.by_bucket([1.0], [math.nan], edges=[0, 2]), ValueError, "by is nan"),
        (lambda: un.by_bucket([1.0], [math.nan], quantiles=2), ValueError, "NaN in row 0"),
        (lambda: un.by_bucket([1.0], [1.0], quantiles=0), ValueError, "at least 1"),
        (
            lambda: un.by_bucket([1.0], [1.0], quantiles=1, sequence_ids=[1, 2]),
            ValueError,
            "2 sequence_ids",
        ),
        (lambda: un.Sequences([1, 2]).sums([1.0]), ValueError, "1 values for 2 sequence_ids"),
        (lambda: un.bootstrap("mean"), ValueError, "no rows"),
        (lambda: un.bootstrap("mean", []), ValueError, "no rows"),
        (lambda: un.bootstrap("mode", [1.0]), ValueError, "statistic is 'mode'"),
        (lambda: un.bootstrap("ratio", [1.0]), ValueError, "ratio is of 2 columns"),
        (lambda: un.bootstrap("ratio", [1.0], [1.0, 2.0]), ValueError, "columns of 1, 2 rows"),
        (lambda: un.bootstrap("mean", [1.0], resamples=1), ValueError, "1 resamples"),
        (lambda: un.bootstrap("mean", [1.0], block_length=2), ValueError, "block_length is 2"),
        (
            lambda: un.bootstrap("mean", [1.0], block_length=1, sequence_ids=[1]),
            ValueError,
            "not both",
        ),
        (lambda: un.bootstrap(np.median, [1.0, 2.0]), ValueError, "reduces the last axis"),
    ],
)
def test_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
