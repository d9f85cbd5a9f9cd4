"""Statistics over many tokens: streaming, mergeable, and the same however the rows were split.

Promise: a meter that has seen the same rows gives the same bits, whether they came in one update
or in a thousand, or in meters merged afterwards. It keeps one float64 per token and column, and
every sum over them is :func:`math.fsum`, which rounds once; no sum depends on an order.

Standard errors are those of llama.cpp's report, √((S2/n − μ²)/(n − 1)), taken from the centred
squares, which is the same number without its cancellation. For the same reason the errors of
ln(PPL(Q)/PPL(base)) and PPL(Q) − PPL(base) are taken from the paired differences per token: the
variance of a difference is what se_q² + se_b² − 2cov spells out.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.tokens import LogitComparison, compare_logits, token_nll

__all__ = [
    "ComparisonMeter",
    "ComparisonReport",
    "Distribution",
    "Estimate",
    "PerplexityMeter",
    "PerplexityRatio",
    "PerplexityReport",
]

Json: TypeAlias = "dict[str, Json] | float | int | str | None"
Tail: TypeAlias = Literal["none", "bucket", "llama.cpp"]
_Column: TypeAlias = NDArray[np.float64]

# Name and position in thousandths, so that the place among n sorted values is exact.
_QUANTILES = (
    ("max", 1000),
    ("p99.9", 999),
    ("p99", 990),
    ("p95", 950),
    ("p90", 900),
    ("p75", 750),
    ("median", 500),
    ("p25", 250),
    ("p10", 100),
    ("p5", 50),
    ("p1", 10),
    ("p0.1", 1),
    ("min", 0),
)
_QUARTILES = ("p75", "p25")


class Estimate(NamedTuple):
    """A value and its standard error; NaN where undefined.

    Attributes
    ----------
    value, se : float
    """

    value: float
    se: float

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"value", "se"}``, undefined as None and infinite as a string."""
        return {"value": _number(self.value), "se": _number(self.se)}


@dataclass(frozen=True)
class Distribution:
    """How one quantity is distributed over the tokens.

    Attributes
    ----------
    mean : Estimate
    rms : Estimate or None
        Root of the mean square, for quantities of either sign.
    quantiles : dict of str to float
        From ``"max"`` to ``"min"``, linearly interpolated at p·(n − 1).
    """

    mean: Estimate
    rms: Estimate | None
    quantiles: dict[str, float]

    def to_dict(self) -> dict[str, Json]:
        """Return one flat dictionary: mean, rms where there is one, quantiles."""
        rms: dict[str, Json] = {} if self.rms is None else {"rms": self.rms.to_dict()}
        quantiles = {name: _number(value) for name, value in self.quantiles.items()}
        return {"mean": self.mean.to_dict(), **rms, **quantiles}


@dataclass(frozen=True)
class PerplexityReport:
    """What :class:`PerplexityMeter` computes.

    Attributes
    ----------
    tokens, vocab : int
    nll : Estimate
        Mean negative log-likelihood of the labels, in nats.
    perplexity : Estimate
        exp(nll).
    bits_per_token : float
        nll / ln 2.
    nan_rows : tuple of int
        Rows whose result is NaN, counted from the first row that the meter saw.
    """

    tokens: int
    vocab: int | None
    nll: Estimate
    perplexity: Estimate
    bits_per_token: float
    nan_rows: tuple[int, ...]

    def to_dict(self) -> dict[str, Json]:
        """Return the object that ``fastdiv perplexity --json`` prints."""
        return {
            "tokens": self.tokens,
            "vocab": self.vocab,
            "nll": self.nll.to_dict(),
            "perplexity": self.perplexity.to_dict(),
            "bits_per_token": _number(self.bits_per_token),
        }


@dataclass(frozen=True)
class PerplexityRatio:
    """Perplexities of two models on the same tokens, and how they differ.

    Attributes
    ----------
    base, candidate : Estimate
        Perplexity of each.
    ratio, log_ratio, difference : Estimate
        candidate / base, ln of it, candidate − base; errors are of the paired tokens.
    log_correlation : float
        Correlation of the two mean log-likelihoods.
    """

    base: Estimate
    candidate: Estimate
    ratio: Estimate
    log_ratio: Estimate
    difference: Estimate
    log_correlation: float

    def to_dict(self) -> dict[str, Json]:
        """Return the member ``"perplexity"`` of the comparison's JSON."""
        return {
            "base": self.base.to_dict(),
            "candidate": self.candidate.to_dict(),
            "ratio": self.ratio.to_dict(),
            "log_ratio": self.log_ratio.to_dict(),
            "difference": self.difference.to_dict(),
            "log_correlation": _number(self.log_correlation),
        }


@dataclass(frozen=True)
class ComparisonReport:
    """What :class:`ComparisonMeter` computes.

    Attributes
    ----------
    tokens, vocab : int
    tail : {"none", "bucket", "llama.cpp"}
    perplexity : PerplexityRatio or None
        None without labels, as `delta_p`.
    kl_divergence, reverse_kl_divergence, js_divergence, total_variation, hellinger_distance : \
Distribution
    delta_p : Distribution or None
        Change of the label's probability, candidate − base, as a fraction.
    same_top : Estimate
        Fraction of tokens for which both models rank the same token first.
    p_tail : Estimate or None
        Mean probability that the base gives to the tail bucket; only for that tail.
    nan_rows : tuple of int
        Rows with a NaN in any column, counted from the first row that the meter saw.
    """

    tokens: int
    vocab: int | None
    tail: Tail
    perplexity: PerplexityRatio | None
    kl_divergence: Distribution
    reverse_kl_divergence: Distribution
    js_divergence: Distribution
    total_variation: Distribution
    hellinger_distance: Distribution
    delta_p: Distribution | None
    same_top: Estimate
    p_tail: Estimate | None
    nan_rows: tuple[int, ...]

    def to_dict(self) -> dict[str, Json]:
        """Return the object that ``fastdiv compare --json`` prints."""
        p_tail: dict[str, Json] = {} if self.p_tail is None else {"p_tail": self.p_tail.to_dict()}
        return {
            "tokens": self.tokens,
            "vocab": self.vocab,
            "tail": self.tail,
            "perplexity": _or_none(self.perplexity),
            "kl_divergence": self.kl_divergence.to_dict(),
            "reverse_kl_divergence": self.reverse_kl_divergence.to_dict(),
            "js_divergence": self.js_divergence.to_dict(),
            "total_variation": self.total_variation.to_dict(),
            "hellinger_distance": self.hellinger_distance.to_dict(),
            "delta_p": _or_none(self.delta_p),
            "same_top": self.same_top.to_dict(),
            **p_tail,
        }


class _Options(TypedDict):
    ignore_index: int
    vocab_size: int | None
    dtype: str | None


class _TokenColumns:
    """Columns of one float64 per counted token, under names that the first update fixes."""

    def __init__(
        self,
        *,
        tail: Tail = "none",
        ignore_index: int = -100,
        vocab_size: int | None = None,
        dtype: str | None = None,
    ) -> None:
        self.tail: Tail = tail
        self.vocab: int | None = None
        self._options = _Options(ignore_index=ignore_index, vocab_size=vocab_size, dtype=dtype)
        self._columns: dict[str, list[_Column]] = {}
        self._rows = 0
        self._nan_rows: list[int] = []

    @property
    def tokens(self) -> int:
        """Number of tokens counted so far."""
        return sum(part.size for part in next(iter(self._columns.values()), []))

    @property
    def nan_rows(self) -> tuple[int, ...]:
        """Rows with a NaN in any column, counted from the first row that the meter saw."""
        return tuple(self._nan_rows)

    def column(self, name: str) -> _Column:
        """Return one number per counted token, in the order of the updates.

        Parameters
        ----------
        name : str
            As in the report; KeyError where the meter has no such column.
        """
        if not self._columns:
            return np.empty(0)
        parts = self._columns[name]
        return np.concatenate(parts) if parts else np.empty(0)

    def _counted(self, labels: ArrayLike, rows: ArrayLike) -> NDArray[np.bool_]:
        return np.broadcast_to(np.not_equal(labels, self._options["ignore_index"]), np.shape(rows))

    def _vocab_of(self, logits: ArrayLike) -> int:
        width: int = np.shape(logits)[-1]
        return min(width, self._options["vocab_size"] or width)

    def _append(
        self, columns: dict[str, _Column], *, vocab: int, counted: NDArray[np.bool_] | None
    ) -> None:
        if self._columns and self._columns.keys() != columns.keys():
            raise ValueError(
                f"{type(self).__name__}.update: labels must be given in every update or in none"
            )
        self._agree_on(vocab)
        rows = next(iter(columns.values())).size
        numbers = np.arange(self._rows, self._rows + rows)
        if counted is not None:
            numbers = numbers[counted]
            columns = {name: column[counted] for name, column in columns.items()}
        with_nan = np.zeros(numbers.size, np.bool_)
        for name, column in columns.items():
            self._columns.setdefault(name, []).append(column)
            with_nan |= np.isnan(column)
        self._nan_rows.extend(numbers[with_nan].tolist())
        self._rows += rows

    def _agree_on(self, vocab: int | None) -> None:
        if self.vocab is not None and vocab is not None and self.vocab != vocab:
            raise ValueError(
                f"{type(self).__name__}: vocabulary of {vocab} after one of {self.vocab}"
            )
        self.vocab = vocab if self.vocab is None else self.vocab

    def merge(self, other: Self) -> Self:
        """Add the tokens of another meter; its rows are numbered on from here.

        Parameters
        ----------
        other : same class
            Left as it is.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            `other` is another kind of meter.
        ValueError
            Its vocabulary, tail or columns differ.
        """
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__}.merge takes its own kind, not {type(other).__name__}"
            )
        if self._columns and other._columns and self._columns.keys() != other._columns.keys():
            raise ValueError(f"{type(self).__name__}.merge: only one of the two has labels")
        if self.tail != other.tail:
            raise ValueError(
                f"{type(self).__name__}.merge: tail {other.tail!r} into one of {self.tail!r}"
            )
        self._agree_on(other.vocab)
        # The list is copied first, so that merging a meter with itself doubles it and ends.
        for name, parts in list(other._columns.items()):
            self._columns.setdefault(name, []).extend(list(parts))
        self._nan_rows.extend([self._rows + row for row in other._nan_rows])
        self._rows += other._rows
        return self


class PerplexityMeter(_TokenColumns):
    """Perplexity of a language model over any number of tokens.

    Parameters
    ----------
    ignore_index : int, default -100
        Rows with this label are not counted.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    dtype : {"bfloat16"}, optional
        Says that uint16 logits hold raw bfloat16 bits.

    Notes
    -----
    perplexity = exp(μ), μ = mean of −ln p[label]; standard errors √((S2/n − μ²)/(n − 1)) and
    perplexity · se(μ).

    Examples
    --------
    >>> import numpy as np
    >>> meter = PerplexityMeter()
    >>> meter.update(np.zeros((4, 8)), [0, 1, 2, 3])
    >>> meter.update(np.zeros((2, 8)), [5, -100])
    >>> report = meter.compute()
    >>> report.tokens, round(report.perplexity.value, 12), round(report.bits_per_token, 12)
    (5, 8.0, 3.0)
    """

    def __init__(
        self,
        *,
        ignore_index: int = -100,
        vocab_size: int | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(ignore_index=ignore_index, vocab_size=vocab_size, dtype=dtype)

    def update(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
    ) -> None:
        """Add the rows of one batch.

        Parameters
        ----------
        logits : array_like, shape (…, vocabulary)
        labels : array_like of int, shape (…)

        Raises
        ------
        IndexError
            A label out of range; nothing has been added then.
        ValueError
            Another vocabulary than before.
        """
        nll = token_nll(logits, labels, **self._options)
        self.update_columns(nll, vocab=self._vocab_of(logits), counted=self._counted(labels, nll))

    def update_columns(
        self, nll: ArrayLike, *, vocab: int, counted: ArrayLike | None = None
    ) -> None:
        """Add tokens whose negative log-likelihood is known.

        Parameters
        ----------
        nll : array_like of float
            −ln p[label] of each row, in nats.
        vocab : int
            Size of the vocabulary.
        counted : array_like of bool, optional
            False for rows to leave out; all rows by default.
        """
        self._append({"nll": _column(nll)}, vocab=vocab, counted=_mask(counted))

    def compute(self) -> PerplexityReport:
        """Return the statistics of all tokens so far."""
        nll = _mean(self.column("nll"))
        return PerplexityReport(
            tokens=self.tokens,
            vocab=self.vocab,
            nll=nll,
            perplexity=_perplexity(nll),
            bits_per_token=nll.value / math.log(2),
            nan_rows=self.nan_rows,
        )

    def to_dict(self) -> dict[str, Json]:
        """Return ``compute().to_dict()``."""
        return self.compute().to_dict()


class ComparisonMeter(_TokenColumns):
    """Every statistic of a comparison of two language models on the same tokens.

    Parameters
    ----------
    tail : {"none", "bucket", "llama.cpp"}
        What the columns say about tokens whose probability is not known; see
        :mod:`fastdiv.tails`. It is "none" wherever all logits of both models are there.
    ignore_index : int, default -100
        Rows with this label are not counted.
    vocab_size : int, optional
        Only the first so many logits of a row are the vocabulary; the rest is padding.
    dtype : {"bfloat16"}, optional
        Says that uint16 logits hold raw bfloat16 bits.

    Notes
    -----
    With labels, n tokens, and nll_q, nll_b the negative log-likelihoods of candidate and base:

    - perplexity: exp μ ± perplexity·se; their correlation cov/(se_q·se_b);
    - log_ratio: μ_q − μ_b ± u, u = √(se_q² + se_b² − 2cov); ratio: exp of it ± ratio·u;
    - difference: ± √(U_q² + U_b² − 2·PPL_q·PPL_b·cov), U = PPL·se;
    - delta_p: e^−nll_q − e^−nll_b, with its root mean square r ± se(Δp²)/(2r).

    Of every divergence: mean, and quantiles interpolated linearly at p·(n − 1). Rows with the
    label `ignore_index` are in none of them.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> base = rng.normal(size=(6, 10))
    >>> meter = ComparisonMeter()
    >>> meter.update(base[:4], base[:4], [1, 2, 3, 4])
    >>> other = ComparisonMeter()
    >>> other.update(base[4:], base[4:], [5, 6])
    >>> report = meter.merge(other).compute()
    >>> report.tokens, report.kl_divergence.mean, report.same_top.value
    (6, Estimate(value=0.0, se=0.0), 1.0)
    >>> report.perplexity.ratio.value
    1.0
    """

    def update(
        self,
        base: ArrayLike,
        candidate: ArrayLike,
        labels: ArrayLike | None = None,
    ) -> None:
        """Add the rows of one batch of logits.

        Parameters
        ----------
        base, candidate : array_like, shape (…, vocabulary)
            P and Q.
        labels : array_like of int, shape (…), optional
            Without them there is no perplexity and no delta_p.

        Raises
        ------
        IndexError
            A label out of range; nothing has been added then.
        ValueError
            Shapes that do not match, or another vocabulary than before.
        """
        columns = compare_logits(base, candidate, labels, **self._options)
        self.update_columns(
            columns,
            vocab=self._vocab_of(base),
            counted=None if labels is None else self._counted(labels, columns.kl),
        )

    def update_columns(
        self,
        columns: LogitComparison,
        *,
        vocab: int,
        counted: ArrayLike | None = None,
        p_tail: ArrayLike | None = None,
    ) -> None:
        """Add tokens that are already compared.

        Parameters
        ----------
        columns : LogitComparison
            From :func:`fastdiv.compare_logits` or :mod:`fastdiv.tails`.
        vocab : int
            Size of the vocabulary.
        counted : array_like of bool, optional
            False for rows to leave out; all rows by default.
        p_tail : array_like of float, optional
            Probability that the base gives to the tail bucket of each row.
        """
        named = {**columns._asdict(), "p_tail": p_tail}
        self._append(
            {name: _column(column) for name, column in named.items() if column is not None},
            vocab=vocab,
            counted=_mask(counted),
        )

    def compute(self) -> ComparisonReport:
        """Return the statistics of all tokens so far."""
        has_labels = "nll_base" in self._columns
        return ComparisonReport(
            tokens=self.tokens,
            vocab=self.vocab,
            tail=self.tail,
            perplexity=self._perplexity() if has_labels else None,
            kl_divergence=_distribution(self.column("kl")),
            reverse_kl_divergence=_distribution(self.column("reverse_kl")),
            js_divergence=_distribution(self.column("js")),
            total_variation=_distribution(self.column("tv")),
            hellinger_distance=_distribution(self.column("hellinger")),
            delta_p=_signed_distribution(self.column("delta_p")) if has_labels else None,
            same_top=_fraction(self.column("same_top")),
            p_tail=_mean(self.column("p_tail")) if "p_tail" in self._columns else None,
            nan_rows=self.nan_rows,
        )

    def to_dict(self) -> dict[str, Json]:
        """Return ``compute().to_dict()``."""
        return self.compute().to_dict()

    def _perplexity(self) -> PerplexityRatio:
        nll_base, nll_candidate = self.column("nll_base"), self.column("nll_candidate")
        base, candidate = _perplexity(_mean(nll_base)), _perplexity(_mean(nll_candidate))
        with np.errstate(invalid="ignore", over="ignore"):
            log_ratio = _mean(nll_candidate - nll_base)
            spread = _mean(candidate.value * nll_candidate - base.value * nll_base).se
        return PerplexityRatio(
            base=base,
            candidate=candidate,
            ratio=_perplexity(log_ratio),
            log_ratio=log_ratio,
            difference=Estimate(candidate.value - base.value, spread),
            log_correlation=_correlation(nll_candidate, nll_base),
        )


def _column(values: ArrayLike) -> _Column:
    """Return an own flat float64 copy: a meter outlives the arrays that it is given."""
    return np.array(values, np.float64).ravel()


def _mask(values: ArrayLike | None) -> NDArray[np.bool_] | None:
    return None if values is None else np.asarray(values, np.bool_).ravel()


def _or_none(part: PerplexityRatio | Distribution | None) -> Json:
    return None if part is None else part.to_dict()


def _number(value: float) -> Json:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _sum(values: Iterable[float]) -> float:
    """Return the correctly rounded sum; NaN for inf − inf, inf beyond the largest float."""
    try:
        return math.fsum(values)
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def _mean_of(column: _Column) -> float:
    return _sum(column.tolist()) / column.size if column.size else math.nan


def _mean(column: _Column) -> Estimate:
    """Return the mean and its standard error, undefined for one token or an infinite mean."""
    mean = _mean_of(column)
    if column.size < 2 or not math.isfinite(mean):
        return Estimate(mean, math.nan)
    with np.errstate(over="ignore"):
        return Estimate(mean, math.sqrt(_mean_of((column - mean) ** 2) / (column.size - 1)))


def _perplexity(nll: Estimate) -> Estimate:
    value = _exp(nll.value)
    return Estimate(value, value * nll.se)


def _fraction(hits: _Column) -> Estimate:
    value = _mean_of(hits)
    if hits.size < 2:
        return Estimate(value, math.nan)
    return Estimate(value, math.sqrt(value * (1 - value) / (hits.size - 1)))


def _correlation(x: _Column, y: _Column) -> float:
    mean_x, mean_y = _mean_of(x), _mean_of(y)
    if not (math.isfinite(mean_x) and math.isfinite(mean_y)):
        return math.nan
    dx, dy = x - mean_x, y - mean_y
    scale = math.sqrt(_sum((dx * dx).tolist())) * math.sqrt(_sum((dy * dy).tolist()))
    if not 0 < scale < math.inf:
        return math.nan
    return min(1.0, max(-1.0, _sum((dx * dy).tolist()) / scale))


def _quantile(ordered: _Column, thousandths: int) -> float:
    if not ordered.size or math.isnan(ordered[-1]):
        return math.nan
    below, part = divmod(thousandths * (ordered.size - 1), 1000)
    low = float(ordered[below])
    if not part:
        return low
    high = float(ordered[below + 1])
    # Two equal neighbours may be infinite, and inf - inf is no distance.
    return low if low == high else low + (high - low) * (part / 1000)


def _quantiles(column: _Column, *, without: tuple[str, ...] = ()) -> dict[str, float]:
    ordered = np.sort(column)
    return {name: _quantile(ordered, at) for name, at in _QUANTILES if name not in without}


def _distribution(column: _Column) -> Distribution:
    return Distribution(_mean(column), None, _quantiles(column, without=_QUARTILES))


def _signed_distribution(column: _Column) -> Distribution:
    square = _mean(column * column)
    root = math.sqrt(square.value) if square.value >= 0 else math.nan
    rms = Estimate(root, square.se / (2 * root) if root else math.nan)
    return Distribution(_mean(column), rms, _quantiles(column))
