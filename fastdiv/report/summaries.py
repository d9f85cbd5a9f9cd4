"""What the pictures show, as numbers: means with errors, histograms, quantiles, differences.

Tokens of one text are not independent. Where sequences are known, standard errors are clustered by
them; where there is one sequence, or none is named, tokens count as independent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.uncertainty import mean

__all__ = [
    "Bucket",
    "Candidate",
    "Histogram",
    "Mean",
    "buckets_of",
    "confidence_edges",
    "histograms_of",
    "mean_of",
    "paired_difference",
    "position_edges",
    "quantiles_of",
    "widened",
]

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """One candidate's numbers, token by token; a picture is drawn of what is there.

    Attributes
    ----------
    name : str
        Any text; it is escaped wherever it is shown.
    columns : mapping of str to array_like
        One number per token under any of these names: kl, reverse_kl, js, tv, hellinger, nll_base,
        nll_candidate, delta_p, same_top, entropy_base, entropy_candidate, confidence_base,
        confidence_candidate, position, sequence, row, p_tail, kl_lower, kl_upper.
    band : tuple of three array_like, optional
        Confidence band of the quantiles of KLD: levels in (0, 1), lower ends, upper ends.
    """

    name: str
    columns: Mapping[str, ArrayLike]
    band: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None

    def __post_init__(self) -> None:
        """Check that the columns are of the same tokens."""
        sizes = {name: np.shape(column) for name, column in self.columns.items()}
        for name, shape in sizes.items():
            if len(shape) != 1:
                raise ValueError(
                    f"Candidate {self.name!r}: column {name!r} has shape {shape};"
                    " it takes one number per token"
                )
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {shape[0]}" for name, shape in sizes.items())
            raise ValueError(f"Candidate {self.name!r}: columns differ in length: {told}")

    def column(self, name: str) -> Column | None:
        """Return a column as float64, or None where there is none."""
        found = self.columns.get(name)
        return None if found is None else np.asarray(found, dtype=np.float64)

    @property
    def kl(self) -> Column | None:
        """KLD, or the certified lower end of it where only that is known."""
        kl = self.column("kl")
        return self.column("kl_lower") if kl is None else kl

    @property
    def bounded(self) -> bool:
        """Whether `kl` is a lower bound."""
        return "kl" not in self.columns and "kl_lower" in self.columns

    @cached_property
    def sequence(self) -> NDArray[np.intp] | None:
        """Number of the sequence of each token; None where fewer than two are known."""
        given = self.columns.get("sequence")
        if given is None:
            return None
        names, numbers = np.unique(np.asarray(given), return_inverse=True)
        return numbers if names.size > 1 else None


class Mean(NamedTuple):
    """A mean over tokens, NaN among them left out; its standard error, NaN where undefined."""

    value: float
    se: float
    tokens: int


class Bucket(NamedTuple):
    """The mean of one quantity over the tokens that are alike in another."""

    centre: float
    mean: Mean


class Histogram(NamedTuple):
    """Tokens per bin of log10, and those that no logarithm places."""

    edges: Column
    counts: NDArray[np.intp]
    zeros: int
    negative: int
    infinite: int
    nan: int


def mean_of(values: Column, sequence: NDArray[np.intp] | None = None) -> Mean:
    """Return the mean of what is not NaN; with sequences, its cluster-robust error.

    Examples
    --------
    >>> import numpy as np
    >>> mean_of(np.array([1.0, 3.0, np.nan]))
    Mean(value=2.0, se=1.0, tokens=2)
    """
    known = ~np.isnan(values)
    found = values[known]
    if not found.size:
        return Mean(math.nan, math.nan, 0)
    which = None if sequence is None else sequence[known]
    return Mean(*mean(found, sequence_ids=which), found.size)


def position_edges(positions: Sequence[Column], most: int = 16) -> Column:
    """Return where buckets of position begin: one each, or `most` of as many tokens."""
    together = np.concatenate(positions)
    distinct: Column = np.unique(together)
    if distinct.size <= most:
        return distinct
    levels = np.arange(most) / most
    return np.asarray(np.unique(np.quantile(together, levels, method="higher")), np.float64)


def confidence_edges() -> Column:
    """Return where ten buckets of a probability begin."""
    return np.arange(10) / 10


def buckets_of(
    values: Column, by: Column, edges: Column, sequence: NDArray[np.intp] | None
) -> list[Bucket]:
    """Return the mean in each bucket that has tokens, at the mean of what they are alike in."""
    known = ~(np.isnan(by) | np.isnan(values))
    which = np.clip(np.searchsorted(edges, by, side="right") - 1, 0, None)
    found = []
    for number in range(edges.size):
        inside = known & (which == number)
        if inside.any():
            part = None if sequence is None else sequence[inside]
            found.append(Bucket(float(by[inside].mean()), mean_of(values[inside], part)))
    return found


def histograms_of(columns: Sequence[Column]) -> list[Histogram]:
    """Count tokens by the logarithm of their KLD, in bins that all columns share."""
    positive = [values[(values > 0) & np.isfinite(values)] for values in columns]
    logs = [np.log10(values) for values in positive]
    most = max(values.size for values in logs)
    if most:
        low = min(float(values.min()) for values in logs if values.size)
        high = max(float(values.max()) for values in logs if values.size)
        # An odd number: one value stands in the middle of a bin, not at its edge.
        bins = min(60, max(8, math.ceil(2.5 * most ** (1 / 3)))) | 1
        edges = np.linspace(*widened(low, high), bins + 1)
    else:
        edges = np.array([-1.0, 0.0])
    return [
        Histogram(
            edges,
            np.histogram(part, edges)[0],
            zeros=int(np.count_nonzero(values == 0)),
            negative=int(np.count_nonzero(values < 0)),
            infinite=int(np.count_nonzero(values == np.inf)),
            nan=int(np.count_nonzero(np.isnan(values))),
        )
        for values, part in zip(columns, logs, strict=True)
    ]


def widened(low: float, high: float) -> tuple[float, float]:
    """Return an interval of log10 about the given one, wide enough for two labels."""
    more = max(0.0, 0.4 - (high - low)) / 2
    return low - more, high + more


def quantiles_of(values: Column, levels: Column) -> Column:
    """Return quantiles of what is not NaN, linearly interpolated at p·(n − 1).

    Examples
    --------
    >>> import numpy as np
    >>> quantiles_of(np.array([4.0, 0.0, np.inf]), np.array([0.25, 0.5, 1.0]))
    array([ 2.,  4., inf])
    """
    ordered = np.sort(values[~np.isnan(values)])
    place = levels * (ordered.size - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, ordered.size - 1)
    low, high = ordered[below], ordered[above]
    part = place - below
    # Nothing is interpolated between equal neighbours: inf − inf is no distance.
    between = (part > 0) & (low != high)
    found = low.copy()
    found[between] += (high[between] - low[between]) * part[between]
    return np.asarray(found)


def paired_difference(candidate: Candidate, best: Candidate) -> Mean | None:
    """Return the mean over the same tokens of KLD of one candidate − KLD of another.

    None where nothing says which tokens are the same (no `row` and different lengths), and for
    bounds, whose differences bound nothing.
    """
    ours, theirs = candidate.kl, best.kl
    if ours is None or theirs is None or candidate.bounded or best.bounded:
        return None
    sequence = candidate.sequence
    rows, other_rows = candidate.columns.get("row"), best.columns.get("row")
    if rows is not None and other_rows is not None:
        _, left, right = np.intersect1d(
            np.asarray(rows), np.asarray(other_rows), return_indices=True
        )
        ours, theirs = ours[left], theirs[right]
        sequence = None if sequence is None else sequence[left]
    elif ours.size != theirs.size:
        return None
    with np.errstate(invalid="ignore"):
        return mean_of(ours - theirs, sequence)
