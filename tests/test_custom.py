"""f-divergences of any generator: by kernels, by C functions and by Python functions."""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import warnings

import numpy as np
import pytest
import scipy
from layouts import DTYPES
from reference import ORACLES, exact, mp, normalised, softmax

import fastdiv as fd
from fastdiv import _core, custom, generators
from fastdiv.custom import BLOCK, PLAIN
from fastdiv.generators import GENERATORS, Generator

INF = math.inf
RNG = np.random.default_rng(40)
ROWS = RNG.gamma(0.5, size=(2, 6, 37)) + 1e-3
ROWS[0, 1, ::3] = ROWS[1, 2, 1::4] = 0  # zeros of P, of Q and of both
ROWS[:, 3, ::2] = 0
P, Q = ROWS

log, sqrt, mpf = mp.log, mp.sqrt, mp.mpf


def gan(u):
    return (u * log(u) if u else 0) - (u + 1) * log(u + 1)


# f(u) of textbooks, f(0) and f'(inf).
TEXTBOOK = {
    "kl": (lambda u: u * log(u) - u + 1, 1, INF),
    "reverse_kl": (lambda u: u - 1 - log(u), INF, 1),
    "pearson_chi2": (lambda u: (u - 1) ** 2, 1, INF),
    "neyman_chi2": (lambda u: (u - 1) ** 2 / u, INF, 1),
    "squared_hellinger": (lambda u: (sqrt(u) - 1) ** 2 / 2, 0.5, 0.5),
    "total_variation": (lambda u: abs(u - 1) / 2, 0.5, 0.5),
    "jeffreys": (lambda u: (u - 1) * log(u), INF, INF),
    "js": (lambda u: (u * log(u) - (1 + u) * log((1 + u) / 2)) / 2, log(2) / 2, log(2) / 2),
    "triangular": (lambda u: (u - 1) ** 2 / (u + 1), 1, 1),
    "arithmetic_geometric": (lambda u: (1 + u) / 2 * log((1 + u) / (2 * sqrt(u))), INF, INF),
    "gan": (gan, 0, 0),
}


def summed(f, at_zero, at_infinity, p, q):
    """The definition, in 50 digits."""
    total = mpf(0)
    for x, y in zip(p, q, strict=True):
        if x and y:
            total += y * f(x / y)
        elif y:
            total += y * mpf(at_zero)
        elif x:
            total += x * mpf(at_infinity)
    return total


def expected(f, at_zero, at_infinity, p=P, q=Q, form=normalised):
    pairs = zip(p, q, strict=True)
    return [
        float(summed(f, at_zero, at_infinity, form(exact(x)), form(exact(y)))) for x, y in pairs
    ]


def close(got, want, rtol=1e-13):
    np.testing.assert_allclose(got, want, rtol=rtol, atol=0)


# --- generators that kernels know -----------------------------------------------------------------


def test_every_generator_has_its_textbook():
    assert set(TEXTBOOK) == set(GENERATORS)


@pytest.mark.parametrize("name", GENERATORS)
def test_named_generators(each_isa, name):
    sums = expected(*TEXTBOOK[name]), expected(*TEXTBOOK[name], form=list)
    for _ in each_isa():
        for generator in (name, GENERATORS[name]):
            close(fd.f_divergence(P, Q, generator), sums[0])
            close(fd.f_divergence(P, Q, generator, normalize=False), sums[1])
            close(fd.f_divergence(P[0], Q[0], generator), sums[0][0])


@pytest.mark.parametrize("name", GENERATORS)
def test_named_generators_of_logits(name):
    a, b = RNG.normal(0, 3, (2, 4, 50))
    close(fd.f_divergence(a, b, name, from_logits=True), expected(*TEXTBOOK[name], a, b, softmax))


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_divergences_by_name(name):
    got = fd.f_divergence(P, Q, name)
    np.testing.assert_array_equal(got, getattr(fd, name)(P, Q))
    want = [
        float(ORACLES[name](normalised(exact(x)), normalised(exact(y))))
        for x, y in zip(P, Q, strict=True)
    ]
    close(got, want)


def test_which_divergences_have_a_name():
    assert {*_core.UNARY, *_core.PARAMETERS}.isdisjoint(PLAIN)
    assert {"kl_divergence", "triangular_discrimination"} <= PLAIN
    # Not f-divergences.
    assert {"cross_entropy", "js_distance", "bhattacharyya_distance"}.isdisjoint(PLAIN)


def test_composed_generators():
    g = generators
    f = {name: TEXTBOOK[name] for name in TEXTBOOK}

    def want(*parts):
        with np.errstate(invalid="ignore"):
            return sum(weight * np.array(expected(*f[name])) for weight, name in parts)

    for generator, parts in [
        (g.kl + g.js, [(1, "kl"), (1, "js")]),
        (2.5 * g.pearson_chi2, [(2.5, "pearson_chi2")]),
        (g.kl.dual(), [(1, "reverse_kl")]),
        ((g.kl + 2 * g.triangular).dual(), [(1, "reverse_kl"), (2, "triangular")]),
        (g.pearson_chi2.symmetrised(), [(1, "pearson_chi2"), (1, "neyman_chi2")]),
        (g.mixture([(0.25, g.kl), (0.75, g.js), (0, g.jeffreys)]), [(0.25, "kl"), (0.75, "js")]),
        (3 * g.gan + g.total_variation, [(3, "gan"), (1, "total_variation")]),
    ]:
        assert generator.terms is not None
        close(fd.f_divergence(P, Q, generator), want(*parts))


@pytest.mark.parametrize("alpha", [-1.5, 0.0, 0.3, 1.0, 2.5])
def test_generators_with_a_parameter(alpha):
    got = fd.f_divergence(P, Q, generators.alpha(alpha))
    np.testing.assert_array_equal(got, fd.alpha_divergence(P, Q, alpha))
    weight = 0.25
    got = fd.f_divergence(P, Q, generators.js_weighted(weight))
    np.testing.assert_array_equal(got, fd.js_divergence(P, Q, weight=weight))


def test_kernels_keep_the_digits_of_near_rows():
    p = RNG.random(100) + 0.1
    q = p * (1 + 1e-13 * RNG.standard_normal(100))
    want = float(summed(*TEXTBOOK["kl"], normalised(exact(p)), normalised(exact(q))))
    kl = fd.kl_divergence(p, q)
    assert abs(kl / want - 1) < 0.1  # P3 at a divergence of 1e-26
    assert fd.f_divergence(p, q, "kl") == kl
    assert fd.f_divergence(p, q, 2 * generators.kl) == 2 * kl


# --- Python functions -----------------------------------------------------------------------------


def quartic(u):
    return (u - 1) ** 4


def bounded(u):
    """That of the triangular discrimination, for any u."""
    return (u - 1) / (u + 1) * (u - 1)


def kl_of(u):
    return u * np.log(u) - u + 1


QUARTIC = (quartic, 1, INF)
BOUNDED = (bounded, 1, 1)


@pytest.mark.parametrize(("f", "known"), [(quartic, QUARTIC), (bounded, BOUNDED)])
@pytest.mark.parametrize("form", [normalised, list])
def test_python_functions(f, known, form):
    options = {"normalize": form is normalised}
    want = expected(*known, form=form)
    close(fd.f_divergence(P, Q, f, **options), want)
    close(fd.f_divergence(P, Q, f, at_zero=1, at_infinity=known[2], **options), want)
    close(fd.f_divergence(P[2], Q[2], f, **options), want[2])


def test_limits_given_and_found():
    """Zeros on either side, with finite and infinite limits."""
    p, q = np.array([[1.0, 0, 2, 0], [1, 1, 2, 0]]), np.array([[1.0, 1, 2, 0], [0, 2, 2, 0]])
    for f, at_zero, at_infinity in [
        (bounded, 1, 1),
        (kl_of, 1, INF),
        (lambda u: u - 1 - np.log(u), INF, 1),
        (lambda u: (u - 1) * np.log(u), INF, INF),
    ]:
        g = {"kl_of": "kl", "bounded": "triangular"}.get(f.__name__)
        g = g or ("reverse_kl" if at_infinity == 1 else "jeffreys")
        want = expected(*TEXTBOOK[g], p, q)
        close(fd.f_divergence(p, q, f), want)
        close(fd.f_divergence(p, q, f, at_zero=at_zero, at_infinity=at_infinity), want)
    # What is given is believed.
    assert fd.f_divergence([0, 1], [1, 1], bounded, at_zero=8) == pytest.approx(4 + 1 / 6)
    assert fd.f_divergence([1, 1], [0, 1], bounded, at_infinity=8) == pytest.approx(4 + 1 / 6)


@pytest.mark.parametrize(
    "shape", [(3, BLOCK), (2, BLOCK + 1), (1, 2 * BLOCK + 5), (BLOCK + 3, 2), (4, 1), (0, 3)]
)
def test_blocks(shape):
    """Rows longer than a block, last blocks of any size: nothing is lost or counted twice."""
    p, q = np.random.default_rng(shape).random((2, *shape)) + 0.01
    sizes = []

    def counted(u):
        sizes.append(u.size)
        return bounded(u)

    g = Generator.from_function(counted, at_zero=1, at_infinity=1)
    sizes.clear()
    want = fd.triangular_discrimination(p, q)
    allowed = (
        1e-13 * want + 1e-14 * np.sqrt(want) + 1e-30
    )  # 1 - u has lost digits where u is near 1
    assert (np.abs(fd.f_divergence(p, q, g) - want) <= allowed).all()
    assert sum(sizes) == p.size
    assert max(sizes, default=0) <= BLOCK
    assert len(sizes) <= 2 + 1.1 * p.size / BLOCK + p.shape[0] * (p.shape[1] > BLOCK)


def test_broadcasting_axis_keepdims_out():
    p, q = RNG.random((4, 1, 5)), RNG.random((3, 5))
    want = fd.triangular_discrimination(p, q)
    assert want.shape == (4, 3)
    close(fd.f_divergence(p, q, bounded), want)
    kept = fd.f_divergence(p, q, bounded, keepdims=True)
    assert kept.shape == (4, 3, 1)
    turned = fd.f_divergence(np.moveaxis(p, -1, 0), q.T, bounded, axis=0)
    close(turned, want)
    turned = fd.f_divergence(np.moveaxis(p, -1, 0), q.T, bounded, axis=0, keepdims=True)
    assert turned.shape == (1, 4, 3)
    out = np.empty((4, 3))
    assert fd.f_divergence(p, q, bounded, out=out) is out
    close(out, want)
    for generator in ("kl", 2 * generators.kl):
        assert fd.f_divergence(p, q, generator, out=out) is out
        np.testing.assert_array_equal(out, fd.f_divergence(p, q, generator))
    with pytest.raises(ValueError, match=r"out has shape \(4, 3\)"):
        fd.f_divergence(p[0], q, bounded, out=out)
    with pytest.raises(TypeError, match="float64"):
        fd.f_divergence(p, q, bounded, out=out.astype(np.float32))
    assert type(fd.f_divergence(p[0, 0], q[0], bounded)) is np.float64
    for wrong in (3, -4):
        with pytest.raises(np.exceptions.AxisError):
            fd.f_divergence(p, q, bounded, axis=wrong)


@pytest.mark.parametrize("name", [*DTYPES, "int32", "uint8", "bool"])
def test_dtypes(name):
    kind = DTYPES.get(name) or np.dtype(name)
    p, q = ((x * 20).astype(kind) for x in ROWS)
    p[:, 0] = q[:, 0] = 1
    want = expected(*BOUNDED, p, q)
    close(fd.f_divergence(p, q, bounded), want)
    close(fd.f_divergence(p, q.astype(np.float64), bounded), want)
    if name == "bfloat16":
        raw = [x.view(np.uint16) for x in (p, q)]
        close(fd.f_divergence(*raw, bounded, dtype="bfloat16"), want)
        assert abs(fd.f_divergence(*raw, bounded) / want - 1).max() > 0.01


def test_logits():
    """Masks on either side and on both; a shift changes nothing."""
    a, b = RNG.normal(0, 3, (2, 5, 40))
    a[1, ::3] = b[2, 1::3] = -INF
    a[3, 5:9] = b[3, 5:9] = -INF
    for known in (BOUNDED, QUARTIC):
        want = expected(*known, a, b, softmax)
        close(fd.f_divergence(a, b, known[0], from_logits=True), want, 1e-12)
        shifted = fd.f_divergence(a + 1e3, b - 1e3, known[0], from_logits=True)
        close(shifted, want, 1e-10)


def test_logits_far_apart():
    """Probabilities that underflow, with ratios that are known all the same."""
    a, b = (
        np.array([[0.0, -800], [0, -100], [0, -750]]),
        np.array([[0.0, -790], [0, -780], [0, -60]]),
    )
    want = expected(*BOUNDED, a, b, softmax)
    np.testing.assert_allclose(
        fd.f_divergence(a, b, bounded, from_logits=True), want, rtol=1e-12, atol=1e-300
    )
    # p = e^-100 and q = e^-780, which is 0; its f(u) is p f(u)/u.
    kl = fd.f_divergence(a[1], b[1], kl_of, from_logits=True)
    assert kl == pytest.approx(679 * math.exp(-100), rel=1e-10, abs=0)
    power = fd.f_divergence(a[1], b[1], lambda u: u**1.02 - 1 - 1.02 * (u - 1), from_logits=True)
    assert power == pytest.approx(
        math.exp(-100 + 0.02 * 680) - 1.02 * math.exp(-100), rel=1e-10, abs=0
    )
    # p = e^-750 is 0 beside q = e^-60, and log(q/p) is 690.
    reverse = fd.f_divergence(a[2], b[2], lambda u: u - 1 - np.log(u), from_logits=True)
    assert reverse == pytest.approx(689 * math.exp(-60), rel=1e-10, abs=0)


@pytest.mark.parametrize("sizes", [(1e300, 1e-300), (1e-310, 1e308), (1e308, 1.0)])
def test_rows_of_any_size(sizes):
    p, q = ([x * size for x in row] for row, size in zip(([1, 1], [1, 1.5]), sizes, strict=True))
    close(fd.f_divergence(p, q, bounded), expected(*BOUNDED, [np.array(p)], [np.array(q)])[0])
    close(fd.f_divergence(q, p, quartic), expected(*QUARTIC, [np.array(q)], [np.array(p)])[0])


def test_a_ratio_that_no_double_holds():
    p, q = [1.0, 1e-10], [1e-320, 1.0]
    got = fd.f_divergence(p, q, bounded)
    assert got == pytest.approx(2.0, rel=1e-9)
    assert fd.f_divergence(p, q, kl_of) == INF  # f was asked for its limit


# --- functions that are wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda u: u[:-1], r"returned shape \(\d+,\) for an array of shape \(\d+,\)"),
        (lambda u: u[None], "returned shape"),
        (lambda u: 1.0, r"returned shape \(\)"),
        (lambda u: (u - 1) ** 2 * (1 + 0j), "complex128"),
        (lambda u: u.astype(str), "dtype"),
        (lambda u: math.log(u), "does not take an array"),
    ],
)
def test_what_a_function_may_return(f, message):
    with pytest.raises(TypeError, match=message):
        fd.f_divergence(P, Q, f)


def test_a_shape_that_is_wrong_only_in_a_block():
    n = P.size - np.count_nonzero((P == 0) | (Q == 0))
    with pytest.raises(TypeError, match=rf"returned shape \(1,\) for an array of shape \({n},\)"):
        fd.f_divergence(P, Q, lambda u: u[:1] if u.size == n else bounded(u))


def test_exceptions_of_a_function_are_passed_on():
    class Stopped(Exception):
        pass

    def stops(u):
        if u.size == 7:
            raise Stopped
        return bounded(u)

    with pytest.raises(Stopped):
        fd.f_divergence(np.ones(7), np.arange(1, 8), stops)


def test_check():
    assert fd.f_divergence(P[0], Q[0], bounded, check=True) > 0
    with pytest.raises(ValueError, match="not convex"):
        fd.f_divergence(P, Q, lambda u: np.sqrt(u) - 1, check=True)
    with pytest.raises(ValueError, match=r"f\(1\) is 1\.0"):
        fd.f_divergence(P, Q, lambda u: u**2, at_infinity=INF, check=True)
    assert np.isfinite(fd.f_divergence(P[0], Q[0], lambda u: np.sqrt(u) - 1))  # not asked


def test_limits_that_cannot_be_found():
    with pytest.raises(ValueError, match="give at_zero"):
        fd.f_divergence(P, Q, lambda u: np.sin(np.log(u)), at_infinity=0)
    with pytest.raises(TypeError, match="at_infinity of bounded is 'x'"):
        fd.f_divergence(P, Q, bounded, at_infinity="x")
    with pytest.raises(ValueError, match="at_zero of bounded is nan"):
        fd.f_divergence(P, Q, bounded, at_zero=math.nan)


def test_unknown_names():
    with pytest.raises(ValueError, match="pearson_chi2") as caught:
        fd.f_divergence(P, Q, "pearson_chi")
    assert "did you mean 'pearson_chi2'" in str(caught.value)
    assert all(name in str(caught.value) for name in GENERATORS)
    with pytest.raises(ValueError, match="did you mean 'jeffreys_divergence'"):
        fd.f_divergence(P, Q, "jeffrey_divergence")
    assert all(name in str(caught.value) for name in PLAIN)
    for name in ("entropy", "alpha_divergence", "alpha", ""):
        with pytest.raises(ValueError, match=rf"f_divergence: there is no generator '{name}'"):
            fd.f_divergence(P, Q, name)
    with pytest.raises(TypeError, match="type int"):
        fd.f_divergence(P, Q, 3)


# --- C functions ----------------------------------------------------------------------------------

PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)


@PROTOTYPE
def bounded_in_c(u):
    return (u - 1) / (u + 1) * (u - 1)


@PROTOTYPE
def quartic_in_c(u):
    d = u - 1  # ** raises where a product is infinite, and C knows no exceptions
    return d * d * d * d


def log1p_of_c():
    """A function of the C library, called without the lock; concave, which is not asked."""
    libm = ctypes.CDLL(ctypes.util.find_library("m") or None)
    libm.log1p.restype, libm.log1p.argtypes = ctypes.c_double, [ctypes.c_double]
    return libm.log1p


LIMITS = {"at_zero": 0, "at_infinity": 0}


@pytest.mark.parametrize(
    ("in_c", "in_python", "limits"),
    [
        (bounded_in_c, bounded, {}),
        (quartic_in_c, quartic, {}),
        (log1p_of_c(), np.log1p, LIMITS),
        (scipy.LowLevelCallable(log1p_of_c(), signature="double (double)"), np.log1p, LIMITS),
    ],
    ids=["bounded", "quartic", "libm", "LowLevelCallable"],
)
def test_c_functions(each_isa, in_c, in_python, limits):
    masked = np.log(ROWS, out=np.full_like(ROWS, -INF), where=ROWS > 0)
    for options in ({}, {"normalize": False}, {"from_logits": True}):
        rows = masked if "from_logits" in options else ROWS
        want = fd.f_divergence(*rows, in_python, **limits, **options)
        bits = set()
        for _ in each_isa():
            got = fd.f_divergence(*rows, in_c, **limits, **options)
            close(got, want)
            bits.add(got.tobytes())
            single = fd.f_divergence(*rows.astype(np.float32), in_c, **limits, **options)
            np.testing.assert_allclose(single, want, rtol=2e-5)
        assert len(bits) == 1


def test_c_functions_and_the_shape_of_the_call():
    p, q = RNG.random((4, 1, 5)), RNG.random((3, 5))
    want = fd.triangular_discrimination(p, q)
    close(fd.f_divergence(p, q, bounded_in_c), want)
    close(fd.f_divergence(np.moveaxis(p, -1, 0), q.T, bounded_in_c, axis=0), want)
    assert fd.f_divergence(p, q, bounded_in_c, keepdims=True).shape == (4, 3, 1)
    out = np.empty((4, 3))
    assert fd.f_divergence(p, q, bounded_in_c, out=out) is out
    close(out, want)
    assert type(fd.f_divergence(p[0, 0], q[0], bounded_in_c)) is np.float64
    # What is given is believed.
    assert fd.f_divergence([0, 1], [1, 1], bounded_in_c, at_zero=8) == pytest.approx(4 + 1 / 6)
    assert fd.f_divergence([1, 1], [0, 1], bounded_in_c, at_infinity=8) == pytest.approx(4 + 1 / 6)


def test_c_functions_with_threads(isa):
    """Enough for two threads; the bits are those of one."""
    p, q = RNG.random((2, 700, 500))
    f = log1p_of_c()
    results = []
    for threads in (1, 2):
        with fd.num_threads(threads):
            results.append(fd.f_divergence(p, q, f, **LIMITS))
    np.testing.assert_array_equal(*results)
    close(results[0][:20], fd.f_divergence(p[:20], q[:20], np.log1p, **LIMITS))


# --- rows that are no distributions ---------------------------------------------------------------

WAYS = {
    "name": "triangular",
    "sum": generators.triangular + generators.js,
    "C": bounded_in_c,
    "Python": bounded,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("argument", [0, 1])
@pytest.mark.parametrize(
    ("bad", "options"),
    [
        ([1, -1, 2], {}),
        ([1, INF, 2], {}),
        ([0, 0, 0], {}),
        ([1, -1, 2], {"normalize": False}),
        ([1, INF, 2], {"normalize": False}),
        ([1, INF, 2], {"from_logits": True}),
        ([-INF, -INF, -INF], {"from_logits": True}),
    ],
)
def test_invalid_rows(way, argument, bad, options):
    rows = np.ones((2, 3, 3)) * [1, 2, 3]
    good = fd.f_divergence(*rows, WAYS[way], **options)
    rows[argument, 1] = bad
    with pytest.warns(RuntimeWarning, match="invalid value"):
        got = fd.f_divergence(*rows, WAYS[way], **options)
    assert np.isnan(got).tolist() == [False, True, False]
    np.testing.assert_array_equal(got[::2], good[::2])
    with np.errstate(invalid="ignore"):
        assert np.isnan(fd.f_divergence(*rows[:, 1], WAYS[way], **options))
    with np.errstate(invalid="raise"), pytest.raises(FloatingPointError):
        fd.f_divergence(*rows, WAYS[way], **options)
    with pytest.raises(ValueError, match=rf": {'pq'[argument]}, row 1, (has|is)"):
        fd.f_divergence(*rows, WAYS[way], validate=True, **options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"normalize": False}, {"from_logits": True}])
def test_nan_stays_in_its_row_silently(way, options):
    rows = np.ones((2, 3, 3)) * [1, 2, 4]
    rows[1, 0] = [3, 1, 2]
    rows[0, 1, 2] = rows[1, 2, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = fd.f_divergence(*rows, WAYS[way], **options)
    assert np.isnan(got).tolist() == [False, True, True]


@pytest.mark.parametrize("f", [bounded, bounded_in_c], ids=["Python", "C"])
def test_shapes_that_do_not_fit(f):
    with pytest.raises(ValueError, match="3"):
        fd.f_divergence([1, 2, 3], [1, 2], f)
    with pytest.raises(ValueError, match="single number"):
        fd.f_divergence(1.0, [1, 2], f)
    with pytest.raises(ValueError, match="empty"):
        fd.f_divergence(np.ones((2, 0)), np.ones((2, 0)), f)
    with pytest.raises(ValueError, match=r"broadcast|shape"):
        fd.f_divergence(np.ones((2, 3)), np.ones((4, 3)), f)
    with pytest.raises(TypeError, match="complex128"):
        fd.f_divergence([1j, 2], [1, 2], f)
    with pytest.raises(TypeError, match="dtype"):
        fd.f_divergence([1, 2], [1, 2], f, dtype="float8")


@pytest.mark.parametrize("f", [bounded, kl_of])
def test_a_row_is_a_row_wherever_its_block_is(monkeypatch, f):
    rows = P[:, None], Q  # all pairs
    want = fd.f_divergence(*rows, f)
    for block in (1, 5, 37, 80, 200):
        monkeypatch.setattr(custom, "BLOCK", block)
        got = fd.f_divergence(*rows, f)
        alone = np.array([[fd.f_divergence(p, q, f) for q in Q] for p in P])
        assert got.tobytes() == alone.tobytes()
        if block >= P.shape[-1]:
            assert got.tobytes() == want.tobytes()
        else:  # the sum of a row is that of its parts, and rounded as these are
            close(got, want)


def test_a_row_of_several_blocks_is_a_row():
    p, q = np.random.default_rng(8).gamma(0.5, size=(2, 3, 2 * BLOCK + 5))
    together = fd.f_divergence(p, q, kl_of)
    assert together.tobytes() == fd.f_divergence(p[::-1], q[::-1], kl_of)[::-1].tobytes()
    for i in range(len(p)):
        assert fd.f_divergence(p[i], q[i], kl_of).tobytes() == together[i].tobytes()
