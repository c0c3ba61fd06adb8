"""Train the challenger: go on from an own checkpoint, else from the parent, else from fresh weights."""

import csv
import io
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import audit, checkpoint, code, dataset, files, ladder, model, process, stopping
from pipeline import params as parameters
from pipeline.checkpoint import Folder, State
from pipeline.dataset import Dataset
from pipeline.errors import PipelineError, RegistryError
from pipeline.ladder import Plan
from pipeline.model import Description
from pipeline.params import Params, Train
from pipeline.parent import Parent
from pipeline.progress import Progress, duration, ended
from pipeline.registry import Registry, Run
from pipeline.stopping import Row

if TYPE_CHECKING:
    from pipeline import training
    from pipeline.dataset import Part
    from pipeline.training import Engine, Outcome

CODES = {"SIGINT": 130, "SIGTERM": 143}
"""As a shell has them."""


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
    plan = ladder.plan(pinned, chosen.train)
    inputs = _inputs(images, pinned, plan, chosen.train)
    key = files.sha256_json(inputs)

    with process.alone(scratch / "training" / "lock", "a training"), process.stoppable() as asked:
        print("train: loading TensorFlow", flush=True)
        registry = Registry(chosen.resolve)
        if not _restored(registry, key, out, scratch):
            try:
                _train(registry, key, inputs, images, pinned, plan, description, chosen, scratch, out, asked)
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


def _inputs(images: Dataset, pinned: dict[str, Any], plan: Plan, settings: Train) -> dict[str, Any]:
    """Everything that determines the model, by name."""
    return {
        "dataset": images.digest,
        "parent": pinned["lineage"]["files"]["model/weights.npz"] if pinned["version"] else None,
        "start": f"{plan.kind}, audited" if plan.is_audited else plan.kind,
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
    plan: Plan,
    description: Description,
    chosen: Params,
    scratch: Path,
    out: Path,
    asked: Callable[[], str | None],
) -> None:
    from pipeline import training

    train, parts = chosen.train, (images.part("train"), images.part("val"))
    is_idle = _is_idle(images, parts[0], plan, train)
    training.make_repeatable(train.seed, train.threads)
    states, state = _states(inputs | {"libraries": training.versions()}, scratch, chosen)
    limit = _limited(plan, parts[0], chosen, is_idle)
    engine = _engine(description, limit, is_fresh=plan.is_audited or (state is None and plan.needs_all))
    fresh, parent = engine.values(), None
    if plan.kind != "cold":
        parent = Parent(registry, pinned, description, model.arrays(engine.network.weights), train, scratch)
    _say_start(plan, states, state)
    if parent and state is None:
        parent.start(engine, plan.kind, is_idle)

    registry.reap()
    run = registry.run(key, f"cycle {images.digest[:8]}")
    watcher = Progress(limit, run)
    if plan.kind != "warm":
        parts = replace(parts[0], is_unlearned=None), parts[1]
    found: dict[str, Any] | None = None
    name = "training"
    try:
        outcome = training.fit(engine, *parts, limit, states, watcher, state, chosen.budget, asked)
        if parent and is_idle:
            outcome = replace(outcome, last=parent.last)
        elif parent and plan.kind == "warm":
            outcome = training.blend(engine, parent.served, outcome, parts[1], train)
            _say_blend(outcome)
        reason = "nothing new to learn" if is_idle else _reason(outcome.reason, limit, train)
        print(f"train: {ended(reason, outcome.best_epoch, outcome.spent)}", flush=True)
        if plan.is_audited and not is_idle and not outcome.is_cut:
            name, every = "audit", _limited(None, parts[0], chosen, is_idle)
            beside = Folder(audit.beside(states.path), {**states.inputs, "audit": True}, chosen.checkpoint, _warn)
            watcher = Progress(every, run, name=name)
            outcome, found = audit.run(
                engine, fresh, outcome, parts, description, every, chosen.budget, beside, watcher, asked
            )
    except training.PausedError as paused:
        watcher.close()
        raise _paused(run, paused, train, name) from None
    except OSError as error:
        run.end("FAILED")
        raise PipelineError(f"the state of training cannot be saved: {error}; free space or make it writable") from None
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise

    _write(out, images, description, outcome)
    is_scratch = found is not None and found["is_scratch_better"] is True
    files.write_json(
        out / "training.json",
        {
            "run_key": key,
            "start": plan.kind,
            "start_reason": plan.reason,
            "parent": pinned["version"],
            "is_warm": plan.kind != "cold" and not is_scratch,
            "history": outcome.history,
            "best_epoch": outcome.best_epoch,
            "epochs": len(outcome.history) - 1,
            "max_epochs": train.max_epochs if is_scratch else limit.max_epochs,
            "retries": outcome.retries,
            "stop_reason": outcome.reason if is_scratch else reason,
            "share": outcome.share,
            "blended": [{"share": share, **row} for share, row in sorted(outcome.blended.items())],
            "passes": found["passes"] if found else outcome.passes(len(parts[1])),
            "audit": found,
            "ladder": {
                "before": plan.place.to_json(),
                "after": ladder.after(plan, found["is_scratch_better"] if found else None).to_json(),
            },
            "monitor": train.monitor,
            "optimizer": train.optimizer,
            "dataset_digest": images.digest,
            "num_images": images.num_images,
            "num_added": images.num_added,
        },
    )
    run.end()
    for folder in (states.path, audit.beside(states.path)):
        shutil.rmtree(folder, ignore_errors=True)  # only now: the outcome is on disk


def _write(out: Path, images: Dataset, description: Description, outcome: "Outcome") -> None:
    """The model, and what the next warm start needs of it."""
    files.write_json(out / "model.json", description.to_json())
    files.write_table(out / "images.parquet", images.index())
    files.write_arrays(out / "weights.npz", outcome.weights)
    files.write_arrays(out / "last.npz", outcome.last)
    files.write_arrays(out / "state.npz", outcome.optimizer)


def _say_start(plan: Plan, states: Folder, state: State | None) -> None:
    if state is None:
        print(f"train: {plan.kind} start: {plan.reason}", flush=True)
    elif any(audit.beside(states.path).glob("*")):
        print(f"train: resume: the audit, from the checkpoint in {audit.beside(states.path)}", flush=True)
    else:
        print(
            f"train: resume: epoch {len(state.history)}, step {state.step + 1}, after {duration(state.spent.seconds)}, "
            f"from the checkpoint in {states.path}",
            flush=True,
        )


def _reason(reason: str, limit: Train, train: Train) -> str:
    """Why training stopped, by the setting that a person would change."""
    if not reason.startswith("max_epochs") or limit.max_epochs == train.max_epochs:
        return reason
    if limit.max_epochs == train.warm_epochs:
        return f"warm_epochs: {train.warm_epochs}"
    return f"passes_per_new: {train.passes_per_new:g}, {limit.max_epochs} epochs here"


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


def _paused(run: Run, paused: "training.PausedError", train: Train, name: str) -> Paused:
    """End or suspend the run; what to tell people.

    Args:
        run: of the cycle.
        paused: where it stands.
        train: the settings.
        name: training or audit.
    """
    state, is_budget = paused.state, paused.reason.startswith("budget.")
    with suppress(RegistryError):
        run.end("SCHEDULED" if is_budget else "KILLED")
    best = stopping.progress(state.history, train)
    how = f"paused, out of {paused.reason}" if is_budget else f"interrupted by {paused.reason}"
    found = "" if best.best_epoch is None else f"; best {train.monitor} {best.best:.4f}, of epoch {best.best_epoch}"
    epoch = len(state.history)
    where = f"in epoch {epoch} after step {state.step}" if state.step else f"after epoch {epoch - 1}"
    if name == "audit":
        where += " of the audit (the training before it is over, and kept)"
    return Paused(
        f"{how}, {where}{found}; the state is saved, run `dvc repro` to go on from it",
        process.EXIT_PAUSED if is_budget else CODES.get(paused.reason, 1),
    )


def _engine(description: Description, train: Train, is_fresh: bool) -> "Engine":
    """The network that learns, with fresh weights, or the pretrained ones if those are wanted."""
    from pipeline import training

    shared = training.strategy(train.devices)
    with shared.scope():
        model.use(train.precision)
        network = model.build(description, train.pretrained if is_fresh else None)
        optimizer = model.optimizer(train)
    return training.Engine(network, optimizer, train, shared)


def _is_idle(images: Dataset, part: "Part", plan: Plan, train: Train) -> bool:
    """Whether there is nothing to learn: then only the start is scored."""
    if not len(part):
        return True
    if plan.kind == "cold":
        return False
    # Old images are there for each new one, or for an audit; without new ones there is nothing to mix them with.
    takes_all = train.replay == "all" and not plan.is_audited
    is_known = part.is_unlearned is not None and not part.is_unlearned.any()
    return images.is_unchanged or (plan.kind == "warm" and not takes_all and is_known)


def _limited(plan: Plan | None, part: "Part", chosen: Params, is_idle: bool) -> Train:
    """The settings of a training: how many epochs there are, how many old images in each.

    Args:
        plan: of the cycle; None: of its audit.
        part: what there is to learn from.
        chosen: the settings of params.yaml.
        is_idle: there is nothing to learn.
    """
    from pipeline import training

    train = chosen.train
    if is_idle:
        # The score before the first step has no training metrics.
        nothing = {"max_epochs": 0, "monitor": "val_loss", "mode": "auto", "target": None}
        return train.model_copy(update=nothing)
    if plan is None or plan.kind != "warm":
        return train.model_copy(update={"replay": "all"})
    if plan.is_audited and train.replay == "all":
        # All images are there for the audit; the warm start gets what it gets in any cycle.
        train = train.model_copy(update={"replay": chosen.prepare.replay})
    return training.warmed(train, part)


def _say_blend(outcome: "Outcome") -> None:
    """What is served, where it is not simply the result."""
    if not outcome.blended or outcome.share == 1:
        return
    row = outcome.blended[outcome.share]
    print(
        f"train: blended: {outcome.share:.0%} of the result, the rest the parent's weights: val_loss "
        f"{row['val_loss']:.4f}, of the parent alone {outcome.blended[0.0]['val_loss']:.4f}",
        flush=True,
    )


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
