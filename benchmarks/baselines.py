"""What people write today: for each name the NumPy line, SciPy's and torch's where they have one.

Every line takes the arguments of fastdiv's function and returns one number per row.  A key's first
word is the library, and says whose arrays the line is given (`given`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

Line = Callable[..., Any]
Lines = dict[str, Line]


def _numpy_log_softmax(x: Any) -> Any:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _numpy_js(p: Any, q: Any) -> Any:
    m = (p + q) / 2
    return (p * np.log(p / m) + q * np.log(q / m)).sum(-1) / 2


def _numpy_weighted_js(p: Any, q: Any, w: float) -> Any:
    m = w * p + (1 - w) * q
    return (w * p * np.log(p / m) + (1 - w) * q * np.log(q / m)).sum(-1)


def _power_sum(p: Any, q: Any, alpha: float) -> Any:
    return (p**alpha * q ** (1 - alpha)).sum(-1)


def _numpy_compare(a: Any, b: Any, labels: Any) -> tuple[Any, ...]:
    la, lb = _numpy_log_softmax(a), _numpy_log_softmax(b)
    p, q = np.exp(la), np.exp(lb)
    nll_a, nll_b = (-np.take_along_axis(x, labels[:, None], -1)[:, 0] for x in (la, lb))
    return (
        (p * (la - lb)).sum(-1),
        (q * (lb - la)).sum(-1),
        _numpy_js(p, q),
        np.abs(p - q).sum(-1) / 2,
        np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(-1) / 2),
        nll_a,
        nll_b,
        np.exp(-nll_b) - np.exp(-nll_a),
        a.argmax(-1) == b.argmax(-1),
    )


def _numpy_nll(a: Any, labels: Any) -> Any:
    return -np.take_along_axis(_numpy_log_softmax(a), labels[:, None], -1)[:, 0]


def _numpy_stats(a: Any, labels: Any) -> tuple[Any, ...]:
    log_p = _numpy_log_softmax(a)
    p, chosen = np.exp(log_p), np.take_along_axis(log_p, labels[:, None], -1)
    rank = 1 + (log_p > chosen).sum(-1)
    return -chosen[:, 0], -(p * log_p).sum(-1), a.argmax(-1), p.max(-1), rank


def _numpy_logsumexp(a: Any) -> Any:
    top = a.max(-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(a - top).sum(-1))


def _numpy_truncated_kl(log_p: Any, b: Any) -> Any:
    return np.where(log_p > -16, np.exp(log_p) * (log_p - _numpy_log_softmax(b)), 0).sum(-1)


WEIGHTS: dict[str, Lines] = {
    "entropy": {"numpy": lambda p: -(p * np.log(p)).sum(-1)},
    "cross_entropy": {"numpy": lambda p, q: -(p * np.log(q)).sum(-1)},
    "kl_divergence": {"numpy": lambda p, q: (p * np.log(p / q)).sum(-1)},
    "reverse_kl_divergence": {"numpy": lambda p, q: (q * np.log(q / p)).sum(-1)},
    "js_divergence": {"numpy": _numpy_js},
    "js_distance": {"numpy": lambda p, q: np.sqrt(_numpy_js(p, q))},
    "total_variation": {"numpy": lambda p, q: np.abs(p - q).sum(-1) / 2},
    "squared_hellinger": {"numpy": lambda p, q: ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(-1) / 2},
    "hellinger_distance": {
        "numpy": lambda p, q: np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(-1) / 2)
    },
    "chi2_divergence": {"numpy": lambda p, q: ((p - q) ** 2 / q).sum(-1)},
    "neyman_divergence": {"numpy": lambda p, q: ((p - q) ** 2 / p).sum(-1)},
    "jeffreys_divergence": {"numpy": lambda p, q: ((p - q) * np.log(p / q)).sum(-1)},
    "bhattacharyya_distance": {"numpy": lambda p, q: -np.log(np.sqrt(p * q).sum(-1))},
    "triangular_discrimination": {"numpy": lambda p, q: ((p - q) ** 2 / (p + q)).sum(-1)},
    "weighted_js_divergence(0.2)": {"numpy": lambda p, q: _numpy_weighted_js(p, q, 0.2)},
    "alpha_divergence(-0.5)": {"numpy": lambda p, q: (_power_sum(p, q, -0.5) - 1) / 0.75},
    "alpha_divergence(1.5)": {"numpy": lambda p, q: (_power_sum(p, q, 1.5) - 1) / 0.75},
    "renyi_divergence(0.3)": {"numpy": lambda p, q: np.log(_power_sum(p, q, 0.3)) / -0.7},
    "renyi_divergence(3.0)": {"numpy": lambda p, q: np.log(_power_sum(p, q, 3.0)) / 2},
    "renyi_entropy(0.5)": {"numpy": lambda p: np.log((p**0.5).sum(-1)) / 0.5},
    "tsallis_entropy(2.0)": {"numpy": lambda p: 1 - (p**2).sum(-1)},
}


def _after_softmax(line: Line) -> Line:
    return lambda *logits: line(*(np.exp(_numpy_log_softmax(x)) for x in logits))


def _numpy_logits_kl(a: Any, b: Any) -> Any:
    la, lb = _numpy_log_softmax(a), _numpy_log_softmax(b)
    return (np.exp(la) * (la - lb)).sum(-1)


LOGITS: dict[str, Lines] = {
    name: {"numpy": _after_softmax(lines["numpy"])} for name, lines in WEIGHTS.items()
}
LOGITS["kl_divergence"] = {"numpy": _numpy_logits_kl}
LOGITS["reverse_kl_divergence"] = {"numpy": lambda a, b: _numpy_logits_kl(b, a)}

TOKENS: dict[str, Lines] = {
    "token_nll": {"numpy": _numpy_nll},
    "perplexity": {"numpy": lambda a, labels: np.exp(_numpy_nll(a, labels).mean())},
    "logsumexp": {"numpy": _numpy_logsumexp},
    "truncated_kl": {"numpy": _numpy_truncated_kl},
    "token_stats": {"numpy": _numpy_stats},
    "compare_logits": {"numpy": _numpy_compare},
}


def _resampled(units: list[Any], statistic: Line, resamples: int) -> list[float]:
    """lm-evaluation-harness's bootstrap: one list of choices per resample, in plain Python."""
    choose = random.Random(0).choices
    return [statistic(choose(units, k=len(units))) for _ in range(resamples)]


def _python_perplexity(units: list[float]) -> float:
    return math.exp(sum(units) / len(units))


def _python_weighted_perplexity(units: list[tuple[float, int]]) -> float:
    sums, sizes = zip(*units, strict=True)
    return math.exp(sum(sums) / sum(sizes))


def _of_sequences(nll: Any, ids: Any, resamples: int) -> list[float]:
    cuts = np.flatnonzero(np.diff(ids)) + 1
    units = [(sum(part.tolist()), part.size) for part in np.split(nll, cuts)]
    return _resampled(units, _python_weighted_perplexity, resamples)


# Of the perplexity: what is drawn are tokens, or the sequences that they make.
BOOTSTRAP: dict[str, Lines] = {
    "tokens": {
        "python": lambda nll, ids, resamples: _resampled(
            nll.tolist(), _python_perplexity, resamples
        ),
    },
    "sequences": {
        "python of tokens": lambda nll, ids, resamples: _resampled(
            nll.tolist(), _python_perplexity, resamples
        ),
        "python": _of_sequences,
    },
}

# All rows of x against all rows of y, or of x; NumPy row by row, for its temporaries would be 2 GB.
PAIRWISE: dict[str, Lines] = {
    name: {"numpy": lambda x, y=None, row=row: np.stack([row(p, x if y is None else y) for p in x])}
    for name, row in (
        ("js_distance", lambda p, q: np.sqrt(np.maximum(_numpy_js(p, q), 0))),
        ("kl_divergence", WEIGHTS["kl_divergence"]["numpy"]),
    )
}


def _dense_rows(line: Line) -> Line:
    return lambda p, q: line(p.toarray(), q.toarray())


def _numpy_js_with_zeros(p: Any, q: Any) -> Any:
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.nan_to_num(p * np.log(p / m)) + np.nan_to_num(q * np.log(q / m))).sum(-1) / 2


SPARSE: dict[str, Lines] = {
    "js_divergence": {"numpy, dense rows": _dense_rows(_numpy_js_with_zeros)},
    "total_variation": {
        "numpy, dense rows": _dense_rows(WEIGHTS["total_variation"]["numpy"]),
        "scipy sparse": lambda p, q: abs(p - q).sum(-1) / 2,
    },
    "hellinger_distance": {
        "numpy, dense rows": _dense_rows(WEIGHTS["hellinger_distance"]["numpy"]),
        "scipy sparse, affinity": lambda p, q: np.sqrt(1 - p.sqrt().multiply(q.sqrt()).sum(-1)),
    },
}


def _add_scipy() -> None:
    from scipy import special, stats
    from scipy.spatial.distance import cdist, jensenshannon

    WEIGHTS["entropy"]["scipy entr"] = lambda p: special.entr(p).sum(-1)
    WEIGHTS["entropy"]["scipy stats.entropy"] = lambda p: stats.entropy(p, axis=-1)
    WEIGHTS["cross_entropy"]["scipy xlogy"] = lambda p, q: -special.xlogy(p, q).sum(-1)
    WEIGHTS["kl_divergence"]["scipy rel_entr"] = lambda p, q: special.rel_entr(p, q).sum(-1)
    WEIGHTS["kl_divergence"]["scipy stats.entropy"] = lambda p, q: stats.entropy(p, q, axis=-1)
    WEIGHTS["reverse_kl_divergence"]["scipy rel_entr"] = lambda p, q: special.rel_entr(q, p).sum(-1)
    WEIGHTS["js_divergence"]["scipy jensenshannon²"] = lambda p, q: (
        jensenshannon(p, q, axis=-1) ** 2
    )
    WEIGHTS["js_distance"]["scipy jensenshannon"] = lambda p, q: jensenshannon(p, q, axis=-1)
    SPARSE["js_divergence"]["scipy jensenshannon², dense rows"] = _dense_rows(
        WEIGHTS["js_divergence"]["scipy jensenshannon²"]
    )
    PAIRWISE["js_distance"]["scipy cdist"] = lambda x, y=None: cdist(
        x, x if y is None else y, "jensenshannon"
    )
    TOKENS["logsumexp"]["scipy"] = lambda a: special.logsumexp(a, axis=-1)
    TOKENS["token_nll"]["scipy"] = lambda a, labels: (
        special.logsumexp(a, axis=-1) - np.take_along_axis(a, labels[:, None], -1)[:, 0]
    )


def _add_torch() -> None:
    import torch
    from torch.nn import functional

    def kl(p: Any, q: Any) -> Any:
        return functional.kl_div(q.log(), p, reduction="none").sum(-1)

    def logits_kl(a: Any, b: Any) -> Any:
        la, lb = a.log_softmax(-1), b.log_softmax(-1)
        return functional.kl_div(lb, la, reduction="none", log_target=True).sum(-1)

    def compare(a: Any, b: Any, labels: Any) -> tuple[Any, ...]:
        la, lb = a.log_softmax(-1), b.log_softmax(-1)
        p, q = la.exp(), lb.exp()
        log_m = ((p + q) / 2).log()
        nll_a, nll_b = (-x.gather(-1, labels[:, None])[:, 0] for x in (la, lb))
        return (
            (p * (la - lb)).sum(-1),
            (q * (lb - la)).sum(-1),
            (p * (la - log_m) + q * (lb - log_m)).sum(-1) / 2,
            (p - q).abs().sum(-1) / 2,
            ((p.sqrt() - q.sqrt()).square().sum(-1) / 2).sqrt(),
            nll_a,
            nll_b,
            (-nll_b).exp() - (-nll_a).exp(),
            a.argmax(-1) == b.argmax(-1),
        )

    def stats(a: Any, labels: Any) -> tuple[Any, ...]:
        log_p = a.log_softmax(-1)
        p, chosen = log_p.exp(), log_p.gather(-1, labels[:, None])
        rank = 1 + (log_p > chosen).sum(-1)
        return -chosen[:, 0], -(p * log_p).sum(-1), a.argmax(-1), p.amax(-1), rank

    WEIGHTS["entropy"]["torch entr"] = lambda p: torch.special.entr(p).sum(-1)
    WEIGHTS["kl_divergence"]["torch kl_div"] = kl
    WEIGHTS["reverse_kl_divergence"]["torch kl_div"] = lambda p, q: kl(q, p)
    LOGITS["kl_divergence"]["torch kl_div"] = logits_kl
    LOGITS["reverse_kl_divergence"]["torch kl_div"] = lambda a, b: logits_kl(b, a)
    LOGITS["cross_entropy"]["torch cross_entropy"] = lambda a, b: functional.cross_entropy(
        b, a.softmax(-1), reduction="none"
    )
    TOKENS["token_nll"]["torch cross_entropy"] = lambda a, labels: functional.cross_entropy(
        a, labels, reduction="none"
    )
    TOKENS["perplexity"]["torch cross_entropy"] = lambda a, labels: functional.cross_entropy(
        a, labels
    ).exp()
    TOKENS["logsumexp"]["torch"] = lambda a: a.logsumexp(-1)
    TOKENS["token_stats"]["torch"] = stats
    TOKENS["compare_logits"]["torch"] = compare
    TOKENS["compare_logits"]["torch kl alone"] = lambda a, b, _: (logits_kl(a, b),)


def _add_fastjsd() -> None:
    from fastjsd import jsd_matrix

    PAIRWISE["js_distance"]["fastjsd"] = partial(jsd_matrix, base=np.e, threads=1)


def _add_numkong() -> None:
    from numkong import cdist, jensenshannon, kullbackleibler

    for name, metric in (("js_distance", "jensenshannon"), ("kl_divergence", "kullbackleibler")):
        PAIRWISE[name]["numkong"] = lambda x, y=None, metric=metric: np.asarray(
            cdist(x, x if y is None else y, metric=metric)
        )
    WEIGHTS["kl_divergence"]["numkong"] = kullbackleibler
    WEIGHTS["js_divergence"]["numkong"] = lambda p, q: np.square(jensenshannon(p, q))


def _add_simsimd() -> None:
    from simsimd import jensenshannon, kullbackleibler

    WEIGHTS["kl_divergence"]["simsimd"] = kullbackleibler
    WEIGHTS["js_divergence"]["simsimd"] = lambda p, q: np.square(jensenshannon(p, q))


def _add_numexpr() -> None:
    from numexpr import evaluate

    def summed(terms: str) -> Line:
        return lambda p, q: evaluate(f"sum({terms}, axis={p.ndim - 1})", {"p": p, "q": q})

    def halved(terms: str) -> Line:
        line = summed(terms)
        return lambda p, q: line(p, q) / 2

    for name, line in {
        "kl_divergence": summed("p*log(p/q)"),
        "js_divergence": halved("p*log(2*p/(p+q)) + q*log(2*q/(p+q))"),
        "total_variation": halved("abs(p-q)"),
        "squared_hellinger": halved("(sqrt(p)-sqrt(q))**2"),
        "chi2_divergence": summed("(p-q)**2/q"),
    }.items():
        WEIGHTS[name]["numexpr"] = line


def _add_numba() -> None:
    from numba import njit

    @njit(fastmath=True)
    def kl(p: Any, q: Any) -> Any:
        out = np.zeros(p.shape[0])
        for i in range(p.shape[0]):
            for j in range(p.shape[1]):
                if p[i, j] > 0:
                    out[i] += p[i, j] * np.log(p[i, j] / q[i, j])
        return out

    @njit(fastmath=True)
    def js(p: Any, q: Any) -> Any:
        out = np.zeros(p.shape[0])
        for i in range(p.shape[0]):
            for j in range(p.shape[1]):
                m = (p[i, j] + q[i, j]) / 2
                if p[i, j] > 0:
                    out[i] += p[i, j] * np.log(p[i, j] / m) / 2
                if q[i, j] > 0:
                    out[i] += q[i, j] * np.log(q[i, j] / m) / 2
        return out

    @njit(fastmath=True)
    def tv(p: Any, q: Any) -> Any:
        out = np.zeros(p.shape[0])
        for i in range(p.shape[0]):
            for j in range(p.shape[1]):
                out[i] += abs(p[i, j] - q[i, j]) / 2
        return out

    @njit(fastmath=True)
    def nll(a: Any, labels: Any) -> Any:
        out = np.zeros(a.shape[0])
        for i in range(a.shape[0]):
            top = a[i].max()
            for j in range(a.shape[1]):
                out[i] += np.exp(a[i, j] - top)
            out[i] = np.log(out[i]) + top - a[i, labels[i]]
        return out

    def of_rows(line: Line) -> Line:
        return lambda p, q: line(np.atleast_2d(p), np.atleast_2d(q))

    WEIGHTS["kl_divergence"]["numba"] = of_rows(kl)
    WEIGHTS["js_divergence"]["numba"] = of_rows(js)
    WEIGHTS["total_variation"]["numba"] = of_rows(tv)
    TOKENS["token_nll"]["numba"] = nll


def _add_jax() -> None:
    import jax
    from jax import numpy as jnp
    from jax.nn import log_softmax
    from jax.scipy.special import rel_entr

    jax.config.update("jax_enable_x64", True)  # or float64 would be cut to float32

    def compiled(line: Line) -> Line:
        fast = jax.jit(line)
        return lambda *arrays: fast(*arrays).block_until_ready()

    def js(p: Any, q: Any) -> Any:
        m = (p + q) / 2
        return (rel_entr(p, m) + rel_entr(q, m)).sum(-1) / 2

    def logits_kl(a: Any, b: Any) -> Any:
        la, lb = log_softmax(a), log_softmax(b)
        return (jnp.exp(la) * (la - lb)).sum(-1)

    def nll(a: Any, labels: Any) -> Any:
        return jax.nn.logsumexp(a, -1) - jnp.take_along_axis(a, labels[:, None], -1)[:, 0]

    WEIGHTS["kl_divergence"]["jax rel_entr"] = compiled(lambda p, q: rel_entr(p, q).sum(-1))
    WEIGHTS["kl_divergence"]["jax p·log(p/q)"] = compiled(lambda p, q: (p * jnp.log(p / q)).sum(-1))
    WEIGHTS["js_divergence"]["jax rel_entr"] = compiled(js)
    WEIGHTS["total_variation"]["jax"] = compiled(lambda p, q: jnp.abs(p - q).sum(-1) / 2)
    WEIGHTS["chi2_divergence"]["jax"] = compiled(lambda p, q: ((p - q) ** 2 / q).sum(-1))
    WEIGHTS["squared_hellinger"]["jax"] = compiled(
        lambda p, q: ((jnp.sqrt(p) - jnp.sqrt(q)) ** 2).sum(-1) / 2
    )
    LOGITS["kl_divergence"]["jax"] = compiled(logits_kl)
    TOKENS["token_nll"]["jax"] = compiled(nll)


for _add in (
    _add_scipy,
    _add_torch,
    _add_fastjsd,
    _add_numkong,
    _add_simsimd,
    _add_numexpr,
    _add_numba,
    _add_jax,
):
    try:
        _add()
    except ModuleNotFoundError:
        continue


def library(implementation: str) -> str:
    """The first word of an implementation's name."""
    return implementation.replace(",", " ").split()[0]


def given(implementation: str, x: Any) -> Any:
    """An array as the library of the implementation takes it, made before the time is taken."""
    if library(implementation) == "torch":
        import torch

        if x.dtype.name == "bfloat16":
            return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(x)
    if library(implementation) == "jax":
        from jax import numpy as jnp

        return jnp.asarray(x)
    return x
