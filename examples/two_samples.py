"""Is it more than chance? A permutation test of two rows of counts."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

import fastdiv as fd

MONDAY = {"ok": 960, "slow": 38, "error": 2}
TUESDAY = {"ok": 940, "slow": 51, "error": 9}


def main(path: Path) -> dict[str, Any]:
    """Draw the statistic among those of shuffled counts; return p-values of three statistics."""
    monday, tuesday = fd.from_counts(MONDAY, TUESDAY)
    found = fd.permutation_test(monday, tuesday, "js_divergence")
    with picture(path, "Jensen–Shannon of 9,999 shuffles") as (axes,):
        scaled = 1e3 * found.null
        # Counts are whole, so the statistic takes few values: each bin holds some of them.
        edges = np.linspace(0, 1.05 * max(scaled.max(), 1e3 * found.statistic), 45)
        axes.hist(scaled, edges, color=COLOURS[0], alpha=0.6)
        axes.hist(scaled[found.null >= found.statistic], edges, color=COLOURS[1])
        axes.axvline(1e3 * found.statistic, color="black", linewidth=1.2, linestyle="--")
        axes.annotate(
            f"as observed\np = {found.p_value:.3f}",
            (1e3 * found.statistic, 0.6 * axes.get_ylim()[1]),
            (8, 0),
            textcoords="offset points",
        )
        axes.set_xlabel("divergence of the two days, 10⁻³ nats")
        axes.set_ylabel("shuffles")
        axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    return {
        "Jensen–Shannon": float(found.statistic),
        "p": found.p_value,
        "p of total variation": fd.permutation_test(monday, tuesday, "total_variation").p_value,
        "p of a day with itself": fd.permutation_test(monday, monday).p_value,
    }


if __name__ == "__main__":
    run("two_samples", main)
