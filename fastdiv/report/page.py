"""One page of a report: pictures, tables, worst tokens; no script, and nothing from elsewhere.

Every text that was given is escaped here, and only here: `_escaped`.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from fastdiv.meter_reports import QUANTILE_TITLES
from fastdiv.report.figures import inline_svg
from fastdiv.report.panels import Panel, kind_of_errors, ranking_of
from fastdiv.report.style import CSS_COLOURS, look_of, printable
from fastdiv.report.summaries import Candidate, Mean

__all__ = ["html_page"]

# Member of the report: heading of its table, what its rows are of, factor, digits, unit.
_DISTRIBUTIONS = {
    "kl_divergence": ("KL divergence (nats)", "KLD", 1.0, 6, ""),
    "delta_p": ("Token probability", "Δp", 100.0, 3, " %"),
    "reverse_kl_divergence": ("Reverse KL divergence (nats)", "reverse KLD", 1.0, 6, ""),
    "js_divergence": ("Jensen-Shannon divergence (nats)", "JS", 1.0, 6, ""),
    "total_variation": ("Total variation distance", "TV", 1.0, 6, ""),
    "hellinger_distance": ("Hellinger distance", "Hellinger", 1.0, 6, ""),
}
_PERPLEXITIES = {
    "candidate": ("Mean PPL(Q)", 1.0, 6, ""),
    "base": ("Mean PPL(base)", 1.0, 6, ""),
    "log_correlation": ("Cor(ln(PPL(Q)), ln(PPL(base)))", 100.0, 2, " %"),
    "log_ratio": ("Mean ln(PPL(Q)/PPL(base))", 1.0, 6, ""),
    "ratio": ("Mean PPL(Q)/PPL(base)", 1.0, 6, ""),
    "difference": ("Mean PPL(Q)-PPL(base)", 1.0, 6, ""),
}
_SHARES = {
    "same_top": ("Same top p", 100.0, 3, " %"),
    "p_tail": ("Mean tail of base", 100.0, 3, " %"),
}
_Rows = list[tuple[str, list[str]]]

_STYLE = """
:root { color-scheme: light dark; --mark: #fff0b3; LIGHT }
@media screen and (prefers-color-scheme: dark) {
  :root { --mark: #5a4a00; DARK }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem clamp(.75rem, 3vw, 2.5rem) 3rem; max-width: 96rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .25rem; font-weight: 650; }
p, dl, dd, ul, figure { margin: 0; padding: 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt, figcaption, .said { color: var(--muted); }
figcaption, .said { font-size: .875rem; }
p.said { margin-bottom: .75rem; }
ul.names { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin: .75rem 0; }
ul.names svg { width: 2.75rem; height: 1rem; vertical-align: -.15rem; margin-right: .5rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 2rem 2.5rem; }
figure { flex: 1 1 25rem; min-width: 0; max-width: 36rem; break-inside: avoid; }
figure > svg { display: block; width: 100%; height: auto; stroke-linejoin: round; }
.tables { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; }
.tables > section { min-width: 0; max-width: 100%; }
figure text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif !important; }
.wide { overflow-x: auto; margin: 0 0 1rem; }
.wide:focus-visible { outline: 2px solid var(--series-0); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem 1rem .2rem 0; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; }
thead th { max-width: 18rem; white-space: normal; overflow-wrap: break-word;
  vertical-align: bottom; }
th[scope=row], th:first-child, td.text, th.text { text-align: left; }
th[scope=row] { font-weight: 400; position: sticky; left: 0; background: var(--paper);
  white-space: normal; overflow-wrap: break-word; min-width: 7rem; max-width: min(45vw, 24rem); }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
td.passage { min-width: 18rem; }
mark { background: var(--mark); color: inherit; border-radius: .2em; padding: 0 .15em; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .875rem;
  overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  figure { flex: 0 0 46%; } .wide { overflow: visible; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } }
"""


def html_page(
    panels: Sequence[Panel],
    candidates: Sequence[Candidate],
    *,
    base_name: str,
    title: str,
    reports: Sequence[Mapping[str, object]] | None,
    command: str | None,
    context: Sequence[Mapping[str, object]] | None,
) -> str:
    """Return the whole page; see :func:`fastdiv.report.write_report`."""
    several = len(candidates) > 1
    facts = [("Base", base_name)]
    if not several:
        facts.append(("Candidate Q", candidates[0].name))
    parts = [
        f"<h1>{_escaped(title)}</h1>",
        "<dl>"
        + "".join(f"<dt>{name}</dt><dd>{_escaped(value)}</dd>" for name, value in facts)
        + "</dl>",
        _names(candidates) if several else "",
        _ranking(candidates) if several else "",
        _pictures(panels),
        _statistics(candidates, reports or []),
        _worst(context or []),
        f"<h2>Command</h2>\n<p><code>{_escaped(command)}</code></p>" if command else "",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escaped(title)}</title>\n<style>{_style()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _escaped(text: object) -> str:
    return html.escape(printable(str(text)))


def _style() -> str:
    light, dark = (
        " ".join(f"--{name}: {pair[paper]};" for name, pair in CSS_COLOURS.items())
        for paper in (0, 1)
    )
    return _STYLE.replace("LIGHT", light).replace("DARK", dark)


def _names(candidates: Sequence[Candidate]) -> str:
    shapes = {
        "o": '<circle cx="22" cy="8" r="5"/>',
        "s": '<path d="M17 3h10v10h-10z"/>',
        "^": '<path d="M22 2l6 11h-12z"/>',
        "D": '<path d="M22 2l6 6-6 6-6-6z"/>',
        "v": '<path d="M22 14l6-11h-12z"/>',
        "P": '<path d="M20 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z"/>',
    }
    dashes = {"-": "none", "--": "7 4", "-.": "7 3 2 3", ":": "2 3"}
    items = []
    for place, candidate in enumerate(candidates):
        look = look_of(place)
        colour = f"var(--series-{look.number})"
        items.append(
            f'<li><svg viewBox="0 0 44 16" aria-hidden="true" style="fill:{colour};'
            f'stroke:{colour}"><path d="M0 8H44" stroke-width="2"'
            f' stroke-dasharray="{dashes[look.dashes]}"/>{shapes[look.marker]}</svg>'
            f"{_escaped(candidate.name)}</li>"
        )
    return f'<ul class="names" aria-label="Candidates">{"".join(items)}</ul>'


def _pictures(panels: Sequence[Panel]) -> str:
    if not panels:
        return ""
    drawn = "\n".join(map(_picture, panels))
    return f'<h2>Pictures</h2>\n<div class="pictures">\n{drawn}\n</div>'


def _picture(panel: Panel) -> str:
    drawn = inline_svg(panel)
    text = _escaped(panel.text)
    drawn = drawn.replace("<svg", f'<svg role="img" aria-label="{text}"', 1)
    note = f"<figcaption>{_escaped(panel.note)}</figcaption>" if panel.note else ""
    return f"<figure>\n<h3>{_escaped(panel.title)}</h3>\n{drawn}\n{note}\n</figure>"


def _ranking(candidates: Sequence[Candidate]) -> str:
    order = ranking_of(candidates)
    if not order:
        return ""
    rows = [
        (
            candidate.name,
            [
                _mean(mean),
                "best" if not place else "–" if gap is None else _mean(gap),
                f"{mean.tokens:,}",
            ],
        )
        for place, (candidate, mean, gap) in enumerate(order)
    ]
    bound = " (lower bound)" if any(candidate.bounded for candidate, _, _ in order) else ""
    heads = ["Candidate", f"Mean KLD{bound}, nats", "Difference to the best", "Tokens"]
    return (
        '<h2>Ranking</h2>\n<p class="said">Smallest mean KLD first; differences are paired,'
        f" token by token; ± 1 standard error, {kind_of_errors(candidates)}.</p>\n"
        + _table(heads, rows, label="Ranking")
    )


def _statistics(candidates: Sequence[Candidate], reports: Sequence[Mapping[str, object]]) -> str:
    if not reports:
        return ""
    heads = ["", *(candidate.name for candidate in candidates)]
    seen = {"perplexity", *_DISTRIBUTIONS, *_SHARES}
    further = [
        {name: value for name, value in report.items() if name not in seen} for report in reports
    ]
    sections = {"Perplexity": _perplexities(reports)}
    for name, (heading, *_) in _DISTRIBUTIONS.items():
        sections[heading] = _distribution(name, [report.get(name) for report in reports])
    sections["Token probability"] += _named(_SHARES, reports)
    sections["Further"] = _flat(further)
    tables = [
        f"<section><h3>{heading}</h3>\n{_table(heads, rows, label=heading)}</section>"
        for heading, rows in sections.items()
        if rows
    ]
    return (
        "<h2>Statistics</h2>\n"
        '<p class="said">Values ± 1 standard error of independent tokens; names as llama.cpp'
        " prints them; quantiles interpolate linearly at p·(n − 1).</p>\n"
        f'<div class="tables">\n{chr(10).join(tables)}\n</div>'
    )


def _perplexities(reports: Sequence[Mapping[str, object]]) -> _Rows:
    members = [report.get("perplexity") for report in reports]
    if any(isinstance(member, Mapping) and "value" in member for member in members):
        return [("Mean PPL", [_value(member) for member in members])]
    return _named(_PERPLEXITIES, [m if isinstance(m, Mapping) else {} for m in members], rest=True)


def _named(
    names: Mapping[str, tuple[str, float, int, str]],
    members: Sequence[Mapping[str, object]],
    *,
    rest: bool = False,
) -> _Rows:
    rows = [
        (label, [_value(member.get(name), scale, digits, unit) for member in members])
        for name, (label, scale, digits, unit) in names.items()
        if any(member.get(name) is not None for member in members)
    ]
    more = [{k: v for k, v in member.items() if k not in names} for member in members]
    return rows + _flat(more) if rest else rows


def _distribution(name: str, given: Sequence[object]) -> _Rows:
    _, word, scale, digits, unit = _DISTRIBUTIONS[name]
    names = {
        "mean": (f"Mean {word}", scale, digits, unit),
        **{key: (f"{label} {word}", scale, digits, unit) for key, label in QUANTILE_TITLES.items()},
        "rms": (f"RMS {word}", scale, digits, unit),
    }
    return _named(names, [m if isinstance(m, Mapping) else {} for m in given], rest=True)


def _flat(members: Sequence[Mapping[str, object]]) -> _Rows:
    """Rows of everything that has no name of its own here, under its path in the report."""
    paths = [dict(_paths(member)) for member in members]
    return [
        (path, [_value(found.get(path)) for found in paths])
        for path in dict.fromkeys(path for found in paths for path in found)
    ]


def _paths(member: Mapping[str, object], above: str = "") -> Iterable[tuple[str, object]]:
    for name, value in member.items():
        path = f"{above}{name}".replace("_", " ")
        if isinstance(value, Mapping) and not {"value", "se"} <= value.keys():
            yield from _paths(value, f"{path}, ")
        elif value is not None:
            yield path, value


def _value(given: object, scale: float = 1.0, digits: int = 6, unit: str = "") -> str:
    """Return a value of a report as it is shown: a number, or one with its error, or a text."""
    if isinstance(given, Mapping):
        value, se = (_value(given.get(name), scale, digits) for name in ("value", "se"))
        more = "".join(
            f", {name} {_value(end, scale, digits)}"
            for name, end in given.items()
            if name not in ("value", "se")
        )
        return f"{value}{'' if se == '–' else f' ± {se}'}{unit}{more}"
    if given is None:
        return "–"
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        if isinstance(given, Sequence):
            return ", ".join(_value(each, scale, digits) for each in given) + unit
        return str(given)
    if isinstance(given, str):
        return {"Infinity": "∞", "-Infinity": "−∞"}.get(given, given)
    if isinstance(given, int) and scale == 1.0:
        return f"{given:,}"
    return _decimal(given * scale, digits) + unit


def _decimal(value: float, digits: int) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 1e5:
        return f"{value:.7g}"
    return f"{value:.2e}" if 0 < size < 10.0 ** (1 - digits) else f"{value:.{digits}f}"


def _mean(mean: Mean) -> str:
    return _value({"value": mean.value, "se": mean.se})


def _worst(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    numeric = {
        head: all(isinstance(row.get(head), int | float | None) for row in rows) for head in heads
    }
    lines = []
    for row in rows:
        cells = []
        for head in heads:
            value = row.get(head)
            if isinstance(value, tuple) and len(value) == 3:
                before, token, after = map(_escaped, value)
                cells.append(f'<td class="text passage">{before}<mark>{token}</mark>{after}</td>')
            else:
                kind = "" if numeric[head] else ' class="text"'
                cells.append(f"<td{kind}>{_escaped(_value(value))}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    top = "".join(
        f'<th scope="col"{"" if numeric[head] else " class=text"}>{_escaped(head)}</th>'
        for head in heads
    )
    return (
        '<h2>Worst tokens</h2>\n<div class="wide" tabindex="0" role="region"'
        f' aria-label="Worst tokens"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _table(heads: Sequence[str], rows: _Rows, *, label: str) -> str:
    top = "".join(
        f'<th scope="col">{_escaped(head)}</th>' if head else "<td></td>" for head in heads
    )
    lines = "".join(
        f'<tr><th scope="row">{_escaped(name)}</th>'
        + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells)
        + "</tr>\n"
        for name, cells in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_escaped(label)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>\n{lines}</tbody></table></div>"
    )
