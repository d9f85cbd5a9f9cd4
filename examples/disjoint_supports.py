"""Where P and Q do not meet: KL is infinite, JS and the GAN's value constant; Wasserstein tells."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd

BINS, WIDTH = 240, 40


def main(path: Path) -> dict[str, Any]:
    """Slide a bump past another; return what each divergence says of two distances."""
    places = np.arange(BINS)
    bump = np.maximum(0.0, 1 - np.abs(np.arange(-WIDTH // 2, WIDTH // 2 + 1)) / (WIDTH // 2 + 1))
    p = np.zeros(BINS)
    start = BINS // 2 - WIDTH // 2
    p[start : start + WIDTH + 1] = bump
    shifts = np.arange(-start, BINS - start - WIDTH)
    q = np.stack([np.roll(p, shift) for shift in shifts])
    kl, js = fd.kl_divergence(p, q), fd.js_divergence(p, q)
    game = fd.gan_value(p, q)
    transport = fd.wasserstein_distance(p, q)
    with picture(path, "Two bumps, one of them moved", "What is said of the distance") as (
        left,
        right,
    ):
        left.fill_between(places - BINS // 2, p, color=COLOURS[0], alpha=0.6, label="P")
        moved = q[np.searchsorted(shifts, 55)]
        left.fill_between(places - BINS // 2, moved, color=COLOURS[1], alpha=0.6, label="Q")
        left.annotate(
            "", (55, 1.06), (0, 1.06),
            arrowprops={"arrowstyle": "->", "color": "black", "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        left.annotate("moved by 55", (27.5, 1.09), ha="center")
        left.set_ylim(0, 1.25)
        left.set_yticks([])
        left.set_xlabel("outcome")
        left.legend(frameon=False, loc="upper left")
        right.plot(shifts, transport / 50, color=COLOURS[0], label="Wasserstein / 50")
        right.plot(shifts, js, color=COLOURS[1], linestyle="--", label="Jensen–Shannon")
        right.plot(
            shifts, game + math.log(4), color=COLOURS[2], linestyle="-.", label="GAN value + log 4"
        )
        finite = np.isfinite(kl)
        right.plot(shifts[finite], kl[finite], "o", color=COLOURS[3], label="KL: ∞ but here")
        right.set_xlabel("moved by")
        right.set_ylabel("nats, or distance/50")
        right.set_ylim(-0.05, 3)
        right.legend(frameon=False, loc="upper center", ncols=2)
    near, far = (int(np.searchsorted(shifts, shift)) for shift in (45, 90))
    return {
        "KL, near and far": (float(kl[near]), float(kl[far])),
        "JS, near and far": (float(js[near]), float(js[far])),
        "GAN value, near and far": (float(game[near]), float(game[far])),
        "Wasserstein, near and far": (float(transport[near]), float(transport[far])),
        "KL is finite at": shifts[finite].tolist(),
    }


if __name__ == "__main__":
    run("disjoint_supports", main)
