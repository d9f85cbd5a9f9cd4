"""What meters report: plain numbers by name, which become JSON."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from fastdiv.uncertainty import (
    ConfidenceInterval,
    Estimate,
    Json,
    PairedDifference,
    json_number,
)

__all__ = [
    "QUANTILES",
    "QUANTILE_TITLES",
    "CandidateComparison",
    "ClusteredErrors",
    "ComparisonReport",
    "Distribution",
    "InvalidRows",
    "PerplexityRatio",
    "PerplexityReport",
    "Tail",
]

Tail: TypeAlias = Literal["none", "bucket", "llama.cpp"]
_Intervals: TypeAlias = dict[str, dict[str, ConfidenceInterval]]

#: Where they are.
QUANTILES = {
    "max": 1.0,
    "p99.9": 0.999,
    "p99": 0.99,
    "p95": 0.95,
    "p90": 0.9,
    "p75": 0.75,
    "median": 0.5,
    "p25": 0.25,
    "p10": 0.1,
    "p5": 0.05,
    "p1": 0.01,
    "p0.1": 0.001,
    "min": 0.0,
}
#: What llama.cpp's report calls them.
QUANTILE_TITLES = {name: f"{100 * q:.1f}%" for name, q in QUANTILES.items()} | {
    "max": "Maximum",
    "median": "Median",
    "min": "Minimum",
}


@dataclass(frozen=True)
class InvalidRows:
    """Rows that are in no statistic, because their result is NaN.

    Attributes
    ----------
    count : int
    rows : tuple of int
        The first 100 of them, counted from the first row that the meter saw.
    """

    count: int
    rows: tuple[int, ...]

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"count", "rows"}``."""
        return {"count": self.count, "rows": list(self.rows)}


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
    intervals : dict of str to ConfidenceInterval
        Of ``"mean"``, and of the quantiles but ``"max"`` and ``"min"``.
    """

    mean: Estimate
    rms: Estimate | None
    quantiles: dict[str, float]
    intervals: dict[str, ConfidenceInterval] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Json]:
        """Return one flat dictionary: mean, rms where there is one, quantiles."""
        rms: dict[str, Json] = {} if self.rms is None else {"rms": self.rms.to_dict()}
        quantiles = {name: json_number(value) for name, value in self.quantiles.items()}
        return {"mean": self.mean.to_dict(), **rms, **quantiles}


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
            "log_correlation": json_number(self.log_correlation),
        }


@dataclass(frozen=True)
class ClusteredErrors:
    """The same means with cluster-robust standard errors, by sequence.

    Attributes
    ----------
    count : int
        Number of sequences.
    means : dict of str to Estimate
        By the names of the report.
    perplexity : PerplexityRatio or None
    """

    count: int
    means: dict[str, Estimate]
    perplexity: PerplexityRatio | None = None

    def to_dict(self) -> dict[str, Json]:
        """Return ``{"count", …}``, the means by name."""
        ratio: dict[str, Json] = {}
        if self.perplexity is not None:
            ratio = {"perplexity": self.perplexity.to_dict()}
        means: dict[str, Json] = {name: found.to_dict() for name, found in self.means.items()}
        return {"count": self.count, **ratio, **means}


@dataclass(frozen=True)
class PerplexityReport:
    """What :class:`PerplexityMeter` computes.

    Attributes
    ----------
    tokens, vocab : int
    nll : Estimate
        Mean negative log-likelihood of the labels, in nats.
    perplexity : Estimate
        Per token: exp(nll).
    bits_per_token : float
        nll / ln 2.
    invalid : InvalidRows
    confidence : float
        Of the intervals.
    intervals : dict of str to ConfidenceInterval
        Of ``"nll"`` and ``"perplexity"``; of clustered errors where there are sequences.
    sequences : ClusteredErrors or None
        None without sequence ids, as the next.
    sequence_mean_perplexity : Estimate or None
        Mean over the sequences of the perplexity of each.
    words, bytes : int or None
        Of the texts; None without them, as the next.
    word_perplexity, byte_perplexity, bits_per_byte : Estimate or None
        As lm-evaluation-harness defines them; NaN where a row is invalid, since the likelihood of
        the whole text is not known then. Errors are cluster-robust where there are sequences.
    temperature : float
        What the logits were divided by.
    """

    tokens: int
    vocab: int | None
    nll: Estimate
    perplexity: Estimate
    bits_per_token: float
    invalid: InvalidRows
    confidence: float
    intervals: dict[str, ConfidenceInterval]
    sequences: ClusteredErrors | None
    sequence_mean_perplexity: Estimate | None
    words: int | None
    bytes: int | None
    word_perplexity: Estimate | None
    byte_perplexity: Estimate | None
    bits_per_byte: Estimate | None
    temperature: float = 1.0

    def to_dict(self) -> dict[str, Json]:
        """Return the object that ``fastdiv perplexity --json`` prints.

        Beside ``tokens``, ``vocab``, ``nll``, ``perplexity`` and ``bits_per_token``, which it began
        with: ``invalid`` {count, rows}, ``confidence``, ``intervals`` {name: {lower, upper}},
        ``sequences`` {count, nll, perplexity}, ``sequence_mean_perplexity``, ``words``, ``bytes``,
        ``word_perplexity``, ``byte_perplexity``, ``bits_per_byte``; None where there is none;
        ``temperature``.
        """
        return {
            "tokens": self.tokens,
            "vocab": self.vocab,
            "nll": self.nll.to_dict(),
            "perplexity": self.perplexity.to_dict(),
            "bits_per_token": json_number(self.bits_per_token),
            "invalid": self.invalid.to_dict(),
            "confidence": self.confidence,
            "intervals": {name: found.to_dict() for name, found in self.intervals.items()},
            "sequences": _or_none(self.sequences),
            "sequence_mean_perplexity": _or_none(self.sequence_mean_perplexity),
            "words": self.words,
            "bytes": self.bytes,
            "word_perplexity": _or_none(self.word_perplexity),
            "byte_perplexity": _or_none(self.byte_perplexity),
            "bits_per_byte": _or_none(self.bits_per_byte),
            "temperature": self.temperature,
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
    further : dict of str to Distribution
        Of what else there are columns of: chi2_divergence, entropy_base, entropy_candidate,
        confidence_base, confidence_candidate (probability of the most probable token), rank_base,
        rank_candidate (of the label), top_k_overlap.
    invalid : InvalidRows
    confidence : float
        Of the intervals.
    intervals : dict of str to dict of str to ConfidenceInterval
        Of ``"perplexity"`` (base, candidate, ratio, log_ratio), of each distribution (mean and
        quantiles), of ``"same_top"`` (value). Of clustered errors where there are sequences.
    sequences : ClusteredErrors or None
        None without sequence ids.
    buckets : dict of str to list of dict
        ``"position"`` (in the sequence; eight buckets of about equal size) and
        ``"confidence_base"`` (fixed edges), where there are such columns: of each bucket ``lower``,
        ``upper``, ``count``, and an Estimate of kl_divergence, same_top and, with labels, log_ratio
        and delta_p. Errors are cluster-robust where there are sequences.
    noise_floor : PairedDifference or None
        KL of this candidate against that of the base's second run, where that was given.
    options : dict of str to float
        ``temperature``, ``weight`` and, with `top_k_overlap`, ``top_k``.
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
    further: dict[str, Distribution]
    invalid: InvalidRows
    confidence: float
    intervals: _Intervals
    sequences: ClusteredErrors | None
    buckets: dict[str, list[dict[str, Any]]]
    noise_floor: PairedDifference | None
    options: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Json]:
        """Return the object that ``fastdiv compare --json`` prints.

        After what it began with (``tokens`` to ``same_top``, ``p_tail`` for that tail):

        - a distribution for each of `further` that is there, by its name;
        - ``invalid`` {count, rows}, ``confidence``;
        - ``intervals`` {name: {mean, p99.9, …: {lower, upper}}};
        - ``sequences`` {count, perplexity, name: {value, se}}, or None without sequences;
        - ``buckets`` {position, confidence_base: [{lower, upper, count, name: {value, se}}]};
        - ``noise_floor`` where one was given: see :class:`fastdiv.uncertainty.PairedDifference`;
        - ``temperature``, ``weight``, and ``top_k`` where it says something.
        """
        p_tail: dict[str, Json] = {} if self.p_tail is None else {"p_tail": self.p_tail.to_dict()}
        noise: dict[str, Json] = {}
        if self.noise_floor is not None:
            noise = {"noise_floor": self.noise_floor.to_dict()}
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
            **{name: found.to_dict() for name, found in self.further.items()},
            "invalid": self.invalid.to_dict(),
            "confidence": self.confidence,
            "intervals": {
                name: {key: found.to_dict() for key, found in part.items()}
                for name, part in self.intervals.items()
            },
            "sequences": _or_none(self.sequences),
            "buckets": {
                name: [{key: _plain(value) for key, value in row.items()} for row in rows]
                for name, rows in self.buckets.items()
            },
            **noise,
            **self.options,
        }


@dataclass(frozen=True)
class CandidateComparison:
    """Two candidates on one base, token by token.

    Attributes
    ----------
    tokens : int
        Counted in both.
    kl_divergence : PairedDifference
        Of the KL of either from the base; first − second.
    log_perplexity : PairedDifference or None
        Of the mean negative log-likelihoods: ln PPL(first) − ln PPL(second). None without labels.
    perplexity_ratio : Estimate or None
        PPL(first)/PPL(second).
    perplexity_ratio_interval : ConfidenceInterval or None
    """

    tokens: int
    kl_divergence: PairedDifference
    log_perplexity: PairedDifference | None
    perplexity_ratio: Estimate | None
    perplexity_ratio_interval: ConfidenceInterval | None

    def to_dict(self) -> dict[str, Json]:
        """Return the fields by name."""
        return {
            "tokens": self.tokens,
            "kl_divergence": self.kl_divergence.to_dict(),
            "log_perplexity": _or_none(self.log_perplexity),
            "perplexity_ratio": _or_none(self.perplexity_ratio),
            "perplexity_ratio_interval": _or_none(self.perplexity_ratio_interval),
        }


def _or_none(part: Any) -> Json:
    if part is None:
        return None
    found: Json = part.to_dict()
    return found


def _plain(value: Any) -> Json:
    return value.to_dict() if isinstance(value, Estimate) else json_number(value)
