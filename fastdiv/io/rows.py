"""Rows of fixed size in a mapped file: what every reader of this package is built on.

A file is mapped, never read whole: a block of rows is a view of the map. While it is used, a thread
maps the pages of the next one and hands back those of the last, so that the resident memory of a
walk over any file stays at about three blocks, and the walk takes no longer than what is done with
the rows. (Plain reads into one buffer measured half as fast, faults of single pages two thirds.)
"""

import ctypes
import mmap
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FilePath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

#: Linux's advice of this name maps pages before they are touched. Python has no name for it yet.
_POPULATE_READ = 22
_LIBRARY = ctypes.CDLL(None)
#: Bytes of a block from which a thread gains more than it costs.
_WORTH_A_THREAD = 1 << 20

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


@runtime_checkable
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
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""


class FirstRows:
    """The first rows of another reader: a long base serves a candidate that saw less of the text.

    Parameters
    ----------
    reader : LogitsReader
    path : path-like
        Its file, which an error names.
    rows : int
        How many rows; at least 1 and at most what the file has.
    """

    def __init__(self, reader: LogitsReader, path: FilePath, rows: int) -> None:
        if not 1 <= rows <= reader.rows:
            raise FileFormatError(path, f"has {reader.rows} rows; rows = {rows} was asked for")
        self._reader = reader
        self.rows = rows
        self.vocab = reader.vocab
        self.labels = None if reader.labels is None else reader.labels[:rows]
        self.row_bytes = reader.row_bytes
        self.dtype = reader.dtype
        self.has_floor = reader.has_floor

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""
        for block in self._reader.blocks(rows_per_block):
            left = self.rows - block.start
            yield RowBlock(
                block.start,
                block.values[:left],
                None if block.floor is None else block.floor[:left],
                None if block.labels is None else block.labels[:left],
            )
            if left <= rows_per_block:
                return


def checked_labels(
    path: FilePath, labels: NDArray[np.generic], *, rows: int, vocab: int
) -> NDArray[np.int64]:
    """Return labels as int64 once they are integers, one per row, each in range or −100."""
    if labels.dtype.kind not in "iu":
        raise FileFormatError(path, f"holds {labels.dtype.name}; labels are integers")
    if labels.size != rows:
        raise FileFormatError(path, f"holds {labels.size} labels for {rows} rows of logits")
    flat = labels.ravel()
    bad = np.flatnonzero(((flat < 0) & (flat != -100)) | (flat >= vocab))  # type: ignore[operator]
    if bad.size:
        row = int(bad[0])
        raise FileFormatError(
            path, f"row {row}: label {flat[row]} is outside the vocabulary of {vocab}"
        )
    return flat.astype(np.int64)


def regrouped(
    pieces: Iterable[NDArray[np.generic]], rows_per_block: int
) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Yield (first row, rows) in blocks of one size from pieces of any; copies only at seams.

    Examples
    --------
    >>> pieces = [np.arange(3), np.arange(3, 4), np.arange(4, 9)]
    >>> [(start, rows.tolist()) for start, rows in regrouped(pieces, 4)]
    [(0, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8])]
    """
    start, missing = 0, rows_per_block
    held: list[NDArray[np.generic]] = []
    for piece in pieces:
        rest = piece
        while len(rest):
            held.append(rest[:missing])
            rest = rest[missing:]
            missing -= len(held[-1])
            if not missing:
                yield start, joined(held)
                start, missing, held = start + rows_per_block, rows_per_block, []
    if held:
        yield start, joined(held)


def joined(pieces: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """Return the pieces as one array; a single one as it is."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


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


@cache
def _thread_of(process: int) -> ThreadPoolExecutor:
    """Return the thread that turns the pages of all files of a process: a child needs its own."""
    return ThreadPoolExecutor(1, "fastdiv-pages")


class MappedRows:
    """`rows` records of `row_bytes` bytes each from `offset` on.

    The caller has checked these numbers against the size of the file. A file that another process
    shortens is noticed when a block is asked for that is no longer there; one shortened under a
    block in use ends this process (SIGBUS), as for every mapped file.
    """

    def __init__(self, path: FilePath, *, offset: int, rows: int, row_bytes: int) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._map) < offset + rows * row_bytes:
            raise FileFormatError(path, "became shorter while it was being opened")
        self._path = path
        self._turn: tuple[int, Future[None]] | None = None
        self._behind = (0, 0)
        self._offset = offset
        self._rows = rows
        self._row_bytes = row_bytes

    def bytes_at(self, start: int, count: int) -> NDArray[np.uint8]:
        """Return a view of `count` rows from row `start` on, as (count, row_bytes) bytes."""
        first, size = self._offset + start * self._row_bytes, count * self._row_bytes
        if self._map.size() < first + size:  # touching it would end the process
            raise FileFormatError(self._path, "became shorter while it was read")
        self._turn_to((start + count, min(count, self._rows - start - count)))
        return np.frombuffer(self._map, np.uint8, size, first).reshape(count, self._row_bytes)

    def walk(self, rows_per_block: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (first row, bytes of the block) to the end, releasing what lies behind."""
        for start in range(0, self._rows, rows_per_block):
            count = min(rows_per_block, self._rows - start)
            yield start, self.bytes_at(start, count)
            self.release(start, count)

    def release(self, start: int, count: int) -> None:
        """Hand back the pages of `count` rows from row `start` on, when the next are asked for."""
        self._behind = (start, count)

    def _turn_to(self, ahead: tuple[int, int]) -> None:
        """Begin to map the rows `ahead` once what was begun is done."""
        process, turn = os.getpid(), self._turn
        if turn is not None and turn[0] == process:  # the thread of a parent is not here
            turn[1].result()
        behind, self._behind = self._behind, (0, 0)
        if ahead[1] * self._row_bytes >= _WORTH_A_THREAD:
            try:
                self._turn = process, _thread_of(process).submit(self._turned, behind, ahead)
                return
            except RuntimeError:  # no more threads
                pass
        self._turned(behind, (0, 0))

    def _turned(self, behind: tuple[int, int], ahead: tuple[int, int]) -> None:
        # A dropped page of a read-only map is fetched again when touched: views stay valid.
        self._advise(getattr(mmap, "MADV_DONTNEED", None), *behind)
        # Where it fails, as before Linux 5.14, pages are mapped when they are touched.
        self._advise(_POPULATE_READ if sys.platform == "linux" else None, *ahead)

    def _advise(self, advice: int | None, start: int, count: int) -> None:
        if not count or advice is None:
            return
        first = self._offset + start * self._row_bytes
        aligned = first - first % mmap.PAGESIZE
        size = first - aligned + count * self._row_bytes
        address = np.frombuffer(self._map, np.uint8, size, aligned).ctypes.data
        # The method of mmap would keep all other threads of Python waiting.
        _LIBRARY.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), advice)
