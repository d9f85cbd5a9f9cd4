"""safetensors, in one file or in the shards that a ``*.safetensors.index.json`` names.

The header is a few lines of JSON and untrusted: it is parsed here, and every offset is compared
with the size of the file, and with its neighbours, before anything is mapped.

========  ==========  ==============================================================
offset    type        content
========  ==========  ==============================================================
0         u64, LE     n, the length of the header
8         char[n]     {name: {"dtype", "shape", "data_offsets": [begin, end]}, …}
8 + n     bytes       the tensors, which fill the rest of the file without a gap
========  ==========  ==============================================================
"""

import json
import math
import os
from pathlib import PurePath
from typing import Any, Literal

import numpy as np

from fastdiv.io.arrays import ArrayReader, Key, StoredArray, choose, find, is_logits
from fastdiv.io.rows import FileFormatError, FilePath, file_size, read_head

__all__ = ["LONGEST_INDEX", "is_safetensors", "open_index", "open_safetensors"]

# Headers of whole models take less than one.
_LONGEST_HEADER = 16 << 20
#: An index is a header spread over files.
LONGEST_INDEX = _LONGEST_HEADER
_DTYPES = {
    "F16": "<f2",
    "BF16": "<V2",
    "F32": "<f4",
    "F64": "<f8",
    "I8": "<i1",
    "U8": "<u1",
    "I16": "<i2",
    "U16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "I64": "<i8",
    "U64": "<u8",
    "BOOL": "?",
}


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell whether a file of `size` bytes that begins with `head` may be safetensors."""
    return head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8


def _parse(path: FilePath, text: bytes, what: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise ValueError
        return fields

    try:
        fields = json.loads(text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise FileFormatError(path, f"has a safetensors {what} that cannot be understood")
    return fields


def _read_tensors(path: FilePath) -> dict[str, StoredArray]:
    """Return the tensors of one file, once they agree with its size."""
    size = file_size(path)
    head = read_head(path, 9)
    if not is_safetensors(head, size):
        raise FileFormatError(path, "is not a safetensors file, or is truncated in its header")
    length = int.from_bytes(head[:8], "little")
    if length > _LONGEST_HEADER:
        raise FileFormatError(
            path, f"has a safetensors header of {length} bytes; at most {_LONGEST_HEADER} are read"
        )
    fields = _parse(path, read_head(path, 8 + length)[8:], "header")
    fields.pop("__metadata__", None)
    tensors, spans = {}, []
    for name, entry in fields.items():
        begin, end, tensors[name] = _tensor(path, name, entry, 8 + length)
        spans.append((begin, end, name))
    covered = 0
    for begin, end, name in sorted(spans):
        if begin != covered:
            raise FileFormatError(
                path, f"tensor {name!r} begins at {begin} where the one before ends at {covered}"
            )
        covered = end
    if covered != size - 8 - length:
        what = "is truncated" if covered > size - 8 - length else "is longer than its header says"
        raise FileFormatError(
            path, f"{what}: {size} bytes where the header makes {8 + length + covered}"
        )
    return tensors


def _tensor(path: FilePath, name: str, entry: object, data: int) -> tuple[int, int, StoredArray]:
    complaint = FileFormatError(path, f"tensor {name!r} has a header that cannot be understood")
    if not isinstance(entry, dict):
        raise complaint
    code, shape, span = (entry.get(field) for field in ("dtype", "shape", "data_offsets"))
    if not (isinstance(code, str) and isinstance(shape, list) and isinstance(span, list)):
        raise complaint
    if len(span) != 2 or any(type(n) is not int or n < 0 for n in shape + span):
        raise complaint
    begin, end = span
    # Unknown types may stand beside the logits; only their place matters.
    dtype = np.dtype(_DTYPES.get(code, "V1"))
    if code in _DTYPES and end - begin != math.prod(shape) * dtype.itemsize:
        raise FileFormatError(
            path,
            f"tensor {name!r} has {end - begin} bytes; {code} of shape {tuple(shape)} takes "
            f"{math.prod(shape) * dtype.itemsize}",
        )
    if end < begin:
        raise FileFormatError(path, f"tensor {name!r} ends before it begins")
    return begin, end, StoredArray(path, data + begin, dtype, tuple(shape))


def open_safetensors(
    path: FilePath, *, key: Key = None, dtype: Literal["bfloat16"] | None = None
) -> ArrayReader:
    """Open the logits of one safetensors file.

    Parameters
    ----------
    path : path-like
    key : str or sequence of str, optional
        Which tensor; by default the only one that may be logits. ``"logits"`` also stands for
        ``logits.0``, ``logits.1``, …, and several names for their rows one after another.
        A tensor called ``labels`` (or its parts) is taken for the labels.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.

    Raises
    ------
    FileFormatError
        Anything wrong with the file or what it holds.
    """
    return _open(path, _read_tensors(path), key, dtype)


def open_index(
    path: FilePath, *, key: Key = None, dtype: Literal["bfloat16"] | None = None
) -> ArrayReader:
    """Open logits that a ``*.safetensors.index.json`` finds in the files beside it.

    Parameters
    ----------
    path : path-like
        ``{"weight_map": {tensor: file}}``; files stand in the directory of the index.
    key, dtype
        As for `open_safetensors`.

    Raises
    ------
    FileFormatError
        Anything wrong with the index, a shard, or what they hold.
    """
    size = file_size(path)
    if size > LONGEST_INDEX:
        raise FileFormatError(
            path, f"is an index of {size} bytes; at most {LONGEST_INDEX} are read"
        )
    where = _parse(path, read_head(path, size), "index").get("weight_map")
    if not isinstance(where, dict):
        raise FileFormatError(path, "has no weight_map of tensors and their files")
    shards: dict[str, dict[str, StoredArray]] = {}
    tensors = {}
    for name, shard in where.items():
        if not isinstance(shard, str) or PurePath(shard).name != shard or shard in ("", ".."):
            raise FileFormatError(
                path, f"tensor {name!r} is said to be in {shard!r}; only files beside it are read"
            )
        if shard not in shards:
            shards[shard] = _read_shard(path, shard)
        if name not in shards[shard]:
            raise FileFormatError(path, f"tensor {name!r} is not in {shard!r}, as it says")
        tensors[name] = shards[shard][name]
    return _open(path, tensors, key, dtype)


def _read_shard(index: FilePath, shard: str) -> dict[str, StoredArray]:
    beside = os.path.join(os.path.dirname(os.fsdecode(index)), shard)
    # Also false for what no file can be called: a zero byte, half of a surrogate pair, too much.
    if not os.path.exists(beside):
        raise FileFormatError(index, f"names the shard {shard!r}, which is not there")
    return _read_tensors(beside)


def _open(
    path: FilePath,
    tensors: dict[str, StoredArray],
    key: Key,
    dtype: Literal["bfloat16"] | None,
) -> ArrayReader:
    chosen = choose(
        path, tensors, key, lambda name: is_logits(tensors[name].dtype, tensors[name].shape, dtype)
    )
    labels = find(path, tensors, "labels")
    return ArrayReader(
        path,
        [tensors[name] for name in chosen],
        dtype=dtype,
        labels=[tensors[name] for name in labels],
    )
