"""P8: no function reads or writes a byte outside its arrays.

Every array lies flush against a page that nobody may touch, first at its end and then at its
beginning; a byte too far is a segmentation fault.  (`digest.c` does the same to the kernels alone,
with strides, and to their scratch.)
"""

from __future__ import annotations

import ctypes
import ctypes.util
import mmap
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from layouts import DTYPES
from test_bits import FORMS, TOKEN_FUNCTIONS, same

import fastdiv as fd

PAGE = mmap.PAGESIZE
PROT_NONE = 0
TAILS = range(65)  # of no, or one, whole block of 256 elements


class Guarded:
    """`pages` pages with one that nobody may touch before them and one behind."""

    def __init__(self, pages: int) -> None:
        self._map = mmap.mmap(-1, (pages + 2) * PAGE)
        self._bytes = np.frombuffer(self._map, np.uint8)
        address = self._bytes.ctypes.data
        libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
        for page in (address, address + (pages + 1) * PAGE):
            done = libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), PROT_NONE)
            assert done == 0, ctypes.get_errno()
        self._inside = self._bytes[PAGE : (pages + 1) * PAGE]

    def holding(self, values: np.ndarray, end: str) -> np.ndarray:
        """Return a copy of an array that begins or ends where the pages do."""
        size = values.nbytes
        assert size <= self._inside.size
        place = self._inside[self._inside.size - size :] if end == "last" else self._inside[:size]
        array = place.view(values.dtype).reshape(values.shape)
        array[...] = values
        return array


@pytest.fixture(scope="module")
def rooms() -> list[Guarded]:
    return [Guarded(6) for _ in range(3)]


def test_the_guard_is_there():
    """Or everything below would pass whatever is read."""
    code = (
        "import numpy as np, test_guard_pages as t; room = t.Guarded(1); "
        "a = room.holding(np.zeros(4), 'last'); "
        "print(np.lib.stride_tricks.as_strided(a, (5,)).sum())"
    )
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        check=False,
    )
    # A segmentation fault, which a sanitizer turns into an exit of its own.
    assert run.returncode != 0
    assert b"Traceback" not in run.stderr, run.stderr.decode()
    assert run.stdout == b""


def rows_of(n: int, dtype: str, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Three rows: one with zeros (or masked), so that careful paths read their blocks too."""
    rng = np.random.default_rng(n)
    p, q = rng.random((2, 3, n)) + 0.01
    if form == "logits":
        p, q = 20 * p, 20 * q
    p[1, 1::3] = q[1, 2::3] = -np.inf if form == "logits" else 0
    p[2, 1::2] *= 1 if form == "logits" else float(ml_dtypes.finfo(DTYPES[dtype]).smallest_normal)
    return p.astype(DTYPES[dtype]), q.astype(DTYPES[dtype])


# A row of 4 bytes ends where a vector of 64 would go on; 8 rows go through NumPy's buffers.
@pytest.mark.promise("P8")
@pytest.mark.parametrize("form", FORMS)
def test_divergences(isa, dtype, divergences, form, rooms):
    for whole in (0, 256):
        for tail in TAILS:
            n = whole + tail
            if n == 0 or (whole and tail % 8 not in (0, 1, 7)):
                continue
            p, q = rows_of(n, dtype, form)
            for k, divergence in enumerate(divergences):
                if whole and k % 3 != tail % 3:
                    continue
                ends = ("last", "first")[:: 1 if (k + tail) % 2 else -1]
                x, y = (
                    room.holding(v, end) for room, v, end in zip(rooms, (p, q), ends, strict=False)
                )
                out = rooms[2].holding(np.zeros(3), ends[0])
                divergence(x, y, out=out, **FORMS[form])
                if k % 8 == tail % 8:
                    same([out], [divergence(p, q, **FORMS[form])])


@pytest.mark.promise("P8")
@pytest.mark.parametrize("name", TOKEN_FUNCTIONS)
@pytest.mark.parametrize("end", ["first", "last"])
def test_tokens(isa, dtype, name, end, rooms):
    for tail in (*TAILS, 256, 257, 263, 271, 511):
        if tail == 0:
            continue
        a, b = rows_of(tail, dtype, "logits")
        got = TOKEN_FUNCTIONS[name](
            *(r.holding(x, end) for r, x in zip(rooms, (a, b), strict=False))
        )
        same(got, TOKEN_FUNCTIONS[name](a, b))


@pytest.mark.promise("P8")
@pytest.mark.parametrize("end", ["first", "last"])
def test_of_many_rows(isa, dtype, end, rooms):
    """All pairs, a generator, the distance on a grid, and the tokens kept for a file."""
    for n in TAILS[1:]:
        p, q = rows_of(n, dtype, "normalised")
        x, y = (room.holding(v, end) for room, v in zip(rooms, (p, q), strict=False))
        same([fd.pairwise(x, y, "js_divergence")], [fd.pairwise(p, q, "js_divergence")])
        same([fd.pairwise(x, None, "kl_divergence")], [fd.pairwise(p, None, "kl_divergence")])
        same([fd.wasserstein_distance(x, y)], [fd.wasserstein_distance(p, q)])
        same([fd.js_divergence_of(x)], [fd.js_divergence_of(p)])
        generator = fd.generators.kl
        same([fd.f_divergence(x, y, generator)], [fd.f_divergence(p, q, generator)])


@pytest.mark.promise("P8")
def test_a_wrong_label_leaves_out_alone(rooms):
    """It raises before anything is written."""
    logits = rooms[0].holding(np.zeros((4, 9), np.float32), "last")
    out = rooms[1].holding(np.full(4, 7.0), "last")
    for wrong in (9, -1, -101, 2**40, -(2**63)):
        labels = rooms[2].holding(np.array([0, 1, 2, wrong]), "last")
        with pytest.raises((ValueError, IndexError), match=str(wrong)):
            fd.token_nll(logits, labels, out=out)
        assert (out == 7).all()
