"""NumPy's ``.npz`` archives: the members that were stored as they are are mapped in place.

A compressed member is inflated block by block. Its checksum is compared at the end of a walk;
that of a mapped member never is, as that of no mapped file is.
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.arrays import (
    ArrayReader,
    Key,
    StoredArray,
    choose,
    is_logits,
    rows_and_vocab,
    value_type,
)
from fastdiv.io.npy import HEAD_BYTES, NpyHeader, parse_header
from fastdiv.io.rows import (
    FileFormatError,
    FilePath,
    LogitsReader,
    RowBlock,
    checked_labels,
    file_size,
)

__all__ = ["ZIP_MAGIC", "open_archive", "open_npz"]

ZIP_MAGIC = b"PK\x03\x04"
# No stream of DEFLATE holds more than this many times its own size.
_LARGEST_RATIO = 1032
_LOCAL_HEADER = struct.Struct("<4s22xHH")
# What zipfile and the decompressors are known to raise on hostile bytes.
_DAMAGE = (
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@contextmanager
def open_archive(path: FilePath) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; whatever is wrong with its directory is a FileFormatError."""
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise FileFormatError(path, f"is a damaged zip archive: {error}") from None
        with archive:
            yield archive


class _Member(NamedTuple):
    info: zipfile.ZipInfo
    header: NpyHeader


def _read_member(path: FilePath, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    where = f"array {info.filename.removesuffix('.npy')!r} "
    if info.flag_bits & 1:
        raise FileFormatError(path, f"{where}is encrypted")
    if info.compress_type == zipfile.ZIP_STORED:
        if info.compress_size != info.file_size:
            raise FileFormatError(path, f"{where}is stored, yet has two sizes")
    elif info.compress_type != zipfile.ZIP_DEFLATED:
        raise FileFormatError(
            path, f"{where}is compressed by method {info.compress_type}; 0 and 8 are known"
        )
    elif info.file_size > _LARGEST_RATIO * (info.compress_size + 1):
        raise FileFormatError(
            path,
            f"{where}says it inflates from {info.compress_size} to {info.file_size} bytes, "
            "which nothing does",
        )
    if info.header_offset + info.compress_size > file_size(path):
        raise FileFormatError(path, f"{where}lies beyond the end of the file")
    try:
        with archive.open(info) as content:
            head = content.read(min(HEAD_BYTES, info.file_size))
    except _DAMAGE as error:
        raise FileFormatError(path, f"{where}is damaged: {error}") from None
    return _Member(info, parse_header(path, head, info.file_size, where))


def _stored(path: FilePath, member: _Member) -> StoredArray:
    """Return where the data of an uncompressed member lie."""
    info, header = member
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        local = file.read(_LOCAL_HEADER.size)
    magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(local)
    begin = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    if magic != ZIP_MAGIC or begin + info.file_size > file_size(path):
        raise FileFormatError(path, f"array {info.filename!r} lies beyond the end of the file")
    return StoredArray(path, begin + header.offset, header.dtype, header.shape)


def open_npz(
    path: FilePath, *, key: Key = None, dtype: Literal["bfloat16"] | None = None
) -> LogitsReader:
    """Open an ``.npz`` archive of logits.

    Parameters
    ----------
    path : path-like
    key : str or sequence of str, optional
        Which array; by default the only one that may be logits. ``"logits"`` also stands for
        ``logits.0``, ``logits.1``, … A member called ``labels`` is taken for the labels.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.

    Raises
    ------
    FileFormatError
        Anything wrong with the archive or what it holds.
    """
    with open_archive(path) as archive:
        infos = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        members: dict[str, _Member] = {}

        def acceptable(name: str) -> bool:
            members[name] = _read_member(path, archive, infos[name])
            return is_logits(members[name].header.dtype, members[name].header.shape, dtype)

        chosen = choose(path, infos, key, acceptable)
        for name in {*chosen, *({"labels"} & infos.keys())} - members.keys():
            members[name] = _read_member(path, archive, infos[name])
        labels = _labels(path, archive, members.get("labels"))
    parts = [members[name] for name in chosen]
    if all(part.info.compress_type == zipfile.ZIP_STORED for part in parts):
        reader: ArrayReader | CompressedReader
        reader = ArrayReader(path, [_stored(path, part) for part in parts], dtype=dtype)
    elif len(parts) == 1:
        reader = CompressedReader(path, parts[0], dtype=dtype)
    else:
        raise FileFormatError(path, "has its logits in several compressed arrays; one is read")
    if labels is not None:
        reader.labels = checked_labels(path, labels, rows=reader.rows, vocab=reader.vocab)
    return reader


def _labels(
    path: FilePath, archive: zipfile.ZipFile, member: _Member | None
) -> NDArray[np.generic] | None:
    if member is None:
        return None
    try:
        with archive.open(member.info) as content:
            content.seek(member.header.offset)
            return np.frombuffer(content.read(), member.header.dtype)
    except _DAMAGE as error:
        raise FileFormatError(path, f"array 'labels' is damaged: {error}") from None


class CompressedReader:
    """Logits of a compressed member, inflated block by block.

    Parameters
    ----------
    path : path-like
    member : _Member
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.
    """

    has_floor: ClassVar[bool] = False

    def __init__(
        self, path: FilePath, member: _Member, *, dtype: Literal["bfloat16"] | None
    ) -> None:
        self._path = path
        self._member = member
        self._stored, self.dtype = value_type(path, member.header.dtype, dtype)
        self.rows, self.vocab = rows_and_vocab(path, member.header.shape)
        self.row_bytes = self.vocab * self._stored.itemsize
        self.labels: NDArray[np.int64] | None = None

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""
        with open_archive(self._path) as archive:
            start = 0
            try:
                with archive.open(self._member.info) as content:
                    content.read(self._member.header.offset)
                    while start < self.rows:
                        count = min(rows_per_block, self.rows - start)
                        values = self._read(content, count)
                        labels = None if self.labels is None else self.labels[start:][:count]
                        block = RowBlock(start, values, None, labels)
                        start += count
                        yield block
                    content.read(1)  # which compares the checksum
            except _DAMAGE as error:
                raise FileFormatError(
                    self._path, f"row {start}: the compressed data are damaged: {error}"
                ) from None

    def _read(self, content: IO[bytes], count: int) -> NDArray[np.generic]:
        buffer = bytearray(count * self.row_bytes)
        view, filled = memoryview(buffer), 0
        while filled < len(buffer):
            piece = content.read(min(1 << 18, len(buffer) - filled))
            if not piece:
                raise EOFError("they end too early")
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        flat = np.frombuffer(buffer, self._stored).reshape(count, self.vocab)
        return flat.astype(self._stored.newbyteorder("="), copy=False)
