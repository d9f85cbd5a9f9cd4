"""One generator of awkward arrays for every test: the values of rows, and how they lie in memory.

A `Case` is a hashable recipe for two rows, so that its 50-digit reference is computed once and
serves every instruction set.  `LAYOUTS` puts a two-dimensional array in memory in every way that
NumPy allows.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

DTYPES: dict[str, np.dtype] = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}
# Around every boundary of 4 to 16 lanes, of 256-element and of 2048-element blocks.
SHORT = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257, 511, 513)
LONG = (2047, 2048, 2049, 4097)
PERTURBATIONS = tuple(10.0**-k for k in range(14))
ROW_SUMS = (0.1, 1.0, 37.0, 1e6)


class Case(NamedTuple):
    """A pair of rows: `kind` is a key of PROBABILITIES or LOGITS, `size` what that kind varies."""

    dtype: str
    kind: str
    n: int
    size: float = 0.0


def machine_epsilon(dtype: str) -> float:
    return float(ml_dtypes.finfo(DTYPES[dtype]).eps)


def perturbations(dtype: str) -> tuple[float, ...]:
    return tuple(e for e in PERTURBATIONS if e >= machine_epsilon(dtype))


# --- values: probabilities ------------------------------------------------------------------------

Maker = Callable[[np.random.Generator, Case], tuple[np.ndarray, np.ndarray]]


def _random(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    return rng.gamma(0.5, size=case.n) + 1e-3, rng.gamma(0.5, size=case.n) + 1e-3


def _near(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    # q must be near the p that the kernel sees, which is the rounded one.
    p = (rng.random(case.n) + 0.01).astype(DTYPES[case.dtype]).astype(np.float64)
    return p, np.abs(p * (1 + case.size * rng.standard_normal(case.n)))


def _one_ulp(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    p = (rng.random(case.n) + 0.5).astype(DTYPES[case.dtype]).astype(np.float64)
    q = p.copy()
    q[case.n // 2] *= 1 + 2 * machine_epsilon(case.dtype)
    return p, q


def _other_sums(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    p, q = _near(rng, case._replace(size=float(np.sqrt(machine_epsilon(case.dtype)))))
    other = ROW_SUMS[(ROW_SUMS.index(case.size) + 1 + case.n) % len(ROW_SUMS)]
    return p / p.sum() * case.size, q / q.sum() * other


def _sparse(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    p, q = rng.random((2, case.n)) + 0.01
    p[rng.random(case.n) < 0.5] = 0
    q[(rng.random(case.n) < 0.5) & (p == 0)] = 0
    p[0], q[0] = 0.25, 0.5
    return p, q


def _disjoint(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    p, q = rng.random((2, case.n)) + 0.01
    p[1::2] = 0
    q[0::3] = 0
    q[-1] = 1
    return p, q


def _ratios(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    info = ml_dtypes.finfo(DTYPES[case.dtype])
    lowest = info.minexp - info.nmant
    p, q = np.ldexp(1 + rng.random((2, case.n)), rng.integers(lowest, 0, (2, case.n)))
    p[0], q[0] = 0.5, float(info.smallest_subnormal)
    return p, q


def _subnormal(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    step = float(ml_dtypes.finfo(DTYPES[case.dtype]).smallest_subnormal)
    p, q = rng.integers(1, 100, (2, case.n)) * step
    return p, q


def _counts(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    top = 60_000 if case.dtype == "float16" else 1_000_000
    p, q = rng.integers(0, top, (2, case.n)) * (rng.random((2, case.n)) < 0.8)
    p, q = p.astype(np.float64), q + 1.0
    p[0] += 1
    return p, q


def _peaked(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    p, q = rng.random((2, case.n)) * 1e-5 + 1e-6
    p[case.n // 2] = q[case.n // 2] = 1
    return p, q


def _repeated(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Some large numbers, then one small one again and again: additions all round the same way."""
    large = int(case.size)
    counts = [large, case.n - large]
    scale = rng.choice([2.0**-20, 2.0**-10, 1.0])
    p, q = (1 + rng.random((2, 2))) * [1, scale]
    if rng.random() < 0.5:
        p[0] = q[1] * rng.random()
    return np.repeat(p, counts), np.repeat(q, counts)


PROBABILITIES: dict[str, Maker] = {
    "repeated": _repeated,
    "random": _random,
    "near": _near,
    "one_ulp": _one_ulp,
    "other_sums": _other_sums,
    "sparse": _sparse,
    "disjoint": _disjoint,
    "ratios": _ratios,
    "counts": _counts,
    "peaked": _peaked,
    "subnormal": _subnormal,
}

# --- values: logits -------------------------------------------------------------------------------


def _logits(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a, b = rng.normal(0, 4, (2, case.n))
    return a, b


def _logits_near(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a = rng.normal(0, 4, case.n).astype(DTYPES[case.dtype]).astype(np.float64)
    return a, a + case.size * rng.standard_normal(case.n)


def _logits_shifted(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a, b = _logits_near(rng, case._replace(size=0.1))
    return a + case.size, b - case.size / 2


def _logits_masked(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a, b = _logits_near(rng, case._replace(size=0.1))
    hidden = rng.random(case.n) < 0.4
    hidden[case.n // 2] = False
    a[hidden] = b[hidden] = -np.inf
    a[case.n // 2 + 1 :: 5] = -np.inf
    return a, b


def _logits_soft_masked(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a, b = _logits_near(rng, case._replace(size=0.1))
    lowest = -6e4 if case.dtype == "float16" else -1e9
    a[1::3] = b[1::3] = lowest
    b[2::5] = lowest
    return a, b


def _logits_far(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a, b = _logits(rng, case)
    a[0], b[0] = 12, -200
    b[case.n // 3] = -1e4
    return a, b


def _logits_peaked(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    a, b = rng.normal(-46, 1, (2, case.n)) - np.log(case.n)
    a[case.n // 2], b[case.n // 2] = 0.5, 0.25
    return a, b


def _logits_repeated(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, np.ndarray]:
    large = int(case.size)
    counts = [large, case.n - large]
    a, b = rng.uniform(-18, 0, (2, 2)) * [0, 1] + rng.normal(0, 1, (2, 2)) + rng.normal(0, 9)
    return np.repeat(a, counts), np.repeat(b, counts)


LOGITS: dict[str, Maker] = {
    "logits_repeated": _logits_repeated,
    "logits": _logits,
    "logits_near": _logits_near,
    "logits_shifted": _logits_shifted,
    "logits_masked": _logits_masked,
    "logits_soft_masked": _logits_soft_masked,
    "logits_far": _logits_far,
    "logits_peaked": _logits_peaked,
}


@cache
def rows(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The two rows of a case, read-only, in the case's dtype."""
    maker = (PROBABILITIES | LOGITS)[case.kind]
    pair = maker(np.random.default_rng(zlib.crc32(repr(case).encode())), case)
    p, q = (x.astype(DTYPES[case.dtype]) for x in pair)
    p.flags.writeable = q.flags.writeable = False
    return p, q


def _cycled(dtype: str, near: str) -> Iterator[Case]:
    """Every length, each with another perturbation, and every perturbation at two lengths."""
    sizes = perturbations(dtype)
    for i, n in enumerate(SHORT + LONG):
        yield Case(dtype, near, n, sizes[i % len(sizes)])
    for size in sizes:
        yield Case(dtype, near, 33, size)
        yield Case(dtype, near, 300, size)


def _repeated_cases(dtype: str, kind: str) -> list[Case]:
    lengths = (248, 256, 300, 511) if dtype in ("float32", "float64") else (256,)
    return [Case(dtype, kind, n, large) for n in lengths for large in (1, 2, 8, 16, 31, 200)]


def probability_cases(dtype: str) -> list[Case]:
    cases = [Case(dtype, "random", n) for n in SHORT + LONG]
    cases += _cycled(dtype, "near")
    cases += [Case(dtype, "one_ulp", n) for n in (2, 33, 511)]
    cases += [Case(dtype, "other_sums", n, s) for s in ROW_SUMS for n in (33, 34, 35, 300)]
    for kind in ("sparse", "disjoint", "ratios", "counts", "peaked"):
        cases += [Case(dtype, kind, n) for n in (2, 17, 33, 257)]
    cases += _repeated_cases(dtype, "repeated")
    return list(dict.fromkeys(cases))


def logit_cases(dtype: str) -> list[Case]:
    cases = [Case(dtype, "logits", n) for n in SHORT + LONG]
    cases += _cycled(dtype, "logits_near")
    cases += [Case(dtype, "logits_shifted", n, s) for s in (1.0, 100.0, 1e4) for n in (33, 300)]
    for kind in ("logits_masked", "logits_soft_masked", "logits_far", "logits_peaked"):
        cases += [Case(dtype, kind, n) for n in (2, 17, 33, 257)]
    cases += _repeated_cases(dtype, "logits_repeated")
    return list(dict.fromkeys(cases))


# --- memory ---------------------------------------------------------------------------------------

Layout = Callable[[np.ndarray, Path], tuple[np.ndarray, int]]


def _misaligned(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    raw = bytearray(1) + x.tobytes()
    return np.frombuffer(raw, x.dtype, x.size, offset=1).reshape(x.shape), -1


def _byteswapped(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    if x.dtype == DTYPES["bfloat16"]:  # an extension type has no byte order: its raw bits have
        x = x.view(np.uint16)
    return x.astype(x.dtype.newbyteorder(">")), -1


def _read_only(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    x = x.copy()
    x.flags.writeable = False
    return x, -1


def _memmap(x: np.ndarray, folder: Path) -> tuple[np.ndarray, int]:
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        x.tofile(file)
    return np.memmap(file.name, x.dtype, "r", shape=x.shape), -1


def _every_second(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    return np.repeat(x, 2, axis=-1)[:, ::2], -1


def _reversed(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    return x[::-1, ::-1].copy()[::-1, ::-1], -1


def _padded(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    return np.pad(x, ((0, 0), (3, 10)), constant_values=7)[:, 3:-10], -1


def _sliced(x: np.ndarray, _: Path) -> tuple[np.ndarray, int]:
    return np.stack([x / 4, x, x / 8], axis=1)[:, 1, :], -1


LAYOUTS: dict[str, Layout] = {
    "contiguous": lambda x, _: (np.ascontiguousarray(x), -1),
    "fortran": lambda x, _: (np.asfortranarray(x), -1),
    "columns": lambda x, _: (np.ascontiguousarray(x.T), 0),
    "every_second": _every_second,
    "reversed": _reversed,
    "repeated_row": lambda x, _: (np.broadcast_to(x[0], x.shape), -1),
    "repeated_element": lambda x, _: (np.broadcast_to(x[:, :1], x.shape), -1),
    "misaligned": _misaligned,
    "byteswapped": _byteswapped,
    "read_only": _read_only,
    "memmap": _memmap,
    "sliced": _sliced,
    "padded": _padded,
}
