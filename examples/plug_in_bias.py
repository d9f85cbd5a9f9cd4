"""The entropy and KL of counts are not those behind them: two corrections."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd
from fastdiv.plug_in import Correction, entropy_from_counts, kl_divergence_from_counts

OUTCOMES = 30
SIZES = [60, 100, 200, 400, 800, 1600]
REPEATS = 2000
CORRECTIONS: dict[str, Correction] = {
    "frequencies": None,
    "Miller–Madow": "miller-madow",
    "jackknife": "jackknife",
}


def main(path: Path) -> dict[str, Any]:
    """Draw mean estimates against the number of draws; return the errors of the smallest."""
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(OUTCOMES, 3.0), 2)
    truths = float(fd.entropy(p)), float(fd.kl_divergence(p, q))
    means: dict[str, list[tuple[float, float]]] = {name: [] for name in CORRECTIONS}
    for n in SIZES:
        counts = rng.multinomial(n, p, REPEATS)
        for name, correction in CORRECTIONS.items():
            entropy = entropy_from_counts(counts, correction)
            divergence = kl_divergence_from_counts(counts, q, correction, known_q=True)
            means[name].append((float(entropy.mean()), float(divergence.mean())))
    titles = ("Entropy of the source of n draws", "Its KL from a known Q")
    with picture(path, *titles) as axes:
        for side, (each, truth) in enumerate(zip(axes, truths, strict=True)):
            each.axhline(truth, color="black", linewidth=1.2, linestyle="--", label="truth")
            for place, (name, values) in enumerate(means.items()):
                line = [value[side] for value in values]
                each.plot(SIZES, line, color=COLOURS[place], marker="os^"[place], label=name)
            each.set_xscale("log")
            each.set_xticks(SIZES, [str(n) for n in SIZES])
            each.minorticks_off()
            each.set_xlabel(f"draws, of {OUTCOMES} outcomes")
            each.set_ylabel(f"mean of {REPEATS:,} estimates, nats")
        axes[0].legend(frameon=False, loc="lower right")
    return {
        f"{quantity}, {name}": abs(values[0][side] - truths[side])
        for side, quantity in enumerate(("entropy", "KL"))
        for name, values in means.items()
    }


if __name__ == "__main__":
    run("plug_in_bias", main)
