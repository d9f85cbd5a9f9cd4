"""Forward and reverse KL of a normal and two peaks: to cover both, or to choose one."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd
from fastdiv import families
from fastdiv.projection import GaussianMixture

TARGET = GaussianMixture([0.6, 0.4], [-3, 3], [1, 1.44])


def normal(x: Any, fit: Any) -> Any:
    """Return the density of a fit."""
    return np.exp(families.Normal(fit.mean, np.sqrt(fit.covariance[0])).log_density(x))


def main(path: Path) -> dict[str, Any]:
    """Draw both fits, and reverse KL over means; return the fits and all local optima."""
    forward = fd.project(TARGET, "normal", "forward").best
    reverse = fd.project(TARGET, "normal", "reverse")
    x = np.linspace(-9, 9, 600)
    means = np.linspace(-6, 6, 49)
    with picture(path, "Nearest normals to two peaks", "KL of the normal at each mean") as (
        left,
        right,
    ):
        left.fill_between(x, np.exp(TARGET.log_density(x)), color="#c9ced6", label="target P")
        left.plot(
            x, normal(x, forward),
            color=COLOURS[0], linestyle="--", label="forward, KL(P‖Q): covers",
        )  # fmt: skip
        for place, found in enumerate(reverse.optima):
            left.plot(
                x, normal(x, found),
                color=COLOURS[1], linestyle="-" if not place else ":",
                label=("reverse, KL(Q‖P): chooses", "its other local optima", None)[place],
            )  # fmt: skip
        left.set_ylim(0, 0.62)
        left.set_xlabel("x")
        left.set_ylabel("density")
        left.legend(frameon=False, loc="upper center")
        # The least over a few variances, at each mean.
        deviations = np.exp(np.linspace(-0.3, 1.8, 24))
        at = np.linspace(-30, 30, 2001)
        log_p = TARGET.log_density(at)
        log_q = -(((at - means[:, None, None]) / deviations[:, None]) ** 2) / 2
        table = [
            fd.kl_divergence(log_p, log_q, from_logits=True),
            fd.reverse_kl_divergence(log_p, log_q, from_logits=True),
        ]
        for side, name in enumerate(("forward", "reverse")):
            right.plot(
                means,
                table[side].min(axis=1),
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
