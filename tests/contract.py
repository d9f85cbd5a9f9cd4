"""The contract as a page: what the tests marked ``promise`` found, written by ``make contract``.

Part of ``conftest.py``. A test says which promise it checks with ``@pytest.mark.promise("P7")``,
and reports the worst that it saw with the fixture `worst`. ``pytest --promise P7`` runs the tests
of one promise, and ``--contract FILE`` writes the page.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import fastdiv as fd

PROMISES = {
    "P1": "Elementary functions of the kernels: exp, log, log1p, ψ are within 1 ulp. All 65,536 "
    "float16 and bfloat16 inputs and float32's densely, all 2³² of them in `make contract-slow`, "
    "of which each function has those it is called with; float64 on random and hard cases. "
    "log1p is needed once a row, so there is one, of float64 (`scalar_log1p`). Every polynomial is "
    "within the error beside it in `src_c/coefficients.h`.",
    "P2": "Divergences of numbers as given (`normalize=False`), at any closeness: relative error "
    "≤ 16u against 50 digits. Perturbations 1…1e-13, lengths 2…262,144. Rényi's and "
    "Bhattacharyya's, D = log(1+y)/c with c = α−1 or −1, have the condition of that logarithm as "
    "a factor: 16u·max(1, (1−e^(−cD))/(cD)). Entropies as given, whose terms change sign, are "
    "within 16u of the sum of the terms' sizes.",
    "P3": "Divergences of normalised rows: ≤ 16u(1+√(2/KL)), row sums 0.1…1e6; the total variation "
    "from 3e-17 on, below which it is within 2⁻¹⁰⁴.",
    "P4": "From float16, bfloat16, float32 logits: NLL, entropy, and KL ≥ 1e-12 within 1e-6; "
    "other divergences, and smaller KL, 16u(1+√(2/KL)), the total variation 16u(1+1/TV). "
    "From float64 logits, the largest of size A, 16u(1+A·√(2/KL)), the total variation from 3e-17 "
    "on, below which it is within 2⁻¹⁰⁴; NLL and entropy 16u(1+A·min(1, √(2/x))) of their own "
    "value x. Vocabularies to 262,144, shifts to 1e4, masks.",
    "P5": "Sign and range: ≥ +0, exactly 0 for equal rows; of normalised rows and logits "
    "JS ≤ ln 2, TV and H² ≤ 1, on ≥ 10⁵ generated cases, far, near, sparse and disjoint. "
    "Entropies of numbers as given, and Rényi's divergences of orders below 0, have the other sign "
    "where they should.",
    "P6": "KL of Gaussians, at any closeness: ≤ 2k·u·cond(L₁) from factors, ≤ 2k·u·cond(Σ₁) from "
    "covariances, or cond(Σ₀) if that is more, as log det Σ₀ has it; for k < 4, one variable "
    "included, as if k were 4. Tested for k of 1 to 5, 8 and 20, perturbations "
    "1…1e-12, variances e^-1.5 to e^1.5 apart, conditions 1…1e6 of Σ₁ and 1…1e10 of Σ₀.",
    "P7": "The bits of a row's result depend on that row, its dtype, the parameters and the "
    "version alone: not on batch, position, threads, alignment, strides, or the instruction set. "
    "0 differences in ≥ 10⁴ rows.",
    "P8": "Memory: nothing outside the arrays is read or written; a wrong label raises before any "
    "result is written. 0 reports.",
    "P9": "The floating-point environment is saved, set and put back: the same bits under "
    "flush-to-zero and in every rounding mode.",
    "P10": "Threads: safe without the GIL; no data race is reported.",
    "P11": "Process: safe to fork; Ctrl-C within 100 ms (what comes later is tried "
    "again, four times: a busy machine lets processes wait); MemoryError, never an abort, "
    "whichever allocation of the extensions' own code fails (Python's and NumPy's for them are "
    "theirs); no reference leaks.",
}
INTRODUCTION = """\
# The contract

What fastdiv promises of its numbers, each promise with the tests that would notice if it were
broken. This page is written by `make contract`, which runs those tests: the figures are what that
run saw. u is 2⁻²⁴ for float16, bfloat16 and float32 input and 2⁻⁵³ for float64; an ulp is the
distance of the two numbers of the result's type around the exact result. References are computed
with mpmath in 50 digits, or with pairs of doubles (`tests/double_double.py`), which are themselves
checked against mpmath.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("contract")
    group.addoption("--promise", metavar="P7", help="only the tests of one promise")
    group.addoption("--contract", metavar="FILE", type=Path, help="write the page of the contract")
    group.addoption("--exhaustive", action="store_true", help="also tests that take many minutes")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.promise not in (None, *PROMISES):
        raise pytest.UsageError(f"--promise {config.option.promise}: one of {', '.join(PROMISES)}")
    if config.option.contract and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Page(config.option.contract), "contract-page")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for; reports carry the promise, from other processes too."""
    wanted, left = [], []
    for item in items:
        names = {name for mark in item.iter_markers("promise") for name in mark.args}
        if names - set(PROMISES):
            raise pytest.UsageError(f"{item.nodeid}: no such promise: {names - set(PROMISES)}")
        item.user_properties += [("promise", name) for name in sorted(names)]
        out = config.option.promise and config.option.promise not in names
        out = out or (item.get_closest_marker("exhaustive") and not config.option.exhaustive)
        (left if out else wanted).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = wanted


@pytest.fixture
def worst(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Report the worst figure that a test saw, of what, and its bound: for the contract's page.

    A figure beyond its bound fails the test, by the hook below.
    """

    def report(figure: float, of: str, bound: float | None = None) -> None:
        allowed = None if bound is None else float(bound)
        request.node.user_properties.append(("worst", (float(figure), of, allowed)))

    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """After the test, whose own assertion says more where it fails too."""
    yield
    for name, value in item.user_properties:
        if name == "worst":
            figure, of, bound = value
            assert bound is None or figure <= bound, f"{number(figure)} {of}, at most {bound:g}"


@dataclass
class Kept:
    """What the tests of one promise found."""

    files: set[str] = field(default_factory=set)
    outcomes: dict[str, int] = field(default_factory=dict)
    figures: dict[str, tuple[float, float | None]] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        self.files.add(report.nodeid.partition("::")[0])
        self.outcomes[report.outcome] = self.outcomes.get(report.outcome, 0) + 1
        for name, value in report.user_properties:
            if name == "worst":
                figure, of, bound = value
                before = self.figures.get(of, (-math.inf, None))[0]
                self.figures[of] = (max(figure, before), bound)

    def nearest(self) -> str:
        """Give the figure that is nearest its bound."""
        if not self.figures:
            return "no difference" if set(self.outcomes) == {"passed"} else ""
        of, (figure, bound) = max(self.figures.items(), key=lambda x: nearness(*x[1]))
        return f"{number(figure)} {of}" + ("" if bound is None else f" (≤ {number(bound)})")

    def tests(self) -> str:
        return ", ".join(f"{count:,} {name}" for name, count in sorted(self.outcomes.items()))


def nearness(figure: float, bound: float | None) -> float:
    """From 0 to 1 within the bound; whatever has a bound comes before what has none."""
    if bound is None:
        return -math.inf
    return figure / bound if bound else math.inf if figure > 0 else 0.0


def number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) < 1e7 and x == int(x) else f"{x:.3g}"


class Page:
    """Collects the reports of all processes and writes the page at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept = {name: Kept() for name in PROMISES}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            for name, value in report.user_properties:
                if name == "promise":
                    self.kept[value].add(report)

    def pytest_sessionfinish(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in self.lines()), "utf-8")

    def lines(self) -> list[str]:
        rows = [
            "| # | promise | tests | command | nearest its bound |",
            "|---|---|---|---|---|",
        ]
        for name, promise in PROMISES.items():
            kept = self.kept[name]
            files = ", ".join(f"[{Path(file).name}](../{file})" for file in sorted(kept.files))
            tests = f"{files}: {kept.tests()}" if files else "none in this run"
            command = f"`pytest --promise {name}`" if files else ""
            rows.append(f"| {name} | {promise} | {tests} | {command} | {kept.nearest()} |")
        figures = ["| # | what | worst | bound |", "|---|---|---|---|"]
        figures += [
            f"| {name} | {of} | {number(figure)} | {'' if bound is None else number(bound)} |"
            for name, kept in self.kept.items()
            for of, (figure, bound) in sorted(kept.figures.items())
        ]
        where = f"Version {fd.__version__}; instruction sets {', '.join(fd.available_isas())}."
        text = [INTRODUCTION.rstrip(), "", where, "", *rows, "", "## Worst figures", "", *figures]
        return list(itertools.chain(text))
