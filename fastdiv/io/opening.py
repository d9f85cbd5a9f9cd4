"""Which reader a file calls for: told by its first bytes, never by its name."""

import mmap
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from fastdiv.io.arrays import Key
from fastdiv.io.arrow import (
    ARROW_MAGIC,
    PARQUET_MAGIC,
    STREAM_MAGIC,
    ArrowKind,
    ArrowReader,
)
from fastdiv.io.llama_cpp import LlamaCppReader
from fastdiv.io.logprobs import LogprobsReader, open_logprobs
from fastdiv.io.names import TokenNames
from fastdiv.io.npy import NpyReader
from fastdiv.io.npz import ZIP_MAGIC, open_archive, open_npz
from fastdiv.io.pytorch import TorchReader
from fastdiv.io.raw import open_raw
from fastdiv.io.responses import Part
from fastdiv.io.rows import (
    BLOCK_BYTES,
    FileFormatError,
    FilePath,
    FirstRows,
    LogitsReader,
    file_size,
    read_head,
)
from fastdiv.io.safetensors import LONGEST_INDEX, is_safetensors, open_index, open_safetensors
from fastdiv.io.store import StoreReader

__all__ = ["open_any", "open_logits", "rows_per_block"]

_HEAD_BYTES = 16
_JSON_HEAD_BYTES = 1024
_ARROW: dict[bytes, ArrowKind] = {
    ARROW_MAGIC: "file",
    STREAM_MAGIC: "stream",
    PARQUET_MAGIC: "parquet",
}
_FOREIGN = {
    b"FEA1": "is a Feather file of version 1; write version 2, which is Arrow IPC",
    b"GGUF": "is a GGUF model; fastdiv reads logits, not weights",
    b"\x89HDF": "is an HDF5 file; save the array with numpy.save",
    b"\x80": "is a pickle, which fastdiv never loads; torch.save it anew, without legacy options",
}


def open_logits(
    path: FilePath,
    *,
    dtype: str | None = None,
    key: Key = None,
    shape: tuple[int, ...] | None = None,
    offset: int = 0,
    rows: int | None = None,
) -> LogitsReader:
    """Open a file of logits, recognised by its first bytes and never by its name.

    Parameters
    ----------
    path : path-like
        ``.npy``, ``.npz``, safetensors or its index of shards, Arrow, Parquet, ``torch.save``'s,
        or llama.cpp's ``--kl-divergence-base`` file; anything at all if `shape` is given.
    dtype : str, optional
        "bfloat16" says that uint16 values are raw bfloat16 bits; changes nothing for others.
        With `shape`: what the bytes are.
    key : str or sequence of str, optional
        Which array of a file that has several; see `open_npz` and `open_safetensors`.
    shape : tuple of int, optional
        The file has no header, but `dtype` values of this shape from `offset` on.
    offset : int
        Bytes before the first row; with `shape` only.
    rows : int, optional
        Read only that many, the first ones.

    Raises
    ------
    FileFormatError
        The file is of another kind, damaged, or holds something else than rows of logits.
    OSError
        The file cannot be opened.
    ValueError
        Options that do not go together.
    """
    if shape is not None:
        if dtype is None or key is not None:
            raise ValueError("open_logits: shape takes a dtype, and no key")
        reader: LogitsReader = open_raw(path, shape=shape, dtype=dtype, offset=offset)
    else:
        if dtype not in (None, "bfloat16") or offset:
            raise ValueError("open_logits: dtype and offset of raw bytes take a shape as well")
        reader = _recognise(path)(path, key, "bfloat16" if dtype else None)
    return reader if rows is None else FirstRows(reader, path, rows)


def open_any(
    path: FilePath,
    *,
    names: TokenNames | None = None,
    part: Part | None = None,
    **options: Any,
) -> LogitsReader | LogprobsReader | StoreReader:
    """Open a file of logits, or of the most probable tokens: JSON, or fastdiv's own store.

    Parameters
    ----------
    path : path-like
    names, part
        As `open_logprobs` takes them, for JSON.
    **options
        As `open_logits` takes them, for everything else.

    Returns
    -------
    LogitsReader, LogprobsReader or StoreReader
        The last two have ``sequences``, and their blocks hold :class:`fastdiv.topk.TopKRows`.

    Raises
    ------
    FileFormatError
        The file is of another kind, damaged, or holds something else.
    OSError
        The file cannot be opened.
    """
    if options.get("shape") is None:
        is_store = read_head(path, _HEAD_BYTES).startswith(StoreReader.MAGIC)
        if is_store or (is_json(path) and not _is_index(path)):
            said = ", ".join(option for option, value in options.items() if value)
            if said:
                what = "a store of fastdiv" if is_store else "JSON"
                raise FileFormatError(path, f"is {what}; {said} are of files of logits")
            return StoreReader(path) if is_store else open_logprobs(path, names, part=part)
    return open_logits(path, **options)


_Opener = Callable[[FilePath, Key, Literal["bfloat16"] | None], LogitsReader]


def _recognise(path: FilePath) -> _Opener:
    head = read_head(path, _HEAD_BYTES)
    if head.startswith(NpyReader.MAGIC):
        return _open_npy
    if head.startswith(StoreReader.MAGIC):
        raise FileFormatError(path, "is a store of fastdiv, not of logits: open_any reads it")
    if head.startswith(LlamaCppReader.MAGIC):
        return _open_llama_cpp
    if head.startswith(ZIP_MAGIC):
        return _recognise_archive(path)
    for magic, kind in _ARROW.items():
        if head.startswith(magic):
            return partial(_open_arrow, kind)
    if is_safetensors(head, file_size(path)):
        return lambda path, key, dtype: open_safetensors(path, key=key, dtype=dtype)
    if is_json(path):
        if not _is_index(path):
            raise FileFormatError(path, "is JSON: fastdiv.io.open_logprobs reads log-probabilities")
        return lambda path, key, dtype: open_index(path, key=key, dtype=dtype)
    if not head:
        raise FileFormatError(path, "is empty")
    for magic, reason in _FOREIGN.items():
        if head.startswith(magic):
            raise FileFormatError(path, reason)
    raise FileFormatError(path, "is of no kind that fastdiv reads, unless its shape is said")


def _recognise_archive(path: FilePath) -> _Opener:
    with open_archive(path) as archive:
        names = archive.namelist()
    if any(name.endswith(".npy") for name in names):
        return lambda path, key, dtype: open_npz(path, key=key, dtype=dtype)
    if any(name.endswith("/data.pkl") for name in names):
        return lambda path, key, dtype: TorchReader(path, key=key, dtype=dtype)
    raise FileFormatError(path, "is a zip archive, but neither .npz nor torch's")


def is_json(path: FilePath) -> bool:
    """Tell whether a file begins as an object or list of JSON does, blanks aside."""
    head = read_head(path, _JSON_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    return re.match(rb"\s*(\{\s*[\"}]|\[\s*[{\]])", head) is not None


def _is_index(path: FilePath) -> bool:
    if file_size(path) > LONGEST_INDEX:
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b'"weight_map"') >= 0


def _only_one(path: FilePath, key: Key) -> None:
    if key is not None:
        raise FileFormatError(path, f"holds one array without a name; key = {key!r} was asked for")


def _open_arrow(
    kind: ArrowKind, path: FilePath, key: Key, dtype: Literal["bfloat16"] | None
) -> LogitsReader:
    return ArrowReader(path, kind, key=key, dtype=dtype)


def _open_npy(path: FilePath, key: Key, dtype: Literal["bfloat16"] | None) -> LogitsReader:
    _only_one(path, key)
    return NpyReader(path, dtype=dtype)


def _open_llama_cpp(path: FilePath, key: Key, dtype: Literal["bfloat16"] | None) -> LogitsReader:
    _only_one(path, key)
    return LlamaCppReader(path)


def rows_per_block(*readers: LogitsReader) -> int:
    """Return how many rows of the widest reader fit into one block; at least one."""
    return max(1, BLOCK_BYTES // max(reader.row_bytes for reader in readers))
