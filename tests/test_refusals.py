"""Bad input of every kind: an error names function and argument, and never speaks of gufuncs."""

from __future__ import annotations

import math
import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fastdiv as fd
from fastdiv import (
    bounds,
    coding,
    generators,
    joint,
    plug_in,
    projection,
    transport,
    uncertainty,
    variational,
    windows,
)
from fastdiv.io.saving import save_logits, write_tokens_table
from fastdiv.io.store import write_store
from fastdiv.permutation import permutation_test

X = np.linspace(-4, 4, 21)


class OfTorch:
    """What torch does with a tensor that requires its gradient."""

    requires_grad = True

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


# Function, its good arguments, and those that are rows of numbers.
CALLS = [
    (variational.optimal_critic, {"p": [1, 2], "q": [2, 1]}, "p q"),
    (variational.f_gan_bound_of, {"p": [1, 2], "q": [2, 1], "critic": [0.1, 0.2]}, "p q critic"),
    (
        variational.donsker_varadhan_bound_of,
        {"p": [1, 2], "q": [2, 1], "critic": [0.1, 0.2]},
        "p q critic",
    ),
    (variational.gan_value, {"p": [1, 2], "q": [2, 1], "D": [0.1, 0.2]}, "p q D"),
    (variational.f_gan_bound, {"critic_p": [0.1], "critic_q": [0.1]}, "critic_p critic_q"),
    (variational.nwj_bound, {"critic_p": [0.1], "critic_q": [0.1]}, "critic_p critic_q"),
    (
        variational.donsker_varadhan_bound,
        {"critic_p": [0.1], "critic_q": [0.1]},
        "critic_p critic_q",
    ),
    (variational.log_mean_exp, {"x": [1, 2]}, "x"),
    (permutation_test, {"x": [5, 6], "y": [7, 2], "permutations": 9}, "x y"),
    (coding.cross_entropy_decomposition, {"p": [1, 2], "q": [2, 1]}, "p q"),
    (coding.coding_overhead, {"p": [1, 2], "q": [2, 1]}, "p q"),
    (coding.huffman_lengths, {"weights": [1, 2]}, "weights"),
    (coding.canonical_code, {"lengths": [1, 2]}, "lengths"),
    (plug_in.entropy_from_counts, {"counts": [1, 2]}, "counts"),
    (plug_in.kl_divergence_from_counts, {"p": [1, 2], "q": [2, 1]}, "p q"),
    (plug_in.mutual_information_from_counts, {"joint": [[1, 2], [2, 1]]}, "joint"),
    (projection.GridDensity, {"axes": X, "log_density": -X * X}, "axes log_density"),
    (projection.evidence_decomposition, {"log_joint": [1, 2], "log_q": [2, 1]}, "log_joint log_q"),
    (
        transport.wasserstein_distance,
        {"p": [1, 2], "q": [2, 1], "positions": [0, 1]},
        "p q positions",
    ),
    (joint.mutual_information, {"joint": [[1, 2], [2, 1]]}, "joint"),
    (joint.js_divergence_of, {"rows": [[1, 2], [2, 1]], "weights": [1, 2]}, "rows weights"),
]
every = pytest.mark.parametrize(
    ("function", "good", "rows"), CALLS, ids=[call[0].__name__ for call in CALLS]
)
BAD = {
    "word": "a",
    "words": ["a", "b"],
    "complex": [1j, 2],
    "ragged": [[1, 2], [1]],
    "masked": np.ma.array([1.0, 2.0], mask=[True, False]),
    "list of masked": [np.ma.array([1.0, 2.0], mask=[True, False])] * 2,
    "objects": np.array([1, "a"], object),
    "times": np.array(["2020-01-01"] * 2, "M8[D]"),
    "beyond int64": [2**70, 1],
    "set": {1, 2},
    "bytes": b"ab",
    "gradient": OfTorch(),
    "empty": [],
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("function", "good", "rows"), CALLS, ids=lambda x: getattr(x, "__name__", "")
)
def test_what_is_no_row_of_numbers(function, good, rows, bad):
    function(**good)
    for argument in rows.split():
        if (argument, bad) == ("lengths", "empty"):  # of which there is a code, without words
            continue
        with pytest.raises((TypeError, ValueError)) as caught:
            function(**{**good, argument: BAD[bad]})
        name = "axis 0" if (argument, bad) == ("axes", "empty") else argument
        assert re.match(rf"{function.__name__}: (the )?.*\b{name}\b", str(caught.value))
        assert not re.search("gufunc|remapped|inhomogeneous|setting an array", str(caught.value))


@pytest.mark.parametrize(
    ("function", "good", "rows"), CALLS, ids=lambda x: getattr(x, "__name__", "")
)
def test_bfloat16_is_read(function, good, rows):
    for argument in rows.split():
        if np.ndim(good[argument]) == 1 and np.size(good[argument]) == 2:
            given = np.asarray(good[argument], ml_dtypes.bfloat16)
            found = function(**{**good, argument: given})
            want = function(**{**good, argument: given.astype(np.float64)})
            if isinstance(found, tuple):
                np.testing.assert_allclose(found, want, rtol=1e-7)


LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
TWO = [[0.5, 0.5], [0.2, 0.8]]
KNOWN = fd.top_k(LOGITS, 2)
TEXT = windows.Window(-1, 1, 0, 2)


def _meter(kind: Any, *rows: Any) -> Any:
    return lambda **given: kind().update(*rows, **given)


def _columns_of_nll(**given: Any) -> None:
    fd.PerplexityMeter().update_columns(**{"nll": [0.5, 1.0], "vocab": 3, **given})


def _columns_of_kl(**given: Any) -> None:
    found = fd.compare_logits(LOGITS, LOGITS, fields=["kl"])
    fd.ComparisonMeter().update_columns(found, vocab=3, **given)


# Where errors of the arguments come from, a function that takes them by name, what they are, beside
# what else: numbers, labels and whatever comes with rows.
BESIDE_ROWS: list[tuple[str, Any, str, Any, dict[str, Any]]] = [
    ("token_nll", fd.token_nll, "labels", [0, 1], {"logits": LOGITS}),
    ("token_nll", fd.token_nll, "temperature", [1, 2], {"logits": LOGITS, "labels": [0, 1]}),
    ("perplexity", fd.perplexity, "labels", [0, 1], {"logits": LOGITS}),
    ("token_stats", fd.token_stats, "labels", [0, 1], {"logits": LOGITS}),
    ("token_stats", fd.token_stats, "temperature", [1, 2], {"logits": LOGITS}),
    *(
        ("compare_logits", fd.compare_logits, argument, good, {"base": LOGITS, "candidate": LOGITS})
        for argument, good in (("labels", [0, 1]), ("weight", [0.5, 1]), ("temperature", [1, 2]))
    ),
    ("top_k", fd.top_k, "labels", [0, 1], {"logits": LOGITS, "k": 2}),
    ("compare_topk", fd.compare_topk, "labels", [0, 1], {"base": KNOWN, "candidate": LOGITS}),
    ("js_divergence", fd.js_divergence, "weight", [0.5, 1], {"p": TWO, "q": TWO}),
    ("alpha_divergence", fd.alpha_divergence, "alpha", [0.5, 1], {"p": TWO, "q": TWO}),
    ("renyi_divergence", fd.renyi_divergence, "alpha", [0.5, 1], {"p": TWO, "q": TWO}),
    ("renyi_entropy", fd.renyi_entropy, "alpha", [0.5, 1], {"p": TWO}),
    ("tsallis_entropy", fd.tsallis_entropy, "alpha", [0.5, 1], {"p": TWO}),
    ("token_nll", _meter(fd.PerplexityMeter, LOGITS), "labels", [0, 1], {}),
    ("compare_logits", _meter(fd.ComparisonMeter, LOGITS, LOGITS), "labels", [0, 1], {}),
    *(
        ("ComparisonMeter.update", update, argument, good, beside)
        for update in (_meter(fd.ComparisonMeter, LOGITS, LOGITS), _columns_of_kl)
        for argument, good, beside in (
            ("sequence_ids", [0, 1], {}),
            ("offsets", [0, 2], {}),
            ("positions", [0, 1], {"sequence_ids": [0, 1]}),
        )
    ),
    *(
        ("ComparisonMeter.update", _columns_of_kl, argument, good, {})
        for argument, good in (("labels", [0, 1]), ("counted", [True, False]), ("p_tail", [0, 1]))
    ),
    *(
        ("PerplexityMeter.update", _columns_of_nll, argument, good, {})
        for argument, good in (("labels", [0, 1]), ("counted", [True, False]), ("nll", [0.5, 1]))
    ),
    ("Sequences", uncertainty.mean, "sequence_ids", [0, 1], {"x": [0.5, 1]}),
    ("Sequences", uncertainty.Sequences, "sequence_ids", [0, 1], {}),
    (
        "by_bucket",
        uncertainty.by_bucket,
        "sequence_ids",
        [0, 1],
        {"values": [0.5, 1], "by": [1, 2], "edges": [0, 3]},
    ),
    ("inputs", windows.inputs, "tokens", [5, 6], {"window": TEXT, "prefix": 0}),
    ("labels", windows.labels, "tokens", [5, 6], {"window": TEXT}),
    ("Interval.contains", generators.kl.conjugate_domain.contains, "t", [0.5, 1], {}),
    ("Generator", generators.kl.f, "u", [0.5, 1], {}),
    ("Generator", generators.kl.derivative, "u", [0.5, 1], {}),
    ("Generator", generators.kl.conjugate, "t", [0.5, 1], {}),
    ("Generator", generators.kl.activation, "v", [0.5, 1], {}),
]


@pytest.mark.parametrize(
    ("where", "function", "argument", "good", "beside"),
    BESIDE_ROWS,
    ids=[f"{where}-{argument}" for where, _, argument, _, _ in BESIDE_ROWS],
)
def test_masked_arrays_beside_rows(where, function, argument, good, beside):
    """A mask says that a number is not to be used, which is not to be forgotten in silence."""
    function(**{argument: good}, **beside)
    masked = np.ma.array(good, mask=[True, False])
    with pytest.raises(TypeError, match=f"^{where}: {argument} is a masked array; fill it"):
        function(**{argument: masked}, **beside)
    with pytest.raises(TypeError, match=f"^{where}: {argument} holds masked arrays; fill them"):
        function(**{argument: [masked]}, **beside)


def test_masked_rows_in_lists(divergence):
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    good = [[1.0, 2.0], [2.0, 1.0]]
    name = rf"^(weighted_)?{divergence.function.__name__}"
    for wrong in ([masked, masked], [[1.0, 2.0], masked], ([1.0, np.ma.masked], [2.0, 1.0])):
        with pytest.raises(TypeError, match=f"{name}: p holds masked arrays; fill them"):
            divergence(wrong, good)
        if not divergence.unary:
            with pytest.raises(TypeError, match=f"{name}: q holds masked arrays; fill them"):
                divergence(good, [wrong])


def test_masked_rows_in_lists_elsewhere():
    masked = [np.ma.array(row, mask=[True, False, False]) for row in LOGITS]
    for argument, call in (
        ("logits", lambda x: fd.token_nll(x, [0, 1])),
        ("logits", lambda x: fd.perplexity(x, [0, 1])),
        ("logits", fd.token_stats),
        ("logits", fd.logsumexp),
        ("base", lambda x: fd.compare_logits(x, LOGITS)),
        ("candidate", lambda x: fd.compare_logits(LOGITS, x)),
        ("log_p", lambda x: fd.truncated_kl(x, LOGITS)),
        ("logits_q", lambda x: fd.truncated_kl(LOGITS, x)),
        ("logits", lambda x: fd.top_k(x, 2)),
        ("candidate", lambda x: fd.compare_topk(KNOWN, x)),
        ("x", fd.pairwise),
        ("y", lambda y: fd.pairwise(LOGITS, y)),
        ("p", lambda x: fd.f_divergence(x, LOGITS, lambda u: (u - 1) ** 2)),
        ("q", lambda x: fd.f_divergence(LOGITS, x, lambda u: (u - 1) ** 2)),
        ("x", lambda x: permutation_test(x, LOGITS, lambda x, y: 0.0, samples=True)),
    ):
        with pytest.raises(TypeError, match=rf"^\w+: {argument} holds masked arrays; fill them"):
            call(masked)
        with pytest.raises(TypeError, match=rf"^\w+: {argument} is a masked array; fill it"):
            call(np.ma.array(LOGITS, mask=LOGITS > 2))


def test_masked_arrays_that_functions_of_the_user_return():
    def masked(*_: Any) -> Any:
        return np.ma.array([1.0], mask=[True])

    message = "statistic is a masked array; fill it"
    with pytest.raises(TypeError, match=f"^bootstrap: {message}"):
        uncertainty.bootstrap(masked, [0.5, 1.0], resamples=2)
    with pytest.raises(TypeError, match=f"^permutation_test: the {message}"):
        permutation_test([0.5, 1.0], [2.0], masked, samples=True, vectorized=True, permutations=1)
    with pytest.raises(TypeError, match=r"lambda.* returned a masked array; it takes a float64"):
        fd.f_divergence([[1, 2]], [[2, 1]], lambda u: np.ma.array((u - 1) ** 2, mask=u > 1.5))


def test_masked_arrays_are_not_written(tmp_path):
    masked = np.ma.array(LOGITS, mask=LOGITS > 2)
    path = tmp_path / "rows"
    for write in (
        lambda: save_logits(path.with_suffix(".npy"), masked),
        lambda: save_logits(path.with_suffix(".npy"), [masked]),
        lambda: save_logits(path.with_suffix(".npy"), iter([masked])),
        lambda: write_tokens_table(path.with_suffix(".npz"), {"kl": masked[0]}),
        lambda: write_store(path.with_suffix(".fd"), [masked], vocab=3),
        lambda: write_store(path.with_suffix(".fd"), [LOGITS], vocab=3, labels=masked[0]),
    ):
        with pytest.raises(TypeError, match=r"masked arrays?; fill"):
            write()
    assert not any(tmp_path.iterdir())


PAIRS = [
    fd.kl_divergence,
    variational.optimal_critic,
    variational.gan_value,
    coding.cross_entropy_decomposition,
    coding.coding_overhead,
    plug_in.kl_divergence_from_counts,
    transport.wasserstein_distance,
    projection.evidence_decomposition,
]


@pytest.mark.parametrize("function", PAIRS, ids=lambda f: f.__name__)
def test_rows_that_do_not_fit(function):
    name = function.__name__
    with pytest.raises(ValueError, match=rf"^{name}: .*\b2\b.*\b3\b"):
        function([1, 2], [1, 2, 3])
    shapes = r"do not broadcast: \w+ \(2,\), \w+ \(4,\)"
    with pytest.raises(ValueError, match=rf"^{name}: .*{shapes}"):
        function(np.ones((2, 3)), np.ones((4, 3)))
    for axis, error in (("a", TypeError), (None, TypeError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"^{name}: axis is {axis!r}; it takes an integer"):
            function([1, 2], [2, 1], axis=axis)
    for axis in (1, -2, 2**80):
        with pytest.raises(np.exceptions.AxisError, match=f"^{name}: axis is {axis}; "):
            function([1, 2], [2, 1], axis=axis)


def test_a_parameter_that_does_not_fit():
    with pytest.raises(ValueError, match=r"^js_divergence: .* q \(3,\), parameter \(2,\)"):
        fd.js_divergence(np.ones((3, 4)), np.ones((3, 4)), weight=[0.1, 0.2])


def test_critics_that_do_not_fit():
    for function in (variational.f_gan_bound_of, variational.donsker_varadhan_bound_of):
        shapes = r"rows \(2,\), critic \(3,\)"
        with pytest.raises(ValueError, match=rf"^{function.__name__}: .* {shapes}"):
            function(np.ones((2, 4)), np.ones(4), np.ones((3, 4)))


@pytest.mark.parametrize("seed", ["a", None, 1.5, True, -1, 2**64, [1]])
def test_seeds(seed):
    target = projection.GaussianMixture([1, 1], [-1, 1], [1, 1])
    message = f"seed is {re.escape(repr(seed))}"
    for name, call in (
        ("permutation_test", lambda: permutation_test([1, 2], [2, 1], permutations=9, seed=seed)),
        ("project", lambda: projection.project(target, seed=seed)),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{name}: {message}"):
            call()


def test_generators_and_orders():
    for wrong in (None, 1, [1.0], np.ones(2), b"kl"):
        kind = type(wrong).__name__
        with pytest.raises(TypeError, match=f"^f_gan_bound: generator has type {kind}; it takes a"):
            variational.f_gan_bound([0.1], [0.1], wrong)
    for wrong, error in (("a", TypeError), (math.nan, ValueError), ([0.5, 0.25], TypeError)):
        with pytest.raises(error, match=r"^permutation_test: alpha is "):
            permutation_test([1, 2], [2, 1], "renyi_divergence", alpha=wrong, permutations=9)
        with pytest.raises(error, match=r"^permutation_test: weight is "):
            permutation_test([1, 2], [2, 1], "js_divergence", weight=wrong, permutations=9)
    with pytest.raises(ValueError, match=r"^permutation_test: alpha is inf; it takes finite"):
        permutation_test([1, 2], [2, 1], "alpha_divergence", alpha=math.inf, permutations=9)


def test_corrections_lengths_weights_and_names():
    for wrong in ("a", np.ones(2), 1, ["jackknife"]):
        with pytest.raises(ValueError, match=r"^entropy_from_counts: correction is "):
            plug_in.entropy_from_counts([1, 2], wrong)
    for wrong in (1e300, 2.0**20 + 1, -1.0, math.nan, 0.5, -math.inf):
        with pytest.raises(
            ValueError, match=rf"^canonical_code: lengths has {re.escape(str(wrong))} at 1"
        ):
            coding.canonical_code([1, wrong])
    assert len(coding.canonical_code([2.0**20])[0]) == 2**20
    with pytest.raises(ValueError, match=r"^js_divergence_of: weights is -1\.0; it takes weights"):
        joint.js_divergence_of([[1, 2], [2, 1]], -1)
    with pytest.raises(ValueError, match=r"^js_divergence_of: weights, row 1, has -1\.0 at 0; it"):
        joint.js_divergence_of(np.ones((2, 2, 3)), [[1, 2], [-1, 2]])
    for wrong in ([1], {}, None, 3):
        with pytest.raises(TypeError, match=r"^interval: target is "):
            bounds.interval(wrong, tv=0.5)
    for wrong in (True, np.True_, "0.5", (True, 1), 10**400, [0.1, 0.2, 0.3], 1j):
        with pytest.raises(TypeError, match=r"^interval: total_variation is .*; it takes a number"):
            bounds.interval("kl", tv=wrong)
    for wrong in ("foo", "f8,f8", 3):
        with pytest.raises(TypeError, match=r"^from_counts: dtype is "):
            fd.from_counts({"a": 1}, dtype=wrong)
