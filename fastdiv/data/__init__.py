"""A small real pair of language models, for ``fastdiv demo``; README.md beside it says which."""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

__all__ = ["SAMPLE", "SamplePaths", "sample_paths"]

#: What the sample is, in one line.
SAMPLE = "SmolLM2-135M-Instruct: Q4_1 (base) against Q3_K_S (Q), 12 tokens of a text"


class SamplePaths(NamedTuple):
    """Files of the embedded sample.

    Attributes
    ----------
    base, candidate : Path
        float16 logits, (12, 49152).
    labels : Path
        The token that each row predicts, int32, (12,).
    """

    base: Path
    candidate: Path
    labels: Path


def sample_paths() -> SamplePaths:
    """Return where the embedded sample lies.

    Examples
    --------
    >>> import numpy as np
    >>> paths = sample_paths()
    >>> np.load(paths.base, mmap_mode="r").shape, np.load(paths.labels).size
    ((12, 49152), 12)
    """
    here = files(__name__)
    names = (f"{name}.npy" for name in SamplePaths._fields)
    return SamplePaths(*(Path(str(here.joinpath(name))) for name in names))
