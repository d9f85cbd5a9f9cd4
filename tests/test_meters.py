"""Meters against formulas written down once more, in mpmath; and the same bits for any split."""

import hashlib
import itertools
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdiv as fd
from fastdiv import tails, uncertainty
from fastdiv.columns import pack, unpack
from fastdiv.meter_reports import InvalidRows
from fastdiv.meters import ComparisonMeter, PerplexityMeter, compare_candidates
from fastdiv.tokens import LogitComparison

mp.mp.dps = 50
RNG = np.random.default_rng(11)
DIVERGENCES = {
    "kl": "kl_divergence",
    "reverse_kl": "reverse_kl_divergence",
    "js": "js_divergence",
    "tv": "total_variation",
    "hellinger": "hellinger_distance",
}
LEVELS = {
    "max": "1",
    "p99.9": "0.999",
    "p99": "0.99",
    "p95": "0.95",
    "p90": "0.9",
    "p75": "0.75",
    "median": "0.5",
    "p25": "0.25",
    "p10": "0.1",
    "p5": "0.05",
    "p1": "0.01",
    "p0.1": "0.001",
    "min": "0",
}


def columns(n: int, seed: int = 0) -> LogitComparison:
    rng = np.random.default_rng(seed)
    nll_base = rng.exponential(2.0, n)
    nll_candidate = np.abs(nll_base + rng.normal(0, 0.3, n))
    return LogitComparison(
        *rng.exponential(0.1, (5, n)),
        nll_base=nll_base,
        nll_candidate=nll_candidate,
        delta_p=np.exp(-nll_candidate) - np.exp(-nll_base),
        same_top=rng.random(n) < 0.8,
    )


def meter_of(found: LogitComparison, **options: Any) -> ComparisonMeter:
    meter = ComparisonMeter()
    meter.update_columns(found, vocab=10, **options)
    return meter


def exact(values: Any) -> list[mp.mpf]:
    return [mp.mpf(float(v)) for v in values]


def mean(values: list[mp.mpf]) -> mp.mpf:
    return mp.fsum(values) / len(values)


def covariance(x: list[mp.mpf], y: list[mp.mpf]) -> mp.mpf:
    """llama.cpp's: of the means, from raw moments."""
    n = len(x)
    moment = mp.fsum(a * b for a, b in zip(x, y, strict=True)) / n
    return (moment - mean(x) * mean(y)) / (n - 1)


def se(values: list[mp.mpf]) -> mp.mpf:
    return mp.sqrt(covariance(values, values))


def quantile(values: list[mp.mpf], level: str) -> mp.mpf:
    ordered = sorted(values)
    place = mp.mpf(level) * (len(ordered) - 1)
    below = int(mp.floor(place))
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def assert_close(value: float, expected: mp.mpf) -> None:
    assert value == pytest.approx(float(expected), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("n", [2, 3, 126, 1001])
def test_every_statistic_of_a_comparison(n: int) -> None:
    found = columns(n)
    report = meter_of(found).compute()
    assert (report.tokens, report.vocab, report.tail) == (n, 10, "none")
    assert report.invalid == InvalidRows(0, ())

    q, b = exact(found.nll_candidate), exact(found.nll_base)
    ppl_q, ppl_b = mp.exp(mean(q)), mp.exp(mean(b))
    cov, u_q, u_b = covariance(q, b), ppl_q * se(q), ppl_b * se(b)
    paired = mp.sqrt(se(q) ** 2 + se(b) ** 2 - 2 * cov)
    ratio = mp.exp(mean(q) - mean(b))
    perplexity = report.perplexity
    assert perplexity is not None
    for estimate, value, error in (
        (perplexity.candidate, ppl_q, u_q),
        (perplexity.base, ppl_b, u_b),
        (perplexity.log_ratio, mean(q) - mean(b), paired),
        (perplexity.ratio, ratio, ratio * paired),
        (
            perplexity.difference,
            ppl_q - ppl_b,
            mp.sqrt(u_q**2 + u_b**2 - 2 * ppl_q * ppl_b * cov),
        ),
    ):
        assert_close(estimate.value, value)
        assert_close(estimate.se, error)
    assert_close(perplexity.log_correlation, cov / (se(q) * se(b)))

    for column, name in DIVERGENCES.items():
        values, distribution = exact(getattr(found, column)), getattr(report, name)
        assert_close(distribution.mean.value, mean(values))
        assert_close(distribution.mean.se, se(values))
        assert distribution.rms is None
        assert distribution.quantiles.keys() == LEVELS.keys() - {"p75", "p25"}
        for level, value in distribution.quantiles.items():
            assert_close(value, quantile(values, LEVELS[level]))

    changes, delta_p = exact(found.delta_p), report.delta_p
    squares = [x * x for x in changes]
    assert delta_p is not None
    assert delta_p.rms is not None
    assert_close(delta_p.mean.value, mean(changes))
    assert_close(delta_p.mean.se, se(changes))
    assert_close(delta_p.rms.value, mp.sqrt(mean(squares)))
    assert_close(delta_p.rms.se, se(squares) / (2 * mp.sqrt(mean(squares))))
    assert delta_p.quantiles.keys() == LEVELS.keys()
    for level, value in delta_p.quantiles.items():
        assert_close(value, quantile(changes, LEVELS[level]))

    share = mean(exact(found.same_top))
    assert_close(report.same_top.value, share)
    assert_close(report.same_top.se, mp.sqrt(share * (1 - share) / (n - 1)))


def test_every_statistic_of_one_model() -> None:
    nll = RNG.exponential(3.0, 500)
    meter = PerplexityMeter()
    meter.update_columns(nll, vocab=7)
    report = meter.compute()
    values = exact(nll)
    assert (report.tokens, report.vocab) == (500, 7)
    assert_close(report.nll.value, mean(values))
    assert_close(report.nll.se, se(values))
    assert_close(report.perplexity.value, mp.exp(mean(values)))
    assert_close(report.perplexity.se, mp.exp(mean(values)) * se(values))
    assert_close(report.bits_per_token, mean(values) / mp.log(2))


def test_standard_errors_keep_their_digits() -> None:
    """The raw moments of these cancel to nothing in float64."""
    nll = 1e8 + np.arange(10.0) * 1e-6
    meter = PerplexityMeter()
    meter.update_columns(nll, vocab=7)
    assert meter.compute().nll.se == pytest.approx(float(se(exact(nll))), rel=1e-6)


def test_logits_go_through_the_public_functions() -> None:
    base, candidate = RNG.normal(size=(2, 3, 4, 9))
    labels = RNG.integers(0, 9, (3, 4))
    meter = ComparisonMeter()
    meter.update(base, candidate, labels)
    found = fd.compare_logits(base, candidate, labels)
    assert meter.vocab == 9
    assert meter.tokens == 12
    for name, column in found._asdict().items():
        if column is None:
            continue
        assert meter.column(name).tolist() == np.ravel(column).tolist()
    single = PerplexityMeter()
    single.update(base, labels)
    assert single.column("nll").tolist() == fd.token_nll(base, labels).ravel().tolist()
    assert single.compute().perplexity.value == pytest.approx(fd.perplexity(base, labels))


def test_ignored_rows_are_in_no_statistic() -> None:
    base, candidate = RNG.normal(size=(2, 6, 9))
    labels = np.array([1, -100, 3, -100, 5, 6])
    kept = labels != -100
    meter, other = ComparisonMeter(), ComparisonMeter()
    meter.update(base, candidate, labels)
    other.update(base[kept], candidate[kept], labels[kept])
    assert meter.to_dict() == other.to_dict()
    one, two = PerplexityMeter(ignore_index=77), PerplexityMeter()
    one.update(base, np.where(kept, labels, 77))
    two.update(base[kept], labels[kept])
    assert one.to_dict() == two.to_dict()


@pytest.mark.parametrize("ignored", [None, np.int64(77), np.uint8(77)])
def test_what_is_ignored_is_saved(ignored: Any) -> None:
    base, labels = RNG.normal(size=(6, 9)), np.array([1, 0, 3, 0, 5, 6])
    meter, other = PerplexityMeter(ignore_index=ignored, vocab_size=np.int64(9)), PerplexityMeter()
    again = PerplexityMeter.from_state(meter.state())
    for each in (meter, again, other):
        each.update(base, labels)
    assert meter.tokens == 6
    assert meter.to_dict() == again.to_dict() == other.to_dict()
    with pytest.raises(IndexError):
        again.update(base, np.full(6, -100))


def test_padding_is_no_vocabulary() -> None:
    base, candidate = RNG.normal(size=(2, 6, 9))
    labels = np.arange(6)
    meter, other = ComparisonMeter(vocab_size=7), ComparisonMeter()
    meter.update(base, candidate, labels)
    other.update(base[:, :7].copy(), candidate[:, :7].copy(), labels)
    assert meter.vocab == 7
    assert meter.to_dict() == other.to_dict()


def test_bfloat16_bits() -> None:
    bits = RNG.integers(0x3F00, 0x4000, (2, 6, 9), dtype=np.uint16)
    wide = (bits.astype(np.uint32) << 16).view(np.float32)
    meter, other = ComparisonMeter(dtype="bfloat16"), ComparisonMeter()
    meter.update(*bits)
    other.update(*wide)
    assert meter.compute().kl_divergence.mean.value == pytest.approx(
        other.compute().kl_divergence.mean.value, rel=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=8), merged=st.booleans())
def test_no_split_and_no_merge_changes_a_bit(cuts: list[int], merged: bool) -> None:
    found = columns(40)
    whole = meter_of(found)
    parts = ComparisonMeter()
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 40], strict=True):
        some = piece(found, start, stop)
        if merged:
            parts.merge(meter_of(some))
        else:
            parts.update_columns(some, vocab=10)
    assert parts.to_dict() == whole.to_dict()
    assert parts.compute() == whole.compute()


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(range(30)))
def test_no_order_changes_a_bit(order: list[int]) -> None:
    found = columns(30)
    shuffled = LogitComparison(*(None if c is None else c[order] for c in found))
    assert meter_of(shuffled).to_dict() == meter_of(found).to_dict()


def test_merge_returns_itself_and_leaves_the_other() -> None:
    a, b = meter_of(columns(5, 1)), meter_of(columns(7, 2))
    before = b.to_dict()
    assert a.merge(b) is a
    assert (a.tokens, b.tokens) == (12, 7)
    assert b.to_dict() == before
    a.merge(a)
    assert a.tokens == 24


def test_merge_with_an_empty_meter() -> None:
    full = meter_of(columns(5))
    assert ComparisonMeter().merge(full).to_dict() == full.to_dict()
    assert full.merge(ComparisonMeter()).tokens == 5


@pytest.mark.parametrize("meter", [ComparisonMeter(), meter_of(columns(9)), PerplexityMeter()])
def test_pickle(meter: ComparisonMeter | PerplexityMeter) -> None:
    again = pickle.loads(pickle.dumps(meter))
    assert type(again) is type(meter)
    assert again.to_dict() == meter.to_dict()
    assert again.merge(meter).tokens == 2 * meter.tokens


def test_a_meter_keeps_no_reference_to_its_arguments() -> None:
    nll = np.ones(3)
    meter = PerplexityMeter()
    meter.update_columns(nll, vocab=7)
    nll[:] = 99
    assert meter.compute().nll.value == 1.0


def test_what_does_not_belong_together() -> None:
    meter = meter_of(columns(5))
    with pytest.raises(ValueError, match="vocabulary of 11 after one of 10"):
        meter.update_columns(columns(5), vocab=11)
    with pytest.raises(ValueError, match="labels must be given in every update or in none"):
        meter.update(np.zeros((2, 10)), np.zeros((2, 10)))
    other = ComparisonMeter()
    other.update(np.zeros((2, 10)), np.zeros((2, 10)))
    with pytest.raises(ValueError, match="only one of the two has labels"):
        meter.merge(other)
    with pytest.raises(ValueError, match="tail 'bucket' into one of 'none'"):
        meter.merge(ComparisonMeter(tail="bucket"))
    with pytest.raises(TypeError, match="not PerplexityMeter"):
        meter.merge(PerplexityMeter())  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        meter.update(np.zeros((2, 10)), np.zeros((2, 10)), [0, 10])
    assert meter.tokens == 5


def test_no_tokens() -> None:
    nothing = {"value": None, "se": None}
    report = PerplexityMeter().to_dict()
    for name, value in {"tokens": 0, "vocab": None, "nll": nothing, "perplexity": nothing}.items():
        assert report[name] == value
    assert report["bits_per_token"] is None
    for meter in (ComparisonMeter(), meter_of(columns(3), counted=[False] * 3)):
        empty = meter.to_dict()
        assert empty["tokens"] == 0
        limits = empty.pop("intervals")
        for option in ("confidence", "temperature", "weight"):
            empty.pop(option)
        assert set(numbers(empty)) <= {0, 10, None}
        # Of no token, a quantile may be anything that it can be at all.
        assert limits["total_variation"]["median"] == {"lower": 0, "upper": 1}  # type: ignore[index,call-overload]
        assert limits["kl_divergence"]["mean"] == {"lower": None, "upper": None}  # type: ignore[index,call-overload]


def numbers(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for name, branch in tree.items() if name != "tail" for leaf in numbers(branch)]
    if isinstance(tree, list):
        return [leaf for branch in tree for leaf in numbers(branch)]
    return [tree]


def test_one_token_has_no_standard_error() -> None:
    report = meter_of(columns(1)).to_dict()
    assert report["same_top"]["se"] is None  # type: ignore[index,call-overload]
    assert report["perplexity"]["log_correlation"] is None  # type: ignore[index,call-overload]
    for name in DIVERGENCES.values():
        found = dict(report[name])  # type: ignore[arg-type]
        average = found.pop("mean")
        assert average["se"] is None
        assert set(found.values()) == {average["value"]}
    perplexity = report["perplexity"]
    assert all(v["se"] is None for v in perplexity.values() if v)  # type: ignore[union-attr,index]


def test_equal_models() -> None:
    base = RNG.normal(size=(5, 9))
    meter = ComparisonMeter()
    meter.update(base, base, [0, 1, 2, 3, 4])
    report = meter.compute()
    assert report.perplexity is not None
    assert report.delta_p is not None
    assert report.delta_p.rms is not None
    assert report.perplexity.log_correlation == pytest.approx(1.0)
    assert report.perplexity.ratio == (1.0, 0.0)
    assert report.perplexity.difference == (0.0, 0.0)
    assert report.delta_p.rms.value == 0.0
    assert math.isnan(report.delta_p.rms.se)
    assert report.same_top == (1.0, 0.0)


def test_no_spread_has_no_correlation() -> None:
    found = columns(4)._replace(nll_base=np.full(4, 2.0), nll_candidate=np.full(4, 2.5))
    report = meter_of(found).to_dict()
    assert report["perplexity"]["log_correlation"] is None  # type: ignore[index,call-overload]
    assert report["perplexity"]["log_ratio"] == {"value": 0.5, "se": 0.0}  # type: ignore[index,call-overload]


def test_infinite_divergence() -> None:
    kl = np.array([1.0, np.inf, 2.0, np.inf, 3.0])
    report = meter_of(columns(5)._replace(kl=kl)).to_dict()["kl_divergence"]
    assert isinstance(report, dict)
    assert report["mean"] == {"value": "Infinity", "se": None}
    assert report["max"] == report["p99"] == report["p90"] == "Infinity"
    assert (report["median"], report["min"]) == (3.0, 1.0)
    half = meter_of(columns(4)._replace(kl=np.array([0.0, 1.0, np.inf, np.inf]))).compute()
    assert half.kl_divergence.quantiles["median"] == math.inf


def test_infinite_nll() -> None:
    found = columns(3)
    found = found._replace(
        nll_base=np.array([1.0, np.inf, 2.0]), nll_candidate=np.array([1.0, 1.0, 2.0])
    )
    report = meter_of(found).to_dict()["perplexity"]
    assert isinstance(report, dict)
    assert report["base"] == {"value": "Infinity", "se": None}
    assert report["log_ratio"] == {"value": "-Infinity", "se": None}
    assert report["ratio"] == {"value": 0.0, "se": None}
    assert report["difference"] == {"value": "-Infinity", "se": None}
    assert report["log_correlation"] is None


def test_perplexity_beyond_the_largest_float() -> None:
    meter = PerplexityMeter()
    meter.update_columns([1000.0, 1000.0], vocab=7)
    assert meter.to_dict()["perplexity"] == {"value": "Infinity", "se": None}
    meter.update_columns([1.7e308, 1.7e308, 1.7e308], vocab=7)
    assert meter.to_dict()["nll"] == {"value": "Infinity", "se": None}


def test_nan_rows_are_named_and_never_dropped() -> None:
    base = RNG.normal(size=(8, 9))
    base[[2, 6], 4] = np.nan
    meter, second = ComparisonMeter(), ComparisonMeter()
    with np.errstate(invalid="ignore"):
        meter.update(base[:5], RNG.normal(size=(5, 9)))
        second.update(base[5:], RNG.normal(size=(3, 9)))
    report = meter.merge(second).compute()
    assert meter.nan_rows == (2, 6)
    assert report.invalid == InvalidRows(2, (2, 6))
    assert report.tokens == meter.tokens == 6
    assert len(meter.column("kl")) == meter.rows == 8
    assert np.isnan(meter.column("kl")[[2, 6]]).all()
    kept = meter.column("kl")[[0, 1, 3, 4, 5, 7]]
    assert_close(report.kl_divergence.mean.value, mean(exact(kept)))
    assert_close(report.kl_divergence.quantiles["median"], quantile(exact(kept), "0.5"))
    found = report.to_dict()
    assert found["invalid"] == {"count": 2, "rows": [2, 6]}
    assert json.loads(json.dumps(found, allow_nan=False))["tokens"] == 6


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_every_kind_of_invalid_row(value: float, which: int) -> None:
    both = RNG.normal(size=(2, 5, 9))
    both[which, 3] = value
    meter, clean = ComparisonMeter(), ComparisonMeter()
    with np.errstate(invalid="ignore"):
        meter.update(*both, [1] * 5)
    clean.update(*np.delete(both, 3, axis=1), [1] * 4)
    found, expected = meter.to_dict(), clean.to_dict()
    assert found.pop("invalid") == {"count": 1, "rows": [3]}
    assert expected.pop("invalid") == {"count": 0, "rows": []}
    assert found == expected


def test_only_the_first_invalid_rows_are_named() -> None:
    meter = PerplexityMeter()
    meter.update_columns([1.0, *[math.nan] * 250, 2.0], vocab=7)
    report = meter.compute()
    assert report.invalid == InvalidRows(250, tuple(range(1, 101)))
    assert (report.tokens, report.nll.value) == (2, 1.5)


def test_nan_rows_count_ignored_ones_but_do_not_list_them() -> None:
    meter = PerplexityMeter()
    nll = [1.0, math.nan, math.nan, 2.0]
    meter.update_columns(nll, vocab=7, counted=[True, False, True, True])
    meter.update_columns([math.nan], vocab=7)
    assert meter.nan_rows == (2, 4)
    assert meter.tokens == 2


def test_the_schema_of_a_comparison() -> None:
    estimate = {"value", "se"}
    report = meter_of(columns(9)).to_dict()
    assert list(report) == [
        "tokens",
        "vocab",
        "tail",
        "perplexity",
        *DIVERGENCES.values(),
        "delta_p",
        "same_top",
        "invalid",
        "confidence",
        "intervals",
        "sequences",
        "buckets",
        "temperature",
        "weight",
    ]
    divergence = ["mean", *(level for level in LEVELS if level not in ("p75", "p25"))]
    for name in DIVERGENCES.values():
        assert list(report[name]) == divergence  # type: ignore[arg-type]
    assert list(report["delta_p"]) == ["mean", "rms", *LEVELS]  # type: ignore[arg-type]
    perplexity = report["perplexity"]
    assert isinstance(perplexity, dict)
    assert list(perplexity) == [
        "base",
        "candidate",
        "ratio",
        "log_ratio",
        "difference",
        "log_correlation",
    ]
    for found in (*list(perplexity.values())[:-1], report["same_top"]):
        assert found.keys() == estimate  # type: ignore[union-attr]
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_without_labels() -> None:
    meter = ComparisonMeter()
    meter.update(np.zeros((3, 4)), np.zeros((3, 4)))
    report = meter.to_dict()
    assert report["perplexity"] is None
    assert report["delta_p"] is None
    assert report["same_top"] == {"value": 1.0, "se": 0.0}


# --- sequences ------------------------------------------------------------------------------------

IDS = np.repeat([4, 9, 4, 2, 9, 7], [7, 5, 3, 10, 9, 6])


def full(n: int = 40) -> Any:
    """As `compare_logits` gives it with all fields: whole numbers and bools stay what they are."""
    rng = np.random.default_rng(9)
    found = columns(n)

    return found._replace(
        entropy_base=rng.random(n),
        top_base=rng.integers(0, 10, n),
        confidence_base=rng.random(n),
        rank_base=rng.integers(0, 10, n),
        top_k_overlap=rng.integers(0, 4, n),
    )


def piece(found: Any, start: int, stop: int) -> Any:
    return type(found)(*(None if c is None else c[start:stop] for c in found))


LABELS = np.where(np.arange(40) % 11 == 5, -100, np.arange(40) % 10)


def update_part(meter: ComparisonMeter, start: int, stop: int, **changes: Any) -> ComparisonMeter:
    given = {"labels": LABELS, "sequence_ids": IDS, "counted": LABELS != -100} | changes
    given = {name: x[start:stop] for name, x in given.items() if x is not None}
    meter.update_columns(piece(full(), start, stop), vocab=10, **given)
    return meter


def test_sequences_and_positions_are_columns() -> None:
    meter = update_part(ComparisonMeter(), 0, 40)
    counted = LABELS != -100
    positions = [int((IDS[:i] == IDS[i]).sum()) for i in range(40)]
    assert meter.column("position").tolist() == np.array(positions)[counted].tolist()
    assert meter.column("sequence").tolist() == IDS[counted].tolist()
    assert meter.column("label").tolist() == LABELS[counted].tolist()
    assert meter.column("row").tolist() == np.flatnonzero(counted).tolist()
    assert (meter.rows, meter.tokens) == (40, int(counted.sum()))
    kinds = {name: column.dtype.name for name, column in meter.columns().items()}
    assert "chi2" not in kinds
    assert kinds["same_top"] == "bool"
    assert {n for n, kind in kinds.items() if kind == "int64"} == {
        *("top_base", "rank_base", "top_k_overlap", "label", "row", "sequence", "position")
    }
    with pytest.raises(ValueError, match="read-only"):
        meter.column("kl")[0] = 1


@settings(max_examples=80, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=7), tree=st.randoms(use_true_random=False))
def test_any_split_and_any_merge_tree_gives_the_same_state(cuts: list[int], tree: Any) -> None:
    """To the last byte of what is saved, and so of everything that is computed from it."""
    whole = update_part(ComparisonMeter(), 0, 40)
    edges = [0, *sorted(cuts), 40]
    one = ComparisonMeter()
    parts = []
    for start, stop in itertools.pairwise(edges):
        update_part(one, start, stop)
        parts.append(update_part(ComparisonMeter(), start, stop))
    assert one.state() == whole.state()
    while len(parts) > 1:
        at = tree.randrange(len(parts) - 1)
        parts[at : at + 2] = [parts[at].merge(parts[at + 1])]
    assert parts[0].state() == whole.state()
    assert parts[0].to_dict() == whole.to_dict()


def test_offsets_name_new_sequences() -> None:
    found = full()
    meter, second = ComparisonMeter(), ComparisonMeter()
    meter.update_columns(piece(found, 0, 10), vocab=10, offsets=[0, 3, 3, 10])
    meter.update_columns(piece(found, 10, 20), vocab=10, offsets=[0, 10])
    second.update_columns(piece(found, 20, 40), vocab=10, offsets=[0, 15, 20])
    both = meter.merge(second)
    assert both.column("sequence").tolist() == [0] * 3 + [2] * 7 + [3] * 10 + [4] * 15 + [5] * 5
    assert both.column("position").tolist() == [
        *range(3),
        *range(7),
        *range(10),
        *range(15),
        *range(5),
    ]
    report = both.compute()
    assert report.sequences is not None
    assert report.sequences.count == 5
    merged_again = ComparisonMeter().merge(both)
    assert merged_again.state() == both.state()


def test_given_positions_are_kept() -> None:
    positions = np.arange(40) % 7 + 100
    meter = update_part(ComparisonMeter(), 0, 20, positions=positions)
    meter.merge(update_part(ComparisonMeter(), 20, 40, positions=positions))
    assert meter.column("position").tolist() == positions[LABELS != -100].tolist()


def test_ids_spread_over_the_batch() -> None:
    base, candidate = RNG.normal(size=(2, 3, 4, 9))
    meter = ComparisonMeter()
    meter.update(base, candidate, sequence_ids=np.array([[5], [6], [7]]))
    assert meter.column("sequence").tolist() == [5] * 4 + [6] * 4 + [7] * 4
    assert meter.column("position").tolist() == [0, 1, 2, 3] * 3


def test_clustered_errors_and_intervals() -> None:
    meter = update_part(ComparisonMeter(), 0, 40)
    report = meter.compute(confidence=0.9)
    ids = meter.column("sequence")
    assert report.sequences is not None
    assert report.sequences.count == 4
    for column, name in (*DIVERGENCES.items(), ("delta_p", "delta_p"), ("rank_base", "rank_base")):
        x = meter.column(column)
        assert report.sequences.means[name] == uncertainty.mean(x, sequence_ids=ids)
        wanted = uncertainty.mean_interval(x, 0.9, sequence_ids=ids)
        assert report.intervals[name]["mean"] == wanted
        limits = {"js": (0, math.log(2)), "delta_p": (-1, 1)}.get(column, (0, 1))
        limits = (0, math.inf) if column in ("kl", "reverse_kl", "rank_base") else limits
        assert report.intervals[name]["p90"] == uncertainty.quantile_interval(
            x, 0.9, 0.9, limits=limits, sequence_ids=ids
        )
    assert report.kl_divergence.mean == uncertainty.mean(meter.column("kl"))
    q, b = meter.column("nll_candidate"), meter.column("nll_base")
    clustered = report.sequences.perplexity
    assert clustered is not None
    assert clustered.ratio == uncertainty.perplexity_ratio(q, b, sequence_ids=ids)
    assert clustered.base == uncertainty.perplexity(b, sequence_ids=ids)
    assert report.intervals["perplexity"] == {
        "base": uncertainty.perplexity_interval(b, 0.9, sequence_ids=ids),
        "candidate": uncertainty.perplexity_interval(q, 0.9, sequence_ids=ids),
        "ratio": uncertainty.perplexity_ratio_interval(q, b, 0.9, sequence_ids=ids),
        "log_ratio": uncertainty.mean_interval(q - b, 0.9, sequence_ids=ids),
    }
    top = meter.column("same_top")
    assert report.sequences.means["same_top"] == uncertainty.fraction(top, sequence_ids=ids)
    assert report.intervals["same_top"]["value"] == uncertainty.fraction_interval(
        top, 0.9, sequence_ids=ids
    )


def test_intervals_without_sequences() -> None:
    found = columns(300)
    report = meter_of(found).compute()
    assert report.sequences is None
    assert report.buckets == {}
    assert report.kl_divergence.intervals["mean"] == uncertainty.mean_interval(found.kl)
    assert report.intervals["kl_divergence"]["median"] == uncertainty.quantile_interval(
        found.kl, 0.5, limits=(0, math.inf)
    )
    assert report.intervals["kl_divergence"]["p0.1"].lower == 0.0
    assert report.intervals["kl_divergence"]["p99.9"].upper == math.inf
    assert "max" not in report.intervals["kl_divergence"]


def test_buckets() -> None:
    meter = update_part(ComparisonMeter(), 0, 40)
    report = meter.compute()
    ids = meter.column("sequence")
    assert report.buckets.keys() == {"position", "confidence_base"}
    edges = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0]
    values = {
        "kl_divergence": meter.column("kl"),
        "same_top": meter.column("same_top"),
        "log_ratio": meter.column("nll_candidate") - meter.column("nll_base"),
        "delta_p": meter.column("delta_p"),
    }
    for name, options in (("position", {"quantiles": 8}), ("confidence_base", {"edges": edges})):
        rows = report.buckets[name]
        for key, column in values.items():
            expected = uncertainty.by_bucket(
                column, meter.column(name), sequence_ids=ids, **options
            )
            assert [(r["lower"], r["upper"], r["count"], r[key]) for r in rows] == [
                (b.lower, b.upper, b.count, b.mean) for b in expected
            ]
    assert sum(row["count"] for row in report.buckets["position"]) == meter.tokens
    json.dumps(report.to_dict(), allow_nan=False)


def test_further_columns_are_reported() -> None:
    report = update_part(ComparisonMeter(), 0, 40).compute()
    assert list(report.further) == ["entropy_base", "confidence_base", "rank_base", "top_k_overlap"]
    found = report.to_dict()
    assert found["rank_base"]["max"] == 9.0  # type: ignore[index,call-overload]
    assert found["entropy_base"] == report.further["entropy_base"].to_dict()


def test_what_does_not_belong_together_of_sequences() -> None:
    meter = update_part(ComparisonMeter(), 0, 20)
    before = meter.state()
    for call, error, message in (
        (lambda: update_part(meter, 20, 40, sequence_ids=None), ValueError, "position, sequence"),
        (
            lambda: update_part(meter, 20, 40, positions=IDS),
            ValueError,
            "in every update or in none",
        ),
        (lambda: update_part(meter, 20, 40, labels=None), ValueError, "labels must be given"),
        (
            lambda: meter.update_columns(full(), vocab=10, labels=LABELS, offsets=[0, 40]),
            ValueError,
            "in every update or in none",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, offsets=[0, 40], sequence_ids=IDS),
            ValueError,
            "not both",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, positions=IDS),
            ValueError,
            "positions take sequence_ids",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, offsets=[0, 39]),
            ValueError,
            "offsets end at 39; there are 40 rows",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, offsets=[0, 50, 40]),
            ValueError,
            "do not descend",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, offsets=[0.0, 40]),
            TypeError,
            "offsets have dtype float64",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, sequence_ids=IDS[:4]),
            ValueError,
            "4 sequence_ids for 40 rows",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, sequence_ids=IDS / 2),
            TypeError,
            "sequence_ids have dtype",
        ),
        (
            lambda: meter.update_columns(
                full()._replace(rank_base=IDS / 2), vocab=10, labels=LABELS, sequence_ids=IDS
            ),
            TypeError,
            "rank_base is float64 after int64",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, labels=LABELS[:3], sequence_ids=IDS),
            ValueError,
            "3 label for 40 rows",
        ),
        (
            lambda: meter.update_columns(
                full(), vocab=10, labels=LABELS, sequence_ids=IDS, counted=[True]
            ),
            ValueError,
            "1 counted for 40 rows",
        ),
        (
            lambda: meter.update_columns(full(), vocab=10, p_tail=[0.5]),
            ValueError,
            "1 p_tail for 40 rows",
        ),
        (
            lambda: meter.merge(
                ComparisonMeter().merge(update_part(ComparisonMeter(), 20, 40, positions=IDS))
            ),
            ValueError,
            "named in another way",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
        assert meter.state() == before


# --- two candidates, the noise floor --------------------------------------------------------------


def test_two_candidates_on_one_base() -> None:
    base = RNG.normal(size=(30, 9))
    noise = RNG.normal(size=base.shape)
    labels, ids = RNG.integers(0, 9, 30), np.arange(30) // 5
    near, far = ComparisonMeter(), ComparisonMeter()
    broken = base + noise / 3
    broken[17] = np.nan
    near.update(base, base + noise / 5, labels, sequence_ids=ids)
    with np.errstate(invalid="ignore"):
        far.update(base, broken, labels, sequence_ids=ids)
    found = compare_candidates(near, far, confidence=0.9)
    kept = np.arange(30) != 17
    options: Any = {"sequence_ids": ids[kept], "confidence": 0.9}
    kl = [m.column("kl")[kept] for m in (near, far)]
    nll = [m.column("nll_candidate")[kept] for m in (near, far)]
    assert found.tokens == 29
    assert found.kl_divergence == uncertainty.paired(*kl, **options)
    assert found.log_perplexity == uncertainty.paired(*nll, **options)
    assert found.perplexity_ratio == uncertainty.perplexity_ratio(*nll, sequence_ids=ids[kept])
    assert found.perplexity_ratio_interval == uncertainty.perplexity_ratio_interval(
        *nll, 0.9, sequence_ids=ids[kept]
    )
    json.dumps(found.to_dict(), allow_nan=False)
    floor = near.compute(confidence=0.9, noise_floor=far).noise_floor
    assert floor == found.kl_divergence
    assert "noise_floor" in near.compute(noise_floor=far).to_dict()
    without = ComparisonMeter()
    without.update(base, base)
    assert compare_candidates(without, without).log_perplexity is None


def test_candidates_of_other_rows() -> None:
    meter = update_part(ComparisonMeter(), 0, 40)
    for other, message in (
        (update_part(ComparisonMeter(), 0, 39), "column 'row'"),
        (update_part(ComparisonMeter(), 0, 40, labels=LABELS % 5), "column 'label'"),
        (update_part(ComparisonMeter(), 0, 40, sequence_ids=IDS + 1), "column 'sequence'"),
        (ComparisonMeter(tail="bucket"), "tail 'none' against 'bucket'"),
    ):
        with pytest.raises(ValueError, match=message):
            compare_candidates(meter, other)


# --- texts ----------------------------------------------------------------------------------------


def test_perplexities_by_name() -> None:
    nll, ids = RNG.exponential(2.0, 12), np.repeat([0, 1, 2], 4)
    texts = ["one two", " three\nfour ", "fünf"]
    meter = PerplexityMeter()
    for i, text in enumerate(texts):
        meter.update_columns(
            nll[4 * i : 4 * i + 4], vocab=9, sequence_ids=ids[ids == i], texts=text
        )
    report = meter.compute()
    loglikelihood = -math.fsum(nll)
    words, size = 2 + 4 + 1, 7 + 12 + 5
    assert (report.words, report.bytes) == (words, size)
    assert report.word_perplexity is not None
    assert report.byte_perplexity is not None
    assert report.bits_per_byte is not None
    assert report.sequence_mean_perplexity is not None
    assert report.perplexity.value == pytest.approx(math.exp(-loglikelihood / 12))
    assert report.word_perplexity.value == pytest.approx(math.exp(-loglikelihood / words))
    assert report.byte_perplexity.value == pytest.approx(math.exp(-loglikelihood / size))
    assert report.bits_per_byte.value == pytest.approx(-loglikelihood / size / math.log(2))
    each = np.exp(nll.reshape(3, 4).mean(axis=1))
    assert report.sequence_mean_perplexity == pytest.approx(uncertainty.mean(each), rel=1e-12)
    best = uncertainty.mean(nll, sequence_ids=ids)
    assert report.sequences is not None
    assert report.sequences.means["nll"] == best
    assert report.bits_per_byte.se == pytest.approx(best.se * 12 / size / math.log(2))
    assert report.intervals["perplexity"] == uncertainty.perplexity_interval(nll, sequence_ids=ids)
    counted = PerplexityMeter()
    counted.update_columns(nll, vocab=9, sequence_ids=ids, words=words, size=size)
    assert counted.to_dict() == meter.to_dict()
    halves = [PerplexityMeter(), PerplexityMeter()]
    for i, text in enumerate(texts):
        halves[i > 0].update_columns(
            nll[4 * i : 4 * i + 4], vocab=9, sequence_ids=ids[ids == i], texts=[text]
        )
    assert halves[0].merge(halves[1]).state() == meter.state()


def test_texts_are_all_or_nothing() -> None:
    meter = PerplexityMeter()
    meter.update_columns([1.0], vocab=9, texts="a")
    with pytest.raises(ValueError, match="texts must be given in every update or in none"):
        meter.update_columns([1.0], vocab=9)
    with pytest.raises(ValueError, match="give texts, or words and size"):
        meter.update_columns([1.0], vocab=9, words=3)
    other = PerplexityMeter()
    other.update_columns([1.0], vocab=9)
    with pytest.raises(ValueError, match="only one of the two has texts"):
        meter.merge(other)
    meter.update_columns([math.nan], vocab=9, texts=[])
    found = meter.to_dict()
    assert found["word_perplexity"] == {"value": None, "se": None}
    assert found["perplexity"]["value"] == pytest.approx(math.e)  # type: ignore[index,call-overload]


def test_more_columns_of_one_model() -> None:
    meter = PerplexityMeter()
    meter.update_columns([1.0, 2.0], vocab=9, further={"entropy": [0.5, 0.25], "rank": None})
    assert meter.columns().keys() == {"nll", "entropy", "row"}


# --- export, states -------------------------------------------------------------------------------


def test_export() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `arrow`, is not here")
    meter = update_part(ComparisonMeter(), 0, 40)
    table, array = meter.to_arrow(), meter.to_numpy()
    assert isinstance(table, pyarrow.Table)
    assert list(array.dtype.names or ()) == table.column_names == list(meter.columns())
    for name, column in meter.columns().items():
        assert array[name].tolist() == column.tolist() == table[name].to_pylist()
        assert array[name].dtype == column.dtype
    assert PerplexityMeter().to_arrow().num_rows == PerplexityMeter().to_numpy().size == 0


def test_arrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fastdiv\[arrow\]"'):
        meter_of(columns(3)).to_arrow()


def test_saved_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "state.fd"
    for meter in (
        ComparisonMeter(tail="bucket", ignore_index=7),
        update_part(ComparisonMeter(), 0, 23),
        meter_of(columns(9)),
        PerplexityMeter(vocab_size=5),
    ):
        meter.extra = {"read": 23, "files": ["a", "b"], "deep": {"x": None}}
        meter.save(file)
        again = type(meter).load(file)
        assert again.state() == meter.state() == file.read_bytes()
        assert again.to_dict() == meter.to_dict()
        assert again.extra == meter.extra
        assert [f.name for f in tmp_path.iterdir()] == ["state.fd"]
    resumed = ComparisonMeter.from_state(update_part(ComparisonMeter(), 0, 23).state())
    assert resumed.rows == 23
    update_part(resumed, 23, 40)
    assert resumed.state() == update_part(ComparisonMeter(), 0, 40).state()


def test_pickle_keeps_everything() -> None:
    meter = update_part(ComparisonMeter(), 0, 23)
    again = pickle.loads(pickle.dumps(meter))
    assert again.state() == meter.state()
    assert update_part(again, 23, 40).state() == update_part(ComparisonMeter(), 0, 40).state()


def test_a_state_that_is_none(tmp_path: Path) -> None:
    state = update_part(ComparisonMeter(), 0, 40).state()
    file = tmp_path / "state.fd"
    for data, message in (
        (b"", "no saved state"),
        (b"PK" + state[2:], "no saved state"),
        (state[:-1], "incomplete or damaged"),
        (state[:100], "incomplete or damaged"),
        (state + b"x", "incomplete or damaged"),
        (state[:300] + bytes([state[300] ^ 1]) + state[301:], "incomplete or damaged"),
        (state[:8] + b"\2" + state[9:], "of version 2"),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=f"state.fd.*{message}"):
            ComparisonMeter.load(file)
    with pytest.raises(ValueError, match="of a ComparisonMeter, not of a PerplexityMeter"):
        PerplexityMeter.from_state(state)


def test_states_that_lack_something() -> None:
    """Sound files, of which no meter can be made."""
    header, arrays = unpack(update_part(ComparisonMeter(), 0, 40).state(), "it")
    header.pop("arrays")
    for wrong in (
        ({name: x for name, x in header.items() if name != "rows"}, arrays),
        (header, {name: x for name, x in arrays.items() if name != "column kl"}),
        (header | {"options": 3}, arrays),
    ):
        with pytest.raises(
            ValueError, match="the state does not hold what a ComparisonMeter needs"
        ):
            ComparisonMeter.from_state(b"".join(pack(*wrong)))
    swapped = b"".join(pack(header, arrays)).replace(b'"<i8"', b'"<c8"', 1)
    body = swapped[:-32]
    with pytest.raises(ValueError, match="its header does not match"):
        ComparisonMeter.from_state(body + hashlib.blake2b(body, digest_size=32).digest())


KILLED = """
import sys
import numpy as np
from fastdiv.meters import PerplexityMeter
meter = PerplexityMeter()
while True:
    meter.update_columns(np.full(1000, 0.5), vocab=9)
    meter.extra["read"] = meter.rows
    meter.save(sys.argv[1])
    print(meter.rows, flush=True)
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """What is there is a whole state, the last that was said to be saved or the one after it."""
    file = tmp_path / "state.fd"
    for lines in range(1, 6):
        command = [sys.executable, "-c", KILLED, str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [int(process.stdout.readline()) for _ in range(lines)][-1]
            process.kill()
            said = ([said] + [int(line) for line in process.stdout.read().split()])[-1]
        meter = PerplexityMeter.load(file)
        assert meter.rows == meter.tokens == meter.extra["read"]
        assert meter.rows in (said, said + 1000)


def test_every_changed_byte_is_noticed() -> None:
    state = meter_of(columns(3)).state()
    for at in range(len(state)):
        with pytest.raises(ValueError, match="the state"):
            ComparisonMeter.from_state(state[:at] + bytes([state[at] ^ 0x10]) + state[at + 1 :])


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state.fd"
    meter = meter_of(columns(3))
    meter.save(file)
    before = file.read_bytes()
    with monkeypatch.context() as patch:

        def fail(*_: Any) -> None:
            raise OSError("no")

        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no"):
            meter_of(columns(5)).save(file)
    assert file.read_bytes() == before
    meter.extra = {"not JSON": math.nan}
    with pytest.raises(ValueError, match="JSON"):
        meter.save(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


class TestBucket:
    """Against probabilities bucketed by hand."""

    LOG_P = np.log(RNG.dirichlet(np.ones(12), 6)).astype(np.float32)
    LOGITS_Q = RNG.normal(0, 2, (6, 12)).astype(np.float32)
    FLOOR = np.less(LOG_P, np.log(0.05))

    def by_hand(self) -> tuple[np.ndarray, np.ndarray]:
        rows = []
        for values, raw in ((self.LOG_P, False), (self.LOGITS_Q, True)):
            p = np.exp(values.astype(float))
            p = p / p.sum(-1, keepdims=True) if raw else p
            known = np.where(self.FLOOR, 0, p)
            rows.append(np.column_stack([known, 1 - known.sum(-1)]))
        return rows[0], rows[1]

    def test_values(self) -> None:
        raised = np.where(self.FLOOR, np.log(0.05), self.LOG_P).astype(np.float32)
        found, p_tail = tails.compare_bucket(
            tails.Rows(raised, self.FLOOR), tails.Rows(self.LOGITS_Q)
        )
        p, q = self.by_hand()
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(p > 0, p * np.log(p / q), 0).sum(-1)
        np.testing.assert_allclose(p_tail, p[:, -1], rtol=1e-5)
        np.testing.assert_allclose(found.kl, kl, rtol=1e-5)
        np.testing.assert_allclose(found.tv, abs(p - q).sum(-1) / 2, rtol=1e-5)
        squares = (np.sqrt(p) - np.sqrt(q)) ** 2
        np.testing.assert_allclose(found.hellinger, np.sqrt(squares.sum(-1) / 2), rtol=1e-5)
        floors = 0.05 * self.FLOOR.sum(-1)
        p[:, -1] = floors
        with np.errstate(divide="ignore", invalid="ignore"):
            reverse = np.where(q > 0, q * np.log(q / p), 0).sum(-1)
        np.testing.assert_allclose(found.reverse_kl, np.maximum(reverse, 0), rtol=1e-4, atol=1e-6)

    def test_never_above_the_truth(self) -> None:
        truth = fd.compare_logits(self.LOG_P, self.LOGITS_Q)
        raised = np.where(self.FLOOR, np.float32(np.log(0.05)), self.LOG_P)
        for found in (
            tails.compare_bucket(tails.Rows(raised, self.FLOOR), tails.Rows(self.LOGITS_Q)),
            tails.compare_bucket(
                tails.Rows(raised, self.FLOOR),
                tails.Rows(self.LOGITS_Q),
                np.zeros(6, np.int64),
            ),
        ):
            for name in DIVERGENCES:
                bound = getattr(found.columns, name)
                assert (bound >= 0).all()
                assert (bound <= getattr(truth, name) * (1 + 1e-5)).all(), name

    def test_two_floors(self) -> None:
        log_q = (self.LOGITS_Q - fd.logsumexp(self.LOGITS_Q)[:, None]).astype(np.float32)
        floor_q = log_q < np.log(0.02)
        raised_p = np.where(self.FLOOR, np.float32(np.log(0.05)), self.LOG_P)
        raised_q = np.where(floor_q, np.float32(np.log(0.02)), log_q)
        p, q = tails.Rows(raised_p, self.FLOOR), tails.Rows(raised_q, floor_q)
        found = tails.compare_bucket(p, q).columns
        mirrored = tails.compare_bucket(q, p).columns
        truth = fd.compare_logits(self.LOG_P, self.LOGITS_Q)
        for name in DIVERGENCES:
            assert np.isfinite(getattr(found, name)).all()
            assert (getattr(found, name) <= getattr(truth, name) * (1 + 1e-5)).all(), name
        assert found.kl.tolist() == mirrored.reverse_kl.tolist()
        assert found.reverse_kl.tolist() == mirrored.kl.tolist()

    def test_the_weight_of_a_base_that_is_known(self) -> None:
        """It is the candidate's tail, weighed by the base's logits, whatever their scale."""
        log_q = np.log(RNG.dirichlet(np.ones(12), 6)).astype(np.float32)
        found = tails.compare_bucket(tails.Rows(self.LOGITS_Q), tails.Rows(log_q, self.FLOOR))
        p = np.exp(self.LOGITS_Q.astype(float))
        p /= p.sum(-1, keepdims=True)
        np.testing.assert_allclose(found.p_tail, (p * self.FLOOR).sum(-1), rtol=1e-6)

    def test_a_row_without_a_tail(self) -> None:
        """What rounding leaves of 1 is no tail where no token is in one."""
        log_p = (self.LOG_P - np.float32(1e-4)).astype(np.float32)
        none = np.zeros_like(self.FLOOR)
        found, p_tail = tails.compare_bucket(tails.Rows(log_p, none), tails.Rows(self.LOGITS_Q))
        truth = fd.compare_logits(self.LOG_P, self.LOGITS_Q)
        assert p_tail.tolist() == [0.0] * 6
        for name in ("kl", "js", "tv", "hellinger"):
            np.testing.assert_allclose(getattr(found, name), getattr(truth, name), rtol=1e-4)

    def test_a_row_of_nothing_but_tail(self) -> None:
        log_p = np.full((2, 12), -2.0, np.float32)
        found, p_tail = tails.compare_bucket(
            tails.Rows(log_p, np.ones((2, 12), np.bool_)), tails.Rows(self.LOGITS_Q[:2])
        )
        assert p_tail.tolist() == [1.0, 1.0]
        assert found.kl.tolist() == found.reverse_kl.tolist() == [0.0, 0.0]

    def test_no_rows(self) -> None:
        empty = tails.Rows(self.LOG_P[:0], self.FLOOR[:0])
        found, p_tail = tails.compare_bucket(empty, tails.Rows(self.LOGITS_Q[:0]))
        assert p_tail.shape == found.kl.shape == (0,)

    def test_known_probabilities_that_leave_nothing(self) -> None:
        log_p = np.log(np.array([[0.75, 0.25001, 1e-7]], np.float32))
        floor = np.array([[False, False, True]])
        found, p_tail = tails.compare_bucket(
            tails.Rows(log_p, floor), tails.Rows(np.zeros((1, 3), np.float32))
        )
        assert p_tail.tolist() == [0.0]
        assert all(np.isfinite(getattr(found, name)).all() for name in DIVERGENCES)

    def test_labels(self) -> None:
        labels = np.array([0, 3, -100, 5, 11, 2])
        rows = tails.Rows(self.LOG_P, self.FLOOR)
        found = tails.compare_bucket(rows, tails.Rows(self.LOGITS_Q), labels).columns
        assert found.nll_base is not None
        assert found.nll_candidate is not None
        assert found.delta_p is not None
        expected = [
            0.0 if y == -100 else -float(r[y]) for r, y in zip(self.LOG_P, labels, strict=True)
        ]
        assert found.nll_base.tolist() == expected
        assert found.nll_candidate.tolist() == fd.token_nll(self.LOGITS_Q, labels).tolist()
        assert found.delta_p[2] == 0.0
        np.testing.assert_array_equal(
            found.same_top, self.LOG_P.argmax(-1) == self.LOGITS_Q.argmax(-1)
        )

    def test_needs_a_floor(self) -> None:
        rows = tails.Rows(self.LOG_P)
        with pytest.raises(ValueError, match="neither base nor candidate has a floor"):
            tails.compare_bucket(rows, rows)

    def test_llama_cpp_is_close_to_the_exact_value_where_nothing_is_cut(self) -> None:
        none = np.zeros_like(self.FLOOR)
        found = tails.compare_llama_cpp(tails.Rows(self.LOG_P, none), self.LOGITS_Q)
        truth = fd.compare_logits(self.LOG_P, self.LOGITS_Q)
        np.testing.assert_allclose(found.kl, truth.kl, atol=2e-6)
        np.testing.assert_allclose(found.tv, truth.tv, rtol=1e-6)


def test_options_that_the_numbers_depend_on() -> None:
    """They reach the kernel, are reported, are saved, and are never merged into others."""
    rng = np.random.default_rng(4)
    base, candidate = rng.normal(size=(2, 12, 9))
    labels = rng.integers(0, 9, 12)
    said: dict[str, Any] = {"temperature": 2.0, "weight": 0.25}
    more = ("chi2", "top_k_overlap")
    meter = ComparisonMeter(**said, fields=more, top_k=3)
    meter.update(base, candidate, labels)
    p, q = (np.exp(x / 2) / np.exp(x / 2).sum(-1, keepdims=True) for x in (base, candidate))
    m = p / 4 + q * 0.75
    js = (p * np.log(p / m)).sum(-1) / 4 + (q * np.log(q / m)).sum(-1) * 0.75
    np.testing.assert_allclose(meter.column("js"), js, rtol=1e-12)
    np.testing.assert_allclose(meter.column("chi2"), ((p - q) ** 2 / q).sum(-1), rtol=1e-12)
    report = meter.to_dict()
    assert (report["temperature"], report["weight"], report["top_k"]) == (2.0, 0.25, 3)
    again = ComparisonMeter.from_state(meter.state())
    again.update(base, candidate, labels)
    assert again.state() == meter.merge(ComparisonMeter.from_state(meter.state())).state()
    for name, other in (
        ("temperature", ComparisonMeter(weight=0.25, fields=more, top_k=3)),
        ("weight", ComparisonMeter(temperature=2.0, fields=more, top_k=3)),
        ("top_k", ComparisonMeter(**said, fields=more, top_k=4)),
    ):
        other.update(base, candidate, labels)
        with pytest.raises(ValueError, match=rf"merge: {name} .* into one of"):
            meter.merge(other)
    nll = PerplexityMeter(temperature=2.0)
    nll.update(base, labels)
    np.testing.assert_allclose(nll.column("nll"), -np.log(p[np.arange(12), labels]), rtol=1e-12)
    assert nll.to_dict()["temperature"] == 2.0
    with pytest.raises(ValueError, match="merge: temperature"):
        nll.merge(PerplexityMeter())
    with pytest.raises(ValueError, match="temperature"):
        ComparisonMeter(temperature=0.0)
