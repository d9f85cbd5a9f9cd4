"""``fastdiv perplexity``: one model and the tokens that followed."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from fastdiv.cli import options as o
from fastdiv.cli import tables
from fastdiv.cli.answer import Answer
from fastdiv.cli.endings import ending, invalid_member, invalid_text
from fastdiv.cli.outputs import check_output, check_table, keep_inputs, write_table
from fastdiv.cli.streams import Perplexity
from fastdiv.cli.thresholds import parse_thresholds
from fastdiv.io import FileFormatError, printable_path
from fastdiv.meters import PerplexityMeter
from fastdiv.text import text_size

__all__ = ["perplexity"]

Logits = Annotated[
    Path,
    typer.Argument(
        help="Logits or log-probabilities: .npy, .npz, safetensors, Arrow, Parquet, torch, "
        "llama.cpp's _logits_, log-probability JSON, or fastdiv's store."
    ),
]
Text = Annotated[
    Path | None,
    typer.Option(help="The text whose tokens these are: for perplexity per word and per byte."),
]
Words = Annotated[int | None, typer.Option(min=0, help="Instead of the text: its words …")]
Bytes = Annotated[int | None, typer.Option("--bytes", min=0, help="… and its bytes of UTF-8.")]
Temperature = Annotated[float, typer.Option(help="Divide all logits by this.")]


def perplexity(
    logits: Logits,
    labels: o.Labels = None,
    text: Text = None,
    words: Words = None,
    size: Bytes = None,
    temperature: Temperature = 1.0,
    sequences: o.Sequences = None,
    sequence_length: o.SequenceLength = None,
    confidence: o.Confidence = 0.95,
    rows: o.Rows = None,
    vocab_size: o.VocabSize = None,
    dtype: o.Dtype = None,
    key: o.Key = None,
    shape: o.Shape = None,
    json_output: o.JsonOutput = None,
    per_token: o.PerToken = None,
    fail_above: o.FailAbove = None,
    fail_below: o.FailBelow = None,
    allow_invalid: o.AllowInvalid = False,
    resume: o.Resume = None,
    threads: o.Threads = None,
) -> Answer:
    """Perplexity of a language model from its logits and the tokens that followed."""
    o.use_threads(threads)
    o.check_confidence(confidence)
    thresholds = parse_thresholds(fail_above or [], fail_below or [])
    check_output(json_output)
    check_table(per_token)
    check_output(resume)
    keep_inputs([json_output, per_token, resume], [logits, labels, sequences, text])
    if not 0 < temperature < float("inf"):
        raise FileFormatError("--temperature", "takes a finite number above 0")
    run = Perplexity(
        logits,
        labels,
        opening=o.opening_of(dtype, key, shape, rows, vocab_size),
        sequences=sequences,
        sequence_length=sequence_length,
        texts=_size_of(text, words, size),
        temperature=temperature,
        resume=resume,
    )
    if thresholds:
        made_up = run.probe().compute().to_dict()
        for threshold in thresholds:
            threshold.check(made_up)
    run.run()
    meter: PerplexityMeter = run.meter
    report = meter.compute(confidence=confidence)
    data = invalid_member(report.to_dict(), run.faults)
    code, complaints = ending(run.faults, thresholds, [("", data)], allow_invalid=allow_invalid)
    writers: list[Any] = []
    if per_token is not None:
        writers.append(partial(write_table, per_token, [("", meter.columns())]))
    resumed = [f"\nResumed at row {run.resumed:,}."] if run.resumed else []
    return Answer(
        printable_path(logits),
        tables.perplexity_table(report),
        *invalid_text(run.faults),
        *resumed,
        data=data,
        json=json_output,
        code=code,
        complaints=complaints,
        writers=[*writers, run.finish],
    )


def _size_of(text: Path | None, words: int | None, size: int | None) -> tuple[int, int] | None:
    if text is not None:
        if words is not None or size is not None:
            raise FileFormatError("--text", "says what --words and --bytes say; give one of them")
        try:
            found = text_size(text.read_bytes().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise FileFormatError(text, f"is no text: byte {error.start} is not UTF-8") from None
        return found.words, found.bytes
    if (words is None) != (size is None):
        raise FileFormatError("--words", "and --bytes go together")
    return None if words is None or size is None else (words, size)
