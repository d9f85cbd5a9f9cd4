"""P8: short runs of the fuzzers; `make fuzz` lets them run for as long as is wished."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from needed import program
from sanitized import PLAIN

pytestmark = pytest.mark.promise("P8")

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "src_c"
SECONDS = int(os.environ.get("FASTDIV_FUZZ_SECONDS", "5"))
# Where a long run keeps what it found interesting, and starts from next time.
CORPUS = os.environ.get("FASTDIV_FUZZ_CORPUS")
FLAGS = ["-std=c11", "-O1", "-ffp-contract=off", "-fno-omit-frame-pointer", "-gline-tables-only"]
FLAGS += ["-DFD_SANITIZE", "-DFD_COMPACT", "-DAHEAD=1", "-pthread", f"-I{KERNELS}"]
FLAGS += ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return done.stdout + done.stderr


def test_row_kernels(tmp_path, worst):
    """Clang's libFuzzer with the address and undefined-behaviour sanitizers."""
    program("clang")
    sources = [HERE / "row_kernels.c", *sorted(KERNELS.glob("*.c"))]
    objects = [str(tmp_path / f"{source.stem}.o") for source in sources]

    def compiled(source: Path, to: str) -> None:
        run("clang", *FLAGS, "-c", str(source), "-o", to, environment=PLAIN)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compiled, sources, objects))
    fuzzer = str(tmp_path / "row_kernels")
    run("clang", *FLAGS, *objects, "-o", fuzzer, "-lm", environment=PLAIN)
    corpus = Path(CORPUS) if CORPUS else tmp_path / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    # Lengths up to several blocks of 2048 elements at once: with -len_control they come late.
    said = run(
        fuzzer,
        f"-max_total_time={SECONDS}",
        "-max_len=40000",
        "-len_control=0",
        "-print_final_stats=1",
        f"-artifact_prefix={tmp_path}/",
        str(corpus),
        environment=PLAIN,
    )
    runs = int(said.rpartition("stat::number_of_executed_units:")[2].split()[0])
    print(said[-600:])
    assert runs > 100, said
    worst(0, f"reports of libFuzzer with sanitizers in {runs} rows", 0)


def test_readers(worst):
    """In a process of its own: a crash is a failure, not the end of the suite."""
    command = [sys.executable, str(HERE / "readers.py"), "--seconds", str(SECONDS), "--seed", "1"]
    said = run(*command)
    print(said)
    files = int(said.split()[-2])
    assert files > 200, said
    worst(0, f"damaged files of {files} neither read nor refused", 0)


def test_python_face(worst):
    """Odd arrays, options and labels; with atheris by hand, whose input is guided by coverage."""
    command = [sys.executable, str(HERE / "python_face.py"), "--seconds", str(SECONDS)]
    said = run(*command, "--seed", "1")
    calls = int(said.split()[-2])
    assert calls > 500, said
    worst(0, f"calls of {calls} with odd arrays that differ from plain ones", 0)
