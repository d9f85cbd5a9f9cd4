r"""Log-probabilities of the most probable tokens, as servers print them in JSON.

==================  ==============================================================================
of                  where
==================  ==============================================================================
OpenAI chat         ``choices[].logprobs.content[]{token, logprob, bytes, top_logprobs[]}``; with
                    ``id`` as well where llama.cpp answers
OpenAI completions  ``choices[].logprobs{tokens, token_logprobs, top_logprobs}``
vLLM                ``prompt_logprobs`` and ``outputs[].logprobs``: for each position
                    ``{id: {logprob, rank, decoded_token}}``
SGLang              ``meta_info.input_token_logprobs``, ``…input_top_logprobs``, and the same of
                    ``output``: ``[logprob, id, text]``
llama.cpp           ``completion_probabilities[]{id, token, bytes, logprob, top_logprobs[]}``
==================  ==============================================================================

A file is one document (an object, or a list of them), or a document on each line; a line of
OpenAI's batches, ``{"response": {"body": …}}``, is its body. A file is read twice: once when it
is opened, to see that all of it is sound, and once for the rows. At any time one document is in
memory.

What is known of a row
----------------------
Tokens known by their text only are told apart by its bytes. Where two tokens of a row have one
text, or a text has lost bytes (U+FFFD), their log-probabilities belong to no token that another
file could be asked for: they belong to the tail, too.

The tokens of its list of the most probable ones, and the token that came, on the list or not.
A log-probability that is null, −Infinity or at most −9999 (OpenAI's and vLLM's sign for "very
unlikely", and less from llama.cpp) says no more than that the token is not among the others: it
belongs to the tail. Of the tail are known

- its mass, 1 − Σ p of the known tokens;
- that none of it is more probable than the least probable on the list (`TopKRows.cap`).

The *error* of a log-probability l is 2⁻²⁴·(32 + \|l\|) plus what the printing left out. The first
is what float32 leaves of a logit and a log-sum-exp of up to 32 in size, each rounded once, and
of l itself. As for the second: if any of a document's log-probabilities has 8 significant digits
or more, they were printed to be read back exactly, and nothing was left out. If none has, they
were rounded: half a unit of the last decimal place that any of them shows was left out. (A
document of a few round numbers is so taken for less exact than it may be, never for more.)
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastdiv.io.names import TokenNames
from fastdiv.io.responses import Entry, Number, Part, Place, Position, responses
from fastdiv.io.rows import FileFormatError, FilePath, file_size
from fastdiv.topk import TopKRows

__all__ = ["LogprobsReader", "open_logprobs"]

_LARGEST_DOCUMENT = 256 << 20
_SENTINEL = -9999.0
# A softmax whose result a server computed and printed in float32 is right to less than this.
_TOLERANCE = 1e-3
_FLOAT32 = 2.0**-24
_LARGEST_LOGIT = 32.0
_EXACT_DIGITS = 8


class _Row(NamedTuple):
    """One row: the tokens and log-probabilities that are known."""

    label: int
    sequence: int
    label_log_p: float
    known: dict[int, float]
    error: float
    cap: float


def _block(rows: list[_Row], vocab: int | None) -> TopKRows:
    counts = [len(row.known) for row in rows]
    log_p = np.array([x for row in rows for x in row.known.values()], np.float64)
    error = np.array([row.error for row in rows])
    which = np.repeat(np.arange(len(rows)), counts)
    known = np.bincount(which, np.exp(log_p), minlength=len(rows))
    tail = np.maximum(0.0, 1.0 - known)
    # More than 1 in all is an error that shows, whatever its source.
    tail_error = np.maximum(known * np.expm1(error), known - 1.0)
    return TopKRows(
        offsets=np.cumsum([0, *counts], dtype=np.int64),
        tokens=np.array([token for row in rows for token in row.known], np.int64),
        log_p=log_p,
        error=error,
        tail=tail,
        tail_error=tail_error,
        cap=np.minimum([row.cap for row in rows], tail + tail_error),
        tail_entropy=np.full(len(rows), np.nan),
        label_log_p=np.array([row.label_log_p for row in rows]),
        vocab=vocab,
    )


def open_logprobs(
    path: FilePath,
    names: TokenNames | None = None,
    *,
    part: Part | None = None,
    vocab: int | None = None,
) -> "LogprobsReader":
    """Open log-probabilities of the most probable tokens in JSON.

    Parameters
    ----------
    path : path-like
        One document, or one on each line; the module says of which servers.
    names : TokenNames, optional
        Where tokens known by their text get their identifiers from: the ``names`` of the reader
        that this one is to be compared with. By default a table of its own.
    part : {"prompt", "output"}, optional
        Rows of the prompt or of what was generated only; by default all there are.
    vocab : int, optional
        Number of tokens in all, which no document says.

    Returns
    -------
    LogprobsReader

    Raises
    ------
    FileFormatError
        Anything wrong with a document; its number and the position in it are named.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "answer.json")
    >>> _ = path.write_text('''{"prompt_logprobs": [null,
    ...     {"7": {"logprob": -0.69314718}, "9": {"logprob": -1.3862943}}]}''')
    >>> reader = open_logprobs(path)
    >>> reader.rows, reader.labels.tolist()
    (1, [7])
    >>> start, rows = next(reader.blocks(100))
    >>> rows.tokens.tolist(), rows.tail.round(4).tolist(), rows.cap.round(4).tolist()
    ([7, 9], [0.25], [0.25])
    """
    return LogprobsReader(path, names, part=part, vocab=vocab)


class LogprobsReader:
    """Rows of known tokens from documents in JSON; `open_logprobs` says how to open one.

    Attributes
    ----------
    rows : int
    vocab : int or None
    labels : ndarray of int64
        The token that came.
    sequences : ndarray of int64
        Which response a row belongs to, counted from 0 through all documents. The rows of a
        prompt belong to its first response.
    names : TokenNames or None
        What the identifiers stand for, where they were made here; None where the file has them.
    texts : dict of int to str
        The text of each token, where the file has both.
    """

    def __init__(
        self,
        path: FilePath,
        names: TokenNames | None = None,
        *,
        part: Part | None = None,
        vocab: int | None = None,
    ) -> None:
        if part not in (None, "prompt", "output"):
            raise ValueError(f"open_logprobs: part = {part!r}; takes 'prompt' or 'output'")
        self._path = path
        self._part = part
        self._table = TokenNames() if names is None else names
        self._interned: bool | None = None
        self.vocab = vocab
        self.texts: dict[int, str] = {}
        labels, sequences = [], []
        for row in self._walk():
            labels.append(row.label)
            sequences.append(row.sequence)
        if not labels:
            raise FileFormatError(path, "holds no log-probabilities of tokens")
        self.rows = len(labels)
        self.labels = np.array(labels, np.int64)
        self.sequences = np.array(sequences, np.int64)
        self.names = self._table if self._interned else None

    def blocks(self, rows_per_block: int) -> Iterator[tuple[int, TopKRows]]:
        """Yield (number of the first row, rows) to the end, `rows_per_block` at a time."""
        if rows_per_block < 1:
            raise ValueError(f"blocks: rows_per_block = {rows_per_block}; takes at least 1")
        start: int = 0
        rows: list[_Row] = []
        for row in self._walk():
            rows.append(row)
            if len(rows) == rows_per_block:
                yield start, _block(rows, self.vocab)
                start, rows = start + rows_per_block, []
        if rows:
            yield start, _block(rows, self.vocab)

    def _walk(self) -> Iterator[_Row]:
        sequence = 0
        for number, document in _documents(self._path):
            found = responses(Place(self._path, number), document, self._part)
            left_out = _left_out(found)
            for response in found:
                for position in response:
                    yield self._row(position, sequence, left_out)
                sequence += 1

    def _row(self, position: Position, sequence: int, left_out: float) -> _Row:
        place = position.place
        label = self._identify(place, position.came)
        known, unclear, hidden = self._known(position)
        witnesses = list(known.values())
        if position.mixed and label in known and known[label] == min(witnesses):
            witnesses.remove(known[label])
        error = 0.0
        label_log_p = _value(place, position.came)
        if label_log_p is None:
            label_log_p = known.get(label)
        elif label not in unclear and not position.came.ambiguous:
            listed = known.setdefault(label, label_log_p)
            error = abs(listed - label_log_p)
            if error > _TOLERANCE + 2 * left_out:
                raise place.complain(
                    f"token {self._shown(label)} has two log-probabilities, "
                    f"{listed:g} and {label_log_p:g}"
                )
            label_log_p = listed
        deepest = min(known.values(), default=0.0)
        rounding = _FLOAT32 * (_LARGEST_LOGIT - deepest) + left_out
        # What is above 0 shows an error of its own.
        error = max([error, rounding, *known.values()])
        known = {token: min(log_p, 0.0) for token, log_p in known.items()}
        total = math.fsum(map(math.exp, known.values()))
        if total * math.exp(-error) > 1.0 + _TOLERANCE:
            raise place.complain(f"the probabilities add up to {total:.6g}")
        cap = 1.0
        if witnesses and not position.incomplete:
            cap = math.exp(min(0.0, max(min(witnesses), hidden) + error))
        if label_log_p is None:
            label_log_p = math.nan
        return _Row(label, sequence, min(label_log_p, 0.0), known, error, cap)

    def _known(self, position: Position) -> tuple[dict[int, float], set[int], float]:
        """Return the listed tokens that are known, those that are not, and the largest of these."""
        known: dict[int, float] = {}
        unclear: set[int] = set()
        hidden = -math.inf
        for entry in position.listed:
            log_p = _value(position.place, entry)
            if log_p is None:
                continue
            token = self._identify(position.place, entry)
            if token in known and not self._interned:
                raise position.place.complain(f"token {token} is listed twice")
            if entry.ambiguous or token in known or token in unclear:
                # Two tokens of one text: which is which, nobody knows.
                hidden = max(hidden, log_p, known.pop(token, -math.inf))
                unclear.add(token)
            else:
                known[token] = log_p
        return known, unclear, hidden

    def _identify(self, place: Place, entry: Entry) -> int:
        interned = isinstance(entry.token, bytes)
        if self._interned is None:
            self._interned = interned
        elif self._interned != interned:
            raise place.complain(
                "some tokens have identifiers and some only their text; "
                'choose some by part="prompt" or part="output"'
            )
        if isinstance(entry.token, bytes):
            return self._table.intern(entry.token)
        if self.vocab is not None and entry.token >= self.vocab:
            raise place.complain(f"token {entry.token} is outside the vocabulary of {self.vocab}")
        if entry.text is not None:
            self.texts.setdefault(entry.token, entry.text)
        return entry.token

    def _shown(self, token: int) -> str:
        return repr(self._table[token]) if self._interned else str(token)


def _value(place: Place, entry: Entry) -> float | None:
    """Return a log-probability, or None where the token is but said to be improbable."""
    said = entry.log_p
    if said is None:
        return None
    if type(said) is not int and not isinstance(said, Number):
        raise place.complain(f"a logprob is {said!r:.40}; takes a number or null")
    log_p = _number(said)
    if math.isnan(log_p) or log_p > _TOLERANCE:
        raise place.complain(f"a logprob is {str(said)[:40]}; no probability has it")
    return None if log_p <= _SENTINEL else log_p


def _number(said: int | Number) -> float:
    try:
        return float(said)
    except OverflowError:
        return math.inf if int(said) > 0 else -math.inf


def _left_out(found: list[list[Position]]) -> float:
    """Return what the printing of a document left out of its log-probabilities at most."""
    places = 0
    printed = False
    for response in found:
        for position in response:
            for entry in (position.came, *position.listed):
                said = entry.log_p
                if not isinstance(said, int | Number) or not _SENTINEL < _number(said) < math.inf:
                    continue
                mantissa, _, exponent = str(said).lower().partition("e")
                whole, _, fraction = mantissa.lstrip("+-").partition(".")
                if len((whole + fraction).lstrip("0")) >= _EXACT_DIGITS:
                    return 0.0
                printed = True
                places = max(places, len(fraction) - int(exponent or 0))
    return 0.5 * 10.0**-places if printed else 0.0


def _documents(path: FilePath) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the documents of a file and their numbers, from 0."""
    with open(path, "rb") as file:
        if file_size(path) and file.read(3) != b"\xef\xbb\xbf":
            file.seek(0)
        begin, first = file.tell(), b""
        for first in iter(lambda: file.readline(_LARGEST_DOCUMENT), b""):
            if first.strip():
                break
            begin = file.tell()
        lines: Iterable[bytes]
        file.seek(begin)
        if _is_document(first):
            lines = iter(lambda: file.readline(_LARGEST_DOCUMENT + 1), b"")
        else:
            # Never more than there is: room for all that is asked for would be taken first.
            lines = [file.read(min(_LARGEST_DOCUMENT + 1, file_size(path)))]
        number = 0
        for line in lines:
            if line.strip():
                for document in _parsed(Place(path, number), line):
                    yield number, document
                    number += 1


def _is_document(line: bytes) -> bool:
    """Tell whether the line that begins a file is a document of its own."""
    # Of one that is spread over lines, the first is a bracket and little more.
    if line.rstrip()[-1:] not in (b"}", b"]"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(place: Place, content: bytes) -> list[dict[str, Any]]:
    if len(content) > _LARGEST_DOCUMENT:
        raise place.complain(
            f"has more than {_LARGEST_DOCUMENT >> 20} MiB; write a document on each line"
        )
    try:
        parsed = json.loads(
            content.decode(), parse_float=Number, parse_constant=Number, object_pairs_hook=_unique
        )
    except RecursionError:
        raise place.complain("is no JSON: it is nested too deeply") from None
    except ValueError as error:
        raise place.complain(f"is no JSON: {error}") from None
    documents = parsed if isinstance(parsed, list) else [parsed]
    for i, document in enumerate(documents):
        if not isinstance(document, dict):
            raise Place(place.path, place.document + i).complain("is no JSON object")
    return documents


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ValueError(f"an object has {twice!r:.40} twice")
    return fields
