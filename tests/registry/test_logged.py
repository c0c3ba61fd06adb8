"""What MLflow's UI shows of a cycle: names, metrics, tags, datasets, the saved view."""

import json

import samples

from pipeline.artifacts.comparison import LabelScore, ModelComparison, PartScore
from pipeline.artifacts.evaluation import Answered, ChallengerScores, ChampionScores, Evaluation
from pipeline.artifacts.sources import Source
from pipeline.registry import limits, logged, metrics, view


def compared(*labels: LabelScore) -> ModelComparison:
    everything = PartScore(name="all", images=4, champion=0.5, challenger=0.75)
    return ModelComparison(
        champion=1, metric="accuracy", confidence=0.9, holdout_images=4, parts=(everything,), labels=labels, slices=(),
        num_lost=0, num_won=1, lost=(), won=(), doubted=(), num_suspicious=0, pairs=(), doubters=None, undoubted=(),
        confused=(),
    )  # fmt: skip


def evaluated(recall: dict[str, float], champion: ChampionScores | None = None) -> Evaluation:
    challenger = ChallengerScores(
        accuracy=0.75, loss=1.0, recall=recall, balanced_accuracy=0.7, answered=Answered(coverage=0.9, accuracy=None)
    )
    return Evaluation(
        holdout_images=4, challenger=challenger, champion=champion or ChampionScores(), negative_flips=None
    )


def test_both_models_numbers_stand_side_by_side() -> None:
    judgement = samples.judgement(difference=0.25, lower=0.1)
    cat = LabelScore(label="cat", images=4, champion=1, challenger=3)
    new = LabelScore(label="a/new", images=2, champion=None, challenger=1)
    found = logged.metrics(
        samples.training(),
        evaluated({"cat": 0.75, "a/new": 0.5}, ChampionScores(accuracy=0.5, balanced_accuracy=0.4)),
        judgement,
        compared(cat, new),
    )
    training = samples.training()
    assert found == {
        "holdout/images": 4,
        "holdout/accuracy": 0.75,
        "holdout/champion_accuracy": 0.5,
        "holdout/balanced_accuracy": 0.7,
        "holdout/champion_balanced_accuracy": 0.4,
        "holdout/loss": 1.0,
        "holdout/coverage": 0.9,
        "holdout/change": 0.25,
        "holdout/change_at_least": 0.1,
        "recall/cat": 0.75,
        "recall/a_new": 0.5,
        "recall/champion/cat": 0.25,
        "data/images": training.num_images,
        "cost/passes": training.passes,
    }


def test_a_models_page_has_the_numbers_of_the_model_alone() -> None:
    names = ("holdout/accuracy", "recall/cat", "cost/passes", "holdout/change", "recall/champion/cat")
    assert [name for name in names if metrics.is_models(name)] == ["holdout/accuracy", "recall/cat", "cost/passes"]


def test_labels_that_mlflow_writes_alike_stay_apart() -> None:
    found = logged.metrics(samples.training(), evaluated({"é": 0.1, "è": 0.2, "a/b": 0.3}), samples.judgement())
    recalls = {name: value for name, value in found.items() if name.startswith("recall/")}
    assert recalls == {"recall/_": 0.1, "recall/__2": 0.2, "recall/a_b": 0.3}


def test_recalls_of_very_many_labels_are_no_charts() -> None:
    many = {f"label {number}": 0.5 for number in range(logged.MOST_LABELS + 1)}
    found = logged.metrics(samples.training(), evaluated(many), samples.judgement())
    assert not [name for name in found if name.startswith("recall/")]


def test_metrics_by_epoch_are_grouped() -> None:
    assert metrics.of_epoch("loss") == "train/loss"
    assert metrics.of_epoch("val_loss") == "val/loss"
    assert metrics.of_epoch("val_loss", "audit_") == "audit/val_loss"
    assert metrics.of_epoch("other") == "other"


def test_a_run_is_named_after_version_and_verdict() -> None:
    assert logged.title(3, "promote", 0.5964) == "v3 promote 59.6 %"
    assert logged.title(12, "not enough evidence", 1.0) == "v12 not enough evidence 100.0 %"


def test_what_is_one_number_for_ever_is_a_param() -> None:
    training = samples.training()
    found = logged.params(training, samples.lineage(params={"train": {"seed": 7}}))
    assert found == {
        "train.seed": 7,
        "kept.epoch": training.best_epoch,
        "kept.share": f"{training.share:g}",
        "kept.temperature": "1",
        "data.new_images": training.num_added,
    }


def test_datasets_are_splits_and_batches() -> None:
    batches = (Source("data/images/first", "0" * 32 + ".dir", 9), Source("data/images/one.png", "1" * 32, 1))
    used = logged.datasets(samples.lineage(sources=batches, commit="c0"), {"train": ("a" * 64, 8), "holdout": ("b", 2)})
    assert [(one.name, one.digest, one.context, one.images) for one in used] == [
        ("train", "a" * 36, "train", 8),
        ("holdout", "b", "holdout", 2),
        ("data/images/first", "0" * 32 + ".dir", "batch", 9),
        ("data/images/one.png", "1" * 32, "batch", 1),
    ]
    assert json.loads(used[2].source_json) == {"pointer": "data/images/first.dvc", "commit": "c0"}
    many = tuple(Source(f"data/images/{n}", "0" * 32, 1) for n in range(logged.MOST_BATCHES + 1))
    assert logged.datasets(samples.lineage(sources=many), {}) == ()


def test_tags_say_in_words_what_happened() -> None:
    found = logged.tags(samples.training(), samples.judgement(), samples.lineage(parent=2, commit="c0"))
    assert found["evergreen.parent"] == "v2"
    assert found["mlflow.source.git.commit"] == "c0"


def test_the_saved_view_is_of_metrics_that_are_logged() -> None:
    key, value = view.tag(1000)
    assert key == "mlflow.sharedViewState.evergreen"
    assert len(value) <= limits.MODEL_TAG
    saved = json.loads(value)
    assert (saved["name"], saved["createdAt"]) == (view.NAME, 1000)
    columns = json.loads(saved["state"])["selectedColumns"]
    judgement = samples.judgement(difference=0.25, lower=0.1)
    metrics = logged.metrics(samples.training(), evaluated({}, ChampionScores(accuracy=0.5)), judgement)
    shown = {column.split("`")[1] for column in columns if column.startswith("metrics.")}
    assert shown <= set(metrics)
    assert "tags.`evergreen.verdict`" in columns
