"""Log-probabilities in JSON: what each server prints, and what may be wrong with it."""

import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastdiv.io import FileFormatError, LogprobsReader, TokenNames, open_any, open_logprobs
from fastdiv.topk import TopKRows

VOCAB = 50

Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*documents: object, name: str = "file.json", indent: int | None = None) -> Path:
        path = tmp_path / name
        lines = [d if isinstance(d, str) else json.dumps(d, indent=indent) for d in documents]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def distributions(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities as float32 has them, and the tokens that came."""
    rng = np.random.default_rng(rows)
    logits = rng.normal(scale=3, size=(rows, VOCAB))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return log_p.astype(np.float32), rng.integers(0, VOCAB, rows)


def text_of(token: int) -> str:
    return f" t{token}é"


def value(x: Any) -> float:
    return float(x)


def top(row: np.ndarray, k: int) -> list[int]:
    return [int(t) for t in np.argsort(-row)[:k]]


def chat(log_p: np.ndarray, came: np.ndarray, k: int, *, ids: bool = False) -> dict[str, Any]:
    def entry(row: np.ndarray, t: int) -> dict[str, Any]:
        text = text_of(t)
        known = {"token": text, "logprob": value(row[t]), "bytes": list(text.encode())}
        return {"id": t, **known} if ids else known

    content = [
        {**entry(row, int(t)), "top_logprobs": [entry(row, u) for u in top(row, k)]}
        for row, t in zip(log_p, came, strict=True)
    ]
    return {"content": content}


def openai_chat(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    return {"created": 1.5, "choices": [{"logprobs": chat(log_p, came, k)}]}


def openai_batch(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    return {"custom_id": "x", "response": {"status_code": 200, "body": openai_chat(log_p, came, k)}}


def llama_cpp_chat(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    return {"choices": [{"logprobs": chat(log_p, came, k, ids=True)}]}


def llama_cpp(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    return {"content": "", "completion_probabilities": chat(log_p, came, k, ids=True)["content"]}


def completions(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    tops = [
        {text_of(u): value(row[u]) for u in dict.fromkeys([*top(row, k), int(t)])}
        for row, t in zip(log_p, came, strict=True)
    ]
    return {
        "choices": [
            {
                "logprobs": {
                    "tokens": ["first", *map(text_of, came)],
                    "token_logprobs": [None, *(value(x) for x in log_p[range(len(came)), came])],
                    "top_logprobs": [None, *tops],
                }
            }
        ]
    }


def vllm_positions(log_p: np.ndarray, came: np.ndarray, k: int) -> list[dict[str, Any]]:
    return [
        {
            str(u): {
                "logprob": value(row[u]),
                "rank": 1 + int((row > row[u]).sum()),
                "decoded_token": text_of(u),
            }
            for u in dict.fromkeys([int(t), *top(row, k)])
        }
        for row, t in zip(log_p, came, strict=True)
    ]


def vllm_prompt(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    return {"prompt_logprobs": [None, *vllm_positions(log_p, came, k)]}


def vllm_output(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
    logprobs = vllm_positions(log_p, came, k)
    return {
        "prompt_logprobs": None,
        "outputs": [{"token_ids": [*map(int, came)], "logprobs": logprobs}],
    }


def sglang(side: str) -> Callable[[np.ndarray, np.ndarray, int], dict[str, Any]]:
    def document(log_p: np.ndarray, came: np.ndarray, k: int) -> dict[str, Any]:
        tokens: list[Any] = [
            [value(row[t]), int(t), text_of(t)] for row, t in zip(log_p, came, strict=True)
        ]
        tops: list[Any] = [[[value(row[u]), u, None] for u in top(row, k)] for row in log_p]
        if side == "input":
            tokens, tops = [[None, 7, "first"], *tokens], [None, *tops]
        return {"meta_info": {f"{side}_token_logprobs": tokens, f"{side}_top_logprobs": tops}}

    return document


SERVERS = {
    "openai_chat": openai_chat,
    "openai_batch": openai_batch,
    "llama_cpp_chat": llama_cpp_chat,
    "llama_cpp": llama_cpp,
    "completions": completions,
    "vllm_prompt": vllm_prompt,
    "vllm_output": vllm_output,
    "sglang_input": sglang("input"),
    "sglang_output": sglang("output"),
}
BY_TEXT = ("openai_chat", "openai_batch", "completions")


def ids_of(reader: LogprobsReader) -> dict[int, int]:
    """Return {identifier in the file: token}."""
    if reader.names is None:
        return {t: t for t in range(VOCAB)}
    by_text = {text_of(t).encode(): t for t in range(VOCAB)}
    return {i: by_text[name] for i, name in enumerate(reader.names)}


def one_block(reader: LogprobsReader) -> TopKRows:
    ((start, rows),) = reader.blocks(10**6)
    assert start == 0
    return rows


def rows_of(block: TopKRows) -> list[dict[int, float]]:
    return [
        dict(zip(block.tokens[i:j].tolist(), block.log_p[i:j].tolist(), strict=True))
        for i, j in zip(block.offsets[:-1], block.offsets[1:], strict=True)
    ]


@pytest.mark.parametrize("server", SERVERS)
class TestServers:
    @pytest.mark.parametrize("k", [1, 5])
    @pytest.mark.parametrize("form", ["one", "indented", "lines", "list"])
    def test_every_number(self, write: Write, server: str, k: int, form: str) -> None:
        log_p, came = distributions(9)
        parts = [slice(0, 4), slice(4, 9)] if form in ("lines", "list") else [slice(0, 9)]
        documents = [SERVERS[server](log_p[part], came[part], k) for part in parts]
        path = (
            write(documents)
            if form == "list"
            else write(*documents, indent=2 if form == "indented" else None)
        )
        reader = open_logprobs(path)
        assert (reader.rows, reader.vocab) == (9, None)
        assert (reader.names is not None) == (server in BY_TEXT)
        tokens = ids_of(reader)
        assert [tokens[i] for i in reader.labels.tolist()] == came.tolist()
        assert reader.sequences.tolist() == ([0] * 9 if len(parts) == 1 else [0] * 4 + [1] * 5)
        if server not in BY_TEXT:
            assert reader.texts[int(came[0])] == text_of(came[0])
        block = one_block(reader)
        for i, known in enumerate(rows_of(block)):
            assert {tokens[t]: x for t, x in known.items()} == {
                t: value(log_p[i, t]) for t in {*top(log_p[i], k), int(came[i])}
            }
        np.testing.assert_array_equal(block.label_log_p, log_p[range(9), came])
        assert np.isnan(block.tail_entropy).all()

    def test_what_is_said_of_the_tail_is_true(self, write: Write, server: str) -> None:
        log_p, came = distributions(40)
        reader = open_logprobs(write(SERVERS[server](log_p, came, 4)))
        tokens, block = ids_of(reader), one_block(reader)
        for i, known in enumerate(rows_of(block)):
            rest = np.ones(VOCAB, bool)
            rest[[tokens[t] for t in known]] = False
            p = np.exp(log_p[i].astype(np.float64))
            assert abs(block.tail[i] - p[rest].sum()) <= block.tail_error[i] < 1e-5
            assert p[rest].max() <= block.cap[i]
            # The list says as much as it can: the token that came is not taken for its last.
            fourth = p[top(log_p[i], 4)[-1]]
            third = p[top(log_p[i], 4)[-2]]
            mixed = server == "completions"
            assert block.cap[i] <= (third if mixed else fourth) * (1 + 1e-5)
            assert 1e-6 < block.error[i] < 4e-6

    def test_blocks_of_any_size(self, write: Write, server: str) -> None:
        log_p, came = distributions(7)
        path = write(*(SERVERS[server](log_p[i:j], came[i:j], 3) for i, j in ((0, 3), (3, 7))))
        reader = open_logprobs(path, vocab=VOCAB)
        whole = rows_of(one_block(reader))
        for size in (1, 2, 3, 7, 8):
            blocks = list(reader.blocks(size))
            assert [start for start, _ in blocks] == list(range(0, 7, size))
            assert all(len(block) == size for _, block in blocks[:-1])
            assert all(block.vocab == VOCAB for _, block in blocks)
            assert [row for _, block in blocks for row in rows_of(block)] == whole

    def test_cut_anywhere(self, write: Write, server: str) -> None:
        text = json.dumps(SERVERS[server](*distributions(2), 2))
        for end in range(0, len(text), 7):
            with pytest.raises(FileFormatError, match=r"document 0: is no JSON|holds no log-prob"):
                open_logprobs(write(text[:end]))

    def test_no_list_of_others(self, write: Write, server: str) -> None:
        log_p, came = distributions(3)
        reader = open_logprobs(write(SERVERS[server](log_p, came, 0)))
        block = one_block(reader)
        for i, known in enumerate(rows_of(block)):
            assert list(known.values()) == [value(log_p[i, came[i]])]
        # Any other token may have all that is left, unless the one that came is said to be first.
        p = np.exp(block.label_log_p)
        first = (log_p.argmax(-1) == came) & server.startswith("vllm")
        expected = np.where(first, np.minimum(p, 1 - p), 1 - p)
        np.testing.assert_allclose(block.cap, expected, rtol=1e-5, atol=1e-5)


class TestSharedNames:
    def test_two_files_have_one_table(self, write: Write) -> None:
        log_p, came = distributions(5)
        names = TokenNames()
        first = open_logprobs(write(openai_chat(log_p, came, 3), name="a"), names)
        second = open_logprobs(write(completions(log_p[::-1], came[::-1], 5), name="b"), names)
        assert first.names is second.names is names
        assert first.labels.tolist() == second.labels[::-1].tolist()
        assert names[first.labels[0]] == text_of(came[0]).encode()
        assert list(names) == [names[i] for i in range(len(names))]

    def test_identifiers_need_no_table(self, write: Write) -> None:
        names = TokenNames()
        assert open_logprobs(write(llama_cpp(*distributions(2), 3)), names).names is None
        assert len(names) == 0

    def test_texts_that_are_identifiers_or_bytes(self, write: Write) -> None:
        top_logprobs = {"bytes:\\xe2\\x80": -0.5, "é": -1.25}
        logprobs = {"tokens": ["é"], "token_logprobs": [-1.25], "top_logprobs": [top_logprobs]}
        reader = open_logprobs(write({"choices": [{"logprobs": logprobs}]}))
        assert reader.names is not None
        assert sorted(reader.names) == ["é".encode(), b"\xe2\x80"]
        logprobs = {
            "tokens": ["token_id:12"],
            "token_logprobs": [-0.5],
            "top_logprobs": [{"token_id:12": -0.5, "token_id:3": -1.5}],
        }
        reader = open_logprobs(write({"choices": [{"logprobs": logprobs}]}))
        assert reader.names is None
        assert reader.labels.tolist() == [12]

    def test_prompt_and_output(self, write: Write) -> None:
        log_p, came = distributions(6)
        document = vllm_prompt(log_p[:2], came[:2], 3) | openai_chat(log_p[2:], came[2:], 3)
        path = write(document)
        with pytest.raises(FileFormatError, match="some only their text"):
            open_logprobs(path)
        assert open_logprobs(path, part="prompt").labels.tolist() == came[:2].tolist()
        assert open_logprobs(path, part="output").rows == 4
        document = vllm_prompt(log_p[:2], came[:2], 3)
        outputs = [vllm_output(log_p[i:j], came[i:j], 3)["outputs"][0] for i, j in ((2, 3), (3, 6))]
        reader = open_logprobs(write({**document, "outputs": outputs}))
        assert reader.labels.tolist() == came.tolist()
        assert reader.sequences.tolist() == [0, 0, 0, 1, 1, 1]
        with pytest.raises(FileFormatError, match="no log-probabilities of the prompt"):
            open_logprobs(write({"outputs": outputs}), part="prompt")
        with pytest.raises(ValueError, match="part = 'all'"):
            open_logprobs(path, part="all")  # type: ignore[arg-type]


def listed(*pairs: tuple[object, int], came: tuple[object, int] = (-1.0, 0)) -> dict[str, Any]:
    """Return one position of SGLang's, whose identifiers and values are what they are."""
    return {
        "meta_info": {
            "output_token_logprobs": [[*came, None]],
            "output_top_logprobs": [[[log_p, token, None] for log_p, token in pairs]],
        }
    }


class TestWhatIsNotKnown:
    @pytest.mark.parametrize("sign", [-9999.0, -9999, -3.4028234663852886e38, -math.inf, None])
    def test_the_sign_for_unlikely_is_of_the_tail(self, write: Write, sign: object) -> None:
        document = listed((-0.50000001, 1), (-1.5000001, 2), (sign, 3), came=(sign, 0))
        block = one_block(open_logprobs(write(document)))
        assert rows_of(block) == [{1: -0.50000001, 2: -1.5000001}]
        assert math.isnan(block.label_log_p[0])
        left = 1 - math.exp(-0.50000001) - math.exp(-1.5000001)
        assert block.tail[0] == pytest.approx(left, abs=1e-15)
        assert left < block.cap[0] <= left + block.tail_error[0]

    def test_a_label_that_only_the_list_knows(self, write: Write) -> None:
        document = listed((-0.5, 1), (-1.5, 2), came=(-9999.0, 2))
        assert one_block(open_logprobs(write(document))).label_log_p.tolist() == [-1.5]

    def test_nothing_at_all(self, write: Write) -> None:
        block = one_block(open_logprobs(write(listed(came=(None, 3)))))
        assert rows_of(block) == [{}]
        assert (block.tail.tolist(), block.cap.tolist()) == ([1.0], [1.0])
        assert block.tail_error.tolist() == [0.0]

    @pytest.mark.parametrize(
        ("printed", "left_out"),
        [
            ("-0.5, -1.25", 0.005),
            ("-0.5, -1", 0.05),
            ("-1, -1", 0.5),
            ("-0.5, -12.3456", 0.00005),
            ("-0.5, -1.2345678", 0),
            ("-0.5, -1.234567", 5e-7),
            ("-0.5, -12.345678", 0),
            ("-5e-1, -1.25e0", 0.005),
            ("-12.5, -1.5e-05", 5e-7),
            ("-0.5, -9999.0", 0.05),
        ],
    )
    def test_what_printing_left_out(self, write: Write, printed: str, left_out: float) -> None:
        first, second = printed.split(", ")
        text = json.dumps(listed(("A", 1), ("B", 2), came=(None, 0)))
        text = text.replace('"A"', first).replace('"B"', second)
        deepest = min(x for x in (float(first), float(second)) if x > -9999)
        error = one_block(open_logprobs(write(text))).error[0]
        assert error == pytest.approx(2.0**-24 * (32 - deepest) + left_out, rel=1e-12)

    def test_rounded_numbers_keep_their_promise(self, write: Write) -> None:
        log_p, came = distributions(30)
        log_p = log_p.astype(np.float64)
        reader = open_logprobs(write(llama_cpp(log_p.round(3), came, 5)))
        block = one_block(reader)
        for i, known in enumerate(rows_of(block)):
            assert all(abs(x - log_p[i, t]) <= block.error[i] for t, x in known.items())
            rest = np.delete(np.exp(log_p[i]), list(known))
            assert abs(rest.sum() - block.tail[i]) <= block.tail_error[i]
            assert rest.max() <= block.cap[i]

    def test_a_little_above_one(self, write: Write) -> None:
        block = one_block(open_logprobs(write(listed((1e-5, 1), came=(1e-5, 1)))))
        assert rows_of(block) == [{1: 0.0}]
        assert block.error[0] >= 1e-5
        assert block.tail.tolist() == [0.0]
        assert block.label_log_p.tolist() == [0.0]

    def test_more_than_one_in_all_widens_the_tail(self, write: Write) -> None:
        half = math.log(0.5002)
        block = one_block(open_logprobs(write(listed((half, 1), (half, 0), came=(half, 0)))))
        assert block.tail.tolist() == [0.0]
        assert block.tail_error[0] == pytest.approx(0.0004)

    def test_texts_that_lost_bytes(self, write: Write) -> None:
        logprobs = {
            "tokens": ["a"],
            "token_logprobs": [-1.25],
            "top_logprobs": [{"\ufffd": -1.0, "a": -1.25, "b": -2.0}],
        }
        block = one_block(open_logprobs(write({"choices": [{"logprobs": logprobs}]})))
        assert [sorted(known.values()) for known in rows_of(block)] == [[-2.0, -1.25]]
        # The object may have lost others of that text, each as probable as anything.
        assert block.cap[0] == block.tail[0] + block.tail_error[0]

    def test_two_tokens_of_one_text(self, write: Write) -> None:
        content = [
            {
                "token": "a",
                "logprob": -1.0,
                "bytes": None,
                "top_logprobs": [
                    {"token": t, "bytes": b, "logprob": x}
                    for t, b, x in (
                        ("a", None, -1.0),
                        ("a", [97], -1.5),
                        ("\ufffd", [239, 191, 189], -2.0),
                        ("c", None, -3.0),
                    )
                ],
            }
        ]
        reader = open_logprobs(write({"choices": [{"logprobs": {"content": content}}]}))
        block = one_block(reader)
        assert [list(known.values()) for known in rows_of(block)] == [[-3.0]]
        assert block.label_log_p.tolist() == [-1.0]
        assert block.cap[0] == pytest.approx(math.exp(-1.0 + block.error[0]))

    def test_the_first_token_of_a_prompt_has_no_row(self, write: Write) -> None:
        for server in ("vllm_prompt", "sglang_input", "completions"):
            assert open_logprobs(write(SERVERS[server](*distributions(3), 2))).rows == 3

    def test_which_token_came_of_vllm_s(self, write: Write) -> None:
        positions = [{"5": {"logprob": -0.5, "rank": 1}, "9": {"logprob": -4.5, "rank": 17}}]
        assert open_logprobs(write({"prompt_logprobs": positions})).labels.tolist() == [9]
        document: dict[str, Any] = {"prompt_logprobs": [{"5": -0.5, "9": -1.5}]}
        assert open_logprobs(write(document)).labels.tolist() == [5]
        document["prompt_token_ids"] = [9]
        assert open_logprobs(write(document)).labels.tolist() == [9]


class TestRefusals:
    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ("", "holds no log-probabilities"),
            ("[]", "holds no log-probabilities"),
            ("{", "document 0: is no JSON"),
            ("7", "document 0: is no JSON object"),
            ('[{"completion_probabilities": []}, 3]', "document 1: is no JSON object"),
            ("{}", "document 0: has no log-probabilities that fastdiv knows"),
            ('{"error": {"message": "quota"}}', "document 0: has no .*quota"),
            ('{"choices": [{"logprobs": null}]}', "document 0: has no log-prob"),
            ('{"choices": [{"logprobs": {}}]}', "logprobs: has neither content nor tokens"),
            ('{"choices": [{"logprobs": 3}]}', r"choices\[0\].logprobs: is neither"),
            ('{"choices": 3}', "choices: is no list"),
            ('{"choices": [3]}', r"choices\[0\]: is no JSON object"),
            ('{"response": {"status_code": 500}}', "response: has no body"),
            ('{"prompt_logprobs": [null, null]}', "prompt_logprobs, position 1: is no JSON object"),
            ('{"prompt_logprobs": [null, {}]}', "position 1: has no tokens"),
            ('{"prompt_logprobs": [null, {"x": -1}]}', "position 1: 'x' is no token id"),
            ('{"prompt_logprobs": [{"3": {}}]}', "position 0: token '3' has no logprob"),
            ('{"prompt_logprobs": [{"3": -1, "3": -2}]}', "an object has '3' twice"),
            ('{"prompt_logprobs": [{"3": -1, "03": -2}]}', "position 0: token 3 is listed twice"),
            ('{"prompt_logprobs": [{"3": -1}], "prompt_token_ids": [4]}', "token 4 came, but"),
            ('{"prompt_logprobs": [{"3": -1}], "prompt_token_ids": []}', "has 1, 0 positions"),
            ('{"prompt_logprobs": [{"3": -1}], "prompt_token_ids": [3, 4]}', "has 1, 2 positions"),
            ('{"completion_probabilities": [{"probs": []}]}', "after sampling"),
            (
                '{"completion_probabilities": [{"token": "a"}]}',
                "position 0: a token has no logprob",
            ),
            ('{"completion_probabilities": [{"logprob": -1}]}', "token is None; takes text"),
            (
                '{"completion_probabilities": [{"token": "", "id": -1, "logprob": -1}]}',
                "-1 is no t",
            ),
            ('{"completion_probabilities": [{"token": "", "id": true, "logprob": -1}]}', "True is"),
            (
                '{"completion_probabilities": [{"token": "", "bytes": [256], "logprob": -1}]}',
                "numbers from 0 to 255",
            ),
            (
                '{"completion_probabilities": [{"token": "", "bytes": ["a"], "logprob": -1}]}',
                "numbers from 0 to 255",
            ),
            (
                '{"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": [-1, -2]}}]}',
                "has 1, 2, 1 tokens, token_logprobs",
            ),
            ('{"choices": [{"logprobs": {"tokens": ["a"]}}]}', "token_logprobs: is no list"),
            ('{"meta_info": {"output_token_logprobs": [3]}}', "position 0: a token is no list"),
            ('{"meta_info": {"output_token_logprobs": [[-1]]}}', "position 0: a token is no list"),
            (
                '{"meta_info": {"input_token_logprobs": [[-1, 3]], "input_top_logprobs": [3,3]}}',
                "has 1, 2 tokens",
            ),
            (json.dumps(listed((math.nan, 1))), "position 0: a logprob is NaN"),
            (json.dumps(listed((math.inf, 1))), "position 0: a logprob is Infinity"),
            (json.dumps(listed((0.5, 1))), "position 0: a logprob is 0.5"),
            (json.dumps(listed(("NaN", 1))), "a logprob is 'NaN'; takes a number or null"),
            (json.dumps(listed((True, 1))), "a logprob is True"),
            (json.dumps(listed(([1], 1))), r"a logprob is \[1\]"),
            (json.dumps(listed((10**400, 1))), "a logprob is 1000"),
            (json.dumps(listed((-0.1, 1), (-0.1, 2), (-1.0000001, 0))), "add up to 2.17"),
            (json.dumps(listed((-1.0000001, 1), (-2.0, 1))), "token 1 is listed twice"),
            (
                json.dumps(listed((-1.0000001, 1), came=(-2.0, 1))),
                "token 1 has two log-probabilities, -1 and -2",
            ),
            ("[" * 100_000, "document 0: is no JSON: it is nested too deeply"),
            ('{"a": "\ud800"}'.encode("utf-8", "surrogatepass"), "document 0: is no JSON"),
        ],
    )
    def test_document_and_position_are_named(
        self, tmp_path: Path, document: str | bytes, reason: str
    ) -> None:
        path = tmp_path / "bad.json"
        path.write_bytes(document.encode() if isinstance(document, str) else document)
        with pytest.raises(FileFormatError, match=reason) as caught:
            open_logprobs(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400 + len(str(path))

    def test_the_line_is_named(self, write: Write) -> None:
        sound = listed((-1.0, 1))
        with pytest.raises(FileFormatError, match=r"document 2, .*position 0: a logprob is NaN"):
            open_logprobs(write(sound, "", sound, listed((math.nan, 1)), sound))
        with pytest.raises(FileFormatError, match="document 1: is no JSON"):
            open_logprobs(write(sound, "{"))

    def test_a_token_beyond_the_vocabulary(self, write: Write) -> None:
        with pytest.raises(FileFormatError, match="token 9 is outside the vocabulary of 9"):
            open_logprobs(write(listed((-1.0, 9))), vocab=9)

    def test_a_document_too_large_to_parse(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fastdiv.io.logprobs._LARGEST_DOCUMENT", 1000)
        for form in (None, 1):
            with pytest.raises(FileFormatError, match=r"write a document on each line|no JSON"):
                open_logprobs(write(chat(*distributions(20), 5), indent=form))

    def test_blocks_of_nothing(self, write: Write) -> None:
        with pytest.raises(ValueError, match="rows_per_block = 0"):
            next(open_logprobs(write(listed((-1.0, 1)))).blocks(0))


def test_memory_does_not_grow_with_the_file(write: Write) -> None:
    def peak(lines: int) -> int:
        line = json.dumps(llama_cpp(*distributions(4), 20))
        path = write(*[line] * lines)
        tracemalloc.start()
        try:
            reader = open_logprobs(path)
            assert sum(len(rows) for _, rows in reader.blocks(16)) == reader.rows == 4 * lines
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(10), peak(400)
    # 16 bytes of label and sequence for a row, as Python's integers at first.
    assert many - few < 1600 * 120


def test_open_any_tells_json_from_logits(write: Write, tmp_path: Path) -> None:
    path = write(llama_cpp(*distributions(3), 2), indent=1, name="x.npy")
    reader = open_any(path)
    assert isinstance(reader, LogprobsReader)
    assert reader.rows == 3
    with pytest.raises(FileFormatError, match="is JSON; key are of files of logits"):
        open_any(path, key="logits")
    np.save(tmp_path / "y.npy", np.zeros((3, 4)))
    assert open_any(tmp_path / "y.npy").vocab == 4


FIELDS = (
    *("choices", "logprobs", "content", "token", "logprob", "top_logprobs", "bytes", "id"),
    *("tokens", "token_logprobs", "prompt_logprobs", "outputs", "meta_info", "7", "8"),
    *("output_token_logprobs", "output_top_logprobs", "completion_probabilities"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=3),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            x,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(document=JSON)
def test_any_document_is_read_or_refused(tmp_path: Path, document: object) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        reader = open_logprobs(path)
    except FileFormatError:
        return
    assert sum(len(rows) for _, rows in reader.blocks(2)) == reader.rows > 0


@given(data=st.data())
def test_any_change_of_a_document_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Replace, remove or double something within an answer."""
    server = data.draw(st.sampled_from(sorted(SERVERS)))
    document: Any = SERVERS[server](*distributions(2), 2)
    at: Any = document
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
            break
        at = at[key]
    change = data.draw(st.sampled_from(["remove", "replace"]))
    if change == "remove":
        del at[key]
    else:
        at[key] = data.draw(JSON)
    path = tmp_path / "any.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        reader = open_logprobs(path)
    except FileFormatError:
        return
    for _, rows in reader.blocks(3):
        assert (rows.tail >= 0).all()
        assert (rows.cap >= 0).all()
        assert np.isfinite(rows.log_p).all()
        assert (rows.log_p <= 0).all()
