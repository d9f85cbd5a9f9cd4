"""Densities by quadrature, mixtures by samples and by bounds."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from scipy import integrate, stats

import fastdiv as fd
from fastdiv import families
from fastdiv.densities import GaussianMixture, Integral, kl_density, mixture_kl, mixture_kl_bounds

LINE = (-math.inf, math.inf)


def student(df):
    factor = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    return lambda x: factor - (df + 1) / 2 * math.log1p(x * x / df)


def normal(mu, sigma):
    return families.Normal(mu, sigma).log_density


@pytest.mark.parametrize("closeness", [1.0, 1e-2, 1e-5, 1e-8])
def test_near_densities_keep_their_digits(closeness):
    """Those of log p − log q; the integral of p log(p/q) itself has none below 1e-16."""
    found = kl_density(normal(0.3, 1.0), normal(0.3 + closeness, 1 + closeness / 2), LINE)
    want = fd.normal_kl(0.3, 1.0, 0.3 + closeness, 1 + closeness / 2)
    assert abs(found.value / want - 1) <= 1e-11 + 1e-15 / closeness
    assert found.error < 1e-7 * want


def test_intervals():
    """A half-line, an interval with jumps, and a line."""
    halves = kl_density(lambda x: -x, lambda x: math.log(3) - 3 * x, (0, math.inf))
    assert halves.value == pytest.approx(2 - math.log(3), rel=1e-13)
    assert abs(halves.value - (2 - math.log(3))) <= halves.error + 1e-15

    def steps(x):
        return math.log(1.5) if x < 0.5 else math.log(0.5)

    found = kl_density(steps, lambda x: 0.0, (0, 1), points=[0.5])
    want = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert found.value == pytest.approx(want, rel=1e-14)
    uniform = kl_density(
        lambda x: 0.0 if 0 <= x <= 1 else -math.inf, normal(0.0, 1.0), LINE, points=[0, 1]
    )
    assert uniform.value == pytest.approx(math.log(2 * math.pi) / 2 + 1 / 6, rel=1e-12)


def test_what_q_does_not_cover():
    found = kl_density(
        normal(0.0, 1.0), lambda x: 0.0 if 0 <= x <= 1 else -math.inf, LINE, points=[0, 1]
    )
    assert found.value == math.inf


def test_densities_that_do_not_integrate_to_1():
    def shifted(mu, log_factor):
        return lambda x: float(normal(mu, 1.0)(x)) + log_factor

    with pytest.raises(ValueError, match=r"log_q integrates to 2 over"):
        kl_density(normal(0, 1), shifted(1, math.log(2)), LINE)
    with pytest.raises(ValueError, match=r"log_p integrates to 0\.5 over"):
        kl_density(shifted(1, -math.log(2)), normal(0, 1), LINE)
    for first, second in ((0.0, math.log(2)), (-3.0, 5.0), (4.0, 0.0)):
        found = kl_density(shifted(0, first), shifted(1, second), LINE, normalize=True)
        assert found.value == pytest.approx(0.5, rel=1e-10)
    truncated = kl_density(normal(0, 1), normal(1, 1), (0, math.inf), normalize=True)
    a, b = stats.truncnorm(0, math.inf), stats.truncnorm(-1, math.inf, loc=1)
    want = integrate.quad(lambda x: a.pdf(x) * (a.logpdf(x) - b.logpdf(x)), 0, math.inf)[0]
    assert truncated.value == pytest.approx(want, rel=1e-8)


def scaled(f, log_factor):
    return lambda x: float(f(x)) + log_factor


@pytest.mark.parametrize(
    ("at", "width"), [(1000.0, 1e-3), (1234.5, 1e-2), (-3e7, 10.0), (0.3, 1e-6), (0.3, 1e3)]
)
def test_peaks_are_found(at, width):
    """On a line that shows nothing of them, and of any height."""
    p, q = normal(at, width), normal(at + width, 2 * width)
    want = fd.normal_kl(at, width, at + width, 2 * width)
    plain = kl_density(p, q, LINE)
    assert abs(plain.value - want) <= 3 * plain.error + 1e-9
    found = kl_density(scaled(p, 3000.0), scaled(q, -2000.0), LINE, normalize=True)
    assert found.value == pytest.approx(want, rel=1e-6)
    assert abs(found.value - want) <= 3 * found.error + 1e-9


def test_a_peak_that_is_not_seen_is_an_error():
    """It is no top of the whole, and narrower than any grid."""
    needle = GaussianMixture([0.5, 0.5], [0.0, 1234.5], [1.0, 1e-6]).log_density
    with pytest.raises(ValueError, match=r"log_p integrates to 0\.5 .* points= says"):
        kl_density(needle, normal(0.0, 1.0), LINE)
    cuts = [1234.5 + 1e-3 * x for x in (-20, -3, 0, 3, 20)]
    found = kl_density(needle, normal(0.0, 1.0), LINE, points=cuts)
    want = 0.5 * (math.log(0.5) + 1234.5**2 / 2 - math.log(1e-3) - 0.5) + 0.5 * math.log(0.5)
    assert found.value == pytest.approx(want, rel=1e-9)


def test_a_needle_of_little_mass_is_an_error_too():
    """It holds 1e-7 of P, and all of the divergence."""
    share = 1e-7
    p = GaussianMixture([1 - share, share], [0, 50.123], [1, 1e-12]).log_density
    want = share * (math.log(share) + fd.normal_kl(50.123, 1e-6, 0, 1))
    want += (1 - share) * math.log1p(-share)
    with pytest.raises(
        ValueError, match=r"log_p integrates to 1 - 1e-07 \(±.e-1\d\) over .*points="
    ):
        kl_density(p, normal(0, 1), LINE)
    with pytest.raises(ValueError, match=r"log_q integrates to 1 - 1e-07 "):
        kl_density(normal(0, 1), p, LINE)
    for normalize in (False, True):  # both partitions have to see what lies between the points
        found = kl_density(p, normal(0, 1), LINE, points=(50.122, 50.124), normalize=normalize)
        # A unit at the needle's place is 7e-9 of its width.
        assert abs(found.value - want) <= found.error < 1e-7 * want


def test_what_a_mass_lacks_is_an_error_or_in_the_error():
    """Densities of other libraries may have the digits of float32."""
    from fastdiv.densities import integrated_kl

    p, q, off = normal(0, 1), normal(1, 1), 3e-8
    with pytest.raises(ValueError, match=r"log_q integrates to 1 \+ 3e-08 "):
        kl_density(p, scaled(q, off), LINE)
    found = integrated_kl(
        "kl_divergence", p, scaled(q, off), *LINE, set(), False, 1e-12, allowed=1e-6
    )
    assert abs(found.value - 0.5) <= found.error
    assert 0.99 * off < found.error < 2 * off
    foreign = families.kl_divergence(ScaledNormal()(), families.Normal(1, 1), method="quadrature")
    assert 0.99 * off < foreign.error < 3 * off


class ScaledNormal(stats.rv_continuous):
    def _logpdf(self, x):
        return stats.norm.logpdf(x) + 3e-8

    def _pdf(self, x):
        return np.exp(self._logpdf(x))

    def _rvs(self, size=None, random_state=None):
        return random_state.normal(size=size)


def test_a_narrow_hole_of_q():
    def q(x):
        return -math.inf if abs(x - 0.312345678) < 5e-8 else -math.log1p(-1e-7)

    with pytest.raises(ValueError, match=r"log_q integrates to 1 \+ 1e-07 "):
        kl_density(lambda x: 0.0, q, (0, 1))
    assert kl_density(lambda x: 0.0, q, (0, 1), points=[0.312345678]).value == math.inf


def test_a_mass_that_is_1_as_far_as_numbers_go():
    """Rounding of x is no needle: it is 1e-10 of widths beside places."""
    for at, width in ((0.3, 1e-7), (-3e9, 100.0), (1e5, 1e-3)):
        found = kl_density(normal(at, width), normal(at, 2 * width), LINE)
        assert found.value == pytest.approx(math.log(2) - 3 / 8, rel=1e-7)
        assert abs(found.value - math.log(2) + 3 / 8) <= found.error


def beta(a, b):
    """Of `math`, whose logarithm of 0 is an error."""
    factor = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return lambda x: factor + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)


@pytest.mark.parametrize("p", [(0.5, 0.5), (1, 0.7), (0.5, 1), (2, 3)])
@pytest.mark.parametrize("q", [(0.5, 0.5), (1, 1), (3, 0.7)])
def test_ends_are_not_asked_for(p, q):
    found = kl_density(beta(*p), beta(*q), (0, 1))
    want = float(families.kl_divergence(families.Beta(*p), families.Beta(*q)))
    assert abs(found.value - want) <= found.error + 1e-13
    assert found.error < 1e-6


def test_ends_of_any_support_are_not_asked_for():
    for low, high in ((-1.0, 1.0), (1e3, 1e3 + 1), (-2.0, 0.0)):
        seen = []

        def logs(x, low=low, high=high, seen=seen):
            seen.append(x)
            return math.log(x - low) + math.log(high - x)

        def p(x, width=high - low, logs=logs):
            return math.log(6) - 3 * math.log(width) + logs(x)

        found = kl_density(p, lambda x, logs=logs: -math.log(math.pi) - logs(x) / 2, (low, high))
        want = families.kl_divergence(families.Beta(2, 2), families.Beta(0.5, 0.5))
        assert abs(found.value - want) <= found.error < 1e-5
        assert low < min(seen) < max(seen) < high


@pytest.mark.parametrize("periods", [3, 100])
def test_many_periods(periods):
    """log((1 + √(1 − a²))/2) + 1 − √(1 − a²) of 1 + a sin, by the residue at 0."""
    found = kl_density(
        lambda x: math.log1p(0.9 * math.sin(2 * math.pi * periods * x)), lambda x: 0.0, (0, 1)
    )
    root = math.sqrt(1 - 0.81)
    want = math.log((1 + root) / 2) + 1 - root
    assert found.value == pytest.approx(want, rel=1e-11)
    assert abs(found.value - want) <= found.error


def test_a_budget_that_is_spent_is_told():
    def p(x):
        return math.log1p(0.9 * math.sin(2 * math.pi * 20_000 * x))

    with pytest.raises(
        ValueError, match=r"^kl_density: 1000 subdivisions of the support were spent"
    ):
        kl_density(p, lambda x: 0.0, (0, 1))


def test_errors_name_the_function_that_was_called(monkeypatch):
    from fastdiv.densities import integrated_kl

    def p(x):
        return -x * x / 2 - math.log(2 * math.pi) / 2

    with pytest.raises(TypeError, match=r"^kl_divergence: log_q\(.*\) is 'a'; it takes a function"):
        integrated_kl("kl_divergence", p, lambda x: "a", *LINE, set(), False, 1e-12)
    monkeypatch.setitem(sys.modules, "scipy.integrate", None)
    pair = families.Cauchy(0, 1), families.Normal(0, 1)
    with pytest.raises(ModuleNotFoundError, match=r"^kl_divergence needs SciPy"):
        families.kl_divergence(*pair, method="quadrature")


def test_cut_otherwise_the_mass_has_to_be_the_same(monkeypatch):
    """Two partitions that see different peaks."""
    from fastdiv import densities

    comb = GaussianMixture([0.5, 0.5], [0.0, 700.0], [1.0, 1e-4]).log_density
    monkeypatch.setattr(densities, "cuts_of", lambda *_: {-1.0, 1.0, 698.0, 699.0, 701.0, 704.9})
    monkeypatch.setattr(
        densities, "_between", lambda *_: [-1.0, 0.0, 1.0, 300.0, 699.98, 700.02, 800.0]
    )
    with pytest.raises(ValueError, match="if the support is cut otherwise"):
        kl_density(comb, normal(0.0, 1.0), LINE, normalize=True)


@pytest.mark.parametrize(
    ("p", "q", "support"),
    [
        (families.Cauchy(0, 1).log_density, normal(0, 1), LINE),
        (student(1.5), normal(0, 1), LINE),
        (student(2.0), normal(0, 1), LINE),
        (lambda x: -2 * math.log(x), lambda x: 1 - x, (1, math.inf)),
        (lambda x: -2 * math.log(-x), lambda x: 1 + x, (-math.inf, -1)),
        (lambda x: 0.0, lambda x: families.InverseGamma(1, 1).log_density(x) + 1, (0, 1)),
        (lambda x: 0.0, lambda x: families.InverseGamma(1, 1).log_density(2 - x) + 1, (1, 2)),
        (lambda x: 0.0, lambda x: math.log(2) if x > 0.5 else -math.inf, (0, 1)),
        (normal(0, 1), lambda x: math.log(1 / 24) if abs(x) < 12 else -math.inf, LINE),
        (student(5.0), lambda x: math.log(1 / 24) if abs(x) < 12 else -math.inf, LINE),
    ],
)
def test_divergences_that_are_infinite(p, q, support):
    """Of tails, of ends, of holes: the means of -log q over P, all known to be infinite."""
    assert kl_density(p, q, support) == Integral(math.inf, 0.0)
    for factor in (-2000.0, 2000.0):
        found = kl_density(scaled(p, factor), scaled(q, -factor), support, normalize=True)
        assert found == Integral(math.inf, 0.0)


def test_divergences_that_are_nearly_infinite():
    """Student's t has a variance above two degrees of freedom, and ever less of it in reach."""
    for df in (2.2, 2.5, 3.0):
        found = kl_density(student(df), normal(0, 1), LINE)
        want = math.log(2 * math.pi) / 2 + df / (df - 2) / 2 - float(stats.t(df).entropy())
        assert found.value == pytest.approx(want, rel=1e-9)
        assert abs(found.value - want) <= 10 * found.error
    with pytest.raises(ValueError, match="converges too slowly: beyond the numbers"):
        kl_density(student(2.01), normal(0, 1), LINE)


def test_what_has_no_integral():
    for flat, support in (
        (lambda x: 0.0, LINE),
        (lambda x: -math.log(x), (1, math.inf)),
        (lambda x: -math.log(x), (0, 1)),
        (lambda x: -math.log(3 - x), (2, 3)),
    ):
        with pytest.raises(ValueError, match=r"log_p has no finite integral over"):
            kl_density(flat, normal(0, 1), support, normalize=True)

    def interior(x):
        return -1.5 * math.log(abs(x - 0.3)) if x != 0.3 else math.inf

    with pytest.raises(ValueError, match=r"QUADPACK: |log_p"):
        kl_density(interior, lambda x: 0.0, (0, 1), normalize=True)


def test_a_point_where_q_is_nothing_is_no_hole():
    """An integral does not see a point: 0 = log 2 - 1 of triangles at their middle."""
    found = kl_density(
        lambda x: -math.log(2), lambda x: math.log(abs(x)) if x else -math.inf, (-1, 1)
    )
    assert found.value == pytest.approx(1 - math.log(2), rel=1e-12)
    root = kl_density(
        lambda x: -math.log(4) - math.log(abs(x)) / 2 if x else math.inf,
        lambda x: -math.log(2),
        (-1, 1),
    )
    assert root.value == pytest.approx(1 - math.log(2), rel=1e-9)


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.integrate", None)
    with pytest.raises(ModuleNotFoundError, match=r'kl_density .* pip install "fastdiv\[scipy\]"'):
        kl_density(normal(0, 1), normal(0, 1), LINE)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(ModuleNotFoundError, match=r'families .* pip install "fastdiv\[scipy\]"'):
        families.entropy(families.Gamma(2.0, 1.0))


def test_wrong_intervals():
    p = normal(0, 1)
    for support in ((1, 0), (0, 0), (math.nan, 1)):
        with pytest.raises(ValueError, match="two ends, the lower first"):
            kl_density(p, p, support)
    with pytest.raises(ValueError, match="not inside the support"):
        kl_density(p, p, (0, 1), points=[1.0])


# --- mixtures -------------------------------------------------------------------------------------

ONE = GaussianMixture([0.3, 0.7], [-2.0, 1.0], [0.5, 1.5])
TWO = GaussianMixture([1.0, 2.0, 1.0], [-1.5, 1.2, 3.0], [0.8, 1.0, 0.5])


def plane(seed, n):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, 2, 4))
    return GaussianMixture(
        rng.dirichlet(np.ones(n)), 2 * rng.normal(size=(n, 2)), half @ half.transpose(0, 2, 1) / 4
    )


def exact(p, q):
    return kl_density(p.log_density, q.log_density, LINE, points=[-10, -2, 0, 1, 3, 10]).value


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_samples_and_their_error(kind):
    want = exact(ONE, TWO)
    found = mixture_kl(ONE, TWO, samples=40_000, seed=4, kind=kind)
    assert abs(found.value - want) < 4 * found.se
    assert found == mixture_kl(ONE, TWO, samples=40_000, seed=4, kind=kind)
    assert found != mixture_kl(ONE, TWO, samples=40_000, seed=5, kind=kind)
    spread = [mixture_kl(ONE, TWO, samples=2000, seed=s, kind=kind).value for s in range(100)]
    few = mixture_kl(ONE, TWO, samples=2000, kind=kind).se
    assert np.std(spread) == pytest.approx(few, rel=0.3)


@pytest.mark.parametrize(("mean", "variance"), [(6.0, 1.0), (0.0, 100.0), (3.0, 0.25), (0, 1.01)])
def test_samples_of_far_mixtures(mean, variance):
    """As they come: e^d of samples that never come must not be missing."""
    want = fd.normal_kl(0, 1, mean, math.sqrt(variance))
    p, q = GaussianMixture([1], [0], [1]), GaussianMixture([1], [mean], [variance])
    for seed in range(5):
        found = mixture_kl(p, q, samples=20_000, seed=seed)
        assert abs(found.value - want) < 4 * found.se < max(0.05 * want, 1e-3)


def test_bounds_hold():
    for p, q in ((ONE, TWO), (TWO, ONE), (ONE, ONE), (ONE, GaussianMixture([1], [0.1], [2.5]))):
        found = mixture_kl_bounds(p, q)
        assert found.lower <= exact(p, q) + 1e-9 <= found.upper + 2e-9
    for seed in range(20):
        p, q = plane(seed, 1 + seed % 4), plane(100 + seed, 1 + seed % 3)
        found = mixture_kl_bounds(p, q)
        estimate = mixture_kl(p, q, samples=20_000, kind="k1")
        assert found.lower <= estimate.value + 4 * estimate.se
        assert found.upper >= estimate.value - 4 * estimate.se
        assert found.lower <= found.upper
        assert found.upper <= mixture_kl_bounds(p, q, iterations=1).upper


def test_bounds_of_single_gaussians_and_of_far_components():
    """There the bounds meet, or the variational form is exact."""
    p, q = plane(5, 1), plane(6, 1)
    want = fd.gaussian_kl(p.means, p.covariances, q.means, q.covariances)[0]
    found = mixture_kl_bounds(p, q)
    assert found.upper == pytest.approx(want, rel=1e-13)
    assert found.approximation == pytest.approx(want, rel=1e-13)
    far = [GaussianMixture([0.25, 0.75], [-1e3, 1e3], s) for s in ([1.0, 2.0], [2.0, 1.0])]
    between = fd.normal_kl(0, 1, 0, math.sqrt(2)), fd.normal_kl(0, math.sqrt(2), 0, 1)
    found = mixture_kl_bounds(*far)
    want = 0.25 * between[0] + 0.75 * between[1]
    assert found.approximation == pytest.approx(want, rel=1e-12)
    assert found.upper == pytest.approx(want, rel=1e-12)
    assert mixture_kl_bounds(ONE, ONE).upper < 1e-6


def jensen(p, q):
    """Lower and upper bound from products of components and their divergences, by SciPy."""
    means_p, means_q = p.means[:, 0], q.means[:, 0]
    vars_p, vars_q = p.covariances[:, 0, 0], q.covariances[:, 0, 0]

    def products(a, b):
        (m, v), (n, w) = a, b
        return stats.norm(m[:, None], np.sqrt(v[:, None] + w)).pdf(n)

    def divergences(b):
        n, w = b
        v, apart = vars_p[:, None], means_p[:, None] - n
        return (v / w + apart**2 / w - 1 + np.log(w / v)) / 2

    of_p, of_q = (means_p, vars_p), (means_q, vars_q)
    entropies = stats.norm(0, np.sqrt(vars_p)).entropy()
    log = np.log
    upper = p.weights @ (
        log(products(of_p, of_p) @ p.weights)
        - log(np.exp(-divergences(of_q)) @ q.weights)
        + entropies
    )
    lower = p.weights @ (
        log(np.exp(-divergences(of_p)) @ p.weights)
        - log(products(of_p, of_q) @ q.weights)
        - entropies
    )
    return lower, upper


def test_which_bound_is_the_sharper():
    """Jensen's of components that overlap, the matching one of components that do not."""
    near = GaussianMixture([0.5, 0.5], [-1, 1], [0.5, 0.5]), GaussianMixture([1], [0], [1.5])
    found = mixture_kl_bounds(*near)
    assert found.upper == pytest.approx(jensen(*near)[1], rel=1e-12)
    assert found.lower == 0 > jensen(*near)[0]
    far = GaussianMixture([1], [0], [1]), GaussianMixture([0.5, 0.5], [9, 12], [1, 2])
    found = mixture_kl_bounds(*far)
    lower, upper = jensen(*far)
    assert found.lower == pytest.approx(lower, rel=1e-12)
    # log 2 and the divergence of the near component: a sum of two of shares that are matched.
    assert found.upper < min(upper, math.log(2) + 81 / 2) - 0.1
    assert found.lower < exact(*far) < found.upper


def test_numbers_of_the_mixtures_arguments():
    with pytest.raises(TypeError, match="mixture_kl: seed is 'a'; it takes an integer"):
        mixture_kl(ONE, TWO, samples=10, seed="a")
    with pytest.raises(ValueError, match="mixture_kl: seed is -1"):
        mixture_kl(ONE, TWO, samples=10, seed=-1)
    for wrong, error in (("a", TypeError), (True, TypeError), (0, ValueError)):
        with pytest.raises(error, match=f"mixture_kl_bounds: iterations is {wrong!r}; it takes"):
            mixture_kl_bounds(ONE, TWO, iterations=wrong)


def test_wrong_mixtures():
    with pytest.raises(TypeError, match="q is Normal; it takes a GaussianMixture"):
        mixture_kl(ONE, families.Normal(0, 1))
    with pytest.raises(ValueError, match="p has 1 variables, q 2"):
        mixture_kl_bounds(ONE, plane(1, 2))
    with pytest.raises(ValueError, match="samples is 1"):
        mixture_kl(ONE, TWO, samples=1)
    with pytest.raises(ValueError, match=r"^mixture_kl: kind is 'k4'; it takes 'k1', 'k2' or 'k3'"):
        mixture_kl(ONE, TWO, kind="k4")


def test_what_kl_density_refuses():
    def gaussian(x):
        return -x * x / 2

    def nothing(x):
        return -math.inf

    with pytest.raises(ValueError, match="it takes two ends"):
        kl_density(gaussian, gaussian, (0, 1, 2))
    with pytest.raises(ValueError, match="tolerance is 0"):
        kl_density(gaussian, gaussian, (0, 1), tolerance=0)
    with pytest.raises(ValueError, match="log_p integrates to 0"):
        kl_density(nothing, gaussian, (-math.inf, math.inf), normalize=True)
    for wrong in ("a", None, True):
        with pytest.raises(TypeError, match="kl_density: tolerance is"):
            kl_density(gaussian, gaussian, (0, 1), tolerance=wrong)
    for wrong in ("ab", None, [1, "a"]):
        with pytest.raises(TypeError, match="kl_density: support has dtype"):
            kl_density(gaussian, gaussian, wrong)
    with pytest.raises(TypeError, match="kl_density: points has dtype"):
        kl_density(gaussian, gaussian, LINE, points="ab")
    with pytest.raises(ValueError, match=r"points .nan. are not inside"):
        kl_density(gaussian, gaussian, LINE, points=[math.nan])
    with pytest.raises(TypeError, match="kl_density: log_q is float; it takes a function"):
        kl_density(gaussian, 0.5, LINE)
    with pytest.raises(TypeError, match=r"log_p\(.*\) is 'a'; it takes a function that returns"):
        kl_density(lambda x: "a", gaussian, LINE)
    with pytest.raises(ValueError, match=r"kl_density: log_q\(.*\) is nan"):
        kl_density(gaussian, lambda x: math.nan, LINE, normalize=True)
