"""Bytes without a header: rows of values whose shape and dtype somebody says."""

import math

import numpy as np

from fastdiv.io.arrays import BFLOAT16, ArrayReader, StoredArray
from fastdiv.io.rows import FileFormatError, FilePath, file_size

__all__ = ["open_raw"]


def open_raw(path: FilePath, *, shape: tuple[int, ...], dtype: str, offset: int = 0) -> ArrayReader:
    """Open a file that holds values and nothing that says what they are.

    Parameters
    ----------
    path : path-like
    shape : tuple of int
        (…, tokens, vocabulary); the first may be −1 and follows from the size of the file.
    dtype : str
        "float16", "float32", "float64" or "bfloat16" in the machine's byte order, or as NumPy
        writes one with its byte order: ">f4".
    offset : int
        Bytes to leave out before the first row.

    Raises
    ------
    FileFormatError
        The file has another size than these say.
    ValueError
        A shape or dtype that no logits have.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "logits.bin")
    >>> _ = path.write_bytes(bytes(48))
    >>> reader = open_raw(path, shape=(-1, 4), dtype="float32")
    >>> reader.rows, reader.vocab
    (3, 4)
    """
    stored = _dtype(dtype)
    least = (-1, *(1 for _ in shape[1:]))
    if len(shape) < 2 or 0 in shape or any(n < m for n, m in zip(shape, least, strict=True)):
        raise ValueError(
            f"open_raw: shape = {shape}; takes (…, tokens, vocabulary), each at least 1, "
            "or -1 for the first"
        )
    if offset < 0:
        raise ValueError(f"open_raw: offset = {offset}; takes 0 or more")
    left = file_size(path) - offset
    one = math.prod(shape[1:]) * stored.itemsize
    count = left // one if shape[0] == -1 else shape[0]
    if left != count * one or count < 1:
        raise FileFormatError(
            path,
            f"has {left} bytes from {offset} on; shape {shape} of {dtype} takes "
            + (f"a multiple of {one}" if shape[0] == -1 else f"{count * one}"),
        )
    return ArrayReader(path, [StoredArray(path, offset, stored, (count, *shape[1:]))])


def _dtype(said: str) -> np.dtype[np.generic]:
    if said == "bfloat16":
        return BFLOAT16
    try:
        stored = np.dtype(said)
    except TypeError:
        stored = np.dtype(bool)
    if stored.name not in ("float16", "float32", "float64"):
        raise ValueError(f"open_raw: dtype = {said!r}; takes float16, float32, float64 or bfloat16")
    return stored
