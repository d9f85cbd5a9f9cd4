"""Rows of fixed size in a mapped file: what every reader of this package is built on.

A file is mapped, never read whole: a block of rows is a view of the map, and once the next
block is asked for the pages of the last one are handed back, so that the resident memory of a
walk over any file stays at about one block. (Plain reads into one buffer are as small, and
measured three to four times slower.)
"""

import mmap
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: Bytes that one block of rows may take, unless a single row is larger. Arrays made from a block
#: are still in the cache when they are used: 2 to 4 MiB measured faster than 16 by half.
BLOCK_BYTES = 4 << 20


class FileFormatError(ValueError):
    """A file is not what it claims to be, or not what is asked for.

    Attributes
    ----------
    path : str
        The file, in printable form.
    reason : str
        What is wrong with it.
    """

    def __init__(self, path: FilePath, reason: str) -> None:
        self.path = printable_path(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")


class RowBlock(NamedTuple):
    """Consecutive rows of a file.

    Attributes
    ----------
    start : int
        Number of the first row within the file, from 0.
    values : ndarray
        Logits, or log-probabilities where the file holds those; (rows, vocab). bfloat16 comes as
        uint16 bits, and the reader's ``dtype`` says so.
    floor : ndarray of bool or None
        True where the file holds only a lower limit and no value; None where all are values.
    labels : ndarray of int or None
        The token that each row predicts, where the file knows it.
    """

    start: int
    values: NDArray[np.generic]
    floor: NDArray[np.bool_] | None = None
    labels: NDArray[np.int64] | None = None


def printable_path(path: FilePath) -> str:
    r"""Return a path as text that any terminal takes: one line, undecodable bytes escaped.

    Examples
    --------
    >>> print(printable_path(b"caf\xe9.npy"))
    caf\xe9.npy
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def file_size(path: FilePath) -> int:
    """Return the size of a regular file; anything else has no size to check a header against."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise FileFormatError(path, "is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise FileFormatError(path, "is not a regular file (a pipe cannot be mapped)")
    return status.st_size


def read_head(path: FilePath, count: int) -> bytes:
    """Return the first `count` bytes of a file, or all of a shorter one."""
    # Asked first: opening a pipe would wait for its writer.
    size = file_size(path)
    with open(path, "rb") as file:
        return file.read(min(count, size))


class MappedRows:
    """`rows` records of `row_bytes` bytes each from `offset` on.

    The caller has checked these numbers against the size of the file. A file that another process
    shortens while it is mapped ends this one (SIGBUS), as for every mapped file.
    """

    def __init__(self, path: FilePath, *, offset: int, rows: int, row_bytes: int) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._map) < offset + rows * row_bytes:
            raise FileFormatError(path, "became shorter while it was being opened")
        self._offset = offset
        self._rows = rows
        self._row_bytes = row_bytes

    def bytes_at(self, start: int, count: int) -> NDArray[np.uint8]:
        """Return a view of `count` bytes from row `start` on, as (count, row_bytes)."""
        first = self._offset + start * self._row_bytes
        size = count * self._row_bytes
        flat = np.frombuffer(self._map, np.uint8, size, first)
        return flat.reshape(count, self._row_bytes)

    def walk(self, rows_per_block: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (first row, bytes of the block) to the end, releasing what lies behind."""
        for start in range(0, self._rows, rows_per_block):
            count = min(rows_per_block, self._rows - start)
            yield start, self.bytes_at(start, count)
            self._release(start, count)

    def _release(self, start: int, count: int) -> None:
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        first = self._offset + start * self._row_bytes
        aligned = first - first % mmap.PAGESIZE
        # A dropped page of a read-only map is fetched again when touched: views stay valid.
        self._map.madvise(mmap.MADV_DONTNEED, aligned, first - aligned + count * self._row_bytes)
