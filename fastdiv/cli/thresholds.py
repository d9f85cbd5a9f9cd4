"""Limits that a user sets on members of the report: for pipelines."""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from fastdiv.io import FileFormatError

__all__ = ["Threshold", "parse_thresholds"]

#: Known only once all rows have been seen.
_LATE = ("buckets", "paired")


class Threshold(NamedTuple):
    """A member of the report, by its path, and what it must not cross."""

    path: str
    limit: float
    side: Literal["above", "below"]

    @property
    def option(self) -> str:
        """How the user said it."""
        return f"--fail-{self.side} {self.path}"

    def check(self, report: Mapping[str, Any]) -> None:
        """Refuse a path that the report does not have, with the nearest that it has.

        Raises
        ------
        FileFormatError
        """
        if self.path.split(".")[0] in _LATE:
            return
        if _find(report, self.path) is _MISSING:
            known = list(_paths(report))
            near = difflib.get_close_matches(self.path, known, 3, 0.5) or known[:3]
            raise FileFormatError(
                self.option, f"is no number of the report; the nearest are {', '.join(near)}"
            )

    def crossed(self, report: Mapping[str, Any], who: str = "") -> str | None:
        """Return what crossed the limit, in one line; None if nothing did."""
        found = _find(report, self.path)
        of = f"{who}: " if who else ""
        if found is None or found is _MISSING:
            return f"{of}{self.path} is undefined, so it fails --fail-{self.side} {self.limit:g}"
        value = float(found)
        if math.isnan(value) or (
            value > self.limit if self.side == "above" else value < self.limit
        ):
            return f"{of}{self.path} = {value:.6g} is {self.side} {self.limit:g}"
        return None


def parse_thresholds(above: Sequence[str], below: Sequence[str]) -> list[Threshold]:
    """Read ``path=number``.

    Examples
    --------
    >>> parse_thresholds(["kl_divergence.mean=0.05"], [])
    [Threshold(path='kl_divergence.mean', limit=0.05, side='above')]
    """
    found = []
    sides: tuple[tuple[Literal["above", "below"], Sequence[str]], ...] = (
        ("above", above),
        ("below", below),
    )
    for side, texts in sides:
        for text in texts:
            path, sign, number = text.partition("=")
            try:
                limit = float(number)
            except ValueError:
                limit = math.nan
            if not sign or not path.strip() or math.isnan(limit):
                raise FileFormatError(
                    f"--fail-{side} {text}", "takes PATH=NUMBER, as kl_divergence.mean=0.05"
                )
            found.append(Threshold(path.strip(), limit, side))
    return found


_MISSING = object()


def _find(node: Any, path: str) -> Any:
    """Return the number at a path; None where it is undefined, _MISSING where there is none."""
    if not path:
        node = node.get("value", _MISSING) if isinstance(node, Mapping) else node
        if isinstance(node, str):
            return float(node) if node.lstrip("-") == "Infinity" else _MISSING
        number = node is None or (isinstance(node, int | float) and not isinstance(node, bool))
        return node if number else _MISSING
    if node is None:
        return None
    if isinstance(node, list):
        head, _, rest = path.partition(".")
        inside = head.isdigit() and int(head) < len(node)
        return _find(node[int(head)], rest) if inside else _MISSING
    if isinstance(node, Mapping):
        # Names have dots of their own: p99.9.
        for name, child in node.items():
            if path == name or path.startswith(f"{name}."):
                found = _find(child, path[len(name) + 1 :])
                if found is not _MISSING:
                    return found
    return _MISSING


def _paths(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, child in node.items():
        if _find(child, "") is not _MISSING:
            yield above + name
        elif isinstance(child, Mapping):
            yield from _paths(child, f"{above}{name}.")
