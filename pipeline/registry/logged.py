"""What a run and its model show in MLflow's UI: names, metrics in groups, tags and datasets of a cycle. Pure.

MLflow groups metrics by what stands before their last `/`. The groups: `train` and `val` by epoch, while training runs;
`holdout` and `recall` for the verdict, with the champion's numbers on the same images beside the challenger's; `data`
and `cost`. Each metric is a chart of its own there, so what nobody sorts or compares is a param.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.artifacts.comparison import ModelComparison
from pipeline.artifacts.evaluation import ChallengerScores, ChampionScores, Evaluation, Judgement
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.sources import Source
from pipeline.artifacts.training import Training
from pipeline.registry import limits
from pipeline.registry.metrics import DIGEST, UsedImages

MOST_LABELS = 100
"""Of which the recall of each is a metric; with more, charts are no help: see the card and its pictures."""

MOST_BATCHES = 100
"""That a run lists as datasets; with more, its lineage lists them."""


def title(number: int, decision: str, accuracy: float) -> str:
    """Name of a run whose version was judged: v3 promote 59.6 %."""
    return f"v{number} {decision} {accuracy * 100:.1f} %"


def metrics(
    training: Training,
    evaluation: Evaluation,
    judgement: Judgement,
    comparison: ModelComparison | None = None,
    seconds: float | None = None,
) -> dict[str, float]:
    """Final metrics of a cycle: shares are 0 to 1, losses in nats.

    Args:
        training: how it went.
        evaluation: scores of both models on the same images.
        judgement: the verdict.
        comparison: the same by label; None where nobody compared.
        seconds: that training took, by the clock.
    """
    found: dict[str, float | None] = {
        **_scores("", evaluation.challenger),
        **_scores("champion_", evaluation.champion),
        "holdout/images": evaluation.holdout_images,
        "holdout/change": judgement.difference,
        "holdout/change_at_least": judgement.lower,
        "holdout/negative_flips": evaluation.negative_flips,
        "holdout/backward_transfer": evaluation.backward_transfer,
        "holdout/forgetting": evaluation.forgetting,
        **_recalls(evaluation, comparison),
        "data/images": training.num_images,
        "cost/passes": training.passes,
        "cost/seconds": seconds,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _scores(whose: str, scores: ChampionScores | ChallengerScores) -> dict[str, float | None]:
    """Of one model on the holdout images."""
    answered = scores.answered
    return {
        f"holdout/{whose}accuracy": scores.accuracy,
        f"holdout/{whose}balanced_accuracy": scores.balanced_accuracy,
        f"holdout/{whose}loss": scores.loss,
        f"holdout/{whose}calibration_error": scores.calibration_error,
        f"holdout/{whose}coverage": answered.coverage if answered else None,
        f"holdout/{whose}accuracy_of_answers": answered.accuracy if answered else None,
    }


def _recalls(evaluation: Evaluation, comparison: ModelComparison | None) -> dict[str, float | None]:
    """Of each label: the challenger's, and the champion's on the same images."""
    recall = evaluation.challenger.recall
    if len(recall) > MOST_LABELS:
        return {}
    names = _names(recall)
    found: dict[str, float | None] = {f"recall/{names[label]}": value for label, value in recall.items()}
    for one in comparison.labels if comparison else ():
        if one.label in names and one.champion is not None and one.images:
            found[f"recall/champion/{names[one.label]}"] = one.champion / one.images
    return found


def _names(labels: Iterable[str]) -> dict[str, str]:
    """Labels as parts of a metric's name, each another one: those that MLflow writes alike get a number."""
    found: dict[str, str] = {}
    for label in labels:
        name = part = limits.key(label.replace("/", "_"))
        number = 1
        while part in found.values():
            number += 1
            part = f"{name}_{number}"
        found[label] = part
    return found


def params(training: Training, lineage: Lineage) -> dict[str, Any]:
    """Settings by `section.key`, and what came of them once and for all: as metrics they would be charts of one bar."""
    return {
        **{f"{section}.{key}": value for section, keys in lineage.params.items() for key, value in keys.items()},
        "kept.epoch": training.best_epoch,
        "kept.share": f"{training.share:g}",
        "kept.temperature": f"{lineage.model.temperature:g}",
        "data.new_images": training.num_added,
    }


def tags(training: Training, judgement: Judgement, lineage: Lineage) -> dict[str, str]:
    """What a run says in words.

    Args:
        training: how it went.
        judgement: the verdict.
        lineage: what the model was made from.
    """
    return {
        "evergreen.verdict": judgement.decision,
        "evergreen.start": f"{training.start}: {training.start_reason}",
        "evergreen.stop": training.stop_reason,
        "evergreen.parent": f"v{lineage.parent}" if lineage.parent else "",
        "mlflow.source.git.commit": lineage.commit,
    }


def datasets(lineage: Lineage, splits: Mapping[str, tuple[str, int]]) -> tuple[UsedImages, ...]:
    """What a run used: its splits, then the batches that they were taken from.

    Args:
        lineage: has the batches and the commit.
        splits: digest and number of images of each split.
    """
    ledger = {"ledger": "ledger/ledger.parquet", "commit": lineage.commit}
    used = [UsedImages(name, digest[:DIGEST], name, ledger, images) for name, (digest, images) in splits.items()]
    batches = lineage.sources if len(lineage.sources) <= MOST_BATCHES else ()
    return (*used, *(_batch(source, lineage.commit) for source in batches))


def _batch(source: Source, commit: str) -> UsedImages:
    found = {"pointer": f"{source.path}.dvc", "commit": commit}
    return UsedImages(source.path[-500:], source.digest[:DIGEST], "batch", found, source.num_files)
