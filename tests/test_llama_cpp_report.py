"""llama.cpp's own printout of a real pair, figure by figure; and the exact values beside it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastdiv.cli.streams import measure_comparison
from fastdiv.meter_reports import ComparisonReport
from fastdiv.meters import ComparisonMeter

PAIR = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm-pair"
BASE_FILE = PAIR / "base.kld"
BASE = PAIR / "base-logits-f32.npy"
CANDIDATE = PAIR / "candidate-logits-f32.npy"
LABELS = PAIR / "labels.npy"

pytestmark = pytest.mark.skipif(
    not PAIR.is_dir(), reason="../shared/data/llm-pair, a real pair of models, is not here"
)

QUANTILES = {
    "Maximum": "max",
    "99.9%": "p99.9",
    "99.0%": "p99",
    "95.0%": "p95",
    "90.0%": "p90",
    "75.0%": "p75",
    "Median": "median",
    "25.0%": "p25",
    "10.0%": "p10",
    "5.0%": "p5",
    "1.0%": "p1",
    "0.1%": "p0.1",
    "Minimum": "min",
}
NUMBER = r"-?\d+\.\d+"


def printed_figures() -> dict[str, list[str]]:
    """Return {name: [value, uncertainty]} as printed, below the table of chunks."""
    text = (PAIR / "llama-cpp-compare.txt").read_text(encoding="utf-8")
    figures = {}
    for line in text[text.index("=====") :].splitlines():
        if line and not line.startswith("="):
            name, _, values = line.rpartition(":")
            figures[" ".join(name.split())] = re.findall(NUMBER, values)
    return figures


def our_figures(report: ComparisonReport) -> dict[str, list[float]]:
    perplexity, delta_p = report.perplexity, report.delta_p
    assert perplexity is not None
    assert delta_p is not None
    assert delta_p.rms is not None
    figures = {
        "Mean PPL(Q)": list(perplexity.candidate),
        "Mean PPL(base)": list(perplexity.base),
        "Cor(ln(PPL(Q)), ln(PPL(base)))": [perplexity.log_correlation * 100],
        "Mean ln(PPL(Q)/PPL(base))": list(perplexity.log_ratio),
        "Mean PPL(Q)/PPL(base)": list(perplexity.ratio),
        "Mean PPL(Q)-PPL(base)": list(perplexity.difference),
        "Mean KLD": list(report.kl_divergence.mean),
        "Mean Δp": [100 * x for x in delta_p.mean],
        "RMS Δp": [100 * x for x in delta_p.rms],
        "Same top p": [100 * x for x in report.same_top],
    }
    for printed, name in QUANTILES.items():
        figures[f"{printed} Δp"] = [100 * delta_p.quantiles[name]]
        if name in report.kl_divergence.quantiles:
            figures[f"{printed} KLD"] = [report.kl_divergence.quantiles[name]]
    return figures


@pytest.fixture(scope="module")
def llama_cpp_report() -> ComparisonReport:
    meter = measure_comparison(BASE_FILE, CANDIDATE, None, tail="llama.cpp", dtype=None)
    return meter.compute()


@pytest.fixture(scope="module")
def exact_report() -> ComparisonReport:
    return measure_comparison(BASE, CANDIDATE, LABELS, tail=None, dtype=None).compute()


def test_every_printed_figure_is_reproduced(llama_cpp_report: ComparisonReport) -> None:
    printed, ours = printed_figures(), our_figures(llama_cpp_report)
    assert printed.keys() == ours.keys()
    assert sum(map(len, printed.values())) == 43
    wrong = []
    for name, texts in printed.items():
        assert len(texts) == len(ours[name]), name
        for text, value in zip(texts, ours[name], strict=True):
            digits = len(text.partition(".")[2])
            if f"{value:.{digits}f}" != text:
                wrong.append((name, text, value))
    assert not wrong


@pytest.mark.parametrize(
    ("arguments", "rounding"), [([BASE, "--labels", LABELS], 0.0), ([BASE_FILE], 1e-5)]
)
def test_perplexity_of_the_base_alone(arguments: list[str | Path], rounding: float) -> None:
    """llama.cpp printed it from the logits; its file holds them rounded to 16-bit codes."""
    text = (PAIR / "llama-cpp-base-ppl.txt").read_text(encoding="utf-8")
    value, uncertainty = re.findall(rf"PPL = ({NUMBER}) \+/- ({NUMBER})", text)[0]
    command = [sys.executable, "-m", "fastdiv", "perplexity", *arguments, "--json", "-"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    ours = json.loads(done.stdout)["perplexity"]
    assert ours["value"] == pytest.approx(float(value), rel=rounding, abs=0.5e-4)
    assert ours["se"] == pytest.approx(float(uncertainty), rel=rounding, abs=0.5e-5)


@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float64, 1e-9), (np.float32, 1e-7)])
def test_exact_values_from_two_raw_arrays(dtype: type, accuracy: float) -> None:
    """The numbers of the data's README; float32 arrays go through the float32 kernels."""
    meter = ComparisonMeter()
    base, candidate = (np.load(path).astype(dtype) for path in (BASE, CANDIDATE))
    meter.update(base, candidate, np.load(LABELS))
    report = meter.compute()
    assert report.perplexity is not None
    found = {
        "mean KL": report.kl_divergence.mean.value,
        "median": report.kl_divergence.quantiles["median"],
        "min": report.kl_divergence.quantiles["min"],
        "mean reverse KL": report.reverse_kl_divergence.mean.value,
        "mean TV": report.total_variation.mean.value,
        "base perplexity": report.perplexity.base.value,
    }
    expected = {
        "mean KL": 0.28833734757894797,
        "median": 0.21915176810332315,
        "min": 0.00031890745307475046,
        "mean reverse KL": 0.37915935872281,
        "mean TV": 0.24222934247417321,
        "base perplexity": 12.501467682563794,
    }
    assert found == pytest.approx(expected, rel=accuracy, abs=0)


def test_bucket_is_close_below_the_exact_values(exact_report: ComparisonReport) -> None:
    meter = measure_comparison(BASE_FILE, CANDIDATE, None, tail=None, dtype=None)
    report = meter.compute()
    assert report.tail == "bucket"
    assert report.p_tail is not None
    assert 0 < report.p_tail.value < 1e-3
    # The file's codes round every probability by up to 1.3e-4 of itself.
    for name, at_most in (
        ("kl_divergence", 1e-3),
        ("reverse_kl_divergence", 0.03),
        ("js_divergence", 1e-3),
        ("total_variation", 1e-3),
        ("hellinger_distance", 2e-3),
    ):
        bucket, exact = (getattr(r, name).mean.value for r in (report, exact_report))
        assert exact * (1 - at_most) < bucket < exact * (1 + 1e-4), name


def test_labels_of_the_file_are_those_beside_it() -> None:
    given = measure_comparison(BASE_FILE, CANDIDATE, LABELS, tail=None, dtype=None)
    own = measure_comparison(BASE_FILE, CANDIDATE, None, tail=None, dtype=None)
    assert given.to_dict() == own.to_dict()


def test_a_file_compared_with_itself() -> None:
    report = measure_comparison(BASE_FILE, BASE_FILE, None, tail=None, dtype=None).compute()
    assert report.same_top.value == 1.0
    assert report.kl_divergence.quantiles["max"] == 0.0
    assert report.reverse_kl_divergence.quantiles["max"] == 0.0
    assert report.js_divergence.quantiles["max"] == 0.0
    assert report.perplexity is not None
    assert report.perplexity.ratio.value == 1.0


def test_a_file_as_the_candidate() -> None:
    report = measure_comparison(CANDIDATE, BASE_FILE, None, tail=None, dtype=None).to_dict()
    swapped = measure_comparison(BASE_FILE, CANDIDATE, None, tail=None, dtype=None).to_dict()
    for one, other in (
        ("kl_divergence", "reverse_kl_divergence"),
        ("reverse_kl_divergence", "kl_divergence"),
        ("js_divergence", "js_divergence"),
        ("total_variation", "total_variation"),
        ("hellinger_distance", "hellinger_distance"),
    ):
        found, expected = dict(report[one]), dict(swapped[other])  # type: ignore[arg-type]
        assert found.pop("mean") == pytest.approx(expected.pop("mean"), rel=1e-6)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_the_split_into_blocks_changes_no_bit() -> None:
    base, candidate = np.load(BASE)[:40], np.load(CANDIDATE)[:40]
    labels = np.load(LABELS)[:40]
    whole = ComparisonMeter()
    whole.update(base, candidate, labels)
    for size in (1, 7, 39):
        split = ComparisonMeter()
        for start in range(0, 40, size):
            rows = slice(start, start + size)
            split.update(base[rows], candidate[rows], labels[rows])
        assert split.to_dict() == whole.to_dict()
