"""What a training starts from, and what is kept at its end: settings and weights of a warm start, mixtures."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.training import Row
from pipeline.data import replay
from pipeline.learning import model, stopping
from pipeline.learning.fit import Outcome
from pipeline.learning.settings import Train

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part
    from pipeline.learning.engine import Engine

UNCHANGED = {"flip": False, "shift": 0.0, "crop": 0, "colour": 0.0, "rand_augment": 0, "mixup": 0.0, "cutmix": 0.0}
"""Settings of augmentation with which an image stays as it is."""

ALL_ALIKE = {"replay": "all", "repeat_new": 1}
"""Settings with which an epoch has every image once, new or old."""

LEARNED_SHARE, FRESH_SHARE = 0.4, 0.1
"""Factors of shrink and perturb, as in the code of Ash and Adams."""


def warmed(train: Train, part: "Part") -> Train:
    """Settings of a warm start: its epochs, its learning rate, and over how many steps weights are averaged.

    There are as many epochs as `passes_per_new` and `warm_epochs` allow, one at least: the cost follows what is new.
    The learning rate is `warm_rate` times that of a cold start: weights grow in training, and the larger they are the
    larger the steps that change their direction (Lyle et al., CoLLAs 2025, arXiv:2507.20057). Averages over as many
    epochs as there are lag behind: half of them are still the parent's weights, so `warm_average` may ask for fewer.

    Args:
        train: section `train` of params.yaml.
        part: the training images, new and old.
    """
    num_new = len(part) if part.is_unlearned is None else int(part.is_unlearned.sum())
    limits = [train.max_epochs, train.warm_epochs or train.max_epochs]
    if train.passes_per_new is not None:
        size = max(replay.length(len(part), num_new, train.replay, train.repeat_new), 1)
        limits.append(max(round(train.passes_per_new * num_new / size), 1))
    rate = train.learning_rate * train.warm_rate
    average = train.average if train.warm_average is None else min(train.average, train.warm_average)
    return train.model_copy(update={"max_epochs": min(limits), "learning_rate": rate, "average": average})


def for_head(train: Train) -> Train:
    """Settings of a training of the head alone, on features.

    Its loss is convex, so nothing that a warm start takes over can be in the way; and its passes cost next to nothing,
    so it may train on all images until early stopping. Features know no augmentation.
    """
    alone = {"learning_rate": train.head_rate, "max_epochs": train.head_epochs}
    return train.model_copy(update=alone | ALL_ALIKE | UNCHANGED)


def shrunk(
    start: "Mapping[str, np.ndarray]", fresh: "Mapping[str, np.ndarray]", network: Any
) -> "dict[str, np.ndarray]":
    """Weights that were shrunk and perturbed: Ash and Adams, NeurIPS 2020, arXiv:1910.08475.

    Weights that are learned become 0.4 times the start plus 0.1 times the fresh ones; statistics are the fresh ones.

    Args:
        start: weights by position.
        fresh: those of a new network.
        network: a `keras.Model` of this kind: knows which weights are learned.
    """
    learned = {id(variable) for variable in network.trainable_variables}
    return {
        name: LEARNED_SHARE * start[name] + FRESH_SHARE * fresh[name] if id(variable) in learned else fresh[name]
        for name, variable in zip(sorted(start), network.weights, strict=True)
    }


def blend(engine: "Engine", served: "Mapping[str, np.ndarray]", outcome: Outcome, val: "Part", train: Train) -> Outcome:
    """Keep the mixture of the parent's weights and the result that is best on val.

    The weights of a fine-tuned model and of the one it came from can be averaged, often to the better (Wortsman et al.,
    WiSE-FT, CVPR 2022, arXiv:2109.01903). The parent itself is one of the mixtures, so a cycle that taught nothing
    changes nothing. The smallest share of the result wins a tie.

    Args:
        engine: of the training; its network is left with the weights that were scored last.
        served: the weights that the parent serves, for the labels of today.
        outcome: of `fit`.
        val: the validation images.
        train: section `train` of params.yaml; `blend` lists the shares.
    """
    if not train.blend:
        return outcome
    monitor, mode = train.monitor, train.mode
    if not monitor.startswith("val_"):
        monitor, mode = "val_loss", "auto"  # `mode` is about a metric of the training images
    sign = 1 if stopping.mode_of(monitor, mode) == "min" else -1
    best = outcome.history[outcome.best_epoch]
    rows: dict[float, Row] = {1.0: {name: best[name] for name in ("val_loss", "val_accuracy")}}
    for share in sorted({0.0, *train.blend} - {1.0}):
        model.fill(engine.network.weights, mixed(served, outcome.weights, share), "blend")
        loss, accuracy = engine.scores(val, range(len(val)), train.batch_size)
        rows[share] = {"val_loss": loss, "val_accuracy": accuracy}
    best_share = min(rows, key=lambda share: (sign * rows[share][monitor], share))
    return replace(outcome, weights=mixed(served, outcome.weights, best_share), share=best_share, blended=rows)


def mixed(start: "Mapping[str, np.ndarray]", end: "Mapping[str, np.ndarray]", share: float) -> "dict[str, np.ndarray]":
    """Weights between two, `share` of the way from start to end; whole numbers (counts) are those of the end."""
    return {
        name: start[name] + value.dtype.type(share) * (value - start[name]) if value.dtype.kind == "f" else value
        for name, value in end.items()
    }
