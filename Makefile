# One verb per task.  PYTHON is the interpreter of an environment with the extra `test` (and `bench` for bench).
PYTHON ?= python3

.PHONY: build test contract contract-slow bench bench-peers bench-growth pictures lint sanitize tsan parallel neon fuzz clean

build:  ## compile the extension next to its sources
	$(PYTHON) setup.py build_ext --inplace

test: build
	$(PYTHON) -m pytest

contract: build  ## every promise of docs/contract.md, which this writes
	$(PYTHON) -m pytest -q -m promise --contract=docs/contract.md tests

contract-slow: build  ## the same with every float32 and every length: about an hour more
	$(PYTHON) -m pytest -q -m promise --contract=docs/contract.md --exhaustive tests

bench: build  ## every public function against NumPy, and SciPy and torch where installed
	mkdir -p build
	$(PYTHON) -m pytest -n 0 benchmarks --benchmark-only --benchmark-json=build/bench.json -q
	$(PYTHON) benchmarks/ratios.py build/bench.json

bench-peers: build  ## beside every peer that is installed and the memory's pace: docs/performance.md, its picture, build/bench-peers.json
	PYTHONPATH=. $(PYTHON) benchmarks/peers.py

bench-growth: build  ## time and memory from 10 elements to 10^9: docs/performance.md, build/bench-growth.json
	PYTHONPATH=. $(PYTHON) benchmarks/growth.py

pictures: build  ## those of docs/theory.md, by the examples
	for example in $(filter-out examples/picture.py,$(wildcard examples/*.py)); do \
	    PYTHONPATH=. $(PYTHON) $$example docs/theory/$$(basename $$example .py).png || exit 1; done

lint:
	$(PYTHON) -m ruff check fastdiv tests benchmarks examples src_c setup.py
	$(PYTHON) -m mypy
	FASTDIV_CFLAGS=-Werror $(PYTHON) setup.py -q build_ext --build-lib build/lint --build-temp build/lint --force

# The whole suite under AddressSanitizer and UndefinedBehaviorSanitizer.  Python itself keeps memory to its end: no leak check here; its
# objects stay in its own pools, arrays do not.
sanitize:
	FASTDIV_SANITIZE=1 $(PYTHON) setup.py -q build --build-base build/sanitize
	PYTHONPATH=$$(echo build/sanitize/lib*) LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(PYTHON) -P -m pytest -q $(TESTS)

# The C sources with threads of their own under ThreadSanitizer, and that it would find a race.
tsan:
	$(PYTHON) -m pytest -q -n 0 -k race tests/test_process.py

# Each test in four threads at once, by pytest-run-parallel.
PARALLEL ?= orders comparison meters pairwise odd_inputs special_values sparse topk refusals joint transport custom mixtures coding permutation
parallel:
	$(PYTHON) -m pytest -q -o addopts=--strict-markers -o thread_unsafe_functions=signal.signal --parallel-threads=4 $(PARALLEL:%=tests/test_%.py)

# Every kernel for AArch64, compiled by Debian's cross compiler (gcc-aarch64-linux-gnu) and run by qemu-user, in every floating-point environment.
neon:
	FASTDIV_LONG=1 $(PYTHON) -m pytest -n 0 -q tests/test_digest.py -k "compilers and aarch64"

# All fuzzers, each for FUZZ_SECONDS; what the first finds interesting is kept in build/fuzz for the next run.
FUZZ_SECONDS ?= 3600
fuzz:
	FASTDIV_FUZZ_SECONDS=$(FUZZ_SECONDS) FASTDIV_FUZZ_CORPUS=build/fuzz $(PYTHON) -m pytest -n 2 -q -rP tests/fuzz

clean:
	rm -rf build dist *.egg-info fastdiv/*.so fastdiv/_core.c fastdiv/_gaussian.c
