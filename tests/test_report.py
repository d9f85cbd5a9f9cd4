"""Reports: the numbers in the pictures, what happens to awkward ones, and pages that need nothing.

Numbers are taken out of what matplotlib has drawn and compared with plain Python over the columns.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from mpmath import mp

import fastdiv as fd
from fastdiv.report import Candidate, figures, style, write_report
from fastdiv.report.panels import Panel, panels_of, ranking_of
from fastdiv.report.summaries import (
    histograms_of,
    mean_of,
    paired_difference,
    position_edges,
    quantiles_of,
)

PAIR = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm-pair"
KINDS = ("html", "png", "svg", "pdf")
NAMES = {"base_name": "f16.npy", "title": "A comparison"}


def columns_of(tokens: int, *, seed: int = 1, scale: float = 1.0) -> dict[str, Any]:
    """Every column, of made-up tokens in sequences of 50 and a last one of fewer."""
    rng = np.random.default_rng(seed)
    token = np.arange(tokens)
    same = np.random.default_rng(0)
    nll = same.exponential(2, tokens)
    other = np.abs(nll + rng.normal(0, 0.3, tokens))
    kl = scale * rng.lognormal(-2, 1.5, tokens)
    return {
        "kl": kl,
        "reverse_kl": kl * 1.1,
        "js": kl / 4,
        "tv": np.sqrt(kl / 2),
        "hellinger": np.sqrt(kl / 2),
        "nll_base": nll,
        "nll_candidate": other,
        "delta_p": np.exp(-other) - np.exp(-nll),
        "same_top": rng.random(tokens) < 0.8,
        "entropy_base": nll,
        "entropy_candidate": other,
        "confidence_base": same.beta(1, 0.7, tokens),
        "confidence_candidate": same.beta(1, 0.7, tokens),
        "position": token % 50,
        "sequence": token // 50,
        "row": token,
        "p_tail": np.full(tokens, 0.01),
    }


def report_of(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    meter = fd.ComparisonMeter()
    meter.update(rng.normal(0, 2, (9, 30)), rng.normal(0, 2, (9, 30)), rng.integers(0, 30, 9))
    return dict(meter.to_dict())


def drawn(panel: Panel) -> Axes:
    """Draw a panel on axes of its own, to the end."""
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    panel.draw(axes)
    figure.canvas.draw()
    return axes


def panel_of(key: str, *candidates: Candidate) -> Panel:
    return next(panel for panel in panels_of(candidates) if panel.key == key)


def cluster_error(values: list[float], groups: list[int]) -> float:
    """√(G/(G−1)·Σ(Σ(x−x̄))²)/N in 50 digits."""
    with mp.workdps(50):
        known = [(mp.mpf(x), g) for x, g in zip(values, groups, strict=True) if not math.isnan(x)]
        mean = mp.fsum(x for x, _ in known) / len(known)
        sums: dict[int, Any] = {}
        for x, g in known:
            sums[g] = sums.get(g, mp.mpf(0)) + (x - mean)
        many = len(sums)
        square = mp.mpf(many) / (many - 1) * mp.fsum(s * s for s in sums.values())
        return float(mp.sqrt(square) / len(known))


def bars_of(container: ErrorbarContainer) -> tuple[list[float], list[float], list[float]]:
    """Places, means and errors of a line with error bars."""
    line, _, (bars,) = container.lines
    assert line is not None
    segments = bars.get_segments()
    errors = [float(np.ptp(ends[:, 1])) / 2 if len(ends) else math.nan for ends in segments]
    return list(line.get_xdata()), list(line.get_ydata()), errors  # type: ignore[arg-type]


# ---- numbers ---------------------------------------------------------------------------------


def test_error_of_independent_tokens() -> None:
    values = np.random.default_rng(3).lognormal(0, 2, 77)
    found = mean_of(np.append(values, np.nan))
    assert found.tokens == 77
    assert found.value == pytest.approx(statistics.fmean(values), rel=1e-14)
    assert found.se == pytest.approx(statistics.stdev(values) / math.sqrt(77), rel=1e-13)


def test_error_of_clustered_tokens() -> None:
    rng = np.random.default_rng(4)
    groups = rng.integers(0, 9, 100)
    values = rng.normal(groups, 0.2)
    values[[3, 50]] = np.nan
    found = mean_of(values, groups)
    assert found.se == pytest.approx(cluster_error(values.tolist(), groups.tolist()), rel=1e-12)
    assert found.se > 2 * mean_of(values).se


@pytest.mark.parametrize(
    ("values", "value", "tokens"),
    [([2.0], 2.0, 1), ([], math.nan, 0), ([1, math.inf], math.inf, 2), ([math.nan], math.nan, 0)],
)
def test_means_without_an_error(values: list[float], value: float, tokens: int) -> None:
    found = mean_of(np.array(values, np.float64))
    assert found.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(found.se)
    assert found.tokens == tokens


@given(
    st.lists(
        st.one_of(
            st.floats(0, 1e6, allow_subnormal=True),
            st.sampled_from([0.0, math.inf, math.nan, -1e-9, 5e-324]),
        ),
        min_size=1,
    ),
    st.lists(st.floats(1e-12, 10), min_size=1),
)
def test_a_histogram_loses_no_token(values: list[float], others: list[float]) -> None:
    columns = [np.array(values), np.array(others)]
    for column, found in zip(columns, histograms_of(columns), strict=True):
        kinds = found.counts.sum(), found.zeros, found.negative, found.infinite, found.nan
        assert sum(kinds) == column.size
        assert found.zeros == column.tolist().count(0)
        assert found.infinite == column.tolist().count(math.inf)


def test_bins_are_of_the_logarithm() -> None:
    values = columns_of(400)["kl"]
    (found,) = histograms_of([values])
    for count, (low, high) in zip(found.counts, pairwise(found.edges), strict=True):
        last = high == found.edges[-1]
        inside = [low <= math.log10(x) < high or (last and x == values.max()) for x in values]
        assert abs(sum(inside) - count) <= (1 if last or low == found.edges[0] else 0)


def test_quantiles_are_interpolated_as_numpy_does() -> None:
    values = columns_of(501)["kl"]
    levels = np.linspace(0, 1, 97)
    np.testing.assert_allclose(quantiles_of(values, levels), np.quantile(values, levels), 1e-13)
    assert quantiles_of(np.array([0, np.inf, np.inf]), np.array([0.75])) == np.inf


def test_buckets_of_position_hold_as_many_tokens() -> None:
    few = position_edges([np.array([5.0, 7.0, 7.0])])
    assert few.tolist() == [5, 7]
    many = position_edges([np.arange(1600.0)])
    assert many.tolist() == list(range(0, 1600, 100))


def test_differences_are_of_the_same_rows() -> None:
    left, right = columns_of(100, seed=1), columns_of(100, seed=2)
    order = np.random.default_rng(0).permutation(100)[:80]
    shuffled = {name: np.asarray(column)[order] for name, column in right.items()}
    found = paired_difference(Candidate("b", shuffled), Candidate("a", left))
    assert found is not None
    gaps = [float(right["kl"][row] - left["kl"][row]) for row in sorted(order)]
    assert found.tokens == 80
    assert found.value == pytest.approx(statistics.fmean(gaps), rel=1e-13)
    groups = [int(row) // 50 for row in sorted(order)]
    assert found.se == pytest.approx(cluster_error(gaps, groups), rel=1e-12)


def test_what_cannot_be_paired_is_not() -> None:
    kl = np.array([0.1, 0.2, 0.3])
    assert paired_difference(Candidate("a", {"kl": kl}), Candidate("b", {"kl": kl[:2]})) is None
    bounds = Candidate("c", {"kl_lower": kl, "kl_upper": 2 * kl})
    assert paired_difference(bounds, Candidate("a", {"kl": kl})) is None
    assert paired_difference(Candidate("a", {"kl": kl}), bounds) is None


def test_ranking_goes_from_the_smallest_mean_to_none() -> None:
    given = {"inf": [0.1, math.inf], "best": [0.1, 0.2], "none": [math.nan] * 2, "next": [1, 0.1]}
    order = ranking_of([Candidate(name, {"kl": kl}) for name, kl in given.items()])
    assert [candidate.name for candidate, _, _ in order] == ["best", "next", "inf", "none"]
    assert order[0][2] is None
    gap = order[1][2]
    assert gap is not None
    assert gap.value == pytest.approx((0.9 - 0.1) / 2)


# ---- what is drawn ---------------------------------------------------------------------------


def test_drawn_histogram_has_every_token() -> None:
    columns = columns_of(300)
    columns["kl"][:20] = 0
    columns["kl"][20:25] = np.inf
    columns["kl"][25:28] = np.nan
    panel = panel_of("kld-histogram", Candidate("a", columns))
    axes = drawn(panel)
    steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    bars = [patch for patch in axes.patches if not isinstance(patch, StepPatch)]
    assert {float(np.sum(patch.get_data().values)) for patch in steps} == {272.0}
    assert sorted(bar.get_height() for bar in bars) == [5, 20]  # type: ignore[attr-defined]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert (labels[0], labels[-1]) == ("0", "∞")
    assert panel.note.startswith("300 tokens; 20 exactly 0, 5 infinite, 3 NaN")
    # All of it within the limits.
    low, high = axes.get_xlim()
    assert all(low <= bar.get_x() <= high for bar in bars)  # type: ignore[attr-defined]


def test_drawn_quantiles() -> None:
    columns = columns_of(300)
    (line,) = drawn(panel_of("kld-quantiles", Candidate("a", columns))).lines
    scores, logs = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    for score, log in list(zip(scores, logs, strict=True))[::20]:
        level = statistics.NormalDist().cdf(score)
        assert 10**log == pytest.approx(np.quantile(columns["kl"], level), rel=1e-9)


@pytest.mark.parametrize("sequences", [True, False])
def test_drawn_means_by_confidence(sequences: bool) -> None:
    columns = columns_of(400)
    groups = columns["sequence"].tolist() if sequences else list(range(400))
    if not sequences:
        del columns["sequence"]
    panel = panel_of("by-confidence", Candidate("a", columns))
    (container,) = drawn(panel).containers
    assert isinstance(container, ErrorbarContainer)
    places, means, errors = bars_of(container)
    assert len(places) == 10
    for bucket in range(10):
        inside = [i for i, c in enumerate(columns["confidence_base"]) if int(c * 10) == bucket]
        values = [float(columns["kl"][i]) for i in inside]
        confidence = statistics.fmean(columns["confidence_base"][inside])
        assert places[bucket] == pytest.approx(confidence, rel=1e-12)
        assert means[bucket] == pytest.approx(statistics.fmean(values), rel=1e-12)
        expected = cluster_error(values, [groups[i] for i in inside])
        assert errors[bucket] == pytest.approx(expected, rel=1e-9)
    assert ("clustered by 8 sequences" if sequences else "independent tokens") in panel.note


def test_drawn_means_by_position_and_same_top() -> None:
    columns = columns_of(400)
    columns["position"] = columns["position"] // 5
    candidate = Candidate("a", columns)
    (line,) = drawn(panel_of("by-position", candidate)).containers
    assert isinstance(line, ErrorbarContainer)
    _, means, _ = bars_of(line)
    expected = [columns["kl"][columns["position"] == place].mean() for place in range(10)]
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    (line,) = drawn(panel_of("same-top", candidate)).containers
    assert isinstance(line, ErrorbarContainer)
    _, shares, _ = bars_of(line)
    ten = np.floor(columns["confidence_base"] * 10)
    same = [100 * columns["same_top"][ten == bucket].mean() for bucket in range(10)]
    np.testing.assert_allclose(shares, same, rtol=1e-12)


def test_an_infinite_mean_is_marked() -> None:
    columns = columns_of(100)
    columns["kl"][columns["position"] == 3] = np.inf
    columns["position"] = np.minimum(columns["position"], 5)
    panel = panel_of("by-position", Candidate("a", columns))
    axes = drawn(panel)
    (mark,) = (text for text in axes.texts if text.get_text() == "∞")
    assert mark.get_position()[0] == pytest.approx(3)
    assert "infinite" in panel.note
    (line,) = axes.containers
    assert isinstance(line, ErrorbarContainer)
    assert [math.isnan(mean) for mean in bars_of(line)[1]] == [i == 3 for i in range(6)]


def test_drawn_probabilities() -> None:
    columns = columns_of(200)
    axes = drawn(panel_of("delta-p-0", Candidate("a", columns)))
    (points,) = (part for part in axes.collections if isinstance(part, PathCollection))
    expected = np.stack([np.exp(-columns["nll_base"]), np.exp(-columns["nll_candidate"])], axis=1)
    np.testing.assert_allclose(np.asarray(points.get_offsets()), expected, rtol=1e-14)
    assert not points.get_rasterized()


def test_many_points_are_a_density_of_all_of_them() -> None:
    panel = panel_of("delta-p-0", Candidate("a", columns_of(30_000)))
    axes = drawn(panel)
    (mesh,) = (part for part in axes.collections if isinstance(part, QuadMesh))
    counts = mesh.get_array()
    assert counts is not None
    assert np.ma.filled(np.ma.asarray(counts), 0).sum() == 30_000
    assert mesh.get_rasterized()
    assert len(figures.inline_svg(panel)) < 60_000


def test_note_of_probabilities_is_the_report() -> None:
    columns = columns_of(200)
    change = columns["delta_p"]
    panel = panel_of("delta-p-0", Candidate("a", columns))
    root = math.sqrt(statistics.fmean(x * x for x in change.tolist()))
    words = f"mean Δp {100 * statistics.fmean(change):.3f} %, RMS Δp {100 * root:.3f} %"
    assert words.replace("-", "−") in panel.note


def test_several_candidates_share_one_picture() -> None:
    candidates = [
        Candidate(f"Q{number}", columns_of(200, seed=number, scale=1 / number))
        for number in (1, 2, 3)
    ]
    axes = drawn(panel_of("ranking", *candidates))
    order = [label.get_text() for label in axes.get_yticklabels()]
    assert order == ["Q3", "Q2", "Q1"]
    points = [line for line in axes.lines if line.get_marker() != "None"]
    means = [float(np.asarray(line.get_xdata())[0]) for line in points]
    expected = [c.columns["kl"].mean() for c in candidates[::-1]]  # type: ignore[union-attr]
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    widths = sorted(
        float(np.ptp(np.asarray(line.get_xdata()))) for line in axes.lines if line not in points
    )
    errors = sorted(mean_of(np.asarray(c.columns["kl"]), c.sequence).se for c in candidates)
    expected_widths = sorted([2 * se for se in errors] + [4 * se for se in errors])
    np.testing.assert_allclose(widths, expected_widths, rtol=1e-9)
    gaps = drawn(panel_of("differences", *candidates))
    assert [label.get_text() for label in gaps.get_yticklabels()] == ["Q2", "Q1"]
    assert len(drawn(panel_of("kld-quantiles", *candidates)).lines) == 3
    keys = [panel.key for panel in panels_of(candidates)]
    assert len(set(keys)) == len(keys)


def test_bounds_are_said_and_shaded() -> None:
    columns = columns_of(300)
    lower = columns.pop("kl")
    upper = lower * 2
    upper[:30] = np.inf
    bounded = Candidate("top-k", {**columns, "kl_lower": lower, "kl_upper": upper})
    panel = panel_of("kld-quantiles", bounded)
    axes = drawn(panel)
    assert axes.get_ylabel() == "lower bound of KLD (nats)"
    assert "certified" in panel.note
    (shade,) = axes.collections
    edge = shade.get_paths()[0].vertices
    assert edge[:, 1].max() > axes.get_ylim()[1]
    keys = {panel.key for panel in panels_of([bounded, Candidate("Q", columns_of(300))])}
    assert "ranking" in keys
    assert "differences" not in keys


def test_a_given_band_is_shaded() -> None:
    kl = columns_of(300)["kl"]
    levels = np.array([0.1, 0.5, 0.9])
    middle = np.quantile(kl, levels)
    candidate = Candidate("a", {"kl": kl}, band=(levels, middle / 2, middle * 2))
    (shade,) = drawn(panel_of("kld-quantiles", candidate)).collections
    edge = np.asarray(shade.get_paths()[0].vertices)
    assert edge[:, 1].min() == pytest.approx(math.log10(middle[0] / 2))
    assert edge[:, 1].max() == pytest.approx(math.log10(middle[-1] * 2))


@pytest.mark.parametrize("tokens", [2, 60, 10**6])
def test_labels_do_not_overlap(tokens: int) -> None:
    candidate = Candidate("a", {"kl": columns_of(tokens)["kl"]})
    for panel in panels_of([candidate]):
        figure = Figure(figsize=(5.4, 3.9), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        with figures.styled():
            panel.draw(axes)
            figure.canvas.draw()
            boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        boxes.sort(key=lambda box: box.x0)
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


# ---- what is missing, and what is awkward ----------------------------------------------------

NEEDS = {
    "kld-histogram": {"kl"},
    "kld-quantiles": {"kl"},
    "by-position": {"kl", "position"},
    "by-confidence": {"kl", "confidence_base"},
    "same-top": {"same_top", "confidence_base"},
    "delta-p-0": {"nll_base", "nll_candidate"},
}


@pytest.mark.parametrize("missing", [*columns_of(1), "nothing"])
def test_a_panel_needs_its_columns_and_no_more(missing: str) -> None:
    columns = columns_of(60)
    columns.pop(missing, None)
    keys = {panel.key for panel in panels_of([Candidate("a", columns)])}
    assert keys == {key for key, needed in NEEDS.items() if missing not in needed}


@pytest.mark.parametrize("panels", range(1, 30))
def test_rows_have_no_holes(panels: int) -> None:
    rows = figures._arranged(panels)
    assert sum(rows) == panels
    assert max(rows) <= 3
    assert max(rows) - min(rows) <= 1


AWKWARD = {
    "one token": {name: column[:1] for name, column in columns_of(5).items()},
    "zeros": {**columns_of(60), "kl": np.zeros(60)},
    "infinite": {**columns_of(60), "kl": np.full(60, np.inf)},
    "negative": {**columns_of(60), "kl": np.full(60, -1e-9)},
    "some of each": {**columns_of(6), "kl": [0.0, np.inf, np.nan, -1.0, 1e-300, 1e300]},
    "NaN": {**columns_of(60), "kl": np.full(60, np.nan)},
    "all NaN": {name: np.full(9, np.nan) for name in columns_of(1) if name != "sequence"},
    "empty": {name: column[:0] for name, column in columns_of(5).items()},
    "alike": {**columns_of(60), "kl": np.full(60, 0.25)},
    "integers": {**columns_of(60), "kl": np.arange(60)},
    "impossible labels": {**columns_of(60), "nll_candidate": np.full(60, np.inf)},
}


@pytest.mark.parametrize("columns", AWKWARD.values(), ids=AWKWARD.keys())
def test_awkward_columns(columns: Mapping[str, Any], tmp_path: Path) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    awkward = Candidate("awkward", columns)
    write_report(page, [awkward, Candidate("plain", columns_of(60))], **NAMES)
    assert page.read_text().count("<figure>") >= 6
    if panels_of([awkward]):
        write_report(picture, [awkward], **NAMES)
        assert picture.stat().st_size > 10_000
    else:
        with pytest.raises(ValueError, match="show nothing"):
            write_report(picture, [awkward], **NAMES)
        write_report(page, [awkward], **NAMES)
        assert "<figure>" not in page.read_text()


def test_a_candidate_of_nothing_but_nan_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    broken = Candidate("broken", {"kl": np.full(5, np.nan)})
    write_report(path, [broken, Candidate("Q", columns_of(5))], **NAMES)
    ranking = path.read_text().partition("Ranking")[2].partition("Pictures")[0]
    assert re.search(r"broken</th><td>–</td><td>–</td><td>0</td>", ranking)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"kl": [1.0, 2.0], "js": [1.0]}, "columns differ in length: kl 2, js 1"),
        ({"kl": [[1.0, 2.0]]}, r"column 'kl' has shape \(1, 2\)"),
    ],
)
def test_columns_are_of_the_same_tokens(columns: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Candidate("a", columns)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"path": "a.gif"}, r"path ends in '\.gif'; it takes one of \.png"),
        ({"candidates": []}, "candidates is empty"),
        ({"reports": []}, "0 reports for 1 candidates"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = tmp_path / arguments.pop("path", "a.html")
    candidates = arguments.pop("candidates", [Candidate("a", columns_of(9))])
    with pytest.raises(ValueError, match=told):
        write_report(path, candidates, **NAMES, **arguments)
    assert not list(tmp_path.iterdir())


# ---- the page --------------------------------------------------------------------------------

HOSTILE = [
    '<script>alert("1")</script>',
    '" onload="alert(1)" x="',
    "' & &lt; <!-- ]]> </style></svg>",
    "caf\udce9\x00\n\x1b[31m",
    "_hidden $x_{1$ %s {0} \\alpha",
    "中文 🦙",
]


class Page(HTMLParser):
    """What a browser sees: elements in their order, checked for nesting, and text."""

    VOID = frozenset({"meta", "br", "circle", "path", "use", "image", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def attributes(self) -> Iterator[tuple[str, str]]:
        for _, attributes in self.elements:
            for name, value in attributes.items():
                yield name, value or ""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "a.html"
    candidates = [
        Candidate(name, columns_of(2000, seed=number)) for number, name in enumerate(HOSTILE)
    ]
    write_report(
        path,
        candidates,
        base_name=HOSTILE[0],
        title=HOSTILE[1],
        reports=[{**report_of(n), HOSTILE[2]: HOSTILE[0]} for n, _ in enumerate(candidates)],
        command=f"fastdiv compare {HOSTILE[2]}",
        context=[{name: name for name in HOSTILE}, {"text": (HOSTILE[0], "<b>", "\n")}],
    )
    return path.read_bytes().decode()


def test_names_are_text_and_nothing_else(hostile: str) -> None:
    page = Page(hostile)
    tags = Counter(tag for tag, _ in page.elements)
    assert not tags.keys() & {"script", "iframe", "object", "embed", "link", "base", "b", "form"}
    assert not [name for name, _ in page.attributes() if name.startswith("on")]
    words = "".join(page.words)
    for name in HOSTILE:
        assert style.printable(name) in words
    assert "\x00" not in hostile
    assert "\x1b" not in hostile
    assert "<mark>&lt;b&gt;</mark>" in hostile


def test_a_page_reads_nothing_from_elsewhere(hostile: str) -> None:
    assert "http" not in hostile
    plain = re.sub(r"data:image/png;base64,[\w+/=\s]+", "", hostile)
    assert not re.search(r"@import|url\((?!#)|//[a-z]", plain)
    page = Page(hostile)
    names = {name for name, _ in page.attributes()}
    assert not names & {"src", "srcset", "action", "data", "background", "ping"}
    places = [value for name, value in page.attributes() if name.endswith("href")]
    assert places
    assert all(place.startswith(("#", "data:image/png;base64,")) for place in places)


def test_identifiers_are_unique_and_found(hostile: str) -> None:
    page = Page(hostile)
    known = Counter(value for name, value in page.attributes() if name == "id")
    assert known
    assert max(known.values()) == 1
    sought = {value[1:] for name, value in page.attributes() if re.fullmatch("(xlink:)?href", name)}
    sought = {name for name in sought if not name.startswith("ata:")}
    sought |= set(re.findall(r"url\(#([^)]+)\)", hostile))
    assert sought <= known.keys()


def test_a_page_is_accessible(hostile: str) -> None:
    page = Page(hostile)
    assert dict(page.elements)["html"] == {"lang": "en"}
    assert any(attributes.get("name") == "viewport" for _, attributes in page.elements)
    drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
    for attributes in drawings:
        assert attributes.get("aria-hidden") == "true" or (
            attributes.get("role") == "img" and len(attributes.get("aria-label") or "") > 30
        )
    assert all(a.get("scope") in ("row", "col") for tag, a in page.elements if tag == "th")
    assert [tag for tag, _ in page.elements].count("h1") == 1
    for word in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert word in hostile


def test_colours_stand_out_from_both_papers() -> None:
    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted([luminance(one), luminance(other)])
        return (high + 0.05) / (low + 0.05)

    for name, pair in style.CSS_COLOURS.items():
        for colour, paper in zip(pair, style.CSS_COLOURS["paper"], strict=True):
            least = {"ink": 7.0, "muted": 4.5, "rule": 1.0, "paper": 1.0}.get(name, 3.0)
            assert contrast(colour, paper) >= least, name
    # Lines without marks are told apart too.
    looks = [style.look_of(place) for place in range(24)]
    assert len({(look.colour, look.dashes) for look in looks}) == 24


LLAMA_CPP = """Mean PPL(Q)|Mean PPL(base)|Cor(ln(PPL(Q)), ln(PPL(base)))|Mean ln(PPL(Q)/PPL(base))
Mean PPL(Q)/PPL(base)|Mean PPL(Q)-PPL(base)|Mean KLD|Maximum KLD|99.9% KLD|99.0% KLD|95.0% KLD
90.0% KLD|Median KLD|10.0% KLD|5.0% KLD|1.0% KLD|0.1% KLD|Minimum KLD|Mean Δp|Maximum Δp|99.9% Δp
99.0% Δp|95.0% Δp|90.0% Δp|75.0% Δp|Median Δp|25.0% Δp|10.0% Δp|5.0% Δp|1.0% Δp|0.1% Δp|Minimum Δp
RMS Δp|Same top p""".replace("\n", "|").split("|")


def rows_of(page: str) -> dict[str, list[str]]:
    import html

    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
    return {
        html.unescape(name): [html.unescape(cell) for cell in re.findall("<td>(.*?)</td>", cells)]
        for name, cells in rows
    }


def test_tables_have_the_names_of_llama_cpp(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    reports = [report_of(1), report_of(2)]
    candidates = [Candidate(name, {"kl": [0.1]}) for name in "ab"]
    write_report(path, candidates, **NAMES, reports=reports)
    rows = rows_of(path.read_text())
    assert set(LLAMA_CPP) <= rows.keys()
    for place, report in enumerate(reports):
        mean = report["kl_divergence"]["mean"]
        assert rows["Mean KLD"][place] == f"{mean['value']:.6f} ± {mean['se']:.6f}"
        assert rows["95.0% Δp"][place] == f"{100 * report['delta_p']['p95']:.3f} %"
        same = report["same_top"]
        told = f"{100 * same['value']:.3f} ± {100 * same['se']:.3f} %"
        assert rows["Same top p"][place] == told
        assert rows["vocab"][place] == "30"


def test_tables_drop_nothing_of_a_report(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    report = {
        "tokens": 1234,
        "kl_divergence": {
            "mean": {"value": "Infinity", "se": None},
            "p99": {"value": 0.5, "low": 0.25, "high": 1},
            "median_interval": [0.125, 0.25],
        },
        "delta_p": None,
        "clusters": {"by": "sequence", "number": 7},
    }
    write_report(path, [Candidate("a", {})], **NAMES, reports=[report])
    rows = rows_of(path.read_text())
    assert rows == {
        "Mean KLD": ["∞"],
        "99.0% KLD": ["0.500000, low 0.250000, high 1"],
        "median interval": ["0.125000, 0.250000"],
        "tokens": ["1,234"],
        "clusters, by": ["sequence"],
        "clusters, number": ["7"],
    }


@pytest.mark.skipif(not PAIR.is_dir(), reason="../shared/data/llm-pair is not here")
def test_a_real_pair(tmp_path: Path) -> None:
    base, candidate = (np.load(PAIR / f"{name}-logits-f32.npy") for name in ("base", "candidate"))
    labels = np.load(PAIR / "labels.npy")
    found = fd.compare_logits(base, candidate, labels)
    meter = fd.ComparisonMeter()
    meter.update(base, candidate, labels)
    path = tmp_path / "a.html"
    one = Candidate("Q3_K_S", {k: x for k, x in found._asdict().items() if x is not None})
    write_report(path, [one], **NAMES, reports=[meter.to_dict()])
    page = path.read_text()
    assert rows_of(page)["Mean KLD"][0].startswith("0.288337 ± ")
    assert rows_of(page)["Mean PPL(base)"][0].startswith("12.501468 ± ")
    # As llama.cpp printed it: Mean Δp, RMS Δp.
    assert "mean Δp −5.142 %, RMS Δp 13.763 %" in page
    assert "median 0.2192" in page


# ---- files -----------------------------------------------------------------------------------

_DIGESTS = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_report import HOSTILE, KINDS, columns_of, report_of
from fastdiv.report import Candidate, write_report
names = HOSTILE[:2]
for kind in KINDS:
    path = Path(sys.argv[1], f"a.{kind}")
    candidates = [Candidate(name, columns_of(6000, seed=i)) for i, name in enumerate(names)]
    reports = [report_of(i) for i, _ in enumerate(names)]
    write_report(path, candidates, base_name="b", title="t", reports=reports)
    print(kind, hashlib.sha256(path.read_bytes()).hexdigest())
assert "matplotlib.pyplot" not in sys.modules
"""


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", _DIGESTS, str(tmp_path), str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "MPLBACKEND": "svg"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    ]
    assert told[0] == told[1]
    assert told[0].count("\n") == len(KINDS)


def test_settings_of_others_neither_matter_nor_change(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    candidates = [Candidate("a", columns_of(50))]

    def digest() -> str:
        write_report(path, candidates, **NAMES)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    expected = digest()
    theirs = {"font.size": 30.0, "axes.grid": False, "svg.fonttype": "none", "text.usetex": True}
    with mpl.rc_context(theirs):
        before = dict(mpl.rcParams)
        assert digest() == expected
        assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_appears_whole_or_not_at_all(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_report(path, [Candidate("a", columns_of(9))], **NAMES)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"
    write_report(path, [Candidate("a", columns_of(9))], **NAMES)
    assert path.read_bytes() != b"before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_links_and_rights_are_those_of_any_file(tmp_path: Path) -> None:
    place, link = tmp_path / "real.html", tmp_path / "link.html"
    link.symlink_to(place)
    mask = os.umask(0o027)
    try:
        write_report(link, [Candidate("a", columns_of(9))], **NAMES)
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert place.stat().st_mode & 0o777 == 0o640


def test_no_folder_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "none" / "a.png", [Candidate("a", columns_of(9))], **NAMES)


@pytest.mark.parametrize(
    ("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_pictures_of_hostile_names(kind: str, magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind.upper()}"
    candidates = [Candidate(name * 5, columns_of(50, seed=n)) for n, name in enumerate(HOSTILE)]
    write_report(path, candidates, base_name=HOSTILE[3], title="$" + HOSTILE[4] * 20)
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("kind", KINDS)
def test_without_matplotlib(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "fastdiv\[plot\]"'):
        write_report(tmp_path / f"a.{kind}", [Candidate("a", columns_of(9))], **NAMES)
    assert not list(tmp_path.iterdir())


def test_importing_the_package_imports_no_matplotlib() -> None:
    asked = "import sys, fastdiv.report; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", asked], check=True)
