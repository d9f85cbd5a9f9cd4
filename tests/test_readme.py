"""README's examples and commands print what it says."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastdiv.data import sample_paths

README = Path(__file__).parents[1] / "README.md"
# The commands that are not run, and why; any other is.
NOT_RUN = {
    ".venv/bin/pytest": "the suite, of which this is a part",
    "fastdiv compare base.kld candidate.npy --tail llama.cpp | head -22": (
        "of 126 tokens of files that the package does not carry"
    ),
}
# The one whose first parts install the package; its last part prints the block of text below it.
INSTALLS = 'python3 -m venv .venv && .venv/bin/pip install ".[cli,test]" && .venv/bin/fastdiv demo'


def blocks(kind: str) -> list[str]:
    if not README.exists():
        pytest.skip("README.md is not beside the tests")
    return re.findall(rf"```{kind}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def transcript(block: str) -> list[tuple[str, str]]:
    """Return each command of a console block and what it prints."""
    before, *commands = re.split(r"^\$ ", block, flags=re.MULTILINE)
    assert not before, "a console block begins with a command"
    return [(command, said) for command, _, said in (x.partition("\n") for x in commands)]


def printed(commands: list[str], here: Path) -> str:
    """Return what a shell prints for commands one after the other, to either stream."""
    script = f'fastdiv() {{ {shlex.quote(sys.executable)} -m fastdiv "$@"; }}\n'
    # Lines are as wide as where there is no terminal, and it is no terminal that has colours.
    kept = {name: x for name, x in os.environ.items() if not name.endswith("_COLOR")}
    done = subprocess.run(
        ["sh", "-c", script + "\n".join(commands)],
        cwd=here,
        env={**kept, "COLUMNS": "80", "TERM": "dumb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.stdout


def test_every_block_is_of_a_kind_that_is_tested():
    kinds = [len(blocks(kind)) for kind in ("python", "console", "text")]
    assert kinds[2] == 1
    assert sum(kinds) == len(re.findall(r"^ *```", README.read_text("utf-8"), re.MULTILINE)) / 2


def test_examples():
    found = blocks("python")
    assert len(found) >= 5
    source = "\n".join(found)
    test = doctest.DocTestParser().get_doctest(source, {}, "README.md", str(README), 0)
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.attempted > 20
    assert result.failed == 0


def test_commands(tmp_path):
    """They run in README's order and one directory: files are those of earlier commands.

    Their output is compared as it is, to the last digit; no command of README prints a time or
    shows its progress, which are for terminals.
    """
    for path in sample_paths():
        shutil.copy(path, tmp_path)
    left_out = []
    for block in blocks("console"):
        said = [x for x in transcript(block) if x[0] != INSTALLS and x[0] not in NOT_RUN]
        left_out += [command for command, _ in transcript(block) if command in NOT_RUN]
        assert all(re.match(r"fastdiv |echo \$\?$", command) for command, _ in said)
        assert printed([x for x, _ in said], tmp_path) == "".join(x for _, x in said)
    assert sorted(left_out) == sorted(NOT_RUN)


def test_demo(tmp_path):
    commands = [x for block in blocks("console") for x in transcript(block)]
    assert (INSTALLS, "") in commands
    (said,) = blocks("text")
    assert printed([INSTALLS.rpartition(" && .venv/bin/")[2]], tmp_path) == said
