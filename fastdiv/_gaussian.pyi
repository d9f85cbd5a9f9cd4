from typing import Any

import numpy as np
from numpy.typing import NDArray

def evaluate(
    operands: tuple[NDArray[np.float64], ...],
    batch: tuple[int, ...],
    diagonal: bool,
    factors: bool,
) -> NDArray[Any]: ...
