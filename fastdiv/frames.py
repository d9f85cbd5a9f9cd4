"""pandas frames and series, known by their types: aligned by their labels, which the result keeps.

pandas is not imported: who has a frame has imported it.
"""

import sys
from typing import Any

import numpy as np

__all__ = ["aligned", "is_frame", "labelled"]


def is_frame(x: Any) -> bool:
    """Tell whether x is of pandas, with one axis or two."""
    of_pandas = any(kind.__module__.partition(".")[0] == "pandas" for kind in type(x).__mro__)
    return of_pandas and getattr(x, "ndim", 0) in (1, 2)


def labelled(result: Any, labels: Any, name: str) -> Any:
    """Return a Series if there is one number for each label, and else the result as it is."""
    if labels is None or np.shape(result) != (len(labels),):
        return result
    return sys.modules["pandas"].Series(result, index=labels, name=name)


def aligned(
    name: str, rows: tuple[Any, ...], axis: int, names: str = "pq", paired: bool = True
) -> tuple[Any, tuple[Any, ...]]:
    """Return the labels of the rows, and arrays with their outcomes in one order.

    Rows that are not `paired` have labels of their own.
    """
    along = 0 if axis in (0, -2) else 1  # of a frame, the axis of the outcomes
    outcomes = batch = None
    arrays = []
    for argument, x in zip(names, rows, strict=False):
        if not is_frame(x):
            arrays.append(x)
            continue
        axes = x.axes if along == 1 or x.ndim == 1 else x.axes[::-1]
        if outcomes is None:
            outcomes = axes[-1]
        elif not axes[-1].equals(outcomes):
            missing = axes[-1].symmetric_difference(outcomes, sort=False)
            twice = [
                label for labels in (outcomes, axes[-1]) for label in labels[labels.duplicated()]
            ]
            if len(missing) or twice:
                label = missing[0] if len(missing) else twice[0]
                raise ValueError(
                    f"{name}: the outcomes of {argument} have other labels than those of"
                    f" {names[0]}, for instance {label!r}; fastdiv.from_counts aligns, with 0 for"
                    " what is missing"
                )
            x = x.reindex(outcomes, axis=along if x.ndim == 2 else 0)
        if x.ndim == 2:
            if paired and batch is not None and not axes[0].equals(batch):
                raise ValueError(
                    f"{name}: the rows of {argument} have other labels than those of p"
                )
            batch = axes[0]
        arrays.append(x.to_numpy())
    return batch, tuple(arrays)
