"""KL, Hellinger and Wasserstein of Gaussians that move or widen, and digits where they meet."""

from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd

COVARIANCE = np.array([[1.0, 0.6], [0.6, 2.0]])
CHANGE = np.array([[0.5, -0.3], [-0.3, 0.8]])
MOVE = np.array([0.7, -0.4])


def textbook(cov_p: Any, mean_q: Any, cov_q: Any) -> Any:
    """KL from a mean of 0 as books have it: a trace and a determinant less the dimension."""
    inverse = np.linalg.inv(cov_q)
    logs = np.linalg.slogdet(cov_q)[1] - np.linalg.slogdet(cov_p)[1]
    whole = np.einsum("...i,...ij,...j->...", mean_q, inverse, mean_q)
    return (np.trace(inverse @ cov_p, axis1=-2, axis2=-1) - 2 + logs + whole) / 2


def exact(cov_p: Any, mean_q: Any, cov_q: Any) -> float:
    """Return the same of the very numbers given: fractions, and logarithms of 60 digits."""
    (a, b), (_, c) = (map(Fraction, row) for row in cov_p.tolist())
    (d, e), (_, f) = (map(Fraction, row) for row in cov_q.tolist())
    x, y = map(Fraction, mean_q.tolist())
    of_p, of_q = a * c - b * b, d * f - e * e
    rational = (f * (a + x * x) - 2 * e * (b + x * y) + d * (c + y * y)) / of_q - 2
    with localcontext() as context:
        context.prec = 60
        ratio = of_q / of_p
        log = Decimal(ratio.numerator).ln() - Decimal(ratio.denominator).ln()
        found = Decimal(rational.numerator) / Decimal(rational.denominator) + log
        return float(found / 2)


def divergences(mean: Any, variance: Any) -> dict[str, Any]:
    """From the standard normal, one variable each."""
    p, q = (np.zeros(1), 1.0), (np.atleast_2d(mean).T, variance)
    return {
        "KL(P‖Q)": fd.gaussian_kl(*p, *q, covariance="scalar"),
        "KL(Q‖P)": fd.gaussian_kl(*q, *p, covariance="scalar"),
        "Wasserstein-2": fd.gaussian_wasserstein(*p, *q, covariance="scalar"),
        "Hellinger": fd.gaussian_hellinger(*p, *q, covariance="scalar"),
    }


def main(path: Path) -> dict[str, Any]:
    """Draw divergences against distance and width, and errors; return some of each."""
    distances = np.linspace(0, 6, 121)
    ratios = np.geomspace(1 / 16, 16, 129)
    moved, widened = divergences(distances, 1.0), divergences(0.0, ratios)
    closeness = np.logspace(-12, 0, 73)
    covariances = COVARIANCE + closeness[:, None, None] * CHANGE
    means = closeness[:, None] * MOVE
    truth = np.array([exact(COVARIANCE, m, c) for m, c in zip(means, covariances, strict=True)])
    ours = np.abs(fd.gaussian_kl(np.zeros(2), COVARIANCE, means, covariances) / truth - 1)
    theirs = np.abs(textbook(COVARIANCE, means, covariances) / truth - 1)
    titles = "Means apart, variance 1", "Means equal, variances apart", "Digits of KL"
    with picture(path, *titles) as (left, middle, right):
        for axes, x, found in ((left, distances, moved), (middle, ratios, widened)):
            for place, (name, values) in enumerate(found.items()):
                style = ("-", "--", "-.", ":")[place]
                axes.plot(x, values, color=COLOURS[place], linestyle=style, label=name)
            axes.set_ylim(0, 6)
        left.set_xlabel("distance of the means, standard deviations")
        left.set_ylabel("nats, or distance")
        left.legend(frameon=False, loc="upper left")
        middle.set_xscale("log", base=2)
        middle.set_xticks([1 / 16, 1 / 4, 1, 4, 16], ["1/16", "1/4", "1", "4", "16"])
        middle.set_xlabel("variance of Q, that of P is 1")
        # No error at all has no place on this scale: the lowest one is it.
        drawn = np.maximum(theirs, 1e-17), np.maximum(ours, 1e-17)
        right.loglog(closeness, drawn[0], color=COLOURS[1], linestyle="--", label="textbook, NumPy")
        right.loglog(closeness, drawn[1], color=COLOURS[0], label="gaussian_kl")
        right.axhline(1, color="black", linewidth=1.0, linestyle=":")
        right.annotate("no digit is right", (1, 1), (0, 4), textcoords="offset points", ha="right")
        right.set_ylim(3e-18, 1e10)
        right.set_xlabel("how close Q is to P")
        right.set_ylabel("relative error")
        right.legend(frameon=False, loc="upper right")
    four, quarter, twice = 80, 32, 80
    return {
        "4 deviations apart": {name: float(values[four]) for name, values in moved.items()},
        "variance 1/4": {name: float(values[quarter]) for name, values in widened.items()},
        "variance 2": {name: float(values[twice]) for name, values in widened.items()},
        "truth at 1e-12": float(truth[0]),
        "largest error of gaussian_kl": float(ours.max()),
        "error of the textbook's at 1e-12": float(theirs[0]),
        "error of the textbook's at 1e-6": float(theirs[36]),
    }


if __name__ == "__main__":
    run("gaussians", main)
