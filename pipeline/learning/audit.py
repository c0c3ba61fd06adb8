"""An audit: a model trained from scratch on all images, beside the one that a cycle went on with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.judging import metrics
from pipeline.learning import ladder, model, stopping
from pipeline.learning.checkpoint import Folder, Values
from pipeline.learning.model import Description
from pipeline.learning.progress import ended
from pipeline.learning.settings import Budget, Train

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part
    from pipeline.learning.training import Engine, Outcome, Watcher


def beside(states: Path) -> Path:
    """Where the states of the audit of a training are."""
    return states.with_name(f"{states.name}-audit")


def run(
    engine: "Engine",
    fresh: Values,
    outcome: "Outcome",
    parts: "tuple[Part, Part]",
    description: Description,
    limit: Train,
    budget: Budget,
    states: Folder,
    watcher: "Watcher",
    asked: Callable[[], str | None],
) -> "tuple[Outcome, dict[str, Any]]":
    """Train from scratch too: the outcome to keep, scratch's only if it is surely better, and what was found.

    Args:
        engine: of the training that is over.
        fresh: its values when it was new.
        outcome: of that training.
        parts: train, with all images, and val.
        description: of the model.
        limit: the settings of a training from scratch.
        budget: of the two trainings together.
        states: where those of this training are kept.
        watcher: is told how it goes.
        asked: says why training is to stop now, if it is.

    Raises:
        PausedError, OSError: see `training.fit`.
    """
    from pipeline.learning import training

    print("train: audit: from scratch on all images, to see whether going on is still as good", flush=True)
    engine.fill(fresh)
    engine.optimizer.learning_rate.assign(limit.learning_rate)
    every = replace(parts[0], is_unlearned=None)
    left = stopping.left(budget, outcome.spent_now)
    scratch = training.fit(engine, every, parts[1], limit, states, watcher, states.load(), left, asked)
    before = outcome.passes(len(parts[1]))
    found: dict[str, Any] = {
        "passes": before + scratch.passes(len(parts[1])),
        "passes_before": before,
    }
    print(f"train: audit: {ended(scratch.reason, scratch.best_epoch, scratch.spent)}", flush=True)
    predicted = [_predicted(description, one.weights, parts[1], limit.batch_size) for one in (outcome, scratch)]
    counts = metrics.paired(parts[1].labels, *predicted)
    # What is better although it was cut short is better; what is not might have become so.
    found["is_scratch_better"] = ladder.is_surely_better(counts) or (None if scratch.is_cut else False)
    found |= {"val_images": counts.total, "gained": counts.challenger_only, "lost": counts.champion_only}
    found["epochs"] = len(scratch.history) - 1
    print(f"train: audit: {ladder.finding(found)}", flush=True)
    return (scratch if found["is_scratch_better"] else outcome), found


def _predicted(description: Description, weights: "dict[str, np.ndarray]", part: "Part", size: int) -> "np.ndarray":
    network = model.build(description)
    model.fill(network.weights, weights, "audit")
    found: np.ndarray = model.logits(network, part.pixels, size).argmax(axis=1)
    return found
