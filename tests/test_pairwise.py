"""Matrices of all pairs: the bits of the pair functions, whatever is computed, mirrored or cut."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from layouts import DTYPES
from reference import ORACLES, UNIT, exact, mp, normalised
from scipy.sparse import csr_array, random_array
from test_bits import FORMS, batch

import fastdiv as fd
from fastdiv import _core
from fastdiv.generators import Generator, Term
from fastdiv.pairwise import Neighbours

all_pairs = fd.pairwise
pairwise = sys.modules["fastdiv.pairwise"]  # the package's own name for it is the function
SYMMETRIC = "triangular_discrimination"


def same(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == np.float64
    assert got.shape == want.shape
    differing = np.argwhere(got.view(np.int64) != np.ascontiguousarray(want).view(np.int64))
    assert differing.size == 0, (differing[0], got[tuple(differing[0])], want[tuple(differing[0])])


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of a few rows, so that a small matrix has many, and of uneven numbers."""
    monkeypatch.setattr(pairwise, "STRIP_ROWS", 5)
    monkeypatch.setattr(pairwise, "STRIP_RESULTS", 35)


def weights(count: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.5, size=(count, n)) + 1e-6


# --- the bits of the pair functions --------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_pair_function(isa, dtype, of_two, form):
    """Rows far apart, near, equal, sparse, half subnormal, and one with a NaN."""
    options = {**of_two.options, **FORMS[form]}
    for n in (1, 19, 300):
        x, y = batch(dtype, form, n, 9)
        y = y[:7]
        same(all_pairs(x, y, of_two.kernel, **options), of_two(x[:, None], y, **FORMS[form]))
        same(all_pairs(x, None, of_two.kernel, **options), of_two(x[:, None], x, **FORMS[form]))


@pytest.mark.parametrize("other", DTYPES)
def test_mixed_dtypes(dtype, of_two, other):
    x, y = batch(dtype, "normalised", 67, 9)[0], batch(other, "normalised", 67, 6)[1]
    same(all_pairs(x, y, of_two.kernel, **of_two.options), of_two(x[:, None], y))


def test_integers_and_lists():
    x, y = [[1, 2, 0], [0, 0, 5]], np.array([[True, True, False]])
    same(all_pairs(x, y, "kl_divergence"), fd.kl_divergence(np.array(x)[:, None], y))


def test_raw_bfloat16():
    x = weights(4, 20).astype(DTYPES["bfloat16"])
    same(all_pairs(x.view(np.uint16), dtype="bfloat16"), all_pairs(x))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", _core.SYMMETRIC)
def test_order(isa, dtype, name, form):
    """Rows whose sums do not tell which is first: the same numbers in other places."""
    rng = np.random.default_rng(3)
    row = rng.integers(1, 9, 40) / 4
    x = np.stack([row, *(rng.permutation(row) for _ in range(9))]).astype(DTYPES[dtype])
    got = all_pairs(x, None, name, **FORMS[form])
    same(got, getattr(fd, name)(x[:, None], x, **FORMS[form]))
    same(got, np.ascontiguousarray(got.T))


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["js_divergence", "js_distance", "kl_divergence", SYMMETRIC])
def test_threads_and_tiles(isa, dtype, name, threads):
    """More rows than a tile has, and more elements than one thread is given."""
    x, y = (weights(n, 40, n).astype(DTYPES[dtype]) for n in (150, 70))
    function = getattr(fd, name)
    with fd.num_threads(threads):
        same(all_pairs(x, y, name), function(x[:, None], y))
        same(all_pairs(x, None, name), function(x[:, None], x))


def test_wide_rows(isa):
    """Rows of which only a few fit a tile."""
    x = weights(9, 40_000)
    for name in ("js_divergence", "total_variation"):
        same(all_pairs(x, None, name), getattr(fd, name)(x[:, None], x))


def test_strips(small_strips, dtype, of_two):
    x, y = (weights(n, 33, n).astype(DTYPES[dtype]) for n in (23, 18))
    options = of_two.options
    same(all_pairs(x, y, of_two.kernel, **options), of_two(x[:, None], y))
    same(all_pairs(x, None, of_two.kernel, **options), of_two(x[:, None], x))


def test_layouts(isa, layout, dtype):
    x = batch(dtype, "normalised", 17, 8)[0]
    laid, axis = layout(x)
    rows = np.moveaxis(laid, axis, -1)
    if rows.ndim != 2:
        rows = rows.reshape(-1, rows.shape[-1])
    raw = {"dtype": "bfloat16"} if rows.dtype.kind == "u" else {}
    for name in ("js_distance", "kl_divergence"):
        function = getattr(fd, name)
        same(all_pairs(rows, None, name, **raw), function(rows[:, None], rows, **raw))


def test_diagonal(isa, dtype, proper):
    if proper.unary:
        return
    x = weights(6, 50).astype(DTYPES[dtype])
    x[2, 3] = np.nan
    diagonal = np.diagonal(all_pairs(x, None, proper.kernel, **proper.options))
    assert np.isnan(diagonal[2])
    np.testing.assert_array_equal(np.delete(diagonal, 2), 0.0)


def test_flush_to_zero():
    """Conversions, too, are out of reach of the caller's floating-point environment."""
    torch = pytest.importorskip("torch")

    x = np.full((3, 40), 1e-40, np.float32)
    x[:, 0] = 2e-39, 3e-39, 0
    y = weights(2, 40)
    wide = x.astype(np.float64)
    calls = [
        lambda: all_pairs(x, y, "kl_divergence"),
        lambda: all_pairs(x, y, "js_divergence"),
        lambda: all_pairs(wide, None, "js_divergence"),
    ]
    want = [call() for call in calls]
    assert torch.set_flush_denormal(True)
    try:
        got = [call() for call in calls]
    finally:
        torch.set_flush_denormal(False)
    for one, other in zip(got, want, strict=True):
        same(one, other)


# --- Jensen-Shannon from entropies ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse", "peaked", "flat"])
@pytest.mark.parametrize("n", [2, 3, 9, 33, 257, 1000])
def test_js_where_one_way_of_computing_ends(each_isa, kind, n):
    """P3 for rows from equal to far apart, over the place where entropies take over."""
    rng = np.random.default_rng(n)
    p, far = rng.gamma(0.3, size=(2, n)) + 1e-12
    if kind == "sparse":
        p[rng.random(n) < 0.5] = 0
        far[rng.random(n) < 0.5] = 0
        p[0] = far[1] = 1.0
    if kind == "peaked":
        p[0] += n
        far[1] += n
    if kind == "flat":
        p, far = (np.arange(n) < 2 * n / 3) * 1.0, (np.arange(n) > n / 4) * 1.0
    p, far = p / p.sum(), far / far.sum()
    shares = np.concatenate([[1e-9, 1e-3], np.linspace(0.05, 1, 5 if n > 300 else 20)])
    rows = (1 - shares[:, None]) * p + shares[:, None] * far
    found = [all_pairs(p[None], rows, "js_divergence")[0] for _ in each_isa()]
    for other in found[1:]:
        same(other, found[0])
    want_p = normalised(exact(p))
    for row, got in zip(rows, found[0], strict=True):
        want_q = normalised(exact(row))
        js = ORACLES["js_divergence"](want_p, want_q)
        kl = ORACLES["kl_divergence"](want_p, want_q)
        allowed = 16 * UNIT["float64"] * (1 + float(mp.sqrt(2 / kl)))
        assert abs(mp.mpf(float(got)) - js) <= allowed * js, (n, kind, got)


def test_js_of_extreme_rows(isa):
    """Sums out of range, nothing in common, subnormals, and rows that are no distribution."""
    x = weights(8, 70)
    x[0] *= 1e-300
    x[1] *= 1e300
    x[2, ::2] = 0
    x[3, 1::2] = 0
    x[4] = 5e-324
    x[5, :69] = 1e-320
    x[6] = 0
    x[7, 0] = -1
    with np.errstate(invalid="ignore"):
        got, want = all_pairs(x, None, "js_divergence"), fd.js_divergence(x[:, None], x)
    same(got, want)
    assert got[2, 3] == np.log(2)


# --- out, top_k ----------------------------------------------------------------------------------


def test_out(small_strips):
    x, y = weights(23, 10), weights(19, 10, 1)
    for other, name in ((y, "kl_divergence"), (None, "js_distance")):
        want = all_pairs(x, other, name)
        m = want.shape[1]
        wide = np.full((23, 3 * m), 7.0)
        for out in (np.empty((23, m)), np.empty((23, m), order="F"), wide[:, 1::3]):
            assert all_pairs(x, other, name, out=out) is out
            same(np.ascontiguousarray(out), want)
        assert (wide[:, 0::3] == 7).all()
        assert (wide[:, 2::3] == 7).all()
        at_odd = np.empty(8 * 23 * m + 1, np.uint8)[1:].view(np.float64).reshape(23, m)
        same(all_pairs(x, other, name, out=at_odd).copy(), want)


def test_out_on_disk(tmp_path, monkeypatch):
    """A matrix of more than one strip, mirrored in its file."""
    monkeypatch.setattr(pairwise, "STRIP_ROWS", 64)
    x = weights(131, 9).astype(np.float32)
    out = np.memmap(tmp_path / "matrix", np.float64, "w+", shape=(131, 131))
    assert all_pairs(x, None, "total_variation", out=out) is out
    out.flush()
    read = np.fromfile(tmp_path / "matrix").reshape(131, 131)
    same(read, fd.total_variation(x[:, None], x))


def test_out_is_an_operand():
    x = weights(12, 12)
    want = all_pairs(x, None, "kl_divergence")
    same(all_pairs(x, None, "kl_divergence", out=x), want)


@pytest.mark.parametrize("k", [1, 4, 20])
def test_top_k(small_strips, of_two, k):
    x, y = weights(9, 12), weights(20, 12, 1)
    y[[3, 7, 11]] = y[5]
    y[8, 0] = y[2, 0] = np.nan
    found = all_pairs(x, y, of_two.kernel, top_k=k, **of_two.options)
    full = of_two(x[:, None], y)
    assert isinstance(found, Neighbours)
    assert found.indices.dtype == np.int64
    want = np.argsort(full, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.indices, want)
    same(found.values, np.take_along_axis(full, want, 1))


@pytest.mark.parametrize("name", ["js_distance", "kl_divergence"])
@pytest.mark.parametrize("k", [1, 3, 21])
def test_top_k_of_itself(small_strips, name, k):
    """No row is a neighbour of itself, but one that equals it is."""
    x = weights(22, 12)
    x[9] = x[4]
    x[13, 2] = np.nan
    found = all_pairs(x, None, name, top_k=k)
    full = getattr(fd, name)(x[:, None], x)
    for i, row in enumerate(full):
        others = np.delete(np.arange(22), i)
        want = others[np.argsort(row[others], kind="stable")[:k]]
        np.testing.assert_array_equal(found.indices[i], want)
        same(found.values[i], row[want])
    assert found.indices[4, 0] == 9


def test_empty():
    x = weights(3, 5)
    assert all_pairs(np.empty((0, 5)), x).shape == (0, 3)
    assert all_pairs(x, np.empty((0, 5))).shape == (3, 0)
    assert all_pairs(np.empty((0, 5))).shape == (0, 0)
    assert all_pairs(np.empty((0, 5)), x, top_k=2).indices.shape == (0, 2)


# --- units and parameters ------------------------------------------------------------------------


def test_base(of_two):
    x = weights(5, 8)
    if of_two.based:
        got = all_pairs(x, None, of_two.kernel, base=2, **of_two.options)
        same(got, of_two(x[:, None], x, base=2))
    else:
        with pytest.raises(TypeError, match=f"{of_two.kernel} has no logarithm"):
            all_pairs(x, None, of_two.kernel, base=2, **of_two.options)


def test_weight():
    x = weights(5, 8)
    same(all_pairs(x, None, "js_divergence", weight=0.5), fd.js_divergence(x[:, None], x))
    same(
        all_pairs(x, None, "js_divergence", weight=0.25),
        fd.js_divergence(x[:, None], x, weight=0.25),
    )


def test_generator(small_strips):
    """A sum of kernels, one of them with P and Q exchanged."""
    x, y = weights(11, 8), weights(7, 8, 1)
    generator = Generator.__new__(Generator)
    terms = (Term(0.5, "kl_divergence"), Term(2.0, "alpha_divergence", 1.5, True))
    object.__setattr__(generator, "terms", terms)
    object.__setattr__(generator, "offset", 0.25)
    for other in (y, x):
        want = 0.25 + 0.5 * fd.kl_divergence(x[:, None], other)
        want = want + 2.0 * fd.alpha_divergence(other, x[:, None], 1.5)
        same(all_pairs(x, None if other is x else y, generator), want)


@pytest.mark.parametrize("name", ["js", "jeffreys", "pearson_chi2", "arithmetic_geometric"])
def test_registered_generators(name):
    generator = fd.generators.get(name)
    x = weights(6, 8)
    if generator.terms is None:
        with pytest.raises(TypeError, match="sum of kernels"):
            all_pairs(x, None, generator)
    else:
        same(all_pairs(x, None, generator), fd.f_divergence(x[:, None], x, generator))


@pytest.mark.parametrize("name", ["js_distance", "kl_divergence"])
def test_sparse_rows(small_strips, name):
    """Sparse with sparse, with dense, in a file's order, as neighbours, and checked."""
    x, y = (np.round(weights(n, 30, n), 1) for n in (13, 12))
    x[:, 0] = y[:, 0] = 1
    rows, others = csr_array(x), csr_array(y)
    want = all_pairs(x, y, name, base=2)
    assert (x == 0).mean() > 0.1
    np.testing.assert_allclose(all_pairs(rows, others, name, base=2), want, rtol=1e-13)
    out = np.empty((13, 12), order="F")
    assert all_pairs(rows, y, name, base=2, out=out) is out
    np.testing.assert_allclose(out, want, rtol=1e-13)
    np.testing.assert_allclose(
        all_pairs(rows, None, name), all_pairs(x, None, name), rtol=1e-13, atol=1e-300
    )
    near, dense = all_pairs(rows, None, name, top_k=2), all_pairs(x, None, name, top_k=2)
    np.testing.assert_array_equal(near.indices, dense.indices)
    with pytest.raises(ValueError, match="dense rows"):
        all_pairs(rows, None, name, from_logits=True)
    x[3] = 0
    with pytest.raises(ValueError, match="pairwise: x, row 3"):
        all_pairs(csr_array(x), None, name, validate=True)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(all_pairs(csr_array(x), y, name)[3]).all()


# --- errors, warnings, interrupts ----------------------------------------------------------------

X = np.ones((3, 4))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X[0],), {}, ValueError, r"x has one axis; .* x\[None\]"),
        ((X, X[0]), {}, ValueError, r"y has one axis; .* y\[None\]"),
        ((X[None],), {}, ValueError, "x has 3 axes"),
        ((X, X[:, :3]), {}, ValueError, "rows of x have 4 elements, rows of y 3"),
        ((X[:, :0],), {}, ValueError, "empty distribution axis"),
        ((X.astype(complex),), {}, TypeError, "pairwise: x has dtype complex128"),
        ((X, None, "kl_divergance"), {}, ValueError, "cross_entropy.* 'kl_divergence' is nearest"),
        ((X, None, "entropy"), {}, ValueError, r"of one row; call fastdiv\.entropy"),
        ((X, None, 7), {}, TypeError, "a name or a Generator"),
        ((X, None, "alpha_divergence"), {}, TypeError, "needs alpha"),
        ((X, None, "weighted_js_divergence"), {}, TypeError, "needs weight"),
        ((X, None, "kl_divergence"), {"alpha": 1}, TypeError, "takes no alpha"),
        ((X, None, "kl_divergence"), {"weight": 0.5}, TypeError, "takes no weight"),
        ((X, None, "renyi_divergence"), {"alpha": np.nan}, ValueError, "alpha is NaN"),
        ((X, None, "alpha_divergence"), {"alpha": np.inf}, ValueError, "alpha is inf"),
        ((X, None, "renyi_divergence"), {"alpha": [1, 2]}, TypeError, "one number"),
        ((X, None, "js_divergence"), {"weight": 2}, ValueError, "weight is 2"),
        ((X,), {"base": 1}, ValueError, "base is 1"),
        ((X,), {"out": np.empty((3, 3), np.float32)}, TypeError, "out is float32"),
        ((X,), {"out": np.empty((3, 4))}, ValueError, r"out has shape \(3, 4\); .*\(3, 3\)"),
        ((X,), {"out": np.broadcast_to(0.0, (3, 3))}, ValueError, "out is read-only"),
        ((X,), {"out": np.empty((3, 3)), "top_k": 1}, ValueError, "out comes with top_k"),
        ((X,), {"top_k": 3}, ValueError, "top_k is 3; it takes 1 to 2"),
        ((X, X), {"top_k": 4}, ValueError, "top_k is 4; it takes 1 to 3"),
        ((X,), {"top_k": 0}, ValueError, "top_k is 0"),
        ((X,), {"top_k": 1.5}, TypeError, "top_k is 1.5"),
        ((X, -X), {"validate": True}, ValueError, "pairwise: y, row 0, has -1.0 at 0"),
        ((X, None, fd.generators.get("kl")), {"base": 2}, TypeError, "takes no base"),
    ],
)
def test_errors(arguments, options, error, message):
    with pytest.raises(error, match=message):
        all_pairs(*arguments, **options)


@pytest.mark.parametrize("form", FORMS)
def test_warning(of_two, form):
    bad = np.ones((3, 4))
    bad[1, 2] = np.inf
    options = {**of_two.options, **FORMS[form]}
    with pytest.warns(
        RuntimeWarning, match=f"invalid value encountered in {of_two.kernel}"
    ) as seen:
        got = all_pairs(X, bad, of_two.kernel, **options)
    assert len(seen) == 1
    assert np.isnan(got[:, 1]).all()
    assert not np.isnan(got[:, [0, 2]]).any()
    with np.errstate(invalid="ignore"):
        same(all_pairs(X, bad, of_two.kernel, **options), got)
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError, match="invalid value"):
        all_pairs(X, bad, of_two.kernel, **options)


def test_no_warning_for_nan_or_infinity():
    x = np.array([[1.0, np.nan], [1.0, 0.0], [0.0, 1.0]])
    got = all_pairs(x, None, "kl_divergence")
    assert np.isinf(got[1, 2])


@pytest.mark.parametrize("name", ["js_distance", "total_variation", "jeffreys_divergence"])
def test_half_of_sparse_rows(name):
    """A symmetric matrix is the other half's mirror, and both are those of all pairs."""
    x = random_array((90, 400), density=0.05, rng=np.random.default_rng(4), format="csr")
    with np.errstate(invalid="ignore"):
        half, whole = all_pairs(x, None, name), all_pairs(x, x, name)
    same(half, whole)
    same(half, np.ascontiguousarray(half.T))
    dense = x.toarray()
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(half, all_pairs(dense, None, name), rtol=1e-12, atol=1e-15)


def test_swapped_terms_of_sparse_rows():
    class Reversed:
        terms = ((1.0, "kl_divergence", None, True),)
        offset = 0.0

    x = csr_array(weights(12, 9) * (weights(12, 9, 3) > 0.3) + 0.01)
    y = csr_array(weights(7, 9, 1))
    got = fd.pairwise(x, y, Reversed())
    same(got, np.ascontiguousarray(all_pairs(y, x, "kl_divergence").T))
