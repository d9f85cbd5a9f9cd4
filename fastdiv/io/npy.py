"""NumPy's ``.npy`` format: rows of logits, and the labels beside them.

The header is parsed here and not by NumPy because it is untrusted: its length and shape are
checked against the size of the file before anything is allocated, and nothing is unpickled.
"""

import ast
import math
import warnings
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.rows import (
    FileFormatError,
    FilePath,
    MappedRows,
    RowBlock,
    file_size,
    read_head,
)

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
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
_HINTS = {
    "object": "holds Python objects, which are never unpickled; save a plain array",
    "uint16": "holds uint16; if these are bfloat16 bits, say dtype bfloat16",
}


class _Header(NamedTuple):
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int


def _header_text(path: FilePath) -> tuple[str, int]:
    """Return the header's text and where the data begin."""
    head = read_head(path, len(_MAGIC) + 6 + _LONGEST_HEADER)
    if not head.startswith(_MAGIC):
        raise FileFormatError(path, "is not a .npy file")
    version = head[6:8]
    if version not in (b"\x01\x00", b"\x02\x00"):
        raise FileFormatError(
            path, f"has .npy version {'.'.join(map(str, version)) or 'none'}; 1.0 and 2.0 are known"
        )
    width = 2 if version[0] == 1 else 4
    begin = 8 + width
    length = int.from_bytes(head[8:begin], "little")
    if len(head) < begin or length > file_size(path) - begin:
        raise FileFormatError(path, "is truncated within its .npy header")
    if length > _LONGEST_HEADER:
        raise FileFormatError(path, f"has a .npy header of {length} bytes; at most 10000 are read")
    return head[begin : begin + length].decode("latin-1"), begin + length


def _read_header(path: FilePath) -> _Header:
    text, offset = _header_text(path)
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
        raise FileFormatError(path, "has a .npy header that cannot be understood") from None
    if dtype.hasobject:
        raise FileFormatError(path, _HINTS["object"])
    if fortran and len(shape) > 1:
        raise FileFormatError(
            path, "is stored column by column (Fortran order); save numpy.ascontiguousarray of it"
        )
    expected, size = math.prod(shape) * dtype.itemsize, file_size(path) - offset
    if size < expected:
        raise FileFormatError(path, f"is truncated: {size} of {expected} bytes of data are there")
    if size > expected:
        raise FileFormatError(path, f"has {size - expected} bytes more than its header announces")
    return _Header(dtype, shape, offset)


class NpyReader:
    """Logits in a ``.npy`` file, all axes but the last flattened to rows.

    Parameters
    ----------
    path : path-like
        float16, float32 or float64, or bfloat16 as ``ml_dtypes`` writes it.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.
    """

    MAGIC: ClassVar[bytes] = _MAGIC
    labels: None = None
    has_floor: bool = False

    def __init__(self, path: FilePath, *, dtype: Literal["bfloat16"] | None = None) -> None:
        header = _read_header(path)
        stored = header.dtype
        self.dtype: Literal["bfloat16"] | None = None
        # NumPy writes ml_dtypes.bfloat16 as two anonymous bytes.
        if stored == np.dtype("V2") or (stored.name == "uint16" and dtype == "bfloat16"):
            stored = np.dtype(np.uint16).newbyteorder(stored.byteorder)
            self.dtype = "bfloat16"
        elif stored.name not in ("float16", "float32", "float64"):
            raise FileFormatError(
                path, _HINTS.get(stored.name, f"holds {stored.name}; logits are floating-point")
            )
        if len(header.shape) < 2:
            raise FileFormatError(
                path, f"has shape {header.shape}; logits take (…, tokens, vocabulary)"
            )
        *batch, self.vocab = header.shape
        self.rows = math.prod(batch)
        if not self.rows or not self.vocab:
            raise FileFormatError(path, f"is empty: its shape is {header.shape}")
        self._stored = stored
        self.row_bytes = self.vocab * stored.itemsize
        self._mapped = MappedRows(
            path, offset=header.offset, rows=self.rows, row_bytes=self.row_bytes
        )

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, at most `rows_per_block` at a time."""
        for start, raw in self._mapped.walk(rows_per_block):
            # Copies only what another machine wrote, or a writer that aligns nothing.
            values = np.require(raw.view(self._stored), self._stored.newbyteorder("="), "A")
            yield RowBlock(start, values)


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
    dtype, shape, offset = _read_header(path)
    if dtype.kind not in "iu":
        raise FileFormatError(path, f"holds {dtype.name}; labels are integers")
    count = math.prod(shape)
    if count != rows:
        raise FileFormatError(path, f"holds {count} labels for {rows} rows of logits")
    labels = np.fromfile(path, dtype, count, offset=offset)
    bad = np.flatnonzero(((labels < 0) & (labels != -100)) | (labels >= vocab))
    if bad.size:
        row = int(bad[0])
        raise FileFormatError(
            path, f"row {row}: label {labels[row]} is outside the vocabulary of {vocab}"
        )
    return labels.astype(np.int64)
