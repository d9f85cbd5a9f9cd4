"""Columns of one number per row: they grow, are merged, exported, and survive the process.

A saved state holds no code and is read without pickle:

1. the 8 bytes ``fdmeter`` and NUL; the format's version, u32; length of the header, u64;
2. the header, JSON: what the meter is, and name, dtype and length of every array;
3. the arrays, one after the other;
4. BLAKE2b of all that, 32 bytes.

Numbers are little-endian.  Lengths are compared with the size of the whole before anything is
allocated, and a file is written beside its place and renamed: it is the old one or the new one.
"""

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Column", "Columns", "as_column", "pack", "to_arrow", "to_numpy", "unpack", "write"]

Column = NDArray[Any]

_KINDS = {"b": np.dtype(np.bool_), "i": np.dtype(np.int64), "u": np.dtype(np.int64)}
_STORED = {"b": "|b1", "i": "<i8", "f": "<f8"}
_MAGIC = b"fdmeter\0"
_VERSION = 1
_FRONT = struct.Struct("<8sIQ")
_DIGEST = 32


def as_column(values: ArrayLike) -> Column:
    """Return an own flat array: bool as it is, whole numbers as int64, others as float64.

    Parameters
    ----------
    values : array_like

    Returns
    -------
    ndarray

    Examples
    --------
    >>> as_column([[1, 2]]), as_column([0.5]).dtype.name, as_column([True]).dtype.name
    (array([1, 2]), 'float64', 'bool')
    """
    given = np.asarray(values)
    return np.array(given, _KINDS.get(given.dtype.kind, np.dtype(np.float64))).ravel()


class Columns:
    """Named columns of one length, in arrays that grow by doubling.

    Examples
    --------
    >>> columns = Columns()
    >>> columns.append({"kl": np.array([0.5])})
    >>> columns.append({"kl": np.array([0.25])})
    >>> columns["kl"], len(columns)
    (array([0.5 , 0.25]), 2)
    """

    def __init__(self) -> None:
        self._arrays: dict[str, Column] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._size

    def __bool__(self) -> bool:
        """Tell whether there are columns, even of no rows."""
        return bool(self._arrays)

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a column."""
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._arrays)

    def __getitem__(self, name: str) -> Column:
        """Return a column, not to be written to."""
        view = self._arrays[name][: self._size]
        view.flags.writeable = False
        return view

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle keeps: no room to grow."""
        return {"_arrays": {name: self[name].copy() for name in self}, "_size": self._size}

    def append(self, columns: Mapping[str, Column]) -> None:
        """Add rows; the first that are added say which columns there are.

        Parameters
        ----------
        columns : mapping of str to ndarray
            Of one length; names and dtypes as before.
        """
        added = len(next(iter(columns.values()), ()))
        if not self._arrays:
            self._arrays = {name: np.empty(0, column.dtype) for name, column in columns.items()}
        size = self._size + added
        for name, column in columns.items():
            array = self._arrays[name]
            if size > array.size:
                array = np.empty(max(size, 2 * array.size), array.dtype)
                array[: self._size] = self._arrays[name][: self._size]
                self._arrays[name] = array
            array[self._size : size] = column
        self._size = size


def to_numpy(columns: Mapping[str, Column]) -> NDArray[np.void]:
    """Return one structured array, a field per column.

    Parameters
    ----------
    columns : mapping of str to ndarray

    Returns
    -------
    ndarray

    Examples
    --------
    >>> to_numpy({"kl": np.array([0.5]), "same_top": np.array([True])}).dtype.names
    ('kl', 'same_top')
    """
    rows = len(next(iter(columns.values()), ()))
    found = np.empty(rows, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        found[name] = column
    return found


def to_arrow(columns: Mapping[str, Column]) -> Any:
    """Return an Arrow table, for Parquet and for every data frame.

    Parameters
    ----------
    columns : mapping of str to ndarray

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ModuleNotFoundError
        Without pyarrow.
    """
    try:
        pyarrow = import_module("pyarrow")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'to_arrow needs pyarrow: pip install "fastdiv[arrow]"', name="pyarrow"
        ) from error
    return pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()})


def pack(header: Mapping[str, Any], arrays: Mapping[str, Column]) -> Iterator[bytes]:
    """Yield the pieces of a saved state.

    Parameters
    ----------
    header : mapping
        Of what JSON can hold.
    arrays : mapping of str to ndarray
        Flat, of bool, int64 or float64.

    Yields
    ------
    bytes
    """
    listed = [[name, _STORED[x.dtype.kind], x.size] for name, x in arrays.items()]
    text = json.dumps({**header, "arrays": listed}, allow_nan=False, sort_keys=True).encode()
    digest = hashlib.blake2b(digest_size=_DIGEST)
    front = _FRONT.pack(_MAGIC, _VERSION, len(text))
    for piece in (front, text, *map(_bytes, arrays.values())):
        digest.update(piece)
        yield piece
    yield digest.digest()


def unpack(state: bytes | memoryview, name: str) -> tuple[dict[str, Any], dict[str, Column]]:
    """Read what :func:`pack` made.

    Parameters
    ----------
    state : bytes
    name : str
        Whose it is, for messages.

    Returns
    -------
    header : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        Anything else, an incomplete or a changed one.
    """
    data = memoryview(state)
    if len(data) < _FRONT.size + _DIGEST or bytes(data[:8]) != _MAGIC:
        raise ValueError(f"{name} is no saved state of a meter")
    _, version, length = _FRONT.unpack(data[: _FRONT.size])
    if version != _VERSION:
        raise ValueError(f"{name} is of version {version}; this fastdiv reads {_VERSION}")
    body, digest = data[:-_DIGEST], data[-_DIGEST:]
    if hashlib.blake2b(body, digest_size=_DIGEST).digest() != digest:
        raise ValueError(f"{name} is incomplete or damaged: its checksum does not match")
    try:
        header = json.loads(bytes(body[_FRONT.size : _FRONT.size + length]))
        listed = [(str(key), np.dtype(kind), int(size)) for key, kind, size in header["arrays"]]
        right = all(d.str in _STORED.values() and n >= 0 for _, d, n in listed)
    except (ValueError, TypeError, KeyError):
        right = False
    at = _FRONT.size + length
    if not right or at + sum(d.itemsize * n for _, d, n in listed) != len(body):
        raise ValueError(f"{name} is no saved state of a meter: its header does not match")
    arrays = {}
    for key, kind, size in listed:
        # Any byte but 0 is True, and NumPy must never meet another than 1.
        kind = np.dtype(np.uint8) if kind.kind == "b" else kind
        array = np.frombuffer(body, kind, size, at)
        arrays[key] = array != 0 if kind == np.uint8 else array.astype(kind.newbyteorder("="))
        at += kind.itemsize * size
    return header, arrays


def write(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> None:
    """Write a file so that whoever reads it, or a crash, finds the old one or the new one.

    Parameters
    ----------
    path : path-like
    pieces : iterable of bytes

    Raises
    ------
    OSError
        The old file is as it was then.
    """
    target = Path(path)
    # One name for all attempts: what a killed process left behind is overwritten.
    beside = target.with_name(f".{target.name}.part")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    # The new name itself is on disk only with its folder.
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _bytes(x: Column) -> bytes:
    return x.astype(x.dtype.newbyteorder("<"), copy=False).tobytes()
