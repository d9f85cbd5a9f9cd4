"""Meters against formulas written down once more, in mpmath; and the same bits for any split."""

import json
import math
import pickle
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastdiv as fd
from fastdiv import tails
from fastdiv.meters import ComparisonMeter, PerplexityMeter
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
    assert (report.tokens, report.vocab, report.tail, report.nan_rows) == (n, 10, "none", ())

    q, b = exact(found.nll_candidate), exact(found.nll_base)
    ppl_q, ppl_b = mp.exp(mean(q)), mp.exp(mean(b))
    cov, u_q, u_b = covariance(q, b), ppl_q * se(q), ppl_b * se(b)
    paired = mp.sqrt(se(q) ** 2 + se(b) ** 2 - 2 * cov)
    ratio = mp.exp(mean(q) - mean(b))
    perplexity = report.perplexity
    assert perplexity is not None
    for estimate, value, uncertainty in (
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
        assert_close(estimate.se, uncertainty)
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
        piece = LogitComparison(*(column[start:stop] for column in found))
        if merged:
            parts.merge(meter_of(piece))
        else:
            parts.update_columns(piece, vocab=10)
    assert parts.to_dict() == whole.to_dict()
    assert parts.compute() == whole.compute()


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(range(30)))
def test_no_order_changes_a_bit(order: list[int]) -> None:
    found = columns(30)
    shuffled = LogitComparison(*(column[order] for column in found))
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
    assert PerplexityMeter().to_dict() == {
        "tokens": 0,
        "vocab": None,
        "nll": {"value": None, "se": None},
        "perplexity": {"value": None, "se": None},
        "bits_per_token": None,
    }
    empty = meter_of(columns(3), counted=[False] * 3).to_dict()
    assert empty["tokens"] == 0
    assert set(numbers(empty)) == {0, 10, None}


def numbers(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for name, branch in tree.items() if name != "tail" for leaf in numbers(branch)]
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
    assert report.nan_rows == (2, 6)
    assert report.tokens == 8
    assert math.isnan(report.kl_divergence.mean.value)
    assert all(map(math.isnan, report.kl_divergence.quantiles.values()))
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["tokens"] == 8


def test_nan_rows_count_ignored_ones_but_do_not_list_them() -> None:
    meter = PerplexityMeter()
    nll = [1.0, math.nan, math.nan, 2.0]
    meter.update_columns(nll, vocab=7, counted=[True, False, True, True])
    meter.update_columns([math.nan], vocab=7)
    assert meter.nan_rows == (2, 4)
    assert meter.tokens == 4


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
