"""Sparse rows give what dense rows give, in the memory of what they store, and harm nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from functools import cache

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from reference import ORACLES, UNIT, exact, normalised

import fastdiv as fd
from fastdiv import _core, sparse

WIDTH = 100_000
DTYPES = (np.float32, np.float64, np.int64)
NUMBERS = {"alpha": (-1.5, 0.0, 0.5, 1.0, 2.5), "weight": (0.3,)}
KERNELS = [
    (name, number)
    for name in _core.DIVERGENCES
    for number in (NUMBERS[_core.PARAMETERS[name]] if name in _core.PARAMETERS else (None,))
]
FORMATS = [f"{kind}_{face}" for kind in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
           for face in ("array", "matrix")]  # fmt: skip


def few(rng, count, width=WIDTH):
    row = np.zeros(width)
    row[rng.choice(width, count, replace=False)] = rng.gamma(1.0, size=count) + 0.01
    return row


@cache
def dense(dtype, source):
    """Pairs of rows of every kind that sparse rows come in."""
    rng = np.random.default_rng(17)
    base, long = few(rng, 40), few(rng, 5000)
    full = rng.gamma(1.0, size=WIDTH) + 0.01
    near = base * (1 + 1e-3 * rng.standard_normal(WIDTH))
    left, right = base * (np.arange(WIDTH) < WIDTH // 2), base * (np.arange(WIDTH) >= WIDTH // 2)
    nothing, first, last = np.zeros(WIDTH), np.eye(1, WIDTH)[0], np.eye(1, WIDTH, WIDTH - 1)[0]
    pairs = [(few(rng, a), few(rng, b)) for a, b in ((1, 1), (3, 30), (15, 17), (300, 257))]
    pairs += [(base, base * (rng.random(WIDTH) + 0.5)), (base, base), (base, 2 * base)]
    pairs += [(base, near), (base, base + 0.1 * long), (long, base + long), (left, right)]
    pairs += [(first, last), (first, first), (full, full[::-1]), (full, left)]
    pairs += [(nothing, base), (base, nothing), (nothing, nothing), (left, left + 0.1 * right)]
    p, q = np.swapaxes(np.array(pairs), 0, 1)
    if dtype == np.int64:
        p, q = np.ceil(100 * p), np.ceil(100 * q)
    elif source == 1:  # sums of 1/2, because the affinity of raw rows is at its limit at 1
        p, q = (x / np.maximum(2 * x.sum(-1, keepdims=True), 1e-300) for x in (p, q))
    return p.astype(dtype), q.astype(dtype)


@cache
def stored(dtype, source):
    """The same as matrices; every other row keeps some zeros."""
    rng = np.random.default_rng(18)
    made = []
    for x in dense(dtype, source):
        there = x != 0
        there[::2] |= rng.random(there[::2].shape) < 1e-4
        rows, indices = np.nonzero(there)
        indptr = np.searchsorted(rows, np.arange(len(x) + 1))
        made.append(scipy.sparse.csr_array((x[rows, indices], indices, indptr), shape=x.shape))
    assert all(x.nnz > np.count_nonzero(x.data) for x in made)
    return tuple(made)


def of_rows(name, both):
    return both[:1] if name in _core.UNARY else both


@cache
def from_dense(name, number, dtype, source):
    rows = [x.astype(np.float64) if dtype == np.int64 else x for x in dense(dtype, source)]
    numbers = () if number is None else (number,)
    with np.errstate(invalid="ignore"):
        return _core.gufunc(name, source)(*of_rows(name, rows), *numbers)


@pytest.mark.parametrize("source", [0, 1], ids=["normalized", "raw"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(("name", "number"), KERNELS)
def test_as_dense_rows(each_isa, name, number, dtype, source):
    want = from_dense(name, number, dtype, source)
    u = UNIT["float32" if dtype == np.float32 else "float64"]
    finite = np.isfinite(want)
    assert finite.any()
    bits = set()
    for isa in each_isa():
        with np.errstate(invalid="ignore"):
            got = sparse.evaluate(name, of_rows(name, stored(dtype, source)), source, number)
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got[~finite], want[~finite], err_msg=isa)
        # Twice the contract's 16u(1 + √(2/D)): both sides may err.
        size = np.abs(want[finite])
        allowed = 32 * u * (size + np.sqrt(2 * size))
        assert (np.abs(got[finite] - want[finite]) <= allowed).all(), isa
        bits.add(got.tobytes())
    assert len(bits) == 1


@pytest.mark.parametrize(("name", "number"), [k for k in KERNELS if k[0] not in _core.UNARY])
def test_equal_rows_are_at_0(name, number):
    if name == "cross_entropy":
        number = None  # the one that is not 0 there
    for dtype in DTYPES:
        p = stored(dtype, 0)[0]
        keep = np.flatnonzero(dense(dtype, 0)[0].any(-1))
        again = scipy.sparse.csr_array(p.toarray())  # without the zeros that p stores
        result = sparse.evaluate(name, (p[keep], again[keep]), 0, number)
        want = sparse.evaluate("entropy", (p[keep],), 0) if name == "cross_entropy" else 0.0
        np.testing.assert_allclose(result, want, rtol=1e-5 if dtype == np.float32 else 1e-13)
        assert name == "cross_entropy" or not np.signbit(result).any()
        assert name == "cross_entropy" or not result.any()


def test_against_fifty_digits(divergence):
    name, kernel = divergence.name, divergence.kernel
    rng = np.random.default_rng(23)
    for dtype in (np.float32, np.float64):
        p, q = (np.array([few(rng, k, 60) for k in (1, 5, 20, 60)]).astype(dtype) for _ in "pq")
        q += p * dtype(0.5)  # overlap, and no infinity
        rows = of_rows(kernel, tuple(map(scipy.sparse.csr_array, (p, q))))
        got = sparse.evaluate(kernel, rows, 0, *divergence.parameters)
        for value, x, y in zip(got, p, q, strict=True):
            want = float(ORACLES[name](normalised(exact(x)), normalised(exact(y))))
            closeness = np.sqrt(2 / want) if want else 0.0
            allowed = 16 * UNIT[np.dtype(dtype).name] * (1 + closeness)
            assert value == pytest.approx(want, rel=allowed, abs=0)


@pytest.mark.parametrize("alpha", [-1.0, -np.inf, 0.0])
@pytest.mark.parametrize("name", ["renyi_entropy", "tsallis_entropy"])
def test_what_is_not_stored_counts_for_entropies(name, alpha):
    if name == "tsallis_entropy" and np.isinf(alpha):
        alpha = -2.0  # it has no limit there
    x = np.array([[1.0, 3.0, 4.0], [1.0, 0.0, 3.0], [0.0, 5.0, 0.0]])
    for rows in (scipy.sparse.csr_array(x), scipy.sparse.csr_array(np.maximum(x, 0.5))):
        want = _core.gufunc(name, 0)(rows.toarray(), alpha)
        np.testing.assert_allclose(sparse.evaluate(name, (rows,), 0, alpha), want, rtol=1e-14)
        assert np.isinf(want).tolist() == [alpha < 0 and not all(row) for row in rows.toarray()]


# --- what is taken ------------------------------------------------------------------------------


@pytest.fixture
def small():
    rng = np.random.default_rng(5)
    p, q = (np.array([few(rng, k, 24) for k in (1, 5, 9, 24, 7, 3)]) for _ in "pq")
    return p, q


@pytest.mark.parametrize("form", FORMATS)
def test_formats(small, form):
    make = getattr(scipy.sparse, form)
    p, q = small
    want = sparse.evaluate("js_divergence", tuple(map(scipy.sparse.csr_array, small)), 0)
    np.testing.assert_array_equal(sparse.evaluate("js_divergence", (make(p), make(q)), 0), want)
    for axis in (0, -2):
        columns = (make(p.T), make(q.T))
        got = sparse.evaluate("js_divergence", columns, 0, axis=axis)
        np.testing.assert_array_equal(got, want)
    got = sparse.evaluate("js_divergence", (make(p), q), 0, axis=1)
    np.testing.assert_array_equal(got, want)


def test_widths_of_indices(small):
    p, q = (scipy.sparse.csr_array(x) for x in small)
    want = sparse.evaluate("kl_divergence", (p, p + q), 0)
    wide = (p + q).copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert sparse.prepare(p, "f", "p").indices.dtype == np.int32
    assert sparse.prepare(wide, "f", "q").indices.dtype == np.int64
    for both in ((p, wide), (p.astype(np.float64), p + q)):
        np.testing.assert_array_equal(sparse.evaluate("kl_divergence", both, 0), want)


def test_csr_is_not_copied(small):
    x = scipy.sparse.csr_array(small[0])
    rows = sparse.prepare(x, "f", "p")
    assert np.shares_memory(rows.data, x.data)
    assert np.shares_memory(rows.indices, x.indices)
    # The one array whose numbers are followed.
    assert not np.shares_memory(rows.indptr, x.indptr)
    assert not rows.indptr.flags.writeable


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.uint16, np.int32,
                                   np.uint64, np.float32, np.float64])  # fmt: skip
def test_dtypes(small, dtype):
    p, q = (np.ceil(3 * x).astype(dtype) for x in small)
    want = fd.hellinger_distance(p, q)
    got = sparse.evaluate(
        "hellinger_distance", (scipy.sparse.csr_array(p), scipy.sparse.coo_array(q)), 0
    )
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_dtypes_mixed(small):
    p, q = small[0].astype(np.float32), small[1]
    got = sparse.evaluate(
        "total_variation", (scipy.sparse.csr_array(p), scipy.sparse.csr_array(q)), 0
    )
    np.testing.assert_allclose(got, fd.total_variation(p.astype(np.float64), q), rtol=1e-14)


def test_misaligned_arrays(small):
    def shifted(x):
        return np.frombuffer(b"?" + x.tobytes(), x.dtype, offset=1)

    x = scipy.sparse.csr_array(small[0])
    want = sparse.evaluate("entropy", (x,), 0)
    x.data, x.indices, x.indptr = map(shifted, (x.data, x.indices, x.indptr))
    assert not x.data.flags.aligned
    np.testing.assert_array_equal(sparse.evaluate("entropy", (x,), 0), want)


def test_one_row_with_many(small):
    p, q = small
    want = fd.js_distance(p, q[1])
    sparse_p, one = scipy.sparse.csr_array(p), scipy.sparse.csr_array(q[1:2])
    for other in (one, q[1], q[1:2], list(q[1]), scipy.sparse.coo_array(q[1])):
        for both in ((sparse_p, other), (other, sparse_p)):
            np.testing.assert_allclose(sparse.evaluate("js_distance", both, 0), want, rtol=1e-13)


def test_one_axis_gives_a_number(small):
    p, q = small[0][1], small[1][1]
    for make in (scipy.sparse.coo_array, scipy.sparse.csr_array):
        got = sparse.evaluate("js_divergence", (make(p), q), 0)
        assert isinstance(got, np.float64)
        assert got == pytest.approx(fd.js_divergence(p, q), rel=1e-13)
        assert sparse.evaluate("js_divergence", (make(p), make(q)), 0, axis=0) == got


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_dense_halves_beside(small, dtype):
    p, q = scipy.sparse.csr_array(small[0]), small[1].astype(dtype)
    want = fd.js_divergence(small[0], q.astype(np.float64))
    np.testing.assert_allclose(sparse.evaluate("js_divergence", (p, q), 0), want, rtol=1e-6)
    raw = q.view(np.uint16)
    if dtype == ml_dtypes.bfloat16:
        got = sparse.evaluate("js_divergence", (p, raw), 0, dtype="bfloat16")
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_parameters_broadcast(small):
    both = tuple(map(scipy.sparse.csr_array, small))
    p, q = small
    for alpha in (np.linspace(0.1, 2, 6), np.array([[0.3], [0.7]]), [1.5]):
        want = _core.gufunc("renyi_divergence", 0)(p, q, alpha)
        got = sparse.evaluate("renyi_divergence", both, 0, alpha)
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-12)
    one = sparse.evaluate("renyi_entropy", (scipy.sparse.coo_array(p[1]),), 0, [0.5, 2.0])
    np.testing.assert_allclose(one, _core.gufunc("renyi_entropy", 0)(p[1], [0.5, 2.0]), rtol=1e-13)


def test_no_rows():
    nothing = scipy.sparse.csr_array((0, 5))
    for other in (nothing, [1.0, 2, 3, 4, 5]):
        assert sparse.evaluate("kl_divergence", (nothing, other), 0).shape == (0,)
    assert sparse.evaluate("entropy", (nothing,), 0).shape == (0,)


def test_duplicates_and_disorder_are_the_callers_own():
    parts = (np.array([1.0, 2, 4, 8, 16]), np.array([3, 1, 3, 0, 0]), np.array([0, 3, 5]))
    for make in (scipy.sparse.csr_array, scipy.sparse.csr_matrix, scipy.sparse.csc_array):
        x = make(parts, shape=(2, 4) if make is not scipy.sparse.csc_array else (4, 2))
        axis = -1 if x.format == "csr" else 0
        before = [a.copy() for a in (x.data, x.indices, x.indptr)]
        got = sparse.evaluate("kl_divergence", (x, np.arange(1.0, 5.0)), 0, axis=axis)
        np.testing.assert_allclose(
            got, fd.kl_divergence([[0, 2, 0, 5], [24, 0, 0, 0]], [1, 2, 3, 4])
        )
        for old, new in zip(before, (x.data, x.indices, x.indptr), strict=True):
            np.testing.assert_array_equal(new, old)
    coo = scipy.sparse.coo_array((parts[0], ([0, 0, 0, 1, 1], parts[1])), shape=(2, 4))
    np.testing.assert_array_equal(sparse.evaluate("entropy", (coo,), 0), fd.entropy(coo.toarray()))
    assert coo.nnz == 5


def test_disorder_that_scipy_has_not_noticed(small):
    x = scipy.sparse.csr_array(small[0])
    assert x.has_canonical_format
    for i in range(x.shape[0]):
        row = slice(x.indptr[i], x.indptr[i + 1])
        x.indices[row], x.data[row] = x.indices[row][::-1].copy(), x.data[row][::-1].copy()
    got = sparse.evaluate("kl_divergence", (x, small[0] + small[1]), 0)
    np.testing.assert_allclose(got, fd.kl_divergence(small[0], small[0] + small[1]), rtol=1e-12)


def test_subclasses_are_sparse(small):
    class Counts(scipy.sparse.csr_matrix):
        pass

    assert sparse.is_sparse(Counts(small[0]))
    assert not sparse.is_sparse(small[0])
    assert not sparse.is_sparse(scipy.sparse.linalg.aslinearoperator(small[0]))


# --- what is refused ----------------------------------------------------------------------------


def damage(x, **parts):
    for name, (place, value) in parts.items():
        array = getattr(x, name).copy()
        array[place] = value
        setattr(x, name, array)


MALFORMED = {
    "index too large": (
        "csr",
        lambda x: damage(x, indices=(2, 24)),
        "index 24 at 2 of its indices; .* in 0…23",
    ),
    "index negative": ("csr", lambda x: damage(x, indices=(0, -1)), "index -1 at 0 of"),
    "indptr descends": ("csr", lambda x: damage(x, indptr=(2, 0)), "does not ascend from 0"),
    "indptr too far": ("csr", lambda x: damage(x, indptr=(-1, 10**6)), "ends at 1000000"),
    "indptr from 1": ("csr", lambda x: damage(x, indptr=(0, 1)), "does not ascend from 0"),
    "indptr short": ("csr", lambda x: setattr(x, "indptr", x.indptr[:-1]), "6 elements, and 6"),
    "data short": ("csr", lambda x: setattr(x, "data", x.data[:-1]), "48 data and 49 indices"),
    "indices short": ("csr", lambda x: setattr(x, "indices", x.indices[:-1]), "48 indices"),
    "indices of floats": ("csr", lambda x: setattr(x, "indices", x.indices + 0.5), "be integers"),
    "csc index": ("csc", lambda x: damage(x, indices=(0, 6)), "has the index 6"),
    "csc indptr": ("csc", lambda x: damage(x, indptr=(-1, 10**6)), "ends at 1000000"),
    "bsr index": ("bsr", lambda x: damage(x, indices=(0, 10**6)), "has the index 1000000"),
    "coo column": ("coo", lambda x: damage(x, col=(0, 24)), "index 24 on an axis of 24"),
    "coo row": ("coo", lambda x: damage(x, row=(0, -1)), "index -1 on an axis of 6"),
    "coo short": ("coo", lambda x: setattr(x, "data", x.data[:-1]), "data of shape"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(small, case):
    form, spoil, message = MALFORMED[case]
    x = getattr(scipy.sparse, f"{form}_matrix")(small[0])
    spoil(x)
    with pytest.raises(ValueError, match="js_divergence: q.*" + message):
        sparse.evaluate("js_divergence", (small[0], x), 0)
    # SciPy's conversion would follow such indices.
    with pytest.raises(ValueError, match="js_divergence: q "):
        sparse.evaluate("js_divergence", (small[0], x), 0, axis=0)


def test_what_scipy_cannot_convert(small):
    x = scipy.sparse.bsr_array(small[0])
    x.indices = x.indices.astype(np.int64)
    with pytest.raises(ValueError, match="entropy: p cannot become CSR: SciPy says"):
        sparse.evaluate("entropy", (x,), 0, axis=0)


@pytest.mark.parametrize("dtype", [np.longdouble, np.complex128, np.complex64])
@pytest.mark.parametrize("form", ["csr_array", "dok_matrix"])
def test_dtypes_refused(form, dtype):
    x = getattr(scipy.sparse, form)((2, 3), dtype=dtype)
    with pytest.raises(TypeError, match=f"entropy: p has dtype {np.dtype(dtype)}; it takes"):
        sparse.evaluate("entropy", (x,), 0)


def test_shapes_refused(small):
    p, q = (scipy.sparse.csr_array(x) for x in small)
    cases = [
        ((p, q[:, :-1]), {}, "rows of p have 24 elements, rows of q 23"),
        ((p[:4], q[:3]), {}, "p has 4 rows, q has 3"),
        ((p, small[1][None]), {}, "q has 3 axes"),
        ((scipy.sparse.coo_array(np.ones((2, 2, 2))), q), {}, "p has 3 axes"),
        ((p, q), {"axis": 2}, "p has 2 axes, and none with the number 2"),
        ((p, small[1][0]), {"axis": 1}, "q has 1 axes, and none with the number 1"),
        ((scipy.sparse.csr_array((3, 0)), q), {}, "p has an empty distribution axis"),
        ((p, 1.0), {}, "q has 0 axes"),
    ]
    for operands, options, message in cases:
        with pytest.raises(ValueError, match="js_divergence: .*" + re.escape(message)):
            sparse.evaluate("js_divergence", operands, 0, **options)
    with pytest.raises(ValueError, match="js: from_logits takes dense rows"):
        sparse.evaluate("js_divergence", (p, q), 2, function="js")


def test_the_core_checks_again(small):
    """Whatever Python code gets wrong, the compiled code stays inside its arrays."""
    p, q = (sparse.prepare(scipy.sparse.csr_array(x), "f", "p") for x in small)
    narrow = sparse.prepare(scipy.sparse.csr_array(small[1][:, :-1]), "f", "q")
    disordered = _core.SparseRows([1.0, 2.0], [1, 0], [0, 2], 24, "f: p")
    assert not disordered.canonical
    read_only = np.zeros(6)
    read_only.flags.writeable = False
    for arguments in [
        (p, q, 0.0, 0, np.zeros(5)),
        (p, q, 0.0, 1, np.zeros(6)),
        (p, q, [0.0, 1.0], 0, np.zeros(6)),
        (p, q, 0.0, 3, np.zeros((4, 6))),
        (p, q, 0.0, -1, np.zeros((4, 6))),
        (p, q, 0.0, 0, np.zeros((4, 5))),
        (p, q, 0.0, 0, np.zeros((4, 6), np.float32)),
        (p, q, 0.0, 0, np.zeros((4, 12))[:, ::2]),
        (p, q, 0.0, 0, np.zeros(())),
        (p, q, 0.0, 0, read_only),
        (p, narrow, 0.0, 0, np.zeros(6)),
        (p, disordered, 0.0, 0, np.zeros(6)),
        (p, None, 0.0, 0, np.zeros(6)),
    ]:
        with pytest.raises(ValueError, match="js_divergence: "):
            _core.sparse("js_divergence", 0, *arguments)
    with pytest.raises(ValueError, match="no divergence of 2 sparse rows from source 2"):
        _core.sparse("js_divergence", 2, p, q, 0.0, 0, np.zeros(6))
    with pytest.raises(ValueError, match="out has shape"):
        sparse.pairwise_block("js_divergence", 0, p, q, None, 0, 3, np.zeros((2, 6)))


# --- rows that are no distribution --------------------------------------------------------------


BAD = [[1.0, -1.0, 0.0], [1.0, np.inf, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", _core.DIVERGENCES)
@pytest.mark.parametrize("bad", BAD, ids=["negative", "infinite", "nothing"])
def test_invalid_rows_warn_as_dense_ones_do(name, bad):
    x = scipy.sparse.csr_array([[1.0, 2.0, 3.0], bad, [1.0, 1.0, 1.0]])
    operands = (x,) if name in _core.UNARY else (x, [1.0, 2.0, 3.0])
    number = 0.5 if name in _core.PARAMETERS else None
    with np.errstate(invalid="warn"), pytest.warns(RuntimeWarning) as caught:
        result = sparse.evaluate(name, operands, 0, number)
    assert [str(w.message) for w in caught] == [f"invalid value encountered in {name}"]
    assert np.isnan(result).tolist() == [False, True, False]
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        sparse.evaluate(name, operands, 0, number)
    with np.errstate(invalid="ignore"):
        sparse.evaluate(name, operands, 0, number)
    if bad[1] == 0:
        with np.errstate(invalid="raise"):
            assert not np.isnan(sparse.evaluate(name, operands, 1, number)[0])


@pytest.mark.parametrize("name", _core.DIVERGENCES)
def test_nan_stays_in_its_row_silently(name):
    x = scipy.sparse.csr_array([[1.0, 2.0, 3.0], [1.0, np.nan, 0.0], [1.0, 1.0, 1.0]])
    operands = (x,) if name in _core.UNARY else (x, [1.0, 2.0, 3.0])
    with np.errstate(invalid="raise"):
        result = sparse.evaluate(name, operands, 0, 0.5 if name in _core.PARAMETERS else None)
    assert np.isnan(result).tolist() == [False, True, False]


@pytest.mark.parametrize(("bad", "message"), [
    ([0.0, -1.0, 0.0], "has -1.0 at 1; weights are finite and not negative"),
    ([0.0, 0.0, np.inf], "has inf at 2; weights are finite and not negative"),
    ([np.nan, 0.0, 0.0], "has nan at 0; weights are finite and not negative"),
    ([0.0, 0.0, 0.0], "is 0 everywhere"),
])  # fmt: skip
def test_validate_as_dense_rows(bad, message):
    good = [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    x = np.array([*good, bad])
    for argument, operands in (("p", (x, good[0])), ("q", (good[0], x))):
        made = tuple(scipy.sparse.csr_array(np.atleast_2d(rows)) for rows in operands)
        want = f"kl_divergence: {argument}, row 2,? {re.escape(message)}"
        with pytest.raises(ValueError, match=want):
            fd.kl_divergence(*operands, validate=True)
        with pytest.raises(ValueError, match=want):
            sparse.evaluate("kl_divergence", made, 0, validate=True)
    fine = scipy.sparse.csr_array(good)
    assert sparse.evaluate("entropy", (fine,), 0, validate=True).shape == (2,)


# --- pairs of all rows --------------------------------------------------------------------------


@pytest.mark.parametrize("source", [0, 1])
@pytest.mark.parametrize(("name", "number"), [k for k in KERNELS if k[0] not in _core.UNARY])
def test_pairs_have_the_bits_of_rows(small, name, number, source):
    x, y = (scipy.sparse.csr_array(rows) for rows in (small[0], small[1][:4]))
    rows = tuple(sparse.prepare(m, "pairwise", "x") for m in (x, y))
    for prepared, second in ((rows, y), ((rows[0], rows[0]), x)):
        got = np.full((6, second.shape[0]), np.nan)
        for first, last in ((0, 1), (1, 5), (5, 6), (6, 6)):
            status = sparse.pairwise_block(
                name, source, *prepared, number, first, last, got[first:last]
            )
            assert status == 0
        for j in range(second.shape[0]):
            want = sparse.evaluate(name, (x, second[[j], :]), source, number)
            np.testing.assert_array_equal(got[:, j], want)


def test_pairs_report_invalid_rows():
    x = sparse.prepare(scipy.sparse.csr_array([[1.0, 2.0], [0.0, 0.0]]), "pairwise", "x")
    out = np.zeros((1, 2))
    assert sparse.pairwise_block("js_distance", 0, x, x, None, 0, 1, out) == 1
    assert np.isnan(out).tolist() == [[False, True]]
    assert sparse.pairwise_block("js_distance", 1, x, x, None, 0, 1, out) == 0


# --- memory, threads, interruptions -------------------------------------------------------------


@pytest.fixture(scope="module")
def large():
    """Ten thousand rows of ten million, of which a hundred thousand numbers are stored."""
    rng = np.random.default_rng(8)
    shape, each = (10_000, 10_000_000), 10
    parts = [
        scipy.sparse.csr_array(
            (
                rng.random(shape[0] * each) + 0.1,
                np.sort(rng.integers(0, shape[1], (shape[0], each))).ravel(),
                np.arange(0, shape[0] * each + 1, each),
            ),
            shape=shape,
        )
        for _ in "pq"
    ]
    return parts[0], (parts[0] + 0.5 * parts[1]).tocsr()


def test_memory_is_that_of_what_is_stored(large):
    """Dense, these rows would take 800 GB each."""
    p, q = large
    result = sparse.evaluate("kl_divergence", (p, q), 0)
    for i in (0, 4321, 9999):
        union = np.union1d(p[[i], :].indices, q[[i], :].indices)
        want = fd.kl_divergence(*(x[[i], :][:, union].toarray()[0] for x in large))
        assert result[i] == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", ["js_divergence", "renyi_entropy"])
def test_threads_do_not_show(large, name):
    results = []
    for threads in (1, 2, 3):
        with fd.num_threads(threads):
            number = 2.0 if name in _core.PARAMETERS else None
            results.append(sparse.evaluate(name, of_rows(name, large), 0, number).tobytes())
    assert len(set(results)) == 1


@pytest.mark.promise("P11")
def test_interruption(large):
    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    x = sparse.prepare(large[0], "pairwise", "x")
    out = np.full((4000, len(x)), -1.0)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Stop):
            sparse.pairwise_block("js_distance", 0, x, x, None, 0, len(out), out)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert out[-1, -1] == -1
    # Nothing of it is left behind.
    assert sparse.pairwise_block("js_distance", 0, x, x, None, 0, 1, out[:1]) == 0
    assert out[0, 0] == 0


def run(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.promise("P11")
def test_memory_error_is_raised():
    code = """
import resource
import numpy as np
from fastdiv import _core, sparse
n = 1 << 23
x = _core.SparseRows(np.ones(n), np.arange(n, dtype=np.int32), [0, n], n, "f: p")
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (64 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
out = np.empty(1)
try:
    _core.sparse("js_divergence", 0, x, x, 0.0, 0, out)
except MemoryError as error:
    print(error)
"""
    assert run(code) == "js_divergence: no memory for two rows\n"


def test_scipy_is_not_imported():
    code = """
import sys
from fastdiv import sparse
print(sparse.evaluate("total_variation", ([1, 0], [1, 1]), 0), "scipy" in sys.modules)
"""
    assert run(code) == "0.5 False\n"
