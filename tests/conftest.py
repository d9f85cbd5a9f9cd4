"""Fixtures isa × dtype × divergence × layout, all from the registries: a new line is tested too."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from layouts import LAYOUTS
from reference import ORACLES

import fastdiv as fd
from fastdiv import _core

ISAS = fd.available_isas()
assert ISAS, "no instruction set is available: nothing would be tested"

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


@dataclass(frozen=True)
class Divergence:
    """A kernel, with a parameter if it takes one, called with a pair of rows.

    The name is that of its oracle: ``alpha_divergence(1.5)``.
    """

    name: str

    @property
    def kernel(self) -> str:
        return self.name.partition("(")[0]

    @property
    def parameters(self) -> tuple[float, ...]:
        number = self.name.partition("(")[2].rstrip(")")
        return (float(number),) if number else ()

    @property
    def function(self) -> Callable[..., npt.NDArray[np.float64]]:
        public: Callable[..., npt.NDArray[np.float64]] = getattr(fd, PUBLIC[self.kernel])
        return public

    @property
    def options(self) -> dict[str, float]:
        return {_core.PARAMETERS[self.kernel]: x for x in self.parameters}

    @property
    def unary(self) -> bool:
        return self.kernel in _core.UNARY

    @property
    def entropy(self) -> bool:
        return self.kernel.endswith("entropy")

    @property
    def based(self) -> bool:
        return "base" in inspect.signature(self.function).parameters

    def __call__(
        self, p: npt.ArrayLike, q: npt.ArrayLike, **options: object
    ) -> npt.NDArray[np.float64]:
        return self.function(*((p,) if self.unary else (p, q)), **self.options, **options)


# The public function of a kernel, where it has another name.
PUBLIC = {name: name for name in _core.DIVERGENCES} | {"weighted_js_divergence": "js_divergence"}
# A name without its oracle fails in test_divergences, and an oracle without its name here.
DIVERGENCES = [
    Divergence(name)
    for name in dict.fromkeys(
        (*(n for n in _core.DIVERGENCES if n not in _core.PARAMETERS), *ORACLES)
    )
]


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


@pytest.fixture(
    params=[d for d in DIVERGENCES if not d.entropy], ids=lambda d: d.name
)
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
