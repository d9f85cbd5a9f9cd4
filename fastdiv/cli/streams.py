"""Files to meters: block by block, so that memory does not grow with the files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from fastdiv import tails
from fastdiv.io import (
    FileFormatError,
    LogitsReader,
    RowBlock,
    open_logits,
    printable_path,
    read_labels,
    rows_per_block,
)
from fastdiv.meters import ComparisonMeter, PerplexityMeter, Tail
from fastdiv.tokens import LogitComparison

__all__ = ["Dtype", "measure_comparison", "measure_perplexity"]

Dtype: TypeAlias = Literal["bfloat16"] | None
_Labels: TypeAlias = NDArray[np.int64]
_Item = TypeVar("_Item")

_IGNORED = -100


class _Model:
    """A file of logits and its name, which every complaint about it begins with."""

    def __init__(self, path: Path, reader: LogitsReader) -> None:
        self.path = path
        self.reader = reader

    @classmethod
    def open(cls, path: Path, dtype: Dtype) -> Self:
        return cls(path, open_logits(path, dtype=dtype))

    def complain(self, reason: str) -> FileFormatError:
        return FileFormatError(self.path, reason)

    def labels(self, file: Path | None) -> _Labels | None:
        """Return the labels of `file`, or else those that the logits come with."""
        if file is None:
            return self.reader.labels
        return read_labels(file, rows=self.reader.rows, vocab=self.reader.vocab)

    def known(self, block: RowBlock) -> tails.Rows:
        """Return the block's values as floating-point numbers."""
        values = block.values
        if self.reader.dtype == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return tails.Rows(values, block.floor)

    def fault(self, block: RowBlock, row: int) -> str | None:
        """Say what makes a row no distribution, if anything does."""
        values = self.known(block._replace(values=block.values[row : row + 1])).values[0]
        where = f"row {block.start + row}"
        for what, found in (("NaN", np.isnan(values)), ("+inf", np.isposinf(values))):
            if found.any():
                return f"{where}: logit {int(np.argmax(found))} is {what}"
        return f"{where}: every logit is -inf" if np.isneginf(values).all() else None


def measure_perplexity(logits: Path, labels_file: Path | None, *, dtype: Dtype) -> PerplexityMeter:
    """Return a meter that has seen every row of a file.

    Parameters
    ----------
    logits, labels_file : Path
        Labels may be None where the logits come with their own.
    dtype : "bfloat16" or None
        What uint16 arrays hold.

    Raises
    ------
    FileFormatError
        Anything wrong with either file.
    """
    model = _Model.open(logits, dtype)
    labels = _counted(model, model.labels(labels_file))
    if labels is None:
        raise model.complain("comes without labels; give them with --labels")
    meter = PerplexityMeter(dtype=model.reader.dtype)
    for block in _tracked(model.reader.blocks(rows_per_block(model.reader)), model.reader):
        wanted = labels[block.start : block.start + len(block.values)]
        # A NaN row becomes an error of its own below, no warning of NumPy's.
        with np.errstate(invalid="ignore"):
            if block.floor is None:
                meter.update(block.values, wanted)
            else:
                nll = tails.label_nll(model.known(block), wanted)
                meter.update_columns(nll, vocab=model.reader.vocab, counted=wanted != _IGNORED)
        _refuse_nan(meter.nan_rows, (model, block))
    return meter


def measure_comparison(
    base: Path, candidate: Path, labels_file: Path | None, *, tail: Tail | None, dtype: Dtype
) -> ComparisonMeter:
    """Return a meter that has seen every row of both files.

    Parameters
    ----------
    base, candidate : Path
        P and Q.
    labels_file : Path or None
        Labels; by default those that a file of logits comes with, if one does.
    tail : {"llama.cpp", "bucket", None}
        What to do with a file's floor; None takes "bucket" where there is one.
    dtype : "bfloat16" or None
        What uint16 arrays hold.

    Raises
    ------
    FileFormatError
        Anything wrong with a file, or files that do not belong together.
    """
    p, q = _Model.open(base, dtype), _Model.open(candidate, dtype)
    if (p.reader.rows, p.reader.vocab) != (q.reader.rows, q.reader.vocab):
        raise q.complain(
            f"has {q.reader.rows} rows of {q.reader.vocab} logits, "
            f"but {printable_path(base)} has {p.reader.rows} of {p.reader.vocab}"
        )
    meter = ComparisonMeter(tail=_tail(p, q, tail), dtype=p.reader.dtype or q.reader.dtype)
    labels = _counted(p, _common_labels(p, q, labels_file))
    count = rows_per_block(p.reader, q.reader)
    pairs = zip(p.reader.blocks(count), q.reader.blocks(count), strict=True)
    for x, y in _tracked(pairs, p.reader, q.reader):
        wanted = None if labels is None else labels[x.start : x.start + len(x.values)]
        with np.errstate(invalid="ignore"):
            _compare_block(meter, p, q, x, y, wanted)
        _refuse_nan(meter.nan_rows, (p, x), (q, y))
    return meter


def _compare_block(
    meter: ComparisonMeter,
    p: _Model,
    q: _Model,
    x: RowBlock,
    y: RowBlock,
    labels: _Labels | None,
) -> None:
    if meter.tail == "none":
        meter.update(x.values, y.values, labels)
        return
    columns: LogitComparison
    p_tail = None
    if meter.tail == "bucket":
        columns, p_tail = tails.compare_bucket(p.known(x), q.known(y), labels)
    else:
        columns = tails.compare_llama_cpp(p.known(x), q.known(y).values, labels)
    counted = None if labels is None else labels != _IGNORED
    meter.update_columns(columns, vocab=p.reader.vocab, counted=counted, p_tail=p_tail)


def _tracked(blocks: Iterable[_Item], *readers: LogitsReader) -> Iterator[_Item]:
    """Yield the blocks beside a progress bar, if standard error is a terminal."""
    console = Console(stderr=True)
    total = -(-readers[0].rows // rows_per_block(*readers))
    yield from track(
        blocks,
        "reading",
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _tail(p: _Model, q: _Model, asked: Tail | None) -> Tail:
    if not (p.reader.has_floor or q.reader.has_floor):
        if asked is not None:
            raise p.complain("holds all logits, as the candidate does: there is no --tail to treat")
        return "none"
    if asked == "llama.cpp":
        if not p.reader.has_floor:
            raise p.complain("is no llama.cpp file, as --tail llama.cpp wants its base to be")
        if q.reader.has_floor:
            raise q.complain("is a llama.cpp file; --tail llama.cpp wants the candidate's logits")
    return asked or "bucket"


def _common_labels(p: _Model, q: _Model, file: Path | None) -> _Labels | None:
    ours, theirs = p.labels(file), q.labels(file)
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    other = np.flatnonzero(ours != theirs)
    if other.size:
        row = int(other[0])
        raise q.complain(
            f"row {row} predicts token {theirs[row]}, but {ours[row]} in "
            f"{printable_path(p.path)}: the texts differ"
        )
    return ours


def _counted(model: _Model, labels: _Labels | None) -> _Labels | None:
    if labels is not None and (labels == _IGNORED).all():
        raise model.complain(f"has no token to count: every label is {_IGNORED}")
    return labels


def _refuse_nan(nan_rows: tuple[int, ...], *blocks: tuple[_Model, RowBlock]) -> None:
    if not nan_rows:
        return
    for model, block in blocks:
        fault = model.fault(block, nan_rows[0] - block.start)
        if fault:
            raise model.complain(fault)
    raise blocks[0][0].complain(f"row {nan_rows[0]}: the result is not a number")
