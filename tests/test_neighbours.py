"""KL from nearest neighbours: against all distances, and against densities that are known."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy import integrate, stats

from fastdiv.neighbours import nearest_neighbour_kl, nearest_neighbour_kl_estimate

RNG = np.random.default_rng(9)


def by_all_distances(x, y, k):
    x, y = (np.reshape(z, (len(z), -1)) for z in (x, y))
    own = np.sort(np.linalg.norm(x[:, None] - x, axis=-1), axis=-1)[:, k]
    others = np.sort(np.linalg.norm(x[:, None] - y, axis=-1), axis=-1)[:, k - 1]
    d, n, m = x.shape[1], len(x), len(y)
    return d * np.log(others / own).mean() + math.log(m / (n - 1))


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_against_all_distances(shape, k):
    x, y = RNG.normal(0, 1, (60, *shape)), RNG.normal(0.3, 1.4, (45, *shape))
    want = by_all_distances(x, y, k)
    assert nearest_neighbour_kl(x, y, k=k) == pytest.approx(want, rel=1e-12, abs=1e-13)
    for scale in (1e-200, 2.0**-1000, 1e200):
        found = nearest_neighbour_kl(x * scale, y * scale, k=k)
        assert found == pytest.approx(want, rel=1e-11, abs=1e-12)


def test_known_densities():
    """Within three spreads of ten estimates, which are small."""
    want = float(integrate.quad(
        lambda z: stats.expon.pdf(z) * (stats.expon.logpdf(z) - stats.gamma.logpdf(z, 2)), 0, 60
    )[0])  # fmt: skip
    cases = [
        (lambda n: RNG.normal(0, 1, n), lambda n: RNG.normal(1, 2, n),
         math.log(2) + 2 / 8 - 0.5, 0.03),
        (lambda n: RNG.exponential(1, n), lambda n: RNG.gamma(2, 1, n), want, 0.03),
        (lambda n: RNG.normal(0, 1, (n, 2)), lambda n: RNG.normal([0.8, 0.6], 1, (n, 2)),
         0.5, 0.04),
    ]  # fmt: skip
    for sample_p, sample_q, truth, allowed in cases:
        each = [nearest_neighbour_kl(sample_p(4000), sample_q(3000)) for _ in range(10)]
        assert np.std(each) < 0.05
        assert abs(np.mean(each) - truth) < allowed


def test_of_one_density_it_is_near_nothing():
    each = [nearest_neighbour_kl(*RNG.normal(size=(2, 2000, 2)), k=10) for _ in range(5)]
    assert abs(np.mean(each)) < 0.03


@pytest.mark.parametrize(
    ("n", "m", "d", "k"), [(300, 200, 1, 5), (500, 500, 2, 3), (400, 300, 3, 5)]
)
def test_standard_errors_are_the_spread(n, m, d, k):
    """Of many pairs of samples: the error is the spread of the values, which it covers."""
    shift = np.eye(d)[0]
    found = [
        nearest_neighbour_kl_estimate(
            RNG.normal(size=(n, d)), RNG.normal(shift, 1.2, (m, d)), k=k, seed=i
        )
        for i in range(120)
    ]
    values, errors = np.array(found).T
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.3)
    assert errors.std() < 0.35 * errors.mean()
    covered = np.abs(values - values.mean()) < 1.96 * errors
    assert 0.85 < covered.mean() < 1


def test_what_the_estimate_is():
    x, y = RNG.normal(size=(90, 2)), RNG.normal(size=(80, 2))
    found = nearest_neighbour_kl_estimate(x, y, k=3)
    assert found.value == nearest_neighbour_kl(x, y, k=3)
    assert found == nearest_neighbour_kl_estimate(x.tolist(), y, k=3)
    assert found.se != nearest_neighbour_kl_estimate(x, y, k=3, seed=1).se > 0
    small = nearest_neighbour_kl_estimate(x[:7], y[:9], k=3)
    assert math.isfinite(small.value)
    assert math.isnan(small.se)
    assert math.isfinite(nearest_neighbour_kl_estimate(x[:8], y[:9], k=3).se)
    with pytest.raises(ValueError, match="k is 11"):
        nearest_neighbour_kl_estimate(x, y[:10], k=11)


def test_ties_are_told():
    x, y = RNG.normal(size=40), RNG.normal(size=30)
    x[7] = x[20] = x[33]
    with pytest.raises(ValueError, match=r"3 points of x, the first is row 7, equal at least 2"):
        nearest_neighbour_kl(x, y, k=2)
    assert math.isfinite(nearest_neighbour_kl(x, y, k=3))
    apart = RNG.normal(size=40)
    y[4] = apart[11]
    with pytest.raises(ValueError, match=r"1 points of x.*row 11, equal at least 1 points of y"):
        nearest_neighbour_kl(apart, y, k=1)
    assert math.isfinite(nearest_neighbour_kl(apart, y, k=2))


def test_refusals():
    x, y = RNG.normal(size=(20, 2)), RNG.normal(size=(10, 2))
    with pytest.raises(ValueError, match="k is 11, for 20 points x and 10 y; it takes 1 to 10"):
        nearest_neighbour_kl(x, y, k=11)
    with pytest.raises(ValueError, match="k is 10"):
        nearest_neighbour_kl(y, x, k=10)
    with pytest.raises(TypeError, match=r"k is 1\.5"):
        nearest_neighbour_kl(x, y, k=1.5)
    with pytest.raises(ValueError, match="x has 2 dimensions, y 3"):
        nearest_neighbour_kl(x, np.ones((9, 3)))
    with pytest.raises(ValueError, match="y, row 3, has nan"):
        nearest_neighbour_kl(x, np.where(np.arange(20).reshape(10, 2) == 7, np.nan, y))
    with pytest.raises(ValueError, match=r"x has shape \(1, 2, 3\)"):
        nearest_neighbour_kl(np.ones((1, 2, 3)), y)
    with pytest.raises(TypeError, match="x has dtype"):
        nearest_neighbour_kl(["a"], ["b"])
    for wrong, error in (("a", TypeError), (-1, ValueError)):
        with pytest.raises(error, match=f"nearest_neighbour_kl_estimate: seed is {wrong!r}"):
            nearest_neighbour_kl_estimate(x, y, k=1, seed=wrong)
    for few_x, few_y in (([], []), ([1.0], [2.0]), ([1.0, 2.0], [])):
        counts = f"nearest_neighbour_kl: {len(few_x)} points x and {len(few_y)} y; it takes 2 x"
        with pytest.raises(ValueError, match=counts):
            nearest_neighbour_kl(few_x, few_y)


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fastdiv\[scipy\]"'):
        nearest_neighbour_kl([1.0, 2.0], [1.5], k=1)
