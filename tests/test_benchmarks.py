"""The demo and the benchmarks, run for real: minutes each, so slow."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import demo, twins
from benchmarks.demo import Row
from benchmarks.workspace import CHECKOUT


def test_the_table_has_a_row_a_cycle_and_aligned_columns() -> None:
    lines = demo.table([Row("one", images="1 / 2"), Row("a longer name", verdict="promote")]).splitlines()
    assert len(lines) == 4
    starts = {line.index(word) for line, word in ((lines[0], "new / total"), (lines[2], "1 / 2"))}
    assert len(starts) == 1
    assert re.findall(r"\S+(?: \S+)*", lines[3])[0] == "a longer name"


def test_every_benchmark_explains_itself() -> None:
    for name in (
        "demo",
        "cycle",
        "scale",
        "noop",
        "decode",
        "fuzz_images",
        "crash",
        "throughput",
        "twins",
        "augment",
        "photos",
        "labels",
        "review",
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--help"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "example: " in done.stdout


def test_the_twins_benchmark_finds_what_it_planted(capsys: pytest.CaptureFixture[str]) -> None:
    assert twins.main(["--sizes", "50000"]) == 0
    (figures,) = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    assert figures["found"]
    assert figures["images"] == 50_000


@pytest.mark.slow
def test_the_demo_shows_the_four_cycles(tmp_path: Path) -> None:
    before = subprocess.run(["git", "status", "--porcelain"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.demo", str(tmp_path / "demo")],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, again, broken = (
        re.search(rf"^{name}  .*$", done.stdout, re.M).group()  # type: ignore[union-attr]
        for name in ("first images", "new images", "nothing new", "shuffled labels")
    )
    assert "200 / 200" in first
    assert "cold" in first
    assert "1300 / 1500" in second
    assert "warm from v1" in second or "cold, by audit" in second, "the better of the two"
    assert "v2, champion" in second
    assert "patience" in first, "early stopping is shown"
    assert "nothing to do" in again
    assert "297 / 1797" in broken
    assert "champion" not in broken
    after = subprocess.run(["git", "status", "--porcelain"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert after.stdout == before.stdout, "the checkout stays clean"


@pytest.mark.slow
def test_the_cycle_benchmark_ends_with_its_figures() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cycle", "--rounds", "1"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["ok"] == (figures["ratio"] <= figures["target_ratio"]) == (done.returncode == 0)
    assert [stage["stage"] for stage in figures["stages"]][-1] == "promote"
    for stage in figures["stages"]:
        parts = stage["imports"] + stage["own"] + stage["waiting"]
        assert parts == pytest.approx(stage["wall"], abs=0.05)


def figures_of(name: str, *options: str) -> tuple[dict, int]:
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]), done.returncode


@pytest.mark.slow
def test_the_scale_benchmark_reads_the_same_number_of_images_at_each_size() -> None:
    figures, code = figures_of("scale", "--sizes", "10000", "20000", "--rounds", "1")
    assert figures["held"]["images_read"]
    assert figures["held"]["memory"]
    assert figures["ok"] == all(figures["held"].values()) == (code == 0)
    small, large, one_batch = figures["figures"]
    assert small["images_read"] == large["images_read"] == one_batch["images_read"] > 1000
    assert small["objects_fetched"] <= small["images_read"] + 1, "no image twice, and the listing of the new batch"


@pytest.mark.slow
def test_the_noop_benchmark_ends_with_its_figures() -> None:
    figures, code = figures_of("noop", "--sizes", "2000", "--rounds", "1")
    (one,) = figures["figures"]
    assert figures["ok"] == (one["noop"] <= one["allowed"]) == (code == 0)
    assert one["allowed"] == pytest.approx(one["bare"] + one["client"], abs=0.002)


@pytest.mark.project
@pytest.mark.timeout(900)
def test_after_thirty_kills_the_model_is_the_same_to_the_last_byte() -> None:
    """SIGKILL at random moments of the stage's own command, and of the whole `dvc repro`."""
    figures, code = figures_of("crash", "--kills", "30", "--dvc", "1")
    assert code == 0, figures
    assert figures["ok"]
    assert figures["kills"] >= 30
    assert figures["different"] == figures["failed"] == figures["orphans"] == figures["dvc_different"] == 0
    assert figures["killed_when"]["after a state"] >= 10


@pytest.mark.slow
def test_the_throughput_benchmark_ends_with_its_figures() -> None:
    figures, code = figures_of("throughput", "--rounds", "1", "--seconds", "5")
    assert figures["ok"] == all(figures["held"].values()) == (code == 0)
    assert set(figures["sizes"]) == {"28", "32", "160"}
    assert figures["saving"]["saves"] >= 1
    assert 200 < figures["peak_mib"]["2000"] < 4000
