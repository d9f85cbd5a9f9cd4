"""File formats to blocks of rows. This floor knows nothing of what is computed from them.

Examples
--------
>>> import tempfile, pathlib
>>> import numpy as np
>>> path = pathlib.Path(tempfile.mkdtemp(), "logits.npy")
>>> np.save(path, np.zeros((5, 8), np.float32))
>>> reader = open_logits(path)
>>> reader.rows, reader.vocab
(5, 8)
>>> [block.values.shape for block in reader.blocks(2)]
[(2, 8), (2, 8), (1, 8)]
"""

from fastdiv.io.llama_cpp import LlamaCppReader, write_llama_cpp
from fastdiv.io.logprobs import LogprobsReader, open_logprobs
from fastdiv.io.names import TokenNames
from fastdiv.io.npy import NpyReader, read_labels
from fastdiv.io.opening import open_any, open_logits, rows_per_block
from fastdiv.io.rows import (
    FileFormatError,
    LogitsReader,
    RowBlock,
    printable_path,
)
from fastdiv.io.saving import format_of, save_logits, write_tokens_table
from fastdiv.io.store import StoreReader, write_store

__all__ = [
    "FileFormatError",
    "LlamaCppReader",
    "LogitsReader",
    "LogprobsReader",
    "NpyReader",
    "RowBlock",
    "StoreReader",
    "TokenNames",
    "format_of",
    "open_any",
    "open_logits",
    "open_logprobs",
    "printable_path",
    "read_labels",
    "rows_per_block",
    "save_logits",
    "write_llama_cpp",
    "write_store",
    "write_tokens_table",
]
