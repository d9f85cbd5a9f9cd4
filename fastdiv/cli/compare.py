"""``fastdiv compare``: one base, one candidate or several."""

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType

from fastdiv.cli import options as o
from fastdiv.cli import tables
from fastdiv.cli.answer import Answer
from fastdiv.cli.endings import ending, invalid_member, invalid_text
from fastdiv.cli.intervals import IntervalMeter, IntervalReport
from fastdiv.cli.outputs import check_output, check_report, check_table, keep_inputs, write_table
from fastdiv.cli.streams import Comparison, ComparisonOptions
from fastdiv.cli.thresholds import parse_thresholds
from fastdiv.cli.worst import worst_rows
from fastdiv.io import FileFormatError, printable_path
from fastdiv.io.vocabulary import Vocabulary, read_vocabulary
from fastdiv.meter_reports import CandidateComparison
from fastdiv.meters import compare_candidates

__all__ = ["compare"]

_FIELDS = {
    "chi2": ("chi2",),
    "ranks": ("rank_base", "rank_candidate"),
    "top_k_overlap": ("top_k_overlap",),
}
_WORST = 20

Base = Annotated[
    Path,
    typer.Argument(
        help="P: .npy, .npz, safetensors, Arrow, Parquet, torch, llama.cpp's _logits_, "
        "log-probability JSON, or fastdiv's store; told by its content."
    ),
]
Candidates = Annotated[list[Path], typer.Argument(help="Q: one or several, on the same tokens.")]
Tail = Annotated[
    Literal["bucket", "llama.cpp"] | None,
    typer.Option(
        help="Tokens below a llama.cpp file's floor: merge them into one (default), "
        "or reproduce llama.cpp's figures."
    ),
]
TailRatio = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Top tokens only: trust that |log p/q| is at most this for unknown tokens; "
        "upper ends of KL are finite then.",
    ),
]
Weight = Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the base in the mixture of JS.")]
Temperature = Annotated[
    list[float] | None,
    typer.Option(help="Divide all logits by this; repeat it for a sweep, the first is reported."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Further columns: chi2, ranks, top_k_overlap; repeatable."),
]
TopK = Annotated[int, typer.Option(min=1, max=128, help="Tokens that top_k_overlap looks at.")]
NoiseFloor = Annotated[
    Path | None,
    typer.Option(metavar="RERUN", help="The base's second run: its KLD is subtracted, paired."),
]
ReportFile = Annotated[
    Path | None, typer.Option(help="Write pictures and tables: .html, .png, .svg or .pdf.")
]
VocabularyFile = Annotated[
    Path | None,
    typer.Option(help="Texts of the tokens: a tokenizer.json, or a list, one a line or in JSON."),
]


def compare(
    base: Base,
    candidate: Candidates,
    labels: o.Labels = None,
    tail: Tail = None,
    tail_ratio: TailRatio = None,
    weight: Weight = 0.5,
    temperature: Temperature = None,
    fields: Fields = None,
    top_k: TopK = 10,
    noise_floor: NoiseFloor = None,
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
    report: ReportFile = None,
    vocabulary: VocabularyFile = None,
    fail_above: o.FailAbove = None,
    fail_below: o.FailBelow = None,
    allow_invalid: o.AllowInvalid = False,
    resume: o.Resume = None,
    threads: o.Threads = None,
) -> Answer:
    """How far candidates Q (quantised models, say) are from their base, token by token.

    Each block of the base is read once. Of a llama.cpp file each context is a sequence: intervals
    take the sequences as independent; the errors that llama.cpp prints take the tokens so.
    """
    o.use_threads(threads)
    o.check_confidence(confidence)
    thresholds = parse_thresholds(fail_above or [], fail_below or [])
    check_output(json_output)
    check_table(per_token)
    check_report(report)
    check_output(resume)
    keep_inputs(
        [json_output, per_token, report, resume],
        [base, *candidate, labels, noise_floor, sequences, vocabulary],
    )
    words = None if vocabulary is None else read_vocabulary(vocabulary)
    temperatures = tuple(temperature or [1.0])
    if not all(0 < t < float("inf") for t in temperatures):
        raise FileFormatError("--temperature", "takes finite numbers above 0")
    run = Comparison(
        base,
        candidate,
        ComparisonOptions(
            o.opening_of(dtype, key, shape, rows, vocab_size),
            labels=labels,
            sequences=sequences,
            sequence_length=sequence_length,
            tail=tail,
            tail_ratio=tail_ratio,
            weight=weight,
            temperatures=temperatures,
            fields=_fields(fields or []),
            top_k=top_k,
            noise_floor=noise_floor,
            resume=resume,
        ),
    )
    if words is not None:
        run.refuse_vocabulary()
    names = candidate_names(candidate)
    if thresholds:
        made_up = [_computed(meter, run, confidence) for meter in run.probe()[: len(names)]]
        for threshold in thresholds:
            for each in made_up:
                threshold.check(each.to_dict())
    run.run()
    return _answer(
        run,
        names,
        base,
        thresholds,
        confidence=confidence,
        json_output=json_output,
        per_token=per_token,
        report=report,
        words=words,
        allow_invalid=allow_invalid,
    )


def candidate_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest names that tell files apart: those of the files, or their paths."""
    names = [printable_path(path.name) for path in paths]
    if len(set(names)) < len(names):
        names = [printable_path(path) for path in paths]
    return [
        f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name
        for i, name in enumerate(names)
    ]


def _fields(chosen: Sequence[str]) -> tuple[str, ...]:
    names = [name.strip() for text in chosen for name in text.split(",")]
    for name in names:
        if name not in _FIELDS:
            raise FileFormatError(f"--fields {name}", f"takes some of {', '.join(_FIELDS)}")
    return tuple(dict.fromkeys(field for name in names for field in _FIELDS[name]))


def _computed(meter: Any, run: Comparison, confidence: float, noise: Any = None) -> Any:
    """Return the report of a meter."""
    if isinstance(meter, IntervalMeter):
        return meter.compute(tail_ratio=run.options.tail_ratio)
    return meter.compute(confidence=confidence, noise_floor=noise)


def _answer(
    run: Comparison,
    names: list[str],
    base: Path,
    thresholds: Sequence[Any],
    *,
    confidence: float,
    json_output: str | None,
    per_token: Path | None,
    report: Path | None,
    words: Vocabulary | None,
    allow_invalid: bool,
) -> Answer:
    meters = [ms[0] for ms in run.meters[: len(names)]]
    reports = [_computed(meter, run, confidence, run.noise) for meter in meters]
    sweeps = [
        [
            (temperature, _computed(meter, run, confidence))
            for temperature, meter in zip(run.options.temperatures, ms, strict=True)
        ]
        if len(run.options.temperatures) > 1
        else []
        for ms in run.meters[: len(names)]
    ]
    objects = []
    for found, sweep, faults in zip(reports, sweeps, run.faults_of, strict=False):
        members = invalid_member(found.to_dict(), faults)
        if sweep:
            members["temperatures"] = [_sweep_member(t, each) for t, each in sweep]
        objects.append(members)
    parts: list[RenderableType]
    if len(names) == 1:
        data: dict[str, Any] = objects[0]
        parts = [
            f"base  {printable_path(base)}\nQ     {printable_path(run.candidates[0])}",
            *_tables(reports[0]),
        ]
        if sweeps[0]:
            parts += ["", tables.sweep_table(sweeps[0])]
    else:
        paired = _paired(names, meters, reports, confidence)
        data = {
            "base": printable_path(base),
            "candidates": [
                {"name": name, **members} for name, members in zip(names, objects, strict=True)
            ],
            "paired": [
                {"first": first, "second": best, **found.to_dict()} for first, best, found in paired
            ],
        }
        ranked = sorted(zip(names, reports, strict=True), key=lambda pair: _distance(pair[1]))
        parts = [f"base  {printable_path(base)}", tables.ranking_table(ranked)]
        if paired:
            rows = [(first, found) for first, _, found in paired]
            parts.append(tables.paired_table(paired[0][1], rows))
        for name, sweep in zip(names, sweeps, strict=True):
            if sweep:
                parts += [f"\n{name}", tables.sweep_table(sweep)]
    parts += invalid_text(run.faults)
    if run.resumed:
        parts.append(f"\nResumed at row {run.resumed:,}.")
    code, complaints = ending(
        run.faults,
        thresholds,
        list(zip(names, objects, strict=True)),
        allow_invalid=allow_invalid,
    )
    writers: list[Any] = []
    if per_token is not None:
        columns = [(n, m.columns()) for n, m in zip(names, meters, strict=True)]
        writers.append(partial(write_table, per_token, columns))
    if report is not None:
        writers.append(partial(_write_report, report, base, names, meters, objects, words))
    writers.append(run.finish)
    return Answer(
        *parts, data=data, json=json_output, code=code, complaints=complaints, writers=writers
    )


def _tables(found: Any) -> list[RenderableType]:
    if isinstance(found, IntervalReport):
        return [tables.interval_report_table(found)]
    parts = [tables.comparison_table(found)]
    if found.tokens:
        parts.append(tables.intervals_table(found))
    if found.noise_floor is not None:
        parts.append(tables.noise_table(found.noise_floor))
    return parts


def _sweep_member(temperature: float, found: Any) -> dict[str, Any]:
    return {
        "temperature": temperature,
        "kl_divergence": found.kl_divergence.mean.to_dict(),
        "total_variation": found.total_variation.mean.to_dict(),
        "js_divergence": found.js_divergence.mean.to_dict(),
    }


def _distance(found: Any) -> tuple[bool, float]:
    if isinstance(found, IntervalReport):
        mean = found.divergences["kl_divergence"].lower.value
    else:
        mean = found.kl_divergence.mean.value
    # A mean that is undefined is last.
    return mean != mean, mean


def _paired(
    names: Sequence[str], meters: Sequence[Any], reports: Sequence[Any], confidence: float
) -> list[tuple[str, str, CandidateComparison]]:
    """Return every candidate against the best, where both have numbers and not limits."""
    known = [
        (name, meter, report)
        for name, meter, report in zip(names, meters, reports, strict=True)
        if not isinstance(report, IntervalReport) and report.tokens
    ]
    if len(known) < 2:
        return []
    best_name, best, first = min(known, key=lambda each: _distance(each[2]))
    return [
        (name, best_name, compare_candidates(meter, best, confidence=confidence))
        for name, meter, report in known
        if meter is not best and report.tail == first.tail
    ]


def _write_report(
    path: Path,
    base: Path,
    names: Sequence[str],
    meters: Sequence[Any],
    objects: Sequence[dict[str, Any]],
    words: Vocabulary | None,
) -> None:
    from fastdiv.report import Candidate, write_report

    candidates = [
        Candidate(name, {k: x for k, x in meter.columns().items() if k != "label"})
        for name, meter in zip(names, meters, strict=True)
    ]
    context = None
    if words is not None:
        context = [
            {"candidate": name, **row} if len(names) > 1 else row
            for name, meter in zip(names, meters, strict=True)
            for row in worst_rows(meter.columns(), _WORST, "kl", words, passages=True)
        ]
    try:
        write_report(
            path,
            candidates,
            base_name=printable_path(base.name),
            title=f"{', '.join(names)} against {printable_path(base.name)}",
            reports=objects,
            command=shlex.join(["fastdiv", *sys.argv[1:]]),
            context=context,
        )
    except ValueError as error:
        # No row that a picture could show.
        raise FileFormatError(path, str(error).removeprefix("write_report: ")) from None
