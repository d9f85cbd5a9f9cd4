"""The compiled core, imported first: it refuses an environment that says what is not there.

Who imports the package gets the ImportError; whoever runs the command reads it in one line. The
command itself cannot see to that, because it is imported after the package.
"""

import os
import sys

__all__: list[str] = []


def _is_command() -> bool:
    """Tell whether this process is the command line, not a program that imports fastdiv."""
    if sys.argv[:1] == ["-m"]:
        # So it is while `python -m` still looks for the module that it was told.
        place = sys.orig_argv.index("-m") + 1 if "-m" in sys.orig_argv else 0
        return sys.orig_argv[place : place + 1] in (["fastdiv"], ["fastdiv.cli"])
    return os.path.basename(sys.argv[0] if sys.argv else "") in ("fastdiv", "fastdiv.exe")


try:
    from fastdiv import _core  # noqa: F401
except ImportError as error:
    if not (str(error).startswith("FASTDIV_") and _is_command()):
        raise
    print(f"fastdiv: {error}", file=sys.stderr)
    sys.exit(2)
