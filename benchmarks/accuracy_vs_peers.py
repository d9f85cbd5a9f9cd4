"""fastdiv and what people use in its place, held to one grid: relative error against closeness.

    python benchmarks/accuracy_vs_peers.py

writes docs/accuracy.md and docs/accuracy.png (`--to` another folder), and keeps what it measured
in build/accuracy.json (`--from build/accuracy.json` draws and writes again without measuring).  The
exact values are those of tests/reference.py: each definition in 50 digits, on the very numbers that
the peers are given.  A peer that is not installed is left out; one that does not take a dtype has
no number there, but for bfloat16, in place of which it gets float32.  Every sentence of the page
that compares is counted by the run.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import finfo

import fastdiv as fd

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from layouts import DTYPES, machine_epsilon  # type: ignore[import-not-found]  # noqa: E402
from reference import (  # type: ignore[import-not-found]  # noqa: E402
    INF,
    ORACLES,
    exact,
    mp,
    mpf,
    normalised,
    softmax,
)

Line = Callable[[np.ndarray, np.ndarray], Any]
PERTURBATIONS = [10.0**-k for k in range(14)]
ROWS = {100: 5, 32_768: 1}  # how many at each closeness: the worst is shown
SMALLEST = {"float16": 1e-3, "bfloat16": 1e-2, "float32": 1e-7, "float64": 1e-13}

# --- what is asked: a name, how rows become distributions, the oracle -----------------------------

KL = "KL"
JS = "Jensen-Shannon"
KL_LOGITS = "KL from logits"
JS_LOGITS = "Jensen-Shannon from logits"
GENERALISED = "generalised KL"
LITERAL = "literal sum"


def _literal(p: list[Any], q: list[Any]) -> Any:
    return mp.fsum(x * mp.log(x / y) for x, y in zip(p, q, strict=True) if x)


QUESTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any], str]] = {
    KL: (normalised, ORACLES["kl_divergence"], "Σ p log(p/q) of rows divided by their sums"),
    JS: (normalised, ORACLES["js_divergence"], "of rows divided by their sums"),
    KL_LOGITS: (softmax, ORACLES["kl_divergence"], "Σ p log(p/q) of softmax rows"),
    JS_LOGITS: (softmax, ORACLES["js_divergence"], "of softmax rows"),
    GENERALISED: (list, ORACLES["kl_divergence"], "Σ p log(p/q) − p + q of rows as they are"),
    LITERAL: (list, _literal, "Σ p log(p/q) of rows as they are, whatever they sum to"),
}
FROM_LOGITS = (KL_LOGITS, JS_LOGITS)

# --- who is asked ---------------------------------------------------------------------------------

FASTDIV = "fastdiv"
TAKE_BFLOAT16 = (FASTDIV, "torch")
LINES: dict[str, dict[str, Line]] = defaultdict(dict)
VERSIONS: dict[str, str] = {}


def _add_fastdiv() -> None:
    LINES[KL][FASTDIV] = fd.kl_divergence
    LINES[JS][FASTDIV] = fd.js_divergence
    LINES[KL_LOGITS][FASTDIV] = lambda a, b: fd.kl_divergence(a, b, from_logits=True)
    LINES[JS_LOGITS][FASTDIV] = lambda a, b: fd.js_divergence(a, b, from_logits=True)
    LINES[GENERALISED][FASTDIV] = lambda p, q: fd.kl_divergence(p, q, normalize=False)
    VERSIONS["fastdiv"] = f"{fd.__version__} ({fd.isa()})"


def _add_numpy() -> None:
    def kl(p: np.ndarray, q: np.ndarray) -> Any:
        return (p * np.log(p / q)).sum()

    def js(p: np.ndarray, q: np.ndarray) -> Any:
        m = (p + q) / 2
        return (kl(p, m) + kl(q, m)) / 2

    def log_softmax(a: np.ndarray) -> Any:
        shifted = a - a.max()
        return shifted - np.log(np.exp(shifted).sum())

    def kl_of_logits(a: np.ndarray, b: np.ndarray) -> Any:
        log_p, log_q = log_softmax(a), log_softmax(b)
        return (np.exp(log_p) * (log_p - log_q)).sum()

    LINES[KL]["NumPy"] = LINES[LITERAL]["NumPy"] = kl
    LINES[JS]["NumPy"] = js
    LINES[GENERALISED]["NumPy"] = lambda p, q: (p * np.log(p / q) - p + q).sum()
    LINES[KL_LOGITS]["NumPy"] = kl_of_logits
    LINES[JS_LOGITS]["NumPy"] = lambda a, b: js(np.exp(log_softmax(a)), np.exp(log_softmax(b)))
    VERSIONS["NumPy"] = np.__version__


def _add_scipy() -> None:
    from scipy import special, stats
    from scipy.spatial.distance import jensenshannon

    def wide(line: Line) -> Line:
        return lambda p, q: line(p.astype(np.float64), q.astype(np.float64))

    def jensenshannon_squared(p: np.ndarray, q: np.ndarray) -> Any:
        return jensenshannon(p, q) ** 2

    def of_softmax(line: Line) -> Line:
        return lambda a, b: line(special.softmax(a), special.softmax(b))

    def rel_entr(p: np.ndarray, q: np.ndarray) -> Any:
        return special.rel_entr(p, q).sum()

    LINES[KL]["SciPy rel_entr"] = LINES[LITERAL]["SciPy rel_entr"] = rel_entr
    LINES[KL]["SciPy entropy"] = stats.entropy
    LINES[KL]["SciPy entropy, float64"] = wide(stats.entropy)
    LINES[JS]["SciPy jensenshannon²"] = jensenshannon_squared
    LINES[JS]["SciPy jensenshannon², float64"] = wide(jensenshannon_squared)
    LINES[GENERALISED]["SciPy kl_div"] = lambda p, q: special.kl_div(p, q).sum()
    LINES[GENERALISED]["SciPy kl_div, float64"] = wide(LINES[GENERALISED]["SciPy kl_div"])
    LINES[KL_LOGITS]["SciPy softmax, rel_entr"] = of_softmax(rel_entr)
    LINES[KL_LOGITS]["SciPy softmax, entropy, float64"] = wide(of_softmax(stats.entropy))
    LINES[JS_LOGITS]["SciPy softmax, jensenshannon²"] = of_softmax(jensenshannon_squared)
    LINES[JS_LOGITS]["SciPy softmax, jensenshannon², float64"] = wide(
        of_softmax(jensenshannon_squared)
    )


def _add_torch() -> None:
    import torch
    from torch.nn.functional import kl_div

    def tensor(x: np.ndarray) -> Any:
        if x.dtype != DTYPES["bfloat16"]:
            return torch.from_numpy(x)
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)

    def kl(p: np.ndarray, q: np.ndarray) -> float:
        return float(kl_div(tensor(q).log(), tensor(p), reduction="sum"))

    def kl_of_logits(a: np.ndarray, b: np.ndarray) -> float:
        log_p, log_q = (tensor(x).log_softmax(-1) for x in (a, b))
        return float(kl_div(log_q, log_p, reduction="sum", log_target=True))

    LINES[KL]["torch kl_div"] = LINES[LITERAL]["torch kl_div"] = kl
    LINES[KL_LOGITS]["torch log_softmax, kl_div"] = kl_of_logits


def _add_numkong() -> None:
    import numkong

    LINES[KL]["NumKong"] = LINES[LITERAL]["NumKong"] = numkong.kullbackleibler
    LINES[JS]["NumKong"] = lambda p, q: float(numkong.jensenshannon(p, q)) ** 2


def _add_simsimd() -> None:
    import simsimd

    LINES[KL]["SimSIMD"] = LINES[LITERAL]["SimSIMD"] = simsimd.kullbackleibler
    LINES[JS]["SimSIMD"] = lambda p, q: float(simsimd.jensenshannon(p, q)) ** 2


def _add_fastjsd() -> None:
    from fastjsd import jsd_matrix

    def js(p: np.ndarray, q: np.ndarray, **how: Any) -> float:
        return float(jsd_matrix(p[None], q[None], base=np.e, squared=True, **how)[0, 0])

    LINES[JS]["fastjsd"] = js
    LINES[JS]["fastjsd well_conditioned"] = lambda p, q: js(p, q, well_conditioned=True)


_add_fastdiv()
_add_numpy()
for _name, _add in {
    "SciPy": _add_scipy,
    "torch": _add_torch,
    "NumKong": _add_numkong,
    "SimSIMD": _add_simsimd,
    "fastjsd": _add_fastjsd,
}.items():
    try:
        import_module(_name.lower())
    except ModuleNotFoundError:
        continue
    _add()
    VERSIONS[_name] = metadata.version(_name.lower())

# --- the rows -------------------------------------------------------------------------------------


def _pair(
    question: str, name: str, n: int, epsilon: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose relative distance is about `epsilon`, rounded; weights sum to 1 before that."""
    dtype = DTYPES[name]
    rng = np.random.default_rng([n, seed])
    noise = rng.standard_normal(n)
    if question in FROM_LOGITS:
        a = (3 * rng.standard_normal(n)).astype(dtype)
        return a, (a.astype(np.float64) + epsilon * noise).astype(dtype)
    p = rng.gamma(0.5, size=n) + 1e-3
    p = (p / p.sum()).astype(dtype)
    q = p.astype(np.float64) * np.exp(epsilon * noise)
    return p, (q / q.sum()).astype(dtype)


def _masked_pairs(dtype: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Logits of which some are −∞, or what is used in its place."""
    rng = np.random.default_rng(7)
    a, b = 3 * rng.standard_normal((2, 100))
    gone, other = np.arange(100) % 3 == 0, np.arange(100) % 3 == 1
    near = a + 10 * machine_epsilon(dtype) * rng.standard_normal(100)

    def without(x: np.ndarray, hidden: np.ndarray, value: float = -math.inf) -> np.ndarray:
        return np.where(hidden, value, x)

    pairs = {
        "the same −∞ in P and Q": (without(a, gone), without(b, gone)),
        "the same −∞, else near": (without(a, gone), without(near, gone)),
        "equal rows with −∞": (without(a, gone), without(a, gone)),
        "−∞ in P alone": (without(a, gone), b),
        "−∞ in Q alone": (a, without(b, gone)),
        "no outcome in common": (without(a, ~gone), without(b, ~other)),
        "one outcome left": (without(a, np.arange(100) != 5), b),
        "−30,000 in place of −∞": (without(a, gone, -3e4), without(b, gone, -3e4)),
    }
    for name, (x, y) in pairs.items():
        yield name, x.astype(DTYPES[dtype]), y.astype(DTYPES[dtype])


def _special_pairs(dtype: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """What is not a matter of closeness."""
    rng = np.random.default_rng(7)
    p, q = (rng.random(100) + 0.01 for _ in range(2))
    tiny = float(finfo(DTYPES[dtype]).smallest_subnormal)
    gone = np.arange(100) % 3 == 0
    whole = rng.integers(1, 2000, (2, 100)).astype(np.float64)

    def one(x: np.ndarray) -> np.ndarray:
        return x / x.sum()

    kept_p, kept_q, other_q = (
        one(np.where(*choice)) for choice in ((gone, 0, p), (gone, 0, q), (gone, q, 0))
    )
    p, q = one(p), one(q)
    pairs = {
        "equal rows": (p, p),
        "the same zeros in P and Q": (kept_p, kept_q),
        "zeros in P alone": (kept_p, q),
        "zeros in Q alone": (p, kept_q),
        "no outcome in common": (kept_p, other_q),
        "one outcome subnormal in Q": (p, np.where(np.arange(100) == 5, 100 * tiny, q)),
        "subnormal rows": (tiny * whole[0], tiny * whole[1]),
        "rows that sum to 1000": (1000 * p, 1000 * q),
    }
    for name, (x, y) in pairs.items():
        yield name, x.astype(DTYPES[dtype]), y.astype(DTYPES[dtype])


# --- measuring ------------------------------------------------------------------------------------


def _truth(question: str, p: np.ndarray, q: np.ndarray) -> Any:
    change, oracle, _ = QUESTIONS[question]
    return oracle(change(exact(p)), change(exact(q)))


def _answer(line: Line, p: np.ndarray, q: np.ndarray) -> float | None:
    """What the line says, or None where it refuses the dtype."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(line(p, q))
        except (TypeError, ValueError, NotImplementedError):
            return None


def _error(got: float, want: Any) -> float:
    """Relative, or where the value is 0 absolute; infinity where the answer is no number."""
    if not math.isfinite(got) or want == INF:
        return 0.0 if want == INF and got == math.inf else math.inf
    return float(abs(mpf(got) - want) / (abs(want) or 1))


def _of_float32(line: Line) -> Line:
    return lambda p, q: line(p.astype(np.float32), q.astype(np.float32))


def _lines(question: str, dtype: str) -> dict[str, Line]:
    return {
        name: _of_float32(line)
        if dtype == "bfloat16" and not name.startswith(TAKE_BFLOAT16)
        else line
        for name, line in LINES[question].items()
        if not (dtype == "float64" and name.endswith(", float64"))
    }


def measure() -> dict[str, Any]:
    begin = time.monotonic()
    grid, special = [], []
    for question in QUESTIONS:
        for dtype, smallest in SMALLEST.items():
            for n, count in ROWS.items():
                # Weights of a row of 32,768 have no digits left in float16; bfloat16 has few.
                if n > 100 and (
                    dtype in ("float16", "bfloat16") or question in (GENERALISED, LITERAL)
                ):
                    continue
                for epsilon in PERTURBATIONS:
                    if epsilon < smallest * 0.99:
                        break
                    worst: dict[str, float] = {}
                    negative = set()
                    values = []
                    for seed in range(count):
                        p, q = _pair(question, dtype, n, epsilon, seed)
                        want = _truth(question, p, q)
                        if want == 0:  # rounding left nothing between them
                            continue
                        values.append(want)
                        for name, line in _lines(question, dtype).items():
                            got = _answer(line, p, q)
                            if got is None:
                                continue
                            worst[name] = max(worst.get(name, 0.0), _error(got, want))
                            if got < 0 < want:
                                negative.add(name)
                    if values:
                        grid.append(
                            {
                                "question": question,
                                "dtype": dtype,
                                "n": n,
                                "epsilon": epsilon,
                                "value": float(values[0]),
                                "errors": worst,
                                "negative": sorted(negative),
                            }
                        )
                print(f"{question}, {dtype}, rows of {n}: measured", file=sys.stderr, flush=True)
    for question in (KL, JS, *FROM_LOGITS):
        for dtype in ("bfloat16", "float32", "float64"):
            of = _masked_pairs if question in FROM_LOGITS else _special_pairs
            for name, p, q in of(dtype):
                want = _truth(question, p, q)
                answers = {who: _answer(f, p, q) for who, f in _lines(question, dtype).items()}
                special.append(
                    {
                        "question": question,
                        "dtype": dtype,
                        "case": name,
                        "value": float(want),
                        "answers": {
                            w: (g, _error(g, want)) for w, g in answers.items() if g is not None
                        },
                    }
                )
    where = f"Python {platform.python_version()}, {platform.machine()}"
    return {
        "versions": VERSIONS,
        "where": where,
        "seconds": time.monotonic() - begin,
        "grid": grid,
        "special": special,
    }


# --- the page -------------------------------------------------------------------------------------

HEAD = """\
# Accuracy beside the peers

Written by `python benchmarks/accuracy_vs_peers.py`, no line by hand. It needs the extra `test`;
the columns of torch, NumKong, SimSIMD and fastjsd need those packages. This run took {minutes}
minutes, with {versions}; {where}.

![Relative error against closeness](accuracy.png)

The exact value is the definition in 50 digits (mpmath) on the very numbers that each line is
given. Closeness is the ε of q = p·exp(ε·noise), or of logits b = a + ε·noise, rounded to the
dtype; {rows} rows of 100 numbers, of which the worst counts, and one row of 32,768. † marks an
answer below zero where the value is above; *no number* is NaN or infinity where the value is
finite. A line named “float64” is given the rows converted to float64. In place of rows of
bfloat16 all but fastdiv and torch are given the same numbers as float32. Distances are squared
before they are compared.

fastdiv's worst on the whole grid: {worst}.

## Where a peer is nearer than fastdiv

All lines that are below fastdiv's error somewhere on the grid, and where; the last column is
the cell with the widest difference. fastdiv computes all rows but those of float64 in float32,
and a line that converts them to float64 first is not bound by that.
"""

ZEROS = """\
## Zeros, masks, subnormal numbers, other sums

Rows of 100. The relative error; for equal rows, whose value is 0, the absolute one; where the value
is infinite, the answer.
"""


def _number(error: float | None, negative: bool = False) -> str:
    if error is None:
        return ""
    if not math.isfinite(error):
        return "no number"
    return ("0" if error == 0 else f"{error:.0e}") + ("†" if negative else "")


def _power(epsilon: float) -> str:
    return "1" if epsilon == 1 else f"1e{round(math.log10(epsilon))}"


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    rule = ["---"] * len(head)
    return [f"| {' | '.join(line)} |" for line in (head, rule, *body)]


def _grouped(grid: list[dict[str, Any]]) -> dict[tuple[str, str, int], list[dict[str, Any]]]:
    groups = defaultdict(list)
    for cell in grid:
        groups[cell["question"], cell["dtype"], cell["n"]].append(cell)
    return groups


def _nearer(groups: dict[tuple[str, str, int], list[dict[str, Any]]]) -> list[list[str]]:
    """Each line of a peer that is nearer than fastdiv somewhere: where, and the two errors."""
    body = []
    for (question, dtype, n), cells in groups.items():
        for name in dict.fromkeys(who for cell in cells for who in cell["errors"]):
            pairs = [
                (cell["epsilon"], cell["errors"][FASTDIV], cell["errors"][name])
                for cell in cells
                if name != FASTDIV and {name, FASTDIV} <= cell["errors"].keys()
            ]
            won = [pair for pair in pairs if pair[2] < pair[1]]
            if won:
                epsilon, ours, theirs = max(won, key=lambda pair: pair[1] - pair[2])
                where = ", ".join(_power(pair[0]) for pair in won)
                best = f"{_number(theirs)} beside {_number(ours)} at {_power(epsilon)}"
                body.append([name, question, dtype, str(n), where, best])
    return body


def page(report: dict[str, Any]) -> str:
    groups = _grouped(report["grid"])
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    ours = defaultdict(list)
    for cell in report["grid"]:
        if FASTDIV in cell["errors"]:
            ours[cell["dtype"]].append(cell["errors"][FASTDIV])
    lines = [
        HEAD.format(
            minutes=math.ceil(report["seconds"] / 60),
            versions=versions,
            where=report["where"],
            rows=ROWS[100],
            worst="; ".join(f"{dtype} {_number(max(errors))}" for dtype, errors in ours.items()),
        ),
        *_table(["line", "what", "dtype", "n", "ε", "its error, fastdiv's"], _nearer(groups)),
        "",
        "And fastdiv has no function for Σ p log(p/q) of rows that are not normalised, to which",
        "SciPy's `rel_entr` and torch's `kl_div` add up: its tables are the peers' alone.",
        "",
        "## Tables",
        "",
    ]
    for (question, dtype, n), cells in groups.items():
        names = list(dict.fromkeys(who for cell in cells for who in cell["errors"]))
        body = [
            [
                _power(cell["epsilon"]),
                f"{cell['value']:.1e}",
                *(_number(cell["errors"].get(w), w in cell["negative"]) for w in names),
            ]
            for cell in cells
        ]
        lines += [
            f"### {question[0].upper()}{question[1:]}, {dtype}, rows of {n:,}",
            "",
            f"{QUESTIONS[question][2]}.",
            "",
            *_table(["ε", "value", *names], body),
            "",
        ]
    lines += [ZEROS]
    for question, dtype in dict.fromkeys((s["question"], s["dtype"]) for s in report["special"]):
        some = [s for s in report["special"] if (s["question"], s["dtype"]) == (question, dtype)]
        names = list(some[0]["answers"])
        body = []
        for s in some:
            row = [s["case"], "∞" if s["value"] == math.inf else f"{s['value']:.3g}"]
            for name in names:
                if name not in s["answers"]:
                    row.append("")
                    continue
                got, error = s["answers"][name]
                if s["value"] == math.inf:
                    row.append("∞" if got == math.inf else f"{got:.3g}")
                else:
                    row.append(_number(error, got < 0))
            body.append(row)
        lines += [f"### {question}, {dtype}", "", *_table(["rows", "value", *names], body), ""]
    return "\n".join(lines).rstrip() + "\n"


# --- the picture ----------------------------------------------------------------------------------

TOP, BOTTOM = 1e4, 1e-17
# How a line looks, by the words that its name has: the last that fits.
LOOKS: list[tuple[str, str, dict[str, Any]]] = [
    (FASTDIV, "fastdiv", {"color": "black", "lw": 2.6, "zorder": 5}),
    ("NumPy", "NumPy expression", {"color": "#7f7f7f"}),
    ("SciPy", "SciPy rel_entr, jensenshannon", {"color": "#e69f00"}),
    ("SciPy entropy", "SciPy entropy", {"color": "#e69f00", "ls": "--"}),
    (", float64", "SciPy, rows as float64", {"color": "#b35806", "ls": ":"}),
    ("torch", "torch kl_div", {"color": "#d62728"}),
    ("NumKong", "NumKong", {"color": "#009e73"}),
    ("SimSIMD", "SimSIMD", {"color": "#8e44ad"}),
    ("fastjsd", "fastjsd", {"color": "#56b4e9"}),
    ("well_conditioned", "fastjsd well_conditioned", {"color": "#56b4e9", "ls": "--"}),
]


def picture(report: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    groups = _grouped(report["grid"])
    questions, dtypes, n = (KL, JS, KL_LOGITS), ("float32", "float64"), max(ROWS)
    figure, axes = plt.subplots(
        len(dtypes),
        len(questions),
        figsize=(12, 8),
        sharey=True,
        sharex="row",
        layout="constrained",
    )
    legend: dict[str, Any] = {}
    for row, dtype in zip(axes, dtypes, strict=True):
        for axis, question in zip(row, questions, strict=True):
            cells = groups[question, dtype, n]
            for name in dict.fromkeys(who for cell in cells for who in cell["errors"]):
                label, look = next((a, b) for words, a, b in reversed(LOOKS) if words in name)
                shown = [(c["epsilon"], c["errors"][name]) for c in cells if name in c["errors"]]
                x = [epsilon for epsilon, _ in shown]
                y = [min(max(error, BOTTOM), TOP) for _, error in shown]
                (line,) = axis.plot(
                    x, y, marker="o", ms=3, **{"lw": 1.5, **look}, clip_on=False, label=label
                )
                legend.setdefault(label, line)
            axis.axhspan(1, TOP, color="#d62728", alpha=0.07, lw=0)
            u = 2.0**-24 if dtype == "float32" else 2.0**-53
            legend["unit roundoff"] = axis.axhline(u, color="#555555", lw=1, ls=(0, (1, 2)))
            axis.set(xscale="log", yscale="log", ylim=(BOTTOM, TOP))
            axis.set_xlim(2.0, SMALLEST[dtype] / 2)
            axis.set_yticks([10.0**k for k in range(-16, 5, 4)])
            axis.grid(color="#e5e5e5", lw=0.6)
            axis.set_axisbelow(True)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
            axis.set_title(f"{question}, {dtype}", fontsize=12, loc="left", pad=8)
            axis.minorticks_off()
        row[0].set_ylabel("relative error")
        row[-1].annotate(
            "no digit is right",
            (0.03, 1),
            xycoords=("axes fraction", "data"),
            xytext=(0, 5),
            textcoords="offset points",
            fontsize=9,
            color="#a03030",
        )
    for axis in axes[-1]:
        axis.set_xlabel("closeness ε: rows are nearer to the right")
    order = [label for _, label, _ in LOOKS if label in legend] + ["unit roundoff"]
    figure.legend(
        [legend[label] for label in order],
        order,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=10,
    )
    versions = ", ".join(f"{name} {v.partition(' ')[0]}" for name, v in report["versions"].items())
    figure.suptitle(
        f"Relative error against closeness, rows of {n:,}; at the top: above 10⁴, NaN or infinity\n"
        + versions,
        fontsize=11,
        x=0.01,
        ha="left",
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure, then write docs/accuracy.md and .png.")
    parser.add_argument("--from", dest="kept", type=Path, help="what an earlier run measured")
    parser.add_argument("--to", type=Path, default=ROOT / "docs", help="the folder of the page")
    asked = parser.parse_args()
    kept = asked.kept
    if kept is None:
        report = measure()
        kept = ROOT / "build" / "accuracy.json"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(report, indent=1))
    report = json.loads(kept.read_text())
    (asked.to / "accuracy.md").write_text(page(report), encoding="utf-8")
    picture(report, asked.to / "accuracy.png")


if __name__ == "__main__":
    main()
