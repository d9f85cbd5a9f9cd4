"""A file appears whole or not at all: written under another name beside it, then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from fastdiv.io.rows import FileFormatError, FilePath

__all__ = ["replacing"]


@contextmanager
def replacing(path: FilePath) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the place of `path` when the block ends well.

    If it ends with an exception, `path` is as it was, and nothing is left beside it.

    Parameters
    ----------
    path : path-like
        What is there is replaced, even while it is mapped: who reads it keeps the old one.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "file")
    >>> with replacing(path) as file:
    ...     _ = file.write(b"whole")
    ...     path.exists()
    False
    >>> path.read_bytes()
    b'whole'
    """
    # Through a link, so that what it points to is replaced and not the link.
    final = os.path.realpath(os.fsdecode(path))
    if os.path.exists(final) and not os.path.isfile(final):
        raise FileFormatError(path, "is not a regular file, so nothing can take its place")
    directory, name = os.path.split(final)
    temporary = os.path.join(directory, f".{name[:200]}.{secrets.token_hex(6)}.part")
    try:
        file = open(temporary, "x+b")  # noqa: SIM115
    except OSError as error:
        error.filename = final
        raise
    with file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, final)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
