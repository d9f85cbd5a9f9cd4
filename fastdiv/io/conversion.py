"""What is to be written: rows from anywhere, in the precision that is asked for.

Every conversion rounds to the nearest representable number, ties to even, once. A finite logit
that would become infinite is refused: that is no rounding.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdiv.evaluation import refuse_masked, unmasked
from fastdiv.io.rows import BLOCK_BYTES, LogitsReader, RowBlock

__all__ = ["FLOAT_TYPES", "FloatType", "LogitsSource", "Rows", "converted", "rows_of"]

FloatType: TypeAlias = Literal["float16", "bfloat16", "float32", "float64"]
FLOAT_TYPES: tuple[FloatType, ...] = ("float16", "bfloat16", "float32", "float64")

_Values: TypeAlias = NDArray[np.generic]
#: A reader, an array, or an iterable of blocks or arrays; uint16 arrays are bfloat16 bits.
LogitsSource: TypeAlias = LogitsReader | _Values | Iterable[RowBlock] | Iterable[_Values]


class Rows(NamedTuple):
    """Rows on their way into a file.

    Attributes
    ----------
    pieces : iterator of ndarray
        Native byte order, (rows, vocab), at least one; bfloat16 as uint16 bits.
    dtype : str
        What their values are.
    vocab : int
    total : int or None
        How many rows there are; None where only the end of `pieces` will tell.
    labels : ndarray of int64 or None
    has_floor : bool
        Whether some values are a lower limit and not known.
    """

    pieces: Iterator[_Values]
    dtype: FloatType
    vocab: int
    total: int | None
    labels: NDArray[np.int64] | None
    has_floor: bool


def rows_of(name: str, source: LogitsSource) -> Rows:
    """Return the rows of a source, which the function `name` was given.

    Raises
    ------
    TypeError
        Values that are no logits.
    ValueError
        No rows, or rows of different lengths.
    """
    refuse_masked(name, "source", source)
    total, labels, has_floor = None, None, False
    blocks: Iterable[object]
    if isinstance(source, np.ndarray):
        if source.ndim < 2:
            raise ValueError(
                f"{name}: logits have shape {source.shape}; takes (…, tokens, vocabulary)"
            )
        rows = source.reshape(-1, source.shape[-1])
        total = len(rows)
        step = max(1, BLOCK_BYTES // max(1, rows.itemsize * rows.shape[1]))
        blocks = (rows[i : i + step] for i in range(0, total, step))
    elif isinstance(source, LogitsReader):
        total, labels, has_floor = source.rows, source.labels, source.has_floor
        blocks = source.blocks(max(1, BLOCK_BYTES // source.row_bytes))
    else:
        blocks = source
    pieces = (b.values if isinstance(b, RowBlock) else unmasked(name, "a block", b) for b in blocks)
    first = next(pieces, None)
    if first is None or first.ndim != 2 or not first.size:
        raise ValueError(f"{name}: there are no logits of shape (tokens, vocabulary) to write")
    return Rows(
        pieces=_checked(name, first, pieces),
        dtype=_type_of(name, first),
        vocab=first.shape[1],
        total=total,
        labels=labels,
        has_floor=has_floor,
    )


def _checked(name: str, first: _Values, others: Iterator[_Values]) -> Iterator[_Values]:
    yield _native(first)
    for piece in others:
        if piece.ndim != 2 or piece.shape[1] != first.shape[1]:
            raise ValueError(
                f"{name}: a block has shape {piece.shape}, the first one {first.shape}"
            )
        if _type_of(name, piece) != _type_of(name, first):
            raise TypeError(f"{name}: a block has dtype {piece.dtype}, the first {first.dtype}")
        yield _native(piece)


def _type_of(name: str, values: _Values) -> FloatType:
    stored = "bfloat16" if values.dtype.name == "uint16" else values.dtype.name
    for known in FLOAT_TYPES:
        if stored == known:
            return known
    raise TypeError(
        f"{name}: logits have dtype {values.dtype}; takes float16, bfloat16 (or its bits as "
        "uint16), float32 or float64"
    )


def _native(values: _Values) -> _Values:
    if values.dtype.name == "bfloat16":
        values = values.view(np.uint16)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def converted(values: _Values, to: FloatType, *, start: int = 0) -> _Values:
    """Return values in another precision, rounded once, ties to even.

    Parameters
    ----------
    values : ndarray
        float16, float32, float64, or bfloat16 as uint16 bits.
    to : str
        One of `FLOAT_TYPES`; "bfloat16" returns uint16 bits.
    start : int
        Number of the first row, for errors.

    Raises
    ------
    OverflowError
        A finite value would become infinite; the message names its row.

    Examples
    --------
    >>> converted(np.array([[1.0, -0.3]]), "bfloat16")
    array([[16256, 48794]], dtype=uint16)
    """
    bits = values.dtype == np.uint16
    if bits and to == "bfloat16":
        return values
    wide: _Values = (values.astype(np.uint32) << 16).view(np.float32) if bits else values
    with np.errstate(over="ignore", invalid="ignore"):
        if to == "bfloat16":
            result = _bfloat16_bits(wide)
            infinite = (result & 0x7FFF) == 0x7F80
        else:
            result = wide.astype(to, copy=False)
            infinite = np.isinf(result)
    if infinite.any():
        lost = infinite & np.isfinite(wide)
        if lost.any():
            place = tuple(int(i) for i in np.argwhere(lost)[0])
            raise OverflowError(
                f"row {start + place[0]}: logit {place[1]} is {wide[place]}, beyond {to}"
            )
    return result


def _bfloat16_bits(values: _Values) -> NDArray[np.uint16]:
    single = values.astype(np.float32)
    if values.dtype == np.float64:
        # Rounded to odd, a float32 keeps what the second rounding must know of the first.
        outward = np.abs(single) > np.abs(values)
        single = np.where(outward, np.nextafter(single, np.float32(0)), single)
        inexact = np.isfinite(values) & (single != values)
        single = (single.view(np.uint32) | inexact).view(np.float32)
    bits = single.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    # A NaN whose payload is all in the lower half would round to infinity.
    return np.where(np.isnan(single), (bits >> 16) | 0x40, rounded).astype(np.uint16)
