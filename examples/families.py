"""One KL of two exponential families four ways: closed form, Bregman of A, integral, samples."""

from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

from fastdiv import families

SHAPE = 3.0


def ways(p: Any, q: Any) -> dict[str, Any]:
    """KL(P‖Q) by each."""
    return {
        "closed form": families.kl_divergence(p, q),
        "Bregman of A": families.bregman(
            p.log_partition, p.log_partition_gradient, q.natural_parameters, p.natural_parameters
        ),
        "quadrature": families.kl_divergence(p, q, method="quadrature"),
        "100,000 samples": families.kl_divergence(p, q, method="monte_carlo"),
    }


def exact(rate: float) -> float:
    """KL of rates 1 and another: k (r − 1 − log r), of 60 digits."""
    with localcontext() as context:
        context.prec = 60
        return float(Decimal(SHAPE) * (Decimal(rate) - 1 - Decimal(rate).ln()))


def main(path: Path) -> dict[str, Any]:
    """Draw KL as the gap over a tangent, and errors of the four ways; return a pair's numbers."""
    rates = 1 + np.logspace(-12, 0, 13)
    p = families.Gamma(SHAPE, 1.0)
    errors: dict[str, list[float]] = {}
    for rate in rates:
        truth = exact(float(rate))
        for name, found in ways(p, families.Gamma(SHAPE, rate)).items():
            # Of samples their own standard error: one draw may be right by luck.
            off = found.se if hasattr(found, "se") else getattr(found, "value", found) - truth
            errors.setdefault(name, []).append(float(abs(off) / truth))
    of_p, of_q = families.Poisson(2.0), families.Poisson(6.0)
    start, end = (float(x.natural_parameters[0]) for x in (of_p, of_q))
    eta = np.linspace(-0.5, 2.1, 200)
    tangent = of_p.log_partition() + of_p.log_partition_gradient() * (eta - start)
    touch = float(of_p.log_partition() + of_p.log_partition_gradient()[0] * (end - start))
    top = float(of_q.log_partition())
    titles = "KL of Poissons as a gap", "Gammas: error against closeness"
    with picture(path, *titles) as (left, right):
        left.plot(eta, of_p.log_partition(eta[:, None]), color=COLOURS[0], label="log-partition A")
        left.plot(eta, tangent, color="black", linewidth=1.2, linestyle="--", label="tangent at P")
        left.plot([start], [float(of_p.log_partition())], "o", color="black")
        left.annotate("P, mean 2", (start, 2.0), (6, -12), textcoords="offset points")
        left.plot([end, end], [touch, top], color=COLOURS[1], linewidth=2.5)
        left.annotate(
            "KL(P‖Q)", (end, (touch + top) / 2), (6, 3), textcoords="offset points",
            color=COLOURS[1],
        )  # fmt: skip
        left.annotate("Q, mean 6", (end, top), (-8, 0), textcoords="offset points", ha="right")
        left.set_xlabel("natural parameter, the logarithm of the mean")
        left.set_xlim(-0.5, 2.4)
        left.set_ylim(-1, 8)
        left.legend(frameon=False, loc="upper left")
        for place, (name, each) in enumerate(errors.items()):
            # No error at all has no place on this scale: the lowest one is it.
            right.loglog(
                rates - 1, np.maximum(each, 1e-17), color=COLOURS[place],
                linestyle=("-", "--", "-.", ":")[place], label=name,
            )  # fmt: skip
        right.set_ylim(3e-18, 1e14)
        right.set_xlabel("rate of Q, less that of P")
        right.set_ylabel("relative error")
        right.legend(frameon=False, loc="upper right", ncols=2)
    pair = ways(families.Gamma(2.0, 1.0), families.Gamma(2.5, 1.3))
    integral, estimate = pair["quadrature"], pair["100,000 samples"]
    return {
        "closed form": float(pair["closed form"]),
        "Bregman of A": float(pair["Bregman of A"]),
        "quadrature": (integral.value, integral.error),
        "samples": (estimate.value, estimate.se),
        "gap": top - touch,
        **{f"errors of {name}": (each[0], each[-1]) for name, each in errors.items()},
        "largest of the closed form": max(errors["closed form"]),
    }


if __name__ == "__main__":
    run("families", main)
