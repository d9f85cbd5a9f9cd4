"""The test cases that SciPy and torchmetrics publish, held against fastdiv.

    python benchmarks/peers_own_cases.py

writes docs/peers_own_cases.md and exits with 1 where a case differs that is not in `DIFFERENCES`,
or no longer differs that is; `--json FILE` writes what happened there instead.

SciPy's cases are the test modules of the installed SciPy themselves: while one of their tests runs,
SciPy's functions are replaced by the adapters below.  torchmetrics ships no tests, so its published
inputs and numbers stand here, held against the installed package as well.  An adapter changes the
form of a call (names, axes, values with weights to histograms), and a convention only where
`CONVENTIONS` says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import wraps
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest

import fastdiv as fd

ROOT = Path(__file__).parents[1]

# --- differences of convention --------------------------------------------------------------------

# Translated by an adapter, so that the rest of the case is held all the same.
CONVENTIONS = {
    "scipy.special.entr, kl_div, rel_entr of a negative number": (
        "−∞, ∞, ∞: the convex extension, for optimisers",
        "NaN: no weight is negative; the adapter asserts the NaN and answers SciPy's infinity",
    ),
    "scipy.special.rel_entr": (
        "x log(x/y) of single numbers, of either sign",
        "no such function; the adapter adds x − y to the generalised KL of rows of one number",
    ),
    "scipy.stats.entropy, scipy.spatial.distance.jensenshannon": (
        "distributions along axis 0",
        "along axis −1, where the next of a row is next in memory; the adapter passes `axis`",
    ),
    "scipy.stats.wasserstein_distance": (
        "values with weights",
        "histograms on one grid, here that of all values; the adapter passes `validate=True`,"
        " without which wrong weights are NaN and no error",
    ),
    "torchmetrics KLDivergence, JensenShannonDivergence": (
        "one number: mean or sum over the rows",
        "one number per row; the adapter reduces",
    ),
    "torchmetrics log_prob=True": (
        "log-probabilities, taken to be normalised",
        "`from_logits=True`: the rows are normalised",
    ),
}

# Cases that differ: of what kind the difference is, and why.  Wild cards as in file names.
DIFFERENCES = {
    "special/tests/test_basic.py::test_entr": (
        "convention",
        "the entropy of an infinite weight is −∞ there; infinity is no weight here, so NaN",
    ),
    "special/tests/test_basic.py::test_rel_entr_gh_20710_overflow": (
        "no such function",
        "fastdiv has no literal sum x log(x/y), and y − x, by which its generalised KL differs,"
        " is 10²⁰⁰ times what is asked for",
    ),
    "spatial/tests/test_distance.py::TestPdist::test_pdist_jensenshannon_random_float32": (
        "precision",
        "SciPy converts the float32 rows to float64 and asks for 10⁻⁸; fastdiv computes them in"
        " float32, whose unit roundoff is 6·10⁻⁸",
    ),
    "stats/tests/test_entropy.py::*test_entropy_broadcasting*": (
        "convention",
        "a Q of one number is stretched along the axis of the distribution there, and is an error"
        " here: only the other axes broadcast",
    ),
    "stats/tests/test_entropy.py::*test_entropy_raises_value_error*": (
        "words",
        "ValueError in both; the test asks for SciPy's words",
    ),
    "stats/tests/test_entropy.py::*test_entropy_shape_mismatch*": (
        "words",
        "ValueError in both; the test asks for SciPy's words",
    ),
    "stats/tests/test_entropy.py::*test_input_validation*": (
        "words",
        "ValueError in both; the test asks for SciPy's words",
    ),
    "stats/tests/test_stats.py::TestWassersteinDistance::test_inf_values": (
        "convention",
        "a value at infinity gives ∞, or NaN with a warning, there, and is an error here:"
        " `positions` are finite",
    ),
    "*Divergence, logarithms of zeros, *: the installed package's number": (
        "the package's fault",
        "exp(−∞)·(−∞) is NaN there; tests in its repository ask for the number that fastdiv gives,"
        " above",
    ),
    "JensenShannonDivergence, random float64, log_prob=True, *: the installed*": (
        "the package's fault",
        "its log 2 is that of float32, 2·10⁻⁹ off",
    ),
    "KLDivergence, logarithms without an outcome in common: the installed package's number": (
        "the package's fault",
        "NaN there, likewise; tests in its repository ask for ∞",
    ),
    "Perplexity, extreme * logits, *: the installed package's number": (
        "the package's fault",
        "the logarithm of a softmax that is 0 is ∞ there; tests in its repository ask for the"
        " number that fastdiv gives, above",
    ),
    "*Divergence, three dimensions: an error": (
        "convention",
        "rows of any number of dimensions are taken here",
    ),
}

# --- adapters for SciPy ---------------------------------------------------------------------------


def _negative_is(extension: float, got: Any, *arguments: Any) -> Any:
    negative = np.any([np.asarray(x) < 0 for x in np.broadcast_arrays(*arguments)], axis=0)
    assert np.isnan(np.where(negative, got, np.nan)).all(), "fastdiv has a number for negatives"
    return np.where(negative, extension, got)


def _columns(*arguments: Any) -> list[np.ndarray]:
    """Single numbers as rows of one."""
    return [np.asarray(x, dtype=np.float64)[..., None] for x in arguments]


def entr(x: Any) -> Any:
    return _negative_is(-np.inf, fd.entropy(*_columns(x), normalize=False), x)


def kl_div(x: Any, y: Any) -> Any:
    return _negative_is(np.inf, fd.kl_divergence(*_columns(x, y), normalize=False), x, y)


def rel_entr(x: Any, y: Any) -> Any:
    generalised = fd.kl_divergence(*_columns(x, y), normalize=False)
    return _negative_is(np.inf, generalised + (np.asarray(x) - np.asarray(y)), x, y)


def entropy(pk: Any, qk: Any = None, base: float | None = None, axis: int = 0, **how: Any) -> Any:
    if qk is None:
        return fd.entropy(pk, axis=axis, base=base, **how)
    return fd.kl_divergence(pk, qk, axis=axis, base=base, **how)


def jensenshannon(
    p: Any, q: Any, base: float | None = None, *, axis: int = 0, keepdims: bool = False
) -> Any:
    return fd.js_distance(p, q, axis=axis, base=base, keepdims=keepdims)


def pdist(rows: Any, metric: str = "euclidean") -> Any:
    assert metric in ("jensenshannon", "test_jensenshannon"), metric
    square = fd.pairwise(rows, divergence="js_distance")
    return square[np.triu_indices(len(square), 1)]


def wasserstein_distance(
    u_values: Any, v_values: Any, u_weights: Any = None, v_weights: Any = None
) -> Any:
    weights = [
        np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
        for values, weights in ((u_values, u_weights), (v_values, v_weights))
    ]
    p = np.concatenate([weights[0], np.zeros(len(v_values))])
    q = np.concatenate([np.zeros(len(u_values)), weights[1]])
    return fd.wasserstein_distance(p, q, np.concatenate([u_values, v_values]), validate=True)


SCIPY = (
    "special/tests/test_basic.py::test_entr",
    "special/tests/test_basic.py::test_kl_div",
    "special/tests/test_basic.py::test_rel_entr",
    "special/tests/test_basic.py::test_rel_entr_gh_20710_near_zero",
    "special/tests/test_basic.py::test_rel_entr_gh_20710_overflow",
    "stats/tests/test_entropy.py::TestEntropy",
    "spatial/tests/test_distance.py::test_jensenshannon",
    *(
        f"spatial/tests/test_distance.py::TestPdist::test_pdist_jensenshannon_{rows}{form}"
        for rows in ("random", "iris")
        for form in ("", "_float32", "_nonC")
    ),
    "stats/tests/test_stats.py::TestCdfDistanceValidation",
    "stats/tests/test_stats.py::TestWassersteinDistance",
)


# One case: package, name, whether it agrees, and what was said where it does not.
Outcome = dict[str, Any]


def _within_scipy(item: pytest.Item) -> str:
    return item.nodeid.partition("scipy/")[2] or item.nodeid


class _InPlaceOfScipy:
    """A pytest plugin: the tests are collected with SciPy's functions and run with fastdiv's."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.calls = 0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Chosen here and not by pytest, which stops where a SciPy lacks one of them."""
        items[:] = [
            item
            for item in items
            if any(
                f"{_within_scipy(item)}["[: len(case) + 1].rstrip("[:") == case for case in SCIPY
            )
        ]

    def _counted(self, adapter: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(adapter)
        def call(*arguments: Any, **how: Any) -> Any:
            self.calls += 1
            return adapter(*arguments, **how)

        return call

    @contextlib.contextmanager
    def replaced(self, module: ModuleType) -> Iterator[None]:
        from scipy import special, stats

        places: list[tuple[Any, Callable[..., Any]]] = [
            (special, entr),
            (special, kl_div),
            (special, rel_entr),
            (stats, entropy),
            (stats, wasserstein_distance),
        ]
        # These two the test module knows by name.
        places += [(module, f) for f in (jensenshannon, pdist) if hasattr(module, f.__name__)]
        with contextlib.ExitStack() as stack:
            for place, adapter in places:
                stack.enter_context(
                    mock.patch.object(place, adapter.__name__, self._counted(adapter))
                )
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        before = self.calls
        said = None
        assert isinstance(item, pytest.Function)
        with self.replaced(item.module):
            try:
                yield
            except (Exception, pytest.fail.Exception) as error:
                said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if self.calls == before:
            said = "no adapter was called"
        self.outcomes.append(
            Outcome(package="SciPy", name=_within_scipy(item), agrees=said is None, said=said)
        )


def scipy_cases() -> list[Outcome]:
    import scipy

    package = Path(scipy.__file__).parent
    plugin = _InPlaceOfScipy()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place, mock.patch.dict(os.environ):
        os.environ.pop("PYTEST_ADDOPTS", None)  # options of the run that this one is part of
        os.chdir(place)
        try:
            code = pytest.main(
                [
                    *("-c", os.devnull, f"--rootdir={package.parent}", "-q", "--no-header"),
                    *("-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore"),
                    *sorted({str(package / case.partition("::")[0]) for case in SCIPY}),
                ],
                plugins=[plugin],
            )
        finally:
            os.chdir(before)
    if code != 0 or not plugin.outcomes:
        raise RuntimeError(f"SciPy's tests did not run to their end: pytest says {code!r}")
    return plugin.outcomes


# --- torchmetrics ---------------------------------------------------------------------------------


def _reduced(rows: Any, reduction: str | None) -> Any:
    return {"mean": np.mean, "sum": np.sum}.get(reduction or "", np.asarray)(rows)


def kl_divergence(
    p: Any, q: Any, log_prob: bool = False, reduction: str | None = "mean", **_: Any
) -> Any:
    return _reduced(fd.kl_divergence(p, q, from_logits=log_prob), reduction)


def jensen_shannon_divergence(
    p: Any, q: Any, log_prob: bool = False, reduction: str | None = "mean", **_: Any
) -> Any:
    return _reduced(fd.js_divergence(p, q, from_logits=log_prob), reduction)


def perplexity(preds: Any, target: Any, ignore_index: int | None = None) -> float:
    # Without an index to ignore, one that no label has.
    return fd.perplexity(preds, target, ignore_index=-1 if ignore_index is None else ignore_index)


PUBLISHED = "its published number"
INSTALLED = "the installed package's number"


class _Held:
    """Collects what fastdiv says beside what is published, and beside what the package says."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, name: str, beside: str, said: str | None) -> None:
        self.outcomes.append(
            Outcome(
                package="torchmetrics", name=f"{name}: {beside}", agrees=said is None, said=said
            )
        )

    def number(
        self,
        name: str,
        ours: Callable[[], Any],
        published: Any = None,
        installed: Callable[[], Any] | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 1e-6,
    ) -> None:
        """The tolerances are those of torchmetrics' own tests unless given."""
        wants = {PUBLISHED: published} if published is not None else {}
        if installed is not None:
            wants[INSTALLED] = np.asarray(installed())
        got = np.asarray(ours())
        for beside, want in wants.items():
            same = got.shape == np.shape(want) and np.allclose(got, want, rtol, atol)
            self.add(
                name, beside, None if same else f"{got.tolist()}, not {np.asarray(want).tolist()}"
            )

    def error(self, name: str, kinds: Any, ours: Callable[[], Any]) -> None:
        try:
            got = ours()
        except kinds:
            self.add(name, "an error", None)
        else:
            self.add(name, "an error", f"no error but {got!r}")


def torchmetrics_cases() -> list[Outcome]:
    import torch
    from torch.nn.functional import cross_entropy
    from torchmetrics.functional import regression, text
    from torchmetrics.regression import JensenShannonDivergence, KLDivergence
    from torchmetrics.text import Perplexity

    held = _Held()
    metrics = {
        "KLDivergence": (KLDivergence, regression.kl_divergence, kl_divergence),
        "JensenShannonDivergence": (
            JensenShannonDivergence,
            regression.jensen_shannon_divergence,
            jensen_shannon_divergence,
        ),
    }

    # The examples of the documentation, to the digits that it prints.
    p, q = torch.tensor([[0.36, 0.48, 0.16]]), torch.tensor([[1 / 3] * 3])
    for name, published in (("KLDivergence", 0.0853), ("JensenShannonDivergence", 0.0225)):
        _, theirs, ours = metrics[name]
        held.number(f"{name}, documentation", lambda f=ours: f(p, q), published, atol=5e-5)
        held.number(
            f"{name}, documentation", lambda f=ours: f(p, q), None, lambda f=theirs: f(p, q)
        )
    p, q = (
        torch.tensor([[x, 1 - x] for x in firsts]) for firsts in ((0.1, 0.2, 0.3), (0.3, 0.4, 0.5))
    )
    held.number(
        "JensenShannonDivergence, documentation of the class",
        lambda: jensen_shannon_divergence(p, q),
        0.0259,
        atol=5e-5,
    )
    torch.manual_seed(42)
    preds, target = torch.rand(2, 8, 5), torch.randint(5, (2, 8))
    target[0, 6:] = -100
    held.number(
        "Perplexity, documentation", lambda: perplexity(preds, target, -100), 5.8540, atol=5e-5
    )

    # The random rows of its tests: 4 batches of 32 rows of 3, each batch an update.
    torch.manual_seed(42)
    probabilities = torch.rand(2, 4, 32, 3, dtype=torch.float64)
    logarithms = torch.rand(2, 4, 32, 3, dtype=torch.float64).log_softmax(-1)
    for name, (metric, _, ours) in metrics.items():
        for log_prob, both in ((False, probabilities), (True, logarithms)):
            for dtype in (torch.float32, torch.float64):
                for reduction in ("mean", "sum", "none"):
                    p, q = both.to(dtype)

                    def updated(p: Any = p, q: Any = q, metric: Any = metric, **how: Any) -> Any:
                        total = metric(**how).set_dtype(p.dtype)
                        for batch in zip(p, q, strict=True):
                            total.update(*batch)
                        return total.compute()

                    how: dict[str, Any] = {"log_prob": log_prob, "reduction": reduction}
                    rows = (p.reshape(-1, 3), q.reshape(-1, 3))
                    held.number(
                        f"{name}, random {dtype}, log_prob={log_prob}, {reduction}".replace(
                            "torch.", ""
                        ),
                        lambda f=ours, rows=rows, how=how: f(*rows, **how),
                        None,
                        lambda f=updated, how=how: f(**how),
                        **({"rtol": 1e-12, "atol": 1e-15} if dtype == torch.float64 else {}),
                    )
    torch.manual_seed(1)
    preds = torch.rand(4, 32, 3, 5, dtype=torch.float64)
    target = torch.randint(5, (4, 32, 3))
    masked = target.clone()
    masked[:, 0, 1:] = masked[:, 31, :] = -100
    for dtype in (torch.float16, torch.float32, torch.float64):
        for labels, ignore in ((target, None), (masked, -100)):
            rows = preds.to(dtype)

            def all_batches(rows: Any = rows, labels: Any = labels, ignore: Any = ignore) -> Any:
                metric = Perplexity(ignore_index=ignore)
                for batch in zip(rows.float(), labels, strict=True):
                    metric.update(*batch)
                return metric.compute()

            held.number(
                f"Perplexity, random {dtype}, ignore_index={ignore}".replace("torch.", ""),
                lambda rows=rows, labels=labels, ignore=ignore: perplexity(rows, labels, ignore),
                None,
                all_batches,
            )

    # Zeros.
    hot = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    soft = torch.randn(3, 3).softmax(-1)
    for name, (_, theirs, ours) in metrics.items():
        held.number(
            f"{name}, zeros in P",
            lambda f=ours: f(hot, soft),
            None,
            lambda f=theirs: f(hot, soft),
        )
    p, q = torch.tensor([[0.3, 0.3, 0.4]]), torch.tensor([[0.5, 0.5, 0.0]])
    held.number(
        "KLDivergence, a zero in Q", lambda: kl_divergence(p, q), np.inf,
        lambda: regression.kl_divergence(p, q),
    )  # fmt: skip
    p = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    for name, q in (
        ("KLDivergence", torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.1, 0.4, 0.5]])),
        (
            "JensenShannonDivergence",
            torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.1, 0.4, 0.5]]),
        ),
    ):
        _, theirs, ours = metrics[name]
        for reduction in ("mean", "sum", "none"):
            # Published: what the same rows give as probabilities.
            held.number(
                f"{name}, logarithms of zeros, {reduction}",
                lambda f=ours, q=q, r=reduction: f(p.log(), q.log(), log_prob=True, reduction=r),
                theirs(p, q, reduction=reduction).numpy(),
                lambda f=theirs, q=q, r=reduction: f(p.log(), q.log(), log_prob=True, reduction=r),
            )
    p, q = torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.0, 1.0]]).log()
    held.number(
        "KLDivergence, logarithms without an outcome in common",
        lambda: kl_divergence(p, q, log_prob=True),
        np.inf,
        lambda: regression.kl_divergence(p, q, log_prob=True),
    )
    far = torch.tensor([[0.0, -1000.0]])
    held.number(
        "KLDivergence, logarithms that underflow",
        lambda: kl_divergence(far, far.flip(1), log_prob=True),
        1000.0,
        lambda: regression.kl_divergence(far, far.flip(1), log_prob=True),
    )
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        size = 20.0 if dtype == torch.float16 else 500.0
        preds = torch.tensor([size, -size], dtype=dtype).expand(2, 10, 2).contiguous()
        target = torch.zeros(2, 10, dtype=torch.long)
        target[-1, -1] = 1
        for ignore in (None, -100):
            labels = target.clone()
            if ignore is not None:
                labels[0, :2] = ignore
            # Published: the exponential of torch's mean cross entropy, here in float64.
            expected = cross_entropy(preds.double().reshape(-1, 2), labels.reshape(-1)).exp()
            held.number(
                f"Perplexity, extreme {dtype} logits, ignore_index={ignore}".replace("torch.", ""),
                lambda preds=preds, labels=labels, ignore=ignore: perplexity(preds, labels, ignore),
                expected.item(),
                lambda preds=preds, labels=labels, ignore=ignore: text.perplexity(
                    preds, labels, ignore
                ).double(),
            )
    nowhere = torch.tensor([[[float("nan")] * 2, [0.0, 0.0]]])
    held.number(
        "Perplexity, ignored logits that are NaN",
        lambda: perplexity(nowhere, torch.tensor([[-100, 0]]), -100),
        2.0,
        lambda: text.perplexity(nowhere, torch.tensor([[-100, 0]]), -100),
    )

    # Errors.
    for name, (_, _, ours) in metrics.items():
        held.error(
            f"{name}, shapes that differ",
            (RuntimeError, ValueError),
            lambda f=ours: f(torch.rand(100), torch.rand(50)),
        )
        held.error(
            f"{name}, three dimensions",
            ValueError,
            lambda f=ours: f(torch.rand(10, 20, 5), torch.rand(10, 20, 5)),
        )
    for label in (-1, 2):
        held.error(
            f"Perplexity, label {label} of 2",
            (IndexError, RuntimeError),
            lambda label=label: fd.perplexity(torch.zeros(1, 1, 2), torch.tensor([[label]])),
        )
    return held.outcomes


# --- the page -------------------------------------------------------------------------------------

PACKAGES: dict[str, Callable[[], list[Outcome]]] = {
    "SciPy": scipy_cases,
    "torchmetrics": torchmetrics_cases,
}

HEAD = """\
# The peers' own test cases

Written by `python benchmarks/peers_own_cases.py`, no line by hand; it fails where a case differs
that has no reason below, and where one with a reason agrees.

{held}.

SciPy's cases are the test modules of the installed SciPy, run with its functions replaced by thin
adapters to fastdiv's while a test runs. torchmetrics ships no tests: the inputs and numbers that it
publishes stand in the script, and the installed package is asked as well.

## Conventions that the adapters translate

| what | there | here |
| --- | --- | --- |
"""


def reason(name: str) -> tuple[str, str] | None:
    return next(
        (why for case, why in DIFFERENCES.items() if fnmatchcase(name, _literal(case))), None
    )


def _literal(case: str) -> str:
    """Brackets are not wild cards here."""
    return case.replace("[", "[[]")


def wrong(outcomes: list[Outcome]) -> list[str]:
    """Differences without a reason, and reasons that a case which ran does not need."""
    found = [
        f"{o['name']}: {o['said']}" for o in outcomes if not (o["agrees"] or reason(o["name"]))
    ]
    return found + [
        f"{o['name']} agrees now and is listed as differing"
        for o in outcomes
        if o["agrees"] and reason(o["name"])
    ]


def _cell(text: str, most: int = 160) -> str:
    text = text.replace("|", "\\|").replace(str(Path.home()), "~")
    return text if len(text) <= most else text[: most - 1] + "…"


def page(outcomes: list[Outcome], versions: dict[str, str]) -> str:
    held = "; ".join(
        f"{package} {version}: {sum(o['agrees'] for o in some)} of {len(some)} cases agree"
        for package, version in versions.items()
        for some in [[o for o in outcomes if o["package"] == package]]
    )
    lines = [HEAD.format(held=held).rstrip()]
    lines += [f"| {what} | {there} | {here} |" for what, (there, here) in CONVENTIONS.items()]
    lines += ["", "## Cases that differ", "", "| case | kind | why | what was said |"]
    lines += ["| --- | --- | --- | --- |"]
    for o in outcomes:
        if not o["agrees"]:
            kind, why = reason(o["name"]) or ("**unexplained**", "")
            lines.append(f"| {_cell(o['name'])} | {kind} | {why} | {_cell(o['said'])} |")
    for package in versions:
        lines += ["", f"## Cases of {package} that agree", ""]
        lines += [f"- {o['name']}" for o in outcomes if o["agrees"] and o["package"] == package]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold fastdiv to the test cases of its peers.")
    parser.add_argument("--json", type=Path, help="write the outcomes there, and no page")
    parser.add_argument("--only", choices=PACKAGES, help="the cases of one package")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    versions = {}
    for package, cases in PACKAGES.items():
        if arguments.only not in (None, package):
            continue
        try:
            import_module(package.lower())
        except ModuleNotFoundError:
            print(f"{package} is not installed: its cases are left out", file=sys.stderr)
            continue
        versions[package] = metadata.version(package.lower())
        outcomes += cases()
    if arguments.json:
        arguments.json.write_text(json.dumps(outcomes))
    else:
        place = ROOT / "docs" / "peers_own_cases.md"
        place.write_text(page(outcomes, versions), encoding="utf-8")
    found = wrong(outcomes)
    for line in found:
        print(line[:500], file=sys.stderr)
    return 1 if found or not outcomes else 0


if __name__ == "__main__":
    raise SystemExit(main())
