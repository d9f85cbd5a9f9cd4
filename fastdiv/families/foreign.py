"""Distributions of scipy.stats, old and new interface, and of torch, as families of this package.

What is no family here keeps its log-density and its samples: enough for quadrature and Monte Carlo.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.families.base import Family, Floats, Missing
from fastdiv.families.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    NegativeBinomial,
    Poisson,
)
from fastdiv.families.multivariate import Dirichlet, MultivariateNormal, Wishart
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

__all__ = ["Other", "Product", "family_of"]

_Maker = Callable[..., Family]

# By scipy's name: which of loc and scale it may have, and the family of its shapes and those.
_SCIPY: dict[str, tuple[str, _Maker]] = {
    "norm": ("loc scale", lambda loc, scale: Normal(loc, scale)),
    "lognorm": ("scale", lambda s, scale: LogNormal(np.log(scale), s)),
    "halfnorm": ("scale", lambda scale: HalfNormal(scale)),
    "expon": ("scale", lambda scale: Exponential(1 / scale)),
    "gamma": ("scale", lambda a, scale: Gamma(a, 1 / scale)),
    "erlang": ("scale", lambda a, scale: Gamma(a, 1 / scale)),
    "chi2": ("scale", lambda df, scale: Gamma(df / 2, 0.5 / scale)),
    "invgamma": ("scale", lambda a, scale: InverseGamma(a, scale)),
    "chi": ("", lambda df: Chi(df)),
    "beta": ("", lambda a, b: Beta(a, b)),
    "laplace": ("loc scale", lambda loc, scale: Laplace(loc, scale)),
    "cauchy": ("loc scale", lambda loc, scale: Cauchy(loc, scale)),
    "gumbel_r": ("loc scale", lambda loc, scale: Gumbel(loc, scale)),
    "weibull_min": ("scale", lambda c, scale: Weibull(c, scale)),
    "pareto": ("scale", lambda b, scale: Pareto(scale, b)),
    "vonmises": ("loc", lambda kappa, loc: VonMises(loc, kappa)),
    "loguniform": ("scale", lambda a, b, scale: LogUniform(a * scale, b * scale)),
    "reciprocal": ("scale", lambda a, b, scale: LogUniform(a * scale, b * scale)),
    "bernoulli": ("", lambda p: Bernoulli(p)),
    "binom": ("", lambda n, p: Binomial(n, p)),
    "geom": ("", lambda p: Geometric(p)),
    "nbinom": ("", lambda n, p: NegativeBinomial(n, p)),
    "poisson": ("", lambda mu: Poisson(mu)),
}
# Classes of the new interface that are not called as in the old one, with their parameters.
_NEW: dict[str, tuple[tuple[str, ...], _Maker]] = {
    "Normal": (("mu", "sigma"), lambda mu, sigma: Normal(mu, sigma)),
    "StandardNormal": ((), lambda: Normal(0.0, 1.0)),
    "Binomial": (("n", "p"), lambda n, p: Binomial(n, p)),
    "_LogUniform": (("a", "b"), lambda a, b: LogUniform(a, b)),
}
# What scipy.stats.make_distribution calls the old ones.
_MADE = {
    "Normal": "norm",
    "LogNormal": "lognorm",
    "HalfNormal": "halfnorm",
    "Exponential": "expon",
    "Gamma": "gamma",
    "ChiSquared": "chi2",
    "InverseGamma": "invgamma",
    "InverseGammma": "invgamma",  # as SciPy 1.15 to 1.17 spell it
    "Chi": "chi",
    "Beta": "beta",
    "Laplace": "laplace",
    "Cauchy": "cauchy",
    "Gumbel": "gumbel_r",
    "Weibull": "weibull_min",
    "Pareto": "pareto",
    "LogUniform": "loguniform",
    "Bernoulli": "bernoulli",
    "Binom": "binom",
    "Geometric": "geom",
    "NegativeBinomial": "nbinom",
    "Poisson": "poisson",
}

_TORCH: dict[str, tuple[tuple[str, ...], _Maker]] = {
    "Normal": (("loc", "scale"), Normal),
    "LogNormal": (("loc", "scale"), LogNormal),
    "HalfNormal": (("scale",), HalfNormal),
    "MultivariateNormal": (("loc", "covariance_matrix"), MultivariateNormal),
    "LowRankMultivariateNormal": (
        ("loc", "cov_factor", "cov_diag"),
        lambda loc, w, d: MultivariateNormal(
            loc, w @ np.swapaxes(w, -1, -2) + d[..., None] * np.eye(d.shape[-1])
        ),
    ),
    "Bernoulli": (("probs",), Bernoulli),
    "Categorical": (("probs",), Categorical),
    "OneHotCategorical": (("probs",), Categorical),
    "Binomial": (("total_count", "probs"), Binomial),
    "Geometric": (("probs",), lambda p: Geometric(p, 0.0)),
    # There `probs` is that of what is counted.
    "NegativeBinomial": (("total_count", "probs"), NegativeBinomial.of_failures),
    "Poisson": (("rate",), Poisson),
    "Exponential": (("rate",), Exponential),
    "Gamma": (("concentration", "rate"), Gamma),
    "Chi2": (("df",), lambda df: Gamma(df / 2, 0.5)),
    "InverseGamma": (("concentration", "rate"), InverseGamma),
    "Beta": (("concentration1", "concentration0"), Beta),
    "Dirichlet": (("concentration",), Dirichlet),
    "Laplace": (("loc", "scale"), Laplace),
    "Cauchy": (("loc", "scale"), Cauchy),
    "Gumbel": (("loc", "scale"), Gumbel),
    "Weibull": (("concentration", "scale"), Weibull),
    "Pareto": (("scale", "alpha"), Pareto),
    "VonMises": (("loc", "concentration"), VonMises),
    "ContinuousBernoulli": (("probs",), ContinuousBernoulli),
    "Wishart": (("df", "covariance_matrix"), Wishart),
}

_HALF_OF_THE_DIGITS = 2.0**-26
_FACTORED = {"MultivariateNormal", "Wishart"}
# With a precision torch computes its factor, too.
_FACTORS = ("scale_tril", "precision_matrix")


class Other(Family):
    """A distribution that is no family here: what can be asked of it."""

    def __init__(
        self,
        name: str,
        log_density: Callable[[Floats], Any],
        sample: Callable[[np.random.Generator, int], Any],
        support: Callable[[], tuple[Any, Any]],
        discrete: bool,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> None:
        self.name = name
        self._batch, self.event_shape = shapes
        self.discrete = discrete  # type: ignore[misc]
        self._density, self._sample, self._support = log_density, sample, support

    @property
    def support(self) -> tuple[Floats, Floats]:
        """As the distribution says."""
        low, high = self._support()
        return np.asarray(low, np.float64), np.asarray(high, np.float64)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch of distributions."""
        return self._batch

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Nowhere: whose distribution it is knows its parameters."""
        return np.zeros((), np.bool_)

    def log_density(self, x: ArrayLike) -> Floats:
        return np.asarray(self._density(np.asarray(x, np.float64)), np.float64)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(self._sample(rng, size), np.float64)


class Product(Other):
    """Independent coordinates of one family, whose divergences are sums."""

    def __init__(self, inner: Family, made: Other) -> None:
        vars(self).update(vars(made))
        self.inner = inner

    def as_multivariate_normal(self) -> Family:
        """Return normal coordinates with a diagonal covariance; `Missing` of others."""
        if not isinstance(self.inner, Normal) or len(self.event_shape) != 1:
            raise Missing
        shape = (*self._batch, *self.event_shape)
        mean, sigma = (np.broadcast_to(x, shape) for x in (self.inner.mu, self.inner.sigma))
        diagonal = np.eye(shape[-1])
        found = MultivariateNormal(mean, sigma[..., None] ** 2 * diagonal)
        object.__setattr__(found, "factor", sigma[..., None] * diagonal)
        return found


def family_of(function: str, argument: str, x: Any) -> Family:
    """Return the family of what is given, `Other` for what is a distribution all the same."""
    if isinstance(x, Family):
        return x
    module = type(x).__module__
    found: Family | None = None
    if module.startswith("scipy.stats"):
        found = _of_old(x) if hasattr(x, "dist") else _of_scipy(x)
    elif module.startswith("torch.distributions"):
        found = _of_torch(function, argument, x)
    if found is None:
        raise TypeError(
            f"{function}: {argument} is {type(x).__name__}; it takes a distribution of"
            " fastdiv.families, a frozen one of scipy.stats, or one of torch.distributions"
        )
    return found


def name_of(x: Family) -> str:
    """Name a distribution in a message."""
    return x.name if isinstance(x, Other) else type(x).__name__


def _made(name: str, shapes: dict[str, Any], loc: Any, scale: Any) -> Family | None:
    """Return the family of scipy's name, if loc and scale are what it may have."""
    if name not in _SCIPY:
        return None
    takes, maker = _SCIPY[name]
    loc, scale = np.asarray(loc, np.float64), np.asarray(scale, np.float64)
    if ("loc" not in takes and (loc != 0).any()) or ("scale" not in takes and (scale != 1).any()):
        return None
    moved = {n: v for n, v in (("loc", loc), ("scale", scale)) if n in takes.split()}
    return maker(**{n: np.asarray(v) for n, v in shapes.items()}, **moved)


def _of_old(x: Any) -> Family:
    """Read an rv_frozen: its arguments are shapes, loc and, if continuous, scale."""
    discrete = not hasattr(x.dist, "pdf")
    shapes = [s.strip() for s in (x.dist.shapes or "").split(",") if s.strip()]
    given = dict(zip([*shapes, "loc", "scale"], x.args, strict=False)) | x.kwds
    loc, scale = given.pop("loc", 0.0), given.pop("scale", 1.0)
    found = _made(x.dist.name, given, loc, scale)
    if found is not None:
        return found
    batch = np.broadcast_shapes(*map(np.shape, (*given.values(), loc, scale)))
    return Other(
        f"scipy.stats.{x.dist.name}",
        x.logpmf if discrete else x.logpdf,
        lambda rng, size: x.rvs(size=(size, *batch), random_state=rng),
        x.support,
        discrete,
        (batch, ()),
    )


def _of_scipy(x: Any) -> Family | None:
    """Read a frozen multivariate, or a distribution of the new interface."""
    name = type(x).__name__
    if name == "multivariate_normal_frozen":
        return MultivariateNormal(x.mean, x.cov)
    if name == "dirichlet_frozen":
        return Dirichlet(x.alpha)
    if name == "wishart_frozen":
        return Wishart(x.df, x.scale)
    if name == "multinomial_frozen" and x.n == 1:
        return Categorical(x.p)
    if not hasattr(x, "sample"):
        return None
    found = _of_new(x, 0.0, 1.0)
    if found is not None:
        return found
    discrete = any(base.__name__ == "DiscreteDistribution" for base in type(x).__mro__)
    return Other(
        f"scipy.stats.{name}",
        x.logpmf if discrete else x.logpdf,
        lambda rng, size: x.sample(size, rng=rng),
        x.support,
        discrete,
        (np.shape(x.median()), ()),
    )


def _of_new(x: Any, loc: Any, scale: Any) -> Family | None:
    name = type(x).__name__
    if name == "ShiftedScaledDistribution":
        inner = getattr(x, "_dist", None)
        return None if inner is None else _of_new(inner, loc + scale * x.loc, scale * x.scale)
    if name in _NEW:
        parameters, maker = _NEW[name]
        found = maker(*(getattr(x, p) for p in parameters))
        if isinstance(found, Normal):
            return Normal(loc + scale * found.mu, np.abs(scale) * found.sigma)
        return found if np.all(loc == 0) and np.all(scale == 1) else None
    # Made by scipy.stats.make_distribution of an old one, which only its text names.
    known = _MADE.get(repr(x).partition("(")[0], "")
    shapes = getattr(x, "_parameters", None)
    return None if shapes is None or np.any(scale <= 0) else _made(known, shapes, loc, scale)


def _array(x: Any) -> Floats:
    return np.asarray(x.detach().double().cpu().numpy())


def _given(x: Any, *names: str) -> str:
    """Return the first of some names that a torch distribution was made of.

    Others are computed from it when they are asked for, and in its precision.
    """
    return next((name for name in vars(x) if name in names), names[0])


def _of_logits(function: str, argument: str, x: Any, name: str) -> Family:
    """Read one that was given logits: its probabilities may be rounded to 0 or 1."""
    logits = _array(x.logits)
    if name == "Categorical":
        return Categorical(np.exp(logits - logits.max(axis=-1, keepdims=True)))
    no, yes = (np.exp(np.minimum(s * logits, 0.0)) for s in (-1, 1))
    if name == "Bernoulli":
        return Categorical(np.stack([no, yes], axis=-1))
    if name == "NegativeBinomial":
        whole = no + yes
        return NegativeBinomial.of_failures(_array(x.total_count), yes / whole, no / whole)
    share = yes / (no + yes)
    if (1 - share < _HALF_OF_THE_DIGITS).any():
        wrong = logits[1 - share < _HALF_OF_THE_DIGITS].flat[0]
        raise ValueError(
            f"{function}: {argument} is torch.distributions.{name} with logits {wrong:g}: float64"
            " does not tell its probability from 1; it takes logits nearer to 0"
        )
    return _TORCH[name][1](
        *(share if n == "probs" else _array(getattr(x, n)) for n in _TORCH[name][0])
    )


def _of_torch(function: str, argument: str, x: Any) -> Family:
    name = type(x).__name__
    if name == "Independent":
        return _of_independent(function, argument, x)
    if name not in _TORCH:
        return _other_of_torch(x)
    if name == "OneHotCategorical":
        x, name = getattr(x, "_categorical", x), "Categorical"
    parameters, maker = _TORCH[name]
    if "probs" in parameters and _given(x, "probs", "logits") == "logits":
        return _of_logits(function, argument, x, name)
    if name in _FACTORED and _given(x, "covariance_matrix", *_FACTORS) in _FACTORS:
        return _of_factor(x, name)
    return maker(*(_array(getattr(x, p)) for p in parameters))


def _of_independent(function: str, argument: str, x: Any) -> Family:
    """Read coordinates of a family that are one event; one of no coordinates is its base."""
    inner = _of_torch(function, argument, x.base_dist)
    if x.reinterpreted_batch_ndims == 0:
        return inner
    made = _other_of_torch(x)
    alone = not isinstance(inner, Other) and inner.batch_shape == (
        *made.batch_shape,
        *made.event_shape,
    )
    return Product(inner, made) if alone else made


def _of_factor(x: Any, name: str) -> Family:
    factor = _array(x.scale_tril)
    square = factor @ np.swapaxes(factor, -1, -2)
    if name == "Wishart":
        return Wishart(_array(x.df), square)
    found = MultivariateNormal(_array(x.loc), square)
    object.__setattr__(found, "factor", factor)
    return found


def _other_of_torch(x: Any) -> Other:
    torch = sys.modules["torch"]

    def sample(rng: np.random.Generator, size: int) -> Floats:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            return _array(x.sample((size,)))

    def end(which: str, otherwise: float) -> Floats:
        found = getattr(ends, which, otherwise)
        return np.asarray(_array(found) if isinstance(found, torch.Tensor) else found, np.float64)

    def log_density(values: Floats) -> Floats:
        if event:
            return _array(x.log_prob(torch.as_tensor(values, dtype=x.sample((1,)).dtype)))
        # Of what is outside torch says an error, or anything; of a number it computes in float32.
        at = np.clip(np.floor(values) if discrete else values, *support())
        found = _array(x.log_prob(torch.as_tensor(np.atleast_1d(at))))
        return np.where(at == values, found.reshape(np.shape(at) or found.shape), -np.inf)

    def support() -> tuple[Floats, Floats]:
        return end("lower_bound", -np.inf), end("upper_bound", np.inf)

    ends, event = x.support, tuple(x.event_shape)
    discrete = bool(getattr(ends, "is_discrete", False))
    return Other(
        f"torch.distributions.{type(x).__name__}",
        log_density,
        sample,
        support,
        discrete,
        (tuple(x.batch_shape), event),
    )
