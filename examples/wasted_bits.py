"""The bits that a code made for the wrong distribution wastes: KL, and what whole words add."""

from pathlib import Path
from typing import Any

import numpy as np
from picture import COLOURS, picture, run

from fastdiv.coding import coding_overhead, cross_entropy_decomposition

LETTERS = 26


def zipf(exponent: Any) -> Any:
    """Frequencies 1/rank^exponent of an alphabet."""
    return np.arange(1, LETTERS + 1) ** -np.asarray(exponent, np.float64)[..., None]


def main(path: Path) -> dict[str, Any]:
    """Draw wasted bits against the code's assumption; return those of the right and a wrong one."""
    p = zipf(1.0)
    exponents = np.linspace(0, 2.5, 101)
    found = coding_overhead(p, zipf(exponents))
    parts = cross_entropy_decomposition(p, zipf(exponents), base=2)
    with picture(path, "Bits wasted per letter", "Bits per letter, of ideal words") as (
        left,
        right,
    ):
        left.plot(
            exponents, found.shannon, color=COLOURS[1], linestyle="-.", label="Shannon's words"
        )
        left.plot(exponents, found.huffman, color=COLOURS[2], label="Huffman's words")
        left.plot(exponents, found.ideal, color=COLOURS[0], linestyle="--", label="ideal: KL(P‖Q)")
        left.axvline(1.0, color="black", linewidth=1.0, linestyle=":")
        left.annotate("Q = P", (1.0, 0.8), (4, 0), textcoords="offset points")
        left.set_ylim(0, 1.6)
        left.set_ylabel("bits above the entropy of P")
        left.legend(frameon=False, loc="upper left")
        right.stackplot(
            exponents, parts.entropy, parts.kl_divergence, colors=["#c9ced6", COLOURS[0]],
            labels=["entropy H(P)", "KL(P‖Q)"],
        )  # fmt: skip
        right.plot(exponents, parts.cross_entropy, color="black", label="cross-entropy H(P, Q)")
        right.set_ylim(0, 7)
        right.set_ylabel("bits")
        right.legend(frameon=False, loc="upper left", ncols=2)
        for axes in (left, right):
            axes.set_xlim(0, 2.5)
            axes.set_xlabel("exponent of the letters that Q expects; P has 1")
    right_one, uniform = 40, 0
    return {
        "entropy": float(found.entropy[right_one]),
        "KL where Q = P": float(found.ideal[right_one]),
        "Huffman where Q = P": float(found.huffman[right_one]),
        "KL of equal letters": float(found.ideal[uniform]),
        "Huffman of equal letters": float(found.huffman[uniform]),
        "Shannon of equal letters": float(found.shannon[uniform]),
        "largest Huffman − KL": float((found.huffman - found.ideal).max()),
    }


if __name__ == "__main__":
    run("wasted_bits", main)
