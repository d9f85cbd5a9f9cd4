"""The arrays that every benchmark shares, one thread for everybody, and the oracle of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fastdiv as fd

sys.path.append(str(Path(__file__).parents[1] / "tests"))

VOCABULARY = 32_768


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="64 rows instead of 1024, 3 rounds instead of 7"
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    try:
        import torch
    except ModuleNotFoundError:
        pass
    else:
        torch.set_num_threads(1)
    with fd.num_threads(1):
        yield


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--quick"))


@pytest.fixture(scope="session")
def arrays(quick: bool) -> Callable[[str], tuple[np.ndarray, ...]]:
    """Arrays by name: pairs of `weights`, `logits`, `log_p` and `small` (100-vectors) in float32,
    the pair of logits as `float16` and `bfloat16`, the one array of `labels`, `nll` with the ids of
    its sequences of 200, a pair of `sparse`
    matrices of float64 with 200 numbers in a row, and pairs of `many` and `many float32` rows for
    all pairs."""
    count = 64 if quick else 1024

    @cache
    def make(name: str) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(20)
        if name == "small":
            p, q = (rng.random((2, 100)) + 0.01).astype(np.float32)
            return p / p.sum(), q / q.sum()
        if name == "sparse":
            from scipy.sparse import csr_array

            made = []
            for _ in "pq":
                # Frequent words are in both.
                x = np.zeros((count, VOCABULARY))
                columns = (VOCABULARY * rng.random((count, 200)) ** 4).astype(int)
                np.put_along_axis(x, columns, rng.random(columns.shape) + 0.01, -1)
                made.append(csr_array(x / x.sum(-1, keepdims=True)))
            return tuple(made)
        if name.startswith("many"):
            rows = rng.random((2, 100 if quick else 500, 1000))
            rows = (rows / rows.sum(-1, keepdims=True)).astype(name.partition(" ")[2] or "float64")
            return tuple(rows)
        if name == "labels":
            return (rng.integers(0, VOCABULARY, count),)
        if name == "nll":
            nll = rng.exponential(2.0, 20 * count)
            return nll, np.arange(nll.size) // 200
        if name == "logits":
            a = 3 * rng.standard_normal((count, VOCABULARY), np.float32)
            return a, a + np.float32(0.3) * rng.standard_normal(a.shape, np.float32)
        if name in ("float16", "bfloat16"):
            kind = ml_dtypes.bfloat16 if name == "bfloat16" else np.float16
            return tuple(x.astype(kind) for x in make("logits"))
        weights = [np.exp(x) for x in make("logits")]
        weights = [x / x.sum(-1, keepdims=True) for x in weights]
        return tuple(np.log(x) for x in weights) if name == "log_p" else tuple(weights)

    return make


@pytest.fixture(scope="session")
def exact_values() -> dict[str, Any]:
    """50-digit results by task: each is computed once for all members of its group."""
    return {}


def _tensor(x: np.ndarray) -> Any:
    import torch

    if x.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


@pytest.fixture
def run(benchmark: Any, quick: bool, exact_values: dict[str, Any]) -> Callable[..., None]:
    """Times one implementation of a task, and notes what `ratios.py` needs to know of it."""

    def timed(
        task: str,
        implementation: str,
        function: Callable[..., Any],
        inputs: tuple[np.ndarray, ...],
        exact: Callable[[], Any] | None,
    ) -> None:
        arguments = (
            tuple(_tensor(x) for x in inputs) if implementation.startswith("torch") else inputs
        )
        size = sum(x.nbytes if hasattr(x, "nbytes") else x.data.nbytes for x in inputs)
        benchmark.group = task
        benchmark.extra_info.update(implementation=implementation, bytes=size)
        if size < 1 << 20:
            result = benchmark(function, *arguments)
        else:
            result = benchmark.pedantic(
                function, arguments, rounds=3 if quick else 7, warmup_rounds=1
            )
        if exact is None:
            return
        if task not in exact_values:
            exact_values[task] = exact()
        column = result[0] if isinstance(result, tuple) else result
        first = float(column.ravel()[0])
        benchmark.extra_info["relative_error"] = float(abs(first / exact_values[task] - 1))

    return timed
