"""``fastdiv convert``: one file of logits into another format."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fastdiv.cli import options as o
from fastdiv.cli.answer import Answer
from fastdiv.cli.outputs import check_output, keep_inputs
from fastdiv.cli.progress import progress
from fastdiv.cli.sources import Source, common_labels, open_sources
from fastdiv.io import (
    FileFormatError,
    RowBlock,
    StoreReader,
    format_of,
    printable_path,
    save_logits,
    write_store,
)

__all__ = ["convert"]

_STORES = (".fd", ".store")
_FLOAT16_BYTES = 2

To = Annotated[
    Literal["npy", "npz", "raw", "safetensors", "parquet", "arrow", "llama.cpp", "store"] | None,
    typer.Option(help="Format of OUTPUT, if its name does not say it (.fd is the store)."),
]
OutputDtype = Annotated[
    Literal["float16", "bfloat16", "float32", "float64"] | None,
    typer.Option(help="What to write, rounded once; by default what INPUT holds."),
]
InputDtype = Annotated[
    str | None, typer.Option(metavar="TYPE", help="What INPUT's bytes are; as for compare.")
]


def convert(
    input: Annotated[Path, typer.Argument(help="Any file of logits that compare reads.")],
    output: Annotated[Path, typer.Argument(help="Appears when it is whole.")],
    to: To = None,
    dtype: OutputDtype = None,
    input_dtype: InputDtype = None,
    key: Annotated[str | None, typer.Option(help="Which array of INPUT.")] = None,
    shape: Annotated[str | None, typer.Option(metavar="N,V", help="As for compare.")] = None,
    rows: o.Rows = None,
    labels: o.Labels = None,
    window: Annotated[
        Literal["16", "24"], typer.Option(help="llama.cpp: how far below the top the floor is.")
    ] = "16",
    tokens: Annotated[
        Path | None, typer.Option(help="llama.cpp: all tokens of the text, integers in .npy.")
    ] = None,
    n_ctx: Annotated[int | None, typer.Option(min=3, help="llama.cpp: context length.")] = None,
    floor_as_value: Annotated[
        bool,
        typer.Option("--floor-as-value", help="Write a llama.cpp file's floors as if known."),
    ] = False,
    max_error: Annotated[
        float | None,
        typer.Option(help="Store: nats by which a KL may be uncertain; 0.01 by default."),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Store: keep so many tokens of each row instead.")
    ] = None,
    tail_ratio: Annotated[
        float | None,
        typer.Option(help="Store: the |log p/q| up to which the error holds; 2 by default."),
    ] = None,
    json_output: o.JsonOutput = None,
) -> Answer:
    """Write logits in another format or precision, or as fastdiv's much smaller store."""
    check_output(json_output)
    check_output(output)
    keep_inputs([output, json_output], [input, labels, tokens])
    kind = to or _kind_of(output)
    _refuse_options(kind, dtype, tokens, n_ctx, max_error, top_k, tail_ratio)
    opening = o.opening_of(
        [input_dtype] if input_dtype else None, [key] if key else None, [shape] if shape else None,
        rows,
    )  # fmt: skip
    source = open_sources([input], opening)[0]
    if source.kind == "top-k":
        raise source.complain("holds the most probable tokens only, and no logits to write")
    found = common_labels([source], labels) if labels is not None else source.own_labels
    row_bytes = source.row_bytes
    with progress(source.rows, row_bytes=row_bytes) as advance:
        watched = _Watched(source, found, advance)
        try:
            if kind == "store":
                if source.kind == "floor":
                    raise source.complain("has floors; a store takes all logits")
                write_store(
                    output,
                    watched.blocks(max(1, (4 << 20) // row_bytes)),
                    vocab=source.reader.vocab,
                    max_error=0.01 if max_error is None and top_k is None else max_error,
                    k=top_k,
                    labels=found,
                    tail_ratio=2.0 if tail_ratio is None else tail_ratio,
                    dtype=source.dtype,
                )
            else:
                options: dict[str, Any] = {}
                if kind == "llama.cpp":
                    given = None if tokens is None else _tokens(tokens)
                    options = {"tokens": given, "n_ctx": n_ctx, "window": int(window)}
                save_logits(
                    output,
                    watched,
                    format=kind,
                    dtype=dtype,
                    floor="value" if floor_as_value else "refuse",
                    **options,
                )
        except (ValueError, TypeError, OverflowError, IndexError) as error:
            if isinstance(error, FileFormatError):
                raise
            reason = str(error)
            for function in ("save_logits: ", "write_store: ", "write_llama_cpp: "):
                reason = reason.removeprefix(function)
            raise source.complain(reason) from None
    return _answer(source, output, kind, json_output)


class _Watched:
    """A source as the writers take it, which tells how far they have come."""

    def __init__(self, source: Source, labels: Any, advance: Callable[[int], object]) -> None:
        reader = source.reader
        self._source, self._advance = source, advance
        self.rows, self.vocab = source.rows, reader.vocab
        self.labels, self.row_bytes, self.dtype = labels, source.row_bytes, source.dtype
        self.has_floor: bool = reader.has_floor
        self.tokens = getattr(reader, "tokens", None)
        self.n_ctx = getattr(reader, "n_ctx", None)

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order."""
        for block in self._source.blocks(rows_per_block):
            yield RowBlock(block.start, block.values, block.floor)
            self._advance(len(block))


def _kind_of(output: Path) -> Any:
    if output.suffix.lower() in _STORES:
        return "store"
    try:
        return format_of(output)
    except ValueError as error:
        reason = str(error).partition("ends in none of ")[2].removesuffix("; say a format")
        raise FileFormatError(output, f"ends in none of {reason}, .fd; say --to") from None


def _refuse_options(
    kind: str,
    dtype: object,
    tokens: object,
    n_ctx: object,
    max_error: float | None,
    top_k: object,
    tail_ratio: float | None,
) -> None:
    of_llama = {"--tokens": tokens, "--n-ctx": n_ctx}
    of_store = {"--max-error": max_error, "--top-k": top_k, "--tail-ratio": tail_ratio}
    for format, members in (("llama.cpp", of_llama), ("store", of_store)):
        said = [name for name, value in members.items() if value is not None]
        if said and kind != format:
            raise FileFormatError(said[0], f"is of format {format}, and the output is {kind}")
    if dtype is not None and kind in ("llama.cpp", "store"):
        raise FileFormatError("--dtype", f"is not of format {kind}, which has codes of its own")
    if max_error is not None and top_k is not None:
        raise FileFormatError("--max-error", "decides how many tokens are kept, as --top-k does")


def _tokens(path: Path) -> Any:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise FileFormatError(path, "is no .npy file of integers") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu":
        raise FileFormatError(path, "holds no array of integers; tokens are integers")
    return found.ravel()


def _answer(source: Source, output: Path, kind: str, json_output: str | None) -> Answer:
    before, after = source.path.stat().st_size, output.stat().st_size
    dense = source.rows * source.reader.vocab * _FLOAT16_BYTES
    data: dict[str, Any] = {
        "input": {"file": printable_path(source.path), "bytes": before},
        "output": {"file": printable_path(output), "format": kind, "bytes": after},
        "rows": source.rows,
        "vocab": source.reader.vocab,
        "of_float16": after / dense,
    }
    table = Table.grid(padding=(0, 2))
    table.add_row("rows", f"{source.rows:,} of {source.reader.vocab:,} logits")
    table.add_row("read", f"{printable_path(source.path)}, {_size(before)}")
    table.add_row("written", f"{printable_path(output)}, {_size(after)}, {kind}")
    if after < dense:
        table.add_row("", f"{dense / after:.1f} times smaller than float16")
    parts: list[RenderableType] = [table]
    if kind == "store":
        store = StoreReader(output)
        data["output"] |= {"max_error": store.max_error, "tail_ratio": store.tail_ratio}
        parts.append(
            Text(
                f"\nAny KL from these rows to a candidate's logits is known to "
                f"{store.max_error:.3g} nats, if |log p/q| ≤ {store.tail_ratio:g} for every token "
                f"(compare --tail-ratio {store.tail_ratio:g}); its lower end needs no condition."
            )
        )
    return Answer(*parts, data=data, json=json_output)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.2f} {unit}"
