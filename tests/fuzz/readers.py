"""Damaged files of every format that fastdiv reads: each is read or refused, and nothing else.

    python tests/fuzz/readers.py --seconds 600 --seed 1

takes sound files, damages them in a way that the seed decides, and reads them.  Allowed is a
`FileFormatError` that names the file, or a reading of as many rows as the reader announced that
takes no more memory than a small file can explain.  Anything else ends the run with the damaged
file beside the message; a crash leaves it too, because it is written before it is read.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import struct
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from fastdiv.io import (
    FileFormatError,
    open_any,
    read_labels,
    save_logits,
    write_llama_cpp,
    write_store,
)
from fastdiv.io.vocabulary import read_vocabulary

ROWS, VOCAB = 4, 5
PEAK = 8 << 20  # bytes; a reader's block, and what zip and Arrow unpack of a few kilobytes
SECONDS = 20  # that one file may take

Reading = Callable[[Path], None]


def read_rows(path: Path) -> None:
    reader = open_any(path)
    rows = 0
    for block in reader.blocks(2):
        if hasattr(block, "values"):
            assert block.values.ndim == 2
            assert block.values.shape[1] == reader.vocab
            assert block.start == rows
            rows += len(block.values)
            _ = block.values.tobytes()  # every page is touched
            for beside in (block.floor, block.labels):
                assert beside is None or len(beside) == len(block.values)
        else:
            start, kept = block
            assert start == rows
            rows += len(kept.offsets) - 1
            assert kept.offsets[-1] == len(kept.tokens)
    assert rows == reader.rows
    labels = reader.labels
    if labels is not None and labels.size:
        assert labels.shape == (rows,)
        assert labels.min() >= -100
        assert reader.vocab is None or labels.max() < reader.vocab


def read_mapped(path: Path) -> None:
    read_rows(path)
    reader = open_any(path)
    assert reader.rows * reader.row_bytes <= path.stat().st_size, "more was read than there is"


def read_beside(path: Path) -> None:
    labels = read_labels(path, rows=ROWS, vocab=VOCAB)
    assert labels.shape == (ROWS,)
    assert ((labels == -100) | ((labels >= 0) & (labels < VOCAB))).all()


def read_texts(path: Path) -> None:
    read_vocabulary(path)


def sound_files(folder: Path) -> Iterator[tuple[str, bytes, Reading]]:
    """Yield a name, the content and what reads it, for every format that can be written here."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(ROWS, VOCAB)).astype(np.float32)
    labels = rng.integers(0, VOCAB, ROWS)
    path = folder / "sound"

    def written() -> bytes:
        return path.read_bytes()

    for dtype in ("float16", "float32", "float64"):
        with open(path, "wb") as file:
            np.save(file, logits.astype(dtype))
        yield f"npy {dtype}", written(), read_mapped
    with open(path, "wb") as file:
        np.save(file, labels)
    yield "labels", written(), read_beside
    for name, save in (("npz", np.savez), ("compressed npz", np.savez_compressed)):
        with open(path, "wb") as file:
            save(file, logits=logits, labels=labels)
        yield name, written(), read_rows
    for suffix in (".safetensors", ".arrow", ".parquet"):
        other = path.with_suffix(suffix)
        try:
            save_logits(other, logits)
        except ModuleNotFoundError:
            continue
        yield suffix[1:], other.read_bytes(), read_rows
    tokens = rng.integers(0, VOCAB, (2, 8))
    with_rows = rng.normal(size=(2 * 3, VOCAB)).astype(np.float32)
    write_llama_cpp(path, with_rows, tokens=tokens, n_ctx=8)
    yield "llama.cpp", written(), read_rows
    write_store(path, [logits], vocab=VOCAB, labels=labels)
    yield "store", written(), read_rows
    yield from _shards(folder, logits)
    yield from _torch(path, logits)
    yield from _documents()


def _shards(folder: Path, logits: np.ndarray) -> Iterator[tuple[str, bytes, Reading]]:
    save_logits(folder / "shard.safetensors", logits)
    name = json.loads(_header(folder / "shard.safetensors"))
    name.pop("__metadata__", None)
    index = {"metadata": {}, "weight_map": {next(iter(name)): "shard.safetensors"}}
    yield "index", json.dumps(index).encode(), read_rows


def _header(path: Path) -> bytes:
    content = path.read_bytes()
    return content[8 : 8 + struct.unpack("<Q", content[:8])[0]]


def _torch(path: Path, logits: np.ndarray) -> Iterator[tuple[str, bytes, Reading]]:
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.save({"logits": torch.from_numpy(logits)}, path)
    yield "torch", path.read_bytes(), read_rows


def _documents() -> Iterator[tuple[str, bytes, Reading]]:
    prompt = [
        None,
        {"7": {"logprob": -0.7, "rank": 1}, "9": {"logprob": -1.4, "rank": 2}},
        {"3": {"logprob": -0.2, "rank": 1, "decoded_token": "é"}},
    ]
    content = [
        {
            "token": " a",
            "logprob": -0.1,
            "bytes": [32, 97],
            "top_logprobs": [
                {"token": " a", "logprob": -0.1, "bytes": [32, 97]},
                {"token": " b", "logprob": -3.0, "bytes": [32, 98]},
            ],
        }
    ]
    older = {
        "tokens": [" a", " b"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{" a": -0.1}, {" b": -0.2, " c": -2.0}],
    }
    answers = {
        "prompt logprobs": {"prompt_logprobs": prompt},
        "chat": {"choices": [{"logprobs": {"content": content}}]},
        "completion": {"choices": [{"logprobs": older}]},
    }
    for name, answer in answers.items():
        yield name, json.dumps(answer).encode(), read_rows
        line = json.dumps(answer).encode() + b"\n"
        yield f"{name}, lines", 3 * line, read_rows
    vocabulary = {" a": 0, "b": 1, "é": 2}
    tokenizer = {
        "model": {"type": "BPE", "vocab": vocabulary},
        "added_tokens": [{"id": 3, "content": "<s>"}],
        "decoder": {"type": "ByteLevel"},
    }
    yield "tokenizer", json.dumps(tokenizer).encode(), read_texts
    yield "vocabulary", json.dumps(vocabulary).encode(), read_texts
    yield "list of tokens", json.dumps(list(vocabulary)).encode(), read_texts
    yield "text of tokens", "\n".join(vocabulary).encode(), read_texts


ODD = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
WORDS = [b"NaN", b"-1", b"1e999", b"null", b"true", b"[", b"{", b'"', b"9" * 30, b"-Infinity"]
WORDS += [b"\xff\xfe", b"\\u0000", b"\\ud800", b"-0.0", b"[" * 2000]


def damaged(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Return the content after one to four accidents."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if not data:
            break
        at = rng.randrange(min(len(data), rng.choice((16, 256, 1 << 20))))
        size = rng.randrange(1, 1 + min(64, len(data) - at))
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size]
        elif kind == 5:
            width = rng.choice((1, 2, 4, 8))
            number = (rng.choice(ODD) + rng.choice((0, 0, -1, 1))) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, "little")
        elif kind == 6:
            data[at : at + rng.choice((0, size))] = rng.choice(WORDS)
        elif kind == 7:
            start = rng.randrange(len(other))
            data[at : at + size] = other[start : start + size]
        else:
            data += bytes(rng.randrange(256) for _ in range(size))
    return bytes(data)


def late(*_: object) -> None:
    raise TimeoutError(f"one small file took more than {SECONDS} seconds")


def check_message(message: str, folder: Path) -> None:
    assert message.startswith(str(folder)), message
    assert "\n" not in message, message


def fuzz(seconds: float, seed: int, folder: Path, most: int | None = None) -> Counter[str]:
    """Damage and read files for so long, or so many; return what became of them."""
    sound = list(sound_files(folder))
    seen: Counter[str] = Counter()
    path = folder / "damaged"
    signal.signal(signal.SIGALRM, late)
    for _, content, read in sound:
        path.write_bytes(content)
        read(path)  # also imports what each format needs, whose memory is no file's
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end and (most is None or number < most):
        name, content, read = sound[number % len(sound)]
        rng = random.Random(f"{seed} {number}")
        _, other, _ = rng.choice(sound)
        path.write_bytes(damaged(rng, content, other))
        tracemalloc.start()
        signal.alarm(SECONDS)
        try:
            read(path)
            seen[f"{name}: read"] += 1
        except FileFormatError as refused:
            check_message(str(refused), folder)
            seen[f"{name}: refused"] += 1
        finally:
            signal.alarm(0)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < PEAK, f"{peak} bytes for a file of {path.stat().st_size}"
        number += 1
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, help="no more files than that")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    folder = Path(tempfile.mkdtemp(prefix="fastdiv-fuzz-"))
    try:
        seen = fuzz(arguments.seconds, arguments.seed, folder, arguments.most)
    except BaseException:
        print(f"the damaged file is {folder / 'damaged'}", file=sys.stderr)
        raise
    formats = sorted({key.rpartition(": ")[0] for key in seen})
    for name in formats:
        read, refused = seen[f"{name}: read"], seen[f"{name}: refused"]
        print(f"{name:24} {read + refused:8} files {refused:8} refused {read:8} read")
    print(f"{'all':24} {seen.total():8} files")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
