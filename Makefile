# One verb per task.  PYTHON is the interpreter of an environment with the extra `test` (and `bench` for bench).
PYTHON ?= python3

.PHONY: build test contract contract-slow bench lint sanitize tsan clean

build:  ## compile the extension next to its sources
	$(PYTHON) setup.py build_ext --inplace

test: build
	$(PYTHON) -m pytest

contract: build  ## every promise of docs/contract.md, which this writes
	$(PYTHON) -m pytest -q -m promise --contract docs/contract.md

contract-slow: build  ## the same with every float32 and every length: about an hour more
	$(PYTHON) -m pytest -q -m promise --contract docs/contract.md --exhaustive

bench: build  ## every public function against NumPy, and SciPy and torch where installed
	mkdir -p build
	$(PYTHON) -m pytest -n 0 benchmarks --benchmark-only --benchmark-json=build/bench.json -q
	$(PYTHON) benchmarks/ratios.py build/bench.json

lint:
	$(PYTHON) -m ruff check fastdiv tests benchmarks src_c setup.py
	$(PYTHON) -m mypy
	FASTDIV_CFLAGS=-Werror $(PYTHON) setup.py -q build_ext --build-lib build/lint --build-temp build/lint --force

# The whole suite under AddressSanitizer and UndefinedBehaviorSanitizer.  Python itself keeps memory to its end: no leak check here.
sanitize:
	FASTDIV_SANITIZE=1 $(PYTHON) setup.py -q build --build-base build/sanitize
	PYTHONPATH=$$(echo build/sanitize/lib*) LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(PYTHON) -P -m pytest -q $(TESTS)

# The C sources with threads of their own under ThreadSanitizer, and that it would find a race.
tsan:
	$(PYTHON) -m pytest -q -n 0 -k race tests/test_process.py

clean:
	rm -rf build dist *.egg-info fastdiv/*.so fastdiv/_core.c
