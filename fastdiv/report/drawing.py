"""Drawing on axes: numbers in, marks out; nothing here is computed from tokens but where they lie.

Logarithms of KLD are drawn as log10 on linear axes, so that zero and infinity have places of their
own beside them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from fastdiv.report.style import (
    INK,
    MUTED,
    PAPER,
    Look,
    drawable,
    label_power,
    printable,
    shortened,
    superscript,
)
from fastdiv.report.summaries import (
    Bucket,
    Candidate,
    Column,
    Histogram,
    Mean,
    mean_of,
    quantiles_of,
    widened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Series",
    "draw_buckets",
    "draw_histogram",
    "draw_probabilities",
    "draw_quantiles",
    "draw_ranking",
    "estimate_text",
    "number_text",
]

_SCATTERED = 5000  # more points than this are drawn as a density
_RASTERISED = 1000  # more points than this are one image in a vector format
_HUGE = 1e100  # a logarithmic axis beyond it overflows in matplotlib
_WIDE = 20.0  # means further apart than this factor need a logarithm
_LEVELS = (50, 99, 90, 99.9, 99.99, 99.999, 1, 10, 0.1, 0.01, 0.001, 95, 5, 75, 25)


@dataclass(frozen=True)
class Series:
    """A candidate that has KLD, and how it is drawn."""

    candidate: Candidate
    look: Look
    kl: Column

    @property
    def name(self) -> str:
        """The candidate's name on one line."""
        return printable(self.candidate.name)

    @property
    def upper(self) -> Column | None:
        """The certified upper bounds of KLD, where `kl` is the lower ones."""
        return self.candidate.column("kl_upper") if self.candidate.bounded else None


def draw_histogram(axes: "Axes", series: list[Series], found: list[Histogram]) -> None:
    """Draw tokens per bin, zeros and infinities in places of their own."""
    edges = found[0].edges
    low, high = float(edges[0]), float(edges[-1])
    room = 0.09 * (high - low)
    ticks = _log_ticks(low, high) if any(each.counts.any() for each in found) else []
    below = [each.zeros + each.negative for each in found]
    above = [each.infinite for each in found]
    share = room / len(series)
    for place, (each, counted) in enumerate(zip(series, found, strict=True)):
        colour, dashes = each.look.colour, each.look.dashes
        if len(series) <= 3 and ticks:
            shade = 0.55 if len(series) == 1 else 0.15
            axes.stairs(counted.counts, edges, fill=True, color=colour, alpha=shade)
        if ticks:
            axes.stairs(counted.counts, edges, color=colour, linestyle=dashes, linewidth=1.4)
        for number, start in ((below[place], low - 2 * room), (above[place], high + room)):
            if number:
                axes.bar(
                    start + place * share, number, share, align="edge", color=colour, hatch="///",
                    edgecolor=INK, linewidth=0.5,
                )  # fmt: skip
        if len(series) == 1:
            for value, word in (
                (float(quantiles_of(each.kl, np.array([0.5]))[0]), "median"),
                (mean_of(each.kl).value, "mean"),
            ):
                if 0 < value < math.inf:
                    axes.axvline(
                        math.log10(value),
                        color=INK,
                        linewidth=1.2,
                        linestyle="--" if word == "mean" else ":",
                        label=f"{word} {number_text(value)}",
                    )
    if len(series) == 1 and axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", frameon=False)
    if any(below):
        word = "≤ 0" if any(each.negative for each in found) else "0"
        ticks = [(low - 1.5 * room, word), *ticks]
    if any(above):
        ticks = [*ticks, (high + 1.5 * room, "∞")]
    _set_ticks(axes, "x", ticks)
    axes.set_xlim(
        low - (2.4 if any(below) else 0.4) * room, high + (2.4 if any(above) else 0.4) * room
    )
    # Room for the lines' names above the bars.
    axes.set_ylim(0, axes.get_ylim()[1] * (1.22 if len(series) == 1 else 1.02))
    axes.set_ylabel("tokens per bin")
    axes.locator_params(axis="y", integer=True)
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")


def draw_quantiles(axes: "Axes", series: list[Series]) -> None:
    """Draw quantiles of KLD against their levels, whose axis is that of a normal variable."""
    normal = NormalDist()
    most = max(int(np.count_nonzero(~np.isnan(each.kl))) for each in series)
    reach = -normal.inv_cdf(0.5 / max(most, 5))
    scores = np.linspace(-reach, reach, 241)
    levels = np.array([normal.cdf(score) for score in scores])
    shown = []
    for each in series:
        line = _logs(quantiles_of(each.kl, levels))
        shown.append(line)
        axes.plot(scores, line, color=each.look.colour, linestyle=each.look.dashes, linewidth=1.8)
    low, high = _span(shown)
    for each, line in zip(series, shown, strict=True):
        if each.candidate.band is not None:
            at, lower, upper = (np.asarray(end, np.float64) for end in each.candidate.band)
            inside = (at > 0) & (at < 1)
            places = np.array([normal.inv_cdf(float(level)) for level in at[inside]])
            ends = _logs(lower[inside]), _logs(upper[inside])
            low, high = _span([np.array([low, high]), *ends])
            _shade(axes, places, *ends, (low, high), each.look.colour)
        top = each.upper
        if top is not None and (~np.isnan(top)).any():
            ends = line, _logs(quantiles_of(top, levels))
            low, high = _span([np.array([low, high]), *ends])
            _shade(axes, scores, *ends, (low, high), each.look.colour)
    margin = 0.04 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(-reach, reach)
    _set_ticks(axes, "y", _log_ticks(low, high))
    taken: list[tuple[float, str]] = []
    for percent in _LEVELS:
        score = normal.inv_cdf(percent / 100)
        near = 0.11 * 2 * reach
        if abs(score) <= reach and all(abs(score - other) > near for other, _ in taken):
            taken.append((score, f"{percent:g}%"))
    _set_ticks(axes, "x", taken)
    axes.set_xlabel("tokens with at most this KLD")


def _shade(
    axes: "Axes",
    places: Column,
    lower: Column,
    upper: Column,
    limits: tuple[float, float],
    colour: str,
) -> None:
    low, high = limits
    axes.fill_between(
        places,
        np.nan_to_num(lower, nan=low - 9, posinf=high + 9, neginf=low - 9),
        np.nan_to_num(upper, nan=low - 9, posinf=high + 9, neginf=low - 9),
        color=colour,
        alpha=0.2,
        linewidth=0,
    )


def draw_buckets(
    axes: "Axes", looks: Sequence[Look], lines: list[list[Bucket]], *, logarithm: bool = True
) -> None:
    """Draw means with bars of one standard error, a line per candidate."""
    finite = [[b.mean.value for b in line if math.isfinite(b.mean.value)] for line in lines]
    values = [value for line in finite for value in line]
    typical = [float(np.median(line)) for line in finite if line and logarithm]
    wide = bool(typical) and 0 < min(typical) * _WIDE < max(typical) and max(values) < _HUGE
    if wide:
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_major_formatter(lambda value, _: label_power(value))
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    infinite: list[tuple[float, Look]] = []
    widest = max((len(line) for line in lines), default=1)
    centres = [bucket.centre for line in lines for bucket in line]
    # Candidates stand a little beside each other, so that no bar hides another.
    step = (max(centres) - min(centres)) / max(widest, 2) * 0.12 if centres else 0.0
    for place, (look, line) in enumerate(zip(looks, lines, strict=True)):
        shift = (place - (len(lines) - 1) / 2) * step
        places = [bucket.centre + shift for bucket in line]
        means = [b.mean.value if math.isfinite(b.mean.value) else math.nan for b in line]
        errors = [0.0 if math.isnan(bucket.mean.se) else bucket.mean.se for bucket in line]
        axes.errorbar(
            places,
            means,
            yerr=errors,
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=5,
            linewidth=1.2,
            elinewidth=1.4,
            capsize=2.5,
        )
        infinite += [
            (at, look)
            for at, bucket in zip(places, line, strict=True)
            if math.isinf(bucket.mean.value)
        ]
    if centres:
        # Said, since a mean that is infinite makes no room for itself.
        margin = 0.05 * (max(centres) - min(centres)) or 1.0
        axes.set_xlim(min(centres) - margin, max(centres) + margin)
    if not values:
        axes.set_yticks([])
    elif not any(values):
        axes.set_ylim(0, 1)
    elif not wide and min(values) >= 0:
        axes.set_ylim(0, None)
    if infinite and values:
        # Room above the finite ones, so that neither is taken for the other.
        _extend(axes, "y", 0.16)
    for at, look in infinite:
        axes.text(
            at,
            0.99,
            "∞",
            transform=axes.get_xaxis_transform(),
            color=look.colour,
            ha="center",
            va="top",
            fontsize=13,
            fontweight="bold",
        )


def draw_probabilities(axes: "Axes", base: Column, other: Column, look: Look) -> None:
    """Draw one probability against another, many points as a density."""
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", zorder=3)
    if base.size > _SCATTERED:
        _draw_density(axes, base, other, look)
    else:
        axes.scatter(
            base,
            other,
            s=14 if base.size > 300 else 22,
            color=look.colour,
            marker=look.marker,
            alpha=0.45 if base.size > 300 else 0.7,
            linewidths=0,
            rasterized=base.size > _RASTERISED,
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)


def _draw_density(axes: "Axes", base: Column, other: Column, look: Look) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

    edges = np.linspace(0, 1, 81)
    counts, _, _ = np.histogram2d(np.clip(base, 0, 1), np.clip(other, 0, 1), (edges, edges))
    colour = to_rgb(look.colour)
    # Opacity, not lightness, tells the density: it reads on light and on dark paper.
    shades = LinearSegmentedColormap.from_list("density", [(*colour, 0.1), (*colour, 1.0)])
    drawn = axes.pcolormesh(
        edges,
        edges,
        np.ma.masked_equal(counts.T, 0),
        cmap=shades,
        norm=LogNorm(1, max(2.0, float(counts.max()))),
        rasterized=True,
        linewidth=0,
    )
    figure = axes.get_figure()
    if figure is None:
        raise ValueError("a density is drawn on the axes of a figure")
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30, format=lambda v, _: superscript(v))
    bar.set_label("tokens per cell")
    bar.minorticks_off()
    bar.outline.set_visible(False)


def draw_ranking(
    axes: "Axes",
    rows: list[tuple[Candidate, Mean]],
    looks: dict[int, Look],
    axis: str,
    *,
    zero: bool = False,
) -> None:
    """Draw a mean a row, with bars of one and two standard errors."""
    if zero:
        axes.axvline(0, color=INK, linewidth=1, linestyle="--")
    finite = [mean.value for _, mean in rows if math.isfinite(mean.value)]
    if not zero and finite and 0 < min(finite) * _WIDE < max(finite) < _HUGE:
        axes.set_xscale("log", nonpositive="clip")
        axes.xaxis.set_major_formatter(lambda value, _: label_power(value))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    for place, (candidate, mean) in enumerate(rows):
        look = looks[id(candidate)]
        if not math.isfinite(mean.value):
            axes.text(
                0.97, place, "∞" if mean.value > 0 else "no mean",
                transform=axes.get_yaxis_transform(), ha="right", va="center", color=look.colour,
            )  # fmt: skip
            continue
        if math.isfinite(mean.se):
            for times, width in ((2, 1.3), (1, 4.0)):
                axes.plot(
                    [mean.value - times * mean.se, mean.value + times * mean.se],
                    [place, place],
                    color=look.colour,
                    linewidth=width,
                    solid_capstyle="butt",
                )
        axes.plot([mean.value], [place], color=look.colour, marker=look.marker, markersize=8)
        error = mean.se if math.isfinite(mean.se) else 0.0
        axes.annotate(
            estimate_text(mean),
            (mean.value + 2 * error, place),
            (9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0},
        )
    axes.margins(x=0.06)
    _extend(axes, "x", 0.42)
    if not finite:
        axes.set_xticks([])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    names = [shortened(drawable(printable(candidate.name))) for candidate, _ in rows]
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(axis)


def _extend(axes: "Axes", which: str, part: float) -> None:
    """Make an axis longer at its upper end, whatever its scale."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    scale = axis.get_transform()
    low, high = scale.transform(np.array(axis.get_view_interval()))
    end = float(scale.inverted().transform(np.array([high + part * (high - low)]))[0])
    axes.set(**{f"{which}lim": (None, end)})


def _logs(values: Column) -> Column:
    """log10, with −inf for 0 and NaN for what is below it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log10(values))


def _span(lines: Sequence[Column]) -> tuple[float, float]:
    together = np.concatenate(lines)
    together = together[np.isfinite(together)]
    if not together.size:
        return -1.0, 0.0
    low, high = float(together.min()), float(together.max())
    return widened(low, high)


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return places and labels on an axis of log10, six or so."""
    decades = high - low
    if decades >= 2.5:
        stride = math.ceil(decades / 7)
        powers = range(math.ceil(low / stride) * stride, math.floor(high) + 1, stride)
        return [(float(power), label_power(10.0**power)) for power in powers]
    steps = (1, 2, 5) if decades >= 0.8 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    marks = [
        (math.log10(step) + power, label_power(step * 10.0**power))
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in steps
    ]
    return [mark for mark in marks if low <= mark[0] <= high]


def _set_ticks(axes: "Axes", which: str, ticks: list[tuple[float, str]]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([place for place, _ in ticks], [label for _, label in ticks])


def number_text(value: float) -> str:
    """Return a number of four digits."""
    return "∞" if value == math.inf else f"{value:.4g}"


def estimate_text(mean: Mean) -> str:
    """Return a value and its error, with two digits of the latter."""
    if not math.isfinite(mean.value):
        return "∞" if mean.value > 0 else "–"
    if not (0 < mean.se < math.inf):
        return f"{mean.value:.4g}"
    digits = 1 - math.floor(math.log10(mean.se))
    if not 0 <= digits <= 6:
        return f"{mean.value:.3g} ± {mean.se:.2g}"
    return f"{mean.value:.{digits}f} ± {mean.se:.{digits}f}"
