"""Estimates from samples, against mpmath and against the exact divergence."""

import math

import mpmath as mp
import numpy as np
import pytest

import fastdiv as fd
from fastdiv import estimators, uncertainty

DISTANCES = [
    *(sign * 10.0**-k for k in range(21) for sign in (1, -1)),
    *(1.0000001, -1.0000001, 0.7, 2.5, 50.0, -50.0, 700.0, -700.0, 709.7, 5e-324, 1e-160),
]


@pytest.mark.parametrize("d", DISTANCES)
def test_every_kind_to_the_last_digits(d: float) -> None:
    """logp is 0, so that d itself is exact."""
    with mp.workdps(700):
        x = mp.mpf(d)
        expected = (("k1", -x), ("k2", x * x / 2), ("k3", mp.exp(x) - 1 - x))
    for kind, wanted in expected:
        found = estimators.kl_samples([0.0], [d], kind=kind)[0]  # type: ignore[arg-type]
        assert found == pytest.approx(float(wanted), rel=1e-15, abs=1e-320), kind


def test_k3_is_never_negative() -> None:
    p = np.random.default_rng(0).normal(-10, 5, 100_000)
    q = p + np.random.default_rng(1).normal(0, 1, p.size) * 10.0 ** np.linspace(-16, 2, p.size)
    assert (estimators.kl_samples(p, q) >= 0).all()
    same = estimators.kl_samples(p, p, kind="k1")
    assert (same == 0).all()
    assert not np.signbit(same).any()


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_infinities(kind: estimators.Kind) -> None:
    inf, nan = math.inf, math.nan
    found = estimators.kl_samples(
        [-1.0, -inf, -inf, nan, -1.0, inf], [-inf, -1.0, -inf, -1, inf, 0], kind=kind
    )
    assert found[0] == inf
    assert np.isnan(found[1:]).all()
    assert estimators.kl_from_samples([-1.0, -1.0], [-inf, -1.0], kind).value == inf


def test_beyond_the_largest_number() -> None:
    assert estimators.kl_samples([-800.0], [-0.0], kind="k3")[0] == math.inf
    assert estimators.kl_samples([-800.0], [-0.0], kind="k1")[0] == -800.0


def test_estimates_of_a_known_divergence() -> None:
    """Exact mean and variance of each kind are sums over three outcomes."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.3, 0.4])
    n = 40_000
    x = np.random.default_rng(5).choice(3, n, p=p)
    ids = np.arange(n) // 50
    for kind in ("k1", "k2", "k3"):
        each = estimators.kl_samples(np.log(p), np.log(q), kind=kind)  # type: ignore[arg-type]
        average, variance = p @ each, p @ each**2 - (p @ each) ** 2
        if kind != "k2":
            assert average == pytest.approx(fd.kl_divergence(p, q), rel=1e-13)
        found = estimators.kl_from_samples(np.log(p[x]), np.log(q[x]), kind)  # type: ignore[arg-type]
        assert found.se == pytest.approx(math.sqrt(variance / n), rel=0.03)
        assert abs(found.value - average) < 4 * found.se
        grouped = estimators.kl_from_samples(
            np.log(p[x]),
            np.log(q[x]),
            kind,
            sequence_ids=ids,  # type: ignore[arg-type]
        )
        assert grouped == uncertainty.mean(each[x], sequence_ids=ids)


def test_shapes_and_refusals() -> None:
    assert estimators.kl_samples(np.zeros((2, 3)), np.zeros((2, 3))).shape == (2, 3)
    with pytest.raises(ValueError, match=r"logp has shape \(2,\), logq \(3,\)"):
        estimators.kl_samples([0.0, 0.0], [0.0] * 3)
    with pytest.raises(ValueError, match="kind is 'k4'"):
        estimators.kl_samples([0.0], [0.0], kind="k4")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="logq has dtype"):
        estimators.kl_samples([0.0], ["x"])


def test_errors_name_the_function_that_was_called() -> None:
    kl, f = estimators.kl_from_samples, estimators.f_divergence_from_samples
    with pytest.raises(ValueError, match=r"^kl_from_samples: kind is 'k4'; it takes 'k1', 'k2' or"):
        kl([0.0], [0.0], "k4")  # type: ignore[arg-type]
    for name, call in (
        ("kl_from_samples", kl),
        ("f_divergence_from_samples", lambda p, q, **ids: f(p, q, "js", **ids)),
    ):
        with pytest.raises(TypeError, match=rf"^{name}: logp has dtype"):
            call("a", "b")
        with pytest.raises(ValueError, match=rf"^{name}: logp has shape"):
            call([0.0], [0.0, 1.0])
        with pytest.raises(ValueError, match=rf"^{name}: 3 sequence_ids for 2 rows; one for each"):
            call([0.0, 0.0], [0.0, 0.0], sequence_ids=[0, 1, 1])
        with pytest.raises(ValueError, match=rf"^{name}: logp is empty; it takes at least one"):
            call([], [])
    with pytest.raises(ValueError, match=r"^f_divergence_from_samples: sampled is 'r'"):
        f([0.0], [0.0], "js", sampled="r")  # type: ignore[arg-type]


def test_expected_agreement_rate() -> None:
    p, q = np.random.default_rng(2).dirichlet(np.ones(9), (2, 4))
    expected = np.minimum(p, q).sum(-1)
    np.testing.assert_allclose(estimators.expected_agreement_rate(p, q), expected, rtol=1e-14)
    logits = estimators.expected_agreement_rate(np.log(p), np.log(q) + 3, from_logits=True)
    np.testing.assert_allclose(logits, expected, rtol=1e-13)
    out = np.empty(4)
    assert estimators.expected_agreement_rate(p, q, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-14)
    with pytest.raises(ValueError, match="normalize=False"):
        estimators.expected_agreement_rate(p, q, normalize=False)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "js", "pearson_chi2", "jeffreys"])
@pytest.mark.parametrize("sampled", ["p", "q"])
def test_f_of_log_ratios_to_the_last_digits(name: str, sampled: estimators.Sampled) -> None:
    """Of d down to 1e-20, where e^d is 1."""
    f = {
        "kl": lambda u: u * mp.log(u) - u + 1,
        "reverse_kl": lambda u: u - 1 - mp.log(u),
        "js": lambda u: (u * mp.log(u) - (1 + u) * mp.log((1 + u) / 2)) / 2,
        "pearson_chi2": lambda u: (u - 1) ** 2,
        "jeffreys": lambda u: (u - 1) * mp.log(u),
    }[name]
    for d in (d for d in DISTANCES if 1e-100 < abs(d) < 100):
        with mp.workdps(80):
            u = mp.exp(mp.mpf(d))  # p/q
            wanted = f(u) / (u if sampled == "p" else 1)
        found = estimators.f_divergence_samples([d], [0.0], name, sampled=sampled)[0]
        assert found == pytest.approx(float(wanted), rel=4e-15 * max(1, abs(d)), abs=1e-320), d


def test_total_variation_of_log_ratios() -> None:
    """Which has a kink at 1."""
    for d in (1e-20, -1e-20, 3e-17, -3e-17, 1e-9, -1e-9, 0.3, -2.0):
        found = estimators.f_divergence_samples([d], [0.0], "total_variation", sampled="q")[0]
        assert found == pytest.approx(abs(math.expm1(d)) / 2, rel=1e-14, abs=0)
    assert estimators.f_divergence_samples([1.0], [1.0], "total_variation")[0] == 0


def test_k3_is_the_f_estimate_of_kl() -> None:
    p, q = np.random.default_rng(3).normal(-5, 3, (2, 200))
    for pair, sampled, name in (((p, q), "p", "kl"), ((q, p), "q", "reverse_kl")):
        found = estimators.f_divergence_samples(*pair, name, sampled=sampled)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, estimators.kl_samples(p, q, kind="k3"))


@pytest.mark.parametrize("name", ["kl", "js", "squared_hellinger", "neyman_chi2", "gan"])
def test_f_estimates_of_known_divergences(name: str) -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.3, 0.4])
    n = 20_000
    rng = np.random.default_rng(6)
    for sampled, weights in (("p", p), ("q", q)):
        each = estimators.f_divergence_samples(np.log(p), np.log(q), name, sampled=sampled)  # type: ignore[arg-type]
        assert weights @ each == pytest.approx(fd.f_divergence(p, q, name), rel=1e-12)
        x = rng.choice(3, n, p=weights)
        found = estimators.f_divergence_from_samples(
            np.log(p[x]),
            np.log(q[x]),
            name,
            sampled=sampled,  # type: ignore[arg-type]
        )
        spread = math.sqrt(weights @ each**2 - (weights @ each) ** 2)
        assert found.se == pytest.approx(spread / math.sqrt(n), rel=0.05)
        assert abs(found.value - weights @ each) < 4 * found.se


def test_limits_and_refusals_of_f_estimates() -> None:
    inf = math.inf
    found = estimators.f_divergence_samples([-1.0, -inf, 0.0], [-inf, -1.0, inf], "js")
    assert found[0] == pytest.approx(math.log(2) / 2)
    assert np.isnan(found[1:]).all()
    other = estimators.f_divergence_samples([-inf, 0.0], [-1.0, -inf], "kl", sampled="q")
    assert other[0] == 1
    assert np.isnan(other[1])
    with pytest.raises(ValueError, match="sampled is 'r'"):
        estimators.f_divergence_samples([0.0], [0.0], "kl", sampled="r")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="f_divergence_samples: logp has shape"):
        estimators.f_divergence_samples([0.0], [0.0, 1.0], "kl")
    with pytest.raises(ValueError, match="f_divergence_samples: there is no generator 'klx'"):
        estimators.f_divergence_samples([0.0], [0.0], "klx")


def test_what_is_no_array_of_numbers() -> None:
    for wrong in ([[0.0], [0.0, 1.0]], [0.0, [1.0]]):
        with pytest.raises(ValueError, match="logq has rows of different lengths"):
            estimators.kl_samples([0.0, 0.0], wrong)  # type: ignore[arg-type]
