"""Reports of a comparison as a picture or as one page that needs nothing else.

It takes columns of numbers per token and the dictionaries of reports; it knows neither models nor
meters. Pictures need matplotlib: ``pip install "fastdiv[plot]"``.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastdiv.report.figures import one_picture
from fastdiv.report.page import html_page
from fastdiv.report.panels import panels_of
from fastdiv.report.style import look_of, shortened
from fastdiv.report.summaries import Candidate

__all__ = ["Candidate", "write_report"]

_PICTURES = (".png", ".svg", ".pdf")
_PAGES = (".html", ".htm")


def write_report(
    path: str | os.PathLike[str],
    candidates: Sequence[Candidate],
    *,
    base_name: str,
    title: str,
    reports: Sequence[Mapping[str, object]] | None = None,
    command: str | None = None,
    context: Sequence[Mapping[str, object]] | None = None,
) -> None:
    r"""Write one picture of all candidates, or one page with pictures and tables.

    The same numbers give the same bytes. The file appears whole or not at all.

    Parameters
    ----------
    path : path
        ``.png``, ``.svg`` or ``.pdf`` for a picture; ``.html`` for a page that reads no other file.
    candidates : sequence of Candidate
        In the order of the legend; all of one base.
    base_name, title : str
        Any text.
    reports : sequence of mapping, optional
        What the meters' ``to_dict`` returned, one per candidate; shown as tables of a page.
    command : str, optional
        The command line, for the page's end.
    context : sequence of mapping, optional
        The worst tokens, one row each, for a table of a page: heading to value. A value that is
        a tuple of three texts is shown as a passage whose second part is marked.

    Raises
    ------
    ImportError
        Without matplotlib.
    OSError
        The file cannot be written; what was there before is as it was.
    ValueError
        Another kind of file, no candidate, as many reports as there are not candidates, or no
        column that a picture could show.

    Examples
    --------
    >>> import tempfile
    >>> import fastdiv as fd
    >>> found = fd.compare_logits([[1.0, 2.0], [0.0, 3.0]], [[1.0, 2.5], [0.0, 1.0]], [1, 0])
    >>> columns = {"kl": found.kl, "nll_base": found.nll_base, "nll_candidate": found.nll_candidate}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "report.png")
    ...     write_report(path, [Candidate("Q4", columns)], base_name="f16", title="Q4 of f16")
    ...     path.read_bytes()[:4]
    b'\x89PNG'
    """
    kind = Path(path).suffix.lower()
    if kind not in _PICTURES + _PAGES:
        raise ValueError(
            f"write_report: path ends in {kind!r}; it takes one of {', '.join(_PICTURES + _PAGES)}"
        )
    if not candidates:
        raise ValueError("write_report: candidates is empty; it takes at least one")
    if reports is not None and len(reports) != len(candidates):
        raise ValueError(
            f"write_report: {len(reports)} reports for {len(candidates)} candidates;"
            " it takes one each"
        )
    panels = panels_of(candidates)
    if kind in _PAGES:
        page = html_page(
            panels,
            candidates,
            base_name=base_name,
            title=title,
            reports=reports,
            command=command,
            context=context,
        )
        _write(path, page.encode())
        return
    if not panels:
        raise ValueError(
            "write_report: the candidates' columns show nothing; it takes kl, nll_base and"
            " nll_candidate, or same_top and confidence_base, of at least one token"
        )
    names = [(each.name, look_of(place)) for place, each in enumerate(candidates)]
    several = len(candidates) > 1
    subtitle = f"Base: {shortened(base_name, 44)}"
    if not several:
        subtitle += f" · candidate: {shortened(candidates[0].name, 44)}"
    _write(path, one_picture(panels, kind[1:], title, subtitle, names if several else []))


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    """Put a file in its place when it is complete; a link keeps pointing to it."""
    place = Path(os.path.realpath(path))
    part = place.with_name(f".{place.name[:40]}-{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
