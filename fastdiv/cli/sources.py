"""A model as a command sees it: a file, how to read it, and what may be wrong with its rows."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastdiv import tails
from fastdiv.evaluation import legible
from fastdiv.io import (
    FileFormatError,
    LogprobsReader,
    StoreReader,
    TokenNames,
    open_any,
    printable_path,
    read_labels,
)
from fastdiv.io.llama_cpp import LlamaCppReader
from fastdiv.io.rows import file_size
from fastdiv.topk import TopKRows

__all__ = [
    "IGNORED",
    "Block",
    "Faults",
    "Opening",
    "Source",
    "common_labels",
    "common_sequences",
    "common_vocabulary",
    "open_sources",
    "refuse_numbers",
    "rows_at_a_time",
]

Labels: TypeAlias = NDArray[np.int64]
Kind: TypeAlias = Literal["dense", "floor", "top-k"]

IGNORED = -100
#: What a byte of a file of top tokens becomes, once unpacked and compared; more or less.
_UNPACKED = 16
#: Of all files together: enough rows for every thread, little enough for memory.
_BLOCK_BYTES = 32 << 20
_SMALL_BLOCK_BYTES = 8 << 20
_ROWS_NAMED = 10


@dataclass(frozen=True)
class Opening:
    """How the files of a command are to be read; each option for all of them, or one for each."""

    dtype: Sequence[str] = ()
    key: Sequence[str] = ()
    shape: Sequence[str] = ()
    rows: int | None = None
    vocab_size: int | None = None

    def of(self, number: int, count: int) -> dict[str, Any]:
        """Return what `open_any` takes for one of `count` files."""
        said: dict[str, Any] = {}
        for name in ("dtype", "key", "shape"):
            values = getattr(self, name)
            if len(values) not in (0, 1, count):
                raise FileFormatError(
                    f"--{name}",
                    f"is given {len(values)} times for {count} files; once for all, or once each",
                )
            value = values[number if len(values) == count else 0] if values else "-"
            if value != "-":
                said[name] = _shape(value) if name == "shape" else value
        if "shape" in said and "dtype" not in said:
            raise FileFormatError("--shape", "takes --dtype beside it: what the bytes are")
        return said


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").replace("*", "-1").split(","))
    except ValueError:
        raise FileFormatError(
            f"--shape {text}", "takes whole numbers: 1000,49152; or -1,49152"
        ) from None


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a file: numbers with their floor, or known tokens."""

    start: int
    values: NDArray[Any]
    floor: NDArray[np.bool_] | None = None
    known: TopKRows | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values) if self.known is None else len(self.known)


class Source:
    """A file of logits or log-probabilities, and its name, which every complaint begins with."""

    def __init__(
        self, path: Path, opening: dict[str, Any], rows: int | None, names: TokenNames | None
    ) -> None:
        self.path = path
        try:
            self.reader: Any = open_any(path, names=names, **opening)
        except (ValueError, TypeError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise self.complain(str(error).partition(": ")[2] or str(error)) from None
        self.file_rows: int = self.reader.rows
        if rows is not None and rows > self.file_rows:
            raise self.complain(f"has {self.file_rows} rows; --rows {rows} was asked for")
        self.rows = self.file_rows if rows is None else rows
        self.vocab: int | None = self.reader.vocab
        self.kind: Kind = "dense"
        if isinstance(self.reader, LogprobsReader | StoreReader):
            self.kind = "top-k"
        elif self.reader.has_floor:
            self.kind = "floor"
        self.dtype: Literal["bfloat16"] | None = getattr(self.reader, "dtype", None)
        found = self.reader.labels
        self.own_labels: Labels | None = None if found is None else found[: self.rows]

    def complain(self, reason: str) -> FileFormatError:
        """Return an error that names the file."""
        return FileFormatError(self.path, reason)

    @property
    def by_text(self) -> bool:
        """Whether its tokens have texts and no numbers but those that were given to them here."""
        return isinstance(self.reader, LogprobsReader) and self.reader.names is not None

    @property
    def row_bytes(self) -> int:
        """Size of a row, or of what a packed one becomes."""
        if self.kind == "top-k":
            return _UNPACKED * (1 + file_size(self.path) // self.file_rows)
        return int(self.reader.row_bytes)

    @property
    def sequences(self) -> Labels | None:
        """Which rows belong together, where the file says so."""
        if isinstance(self.reader, LogprobsReader):
            found: Labels = self.reader.sequences
            return found[: self.rows]
        if isinstance(self.reader, LlamaCppReader):
            return np.arange(self.rows) // (self.file_rows // self.reader.n_chunk)
        return None

    def blocks(self, count: int, start: int = 0, width: int | None = None) -> Iterator[Block]:
        """Yield the rows from `start` on, in blocks that begin at multiples of `count`."""
        for found in self.reader.blocks(count):
            first = found[0]
            if first >= self.rows:
                return
            if self.kind == "top-k":
                block = Block(first, np.empty(0), None, found[1].part(0, self._left(found)))
            else:
                left = self._left(found)
                floor = None if found.floor is None else found.floor[:left, :width]
                block = Block(first, found.values[:left, :width], floor)
            if first >= start:
                yield block

    def _left(self, found: Any) -> int:
        left: int = min(self.rows - found[0], len(found[1]))
        return left

    def legible(self, block: Block) -> tails.Rows:
        """Return the block's values as floating-point numbers."""
        values = legible(block.values) if self.dtype == "bfloat16" else block.values
        return tails.Rows(values, block.floor)

    def fault(self, block: Block, row: int) -> str | None:
        """Say what makes a row no distribution, if anything does."""
        if block.known is not None:
            unsound = np.isnan(block.known.tail[row])
            return "its numbers are no distribution" if unsound else None
        values = self.legible(Block(row, block.values[row : row + 1])).values[0]
        for what, found in (("NaN", np.isnan(values)), ("+inf", np.isposinf(values))):
            if found.any():
                return f"logit {int(np.argmax(found))} is {what}"
        return "every logit is -inf" if np.isneginf(values).all() else None


@dataclass
class Faults:
    """Rows that are no distribution: how many of which file, and the first ones by number."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    rows: int = 0

    def note(self, row: int, pairs: Sequence[tuple[Source, Block]]) -> None:
        """Say why a row has no result: of each file that is at fault, or of the first."""
        self.rows += 1
        blamed = [(source, source.fault(block, row - block.start)) for source, block in pairs]
        found = [(source, reason) for source, reason in blamed if reason]
        for source, reason in found or [(pairs[0][0], "the result is not a number")]:
            name = printable_path(source.path)
            self.counts[name] = self.counts.get(name, 0) + 1
            named = self.first.setdefault(name, [])
            if len(named) < _ROWS_NAMED:
                named.append((row, str(reason)))

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return self.rows > 0

    def reasons(self) -> list[str]:
        """Return what one line can hold: of each file the first row, and how many follow."""
        found = []
        for name, count in self.counts.items():
            row, reason = self.first[name][0]
            more = f", and {count - 1:,} more rows are invalid" if count > 1 else ""
            found.append(f"{name}: row {row}: {reason}{more}")
        return found

    def lines(self) -> list[str]:
        """Return one line for each file, with its first rows."""
        found = []
        for name, count in self.counts.items():
            named = "; ".join(f"row {row}: {reason}" for row, reason in self.first[name])
            more = count - len(self.first[name])
            found.append(f"{name}: {named}" + (f"; and {more} more" if more else ""))
        return found

    def to_list(self) -> list[dict[str, Any]]:
        """Return the same as JSON types."""
        return [
            {
                "file": name,
                "count": count,
                "first": [{"row": row, "reason": reason} for row, reason in self.first[name]],
            }
            for name, count in self.counts.items()
        ]

    def to_state(self) -> dict[str, Any]:
        """Return all of it as JSON types."""
        return {"rows": self.rows, "files": self.to_list()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Faults":
        """Return what `to_state` was made from.

        Raises
        ------
        ValueError, TypeError, KeyError
            What it makes nothing like.
        """
        faults = cls(rows=_whole(state["rows"]))
        for each in state["files"]:
            faults.counts[each["file"]] = _whole(each["count"])
            faults.first[each["file"]] = [
                (_whole(found["row"]), str(found["reason"])) for found in each["first"]
            ]
        if not all(faults.first.values()) or faults.to_state() != state:
            raise ValueError("a count of invalid rows is of another kind")
        return faults


def _whole(number: object) -> int:
    if type(number) is not int or number < 0:
        raise TypeError(f"{number!r:.40} counts nothing")
    return number


def open_sources(paths: Sequence[Path], opening: Opening) -> list[Source]:
    """Open the files of a command, the base first; all have as many rows as the first."""
    names = TokenNames()
    sources = [
        Source(path, opening.of(number, len(paths)), opening.rows, names)
        for number, path in enumerate(paths)
    ]
    first = sources[0]
    for other in sources[1:]:
        if first.by_text != other.by_text:
            texts, numbers = (first, other) if first.by_text else (other, first)
            raise texts.complain(
                f"knows its tokens by text only, and {printable_path(numbers.path)} by number: "
                "they cannot be compared"
            )
        widths = (first.vocab, other.vocab)
        apart = None not in widths and widths[0] != widths[1]
        if opening.vocab_size is not None or "top-k" in (first.kind, other.kind):
            apart = False
        if first.rows != other.rows or apart:
            told = [
                f"{s.rows} rows" + (f" of {s.vocab} logits" if s.vocab is not None else "")
                for s in (other, first)
            ]
            hint = "--rows" if first.rows != other.rows else "--vocab-size"
            raise other.complain(
                f"has {told[0]}, but {printable_path(first.path)} has "
                f"{told[1].replace(' rows', '').replace(' logits', '')} (see {hint})"
            )
    for source in sources:
        size = opening.vocab_size
        if size is not None and source.vocab is not None and size > source.vocab:
            raise source.complain(f"has {source.vocab} logits a row; --vocab-size is {size}")
    return sources


def refuse_numbers(sources: Sequence[Source], option: str) -> None:
    """Refuse an option whose tokens are numbers where the files' are texts.

    Raises
    ------
    FileFormatError
    """
    for source in sources:
        if source.by_text:
            raise source.complain(
                f"knows its tokens by text only, and {option} by number: they cannot be matched"
            )


def common_vocabulary(sources: Sequence[Source], said: int | None) -> int | None:
    """Return the size of the vocabulary, where it is known."""
    return said if said is not None else max(_known_vocabularies(sources), default=None)


def _known_vocabularies(sources: Sequence[Source]) -> list[int]:
    return [source.vocab for source in sources if source.vocab is not None]


def one_per_row(file: Path, sources: Sequence[Source], vocab: int) -> Labels:
    """Return the integers of a .npy file, one per row; of the rows of any file, if these are cut.

    Raises
    ------
    FileFormatError
    """
    rows = sources[0].rows
    try:
        return read_labels(file, rows=rows, vocab=vocab)
    except FileFormatError:
        for longer in {source.file_rows for source in sources} - {rows}:
            with suppress(FileFormatError):
                return read_labels(file, rows=longer, vocab=vocab)[:rows]
        raise


def common_labels(
    sources: Sequence[Source], file: Path | None, vocab: int | None = None
) -> Labels | None:
    """Return the labels of all files, which must be the same."""
    first, found = sources[0], None
    if file is not None:
        refuse_numbers(sources, "--labels")
        found = one_per_row(file, sources, min(_known_vocabularies(sources), default=1 << 31))
    for source in sources if file is None else ():
        labels = source.own_labels
        if labels is None:
            continue
        if found is not None and not np.array_equal(found, labels):
            row = int(np.flatnonzero(found != labels)[0])
            raise source.complain(
                f"row {row} predicts token {labels[row]}, but {found[row]} in "
                f"{printable_path(first.path)}: the texts differ"
            )
        if found is None:
            first, found = source, labels
    if found is None:
        return None
    if vocab is not None and (found >= vocab).any():
        row = int(np.argmax(found >= vocab))
        raise first.complain(f"row {row}: label {found[row]} is outside the vocabulary of {vocab}")
    if (found == IGNORED).all():
        raise first.complain(f"has no token to count: every label is {IGNORED}")
    return found


def common_sequences(
    sources: Sequence[Source], file: Path | None, length: int | None
) -> Labels | None:
    """Return which rows belong together: as said, or else as a file knows; None below two."""
    rows = sources[0].rows
    if file is not None and length is not None:
        raise FileFormatError("--sequences", "and --sequence-length say the same; give one")
    if length is not None:
        return np.arange(rows) // length
    if file is not None:
        return one_per_row(file, sources, 1 << 62)
    for source in sources:
        found = source.sequences
        # Of one sequence there is no error to speak of.
        if found is not None and np.unique(found).size > 1:
            return found
    return None


def rows_at_a_time(sources: Sequence[Source]) -> int:
    """Return how many rows make a block."""
    # What decodes a file makes arrays of its own for each block, several times as large.
    decoded = any(source.kind != "dense" for source in sources)
    size = _SMALL_BLOCK_BYTES if decoded else _BLOCK_BYTES
    return max(1, size // sum(source.row_bytes for source in sources))
