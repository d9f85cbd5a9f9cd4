"""What a critic proves: lower bounds on KL, and the bias that small batches have."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd
from fastdiv.variational import (
    DonskerVaradhanMeter,
    donsker_varadhan_bound,
    donsker_varadhan_bound_of,
    f_gan_bound_of,
    optimal_critic,
)

BATCH, BATCHES = 16, 1500


def main(path: Path) -> dict[str, Any]:
    """Draw bounds against the critic, and against batches; return their ends."""
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(20), 2)
    truth = float(fd.kl_divergence(p, q))
    best = optimal_critic(p, q)
    scale = np.linspace(0, 2, 81)
    critics = scale[:, None] * best
    of_critic = f_gan_bound_of(p, q, critics), donsker_varadhan_bound_of(p, q, critics)

    # Of two normals a deviation apart the best critic is z − 1/2, and KL is 1/2.
    x = rng.normal(1, 1, (BATCHES, BATCH)) - 0.5
    y = rng.normal(0, 1, (BATCHES, BATCH)) - 0.5
    each = [donsker_varadhan_bound(a, b).value for a, b in zip(x, y, strict=True)]
    of_batches = np.cumsum(each) / np.arange(1, BATCHES + 1)
    meter, of_stream = DonskerVaradhanMeter(), []
    for a, b in zip(x, y, strict=True):
        meter.update(a, b)
        of_stream.append(meter.value)

    with picture(path, "What the critic s·log(p/q) proves", "A stream of batches of 16") as (
        left,
        right,
    ):
        left.axhline(truth, color="black", linewidth=1.2, linestyle="--", label="KL")
        left.plot(scale, of_critic[1], color=COLOURS[0], label="Donsker–Varadhan")
        left.plot(scale, of_critic[0], color=COLOURS[1], linestyle="-.", label="f-GAN")
        left.set_ylim(-0.2 * truth, 1.25 * truth)
        left.set_xlabel("s")
        left.set_ylabel("lower bound, nats")
        left.legend(frameon=False, loc="lower center")
        batches = np.arange(1, BATCHES + 1)
        right.axhline(0.5, color="black", linewidth=1.2, linestyle="--", label="KL = 1/2")
        right.plot(batches, of_batches, color=COLOURS[1], label="mean of each batch's bound")
        right.plot(batches, of_stream, color=COLOURS[0], label="bound of the stream's means")
        right.set_xscale("log")
        right.set_ylim(0.2, 1)
        right.set_xlabel("batches")
        right.set_ylabel("Donsker–Varadhan, nats")
        right.legend(frameon=False, loc="upper right")
    return {
        "KL": truth,
        "highest f-GAN": float(of_critic[0].max()),
        "highest Donsker–Varadhan": float(of_critic[1].max()),
        "Donsker–Varadhan at s = 1.5": float(of_critic[1][60]),
        "f-GAN at s = 1.5": float(of_critic[0][60]),
        "mean of batches": float(of_batches[-1]),
        "bound of the stream": meter.value,
    }


if __name__ == "__main__":
    run("variational_bounds", main)
