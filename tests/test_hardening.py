"""What the compiled core asks of the linker and the loader, and what it leaves alone.

A mistake in a kernel must meet a stack canary, a table of addresses that nobody can write and a
stack that nobody can run.  And importing the package must not change how the process computes.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from needed import program
from sanitized import needs_plain_malloc

from fastdiv import _core, _gaussian

pytestmark = [
    pytest.mark.promise("P8"),
    pytest.mark.skipif(sys.platform != "linux", reason="ELF is what Linux loads"),
]

MODULES = {module.__name__.rpartition(".")[2]: module for module in (_core, _gaussian)}
# What an indirect call may land on: endbr64; bti c or paciasp.
LANDING = {
    "x86_64": {bytes.fromhex("f30f1efa")},
    "aarch64": {bytes.fromhex("5f2403d5"), bytes.fromhex("3f2303d5")},
}
MACHINE = platform.machine()
KERNELS = Path(__file__).parent.parent / "src_c"


@pytest.fixture(params=MODULES)
def core(request: pytest.FixtureRequest) -> Path:
    return Path(MODULES[request.param].__file__)


@cache
def readelf(core: Path, *options: str) -> str:
    done = subprocess.run(
        [program("readelf"), "--wide", *options, str(core)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def segments(core: Path, kind: str) -> list[str]:
    return re.findall(rf"^\s+{kind}\s+(.*)$", readelf(core, "--program-headers"), re.MULTILINE)


def test_every_address_is_bound_at_load(core):
    """Or the table of functions would stay writable: RELRO would be partial."""
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b|\(FLAGS_1\).*\bNOW\b", readelf(core, "--dynamic"))


def test_relocated_tables_are_read_only(core):
    (relro,) = segments(core, "GNU_RELRO")
    start, size = (int(x, 16) for x in (relro.split()[1], relro.split()[4]))
    sections = readelf(core, "--section-headers")
    for name in (".data.rel.ro", ".dynamic", ".got"):
        found = re.search(
            rf"\s{re.escape(name)}\s+\w+\s+([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+)", sections
        )
        assert found, name
        first, length = (int(x, 16) for x in found.groups())
        assert start <= first, name
        assert first + length <= start + size, name
    assert not re.search(r"\s\.got\.plt\s", sections)


def test_the_stack_is_not_executable(core):
    (stack,) = segments(core, "GNU_STACK")
    assert "E" not in stack.split()[5:-1], stack


def test_nothing_is_writable_and_executable(core):
    loads = segments(core, "LOAD")
    flags = ["".join(re.findall(r"\b[RWE]\b", line)) for line in loads]
    assert "RE" in flags, loads
    assert not [f for f in flags if "W" in f and "E" in f], loads


def test_no_relocation_writes_into_code(core):
    assert "TEXTREL" not in readelf(core, "--dynamic")


def test_stacks_have_canaries(core):
    assert re.search(r"UND __stack_chk_fail\b", readelf(core, "--dyn-syms"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="whose names these are")
@needs_plain_malloc
def test_functions_are_fortified(core):
    """The jump out of a kernel is checked; what is copied has a size that only the caller knows."""
    symbols = readelf(core, "--dyn-syms")
    assert re.search(r"UND __longjmp_chk\b", symbols)
    assert not re.search(r"UND _?longjmp\b", symbols)


@pytest.mark.skipif(MACHINE not in LANDING, reason=f"no control-flow protection on {MACHINE}")
def test_indirect_calls_land_on_purpose(core):
    """The compiler's half.  Whether the file is marked for it (IBT, of x86) is also the C library's
    start files' to say, and some have none.
    """
    symbol = re.search(r"([0-9a-f]+)\s+\d+ FUNC .* PyInit_\w+$", readelf(core, "--dyn-syms"), re.M)
    assert symbol
    address = int(symbol.group(1), 16)
    for line in segments(core, "LOAD"):
        offset, virtual, _, size = (int(x, 16) for x in line.split()[:4])
        if virtual <= address < virtual + size:
            begin = offset + address - virtual
            assert core.read_bytes()[begin : begin + 4] in LANDING[MACHINE]
            return
    pytest.fail(f"no segment has PyInit at {address:#x}")


@pytest.mark.skipif(MACHINE != "x86_64", reason="the shadow stack of x86")
def test_the_shadow_stack_may_stay_on(core):
    """One library without this note, and the loader turns it off for the whole process."""
    assert re.search(r"x86 feature:.*\bSHSTK\b", readelf(core, "--notes"))


# Outside pytest, where nothing has computed yet; fegetenv's answer is glibc's layout.
ENVIRONMENT = """
import ctypes, platform
import numpy as np

def control():
    place = (ctypes.c_uint32 * 64)()
    assert ctypes.CDLL("libm.so.6").fegetenv(place) == 0
    if platform.machine() == "x86_64":
        return place[0] & 0xFFFF, place[7] & 0xFFC0  # x87's control word; MXCSR without its flags
    return place[0],  # FPCR

def gradual():
    least = np.full(64, 5e-324)
    return (least * 1.0 == least).all() and (np.full(64, 1e-45, np.float32) / 1 > 0).all()

before = control()
assert gradual()
import fastdiv as fd
import fastdiv.bounds, fastdiv.estimators, fastdiv.generators, fastdiv.meters, fastdiv.topk
print(*before, *control(), int(gradual()))
with fd.num_threads(2):
    rows = np.random.default_rng(0).random((64, 32_768))
    fd.kl_divergence(rows, rows[::-1])
    fd.compare_logits(rows, rows[::-1], np.zeros(64, np.int64))
    fd.gaussian_kl(np.zeros((4096, 8)), np.eye(8), np.ones(8), np.eye(8))
print(*before, *control(), int(gradual()))
"""


@pytest.mark.skipif(
    MACHINE not in ("x86_64", "aarch64") or platform.libc_ver()[0] != "glibc",
    reason="the layout of fenv_t is glibc's on x86-64 and AArch64",
)
def test_import_and_calls_leave_the_floating_point_environment():
    """-ffast-math at the link would set flush-to-zero for the whole process, silently."""
    done = subprocess.run(
        [sys.executable, "-c", ENVIRONMENT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout
    for line in lines:
        *words, kept = (int(x) for x in line.split())
        before, after = words[: len(words) // 2], words[len(words) // 2 :]
        assert before == after
        assert kept == 1
    if MACHINE == "x86_64":  # all exceptions masked, to nearest, neither flush-to-zero nor DAZ
        assert before[1] == 0x1F80


def test_no_start_code_of_fast_math(core):
    assert "set_fast_math" not in readelf(core, "--symbols")


@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc"])
def test_no_compiler_warns(compiler):
    """Of what it sees before it optimises: a macro with two meanings, a type that does not fit."""
    sources = [str(path) for path in sorted(KERNELS.rglob("*.c")) if path.parent.name != "tools"]
    assert sources
    flags = ["-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    command = [program(compiler), *flags, f"-I{KERNELS}", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
