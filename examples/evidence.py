"""log evidence = ELBO + reverse KL: of a coin's bias, whose posterior is no normal."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

from fastdiv.families import Normal
from fastdiv.projection import GridDensity, evidence_decomposition, project

HEADS, TAILS = 6, 1
# The latent is the logit of the bias; its prior is the logistic density, a uniform bias.
LOGITS = np.linspace(-12, 16, 2801)


def log_joint(z: Any) -> Any:
    """Log p(6 heads and a tail in that order, z)."""
    log_heads, log_tails = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    return (HEADS + 1) * log_heads + (TAILS + 1) * log_tails


def main(path: Path) -> dict[str, Any]:
    """Draw the best normal and the parts of the evidence of others; return the parts."""
    width = LOGITS[1] - LOGITS[0]
    joint = log_joint(LOGITS)
    best = project(GridDensity(LOGITS, joint), "normal", "reverse").best
    mean, deviation = float(best.mean[0]), math.sqrt(best.covariance[0, 0])
    means = np.linspace(mean - 2.5, mean + 2.5, 81)
    log_q = Normal(means[:, None], deviation).log_density(LOGITS)
    log_best = Normal(mean, deviation).log_density(LOGITS)
    parts = evidence_decomposition(joint + math.log(width), log_q)
    at_best = evidence_decomposition(joint + math.log(width), log_best)
    exact = math.log(math.factorial(HEADS) * math.factorial(TAILS) / math.factorial(8))
    with picture(path, "Posterior after 6 heads and a tail", "log evidence = ELBO + KL(Q‖P)") as (
        left,
        right,
    ):
        posterior = np.exp(joint - at_best.log_evidence)
        left.fill_between(LOGITS, posterior, color="#c9ced6", label="posterior P")
        left.plot(LOGITS, np.exp(log_best), color=COLOURS[0], label="nearest normal Q")
        left.set_xlim(-3, 8)
        left.set_ylim(0, 0.52)
        left.set_xlabel("logit of the coin's bias")
        left.set_ylabel("density")
        left.legend(frameon=False, loc="upper right")
        right.axhline(exact, color="black", linewidth=1.2, linestyle="--", label="log p(x)")
        right.plot(means, parts.elbo, color=COLOURS[0], label="ELBO")
        right.fill_between(
            means, parts.elbo, parts.log_evidence, color=COLOURS[1], alpha=0.2,
            label="reverse KL",
        )  # fmt: skip
        right.plot(mean, at_best.elbo, "v", color="black", markersize=8, label="best mean")
        right.set_ylim(exact - 3.2, exact + 0.5)
        right.set_xlabel("mean of Q")
        right.set_ylabel("nats")
        right.legend(frameon=False, loc="lower center")
    return {
        "exact log evidence": exact,
        "log evidence": float(at_best.log_evidence),
        "ELBO": float(at_best.elbo),
        "reverse KL": float(at_best.reverse_kl),
        "largest ELBO of other means": float(parts.elbo.max()),
        "variance is": best.variance,
    }


if __name__ == "__main__":
    run("evidence", main)
