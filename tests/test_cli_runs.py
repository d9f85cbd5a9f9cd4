"""Long runs: killed and gone on with, several candidates, limits, files of every kind."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdiv as fd
from fastdiv.cli import main, streams
from fastdiv.cli.thresholds import Threshold, parse_thresholds
from fastdiv.io import FileFormatError, open_any, write_store
from fastdiv.io.vocabulary import printable, read_vocabulary
from fastdiv.topk import compare_topk, top_k
from fastdiv.uncertainty import mean

RNG = np.random.default_rng(17)
ROWS, VOCAB = 60, 40


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastdiv", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, **options)


def report_of(*arguments: object, code: int = 0, **options: Any) -> Any:
    done = run(*arguments, "--json", "-", **options)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def refusal_of(*arguments: object, **options: Any) -> str:
    done = run(*arguments, **options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fastdiv: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("fastdiv: ").rstrip("\n")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a base, three candidates, and what goes with them."""
    path = tmp_path_factory.mktemp("runs")
    base = RNG.normal(0, 2, (ROWS, VOCAB))
    noise = RNG.normal(0, 1, base.shape)
    np.save(path / "base.npy", base)
    for name, size in (("near", 0.1), ("middle", 0.3), ("far", 0.9), ("rerun", 0.01)):
        np.save(path / f"{name}.npy", base + size * noise)
    labels = RNG.integers(0, VOCAB, ROWS)
    np.save(path / "labels.npy", labels)
    np.save(path / "texts.npy", np.repeat([5, 9, 2], [10, 30, 20]))
    np.save(path / "padded.npy", np.pad(base, ((0, 0), (0, 8)), constant_values=-3.0))
    base.astype("<f8").tofile(path / "base.bin")
    np.savez(path / "two.npz", first=base, second=base + 0.3 * noise)
    write_store(path / "base.fd", [base], vocab=VOCAB, max_error=0.05, labels=labels)
    return path


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def kl_of(here: Path, candidate: str, temperature: float = 1.0, rows: int = ROWS) -> np.ndarray:
    """Return KL row by row in plain NumPy."""
    lp = log_softmax(np.load(here / "base.npy")[:rows] / temperature)
    lq = log_softmax(np.load(here / candidate)[:rows] / temperature)
    return (np.exp(lp) * (lp - lq)).sum(-1)


LABELS = ("--labels", "labels.npy")


class TestSeveralCandidates:
    @pytest.fixture
    def found(self, here: Path) -> Any:
        names = ("far.npy", "near.npy", "middle.npy")
        return report_of("compare", "base.npy", *names, *LABELS, cwd=here)

    def test_each_is_what_it_is_alone(self, here: Path, found: Any) -> None:
        assert found["base"] == "base.npy"
        assert [each["name"] for each in found["candidates"]] == [
            "far.npy",
            "near.npy",
            "middle.npy",
        ]
        for each in found["candidates"]:
            name = each.pop("name")
            assert each == report_of("compare", "base.npy", name, *LABELS, cwd=here)
            assert each["kl_divergence"]["mean"]["value"] == pytest.approx(
                kl_of(here, name).mean(), rel=1e-6
            )

    def test_against_the_best(self, here: Path, found: Any) -> None:
        assert [(p["first"], p["second"]) for p in found["paired"]] == [
            ("far.npy", "near.npy"),
            ("middle.npy", "near.npy"),
        ] or [p["kl_divergence"]["tokens"] for p in found["paired"]] == [ROWS, ROWS]
        for name, each in zip(("far.npy", "middle.npy"), found["paired"], strict=True):
            differences = kl_of(here, name) - kl_of(here, "near.npy")
            paired = each["kl_divergence"]
            assert paired["difference"]["value"] == pytest.approx(differences.mean(), rel=1e-6)
            assert paired["sign_test"]["greater"] == (differences > 0).sum()

    def test_the_table_ranks_them(self, here: Path) -> None:
        names = ("far.npy", "near.npy", "middle.npy")
        environment = {**os.environ, "COLUMNS": "80"}
        done = run("compare", "base.npy", *names, *LABELS, cwd=here, env=environment)
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        table = lines[[line[:4] for line in lines].index("────") + 1 :][:3]
        assert [line.split()[0] for line in table] == ["near.npy", "middle.npy", "far.npy"]
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "Against near.npy" in done.stdout

    def test_names_that_are_alike(self, here: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "near.npy", np.load(here / "far.npy"))
        other = tmp_path / "near.npy"
        found = report_of("compare", "base.npy", "near.npy", other, cwd=here)
        assert [each["name"] for each in found["candidates"]] == ["near.npy", str(other)]


class TestOptions:
    def test_temperatures(self, here: Path) -> None:
        sweep = ("--temperature", "2", "--temperature", "0.5")
        found = report_of("compare", "base.npy", "far.npy", *sweep, cwd=here)
        assert [each["temperature"] for each in found["temperatures"]] == [2, 0.5]
        for each in found["temperatures"]:
            expected = kl_of(here, "far.npy", each["temperature"]).mean()
            assert each["kl_divergence"]["value"] == pytest.approx(expected, rel=1e-6)
        assert found["temperature"] == 2
        assert found["kl_divergence"]["mean"] == found["temperatures"][0]["kl_divergence"]

    def test_weight(self, here: Path) -> None:
        found = report_of("compare", "base.npy", "far.npy", "--weight", "0.25", cwd=here)
        lp, lq = (log_softmax(np.load(here / f"{n}.npy")) for n in ("base", "far"))
        p, q = np.exp(lp), np.exp(lq)
        m = np.log(p / 4 + q * 0.75)
        js = (p * (lp - m)).sum(-1) / 4 + (q * (lq - m)).sum(-1) * 0.75
        assert found["weight"] == 0.25
        assert found["js_divergence"]["mean"]["value"] == pytest.approx(js.mean(), rel=1e-6)

    def test_fields(self, here: Path) -> None:
        chosen = ("--fields", "chi2,ranks", "--fields", "top_k_overlap", "--top-k", "3")
        found = report_of("compare", "base.npy", "far.npy", *LABELS, *chosen, cwd=here)
        lp, lq = (log_softmax(np.load(here / f"{n}.npy")) for n in ("base", "far"))
        chi2 = ((np.exp(lp) - np.exp(lq)) ** 2 / np.exp(lq)).sum(-1)
        labels = np.load(here / "labels.npy")
        ranks = (lp >= lp[np.arange(ROWS), labels][:, None]).sum(-1)
        tops = [
            set(x) & set(y)
            for x, y in zip(np.argsort(-lp)[:, :3], np.argsort(-lq)[:, :3], strict=True)
        ]
        assert found["chi2_divergence"]["mean"]["value"] == pytest.approx(chi2.mean(), rel=1e-6)
        assert found["rank_base"]["mean"]["value"] == pytest.approx(ranks.mean())
        shares = np.mean([len(top) / 3 for top in tops])
        assert found["top_k_overlap"]["mean"]["value"] == pytest.approx(shares)
        assert found["top_k"] == 3
        shown = run("compare", "base.npy", "far.npy", *LABELS, *chosen, cwd=here).stdout
        for name, value in (("Mean χ²", chi2.mean()), ("Mean overlap of the top 3", shares)):
            assert f"{value:.4f}" in next(x for x in shown.splitlines() if x.startswith(name))

    def test_rows_of_a_longer_file(self, here: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "short.npy", np.load(here / "far.npy")[:25])
        files = ("base.npy", tmp_path / "short.npy", *LABELS)
        assert "see --rows" in refusal_of("compare", *files, cwd=here)
        found = report_of("compare", *files, "--rows", "25", cwd=here)
        assert found["tokens"] == 25
        expected = kl_of(here, "far.npy", rows=25).mean()
        assert found["kl_divergence"]["mean"]["value"] == pytest.approx(expected, rel=1e-6)
        assert "has 25 rows; --rows 26" in refusal_of("compare", *files, "--rows", "26", cwd=here)

    def test_padded_vocabularies(self, here: Path) -> None:
        files = ("base.npy", "padded.npy", *LABELS)
        assert "see --vocab-size" in refusal_of("compare", *files, cwd=here)
        found = report_of("compare", *files, "--vocab-size", VOCAB, cwd=here)
        assert found["vocab"] == VOCAB
        assert found["kl_divergence"]["max"] == 0
        alone = report_of("perplexity", "padded.npy", *LABELS, "--vocab-size", VOCAB, cwd=here)
        assert alone["nll"] == report_of("perplexity", "base.npy", *LABELS, cwd=here)["nll"]
        line = refusal_of("compare", *files, "--vocab-size", "41", cwd=here)
        assert line == "base.npy: has 40 logits a row; --vocab-size is 41"

    def test_bare_numbers_and_named_arrays(self, here: Path) -> None:
        expected = report_of("compare", "base.npy", "middle.npy", cwd=here)
        shape = ("--shape", f"-1,{VOCAB}", "--shape", "-", "--dtype", "float64", "--dtype", "-")
        key = ("--key", "-", "--key", "second")
        assert report_of("compare", "base.bin", "two.npz", *shape, *key, cwd=here) == expected
        line = refusal_of("compare", "base.npy", "two.npz", "--shape", "x", cwd=here)
        assert "takes whole numbers" in line

    @pytest.mark.parametrize("kind", ["npz", "safetensors", "parquet", "arrow"])
    def test_formats(self, here: Path, tmp_path: Path, kind: str) -> None:
        path = tmp_path / f"far.{kind}"
        assert run("convert", "far.npy", path, *LABELS, cwd=here).returncode == 0
        ours = report_of("compare", "base.npy", path, cwd=here)
        assert ours == report_of("compare", "base.npy", "far.npy", *LABELS, cwd=here)

    def test_sequences(self, here: Path) -> None:
        given = report_of("compare", "base.npy", "far.npy", "--sequences", "texts.npy", cwd=here)
        kl = kl_of(here, "far.npy")
        expected = mean(kl, sequence_ids=np.load(here / "texts.npy"))
        assert given["sequences"]["count"] == 3
        assert given["sequences"]["kl_divergence"]["se"] == pytest.approx(expected.se, rel=1e-6)
        plain = report_of("compare", "base.npy", "far.npy", cwd=here)
        assert given["kl_divergence"] == plain["kl_divergence"]
        even = report_of("compare", "base.npy", "far.npy", "--sequence-length", "20", cwd=here)
        expected = mean(kl, sequence_ids=np.arange(ROWS) // 20)
        assert even["sequences"]["kl_divergence"]["se"] == pytest.approx(expected.se, rel=1e-6)

    def test_noise_floor(self, here: Path) -> None:
        rerun = ("--noise-floor", "rerun.npy")
        found = report_of("compare", "base.npy", "near.npy", "far.npy", *rerun, cwd=here)
        assert [each["name"] for each in found["candidates"]] == ["near.npy", "far.npy"]
        for each in found["candidates"]:
            above = (kl_of(here, each["name"]) - kl_of(here, "rerun.npy")).mean()
            floor = each["noise_floor"]
            assert floor["difference"]["value"] == pytest.approx(above, rel=1e-6)

    def test_confidence(self, here: Path) -> None:
        wide, narrow = (
            report_of("compare", "base.npy", "far.npy", "--confidence", c, cwd=here)["intervals"][
                "kl_divergence"
            ]["mean"]
            for c in ("0.99", "0.5")
        )
        assert wide["lower"] < narrow["lower"] < narrow["upper"] < wide["upper"]
        line = refusal_of("compare", "base.npy", "far.npy", "--confidence", "95", cwd=here)
        assert line.startswith("--confidence: is 95")


class TestTopTokens:
    @pytest.mark.parametrize("ratio", [None, 2.0])
    def test_a_store_against_logits(self, here: Path, ratio: float | None) -> None:
        said = () if ratio is None else ("--tail-ratio", ratio)
        found = report_of("compare", "base.fd", "far.npy", *said, cwd=here)
        (_, rows), *rest = open_any(here / "base.fd").blocks(1000)
        assert not rest
        expected = compare_topk(rows, np.load(here / "far.npy"), tail_ratio=ratio)
        mean_kl = found["kl_divergence"]["mean"]
        assert mean_kl["lower"]["value"] == pytest.approx(expected.kl_lower.mean())
        assert mean_kl["upper"]["value"] == pytest.approx(expected.kl_upper.mean())
        assert mean_kl["lower"]["value"] <= kl_of(here, "far.npy").mean()
        assert kl_of(here, "far.npy").mean() <= mean_kl["upper"]["value"]
        assert found["labels_known"] == ROWS
        assert found["perplexity"]["base"]["value"] == pytest.approx(
            fd.perplexity(np.load(here / "base.npy"), np.load(here / "labels.npy")), rel=1e-9
        )
        assert found["perplexity"]["candidate"]["value"] == pytest.approx(
            fd.perplexity(np.load(here / "far.npy"), np.load(here / "labels.npy")), rel=1e-9
        )

    def test_infinity_is_said(self, here: Path, tmp_path: Path) -> None:
        write_store(tmp_path / "q.fd", [np.load(here / "far.npy")], vocab=VOCAB, k=5)
        found = report_of("compare", "base.npy", tmp_path / "q.fd", cwd=here)
        assert found["kl_divergence"]["mean"]["upper"]["value"] == "Infinity"
        done = run("compare", "base.npy", tmp_path / "q.fd", cwd=here)
        assert "excludes no KLD" in done.stdout
        both = report_of("compare", "base.npy", "near.npy", tmp_path / "q.fd", cwd=here)
        assert both["paired"] == []

    def test_answers_of_servers(self, tmp_path: Path) -> None:
        for name, shift in (("p", 0.0), ("q", 0.1)):
            positions = [
                {"7": {"logprob": -0.5 - shift}, "9": {"logprob": -1.5 + shift}},
                {"3": {"logprob": -0.7}, "9": {"logprob": -1.25}},
            ]
            (tmp_path / f"{name}.json").write_text(
                json.dumps({"prompt_logprobs": [None, *positions]})
            )
        found = report_of("compare", "p.json", "q.json", cwd=tmp_path)
        assert (found["tokens"], found["vocab"], found["tail"]) == (2, None, "top-k")
        limits = found["kl_divergence"]["mean"]
        assert 0 < limits["lower"]["value"] < 0.05
        assert limits["upper"]["value"] == "Infinity"
        alone = report_of("perplexity", "p.json", cwd=tmp_path)
        assert alone["nll"]["value"] == pytest.approx(0.6)

    def test_equal_texts_are_equal_tokens(self, tmp_path: Path) -> None:
        """Files that list the same texts in other orders, against the same ones with numbers."""
        rows = {
            "base": [{" a": 0.5, " b": 0.3, " c": 0.1}, {" d": 0.6, " a": 0.25}],
            "one": [{" c": 0.2, " a": 0.4, " b": 0.3}, {" a": 0.3, " d": 0.5}],
            "two": [{" b": 0.25, " c": 0.15, " a": 0.45}, {" d": 0.55, " e": 0.2, " a": 0.2}],
        }
        came = (" a", " d")
        numbers = {text: str(number) for number, text in enumerate((" e", " d", " c", " b", " a"))}
        for name, found in rows.items():
            logs = [{text: float(np.log(p)) for text, p in row.items()} for row in found]
            named = {
                "tokens": came,
                "token_logprobs": [row[text] for row, text in zip(logs, came, strict=True)],
                "top_logprobs": logs,
            }
            (tmp_path / f"{name}.json").write_text(json.dumps({"choices": [{"logprobs": named}]}))
            # Of vLLM's positions the token that came is the first.
            numbered = [
                {numbers[t]: {"logprob": row[t]} for t in dict.fromkeys((text, *row))}
                for row, text in zip(logs, came, strict=True)
            ]
            (tmp_path / f"{name}.ids.json").write_text(
                json.dumps({"prompt_logprobs": [None, *numbered]})
            )
        files = [f"{name}.json" for name in rows]
        texts = report_of("compare", *files, cwd=tmp_path)
        ids = report_of("compare", *(f"{name}.ids.json" for name in rows), cwd=tmp_path)
        for ours, theirs in zip(texts["candidates"], ids["candidates"], strict=True):
            for name in ("kl_divergence", "total_variation"):
                for end in ("lower", "upper"):
                    value = ours[name]["mean"][end]["value"]
                    if value != "Infinity":
                        value = pytest.approx(value, rel=1e-12)
                    assert theirs[name]["mean"][end]["value"] == value
            assert ours["perplexity"] == theirs["perplexity"]
        # Half of 0.1 + 0 + 0.1, and of 0.1 + 0.05 + 0.05, the last of which are the tails.
        lower = texts["candidates"][0]["total_variation"]["mean"]["lower"]["value"]
        assert lower == pytest.approx(0.1, abs=1e-5)
        found = report_of("tokens", "base.json", "one.json", cwd=tmp_path)
        assert found["worst"][0]["kl_lower"] == pytest.approx(
            ids["candidates"][0]["kl_divergence"]["max"]["lower"]
        )

    @pytest.mark.parametrize("command", ["compare", "tokens"])
    def test_texts_are_no_numbers(self, tmp_path: Path, command: str) -> None:
        entries = [{"token": t, "logprob": -1.0} for t in ("a", "b")]
        content = [{**entries[0], "top_logprobs": entries}] * 2
        (tmp_path / "texts.json").write_text(
            json.dumps({"choices": [{"logprobs": {"content": content}}]})
        )
        (tmp_path / "ids.json").write_text(
            json.dumps({"prompt_logprobs": [None, *[{"0": {"logprob": -1.0}}] * 2]})
        )
        logits = np.zeros((2, 3))
        np.save(tmp_path / "logits.npy", logits)
        np.save(tmp_path / "labels.npy", [0, 0])
        (tmp_path / "words").write_text("a\nb\n")
        write_store(tmp_path / "store.fd", [logits], vocab=3, k=2)
        for other in ("logits.npy", "store.fd", "ids.json"):
            for pair in (("texts.json", other), (other, "texts.json")):
                assert refusal_of(command, *pair, cwd=tmp_path) == (
                    f"texts.json: knows its tokens by text only, and {other} by number: "
                    "they cannot be compared"
                )
        if command == "compare":
            three = ("texts.json", "texts.json", "ids.json")
            assert "ids.json by number" in refusal_of(command, *three, cwd=tmp_path)
            rerun = ("texts.json", "texts.json", "--noise-floor", "logits.npy")
            assert "logits.npy by number" in refusal_of(command, *rerun, cwd=tmp_path)
            line = refusal_of("perplexity", "texts.json", *LABELS, cwd=tmp_path)
            assert "and --labels by number" in line
        assert report_of(command, "texts.json", "texts.json", cwd=tmp_path)["tokens"] == 2
        for option in (LABELS, ("--vocabulary", "words")):
            line = refusal_of(command, "texts.json", "texts.json", *option, cwd=tmp_path)
            assert line == (
                f"texts.json: knows its tokens by text only, and {option[0]} by number: "
                "they cannot be matched"
            )

    def test_a_store_says_its_labels_exactly(self, here: Path, tmp_path: Path) -> None:
        store = tmp_path / "s.fd"
        coarse = ("--max-error", "1")
        assert run("convert", "base.npy", store, *LABELS, *coarse, cwd=here).returncode == 0
        alone = report_of("perplexity", store, cwd=here)["perplexity"]["value"]
        exact = fd.perplexity(np.load(here / "base.npy"), np.load(here / "labels.npy"))
        assert alone == pytest.approx(exact, rel=1e-9)
        for said in ((), LABELS):
            found = report_of("compare", store, "far.npy", *said, cwd=here)
            assert found["perplexity"]["base"]["value"] == pytest.approx(alone, rel=1e-12)

    def test_other_labels_than_the_stores(self, here: Path, tmp_path: Path) -> None:
        labels = np.load(here / "labels.npy")
        labels[:5] = -100
        np.save(tmp_path / "l.npy", labels)
        found = report_of("perplexity", "base.fd", "--labels", tmp_path / "l.npy", cwd=here)
        expected = fd.perplexity(np.load(here / "base.npy")[5:], labels[5:])
        assert found["perplexity"]["value"] == pytest.approx(expected, rel=1e-9)
        was = labels[9]
        labels[9] = (was + 1) % VOCAB
        np.save(tmp_path / "l.npy", labels)
        line = refusal_of("perplexity", "base.fd", "--labels", tmp_path / "l.npy", cwd=here)
        assert line == f"base.fd: row 9 predicts token {was}, but {labels[9]} in --labels"

    def test_a_store_has_no_options_of_logits(self, here: Path) -> None:
        line = refusal_of("compare", "base.fd", "far.npy", "--temperature", "2", cwd=here)
        assert "--temperature" in line
        assert "is a store of fastdiv; key" in refusal_of(
            "compare", "base.fd", "far.npy", "--key", "x", "--key", "-", cwd=here
        )


class TestThresholds:
    @pytest.mark.parametrize(
        ("option", "crossed"),
        [
            (("--fail-above", "kl_divergence.mean=100"), None),
            (("--fail-above", "kl_divergence.mean.value=1e-6"), "kl_divergence.mean.value = "),
            (("--fail-above", "kl_divergence.p99.9=1e-6"), "kl_divergence.p99.9 = "),
            (("--fail-below", "same_top=1.5"), "same_top = "),
            (("--fail-above", "buckets.confidence_base.0.kl_divergence=1e-9"), "buckets.conf"),
            (("--fail-above", "intervals.kl_divergence.mean.upper=1e-6"), "intervals.kl"),
        ],
    )
    def test_crossed_or_not(
        self, here: Path, tmp_path: Path, option: tuple[str, str], crossed: str | None
    ) -> None:
        out = tmp_path / "report.json"
        done = run("compare", "base.npy", "far.npy", *LABELS, *option, "--json", out, cwd=here)
        assert json.loads(out.read_text())["tokens"] == ROWS
        if crossed is None:
            assert (done.returncode, done.stderr) == (0, "")
        else:
            assert done.returncode == 1
            assert done.stderr.startswith(f"fastdiv: far.npy: {crossed}") or done.stderr.startswith(
                f"fastdiv: {crossed}"
            )
            assert done.stderr.count("\n") == 1

    def test_any_candidate(self, here: Path) -> None:
        limit = (kl_of(here, "near.npy").mean() + kl_of(here, "far.npy").mean()) / 2
        option = ("--fail-above", f"kl_divergence.mean={limit}")
        done = run("compare", "base.npy", "near.npy", "far.npy", *option, cwd=here)
        assert done.returncode == 1
        assert done.stderr.startswith("fastdiv: far.npy: kl_divergence.mean = ")
        assert "near" not in done.stderr

    def test_unknown_names(self, here: Path) -> None:
        option = ("--fail-above", "kl_divergance.mean=1")
        line = refusal_of("compare", "base.npy", "far.npy", *option, cwd=here)
        assert "nearest are kl_divergence.mean" in line
        line = refusal_of("perplexity", "base.npy", *LABELS, "--fail-above", "ppl=1", cwd=here)
        assert "is no number of the report" in line
        line = refusal_of("compare", "base.npy", "far.npy", "--fail-above", "tokens", cwd=here)
        assert "takes PATH=NUMBER" in line

    def test_perplexity(self, here: Path) -> None:
        done = run("perplexity", "base.npy", *LABELS, "--fail-above", "perplexity=2", cwd=here)
        assert done.returncode == 1
        assert "perplexity = " in done.stderr

    def test_what_is_undefined_fails(self) -> None:
        report = {"a": {"value": None}, "b": {"value": "Infinity"}, "c": None}
        above = parse_thresholds(["a=1", "b=1", "c.x=1"], ["b=1"])
        assert above[0].crossed(report) == "a is undefined, so it fails --fail-above 1"
        assert above[1].crossed(report) == "b = inf is above 1"
        assert "undefined" in (above[2].crossed(report) or "")
        assert above[3].crossed(report) is None
        with pytest.raises(FileFormatError, match="nearest"):
            Threshold("z", 1.0, "above").check(report)


class TestOutputs:
    @pytest.mark.parametrize("suffix", ["parquet", "npz", "csv"])
    def test_per_token(self, here: Path, tmp_path: Path, suffix: str) -> None:
        out = tmp_path / f"out.{suffix}"
        files = ("base.npy", "near.npy", "far.npy", *LABELS)
        assert run("compare", *files, "--per-token", out, cwd=here).returncode == 0
        if suffix == "npz":
            table = np.load(out)
        else:
            pandas = pytest.importorskip("pandas")
            frame = pandas.read_csv(out) if suffix == "csv" else pandas.read_parquet(out)
            table = {name: frame[name].to_numpy() for name in frame}
        assert list(table["candidate"]) == ["near.npy"] * ROWS + ["far.npy"] * ROWS
        assert list(table["row"]) == [*range(ROWS)] * 2
        expected = np.concatenate([kl_of(here, "near.npy"), kl_of(here, "far.npy")])
        assert np.allclose(table["kl"], expected, rtol=1e-6)
        assert list(table["label"][:ROWS]) == np.load(here / "labels.npy").tolist()

    def test_report(self, here: Path, tmp_path: Path) -> None:
        (tmp_path / "words.txt").write_text("\n".join(f"word{i}" for i in range(VOCAB)))
        files = ("base.npy", "near.npy", "far.npy", *LABELS)
        words = ("--vocabulary", tmp_path / "words.txt")
        out = tmp_path / "out.html"
        assert run("compare", *files, *words, "--report", out, cwd=here).returncode == 0
        page = out.read_text(encoding="utf-8")
        assert "Worst tokens" in page
        assert "word1" in page
        out = tmp_path / "out.png"
        assert run("compare", *files, "--report", out, cwd=here).returncode == 0
        assert out.read_bytes()[:4] == b"\x89PNG"

    @pytest.mark.parametrize(
        ("option", "reason"),
        [
            (("--json", "none/x.json"), "none/x.json: No such file"),
            (("--json", "."), "Is a directory"),
            (("--per-token", "x.txt"), "x.txt: ends in none of .parquet"),
            (("--per-token", "none/x.csv"), "No such file"),
            (("--report", "x.jpg"), "x.jpg: ends in none of .html"),
            (("--resume", "none/x"), "No such file"),
            (("--vocabulary", "none"), "No such file"),
        ],
    )
    def test_refused_before_the_work(
        self, here: Path, option: tuple[str, str], reason: str
    ) -> None:
        # A file that is not there would be the next thing to be found out.
        assert reason in refusal_of("compare", "base.npy", "missing.npy", *option, cwd=here)

    @pytest.mark.parametrize(
        ("option", "missing", "extra"),
        [
            (("--per-token", "x.parquet"), "pyarrow", "arrow"),
            (("--report", "x.html"), "matplotlib", "plot"),
        ],
    )
    def test_missing_extras(
        self, here: Path, option: tuple[str, str], missing: str, extra: str
    ) -> None:
        code = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            "from fastdiv.cli import main; sys.exit(main())"
        )
        command = [sys.executable, "-c", code, "compare", "base.npy", "missing.npy", *option]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
        assert done.returncode == 2
        assert f'takes {missing}: pip install "fastdiv[{extra}]"' in done.stderr


class TestInputsAreKept:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("compare", "base.npy", "far.npy", "--json", "far.npy"),
            ("compare", "two.npz", "far.npy", "--key", "first", "--key", "-",
             "--per-token", "two.npz"),
            ("compare", "base.npy", "near.npy", "far.npy", "--resume", "./far.npy"),
            ("compare", "base.npy", "far.npy", *LABELS, "--json", "labels.npy"),
            ("compare", "base.npy", "far.npy", "--noise-floor", "rerun.npy", "--json", "rerun.npy"),
            ("compare", "base.npy", "far.npy", "--sequences", "texts.npy", "--resume", "texts.npy"),
            ("compare", "base.npy", "far.npy", "--report", "picture.png"),
            ("tokens", "base.npy", "far.npy", "--vocabulary", "words", "--json", "words"),
            ("tokens", "base.npy", "far.npy", "--resume", "link"),
            ("tokens", "base.npy", "far.npy", "--json", "hard"),
            ("perplexity", "base.npy", *LABELS, "--json", "base.npy"),
            ("perplexity", "base.npy", *LABELS, "--text", "words", "--resume", "words"),
            ("convert", "base.npy", "labels.npy", *LABELS),
            ("convert", "base.npy", "new.npz", "--json", "base.npy"),
        ],
    )  # fmt: skip
    def test_by_any_name(self, here: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        names = ("base", "near", "far", "rerun", "labels", "texts")
        for name in (*(f"{name}.npy" for name in names), "two.npz"):
            shutil.copy(here / name, tmp_path)
        (tmp_path / "words").write_text("a b")
        (tmp_path / "link").symlink_to("base.npy")
        (tmp_path / "hard").hardlink_to(tmp_path / "base.npy")
        (tmp_path / "picture.png").symlink_to("far.npy")
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        line = refusal_of(*arguments, cwd=tmp_path)
        named = arguments[2] if arguments[2] == "labels.npy" else arguments[-1]
        assert line == f"{named.removeprefix('./')}: is what is read; name another file"
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--json", "new.json", "--resume", "./new.json"), "new.json"),
        (("--per-token", "new.csv", "--json", "new.csv"), "new.csv"),
    ],
)
def test_two_outputs_in_one_file(
    here: Path, tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    base = str(here / "base.npy")
    line = refusal_of("compare", base, str(here / "far.npy"), *options, cwd=tmp_path)
    assert line == f"{named}: would be written twice; name another file"
    assert not list(tmp_path.iterdir())


class TestInvalidRows:
    def test_counted_by_file(self, here: Path, tmp_path: Path) -> None:
        base, near = np.load(here / "base.npy"), np.load(here / "near.npy")
        base[4, 2] = np.nan
        near[4, 1] = np.inf
        near[20:35] = -np.inf
        np.save(tmp_path / "b.npy", base)
        np.save(tmp_path / "n.npy", near)
        files = ("b.npy", "n.npy", here / "far.npy", "--labels", here / "labels.npy")
        found = report_of("compare", *files, code=2, cwd=tmp_path)
        first, second = found["candidates"]
        assert (first["tokens"], second["tokens"]) == (ROWS - 16, ROWS - 1)
        assert first["invalid"]["rows"] == [4, *range(20, 35)]
        assert second["invalid"]["rows"] == [4]
        blamed = {each["file"]: each for each in first["invalid"]["files"]}
        assert {name: each["count"] for name, each in blamed.items()} == {"b.npy": 1, "n.npy": 16}
        of_second = [(each["file"], each["count"]) for each in second["invalid"]["files"]]
        assert of_second == [("b.npy", 1)]
        assert blamed["n.npy"]["first"][:2] == [
            {"row": 4, "reason": "logit 1 is +inf"},
            {"row": 20, "reason": "every logit is -inf"},
        ]
        assert len(blamed["n.npy"]["first"]) == 10
        assert found["paired"][0]["kl_divergence"]["tokens"] == ROWS - 16
        assert run("compare", *files, cwd=tmp_path).stderr == (
            "fastdiv: b.npy: row 4: logit 2 is NaN; "
            "n.npy: row 4: logit 1 is +inf, and 15 more rows are invalid\n"
        )
        done = run("compare", *files, "--allow-invalid", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "16 rows are no distribution" in done.stdout
        assert "and 6 more" in done.stdout
        assert "44 to 59 tokens · vocabulary 40 · not the same ones for all" in done.stdout
        other = run("compare", "b.npy", *files[2:], "--allow-invalid", cwd=tmp_path).stdout
        assert "59 tokens" in other
        assert "not the same" not in other

    def test_nothing_but_invalid_rows(self, here: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "nan.npy", np.full((ROWS, VOCAB), np.nan))
        files = ("base.npy", tmp_path / "nan.npy", *LABELS)
        found = report_of("compare", *files, code=2, cwd=here)
        assert (found["tokens"], found["invalid"]["count"]) == (0, ROWS)
        assert found["kl_divergence"]["mean"] == {"value": None, "se": None}
        done = run("compare", *files, "--report", tmp_path / "x.png", cwd=here)
        assert done.returncode == 2
        assert "x.png: the candidates' columns show nothing" in done.stderr
        assert report_of("tokens", *files, code=2, cwd=here)["worst"] == []
        limit = ("--fail-above", "kl_divergence.mean=1", "--allow-invalid")
        done = run("compare", *files, *limit, cwd=here)
        assert (done.returncode, done.stderr) == (
            1,
            "fastdiv: kl_divergence.mean is undefined, so it fails --fail-above 1\n",
        )

    def test_ranks_without_labels(self, here: Path) -> None:
        line = refusal_of("compare", "base.npy", "far.npy", "--fields", "ranks", cwd=here)
        assert line.startswith("base.npy: comes without labels")


class TestLlamaCpp:
    def test_each_context_is_a_sequence(self, here: Path, tmp_path: Path) -> None:
        tokens = RNG.integers(0, VOCAB, 6 * 21)
        np.save(tmp_path / "tokens.npy", tokens)
        options = ("--tokens", tmp_path / "tokens.npy", "--n-ctx", "21")
        assert run("convert", "base.npy", tmp_path / "b.kld", *options, cwd=here).returncode == 0
        found = report_of("compare", tmp_path / "b.kld", "far.npy", cwd=here)
        assert (found["tail"], found["sequences"]["count"]) == ("bucket", 6)
        assert found["kl_divergence"]["mean"]["value"] == pytest.approx(
            kl_of(here, "far.npy").mean(), rel=1e-3
        )
        labels = tokens.reshape(6, 21)[:, 11:].ravel()
        nll = -log_softmax(np.load(here / "base.npy"))[np.arange(ROWS), labels]
        clustered = mean(nll, sequence_ids=np.arange(ROWS) // 10)
        alone = report_of("perplexity", tmp_path / "b.kld", cwd=here)
        assert alone["nll"]["se"] == pytest.approx(mean(nll).se, rel=1e-3)
        assert alone["sequences"]["nll"]["se"] == pytest.approx(clustered.se, rel=1e-3)
        some = report_of("compare", tmp_path / "b.kld", "far.npy", "--rows", "25", cwd=here)
        assert (some["tokens"], some["sequences"]["count"]) == (25, 3)

    def test_what_does_not_go_with_a_floor(self, here: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "tokens.npy", np.zeros(6 * 21, np.int64))
        options = ("--tokens", tmp_path / "tokens.npy", "--n-ctx", "21")
        assert run("convert", "base.npy", tmp_path / "b.kld", *options, cwd=here).returncode == 0
        for said in (("--weight", "0.2"), ("--temperature", "2"), ("--fields", "chi2")):
            line = refusal_of("compare", tmp_path / "b.kld", "far.npy", *said, cwd=here)
            assert "does not hold all logits" in line
        write_store(tmp_path / "q.fd", [np.load(here / "far.npy")], vocab=VOCAB, k=5)
        line = refusal_of("compare", tmp_path / "b.kld", tmp_path / "q.fd", cwd=here)
        assert "no file of top tokens can meet" in line


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_the_bar_says_how_fast(here: Path) -> None:
    ours, theirs = os.openpty()
    code = (
        "import sys, time\n"
        "from fastdiv.cli import main, streams\n"
        "streams.rows_at_a_time = lambda found: 5\n"
        "add = streams.Comparison._update\n"
        "def slowly(*a): add(*a); time.sleep(0.1)\n"
        "streams.Comparison._update = slowly\n"
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "compare", "base.npy", "far.npy", "--json", os.devnull]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, cwd=here
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(ours)
    assert process.returncode == 0
    assert b"rows/s" in shown
    assert b"GB/s" in shown
    assert b"0:00:0" in shown


SLOW = (
    "import sys, time\n"
    "from fastdiv.cli import checkpoint, main, sources, streams\n"
    "checkpoint.SECONDS = 0.0; checkpoint._TIMES_ITS_WRITING = 0.0\n"
    "streams.rows_at_a_time = lambda found: 7\n"
    "if sys.argv.pop(1) == 'slow':\n"
    "    offer = checkpoint.Checkpoint.offer\n"
    "    def slowly(*a): offer(*a); time.sleep(0.15)\n"
    "    checkpoint.Checkpoint.offer = slowly\n"
    "sys.exit(main())"
)


class TestResume:
    def started(self, *arguments: object, pace: str, cwd: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW, pace, *map(str, arguments)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
        )

    def killed(self, state: Path, *arguments: object, cwd: Path) -> None:
        """Kill a run, without any warning, when it has kept something."""
        with self.started(*arguments, pace="slow", cwd=cwd) as process:
            deadline = time.monotonic() + 60
            while not state.exists():
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(0.4)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert state.exists()

    @pytest.mark.parametrize(
        "arguments",
        [
            ("compare", "b.npy", "near.npy", "far.npy", "--sequences", "texts.npy",
             "--temperature", "1", "--temperature", "2", "--noise-floor", "rerun.npy"),
            ("compare", "base.fd", "far.npy"),
            ("perplexity", "b.npy", "--words", "9", "--bytes", "70", "--sequence-length", "8"),
        ],
    )  # fmt: skip
    def test_a_killed_run_goes_on(
        self, here: Path, tmp_path: Path, arguments: tuple[str, ...]
    ) -> None:
        bad = np.load(here / "base.npy")
        bad[3, 7] = bad[41, 0] = np.nan
        np.save(here / "b.npy", bad)
        state = tmp_path / "state.fd"
        command = (*arguments, *LABELS, "--allow-invalid", "--json", "-")
        self.killed(state, *command, "--resume", state, cwd=here)
        with self.started(*command, "--resume", state, pace="fast", cwd=here) as process:
            out, error = process.communicate()
        assert (process.returncode, error) == (0, "")
        with self.started(*command, pace="fast", cwd=here) as process:
            straight, _ = process.communicate()
        assert out == straight
        assert not state.exists()

    def test_it_says_where_it_went_on(self, here: Path, tmp_path: Path) -> None:
        state = tmp_path / "state.fd"
        command = ("compare", "base.npy", "far.npy", "--resume", state)
        self.killed(state, *command, cwd=here)
        with self.started(*command, pace="fast", cwd=here) as process:
            out, _ = process.communicate()
        row = int(out.split("Resumed at row ")[1].split(".")[0])
        assert 0 < row < ROWS
        assert row % 7 == 0

    def test_another_run_is_refused(self, here: Path, tmp_path: Path) -> None:
        state = tmp_path / "state.fd"
        self.killed(state, "compare", "base.npy", "far.npy", "--resume", state, cwd=here)
        np.save(here / "long.npy", np.zeros((ROWS + 1, VOCAB)))
        for arguments, reason in (
            (("base.npy", "near.npy"), "file candidate 1 has other content"),
            (("near.npy", "far.npy"), "file base has other content"),
            (("base.npy", "far.npy", "--weight", "0.3"), "--weight was 0.5, and is 0.3"),
            (("base.npy", "far.npy", *LABELS), "file labels has other content"),
            (
                ("base.npy", "long.npy", "--rows", ROWS),
                f"file candidate 1 had {128 + 8 * ROWS * VOCAB} bytes, "
                f"and has {128 + 8 * (ROWS + 1) * VOCAB}",
            ),
        ):
            command = ("compare", *arguments, "--resume", state)
            with self.started(*command, pace="fast", cwd=here) as process:
                out, error = process.communicate()
            assert (process.returncode, out) == (2, "")
            assert f"state.fd: is the state of another run: {reason}" in error
            assert state.exists()
        command = ("perplexity", "base.npy", *LABELS, "--resume", state)
        with self.started(*command, pace="fast", cwd=here) as process:
            assert "command was 'compare'" in process.communicate()[1]

    @pytest.mark.parametrize("command", ["compare", "perplexity"])
    def test_a_damaged_state(
        self,
        here: Path,
        tmp_path: Path,
        command: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        bad = np.load(here / "base.npy")
        bad[1, 7] = np.nan
        np.save(here / "bad.npy", bad)
        state = tmp_path / "state.fd"
        files = ("bad.npy", "far.npy") if command == "compare" else ("bad.npy",)
        arguments = (command, *files, *LABELS, "--allow-invalid", "--resume", state)
        self.killed(state, *arguments, cwd=here)
        sound = state.read_bytes()
        with zipfile.ZipFile(state) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        kept = json.loads(members["run.json"])

        def changed(*places: str, to: object) -> bytes:
            found = json.loads(members["run.json"])
            part = found
            for place in places[:-1]:
                part = part[int(place)] if isinstance(part, list) else part[place]
            part[places[-1]] = to
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                for name, member in {**members, "run.json": json.dumps(found).encode()}.items():
                    archive.writestr(name, member)
            return content.getvalue()

        at = sound.rindex(b"PK\x01\x02")
        first = sound.index(b"PK\x01\x02")
        damaged = [
            # Of the archive: how its members are packed, where they are, and what is missing.
            sound[: first + 10] + b"\x63" + sound[first + 11 :],
            sound[: first + 8] + b"\x01" + sound[first + 9 :],
            sound[: at + 42] + b"\xff" * 4 + sound[at + 46 :],
            sound[:-6] + b"\xff" * 4 + sound[-2:],
            sound[: len(sound) // 2],
            b"",
            *(changed(name, to=None) for name in kept),
            *(changed(name, to=[]) for name in kept),
            changed("facts", "rows", to="7"),
            changed("facts", "rows", to=kept["facts"]["rows"] + 1),
            changed("facts", "rows", to=0),
            changed("meters", to=-1),
            changed("meters", to=10**30),
            changed("facts", "invalid", to=None),
            changed("facts", "invalid", "rows", to=1.5),
            changed("facts", "invalid", "files", "0", "count", to="1"),
            changed("facts", "invalid", "files", "0", "first", to=[]),
            changed("facts", "invalid", "files", "0", "file", to=["x"]),
        ]
        if command == "compare":
            damaged.append(changed("facts", "invalid of candidates", to=[]))
        monkeypatch.chdir(here)
        monkeypatch.setattr(sys, "argv", ["fastdiv", *map(str, arguments)])
        monkeypatch.setattr(streams, "rows_at_a_time", lambda found: 7)
        reason = f"fastdiv: {state}: is no state of a run, or a damaged one\n"
        for number, content in enumerate(damaged):
            state.write_bytes(content)
            code, shown = main(), capsys.readouterr()
            assert (number, code, shown.out, shown.err) == (number, 2, "", reason)
        # What is written as these were, and not damaged, is read.
        state.write_bytes(changed("facts", "rows", to=kept["facts"]["rows"]))
        assert main() == 0
        assert "Resumed at row" in capsys.readouterr().out

    def test_something_else_is_refused(self, here: Path) -> None:
        command = ("compare", "base.npy", "far.npy", "--resume", "labels.npy")
        assert refusal_of(*command, cwd=here) == (
            "labels.npy: is no state of a run, or a damaged one"
        )
        assert (here / "labels.npy").exists()


class TestPerplexity:
    def test_of_a_text(self, here: Path, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("to be or not", encoding="utf-8")
        found = report_of("perplexity", "base.npy", *LABELS, "--text", tmp_path / "text", cwd=here)
        nll = -log_softmax(np.load(here / "base.npy"))[
            np.arange(ROWS), np.load(here / "labels.npy")
        ]
        assert found["word_perplexity"]["value"] == pytest.approx(np.exp(nll.sum() / 4))
        assert found["byte_perplexity"]["value"] == pytest.approx(np.exp(nll.sum() / 12))
        assert found["bits_per_byte"]["value"] == pytest.approx(nll.sum() / 12 / np.log(2))
        counts = ("--words", "4", "--bytes", "12")
        assert found == report_of("perplexity", "base.npy", *LABELS, *counts, cwd=here)
        assert "go together" in refusal_of(
            "perplexity", "base.npy", *LABELS, "--words", "4", cwd=here
        )

    def test_of_sequences(self, here: Path) -> None:
        options = ("--sequences", "texts.npy")
        found = report_of("perplexity", "base.npy", *LABELS, *options, cwd=here)
        nll = -log_softmax(np.load(here / "base.npy"))[
            np.arange(ROWS), np.load(here / "labels.npy")
        ]
        ids = np.load(here / "texts.npy")
        each = [np.exp(nll[ids == i].mean()) for i in (2, 5, 9)]
        assert found["sequence_mean_perplexity"]["value"] == pytest.approx(np.mean(each))

    def test_temperature_and_columns(self, here: Path, tmp_path: Path) -> None:
        options = ("--temperature", "3", "--per-token", tmp_path / "x.npz")
        found = report_of("perplexity", "base.npy", *LABELS, *options, cwd=here)
        lp = log_softmax(np.load(here / "base.npy") / 3)
        nll = -lp[np.arange(ROWS), np.load(here / "labels.npy")]
        assert found["nll"]["value"] == pytest.approx(nll.mean())
        assert np.allclose(np.load(tmp_path / "x.npz")["nll"], nll)

    def test_a_store(self, here: Path) -> None:
        found = report_of("perplexity", "base.fd", cwd=here)
        expected = report_of("perplexity", "base.npy", *LABELS, cwd=here)
        assert found["nll"]["value"] == pytest.approx(expected["nll"]["value"], rel=1e-9)


class TestConvert:
    def test_a_store_states_its_error(self, here: Path, tmp_path: Path) -> None:
        out = tmp_path / "x.fd"
        found = report_of("convert", "base.npy", out, "--max-error", "0.2", *LABELS, cwd=here)
        reader = open_any(out)
        assert (reader.rows, reader.vocab) == (ROWS, VOCAB)
        assert found["output"]["max_error"] == reader.max_error <= 0.2
        assert found["output"]["bytes"] == out.stat().st_size
        assert reader.labels.tolist() == np.load(here / "labels.npy").tolist()
        done = run("convert", "base.npy", out, "--top-k", "4", cwd=here)
        assert "|log p/q| ≤ 2" in " ".join(done.stdout.split())
        (_, rows), *_ = open_any(out).blocks(1000)
        assert rows.tokens.tolist() == top_k(np.load(here / "base.npy"), 4).tokens.tolist()

    def test_llama_cpp(self, here: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "tokens.npy", RNG.integers(0, VOCAB, 42))
        np.save(tmp_path / "rows.npy", np.load(here / "base.npy")[:20])
        out = tmp_path / "x.kld"
        options = ("--tokens", tmp_path / "tokens.npy", "--n-ctx", "21", "--window", "24")
        assert run("convert", tmp_path / "rows.npy", out, *options).returncode == 0
        lp = log_softmax(np.load(here / "base.npy")[:20])
        block = next(open_any(out).blocks(100))
        known = ~block.floor
        assert np.allclose(block.values[known], lp[known], atol=3e-4)
        back = tmp_path / "back.npy"
        assert "lower limit" in refusal_of("convert", out, back)
        assert run("convert", out, back, "--floor-as-value").returncode == 0
        assert np.load(back).shape == (20, VOCAB)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("base.npy", "x.txt"), "x.txt: ends in none of"),
            (("base.npy", "none/x.npz"), "none/x.npz: No such file"),
            (("base.npy", "base.npy"), "base.npy: is what is read"),
            (("base.fd", "x.npy"), "base.fd: holds the most probable tokens only"),
            (("base.npy", "x.npz", "--top-k", "3"), "--top-k: is of format store"),
            (("base.npy", "x.fd", "--dtype", "float16"), "--dtype: is not of format store"),
            (("base.npy", "x.kld"), "base.npy: format llama.cpp takes tokens and n_ctx"),
        ],
    )
    def test_refusals(self, here: Path, arguments: tuple[str, ...], reason: str) -> None:
        assert reason in refusal_of("convert", *arguments, cwd=here)


class TestTokens:
    def test_the_worst(self, here: Path, tmp_path: Path) -> None:
        words = [f"w{i}" for i in range(VOCAB)]
        (tmp_path / "words.json").write_text(json.dumps(words))
        options = (*LABELS, "-n", "4", "--vocabulary", tmp_path / "words.json")
        found = report_of("tokens", "base.npy", "far.npy", *options, cwd=here)
        kl, labels = kl_of(here, "far.npy"), np.load(here / "labels.npy")
        rows = np.argsort(-kl)[:4].tolist()
        assert [each["row"] for each in found["worst"]] == rows
        top = np.load(here / "base.npy").argmax(-1)
        for row, each in zip(rows, found["worst"], strict=True):
            assert each["kl"] == pytest.approx(kl[row], rel=1e-6)
            assert (each["label"], each["label_text"]) == (labels[row], f"w{labels[row]}")
            assert each["top_base_text"] == f"w{top[row]}"
            before = "".join(words[i] for i in labels[max(0, row - 10) : row])
            after = "".join(words[i] for i in labels[row + 1 : row + 4])
            assert each["context"] == f"{before}⟦w{labels[row]}⟧{after}"

    def test_by_another_column(self, here: Path) -> None:
        found = report_of("tokens", "base.npy", "far.npy", *LABELS, "--by", "delta_p", cwd=here)
        sizes = [abs(each["delta_p"]) for each in found["worst"]]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == 20
        line = refusal_of("tokens", "base.npy", "far.npy", "--by", "kld", cwd=here)
        assert "there are" in line

    def test_in_a_terminal(self, here: Path, tmp_path: Path) -> None:
        (tmp_path / "words").write_text("\n".join(f"w{i}" for i in range(VOCAB)))
        options = ("--vocabulary", tmp_path / "words", "--sequences", "texts.npy", *LABELS)
        environment = {**os.environ, "COLUMNS": "80"}
        done = run("tokens", "base.npy", "far.npy", *options, cwd=here, env=environment)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "⟦w" in done.stdout


class TestVocabulary:
    def test_byte_level(self, tmp_path: Path) -> None:
        content = {
            "model": {"type": "BPE", "vocab": {"a": 0, "Ġthe": 1, "Ċ": 2, "Ã": 3, "©": 4}},
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteLevel"}]},
            "added_tokens": [{"id": 5, "content": "<end>"}],
        }
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(content))
        words = read_vocabulary(path)
        assert words.text(1) == " the"
        assert words.text(2) == r"\n"
        assert words.texts([0, 3, 4]) == "aé"
        assert words.text(3) == r"\xc3"
        assert (words.text(5), words.text(99)) == ("<end>", "⟨99⟩")

    def test_pieces(self, tmp_path: Path) -> None:
        model = {"type": "Unigram", "vocab": [["<unk>", 0], ["▁to", -1.5], ["<0x0A>", -2]]}
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps({"model": model}))
        words = read_vocabulary(path)
        assert (words.text(1), words.text(2)) == (" to", r"\n")

    def test_lists(self, tmp_path: Path) -> None:
        path = tmp_path / "words"
        path.write_text("a\n\nb\r\n")
        words = read_vocabulary(path)
        assert [words.text(i) for i in range(4)] == ["a", "", "b", "⟨3⟩"]
        path.write_text('{"Ġx": 0, "y": 1}')
        assert read_vocabulary(path).text(0) == " x"

    @pytest.mark.parametrize(
        "content", [b"\xff\xfe", b"[1, 2]", b"{", b'{"model": {}}', b'{"a": -1}']
    )
    def test_refusals(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "words"
        path.write_bytes(content)
        with pytest.raises(FileFormatError):
            read_vocabulary(path)

    def test_printable(self) -> None:
        assert printable("a\u202eb\x1b[0m".encode()) == "a\\u202eb\\x1b[0m"


@pytest.mark.parametrize("name", ["FASTDIV_ISA", "FASTDIV_NUM_THREADS"])
def test_a_bad_environment(name: str) -> None:
    line = refusal_of("info", env={**os.environ, name: "nonsense"})
    assert line.startswith(f"{name}: ")
