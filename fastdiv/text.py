r"""Perplexity per word and per byte: what makes models with different tokenisers comparable.

With ℓ the log-likelihood of a whole text (nats, ≤ 0), as lm-evaluation-harness [1]_ defines them:

- word perplexity: exp(−Σℓ / Σwords), words = ``len(re.split(r"\s+", text))``;
- byte perplexity: exp(−Σℓ / Σbytes), bytes of UTF-8;
- bits per byte: −Σℓ / (Σbytes · ln 2).

References
----------
.. [1] EleutherAI, lm-evaluation-harness, ``lm_eval/api/metrics.py``, ``lm_eval/tasks/wikitext``.
"""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from fastdiv.uncertainty import Estimate, exp_of

__all__ = [
    "TextSize",
    "bits_per_byte",
    "byte_perplexity",
    "text_size",
    "word_perplexity",
]


class TextSize(NamedTuple):
    """How long texts are together.

    Attributes
    ----------
    words, bytes : int
    """

    words: int
    bytes: int


def text_size(texts: str | Iterable[str]) -> TextSize:
    r"""Count words and bytes as lm-evaluation-harness does.

    Parameters
    ----------
    texts : str or iterable of str

    Returns
    -------
    TextSize
        Words are what white space separates: white space at either end adds an empty one, and an
        empty text is one word.

    Raises
    ------
    TypeError
        A text that is no string.

    Examples
    --------
    >>> text_size(["to be\nor not", "être "])
    TextSize(words=6, bytes=18)
    """
    words = size = 0
    for text in [texts] if isinstance(texts, str) else texts:
        if not isinstance(text, str):
            raise TypeError(f"text_size: a text is {type(text).__name__}; it takes str")
        words += len(re.split(r"\s+", text))
        size += len(text.encode("utf-8"))
    return TextSize(words, size)


def word_perplexity(nll: Estimate, tokens: int, words: int) -> Estimate:
    """Perplexity per word.

    Parameters
    ----------
    nll : Estimate
        Mean negative log-likelihood per token, in nats.
    tokens, words : int
        How many tokens that mean is of, and how many words they make.

    Returns
    -------
    Estimate
        The number of words is taken as given: the error is that of the log-likelihood alone.

    Examples
    --------
    >>> round(word_perplexity(Estimate(2.0, 0.0), tokens=30, words=20).value, 6)
    20.085537
    """
    return exp_of(_per(nll, tokens, words))


def byte_perplexity(nll: Estimate, tokens: int, size: int) -> Estimate:
    """Perplexity per byte of UTF-8.

    Parameters
    ----------
    nll : Estimate
        Mean negative log-likelihood per token, in nats.
    tokens, size : int
        How many tokens that mean is of, and how many bytes they make.

    Returns
    -------
    Estimate
        The error as of :func:`word_perplexity`.

    Examples
    --------
    >>> round(byte_perplexity(Estimate(2.0, 0.0), tokens=30, size=120).value, 6)
    1.648721
    """
    return exp_of(_per(nll, tokens, size))


def bits_per_byte(nll: Estimate, tokens: int, size: int) -> Estimate:
    """Bits that the model needs for a byte of UTF-8.

    Parameters
    ----------
    nll : Estimate
        Mean negative log-likelihood per token, in nats.
    tokens, size : int
        How many tokens that mean is of, and how many bytes they make.

    Returns
    -------
    Estimate

    Examples
    --------
    >>> round(bits_per_byte(Estimate(2.0, 0.0), tokens=30, size=120).value, 6)
    0.721348
    """
    value, se = _per(nll, tokens, size)
    return Estimate(value / math.log(2), se / math.log(2))


def _per(nll: Estimate, tokens: int, units: int) -> Estimate:
    if not units:
        return Estimate(math.nan, math.nan)
    # In this order: a perplexity of one token per unit is exactly the perplexity per token.
    return Estimate(nll.value * tokens / units, nll.se * tokens / units)
