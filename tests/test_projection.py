"""Fits against SciPy's quadrature, closed forms and a search over all Gaussians."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from fastdiv.mixtures import GaussianMixture
from fastdiv.projection import GridDensity, evidence_decomposition, project
from fastdiv.targets import target_of

RNG = np.random.default_rng(12)


def divergences(target, mean, factor):
    """Both divergences, without their errors."""
    return [found.value for found in target_of(target).divergences(mean, factor)]


BIMODAL = GaussianMixture([0.6, 0.4], [-3, 3], [1, 1.44])


def log_bimodal(x):
    return np.logaddexp(
        math.log(0.6) + stats.norm.logpdf(x, -3, 1), math.log(0.4) + stats.norm.logpdf(x, 3, 1.2)
    )


def by_quadrature(log_p, log_q):
    def excess(x):
        return math.exp(log_p(x)) * (log_p(x) - log_q(x))

    value, error = integrate.quad(
        excess, -40, 40, points=[-6, -3, 0, 3, 6], limit=900, epsabs=1e-13, epsrel=1e-12
    )
    assert error < 1e-9
    return value


def gaussian_kl(m, s, n, t):
    """KL of N(m, s) from N(n, t), by the textbook's formula."""
    inverse = np.linalg.inv(t)
    apart = np.asarray(n) - m
    return 0.5 * (
        np.trace(inverse @ s) + apart @ inverse @ apart - len(s)
        + np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1]
    )  # fmt: skip


@pytest.mark.parametrize("mean", [-3.0, 0.5, 4.0])
@pytest.mark.parametrize("deviation", [0.5, 1.0, 3.5])
def test_divergences_against_quadrature(mean, deviation):
    found = target_of(BIMODAL).divergences(np.array([mean]), np.array([[deviation]]))

    def log_q(x):
        return float(stats.norm.logpdf(x, mean, deviation))

    for got, pair in zip(found, ((log_bimodal, log_q), (log_q, log_bimodal)), strict=True):
        want = by_quadrature(*pair)
        assert got.value == pytest.approx(want, rel=1e-9)
        assert abs(got.value - want) <= got.error + 1e-11


def test_a_component_of_weight_0_is_none():
    target = GaussianMixture([0.6, 0.0, 0.4], [-3, 50, 3], [1, 1, 1.44])
    np.testing.assert_array_equal(target.means, BIMODAL.means)
    assert project(target).best.forward_kl == project(BIMODAL).best.forward_kl


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_a_gaussian_in_two_halves_is_one(d):
    """One component has the closed form, two are integrated."""
    roots, means = RNG.normal(size=(2, d, d)), RNG.normal(size=(2, d))
    covariances = [root @ root.T + 0.5 * np.eye(d) for root in roots]
    want = gaussian_kl(means[0], covariances[0], means[1], covariances[1])
    back = gaussian_kl(means[1], covariances[1], means[0], covariances[0])
    q = means[1], np.linalg.cholesky(covariances[1])
    one = GaussianMixture([1], means[:1], covariances[:1])
    halves = GaussianMixture([1, 1], means[[0, 0]], [covariances[0]] * 2)
    np.testing.assert_allclose(divergences(one, *q), (want, back), rtol=1e-12)
    np.testing.assert_allclose(divergences(halves, *q), (want, back), rtol=1e-12)
    assert {found.error for found in target_of(one).divergences(*q)} == {0.0}


def test_forward_is_the_moments_and_nothing_is_nearer():
    found = project(BIMODAL, "normal", "forward")
    best = found.best
    mean = integrate.quad(lambda x: x * math.exp(log_bimodal(x)), -30, 30, points=[-3, 3])[0]
    square = integrate.quad(lambda x: x * x * math.exp(log_bimodal(x)), -30, 30, points=[-3, 3])[0]
    assert best.mean[0] == pytest.approx(mean, rel=1e-9)
    assert best.covariance[0, 0] == pytest.approx(square - mean**2, rel=1e-9)
    assert best.variance == "matched"
    assert len(found.optima) == 1
    deviation = math.sqrt(best.covariance[0, 0])
    for shift, factor in ((0.05, 1), (-0.05, 1), (0, 1.02), (0, 0.98)):
        other = divergences(BIMODAL, best.mean + shift, np.array([[deviation * factor]]))[0]
        assert other > best.forward_kl


def test_reverse_against_all_normals():
    """Every local minimum of a table of KL over means and deviations, and no other."""
    x = np.linspace(-25, 25, 2001)
    log_p = log_bimodal(x)
    means, deviations = np.linspace(-4.5, 4.5, 91), np.exp(np.linspace(-1, 1.6, 90))
    log_q = stats.norm.logpdf(x, means[:, None, None], deviations[:, None])
    table = (np.exp(log_q) * (log_q - log_p)).sum(-1) * (x[1] - x[0])
    inner = table[1:-1, 1:-1]
    around = [table[1 + i : 90 + i, 1 + j : 89 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    lowest = np.argwhere(inner <= np.min(around, axis=0)) + 1
    found = project(BIMODAL, "normal", "reverse")
    assert len(found.optima) == len(lowest) == 3
    for i, j in lowest:
        near = min(found.optima, key=lambda o, at=means[i]: abs(o.mean[0] - at))
        assert near.mean[0] == pytest.approx(means[i], abs=0.1)
        assert math.sqrt(near.covariance[0, 0]) == pytest.approx(deviations[j], rel=0.04)
        assert near.reverse_kl <= table[i, j] + 1e-9
    assert found.best.reverse_kl == pytest.approx(inner.min(), abs=0.002)
    assert [o.reverse_kl for o in found.optima] == sorted(o.reverse_kl for o in found.optima)
    assert found.best.mean[0] < -2.9
    assert found.best.variance == "underestimated"
    assert found.best.variance_ratio[0] < 0.12
    assert sum(o.reached for o in found.optima) == 23  # starts, all of which ended somewhere


def test_the_two_directions_disagree_as_they_should():
    forward, reverse = (project(BIMODAL, "normal", d).best for d in ("forward", "reverse"))
    assert forward.forward_kl < reverse.forward_kl
    assert reverse.reverse_kl < forward.reverse_kl


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_gaussian_is_its_own_projection(d):
    root = RNG.normal(size=(d, d))
    covariance = root @ root.T + 0.2 * np.eye(d)
    target = GaussianMixture([2.0], RNG.normal(size=(1, d)), covariance[None])
    for direction in ("forward", "reverse"):
        found = project(target, "full", direction, starts=4)
        (only,) = found.optima
        np.testing.assert_allclose(only.mean, target.means[0], rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(only.covariance, covariance, rtol=5e-3, atol=5e-3)
        assert only.forward_kl < 1e-4
        assert only.reverse_kl < 1e-4


def test_diagonal_of_a_correlated_gaussian():
    """Bishop's figure: variances of the covariance forward, of the precision in reverse."""
    covariance = np.array([[2.0, 1.2], [1.2, 1.5]])
    target = GaussianMixture([1], [[1, 2]], covariance[None])
    forward = project(target, "diagonal", "forward").best
    reverse = project(target, "diagonal", "reverse", starts=3).best
    of_precision = np.diag(1 / np.diag(np.linalg.inv(covariance)))
    np.testing.assert_allclose(forward.covariance, np.diag([2.0, 1.5]), rtol=1e-14)
    np.testing.assert_allclose(reverse.covariance, of_precision, rtol=1e-6, atol=0)
    for found in (forward, reverse):
        one = gaussian_kl([1, 2], covariance, found.mean, found.covariance)
        other = gaussian_kl(found.mean, found.covariance, [1, 2], covariance)
        assert found.forward_kl == pytest.approx(one, rel=1e-12)
        assert found.reverse_kl == pytest.approx(other, rel=1e-12)
    assert forward.variance == "matched"
    assert reverse.variance == "underestimated"


def test_crossed_ridges():
    """The isotropic Gaussian in the middle is a saddle: no start may be left on it."""
    turn = np.array([[1, -1], [1, 1]]) / math.sqrt(2)
    one, other = (r @ np.diag([9, 0.3]) @ r.T for r in (turn, turn.T))
    target = GaussianMixture([1, 1], np.zeros((2, 2)), np.stack([one, other]))
    found = project(target, "full", "reverse", starts=6).optima
    assert len(found) == 2
    correlations = sorted(
        c[0, 1] / math.sqrt(c[0, 0] * c[1, 1]) for c in (o.covariance for o in found)
    )
    assert correlations == pytest.approx([-0.877, 0.877], abs=2e-3)
    assert found[0].reverse_kl == pytest.approx(found[1].reverse_kl, rel=1e-6)


def test_two_dimensions_to_the_promised_digits():
    """Two peaks 8 deviations apart, and a second dimension that is the same for all."""
    covariances = np.array([np.diag([1.0, 3.0])] * 2)
    target = GaussianMixture([0.5, 0.5], [[-4, 0], [4, 0]], covariances)
    line = GaussianMixture([0.5, 0.5], [-4, 4], [1, 1])
    for deviation in (1.0, 3.0):
        found = divergences(target, np.array([0.5, 0]), np.diag([deviation, math.sqrt(3)]))
        want = divergences(line, np.array([0.5]), np.array([[deviation]]))
        np.testing.assert_allclose(found, want, rtol=1e-9)
    both = [
        project(t, f, "reverse", starts=8).optima for t, f in ((target, "full"), (line, "normal"))
    ]
    for a, b in zip(*both, strict=True):
        assert a.reverse_kl == pytest.approx(b.reverse_kl, rel=1e-4)


@pytest.mark.parametrize("dimensions", [3, 4, 8])
def test_what_components_share_is_not_integrated(dimensions):
    """Peaks that differ in one direction off the axes."""
    turn = np.linalg.qr(np.random.default_rng(dimensions).normal(size=(dimensions, dimensions)))[0]
    means = np.outer([-3, 3], turn[:, 0])
    target = GaussianMixture([0.5, 0.5], means, np.array([np.eye(dimensions)] * 2))
    line = GaussianMixture([0.5, 0.5], [-3, 3], [1, 1])
    covariance = turn @ np.diag([2.25] + [1.0] * (dimensions - 1)) @ turn.T
    found = divergences(target, turn[:, 0], np.linalg.cholesky(covariance))
    want = divergences(line, np.array([1.0]), np.array([[1.5]]))
    np.testing.assert_allclose(found, want, atol=1e-10)


def mixture(d, n, spread, seed):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, d, 2 * d))
    covariances = half @ half.swapaxes(1, 2) / (2 * d) + 0.2 * np.eye(d)
    return GaussianMixture(rng.uniform(0.3, 1, n), spread * rng.normal(size=(n, d)), covariances)


def on_a_lattice(p, q, step, reach):
    """Both divergences by the trapezoidal rule in x, from the densities."""
    line = np.arange(-reach, reach + step / 2, step)
    d = p.means.shape[1]
    x = np.stack(np.meshgrid(*(line,) * d, indexing="ij"), -1).reshape(-1, d)
    log_p, log_q = p.log_density(x), q.log_density(x)
    both = ((log_p, log_p - log_q), (log_q, log_q - log_p))
    return [float((np.exp(log) * ratio).sum() * step**d) for log, ratio in both]


@pytest.mark.parametrize(
    ("d", "n", "spread", "step", "reach"),
    [(2, 4, 1.5, 0.1, 25), (3, 2, 1.0, 0.25, 14), (3, 3, 1.0, 0.25, 14)],
)
def test_mixtures_with_their_errors(d, n, spread, step, reach):
    """1e-6 in three dimensions is asked for; errors that are told are no less than those made."""
    p = mixture(d, n, spread, 3)
    for mean, covariance in ((p.mean, p.covariance), (p.means[0] + 0.3, 1.3 * p.covariances[0])):
        q = GaussianMixture([1], mean[None], covariance[None])
        found = target_of(p).divergences(mean, q.factors[0])
        for got, want in zip(found, on_a_lattice(p, q, step, reach), strict=True):
            assert abs(got.value - want) <= got.error + 1e-9
            assert 0 < got.error < 1e-7


def test_many_dimensions_with_their_errors():
    """Against samples of P and of Q, whose errors are known."""
    p = mixture(6, 3, 1.0, 4)
    q = GaussianMixture([1], p.mean[None], p.covariance[None])
    found = target_of(p).divergences(p.mean, q.factors[0])
    for got, (own, other) in zip(found, ((p, q), (q, p)), strict=True):
        x = own.sample(np.random.default_rng(1), 400_000)
        ratios = own.log_density(x) - other.log_density(x)
        error = ratios.std() / math.sqrt(len(x))
        assert 0 < got.error < 0.01
        assert abs(got.value - ratios.mean()) < 4 * error + got.error


def test_a_fit_in_three_dimensions():
    """Between two peaks and by each: with the errors of its divergences."""
    p = mixture(3, 2, 1.6, 8)
    found = project(p, "full", "reverse", starts=3)
    for optimum in found.optima:
        assert optimum.reverse_error < 1e-7
        assert optimum.forward_error < 1e-7
        # No neighbour is better.
        factor = np.linalg.cholesky(optimum.covariance)
        for change in np.random.default_rng(1).normal(size=(4, 3)) * 0.02:
            beside = divergences(p, optimum.mean + factor @ change, factor)[1]
            assert beside > optimum.reverse_kl


@pytest.mark.parametrize(
    "target",
    [
        GaussianMixture(
            [0.3, 0.7], [[0, 1], [2, -1]], [[[1, 0.3], [0.3, 0.5]], [[2, -0.4], [-0.4, 1]]]
        ),
        GridDensity(
            (np.linspace(-6, 6, 60), np.linspace(-5, 5, 50)),
            -np.add.outer(np.linspace(-6, 6, 60) ** 2 / 4, np.cosh(np.linspace(-5, 5, 50) / 2)),
        ),
    ],
    ids=["mixture", "grid"],
)
def test_gradients_are_those_of_differences(target):
    mean, factor = np.array([0.4, -0.2]), np.array([[1.1, 0.0], [0.5, 0.8]])
    _, by_mean, by_factor = target_of(target).objective(mean, factor)
    h = 1e-5

    def slope(dm, df):
        return (
            target_of(target).objective(mean + h * dm, factor + h * df)[0]
            - target_of(target).objective(mean - h * dm, factor - h * df)[0]
        ) / (2 * h)

    for i in range(2):
        assert by_mean[i] == pytest.approx(slope(np.eye(2)[i], 0 * factor), abs=1e-8)
        for j in range(i + 1):
            change = np.zeros((2, 2))
            change[i, j] = 1
            assert by_factor[i, j] == pytest.approx(slope(np.zeros(2), change), abs=1e-8)
    assert by_factor[0, 1] == 0


def test_objective_is_the_divergence_up_to_a_constant():
    ends = [(np.array([0.3]), np.array([[0.8]])), (np.array([-2.0]), np.array([[2.5]]))]
    p = target_of(BIMODAL)
    apart = [p.objective(*end)[0] - p.divergences(*end)[1].value for end in ends]
    assert apart[0] == pytest.approx(apart[1], rel=1e-10)


def test_grid_finds_what_the_mixture_finds():
    x = np.concatenate([np.linspace(-18, 0, 700)[:-1], np.linspace(0, 18, 900)])  # of two widths
    grid = GridDensity(x, log_bimodal(x) + 5)
    np.testing.assert_allclose(grid.mean, BIMODAL.mean, atol=1e-4)
    np.testing.assert_allclose(grid.covariance, BIMODAL.covariance, rtol=1e-4)
    wanted, found = (project(each, "normal", "reverse").optima for each in (BIMODAL, grid))
    assert len(found) == len(wanted) == 3
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, atol=1e-3)
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-3)
        assert a.reverse_kl == pytest.approx(b.reverse_kl, abs=1e-4)
        assert abs(a.reverse_kl - b.reverse_kl) < a.reverse_error < 1e-3
        assert a.forward_kl == pytest.approx(b.forward_kl, rel=1e-3)


def test_grid_of_two_dimensions():
    x, y = np.linspace(-7, 9, 120), np.linspace(-6, 8, 110)
    covariance = np.array([[1.5, 0.6], [0.6, 1.0]])
    points = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    target = GridDensity((x, y), stats.multivariate_normal.logpdf(points, [1, 1], covariance))
    full = project(target, "full", "reverse", starts=4).best
    np.testing.assert_allclose(full.covariance, covariance, rtol=1e-4)
    diagonal = project(target, "diagonal", "reverse", starts=4).best
    np.testing.assert_allclose(
        np.diag(diagonal.covariance), 1 / np.diag(np.linalg.inv(covariance)), rtol=1e-3
    )
    assert diagonal.variance == "underestimated"


@pytest.mark.parametrize("far", [1e4, 1e8, 1e12])
def test_means_far_apart(far):
    """Modes that don't touch: KL in closed form, two optima and no other, and no warning.

    −log p is ((|x| − c)² + log 2π)/2 − log w of the side.
    """
    target = GaussianMixture([0.6, 0.4], [-far, far], [1, 1])
    found = project(target, "normal", "reverse", starts=8).optima
    for optimum, mean, weight in zip(found, (-far, far), (0.6, 0.4), strict=True):
        assert optimum.mean[0] == pytest.approx(mean, rel=1e-14)
        assert optimum.covariance[0, 0] == pytest.approx(1, rel=1e-9)
        assert optimum.reverse_kl == pytest.approx(-math.log(weight), rel=1e-12)
        other = 1 - weight
        assert optimum.forward_kl == pytest.approx(other * 2 * far**2, rel=1e-6)
    covering = project(target).best
    m, v = -0.2 * far, 0.96 * far**2 + 1
    assert covering.mean[0] == pytest.approx(m, rel=1e-14)
    assert covering.covariance[0, 0] == pytest.approx(v, rel=1e-14)
    entropy = -0.6 * math.log(0.6) - 0.4 * math.log(0.4)
    assert covering.forward_kl == pytest.approx(math.log(v) / 2 - entropy, rel=1e-13)
    below = stats.norm.cdf(-m / math.sqrt(v))
    size = m * (1 - 2 * below) + 2 * v * stats.norm.pdf(0, m, math.sqrt(v))  # E|x|
    want = (v + m * m + far**2) / 2 - far * size - (1 + math.log(v)) / 2
    want -= below * math.log(0.6) + (1 - below) * math.log(0.4)
    assert abs(covering.reverse_kl - want) < 3 * covering.reverse_error
    assert covering.reverse_error < 1e-9 * want


def test_means_far_apart_in_the_plane():
    target = GaussianMixture([0.6, 0.4], [[-1e8, 0], [1e8, 0]], [np.eye(2), [[2, 0.5], [0.5, 1]]])
    found = project(target, "full", "reverse", starts=4).optima
    for i, optimum in enumerate(found):
        np.testing.assert_allclose(optimum.mean, target.means[i], rtol=1e-14, atol=1e-6)
        np.testing.assert_allclose(optimum.covariance, target.covariances[i], atol=1e-6)
        assert optimum.reverse_kl == pytest.approx(-math.log(target.weights[i]), rel=1e-9)
    assert len(found) == 2


def test_means_beyond_the_squares_of_float64():
    with pytest.raises(ValueError, match=r"project: target has means 1\.2e\+\d+ of its least"):
        project(GaussianMixture([0.6, 0.4], [-1e150, 1e150], [1, 1]), direction="reverse")
    assert len(project(GaussianMixture([1, 1], [-1e150, 1e150], [1e300] * 2)).optima) == 1


def test_quartic_density():
    """exp(−x⁴): in reverse σ⁴ = 1/12, of E_Q 12x² = 1/σ²; the variance is Γ(3/4)/Γ(1/4)."""
    x = np.linspace(-4, 4, 2001)
    target = GridDensity(x, -(x**4))
    (only,) = project(target, "normal", "reverse").optima
    assert only.covariance[0, 0] == pytest.approx(12**-0.5, rel=1e-6)
    assert target.covariance[0, 0] == pytest.approx(math.gamma(0.75) / math.gamma(0.25), rel=1e-9)
    assert only.variance == "underestimated"


def test_grids_without_an_answer():
    x = np.linspace(0, 1, 50)
    with pytest.raises(ValueError, match="no optimum lies inside the grid"):
        project(GridDensity(x, np.zeros(50)), "normal", "reverse")
    holes = np.where(x < 0.5, -np.inf, 0.0)
    with pytest.raises(ValueError, match="density is 0 on a part of its grid"):
        project(GridDensity(x, holes), "normal", "reverse")
    forward = project(GridDensity(x, holes), "normal", "forward").best
    assert forward.reverse_kl == math.inf
    assert math.isfinite(forward.forward_kl)


def test_other_objects_and_families():
    other = SimpleNamespace(weights=[0.6, 0.4], means=[-3, 3], covariances=[1, 1.44])
    found = project(other, type("Normal", (), {}), "reverse", starts=5).best
    assert found.mean[0] == pytest.approx(project(BIMODAL, direction="reverse").best.mean[0])
    assert project(BIMODAL, type("MultivariateNormal", (), {})).family == "full"
    again = project(BIMODAL, "normal", "reverse", seed=0), project(BIMODAL, "normal", "reverse")
    assert [o.reverse_kl for o in again[0].optima] == [o.reverse_kl for o in again[1].optima]


def test_variances_of_both_kinds():
    ratio = project(BIMODAL).best.__class__(
        np.zeros(2), np.eye(2), 0.0, 0.0, np.array([0.5, 2.0]), 1, 0.0, 0.0
    )  # fmt: skip
    assert ratio.variance == "mixed"
    above = ratio.__class__(np.zeros(1), np.eye(1), 0.0, 0.0, np.array([1.5]), 1, 0, 0)
    assert above.variance == "overestimated"


def test_refusals(monkeypatch):
    with pytest.raises(ValueError, match="family is 'gamma'"):
        project(BIMODAL, "gamma")
    with pytest.raises(ValueError, match="direction is 'backward'"):
        project(BIMODAL, "normal", "backward")
    with pytest.raises(ValueError, match="'normal' is of the line, the target has 2 dimensions"):
        project(GaussianMixture([1], [[0, 0]], [np.eye(2)]))
    with pytest.raises(TypeError, match="target has type ndarray"):
        project(np.zeros(3))
    with pytest.raises(ValueError, match="at least 3 increasing"):
        GridDensity([0, 2, 1], [0, 0, 0])
    with pytest.raises(ValueError, match=r"log_density has shape \(2,\); the axes have \(3,\)"):
        GridDensity([0, 1, 2], [0, 0])
    with pytest.raises(ValueError, match="not −inf everywhere"):
        GridDensity([0, 1, 2], [-math.inf] * 3)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fastdiv\[scipy\]"'):
        project(BIMODAL, "normal", "reverse")


def test_grids_that_are_none():
    x = [0.0, 1.0, 2.0]
    for axis in ([0, 1, math.inf], [0, 1, math.nan]):
        with pytest.raises(ValueError, match="3 increasing finite"):
            GridDensity(axis, x)
    for axes, logs in ((["a", "b", "c"], x), (x, np.array(x) * 1j)):
        with pytest.raises(TypeError, match=r"GridDensity: .* has dtype"):
            GridDensity(axes, logs)
    point = GridDensity(x, [-math.inf, 0, -math.inf])
    with pytest.raises(np.linalg.LinAlgError, match="project: the target's covariance is singular"):
        project(point)
    with pytest.raises(ValueError, match="starts is -1"):
        project(BIMODAL, direction="reverse", starts=-1)
    with pytest.raises(TypeError, match=r"starts is 1\.5"):
        project(BIMODAL, direction="reverse", starts=1.5)


def test_a_peak_within_a_peak():
    """Deviations 10⁸ apart, where no lattice is fine enough: the error says so."""
    target = GaussianMixture([1, 1], [0, 0], [1e-8, 1e8])
    best = project(target).best
    # By mpmath, 30 digits.
    for value, error, want in (
        (best.forward_kl, best.forward_error, 8.17061992441473),
        (best.reverse_kl, best.reverse_error, 0.789719926693909),
    ):
        assert 1e-6 < abs(value - want) < 2 * error < 1e-3


# --- the evidence ---------------------------------------------------------------------------------


def test_evidence_of_discrete_latents():
    joint = RNG.dirichlet(np.ones(7), 4) * 0.03
    q = RNG.dirichlet(np.ones(7), (5, 1))
    found = evidence_decomposition(np.log(joint), np.log(q))
    elbo = (q * (np.log(joint) - np.log(q))).sum(-1)
    np.testing.assert_allclose(found.log_evidence, np.log(joint.sum(-1)) + np.zeros((5, 1)))
    np.testing.assert_allclose(found.elbo, elbo, rtol=1e-13)
    posterior = joint / joint.sum(-1, keepdims=True)
    np.testing.assert_allclose(found.reverse_kl, (q * np.log(q / posterior)).sum(-1), rtol=1e-11)
    assert (found.elbo == found.log_evidence - found.reverse_kl).all()
    at_posterior = evidence_decomposition(np.log(joint), np.log(posterior))
    np.testing.assert_allclose(at_posterior.elbo, np.log(joint.sum(-1)), rtol=1e-15)
    along = evidence_decomposition(np.log(joint).T, np.log(q[0, 0])[:, None], axis=0)
    np.testing.assert_allclose(along.elbo, found.elbo[0], rtol=1e-13)


def test_evidence_of_a_conjugate_model():
    """z ~ N(0, 1), x|z ~ N(z, 1/2): x ~ N(0, 3/2)."""
    z = np.linspace(-8, 8, 1601)
    joint = stats.norm.logpdf(z) + stats.norm.logpdf(1.3, z, math.sqrt(0.5)) + math.log(0.01)
    found = evidence_decomposition(joint, stats.norm.logpdf(z, 0.5, 0.7))
    assert found.log_evidence == pytest.approx(stats.norm.logpdf(1.3, 0, math.sqrt(1.5)), rel=1e-12)
    want = gaussian_kl([0.5], np.array([[0.49]]), [1.3 * 2 / 3], np.array([[1 / 3]]))
    assert found.reverse_kl == pytest.approx(want, rel=1e-9)


def test_messages_of_grids_say_where():
    for axes, values, text in (
        ([1, 2, 2], [0] * 3, r"axis 0 has 2 at 2 after 2; it takes at least 3 increasing"),
        (([0, 1, 2], [0, math.nan, 2]), np.zeros((3, 3)), r"axis 1 has nan at 1 after 0;"),
        ([0, 1, math.inf], [0] * 3, r"axis 0 has inf at 2 after 1;"),
        ([-math.inf, 1, 2], [0] * 3, r"axis 0 has -inf at 0;"),
        ([0, 1], [0, 0], r"axis 0 has shape \(2,\); it takes at least 3"),
        ([0, 1, 2], [0, math.nan, 0], r"log_density has nan at 1;"),
        (([0, 1, 2],) * 2, [[0, 0, 0], [0, 0, math.inf], [0, 0, 0]], r"has inf at \(1, 2\);"),
    ):
        with pytest.raises(ValueError, match=text):
            GridDensity(axes, values)


def test_evidence_of_what_is_never_observed():
    """log p(x) = −inf bounds are, too; there is no posterior, and no warning."""
    q = np.log([0.5, 0.5])
    found = evidence_decomposition([-math.inf, -math.inf], q)
    assert found.log_evidence == found.elbo == -math.inf
    assert math.isnan(found.reverse_kl)
    joint = np.array([[-math.inf, -math.inf], [0.0, -math.inf], q, [math.nan, 0.0]])
    found = evidence_decomposition(joint, q)
    np.testing.assert_array_equal(found.log_evidence, [-math.inf, 0, 0, math.nan])
    np.testing.assert_array_equal(found.elbo, [-math.inf, -math.inf, 0, math.nan])
    np.testing.assert_array_equal(found.reverse_kl, [math.nan, math.inf, 0, math.nan])
    unknown = evidence_decomposition([-math.inf, -math.inf], [0.0, math.nan])
    assert math.isnan(unknown.elbo)
