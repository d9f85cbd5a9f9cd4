"""Options that several commands have in common, said once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import fastdiv
from fastdiv.cli.sources import Opening
from fastdiv.io import FileFormatError

__all__ = [
    "AllowInvalid",
    "Confidence",
    "Dtype",
    "FailAbove",
    "FailBelow",
    "JsonOutput",
    "Key",
    "Labels",
    "PerToken",
    "Resume",
    "Rows",
    "SequenceLength",
    "Sequences",
    "Shape",
    "Threads",
    "VocabSize",
    "opening_of",
    "use_threads",
]

Labels = Annotated[
    Path | None,
    typer.Option(help="Integers in a .npy file, one per row; a row with -100 is not counted."),
]
JsonOutput = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write JSON to FILE; - prints it instead."),
]
Dtype = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TYPE",
        help="What uint16 values are: bfloat16; with --shape, what the bytes are. "
        "Once for all files or once each, - for none; so are --key and --shape.",
    ),
]
Key = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Which array of a file that has several.")
]
Shape = Annotated[
    list[str] | None,
    typer.Option(metavar="N,V", help="The file is bare numbers of this shape; -1 for any N."),
]
Rows = Annotated[int | None, typer.Option(min=1, help="Use the first so many rows only.")]
VocabSize = Annotated[int | None, typer.Option(min=1, help="Length of a row without its padding.")]
Sequences = Annotated[
    Path | None,
    typer.Option(help="Which text each row is of: integers in a .npy file; for honest intervals."),
]
SequenceLength = Annotated[
    int | None, typer.Option(min=1, help="Each so many rows are a text of their own.")
]
Confidence = Annotated[float, typer.Option(help="Of the intervals.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Threads to compute with; one per core by default."),
]
FailAbove = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH=X", help="Exit with 1 if this number of the JSON is above X; repeatable."
    ),
]
FailBelow = Annotated[list[str] | None, typer.Option(metavar="PATH=X", help="The same for below.")]
PerToken = Annotated[
    Path | None,
    typer.Option(help="Write every column, a row per token: .parquet, .arrow, .npz or .csv."),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="STATE",
        help="Keep the run's state in a file, and go on from there after a crash; "
        "removed at the end. Files are recognised by size and samples of their content.",
    ),
]
AllowInvalid = Annotated[
    bool,
    typer.Option("--allow-invalid", help="Exit with 0 though some rows are no distribution."),
]


def use_threads(threads: int | None) -> None:
    """Compute with so many threads; as many as there are, for None."""
    if threads is not None:
        fastdiv.set_num_threads(threads)


def opening_of(
    dtype: Sequence[str] | None,
    key: Sequence[str] | None,
    shape: Sequence[str] | None,
    rows: int | None = None,
    vocab_size: int | None = None,
) -> Opening:
    """Return the options of how to read files."""
    return Opening(
        tuple(dtype or ()), tuple(key or ()), tuple(shape or ()), rows=rows, vocab_size=vocab_size
    )


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that no interval has."""
    if not 0 < confidence < 1:
        raise FileFormatError("--confidence", f"is {confidence:g}; takes a number between 0 and 1")
