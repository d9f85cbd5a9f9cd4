"""Counts with keys become rows: aligned, exact, or an error that says which."""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

import fastdiv as fd


def test_by_hand():
    counts, categories = fd.from_counts(
        {"b": 1, "a": 2}, {"a": 3, "c": 4}, Counter("cab"), return_categories=True
    )
    assert categories == ["b", "a", "c"]
    assert counts.dtype == np.float64
    assert counts.tolist() == [[1, 2, 0], [0, 3, 4], [1, 1, 1]]


def test_against_one_key_at_a_time():
    rng = np.random.default_rng(3)
    mappings = [
        {int(key): int(rng.integers(0, 9)) for key in rng.permutation(200)[: rng.integers(1, 150)]}
        for _ in range(5)
    ]
    counts, categories = fd.from_counts(*mappings, return_categories=True)
    seen: list[object] = []
    for mapping in mappings:
        seen += [key for key in mapping if key not in seen]
    assert categories == seen
    for row, mapping in zip(counts, mappings, strict=True):
        assert row.tolist() == [mapping.get(key, 0) for key in seen]


def test_unpacks_into_a_divergence():
    assert fd.kl_divergence(*fd.from_counts({"x": 1}, {"x": 1, "y": 3}), base=2) == 2.0
    assert fd.kl_divergence(*fd.from_counts({"x": 1, "y": 1}, {"x": 1})) == math.inf


@pytest.mark.parametrize(
    "make",
    [dict, Counter, OrderedDict, pd.Series, lambda d: MappingProxyType(dict(d))],
    ids=["dict", "Counter", "OrderedDict", "Series", "mappingproxy"],
)
def test_kinds_of_mapping(make):
    counts = fd.from_counts(make({"a": 2, "b": 3}), make({"b": 5}))
    assert counts.tolist() == [[2, 3], [0, 5]]


def test_whatever_has_items():
    class Reader:
        def items(self):
            yield "a", 1
            yield "b", 2

    assert fd.from_counts(Reader()).tolist() == [[1, 2]]


def test_nan_is_one_category():
    a = pd.Series([1.0, np.nan, np.nan]).value_counts(dropna=False)
    b = {1.0: 7, float("nan"): 2}
    counts, categories = fd.from_counts(a, b, return_categories=True)
    nan = next(i for i, key in enumerate(categories) if key != key)
    assert len(categories) == 2
    assert counts[:, nan].tolist() == [2, 2]
    with pytest.raises(ValueError, match="mapping 0 has the category nan twice"):
        fd.from_counts({float("nan"): 2, float("-nan"): 3})


@pytest.mark.parametrize(
    "value",
    [3, 3.0, np.int8(3), np.uint64(3), np.float32(3), Fraction(3), Decimal(3), np.longdouble(3)],
    ids=lambda value: type(value).__name__,
)
def test_kinds_of_number(value):
    # Beside a fraction, so that no array dtype serves all of them.
    assert fd.from_counts({"a": value, "b": Fraction(1, 2)}).tolist() == [[3, 0.5]]
    assert fd.from_counts({"a": value}, {"a": True}).tolist() == [[3], [1]]


def test_an_empty_one_among_others():
    assert fd.from_counts({}, {"a": 1}, {}).tolist() == [[0], [1], [0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, "f4"])
def test_the_largest_exact_count(dtype):
    most = 2 ** (np.finfo(dtype).nmant + 1)
    digits = np.finfo(dtype).nmant + 1
    counts = fd.from_counts({"a": most, "b": most - 1}, dtype=dtype)
    assert counts.dtype == np.dtype(dtype)
    assert [int(x) for x in counts[0]] == [most, most - 1]
    for beyond in (most + 1, float(most) * 2, 10**400):
        # The fraction makes an array of floats, to which the integer would be rounded unseen.
        for mapping in ({"x": beyond}, {"y": 0.5, "x": beyond}):
            with pytest.raises(ValueError, match=rf"for 'x'; .* is from 0 to 2\*\*{digits}"):
                fd.from_counts({"a": 1}, mapping, dtype=dtype)


@pytest.mark.parametrize("value", [-1, -0.5, math.nan, math.inf, Decimal("NaN"), np.float32("nan")])
def test_bad_counts(value):
    want = "from_counts: mapping 1 has " + re.escape(repr(value)) + " for 'x'; a count in float64"
    with pytest.raises(ValueError, match=want):
        fd.from_counts({"x": 1}, {"y": 2, "x": value})


@pytest.mark.parametrize("value", ["3", None, pd.NA, 1j, [1, 2], np.ones(2), b"1"], ids=repr)
def test_what_is_no_number(value):
    for mapping in ({"x": value}, {"y": 1, "x": value}):
        with pytest.raises(TypeError, match=r"mapping 0 has .* for 'x'; a count is a number"):
            fd.from_counts(mapping)


def test_a_category_twice():
    series = pd.Series([1, 2, 3], index=["a", "b", "a"])
    with pytest.raises(ValueError, match="mapping 1 has the category 'a' twice"):
        fd.from_counts({"b": 1}, series)


def test_nothing_to_count():
    with pytest.raises(ValueError, match="there is no mapping"):
        fd.from_counts()
    with pytest.raises(ValueError, match="every mapping is empty"):
        fd.from_counts({}, {})


def test_what_is_no_mapping():
    with pytest.raises(TypeError, match="mapping 1 is a list; it takes mappings from category"):
        fd.from_counts({"a": 1}, ["a", "b"])
    with pytest.raises(TypeError, match="dtype is int64; it takes float64"):
        fd.from_counts({"a": 1}, dtype=int)


def test_leaves_its_arguments_alone():
    mapping = Counter(a=1)
    fd.from_counts(mapping, {"b": 2})
    assert mapping == {"a": 1}
    assert list(mapping) == ["a"]
