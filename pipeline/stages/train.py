"""Train the challenger: go on from an own checkpoint, else from the parent, else from fresh weights."""

import csv
import io
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import checkpoint, code, dataset, files, model, process, stopping
from pipeline import params as parameters
from pipeline.checkpoint import Folder, State
from pipeline.dataset import Dataset
from pipeline.errors import ModelError, PipelineError, RegistryError
from pipeline.labels import unknown
from pipeline.model import Description
from pipeline.params import Params, Train
from pipeline.progress import Progress, duration
from pipeline.registry import Registry, Run
from pipeline.stopping import Row

if TYPE_CHECKING:
    from pipeline import training

CODES = {"SIGINT": 130, "SIGTERM": 143}
"""As a shell has them."""


@dataclass(frozen=True)
class Start:
    """What training starts from, and why."""

    kind: str
    """warm or cold."""
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
) -> int:
    """Train until there is a reason to stop; keep the best epoch.

    Exit code 75: paused, by the budget in params.yaml; 130 and 143: interrupted, by Ctrl-C and SIGTERM. The state is
    saved then, and `dvc repro` goes on from it.
    """
    chosen = parameters.load(settings)
    images, pinned = dataset.read(data), files.read_json(parent)
    description = Description(chosen.train.architecture, images.image_shape, images.labels)
    inputs = _inputs(images, pinned, chosen.train)
    key = files.sha256_json(inputs)

    with process.alone(scratch / "training" / "lock", "a training"), process.stoppable() as asked:
        print("train: loading TensorFlow", flush=True)
        registry = Registry(chosen.resolve)
        if not _restored(registry, key, out, scratch):
            try:
                _train(registry, key, inputs, images, pinned, description, chosen, scratch, out, asked)
            except Paused as paused:
                print(f"train: {paused}", flush=True)
                if paused.code == process.EXIT_PAUSED and (note := os.environ.get(process.PAUSE_NOTE)):
                    Path(note).write_text(str(paused))
                return paused.code

    trained = files.read_json(out / "training.json")
    files.write(curves, _csv(trained["history"], trained["best_epoch"]).encode())
    best = trained["history"][trained["best_epoch"]]
    files.write_json(
        metrics,
        {"val_loss": best["val_loss"], "val_accuracy": best["val_accuracy"]}
        | {name: trained[name] for name in ("best_epoch", "epochs", "max_epochs")},
    )
    return 0


def _inputs(images: Dataset, pinned: dict[str, Any], settings: Train) -> dict[str, Any]:
    """Everything that determines the model, by name."""
    return {
        "dataset": images.digest,
        "parent": pinned["lineage"]["files"]["model/weights.npz"] if pinned["version"] else None,
        "params": {f"train.{name}": value for name, value in settings.model_dump(mode="json").items()},
        "code": code.digest("pipeline.stages.train"),
        "own code": _own_code(settings.architecture),
    }


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
    inputs: dict[str, Any],
    images: Dataset,
    pinned: dict[str, Any],
    description: Description,
    chosen: Params,
    scratch: Path,
    out: Path,
    asked: Callable[[], str | None],
) -> None:
    from pipeline import training

    train = chosen.train
    training.make_repeatable(train.seed, train.threads)
    states, state = _states(inputs | {"libraries": training.versions()}, scratch, chosen)
    is_warm, start = _start(pinned, train, unknown(images.labels, pinned))
    shared = training.strategy(train.devices)
    with shared.scope():
        model.use(train.precision)
        is_fresh = state is None and not is_warm
        network = model.build(description, train.pretrained if is_fresh else None)
        optimizer = model.optimizer(train)
        if is_warm and state is None:
            _take_over(registry, network, optimizer, pinned, description, train, scratch)
    engine = training.Engine(network, optimizer, train, shared)
    if state is None:
        print(f"train: {start.kind} start: {start.reason}", flush=True)
    else:
        print(
            f"train: resume: epoch {len(state.history)}, step {state.step + 1}, after {duration(state.spent.seconds)}, "
            f"from the checkpoint in {states.path}",
            flush=True,
        )

    registry.reap()
    run = registry.run(key, f"cycle {images.digest[:8]}")
    watcher = Progress(train, run)
    # Nothing to learn: only the score before the first step, which has no training metrics.
    nothing = {"max_epochs": 0, "monitor": "val_loss", "mode": "auto", "target": None}
    is_idle = images.is_unchanged or not len(images.part("train"))
    limit = train.model_copy(update=nothing) if is_idle else train
    try:
        outcome = training.fit(
            engine, images.part("train"), images.part("val"), limit, states, watcher, state, chosen.budget, asked
        )
    except training.PausedError as paused:
        watcher.close()
        raise _paused(run, paused, train) from None
    except OSError as error:
        run.end("FAILED")
        raise PipelineError(f"the state of training cannot be saved: {error}; free space or make it writable") from None
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
            "history": outcome.history,
            "best_epoch": outcome.best_epoch,
            "epochs": len(outcome.history) - 1,
            "max_epochs": train.max_epochs,
            "retries": outcome.retries,
            "stop_reason": reason,
            "monitor": train.monitor,
            "optimizer": train.optimizer,
            "dataset_digest": images.digest,
            "num_images": images.num_images,
            "num_added": images.num_added,
        },
    )
    run.end()
    shutil.rmtree(states.path, ignore_errors=True)  # only now: the outcome is on disk
    took = f"{outcome.spent.steps:,} steps in {duration(outcome.spent.seconds)}"
    print(f"train: stopped by {reason}; kept epoch {outcome.best_epoch}; {took}")


def _states(inputs: dict[str, Any], scratch: Path, chosen: Params) -> tuple[Folder, State | None]:
    """Where the states of this training are kept, and the newest one.

    Args:
        inputs: all that determines the numbers to the last bit, the libraries too.
        scratch: states lie below.
        chosen: the settings.
    """
    folder = scratch / "training" / files.sha256_json(inputs)[:16]
    states = Folder(folder, inputs, chosen.checkpoint, _warn)
    state = states.load()
    if state is None and (why := checkpoint.others(folder, inputs)):
        print(f"train: {why}", flush=True)
    checkpoint.tidy(folder)
    return states, state


def _warn(warning: str) -> None:
    print(f"train: warning: {warning}", file=sys.stderr, flush=True)


class Paused(Exception):  # noqa: N818 - not an error
    """Training stopped before its end; the words say what was reached and how to go on."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


def _paused(run: Run, paused: "training.PausedError", train: Train) -> Paused:
    """End or suspend the run; what to tell people."""
    state, is_budget = paused.state, paused.reason.startswith("budget.")
    with suppress(RegistryError):
        run.end("SCHEDULED" if is_budget else "KILLED")
    best = stopping.progress(state.history, train)
    how = f"paused, out of {paused.reason}" if is_budget else f"interrupted by {paused.reason}"
    found = "" if best.best_epoch is None else f"; best {train.monitor} {best.best:.4f}, of epoch {best.best_epoch}"
    epoch = len(state.history)
    where = f"in epoch {epoch} after step {state.step}" if state.step else f"after epoch {epoch - 1}"
    return Paused(
        f"{how}, {where}{found}; the state is saved, run `dvc repro` to go on from it",
        process.EXIT_PAUSED if is_budget else CODES.get(paused.reason, 1),
    )


def _start(pinned: dict[str, Any], train: Train, new: list[str]) -> tuple[bool, Start]:
    """Warm, else cold, and why.

    Args:
        pinned: the parent.
        train: the settings.
        new: labels that the parent has no output for.
    """
    if pinned["version"] and train.start == "warm" and not new:
        return True, Start("warm", f"from v{pinned['version']}, its {', '.join(['weights', *train.restore])}")
    why = "no version to start from"
    if pinned["version"]:
        why = "train.start is cold" if train.start == "cold" else f"v{pinned['version']} does not know {', '.join(new)}"
    return False, Start("cold", f"{train.pretrained or 'fresh'} weights: {why}")


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


def _csv(history: list[Row], best_epoch: int) -> str:
    """The curves for `dvc plots`: one row per epoch, the best and the last one marked."""
    names = ["loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["epoch", *names, "mark"])
    for epoch, row in enumerate(history):
        marks = ["best"] * (epoch == best_epoch) + ["stopped"] * (epoch == len(history) - 1)
        writer.writerow([epoch, *(row.get(name, "") for name in names), " and ".join(marks)])
    return sink.getvalue()
