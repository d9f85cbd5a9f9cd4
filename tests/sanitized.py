"""What a test must know of ``make sanitize``, which preloads AddressSanitizer for Python."""

from __future__ import annotations

import os

import pytest

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
# For programs that are compiled here, and bring a runtime of their own.
PLAIN = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
needs_plain_malloc = pytest.mark.skipif(
    SANITIZED, reason="AddressSanitizer has another malloc, whose locks a fork may find taken"
)
