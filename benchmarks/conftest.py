"""The arrays that every benchmark shares, one thread for everybody, and the oracle of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from baselines import given
from inputs import make

import fastdiv as fd

sys.path.append(str(Path(__file__).parents[1] / "tests"))


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
    """`inputs.make`, each once."""
    return cache(partial(make, count=64 if quick else 1024, many=100 if quick else 500))


@pytest.fixture(scope="session")
def exact_values() -> dict[str, Any]:
    """50-digit results by task: each is computed once for all members of its group."""
    return {}


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
        arguments = tuple(given(implementation, x) for x in inputs)
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
