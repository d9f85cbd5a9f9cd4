"""fastdiv beside every peer that is installed and beside the memory's own pace, in one process.

    make bench-peers

writes docs/performance.png, its own part of docs/performance.md and build/bench-peers.json
(`--from build/bench-peers.json` writes page and picture again without measuring).  All members of
a group take turns (`interleaved.py`), on one thread unless the table says otherwise, and read the
same arrays; beside its speed stands each one's relative error against 50 digits.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

if __name__ == "__main__":  # what the peers read when they are imported
    for _name in ("OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"):
        os.environ.setdefault(_name, "1")
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numpy as np
from baselines import LOGITS, PAIRWISE, TOKENS, WEIGHTS, Line, Lines, given, library
from inputs import make
from interleaved import (
    DOCS,
    HERE,
    RUNS,
    Member,
    Reader,
    Times,
    duration,
    machine,
    median,
    place,
    progress,
    race,
    save,
    speed,
    table,
    write_section,
)

import fastdiv as fd
from fastdiv import _core

sys.path.append(str(HERE.parent / "tests"))

import reference  # type: ignore[import-not-found]

FASTDIV, READING = "fastdiv", "reading memory"
CALM = 0.8  # of its best rate: where the reader gets less, something else took the memory


@dataclass
class Work:
    """A line of the table: what is computed of which arrays, by whom, and what is wanted of it."""

    title: str
    arrays: str  # of `inputs.make`
    ours: Line
    peers: Lines
    exact: Callable[..., Any]  # of a row of each array, and of its label
    wanted_of_reading: float | None = None
    wanted_of_peers: dict[str, float] = field(default_factory=dict)
    labelled: bool = False
    operands: int = 2


def _divergence(name: str, **wanted: Any) -> Work:
    """A divergence of float32 weights, unless `arrays` says otherwise."""

    def exact(*rows: np.ndarray) -> Any:
        return reference.ORACLES[name](
            *(reference.normalised(reference.exact(row)) for row in rows)
        )

    arrays = wanted.pop("arrays", "weights")
    dtype = "float64" if arrays.endswith("float64") else "float32"
    title = f"{name}, {dtype}"
    return Work(title, arrays, getattr(fd, name), WEIGHTS[name], exact, **wanted)


def _of_logits_kl(*rows: np.ndarray) -> Any:
    softmaxes = [reference.softmax(reference.exact(row)) for row in rows[:2]]
    return reference.ORACLES["kl_divergence"](*softmaxes)


def _nll(arrays: str, **wanted: Any) -> Work:
    def exact(row: np.ndarray, label: int) -> Any:
        return reference.token_nll(reference.exact(row), label)

    dtype = "float32" if arrays == "logits" else arrays
    peers = dict(TOKENS["token_nll"])
    if dtype != "float32":
        for name in peers:
            if library(name) not in ("torch", "jax"):
                peers[name] = _widened(peers[name])
    title = f"token_nll, {dtype}"
    return Work(title, arrays, fd.token_nll, peers, exact, labelled=True, operands=1, **wanted)


def _widened(line: Line) -> Line:
    """NumPy has no fast 16-bit arithmetic: people convert first, which belongs to the time."""
    return lambda logits, labels: line(logits.astype("float32"), labels)


def _compared(title: str, fields: list[str] | None, **wanted: Any) -> Work:
    def ours(a: Any, b: Any, labels: Any) -> tuple[Any, ...]:
        return fd.compare_logits(a, b, labels, fields=fields)

    return Work(
        title, "logits", ours, TOKENS["compare_logits"], _of_logits_kl, labelled=True, **wanted
    )


def works() -> list[Work]:
    """The lines of the table."""
    comparison = {"wanted_of_reading": 0.2, "wanted_of_peers": {"torch kl alone": 12}}
    return [
        _divergence(
            "kl_divergence",
            wanted_of_reading=0.75,
            wanted_of_peers={"numkong": 1, "numpy": 5, "torch": 40},
        ),
        _divergence(
            "js_divergence",
            wanted_of_reading=0.6,
            wanted_of_peers={"numkong": 0.9, "scipy": 90},
        ),
        _divergence("total_variation", wanted_of_reading=0.85),
        _divergence("chi2_divergence", wanted_of_reading=0.85),
        _divergence("squared_hellinger", wanted_of_reading=0.85),
        _divergence(
            "kl_divergence",
            arrays="weights float64",
            wanted_of_reading=0.6,
            wanted_of_peers={"numpy": 5},
        ),
        _nll("logits", wanted_of_reading=0.85, wanted_of_peers={"torch": 18}),
        _nll("bfloat16", wanted_of_reading=0.4, wanted_of_peers={"torch": 10}),
        _nll("float16", wanted_of_reading=0.4, wanted_of_peers={"torch": 10}),
        Work(
            "kl_divergence of logits, float32",
            "logits",
            lambda a, b: fd.kl_divergence(a, b, from_logits=True),
            LOGITS["kl_divergence"],
            _of_logits_kl,
            0.55,
            {"torch": 30},
        ),
        _compared("compare_logits, float32", None, **comparison),
        _compared(
            "compare_logits, every field, float32", list(fd.LogitComparison._fields), **comparison
        ),
    ]


# --- measuring ------------------------------------------------------------------------------------


@dataclass
class Size:
    """How much is measured."""

    rows: int = 1024
    width: int = 32_768
    rounds: int = 15
    seconds: float = 1.5  # that one member of a group may take
    elements: int = 1 << 25  # of what is measured in other shapes
    many: int = 200
    starts: int = 15
    tries: int = 5


QUICK = Size(
    rows=8, width=256, rounds=3, seconds=0.02, elements=1 << 13, many=10, starts=2, tries=2
)


@contextmanager
def instructions(isa: str) -> Iterator[None]:
    """fastdiv's kernels for one instruction set."""
    before = fd.isa()
    _core.force_isa(isa)
    try:
        yield
    finally:
        _core.force_isa(before)


def _in(isa: str, line: Member) -> Member:
    def forced() -> Any:
        with instructions(isa):
            return line()

    return forced


def _error(result: Any, work: Work, exact: Mapping[int, Any]) -> float:
    """The worst relative error of the rows that are known."""
    column = result[0] if isinstance(result, tuple) else result
    if column.__class__.__module__.startswith("torch"):
        column = column.double()  # NumPy has no bfloat16
    column = np.asarray(column, np.float64).reshape(-1)
    return max(float(abs(column[i] / value - 1)) for i, value in exact.items())


def throughput(work: Work, size: Size, reader: Reader, isas: Sequence[str]) -> dict[str, Any]:
    """The race of one line of the table."""
    arrays = make(work.arrays, size.rows, size.width)[: work.operands]
    labels = make("labels", size.rows, size.width) if work.labelled else ()
    members: dict[str, Member] = {READING: reader.member(arrays)}
    for isa in isas:
        name = FASTDIV if isa == isas[0] else f"{FASTDIV}, {isa}"
        members[name] = _in(isa, lambda: work.ours(*arrays, *labels))
    for name, line in work.peers.items():
        held = [given(name, x) for x in (*arrays, *labels)]
        members[name] = lambda line=line, held=held: line(*held)
    checked = sorted({0, size.rows - 1})
    exact = {i: work.exact(*(x[i] for x in arrays), *(int(x[i]) for x in labels)) for i in checked}
    errors: dict[str, float] = {}
    for name in list(members):
        if name == READING:
            continue
        try:
            errors[name] = _error(members[name](), work, exact)
        except (TypeError, ValueError, NotImplementedError):
            del members[name]  # it does not take the dtype
    times = race(members, size.rounds, size.seconds, warm=True)
    return {
        "title": work.title,
        "bytes": sum(x.nbytes for x in arrays),
        "isas": list(isas),
        "times": times,
        "errors": errors,
        "wanted_of_reading": work.wanted_of_reading,
        "wanted_of_peers": work.wanted_of_peers,
    }


def pairs(size: Size) -> dict[str, Any]:
    """All pairs of rows, which is what fastjsd is for."""
    x = make("many", 0, many=size.many)[0]
    members: dict[str, Member] = {FASTDIV: lambda: fd.pairwise(x, divergence="js_distance")}
    for name, line in PAIRWISE["js_distance"].items():
        members[name] = lambda line=line: line(x)
    exact = reference.ORACLES["js_distance"](
        *(reference.normalised(reference.exact(row)) for row in x[:2])
    )
    errors = {name: float(abs(np.asarray(f())[0, 1] / exact - 1)) for name, f in members.items()}
    return {
        "title": f"pairwise js_distance, {size.many} rows of 1000, float64",
        "bytes": x.nbytes,
        "times": race(members, size.rounds, size.seconds),
        "errors": errors,
    }


def small_calls(size: Size) -> list[dict[str, Any]]:
    """One pair of short rows; and what a row of a large batch costs."""
    found = []
    for width, dtype in ((100, "float64"), (100, "float32"), (10, "float64"), (10, "float32")):
        p, q = (x[:width].astype(dtype) for x in make("small", 1))
        p, q = p / p.sum(), q / q.sum()
        members = {FASTDIV: lambda p=p, q=q: fd.kl_divergence(p, q)}
        for name, line in WEIGHTS["kl_divergence"].items():
            held = [given(name, x) for x in (p, q)]
            members[name] = lambda line=line, held=held: line(*held)
        title = f"kl_divergence, two {width}-vectors, {dtype}"
        found.append({"title": title, "times": race(members, size.rounds * 2, size.seconds)})
        if width == 100:
            found[-1]["wanted"] = {"seconds": 1.5e-6, "scipy rel_entr": 1.0}
    rng = np.random.default_rng(0)
    for width in (2, 10):
        rows = size.elements // 1024
        p, q = rng.random((2, rows, width), np.float32) + np.float32(0.01)
        members = {FASTDIV: lambda p=p, q=q: fd.kl_divergence(p, q)}
        for name in ("numpy", "scipy rel_entr", "numkong", "numexpr", "numba"):
            line = WEIGHTS["kl_divergence"].get(name)
            if line:
                members[name] = lambda line=line, p=p, q=q: line(p, q)
        times = race(members, size.rounds, size.seconds)
        times = {name: [t and t / rows for t in column] for name, column in times.items()}
        title = f"kl_divergence, each of {rows} rows of {width}, float32"
        found.append({"title": title, "times": times})
    return found


def imports(size: Size) -> dict[str, Any]:
    """Seconds that `import fastdiv` takes where numpy is there already, bytecode written before."""
    code = "import time; {}; t = time.process_time(); {}; print(time.process_time() - t)"
    statements = {
        "numpy": code.format("pass", "import numpy"),
        "fastdiv after numpy": code.format("import numpy", "import fastdiv"),
    }
    times: Times = {name: [] for name in statements}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONPATH": os.pathsep.join(sys.path)}
        for number in range(size.starts + 1):
            for name, statement in statements.items():
                done = subprocess.run(
                    [sys.executable, "-c", statement],
                    env=environment,
                    capture_output=True,
                    check=True,
                    text=True,
                )
                if number:  # the first writes the bytecode
                    times[name].append(float(done.stdout))
    return {"times": times, "wanted": 5e-3}


def row_lengths(size: Size) -> list[dict[str, Any]]:
    """Batches of short rows against the long ones, with as many elements in each."""
    lengths = [n for n in (10, 20, 50, 100, 200, 500, 1000) if n <= size.elements // 8]
    lengths.append(min(size.width, size.elements // 8))
    rng = np.random.default_rng(1)
    p, q = rng.random((2, size.elements), np.float32) + np.float32(0.01)
    found = []
    for name in (
        "kl_divergence",
        "js_divergence",
        "total_variation",
        "chi2_divergence",
        "squared_hellinger",
        "token_nll",
    ):
        members: dict[str, Member] = {}
        for n in lengths:
            rows = size.elements // n
            a, b = (x[: rows * n].reshape(rows, n) for x in (p, q))
            if name == "token_nll":
                labels = rng.integers(0, n, rows)
                members[str(n)] = lambda a=a, labels=labels: fd.token_nll(a, labels)
            else:
                members[str(n)] = lambda a=a, b=b, name=name: getattr(fd, name)(a, b)
        found.append(
            {
                "title": f"{name}, float32",
                "lengths": lengths,
                "times": race(members, size.rounds, size.seconds),
                "wanted": {str(n): 0.8 for n in lengths if 50 <= n <= 1000},
            }
        )
    return found


def layouts(size: Size, folder: Path) -> list[dict[str, Any]]:
    """The same numbers of elements, laid out otherwise, against contiguous rows."""
    width = min(size.width, size.elements // 8)
    rows = size.elements // width
    rng = np.random.default_rng(2)
    wide = rng.random((2, rows, 2 * width), np.float32) + np.float32(0.01)
    plain = [np.ascontiguousarray(x[:, :width]) for x in wide]
    files = []
    for number, x in enumerate(plain):
        np.save(folder / f"{number}.npy", x)
        files.append(np.load(folder / f"{number}.npy", mmap_mode="r"))
    shapes: dict[str, tuple[list[np.ndarray], dict[str, int]]] = {
        "contiguous": (plain, {}),
        "rows of a wider array": ([x[:, :width] for x in wide], {}),
        "every second element": ([x[:, ::2] for x in wide], {}),
        "backwards": ([x[:, ::-1] for x in plain], {}),
        "Fortran order": ([np.asfortranarray(x) for x in plain], {}),
        "axis=0": ([np.ascontiguousarray(x.T) for x in plain], {"axis": 0}),
        "axis=0, rows of 100": (
            [x.reshape(-1)[: x.size // 100 * 100].reshape(100, -1) for x in plain],
            {"axis": 0},
        ),
        "memory-mapped, cached": (files, {}),
        "big-endian": ([x.astype(">f4") for x in plain], {}),
    }
    labels = rng.integers(0, width, rows)
    found = []
    for title, line in {
        "kl_divergence, float32": lambda x, keywords: fd.kl_divergence(*x, **keywords),
        "js_divergence, float32": lambda x, keywords: fd.js_divergence(*x, **keywords),
        "token_nll, float32": lambda x, keywords: fd.token_nll(x[0], labels),
    }.items():
        members = {
            name: lambda line=line, shape=shape: line(*shape)
            for name, shape in shapes.items()
            if not (title.startswith("token_nll") and shape[1])
        }
        found.append(
            {
                "title": title,
                "times": race(members, size.rounds, size.seconds),
                # Every second element takes twice the memory to be read.
                "wanted": {
                    name: 3.0 if name == "every second element" else 1.5
                    for name in members
                    if name not in ("contiguous", "big-endian")
                },
            }
        )
    found.append(_from_disk(files, folder))
    return found


def _from_disk(files: list[np.memmap], folder: Path) -> dict[str, Any]:
    """A memory map whose pages are not in memory, against reading the file and then computing."""
    paths = [folder / f"{number}.npy" for number in range(len(files))]

    def forgotten() -> None:
        for path in paths:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def read() -> Any:
        return fd.kl_divergence(*(np.load(path) for path in paths))

    def mapped() -> Any:
        return fd.kl_divergence(*(np.load(path, mmap_mode="r") for path in paths))

    del files[:]
    times: Times = {"read, then computed": [], "memory-mapped": []}
    for _ in range(5):
        for name, line in zip(times, (read, mapped), strict=True):
            forgotten()
            start = perf_counter()
            line()
            times[name].append(perf_counter() - start)
    return {
        "title": "kl_divergence, float32, from disk",
        "times": times,
        "wanted": {"memory-mapped": 1.5},
    }


def threads(size: Size, reader: Reader) -> dict[str, Any]:
    """One thread against all of them: the works, a few long rows, and calls too small for two."""
    count = fd.get_num_threads()
    weights = make("weights", size.rows, size.width)
    logits = make("logits", size.rows, size.width)
    halves = [x.astype(np.float16) for x in logits]
    (labels,) = make("labels", size.rows, size.width)
    long = [x.reshape(1, -1) for x in weights]
    few = [x[: x.shape[0] // 3 * 3].reshape(3, -1) for x in weights]
    lines: dict[str, Member] = {
        "kl_divergence, float32": lambda: fd.kl_divergence(*weights),
        "js_divergence, float32": lambda: fd.js_divergence(*weights),
        "token_nll, float32": lambda: fd.token_nll(logits[0], labels),
        "token_nll, float16": lambda: fd.token_nll(halves[0], labels),
        "kl_divergence of logits, float32": lambda: fd.kl_divergence(*logits, from_logits=True),
        "compare_logits, float32": lambda: fd.compare_logits(*logits, labels),
        "kl_divergence, one row of all elements": lambda: fd.kl_divergence(*long),
        "kl_divergence, three rows of all elements": lambda: fd.kl_divergence(*few),
        "kl_divergence of logits, one row of all elements": lambda: fd.kl_divergence(
            *(x.reshape(1, -1) for x in logits), from_logits=True
        ),
    }
    found = []
    for title, line in {READING: None, **lines}.items():
        if line is None:
            members = {str(n): reader.member(weights, n) for n in (1, count)}
        else:
            members = {str(n): _threaded(n, line) for n in (1, count)}
        entry: dict[str, Any] = {
            "title": title,
            "times": race(members, size.rounds, size.seconds, wall=True),
        }
        if line is not None:
            results = [np.asarray(f()[0] if "compare" in title else f()) for f in members.values()]
            entry["same_bits"] = results[0].tobytes() == results[1].tobytes()
            entry["wanted"] = 0.9 * count
        found.append(entry)
    thresholds = []
    for rows in (1, 16):
        for power in range(10, 22):
            width = (1 << power) // rows
            if width * rows > weights[0].size:
                break
            part = [x.reshape(-1)[: width * rows].reshape(rows, width) for x in weights]
            members = {
                str(n): _threaded(n, lambda part=part: fd.kl_divergence(*part)) for n in (1, count)
            }
            thresholds.append(
                {
                    "rows": rows,
                    "elements": width * rows,
                    "times": race(members, size.rounds * 2, size.seconds / 8, wall=True),
                }
            )
    return {"count": count, "works": found, "thresholds": thresholds}


def _threaded(count: int, line: Member) -> Member:
    def limited() -> Any:
        before = fd.get_num_threads()
        fd.set_num_threads(count)
        try:
            return line()
        finally:
            fd.set_num_threads(before)

    return limited


def measure(size: Size, isas: Sequence[str]) -> dict[str, Any]:
    """Everything."""
    begin = perf_counter()
    reader = Reader(size.tries, size.rows * size.width * 4)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        report: dict[str, Any] = {"machine": machine(), "reader": reader.how}
        report["machine"]["isa"] = isas[0]
        cores = fd.get_num_threads()
        with fd.num_threads(1), instructions(isas[0]):
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            report["throughput"] = []
            for work in works():
                report["throughput"].append(throughput(work, size, reader, isas))
                progress(f"{work.title}: measured")
            report["pairs"] = pairs(size)
            report["small"] = small_calls(size)
            report["imports"] = imports(size)
            progress("small calls, imports: measured")
            report["lengths"] = row_lengths(size)
            progress("lengths of rows: measured")
            with tempfile.TemporaryDirectory() as folder:
                report["layouts"] = layouts(size, Path(folder))
            progress("layouts: measured")
            fd.set_num_threads(cores)
            report["threads"] = threads(size, reader)
    report["seconds"] = perf_counter() - begin
    report["runs"] = dict(RUNS)
    return report


# --- what was wanted ------------------------------------------------------------------------------


def _line_of(times: Times, peer: str) -> list[str]:
    """The lines of a library, or the one line of that name."""
    return [name for name in times if name == peer or library(name) == peer]


def judged(entry: Mapping[str, Any], isa: str) -> list[dict[str, Any]]:
    """Each figure wanted of one line of the table: what it is, what was wanted, what came out.

    The figures are for AVX-512; half of them is wanted of another instruction set.
    """
    times: Times = entry["times"]
    ours = FASTDIV if isa == entry["isas"][0] else f"{FASTDIV}, {isa}"
    share = 1.0 if isa == "avx512" else 0.5
    found = []
    if entry["wanted_of_reading"] is not None:
        wanted = entry["wanted_of_reading"] * share
        found.append({"against": READING, "wanted": wanted, "got": speed(times, ours, READING)})
    for peer, factor in entry["wanted_of_peers"].items():
        rates = [speed(times, ours, name) for name in _line_of(times, peer)]
        if rates:  # its fastest line
            found.append({"against": peer, "wanted": factor * share, "got": min(rates)})
    for figure in found:
        figure["met"] = figure["got"] >= figure["wanted"]
    return found


def verdicts(report: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    """All that was wanted: of what, wanted, got, met."""
    found = []
    for entry in report["throughput"]:
        for isa in entry["isas"]:
            for f in judged(entry, isa):
                what = f"{entry['title']}, {isa}, × {f['against']}"
                found.append((what, f"≥ {f['wanted']:.3g}", f"{f['got']:.3g}", f["met"]))
    for entry in report["small"]:
        for against, wanted in entry.get("wanted", {}).items():
            if against == "seconds":
                got = median(entry["times"][FASTDIV])
                text = (duration(wanted), duration(got))
                found.append((entry["title"], f"≤ {text[0]}", text[1], got <= wanted))
            elif against in entry["times"]:
                got = speed(entry["times"], FASTDIV, against)
                what = f"{entry['title']}, × {against}"
                found.append((what, f"≥ {wanted:.3g}", f"{got:.3g}", got >= wanted))
    beyond = report["imports"]
    got = median(beyond["times"]["fastdiv after numpy"])
    found.append(
        (
            "import, beyond numpy",
            f"≤ {duration(beyond['wanted'])}",
            duration(got),
            got <= beyond["wanted"],
        )
    )
    for entry in report["lengths"]:
        longest = str(entry["lengths"][-1])
        rates = {n: rate_of_length(entry, n, longest) for n in entry["wanted"]}
        if rates:
            worst = min(rates, key=lambda n: rates[n] / entry["wanted"][n])
            got, wanted = rates[worst], entry["wanted"][worst]
            what = f"{entry['title']}, rows of 50 to 1000 against long ones (worst: {worst})"
            found.append((what, f"≥ {wanted:.3g}", f"{got:.3g}", got >= wanted))
    for entry in report["layouts"]:
        base = next(iter(entry["times"]))
        for name, wanted in entry["wanted"].items():
            got = 1 / speed(entry["times"], name, base)
            what = f"{entry['title']}, {name}: time × {base}"
            found.append((what, f"≤ {wanted:.3g}", f"{got:.3g}", got <= wanted))
    together = report["threads"]
    for entry in together["works"]:
        if "wanted" in entry and together["count"] > 1:
            got = speed(entry["times"], str(together["count"]), "1")
            what = f"{entry['title']}, {together['count']} threads × one"
            found.append((what, f"≥ {entry['wanted']:.3g}", f"{got:.3g}", got >= entry["wanted"]))
            found.append(
                (
                    f"{what}: same bits",
                    "yes",
                    "yes" if entry["same_bits"] else "no",
                    entry["same_bits"],
                )
            )
    return found


def disturbed(report: Mapping[str, Any]) -> list[str]:
    """Lines of the table beside which the reader itself was far from its best rate."""
    rates = {e["title"]: e["bytes"] / median(e["times"][READING]) for e in report["throughput"]}
    return [title for title, rate in rates.items() if rate < CALM * max(rates.values())]


def rate_of_length(entry: Mapping[str, Any], n: str, longest: str) -> float:
    """The rate of rows of n against that of the longest: all have the same number of elements."""
    return speed(entry["times"], n, longest)


# --- the page -------------------------------------------------------------------------------------


def _percent(error: float) -> str:
    return "" if math.isnan(error) else "0" if error == 0 else f"{error:.0e}"


def page(report: Mapping[str, Any]) -> str:
    """The measured part of docs/performance.md."""
    parts = [
        place(report),
        f"The whole run took {math.ceil(report['seconds'] / 60)} minutes.",
        "",
        "![Bytes per second against what the memory gives](performance.png)",
        "",
        "### What was wanted",
        "",
        "“×” says how many times as fast; against a library, its fastest line counts.",
        "",
        table(
            ["of what", "wanted", "measured", "met"],
            [
                [what, wanted, got, "yes" if met else "**no**"]
                for what, wanted, got, met in verdicts(report)
            ],
        ),
        "",
        *_said_of_disturbed(report),
        "### Throughput",
        "",
        "GB/s counts the bytes of the input once; “reading” is that rate as a share of what the",
        "reader got from the same arrays in the same rounds; “fastdiv ×” is how many times as fast",
        "fastdiv is; the error is the larger of the first and the last row's.",
        "",
    ]
    body = []
    for entry in report["throughput"]:
        times = entry["times"]
        for name in sorted(times, key=lambda name: median(times[name])):
            seconds = median(times[name])
            body.append(
                [
                    entry["title"],
                    name,
                    duration(seconds),
                    f"{entry['bytes'] / seconds / 1e9:.2f}",
                    f"{speed(times, name, READING):.3f}",
                    f"{speed(times, FASTDIV, name):.2f}",
                    _percent(entry["errors"].get(name, math.nan)),
                ]
            )
    parts += [
        table(["work", "by", "median", "GB/s", "reading", "fastdiv ×", "relative error"], body),
        "",
        "### All pairs",
        "",
        _simple(report["pairs"]["times"], report["pairs"]["title"], report["pairs"]["errors"]),
        "",
        "### Small calls",
        "",
        table(
            ["call", "by", "median", "fastdiv ×"],
            [
                [
                    entry["title"],
                    name,
                    duration(median(times)),
                    f"{speed(entry['times'], FASTDIV, name):.2f}",
                ]
                for entry in report["small"]
                for name, times in sorted(entry["times"].items(), key=lambda item: median(item[1]))
            ],
        ),
        "",
        "`import numpy` takes {}, `import fastdiv` after it {}.".format(
            *(duration(median(t)) for t in report["imports"]["times"].values())
        ),
        "",
        "### Lengths of rows",
        "",
        "The rate of large batches of short rows as a share of that of the longest.",
        "",
    ]
    lengths = report["lengths"][0]["lengths"]
    parts += [
        table(
            ["function", *(f"{n:,}" for n in lengths)],
            [
                [
                    entry["title"],
                    *(f"{rate_of_length(entry, str(n), str(lengths[-1])):.2f}" for n in lengths),
                ]
                for entry in report["lengths"]
            ],
        ),
        "",
        "### Layouts",
        "",
        "The time of the same number of elements, laid out otherwise.",
        "",
        table(
            ["function", "layout", "median", "time ×"],
            [
                [
                    entry["title"],
                    name,
                    duration(median(times)),
                    f"{1 / speed(entry['times'], name, next(iter(entry['times']))):.2f}",
                ]
                for entry in report["layouts"]
                for name, times in entry["times"].items()
            ],
        ),
        "",
        "### Threads",
        "",
    ]
    together = report["threads"]
    many = str(together["count"])
    parts += [
        table(
            ["work", "1 thread", f"{many} threads", "×", "same bits"],
            [
                [
                    entry["title"],
                    duration(median(entry["times"]["1"])),
                    duration(median(entry["times"][many])),
                    f"{speed(entry['times'], many, '1'):.2f}",
                    {True: "yes", False: "**no**", None: ""}[entry.get("same_bits")],
                ]
                for entry in together["works"]
            ],
        ),
        "",
        f"Small calls of `kl_divergence` in float32, allowed {many} threads against allowed one:",
        "",
        table(
            ["elements", "rows", "1 thread", f"{many} threads", "×"],
            [
                [
                    f"{entry['elements']:,}",
                    str(entry["rows"]),
                    duration(median(entry["times"]["1"])),
                    duration(median(entry["times"][many])),
                    f"{speed(entry['times'], many, '1'):.2f}",
                ]
                for entry in together["thresholds"]
            ],
        ),
    ]
    return "\n".join(parts)


def _said_of_disturbed(report: Mapping[str, Any]) -> list[str]:
    titles = disturbed(report)
    if not titles:
        return []
    return [
        "Disturbed, for the reader itself got less than {:.1f} of its best rate beside them, so"
        " that their share of reading says too much: {}.".format(CALM, "; ".join(titles)),
        "",
    ]


def _simple(times: Times, title: str, errors: Mapping[str, float]) -> str:
    return table(
        [title, "median", "fastdiv ×", "relative error"],
        [
            [
                name,
                duration(median(times[name])),
                f"{speed(times, FASTDIV, name):.2f}",
                _percent(errors[name]),
            ]
            for name in sorted(times, key=lambda name: median(times[name]))
        ],
    )


# --- the picture ----------------------------------------------------------------------------------

LOOKS: dict[str, tuple[str, str]] = {
    "numpy": ("#7f7f7f", "o"),
    "scipy": ("#e69f00", "s"),
    "torch": ("#d62728", "^"),
    "numkong": ("#009e73", "D"),
    "simsimd": ("#8e44ad", "d"),
    "numexpr": ("#a6761d", "v"),
    "numba": ("#56b4e9", "P"),
    "jax": ("#0072b2", "X"),
}


def picture(report: Mapping[str, Any], path: Path) -> None:
    """Bytes per second of every function and dtype, against the limit that the memory sets."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    entries = report["throughput"]
    figure, axis = plt.subplots(figsize=(11, 0.55 * len(entries) + 2.2), layout="constrained")
    labels: dict[str, Any] = {}
    lowest = 1.0
    for y, entry in enumerate(entries):
        rate = {n: entry["bytes"] / median(t) / 1e9 for n, t in entry["times"].items()}
        lowest = min(lowest, *rate.values())
        limit = rate[READING]
        labels["what the memory gives"] = axis.plot(
            [limit, limit], [y - 0.4, y + 0.4], color="black", lw=2.5, solid_capstyle="butt"
        )[0]
        if entry["wanted_of_reading"] is not None:
            wanted = (
                limit * entry["wanted_of_reading"] * (1 if entry["isas"][0] == "avx512" else 0.5)
            )
            labels["wanted of fastdiv"] = axis.plot(
                [wanted, wanted], [y - 0.4, y + 0.4], color="black", lw=1, ls=":"
            )[0]
        labels[f"fastdiv, {entry['isas'][0]}"] = axis.barh(
            y, rate[FASTDIV], height=0.5, color="#1f3b73", zorder=1
        )
        for isa in entry["isas"][1:]:
            labels[f"fastdiv, {isa}"] = axis.barh(
                y, rate[f"{FASTDIV}, {isa}"], height=0.22, color="#9db4e0", zorder=2
            )
        for name in sorted(rate):
            if library(name) in LOOKS:
                color, marker = LOOKS[library(name)]
                labels[library(name)] = axis.scatter(
                    rate[name],
                    y,
                    s=46,
                    color=color,
                    marker=marker,
                    edgecolor="white",
                    lw=0.7,
                    zorder=3,
                )
    axis.set_xscale("log")
    axis.set_xlim(lowest / 1.4, None)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_yticks(range(len(entries)), [entry["title"] for entry in entries])
    axis.set_ylim(len(entries) - 0.4, -0.6)
    axis.set_xlabel("GB/s of input, one thread")
    axis.grid(axis="x", which="both", color="0.9", zorder=0)
    axis.set_axisbelow(True)
    at = report["machine"]
    axis.set_title(f"{at['processor']}, {at['date']}", fontsize=10)
    figure.legend(
        labels.values(), labels.keys(), loc="outside lower center", ncols=6, frameon=False
    )
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Measure, or read what was measured; write the page and the picture; print what missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="source", type=Path, help="a report, instead of measuring")
    parser.add_argument("--json", type=Path, default=HERE.parent / "build" / "bench-peers.json")
    parser.add_argument("--page", type=Path, default=DOCS / "performance.md")
    parser.add_argument("--picture", type=Path, default=DOCS / "performance.png")
    parser.add_argument(
        "--isa",
        action="append",
        choices=fd.available_isas(),
        help="an instruction set to measure; again for more (default: the one in use, and slower)",
    )
    parser.add_argument("--rounds", type=int, help="of each race")
    parser.add_argument("--quick", action="store_true", help="tiny arrays, to see that it runs")
    options = parser.parse_args(arguments)
    if options.source:
        report = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        size = QUICK if options.quick else Size()
        if options.rounds:
            size.rounds = options.rounds
        known = fd.available_isas()
        slower = known[1 : known.index(fd.isa()) + 1] or known[:1]
        report = measure(size, options.isa or slower[::-1])
        save(options.json, report)
    write_section(options.page, "peers", page(report))
    picture(report, options.picture)
    for what, wanted, got, met in verdicts(report):
        print(f"{'   ' if met else 'NO '} {what}: {got} (wanted {wanted})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
