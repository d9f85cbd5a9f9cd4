"""Prints what pytest-benchmark measured as a table of ratios.

    python benchmarks/ratios.py build/bench.json

Medians; GB/s counts each input byte once; `speed` is the peer's speed with fastdiv's as 1, so that
0.10 is ten times slower; `error` is the first row's relative error.  Only ratios inside one run
mean anything.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def _duration(seconds: float) -> str:
    for unit, size in (("s ", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:8.2f} {unit}"
    return f"{seconds / 1e-9:8.2f} ns"


def table(report: dict[str, Any]) -> str:
    groups = defaultdict(list)
    for entry in report["benchmarks"]:
        groups[entry["group"]].append((entry["extra_info"], entry["stats"]["median"]))
    lines = [f"{'':<38}{'median':>11}{'GB/s':>8}{'speed':>9}{'error':>9}"]
    for group, members in groups.items():
        lines.append(group)
        ours = next(
            (median for info, median in members if info["implementation"] == "fastdiv"), None
        )
        for info, median in sorted(members, key=lambda member: member[1]):
            speed = f"{ours / median:9.3g}" if ours else f"{'':>9}"
            error = f"{info['relative_error']:9.0e}" if "relative_error" in info else ""
            rate = info["bytes"] / median / 1e9
            lines.append(
                f"    {info['implementation']:<34}{_duration(median)}{rate:8.2f}{speed}{error}"
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python benchmarks/ratios.py FILE.json", file=sys.stderr)
        return 2
    try:
        report = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
        print(table(report))
    except (OSError, ValueError, KeyError) as error:
        print(f"{arguments[0]}: no report of pytest-benchmark: {error!r}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
