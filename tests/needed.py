"""Programs that tests need and a machine may lack: without one its tests are skipped.

But not under FASTDIV_NEEDS_ALL=1 (`conftest.py`): there they fail.
"""

from __future__ import annotations

import os
import shutil

import pytest

NEEDS_ALL = os.environ.get("FASTDIV_NEEDS_ALL") == "1"


def program(*names: str) -> str:
    """The path of the first of them that is installed."""
    for name in names:
        if path := shutil.which(name):
            return path
    absent = f"{' or '.join(names)} is not installed"
    if NEEDS_ALL:
        pytest.fail(f"{absent}, and FASTDIV_NEEDS_ALL is 1")
    pytest.skip(absent)


def needs(name: str) -> pytest.MarkDecorator:
    """The mark of a test that runs a program; where it must not be skipped it fails at that."""
    absent = not NEEDS_ALL and shutil.which(name) is None
    return pytest.mark.skipif(absent, reason=f"{name} is not installed")
