r"""fastdiv's own file: the most probable tokens of each row, and exactly what the others add up to.

**What any comparison with it can be off by.** Let p_t be the mass of a row's tail, and e the error
of its log-probabilities. For a candidate of which all logits are known,
``compare_topk(rows, logits)`` returns an interval that holds KL whatever the tails are. How wide it
is depends on the candidate: no finite number holds for all. The file states one under a condition,

    |log p/q| ≤ R for every token   ⟹   upper − lower ≤ max_error

for ``compare_topk(rows, logits, tail_ratio=R)`` on each of its rows. Proof, with φ(p, q) =
p log(p/q) − p + q:

1. Tail. Its part of KL is φ(p_t, q_t) + p_t·D, D the divergence of the conditional distributions.
   φ(p_t, q_t) is known, and is what the lower bound has. The log-ratios of the conditional ones
   span at most 2R, so 0 ≤ D ≤ log S(e^{2R}), S being Specht's ratio: the largest quotient of the
   arithmetic by the geometric mean of numbers whose quotients are at most e^{2R}.
2. Known tokens. ∂φ/∂log p = p log(p/q). Inside the limits of log p, 2e apart, |log p/q| is at most
   R + 2e and p at most e^{2e} times the true one. The true ones add up to at most 1, so the sum of
   φ is known to 2e·e^{2e}(R + 2e).

.. math:: \mathrm{max\_error} = \max_{\mathrm{rows}} \left[p_t \log S(e^{2R})
    + 2e\,e^{2e}(R + 2e)\right]

Each row keeps as few tokens as that allows. float16 and bfloat16 logits are stored as they are
(e is rounding alone, 1e-14); others as multiples of a step of 2e below the largest.

**Layout**, little endian:

=================  ==================================================================
header, 96 bytes   magic, version, encoding, has labels, reserved; rows, vocab, blocks,
                   end of blocks (u64); max_error, R (f64); reserved; CRC-32 of all before
blocks             zlib: nine f64 per row (`_COLUMNS`), number of tokens of each row (u32);
                   gaps between tokens, then codes, byte plane by byte plane
index              per block: its bytes (u64), rows, tokens, planes of gaps and of codes,
                   CRC-32, reserved (u32); then a label per row (i32) if there are any;
                   CRC-32 of the index
=================  ==================================================================
"""

import contextlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import array_of, legible, unmasked
from fastdiv.intervals import UNIT, specht
from fastdiv.io.rows import FileFormatError, FilePath, RowBlock, file_size, read_head
from fastdiv.topk import TopKRows, concatenated, kept_rows, largest_mask, log_softmax

__all__ = ["StoreReader", "write_store"]

_MAGIC = b"fastdiv\x00"
_VERSION = 1
_HEADER = struct.Struct("<8sHBB4xQQQQdd28xI")
_ENTRY = np.dtype(
    [
        ("bytes", "<u8"),
        ("rows", "<u4"),
        ("tokens", "<u4"),
        ("gap_planes", "<u4"),
        ("code_planes", "<u4"),
        ("crc", "<u4"),
        ("reserved", "<u4"),
    ]
)
_COLUMNS = (
    "lse", "top", "step", "error", "tail", "tail_error", "cap", "tail_entropy", "label_log_p",
)  # fmt: skip
_ROW_BYTES = 8 * len(_COLUMNS) + 4
_LOGARITHMS, _FLOAT16, _BFLOAT16 = 0, 1, 2
#: Tokens per block: some 2 MiB once unpacked, and enough for zlib to learn from.
_BLOCK_TOKENS = 1 << 18
_BLOCK_ROWS = 1 << 12
#: Logits that are worked on at a time.
_SCRATCH_NUMBERS = 1 << 19
#: zlib never packs tighter, so a block that claims more is refused before it is unpacked.
_MOST_PACKED = 1032
#: Share of max_error that the codes may take; one bit less of them is 5 % of the file.
_CODE_SHARE = 1 / 8
_CODE_LIMIT = (1 << 24) - 1
_NO_LABEL = -100


class _Packed(NamedTuple):
    """Some rows as they are stored."""

    rows: TopKRows
    codes: NDArray[np.int64]
    lse: NDArray[np.float64]
    top: NDArray[np.float64]
    step: NDArray[np.float64]


def code_error(error: Any, tail_ratio: float) -> Any:
    """Return how far apart two sums of φ over known tokens may be: 2e·e^{2e}(R + 2e).

    Examples
    --------
    >>> round(float(code_error(1e-4, 2.0)), 7)
    0.0004001
    """
    return 2 * error * np.exp(2 * error) * (tail_ratio + 2 * error)


def write_store(
    path: FilePath,
    blocks: Iterable[RowBlock | ArrayLike],
    *,
    vocab: int,
    max_error: float | None = 0.01,
    k: int | None = None,
    labels: ArrayLike | None = None,
    tail_ratio: float = 2.0,
    dtype: str | None = None,
    compression: int = 6,
) -> None:
    """Write rows of logits to a store; the file appears when it is complete.

    Parameters
    ----------
    path : path-like
    blocks : iterable of RowBlock or array_like, shape (rows, at least vocab)
        Logits, block by block; float16, bfloat16, float32 or float64. What is beyond `vocab` is
        padding and cut.
    vocab : int
        Length of a row.
    max_error : float, default 0.01
        Nats by which a KL may be uncertain if the log-ratios of candidate and base are at most
        `tail_ratio`: what decides how many tokens a row keeps.
    k : int, optional
        Keep this many tokens of each row instead; the error that this makes is stated.
    labels : array_like of int, optional
        The token that each row predicts, −100 for none; by default those of the blocks.
    tail_ratio : float, default 2
        R of the condition (see the module).
    dtype : {'bfloat16'}, optional
        ``'bfloat16'``: uint16 arrays hold raw bfloat16.
    compression : int, default 6
        Level of zlib, 0 to 9.

    Raises
    ------
    ValueError
        If a block is no rows of `vocab` logits, has a floor, dtypes change, labels do not match the
        rows, or a number is out of range.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp(), "base.fd")
    >>> logits = np.random.default_rng(0).normal(size=(6, 1000)) * 4
    >>> write_store(path, [logits[:4], logits[4:]], vocab=1000, max_error=0.05)
    >>> reader = StoreReader(path)
    >>> reader.rows, reader.vocab, reader.max_error <= 0.05
    (6, 1000, True)
    >>> [(start, len(rows)) for start, rows in reader.blocks(4)]
    [(0, 4), (4, 2)]
    """
    name = "write_store"
    if k is not None and not 1 <= k <= vocab:
        raise ValueError(f"{name}: k is {k}; it takes 1…{vocab}, the vocabulary")
    if k is None and (max_error is None or not 0 < max_error < np.inf):
        raise ValueError(f"{name}: max_error is {max_error}; it takes a positive number, or k")
    if not 0 < tail_ratio < 300:
        raise ValueError(
            f"{name}: tail_ratio is {tail_ratio}; it takes a number above 0, below 300"
        )
    if not 1 <= vocab < 1 << 31:
        raise ValueError(f"{name}: vocab is {vocab}; it takes 1…{(1 << 31) - 1}")
    given = None
    if labels is not None:
        given = _checked_labels(unmasked("write_store", "labels", labels), vocab, 0)
    writer = _Writer(vocab, None if k is not None else max_error, k, tail_ratio, compression)
    target = Path(os.fsdecode(path))
    # In the same directory, so that renaming it is one step.
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    writer.labelled = given is not None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(bytes(_HEADER.size))
            for block in blocks:
                writer.add(file, block, given, dtype)
            if given is not None and given.size != writer.rows:
                raise ValueError(f"{name}: {given.size} labels for {writer.rows} rows")
            writer.finish(file)
            file.flush()
            os.fsync(file.fileno())
        # What mkstemp makes is for its owner alone.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _checked_labels(labels: NDArray[Any], vocab: int, first: int) -> NDArray[np.int64]:
    if labels.dtype.kind not in "iu":
        raise TypeError(f"write_store: labels have dtype {labels.dtype}; they are integers")
    if labels.ndim != 1:
        raise ValueError(f"write_store: labels have shape {labels.shape}; they have one axis")
    wrong = (labels != _NO_LABEL) & ((labels < 0) | (labels >= vocab))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise IndexError(
            f"write_store: the label of row {first + row} is {labels[row]}; a vocabulary of {vocab}"
            f" takes 0…{vocab - 1}, or -100"
        )
    return labels.astype(np.int64)


class _Writer:
    """State of a file that is being written."""

    def __init__(
        self, vocab: int, max_error: float | None, k: int | None, tail_ratio: float, level: int
    ) -> None:
        self.vocab, self.k, self.tail_ratio, self.level = vocab, k, tail_ratio, level
        self.rows = 0
        self.requested = max_error
        self.reached = 0.0
        self.encoding: int | None = None
        self.labelled = False
        self.inside = specht(2 * tail_ratio)
        self.index: list[tuple[int, ...]] = []
        self.waiting: list[_Packed] = []
        self.labels: list[NDArray[np.int32]] = []

    def add(
        self, file: Any, block: RowBlock | ArrayLike, labels: NDArray[np.int64] | None, dtype: Any
    ) -> None:
        """Take one block of logits."""
        own = None
        if isinstance(block, RowBlock):
            if block.floor is not None:
                raise ValueError("write_store: a block has floors; a store takes all logits")
            own, block = block.labels, block.values
        values = array_of("write_store", "blocks", block, dtype)
        if values.ndim != 2 or values.shape[1] < self.vocab:
            raise ValueError(
                f"write_store: the block from row {self.rows} on has shape {values.shape}; it takes"
                f" (rows, {self.vocab})"
            )
        encoding = _LOGARITHMS
        if values.dtype.itemsize == 2:
            encoding = _BFLOAT16 if values.dtype.kind == "u" else _FLOAT16
        if self.encoding not in (None, encoding):
            raise ValueError(f"write_store: the block from row {self.rows} on has another dtype")
        self.encoding = encoding
        count = len(values)
        if labels is not None:
            if labels.size < self.rows + count:
                raise ValueError(
                    f"write_store: {labels.size} labels for at least {self.rows + count} rows"
                )
            here = labels[self.rows : self.rows + count]
        elif own is not None:
            here = _checked_labels(np.asarray(own), self.vocab, self.rows)
        else:
            here = np.full(count, _NO_LABEL)
        self.labelled |= own is not None
        step = max(1, _SCRATCH_NUMBERS // self.vocab)
        for start in range(0, count, step):
            rows = slice(start, start + step)
            self._add_rows(values[rows, : self.vocab], here[rows])
            if self._full():
                self._write_block(file)
        self.rows += count

    def _add_rows(self, values: NDArray[Any], labels: NDArray[np.int64]) -> None:
        wide = legible(values).astype(np.float64)
        log_p, lse, delta = log_softmax(wide)
        quantum = 0.0
        if self.requested is not None and self.encoding == _LOGARITHMS:
            quantum = self.requested * _CODE_SHARE / (2 * (self.tail_ratio + 0.1))
        kept, codes, top, step, error = self._chosen(values, wide, log_p, delta, quantum)
        rows = kept_rows(log_p, delta, kept, np.where(labels < 0, -1, labels))
        row, tokens = np.nonzero(kept)
        rows = TopKRows(
            rows.offsets, rows.tokens, rows.log_p, error, rows.tail, rows.tail_error, rows.cap,
            rows.tail_entropy, rows.label_log_p, self.vocab,
        )  # fmt: skip
        with np.errstate(invalid="ignore"):
            reached = (rows.tail + rows.tail_error) * self.inside
            reached = reached + code_error(error, self.tail_ratio)
        self.reached = float(np.fmax(self.reached, np.fmax.reduce(reached, initial=0.0)))
        self.waiting.append(_Packed(rows, codes[row, tokens], lse, top, step))
        self.labels.append(labels.astype(np.int32))

    def _chosen(
        self,
        values: NDArray[Any],
        wide: NDArray[np.float64],
        log_p: NDArray[np.float64],
        delta: NDArray[np.float64],
        quantum: float,
    ) -> tuple[Any, ...]:
        """Return which tokens to keep, their codes, and what decodes them."""
        count, width = wide.shape
        sound = ~np.isnan(delta)
        ordered = np.sort(np.where(sound[:, None], log_p, -np.inf), axis=-1)
        if self.requested is None:
            number = np.full(count, self.k)
        else:
            budget = self.requested - code_error(quantum / 2 + 1e-12, self.tail_ratio)
            mass = np.cumsum(np.exp(ordered), axis=-1) * (1 + 1e-11)
            left_out = (mass * self.inside <= budget).sum(-1)
            number = np.maximum(width - left_out, 1)
        # A probability of 0 needs no code: the tail says as much.
        number = np.minimum(number, (ordered > -np.inf).sum(-1))
        kept = largest_mask(log_p, number, ordered) & sound[:, None]
        top = np.where(sound, ordered[:, -1], 0.0)
        margin = delta + 8 * UNIT * (1 + np.abs(np.where(kept, log_p, 0.0)).max(-1))
        if self.encoding == _LOGARITHMS:
            lowest = np.where(kept, log_p, 0.0).min(-1)
            step = np.full(count, quantum)
            if self.requested is None:
                step = np.maximum((top - lowest) / 65535, 1e-12)
            step = np.maximum(step, (top - lowest) / _CODE_LIMIT)
            with np.errstate(invalid="ignore"):
                steps = np.where(kept, (top[:, None] - log_p) / step[:, None], 0.0)
            codes = np.rint(steps).astype(np.int64)
            return kept, codes, top, step, step / 2 * (1 + 1e-9) + margin
        order = _ordered(values)
        highest = np.where(kept, order, 0).max(-1)
        codes = np.where(kept, highest[:, None] - order, 0)
        return kept, codes, highest.astype(np.float64), np.ones(count), margin

    def _full(self) -> bool:
        tokens = sum(part.codes.size for part in self.waiting)
        return (
            tokens >= _BLOCK_TOKENS or sum(len(part.rows) for part in self.waiting) >= _BLOCK_ROWS
        )

    def _write_block(self, file: Any) -> None:
        if not self.waiting:
            return
        rows = concatenated([part.rows for part in self.waiting], self.vocab)
        codes = np.concatenate([part.codes for part in self.waiting])
        columns = {
            name: np.concatenate([getattr(part, name) for part in self.waiting])
            for name in ("lse", "top", "step")
        }
        for name in _COLUMNS[3:]:
            columns[name] = getattr(rows, name)
        gaps = np.diff(rows.tokens, prepend=-1) - 1
        starts = rows.offsets[:-1][np.diff(rows.offsets) > 0]
        gaps[starts] = rows.tokens[starts]
        gap_planes, code_planes = _planes(gaps), _planes(codes)
        raw = b"".join(
            [
                *(columns[name].astype("<f8").tobytes() for name in _COLUMNS),
                np.diff(rows.offsets).astype("<u4").tobytes(),
                *gap_planes,
                *code_planes,
            ]
        )
        packed = zlib.compress(raw, self.level)
        file.write(packed)
        self.index.append(
            (len(packed), len(rows), codes.size, len(gap_planes), len(code_planes),
             zlib.crc32(packed), 0)
        )  # fmt: skip
        self.waiting = []

    def finish(self, file: Any) -> None:
        """Write what waits, the index and the header."""
        self._write_block(file)
        end = file.tell()
        index = np.array(self.index, _ENTRY).tobytes()
        if self.labelled:
            index += np.concatenate([np.empty(0, np.int32), *self.labels]).astype("<i4").tobytes()
        file.write(index + struct.pack("<I", zlib.crc32(index)))
        head = _HEADER.pack(
            _MAGIC, _VERSION, self.encoding or _LOGARITHMS, self.labelled, self.rows, self.vocab,
            len(self.index), end, self.reached, self.tail_ratio, 0,
        )[:-4]  # fmt: skip
        file.seek(0)
        file.write(head + struct.pack("<I", zlib.crc32(head)))


def _ordered(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return bits of 16-bit floats as integers in the order of the floats."""
    bits = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False)
    integers = bits.view(np.uint16).astype(np.int64)
    return np.where(integers >> 15, 0x7FFF - (integers & 0x7FFF), integers + 0x8000)


def _from_ordered(order: NDArray[np.int64], encoding: int) -> NDArray[np.float64]:
    """Return the floats that `_ordered` took."""
    bits = np.where(order >= 0x8000, order - 0x8000, 0x8000 | (0x7FFF - order)).astype(np.uint16)
    floats = bits.view(np.float16) if encoding == _FLOAT16 else legible(bits)
    return floats.astype(np.float64)


def _planes(numbers: NDArray[np.int64]) -> list[bytes]:
    """Return the bytes of numbers, all lowest ones first; as many planes as the largest needs."""
    count = (int(numbers.max(initial=0)).bit_length() + 7) // 8
    return [(numbers >> 8 * plane).astype(np.uint8).tobytes() for plane in range(count)]


def _from_planes(planes: NDArray[np.uint8]) -> NDArray[np.int64]:
    numbers = np.zeros(planes.shape[1], np.int64)
    for number, plane in enumerate(planes):
        numbers |= plane.astype(np.int64) << 8 * number
    return numbers


class StoreReader:
    """Rows of a store.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    rows, vocab : int
    labels : ndarray of int64 or None
        The token that each row predicts, −100 for none; None if the file has no labels.
    sequences : None
        A store does not say which rows belong together.
    max_error, tail_ratio : float
        Nats by which a KL may be uncertain, if |log p/q| is at most `tail_ratio` everywhere.

    Raises
    ------
    FileFormatError
        The file is no store, of a later version, truncated or damaged.
    """

    MAGIC: ClassVar[bytes] = _MAGIC
    sequences: None = None

    def __init__(self, path: FilePath) -> None:
        size = file_size(path)
        head = read_head(path, _HEADER.size)
        if not head.startswith(self.MAGIC):
            raise FileFormatError(path, "is no store of fastdiv")
        if len(head) < _HEADER.size:
            raise FileFormatError(path, f"is truncated within its header: {size} bytes")
        fields = _HEADER.unpack(head)
        _, version, self._encoding, labelled, self.rows, self.vocab, blocks, end = fields[:8]
        self.max_error, self.tail_ratio, crc = fields[8:]
        if version != _VERSION:
            raise FileFormatError(
                path, f"is a store of version {version}; this fastdiv reads version {_VERSION}"
            )
        if crc != zlib.crc32(head[:-4]):
            raise FileFormatError(path, "is damaged: its header does not match its checksum")
        tail = blocks * _ENTRY.itemsize + (4 * self.rows if labelled else 0) + 4
        expected = end + tail
        if end < _HEADER.size or size != expected:
            what = "truncated" if size < expected else "longer than its header says"
            raise FileFormatError(path, f"is {what}: {size} bytes where {expected} are announced")
        if self._encoding > _BFLOAT16 or not 1 <= self.vocab < 1 << 31:
            raise FileFormatError(
                path, f"says encoding {self._encoding}, vocabulary {self.vocab} in its header"
            )
        self._path = path
        raw = self._read_tail(int(end), int(tail))
        entries = blocks * _ENTRY.itemsize
        self._index = self._checked_index(np.frombuffer(raw[:entries], _ENTRY), int(end))
        self.labels = None
        if labelled:
            self.labels = self._checked_labels(np.frombuffer(raw[entries:], "<i4").astype(np.int64))

    def _read_tail(self, end: int, size: int) -> bytes:
        with open(self._path, "rb") as file:
            file.seek(end)
            raw = file.read(size)
        if len(raw) != size:
            raise FileFormatError(self._path, "became shorter while it was being opened")
        if struct.unpack("<I", raw[-4:])[0] != zlib.crc32(raw[:-4]):
            raise FileFormatError(self._path, "is damaged: its index does not match its checksum")
        return raw[:-4]

    def _checked_index(self, index: NDArray[Any], end: int) -> NDArray[Any]:
        # Python's integers: sums of hostile numbers do not wrap.
        entries = [tuple(int(x) for x in entry) for entry in index]
        if (
            sum(e[0] for e in entries) != end - _HEADER.size
            or sum(e[1] for e in entries) != self.rows
        ):
            raise FileFormatError(self._path, "is damaged: its index does not match its header")
        for number, (packed, rows, tokens, gaps, codes, *_) in enumerate(entries):
            unpacked = rows * _ROW_BYTES + tokens * (gaps + codes)
            if (
                rows < 1
                or gaps > 4
                or codes > 4
                or tokens > rows * self.vocab
                or unpacked > _MOST_PACKED * packed
                or tokens > max(1, gaps + codes) * unpacked
            ):
                raise FileFormatError(
                    self._path, f"is damaged: block {number} announces {rows} rows, {tokens} tokens"
                )
        return index

    def _unpacked(self, number: int) -> NDArray[np.uint8]:
        entry = self._index[number]
        start = _HEADER.size + int(self._index["bytes"][:number].sum())
        with open(self._path, "rb") as file:
            file.seek(start)
            packed = file.read(int(entry["bytes"]))
        planes = int(entry["gap_planes"]) + int(entry["code_planes"])
        size = int(entry["rows"]) * _ROW_BYTES + int(entry["tokens"]) * planes
        if zlib.crc32(packed) != entry["crc"]:
            raise FileFormatError(
                self._path, f"is damaged: block {number} does not match its checksum"
            )
        stream = zlib.decompressobj()
        try:
            raw = stream.decompress(packed, size + 1)
        except zlib.error as error:
            raise FileFormatError(self._path, f"is damaged: block {number}: {error}") from None
        if len(raw) != size or not stream.eof:
            raise FileFormatError(
                self._path, f"is damaged: block {number} holds other than {size} bytes"
            )
        return np.frombuffer(raw, np.uint8)

    def _checked_labels(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        wrong = (labels != _NO_LABEL) & ((labels < 0) | (labels >= self.vocab))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise FileFormatError(
                self._path, f"row {row}: label {labels[row]} is outside the vocabulary"
            )
        return labels

    def _block(self, number: int) -> TopKRows:
        entry = self._index[number]
        raw = self._unpacked(number)
        rows, tokens = int(entry["rows"]), int(entry["tokens"])
        at = 8 * len(_COLUMNS) * rows
        columns = dict(
            zip(
                _COLUMNS,
                raw[:at].view("<f8").astype(np.float64).reshape(len(_COLUMNS), rows),
                strict=True,
            )
        )
        sizes = raw[at : at + 4 * rows].view("<u4").astype(np.int64)
        at += 4 * rows
        if int(sizes.sum()) != tokens:
            raise FileFormatError(self._path, f"is damaged: block {number} has other sizes of rows")
        middle = at + tokens * int(entry["gap_planes"])
        shape = (-1, tokens) if tokens else (0, 0)
        gaps = _from_planes(raw[at:middle].reshape(shape)) if middle > at else np.zeros(tokens, int)
        codes = np.zeros(tokens, np.int64)
        if middle < raw.size:
            codes = _from_planes(raw[middle:].reshape(shape))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        row = np.repeat(np.arange(rows), sizes)
        running = np.cumsum(gaps + 1)
        before = np.concatenate([np.zeros(1, np.int64), running])[offsets[:-1]]
        identifiers = running - before[row] - 1
        if tokens and int(identifiers.max()) >= self.vocab:
            raise FileFormatError(
                self._path, f"is damaged: block {number} has token {int(identifiers.max())}"
            )
        if self._encoding == _LOGARITHMS:
            log_p = columns["top"][row] - codes * columns["step"][row]
        else:
            order = columns["top"][row].astype(np.int64) - codes
            log_p = _from_ordered(order, self._encoding) - columns["lse"][row]
        return TopKRows(
            offsets, identifiers, np.minimum(log_p, 0.0),
            **{name: columns[name].copy() for name in
               ("error", "tail", "tail_error", "cap", "tail_entropy", "label_log_p")},
            vocab=self.vocab,
        )  # fmt: skip

    def blocks(self, rows_per_block: int) -> Iterator[tuple[int, TopKRows]]:
        """Yield (first row, rows) in order, `rows_per_block` at a time.

        Raises
        ------
        FileFormatError
            A block of the file is damaged.
        """
        if rows_per_block < 1:
            raise ValueError(f"blocks: rows_per_block is {rows_per_block}; it takes at least 1")
        waiting: list[TopKRows] = []
        start = count = 0
        for number in range(self._index.size):
            waiting.append(self._block(number))
            count += len(waiting[-1])
            if count < rows_per_block and number + 1 < self._index.size:
                continue
            rows = concatenated(waiting, self.vocab)
            last = number + 1 == self._index.size
            at = 0
            while count - at >= rows_per_block or (last and at < count):
                stop = min(at + rows_per_block, count)
                yield start, rows.part(at, stop)
                start += stop - at
                at = stop
            waiting = [rows.part(at, count)] if at < count else []
            count -= at
