"""The benchmark of the gate's promise: its worlds are as they say, and its figures come from the product's rules."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gate as benchmark
from pipeline.judging import lifetime
from pipeline.judging.settings import Bound

RULES = Bound(margin=0.01, confidence=0.9, risk=0.05)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_a_challenger_differs_and_gains_as_it_was_asked_to() -> None:
    lives = benchmark.begun(2000, 5000, rng())
    made = benchmark.challengers(lives, np.full(2000, 0.01), 0.06, rng())
    step = made.step
    assert (step.total == 5000).all()
    assert (step.challenger_only + step.champion_only).mean() / 5000 == pytest.approx(0.06, abs=0.001)
    assert (step.challenger_only - step.champion_only).mean() / 5000 == pytest.approx(0.01, abs=0.001)
    assert made.truth[:, 1].sum(axis=1) == pytest.approx(np.full(2000, 0.81))
    assert made.truth.sum(axis=(1, 2)) == pytest.approx(np.ones(2000))


def test_images_that_come_are_fresh_to_the_anchor() -> None:
    lives = benchmark.begun(10, 200, rng())
    benchmark.grow(lives, 30, rng())
    assert lives.held.sum(axis=(2, 3)).tolist() == [[200] * 10, [30] * 10]


def test_where_luck_is_all_there_is_the_step_alone_falls_below_what_is_promised() -> None:
    mix, rules = benchmark.MIXES["all -0.4"], RULES.model_copy(update={"risk": None})
    alone = benchmark.play((1000, 50), 0.05, mix, rules, 100, 3)
    kept = benchmark.play((1000, 50), 0.05, mix, RULES, 100, 3)
    assert alone["broken"] > 0.5
    assert kept["broken"] < 0.1
    assert kept["fall"] < alone["fall"]


def test_each_rule_of_the_promise_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> float:
        mixes = ("all -0.2", "all -0.4", "-1 +- 1")
        kinds = [((1000, 50), 0.02), ((200, 20), 0.05), ((4000, 0), 0.05)]
        return max(
            benchmark.play(*kind, benchmark.MIXES[mix], RULES, 200, 5)["broken"] for kind in kinds for mix in mixes
        )

    assert broken() <= 0.06
    for name, weaker in (("REUSED", 1.0), ("COUNTED", 1.0), ("ANCHOR_CONFIDENCE", 0.5)):
        with monkeypatch.context() as patch:
            patch.setattr(lifetime, name, weaker)
            assert broken() > 0.1, name


def test_the_power_rises_with_what_is_true() -> None:
    powers = [benchmark.power(1000, 0.05, truth, RULES, 5000, 0) for truth in (-2, -0.5, 0, 1, 3)]
    assert powers == sorted(powers)
    assert powers[0] < 0.01
    assert powers[-1] > 0.95


def test_it_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "HOLDOUTS", ((200, 0), (200, 20)))
    assert benchmark.main(["--lives", "50", "--draws", "500", "--out", str(tmp_path)]) in (0, 1)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    results = json.loads((tmp_path / "gate.json").read_text())
    assert results["ok"] == last["ok"] == all(one["ok"] for one in results["targets"].values())
    assert (tmp_path / "gate.md").read_text() == benchmark.page(results)
    assert (tmp_path / "gate.png").stat().st_size > 10_000
