"""``fastdiv compare`` on files in the page cache against its kernel on the same rows in memory.

The command is timed on a few rows and on all of them: the difference is what it sustains, the rest
is the start of Python. Run as ``python benchmarks/page_cache.py [ROWS [VOCABULARY]]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import fastdiv as fd

REPEATS = 7
FEW = 16


def seconds_of_command(base: Path, candidate: Path, labels: Path, rows: int) -> float:
    arguments = [
        "compare",
        base,
        candidate,
        "--labels",
        labels,
        "--rows",
        str(rows),
        "--threads",
        "1",
    ]
    start = perf_counter()
    subprocess.run(
        [sys.executable, "-m", "fastdiv", *map(str, arguments), "--json", os.devnull],
        check=True,
        capture_output=True,
    )
    return perf_counter() - start


def measured(folder: Path, rows: int, vocabulary: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    names = [folder / name for name in ("base.npy", "candidate.npy")]
    files = [
        np.lib.format.open_memmap(name, "w+", np.float32, (rows, vocabulary)) for name in names
    ]
    for start in range(0, rows, 256):
        block = rng.normal(0, 3, files[0][start : start + 256].shape).astype(np.float32)
        files[0][start : start + 256] = block
        files[1][start : start + 256] = block + rng.normal(0, 0.5, vocabulary).astype(np.float32)
    labels = folder / "labels.npy"
    np.save(labels, rng.integers(0, vocabulary, rows))
    held = min(rows, 1024)
    base, candidate = (np.array(file[:held]) for file in files)
    for file in files:
        file.flush()  # what is still to be written would be during the command
    del files
    kernel, starts, wholes = [], [], []
    for _ in range(REPEATS):
        start_of_kernel = perf_counter()
        fd.compare_logits(base, candidate, np.load(labels)[:held])
        kernel.append((perf_counter() - start_of_kernel) / held)
        starts.append(seconds_of_command(*names, labels, FEW))
        wholes.append(seconds_of_command(*names, labels, rows))
    of_kernel = min(kernel)
    sustained = (min(wholes) - min(starts)) / (rows - FEW)
    return {
        "rows": rows,
        "vocabulary": vocabulary,
        "gigabytes": 8 * rows * vocabulary / 1e9,
        "sustained_against_kernel": of_kernel / sustained,
        "with_start_against_kernel": of_kernel * rows / min(wholes),
        "start_seconds": min(starts),
    }


def main() -> None:
    sizes = [int(x) for x in sys.argv[1:]]
    rows, vocabulary = sizes + [4096, 49152][len(sizes) :]
    fd.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(Path(folder), rows, vocabulary), indent=1))


if __name__ == "__main__":
    main()
