"""Statistics over many tokens: streaming, mergeable, and the same however the rows were split.

Promise: a meter that has seen the same rows gives the same bits, whether they came in one update
or in a thousand, or in meters merged afterwards in that order, or were saved and read again in
between. It keeps one number per token and column, and every sum over them is rounded once; no sum
depends on an order.

Standard errors are those of llama.cpp's report, √((S2/n − μ²)/(n − 1)), taken from the centred
squares, which is the same number without its cancellation. For the same reason the errors of
ln(PPL(Q)/PPL(base)) and PPL(Q) − PPL(base) are taken from the paired differences per token: the
variance of a difference is what se_q² + se_b² − 2cov spells out. Where the sequences of the tokens
are known, cluster-robust errors stand beside them, and the intervals are made of these.

Rows whose result is NaN (logits with NaN or +inf, or of nothing but −inf) stay in the columns, are
counted and named in every report, and are in no statistic. An infinite divergence is a value.
"""

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.columns import Column, Columns, as_column, pack, to_arrow, to_numpy, unpack, write
from fastdiv.evaluation import integer_of, temperature_of, unmasked, weight_of
from fastdiv.meter_reports import (
    QUANTILES,
    CandidateComparison,
    ClusteredErrors,
    ComparisonReport,
    Distribution,
    InvalidRows,
    PerplexityRatio,
    PerplexityReport,
    Tail,
)
from fastdiv.tails import llama_cpp_quantile
from fastdiv.text import bits_per_byte, byte_perplexity, text_size, word_perplexity
from fastdiv.tokens import (
    _BY_DEFAULT,
    _OF_LABELS,
    LogitComparison,
    compare_logits,
    ignored_label,
    token_nll,
)
from fastdiv.uncertainty import (
    Bucket,
    ConfidenceInterval,
    Estimate,
    Json,
    PairedDifference,
    Sequences,
    by_bucket,
    correlation,
    exp_interval,
    exp_of,
    fraction,
    fraction_interval,
    mean,
    noise_floor,
    paired,
    quantile,
    quantile_intervals,
    root_mean_square,
)

__all__ = [
    "ComparisonMeter",
    "PerplexityMeter",
    "compare_candidates",
]

_Floats: TypeAlias = NDArray[np.float64]
_QUARTILES = ("p75", "p25")


class _Quantity(NamedTuple):
    """A column that the report says the distribution of."""

    column: str
    limits: tuple[float, float]


_POSITIVE, _UNIT = (0.0, math.inf), (0.0, 1.0)
_DIVERGENCES = {
    "kl_divergence": _Quantity("kl", _POSITIVE),
    "reverse_kl_divergence": _Quantity("reverse_kl", _POSITIVE),
    "js_divergence": _Quantity("js", (0.0, math.log(2))),
    "total_variation": _Quantity("tv", _UNIT),
    "hellinger_distance": _Quantity("hellinger", _UNIT),
}
_DELTA_P = _Quantity("delta_p", (-1.0, 1.0))
# Reported where the columns are there.
_FURTHER = {
    "chi2_divergence": _Quantity("chi2", _POSITIVE),
    "entropy_base": _Quantity("entropy_base", _POSITIVE),
    "entropy_candidate": _Quantity("entropy_candidate", _POSITIVE),
    "confidence_base": _Quantity("confidence_base", _UNIT),
    "confidence_candidate": _Quantity("confidence_candidate", _UNIT),
    "rank_base": _Quantity("rank_base", _POSITIVE),
    "rank_candidate": _Quantity("rank_candidate", _POSITIVE),
    "top_k_overlap": _Quantity("top_k_overlap", _POSITIVE),
}
_CONFIDENCE_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
_POSITION_BUCKETS = 8
_ROWS_NAMED = 100


class _Options(TypedDict):
    ignore_index: int | None
    vocab_size: int | None
    dtype: str | None
    temperature: float


class _Fields(TypedDict):
    weight: float
    fields: tuple[str, ...]
    top_k: int


class _Batch(NamedTuple):
    """What an update says of its rows beside the numbers themselves."""

    labels: Column | None
    sequence_ids: ArrayLike | None
    offsets: ArrayLike | None
    positions: ArrayLike | None


class _Meter:
    """Columns of one number per counted token, under names that the first update fixes."""

    #: Columns in which NaN says "not known", and nothing against the row.
    _MAY_BE_NAN: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        tail: Tail = "none",
        ignore_index: int | None = -100,
        vocab_size: int | None = None,
        dtype: str | None = None,
        temperature: float = 1.0,
    ) -> None:
        name = type(self).__name__
        self.tail: Tail = tail
        self.vocab: int | None = None
        self.extra: dict[str, Json] = {}
        self._options = _Options(
            ignore_index=ignored_label(name, ignore_index),
            vocab_size=None if vocab_size is None else integer_of(name, "vocab_size", vocab_size),
            dtype=dtype,
            temperature=float(temperature_of(name, temperature)),
        )
        self._columns = Columns()
        self._rows = 0
        self._nan_rows: list[int] = []
        # How sequences are told apart, fixed by the first update: it must not change in mid-stream.
        self._naming: tuple[str, str] | None = None
        self._sequences = 0
        self._seen: dict[int, int] = {}
        self._words: int | None = None
        self._bytes: int | None = None

    # --- what there is ---

    @property
    def tokens(self) -> int:
        """Number of tokens in the statistics: rows that are counted and valid."""
        return len(self._columns) - len(self._nan_rows)

    @property
    def rows(self) -> int:
        """Number of rows seen, with those that are ignored or invalid: where to resume."""
        return self._rows

    @property
    def nan_rows(self) -> tuple[int, ...]:
        """Rows with a NaN in any column, counted from the first row that the meter saw."""
        return tuple(self._nan_rows)

    def column(self, name: str) -> Column:
        """Return one number per counted row, in the order of the updates; NaN for invalid rows.

        Parameters
        ----------
        name : str
            KeyError where the meter has no such column.

        Returns
        -------
        ndarray of float64, int64 or bool
            Not to be written to.
        """
        return self._columns[name] if self._columns else np.empty(0)

    def columns(self) -> dict[str, Column]:
        """Return every column by name, as :meth:`column`.

        Returns
        -------
        dict of str to ndarray
            Those of the comparison by their names there; ``row`` (counted from the first row that
            the meter saw, ignored ones, too), and, where they were given, ``label``, ``sequence``,
            ``position``.
        """
        return {name: self._columns[name] for name in self._columns}

    def to_numpy(self) -> NDArray[np.void]:
        """Return the columns as one structured array, a field per column."""
        return to_numpy(self.columns())

    def to_arrow(self) -> Any:
        """Return the columns as an Arrow table; needs pyarrow, ``pip install "fastdiv[arrow]"``."""
        return to_arrow(self.columns())

    # --- updates ---

    def _counted(self, labels: ArrayLike, rows: ArrayLike) -> NDArray[np.bool_]:
        ignored = self._options["ignore_index"]
        counted = True if ignored is None else np.not_equal(labels, ignored)
        return np.broadcast_to(counted, np.shape(rows))

    def _vocab_of(self, logits: ArrayLike) -> int:
        width: int = np.shape(logits)[-1]
        return min(width, self._options["vocab_size"] or width)

    def _where(self, message: str) -> str:
        return f"{type(self).__name__}.update: {message}"

    def _unmasked(self, argument: str, values: ArrayLike | None) -> NDArray[Any]:
        return unmasked(f"{type(self).__name__}.update", argument, values)

    def _column(self, argument: str, values: ArrayLike) -> Column:
        return as_column(self._unmasked(argument, values))

    def _labels(self, labels: ArrayLike | None) -> Column | None:
        return None if labels is None else self._column("labels", labels)

    def _columns_of(self, given: Mapping[str, ArrayLike | None]) -> dict[str, Column]:
        return {name: self._column(name, x) for name, x in given.items() if x is not None}

    def _spread(self, argument: str, values: ArrayLike | None, rows: ArrayLike) -> ArrayLike | None:
        if values is None:
            return None
        return np.broadcast_to(self._unmasked(argument, values), np.shape(rows))

    def _mask(self, counted: ArrayLike | None) -> NDArray[np.bool_] | None:
        if counted is None:
            return None
        return self._unmasked("counted", counted).astype(np.bool_).ravel()

    def _append(
        self,
        columns: dict[str, Column],
        *,
        vocab: int,
        counted: NDArray[np.bool_] | None,
        batch: _Batch,
    ) -> None:
        """Check everything, then change anything."""
        rows = next(iter(columns.values())).size
        if batch.labels is not None:
            columns["label"] = batch.labels
        marked = columns if counted is None else {**columns, "counted": counted}
        for name, column in marked.items():
            if column.size != rows:
                raise ValueError(self._where(f"{column.size} {name} for {rows} rows; one for each"))
        naming, ids, positions = self._placed(batch, rows)
        columns["row"] = np.arange(self._rows, self._rows + rows)
        if ids is not None and positions is not None:
            columns |= {"sequence": ids, "position": positions}
        self._same_columns(columns)
        if self._naming not in (None, naming):
            raise ValueError(
                self._where(
                    "sequence_ids, offsets and positions must be given in every update or in none"
                )
            )
        self._agree_on(vocab)
        self._naming = naming
        if naming == ("ids", "derived") and ids is not None:
            self._note(ids)
        if batch.offsets is not None:
            self._sequences += np.size(batch.offsets) - 1
        if counted is not None:
            columns = {name: column[counted] for name, column in columns.items()}
        with_nan = np.zeros(columns["row"].size, np.bool_)
        for name, column in columns.items():
            if column.dtype.kind == "f" and name not in self._MAY_BE_NAN:
                with_nan |= np.isnan(column)
        self._nan_rows.extend(columns["row"][with_nan].tolist())
        self._columns.append(columns)
        self._rows += rows

    def _placed(
        self, batch: _Batch, rows: int
    ) -> tuple[tuple[str, str], NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Return how sequences are named, and the sequence and position of each row."""
        given = "derived" if batch.positions is None else "given"
        if batch.sequence_ids is None and batch.offsets is None:
            if batch.positions is not None:
                raise ValueError(self._where("positions take sequence_ids or offsets beside them"))
            return ("none", given), None, None
        if batch.sequence_ids is not None and batch.offsets is not None:
            raise ValueError(self._where("sequences have sequence_ids or offsets, not both"))
        if batch.sequence_ids is not None:
            naming, ids = "ids", self._integers("sequence_ids", batch.sequence_ids, rows)
        else:
            naming, sizes = "offsets", np.diff(self._offsets(batch.offsets, rows))
            ids = np.repeat(np.arange(sizes.size) + self._sequences, sizes)
        if batch.positions is not None:
            return (naming, given), ids, self._integers("positions", batch.positions, rows)
        groups = Sequences(ids)
        before = np.array([self._seen.get(i, 0) for i in groups.ids.tolist()], np.int64)
        positions = np.empty(rows, np.int64)
        positions[groups.original(np.arange(rows))] = np.arange(rows) + np.repeat(
            before - groups.starts, groups.sizes
        )
        return (naming, given), ids, positions

    def _offsets(self, offsets: ArrayLike | None, rows: int) -> NDArray[np.int64]:
        found = self._unmasked("offsets", offsets)
        if found.dtype.kind not in "iu":
            raise TypeError(self._where(f"offsets have dtype {found.dtype}; they are integers"))
        found = found.astype(np.int64)
        if found.ndim != 1 or not found.size or found[0] or (np.diff(found) < 0).any():
            raise ValueError(self._where("offsets begin at 0 and do not descend"))
        if found[-1] != rows:
            raise ValueError(self._where(f"offsets end at {found[-1]}; there are {rows} rows"))
        return found

    def _integers(self, argument: str, values: ArrayLike, rows: int) -> NDArray[np.int64]:
        found = self._unmasked(argument, values)
        if found.dtype.kind not in "iu" and found.size:
            raise TypeError(self._where(f"{argument} have dtype {found.dtype}; they are integers"))
        if found.size != rows:
            raise ValueError(self._where(f"{found.size} {argument} for {rows} rows; one for each"))
        return found.astype(np.int64).ravel()

    def _note(self, ids: NDArray[np.int64]) -> None:
        found, sizes = np.unique(ids, return_counts=True)
        for i, size in zip(found.tolist(), sizes.tolist(), strict=True):
            self._seen[i] = self._seen.get(i, 0) + size

    def _same_columns(self, given: Mapping[str, Column], function: str = "update") -> None:
        where = f"{type(self).__name__}.{function}"
        if not self._columns:
            return
        differing = set(self._columns) ^ set(given)
        if {"nll_base", "label"} & differing:
            raise ValueError(
                f"{where}: labels must be given in every update or in none"
                if function == "update"
                else f"{where}: only one of the two has labels"
            )
        if differing:
            names = ", ".join(sorted(differing))
            raise ValueError(f"{where}: {names} must be there in every update or in none")
        for name, column in given.items():
            if column.dtype != self._columns[name].dtype:
                raise TypeError(
                    f"{where}: {name} is {column.dtype} after {self._columns[name].dtype}"
                )

    def _agree_on(self, vocab: int | None) -> None:
        if self.vocab is not None and vocab is not None and self.vocab != vocab:
            raise ValueError(
                f"{type(self).__name__}: vocabulary of {vocab} after one of {self.vocab}"
            )
        self.vocab = vocab if self.vocab is None else self.vocab

    def merge(self, other: Self) -> Self:
        """Add the tokens of another meter; its rows are numbered on from here.

        A sequence id means the same sequence in both, and positions go on counting; sequences that
        were given by offsets are others in each.

        Parameters
        ----------
        other : same class
            Left as it is.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            `other` is another kind of meter.
        ValueError
            Its vocabulary, tail, columns or way of naming sequences differ.
        """
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__}.merge takes its own kind, not {type(other).__name__}"
            )
        if other._columns:
            self._same_columns(other.columns(), "merge")
        if self.tail != other.tail:
            raise ValueError(
                f"{type(self).__name__}.merge: tail {other.tail!r} into one of {self.tail!r}"
            )
        for option, value in self._measuring().items():
            if other._measuring()[option] != value:
                raise ValueError(
                    f"{type(self).__name__}.merge: {option} {other._measuring()[option]!r} into one"
                    f" of {value!r}"
                )
        if None not in (self._naming, other._naming) and self._naming != other._naming:
            raise ValueError(f"{type(self).__name__}.merge: sequences are named in another way")
        if self._rows and other._rows and (self._words is None) != (other._words is None):
            raise ValueError(f"{type(self).__name__}.merge: only one of the two has texts")
        self._agree_on(other.vocab)
        # Copies first, so that merging a meter with itself doubles it and ends.
        columns = {name: column.copy() for name, column in other.columns().items()}
        nan_rows, seen, sequences = list(other._nan_rows), dict(other._seen), other._sequences
        naming = other._naming or self._naming
        if columns:
            columns["row"] += self._rows
        if "sequence" in columns:
            if naming == ("ids", "derived"):
                ids, place = np.unique(columns["sequence"], return_inverse=True)
                before = np.array([self._seen.get(i, 0) for i in ids.tolist()], np.int64)
                columns["position"] += before[place]
            if naming is not None and naming[0] == "offsets":
                columns["sequence"] += self._sequences
        self._naming = naming
        for i, size in seen.items():
            self._seen[i] = self._seen.get(i, 0) + size
        self._sequences += sequences
        self._nan_rows.extend([self._rows + row for row in nan_rows])
        self._rows += other._rows
        self._words = _sum_of(self._words, other._words)
        self._bytes = _sum_of(self._bytes, other._bytes)
        if columns:
            self._columns.append(columns)
        return self

    def _all_options(self) -> dict[str, Any]:
        """Return what the constructor takes beside the tail."""
        return {**self._options}

    def _measuring(self) -> dict[str, Any]:
        """Return the options that the numbers depend on: they are reported, and merged never."""
        return {"temperature": self._options["temperature"]}

    # --- saved states ---

    def _packed(self) -> Any:
        header = {
            "kind": type(self).__name__,
            "tail": self.tail,
            "vocab": self.vocab,
            "options": self._all_options(),
            "extra": self.extra,
            "rows": self._rows,
            "naming": self._naming,
            "sequences": self._sequences,
            "words": self._words,
            "bytes": self._bytes,
            "columns": list(self._columns),
        }
        seen = sorted(self._seen.items())
        arrays = {f"column {name}": column for name, column in self.columns().items()}
        arrays["seen ids"] = np.array([i for i, _ in seen], np.int64)
        arrays["seen rows"] = np.array([size for _, size in seen], np.int64)
        arrays["nan rows"] = np.array(self._nan_rows, np.int64)
        return pack(header, arrays)

    def state(self) -> bytes:
        """Return all that the meter knows, for :meth:`from_state`; equal for equal meters.

        `extra`, a dictionary of what JSON can hold, is in it: how far a reader has come, say.

        Returns
        -------
        bytes
            With a version and a checksum; see :mod:`fastdiv.columns`.
        """
        return b"".join(self._packed())

    @classmethod
    def from_state(cls, state: bytes, *, name: str = "the state") -> Self:
        """Make a meter of what :meth:`state` returned. Nothing is unpickled.

        Parameters
        ----------
        state : bytes
        name : str
            What to call it in a message.

        Returns
        -------
        same class

        Raises
        ------
        ValueError
            Damaged, incomplete, of another version, or of another kind of meter.
        """
        header, arrays = unpack(state, name)
        if header.get("kind") != cls.__name__:
            raise ValueError(f"{name} is of a {header.get('kind')}, not of a {cls.__name__}")
        try:
            return cls._of(header, arrays)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name} does not hold what a {cls.__name__} needs") from error

    @classmethod
    def _of(cls, header: dict[str, Any], arrays: dict[str, Column]) -> Self:
        tail = {} if cls is PerplexityMeter else {"tail": header["tail"]}
        meter = cls(**tail, **header["options"])
        meter.vocab, meter.extra, meter._rows = header["vocab"], header["extra"], header["rows"]
        meter._naming = None if header["naming"] is None else tuple(header["naming"])
        meter._sequences = header["sequences"]
        meter._words, meter._bytes = header["words"], header["bytes"]
        meter._nan_rows = arrays["nan rows"].tolist()
        meter._seen = dict(
            zip(arrays["seen ids"].tolist(), arrays["seen rows"].tolist(), strict=True)
        )
        if header["columns"]:
            meter._columns.append({key: arrays[f"column {key}"] for key in header["columns"]})
        return meter

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`state` to a file: after a crash it is the old one or the new one.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        OSError
        """
        write(path, self._packed())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        same class

        Raises
        ------
        OSError
        ValueError
            As :meth:`from_state`.
        """
        return cls.from_state(Path(path).read_bytes(), name=os.fspath(path))

    def _valid(self) -> dict[str, Column]:
        """Return the columns without invalid rows."""
        columns = self.columns()
        if not self._nan_rows:
            return columns
        kept = ~np.isin(columns["row"], self._nan_rows)
        return {name: column[kept] for name, column in columns.items()}

    def _invalid(self) -> InvalidRows:
        return InvalidRows(len(self._nan_rows), tuple(self._nan_rows[:_ROWS_NAMED]))


class _Sample:
    """The valid rows of a meter, and every kind of figure of one of their columns."""

    def __init__(
        self, columns: Mapping[str, Column], confidence: float, tail: Tail = "none"
    ) -> None:
        self.columns = columns
        self.confidence = confidence
        self.tail = tail
        ids = columns.get("sequence")
        self.groups = None if ids is None else Sequences(ids)
        units = len(columns["row"]) if self.groups is None else len(self.groups)
        self.freedom = max(units - 1, 1)

    def interval(self, column: Column) -> ConfidenceInterval:
        best = mean(column, sequence_ids=self.groups)
        return best.interval(self.confidence, degrees_of_freedom=self.freedom)

    def distribution(self, quantity: _Quantity, *, signed: bool = False) -> Distribution:
        column = self.columns[quantity.column].astype(np.float64, copy=False)
        ordered = np.sort(column)
        levels = {name: q for name, q in QUANTILES.items() if signed or name not in _QUARTILES}
        if self.tail == "llama.cpp" and ordered.size:
            quantiles = {name: llama_cpp_quantile(ordered, q) for name, q in levels.items()}
        else:
            quantiles = {name: quantile(ordered, q, ordered=True) for name, q in levels.items()}
        inner = {name: q for name, q in levels.items() if 0 < q < 1}
        found = quantile_intervals(
            column,
            inner.values(),
            self.confidence,
            limits=quantity.limits,
            sequence_ids=self.groups,
        )
        # What lies outside the possible is in no interval.
        around, (least, most) = self.interval(column), quantity.limits
        around = around._replace(lower=max(around.lower, least), upper=min(around.upper, most))
        intervals = {"mean": around, **dict(zip(inner, found, strict=True))}
        rms = root_mean_square(column) if signed else None
        return Distribution(mean(column), rms, quantiles, intervals)

    def perplexity(self, groups: Sequences | None) -> PerplexityRatio:
        nll_base, nll_candidate = self.columns["nll_base"], self.columns["nll_candidate"]
        base = exp_of(mean(nll_base, sequence_ids=groups))
        candidate = exp_of(mean(nll_candidate, sequence_ids=groups))
        with np.errstate(invalid="ignore", over="ignore"):
            log_ratio = mean(nll_candidate - nll_base, sequence_ids=groups)
            paired_terms = candidate.value * nll_candidate - base.value * nll_base
            spread = mean(paired_terms, sequence_ids=groups).se
        return PerplexityRatio(
            base=base,
            candidate=candidate,
            ratio=exp_of(log_ratio),
            log_ratio=log_ratio,
            difference=Estimate(candidate.value - base.value, spread),
            log_correlation=correlation(nll_candidate, nll_base),
        )

    def perplexity_intervals(self) -> dict[str, ConfidenceInterval]:
        nll_base, nll_candidate = self.columns["nll_base"], self.columns["nll_candidate"]
        with np.errstate(invalid="ignore"):
            log_ratio = self.interval(nll_candidate - nll_base)
        return {
            "base": exp_interval(self.interval(nll_base)),
            "candidate": exp_interval(self.interval(nll_candidate)),
            "ratio": exp_interval(log_ratio),
            "log_ratio": log_ratio,
        }

    def buckets(self) -> dict[str, list[dict[str, Any]]]:
        found = {}
        if "position" in self.columns:
            found["position"] = self._by("position", quantiles=_POSITION_BUCKETS)
        if "confidence_base" in self.columns:
            found["confidence_base"] = self._by("confidence_base", edges=_CONFIDENCE_EDGES)
        return found

    def _by(self, name: str, **limits: Any) -> list[dict[str, Any]]:
        columns = {"kl_divergence": self.columns["kl"], "same_top": self.columns["same_top"]}
        if "nll_base" in self.columns:
            with np.errstate(invalid="ignore"):
                log_ratio = self.columns["nll_candidate"] - self.columns["nll_base"]
            columns |= {"log_ratio": log_ratio, "delta_p": self.columns["delta_p"]}
        ids = self.columns.get("sequence")
        rows: list[dict[str, Any]] = []
        for key, column in columns.items():
            buckets: list[Bucket] = by_bucket(
                column, self.columns[name], sequence_ids=ids, **limits
            )
            rows = rows or [{"lower": b.lower, "upper": b.upper, "count": b.count} for b in buckets]
            for row, bucket in zip(rows, buckets, strict=True):
                row[key] = bucket.mean
        return rows


class PerplexityMeter(_Meter):
    """Perplexity of a language model over any number of tokens.

    Parameters
    ----------
    ignore_index : int or None, default -100
        Rows with this label are not counted; None: every row is.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    dtype : {"bfloat16"}, optional
        Says that uint16 logits hold raw bfloat16 bits.
    temperature : float, default 1.0
        What the logits of every update are divided by.

    Notes
    -----
    perplexity = exp(μ), μ = mean of −ln p[label]; standard errors √((S2/n − μ²)/(n − 1)) and
    perplexity · se(μ). Per word and per byte: :mod:`fastdiv.text`.

    Examples
    --------
    >>> import numpy as np
    >>> meter = PerplexityMeter()
    >>> meter.update(np.zeros((4, 8)), [0, 1, 2, 3])
    >>> meter.update(np.zeros((2, 8)), [5, -100])
    >>> report = meter.compute()
    >>> report.tokens, round(report.perplexity.value, 12), round(report.bits_per_token, 12)
    (5, 8.0, 3.0)
    """

    def __init__(
        self,
        *,
        ignore_index: int | None = -100,
        vocab_size: int | None = None,
        dtype: str | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(
            ignore_index=ignore_index,
            vocab_size=vocab_size,
            dtype=dtype,
            temperature=temperature,
        )

    def update(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        *,
        sequence_ids: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
        texts: str | list[str] | None = None,
        words: int | None = None,
        size: int | None = None,
    ) -> None:
        """Add the rows of one batch.

        Parameters
        ----------
        logits : array_like, shape (…, vocabulary)
        labels : array_like of int, shape (…)
        sequence_ids, offsets, positions : array_like of int, optional
            As :meth:`ComparisonMeter.update`.
        texts : str or list of str, optional
            What these rows are the tokens of: for perplexity per word and per byte. A text that
            comes in several updates is given once, with any of them, and ``[]`` with the others.
        words, size : int, optional
            Instead of texts: their words and their bytes of UTF-8.

        Raises
        ------
        IndexError
            A label out of range; nothing has been added then.
        ValueError
            Another vocabulary than before.
        """
        nll = token_nll(logits, labels, **self._options)
        self.update_columns(
            nll,
            vocab=self._vocab_of(logits),
            counted=self._counted(labels, nll),
            labels=self._spread("labels", labels, nll),
            sequence_ids=self._spread("sequence_ids", sequence_ids, nll),
            offsets=offsets,
            positions=self._spread("positions", positions, nll),
            texts=texts,
            words=words,
            size=size,
        )

    def update_columns(
        self,
        nll: ArrayLike,
        *,
        vocab: int,
        counted: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
        texts: str | list[str] | None = None,
        words: int | None = None,
        size: int | None = None,
        further: Mapping[str, ArrayLike | None] | None = None,
    ) -> None:
        """Add tokens whose negative log-likelihood is known.

        Parameters
        ----------
        nll : array_like of float
            −ln p[label] of each row, in nats.
        vocab : int
            Size of the vocabulary.
        counted : array_like of bool, optional
            False for rows to leave out; all rows by default.
        labels, sequence_ids, offsets, positions, texts, words, size
            As :meth:`update`, of the rows one after the other.
        further : mapping of str to array_like, optional
            More columns to keep, one number per row (entropy, rank, …); None is none.
        """
        counts = self._text_counts(texts, words, size)
        columns: dict[str, Column] = {
            "nll": self._column("nll", nll).astype(np.float64, copy=False),
            **self._columns_of(further or {}),
        }
        self._append(
            columns,
            vocab=vocab,
            counted=self._mask(counted),
            batch=_Batch(self._labels(labels), sequence_ids, offsets, positions),
        )
        if counts is not None:
            self._words, self._bytes = (
                _sum_of(*x) for x in zip(self._counts(), counts, strict=True)
            )

    def _counts(self) -> tuple[int | None, int | None]:
        return self._words, self._bytes

    def _text_counts(
        self, texts: str | list[str] | None, words: int | None, size: int | None
    ) -> tuple[int, int] | None:
        if (words is None) != (size is None) or (texts is not None and words is not None):
            raise ValueError(self._where("give texts, or words and size, or none of them"))
        if self._rows and (self._words is None) != (texts is None and words is None):
            raise ValueError(self._where("texts must be given in every update or in none"))
        if texts is not None:
            return text_size(texts)
        return None if words is None or size is None else (int(words), int(size))

    def compute(self, *, confidence: float = 0.95) -> PerplexityReport:
        """Return the statistics of all tokens so far.

        Parameters
        ----------
        confidence : float, default 0.95
            Of the intervals: Student's of the mean, exp of its ends for the perplexity.

        Returns
        -------
        PerplexityReport
        """
        if not self._columns:
            columns: dict[str, Column] = {"nll": np.empty(0), "row": np.empty(0, np.int64)}
        else:
            columns = self._valid()
        sample = _Sample(columns, confidence)
        nll = mean(columns["nll"])
        best = mean(columns["nll"], sequence_ids=sample.groups)
        interval = best.interval(confidence, degrees_of_freedom=sample.freedom)
        sequences = by_sequence = None
        if sample.groups is not None:
            sequences = ClusteredErrors(
                len(sample.groups), {"nll": best, "perplexity": exp_of(best)}
            )
            each = sample.groups.sums(columns["nll"]) / sample.groups.sizes
            by_sequence = mean([exp_of(Estimate(x, 0.0)).value for x in each.tolist()])
        whole = Estimate(math.nan, math.nan) if self._nan_rows else best
        words, size, tokens = self._words, self._bytes, self.tokens
        return PerplexityReport(
            tokens=tokens,
            vocab=self.vocab,
            nll=nll,
            perplexity=exp_of(nll),
            bits_per_token=nll.value / math.log(2),
            invalid=self._invalid(),
            confidence=confidence,
            intervals={"nll": interval, "perplexity": exp_interval(interval)},
            sequences=sequences,
            sequence_mean_perplexity=by_sequence,
            words=words,
            bytes=size,
            word_perplexity=None if words is None else word_perplexity(whole, tokens, words),
            byte_perplexity=None if size is None else byte_perplexity(whole, tokens, size),
            bits_per_byte=None if size is None else bits_per_byte(whole, tokens, size),
            temperature=self._options["temperature"],
        )

    def to_dict(self) -> dict[str, Json]:
        """Return ``compute().to_dict()``."""
        return self.compute().to_dict()


class ComparisonMeter(_Meter):
    """Every statistic of a comparison of two language models on the same tokens.

    Parameters
    ----------
    tail : {"none", "bucket", "llama.cpp"}
        What the columns say about tokens whose probability is not known; see
        :mod:`fastdiv.tails`. It is "none" wherever all logits of both models are there.
    ignore_index : int or None, default -100
        Rows with this label are not counted; None: every row is.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    dtype : {"bfloat16"}, optional
        Says that uint16 logits hold raw bfloat16 bits.
    temperature : float, default 1.0
        What the logits of every update are divided by.
    weight : float, default 0.5
        Of the base in the mixture that `js` is the divergence to.
    fields : iterable of str
        Fields of :func:`fastdiv.compare_logits` to keep beside those of its default.
    top_k : int, default 10
        How many tokens the field `top_k_overlap` looks at.

    Notes
    -----
    With labels, n tokens, and nll_q, nll_b the negative log-likelihoods of candidate and base:

    - perplexity: exp μ ± perplexity·se; their correlation cov/(se_q·se_b);
    - log_ratio: μ_q − μ_b ± u, u = √(se_q² + se_b² − 2cov); ratio: exp of it ± ratio·u;
    - difference: ± √(U_q² + U_b² − 2·PPL_q·PPL_b·cov), U = PPL·se;
    - delta_p: e^−nll_q − e^−nll_b, with its root mean square r ± se(Δp²)/(2r).

    Of every divergence: mean, and quantiles interpolated linearly at p·(n − 1). Rows with the
    label `ignore_index` are in none of them, nor are invalid ones, which the report counts and
    names. The figures themselves are llama.cpp's; `intervals` and `sequences` of the report take
    into account that tokens of one sequence are correlated, where sequences are given.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> base = rng.normal(size=(6, 10))
    >>> meter = ComparisonMeter()
    >>> meter.update(base[:4], base[:4], [1, 2, 3, 4])
    >>> other = ComparisonMeter()
    >>> other.update(base[4:], base[4:], [5, 6])
    >>> report = meter.merge(other).compute()
    >>> report.tokens, report.kl_divergence.mean, report.same_top.value
    (6, Estimate(value=0.0, se=0.0), 1.0)
    >>> report.perplexity.ratio.value
    1.0
    """

    def __init__(
        self,
        *,
        tail: Tail = "none",
        ignore_index: int | None = -100,
        vocab_size: int | None = None,
        dtype: str | None = None,
        temperature: float = 1.0,
        weight: float = 0.5,
        fields: Iterable[str] = (),
        top_k: int = 10,
    ) -> None:
        super().__init__(
            tail=tail,
            ignore_index=ignore_index,
            vocab_size=vocab_size,
            dtype=dtype,
            temperature=temperature,
        )
        self._fields = _Fields(
            weight=float(weight_of("ComparisonMeter", weight)),
            fields=(fields,) if isinstance(fields, str) else tuple(fields),
            top_k=top_k,
        )

    def _all_options(self) -> dict[str, Any]:
        return {**self._options, **self._fields}

    def _measuring(self) -> dict[str, Any]:
        chosen: dict[str, Any] = {"weight": self._fields["weight"]}
        if "top_k_overlap" in self._fields["fields"]:
            chosen["top_k"] = self._fields["top_k"]
        return {**super()._measuring(), **chosen}

    def update(
        self,
        base: ArrayLike,
        candidate: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> None:
        """Add the rows of one batch of logits.

        Parameters
        ----------
        base, candidate : array_like, shape (…, vocabulary)
            P and Q.
        labels : array_like of int, shape (…), optional
            Without them there is no perplexity and no delta_p.
        sequence_ids : array_like of int, optional
            The sequence of each row; broadcasts to the shape (…). An id means the same sequence in
            every update.
        offsets : array_like of int, optional
            Instead of ids, for rows one after the other: where each sequence of this batch begins,
            and last the number of rows. Each is a sequence of its own.
        positions : array_like of int, optional
            Position of each row in its sequence; by default rows of a sequence are counted as they
            come, ignored ones, too. Without ids and offsets no sequence is assumed: rows are
            independent and have no position.

        Raises
        ------
        IndexError
            A label out of range; nothing has been added then.
        ValueError
            Shapes that do not match, another vocabulary than before, or what was given in an update
            before and not in this one.
        """
        chosen: dict[str, Any] = {**self._fields}
        usual = [name for name in _BY_DEFAULT if labels is not None or name not in _OF_LABELS]
        chosen["fields"] = (*usual, *self._fields["fields"])
        columns = compare_logits(base, candidate, labels, **self._options, **chosen)
        self.update_columns(
            columns,
            vocab=self._vocab_of(base),
            counted=None if labels is None else self._counted(labels, columns.kl),
            labels=self._spread("labels", labels, columns.kl),
            sequence_ids=self._spread("sequence_ids", sequence_ids, columns.kl),
            offsets=offsets,
            positions=self._spread("positions", positions, columns.kl),
        )

    def update_columns(
        self,
        columns: LogitComparison,
        *,
        vocab: int,
        counted: ArrayLike | None = None,
        p_tail: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        offsets: ArrayLike | None = None,
        positions: ArrayLike | None = None,
    ) -> None:
        """Add tokens that are already compared.

        Parameters
        ----------
        columns : LogitComparison
            From :func:`fastdiv.compare_logits` or :mod:`fastdiv.tails`; every field that is not
            None becomes a column.
        vocab : int
            Size of the vocabulary.
        counted : array_like of bool, optional
            False for rows to leave out; all rows by default.
        p_tail : array_like of float, optional
            Probability that the base gives to the tail bucket of each row.
        labels, sequence_ids, offsets, positions
            As :meth:`update`, of the rows one after the other; labels are kept as a column.
        """
        self._append(
            self._columns_of({**columns._asdict(), "p_tail": p_tail}),
            vocab=vocab,
            counted=self._mask(counted),
            batch=_Batch(self._labels(labels), sequence_ids, offsets, positions),
        )

    def compute(
        self, *, confidence: float = 0.95, noise_floor: "ComparisonMeter | None" = None
    ) -> ComparisonReport:
        """Return the statistics of all tokens so far.

        Parameters
        ----------
        confidence : float, default 0.95
            Of the intervals: Student's of the means (exp of its ends for perplexities), order
            statistics of the quantiles, Wilson's of same_top.
        noise_floor : ComparisonMeter, optional
            A meter of the base against a second run of the base on the same rows: its KL is
            subtracted token by token.

        Returns
        -------
        ComparisonReport
        """
        columns = self._valid() if self._columns else _no_rows()
        sample = _Sample(columns, confidence, self.tail)
        has_labels = "nll_base" in columns
        found = {name: sample.distribution(of) for name, of in _DIVERGENCES.items()}
        delta_p = sample.distribution(_DELTA_P, signed=True) if has_labels else None
        further = {
            name: sample.distribution(of) for name, of in _FURTHER.items() if of.column in columns
        }
        intervals: dict[str, dict[str, ConfidenceInterval]] = {}
        if has_labels:
            intervals["perplexity"] = sample.perplexity_intervals()
        distributions = {**found, **({} if delta_p is None else {"delta_p": delta_p}), **further}
        intervals |= {name: of.intervals for name, of in distributions.items()}
        same_top = columns["same_top"]
        intervals["same_top"] = {
            "value": fraction_interval(same_top, confidence, sequence_ids=sample.groups)
        }
        noise = None
        if noise_floor is not None:
            first, second = _same_rows("compute", self, noise_floor)
            noise = _noise(first, second, confidence)
        return ComparisonReport(
            tokens=self.tokens,
            vocab=self.vocab,
            tail=self.tail,
            perplexity=sample.perplexity(None) if has_labels else None,
            **found,
            delta_p=delta_p,
            same_top=fraction(same_top),
            p_tail=mean(columns["p_tail"]) if "p_tail" in columns else None,
            further=further,
            invalid=self._invalid(),
            confidence=confidence,
            intervals=intervals,
            sequences=self._clustered(sample, distributions.keys()),
            buckets=sample.buckets(),
            noise_floor=noise,
            options=self._measuring(),
        )

    def _clustered(self, sample: _Sample, names: Any) -> ClusteredErrors | None:
        if sample.groups is None:
            return None
        quantities = {**_DIVERGENCES, "delta_p": _DELTA_P, **_FURTHER}
        means = {
            name: mean(sample.columns[quantities[name].column], sequence_ids=sample.groups)
            for name in names
        }
        means["same_top"] = fraction(sample.columns["same_top"], sequence_ids=sample.groups)
        ratio = sample.perplexity(sample.groups) if "nll_base" in sample.columns else None
        return ClusteredErrors(len(sample.groups), means, ratio)

    def to_dict(self) -> dict[str, Json]:
        """Return ``compute().to_dict()``."""
        return self.compute().to_dict()


def compare_candidates(
    first: ComparisonMeter, second: ComparisonMeter, *, confidence: float = 0.95
) -> CandidateComparison:
    """Compare two candidates on one base, token by token.

    Parameters
    ----------
    first, second : ComparisonMeter
        Of the same rows of the same base. Rows that are invalid in either are left out of both.
    confidence : float, default 0.95

    Returns
    -------
    CandidateComparison
        Cluster-robust, with a sign test over the sequences, where the meters know them.

    Raises
    ------
    ValueError
        Meters of other rows, labels or sequences, or of another treatment of the tail.

    Examples
    --------
    >>> import numpy as np
    >>> base, noise = np.random.default_rng(0).normal(size=(2, 50, 10))
    >>> near, far = ComparisonMeter(), ComparisonMeter()
    >>> near.update(base, base + 0.1 * noise)
    >>> far.update(base, base + 0.2 * noise)
    >>> found = compare_candidates(near, far)
    >>> found.kl_divergence.interval.upper < 0, found.kl_divergence.sign_test.less
    (True, 50)
    """
    one, two = _same_rows("compare_candidates", first, second)
    ids = one.get("sequence")
    groups = None if ids is None else Sequences(ids)
    options: Any = {"sequence_ids": groups, "confidence": confidence}
    log_perplexity = ratio = interval = None
    if "nll_candidate" in one:
        log_perplexity = paired(one["nll_candidate"], two["nll_candidate"], **options)
        ratio = exp_of(log_perplexity.difference)
        interval = exp_interval(log_perplexity.interval)
    return CandidateComparison(
        tokens=len(one["row"]),
        kl_divergence=paired(one["kl"], two["kl"], **options),
        log_perplexity=log_perplexity,
        perplexity_ratio=ratio,
        perplexity_ratio_interval=interval,
    )


def _same_rows(
    function: str, first: ComparisonMeter, second: ComparisonMeter
) -> tuple[dict[str, Column], dict[str, Column]]:
    """Return the columns of both, of rows that are valid in both."""
    one, two = (m.columns() or _no_rows() for m in (first, second))
    if first.tail != second.tail:
        raise ValueError(f"{function}: tail {first.tail!r} against {second.tail!r}")
    for option, value in first._measuring().items():
        if second._measuring()[option] != value:
            other = second._measuring()[option]
            raise ValueError(f"{function}: {option} {value!r} against {other!r}")
    for name in ("row", "label", "sequence", "position"):
        if name in one and name in two and not np.array_equal(one[name], two[name]):
            raise ValueError(f"{function}: the meters differ in the column {name!r}")
    invalid = [*first.nan_rows, *second.nan_rows]
    if not invalid:
        return one, two
    kept = ~np.isin(one["row"], invalid)
    return tuple({name: x[kept] for name, x in columns.items()} for columns in (one, two))  # type: ignore[return-value]


def _noise(
    first: dict[str, Column], second: dict[str, Column], confidence: float
) -> PairedDifference:
    ids = first.get("sequence")
    return noise_floor(first["kl"], second["kl"], sequence_ids=ids, confidence=confidence)


def _no_rows() -> dict[str, Column]:
    columns: dict[str, Column] = {of.column: np.empty(0) for of in _DIVERGENCES.values()}
    return {**columns, "same_top": np.empty(0, np.bool_), "row": np.empty(0, np.int64)}


def _sum_of(x: int | None, y: int | None) -> int | None:
    return y if x is None else x if y is None else x + y
