r"""Generators of f-divergences: the convex function f, its conjugate, and what follows from them.

.. math:: D_f(P\|Q) = \sum_i q_i\, f\!\left(\frac{p_i}{q_i}\right), \qquad
          f^*(t) = \sup_{u \ge 0}\; u t - f(u)

What holds for every generator here:

1. f is the representative with f(1) = f′(1) = 0, so every term of the sum is ≥ 0 (`gan` alone is
   not: see its `Generator.offset`).
2. f, f′ and f* are formed without cancellation: near u = 1 from u − 1, which is exact there, and a
   series in s = (u − 1)/(u + 1); away from it from the definition. The error of f and f′ is at most
   16 units of 2⁻⁵³, relative, at any u; that of f* as much, plus what moving t by as little would
   change.
3. Limits are told, not computed: f(0), f(∞), f′(0), f′(∞), and f* at the ends of its domain.
4. Below f′(0) the conjugate is the constant −f(0); many published formulas omit that.

====================  ========================================  ==========================
name                  f(u)                                      Σ q f(p/q)
====================  ========================================  ==========================
kl                    u log u − u + 1                           KL(P‖Q)
reverse_kl            u − 1 − log u                             KL(Q‖P)
pearson_chi2          (u − 1)²                                  χ²(P‖Q)
neyman_chi2           (u − 1)²/u                                χ²(Q‖P)
squared_hellinger     (√u − 1)²/2                               1 − Σ √(pq)
total_variation       abs(u − 1)/2                              TV
jeffreys              (u − 1) log u                             KL(P‖Q) + KL(Q‖P)
js                    [u log u − (1+u) log((1+u)/2)]/2          JS
js_weighted(π)        πu log u − m log m, m = 1 − π + πu        π KL(P‖M) + (1−π) KL(Q‖M)
alpha(α)              (u^α − 1 − α(u−1))/(α(α−1))               alpha_divergence
triangular            (u − 1)²/(u + 1)                          Σ (p−q)²/(p+q)
arithmetic_geometric  (1+u)/2 log((1+u)/(2√u))                  [KL(M‖P) + KL(M‖Q)]/2
gan                   u log u − (u+1) log(u+1)                  2 JS − log 4
====================  ========================================  ==========================

with M = (P+Q)/2, but πP + (1−π)Q in js_weighted.

A :class:`Generator` is made by name (`get`), from parameters (`alpha`, `js_weighted`), from others
(``dual``, ``symmetrised``, ``+``, ``*``, `mixture`) or from a function
(:meth:`Generator.from_function`).
"""

import ctypes
import difflib
import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv.evaluation import is_masked, unmasked

__all__ = [
    "GENERATORS",
    "Generator",
    "Interval",
    "Term",
    "alpha",
    "arithmetic_geometric",
    "c_function_address",
    "gan",
    "get",
    "jeffreys",
    "js",
    "js_weighted",
    "kl",
    "mixture",
    "neyman_chi2",
    "pearson_chi2",
    "reverse_kl",
    "squared_hellinger",
    "total_variation",
    "triangular",
]

Array = NDArray[np.float64]
Formula = Callable[..., Array]
Function = Callable[[ArrayLike], Any]
Source = Literal["given", "found"]

_LARGEST = float(np.finfo(np.float64).max)
# Below this a parameter times a logarithm is lost, and the limit at 0 is right to the last digit.
_NEGLIGIBLE = 1e-100


@dataclass(frozen=True)
class Interval:
    """An interval of the real line.

    Attributes
    ----------
    lower, upper : float
        Its ends.
    lower_closed, upper_closed : bool
        Whether the ends belong to it.

    Examples
    --------
    >>> domain = Interval(-np.inf, 1.0, upper_closed=True)
    >>> domain
    (-inf, 1.0]
    >>> domain.contains([0.5, 1.0, 1.5])
    array([ True,  True, False])
    """

    lower: float
    upper: float
    lower_closed: bool = False
    upper_closed: bool = False

    def __repr__(self) -> str:
        """Return it as it is written: a round bracket where the end is no part of it."""
        left, right = "[" if self.lower_closed else "(", "]" if self.upper_closed else ")"
        return f"{left}{self.lower!r}, {self.upper!r}{right}"

    def contains(self, t: ArrayLike) -> Any:
        """Tell which numbers lie in the interval.

        Parameters
        ----------
        t : array_like

        Returns
        -------
        bool or ndarray of bool
        """
        x = unmasked("Interval.contains", "t", t).astype(np.float64, copy=False)
        above = x >= self.lower if self.lower_closed else x > self.lower
        return above & (x <= self.upper if self.upper_closed else x < self.upper)

    @property
    def largest(self) -> float:
        """The largest float64 in the interval."""
        return self.upper if self.upper_closed else float(np.nextafter(self.upper, -np.inf))


class Term(NamedTuple):
    """One compiled kernel in a sum.

    Attributes
    ----------
    weight : float
        What its result is multiplied by; negative only where the kernel's result is finite.
    kernel : str
        Name of the function of `fastdiv` that computes it.
    parameter : float or None
        Its parameter, if it has one.
    swapped : bool
        Whether P and Q change places. No generator here needs it: each kernel without symmetry has
        a partner.
    """

    weight: float
    kernel: str
    parameter: float | None = None
    swapped: bool = False


# --- functions on arrays, with their limits -----------------------------------------------------


@dataclass(frozen=True)
class _OnHalfLine:
    """A formula for 0 < u < ∞ with its values at both ends; NaN elsewhere."""

    formula: Formula
    at_zero: float
    at_infinity: float

    def __call__(self, u: ArrayLike) -> Any:
        x = unmasked("Generator", "u", u).astype(np.float64, copy=False)
        result = np.full(x.shape, np.nan)
        inner = (x > 0) & (x < np.inf)
        with np.errstate(all="ignore"):
            result[inner] = self.formula(x[inner])
        result[x == 0] = self.at_zero
        result[x == np.inf] = self.at_infinity
        return result[()]


@dataclass(frozen=True)
class _Conjugate:
    """A formula for f′(0) < t < f′(∞): constant below, +∞ above."""

    formula: Formula
    slope_at_zero: float
    at_zero: float
    upper: float
    at_upper: float

    def __call__(self, t: ArrayLike) -> Any:
        x = unmasked("Generator", "t", t).astype(np.float64, copy=False)
        result = np.full(x.shape, np.nan)
        inner = (x > self.slope_at_zero) & (x < self.upper)
        with np.errstate(all="ignore"):
            result[inner] = self.formula(x[inner])
        result[x <= self.slope_at_zero] = 0.0 - self.at_zero
        result[x == self.upper] = self.at_upper
        result[x > self.upper] = np.inf
        return result[()]


@dataclass(frozen=True)
class _Activation:
    """A formula whose rounded values are kept where its exact ones lie: inside the domain."""

    formula: Formula
    domain: Interval

    def __call__(self, v: ArrayLike) -> Any:
        x = unmasked("Generator", "v", v).astype(np.float64, copy=False)
        with np.errstate(all="ignore"):
            return np.clip(self.formula(x), -_LARGEST, self.domain.largest)[()]


@dataclass(frozen=True)
class _Sum:
    parts: tuple[tuple[float, Function], ...]

    def __call__(self, x: Array) -> Array:
        total = np.zeros(x.shape)
        for weight, function in self.parts:
            total += weight * function(x)
        return total


@dataclass(frozen=True)
class _ScaledConjugate:
    weight: float
    conjugate: Function
    domain: Interval

    def __call__(self, t: Array) -> Array:
        # t/c may round to the end of the domain from a t that lies inside.
        result: Array = self.weight * self.conjugate(
            np.minimum(t / self.weight, self.domain.largest)
        )
        return result


def _identity(v: Array) -> Array:
    return v


def _below_by_exponential(v: Array, upper: float) -> Array:
    return -upper * np.expm1(-v)


def _below_by_softplus(v: Array, upper: float, rate: float = 1.0) -> Array:
    return upper - rate * np.logaddexp(0.0, -v)


def _half_tanh(v: Array) -> Array:
    return 0.5 * np.tanh(v)


def _activation_into(domain: Interval) -> _Activation:
    """Return the general activation: the identity, or upper − softplus(−v)."""
    if domain.upper == math.inf:
        return _Activation(_identity, domain)
    return _Activation(partial(_below_by_softplus, upper=domain.upper), domain)


def _limit_at_infinity(at_infinity: float, undecided: float) -> float:
    """Return lim f(u) from lim f(u)/u, which decides unless it is 0."""
    return math.copysign(math.inf, at_infinity) if at_infinity else undecided


# --- the generator ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Generator:
    r"""A convex function f on [0, ∞] that makes the divergence Σ q f(p/q).

    Not built directly: see `get`, `alpha`, `js_weighted`, `mixture` and
    :meth:`Generator.from_function`. All functions take arrays of float64 and keep their shape;
    `f` and `derivative` take u ≥ 0, ∞ included, and give NaN elsewhere. None of them warns.

    Attributes
    ----------
    name : str
        What it is called.
    f : callable
        f(u).
    derivative : callable
        f′(u); at a kink of f a slope between those at its sides.
    conjugate : callable
        f*(t) = sup over u ≥ 0 of u t − f(u); +∞ outside `conjugate_domain`, and −f(0) below f′(0).
    conjugate_domain : Interval
        Where f* is finite: from −∞ to f′(∞).
    activation : callable
        A smooth increasing map g(v) of the real line into `conjugate_domain`, for the last layer of
        a network that estimates a divergence from samples by E_P g(v) − E_Q f*(g(v)). Of a
        generator made by `scaled` it is c g(v); of a sum, a mixture, and the dual of a function, it
        is v if f′(∞) = ∞ and otherwise f′(∞) − log(1 + e^(−v)). What would round to an end that is
        no part of the domain gives the float next to it.
    at_zero : float
        f(0): what a unit of Q weighs where P has nothing.
    at_infinity : float
        f′(∞) = lim f(u)/u: what a unit of P weighs where Q has nothing.
    curvature : float
        f″(1) = lim 2 D/χ² for P → Q; ∞ if f has a kink at 1, as `total_variation`.
    symmetric : bool
        Whether exchanging P and Q never changes the divergence.
    offset : float
        f(1). 0 for a divergence; Σ q f(p/q) is the sum over `terms` plus `offset`, for rows that
        sum to 1.
    terms : tuple of Term or None
        How compiled kernels compute it; None: they do not.
    at_zero_source, at_infinity_source : {'given', 'found'}
        Whether the limit is known or was found numerically.
    address : int or None
        Where the C function ``double (*)(double)`` is that `f` calls, if it is one.

    References
    ----------
    .. [1] I. Csiszár, "Information-type measures of difference of probability distributions and
       indirect observations", Studia Scientiarum Mathematicarum Hungarica 2 (1967), 299-318.
    .. [2] S. Nowozin, B. Cseke and R. Tomioka, "f-GAN: training generative neural samplers using
       variational divergence minimization", NeurIPS 29 (2016).

    Examples
    --------
    >>> kl.f([0.0, 1.0, 2.0, np.inf]).round(6).tolist()
    [1.0, 0.0, 0.386294, inf]
    >>> float(kl.f(1 + 2.0**-30) / 2.0**-61)  # of d²/2: 1 − d/3
    0.9999999996895591
    >>> js.bounded, js.upper == np.log(2)
    (True, np.True_)
    >>> neyman_chi2.conjugate_domain
    (-inf, 1.0]
    >>> kl.dual() is reverse_kl
    True
    """

    name: str
    f: Function
    derivative: Function
    conjugate: Function
    conjugate_domain: Interval
    activation: Function
    at_zero: float
    at_infinity: float
    curvature: float
    symmetric: bool
    offset: float = 0.0
    terms: tuple[Term, ...] | None = None
    at_zero_source: Source = "given"
    at_infinity_source: Source = "given"
    address: int | None = None
    # What a named generator is rebuilt from, and its dual: a name and a parameter.
    _key: tuple[str, float | None] | None = None
    _dual_key: tuple[str, float | None] | None = None
    # What a sum is made of; empty for what is not one.
    _parts: tuple[tuple[float, "Generator"], ...] = ()
    _dual_of: "Generator | None" = None
    _derivative_is_exact: bool = True

    def __repr__(self) -> str:
        """Return the name only: the functions have none."""
        return f"Generator({self.name!r})"

    def __reduce__(self) -> Any:
        """Pickle a named one by name, a sum by its parts."""
        if self._key is not None:
            return _named, self._key
        if self._parts:
            return _combined, (self._parts, self.name)
        return super().__reduce__()

    @property
    def upper(self) -> float:
        """The largest value of the divergence: f(0) + f′(∞), reached by rows without overlap."""
        return self.at_zero + self.at_infinity

    @property
    def bounded(self) -> bool:
        """Whether the divergence of any two distributions is finite."""
        return self.upper < math.inf

    def dual(self) -> "Generator":
        """Return u f(1/u), whose divergence is this one's with P and Q exchanged.

        Returns
        -------
        Generator
            The one with that name where there is one, its parameter 1 − α or 1 − π rounded; else,
            f near u = 1 is as exact as f(1/u) is for the rounded 1/u.

        Examples
        --------
        >>> pearson_chi2.dual()
        Generator('neyman_chi2')
        >>> alpha(0.25).dual()
        Generator('alpha(0.75)')
        >>> (2 * kl + js).dual()
        Generator('2*reverse_kl + js')
        """
        if self._parts:
            return _combined([(weight, part.dual()) for weight, part in self._parts])
        if self._dual_key is not None:
            return _named(*self._dual_key)
        return self._dual_of or self._dual

    @cached_property
    def _dual(self) -> "Generator":
        return _dual_of_function(self)

    def symmetrised(self) -> "Generator":
        """Return f + dual, whose divergence is D(P‖Q) + D(Q‖P).

        Returns
        -------
        Generator
            Its `symmetric` is true.

        Examples
        --------
        >>> kl.symmetrised()
        Generator('kl + reverse_kl')
        >>> bool(np.isclose(kl.symmetrised().f(3.0), jeffreys.f(3.0)))
        True
        """
        return self + self.dual()

    def scaled(self, c: float) -> "Generator":
        """Return c f, whose conjugate is c f*(t/c).

        Parameters
        ----------
        c : float
            Above 0.

        Returns
        -------
        Generator

        Raises
        ------
        TypeError, ValueError
            If `c` is not a finite number above 0.

        Examples
        --------
        >>> twice = 2 * squared_hellinger
        >>> twice, twice.upper
        (Generator('2*squared_hellinger'), 2.0)
        """
        weight = _number("Generator.scaled", "c", c, "a finite number above 0")
        if weight <= 0:
            raise ValueError(f"Generator.scaled: c is {c!r}; it takes a finite number above 0")
        return _combined([(weight, self)])

    def __mul__(self, c: float) -> "Generator":
        """Scale: ``c * g`` is ``g.scaled(c)``."""
        if not isinstance(c, numbers.Real):
            return NotImplemented
        return self.scaled(float(c))

    __rmul__ = __mul__

    def __add__(self, other: "Generator") -> "Generator":
        """Add: the divergence is the sum of both."""
        if not isinstance(other, Generator):
            return NotImplemented
        return _combined([(1.0, self), (1.0, other)])

    @classmethod
    def from_function(
        cls,
        f: Any,
        derivative: Any = None,
        at_zero: float | None = None,
        at_infinity: float | None = None,
        name: str | None = None,
    ) -> Self:
        r"""Make a generator of a function.

        The function is called on arrays right away, to find what is not given. Whether it is convex
        is not asked here but by :meth:`check`.

        Parameters
        ----------
        f : callable
            f(u) of a one-dimensional array of float64 above 0, giving an array of its shape; or a
            C function ``double (*)(double)``: see `c_function_address`.
        derivative : callable, optional
            f′(u), likewise. Default: differences, whose relative error is about 1e-11 where f is
            smooth within 6 % of u, and which are blind to what f's own rounding hides.
        at_zero : float, optional
            f(0). Default: the limit of f(2^−k), found as explained in Notes.
        at_infinity : float, optional
            f′(∞) = lim f(u)/u. Default: the limit of f(2^k)/2^k.
        name : str, optional
            Default: the function's.

        Returns
        -------
        Generator
            Without `terms`. Its conjugate is found for each t by search: a root of f′(u) = t, or
            without `derivative` the largest u t − f(u); the error is a few units of 2⁻⁵³ of
            |u t| + |f(u)|, and of what f itself loses.

        Raises
        ------
        TypeError
            If `f` or `derivative` is not callable, is a C function of another type, or does not map
            an array to one of its shape.
        ValueError
            If a limit is NaN, or is not given and no decision about it is possible.

        Notes
        -----
        The sequence a(k) is taken up to where it leaves float64. It diverges if its steps grow or
        stay equal; it has a limit if its steps vanish, or shrink by a constant factor, which gives
        the limit (Aitken); in all other cases no decision is made. Limits found are right to about
        1e-12 of the largest a(k). Not decided are, for instance, sequences that converge as 1/k.

        Examples
        --------
        >>> g = Generator.from_function(lambda u: (np.sqrt(u) - 1) ** 2, name="hellinger")
        >>> g.at_zero, g.at_infinity, g.symmetric, round(g.curvature, 9)
        (1.0, 1.0, True, 0.5)
        >>> g.at_infinity_source
        'found'
        >>> g.conjugate([-1.0, 0.5, 2.0]).round(12).tolist()  # t/(1 − t) below 1
        [-0.5, 1.0, inf]
        """
        made: Self = _from_function(cls, f, derivative, at_zero, at_infinity, name)
        return made

    def check(self) -> None:
        """Verify on a grid of u from 2^−40 to 2^40 that f is what a divergence needs.

        Raises
        ------
        TypeError
            If f does not give an array of its argument's shape.
        ValueError
            If f is NaN, is not convex, is not 0 at 1, or if its derivative is not between the
            slopes of its chords; it says which and where. Rounding is allowed for.

        Examples
        --------
        >>> kl.check()
        >>> Generator.from_function(np.sqrt, name="root").check()
        Traceback (most recent call last):
        ...
        ValueError: root: f(1) is 1.0; a divergence needs f(1) = 0
        """
        _check(self)


def _number(function: str, argument: str, value: Any, takes: str) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{function}: {argument} is {value!r}; it takes {takes}")
    if not math.isfinite(value):
        raise ValueError(f"{function}: {argument} is {value!r}; it takes {takes}")
    return float(value)


def mixture(parts: Iterable[tuple[float, Generator]]) -> Generator:
    r"""Weighted sum of generators.

    .. math:: f(u) = \sum_j w_j f_j(u), \qquad D_f = \sum_j w_j D_{f_j}

    Parameters
    ----------
    parts : iterable of (float, Generator)
        Weights, finite and ≥ 0, not all 0; they need not sum to 1.

    Returns
    -------
    Generator
        Equal parts are merged, those with weight 0 left out. The conjugate of what then has more
        than one part is found for each t by a search for the root of f′(u) = t.

    Raises
    ------
    TypeError
        If a part is not a number and a `Generator`.
    ValueError
        If a weight is negative or not finite, or all are 0.

    Examples
    --------
    >>> g = mixture([(0.25, kl), (0.75, js)])
    >>> g
    Generator('0.25*kl + 0.75*js')
    >>> g.terms[1]
    Term(weight=0.75, kernel='js_divergence', parameter=None, swapped=False)
    """
    checked = []
    for weight, generator in parts:
        number = _number("mixture", "a weight", weight, "finite numbers, at least 0")
        if number < 0:
            raise ValueError(
                f"mixture: a weight is {weight!r}; it takes finite numbers, at least 0"
            )
        if not isinstance(generator, Generator):
            raise TypeError(f"mixture: a part is {generator!r}; it takes (weight, Generator)")
        checked.append((number, generator))
    if not any(weight for weight, _ in checked):
        raise ValueError("mixture: no part has a weight above 0")
    return _combined(checked)


def _combined(parts: Iterable[tuple[float, Generator]], name: str | None = None) -> Generator:
    """Σ w g: scaling, adding and mixing are all this."""
    weights: dict[Generator, float] = {}
    for weight, generator in parts:
        for inner, part in generator._parts or ((1.0, generator),):
            weights[part] = weights.get(part, 0.0) + weight * inner
    flat = tuple((weight, part) for part, weight in weights.items() if weight)
    if len(flat) == 1 and flat[0][0] == 1.0:
        return flat[0][1]

    def total(value: Callable[[Generator], float]) -> float:
        return sum(weight * value(part) for weight, part in flat)

    def functions(name: str) -> _Sum:
        return _Sum(tuple((weight, getattr(part, name)) for weight, part in flat))

    at_zero, at_infinity = total(lambda g: g.at_zero), total(lambda g: g.at_infinity)
    undecided = 0.0 if at_infinity else total(lambda g: float(g.f(math.inf)))
    f = _OnHalfLine(functions("f"), at_zero, _limit_at_infinity(at_infinity, undecided))
    slope_at_zero = total(lambda g: float(g.derivative(0.0)))
    derivative = _OnHalfLine(functions("derivative"), slope_at_zero, at_infinity)
    # Each u f_j′(∞) − f_j(u) increases to f_j*(f_j′(∞)), so their sum does to the sum of these.
    at_upper = math.inf
    if at_infinity < math.inf:
        at_upper = total(lambda g: float(g.conjugate(g.at_infinity)))
    domain = Interval(-math.inf, at_infinity, upper_closed=at_upper < math.inf)
    exact = all(part._derivative_is_exact for _, part in flat)
    formula: Formula
    if len(flat) == 1:
        ((weight, only),) = flat
        formula = _ScaledConjugate(weight, only.conjugate, only.conjugate_domain)
        activation = _Activation(_Sum(((weight, only.activation),)), domain)
    else:
        formula = _ConjugateBySearch(f, derivative if exact else None)
        activation = _activation_into(domain)
    return Generator(
        name=name or " + ".join(g.name if w == 1 else f"{w:g}*{g.name}" for w, g in flat),
        f=f,
        derivative=derivative,
        conjugate=_Conjugate(
            formula, slope_at_zero if exact else -math.inf, at_zero, at_infinity, at_upper
        ),
        conjugate_domain=domain,
        activation=activation,
        at_zero=at_zero,
        at_infinity=at_infinity,
        curvature=total(lambda g: g.curvature),
        symmetric=_is_symmetric(weights),
        offset=total(lambda g: g.offset),
        terms=_combined_terms(flat),
        at_zero_source=_combined_source(part.at_zero_source for _, part in flat),
        at_infinity_source=_combined_source(part.at_infinity_source for _, part in flat),
        _parts=flat,
        _derivative_is_exact=exact,
    )


def _is_symmetric(weights: dict[Generator, float]) -> bool:
    return all(
        part.symmetric or weights.get(part.dual()) == weight for part, weight in weights.items()
    )


def _combined_terms(parts: Iterable[tuple[float, Generator]]) -> tuple[Term, ...] | None:
    weights: dict[tuple[str, float | None, bool], float] = {}
    for weight, part in parts:
        if part.terms is None:
            return None
        for term in part.terms:
            key = term[1:]
            weights[key] = weights.get(key, 0.0) + weight * term.weight
    return tuple(Term(weight, *key) for key, weight in weights.items() if weight)


def _combined_source(sources: Iterable[Source]) -> Source:
    return "found" if "found" in sources else "given"


@dataclass(frozen=True)
class _DualFormula:
    """u f(1/u)."""

    f: Function

    def __call__(self, u: Array) -> Array:
        return np.asarray(u * self.f(1 / u))


@dataclass(frozen=True)
class _DualSlope:
    """f(v) − v f′(v) at v = 1/u, the derivative of u f(1/u)."""

    f: Function
    derivative: Function

    def __call__(self, u: Array) -> Array:
        return np.asarray(self.f(1 / u) - self.derivative(1 / u) / u)


def _dual_of_function(g: Generator) -> Generator:
    slope_at_zero = 0.0 - float(g.conjugate(g.at_infinity))
    slope_of_g = float(g.derivative(0.0))
    at_upper = -slope_of_g if slope_of_g == slope_of_g and g.at_zero < math.inf else math.inf
    exact = g._derivative_is_exact
    at_infinity = g.at_zero
    dual = _OnHalfLine(
        _DualFormula(g.f), g.at_infinity, _limit_at_infinity(at_infinity, slope_of_g)
    )
    derivative = _OnHalfLine(_DualSlope(g.f, g.derivative), slope_at_zero, at_infinity)
    domain = Interval(-math.inf, at_infinity, upper_closed=at_upper < math.inf)
    return Generator(
        name=f"dual({g.name})",
        f=dual,
        derivative=derivative,
        conjugate=_Conjugate(
            _ConjugateBySearch(dual, derivative if exact else None),
            -math.inf,
            g.at_infinity,
            at_infinity,
            at_upper,
        ),
        conjugate_domain=domain,
        activation=_activation_into(domain),
        at_zero=g.at_infinity,
        at_infinity=at_infinity,
        curvature=g.curvature,
        symmetric=g.symmetric,
        offset=g.offset,
        at_zero_source=g.at_infinity_source,
        at_infinity_source=g.at_zero_source,
        _dual_of=g,
        _derivative_is_exact=exact,
    )


# --- conjugates by search -----------------------------------------------------------------------

# As integers, the floats above 0 stand in their own order, nearly evenly spaced in log u.
_BITS_OF_LARGEST = int(np.float64(_LARGEST).view(np.int64))
_COARSE = np.exp2(np.arange(-1074.0, 1024.0, 6.0))
_ZOOM = 16


@dataclass(frozen=True)
class _ConjugateBySearch:
    """f*(t) for f′(0) < t < f′(∞), from f and, if it is exact, f′.

    With f′: bisection of f′(u) = t over all floats u > 0, to two neighbours; u t − f(u) at the
    better of them. Without: the largest u t − f(u) on a coarse grid, then on ever finer ones around
    the best so far; concavity leaves the maximum between its neighbours. A wrong turn that rounding
    takes there is worth no more than that rounding.
    """

    f: Function
    derivative: Function | None

    def __call__(self, t: Array) -> Array:
        if self.derivative is not None:
            return self._by_root(t, self.derivative)
        blocks = [self._by_zoom(t[i : i + 1024]) for i in range(0, t.size, 1024)]
        return np.concatenate([np.empty(0), *blocks])

    def _value(self, u: Array, t: Array) -> Array:
        value: Array = u * t - self.f(u)
        return value

    def _by_root(self, t: Array, derivative: Function) -> Array:
        low = np.zeros(t.shape, np.int64)
        high = np.full(t.shape, _BITS_OF_LARGEST)
        for _ in range(63):
            middle = low + (high - low) // 2
            below = derivative(middle.view(np.float64)) < t
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        ends = [self._value(bits.view(np.float64), t) for bits in (low, high)]
        best = np.fmax(*ends)
        # ∞ − ∞: f*(t) ≥ u t − f(u) left float64.
        return np.where(np.isnan(best), np.inf, best)

    def _by_zoom(self, t: Array) -> Array:
        u = np.broadcast_to(_COARSE, (t.size, _COARSE.size))
        best = np.full(t.shape, -np.inf)
        rows = np.arange(t.size)
        while True:
            value = self._value(u, t[:, None])
            value[np.isnan(value)] = -np.inf  # ∞ − ∞, where f outgrows u t
            at = value.argmax(axis=1)
            best = np.fmax(best, value.max(axis=1))
            bits = np.ascontiguousarray(u).view(np.int64)
            low = bits[rows, np.maximum(at - 1, 0)]
            high = bits[rows, np.minimum(at + 1, u.shape[1] - 1)]
            width = high - low
            if width.size == 0 or width.max() <= 2:
                return np.asarray(best)
            steps = width[:, None] * np.arange(_ZOOM + 1) // _ZOOM
            u = (low[:, None] + steps).view(np.float64)


# --- generators made of functions ---------------------------------------------------------------


@dataclass(frozen=True)
class _ArrayFunction:
    """A function of the user's, whose results are held to be arrays of the argument's shape."""

    function: Callable[[Array], Any]
    what: str

    def __call__(self, u: Array) -> Array:
        flat = np.array(u, np.float64).ravel()
        takes = "it takes a float64 array and returns one of the same shape"
        try:
            found = self.function(flat)
            result = np.asarray(found)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{self.what} does not take an array ({error}); {takes}") from error
        if is_masked(found):
            raise TypeError(f"{self.what} returned a masked array; {takes}")
        if result.shape != flat.shape:
            raise TypeError(
                f"{self.what} returned shape {result.shape} for an array of shape {flat.shape};"
                f" {takes}"
            )
        if result.dtype.kind not in "fiu":
            raise TypeError(f"{self.what} returned dtype {result.dtype}; {takes}")
        return result.astype(np.float64).reshape(np.shape(u))


@dataclass(frozen=True)
class _CFunction:
    """A ``double (*)(double)`` called for each number of an array; keeps its owner alive."""

    address: int
    owner: Any

    def __call__(self, u: Array) -> Array:
        function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(self.address)
        return np.array([function(x) for x in u.tolist()], np.float64)


@dataclass(frozen=True)
class _Differences:
    """The derivative from central differences, extrapolated to a step of 0."""

    f: Formula

    def __call__(self, u: Array) -> Array:
        table = []
        for k in range(4, 9):
            up, down = u * (1 + 2.0**-k), u * (1 - 2.0**-k)
            table.append((self.f(up) - self.f(down)) / (up - down))
        return np.asarray(_extrapolated(table)[-1])


def _extrapolated(table: list[Any]) -> list[Any]:
    """Richardson's limits of values with errors in h², h halved from each to the next.

    The last is the best; the one before it tells how good.
    """
    results = [table[-1]]
    for order in range(1, len(table)):
        table = [b + (b - a) / (4.0**order - 1) for a, b in pairwise(table)]
        results.append(table[-1])
    return results


def _limit(a: Array, noise: float = 1e-12) -> float | None:
    """Limit of a sequence sampled evenly in log u: a number, ∞, or None for no decision."""
    finite = np.isfinite(a)
    count = a.size if finite.all() else int(finite.argmin())
    if count < 16:
        return math.inf if a[count] == math.inf else None
    step = (count - 1) // 8
    sample = a[count - 1 - 8 * step : count : step]
    scale = float(np.abs(a[:count]).max())
    with np.errstate(all="ignore"):
        steps = np.diff(sample)
        if (np.abs(steps[-2:]) <= noise * scale).all():
            limit = float(sample[-1])
        else:
            ratios = steps[-3:] / steps[-4:-1]
            if (steps[-4:] > 0).all() and (ratios >= 1 - max(1e-10, noise)).all():
                return math.inf
            aitken = sample[2:] - steps[1:] ** 2 / np.diff(steps)
            agree = abs(aitken[-1] - aitken[-2]) <= 1e3 * noise * scale
            if not (agree and (np.abs(ratios) < 1).all()):
                return None
            limit = float(aitken[-1])
    return 0.0 if abs(limit) <= noise * scale else limit


def _from_function(
    cls: type[Any], f: Any, derivative: Any, at_zero: Any, at_infinity: Any, name: str | None
) -> Any:
    where = "Generator.from_function"
    called = name or str(getattr(f, "__name__", type(f).__name__))
    address = c_function_address(f)
    value = _as_array_function(f, f"{where}: {called}")
    slope = (
        None
        if derivative is None
        else _as_array_function(derivative, f"{where}: the derivative of {called}")
    )
    with np.errstate(all="ignore"):
        k = np.arange(1.0, 1023.0)
        zero_source, zero = _given_or_found(called, "at_zero", at_zero, lambda: value(np.exp2(-k)))
        infinity_source, infinity = _given_or_found(
            called, "at_infinity", at_infinity, lambda: value(np.exp2(k)) / np.exp2(k)
        )
        offset, largest = value(np.array([1.0, _LARGEST])).tolist()
        slope_at_zero = _slope_at_zero(value, slope, zero)
        at_upper = _conjugate_at_upper(value, infinity)
        curvature = _curvature(value, slope)
        symmetric = _looks_symmetric(value)
    function = _OnHalfLine(value, zero, _limit_at_infinity(infinity, largest))
    slopes = _OnHalfLine(slope or _Differences(value), slope_at_zero, infinity)
    domain = Interval(-math.inf, infinity, upper_closed=at_upper < math.inf)
    return cls(
        name=called,
        f=function,
        derivative=slopes,
        conjugate=_Conjugate(
            _ConjugateBySearch(function, slopes if slope else None),
            -math.inf,
            zero,
            infinity,
            at_upper,
        ),
        conjugate_domain=domain,
        activation=_activation_into(domain),
        at_zero=zero,
        at_infinity=infinity,
        curvature=curvature,
        symmetric=symmetric,
        offset=offset + 0.0,
        at_zero_source=zero_source,
        at_infinity_source=infinity_source,
        address=address,
        _derivative_is_exact=slope is not None,
    )


def _as_array_function(function: Any, what: str) -> _ArrayFunction:
    address = c_function_address(function)
    if address is None and not callable(function):
        raise TypeError(
            f"{what} has type {type(function).__name__}; it takes a function of an array or a C"
            " function double (*)(double)"
        )
    return _ArrayFunction(function if address is None else _CFunction(address, function), what)


def _given_or_found(
    called: str, argument: str, given: Any, sequence: Callable[[], Array]
) -> tuple[Source, float]:
    where = f"Generator.from_function: {argument} of {called}"
    if given is not None:
        if not isinstance(given, numbers.Real):
            raise TypeError(f"{where} is {given!r}; it takes a number or inf")
        if not float(given) > -math.inf:
            raise ValueError(f"{where} is {given!r}; it takes a number or inf")
        return "given", float(given)
    limit = _limit(sequence())
    if limit is None:
        raise ValueError(f"{where} could not be found: the limit is not clear; give {argument}")
    return "found", limit


def _slope_at_zero(value: Formula, slope: Formula | None, at_zero: float) -> float:
    """f′(0); NaN if it is not clear."""
    if at_zero == math.inf:
        return -math.inf
    if slope is not None:
        limit = _limit(-slope(np.exp2(-np.arange(1.0, 1023.0))))
    else:
        # Rounding of f is magnified by 1/u: u stops where about 1e-8 is left.
        u = np.exp2(-np.arange(1.0, 26.0))
        limit = _limit((at_zero - value(u)) / u, noise=1e-7)
    return math.nan if limit is None else 0.0 - limit


def _conjugate_at_upper(value: Formula, at_infinity: float) -> float:
    """f*(f′(∞)), the limit of u f′(∞) − f(u); ∞ if it is not clear."""
    if at_infinity == math.inf:
        return math.inf
    u = np.exp2(np.arange(1.0, 26.0))
    limit = _limit(u * at_infinity - value(u), noise=1e-7)
    return math.inf if limit is None else limit


def _curvature(value: Formula, slope: Formula | None) -> float:
    """f″(1); ∞ if the differences do not settle, as at a kink."""
    h = np.exp2(-np.arange(4.0, 9.0))
    if slope is not None:
        table = (slope(1 + h) - slope(1 - h)) / (2 * h)
    else:
        table = (value(1 + h) - 2 * value(np.ones(h.size)) + value(1 - h)) / h**2
    *_, previous, last = _extrapolated(table.tolist())
    return last if abs(last - previous) <= 1e-6 * abs(last) + 1e-9 else math.inf


def _looks_symmetric(value: Formula) -> bool:
    """Whether f(u) − u f(1/u) is a multiple of u − 1."""
    u = np.exp2(np.arange(1.0, 65.0) / 4)
    f, dual = value(u), u * value(1 / u)
    multiple = (f - dual) / (u - 1)
    spread = multiple.max() - multiple.min()
    return bool(spread <= 1e-9 * ((np.abs(f) + np.abs(dual)) / (u - 1)).max())


def _check(g: Generator) -> None:
    u = np.exp2(np.arange(-320.0, 321.0) / 8)
    f = np.asarray(g.f(u))
    if np.isnan(f).any():
        raise ValueError(f"{g.name}: f({u[np.isnan(f)][0]:.6g}) is NaN")
    # What a formula with 1, u and u log u in it may lose by rounding.
    unit = max(abs(float(g.f(0.5))), abs(float(g.f(2.0))))
    rounding = 64 * 2.0**-53 * (np.abs(f) + unit * (1 + u) * (1 + np.abs(np.log(u))))
    if abs(g.offset) > rounding[u == 1].item():
        raise ValueError(f"{g.name}: f(1) is {g.offset!r}; a divergence needs f(1) = 0")
    # Octaves first: their violations read best.
    for stride in (8, 64, 1):
        left, middle, right = u[: -2 * stride], u[stride:-stride], u[2 * stride :]
        fl, fm, fr = f[: -2 * stride], f[stride:-stride], f[2 * stride :]
        allowed = rounding[: -2 * stride] + rounding[stride:-stride] + rounding[2 * stride :]
        share = (right - middle) / (right - left)
        with np.errstate(invalid="ignore"):
            excess = (fm - (share * fl + (1 - share) * fr)) / allowed
        if (excess > 1).any():
            at = _nearest_to_one(middle, excess > 1)
            raise ValueError(
                f"{g.name}: f is not convex: f({middle[at]:.6g}) = {fm[at]:.6g} lies above the"
                f" chord of f({left[at]:.6g}) = {fl[at]:.6g} and f({right[at]:.6g}) = {fr[at]:.6g}"
            )
    if g._derivative_is_exact:
        _check_derivative(g, u, f, rounding)


def _nearest_to_one(u: Array, among: NDArray[np.bool_]) -> int:
    return int(np.where(among, np.abs(np.log(u)), np.inf).argmin())


def _check_derivative(g: Generator, u: Array, f: Array, rounding: Array) -> None:
    slope = np.asarray(g.derivative(u))
    if np.isnan(slope).any():
        raise ValueError(f"{g.name}: the derivative at {u[np.isnan(slope)][0]:.6g} is NaN")
    with np.errstate(all="ignore"):
        chord = np.diff(f) / np.diff(u)
        allowed = (rounding[1:] + rounding[:-1]) / np.diff(u) + 2.0**-47 * np.abs(chord)
        wrong = np.zeros(u.size, np.bool_)
        wrong[:-1] |= slope[:-1] > chord + allowed
        wrong[1:] |= slope[1:] < chord - allowed
    # What left float64 tells nothing.
    wrong &= np.isfinite(slope)
    if wrong.any():
        at = _nearest_to_one(u, wrong)
        raise ValueError(
            f"{g.name}: the derivative at {u[at]:.6g} is {slope[at]:.6g}, which is not between the"
            " slopes of the chords of f on its two sides"
        )


# --- C functions --------------------------------------------------------------------------------

_TAKES = "it takes double (*)(double)"


def c_function_address(f: Any) -> int | None:
    """Return the address of a C function ``double (*)(double)``.

    Parameters
    ----------
    f : object
        A ctypes function (of ``CFUNCTYPE``, or of a library with `restype` and `argtypes` set), a
        cffi function pointer (``ffi.callback``, ``ffi.addressof(lib, name)``), a ``numba.cfunc``,
        or a ``scipy.LowLevelCallable`` without user data. It must stay alive as long as the address
        is used.

    Returns
    -------
    int or None
        None if `f` is none of these: an ordinary Python object.

    Raises
    ------
    TypeError
        If it has another type than ``double (*)(double)``.
    ValueError
        If it is a null pointer.

    Examples
    --------
    >>> import ctypes, math
    >>> prototype = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    >>> c_function_address(prototype(math.cosh)) is None
    False
    >>> c_function_address(math.cosh) is None
    True
    """
    address = _address(f)
    if address == 0:
        raise ValueError(f"c_function_address: f is a null pointer; {_TAKES}")
    return address


def _address(f: Any) -> int | None:
    # By the module of its type: a package is imported only by who made an object of it.
    package = type(f).__module__.partition(".")[0]
    if isinstance(f, _CTYPES_FUNCTION):
        return _ctypes_address(f)
    if package == "_cffi_backend":
        return _cffi_address(f)
    if package == "numba" and hasattr(f, "address") and hasattr(f, "ctypes"):
        _ctypes_address(f.ctypes)
        return int(f.address)
    if package == "scipy" and type(f).__name__ == "LowLevelCallable":
        return _low_level_callable_address(f)
    return None


_CTYPES_FUNCTION = next(
    base for base in ctypes.CFUNCTYPE(None).__mro__ if base.__module__ == "_ctypes"
)
# A function that ctypes calls with the interpreter's lock held, which compiled code does not hold.
_NEEDS_THE_LOCK = 4


def _ctypes_address(f: Any) -> int:
    if f.argtypes is None:
        raise TypeError(
            f"c_function_address: f has no argtypes; {_TAKES}: set f.restype = c_double and"
            " f.argtypes = [c_double]"
        )
    if f.restype is not ctypes.c_double or list(f.argtypes) != [ctypes.c_double]:
        names = ", ".join(_ctypes_name(kind) for kind in f.argtypes) or "void"
        raise TypeError(
            f"c_function_address: f is {_ctypes_name(f.restype)} (*)({names}); {_TAKES}"
        )
    if f._flags_ & _NEEDS_THE_LOCK:
        raise TypeError(
            f"c_function_address: f is of PYFUNCTYPE or PyDLL; {_TAKES} of CFUNCTYPE or CDLL"
        )
    return ctypes.cast(f, ctypes.c_void_p).value or 0


def _ctypes_name(kind: Any) -> str:
    name = "void" if kind is None else str(getattr(kind, "__name__", kind))
    return name.removeprefix("c_")


def _cffi_address(f: Any) -> int:
    import importlib

    ffi = importlib.import_module("_cffi_backend").FFI()
    kind = ffi.typeof(f)
    double = kind.kind == "function" and [a.cname for a in kind.args] == ["double"]
    if not double or kind.result.cname != "double" or kind.ellipsis:
        raise TypeError(f"c_function_address: f is {kind.cname}; {_TAKES}")
    return int(ffi.cast("intptr_t", f))


def _low_level_callable_address(f: Any) -> int:
    if "".join(f.signature.split()) != "double(double)" or f.user_data is not None:
        data = "" if f.user_data is None else " with user data"
        raise TypeError(
            f"c_function_address: f is {f.signature!r}{data}; {_TAKES} and no user data"
        )
    capsule = next(iter(f))
    read = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    return int(read(capsule, f.signature.encode()) or 0)


# --- formulas -----------------------------------------------------------------------------------


def _log_tail(s: Array) -> Array:
    """log((1+s)/(1−s)) − 2s = 2s³(1/3 + s²/5 + s⁴/7 + …) for |s| ≤ ½; 27 terms reach 2⁻⁵³."""
    y = s * s
    series = np.full(s.shape, 1.0 / 55.0)
    for divisor in range(53, 2, -2):
        series = series * y + 1.0 / divisor
    return np.asarray(2.0 * s * y * series)


def _kl_terms(d: Array, u: Array) -> Array:
    """U log u − d, with d = u − 1 as exact as the caller has it.

    Near 1, log u = 2s + T(s) with s = d/(u + 1), and u·2s − d = d s.
    """
    s = d / (u + 1)
    near = d * s + u * _log_tail(s)
    far = np.where(u > 0, u * np.log(u), 0.0) - d
    return np.where(np.abs(s) <= 0.5, near, far)


def _kl(u: Array) -> Array:
    return _kl_terms(u - 1, u)


def _reverse_kl(u: Array) -> Array:
    d = u - 1
    s = d / (u + 1)
    return np.where(np.abs(s) <= 0.5, d * s - _log_tail(s), d - np.log(u))


def _reverse_kl_derivative(u: Array) -> Array:
    return (u - 1) / u


def _reverse_kl_conjugate(t: Array) -> Array:
    return -np.log1p(-t)


def _pearson(u: Array) -> Array:
    return (u - 1) ** 2


def _pearson_derivative(u: Array) -> Array:
    return 2 * (u - 1)


def _pearson_conjugate(t: Array) -> Array:
    return t * (1 + t / 4)


def _neyman(u: Array) -> Array:
    d = u - 1
    return d * (d / u)


def _neyman_derivative(u: Array) -> Array:
    return (u - 1) / u * (1 + 1 / u)


def _neyman_conjugate(t: Array) -> Array:
    return np.asarray(t / (0.5 + 0.5 * np.sqrt(1 - t)))


def _hellinger(u: Array) -> Array:
    root = (u - 1) / (np.sqrt(u) + 1)
    return np.asarray(0.5 * root * root)


def _hellinger_derivative(u: Array) -> Array:
    return 0.5 * ((u - 1) / (u + np.sqrt(u)))


def _hellinger_conjugate(t: Array) -> Array:
    return 0.5 * (t / (0.5 - t))


def _total_variation(u: Array) -> Array:
    return 0.5 * np.abs(u - 1)


def _total_variation_derivative(u: Array) -> Array:
    return 0.5 * np.sign(u - 1)


def _jeffreys(u: Array) -> Array:
    return (u - 1) * np.log(u)


def _jeffreys_derivative(u: Array) -> Array:
    return np.log(u) + (u - 1) / u


def _jeffreys_conjugate(t: Array) -> Array:
    """e^x − 1 + x at the root x = log u of x + 1 − e^(−x) = t: −log W(e^(1−t)), W Lambert's.

    The left side is concave and increasing, so Newton's steps rise to the root from any point below
    it; five of them reach it from these.
    """
    x = np.where(t < 0, -np.log1p(np.maximum(-t, 0)), np.maximum(t / 2, t - 1))
    for _ in range(5):
        x = x + (t - (x - np.expm1(-x))) / (1 + np.exp(-x))
    return np.expm1(x) + x


def _js(u: Array, weight: float) -> Array:
    """π·KL of u from m plus (1−π)·KL of 1 from m, m = (1−π) + πu: two terms ≥ 0."""
    d, rest = u - 1, 1 - weight
    m = rest + weight * u
    return m * (weight * _kl_terms(rest * d / m, u / m) + rest * _kl_terms(-weight * d / m, 1 / m))


def _js_derivative(u: Array, weight: float) -> Array:
    rest = 1 - weight
    m = rest + weight * u
    x = rest * (u - 1) / m
    # u/m has few bits where it is subnormal.
    far = np.where(u < 1e-290, np.log(u) - np.log(m), np.log(u / m))
    return np.asarray(weight * np.where(x < -0.5, far, np.log1p(x)))


def _js_conjugate(t: Array, weight: float) -> Array:
    """−(1−π) log[(1 − π e^(t/π))/(1−π)], near the upper end from the distance to it."""
    rest, upper = 1 - weight, -weight * math.log(weight)
    x = -weight / rest * np.expm1(t / weight)
    near_end = np.log(-np.expm1((t - upper) / weight)) - math.log(rest)
    return -rest * np.where(x < -0.5, near_end, np.log1p(x))


def _power_logarithm(u: Array, log_u: Array, b: float, b_low: float = 0.0) -> Array:
    """(u^b − 1)/b; log u for b = 0. What rounding took from b is `b_low`: u^b may be huge."""
    if abs(b) < _NEGLIGIBLE:
        return log_u
    x = b * log_u
    power = np.power(u, b) * (1 + b_low * log_u)
    return np.asarray(np.where(np.abs(x) < 1, np.expm1(x), power - 1) / b)


def _rounded(exact: Fraction) -> tuple[float, float]:
    """Return the nearest float, and what it leaves."""
    high = float(exact)
    return high, float(exact - Fraction(high))


def _exponential_tail(x: Array) -> Array:
    """(e^x − 1 − x)/x²; 18 terms of the series reach 2⁻⁵³ for |x| ≤ 1."""
    series = np.full(x.shape, 1 / math.factorial(19))
    for k in range(18, 1, -1):
        series = series * x + 1 / math.factorial(k)
    return np.where(np.abs(x) <= 1, series, (np.expm1(x) - x) / (x * x))


def _alpha(u: Array, alpha: float) -> Array:
    """Near 1 from δ = log u, elsewhere from powers; each form for its side of α = ½."""
    d, log_u = u - 1, np.log(u)
    beta, beta_low = _rounded(Fraction(alpha) - 1)
    if alpha < 0.5:
        inner, factor = alpha, -beta
        bent = _exponential_tail(log_u) - alpha * _exponential_tail(alpha * log_u)
        far = d - _power_logarithm(u, log_u, alpha)
    else:
        inner, factor = beta, alpha
        bent = u * (beta * _exponential_tail(beta * log_u) + _exponential_tail(-log_u))
        far = u * _power_logarithm(u, log_u, beta, beta_low) - d
    near = (np.abs(log_u) <= 2) & (np.abs(inner * log_u) <= 2)
    return np.where(near, log_u * log_u * bent, far) / factor


def _alpha_derivative(u: Array, alpha: float) -> Array:
    return _power_logarithm(u, np.log(u), *_rounded(Fraction(alpha) - 1))


def _alpha_conjugate(t: Array, alpha: float) -> Array:
    """(u^α − 1)/α where f′(u) = t, which is u = (1 + (α−1)t)^(1/(α−1))."""
    beta = alpha - 1
    if abs(beta) < _NEGLIGIBLE:
        return np.expm1(t)
    # Above −1: no float inside the domain, times β, rounds to it.
    x = beta * t
    base = 1 + x
    beyond = np.isinf(base)
    log_base = np.where(beyond, math.log(abs(beta)) + np.log(np.abs(t)), np.log1p(x))
    log_u = log_base / beta
    if abs(alpha) < _NEGLIGIBLE:
        return log_u
    # Far from base = 1 a power keeps more digits than the exponential of a logarithm.
    exponent, exponent_low = _rounded(Fraction(alpha) / (Fraction(alpha) - 1))
    power = np.power(base, exponent) * (1 + exponent_low * log_base)
    near = beyond | (np.abs(log_base) < 1) | (np.abs(alpha * log_u) < 1)
    return np.asarray(np.where(near, np.expm1(alpha * log_u), power - 1) / alpha)


def _triangular(u: Array) -> Array:
    d = u - 1
    return d * (d / (u + 1))


def _triangular_derivative(u: Array) -> Array:
    return (u - 1) / (u + 1) * ((u + 3) / (u + 1))


def _triangular_conjugate(t: Array) -> Array:
    """4 − t − 4w with w = √(1 − t), which is (w − 1)(w − 3)."""
    w = np.sqrt(1 - t)
    return np.asarray(t * (3 - w) / (1 + w))


def _log_mean_ratio(u: Array) -> Array:
    """log((1+u)²/(4u)), twice the logarithm of arithmetic over geometric mean of u and 1."""
    d = u - 1
    far = 2 * np.log1p(u) - np.log(u) - math.log(4)
    return np.where((u > 1e-3) & (u < 1e3), np.log1p(d * (d / u) / 4), far)


def _arithmetic_geometric(u: Array) -> Array:
    return 0.25 * (_log_mean_ratio(u) + u * _log_mean_ratio(u))


def _arithmetic_geometric_derivative(u: Array) -> Array:
    return 0.25 * (_log_mean_ratio(u) + (u - 1) / u)


def _log_of_odds(u: Array) -> Array:
    """log(u/(1+u))."""
    return np.where(u < 1, np.log(u) - np.log1p(u), -np.log1p(1 / u))


def _gan(u: Array) -> Array:
    return u * _log_of_odds(u) - np.log1p(u)


def _gan_conjugate(t: Array) -> Array:
    return -np.where(t < -math.log(2), np.log1p(-np.exp(t)), np.log(-np.expm1(t)))


# --- the named ones -----------------------------------------------------------------------------


def _generator(
    name: str,
    f: Formula,
    derivative: Formula,
    conjugate: Formula,
    terms: Iterable[Term],
    *,
    at_zero: float,
    at_infinity: float,
    slope_at_zero: float = -math.inf,
    conjugate_at_upper: float = math.inf,
    curvature: float,
    activation: Formula = _identity,
    offset: float = 0.0,
    dual: tuple[str, float | None] | None = None,
    parameter: float | None = None,
) -> Generator:
    """Make a named generator; one without another name for its dual is symmetric."""
    key = (name, parameter)
    domain = Interval(-math.inf, at_infinity, upper_closed=conjugate_at_upper < math.inf)
    return Generator(
        name=name if parameter is None else f"{name}({parameter!r})",
        f=_OnHalfLine(f, at_zero, _limit_at_infinity(at_infinity, -math.inf)),
        derivative=_OnHalfLine(derivative, slope_at_zero, at_infinity),
        conjugate=_Conjugate(conjugate, slope_at_zero, at_zero, at_infinity, conjugate_at_upper),
        conjugate_domain=domain,
        activation=_Activation(activation, domain),
        at_zero=at_zero,
        at_infinity=at_infinity,
        curvature=curvature,
        symmetric=dual in (None, key),
        offset=offset,
        terms=tuple(terms),
        _key=key,
        _dual_key=dual or key,
    )


kl = _generator(
    "kl",
    _kl,
    np.log,
    np.expm1,
    [Term(1.0, "kl_divergence")],
    at_zero=1.0,
    at_infinity=math.inf,
    curvature=1.0,
    dual=("reverse_kl", None),
)
reverse_kl = _generator(
    "reverse_kl",
    _reverse_kl,
    _reverse_kl_derivative,
    _reverse_kl_conjugate,
    [Term(1.0, "reverse_kl_divergence")],
    at_zero=math.inf,
    at_infinity=1.0,
    curvature=1.0,
    activation=partial(_below_by_exponential, upper=1.0),
    dual=("kl", None),
)
pearson_chi2 = _generator(
    "pearson_chi2",
    _pearson,
    _pearson_derivative,
    _pearson_conjugate,
    [Term(1.0, "chi2_divergence")],
    at_zero=1.0,
    at_infinity=math.inf,
    slope_at_zero=-2.0,
    curvature=2.0,
    dual=("neyman_chi2", None),
)
neyman_chi2 = _generator(
    "neyman_chi2",
    _neyman,
    _neyman_derivative,
    _neyman_conjugate,
    [Term(1.0, "neyman_divergence")],
    at_zero=math.inf,
    at_infinity=1.0,
    conjugate_at_upper=2.0,
    curvature=2.0,
    activation=partial(_below_by_exponential, upper=1.0),
    dual=("pearson_chi2", None),
)
squared_hellinger = _generator(
    "squared_hellinger",
    _hellinger,
    _hellinger_derivative,
    _hellinger_conjugate,
    [Term(1.0, "squared_hellinger")],
    at_zero=0.5,
    at_infinity=0.5,
    curvature=0.25,
    activation=partial(_below_by_exponential, upper=0.5),
)
total_variation = _generator(
    "total_variation",
    _total_variation,
    _total_variation_derivative,
    _identity,
    [Term(1.0, "total_variation")],
    at_zero=0.5,
    at_infinity=0.5,
    slope_at_zero=-0.5,
    conjugate_at_upper=0.5,
    curvature=math.inf,
    activation=_half_tanh,
)
jeffreys = _generator(
    "jeffreys",
    _jeffreys,
    _jeffreys_derivative,
    _jeffreys_conjugate,
    [Term(1.0, "jeffreys_divergence")],
    at_zero=math.inf,
    at_infinity=math.inf,
    curvature=2.0,
)
js = _generator(
    "js",
    partial(_js, weight=0.5),
    partial(_js_derivative, weight=0.5),
    partial(_js_conjugate, weight=0.5),
    [Term(1.0, "js_divergence")],
    at_zero=0.5 * math.log(2),
    at_infinity=0.5 * math.log(2),
    curvature=0.25,
    activation=partial(_below_by_softplus, upper=0.5 * math.log(2), rate=0.5),
)
triangular = _generator(
    "triangular",
    _triangular,
    _triangular_derivative,
    _triangular_conjugate,
    [Term(1.0, "triangular_discrimination")],
    at_zero=1.0,
    at_infinity=1.0,
    slope_at_zero=-3.0,
    conjugate_at_upper=3.0,
    curvature=1.0,
    activation=partial(_below_by_exponential, upper=1.0),
)
# JS is at most an eighth of Jeffreys' divergence: the difference loses at most a factor of 3.
arithmetic_geometric = _generator(
    "arithmetic_geometric",
    _arithmetic_geometric,
    _arithmetic_geometric_derivative,
    _ConjugateBySearch(
        _OnHalfLine(_arithmetic_geometric, math.inf, math.inf),
        _OnHalfLine(_arithmetic_geometric_derivative, -math.inf, math.inf),
    ),
    [Term(0.25, "jeffreys_divergence"), Term(-1.0, "js_divergence")],
    at_zero=math.inf,
    at_infinity=math.inf,
    curvature=0.25,
)
gan = _generator(
    "gan",
    _gan,
    _log_of_odds,
    _gan_conjugate,
    [Term(2.0, "js_divergence")],
    at_zero=0.0,
    at_infinity=0.0,
    curvature=0.5,
    activation=partial(_below_by_softplus, upper=0.0),
    offset=-math.log(4),
)

GENERATORS: dict[str, Generator] = {
    generator.name: generator
    for generator in (
        kl,
        reverse_kl,
        pearson_chi2,
        neyman_chi2,
        squared_hellinger,
        total_variation,
        jeffreys,
        js,
        triangular,
        arithmetic_geometric,
        gan,
    )
}


def js_weighted(weight: float) -> Generator:
    r"""Jensen-Shannon divergence with weights π for P and 1 − π for Q.

    .. math:: f(u) = \pi u \log u - m \log m, \quad m = 1 - \pi + \pi u

    so that D = π KL(P‖M) + (1 − π) KL(Q‖M), M = π P + (1 − π) Q.

    Parameters
    ----------
    weight : float
        π, between 0 and 1.

    Returns
    -------
    Generator

    Raises
    ------
    TypeError, ValueError
        If `weight` is not a number between 0 and 1, both excluded.

    References
    ----------
    .. [1] J. Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on
       Information Theory 37 (1991), 145-151.

    Examples
    --------
    >>> js_weighted(0.25).dual()
    Generator('js_weighted(0.75)')
    >>> js_weighted(0.25).upper  # the entropy of the weights
    0.5623351446188083
    """
    takes = "a number between 0 and 1, both excluded"
    number = _number("js_weighted", "weight", weight, takes)
    if not 0 < number < 1:
        raise ValueError(f"js_weighted: weight is {weight!r}; it takes {takes}")
    return _js_weighted(number)


@cache
def _js_weighted(weight: float) -> Generator:
    upper, rest = -weight * math.log(weight), 1 - weight
    return _generator(
        "js_weighted",
        partial(_js, weight=weight),
        partial(_js_derivative, weight=weight),
        partial(_js_conjugate, weight=weight),
        [Term(1.0, "weighted_js_divergence", weight)],
        at_zero=-rest * math.log1p(-weight),
        at_infinity=upper,
        curvature=weight * rest,
        activation=partial(_below_by_softplus, upper=upper, rate=weight),
        dual=("js_weighted", rest),
        parameter=weight,
    )


def alpha(alpha: float) -> Generator:
    r"""α-divergence: KL for α → 1, reverse KL for α → 0, half of Pearson's χ² for α = 2.

    .. math:: f(u) = \frac{u^\alpha - 1 - \alpha (u - 1)}{\alpha (\alpha - 1)}

    Parameters
    ----------
    alpha : float
        Any finite number; the limits are taken at 0 and 1. Where abs(α) is large, f and f′ overflow
        at values smaller than the largest float by a factor of about α².

    Returns
    -------
    Generator

    Raises
    ------
    TypeError, ValueError
        If `alpha` is not a finite number.

    References
    ----------
    .. [1] A. Cichocki and S. Amari, "Families of alpha- beta- and gamma-divergences: flexible and
       robust measures of similarities", Entropy 12 (2010), 1532-1568.

    Examples
    --------
    >>> alpha(2.0).f(3.0).round(12), pearson_chi2.f(3.0)
    (np.float64(2.0), np.float64(4.0))
    >>> alpha(0.5).conjugate_domain, alpha(-1.0).conjugate_domain
    ((-inf, 2.0), (-inf, 0.5])
    """
    return _alpha_generator(_number("alpha", "alpha", alpha, "a finite number"))


@cache
def _alpha_generator(alpha: float) -> Generator:
    below_one = alpha < 1
    at_infinity = 1 / (1 - alpha) if below_one else math.inf
    return _generator(
        "alpha",
        partial(_alpha, alpha=alpha),
        partial(_alpha_derivative, alpha=alpha),
        partial(_alpha_conjugate, alpha=alpha),
        [Term(1.0, "alpha_divergence", alpha)],
        at_zero=1 / alpha if alpha > 0 else math.inf,
        at_infinity=at_infinity,
        slope_at_zero=1 / (1 - alpha) if alpha > 1 else -math.inf,
        conjugate_at_upper=-1 / alpha if alpha < 0 else math.inf,
        curvature=1.0,
        activation=partial(_below_by_softplus, upper=at_infinity) if below_one else _identity,
        dual=("alpha", 1 - alpha),
        parameter=alpha,
    )


def _named(name: str, parameter: float | None) -> Generator:
    if parameter is None:
        return GENERATORS[name]
    return {"alpha": _alpha_generator, "js_weighted": _js_weighted}[name](parameter)


def get(name: str) -> Generator:
    """Return the generator of that name.

    Parameters
    ----------
    name : str
        A key of `GENERATORS`.

    Returns
    -------
    Generator

    Raises
    ------
    TypeError
        If `name` is not a string.
    ValueError
        If there is none; the message has the names there are, and the nearest.

    Examples
    --------
    >>> get("kl") is kl
    True
    """
    takes = ", ".join([*GENERATORS, "alpha(…)", "js_weighted(…)"])
    if not isinstance(name, str):
        raise TypeError(f"get: name has type {type(name).__name__}; it takes one of {takes}")
    if name in GENERATORS:
        return GENERATORS[name]
    if name in ("alpha", "js_weighted"):
        raise ValueError(f"get: {name!r} has a parameter: call {name}(…) of fastdiv.generators")
    nearest = difflib.get_close_matches(name.lower(), GENERATORS, 1, 0.5)
    hint = f"; did you mean {nearest[0]!r}" if nearest else ""
    raise ValueError(f"get: there is no generator {name!r}{hint}; it takes one of {takes}")
