"""The table of inequalities is true, tight where it says so, and used as it should be."""

from __future__ import annotations

import math
import random
from functools import cache
from itertools import pairwise

import pytest
import reference
from reference import INF, ORACLES, mp, mpf, normalised

from fastdiv import bounds
from fastdiv.bounds import INEQUALITIES, RANGES, SLACK, interval, intervals

SIDE = ("min_q", "min_p", "max_ratio", "max_reverse_ratio")


# --- quantities of exact rows ---------------------------------------------------------------------


def jeffreys_divergence(p, q):
    return reference.kl_divergence(p, q) + reference.kl_divergence(q, p)


def neyman_divergence(p, q):
    return reference.chi2_divergence(q, p)


def bhattacharyya_distance(p, q):
    affinity = mp.fsum(mp.sqrt(x * y) for x, y in zip(p, q, strict=True))
    return -mp.log(affinity) if affinity else INF


def triangular_discrimination(p, q):
    return mp.fsum((x - y) ** 2 / (x + y) for x, y in zip(p, q, strict=True) if x + y)


def min_q(p, q):
    return min(y for x, y in zip(p, q, strict=True) if x + y)


def min_p(p, q):
    return min_q(q, p)


def max_ratio(p, q):
    return max(x / y if y else INF for x, y in zip(p, q, strict=True) if x + y)


def max_reverse_ratio(p, q):
    return max_ratio(q, p)


LOCAL = (jeffreys_divergence, neyman_divergence, bhattacharyya_distance, triangular_discrimination)
LOCAL += (min_q, min_p, max_ratio, max_reverse_ratio)
QUANTITIES = {n: f for n, f in ORACLES.items() if n in RANGES} | {f.__name__: f for f in LOCAL}


# --- pairs, exact --------------------------------------------------------------------------------


def bernoulli(p, q):
    return [mpf(p), 1 - mpf(p)], [mpf(q), 1 - mpf(q)]


def random_pair(rng):
    n = rng.choice([2, 2, 3, 5, 17, 60])
    spread = rng.choice([0.5, 3.0, 12.0])
    p = [mpf(10) ** -rng.uniform(0, spread) for _ in range(n)]
    q = [mpf(10) ** -rng.uniform(0, spread) for _ in range(n)]
    kind = rng.choice(["any", "near", "disjoint", "zeros", "zeros", "bounded"])
    if kind == "near":
        size = mpf(10) ** -rng.uniform(0.5, 12)
        q = [x * (1 + size * rng.uniform(-1, 1)) for x in p]
    elif kind == "disjoint":
        size = mpf(10) ** -rng.uniform(1, 15)
        p = [x * (size if i % 2 else 1) for i, x in enumerate(p)]
        q = [x * (1 if i % 2 else size) for i, x in enumerate(q)]
    elif kind == "zeros":
        p = [x if rng.random() < 0.7 else mpf(0) for x in p[:-1]] + [mpf(1)]
        q = [x if rng.random() < 0.8 else mpf(0) for x in q[:-1]] + [mpf(1)]
    elif kind == "bounded":
        q = [x * rng.choice([1, 1 + mpf(10) ** -rng.uniform(-1, 6)]) for x in p]
    return normalised(p), normalised(q)


def least_kl_for_variation(v):
    """The Bernoulli pair p = q + v whose KL is stationary in q."""

    def slope(q):
        return mp.log((q + v) * (1 - q) / (q * (1 - q - v))) - v / (q * (1 - q))

    low, high = mpf(0), 1 - v
    for _ in range(100):
        q = (low + high) / 2
        low, high = (q, high) if slope(q) < 0 else (low, q)
    return bernoulli(q + v, q)


def least_kl_for_triangular(x):
    """Two points with ratios a < 1 < b that share a tangent; see `bounds._triangular`."""
    c, s = mp.cosh(x), mp.sinh(x) / x
    a, b = ((c - s) / (s * c - 1) * mp.exp(sign * x) for sign in (-1, 1))
    w = (b - 1) / (b - a)
    return [w * a, (1 - w) * b], [w, 1 - w]


def extremal_pairs():
    """For each tight line the pairs that reach it, or nearly."""
    for v in map(mpf, ("1e-9", "0.01", "0.3", "0.5", "0.8", "0.999", "0.99999999")):
        yield bernoulli((1 + v) / 2, (1 - v) / 2)  # symmetric curve
        yield [v, 1 - v, mpf(0)], [mpf(0), 1 - v, v]  # its chord
        yield [mpf(1), mpf(0)], [1 - v, v]  # restriction
        yield [1 - v, v], [mpf(1), mpf(0)]
        yield [(1 - v) / 3, (2 + v) / 3], [mpf(1) / 3, mpf(2) / 3]
        yield bernoulli((1 + v) / 2, mpf(1) / 2)
        yield bernoulli(mpf(1) / 2, (1 + v) / 2)
        if v > 0.005:
            yield least_kl_for_variation(v)
            yield least_kl_for_variation(v)[::-1]
            yield least_kl_for_triangular(mpf("0.75") + v * 5)
            yield least_kl_for_triangular(mpf("0.75") + v * 5)[::-1]
        if v >= 0.5:
            yield bernoulli(v, 0)  # TV/(1−TV) = χ²
            yield [v, 1 - v], [mpf(0), mpf(1)]
        a, b = 1 - v / 2, 1 + v * 3  # two ratios
        w = (b - 1) / (b - a)
        yield [w * a, (1 - w) * b], [w, 1 - w]
        yield [w, 1 - w], [w * a, (1 - w) * b]
        # A tiny step where all else is equal: ratios of two divergences.
        e, m = mpf("1e-12"), mpf("1e-6")
        yield bernoulli(m + v * m, m)
        yield bernoulli(m - v * m, m)
        yield bernoulli(m, m + v * m)
        yield bernoulli(m, m - v * m)
        yield [e * v, mpf(1) - e * v], [e, 1 - e]
        yield [e, 1 - e], [e * v, mpf(1) - e * v]


@cache
def values():
    """Every quantity of every pair, 50 digits."""
    rng = random.Random(20240607)
    pairs = [*extremal_pairs(), *(random_pair(rng) for _ in range(250))]
    return [{name: f(p, q) for name, f in QUANTITIES.items()} for p, q in pairs]


def below(x):
    """A float no greater than x."""
    f = float(x)
    return f if mpf(f) <= x else math.nextafter(f, -math.inf)


def above(x):
    f = float(x)
    return f if mpf(f) >= x else math.nextafter(f, math.inf)


# --- the table -----------------------------------------------------------------------------------


def label(line):
    return str(line)


def sides(line, case):
    """Both sides of an inequality, the lesser first, at floats that err on its side."""
    outward = above if line.sense == "≤" else below
    falling = below if line.sense == "≤" else above
    sources = [(falling if s in bounds.FALLING else outward)(case[s]) for s in line.sources]
    sources = [
        min(max(x, RANGES[s][0]), RANGES[s][1]) for x, s in zip(sources, line.sources, strict=True)
    ]
    bound, truth = mpf(line(*sources)), case[line.target]
    return (truth, bound) if line.sense == "≤" else (bound, truth)


@pytest.mark.parametrize("line", INEQUALITIES, ids=label)
def test_holds(line):
    """No pair violates it by more than the rounding that `interval` allows for."""
    for case in values():
        lesser, greater = sides(line, case)
        assert lesser <= greater * (1 + SLACK) + mpf(10) ** -300, case


# How near the bound the pairs of `extremal_pairs` come, where that is not all the way.
REACH = {
    "TV² ≤ 1−e^−KL": 0.96,
    "TV ≤ 1−½e^−KL": 0.96,
    "H²/2 ≤ JS": 0.72,
    "JS ≤ 2 ln 2·H²": 0.72,
    "JS ≤ ln(2/(1+e^(−J/2)))": 0.88,
    "JS ≤ J/4": 0.49999,
    "J ≤ χ² + χ²": 0.49999,
}


@pytest.mark.parametrize("line", INEQUALITIES, ids=label)
def test_is_reached(line):
    """A looser or mistyped function would leave room."""
    nearest = max(
        lesser / greater
        for lesser, greater in (sides(line, case) for case in values())
        if lesser > 0 and greater < INF
    )
    formula = line.formula.replace("(Q‖P)", "")
    reach = REACH.get(formula, 1 - 1e-5)
    assert nearest >= reach
    assert formula not in REACH or nearest <= reach * 1.03, "REACH is stale"


@pytest.mark.parametrize("line", INEQUALITIES, ids=label)
def test_rises(line):
    """In every source, over the whole range and its ends (falls in the smallest probability)."""
    rng = random.Random(1)
    for index, name in enumerate(line.sources):
        least, most = RANGES[name]
        scale = [0.0, *(10.0**k for k in range(-320, 309, 8))]
        inner = [least + x for x in scale] + [most - x for x in scale if most < INF]
        inner += [least + rng.random() * (min(most, 9.0) - least) for _ in range(60)]
        xs = sorted({x for x in (*inner, most) if least <= x <= most})
        for _ in range(3):
            others = [rng.uniform(RANGES[s][0], min(RANGES[s][1], 9.0)) for s in line.sources]
            ys = [line(*others[:index], x, *others[index + 1 :]) for x in xs]
            if name in bounds.FALLING:
                ys.reverse()
            for y, z in pairwise(ys):
                assert y <= z + SLACK * abs(z) + bounds.TINY, (name, y, z)


@pytest.mark.parametrize("line", [x for x in INEQUALITIES if x.inverse], ids=label)
def test_inverse(line):
    """What is given in closed form is what bisection would find."""
    most, top = RANGES[line.sources[0]][1], RANGES[line.target][1]
    for x in (1e-300, 1e-12, 0.01, 0.3, 0.6, 0.69):
        x *= min(most, 1.0)
        assert line.inverse(line(x)) == pytest.approx(x, rel=1e-13)
        assert line(line.inverse(x * min(top, 9.0))) == pytest.approx(x * min(top, 9.0), rel=1e-13)


def test_mirrors():
    """Each line about KL or χ² has its twin about (Q, P), and no other has."""
    lines = {(x.target, x.sense, x.sources, x.function) for x in INEQUALITIES}
    assert len(lines) == len(INEQUALITIES)
    other = {a: b for a, b in bounds.MIRRORED.items() if a in RANGES}
    assert other == {b: a for a, b in other.items()}
    for line in INEQUALITIES:
        target, sources = other.get(line.target, line.target), line.sources
        twin = (target, line.sense, tuple(other.get(s, s) for s in sources), line.function)
        assert twin in lines or sorted(twin[2]) == sorted(sources)
    assert str(INEQUALITIES[-1].mirror()).endswith("KL ≤ TV·b ln b/(b−1), b = max p/q")


# --- ends to 1e-12, from the formulas of the literature -------------------------------------------


def fedotov(t):
    """Total variation and KL at a parameter, as the authors print them."""
    coth, sinh = mp.coth(t), mp.sinh(t)
    variation = (t / 2) * (1 - (coth - 1 / t) ** 2)
    kl = mp.log(t / sinh) + t * coth - t**2 / sinh**2
    return {"total_variation": variation, "kl_divergence": kl}


def curve(x):
    """Symmetric divergences of ((1 ± tanh x)/2)."""
    t = mp.tanh(x)
    p, q = bernoulli((1 + t) / 2, (1 - t) / 2)
    names = ("total_variation", "js_divergence", "squared_hellinger", "hellinger_distance")
    names += ("triangular_discrimination", "jeffreys_divergence", "bhattacharyya_distance")
    return {name: QUANTITIES[name](p, q) for name in names}


def restriction(k):
    """Of an event of probability e^−k."""
    p, q = [mpf(1), mpf(0)], [mp.exp(-k), 1 - mp.exp(-k)]
    names = ("kl_divergence", "chi2_divergence", "js_divergence", "squared_hellinger")
    return {name: QUANTITIES[name](p, q) for name in (*names, "triangular_discrimination")}


def two_points(x):
    pair = least_kl_for_triangular(x)
    return {n: QUANTITIES[n](*pair) for n in ("kl_divergence", "triangular_discrimination")}


def least_chi2(t):
    v = mp.tanh(t)
    return {"total_variation": v, "chi2_divergence": 4 * v * v if v < 0.5 else v / (1 - v)}


# The first is least for the second where both are what the third says, for any parameter.
BOUNDARIES = [
    ("kl_divergence", "total_variation", fedotov),
    ("chi2_divergence", "total_variation", least_chi2),
    ("js_divergence", "total_variation", curve),
    ("squared_hellinger", "total_variation", curve),
    ("hellinger_distance", "total_variation", curve),
    ("bhattacharyya_distance", "total_variation", curve),
    ("triangular_discrimination", "total_variation", curve),
    ("jeffreys_divergence", "total_variation", curve),
    ("js_divergence", "triangular_discrimination", curve),
    ("squared_hellinger", "triangular_discrimination", curve),
    ("jeffreys_divergence", "triangular_discrimination", curve),
    ("squared_hellinger", "js_divergence", curve),
    ("jeffreys_divergence", "js_divergence", curve),
    ("jeffreys_divergence", "squared_hellinger", curve),
    ("jeffreys_divergence", "bhattacharyya_distance", curve),
    ("chi2_divergence", "kl_divergence", restriction),
    ("kl_divergence", "squared_hellinger", restriction),
    ("chi2_divergence", "squared_hellinger", restriction),
    ("kl_divergence", "js_divergence", restriction),
    ("chi2_divergence", "js_divergence", restriction),
    ("chi2_divergence", "triangular_discrimination", restriction),
    ("kl_divergence", "triangular_discrimination", two_points),
]


@pytest.mark.parametrize("swap", [False, True], ids=["", "for (Q, P)"])
@pytest.mark.parametrize(
    ("greater", "lesser", "boundary"), BOUNDARIES, ids=lambda x: getattr(x, "__name__", x)
)
def test_ends(greater, lesser, boundary, swap):
    """Both directions of each tight boundary: valid, and within 1e-12 of what is possible."""
    for x in ("0.001", "0.03", "0.2", "0.7", "0.9", "1.5", "2.5"):
        if boundary is two_points and mpf(x) < 0.75:
            x = mpf("0.76") + mpf(x) / 100
        want = boundary(mpf(x))
        steep, flat = want[greater], want[lesser]
        names = [bounds.MIRRORED.get(n, n) if swap else n for n in (greater, lesser)]
        low = interval(names[0], **{names[1]: (below(flat), above(flat))}).lower
        assert steep * (1 - mpf(10) ** -12) <= low <= steep, x
        high = interval(names[1], **{names[0]: (below(steep), above(steep))}).upper
        assert flat <= high <= flat * (1 + mpf(10) ** -12), x


CHORDS = [
    ("total_variation", "squared_hellinger", 1),
    ("total_variation", "js_divergence", mp.log(2)),
    ("total_variation", "triangular_discrimination", 2),
    ("triangular_discrimination", "js_divergence", mp.log(2) / 2),
    ("triangular_discrimination", "squared_hellinger", mpf(1) / 2),
    ("js_divergence", "squared_hellinger", 1 / mp.log(2)),
]


@pytest.mark.parametrize(("source", "target", "slope"), CHORDS)
def test_chords(source, target, slope):
    for x in (1e-9, 0.01, 0.3, 0.65):
        high = interval(target, **{source: x}).upper
        assert mpf(x) * slope <= high <= mpf(x) * slope * (1 + mpf(10) ** -12)
        low = interval(source, **{target: x * float(slope)}).lower
        assert low == pytest.approx(x, rel=1e-12)


def test_near_the_end_of_a_range():
    """Where only 1 − TV tells, KL is right to what that says."""
    for rest in (1e-3, 1e-9, 2.0**-53):
        v = 1 - rest
        low = interval("kl", tv=v).lower
        p, q = least_kl_for_variation(mpf(v))
        want = reference.kl_divergence(p, q)
        assert want * (1 - mpf(10) ** -12) <= low <= want
    assert interval("bhattacharyya", jeffreys=300.0).upper == pytest.approx(75 - math.log(2))
    assert interval("jeffreys", bhattacharyya=75.0).lower == pytest.approx(4 * (75 + math.log(2)))


# --- propagation ---------------------------------------------------------------------------------


def given(case, name):
    lower, upper = (
        min(max(f(case[name]), RANGES[name][0]), RANGES[name][1]) for f in (below, above)
    )
    return lower, upper


def test_every_target_from_every_source():
    """What is true lies inside."""
    for case in random.Random(3).sample(values(), 25):
        for source in QUANTITIES:
            found = intervals(**{source: given(case, source)})
            assert set(found) == set(QUANTITIES) == set(RANGES)
            for target, found_here in found.items():
                assert found_here.lower <= case[target] <= found_here.upper, (source, case)


def test_several_sources():
    """What is true lies inside, and no end is looser than from one of them alone."""
    rng = random.Random(4)
    for case in rng.sample(values(), 40):
        sources = rng.sample(sorted(QUANTITIES), rng.choice([2, 3, 5]))
        together = intervals(**{s: given(case, s) for s in sources})
        for target, here in together.items():
            assert here.lower <= case[target] <= here.upper, (target, sources, here)
        for source in sources:
            for target, alone in intervals(**{source: given(case, source)}).items():
                here = together[target]
                assert here.lower >= alone.lower * (1 - 1e-12)
                assert here.upper <= alone.upper * (1 + 1e-12)


def test_several_sources_narrow():
    alone = interval("kl", chi2=1e-3)
    known = interval("kl", chi2=1e-3, max_ratio=1.1, max_reverse_ratio=1.1)
    assert known.upper - known.lower < 0.05 * (alone.upper - alone.lower)
    assert interval("tv", kl=0.1, js=0.01).upper < interval("tv", kl=0.1).upper
    both = interval("jeffreys", kl=0.25, reverse_kl=0.5)
    assert (both.lower, both.upper) == (pytest.approx(0.75), pytest.approx(0.75))
    assert both.lower <= 0.75 <= both.upper
    assert interval("reverse_kl", kl=0.25, jeffreys=0.75).upper == pytest.approx(0.5, rel=1e-13)
    assert interval("kl", tv=(0.1, 0.2), min_q=0.1).upper < interval("kl", tv=0.2, min_q=0.05).upper


def test_rounded_values_of_one_pair_agree():
    """A few ulp are no contradiction."""
    for scale in range(-3, 4):
        k, r = 0.1, 0.2
        j = (k + r) * (1 + scale * 2.0**-52)
        assert interval("tv", kl=k, reverse_kl=r, jeffreys=j).upper < 0.2224
    assert interval("tv", js=math.log(2)).upper == 1
    assert interval("tv", js=math.nextafter(math.log(2), 1)).upper == 1
    assert interval("js", tv=1.0).upper == pytest.approx(math.log(2))
    assert interval("tv", squared_hellinger=1 + 2**-52).lower > 1 - 1e-14


def test_what_is_given_comes_back():
    for name in RANGES:
        found = interval(name, **{name: 0.5 if RANGES[name][0] == 0 else 1.5})
        assert found.lower == found.upper
        assert found.lower_by == found.upper_by == ()
    assert interval("h2", squared_hellinger=(0.1, 0.2)).lower == 0.1


def test_equal_and_disjoint():
    for name, value in bounds.EQUAL.items():
        for target, found in intervals(**{name: value}).items():
            if target in bounds.EQUAL:
                assert found.lower == found.upper == bounds.EQUAL[target]
    apart = intervals(tv=1)
    for name in ("kl_divergence", "neyman_divergence", "jeffreys_divergence"):
        assert apart[name].lower == math.inf
    assert apart["squared_hellinger"].lower > 1 - 1e-14
    assert apart["max_ratio"].lower > 1e14
    assert interval("tv", kl=math.inf) == bounds.Interval(0.0, 1.0, (), (), "total_variation")


def test_tiny_and_huge():
    """Outward even where the slack of a product is below the smallest float."""
    for kl in (5e-324, 1e-310, 1e-150, 1e150, 1.7e308):
        high = interval("tv", kl=kl).upper
        assert high == 1 or 2 * mpf(high) ** 2 >= kl
        assert interval("chi2", kl=kl).lower <= mp.expm1(kl)
        low = interval("kl", jeffreys=kl, reverse_kl=kl / 2).lower
        assert low <= kl / 2
    assert interval("kl", tv=1e-200).lower >= 0


# --- words ---------------------------------------------------------------------------------------


def test_chain_and_print():
    found = interval("chi2_divergence", tv=0.25)
    assert found.lower_by == ("Gilardoni: 4TV² ≤ χ² (TV ≤ ½), TV/(1−TV) ≤ χ² (TV ≥ ½)",)
    assert found.upper_by == ()
    assert str(found).startswith("0.25 ≤ chi2_divergence ≤ inf, lower by Gilardoni: 4TV² ≤ χ²")
    assert "upper by" not in str(found)
    assert 0.3 in found
    assert 0.2 not in found
    chained = interval("tv", js_distance=0.2)
    assert [link.split(":")[0] for link in chained.upper_by] == ["square", "symmetric hull"]
    assert chained.upper_by[0] == "square: JS = (JS distance)²"
    with pytest.raises(AttributeError):
        found.lower = 0.0


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (
            {"kl": 0.1, "tv": 0.9},
            ["Fedotov", "total_variation = 0.9", "≥ 2.3", "kl_divergence ≤ 0.1"],
        ),
        ({"js": 0.5, "tv": 0.1}, ["chord: JS ≤ ln 2·TV", "total_variation = 0.1", "js_divergence"]),
        ({"kl": 1, "reverse_kl": 1, "jeffreys": 3}, ["sum: J = KL + KL(Q‖P)", "kl_divergence = 1"]),
        ({"kl": 0, "tv": 0.1}, ["P = Q", "kl_divergence = 0", "total_variation ≥ 0.1"]),
        ({"neyman": 0.1, "reverse_kl": 0.5}, ["KL(Q‖P) ≤ ln(1+χ²(Q‖P))", "neyman_divergence"]),
        ({"tv": 2}, ["total_variation is 2", "[0, 1]"]),
        ({"tv": 1.0001}, ["total_variation is 1.0001", "[0, 1]"]),
        ({"kl": -1e-9}, ["kl_divergence is -1e-09", "[0, inf]"]),
        ({"kl": math.nan}, ["kl_divergence is nan"]),
        ({"kl": (0.2, 0.1)}, ["kl_divergence is (0.2, 0.1)", "in order"]),
        ({"kl": (0.2, math.nan)}, ["kl_divergence is (0.2, nan)"]),
        ({"js": 0.7}, ["js_divergence is 0.7", "0.693147"]),
        ({"max_ratio": 0.5}, ["max_ratio is 0.5", "[1, inf]"]),
        ({"kl": 0.1, "kl_divergence": 0.1}, ["given twice", "kl", "kl_divergence"]),
        ({}, ["nothing is given"]),
        (
            {"total_variaton": 0.1},
            ["'total_variaton'", "nearest: 'total_variation'", "min_q", "js"],
        ),
    ],
)
def test_value_errors(known, words):
    for call in (lambda: interval("kl", **known), lambda: intervals(**known)):
        with pytest.raises(ValueError, match=r"^intervals?: ") as caught:
            call()
        for word in words:
            assert word in str(caught.value)


def test_other_errors():
    with pytest.raises(ValueError, match=r"^interval: 'hellingr' .* \(nearest: 'hellinger'\)"):
        interval("hellingr", kl=0.1)
    for wrong in ("much", None, (0.1, 0.2, 0.3), [0.1, "x"]):
        with pytest.raises(TypeError, match=r"^interval: kl_divergence is .*number or a pair"):
            interval("tv", kl=wrong)
