"""Train the challenger: go on from an own checkpoint, else from the parent, else from fresh weights."""

import csv
import io
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import files, process
from pipeline.base import params as parameters
from pipeline.base.errors import PipelineError, RegistryError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.data import dataset
from pipeline.data.settings import Replay
from pipeline.learning import audit, checkpoint, ladder, model, stopping
from pipeline.learning.checkpoint import Folder, State, Values
from pipeline.learning.ladder import Place, Plan
from pipeline.learning.model import Description
from pipeline.learning.parent import Parent
from pipeline.learning.progress import Progress, duration, ended
from pipeline.learning.settings import Budget, Checkpoint, Train
from pipeline.learning.stopping import Row
from pipeline.learning.task import Task
from pipeline.registry.client import Registry, Run
from pipeline.registry.settings import RegisteredModel

if TYPE_CHECKING:
    from pipeline.learning import training
    from pipeline.learning.training import Engine, Outcome

CODES = {"SIGINT": 130, "SIGTERM": 143}
"""As a shell has them."""


class Settings(Excerpt):
    """What train reads of params.yaml."""

    resolve: RegisteredModel
    prepare: Replay
    train: Train
    budget: Budget
    checkpoint: Checkpoint


def run(paths: Paths) -> int:
    """Train until there is a reason to stop; keep the best epoch.

    Exit code 75: paused, by the budget in params.yaml; 130 and 143: interrupted, by Ctrl-C and SIGTERM. The state is
    saved then, and `dvc repro` goes on from it.
    """
    task = Task(dataset.read(paths.dataset), files.read_json(paths.parent), parameters.load(paths.params, Settings))
    with process.alone(paths.scratch / "training" / "lock", "a training"), process.stoppable() as asked:
        print("train: loading TensorFlow", flush=True)
        registry = Registry(task.chosen.resolve)
        if not _restored(registry, task.key, paths.model, paths.scratch):
            try:
                _train(task, registry, paths.scratch, paths.model, asked)
            except Paused as paused:
                print(f"train: {paused}", flush=True)
                if paused.code == process.EXIT_PAUSED and (note := os.environ.get(process.PAUSE_NOTE)):
                    Path(note).write_text(str(paused))
                return paused.code

    trained = files.read_json(paths.model / "training.json")
    files.write(paths.curves, _csv(trained["history"], trained["best_epoch"]).encode())
    best = trained["history"][trained["best_epoch"]]
    files.write_json(
        paths.training,
        {"val_loss": best["val_loss"], "val_accuracy": best["val_accuracy"]}
        | {name: trained[name] for name in ("best_epoch", "epochs", "max_epochs")},
    )
    return 0


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


def _train(task: Task, registry: Registry, scratch: Path, out: Path, asked: Callable[[], str | None]) -> None:
    from pipeline.learning import training

    training.make_repeatable(task.train.seed, task.train.threads)
    states, state = _states(task, scratch)
    is_fresh = task.plan.is_audited or (state is None and task.plan.needs_all)
    engine = _engine(task.description, task.limit, is_fresh)
    fresh, parent = engine.values(), None
    if task.plan.kind != "cold":
        weights = model.arrays(engine.network.weights)
        parent = Parent(registry, task.pinned, task.description, weights, task.train, task.plan.kind, scratch)
    _say_start(task.plan, states, state)
    if parent and state is None:
        parent.start(engine, task.is_idle)

    registry.reap()
    run = registry.run(task.key, f"cycle {task.images.digest[:8]}")
    outcome: Outcome | None = None
    found: dict[str, Any] | None = None
    try:
        outcome, reason = _learn(task, engine, parent, states, state, run, asked)
        if task.plan.is_audited and outcome.is_cut:
            print(f"train: audit: no budget is left for it; the next is due in {task.train.audit_every} cycles")
        elif task.plan.is_audited and not task.is_idle:
            outcome, found = _audit(task, engine, fresh, outcome, states, run, asked)
    except training.PausedError as paused:
        raise _paused(run, paused, task.train, is_audit=outcome is not None) from None
    except OSError as error:
        run.end("FAILED")
        raise PipelineError(f"the state of training cannot be saved: {error}; free space or make it writable") from None
    except BaseException as error:
        run.end("FAILED" if isinstance(error, Exception) else "KILLED")
        raise

    _write(out, task, outcome)
    files.write_json(out / "training.json", _record(task, outcome, reason, found))
    run.end()
    for folder in (states.path, audit.beside(states.path)):
        shutil.rmtree(folder, ignore_errors=True)  # only now: the outcome is on disk


def _learn(
    task: Task,
    engine: "Engine",
    parent: Parent | None,
    states: Folder,
    state: State | None,
    run: Run,
    asked: Callable[[], str | None],
) -> "tuple[Outcome, str]":
    """Train, and mix the result with what the parent serves; the outcome, and why training stopped."""
    from pipeline.learning import training

    train, val = task.parts
    if task.plan.kind != "warm":
        train = replace(train, is_unlearned=None)
    watcher = Progress(task.limit, run)
    with closing(watcher):
        outcome = training.fit(engine, train, val, task.limit, states, watcher, state, task.chosen.budget, asked)
    if parent and task.is_idle:
        outcome = replace(outcome, last=parent.last)
    elif parent and task.plan.kind == "warm":
        outcome = training.blend(engine, parent.served, outcome, val, task.train)
        _say_blend(outcome)
    reason = "nothing new to learn" if task.is_idle else _reason(outcome.reason, task.limit, task.train)
    print(f"train: {ended(reason, outcome.best_epoch, outcome.spent)}", flush=True)
    return outcome, reason


def _audit(
    task: Task,
    engine: "Engine",
    fresh: Values,
    outcome: "Outcome",
    states: Folder,
    run: Run,
    asked: Callable[[], str | None],
) -> "tuple[Outcome, dict[str, Any]]":
    """Train from scratch too, with states and curves of its own; see `audit.run`."""
    limit, inputs = task.audit_limit, {**states.inputs, "audit": True}
    own = Folder(audit.beside(states.path), inputs, task.chosen.checkpoint, _warn)
    watcher, budget = Progress(limit, run, name="audit"), task.chosen.budget
    with closing(watcher):
        return audit.run(engine, fresh, outcome, task.parts, task.description, limit, budget, own, watcher, asked)


def _record(task: Task, outcome: "Outcome", reason: str, found: dict[str, Any] | None) -> dict[str, Any]:
    """How training went, for the stages that follow and for people.

    Args:
        task: what it was to learn.
        outcome: what it gave.
        reason: why it stopped.
        found: by an audit.
    """
    is_scratch_better = found["is_scratch_better"] if found else None
    is_scratch = bool(is_scratch_better)
    # As it was pinned, not as it is now: the same data must give the same bytes later.
    before = task.pinned.get("ladder", Place().to_json())
    after = ladder.after(task.plan, is_scratch_better, is_cut=outcome.is_cut or found is not None)
    return {
        "run_key": task.key,
        "start": task.plan.kind,
        "start_reason": task.plan.reason,
        "parent": task.pinned["version"],
        "is_warm": task.plan.kind != "cold" and not is_scratch,
        "history": outcome.history,
        "best_epoch": outcome.best_epoch,
        "epochs": len(outcome.history) - 1,
        "max_epochs": task.train.max_epochs if is_scratch else task.limit.max_epochs,
        "retries": outcome.retries,
        "stop_reason": outcome.reason if is_scratch else reason,
        "share": outcome.share,
        "blended": [{"share": share, **row} for share, row in sorted(outcome.blended.items())],
        "passes": found["passes"] if found else outcome.passes(len(task.parts[1])),
        "audit": found,
        "ladder": {"before": before, "after": after.to_json()},
        "monitor": task.train.monitor,
        "optimizer": task.train.optimizer,
        "dataset_digest": task.images.digest,
        "num_images": task.images.num_images,
        "num_added": task.images.num_added,
    }


def _write(out: Path, task: Task, outcome: "Outcome") -> None:
    """The model, and what the next warm start needs of it."""
    files.write_json(out / "model.json", task.description.to_json())
    files.write_table(out / "images.parquet", task.images.index())
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
    epochs = f"{limit.max_epochs} epoch{'' if limit.max_epochs == 1 else 's'}"
    return f"passes_per_new: {train.passes_per_new:g}, {epochs} here"


def _states(task: Task, scratch: Path) -> tuple[Folder, State | None]:
    """Where the states of this training are kept, and the newest one."""
    from pipeline.learning import training

    inputs = task.inputs | {"libraries": training.versions()}  # all that determines the numbers to the last bit
    folder = scratch / "training" / files.sha256_json(inputs)[:16]
    states = Folder(folder, inputs, task.chosen.checkpoint, _warn)
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


def _paused(run: Run, paused: "training.PausedError", train: Train, is_audit: bool) -> Paused:
    """End or suspend the run; what to tell people."""
    state, is_budget = paused.state, paused.reason.startswith("budget.")
    with suppress(RegistryError):
        run.end("SCHEDULED" if is_budget else "KILLED")
    best = stopping.progress(state.history, train)
    how = f"paused, out of {paused.reason}" if is_budget else f"interrupted by {paused.reason}"
    found = "" if best.best_epoch is None else f"; best {train.monitor} {best.best:.4f}, of epoch {best.best_epoch}"
    epoch = len(state.history)
    where = f"in epoch {epoch} after step {state.step}" if state.step else f"after epoch {epoch - 1}"
    if is_audit:
        where += " of the audit (the training before it is over, and kept)"
    return Paused(
        f"{how}, {where}{found}; the state is saved, run `dvc repro` to go on from it",
        process.EXIT_PAUSED if is_budget else CODES.get(paused.reason, 1),
    )


def _engine(description: Description, train: Train, is_fresh: bool) -> "Engine":
    """The network that learns, with fresh weights, or the pretrained ones if those are wanted."""
    from pipeline.learning import training

    shared = training.strategy(train.devices)
    with shared.scope():
        model.use(train.precision)
        network = model.build(description, train.pretrained if is_fresh else None)
        optimizer = model.optimizer(train)
    return training.Engine(network, optimizer, train, shared)


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
