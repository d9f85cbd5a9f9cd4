"""Everything that a pair of rows can be given to, for tests and benchmarks.

The names are those of the kernels of the package and of the oracles of reference.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from reference import ORACLES

import fastdiv as fd
from fastdiv import _core


@dataclass(frozen=True)
class Divergence:
    """A kernel, with a parameter if it takes one, called with a pair of rows.

    The name is that of its oracle: ``alpha_divergence(1.5)``.
    """

    name: str
    parameters: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        # Now: a call may be made in another rounding mode, where 0.3 is another number.
        number = self.name.partition("(")[2].rstrip(")")
        object.__setattr__(self, "parameters", (float(number),) if number else ())

    @property
    def kernel(self) -> str:
        return self.name.partition("(")[0]

    @property
    def function(self) -> Callable[..., npt.NDArray[np.float64]]:
        public: Callable[..., npt.NDArray[np.float64]] = getattr(fd, PUBLIC[self.kernel])
        return public

    @property
    def options(self) -> dict[str, float]:
        return dict(zip([_core.PARAMETERS.get(self.kernel, "")], self.parameters, strict=False))

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
