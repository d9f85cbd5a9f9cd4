"""The table of zeros, NaN and infinities, for every divergence, dtype and instruction set."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from layouts import DTYPES
from reference import ORACLES, UNIT, exact, normalised, softmax

INF = np.inf
LN2 = np.log(2)

# By hand, for P, Q = [0, 1], [1/2, 1/2] and for the same two exchanged.
LIMITS = {
    "entropy": (0, LN2),
    "cross_entropy": (LN2, INF),
    "kl_divergence": (LN2, INF),
    "reverse_kl_divergence": (INF, LN2),
    "js_divergence": (0.75 * np.log(4 / 3),) * 2,
    "js_distance": (np.sqrt(0.75 * np.log(4 / 3)),) * 2,
    "total_variation": (0.5,) * 2,
    "squared_hellinger": (1 - np.sqrt(0.5),) * 2,
    "hellinger_distance": (np.sqrt(1 - np.sqrt(0.5)),) * 2,
    "chi2_divergence": (1, INF),
    "neyman_divergence": (INF, 1),
    "jeffreys_divergence": (INF,) * 2,
    "bhattacharyya_distance": (LN2 / 2,) * 2,
    "triangular_discrimination": (2 / 3,) * 2,
    "weighted_js_divergence(0.2)": (
        0.2 * np.log(1 / 0.6) + 0.4 * np.log(0.5 / 0.4) + 0.4 * np.log(0.5 / 0.6),
        0.1 * np.log(0.5 / 0.1) + 0.1 * np.log(0.5 / 0.9) + 0.8 * np.log(1 / 0.9),
    ),
    "alpha_divergence(-0.5)": (INF, (np.sqrt(2) - 1) / 0.75),
    "alpha_divergence(1.5)": ((np.sqrt(2) - 1) / 0.75, INF),
    "renyi_divergence(0.3)": (LN2, 0.3 * LN2 / 0.7),
    "renyi_divergence(3.0)": (LN2, INF),
    "renyi_entropy(0.5)": (0, LN2),
    "tsallis_entropy(2.0)": (0, 0.5),
}
ONE_ZERO = [([0, 2], [1, 1]), ([1, 1], [0, 2])]
ZERO_IN_BOTH = [([0, 2, 2], [0, 1, 3]), ([0, 0, 1], [0, 0, 1]), ([0, 0, 2, 1], [3, 0, 1, 0])]


@pytest.fixture
def array(dtype):
    return lambda values: np.array(values, np.float64).astype(DTYPES[dtype])


@pytest.fixture
def close(dtype):
    return 64 * UNIT[dtype]


@pytest.mark.promise("P5")
@pytest.mark.parametrize("row", [0, 1], ids=["zero in p", "zero in q"])
def test_limits_by_hand(isa, dtype, divergence, array, close, row):
    p, q = ONE_ZERO[row]
    want = LIMITS[divergence.name][row]
    assert divergence(array(p), array(q)) == pytest.approx(want, rel=close, abs=0)


@pytest.mark.promise("P5")
@pytest.mark.parametrize(("p", "q"), ONE_ZERO + ZERO_IN_BOTH, ids=str)
def test_zeros_take_their_limits(isa, dtype, divergence, array, close, p, q):
    oracle = ORACLES[divergence.name]
    want = float(oracle(normalised(exact(array(p))), normalised(exact(array(q)))))
    assert divergence(array(p), array(q)) == pytest.approx(want, rel=close, abs=0)
    with np.errstate(divide="ignore"):
        a, b = array(np.log(p)), array(np.log(q))
    want = float(oracle(softmax(exact(a)), softmax(exact(b))))
    assert divergence(a, b, from_logits=True) == pytest.approx(want, rel=close, abs=0)


def test_a_zero_is_seen_at_every_position(isa, dtype, divergence, array, close):
    """In a vector's body, in its tail and at a block's end."""
    infinite = np.isinf(LIMITS[divergence.name][1])
    for n in (2, 15, 16, 17, 255, 256, 257, 2049):
        places = sorted({0, 1, n // 2, n - 2, n - 1})
        q = np.ones((len(places), n))
        q[range(len(places)), places] = 0
        with np.errstate(divide="ignore"):
            logits = divergence(array(np.zeros(n)), array(np.log(q)), from_logits=True)
        for result in (divergence(array(np.ones(n)), array(q)), logits):
            result = np.atleast_1d(result)
            assert np.isinf(result).all() if infinite else np.ptp(result) <= close * result[0]


def test_nan_stays_in_its_row(isa, dtype, argument, array):
    divergence, where = argument
    forms = ({}, {"normalize": False}, {"from_logits": True})
    for n, options in product((1, 2, 17, 300), forms):
        p, q = array(np.linspace(0.1, 0.9, 5 * n).reshape(5, n)), array(np.full((5, n), 0.5))
        clean = divergence(p, q, **options)
        (p if where == "p" else q)[3, n // 2] = np.nan
        result = divergence(p, q, **options)
        assert np.isnan(result[3])
        np.testing.assert_array_equal(np.delete(result, 3), np.delete(clean, 3))
        if "from_logits" not in options:
            (q if where == "p" else p)[3, n // 2] = 0  # whose limit may be infinite
            with np.errstate(invalid="ignore"):  # a row of one 0 is no distribution
                assert np.isnan(divergence(p, q, **options)[3])


BAD_WEIGHTS = {"negative": -0.25, "infinite": INF, "minus infinity": -INF}


@pytest.mark.parametrize("bad", [*BAD_WEIGHTS, "all zero"])
def test_invalid_weights(isa, dtype, argument, array, bad):
    for n in (2, 17, 300):
        check_invalid_weights(*argument, array, bad, n)


def check_invalid_weights(divergence, where, array, bad, n):
    p, q = array(np.linspace(0.1, 0.9, 3 * n).reshape(3, n)), array(np.full((3, n), 0.5))
    clean = divergence(p, q)
    row = (p if where == "p" else q)[1]
    if bad == "all zero":
        row[:] = 0
    else:
        row[n // 2] = BAD_WEIGHTS[bad]
    with pytest.warns(RuntimeWarning, match="invalid value"):
        result = divergence(p, q)
    assert np.isnan(result[1])
    assert (result[[0, 2]] == clean[[0, 2]]).all()
    with np.errstate(invalid="ignore"):
        assert np.isnan(divergence(p, q)[1])
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        divergence(p, q)
    with pytest.raises(ValueError, match=rf"\b{where}\b") as error:
        divergence(p, q, validate=True)
    assert re.search(r"row\s*\(?1\b", str(error.value))
    if bad != "all zero":
        value = format(BAD_WEIGHTS[bad], "g")
        assert re.search(rf"(?<![\w.-]){re.escape(value)}\b", str(error.value))
        with np.errstate(invalid="ignore"):
            assert np.isnan(divergence(p, q, normalize=False)[1])
    assert (divergence(p[[0, 2]], q[[0, 2]], validate=True) == clean[[0, 2]]).all()


def test_negative_zero_is_zero(isa, dtype, divergence, array):
    for p, q in ([-0.0, 1], [0.5, 0.5]), ([-0.0, 1, 1], [-0.0, 1, 3]), ([0.5, 0.5], [-0.0, 1]):
        assert divergence(array(p), array(q)) == divergence(abs(array(p)), abs(array(q)))


@pytest.mark.promise("P4")
def test_masked_logits(isa, dtype, divergence, array, close):
    """−inf in both is nothing; in one it is a probability of 0, with that zero's limit."""
    a, b = array([0.5, -INF, 1.5, 2]), array([1, -INF, 0.25, -1])
    kept = [0, 2, 3]
    both = divergence(a, b, from_logits=True)
    assert both == pytest.approx(divergence(a[kept], b[kept], from_logits=True), rel=close)
    masked = array([1, -INF, -INF, -1])
    missing_q = np.isinf(LIMITS[divergence.name][1])
    missing_p = np.isinf(LIMITS[divergence.name][0])
    assert np.isinf(divergence(a, masked, from_logits=True)) == missing_q
    assert np.isinf(divergence(masked, a, from_logits=True)) == missing_p


def test_rows_of_logits_that_are_no_distribution(isa, dtype, divergence, array):
    wrong = np.array([False, True, False, True])
    for n in (1, 2, 17, 300):
        a, b = array(np.zeros((4, n))), array(np.ones((4, n)))
        a[1] = -INF
        a[3, n // 2] = INF
        with np.errstate(invalid="ignore"):
            found = np.isnan(divergence(a, b, from_logits=True))
            assert (found == wrong).all(), n
            found = np.isnan(divergence(b, a, from_logits=True))
            assert (found == (wrong & (not divergence.unary))).all(), n


def test_legitimate_infinities_do_not_warn(isa, divergence):
    """`filterwarnings = error` would turn a warning into a failure; so would these."""
    with np.errstate(all="raise"):
        divergence([0.5, 0.5, 0.0], [1.0, 0.0, 0.0])
        divergence([1e-300, 1.0], [1.0, 1e-300])
        divergence([0.0, -800.0], [-800.0, 0.0], from_logits=True)
