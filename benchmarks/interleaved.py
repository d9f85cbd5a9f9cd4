"""What the benchmarks share: races, the memory's own pace, the machine's name, pages of results.

In a race every member runs once in every round, so that whatever else the machine does falls on
all of them; ratios are medians over the rounds that both members ran in.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

import fastdiv as fd

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"

Member = Callable[[], Any]
Times = dict[str, list[float | None]]

# --- races ----------------------------------------------------------------------------------------

SHORTEST = 2e-4  # seconds that are timed at once: shorter calls are repeated
LOST = 0.03  # the share of a run that it may be without a processor
RUNS = {"all": 0, "disturbed": 0}  # of this process; those that lost their processor twice


def _once(member: Member, calls: int, wall: bool = False) -> tuple[float, bool]:
    """Seconds of one call, and whether the process had a processor all the time.

    They are the processor's: what other programs take of the machine is not the member's. Of
    several threads only the clock on the wall (`wall`) knows how long they took.
    """
    range_of_calls = range(calls)
    start, busy = perf_counter(), process_time()
    for _ in range_of_calls:
        member()
    busy, seconds = process_time() - busy, perf_counter() - start
    return (seconds if wall else busy) / calls, busy >= (1 - LOST) * seconds


def calls_at_once(member: Member) -> tuple[int, float]:
    """How many calls are worth timing, and the seconds that one takes."""
    calls = 1
    while True:
        seconds = _once(member, calls)[0]
        if seconds * calls >= SHORTEST or calls >= 1_000_000:
            return calls, seconds
        calls = max(2 * calls, min(10 * calls, int(SHORTEST / max(seconds, 1e-9))))


def race(
    members: Mapping[str, Member],
    rounds: int,
    seconds: float = 20.0,
    fewest: int = 3,
    warm: bool = False,
    wall: bool = False,
) -> Times:
    """Seconds per call of each member in each round; None where a slow one was left out.

    A member whose rounds would take more than `seconds` runs in as many as that allows, at least
    `fewest`, spread evenly. A run during which the process lost its processor is run again. Each
    member is called once beforehand, unless that is done (`warm`).
    """
    calls, cost = {}, {}
    for name, member in members.items():
        if not warm:
            member()
        calls[name], each = calls_at_once(member)
        cost[name] = calls[name] * each
    due = {
        name: set(
            np.linspace(
                0, rounds - 1, max(min(fewest, rounds), min(rounds, int(seconds / cost[name])))
            )
            .round()
            .astype(int)
            .tolist()
        )
        for name in members
    }
    times: Times = {name: [] for name in members}
    order = list(members)
    for number in range(rounds):
        for name in order:
            if number not in due[name]:
                times[name].append(None)
                continue
            time, undisturbed = _once(members[name], calls[name], wall)
            if not undisturbed:
                again, undisturbed = _once(members[name], calls[name], wall)
                time = again if undisturbed else min(time, again)
            times[name].append(time)
            RUNS["all"] += 1
            RUNS["disturbed"] += not undisturbed
        order = order[1:] + order[:1]  # nobody runs behind the same one every time
    return times


def median(times: Sequence[float | None]) -> float:
    """The median of the rounds that a member ran in."""
    return statistics.median(t for t in times if t is not None)


def speed(times: Times, ours: str, theirs: str) -> float:
    """How many times as fast as `theirs` `ours` is: the median over the rounds of both."""
    return statistics.median(
        b / a
        for a, b in zip(times[ours], times[theirs], strict=True)
        if a is not None and b is not None
    )


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The power of the size that the cost grows with: the slope of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


# --- the memory's pace ----------------------------------------------------------------------------


class Reader:
    """bandwidth.c, compiled for this machine, in the variant that reads fastest here."""

    DISTANCES = (0, 1024, 4096)  # bytes ahead of the reading
    TRIES = 5

    def __init__(self, tries: int = TRIES, size: int = 1 << 27) -> None:
        compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
        with tempfile.TemporaryDirectory() as place:
            library = Path(place, "bandwidth.so")
            subprocess.run(
                [
                    *compiler.split(),
                    *("-O3", "-march=native", "-shared", "-fPIC"),
                    *("-o", str(library), str(HERE / "bandwidth.c")),
                ],
                check=True,
            )
            self._read = ctypes.CDLL(str(library)).read_memory
        self._read.restype = ctypes.c_uint64
        self._read.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_ssize_t,
        ]
        both = np.ones((2, size // 8))
        variants = {
            f"{streams} {distance}": (streams, distance)
            for streams in (1, 2)
            for distance in self.DISTANCES
        }
        times = race(
            {
                name: lambda how=how: self.words(both[0], both[1], how)
                for name, how in variants.items()
            },
            tries,
        )
        self.how = variants[min(variants, key=lambda name: median(times[name]))]

    def words(self, a: np.ndarray, b: np.ndarray | None, how: tuple[int, int]) -> int:
        """The sum of the words of one array or two of the same size, as 64-bit integers."""
        streams, distance = how
        if b is None or streams == 1:
            parts = [
                self._read(x.ctypes.data, None, x.nbytes, 1, distance)
                for x in (a, b)
                if x is not None
            ]
            return sum(parts) % 2**64
        return int(self._read(a.ctypes.data, b.ctypes.data, a.nbytes, 2, distance))

    def member(self, arrays: Sequence[np.ndarray], threads: int = 1) -> Member:
        """Reads the very arrays that a function is given, one or two of the same size."""
        assert all(x.flags.c_contiguous for x in arrays)
        flat = [x.reshape(-1).view(np.uint8)[: x.nbytes // 8 * 8].view(np.uint64) for x in arrays]
        other = flat[1] if len(flat) == 2 and flat[1].size == flat[0].size else None
        if threads == 1:
            return lambda: self.words(flat[0], other, self.how)
        pool = ThreadPoolExecutor(threads)
        parts = [np.array_split(x, threads) for x in (flat if other is not None else flat[:1])]
        shares = [
            (part[0], part[1] if other is not None else None) for part in zip(*parts, strict=True)
        ]
        return lambda: list(pool.map(lambda share: self.words(*share, self.how), shares))


# --- where it was measured ------------------------------------------------------------------------

PACKAGES = ("numpy", "scipy", "torch", "numkong", "simsimd", "numexpr", "numba", "fastjsd", "jax")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What a figure means nothing without."""
    versions = {"fastdiv": fd.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": fd.isa(),
        "isas": list(fd.available_isas()),
        "load": os.getloadavg()[0],
        "versions": versions,
    }


def place(report: Mapping[str, Any]) -> str:
    """The machine, and how quiet it was, in a paragraph."""
    at, runs = report["machine"], report["runs"]
    versions = ", ".join(f"{name} {version}" for name, version in at["versions"].items())
    return (
        f"Measured {at['date']} on {at['processor']} ({at['cores']} cores, {at['isa']},"
        f" {at['system']}) with {versions}. Load at the beginning {at['load']:.1f};"
        f" {runs['disturbed'] / max(1, runs['all']):.0%} of {runs['all']:,} runs lost their"
        " processor in between."
    )


# --- results --------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Lines of Markdown."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def write_section(page: Path, name: str, text: str) -> None:
    """Put `text` between the marks of `name` in a page whose other prose is written by hand."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = page.read_text(encoding="utf-8") if page.exists() else f"{begin}\n{end}\n"
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")


def save(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def progress(text: str) -> None:
    """Say on standard error what is done."""
    print(text, file=sys.stderr, flush=True)
