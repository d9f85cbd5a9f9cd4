"""Wasserstein's distance against SciPy's, and in 50 digits where SciPy's digits end."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from layouts import DTYPES
from reference import exact, mpf, normalised, softmax
from scipy import stats

import fastdiv as fd

INF = np.inf
RNG = np.random.default_rng(50)
U = 2.0**-53


def definition(p, q, positions):
    order = np.argsort(positions, kind="stable")
    at = [mpf(float(positions[i])) for i in order]
    ahead, total = mpf(0), mpf(0)
    for k, i in enumerate(order[:-1]):
        ahead += p[i] - q[i]
        total += abs(ahead) * (at[k + 1] - at[k])
    return float(total)


def exactly(p, q, positions=None, form=normalised):
    positions = np.arange(len(p)) if positions is None else positions
    return definition(form(exact(p)), form(exact(q)), positions)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 33, 300, 2049])
def test_against_scipy(isa, n):
    p, q = RNG.gamma(0.5, size=(2, 3, n)) + 1e-9
    for positions in (
        None,
        RNG.normal(size=n) * 10,  # in any order
        np.sort(RNG.normal(size=n)),
        RNG.integers(-3, 3, n),  # the same one again and again
        np.zeros(n),
    ):
        at = np.arange(n) if positions is None else positions
        want = [stats.wasserstein_distance(at, at, x, y) for x, y in zip(p, q, strict=True)]
        got = fd.wasserstein_distance(p, q, positions)
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("step", [1e-13, 1e-6, 1e-2, 1.0])
def test_against_fifty_digits(each_isa, dtype, step):
    """The distribution functions to 4u, times the width of the grid: so far do sums round."""
    for n in (2, 17, 300):
        p = (RNG.random(n) + 0.1).astype(dtype)
        q = p.astype(np.float64) * np.abs(1 + step * RNG.standard_normal(n))
        q = q.astype(dtype) if step > 1e-6 else q
        for at in (np.arange(n), RNG.normal(size=n)):
            want = exactly(p, q, at)
            allowed = 4 * U * (at.max() - at.min()) + 16 * U * want
            bits = set()
            for _ in each_isa():
                got = fd.wasserstein_distance(p, q, at)
                assert abs(got - want) <= allowed, (n, step)
                bits.add(got)
            assert len(bits) == 1


def test_digits_of_near_rows(isa):
    """Equal sums, and differences of 1e-13 in between: all digits are there, and SciPy has few."""
    n = 200
    p = RNG.integers(2**42, 2**44, n).astype(np.float64)
    q = p.copy()
    q[3] += 1
    q[150] -= 1
    q[170:172] += [5, -5]
    want = (147 + 5) / p.sum()
    assert want == pytest.approx(exactly(p, q), rel=1e-15)
    assert fd.wasserstein_distance(p, q) == pytest.approx(want, rel=1e-12, abs=0)
    assert fd.wasserstein_distance(q, 8 * p) == pytest.approx(want, rel=1e-12, abs=0)
    at = np.arange(n)
    assert abs(stats.wasserstein_distance(at, at, p, q) / want - 1) > 1e-7
    near = p * (1 + 1e-13 * RNG.standard_normal(n))  # of another sum
    for x in (near, 3 * near, near / near.sum()):
        assert fd.wasserstein_distance(p, x) == pytest.approx(exactly(p, x), rel=1e-12, abs=0)


@pytest.mark.parametrize("name", [*DTYPES, "int32", "bool"])
def test_dtypes(isa, name):
    p, q = ((x * 9).astype(DTYPES.get(name) or name) for x in RNG.random((2, 4, 37)) + 0.2)
    want = [exactly(x, y) for x, y in zip(p, q, strict=True)]
    np.testing.assert_allclose(fd.wasserstein_distance(p, q), want, rtol=1e-13, atol=0)
    np.testing.assert_allclose(
        fd.wasserstein_distance(p, q.astype(np.float64)), want, rtol=1e-13, atol=0
    )
    if name == "bfloat16":
        raw = [x.view(np.uint16) for x in (p, q)]
        got = fd.wasserstein_distance(*raw, dtype="bfloat16")
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=0)


def test_logits(isa):
    a, b = RNG.normal(0, 4, (2, 5, 40))
    a[1, ::3] = b[2, 1::3] = -INF
    a[3, :2], b[3, :2] = [0, -900], [-900, 0]
    at = RNG.normal(size=40)
    want = [exactly(x, y, at, softmax) for x, y in zip(a, b, strict=True)]
    got = fd.wasserstein_distance(a, b, at, from_logits=True)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    shifted = fd.wasserstein_distance(a + 1e3, b - 1e3, at, from_logits=True)
    np.testing.assert_allclose(shifted, want, rtol=1e-11)
    near = a[0] + 1e-12 * RNG.standard_normal(40)
    got = fd.wasserstein_distance(a[0], near, from_logits=True)
    assert got == pytest.approx(exactly(a[0], near, form=softmax), rel=1e-2)


def test_axis_keepdims_out_broadcasting():
    p, q = RNG.random((4, 1, 5)), RNG.random((3, 5))
    at = np.array([3.0, -1, 2, 7, 0])
    want = np.array([[exactly(x, y, at) for y in q] for x in p[:, 0]])
    got = fd.wasserstein_distance(p, q, at)
    np.testing.assert_allclose(got, want, rtol=1e-13)
    turned = fd.wasserstein_distance(np.moveaxis(p, -1, 0), q.T, at, axis=0)
    np.testing.assert_array_equal(turned, got)
    assert fd.wasserstein_distance(p, q, at, keepdims=True).shape == (4, 3, 1)
    kept = fd.wasserstein_distance(np.moveaxis(p, -1, 0), q.T, at, axis=0, keepdims=True)
    assert kept.shape == (1, 4, 3)
    out = np.empty((4, 3))
    assert fd.wasserstein_distance(p, q, at, out=out) is out
    np.testing.assert_array_equal(out, got)
    assert type(fd.wasserstein_distance(p[0, 0], q[0])) is np.float64
    assert fd.wasserstein_distance(p[:0], q).shape == (0, 3)
    with pytest.raises(ValueError, match="out has shape"):
        fd.wasserstein_distance(p, q, out=np.empty(3))


def test_symmetric_and_zero(isa):
    p, q = RNG.gamma(0.5, size=(2, 20, 65))
    at = RNG.normal(size=65)
    there, back = fd.wasserstein_distance(p, q, at), fd.wasserstein_distance(q, p, at)
    np.testing.assert_allclose(there, back, rtol=1e-13)
    assert (there > 0).all()
    for kind in (np.float64, np.float32, np.float16):
        rows = p.astype(kind)
        for power in (1.0, 2.0, 0.25, 1024.0):
            assert not fd.wasserstein_distance(rows, rows.astype(np.float64) * power, at).any()
    counts = RNG.integers(0, 9, (20, 65)) + 1
    assert not fd.wasserstein_distance(counts, 4 * counts).any()
    logits = np.log(p)
    assert not fd.wasserstein_distance(logits, logits.copy(), at, from_logits=True).any()


def test_properties():
    """Shifts of the grid change nothing, its scale is the result's, and triangles close."""
    p, q, r = RNG.gamma(0.5, size=(3, 50, 30))
    at = np.sort(RNG.normal(size=30))
    d = fd.wasserstein_distance
    np.testing.assert_allclose(d(p, q, 3 * at + 5), 3 * d(p, q, at), rtol=1e-12)
    assert (d(p, r, at) <= (d(p, q, at) + d(q, r, at)) * (1 + 1e-13)).all()
    assert d([1, 0, 0], [0, 0, 1], [0, 5, 1e6]) == 1e6
    shuffled = RNG.permutation(30)
    np.testing.assert_array_equal(d(p[:, shuffled], q[:, shuffled], at[shuffled]), d(p, q, at))


@pytest.mark.parametrize("argument", [0, 1])
@pytest.mark.parametrize(
    ("bad", "logits"),
    [([1, -1, 2], False), ([1, INF, 2], False), ([0, 0, 0], False), ([1, INF, 2], True),
     ([-INF] * 3, True)],
)  # fmt: skip
def test_invalid_rows(isa, argument, bad, logits):
    rows = np.ones((2, 3, 3)) * [1, 2, 4]
    rows[0, 2] = [2, 1, 1]
    good = fd.wasserstein_distance(*rows, from_logits=logits)
    rows[argument, 1] = bad
    with pytest.warns(RuntimeWarning, match="invalid value"):
        got = fd.wasserstein_distance(*rows, from_logits=logits)
    assert np.isnan(got).tolist() == [False, True, False]
    np.testing.assert_array_equal(got[::2], good[::2])
    with pytest.raises(ValueError, match=f"wasserstein_distance: {'pq'[argument]}, row 1, "):
        fd.wasserstein_distance(*rows, from_logits=logits, validate=True)
    rows[argument, 1] = [1, np.nan, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(fd.wasserstein_distance(*rows, from_logits=logits)[1])


def test_errors():
    d, p = fd.wasserstein_distance, np.ones(3)
    for positions, error, message in [
        ([0, 1], ValueError, r"shape \(2,\); it takes one number for each of the 3"),
        ([[0, 1, 2]], ValueError, r"shape \(1, 3\)"),
        ([0, np.nan, 1], ValueError, "positions has nan at 1"),
        ([0, 1, INF], ValueError, "positions has inf at 2"),
        (["a", "b", "c"], TypeError, "takes real numbers"),
    ]:
        with pytest.raises(error, match=message):
            d(p, p, positions)
    for positions in (None, [0, 1, 2], [2, 0, 1]):
        with pytest.raises(ValueError, match="p has rows of 3, q of 2 outcomes"):
            d(p, np.ones(2), positions)
    with pytest.raises(ValueError, match="p is a single number"):
        d(1.0, p)
    with pytest.raises(ValueError, match="empty"):
        d(np.ones((2, 0)), np.ones((2, 0)))
    with pytest.raises(TypeError, match="q has dtype complex128"):
        d(p, p * 1j)
    with pytest.raises(np.exceptions.AxisError):
        d(p, p, axis=1)
    with pytest.raises(TypeError, match="dtype"):
        d(p, p, dtype="bfloat17")
