"""Where powers, sums or single numbers leave the range of doubles, and the result does not."""

from __future__ import annotations

import ctypes
import math
import sys

import ml_dtypes
import numpy as np
import pytest
from reference import (
    FAMILIES,
    ORACLES,
    amplification,
    exact,
    excess,
    generalised_bound,
    mp,
    mpf,
    softmax,
)

import fastdiv as fd
from fastdiv import _core

UNIT = 2.0**-53


@pytest.mark.parametrize("order", [1.4, 2.0, 3.0])
@pytest.mark.parametrize("least", [-730.0, -800.0])
def test_powers_of_what_underflows(order, least):
    got = fd.renyi_divergence([0.0, least], [0.0, -3000], order, from_logits=True)
    want = (order * least + (order - 1) * 3000) / (order - 1)
    assert got == pytest.approx(want, rel=1e-13)


def test_entropies_of_what_underflows():
    got = fd.renyi_entropy([0.0] * 7 + [-800], -2, from_logits=True)
    assert got == pytest.approx((1600 + 2 * math.log(7)) / 3, rel=1e-13)


@pytest.mark.parametrize("others", range(1, 9))
def test_padding_is_no_zero(others):
    got = fd.tsallis_entropy([1.0] * others + [1e-280], -0.5)
    assert got == pytest.approx((others / 1e-280) ** 0.5 / 1.5, rel=1e-13)


def test_raw_weights_near_the_largest():
    x = 2.0**1000
    assert fd.kl_divergence([x, 0], [x, x], normalize=False) == x


ENDS = [5e-324, 1e-320, 2.3e-308, 1e-300, 1.4e-133, 1e-20, 1.0, 1e150, 1e300]


@pytest.mark.promise("P2")
def test_weights_of_both_ends(each_isa, proper):
    """A pair that spans the doubles can't be lifted, and some terms are immense by the lift."""
    for p, q in [(np.array([p]), np.array([q])) for p in ENDS for q in ENDS]:
        want = ORACLES[proper.name](exact(p), exact(q))
        allowed = generalised_bound(proper.name, exact(p), exact(q), 2.0**-53)
        for isa in each_isa():
            problem = excess(proper(p, q, normalize=False), want, allowed)
            assert problem is None, (p[0], q[0], isa, problem)


@pytest.mark.parametrize("name", ["kl_divergence", "js_divergence", "chi2_divergence"])
def test_sums_far_apart(name):
    function = getattr(fd, name)
    want = pytest.approx(function([1, 1], [1, 3]), rel=1e-13)
    assert function([1e308, 1e308], [1e-300, 3e-300]) == want


def test_c_functions_where_q_underflows():
    prototype = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    kl = prototype(lambda u: u * math.log(u) - u + 1 if u < 1e306 else math.inf)
    got = fd.f_divergence(
        [0.0, -100], [0.0, -780], kl, at_zero=1, at_infinity=np.inf, from_logits=True
    )
    assert got == pytest.approx(679 * math.exp(-100), rel=1e-10, abs=0)


# --- far rows, with values by hand or in many digits --------------------------------------------

FAR_LOGITS = [
    (fd.js_divergence, [0, -720], [-720, 0], math.log(2)),
    (fd.bhattacharyya_distance, [0, -750], [-750, 0], 375 - math.log(2)),
    (lambda p, q, **o: fd.renyi_divergence(p, q, 0.25, **o), [0, -3000], [-3000, 0], 1000),
    # The sum of p^-3 q^4 is 2^3 (1 + e^-6000).
    (lambda p, q, **o: fd.renyi_divergence(p, q, -3, **o), [0, 0], [0, -1500], -0.75 * math.log(2)),
    (lambda p, q, **o: fd.alpha_divergence(p, q, -3, **o), [0, -3000], [0, -1500], math.inf),
    (fd.neyman_divergence, [0, -3000], [0, -1500], 1),
    (fd.chi2_divergence, [0, -1500], [0, -3000], 1),
    (fd.chi2_divergence, [0, -1500], [0, -2999], math.exp(-1)),
]


@pytest.mark.parametrize(("function", "a", "b", "want"), FAR_LOGITS)
def test_far_logits(isa, function, a, b, want):
    assert function(np.float64(a), np.float64(b), from_logits=True) == pytest.approx(
        want, rel=1e-12
    )


def test_rows_that_span_the_doubles(isa):
    """What the scale of a sum makes subnormal, or nothing, keeps its logarithm."""
    ten = math.log(10)
    for p, q, want in [
        ([1, 1], [1e200, 1e-200], 200 * ten - math.log(2)),
        ([1, 1], [1e120, 1e-250], 185 * ten - math.log(2)),
        ([1e-200, 1e150], [1, 1], math.log(2)),
    ]:
        assert fd.kl_divergence(p, q) == pytest.approx(want, rel=1e-14)
        assert fd.reverse_kl_divergence(q, p) == pytest.approx(want, rel=1e-14)
    assert fd.renyi_divergence([1e60, 5e-324], [3e-310, 3e-310], 2) == pytest.approx(math.log(2))
    assert fd.kl_divergence([1e-290], [1.7e308], normalize=False) == 1.7e308
    assert fd.kl_divergence([1.7e308], [1.0], normalize=False) == math.inf


ORDERS_OF_SUMS = (-1.5, -0.001, 0.3, 0.5, 0.9, 0.999, 1.001, 2.0, 6.0, 30.0)


@pytest.mark.promise("P2")
@pytest.mark.parametrize("name", ["renyi_divergence", "alpha_divergence"])
@pytest.mark.parametrize("order", ORDERS_OF_SUMS)
def test_orders_of_raw_weights_near_the_largest(isa, name, order):
    """Sums and powers beyond doubles: their logarithms are numbers, but for an order between 0 and
    1, where nothing is left to take one of."""
    generator = np.random.default_rng(5)
    function, oracle = getattr(fd, name), FAMILIES[name][0](order)
    none = -math.inf if name == "renyi_divergence" and order < 0 else math.inf
    for size in (1, 3, 9, 20):
        p, q = generator.uniform(0.1e308, 1.7e308, (2, size))
        q[0] *= 1e-300
        nothing, least = p.copy(), q.copy()
        nothing[0], least[-1] = 0.0, 5e-324
        for x, y in [(p, q), (q, p), (p, p), (p, nothing), (nothing, p), (p, least), (least, p)]:
            for a, b in [(x, y), (x, y * 1e-300), (x * 1e-30, y), (x * 1e-310, y)]:
                with mp.workdps(80):
                    want = oracle(exact(a), exact(b))
                got = function(a, b, order, normalize=False)
                if want > sys.float_info.max:
                    assert got == (none if want == math.inf else math.inf), (a, b, got)
                else:
                    allowed = 16 * UNIT * amplification(f"{name}({order})", want) * abs(want)
                    assert abs(got - want) <= allowed + 4 * size * 5e-324, (a, b)


RAW_ORDERS = [  # what a power alone, a sum alone, or a row that differs in nothing may hide
    ([1e-212, 1.0], [4e-315, 1e307], 6.0),
    ([1e-212, 1e307], [4e-315, 1e307], 6.0),
    ([1e-212, *[1.7e308] * 3], [4e-315, *[1.7e308] * 3], 6.0),
    ([1e-212, *[1.0] * 3], [4e-315, *[1.7e308] * 3], 6.0),
    ([1.9 * 2.0**1002], [1.9 * 2.0**997], 31.0),  # 30 times a sum leaves the doubles, not the sum
    ([1.5e308] * 1000, [1e308] * 1000, 2.0),
    ([0.0], [1.7e308], 2.0),
    ([0.0], [1e-300], 1 + 2.0**-52),
    ([0.0], [1e-305], 1 + 1e-8),
    ([1.5e308] * 3, [1.0] * 3, 0.5),
]


@pytest.mark.promise("P2")
@pytest.mark.parametrize(("p", "q", "order"), RAW_ORDERS)
@pytest.mark.parametrize("name", ["renyi_divergence", "alpha_divergence"])
def test_orders_of_raw_weights(isa, name, p, q, order):
    with mp.workdps(80):
        want = FAMILIES[name][0](order)(exact(np.array(p)), exact(np.array(q)))
    got = getattr(fd, name)(p, q, order, normalize=False)
    if want > sys.float_info.max:
        assert got == math.inf
    else:
        assert got == pytest.approx(float(want), rel=2e-15, abs=0)


def test_orders_beside_0_of_raw_weights(isa):
    rows = [1.7e308] * 2 + [0], [1, 1, 1e-290]
    assert fd.renyi_divergence(*rows, 0, normalize=False) == pytest.approx(1e-290, rel=1e-15, abs=0)
    for name, p, q in [
        ("renyi_divergence", *rows),
        ("alpha_divergence", [1.0, 0.0], [1.0, 1e-10]),
        ("alpha_divergence", [1.0, 1e-10], [1.0, 0.0]),
    ]:
        with mp.workdps(400):
            want = FAMILIES[name][0](1e-310)(exact(np.array(p)), exact(np.array(q)))
        got = getattr(fd, name)(p, q, 1e-310, normalize=False)
        assert got == pytest.approx(float(want), rel=2e-15, abs=0)


ORDERS_OF_ENTROPIES = [-5.0, -2.05, -2.0, -1.0, -0.95, -0.5, 0.0, 0.01, 0.1, 0.3, 0.45, 0.5]
ORDERS_OF_ENTROPIES += [0.9, 1.0, 1 + 1e-9, 1.003, 1.7, 2.0, 3.0, 6.0]
WEIGHTS_OF_ANY_SIZE = [
    *([x] * 2 for x in (1e110, 1e-110, 1e160, 1e-160, 1e200, 1e-200, 2.4e305, 1.7e308, 5e-324)),
    *([x] for x in (1e-30, 1e-300, 1e-309, 1.39e308, 1.4e308)),
    [1.7e308, 1.7e308, 1.6e308],
    [1.5e308, 1e308],
    [1.4e308, 1e-150],
    [1e300, 1e-5, 1.0],
    [1e150, 1e-150],
    [1e200, 1e-130],
    [1e300, 1e-300],
    [1e300, 1e-20],
    [1e100, 1e-160],
    [0.5, 3.25e-155],
    [1e-12, 1e-172],
    [1.0, 1e-307],
    [1e200, *[3e-120] * 40],
    [2e-62, 8e-62, 3.5e-62],
    [2.85e51, 8e-179],
    [5.563e-321],
    [
        4.5e-151,
        0.29,
        0.22,
        1.3e300,
        4.9e300,
    ],  # at order -2 both sums are beyond, and their ratio near 1
]


def sum_of_powers(row, order):
    return mp.fsum(mp.exp(mpf(order) * mp.log(x)) for x in row)


@pytest.mark.promise("P2")
@pytest.mark.parametrize("order", ORDERS_OF_ENTROPIES)
def test_entropies_of_raw_weights_of_any_size(isa, order, worst):
    """As given, of a row of which the sum, its powers, or their ratio are no doubles; orders of
    which alpha - 1 is none."""
    errors = []
    for weights in WEIGHTS_OF_ANY_SIZE:
        row = exact(np.array(weights))
        with mp.workdps(700):
            total = mp.fsum(row)
            powers = sum_of_powers(row, order)
            if order == 1:
                by_order = -mp.fsum(x * mp.log(x) for x in row)
                size, apart = mp.fsum(abs(x * mp.log(x)) for x in row), None
                renyi = by_order / total
            else:
                by_order = (total - powers) / (mpf(order) - 1)
                size = mp.fsum(abs(x - x ** mpf(order)) for x in row) / abs(mpf(order) - 1)
                renyi = mp.log(powers / total) / (1 - mpf(order))
                # Two logarithms; beside order 1, where they cancel, the terms again.
                apart = (abs(mp.log(powers)) + abs(mp.log(total))) / abs(1 - mpf(order))
                apart = min(apart, size / total * max(1, total / powers))
        of_ratio = size / total if apart is None or abs(order - 1) < 1e-3 else apart
        got = fd.renyi_entropy(weights, order, normalize=False)
        errors.append(abs(got - renyi) / (16 * UNIT * of_ratio + 5e-324))
        assert errors[-1] <= 1, (weights, got)
        got = fd.tsallis_entropy(weights, order, normalize=False)
        if abs(by_order) > sys.float_info.max:
            assert got == math.copysign(math.inf, by_order), (weights, got)
        elif max(size, total) < sys.float_info.max:
            errors.append(abs(got - by_order) / (16 * UNIT * size + 4 * len(row) * 5e-324))
            assert errors[-1] <= 1, (weights, got)
    worst(max(errors), "16 u of the terms' sizes, entropies of weights of any size", 1)


@pytest.mark.parametrize("order", ORDERS_OF_ENTROPIES)
def test_entropies_of_rows_of_any_size(isa, order):
    """What the scale of a row's sum makes subnormal, or nothing, counts where its power does."""
    for weights in WEIGHTS_OF_ANY_SIZE:
        with mp.workdps(700):
            row = exact(np.array(weights))
            row = [x / mp.fsum(row) for x in row]
            powers = sum_of_powers(row, order)
            if order == 1:
                renyi = tsallis = -mp.fsum(x * mp.log(x) for x in row)
            else:
                tsallis = (powers - 1) / (1 - mpf(order))
                renyi = mp.log(powers) / (1 - mpf(order))
        for function, want in [(fd.renyi_entropy, renyi), (fd.tsallis_entropy, tsallis)]:
            got = function(weights, order)
            if want > sys.float_info.max:
                assert got == math.inf, (weights, got)
            else:
                assert abs(got - want) <= 32 * UNIT * want + 4 * len(row) * 5e-324, (
                    weights,
                    got,
                    want,
                )


def test_extremes_of_weights_near_the_largest(isa):
    got = fd.renyi_entropy([1.4e308], -math.inf, normalize=False)
    assert got == pytest.approx(-math.log(1.4e308), rel=1e-15)
    got = fd.renyi_entropy([1e300, 1e-20], -math.inf)
    assert got == pytest.approx(320 * math.log(10), rel=1e-15)


def test_subnormals_near_the_largest_result(isa):
    got = fd.tsallis_entropy([1e-309], -0.95, normalize=False)
    with mp.workdps(50):
        want = (mpf(1e-309) - mpf(1e-309) ** mpf(-0.95)) / (mpf(-0.95) - 1)
    assert abs(got - want) <= 16 * UNIT * want


def rows_from_end_to_end(count):
    generator = np.random.default_rng(count)
    marks = [-1074, -1060, -1022, -1000, -900, -800, -400, 0, 60, 200, 400, 800, 900, 1000, 1023]
    for _ in range(count):
        size = generator.choice([1, 2, 3, 5])
        exponents = generator.choice(
            [generator.uniform(-1074, 1023.9, (2, size)), generator.choice(marks, (2, size))]
        )
        pair = np.ldexp(generator.uniform(1, 1.9, (2, size)), np.floor(exponents).astype(int))
        pair[generator.random((2, size)) < 0.1] = 0
        if pair.any(-1).all():
            yield pair


def test_rows_from_end_to_end(each_isa, of_two):
    """Whatever a normalised row spans, and its sum is: only a result within 1e30 of the largest
    double may be called infinite, and what sums of a proportion of 1e-30 decide is 0."""
    for p, q in rows_from_end_to_end(40):
        with mp.workdps(720):
            exact_p, exact_q = exact(p), exact(q)
            sum_p, sum_q = mp.fsum(exact_p), mp.fsum(exact_q)
            want = ORACLES[of_two.name]([x / sum_p for x in exact_p], [x / sum_q for x in exact_q])
            for isa in each_isa():
                got = float(of_two(p, q))
                if want > 1e278:
                    assert got > 1e278, (p, q, isa)
                else:
                    allowed = mp.mpf("1e-13") * abs(want) + mp.mpf("1e-14" if want < 1e-13 else 0)
                    assert abs(mp.mpf(got) - want) <= allowed, (p, q, isa, got)


def rows_with_masks(dtype):
    """What masks a token differs between models, and may be far beyond all exponents."""
    generator = np.random.default_rng(9)
    largest = float(np.finfo(dtype).max)
    sizes = [80, 87.4, 88.5, 700, 709, 740, 1e4, 1e9, 1.7e17, 3.1e18, 1.3e19, 1e30, 3e38, 1e120]
    sizes += [2e249, 1e300, largest]
    sizes = np.array([size for size in sizes if size <= largest])
    for size in generator.choice([3, 40], 60):
        a, b = generator.normal(size=(2, size)).astype(dtype)
        a[1], b[1], *others = -generator.choice(sizes, 4)
        if generator.random() < 0.5:
            a[2], b[0] = others
        yield a, b


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_masks_of_all_sizes(each_isa, of_two, dtype):
    for a, b in rows_with_masks(dtype):
        want = ORACLES[of_two.name](softmax(exact(a)), softmax(exact(b)))
        for isa in each_isa():
            got = mp.mpf(float(of_two(a, b, from_logits=True)))
            if abs(want) > 1e300:
                assert mp.sign(want) * got > 1e300, (a, b, isa)
                assert mp.isinf(got) or abs(want) <= sys.float_info.max, (a, b, isa)
            else:
                allowed = abs(want) * {"float32": 2e-6, "float64": 2e-13}[dtype]
                assert abs(got - want) <= allowed, (a, b, isa, got)


@pytest.mark.promise("P3")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_variation_of_rows_that_are_equal_but_for_little(each_isa, dtype):
    """One row is a multiple of the other but for a mass that it lacks: KL the other way is +inf."""
    for small in (2.0**-12, 2.0**-24, 2.0**-34, 2.0**-45, 2.0**-52):
        if small < float(ml_dtypes.finfo(dtype).smallest_subnormal):
            continue
        p, q = np.full((2, 40), [[7.0], [3.0]]).astype(dtype)
        p[-1], q[-1] = small, 0
        sums = [mp.fsum(exact(row)) for row in (p, q)]
        shares = [[x / total for x in exact(row)] for row, total in zip((p, q), sums, strict=True)]
        want = ORACLES["total_variation"](*shares)
        unit = 2.0**-53 if dtype == "float64" else 2.0**-24
        for isa in each_isa():
            for rows in ((p, q), (q, p)):
                got = mp.mpf(float(fd.total_variation(*rows)))
                assert abs(got - want) <= 16 * unit * want, (small, isa, got, want)


def test_an_infinite_limit_however_little_it_weighs(isa):
    for p, q in [([1.0, 1e-300], [1.0, 0.0]), ([1e300, 1e-20], [1e300, 0.0])]:
        assert fd.renyi_divergence(p, q, 2) == math.inf
        assert fd.renyi_divergence(q, p, -1) == -math.inf
        assert fd.f_divergence(p, q, "kl_divergence") == math.inf
    far, none = [0.0, -900.0], [0.0, -math.inf]
    assert fd.renyi_divergence(far, none, 2, from_logits=True) == math.inf
    assert fd.alpha_divergence(none, far, -1, from_logits=True) == math.inf
    assert fd.f_divergence(far, none, "kl_divergence", from_logits=True) == math.inf


def test_cross_entropy_of_raw_weights_at_both_ends(isa):
    ten = math.log(10)
    for p, q, want in [
        ([3e-310], [1e308], -308 * ten * 3e-310),
        ([1e250], [1e-290], 290 * ten * 1e250),
        ([1e308, 1.0], [1e308, 0.0], math.inf),
    ]:
        assert fd.cross_entropy(p, q, normalize=False) == pytest.approx(want, rel=1e-12)
    assert fd.entropy([5e-324, 7.2e-61]) == pytest.approx(
        5e-324 / 7.2e-61 * (1 + math.log(7.2e-61) - math.log(5e-324)), rel=1e-6
    )


def scaled(function, *arguments, **options):
    """Rows at both ends of the doubles have the value of rows near 1."""
    want = function([1.0, 2.0], [1.0, 1.0], *arguments, **options)
    for low, high in ((1e-300, 1e300), (1e300, 1e-300), (1e308, 1e-300)):
        got = function([low, 2 * low] if low < 1e308 else [low / 2, low], [high, high], *arguments)
        assert got == pytest.approx(want, rel=1e-14), (low, high)


def test_far_sums(isa, of_two):
    scaled(of_two)


def test_far_sums_of_positions_and_extremes(isa):
    scaled(fd.wasserstein_distance)
    scaled(fd.renyi_divergence, math.inf)
    scaled(fd.renyi_divergence, -math.inf)


def test_numbers_at_both_ends(isa):
    tiny = [2e-320, 0.2345], [3.95e-322, 0]
    gap = math.log(0.2345) - math.log(2e-320)  # of the normalised p from 1; 2e-320 has four digits
    assert fd.reverse_kl_divergence(*tiny) == pytest.approx(gap, rel=1e-6)
    assert fd.bhattacharyya_distance(*tiny) == pytest.approx(gap / 2, rel=1e-6)
    assert fd.reverse_kl_divergence([1e-300, 1], [1e290, 1]) == pytest.approx(
        300 * math.log(10), rel=1e-12
    )
    p, q = [3.67e-93, 1.19e113], [9.28e-130, 2.09e-107]
    share = [x / p[1] for x in p], [x / q[1] for x in q]
    want = share[1][0] ** 2 / share[0][0]
    assert fd.neyman_divergence(p, q) == pytest.approx(want, rel=1e-12)
    assert fd.renyi_entropy([9.8e-280, 1, 2.6e-287], -1) == pytest.approx(
        math.log(1 / 2.6e-287 + 1 / 9.8e-280) / 2, rel=1e-12
    )


def test_first_order_digits_of_near_rows(isa):
    """What the rounding of the sums leaves of their difference is taken away."""
    p, q = [1.0] + [1e-12] * 39, [1.0] + [1e-13] * 39
    shares = [(1 / (1 + 39e-12), 1e-12 / (1 + 39e-12)), (1 / (1 + 39e-13), 1e-13 / (1 + 39e-13))]
    most = math.log1p((39e-13 - 39e-12) / (1 + 39e-12))
    assert shares[0][0] < shares[1][0]
    assert fd.renyi_divergence(p, q, -math.inf) == pytest.approx(most, rel=1e-10)
    assert fd.wasserstein_distance(p, q) == pytest.approx(7.0199999997e-10, rel=1e-10)


def test_sums_beyond_doubles_have_no_order(isa, divergences):
    """Symmetric divergences are so to the last bit, of whatever rows."""
    rng = np.random.default_rng(3)
    p, q = rng.uniform(1e306, 1.7e308, (2, 400, 10))
    p[::3] *= 1e-300
    q[::5] = p[::5] * 2.0**-40
    for divergence in divergences:
        if divergence.kernel in _core.SYMMETRIC and divergence.options.get("weight", 0.5) == 0.5:
            one, other = divergence(p, q), divergence(q, p)
            assert (one == other).all(), divergence.name
            assert np.isfinite(one).all()
