r"""The nearest Gaussian to a distribution, in either direction of KL; and the evidence in parts.

=========  ==============  =====================================================================
direction  minimises       what comes of it
=========  ==============  =====================================================================
forward    KL(P‖Q)         Q covers P: its mean and covariance are P's, whatever P's shape
reverse    KL(Q‖P)         Q stays where P is: on one mode of several, with a variance too small
=========  ==============  =====================================================================

with P the target and Q the Gaussian. The first has one solution, in closed form. The second is what
variational inference computes; it has a local optimum for each mode that is far enough from the
others, so it is searched from many starts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.divergences import kl_divergence
from fastdiv.evaluation import along_last, check_batches, integer_of, seed_of
from fastdiv.extras import scipy_module
from fastdiv.mixtures import GaussianMixture
from fastdiv.probabilities import widened
from fastdiv.targets import GridDensity, Target, cholesky_factor, target_of
from fastdiv.tokens import logsumexp

__all__ = [
    "Evidence",
    "GaussianMixture",
    "GridDensity",
    "Optimum",
    "Projection",
    "evidence_decomposition",
    "project",
]

Family: TypeAlias = Literal["normal", "diagonal", "full"]
Direction: TypeAlias = Literal["forward", "reverse"]
_Floats: TypeAlias = NDArray[np.float64]

# Classes of distributions that stand for a family, by name.
_FAMILIES: dict[str, Family] = {
    "normal": "normal",
    "diagonal": "diagonal",
    "full": "full",
    "Normal": "normal",
    "MultivariateNormal": "full",
}
# A mean, a Cholesky factor, and how many starts lead there.
_Begin: TypeAlias = tuple[_Floats, _Floats, int]
# Optima within so many standard deviations are one; so are variance ratios within it of 1.
_SAME = 1e-3


# --- what is returned -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Optimum:
    """A Gaussian next to the target.

    Attributes
    ----------
    mean, covariance : ndarray of float64
        Shapes (d,) and (d, d).
    forward_kl, reverse_kl : float
        KL(P‖Q) and KL(Q‖P), P the target, Q this.
    forward_error, reverse_error : float
        Estimates of their absolute errors: 0 where they are closed forms; mostly far above the
        error of a mixture, and that of the grid for a density on one.
    variance_ratio : ndarray of float64
        Its variance over the target's, in each dimension.
    reached : int
        How many starts ended here.
    """

    mean: _Floats
    covariance: _Floats
    forward_kl: float
    reverse_kl: float
    variance_ratio: _Floats
    reached: int
    forward_error: float
    reverse_error: float

    @property
    def variance(self) -> Literal["underestimated", "overestimated", "matched", "mixed"]:
        """How its variances compare to the target's, dimension by dimension."""
        below = self.variance_ratio < 1 - _SAME
        above = self.variance_ratio > 1 + _SAME
        if below.any() and above.any():
            return "mixed"
        if below.any():
            return "underestimated"
        return "overestimated" if above.any() else "matched"


@dataclass(frozen=True, eq=False)
class Projection:
    """The nearest member of a family, and other local optima.

    Attributes
    ----------
    direction, family : str
    optima : tuple of Optimum
        All that were found, the best first; one alone for "forward".
    """

    direction: Direction
    family: Family
    optima: tuple[Optimum, ...]

    @property
    def best(self) -> Optimum:
        """The optimum whose divergence is least."""
        return self.optima[0]


class Evidence(NamedTuple):
    """log p(x) and the two parts of which it is the sum.

    Attributes
    ----------
    log_evidence, elbo, reverse_kl : float64 or ndarray of float64
        log p(x) = ELBO + KL(q‖p(z|x)).
    """

    log_evidence: Any
    elbo: Any
    reverse_kl: Any


# --- the functions --------------------------------------------------------------------------------


def project(
    target: Any,
    family: Any = "normal",
    direction: Direction = "forward",
    *,
    starts: int = 20,
    seed: int = 0,
) -> Projection:
    r"""Fit a Gaussian to a mixture or to a density on a grid.

    .. math:: \arg\min_Q D(P\|Q) \quad\text{(forward)}, \qquad
        \arg\min_Q D(Q\|P) \quad\text{(reverse)}

    Parameters
    ----------
    target : GaussianMixture or GridDensity
        P. Any object with `weights`, `means` and `covariances` is a mixture.
    family : {"normal", "diagonal", "full"}, default "normal"
        What Q may be: a normal distribution on the line; a Gaussian with a diagonal, or with any
        covariance.
    direction : {"forward", "reverse"}, default "forward"
    starts : int, default 20
        Random starts of the search, beside the target's own mean and its components.
    seed : int, default 0
        Of NumPy's generator.

    Returns
    -------
    Projection
        Forward: mean and (co)variances of the target, which are the optimum. Reverse: all local
        optima that L-BFGS found from the starts; there may be others.

    Raises
    ------
    ModuleNotFoundError
        "reverse" without SciPy: ``pip install "fastdiv[scipy]"``.
    TypeError
        Another kind of target, a number of starts that is no integer.
    ValueError
        An unknown family or direction; "normal" in several dimensions; "reverse" of a density that
        is 0 somewhere on its grid, to which every Gaussian is infinitely far, or of a grid that
        is too short or too coarse for any optimum; a negative number of starts.
    numpy.linalg.LinAlgError
        A density at one point of its grid, or along a line.

    Notes
    -----
    Divergences of mixtures are integrals over Gaussians without closed form, and come with their
    errors. Components that differ in up to four directions, whatever the dimension, are integrated
    by the trapezoidal rule: to 1e-9 and better in one direction and in two, to about 1e-7 in three
    and 1e-5 in four where they are a few deviations apart. More directions take 65,536 points of
    Sobol's sequence, which are good to 1e-3 or 1e-4. From five dimensions on the reverse search
    itself has such points: an optimum is off by about 1e-3 deviations, its KL by the square.

    References
    ----------
    .. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer (2006), section
       10.1.2.
    .. [2] T. Minka, "Divergence measures and message passing", Microsoft Research TR-2005-173.

    Examples
    --------
    >>> target = GaussianMixture([0.6, 0.4], [-3, 3], [1, 1])
    >>> covering = project(target, "normal", "forward").best
    >>> covering.mean.round(6), covering.covariance.round(6), covering.variance
    (array([-0.6]), array([[9.64]]), 'matched')
    >>> seeking = project(target, "normal", "reverse")
    >>> [each.mean.round(2).tolist() for each in seeking.optima], seeking.best.variance
    ([[-2.99], [-0.47], [2.98]], 'underestimated')
    >>> round(seeking.best.reverse_kl, 3)  # about log(1/0.6)
    0.507
    """
    starts, seed = integer_of("project", "starts", starts, 0), seed_of("project", seed)
    if direction not in ("forward", "reverse"):
        raise ValueError(f"project: direction is {direction!r}; it takes 'forward' or 'reverse'")
    p = target_of(target)
    kind = _family(family, len(p.mean))
    if direction == "forward":
        covariance = p.covariance
        if kind == "diagonal":
            covariance = np.diag(np.diag(covariance))
        found = [_optimum(p, p.mean, cholesky_factor(covariance), 1)]
    else:
        found = _searched(p, kind, starts, np.random.default_rng(seed))
    return Projection(direction, kind, tuple(found))


def evidence_decomposition(log_joint: ArrayLike, log_q: ArrayLike, *, axis: int = -1) -> Evidence:
    r"""Evidence of a model as the sum of its lower bound and what the bound lacks.

    .. math:: \log p(x) = \underbrace{\sum_z q(z) \log\frac{p(x, z)}{q(z)}}_{\text{ELBO}}
        + D\bigl(q \| p(\cdot | x)\bigr)

    Parameters
    ----------
    log_joint : array_like of float
        log p(x, z) for each value of the latent z along `axis`; on a grid, with the logarithm of
        the cell's width added.
    log_q : array_like of float
        log q(z), up to a constant; broadcasts.
    axis : int, default -1
        The axis of z.

    Returns
    -------
    Evidence
        One number per row in each field; `elbo` is the difference of the other two in float64, so
        never above `log_evidence`. Where that is −inf the bound is, too, and `reverse_kl` is NaN:
        there is no posterior.

    Raises
    ------
    TypeError, ValueError
        As `kl_divergence`.

    References
    ----------
    .. [1] D. M. Blei, A. Kucukelbir and J. D. McAuliffe, "Variational inference: a review for
       statisticians", Journal of the American Statistical Association 112 (2017), 859-877.

    Examples
    --------
    >>> joint = np.log([0.10, 0.05, 0.01])
    >>> found = evidence_decomposition(joint, np.log([[0.4, 0.4, 0.2], [0.625, 0.3125, 0.0625]]))
    >>> found.elbo.round(4), found.reverse_kl.round(4)
    (array([-1.9854, -1.8326]), array([0.1529, 0.    ]))
    """
    name = "evidence_decomposition"
    joint, q = (
        along_last(name, argument, widened(x, name, argument), axis)
        for argument, x in (("log_joint", log_joint), ("log_q", log_q))
    )
    if joint.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"{name}: log_joint has {joint.shape[-1]} values of z, log_q {q.shape[-1]}; as many"
        )
    check_batches(name, log_joint=joint.shape[:-1], log_q=q.shape[:-1])
    log_evidence = np.asarray(logsumexp(joint))
    never = np.isneginf(log_evidence)
    # What cannot have been observed has no posterior; of a stand-in's KL only NaN counts.
    reverse = kl_divergence(q, np.where(never[..., None], 0.0, joint), from_logits=True)
    log_evidence = log_evidence + np.zeros(np.shape(reverse))
    never = np.isneginf(log_evidence) & ~np.isnan(reverse)
    elbo = log_evidence - np.where(never, 0.0, reverse)
    return Evidence(log_evidence, elbo[()], np.where(never, np.nan, reverse)[()])


# --- the search -----------------------------------------------------------------------------------


def _family(family: Any, dimensions: int) -> Family:
    name = family if isinstance(family, str) else getattr(family, "__name__", repr(family))
    if name not in _FAMILIES:
        raise ValueError(f"project: family is {name!r}; it takes 'normal', 'diagonal' or 'full'")
    if _FAMILIES[name] == "normal" and dimensions != 1:
        raise ValueError(
            f"project: 'normal' is of the line, the target has {dimensions} dimensions; it takes"
            " 'diagonal' or 'full'"
        )
    return _FAMILIES[name]


def _optimum(p: Target, mean: _Floats, factor: _Floats, reached: int) -> Optimum:
    covariance = factor @ factor.T
    ratio = np.diag(covariance) / np.diag(p.covariance)
    forward, reverse = p.divergences(mean, factor)
    return Optimum(
        mean, covariance, forward.value, reverse.value, ratio, reached, forward.error, reverse.error
    )


def _searched(p: Target, kind: Family, starts: int, rng: np.random.Generator) -> list[Optimum]:
    minimize = scipy_module("project", "scipy.optimize").minimize
    d = len(p.mean)
    if isinstance(p, GridDensity) and np.isneginf(p.log_mass).any():
        raise ValueError(
            "project: the density is 0 on a part of its grid, so KL from every Gaussian is"
            " infinite; it takes direction='forward', or a grid where it is not 0"
        )
    rows, columns = (np.arange(d),) * 2 if kind != "full" else np.tril_indices(d)
    diagonal = rows == columns
    least, most = np.log(p.deviations())
    bounds = [(None, None)] * d + [(least, most) if own else (None, None) for own in diagonal]

    def unpacked(x: _Floats) -> tuple[_Floats, _Floats]:
        factor = np.zeros((d, d))
        factor[rows, columns] = np.where(diagonal, np.exp(np.where(diagonal, x[d:], 0.0)), x[d:])
        return x[:d], factor

    def objective(x: _Floats, fine: bool) -> tuple[float, _Floats]:
        mean, factor = unpacked(x)
        value, by_mean, by_factor = p.objective(mean, factor, fine=fine)
        slopes = by_factor[rows, columns] * np.where(diagonal, factor[rows, columns], 1.0)
        return value, np.concatenate([by_mean, slopes])

    def ends(begins: Iterable[_Begin], step: float, fine: bool) -> list[_Begin]:
        merged: list[_Begin] = []
        for mean, factor, count in begins:
            # Off the symmetries of the target, where a gradient may be 0 at what is no minimum.
            aside = mean + step * factor @ rng.standard_normal(d)
            entries = factor[rows, columns]
            entries[diagonal] = np.log(np.abs(entries[diagonal]))
            found = minimize(
                objective, np.concatenate([aside, entries]), args=(fine,), jac=True,
                method="L-BFGS-B", bounds=bounds,
                options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
            )  # fmt: skip
            end = unpacked(found.x)
            if np.isfinite(found.x).all() and p.holds(*end):
                _merge(merged, *end, count)
        return merged

    coarse = ends(((*begin, 1) for begin in p.starts(rng, starts)), 0.1, False)
    if not coarse:
        raise ValueError(
            "project: no optimum lies inside the grid, three deviations from its ends; it takes a"
            " longer or a finer grid"
        )
    # Quadrature with fewer points may have minima of its own, which this leaves.
    optima = [_optimum(p, *end) for end in ends(coarse, 0.02, True) if p.is_least(*end[:2])]
    if not optima:
        raise ValueError(
            "project: no optimum was found, of components too far apart for the search; it takes"
            " more starts, or numbers of smaller size"
        )
    return sorted(optima, key=lambda each: each.reverse_kl)


def _merge(known: list[_Begin], mean: _Floats, factor: _Floats, count: int) -> None:
    """Add an end of a search, or count it with the one that it is next to."""
    for place, (centre, own, before) in enumerate(known):
        whitening = np.linalg.inv(own)
        apart = np.abs(whitening @ (mean - centre)).max()
        turned = np.abs(whitening @ factor - np.eye(len(mean))).max()
        if max(apart, turned) < _SAME:
            known[place] = (centre, own, before + count)
            return
    known.append((mean, factor, count))
