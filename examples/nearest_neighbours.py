"""KL of two clouds of points, of which nobody knows the densities: from nearest neighbours."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

from fastdiv.neighbours import nearest_neighbour_kl

SIZES = [50, 100, 200, 400, 800, 1600, 3200]
POINTS = 20_000  # points in all, for each size; at least 20 samples
SHIFT = 1.0  # P = N((1, 0, …), I), Q = N(0, I), of which KL is SHIFT²/2


def estimates(dimensions: int, rng: np.random.Generator) -> list[Any]:
    """Return estimates for each size of the samples."""
    centre = np.zeros(dimensions)
    centre[0] = SHIFT
    return [
        np.array(
            [
                nearest_neighbour_kl(
                    rng.normal(centre, 1, (n, dimensions)), rng.normal(0, 1, (n, dimensions))
                )
                for _ in range(max(20, POINTS // n))
            ]
        )
        for n in SIZES
    ]


def main(path: Path) -> dict[str, Any]:
    """Draw estimates against the size of the samples; return their means and spreads at the end."""
    rng = np.random.default_rng(0)
    truth = SHIFT**2 / 2
    found = {d: estimates(d, rng) for d in (1, 2, 5)}
    with picture(path, "KL from two samples, no density") as (axes,):
        axes.axhline(truth, color="black", linewidth=1.2, linestyle="--", label="KL = 1/2")
        for place, (d, values) in enumerate(found.items()):
            centre = np.array([each.mean() for each in values])
            spread = np.array([each.std() for each in values])
            colour = COLOURS[place]
            axes.fill_between(SIZES, centre - spread, centre + spread, color=colour, alpha=0.15)
            word = "dimension" if d == 1 else "dimensions"
            axes.plot(SIZES, centre, color=colour, marker="os^"[place], label=f"{d} {word}")
        axes.set_xscale("log")
        axes.set_xticks(SIZES, [str(n) for n in SIZES])
        axes.minorticks_off()
        axes.set_xlabel("points in each sample")
        axes.set_ylabel("estimate, nats (band: ± deviation)")
        axes.set_ylim(0, 0.85)
        axes.legend(frameon=False, ncols=2, loc="upper right")
    return {
        "truth": truth,
        **{f"mean in {d}": float(values[-1].mean()) for d, values in found.items()},
        **{f"deviation in {d}": float(values[-1].std()) for d, values in found.items()},
    }


if __name__ == "__main__":
    run("nearest_neighbours", main)
