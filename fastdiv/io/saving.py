"""Rows of logits into a file, block by block; columns of tokens into a table.

A file appears when it is whole, under its name, in one step. Formats whose header says how many
rows follow get theirs when all have been written.
"""

import csv
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import IO, Literal, Protocol, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import unmasked
from fastdiv.io.arrow import required_pyarrow
from fastdiv.io.conversion import FLOAT_TYPES, FloatType, LogitsSource, Rows, converted, rows_of
from fastdiv.io.llama_cpp import write_llama_cpp
from fastdiv.io.replacing import replacing
from fastdiv.io.rows import FilePath, printable_path

__all__ = ["Format", "format_of", "save_logits", "write_tokens_table"]

Format: TypeAlias = Literal["npy", "npz", "raw", "safetensors", "parquet", "arrow", "llama.cpp"]

_Values: TypeAlias = NDArray[np.generic]
_Labels: TypeAlias = NDArray[np.int64]

_SUFFIXES: dict[str, Format] = {
    ".npy": "npy",
    ".npz": "npz",
    ".bin": "raw",
    ".raw": "raw",
    ".safetensors": "safetensors",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".kld": "llama.cpp",
}
_SAFETENSORS_TYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
_SAFETENSORS_HEADER = 512


def format_of(path: FilePath) -> Format:
    """Return the format that the name of a file asks for.

    Examples
    --------
    >>> format_of("logits.safetensors")
    'safetensors'
    """
    suffix = PurePath(os.fsdecode(path)).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"format_of: {printable_path(path)} ends in none of {', '.join(_SUFFIXES)}; "
            "say a format"
        )
    return _SUFFIXES[suffix]


class _Writer(Protocol):
    """What a format does with rows that come block by block."""

    def write(self, values: _Values) -> None:
        """Add rows, stored little-endian."""

    def finish(self, labels: _Labels | None) -> None:
        """Complete the file."""


class _RawWriter:
    """Nothing but the values."""

    def __init__(self, file: IO[bytes], rows: Rows, dtype: FloatType) -> None:
        self._file = file

    def write(self, values: _Values) -> None:
        self._file.write(np.ascontiguousarray(values).data)

    def finish(self, labels: _Labels | None) -> None:
        """All is written."""


class _NpyWriter(_RawWriter):
    """A header of fixed length, then the values."""

    def __init__(self, file: IO[bytes], rows: Rows, dtype: FloatType) -> None:
        super().__init__(file, rows, dtype)
        self._dtype, self._vocab, self._rows = dtype, rows.vocab, 0
        file.write(npy_header(dtype, 0, rows.vocab))

    def write(self, values: _Values) -> None:
        super().write(values)
        self._rows += len(values)

    def finish(self, labels: _Labels | None) -> None:
        self._file.seek(0)
        self._file.write(npy_header(self._dtype, self._rows, self._vocab))


def npy_header(dtype: FloatType, rows: int, vocab: int) -> bytes:
    """Return the 128 bytes of a ``.npy`` header of version 1.0."""
    # As NumPy writes what ml_dtypes calls bfloat16.
    descr = "<V2" if dtype == "bfloat16" else np.dtype(dtype).str
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({rows}, {vocab}), }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + text.ljust(117).encode() + b"\n"


class _NpzWriter:
    """An archive of uncompressed members, which readers map in place."""

    def __init__(self, file: IO[bytes], rows: Rows, dtype: FloatType) -> None:
        if rows.total is None:
            raise ValueError(
                "save_logits: the number of rows must be known for npz; give a reader or an array"
            )
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self._member = self._archive.open("logits.npy", "w", force_zip64=True)
        self._member.write(npy_header(dtype, rows.total, rows.vocab))

    def write(self, values: _Values) -> None:
        self._member.write(np.ascontiguousarray(values).data)

    def finish(self, labels: _Labels | None) -> None:
        self._member.close()
        if labels is not None:
            with self._archive.open("labels.npy", "w") as member:
                np.lib.format.write_array(member, labels, allow_pickle=False)
        self._archive.close()


class _SafetensorsWriter(_RawWriter):
    """A header of fixed length, the logits, then the labels."""

    def __init__(self, file: IO[bytes], rows: Rows, dtype: FloatType) -> None:
        super().__init__(file, rows, dtype)
        self._dtype, self._vocab, self._rows = dtype, rows.vocab, 0
        file.write(bytes(8 + _SAFETENSORS_HEADER))

    def write(self, values: _Values) -> None:
        super().write(values)
        self._rows += len(values)

    def finish(self, labels: _Labels | None) -> None:
        end = self._file.tell() - 8 - _SAFETENSORS_HEADER
        header: dict[str, object] = {
            "logits": {
                "dtype": _SAFETENSORS_TYPES[self._dtype],
                "shape": [self._rows, self._vocab],
                "data_offsets": [0, end],
            }
        }
        if labels is not None:
            self._file.write(labels.astype("<i8").data)
            header["labels"] = {
                "dtype": "I64",
                "shape": [labels.size],
                "data_offsets": [end, end + labels.nbytes],
            }
        text = json.dumps(header).encode().ljust(_SAFETENSORS_HEADER)
        self._file.seek(0)
        self._file.write(struct.pack("<Q", len(text)) + text)


class _ArrowWriter:
    """A record batch, or a Parquet row group, for each block; labels beside their rows."""

    def __init__(self, file: IO[bytes], rows: Rows, dtype: FloatType, *, parquet: bool) -> None:
        self._pa = pa = required_pyarrow()
        self._vocab, self._labels, self._written = rows.vocab, rows.labels, 0
        value = pa.uint16() if dtype == "bfloat16" else pa.from_numpy_dtype(np.dtype(dtype))
        fields = [
            pa.field(
                "logits",
                pa.list_(value, rows.vocab),
                nullable=False,
                metadata={"dtype": dtype},
            )
        ]
        if rows.labels is not None:
            fields.append(pa.field("labels", pa.int64(), nullable=False))
        self._schema = pa.schema(fields)
        if parquet:
            # Logits hardly repeat: dictionaries and compression take time, and gain nothing.
            self._writer = pa.parquet.ParquetWriter(
                file, self._schema, use_dictionary=False, compression="none"
            )
        else:
            self._writer = pa.ipc.new_file(file, self._schema)

    def write(self, values: _Values) -> None:
        pa, stop = self._pa, self._written + len(values)
        flat = pa.array(np.ascontiguousarray(values).ravel())
        columns = [pa.FixedSizeListArray.from_arrays(flat, self._vocab)]
        if self._labels is not None:
            columns.append(pa.array(self._labels[self._written : stop]))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
        self._written = stop

    def finish(self, labels: _Labels | None) -> None:
        self._writer.close()


def _writer(file: IO[bytes], rows: Rows, dtype: FloatType, kind: Format) -> _Writer:
    if kind in ("parquet", "arrow"):
        return _ArrowWriter(file, rows, dtype, parquet=kind == "parquet")
    writers: dict[str, Callable[[IO[bytes], Rows, FloatType], _Writer]] = {
        "npy": _NpyWriter,
        "npz": _NpzWriter,
        "raw": _RawWriter,
        "safetensors": _SafetensorsWriter,
    }
    return writers[kind](file, rows, dtype)


def save_logits(
    path: FilePath,
    source: LogitsSource,
    *,
    format: Format | None = None,
    dtype: FloatType | None = None,
    floor: Literal["refuse", "value"] = "refuse",
    tokens: NDArray[np.integer] | None = None,
    n_ctx: int | None = None,
    window: int = 16,
) -> int:
    """Write rows of logits, block by block, and return how many there were.

    Parameters
    ----------
    path : path-like
        Replaced when all is written, and as it was if anything fails.
    source : reader, ndarray, or iterable of blocks or arrays
        float16, float32, float64, or bfloat16 (or its bits as uint16).
    format : str, optional
        "npy", "npz", "raw", "safetensors", "parquet", "arrow" or "llama.cpp"; by default what
        the end of the name says. The labels of a reader go along but into "npy" and "raw", which
        have no place for them; "llama.cpp" has them among its tokens.
    dtype : str, optional
        "float16", "bfloat16", "float32" or "float64", each rounded once, ties to even; by
        default that of the source. bfloat16 is written as ``ml_dtypes`` does in "npy" and "npz",
        and as uint16 with the metadata ``dtype = bfloat16`` in "parquet" and "arrow".
    floor : {"refuse", "value"}
        What becomes of log-probabilities that are but a lower limit, as in a llama.cpp file:
        other formats cannot tell them from values. "value" writes the limit.
    tokens, n_ctx, window
        Of "llama.cpp" only, as `write_llama_cpp` takes them; a llama.cpp source brings its own
        tokens and n_ctx.

    Raises
    ------
    ModuleNotFoundError
        pyarrow is not installed, and the format takes it.
    OverflowError
        A finite logit is beyond `dtype`; the row is named.
    TypeError, ValueError
        Options or rows that do not fit each other.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastdiv.io.opening import open_logits
    >>> path = pathlib.Path(tempfile.mkdtemp(), "logits.safetensors")
    >>> save_logits(path, np.zeros((3, 8)), dtype="bfloat16")
    3
    >>> open_logits(path).dtype
    'bfloat16'
    """
    name = "save_logits"
    kind = format_of(path) if format is None else format
    if kind not in get_args(Format):
        raise ValueError(f"{name}: format = {kind!r}; takes {', '.join(get_args(Format))}")
    if dtype is not None and dtype not in FLOAT_TYPES:
        raise ValueError(f"{name}: dtype = {dtype!r}; takes {', '.join(FLOAT_TYPES)}")
    if kind == "llama.cpp":
        return _save_llama_cpp(path, source, dtype, tokens, n_ctx, window)
    if tokens is not None or n_ctx is not None:
        raise ValueError(f"{name}: tokens and n_ctx are of format llama.cpp, not of {kind}")
    rows = rows_of(name, source)
    if rows.has_floor and floor != "value":
        raise ValueError(
            f"{name}: some log-probabilities of the source are a lower limit and no value, which "
            f'{kind} cannot say; floor="value" writes them all the same'
        )
    written = 0
    with replacing(path) as file:
        writer = _writer(file, rows, dtype or rows.dtype, kind)
        try:
            for piece in rows.pieces:
                values = converted(piece, dtype or rows.dtype, start=written)
                writer.write(values.astype(values.dtype.newbyteorder("<"), copy=False))
                written += len(piece)
        except BaseException:
            # Libraries let go of a file that they have finished; this one is thrown away.
            with suppress(Exception):
                writer.finish(None)
            raise
        writer.finish(rows.labels)
    return written


def _save_llama_cpp(
    path: FilePath,
    source: LogitsSource,
    dtype: FloatType | None,
    tokens: NDArray[np.integer] | None,
    n_ctx: int | None,
    window: int,
) -> int:
    if dtype is not None:
        raise ValueError("save_logits: format llama.cpp has a dtype of its own")
    if tokens is None:
        tokens = getattr(source, "tokens", None)
    if n_ctx is None:
        n_ctx = getattr(source, "n_ctx", None)
    if tokens is None or n_ctx is None:
        raise ValueError("save_logits: format llama.cpp takes tokens and n_ctx")
    return write_llama_cpp(path, source, tokens, n_ctx, window=window)


def write_tokens_table(path: FilePath, columns: Mapping[str, ArrayLike]) -> None:
    """Write columns of equal length, such as one figure per token, as a table.

    Parameters
    ----------
    path : path-like
        ``.parquet``, ``.arrow`` or ``.feather`` (which take pyarrow), ``.npz``, or ``.csv`` with a
        line of names, true and false, and as many digits as a number needs to come back the same.
    columns : mapping of str to array
        Numbers, booleans or text; integers stay integers, and booleans booleans.

    Raises
    ------
    ModuleNotFoundError
        pyarrow is not installed, and the format takes it.
    TypeError, ValueError
        Another ending, columns of different lengths, or something else than columns.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "tokens.csv")
    >>> write_tokens_table(path, {"kl": np.array([0.5, 0.1]), "same_top": np.array([True, False])})
    >>> print(path.read_text(), end="")
    kl,same_top
    0.5,true
    0.1,false
    """
    name = "write_tokens_table"
    suffix = PurePath(os.fsdecode(path)).suffix.lower()
    if suffix not in _TABLES:
        raise ValueError(f"{name}: {printable_path(path)} ends in none of {', '.join(_TABLES)}")
    arrays = {title: unmasked(name, title, column) for title, column in columns.items()}
    if not arrays:
        raise ValueError(f"{name}: there are no columns")
    first = next(iter(arrays.values()))
    for title, array in arrays.items():
        if array.ndim != 1 or array.shape != first.shape:
            raise ValueError(
                f"{name}: column {title!r} has shape {array.shape}; takes {first.shape[:1]}"
            )
        if array.dtype.kind not in "biufU":
            raise TypeError(
                f"{name}: column {title!r} has dtype {array.dtype}; takes numbers, booleans or text"
            )
    with replacing(path) as file:
        _TABLES[suffix](file, arrays)


def _write_npz(file: IO[bytes], arrays: dict[str, _Values]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for title, array in arrays.items():
            with archive.open(f"{title}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_csv(file: IO[bytes], arrays: dict[str, _Values]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(arrays)
    length = len(next(iter(arrays.values())))
    for start in range(0, length, _CSV_ROWS):
        block = [_as_text(array[start : start + _CSV_ROWS]) for array in arrays.values()]
        lines.writerows(zip(*block, strict=True))
    text.flush()
    text.detach()


def _as_text(column: _Values) -> list[str]:
    if column.dtype == np.bool_:
        return ["true" if value else "false" for value in column]
    # str of a NumPy scalar has the digits of its own precision.
    return [str(value) for value in column]


def _write_arrow(file: IO[bytes], arrays: dict[str, _Values]) -> None:
    pa = required_pyarrow()
    table = pa.table({title: pa.array(array) for title, array in arrays.items()})
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_parquet(file: IO[bytes], arrays: dict[str, _Values]) -> None:
    pa = required_pyarrow()
    table = pa.table({title: pa.array(array) for title, array in arrays.items()})
    pa.parquet.write_table(table, file)


_CSV_ROWS = 1 << 16
_TABLES: dict[str, Callable[[IO[bytes], dict[str, _Values]], None]] = {
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
    ".npz": _write_npz,
    ".csv": _write_csv,
}
