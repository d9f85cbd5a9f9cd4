"""Every example draws its picture, and its numbers are those that theory has."""

from __future__ import annotations

import importlib
import math
import re
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from matplotlib.image import imread

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "picture")


@pytest.fixture
def numbers(monkeypatch, tmp_path):
    """Run an example; its picture must be the page's."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def run(name):
        path = tmp_path / f"{name}.png"
        found = importlib.import_module(name).main(path)
        drawn, shown = (imread(x) for x in (path, ROOT / "docs" / "theory" / f"{name}.png"))
        assert drawn.shape == shown.shape, "docs/theory has a picture of another size"
        # Another version of matplotlib rounds the edges of letters and lines otherwise.
        other = float((np.abs(drawn - shown).max(axis=-1) > 0.1).mean())
        assert other < 2e-3, f"docs/theory has a picture of which {other:.2%} is drawn otherwise"
        return found

    return run


def test_nearest_neighbours(numbers):
    found = numbers("nearest_neighbours")
    assert found["truth"] == 0.5
    for d, allowed in ((1, 0.03), (2, 0.05), (5, 0.12)):
        assert found[f"mean in {d}"] == pytest.approx(0.5, abs=allowed)
        assert found[f"deviation in {d}"] < 0.05
    assert found["mean in 5"] < found["mean in 2"] < found["mean in 1"]  # biased towards 0


def test_plug_in_bias(numbers):
    found = numbers("plug_in_bias")
    for quantity in ("entropy", "KL"):
        plain, corrected, left_out = (
            found[f"{quantity}, {name}"] for name in ("frequencies", "Miller–Madow", "jackknife")
        )
        assert plain == pytest.approx(29 / 120, rel=0.15)  # (K − 1)/2n
        assert corrected < plain / 3
        assert left_out < plain / 20


def test_log_ratios(numbers):
    found = numbers("log_ratios")
    assert found["deviation of k1"] > 5 * found["deviation of k3"]
    for kind in ("k1", "k2", "k3"):
        assert found[f"told error of {kind}"] == pytest.approx(
            found[f"deviation of {kind}"], rel=0.1
        )
        off = abs(found[f"mean of {kind}"] - found["truth"])
        error = found[f"deviation of {kind}"] / math.sqrt(800)
        assert off > 10 * error if kind == "k2" else off < 4 * error  # k2 is biased


def test_two_samples(numbers):
    found = numbers("two_samples")
    assert 0.03 < found["p"] < 0.05
    assert 0.03 < found["p of total variation"] < 0.09
    assert found["p of a day with itself"] == 1


def test_variational_bounds(numbers):
    found = numbers("variational_bounds")
    assert found["highest f-GAN"] == pytest.approx(found["KL"], rel=1e-12)
    assert found["highest Donsker–Varadhan"] == pytest.approx(found["KL"], rel=1e-12)
    assert found["f-GAN at s = 1.5"] < found["Donsker–Varadhan at s = 1.5"] < found["KL"]
    # Var(e^T)/(2m) = (e − 1)/32, less what the second order takes
    assert 0.53 < found["mean of batches"] < 0.57
    assert found["bound of the stream"] == pytest.approx(0.5, abs=0.02)


def test_disjoint_supports(numbers):
    found = numbers("disjoint_supports")
    assert found["KL, near and far"] == (math.inf, math.inf)
    assert found["JS, near and far"] == pytest.approx((math.log(2),) * 2, rel=1e-15)
    assert found["GAN value, near and far"] == pytest.approx((0, 0), abs=1e-15)
    assert found["Wasserstein, near and far"] == pytest.approx((45, 90), rel=1e-13)
    assert found["KL is finite at"] == [0]


def test_directions(numbers):
    found = numbers("directions")
    # Moments of 0.6 N(−3, 1) + 0.4 N(3, 1.44): mean −0.6, variance 0.6·10 + 0.4·10.44 − 0.36
    assert found["forward mean, variance"] == pytest.approx((-0.6, 9.816), rel=1e-12)
    assert found["forward variance is"] == "matched"
    assert found["reverse means"] == pytest.approx([-2.9734, -0.0535, 2.9154], abs=2e-4)
    assert found["reverse KL"] == sorted(found["reverse KL"])
    assert found["reverse KL"][0] == pytest.approx(-math.log(0.6), abs=0.01)
    assert found["reverse variance is"] == "underestimated"
    assert found["variance, of the target's"] < 0.12


def test_evidence(numbers):
    found = numbers("evidence")
    assert found["exact log evidence"] == pytest.approx(math.log(1 / 56), rel=1e-15)
    assert found["log evidence"] == pytest.approx(found["exact log evidence"], abs=1e-8)
    both = found["ELBO"] + found["reverse KL"]
    assert both == pytest.approx(found["log evidence"], rel=1e-15)
    assert 0 < found["reverse KL"] < 0.02
    assert found["largest ELBO of other means"] <= found["ELBO"] + 1e-9
    assert found["variance is"] == "underestimated"


def test_gaussians(numbers):
    found = numbers("gaussians")
    apart = {
        "KL(P‖Q)": 8,
        "KL(Q‖P)": 8,
        "Wasserstein-2": 4,
        "Hellinger": math.sqrt(-math.expm1(-2)),
    }
    assert found["4 deviations apart"] == pytest.approx(apart, rel=1e-14)
    for variance, name in ((0.25, "variance 1/4"), (2.0, "variance 2")):
        deviation = math.sqrt(variance)
        wide, narrow = (0.5 * (r - 1 - math.log(r)) for r in (1 / variance, variance))
        overlap = math.sqrt(2 * deviation / (1 + variance))
        want = {"KL(P‖Q)": wide, "KL(Q‖P)": narrow, "Wasserstein-2": abs(deviation - 1)}
        want["Hellinger"] = math.sqrt(1 - overlap)
        assert found[name] == pytest.approx(want, rel=1e-13)
    # of second order: tr((Σ⁻¹Δ)²)/4 + δᵀΣ⁻¹δ/2 times the square of the closeness
    inverse = np.linalg.inv([[1, 0.6], [0.6, 2]])
    change, move = inverse @ [[0.5, -0.3], [-0.3, 0.8]], np.array([0.7, -0.4])
    leading = np.trace(change @ change) / 4 + move @ inverse @ move / 2
    assert found["truth at 1e-12"] == pytest.approx(leading * 1e-24, rel=1e-3)  # of rounded sums
    assert found["largest error of gaussian_kl"] < 2e-15
    assert found["error of the textbook's at 1e-12"] > 1e4
    assert found["error of the textbook's at 1e-6"] > 1e-7


def test_families(numbers):
    found = numbers("families")
    with mpmath.workdps(40):
        a, b, c, d = (mpmath.mpf(x) for x in (2.0, 1.0, 2.5, 1.3))
        of_shapes = (a - c) * mpmath.digamma(a) - mpmath.loggamma(a) + mpmath.loggamma(c)
        want = float(of_shapes + c * mpmath.log(b / d) + a * (d - b) / b)
    assert found["closed form"] == pytest.approx(want, rel=1e-14)
    assert found["Bregman of A"] == pytest.approx(want, rel=1e-13)
    value, error = found["quadrature"]
    assert value == pytest.approx(want, rel=1e-13)
    assert error < 1e-13
    value, error = found["samples"]
    assert abs(value - want) < 4 * error
    assert found["gap"] == pytest.approx(4 - 2 * math.log(3), rel=1e-14)
    assert found["largest of the closed form"] < 2e-15
    assert found["errors of Bregman of A"][0] >= 0.1
    assert 1e-9 < found["errors of quadrature"][0] < 0.1
    # The deviation of log p/q is ε/√3, the divergence 3ε²/2: their ratio over √n grows as 1/ε.
    first, _ = found["errors of 100,000 samples"]
    assert first == pytest.approx(1e12 * 2 / math.sqrt(3e5), rel=0.02)


def test_wasted_bits(numbers):
    found = numbers("wasted_bits")
    p = 1 / np.arange(1, 27)
    p /= p.sum()
    entropy = float(-(p * np.log2(p)).sum())
    assert found["entropy"] == pytest.approx(entropy, rel=1e-13)
    assert found["KL where Q = P"] == 0
    assert 0 < found["Huffman where Q = P"] < 0.03
    assert found["KL of equal letters"] == pytest.approx(math.log2(26) - entropy, rel=1e-12)
    assert found["Shannon of equal letters"] == pytest.approx(5 - entropy, rel=1e-12)
    # 26 equal letters: six of 4 bits, twenty of 5; the first by rank are not the short ones
    assert 4 - entropy < found["Huffman of equal letters"] < 5 - entropy
    assert 0 < found["largest Huffman − KL"] < 1


def test_every_example_is_tested_shown_and_explained():
    assert len(NAMES) == 11
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(NAMES) <= tests
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(theory/(\w+)\.png\)", page)) == set(NAMES)
    assert set(re.findall(r"\(\.\./examples/(\w+)\.py\)", page)) == set(NAMES)


def test_as_a_script(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", ["wasted_bits.py", str(tmp_path / "here.png")])
    module = importlib.import_module("wasted_bits")
    module.run("wasted_bits", module.main)
    assert (tmp_path / "here.png").exists()
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[0] == "entropy"
    assert out[-1].endswith("here.png")


def test_page():
    """The page's code prints what the page says."""
    import doctest

    page = ROOT / "docs" / "theory.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.attempted > 15
    assert result.failed == 0
