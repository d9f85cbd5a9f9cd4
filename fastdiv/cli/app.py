"""The commands: arguments in, an answer out; nothing is printed here."""

import platform
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

import fastdiv
from fastdiv.cli import tables
from fastdiv.cli.answer import Answer
from fastdiv.cli.streams import measure_comparison, measure_perplexity
from fastdiv.data import SAMPLE, sample_paths
from fastdiv.io import printable_path

__all__ = ["app"]

app = typer.Typer(
    help="Measure how far one probability distribution is from another.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Labels = Annotated[
    Path | None,
    typer.Option(help="Integers in a .npy file, one per row; a row with -100 is not counted."),
]
JsonOutput = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Write JSON to FILE; - prints it instead."),
]
Dtype = Annotated[
    Literal["bfloat16"] | None, typer.Option(help="What a .npy file of uint16 holds.")
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="Threads to compute with; one per core by default."),
]
Tail = Annotated[
    Literal["bucket", "llama.cpp"] | None,
    typer.Option(
        help="Tokens below a llama.cpp file's floor: merge them into one (default), "
        "or reproduce llama.cpp's figures."
    ),
]
Logits = Annotated[
    Path, typer.Argument(help="Logits in a .npy file, or a llama.cpp _logits_ file.")
]


@app.command()
def demo(json_output: JsonOutput = None) -> Answer:
    """Compare two real language models on a small embedded sample."""
    sample = sample_paths()
    meter = measure_comparison(sample.base, sample.candidate, sample.labels, tail=None, dtype=None)
    report = meter.compute()
    return Answer(
        SAMPLE,
        tables.comparison_table(report),
        "\nThe same for your own models: fastdiv compare BASE.npy Q.npy --labels LABELS.npy",
        data=report.to_dict(),
        json=json_output,
    )


@app.command()
def perplexity(
    logits: Logits,
    labels: Labels = None,
    json_output: JsonOutput = None,
    dtype: Dtype = None,
    threads: Threads = None,
) -> Answer:
    """Perplexity of a language model from its logits and the tokens that followed."""
    _use_threads(threads)
    report = measure_perplexity(logits, labels, dtype=dtype).compute()
    return Answer(
        printable_path(logits),
        tables.perplexity_table(report),
        data=report.to_dict(),
        json=json_output,
    )


@app.command()
def compare(
    base: Logits,
    candidate: Logits,
    labels: Labels = None,
    tail: Tail = None,
    json_output: JsonOutput = None,
    dtype: Dtype = None,
    threads: Threads = None,
) -> Answer:
    """How far a candidate Q (a quantised model, say) is from its base, token by token."""
    _use_threads(threads)
    report = measure_comparison(base, candidate, labels, tail=tail, dtype=dtype).compute()
    return Answer(
        f"base  {printable_path(base)}\nQ     {printable_path(candidate)}",
        tables.comparison_table(report),
        data=report.to_dict(),
        json=json_output,
    )


@app.command()
def info(json_output: JsonOutput = None) -> Answer:
    """Version, instruction set and threads."""
    facts: dict[str, object] = {
        "version": fastdiv.__version__,
        "isa": fastdiv.isa(),
        "available_isas": list(fastdiv.available_isas()),
        "threads": fastdiv.get_num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    return Answer(tables.facts_table(facts), data=facts, json=json_output)


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        fastdiv.set_num_threads(threads)
