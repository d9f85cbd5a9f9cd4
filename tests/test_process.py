"""What calls do to their process: threads, forks, signals, memory that runs out, references."""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import calls
import numpy as np
import pytest
from calls import CALLS, WRONG, digest
from needed import needs
from sanitized import PLAIN, needs_plain_malloc

import fastdiv as fd
from fastdiv import _core, _gaussian

HERE = Path(__file__).parent
SOURCES = HERE.parent / "src_c"
CC = os.environ.get("CC", "cc").split()[0]

needs_compiler = needs(CC)


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def answer(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, (result.returncode, result.stdout[-2000:], result.stderr[-4000:])
    return result.stdout


def test_every_public_function_is_called():
    """A function that is new, and not in calls.py, would be in none of the tests below."""
    state = {"available_isas", "get_num_threads", "isa", "num_threads", "set_num_threads"}
    results = {"LogitComparison", "Neighbours", "TokenStatistics", "TopKRows", "__version__"}
    for table in (CALLS, WRONG):
        called = {name.partition(".")[0] for name in table} | state | results
        assert called >= set(fd.__all__) - {"generators"}


# --- threads -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def race(tmp_path_factory) -> Path:
    """The C sources and race.c with ThreadSanitizer."""
    place = tmp_path_factory.mktemp("race")
    flags = "-std=c11 -O1 -g -ffp-contract=off -fsanitize=thread -DFD_SANITIZE -DFD_COMPACT"
    flags += f" -DAHEAD=1 -DFD_SEGMENT_LENGTH=256 -pthread -I{SOURCES}"
    parts = [*sorted(SOURCES.glob("*.c")), HERE / "race.c"]

    def run(*command: str) -> None:
        subprocess.run(command, check=True, timeout=600, env=PLAIN)

    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda part: run(
                    CC, *flags.split(), "-c", str(part), "-o", str(place / f"{part.stem}.o")
                ),
                parts,
            )
        )
    objects = [str(place / f"{part.stem}.o") for part in parts]
    run(CC, "-fsanitize=thread", "-pthread", *objects, "-o", str(place / "race"), "-lm")
    return place / "race"


@needs_compiler
@pytest.mark.promise("P10")
def test_no_data_race(race, worst):
    """Several callers with threads of their own on every instruction set, some stopped half-way."""
    result = subprocess.run(
        [race], capture_output=True, text=True, timeout=600, check=False, env=PLAIN
    )
    reports = result.stderr.count("WARNING: ThreadSanitizer")
    assert result.returncode == 0, result.stderr[-4000:] or result.stdout
    assert reports == 0
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == [*fd.available_isas()]
    worst(float(reports), "reports of ThreadSanitizer", 0)


@needs_compiler
@pytest.mark.promise("P10")
def test_a_data_race_is_reported(race):
    """The test above is worth something only while this one passes."""
    result = subprocess.run(
        [race, "race"], capture_output=True, text=True, timeout=600, check=False, env=PLAIN
    )
    assert result.returncode != 0
    assert "WARNING: ThreadSanitizer: data race" in result.stderr


@pytest.mark.promise("P10")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_many_callers(worst):
    """All public functions from eight threads at once, while settings change under them."""
    wanted = {name: digest(call()) for name, call in CALLS.items()}
    before, isa, interval = fd.get_num_threads(), fd.isa(), sys.getswitchinterval()
    differing: list[str] = []
    barrier, ended = threading.Barrier(9), threading.Event()

    def caller(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(list(CALLS))
        barrier.wait()
        for name in order:
            if digest(CALLS[name]()) != wanted[name]:
                differing.append(name)
            for wrong in itertools.islice(WRONG.values(), seed, None, 9):
                with pytest.raises((ValueError, TypeError, LookupError)):
                    wrong()

    def meddler() -> None:
        barrier.wait()
        for threads, name in zip(
            itertools.cycle((1, 2, 3, 5)), itertools.cycle(fd.available_isas()), strict=False
        ):
            fd.set_num_threads(threads)
            _core.force_isa(name)
            assert fd.isa() in fd.available_isas()
            if ended.wait(0.001):
                return

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(9) as pool:
            meddling = pool.submit(meddler)
            callers = [pool.submit(caller, seed) for seed in range(8)]
            for each in callers:
                each.exception()
            ended.set()
            for each in (meddling, *callers):
                each.result()
    finally:
        sys.setswitchinterval(interval)
        fd.set_num_threads(before)
        _core.force_isa(isa)
    assert differing == []
    worst(float(len(differing)), "differing results of callers at once", 0)


@pytest.mark.promise("P10")
def test_tests_by_four_threads_at_once(worst):
    """By pytest-run-parallel, which `make parallel` lets run most of the suite."""
    rooms = ("refusals", "joint", "transport", "custom", "mixtures", "coding", "permutation")
    options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers"]
    files = (str(HERE / f"test_{room}.py") for room in rooms)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--parallel-threads=4", *files],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=HERE.parent,
    )
    found = re.search(r"Collected (\d+) items to run in parallel", answer(result))
    assert found is not None, result.stdout[-2000:]
    assert int(found[1]) > 500
    worst(float(found[1]), "tests, each by four threads at once, without a failure")


@pytest.mark.promise("P10")
def test_first_calls_at_once():
    """What is made at a first call, gufuncs and imports, is made by several threads at once."""
    code = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from calls import CALLS, digest
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(6)
def first(_):
    barrier.wait()
    with np.errstate(all="ignore"):
        return [digest(call()) for call in CALLS.values()]
with ThreadPoolExecutor(6) as pool:
    found = list(pool.map(first, range(6)))
assert all(each == found[0] for each in found)
print("same")
"""
    assert answer(python(code)) == "same\n"


@pytest.mark.promise("P10")
def test_an_interruption_is_the_main_threads_own():
    """While one thread's calls are interrupted, again and again, others' results stay whole."""
    code = """
import signal, threading
import numpy as np
import fastdiv as fd
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
rng = np.random.default_rng(0)
p, q = rng.random((2, 300, 3000))
huge = np.broadcast_to(np.float32(1), (1, 10**10))
want = fd.renyi_divergence(p, q, 1.5).tobytes()
ended, same = threading.Event(), []
def other():
    while not ended.is_set():
        out = np.full(300, -1.0)
        same.append(fd.renyi_divergence(p, q, 1.5, out=out).tobytes() == want)
threads = [threading.Thread(target=other) for _ in range(2)]
for thread in threads: thread.start()
stopped = 0
for _ in range(10):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        fd.entropy(huge)
    except Stop:
        stopped += 1
ended.set()
for thread in threads: thread.join()
print(stopped, all(same), len(same) > 10)
"""
    assert answer(python(code)) == "10 True True\n"


@pytest.mark.promise("P10")
@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a global lock"
)
def test_the_lock_stays_off():
    """The import of an extension that does not declare itself safe would switch it on."""
    code = "import sys, fastdiv; print(sys._is_gil_enabled())"
    assert answer(python(code)) == "False\n"


@pytest.mark.promise("P10")
@needs("objdump")
def test_no_other_state():
    """All variables of the extension that can change: two atomic words and, per thread, five."""
    symbols = subprocess.run(
        ["objdump", "-t", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"\sO? *\.(t?bss|t?data)\s+[0-9a-f]+\s+(\w+)", symbols)
    if not found:
        pytest.skip("the extension has no symbols")
    of_others = r"__|Py|numpy_|completed|main_interpreter_id"  # Cython's, NumPy's, the compiler's
    ours = {(section[0] == "t", name) for section, name in found if not re.match(of_others, name)}
    assert {name for local, name in ours if local} == {
        "asked",
        "fd_this_call",
        "mine",
        "parts",
        "unwatched",
    }
    assert {name for local, name in ours if not local} == {"fd_kernels_in_use", "fd_thread_count"}


@pytest.mark.promise("P7")
@pytest.mark.skipif(platform.system() != "Linux", reason="threads are counted in /proc")
def test_a_long_row_is_shared():
    """Its bits are the same with one thread (test_divergences.py): here there are three."""
    code = """
import os, threading
import numpy as np
import fastdiv as fd
row = np.broadcast_to(np.float32(0.5), 400_000_000)
fd.set_num_threads(3)
before, most = len(os.listdir("/proc/self/task")), 0
caller = threading.Thread(target=fd.logsumexp, args=(row,))
caller.start()
while caller.is_alive():
    most = max(most, len(os.listdir("/proc/self/task")))
print(most - before)
"""
    assert answer(python(code)) == "3\n"


@pytest.mark.promise("P10")
def test_gaussians_let_other_threads_run():
    """A long batch holds no lock: this thread goes on meanwhile."""
    scale = np.broadcast_to(np.eye(16), (400_000, 16, 16))
    with fd.num_threads(1):
        caller = threading.Thread(
            target=fd.gaussian_kl, args=(np.zeros(16), scale, np.ones(16), np.eye(16))
        )
        caller.start()
        start, ticks = time.monotonic(), 0
        while caller.is_alive():
            ticks += 1
            time.sleep(1e-3)
        seconds = time.monotonic() - start
    assert seconds > 0.05
    assert ticks > 100 * seconds


# --- forks ---------------------------------------------------------------------------------------


@pytest.mark.promise("P11")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    "busy",
    [False, pytest.param(True, marks=needs_plain_malloc)],
    ids=["alone", "beside a busy thread"],
)
def test_fork_after_threads(busy, worst):
    """Children of a process that has used threads compute on threads, and exit properly."""
    code = """
import os, sys, threading, warnings
import numpy as np
import fastdiv as fd
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons': another thread runs
rng = np.random.default_rng(0)
p, q = rng.random((2, 100, 3000))
def compute():
    return (fd.kl_divergence(p, q), fd.compare_logits(p, q).js, fd.pairwise(p[:50, :300]))
def digest():
    return b"".join(x.tobytes() for x in compute())
fd.set_num_threads(3)
want = digest()
ended = threading.Event()
def other():
    while not ended.is_set():
        fd.kl_divergence(p, q)
if sys.argv[1] == "True":
    thread = threading.Thread(target=other)
    thread.start()
failed = 0
for _ in range(100):
    fd.kl_divergence(p, q)
    child = os.fork()
    if child == 0:
        os._exit(0 if digest() == want else 1)
    failed += os.waitpid(child, 0)[1] != 0
ended.set()
print(failed)
"""
    failed = int(answer(python(code, str(busy))))
    assert failed == 0
    worst(float(failed), "children of 100 that failed", 0)


# --- Ctrl-C --------------------------------------------------------------------------------------

# At least 10 GB each, of which little is there; they would run for seconds to hours.
ENDLESS = """
import numpy as np
from scipy.sparse import csr_array
import fastdiv as fd
from fastdiv import uncertainty
rng = np.random.default_rng(0)
row = rng.random(32000).astype(np.float32)
def many(x, bytes=10**12):
    return np.broadcast_to(x, (bytes // x.nbytes, x.size))
long = np.broadcast_to(np.float32(1), (1000, 10**7))
many_p, many_q = many(row, 10**13), many(row[::-1].copy(), 10**13)
small, narrow = many(row[:100], 10**10), np.broadcast_to(row[:20], (20000, 20))
one_p, one_q = (np.broadcast_to(x, (1, 10**11)) for x in np.ones((2, 1), np.float32))
labels = np.zeros(10**6, int)
stored = csr_array(np.where(rng.random((6000, 1000)) < 0.3, 1.0, 0.0))
def cube(u):
    return abs(u - 1) ** 3
one_double = np.broadcast_to(1.0, (1, 10**11))
JOBS = {
    "kl_divergence": lambda: fd.kl_divergence(many_p, many_q),
    "kl_divergence, short rows": lambda: [fd.kl_divergence(small, small) for _ in range(1000)],
    "renyi_divergence": lambda: fd.renyi_divergence(many_p, many_q, 0.3),
    "compare_logits": lambda: fd.compare_logits(
        many_p[:10**6], many_q[:10**6], labels, fields=fd.LogitComparison._fields),
    "token_nll": lambda: [fd.token_nll(many_p[:10**6], labels) for _ in range(1000)],
    "token_stats": lambda: [fd.token_stats(many_p[:10**6]) for _ in range(1000)],
    "pairwise": lambda: fd.pairwise(many_p[:30000], many_q[:5000], "js_divergence"),
    "pairwise, half": lambda: fd.pairwise(many_p[:9000], divergence="renyi_divergence", alpha=0.3),
    "pairwise, sparse": lambda: fd.pairwise(stored),
    "f_divergence": lambda: fd.f_divergence(many_p[:10**6], many_q[:10**6], cube),
    "ComparisonMeter": lambda: fd.ComparisonMeter().update(many_p[:10**6], many_q[:10**6], labels),
    "bootstrap": lambda: uncertainty.bootstrap("mean", rng.random(10**6), resamples=10**6),
    "one row: kl_divergence": lambda: fd.kl_divergence(one_p, one_q),
    "one row: js_divergence": lambda: fd.js_divergence(one_double, one_double),
    "one row: renyi_divergence": lambda: fd.renyi_divergence(one_p, one_q, 0.3),
    "one row: entropy from logits": lambda: fd.entropy(one_p, from_logits=True),
    "one row: token_nll": lambda: fd.token_nll(one_p, [0]),
    "one row: token_stats": lambda: fd.token_stats(
        one_p, [10**11 - 1], fields=fd.TokenStatistics._fields),
    "one row: truncated_kl": lambda: fd.truncated_kl(one_p, one_q),
    # These need memory as long as a row, which takes the system its time.
    "long rows: compare_logits": lambda: fd.compare_logits(long, long),
    "long rows: wasserstein_distance": lambda: fd.wasserstein_distance(long, long),
    "gaussian_kl": lambda: fd.gaussian_kl(
        np.zeros(16), np.broadcast_to(np.eye(16), (10**8, 16, 16)), np.ones(16), np.eye(16)),
    "large matrices: gaussian_kl": lambda: fd.gaussian_kl(
        np.zeros(1500), np.eye(1500), np.ones(1500), np.eye(1500)),
    "one resample": lambda: fd._core.resampled_sums(np.ones((1, 1000)), 10**11, 0, 1),
}
"""
INTERRUPTED = (
    ENDLESS
    + """
import signal, sys, time
from fastdiv import _core
signal.signal(signal.SIGINT, signal.default_int_handler)
fd.set_num_threads(2)
for line in sys.stdin:
    isa, name = line.strip().split(" ", 1)
    _core.force_isa(isa)
    try:
        print("go", flush=True)
        JOBS[name]()
        print("it ended", flush=True)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
    assert fd.kl_divergence([1, 1], [1, 3]) == 0.14384103622589045
"""
)


LONGEST = 0.1  # seconds: the promise


def latencies(jobs: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Seconds from the signal to the exception of jobs that have run for a while."""
    found = {}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        for job in jobs:
            process.stdin.write(" ".join(job) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "go\n", job
            time.sleep(0.3)
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            said = process.stdout.readline()
            assert re.fullmatch(r"[0-9.]+\n", said), (job, said)
            found[job] = float(said) - start
        process.stdin.close()
        code = process.wait(60)
        assert code == 0, code
    return found


def jobs() -> list[str]:
    return re.findall(r'^    "(.*?)": lambda', ENDLESS, re.MULTILINE)


@pytest.mark.promise("P11")
@pytest.mark.skipif(platform.system() != "Linux", reason="clocks are compared across processes")
def test_interruption(worst):
    """A machine with other work may let a process wait, so what is late is tried again.

    That it is late each time is the job's own doing: what does not ask for signals in 100 ms of
    work does so in no try.
    """
    slowest = fd.available_isas()[0]
    pairs = [(fd.isa(), name) for name in jobs()]
    pairs += [(slowest, name) for name in jobs() if "renyi" in name or "compare" in name]
    found = latencies(pairs)
    assert len(found) > 20
    for _ in range(4):
        late = [job for job, seconds in found.items() if seconds > LONGEST]
        if not late:
            break
        time.sleep(1)
        again = latencies(late)
        found |= {job: min(found[job], again[job]) for job in late}
    (isa, name), longest = max(found.items(), key=lambda item: item[1])
    print(json.dumps({" ".join(job): round(1e3 * x) for job, x in found.items()}, indent=1))
    worst(1e3 * longest, f"ms from Ctrl-C to KeyboardInterrupt ({name}, {isa})", 1e3 * LONGEST)
    assert longest <= LONGEST, (isa, name)


# --- memory that runs out ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failing(tmp_path_factory) -> str:
    """failing.c, to be preloaded: it lets allocations and the making of threads fail."""
    library = tmp_path_factory.mktemp("failing") / "failing.so"
    subprocess.run(
        [CC, "-O1", "-shared", "-fPIC", "-o", library, HERE / "failing.c", "-ldl", "-pthread"],
        check=True,
        timeout=120,
    )
    return str(library)


glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the shim stands before glibc's malloc"
)
SHIM = """
import ctypes, gc, itertools, sys
import numpy as np
import fastdiv as fd
from fastdiv import _core
from calls import CALLS, digest
shim = ctypes.CDLL(None)
shim.failing_range.argtypes = [ctypes.c_size_t] * 2
shim.failing_arm.argtypes = shim.failing_threads.argtypes = [ctypes.c_long]
shim.failing_arm.restype = shim.failing_threads.restype = shim.failing_range.restype = None
shim.failing_disarm.restype = shim.failing_blocks.restype = ctypes.c_long
def watch(extension):
    lines = [line for line in open("/proc/self/maps") if extension.__file__ in line]
    bounds = [int(x, 16) for line in lines for x in line.split()[0].split("-")]
    shim.failing_range(min(bounds), max(bounds))
watch(_core)
np.seterr(all="ignore")
def attempts(function, name):
    failures = leaked = 0
    while True:
        gc.collect()
        before = shim.failing_blocks()
        shim.failing_arm(failures + 1)
        try:
            result = function()
        except MemoryError:
            result = None
        left = shim.failing_disarm()
        assert (result is None) == (left == -1), (name, failures, left)
        if result is not None:
            return result, failures, leaked
        gc.collect()
        leaked += shim.failing_blocks() != before
        failures += 1
def attempt_all(calls):
    total = []
    for threads in (3, 1):
        fd.set_num_threads(threads)
        for name, call in calls.items():
            want = digest(call())
            call()
            result, *found = attempts(call, name)
            assert digest(result) == want == digest(call()), name
            total.append((name, *found))
    return total
def report(total):
    print([x for x in total if x[2]], file=sys.stderr)
    print(sum(x[1] for x in total), sum(x[1] > 0 for x in total), sum(x[2] for x in total))
"""


@pytest.mark.promise("P11")
@needs("objdump")
@pytest.mark.parametrize("module", [_core, _gaussian], ids=lambda module: module.__name__)
def test_allocations_that_can_fail(module):
    """What failing.c stands before is all that the extension asks the C library for memory by."""
    symbols = subprocess.run(
        ["objdump", "-T", module.__file__], capture_output=True, text=True, check=True
    ).stdout
    names = set(re.findall(r"\*UND\*.*\s(\w+)$", symbols, re.MULTILINE))
    found = {name for name in names if re.search(r"alloc|memalign|map|brk|dup", name)}
    found = {name for name in found if not name.startswith(("Py", "_Py", "__asan_"))}
    assert {"malloc"} <= found <= {"malloc", "calloc", "realloc"}


@needs_plain_malloc
@glibc
@needs_compiler
@pytest.mark.promise("P11")
def test_no_memory_for_the_extension(failing, worst):
    """Its k-th allocation fails, for every k: MemoryError, nothing is kept, and all is well."""
    code = (
        SHIM
        + """
makers = {(name, source): lambda name=name, source=source: _core.gufunc(name, source)
          for name in (*_core.DIVERGENCES, "f_divergence", "wasserstein_distance")
          for source in range(3)}
gc.collect()
gc.freeze()
attempts(makers.popitem()[1], "the first, at which something is made for all others")
total = []
for name, maker in makers.items():
    _, *found = attempts(maker, name)
    total.append((name, *found))
report(total + attempt_all(CALLS))
"""
    )
    result = python(code, LD_PRELOAD=failing, PYTHONMALLOC="malloc")
    failures, functions, leaked = map(int, answer(result).split())
    # A gufunc is made in four pieces; two rows of logits need scratch on every thread.
    assert failures > 4 * 60
    assert functions > 60
    assert leaked == 0, result.stderr
    worst(float(leaked), f"of {failures} failed allocations of the extension left a block", 0)


@needs_plain_malloc
@glibc
@needs_compiler
@pytest.mark.promise("P11")
def test_no_memory_for_gaussians(failing, worst):
    """The same of the other extension: matrices need scratch on every thread."""
    code = (
        SHIM
        + """
from fastdiv import _gaussian
watch(_gaussian)
rng = np.random.default_rng(2)
half = rng.normal(size=(2, 4000, 6, 9))
(s0, s1), (m0, m1) = half @ half.swapaxes(-1, -2), rng.normal(size=(2, 4000, 6))
v0, v1 = 1 + m0**2, 1 + m1**2
CALLS = {name: call for name, call in CALLS.items() if "gaussian" in name or name == "normal_kl"}
CALLS["batch"] = lambda: fd.gaussian_kl(m0, s0, m1, s1)
CALLS["batch, renyi"] = lambda: fd.gaussian_renyi(m0, s0, m1, s1, 0.3)
CALLS["batch, diagonal"] = lambda: fd.gaussian_kl(m0, v0, m1, v1, covariance="diagonal")
gc.collect()
gc.freeze()
attempts(CALLS["gaussian_kl"], "the first, at which something is made for all others")
total = attempt_all(CALLS)
for threads, allowed in itertools.product((3, 1), range(3)):
    fd.set_num_threads(threads)
    for name, call in CALLS.items():
        want = digest(call())
        shim.failing_threads(allowed)
        assert digest(call()) == want, (name, allowed)
        shim.failing_threads(-1)
report(total)
"""
    )
    result = python(code, LD_PRELOAD=failing, PYTHONMALLOC="malloc")
    failures, calls_that_failed, leaked = map(int, answer(result).split())
    assert failures >= 20
    assert calls_that_failed >= 14, result.stdout
    assert leaked == 0, result.stderr
    worst(float(leaked), f"of {failures} failed allocations for Gaussians left a block", 0)


@needs_plain_malloc
@glibc
@needs_compiler
@pytest.mark.promise("P11")
def test_no_threads(failing):
    """Where a thread can't be made, its share is computed all the same: the same bits."""
    code = (
        SHIM
        + """
fd.set_num_threads(5)
shared = np.tile(np.arange(1.0, 1001), (2, 4200)).astype(np.float32)
shared[1] += 1
CALLS["a shared row"] = lambda: fd.kl_divergence(*shared)
want = {name: digest(call()) for name, call in CALLS.items()}
for allowed in range(4):
    for name, call in CALLS.items():
        shim.failing_threads(allowed)
        assert digest(call()) == want[name], (name, allowed)
    shim.failing_threads(-1)
print("same")
"""
    )
    assert answer(python(code, LD_PRELOAD=failing)) == "same\n"


@pytest.mark.promise("P11")
@pytest.mark.skipif(platform.system() != "Linux", reason="RLIMIT_AS is not kept elsewhere")
def test_no_memory_for_the_scratch_of_a_long_row():
    code = """
import resource
import numpy as np
import fastdiv as fd
n = 1 << 23
x = np.broadcast_to(np.float32(0.5), (2, n))
out = np.full(2, -1.0)
pages = int(open("/proc/self/statm").read().split()[0])
before = resource.getrlimit(resource.RLIMIT_AS)
size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
resource.setrlimit(resource.RLIMIT_AS, ((size << 10) + (32 << 20), before[1]))
try:
    fd.compare_logits(x, x)
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, before)
print(fd.compare_logits(x, x).kl)
"""
    assert answer(python(code)) == "no memory for two rows\n[0. 0.]\n"


# --- references ----------------------------------------------------------------------------------

TIMES = 1000
# Of what takes many milliseconds a call, fewer.
FEWER = {"bounds": 250, "compare_topk": 250, "ComparisonMeter": 250, "projection": 100}


def growth(call, times: int = TIMES) -> tuple[list[int], int]:
    """What the references of shared objects and the number of blocks grow by in many calls."""
    objects = [*calls.SMALL.arrays(), calls.ONE, calls.LONGER, np.float64, np.dtype("f4")]
    objects += [np.ndarray, MemoryError, ValueError, _core.DIVERGENCES, _core.PARAMETERS]
    for _ in range(20):
        call()
    gc.collect()
    before = [sys.getrefcount(x) for x in objects]
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(times):
        call()
    gc.collect()
    blocks = sys.getallocatedblocks() - blocks
    after = [sys.getrefcount(x) for x in objects]
    return [m - n for m, n in zip(after, before, strict=True)], blocks


def keeps_a_block(call, times: int, blocks: int) -> bool:
    """Whether one call in 20 keeps a block, or more: again and again, as no cache does.

    What the first calls of SciPy's optimisers keep is hundreds of blocks, and less each time.
    """
    most = times // 20 + 5
    for _ in range(7):
        if blocks <= most:
            return False
        blocks = growth(call, times)[1]
    return blocks > most


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", calls.SMALL_CALLS)
def test_references(name, worst):
    times = FEWER.get(name, TIMES)
    references, blocks = growth(calls.SMALL_CALLS[name], times)
    assert not any(references)
    assert not keeps_a_block(calls.SMALL_CALLS[name], times, blocks)
    worst(float(max(map(abs, references))), f"references kept by {times} calls", 0)


@pytest.mark.promise("P11")
@pytest.mark.parametrize("name", WRONG)
def test_references_of_errors(name, worst):
    def call() -> None:
        try:
            WRONG[name]()
        except (ValueError, TypeError, LookupError):
            return
        raise AssertionError(name)

    references, blocks = growth(call)
    assert not any(references)
    assert not keeps_a_block(call, TIMES, blocks)
    worst(float(max(map(abs, references))), f"references kept by {TIMES} calls that raise", 0)


def test_references_are_counted():
    """A function that keeps an object, or a piece of memory, is found by the tests above."""
    kept: list[object] = []
    references, _ = growth(lambda: kept.append(calls.ONE))
    assert max(references) == TIMES
    count = itertools.count()

    def now_and_then() -> None:
        if next(count) % 10 == 0:
            kept.append(np.empty(3))

    for times in (TIMES, TIMES // 4):
        _, blocks = growth(now_and_then, times)
        assert keeps_a_block(now_and_then, times, blocks)
        assert not keeps_a_block(lambda: None, times, TIMES)
