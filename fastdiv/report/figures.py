"""Panels on figures, figures as bytes: the same bytes for the same numbers, and no global state.

Matplotlib is used through its objects alone (no pyplot, so no windows and no list of figures), its
settings within a context that starts from its own defaults.
"""

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastdiv.report.panels import Panel
from fastdiv.report.style import (
    CSS_COLOURS,
    FONT,
    INK,
    MUTED,
    RULE,
    Look,
    drawable,
    printable,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["inline_svg", "one_picture", "styled"]

_SETTINGS: dict[str, Any] = {
    "font.family": FONT,
    "font.size": 10.5,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 10.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.fontsize": 10,
    "svg.hashsalt": "fastdiv",
    "pdf.fonttype": 42,
}
# Nothing that tells when or by what version a file was made.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_DPI = 120
_PANEL = (5.6, 4.3)
_NOTE_SIZE = 9.0


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures look as they should; ImportError without matplotlib."""
    try:
        from matplotlib import style
    except ImportError as missing:
        raise ImportError(
            'write_report: pictures need matplotlib: pip install "fastdiv[plot]"'
        ) from missing
    with style.context(["default", _SETTINGS]):
        yield


def one_picture(
    panels: Sequence[Panel], kind: str, title: str, subtitle: str, names: Sequence[tuple[str, Look]]
) -> bytes:
    """Return all panels as one file; `kind` is png, svg or pdf, `names` are those of the legend."""
    with styled():
        rows = _arranged(len(panels))
        columns = max(rows)
        beside = int(_PANEL[0] * columns / 3.3)
        legend_rows = -(-len(names) // beside)
        heading = 0.95 + 0.28 * legend_rows
        width, height = _PANEL[0] * columns, _PANEL[1] * len(rows) + heading
        figure = _figure((width, height))
        figure.set_layout_engine(
            "constrained", rect=(0, 0, 1, 1 - heading / height), w_pad=0.16, h_pad=0.16
        )
        grid = figure.add_gridspec(len(rows), 1)
        left = iter(panels)
        for row, many in enumerate(rows):
            cells = grid[row].subgridspec(1, many)
            for place in range(many):
                _draw(figure.add_subplot(cells[place]), next(left), width / many, with_note=True)
        _heading(figure, title, subtitle, names, beside)
        return _bytes(figure, kind)


def inline_svg(panel: Panel) -> str:
    """Return one panel as an SVG element for a page, its colours by the names of CSS."""
    with styled():
        import matplotlib as mpl

        figure = _figure((5.4, 3.9))
        figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        _draw(axes, panel, 5.4, with_note=False)
        axes.set_title("")
        # Letters stay letters: they can be searched, and are set in the page's own font.
        with mpl.rc_context({"svg.fonttype": "none"}):
            text = _bytes(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'\s(xmlns(:\w+)?|version)="[^"]*"', "", text, count=3)
    text = re.sub(r"<(metadata|style)\b.*?</\1>\s*|<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # Identifiers of one page differ from each other; so must those of its pictures.
    text = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{panel.key}-", text)
    for name, (light, _) in CSS_COLOURS.items():
        text = text.replace(light, f"var(--{name})")
    return text.strip()


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def _arranged(panels: int) -> list[int]:
    """Panels per row, as even as can be, so that rows of equal width have no holes."""
    columns = min(panels, 2 if panels in (2, 4) else 3)
    rows = -(-panels // columns)
    return [panels // rows + (row >= rows - panels % rows) for row in range(rows)]


def _draw(axes: "Axes", panel: Panel, width: float, *, with_note: bool) -> None:
    panel.draw(axes)
    # What has no glyph grows as it is escaped: it is shortened afterwards.
    axes.set_title(shortened(drawable(panel.title), int(width * 72 / (12 * 0.72))))
    if with_note and panel.note:
        letters = int((width - 1.1) * 72 / (_NOTE_SIZE * 0.56))
        axes.annotate(
            textwrap.fill(panel.note, letters),
            (0, 0),
            (0, -41),
            xycoords="axes fraction",
            textcoords="offset points",
            va="top",
            fontsize=_NOTE_SIZE,
            color=MUTED,
            annotation_clip=False,
        )


def _heading(
    figure: "Figure", title: str, subtitle: str, names: Sequence[tuple[str, Look]], columns: int
) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    inset = 0.16 / width
    title = shortened(drawable(printable(title)), int(width * 72 / (17 * 0.72)))
    subtitle = shortened(drawable(subtitle), int(width * 72 / (11 * 0.6)))
    figure.text(inset, 1 - 0.14 / height, title, fontsize=17, fontweight="bold", va="top")
    figure.text(inset, 1 - 0.52 / height, subtitle, fontsize=11, color=MUTED, va="top")
    if names:
        marks = [
            Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dashes)
            for _, look in names
        ]
        # A name that begins with an underscore would hide itself: names are set afterwards.
        legend = figure.legend(
            marks,
            ["candidate"] * len(marks),
            loc="upper left",
            bbox_to_anchor=(0, 1 - 0.74 / height),
            ncols=min(columns, len(names)),
            frameon=False,
            fontsize=11,
            handlelength=3,
        )
        legend.set_in_layout(False)
        for text, (name, _) in zip(legend.get_texts(), names, strict=True):
            text.set_text(shortened(drawable(printable(name))))


def _bytes(figure: "Figure", kind: str) -> bytes:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)
            text.set_text(drawable(text.get_text()))
    written = io.BytesIO()
    figure.savefig(written, format=kind, metadata=_METADATA[kind])
    return written.getvalue()
