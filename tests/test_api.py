"""The public face: axis, keepdims, out, base, broadcasting, errors, docstrings and stubs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from reference import ORACLES

import fastdiv as fd

PACKAGE = Path(fd.__file__).parent
P, Q = np.random.default_rng(5).gamma(0.5, size=(2, 3, 4, 20)) + 1e-3


# --- one convention for all -----------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axis_and_keepdims(divergence, axis, keepdims):
    moved = np.moveaxis(P, axis, -1), np.moveaxis(Q, axis, -1)
    want = divergence(*(np.ascontiguousarray(x) for x in moved))
    result = divergence(P, Q, axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(result, np.expand_dims(want, axis) if keepdims else want)
    assert result.dtype == np.float64


def test_keepdims_of_one_row(divergence):
    result = divergence(P[0, 0], Q[0, 0], keepdims=True)
    assert result.shape == (1,)
    assert result[0] == divergence(P[0, 0], Q[0, 0])


@pytest.mark.parametrize("axis", [3, -4])
def test_axis_out_of_range(divergence, axis):
    with pytest.raises(ValueError, match="axis"):
        divergence(P, Q, axis=axis)


@pytest.mark.parametrize("axis", [1.5, "0", (0, 1)])
def test_axis_that_is_no_integer(divergence, axis):
    with pytest.raises(TypeError):
        divergence(P, Q, axis=axis)


def test_out(divergence):
    want = divergence(P, Q)
    out = np.full((3, 4), 9.0)
    assert divergence(P, Q, out=out) is out
    np.testing.assert_array_equal(out, want)
    every_second = np.full((3, 8), 9.0)
    divergence(P, Q, out=every_second[:, ::2])
    np.testing.assert_array_equal(every_second[:, ::2], want)
    assert (every_second[:, 1::2] == 9).all()
    kept = np.empty((3, 1, 20))
    divergence(P, Q, axis=1, keepdims=True, out=kept)
    np.testing.assert_array_equal(kept[:, 0], divergence(P, Q, axis=1))


def test_out_of_every_form(divergence):
    """`base` and the like are applied to `out`, too."""
    for options in ({"normalize": False}, {"from_logits": True}, {"base": 2}):
        if "base" in options and not divergence.based:
            continue
        out = np.empty((3, 4))
        assert divergence(P, Q, out=out, **options) is out
        np.testing.assert_array_equal(out, divergence(P, Q, **options))


def test_wrong_out(divergence):
    for shape in ((4, 3), (3,), (3, 5)):
        with pytest.raises(ValueError, match=r"out|dimension|shape"):
            divergence(P, Q, out=np.empty(shape))
    with pytest.raises(TypeError):
        divergence(P, Q, out=np.empty((3, 4), np.int64))
    with pytest.raises(TypeError):
        divergence(P, Q, out=[0.0])
    frozen = np.empty((3, 4))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        divergence(P, Q, out=frozen)


def test_overlapping_out(divergence):
    """`out` may be a piece of an input: the input is read as it was."""
    p = P.copy()
    want = divergence(p, Q)
    np.testing.assert_array_equal(divergence(p, Q, out=p[:, :, 0]), want)


def test_base(divergence):
    if divergence.based:
        nats = divergence(P, Q)
        unit = np.sqrt if divergence.name == "js_distance" else lambda x: x
        np.testing.assert_allclose(divergence(P, Q, base=2), nats / unit(math.log(2)), rtol=1e-15)
        np.testing.assert_array_equal(divergence(P, Q, base=None), nats)
        np.testing.assert_allclose(divergence(P, Q, base=math.e), nats, rtol=1e-15)
        for wrong in (1, 0, -2, math.inf, math.nan):
            with pytest.raises(ValueError, match="base"):
                divergence(P, Q, base=wrong)
        with pytest.raises((TypeError, ValueError), match="base"):
            divergence(P, Q, base="2")
    else:
        with pytest.raises(TypeError, match="base"):
            divergence(P, Q, base=2)


def test_options_are_keywords(divergence):
    with pytest.raises(TypeError):
        divergence.function(*(P, Q)[: 2 - divergence.unary], *divergence.options.values(), -1)


def test_broadcasting(divergence):
    p, q = P[:, :1], Q[:1]
    want = divergence(*np.broadcast_arrays(p, q))
    result = divergence(p, q)
    np.testing.assert_array_equal(result, want[:, :1] if divergence.unary else want)
    np.testing.assert_array_equal(
        divergence(P, Q[0, 0]), divergence(P, np.broadcast_to(Q[0, 0], P.shape))
    )


def test_shapes_that_do_not_fit(of_two):
    for q in (Q[..., :19], Q[..., :1], Q[:2], np.ones((2, 20))):
        with pytest.raises(ValueError, match=r"rows of \d+, q of \d+|do not broadcast"):
            of_two(P, q)


def test_nothing(divergence):
    for empty in (np.empty(0), np.empty((3, 0)), np.empty((0, 0))):
        for options in ({}, {"normalize": False}, {"from_logits": True}):
            with pytest.raises(ValueError, match=r"empty|length|element"):
                divergence(empty, empty, **options)
    for shape in ((0, 4), (3, 0, 4)):
        result = divergence(np.empty(shape), np.empty(shape))
        assert result.shape == shape[:-1]
        assert result.dtype == np.float64
    assert divergence(np.empty((4, 0)), np.empty((4, 0)), axis=0).shape == (0,)
    with pytest.raises(ValueError, match="axis"):
        divergence(1.0, 1.0)


UNSUPPORTED = [
    "complex64",
    "complex128",
    "object",
    "U3",
    "S3",
    "datetime64[s]",
    "timedelta64[s]",
    "V4",
]


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported_dtypes_are_named(divergence, kind):
    bad = np.zeros((3, 4, 20), kind)
    name = {"U3": "<U3|str", "S3": r"\|?S3|bytes", "V4": r"\|?V4|void"}.get(
        kind, kind.partition("[")[0]
    )
    for p, q in ((bad, Q), (P, bad)):
        if q is bad and divergence.unary:
            continue
        with pytest.raises(TypeError, match=name):
            divergence(p, q)


def test_long_double_is_not_rounded_silently(divergence):
    if np.dtype(np.longdouble) == np.float64:
        pytest.skip("long double is double here")
    with pytest.raises(TypeError, match=r"longdouble|float128|float96"):
        divergence(P.astype(np.longdouble), Q)


# --- documentation, stubs -------------------------------------------------------------------------

PUBLIC = [name for name in fd.__all__ if callable(getattr(fd, name))]


def test_all_exists():
    assert len(set(fd.__all__)) == len(fd.__all__)
    for name in fd.__all__:
        assert hasattr(fd, name)
    assert (PACKAGE / "py.typed").exists()


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings(name):
    item = getattr(fd, name)
    text = inspect.getdoc(item) or ""
    sections = ["Examples"]
    signature = inspect.signature(item)
    returns = str(signature.return_annotation)
    if not inspect.isclass(item) and returns != "None" and "Iterator" not in returns:
        sections += ["Returns"]
    if signature.parameters and not hasattr(item, "_fields"):
        sections += ["Parameters"]
    for section in sections:
        assert f"\n{section}\n{'-' * len(section)}\n" in text, f"{name} has no section {section}"
    if "Parameters" in sections:
        for parameter in signature.parameters:
            assert parameter in text.partition("Parameters")[2], (
                f"{name} does not explain {parameter}"
            )
    assert ">>> " in text.partition("Examples\n")[2]


MODULES = [
    "fastdiv",
    *(
        m.name
        for m in pkgutil.walk_packages([str(PACKAGE)], "fastdiv.")
        if "__main__" not in m.name
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{name} needs {error.name}")
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


STUBS = sorted(PACKAGE.rglob("*.pyi"))


def defined(nodes):
    """Public names that a stub defines: functions with their parameters, the rest without."""
    names = {}
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            names[node.name] = [a.arg for a in every]
        elif isinstance(node, ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = None
    return names


def test_core_has_a_stub():
    assert any(stub.name == "_core.pyi" for stub in STUBS)


@pytest.mark.parametrize("stub", STUBS, ids=lambda s: s.name)
def test_stub_is_the_module(stub):
    name = ".".join(("fastdiv", *stub.relative_to(PACKAGE).with_suffix("").parts))
    module = importlib.import_module(name)
    names = defined(ast.parse(stub.read_text()).body)
    assert {n for n in names if not hasattr(module, n)} == set(), "in the stub only"
    own = {
        n
        for n, value in vars(module).items()
        if not n.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", name) in (name, None)
    }
    assert own - set(names) == set(), "not in the stub"
    for n, parameters in names.items():
        if parameters is None or n.startswith("_"):
            continue
        try:
            signature = inspect.signature(getattr(module, n))
        except ValueError:  # a C function without a text signature
            continue
        assert list(signature.parameters) == parameters, n


def test_registry_names_are_public_functions_with_the_same_options(divergence):
    parameters = inspect.signature(divergence.function).parameters
    options = [n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n != "weight"]
    want = ["axis", "base", "normalize", "from_logits", "keepdims", "out", "dtype", "validate"]
    assert options == [o for o in want if o != "base" or divergence.based]
    rows = ["p"] if divergence.unary else ["p", "q"]
    assert [n for n in parameters if n not in (*options, "weight")] == [
        *rows,
        *(n for n in divergence.options if n != "weight"),
    ]


def test_every_name_is_benchmarked(monkeypatch):
    folder = Path(__file__).parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    baselines = importlib.import_module("baselines")
    assert set(baselines.WEIGHTS) == set(baselines.LOGITS) == set(ORACLES)
    functions = {
        n
        for n in PUBLIC
        if getattr(fd, n).__module__ == "fastdiv.tokens" and inspect.isfunction(getattr(fd, n))
    }
    assert set(baselines.TOKENS) == functions
    for table in (baselines.WEIGHTS, baselines.LOGITS, baselines.TOKENS):
        assert all("numpy" in lines for lines in table.values())
