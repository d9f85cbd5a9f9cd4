"""Readers: every value of a sound file, and a clear refusal of every other one."""

import io
import os
import pickle
import signal
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastdiv.io import (
    FileFormatError,
    LlamaCppReader,
    NpyReader,
    open_logits,
    read_labels,
    rows_per_block,
)
from fastdiv.io import rows as rows_module

RNG = np.random.default_rng(7)


def read_all(path: Path, count: int = 3, **options: Any) -> np.ndarray:
    return np.concatenate([b.values.copy() for b in open_logits(path, **options).blocks(count)])


def npy_bytes(
    descr: object = "<f4",
    shape: object = (2, 3),
    data: bytes = bytes(24),
    fortran: object = False,
    version: bytes = b"\x01\x00",
) -> bytes:
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode("latin-1")
    width = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + version + len(header).to_bytes(width, "little") + header + data


def logits_bytes(
    n_ctx: int = 6, n_vocab: int = 5, n_chunk: int = 2, *, scale: float = 1e-4
) -> bytes:
    """Write a `_logits_` file in the way llama.cpp does, from its description."""
    rows = n_chunk * (n_ctx - 1 - n_ctx // 2)
    tokens = RNG.integers(0, n_vocab, n_chunk * n_ctx, dtype=np.int32)
    codes = RNG.integers(0, 65536, (rows, 2 * ((n_vocab + 1) // 2)), dtype=np.uint16)
    codes[:, 0] = np.arange(rows) % 2  # only 0 is a floor
    head = np.tile(np.array([scale, -65535 * scale - 0.25], np.float32), (rows, 1))
    body = np.hstack([head.view(np.uint16), codes])
    return (
        b"_logits_"
        + struct.pack("=3i", n_ctx, n_vocab, n_chunk)
        + tokens.tobytes()
        + body.tobytes()
    )


Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes, name: str = "file") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


class TestNpy:
    @pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
    @pytest.mark.parametrize("shape", [(1, 1), (7, 5), (2, 3, 4), (2, 1, 3, 6)])
    def test_values_and_shape(self, tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        array = RNG.normal(size=shape).astype(dtype)
        # The extension says nothing: formats are told by their first bytes.
        with open(tmp_path / "logits.bin", "wb") as file:
            np.save(file, array)
        reader = open_logits(tmp_path / "logits.bin")
        assert (reader.rows, reader.vocab) == (array.size // shape[-1], shape[-1])
        assert reader.labels is None
        assert not reader.has_floor
        assert reader.dtype is None
        values = read_all(tmp_path / "logits.bin")
        assert values.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(values, array.reshape(-1, shape[-1]))

    @pytest.mark.parametrize("version", [(1, 0), (2, 0)])
    def test_versions(self, tmp_path: Path, version: tuple[int, int]) -> None:
        array = RNG.normal(size=(4, 3))
        with open(tmp_path / "a.npy", "wb") as file:
            np.lib.format.write_array(file, array, version=version)
        np.testing.assert_array_equal(read_all(tmp_path / "a.npy"), array)

    @pytest.mark.parametrize("rows", [1, 2, 5, 6, 100])
    def test_blocks_cover_the_file_in_order(self, tmp_path: Path, rows: int) -> None:
        array = RNG.normal(size=(6, 1000)).astype(np.float32)
        np.save(tmp_path / "a.npy", array)
        blocks = list(open_logits(tmp_path / "a.npy").blocks(rows))
        assert [b.start for b in blocks] == list(range(0, 6, rows))
        assert all(len(b.values) <= rows for b in blocks)
        # All of them at once: a block stays valid when the next one has been read.
        np.testing.assert_array_equal(np.concatenate([b.values for b in blocks]), array)

    def test_two_walks_side_by_side(self, tmp_path: Path) -> None:
        array = RNG.normal(size=(6, 4))
        np.save(tmp_path / "a.npy", array)
        reader = open_logits(tmp_path / "a.npy")
        for x, y in zip(reader.blocks(2), reader.blocks(2), strict=True):
            np.testing.assert_array_equal(x.values, y.values)

    @pytest.mark.parametrize("rows", [1, 3, 8])
    @pytest.mark.parametrize("columns", [1 << 10, 1 << 17, 1 << 18])
    def test_a_file_that_becomes_shorter(self, tmp_path: Path, rows: int, columns: int) -> None:
        """Reading on would end the process, or give zeros."""
        path = tmp_path / "a.npy"
        np.save(path, np.ones((9, columns), np.float32))
        blocks = open_logits(path).blocks(rows)
        next(blocks)
        os.truncate(path, path.stat().st_size - 8)
        wrong = []
        with pytest.raises(FileFormatError, match=r"a\.npy: became shorter while it was read"):
            wrong += [block.start for block in blocks if (block.values != 1).any()]
        assert not wrong

    def test_a_walk_goes_on_in_a_child(self, tmp_path: Path) -> None:
        """The thread that maps pages is not copied."""
        path = tmp_path / "a.npy"
        values = np.arange(6 << 18, dtype=np.float32).reshape(6, 1 << 18)
        np.save(path, values)
        blocks = open_logits(path).blocks(1)
        seen = [float(next(blocks).values[0, 1]) for _ in range(2)]
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # rather than for ever
            rest = [float(block.values[0, 1]) for block in blocks]
            os._exit(rest != values[2:, 1].tolist())
        seen += [float(block.values[0, 1]) for block in blocks]
        assert os.waitpid(child, 0)[1] == 0
        assert seen == values[:, 1].tolist()

    def test_values_that_no_boundary_aligns(self, write: Write) -> None:
        array = RNG.normal(size=(2, 3))
        for padding in range(8):
            content = npy_bytes("<f8", (2, 3), array.tobytes()).replace(
                b"(2, 3)", b"(2, 3)" + b" " * padding
            )
            length = int.from_bytes(content[8:10], "little") + padding
            path = write(content[:8] + length.to_bytes(2, "little") + content[10:])
            block = next(open_logits(path).blocks(2))
            assert block.values.flags.aligned
            np.testing.assert_array_equal(block.values, array)

    def test_bfloat16_bits(self, tmp_path: Path) -> None:
        bits = RNG.integers(0, 1 << 16, (3, 4), dtype=np.uint16)
        np.save(tmp_path / "a.npy", bits)
        with pytest.raises(FileFormatError, match="holds uint16; if these are bfloat16 bits"):
            open_logits(tmp_path / "a.npy")
        assert open_logits(tmp_path / "a.npy", dtype="bfloat16").dtype == "bfloat16"
        np.testing.assert_array_equal(read_all(tmp_path / "a.npy", dtype="bfloat16"), bits)
        np.save(tmp_path / "b.npy", bits.astype(">u2"))
        np.testing.assert_array_equal(read_all(tmp_path / "b.npy", dtype="bfloat16"), bits)

    def test_bfloat16_as_ml_dtypes_writes_it(self, tmp_path: Path) -> None:
        ml_dtypes = pytest.importorskip("ml_dtypes")
        array = RNG.normal(size=(3, 4)).astype(ml_dtypes.bfloat16)
        np.save(tmp_path / "a.npy", array)
        assert open_logits(tmp_path / "a.npy").dtype == "bfloat16"
        np.testing.assert_array_equal(read_all(tmp_path / "a.npy"), array.view(np.uint16))

    def test_dtype_leaves_other_files_alone(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.ones((2, 2), np.float32))
        assert open_logits(tmp_path / "a.npy", dtype="bfloat16").dtype is None

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is empty"),
            (b"hello, world", "of no kind that fastdiv reads"),
            (b"PK\x03\x04rest", "zip archive"),
            (b"GGUF\x03\x00\x00\x00", "GGUF model"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\x93NUMPY", "version none"),
            (b"\x93NUMPY\x01", "version 1"),
            (b"\x93NUMPY\x03\x00" + bytes(100), "version 3.0"),
            (b"\x93NUMPY\x01\x00", "truncated within its .npy header"),
            (b"\x93NUMPY\x01\x00\x76\x00{'descr'", "truncated within its .npy header"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'", "truncated within its .npy header"),
            (b"\x93NUMPY\x02\x00\x20\x4e\x00\x00" + b" " * 30_000, "header of 20000 bytes"),
            (npy_bytes()[:-1], "truncated: 23 of 24 bytes"),
            (npy_bytes() + b"\n", "1 bytes more"),
            (npy_bytes(shape=(2**40, 2**40)), "truncated: 24 of"),
            (npy_bytes(shape=(2**63, 2**63)), "truncated: 24 of"),
            (npy_bytes(shape=(-2, -3)), "cannot be understood"),
            (npy_bytes(shape=(2.0, 3)), "cannot be understood"),
            (npy_bytes(shape=[2, 3]), "cannot be understood"),
            (npy_bytes(shape=(True, 3)), "cannot be understood"),
            (npy_bytes(shape=None), "cannot be understood"),
            (npy_bytes(fortran=0), "cannot be understood"),
            (npy_bytes(descr=7), "cannot be understood"),
            (npy_bytes(descr="nonsense"), "cannot be understood"),
            (npy_bytes(descr=[("a", "nonsense")]), "cannot be understood"),
            (npy_bytes().replace(b"'shape'", b"'shade'"), "cannot be understood"),
            (npy_bytes().replace(b"{", b"("), "cannot be understood"),
            (npy_bytes().replace(b"'<f4'", b"'<f4"), "cannot be understood"),
            (npy_bytes().replace(b"'<f4'", b"'\\d'+"), "cannot be understood"),
            (npy_bytes(fortran=True), "Fortran order"),
            (npy_bytes(descr="|O"), "Python objects"),
            (npy_bytes(descr=[("a", "O")]), "Python objects"),
            (npy_bytes(descr="<i4"), "holds int32; logits are floating-point"),
            (npy_bytes(descr="<c8", shape=(1, 3)), "holds complex64"),
            (npy_bytes(descr=[("a", "<f4")]), "logits are floating-point"),
            (npy_bytes(descr="<f16", data=bytes(96)), "logits are floating-point"),
            (npy_bytes(descr="(2,)<f4", shape=(1, 3)), "logits are floating-point"),
            (npy_bytes(shape=(6,)), r"has shape \(6,\)"),
            (npy_bytes(shape=(), data=bytes(4)), r"has shape \(\)"),
            (npy_bytes(shape=(0, 3), data=b""), r"is empty: its shape is \(0, 3\)"),
            (npy_bytes(shape=(3, 0), data=b""), r"is empty: its shape is \(3, 0\)"),
            (npy_bytes(shape=(0, 10**30), data=b""), "is empty"),
        ],
    )
    def test_refusals(self, write: Write, content: bytes, reason: str) -> None:
        path = write(content, "bad.npy")
        with pytest.raises(FileFormatError, match=reason) as caught:
            open_logits(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    def test_a_deeply_nested_header(self, write: Write) -> None:
        header = b"(" * 9_000
        path = write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with pytest.raises(FileFormatError, match="cannot be understood"):
            open_logits(path)

    def test_nothing_is_unpickled(self, tmp_path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple[Any, ...]:
                return (pytest.fail, ("unpickled",))

        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            buffer, {"descr": "|O", "fortran_order": False, "shape": (1, 1)}
        )
        (tmp_path / "a.npy").write_bytes(buffer.getvalue() + pickle.dumps([Bomb()]))
        with pytest.raises(FileFormatError, match="never unpickled"):
            open_logits(tmp_path / "a.npy")

    def test_not_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            open_logits(tmp_path / "none.npy")
        with pytest.raises(FileFormatError, match="is a directory"):
            open_logits(tmp_path)
        os.mkfifo(tmp_path / "pipe")
        for special in ("/dev/null", tmp_path / "pipe"):
            with pytest.raises(FileFormatError, match="not a regular file"):
                open_logits(special)


class TestLabels:
    @pytest.mark.parametrize("dtype", ["<i1", "<i4", ">i4", "<i8", "<u2", "<u8"])
    def test_values(self, tmp_path: Path, dtype: str) -> None:
        np.save(tmp_path / "l.npy", np.array([[0, 4, 2], [3, 1, 0]], dtype))
        labels = read_labels(tmp_path / "l.npy", rows=6, vocab=5)
        assert labels.dtype == np.int64
        assert labels.tolist() == [0, 4, 2, 3, 1, 0]

    def test_ignored_ones_pass(self, tmp_path: Path) -> None:
        np.save(tmp_path / "l.npy", np.array([-100, 1]))
        assert read_labels(tmp_path / "l.npy", rows=2, vocab=5).tolist() == [-100, 1]

    @pytest.mark.parametrize(
        ("labels", "reason"),
        [
            (np.array([0, 1, 5]), "row 2: label 5 is outside the vocabulary of 5"),
            (np.array([0, -1, 5]), "row 1: label -1 is outside"),
            (np.array([0, 1, 2**63], np.uint64), f"row 2: label {2**63} is outside"),
            (np.array([0, 1, 2**64 - 100], np.uint64), "row 2: label 18446744073709551516"),
            (np.array([0, 1]), "holds 2 labels for 3 rows"),
            (np.array([0.0, 1.0, 2.0]), "holds float64; labels are integers"),
            (np.array([True, False, True]), "holds bool; labels are integers"),
        ],
    )
    def test_refusals(self, tmp_path: Path, labels: np.ndarray, reason: str) -> None:
        np.save(tmp_path / "l.npy", labels)
        with pytest.raises(FileFormatError, match=reason):
            read_labels(tmp_path / "l.npy", rows=3, vocab=5)

    def test_another_format(self, write: Write) -> None:
        with pytest.raises(FileFormatError, match=r"is not a \.npy file"):
            read_labels(write(logits_bytes()), rows=3, vocab=5)


class TestLlamaCpp:
    @pytest.mark.parametrize("n_vocab", [1, 2, 5, 8])
    @pytest.mark.parametrize(("n_ctx", "n_chunk"), [(3, 1), (6, 2), (7, 3)])
    def test_every_value(self, write: Write, n_ctx: int, n_vocab: int, n_chunk: int) -> None:
        content = logits_bytes(n_ctx, n_vocab, n_chunk)
        reader = open_logits(write(content))
        assert isinstance(reader, LlamaCppReader)
        per_chunk = n_ctx - 1 - n_ctx // 2
        assert (reader.rows, reader.vocab) == (n_chunk * per_chunk, n_vocab)
        at = 20 + 4 * n_chunk * n_ctx
        tokens = struct.unpack(f"={n_chunk * n_ctx}i", content[20:at])
        row_size = 2 * (2 * -(-n_vocab // 2) + 4)
        seen = 0
        for block in reader.blocks(2):
            assert block.floor is not None
            assert block.labels is not None
            assert block.start == seen
            for values, floor, label in zip(block.values, block.floor, block.labels, strict=True):
                chunk, i = divmod(seen, per_chunk)
                assert label == tokens[chunk * n_ctx + n_ctx // 2 + i + 1]
                row = content[at + seen * row_size :][:row_size]
                scale, low, *codes = struct.unpack(f"=ff{n_vocab}H", row[: 8 + 2 * n_vocab])
                assert floor.tolist() == [code == 0 for code in codes]
                expected = [np.float32(scale) * np.float32(c) + np.float32(low) for c in codes]
                assert values.dtype == np.float32
                assert values.tolist() == expected
                seen += 1
        assert seen == reader.rows

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (logits_bytes()[:12], "holds no rows: llama.cpp leaves these 12 bytes"),
            (logits_bytes()[:8], "truncated within its header: 8 bytes"),
            (logits_bytes()[:19], "truncated within its header: 19 bytes"),
            (logits_bytes()[:20], "is truncated: 20 bytes"),
            (logits_bytes()[:-1], "is truncated"),
            (logits_bytes() + b"\0", "is longer than its header says"),
            (b"_logitsX" + logits_bytes()[8:], "of no kind that fastdiv reads"),
        ],
    )
    def test_refusals(self, write: Write, content: bytes, reason: str) -> None:
        path = write(content, "bad.kld")
        with pytest.raises(FileFormatError, match=reason) as caught:
            open_logits(path)
        assert str(caught.value).startswith(f"{path}: ")

    @pytest.mark.parametrize("at", [8, 12, 16])
    @pytest.mark.parametrize("value", [-(2**31), -1, 0, 2**31 - 1, 1 << 16])
    def test_absurd_numbers(self, write: Write, at: int, value: int) -> None:
        content = bytearray(logits_bytes())
        content[at : at + 4] = struct.pack("=i", value)
        path = write(bytes(content))
        tracemalloc.start()
        try:
            with pytest.raises(FileFormatError) as caught:
                open_logits(path)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        name = {8: "n_ctx", 12: "n_vocab", 16: "n_chunk"}[at]
        assert f"{name} = {value}" in str(caught.value)
        assert (f"{name} = {value} in its header" in str(caught.value)) == (value <= 0)

    def test_sizes_beyond_32_bits(self, write: Write) -> None:
        """int32 products of these would be 0, and match a file without rows."""
        header = b"_logits_" + struct.pack("=3i", 1 << 16, 1 << 16, 1 << 16)
        with pytest.raises(FileFormatError, match=r"is truncated: 20 bytes where .* make 281"):
            open_logits(write(header))

    def test_a_context_that_scores_nothing(self, write: Write) -> None:
        header = b"_logits_" + struct.pack("=3i", 2, 5, 1) + bytes(8)
        with pytest.raises(FileFormatError, match="n_ctx = 2 in its header; at least 3"):
            open_logits(write(header))

    @pytest.mark.parametrize("token", [-1, 5, 2**31 - 1])
    def test_a_token_out_of_range(self, write: Write, token: int) -> None:
        content = bytearray(logits_bytes())
        content[20 + 4 * 3 : 24 + 4 * 3] = struct.pack("=i", token)
        with pytest.raises(FileFormatError, match=f"token 3 is {token}, outside the vocabulary"):
            open_logits(write(bytes(content)))

    @pytest.mark.parametrize(
        ("scale", "low"),
        [
            (np.nan, -1),
            (1e-4, np.nan),
            (np.inf, -1),
            (np.inf, -np.inf),
            (-1e-4, -1),
            (1e-4, 1),
            (1e30, -1),
        ],
    )
    def test_a_damaged_row(self, write: Write, scale: float, low: float) -> None:
        content = bytearray(logits_bytes())
        at = 20 + 4 * 12 + 3 * 2 * 10
        content[at : at + 8] = struct.pack("=ff", scale, low)
        reader = open_logits(write(bytes(content)))
        with pytest.raises(FileFormatError, match="row 3 is damaged"):
            list(reader.blocks(2))

    @pytest.mark.parametrize(("stride", "eval_len", "windows"), [(1, 2, 2), (3, 5, 4), (7, 4, 2)])
    def test_the_fork_s_second_version(
        self, write: Write, stride: int, eval_len: int, windows: int
    ) -> None:
        tokens = RNG.integers(0, 5, (windows - 1) * stride + eval_len, dtype=np.int32)
        codes = RNG.integers(1, 65536, (windows * (eval_len - 1), 6), dtype=np.uint16)
        head = np.tile(np.array([1e-4, -7], np.float32), (len(codes), 1)).view(np.uint16)
        header = b"_logits_v2" + struct.pack("=5i", 9, 5, stride, eval_len, windows)
        content = header + tokens.tobytes() + np.hstack([head, codes]).tobytes()
        path = write(content)
        reader = open_logits(path)
        assert (reader.rows, reader.vocab) == (len(codes), 5)
        assert reader.labels is not None
        assert reader.labels.tolist() == [
            tokens[w * stride + i + 1] for w in range(windows) for i in range(eval_len - 1)
        ]
        expected = codes[:, :5].astype(np.float32) * np.float32(1e-4) + np.float32(-7)
        np.testing.assert_array_equal(read_all(path), expected)
        for cut in range(len(content)):
            with pytest.raises(FileFormatError, match=r"truncated|of no kind|no rows|empty|longer"):
                open_logits(write(content[:cut]))
        for at in range(10, 30, 4):
            for value in (-(2**31), -1, 0, 2**31 - 1):
                hostile = content[:at] + struct.pack("=i", value) + content[at + 4 :]
                # How long the contexts were says nothing about the size of the file.
                if at > 10 or value <= 0:
                    with pytest.raises(FileFormatError, match=f"= {value}"):
                        open_logits(write(hostile))

    def test_a_context_whose_bytes_spell_v2(self, write: Write) -> None:
        n_ctx = int.from_bytes(b"v2\0\0", "little")
        reader = open_logits(write(logits_bytes(n_ctx, 1, 1)))
        assert reader.rows == n_ctx - 1 - n_ctx // 2


SOUND = {"npy": npy_bytes(), "llama.cpp": logits_bytes()}


@pytest.mark.parametrize("kind", SOUND)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_files_are_read_or_refused(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(SOUND[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content) - 1, 90)))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path / "mutated"
    path.write_bytes(content[:cut])
    tracemalloc.start()
    try:
        reader = open_logits(path)
        blocks = list(reader.blocks(2))
        assert sum(len(b.values) for b in blocks) == reader.rows
        assert all(b.values.shape[1] == reader.vocab for b in blocks)
    except FileFormatError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_block_is_bounded_by_bytes_and_has_a_row(tmp_path: Path) -> None:
    np.save(tmp_path / "narrow.npy", np.zeros((4, 10), np.float32))
    np.save(tmp_path / "wide.npy", np.zeros((4, 10), np.float64))
    narrow, wide = NpyReader(tmp_path / "narrow.npy"), NpyReader(tmp_path / "wide.npy")
    assert rows_per_block(narrow) == rows_module.BLOCK_BYTES // 40
    assert rows_per_block(narrow, wide) == rows_module.BLOCK_BYTES // 80
    wide.row_bytes = rows_module.BLOCK_BYTES + 1
    assert rows_per_block(narrow, wide) == 1
