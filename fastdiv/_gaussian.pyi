from typing import Any

import numpy as np
from numpy.typing import NDArray

def kernel_addresses() -> dict[str, int]: ...
def evaluate(
    operands: tuple[NDArray[np.float64], ...],
    batch: tuple[int, ...],
    diagonal: bool,
    factors: bool,
) -> tuple[NDArray[Any], bool]: ...
