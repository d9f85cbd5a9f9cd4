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
"""

import struct
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.rows import (
    FileFormatError,
    FilePath,
    MappedRows,
    RowBlock,
    file_size,
    read_head,
)

_HEADER = struct.Struct("=8s3i")
_ABANDONED = 12
# scale and min_lp occupy the first four of a row's 16-bit words.
_ROW_HEAD = 4
# The largest log-probability of a row is an f32 rounding of a number that is at most 0.
_LARGEST_LOG_P = 1e-3


def _check_header(path: FilePath, head: bytes, size: int) -> tuple[int, int, int]:
    """Return n_ctx, n_vocab and n_chunk once they agree with the size of the file."""
    if size == _ABANDONED:
        raise FileFormatError(
            path,
            "holds no rows: llama.cpp leaves these 12 bytes when the text is shorter than "
            "two contexts",
        )
    if size < _HEADER.size:
        raise FileFormatError(path, f"is truncated within its header: {size} bytes")
    _, n_ctx, n_vocab, n_chunk = _HEADER.unpack(head)
    for name, value, least in (
        ("n_ctx", n_ctx, 3),
        ("n_vocab", n_vocab, 1),
        ("n_chunk", n_chunk, 1),
    ):
        if value < least:
            raise FileFormatError(path, f"says {name} = {value} in its header; at least {least}")
    row_bytes = 2 * _row_words(n_vocab)
    expected = _HEADER.size + n_chunk * (4 * n_ctx + _rows_per_chunk(n_ctx) * row_bytes)
    if size != expected:
        what = "is truncated" if size < expected else "is longer than its header says"
        raise FileFormatError(
            path,
            f"{what}: {size} bytes where n_ctx = {n_ctx}, n_vocab = {n_vocab}, "
            f"n_chunk = {n_chunk} make {expected}",
        )
    return n_ctx, n_vocab, n_chunk


def _rows_per_chunk(n_ctx: int) -> int:
    return n_ctx - 1 - n_ctx // 2


def _row_words(n_vocab: int) -> int:
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
        Context length and number of contexts.
    """

    MAGIC: ClassVar[bytes] = b"_logits_"
    dtype: None = None
    has_floor: bool = True

    def __init__(self, path: FilePath) -> None:
        size = file_size(path)
        head = read_head(path, _HEADER.size)
        if not head.startswith(self.MAGIC):
            raise FileFormatError(path, "is not a llama.cpp _logits_ file")
        try:
            self.n_ctx, self.vocab, self.n_chunk = _check_header(path, head, size)
        except FileFormatError:
            # A plain file with n_ctx = 12918 begins with the same ten bytes, and passes.
            if head[8:10] == b"v2":
                raise FileFormatError(
                    path, "is a _logits_v2 file of a llama.cpp fork: recognised, not supported yet"
                ) from None
            raise
        self._path = path
        self.rows = self.n_chunk * _rows_per_chunk(self.n_ctx)
        self.row_bytes = 4 * self.vocab
        self.labels = self._read_labels()
        tokens_end = _HEADER.size + 4 * self.n_chunk * self.n_ctx
        self._mapped = MappedRows(
            path, offset=tokens_end, rows=self.rows, row_bytes=2 * _row_words(self.vocab)
        )

    def _read_labels(self) -> NDArray[np.int64]:
        count = self.n_chunk * self.n_ctx
        tokens = np.fromfile(self._path, np.int32, count, offset=_HEADER.size)
        bad = np.flatnonzero((tokens < 0) | (tokens >= self.vocab))
        if bad.size:
            at = int(bad[0])
            raise FileFormatError(
                self._path,
                f"token {at} is {tokens[at]}, outside the vocabulary of {self.vocab}",
            )
        predicted = tokens.reshape(self.n_chunk, self.n_ctx)[:, self.n_ctx // 2 + 1 :]
        return predicted.astype(np.int64).ravel()

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, at most `rows_per_block` at a time."""
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
