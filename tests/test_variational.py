"""Variational bounds: below the divergence for every critic, at it for the best one."""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import integrate, special, stats

import fastdiv as fd
from fastdiv import generators, variational
from fastdiv.generators import GENERATORS, Generator

INF = math.inf
RNG = np.random.default_rng(51)
OTHERS = [
    *(generators.alpha(a) for a in (-1.5, 0.3, 1.0, 2.5)),
    generators.js_weighted(0.2),
    2 * generators.kl + generators.js,
    Generator.from_function(lambda u: (np.sqrt(u) - 1) ** 2, name="hellinger_of_python"),
]
every = pytest.mark.parametrize("g", [*GENERATORS.values(), *OTHERS], ids=lambda g: g.name)
P, Q = RNG.dirichlet(np.full(12, 0.5), (2, 6))
P[0, 2] = Q[0, 2] = 0.0  # nothing in both
P[1, 5] = P[2, 1] = Q[2, 4] = 0.0  # in one
P[3] = Q[3] * (1 + 1e-9 * np.sin(np.arange(12)))
P, Q = (x / x.sum(-1, keepdims=True) for x in (P, Q))


# --- of distributions -----------------------------------------------------------------------------


@every
def test_tight_at_the_best_critic(g: Generator) -> None:
    want = fd.f_divergence(P, Q, g)
    critic = variational.optimal_critic(P, Q, g)
    found = variational.f_gan_bound_of(P, Q, critic, g)
    if math.isinf(g.upper):
        assert np.isinf(want).any()
    np.testing.assert_allclose(found, want, rtol=2e-12, atol=3e-15)


@every
def test_no_critic_proves_more(g: Generator) -> None:
    want = fd.f_divergence(P, Q, g)
    best = variational.optimal_critic(P, Q, g)
    for size in (1e-4, 0.1, 1.0):
        near = np.where(np.isfinite(best), best, 0.0)
        critic = g.activation(near + size * RNG.normal(size=(200, *P.shape)))
        found = variational.f_gan_bound_of(P, Q, critic, g)
        assert found.shape == (200, 6)
        assert (found <= want + 1e-14).all()
        assert (found > -INF).any()


@pytest.mark.parametrize("g", [*GENERATORS.values(), *OTHERS[:-1]], ids=lambda g: g.name)
def test_far_ratios_stay_in_the_domain(g: Generator) -> None:
    """p/q of 1e-250 to 1e250, where f′ may round to the end of its range."""
    p, q = np.array([1e-250, 0.5, 1e-20, 0.5]), np.array([0.5, 1e-250, 0.5, 1e-20])
    critic = variational.optimal_critic(p, q, g)
    assert g.conjugate_domain.contains(critic).all()
    want = fd.f_divergence(p, q, g)
    found = variational.f_gan_bound_of(p, q, critic, g)
    if want < 1e200:
        assert found == pytest.approx(want, rel=1e-12)
    elif np.isinf(g.conjugate(critic)).any():  # beyond float64
        assert found == -INF
    else:
        assert found > 1e18


def test_logits_and_axis() -> None:
    a, b = RNG.normal(0, 3, (2, 4, 7))
    critic = variational.optimal_critic(a.T, b.T, "js", axis=0, from_logits=True)
    assert critic.shape == (7, 4)
    found = variational.f_gan_bound_of(a.T, b.T, critic, "js", axis=0, from_logits=True)
    np.testing.assert_allclose(found, fd.js_divergence(a, b, from_logits=True), rtol=1e-13)
    one = variational.f_gan_bound_of([1, 3], [2, 2], [0.1, 0.2])
    assert isinstance(one, float)
    assert one == pytest.approx(0.25 * 0.1 + 0.75 * 0.2 - (math.e**0.1 + math.e**0.2) / 2 + 1)


DOMAINS = [
    # f′(∞) by hand, and whether f* is finite there.
    ("kl", INF, False),
    ("reverse_kl", 1.0, False),
    ("js", math.log(2) / 2, False),
    ("total_variation", 0.5, True),
    ("squared_hellinger", 0.5, False),
    ("pearson_chi2", INF, False),
]


@pytest.mark.parametrize(("name", "end", "closed"), DOMAINS)
def test_outside_the_domain_is_refused(name: str, end: float, closed: bool) -> None:
    """At the end only where f* is finite, or where Q has nothing; NaN and beyond it nowhere."""
    inside = -0.25
    beyond = [math.nan] if end == INF else [math.nan, end + 1e-9, 100.0, INF]
    for wrong in [*beyond, *([] if closed else [end])]:
        for place, pair in enumerate([([inside, wrong], [inside]), ([inside], [inside, wrong])]):
            message = f"f_gan_bound: critic_{'pq'[place]} has .* at 1; .*, where f. is finite"
            with pytest.raises(ValueError, match=message):
                variational.f_gan_bound(*pair, name)
        with pytest.raises(ValueError, match=r"f_gan_bound_of: critic, row 1, has .* at 0; it"):
            variational.f_gan_bound_of([1, 1], [1, 1], [[inside] * 2, [wrong, inside]], name)
    for wrong in beyond:
        with pytest.raises(ValueError, match=r"f_gan_bound_of: critic has .* at 1"):
            variational.f_gan_bound_of([1, 1], [1, 0], [inside, wrong], name)
    # Where only P has something, the end of the domain is the best there is, and a bound still.
    found = variational.f_gan_bound_of([1, 1], [1, 0], [inside, end], name)
    assert found <= fd.f_divergence([1, 1], [1, 0], name)
    # Of what has no probability nothing is asked.
    unasked = variational.f_gan_bound_of([1, 1, 0], [1, 2, 0], [inside, inside, INF], name)
    assert unasked == variational.f_gan_bound_of([1, 1], [1, 2], [inside, inside], name)
    assert variational.f_gan_bound_of([1, 1], [1, 1], [inside, -INF], name) == -INF
    assert variational.f_gan_bound([inside, -INF], [-INF], name).value == -INF


def test_infinities_that_are_no_number_together() -> None:
    with pytest.raises(ValueError, match=r"critic, row 0, is −∞ and \+∞ where P has something"):
        variational.f_gan_bound_of([1, 1, 1], [1, 1, 0], [0.0, -INF, INF])
    # −∞ of P is no bound at all, whatever Q.
    assert variational.donsker_varadhan_bound_of([1, 1], [1, 1], [-INF, -INF]) == -INF
    assert variational.donsker_varadhan_bound([-INF], [-INF]).value == -INF
    meter = variational.DonskerVaradhanMeter()
    meter.update([-INF, 1.0], [-INF])
    assert meter.value == -INF
    for call in (lambda: meter.weights([1.0]), lambda: meter.bound([1.0], [1.0])):
        with pytest.raises(ValueError, match="critic_q was −inf for every sample so far"):
            call()
    meter.update([0.0], [1.0])
    assert meter.log_baseline == pytest.approx(1 - math.log(2), rel=1e-15)


@pytest.mark.parametrize("wrong", [math.nan, INF])
def test_critics_of_kl_bounds_are_below_infinity(wrong: float) -> None:
    meter = variational.DonskerVaradhanMeter()
    meter.update([0.5], [0.5])
    for function, name in [
        (variational.nwj_bound, "nwj_bound"),
        (variational.donsker_varadhan_bound, "donsker_varadhan_bound"),
        (meter.update, "DonskerVaradhanMeter.update"),
        (meter.bound, "DonskerVaradhanMeter.bound"),
    ]:
        for place, pair in enumerate([([0.0, 1.0, wrong], [0.0]), ([0.0], [0.0, 1.0, wrong])]):
            with pytest.raises(ValueError, match=f"{name}: critic_{'pq'[place]} has {wrong} at 2;"):
                function(*pair)
    assert (meter.batches, meter.value) == (1, 0.0)
    with pytest.raises(ValueError, match=f"weights: critic_q has {wrong} at 0"):
        meter.weights([wrong])
    for pair in (([1, 1], [1, 1]), ([1, 3], [2, 1])):
        with pytest.raises(ValueError, match=f"donsker_varadhan_bound_of: critic has {wrong} at 1"):
            variational.donsker_varadhan_bound_of(*pair, [0.0, wrong])


def test_the_best_critic_by_hand() -> None:
    found = variational.optimal_critic([0.5, 0.5, 0, 0], [0.25, 0, 0.75, 0])
    assert found.tolist() == [math.log(2), INF, -INF, 0.0]
    chi2 = variational.optimal_critic([0.5, 0.5, 0], [0.25, 0.5, 0.25], "pearson_chi2")
    assert chi2.tolist() == [2.0, 0.0, -2.0]


def test_donsker_varadhan_of_rows() -> None:
    kl = fd.kl_divergence(P, Q)
    best = variational.optimal_critic(P, Q)
    finite = np.isfinite(kl)
    for shift in (0.0, 3.0, -700.0):
        found = variational.donsker_varadhan_bound_of(P, Q, best + shift)
        np.testing.assert_allclose(found[finite], kl[finite], rtol=1e-12, atol=1e-12)
    critic = RNG.normal(size=(300, *P.shape))
    dv = variational.donsker_varadhan_bound_of(P, Q, critic)
    assert (dv <= kl + 1e-15).all()
    assert (dv >= variational.f_gan_bound_of(P, Q, critic) - 1e-15).all()
    want = (P * critic).sum(-1) - np.log((Q * np.exp(critic)).sum(-1))
    np.testing.assert_allclose(dv, want, rtol=1e-11, atol=1e-13)


def test_gan_value_at_the_best_is_js_to_the_bit() -> None:
    want = 2 * fd.js_divergence(P, Q) - math.log(4)
    np.testing.assert_array_equal(variational.gan_value(P, Q), want)
    assert variational.gan_value([1, 0], [0, 1]) == 0.0
    assert variational.gan_value([1, 3], [1, 3]) == -math.log(4)
    with np.errstate(invalid="ignore"):
        best = np.where(P + Q > 0, P / (P + Q), 0.5)
    np.testing.assert_array_equal(variational.gan_value(P, Q, best), want)
    logits = np.log(P[4:]), np.log(Q[4:])
    np.testing.assert_array_equal(
        variational.gan_value(*logits, from_logits=True),
        2 * fd.js_divergence(*logits, from_logits=True) - math.log(4),
    )


def test_gan_value_of_any_discriminator() -> None:
    d = RNG.uniform(0, 1, (50, 1, 12))
    found = variational.gan_value(P, Q, d)
    p, q = (x / x.sum(-1, keepdims=True) for x in (P, Q))
    np.testing.assert_allclose(found, (p * np.log(d) + q * np.log1p(-d)).sum(-1), rtol=1e-12)
    assert (found <= variational.gan_value(P, Q)).all()
    assert variational.gan_value([1, 1], [1, 1], [0.5, 1.0]) == -INF
    assert variational.gan_value([1, 1, 0], [1, 1, 0], [0.5, 0.5, 1.0]) == -math.log(4)
    both = RNG.uniform(0, 1, 500), RNG.uniform(0, 1, 400)
    sampled = variational.f_gan_bound(np.log(both[0]), np.log(both[1]), "gan")
    assert sampled.value == pytest.approx(np.log(both[0]).mean() + np.log1p(-both[1]).mean())


def test_refusals_of_rows() -> None:
    with pytest.raises(ValueError, match=r"D has 1\.5 at 1; it takes probabilities"):
        variational.gan_value([1, 1], [1, 1], [0, 1.5])
    with pytest.raises(ValueError, match="p has rows of 2, q of 3"):
        variational.optimal_critic([1, 1], [1, 1, 1])
    with pytest.raises(ValueError, match="critic has 1 values for 2 outcomes"):
        variational.f_gan_bound_of([1, 1], [1, 1], [1.0])
    with pytest.raises(ValueError, match="critic has nan at 1; it takes numbers, not NaN"):
        variational.donsker_varadhan_bound_of([1, 1], [1, 1], [1.0, math.nan])
    with pytest.raises(ValueError, match="single number"):
        variational.f_gan_bound_of([1, 1], [1, 1], 1.0)
    with pytest.raises(TypeError, match="critic has dtype"):
        variational.f_gan_bound_of([1, 1], [1, 1], ["a", "b"])
    with pytest.raises(ValueError, match=r"optimal_critic: there is no generator 'kll'.*'kl'"):
        variational.optimal_critic([1, 1], [1, 1], "kll")
    with pytest.raises(ValueError, match="q, row 0, is 0 everywhere"):
        variational.gan_value([1, 1], [0, 0])


# --- of samples -----------------------------------------------------------------------------------


def test_bounds_of_samples_average_to_those_of_densities() -> None:
    """P = N(1, 1), Q = N(0, 1), T = z/2: exact expectations by quadrature."""

    def mean(function, centre):
        value = integrate.quad(lambda z: function(z) * stats.norm.pdf(z, centre), -12, 14)[0]
        return float(value)

    n, m = 200_000, 100_000
    x, y = RNG.normal(1, 1, n), RNG.normal(0, 1, m)
    of_p = mean(lambda z: 0.5 * z, 1)
    for name in ("kl", "pearson_chi2", "total_variation", "js", "reverse_kl"):
        g = generators.get(name)

        def critic(z, g=g):
            return np.asarray(g.activation(0.5 * np.asarray(z)))

        of_p = mean(critic, 1)
        of_q = mean(lambda z, g=g, critic=critic: float(g.conjugate(critic(z))), 0)
        square_p = mean(lambda z, critic=critic: critic(z) ** 2, 1)
        square_q = mean(lambda z, g=g, critic=critic: float(g.conjugate(critic(z))) ** 2, 0)
        found = variational.f_gan_bound(critic(x), critic(y), name)
        se = math.sqrt((square_p - of_p**2) / n + (square_q - of_q**2) / m)
        assert found.se == pytest.approx(se, rel=0.03)
        assert abs(found.value - (of_p - of_q)) < 4 * se


def test_kl_bounds_of_samples_by_hand() -> None:
    x, y = RNG.normal(0.3, 1, 4000), RNG.normal(-0.2, 2, 3000)
    nwj = variational.nwj_bound(x, y)
    assert nwj.value == pytest.approx(x.mean() - np.exp(y - 1).mean(), rel=1e-12)
    assert nwj == variational.f_gan_bound(x - 1, y - 1)
    dv = variational.donsker_varadhan_bound(x, y)
    assert dv.value == pytest.approx(x.mean() - np.log(np.exp(y).mean()), rel=1e-12)
    relative = np.exp(y).std(ddof=1) / np.exp(y).mean()
    se = math.sqrt(x.var(ddof=1) / 4000 + relative**2 / 3000)
    assert dv.se == pytest.approx(se, rel=1e-12)
    far = variational.donsker_varadhan_bound(x + 800, y + 800)
    assert far.value == pytest.approx(dv.value, rel=1e-9)
    assert far.se == pytest.approx(dv.se, rel=1e-9)


def test_standard_error_of_donsker_varadhan_is_its_spread() -> None:
    x, y = RNG.normal(0.5, 1, (2000, 50)), RNG.normal(0, 1, (2000, 40))
    found = [variational.donsker_varadhan_bound(a / 2, b / 2) for a, b in zip(x, y, strict=True)]
    spread = np.std([each.value for each in found])
    assert np.sqrt(np.mean([each.se**2 for each in found])) == pytest.approx(spread, rel=0.06)


def test_samples_of_infinite_critics() -> None:
    assert variational.donsker_varadhan_bound([0.0, 1.0], [-INF, -INF]).value == INF
    assert variational.nwj_bound([0.0], [1000.0]).value == -INF
    with pytest.raises(ValueError, match="critic_q is empty"):
        variational.f_gan_bound([1.0], [])
    with pytest.raises(TypeError, match="critic_p has dtype"):
        variational.nwj_bound(["x"], [1.0])


def test_log_mean_exp() -> None:
    rows = RNG.normal(0, 20, (5, 300))
    with mp.workdps(50):
        for row, found in zip(rows, variational.log_mean_exp(rows), strict=True):
            want = mp.log(mp.fsum(mp.exp(mp.mpf(x)) for x in row.tolist()) / 300)
            assert found == pytest.approx(float(want), rel=3e-16, abs=0)
        small = 1e-9 * RNG.normal(size=100)
        want = mp.log(mp.fsum(mp.exp(mp.mpf(x)) for x in small.tolist()) / 100)
        assert variational.log_mean_exp(small) == pytest.approx(float(want), rel=1e-12, abs=0)
    for n in (1, 3, 10, 97):
        for c in (0.1, -3.7, 1e5, 0.0):
            assert variational.log_mean_exp(np.full(n, c)) == c
    np.testing.assert_allclose(
        variational.log_mean_exp(rows, axis=0),
        special.logsumexp(rows, axis=0) - math.log(5), rtol=1e-14,
    )  # fmt: skip
    assert variational.log_mean_exp([-INF, -INF]) == -INF
    assert variational.log_mean_exp([-INF, 0.0]) == -math.log(2)
    assert variational.log_mean_exp([INF, 0.0]) == INF


# --- streams --------------------------------------------------------------------------------------


def test_stream_is_the_bound_of_all_samples() -> None:
    x, y = RNG.normal(1, 1, 1000), RNG.normal(0, 1, 900)
    meter = variational.DonskerVaradhanMeter()
    assert math.isnan(meter.value)
    for a, b in zip(np.split(x, [10, 500, 700]), np.split(y, [400, 401, 600]), strict=True):
        meter.update(a, b)
    assert meter.batches == 4
    assert meter.value == pytest.approx(variational.donsker_varadhan_bound(x, y).value, rel=1e-13)
    assert meter.log_baseline == pytest.approx(math.log(np.exp(y).mean()), rel=1e-12)
    np.testing.assert_allclose(meter.weights(y[:5]), np.exp(y[:5]) / np.exp(y).mean(), rtol=1e-12)
    assert meter.weights(y).mean() == pytest.approx(1, rel=1e-12)


def test_moving_average_by_hand() -> None:
    meter = variational.DonskerVaradhanMeter(decay=0.75)
    batches = RNG.normal(size=(6, 2, 30)) + 700.0  # whose exponentials overflow when squared
    for a, b in batches:
        meter.update(a, b)
    shares = 0.25 * 0.75 ** np.arange(5, -1, -1)
    shares /= shares.sum()
    of_p = shares @ batches[:, 0].mean(-1)
    of_q = 700 + math.log(shares @ np.exp(batches[:, 1] - 700).mean(-1))
    assert meter.log_baseline == pytest.approx(of_q, rel=1e-13)
    assert meter.value == pytest.approx(of_p - of_q, abs=1e-11)
    first = variational.DonskerVaradhanMeter(decay=0.99)
    first.update([2.0], [1.0])
    assert first.value == pytest.approx(1.0, rel=1e-14)


def test_the_stream_removes_the_bias_of_small_batches() -> None:
    """P = N(1, 1), Q = N(0, 1), T = z − 1/2: KL is 1/2, and batches of 8 say more than that."""
    x, y = RNG.normal(1, 1, (4000, 8)) - 0.5, RNG.normal(0, 1, (4000, 8)) - 0.5
    each = [variational.donsker_varadhan_bound(a, b).value for a, b in zip(x, y, strict=True)]
    assert np.mean(each) > 0.5 + 8 * np.std(each) / math.sqrt(4000)
    meter = variational.DonskerVaradhanMeter()
    meter.update(x[0], y[0])
    tangents = []
    for a, b in zip(x[1:], y[1:], strict=True):
        tangents.append(meter.bound(a, b).value)
        meter.update(a, b)
    assert meter.value == pytest.approx(0.5, abs=0.02)
    assert np.mean(tangents) < 0.5 + 2 * np.std(tangents) / math.sqrt(4000)
    assert np.mean(tangents) == pytest.approx(0.5, abs=0.03)


def test_tangent_bound_by_hand() -> None:
    meter = variational.DonskerVaradhanMeter()
    meter.update([0.0], [math.log(2.0), math.log(4.0)])
    found = meter.bound([1.0, 2.0], [0.0, math.log(3.0)])
    assert meter.log_baseline == pytest.approx(math.log(3.0), rel=1e-15)
    assert found.value == pytest.approx(1.5 - (1 / 3 + 1) / 2 + 1 - math.log(3.0), rel=1e-14)


def test_refusals_of_streams() -> None:
    for wrong in (0, 1, 1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="decay"):
            variational.DonskerVaradhanMeter(wrong)
    for no_number in ("x", True, np.True_, [0.5], 0.5j, np.complex64(0.5)):
        with pytest.raises(TypeError, match=r"DonskerVaradhanMeter: decay is .*it takes a number$"):
            variational.DonskerVaradhanMeter(no_number)  # type: ignore[arg-type]
    for half in (np.float32(0.5), np.float16(0.5), np.float64(0.5)):
        kept = variational.DonskerVaradhanMeter(half).decay  # type: ignore[arg-type]
        assert kept == 0.5
        assert type(kept) is float
    meter = variational.DonskerVaradhanMeter()
    with pytest.raises(ValueError, match=r"weights: there was no batch yet"):
        meter.weights([1.0])
    with pytest.raises(ValueError, match=r"bound: there was no batch yet"):
        meter.bound([1.0], [1.0])
    with pytest.raises(ValueError, match=r"update: critic_p is empty"):
        meter.update([], [1.0])
