"""Which instruction set runs is known, can be forced, and a wrong wish is an error at import."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import fastdiv as fd
from fastdiv import _core

ALL = ("scalar", "avx2", "avx512", "neon")
ABSENT = [name for name in ALL if name not in fd.available_isas()]


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.promise("P7")
def test_what_the_cpu_can_do_is_available():
    """Without this, a broken detection would leave half of the suite unrun, and green."""
    assert set(fd.available_isas()) <= set(ALL)
    assert "scalar" in fd.available_isas()
    if platform.machine() in ("aarch64", "arm64"):
        assert "neon" in fd.available_isas()
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() == "x86_64" and cpuinfo.exists():
        flags = set(cpuinfo.read_text().partition("flags")[2].partition("\n")[0].split())
        assert ("avx2" in fd.available_isas()) == ({"avx2", "fma", "f16c"} <= flags)
        assert ("avx512" in fd.available_isas()) >= (
            {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags
        )


def test_the_best_is_chosen():
    result = python("import fastdiv; print(fastdiv.isa())", FASTDIV_ISA="")
    assert result.stdout.split() == [fd.available_isas()[-1]], result.stderr
    assert fd.available_isas() == tuple(sorted(fd.available_isas(), key=ALL.index))


@pytest.mark.parametrize("name", fd.available_isas())
def test_each_can_be_forced(name):
    code = "import fastdiv; print(fastdiv.isa(), fastdiv.kl_divergence([1, 1], [1, 3]))"
    result = python(code, FASTDIV_ISA=name)
    assert result.stdout.split() == [name, "0.14384103622589045"], result.stderr


@pytest.mark.parametrize("name", [*ABSENT, "avx1024", "AVX2 ", "../avx2"])
def test_a_missing_one_is_an_import_error(name):
    result = python("import fastdiv", FASTDIV_ISA=name)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert "FASTDIV_ISA" in last
    assert name in last
    for available in fd.available_isas():
        assert available in last


@pytest.mark.parametrize("name", [*ABSENT, "avx1024", ""])
def test_a_missing_one_cannot_be_forced(name):
    before = fd.isa()
    with pytest.raises(ValueError, match="available"):
        _core.force_isa(name)
    assert fd.isa() == before


@pytest.mark.parametrize("threads", ["many", "-3", "1.5", "2 threads"])
def test_nonsense_thread_count_in_the_environment(threads):
    result = python("import fastdiv", FASTDIV_NUM_THREADS=threads)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "FASTDIV_NUM_THREADS" in last
    assert threads in last


def test_thread_count_from_the_environment():
    result = python("import fastdiv; print(fastdiv.get_num_threads())", FASTDIV_NUM_THREADS="3")
    assert result.stdout.split() == ["3"], result.stderr


def test_thread_count():
    before = fd.get_num_threads()
    assert before >= 1
    with fd.num_threads(3):
        assert fd.get_num_threads() == 3
        with fd.num_threads(1):
            assert fd.get_num_threads() == 1
        assert fd.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), fd.num_threads(2):
        raise ZeroDivisionError
    assert fd.get_num_threads() == before
    fd.set_num_threads(before + 1)
    assert fd.get_num_threads() == before + 1
    fd.set_num_threads(before)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=str(wrong)):
            fd.set_num_threads(wrong)
    for wrong in (1.5, "2", None):
        with pytest.raises(TypeError):
            fd.set_num_threads(wrong)
    assert fd.get_num_threads() == before


def test_version():
    try:
        installed = metadata.version("fastdiv")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from a source tree that is not installed")
    assert fd.__version__ == installed
