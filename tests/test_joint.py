"""Mutual information of tables, and Jensen-Shannon of many rows, in 50 digits."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from layouts import DTYPES
from reference import Bound, exact, excess, mp, normalised, softmax

import fastdiv as fd

INF = math.inf
U = 2.0**-53
RNG = np.random.default_rng(60)


def contract(value):
    """P3, where the value is the divergence itself."""
    return Bound(16 * U * (1 + float(mp.sqrt(2 / value))) if value else 0.0)


# --- mutual information ---------------------------------------------------------------------------


def information(table):
    cells = [exact(row) for row in np.asarray(table)]
    total = mp.fsum(x for row in cells for x in row)
    rows = [mp.fsum(row) / total for row in cells]
    columns = [mp.fsum(column) / total for column in zip(*cells, strict=True)]
    return mp.fsum(
        x / total * mp.log(x / total / (r * c))
        for r, row in zip(rows, cells, strict=True)
        for c, x in zip(columns, row, strict=True)
        if x
    )


def assert_information(table):
    want = information(table)
    assert excess(float(fd.mutual_information(table)), want, contract(want)) is None


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 2), (3, 7), (40, 30)])
def test_information(each_isa, shape):
    tables = RNG.gamma(0.5, size=shape) + 1e-6, RNG.integers(0, 4, shape) + np.eye(*shape)
    for _ in each_isa():
        for table in tables:
            if min(shape) == 1:
                value = fd.mutual_information(table)
                assert 0 <= value < 1e-30  # its truth is 0
            else:
                assert_information(table)


@pytest.mark.parametrize("size", [1e300, 1e-300, 5e-324, 1.7e308, 2.0**-1000])
def test_tables_of_any_size(size):
    counts = np.array([[1.0, 2, 0], [3, 1, 5]])
    assert_information(counts * (size if size < 1e308 else size / 5))
    if math.frexp(size)[0] == 0.5:
        assert fd.mutual_information(counts * size) == fd.mutual_information(counts)


@pytest.mark.parametrize(
    "table",
    [
        [[1, 0], [0, 1e-300]],
        [[1e300, 0], [0, 1.0]],
        [[1e300, 1e-5], [1.0, 1e10]],
        [[1e-300, 1e-300], [1.0, 1e-300]],
        [[1e-160, 1e-160, 1], [3e-160, 1e-160, 2]],
        [[1e300, 1e300], [1e300, 1e-300]],
    ],
)
def test_cells_of_all_sizes(table):
    assert_information(np.array(table, np.float64))


def test_cells_that_are_no_part_of_the_result():
    """Below 2**-1022 of the whole; the margins' product could not be told from 0."""
    assert fd.mutual_information([[1e300, 0], [0, 1e-300]]) == 0.0


def test_factorising_counts_are_0(each_isa):
    for _ in each_isa():
        for rows, columns in [((1, 2), (1, 2, 3)), ((5, 0, 7, 1), (0, 3, 0, 9)), ((1,), (4, 4, 1))]:
            table = np.outer(rows, columns)
            for kind in ("int64", "float64", "float32", "float16", "uint8"):
                value = fd.mutual_information(table.astype(kind))
                assert value == 0
                assert not np.signbit(value)
        many = RNG.integers(0, 50, (20, 8, 1)) * RNG.integers(0, 50, (20, 1, 6)) + 0.0
        many[:, 0, 0] += ~many.any(axis=(-2, -1))
        assert not fd.mutual_information(many).any()


@pytest.mark.parametrize("step", [1e-2, 1e-5, 1e-8, 1e-11])
def test_near_independence(step):
    for shape in ((2, 2), (6, 9)):
        table = np.outer(RNG.random(shape[0]) + 0.1, RNG.random(shape[1]) + 0.1)
        assert_information(table * (1 + step * RNG.standard_normal(shape)))


def test_batches_and_base():
    tables = RNG.random((3, 4, 5, 6))
    got = fd.mutual_information(tables)
    assert got.shape == (3, 4)
    assert got[1, 2] == fd.mutual_information(tables[1, 2])
    assert got[2, 3] == pytest.approx(float(information(tables[2, 3])), rel=1e-13)
    turned = fd.mutual_information(np.swapaxes(tables, -1, -2))
    np.testing.assert_allclose(turned, got, rtol=1e-13)
    np.testing.assert_allclose(fd.mutual_information(tables, base=2), got / math.log(2), 1e-15)
    assert fd.mutual_information(np.eye(8), base=2) == pytest.approx(3, rel=1e-15)
    assert type(fd.mutual_information(np.eye(2))) is np.float64
    assert fd.mutual_information(tables[:0]).shape == (0, 4)


def test_it_is_the_entropies():
    table = RNG.random((30, 20))
    of_margins = fd.entropy(table.sum(0)) + fd.entropy(table.sum(1)) - fd.entropy(table.ravel())
    assert fd.mutual_information(table) == pytest.approx(of_margins, rel=1e-12)


@pytest.mark.parametrize("name", [*DTYPES, "int32", "bool"])
def test_information_of_dtypes(name):
    table = (RNG.random((4, 5)) * 9).astype(DTYPES.get(name) or name)
    table[0, 0] = 0
    want = information(table.astype(np.float64))
    assert excess(float(fd.mutual_information(table)), want, contract(want)) is None
    if name == "bfloat16":
        got = fd.mutual_information(table.view(np.uint16), dtype="bfloat16")
        assert got == fd.mutual_information(table)


@pytest.mark.parametrize("bad", [-1.0, INF, np.nan, None])
def test_tables_that_are_none(bad):
    tables = RNG.random((3, 2, 2))
    tables[1] = 0
    if bad is not None:
        tables[1, 1] = [1, bad]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = fd.mutual_information(tables)
    assert np.isnan(got).tolist() == [False, True, False]
    silent = bad is not None and math.isnan(bad)
    assert bool(caught) is not silent
    assert all("invalid value" in str(w.message) for w in caught)
    what = "is 0 everywhere" if bad is None else f"has {bad}"
    with pytest.raises(ValueError, match=f"mutual_information: joint, table 1, {what}"):
        fd.mutual_information(tables, validate=True)


def test_information_errors():
    for wrong in ([1, 2], 3.0, np.ones((2, 0)), np.ones((0, 3))):
        with pytest.raises(ValueError, match=r"mutual_information: joint has shape"):
            fd.mutual_information(wrong)
    with pytest.raises(ValueError, match="base is 1"):
        fd.mutual_information(np.eye(2), base=1)
    with pytest.raises(TypeError, match="joint has dtype complex128"):
        fd.mutual_information(np.eye(2) * 1j)
    with pytest.raises(TypeError, match="dtype"):
        fd.mutual_information(np.eye(2), dtype="float8")


# --- Jensen-Shannon of many rows ------------------------------------------------------------------


def mixed(rows, weights=None, form=normalised):
    p = [form(exact(row)) for row in np.asarray(rows)]
    w = normalised(exact(np.ones(len(p)) if weights is None else np.asarray(weights, float)))
    mixture = [
        mp.fsum(a * x for a, x in zip(w, column, strict=True)) for column in zip(*p, strict=True)
    ]
    return mp.fsum(
        a * x * mp.log(x / m)
        for a, row in zip(w, p, strict=True)
        if a
        for x, m in zip(row, mixture, strict=True)
        if x
    )


def assert_mixed(rows, weights=None, **options):
    want = mixed(rows, weights, softmax if options else normalised)
    got = fd.js_divergence_of(rows, weights, **options)
    assert excess(float(got), want, contract(want)) is None, (got, want)


@pytest.mark.parametrize("k", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [2, 9, 300])
def test_many_rows(each_isa, k, n):
    rows = RNG.gamma(0.5, size=(k, n)) + 1e-6
    rows[k // 2, 1::3] = 0
    weights = RNG.random(k) + 0.01
    for _ in each_isa():
        if k == 1:
            assert fd.js_divergence_of(rows) == 0
        else:
            assert_mixed(rows)
            assert_mixed(rows, weights)
            assert_mixed(rows * 10.0 ** np.arange(-300, 300, 600 / k)[:k, None], weights)


def test_two_rows_are_js_divergence():
    p, q = RNG.gamma(0.5, size=(2, 40, 30)) + 1e-3
    both = np.stack([p, q], axis=-2)
    close = {"rtol": 32 * U * 10}
    np.testing.assert_allclose(fd.js_divergence_of(both), fd.js_divergence(p, q), **close)
    got = fd.js_divergence_of(both, [0.3, 0.7])
    np.testing.assert_allclose(got, fd.js_divergence(p, q, weight=0.3), **close)
    assert fd.js_divergence_of([[1, 0], [0, 1]], base=2) == 1.0


def test_it_is_a_mutual_information():
    rows, weights = RNG.random((5, 20)), RNG.random(5)
    table = rows / rows.sum(1, keepdims=True) * weights[:, None]
    got = fd.js_divergence_of(rows, weights)
    assert got == pytest.approx(fd.mutual_information(table), rel=1e-13)


@pytest.mark.parametrize("step", [1e-2, 1e-6, 1e-11])
def test_near_rows(step):
    p = RNG.random(50) + 0.1
    assert_mixed(p * (1 + step * RNG.standard_normal((3, 50))))
    assert_mixed(p * (1 + step * RNG.standard_normal((3, 50))), [1, 2, 0])


def test_entropy_of_the_weights_is_the_most():
    for k in (2, 3, 8):
        weights = RNG.random(k)
        most = fd.entropy(weights)
        assert fd.js_divergence_of(np.eye(k), weights) == pytest.approx(most, rel=1e-14)
        rows = RNG.gamma(0.05, size=(100, k, 6)) + 1e-200
        assert (fd.js_divergence_of(rows, weights) <= most * (1 + 4 * U)).all()


def test_weights():
    """Rows without weight are as if they were not there, whatever they hold."""
    rows = RNG.random((4, 9)) + 0.1
    rows[0, ::2] = rows[3, 1::2] = 0  # disjoint
    for weights, used in [([0, 1, 2, 0], [1, 2]), ([1, 0, 0, 3], [0, 3]), ([0, 0, 0, 5], [3])]:
        want = fd.js_divergence_of(rows[used], np.array(weights)[used])
        assert fd.js_divergence_of(rows, weights) == pytest.approx(want, rel=1e-13, abs=0)
        hidden = rows.copy()
        hidden[[i for i in range(4) if i not in used]] = np.nan
        assert fd.js_divergence_of(hidden, weights) == pytest.approx(want, rel=1e-13, abs=0)
    assert fd.js_divergence_of(rows[::3], [1, 0]) == fd.js_divergence_of(rows[::3], [0, 1]) == 0
    assert_mixed(rows, [1e-300, 1, 1e-3, 1e-9])
    # A row of almost no weight stands first, and is great where the others are small.
    assert_mixed([[0.5, 0.5], [1e-20, 1.0]], [1e-20, 1])
    assert_mixed([[0.5, 0.5], [1e-20, 1.0]], [0, 1])
    assert_mixed([[0.5, 0.5], [1e-20, 1.0], [1e-10, 1]], [1e-8, 1, 2])
    for size in (1e308, 1e-320):
        got = fd.js_divergence_of(rows, np.array([1, 1, 2, 0.5]) * (size / 2))
        assert got == pytest.approx(fd.js_divergence_of(rows, [1, 1, 2, 0.5]), rel=1e-3)
    per_set = fd.js_divergence_of(np.stack([rows, rows]), [[1, 2, 3, 4], [1, 1, 1, 1]])
    assert per_set[0] == fd.js_divergence_of(rows, [1, 2, 3, 4])
    assert per_set[1] == fd.js_divergence_of(rows)


def test_identical_rows_are_exactly_0():
    for kind in (np.float64, np.float32, np.int64):
        row = (RNG.random(33) * 1000).astype(kind)
        rows = np.stack([row] * 5)
        for weights in (None, RNG.random(5), [0, 1, 0, 1, 1e-12]):
            assert fd.js_divergence_of(rows, weights) == 0
    logits = np.stack([np.append(RNG.normal(0, 5, 33), -INF)] * 3)
    assert fd.js_divergence_of(logits, [1, 2, 3], from_logits=True) == 0
    another = np.append(rows, rows[:1] + 1, axis=0)
    assert fd.js_divergence_of(another, [1, 1, 1, 1, 1, 0]) == 0


def test_logits():
    logits = RNG.normal(0, 3, (4, 30))
    logits[0, ::3] = logits[1, 1::3] = logits[:, 5] = -INF
    logits[2] -= 1e3
    want = float(mixed(logits, [1, 2, 3, 4], softmax))
    got = fd.js_divergence_of(logits, [1, 2, 3, 4], from_logits=True)
    assert got == pytest.approx(want, rel=1e-12)
    got = fd.js_divergence_of([[0, -INF], [-INF, 0]], from_logits=True, base=2)
    assert got == pytest.approx(1, rel=1e-15)


@pytest.mark.parametrize("name", [*DTYPES, "int32"])
def test_mixtures_of_dtypes(name):
    rows = (RNG.random((2, 3, 9)) * 20 + 1).astype(DTYPES.get(name) or name)
    got = fd.js_divergence_of(rows)
    for value, some in zip(got, rows, strict=True):
        want = mixed(some.astype(np.float64))
        assert excess(float(value), want, contract(want)) is None
    if name == "bfloat16":
        assert (fd.js_divergence_of(rows.view(np.uint16), dtype="bfloat16") == got).all()


def test_invalid_rows():
    for bad, logits in [([1, -1, 1], False), ([1, INF, 1], False), ([0, 0, 0], False),
                        ([1, INF, 0], True), ([-INF] * 3, True)]:  # fmt: skip
        rows = RNG.random((2, 2, 3))
        rows[1, 1] = bad
        with pytest.warns(RuntimeWarning, match="invalid value"):
            got = fd.js_divergence_of(rows, from_logits=logits)
        assert np.isnan(got).tolist() == [False, True]
        rows[1, 1] = np.nan
        assert np.isnan(fd.js_divergence_of(rows, from_logits=logits)).tolist() == [False, True]


def test_errors():
    rows = np.ones((3, 4))
    for wrong in (np.ones(3), np.ones((0, 3)), np.ones((3, 0)), 1.0):
        with pytest.raises(ValueError, match=r"js_divergence_of: rows has shape"):
            fd.js_divergence_of(wrong)
    with pytest.raises(TypeError, match=r"js_divergence_of: weights has dtype <U1; it takes real"):
        fd.js_divergence_of(rows, ["a", "b", "c"])
    for weights, message in [
        ([1, 2], "one number for each of the 3"),
        ([1, -1, 1], r"weights has -1\.0"),
        ([1, np.nan, 1], "weights has nan"),
        ([1, INF, 1], "weights has inf"),
        ([0, 0, 0], "0 everywhere"),
    ]:
        with pytest.raises(ValueError, match=f"js_divergence_of: .*{message}"):
            fd.js_divergence_of(rows, weights)
    with pytest.raises(ValueError, match="base"):
        fd.js_divergence_of(rows, base=0)
    with pytest.raises(TypeError, match="rows has dtype"):
        fd.js_divergence_of(rows * 1j)


def test_a_part_whose_margins_have_no_product():
    """(5e-324)² is 0 beside a part that is not: the result is next to nothing, not infinite."""
    assert 0 <= fd.mutual_information([[1, 0], [0, 5e-324]]) < 1e-300
