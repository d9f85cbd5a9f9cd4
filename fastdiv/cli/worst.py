"""``fastdiv tokens``: on which tokens a candidate is farthest from its base."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from fastdiv.cli import options as o
from fastdiv.cli import tables
from fastdiv.cli.answer import Answer
from fastdiv.cli.endings import ending, invalid_text
from fastdiv.cli.outputs import check_output, check_table, keep_inputs, write_table
from fastdiv.cli.streams import Comparison, ComparisonOptions
from fastdiv.io import FileFormatError, printable_path
from fastdiv.io.vocabulary import Vocabulary, read_vocabulary
from fastdiv.uncertainty import json_number

__all__ = ["tokens", "worst_rows"]

_BEFORE, _AFTER = 10, 3
_SIGNED = ("delta_p",)

By = Annotated[
    str,
    typer.Option(
        metavar="COLUMN",
        help="What makes a token worse: kl, delta_p (of either sign), or any other column.",
    ),
]
Number = Annotated[int, typer.Option("--number", "-n", min=1, help="How many tokens.")]
VocabularyFile = Annotated[
    Path | None,
    typer.Option(help="Texts of the tokens: a tokenizer.json, or a list, one a line or in JSON."),
]


def tokens(
    base: Annotated[Path, typer.Argument(help="P, as for compare.")],
    candidate: Annotated[Path, typer.Argument(help="Q.")],
    labels: o.Labels = None,
    number: Number = 20,
    by: By = "kl",
    vocabulary: VocabularyFile = None,
    sequences: o.Sequences = None,
    sequence_length: o.SequenceLength = None,
    rows: o.Rows = None,
    vocab_size: o.VocabSize = None,
    dtype: o.Dtype = None,
    key: o.Key = None,
    shape: o.Shape = None,
    json_output: o.JsonOutput = None,
    per_token: o.PerToken = None,
    allow_invalid: o.AllowInvalid = False,
    resume: o.Resume = None,
    threads: o.Threads = None,
) -> Answer:
    """List the tokens on which a candidate Q is farthest from its base, with their context."""
    o.use_threads(threads)
    check_output(json_output)
    check_table(per_token)
    check_output(resume)
    keep_inputs([json_output, per_token, resume], [base, candidate, labels, sequences, vocabulary])
    words = None if vocabulary is None else read_vocabulary(vocabulary)
    run = Comparison(
        base,
        [candidate],
        ComparisonOptions(
            o.opening_of(dtype, key, shape, rows, vocab_size),
            labels=labels,
            sequences=sequences,
            sequence_length=sequence_length,
            fields=("rank_base", "rank_candidate") if by.startswith("rank_") else (),
            resume=resume,
        ),
    )
    if words is not None:
        run.refuse_vocabulary()
    made_up = run.probe()[0].columns()
    by = _column(by, made_up)
    run.run()
    meter = run.meters[0][0]
    columns = meter.columns()
    found = worst_rows(columns, number, by, words)
    shown = [_shown(row) for row in found]
    code, complaints = ending(run.faults, [], [], allow_invalid=allow_invalid)
    writers: list[Any] = []
    if per_token is not None:
        writers.append(lambda: write_table(per_token, [(str(candidate), columns)]))
    return Answer(
        f"base  {printable_path(base)}\nQ     {printable_path(candidate)}",
        f"{len(found):,} of {meter.tokens:,} tokens, the worst by {by} first\n",
        *([tables.worst_table(shown)] if shown else []),
        *invalid_text(run.faults),
        data={
            "tokens": meter.tokens,
            "by": by,
            "worst": found,
            "invalid": {**meter._invalid().to_dict(), "files": run.faults.to_list()},
        },
        json=json_output,
        code=code,
        complaints=complaints,
        writers=[*writers, run.finish],
    )


def _column(by: str, columns: Mapping[str, Any]) -> str:
    """Return the name of the column, which for limits is that of the lower ones."""
    for name in (by, f"{by}_lower"):
        if name in columns:
            return name
    known = ", ".join(sorted(columns))
    raise FileFormatError(f"--by {by}", f"is no column of this comparison; there are {known}")


def worst_rows(
    columns: Mapping[str, NDArray[Any]],
    number: int,
    by: str,
    words: Vocabulary | None = None,
    *,
    passages: bool = False,
) -> list[dict[str, Any]]:
    """Return the worst tokens, one dictionary each.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Of a meter.
    number : int
    by : str
        A column; of `delta_p` the size counts.
    words : Vocabulary, optional
        For texts and context.
    passages : bool
        Give the context as (before, token, after), for a page; otherwise as one text, the token
        between ⟦ and ⟧.
    """
    if by not in columns:
        by = f"{by}_lower"
    size = columns[by].astype(np.float64)
    size = np.abs(size) if by in _SIGNED else size
    sound = np.flatnonzero(~np.isnan(size))
    # Of equal ones the first.
    order = sound[np.argsort(-size[sound], kind="stable")][:number]
    return [_row(columns, int(i), by, words, passages) for i in order]


def _row(
    columns: Mapping[str, NDArray[Any]],
    i: int,
    by: str,
    words: Vocabulary | None,
    passages: bool,
) -> dict[str, Any]:
    found: dict[str, Any] = {"row": int(columns["row"][i])}
    for name in ("sequence", "position"):
        if name in columns:
            found[name] = int(columns[name][i])
    divergence = ("kl",) if "kl" in columns else ("kl_lower", "kl_upper")
    for name in dict.fromkeys((by, *divergence, "delta_p")):
        if name in columns:
            value = columns[name][i]
            found[name] = json_number(float(value)) if value.dtype.kind == "f" else int(value)
    for side in ("base", "candidate"):
        if f"nll_{side}" in columns:
            found[f"p_{side}"] = json_number(float(np.exp(-columns[f"nll_{side}"][i])))
    if "label" in columns:
        found |= _token("label", int(columns["label"][i]), words)
    for side in ("base", "candidate"):
        if f"top_{side}" in columns:
            found |= _token(f"top_{side}", int(columns[f"top_{side}"][i]), words)
            found[f"confidence_{side}"] = json_number(float(columns[f"confidence_{side}"][i]))
    if words is not None and "label" in columns:
        context = _context(columns, i, words)
        if passages:
            found["context"] = context
        else:
            found["context"] = f"{context[0]}⟦{context[1]}⟧{context[2]}"
    return found


def _token(name: str, token: int, words: Vocabulary | None) -> dict[str, Any]:
    return {name: token} if words is None else {name: token, f"{name}_text": words.text(token)}


def _context(
    columns: Mapping[str, NDArray[Any]], i: int, words: Vocabulary
) -> tuple[str, str, str]:
    """Return what stood before the token, the token, and what came after: rows without a gap."""
    row, label = columns["row"], columns["label"]
    sequence = columns.get("sequence")

    def follows(a: int, b: int) -> bool:
        return row[b] == row[a] + 1 and (sequence is None or sequence[a] == sequence[b])

    first = last = i
    while first > 0 and i - first < _BEFORE and follows(first - 1, first):
        first -= 1
    while last + 1 < len(row) and last - i < _AFTER and follows(last, last + 1):
        last += 1
    before, after = label[first:i].tolist(), label[i + 1 : last + 1].tolist()
    return words.texts(before), words.text(int(label[i])), words.texts(after)


def _shown(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a line in a terminal."""
    cells = {}
    for name, value in row.items():
        if name in ("row", "sequence", "position"):
            cells[name[:3]] = str(value)
        elif name in ("kl", "kl_lower", "kl_upper"):
            cells[name.replace("kl_", "kl ")] = _number(value)
        elif name == "delta_p":
            cells["Δp, %"] = "–" if value is None else f"{100 * value:.2f}"
        elif name == "label":
            cells["label"] = _quoted(row, "label")
        elif name == "top_base":
            cells["base"] = f"{_quoted(row, 'top_base')} {_percent(row['confidence_base'])}"
        elif name == "top_candidate":
            cells["Q"] = f"{_quoted(row, 'top_candidate')} {_percent(row['confidence_candidate'])}"
        elif name == "context":
            cells["context"] = str(value)
        elif not name.startswith(("p_", "confidence_")) and not name.endswith("_text"):
            cells[name] = _number(value)
    return cells


def _quoted(row: Mapping[str, Any], name: str) -> str:
    text = row.get(f"{name}_text")
    return str(row[name]) if text is None else f"{text!r}".replace("\\\\", "\\")


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return {"Infinity": "inf", "-Infinity": "-inf"}.get(value, "") or f"{value:.5g}"


def _percent(value: Any) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
