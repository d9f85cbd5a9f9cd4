"""The page of the contract: it is what tests/contract.py says, and what its tests saw."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import needed
import pytest
from contract import INTRODUCTION, PROMISES, Kept

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "contract.md"

REPORTING = """
import pytest
pytestmark = pytest.mark.promise("P1")
@pytest.mark.parametrize("figure, bound", [(0.5, 1), (1, 1), (2, None), (0, 0)])
def test_within(worst, figure, bound):
    worst(figure, f"of {bound}", bound)
@pytest.mark.parametrize("figure, bound", [(1.5, 1), (float("nan"), 1), (3, 0)])
def test_beyond(worst, figure, bound):
    worst(figure, "beyond", bound)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[str, str]:
    """What pytest says of a file of tests with figures, and the page it writes."""
    place = tmp_path_factory.mktemp("contract")
    (place / "test_figures.py").write_text(REPORTING)
    options = ["-q", "-p", "contract", "-p", "no:cacheprovider", "-o", "markers=promise: one"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--contract", "page.md", "test_figures.py"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout, (place / "page.md").read_text("utf-8")


def test_a_figure_beyond_its_bound_fails(run):
    said, page = run
    assert "3 failed, 4 passed" in said
    assert "1.5 beyond, at most 1" in said
    assert "3 failed, 4 passed" in page
    assert "| P1 | beyond | 3 | 0 |" in page


@pytest.mark.parametrize(
    ("figures", "nearest"),
    [
        ({"a": (3.0, 0.0), "b": (0.9, 1.0)}, "3 a (≤ 0)"),
        ({"a": (0.0, 0.0), "b": (0.1, 1.0), "c": (50.0, None)}, "0.1 b (≤ 1)"),
        ({"c": (50.0, None), "a": (0.0, 0.0)}, "0 a (≤ 0)"),
    ],
)
def test_nearest(figures, nearest):
    assert Kept(figures=figures).nearest() == nearest


def rows_of(page: str) -> dict[str, str]:
    assert page.startswith(INTRODUCTION)
    rows = dict(re.findall(r"^\| (P\d+) \| (.+)$", page.partition("## Worst")[0], re.MULTILINE))
    assert list(rows) == list(PROMISES)
    for name, promise in PROMISES.items():
        assert rows[name].startswith(f"{promise} | "), name
        assert "|" not in promise, name
    return rows


def test_a_page_has_the_promises(run):
    assert "test_figures.py" in rows_of(run[1])["P1"]


def test_the_page_is_current():
    """Its promises, and the files with their tests, where it is; the figures are its run's."""
    if not PAGE.exists():
        return
    rows = rows_of(PAGE.read_text("utf-8"))
    sources = {path: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
    del sources[Path(__file__)]
    for name in PROMISES:
        files = {
            path.relative_to(TESTS.parent).as_posix()
            for path, source in sources.items()
            if "mark.promise(" in source and f'"{name}"' in source
        }
        assert set(re.findall(r"\]\(\.\./(.+?)\)", rows[name])) == files, name


@pytest.mark.parametrize(("asked", "ends"), [(False, pytest.skip), (True, pytest.fail)])
def test_a_program_that_is_not_installed(monkeypatch, asked, ends):
    monkeypatch.setattr(needed, "NEEDS_ALL", asked)
    assert needed.needs("no-such-program").args == (not asked,)
    with pytest.raises(ends.Exception, match="no-such-program or none-such is not installed"):
        needed.program("no-such-program", "none-such")
    assert Path(needed.program("no-such-program", "sh")).name == "sh"
