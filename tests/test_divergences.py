"""Every divergence is as accurate as the contract says (P2 to P5), on every instruction set."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from itertools import product

import layouts
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from layouts import DTYPES, Case, logit_cases, probability_cases, rows
from reference import (
    FAMILIES,
    LINEAR,
    ORACLES,
    UNIT,
    Bound,
    amplification,
    bound,
    exact,
    excess,
    generalised_bound,
    mp,
    normalised,
    reference,
    share,
    tiled,
)

import fastdiv as fd
from fastdiv import _core

LN2 = math.log(2)
UPPER = {
    "js_divergence": LN2,
    "js_distance": math.sqrt(LN2),
    "total_variation": 1.0,
    "squared_hellinger": 1.0,
    "hellinger_distance": 1.0,
    "triangular_discrimination": 2.0,
    "weighted_js_divergence(0.2)": -0.2 * math.log(0.2) - 0.8 * math.log(0.8),
}
OPTIONS = {
    "generalised": {"normalize": False},
    "normalised": {},
    "logits": {"from_logits": True},
}
# In what the bounds of P2 to P4 are told, and how many of it are allowed.
UNITS = {
    "generalised": ("u", 16),
    "normalised": ("u(1+√(2/KL))", 16),
    "logits": ("of what is allowed", 1),
}


def test_registry_is_covered():
    plain = set(_core.DIVERGENCES) - set(_core.PARAMETERS)
    assert plain | set(FAMILIES) == set(_core.DIVERGENCES)
    assert plain <= set(ORACLES), "each name needs its own mpmath line in reference.py"
    assert set(FAMILIES) == set(_core.PARAMETERS)
    for name in plain | set(FAMILIES) - {"weighted_js_divergence"}:
        assert name in fd.__all__
        assert callable(getattr(fd, name))
    assert set(_core.SYMMETRIC) <= set(_core.DIVERGENCES)
    assert set(_core.UNARY) <= set(_core.DIVERGENCES)
    assert tuple(DTYPES) == tuple(_core.DTYPES)


def failures(function, name, form, cases, worst):
    nearest = 0.0
    for case in cases:
        got = function(*rows(case), **OPTIONS[form])
        want, allowed = reference(name, case, form), bound(name, case, form)
        nearest = max(nearest, share(got, want, allowed))
        problem = excess(got, want, allowed)
        if problem:
            yield f"{case}: {problem}"
    unit, scale = UNITS[form]
    worst(scale * nearest, f"{unit}: every divergence against 50 digits, {case.dtype}", scale)


@pytest.mark.promise("P2")
def test_generalised(isa, dtype, divergence, worst):
    """P2: 16u at any closeness."""
    cases = probability_cases(dtype)
    assert list(failures(divergence, divergence.name, "generalised", cases, worst)) == []


@pytest.mark.promise("P2")
def test_generalised_subnormal(isa, dtype, divergence, worst):
    """P2 where every number of both rows is subnormal."""
    cases = [Case(dtype, "subnormal", n) for n in (2, 17, 300)]
    assert list(failures(divergence, divergence.name, "generalised", cases, worst)) == []


@pytest.mark.promise("P3")
def test_normalised(isa, dtype, divergence, worst):
    """P3: 16u(1 + √(2/KL)), for row sums from 0.1 to 1e6."""
    cases = probability_cases(dtype)
    assert list(failures(divergence, divergence.name, "normalised", cases, worst)) == []


@pytest.mark.promise("P4")
def test_from_logits(isa, dtype, divergence, worst):
    """P4: masks, shifts to 1e4, and rows so peaked that their entropy is 1e-20."""
    cases = logit_cases(dtype)
    assert list(failures(divergence, divergence.name, "logits", cases, worst)) == []


@lru_cache(maxsize=8)
def single_terms(dtype, name):
    """Pairs at every distance that float32's fast loop takes, each with what is allowed.

    A pair (1, 1) beside each keeps the sums where float32 rows stay float32.
    """
    rng = np.random.default_rng(1)
    distance = np.concatenate(
        [rng.random(400) * 18, rng.random(100) * 90, np.exp2(-rng.random(200) * 24)]
    )
    more = np.ldexp(1 + rng.random(700), rng.integers(-3, 4, 700))
    p, q = np.where(
        rng.random(700) < 0.5, (more, more * np.exp2(-distance)), (more * np.exp2(-distance), more)
    )
    p, q = (np.stack([x, np.ones(700)], 1).astype(DTYPES[dtype]) for x in (p, q))
    wanted = []
    for x, y in zip(p, q, strict=True):
        x, y = exact(x), exact(y)
        wanted.append((ORACLES[name](x, y), generalised_bound(name, x, y, UNIT[dtype])))
    return p, q, wanted


@pytest.mark.promise("P2")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_single_terms(isa, dtype, divergence):
    """P2 for one term at a time, none of which can hide behind a greater one."""
    p, q, wanted = single_terms(dtype, divergence.name)
    result = divergence(p, q, normalize=False)
    for x, y, got, (want, allowed) in zip(p[:, 0], q[:, 0], result, wanted, strict=True):
        assert excess(got, want, allowed) is None, (x, y)


@cache
def rounded_rows(name, n, size, one_sided):
    """Rows normalised in float32, whose sums are some last places apart, and their divergence.

    One-sided, a tenth of q is more than p and the rest less: the total variation then feels the
    difference of the sums.
    """
    rng = np.random.default_rng(n)
    p = rng.random(n) + 0.01
    steps = (rng.random(n) < 0.1) if one_sided else rng.standard_normal(n)
    q = p * np.abs(1 + size * steps)
    p, q = (x.astype(np.float32) for x in (p, q))
    p, q = p / p.sum(), q / q.sum()
    return p, q, ORACLES[name](normalised(exact(p)), normalised(exact(q)))


@pytest.mark.promise("P3")
def test_rows_normalised_in_float32(isa, proper):
    """Here the sums' difference may stay in the result; without P3's allowance for closeness."""
    for case in product((17, 257, 700), layouts.perturbations("float32"), (False, True)):
        p, q, want = rounded_rows(proper.name, *case)
        assert excess(proper(p, q), want, Bound(16 * UNIT["float32"])) is None, case


LONG_CASES = [("near", "generalised"), ("near", "normalised"), ("logits_near", "logits")]
BY_FORM = [
    pytest.param(*case, id=case[1], marks=pytest.mark.promise(promise))
    for case, promise in zip(LONG_CASES, ("P2", "P3", "P4"), strict=True)
]


@pytest.mark.parametrize(("kind", "form"), BY_FORM)
def test_long_rows(isa, dtype, divergence, kind, form, worst):
    """A row of 64 copies of a block of 4096 has the block's value, up to what the formula says."""
    copies = 64
    case = Case(dtype, kind, 4096, layouts.perturbations(dtype)[-1])
    got = divergence(*(np.tile(x, copies) for x in rows(case)), **OPTIONS[form])
    want, allowed = reference(divergence.name, case, form), bound(divergence.name, case, form)
    want = tiled(divergence.name, form, copies, want)
    if form == "generalised":
        relative = allowed.relative * amplification(divergence.name, want)
        allowed = Bound(relative, allowed.absolute * copies)
    unit, scale = UNITS[form]
    worst(scale * share(got, want, allowed), f"{unit}: rows of 262,144, {dtype}", scale)
    assert excess(got, want, allowed) is None


@pytest.mark.promise("P7")
@pytest.mark.parametrize(("kind", "form"), BY_FORM)
def test_shared_rows(threads, divergence, kind, form, worst):
    """Rows of more than four million elements are added up by all threads together: the same bits.

    The 1100 copies of a block are more than four segments and no whole number of them.
    """
    copies = 1100
    case = Case("float32", kind, 4096, layouts.perturbations("float32")[-1])
    pair = [np.tile(x, copies) for x in rows(case)]
    fd.set_num_threads(1)
    got = divergence(*pair, **OPTIONS[form])
    want, allowed = reference(divergence.name, case, form), bound(divergence.name, case, form)
    want = tiled(divergence.name, form, copies, want)
    if form == "generalised":
        relative = allowed.relative * amplification(divergence.name, want)
        allowed = Bound(relative, allowed.absolute * copies)
    assert excess(got, want, allowed) is None
    differing = 0
    for count in threads:
        fd.set_num_threads(count)
        differing += divergence(*pair, **OPTIONS[form]).tobytes() != got.tobytes()
    worst(float(differing), "results that depend on the threads that share a row", 0)
    assert differing == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "form"),
    [
        pytest.param("float64", "generalised", marks=pytest.mark.promise("P2")),
        pytest.param("float32", "logits", marks=pytest.mark.promise("P4")),
    ],
)
def test_quarter_million(isa, dtype, form, worst):
    """Every element of a row of 262,144 is another one."""
    kind = dict(map(reversed, LONG_CASES))[form]
    case = Case(dtype, kind, 262_144, layouts.perturbations(dtype)[-1])
    assert list(failures(fd.kl_divergence, "kl_divergence", form, [case], worst)) == []


# --- any numbers at all ---------------------------------------------------------------------------

BITS = {"float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32, "float64": np.uint64}


@st.composite
def weight_rows(draw, dtype):
    """Two rows of arbitrary bit patterns of [0, 2), and of near-equal or zero pairs."""
    word = BITS[dtype]
    two = int(np.array(2, DTYPES[dtype]).view(word))
    bits = st.integers(0, two - 1)
    pair = st.one_of(
        st.tuples(bits, bits),
        st.tuples(bits, st.integers(-4, 4)).map(
            lambda t: (t[0], min(max(t[0] + t[1], 0), two - 1))
        ),
        st.tuples(bits, st.just(0)),
        st.tuples(st.just(0), bits),
    )
    pairs = draw(st.lists(pair, min_size=1, max_size=20))
    p, q = np.array(pairs, word).T
    return np.ascontiguousarray(p).view(DTYPES[dtype]), np.ascontiguousarray(q).view(DTYPES[dtype])


@pytest.mark.promise("P2")
def test_arbitrary_rows(each_isa, divergences, dtype):
    """P2 for what hypothesis can think of: subnormals, zeros and last bits mixed in one row."""

    @given(pair=weight_rows(dtype))
    def check(pair):
        p, q = pair
        assume(p.any() and q.any())
        p_exact, q_exact = exact(p), exact(q)
        for divergence in divergences:
            want = ORACLES[divergence.name](p_exact, q_exact)
            allowed = generalised_bound(divergence.name, p_exact, q_exact, UNIT[dtype])
            for isa in each_isa():
                problem = excess(divergence(p, q, normalize=False), want, allowed)
                assert problem is None, (divergence.name, isa, problem)

    check()


# --- sign and range -------------------------------------------------------------------------------


@lru_cache(maxsize=36)
def generated_rows(dtype, form, n):
    """Sparse rows over most of the range, a third of them with a partner a few ulps away, a sixth
    with one that has nothing in common with them."""
    count, rng = 10_000 if n <= 3 else 3_000, np.random.default_rng(n)
    lowest = layouts.ml_dtypes.finfo(DTYPES[dtype]).minexp
    p, q = np.ldexp(
        1 + rng.random((2, count, n)), rng.integers(max(lowest, -300), 0, (2, count, n))
    )
    p[rng.random(p.shape) < 0.2] = 0
    q[rng.random(q.shape) < 0.2] = 0
    near = np.arange(count) % 3 == 0
    steps = rng.integers(-2, 3, (count, n)) * layouts.machine_epsilon(dtype)
    q[near] = (p * (1 + steps))[near]
    p[:, 0] = q[:, 0] = 1
    if n > 1:
        apart = np.arange(count) % 6 == 1
        of_p = rng.random((apart.sum(), n)) < 0.5
        of_p[:, 0], of_p[:, -1] = True, False
        q[apart, -1] = 1
        p[apart] = np.where(of_p, p[apart], 0)
        q[apart] = np.where(of_p, 0, q[apart])
    if form == "logits":
        with np.errstate(divide="ignore"):
            p, q = np.log(p), np.log(q)
    if form == "normalised":
        scales = np.ldexp(1 + rng.random((2, count, 1)), rng.integers(-9, 9, (2, count, 1)))
        p, q = scales * (p, q)
    return p.astype(DTYPES[dtype]), q.astype(DTYPES[dtype])


@pytest.mark.promise("P5")
@pytest.mark.parametrize("form", OPTIONS)
def test_sign_and_range(isa, dtype, divergence, form):
    """P5 on 156,000 pairs of rows of the four dtypes for each form."""
    signed = form == "generalised" and divergence.entropy  # a literal sum
    top = UPPER.get(divergence.name, np.inf) if form != "generalised" else np.inf
    for n in (1, 2, 3, 5, 17, 40):
        p, q = generated_rows(dtype, form, n)
        result = divergence(p, q, **OPTIONS[form])
        wrong = np.flatnonzero((np.signbit(result) & (not signed)) | ~(result <= top))
        assert wrong.size == 0, (p[wrong[0]].tolist(), q[wrong[0]].tolist(), result[wrong[0]])


@pytest.mark.promise("P5")
@pytest.mark.parametrize("form", OPTIONS)
def test_same_row_twice(isa, dtype, proper, form):
    """P5: exactly +0.0, for weights also where one row is the other times a power of two."""
    cases = logit_cases(dtype) if form == "logits" else probability_cases(dtype)
    for p in (row for case in cases for row in rows(case)):
        result = proper(p, p.copy(), **OPTIONS[form])
        assert result == 0, p
        assert not np.signbit(result), p
        if form == "normalised" and p.max() < 1000:
            result = proper(p, p * DTYPES[dtype].type(8))
            assert result == 0, p
        assert not np.signbit(result), p


@pytest.mark.promise("P5")
def test_disjoint_rows_reach_the_upper_bound(isa, dtype, divergence):
    p, q = np.eye(2, dtype=DTYPES[dtype])
    # The limits of a generator with a parameter are rounded to the type of the terms.
    exactly = pytest.approx if divergence.parameters else lambda x, rel: x
    if divergence.name in UPPER:
        assert divergence(p, q) == exactly(UPPER[divergence.name], rel=UNIT[dtype])
    with np.errstate(divide="ignore"):
        logits = [np.log(x.astype(np.float64)).astype(DTYPES[dtype]) for x in (p, q)]
    if divergence.name in UPPER:
        got = divergence(*logits, from_logits=True)
        assert got == exactly(UPPER[divergence.name], rel=UNIT[dtype])


# --- weights that are not floats ------------------------------------------------------------------

INTEGERS = [np.dtype(c) for c in "bBhHiIqQ"] + [np.dtype(bool)]


@pytest.mark.parametrize("integer", INTEGERS, ids=str)
def test_integers_are_weights(isa, divergence, integer):
    """Computed in the smallest of float32 and float64 that holds the whole integer type."""
    p, q = rows(Case("float64", "counts", 257))
    if integer.itemsize < 4:
        top = 1 if integer.kind == "b" else int(np.iinfo(integer).max)
        p, q = p % (top + 1), (q % top) + 1
    counted = [x.astype(integer) for x in (p, q)]
    floats = [x.astype(np.float32 if integer.itemsize < 4 else np.float64) for x in (p, q)]
    for options in OPTIONS["normalised"], OPTIONS["generalised"]:
        assert divergence(*counted, **options) == divergence(*floats, **options)


def test_mixed_dtypes(isa, divergence):
    """A pair has the precision of its wider member."""
    p = rows(Case("float16", "random", 257))[0]
    for other in ("bfloat16", "float32", "float64"):
        q = rows(Case(other, "random", 257))[1]
        p_exact, q_exact = exact(p), exact(q)
        want = ORACLES[divergence.name](p_exact, q_exact)
        unit = UNIT["float16" if divergence.unary else other]
        allowed = generalised_bound(divergence.name, p_exact, q_exact, unit)
        assert excess(divergence(p, q, normalize=False), want, allowed) is None


def test_base(isa, divergence):
    case = Case("float64", "random", 257)
    if not divergence.based:
        with pytest.raises(TypeError, match="base"):
            divergence(*rows(case), base=2)
        return
    want = reference(divergence.name, case, "normalised")
    for base in (2, 10, 2.5):
        unit = mp.sqrt(mp.log(base)) if divergence.name in LINEAR else mp.log(base)
        got = divergence(*rows(case), base=base)
        allowed = bound(divergence.name, case, "normalised")
        assert excess(got, want / unit, allowed) is None
