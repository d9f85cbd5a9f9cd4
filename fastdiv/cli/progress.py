"""How far a command has come, on standard error and on a terminal only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

__all__ = ["progress"]

_GIGABYTE = 1e9


class _Rate(ProgressColumn):
    """Rows and gigabytes per second."""

    def __init__(self, row_bytes: int) -> None:
        super().__init__()
        self._row_bytes = row_bytes

    def render(self, task: Task) -> Text:
        """Return the rate so far; nothing before there is one."""
        rows = task.finished_speed or task.speed
        if not rows:
            return Text()
        return Text(f"{rows:,.0f} rows/s, {rows * self._row_bytes / _GIGABYTE:.2f} GB/s")


@contextmanager
def progress(rows: int, *, row_bytes: int, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Show a bar while the block lasts; yield what is called with each number of further rows.

    Parameters
    ----------
    rows : int
        In all.
    row_bytes : int
        Read for one row, from all files together.
    done : int
        Rows that an earlier run has dealt with.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("reading"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        _Rate(row_bytes),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=rows, completed=done)
        yield lambda more: bar.advance(task, more)
