"""P8: arrays that lie in memory in odd ways give the right result or a clear error.

The layouts of `layouts.py` go through every divergence in test_bits; here is what overlaps, what is
spread over more memory than there is, and what has more elements than 32 bits count.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from layouts import DTYPES
from numpy.lib.stride_tricks import as_strided
from test_bits import TOKEN_FUNCTIONS, batch, same

import fastdiv as fd

pytestmark = pytest.mark.promise("P8")


def everything(divergences):
    """Functions of two batches of logits that return columns."""
    yield from TOKEN_FUNCTIONS.values()
    for divergence in divergences:
        yield lambda a, b, divergence=divergence: (divergence(a, b, from_logits=True),)


# --- overlap --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [-9, -1, 0, 1, 4])
def test_out_overlaps_the_rows(isa, divergences, shift):
    """`out` within p, anywhere: what would have been computed from a copy."""
    for divergence in divergences:
        room = np.random.default_rng(3).random((40, 11)) + 0.1
        p, q = room[10:20].copy(), room[20:30].copy()
        want = divergence(p, q)
        out = room.ravel()[10 * 11 + 9 + shift :][: 10 * 11 : 11]
        assert np.shares_memory(out, room)
        divergence(room[10:20], room[20:30], out=out)
        same([out], [want])


def test_out_overlaps_itself(divergences):
    """All results in one place: the last one, or an error, but no other memory."""
    p, q = np.random.default_rng(3).random((2, 6, 11)) + 0.1
    for divergence in divergences:
        room = np.full(3, 7.0)
        out = as_strided(room[1:], (6,), (0,))
        want = divergence(p, q)
        try:
            divergence(p, q, out=out)
        except ValueError:
            pass
        else:
            assert room[1] in want
        assert room[0] == room[2] == 7


def test_rows_overlap_each_other(isa, dtype, divergences):
    """Each row begins one element, or no element, after the last one; q is p's other end."""
    x = batch(dtype, "logits", 97, 3)[0][1]
    for step in (0, 1, -1):
        begin = x[40:] if step < 0 else x
        rows = as_strided(begin, (30, 50), (step * x.itemsize, x.itemsize))
        back = rows[::-1, ::-1]
        for function in everything(divergences):
            same(function(rows, back), function(rows.copy(), back.copy()))


# --- strides --------------------------------------------------------------------------------------


def test_strides_of_nothing_and_backwards(isa, dtype, divergences):
    p, q = batch(dtype, "logits", 33, 8)
    p, q = p[1:3], q[1:3]
    views = [
        lambda x: as_strided(x, x.shape, (x.strides[0], 0)),
        lambda x: as_strided(x, (2, 300), (0, 0)),
        lambda x: as_strided(x[:, ::-1], (2, 11), (x.strides[0], -3 * x.itemsize)),
        lambda x: x[::-1, ::-1],
        lambda x: as_strided(x, (2, 1), (x.strides[0], 2**62)),
        lambda x: as_strided(x, (1, 33), (-(2**62), x.itemsize)),
    ]
    for view in views:
        for function in everything(divergences):
            same(
                function(view(p), view(q)),
                function(np.ascontiguousarray(view(p)), np.ascontiguousarray(view(q))),
            )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i4", "u8"])
def test_misaligned_byteswapped_and_read_only(isa, divergences, order, kind):
    rng = np.random.default_rng(1)
    plain = rng.integers(1, 90, (2, 4, 19)).astype(kind)
    dtype = np.dtype(order + kind)
    for offset in range(dtype.itemsize):
        raw = bytes(offset) + plain.astype(dtype).tobytes()
        p, q = np.frombuffer(raw, dtype, plain.size, offset).reshape(plain.shape)
        assert not p.flags.writeable
        for divergence in divergences:
            same([divergence(p, q)], [divergence(*plain)])


def test_all_pairs_of_misaligned_rows(isa, divergences):
    """The rows are copied; into `out` results are written byte by byte."""
    room = np.zeros(1 + 8 * 36, np.uint8)
    misaligned = room[1:].view(np.float64).reshape(6, 6)
    for dtype in (np.float32, np.float64):
        plain = np.random.default_rng(4).random((6, 6)).astype(dtype)
        rows = np.zeros(1 + plain.nbytes, np.uint8)[1:].view(dtype).reshape(6, 6)
        rows[...] = plain
        for divergence in divergences:
            if not divergence.unary:
                name, options = divergence.kernel, divergence.options
                if name == "weighted_js_divergence":
                    name = "js_divergence"
                same(
                    [fd.pairwise(rows, divergence=name, **options)],
                    [fd.pairwise(plain, divergence=name, **options)],
                )
        fd.pairwise(rows, out=misaligned)
        same([misaligned.copy()], [fd.pairwise(plain)])


@pytest.fixture(scope="module")
def sparse(tmp_path_factory) -> Path:
    """A file of 40 GiB that takes no room."""
    path = tmp_path_factory.mktemp("sparse") / "sparse"
    with open(path, "wb") as file:
        file.truncate(40 << 30)
    return path


def test_huge_strides(isa, dtype, divergences, sparse):
    """Elements, and rows, that lie gigabytes apart in a file."""
    itemsize = DTYPES[dtype].itemsize
    raw = np.memmap(sparse, np.uint8, "r+", shape=(40 << 30,))
    p, q = (x[1:4, :7] for x in batch(dtype, "logits", 67, 8))
    for row_step, step in ((16, (5 << 30) + 64), ((9 << 30) + 32, 24), (-(9 << 30) - 32, 24)):
        views = []
        for number, x in enumerate((p, q)):
            start = 4096 * number + (0 if row_step > 0 else 30 << 30)
            view = np.ndarray(x.shape, x.dtype, raw.data, start, (row_step, step))
            view[...] = x
            views.append(view)
        assert max(abs(s) for s in views[0].strides) > 2**32
        assert itemsize == views[0].itemsize
        for function in everything(divergences):
            same(function(*views), function(p, q))


# --- more elements than 32 bits count -------------------------------------------------------------

MANY = 2**31 + 7
# compare_logits needs scratch as long as the rows, 17 GB: its rows end at the machine's memory.


def test_a_long_row_of_equal_logits():
    """One number repeated: every answer is known."""
    a = np.broadcast_to(np.float32(3), MANY)
    assert fd.logsumexp(a) == pytest.approx(3 + math.log(MANY), rel=1e-7)
    assert fd.token_nll(a, MANY - 1) == pytest.approx(math.log(MANY), rel=1e-7)
    with pytest.raises((ValueError, IndexError), match=str(MANY)):
        fd.token_nll(a, MANY)


def test_long_rows_of_equal_weights():
    p, q = (np.broadcast_to(np.float32(x), MANY) for x in (1, 2))
    got = fd.kl_divergence(p, q, normalize=False)
    assert got == pytest.approx(MANY * (1 - math.log(2)), rel=1e-7)


def test_statistics_of_a_long_row():
    """The last of as many equal logits has all others before it: its rank has 32 bits."""
    found = fd.token_stats(np.broadcast_to(np.float32(3), MANY), MANY - 1)
    assert found.rank == MANY
    assert found.argmax == 0
    for value, want in ((found.entropy, 0), (found.nll, 0), (found.logsumexp, 3)):
        assert value == pytest.approx(want + math.log(MANY), rel=1e-7)


def test_a_long_row_of_a_sparse_file(sparse):
    """Its last numbers are the only ones that are not 0, and they count."""
    a = np.memmap(sparse, np.float16, "r+", offset=36 << 30, shape=(MANY,))
    a[-3:] = [30, 31, 32]
    others = math.log(1 + math.exp(-1) + math.exp(-2) + (MANY - 3) * math.exp(-32))
    assert fd.logsumexp(a) == pytest.approx(32 + others, rel=1e-7)
    if os.environ.get("FASTDIV_LONG") == "1":
        q = np.memmap(sparse, np.float16, "r+", shape=(MANY,))
        q[-3:] = [2, 2, 4]
        want = (30 * math.log(15) + 31 * math.log(31 / 2) + 32 * math.log(8)) / 93
        assert fd.kl_divergence(a, q) == pytest.approx(want - math.log(93 / 8), rel=1e-6)
        assert fd.token_nll(a, MANY - 2) == pytest.approx(1 + others, rel=1e-6)


def test_many_rows(sparse):
    """More rows than 32 bits count: results of as many are asked for in pieces, or refused."""
    rows = np.broadcast_to(np.array([1.0, 3.0]), (2**31 + 5, 2))
    tail = rows[2**31 :]
    assert (fd.total_variation(tail, [3.0, 1.0]) == 0.5).all()
    with pytest.raises(ValueError, match="out"):
        fd.total_variation(rows, rows, out=np.empty(4))
