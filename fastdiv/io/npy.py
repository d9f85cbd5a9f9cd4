"""NumPy's ``.npy`` format: rows of logits, and the labels beside them.

The header is parsed here and not by NumPy because it is untrusted: its length and shape are
checked against the size of the file before anything is allocated, and nothing is unpickled.
"""

import ast
import math
import warnings
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.arrays import ArrayReader, StoredArray, stored_labels
from fastdiv.io.rows import FileFormatError, FilePath, file_size, read_head

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
#: As much of a file's beginning as its header may take.
HEAD_BYTES = len(_MAGIC) + 6 + _LONGEST_HEADER
# What literal_eval and numpy.dtype are known to raise on hostile text.
_UNPARSABLE = (
    ArithmeticError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


class NpyHeader(NamedTuple):
    """What a ``.npy`` header announces, and where the data begin."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int


def _header_text(path: FilePath, head: bytes, size: int, where: str) -> tuple[str, int]:
    """Return the header's text and where the data begin."""
    if not head.startswith(_MAGIC):
        raise FileFormatError(path, f"{where}is not a .npy file")
    version = head[6:8]
    if version not in (b"\x01\x00", b"\x02\x00"):
        found = ".".join(map(str, version)) or "none"
        raise FileFormatError(path, f"{where}has .npy version {found}; 1.0 and 2.0 are known")
    width = 2 if version[0] == 1 else 4
    begin = 8 + width
    length = int.from_bytes(head[8:begin], "little")
    if len(head) < begin or length > size - begin:
        raise FileFormatError(path, f"{where}is truncated within its .npy header")
    if length > _LONGEST_HEADER:
        raise FileFormatError(
            path, f"{where}has a .npy header of {length} bytes; at most 10000 are read"
        )
    return head[begin : begin + length].decode("latin-1"), begin + length


def parse_header(path: FilePath, head: bytes, size: int, where: str = "") -> NpyHeader:
    """Return the header of ``.npy`` content, once it agrees with the size of that content.

    Parameters
    ----------
    path : path-like
        The file that holds the content.
    head : bytes
        The first `HEAD_BYTES` of it, or all if there are fewer.
    size : int
        How many bytes there are in all.
    where : str
        Which part of the file this is, for errors: ``"array 'x' "``.
    """
    text, offset = _header_text(path, head, size, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fields = ast.literal_eval(text.strip())
            descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
            if not isinstance(descr, str | list) or type(fortran) is not bool:
                raise TypeError
            if type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape):
                raise TypeError
            dtype = np.dtype(descr)
    except _UNPARSABLE:
        raise FileFormatError(path, f"{where}has a .npy header that cannot be understood") from None
    if dtype.hasobject:
        raise FileFormatError(
            path, f"{where}holds Python objects, which are never unpickled; save a plain array"
        )
    if fortran and len(shape) > 1:
        raise FileFormatError(
            path,
            f"{where}is stored column by column (Fortran order); "
            "save numpy.ascontiguousarray of it",
        )
    expected, left = math.prod(shape) * dtype.itemsize, size - offset
    if left < expected:
        raise FileFormatError(
            path, f"{where}is truncated: {left} of {expected} bytes of data are there"
        )
    if left > expected:
        raise FileFormatError(
            path, f"{where}has {left - expected} bytes more than its header announces"
        )
    return NpyHeader(dtype, shape, offset)


def _read_header(path: FilePath) -> NpyHeader:
    return parse_header(path, read_head(path, HEAD_BYTES), file_size(path))


class NpyReader(ArrayReader):
    """Logits in a ``.npy`` file, all axes but the last flattened to rows.

    Parameters
    ----------
    path : path-like
        float16, float32 or float64, or bfloat16 as ``ml_dtypes`` writes it.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.
    """

    MAGIC: ClassVar[bytes] = _MAGIC

    def __init__(self, path: FilePath, *, dtype: Literal["bfloat16"] | None = None) -> None:
        stored, shape, offset = _read_header(path)
        super().__init__(path, [StoredArray(path, offset, stored, shape)], dtype=dtype)


def read_labels(path: FilePath, *, rows: int, vocab: int) -> NDArray[np.int64]:
    """Read one label per row from a ``.npy`` file of integers.

    Parameters
    ----------
    path : path-like
        Integers of any shape with `rows` elements.
    rows, vocab : int
        What the labels must fit: every label is in [0, vocab), or −100, which marks a row that
        is not counted.

    Raises
    ------
    FileFormatError
        Not integers, not `rows` of them, or one out of range (its row and value are named).
    """
    stored, shape, offset = _read_header(path)
    return stored_labels(path, [StoredArray(path, offset, stored, shape)], rows=rows, vocab=vocab)
