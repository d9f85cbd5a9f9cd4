"""Window plans against the published loops, written down from their definitions; text sizes."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdiv import text, windows
from fastdiv.uncertainty import Estimate, mean

COUNTS = st.integers(0, 60)
LENGTHS = st.integers(1, 20)
PREFIX = -7


def harness_pairs(
    tokens: list[int], length: int, context: int
) -> Iterator[tuple[list[int], list[int]]]:
    """(what is read, what it predicts, the last of which are scored): a window at a time."""
    if not tokens:
        return
    first = min(length, len(tokens))
    yield [PREFIX, *tokens[: first - 1]], tokens[:first]
    at = first
    while at < len(tokens):
        fresh = min(len(tokens) - at, length - context + 1)
        end = at + fresh
        yield tokens[end - length - 1 : end - 1], tokens[end - fresh : end]
        at += fresh


def hugging_face_pairs(
    tokens: list[int], length: int, stride: int
) -> Iterator[tuple[list[int], list[int]]]:
    """(input ids, their labels with −100 where an earlier window has scored)."""
    previous = 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + length, len(tokens))
        target = end - previous
        read = tokens[begin:end]
        yield read, [-100] * (len(read) - target) + read[len(read) - target :]
        previous = end
        if end == len(tokens):
            break


@given(count=COUNTS, length=LENGTHS, context=LENGTHS)
def test_rolling_is_the_harness(count: int, length: int, context: int) -> None:
    context = min(context, length)
    tokens = list(range(100, 100 + count))
    plan = list(windows.rolling_windows(count, length, context))
    expected = list(harness_pairs(tokens, length, context))
    assert len(plan) == len(expected)
    for window, (read, scored) in zip(plan, expected, strict=True):
        assert windows.inputs(tokens, window, prefix=PREFIX).tolist() == read
        assert tokens[window.scored] == scored
        # make_disjoint_window: the context is cut where it repeats what is scored.
        disjoint = read[: len(read) - (len(scored) - 1)]
        assert [PREFIX] * (window.begin < 0) + tokens[window.context] == disjoint
        found = windows.labels(tokens, window)
        assert found[-len(scored) :].tolist() == scored
        assert (found[: -len(scored)] == -100).all()
    scored_once = [t for window in plan for t in range(window.score_begin, window.score_end)]
    assert scored_once == list(range(count))


@given(count=COUNTS, length=LENGTHS, stride=LENGTHS)
def test_strides_are_hugging_faces(count: int, length: int, stride: int) -> None:
    stride = min(stride, length)
    tokens = list(range(100, 100 + count))
    plan = list(windows.strided_windows(count, length, stride))
    expected = list(hugging_face_pairs(tokens, length, stride))
    assert len(plan) == len(expected)
    scored = []
    for window, (read, wanted) in zip(plan, expected, strict=True):
        assert windows.inputs(tokens, window).tolist() == read
        # Their models drop the first label, as nothing predicts it.
        assert windows.labels(tokens, window).tolist() == [*wanted[1:], -100]
        assert windows.labels(tokens, window, shifted=False).tolist() == [-100, *wanted[1:]]
        scored += range(window.score_begin, window.score_end)
    unscored = {window.begin for window in plan} if stride == length else {0}
    assert scored == [t for t in range(count) if t not in unscored]


@given(count=COUNTS, n_ctx=st.integers(2, 20))
def test_chunks_are_llama_cpps(count: int, n_ctx: int) -> None:
    tokens = list(range(100, 100 + count))
    plan = list(windows.chunk_windows(count, n_ctx))
    assert len(plan) == count // n_ctx
    first = n_ctx // 2
    for chunk, window in enumerate(plan):
        start = chunk * n_ctx
        assert windows.inputs(tokens, window).tolist() == tokens[start : start + n_ctx]
        positions = range(first, n_ctx - 1)
        assert list(range(n_ctx))[window.rows] == list(positions)
        wanted = [-100] * n_ctx
        for j in positions:
            wanted[j] = tokens[start + j + 1]
        assert windows.labels(tokens, window).tolist() == wanted
    assert all(a.end == b.begin for a, b in pairwise(plan))


def test_ignore_index() -> None:
    (window,) = windows.chunk_windows(4, 4)
    assert windows.labels([5, 6, 7, 8], window, ignore_index=-1).tolist() == [-1, -1, 8, -1]
    assert windows.labels([5, 6, 7, 8], window).dtype == np.int64
    for wrong in ("a", 1.5, None, True):
        with pytest.raises(TypeError, match=rf"^labels: ignore_index is {wrong!r}; it takes an i"):
            windows.labels([5, 6, 7, 8], window, ignore_index=wrong)  # type: ignore[arg-type]


def test_windows_are_plain_tuples() -> None:
    begin, end, score_begin, score_end = next(windows.strided_windows(5, 3, 2))
    assert (begin, end, score_begin, score_end) == (0, 3, 1, 3)


def test_refused_at_once() -> None:
    """A plan is lazy, its arguments are not."""
    for call, message in (
        (lambda: windows.rolling_windows(-1, 4), "tokens is -1"),
        (lambda: windows.rolling_windows(5, 0), "max_length is 0"),
        (lambda: windows.rolling_windows(5, 4, 5), "context is 5; it takes 1…4"),
        (lambda: windows.strided_windows(5, 4, 0), "stride is 0"),
        (lambda: windows.strided_windows(5, 4, 5), "stride is 5"),
        (lambda: windows.chunk_windows(5, 1), "n_ctx is 1"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="n_ctx is 4\\.0; it takes an integer"):
        windows.chunk_windows(5, 4.0)  # type: ignore[arg-type]


def test_windows_that_do_not_fit() -> None:
    first, second = windows.rolling_windows(4, 3)
    with pytest.raises(ValueError, match="it takes a prefix token"):
        windows.inputs([1, 2, 3, 4], first)
    with pytest.raises(ValueError, match="not of a text of 3 tokens"):
        windows.labels([1, 2, 3], second)
    with pytest.raises(ValueError, match="token 3 is scored but not read"):
        windows.labels([1, 2, 3, 4], second, shifted=False)
    with pytest.raises(ValueError, match="does not predict"):
        windows.labels([1, 2, 3, 4], windows.Window(0, 1, 1, 4))
    with pytest.raises(TypeError, match="tokens have dtype float64"):
        windows.labels([1.0, 2, 3, 4], second)
    with pytest.raises(ValueError, match="one text is one axis"):
        windows.inputs([[1, 2]], second)


def test_sizes_of_texts() -> None:
    assert text.text_size("") == (1, 0)
    assert text.text_size(" a\tb\n") == (4, 5)
    assert text.text_size(["a b", "日本 語"]) == (4, 13)
    with pytest.raises(TypeError, match="a text is bytes"):
        text.text_size([b"a"])  # type: ignore[list-item]


def test_perplexities_of_texts() -> None:
    """Against the harness's formulas, of the log-likelihoods themselves."""
    nll = np.random.default_rng(0).exponential(2, 30)
    found = mean(nll)
    loglikelihood = -nll.sum()
    assert text.word_perplexity(found, 30, 21).value == pytest.approx(math.exp(-loglikelihood / 21))
    assert text.byte_perplexity(found, 30, 99).value == pytest.approx(math.exp(-loglikelihood / 99))
    bits = text.bits_per_byte(found, 30, 99)
    assert bits.value == pytest.approx(-loglikelihood / (99 * math.log(2)))
    assert bits.se == pytest.approx(found.se * 30 / 99 / math.log(2))
    word = text.word_perplexity(found, 30, 21)
    assert word.se == pytest.approx(word.value * found.se * 30 / 21)
    assert all(map(math.isnan, text.bits_per_byte(Estimate(1.0, 0.1), 3, 0)))
