"""Train the challenger: go on from an own checkpoint, else from the parent, else from fresh weights."""

import csv
import io
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.cost import Cost
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Parent
from pipeline.artifacts.training import IDLE, Audit, Mixture, Places, Training
from pipeline.base import files, params, process
from pipeline.base.errors import PipelineError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.data import dataset
from pipeline.data.settings import Replay
from pipeline.learning import (
    audit,
    checkpoint,
    engine,
    headstart,
    inheritance,
    ladder,
    model,
    rewind,
    starts,
    stopping,
)
from pipeline.learning.checkpoint import Folder, State
from pipeline.learning.engine import Engine
from pipeline.learning.fit import Outcome, Parts, PausedError, Session, fit
from pipeline.learning.inheritance import Inheritance
from pipeline.learning.progress import Progress, duration, ended
from pipeline.learning.settings import NEWEST, Budget, Checkpoint, Train, Watch
from pipeline.learning.task import Task
from pipeline.learning.tensorboard import TensorBoard
from pipeline.learning.trained import Trained
from pipeline.registry.client import Registry
from pipeline.registry.curves import PATIENCE, Curves
from pipeline.registry.settings import RegisteredModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    Arrays = Mapping[str, np.ndarray]

CODES = {"SIGINT": 130, "SIGTERM": 143}
"""Exit codes, as a shell has them."""

HASTE = 5.0
"""Seconds that a training that was stopped waits for the registry."""

CURVES = ("loss", "val_loss", "accuracy", "val_accuracy", "learning_rate")
"""Metrics in the curves."""


class Settings(Excerpt):
    """What train reads of params.yaml."""

    resolve: RegisteredModel
    prepare: Replay
    train: Train
    budget: Budget
    checkpoint: Checkpoint
    watch: Watch


def run(paths: Paths) -> int:
    """Train until there is a reason to stop; keep the best epoch.

    Exit code 75: paused, by the budget in params.yaml; 130 and 143: interrupted, by Ctrl-C and SIGTERM. The state is
    saved then, and `dvc repro` goes on from it.
    """
    settings = params.load(paths.params, Settings)
    images, parent = dataset.read(paths.dataset), Parent.read(paths.parent)
    pretrained = files.read(paths.pretrained).decode().strip()
    task = Task(images, parent, settings.train, settings.prepare.replay, pretrained)

    with process.alone(paths.scratch / "training" / "lock", "a training"), process.stoppable() as asked:
        print("train: loading TensorFlow", flush=True)
        files.sweep(paths.model)
        registry = Registry(settings.resolve)
        try:
            if not _restored(task, registry, paths):
                _train(task, registry, settings, paths, asked)
        except Paused as paused:
            print(f"train: {paused}", flush=True)
            if paused.code == process.EXIT_PAUSED and (note := os.environ.get(process.PAUSE_NOTE)):
                Path(note).write_text(str(paused))
            return paused.code

    training = Training.read(paths.model / "training.json")
    files.write(paths.curves, _csv(training).encode())
    files.write_json(paths.training, training.published(images.named("val")))
    return 0


def _restored(task: Task, registry: Registry, paths: Paths) -> bool:
    """Take the model from the registry if one was trained from the same inputs before, on any machine."""
    version = registry.of_key(task.key)
    if version is None or version.lineage_digest is None:
        return False
    objects = paths.scratch / "objects"
    for artifact, sha256 in registry.lineage(version, objects).files.items():
        if artifact.startswith("model/"):
            path = registry.download(version.run_id, artifact, sha256, objects)
            files.write(paths.model / Path(artifact).name, path.read_bytes())
    Cost(seconds=None).write(paths.cost)
    print(f"train: nothing to train, v{version.number} was trained from the same inputs; taken from the registry")
    return True


@dataclass(frozen=True)
class _Call:
    """What one call of the stage trains with."""

    task: Task
    settings: Settings
    asked: Callable[[], str | None]
    """Gives the reason why training is to stop at once, if there is one."""
    engine: Engine
    fresh: "Arrays"
    """Weights of the whole network when it was new."""
    inherited: Inheritance | None
    """None for a cold start."""
    num_forward: int
    """Images that passed forward for what new labels begin with."""
    states: Folder
    state: State | None
    """To go on from."""
    curves: Curves


def _train(task: Task, registry: Registry, settings: Settings, paths: Paths, asked: Callable[[], str | None]) -> None:
    """Train, audit if that is due, and write the model."""
    began = time.monotonic()
    call = _begin(task, registry, settings, paths, asked)
    trained: Trained | None = None
    try:
        trained, reason = _learn(call)
        kept, audited = _audit(call, trained)
    except PausedError as paused:
        raise _paused(call.curves, paused, task.train, is_audit=trained is not None) from None
    except OSError as error:
        _close(call.curves, "FAILED")
        raise _unsaved(error) from None
    except BaseException as error:
        _close(call.curves, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise

    _write(paths.model, task, kept)
    _record(task, kept, reason, audited).write(paths.model / "training.json")
    before = call.state.spent.seconds if call.state else 0.0
    Cost(seconds=round(before + time.monotonic() - began, 3)).write(paths.cost)
    _close(call.curves, "FINISHED")
    call.states.finish(trained.outcome.history)  # only now: the outcome is on disk
    for path in (audit.beside(call.states.path), call.states.path):
        shutil.rmtree(audit.beside(path), ignore_errors=True)
        shutil.rmtree(headstart.beside(path), ignore_errors=True)


def _close(curves: Curves, status: str) -> None:
    """Write what is left of the curves and end the run: quickly where training did not come to its end."""
    for notice in curves.close(status, PATIENCE if status == "FINISHED" else HASTE):
        _warn(notice)


def _begin(task: Task, registry: Registry, settings: Settings, paths: Paths, asked: Callable[[], str | None]) -> _Call:
    """Load the state or what is inherited, tell which, and open the run."""
    states, state = _states(task, settings.checkpoint, paths.scratch / "training")
    # What a state or a parent has need not be pretrained; what is frozen from the beginning is in no state.
    is_fresh = task.plan.kind != "warm" and (state is None or task.description.frozen is not None)
    made = _engine(task, task.description, task.train_now, is_fresh)
    fresh, inherited = model.arrays(made.outer.weights), None
    if task.parent.pin and task.plan.kind != "cold":
        inherited = inheritance.fetch(task.parent.pin, task, fresh, registry, paths.scratch / "objects")
    num_forward = 0
    if inherited and (new := task.new_labels):
        inherited, num_forward = inherited.welcoming(made, task.parts.train, new)
    _say_start(task, states, state)
    if inherited and state is None:
        inherited.begin(made, task.is_idle)

    registry.runs.reap()
    run = registry.runs.begin(task.key, f"cycle {task.images.digest[:8]}", paths.scratch)
    curves = Curves(run, paths.scratch / "curves")
    return _Call(task, settings, asked, made, fresh, inherited, num_forward, states, state, curves)


def _states(task: Task, every: Checkpoint, folder: Path) -> tuple[Folder, State | None]:
    """Where the states of this training are kept, and the one to go on from: the newest, or that of a chosen epoch."""
    inputs = task.inputs | {"libraries": engine.versions()}  # all that determines the numbers to the last bit
    states = Folder(folder / files.sha256_json(inputs)[:16], inputs, every, _warn)
    state = states.load()
    if state is None and task.target:
        state = rewind.load(task.target, folder, inputs)
        print(f"train: back to {task.target} (train.from_epoch)", flush=True)
        if not task.target.is_result:
            _save(states, state)
    elif state is None and (why := checkpoint.others(states.path, inputs)):
        print(f"train: {why}", flush=True)
    checkpoint.tidy(states.path, task.target.training if task.target else None)
    return states, state


def _save(states: Folder, state: State) -> None:
    try:
        states.save(state)
    except OSError as error:
        raise _unsaved(error) from None


def _unsaved(error: OSError) -> PipelineError:
    return PipelineError(f"the state of training cannot be saved: {error}; free space or make it writable")


def _engine(task: Task, description: Description, train: Train, is_fresh: bool) -> Engine:
    """A network that learns; with pretrained weights, if those are wanted, where something begins from fresh ones."""
    engine.make_repeatable(task.train.seed, task.train.threads)
    pretrained = task.train.pretrained if is_fresh else None
    return engine.create(description, train, pretrained, task.images.contents.label_counts)


def _learn(call: _Call) -> tuple[Trained, str]:
    """Train, and mix the result with what the parent serves; what came of it, and why training stopped."""
    task, train, inherited = call.task, call.task.train_now, call.inherited
    around = inherited.served if inherited else call.fresh

    def trained(outcome: Outcome, num_forward: int = 0) -> Trained:
        num_forward += task.images.contents.num_computed + call.num_forward
        return Trained(task.description, call.engine, around, task.parts, outcome, num_forward)

    if call.state and task.target and task.target.is_result:
        outcome = rewind.result(call.engine, call.state)
        print(f"train: {ended(outcome.reason, outcome.best_epoch, outcome.spent)}", flush=True)
        return trained(outcome), outcome.reason
    parts = task.parts if task.plan.kind == "warm" else task.parts.unlearned
    num_forward = 0
    if task.plan.kind == "cold" and not task.is_idle:
        num_forward = _head_first(call, task.description, call.engine, parts, call.states, call.state)
    outcome = _fitted(call, call.engine, parts, train, call.states, call.state, call.settings.budget)
    if inherited and task.is_idle:
        outcome = replace(outcome, last=call.engine.tuned(inherited.last))
    elif inherited and task.plan.kind == "warm":
        served = call.engine.tuned(inherited.served)
        outcome = starts.blend(call.engine, served, outcome, task.parts.val, task.train)
        _say_blend(outcome)
    reason = _stop_reason(outcome, task)
    print(f"train: {ended(reason, outcome.best_epoch, outcome.spent)}", flush=True)
    return trained(outcome, num_forward), reason


def _fitted(
    call: _Call,
    made: Engine,
    parts: Parts,
    train: Train,
    states: Folder,
    state: State | None,
    budget: Budget | None,
    name: str = "",
) -> Outcome:
    """Train, with a bar or lines for people and curves in the run; see `fit`."""
    logs = None
    if call.settings.watch.tensorboard:
        folder = call.states.path.parents[1] / "tensorboard" / call.states.path.name
        logs = TensorBoard(folder / name, _warn)
    watcher = Progress(train, call.curves, name=name, logs=logs)
    with closing(watcher):
        outcome = fit(made, parts, train, Session(states, watcher, state, budget, call.asked))
    if logs:
        logs.add(outcome.history)  # where an earlier call had trained to the end, nothing was scored in this one
        logs.keep(outcome.history, outcome.best_epoch)
    return outcome


def _head_first(
    call: _Call, description: Description, made: Engine, parts: Parts, states: Folder, state: State | None
) -> int:
    """Before a pretrained network is trained as a whole, train its head; gives how many images passed forward."""
    task = call.task
    if task.train.pretrained is None or description.is_head_only:
        return 0
    if state is None:
        print("train: the head first, on the features that the pretrained network gives", flush=True)
        folder = headstart.beside(states.path)
        heads = Folder(folder, {**states.inputs, "head": True}, _unseen(call.settings.checkpoint), _warn)
        watcher = Progress(starts.for_head(task.train), call.curves, name="head")
        with closing(watcher):
            session = Session(heads, watcher, heads.load(), call.settings.budget, call.asked)
            outcome = headstart.train_head(made, parts, task.train, session, folder / "features")
        print(f"train: head: {ended(outcome.reason, outcome.best_epoch, outcome.spent)}", flush=True)
    return len(parts.train) + len(parts.val)


def _unseen(every: Checkpoint) -> Checkpoint:
    """What to keep of a training to whose epochs nobody goes back."""
    return every.model_copy(update={"keep": NEWEST})


def _audit(call: _Call, going_on: Trained) -> tuple[Trained, Audit | None]:
    """Where an audit is due, train from scratch too, with states and curves of its own; see `audit.compare`."""
    task, settings, outcome = call.task, call.settings, going_on.outcome
    if not task.plan.is_audited or (task.is_idle and not outcome.is_cut):
        return going_on, None
    if outcome.is_cut:
        if outcome.reason.startswith("budget."):
            why = "no budget is left for it"
        else:
            why = "an epoch that a person chose gets none"
        due = "" if task.plan.growth else f"; the next is due in {task.train.audit_every} cycles"
        print(f"train: audit: {why}{due}")
        return going_on, None
    print("train: audit: from scratch on all images, to see whether going on is still as good", flush=True)
    states = Folder(
        audit.beside(call.states.path), {**call.states.inputs, "audit": True}, _unseen(settings.checkpoint), _warn
    )
    state, parts, train = states.load(), task.parts_afresh, task.train_on_all
    made = _engine(task, task.description_afresh, train, is_fresh=True)
    fresh = model.arrays(made.outer.weights)
    num_forward = _head_first(call, task.description_afresh, made, parts, states, state)
    left = settings.budget and stopping.left(settings.budget, outcome.spent_now)
    result = _fitted(call, made, parts, train, states, state, left, name="audit")
    print(f"train: audit: {ended(result.reason, result.best_epoch, result.spent)}", flush=True)
    return audit.compare(task, going_on, Trained(task.description_afresh, made, fresh, parts, result, num_forward))


def _record(task: Task, kept: Trained, reason: str, audited: Audit | None) -> Training:
    """How training went.

    Args:
        task: what it was to learn.
        kept: what it gave.
        reason: why it stopped.
        audited: what an audit found.
    """
    outcome, is_scratch_better = kept.outcome, audited.is_scratch_better if audited else None
    is_scratch = bool(is_scratch_better)
    after = ladder.after(task.plan, is_scratch_better, is_cut=outcome.is_cut or audited is not None)
    return Training(
        run_key=task.key,
        start=task.plan.kind,
        start_reason=task.start_reason,
        parent=task.parent.version,
        is_warm=task.plan.kind != "cold" and not is_scratch,
        history=tuple(outcome.history),
        best_epoch=outcome.best_epoch,
        is_chosen=task.target is not None and task.target.is_result,
        epochs=len(outcome.history) - 1,
        max_epochs=task.train_on_all.max_epochs if is_scratch else task.train_now.max_epochs,
        retries=tuple(outcome.retries),
        stop_reason=outcome.reason if is_scratch else reason,
        share=outcome.share,
        blended=tuple(Mixture(share=share, **row) for share, row in sorted(outcome.blended.items())),
        passes=audited.passes if audited else kept.passes,
        audit=audited,
        # Before: as it was pinned, not as it is now, for the same data must give the same bytes later.
        ladder=Places(before=task.parent.ladder, after=after),
        monitor=task.train.monitor,
        optimizer=task.train.optimizer,
        dataset_digest=task.images.digest,
        num_images=task.images.contents.num_images,
        num_added=task.images.contents.num_added,
    )


def _write(out: Path, task: Task, kept: Trained) -> None:
    """The model, and what the next warm start needs of it."""
    calibrated = kept.calibrated(task.train.batch_size)
    print(f"train: temperature {calibrated.temperature:g}, fitted on val", flush=True)
    calibrated.write(out / "model.json")
    files.write_table(out / "images.parquet", task.images.index())
    files.write_arrays(out / "weights.npz", kept.weights)
    files.write_arrays(out / "last.npz", kept.last)
    files.write_arrays(out / "state.npz", kept.outcome.optimizer)


def _say_start(task: Task, states: Folder, state: State | None) -> None:
    if state is None:
        print(f"train: {task.plan.kind} start: {task.start_reason}", flush=True)
    elif task.target and task.target.is_result:
        return  # said already
    elif any(audit.beside(states.path).glob("*")):
        print(f"train: resume: the audit, from the checkpoint in {audit.beside(states.path)}", flush=True)
    else:
        print(
            f"train: resume: epoch {len(state.history)}, step {state.step + 1}, after {duration(state.spent.seconds)}, "
            f"from the checkpoint in {states.path}",
            flush=True,
        )


def _say_blend(outcome: Outcome) -> None:
    """What is served, where it is not simply the result."""
    if not outcome.blended or outcome.share == 1:
        return
    row = outcome.blended[outcome.share]
    print(
        f"train: blended: {outcome.share:.0%} of the result, the rest the parent's weights: val_loss "
        f"{row['val_loss']:.4f}, of the parent alone {outcome.blended[0.0]['val_loss']:.4f}",
        flush=True,
    )


def _stop_reason(outcome: Outcome, task: Task) -> str:
    """Why training stopped, by the setting that a person would change."""
    train, now = task.train, task.train_now
    if task.is_idle:
        return IDLE
    if not outcome.reason.startswith("max_epochs") or now.max_epochs == train.max_epochs:
        return outcome.reason
    if task.description.is_head_only:
        return f"head_epochs: {train.head_epochs}"
    if now.max_epochs == train.warm_epochs:
        return f"warm_epochs: {train.warm_epochs}"
    epochs = f"{now.max_epochs} epoch{'' if now.max_epochs == 1 else 's'}"
    return f"passes_per_new: {train.passes_per_new:g}, {epochs} here"


def _warn(warning: str) -> None:
    print(f"train: warning: {warning}", file=sys.stderr, flush=True)


class Paused(Exception):  # noqa: N818 - not an error
    """Training stopped before its end; the words say what was reached and how to go on."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


def _paused(curves: Curves, paused: PausedError, train: Train, is_audit: bool) -> Paused:
    """End or suspend the run; what to tell people."""
    state, is_budget = paused.state, paused.reason.startswith("budget.")
    _close(curves, "SCHEDULED" if is_budget else "KILLED")
    now = stopping.standing(state.history, train)
    how = f"paused, out of {paused.reason}" if is_budget else f"interrupted by {paused.reason}"
    best = "" if now.best_epoch is None else f"; best {train.monitor} {now.best:.4f}, of epoch {now.best_epoch}"
    epoch = len(state.history)
    where = f"in epoch {epoch} after step {state.step}" if state.step else f"after epoch {epoch - 1}"
    if is_audit:
        where += " of the audit (the training before it is over, and kept)"
    return Paused(
        f"{how}, {where}{best}; the state is saved, run `dvc repro` to go on from it",
        process.EXIT_PAUSED if is_budget else CODES.get(paused.reason, 1),
    )


def _csv(training: Training) -> str:
    """The curves for `dvc plots`: one row per epoch, the best and the last one marked."""
    history, kept = training.history, "chosen" if training.is_chosen else "best"
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["epoch", *CURVES, "mark"])
    for epoch, row in enumerate(history):
        marks = [kept] * (epoch == training.best_epoch) + ["stopped"] * (epoch == len(history) - 1)
        writer.writerow([epoch, *(row.get(name, "") for name in CURVES), " and ".join(marks)])
    return sink.getvalue()
