"""The test cases that peers publish, and the page on accuracy beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import scipy

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import accuracy_vs_peers  # noqa: E402
import peers_own_cases  # noqa: E402


@pytest.mark.skipif(
    not (Path(scipy.__file__).parent / "stats" / "tests").exists(),
    reason="this SciPy comes without its tests",
)
def test_cases_of_scipy(tmp_path):
    """Its own test modules, in a process of their own: they replace SciPy's functions."""
    script, kept = BENCHMARKS / "peers_own_cases.py", tmp_path / "outcomes.json"
    done = subprocess.run(
        [sys.executable, str(script), "--only", "SciPy", "--json", str(kept)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads(kept.read_text())
    agree = {o["name"] for o in outcomes if o["agrees"]}
    for case in (
        "test_rel_entr",
        "test_kl_div",
        "TestEntropy::test_entropy_2d_zero",
        "::test_jensenshannon",
        "TestWassersteinDistance::test_collapse",
    ):
        assert any(case in name for name in agree), case
    assert len(agree) > 3 * (len(outcomes) - len(agree))


def test_cases_of_torchmetrics():
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    outcomes = peers_own_cases.torchmetrics_cases()
    assert not peers_own_cases.wrong(outcomes)
    # No excuse stands for a number that is published.
    assert not [o for o in outcomes if peers_own_cases.PUBLISHED in o["name"] and not o["agrees"]]


def test_a_difference_needs_a_reason_and_a_reason_a_difference():
    def outcome(name, agrees):
        return {"package": "SciPy", "name": name, "agrees": agrees, "said": "1, not 2"}

    listed, other = "special/tests/test_basic.py::test_entr", "special/tests/test_basic.py::test_x"
    assert peers_own_cases.wrong([outcome(listed, False), outcome(other, True)]) == []
    assert peers_own_cases.wrong([outcome(other, False)]) == [f"{other}: 1, not 2"]
    assert peers_own_cases.wrong([outcome(listed, True)])
    assert not peers_own_cases.reason(f"{listed}opy")


def test_the_accuracy_page_is_written_by_its_run(monkeypatch, tmp_path):
    monkeypatch.setattr(accuracy_vs_peers, "ROWS", {100: 1})
    monkeypatch.setattr(accuracy_vs_peers, "PERTURBATIONS", [1.0, 1e-6])
    report = json.loads(json.dumps(accuracy_vs_peers.measure()))
    asked = {(cell["question"], cell["dtype"]) for cell in report["grid"]}
    assert len(asked) == len(accuracy_vs_peers.QUESTIONS) * len(accuracy_vs_peers.SMALLEST) == 24
    for masked in (s for s in report["special"] if "−∞" in s["case"]):
        error = masked["answers"]["fastdiv"][1]
        assert error <= (1e-13 if masked["dtype"] == "float64" else 1e-6), masked
    for cell in report["grid"]:
        if cell["question"] != accuracy_vs_peers.LITERAL:
            bound = 1e-14 if cell["dtype"] == "float64" else 1e-6
            assert cell["errors"]["fastdiv"] <= bound, cell
    # The textbook's line has no digit left where fastdiv has all.
    (close,) = [
        cell
        for cell in report["grid"]
        if (cell["question"], cell["dtype"]) == (accuracy_vs_peers.KL, "float32")
        and cell["epsilon"] == 1e-6
    ]
    assert close["errors"]["NumPy"] > 1
    page = accuracy_vs_peers.page(report)
    assert "Jensen-Shannon from logits, bfloat16" in page
    for question in accuracy_vs_peers.QUESTIONS:
        assert f"{question[1:]}, float64, rows of 100" in page
    accuracy_vs_peers.picture(report, tmp_path / "accuracy.png")
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")
