"""What a command has to say, and the one place where it is written."""

import json as json_text
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["BAD_INPUT", "CROSSED", "Answer"]

CROSSED = 1
BAD_INPUT = 2


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
    code : int
        The exit code, if all is written.
    complaints : sequence of str
        Why it is not 0: one line on standard error.
    writers : sequence of callable
        Write whatever else there is to write, before the report is shown.
    """

    def __init__(
        self,
        *parts: RenderableType,
        data: Mapping[str, object],
        json: str | None,
        code: int = 0,
        complaints: Sequence[str] = (),
        writers: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._parts = parts
        self._data = data
        self._json = json
        self.code = code
        self.complaints = complaints
        self._writers = writers

    def write(self) -> None:
        """Write to the files that there are, then to standard output, whose reader may leave."""
        text = json_text.dumps(self._data, indent=2, allow_nan=False) + "\n"
        if self._json not in (None, "-"):
            Path(str(self._json)).write_text(text, encoding="utf-8")
        for writer in self._writers:
            writer()
        sys.stdout.write(text if self._json == "-" else self._rendered())
        sys.stdout.flush()

    def _rendered(self) -> str:
        console = Console(highlight=False, markup=False)
        # Only rendered: rich would end the process by itself if standard output were gone.
        with console.capture() as captured:
            for part in self._parts:
                console.print(Text(part, overflow="fold") if isinstance(part, str) else part)
        # Tables fill their lines with blanks, which whoever copies them would copy, too.
        return "\n".join(line.rstrip(" ") for line in captured.get().split("\n"))
