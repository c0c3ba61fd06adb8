"""Artifacts for tests: whole ones, of which a test changes what it is about."""

from typing import Any

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.comparison import LabelScore, ModelComparison, PartScore
from pipeline.artifacts.evaluation import ChallengerScores, ChampionScores, Evaluation, Judgement
from pipeline.artifacts.filed import Filed
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Parent, Pin
from pipeline.artifacts.reference import Statistics
from pipeline.artifacts.report import Report
from pipeline.artifacts.sources import Source
from pipeline.artifacts.training import FOOT, Place, Places, Training
from pipeline.showing.review import Review


def description(*labels: str, **changes: Any) -> Description:
    usual = {"architecture": "small_cnn", "image_shape": (8, 8, 3), "labels": labels or ("cat", "dog")}
    return Description(**usual | changes)


def lineage(**changes: Any) -> Lineage:
    usual = {
        "run_key": "key",
        "recipe": "recipe",
        "sources": (Source("data/images/first", "0" * 32 + ".dir", 2),),
        "sources_digest": "sources",
        "dataset_digest": "dataset",
        "parent": None,
        "champion": None,
        "model": description(),
        "optimizer": "adamw",
        "label_counts": {"cat": 1, "dog": 1},
        "reference": Statistics(),
        "params": {},
        "commit": "",
        "files": {"model/weights.npz": "a" * 64, "ledger/ledger.parquet": "b" * 64},
    }
    return Lineage(**usual | changes)


def pin(version: int = 4, **changes: Any) -> Pin:
    """Of a version; what is changed is its lineage."""
    made = lineage(**changes)
    return Pin(version=version, run_id=f"run{version}", lineage=made, called=made.model.labels)


def parent(version: int | None = 4, rung: int = 0, cycles: int = 0, **changes: Any) -> Parent:
    pinned = pin(version, **changes) if version else None
    return Parent(pin=pinned, ladder=Place(rung=rung, cycles=cycles))


def champion(version: int | None = 4, **changes: Any) -> Champion:
    return Champion(pin=pin(version, **changes) if version else None)


def training(**changes: Any) -> Training:
    """Two epochs, the second one the best."""
    usual = {
        "run_key": "key",
        "start": "warm",
        "start_reason": "from v4, its weights",
        "parent": 4,
        "is_warm": True,
        "history": (
            {"val_loss": 0.9, "val_accuracy": 0.5, "learning_rate": 0.001},
            {"loss": 0.6, "accuracy": 0.7, "val_loss": 0.5, "val_accuracy": 0.8, "learning_rate": 0.001},
        ),
        "is_chosen": False,
        "best_epoch": 1,
        "epochs": 1,
        "max_epochs": 5,
        "retries": (),
        "stop_reason": "patience: 6 epochs without improvement of val_loss",
        "share": 1.0,
        "blended": (),
        "passes": 1234.5,
        "audit": None,
        "ladder": Places(before=FOOT, after=Place(rung=0, cycles=1)),
        "monitor": "val_loss",
        "optimizer": "adamw",
        "dataset_digest": "dataset",
        "num_images": 100,
        "num_added": 10,
    }
    return Training(**usual | changes)


def judgement(**changes: Any) -> Judgement:
    usual = {"decision": "promote", "reasons": ("it is better",), "difference": 0.1, "lower": 0.05, "champion": 4}
    return Judgement(**usual | changes)


def evaluation(**changes: Any) -> Evaluation:
    usual = {
        "holdout_images": 50,
        "challenger": ChallengerScores(accuracy=0.9, loss=0.3, recall={"cat": 0.8, "dog": 1.0}),
        "champion": ChampionScores(accuracy=0.8, loss=0.5),
        "negative_flips": 0.02,
    }
    return Evaluation(**usual | changes)


def changes(**values: Any) -> Changes:
    usual = {"added": 10, "retried": 0, "relabelled": 0, "removed": 0, "renamed": 0}
    return Changes(**usual | {"added_by_label": {"cat": 10}, "warnings": ()} | values)


def report(**values: Any) -> Report:
    usual = {"success": True, "counts": {"new": 10, "accepted": 10}, "expectations": (), "quarantined": ()}
    return Report(**usual | {"warnings": (), "drift": {}, "max_drift": 0.3, "labels": ()} | values)


def label_score(label: str, images: int, champion: int | None, challenger: int, **changes: Any) -> LabelScore:
    return LabelScore(label=label, images=images, champion=champion, challenger=challenger, **changes)


def part(name: str, images: int, champion: float | None, challenger: float, at_least: float | None) -> PartScore:
    return PartScore(name=name, images=images, champion=champion, challenger=challenger, at_least=at_least)


def comparison(**changes: Any) -> ModelComparison:
    """Two models on 50 images of two labels, both of which the champion knows."""
    usual = {
        "champion": 4,
        "metric": "accuracy",
        "confidence": 0.9,
        "holdout_images": 50,
        "parts": (part("all", 50, 0.8, 0.9, 0.05),),
        "labels": (label_score("cat", 25, 22, 20, finding="fell"), label_score("dog", 25, 18, 25, finding="fine")),
        "slices": (),
        "num_lost": 3,
        "num_won": 8,
        "lost": (),
        "won": (),
        "doubted": (),
        "num_suspicious": 0,
        "pairs": (),
        "doubters": None,
        "undoubted": (),
        "confused": (),
    }
    return ModelComparison(**usual | changes)


def review(**parts: Any) -> Review:
    """Of a cycle that went as the other samples say."""
    usual = {
        "training": training(),
        "evaluation": evaluation(),
        "judgement": judgement(),
        "comparison": comparison(),
        "changes": changes(),
        "report": report(),
    }
    return Review(**usual | parts)


def filed(**changes: Any) -> Filed:
    """A version that the verdict promoted."""
    usual = {"number": 5, "rival": 4, "decision": "promote", "standing": "champion", "is_promoted": True}
    said = {"said": "v5 is the new champion", "decided": "by the verdict, ci, 2026-11-28"}
    return Filed(**usual | said | changes)
