"""The version, where the build can read it without importing the compiled core."""

__version__ = "0.1.0"
