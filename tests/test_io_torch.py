"""Tensors that torch saved."""

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from test_io_containers import check_blocks

from fastdiv.io import FileFormatError, open_logits

torch = pytest.importorskip("torch", reason="torch is not installed")
RNG = np.random.default_rng(17)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("shape", [(7, 5), (2, 4, 3)])
def test_values(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = RNG.normal(size=shape).astype(np.float32)
    logits = torch.tensor(array).to(getattr(torch, dtype))
    torch.save(logits, tmp_path / "a")
    expected = array.reshape(-1, shape[-1])
    if dtype == "bfloat16":
        expected = expected.astype(ml_dtypes.bfloat16).view(np.uint16)
        assert open_logits(tmp_path / "a").dtype == "bfloat16"
    else:
        expected = expected.astype(dtype)
    check_blocks(tmp_path / "a", expected)


def test_dict(tmp_path: Path) -> None:
    a, b = RNG.normal(size=(2, 4, 3))
    labels = torch.tensor([0, 1, 2, -100])
    content = {"a": torch.tensor(a), "labels": labels, "note": "text", 3: 4}
    torch.save(content, tmp_path / "x")
    check_blocks(tmp_path / "x", a)
    reader = open_logits(tmp_path / "x")
    assert reader.labels is not None
    assert reader.labels.tolist() == [0, 1, 2, -100]
    torch.save(content | {"b": torch.tensor(b)}, tmp_path / "x")
    with pytest.raises(FileFormatError, match="several arrays: 'a', 'b'"):
        open_logits(tmp_path / "x")
    check_blocks(tmp_path / "x", b, key="b")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda t: t.zeros(3), "no array of logits"),
        (lambda t: t.zeros(3, 2, dtype=t.int64), "no array of logits"),
        (lambda t: t.zeros(3, 2).T, "not in C order"),
        (lambda t: t.zeros(1, 2).expand(3, 2), "not in C order"),
        (lambda t: t.zeros(3, 2).to_sparse(), "is torch.sparse_coo"),
        (lambda t: t.zeros(3, 2).to(t.float8_e4m3fn), "holds torch.float8_e4m3fn"),
        (lambda t: [t.zeros(3, 2)], "no array of logits|has no"),
        (lambda t: {"x": t.zeros(0, 2)}, "is empty"),
    ],
)
def test_content(tmp_path: Path, content: Any, reason: str) -> None:
    torch.save(content(torch), tmp_path / "a")
    with pytest.raises(FileFormatError, match=reason):
        open_logits(tmp_path / "a")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    torch.save({"x": torch.zeros(2, 2), "y": Bomb()}, tmp_path / "a")
    with pytest.raises(FileFormatError, match="is nothing that torch loads safely"):
        open_logits(tmp_path / "a")
    torch.save(Bomb(), tmp_path / "a", _use_new_zipfile_serialization=False)
    with pytest.raises(FileFormatError, match="is a pickle"):
        open_logits(tmp_path / "a")
    assert not (tmp_path / "exploded").exists()


def test_cut_anywhere(tmp_path: Path) -> None:
    torch.save(torch.zeros(2, 2), tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    for end in range(0, len(content), 97):
        (tmp_path / "b").write_bytes(content[:end])
        with pytest.raises(FileFormatError):
            open_logits(tmp_path / "b")
