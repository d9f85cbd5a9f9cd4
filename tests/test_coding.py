"""Codes against all codes there are, and the parts of the cross-entropy against 50 digits."""

from __future__ import annotations

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from reference import exact, normalised

import fastdiv as fd
from fastdiv import coding

RNG = np.random.default_rng(7)


def shortest_mean(p: np.ndarray) -> float:
    """The least Σ pℓ over all lengths that Kraft allows: by trying them all."""
    longest = len(p) - 1
    return min(
        float(np.dot(p, lengths))
        for lengths in itertools.product(range(longest + 1), repeat=len(p))
        if sum(2.0**-length for length in lengths) <= 1
    )


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_huffman_is_the_shortest_code(n: int) -> None:
    for p in RNG.dirichlet(np.full(n, 0.5), 8):
        lengths = coding.huffman_lengths(p)
        assert sum(2.0**-lengths) == 1
        assert lengths @ p == pytest.approx(shortest_mean(p), rel=1e-13, abs=0)


def test_the_longest_word_is_as_short_as_can_be() -> None:
    assert coding.huffman_lengths([2, 1, 1, 1, 1]).tolist() == [2, 3, 3, 2, 2]  # not 1, 3, 3, 3, 3
    assert coding.huffman_lengths(np.ones(8)).tolist() == [3] * 8


def test_fibonacci_weights_make_the_longest_words() -> None:
    weights = [1, 1]
    while len(weights) < 40:
        weights.append(weights[-1] + weights[-2])
    assert coding.huffman_lengths(weights)[0] == 39


def test_rows_axes_and_zeros() -> None:
    rows = RNG.random((2, 3, 6))
    rows[1, 2, 4] = 0
    each = coding.huffman_lengths(rows)
    assert each[1, 2, 4] == math.inf
    assert np.isfinite(each).sum() == 35
    np.testing.assert_array_equal(coding.huffman_lengths(np.moveaxis(rows, -1, 1), axis=1)[0].T,
                                  each[0])  # fmt: skip
    np.testing.assert_array_equal(coding.huffman_lengths(rows[1, 1]), each[1, 1])
    assert coding.huffman_lengths([0, 5.0]).tolist() == [math.inf, 0]


def test_a_message_is_as_long_as_said_and_comes_back() -> None:
    p, q = RNG.dirichlet(np.full(12, 0.6), 2)
    lengths = coding.huffman_lengths(q)
    words = coding.canonical_code(lengths)
    assert [len(word) for word in words] == lengths.tolist()
    message = RNG.choice(12, 20_000, p=p)
    bits = "".join(words[x] for x in message)
    back, meaning, start = [], {word: x for x, word in enumerate(words)}, 0
    for end in range(len(bits) + 1):
        if bits[start:end] in meaning:
            back.append(meaning[bits[start:end]])
            start = end
    assert back == message.tolist()
    frequencies = np.bincount(message, minlength=12)
    overhead = coding.coding_overhead(frequencies, q)
    assert len(bits) / 20_000 == pytest.approx(overhead.entropy + overhead.huffman, rel=1e-13)


def test_words_that_cannot_be() -> None:
    assert coding.canonical_code([0]) == [""]
    assert coding.canonical_code([2, np.inf, 2, 1]) == ["10", None, "11", "0"]
    with pytest.raises(ValueError, match="lengths leave no room for a word of 2 bits at 2"):
        coding.canonical_code([1, 1, 2])
    with pytest.raises(ValueError, match=r"lengths has 1\.5"):
        coding.canonical_code([1.5])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        coding.canonical_code([[1, 1]])


def test_overhead_against_fifty_digits() -> None:
    p, q = RNG.dirichlet(np.full(9, 0.4), (2, 5))
    p[0, 3] = q[0, 3] = 0.0
    found = coding.coding_overhead(p, q)
    with mp.workdps(50):
        for row, (x, y) in enumerate(zip(p, q, strict=True)):
            exact_p, exact_q = normalised(exact(x)), normalised(exact(y))
            some = [(a, b) for a, b in zip(exact_p, exact_q, strict=True) if a]
            entropy = -mp.fsum(a * mp.log(a, 2) for a, _ in some)
            ideal = mp.fsum(a * mp.log(a / b, 2) for a, b in some)
            shannon = mp.fsum(a * mp.ceil(-mp.log(b, 2)) for a, b in some) - entropy
            assert found.entropy[row] == pytest.approx(float(entropy), rel=1e-13)
            assert found.ideal[row] == pytest.approx(float(ideal), rel=1e-13)
            assert found.shannon[row] == pytest.approx(float(shannon), rel=1e-13)
    assert (found.ideal <= found.shannon).all()
    assert (found.shannon < found.ideal + 1).all()
    assert (found.huffman_of_p <= found.huffman).all()
    assert ((found.huffman_of_p > 0) & (found.huffman_of_p < 1)).all()


def test_overhead_of_dyadic_rows_is_exact() -> None:
    p, q = [8, 4, 2, 1, 1], [1, 1, 2, 4, 8]
    found = coding.coding_overhead(p, q)
    want = (8 * 4 + 4 * 4 + 2 * 3 + 2 + 1) / 16 - 30 / 16  # words of 4, 4, 3, 2, 1 bits
    assert found.shannon == found.huffman == want
    assert found.ideal == pytest.approx(want, rel=1e-15)
    assert found.huffman_of_p == 0
    assert found.entropy == 30 / 16


def test_whole_words_are_never_said_to_beat_ideal_ones():
    """Dyadic rows of which rounding would make 1.625 and 1.6249999999999998."""
    p = np.array([0.125, 0.5, 0.25, 0.0625, 0.03125, 0.03125])
    found = coding.coding_overhead(p, [0.5, 0.0625, 0.0625, 0.0625, 0.0625, 0.25])
    assert found.shannon >= found.ideal
    assert found.shannon == pytest.approx(1.625, rel=1e-15)


def test_overhead_without_a_word() -> None:
    found = coding.coding_overhead([[0.5, 0.5, 0], [0.5, 0, 0.5]], [0.5, 0.5, 0])
    assert found.ideal.tolist() == found.shannon.tolist() == found.huffman.tolist() == [0, math.inf]
    with pytest.raises(ValueError, match="p has rows of 2, q of 3"):
        coding.coding_overhead([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"coding_overhead: q, row 1, has -1\.0 at 0"):
        coding.coding_overhead([1, 2], [[1, 1], [-1, 2]])
    with pytest.raises(ValueError, match="empty"):
        coding.coding_overhead([], [])


@pytest.mark.parametrize("logits", [False, True])
def test_decomposition(logits: bool) -> None:
    p, q = RNG.dirichlet(np.full(30, 0.5), (2, 1, 4))
    given = (np.log(p), np.log(q)) if logits else (p, q)
    found = coding.cross_entropy_decomposition(*given, from_logits=logits, base=2)
    assert (found.cross_entropy == found.entropy + found.kl_divergence).all()
    want = -(p * np.log2(q)).sum(-1)
    np.testing.assert_allclose(found.cross_entropy, want, rtol=1e-12)
    kl = fd.kl_divergence(*given, from_logits=logits, base=2)
    np.testing.assert_array_equal(found.kl_divergence, kl)
    np.testing.assert_allclose(found.entropy, -(p * np.log2(p)).sum(-1), rtol=1e-12)


def test_decomposition_broadcasts() -> None:
    p, q = RNG.random((3, 5)), RNG.random((2, 1, 5))
    found = coding.cross_entropy_decomposition(p, q)
    assert {np.shape(x) for x in found} == {(2, 3)}
    along = coding.cross_entropy_decomposition(p.T, q[0].T, axis=0)
    np.testing.assert_array_equal(along.cross_entropy, found.cross_entropy[0])
    one = coding.cross_entropy_decomposition([1, 0], [0, 1])
    assert one == (math.inf, 0, math.inf)
    assert isinstance(one.entropy, np.float64)
