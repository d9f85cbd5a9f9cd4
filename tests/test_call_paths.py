"""Ways to a kernel that are there for speed: what comes out is what the plain way gives."""

from __future__ import annotations

import warnings

import ml_dtypes
import numpy as np
import pytest

import fastdiv as fd
from fastdiv import _core

RNG = np.random.default_rng(11)
TYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


def pair(shape, first, second):
    return tuple((RNG.random(shape) + 0.01).astype(kind) for kind in (first, second))


# --- one row, without NumPy's dispatch ---


@pytest.mark.parametrize("first", TYPES)
@pytest.mark.parametrize("second", TYPES)
@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"from_logits": True}])
def test_one_pair_is_its_row_of_a_batch(first, second, options):
    p, q = pair((3, 100), first, second)
    batch = fd.kl_divergence(p, q, **options)
    one = fd.kl_divergence(p[1], q[1], **options)
    assert type(one) is np.float64
    assert one.tobytes() == batch[1].tobytes()


@pytest.mark.parametrize("weight", [0.5, 0.2, np.float64(0.7)])
def test_one_pair_with_a_parameter(weight):
    p, q = pair((3, 50), np.float32, np.float32)
    batch = fd.js_divergence(p, q, weight=weight)
    assert fd.js_divergence(p[2], q[2], weight=weight) == batch[2]
    orders = np.array([0.5, 2.0])
    assert fd.renyi_divergence(p[0], q[0], orders).shape == (2,)
    assert fd.renyi_divergence(p[0], q[0], 2.0) == fd.renyi_divergence(p[0], q[0], orders)[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[::2],
        lambda x: x[::-1],
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1),
        lambda x: list(x),
        lambda x: x.view(type("Mine", (np.ndarray,), {})),
    ],
    ids=["strided", "backwards", "byteswapped", "misaligned", "list", "subclass"],
)
def test_one_row_of_any_layout(change):
    p, q = pair(64, np.float64, np.float64)
    plain = [np.array(change(x), np.float64) for x in (p, q)]
    assert fd.kl_divergence(change(p), change(q)) == fd.kl_divergence(*plain)
    assert fd.entropy(change(p)) == fd.entropy(plain[0])


def test_one_row_warns_as_a_batch_does():
    bad, good = np.array([-1.0, 2.0]), np.array([1.0, 2.0])
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(fd.kl_divergence(bad, good))
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        fd.kl_divergence(bad, good)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(fd.kl_divergence(bad, good))


def test_one_row_is_refused_as_a_batch_is():
    for p, q in ((np.ones(3), np.ones(4)), (np.ones(1), np.ones(4)), (np.ones(0), np.ones(0))):
        with pytest.raises(ValueError, match=r"kl_divergence|gufunc|core dimension"):
            fd.kl_divergence(p, q)
    with pytest.raises(ValueError, match="row 0"):
        fd.kl_divergence(np.array([0.0, 0.0]), np.ones(2), validate=True)


# --- columns, packed ---


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("columns", [15, 16, 17, 64, 131])
@pytest.mark.parametrize("n", [1, 3, 4, 97, 1030])
def test_columns_are_the_rows_that_they_are(kind, columns, n):
    p, q = pair((columns, n), kind, kind)
    want = fd.kl_divergence(p, q)
    down = [np.ascontiguousarray(x.T) for x in (p, q)]
    assert fd.kl_divergence(*down, axis=0).tobytes() == want.tobytes()
    assert fd.kl_divergence(*(np.asfortranarray(x) for x in (p, q))).tobytes() == want.tobytes()
    # One of two; beginning anywhere; backwards.
    assert fd.kl_divergence(p, down[1].T).tobytes() == want.tobytes()
    assert fd.kl_divergence(*(x[:, 3:] for x in down), axis=0).tobytes() == want[3:].tobytes()
    assert fd.kl_divergence(*(x[:, ::-1] for x in down), axis=0).tobytes() == want[::-1].tobytes()
    assert fd.entropy(down[0], axis=0).tobytes() == fd.entropy(p).tobytes()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_columns_on_threads_and_against_one_column(threads):
    p, q = pair((1000, 300), np.float32, np.float64)
    one = np.ascontiguousarray(np.stack([q[0]] * 9).T)[:, 4]  # strided, the same for all rows
    with fd.num_threads(threads):
        got = fd.js_divergence(np.asfortranarray(p), np.asfortranarray(q))
        against_one = fd.js_divergence(np.asfortranarray(p), one)
    assert got.tobytes() == fd.js_divergence(p, q).tobytes()
    assert against_one.tobytes() == fd.js_divergence(p, q[0]).tobytes()


def test_columns_of_logits_with_labels():
    a, b = pair((200, 500), np.float32, np.float16)
    labels = RNG.integers(0, 500, 200)
    fields = fd.LogitComparison._fields
    want = fd.compare_logits(a, b, labels, fields=fields)
    got = fd.compare_logits(np.asfortranarray(a), np.asfortranarray(b), labels, fields=fields)
    for x, y in zip(got, want, strict=True):
        assert x.tobytes() == y.tobytes()
    nll = fd.token_nll(np.asfortranarray(a), labels)
    assert nll.tobytes() == fd.token_nll(a, labels).tobytes()


def test_columns_that_numpy_gives_to_the_gufunc():
    p, q = pair((64, 200), np.float32, np.float32)
    function = _core.gufunc("kl_divergence", 0)
    got = function(np.asfortranarray(p), np.asfortranarray(q))
    assert got.tobytes() == fd.kl_divergence(p, q).tobytes()
