"""P7: the bits of a row's result depend on the row, its dtype and the parameters alone."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Callable
from functools import lru_cache, partial

import ml_dtypes
import numpy as np
import pytest
from layouts import DTYPES

import fastdiv as fd

FORMS = {"generalised": {"normalize": False}, "normalised": {}, "logits": {"from_logits": True}}
ODD = (1, 3, 7, 13, 31, 97, 255, 259, 515, 2051)
TOKEN_FUNCTIONS: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "token_nll": lambda a, b: (fd.token_nll(a, a.shape[-1] // 2),),
    "logsumexp": lambda a, b: (fd.logsumexp(a),),
    "truncated_kl": lambda a, b: (fd.truncated_kl(a, b),),
    "token_stats": lambda a, b: tuple(fd.token_stats(a, a.shape[-1] // 2)),
    "compare_logits": lambda a, b: tuple(
        fd.compare_logits(a, b, a.shape[-1] // 2, fields=fd.LogitComparison._fields)
    ),
    "tempered": lambda a, b: tuple(
        fd.compare_logits(
            a,
            b,
            a.shape[-1] // 2,
            fields=fd.LogitComparison._fields,
            temperature=0.7,
            weight=0.3,
            top_k=128,
        )
    ),
}


@lru_cache(maxsize=64)
def batch(dtype, form, n, count):
    """Rows far apart, near, equal, sparse or masked, half subnormal, and one with a NaN."""
    rng = np.random.default_rng(n)
    p, q = rng.gamma(0.5, size=(2, count, n)) + 1e-4
    if form == "logits":
        p, q = 3 * np.log(p), 3 * np.log(q)
    near = np.arange(count) % 4 == 1
    q[near] = p[near] * (1 + 1e-3 * rng.standard_normal((near.sum(), n)))
    q[2::4] = p[2::4]
    nothing = -np.inf if form == "logits" else 0.0
    hidden = rng.random((count, n)) < 0.3
    hidden[:, 0] = False
    p[3::4][hidden[3::4]] = nothing
    q[3::8][hidden[3::8]] = nothing
    tiny = 60.0 if form == "logits" else float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)
    small = (np.arange(count) % 8 == 4)[:, None] & (rng.random((count, n)) < 0.7)
    small[:, 0] = False
    p[small] = p[small] - tiny if form == "logits" else p[small] * tiny
    q[small & (np.arange(n) % 2 == 0)] *= 0.5
    if dtype == "float64" and form == "normalised":  # sums far from 1, beyond doubles, or both
        p[5::8] *= 1e-200
        q[6::8] *= 1e300
        p[7::8] *= 1e307
        q[7::16] *= 1e307
    p[0, n // 2] = np.nan
    return p.astype(DTYPES[dtype]), q.astype(DTYPES[dtype])


def bits(result):
    return np.ascontiguousarray(result, np.float64).view(np.int64)


def same(columns, wanted):
    for i, (column, want) in enumerate(zip(columns, wanted, strict=True)):
        differing = np.flatnonzero(bits(column) != bits(want))
        assert differing.size == 0, (i, np.ravel(column)[differing], np.ravel(want)[differing])


@pytest.fixture(params=[*FORMS, *TOKEN_FUNCTIONS])
def statistic(request, dtype, divergences):
    """A function of a batch of pairs that returns columns of results, and what makes the batch."""
    name = request.param
    form = name if name in FORMS else "logits"

    def columns(p, q):
        return tuple(d(p, q, **FORMS[name]) for d in divergences)

    return TOKEN_FUNCTIONS.get(name, columns), partial(batch, dtype, form)


@pytest.mark.promise("P7")
def test_instruction_sets(each_isa, statistic):
    """Of 3,600 rows no bit differs between any two; test_digest.py has 10,240 more."""
    function, make = statistic
    for n in ODD:
        p, q = make(n, 400 if n < 300 else 200)
        first, *others = [function(p, q) for _ in each_isa()]
        for other in others:
            same(other, first)


@pytest.mark.promise("P7")
def test_batches(isa, statistic):
    """A row alone, in a slice, in another order and in a batch of more dimensions."""
    function, make = statistic
    for n in ODD:
        p, q = make(n, 24)
        order = np.random.default_rng(n).permutation(24)
        whole = function(p, q)
        alone = [function(p[i], q[i]) for i in range(24)]
        split = [function(p[a:b], q[a:b]) for a, b in ((0, 5), (5, 23), (23, 24))]
        shuffled = function(p[order], q[order])
        folded = function(p.reshape(2, 3, 4, n), q.reshape(2, 3, 4, n))
        same([list(column) for column in zip(*alone, strict=True)], whole)
        same([np.concatenate(parts) for parts in zip(*split, strict=True)], whole)
        same(shuffled, [np.asarray(column)[order] for column in whole])
        same([column.ravel() for column in folded], whole)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("form", FORMS)
def test_beside_refused_rows(isa, dtype, divergences, form):
    """What is no distribution has nothing to do with the other rows that one call computes."""
    p, q = (x.copy() for x in batch(dtype, form, 20, 64))
    nothing, wrong = (-np.inf, np.inf) if form == "logits" else (0.0, -1.0)
    p[5:8, ::2] = q[5:8, 1::2] = nothing  # nothing in common
    refused = range(9, 64, 7)  # at each place among eight rows that are computed together
    for i in refused:
        p[i, i % 20] = wrong
    assert {i % 8 for i in refused} == set(range(8))
    p[3] = nothing
    others = [i for i in range(64) if i not in (3, *refused)]
    with np.errstate(invalid="ignore", divide="ignore"):
        for divergence in divergences:
            whole = divergence(p, q, **FORMS[form])
            assert np.isnan(whole[refused]).all()
            alone = [divergence(p[i], q[i], **FORMS[form]) for i in range(64)]
            same([whole[others]], [np.array(alone)[others]])


@pytest.mark.promise("P7")
@pytest.mark.parametrize("form", FORMS)
def test_columns(isa, dtype, divergences, form):
    """Rows of every kind side by side in an array's columns, and one of them against all others."""

    def rows(p, q):
        return [d(p, q, **FORMS[form]) for d in divergences]

    for n, count in ((1, 70), (7, 150), (31, 33), (97, 2), (259, 66), (2051, 10)):
        p, q = (x.copy() for x in batch(dtype, form, n, count))
        p[1::9], q[5::11] = -1.0, np.inf  # as weights they are refused
        down = [np.asfortranarray(x) for x in (p, q)]
        with np.errstate(invalid="ignore"):
            same(rows(*down), rows(p, q))
            same(rows(down[0][1:], q[1:]), rows(p[1:], q[1:]))
            for one in range(4) if n == 31 else [n % 2]:
                all_one = np.broadcast_to(q[one], p.shape)
                same(rows(down[0], all_one), rows(p, all_one))
                same(rows(all_one, down[0]), rows(all_one, p))


@pytest.mark.promise("P7")
def test_threads(isa, statistic):
    function, make = statistic
    p, q = make(2051, 67)  # enough for more than one thread
    with fd.num_threads(1):
        want = function(p, q)
    for threads in (2, 3, 7):
        with fd.num_threads(threads):
            same(function(p, q), want)


@pytest.mark.promise("P7")
def test_alignment(isa, statistic):
    """The same rows at every element offset from a cache line."""
    function, make = statistic
    for n in (97, 515):
        p, q = make(n, 8)
        want = function(p, q)
        room = np.empty((2, 8 * n + 64), p.dtype)
        for offset in range(33):
            moved = []
            for place, x, shift in ((room[0], p, offset), (room[1], q, (offset * 7) % 33)):
                view = place[shift : shift + x.size].reshape(x.shape)
                view[...] = x
                moved.append(view)
            same(function(*moved), want)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("form", FORMS)
def test_layouts(isa, dtype, divergences, layout, form):
    for n in (1, 17, 300):
        p, q = (x[1:] for x in batch(dtype, form, n, 9))
        (x, axis), (y, _) = layout(p), layout(q)
        options = FORMS[form] | ({"dtype": "bfloat16"} if x.dtype.kind == "u" else {})
        # What the views hold, as plainly as can be: some layouts repeat values.
        a, b = (
            np.ascontiguousarray(np.moveaxis(z, axis, -1), z.dtype.newbyteorder("=")).view(p.dtype)
            for z in (x, y)
        )
        want = [d(a, b, **FORMS[form]) for d in divergences]
        same([d(x, y, axis=axis, **options) for d in divergences], want)
        if axis == -1:
            same([d(x, b, **options) for d in divergences], want)
            same([d(a, y, **options) for d in divergences], want)


# --- the floating-point environment ---------------------------------------------------------------

# FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO as <fenv.h> of each architecture numbers them
ROUNDING = {"x86_64": (0x400, 0x800, 0xC00), "aarch64": (0x800000, 0x400000, 0xC00000)}


@pytest.mark.promise("P9")
@pytest.mark.parametrize("mode", range(3), ids=["downward", "upward", "toward zero"])
def test_rounding_mode(isa, statistic, mode):
    library = ctypes.util.find_library("m")
    if library is None or platform.machine() not in ROUNDING:
        pytest.skip("no fesetround known here")
    libm = ctypes.CDLL(library)
    function, make = statistic
    p, q = make(515, 40)
    want = function(p, q)
    before = libm.fegetround()
    assert libm.fesetround(ROUNDING[platform.machine()][mode]) == 0
    try:
        got = function(p, q)
        after = libm.fegetround()
    finally:
        libm.fesetround(before)
    assert after == ROUNDING[platform.machine()][mode], "the caller's mode was not put back"
    same(got, want)


@pytest.mark.promise("P9")
def test_flush_to_zero(isa, statistic):
    torch = pytest.importorskip("torch")
    function, make = statistic
    p, q = make(515, 40)
    want = function(p, q)
    if not torch.set_flush_denormal(True):
        pytest.skip("the processor cannot flush")
    try:
        got = function(p, q)
    finally:
        torch.set_flush_denormal(False)
    same(got, want)
