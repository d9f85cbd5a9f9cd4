"""Arrays as odd as NumPy can make them, given to every function of rows: the bits of plain copies.

    python tests/fuzz/python_face.py --seconds 600 --seed 1
    python tests/fuzz/python_face.py --atheris -max_total_time=600

Bytes choose a function, its options, and two arrays with their type, shape and layout: strided, of
negative or no stride, misaligned, byteswapped, read-only, transposed, broadcast, or overlapping the
result.  The result must have the bits of the same call on contiguous copies, or both must raise
the same; the arrays stay as they were.  Bytes come from NumPy's generator, or from atheris,
whose coverage is that of the Python code, where it is installed.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from registry import DIVERGENCES, PUBLIC

import fastdiv as fd

TYPES = ("f2", "f4", "f8", "u2", "i1", "i4", "u8", "?", "bfloat16", "longdouble", "c16", "O")
NUMBERS = (0.0, 0.5, 1.0, 2.0, 1e-300, 1e300, 5e-324, -1.0, np.inf, -np.inf, np.nan, 3.5)


class Choices:
    """What the bytes of one input decide, one after the other; after the last, always the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value % below

    def of(self, things: Any) -> Any:
        return things[self.number(len(things))]

    def bytes(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece.ljust(count, b"\x40")


def array(c: Choices, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Some numbers, from a list or from any bits."""
    name = c.of(TYPES)
    kind = np.dtype("u2" if name == "bfloat16" else name)
    size = int(np.prod(shape))
    if c.number(2) and kind.kind != "O":
        return np.frombuffer(c.bytes(size * kind.itemsize), kind).reshape(shape).copy()
    values = np.array([c.of(NUMBERS) for _ in range(size)]).reshape(shape)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "bfloat16":
            return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return values.astype(kind)


def laid_out(c: Choices, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same numbers elsewhere."""
    for _ in range(c.number(3)):
        how = c.number(7)
        if how == 0 and x.ndim:
            x = np.repeat(x, 2, axis=-1)[..., ::2]
        elif how == 1 and x.ndim:
            x = np.flip(np.flip(x, -1).copy(), -1)
        elif how == 2 and x.dtype.kind != "O":
            raw = np.empty(x.nbytes + 1, np.uint8)
            odd = np.frombuffer(raw.data, x.dtype, x.size, 1).reshape(x.shape)
            odd[...] = x
            x = odd
        elif how == 3 and x.dtype.kind != "O":
            x = x.astype(x.dtype.newbyteorder("S"))
        elif how == 4:
            x = x.copy()
            x.flags.writeable = False
        elif how == 5:
            x = np.asfortranarray(x)
        elif how == 6 and x.ndim > 1:
            x = np.broadcast_to(x[:1], x.shape) if (x[:1] == x).all() else x
    return x


def call(c: Choices) -> tuple[str, Callable[..., Any], int, dict[str, Any]]:
    """A function, how many rows it takes, and options."""
    divergence = c.of(DIVERGENCES)
    options: dict[str, Any] = dict(divergence.options)
    which = c.number(8)
    if which == 0:
        return "token_nll", lambda a, **o: fd.token_nll(a, c_label, **o), 1, {}
    if which == 1:
        return "compare_logits", lambda a, b, **o: fd.compare_logits(a, b, c_label, **o), 2, {}
    if which == 2:
        return "token_stats", lambda a, **o: fd.token_stats(a, c_label, **o), 1, {}
    if which == 3:
        return "logsumexp", fd.logsumexp, 1, {}
    options["axis"] = c.of((-1, -1, -1, 0, 0, 1, 5))
    options["keepdims"] = bool(c.number(2))
    options["validate"] = not c.number(4)
    source = c.number(3)
    if source == 1:
        options["from_logits"] = True
    elif source == 2:
        options["normalize"] = False
    return divergence.name, getattr(fd, PUBLIC[divergence.kernel]), 2 - divergence.unary, options


c_label = 0


def outcome(function: Callable[..., Any], rows: list[Any], options: dict[str, Any]) -> Any:
    try:
        with np.errstate(all="ignore"):
            result = function(*rows, **options)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        return type(error)
    if isinstance(result, tuple):
        return tuple(None if x is None else np.asarray(x).tobytes() for x in result)
    return np.asarray(result).tobytes()


def plain(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array(x, dtype=x.dtype.newbyteorder("="), order="C", copy=True)


def check(data: bytes) -> str:
    """Call one function twice; return its name."""
    global c_label
    c = Choices(data)
    name, function, count, options = call(c)
    shape = (*(c.number(4) for _ in range(c.number(3))), c.number(40))
    c_label = c.of((0, 1, -1, -100, 39, 1 << 40))
    rows = [array(c, shape if c.number(6) else shape[-1:]) for _ in range(count)]
    if any(x.dtype == np.uint16 for x in rows) and c.number(2):
        options["dtype"] = "bfloat16"
    odd = [laid_out(c, x) for x in rows]
    before = [x.tobytes() for x in odd]
    want = outcome(function, [plain(x) for x in odd], options)
    assert outcome(function, odd, options) == want, (name, options, odd)
    if isinstance(want, bytes) and "axis" in options and c.number(2):
        overlapping(c, function, odd, options, want)
    else:
        assert [x.tobytes() for x in odd] == before, (name, "an argument was changed")
    return name


def overlapping(
    c: Choices,
    function: Callable[..., Any],
    rows: list[np.ndarray[Any, Any]],
    options: dict[str, Any],
    want: bytes,
) -> None:
    """The result goes to where one of the rows is, or to odd places beside them."""
    result = np.frombuffer(want, np.float64)
    shape = np.shape(function(*[plain(x) for x in rows], **options))
    which = c.number(len(rows))
    x = rows[which]
    if x.dtype == np.float64 and x.dtype.isnative and x.flags.c_contiguous and x.flags.writeable:
        out = x.reshape(-1)[: result.size].reshape(shape) if x.size >= result.size else None
    else:
        out = np.empty((*shape, 2))[..., 1]
    if out is None:
        return
    with np.errstate(all="ignore"):
        returned = function(*rows, **options, out=out)
    assert returned is out
    assert out.tobytes() == want, (function, options, rows)


def from_generator(seconds: float, seed: int) -> int:
    rng = np.random.default_rng(seed)
    end = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < end:
        data = rng.bytes(int(rng.integers(8, 900)))
        try:
            check(data)
        except BaseException:
            print(f"seed {seed}, run {runs}: {data.hex()}", file=sys.stderr)
            raise
        runs += 1
    return runs


def main() -> int:
    warnings.simplefilter("ignore")
    if "--atheris" in sys.argv:
        import atheris

        sys.argv.remove("--atheris")
        for module in [m for name, m in sys.modules.items() if name.startswith("fastdiv.")]:
            for thing in vars(module).values():
                if inspect.isfunction(thing) and thing.__module__ == module.__name__:
                    atheris.instrument_func(thing)
        atheris.Setup(sys.argv, check)
        atheris.Fuzz()
        return 0
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{from_generator(arguments.seconds, arguments.seed)} calls")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
