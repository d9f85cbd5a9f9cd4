"""Files to meters: block by block, so that memory does not grow with the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastdiv import tails
from fastdiv.cli.checkpoint import Checkpoint, fingerprint
from fastdiv.cli.intervals import IntervalMeter
from fastdiv.cli.progress import progress
from fastdiv.cli.sources import (
    IGNORED,
    Block,
    Faults,
    Labels,
    Opening,
    Source,
    common_labels,
    common_sequences,
    common_vocabulary,
    open_sources,
    refuse_numbers,
    rows_at_a_time,
)
from fastdiv.meter_reports import Tail
from fastdiv.meters import ComparisonMeter, PerplexityMeter
from fastdiv.tokens import compare_logits
from fastdiv.topk import TopKComparison, TopKRows, compare_topk, top_k

__all__ = [
    "Comparison",
    "ComparisonOptions",
    "Perplexity",
    "measure_comparison",
    "measure_perplexity",
]

_TOPS = ("top_base", "top_candidate", "confidence_base", "confidence_candidate")


@dataclass(frozen=True)
class ComparisonOptions:
    """What a comparison is to compute, beside its files."""

    opening: Opening = field(default_factory=Opening)
    labels: Path | None = None
    sequences: Path | None = None
    sequence_length: int | None = None
    tail: Tail | None = None
    tail_ratio: float | None = None
    weight: float = 0.5
    temperatures: tuple[float, ...] = (1.0,)
    fields: tuple[str, ...] = ()
    top_k: int = 10
    noise_floor: Path | None = None
    resume: Path | None = None


class _Rows(NamedTuple):
    """What is known of the rows of a block beside the models' numbers."""

    labels: Labels | None
    sequences: Labels | None

    def part(self, start: int, stop: int) -> "_Rows":
        return _Rows(*(None if x is None else x[start:stop] for x in self))


class Comparison:
    """One base, its candidates, and a meter for each of them and each temperature.

    Everything is opened and checked here, and nothing is computed before :meth:`run`.

    Parameters
    ----------
    base : Path
    candidates : sequence of Path
    options : ComparisonOptions

    Attributes
    ----------
    meters : list of list of meter
        For each candidate, and last for the base's second run if there is one, the meters of the
        temperatures.
    faults : Faults
        Of all files.
    faults_of : list of Faults
        For each candidate, and last for the base's second run: its own and the base's.
    resumed : int
        Rows that an earlier run had dealt with.

    Raises
    ------
    FileFormatError, OSError
        Anything wrong with a file, files that do not belong together, or options that do not.
    """

    def __init__(self, base: Path, candidates: Sequence[Path], options: ComparisonOptions) -> None:
        self.options = options
        self.candidates = list(candidates)
        rerun = [] if options.noise_floor is None else [options.noise_floor]
        opening = options.opening
        self._sources = open_sources([base, *candidates, *rerun], opening)
        self._base, *self._others = self._sources
        self.rows = self._base.rows
        self.vocab = common_vocabulary(self._sources, opening.vocab_size)
        dense = [s for s in self._sources if s.kind != "top-k"]
        self._width = opening.vocab_size
        self._labels = common_labels(self._sources, options.labels, opening.vocab_size)
        self._sequences = common_sequences(
            self._sources, options.sequences, options.sequence_length
        )
        self.kinds = [self._kind(other) for other in self._others]
        if self._labels is None and "rank_base" in options.fields:
            raise self._base.complain("comes without labels, whose ranks are asked for: --labels")
        if options.tail is not None and "none" in self.kinds:
            raise self._base.complain(
                "holds all logits, as the candidate does: there is no --tail to treat"
            )
        self._dtype = next((s.dtype for s in dense if s.dtype), None)
        self.meters = [
            [self._meter(kind, temperature) for temperature in options.temperatures]
            for kind in self.kinds
        ]
        self.faults = Faults()
        self.faults_of = [Faults() for _ in self._others]
        self.resumed = 0
        self._count = rows_at_a_time(self._sources)
        self._checkpoint = Checkpoint(options.resume, self._identity() if options.resume else {})
        self._restore()
        if options.noise_floor is not None and set(self.kinds) - {"none", "bucket", "llama.cpp"}:
            raise self._others[-1].complain("or another file holds top tokens only: no noise floor")

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    def refuse_vocabulary(self) -> None:
        """Refuse a list of texts by number for files that have no such numbers."""
        refuse_numbers(self._sources, "--vocabulary")

    @property
    def noise(self) -> Any:
        """The meter of the base's second run; None without one."""
        return None if self.options.noise_floor is None else self.meters[-1][0]

    def _kind(self, other: Source) -> str:
        base, options = self._base, self.options
        kinds = {base.kind, other.kind}
        found = "none"
        if "top-k" in kinds:
            if "floor" in kinds:
                floor = base if base.kind == "floor" else other
                raise floor.complain("is a llama.cpp file, which no file of top tokens can meet")
            found = "top-k"
        elif "floor" in kinds:
            found = options.tail or "bucket"
            if found == "llama.cpp" and base.kind != "floor":
                raise base.complain(
                    "is no llama.cpp file, as --tail llama.cpp wants its base to be"
                )
            if found == "llama.cpp" and other.kind == "floor":
                raise other.complain(
                    "is a llama.cpp file; --tail llama.cpp wants the candidate's logits"
                )
        plain = options.temperatures == (1.0,) and options.weight == 0.5 and not options.fields
        if found != "none" and not plain:
            raise other.complain(
                "or its base does not hold all logits, which --temperature, --weight and --fields"
                " take"
            )
        if found != "top-k" and options.tail_ratio is not None:
            raise other.complain("is compared without top tokens, which --tail-ratio is about")
        return found

    def _meter(self, kind: str, temperature: float) -> Any:
        if kind == "top-k":
            return IntervalMeter()
        options = self.options
        if kind == "none":
            return ComparisonMeter(
                vocab_size=self._width,
                dtype=self._dtype,
                temperature=temperature,
                weight=options.weight,
                fields=options.fields,
                top_k=options.top_k,
            )
        return ComparisonMeter(tail=kind)  # type: ignore[arg-type]

    def _identity(self) -> dict[str, Any]:
        options = self.options
        files = {
            "base": self._base.path,
            **{f"candidate {i + 1}": path for i, path in enumerate(self.candidates)},
            "noise floor": options.noise_floor,
            "labels": options.labels,
            "sequences": options.sequences,
        }
        return {
            "command": "compare",
            **{f"file {name}": fingerprint(path) for name, path in files.items() if path},
            "rows": self.rows,
            "rows per block": self._count,
            "--vocab-size": options.opening.vocab_size,
            "--dtype": options.opening.dtype,
            "--key": options.opening.key,
            "--shape": options.opening.shape,
            "--sequence-length": options.sequence_length,
            "--tail": options.tail,
            "--tail-ratio": options.tail_ratio,
            "--weight": options.weight,
            "--temperature": options.temperatures,
            "--fields": options.fields,
            "--top-k": options.top_k,
        }

    def _restore(self) -> None:
        kept = self._checkpoint.read()
        if kept is None:
            return
        facts, states = kept
        with self._checkpoint.reading():
            self.faults = Faults.from_state(facts["invalid"])
            of = facts["invalid of candidates"]
            self.faults_of = [
                Faults.from_state(state) for state, _ in zip(of, self._others, strict=True)
            ]
            made = [meter for meters in self.meters for meter in meters]
            pairs = zip(made, states, strict=True)
            read = iter([type(meter).from_state(state) for meter, state in pairs])
            self.meters = [[next(read) for _ in meters] for meters in self.meters]
            found = [meter for meters in self.meters for meter in meters]
            self.resumed = _resumed(facts["rows"], found, self.rows)

    def probe(self) -> list[Any]:
        """Return meters of two made-up rows, whose reports have the members of the real ones."""
        rows = _Rows(
            None if self._labels is None else np.zeros(2, np.int64),
            None if self._sequences is None else np.arange(2),
        )
        found = []
        for source, kind in zip(self._others, self.kinds, strict=True):
            meter = self._meter(kind, self.options.temperatures[0])
            blocks = [_made_up(kind, side, self._width or 4) for side in (self._base, source)]
            self._add(meter, kind, (blocks[0], blocks[1]), source, rows)
            found.append(meter)
        return found

    def run(self) -> None:
        """Read everything once: each block of the base meets every candidate before the next."""
        walks = [s.blocks(self._count, self.resumed, self._width) for s in self._sources]
        row_bytes = sum(source.row_bytes for source in self._sources)
        with (
            progress(self.rows, row_bytes=row_bytes, done=self.resumed) as advance,
            np.errstate(invalid="ignore"),
        ):
            for base, *others in zip(*walks, strict=True):
                self._update(base, others)
                done = base.start + len(base)
                self._checkpoint.offer(self._facts(done), [m for ms in self.meters for m in ms])
                advance(len(base))

    def finish(self) -> None:
        """Remove the checkpoint, once everything is written."""
        self._checkpoint.remove()

    def _facts(self, rows: int) -> dict[str, Any]:
        return {
            "rows": rows,
            "invalid": self.faults.to_state(),
            "invalid of candidates": [faults.to_state() for faults in self.faults_of],
        }

    def _update(self, base: Block, others: Sequence[Block]) -> None:
        stop = base.start + len(base)
        rows = _Rows(self._labels, self._sequences).part(base.start, stop)
        unsound: set[int] = set()
        parts = zip(self._others, others, self.kinds, self.meters, self.faults_of, strict=True)
        for source, block, kind, meters, faults in parts:
            own: set[int] = set()
            for meter in meters:
                before = len(meter.nan_rows) if meter.nan_rows else 0
                self._add(meter, kind, (base, block), source, rows)
                own.update(meter.nan_rows[before:])
            for row in sorted(own):
                faults.note(row, [(self._base, base), (source, block)])
            unsound |= own
        for row in sorted(unsound):
            self.faults.note(row, [(self._base, base), *zip(self._others, others, strict=True)])

    def _add(
        self, meter: Any, kind: str, blocks: tuple[Block, Block], source: Source, rows: _Rows
    ) -> None:
        base, other = blocks
        if kind == "none":
            meter.update(base.values, other.values, rows.labels, sequence_ids=rows.sequences)
            return
        if kind == "top-k":
            sides: list[Any] = [
                s.legible(block).values if block.known is None else block.known
                for s, block in ((self._base, base), (source, other))
            ]
            try:
                found = compare_topk(
                    sides[0], sides[1], rows.labels, tail_ratio=self.options.tail_ratio
                )
            except (ValueError, IndexError) as error:
                raise source.complain(f"rows from {base.start} on: {error}") from None
            if rows.labels is not None and self.options.labels is None:
                found = _exact_labels(found, sides, rows.labels)
            meter.update(found, vocab=self.vocab, labels=rows.labels, sequence_ids=rows.sequences)
            return
        p, q = self._base.legible(base), source.legible(other)
        p_tail = None
        if kind == "bucket":
            columns, p_tail = tails.compare_bucket(p, q, rows.labels)
        else:
            columns = tails.compare_llama_cpp(p, q.values, rows.labels)
        meter.update_columns(
            columns._replace(**_tops(p, q)),
            vocab=base.values.shape[1],
            counted=None if rows.labels is None else rows.labels != IGNORED,
            p_tail=p_tail,
            labels=rows.labels,
            sequence_ids=rows.sequences,
        )


def _exact_labels(found: TopKComparison, sides: Sequence[Any], labels: Labels) -> TopKComparison:
    """Return the comparison with what files of top tokens say of their own labels.

    A label that is among the known tokens has a code as these have, which is rounded.
    """
    exact = {}
    for name, side in zip(("nll_base", "nll_candidate"), sides, strict=True):
        nll = getattr(found, name)
        if isinstance(side, TopKRows):
            said = (labels != IGNORED) & ~np.isnan(side.label_log_p)
            nll = np.where(said, 0.0 - side.label_log_p, nll)
        exact[name] = nll
    delta_p = np.exp(-exact["nll_candidate"]) - np.exp(-exact["nll_base"])
    return found._replace(**exact, delta_p=delta_p)


def _resumed(rows: object, meters: Sequence[Any], all_rows: int) -> int:
    """Return how many rows a run had dealt with, if its meters have seen as many.

    Raises
    ------
    ValueError
    """
    if type(rows) is not int or not 0 < rows <= all_rows:
        raise ValueError(f"{rows!r:.40} are not so many rows")
    if any(meter.rows != rows for meter in meters):
        raise ValueError(f"a meter has not seen {rows} rows")
    return rows


def _made_up(kind: str, source: Source, width: int) -> Block:
    """Return two rows of equal probabilities, of the kind that a file holds."""
    rows = np.zeros((2, width), np.uint16 if source.dtype == "bfloat16" else np.float32)
    if kind == "top-k":
        return Block(0, rows, known=top_k(np.zeros((2, width)), 1))
    if source.kind != "floor":
        return Block(0, rows)
    return Block(0, rows - np.log(width, dtype=np.float32), np.arange(width) > [[0], [0]])


def _tops(p: tails.Rows, q: tails.Rows) -> dict[str, Any]:
    """Return the most probable tokens and their probabilities, which no floor changes."""
    found = compare_logits(p.values, q.values, fields=_TOPS)
    tops = {name: getattr(found, name) for name in _TOPS}
    for name, side in (("confidence_base", p), ("confidence_candidate", q)):
        if side.floor is not None:
            # As it stands in the file: the row's sum has the floors in it.
            tops[name] = np.exp(side.values.max(-1).astype(np.float64))
    return tops


class Perplexity:
    """One model, and its meter.

    Parameters
    ----------
    logits : Path
    labels : Path or None
    opening : Opening
    sequences : Path or None
    sequence_length : int or None
    texts : tuple of int, optional
        Words and bytes of the text.
    temperature : float
    resume : Path or None

    Raises
    ------
    FileFormatError, OSError
        Anything wrong with a file.
    """

    def __init__(
        self,
        logits: Path,
        labels: Path | None,
        *,
        opening: Opening | None = None,
        sequences: Path | None = None,
        sequence_length: int | None = None,
        texts: tuple[int, int] | None = None,
        temperature: float = 1.0,
        resume: Path | None = None,
    ) -> None:
        opening = opening or Opening()
        self._source = open_sources([logits], opening)[0]
        source = self._source
        self.rows = source.rows
        self._width = opening.vocab_size
        found = common_labels([source], labels, opening.vocab_size)
        if found is None:
            raise source.complain("comes without labels; give them with --labels")
        own = source.own_labels
        if source.kind == "top-k" and own is not None:
            # Of these rows it is the log-probability of the file's own label that is known.
            apart = (found != own) & (found != IGNORED)
            if apart.any():
                row = int(np.argmax(apart))
                raise source.complain(
                    f"row {row} predicts token {own[row]}, but {found[row]} in --labels"
                )
        self._labels = found
        self._sequences = common_sequences([source], sequences, sequence_length)
        self._texts = texts
        if temperature != 1.0 and source.kind != "dense":
            raise source.complain("does not hold all logits, which --temperature takes")
        self.meter = PerplexityMeter(
            vocab_size=self._width, dtype=source.dtype, temperature=temperature
        )
        self.faults = Faults()
        self.resumed = 0
        self._count = rows_at_a_time([source])
        files = {"logits": logits, "labels": labels, "sequences": sequences}
        identity: Mapping[str, Any] = {}
        if resume is not None:
            identity = {
                "command": "perplexity",
                **{f"file {name}": fingerprint(path) for name, path in files.items() if path},
                "rows": self.rows,
                "rows per block": self._count,
                "--vocab-size": opening.vocab_size,
                "--dtype": opening.dtype,
                "--key": opening.key,
                "--shape": opening.shape,
                "--sequence-length": sequence_length,
                "--temperature": temperature,
                "words and bytes": texts,
            }
        self._checkpoint = Checkpoint(resume, identity)
        kept = self._checkpoint.read()
        if kept is not None:
            facts, states = kept
            with self._checkpoint.reading():
                self.faults = Faults.from_state(facts["invalid"])
                (state,) = states
                self.meter = PerplexityMeter.from_state(state)
                self.resumed = _resumed(facts["rows"], [self.meter], self.rows)

    def probe(self) -> PerplexityMeter:
        """Return a meter of two made-up rows, whose report has the members of the real one."""
        meter = PerplexityMeter()
        known = self._texts or (None, None)
        ids = None if self._sequences is None else [0, 1]
        meter.update(np.zeros((2, 2)), [0, 1], sequence_ids=ids, words=known[0], size=known[1])
        return meter

    def run(self) -> None:
        """Read everything once."""
        source = self._source
        with (
            progress(self.rows, row_bytes=source.row_bytes, done=self.resumed) as advance,
            np.errstate(invalid="ignore"),
        ):
            for block in source.blocks(self._count, self.resumed, self._width):
                before = len(self.meter.nan_rows)
                self._add(block)
                for row in self.meter.nan_rows[before:]:
                    self.faults.note(row, [(source, block)])
                facts = {
                    "rows": block.start + len(block),
                    "invalid": self.faults.to_state(),
                }
                self._checkpoint.offer(facts, [self.meter])
                advance(len(block))

    def finish(self) -> None:
        """Remove the checkpoint, once everything is written."""
        self._checkpoint.remove()

    def _add(self, block: Block) -> None:
        part = slice(block.start, block.start + len(block))
        labels = self._labels[part]
        options: dict[str, Any] = {
            "sequence_ids": None if self._sequences is None else self._sequences[part]
        }
        if self._texts is not None:
            # The whole text is counted once, with the first rows of it.
            options["words"], options["size"] = (0, 0) if block.start else self._texts
        if block.known is None and block.floor is None:
            self.meter.update(block.values, labels, **options)
            return
        if block.known is not None:
            nll = 0.0 - block.known.label_log_p
            unknown = np.isnan(nll) & (labels != IGNORED) & ~np.isnan(block.known.tail)
            if unknown.any():
                row = block.start + int(np.argmax(unknown))
                raise self._source.complain(
                    f"row {row}: its label's probability is not known, and perplexity is of all"
                )
            nll = np.where(labels == IGNORED, 0.0, nll)
        else:
            nll = tails.label_nll(self._source.legible(block), labels)
        self.meter.update_columns(
            nll,
            vocab=self._source.vocab,  # type: ignore[arg-type]
            counted=labels != IGNORED,
            labels=labels,
            **options,
        )


def measure_comparison(
    base: Path,
    candidate: Path,
    labels: Path | None = None,
    *,
    tail: Tail | None = None,
    dtype: str | None = None,
) -> ComparisonMeter:
    """Return a meter that has seen every row of two files.

    Parameters
    ----------
    base, candidate : Path
        P and Q.
    labels : Path, optional
        By default those that a file of logits comes with, if one does.
    tail : {"llama.cpp", "bucket"}, optional
        What to do with a file's floor; None takes "bucket" where there is one.
    dtype : "bfloat16", optional
        What uint16 arrays hold.

    Raises
    ------
    FileFormatError
        Anything wrong with a file, or files that do not belong together.
    """
    opening = Opening(dtype=(dtype,) if dtype else ())
    options = ComparisonOptions(opening, labels=labels, tail=tail)
    comparison = Comparison(base, [candidate], options)
    comparison.run()
    meter: ComparisonMeter = comparison.meters[0][0]
    return meter


def measure_perplexity(logits: Path, labels: Path | None = None) -> PerplexityMeter:
    """Return a meter that has seen every row of a file.

    Parameters
    ----------
    logits : Path
    labels : Path, optional
        By default those that the logits come with.

    Raises
    ------
    FileFormatError
        Anything wrong with either file.
    """
    perplexity = Perplexity(logits, labels)
    perplexity.run()
    return perplexity.meter
