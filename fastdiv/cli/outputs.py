"""Where results go, looked at before the work begins: a wrong name must not cost an hour."""

import errno
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fastdiv.io import FileFormatError, write_tokens_table

__all__ = ["check_output", "check_report", "check_table", "keep_inputs", "write_table"]

_PICTURES = (".html", ".htm", ".png", ".svg", ".pdf")
_TABLES = (".parquet", ".arrow", ".feather", ".npz", ".csv")
_OF_ARROW = _TABLES[:3]


def check_output(path: str | os.PathLike[str] | None) -> None:
    """Refuse a file that cannot be written.

    Raises
    ------
    FileFormatError, OSError
    """
    if path is None or os.fspath(path) == "-":
        return
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    folder = target.parent
    if not folder.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def keep_inputs(
    outputs: Sequence[str | os.PathLike[str] | None], inputs: Sequence[Path | None]
) -> None:
    """Refuse to write over what is read, or twice to one file, by whatever name.

    Raises
    ------
    FileFormatError
    """
    named = [x for x in outputs if x is not None and os.fspath(x) != "-"]
    places = [os.path.realpath(x) for x in named]
    for output, place in zip(named, places, strict=True):
        if places.count(place) > 1 and (os.path.isfile(place) or not os.path.exists(place)):
            raise FileFormatError(output, "would be written twice; name another file")
        if not os.path.isfile(output):
            continue
        for path in inputs:
            if path is not None and path.exists() and os.path.samefile(path, output):
                raise FileFormatError(output, "is what is read; name another file")


def check_table(path: Path | None) -> None:
    """Refuse a table of tokens that could not be written."""
    if path is None:
        return
    _suffix(path, _TABLES)
    check_output(path)
    if path.suffix.lower() in _OF_ARROW:
        _extra(path, "pyarrow", "arrow")


def check_report(path: Path | None) -> None:
    """Refuse a report that could not be written."""
    if path is None:
        return
    _suffix(path, _PICTURES)
    check_output(path)
    _extra(path, "matplotlib", "plot")


def write_table(path: Path, named: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Write the columns of every candidate; several ones below each other, with their names."""
    if len(named) == 1:
        write_tokens_table(path, named[0][1])
        return
    shared = [name for name in named[0][1] if all(name in columns for _, columns in named)]
    further = list(dict.fromkeys(n for _, columns in named for n in columns if n not in shared))
    sizes = [len(columns["row"]) for _, columns in named]
    table: dict[str, Any] = {
        "candidate": np.repeat(np.array([name for name, _ in named]), sizes),
        **{name: np.concatenate([columns[name] for _, columns in named]) for name in shared},
    }
    for name in further:
        # What only some candidates have is NaN for the others.
        table[name] = np.concatenate(
            [
                np.asarray(columns[name], np.float64) if name in columns else np.full(size, np.nan)
                for (_, columns), size in zip(named, sizes, strict=True)
            ]
        )
    write_tokens_table(path, table)


def _suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        raise FileFormatError(path, f"ends in none of {', '.join(known)}")


def _extra(path: Path, module: str, extra: str) -> None:
    try:
        found = find_spec(module) is not None
    except ValueError:
        # What has been set to None in sys.modules is as good as not there.
        found = False
    if not found:
        raise FileFormatError(path, f'takes {module}: pip install "fastdiv[{extra}]"')
