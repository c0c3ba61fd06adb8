"""Without pretrained weights: the product's network for photographs against a script that anybody writes.

Both see the same photographs at the same size, on one thread, one after the other in processes of their own. The script
trains until its early stopping; the product, with the defaults of params.yaml, is stopped after as many seconds.
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.outcomes import difference
from benchmarks.photos import photos
from benchmarks.photos.arms import Source, params_of, val_fraction
from benchmarks.photos.lab import predicted
from benchmarks.photos.photos import Files

if TYPE_CHECKING:
    from pipeline.data.dataset import Part

NETWORK = "photo_cnn"
SIZES = (64, 96)
"""Pixels of the sides."""
PATIENCE, MOST = 5, 60
"""The script's early stopping: epochs without a better accuracy on val, and epochs at most."""


def measure(there: Files, source: Source, work: Path, seeds: list[int]) -> dict[str, Any]:
    """Accuracy of both on the test photographs, by size, in the same time.

    Args:
        there: the photographs.
        source: what is the same for all trials.
        work: keeps decoded photographs.
        seeds: of weights and order.
    """
    found: dict[str, Any] = {}
    for size in SIZES:
        photos.load(there, size, val_fraction(source), work)
        rows = []
        for seed in seeds:
            script = _apart(by_script, there, source, work, size, seed)
            product = _apart(by_product, there, source, work, size, seed, script["seconds"])
            rows.append((script, product))
            print(f"  {size} pixels, seed {seed}: the script {script['right'].mean():.1%} in {script['seconds']:.0f} s "
                  f"({script['epochs']} epochs), {NETWORK} {product['right'].mean():.1%} in {product['seconds']:.0f} s "
                  f"({product['epochs']} epochs)", flush=True)  # fmt: skip
        gained = np.stack([(ours["right"].astype(float) - its["right"]) / len(its["right"]) for its, ours in rows])
        found[str(size)] = {
            "script": round(float(np.mean([its["right"] for its, _ in rows])), 4),
            NETWORK: round(float(np.mean([ours["right"] for _, ours in rows])), 4),
            **difference(gained),
            "script_seconds": [its["seconds"] for its, _ in rows],
            "seconds": [ours["seconds"] for _, ours in rows],
            "seeds": len(seeds),
        }
    return found


def _apart(train: Any, *given: Any) -> dict[str, Any]:
    """What one of the two gives, in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _on_one_thread) as pool:
        result: dict[str, Any] = pool.submit(train, *given).result()
        return result


def _on_one_thread() -> None:
    """Before TensorFlow has done anything in the process: afterwards it is too late."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def by_script(there: Files, source: Source, work: Path, size: int, seed: int) -> dict[str, Any]:
    """Three convolutions, a dense layer, Adam, no augmentation: what tutorials show, with early stopping on val."""
    import keras

    seen = photos.load(there, size, val_fraction(source), work)
    is_train = ~(seen.is_test | seen.is_val)
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((size, size, 3)),
            layers.Rescaling(1 / 255),
            *(
                layer
                for filters in (16, 32, 64)
                for layer in (layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D())
            ),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(len(seen.names)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    ends = keras.callbacks.EarlyStopping("val_accuracy", patience=PATIENCE, restore_best_weights=True)
    began = time.perf_counter()
    history = network.fit(
        seen.pixels[is_train], seen.labels[is_train], 32, MOST, verbose=0, callbacks=[ends],
        validation_data=(seen.pixels[seen.is_val], seen.labels[seen.is_val]),
    )  # fmt: skip
    seconds = round(time.perf_counter() - began, 1)
    logits = network.predict(seen.pixels[seen.is_test], verbose=0)
    return _told(seen, logits, seconds, len(history.history["loss"]))


def by_product(there: Files, source: Source, work: Path, size: int, seed: int, seconds: float) -> dict[str, Any]:
    """The product's own training, which ends with the best epoch so far when the seconds are over."""
    from benchmarks.learning.lab import Nowhere, Quiet
    from pipeline.artifacts.model import Description
    from pipeline.learning import engine, model
    from pipeline.learning.fit import Parts, Session, fit
    from pipeline.learning.settings import Budget

    seen = photos.load(there, size, val_fraction(source), work)
    train = params_of(NETWORK, False).train.model_copy(update={"threads": 1, "seed": seed})
    engine.make_repeatable(seed, 1)
    description = Description(architecture=NETWORK, image_shape=(size, size, 3), labels=seen.names)
    began = time.perf_counter()
    made = engine.create(description, train)
    budget = Budget(max_minutes=seconds / 60, max_epochs=None, max_steps=None, when_spent="finish")
    parts = Parts(_part(seen, ~(seen.is_test | seen.is_val)), _part(seen, seen.is_val))
    outcome = fit(made, parts, train, Session(Nowhere(), Quiet(), budget=budget))
    took = round(time.perf_counter() - began, 1)
    model.fill(made.network.weights, outcome.weights, "outcome")
    return _told(seen, predicted(made.network, seen.pixels[seen.is_test]), took, len(outcome.history) - 1)


def _part(seen: photos.Photos, rows: np.ndarray) -> "Part":
    from pipeline.data.dataset import Part

    digests = tuple(digest for digest, is_in in zip(seen.digests, rows, strict=True) if is_in)
    return Part(seen.pixels[rows], seen.labels[rows], digests)


def _told(seen: photos.Photos, logits: np.ndarray, seconds: float, epochs: int) -> dict[str, Any]:
    """What a training comes to; right: bool (test photographs,)."""
    return {"right": logits.argmax(axis=1) == seen.labels[seen.is_test], "seconds": seconds, "epochs": epochs}
