"""How a run ends: with which code, and which one line says why."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastdiv.cli.answer import BAD_INPUT, CROSSED
from fastdiv.cli.sources import Faults
from fastdiv.cli.thresholds import Threshold

__all__ = ["ending", "invalid_member", "invalid_text"]


def ending(
    faults: Faults,
    thresholds: Sequence[Threshold],
    reports: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    allow_invalid: bool,
) -> tuple[int, list[str]]:
    """Return the exit code and the reasons for it: invalid rows weigh more than limits."""
    reasons = []
    code = 0
    for name, report in reports:
        who = name if len(reports) > 1 else ""
        crossed = [threshold.crossed(report, who) for threshold in thresholds]
        reasons += [reason for reason in crossed if reason]
    if reasons:
        code = CROSSED
    if faults and not allow_invalid:
        code = BAD_INPUT
        reasons = [*faults.reasons(), *reasons]
    return code, reasons


def invalid_member(report: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """Return a report whose member ``invalid`` says why."""
    found = dict(report)
    found["invalid"] = {**found["invalid"], "files": faults.to_list()}
    return found


def invalid_text(faults: Faults) -> list[str]:
    """Return what a terminal is told of rows that are no distribution."""
    if not faults:
        return []
    rows = "1 row is" if faults.rows == 1 else f"{faults.rows:,} rows are"
    return [f"\n{rows} no distribution, and in no figure above:", *faults.lines()]
