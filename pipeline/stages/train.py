"""Train the challenger: go on from an own checkpoint, else from the parent, else from fresh weights."""

import csv
import io
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import checkpoint, code, dataset, files, model, stopping
from pipeline import params as parameters
from pipeline.dataset import Dataset
from pipeline.errors import ModelError, RegistryError
from pipeline.labels import unknown
from pipeline.model import Description
from pipeline.params import Params, Train
from pipeline.registry import Registry, Run


@dataclass(frozen=True)
class Start:
    """What training starts from, and why."""

    kind: str
    """resume, warm or cold."""
    reason: str


def run(
    *,
    data: Path,
    parent: Path,
    scratch: Path,
    out: Path,
    curves: Path,
    metrics: Path,
    settings: Path,
) -> None:
    """Train until there is a reason to stop; keep the best epoch."""
    chosen = parameters.load(settings)
    images, pinned = dataset.read(data), files.read_json(parent)
    description = Description(chosen.train.architecture, images.image_shape, images.labels)
    key = _run_key(images, pinned, chosen.train)

    print("train: loading TensorFlow", flush=True)
    registry = Registry(chosen.resolve)
    if not _restored(registry, key, out, scratch):
        _train(registry, key, images, pinned, description, chosen, scratch, out)

    trained = files.read_json(out / "training.json")
    files.write(curves, _csv(trained["history"], trained["best_epoch"]).encode())
    best = trained["history"][trained["best_epoch"]]
    files.write_json(
        metrics,
        {"val_loss": best["val_loss"], "val_accuracy": best["val_accuracy"]}
        | {name: trained[name] for name in ("best_epoch", "epochs", "max_epochs")},
    )


def _run_key(images: Dataset, pinned: dict[str, Any], settings: Train) -> str:
    """Hash of everything that determines the model."""
    weights = pinned["lineage"]["files"]["model/weights.npz"] if pinned["version"] else None
    own = _own_code(settings.architecture)
    inputs = [
        images.digest,
        weights,
        settings.model_dump(mode="json"),
        code.digest("pipeline.stages.train"),
        own,
    ]
    return files.sha256_json(inputs)


def _own_code(architecture: str) -> str | None:
    """Hash of the module that a user's own `module:function` lives in, where it is a file here."""
    path = Path(architecture.partition(":")[0].replace(".", "/") + ".py")
    return files.sha256_file(path) if ":" in architecture and path.is_file() else None


def _restored(registry: Registry, key: str, out: Path, scratch: Path) -> bool:
    """Take the model from the registry if these very inputs were trained before, on any machine."""
    version = registry.newest(run_key=key)
    if version is None or "evergreen.lineage" not in version.tags:
        return False
    listed = registry.lineage(version, scratch / "objects")["files"]
    for artifact, sha256 in listed.items():
        if artifact.startswith("model/"):
            path = registry.download(version.run_id, artifact, sha256, scratch / "objects")
            files.write(out / Path(artifact).name, path.read_bytes())
    print(f"train: nothing to train, v{version.number} was trained from the same inputs; taken from the registry")
    return True


def _train(
    registry: Registry,
    key: str,
    images: Dataset,
    pinned: dict[str, Any],
    description: Description,
    chosen: Params,
    scratch: Path,
    out: Path,
) -> None:
    from pipeline import training

    train = chosen.train
    own = scratch / "training" / key[:16]
    training.make_repeatable(train.seed, train.threads)
    start = _start(own, pinned, train, unknown(images.labels, pinned))
    is_warm = _is_warm(pinned, train, images)
    network = model.build(description, train.pretrained if start.kind == "cold" else None)
    optimizer = model.optimizer(train)
    if is_warm:
        _take_over(registry, network, optimizer, pinned, description, train, scratch)
    print(f"train: {start.kind} start: {start.reason}", flush=True)

    run = registry.run(key, f"cycle {images.digest[:8]}")
    # Nothing to learn: only the score before the first step, which has no training metrics.
    nothing = {"max_epochs": 0, "monitor": "val_loss", "mode": "auto", "target": None}
    is_idle = images.is_unchanged or not len(images.part("train"))
    limit = train.model_copy(update=nothing) if is_idle else train
    try:
        outcome = training.fit(
            network,
            optimizer,
            images.part("train"),
            images.part("val"),
            limit,
            own,
            on_epoch=lambda history, epoch: _report(run, history, epoch, train),
            on_step=_step_bar(),
        )
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    reason = "nothing new to learn" if is_idle else outcome.reason

    files.write_json(out / "model.json", description.to_json())
    files.write_table(out / "images.parquet", images.index())
    files.write_arrays(out / "weights.npz", outcome.weights)
    files.write_arrays(out / "state.npz", outcome.optimizer)
    files.write_json(
        out / "training.json",
        {
            "run_key": key,
            "start": start.kind,
            "start_reason": start.reason,
            "parent": pinned["version"],
            "is_warm": is_warm,
            "history": [{k: v for k, v in row.items() if k != "seconds"} for row in outcome.history],
            "best_epoch": outcome.best_epoch,
            "epochs": len(outcome.history) - 1,
            "max_epochs": train.max_epochs,
            "stop_reason": reason,
            "monitor": train.monitor,
            "optimizer": train.optimizer,
            "dataset_digest": images.digest,
            "num_images": images.num_images,
            "num_added": images.num_added,
        },
    )
    run.end()
    shutil.rmtree(own)  # only now: the outcome is on disk
    print(f"train: stopped by {reason}; kept epoch {outcome.best_epoch}")


def _is_warm(pinned: dict[str, Any], train: Train, images: Dataset) -> bool:
    """Whether the parent's weights are taken over; they cannot where a label has no output in them."""
    return bool(pinned["version"]) and train.start == "warm" and not unknown(images.labels, pinned)


def _start(own: Path, pinned: dict[str, Any], train: Train, new: list[str]) -> Start:
    """Resume, else warm, else cold: in this order.

    Args:
        new: labels that the parent has no output for.
    """
    unfinished = checkpoint.load(own)
    if unfinished:
        return Start("resume", f"checkpoint of epoch {len(unfinished.history) - 1} in {own}")
    if pinned["version"] and train.start == "warm" and not new:
        taken = ", ".join(["weights", *train.restore])
        return Start("warm", f"from v{pinned['version']}, its {taken}; no checkpoint in {own}")
    why = "no version to start from"
    if pinned["version"]:
        why = "train.start is cold" if train.start == "cold" else f"v{pinned['version']} does not know {', '.join(new)}"
    return Start("cold", f"{train.pretrained or 'fresh'} weights: {why}")


def _take_over(
    registry: Registry,
    network: Any,
    optimizer: Any,
    pinned: dict[str, Any],
    description: Description,
    train: Train,
    scratch: Path,
) -> None:
    """Fill in the parent's weights, and what `train.restore` names.

    Raises:
        ModelError: the parent does not fit params.yaml or the labels; says what differs.
    """
    version, listed = pinned["version"], pinned["lineage"]["files"]
    remedy = "set params.yaml back, or set train.start: cold to train afresh"
    why = model.misfit(model.describe(pinned["lineage"]["model"]), description)
    if why:
        raise ModelError(f"cannot start from v{version}: {why}; {remedy}")

    def fetch(artifact: str) -> Any:
        path = registry.download(pinned["run_id"], artifact, listed[artifact], scratch / "objects")
        return files.read_arrays(path)

    model.fill(network.weights, fetch("model/weights.npz"), f"v{version}")
    if not train.restore:
        return
    was = pinned["lineage"]["optimizer"]
    if "optimizer" in train.restore and was != train.optimizer:
        raise ModelError(
            f"cannot restore the optimizer of v{version}: it is {was}, train.optimizer is {train.optimizer}; set it "
            "back, or take optimizer out of train.restore"
        )
    optimizer.build(network.trainable_variables)
    model.fill_optimizer(optimizer, fetch("model/state.npz"), train.restore, f"v{version}")


def _report(run: Run, history: list[dict[str, float]], epoch: int, train: Train) -> None:
    """One line for people, the same numbers live to the registry."""
    row = history[-1]
    best = stopping.progress(history, train)
    trained = f"loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}" if epoch else "before the first step".ljust(29)
    mark = "  best so far" if best.best_epoch == epoch else ""
    print(
        f"train: epoch {epoch:3d}/{train.max_epochs}  {trained}  val_loss {row['val_loss']:.4f}  "
        f"val_accuracy {row['val_accuracy']:.4f}  learning_rate {row['learning_rate']:.2g}{mark}",
        flush=True,
    )
    try:
        run.log_history(history)
    except RegistryError as error:  # hours of training outlive a registry that restarts; promote logs the rest
        print(f"train: warning: epoch {epoch} not logged yet: {error}", file=sys.stderr, flush=True)


def _step_bar() -> Any:
    """A bar of the steps of an epoch, on a terminal only."""
    from tqdm import tqdm

    bar = tqdm(desc="train", unit="step", leave=False, disable=None)

    def show(step: int, steps: int) -> None:
        if step == 1:
            bar.reset(total=steps)
        bar.update()
        if step == steps:
            bar.clear()

    return show


def _csv(history: list[dict[str, float]], best_epoch: int) -> str:
    """The curves for `dvc plots`: one row per epoch, the best and the last one marked."""
    names = ["loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["epoch", *names, "mark"])
    for epoch, row in enumerate(history):
        marks = ["best"] * (epoch == best_epoch) + ["stopped"] * (epoch == len(history) - 1)
        writer.writerow([epoch, *(row.get(name, "") for name in names), " and ".join(marks)])
    return sink.getvalue()
