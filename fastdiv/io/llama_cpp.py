"""llama.cpp's ``_logits_`` file, as ``llama-perplexity --kl-divergence-base`` writes it.

Native endian, no version, no checksum, so the size of the file is the only witness for its
header, and both are compared before anything is allocated:

====================  ====================  ====================================================
offset                type                  content
====================  ====================  ====================================================
0                     char[8]               ``_logits_``
8, 12, 16             int32                 n_ctx, n_vocab, n_chunk
20                    int32[chunk·ctx]      tokens
20 + 4·chunk·ctx      u16[rows][width]      scale (f32), min_lp (f32), a code per token, padding
====================  ====================  ====================================================

A log-probability is scale·code + min_lp in f32. Code 0 is a floor: the token's probability was
raised to it, by any amount. Row i of a chunk stands at position n_ctx//2 + i and predicts the
token after it.

A fork's ``_logits_v2`` says n_ctx, n_vocab, stride, eval_len and n_windows instead. Its windows
overlap: window w is the eval_len tokens from w·stride on, and each of its rows but the last
position's predicts the token after it.
"""

import struct
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastdiv.evaluation import unmasked
from fastdiv.io.conversion import LogitsSource, converted, rows_of
from fastdiv.io.replacing import replacing
from fastdiv.io.rows import (
    FileFormatError,
    FilePath,
    MappedRows,
    RowBlock,
    file_size,
    read_head,
)

_MAGIC = b"_logits_"
_HEADER = struct.Struct("=8s3i")
_MAGIC_V2 = b"_logits_v2"
_HEADER_V2 = struct.Struct("=10s5i")
_ABANDONED = 12
# scale and min_lp occupy the first four of a row's 16-bit words.
_ROW_HEAD = 4
# The largest log-probability of a row is an f32 rounding of a number that is at most 0.
_LARGEST_LOG_P = 1e-3


class _Layout(NamedTuple):
    """What a header says, once it agrees with the size of the file.

    Row i of a window predicts token `first_label` + i of the `window` tokens that begin `stride`
    after those of the window before.
    """

    n_ctx: int
    n_vocab: int
    windows: int
    window: int
    stride: int
    first_label: int
    tokens_at: int

    @property
    def tokens(self) -> int:
        return (self.windows - 1) * self.stride + self.window

    @property
    def rows(self) -> int:
        return self.windows * (self.window - self.first_label)

    @property
    def rows_at(self) -> int:
        return self.tokens_at + 4 * self.tokens

    @property
    def size(self) -> int:
        return self.rows_at + self.rows * 2 * row_words(self.n_vocab)


def _read_layout(path: FilePath) -> _Layout:
    size = file_size(path)
    head = read_head(path, _HEADER_V2.size)
    if not head.startswith(_MAGIC):
        raise FileFormatError(path, "is not a llama.cpp _logits_ file")
    try:
        return _first_layout(path, head, size)
    except FileFormatError:
        # A plain file with n_ctx = 12918 begins with the same ten bytes, and passes.
        if not head.startswith(_MAGIC_V2):
            raise
    return _second_layout(path, head, size)


def _first_layout(path: FilePath, head: bytes, size: int) -> _Layout:
    if size == _ABANDONED:
        raise FileFormatError(
            path,
            "holds no rows: llama.cpp leaves these 12 bytes when the text is shorter than "
            "two contexts",
        )
    if size < _HEADER.size:
        raise FileFormatError(path, f"is truncated within its header: {size} bytes")
    _, n_ctx, n_vocab, n_chunk = _HEADER.unpack_from(head)
    said = {"n_ctx": n_ctx, "n_vocab": n_vocab, "n_chunk": n_chunk}
    _check_numbers(path, said, {"n_ctx": 3})
    layout = _Layout(n_ctx, n_vocab, n_chunk, n_ctx, n_ctx, n_ctx // 2 + 1, _HEADER.size)
    _check_size(path, layout, said, size)
    return layout


def _second_layout(path: FilePath, head: bytes, size: int) -> _Layout:
    if size < _HEADER_V2.size:
        raise FileFormatError(path, f"is truncated within its header: {size} bytes")
    _, n_ctx, n_vocab, stride, eval_len, n_windows = _HEADER_V2.unpack(head)
    said = {
        "n_ctx": n_ctx,
        "n_vocab": n_vocab,
        "stride": stride,
        "eval_len": eval_len,
        "n_windows": n_windows,
    }
    _check_numbers(path, said, {"eval_len": 2})
    layout = _Layout(n_ctx, n_vocab, n_windows, eval_len, stride, 1, _HEADER_V2.size)
    _check_size(path, layout, said, size)
    return layout


def _check_numbers(path: FilePath, said: dict[str, int], least: dict[str, int]) -> None:
    for name, value in said.items():
        if value < least.get(name, 1):
            raise FileFormatError(
                path, f"says {name} = {value} in its header; at least {least.get(name, 1)}"
            )


def _check_size(path: FilePath, layout: _Layout, said: dict[str, int], size: int) -> None:
    if size != layout.size:
        what = "is truncated" if size < layout.size else "is longer than its header says"
        numbers = ", ".join(f"{name} = {value}" for name, value in said.items())
        raise FileFormatError(path, f"{what}: {size} bytes where {numbers} make {layout.size}")


def rows_per_chunk(n_ctx: int) -> int:
    """Return how many rows a context of `n_ctx` tokens has: its second half, but for the last."""
    return n_ctx - 1 - n_ctx // 2


def row_words(n_vocab: int) -> int:
    """Return how many 16-bit words a row takes."""
    return 2 * ((n_vocab + 1) // 2) + _ROW_HEAD


class LlamaCppReader:
    """Log-probabilities, floor mask and labels from a ``_logits_`` file.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    rows, vocab : int
    labels : ndarray of int64
        The token that each row predicts, from the tokens of the file.
    n_ctx, n_chunk : int
        Context length and number of contexts, or of windows.
    tokens : ndarray of int32 or None
        All tokens of the text; None in the fork's second version.
    """

    MAGIC: ClassVar[bytes] = _MAGIC
    dtype: None = None
    has_floor: bool = True

    def __init__(self, path: FilePath) -> None:
        layout = _read_layout(path)
        self._path = path
        self.n_ctx, self.vocab, self.n_chunk = layout.n_ctx, layout.n_vocab, layout.windows
        self.rows = layout.rows
        self.row_bytes = 4 * self.vocab
        tokens = self._read_tokens(layout)
        # What `write_llama_cpp` takes, which knows no windows but contexts.
        self.tokens = tokens if layout.tokens_at == _HEADER.size else None
        windows = sliding_window_view(tokens, layout.window)[:: layout.stride]
        self.labels = windows[:, layout.first_label :].astype(np.int64).ravel()
        self._mapped = MappedRows(
            path, offset=layout.rows_at, rows=self.rows, row_bytes=2 * row_words(self.vocab)
        )

    def _read_tokens(self, layout: _Layout) -> NDArray[np.int32]:
        tokens = np.fromfile(self._path, np.int32, layout.tokens, offset=layout.tokens_at)
        bad = np.flatnonzero((tokens < 0) | (tokens >= self.vocab))
        if bad.size:
            at = int(bad[0])
            raise FileFormatError(
                self._path,
                f"token {at} is {tokens[at]}, outside the vocabulary of {self.vocab}",
            )
        return tokens

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""
        for start, raw in self._mapped.walk(rows_per_block):
            words = raw.view(np.uint16)
            scale, min_lp = np.ascontiguousarray(words[:, :_ROW_HEAD]).view(np.float32).T
            self._check_rows(start, scale, min_lp)
            codes = words[:, _ROW_HEAD : _ROW_HEAD + self.vocab]
            log_p = codes.astype(np.float32)
            log_p *= scale[:, None]
            log_p += min_lp[:, None]
            labels = self.labels[start : start + len(codes)]
            yield RowBlock(start, log_p, codes == 0, labels)

    def _check_rows(
        self, start: int, scale: NDArray[np.float32], min_lp: NDArray[np.float32]
    ) -> None:
        with np.errstate(invalid="ignore"):
            largest = 65535 * scale.astype(np.float64) + min_lp
            sound = np.isfinite(largest) & (scale >= 0) & (largest <= _LARGEST_LOG_P)
        if not sound.all():
            row = int(np.argmin(sound))
            raise FileFormatError(
                self._path,
                f"row {start + row} is damaged: scale {scale[row]:g} and minimum {min_lp[row]:g} "
                "are no log-probabilities",
            )


def write_llama_cpp(
    path: FilePath,
    logits: LogitsSource,
    tokens: NDArray[np.integer],
    n_ctx: int,
    *,
    window: int = 16,
) -> int:
    """Write the ``_logits_`` file that llama.cpp would have written of the same logits.

    With M the largest logit of a row, m = max(smallest, M − window) and L = ln Σ e^(l−M), all in
    float32 but for the sum: scale = (M−m)/65535, min_lp = m−M−L and
    code = round((l−m)·(1/scale)), ties to even; 0 for l ≤ m. Returns the number of rows.

    Parameters
    ----------
    path : path-like
        Replaced when all is written, and as it was if anything fails.
    logits : reader, ndarray, or iterable of blocks or arrays
        n_chunk·(n_ctx − 1 − ⌊n_ctx/2⌋) rows; taken as float32, as llama.cpp has them.
    tokens : ndarray of int
        n_chunk·n_ctx tokens of the text.
    n_ctx : int
        Tokens in one context; at least 3.
    window : {16, 24}
        How far below the largest logit the floor is: llama.cpp takes 16, ik_llama.cpp 24.

    Raises
    ------
    ValueError
        Numbers that do not fit each other, or a row that is no distribution.
    """
    name = "write_llama_cpp"
    if window not in (16, 24):
        raise ValueError(f"{name}: window = {window}; takes 16 (llama.cpp) or 24 (ik_llama.cpp)")
    tokens = unmasked(name, "tokens", tokens)
    if n_ctx < 3 or not tokens.size or tokens.size % n_ctx:
        raise ValueError(
            f"{name}: {tokens.size} tokens in contexts of n_ctx = {n_ctx}; takes whole contexts of "
            "at least 3"
        )
    source = rows_of(name, logits)
    if tokens.dtype.kind not in "iu" or tokens.min() < 0 or tokens.max() >= source.vocab:
        raise ValueError(f"{name}: tokens are not all integers in [0, {source.vocab})")
    n_chunk = tokens.size // n_ctx
    expected = n_chunk * rows_per_chunk(n_ctx)
    with replacing(path) as file:
        file.write(_HEADER.pack(_MAGIC, n_ctx, source.vocab, n_chunk))
        file.write(tokens.astype(np.int32).tobytes())
        written = 0
        for piece in source.pieces:
            file.write(
                _encoded(
                    converted(piece, "float32", start=written), np.float32(window), written
                ).data
            )
            written += len(piece)
        if written != expected:
            raise ValueError(
                f"{name}: {written} rows; {n_chunk} contexts of {n_ctx} tokens take {expected}"
            )
    return written


def _encoded(values: NDArray[np.generic], window: np.float32, start: int) -> NDArray[np.uint16]:
    """Return the records of float32 logits, of which the first is row `start`."""
    logits = values.astype(np.float32, copy=False)
    largest = logits.max(-1, keepdims=True)
    sound = np.isfinite(largest[:, 0])
    if not sound.all():
        row = int(np.argmin(sound))
        raise ValueError(
            f"write_llama_cpp: row {start + row}: the largest logit is {largest[row, 0]}"
        )
    smallest = np.maximum(logits.min(-1, keepdims=True), largest - window)
    # Rounded from float64 as a good expf does it; llama.cpp adds the results up in a double.
    terms = np.exp((logits - largest).astype(np.float64)).astype(np.float32)
    log_sum = np.log(terms.sum(-1, keepdims=True, dtype=np.float64)).astype(np.float32)
    scale = (largest - smallest) / np.float32(65535)
    # A row of equal logits has no scale and only floors; so has one whose scale has no inverse.
    spread = scale >= np.finfo(np.float32).tiny
    inverse = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=spread)
    codes = np.rint(np.maximum(logits - smallest, 0) * inverse)
    records = np.zeros((len(logits), row_words(logits.shape[1])), np.uint16)
    head = np.hstack([scale, smallest - largest - log_sum])
    records[:, :_ROW_HEAD] = head.view(np.uint16)
    records[:, _ROW_HEAD : _ROW_HEAD + logits.shape[1]] = codes
    return records
