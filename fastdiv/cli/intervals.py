"""Statistics of rows of which only the most probable tokens are known: certified intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.columns import Column
from fastdiv.meters import _Batch, _Meter
from fastdiv.sums import Sequences
from fastdiv.topk import TopKComparison
from fastdiv.uncertainty import (
    Estimate,
    Json,
    exp_of,
    fraction,
    json_number,
    mean,
    quantile,
)

__all__ = ["IntervalMeter", "IntervalReport", "Limits"]

_DIVERGENCES = {
    "kl_divergence": "kl",
    "reverse_kl_divergence": "reverse_kl",
    "js_divergence": "js",
    "total_variation": "tv",
}
_QUANTILES = {
    "max": 1.0,
    "p99.9": 0.999,
    "p99": 0.99,
    "p95": 0.95,
    "p90": 0.9,
    "median": 0.5,
    "p10": 0.1,
    "p5": 0.05,
    "p1": 0.01,
    "p0.1": 0.001,
    "min": 0.0,
}
_OF_LABELS = ("nll_base", "nll_candidate", "delta_p")


@dataclass(frozen=True)
class Limits:
    """Where a divergence is: limits of its mean, and of its quantiles."""

    lower: Estimate
    upper: Estimate
    quantiles: dict[str, tuple[float, float]]

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"mean": {"lower", "upper"}, "max": {"lower", "upper"}, …}``."""
        quantiles: dict[str, Json] = {
            name: {"lower": json_number(lower), "upper": json_number(upper)}
            for name, (lower, upper) in self.quantiles.items()
        }
        return {
            "mean": {"lower": self.lower.to_dict(), "upper": self.upper.to_dict()},
            **quantiles,
        }


@dataclass(frozen=True)
class IntervalReport:
    """What is certain of a comparison in which tails are not known.

    `labels_known` counts the tokens whose probability both sides say; perplexities are there only
    if these are all.
    """

    tokens: int
    vocab: int | None
    tail_ratio: float | None
    divergences: dict[str, Limits]
    perplexity: dict[str, Estimate] | None
    labels_known: int
    same_top: tuple[Estimate, Estimate]
    p_tail: Estimate
    invalid: Any
    sequences: int | None

    def to_dict(self) -> dict[str, Json]:
        """Return the object that ``fastdiv compare --json`` prints for files of top tokens."""
        ratio: dict[str, Json] | None = None
        if self.perplexity is not None:
            ratio = {name: found.to_dict() for name, found in self.perplexity.items()}
        lower, upper = self.same_top
        return {
            "tokens": self.tokens,
            "vocab": self.vocab,
            "tail": "top-k",
            "tail_ratio": self.tail_ratio,
            "perplexity": ratio,
            "labels_known": self.labels_known,
            **{name: found.to_dict() for name, found in self.divergences.items()},
            "same_top": {"lower": lower.to_dict(), "upper": upper.to_dict()},
            "p_tail": self.p_tail.to_dict(),
            "invalid": self.invalid.to_dict(),
            "sequences": self.sequences,
        }


class IntervalMeter(_Meter):
    """Columns of :func:`fastdiv.topk.compare_topk`, and their means with limits.

    Examples
    --------
    >>> from fastdiv.topk import compare_topk, top_k
    >>> p, q = np.log([[0.5, 0.3, 0.1, 0.1]]), np.log([[0.4, 0.4, 0.15, 0.05]])
    >>> meter = IntervalMeter()
    >>> meter.update(compare_topk(top_k(p, 2), top_k(q, 1)), vocab=4)
    >>> meter.compute().divergences["kl_divergence"].upper.value
    inf
    """

    _MAY_BE_NAN: ClassVar[frozenset[str]] = frozenset(_OF_LABELS)

    def update(
        self,
        found: TopKComparison,
        *,
        vocab: int | None,
        labels: NDArray[np.int64] | None = None,
        sequence_ids: ArrayLike | None = None,
        ignore_index: int = -100,
    ) -> None:
        """Add rows that are already compared."""
        columns: dict[str, Column] = dict(found._asdict())
        if labels is None:
            columns = {name: column for name, column in columns.items() if name not in _OF_LABELS}
        self._append(
            columns,
            # None is no size that could disagree with another.
            vocab=vocab,  # type: ignore[arg-type]
            counted=None if labels is None else labels != ignore_index,
            batch=_Batch(None if labels is None else labels.copy(), sequence_ids, None, None),
        )

    def compute(self, *, tail_ratio: float | None = None) -> IntervalReport:
        """Return what is certain of the rows so far."""
        columns = self._valid()
        ids = columns.get("sequence")
        groups = None if ids is None else Sequences(ids)
        same, undecided = columns["same_top"], columns["undecided"]
        known = 0
        perplexity = None
        if "nll_base" in columns:
            said = ~(np.isnan(columns["nll_base"]) | np.isnan(columns["nll_candidate"]))
            known = int(said.sum())
            if said.all() and said.size:
                perplexity = _perplexities(columns, groups)
        return IntervalReport(
            tokens=self.tokens,
            vocab=self.vocab,
            tail_ratio=tail_ratio,
            divergences={name: _limits(columns, of, groups) for name, of in _DIVERGENCES.items()},
            perplexity=perplexity,
            labels_known=known,
            same_top=(
                fraction(same, sequence_ids=groups),
                fraction(same | undecided, sequence_ids=groups),
            ),
            p_tail=mean(columns["p_tail"], sequence_ids=groups),
            invalid=self._invalid(),
            sequences=None if groups is None else len(groups),
        )


def _limits(columns: Mapping[str, Column], of: str, groups: Sequences | None) -> Limits:
    lower, upper = columns[f"{of}_lower"], columns[f"{of}_upper"]
    sorted_lower, sorted_upper = np.sort(lower), np.sort(upper)
    return Limits(
        mean(lower, sequence_ids=groups),
        mean(upper, sequence_ids=groups),
        {
            name: (
                quantile(sorted_lower, level, ordered=True),
                quantile(sorted_upper, level, ordered=True),
            )
            for name, level in _QUANTILES.items()
        },
    )


def _perplexities(columns: Mapping[str, Column], groups: Sequences | None) -> dict[str, Estimate]:
    base, candidate = columns["nll_base"], columns["nll_candidate"]
    with np.errstate(invalid="ignore"):
        log_ratio = mean(candidate - base, sequence_ids=groups)
    return {
        "base": exp_of(mean(base, sequence_ids=groups)),
        "candidate": exp_of(mean(candidate, sequence_ids=groups)),
        "ratio": exp_of(log_ratio),
        "log_ratio": log_ratio,
    }
