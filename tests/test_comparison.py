"""The fused comparison on rows of every kind, against plain formulas in long double."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fastdiv as fd

SIZES = (1, 2, 15, 17, 255, 256, 257, 300, 513, 2047, 2049, 5003)
SPREADS = (1e-6, 1e-3, 0.1, 0.5, 2.0, 5.0, 20.0)
KINDS = (
    "plain",
    "base rises in steps",
    "base far from 0",
    "candidate far from 0",
    "both masked",
    "candidate masked",
    "one token dominates",
    "far apart in steps",
    "begins low",
    "one begins low",
    "both begin low, unlike",
)
CONSTANTS = (-1e4, 1e4, 600, -600, 511, 513, 7e7, -1e8, 1e17)
MASKS = (30, 100, 1e4, 1e6, 3e7, 1e9, 1e13, 1e30)


def pairs(kind: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(KINDS.index(kind))
    for size in SIZES:
        for spread in SPREADS:
            a = rng.normal(0, rng.choice([0.1, 1, 3, 10, 30]), size)
            steps = np.repeat(rng.normal(0, rng.choice([5, 30, 80]), size // 256 + 1), 256)[:size]
            if kind == "base rises in steps":
                a = a + steps
            b = a + rng.normal(0, spread, size)
            hidden = rng.random(size) < (0.3 if kind == "both masked" else 0.01)
            hidden[rng.integers(size)] = False
            match kind:
                case "base far from 0":
                    a += rng.choice(CONSTANTS)
                case "candidate far from 0":
                    b += rng.choice(CONSTANTS)
                case "both masked":
                    a[hidden] = b[hidden] = -np.inf
                case "candidate masked":
                    b[hidden] = -np.inf
                case "one token dominates":
                    a[rng.integers(size)] += rng.choice([20, 50, 100, 200])
                    b[rng.integers(size)] += rng.choice([20, 50, 100])
                case "far apart in steps":
                    b += steps
                case "begins low":
                    a[:300] -= rng.choice([30, 100, 1e4])
                    b[:300] -= rng.choice([30, 100, 1e4])
                case "one begins low":
                    a[:256] = -rng.choice(MASKS)
                case "both begin low, unlike":
                    a[:300], b[:300] = -rng.choice(MASKS, 2)
            yield a, b


def plain(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Each field as its definition says, and series where that would cancel."""
    with np.errstate(all="ignore"):
        log_p, log_q = (x.astype(np.longdouble) - np.longdouble(x.max()) for x in (a, b))
        log_p, log_q = (x - np.log(np.exp(x).sum()) for x in (log_p, log_q))
        p, q, x = np.exp(log_p), np.exp(log_q), log_p - log_q
        kl = np.where(p > 0, p * (x + np.expm1(-x)), q)
        reverse_kl = np.where(q > 0, q * (np.expm1(x) - x), p)
        kl = np.where(a == -np.inf, q, np.where(b == -np.inf, np.inf, kl))
        reverse_kl = np.where(b == -np.inf, p, np.where(a == -np.inf, np.inf, reverse_kl))
        kl[(a == -np.inf) & (b == -np.inf)] = reverse_kl[(a == -np.inf) & (b == -np.inf)] = 0
        mean, root = (p + q) / 2, np.sqrt(p * q)
        js = np.where(p > 0, p * np.log(p / mean), 0) + np.where(q > 0, q * np.log(q / mean), 0)
        js = np.where(np.abs(x) < 1e-2, root * x**2 / 8 * (1 + x**4 / 1152), js / 2)
        d = np.where(np.abs(x) < 0.5, -p * np.expm1(-x), p - q)
        away = root * (2 * np.sinh(np.clip(x, -40, 40) / 4)) ** 2
        away = np.where(np.abs(x) < 30, away, p + q - 2 * root)
        return {
            "kl": float(kl.sum()),
            "reverse_kl": float(reverse_kl.sum()),
            "js": float(js.sum()),
            "tv": float(np.abs(d).sum() / 2),
            "hellinger": float(np.sqrt(away.sum() / 2)),
            "entropy_base": float(-np.where(p > 0, p * log_p, 0).sum()),
            "entropy_candidate": float(-np.where(q > 0, q * log_q, 0).sum()),
        }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("type_", ["float16", "float32", "float64"])
def test_rows_of_every_kind(each_isa, kind, type_):
    relative, rounding = (1e-11, 2e-15) if type_ == "float64" else (1e-6, 1e-6)
    wrong = []
    for size, (a, b) in enumerate(pairs(kind)):
        with np.errstate(over="ignore"):
            a, b = a.astype(type_), b.astype(type_)
        if not (abs(a.max()) < np.inf and abs(b.max()) < np.inf):
            continue  # a constant that float16 has not
        wanted = plain(a, b)
        for isa in each_isa():
            found = fd.compare_logits(a, b, fields=list(wanted))
            for field, want in wanted.items():
                got = float(getattr(found, field))
                if np.isinf(want):
                    allowed = 0.0 if got == want else -1.0
                    difference = 0.0
                else:
                    difference = abs(got - want)
                    # The first order of x cancels in all but these, whose digits end where x's do.
                    first_order = field in ("tv", "hellinger")
                    allowed = relative * want + (rounding if first_order else relative * 1e-12)
                    if field.startswith("entropy"):  # the oracle's own rounding
                        allowed += 1e-18
                if not difference <= allowed:
                    wrong.append((isa, size, field, got, want))
    assert wrong == []
