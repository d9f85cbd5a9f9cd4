"""A run that is cut off goes on where it was: states of meters, and of what they were made.

The file is a zip archive: ``run.json`` says what the run is and how far it has come, and every
other member is the state of a meter after exactly those rows. It is replaced as a whole, so a
killed run leaves the states of one moment, never of two.
"""

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastdiv
from fastdiv.columns import write
from fastdiv.io import FileFormatError, printable_path
from fastdiv.io.rows import file_size

__all__ = ["Checkpoint", "fingerprint"]

#: Seconds between two checkpoints, and how many times longer than its writing that is at least.
SECONDS = 3.0
_TIMES_ITS_WRITING = 20.0
_FORMAT = 2
_PIECE = 1 << 16
_PIECES = 64
_LONGEST_INDEX = 64 << 20


def fingerprint(path: Path) -> str:
    """Return a file's size, and a digest of it, of its ends, and of pieces of what is between.

    Neither its name nor its time counts: a copy of the file is the same file. Of an index of
    shards the shards count too.
    """
    size = file_size(path)
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open(path, "rb") as file:
        places = sorted({(size - _PIECE) * i // (_PIECES - 1) for i in range(_PIECES)})
        for place in [0] if size <= _PIECE * _PIECES else places:
            file.seek(place)
            digest.update(file.read(_PIECE if place or size > _PIECE * _PIECES else size))
    if path.suffix == ".json" and size <= _LONGEST_INDEX:
        try:
            shards = json.loads(path.read_bytes())["weight_map"].values()
            for name in sorted(set(shards)):
                digest.update(fingerprint(path.parent / name).encode())
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
    return f"{size} {digest.hexdigest()}"


class Checkpoint:
    """Where a run keeps what it has so far; nowhere, if `path` is None.

    Parameters
    ----------
    path : Path or None
    run : mapping
        All that the numbers depend on, as JSON types: another run is refused.
    """

    def __init__(self, path: Path | None, run: Mapping[str, Any]) -> None:
        self._path = path
        # Through JSON, so that what is read again compares equal.
        self._run: dict[str, Any] = json.loads(
            json.dumps({**run, "version": fastdiv.__version__, "instruction set": fastdiv.isa()})
        )
        self._next = time.monotonic() + SECONDS

    def read(self) -> tuple[dict[str, Any], list[bytes]] | None:
        """Return what was kept: facts, and the meters' states; None where nothing was.

        Raises
        ------
        FileFormatError
            No state of a run, a damaged one, or one of another run.
        """
        path = self._path
        if path is None or not path.exists():
            return None
        # What cannot be opened at all says so itself.
        with open(path, "rb") as file, self.reading():
            with zipfile.ZipFile(file) as archive:
                kept = json.loads(archive.read("run.json"))
                if int(kept["format"]) != _FORMAT:
                    raise FileFormatError(
                        path, f"is a state of format {kept['format']!r:.20}, not {_FORMAT}"
                    )
                states = [archive.read(f"meter-{i}") for i in range(kept["meters"])]
            run, facts = kept["run"], kept["facts"]
            for name in {**self._run, **run}:
                was, now = run.get(name), self._run.get(name)
                if was != now:
                    raise FileFormatError(
                        path,
                        f"is the state of another run: {name} {_other(name, was, now)}; "
                        "remove it to begin anew",
                    )
        return facts, states

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Call the state damaged, whatever goes wrong while it is read.

        Raises
        ------
        FileFormatError
        """
        try:
            yield
        except FileFormatError:
            raise
        # A damaged archive brings out nearly everything: of zipfile, zlib, JSON, NumPy, the system.
        except Exception:
            raise FileFormatError(
                str(self._path), "is no state of a run, or a damaged one"
            ) from None

    def offer(self, facts: Mapping[str, Any], meters: Sequence[Any]) -> None:
        """Keep the states if the last ones are old enough."""
        if self._path is None or time.monotonic() < self._next:
            return
        begin = time.monotonic()
        kept = {"format": _FORMAT, "run": self._run, "facts": facts, "meters": len(meters)}
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("run.json", json.dumps(kept))
            for number, meter in enumerate(meters):
                archive.writestr(f"meter-{number}", meter.state())
        write(self._path, [content.getvalue()])
        spent = time.monotonic() - begin
        self._next = time.monotonic() + max(SECONDS, _TIMES_ITS_WRITING * spent)

    def remove(self) -> None:
        """Forget the run: all that it was for is written."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            # What a process that was killed while writing has left.
            self._path.with_name(f".{self._path.name}.part").unlink(missing_ok=True)

    def __str__(self) -> str:
        """Return the name of the file."""
        return "" if self._path is None else printable_path(os.fspath(self._path))


def _other(name: str, was: Any, now: Any) -> str:
    """Say how a part of another run differs."""
    if not name.startswith("file "):
        return f"was {was!r}, and is {now!r}"
    sizes = [found.split()[0] for found in (was, now) if found is not None]
    if len(set(sizes)) == 2:
        return f"had {sizes[0]} bytes, and has {sizes[1]}"
    return "has other content"
