"""The ``fastdiv`` command: this module turns what may go wrong into one line and an exit code.

0 done, 1 a limit of the user's was crossed, 2 bad usage or bad input, 130 interrupted. Below it,
only a progress bar goes to standard error.
"""

import os
import sys

__all__ = ["main"]

_BAD_INPUT = 2
_INTERRUPTED = 130
_READER_LEFT = 141


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        import rich  # noqa: F401
        import typer
    except ModuleNotFoundError:
        return _fail('the command line needs more packages: pip install "fastdiv[cli]"')
    try:
        return _run(sys.argv[1:] or ["--help"])
    except BrokenPipeError:
        _give_up_output()
        return _READER_LEFT
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        if isinstance(error, OSError) and error.filename is None:
            _give_up_output()
        return _fail(reason)


def _give_up_output() -> None:
    """Let the interpreter's last flush, whose failure would change the exit code, succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    from fastdiv.cli.answer import Answer
    from fastdiv.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a sign shows another one, rather than no report.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    outcome = app(arguments, standalone_mode=False)
    if isinstance(outcome, Answer):
        outcome.write()
        if outcome.complaints:
            _say("; ".join(outcome.complaints))
        return outcome.code
    return outcome if isinstance(outcome, int) else 0


def _reason(error: Exception) -> str | None:
    """Return what to tell the user; None if the error is no fault of theirs."""
    from fastdiv.io import FileFormatError, printable_path

    if isinstance(error, FileFormatError):
        return str(error)
    if isinstance(error, OSError):
        name = "standard output" if error.filename is None else printable_path(error.filename)
        return f"{name}: {error.strerror or error}"
    if isinstance(error, ModuleNotFoundError) and "pip install" in str(error):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    # Usage errors are click's, or of typer's copy of it; versions share no class, but this method.
    describe = getattr(error, "format_message", None)
    return None if describe is None else str(describe())


def _fail(reason: str) -> int:
    _say(reason)
    return _BAD_INPUT


def _say(reason: str) -> None:
    print("fastdiv:", " ".join(reason.split()), file=sys.stderr)
