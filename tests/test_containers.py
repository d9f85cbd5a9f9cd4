"""pandas frames, SciPy sparse matrices, xarray, Dask and torch in the public functions."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr
from dask import array as da
from registry import DIVERGENCES

import fastdiv as fd
from fastdiv import _core

RNG = np.random.default_rng(70)
ROWS = RNG.gamma(0.5, size=(2, 4, 5)) + 1e-2
OUTCOMES = list("abcde")
INDEX = pd.Index(["n", "e", "s", "w"], name="wind")
P, Q = (pd.DataFrame(x, index=INDEX, columns=OUTCOMES) for x in ROWS)
SHUFFLED = list("dbaec")


# --- pandas ---------------------------------------------------------------------------------------


def assert_series(got, want, index=INDEX):
    assert type(got) is pd.Series
    assert got.index.equals(index)
    assert got.index.name == index.name
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got.to_numpy(), want)


def test_frames(divergence):
    want = divergence(*ROWS)
    assert_series(divergence(P, Q), want)
    assert divergence(P, Q).name == divergence.kernel
    assert_series(divergence(P, ROWS[1]), want)
    if not divergence.unary:
        assert_series(divergence(ROWS[0], Q), want)
        # Every row with one.
        assert_series(divergence(P, Q.loc["e"]), divergence(ROWS[0], ROWS[1, 1]))
        assert_series(divergence(P.loc["e"], Q), divergence(ROWS[0, 1], ROWS[1]))
    if divergence.based:
        assert_series(divergence(P, Q, base=2), divergence(*ROWS, base=2))
    logits = divergence(np.log(P), np.log(Q), from_logits=True)
    assert_series(logits, divergence(*np.log(ROWS), from_logits=True))
    raw = divergence(P, Q, normalize=False)
    assert_series(raw, divergence(*ROWS, normalize=False))


def test_columns_are_aligned(of_two):
    np.testing.assert_array_equal(of_two(P, Q[SHUFFLED]), of_two(P, Q))
    one = of_two(P.loc["n"], Q.loc["n"][SHUFFLED])
    assert type(one) is np.float64
    assert one == of_two(P, Q)["n"]
    assert_series(of_two(P, Q.loc["n"][SHUFFLED]), of_two(ROWS[0], ROWS[1, 0]))
    # The order is that of p, to which an array beside it belongs.
    shuffled = P[SHUFFLED]
    order = [OUTCOMES.index(c) for c in SHUFFLED]
    assert_series(of_two(shuffled, Q), of_two(*ROWS[..., order]))


def test_axis_0(divergence):
    want = divergence(*ROWS)
    for axis in (0, -2):
        assert_series(divergence(P.T, Q.T, axis=axis), want)
        assert_series(divergence(P.T, Q.T.loc[SHUFFLED], axis=axis), want)
    if not divergence.unary:
        one = divergence(P.T, Q.T["e"], axis=0)
        assert_series(one, divergence(ROWS[0], ROWS[1, 1]))


@pytest.mark.parametrize("labels", [list("abcdf"), [0, 1, 2, 3, 4], [0, "b", 2, "d", 4.5]])
def test_labels_that_differ(labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for q in (Q.set_axis(labels, axis=1), Q.set_axis(labels, axis=1).loc["n"]):
            with pytest.raises(ValueError, match=r"outcomes of q have other labels.*from_counts"):
                fd.kl_divergence(P, q)
            with pytest.raises(ValueError, match="outcomes of q"):
                fd.kl_divergence(P.loc["n"], q)
    with pytest.raises(ValueError, match=r"outcomes of q .* 'e'"):
        fd.kl_divergence(P, Q[list("abcd")])
    with pytest.raises(ValueError, match="rows of q have other labels"):
        fd.kl_divergence(P, Q.iloc[::-1])


def test_labels_that_are_there_twice():
    """Equal labels in equal order are no question; any other order would be a guess."""
    twice = list("aabcd")
    p, q = P.set_axis(twice, axis=1), Q.set_axis(twice, axis=1)
    assert_series(fd.kl_divergence(p, q), fd.kl_divergence(*ROWS))
    for one, other in [(p, q[["b", "a", "c", "d"]]), (p, Q.set_axis(list("aabcd")[::-1], axis=1)),
                       (p, Q[list("abcd")]), (P[list("abcd")], q)]:  # fmt: skip
        with pytest.raises(ValueError, match=r"outcomes of q .* 'a'"):
            fd.kl_divergence(one, other)


def test_series():
    p, q = P.loc["n"], Q.loc["n"]
    assert type(fd.js_divergence(p, q)) is np.float64
    assert fd.js_divergence(p, q) == fd.js_divergence(*ROWS[:, 0])
    assert fd.entropy(p) == fd.entropy(ROWS[0, 0])
    assert fd.js_divergence(p, ROWS[1, 0]) == fd.js_divergence(*ROWS[:, 0])
    assert fd.js_divergence(p, q, axis=0) == fd.js_divergence(*ROWS[:, 0])


def test_kinds_of_columns():
    counts = (P * 100).astype(int)
    want = fd.entropy(counts.to_numpy())
    assert_series(fd.entropy(counts), want)
    mixed = counts.astype({"a": float, "b": "float32"})
    assert_series(fd.entropy(mixed), want)
    with pytest.raises(TypeError, match="p has dtype object"):
        fd.entropy(counts.assign(a="x"))
    empty = fd.kl_divergence(P.iloc[:0], Q.iloc[:0])
    assert_series(empty, np.empty(0), INDEX[:0])


@pytest.mark.parametrize(
    "function", ["renyi_entropy", "tsallis_entropy", "renyi_divergence", "alpha_divergence"]
)
def test_arrays_of_orders(function):
    call = getattr(fd, function)
    frames, rows = ((P,), ROWS[:1]) if "entropy" in function else ((P, Q), ROWS)
    for alpha in (0.5, [0.5, 1, 2, 3]):
        assert_series(call(*frames, alpha), call(*rows, alpha))
    table = call(*frames, [[0.5], [2.0]])
    assert type(table) is np.ndarray
    np.testing.assert_array_equal(table, call(*rows, [[0.5], [2.0]]))
    assert_series(fd.js_divergence(P, Q, weight=0.3), fd.js_divergence(*ROWS, weight=0.3))


def test_keepdims_and_out_of_frames():
    kept = fd.kl_divergence(P, Q, keepdims=True)
    assert type(kept) is np.ndarray
    assert kept.shape == (4, 1)
    out = np.empty(4)
    assert fd.kl_divergence(P, Q, out=out, base=2) is out
    np.testing.assert_array_equal(out, fd.kl_divergence(*ROWS, base=2))
    with pytest.raises(ValueError, match="out has shape"):
        fd.kl_divergence(P, Q, out=np.empty(3))


def test_invalid_rows_of_frames():
    bad = P.copy()
    bad.loc["s", "c"] = -1
    with pytest.warns(RuntimeWarning, match="invalid value"):
        got = fd.kl_divergence(bad, Q)
    assert got.isna().tolist() == [False, False, True, False]
    with pytest.raises(ValueError, match=r"kl_divergence: p, row 2, has -1\.0"):
        fd.kl_divergence(bad, Q, validate=True)
    before = Q.copy()
    fd.kl_divergence(P, Q[SHUFFLED])
    pd.testing.assert_frame_equal(Q, before)


def test_f_divergence_of_frames():
    want = fd.f_divergence(*ROWS, "js")
    np.testing.assert_array_equal(fd.f_divergence(P, Q, "js"), want)
    got = fd.f_divergence(P, Q[SHUFFLED], fd.generators.kl + fd.generators.js)
    assert_series(got, fd.f_divergence(*ROWS, fd.generators.kl + fd.generators.js))


# --- counts ---------------------------------------------------------------------------------------


def test_counts(divergence):
    """Mappings with keys of their own, aligned, in every function."""
    p, q = {"x": 3, "y": 1, "z": 2}, {"z": 4, "x": 1, "y": 2, "w": 5}
    counts = fd.from_counts(p, q)
    want = divergence([3, 1, 2, 0], [1, 2, 4, 5])
    assert divergence(*counts) == want
    assert divergence(*fd.from_counts(pd.Series(p), q)) == want
    with pytest.raises(ValueError, match="from_counts"):
        fd.kl_divergence(pd.Series(p), pd.Series(q))


# --- SciPy sparse ---------------------------------------------------------------------------------

DENSE = np.where(RNG.random((2, 6, 50)) < 0.3, RNG.random((2, 6, 50)), 0)
DENSE[:, :, 0] = 1
SPARSE = [scipy.sparse.csr_array(x) for x in DENSE]


@pytest.mark.parametrize("options", [{}, {"normalize": False}], ids=["normalized", "raw"])
def test_sparse(divergence, options):
    def close(got, want):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)

    want = divergence(*DENSE, **options)
    got = divergence(*SPARSE, **options)
    assert type(got) is np.ndarray
    close(got, want)
    close(divergence(*(x.tocoo() for x in SPARSE), **options), want)
    close(divergence(*(scipy.sparse.csc_matrix(x.T) for x in SPARSE), axis=0, **options), want)
    if not divergence.unary:
        close(divergence(SPARSE[0], DENSE[1], **options), want)
        close(divergence(DENSE[0], SPARSE[1], **options), want)
        close(
            divergence(SPARSE[0], DENSE[1, 0], **options),
            divergence(DENSE[0], DENSE[1, 0], **options),
        )
    kept = divergence(*SPARSE, keepdims=True, **options)
    assert kept.shape == (6, 1)
    np.testing.assert_array_equal(kept[:, 0], got)
    across = divergence(*(x.T for x in SPARSE), keepdims=True, axis=0, **options)
    assert across.shape == (1, 6)
    out = np.empty(6)
    assert divergence(*SPARSE, out=out, **options) is out
    np.testing.assert_array_equal(out, got)
    if divergence.based:
        close(divergence(*SPARSE, base=2, **options), divergence(*DENSE, base=2, **options))
        assert divergence(*SPARSE, base=2, out=out, **options) is out
        close(out, divergence(*DENSE, base=2, **options))
    with pytest.raises(ValueError, match=f"{divergence.kernel}: from_logits takes dense rows"):
        divergence(*SPARSE, from_logits=True)
    with pytest.raises(ValueError, match="out has shape"):
        divergence(*SPARSE, out=np.empty(5), **options)
    with pytest.raises(TypeError, match="out is"):
        divergence(*SPARSE, out=np.empty(6, np.float32), **options)


def test_one_sparse_row():
    p, q = (scipy.sparse.coo_array(x[0]) for x in DENSE)
    got = fd.js_divergence(p, q)
    assert type(got) is np.float64
    assert got == pytest.approx(fd.js_divergence(*DENSE[:, 0]), rel=1e-13)
    assert fd.js_divergence(p, q, keepdims=True).shape == (1,)


def test_sparse_rows_and_arrays_of_parameters():
    alpha = np.array([[0.5], [2.0], [-1.0]])
    for name in ("renyi_divergence", "alpha_divergence", "renyi_entropy", "tsallis_entropy"):
        count = 1 if "entropy" in name else 2
        got = getattr(fd, name)(*SPARSE[:count], alpha)
        assert got.shape == (3, 6)
        np.testing.assert_allclose(got, getattr(fd, name)(*DENSE[:count], alpha), rtol=1e-13)
    weights = np.linspace(0, 1, 6)
    got = fd.js_divergence(*SPARSE, weight=weights)
    np.testing.assert_allclose(got, fd.js_divergence(*DENSE, weight=weights), rtol=1e-13)
    assert got[0] == got[-1] == 0


def test_subclasses_of_sparse_arrays_and_frames():
    class Counts(scipy.sparse.csr_array):
        pass

    class Table(pd.DataFrame):
        pass

    want = fd.kl_divergence(DENSE[0] + 1, DENSE[1] + 1)
    np.testing.assert_allclose(fd.entropy(Counts(DENSE[0])), fd.entropy(DENSE[0]), rtol=1e-13)
    got = fd.kl_divergence(Counts(DENSE[0] + 1), DENSE[1] + 1)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    assert_series(fd.entropy(Table(P)), fd.entropy(ROWS[0]))
    assert_series(fd.kl_divergence(Table(P), Q[SHUFFLED]), fd.kl_divergence(*ROWS))


def test_invalid_sparse_rows():
    bad = SPARSE[0].copy()
    bad[2, 0] = -1
    with pytest.warns(RuntimeWarning, match="invalid value"):
        got = fd.total_variation(bad, SPARSE[1])
    assert np.flatnonzero(np.isnan(got)).tolist() == [2]
    with pytest.raises(ValueError, match=r"p, row 2, has -1\.0 at 0"):
        fd.total_variation(bad, SPARSE[1], validate=True)


def test_f_divergence_of_sparse_rows():
    got = fd.f_divergence(*SPARSE, fd.generators.js + fd.generators.triangular)
    want = fd.js_divergence(*DENSE) + fd.triangular_discrimination(*DENSE)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    np.testing.assert_array_equal(fd.f_divergence(*SPARSE, "js"), fd.js_divergence(*SPARSE))


# --- xarray ---------------------------------------------------------------------------------------


def test_xarray():
    winds = {"wind": list("nesw"), "outcome": OUTCOMES}
    a, b = (xr.DataArray(x, winds, ("wind", "outcome")) for x in ROWS)
    core = [["outcome"], ["outcome"]]
    got = xr.apply_ufunc(fd.kl_divergence, a, b, input_core_dims=core)
    assert got.dims == ("wind",)
    assert got.wind.values.tolist() == list("nesw")
    np.testing.assert_array_equal(got, fd.kl_divergence(*ROWS))
    # Named dimensions, in any order, and a dataset.
    got = xr.apply_ufunc(fd.js_distance, a.T, b.sel(wind="e"), input_core_dims=core)
    np.testing.assert_array_equal(got, fd.js_distance(ROWS[0], ROWS[1, 1]))
    got = xr.apply_ufunc(
        fd.renyi_divergence, a, b, kwargs={"alpha": 2}, input_core_dims=core, keep_attrs=True
    )
    np.testing.assert_array_equal(got, fd.renyi_divergence(*ROWS, 2))
    both = xr.apply_ufunc(fd.entropy, xr.Dataset({"p": a, "q": b}), input_core_dims=[["outcome"]])
    np.testing.assert_array_equal(both.q, fd.entropy(ROWS[1]))
    np.testing.assert_array_equal(fd.kl_divergence(a, b), fd.kl_divergence(*ROWS))


# --- Dask -----------------------------------------------------------------------------------------

COMPUTED = []


def watched(block):
    COMPUTED.append(1)
    return block


def lazy_rows(rows=ROWS):
    return [
        da.from_array(x, chunks=(2, -1)).map_blocks(watched, dtype=x.dtype, meta=x[:0, :0])
        for x in rows
    ]


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=lambda d: d.name)
def test_dask(divergence):
    rows = lazy_rows()
    COMPUTED.clear()
    lazy = divergence(*rows)
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (4,)
    assert lazy.chunks == ((2, 2),)
    assert COMPUTED == []
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), divergence(*ROWS))
    assert len(COMPUTED) == (2 if divergence.unary else 4)


@pytest.mark.parametrize("name", [n for n in _core.PARAMETERS if "js" not in n])
def test_dask_with_orders(name):
    call = getattr(fd, name)
    rows, lazy = (ROWS, lazy_rows()) if name not in _core.UNARY else (ROWS[:1], lazy_rows(ROWS[:1]))
    for alpha in (2, [0.5, 1, 2, 3], np.array([[0.5], [2.0]])):
        COMPUTED.clear()
        got = call(*lazy, alpha)
        assert isinstance(got, da.Array)
        assert COMPUTED == []
        np.testing.assert_array_equal(got.compute(scheduler="sync"), call(*rows, alpha))


def test_dask_options():
    lazy = lazy_rows()
    got = fd.kl_divergence(*lazy, base=2)
    assert isinstance(got, da.Array)
    np.testing.assert_array_equal(got.compute(), fd.kl_divergence(*ROWS, base=2))
    got = fd.js_divergence(lazy[0], ROWS[1], weight=0.25)
    assert isinstance(got, da.Array)
    np.testing.assert_array_equal(got.compute(), fd.js_divergence(*ROWS, weight=0.25))
    turned = [x.T for x in lazy]
    np.testing.assert_array_equal(fd.kl_divergence(*turned, axis=0), fd.kl_divergence(*ROWS))
    one = fd.kl_divergence(lazy[0], ROWS[1, :1])
    np.testing.assert_array_equal(one, fd.kl_divergence(ROWS[0], ROWS[1, :1]))
    with pytest.raises(ValueError, match="kl_divergence: p has rows of 5, q of 3 outcomes"):
        fd.kl_divergence(lazy[0], ROWS[1, :, :3])


# --- torch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_torch_without_a_copy(name):
    torch = pytest.importorskip("torch")
    tensor = torch.ones(6, 8, dtype=getattr(torch, name))
    for seen in (tensor, tensor.T, tensor[1::2, ::3]):
        array = _core.array_of(seen, "kl_divergence", "p")
        assert array.__array_interface__["data"][0] == seen.data_ptr()
        assert array.shape == tuple(seen.shape)
        assert array.strides == tuple(s * seen.element_size() for s in seen.stride())
    assert fd.entropy(tensor).tolist() == [pytest.approx(np.log(8))] * 6
