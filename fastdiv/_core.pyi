from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIVERGENCES: tuple[str, ...]
PARAMETERS: dict[str, str]
SYMMETRIC: tuple[str, ...]
UNARY: tuple[str, ...]
DTYPES: tuple[str, ...]
SOURCES: tuple[str, ...]
COMPARISONS: tuple[str, ...]
STATISTICS: tuple[str, ...]
LARGEST_TOP_K: int

class SparseRows:
    @property
    def data(self) -> np.ndarray[tuple[int], np.dtype[np.floating[Any]]]: ...
    @property
    def indices(self) -> np.ndarray[tuple[int], np.dtype[np.integer[Any]]]: ...
    @property
    def indptr(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]: ...
    @property
    def canonical(self) -> bool: ...
    @property
    def width(self) -> int: ...
    def __init__(self, data: Any, indices: Any, indptr: Any, width: int, where: str) -> None: ...
    def __len__(self) -> int: ...

def available_isas() -> tuple[str, ...]: ...
def force_isa(name: str) -> None: ...
def kernel_tables() -> dict[str, int]: ...
def isa() -> str: ...
def set_threads(count: int) -> None: ...
def get_threads() -> int: ...
def gufunc(name: str, source: int) -> np.ufunc: ...
def are_arrays(rows: tuple[Any, ...]) -> bool: ...
def array_of(x: Any, function: str, argument: str, dtype: Any = None) -> Any: ...
def evaluate(
    name: str,
    rows: tuple[Any, ...],
    axis: int,
    keepdims: bool,
    out: Any,
    dtype: Any,
    normalize: bool,
    from_logits: bool,
    checker: Callable[..., None] | None,
    numbers: tuple[Any, ...] = (),
) -> Any: ...
def widen(x: NDArray[np.float32]) -> NDArray[np.float64]: ...
def js_prepare(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def all_pairs(
    name: str,
    source: int,
    x: NDArray[Any],
    y: NDArray[Any],
    parameter: float,
    out: NDArray[np.float64],
    half: bool,
    prepared: tuple[Any, ...] | None,
) -> int: ...
def tokens(
    name: str,
    rows: tuple[Any, ...],
    arguments: tuple[str, ...],
    parameters: tuple[Any, ...],
    out: Any,
    dtype: Any,
    vocab_size: int | None,
    axis: int = -1,
    keepdims: bool = False,
) -> Any: ...
def drawn_rows(
    rows: int, drawn: int, seed: int, first: int, resamples: int
) -> NDArray[np.int64]: ...
def resampled_sums(
    columns: NDArray[np.float64], drawn: int, seed: int, resamples: int
) -> NDArray[np.float64]: ...
def weights(
    x: Any, function: str, argument: str, dtype: str | None = None
) -> np.ndarray[Any, Any]: ...
def sparse(
    name: str,
    source: int,
    p: SparseRows,
    q: SparseRows | None,
    parameter: Any,
    first: int,
    out: np.ndarray[Any, np.dtype[np.float64]],
) -> int: ...
