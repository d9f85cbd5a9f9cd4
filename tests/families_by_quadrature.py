"""KL of the families by quadrature in 50 digits: writes families_by_quadrature.json, in minutes.

Densities are written out here, from textbooks; nothing is taken from fastdiv. Each divergence is
E_P log(p/q) by mpmath's tanh-sinh rule over pieces of the support, or a sum over whole numbers. Run
it as ``python tests/families_by_quadrature.py`` after a change of the cases;
test_families_by_quadrature.py holds fastdiv against the file, and a few of its values against this.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
from mpmath import mpf

FILE = Path(__file__).with_suffix(".json")
DIGITS = 50
# Of a value that is written: what quadrature says of itself, relative, is below this.
ERROR = mpf(10) ** -25
NEAR = 1e-8


@dataclass
class Law:
    """A family: log-density, where to cut its support, and parameters of pairs P, Q.

    The variable is x(t) with the derivative dx(t); `cuts` are values of t for given P and Q.
    """

    log_density: Callable[..., Any]
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]]
    cuts: Callable[..., list[Any]] | None = None  # none: whole numbers from `first` on
    first: int = 0
    x: Callable[[Any], Any] = lambda t: t
    dx: Callable[[Any], Any] = lambda t: mpf(1)
    near: tuple[int, ...] = (0, 1)  # parameters that are moved for a near pair
    sign: int = 1  # of that move: supports must not become smaller than P's


def line(m: Any, s: Any) -> list[Any]:
    """Of what dies off as e^(−z²/2) or e^(−e^(−z)): ±12 of it are pieces, the rest has two ends."""
    return [-mp.inf, *(m + s * z for z in (-12, -6, -3, -1, 0, 1, 3, 6, 12)), mp.inf]


def half_line(size: Any) -> list[Any]:
    return [0, *(size * mpf(2) ** k for k in (-6, -3, -1, 0, 1, 2, 4, 6)), mp.inf]


def logs(low: float, high: float, step: float) -> Callable[..., list[Any]]:
    """Of t = log x: what is beyond `low` and `high` has no digit that is asked for."""
    count = math.ceil((high - low) / step)
    return lambda *_: [mpf(low) + (mpf(high) - mpf(low)) * i / count for i in range(count + 1)]


def log_normal(x: Any, m: Any, s: Any) -> Any:
    return -(((mp.log(x) - m) / s) ** 2) / 2 - mp.log(s * x) - mp.log(2 * mp.pi) / 2


def gamma(x: Any, a: Any, b: Any) -> Any:
    return a * mp.log(b) - mp.loggamma(a) + (a - 1) * mp.log(x) - b * x


def of_log(t: Any) -> Any:
    return mp.exp(t)


LAWS: dict[str, Law] = {
    "Normal": Law(
        lambda x, m, s: -(((x - m) / s) ** 2) / 2 - mp.log(s) - mp.log(2 * mp.pi) / 2,
        [((0.3, 1.2), (-0.4, 0.7)), ((5.0, 0.1), (4.0, 3.0)), ((-2.0, 7.0), (-2.0, 6.5))],
        lambda m, s, *_: line(m, s),
    ),
    "LogNormal": Law(
        log_normal,
        [((0.3, 1.2), (-0.4, 0.7)), ((1.0, 0.1), (0.8, 0.5))],
        lambda m, s, *_: line(m, s),
        x=of_log,
        dx=of_log,
    ),
    "HalfNormal": Law(
        lambda x, s: mp.log(2 / mp.pi) / 2 - mp.log(s) - (x / s) ** 2 / 2,
        [((1.4,), (0.6,)), ((0.2,), (3.0,))],
        lambda s, *_: half_line(s),
    ),
    "Exponential": Law(
        lambda x, a: mp.log(a) - a * x,
        [((1.3,), (0.4,)), ((0.2,), (3.0,))],
        lambda a, *_: half_line(1 / a),
    ),
    "Gamma": Law(
        gamma,
        [((2.2, 0.7), (3.1, 1.9)), ((0.4, 2.0), (1.7, 0.6)), ((40.0, 3.0), (35.0, 2.5))],
        logs(-330, 6.5, 6),
        x=of_log,
        dx=of_log,
    ),
    "InverseGamma": Law(
        lambda x, a, b: a * mp.log(b) - mp.loggamma(a) - (a + 1) * mp.log(x) - b / x,
        [((2.2, 0.7), (3.1, 1.9)), ((0.4, 2.0), (1.7, 0.6)), ((40.0, 3.0), (35.0, 2.5))],
        logs(-6.5, 330, 6),
        x=of_log,
        dx=of_log,
    ),
    "Chi": Law(
        lambda x, n: (1 - n / 2) * mp.log(2) - mp.loggamma(n / 2) + (n - 1) * mp.log(x) - x * x / 2,
        [((3.3,), (2.1,)), ((0.7,), (4.0,)), ((30.0,), (26.0,))],
        logs(-190, 4, 5),
        x=of_log,
        dx=of_log,
    ),
    "Weibull": Law(
        lambda x, k, s: mp.log(k / s) + (k - 1) * mp.log(x / s) - (x / s) ** k,
        [((1.7, 0.8), (1.1, 1.3)), ((0.6, 1.4), (2.5, 0.9)), ((6.0, 2.0), (5.0, 2.2))],
        lambda k, s, *_: [mp.log(s) + z / k for z in range(-125, 6, 5)],
        x=of_log,
        dx=of_log,
    ),
    "Pareto": Law(
        lambda x, m, a: mp.log(a) + a * mp.log(m) - (a + 1) * mp.log(x),
        [((1.2, 3.5), (1.0, 2.0)), ((2.0, 0.6), (2.0, 1.5))],
        lambda m, a, *_: [mp.log(m) + mpf(z) / a for z in (0, 1, 3, 8, 20, 40, 80, 140)],
        x=of_log,
        dx=of_log,
        sign=-1,
    ),
    "LogUniform": Law(
        lambda x, a, b: -mp.log(mp.log(b / a)) - mp.log(x),
        [((0.4, 3.0), (0.3, 4.5)), ((1.0, 2.0), (0.01, 50.0))],
        lambda a, b, *_: [a, b],
        near=(1,),
        sign=-1,
    ),
    "Beta": Law(
        lambda x, a, b: (
            (a - 1) * mp.log(x)
            + (b - 1) * mp.log(1 - x)
            + mp.loggamma(a + b)
            - mp.loggamma(a)
            - mp.loggamma(b)
        ),
        [((2.2, 1.7), (1.1, 3.0)), ((0.8, 0.9), (2.0, 0.5)), ((30.0, 12.0), (25.0, 14.0))],
        logs(-130, 105, 5),  # where 1 − x has digits left
        x=lambda t: 1 / (1 + mp.exp(-t)),
        dx=lambda t: 1 / (2 + mp.exp(t) + mp.exp(-t)),
    ),
    "ContinuousBernoulli": Law(
        lambda x, p: (
            x * mp.log(p)
            + (1 - x) * mp.log(1 - p)
            + mp.log(mp.log((1 - p) / p) / (1 - 2 * p) if p != mpf(1) / 2 else 2)
        ),
        [((0.3,), (0.8,)), ((0.5,), (0.01,)), ((0.999,), (0.6,))],
        lambda *_: [0, mpf(1) / 2, 1],
    ),
    "Laplace": Law(
        lambda x, m, b: -mp.log(2 * b) - abs(x - m) / b,
        [((0.3, 1.2), (-0.4, 0.7)), ((5.0, 0.1), (4.0, 3.0))],
        lambda m, b, n, c: sorted([-mp.inf, m - 9 * b, m - b, m, n, m + b, m + 9 * b, mp.inf]),
    ),
    "Cauchy": Law(
        lambda x, m, b: -mp.log(mp.pi * b) - mp.log(1 + ((x - m) / b) ** 2),
        [((0.3, 1.2), (-0.4, 0.7)), ((5.0, 0.1), (4.0, 3.0))],
        lambda m, b, n, c: [mp.atan(z) for z in sorted([-mp.inf, m - b, m, n, m + b, mp.inf])],
        x=mp.tan,
        dx=lambda t: mp.sec(t) ** 2,
    ),
    "Gumbel": Law(
        lambda x, m, b: -mp.log(b) - (x - m) / b - mp.exp(-(x - m) / b),
        [((0.3, 1.2), (-0.4, 0.9)), ((1.0, 0.5), (0.7, 2.0))],
        lambda m, b, *_: [m + b * z for z in range(-5, 126, 5)],
    ),
    "VonMises": Law(
        lambda x, m, k: k * mp.cos(x - m) - mp.log(2 * mp.pi * mp.besseli(0, k)),
        [((0.3, 1.2), (-0.4, 2.7)), ((1.0, 0.0), (2.0, 0.5)), ((0.2, 25.0), (0.25, 40.0))],
        lambda m, *_: [m + mp.pi * z / 2 for z in (-2, -1, 0, 1, 2)],
        sign=-1,
    ),
    "Bernoulli": Law(
        lambda x, p: x * mp.log(p) + (1 - x) * mp.log(1 - p) if x <= 1 else -mp.inf,
        [((0.3,), (0.8,)), ((0.001,), (0.02,))],
    ),
    "Binomial": Law(
        lambda x, n, p: (
            mp.log(mp.binomial(n, x)) + x * mp.log(p) + (n - x) * mp.log(1 - p)
            if x <= n
            else -mp.inf
        ),
        [((9.0, 0.3), (9.0, 0.8)), ((40.0, 0.01), (40.0, 0.02))],
        near=(1,),
    ),
    "Geometric": Law(
        lambda x, p: mp.log(p) + (x - 1) * mp.log(1 - p),
        [((0.3,), (0.8,)), ((0.05,), (0.02,))],
        first=1,
    ),
    "NegativeBinomial": Law(
        lambda x, r, p: (
            mp.loggamma(x + r)
            - mp.loggamma(r)
            - mp.loggamma(x + 1)
            + r * mp.log(p)
            + x * mp.log(1 - p)
        ),
        [((2.5, 0.3), (2.5, 0.8)), ((0.4, 0.1), (0.4, 0.2))],
        near=(1,),
    ),
    "Poisson": Law(
        lambda x, a: x * mp.log(a) - a - mp.loggamma(x + 1),
        [((2.2,), (3.1,)), ((0.05,), (1.0,)), ((60.0,), (50.0,))],
    ),
}

# Pairs of two families, of which both have their densities above.
CROSSED: list[tuple[str, tuple[float, ...], str, tuple[float, ...]]] = [
    ("Exponential", (1.3,), "Gamma", (2.2, 0.7)),
    ("Exponential", (0.6,), "HalfNormal", (1.4,)),
    ("HalfNormal", (1.4,), "Exponential", (0.6,)),
    ("HalfNormal", (1.4,), "Gamma", (0.9, 1.1)),
    ("Weibull", (1.7, 0.8), "Gamma", (2.2, 0.7)),
    ("Weibull", (1.7, 0.8), "LogNormal", (0.4, 0.9)),
    ("Gamma", (2.2, 0.7), "Weibull", (1.7, 0.8)),
    ("Gamma", (2.2, 0.7), "LogNormal", (0.4, 0.9)),
    ("Gamma", (2.2, 0.9), "Chi", (3.3,)),
    ("Gamma", (2.2, 0.7), "Normal", (-0.4, 1.9)),
    ("LogNormal", (0.4, 0.6), "Gamma", (2.2, 0.7)),
    ("LogNormal", (0.4, 0.6), "InverseGamma", (2.0, 1.5)),
    ("InverseGamma", (3.0, 1.5), "LogNormal", (0.4, 0.9)),
    ("Chi", (3.3,), "HalfNormal", (1.4,)),
    ("Pareto", (1.2, 3.5), "LogNormal", (0.4, 0.9)),
    ("LogUniform", (0.4, 3.0), "Gamma", (2.2, 0.7)),
    ("Beta", (2.2, 1.7), "ContinuousBernoulli", (0.3,)),
    ("Beta", (2.2, 1.7), "Normal", (-0.4, 1.9)),
    ("Laplace", (0.3, 1.2), "Normal", (-0.4, 1.9)),
    ("Gumbel", (0.3, 1.2), "Normal", (-0.4, 1.9)),
    ("Normal", (-0.4, 0.9), "Gumbel", (0.3, 1.2)),
    ("Bernoulli", (0.3,), "Poisson", (0.6,)),
]


# --- of vectors and matrices ----------------------------------------------------------------------


def dirichlet(x: tuple[Any, ...], a: tuple[Any, ...]) -> Any:
    logs = sum((k - 1) * mp.log(y) for k, y in zip(a, x, strict=True))
    return mp.loggamma(sum(a)) - sum(map(mp.loggamma, a)) + logs


def of_simplex(p: Any, q: Any) -> Any:
    """Dirichlet of three: (u, (1 − u) v, (1 − u)(1 − v)) from the unit square."""
    a, b = ([mpf(v) for v in given[0]] for given in (p, q))

    def term(u: Any, v: Any) -> Any:
        x = u, (1 - u) * v, (1 - u) * (1 - v)
        log_p = dirichlet(x, a)
        return mp.exp(log_p) * (log_p - dirichlet(x, b)) * (1 - u)

    return mp.quad(term, [0, 1], [0, 1])


def of_plane(p: Any, q: Any) -> Any:
    """Normal of two variables, over ±14 deviations of its own axes."""

    def log_density(x: Any, mean: Any, cov: Any) -> Any:
        (a, b), (_, c) = ([mpf(v) for v in row] for row in cov)
        y, z = (at - mpf(m) for at, m in zip(x, mean, strict=True))
        size = a * c - b * b
        return -(c * y * y - 2 * b * y * z + a * z * z) / (2 * size) - mp.log(size) / 2

    (a, b), (_, c) = ([mpf(v) for v in row] for row in p[1])
    first, cross = mp.sqrt(a), b / mp.sqrt(a)
    second = mp.sqrt(c - cross**2)

    def term(y: Any, z: Any) -> Any:
        x = p[0][0] + first * y, p[0][1] + cross * y + second * z
        log_p = log_density(x, *p)
        return mp.exp(log_p) * (log_p - log_density(x, *q)) * first * second / (2 * mp.pi)

    return mp.quad(term, [-14, 0, 14], [-14, 0, 14])


def of_one_by_one(p: Any, q: Any) -> Any:
    """Wishart of 1×1 matrices, which is a Gamma."""

    def log_density(x: Any, df: Any, scale: Any) -> Any:
        half, v = mpf(df) / 2, mpf(scale[0][0])
        return (half - 1) * mp.log(x) - x / (2 * v) - half * mp.log(2 * v) - mp.loggamma(half)

    def term(t: Any) -> Any:
        log_p = log_density(mp.exp(t), *p)
        return mp.exp(log_p + t) * (log_p - log_density(mp.exp(t), *q))

    return mp.quad(term, logs(-70, 7, 5)())


VECTORS: dict[str, tuple[Callable[[Any, Any], Any], list[tuple[Any, Any]]]] = {
    "Dirichlet": (
        of_simplex,
        [
            (([2.5, 1.5, 3.0],), ([2.0, 2.25, 1.5],)),
            (([2.5, 1.5, 3.0],), ([2.500000025, 1.49999999, 3.00000002],)),
        ],
    ),
    "MultivariateNormal": (
        of_plane,
        [
            (([0.5, -1.0], [[2.0, 0.6], [0.6, 1.5]]), ([0.0, 1.0], [[1.0, -0.3], [-0.3, 2.5]])),
            (
                ([0.5, -1.0], [[2.0, 0.6], [0.6, 1.5]]),
                ([0.50000001, -1.00000002], [[2.00000002, 0.59999999], [0.59999999, 1.50000001]]),
            ),
        ],
    ),
    "Wishart": (
        of_one_by_one,
        [((3.5, [[1.2]]), (5.0, [[0.7]])), ((3.5, [[1.2]]), (3.500000035, [[1.199999988]]))],
    ),
}


# --- what they all do -----------------------------------------------------------------------------


def divergence(of_p: str, p: Any, of_q: str, q: Any) -> Any:
    """KL; of one variable with an error that is below `ERROR` of it."""
    if of_p in VECTORS:
        with mp.workdps(40):
            return VECTORS[of_p][0](p, q)
    with mp.workdps(DIGITS):
        law = LAWS[of_p]
        a, b = ([mpf(v) for v in given] for given in (p, q))
        other = LAWS[of_q].log_density

        def term(x: Any) -> Any:
            log_p = law.log_density(x, *a)
            return mp.exp(log_p) * (log_p - other(x, *b)) if log_p > -mp.inf else mpf(0)

        if law.cuts is None:
            return _summed(term, law.first)
        cuts = law.cuts(*a, *b) if of_p == of_q else law.cuts(*a, *a)
        cuts = [x for x, _ in itertools.groupby(cuts)]
        found, error = mp.quad(lambda t: term(law.x(t)) * law.dx(t), cuts, error=True, maxdegree=9)
        assert error < ERROR * abs(found), (of_p, p, of_q, q, mp.nstr(error), mp.nstr(found))
        return found


def _summed(term: Callable[[Any], Any], first: int) -> Any:
    """Until a hundred terms in a row are nothing beside the sum, or there are none."""
    whole, rest = mpf(0), 0
    for x in itertools.count(first):
        one = term(mpf(x))
        whole += one
        rest = rest + 1 if abs(one) <= mpf(10) ** (8 - DIGITS) * abs(whole) else 0
        if rest == 100:
            return whole
    raise AssertionError


def cases() -> Iterator[tuple[str, Any, str, Any]]:
    """Ordinary pairs and, of each P, one whose parameters are 1e-8 apart."""
    for name, law in LAWS.items():
        for p, q in law.pairs:
            yield name, p, name, q
            moved = (
                v + law.sign * (-1) ** i * NEAR * (v or 1.0) if i in law.near else v
                for i, v in enumerate(p)
            )
            yield name, p, name, tuple(moved)
    yield from CROSSED
    for name, (_, pairs) in VECTORS.items():
        for p, q in pairs:
            yield name, p, name, q


def known_divergences() -> list[tuple[str, Any, str, Any, Any]]:
    """What was written: family and parameters of P, of Q, and KL."""
    with mp.workdps(DIGITS):
        found = json.loads(FILE.read_text())
        return [
            (one["p"][0], one["p"][1:], one["q"][0], one["q"][1:], mpf(one["kl"])) for one in found
        ]


def main() -> None:
    found = []
    for of_p, p, of_q, q in cases():
        value = mp.nstr(divergence(of_p, p, of_q, q), 25)
        found.append({"p": [of_p, *p], "q": [of_q, *q], "kl": value})
        sys.stdout.write(f"{found[-1]}\n")
    FILE.write_text("[\n" + ",\n".join(json.dumps(one) for one in found) + "\n]\n")


if __name__ == "__main__":
    main()
