"""The stages, cycle by cycle: what a warm start takes over, labels that come, go and change their name, audits."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from project import Done, MadeOnce, Project, pictures

from pipeline.base import files
from pipeline.data import dataset


@pytest.fixture
def begun(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project with a champion that knows cats and dogs."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(
            train={"max_epochs": 3, "batch_size": 16}, validate={"new_labels": "allow", "min_images_per_label": 3}
        )
        project.add("first", pictures(range(40), "cat", "dog"))
        project.cycle()
        project.promote()

    return made_once("begun", make).copy(tmp_path / "clone")


def training(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = project.space.read("model/training.json")
    return found


def arrays(project: Project, name: str) -> dict[str, np.ndarray]:
    return files.read_arrays(project.root / "data/cycle/model" / name)


def outcome(project: Project) -> dict[str, str]:
    """SHA-256 of every byte that training gave."""
    paths = sorted((project.root / "data/cycle/model").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_a_warm_start_begins_from_the_last_weights_and_serves_a_mixture(begun: Project) -> None:
    last, served = arrays(begun, "last.npz"), arrays(begun, "weights.npz")
    assert training(begun)["blended"] == []
    begun.add("second", pictures(range(100, 120), "cat", "dog"))
    done = begun.upto("train")
    assert done.code == 0, done.err
    found = training(begun)
    assert found["start"] == "warm"
    assert [row["share"] for row in found["blended"]] == [0.0, 0.25, 0.5, 0.75, 1.0]
    best = min(found["blended"], key=lambda row: (row["val_loss"], row["share"]))
    assert found["share"] == best["share"]
    said = f"train: blended: {best['share']:.0%} of the result, the rest the parent's weights" in done.out
    assert said == (best["share"] < 1)
    # The first row of the curves is the score of the last weights, the share 0 that of the served ones.
    part = dataset.read(begun.root / "data/cycle/dataset").part("val")
    for weights, row in ((last, found["history"][0]), (served, found["blended"][0])):
        assert loss(begun, weights, part) == pytest.approx(row["val_loss"], rel=1e-5)


@pytest.mark.parametrize("balance", ["drawing", "adjusted"])
def test_balance_is_by_all_training_images_however_few_are_replayed(begun: Project, balance: str) -> None:
    begun.space.params(train={"balance": balance}, prepare={"replay": 1})
    begun.add("second", pictures(range(100, 130), "cat"))
    assert begun.upto("train").code == 0
    contents = dataset.read(begun.root / "data/cycle/dataset").contents
    rows = begun.table("ledger.parquet").filter(pl.col("split") == "train")
    assert dict(zip(contents.labels, contents.label_counts, strict=True)) == dict(
        rows.group_by("label").len().iter_rows()
    )
    assert sum(contents.label_counts) == len(rows) > contents.counts["train"]
    assert training(begun)["start"] == "warm"
    assert training(begun)["epochs"] > 0


def loss(project: Project, weights: dict[str, np.ndarray], part: dataset.Part) -> float:
    from pipeline.artifacts.model import Description
    from pipeline.judging import metrics
    from pipeline.learning import model

    network = model.load(Description.read(project.root / "data/cycle/model/model.json"), weights, "test")
    return metrics.scores(part.labels, model.logits(network, part.inputs, 64)).loss


@pytest.mark.parametrize(
    ("changes", "epochs", "reason"),
    [
        ({}, 3, "max_epochs: 3"),
        ({"warm_epochs": 2}, 2, "warm_epochs: 2"),
        ({"passes_per_new": 4.0}, 1, "passes_per_new: 4, 1 epoch here"),
    ],
)
def test_a_warm_start_has_epochs_by_what_is_new(
    begun: Project, changes: dict[str, Any], epochs: int, reason: str
) -> None:
    begun.space.params(train={"max_epochs": 3, "patience": 9, **changes})
    begun.add("second", pictures(range(100, 120), "cat", "dog"))
    assert begun.upto("train").code == 0
    found = training(begun)
    assert (found["epochs"], found["max_epochs"], found["stop_reason"]) == (epochs, epochs, reason)
    part = dataset.read(begun.root / "data/cycle/dataset").part("train")
    assert part.is_unlearned is not None
    num_val = len(dataset.read(begun.root / "data/cycle/dataset").part("val"))
    scored = (epochs + 5) * num_val
    assert found["passes"] == pytest.approx(epochs * len(part) + scored / 3)


def test_what_it_cost_and_what_it_lost_is_in_the_registry(begun: Project) -> None:
    begun.add("second", pictures(range(100, 120), "cat", "dog"))
    begun.cycle()
    client = begun.mlflow
    version = client.get_model_version("evergreen", "2")
    run = client.get_run(version.run_id)
    evaluation = begun.space.read("evaluation.json")
    assert run.data.metrics["cost/passes"] == pytest.approx(training(begun)["passes"])
    assert float(run.data.params["kept.share"]) == training(begun)["share"]
    assert run.data.metrics["holdout/negative_flips"] == evaluation["negative_flips"]
    assert 0 <= evaluation["negative_flips"] <= 1
    passes = round(training(begun)["passes"])
    assert f"{passes:,} passes of images; from scratch about " in version.description


def test_relabelled_images_are_to_be_learned_again(begun: Project) -> None:
    before = begun.table("ledger.parquet").filter(pl.col("split") == "train").sort("path")
    moved = before.filter(pl.col("label") == "cat")["path"][0]
    name = Path(moved).name
    root = begun.root / "data/images/first"
    (root / "cat" / name).rename(root / "dog" / f"was-{name}")
    begun.track("first")
    done = begun.upto("train")
    assert done.code == 0, done.err
    part = dataset.read(begun.root / "data/cycle/dataset").part("train")
    rows = dict(zip(part.digests, part.is_unlearned if part.is_unlearned is not None else [], strict=True))
    digest = before.filter(pl.col("path") == moved)["digest"][0]
    assert {name for name, is_unlearned in rows.items() if is_unlearned} == {digest}
    assert part.is_new is not None
    assert (part.is_new == part.is_unlearned).all(), "the champion did not learn this label either"
    assert "; 0 of them new, 1 with another label" in done.out


def test_a_new_label_gets_an_output_and_the_others_keep_theirs(begun: Project) -> None:
    last = arrays(begun, "last.npz")
    begun.add("owls", pictures(range(200, 230), "owl"))
    done = begun.cycle()
    assert "train: warm start: from v1, its weights" in done.out
    assert begun.space.read("model/model.json")["labels"] == ["cat", "dog", "owl"]
    found = training(begun)
    assert found["is_warm"]
    assert arrays(begun, "last.npz")[sorted(last)[-1]].shape == (3,)
    assert "of the 14 with labels" in done.out or "promote" in done.out


def rename(project: Project, old: str, new: str) -> None:
    folder = project.root / "data/images/first"
    (folder / old).rename(folder / new)
    project.track("first")


def assert_goes(project: Project, label: str) -> None:
    """The new version is champion, better or not: the label is gone from what answers."""
    promotion, verdict = project.space.read("promotion.json"), project.space.read("evaluation/verdict.json")
    assert promotion["promoted"], verdict
    if "better" not in verdict["reasons"][-1]:
        assert verdict["reasons"][-1].endswith(f"the champion still has labels that are to go: {label}")


def test_a_rename_alone_becomes_champion_with_the_weights_that_it_had(begun: Project) -> None:
    names = ("weights.npz", "last.npz")
    begun.space.params(train={"learning_rate": 0.1})  # so that the last weights are worse than those that are kept
    begun.add("second", pictures(range(100, 120), "dog"))
    begun.cycle()
    begun.promote(2)
    begun.space.params(train={"learning_rate": 0.002})
    before = [arrays(begun, name) for name in names]
    assert any((before[0][name] != before[1][name]).any() for name in before[0])
    rename(begun, "cat", "lynx")
    begun.space.params(prepare={"renamed_labels": {"cat": "lynx"}}, validate={"new_labels": "listed"})
    done = begun.cycle()
    assert "prepare: cat is called lynx from now on" in done.out
    assert "relabelled; those that train" not in done.out
    assert "train: nothing new to learn; epoch 0 is kept" in done.out
    verdict = begun.space.read("evaluation/verdict.json")
    assert verdict["decision"] == "promote"
    assert verdict["reasons"][-1] == "it is not worse, and the champion still has labels that are to go: cat"
    assert begun.space.read("promotion.json")["promoted"]
    for was, name in zip(before, names, strict=True):
        now = arrays(begun, name)
        assert all((now[key] == value).all() for key, value in was.items()), f"{name} is another"
    assert training(begun)["share"] == 1.0


def test_settings_that_make_no_other_model_are_no_failure_of_the_champion(begun: Project) -> None:
    begun.space.params(validate={"labels": ["owl"]})
    done = begun.cycle()
    assert "evaluate: unchanged against v1: the settings that changed give v1 itself, the champion" in done.out
    assert begun.space.read("promotion.json")["said"] == "nothing to do: this is v1 itself, the version to beat"
    report = (begun.root / "data/cycle/report.md").read_text()
    assert report.startswith("unchanged: 100.0 % (v1: 100.0 %)")
    assert "\n## Nothing new: it is the champion; " in report
    client = begun.mlflow
    assert len(client.search_model_versions("name='evergreen'")) == 1


def test_from_cold_unchanged_data_is_learned_anew(begun: Project) -> None:
    before = arrays(begun, "weights.npz")
    begun.space.params(train={"start": "cold", "seed": 11})
    done = begun.upto("train")
    assert done.code == 0, done.err
    found = training(begun)
    assert (found["start"], found["epochs"]) == ("cold", 3)
    now = arrays(begun, "weights.npz")
    assert any((before[name] != now[name]).any() for name in before)
    assert found["history"][found["best_epoch"]]["val_loss"] < found["history"][0]["val_loss"]


def test_a_renamed_label_keeps_its_output_and_costs_nothing(begun: Project) -> None:
    served = arrays(begun, "weights.npz")
    rename(begun, "cat", "lynx")
    begun.space.params(prepare={"renamed_labels": {"cat": "lynx"}}, validate={"new_labels": "listed"})
    begun.add("second", pictures(range(100, 106), "dog"))
    done = begun.cycle()
    assert "warm start: from v1" in done.out
    assert begun.space.read("model/model.json")["labels"] == ["lynx", "dog"]
    part = dataset.read(begun.root / "data/cycle/dataset").part("train")
    assert part.is_unlearned is not None
    assert part.is_unlearned.sum() == part.is_new.sum() <= 6  # type: ignore[union-attr]
    # The champion is judged under the new name: as good as it was under the old one.
    assert begun.space.read("evaluation.json")["champion"]["accuracy"] > 0.4
    assert "loss" in begun.space.read("evaluation.json")["champion"]
    val = dataset.read(begun.root / "data/cycle/dataset").part("val")
    assert training(begun)["blended"][0]["val_loss"] == pytest.approx(loss(begun, served, val), rel=1e-5)

    begun.promote()
    begun.add("third", pictures(range(110, 116), "dog"))
    begun.cycle()
    assert begun.space.read("model/model.json")["labels"] == ["lynx", "dog"], "the setting may stay"


def test_without_the_setting_a_renamed_label_is_a_new_one(begun: Project) -> None:
    rename(begun, "cat", "lynx")
    begun.cycle()
    assert begun.space.read("model/model.json")["labels"] == ["cat", "dog", "lynx"]


def test_a_label_is_only_removed_if_asked(begun: Project) -> None:
    begun.space.params(detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
    begun.add("owls", pictures(range(200, 230), "owl"))
    begun.cycle()
    begun.promote(2)
    begun.space.git("rm", "--quiet", "data/images/owls.dvc")
    begun.remove("owls")
    begun.add("second", pictures(range(100, 106), "dog"))
    done = begun.cycle()
    assert begun.space.read("model/model.json")["labels"] == ["cat", "dog", "owl"]
    assert "labels without images by now: owl; the model keeps their outputs, and nothing trains" in done.out

    begun.space.params(prepare={"removed_labels": ["owl"], "renamed_labels": {"dgo": "wolf"}})
    done = begun.cycle()
    mistyped = "prepare: warning: prepare.renamed_labels: dgo: no image and no output has or had this label"
    assert [line for line in done.out.splitlines() if "mistyped" in line] == [f"{mistyped}; is it mistyped?"]
    assert "warm start: from v2" in done.out
    assert "labels to be removed: owl; the model loses their outputs" in done.out
    assert begun.space.read("model/model.json")["labels"] == ["cat", "dog"]
    assert_goes(begun, "owl")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"renamed_labels": {"cat": "lynx"}}, "40 images are labelled cat, which is called lynx now"),
        ({"removed_labels": ["cat"]}, "40 images are labelled cat, which is to be removed (prepare.removed_labels)"),
    ],
    ids=["renamed", "removed"],
)
def test_a_label_that_has_images_does_not_go(begun: Project, changes: dict[str, Any], said: str) -> None:
    begun.space.params(prepare=changes)
    done = begun.upto("prepare")
    assert done.code != 0
    assert said in done.error


def test_two_labels_do_not_become_one_by_a_name(begun: Project) -> None:
    folder = begun.root / "data/images/first"
    for path in (folder / "cat").iterdir():
        path.rename(folder / "dog" / f"cat-{path.name}")
    (folder / "cat").rmdir()
    begun.track("first")
    begun.space.params(prepare={"renamed_labels": {"cat": "dog"}})
    begun.add("owls", pictures(range(200, 230), "owl"))
    done = begun.upto("prepare")
    assert (
        "prepare.renamed_labels makes one label of two: dog; expected a name that no label of the model" in done.error
    )


def test_a_shrunk_start_uses_all_images_until_it_is_stopped(begun: Project) -> None:
    begun.space.params(train={"start": "shrink", "warm_epochs": 1}, prepare={"replay": 0})
    begun.add("second", pictures(range(100, 110), "cat", "dog"))
    done = begun.upto("train")
    assert "train: shrink start: from v1, its weights shrunk and perturbed: train.start is shrink" in done.out
    found = training(begun)
    assert (found["epochs"], found["blended"], found["is_warm"]) == (3, [], True)
    ledger = begun.table("ledger.parquet")
    assert len(dataset.read(begun.root / "data/cycle/dataset").part("train")) == (ledger["split"] == "train").sum()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"restore": ["learning_rate"], "optimizer": "sgd"},
            "cannot restore the optimizer of v1: it is adamw, train.optimizer is sgd; set it back, or set "
            "train.restore: []",
        ),
        (
            {"restore": ["optimizer"], "precision": "mixed_float16"},
            "it is of another kind; set train.precision back, or set train.restore: []",
        ),
    ],
    ids=["another optimizer", "another precision"],
)
def test_an_optimizer_of_another_kind_is_not_restored(begun: Project, changes: dict[str, Any], said: str) -> None:
    begun.space.params(train=changes)
    begun.add("second", pictures(range(100, 110), "cat", "dog"))
    assert said in begun.upto("train").error
    begun.space.params(train={"start": "shrink"})
    assert begun.upto("train").code == 0, "a shrunk start takes over no more than weights"


@pytest.fixture
def audited(begun: Project) -> Project:
    """A project whose next stage is train, in the second cycle, which is audited."""
    begun.space.params(train={"audit_every": 2}, prepare={"replay": 1})
    begun.add("second", pictures(range(100, 110), "cat", "dog"))
    begun.cycle()
    begun.promote(2)
    assert training(begun)["ladder"]["after"] == {"rung": 0, "cycles": 1}
    begun.add("third", pictures(range(110, 120), "cat", "dog"))
    done = begun.upto("prepare")
    assert done.code == 0, done.err
    return begun


def test_an_audit_trains_from_scratch_too_and_keeps_the_better(audited: Project) -> None:
    done = audited.run("train", "evaluate", "promote")
    assert done.code == 0, done.err
    assert "audited against training from scratch, 2 cycles after the last audit or cold start" in done.out
    assert "train: audit: epoch   3/3" in done.out
    found = training(audited)
    audit = found["audit"]
    images = dataset.read(audited.root / "data/cycle/dataset")
    every, val = images.part("train"), images.part("val")
    assert every.is_unlearned is not None
    num_new = int(every.is_unlearned.sum())
    assert audit["val_images"] == len(val)
    assert found["ladder"]["after"] == {"rung": int(audit["is_scratch_better"]), "cycles": 0}
    # The warm start had one old image per new one, the audit all; both are counted.
    scored = (4 + 4 + 4) * len(val)
    assert found["passes"] == pytest.approx(3 * 2 * num_new + 3 * len(every) + scored / 3)
    assert found["is_warm"] != audit["is_scratch_better"]
    assert "**Audit against training from scratch**" in (audited.root / "data/cycle/report.md").read_text()
    client = audited.mlflow
    run = client.get_run(client.get_model_version("evergreen", "3").run_id)
    assert "audit/val_loss" in run.data.metrics


@pytest.mark.parametrize(("is_better", "rung"), [(True, 1), (False, 0)])
def test_what_an_audit_finds_decides_what_is_kept_and_how_the_next_starts(
    audited: Project, monkeypatch: pytest.MonkeyPatch, is_better: bool, rung: int
) -> None:
    from pipeline.learning import ladder

    monkeypatch.setattr(ladder, "is_surely_better", lambda _: is_better)
    done = audited.run("train", "evaluate", "promote")
    assert done.code == 0, done.err
    found = training(audited)
    assert found["is_warm"] == (not is_better)
    assert bool(found["blended"]) == (not is_better)
    client = audited.mlflow
    run = client.get_model_version("evergreen", "3").run_id
    for name in ("val/loss", "audit/val_loss"):
        assert len(client.get_metric_history(run, name)) == 4, "each training has its own curve"
    audited.promote(3)
    audited.add("fourth", pictures(range(120, 130), "cat", "dog"))
    done = audited.upto("train")
    assert "train: warm start: from v3, its weights" in done.out
    assert training(audited)["ladder"]["before"] == {"rung": rung, "cycles": 0}


def test_a_rejected_cycle_is_not_audited_again_the_next_time(audited: Project) -> None:
    """The parent is the same; the newest version knows that the audit was made."""
    assert audited.run("train", "evaluate", "promote").code == 0
    audited.promote(2)
    audited.add("fourth", pictures(range(120, 130), "cat", "dog"))
    assert audited.upto("prepare").code == 0
    parent = audited.space.read("parent.json")
    assert parent["version"] == 2
    assert parent["ladder"]["cycles"] == 0
    again = audited.upto("resolve")
    assert again.code == 0
    assert audited.space.read("parent.json") == parent


def test_known_data_stands_on_the_ladder_where_it_stood(audited: Project) -> None:
    before = audited.space.read("parent.json")["ladder"]
    assert audited.run("train", "evaluate", "promote").code == 0
    assert audited.upto("resolve").code == 0
    assert audited.space.read("parent.json")["ladder"] == before == {"rung": 0, "cycles": 1}


def clear(project: Project) -> None:
    for path in (project.root / "data/cycle/model").iterdir():
        path.unlink()


def test_an_audit_that_is_paused_again_and_again_ends_in_the_same_bytes(audited: Project) -> None:
    assert audited.run("train").code == 0
    expected, whole = outcome(audited), training(audited)
    clear(audited)
    audited.space.params(budget={"max_steps": 2})
    said: list[Done] = []
    while not said or said[-1].code == 75:
        said.append(audited.run("train"))
        assert len(said) < 40
    assert said[-1].code == 0, said[-1].err
    assert len(said) > 6
    assert any("train: audit: epoch" in done.out for done in said)
    assert "of the audit (the training before it is over, and kept); best val_loss" in said[-2].out
    assert "train: resume: the audit, from the checkpoint in" in said[-1].out
    assert training(audited) == whole
    assert outcome(audited) == expected
    assert not list((audited.root / "data/scratch/training").glob("*/*.checkpoint"))


@pytest.mark.parametrize("is_better", [True, False])
def test_an_audit_that_the_budget_cuts_short_says_something_only_if_scratch_is_better(
    audited: Project, monkeypatch: pytest.MonkeyPatch, is_better: bool
) -> None:
    from pipeline.learning import ladder

    monkeypatch.setattr(ladder, "is_surely_better", lambda _: is_better)
    audited.space.params(budget={"max_steps": 10, "when_spent": "finish"})  # the warm start takes less, the audit more
    done = audited.run("train")
    assert done.code == 0, done.err
    found = training(audited)
    assert re.search(r"train: audit: stopped by the budget of \d+ steps?", done.out)
    assert found["audit"]["is_scratch_better"] is (is_better or None)
    assert found["is_warm"] == (not is_better)
    assert ("as far as the budget went, which says nothing" in done.out) == (not is_better)
    assert found["ladder"]["after"] == {"rung": int(is_better), "cycles": 0}
    json.dumps(found)


def test_without_budget_for_an_audit_the_next_is_due_as_if_it_had_been(audited: Project) -> None:
    audited.space.params(budget={"max_steps": 1, "when_spent": "finish"})
    done = audited.run("train")
    assert done.code == 0, done.err
    assert "train: audit: no budget is left for it; the next is due in 2 cycles" in done.out
    found = training(audited)
    assert found["audit"] is None
    assert found["ladder"]["after"] == {"rung": 0, "cycles": 0}


@pytest.fixture
def many(begun: Project) -> Project:
    """A project whose next stage is train, in a cycle with so many new images that the better start is measured."""
    train = {"audit_above": 0.4, "learning_rate": 0.01, "max_epochs": 8, "average": 0}
    begun.space.params(train=train | {"warm_rate": 1e-6}, prepare={"replay": 1})  # so a warm start learns nothing
    begun.add("second", pictures(range(100, 140), "owl"))
    done = begun.upto("prepare")
    assert done.code == 0, done.err
    return begun


def test_with_many_new_images_the_better_of_a_warm_start_and_one_from_scratch_is_kept(many: Project) -> None:
    done = many.run("train", "evaluate", "promote")
    assert done.code == 0, done.err
    assert "scratch, for 40 images are new to the 80 before (train.audit_above)" in done.out
    found = training(many)
    audit = found["audit"]
    assert audit["gained"] > audit["lost"]
    assert audit["is_scratch_better"]
    assert not found["is_warm"]
    assert "it is better, and kept" in (many.root / "data/cycle/report.md").read_text()
    assert found["ladder"]["after"] == {"rung": 0, "cycles": 0}, "that is no sign that warm starts wear out"
    ledger = many.table("ledger.parquet")
    assert len(dataset.read(many.root / "data/cycle/dataset").part("train")) == (ledger["split"] == "train").sum()
    many.promote(2)
    many.add("third", pictures(range(120, 130), "cat", "dog"))
    done = many.upto("train")
    assert "train: warm start: from v2, its weights\n" in done.out
    assert training(many)["audit"] is None


def test_a_warm_start_that_is_as_good_is_kept_with_many_new_images_too(many: Project) -> None:
    many.space.params(train={"learning_rate": 1e-8})
    assert many.upto("train").code == 0
    found = training(many)
    assert found["audit"]["is_scratch_better"] is False
    assert found["is_warm"]


def test_a_measured_start_that_is_paused_again_and_again_ends_in_the_same_bytes(many: Project) -> None:
    assert many.run("train").code == 0
    expected = outcome(many)
    clear(many)
    many.space.params(budget={"max_steps": 9})
    codes = [many.run("train").code]
    while codes[-1] == 75:
        codes.append(many.run("train").code)
        assert len(codes) < 40
    assert codes[-1] == 0
    assert len(codes) > 3
    assert outcome(many) == expected


def test_without_audits_known_data_gives_the_same_bytes_too(audited: Project) -> None:
    audited.space.params(train={"audit_every": None})
    assert audited.upto("promote").code == 0
    before = audited.space.read("parent.json")
    assert before["ladder"] == {"rung": 0, "cycles": 1}
    assert audited.upto("resolve").code == 0
    assert audited.space.read("parent.json") == before


def test_a_version_of_other_origin_makes_nothing_forgotten(audited: Project) -> None:
    """The ladder, and the splits of what only a rejected cycle saw."""
    assert audited.run("train", "evaluate", "promote").code == 0
    audited.promote(2)
    client = audited.mlflow
    run = client.get_model_version("evergreen", "3").run_id
    client.create_model_version("evergreen", "runs:/x/model", run)
    audited.add("fourth", pictures(range(120, 130), "cat", "dog"))
    assert audited.upto("resolve").code == 0
    parent = audited.space.read("parent.json")
    assert parent["ladder"] == training(audited)["ladder"]["after"]
    assert parent["elder"]["version"] == 3


def test_a_model_with_dropout_is_widened_too(project: Project) -> None:
    """Its seed generators are variables that are no weights."""
    (project.root / "own.py").write_text(OWN)
    project.space.params(
        train={"architecture": "own:build", "max_epochs": 1, "audit_every": 2},
        validate={"new_labels": "allow", "min_images_per_label": 3},
    )
    project.add("first", pictures(range(30), "cat", "dog"))
    project.cycle()
    project.promote()
    project.add("owls", pictures(range(200, 230), "owl"))
    done = project.upto("train")
    assert done.code == 0, done.err
    assert "train: warm start: from v1" in done.out
    project.run("evaluate", "promote")
    project.promote()
    project.add("more", pictures(range(300, 310), "owl"))
    done = project.upto("train")
    assert done.code == 0, done.err
    assert "train: audit: of " in done.out


OWN = """
import keras
layers = keras.layers


def build(image_shape, num_labels):
    inputs = layers.Input(image_shape)
    x = layers.Dropout(0.2)(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(num_labels)(x))
"""


def test_a_version_from_before_last_weights_were_kept_can_be_continued(begun: Project) -> None:
    begun.add("second", pictures(range(100, 120), "cat", "dog"))
    assert begun.upto("prepare").code == 0
    path = begun.root / "data/cycle/parent.json"
    parent = json.loads(path.read_bytes())
    del parent["lineage"]["files"]["model/last.npz"]
    path.write_text(json.dumps(parent))
    done = begun.run("train")
    assert done.code == 0, done.err
    found = training(begun)
    assert found["history"][0]["val_loss"] == pytest.approx(found["blended"][0]["val_loss"], rel=1e-5)
