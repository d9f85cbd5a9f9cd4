"""Writers, read back by the libraries that own the formats."""

import csv
import math
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file

from fastdiv.io import (
    FileFormatError,
    LlamaCppReader,
    RowBlock,
    format_of,
    open_logits,
    save_logits,
    write_llama_cpp,
    write_tokens_table,
)
from fastdiv.io.conversion import converted

RNG = np.random.default_rng(13)
PAIR = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm-pair"
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def to_native(values: np.ndarray, dtype: str) -> np.ndarray:
    """Convert as NumPy and ml_dtypes do."""
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    return values.astype(kind)


def load_npy(path: Path, dtype: str) -> np.ndarray:
    array = np.load(path)
    return array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array


def load_npz(path: Path, dtype: str) -> np.ndarray:
    with np.load(path) as archive:
        array = archive["logits"]
        return array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array


def load_raw(path: Path, dtype: str) -> np.ndarray:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    return np.fromfile(path, kind).reshape(-1, 5)


def load_safetensors(path: Path, dtype: str) -> np.ndarray:
    return load_file(path)["logits"]


def load_arrow(table: pa.Table, dtype: str) -> np.ndarray:
    column = table["logits"].combine_chunks()
    array = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return array.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else array


LOADERS: dict[str, Callable[[Path, str], np.ndarray]] = {
    "npy": load_npy,
    "npz": load_npz,
    "raw": load_raw,
    "safetensors": load_safetensors,
    "parquet": lambda path, dtype: load_arrow(pq.read_table(path), dtype),
    "arrow": lambda path, dtype: load_arrow(pyarrow.feather.read_table(path), dtype),
}


@pytest.mark.parametrize("format", LOADERS)
class TestSaveLogits:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("source", DTYPES)
    def test_every_pair_of_types(
        self, tmp_path: Path, format: Any, source: str, dtype: Any
    ) -> None:
        logits = to_native(RNG.normal(size=(7, 5)), source)
        logits[0, 0] = -np.inf
        path = tmp_path / "a"
        assert save_logits(path, logits, format=format, dtype=dtype) == 7
        loaded = LOADERS[format](path, dtype)
        expected = to_native(logits, dtype)
        assert loaded.dtype == expected.dtype
        np.testing.assert_array_equal(
            loaded.view(f"u{loaded.itemsize}"), expected.view(f"u{loaded.itemsize}")
        )
        options = {"shape": (-1, 5), "dtype": dtype} if format == "raw" else {}
        reader = open_logits(path, **options)
        assert reader.dtype == ("bfloat16" if dtype == "bfloat16" else None)
        values = np.concatenate([b.values for b in reader.blocks(3)])
        np.testing.assert_array_equal(
            values, expected.view(np.uint16) if dtype == "bfloat16" else expected
        )

    def test_labels_and_type_of_the_source(self, tmp_path: Path, format: Any) -> None:
        logits, labels = RNG.normal(size=(7, 5)).astype(np.float16), np.arange(7) % 5
        np.savez(tmp_path / "a.npz", x=logits, labels=labels)
        save_logits(tmp_path / "b", open_logits(tmp_path / "a.npz"), format=format)
        np.testing.assert_array_equal(LOADERS[format](tmp_path / "b", "float16"), logits)
        if format in ("npy", "raw"):
            return
        reader = open_logits(tmp_path / "b")
        assert reader.labels is not None
        assert reader.labels.tolist() == labels.tolist()

    def test_blocks_one_after_another(self, tmp_path: Path, format: Any) -> None:
        logits = RNG.normal(size=(7, 5))
        blocks = [RowBlock(i, logits[i : i + 2]) for i in range(0, 7, 2)]
        if format == "npz":
            with pytest.raises(ValueError, match="number of rows must be known for npz"):
                save_logits(tmp_path / "a", iter(blocks), format=format)
            return
        for source in (
            blocks,
            (b.values for b in blocks),
            [b.values.astype(">f8") for b in blocks],
        ):
            save_logits(tmp_path / "a", source, format=format)
            np.testing.assert_array_equal(LOADERS[format](tmp_path / "a", "float64"), logits)

    def test_over_itself(self, tmp_path: Path, format: Any) -> None:
        """The file that is read is replaced by what it holds."""
        logits = RNG.normal(size=(70, 5))
        np.save(tmp_path / "a", logits)
        reader = open_logits(tmp_path / "a.npy")
        save_logits(tmp_path / "a.npy", reader, format=format)
        np.testing.assert_array_equal(LOADERS[format](tmp_path / "a.npy", "float64"), logits)

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path, format: Any) -> None:
        def blocks() -> Iterator[np.ndarray]:
            yield np.zeros((2, 5))
            raise RuntimeError("lost")

        path = tmp_path / "a"
        path.write_bytes(b"before")
        kind = "safetensors" if format == "npz" else format
        with pytest.raises(RuntimeError, match="lost"):
            save_logits(path, blocks(), format=kind)
        assert path.read_bytes() == b"before"
        assert os.listdir(tmp_path) == ["a"]

    def test_mode_is_that_of_new_files(self, tmp_path: Path, format: Any) -> None:
        (tmp_path / "plain").touch()
        save_logits(tmp_path / "a", np.zeros((2, 5)), format=format)
        modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("plain", "a")}
        assert len(modes) == 1

    def test_floors_are_no_values(self, tmp_path: Path, format: Any) -> None:
        logits = RNG.normal(size=(2, 5))
        write_llama_cpp(tmp_path / "a", logits, np.arange(6) % 5, 6)
        reader = open_logits(tmp_path / "a")
        with pytest.raises(ValueError, match="are a lower limit and no value"):
            save_logits(tmp_path / "b", reader, format=format)
        save_logits(tmp_path / "b", reader, format=format, floor="value")
        values = np.concatenate([b.values for b in reader.blocks(2)])
        np.testing.assert_array_equal(LOADERS[format](tmp_path / "b", "float32"), values)


class TestRefusals:
    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
    def test_a_logit_beyond_the_type(self, tmp_path: Path, dtype: Any) -> None:
        logits = np.zeros((9, 5))
        logits[7, 3] = -1e300
        blocks = [logits[:4], logits[4:]]
        with pytest.raises(OverflowError, match=rf"row 7: logit 3 is -1e\+300, beyond {dtype}"):
            save_logits(tmp_path / "a.npy", blocks, dtype=dtype)
        assert not os.listdir(tmp_path)

    @pytest.mark.parametrize(
        ("source", "options", "error", "reason"),
        [
            (np.zeros(3), {}, ValueError, r"have shape \(3,\)"),
            (np.zeros((0, 3)), {}, ValueError, "there are no logits"),
            ([], {}, ValueError, "there are no logits"),
            ([np.zeros(3)], {}, ValueError, "there are no logits"),
            ([np.zeros((2, 3)), np.zeros((2, 4))], {}, ValueError, r"block has shape \(2, 4\)"),
            (
                [np.zeros((2, 3)), np.zeros((2, 3), "f4")],
                {},
                TypeError,
                "a block has dtype float32",
            ),
            (np.zeros((2, 3), int), {}, TypeError, "logits have dtype int64"),
            (np.zeros((2, 3)), {"format": "hdf5"}, ValueError, "format = 'hdf5'"),
            (np.zeros((2, 3)), {"dtype": "int8"}, ValueError, "dtype = 'int8'"),
            (np.zeros((2, 3)), {"n_ctx": 8}, ValueError, "are of format llama.cpp, not of npy"),
            (np.zeros((2, 3)), {"format": "llama.cpp"}, ValueError, "takes tokens and n_ctx"),
            (
                np.zeros((2, 3)),
                {"format": "llama.cpp", "dtype": "float32"},
                ValueError,
                "has a dtype of its own",
            ),
        ],
    )
    def test_sources_and_options(
        self, tmp_path: Path, source: Any, options: Any, error: type[Exception], reason: str
    ) -> None:
        with pytest.raises(error, match=reason):
            save_logits(tmp_path / "a.npy", source, **options)
        assert not os.listdir(tmp_path)

    def test_format_of_a_name(self) -> None:
        assert format_of("x.KLD") == "llama.cpp"
        assert format_of(b"x.feather") == "arrow"
        with pytest.raises(ValueError, match=r"x\.txt ends in none of"):
            format_of("x.txt")

    def test_without_pyarrow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        for write in (
            lambda: save_logits(tmp_path / "a.parquet", np.zeros((2, 3))),
            lambda: write_tokens_table(tmp_path / "a.arrow", {"a": [1]}),
        ):
            with pytest.raises(ModuleNotFoundError, match=r'pip install "fastdiv\[arrow\]"'):
                write()
        assert not os.listdir(tmp_path)


class TestConversion:
    @given(values=hnp.arrays(np.float32, 64, elements=st.floats(width=32, allow_infinity=False)))
    def test_bfloat16_of_float32(self, values: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            expected = values.astype(ml_dtypes.bfloat16)
        kept = np.isfinite(expected) | np.isnan(expected)
        ours = converted(values[kept][None], "bfloat16").view(ml_dtypes.bfloat16)[0]
        np.testing.assert_array_equal(ours.astype(np.float32), expected[kept].astype(np.float32))

    @given(data=st.data())
    def test_bfloat16_of_float64_is_rounded_once(self, data: st.DataObject) -> None:
        """Halfway between two neighbours, and next to it: exact arithmetic says which is nearer."""
        low = data.draw(st.integers(0, 0x7F7E))
        below, above = (
            np.array([n], np.uint16).view(ml_dtypes.bfloat16).astype(np.float64)[0]
            for n in (low, low + 1)
        )
        middle = (below + above) / 2
        steps = data.draw(st.integers(-3, 3))
        x = middle
        for _ in range(abs(steps)):
            x = np.nextafter(x, math.copysign(math.inf, steps))
        x = data.draw(st.sampled_from([x, np.nextafter(below, above), np.nextafter(above, below)]))
        down, up = Fraction(float(x)) - Fraction(below), Fraction(above) - Fraction(float(x))
        nearest = low if down < up or (down == up and low % 2 == 0) else low + 1
        for sign, bit in ((1, 0), (-1, 0x8000)):
            assert converted(np.array([[sign * x]]), "bfloat16")[0, 0] == nearest | bit

    def test_nan_stays(self) -> None:
        quiet = np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)[None]
        for values in (quiet, np.array([[np.nan, -np.nan]])):
            assert np.isnan(converted(values, "bfloat16").view(ml_dtypes.bfloat16)).all()

    def test_infinity_stays(self) -> None:
        for dtype in ("float16", "bfloat16", "float32"):
            result = converted(np.array([[-np.inf, np.inf]]), dtype)
            if dtype == "bfloat16":
                result = result.view(ml_dtypes.bfloat16)
            assert result.astype(float).tolist() == [[-math.inf, math.inf]]


def logits_file(logits: np.ndarray, tokens: list[int], n_ctx: int, window: int) -> bytes:
    """Encode as the description says, number by number."""
    f32 = np.float32
    content = b"_logits_" + struct.pack("=3i", n_ctx, logits.shape[1], len(tokens) // n_ctx)
    content += struct.pack(f"={len(tokens)}i", *tokens)
    for row in logits.astype(f32):
        most = max(row)
        least = max(min(row), f32(most - f32(window)))
        terms = [float(f32(math.exp(float(f32(x - most))))) for x in row]
        log_sum = f32(math.log(math.fsum(terms)))
        scale = f32(f32(most - least) / f32(65535))
        low = f32(f32(least - most) - log_sum)
        codes = [
            round(float(f32(f32(x - least) * f32(f32(1) / scale)))) if x > least else 0 for x in row
        ]
        codes += [0] * (len(codes) % 2)
        content += struct.pack(f"=ff{len(codes)}H", scale, low, *codes)
    return content


class TestLlamaCpp:
    @pytest.mark.parametrize("window", [16, 24])
    @pytest.mark.parametrize("vocab", [5, 8])
    def test_every_byte(self, tmp_path: Path, window: int, vocab: int) -> None:
        logits = RNG.normal(scale=9, size=(6, vocab)).astype(np.float32)
        logits[2, 1] = -np.inf
        tokens = RNG.integers(0, vocab, 18)
        for source in (logits, logits.astype(np.float64), [logits[:1], logits[1:]]):
            assert write_llama_cpp(tmp_path / "a", source, tokens, 6, window=window) == 6
            expected = logits_file(logits, tokens.tolist(), 6, window)
            assert (tmp_path / "a").read_bytes() == expected
        reader = open_logits(tmp_path / "a")
        assert isinstance(reader, LlamaCppReader)
        assert reader.tokens is not None
        assert reader.tokens.tolist() == tokens.tolist()
        log_p = logits - np.log(np.exp(logits.astype(float)).sum(-1, keepdims=True))
        (block,) = reader.blocks(6)
        assert block.floor is not None
        near = log_p > log_p.max(-1, keepdims=True) - window + 1e-3
        assert near.any(-1).all()
        assert not block.floor[near & (log_p > log_p.min(-1, keepdims=True))].any()
        np.testing.assert_allclose(block.values[near], log_p[near], atol=window / 65535 + 1e-5)

    def test_from_its_own_reader(self, tmp_path: Path) -> None:
        logits = RNG.normal(scale=3, size=(6, 50))
        write_llama_cpp(tmp_path / "a", logits, RNG.integers(0, 50, 18), 6)
        save_logits(tmp_path / "b.kld", open_logits(tmp_path / "a"))
        first, second = (open_logits(tmp_path / name) for name in ("a", "b.kld"))
        assert isinstance(second, LlamaCppReader)
        assert second.n_ctx == 6
        for x, y in zip(first.blocks(6), second.blocks(6), strict=True):
            np.testing.assert_allclose(x.values, y.values, atol=3e-4)
            np.testing.assert_array_equal(x.labels, y.labels)

    @pytest.mark.parametrize("spread", [0, 1e-44, 1e-38, 1e-34])
    def test_rows_without_a_scale(self, tmp_path: Path, spread: float) -> None:
        logits = np.zeros((2, 4), np.float32)
        logits[:, 0] = spread
        write_llama_cpp(tmp_path / "a", logits, np.zeros(6, int), 6)
        (block,) = open_logits(tmp_path / "a").blocks(2)
        np.testing.assert_allclose(block.values, -math.log(4), rtol=1e-6)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"window": 8}, "window = 8; takes 16"),
            ({"n_ctx": 2}, "in contexts of n_ctx = 2"),
            ({"n_ctx": 4}, "6 tokens in contexts of n_ctx = 4"),
            ({"tokens": np.array([], int)}, "0 tokens"),
            ({"tokens": np.full(6, 5)}, r"not all integers in \[0, 5\)"),
            ({"tokens": np.full(6, -1)}, "not all integers"),
            ({"tokens": np.full(6, 1.0)}, "not all integers"),
            ({"logits": np.zeros((3, 5))}, "3 rows; 1 contexts of 6 tokens take 2"),
            ({"logits": np.zeros((1, 5))}, "1 rows; 1 contexts of 6 tokens take 2"),
            ({"logits": np.array([[0.0] * 5, [np.nan] * 5])}, "row 1: the largest logit is nan"),
            ({"logits": np.array([[0.0] * 5, [np.inf] * 5])}, "row 1: the largest logit is inf"),
            ({"logits": np.array([[-np.inf] * 5] * 2)}, "row 0: the largest logit is -inf"),
        ],
    )
    def test_refusals(self, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
        arguments: dict[str, Any] = {"logits": np.zeros((2, 5)), "tokens": np.zeros(6, int)}
        arguments |= {"n_ctx": 6} | change
        with pytest.raises(ValueError, match=reason):
            write_llama_cpp(tmp_path / "a", **arguments)
        assert not os.listdir(tmp_path)

    @pytest.mark.skipif(
        not PAIR.is_dir(), reason="../shared/data/llm-pair, a real pair of models, is not here"
    )
    def test_the_file_that_llama_cpp_wrote(self, tmp_path: Path) -> None:
        """Byte for byte, from the logits that it was made of."""
        original = open_logits(PAIR / "base.kld")
        assert isinstance(original, LlamaCppReader)
        assert original.tokens is not None
        logits = open_logits(PAIR / "base-logits-f32.npy")
        write_llama_cpp(tmp_path / "a", logits, original.tokens, original.n_ctx)
        assert (tmp_path / "a").read_bytes() == (PAIR / "base.kld").read_bytes()


COLUMNS = {
    "kl": np.array([0.1, np.nan, np.inf]),
    "nll": np.array([0.1, 2.5, -0.0], np.float32),
    "position": np.array([0, 2**53 + 1, -3]),
    "token": np.array([1, 2, 3], np.int32),
    "same_top": np.array([True, False, True]),
    "text": np.array(["a", 'b,"é', "c\nd"]),
}


class TestTokensTable:
    @pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather", ".npz"])
    def test_types_and_values(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"tokens{suffix}"
        write_tokens_table(path, COLUMNS)
        if suffix == ".npz":
            with np.load(path) as archive:
                loaded = dict(archive)
        else:
            read = pq.read_table if suffix == ".parquet" else pyarrow.feather.read_table
            loaded = {
                name: column.to_numpy() for name, column in zip(COLUMNS, read(path), strict=True)
            }
        assert list(loaded) == list(COLUMNS)
        for name, column in COLUMNS.items():
            if name != "text":
                assert loaded[name].dtype == column.dtype
            np.testing.assert_array_equal(loaded[name], column)

    def test_csv(self, tmp_path: Path) -> None:
        write_tokens_table(tmp_path / "a.csv", COLUMNS)
        with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        assert lines[0] == list(COLUMNS)
        assert lines[1] == ["0.1", "0.1", "0", "1", "true", "a"]
        assert lines[2] == ["nan", "2.5", "9007199254740993", "2", "false", 'b,"é']
        assert lines[3] == ["inf", "-0.0", "-3", "3", "true", "c\nd"]
        frame = pd.read_csv(tmp_path / "a.csv")
        assert frame["position"].dtype == np.int64
        assert frame["same_top"].dtype == np.bool_

    def test_more_rows_than_are_written_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fastdiv.io.saving._CSV_ROWS", 7)
        write_tokens_table(tmp_path / "a.csv", {"x": np.arange(20)})
        assert (tmp_path / "a.csv").read_text().split() == ["x", *map(str, range(20))]

    @pytest.mark.parametrize(
        ("name", "columns", "error", "reason"),
        [
            ("a.txt", {"x": [1]}, ValueError, r"a\.txt ends in none of \.parquet"),
            ("a.csv", {}, ValueError, "there are no columns"),
            ("a.csv", {"x": [1, 2], "y": [1]}, ValueError, r"column 'y' has shape \(1,\)"),
            ("a.csv", {"x": [[1]]}, ValueError, r"column 'x' has shape \(1, 1\)"),
            ("a.csv", {"x": [1j]}, TypeError, "column 'x' has dtype complex128"),
            ("a.npz", {"x": [None]}, TypeError, "column 'x' has dtype object"),
        ],
    )
    def test_refusals(
        self, tmp_path: Path, name: str, columns: Any, error: type[Exception], reason: str
    ) -> None:
        with pytest.raises(error, match=reason):
            write_tokens_table(tmp_path / name, columns)
        assert not os.listdir(tmp_path)


def test_a_reader_that_fails_leaves_nothing(tmp_path: Path) -> None:
    logits = RNG.normal(size=(200, 50))
    np.savez_compressed(tmp_path / "a", logits=logits)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match="compressed data are damaged"):
        save_logits(tmp_path / "b.npy", open_logits(tmp_path / "a.npz"))
    assert os.listdir(tmp_path) == ["a.npz"]


class TestReplacing:
    def test_a_link_stays_one(self, tmp_path: Path) -> None:
        (tmp_path / "target").write_bytes(b"before")
        (tmp_path / "link").symlink_to("target")
        save_logits(tmp_path / "link", np.zeros((2, 3)), format="raw")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "target").read_bytes() == bytes(48)

    def test_only_files_are_replaced(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path, tmp_path / "pipe"):
            with pytest.raises(FileFormatError, match="is not a regular file, so nothing"):
                save_logits(path, np.zeros((2, 3)), format="raw")

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"nowhere/a\.npy'"):
            save_logits(tmp_path / "nowhere" / "a.npy", np.zeros((2, 3)))
