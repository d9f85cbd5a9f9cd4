"""What a command has to say, and the one place where it is written."""

import json as json_text
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["Answer"]


class Answer:
    """A report for people and the same for programs.

    Parameters
    ----------
    *parts : str or renderable
        What a terminal shows, in this order.
    data : mapping
        The report as JSON types.
    json : str or None
        Where the JSON goes: a file, beside what is shown; or "-", in its place.
    """

    def __init__(
        self, *parts: RenderableType, data: Mapping[str, object], json: str | None
    ) -> None:
        self._parts = parts
        self._data = data
        self._json = json

    def write(self) -> None:
        """Write to standard output, and to the file if there is one."""
        text = json_text.dumps(self._data, indent=2, allow_nan=False) + "\n"
        sys.stdout.write(text if self._json == "-" else self._rendered())
        sys.stdout.flush()
        if self._json not in (None, "-"):
            Path(str(self._json)).write_text(text, encoding="utf-8")

    def _rendered(self) -> str:
        console = Console(highlight=False, markup=False)
        # Only rendered: rich would end the process by itself if standard output were gone.
        with console.capture() as captured:
            for part in self._parts:
                console.print(Text(part, overflow="fold") if isinstance(part, str) else part)
        return captured.get()
