"""A tensor that ``torch.save`` wrote. Nothing is unpickled but what ``weights_only`` allows.

torch maps the file; its pages count as resident memory of the process once they have been read,
until the system wants them back.
"""

import os
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fastdiv.io.arrays import Key, choose, is_logits, rows_and_vocab, value_type
from fastdiv.io.rows import FileFormatError, FilePath, RowBlock, checked_labels, file_size

__all__ = ["TorchReader"]


class TorchReader:
    """Logits in a ``.pt`` file: a tensor, or a dict that holds it.

    Parameters
    ----------
    path : path-like
        Written by ``torch.save`` in its present (zip) form; the tensor in C order.
    key : str, optional
        Which tensor of a dict; by default the only one that may be logits. One called ``labels``
        is taken for the labels.
    dtype : "bfloat16", optional
        Says that uint16 values are raw bfloat16 bits; changes nothing for others.

    Raises
    ------
    FileFormatError
        Anything wrong with the file or what it holds.
    ModuleNotFoundError
        torch is not installed.
    """

    has_floor: ClassVar[bool] = False

    def __init__(
        self, path: FilePath, *, key: Key = None, dtype: Literal["bfloat16"] | None = None
    ) -> None:
        file_size(path)
        content = _load(path)
        tensors = content if isinstance(content, dict) else {"": content}
        arrays = {
            name: _as_array(path, name, tensor)
            for name, tensor in tensors.items()
            if isinstance(name, str) and hasattr(tensor, "untyped_storage")
        }
        if not isinstance(content, dict) and key is not None:
            raise FileFormatError(path, f"holds one tensor without a name; key = {key!r}")
        chosen = choose(path, arrays, key, lambda name: is_logits(*_kind(arrays[name]), dtype))
        if len(chosen) != 1:
            raise FileFormatError(path, f"has its logits in {len(chosen)} tensors; one is read")
        array = arrays[chosen[0]]
        self._path = path
        stored, self.dtype = value_type(path, array.dtype, dtype)
        self.rows, self.vocab = rows_and_vocab(path, array.shape)
        self._values = array.view(stored).reshape(self.rows, self.vocab)
        self.row_bytes = self.vocab * stored.itemsize
        labels = arrays.get("labels")
        self.labels: NDArray[np.int64] | None = (
            None
            if labels is None
            else checked_labels(path, labels, rows=self.rows, vocab=self.vocab)
        )

    def blocks(self, rows_per_block: int) -> Iterator[RowBlock]:
        """Yield all rows in order, `rows_per_block` at a time; only the last may have fewer."""
        for start in range(0, self.rows, rows_per_block):
            stop = start + rows_per_block
            labels = None if self.labels is None else self.labels[start:stop]
            yield RowBlock(start, self._values[start:stop], None, labels)


def _kind(array: NDArray[np.generic]) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    return array.dtype, array.shape


def _load(path: FilePath) -> Any:
    try:
        import torch
    except ImportError:
        raise ModuleNotFoundError(
            'torch files take torch: pip install "fastdiv[torch]"', name="torch"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(os.fsdecode(path), weights_only=True, mmap=True, map_location="cpu")
    # What a hostile pickle makes torch raise is anybody's guess.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise FileFormatError(path, f"is nothing that torch loads safely: {reason}") from None


def _as_array(path: FilePath, name: str, tensor: Any) -> NDArray[np.generic]:
    import torch

    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise FileFormatError(path, f"tensor {name!r} is {tensor.layout} on {tensor.device}")
    if not tensor.is_contiguous():
        raise FileFormatError(path, f"tensor {name!r} is not in C order; save tensor.contiguous()")
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.int16).numpy().view("V2"))
    try:
        return np.asarray(tensor.numpy())
    except TypeError:
        raise FileFormatError(path, f"tensor {name!r} holds {tensor.dtype}") from None
