r"""Families of distributions: their divergences in closed form.

.. math:: D(P\|Q) = A(\eta_q) - A(\eta_p) - \langle\eta_q - \eta_p, \nabla A(\eta_p)\rangle

for exponential families, but never computed like that: near-equal parameters would leave no digit.
Every divergence within a family is a sum of terms of which nothing cancels
(:mod:`fastdiv.families.special`): to 1e-14 for parameters from 1e-8 to 1e8 that are 1e-13 apart or
1e16 times each other; what is as large as e^x has the digits of x. Parameters are arrays that
broadcast.

Within a family: `Normal`, `LogNormal`, `HalfNormal`, `MultivariateNormal`, `Bernoulli`,
`Categorical`, `Binomial`, `Geometric`, `NegativeBinomial` (of unequal n or r a sum), `Poisson`,
`Exponential`, `Gamma`, `InverseGamma`, `Chi`, `Beta`, `Dirichlet`, `Laplace`, `Cauchy`, `Gumbel`,
`Weibull`, `Pareto`, `VonMises`, `LogUniform`, `ContinuousBernoulli`, `Wishart`.
An `Exponential` is a `Gamma` and a `Weibull`, a `Bernoulli` a `Binomial`, a `Geometric` of failures
a `NegativeBinomial`. Other pairs have a closed form where P knows the expectations that Q's
log-density is made of; it is +inf where P is somewhere Q is not. Those are differences: they have
the digits of their terms, but for a `Normal` Q, which has P's mean and variance between. Those of
factorials are sums (Poisson's and the binomials'). Distributions of scipy.stats and of
torch.distributions are taken, too.

What is left falls to quadrature or Monte Carlo only when asked, with its error.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.divergences import renyi_divergence as _renyi_of_rows
from fastdiv.evaluation import real_numbers
from fastdiv.families.base import ExponentialFamily, Family, Floats, Missing, bregman
from fastdiv.families.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    NegativeBinomial,
    Poisson,
)
from fastdiv.families.foreign import Product, family_of, name_of
from fastdiv.families.multivariate import Dirichlet, MultivariateNormal, Wishart
from fastdiv.families.numerical import by_quadrature, by_samples, event_shape, unsupported
from fastdiv.families.positive import (
    Beta,
    Chi,
    ContinuousBernoulli,
    Exponential,
    Gamma,
    HalfNormal,
    InverseGamma,
    LogNormal,
    LogUniform,
    Pareto,
    Weibull,
)
from fastdiv.families.real import Cauchy, Gumbel, Laplace, Normal, VonMises
from fastdiv.gaussians import gaussian_kl

__all__ = [
    "FAMILIES",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi",
    "ContinuousBernoulli",
    "Dirichlet",
    "Exponential",
    "ExponentialFamily",
    "Family",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfNormal",
    "InverseGamma",
    "Laplace",
    "LogNormal",
    "LogUniform",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "Pareto",
    "Poisson",
    "VonMises",
    "Weibull",
    "Wishart",
    "bregman",
    "cross_entropy",
    "entropy",
    "kl_divergence",
    "renyi_divergence",
    "reverse_kl_divergence",
]

FAMILIES: tuple[type[Family], ...] = (
    Normal,
    LogNormal,
    HalfNormal,
    MultivariateNormal,
    Bernoulli,
    Categorical,
    Binomial,
    Geometric,
    NegativeBinomial,
    Poisson,
    Exponential,
    Gamma,
    InverseGamma,
    Chi,
    Beta,
    Dirichlet,
    Laplace,
    Cauchy,
    Gumbel,
    Weibull,
    Pareto,
    VonMises,
    LogUniform,
    ContinuousBernoulli,
    Wishart,
)

Method = Literal["closed", "quadrature", "monte_carlo"]


def kl_divergence(
    p: Any, q: Any, *, method: Method = "closed", samples: int = 100_000, seed: int = 0
) -> Any:
    r"""Kullback–Leibler divergence of two distributions of families.

    .. math:: D(P\|Q) = \mathrm{E}_P \log\frac{p(x)}{q(x)}

    Parameters
    ----------
    p, q : Family, or distributions of scipy.stats or torch.distributions
        Their parameters broadcast.
    method : {"closed", "quadrature", "monte_carlo"}, default "closed"
        The closed form; or for any pair of single distributions of one variable an integral (a sum,
        if they are discrete), or for any pair a mean over samples of P.
    samples : int, default 100,000
        Of Monte Carlo.
    seed : int, default 0
        Of Monte Carlo: the same seed gives the same estimate.

    Returns
    -------
    float64, ndarray of float64, Integral or Estimate
        Numbers from the closed form; `Integral` (value, error) from quadrature, `Estimate` (value,
        se) from Monte Carlo.

    Raises
    ------
    TypeError
        If an argument is no distribution, or the pair has no closed form and none was asked for
        that it has. If one is discrete, and one has a density: whatever the method, they are
        refused, because the one certainly holds what is nothing to the other, and +inf would hide
        that a mass and a density were mixed up.
    ValueError
        If shapes do not broadcast, the method is unknown or for single distributions only,
        `samples` is below 2 or `seed` below 0; if an integral or a sum cannot be trusted.

    References
    ----------
    .. [1] F. Nielsen and R. Nock, "Entropies and cross-entropies of exponential families",
       ICIP 2010.

    Examples
    --------
    >>> from fastdiv import families
    >>> families.kl_divergence(families.Gamma(2.0, 1.0), families.Gamma([2.0, 3.0], 1.0))
    array([0.        , 0.27036285])
    >>> p, q = families.Laplace(0.0, 1.0), families.Cauchy(0.0, 1.0)
    >>> round(families.kl_divergence(p, families.Normal(0.0, 1.0)), 14)
    np.float64(0.22579135264473)
    >>> found = families.kl_divergence(p, q, method="quadrature")
    >>> round(found.value, 12), found.error < 1e-12
    (0.138338628402, True)
    """
    of_p, of_q = _both("kl_divergence", p, q)
    if method == "quadrature":
        return by_quadrature(of_p, of_q, _has_closed)
    if method == "monte_carlo":
        return by_samples(of_p, of_q, samples, seed)
    if method != "closed":
        raise ValueError(
            f"kl_divergence: method is {method!r}; it takes 'closed', 'quadrature' or 'monte_carlo'"
        )
    try:
        with np.errstate(all="ignore"):
            return _in_shape(_closed(of_p, of_q), of_p, of_q)
    except Missing:
        raise TypeError(unsupported(of_p, of_q)) from None


def reverse_kl_divergence(p: Any, q: Any, **options: Any) -> Any:
    """KL(Q‖P): :func:`kl_divergence` with the arguments exchanged.

    Parameters
    ----------
    p, q
        As :func:`kl_divergence`.
    **options
        Its method, samples and seed.

    Returns
    -------
    float64, ndarray of float64, Integral or Estimate

    Examples
    --------
    >>> from fastdiv import families
    >>> families.reverse_kl_divergence(families.Poisson(1.0), families.Poisson(2.0))
    np.float64(0.3862943611198906)
    """
    return kl_divergence(q, p, **options)


def cross_entropy(p: Any, q: Any) -> Any:
    r"""Cross-entropy of two distributions of families, −E_P log q(x).

    .. math:: H(P, Q) = A(\eta_q) - \langle\eta_q, \nabla A(\eta_p)\rangle - \mathrm{E}_P\log h(x)

    Parameters
    ----------
    p, q
        As :func:`kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64
        Of densities it may be negative.

    Raises
    ------
    TypeError
        Without a closed form.
    ValueError
        Of Poisson's and the binomials, whose factorials are summed to 1e-14, if P is so wide that
        more than four million numbers have probabilities.

    References
    ----------
    .. [1] F. Nielsen and R. Nock, "Entropies and cross-entropies of exponential families",
       ICIP 2010.

    Examples
    --------
    >>> from fastdiv import families
    >>> families.cross_entropy(families.Exponential(1.0), families.Exponential(2.0))
    np.float64(1.3068528194400546)
    """
    return _cross_entropy("cross_entropy", p, q)


def entropy(p: Any) -> Any:
    """Entropy of a distribution of a family, differential if it has a density.

    Parameters
    ----------
    p
        As :func:`kl_divergence`.

    Returns
    -------
    float64 or ndarray of float64

    Raises
    ------
    TypeError
        Without a closed form.

    Examples
    --------
    >>> from fastdiv import families
    >>> families.entropy(families.Exponential(1.0))
    np.float64(1.0)
    """
    return _cross_entropy("entropy", p, p)


def renyi_divergence(p: Any, q: Any, alpha: ArrayLike) -> Any:
    r"""Rényi divergence of two members of one exponential family.

    .. math:: D_\alpha(P\|Q) = \frac{\alpha A(\eta_p) + (1-\alpha)A(\eta_q)
        - A(\alpha\eta_p + (1-\alpha)\eta_q)}{1-\alpha}
        = D(P\|Q) - \frac{D(P\|M)}{1-\alpha}
        = \frac{\alpha\,D(M\|P) + (1-\alpha)\,D(M\|Q)}{1-\alpha}

    where M is the member of :math:`\alpha\eta_p + (1-\alpha)\eta_q`. The difference has the digits
    near order 1, and of near P and Q; the sum has them where the difference has lost them.

    Parameters
    ----------
    p, q
        As :func:`kl_divergence`.
    alpha : array_like
        Order, finite and above 0; broadcasts. 1 is KL.

    Returns
    -------
    float64 or ndarray of float64
        +inf where M is no distribution, as can be for α > 1.

    Raises
    ------
    TypeError
        If they are not of one exponential family.
    ValueError
        If an order is not above 0 and finite.

    References
    ----------
    .. [1] F. Nielsen and R. Nock, "A closed-form expression for the Sharma-Mittal entropy of
       exponential families", Journal of Physics A 45 (2012), 032003.

    Examples
    --------
    >>> from fastdiv import families
    >>> p, q = families.Poisson(2.0), families.Poisson(3.0)
    >>> families.renyi_divergence(p, q, [0.5, 1.0, 2.0])
    array([0.10102051, 0.18906978, 0.33333333])
    """
    of_p, of_q = _both("renyi_divergence", p, q)
    order = real_numbers("renyi_divergence", "alpha", alpha)
    if not ((order > 0) & (order < np.inf)).all():
        raise ValueError(f"renyi_divergence: alpha is {alpha!r}; it takes finite numbers above 0")
    with suppress(Missing):  # of types that differ then, too
        of_p, of_q = _as_one(of_p, of_q)
    if isinstance(of_p, Product) and isinstance(of_q, Product):
        count = len(of_p.event_shape)
        if of_p.event_shape == of_q.event_shape:
            each = order.reshape(*order.shape, *[1] * count)
            found = renyi_divergence(of_p.inner, of_q.inner, each)
            return found.sum(axis=tuple(range(-count, 0)))
    if isinstance(of_p, Categorical) and isinstance(of_q, Categorical):
        # Its natural parameters have no room for probabilities of 0.
        return _renyi_of_rows(of_p.p, of_q.p, order)
    if type(of_p) is not type(of_q) or not isinstance(of_p, ExponentialFamily):
        raise TypeError(
            f"renyi_divergence: {name_of(of_p)} and {name_of(of_q)} are not of one exponential"
            " family"
        )
    for name in of_p.nuisance:
        if (getattr(of_p, name) != getattr(of_q, name)).any():
            raise TypeError(
                f"renyi_divergence: {name_of(of_p)} of different {name} are not one exponential"
                " family"
            )
    assert isinstance(of_q, ExponentialFamily)
    shapes = of_p.batch_shape, of_q.batch_shape, order.shape
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"renyi_divergence: batches and alpha of shapes {shapes} do not broadcast"
        ) from None
    with np.errstate(all="ignore"):
        found = of_p.renyi_from(of_q, order)
    return (np.broadcast_to(found, shape) + 0.0)[()]


# --- what they do ---------------------------------------------------------------------------------


def _both(function: str, p: Any, q: Any) -> tuple[Family, Family]:
    of_p, of_q = family_of(function, "p", p), family_of(function, "q", q)
    try:
        np.broadcast_shapes(of_p.batch_shape, of_q.batch_shape)
    except ValueError:
        raise ValueError(
            f"{function}: batches of shapes {of_p.batch_shape} and {of_q.batch_shape} do not"
            " broadcast"
        ) from None
    for name, axes in of_p.axes.items():
        cores = [getattr(x, name).shape[-axes:] for x in (of_p, of_q) if type(x) is type(of_p)]
        if cores[0] != cores[-1]:
            raise ValueError(
                f"{function}: {name} of p has shape (…, {_listed(cores[0])}), that of q (…,"
                f" {_listed(cores[1])}); they take one length"
            )
    return of_p, of_q


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


def _in_shape(found: Floats, p: Family, q: Family) -> Any:
    shape = np.broadcast_shapes(p.batch_shape, q.batch_shape)
    return (np.broadcast_to(found, shape).copy() + 0.0)[()]


def _as_one(p: Family, q: Family) -> tuple[Family, Family]:
    """Both as members of the larger family, where one is part of the other."""
    p, q = _of_two(p, q), _of_two(q, p)
    if type(p) is type(q):
        return p, q
    return _widened(p, type(q)), _widened(q, type(p))


def _of_two(x: Family, beside: Family) -> Family:
    """Two categories are a Bernoulli's outcomes, and the other way about beside categories."""
    if isinstance(x, Categorical) and not isinstance(beside, (Categorical, Bernoulli)):
        return Bernoulli.unchecked(_share_of_1(x)) if x.p.shape[-1] == 2 else x
    if isinstance(x, Bernoulli) and isinstance(beside, Categorical) and beside.p.shape[-1] == 2:
        return Categorical.unchecked(np.stack([1 - x.p, x.p], axis=-1))
    return x


def _share_of_1(x: Categorical) -> Floats:
    return np.asarray(x.p[..., 1] / x.p.sum(axis=-1))


def _widened(x: Family, to: type[Family]) -> Family:
    if isinstance(x, Exponential) and to is Gamma:
        return x.as_gamma()
    if isinstance(x, Exponential) and to is Weibull:
        return x.as_weibull()
    if isinstance(x, Bernoulli) and to is Binomial:
        return x.as_binomial()
    if isinstance(x, Geometric) and to is NegativeBinomial:
        return x.as_negative_binomial()
    if isinstance(x, Product) and to is MultivariateNormal:
        return x.as_multivariate_normal()
    return x


def _closed(p: Family, q: Family) -> Floats:
    p, q = _as_one(p, q)
    if isinstance(p, Product) and isinstance(q, Product):
        return _of_factors(_closed, p, q)
    if type(p) is type(q):
        factors = [getattr(x, "factor", None) for x in (p, q)]
        if factors[0] is not None and factors[1] is not None:
            assert isinstance(p, MultivariateNormal)
            assert isinstance(q, MultivariateNormal)
            return np.asarray(gaussian_kl(p.mean, factors[0], q.mean, factors[1], cholesky=True))
        return p.divergence_from(q)
    return _where_inside(p, q, lambda: q.divergence_of(p))


def _crossed(p: Family, q: Family) -> Floats:
    p, q = _as_one(p, q)
    if isinstance(p, Product) and isinstance(q, Product):
        return _of_factors(_crossed, p, q)
    return _where_inside(p, q, lambda: -q.mean_log_density(p))


def _where_inside(p: Family, q: Family, found: Callable[[], Floats]) -> Floats:
    """Return what is found where P is where Q is, +inf elsewhere; if everywhere, without asking."""
    if p.discrete != q.discrete or event_shape(p) != event_shape(q):
        raise Missing
    outside = _outside(p, q)
    inside = np.full((), np.nan) if outside.all() else found()
    return np.where(p.unknown | q.unknown, np.nan, np.where(outside, np.inf, inside))


def _of_factors(of: Callable[[Family, Family], Floats], p: Product, q: Product) -> Floats:
    """Sum over independent coordinates."""
    if p.event_shape != q.event_shape:
        raise Missing
    shape = np.broadcast_shapes(p.inner.batch_shape, q.inner.batch_shape)
    axes = tuple(range(-len(p.event_shape), 0))
    return np.asarray(np.broadcast_to(of(p.inner, q.inner), shape).sum(axis=axes))


def _has_closed(p: Family, q: Family) -> bool:
    try:
        with np.errstate(all="ignore"):
            _closed(p, q)
    except Missing:
        return False
    return True


def _outside(p: Family, q: Family) -> NDArray[np.bool_]:
    """Where P has probability beyond the ends of Q's support."""
    if type(p) is type(q) and (p.axes or isinstance(p, VonMises)):
        return np.zeros((), np.bool_)
    if isinstance(p, VonMises) or isinstance(q, VonMises):
        raise Missing  # the circle is no part of the line
    (low_p, high_p), (low_q, high_q) = p.support, q.support
    return np.asarray((low_p < low_q) | (high_p > high_q))


def _cross_entropy(function: str, p: Any, q: Any) -> Any:
    of_p, of_q = _both(function, p, q)
    try:
        with np.errstate(all="ignore"):
            return _in_shape(_crossed(of_p, of_q), of_p, of_q)
    except Missing:
        raise TypeError(
            f"{function}: {name_of(of_p)} and {name_of(of_q)} have no closed form here"
        ) from None
