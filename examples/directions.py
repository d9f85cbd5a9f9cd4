"""Forward and reverse KL of a normal and two peaks: to cover both, or to choose one."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

from fastdiv.projection import Mixture, project

TARGET = Mixture([0.6, 0.4], [-3, 3], [1, 1.44])


def normal(x: Any, mean: float, variance: float) -> Any:
    """Return the density of a normal distribution."""
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def main(path: Path) -> dict[str, Any]:
    """Draw both fits, and reverse KL over means; return the fits and all local optima."""
    forward = project(TARGET, "normal", "forward").best
    reverse = project(TARGET, "normal", "reverse")
    x = np.linspace(-9, 9, 600)
    means = np.linspace(-6, 6, 49)
    with picture(path, "Nearest normals to two peaks", "KL of the normal at each mean") as (
        left,
        right,
    ):
        left.fill_between(x, np.exp(TARGET.log_density(x)), color="#c9ced6", label="target P")
        left.plot(
            x, normal(x, forward.mean[0], forward.covariance[0, 0]),
            color=COLOURS[0], linestyle="--", label="forward, KL(P‖Q): covers",
        )  # fmt: skip
        for place, found in enumerate(reverse.optima):
            left.plot(
                x, normal(x, found.mean[0], found.covariance[0, 0]),
                color=COLOURS[1], linestyle="-" if not place else ":",
                label=("reverse, KL(Q‖P): chooses", "its other local optima", None)[place],
            )  # fmt: skip
        left.set_ylim(0, 0.62)
        left.set_xlabel("x")
        left.set_ylabel("density")
        left.legend(frameon=False, loc="upper center")
        # The least over a few variances, at each mean.
        deviations = np.exp(np.linspace(-0.3, 1.8, 24))
        table = np.array(
            [
                [TARGET.divergences(np.array([m]), np.array([[s]])) for s in deviations]
                for m in means
            ]
        )
        for side, name in enumerate(("forward", "reverse")):
            right.plot(
                means,
                table[:, :, side].min(1),
                color=COLOURS[side],
                linestyle=("--", "-")[side],
                label=f"{name}, best variance",
            )
        for found in reverse.optima:
            right.plot(
                found.mean[0], found.reverse_kl, "v", color="black", markersize=8, zorder=3,
                label="optima found" if found is reverse.best else None,
            )  # fmt: skip
        right.set_ylim(0, 2.6)
        right.set_xlabel("mean of Q")
        right.set_ylabel("nats")
        right.legend(frameon=False, loc="upper center")
    return {
        "forward mean, variance": (float(forward.mean[0]), float(forward.covariance[0, 0])),
        "forward variance is": forward.variance,
        "reverse means": [round(float(each.mean[0]), 4) for each in reverse.optima],
        "reverse KL": [round(each.reverse_kl, 4) for each in reverse.optima],
        "reverse variance is": reverse.best.variance,
        "variance, of the target's": float(reverse.best.variance_ratio[0]),
    }


if __name__ == "__main__":
    run("directions", main)
