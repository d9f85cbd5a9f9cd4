"""Intervals from partial knowledge: the truth is always inside, and the ends are attained."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from reference import kl_divergence as generalised_kl
from reference import mp, mpf
from scipy.optimize import minimize

import fastdiv as fd
from fastdiv.intervals import specht
from fastdiv.topk import TopKComparison, TopKRows, compare_topk, concatenated, top_k

NAMES = ("kl", "reverse_kl", "js", "tv")
NOISE = mpf(10) ** -40  # of the 50 digits of the oracle


def softmax(row: np.ndarray) -> list[Any]:
    weights = [mp.exp(mpf(float(x))) if x > -np.inf else mpf(0) for x in row]
    z = mp.fsum(weights)
    return [w / z for w in weights]


def truth(p: list[Any], q: list[Any]) -> dict[str, Any]:
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    return {
        "kl": generalised_kl(p, q),
        "reverse_kl": generalised_kl(q, p),
        "js": (generalised_kl(p, middle) + generalised_kl(q, middle)) / 2,
        "tv": mp.fsum(abs(x - y) for x, y in zip(p, q, strict=True)) / 2,
    }


def logits(rng: np.random.Generator, rows: int, vocab: int) -> np.ndarray:
    """Rows of many shapes: ties, zeros, peaks, near-uniform ones, far tails."""
    x = rng.normal(size=(rows, vocab))
    kind = rng.integers(8, size=rows)
    x[kind == 0] = 0.0
    x[kind == 1] = np.round(x[kind == 1])
    x[kind == 2] *= 20
    x[kind == 3] *= 1e-6
    zero = (kind == 4)[:, None] & (rng.random(x.shape) < 0.3)
    zero[:, 0] = False
    x[zero] = -np.inf
    x[kind == 5] *= 3
    x[(kind == 6)[:, None] & (rng.random(x.shape) < 0.3)] -= 800
    return x


def loosened(rows: TopKRows, rng: np.random.Generator, *, forget: bool = True) -> TopKRows:
    """Say less than is known, within errors that are told."""
    count = len(rows)

    def some() -> np.ndarray:
        return np.where(rng.random(count) < 0.5, 0.0, 10.0 ** rng.uniform(-12, -1, count))

    error, tail_error = some(), some()
    row = np.repeat(np.arange(count), np.diff(rows.offsets))
    return TopKRows(
        rows.offsets,
        rows.tokens,
        np.minimum(rows.log_p + rng.uniform(-1, 1, row.size) * error[row], 0.0),
        rows.error + error,
        np.clip(rows.tail + tail_error * rng.uniform(-1, 1, count), 0, 1),
        rows.tail_error + tail_error,
        np.minimum(1.0, rows.cap * np.where(rng.random(count) < 0.5, 1.0, 1 + 9 * rng.random())),
        np.where(rng.random(count) < 0.5, np.nan, rows.tail_entropy),
        rows.label_log_p,
        None if forget and rng.random() < 0.2 else rows.vocab,
    )


def limits(found: TopKComparison, name: str) -> tuple[np.ndarray, np.ndarray]:
    return getattr(found, f"{name}_lower"), getattr(found, f"{name}_upper")


def assert_inside(found: TopKComparison, row: int, expected: dict[str, Any], where: object) -> None:
    for name, value in expected.items():
        lower, upper = (x[row] for x in limits(found, name))
        inside = mpf(float(lower)) <= value + NOISE and value - NOISE <= mpf(float(upper))
        assert inside, (where, row, name, lower, float(value), upper)


@pytest.mark.parametrize("seed", range(12))
def test_the_true_divergence_is_inside(seed: int) -> None:
    """Ten thousand pairs, each seen with three degrees of knowledge."""
    rng = np.random.default_rng(seed)
    for _ in range(22):
        rows, vocab = 40, int(rng.integers(1, 9))
        p, q = logits(rng, rows, vocab), logits(rng, rows, vocab)
        same, near = rng.random((2, rows)) < 0.15
        q[same] = p[same] + 1.0
        q[near] = p[near] + rng.normal(size=(near.sum(), vocab)) * 1e-4
        if rng.random() < 0.3:
            p, q = (x[:, : int(rng.integers(1, vocab + 1))] for x in (p, q))
        vocab = min(p.shape[1], q.shape[1])
        # An unknown vocabulary is taken to be the other's.
        forget = p.shape == q.shape
        known_p = loosened(top_k(p, int(rng.integers(vocab + 1))), rng, forget=forget)
        known_q = loosened(top_k(q, int(rng.integers(vocab + 1))), rng, forget=forget)
        seen = {
            "both partial": compare_topk(known_p, known_q),
            "full candidate": compare_topk(known_p, q),
            "full base": compare_topk(p, known_q),
        }
        for row in range(rows):
            both = itertools.zip_longest(softmax(p[row]), softmax(q[row]), fillvalue=mpf(0))
            expected = truth(*map(list, zip(*both, strict=True)))
            agree = np.argmax(p[row]) == np.argmax(q[row])
            for where, found in seen.items():
                assert_inside(found, row, expected, (seed, where))
                assert found.undecided[row] or found.same_top[row] == agree


@pytest.mark.parametrize("seed", range(20))
def test_two_full_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # A base below e^-745 where the candidate has 0 is a matter of the kernel.
    p, q = (rng.normal(size=(20, 6)) * rng.choice([1e-5, 1, 5]) for _ in range(2))
    found = compare_topk(p, q)
    for row in range(len(p)):
        assert_inside(found, row, truth(softmax(p[row]), softmax(q[row])), seed)
    assert np.allclose(found.kl_lower, found.kl_upper, rtol=1e-7)


def test_equal_rows_are_not_told_apart() -> None:
    rng = np.random.default_rng(0)
    x = logits(rng, 500, 7)
    for k in range(8):
        for found in (
            compare_topk(top_k(x, k), x),
            compare_topk(x, top_k(x, k)),
            compare_topk(top_k(x, k), top_k(x, 7 - k)),
        ):
            for name in NAMES:
                assert not limits(found, name)[0].any()


def objective(name: str, p: np.ndarray, q: np.ndarray) -> float:
    def kl(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.sum(x * np.log(x / y) - x + y))

    if name == "js":
        return 0.5 * (kl(p, (p + q) / 2) + kl(q, (p + q) / 2))
    return kl(p, q) if name == "kl" else kl(q, p)


@pytest.mark.parametrize("seed", range(60))
def test_lower_ends_are_attained(seed: int) -> None:
    """A constrained minimiser that knows nothing of duality finds a pair as close as the bound."""
    rng = np.random.default_rng(seed)
    vocab = int(rng.integers(2, 9))
    x, y = (rng.normal(size=(1, vocab)) * rng.choice([0.1, 1, 3]) for _ in range(2))
    known_p, known_q = (top_k(z, int(rng.integers(vocab + 1))) for z in (x, y))
    found = compare_topk(known_p, known_q)
    p, q = (np.exp(z[0] - fd.logsumexp(z[0])) for z in (x, y))
    free_p = np.setdiff1d(np.arange(vocab), known_p.tokens)
    free_q = np.setdiff1d(np.arange(vocab), known_q.tokens)
    split = free_p.size

    def rows(free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b = p.copy(), q.copy()
        a[free_p] = np.maximum(free[:split], 1e-15)
        b[free_q] = np.maximum(free[split:], 1e-15)
        return a, b

    conditions: list[Any] = []
    if free_p.size:
        conditions.append({"type": "eq", "fun": lambda z: z[:split].sum() - p[free_p].sum()})
    if free_q.size:
        conditions.append({"type": "eq", "fun": lambda z: z[split:].sum() - q[free_q].sum()})
    bounds = [(1e-14, known_p.cap[0])] * split + [(1e-14, known_q.cap[0])] * free_q.size
    start = np.concatenate([p[free_p], q[free_q]])
    for name in ("kl", "reverse_kl", "js"):
        least = objective(name, p, q)
        if start.size:
            solution = minimize(
                lambda z, name=name: objective(name, *rows(z)),
                start,
                bounds=bounds,
                constraints=conditions,
                method="SLSQP",
                options={"ftol": 1e-16, "maxiter": 1000},
            )
            least = min(least, solution.fun)
        bound = limits(found, name)[0][0]
        # The minimiser itself is good to a few 1e-9.
        assert bound <= least + 1e-9, name
        assert bound >= least - 3e-9 * max(least, 1e-2), (name, bound, least)


@pytest.mark.parametrize("seed", range(60))
def test_upper_ends_are_attained_against_full_rows(seed: int) -> None:
    """The best of all extreme points, enumerated."""
    rng = np.random.default_rng(seed)
    vocab = int(rng.integers(2, 7))
    x, y = (rng.normal(size=(1, vocab)) * rng.choice([0.1, 1, 3]) for _ in range(2))
    known = top_k(x, int(rng.integers(vocab)))
    known = dataclasses.replace(known, tail_entropy=np.full(1, np.nan))
    p, q = (np.exp(z[0] - fd.logsumexp(z[0])) for z in (x, y))
    free = np.setdiff1d(np.arange(vocab), known.tokens)
    tail, cap = known.tail[0], known.cap[0]
    filled = np.clip(tail - cap * np.arange(free.size), 0.0, cap)
    best = dict.fromkeys(NAMES, 0.0)
    for order in itertools.permutations(range(free.size)):
        candidate = p.copy()
        candidate[free] = filled[list(order)]
        for name, value in truth([mpf(float(v)) for v in candidate], list(map(mpf, q))).items():
            best[name] = max(best[name], float(value))
    found = compare_topk(known, y)
    for name in NAMES:
        upper = limits(found, name)[1][0]
        # Whether what is left for the last token is 0 is a matter of rounding.
        if name == "reverse_kl" and filled[-1] < 1e-9:
            assert upper == np.inf
        else:
            assert upper == pytest.approx(best[name], rel=1e-9, abs=1e-12), name
    assert np.isinf(compare_topk(y, known).kl_upper) == (filled[-1] < 1e-9)


def test_entropy_tightens() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20, 3000)) * 3
    y = x + rng.normal(size=x.shape)
    known = top_k(x, 30)
    blind = dataclasses.replace(known, tail_entropy=np.full(20, np.nan))
    seen, unseen = compare_topk(known, y), compare_topk(blind, y)
    expected = fd.kl_divergence(x, y, from_logits=True)
    assert (seen.kl_lower <= expected).all()
    assert (expected <= seen.kl_upper).all()
    assert (seen.kl_upper < 0.95 * unseen.kl_upper).all()
    assert (seen.kl_lower >= unseen.kl_lower).all()
    mirrored = compare_topk(y, known)
    assert np.array_equal(mirrored.reverse_kl_upper, seen.kl_upper)
    assert np.array_equal(mirrored.reverse_kl_lower, seen.kl_lower)


def test_lower_bounds_beat_the_bucket() -> None:
    """Where a known token is missing on the other side, its cap says more than the merged tail."""
    p, q = np.log([[0.6, 0.1, 0.1, 0.1, 0.1]]), np.log([[0.02, 0.4, 0.2, 0.19, 0.19]])
    known = top_k(q, 2)
    found = compare_topk(top_k(p, 1), known)
    everything_merged = 0.0  # no token is known on both sides
    assert found.kl_lower[0] > 0.2 > everything_merged


def test_specht_is_the_largest_divergence_of_a_span() -> None:
    for span in (0.01, 0.049, 0.051, 0.5, 2.0, 8.0, 40.0):
        ratio = np.exp(span)
        # Two log-ratios, `span` apart, and all shares of the first.
        odds = np.exp(np.linspace(-45, 45, 100_001))
        q = np.stack([odds, np.ones_like(odds)], -1) / (1 + odds[:, None])
        p = q * [ratio, 1.0]
        best = fd.kl_divergence(p, q).max()
        assert best <= specht(span) * (1 + 1e-9)
        assert best >= specht(span) * (1 - 1e-3)
    assert specht(1000.0) == pytest.approx(1000 - 1 - np.log(1000))


def test_a_trusted_ratio_bounds_both_sides() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 400)) * 2
    y = x + rng.uniform(-0.5, 0.5, x.shape)
    ratio = float(np.abs((x - fd.logsumexp(x)[:, None]) - (y - fd.logsumexp(y)[:, None])).max())
    known_x, known_y = top_k(x, 40), top_k(y, 40)
    forward = fd.kl_divergence(x, y, from_logits=True)
    backward = fd.kl_divergence(y, x, from_logits=True)
    for found in (
        compare_topk(known_x, known_y, tail_ratio=ratio),
        compare_topk(known_x, y, tail_ratio=ratio),
        compare_topk(x, known_y, tail_ratio=ratio),
    ):
        for name, expected in (("kl", forward), ("reverse_kl", backward)):
            lower, upper = limits(found, name)
            assert (lower <= expected).all()
            assert (expected <= upper).all()
            assert (upper < 1.0).all()


def test_unknown_and_unequal_vocabularies() -> None:
    p, q = np.log([[0.5, 0.3, 0.2]]), np.log([[0.4, 0.3, 0.2, 0.1]])
    padded = np.log([[0.5, 0.3, 0.2, 1e-300]])
    padded[0, 3] = -np.inf
    expected = truth(softmax(padded[0]), softmax(q[0]))
    for base in (p, top_k(p, 2), top_k(p, 3)):
        for candidate in (q, top_k(q, 2), top_k(q, 4)):
            found = compare_topk(base, candidate)
            assert_inside(found, 0, expected, "unequal")
            assert found.reverse_kl_upper == np.inf
            swapped = compare_topk(candidate, base)
            assert swapped.kl_upper == np.inf
    assert compare_topk(top_k(q, 4), p).kl_lower == np.inf
    assert compare_topk(top_k(q, 4), top_k(p, 3)).kl_lower == np.inf
    unbounded = [dataclasses.replace(top_k(x, 2), vocab=None) for x in (p, q[:, :3])]
    found = compare_topk(*unbounded)
    assert_inside(found, 0, truth(softmax(p[0]), softmax(q[0, :3])), "unbounded")
    assert found.kl_upper == np.inf


def test_disjoint_sets() -> None:
    p, q = np.log([[0.7, 0.2, 0.05, 0.05]]), np.log([[0.05, 0.05, 0.2, 0.7]])
    found = compare_topk(top_k(p, 1), top_k(q, 1))
    assert_inside(found, 0, truth(softmax(p[0]), softmax(q[0])), "disjoint")
    assert found.p_tail == pytest.approx(1.0)
    assert not found.same_top[0]
    assert not found.undecided[0]
    # Each leaves at most 0.2 for the other's first token.
    assert found.tv_lower >= 0.5 - 1e-12


def test_a_token_the_candidate_excludes() -> None:
    p = np.log([[0.7, 0.3]])
    q = np.array([[0.0, -np.inf]])
    assert compare_topk(top_k(p, 2), top_k(q, 1)).kl_lower == np.inf
    assert compare_topk(top_k(p, 1), q).kl_lower == np.inf


def test_labels() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 4, 9))
    labels = np.array([int(x[0].argmax()), int(x[1].argmin()), -100, 3])
    expected = fd.compare_logits(x, y, labels)
    found = compare_topk(x, y, labels)
    assert np.allclose(found.nll_base, expected.nll_base)
    assert np.allclose(found.delta_p, expected.delta_p)
    partial = compare_topk(top_k(x, 2), y, labels)
    assert np.isclose(partial.nll_base[0], expected.nll_base[0])
    assert np.isnan(partial.nll_base[1])
    assert partial.nll_base[2] == partial.delta_p[2] == 0
    # A row that knows its label's probability says it even from the tail.
    told = compare_topk(top_k(x, 2, labels), y, labels)
    assert np.allclose(told.nll_base, expected.nll_base)
    assert np.allclose(told.delta_p, expected.delta_p)
    mirrored = compare_topk(y, top_k(x, 2, labels), labels)
    assert np.allclose(mirrored.delta_p, -expected.delta_p)
    own = compare_topk(top_k(x, 2, labels), top_k(y, 2, labels))
    assert np.allclose(own.nll_candidate[[0, 1, 3]], expected.nll_candidate[[0, 1, 3]])


def test_rows_that_are_no_distribution() -> None:
    x = np.zeros((5, 4))
    x[1, 2] = np.nan
    x[2] = -np.inf
    x[3, 0] = np.inf
    rows = top_k(x, 2)
    assert np.isnan(rows.tail).tolist() == [False, True, True, True, False]
    assert np.diff(rows.offsets).tolist() == [2, 0, 0, 0, 2]
    sound = np.zeros((5, 4))
    with pytest.warns(RuntimeWarning, match="invalid value encountered in compare_logits"):
        of_full = compare_topk(x, sound)
    for found in (
        compare_topk(rows, sound),
        compare_topk(sound, rows),
        compare_topk(rows, top_k(sound, 2)),
        of_full,
        compare_topk(top_k(sound, 2), x),
    ):
        for name in NAMES:
            for end in limits(found, name):
                assert np.isnan(end).tolist() == [False, True, True, True, False]
        assert not (found.same_top | found.undecided)[1:4].any()


def test_top_k_adds_up_what_it_leaves_out() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(size=(20, 30)) * 4, np.round(rng.normal(size=(20, 30)))])
    for k in (0, 1, 7, 29, 30):
        rows = top_k(x, k, labels=np.arange(40) % 30)
        for row in range(40):
            p = softmax(x[row])
            tokens = rows.tokens[rows.offsets[row] : rows.offsets[row + 1]]
            assert tokens.tolist() == sorted(np.argsort(-x[row], kind="stable")[:k].tolist())
            for token, log_p in zip(tokens, rows.part(row, row + 1).log_p, strict=True):
                assert abs(mp.log(p[token]) - mpf(log_p)) <= rows.error[row]
            left = [v for j, v in enumerate(p) if j not in tokens]
            tail = mp.fsum(left)
            assert abs(tail - mpf(rows.tail[row])) <= rows.tail_error[row]
            assert float(tail) == pytest.approx(rows.tail[row], rel=1e-12)
            assert all(v <= rows.cap[row] for v in left)
            assert rows.cap[row] <= float(max(left, default=mpf(0))) * (1 + 1e-12) + 1e-200
            entropy = -mp.fsum(v * mp.log(v) for v in left)
            assert abs(entropy - mpf(rows.tail_entropy[row])) <= 2.0**-40 * (entropy + tail)
            assert float(mp.log(p[row % 30])) == pytest.approx(rows.label_log_p[row])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, "bfloat16"])
def test_narrow_logits(dtype: Any) -> None:
    if dtype == "bfloat16":
        ml_dtypes = pytest.importorskip("ml_dtypes")
        dtype = ml_dtypes.bfloat16
    x = np.random.default_rng(0).normal(size=(3, 50)).astype(dtype)
    wide = x.astype(np.float64)
    assert np.array_equal(top_k(x, 5).log_p, top_k(wide, 5).log_p)
    assert np.array_equal(
        compare_topk(top_k(x, 5), x).kl_upper, compare_topk(top_k(wide, 5), wide).kl_upper
    )


def test_results_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(4)
    x, y = logits(rng, 300, 40), logits(rng, 300, 40)
    known_x = loosened(top_k(x, 6), rng)
    known_y = loosened(concatenated([top_k(y[:150], 3), top_k(y[150:], 12)], 40), rng)
    for base, candidate in ((known_x, known_y), (known_x, y), (x, known_y)):
        whole = compare_topk(base, candidate)
        for row in range(0, 300, 7):
            one = [
                side.part(row, row + 1) if isinstance(side, TopKRows) else side[row : row + 1]
                for side in (base, candidate)
            ]
            for name, alone, among in zip(whole._fields, compare_topk(*one), whole, strict=True):
                assert np.array_equal(alone[0], among[row], equal_nan=among.dtype.kind == "f"), name


def test_order_of_tokens_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 30, 12))
    known = top_k(x, 5)
    order = np.concatenate([5 * row + rng.permutation(5) for row in range(30)])
    shuffled = dataclasses.replace(known, tokens=known.tokens[order], log_p=known.log_p[order])
    for candidate in (y, top_k(y, 4)):
        for a, b in zip(
            compare_topk(known, candidate), compare_topk(shuffled, candidate), strict=True
        ):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_nothing() -> None:
    empty = top_k(np.zeros((0, 4)), 2)
    for found in (
        compare_topk(empty, empty),
        compare_topk(empty, np.zeros((0, 4))),
        compare_topk(np.zeros((0, 4)), np.zeros((0, 4))),
    ):
        assert all(column.shape == (0,) for column in found)
        assert found.same_top.dtype == np.bool_


def rows_with(**changes: Any) -> TopKRows:
    rows = top_k(np.log([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]), 2)
    return dataclasses.replace(rows, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": np.array([0, 1, 1, 1])}, r"candidate, row 1, has token 1 twice"),
        ({"tokens": np.array([0, 1, 3, 1])}, r"candidate, row 1, has token 3; a vocabulary of 3"),
        ({"tokens": np.array([-1, 1, 0, 1])}, r"candidate, row 0, has token -1"),
        ({"log_p": np.array([0.1, -2, -1, -1])}, r"candidate, row 0, has log-probability 0.1"),
        ({"log_p": np.array([-1, -2, np.nan, -1])}, r"candidate, row 1, has log-probability nan"),
        ({"offsets": np.array([0, 3, 2])}, r"candidate, row 1: offsets ascend"),
        ({"offsets": np.array([1, 3, 4])}, r"candidate, row 0: offsets ascend"),
        ({"error": np.array([0.0, -1.0])}, r"candidate, row 1, has error -1"),
        ({"cap": np.array([0.2, np.nan])}, r"candidate, row 1, has cap nan"),
        ({"tail": np.array([0.2, 0.3])}, r"candidate, row 1, contradicts itself: a tail of 0.3"),
        ({"log_p": np.log([0.9, 0.3, 0.6, 0.3])}, r"candidate, row 0, contradicts itself"),
        ({"cap": np.array([0.1, 0.1])}, r"candidate, row 0, contradicts itself"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_topk(np.zeros((2, 3)), rows_with(**changes))


def test_wrong_arguments_are_refused() -> None:
    rows = rows_with()
    with pytest.raises(ValueError, match="base has 2 rows and candidate 3"):
        compare_topk(rows, np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"candidate has shape \(3,\)"):
        compare_topk(rows, np.zeros(3))
    with pytest.raises(ValueError, match="tail_ratio is -1"):
        compare_topk(rows, rows, tail_ratio=-1)
    with pytest.raises(IndexError, match="the label of row 1 is 3; a vocabulary of 3"):
        compare_topk(rows, rows, [0, 3])
    with pytest.raises(ValueError, match=r"labels have shape \(3,\); 2 rows"):
        compare_topk(rows, rows, [0, 1, 2])
    with pytest.raises(TypeError, match="labels have dtype float64"):
        compare_topk(rows, rows, [0.0, 1.0])
    with pytest.raises(ValueError, match="k is 4; it takes 0…3"):
        top_k(np.zeros((2, 3)), 4)
    with pytest.raises(TypeError, match="tokens is int32"):
        rows_with(tokens=np.zeros(4, np.int32))
    with pytest.raises(ValueError, match=r"cap has shape \(3,\)"):
        rows_with(cap=np.zeros(3))
    with pytest.raises(ValueError, match="4 tokens and 3 log-probabilities"):
        rows_with(log_p=np.zeros(3))


def test_large_rows_take_no_more_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one row give the bits of one block of all rows."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 12, 500)) * 3
    known = top_k(x, 20)
    whole = compare_topk(known, y)
    monkeypatch.setattr("fastdiv.topk.BLOCK_NUMBERS", 1)
    for a, b in zip(whole, compare_topk(top_k(x, 20), y), strict=True):
        assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def exactly_told(rng: np.random.Generator, rows: int, k: int) -> tuple[TopKRows, list[list[Any]]]:
    """Rows whose log-probabilities are exact as they stand, and whose tail is one token."""
    weights = rng.dirichlet(np.ones(k + 1), rows)
    log_p = np.log(weights[:, :k])
    exact = [[mp.exp(mpf(float(x))) for x in row] for row in log_p]
    left = [1 - mp.fsum(row) for row in exact]
    tail = np.array([float(x) for x in left])
    error = np.array([float(abs(x - mpf(float(t)))) for x, t in zip(left, tail, strict=True)])
    told = TopKRows(
        np.arange(0, rows * k + 1, k),
        np.tile(np.arange(k), rows),
        log_p.ravel(),
        np.zeros(rows),
        tail,
        error * (1 + 1e-9),
        np.ones(rows),
        np.full(rows, np.nan),
        np.full(rows, np.nan),
    )
    return told, [[*row, x] for row, x in zip(exact, left, strict=True)]


def test_rounding_is_inside_where_the_ends_are_the_truth() -> None:
    """Nothing but rounding is between the truth and an end of the interval, so half would fail."""
    rng = np.random.default_rng(9)
    told_p, p = exactly_told(rng, 400, 3)
    told_q, q = exactly_told(rng, 400, 3)
    found = compare_topk(told_p, told_q)
    for row in range(400):
        together = truth(p[row], q[row])
        # The same tail with the two tokens on different places.
        apart = truth([*p[row], mpf(0)], [*q[row][:3], mpf(0), q[row][3]])
        for name in NAMES:
            lower, upper = (mpf(float(x[row])) for x in limits(found, name))
            assert lower <= together[name], name
            assert lower == pytest.approx(together[name], rel=1e-9)
            assert apart[name] <= upper, name
            if name in ("js", "tv"):
                assert upper == pytest.approx(apart[name], rel=1e-9)
