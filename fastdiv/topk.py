"""Rows of which only the most probable tokens are known, and what that is enough to say.

A `TopKRows` holds for each row the tokens that are known, their log-probabilities, and what is
known of the rest. Nothing is made up: no renormalisation, no value for an unknown token.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TopKRows"]


@dataclass(frozen=True)
class TopKRows:
    """Rows of known tokens and a tail; row i has those from ``offsets[i]`` to ``offsets[i + 1]``.

    Attributes
    ----------
    offsets : ndarray of int64, shape (rows + 1,)
        Where each row begins in `tokens` and `log_p`.
    tokens : ndarray of int64
        Identifiers of the known tokens, each once in a row, in any order.
    log_p : ndarray of float64
        Their log-probabilities.
    error : ndarray of float64, shape (rows,)
        The true log-probability of each known token of the row is within this of `log_p`.
    tail : ndarray of float64, shape (rows,)
        Probability of all other tokens together.
    tail_error : ndarray of float64, shape (rows,)
        The true one is within this of `tail`.
    cap : ndarray of float64, shape (rows,)
        No token of the tail is more probable than this.
    tail_entropy : ndarray of float64, shape (rows,)
        −Σ p log p over the tail; NaN where it is not known.
    label_log_p : ndarray of float64, shape (rows,)
        Log-probability of the token that the row predicts; NaN where it is not known.
    vocab : int or None
        Number of tokens in all; None where it is not known.
    """

    offsets: NDArray[np.int64]
    tokens: NDArray[np.int64]
    log_p: NDArray[np.float64]
    error: NDArray[np.float64]
    tail: NDArray[np.float64]
    tail_error: NDArray[np.float64]
    cap: NDArray[np.float64]
    tail_entropy: NDArray[np.float64]
    label_log_p: NDArray[np.float64]
    vocab: int | None = None

    def __len__(self) -> int:
        return self.tail.size
