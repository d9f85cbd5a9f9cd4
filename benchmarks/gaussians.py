"""Gaussians in batches: fastdiv, the NumPy expression and torch.distributions in one process.

    python benchmarks/gaussians.py [--batch 100000] [--threads 1]

Prints the best of several runs, each peer's time as a multiple of fastdiv's, and the relative error
of the first problems against the tests' 60-digit oracle, far from each other and 1e-6 near.
`normal_kl` stands beside one addition of two of its four arrays: the same memory's speed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastdiv as fd

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import mpmath as mp
from test_gaussians import kl, symmetric  # type: ignore[import-not-found]

CHECKED = 20


def problems(k: int, batch: int, closeness: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(k)
    half = rng.standard_normal((2, batch, k, 2 * k))
    s0, s1 = half @ half.swapaxes(-1, -2) / (2 * k)
    m0, m1 = rng.standard_normal((2, batch, k))
    if closeness < 1:
        s0, m0 = s1 * (1 - closeness) + closeness * s0, m1 + closeness * m0
    return m0, s0, m1, s1


def in_numpy(m0: Any, s0: Any, m1: Any, s1: Any) -> Any:
    """No loop: two solves in one call, two log-determinants."""
    apart = m1 - m0
    solved = np.linalg.solve(s1, np.concatenate([s0, apart[..., None]], axis=-1))
    k = m0.shape[-1]
    trace = np.trace(solved[..., :k], axis1=-2, axis2=-1)
    whole = (apart * solved[..., k]).sum(axis=-1)
    return (trace + whole - k + np.linalg.slogdet(s1)[1] - np.linalg.slogdet(s0)[1]) / 2


def in_torch(torch: Any) -> Callable[..., Any]:
    def of(*given: np.ndarray) -> Any:
        m0, s0, m1, s1 = (torch.from_numpy(x) for x in given)
        normal = torch.distributions.MultivariateNormal
        p, q = (normal(m, s, validate_args=False) for m, s in ((m0, s0), (m1, s1)))
        return torch.distributions.kl_divergence(p, q).numpy()

    return of


def best(function: Callable[..., Any], arguments: tuple[Any, ...], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def worst_error(found: np.ndarray, given: tuple[np.ndarray, ...]) -> float:
    with mp.workdps(60):
        errors = []
        for i in range(CHECKED):
            m0, s0, m1, s1 = (x[i] for x in given)
            exact = kl(m0, symmetric(s0), m1, symmetric(s1))
            errors.append(float(abs(mp.mpf(float(found[i])) - exact) / exact))
    return max(errors)


def full(k: int, batch: int, closeness: float, peers: dict[str, Callable[..., Any]]) -> None:
    given = problems(k, batch, closeness)
    print(f"gaussian_kl, k = {k}, batch {batch:,}, {'far' if closeness == 1 else closeness}")
    ours = 0.0
    for name, function in peers.items():
        seconds = best(function, given, 7 if name == "fastdiv" else 3)
        ours = ours or seconds
        error = worst_error(function(*given), given)
        print(f"    {name:<20}{seconds * 1e3:10.2f} ms{seconds / ours:8.1f} ×{error:10.0e}")


def one_variable(batch: int) -> None:
    rng = np.random.default_rng(1)
    mu_p, mu_q = rng.standard_normal((2, batch))
    sigma_p, sigma_q = np.exp(rng.standard_normal((2, batch)))
    given = (mu_p, sigma_p, mu_q, sigma_q)
    print(f"normal_kl, batch {batch:,}; GB/s count what is read and written")

    def in_numpy(mu_p: Any, sigma_p: Any, mu_q: Any, sigma_q: Any) -> Any:
        ratio = (sigma_p / sigma_q) ** 2
        return ((mu_p - mu_q) ** 2 / sigma_q**2 + ratio - 1 - np.log(ratio)) / 2

    for name, function, arguments, arrays in (
        ("fastdiv", fd.normal_kl, given, 5),
        ("NumPy", in_numpy, given, 5),
        ("NumPy, a + b", np.add, given[:2], 3),
    ):
        seconds = best(function, arguments, 7)
        print(f"    {name:<20}{seconds * 1e3:10.2f} ms{arrays * batch * 8e-9 / seconds:8.1f} GB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    peers: dict[str, Callable[..., Any]] = {"fastdiv": fd.gaussian_kl, "NumPy": in_numpy}
    try:
        import torch
    except ModuleNotFoundError:
        pass
    else:
        torch.set_num_threads(options.threads)
        peers["torch"] = in_torch(torch)
    with fd.num_threads(options.threads):
        for k, closeness in ((8, 1.0), (8, 1e-6), (2, 1.0), (3, 1.0), (16, 1.0), (32, 1.0)):
            full(k, options.batch // max(1, (k // 8) ** 3), closeness, peers)
        one_variable(50 * options.batch)


if __name__ == "__main__":
    main()
