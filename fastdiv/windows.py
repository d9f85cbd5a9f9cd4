"""Which tokens of a long text a model reads at once, and which of them are scored.

A text longer than the context is cut into windows, and the perplexity depends on how. Three plans
are in use; each is given here as ranges of indices, so that any engine can follow it:

:func:`rolling_windows`
    lm-evaluation-harness [1]_: every token is scored once, the first after a prefix token.
:func:`strided_windows`
    Hugging Face's guide [2]_: windows overlap, what an earlier one has scored is masked.
:func:`chunk_windows`
    llama.cpp [3]_: disjoint chunks, the second half of each is scored.

Positions count tokens of the text; −1 is the prefix token.  A model that reads tokens
begin … end − 1 has in row i the prediction of token begin + i + 1.

References
----------
.. [1] EleutherAI, lm-evaluation-harness, ``lm_eval/utils.py``.
.. [2] Hugging Face, Transformers, "Perplexity of fixed-length models".
.. [3] llama.cpp, ``tools/perplexity``.
"""

import operator
from collections.abc import Iterator
from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import integer_of, unmasked

__all__ = [
    "Window",
    "chunk_windows",
    "inputs",
    "labels",
    "rolling_windows",
    "strided_windows",
]


class Window(NamedTuple):
    """One window of a plan.

    Attributes
    ----------
    begin, end : int
        The model reads tokens begin … end − 1; begin is −1 where the prefix token comes first.
    score_begin, score_end : int
        Tokens score_begin … score_end − 1 are scored. None of them is the first that is read.

    Examples
    --------
    >>> window = Window(begin=4, end=8, score_begin=6, score_end=9)
    >>> window.rows, window.context, window.scored
    (slice(1, 4, None), slice(4, 6, None), slice(6, 9, None))
    """

    begin: int
    end: int
    score_begin: int
    score_end: int

    @property
    def rows(self) -> slice:
        """Rows of the model's output that predict the scored tokens."""
        return slice(self.score_begin - 1 - self.begin, self.score_end - 1 - self.begin)

    @property
    def context(self) -> slice:
        """Tokens that are read only: the harness's disjoint context, but for the prefix."""
        return slice(max(self.begin, 0), self.score_begin)

    @property
    def scored(self) -> slice:
        """Tokens that are scored: the harness's continuation."""
        return slice(self.score_begin, self.score_end)


def rolling_windows(
    tokens: SupportsIndex, max_length: SupportsIndex, context: SupportsIndex = 1
) -> Iterator[Window]:
    """Plan windows as lm-evaluation-harness's ``get_rolling_token_windows``.

    Parameters
    ----------
    tokens : int
        How many the text has.
    max_length : int
        How many the model reads at once, at least 1.
    context : int, default 1
        How many tokens each later window reads before the first that it scores, 1 … max_length.
        The harness uses 1.

    Yields
    ------
    Window
        The first reads the prefix token (begin = −1). Every token is scored exactly once.
        ``make_disjoint_window`` is ``context`` and ``scored`` of each window.

    Raises
    ------
    ValueError
        A number out of range.

    Examples
    --------
    >>> for window in rolling_windows(10, 4):
    ...     print(tuple(window))
    (-1, 3, 0, 4)
    (3, 7, 4, 8)
    (5, 9, 8, 10)
    """
    count = _whole("rolling_windows", "tokens", tokens, 0)
    length = _whole("rolling_windows", "max_length", max_length, 1)
    kept = _whole("rolling_windows", "context", context, 1, length)
    return _rolling(count, length, length - kept + 1)


def _rolling(count: int, length: int, step: int) -> Iterator[Window]:
    done = min(length, count)
    if done:
        yield Window(-1, done - 1, 0, done)
    while done < count:
        stop = min(done + step, count)
        yield Window(stop - 1 - length, stop - 1, done, stop)
        done = stop


def strided_windows(
    tokens: SupportsIndex, max_length: SupportsIndex, stride: SupportsIndex
) -> Iterator[Window]:
    """Plan windows as Hugging Face's guide: one every `stride` tokens, overlaps masked.

    Parameters
    ----------
    tokens : int
        How many the text has.
    max_length : int
        How many the model reads at once, at least 1.
    stride : int
        1 … max_length.

    Yields
    ------
    Window
        A token is scored by the first window that reads it, unless it is the first of that window:
        nothing predicts it. So token 0 is never scored, and with stride = max_length the first of
        every window is not; all others are, exactly once. A window that would score nothing is
        planned all the same, as the guide has it.

    Raises
    ------
    ValueError
        A number out of range.

    Examples
    --------
    >>> for window in strided_windows(10, 6, 3):
    ...     print(tuple(window))
    (0, 6, 1, 6)
    (3, 9, 6, 9)
    (6, 10, 9, 10)
    """
    count = _whole("strided_windows", "tokens", tokens, 0)
    length = _whole("strided_windows", "max_length", max_length, 1)
    step = _whole("strided_windows", "stride", stride, 1, length)
    return _strided(count, length, step)


def _strided(count: int, length: int, step: int) -> Iterator[Window]:
    done = 0
    for begin in range(0, count, step):
        end = min(begin + length, count)
        yield Window(begin, end, max(done, begin + 1), end)
        done = end
        if end == count:
            return


def chunk_windows(tokens: SupportsIndex, n_ctx: SupportsIndex) -> Iterator[Window]:
    """Plan windows as llama.cpp: whole chunks of `n_ctx`, scored from the middle on.

    Parameters
    ----------
    tokens : int
        How many the text has; what is left of a chunk at the end is not read.
    n_ctx : int
        At least 2.

    Yields
    ------
    Window
        Rows ⌊n_ctx/2⌋ … n_ctx − 2 of a chunk predict the tokens after them:
        n_ctx − 1 − ⌊n_ctx/2⌋ of them are scored. Where the model has a start token, llama.cpp reads
        it instead of the chunk's first token.

    Raises
    ------
    ValueError
        A number out of range.

    Examples
    --------
    >>> for window in chunk_windows(20, 8):
    ...     print(tuple(window), window.rows)
    (0, 8, 5, 8) slice(4, 7, None)
    (8, 16, 13, 16) slice(4, 7, None)
    """
    count = _whole("chunk_windows", "tokens", tokens, 0)
    length = _whole("chunk_windows", "n_ctx", n_ctx, 2)
    return (
        Window(begin, begin + length, begin + length // 2 + 1, begin + length)
        for begin in range(0, count - length + 1, length)
    )


def inputs(tokens: ArrayLike, window: Window, *, prefix: int | None = None) -> NDArray[np.int64]:
    """Return the tokens that the model reads.

    Parameters
    ----------
    tokens : array_like of int
        Of the whole text.
    window : Window
    prefix : int, optional
        The token at position −1, for a window that begins there.

    Returns
    -------
    ndarray of int64, shape (end − begin,)

    Raises
    ------
    ValueError
        A window beyond the text, or one that wants a prefix where none is given.

    Examples
    --------
    >>> first, second = rolling_windows(4, 3)
    >>> inputs([11, 12, 13, 14], first, prefix=1), inputs([11, 12, 13, 14], second)
    (array([ 1, 11, 12]), array([11, 12, 13]))
    """
    ids = _tokens("inputs", tokens, window)
    if window.begin >= 0:
        return ids[window.begin : window.end]
    if prefix is None:
        raise ValueError("inputs: the window begins at -1; it takes a prefix token")
    return np.concatenate([[prefix], ids[: window.end]]).astype(np.int64)


def labels(
    tokens: ArrayLike, window: Window, *, ignore_index: int = -100, shifted: bool = True
) -> NDArray[np.int64]:
    """Return one label per token that the model reads.

    Parameters
    ----------
    tokens : array_like of int
        Of the whole text.
    window : Window
    ignore_index : int, default -100
        Stands for tokens that are not scored.
    shifted : bool, default True
        True: label i is what row i predicts, as fastdiv's functions take them. False: label i is
        the token i that is read, as Hugging Face's models take them, which shift by themselves.

    Returns
    -------
    ndarray of int64, shape (end − begin,)

    Raises
    ------
    ValueError
        A window beyond the text, or one that scores what it does not read (those of
        `rolling_windows`) with ``shifted=False``.

    Examples
    --------
    >>> _, window, _ = strided_windows(10, 6, 3)
    >>> labels(range(10, 20), window)
    array([-100, -100,   16,   17,   18, -100])
    >>> labels(range(10, 20), window, shifted=False)
    array([-100, -100, -100,   16,   17,   18])
    """
    ids = _tokens("labels", tokens, window)
    ignored = integer_of("labels", "ignore_index", ignore_index)
    found = np.full(window.end - window.begin, ignored, np.int64)
    rows = window.rows
    if not shifted:
        rows = slice(rows.start + 1, rows.stop + 1)
        if rows.stop > found.size:
            raise ValueError(
                f"labels: token {window.score_end - 1} is scored but not read, so it has no label"
                " without shifting"
            )
    found[rows] = ids[window.scored]
    return found


def _tokens(function: str, tokens: ArrayLike, window: Window) -> NDArray[np.int64]:
    given = unmasked(function, "tokens", tokens)
    if given.dtype.kind not in "iu" and given.size:
        raise TypeError(f"{function}: tokens have dtype {given.dtype}; they are integers")
    if given.ndim != 1:
        raise ValueError(f"{function}: tokens have shape {given.shape}; one text is one axis")
    begin, end, score_begin, score_end = window
    if not (-1 <= begin < score_begin <= score_end <= given.size and begin <= end <= given.size):
        raise ValueError(f"{function}: {window} is not of a text of {given.size} tokens")
    if not score_end - 1 <= end:
        raise ValueError(f"{function}: {window} scores tokens that it does not predict")
    return given.astype(np.int64, copy=False)


def _whole(
    function: str, argument: str, value: SupportsIndex, least: int, most: int | None = None
) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {argument} is {value!r}; it takes an integer") from None
    if number < least or (most is not None and number > most):
        takes = f"at least {least}" if most is None else f"{least}…{most}"
        raise ValueError(f"{function}: {argument} is {number}; it takes {takes}")
    return number
