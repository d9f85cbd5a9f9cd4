"""Fixtures isa × dtype × divergence × layout, all from the registries: a new line is tested too.

What the environment asks of a run:

- FASTDIV_NEEDS_ALL=1: what is not installed, a program (`needed.py`) or a package, is a failure of
  the tests that need it, and no reason to skip them.
- FASTDIV_LONG=1: more threads, environments, compilers and elements.
- FASTDIV_FUZZ_SECONDS, FASTDIV_FUZZ_CORPUS: docs/fuzzing.md.
- CC: the compiler of the C tests.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

# Hooks of pytest, and the fixture `worst`.
from contract import (  # noqa: F401
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_call,
    worst,
)
from hypothesis import HealthCheck, settings
from layouts import LAYOUTS
from needed import NEEDS_ALL
from registry import DIVERGENCES, Divergence

import fastdiv as fd
from fastdiv import _core

ISAS = fd.available_isas()
assert ISAS, "no instruction set is available: nothing would be tested"

if NEEDS_ALL:
    pytest.importorskip = lambda name, *_, **__: import_module(name)

settings.register_profile(
    "reproducible",
    derandomize=True,
    deadline=None,
    max_examples=500,
    database=None,
    # Fixtures are the same for all examples of a test, as they should be.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("reproducible")


# Processes that tests start see the package that the tests see, wherever they stand.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = str(Path(fd.__file__).parents[1])


def pytest_collection_finish() -> None:
    """Tens of thousands of tests stay; every collection of garbage would look at all of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = fd.isa()
    _core.force_isa(request.param)
    assert fd.isa() == request.param
    yield request.param
    _core.force_isa(before)


@pytest.fixture
def each_isa() -> Iterator[Callable[[], Iterator[str]]]:
    """For a test that compares instruction sets, or whose oracle is dear: all of them in turn."""

    def each() -> Iterator[str]:
        for name in ISAS:
            _core.force_isa(name)
            yield name

    before = fd.isa()
    yield each
    _core.force_isa(before)


@pytest.fixture
def threads() -> Iterator[tuple[int, ...]]:
    """Numbers of threads that are more and fewer than there are cores or segments of a row."""
    before = fd.get_num_threads()
    yield tuple(range(2, 65)) if os.environ.get("FASTDIV_LONG") == "1" else (2, 3, 64)
    fd.set_num_threads(before)


@pytest.fixture(params=_core.DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DIVERGENCES, ids=lambda d: d.name)
def divergence(request: pytest.FixtureRequest) -> Divergence:
    found = request.param
    assert isinstance(found, Divergence)
    return found


@pytest.fixture(params=[d for d in DIVERGENCES if not d.unary], ids=lambda d: d.name)
def of_two(request: pytest.FixtureRequest) -> Divergence:
    """One of those that take q."""
    found = request.param
    assert isinstance(found, Divergence)
    return found


@pytest.fixture(params=[d for d in DIVERGENCES if not d.entropy], ids=lambda d: d.name)
def proper(request: pytest.FixtureRequest) -> Divergence:
    """One of those that are 0 for equal rows."""
    found = request.param
    assert isinstance(found, Divergence)
    return found


@pytest.fixture(
    params=[(d, where) for d in DIVERGENCES for where in "pq"[: 1 if d.unary else 2]],
    ids=lambda pair: f"{pair[0].name}-{pair[1]}",
)
def argument(request: pytest.FixtureRequest) -> tuple[Divergence, str]:
    """A divergence and the name of one of its arguments."""
    divergence, where = request.param
    return divergence, where


@pytest.fixture
def divergences() -> list[Divergence]:
    """All of them, for a test that spends more on its rows than on the calls."""
    return DIVERGENCES


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Lays an array out; returns the array and the axis along which its rows lie now."""
    return lambda x: LAYOUTS[request.param](x, tmp_path)
