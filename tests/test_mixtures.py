"""Mixtures of Gaussians beside SciPy's normal distributions and draws of their own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from fastdiv.mixtures import GaussianMixture

LINE = GaussianMixture([0.3, 0.7], [-2.0, 1.0], [0.5, 1.5])


def plane():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(3, 2, 4))
    return GaussianMixture([1, 2, 3], rng.normal(size=(3, 2)), half @ half.transpose(0, 2, 1) / 4)


def test_density():
    x = np.linspace(-6, 6, 41)
    pdf = 0.3 * stats.norm(-2, math.sqrt(0.5)).pdf(x) + 0.7 * stats.norm(1, math.sqrt(1.5)).pdf(x)
    np.testing.assert_allclose(np.exp(LINE.log_density(x)), pdf, rtol=1e-13)
    np.testing.assert_array_equal(LINE.log_density(x[:, None]), LINE.log_density(x))
    assert LINE.log_density(0.5).shape == ()
    p = plane()
    points = np.random.default_rng(2).normal(size=(5, 7, 2))
    want = sum(
        w * stats.multivariate_normal(m, c).pdf(points)
        for w, m, c in zip([1 / 6, 1 / 3, 1 / 2], p.means, p.covariances, strict=True)
    )
    np.testing.assert_allclose(np.exp(p.log_density(points)), want, rtol=1e-12)
    # Where every density is 0 in float64 its logarithm is that of the nearest component.
    far = stats.norm(1, math.sqrt(1.5)).logpdf(1e4) + math.log(0.7)
    assert LINE.log_density(1e4) == pytest.approx(far, rel=1e-14)


@pytest.mark.parametrize("p", [LINE, plane()], ids=["line", "plane"])
def test_score_is_the_slope(p):
    points = np.random.default_rng(3).normal(size=(4, 3, p.means.shape[1]))
    logs, score = p.log_density_and_score(points)
    np.testing.assert_array_equal(logs, p.log_density(points))
    h = 1e-5
    for i, step in enumerate(h * np.eye(p.means.shape[1])):
        slope = (p.log_density(points + step) - p.log_density(points - step)) / (2 * h)
        np.testing.assert_allclose(score[..., i], slope, atol=1e-8)


@pytest.mark.parametrize("p", [LINE, plane()], ids=["line", "plane"])
def test_moments_are_those_of_samples(p):
    drawn = p.sample(np.random.default_rng(4), 400_000)
    assert drawn.shape == (400_000, p.means.shape[1])
    np.testing.assert_allclose(p.mean, drawn.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(p.covariance, np.atleast_2d(np.cov(drawn.T)), atol=0.03)


def test_what_is_read():
    """Weights of any size, no component of weight 0, lower triangles, other objects."""
    some = GaussianMixture([3e307, 0.0, 7e307], [-2, 50, 1], [0.5, 1, 1.5])
    np.testing.assert_array_equal(some.means, LINE.means)
    np.testing.assert_allclose(some.weights, [0.3, 0.7], rtol=1e-15)
    p = plane()
    wild = p.covariances + np.triu(np.full((2, 2), 9.0), 1)
    lower = GaussianMixture(p.weights, p.means, wild)
    np.testing.assert_array_equal(lower.covariances, p.covariances)
    np.testing.assert_allclose(p.factors @ p.factors.transpose(0, 2, 1), wild - [[0, 9], [0, 0]])
    given = SimpleNamespace(weights=[3, 7], means=[[-2], [1]], covariances=[0.5, 1.5])
    assert GaussianMixture.of(given).log_density(0.1) == pytest.approx(LINE.log_density(0.1))
    means = np.array([0.0, 1.0])
    copied = GaussianMixture([1, 1], means, [1, 1])
    means[0] = 9
    assert copied.mean == 0.5
    with pytest.raises(ValueError, match="read-only"):
        copied.weights[0] = 1


def test_refusals():
    for weights, means, covariances in (
        ([0.5, 0.5], [0.0], [1.0]),
        ([1, 1, 1], [0, 0], [1, 1]),
        ([1.0], [[0.0, 0.0]], [1.0]),
        ([], [], []),
        ([1.0], [0.0], [[1.0]]),
    ):
        with pytest.raises(ValueError, match=r"shape .* takes \(n,\), \(n, k\) and \(n, k, k\)"):
            GaussianMixture(weights, means, covariances)
    with pytest.raises(TypeError, match="means"):
        GaussianMixture([1], [1j], [1])
    for weights in ([1, -1], [0, 0]):
        with pytest.raises(ValueError, match=r"weights is .* not negative, and not all 0"):
            GaussianMixture(weights, [0, 1], [1, 1])
    with pytest.raises(ValueError, match="weights has nan"):
        GaussianMixture([math.nan, 1], [0, 1], [1, 1])
    with pytest.raises(ValueError, match="covariances has inf"):
        GaussianMixture([1, 1], [0, 1], [1, math.inf])
    with pytest.raises(np.linalg.LinAlgError, match="component 1 is not positive definite"):
        GaussianMixture([1, 1], [0, 0], [1, -1])
    with pytest.raises(ValueError, match=r"x has shape \(5, 3\); it takes points of 2 variables"):
        plane().log_density(np.zeros((5, 3)))


def test_log_density_far_away_and_of_what_is_no_point():
    line = GaussianMixture([0.5, 0.5], [-1, 1], [1, 1])
    plane = GaussianMixture([0.5, 0.5], [[-1, 0], [1, 0]], [np.eye(2)] * 2)
    found = line.log_density([np.inf, -np.inf, 1e200, np.nan, 0.0])
    np.testing.assert_array_equal(np.isneginf(found), [True, True, True, False, False])
    np.testing.assert_array_equal(np.isnan(found), [False, False, False, True, False])
    found = plane.log_density([[np.inf, 0], [-np.inf, np.inf], [np.nan, np.inf]])
    np.testing.assert_array_equal(found, [-np.inf, -np.inf, np.nan])
    for wrong in ("a", 1j, [None]):
        with pytest.raises(TypeError, match="GaussianMixture: x has dtype"):
            line.log_density(wrong)
