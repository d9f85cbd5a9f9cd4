"""Rows in a column of an Arrow IPC file or stream (Feather), or of a Parquet file.

A column of logits is a list of float16, float32 or float64 per row, all of one length; of uint16
if these are bfloat16 bits, which Arrow has no type for: a field whose metadata say
``dtype = bfloat16``, as `save_logits` writes it, needs no telling. A column ``labels`` or
``label`` is taken for the labels.

Arrow files are mapped, and what is behind is handed back, unless they are compressed: then one
record batch is held at a time, of the size that its writer chose. Parquet is decoded page by page.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.arrays import Key, choose, value_type
from fastdiv.io.rows import (
    FileFormatError,
    FilePath,
    RowBlock,
    checked_labels,
    file_size,
    regrouped,
)

__all__ = [
    "ARROW_MAGIC",
    "PARQUET_MAGIC",
    "STREAM_MAGIC",
    "ArrowKind",
    "ArrowReader",
    "required_pyarrow",
]

ARROW_MAGIC = b"ARROW1\0\0"
PARQUET_MAGIC = b"PAR1"
STREAM_MAGIC = b"\xff\xff\xff\xff"
_LABELS = ("labels", "label")
# Metadata of a file of logits are a few hundred bytes, those of a whole corpus some megabytes.
_THRIFT_LIMIT = 64 << 20
_PARQUET_BUFFER = 1 << 20

_Values: TypeAlias = NDArray[np.generic]
ArrowKind: TypeAlias = Literal["file", "stream", "parquet"]


def required_pyarrow() -> Any:
    """Return the module pyarrow, or say how to get it."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise ModuleNotFoundError(
            'Arrow and Parquet files take pyarrow: pip install "fastdiv[arrow]"', name="pyarrow"
        ) from None
    return pyarrow


class _MappedBatches:
    """Record batches of an Arrow file or stream that lies in a map."""

    def __init__(self, pa: Any, path: FilePath, *, stream: bool) -> None:
        self._pa = pa
        self._stream = stream
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._address = np.frombuffer(self._map, np.uint8, 1).ctypes.data
        with self._open() as reader:
            self.schema = reader.schema

    def _open(self, fields: list[int] | None = None) -> Any:
        # Fields that are picked are copied; without picking, arrays are views of the map.
        options = self._pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        open_any = self._pa.ipc.open_stream if self._stream else self._pa.ipc.open_file
        return open_any(self._pa.py_buffer(self._map), options=options)

    def count(self) -> int:
        """Return the number of rows."""
        with self._open() as reader:
            return sum(batch.num_rows for batch in self._batches(reader))

    def walk(self, column: int, rows: int) -> Iterator[Any]:
        """Yield one column in pieces of any number of rows, all those of a batch at most."""
        with self._open() as reader:
            yield from (batch.column(column) for batch in self._batches(reader))

    def walk_copied(self, column: int) -> Iterator[Any]:
        """Yield a small column, which costs no look at others."""
        with self._open([column]) as reader:
            yield from (batch.column(0) for batch in self._batches(reader))

    def _batches(self, reader: Any) -> Iterator[Any]:
        if self._stream:
            batches = iter(reader)
        else:
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        for batch in batches:
            # Offsets and lengths of a file are believed by everything in Arrow but this.
            batch.validate(full=True)
            yield batch

    def release(self, values: _Values) -> None:
        """Hand back the pages that an array was made of."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        first, size = values.ctypes.data - self._address, values.nbytes
        if not 0 <= first < len(self._map):
            # Of a compressed batch: what was read for it lies anywhere.
            first, size = 0, len(self._map)
        aligned = first - first % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, aligned, first - aligned + size)


class _ParquetBatches:
    """Record batches of a Parquet file, decoded as they are asked for."""

    def __init__(self, pa: Any, path: FilePath) -> None:
        self._pa = pa
        self._path = os.fsdecode(path)
        with self._open() as file:
            self.schema = file.schema_arrow

    def _open(self) -> Any:
        # A row group read at once, or mapped, would stay in memory until its end.
        return self._pa.parquet.ParquetFile(
            self._path,
            buffer_size=_PARQUET_BUFFER,
            pre_buffer=False,
            thrift_string_size_limit=_THRIFT_LIMIT,
            thrift_container_size_limit=_THRIFT_LIMIT,
        )

    def count(self) -> int:
        """Return the number of rows."""
        with self._open() as file:
            metadata = file.metadata
            groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        if sum(groups) != metadata.num_rows or min(groups, default=0) < 0:
            raise FileFormatError(
                self._path, f"has {metadata.num_rows} rows, and {sum(groups)} in its row groups"
            )
        return sum(groups)

    def walk(self, column: int, rows: int) -> Iterator[Any]:
        """Yield one column in pieces of at most `rows` rows."""
        name = self.schema.field(column).name
        with self._open() as file:
            for batch in file.iter_batches(batch_size=rows, columns=[name], use_threads=False):
                yield batch.column(0)

    def walk_copied(self, column: int) -> Iterator[Any]:
        """Yield a small column, which costs no look at others."""
        return self.walk(column, 1 << 16)

    def release(self, values: _Values) -> None:
        """Nothing of the file is held."""


class ArrowReader:
    """Logits in a column of lists.

    Parameters
    ----------
    path : path-like
    kind : {"file", "stream", "parquet"}
    key : str, optional
        Which column; by default the only one that may be logits.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.

    Raises
    ------
    FileFormatError
        Anything wrong with the file or what it holds.
    ModuleNotFoundError
        pyarrow is not installed.
    """

    has_floor: ClassVar[bool] = False

    def __init__(
        self,
        path: FilePath,
        kind: ArrowKind,
        *,
        key: Key = None,
        dtype: Literal["bfloat16"] | None = None,
    ) -> None:
        self._pa = required_pyarrow()
        self._path = path
        file_size(path)
        with self._blamed("is damaged"):
            self._batches: _MappedBatches | _ParquetBatches
            if kind == "parquet":
                self._batches = _ParquetBatches(self._pa, path)
            else:
                self._batches = _MappedBatches(self._pa, path, stream=kind == "stream")
            self._take_columns(self._batches.schema, key, dtype)
        self.row_bytes = self.vocab * self._stored.itemsize

    def _take_columns(self, schema: Any, key: Key, dtype: Literal["bfloat16"] | None) -> None:
        path = self._path
        names = {name: i for i, name in enumerate(schema.names)}
        if len(names) != len(schema.names):
            raise FileFormatError(path, "has two columns of one name")
        chosen = choose(path, names, key, lambda name: self._is_logits(schema.field(name), dtype))
        if len(chosen) != 1:
            raise FileFormatError(path, f"has its logits in {len(chosen)} columns; one is read")
        self._field = field = schema.field(chosen[0])
        self._column = names[field.name]
        if not self._is_list(field.type):
            raise FileFormatError(
                path, f"column {field.name!r} holds {field.type}; logits are lists of numbers"
            )
        said = "bfloat16" if _says_bfloat16(field) else dtype
        self._stored, self.dtype = value_type(path, _numpy_type(field.type.value_type), said)
        self.rows = self._batches.count()
        self.vocab = self._length_of_rows() if self.rows > 0 else 0
        if self.rows < 1 or self.vocab < 1:
            raise FileFormatError(path, f"is empty: {self.rows} rows of {self.vocab} logits")
        label = next((names[name] for name in _LABELS if name in names), None)
        self.labels = None if label is None else self._read_labels(label)

    def _is_list(self, kind: Any) -> bool:
        types = self._pa.types
        return bool(
            types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind)
        )

    def _is_logits(self, field: Any, said: Literal["bfloat16"] | None) -> bool:
        if not self._is_list(field.type):
            return False
        bits = self._pa.types.is_uint16(field.type.value_type)
        return bool(
            self._pa.types.is_floating(field.type.value_type)
            or (bits and (said == "bfloat16" or _says_bfloat16(field)))
        )

    @contextmanager
    def _blamed(self, what: str) -> Iterator[None]:
        """Turn whatever pyarrow says of a damaged file into a FileFormatError."""
        try:
            yield
        except FileFormatError:
            raise
        except (self._pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
            reason = " ".join(str(error).split())[:200]
            raise FileFormatError(self._path, f"{what}: {reason}") from None

    def _length_of_rows(self) -> int:
        if self._pa.types.is_fixed_size_list(self._field.type):
            return int(self._field.type.list_size)
        first = next(piece for piece in self._batches.walk(self._column, 1) if len(piece))
        return 0 if first[0].as_py() is None else len(first[0])

    def _read_labels(self, column: int) -> NDArray[np.int64]:
        pieces = []
        for piece in self._batches.walk_copied(column):
            if piece.null_count or not self._pa.types.is_integer(piece.type):
                raise FileFormatError(
                    self._path, f"labels are {piece.type}, {piece.null_count} null; takes integers"
                )
            # Not of the map: labels stay.
            pieces.append(piece.to_numpy(zero_copy_only=False).copy())
        return checked_labels(self._path, np.concatenate(pieces), rows=self.rows, vocab=self.vocab)

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""
        seen = 0
        for start, values in regrouped(self._pieces(rows_per_block), rows_per_block):
            labels = None if self.labels is None else self.labels[start : start + len(values)]
            yield RowBlock(start, values, None, labels)
            seen = start + len(values)
        if seen != self.rows:
            raise FileFormatError(self._path, f"has {seen} rows; its metadata say {self.rows}")

    def _pieces(self, rows_per_block: int) -> Iterator[_Values]:
        """Yield rows in pieces that end where blocks end."""
        start = 0
        behind: list[_Values] = []
        with self._blamed(f"is damaged in column {self._field.name!r}"):
            for column in self._batches.walk(self._column, rows_per_block):
                rows = self._as_rows(start, column)
                while len(rows):
                    piece = rows[: rows_per_block - start % rows_per_block]
                    yield piece
                    start += len(piece)
                    rows = rows[len(piece) :]
                    behind.append(piece)
                    # Not before the pieces of a block have been put together.
                    if start % rows_per_block == 0:
                        self._release(behind)
            self._release(behind)

    def _release(self, behind: list[_Values]) -> None:
        while behind:
            self._batches.release(behind.pop())

    def _as_rows(self, start: int, column: Any) -> _Values:
        if column.null_count:
            row = start + column.is_null().to_pylist().index(True)
            raise FileFormatError(self._path, f"row {row} is null")
        if not self._pa.types.is_fixed_size_list(column.type):
            lengths = column.value_lengths().to_numpy(zero_copy_only=False)
            bad = np.flatnonzero(lengths != self.vocab)
            if bad.size:
                raise FileFormatError(
                    self._path,
                    f"row {start + bad[0]} has {lengths[bad[0]]} logits, row 0 has {self.vocab}",
                )
        flat = column.flatten()
        if flat.null_count:
            at = flat.is_null().to_pylist().index(True)
            raise FileFormatError(
                self._path, f"row {start + at // self.vocab}: logit {at % self.vocab} is null"
            )
        values = np.require(flat.to_numpy(zero_copy_only=False), self._stored, "A")
        return values.reshape(-1, self.vocab)


def _says_bfloat16(field: Any) -> bool:
    return bool((field.metadata or {}).get(b"dtype") == b"bfloat16")


def _numpy_type(kind: Any) -> np.dtype[np.generic]:
    try:
        found = kind.to_pandas_dtype()
    except NotImplementedError:
        found = object
    dtype: np.dtype[np.generic] = np.dtype(found)
    return dtype
