"""P1: the elementary functions inside the kernels are within 1 ulp, and the same on all processors.

They are compiled as a library of their own, for each instruction set that runs here, by the
compiler at hand; float references are NumPy's of doubles, double ones mpmath's.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from layouts import DTYPES
from needed import program
from reference import mp, mpf

import fastdiv as fd

pytestmark = pytest.mark.promise("P1")
SOURCES = Path(__file__).parents[1] / "src_c"
TARGETS = {"avx2": ["-DFD_TARGET_AVX2"], "avx512": ["-DFD_TARGET_AVX512"]}
COMPILER = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
FLAGS = ["-std=c11", "-O2", "-ffp-contract=off", "-w", "-shared", "-fPIC", f"-I{SOURCES}"]


class Elementary:
    """The functions of one instruction set, of arrays."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library

    def __call__(self, name: str, *arrays: np.ndarray) -> np.ndarray:
        padded = [np.concatenate([x, np.repeat(x[-1:], -x.size % 16)]) for x in arrays]
        result = np.empty(padded[0].size, np.float64 if arrays[0].itemsize == 8 else np.float32)
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*padded, result)]
        getattr(self.library, f"each_{name}")(*pointers, ctypes.c_ssize_t(result.size))
        return result[: arrays[0].size]


@pytest.fixture(scope="module")
def elementary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Elementary]:
    program(COMPILER[0])
    folder = tmp_path_factory.mktemp("elementary")
    found = {}
    for isa in fd.available_isas():
        file = folder / f"{isa}.so"
        source = str(SOURCES / "tools" / "elementary.c")
        command = [COMPILER[0], *FLAGS, *TARGETS.get(isa, []), source, "-o", str(file), "-lm"]
        subprocess.run(command, check=True, timeout=300)
        found[isa] = Elementary(ctypes.CDLL(str(file)))
    return found


def same_everywhere(elementary: dict[str, Elementary], name: str, *x: np.ndarray) -> np.ndarray:
    first, *others = [each(name, *x) for each in elementary.values()]
    word = np.uint64 if first.itemsize == 8 else np.uint32
    for other in others:
        differing = np.flatnonzero(first.view(word) != other.view(word))
        assert differing.size == 0, (name, [array[differing[:5]] for array in x])
    return first


# --- float ----------------------------------------------------------------------------------------


def psi(x: np.ndarray) -> np.ndarray:
    """(eˣ − 1 − x)/x², by its series near 0."""
    series = np.polynomial.Polynomial([1 / math.factorial(k + 2) for k in range(8)])
    near = abs(x) < 0.02
    return np.where(near, series(x), (np.expm1(x) - x) / np.where(near, 1, x) ** 2)


def exact_psi(x: mpf) -> mpf:
    """The same; 50 digits less those that cancel."""
    return (1 + x / 3) / 2 if abs(x) < 1e-16 else (mp.expm1(x) - x) / x**2


class Function(NamedTuple):
    """A float function between two ends, and NumPy's of doubles."""

    least: float
    most: float
    of_doubles: Callable[[np.ndarray], np.ndarray]


# No subnormal is claimed: `split` takes the exponent's bits, and rows with subnormals are scaled
# first, which is P2's (test_divergences.py, test_generalised_subnormal).
NORMAL = float(np.finfo(np.float32).smallest_normal)
LARGEST = float(np.finfo(np.float32).max)
FLOAT = {
    "exp": Function(-np.inf, np.inf, np.exp),
    "exp_normal": Function(-80, 80, np.exp),
    "times_exp": Function(-np.inf, np.inf, np.exp),
    "half_exp": Function(-160, 160, lambda x: np.exp(x / 2)),
    "surprisal": Function(NORMAL, LARGEST / 2, lambda x: -np.log(x)),
    "psi": Function(-1, 1, psi),
}


def float_ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The error in distances of neighbouring floats at the exact result; beyond them, infinity."""
    scale = np.ldexp(1.0, np.maximum(np.frexp(want)[1] - 24, -149))
    beyond = want >= LARGEST + 2.0**103
    with np.errstate(invalid="ignore", over="ignore"):
        error = abs(got - want) / np.where(np.isinf(scale), 1, scale)
    return np.where((got == want) | (np.isinf(got) & beyond), 0.0, error)


def worst_float(elementary: dict[str, Elementary], name: str, x: np.ndarray) -> float:
    """Of those of x that are in the function's range; on every instruction set."""
    function = FLOAT[name]
    with np.errstate(invalid="ignore"):
        x = x[(x >= function.least) & (x <= function.most)]
    if x.size == 0:
        return 0.0
    got = same_everywhere(elementary, f"{name}_float", x)
    with np.errstate(over="ignore", under="ignore"):
        return float(float_ulps(got, function.of_doubles(x.astype(np.float64))).max())


def floats(step: int, piece: int = 2**18) -> Iterator[np.ndarray]:
    """One of each `step` patterns of bits, in pieces."""
    for start in range(0, 2**32, piece * step):
        bits = np.arange(start, min(start + piece * step, 2**32), step, dtype=np.uint64)
        at = np.random.default_rng(start).integers(0, step, bits.size, dtype=np.uint64)
        yield (bits + at).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", FLOAT)
def test_float(elementary, worst, name):
    """Eight million inputs over all patterns of bits."""
    error = max(worst_float(elementary, name, x) for x in floats(512))
    worst(error, f"ulp: {name} of float32, one of 512 inputs", 1)
    assert error <= 1


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", FLOAT)
def test_every_float(elementary, worst, name):
    error = max(worst_float(elementary, name, x) for x in floats(1))
    worst(error, f"ulp: {name} of float32, all 2³² inputs", 1)
    assert error <= 1


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_every_half(elementary, worst, storage):
    """All 65,536 numbers: exactly loaded, and each function of them."""
    bits = np.arange(2**16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):  # signalling NaN
        want = bits.view(DTYPES[storage]).astype(np.float32)
    for isa, each in elementary.items():
        got = each(storage, bits)
        assert (np.isnan(got) == np.isnan(want)).all(), isa
        there = ~np.isnan(want)
        assert (got.view(np.uint32)[there] == want.view(np.uint32)[there]).all(), isa
    for name in FLOAT:
        error = worst_float(elementary, name, want)
        worst(error, f"ulp: {name}, all inputs of {storage}", 1)
        assert error <= 1, name


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_every_half_through_the_package(isa, worst, storage):
    """Softplus: the log-sum-exp of (x, 0) for all 65,536 x, and what is no number."""
    x = np.arange(2**16, dtype=np.uint16).view(DTYPES[storage])
    with np.errstate(invalid="ignore", over="ignore"):
        got = fd.logsumexp(np.stack([x, np.zeros_like(x)], axis=-1))
        wide = x.astype(np.float64)
        want = np.maximum(wide, 0) + np.log1p(np.exp(-abs(wide)))
    impossible = np.isnan(wide) | (wide == np.inf)
    assert np.isnan(got[impossible]).all()
    error = (abs(got - want) / np.where(got == want, 1, want))[~impossible].max()
    worst(error, f"relative error: log-sum-exp of (x, 0), all x of {storage}", 1e-6)
    assert error <= 1e-6


# --- double ---------------------------------------------------------------------------------------

DOUBLE = {
    "exp_double": (mp.exp, -745.0, 709.0),
    "exp_normal_double": (mp.exp, -700.0, 700.0),
    "times_exp_double": (mp.exp, -745.0, 709.0),
    "half_exp_double": (lambda x: mp.exp(x / 2), -1400.0, 1400.0),
    "surprisal_double": (lambda x: -mp.log(x), 2.0**-1000, 2.0**1000),
    "psi_double": (exact_psi, -1.0, 1.0),
    "scalar_exp": (mp.exp, -745.0, 709.0),
    "scalar_log": (mp.log, 5e-324, float(np.finfo(np.float64).max)),
    "scalar_log1p": (mp.log1p, -1.0, float(np.finfo(np.float64).max)),
    "scalar_expm1": (mp.expm1, -750.0, 1.0),
}


def double_inputs(least: float, most: float, count: int) -> np.ndarray:
    """Random ones, and hard ones.

    Those are: beside 0 and 1, where a logarithm has few digits; beside multiples of log 2, its
    halves and its powers, where the argument is reduced; at the ends; and subnormal ones.
    """
    rng = np.random.default_rng(count)
    sign = rng.choice([-1.0, 1.0], count)
    near = np.concatenate([np.ldexp(1.0, -np.arange(1, 54)), -np.ldexp(1.0, -np.arange(1, 54))])
    multiples = np.float64(np.log(2) / 4) * np.arange(-4300, 4300, 17)
    edges = np.ldexp(2.0**0.5, np.arange(-1060, 1024, 7))
    random = [
        rng.uniform(max(least, -800), min(most, 800), count),
        rng.uniform(-1.5, 2, 2 * count),
        sign * np.exp(rng.uniform(-45, 6, count)),
        np.exp(rng.uniform(-690, 690, count)),
    ]
    hard = [near, 1 + near, multiples, edges, np.ldexp(1.5, np.arange(-1060, 1024, 7))]
    hard += [np.nextafter(x, np.inf) for x in hard] + [np.nextafter(x, -np.inf) for x in hard]
    hard += [np.float64([least, most, 5e-324, 2.0**-1022, -5e-324, 1, np.nextafter(1, 0)])]
    x = np.unique(np.concatenate(random + hard))
    return x[(x >= least) & (x <= most) & (x != -1.0)]


def double_ulps(got: float, want: mpf) -> float:
    if want == 0 or abs(want) > np.finfo(np.float64).max:
        return 0.0 if got == float(want) else np.inf
    return float(abs(mpf(got) - want) / mpf(2) ** max(mp.frexp(want)[1] - 53, -1074))


@pytest.mark.parametrize("count", [600, pytest.param(100_000, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", DOUBLE)
def test_double(elementary, worst, name, count):
    function, least, most = DOUBLE[name]
    x = double_inputs(least, most, count)
    got = same_everywhere(elementary, name, x)
    errors = [
        double_ulps(y, function(mpf(t))) for t, y in zip(x.tolist(), got.tolist(), strict=True)
    ]
    at = int(np.argmax(errors))
    worst(errors[at], f"ulp: {name.replace('_double', '')} of float64, random and hard", 1)
    assert errors[at] <= 1, x[at]


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_log1p_of_every_half(elementary, worst, storage):
    """There is no log1p of floats: what needs one needs one a row, and that is this."""
    with np.errstate(invalid="ignore"):
        x = np.arange(2**16, dtype=np.uint16).view(DTYPES[storage]).astype(np.float64)
    x = x[(x > -1) & (x < np.inf)]
    assert x.size > 47_000
    got = same_everywhere(elementary, "scalar_log1p", x).tolist()
    errors = [double_ulps(y, mp.log1p(t)) for t, y in zip(x.tolist(), got, strict=True)]
    worst(max(errors), f"ulp: scalar_log1p, all inputs of {storage}", 1)
    assert max(errors) <= 1


def test_ends(elementary):
    inf = np.inf
    for each in elementary.values():
        for name in ("exp_double", "times_exp_double", "scalar_exp"):
            assert each(name, np.float64([-inf, -800, 0, 800, inf])).tolist() == [0, 0, 1, inf, inf]
        for name in ("exp_float", "times_exp_float"):
            assert each(name, np.float32([-inf, -200, 0, 200, inf])).tolist() == [0, 0, 1, inf, inf]
        assert each("scalar_log", np.float64([0, 1, inf])).tolist() == [-inf, 0, inf]
        assert each("scalar_log1p", np.float64([-1, 0, inf])).tolist() == [-inf, 0, inf]
        assert each("scalar_expm1", np.float64([-inf, -800, 0])).tolist() == [-1, -1, 0]
        for name in ("exp", "log", "log1p", "expm1"):
            assert np.isnan(each(f"scalar_{name}", np.float64([np.nan]))).all()


# --- the polynomials ------------------------------------------------------------------------------

HEADER = (SOURCES / "coefficients.h").read_text()
NUMBER = r"-?0x[0-9a-f.]+p[+-]\d+"
# Of x, u = x² or z, as the comment of each says; not of 0.
STANDS_FOR: dict[str, Callable[[mpf], mpf]] = {
    "PHI": lambda r: ((1 + r) * mp.log1p(r) - r) / r**2,
    "EXP": exact_psi,
    "PSI": exact_psi,
    "EXCESS": lambda r: ((1 + r) * mp.log1p(r) - r) / r**2,
    "HALF_EXP": lambda x: (mp.exp(x / 2) - 1 - x / 2) / x**2,
    "NEAR_SINH": lambda u: 2 * mp.sinh(mp.sqrt(u) / 2) / mp.sqrt(u),
    "NEAR_ODD": lambda u: (
        (mp.sqrt(u) * mp.cosh(mp.sqrt(u) / 2) - 2 * mp.sinh(mp.sqrt(u) / 2)) / mp.sqrt(u) ** 3
    ),
    "NEAR_JS": lambda u: (
        (
            mp.sqrt(u) * mp.sinh(mp.sqrt(u) / 2)
            - 2 * mp.cosh(mp.sqrt(u) / 2) * mp.log(mp.cosh(mp.sqrt(u) / 2))
        )
        / u
    ),
    "NEAR_HELLINGER": lambda u: (2 * mp.sinh(mp.sqrt(u) / 4)) ** 2 / u,
    "NEAR_KL": lambda x: (mp.exp(-x) - 1 + x) / x**2,
    "FAR_JS": lambda z: (1 + z) * mp.log(2 / (1 + z)),
}


class Polynomial(NamedTuple):
    """One of coefficients.h, with what its comment says."""

    name: str
    low: float
    high: float
    error: float  # relative, as a power of 2
    coefficients: list[mpf]

    def __str__(self) -> str:
        return self.name


POLYNOMIALS = [
    Polynomial(name, *map(float, said), [mpf(float.fromhex(c)) for c in re.findall(NUMBER, body)])
    for *said, name, body in re.findall(
        r"on \[(\S+), (\S+)\]: degree \d+, relative error 2\^(\S+) \*/\n"
        r"static const \w+ (\w+)\[\d+\] = \{(.*)\};",
        HEADER,
    )
]
# The comment's exponent has four digits, and its domain's ends too.
ROUNDED = 0.02


def value(coefficients: list[mpf], x: mpf) -> mpf:
    return mp.fdot((c, x**i) for i, c in enumerate(coefficients))


@pytest.mark.parametrize("polynomial", POLYNOMIALS, ids=str)
def test_polynomial(worst, polynomial):
    """Exactly evaluated, it is as near to its function as the header says, and no nearer."""
    name, low, high, error, coefficients = polynomial
    function = STANDS_FOR[name.rpartition("_")[0]]
    middle, half = mpf(low + high) / 2, mpf(high - low) / 2
    points = [middle - half * mp.cos(mp.pi * (i + 0.5) / 700) for i in range(700)]
    found = max(abs(value(coefficients, x) / function(x) - 1) for x in points)
    found = float(found * mpf(2) ** -error)
    worst(found, "of the error that coefficients.h says, every polynomial", 2**ROUNDED)
    assert 0.9 <= found <= 2**ROUNDED


def test_every_polynomial_is_tested():
    tables = re.findall(r"const \w+ (\w+)\[", HEADER)
    assert tables == [*(p.name for p in POLYNOMIALS), "JS_float"]
    assert {p.name.rpartition("_")[0] for p in POLYNOMIALS} == set(STANDS_FOR)


def jensen_shannon(z: mpf) -> mpf:
    """Of weights whose difference is t times their sum, z = (1 − t²)/4."""
    t = mp.sqrt(1 - 4 * z)
    if t < 1e-9:
        return (1 + t**2 / 6) / 4
    less = 4 * z / (1 + t)
    return ((1 + t) * mp.log(1 + t) + (less * mp.log(less) if less else 0)) / (4 * t**2)


def test_polynomials_by_octave(worst):
    """Of floats from 0 to 1/4, each with the column that its bits choose."""
    shift, carry = (
        float.fromhex(re.search(rf"JS_{name} ({NUMBER})", HEADER)[1]) for name in ("SHIFT", "CARRY")
    )
    error = float(re.search(r"degree 6, relative error 2\^(\S+)\.  A column", HEADER)[1])
    body = HEADER.partition("JS_float[7][16]")[2]
    rows = [[mpf(float.fromhex(c)) for c in re.findall(NUMBER, line)] for line in body.splitlines()]
    table = [row for row in rows if row]
    assert [len(row) for row in table] == [16] * 7
    octaves = np.exp2(-np.arange(2.0, 19))[:, None] * np.linspace(0.5, 1, 160)
    moved = np.unique(np.float32(octaves.ravel()))
    moved = np.append(moved[(moved >= shift) & (moved <= 0.25)], np.float32([shift, 0.25 + shift]))
    exponents = (moved.view(np.int32) + int(carry * 2**23)) >> 23
    assert set(exponents - 127) == set(range(-17, -1))
    found = 0.0
    for x, exponent in zip(moved.tolist(), exponents.tolist(), strict=True):
        column = [row[exponent % 16] for row in table]
        got = value(column, mpf(x) - mpf(2) ** (exponent - 127))
        found = max(found, float(abs(got / jensen_shannon(mpf(x) - mpf(shift)) - 1)))
    worst(found / 2**error, "of the error that coefficients.h says, JS by octave", 2**ROUNDED)
    assert 0.9 <= found / 2**error <= 2**ROUNDED


def test_coefficients_are_made_again():
    """By the program that the header names: byte for byte."""
    tool = SOURCES / "tools" / "coefficients.py"
    done = subprocess.run([sys.executable, str(tool)], capture_output=True, text=True, check=True)
    assert done.stdout == HEADER
