"""Reports as tables for people, within 80 columns; the names are those of llama.cpp's report."""

import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastdiv.cli.intervals import IntervalReport
from fastdiv.meter_reports import (
    QUANTILE_TITLES,
    CandidateComparison,
    ComparisonReport,
    Distribution,
    PerplexityReport,
)
from fastdiv.uncertainty import ConfidenceInterval, Estimate, PairedDifference

__all__ = [
    "comparison_table",
    "facts_table",
    "interval_report_table",
    "intervals_table",
    "noise_table",
    "paired_table",
    "perplexity_table",
    "ranking_table",
    "sweep_table",
    "worst_table",
]

_LONGEST_NAME = 18
_OF_INTERVALS = ("KLD", "Reverse KL", "JS", "TV")


def comparison_table(report: ComparisonReport) -> RenderableType:
    """Return every statistic of a comparison."""
    parts: list[RenderableType] = [_size(report.tokens, report.vocab, f"tail: {report.tail}")]
    if report.perplexity is not None:
        parts += [_heading("Perplexity"), _perplexities(report)]
    parts += [_heading("Per token; KLD, reverse KL and JS in nats"), _distributions(report)]
    shares = _pairs()
    shares.add_row("Same top p", *_percent(report.same_top))
    if report.p_tail is not None:
        shares.add_row("Mean tail of base", *_percent(report.p_tail))
    asked = {
        "chi2_divergence": "Mean χ²",
        "rank_base": "Mean rank of the label, base",
        "rank_candidate": "Mean rank of the label, Q",
        "top_k_overlap": f"Mean overlap of the top {report.options.get('top_k')}",
    }
    for name, shown in asked.items():
        if name in report.further:
            shares.add_row(shown, *_plain(report.further[name].mean))
    return Group(*parts, Text(), shares)


def perplexity_table(report: PerplexityReport) -> RenderableType:
    """Return every statistic of one model."""
    table = _pairs()
    table.add_row("Mean PPL", *_plain(report.perplexity))
    table.add_row("Mean NLL (nats)", *_plain(report.nll))
    table.add_row("Bits per token", _decimal(report.bits_per_token), "")
    further = {
        "Mean PPL of the sequences": report.sequence_mean_perplexity,
        "PPL per word": report.word_perplexity,
        "PPL per byte": report.byte_perplexity,
        "Bits per byte": report.bits_per_byte,
    }
    for name, found in further.items():
        if found is not None:
            table.add_row(name, *_plain(found))
    if report.sequences is not None:
        table.add_row("PPL, interval", *_ends(report.intervals["perplexity"]))
        said = _kind_of_intervals(report.confidence, report.sequences.count)
        return Group(_size(report.tokens, report.vocab), Text(), table, Text(f"({said})"))
    return Group(_size(report.tokens, report.vocab), Text(), table)


def intervals_table(report: ComparisonReport) -> RenderableType:
    """Return the intervals of the figures that decide, and what they take for independent."""
    found = report.intervals
    table = _pairs()
    ratio = found.get("perplexity", {}).get("ratio")
    if ratio is not None:
        table.add_row("Mean PPL(Q)/PPL(base)", *_ends(ratio))
    table.add_row("Mean KLD", *_ends(found["kl_divergence"]["mean"]))
    for name in ("median", "p99"):
        table.add_row(f"{QUANTILE_TITLES[name]} KLD", *_ends(found["kl_divergence"][name]))
    if "delta_p" in found:
        table.add_row("Mean Δp, %", *_ends(found["delta_p"]["mean"], 100, 3))
    table.add_row("Same top p, %", *_ends(found["same_top"]["value"], 100, 3))
    count = None if report.sequences is None else report.sequences.count
    return Group(_heading(_kind_of_intervals(report.confidence, count)), table)


def _kind_of_intervals(confidence: float, sequences: int | str | None) -> str:
    taken = "tokens" if sequences is None else f"{_counted(sequences)} sequences"
    return f"{confidence * 100:g} % intervals, the {taken} taken as independent"


def _ends(found: ConfidenceInterval, scale: float = 1, digits: int = 6) -> tuple[str, str]:
    return _decimal(found.lower * scale, digits), f"… {_decimal(found.upper * scale, digits)}"


def noise_table(found: PairedDifference) -> RenderableType:
    """Return what of a candidate's KLD exceeds that of the base's second run."""
    table = _pairs()
    table.add_row("Mean KLD of the second run", *_plain(found.second))
    table.add_row("Mean KLD above it", *_plain(found.difference))
    table.add_row("  interval", *_ends(found.interval))
    return Group(_heading("Noise floor: the base against its own second run"), table)


def interval_report_table(report: IntervalReport) -> RenderableType:
    """Return what is certain of a comparison of top tokens."""
    quantiles = next(iter(report.divergences.values())).quantiles
    cells = {"Mean": [(f.lower.value, f.upper.value) for f in report.divergences.values()]}
    for name in quantiles:
        cells[QUANTILE_TITLES[name]] = [f.quantiles[name] for f in report.divergences.values()]
    table = _columns("", *_OF_INTERVALS)
    for name, ends in cells.items():
        table.add_row(name, *(f"{_short(low)} … {_short(high)}" for low, high in ends))
    parts: list[RenderableType] = [
        _size(report.tokens, report.vocab, "top tokens only: certified limits"),
        _heading("Per token, from … to; KLD, reverse KL and JS in nats"),
        table,
        Text(),
    ]
    pairs = _pairs()
    if report.perplexity is not None:
        pairs.add_row("Mean PPL(Q)", *_plain(report.perplexity["candidate"]))
        pairs.add_row("Mean PPL(base)", *_plain(report.perplexity["base"]))
        pairs.add_row("Mean PPL(Q)/PPL(base)", *_plain(report.perplexity["ratio"]))
    elif report.labels_known:
        pairs.add_row("Labels known in both", f"{report.labels_known:,}", f"of {report.tokens:,}")
    lower, upper = report.same_top
    pairs.add_row(
        "Same top p, %", _decimal(lower.value * 100, 3), f"… {_decimal(upper.value * 100, 3)}"
    )
    pairs.add_row("Mean tail of base", *_percent(report.p_tail))
    notes = []
    if math.isinf(report.divergences["kl_divergence"].upper.value):
        notes.append(
            Text(
                "inf: what is known excludes no KLD, however large; the candidate may give 0 to "
                "a token that the base gives more."
            )
        )
    if report.tail_ratio is not None:
        notes.append(
            Text(f"Upper ends of KL hold if |log p/q| ≤ {report.tail_ratio:g} for unknown tokens.")
        )
    return Group(*parts, pairs, *notes)


def ranking_table(
    rows: Sequence[tuple[str, ComparisonReport | IntervalReport]],
) -> RenderableType:
    """Return the candidates, the nearest to the base first."""
    reports = [report for _, report in rows]
    first = reports[0]
    table = _columns("", "Mean KLD", "±", "PPL ratio", "±", "Same top", "Δp, %")
    for name, report in rows:
        if isinstance(report, IntervalReport):
            found = report.divergences["kl_divergence"]
            ratio = None if report.perplexity is None else report.perplexity["ratio"]
            cells = [_short(found.lower.value), f"… {_short(found.upper.value)}"]
            cells += _ratio(ratio)
            cells += [f"≥ {_decimal(report.same_top[0].value * 100, 2)}", ""]
        else:
            ratio = None if report.perplexity is None else report.perplexity.ratio
            interval = report.intervals["kl_divergence"]["mean"]
            mean = report.kl_divergence.mean.value
            reach = (interval.upper - interval.lower) / 2
            cells = [_short(mean), _short(reach), *_ratio(ratio)]
            cells.append(f"{_decimal(report.same_top.value * 100, 2)}")
            rms = None if report.delta_p is None else report.delta_p.rms
            cells.append("" if rms is None else f"{_decimal(rms.value * 100, 2)}")
        table.add_row(_shortened(name), *cells)
    tokens = [report.tokens for report in reports]
    more = ["not the same ones for all"] if len(set(tokens)) > 1 else []
    parts: list[RenderableType] = [_size(_range(tokens), first.vocab, *more)]
    if isinstance(first, ComparisonReport):
        full = [report for report in reports if isinstance(report, ComparisonReport)]
        counts = [report.sequences.count for report in full if report.sequences is not None]
        said = _kind_of_intervals(first.confidence, _range(counts) if counts else None)
        parts.append(Text(f"± of KLD: {said}; of PPL: error"))
    return Group(*parts, Text(), table)


def _range(counts: Sequence[int]) -> str:
    """Return a count, or the least and the greatest of counts that differ."""
    return " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))


def _counted(count: int | str) -> str:
    return count if isinstance(count, str) else f"{count:,}"


def _ratio(found: Estimate | None) -> list[str]:
    return ["", ""] if found is None else [_short(found.value), _short(found.se)]


def paired_table(best: str, rows: Sequence[tuple[str, CandidateComparison]]) -> RenderableType:
    """Return by how much the candidates are farther than the best one, token by token."""
    table = _columns("", "KLD +", "interval", "PPL ×", "more / less", "p")
    for name, found in rows:
        kl = found.kl_divergence
        signs = kl.sign_test
        table.add_row(
            _shortened(name),
            _short(kl.difference.value),
            f"{_short(kl.interval.lower)} … {_short(kl.interval.upper)}",
            "" if found.perplexity_ratio is None else _short(found.perplexity_ratio.value),
            f"{signs.greater:,} / {signs.less:,}",
            f"{signs.p_value:.2g}",
        )
    kl = rows[0][1].kl_divergence
    units = f"{kl.tokens:,} tokens" if kl.sequences is None else f"{kl.sequences:,} sequences"
    heading = f"Against {_shortened(best)}, token by token; sign test of {units}"
    return Group(_heading(heading), table)


def sweep_table(rows: Sequence[tuple[float, ComparisonReport]]) -> RenderableType:
    """Return means by temperature."""
    table = _columns("Temperature", "Mean KLD", "±", "Mean TV", "±", "Mean JS", "±")
    for temperature, report in rows:
        means = (report.kl_divergence, report.total_variation, report.js_divergence)
        cells = [_decimal(x) for found in means for x in found.mean]
        table.add_row(f"{temperature:g}", *cells)
    return table


def worst_table(rows: Sequence[Mapping[str, str]]) -> RenderableType:
    """Return one line per token, and below them the context of each that has one."""
    names = [name for name in rows[0] if name != "context"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for name in names:
        text = name in ("label", "base", "Q")
        table.add_column(
            name, justify="left" if text else "right", no_wrap=not text, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(row[name]) for name in names))
    if "context" not in rows[0]:
        return table
    contexts = Table.grid(padding=(0, 1))
    contexts.add_column(justify="right", no_wrap=True)
    contexts.add_column(overflow="fold")
    for row in rows:
        contexts.add_row(Text(row["row"]), Text(row["context"]))
    return Group(table, Text(), contexts)


def _columns(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column(names[0], no_wrap=True)
    for name in names[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _short(value: float) -> str:
    """Return a number in few signs, for the columns of a wide table."""
    if math.isinf(value) or math.isnan(value):
        return _decimal(value)
    if 0 < abs(value) < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.4g}"


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def facts_table(facts: Mapping[str, object]) -> RenderableType:
    """Return names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(Text(name.replace("_", " ")), Text(shown))
    return table


def _perplexities(report: ComparisonReport) -> Table:
    found = report.perplexity
    table = _pairs()
    if found is not None:
        table.add_row("Mean PPL(Q)", *_plain(found.candidate))
        table.add_row("Mean PPL(base)", *_plain(found.base))
        table.add_row(
            "Cor(ln(PPL(Q)), ln(PPL(base)))", _decimal(found.log_correlation * 100, 2), "%"
        )
        table.add_row("Mean ln(PPL(Q)/PPL(base))", *_plain(found.log_ratio))
        table.add_row("Mean PPL(Q)/PPL(base)", *_plain(found.ratio))
        table.add_row("Mean PPL(Q)-PPL(base)", *_plain(found.difference))
    return table


def _distributions(report: ComparisonReport) -> Table:
    columns: dict[str, tuple[Distribution, float, int]] = {
        "KLD": (report.kl_divergence, 1, 6),
        "Reverse KL": (report.reverse_kl_divergence, 1, 6),
        "JS": (report.js_divergence, 1, 6),
        "TV": (report.total_variation, 1, 6),
        "Hellinger": (report.hellinger_distance, 1, 6),
    }
    if report.delta_p is not None:
        columns["Δp, %"] = (report.delta_p, 100, 3)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    shown = [_distribution_cells(*column) for column in columns.values()]
    for name in next(reversed(shown)):
        table.add_row(name, *(cells.get(name, "") for cells in shown))
    return table


def _distribution_cells(found: Distribution, scale: float, digits: int) -> dict[str, str]:
    def cell(value: float) -> str:
        return _decimal(value * scale, digits)

    cells = {"Mean": cell(found.mean.value), "  ±": cell(found.mean.se)}
    if found.rms is not None:
        cells |= {"RMS": cell(found.rms.value), "  ± ": cell(found.rms.se)}
    names = (name for name in QUANTILE_TITLES if name in found.quantiles)
    return cells | {QUANTILE_TITLES[name]: cell(found.quantiles[name]) for name in names}


def _size(tokens: int | str, vocab: int | None, *more: str) -> Text:
    return Text(" · ".join([f"{_counted(tokens)} tokens", f"vocabulary {vocab or 0:,}", *more]))


def _heading(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _pairs() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=30)
    table.add_column(justify="right", min_width=10)
    table.add_column()
    return table


def _plain(found: Estimate) -> tuple[str, str]:
    return _decimal(found.value), f"± {_decimal(found.se)}"


def _percent(found: Estimate) -> tuple[str, str]:
    return _decimal(found.value * 100, 3), f"± {_decimal(found.se * 100, 3)} %"


def _decimal(value: float, digits: int = 6) -> str:
    """Return a number with llama.cpp's digits, or in powers of ten where these show too little."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size >= 1e5:
        return f"{value:.7g}"
    if 0 < size < 10.0 ** (1 - digits):
        return f"{value:.2e}"
    return f"{value:.{digits}f}"
