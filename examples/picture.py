"""What the examples share: one figure in the colours of fastdiv's reports, and the command line."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastdiv.report.figures import styled
from fastdiv.report.style import look_of

COLOURS = [look_of(place).colour for place in range(6)]


@contextmanager
def picture(path: str | Path, *titles: str, height: float = 3.7) -> Iterator[list[Axes]]:
    """Give axes side by side, one for each title, and write them when they are drawn."""
    with styled():
        figure = Figure(figsize=(5.1 * len(titles), height), dpi=110)
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        axes = list(figure.subplots(1, len(titles), squeeze=False)[0])
        for each, title in zip(axes, titles, strict=True):
            each.set_title(title)
        yield axes
        # Nothing that tells by what version it was made: the same numbers are the same file.
        figure.savefig(path, metadata={"Software": None}, pil_kwargs={"optimize": True})


def run(name: str, main: Callable[[Path], Mapping[str, Any]]) -> None:
    """Draw where the command line says, or beside the caller, and print the numbers."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else f"{name}.png")
    for what, number in main(path).items():
        print(f"{what:32} {number}")
    print(f"{'picture':32} {path}")
