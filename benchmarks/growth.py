"""Time and memory against rows, vocabulary and threads, from 10 elements to 10⁹.

    make bench-growth

writes its own part of docs/performance.md and build/bench-growth.json (`--from` writes the page
again without measuring) and prints the powers that were fitted: linear is 1. All sizes take turns
(`interleaved.py`). The largest batch is one of 2²⁵ elements over and over, by a stride of zero; the
largest row is mapped from a file.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from interleaved import (
    DOCS,
    HERE,
    RUNS,
    Member,
    duration,
    exponent,
    machine,
    median,
    place,
    progress,
    race,
    save,
    table,
    write_section,
)

import fastdiv as fd

BLOCK = 1 << 25  # elements that lie in memory once
WIDTH = 1000  # of the rows that become more
LARGE = 1_000_000  # elements from which on calls cost nothing beside them

Function = Callable[[np.ndarray, np.ndarray], Any]
FUNCTIONS: dict[str, Function] = {
    "kl_divergence": fd.kl_divergence,
    "js_divergence": fd.js_divergence,
    "token_nll": lambda p, _: fd.token_nll(p, np.zeros(p.shape[:-1], np.int64)),
    "compare_logits": lambda p, q: fd.compare_logits(p, q),
}


# --- memory ---------------------------------------------------------------------------------------


def _kilobytes(of: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(of + ":"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {of}")


def peak_memory(member: Member) -> int:
    """Bytes that a call has at most beside what was there, its result included."""
    member()  # its operands are in memory from now on
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free already would hide what is taken anew
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak
    result = member()
    peak = _kilobytes("VmHWM")
    del result
    return max(0, peak - before) * 1024


# --- operands -------------------------------------------------------------------------------------


def _decades(largest: int) -> list[int]:
    return [10**k for k in range(1, 10) if 10**k <= largest]


def of_rows(elements: int, both: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Two batches with so many elements: rows of `WIDTH`, or one that is shorter."""
    width = min(WIDTH, elements)
    rows = elements // width
    held = both[0].size // width
    if rows <= held:
        return [x[: rows * width].reshape(rows, width) for x in both]
    times = -(-rows // held)
    held = rows // times
    return [
        np.broadcast_to(x[: held * width].reshape(held, width), (times, held, width)) for x in both
    ]


def of_one_row(elements: int, both: Sequence[np.ndarray], folder: Path) -> list[np.ndarray]:
    """Two rows of so many elements, mapped from a file where they are more than there are."""
    if elements <= both[0].size:
        return [x[:elements] for x in both]
    path = folder / f"{elements}.f4"
    if not path.exists():
        with path.open("wb") as file:
            for start in range(0, elements + 1, both[0].size):
                both[0][: elements + 1 - start].tofile(file)
    mapped = np.memmap(path, np.float32, "r")
    return [mapped[:elements], mapped[1 : elements + 1]]  # one file for both


# --- measuring ------------------------------------------------------------------------------------


def _grown(
    functions: Mapping[str, Function],
    sizes: Sequence[int],
    operands: Callable[[int], list[np.ndarray]],
    rounds: int,
    seconds: float,
) -> list[dict[str, Any]]:
    found = []
    for name, function in functions.items():
        members = {}
        for size in sizes:
            both = operands(size)
            members[str(size)] = lambda both=both, function=function: function(*both)
        memory = {size: peak_memory(member) for size, member in members.items()}
        times = race(members, rounds, seconds, warm=True)
        entry = {
            "function": name,
            "seconds": {size: median(column) for size, column in times.items()},
            "memory": memory,
        }
        found.append(entry)
        progress(f"{name}, {len(sizes)} sizes: measured")
    return found


def measure(
    largest: int, rounds: int, seconds: float, block: int = BLOCK, only: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything, up to so many elements."""
    rng = np.random.default_rng(0)
    block = min(block, largest)
    both = [rng.random(block, np.float32) + np.float32(0.01) for _ in "pq"]
    functions = {name: f for name, f in FUNCTIONS.items() if not only or name in only}
    cores = fd.get_num_threads()
    report: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as folder, fd.num_threads(1):
        report["rows"] = _grown(
            functions, _decades(largest), lambda n: of_rows(n, both), rounds, seconds
        )
        report["vocabulary"] = _grown(
            functions,
            _decades(largest),
            lambda n: of_one_row(n, both, Path(folder)),
            rounds,
            seconds,
        )
        report["threads"] = []
        for name, function in functions.items():
            members = {
                str(count): _on(count, function, of_rows(block, both))
                for count in range(1, cores + 1)
            }
            memory = {count: peak_memory(member) for count, member in members.items()}
            times = race(members, 3 * rounds, seconds, warm=True, wall=True)
            report["threads"].append(
                {
                    "function": name,
                    "seconds": {count: median(column) for count, column in times.items()},
                    "memory": memory,
                }
            )
    report["runs"] = dict(RUNS)
    return report


def _on(count: int, function: Function, both: list[np.ndarray]) -> Member:
    def limited() -> Any:
        with fd.num_threads(count):
            return function(*both)

    return limited


# --- the page -------------------------------------------------------------------------------------


def fitted(entry: Mapping[str, Any], of: str = "seconds", least: int = LARGE) -> float | None:
    """The power of the size that time or memory grows with, from `least` elements on."""
    points = [(int(n), cost) for n, cost in entry[of].items() if int(n) >= least and cost > 0]
    if len(points) < 2:
        return None
    sizes, costs = zip(*points, strict=True)
    return exponent(sizes, costs)


def _power(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def page(report: Mapping[str, Any]) -> str:
    """The measured part of docs/performance.md."""
    parts = [
        place(report),
        "",
        "Seconds of one call on float32, on one thread, medians of interleaved runs; the power is",
        f"fitted from {LARGE:,} elements on. Memory is what a call had at its peak beside its",
        "operands, results included: of rows that become more there is one float64 each.",
        "",
    ]
    for axis, title in (
        ("rows", f"More rows of {WIDTH:,}"),
        ("vocabulary", "One row that becomes longer"),
    ):
        sizes = list(report[axis][0]["seconds"])
        parts += [
            f"### {title}",
            "",
            table(
                ["elements", *(entry["function"] for entry in report[axis])],
                [
                    *(
                        [f"{int(n):,}", *(duration(e["seconds"][n]) for e in report[axis])]
                        for n in sizes
                    ),
                    ["power of time", *(_power(fitted(e)) for e in report[axis])],
                    [
                        "ns an element, the largest",
                        *(
                            f"{e['seconds'][sizes[-1]] / int(sizes[-1]) * 1e9:.3f}"
                            for e in report[axis]
                        ),
                    ],
                    [
                        "memory, the largest",
                        *(_bytes(e["memory"][sizes[-1]]) for e in report[axis]),
                    ],
                ],
            ),
            "",
        ]
    counts = list(report["threads"][0]["seconds"])
    parts += [
        "### Threads",
        "",
        table(
            ["function", *(f"{n} thread{'s' * (n != '1')}" for n in counts), "power", "memory"],
            [
                [
                    entry["function"],
                    *(duration(entry["seconds"][n]) for n in counts),
                    _power(fitted(entry, least=1)),
                    _bytes(entry["memory"][counts[-1]]),
                ]
                for entry in report["threads"]
            ],
        ),
    ]
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Measure, or read what was measured; write the page; print the powers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="source", type=Path, help="a report, instead of measuring")
    parser.add_argument("--json", type=Path, default=HERE.parent / "build" / "bench-growth.json")
    parser.add_argument("--page", type=Path, default=DOCS / "performance.md")
    parser.add_argument("--largest", type=float, default=1e9, help="elements, at most")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if options.source:
        report = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        report = measure(int(options.largest), options.rounds, seconds=2.0)
        save(options.json, report)
    write_section(options.page, "growth", page(report))
    for axis in ("rows", "vocabulary", "threads"):
        for entry in report[axis]:
            least = 1 if axis == "threads" else LARGE
            print(f"{axis}: {entry['function']}: time ^ {_power(fitted(entry, least=least))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
