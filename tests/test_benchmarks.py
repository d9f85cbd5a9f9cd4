"""The benchmarks run; their ratios and pages say what was timed. No test asks for a time."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pytest

import fastdiv as fd

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import growth  # noqa: E402
import inputs  # noqa: E402
import interleaved  # noqa: E402
import peers  # noqa: E402


@pytest.fixture
def clock(monkeypatch):
    """A clock that only its own `spend` moves, of the processor or on the wall alone."""

    class Clock:
        busy = wall = 0.0

        def spend(self, busy, idle=0.0):
            self.busy += busy
            self.wall += busy + idle

    it = Clock()
    monkeypatch.setattr(interleaved, "process_time", lambda: it.busy)
    monkeypatch.setattr(interleaved, "perf_counter", lambda: it.wall)
    return it


def test_everybody_runs_in_every_round_and_nobody_always_behind_the_same(clock):
    calls = []

    def member(name, seconds):
        def run():
            calls.append(name)
            clock.spend(seconds)

        return run

    members = {name: member(name, seconds) for name, seconds in (("a", 1), ("b", 2), ("c", 4))}
    times = interleaved.race(members, rounds=6, seconds=1000)
    assert times == {"a": [1] * 6, "b": [2] * 6, "c": [4] * 6}
    raced = calls[-18:]
    rounds = [tuple(raced[i : i + 3]) for i in range(0, 18, 3)]
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len(set(rounds)) == 3


def test_slow_members_run_in_fewer_rounds_from_the_first_to_the_last(clock):
    members = {"slow": lambda: clock.spend(10), "fast": lambda: clock.spend(1)}
    times = interleaved.race(members, rounds=9, seconds=40)
    assert [t is not None for t in times["slow"]].count(True) == 4
    assert times["slow"][0] == times["slow"][-1] == 10
    assert times["fast"] == [1] * 9
    fewest = interleaved.race(members, rounds=9, seconds=1, fewest=3)
    assert [i for i, t in enumerate(fewest["slow"]) if t] == [0, 4, 8]


def test_short_calls_are_timed_together(clock):
    members = {"short": lambda: clock.spend(1e-6)}
    assert interleaved.calls_at_once(members["short"])[0] >= 100
    (times,) = interleaved.race(members, rounds=2).values()
    assert times == pytest.approx([1e-6, 1e-6])


def test_time_without_a_processor_is_not_the_members(clock):
    idle = itertools.cycle([0.0, 5.0])
    members = {"a": lambda: clock.spend(1, next(idle))}
    before = dict(interleaved.RUNS)
    assert interleaved.race(members, rounds=4)["a"] == [1, 1, 1, 1]
    assert interleaved.RUNS["all"] - before["all"] == 4
    assert interleaved.RUNS["disturbed"] == before["disturbed"]  # each was run again, undisturbed
    members = {"a": lambda: clock.spend(1, 1)}
    assert interleaved.race(members, rounds=4, wall=True)["a"] == [2, 2, 2, 2]
    assert interleaved.RUNS["disturbed"] - before["disturbed"] == 4


def test_ratios_are_medians_over_the_rounds_of_both():
    times = {"ours": [1.0, 2.0, 4.0, 1.0], "theirs": [3.0, 4.0, None, 5.0]}
    assert interleaved.speed(times, "ours", "theirs") == 3.0  # of 3, 2 and 5
    assert interleaved.median(times["theirs"]) == 4.0
    assert interleaved.exponent([10, 100, 1000], [3, 300, 30000]) == pytest.approx(2)


def report_of(ours, reading, numpy, scipy, isa="avx512", **more):
    times = {
        "reading memory": [reading] * 3,
        "fastdiv": [ours] * 3,
        "numpy": [numpy] * 3,
        "scipy a": [scipy] * 3,
        "scipy b": [2 * scipy] * 3,
        **more,
    }
    wanted = {"numpy": 5.0, "scipy": 10.0, "torch": 3.0}
    return {"times": times, "isas": [isa], "wanted_of_reading": 0.5, "wanted_of_peers": wanted}


def test_figures_are_judged_against_the_fastest_line_of_each_library_that_is_there():
    figures = peers.judged(report_of(2.0, 1.2, 9.0, 40.0), "avx512")
    assert [(f["against"], f["wanted"], f["got"], f["met"]) for f in figures] == [
        ("reading memory", 0.5, 0.6, True),
        ("numpy", 5.0, 4.5, False),
        ("scipy", 10.0, 20.0, True),
    ]


def test_half_is_wanted_of_other_instruction_sets():
    entry = report_of(2.0, 1.2, 9.0, 40.0, **{"fastdiv, avx2": [4.0] * 3})
    entry["isas"].append("avx2")
    figures = peers.judged(entry, "avx2")
    assert [(f["wanted"], f["got"], f["met"]) for f in figures] == [
        (0.25, 0.3, True),
        (2.5, 2.25, False),
        (5.0, 10.0, True),
    ]


def test_lines_are_named_where_the_reader_was_disturbed():
    lines = [
        {"title": title, "bytes": 100, "times": {"reading memory": [seconds, seconds, None]}}
        for title, seconds in (("calm", 10.0), ("less calm", 12.0), ("disturbed", 13.0))
    ]
    assert peers.disturbed({"throughput": lines}) == ["disturbed"]


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("size", [8, 520, 4096, 100_008])
def test_reader_reads_everything(reader, streams, size):
    rng = np.random.default_rng(size)
    a, b = (rng.integers(0, 2**64, size // 8, np.uint64) for _ in "ab")
    want = (int(a.sum(dtype=np.uint64)) + int(b.sum(dtype=np.uint64))) % 2**64
    assert reader.words(a, b, (streams, 0)) == want
    assert reader.words(a, b, (streams, 1024)) == want
    assert reader.words(a, None, (1, 0)) == int(a.sum(dtype=np.uint64))
    assert reader.member([a, b])() == want
    assert sum(reader.member([a, b], threads=2)()) % 2**64 == want


@pytest.fixture(scope="module")
def reader():
    return interleaved.Reader(tries=1, size=1 << 16)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The whole of bench-peers on tiny arrays."""
    folder = tmp_path_factory.mktemp("peers")
    places = [
        f"--{n}={folder / f'out.{e}'}"
        for n, e in (("json", "json"), ("page", "md"), ("picture", "png"))
    ]
    assert peers.main(["--quick", *places]) == 0
    return folder


def test_peers_write_json_page_and_picture(measured):
    report = json.loads((measured / "out.json").read_text(encoding="utf-8"))
    assert (measured / "out.png").read_bytes().startswith(b"\x89PNG")
    text = (measured / "out.md").read_text(encoding="utf-8")
    assert report["machine"]["isa"] == report["throughput"][0]["isas"][0]
    assert report["machine"]["versions"]["numpy"] == np.__version__
    assert report["machine"]["cores"] >= 1
    for entry in report["throughput"]:
        assert {"reading memory", "fastdiv", "numpy"} & set(entry["times"]) >= {
            "reading memory",
            "fastdiv",
        }
        assert all(t is None or t > 0 for times in entry["times"].values() for t in times)
        for name, error in entry["errors"].items():
            if name.startswith("fastdiv"):
                assert error < 1e-5
            assert f"| {entry['title']} | {name} |" in text
    assert report["threads"]["works"]
    for what, wanted, got, met in peers.verdicts(report):
        assert f"| {what} | {wanted} | {got} | {'yes' if met else '**no**'} |" in text


def test_peers_write_the_same_again_from_json(measured, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# By hand\n\n<!-- peers: begin -->\nold\n<!-- peers: end -->\n\nAfter.\n")
    places = [f"--page={page}", f"--picture={tmp_path / 'x.png'}"]
    assert peers.main([f"--from={measured / 'out.json'}", *places]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# By hand\n\n<!-- peers: begin -->\n")
    assert text.endswith("<!-- peers: end -->\n\nAfter.\n")
    assert "old" not in text
    assert (
        text.partition("begin -->")[2].partition("<!--")[0]
        == (
            (measured / "out.md")
            .read_text(encoding="utf-8")
            .partition("begin -->")[2]
            .partition("<!--")[0]
        )
    )


def test_the_instruction_set_is_put_back():
    before = fd.isa()
    slowest = fd.available_isas()[0]
    with peers.instructions(slowest):
        assert fd.isa() == slowest
    assert fd.isa() == before


def test_works_are_those_of_the_contract_and_agree_with_their_oracles():
    wanted = {
        (w.title, w.wanted_of_reading, *sorted(w.wanted_of_peers.items())) for w in peers.works()
    }
    assert ("total_variation, float32", 0.85) in wanted
    assert ("token_nll, float16", 0.4, ("torch", 10)) in wanted
    for work in peers.works():
        arrays = inputs.make(work.arrays, 2, 300)[: work.operands]
        labels = inputs.make("labels", 2, 300) if work.labelled else ()
        exact = {1: work.exact(*(x[1] for x in arrays), *(int(x[1]) for x in labels))}
        assert peers._error(work.ours(*arrays, *labels), work, exact) < 1e-6
        assert peers._error(np.array([0, 2 * float(exact[1])]), work, exact) == pytest.approx(1)


def test_growth_writes_json_and_page(tmp_path, capsys):
    kept, page = tmp_path / "growth.json", tmp_path / "page.md"
    report = growth.measure(100_000, 2, 0.01, block=10_000, only=["kl_divergence"])
    assert growth.peak_memory(lambda: np.ones(3_000_000).sum()) >= 20_000_000
    interleaved.save(kept, report)
    assert growth.main([f"--from={kept}", f"--page={page}"]) == 0
    assert "rows: kl_divergence: time ^" in capsys.readouterr().out
    for axis in ("rows", "vocabulary"):
        (entry,) = report[axis]
        assert list(entry["seconds"]) == ["10", "100", "1000", "10000", "100000"]
        assert math.isfinite(growth.fitted(entry, least=1))
    assert "| 100,000 |" in page.read_text(encoding="utf-8")


def test_growth_powers():
    seconds = {"10": 9.0, "1000000": 1.0, "10000000": 10.0, "100000000": 100.0}
    assert growth.fitted({"seconds": seconds}) == pytest.approx(1)
    assert growth.fitted({"seconds": {"10": 1.0}}) is None


def test_largest_operands_are_rows_over_and_over_and_a_file(tmp_path):
    both = [np.arange(5000, dtype=np.float32) + k for k in (0, 1)]
    p, q = growth.of_rows(1_000_000, both)
    assert p.shape == q.shape == (200, 5, 1000)
    assert np.shares_memory(p, both[0])
    assert np.shares_memory(q, both[1])
    p, q = growth.of_one_row(12_000, both, tmp_path)
    assert p.shape == q.shape == (12_000,)
    np.testing.assert_array_equal(p, np.arange(12_000) % 5000)
    np.testing.assert_array_equal(q, np.arange(1, 12_001) % 5000)


def test_the_clocks_are_those_of_the_process():
    assert interleaved.process_time is process_time
    assert interleaved.perf_counter is perf_counter
