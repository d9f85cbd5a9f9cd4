"""The store: what was written comes back, its stated error holds, and damage is refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdiv as fd
from fastdiv.io import FileFormatError
from fastdiv.io import store as store_module
from fastdiv.io.rows import RowBlock
from fastdiv.io.store import StoreReader, write_store
from fastdiv.topk import TopKRows, compare_topk, concatenated, top_k

PAIR = Path(__file__).resolve().parents[2] / "shared" / "data" / "llm-pair"
VOCAB = 3000


def peaked(rows: int, vocab: int = VOCAB, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, vocab)) * rng.uniform(1, 5, (rows, 1))


def read(path: Path, count: int = 1000) -> TopKRows:
    reader = StoreReader(path)
    return concatenated([rows for _, rows in reader.blocks(count)], reader.vocab)


def as_bfloat16(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def widened(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint16:
        return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return x.astype(np.float64)


STORED = {
    "float64": peaked(40),
    "float32": peaked(40).astype(np.float32),
    "float16": peaked(40).astype(np.float16),
    "bfloat16": as_bfloat16(peaked(40)),
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("max_error", [0.3, 0.01, 0.0003])
def test_every_number_is_within_its_error(tmp_path: Path, name: str, max_error: float) -> None:
    logits = STORED[name]
    labels = np.arange(40) * 7
    labels[5] = -100
    path = tmp_path / "base.fd"
    dtype = "bfloat16" if name == "bfloat16" else None
    write_store(path, [logits], vocab=VOCAB, max_error=max_error, labels=labels, dtype=dtype)
    reader = StoreReader(path)
    assert (reader.rows, reader.vocab, reader.sequences) == (40, VOCAB, None)
    assert np.array_equal(reader.labels, labels)
    assert 0 < reader.max_error <= max_error
    wide = widened(logits)
    log_p = wide - fd.logsumexp(wide)[:, None]
    rows = read(path)
    sizes = np.diff(rows.offsets)
    row = np.repeat(np.arange(40), sizes)
    assert (np.abs(rows.log_p - log_p[row, rows.tokens]) <= rows.error[row]).all()
    if name in ("float16", "bfloat16"):
        assert (rows.error < 1e-11).all()
    for i in range(40):
        known = rows.tokens[rows.offsets[i] : rows.offsets[i + 1]]
        assert (np.diff(known) > 0).all()
        expected = top_k(wide[i : i + 1], sizes[i], labels[i : i + 1])
        assert np.array_equal(known, expected.tokens)
        for column in ("tail", "cap", "tail_entropy", "label_log_p"):
            ours, exact = getattr(rows, column)[i], getattr(expected, column)[0]
            assert ours == pytest.approx(exact, rel=1e-12, nan_ok=True), column


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_the_stated_error_holds_and_the_truth_is_inside(
    tmp_path: Path, name: str, ratio: float
) -> None:
    logits = STORED[name]
    wide = widened(logits)
    rng = np.random.default_rng(1)
    shift = np.clip(rng.normal(size=wide.shape), -1, 1) * 0.49 * ratio
    candidate = wide + shift
    log_ratio = shift - (fd.logsumexp(candidate) - fd.logsumexp(wide))[:, None]
    assert np.abs(log_ratio).max() <= ratio
    path = tmp_path / "base.fd"
    dtype = "bfloat16" if name == "bfloat16" else None
    write_store(path, [logits], vocab=VOCAB, max_error=0.02, tail_ratio=ratio, dtype=dtype)
    reader = StoreReader(path)
    assert reader.tail_ratio == ratio
    rows = read(path)
    expected = fd.kl_divergence(wide, candidate, from_logits=True)
    trusting = compare_topk(rows, candidate, tail_ratio=ratio)
    assert (trusting.kl_upper - trusting.kl_lower <= reader.max_error + 1e-9).all()
    for found in (trusting, compare_topk(rows, candidate)):
        assert (found.kl_lower <= expected).all()
        assert (expected <= found.kl_upper).all()


def test_rows_keep_as_few_tokens_as_the_error_allows(tmp_path: Path) -> None:
    path = tmp_path / "base.fd"
    write_store(path, [STORED["float16"]], vocab=VOCAB, max_error=0.01)
    rows = read(path)
    sizes = np.diff(rows.offsets)
    assert sizes.min() < sizes.max()
    inside = store_module.specht(4.0)
    assert (rows.tail * inside <= 0.01).all()
    wide = widened(STORED["float16"])
    for i in np.flatnonzero(sizes > 1):
        fewer = top_k(wide[i : i + 1], sizes[i] - 1)
        assert fewer.tail[0] * inside > 0.01 * (1 - 1e-6)


def test_a_fixed_number_of_tokens(tmp_path: Path) -> None:
    for k in (1, 20, VOCAB):
        path = tmp_path / f"{k}.fd"
        write_store(path, [STORED["float32"]], vocab=VOCAB, k=k)
        rows = read(path)
        assert (np.diff(rows.offsets) == k).all()
        wide = widened(STORED["float32"])
        found = compare_topk(rows, wide)
        assert (found.kl_lower == 0).all()
        stated = StoreReader(path).max_error
        assert stated >= (rows.tail * store_module.specht(4.0)).max()


def test_blocks_come_in_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_BLOCK_TOKENS", 2000)
    monkeypatch.setattr(store_module, "_SCRATCH_NUMBERS", 3 * VOCAB)
    path, other = tmp_path / "a.fd", tmp_path / "b.fd"
    logits = STORED["float32"]
    write_store(path, [logits], vocab=VOCAB)
    write_store(other, (logits[i : i + 3] for i in range(0, 40, 3)), vocab=VOCAB)
    whole = read(path)
    assert StoreReader(path)._index.size > 3
    for count in (1, 7, 40, 100):
        starts = []
        for start, rows in StoreReader(other).blocks(count):
            starts.append(start)
            assert len(rows) == min(count, 40 - start)
        assert starts == list(range(0, 40, count))
        again = read(other, count)
        for name in ("offsets", "tokens", "log_p", "error", "tail", "cap", "tail_entropy"):
            assert np.array_equal(getattr(again, name), getattr(whole, name)), name
    with pytest.raises(ValueError, match="rows_per_block is 0"):
        next(StoreReader(path).blocks(0))


def test_awkward_rows_survive(tmp_path: Path) -> None:
    x = peaked(8, 50).astype(np.float32)
    x[1, 3] = np.nan
    x[2] = -np.inf
    x[3, 0] = np.inf
    x[4] = 0
    x[5, 10:] = -np.inf
    x[6, 1:] = -np.inf
    x[7, 1:] -= 1e4
    for dtype in (np.float32, np.float16):
        path = tmp_path / "base.fd"
        given = x.astype(dtype)
        write_store(path, [given], vocab=50, max_error=1e-3)
        rows = read(path)
        assert np.isnan(rows.tail).tolist() == [False, True, True, True] + [False] * 4
        assert np.diff(rows.offsets)[6] == 1
        assert np.diff(rows.offsets)[5] <= 10
        sound = [0, 4, 5, 6, 7]
        wide = given.astype(np.float64)
        found = compare_topk(rows, wide)
        assert np.isnan(found.kl_lower).tolist() == np.isnan(rows.tail).tolist()
        assert (found.kl_lower[sound] == 0).all()
        # What row 5 leaves out may be where the candidate has nothing.
        assert found.kl_upper[5] == np.inf
        assert (found.kl_upper[[0, 4, 6, 7]] < 0.05).all()


def test_padding_is_cut_and_block_labels_are_kept(tmp_path: Path) -> None:
    x = peaked(5, 60)
    blocks = [
        RowBlock(0, x[:3], None, np.array([1, 2, -100])),
        RowBlock(3, x[3:], None, np.array([4, 5])),
    ]
    path = tmp_path / "base.fd"
    write_store(path, blocks, vocab=50, max_error=1e-3)
    assert StoreReader(path).labels.tolist() == [1, 2, -100, 4, 5]
    rows = read(path)
    assert rows.tokens.max() < 50
    assert np.allclose(compare_topk(rows, x[:, :50]).kl_upper, 0, atol=2e-2)
    write_store(path, [x], vocab=60)
    assert StoreReader(path).labels is None


def test_an_empty_store(tmp_path: Path) -> None:
    path = tmp_path / "base.fd"
    write_store(path, [], vocab=10, labels=np.zeros(0, int))
    reader = StoreReader(path)
    assert reader.rows == 0
    assert reader.labels.size == 0
    assert list(reader.blocks(3)) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"vocab": 0}, ValueError, "vocab is 0"),
        ({"vocab": 50, "max_error": 0}, ValueError, "max_error is 0"),
        ({"vocab": 50, "max_error": None}, ValueError, "max_error is None"),
        ({"vocab": 50, "k": 51}, ValueError, "k is 51; it takes 1…50"),
        ({"vocab": 50, "tail_ratio": 0}, ValueError, "tail_ratio is 0"),
        ({"vocab": 51}, ValueError, r"the block from row 0 on has shape \(4, 50\)"),
        ({"vocab": 50, "labels": [1, 2, 3]}, ValueError, "3 labels for at least 4 rows"),
        ({"vocab": 50, "labels": [1] * 5}, ValueError, "5 labels for 4 rows"),
        ({"vocab": 50, "labels": [1, 2, 3, 50]}, IndexError, "the label of row 3 is 50"),
        ({"vocab": 50, "labels": [1.0] * 4}, TypeError, "labels have dtype float64"),
    ],
)
def test_wrong_arguments_leave_no_file(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_store(tmp_path / "base.fd", [peaked(4, 50)], **options)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_midway_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "base.fd"
    write_store(path, [peaked(4, 50)], vocab=50)
    before = path.read_bytes()

    def failing() -> Any:
        yield peaked(4, 50)
        raise OSError("the source went away")

    with pytest.raises(OSError, match="went away"):
        write_store(path, failing(), vocab=50)
    with pytest.raises(ValueError, match="row 4 on has another dtype"):
        write_store(path, [peaked(4, 50), peaked(4, 50).astype(np.float16)], vocab=50)
    floor = RowBlock(0, peaked(4, 50), np.zeros((4, 50), bool), None)
    with pytest.raises(ValueError, match="has floors"):
        write_store(path, [floor], vocab=50)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["base.fd"]


@pytest.fixture(scope="module")
def sound_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "base.fd"
    write_store(path, [peaked(3, 40)], vocab=40, max_error=0.05, labels=[1, 2, 3])
    return path.read_bytes()


def read_everything(path: Path) -> None:
    for _ in StoreReader(path).blocks(2):
        pass


def test_truncation_at_every_byte_is_refused(tmp_path: Path, sound_bytes: bytes) -> None:
    path = tmp_path / "cut.fd"
    for size in range(len(sound_bytes)):
        path.write_bytes(sound_bytes[:size])
        with pytest.raises(FileFormatError):
            read_everything(path)
    path.write_bytes(sound_bytes + b"\0")
    with pytest.raises(FileFormatError, match="longer than its header says"):
        read_everything(path)
    path.write_bytes(sound_bytes)
    read_everything(path)


def test_every_flipped_bit_is_noticed(tmp_path: Path, sound_bytes: bytes) -> None:
    path = tmp_path / "flipped.fd"
    for bit in range(8 * len(sound_bytes)):
        damaged = bytearray(sound_bytes)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError):
            read_everything(path)


def forged(
    data: bytes, header: dict[int, int] | None = None, entry: dict[str, int] | None = None
) -> bytes:
    """Change header fields by position or the only index entry by name; all checksums agree."""
    fields = list(store_module._HEADER.unpack(data[: store_module._HEADER.size]))
    for position, value in (header or {}).items():
        fields[position] = value
    head = store_module._HEADER.pack(*fields)[:-4]
    head += struct.pack("<I", zlib.crc32(head))
    end = int(store_module._HEADER.unpack(data[: store_module._HEADER.size])[7])
    index = np.frombuffer(
        data[end : end + store_module._ENTRY.itemsize], store_module._ENTRY
    ).copy()
    for name, value in (entry or {}).items():
        index[name] = value
    raw = index.tobytes() + data[end + index.nbytes : -4]
    return head + data[len(head) : end] + raw + struct.pack("<I", zlib.crc32(raw))


@pytest.mark.parametrize(
    ("header", "entry"),
    [
        ({4: 1 << 62}, {}),  # rows
        ({4: 1 << 62}, {"rows": 0xFFFFFFFF}),
        ({4: 0xFFFFFFFF}, {"rows": 0xFFFFFFFF}),
        ({4: 0xFFFFFFFF, 5: (1 << 31) - 1}, {"rows": 0xFFFFFFFF, "tokens": 0xFFFFFFFF}),
        ({5: 0}, {}),  # vocabulary
        ({5: 1 << 63}, {}),
        ({5: 5}, {}),
        ({6: 1 << 60}, {}),  # blocks
        ({7: (1 << 64) - 1}, {}),  # end of blocks
        ({7: 3}, {}),
        ({2: 3}, {}),  # encoding
        ({1: 2}, {}),  # version
        ({}, {"tokens": 0xFFFFFFFF}),
        ({}, {"tokens": 119}),
        ({}, {"tokens": 1}),
        ({}, {"gap_planes": 0xFFFFFFFF}),
        ({}, {"gap_planes": 4}),
        ({}, {"gap_planes": 0, "code_planes": 0, "tokens": 0xFFFFFFFF}),
        ({}, {"code_planes": 0}),
        ({}, {"bytes": 1 << 63}),
        ({}, {"rows": 2}),
    ],
)
def test_absurd_numbers_are_refused_before_memory_is_taken(
    tmp_path: Path, sound_bytes: bytes, header: dict[int, int], entry: dict[str, int]
) -> None:
    path = tmp_path / "forged.fd"
    path.write_bytes(forged(sound_bytes, header, entry))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            read_everything(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_forgery_that_changes_nothing_is_read(tmp_path: Path, sound_bytes: bytes) -> None:
    path = tmp_path / "same.fd"
    path.write_bytes(forged(sound_bytes))
    read_everything(path)


def test_a_packed_bomb_is_refused(tmp_path: Path, sound_bytes: bytes) -> None:
    size = store_module._HEADER.size
    end = int(store_module._HEADER.unpack(sound_bytes[:size])[7])
    bomb = zlib.compress(bytes(100 << 20), 9)
    entry = sound_bytes[end : end + store_module._ENTRY.itemsize]
    index = np.frombuffer(entry, store_module._ENTRY).copy()
    index["bytes"], index["crc"] = len(bomb), zlib.crc32(bomb)
    data = sound_bytes[:size] + bomb + index.tobytes() + sound_bytes[end + len(entry) :]
    path = tmp_path / "bomb.fd"
    path.write_bytes(forged_end(data, size + len(bomb)))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="holds other than"):
            read_everything(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def forged_end(data: bytes, end: int) -> bytes:
    fields = list(store_module._HEADER.unpack(data[: store_module._HEADER.size]))
    fields[7] = end
    return forged(store_module._HEADER.pack(*fields) + data[store_module._HEADER.size :])


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.fd"
    path.write_bytes(b"_logits_" + bytes(200))
    with pytest.raises(FileFormatError, match="is no store"):
        StoreReader(path)
    with pytest.raises(FileFormatError, match="is a directory"):
        StoreReader(tmp_path)


@pytest.mark.skipif(
    not PAIR.is_dir(), reason="../shared/data/llm-pair, a real pair of models, is not here"
)
def test_a_real_pair_is_ten_times_smaller_at_a_useful_error(tmp_path: Path) -> None:
    base, candidate = (np.load(PAIR / f"{x}-logits-f32.npy") for x in ("base", "candidate"))
    path = tmp_path / "base.fd"
    write_store(
        path, [base], vocab=base.shape[1], max_error=0.005, labels=np.load(PAIR / "labels.npy")
    )
    assert 10 * path.stat().st_size < 2 * base.size
    expected = fd.kl_divergence(
        base.astype(np.float64), candidate.astype(np.float64), from_logits=True
    )
    assert expected.mean() == pytest.approx(0.28833734757894797, rel=1e-9)
    rows = read(path)
    found = compare_topk(rows, candidate)
    assert (found.kl_lower <= expected).all()
    assert (expected <= found.kl_upper).all()
    assert 0.2865 < found.kl_lower.mean() < 0.28834 < found.kl_upper.mean() < 0.325
    trusting = compare_topk(rows, candidate, tail_ratio=2.0)
    assert (trusting.kl_upper - trusting.kl_lower <= 0.005).all()
    # The tails of a real pair differ by more than e² here and there, and still stay below.
    assert (expected <= trusting.kl_upper).all()
