"""The demo and the benchmarks, run for real: minutes each, so slow."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import demo
from benchmarks.demo import Row
from benchmarks.workspace import CHECKOUT


def test_the_table_has_a_row_a_cycle_and_aligned_columns() -> None:
    lines = demo.table([Row("one", images="1 / 2"), Row("a longer name", verdict="promote")]).splitlines()
    assert len(lines) == 4
    starts = {line.index(word) for line, word in ((lines[0], "new / total"), (lines[2], "1 / 2"))}
    assert len(starts) == 1
    assert re.findall(r"\S+(?: \S+)*", lines[3])[0] == "a longer name"


def test_every_benchmark_explains_itself() -> None:
    for name in ("demo", "cycle"):
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--help"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "example: " in done.stdout


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
    assert "600 / 600" in first
    assert "cold" in first
    assert "900 / 1500" in second
    assert "warm from v1" in second
    assert "patience" in second, "early stopping is shown"
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
