"""Packages that only a part of the house needs, imported where it does."""

from importlib import import_module
from typing import Any

__all__ = ["scipy_module"]


def scipy_module(function: str, name: str) -> Any:
    """Return a module of SciPy's; ModuleNotFoundError that says how to get it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{function} needs SciPy: pip install "fastdiv[scipy]"', name="scipy"
        ) from error
