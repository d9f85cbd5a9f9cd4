"""Corrections of counts: against leaving out every draw, and against exact expectations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import fastdiv as fd
from fastdiv.plug_in import (
    entropy_from_counts,
    kl_divergence_from_counts,
    mutual_information_from_counts,
)

RNG = np.random.default_rng(8)


def entropy(c):
    p = np.asarray(c) / np.sum(c)
    return -sum(x * math.log(x) for x in p if x)


def divergence(c, d):
    p, q = np.asarray(c) / np.sum(c), np.asarray(d) / np.sum(d)
    return sum(x * math.log(x / y) if y else math.inf for x, y in zip(p, q, strict=True) if x)


def without(c, j):
    return [x - (i == j) for i, x in enumerate(c)]


def jackknife(statistic, c):
    """By its definition: every draw left out in turn."""
    n = sum(c)
    left_out = [statistic(without(c, j)) for j, x in enumerate(c) for _ in range(x)]
    return n * statistic(c) - (n - 1) * math.fsum(left_out) / n


@pytest.mark.parametrize("trial", range(6))
def test_jackknife_by_definition(trial):
    c, d = RNG.integers(0, 9, 7), RNG.integers(2, 9, 7)
    c[0], c[1] = 1, 0
    c, d = c.tolist(), d.tolist()
    assert entropy_from_counts(c, "jackknife") == pytest.approx(jackknife(entropy, c), rel=1e-12)
    plain = divergence(c, d)
    want = plain + sum(
        jackknife(part, counts) - plain
        for part, counts in ((lambda x: divergence(x, d), c), (lambda y: divergence(c, y), d))
    )
    found = kl_divergence_from_counts(c, d, "jackknife")
    assert found == pytest.approx(want, rel=1e-11)
    known = kl_divergence_from_counts(c, d, "jackknife", known_q=True)
    assert known == pytest.approx(jackknife(lambda x: divergence(x, d), c), rel=1e-11)


def expected(function, n, p):
    """Exact mean over all counts of n draws of two outcomes."""
    each = np.arange(n + 1)
    counts = np.stack([each, n - each], -1)
    return float(stats.binom.pmf(each, n, p) @ function(counts))


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_bias_of_the_entropy(p):
    truth = entropy([p, 1 - p])
    bias = {
        correction: expected(lambda c, k=correction: entropy_from_counts(c, k), 60, p) - truth
        for correction in (None, "miller-madow", "jackknife")
    }
    assert bias[None] == pytest.approx(-1 / 120, rel=0.05)
    assert abs(bias["miller-madow"]) < 0.05 * abs(bias[None])
    assert abs(bias["jackknife"]) < 0.05 * abs(bias[None])


def test_bias_of_the_divergence():
    """Over both samples; 2 draws at least of each outcome of Q, of probability 1 − 1e-8."""
    p, q, n, m = 0.3, 0.45, 50, 60
    first, second = np.arange(n + 1), np.arange(2, m - 1)
    c = np.stack([first, n - first], -1)[:, None]
    d = np.stack([second, m - second], -1)
    weights = stats.binom.pmf(first, n, p)[:, None] * stats.binom.pmf(second, m, q)
    assert weights.sum() == pytest.approx(1, abs=1e-7)
    truth = divergence([p, 1 - p], [q, 1 - q])
    bias = {
        correction: (weights * kl_divergence_from_counts(c, d, correction)).sum() - truth
        for correction in (None, "miller-madow", "jackknife")
    }
    # (K−1)/2n and (Σ p/q − 1)/2m
    first_order = 1 / 100 + (0.3 / 0.45 + 0.7 / 0.55 - 1) / 120
    assert bias[None] == pytest.approx(first_order, rel=0.1)
    assert abs(bias["miller-madow"]) < 0.15 * bias[None]
    assert abs(bias["jackknife"]) < 0.15 * bias[None]


def information(flat, shape):
    table = np.reshape(flat, shape)
    return entropy(table.sum(0)) + entropy(table.sum(1)) - entropy(np.ravel(table))


def test_mutual_information():
    tables = RNG.integers(0, 6, (2, 3, 4))
    tables[0, 1] = 0  # a row that did not occur
    for table in tables:
        counts = table.ravel().tolist()
        plain = information(counts, (3, 4))
        assert mutual_information_from_counts(table, None) == pytest.approx(plain, rel=1e-12)
        found = mutual_information_from_counts(table)
        cells = (table > 0).sum() - (table.any(0)).sum() - (table.any(1)).sum() + 1
        assert found == pytest.approx(plain - cells / (2 * table.sum()), rel=1e-12)
        left_out = jackknife(lambda c: information(c, (3, 4)), counts)
        found = mutual_information_from_counts(table, "jackknife")
        assert found == pytest.approx(left_out, rel=1e-10, abs=1e-12)
    both = mutual_information_from_counts(tables, base=2)
    assert both.shape == (2,)
    assert both[1] == mutual_information_from_counts(tables[1], base=2)
    with pytest.raises(ValueError, match="it takes tables"):
        mutual_information_from_counts([1, 2])
    with pytest.raises(ValueError, match=r"joint, row 1, has 0\.5 at 3"):
        mutual_information_from_counts([[[1, 2], [3, 4]], [[1, 2], [3, 0.5]]])


def test_independent_variables_have_none_on_average():
    tables = RNG.multinomial(100, np.outer([0.2, 0.3, 0.5], [0.4, 0.3, 0.3]).ravel(), 4000)
    tables = tables.reshape(-1, 3, 3)
    means = {
        how: mutual_information_from_counts(tables, how).mean()
        for how in (None, "miller-madow", "jackknife")
    }
    assert means[None] == pytest.approx(4 / 200, rel=0.06)  # (3−1)(3−1)/2n
    assert abs(means["miller-madow"]) < 0.002
    assert abs(means["jackknife"]) < 0.002


def test_without_correction_it_is_the_package():
    c, d = RNG.integers(1, 50, (2, 3, 8))
    np.testing.assert_array_equal(kl_divergence_from_counts(c, d, None), fd.kl_divergence(c, d))
    np.testing.assert_array_equal(entropy_from_counts(c, None), fd.entropy(c))
    known = kl_divergence_from_counts(c, d / 7.5, known_q=True)
    want = fd.kl_divergence(c, d) - 7 / (2 * c.sum(-1))
    np.testing.assert_allclose(known, want, rtol=1e-12)


def test_outcomes_that_did_not_occur_do_not_count():
    plain = entropy([5, 3])
    assert entropy_from_counts([5, 3, 0, 0]) == pytest.approx(plain + 1 / 16, rel=1e-13)
    assert entropy_from_counts([5, 3, 0, 0], "jackknife") == pytest.approx(
        jackknife(entropy, [5, 3]), rel=1e-12
    )
    found = kl_divergence_from_counts([5, 3, 0, 0], [4, 4, 2, 0])
    want = divergence([5, 3], [5, 5]) + math.log(10 / 8)
    want -= 1 / 16 + (5 / 8 / 0.4 + 3 / 8 / 0.4 - 1) / 20
    assert found == pytest.approx(want, rel=1e-12)


def test_axes_units_and_broadcasting():
    c, d = RNG.integers(1, 50, (2, 3, 8))
    bits = kl_divergence_from_counts(c.T, d.T, axis=0, base=2)
    np.testing.assert_allclose(bits * math.log(2), kl_divergence_from_counts(c, d), rtol=1e-14)
    table = kl_divergence_from_counts(c[:, None], d, "jackknife")
    assert table.shape == (3, 3)
    assert table[1, 2] == kl_divergence_from_counts(c[1], d[2], "jackknife")
    assert entropy_from_counts([8, 8], base=2) == pytest.approx(1 + 1 / (32 * math.log(2)))
    assert isinstance(entropy_from_counts([8, 8]), float)
    large = entropy_from_counts([10**9, 10**9], "jackknife")
    assert large == pytest.approx(math.log(2) + 1 / (4 * 10**9), rel=1e-15)


def test_what_no_correction_mends():
    for correction in (None, "miller-madow", "jackknife"):
        assert kl_divergence_from_counts([3, 4, 1], [5, 5, 0], correction) == math.inf
    assert math.isnan(kl_divergence_from_counts([3, 4], [5, 1], "jackknife"))
    assert kl_divergence_from_counts([3, 0], [5, 1], "jackknife") == pytest.approx(
        jackknife(lambda y: divergence([3, 0], y), [5, 1])
    )
    assert entropy_from_counts([1], "jackknife") == 0


def test_refusals():
    with pytest.raises(ValueError, match=r"counts, row 1, has 0\.5 at 0; it takes counts, whole"):
        entropy_from_counts([[1, 2], [0.5, 1]])
    with pytest.raises(ValueError, match="p, row 0, has no counts"):
        kl_divergence_from_counts([0, 0], [1, 2])
    with pytest.raises(ValueError, match=r"q has -1\.0 at 1"):
        kl_divergence_from_counts([1, 2], [1, -1])
    with pytest.raises(ValueError, match="p has rows of 2, q of 3"):
        kl_divergence_from_counts([1, 2], [1, 1, 1])
    with pytest.raises(ValueError, match="correction is 'miller'"):
        entropy_from_counts([1, 2], "miller")
    with pytest.raises(ValueError, match="base"):
        entropy_from_counts([1, 2], base=1)
    with pytest.raises(ValueError, match="single number"):
        entropy_from_counts(3)
