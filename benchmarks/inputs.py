"""The arrays that every benchmark is given, by name."""

from __future__ import annotations

import ml_dtypes
import numpy as np

VOCABULARY = 32_768


def make(name: str, count: int, width: int = VOCABULARY, many: int = 500) -> tuple[np.ndarray, ...]:
    """Make the arrays of one name.

    Pairs of `weights`, `logits`, `log_p` and `small` (100-vectors) in float32, `weights float64`,
    the pair of logits as `float16` and `bfloat16`, the one array of `labels`, `nll` with the ids of
    its sequences of 200, a pair of `sparse` matrices of float64 with 200 numbers in a row, and
    pairs of `many` and `many float32` rows for all pairs.
    """
    rng = np.random.default_rng(20)
    if name == "small":
        p, q = (rng.random((2, 100)) + 0.01).astype(np.float32)
        return p / p.sum(), q / q.sum()
    if name == "sparse":
        from scipy.sparse import csr_array

        made = []
        for _ in "pq":
            # Frequent words are in both.
            x = np.zeros((count, width))
            columns = (width * rng.random((count, 200)) ** 4).astype(int)
            np.put_along_axis(x, columns, rng.random(columns.shape) + 0.01, -1)
            made.append(csr_array(x / x.sum(-1, keepdims=True)))
        return tuple(made)
    if name.startswith("many"):
        rows = rng.random((2, many, 1000))
        rows = (rows / rows.sum(-1, keepdims=True)).astype(name.partition(" ")[2] or "float64")
        return tuple(rows)
    if name == "labels":
        return (rng.integers(0, width, count),)
    if name == "nll":
        nll = rng.exponential(2.0, 20 * count)
        return nll, np.arange(nll.size) // 200
    if name == "logits":
        a = 3 * rng.standard_normal((count, width), np.float32)
        return a, a + np.float32(0.3) * rng.standard_normal(a.shape, np.float32)
    logits = make("logits", count, width)
    if name in ("float16", "bfloat16"):
        kind = ml_dtypes.bfloat16 if name == "bfloat16" else np.float16
        return tuple(x.astype(kind) for x in logits)
    if name == "weights float64":
        logits = tuple(x.astype(np.float64) for x in logits)
    weights = [np.exp(x, out=x) for x in logits]
    for x in weights:
        x /= x.sum(-1, keepdims=True)
    return tuple(np.log(x) for x in weights) if name == "log_p" else tuple(weights)
