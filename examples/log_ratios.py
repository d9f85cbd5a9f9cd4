"""Divergences from log-ratios of samples: three numbers for KL, and one for any f."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd
from fastdiv.estimators import Kind, f_divergence_samples, kl_from_samples

DRAWS = 1000
REPEATS = 800
KINDS: tuple[Kind, ...] = ("k1", "k2", "k3")
NAMES = {"js": "Jensen–Shannon", "squared_hellinger": "squared Hellinger", "kl": "KL"}


def main(path: Path) -> dict[str, Any]:
    """Draw the spread of each estimate; return deviations, and the errors that were told."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(50, 2.0))
    q = p * np.exp(0.3 * rng.normal(size=50))
    q /= q.sum()
    x = rng.choice(50, (REPEATS, DRAWS), p=p)
    log_p, log_q = np.log(p[x]), np.log(q[x])
    truth = float(fd.kl_divergence(p, q))
    of_kl = {
        kind: [kl_from_samples(a, b, kind) for a, b in zip(log_p, log_q, strict=True)]
        for kind in KINDS
    }
    values = {kind: np.array([each.value for each in found]) for kind, found in of_kl.items()}
    with picture(path, "KL of 1,000 samples, 800 times", "Samples needed for ± 1 %") as (
        left,
        right,
    ):
        edges = np.linspace(truth - 0.04, truth + 0.04, 60)
        for place, kind in enumerate(KINDS):
            left.hist(values[kind], edges, histtype="stepfilled", color=COLOURS[place], alpha=0.3)
            left.hist(values[kind], edges, histtype="step", color=COLOURS[place], label=kind)
        left.axvline(truth, color="black", linewidth=1.2, linestyle="--", label="truth")
        left.set_xlabel("estimate, nats")
        left.set_ylabel("how often")
        left.legend(frameon=False)
        needed = {}
        for name in NAMES:
            for sampled in ("p", "q"):
                each = f_divergence_samples(np.log(p), np.log(q), name, sampled=sampled)
                weights = p if sampled == "p" else q
                mean = float(weights @ each)
                needed[name, sampled] = float(weights @ (each - mean) ** 2) / (0.01 * mean) ** 2
        places = np.arange(len(NAMES))
        for side, sampled in enumerate("pq"):
            counts = [needed[name, sampled] for name in NAMES]
            right.bar(
                places + 0.4 * side - 0.2, counts, 0.36, color=COLOURS[side],
                label=f"samples of {sampled.upper()}",
            )  # fmt: skip
        right.set_xticks(places, list(NAMES.values()))
        right.grid(visible=False, axis="x")
        right.set_ylim(0, 1.3 * max(needed.values()))
        right.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
        right.set_ylabel("samples")
        right.legend(frameon=False, ncols=2, loc="upper left")
    return {
        "truth": truth,
        **{f"mean of {kind}": float(values[kind].mean()) for kind in KINDS},
        **{f"deviation of {kind}": float(values[kind].std()) for kind in KINDS},
        **{
            f"told error of {kind}": math.sqrt(float(np.mean([e.se**2 for e in of_kl[kind]])))
            for kind in KINDS
        },
    }


if __name__ == "__main__":
    run("log_ratios", main)
