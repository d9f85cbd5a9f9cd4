"""Reports as tables for people, within 80 columns; the names are those of llama.cpp's report."""

import math
from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastdiv.meters import ComparisonReport, Distribution, Estimate, PerplexityReport

__all__ = ["comparison_table", "facts_table", "perplexity_table"]

_QUANTILES = {
    "max": "Maximum",
    "p99.9": "99.9%",
    "p99": "99.0%",
    "p95": "95.0%",
    "p90": "90.0%",
    "p75": "75.0%",
    "median": "Median",
    "p25": "25.0%",
    "p10": "10.0%",
    "p5": "5.0%",
    "p1": "1.0%",
    "p0.1": "0.1%",
    "min": "Minimum",
}


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
    return Group(*parts, Text(), shares)


def perplexity_table(report: PerplexityReport) -> RenderableType:
    """Return every statistic of one model."""
    table = _pairs()
    table.add_row("Mean PPL", *_plain(report.perplexity))
    table.add_row("Mean NLL (nats)", *_plain(report.nll))
    table.add_row("Bits per token", _decimal(report.bits_per_token), "")
    return Group(_size(report.tokens, report.vocab), Text(), table)


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
    names = (name for name in _QUANTILES if name in found.quantiles)
    return cells | {_QUANTILES[name]: cell(found.quantiles[name]) for name in names}


def _size(tokens: int, vocab: int | None, *more: str) -> Text:
    return Text(" · ".join([f"{tokens:,} tokens", f"vocabulary {vocab or 0:,}", *more]))


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
