"""Whatever holds numbers is read as it is: every bf16, torch, DLPack, `__array__`, Dask."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import time
import weakref

import ml_dtypes
import numpy as np
import pytest
from layouts import DTYPES

import fastdiv as fd

ROWS = np.random.default_rng(11).gamma(0.5, size=(2, 5, 300)) + 1e-3


class HoldsAnArray:
    """Anything with `__array__`."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)


class SpeaksDLPack:
    """A tensor of a library that fastdiv has never heard of."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


@pytest.mark.promise("P10")
def test_other_threads_run_beside_a_few_long_rows():
    rows = np.broadcast_to(np.random.default_rng(2).random(1_000_000), (60, 1_000_000))
    started, ran_at = threading.Event(), []

    def other():
        started.wait()
        ran_at.append(time.perf_counter())

    thread = threading.Thread(target=other)
    thread.start()
    started.set()
    fd.renyi_divergence(rows, rows[:, ::-1], 1.5)
    end = time.perf_counter()
    thread.join()
    assert ran_at[0] < end


def test_import_loads_numpy_and_nothing_else():
    code = """
import json, sys, numpy
before = set(sys.modules)
import fastdiv
print(json.dumps(sorted({m.partition(".")[0] for m in set(sys.modules) - before})))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    foreign = (
        set(json.loads(result.stdout))
        - sys.stdlib_module_names
        - {"fastdiv", "numpy", "cython_runtime"}
    )
    assert {m for m in foreign if not m.startswith("_cython_")} == set()


def test_torch_is_never_imported():
    code = """
import sys, numpy, fastdiv
class Tensor:
    x = numpy.ones(3, numpy.float32)
    def __dlpack__(self, **options): return self.x.__dlpack__(**options)
    def __dlpack_device__(self): return self.x.__dlpack_device__()
fastdiv.kl_divergence(Tensor(), Tensor())
fastdiv.token_nll(numpy.ones((2, 3), numpy.uint16), [0, 1], dtype="bfloat16")
assert "torch" not in sys.modules and "ml_dtypes" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bfloat16_is_one_type(isa, divergence):
    """ml_dtypes' arrays and their raw bits give what their values say, in float32's precision."""
    p, q = (x.astype(ml_dtypes.bfloat16) for x in ROWS)
    want = divergence(p.astype(np.float32), q.astype(np.float32))
    raw = [x.view(np.uint16) for x in (p, q)]
    np.testing.assert_array_equal(divergence(p, q), want)
    np.testing.assert_array_equal(divergence(*raw, dtype="bfloat16"), want)
    np.testing.assert_array_equal(divergence(p, raw[1], dtype="bfloat16"), want)


def test_raw_bits_are_integers_unless_said(divergence):
    raw = ROWS.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(divergence(*raw), divergence(*raw.astype(np.float32)))


def test_half_precision_is_its_values(isa, divergence):
    p, q = (x.astype(np.float16) for x in ROWS)
    np.testing.assert_array_equal(
        divergence(p, q), divergence(p.astype(np.float32), q.astype(np.float32))
    )


@pytest.mark.parametrize("wrong", ["float128", "int8", "bf16", "", 3])
def test_dtype_must_be_known(wrong):
    with pytest.raises((TypeError, ValueError), match="dtype"):
        fd.entropy(ROWS[0], dtype=wrong)


def test_tokens_read_bfloat16():
    logits = np.log(ROWS[0]).astype(ml_dtypes.bfloat16)
    want = fd.token_nll(logits.astype(np.float32), np.arange(5))
    raw = logits.view(np.uint16)
    assert (fd.token_nll(logits, np.arange(5)) == want).all()
    assert (fd.token_nll(raw, np.arange(5), dtype="bfloat16") == want).all()
    assert (fd.compare_logits(raw, raw, np.arange(5), dtype="bfloat16").nll_base == want).all()
    assert fd.perplexity(raw, np.arange(5), dtype="bfloat16") == fd.perplexity(logits, np.arange(5))


@pytest.mark.parametrize(
    "wrapper", [HoldsAnArray, SpeaksDLPack, np.ndarray.tolist, tuple], ids=lambda w: w.__name__
)
def test_containers(divergence, wrapper):
    want = divergence(*ROWS)
    result = divergence(*(wrapper(x) for x in ROWS))
    np.testing.assert_array_equal(result, want)
    assert type(result) is np.ndarray


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_torch_tensors(divergence, name):
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(x).to(getattr(torch, name)) for x in ROWS]
    arrays = [x.astype(DTYPES[name]) for x in ROWS]
    np.testing.assert_array_equal(divergence(*tensors), divergence(*arrays))
    np.testing.assert_array_equal(divergence(tensors[0], arrays[1]), divergence(*arrays))
    turned = [t.T for t in tensors]
    np.testing.assert_array_equal(divergence(*turned, axis=0), divergence(*arrays))
    strided = [t[:, ::3] for t in tensors]
    np.testing.assert_array_equal(divergence(*strided), divergence(*(x[:, ::3] for x in arrays)))
    assert divergence(tensors[0][:0], tensors[1][:0]).shape == (0,)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_torch_logits(name):
    torch = pytest.importorskip("torch")
    logits = torch.randn(6, 400, generator=torch.Generator().manual_seed(1)).to(
        getattr(torch, name)
    )
    labels = torch.arange(6)
    want = torch.nn.functional.cross_entropy(logits.double(), labels, reduction="none").numpy()
    np.testing.assert_allclose(fd.token_nll(logits, labels), want, rtol=1e-6)
    np.testing.assert_allclose(fd.compare_logits(logits, logits, labels).nll_base, want, rtol=1e-6)


def test_torch_tensor_is_released():
    """A capsule that is dropped, or an error after it was taken, must not keep the tensor alive."""
    torch = pytest.importorskip("torch")
    tensor = torch.ones(4, 8, dtype=torch.bfloat16)
    alive = weakref.ref(tensor)
    fd.entropy(tensor)
    with pytest.raises(ValueError, match="7"):
        fd.kl_divergence(tensor, np.ones(7))
    del tensor
    gc.collect()
    assert alive() is None


def test_numpy_scalar_for_one_row(divergence):
    result = divergence(ROWS[0, 0], ROWS[1, 0])
    assert type(result) is np.float64
    assert result == divergence(*ROWS)[0]


def test_subclasses_are_read_as_arrays(divergence):
    class Sub(np.ndarray):
        pass

    np.testing.assert_array_equal(
        np.asarray(divergence(*(x.view(Sub) for x in ROWS))), divergence(*ROWS)
    )


def test_dask_stays_lazy(divergence):
    da = pytest.importorskip("dask.array")
    lazy = divergence(*(da.from_array(x, chunks=(2, -1)) for x in ROWS))
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), divergence(*ROWS))


def test_byteswapped_bfloat16_outside_the_kernels():
    """Checks, functions of one's own and tables read the same numbers as the kernels."""
    p, q = (x.astype(DTYPES["bfloat16"]) for x in ROWS)
    raw = [x.view(np.uint16).astype(">u2") for x in (p, q)]

    def f(u):
        return (u - 1) ** 2 / (u + 2)

    want = fd.f_divergence(p, q, f)
    np.testing.assert_array_equal(fd.f_divergence(*raw, f, dtype="bfloat16"), want)
    want = fd.kl_divergence(p, q)
    np.testing.assert_array_equal(fd.kl_divergence(*raw, dtype="bfloat16", validate=True), want)
    tables = fd.mutual_information(p), fd.mutual_information(raw[0], dtype="bfloat16")
    assert tables[0] == tables[1]
