"""``python -m fastdiv``: the command line."""

import sys

from fastdiv.cli import main

if __name__ == "__main__":
    sys.exit(main())
