r"""Divergences as suprema over critics: what a function T of the outcomes proves about P and Q.

For every generator f with conjugate f* (``fastdiv.generators``) and every critic T

.. math:: D_f(P\|Q) \ge \mathbb{E}_P\, T - \mathbb{E}_Q\, f^*(T),
    \qquad \text{with equality at } T = f'(p/q)

which needs samples of P and Q and no density: the principle of f-GANs [1]_ [2]_. Where f* is
infinite a critic proves nothing, and is refused. Of KL there are

=================  =================================  ============  ==============================
bound              formula                            best critic   of one critic
=================  =================================  ============  ==============================
f-GAN              E_P T − E_Q (e^T − 1)              log p/q
NWJ [1]_           E_P T − E_Q e^(T−1)                1 + log p/q   the f-GAN bound of T − 1
Donsker–Varadhan   E_P T − log E_Q e^T                log p/q + c   at least both; any c
=================  =================================  ============  ==============================

Functions that end in `_of` take the distributions themselves, row by row; the others take what a
critic says of samples, and give a standard error. The logarithm of a mean is biased, so the
Donsker-Varadhan bound of a small batch is no lower bound on average:
:class:`DonskerVaradhanMeter` takes the mean over a stream of batches instead.

References
----------
.. [1] X. Nguyen, M. J. Wainwright and M. I. Jordan, "Estimating divergence functionals and the
   likelihood ratio by convex risk minimization", IEEE Transactions on Information Theory 56
   (2010), 5847-5861.
.. [2] S. Nowozin, B. Cseke and R. Tomioka, "f-GAN: training generative neural samplers using
   variational divergence minimization", NeurIPS 29 (2016).
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastdiv import uncertainty
from fastdiv.custom import generator_of
from fastdiv.divergences import js_divergence, kl_divergence
from fastdiv.evaluation import along_last, check_batches, check_pair, real_numbers, refuse, row_name
from fastdiv.generators import Generator, Interval, kl
from fastdiv.probabilities import probabilities, widened
from fastdiv.sums import floats_of, mean_of
from fastdiv.tokens import logsumexp
from fastdiv.uncertainty import Estimate

__all__ = [
    "DonskerVaradhanMeter",
    "donsker_varadhan_bound",
    "donsker_varadhan_bound_of",
    "f_gan_bound",
    "f_gan_bound_of",
    "gan_value",
    "log_mean_exp",
    "nwj_bound",
    "optimal_critic",
]

_Floats: TypeAlias = NDArray[np.float64]
_Named: TypeAlias = str | Generator | Callable[..., Any]
_TAKES = "−inf or numbers in {}, where f* is finite"
_LARGEST = float(np.finfo(np.float64).max)


# --- of distributions -----------------------------------------------------------------------------


def optimal_critic(
    p: ArrayLike,
    q: ArrayLike,
    generator: _Named = "kl",
    *,
    axis: int = -1,
    from_logits: bool = False,
) -> _Floats:
    r"""Critic at which the f-GAN bound is the divergence.

    .. math:: T_j = f'\!\left(\frac{p_j}{q_j}\right)

    Parameters
    ----------
    p, q : array_like
        Weights, or with `from_logits` unnormalised log-probabilities, along `axis`; each row is
        normalised, the other axes broadcast.
    generator : str, Generator or callable, default "kl"
        As `f_divergence` takes it.
    axis : int, default -1
        The axis that a distribution lies along.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities.

    Returns
    -------
    ndarray of float64
        One number per outcome: f′(0) where P has nothing, f′(∞) where Q has, either perhaps
        infinite; f′(1) where both have nothing. Where both have something, a number at which f* is
        finite, though f′ may round to the end of its range.

    Raises
    ------
    TypeError, ValueError
        As `f_divergence`; rows that are no distributions.

    Examples
    --------
    >>> optimal_critic([0.5, 0.5, 0.0], [0.25, 0.5, 0.25], "squared_hellinger")
    array([0.14644661, 0.        ,       -inf])
    """
    name = "optimal_critic"
    g = generator_of(name, generator)
    rows_p, rows_q = _pair(name, p, q, axis, from_logits)
    with np.errstate(all="ignore"):
        # Of two numbers above 0, ratio and f′ are finite, though their rounded values may not be.
        ratio = np.where(rows_q > 0, np.minimum(rows_p / rows_q, _LARGEST), np.inf)
        ratio[(rows_p == 0) & (rows_q == 0)] = 1.0
        critic = np.asarray(g.derivative(ratio))
        inside = np.clip(critic, -_LARGEST, g.conjugate_domain.largest)
    return np.moveaxis(np.where((rows_p > 0) & (rows_q > 0), inside, critic), -1, axis)


def f_gan_bound_of(
    p: ArrayLike,
    q: ArrayLike,
    critic: ArrayLike,
    generator: _Named = "kl",
    *,
    axis: int = -1,
    from_logits: bool = False,
) -> Any:
    r"""Lower bound on an f-divergence that a critic proves, of distributions that are known.

    .. math:: \sum_j p_j T_j - \sum_j q_j f^*(T_j) \le D_f(P \| Q)

    Parameters
    ----------
    p, q : array_like
        As `optimal_critic`.
    critic : array_like of float
        T of each outcome, along `axis`; broadcasts with the rows. Where Q has something, in the
        domain of f* or −∞, where only P has, at most its upper end; elsewhere any number.
    generator : str, Generator or callable, default "kl"
        As `f_divergence` takes it.
    axis : int, default -1
        The axis that a distribution lies along.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities.

    Returns
    -------
    float64 or ndarray of float64
        One number per row. −∞ where the critic is −∞ and P has something, or f* overflows.

    Raises
    ------
    TypeError, ValueError
        As `optimal_critic`; a critic with NaN, outside the domain, or of another length.

    Examples
    --------
    >>> import fastdiv as fd
    >>> p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    >>> f_gan_bound_of(p, q, [0.5, 0.0, -0.5]).round(12), fd.kl_divergence(p, q).round(12)
    (np.float64(0.159554352469), np.float64(0.17328679514))
    >>> f_gan_bound_of(p, q, optimal_critic(p, q)).round(12)
    np.float64(0.17328679514)
    """
    name = "f_gan_bound_of"
    g = generator_of(name, generator)
    rows_p, rows_q = _pair(name, p, q, axis, from_logits)
    given = _critic(name, critic, axis, rows_p)
    _check_in_domain(name, given, rows_p, rows_q, g.conjugate_domain)
    of_q = _expectation(rows_q, np.asarray(g.conjugate(given)))
    return _difference(_expectation(rows_p, given), of_q)


def donsker_varadhan_bound_of(
    p: ArrayLike,
    q: ArrayLike,
    critic: ArrayLike,
    *,
    axis: int = -1,
    from_logits: bool = False,
) -> Any:
    r"""Lower bound of Donsker and Varadhan on KL, of distributions that are known.

    .. math:: \sum_j p_j T_j - \log \sum_j q_j e^{T_j} \le D(P \| Q)

    Parameters
    ----------
    p, q, critic : array_like
        As `f_gan_bound_of` for KL, whose f* is finite everywhere but at +∞. A constant added to the
        critic changes nothing.
    axis : int, default -1
        The axis that a distribution lies along.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities.

    Returns
    -------
    float64 or ndarray of float64
        One number per row; at least the f-GAN bound of the same critic.

    Raises
    ------
    TypeError, ValueError
        As `f_gan_bound_of`.

    References
    ----------
    .. [1] M. D. Donsker and S. R. S. Varadhan, "Asymptotic evaluation of certain Markov process
       expectations for large time, IV", Communications on Pure and Applied Mathematics 36 (1983),
       183-212.

    Examples
    --------
    >>> p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    >>> donsker_varadhan_bound_of(p, q, [5.5, 5.0, 4.5]).round(12)
    np.float64(0.160165473332)
    """
    name = "donsker_varadhan_bound_of"
    rows_p, rows_q = _pair(name, p, q, axis, from_logits)
    given = _critic(name, critic, axis, rows_p)
    _check_in_domain(name, given, rows_p, rows_q, kl.conjugate_domain)
    with np.errstate(divide="ignore"):
        log_q = np.log(rows_q)
    exponents = np.where(rows_q > 0, log_q + np.where(rows_q > 0, given, 0.0), -np.inf)
    return _difference(_expectation(rows_p, given), logsumexp(exponents))


def gan_value(
    p: ArrayLike,
    q: ArrayLike,
    D: ArrayLike | None = None,
    *,
    axis: int = -1,
    from_logits: bool = False,
) -> Any:
    r"""Value of the game of a generative adversarial network, of data P and a generator's Q.

    .. math:: V(D) = \sum_j p_j \log D_j + \sum_j q_j \log (1 - D_j)
        = 2\,\mathrm{JS}(P, Q) - \log 4 - \sum_j (p_j + q_j)\, D(D^*_j \| D_j)

    with D* = p/(p + q), the best discriminator, and the KL between two outcomes in the last sum:
    in that form V is computed, so that no D has a value above that of D*.

    Parameters
    ----------
    p, q : array_like
        As `optimal_critic`.
    D : array_like of float, optional
        The probability that each outcome is data, along `axis`; broadcasts with the rows. Default:
        the best, D*.
    axis : int, default -1
        The axis that a distribution lies along.
    from_logits : bool, default False
        The rows are unnormalised log-probabilities.

    Returns
    -------
    float64 or ndarray of float64
        One number per row: at the best discriminator ``2*js_divergence(p, q) - log(4)`` to the bit.

    Raises
    ------
    TypeError, ValueError
        As `optimal_critic`; a discriminator of another length, or that leaves [0, 1].

    Notes
    -----
    From samples it is ``f_gan_bound(np.log(D_p), np.log(D_q), "gan")``.

    References
    ----------
    .. [1] I. Goodfellow et al., "Generative adversarial nets", NeurIPS 27 (2014), theorem 1.

    Examples
    --------
    >>> gan_value([0.5, 0.5, 0.0], [0.25, 0.5, 0.25])
    np.float64(-1.170532806781055)
    >>> gan_value([0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.5, 0.5, 0.5])
    np.float64(-1.3862943611198906)
    """
    name = "gan_value"
    rows_p, rows_q = _pair(name, p, q, axis, from_logits)
    best = 2 * js_divergence(p, q, axis=axis, from_logits=from_logits) - math.log(4)
    if D is None:
        return best
    given = _critic(name, D, axis, rows_p, "D")
    refuse(name, "D", given, ~((given >= 0) & (given <= 1)), "probabilities, from 0 to 1")
    weight = rows_p + rows_q
    of_pair = np.stack([np.where(weight > 0, rows_p, 1.0), np.where(weight > 0, rows_q, 1.0)], -1)
    lost = kl_divergence(of_pair, np.stack([given, 1 - given], -1))
    return best - _expectation(weight, lost)


# --- of samples -----------------------------------------------------------------------------------


def f_gan_bound(critic_p: ArrayLike, critic_q: ArrayLike, generator: _Named = "kl") -> Estimate:
    r"""Lower bound on an f-divergence, from what a critic says of samples.

    .. math:: \frac1n \sum_i T(x_i) - \frac1m \sum_j f^*(T(y_j)), \qquad x_i \sim P, \; y_j \sim Q

    Parameters
    ----------
    critic_p, critic_q : array_like of float
        The critic's values for samples of P and for samples of Q, which are independent of each
        other and of the critic: −∞ or numbers in the domain of f*, into which
        ``Generator.activation`` brings a network's last layer.
    generator : str, Generator or callable, default "kl"
        As `f_divergence` takes it.

    Returns
    -------
    Estimate
        Unbiased for the bound that this critic proves, with its standard error.

    Raises
    ------
    TypeError, ValueError
        An unknown generator; values that are no real numbers, NaN, outside the domain of f* (which
        for KL is below +∞), or none at all.

    References
    ----------
    .. [1] S. Nowozin, B. Cseke and R. Tomioka, "f-GAN: training generative neural samplers using
       variational divergence minimization", NeurIPS 29 (2016), equation 4.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(1, 1, 10_000), rng.normal(0, 1, 10_000)
    >>> critic = lambda z: z - 0.5  # log p/q, of which KL is 1/2
    >>> value, se = f_gan_bound(critic(x), critic(y))
    >>> round(value, 6), round(se, 6)
    (0.509359, 0.016414)
    """
    name = "f_gan_bound"
    g = generator_of(name, generator)
    return _f_gan_bound(*_samples(name, critic_p, critic_q, g.conjugate_domain), g)


def nwj_bound(critic_p: ArrayLike, critic_q: ArrayLike) -> Estimate:
    r"""Lower bound on KL of Nguyen, Wainwright and Jordan, from what a critic says of samples.

    .. math:: \frac1n \sum_i T(x_i) - \frac1m \sum_j e^{T(y_j) - 1}

    Parameters
    ----------
    critic_p, critic_q : array_like of float
        As `f_gan_bound`; the best critic is 1 + log(p/q).

    Returns
    -------
    Estimate
        The f-GAN bound of KL for the critic T − 1.

    Raises
    ------
    TypeError, ValueError
        As `f_gan_bound`.

    References
    ----------
    .. [1] X. Nguyen, M. J. Wainwright and M. I. Jordan, "Estimating divergence functionals and the
       likelihood ratio by convex risk minimization", IEEE Transactions on Information Theory 56
       (2010), 5847-5861.

    Examples
    --------
    >>> nwj_bound([1.5, 1.5], [1.0, 1.0])
    Estimate(value=0.5, se=0.0)
    """
    name = "nwj_bound"
    of_p, of_q = _samples(name, critic_p, critic_q)
    return _f_gan_bound(of_p - 1, of_q - 1, kl)


def donsker_varadhan_bound(critic_p: ArrayLike, critic_q: ArrayLike) -> Estimate:
    r"""Donsker and Varadhan's bound on KL, from what a critic says of samples.

    .. math:: \frac1n \sum_i T(x_i) - \log \frac1m \sum_j e^{T(y_j)}

    Parameters
    ----------
    critic_p, critic_q : array_like of float
        As `f_gan_bound`. A constant added to the critic changes nothing.

    Returns
    -------
    Estimate
        With the standard error of first order. It is too high by about the variance of the
        logarithm, Var(e^T)/(2m (E e^T)²): for critics that vary much, on average above KL itself.

    Raises
    ------
    TypeError, ValueError
        As `f_gan_bound`.

    References
    ----------
    .. [1] M. I. Belghazi et al., "Mutual information neural estimation", ICML 2018.

    Examples
    --------
    >>> donsker_varadhan_bound([1.5, 1.5], [1.0, 1.0])
    Estimate(value=0.5, se=0.0)
    """
    name = "donsker_varadhan_bound"
    of_p, of_q = _samples(name, critic_p, critic_q)
    log_mean = float(log_mean_exp(of_q))
    first = uncertainty.mean(of_p)
    if first.value == -math.inf or log_mean == -math.inf:
        return Estimate(float(_difference(first.value, log_mean)), math.nan)
    second = uncertainty.mean(np.exp(of_q - log_mean))
    return Estimate(first.value - log_mean, math.hypot(first.se, second.se))


def log_mean_exp(x: ArrayLike, *, axis: int = -1) -> Any:
    r"""Logarithm of the mean of exponentials.

    .. math:: \log \frac1n \sum_j e^{x_j}

    Parameters
    ----------
    x : array_like
        All dtypes of `logsumexp`.
    axis : int, default -1
        The axis to take the mean over.

    Returns
    -------
    float64 or ndarray of float64
        Equal numbers have themselves for result, exactly.

    Raises
    ------
    TypeError, ValueError
        As `logsumexp`.

    Examples
    --------
    >>> log_mean_exp([[1e3, 1e3], [-1e3, -1e3]])
    array([ 1000., -1000.])
    """
    rows = along_last("log_mean_exp", "x", widened(x, "log_mean_exp", "x"), axis)
    near = _log_sum_exp(rows) - math.log(rows.shape[-1])
    # What rounding has left between the result and the mean, which is next to nothing.
    finite = np.isfinite(near)
    with np.errstate(invalid="ignore"):
        rest = np.expm1(rows - np.asarray(near)[..., None]).mean(axis=-1)
    return (near + np.where(finite, np.log1p(np.where(finite, rest, 0.0)), 0.0))[()]


class DonskerVaradhanMeter:
    r"""Donsker and Varadhan's bound over a stream of batches, without the bias of a batch.

    .. math:: \overline{\mathbb{E}_P T} - \log \overline{\mathbb{E}_Q e^T}

    with means over all batches instead of a mean of logarithms. Where the critic changes from batch
    to batch, `decay` forgets the old ones: each mean is then a moving average, of weights that sum
    to 1 from the first batch on. The gradient with respect to the critic's parameters is E_P ∇T −
    E_Q w ∇T with the `weights` w = e^T over that average: the correction of [1]_, for whatever
    computes gradients.

    Parameters
    ----------
    decay : float, optional
        What a batch's weight is multiplied by when the next one comes: 0 < decay < 1. Default: all
        samples weigh the same, however they were batched.

    Attributes
    ----------
    batches : int
        How many there were.
    value : float
        The bound so far; NaN without batches.
    log_baseline : float
        log of the average of E_Q e^T; −inf without batches.

    Raises
    ------
    TypeError, ValueError
        A decay that is no number between 0 and 1.

    References
    ----------
    .. [1] M. I. Belghazi et al., "Mutual information neural estimation", ICML 2018, section 3.2.
    .. [2] B. Poole, S. Ozair, A. van den Oord, A. A. Alemi and G. Tucker, "On variational bounds of
       mutual information", ICML 2019: the bound at a baseline.

    Examples
    --------
    >>> meter = DonskerVaradhanMeter()
    >>> meter.update([2.0, 1.0], [0.0, 1.0])
    >>> meter.update([0.0], [-1.0])
    >>> whole = donsker_varadhan_bound([2.0, 1.0, 0.0], [0.0, 1.0, -1.0])
    >>> round(meter.value, 12), round(whole.value, 12)
    (0.691006324224, 0.691006324224)
    """

    def __init__(self, decay: float | None = None) -> None:
        if decay is not None:
            if not isinstance(decay, (int, float, np.integer, np.floating)) or isinstance(
                decay, bool
            ):
                raise TypeError(f"DonskerVaradhanMeter: decay is {decay!r}; it takes a number")
            if not 0 < decay < 1:
                raise ValueError(
                    f"DonskerVaradhanMeter: decay is {decay!r}; it takes a number between 0 and 1"
                )
        self.decay = None if decay is None else float(decay)
        self.batches = 0
        self._sum_p = self._share_p = 0.0
        self._log_sum_q = self._log_share_q = -math.inf

    def update(self, critic_p: ArrayLike, critic_q: ArrayLike) -> None:
        """Take a batch.

        Parameters
        ----------
        critic_p, critic_q : array_like of float
            The critic's values for samples of P and for samples of Q.

        Raises
        ------
        TypeError, ValueError
            As `donsker_varadhan_bound`; the meter is then as it was.
        """
        of_p, of_q = _samples("DonskerVaradhanMeter.update", critic_p, critic_q)
        if self.decay is None:
            old, weight_p, weight_q = 1.0, float(of_p.size), float(of_q.size)
        else:
            old, weight_p, weight_q = self.decay, 1.0, 1.0
        self._sum_p = old * self._sum_p + weight_p * mean_of(of_p)
        self._share_p = old * self._share_p + weight_p
        log_old, log_new = math.log(old), math.log(weight_q)
        batch = log_new + float(log_mean_exp(of_q))
        self._log_sum_q = float(np.logaddexp(log_old + self._log_sum_q, batch))
        self._log_share_q = float(np.logaddexp(log_old + self._log_share_q, log_new))
        self.batches += 1

    @property
    def log_baseline(self) -> float:
        """Logarithm of the average of E_Q e^T."""
        return self._log_sum_q - self._log_share_q if self.batches else -math.inf

    @property
    def value(self) -> float:
        """The bound so far."""
        if not self.batches:
            return math.nan
        return float(_difference(self._sum_p / self._share_p, self.log_baseline))

    def weights(self, critic_q: ArrayLike) -> _Floats:
        """Return e^T over its average so far, of each sample of Q.

        Parameters
        ----------
        critic_q : array_like of float

        Returns
        -------
        ndarray of float64
            What ∇T of each sample is multiplied by in the mean over samples of Q.

        Raises
        ------
        ValueError
            Before the first batch.
        """
        name = "DonskerVaradhanMeter.weights"
        of_q = floats_of(name, "critic_q", critic_q)
        refuse(name, "critic_q", of_q, ~(of_q < np.inf), _TAKES.format(kl.conjugate_domain))
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(of_q - self._baseline("weights")))

    def bound(self, critic_p: ArrayLike, critic_q: ArrayLike) -> Estimate:
        r"""Return the bound that a new batch proves, at the average of the batches before it.

        .. math:: \frac1n \sum_i T(x_i) - \frac1m \sum_j e^{T(y_j) - a} + 1 - a

        with a the `log_baseline`: the tangent of Donsker and Varadhan's bound, linear in the new
        samples and so unbiased; on average never above KL.

        Parameters
        ----------
        critic_p, critic_q : array_like of float
            Of a batch that `update` has not had.

        Returns
        -------
        Estimate
            The NWJ bound of T − a + 1.

        Raises
        ------
        ValueError
            Before the first batch.
        """
        name = "DonskerVaradhanMeter.bound"
        shift = 1 - self._baseline("bound")
        of_p, of_q = _samples(name, critic_p, critic_q)
        return _f_gan_bound(of_p + shift - 1, of_q + shift - 1, kl)

    def _baseline(self, method: str) -> float:
        if not self.batches:
            raise ValueError(f"DonskerVaradhanMeter.{method}: there was no batch yet; update first")
        if self.log_baseline == -math.inf:
            raise ValueError(
                f"DonskerVaradhanMeter.{method}: critic_q was −inf for every sample so far, whose"
                " average is no baseline"
            )
        return self.log_baseline


# --- what they share ------------------------------------------------------------------------------


def _f_gan_bound(of_p: _Floats, of_q: _Floats, g: Generator) -> Estimate:
    first, second = uncertainty.mean(of_p), uncertainty.mean(g.conjugate(of_q))
    value = float(_difference(first.value, second.value))
    return Estimate(value, math.hypot(first.se, second.se))


def _samples(
    name: str, critic_p: ArrayLike, critic_q: ArrayLike, domain: Interval = kl.conjugate_domain
) -> tuple[_Floats, _Floats]:
    found = floats_of(name, "critic_p", critic_p), floats_of(name, "critic_q", critic_q)
    for argument, x in zip(("critic_p", "critic_q"), found, strict=True):
        if not x.size:
            raise ValueError(f"{name}: {argument} is empty; it takes at least one sample")
        refuse(name, argument, x, ~_inside(x, domain), _TAKES.format(domain))
    return found


def _inside(critic: _Floats, domain: Interval) -> NDArray[np.bool_]:
    """Tell where f* is finite, or is −f(0), its limit at −∞."""
    return np.asarray(domain.contains(critic) | (critic == -np.inf))


def _check_in_domain(
    name: str, critic: _Floats, rows_p: _Floats, rows_q: _Floats, domain: Interval
) -> None:
    """Refuse a critic of outcomes of which no bound is known."""
    inside = np.where(rows_q > 0, _inside(critic, domain), critic <= domain.upper)
    wrong = ~inside & ((rows_q > 0) | (rows_p > 0))
    refuse(name, "critic", critic, wrong, _TAKES.format(domain))
    some = rows_p > 0
    both = (some & (critic == np.inf)).any(-1) & (some & (critic == -np.inf)).any(-1)
    if both.any():
        row = row_name(tuple(int(i) for i in np.argwhere(both)[0]))
        raise ValueError(
            f"{name}: critic, row {row}, is −∞ and +∞ where P has something; it takes one of them"
        )


def _pair(
    name: str, p: ArrayLike, q: ArrayLike, axis: int, from_logits: bool
) -> tuple[_Floats, _Floats]:
    rows = [
        probabilities(name, argument, x, axis=axis, from_logits=from_logits)
        for argument, x in (("p", p), ("q", q))
    ]
    check_pair(name, *rows)
    first, second = np.broadcast_arrays(*rows)
    return first, second


def _critic(
    name: str, critic: ArrayLike, axis: int, rows: _Floats, argument: str = "critic"
) -> _Floats:
    given = along_last(name, argument, real_numbers(name, argument, critic), axis)
    length = rows.shape[-1]
    if given.shape[-1] != length:
        raise ValueError(
            f"{name}: {argument} has {given.shape[-1]} values for {length} outcomes; one for each"
        )
    check_batches(name, rows=rows.shape[:-1], **{argument: given.shape[:-1]})
    refuse(name, argument, given, np.isnan(given), "numbers, not NaN")
    return given


def _difference(of_p: Any, of_q: Any) -> Any:
    """Return of_p − of_q; of P −∞ is the limit of both, since f*(T)/T goes to 0 there."""
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(of_p, -np.inf), of_p, np.subtract(of_p, of_q))[()]


def _expectation(weights: _Floats, values: _Floats) -> Any:
    """Σ w x, where an outcome of weight 0 adds nothing, whatever its value."""
    with np.errstate(invalid="ignore"):
        terms = np.where(weights > 0, weights * values, 0.0)
        return terms.sum(axis=-1)


def _log_sum_exp(rows: _Floats) -> Any:
    """Log-sum-exp of rows in which +inf is a value like others."""
    beyond = (rows == np.inf).any(axis=-1)
    if not beyond.any():
        return logsumexp(rows)
    found = logsumexp(np.where(beyond[..., None], 0.0, rows))
    return np.where(beyond, np.inf, found)[()]
