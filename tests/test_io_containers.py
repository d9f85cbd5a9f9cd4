"""Archives of arrays: `.npz`, safetensors and its index, raw bytes; and what they share."""

import io
import json
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from fastdiv.io import FileFormatError, open_logits, rows_per_block
from fastdiv.io.arrays import ArrayReader

RNG = np.random.default_rng(5)
Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def read_all(path: Path, count: int = 3, **options: Any) -> np.ndarray:
    return np.concatenate([b.values.copy() for b in open_logits(path, **options).blocks(count)])


def check_blocks(path: Path, expected: np.ndarray, **options: Any) -> None:
    """Blocks of any size are the rows in order, full but for the last, and stay what they are."""
    reader = open_logits(path, **options)
    assert (reader.rows, reader.vocab) == expected.shape
    assert not reader.has_floor
    assert rows_per_block(reader) == max(1, (4 << 20) // (expected.itemsize * expected.shape[1]))
    for size in (1, 2, 3, len(expected), len(expected) + 1):
        blocks = list(reader.blocks(size))
        assert [b.start for b in blocks] == list(range(0, len(expected), size))
        assert all(len(b.values) == size for b in blocks[:-1])
        for block in blocks:
            assert block.floor is None
            assert block.values.dtype == expected.dtype
            assert block.values.flags.aligned
            rows = slice(block.start, block.start + len(block.values))
            np.testing.assert_array_equal(block.values, expected[rows])
            if reader.labels is None:
                assert block.labels is None
            else:
                np.testing.assert_array_equal(block.labels, reader.labels[rows])


def check_refused_before_allocating(path: Path, reason: str = ".", **options: Any) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match=reason) as caught:
            list(open_logits(path, **options).blocks(2))
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


class TestFirstRows:
    def test_a_base_serves_a_shorter_candidate(self, tmp_path: Path) -> None:
        logits, labels = RNG.normal(size=(10, 4)), RNG.integers(0, 4, 10)
        np.savez(tmp_path / "a.npz", logits=logits, labels=labels)
        for rows in (1, 4, 9, 10):
            check_blocks(tmp_path / "a.npz", logits[:rows], rows=rows)
            reader = open_logits(tmp_path / "a.npz", rows=rows)
            assert reader.labels is not None
            assert reader.labels.tolist() == labels[:rows].tolist()

    @pytest.mark.parametrize("rows", [-1, 0, 11])
    def test_of_what_there_is(self, tmp_path: Path, rows: int) -> None:
        np.save(tmp_path / "a.npy", np.zeros((10, 4)))
        with pytest.raises(FileFormatError, match=f"has 10 rows; rows = {rows} was asked for"):
            open_logits(tmp_path / "a.npy", rows=rows)


class TestRaw:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "<f2"])
    @pytest.mark.parametrize("offset", [0, 5, 64])
    def test_values(self, write: Write, dtype: str, offset: int) -> None:
        array = RNG.normal(size=(7, 5)).astype(dtype)
        path = write(bytes(offset) + array.tobytes())
        native = array.astype(array.dtype.newbyteorder("="))
        for shape in ((7, 5), (-1, 5), (7, 1, 5), (-1, 7, 5)):
            check_blocks(path, native, shape=shape, dtype=dtype, offset=offset)

    def test_bfloat16(self, write: Write) -> None:
        array = RNG.normal(size=(7, 5)).astype(ml_dtypes.bfloat16)
        path = write(array.tobytes())
        check_blocks(path, array.view(np.uint16), shape=(7, 5), dtype="bfloat16")
        assert open_logits(path, shape=(7, 5), dtype="bfloat16").dtype == "bfloat16"

    def test_a_file_of_another_kind_is_bytes_when_a_shape_is_said(self, tmp_path: Path) -> None:
        array = RNG.normal(size=(4, 4))
        np.save(tmp_path / "a.npy", array)
        check_blocks(tmp_path / "a.npy", array, shape=(4, 4), dtype="float64", offset=128)

    @pytest.mark.parametrize(
        ("shape", "offset", "reason"),
        [
            ((3, 5), 0, r"has 56 bytes from 0 on; shape \(3, 5\) of float32 takes 60"),
            ((3, 4), 0, "takes 48"),
            ((-1, 5), 0, "takes a multiple of 20"),
            ((14, 1), 1, "has 55 bytes from 1 on"),
            ((-1, 14), 56, "has 0 bytes from 56 on"),
            ((-1, 1), 60, "has -4 bytes"),
            ((2**40, 2**40), 0, "takes"),
        ],
    )
    def test_sizes(self, write: Write, shape: tuple[int, ...], offset: int, reason: str) -> None:
        path = write(bytes(56))
        check_refused_before_allocating(path, reason, shape=shape, dtype="float32", offset=offset)

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"shape": (14,), "dtype": "float32"}, r"shape = \(14,\)"),
            ({"shape": (0, 14), "dtype": "float32"}, r"shape = \(0, 14\)"),
            ({"shape": (14, -1), "dtype": "float32"}, r"shape = \(14, -1\)"),
            ({"shape": (14, 1), "dtype": "int32"}, "dtype = 'int32'"),
            ({"shape": (14, 1), "dtype": "nonsense"}, "dtype = 'nonsense'"),
            ({"shape": (14, 1), "dtype": "O"}, "dtype = 'O'"),
            ({"shape": (14, 1), "dtype": "float32", "offset": -1}, "offset = -1"),
            ({"shape": (14, 1)}, "shape takes a dtype"),
            ({"shape": (14, 1), "dtype": "float32", "key": "a"}, "and no key"),
            ({"dtype": "float32"}, "take a shape as well"),
            ({"offset": 3}, "take a shape as well"),
        ],
    )
    def test_options(self, write: Write, options: dict[str, Any], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            open_logits(write(bytes(56)), **options)


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=["stored", "compressed"])
def save(request: pytest.FixtureRequest) -> Any:
    return request.param


class TestNpz:
    @pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
    def test_values_and_labels(self, tmp_path: Path, save: Any, dtype: str) -> None:
        logits, labels = RNG.normal(size=(2, 4, 5)).astype(dtype), RNG.integers(0, 5, (2, 4))
        labels[0, 0] = -100
        save(
            tmp_path / "a",
            logits=logits,
            labels=labels,
            note=np.zeros(3),
            ids=np.zeros((2, 2), int),
        )
        native = logits.reshape(8, 5).astype(np.dtype(dtype).newbyteorder("="))
        check_blocks(tmp_path / "a.npz", native)
        reader = open_logits(tmp_path / "a.npz")
        assert reader.labels is not None
        assert reader.labels.tolist() == labels.ravel().tolist()

    def test_stored_members_are_mapped(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a", logits=np.zeros((3, 4)))
        assert isinstance(open_logits(tmp_path / "a.npz"), ArrayReader)

    def test_bfloat16(self, tmp_path: Path, save: Any) -> None:
        array = RNG.normal(size=(3, 4)).astype(ml_dtypes.bfloat16)
        save(tmp_path / "a", array)
        assert open_logits(tmp_path / "a.npz").dtype == "bfloat16"
        check_blocks(tmp_path / "a.npz", array.view(np.uint16))
        save(tmp_path / "b", array.view(np.uint16))
        with pytest.raises(FileFormatError, match="has no array of logits; it has 'arr_0'"):
            open_logits(tmp_path / "b.npz")
        check_blocks(tmp_path / "b.npz", array.view(np.uint16), dtype="bfloat16")

    def test_choice(self, tmp_path: Path, save: Any) -> None:
        a, b = RNG.normal(size=(2, 3, 4))
        save(tmp_path / "x", a=a, b=b)
        with pytest.raises(FileFormatError, match="several arrays: 'a', 'b'; say which by key"):
            open_logits(tmp_path / "x.npz")
        with pytest.raises(FileFormatError, match="no array 'c'; it has 'a', 'b'"):
            open_logits(tmp_path / "x.npz", key="c")
        check_blocks(tmp_path / "x.npz", b, key="b")

    def test_parts(self, tmp_path: Path) -> None:
        parts = {f"logits.{i}": RNG.normal(size=(2 + i % 3, 4)) for i in range(11)}
        np.savez(tmp_path / "x", **dict(sorted(parts.items())), labels=np.arange(32) % 4)
        check_blocks(tmp_path / "x.npz", np.concatenate(list(parts.values())))
        check_blocks(tmp_path / "x.npz", np.concatenate(list(parts.values())), key="logits")
        np.savez_compressed(tmp_path / "y", **parts)
        with pytest.raises(FileFormatError, match="in several compressed arrays"):
            open_logits(tmp_path / "y.npz")

    @pytest.mark.parametrize(
        ("arrays", "reason"),
        [
            ({}, "neither .npz nor"),
            ({"labels": np.zeros(3, int)}, "no array of logits; it has 'labels'"),
            ({"x": np.zeros((3, 2), int)}, "no array of logits; it has 'x'"),
            ({"x": np.zeros((3, 2)), "labels": np.zeros(2, int)}, "holds 2 labels for 3 rows"),
            ({"x": np.zeros((3, 2)), "labels": np.array([0, 2, 1])}, "row 1: label 2 is outside"),
            ({"x": np.zeros((3, 2)), "labels": np.zeros(3)}, "labels are integers"),
            ({"x": np.zeros((3, 2), order="F")}, "array 'x' is stored column by column"),
            ({"x": np.zeros((0, 2))}, "is empty"),
            ({f"array{i}": np.zeros((1, 1)) for i in range(30)}, "and 29 more|lacks part|several"),
        ],
    )
    def test_content(
        self, tmp_path: Path, save: Any, arrays: dict[str, np.ndarray], reason: str
    ) -> None:
        save(tmp_path / "a", **arrays)
        if not arrays:
            with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
                archive.writestr("x.txt", "")
        check_refused_before_allocating(tmp_path / "a.npz", reason)

    def test_objects_are_not_unpickled(self, tmp_path: Path, save: Any) -> None:
        save(tmp_path / "a", x=np.array([[None]], object))
        with pytest.raises(FileFormatError, match="array 'x' holds Python objects"):
            open_logits(tmp_path / "a.npz")

    def test_cut_anywhere(self, tmp_path: Path, save: Any, write: Write) -> None:
        save(tmp_path / "a", logits=np.ones((3, 4)), labels=np.zeros(3, int))
        content = (tmp_path / "a.npz").read_bytes()
        for end in range(0, len(content), 3):
            check_refused_before_allocating(write(content[:end]))

    def test_a_damaged_stream_names_the_row(self, tmp_path: Path) -> None:
        array = RNG.normal(size=(100, 50))
        np.savez_compressed(tmp_path / "a", logits=array)
        content = bytearray((tmp_path / "a.npz").read_bytes())
        content[len(content) // 2 :][:8] = bytes(8)
        content[len(content) // 2] ^= 0xFF
        (tmp_path / "a.npz").write_bytes(content)
        reader = open_logits(tmp_path / "a.npz")
        with pytest.raises(FileFormatError, match=r"row \d+: the compressed data are damaged"):
            list(reader.blocks(10))

    def test_a_bomb(self, tmp_path: Path) -> None:
        """A header that promises more than its compressed bytes can hold."""
        np.savez_compressed(tmp_path / "a", logits=np.ones((3, 4), np.float32))
        content = bytearray((tmp_path / "a.npz").read_bytes())
        directory = content.index(b"PK\1\2")
        content[directory + 24 : directory + 28] = struct.pack("<I", 2**32 - 2)
        (tmp_path / "a.npz").write_bytes(content)
        check_refused_before_allocating(tmp_path / "a.npz", "which nothing does")

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_other_compressions(self, tmp_path: Path, method: int) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((2, 2)))
        with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
            archive.writestr("x.npy", buffer.getvalue())
        check_refused_before_allocating(tmp_path / "a.npz", "compressed by method")

    def test_encrypted(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a", x=np.zeros((2, 2)))
        content = bytearray((tmp_path / "a.npz").read_bytes())
        content[content.index(b"PK\1\2") + 8] |= 1
        (tmp_path / "a.npz").write_bytes(content)
        check_refused_before_allocating(tmp_path / "a.npz", "array 'x' is encrypted")


def header_of(tensors: object, data: bytes = b"") -> bytes:
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str = "F32", shape: object = (2, 3), begin: int = 0, end: int = 24) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


class TestSafetensors:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
    @pytest.mark.parametrize("shape", [(7, 5), (2, 3, 4)])
    def test_values_and_labels(self, tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        logits = RNG.normal(size=shape).astype(dtype)
        labels = RNG.integers(0, shape[-1], shape[:-1])
        path = tmp_path / "a.bin"
        save_file({"x": logits, "labels": labels, "y": np.zeros(3, np.float32)}, path, {"a": "b"})
        reader = open_logits(path)
        bits = dtype is ml_dtypes.bfloat16
        assert reader.dtype == ("bfloat16" if bits else None)
        flat = logits.reshape(-1, shape[-1])
        check_blocks(path, flat.view(np.uint16) if bits else flat)
        assert reader.labels is not None
        assert reader.labels.tolist() == labels.ravel().tolist()

    def test_parts_of_one_file(self, tmp_path: Path) -> None:
        parts = {f"logits.{i}": RNG.normal(size=(3 + i, 4)) for i in range(1, 12)}
        labels = {f"labels.{i}": RNG.integers(0, 4, 3 + i) for i in range(1, 12)}
        save_file({**parts, **labels}, tmp_path / "a")
        check_blocks(tmp_path / "a", np.concatenate(list(parts.values())))
        reader = open_logits(tmp_path / "a")
        assert reader.labels is not None
        assert reader.labels.tolist() == np.concatenate(list(labels.values())).tolist()

    def test_several_by_name(self, tmp_path: Path) -> None:
        a, b = RNG.normal(size=(3, 4)), RNG.normal(size=(2, 4))
        save_file({"a": a, "b": b, "c": np.zeros((2, 5))}, tmp_path / "x")
        check_blocks(tmp_path / "x", np.concatenate([b, a]), key=["b", "a"])
        with pytest.raises(FileFormatError, match="parts that do not belong together"):
            open_logits(tmp_path / "x", key=["a", "c"])

    @pytest.mark.parametrize(
        ("names", "reason"),
        [
            (["x.0", "x.2"], "lacks part 1 of 'x'"),
            (["x.2", "x.3"], "lacks part 1 of 'x'"),
            (["x.1", "x_1"], "has part 1 of 'x' twice"),
            (["x.1", "y.1"], "several arrays"),
        ],
    )
    def test_which_parts(self, tmp_path: Path, names: list[str], reason: str) -> None:
        save_file({name: np.zeros((2, 3)) for name in names}, tmp_path / "x")
        check_refused_before_allocating(tmp_path / "x", reason)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (header_of({"x": tensor()}, bytes(23)), "truncated: 96 bytes where"),
            (header_of({"x": tensor()}, bytes(25)), "is longer than its header says"),
            (header_of({"x": tensor(shape=(2, 2))}, bytes(24)), "has 24 bytes; F32 of shape"),
            (header_of({"x": tensor(shape=(2**62, 2**62))}, bytes(24)), "tensor 'x' has 24 bytes"),
            (header_of({"x": tensor(end=2**60, shape=(2**29, 2**29))}), "is truncated"),
            (header_of({"x": tensor(begin=1, end=25)}, bytes(25)), "begins at 1 where"),
            (header_of({"x": tensor(), "y": tensor(begin=8, end=32)}, bytes(32)), "begins at 8"),
            (header_of({"x": tensor(begin=24, end=0)}, bytes(24)), "'x' has -24 bytes"),
            (header_of({"x": tensor("Q9", begin=24, end=0)}, bytes(24)), "ends before it begins"),
            (header_of({"x": tensor("F8_E4M3", (4, 6))}, bytes(24)), "no array of logits"),
            (header_of({"x": tensor("I32")}, bytes(24)), "no array of logits; it has 'x'"),
            (header_of({"x": tensor("F64", (3,))}, bytes(24)), "no array of logits"),
            (header_of({"x": tensor(shape=(0, 3), end=0)}), "is empty"),
            (header_of({"x": tensor(shape=(-2, -3))}, bytes(24)), "cannot be understood"),
            (header_of({"x": tensor(shape=(2.0, 3))}, bytes(24)), "cannot be understood"),
            (header_of({"x": tensor(shape=6)}, bytes(24)), "cannot be understood"),
            (header_of({"x": {"dtype": "F32"}}, bytes(24)), "cannot be understood"),
            (header_of({"x": 3}, bytes(24)), "tensor 'x' has a header that cannot"),
            (header_of(b'{"x": 1, "x": 2}'), "cannot be understood"),
            (header_of(b"{" + b'"x":{' * 5000), "cannot be understood"),
            (header_of(b'{"\xff": 3}'), "cannot be understood"),
            (header_of({}), "no array of logits; it has none"),
            (struct.pack("<Q", 100) + b"{}", "of no kind"),
            (struct.pack("<Q", 2**63) + b"{}", "of no kind"),
        ],
    )
    def test_refusals(self, write: Write, content: bytes, reason: str) -> None:
        check_refused_before_allocating(write(content), reason)

    def test_a_header_too_long_to_parse(self, write: Write) -> None:
        path = write(struct.pack("<Q", (16 << 20) + 1) + b"{")
        with open(path, "ab") as file:
            file.truncate(20 << 20)
        check_refused_before_allocating(path, "header of 16777217 bytes")

    def test_cut_anywhere(self, tmp_path: Path, write: Write) -> None:
        save_file({"x": np.ones((3, 4)), "labels": np.zeros(3, int)}, tmp_path / "a")
        content = (tmp_path / "a").read_bytes()
        for end in range(len(content)):
            check_refused_before_allocating(write(content[:end]))


class TestShards:
    @pytest.fixture
    def index(self, tmp_path: Path) -> Path:
        self.parts = [RNG.normal(size=(2 + i, 4)).astype(np.float16) for i in range(3)]
        where = {}
        for i, part in enumerate(self.parts):
            name = f"logits-{i}.safetensors"
            save_file({f"logits.{i}": part, f"labels.{i}": np.full(len(part), i)}, tmp_path / name)
            where |= {f"logits.{i}": name, f"labels.{i}": name}
        path = tmp_path / "logits.safetensors.index.json"
        path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}, indent=1))
        return path

    def test_rows_in_order(self, index: Path) -> None:
        check_blocks(index, np.concatenate(self.parts))
        reader = open_logits(index)
        assert reader.labels is not None
        assert reader.labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]

    def test_one_by_name(self, tmp_path: Path, index: Path) -> None:
        text = index.read_text()
        where = {k: v for k, v in json.loads(text)["weight_map"].items() if "labels" not in k}
        index.write_text(json.dumps({"weight_map": where}))
        check_blocks(index, self.parts[1], key="logits.1")

    def test_a_shard_that_is_not_there(self, tmp_path: Path, index: Path) -> None:
        (tmp_path / "logits-1.safetensors").unlink()
        check_refused_before_allocating(index, r"names the shard 'logits-1.safetensors', which is")

    def test_a_shard_that_is_damaged(self, tmp_path: Path, index: Path) -> None:
        shard = tmp_path / "logits-1.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1])
        with pytest.raises(FileFormatError, match=r"logits-1.safetensors: is truncated"):
            open_logits(index)

    @pytest.mark.parametrize("shard", ["../x", "/etc/passwd", "..", "", 3, "a/b"])
    def test_only_files_beside_it(self, write: Write, shard: object) -> None:
        content = json.dumps({"weight_map": {"logits": shard}}).encode()
        check_refused_before_allocating(write(content), "only files beside it are read")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b'{"weight_map": {"x": "file"}}', "is not a safetensors file"),
            (b'{"weight_map": 3}', "has no weight_map"),
            (b'{"weight_map": {}}', "no array of logits"),
            (b'{"weight_map": {', "index that cannot be understood"),
            (b'{"a": 1}', "is JSON: fastdiv.io.open_logprobs reads"),
        ],
    )
    def test_refusals(self, write: Write, content: bytes, reason: str) -> None:
        check_refused_before_allocating(write(content), reason)

    def test_a_tensor_that_is_not_where_it_says(self, index: Path) -> None:
        text = index.read_text().replace('"logits.0"', '"logits.00"')
        index.write_text(text)
        check_refused_before_allocating(index, "'logits.00' is not in 'logits-0.safetensors'")


def test_key_of_a_file_without_names(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    with pytest.raises(FileFormatError, match="one array without a name; key = 'x'"):
        open_logits(tmp_path / "a.npy", key="x")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("sound")
    arrays = {"logits": np.arange(12, dtype=np.float32).reshape(4, 3), "labels": np.arange(4) % 3}
    np.savez(directory / "stored.npz", **arrays)
    np.savez_compressed(directory / "compressed.npz", **arrays)
    save_file(arrays, directory / "x.safetensors")
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("kind", ["stored.npz", "compressed.npz", "x.safetensors"])
@given(data=st.data())
def test_mutated_files_are_read_or_refused(
    tmp_path: Path, sound: dict[str, bytes], kind: str, data: st.DataObject
) -> None:
    content = bytearray(sound[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        reader = open_logits(path)
        assert sum(len(b.values) for b in reader.blocks(2)) == reader.rows
    except FileFormatError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 << 20


@pytest.mark.parametrize("kind", ["npz", "compressed", "safetensors", "raw"])
def test_memory_is_that_of_a_block(tmp_path: Path, kind: str) -> None:
    array = np.zeros((2000, 5000), np.float32)
    path = tmp_path / "a.npz"
    options: dict[str, Any] = {}
    if kind == "npz":
        np.savez(path, array)
    elif kind == "compressed":
        np.savez_compressed(path, array)
    elif kind == "safetensors":
        save_file({"logits": array}, path)
    else:
        array.tofile(path)
        options = {"shape": (-1, 5000), "dtype": "float32"}
    del array
    tracemalloc.start()
    try:
        reader = open_logits(path, **options)
        for block in reader.blocks(100):
            assert block.values.sum() == 0
        assert tracemalloc.get_traced_memory()[1] < 7 << 20
    finally:
        tracemalloc.stop()


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("a/data.pkl", b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "fastdiv\[torch\]"'):
        open_logits(tmp_path / "a")
