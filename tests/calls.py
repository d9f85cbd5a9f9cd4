"""Every public function, called with good arguments and with bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from registry import DIVERGENCES
from scipy.sparse import csr_array

import fastdiv as fd
from fastdiv import (
    bounds,
    coding,
    densities,
    estimators,
    families,
    generators,
    neighbours,
    permutation,
    plug_in,
    projection,
    uncertainty,
    variational,
    windows,
)

Array = npt.NDArray[Any]
Calls = dict[str, Callable[[], Any]]


class Inputs:
    """Rows of weights, their logits, labels, a sparse matrix; none of it can be written to."""

    def __init__(self, rows: int, width: int, tokens: int) -> None:
        rng = np.random.default_rng(20)
        self.p = rng.gamma(0.5, size=(rows, width)).astype(np.float32) + np.float32(1e-4)
        self.q = self.p * rng.uniform(0.5, 2, self.p.shape).astype(np.float32)
        self.a, self.b = 3 * np.log(self.p), 3 * np.log(self.q)
        self.labels = rng.integers(width, size=rows)
        self.nll = rng.gamma(2.0, size=tokens)
        dense = rng.random((rows, width // 4))
        self.sparse = csr_array(np.where(dense < 0.2, dense, 0.0))
        self.sparse_q = self.sparse[::-1]
        half = rng.normal(size=(2, rows, 5, 9))
        self.means = rng.normal(size=(2, rows, 5))
        self.covariances = half @ half.swapaxes(-1, -2)
        for shared in self.arrays():
            shared.flags.writeable = False

    def arrays(self) -> list[Array]:
        s = self.sparse
        return [
            *(self.p, self.q, self.a, self.b, self.labels, self.nll),
            *(s.data, s.indices, s.indptr, self.means, self.covariances),
        ]


def _cube(u: Array) -> Array:
    return np.abs(u - 1) ** 3


def _comparison(x: Inputs) -> Any:
    meter = fd.ComparisonMeter()
    meter.update(x.a, x.b, x.labels)
    return meter.compute()


def _perplexity(x: Inputs) -> Any:
    meter = fd.PerplexityMeter()
    meter.update(x.a, x.labels)
    return meter.compute()


def _apart(x: Array, y: Array) -> Array:
    return np.abs(x.mean(axis=-1) - y.mean(axis=-1))


def calls_of(x: Inputs) -> Calls:
    """By the name of a public function and, after a dot, of one of its ways."""
    p, q, a, b, labels, nll = x.p, x.q, x.a, x.b, x.labels, x.nll
    narrow, other = p[:, :300], q[:, :300]
    (m0, m1), (s0, s1) = x.means, x.covariances
    return {
        **{f"{d.function.__name__}.{d.name}": (lambda d=d: d(p, q)) for d in DIVERGENCES},
        "kl_divergence.logits": lambda: fd.kl_divergence(a, b, from_logits=True),
        "kl_divergence.raw": lambda: fd.kl_divergence(p, q, normalize=False, validate=True),
        "kl_divergence.sparse": lambda: fd.kl_divergence(x.sparse, x.sparse_q),
        "logsumexp": lambda: fd.logsumexp(a),
        "token_nll": lambda: fd.token_nll(a, labels),
        "perplexity": lambda: fd.perplexity(a, labels),
        "token_stats": lambda: fd.token_stats(a, labels, fields=fd.TokenStatistics._fields),
        "compare_logits": lambda: fd.compare_logits(
            a, b, labels, fields=fd.LogitComparison._fields
        ),
        "compare_logits.tempered": lambda: fd.compare_logits(
            a, b, labels, temperature=0.7, weight=0.3
        ),
        "truncated_kl": lambda: fd.truncated_kl(a, b),
        "pairwise": lambda: fd.pairwise(narrow, other),
        "pairwise.half": lambda: fd.pairwise(narrow, divergence="renyi_divergence", alpha=0.3),
        "pairwise.nearest": lambda: fd.pairwise(narrow, top_k=3),
        "pairwise.sparse": lambda: fd.pairwise(x.sparse),
        "f_divergence": lambda: fd.f_divergence(p[:4], q[:4], _cube),
        "f_divergence.generator": lambda: fd.f_divergence(p, q, generators.jeffreys),
        "wasserstein_distance": lambda: fd.wasserstein_distance(p, q),
        "mutual_information": lambda: fd.mutual_information(p[:, :64]),
        "js_divergence_of": lambda: fd.js_divergence_of(p),
        "from_counts": lambda: fd.from_counts({"a": 1, "b": 2}, {"b": 3, "c": 4}),
        "top_k": lambda: fd.top_k(a, 5, labels).log_p,
        "compare_topk": lambda: fd.compare_topk(fd.top_k(a[:8], 5), b[:8]),
        "ComparisonMeter": lambda: _comparison(x),
        "PerplexityMeter": lambda: _perplexity(x),
        "gaussian_kl": lambda: fd.gaussian_kl(m0, s0, m1, s1),
        "gaussian_kl.all pairs": lambda: fd.gaussian_kl(m0[:, None], s0[:, None], m1, s1),
        "normal_kl": lambda: fd.normal_kl(m0, 1 + m1**2, m1, 1.0),
        "gaussian_jeffreys": lambda: fd.gaussian_jeffreys(m0, s0, m1, s1),
        "gaussian_renyi": lambda: fd.gaussian_renyi(m0, s0, m1, s1, 0.7),
        "gaussian_bhattacharyya": lambda: fd.gaussian_bhattacharyya(m0, s0, m1, s1),
        "gaussian_squared_hellinger": lambda: fd.gaussian_squared_hellinger(m0, s0, m1, s1),
        "gaussian_hellinger": lambda: fd.gaussian_hellinger(m0, s0, m1, s1),
        "gaussian_wasserstein": lambda: fd.gaussian_wasserstein(m0, s0, m1, s1),
        "gaussians": lambda: fd.gaussians.normal_kl(0.0, 1.0, 0.0, 2.0),
        "families": lambda: families.kl_divergence(families.Gamma(m0**2, 1), families.Gamma(2, 3)),
        "densities": lambda: densities.GaussianMixture([1, 2], m0[:2], s0[:2]).log_density(m1),
        "bounds": lambda: bounds.interval("js", kl=0.1),
        "estimators": lambda: estimators.kl_samples(a[0], b[0]),
        "uncertainty": lambda: uncertainty.mean(nll),
        "uncertainty.bootstrap": lambda: uncertainty.bootstrap("perplexity", nll, resamples=200),
        "uncertainty.callable": lambda: uncertainty.bootstrap(
            lambda c: c.mean(axis=-1), nll, resamples=100
        ),
        "windows": lambda: list(windows.strided_windows(100, 16, 4)),
        "coding": lambda: coding.huffman_lengths(p[:2, :200]),
        "coding_overhead": lambda: fd.coding_overhead(p[:2, :100], q[:2, :100]),
        "gan_value": lambda: fd.gan_value(p, q),
        "neighbours": lambda: neighbours.nearest_neighbour_kl(a[0, :400], b[0, :400]),
        "permutation": lambda: permutation.permutation_test(
            nll, nll + 1, _apart, samples=True, vectorized=True, permutations=20
        ),
        "permutation_test": lambda: fd.permutation_test([5, 3, 2], [2, 3, 5], permutations=50),
        "plug_in": lambda: plug_in.kl_divergence_from_counts([5, 3, 1], [4, 2, 2], "jackknife"),
        "project": lambda: fd.project(PEAKS).best,
        "projection": lambda: fd.project(PEAKS, "normal", "reverse", starts=1).best,
        "variational": lambda: variational.f_gan_bound_of(
            p, q, variational.optimal_critic(p, q, "js"), "js"
        ),
    }


PEAKS = projection.GaussianMixture([0.6, 0.4], [-3, 3], [1, 1])


# Above the size from which calls use threads; and small ones, for many calls.
LARGE, SMALL = Inputs(96, 4099, 3000), Inputs(4, 40, 50)
CALLS, SMALL_CALLS = calls_of(LARGE), calls_of(SMALL)

ONE, LONGER = np.ones((2, 5)), np.ones((2, 6))
WRONG: Calls = {
    **{
        f"{d.function.__name__}.{d.name}": (lambda d=d: d(np.ones((2, 5), complex), ONE))
        for d in DIVERGENCES
    },
    "kl_divergence.shapes": lambda: fd.kl_divergence(ONE, LONGER),
    "kl_divergence.out": lambda: fd.kl_divergence(ONE, ONE, out=np.empty(3)),
    "kl_divergence.axis": lambda: fd.kl_divergence(ONE, ONE, axis=2),
    "kl_divergence.base": lambda: fd.kl_divergence(ONE, ONE, base=1),
    "kl_divergence.validate": lambda: fd.kl_divergence(-ONE, ONE, validate=True),
    "js_divergence.weight": lambda: fd.js_divergence(ONE, ONE, weight=2),
    "alpha_divergence.alpha": lambda: fd.alpha_divergence(ONE, ONE, np.nan),
    "logsumexp": lambda: fd.logsumexp(np.ones((2, 0))),
    "token_nll": lambda: fd.token_nll(ONE, [0, 5]),
    "perplexity": lambda: fd.perplexity(ONE, [0, 5]),
    "token_stats": lambda: fd.token_stats(ONE, [0, 5]),
    "compare_logits": lambda: fd.compare_logits(ONE, LONGER),
    "compare_logits.label": lambda: fd.compare_logits(ONE, ONE, [0, 5]),
    "compare_logits.fields": lambda: fd.compare_logits(ONE, ONE, fields=("nothing",)),
    "truncated_kl": lambda: fd.truncated_kl(ONE, LONGER),
    "pairwise": lambda: fd.pairwise(ONE, LONGER),
    "pairwise.name": lambda: fd.pairwise(ONE, divergence="nothing"),
    "f_divergence": lambda: fd.f_divergence(ONE, ONE, "nothing"),
    "wasserstein_distance": lambda: fd.wasserstein_distance(ONE, ONE, positions=[1, 0]),
    "mutual_information": lambda: fd.mutual_information(np.ones(3)),
    "js_divergence_of": lambda: fd.js_divergence_of(ONE, weights=[1, 2, 3]),
    "from_counts": lambda: fd.from_counts([1]),
    "top_k": lambda: fd.top_k(np.ones(()), 1),
    "compare_topk": lambda: fd.compare_topk(fd.top_k(ONE, 2), np.ones((3, 5))),
    "ComparisonMeter": lambda: fd.ComparisonMeter().update(ONE, LONGER),
    "PerplexityMeter": lambda: fd.PerplexityMeter().update(ONE, [0, 5]),
    "gaussian_kl": lambda: fd.gaussian_kl(ONE, ONE, ONE, ONE),
    "gaussian_kl.singular": lambda: fd.gaussian_kl([0], [[1]], [0], [[0]]),
    "normal_kl": lambda: fd.normal_kl(0.0, 1.0, 0.0, -ONE),
    "gaussian_jeffreys": lambda: fd.gaussian_jeffreys(ONE, ONE, ONE, LONGER),
    "gaussian_renyi": lambda: fd.gaussian_renyi([0], [[1]], [0], [[1]], -1),
    "gaussian_bhattacharyya": lambda: fd.gaussian_bhattacharyya(ONE, ONE, LONGER, LONGER),
    "gaussian_squared_hellinger": lambda: fd.gaussian_squared_hellinger(0, 1, 0, 1),
    "gaussian_hellinger": lambda: fd.gaussian_hellinger([0], [[-1]], [0], [[1]]),
    "gaussian_wasserstein": lambda: fd.gaussian_wasserstein([0], [[1]], [0], [[-1]]),
    "gaussians": lambda: fd.gaussians.normal_kl([0, 1], 1.0, [0, 1, 2], 2.0),
    "families": lambda: families.kl_divergence(families.Cauchy(0, 1), families.Normal(0, 1)),
    "densities": lambda: densities.GaussianMixture([1], [0, 1], [1, 1]),
    "bounds": lambda: bounds.interval("js", nothing=0.1),
    "estimators": lambda: estimators.kl_samples([1.0], [1.0, 2.0]),
    "uncertainty": lambda: uncertainty.bootstrap("nothing", SMALL.nll),
    "windows": lambda: list(windows.strided_windows(100, 0, 4)),
    "set_num_threads": lambda: fd.set_num_threads(0),
    "coding": lambda: coding.canonical_code([1, 1, 1]),
    "coding_overhead": lambda: fd.coding_overhead(ONE, LONGER),
    "gan_value": lambda: fd.gan_value(ONE, ONE, 2 * ONE),
    "neighbours": lambda: neighbours.nearest_neighbour_kl(np.ones(9), np.ones(9)),
    "permutation": lambda: permutation.permutation_test([1, 2], [1, -2]),
    "permutation_test": lambda: fd.permutation_test([1, 2], [1, 2], "nothing"),
    "plug_in": lambda: plug_in.entropy_from_counts([0.5, 1]),
    "project": lambda: fd.project(ONE),
    "projection": lambda: projection.GaussianMixture([1], [0, 1], [1]),
    "variational": lambda: variational.nwj_bound([], []),
}


def flat(x: Any) -> Iterable[bytes]:
    """Every number of a result, as bytes."""
    if isinstance(x, dict):
        x = list(x.items())
    if isinstance(x, list | tuple):
        for item in x:
            yield from flat(item)
    elif hasattr(x, "__dataclass_fields__"):
        yield from flat([getattr(x, name) for name in x.__dataclass_fields__])
    elif isinstance(x, np.ndarray):
        yield x.tobytes()
    else:
        yield repr(x).encode()


def digest(x: Any) -> bytes:
    return b"|".join(flat(x))
