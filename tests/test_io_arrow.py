"""Arrow IPC files and streams, and Parquet."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_io_containers import check_blocks, check_refused_before_allocating

from fastdiv.io import FileFormatError, open_logits, save_logits

RNG = np.random.default_rng(3)


def write_file(table: pa.Table, path: Path, rows: int, **options: Any) -> None:
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)


def write_compressed(table: pa.Table, path: Path, rows: int) -> None:
    write_file(table, path, rows, compression="zstd")


def write_stream(table: pa.Table, path: Path, rows: int) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)


def write_parquet(table: pa.Table, path: Path, rows: int) -> None:
    pq.write_table(table, path, row_group_size=rows)


def write_feather(table: pa.Table, path: Path, rows: int) -> None:
    pyarrow.feather.write_feather(table, path, chunksize=rows)


WRITERS = {
    "file": write_file,
    "compressed": write_compressed,
    "stream": write_stream,
    "parquet": write_parquet,
    "feather": write_feather,
}


def fixed(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def variable(values: np.ndarray) -> pa.Array:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel()))


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    def write(columns: dict[str, Any], rows: int = 3) -> Path:
        path = tmp_path / "table"
        WRITERS[request.param](pa.table(columns), path, rows)
        return path

    return write


class TestValues:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize("lists", [fixed, variable])
    @pytest.mark.parametrize("group", [1, 3, 100])
    def test_blocks(self, write: Any, dtype: str, lists: Any, group: int) -> None:
        logits = RNG.normal(size=(8, 5)).astype(dtype)
        check_blocks(write({"x": lists(logits), "note": ["a"] * 8}, group), logits)

    @pytest.mark.parametrize("name", ["labels", "label"])
    @pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
    def test_labels(self, write: Any, name: str, kind: str) -> None:
        logits, labels = RNG.normal(size=(8, 5)), RNG.integers(0, 5, 8).astype(kind)
        path = write({name: labels, "x": fixed(logits)})
        reader = open_logits(path)
        assert reader.labels is not None
        assert reader.labels.dtype == np.int64
        assert reader.labels.tolist() == labels.tolist()
        check_blocks(path, logits)

    def test_choice(self, write: Any) -> None:
        a, b = RNG.normal(size=(2, 4, 3))
        path = write({"a": fixed(a), "b": fixed(b), "c": fixed(np.zeros((4, 2), np.uint16))})
        with pytest.raises(FileFormatError, match="several arrays: 'a', 'b'; say which by key"):
            open_logits(path)
        check_blocks(path, b, key="b")

    def test_bfloat16_bits(self, write: Any) -> None:
        bits = RNG.integers(0, 1 << 15, (4, 3), dtype=np.uint16)
        path = write({"x": fixed(bits)})
        with pytest.raises(FileFormatError, match="no array of logits; it has 'x'"):
            open_logits(path)
        with pytest.raises(FileFormatError, match="if these are bfloat16 bits"):
            open_logits(path, key="x")
        check_blocks(path, bits, dtype="bfloat16")

    def test_slices_of_a_larger_array(self, tmp_path: Path) -> None:
        logits = RNG.normal(size=(9, 4))
        for lists in (fixed, variable):
            write_stream(pa.table({"x": lists(logits)[2:7]}), tmp_path / "a", 2)
            check_blocks(tmp_path / "a", logits[2:7])


class TestRefusals:
    @pytest.mark.parametrize(
        ("columns", "reason"),
        [
            ({"x": [1.0, 2.0]}, "no array of logits; it has 'x'"),
            ({"x": [[1, 2], [3, 4]]}, "no array of logits"),
            ({"x": pa.array([], pa.list_(pa.float32(), 3))}, "is empty: 0 rows"),
            ({"x": pa.array([[], []], pa.list_(pa.float32()))}, "is empty: 2 rows of 0 logits"),
            ({"x": [[1.0, 2.0], [3.0], [4.0, 5.0]]}, "row 1 has 1 logits, row 0 has 2"),
            ({"x": [[1.0, 2.0], [3.0, 4.0], None]}, "row 2 is null"),
            ({"x": [[1.0, 2.0], [3.0, 4.0], [5.0, None]]}, "row 2: logit 1 is null"),
            ({"x": [[1.0, 2.0]] * 2, "labels": [0, 2]}, "row 1: label 2 is outside"),
            ({"x": [[1.0, 2.0]] * 2, "labels": [0, None]}, "labels are .*1 null; takes integers"),
            ({"x": [[1.0, 2.0]] * 2, "labels": ["a", "b"]}, "labels are .*takes integers"),
        ],
    )
    def test_content(self, write: Any, columns: dict[str, Any], reason: str) -> None:
        path = write(columns, 2)
        with pytest.raises(FileFormatError, match=reason):
            list(open_logits(path).blocks(2))

    def test_options(self, write: Any) -> None:
        path = write({"x": [[1.0, 2.0]], "y": [1]})
        with pytest.raises(FileFormatError, match="column 'y' holds int64; logits are lists"):
            open_logits(path, key="y")
        with pytest.raises(FileFormatError, match="no array 'z'"):
            open_logits(path, key="z")

    def test_cut_anywhere(self, write: Any) -> None:
        content = (path := write({"x": fixed(np.ones((4, 3)))}, 2)).read_bytes()
        for end in range(0, len(content), 5):
            path.write_bytes(content[:end])
            try:
                rows = [b.values for b in open_logits(path).blocks(2)]
            except FileFormatError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017
            else:
                # A stream does not say how many batches there are.
                assert content[:4] == b"\xff\xff\xff\xff"
                assert len(rows) <= 2

    def test_feather_of_version_1(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"FEA1" + bytes(100))
        check_refused_before_allocating(tmp_path / "a", "Feather file of version 1")

    def test_without_pyarrow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_file(pa.table({"x": [[1.0]]}), tmp_path / "a", 1)
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ModuleNotFoundError, match=r'pip install "fastdiv\[arrow\]"'):
            open_logits(tmp_path / "a")


@pytest.mark.parametrize("lists", [fixed, variable])
@pytest.mark.parametrize("kind", ["file", "stream", "parquet", "compressed"])
@settings(max_examples=200)
@given(data=st.data())
def test_mutated_files_are_read_or_refused(
    tmp_path: Path, kind: str, lists: Any, data: st.DataObject
) -> None:
    path = tmp_path / "mutated"
    WRITERS[kind](pa.table({"x": lists(np.ones((4, 3))), "labels": [0, 1, 2, 0]}), path, 2)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        reader = open_logits(path)
        assert sum(len(b.values) for b in reader.blocks(2)) == reader.rows
    except FileFormatError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017


PEAK = """
import sys
import fastdiv.io
import pyarrow, pyarrow.ipc, pyarrow.parquet

def resident():
    with open("/proc/self/status") as status:
        return int(next(l for l in status if l.startswith("VmRSS")).split()[1]) >> 10

reader = fastdiv.io.open_logits(sys.argv[1])
blocks = reader.blocks(64)
next(blocks).values.sum()  # what a library loads for its first block stays, and is no leak
before, peak = resident(), 0
for block in blocks:
    block.values.sum()
    peak = max(peak, resident())
print(peak - before)
"""


@pytest.mark.parametrize("format", ["arrow", "parquet", "npy", "npz", "safetensors"])
def test_memory_is_that_of_a_block(tmp_path: Path, format: Any) -> None:
    """200 MB on disk are walked in a fraction of that."""
    path = tmp_path / "a"
    block = RNG.normal(size=(500, 5000)).astype(np.float32)
    if format == "npz":
        save_logits(path, np.tile(block, (20, 1)), format=format)
    else:
        save_logits(path, (block for _ in range(20)), format=format)
    assert path.stat().st_size > 190 << 20
    done = subprocess.run(
        [sys.executable, "-c", PEAK, os.fspath(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 40


def test_tracing_sees_no_copy(tmp_path: Path) -> None:
    """A block of an Arrow file is a view of the file."""
    write_file(pa.table({"x": fixed(np.zeros((400, 1000)))}), tmp_path / "a", 400)
    reader = open_logits(tmp_path / "a")
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    try:
        for block in reader.blocks(100):
            assert not block.values.flags.owndata
            assert pa.total_allocated_bytes() - before < 1 << 18
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()
