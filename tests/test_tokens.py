"""Per-token statistics against the oracle, and everything that a label can do wrong."""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np
import pytest
from layouts import DTYPES, Case, logit_cases, rows
from reference import (
    ORACLES,
    UNIT,
    Bound,
    bound,
    exact,
    excess,
    log_normalisers,
    log_tolerance,
    logits_magnitude,
    mp,
    mpf,
    reference,
    rows_in_form,
    share,
    token_nll,
    truncated_kl,
)

import fastdiv as fd
from fastdiv import _core

LABEL_TYPES = [np.dtype(c) for c in "bBhHiIqQ"]
FIELDS = {
    "kl": "kl_divergence",
    "reverse_kl": "reverse_kl_divergence",
    "js": "js_divergence",
    "tv": "total_variation",
    "hellinger": "hellinger_distance",
    "chi2": "chi2_divergence",
}
EVERY = fd.LogitComparison._fields


def cases(dtype):
    return [case for case in logit_cases(dtype) if case.n < 2000 or case.n == 4097]


def labels_of(n):
    return sorted({0, n // 3, n // 2, n - 1})


@pytest.fixture
def logits():
    return np.random.default_rng(3).normal(0, 3, (4, 6, 50)).astype(np.float32)


@pytest.fixture
def labels():
    return np.random.default_rng(4).integers(0, 50, (4, 6))


# --- accuracy -------------------------------------------------------------------------------------


def nll_and_bound(case, which, label):
    row = rows(case)[which]
    want = log_normalisers(case)[which] - mpf(float(row[label]))
    return want, Bound(log_tolerance(case.dtype, want, logits_magnitude(row)))


@pytest.mark.promise("P4")
def test_token_nll(isa, dtype, worst):
    """P4, with labels on the maximum, beside it and behind a mask."""
    problems, nearest = [], 0.0
    for case in cases(dtype):
        for which, row in enumerate(rows(case)):
            for label in {*labels_of(case.n), int(np.argmax(row.astype(np.float64)))}:
                want, allowed = nll_and_bound(case, which, label)
                got = fd.token_nll(row, label)
                nearest = max(nearest, share(got, want, allowed))
                problem = excess(got, want, allowed)
                if problem:
                    problems.append(f"{case}, label {label}: {problem}")
    worst(nearest, f"of what is allowed: NLL against 50 digits, {dtype}", 1)
    assert problems == []


@pytest.mark.promise("P4")
def test_peaked_nll(isa, dtype):
    """The label's own e⁰ must not swallow an NLL of 1e-20."""
    for gap in (10, 46, 80):
        row = np.full(1000, -gap, DTYPES[dtype])
        row[700] = 0
        want = token_nll(exact(row), 700)
        allowed = Bound(log_tolerance(dtype, want, gap))
        assert excess(fd.token_nll(row, 700), want, allowed) is None


@pytest.mark.promise("P4")
def test_logsumexp(isa, dtype):
    problems = []
    for case in cases(dtype):
        for which, row in enumerate(rows(case)):
            # The top token's NLL has P4's bound, and the top itself is exact.
            nll, allowed = nll_and_bound(case, which, int(np.argmax(row.astype(np.float64))))
            want = log_normalisers(case)[which]
            absolute = allowed.relative * float(nll) + 2.0**-52 * abs(float(want)) + 5e-324
            problem = excess(fd.logsumexp(row), want, Bound(0.0, absolute))
            if problem:
                problems.append(f"{case}: {problem}")
    assert problems == []


def test_logsumexp_special(isa, dtype):
    inf = np.inf
    rows = np.array([[-inf, -inf], [-inf, 1], [np.nan, 1], [0, 0]]).astype(DTYPES[dtype])
    result = fd.logsumexp(rows)
    assert result[0] == -inf
    assert result[1] == 1
    assert np.isnan(result[2])
    assert result[3] == pytest.approx(math.log(2), rel=1e-7)
    assert fd.logsumexp(rows.T, axis=0).tobytes() == result.tobytes()


@cache
def truncated(case, floor):
    """The log-probabilities of a case, their truncated KL, and the size of its terms' parts."""
    (a, b), (z_a, z_b) = rows(case), log_normalisers(case)
    with np.errstate(over="ignore", invalid="ignore"):
        log_p = (a.astype(np.float64) - float(z_a)).astype(a.dtype)
    x, y = exact(log_p), exact(b)
    kept = [(i, j - z_b) for i, j in zip(x, y, strict=True) if i > floor]
    size = mp.fsum(mp.exp(i) * (abs(i) + abs(j)) for i, j in kept if not mp.isinf(j))
    return log_p, truncated_kl(x, y, floor), float(size)


@pytest.mark.promise("P4")
def test_truncated_kl(isa, dtype):
    """A literal sum of terms of both signs has the accuracy of the logarithms in it."""
    problems = []
    for case in cases(dtype):
        b = rows(case)[1]
        relative = 1e-6 if dtype != "float64" else 16 * UNIT[dtype] * (1 + logits_magnitude(b))
        for floor in (-16.0, -6.0):
            log_p, want, size = truncated(case, floor)
            got = fd.truncated_kl(log_p, b, floor=floor)
            problem = excess(got, want, Bound(0.0, relative * size + 5e-324))
            if problem:
                problems.append(f"{case}, floor {floor}: {problem}")
    assert problems == []


def test_truncated_kl_floor_is_excluded(isa):
    log_p, b = np.array([-1.0, -16.0, -2.0]), np.zeros(3)
    kept = sum(math.exp(x) * (x + math.log(3)) for x in (-1.0, -2.0))
    assert fd.truncated_kl(log_p, b) == pytest.approx(kept, rel=1e-14)
    assert fd.truncated_kl(np.full(3, -20.0), b) == 0


def entropy_bound(dtype, want, row):
    return Bound(log_tolerance(dtype, want, logits_magnitude(row)), 5e-324)


@cache
def comparison(case, label):
    """Each field of a comparison with its bound."""
    wants = {
        field: (reference(name, case, "logits"), bound(name, case, "logits"))
        for field, name in FIELDS.items()
    }
    for which, model in enumerate(("base", "candidate")):
        row = rows(case)[which]
        p = rows_in_form(case, "logits")[which]
        want = ORACLES["entropy"](p, p)
        wants[f"entropy_{model}"] = want, entropy_bound(case.dtype, want, row)
        # Of equal elements the same rounding comes again and again.
        narrow = 2e-7 if case.kind == "logits_repeated" else 1e-7
        wants[f"confidence_{model}"] = max(p), Bound(4e-15 if case.dtype == "float64" else narrow)
    wants["nll_base"] = nll_and_bound(case, 0, label)
    wants["nll_candidate"] = nll_and_bound(case, 1, label)
    p, q = (row[label] for row in rows_in_form(case, "logits"))
    # An NLL's error is its probability's relative error; the exponential adds its own.
    slack = 5e-324
    for probability, field in ((p, "nll_base"), (q, "nll_candidate")):
        nll, allowed = wants[field]
        if probability:
            slack += float(probability) * (allowed.relative * float(nll) + 16 * 2.0**-53)
    wants["delta_p"] = q - p, Bound(0.0, slack)
    return wants


@pytest.mark.promise("P4")
def test_compare_logits(isa, dtype, worst):
    """Each field has the accuracy of the divergence that it is."""
    problems, nearest = [], 0.0
    for case in cases(dtype):
        a, b = rows(case)
        for label in labels_of(case.n):
            result = fd.compare_logits(a, b, label, fields=EVERY)
            for field, (want, allowed) in comparison(case, label).items():
                got = getattr(result, field)
                nearest = max(nearest, share(got, want, allowed))
                problem = excess(got, want, allowed)
                if problem:
                    problems.append(f"{case}, label {label}, {field}: {problem}")
            assert result.same_top == (np.argmax(a.astype(float)) == np.argmax(b.astype(float)))
    worst(nearest, f"of what is allowed: fields of compare_logits against 50 digits, {dtype}", 1)
    assert problems == []


def test_compare_logits_agrees_with_the_divergences(isa, dtype, logits):
    """One read of both gives what the single functions give."""
    a = logits.astype(DTYPES[dtype])
    b = (logits + np.float32(0.25) * logits[::-1]).astype(DTYPES[dtype])
    result = fd.compare_logits(a, b, fields=(*EVERY[:5], "chi2"))
    for field, name in FIELDS.items():
        np.testing.assert_allclose(
            getattr(result, field), getattr(fd, name)(a, b, from_logits=True), rtol=1e-6
        )


def test_same_top_takes_the_first_of_equals(isa):
    result = fd.compare_logits([[1.0, 3, 3], [1, 3, 3]], [[0.0, 7, 1], [0, 1, 7]])
    assert result.same_top.tolist() == [True, False]
    assert result.same_top.dtype == bool


@pytest.mark.promise("P4")
def test_perplexity(isa, dtype):
    case = Case(dtype, "logits", 513)
    batch = np.stack([row for n in range(3) for row in rows(case._replace(size=float(n)))])
    labels = np.array([0, 512, 100, -100, 256, 7])
    nll = [token_nll(exact(row), y) for row, y in zip(batch, labels, strict=True) if y >= 0]
    mean = mp.fsum(nll) / len(nll)
    result = fd.perplexity(batch, labels)
    assert isinstance(result, float)
    relative = log_tolerance(dtype, mean, logits_magnitude(batch)) * float(mean)
    assert excess(result, mp.exp(mean), Bound(relative)) is None


# --- what comes out -------------------------------------------------------------------------------


def test_shapes(logits, labels):
    nll = fd.token_nll(logits, labels)
    assert nll.shape == (4, 6)
    assert nll.dtype == np.float64
    single = fd.token_nll(logits[1, 2], labels[1, 2])
    assert type(single) is np.float64
    assert single == nll[1, 2]
    assert type(fd.logsumexp(logits[1, 2])) is np.float64
    assert fd.token_nll(logits, 7).shape == (4, 6)
    assert (
        fd.token_nll(logits, labels[:1]) == fd.token_nll(logits, np.repeat(labels[:1], 4, 0))
    ).all()
    assert fd.token_nll(logits[:, :0], labels[:, :0]).shape == (4, 0)
    result = fd.compare_logits(logits, logits[::-1], labels)
    found = {name: column for name, column in result._asdict().items() if column is not None}
    assert found.keys() == set(EVERY) - {"chi2", "rank_base", "rank_candidate", "top_k_overlap"}
    integers = {"same_top": bool, "top_base": np.int64, "top_candidate": np.int64}
    for name, column in found.items():
        assert column.shape == (4, 6)
        assert column.dtype == integers.get(name, np.float64)
    assert fd.compare_logits(logits[:0], logits[:0]).kl.shape == (0, 6)
    assert fd.compare_logits(logits[0, 0], logits, labels).kl.shape == (4, 6)


def test_without_labels(logits):
    result = fd.compare_logits(logits, logits)
    assert result.nll_base is None
    assert result.nll_candidate is None
    assert result.delta_p is None
    assert (result.kl == 0).all()
    assert result.same_top.all()
    assert not np.signbit(result.kl).any()


def test_fields_are_those_of_the_interface():
    assert EVERY[:9] == (
        "kl",
        "reverse_kl",
        "js",
        "tv",
        "hellinger",
        "nll_base",
        "nll_candidate",
        "delta_p",
        "same_top",
    )
    assert set(EVERY) == set(_core.COMPARISONS)
    assert set(fd.TokenStatistics._fields) == set(_core.STATISTICS)


# --- fields, temperatures, weights ----------------------------------------------------------------


@pytest.fixture
def pair(dtype):
    rng = np.random.default_rng(8)
    a = rng.normal(0, 4, (5, 3, 2100))
    b = a + rng.normal(0, 0.7, a.shape)
    a[..., ::7], b[..., ::5] = b[..., ::7], a[..., ::5]
    return a.astype(DTYPES[dtype]), b.astype(DTYPES[dtype]), rng.integers(0, 2100, (5, 3))


def test_any_fields_have_the_same_bits(isa, pair):
    whole = fd.compare_logits(*pair, fields=EVERY)
    for chosen in (*([name] for name in EVERY), ["kl", "js"], ["kl", "hellinger", "rank_base"]):
        some = fd.compare_logits(*pair, fields=chosen)
        for name in EVERY:
            if name in chosen:
                assert getattr(some, name).tobytes() == getattr(whole, name).tobytes()
            else:
                assert getattr(some, name) is None
    one = fd.token_stats(pair[0], pair[2])
    for name in one._fields:
        assert fd.token_stats(pair[0], pair[2], fields=name)._asdict()[name].tobytes() == (
            getattr(one, name).tobytes()
        )


def test_ranks_and_tops(isa, pair):
    a, b, labels = (np.asarray(x, np.int64 if x is pair[2] else np.float64) for x in pair)
    found = fd.compare_logits(*pair, fields=EVERY, top_k=17)
    one = fd.token_stats(pair[0], pair[2])
    order_a, order_b = (np.argsort(-x, axis=-1, kind="stable") for x in (a, b))
    for order, rank, top in (
        (order_a, found.rank_base, found.top_base),
        (order_b, found.rank_candidate, found.top_candidate),
        (order_a, one.rank, one.argmax),
    ):
        assert (rank == 1 + np.argmax(order == labels[..., None], axis=-1)).all()
        assert (top == order[..., 0]).all()
    for k in (1, 2, 17, 128):
        overlap = fd.compare_logits(*pair, fields=["top_k_overlap"], top_k=k).top_k_overlap
        for at in np.ndindex(5, 3):
            both = set(order_a[at][:k]) & set(order_b[at][:k])
            assert overlap[at] == len(both) / k


def test_ties_rank_in_order(isa):
    rows = np.float32([[1, 2, 2, 1, 2]] * 5)
    assert fd.token_stats(rows, np.arange(5)).rank.tolist() == [4, 1, 2, 5, 3]
    found = fd.compare_logits(rows[0], [2.0, 1, 1, 1, 2], fields=["top_k_overlap"], top_k=2)
    assert found.top_k_overlap == 0  # {1, 2} and {0, 4}
    few = fd.compare_logits(rows[0], rows[1], fields=["top_k_overlap"], top_k=128)
    assert few.top_k_overlap == 1


def test_all_masked_but_some(isa, dtype):
    a = np.full((2, 300), -np.inf).astype(DTYPES[dtype])
    a[:, 290] = 1
    a[1, 7] = 1
    found = fd.token_stats(a, [290, 3])
    assert found.entropy[0] == 0
    assert found.entropy[1] == pytest.approx(math.log(2), rel=1e-6)
    assert found.rank.tolist() == [1, 6]
    assert found.argmax.tolist() == [290, 7]
    assert found.max_prob.tolist() == pytest.approx([1, 0.5], rel=2e-8)
    assert found.nll.tolist() == [0, math.inf]


def test_temperature_is_a_division(isa, pair):
    a, b, labels = pair
    for temperature in (0.5, 3.0, 17.3):
        wide_a, wide_b = (x.astype(np.float64) / temperature for x in (a, b))
        given = {"fields": EVERY, "weight": 0.25}
        found = fd.compare_logits(a, b, labels, temperature=temperature, **given)
        wide = fd.compare_logits(wide_a, wide_b, labels, **given)
        for one, want in zip(found, wide, strict=True):
            assert one.tobytes() == want.tobytes()
        stats = fd.token_stats(a, labels, temperature=temperature)
        for one, want in zip(stats, fd.token_stats(wide_a, labels), strict=True):
            assert one.tobytes() == want.tobytes()
        nll = fd.token_nll(a, labels, temperature=temperature)
        assert nll.tobytes() == stats.nll.tobytes()
        assert fd.perplexity(a, labels, temperature=temperature) == pytest.approx(
            math.exp(nll.mean()), rel=1e-12
        )


def test_temperatures_broadcast(isa, pair):
    a, b, labels = pair
    sweep = np.array([0.3, 1.0, 4.0])[:, None, None]
    found = fd.compare_logits(a, b, labels, temperature=sweep, weight=[0.5, 0.1, 1.0])
    for i, temperature in enumerate(sweep.ravel()):
        for j, weight in enumerate((0.5, 0.1, 1.0)):
            want = fd.compare_logits(
                a[:, j], b[:, j], labels[:, j], temperature=temperature, weight=weight
            )
            for one, other in zip(found, want, strict=True):
                assert (one is None) == (other is None)
                assert one is None or one[i, :, j].tobytes() == other.tobytes()


def test_weight_is_that_of_the_base(isa, pair):
    a, b, _ = (x[0] for x in pair)
    for weight in (0.0, 0.1, 0.9, 1.0):
        js = fd.compare_logits(a, b, weight=weight, fields=["js"]).js
        want = fd.js_divergence(a, b, weight=weight, from_logits=True)
        np.testing.assert_allclose(js, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fields": ["kl", "kld"]}, "no field 'kld'"),
        ({"fields": ["rank_base"]}, "'rank_base' is of the labels"),
        ({"temperature": 0}, "temperature is 0.0; it takes finite numbers above 0"),
        ({"temperature": [1, -2]}, "temperature is -2.0"),
        ({"temperature": math.nan}, "temperature is NaN"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"weight": 1.5}, "weight is 1.5"),
        ({"top_k": 0}, "top_k is 0; it takes 1…128"),
        ({"top_k": 129}, "top_k is 129"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_k": True}, "top_k is True"),
        ({"vocab_size": 9}, "vocab_size 9 is not in 1…3"),
    ],
)
def test_bad_options(options, problem):
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        fd.compare_logits(np.zeros((2, 3)), np.zeros((2, 3)), **options)
    assert str(caught.value).startswith("compare_logits: ")


def test_types_of_options():
    with pytest.raises(TypeError, match=r"compare_logits: vocab_size is '3'; it takes an integer"):
        fd.compare_logits(np.zeros(3), np.zeros(3), vocab_size="3")
    for wrong in (True, np.True_, 3.0):
        message = rf"vocab_size is {wrong!r}; it takes an integer"
        with pytest.raises(TypeError, match=f"^token_nll: {message}"):
            fd.token_nll(np.zeros(3), 0, vocab_size=wrong)
        with pytest.raises(TypeError, match=f"^PerplexityMeter: {message}"):
            fd.PerplexityMeter(vocab_size=wrong)
    with pytest.raises(TypeError, match="token_stats: temperature is 'hot'"):
        fd.token_stats(np.zeros(3), temperature="hot")


def test_infinity_of_what_underflows(isa, dtype):
    """e^−800 is no double, but it is no zero either."""
    a, b = (np.array(x).astype(DTYPES[dtype]) for x in ([-800, 0, 0], [-np.inf, 0, 1]))
    found = fd.compare_logits([a, b], [b, a], fields=(*EVERY[:5], "chi2"))
    assert found.kl.tolist() == [np.inf, pytest.approx(float(found.reverse_kl[0]), rel=1e-6)]
    assert found.reverse_kl[1] == np.inf
    assert found.chi2[0] == np.inf
    assert np.isfinite([found.js, found.tv, found.hellinger]).all()
    assert fd.kl_divergence(a, b, from_logits=True) == np.inf


@pytest.mark.parametrize(
    ("far", "near"), [(800, 1), (720, 1), (740, 40), (1, 800), (900, 900.5), (30, 29.5), (3e4, 2e4)]
)
def test_delta_p_of_far_probabilities(isa, far, near):
    """Nothing times infinity, and a lost digit, on the way to a plain difference."""
    for dtype in (np.float32, np.float64):
        a, b = np.array([[0, -far], [0, -near]], dtype)
        p, q = (mp.exp(mpf(float(x[1]))) / (1 + mp.exp(mpf(float(x[1])))) for x in (a, b))
        found = fd.compare_logits(a, b, 1)
        want = float(q - p)
        assert float(found.delta_p) == pytest.approx(want, rel=1e-6, abs=1e-300)
        assert -1 <= found.delta_p <= 1


@pytest.mark.parametrize("gap", [10, 90, 700, 760, 900, 6e4])
def test_no_probability_is_infinitely_far_however_small_the_other(isa, dtype, gap):
    """What underflows is no zero: f'(∞) is infinite, whatever it multiplies."""
    a, b = np.array([[0, -gap], [0, -np.inf]]).astype(DTYPES[dtype])
    for p, q, infinite, finite in ((a, b, "kl", "reverse_kl"), (b, a, "reverse_kl", "kl")):
        found = fd.compare_logits(p, q)
        assert getattr(found, infinite) == np.inf
        assert np.isfinite(getattr(found, finite))
    assert fd.kl_divergence(a, b, from_logits=True) == np.inf
    assert fd.reverse_kl_divergence(b, a, from_logits=True) == np.inf
    assert fd.kl_divergence(b, a, from_logits=True) == pytest.approx(
        float(np.log1p(np.exp(-float(-a[1])))), rel=1e-6, abs=1e-300
    )
    assert fd.kl_divergence(b, b, from_logits=True) == 0


def test_shapes_of_numbers_beside_the_rows():
    rows = np.zeros((3, 5))
    for name in ("temperature", "weight"):
        with pytest.raises(ValueError, match=rf"compare_logits: {name} has shape \(2,\)"):
            fd.compare_logits(rows, rows, [0, 1, 2], **{name: [0.5, 0.7]})
    with pytest.raises(ValueError, match=r"token_stats: temperature has shape \(2,\)"):
        fd.token_stats(rows, temperature=[1.0, 2.0])


def test_huge_and_far_rows(isa, dtype):
    """A constant added to a row changes nothing, and what is far below vanishes smoothly."""
    rng = np.random.default_rng(5)
    whole = rng.integers(-40, 40, (2, 700)).astype(np.float64)
    a, b = whole
    want = fd.compare_logits(a, b, 3, fields=EVERY)
    for shift in (-100, 64, 128):
        shifted = fd.compare_logits(
            (a + shift).astype(DTYPES[dtype]), (b - shift).astype(DTYPES[dtype]), 3, fields=EVERY
        )
        if dtype == "bfloat16" and abs(shift) > 64:
            continue  # eight bits hold no number of 140 beside its odd neighbours
        for name in EVERY:
            np.testing.assert_allclose(
                getattr(shifted, name), getattr(want, name), rtol=2e-6, err_msg=name
            )


def test_base_is_a_unit(logits, labels):
    np.testing.assert_allclose(
        fd.token_nll(logits, labels, base=2), fd.token_nll(logits, labels) / math.log(2), rtol=1e-15
    )


def test_out(logits, labels):
    out = np.full((4, 6), 9.0)
    assert fd.token_nll(logits, labels, out=out) is out
    assert (out == fd.token_nll(logits, labels)).all()
    for wrong in (np.empty((4, 5)), np.empty((6, 4))):
        with pytest.raises(ValueError, match=r"out|shape|dimension"):
            fd.token_nll(logits, labels, out=wrong)
    with pytest.raises(TypeError):
        fd.token_nll(logits, labels, out=np.empty((4, 6), np.int64))
    with pytest.raises(TypeError):
        fd.token_nll(logits, labels, out=[[0.0] * 6] * 4)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("integer", LABEL_TYPES, ids=str)
def test_label_types(isa, logits, labels, integer):
    want = fd.token_nll(logits, labels)
    assert (fd.token_nll(logits, labels.astype(integer)) == want).all()
    assert (fd.token_nll(logits, labels.astype(integer.newbyteorder(">"))) == want).all()
    assert (fd.token_nll(logits, np.asfortranarray(labels.astype(integer))) == want).all()


def test_labels_as_a_list(logits, labels):
    assert (fd.token_nll(logits, labels.tolist()) == fd.token_nll(logits, labels)).all()


FUNCTIONS = {
    "token_nll": lambda x, y, **o: fd.token_nll(x, y, **o),
    "perplexity": lambda x, y, **o: fd.perplexity(x, y, **o),
    "token_stats": lambda x, y, **o: fd.token_stats(x, y, **o),
    "compare_logits": lambda x, y, **o: fd.compare_logits(x, x, y, **o),
}


@pytest.fixture(params=FUNCTIONS)
def function(request):
    return FUNCTIONS[request.param]


@pytest.mark.parametrize("bad", [50, 51, -1, -50, -99, -101, 2**31, 2**40, -(2**62)])
def test_label_out_of_range(isa, function, logits, labels, bad):
    labels[2, 3] = bad
    with pytest.raises(IndexError) as error:
        function(logits.reshape(-1, 50), labels.ravel())
    for fact in (15, bad, 50):  # row, value, vocabulary
        assert str(fact) in str(error.value)


def test_label_beyond_int64(isa, logits, labels):
    labels = labels.astype(np.uint64)
    labels[0, 0] = 2**64 - 100  # is -100 where a cast wraps
    with pytest.raises(IndexError, match=str(2**64 - 100)):
        fd.token_nll(logits, labels)


def test_small_type_label_out_of_range(isa, logits):
    with pytest.raises(IndexError, match="200"):
        fd.token_nll(logits[0], np.full(6, 200, np.uint8))
    with pytest.raises(IndexError, match="-1"):
        fd.token_nll(logits[0], np.full(6, -1, np.int8))


@pytest.mark.promise("P8")
def test_out_is_untouched_by_a_bad_label(isa, logits, labels):
    out = np.full((4, 6), 9.0)
    labels[3, 5] = 50
    with pytest.raises(IndexError):
        fd.token_nll(logits, labels, out=out)
    assert (out == 9).all()


@pytest.mark.parametrize("kind", [float, bool, complex, object, "U1", "datetime64[s]"])
def test_labels_that_are_not_integers(function, logits, kind):
    with pytest.raises(TypeError, match="label"):
        function(logits, np.zeros((4, 6), kind))


def test_ignored_labels(isa, logits, labels):
    labels[0, :4] = -100
    nll = fd.token_nll(logits, labels)
    assert (nll[0, :4] == 0).all()
    assert not np.signbit(nll).any()
    assert (nll[0, 4:] > 0).all()
    result = fd.compare_logits(logits, logits[::-1], labels)
    for column in (result.nll_base, result.nll_candidate, result.delta_p):
        assert (column[0, :4] == 0).all()
        assert (column[0, 4:] != 0).all()
    assert (result.kl[0] > 0).all()
    kept = fd.token_nll(logits, labels)[labels >= 0]
    assert fd.perplexity(logits, labels) == pytest.approx(math.exp(math.fsum(kept) / 20), rel=1e-15)


def test_ignored_rows_may_hold_anything(isa, logits, labels):
    labels[1, 1], logits[1, 1, 4] = -100, np.nan
    assert fd.token_nll(logits, labels)[1, 1] == 0
    assert math.isfinite(fd.perplexity(logits, labels))


@pytest.mark.parametrize("ignored", [0, 7, -1, 255])
def test_other_ignore_index(isa, function, logits, labels, ignored):
    labels[labels == ignored] = 1
    labels[1, 1] = ignored
    assert np.isfinite(fd.token_nll(logits, labels, ignore_index=ignored)).all()
    assert fd.token_nll(logits, labels, ignore_index=ignored)[1, 1] == 0
    function(logits, labels, ignore_index=ignored)
    labels[1, 2] = -100
    with pytest.raises(IndexError, match="-100"):
        function(logits, labels, ignore_index=ignored)


def fields_of(found):
    return found if isinstance(found, tuple) else (found,)


def test_none_ignores_nothing(function, logits, labels):
    """It is what PyTorch's own metrics mean by it."""
    for ignored in (np.int32(-1), np.uint8(255)):  # whose labels there are not
        given, want = (function(logits, labels, ignore_index=x) for x in (None, ignored))
        for x, y in zip(*map(fields_of, (given, want)), strict=True):
            np.testing.assert_array_equal(x, y)
    for label in (-1, -100):  # what stands for no label elsewhere
        labels[1, 1] = label
        with pytest.raises(IndexError, match=rf"is {label}; a vocabulary of 50 takes 0…49$"):
            function(logits, labels, ignore_index=None)


@pytest.mark.parametrize("wrong", ["a", 1.5, np.float32(1), True, np.True_, [1], np.array([1])])
def test_ignore_index_is_an_integer_or_none(function, logits, labels, wrong):
    name = re.escape(f"ignore_index is {wrong!r}; it takes an integer or None")
    with pytest.raises(TypeError, match=rf"^\w+: {name}$"):
        function(logits, labels, ignore_index=wrong)
    for name_of, call in (
        ("compare_logits", lambda x: fd.compare_logits(logits, logits, ignore_index=x)),
        ("token_stats", lambda x: fd.token_stats(logits, ignore_index=x)),
        ("PerplexityMeter", lambda x: fd.PerplexityMeter(ignore_index=x)),
        ("ComparisonMeter", lambda x: fd.ComparisonMeter(ignore_index=x)),
    ):
        with pytest.raises(TypeError, match=f"^{name_of}: {name}$"):
            call(wrong)


def test_nothing_to_average(logits, labels):
    for x, y in ((logits, np.full((4, 6), -100)), (logits[:0], labels[:0])):
        with pytest.raises(ValueError, match="perplexity"):
            fd.perplexity(x, y)


# --- vocabularies ---------------------------------------------------------------------------------


def test_vocab_size_cuts_the_padding(isa, dtype, logits, labels):
    logits = logits.astype(DTYPES[dtype])
    padded = np.concatenate([logits, np.full((4, 6, 14), 1000).astype(logits.dtype)], axis=-1)
    other = np.concatenate([logits[::-1], np.full((4, 6, 3), np.nan).astype(logits.dtype)], axis=-1)
    assert (fd.token_nll(padded, labels, vocab_size=50) == fd.token_nll(logits, labels)).all()
    assert fd.perplexity(padded, labels, vocab_size=50) == fd.perplexity(logits, labels)
    cut = fd.compare_logits(padded, other, labels, vocab_size=50)
    for got, want in zip(cut, fd.compare_logits(logits, logits[::-1], labels), strict=True):
        np.testing.assert_array_equal(got, want)
    labels[0, 0] = 50
    with pytest.raises(IndexError, match="50"):
        fd.token_nll(padded, labels, vocab_size=50)


def test_vocabularies_must_match(logits):
    with pytest.raises(ValueError, match=r"50.*40|40.*50"):
        fd.compare_logits(logits, logits[..., :40])
    assert fd.compare_logits(logits, logits[..., :40], vocab_size=40).kl.max() == 0


@pytest.mark.parametrize("size", [0, -1, 51])
def test_impossible_vocab_size(function, logits, labels, size):
    with pytest.raises(ValueError, match="vocab"):
        function(logits, labels, vocab_size=size)


def test_shapes_must_match(function, logits, labels):
    with pytest.raises(ValueError, match=r"mismatch|broadcast|shape"):
        function(logits, labels[:, :5])
    with pytest.raises(ValueError, match=r"empty|vocab"):
        function(logits[..., :0], labels)


def test_masked_labels(isa, dtype):
    """A token that was masked away has probability 0: an infinite NLL, no warning."""
    row = np.array([0, -np.inf, 1]).astype(DTYPES[dtype])
    assert fd.token_nll(row, 1) == np.inf
    result = fd.compare_logits(row, row, 1)
    assert result.nll_base == np.inf
    assert result.delta_p == 0
    assert result.kl == 0
    with np.errstate(invalid="ignore"):
        for bad in ([-np.inf] * 3, [0, np.inf, 1], [0, np.nan, 1]):
            assert np.isnan(fd.token_nll(np.array(bad).astype(DTYPES[dtype]), 0))


@pytest.mark.parametrize(("kind", "bits"), [("f8", 0x7FF00000000007A2), ("f4", 0x7FC00001)])
def test_a_nan_with_a_payload_is_a_nan(isa, kind, bits):
    logits = np.arange(40, dtype=kind)
    logits.view(kind.replace("f", "u"))[7] = bits
    assert np.isnan(fd.logsumexp(logits))
    assert np.isnan(fd.token_nll(logits, 3))
    assert np.isnan(fd.kl_divergence(logits, np.zeros(40), from_logits=True))


def test_logits_of_any_size(isa):
    """Differences that the window of float rounds away."""
    for size in (1e4, 1e9, 1e12):
        p, q = np.array([size, -size], np.float32), np.array([-size, size], np.float32)
        want = 2 * float(p[0])
        assert fd.kl_divergence(p, q, from_logits=True) == pytest.approx(want, rel=1e-6)
        assert fd.total_variation(p, q, from_logits=True) == 1
        assert fd.token_nll(p, 1) == want


def test_rows_that_start_at_one_address(isa):
    logits = np.random.default_rng(1).normal(size=(3, 3))
    aliased = fd.cross_entropy(logits, logits.T, from_logits=True)
    apart = fd.cross_entropy(logits, logits.T.copy(), from_logits=True)
    assert (aliased == apart).all()


@pytest.mark.promise("P7")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_threads_share(dtype, threads):
    """A maximum in a late segment, ties across segments, far tokens and a mask: the same bits."""
    rng = np.random.default_rng(5)
    base = rng.normal(0, 3, (3, 4_500_000)).astype(dtype)
    candidate = base + rng.normal(0, 0.5, base.shape).astype(dtype)
    candidate[:, ::1000] += 7
    base[:, -5] = base[:, 3] = 31  # the first of both is the top
    candidate[:, 2_500_000] = 45
    candidate[1, :2_200_000] = -np.inf
    labels = np.array([4_400_000, 7, -100])
    fields = [*fd.LogitComparison._fields]

    def all_of_them(rows):
        some = base[rows], candidate[rows], labels[rows]
        found = [np.asarray(x) for x in fd.compare_logits(*some, fields=fields)]
        found += [np.asarray(x) for x in fd.token_stats(some[0], some[2])]
        return [*found, fd.token_nll(some[1], some[2])]

    fd.set_num_threads(1)
    want = all_of_them(slice(3))
    names = [*fields, *(f"token_stats {name}" for name in fd.TokenStatistics._fields), "token_nll"]
    for count in threads:
        fd.set_num_threads(count)
        for part in (slice(3), slice(1), slice(1, 2)):
            for name, x, y in zip(names, all_of_them(part), want, strict=True):
                assert x.tobytes() == y[part].tobytes(), (name, count, part)
    assert want[fields.index("top_base")].tolist() == [3, 3, 3]
    assert want[fields.index("top_candidate")].tolist() == [2_500_000] * 3
    # In long double, and not by segments.
    a, b = (x[0].astype(np.longdouble) for x in (base, candidate))
    p, q = np.exp(a - a.max()), np.exp(b - b.max())
    ratio = (a - b) - (a.max() - b.max()) - np.log(p.sum() / q.sum())
    kl = np.sum(p * ratio) / p.sum()
    assert want[fields.index("kl")][0] == pytest.approx(float(kl), rel=1e-6)
    nll = np.log(q.sum()) + b.max() - b[labels[0]]
    assert want[-1][0] == pytest.approx(float(nll), rel=1e-6 if dtype == "float32" else 1e-14)
    entropy = np.log(p.sum()) - np.sum(p * (a - a.max())) / p.sum()
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    assert want[fields.index("entropy_base")][0] == pytest.approx(float(entropy), rel=tolerance)
