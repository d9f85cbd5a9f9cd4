"""fastdiv: how far one probability distribution is from another.

D(P‖Q): the first argument is P (data, reference, base model), the second Q (model, approximation,
candidate). Distributions lie along `axis`, everything else broadcasts; results are float64, in nats
unless ``base=`` says otherwise; 0·log 0 is 0, and nothing is ever clamped or smoothed.

The house, ground floor first; a floor uses only floors below it:

=====  ===============================================  =====================================
floor  room                                             knows
=====  ===============================================  =====================================
0      ``src_c/``                                       one term per divergence, one row loop
1      ``_core.pyx``                                    gufuncs, dtypes, exceptions
2      ``divergences.py``, ``tokens.py``                one typed function per public name
2      ``evaluation.py``, ``probabilities.py``          what they all do around the kernel
2      ``generators.py``, ``custom.py``                 f, f′, f*; the f-divergence of any f
2      ``pairwise.py``                                  all pairs of rows, nearest rows
2      ``joint.py``, ``transport.py``                   more than two rows; Wasserstein
2      ``sparse.py``, ``frames.py``, ``lazy.py``        rows of SciPy, pandas and Dask
2      ``counts.py``                                    counts with keys
2      ``uncertainty.py``                               errors, intervals, bootstrap, paired tests
2      ``sums.py``, ``tail_probabilities.py``           exact sums; binomial and Student's tails
2      ``estimators.py``, ``neighbours.py``             divergences from log-ratios, from distances
2      ``plug_in.py``, ``permutation.py``               corrected counts; tests of two samples
2      ``variational.py``                               bounds by critics
2      ``targets.py``, ``projection.py``                what to fit to; the nearest Gaussian
2      ``coding.py``, ``text.py``                       bits that a code wastes; perplexity per word
2      ``extras.py``                                    SciPy, where it is needed
2      ``windows.py``                                   which tokens of a long text are scored
2      ``columns.py``                                   columns that grow, are saved and exported
2      ``topk.py``, ``intervals.py``, ``full_rows.py``  what the known tokens of a row certify
2      ``bounds.py``                                    what some divergences say of another
2      ``_gaussian.pyx``, ``gaussians.py``              Gaussians, many at once
2      ``mixtures.py``                                  mixtures of Gaussians
2      ``integration.py``                               integrals that exist, or are refused
2      ``densities.py``, ``families/``                  quadrature, bounds of mixtures; families
2      ``runtime.py``                                   instruction sets, threads
3      ``meters.py``, ``tails.py``                      statistics over many tokens
3      ``meter_reports.py``                             what they report
4      ``io/``, ``data/``                               file formats; the embedded sample
5      ``cli/``                                         commands
5      ``report/``                                      pictures and pages
=====  ===============================================  =====================================
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastdiv import _environment  # noqa: F401
from fastdiv._version import __version__
from fastdiv.divergences import (
    alpha_divergence,
    bhattacharyya_distance,
    chi2_divergence,
    cross_entropy,
    entropy,
    hellinger_distance,
    jeffreys_divergence,
    js_distance,
    js_divergence,
    kl_divergence,
    neyman_divergence,
    renyi_divergence,
    renyi_entropy,
    reverse_kl_divergence,
    squared_hellinger,
    total_variation,
    triangular_discrimination,
    tsallis_entropy,
)
from fastdiv.pairwise import Neighbours, pairwise
from fastdiv.runtime import available_isas, get_num_threads, isa, num_threads, set_num_threads
from fastdiv.tokens import (
    LogitComparison,
    TokenStatistics,
    compare_logits,
    logsumexp,
    perplexity,
    token_nll,
    token_stats,
    truncated_kl,
)

if TYPE_CHECKING:
    from fastdiv import (
        bounds,
        coding,
        densities,
        estimators,
        families,
        gaussians,
        generators,
        neighbours,
        permutation,
        plug_in,
        projection,
        uncertainty,
        variational,
        windows,
    )
    from fastdiv.coding import coding_overhead
    from fastdiv.counts import from_counts
    from fastdiv.custom import f_divergence
    from fastdiv.gaussians import (
        gaussian_bhattacharyya,
        gaussian_hellinger,
        gaussian_jeffreys,
        gaussian_kl,
        gaussian_renyi,
        gaussian_squared_hellinger,
        gaussian_wasserstein,
        normal_kl,
    )
    from fastdiv.joint import js_divergence_of, mutual_information
    from fastdiv.meters import ComparisonMeter, PerplexityMeter
    from fastdiv.permutation import permutation_test
    from fastdiv.projection import project
    from fastdiv.topk import TopKRows, compare_topk, top_k
    from fastdiv.transport import wasserstein_distance
    from fastdiv.variational import gan_value

__all__ = [
    "ComparisonMeter",
    "LogitComparison",
    "Neighbours",
    "PerplexityMeter",
    "TokenStatistics",
    "TopKRows",
    "__version__",
    "alpha_divergence",
    "available_isas",
    "bhattacharyya_distance",
    "bounds",
    "chi2_divergence",
    "coding",
    "coding_overhead",
    "compare_logits",
    "compare_topk",
    "cross_entropy",
    "densities",
    "entropy",
    "estimators",
    "f_divergence",
    "families",
    "from_counts",
    "gan_value",
    "gaussian_bhattacharyya",
    "gaussian_hellinger",
    "gaussian_jeffreys",
    "gaussian_kl",
    "gaussian_renyi",
    "gaussian_squared_hellinger",
    "gaussian_wasserstein",
    "gaussians",
    "generators",
    "get_num_threads",
    "hellinger_distance",
    "isa",
    "jeffreys_divergence",
    "js_distance",
    "js_divergence",
    "js_divergence_of",
    "kl_divergence",
    "logsumexp",
    "mutual_information",
    "neighbours",
    "neyman_divergence",
    "normal_kl",
    "num_threads",
    "pairwise",
    "permutation",
    "permutation_test",
    "perplexity",
    "plug_in",
    "project",
    "projection",
    "renyi_divergence",
    "renyi_entropy",
    "reverse_kl_divergence",
    "set_num_threads",
    "squared_hellinger",
    "token_nll",
    "token_stats",
    "top_k",
    "total_variation",
    "triangular_discrimination",
    "truncated_kl",
    "tsallis_entropy",
    "uncertainty",
    "variational",
    "wasserstein_distance",
    "windows",
]

# Found when they are first asked for: who only computes divergences does not wait for the rest.
LATER = {
    "ComparisonMeter": "meters",
    "PerplexityMeter": "meters",
    "TopKRows": "topk",
    "coding_overhead": "coding",
    "compare_topk": "topk",
    "f_divergence": "custom",
    "from_counts": "counts",
    "gan_value": "variational",
    "gaussian_bhattacharyya": "gaussians",
    "gaussian_hellinger": "gaussians",
    "gaussian_jeffreys": "gaussians",
    "gaussian_kl": "gaussians",
    "gaussian_renyi": "gaussians",
    "gaussian_squared_hellinger": "gaussians",
    "gaussian_wasserstein": "gaussians",
    "js_divergence_of": "joint",
    "mutual_information": "joint",
    "normal_kl": "gaussians",
    "permutation_test": "permutation",
    "project": "projection",
    "top_k": "topk",
    "wasserstein_distance": "transport",
}
ROOMS = (
    "bounds",
    "coding",
    "densities",
    "estimators",
    "families",
    "gaussians",
    "generators",
    "neighbours",
    "permutation",
    "plug_in",
    "projection",
    "uncertainty",
    "variational",
    "windows",
)


def __getattr__(name: str) -> Any:
    """Import what is not imported yet."""
    if name in LATER:
        return globals().setdefault(name, getattr(import_module(f"fastdiv.{LATER[name]}"), name))
    if name in ROOMS:
        return import_module(f"fastdiv.{name}")
    raise AttributeError(f"module 'fastdiv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
