"""A benchmark group per task: fastdiv and what people write today, in one process on one thread.

    pytest -n 0 benchmarks --benchmark-only --benchmark-json=build/bench.json
    python benchmarks/ratios.py build/bench.json

No assertion on time: the table of ratios is the result.  Beside its time, each member notes the
relative error of its first row against the tests' 50-digit oracle.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
import reference
from baselines import BOOTSTRAP, LOGITS, PAIRWISE, SPARSE, TOKENS, WEIGHTS, Lines, library
from registry import DIVERGENCES

import fastdiv as fd

MEMBERS = {member.name: member for member in DIVERGENCES}
HALVES = ("float16", "bfloat16")


def members(table: dict[str, Lines], names: Iterable[str]) -> list[Any]:
    return [
        pytest.param(name, implementation, id=f"{name}-{implementation}")
        for name in names
        for implementation in ("fastdiv", *table[name])
    ]


def line(table: dict[str, Lines], name: str, implementation: str, **options: Any) -> Any:
    if implementation == "fastdiv":
        member = MEMBERS.get(name)
        function = member.function if member else getattr(fd, name)
        options |= member.options if member else {}
        return partial(function, **options) if options else function
    return table[name][implementation]


def pair(name: str, both: tuple[Any, ...]) -> tuple[Any, ...]:
    return both[:1] if MEMBERS[name].unary else both


def exact_row(name: str, *batches: Any, **options: Any) -> Any:
    """The first row's result in 50 digits."""
    return getattr(reference, name)(*(reference.exact(x[0]) for x in batches), **options)


def oracle(name: str, both: tuple[Any, ...], change: Any) -> Any:
    return reference.ORACLES[name](
        *(change(reference.exact(x.reshape(-1, x.shape[-1])[0])) for x in both)
    )


@pytest.mark.parametrize(("name", "implementation"), members(WEIGHTS, MEMBERS))
def test_weights(run, arrays, name, implementation):
    both = arrays("weights")
    function = line(WEIGHTS, name, implementation)
    run(
        f"{name}, float32",
        implementation,
        function,
        pair(name, both),
        partial(oracle, name, both, reference.normalised),
    )


@pytest.mark.parametrize(("name", "implementation"), members(LOGITS, MEMBERS))
def test_logits(run, arrays, name, implementation):
    both = arrays("logits")
    function = line(LOGITS, name, implementation, from_logits=True)
    exact = partial(oracle, name, both, reference.softmax)
    run(f"{name}, float32 logits", implementation, function, pair(name, both), exact)


@pytest.mark.parametrize(("name", "implementation"), members(WEIGHTS, MEMBERS))
def test_small(run, arrays, name, implementation):
    both = arrays("small")
    function = line(WEIGHTS, name, implementation)
    exact = partial(oracle, name, both, reference.normalised)
    run(f"{name}, two 100-vectors", implementation, function, pair(name, both), exact)


@pytest.mark.parametrize(("name", "implementation"), members(SPARSE, SPARSE))
def test_sparse(run, arrays, name, implementation):
    both = arrays("sparse")
    function = line(SPARSE, name, implementation)
    exact = partial(oracle, name, [x[[0], :].toarray() for x in both], reference.normalised)
    run(f"{name}, 200 of 32768 stored", implementation, function, both, exact)


@pytest.mark.parametrize(("name", "implementation"), members(TOKENS, ("token_nll", "perplexity")))
@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_labelled(run, arrays, name, implementation, dtype):
    logits, (labels,) = arrays("logits" if dtype == "float32" else dtype)[0], arrays("labels")
    function = line(TOKENS, name, implementation)
    if dtype in HALVES and library(implementation) not in ("fastdiv", "torch", "jax"):
        function = _widened(function)
    exact = partial(exact_row, "token_nll", logits, label=int(labels[0]))
    run(
        f"{name}, {dtype}",
        implementation,
        function,
        (logits, labels),
        exact if name == "token_nll" else None,
    )


def _widened(function: Any) -> Any:
    """NumPy has no fast 16-bit arithmetic: people convert first, which belongs to the time."""
    return lambda logits, labels: function(logits.astype("float32"), labels)


@pytest.mark.parametrize(("name", "implementation"), members(TOKENS, ("token_stats",)))
def test_token_stats(run, arrays, name, implementation):
    logits, (labels,) = arrays("logits")[0], arrays("labels")
    exact = partial(exact_row, "token_nll", logits, label=int(labels[0]))
    run(
        f"{name}, float32",
        implementation,
        line(TOKENS, name, implementation),
        (logits, labels),
        exact,
    )


@pytest.mark.parametrize(("name", "implementation"), members(TOKENS, ("logsumexp",)))
def test_logsumexp(run, arrays, name, implementation):
    logits = arrays("logits")[0]
    exact = partial(exact_row, name, logits)
    run(f"{name}, float32", implementation, line(TOKENS, name, implementation), (logits,), exact)


@pytest.mark.parametrize(("name", "implementation"), members(TOKENS, ("truncated_kl",)))
def test_truncated_kl(run, arrays, name, implementation):
    log_p, b = arrays("log_p")[0], arrays("logits")[1]
    exact = partial(exact_row, name, log_p, b)
    run(f"{name}, float32", implementation, line(TOKENS, name, implementation), (log_p, b), exact)


@pytest.mark.parametrize(("name", "implementation"), members(TOKENS, ("compare_logits",)))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_compare_logits(run, arrays, name, implementation, dtype):
    both, (labels,) = arrays("logits" if dtype == "float32" else dtype), arrays("labels")
    if dtype == "bfloat16" and implementation == "numpy":
        pytest.skip("float32 says what NumPy does")
    exact = partial(oracle, "kl_divergence", both, reference.softmax)
    run(
        f"{name}, {dtype}",
        implementation,
        line(TOKENS, name, implementation),
        (*both, labels),
        exact,
    )


@pytest.mark.parametrize(("name", "implementation"), members(PAIRWISE, PAIRWISE))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", ["of itself", "of two"])
def test_pairwise(run, arrays, name, implementation, dtype, rows):
    both = arrays("many" if dtype == "float64" else f"many {dtype}")
    ours = partial(fd.pairwise, divergence=name)
    run(
        f"pairwise {name}, {dtype}, {rows}",
        implementation,
        ours if implementation == "fastdiv" else PAIRWISE[name][implementation],
        both if rows == "of two" else both[:1],
        partial(oracle, name, both, reference.normalised) if rows == "of two" else None,
    )


@pytest.mark.parametrize(("name", "implementation"), members(BOOTSTRAP, BOOTSTRAP))
def test_bootstrap(run, arrays, quick, name, implementation):
    nll, ids = arrays("nll")
    resamples = 20 if quick else 200

    def ours(nll, ids):
        blocks = {"sequence_ids": ids} if name == "sequences" else {}
        return fd.uncertainty.bootstrap("perplexity", nll, resamples=resamples, **blocks).resamples

    if implementation == "fastdiv":
        function = ours
    else:
        function = partial(BOOTSTRAP[name][implementation], resamples=resamples)
    run(f"bootstrap of a perplexity, drawing {name}", implementation, function, (nll, ids), None)
