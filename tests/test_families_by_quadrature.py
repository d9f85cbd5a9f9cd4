"""Closed forms against integrals and sums of densities in 50 digits, near-equal parameters too.

families_by_quadrature.py has the densities, and has written the values that are read here.
"""

from __future__ import annotations

import json

import families_by_quadrature as quadrature
import mpmath as mp
import numpy as np
import pytest
from mpmath import mpf

from fastdiv import families

KNOWN = quadrature.known_divergences()
CASES = list(quadrature.cases())


def of(name, parameters):
    return getattr(families, name)(*parameters)


def plain(case):
    of_p, p, of_q, q = case
    return json.loads(json.dumps([of_p, p, of_q, q]))


def test_every_case_is_known_and_every_family_a_case():
    assert [list(each[:-1]) for each in KNOWN] == [plain(case) for case in CASES]
    for name in (family.__name__ for family in families.FAMILIES):
        of_both = [(p, q) for of_p, p, of_q, q in CASES if of_p == of_q == name]
        if name == "Categorical":  # a sum that kl_divergence's own tests know
            assert not of_both
            continue
        near = [np.allclose(np.hstack([*map(np.ravel, p)]), np.hstack([*map(np.ravel, q)]),
                            rtol=1e-7, atol=1e-7) for p, q in of_both]  # fmt: skip
        assert any(near), name
        assert not all(near), name


@pytest.mark.parametrize("place", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_digits(place, worst):
    of_p, p, of_q, q = CASES[place]
    one, other = of(of_p, p), of(of_q, q)
    exact = KNOWN[place][-1]
    found = float(families.kl_divergence(one, other))
    scale = abs(exact)
    if of_p != of_q:  # the difference of two expectations, which have to have the digits
        scale = max(scale, abs(mpf(float(families.cross_entropy(one, other)))))
    error = float(abs(found - exact) / scale)
    assert error <= 1e-14
    worst(error / 1e-14, f"KL of families against 50 digits, by 1e-14 ({of_p})", 1)


@pytest.mark.parametrize("place", range(0, len(CASES) - 6, 6), ids=lambda i: f"{CASES[i][0]}-{i}")
def test_some_again(place):
    found = quadrature.divergence(*CASES[place])
    with mp.workdps(quadrature.DIGITS):
        known = KNOWN[place][-1]
        assert abs(found - known) <= mpf(10) ** -24 * abs(known)


def test_wishart_of_two_by_two():
    """Over the Cholesky factors of X, to what doubles have: X = L Lᵀ, dX = 4 l₁₁² l₂₂ dL."""
    p, q = (5.5, np.array([[0.8, 0.2], [0.2, 0.5]])), (4.0, np.array([[1.1, -0.1], [-0.1, 0.6]]))
    node, weight = np.polynomial.legendre.leggauss(80)
    high = 6 * (node + 1), 6 * weight  # 0 to 12
    a, b, c = np.meshgrid(high[0], 12 * node, high[0], indexing="ij")
    volume = np.einsum("i,j,k->ijk", high[1], 12 * weight, high[1]) * 4 * a**2 * c

    def log_density(df, scale):
        inverse = np.linalg.inv(scale)
        trace = inverse[0, 0] * a**2 + 2 * inverse[0, 1] * a * b + inverse[1, 1] * (b**2 + c**2)
        gammas = float(mp.loggamma(df / 2) + mp.loggamma((df - 1) / 2) + mp.log(mp.pi) / 2)
        constant = df * np.log(2) + df / 2 * np.log(np.linalg.det(scale)) + gammas
        return (df - 3) * np.log(a * c) - trace / 2 - constant

    log_p = log_density(*p)
    assert (np.exp(log_p) * volume).sum() == pytest.approx(1, rel=1e-12)
    found = (np.exp(log_p) * (log_p - log_density(*q)) * volume).sum()
    want = families.kl_divergence(families.Wishart(*p), families.Wishart(*q))
    assert want == pytest.approx(found, rel=1e-10)
