"""The commands: arguments in, an answer out; nothing is printed here."""

import platform

import numpy as np
import typer

import fastdiv
from fastdiv.cli import tables
from fastdiv.cli.answer import Answer
from fastdiv.cli.compare import compare
from fastdiv.cli.convert import convert
from fastdiv.cli.endings import invalid_member
from fastdiv.cli.options import JsonOutput
from fastdiv.cli.outputs import check_output
from fastdiv.cli.perplexity import perplexity
from fastdiv.cli.streams import Comparison, ComparisonOptions
from fastdiv.cli.worst import tokens
from fastdiv.data import SAMPLE, sample_paths

__all__ = ["app"]

app = typer.Typer(
    help="Measure how far one probability distribution is from another.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def demo(json_output: JsonOutput = None) -> Answer:
    """Compare two real language models on a small embedded sample."""
    check_output(json_output)
    sample = sample_paths()
    run = Comparison(sample.base, [sample.candidate], ComparisonOptions(labels=sample.labels))
    run.run()
    report = run.meters[0][0].compute()
    return Answer(
        SAMPLE,
        tables.comparison_table(report),
        "\nThe same for your own models: fastdiv compare BASE.npy Q.npy --labels LABELS.npy",
        data=invalid_member(report.to_dict(), run.faults),
        json=json_output,
    )


for command in (compare, tokens, perplexity, convert):
    app.command()(command)


@app.command()
def info(json_output: JsonOutput = None) -> Answer:
    """Version, instruction set and threads."""
    check_output(json_output)
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
