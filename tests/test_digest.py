"""P7 and P9: one digest of the bits of every kernel, whatever compiles, runs, splits or places it.

`digest.c` hashes 10,240 pairs of rows.  It is compiled here by each compiler there is, for this
machine and for AArch64 (run by qemu), and as a library that is handed the kernels of the package
under test, as they were built.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from layouts import DTYPES
from needed import program
from test_bits import TOKEN_FUNCTIONS, batch, same

import fastdiv as fd
from fastdiv import _core, _gaussian

# A change of this is a change of the bits of fastdiv's results, or of what digest.c hashes.
DIGEST = "06d6304ee51b5d19"
# The same of rows that are added up in segments of 256 elements, by several threads together.
SEGMENTED_DIGEST = "716b63bca59cc9a7"
CHANGED = (
    "The bits of results are not those that are pinned: {found}, not {DIGEST}, in {where}.\n"
    "If that is meant (other bits of a result, or another kernel hashed), note it in CHANGELOG.md "
    "and pin the new digest here; it must be the same in every test of this file."
)
ENVIRONMENTS = ("nearest", "downward", "upward", "toward_zero", "flush")
LONG = os.environ.get("FASTDIV_LONG") == "1"

TESTS = Path(__file__).parent
KERNELS = TESTS.parent / "src_c"
# FD_SANITIZE and FD_COMPACT leave inlining and unrolling to the compiler: seconds, not minutes.
FLAGS = ["-std=c11", "-O1", "-ffp-contract=off", "-pthread"]
FLAGS += ["-DFD_SANITIZE", "-DFD_COMPACT", "-DAHEAD=1"]

needs = {
    "gcc": ["gcc"],
    "clang": ["clang"],
    "aarch64": ["aarch64-linux-gnu-gcc", "qemu-aarch64"],
}


def compiled(compiler: str, to: Path, *flags: str, gaussian: bool = False) -> Path:
    sources = [TESTS / "digest.c"]
    if gaussian:
        sources = [TESTS / "gaussian_digest.c", *sorted((KERNELS / "gaussian").glob("*.c"))]
    if gaussian or "-DFD_LIBRARY" in flags:
        sources += [KERNELS / "parallel.c", KERNELS / "resample.c"]
    else:
        sources += sorted(KERNELS.glob("*.c"))
    command = [compiler, *FLAGS, *flags, f"-I{KERNELS}", *map(str, sources), "-o", str(to), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return to


def library_in(place: Path, flag: str, *, gaussian: bool = False) -> ctypes.CDLL:
    compiler = program("gcc", "clang")
    flags = [flag, "-shared", "-fPIC"]
    return ctypes.CDLL(str(compiled(compiler, place / "digest.so", *flags, gaussian=gaussian)))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    found = library_in(tmp_path_factory.mktemp("digest"), "-DFD_LIBRARY")
    found.fastdiv_digest_column.restype = ctypes.c_char_p
    found.fastdiv_control_word.restype = ctypes.c_uint64
    return found


def driver_of(name: str, place: Path, *flags: str, gaussian: bool = False) -> list[str]:
    """The command of the driver that one compiler made."""
    for tool in needs[name]:
        program(tool)
    static = ["-static"] if name == "aarch64" else []
    flags = (*flags, *static)
    path = compiled(needs[name][0], place / f"digest-{name}", *flags, gaussian=gaussian)
    return [*needs[name][1:], str(path)]


@pytest.fixture(params=needs)
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return driver_of(request.param, tmp_path)


@pytest.fixture(params=needs)
def gaussian_driver(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    return driver_of(request.param, tmp_path, gaussian=True)


def digests(command: list[str], *arguments: str) -> dict[str, dict[str, str]]:
    """What the driver prints: by instruction set, by kernel."""
    run = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr or "the floating-point environment was not put back"
    found: dict[str, dict[str, str]] = {}
    for line in run.stdout.splitlines():
        isa, kernel, digest = line.split()
        found.setdefault(isa, {})[kernel] = digest
    assert found, "no instruction set ran"
    return found


def agreed(found: dict[str, dict[str, str]], pinned: str, driver: list[str]) -> None:
    """One set of bits on all instruction sets, and it is the one that is pinned."""
    first, *others = found
    for isa in others:
        kernels = differing(found[isa], found[first])
        assert not kernels, f"{isa} and {first} differ in {kernels}"
    assert found[first]["all"] == pinned, CHANGED.format(
        found=found[first]["all"], DIGEST=pinned, where=f"{first} of {driver[-1]}"
    )


def differing(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [kernel for kernel in wanted if found[kernel] != wanted[kernel]]


@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
def test_compilers_and_processors(driver, worst):
    """gcc, clang, and NEON under qemu: every instruction set that the driver was built with.

    The driver puts half of its rows flush against pages that nobody may touch.
    """
    emulated = len(driver) > 1
    if emulated and not LONG:
        runs = [("neon", "2", "upward", "3")]
    else:
        runs = [("all", "2", "nearest", "1")]
    if LONG:
        which = "neon" if emulated else "all"
        runs += [(which, "3", environment, "2") for environment in ENVIRONMENTS]
    for arguments in runs:
        found = digests(driver, *arguments)
        if arguments[0] == "all" and emulated:
            assert set(found) == {"scalar", "neon"}
        elif arguments[0] == "all":
            assert set(found) == set(fd.available_isas())
        agreed(found, DIGEST, driver)
    worst(0, f"differing bits of results, {Path(driver[0]).name}", 0)
    if LONG or "gcc" in Path(driver[0]).name:
        # FD_SCRATCH(n) bytes before a page that nobody may touch, n from 0 on.
        assert all(seen == {"scratch": "0"} for seen in digests(driver, "scratch").values())


@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
@pytest.mark.parametrize("name", needs if LONG else ["gcc"])
def test_segments_and_who_adds_them_up(name, tmp_path, worst):
    """Rows of up to 17 segments of 256, alone and shared by threads, who meet up to five times."""
    driver = driver_of(name, tmp_path, "-DFD_SEGMENT_LENGTH=256")
    runs = [("1", "nearest", "1"), ("3", "upward", "2")]
    if LONG:
        runs += [(threads, "flush", threads) for threads in ("2", "5", "16")]
    for arguments in runs:
        agreed(digests(driver, "all", *arguments), SEGMENTED_DIGEST, driver)
    worst(0, f"differing bits of shared rows in short segments, {Path(driver[0]).name}", 0)


# Together every number of threads from 1 to 64, each with some environment and some placement.
SPLITS = list(zip(range(1, 65), cycle(ENVIRONMENTS), strict=False))
RUNS = SPLITS if LONG else [SPLITS[i] for i in (0, 1, 2, 63, 29)]


@pytest.mark.promise("P7")
@pytest.mark.promise("P9")
@pytest.mark.parametrize("isa_name", fd.available_isas())
def test_kernels_as_they_were_built(library, isa_name, worst):
    """The compiled package itself, over threads, floating-point environments and placements."""
    assert {environment for _, environment in RUNS} == set(ENVIRONMENTS)
    table = ctypes.c_void_p(_core.kernel_tables()[isa_name])
    first: dict[str, int] = {}
    for placement, (threads, environment) in enumerate(RUNS):
        digest = (ctypes.c_uint64 * 256)()
        lost = library.fastdiv_digest(
            table, threads, environment.encode(), ctypes.c_uint64(placement), digest
        )
        assert not lost, f"{environment} was not put back"
        columns = {}
        while name := library.fastdiv_digest_column(len(columns)):
            columns[name.decode()] = digest[len(columns)]
        assert columns, "nothing was hashed"
        assert set(_core.DIVERGENCES) <= set(columns)
        first = first or columns
        kernels = [kernel for kernel in columns if columns[kernel] != first[kernel]]
        where = f"{threads} threads, {environment}, placement {placement}"
        assert not kernels, f"{where}: other bits of {kernels}"
        found = f"{digest[len(columns)]:016x}"
        assert found == DIGEST, CHANGED.format(found=found, DIGEST=DIGEST, where=isa_name)
    worst(0, f"differing bits over threads, modes and places, {isa_name}", 0)


# --- Gaussians ------------------------------------------------------------------------------------

# Of gaussian_digest.c, as DIGEST is of digest.c.
GAUSSIAN_DIGEST = "1aea413b44bd8622"


@pytest.mark.promise("P7")
@pytest.mark.promise("P8")
@pytest.mark.promise("P9")
def test_gaussians_of_compilers_and_processors(gaussian_driver, worst):
    """gcc, clang, and NEON under qemu: the same bits, and no operand is left at either end."""
    emulated = len(gaussian_driver) > 1
    isas = ["scalar", "neon"] if emulated else list(fd.available_isas())
    runs = [("2", "upward", "3")] if emulated else [("1", "nearest", "1"), ("3", "flush", "2")]
    if LONG:
        runs += [("2", environment, str(i)) for i, environment in enumerate(ENVIRONMENTS)]
    for arguments in runs:
        found = digests(gaussian_driver, *arguments, *isas)
        assert list(found) == isas
        for isa in isas:
            forms = differing(found[isa], found[isas[0]])
            assert not forms, f"{isa} and {isas[0]} differ in {forms}"
        assert found[isas[0]]["all"] == GAUSSIAN_DIGEST, CHANGED.format(
            found=found[isas[0]]["all"], DIGEST=GAUSSIAN_DIGEST, where=gaussian_driver[-1]
        )
    worst(0, f"differing bits of Gaussians, {Path(gaussian_driver[0]).name}", 0)


@pytest.fixture(scope="module")
def gaussian_library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return library_in(tmp_path_factory.mktemp("digest"), "-DFD_GAUSSIAN_LIBRARY", gaussian=True)


@pytest.mark.promise("P7")
@pytest.mark.promise("P9")
@pytest.mark.parametrize("isa_name", fd.available_isas())
def test_gaussians_as_they_were_built(gaussian_library, isa_name, worst):
    """The compiled package itself, over threads, floating-point environments and placements."""
    addresses = _gaussian.kernel_addresses()
    run, kernel = (ctypes.c_void_p(addresses[name]) for name in ("fd_parallel", isa_name))
    names = (ctypes.c_char_p * 9).in_dll(gaussian_library, "fastdiv_gaussian_forms")
    first: list[int] = []
    for placement, (threads, environment) in enumerate(RUNS):
        digest = (ctypes.c_uint64 * 9)()
        lost = gaussian_library.fastdiv_gaussian_digest(
            run, kernel, threads, environment.encode(), ctypes.c_uint64(placement), digest
        )
        assert not lost, f"{environment} was not put back"
        first = first or list(digest)
        forms = [name for name, x, y in zip(names, digest, first, strict=True) if x != y]
        where = f"{isa_name}, {threads} threads, {environment}, placement {placement}"
        assert not forms, f"{where}: other bits of {forms}"
        found = f"{digest[8]:016x}"
        assert found == GAUSSIAN_DIGEST, CHANGED.format(
            found=found, DIGEST=GAUSSIAN_DIGEST, where=where
        )
    worst(0, f"differing bits of Gaussians over threads, modes and places, {isa_name}", 0)


# --- through Python -------------------------------------------------------------------------------


@pytest.mark.promise("P7")
@pytest.mark.parametrize("name", ["divergences", *TOKEN_FUNCTIONS])
def test_every_number_of_threads(isa, divergences, name):
    """1 to 64 threads; what is computed is enough for more than one of them."""
    dtype = list(DTYPES)[sum(map(ord, name + isa)) % len(DTYPES)]
    n, count = 2051, 67
    p, q = batch(dtype, "logits", n, count)
    function = TOKEN_FUNCTIONS.get(
        name, lambda p, q: tuple(d(p, q, from_logits=True) for d in islice(divergences, 0, None, 4))
    )
    with fd.num_threads(1):
        want = function(p, q)
    for threads in range(2, 65) if LONG else (4, 5, 8, 16, 31, 33, 64):
        with fd.num_threads(threads):
            same(function(p, q), want)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("name", ["kl_divergence", "token_nll"])
def test_a_row_of_a_hundred_million(name, worst):
    """In 96 segments, the last one short, no two of them equal."""
    block = np.random.default_rng(10).gamma(0.5, size=999_983) + 1e-3
    room = np.tile(block.astype(np.float16), 101)
    p, q = room[: 10**8], room[7 : 10**8 + 7]
    found = []
    for threads in (1, 2, 5):
        with fd.num_threads(threads):
            found.append(
                fd.token_nll(p, 10**8 - 3) if name == "token_nll" else fd.kl_divergence(p, q)
            )
    assert found[0] > 0.5
    for x in found[1:]:
        same([x], found[:1])
    worst(0, f"differing bits of a row of 10⁸, {name}, by 1, 2 and 5 threads", 0)


@pytest.mark.promise("P7")
@pytest.mark.parametrize("form", ["normalised", "logits"])
@pytest.mark.parametrize("n", [15, 16, 17, 63, 64, 65, 67, 255, 256, 257, 300])
def test_every_byte_offset(dtype, divergences, form, n):
    """0 to 63 bytes from a line of the cache: no multiple of the elements' size, mostly."""
    options = {"from_logits": form == "logits"}
    p, q = batch(dtype, form, n, 9)
    want = [d(p, q, **options) for d in divergences]
    room = np.empty(2 * (p.nbytes + 192), np.uint8)
    start = -room.ctypes.data % 64
    half = room.size // 2 // 64 * 64
    for offset in range(64):
        views = []
        for x, at in ((p, start + offset), (q, start + half + (5 * offset + 1) % 64)):
            view = room[at : at + x.nbytes].view(x.dtype).reshape(x.shape)
            view[...] = x
            views.append(view)
        assert views[0].ctypes.data % 64 == offset
        some = range(offset % 3, len(divergences), 3)
        same([divergences[i](*views, **options) for i in some], [want[i] for i in some])


@pytest.mark.promise("P9")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("threads", [1, 2])
def test_environment_of_the_caller(isa, library, divergences, environment, threads):
    """Through Python, subnormals flushed too: the same bits, and the caller gets its mode back."""
    p, q = batch("float32", "normalised", 515, 300)
    a, b = batch("float32", "logits", 515, 300)

    def everything():
        columns = [d(p, q) for d in islice(divergences, threads, None, 5)]
        for function in TOKEN_FUNCTIONS.values():
            columns += function(a, b)
        return columns

    with fd.num_threads(threads):
        want = everything()
        before = library.fastdiv_control_word()
        library.fastdiv_environment(environment.encode())
        entered = library.fastdiv_control_word()
        try:
            got = everything()
            after = library.fastdiv_control_word()
        finally:
            library.fastdiv_environment(b"reset")
    assert library.fastdiv_control_word() == before
    assert after == entered
    if platform.machine() in ("x86_64", "aarch64"):
        assert (entered != before) == (environment != "nearest"), "the mode was not entered"
    same(got, want)
