"""Arrays that lie row by row in files: what `.npy`, `.npz`, safetensors and raw binary share.

A format knows where its arrays are; the rest, once their sizes agree with the files', is here.
bfloat16 is known by the dtype ``V2``, as NumPy writes that of ``ml_dtypes``.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.rows import (
    FileFormatError,
    FilePath,
    MappedRows,
    RowBlock,
    checked_labels,
    joined,
)

__all__ = [
    "ArrayReader",
    "Key",
    "StoredArray",
    "choose",
    "find",
    "is_logits",
    "listed",
    "rows_and_vocab",
    "stored_labels",
    "value_type",
]

#: One name, or several in the order of their rows.
Key: TypeAlias = str | Sequence[str] | None

BFLOAT16 = np.dtype("V2")
_FLOATS = ("float16", "float32", "float64")
_NAMES_IN_ERRORS = 8
_NUMBER = r"[._/-]([0-9]{1,9})"


class StoredArray(NamedTuple):
    """An array in C order at `offset` of a file that is known to be long enough."""

    path: FilePath
    offset: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


def is_logits(
    dtype: np.dtype[np.generic], shape: tuple[int, ...], said: Literal["bfloat16"] | None
) -> bool:
    """Tell whether an array may be logits: rows of floating-point values."""
    bits = said == "bfloat16" and dtype.name == "uint16"
    return len(shape) >= 2 and (dtype.name in _FLOATS or dtype == BFLOAT16 or bits)


def value_type(
    path: FilePath, stored: np.dtype[np.generic], said: Literal["bfloat16"] | None
) -> tuple[np.dtype[np.generic], Literal["bfloat16"] | None]:
    """Return the dtype to view the bytes as, and what fastdiv must be told about the values."""
    if stored == BFLOAT16 or (stored.name == "uint16" and said == "bfloat16"):
        return np.dtype(np.uint16).newbyteorder(stored.byteorder), "bfloat16"
    if stored.name == "uint16":
        raise FileFormatError(path, "holds uint16; if these are bfloat16 bits, say dtype bfloat16")
    if stored.name not in _FLOATS:
        raise FileFormatError(path, f"holds {stored.name}; logits are floating-point")
    return stored, None


def rows_and_vocab(path: FilePath, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the number of rows, leading axes flattened, and their length."""
    if len(shape) < 2:
        raise FileFormatError(path, f"has shape {shape}; logits take (…, tokens, vocabulary)")
    *batch, vocab = shape
    rows = math.prod(batch)
    if not rows or not vocab:
        raise FileFormatError(path, f"is empty: its shape is {shape}")
    return rows, vocab


class _Stretch(NamedTuple):
    """Rows `start` to `stop` of a reader, in one file."""

    start: int
    stop: int
    mapped: MappedRows


class ArrayReader:
    """Logits of one array, or of several whose rows follow each other, mapped in place.

    Parameters
    ----------
    path : path-like
        The file that errors name.
    arrays : sequence of StoredArray
        All axes but the last are flattened to rows.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.
    labels : sequence of StoredArray
        Integers, in all one per row; none where the file knows none.
    """

    has_floor: bool = False

    def __init__(
        self,
        path: FilePath,
        arrays: Sequence[StoredArray],
        *,
        dtype: Literal["bfloat16"] | None = None,
        labels: Sequence[StoredArray] = (),
    ) -> None:
        first = arrays[0]
        self._stored, self.dtype = value_type(path, first.dtype, dtype)
        _, self.vocab = rows_and_vocab(path, first.shape)
        self.row_bytes = self.vocab * self._stored.itemsize
        self.rows = 0
        self._stretches = []
        for array in arrays:
            if array.dtype != first.dtype or array.shape[-1:] != first.shape[-1:]:
                raise FileFormatError(
                    path,
                    f"has parts that do not belong together: {first.dtype} of shape "
                    f"{first.shape}, {array.dtype} of shape {array.shape}",
                )
            rows, _ = rows_and_vocab(path, array.shape)
            mapped = MappedRows(
                array.path, offset=array.offset, rows=rows, row_bytes=self.row_bytes
            )
            self._stretches.append(_Stretch(self.rows, self.rows + rows, mapped))
            self.rows += rows
        self.labels = (
            stored_labels(path, labels, rows=self.rows, vocab=self.vocab) if labels else None
        )

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""
        native = self._stored.newbyteorder("=")
        for start in range(0, self.rows, rows_per_block):
            stop = min(start + rows_per_block, self.rows)
            spans = [
                (s.mapped, max(start, s.start) - s.start, min(stop, s.stop) - s.start)
                for s in self._stretches
                if s.start < stop and start < s.stop
            ]
            # Copies only what another machine wrote, or a writer that aligns nothing.
            values = joined(
                [
                    np.require(mapped.bytes_at(i, j - i).view(self._stored), native, "A")
                    for mapped, i, j in spans
                ]
            )
            labels = None if self.labels is None else self.labels[start:stop]
            yield RowBlock(start, values, None, labels)
            for mapped, i, j in spans:
                mapped.release(i, j - i)


def stored_labels(
    path: FilePath, arrays: Sequence[StoredArray], *, rows: int, vocab: int
) -> NDArray[np.int64]:
    """Return the labels in `arrays`, one after another, once they fit the rows."""
    for array in arrays:
        if array.dtype.kind not in "iu":
            raise FileFormatError(path, f"holds {array.dtype.name}; labels are integers")
    count = sum(math.prod(array.shape) for array in arrays)
    if count != rows:
        raise FileFormatError(path, f"holds {count} labels for {rows} rows of logits")
    read = [
        np.fromfile(array.path, array.dtype, math.prod(array.shape), offset=array.offset)
        for array in arrays
    ]
    return checked_labels(path, joined(list(read)), rows=rows, vocab=vocab)


def listed(names: Iterable[object]) -> str:
    """Return names as an error shows them: quoted, and not endless."""
    shown = [repr(name if len(str(name)) < 60 else f"{str(name)[:57]}...") for name in names]
    more = len(shown) - _NAMES_IN_ERRORS
    return ", ".join(shown[:_NAMES_IN_ERRORS]) + (f" and {more} more" if more > 0 else "")


def find(path: FilePath, names: Iterable[str], stem: str) -> list[str]:
    """Return the name `stem`, or else those of its parts: `stem`, a separator and a number.

    Parts come in the order of their numbers, which begin at 0 or 1 and leave none out.

    Examples
    --------
    >>> find("file", ["x.2", "x.1", "y"], "x")
    ['x.1', 'x.2']
    """
    if stem in names:
        return [stem]
    numbered: dict[int, str] = {}
    for name in names:
        match = re.fullmatch(re.escape(stem) + _NUMBER, name)
        if match and numbered.setdefault(int(match[1]), name) != name:
            raise FileFormatError(path, f"has part {int(match[1])} of {stem!r} twice")
    first = 0 if 0 in numbered else 1
    for number in range(first, first + len(numbered)):
        if number not in numbered:
            raise FileFormatError(path, f"lacks part {number} of {stem!r}")
    return [numbered[number] for number in sorted(numbered)]


def choose(
    path: FilePath, names: Mapping[str, object], key: Key, accept: Callable[[str], bool]
) -> list[str]:
    """Return the names whose rows, one after another, are what is asked for.

    Parameters
    ----------
    path : path-like
        The file that errors name.
    names : mapping
        All names there are.
    key : str, sequence of str or None
        A name; or the stem of numbered parts (``"logits"`` for ``"logits.0"``, ``"logits.1"``);
        or several names. None takes the only acceptable one, or the only numbered series.
    accept : callable
        Tells whether a name may be taken unasked.
    """
    if key is None:
        found = [name for name in names if accept(name)]
        stems = {re.sub(_NUMBER + r"\Z", "", name) for name in found}
        if len(found) == 1:
            return found
        if len(stems) == 1:
            return find(path, found, stems.pop())
        if not found:
            raise FileFormatError(path, f"has no array of logits; it has {listed(names) or 'none'}")
        raise FileFormatError(path, f"has several arrays: {listed(found)}; say which by key")
    chosen = []
    for name in [key] if isinstance(key, str) else key:
        parts = find(path, names, name)
        if not parts:
            raise FileFormatError(path, f"has no array {name!r}; it has {listed(names) or 'none'}")
        chosen += parts
    return chosen
