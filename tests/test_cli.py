"""The commands as a user meets them: exit codes, what is printed where, and how much memory."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastdiv as fd
from fastdiv.data import sample_paths

RNG = np.random.default_rng(3)
MIB = 1 << 20


def run(
    *arguments: object, code: str | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, or `code` with its arguments."""
    start = ["-m", "fastdiv"] if code is None else ["-c", code]
    command = [sys.executable, *start, *(a if isinstance(a, bytes) else str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, **options)


def report_of(*arguments: object, **options: Any) -> Any:
    done = run(*arguments, "--json", "-", **options)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def refusal_of(*arguments: object, **options: Any) -> str:
    """Return the one line on standard error of a command that must refuse its input."""
    done = run(*arguments, **options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fastdiv: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("\n")
    return done.stderr.removeprefix("fastdiv: ").rstrip("\n")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a sound pair of models and some unsound company."""
    here = tmp_path_factory.mktemp("pair")
    base = RNG.normal(0, 3, (20, 50)).astype(np.float32)
    np.save(here / "base.npy", base)
    np.save(here / "candidate.npy", base + RNG.normal(0, 0.3, base.shape).astype(np.float32))
    np.save(here / "labels.npy", RNG.integers(0, 50, 20))
    np.save(here / "narrow.npy", base[:, :49])
    np.save(here / "short.npy", base[:19])
    for name, row, value in (("nan", 7, np.nan), ("inf", 11, np.inf)):
        bad = base.copy()
        bad[row, 3] = value
        np.save(here / f"{name}.npy", bad)
    masked = base.copy()
    masked[5] = -np.inf
    np.save(here / "masked.npy", masked)
    tokens = RNG.integers(0, 50, 42, dtype=np.int32)
    rows = np.zeros((20, 54), np.uint16)
    rows[:, :4] = np.array([1e-4, -65535e-4 - 0.5], np.float32).view(np.uint16)
    rows[:, 4:] = RNG.integers(0, 65536, (20, 50))
    head = b"_logits_" + struct.pack("=3i", 21, 50, 2)
    (here / "base.kld").write_bytes(head + tokens.tobytes() + rows.tobytes())
    return here


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


class TestAnswers:
    def test_demo_against_plain_numpy(self) -> None:
        report = report_of("demo")
        paths = sample_paths()
        lp, lq = log_softmax(np.load(paths.base)), log_softmax(np.load(paths.candidate))
        p, q, labels = np.exp(lp), np.exp(lq), np.load(paths.labels)
        at = np.arange(len(labels))
        nll_b, nll_q = -lp[at, labels], -lq[at, labels]
        m = np.log((p + q) / 2)
        kl = (p * (lp - lq)).sum(-1)
        js = (p * (lp - m) + q * (lq - m)).sum(-1) / 2
        hellinger = np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(-1) / 2)
        changes = np.exp(-nll_q) - np.exp(-nll_b)
        close = {"rel": 1e-6}
        assert (report["tokens"], report["vocab"], report["tail"]) == (12, 49152, "none")
        assert report["perplexity"]["base"]["value"] == pytest.approx(np.exp(nll_b.mean()), **close)
        assert report["perplexity"]["candidate"]["value"] == pytest.approx(
            np.exp(nll_q.mean()), **close
        )
        assert report["perplexity"]["log_ratio"]["se"] == pytest.approx(
            (nll_q - nll_b).std() / np.sqrt(11), **close
        )
        assert report["perplexity"]["log_correlation"] == pytest.approx(
            np.corrcoef(nll_q, nll_b)[0, 1], **close
        )
        for name, values in (
            ("kl_divergence", kl),
            ("reverse_kl_divergence", (q * (lq - lp)).sum(-1)),
            ("js_divergence", js),
            ("total_variation", abs(p - q).sum(-1) / 2),
            ("hellinger_distance", hellinger),
            ("delta_p", changes),
        ):
            assert report[name]["mean"]["value"] == pytest.approx(values.mean(), **close)
            assert report[name]["mean"]["se"] == pytest.approx(values.std() / np.sqrt(11), **close)
            assert report[name]["max"] == pytest.approx(values.max(), **close)
            assert report[name]["p95"] == pytest.approx(np.quantile(values, 0.95), **close)
            assert report[name]["min"] == pytest.approx(values.min(), **close)
        assert report["same_top"]["value"] == pytest.approx(
            (p.argmax(-1) == q.argmax(-1)).mean(), **close
        )

    def test_demo_runs_the_code_of_compare(self) -> None:
        paths = sample_paths()
        assert report_of("demo") == report_of(
            "compare", paths.base, paths.candidate, "--labels", paths.labels
        )

    def test_the_sample_fits_into_the_wheel(self) -> None:
        assert sum(path.stat().st_size for path in sample_paths()) < 2_500_000

    def test_perplexity(self, pair: Path) -> None:
        report = report_of("perplexity", pair / "base.npy", "--labels", pair / "labels.npy")
        logits, labels = np.load(pair / "base.npy"), np.load(pair / "labels.npy")
        nll = -log_softmax(logits)[np.arange(20), labels]
        assert list(report)[:5] == ["tokens", "vocab", "nll", "perplexity", "bits_per_token"]
        assert (report["tokens"], report["vocab"]) == (20, 50)
        assert report["nll"]["value"] == pytest.approx(nll.mean(), rel=1e-6)
        assert report["nll"]["se"] == pytest.approx(nll.std() / np.sqrt(19), rel=1e-6)
        assert report["perplexity"]["value"] == pytest.approx(fd.perplexity(logits, labels))
        assert report["bits_per_token"] == pytest.approx(nll.mean() / np.log(2), rel=1e-6)

    def test_perplexity_of_a_llama_cpp_file(self, pair: Path) -> None:
        report = report_of("perplexity", pair / "base.kld")
        assert report["tokens"] == 20
        assert 0.4 < report["nll"]["value"] < 7.1

    def test_ignored_labels_are_not_counted(self, pair: Path, tmp_path: Path) -> None:
        labels = np.load(pair / "labels.npy")
        labels[:15] = -100
        np.save(tmp_path / "some.npy", labels)
        for name in ("base", "candidate"):
            np.save(tmp_path / f"{name}.npy", np.load(pair / f"{name}.npy")[15:])
        np.save(tmp_path / "labels.npy", labels[15:])
        some = ("--labels", tmp_path / "some.npy")
        rest = ("--labels", tmp_path / "labels.npy")
        files = ("base.npy", "candidate.npy")
        ignoring = report_of("compare", *(pair / f for f in files), *some)
        assert ignoring == report_of("compare", *(tmp_path / f for f in files), *rest)
        assert ignoring["tokens"] == 5
        assert report_of("perplexity", pair / "base.npy", *some)["tokens"] == 5
        assert report_of("perplexity", pair / "base.kld", *some)["tokens"] == 5
        for tail in ("bucket", "llama.cpp"):
            found = report_of(
                "compare", pair / "base.kld", pair / "base.npy", *some, "--tail", tail
            )
            assert (found["tokens"], found["tail"]) == (5, tail)

    def test_without_labels(self, pair: Path) -> None:
        report = report_of("compare", pair / "base.npy", pair / "candidate.npy")
        assert report["perplexity"] is None
        assert report["delta_p"] is None
        assert report["kl_divergence"]["mean"]["value"] > 0

    @pytest.mark.parametrize("candidate", [True, False])
    def test_bfloat16(self, pair: Path, tmp_path: Path, candidate: bool) -> None:
        """Raw bits beside float32, on either side and in a bucketed comparison."""
        wide = np.load(pair / "base.npy")
        bits = (wide.view(np.uint32) >> 16).astype(np.uint16)
        np.save(tmp_path / "bits.npy", bits)
        np.save(tmp_path / "same.npy", (bits.astype(np.uint32) << 16).view(np.float32))
        for other in ("candidate.npy", "base.kld"):
            sides = (pair / other, tmp_path / "bits.npy"), (pair / other, tmp_path / "same.npy")
            first, second = (s if candidate else s[::-1] for s in sides)
            raw = report_of("compare", *first, "--dtype", "bfloat16")
            assert raw["kl_divergence"]["mean"]["value"] == pytest.approx(
                report_of("compare", *second)["kl_divergence"]["mean"]["value"], rel=1e-6
            )

    def test_infinite_divergence_in_json(self, tmp_path: Path) -> None:
        np.save(tmp_path / "p.npy", np.zeros((3, 4)))
        np.save(tmp_path / "q.npy", np.array([[0, 0, 0, -np.inf]] * 3))
        report = report_of("compare", tmp_path / "p.npy", tmp_path / "q.npy")
        assert report["kl_divergence"]["mean"] == {"value": "Infinity", "se": None}
        assert report["kl_divergence"]["max"] == "Infinity"
        assert "inf" in run("compare", tmp_path / "p.npy", tmp_path / "q.npy").stdout

    def test_info(self) -> None:
        report = report_of("info", env={**os.environ, "FASTDIV_NUM_THREADS": "1"})
        assert report["version"] == fd.__version__
        assert report["isa"] in report["available_isas"]
        assert report["threads"] == 1
        assert fd.__version__ in run("info").stdout

    def test_threads_change_no_bit(self, pair: Path) -> None:
        files = ("compare", pair / "base.npy", pair / "candidate.npy")
        assert report_of(*files, "--threads", "1") == report_of(*files, "--threads", "2")

    def test_json_to_a_file_beside_the_table(self, pair: Path, tmp_path: Path) -> None:
        files = ("compare", pair / "base.npy", pair / "candidate.npy")
        done = run(*files, "--json", tmp_path / "report.json")
        assert done.returncode == 0
        assert "Maximum" in done.stdout
        assert json.loads((tmp_path / "report.json").read_text()) == report_of(*files)


class TestTables:
    @pytest.mark.parametrize("columns", [80, 120])
    def test_nothing_is_cut_or_wrapped(self, columns: int) -> None:
        done = run("demo", env={**os.environ, "COLUMNS": str(columns)})
        assert (done.returncode, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= columns
        assert "…" not in done.stdout
        for name in ("Mean PPL(Q)", "Mean PPL(base)", "Reverse KL", "Hellinger", "Same top p"):
            assert name in done.stdout
        quantiles = [line.split()[0] for line in done.stdout.splitlines() if line[:4].strip()]
        assert [name for name in quantiles if name in ("Maximum", "Median", "Minimum")] == [
            "Maximum",
            "Median",
            "Minimum",
        ]

    def test_a_stream_that_lacks_the_signs(self) -> None:
        done = run("demo", env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stderr) == (0, "")
        assert "Mean PPL(Q)" in done.stdout

    @pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
    def test_a_progress_bar_on_a_terminal_only(self) -> None:
        ours, theirs = os.openpty()
        command = [sys.executable, "-m", "fastdiv", "demo", "--json", "-"]
        environment = {**os.environ, "TERM": "xterm"}
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, check=True, env=environment
        )
        os.close(theirs)
        assert b"reading" in os.read(ours, 1 << 16)
        os.close(ours)
        assert json.loads(done.stdout)["tokens"] == 12


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("perplexity", "base.npy"), "base.npy: comes without labels"),
            (("perplexity", "none.npy"), "none.npy: No such file or directory"),
            (("perplexity", "."), "is a directory"),
            (("perplexity", "labels.npy"), "labels.npy: holds int64"),
            (("perplexity", "base.npy", "--labels", "none.npy"), "none.npy: No such file"),
            (("perplexity", "base.npy", "--labels", "base.npy"), "base.npy: holds float32; labels"),
            (
                ("perplexity", "short.npy", "--labels", "labels.npy"),
                "labels.npy: holds 20 labels for 19 rows",
            ),
            (
                ("compare", "base.npy", "narrow.npy"),
                "narrow.npy: has 20 rows of 49 logits, but base.npy has 20 of 50",
            ),
            (
                ("compare", "base.npy", "short.npy"),
                "short.npy: has 19 rows of 50 logits, but base.npy has 20 of 50",
            ),
            (
                ("compare", "base.npy", "candidate.npy", "--tail", "bucket"),
                "base.npy: holds all logits, as the candidate does",
            ),
            (
                ("compare", "base.npy", "base.kld", "--tail", "llama.cpp"),
                "base.npy: is no llama.cpp file",
            ),
            (
                ("compare", "base.kld", "base.kld", "--tail", "llama.cpp"),
                "base.kld: is a llama.cpp file",
            ),
            (("compare", "base.kld", "base.npy", "--tail", "other"), "--tail"),
            (("compare", "base.npy"), "candidate"),
            (("compare", "base.npy", "base.npy", "--threads", "0"), "--threads"),
            (("compare", "base.npy", "base.npy", "--threads", "257"), "--threads"),
            (("compare", "base.npy", "base.npy", "--nonsense"), "--nonsense"),
            (("nonsense",), "nonsense"),
            (("demo", "--json", "none/report.json"), "none/report.json: No such file"),
        ],
    )
    def test_one_line(self, pair: Path, arguments: tuple[str, ...], reason: str) -> None:
        if arguments[0] == "demo":
            done = run(*arguments, cwd=pair)
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            assert reason in done.stderr
        else:
            assert reason in refusal_of(*arguments, cwd=pair)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (
                ("perplexity", "nan.npy", "--labels", "labels.npy"),
                "nan.npy: row 7: logit 3 is NaN",
            ),
            (
                ("perplexity", "inf.npy", "--labels", "labels.npy"),
                "inf.npy: row 11: logit 3 is +inf",
            ),
            (
                ("perplexity", "masked.npy", "--labels", "labels.npy"),
                "masked.npy: row 5: every logit is -inf",
            ),
            (("compare", "nan.npy", "base.npy"), "nan.npy: row 7: logit 3 is NaN"),
            (("compare", "base.npy", "nan.npy"), "nan.npy: row 7: logit 3 is NaN"),
            (("compare", "base.kld", "nan.npy"), "nan.npy: row 7: logit 3 is NaN"),
            (
                ("compare", "base.kld", "inf.npy", "--tail", "llama.cpp"),
                "inf.npy: row 11: logit 3 is +inf",
            ),
        ],
    )
    def test_an_invalid_row_is_reported_and_the_run_goes_on(
        self, pair: Path, arguments: tuple[str, ...], reason: str
    ) -> None:
        done = run(*arguments, cwd=pair)
        assert (done.returncode, done.stderr) == (2, f"fastdiv: {reason}\n")
        assert "19 tokens" in done.stdout
        assert f"1 row is no distribution, and in no figure above:\n{reason}" in done.stdout
        name, row, why = reason.split(": ")
        report = report_of(*arguments, "--allow-invalid", cwd=pair)
        number = int(row.removeprefix("row "))
        assert (report["tokens"], report["invalid"]["count"]) == (19, 1)
        assert report["invalid"]["rows"] == [number]
        first = {"row": number, "reason": why}
        assert report["invalid"]["files"] == [{"file": name, "count": 1, "first": [first]}]

    @pytest.mark.parametrize("label", [50, -1, -99, 2**40])
    def test_a_label_out_of_range(self, pair: Path, tmp_path: Path, label: int) -> None:
        labels = np.load(pair / "labels.npy")
        labels[13] = label
        np.save(tmp_path / "l.npy", labels)
        line = f"{tmp_path / 'l.npy'}: row 13: label {label} is outside the vocabulary of 50"
        options = ("--labels", tmp_path / "l.npy")
        assert refusal_of("perplexity", pair / "base.npy", *options) == line
        assert refusal_of("compare", pair / "base.npy", pair / "candidate.npy", *options) == line

    def test_nothing_to_count(self, pair: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "l.npy", np.full(20, -100))
        line = refusal_of("perplexity", pair / "base.npy", "--labels", tmp_path / "l.npy")
        assert "every label is -100" in line

    def test_files_of_two_texts(self, pair: Path, tmp_path: Path) -> None:
        content = bytearray((pair / "base.kld").read_bytes())
        at = 20 + 4 * 15
        old = struct.unpack("=i", content[at : at + 4])[0]
        content[at : at + 4] = struct.pack("=i", (old + 1) % 50)
        (tmp_path / "other.kld").write_bytes(content)
        line = refusal_of("compare", pair / "base.kld", tmp_path / "other.kld")
        assert "row 4 predicts token" in line
        assert "the texts differ" in line

    def test_a_truncated_file(self, pair: Path, tmp_path: Path) -> None:
        for name in ("base.npy", "base.kld"):
            (tmp_path / name).write_bytes((pair / name).read_bytes()[:-1])
            assert "is truncated" in refusal_of("compare", tmp_path / name, pair / "base.npy")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
    def test_no_permission(self, pair: Path, tmp_path: Path) -> None:
        path = tmp_path / "closed.npy"
        path.write_bytes((pair / "base.npy").read_bytes())
        path.chmod(0)
        assert "Permission denied" in refusal_of("perplexity", path)

    @pytest.mark.skipif(sys.platform != "linux", reason="names are no plain bytes here")
    @pytest.mark.parametrize("name", [b"caf\xe9.npy", b"two\nlines.npy", b"[red]x.npy"])
    def test_awkward_names(self, pair: Path, tmp_path: Path, name: bytes) -> None:
        path = os.fsencode(tmp_path) + b"/" + name
        shown = name.decode("utf-8", "backslashreplace").replace("\n", "\\n")
        assert f"{shown}: No such file" in refusal_of("perplexity", path)
        with open(path, "wb") as file:
            file.write((pair / "base.npy").read_bytes())
        assert f"{shown}: comes without labels" in refusal_of("perplexity", path)
        done = run("perplexity", path, "--labels", pair / "labels.npy")
        assert (done.returncode, done.stderr) == (0, "")
        assert shown in done.stdout.replace("\n", "")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
    def test_a_full_disk(self, tmp_path: Path) -> None:
        report = tmp_path / "report.json"
        command = [sys.executable, "-m", "fastdiv", "demo", "--json", str(report)]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
        assert done.returncode == 2
        assert done.stderr == b"fastdiv: standard output: No space left on device\n"
        assert json.loads(report.read_text())["tokens"] == 12

    def test_a_reader_that_leaves(self) -> None:
        ours, theirs = os.pipe()
        os.close(ours)
        command = [sys.executable, "-m", "fastdiv", "demo"]
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
        os.close(theirs)
        assert (done.returncode, done.stderr) == (141, b"")

    @pytest.mark.parametrize("missing", ["typer", "rich"])
    def test_without_the_extra(self, missing: str) -> None:
        code = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            "from fastdiv.cli import main; sys.exit(main())"
        )
        assert 'pip install "fastdiv[cli]"' in refusal_of("demo", code=code)

    def test_interruption(self, pair: Path) -> None:
        code = (
            "import os, signal, sys, time\n"
            "from fastdiv.cli import main, streams\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "def wait(*a, **k): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
            "streams.Perplexity.run = wait\n"
            "sys.exit(main())"
        )
        files = ("base.npy", "--labels", "labels.npy")
        done = run("perplexity", *files, code=code, cwd=pair)
        assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")

    def test_help(self) -> None:
        for arguments in ((), ("--help",), ("compare", "--help")):
            done = run(*arguments)
            assert done.stdout.lstrip().startswith("Usage: ")
            assert (done.returncode, done.stderr) == (0, "")


PEAK = (
    "import sys\n"
    "from fastdiv.cli import main\n"
    "code = main()\n"
    "status = open('/proc/self/status').read()\n"
    "print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
    "sys.exit(code)\n"
)


def peak_of(*arguments: object) -> float:
    """Return the largest resident size in MiB, pages of mapped files included.

    (getrusage would give the largest of this process's ancestors too.)
    """
    done = run(*arguments, code=PEAK)
    assert done.returncode == 0, done.stderr
    return int(done.stderr) / 1024


VOCAB = 32768


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with 300 MiB of logits, and one row of the same width."""
    here = tmp_path_factory.mktemp("big")
    for name, rows in (("big", 2400), ("one", 1)):
        logits = np.lib.format.open_memmap(
            here / f"{name}.npy", mode="w+", dtype=np.float32, shape=(rows, VOCAB)
        )
        logits[:, 5] = 1.0
        del logits
        np.save(here / f"{name}-labels.npy", np.full(rows, 5))
    assert (here / "big.npy").stat().st_size > 300 * MIB - MIB
    return here


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")
class TestMemory:
    def test_perplexity_stays_small(self, big: Path) -> None:
        small, large = (
            peak_of("perplexity", big / f"{name}.npy", "--labels", big / f"{name}-labels.npy")
            for name in ("one", "big")
        )
        assert large - small < 120
        assert large < 250

    def test_comparison_stays_small(self, big: Path) -> None:
        small, large = (
            peak_of("compare", big / f"{name}.npy", big / f"{name}.npy") for name in ("one", "big")
        )
        assert large - small < 120

    def test_llama_cpp_stays_small(self, tmp_path: Path) -> None:
        n_ctx, words = 1023, VOCAB + 4
        rows = n_ctx - 1 - n_ctx // 2
        path = tmp_path / "base.kld"
        with open(path, "wb") as file:
            file.write(b"_logits_" + struct.pack("=3i", n_ctx, VOCAB, 4))
            file.seek(4 * 4 * n_ctx, os.SEEK_CUR)
            row = np.full(words, 1, np.uint16)
            row[:4] = np.array([1e-5, -10.0], np.float32).view(np.uint16)
            for _ in range(4 * rows):
                file.write(row.tobytes())
        assert peak_of("perplexity", path) - peak_of("info") < 120
