"""The benchmark of the gate's promise: its worlds are as they say, and its figures come from the product's rules."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gate as benchmark
from benchmarks import gate_slices
from benchmarks.workspace import CHECKOUT
from pipeline.judging import lifetime
from pipeline.judging.settings import Bound

RULES = Bound(metric="accuracy", margin=0.01, confidence=0.9, risk=0.05)


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
    monkeypatch.setattr(gate_slices, "DIFFERING", (gate_slices.ASKED,))
    few = ["--regressions", "1", "--pairs", "1", "--out", str(tmp_path)]
    assert benchmark.main(["--lives", "50", "--draws", "500", *few]) in (0, 1)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    results = json.loads((tmp_path / "gate.json").read_text())
    assert results["ok"] == last["ok"] == all(one["ok"] for one in results["targets"].values())
    assert (tmp_path / "gate.md").read_text() == benchmark.page(results)
    assert (tmp_path / "gate.png").stat().st_size > 10_000

    lives = results["lives"], results["targets"]
    assert benchmark.main(["--slices", "--seed", "1", *few]) in (0, 1)
    again = json.loads((tmp_path / "gate.json").read_text())
    assert (again["lives"], again["targets"].keys()) == (lives[0], lives[1].keys())
    assert (tmp_path / "gate.md").read_text() == benchmark.page(again)
    assert again["ok"] == all(one["ok"] for one in again["targets"].values())


def test_slices_can_be_judged_where_no_lives_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_slices, "DIFFERING", (gate_slices.ASKED,))
    few = ["--regressions", "1", "--pairs", "1", "--out", str(tmp_path)]
    assert benchmark.main(["--slices", *few]) in (0, 1)
    assert "lives" not in json.loads((tmp_path / "gate.json").read_text())
    assert "| 5% | planted, a quarter | 1 |" in capsys.readouterr().out


@pytest.mark.parametrize("differing", gate_slices.DIFFERING)
def test_two_models_differ_on_as_many_images_as_they_should(differing: float) -> None:
    worlds = rng()
    made = [gate_slices.clean("equal", differing, worlds)[0] for _ in range(20)]
    assert np.mean([np.abs(pairs.lost).mean() for pairs in made]) == pytest.approx(differing, rel=0.15)
    assert np.mean([pairs.champion_right.mean() for pairs in made]) > 0.8


@pytest.mark.parametrize("kind", gate_slices.PLANTED)
def test_a_planted_slice_loses_and_the_whole_does_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> np.ndarray:
        pairs, members = gate_slices.planted(kind, 0.05, rng())
        return np.array([members.sums(pairs.lost)[-1], pairs.lost.sum(), members.sizes[-1]])

    planted = lost()
    monkeypatch.setattr(gate_slices, "POINTS", 0)
    assert (planted - lost()).tolist() == [10, 0, 0]


def test_the_first_column_goes_with_how_hard_images_are_and_no_other_does() -> None:
    pairs, members = gate_slices.clean("equal", 0.05, rng())
    accuracy = members.sums(pairs.champion_right.astype(float)) / members.sizes
    columns = [[value for (name, _), value in zip(members.names, accuracy, strict=True) if name == one]
               for one in ("column 0", "column 1")]  # fmt: skip
    assert max(columns[0]) - min(columns[0]) > 0.3
    assert members.sizes.min() > 0


@pytest.mark.parametrize("kind", gate_slices.CLEAN)
def test_what_is_done_in_a_clean_pair_loses_no_image_of_a_slice(kind: str) -> None:
    pairs, members = gate_slices.clean(kind, 0.05, rng())
    plain, _ = gate_slices.clean("equal", 0.05, rng())
    assert np.abs(members.sums(pairs.lost) / members.sizes)[members.sizes > 50].max() < 0.12
    assert (pairs.lost == plain.lost).all() == (kind != "uneven")
    assert (pairs.challenger == plain.challenger).all() == (kind == "equal")


def test_the_readme_says_what_was_measured() -> None:
    made = json.loads((CHECKOUT / "benchmarks/results/gate.json").read_text())
    said = " ".join((CHECKOUT / "README.md").read_text().split())
    lives = made["lives"]
    broken = max(row["promise"]["broken"] for row in lives)
    kept = made["targets"]["of the true gain of the step alone, kept in the worst case"]["found"]
    assert f"at most {broken:.1%} broke it, in the worst of {len(lives)} kinds of lives, and" in said
    assert f"at least {kept:.0%} of the gain was kept" in said
    found = min(row["found"] for row in made["slices"] if row["differing"] == 0.05 and "planted" in row)
    false = max(row["found"] for row in made["slices"] if row["differing"] == 0.05 and "clean" in row)
    assert f"{found:.1%} or more are found, and {false:.1%} or fewer of clean pairs have a slice named" in said
    for images, points in ((1000, 5.7), (10_000, 1.8)):
        promised = 100 * lifetime.promised(images, 0, 1, RULES.margin, RULES.risk or 1)
        assert promised == pytest.approx(points, abs=0.05)
        assert f"{points} " in said
    assert made["ok"] == all(target["ok"] for target in made["targets"].values())
    assert (CHECKOUT / "benchmarks/results/gate.md").read_text() == benchmark.page(made)


def test_the_targets_are_about_the_worst_of_what_is_asked() -> None:
    rows = [
        {"differing": 0.05, "planted": "alike", "found": 0.99},
        {"differing": 0.05, "planted": "a quarter", "found": 0.89},
        {"differing": 0.05, "clean": "equal", "found": 0.04},
        {"differing": 0.1, "planted": "alike", "found": 0.1},
        {"differing": 0.1, "clean": "equal", "found": 0.9},
    ]
    found, named = gate_slices.targets(rows).values()
    assert (found["found"], found["ok"], named["found"], named["ok"]) == (0.89, False, 0.04, True)
