"""The panels of a report: each knows its numbers, says them in words, and draws them on axes.

A panel whose columns are missing is not made. What a picture cannot show to scale (zeros,
infinities, NaN, panels left out) is in its note.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastdiv.report.drawing import (
    Series,
    draw_buckets,
    draw_histogram,
    draw_probabilities,
    draw_quantiles,
    draw_ranking,
    estimate_text,
    number_text,
)
from fastdiv.report.style import Look, look_of, printable, shortened
from fastdiv.report.summaries import (
    Bucket,
    Candidate,
    Column,
    Histogram,
    Mean,
    buckets_of,
    confidence_edges,
    histograms_of,
    mean_of,
    paired_difference,
    position_edges,
    quantiles_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Panel", "kind_of_errors", "panels_of", "ranking_of"]

_FULL_PANELS = 6  # candidates that get a panel of their own


@dataclass(frozen=True)
class Panel:
    """One picture: what it is called, what it says, and how it is drawn.

    Attributes
    ----------
    key : str
        A name for identifiers.
    title, note, text : str
        Heading; what must be known to read it; what it shows, in words.
    draw : callable
        Takes the axes.
    """

    key: str
    title: str
    note: str
    text: str
    draw: "Callable[[Axes], None]"


def panels_of(candidates: Sequence[Candidate]) -> list[Panel]:
    """Return every panel that the columns suffice for."""
    series = [
        Series(candidate, look_of(place), candidate.kl)
        for place, candidate in enumerate(candidates)
        if candidate.kl is not None and (~np.isnan(candidate.kl)).any()
    ]
    made = [
        *_ranking(series),
        *_histogram(series),
        *_quantiles(series),
        *_by_position(series),
        *_by_confidence(series),
        *_same_top(candidates),
        *_probabilities(candidates),
    ]
    return made


def ranking_of(candidates: Sequence[Candidate]) -> list[tuple[Candidate, Mean, Mean | None]]:
    """Return candidates from the smallest mean KLD on, each with its difference to the first.

    The difference is paired: of the same tokens. It is None for the first one. What has no mean,
    all its tokens being NaN, comes last.
    """
    found = [
        (candidate, mean_of(candidate.kl, candidate.sequence))
        for candidate in candidates
        if candidate.kl is not None
    ]
    found.sort(key=lambda each: (math.isnan(each[1].value), each[1].value))
    return [
        (candidate, mean, None if not place else paired_difference(candidate, found[0][0]))
        for place, (candidate, mean) in enumerate(found)
    ]


def _histogram(series: list[Series]) -> list[Panel]:
    if not series:
        return []
    found = histograms_of([each.kl for each in series])

    def draw(axes: "Axes") -> None:
        draw_histogram(axes, series, found)
        axes.set_xlabel(_kld_axis(series))

    middle = [float(quantiles_of(each.kl, np.array([0.5]))[0]) for each in series]
    said = "; ".join(
        f"{each.name}: {_tokens(each.kl.size)}, median {number_text(median)}"
        for each, median in zip(series, middle, strict=True)
    )
    return [
        Panel(
            "kld-histogram",
            "How KLD is distributed",
            _sentences(_outside(series, found), _tail(series), _bound(series)),
            f"Histogram of KLD per token, in nats, on a logarithmic axis. {said}.",
            draw,
        )
    ]


def _quantiles(series: list[Series]) -> list[Panel]:
    if not any(((each.kl > 0) & np.isfinite(each.kl)).any() for each in series):
        return []

    def draw(axes: "Axes") -> None:
        draw_quantiles(axes, series)
        axes.set_ylabel(_kld_axis(series))

    said = "; ".join(
        f"{each.name}: "
        + ", ".join(
            f"{word} {number_text(float(value))}"
            for word, value in zip(
                ("median", "90 %", "99 %", "maximum"),
                quantiles_of(each.kl, np.array([0.5, 0.9, 0.99, 1.0])),
                strict=True,
            )
        )
        for each in series
    )
    notes = []
    if any(each.candidate.band is not None for each in series):
        notes.append("Shaded: confidence band")
    if any(each.upper is not None for each in series):
        notes.append("Shaded: between the quantiles of the certified bounds")
    if any((each.kl <= 0).any() or (each.kl == np.inf).any() for each in series):
        notes.append("A line is drawn where KLD is above 0 and finite")
    return [
        Panel(
            "kld-quantiles",
            "Quantiles of KLD",
            _sentences(*notes, _bound(series)),
            f"Quantiles of KLD in nats; levels on a normal probability axis. {said}.",
            draw,
        )
    ]


def _by_position(series: list[Series]) -> list[Panel]:
    having = [each for each in series if "position" in each.candidate.columns]
    if not having:
        return []
    edges = position_edges([_column(each.candidate, "position") for each in having])
    title = "Mean KLD by position"
    return [_kld_by(having, "position", edges, "by-position", title, "position in the sequence")]


def _by_confidence(series: list[Series]) -> list[Panel]:
    having = [each for each in series if "confidence_base" in each.candidate.columns]
    if not having:
        return []
    return [
        _kld_by(
            having,
            "confidence_base",
            confidence_edges(),
            "by-confidence",
            "Mean KLD by confidence of the base",
            "base's probability of its top token",
        )
    ]


def _kld_by(
    series: list[Series], name: str, edges: Column, key: str, title: str, axis: str
) -> Panel:
    lines = [
        buckets_of(each.kl, _column(each.candidate, name), edges, each.candidate.sequence)
        for each in series
    ]

    def draw(axes: "Axes") -> None:
        draw_buckets(axes, [each.look for each in series], lines)
        axes.set_xlabel(axis)
        axes.set_ylabel(f"mean {_kld_axis(series)}")
        if name == "confidence_base":
            axes.set_xlim(-0.02, 1.02)
        else:
            axes.locator_params(axis="x", integer=True)

    said = "; ".join(
        f"{each.name}: from {number_text(line[0].mean.value)} nats at {line[0].centre:.3g}"
        f" to {number_text(line[-1].mean.value)} at {line[-1].centre:.3g}"
        for each, line in zip(series, lines, strict=True)
        if line
    )
    return Panel(
        key,
        title,
        _sentences(_errors([each.candidate for each in series]), _infinite(lines), _bound(series)),
        f"{title}, in nats, with standard errors. {said}.",
        draw,
    )


def _same_top(candidates: Sequence[Candidate]) -> list[Panel]:
    having = [
        (candidate, look_of(place))
        for place, candidate in enumerate(candidates)
        if {"same_top", "confidence_base"} <= candidate.columns.keys()
    ]
    lines = [
        buckets_of(
            100 * _column(candidate, "same_top"),
            _column(candidate, "confidence_base"),
            confidence_edges(),
            candidate.sequence,
        )
        for candidate, _ in having
    ]
    if not any(lines):
        return []

    def draw(axes: "Axes") -> None:
        draw_buckets(axes, [look for _, look in having], lines, logarithm=False)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-3, 103)
        axes.set_xlabel("base's probability of its top token")
        axes.set_ylabel("same top token (%)")

    overall = "; ".join(
        f"{printable(candidate.name)}: {100 * mean_of(_column(candidate, 'same_top')).value:.1f} %"
        for candidate, _ in having
    )
    return [
        Panel(
            "same-top",
            "Same top token by confidence of the base",
            _sentences(_errors([candidate for candidate, _ in having])),
            "Share of tokens for which both models rank the same token first, in per cent, by the"
            f" base's probability of its top token. Over all tokens: {overall}.",
            draw,
        )
    ]


def _probabilities(candidates: Sequence[Candidate]) -> list[Panel]:
    having = [
        (candidate, look_of(place))
        for place, candidate in enumerate(candidates)
        if {"nll_base", "nll_candidate"} <= candidate.columns.keys()
    ]
    made: list[Panel] = []
    for number, (candidate, look) in enumerate(having[:_FULL_PANELS]):
        base = np.exp(-_column(candidate, "nll_base"))
        other = np.exp(-_column(candidate, "nll_candidate"))
        if not np.isnan(base + other).all():
            alone = len(candidates) == 1
            made.append(_probability_panel(candidate, look, base, other, number, alone=alone))
    if len(having) > _FULL_PANELS and made:
        last = made[-1]
        more = f"{len(having) - _FULL_PANELS} more candidates have no such panel"
        made[-1] = Panel(last.key, last.title, _sentences(last.note, more), last.text, last.draw)
    return made


def _probability_panel(
    candidate: Candidate, look: Look, base: Column, other: Column, number: int, *, alone: bool
) -> Panel:
    change = mean_of(100 * (other - base), candidate.sequence)
    known = ~np.isnan(base + other)
    base, other = base[known], other[known]
    name = printable(candidate.name)
    root = 100 * math.sqrt(float(np.square(other - base).mean()))

    def draw(axes: "Axes") -> None:
        draw_probabilities(axes, base, other, look)
        axes.set_xlabel("base's probability of the label")
        axes.set_ylabel("candidate's probability of the label")

    words = f"mean Δp {change.value:.3f} %, RMS Δp {root:.3f} %".replace("-", "−")
    lower = 100 * float((other < base).mean())
    return Panel(
        f"delta-p-{number}",
        "Probability of the label (Δp)" if alone else f"Δp: {shortened(candidate.name)}",
        _sentences(f"{_tokens(base.size)}; {words}", "Below the dashed line the candidate lost"),
        f"Probability of the label under the base against that under {name}:"
        f" {words}; lower than the base's for {lower:.1f} % of {_tokens(base.size)}.",
        draw,
    )


def _ranking(series: list[Series]) -> list[Panel]:
    if len(series) < 2:
        return []
    order = ranking_of([each.candidate for each in series])
    looks = {id(each.candidate): each.look for each in series}
    candidates = [candidate for candidate, _, _ in order]
    best = printable(candidates[0].name)
    note = f"Thick bars: ± 1 standard error, thin ones ± 2, {kind_of_errors(candidates)}"
    means = [(c, mean) for c, mean, _ in order]
    panels = [
        Panel(
            "ranking",
            "Candidates by mean KLD",
            _sentences(note, _bound(series)),
            "Mean KLD of each candidate, smallest first: "
            + "; ".join(f"{printable(c.name)} {estimate_text(mean)} nats" for c, mean in means)
            + ".",
            lambda axes: draw_ranking(axes, means, looks, f"mean {_kld_axis(series)}"),
        )
    ]
    paired = [(c, gap) for c, _, gap in order if gap is not None and gap.tokens]
    left_out = len(order) - 1 - len(paired)
    if paired:
        panels.append(
            Panel(
                "differences",
                f"Paired difference to {shortened(candidates[0].name)}",
                _sentences(
                    "Over the same tokens",
                    note,
                    f"Not paired: {left_out} of {len(order) - 1}" if left_out else "",
                ),
                f"Mean difference of KLD to {best}, token by token: "
                + "; ".join(f"{printable(c.name)} {estimate_text(gap)} nats" for c, gap in paired)
                + ".",
                lambda axes: draw_ranking(
                    axes, paired, looks, "mean difference of KLD (nats)", zero=True
                ),
            )
        )
    return panels


def _column(candidate: Candidate, name: str) -> Column:
    found = candidate.column(name)
    if found is None:
        raise KeyError(name)
    return found


def _outside(series: list[Series], found: list[Histogram]) -> str:
    told = []
    for each, counted in zip(series, found, strict=True):
        parts = [
            f"{number:,} {word}"
            for number, word in (
                (counted.zeros, "exactly 0"),
                (counted.negative, "negative"),
                (counted.infinite, "infinite"),
                (counted.nan, "NaN (in no bin)"),
            )
            if number
        ]
        if parts:
            told.append((f"{each.name}: " if len(series) > 1 else "") + ", ".join(parts))
    tokens = sorted({each.kl.size for each in series})
    size = _tokens(tokens[0]) if len(tokens) == 1 else ""
    return "; ".join(part for part in (size, *told) if part)


def _tail(series: list[Series]) -> str:
    told = [
        f"{100 * mean_of(tail).value:.3g} %"
        for each in series
        if (tail := each.candidate.column("p_tail")) is not None and tail.size
    ]
    return f"Mean tail of the base: {', '.join(dict.fromkeys(told))}" if told else ""


def kind_of_errors(candidates: Sequence[Candidate]) -> str:
    """Return what the standard errors take as independent, in words."""
    groups = sorted({0 if c.sequence is None else int(c.sequence.max()) + 1 for c in candidates})
    if groups == [0]:
        return "of independent tokens"
    if 0 in groups:
        return "clustered by sequence where sequences are known"
    return f"clustered by {' or '.join(f'{group:,}' for group in groups)} sequences"


def _errors(candidates: Sequence[Candidate]) -> str:
    return f"Bars: ± 1 standard error, {kind_of_errors(candidates)}"


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number:,} tokens"


def _sentences(*parts: str) -> str:
    told = [part[0].upper() + part[1:] for part in parts if part]
    return ". ".join(part.rstrip(".") for part in told) + ("." if told else "")


def _infinite(lines: list[list[Bucket]]) -> str:
    above = any(bucket.mean.value == math.inf for line in lines for bucket in line)
    return "∞: a token there has infinite KLD" if above else ""


def _kld_axis(series: list[Series]) -> str:
    return "lower bound of KLD (nats)" if _bound(series) else "KLD (nats)"


def _bound(series: list[Series]) -> str:
    bounded = [each.name for each in series if each.candidate.bounded]
    if not bounded:
        return ""
    if len(bounded) == len(series):
        return "Only top-k is known: certified lower bounds of KLD"
    return f"Lower bounds of KLD for {', '.join(bounded)}"
