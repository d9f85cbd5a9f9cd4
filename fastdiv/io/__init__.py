"""File formats to blocks of rows. This floor knows nothing of what is computed from them.

Examples
--------
>>> import tempfile, pathlib
>>> import numpy as np
>>> path = pathlib.Path(tempfile.mkdtemp(), "logits.npy")
>>> np.save(path, np.zeros((5, 8), np.float32))
>>> reader = open_logits(path)
>>> reader.rows, reader.vocab
(5, 8)
>>> [block.values.shape for block in reader.blocks(2)]
[(2, 8), (2, 8), (1, 8)]
"""

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.llama_cpp import LlamaCppReader
from fastdiv.io.npy import NpyReader, read_labels
from fastdiv.io.rows import (
    BLOCK_BYTES,
    FileFormatError,
    FilePath,
    RowBlock,
    printable_path,
    read_head,
)

__all__ = [
    "FileFormatError",
    "LlamaCppReader",
    "LogitsReader",
    "NpyReader",
    "RowBlock",
    "open_logits",
    "printable_path",
    "read_labels",
    "rows_per_block",
]


class LogitsReader(Protocol):
    """What every format offers."""

    @property
    def rows(self) -> int:
        """Number of rows; leading axes are flattened."""

    @property
    def vocab(self) -> int:
        """Length of a row."""

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The token that each row predicts, where the file knows it."""

    @property
    def row_bytes(self) -> int:
        """Size of one row as `blocks` yields it."""

    @property
    def dtype(self) -> Literal["bfloat16"] | None:
        """What the functions of fastdiv must be told about the values."""

    @property
    def has_floor(self) -> bool:
        """Whether the file holds log-probabilities down to a floor, instead of all logits."""

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, at most `rows_per_block` at a time."""


_FOREIGN = {
    b"PK\x03\x04": "is a zip archive, such as .npz; save the one array with numpy.save",
    b"GGUF": "is a GGUF model; fastdiv reads logits, not weights",
    b"\x89HDF": "is an HDF5 file; save the array with numpy.save",
}


def open_logits(path: FilePath, *, dtype: Literal["bfloat16"] | None = None) -> LogitsReader:
    """Open a file of logits, recognised by its first bytes and never by its name.

    Parameters
    ----------
    path : path-like
        A NumPy ``.npy`` file, or llama.cpp's ``--kl-divergence-base`` file.
    dtype : "bfloat16", optional
        Says that a uint16 ``.npy`` holds raw bfloat16 bits; changes nothing for others.

    Raises
    ------
    FileFormatError
        The file is of another kind, damaged, or holds something else than rows of logits.
    OSError
        The file cannot be opened.
    """
    head = read_head(path, len(LlamaCppReader.MAGIC))
    if head.startswith(NpyReader.MAGIC):
        return NpyReader(path, dtype=dtype)
    if head == LlamaCppReader.MAGIC:
        return LlamaCppReader(path)
    if not head:
        raise FileFormatError(path, "is empty")
    for magic, reason in _FOREIGN.items():
        if head.startswith(magic):
            raise FileFormatError(path, reason)
    raise FileFormatError(path, "is neither a .npy file nor a llama.cpp _logits_ file")


def rows_per_block(*readers: LogitsReader) -> int:
    """Return how many rows of the widest reader fit into one block; at least one."""
    return max(1, BLOCK_BYTES // max(reader.row_bytes for reader in readers))
