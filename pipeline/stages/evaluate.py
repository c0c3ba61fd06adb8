"""Judge: score challenger and champion in one process on the same holdout images."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.artifacts import artifact
from pipeline.artifacts.evaluation import Answered, ChallengerScores, ChampionScores, Doubt, Evaluation, Judgement
from pipeline.artifacts.lineage import WEIGHTS
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Pin
from pipeline.artifacts.training import Training
from pipeline.base import files, params
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.data.delta import once
from pipeline.data.settings import Holdout
from pipeline.data.splits import SPLITS
from pipeline.data.store import Store
from pipeline.images import pixels
from pipeline.images.settings import DecodingLimits
from pipeline.judging import calibration, gate, metrics, reach
from pipeline.judging.calibration import Confidence
from pipeline.judging.gate import Hits, Verdict
from pipeline.judging.metrics import Scores
from pipeline.judging.paired import Counts
from pipeline.judging.settings import Evaluate
from pipeline.learning import cut, engine, head, model
from pipeline.learning.settings import Repeatable
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel
from pipeline.showing import plots, sheet

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

AT_ONCE = 1024
"""New images whose pixels are in memory at the same time."""

SHOWN = 5
"""Suspicious labels named on the screen; all are in the report."""

TILES = 60
"""Suspicious labels on the sheet."""

UNKNOWN = -1e9
"""Logit of a label that a model has no output for."""


Answer = Callable[["np.ndarray"], "np.ndarray"]
"""Gives logits, float32 (images, labels of the model), for what a model sees of images."""


class Settings(Excerpt):
    """What evaluate reads of params.yaml."""

    resolve: RegisteredModel
    validate_: DecodingLimits = Field(alias="validate")  # BaseModel has a method of that name
    prepare: Holdout
    evaluate: Evaluate
    train: Repeatable


def run(paths: Paths) -> None:
    """Write the verdict, with the numbers and pictures that explain it."""
    settings = params.load(paths.params, Settings)
    images, trained = dataset.read(paths.dataset), Training.read(paths.model / "training.json")
    pin = Champion.read(paths.champion).pin
    challenger = _challenger(paths.model, images, settings)
    champion = _champion(pin, images, settings, paths.scratch) if pin else None

    answers = _Answers.of(images, challenger, champion)
    ours = metrics.scores(answers.labels, answers.challenger)
    sure = _confidences(answers, challenger, champion)
    verdict = _verdict(answers, trained, pin, images.labels, settings.evaluate)
    advice = _advice(verdict, answers, ours, trained, challenger.description, images, settings)
    doubts = _doubts(champion, images, settings.evaluate.suspicious) if champion else []
    doubted = _named(doubts, files.read_table(paths.accepted / "images.parquet", ["digest", "path"]))

    reasons = {"reasons": (*verdict.reasons, *advice)}
    judgement = Judgement(**vars(verdict) | reasons, champion=pin.version if pin else None)
    files.sweep(paths.evaluation)
    judgement.write(paths.evaluation / "verdict.json")
    picture = plots.curves(trained.history, trained.best_epoch, trained.stop_reason, trained.is_chosen)
    files.write(paths.evaluation / "curves.png", picture)
    files.write(paths.evaluation / "confusion.png", plots.confusion(ours.confusion, images.labels))
    picture = plots.reliability(sure, settings.evaluate.min_probability)
    files.write(paths.evaluation / "reliability.png", picture)
    files.write(paths.confusion, _csv(answers, images.labels).encode())
    evaluation = _evaluation(answers, ours, champion, images.labels)
    _calibrated(evaluation, sure, settings.evaluate.min_probability).write(paths.scores)
    artifact.write_list(paths.evaluation / "suspicious.json", [doubt for doubt, _ in doubted])
    if doubted:
        files.write(paths.evaluation / "suspicious.png", sheet.draw([_panel(doubted, settings, paths.scratch)]))
    _say(judgement, [doubt for doubt, _ in doubted], paths.evaluation)


class _Model:
    """A model with its outputs at the places of today's label map."""

    def __init__(self, description: Description, answer: Answer, labels: Sequence[str]) -> None:
        self.description = description
        self._answer, self._labels = answer, labels

    def knows(self, label: str) -> bool:
        """Whether it has an output for a label."""
        return label in self.description.labels

    def logits(self, inputs: "np.ndarray") -> "np.ndarray":
        """float32 (images, labels of today); UNKNOWN for a label that it does not know.

        Args:
            inputs: what it sees of the images, see `dataset.Part`.
        """
        import numpy as np

        placed = np.full((len(inputs), len(self._labels)), UNKNOWN, np.float32)
        if len(inputs):
            own = self._answer(inputs)
            for position, label in enumerate(self.description.labels):
                if label in self._labels:
                    placed[:, self._labels.index(label)] = own[:, position]
        return placed

    def on_holdout(self, images: Dataset) -> "np.ndarray":
        """Of the holdout images, as it sees them."""
        return self.logits(images.part("holdout", self.description.inputs).inputs)


def _challenger(folder: Path, images: Dataset, settings: Settings) -> _Model:
    return _loaded(Description.read(folder / "model.json"), folder / "weights.npz", images, settings)


def _champion(pin: Pin, images: Dataset, settings: Settings, scratch: Path) -> _Model:
    registry = Registry(settings.resolve)
    weights = registry.download(pin.run_id, WEIGHTS, pin.lineage.files[WEIGHTS], scratch / "objects")
    return _loaded(pin.lineage.model, weights, images, settings)


def _loaded(description: Description, weights: Path, images: Dataset, settings: Settings) -> _Model:
    return _Model(description, _answer(description, weights, settings), images.labels)


def _answer(description: Description, weights: Path, settings: Settings) -> Answer:
    """What gives a model's logits for what it sees."""
    if description.is_head_only:
        return partial(head.logits, head.of(files.read_arrays(weights)))
    print("evaluate: loading TensorFlow", flush=True)
    engine.make_repeatable(settings.train.seed, settings.train.threads)
    network = model.load(description, weights, str(weights))
    if description.frozen:
        network = cut.split(network, description.frozen.cut).tuned
    return lambda inputs: model.logits(network, inputs, settings.evaluate.batch_size)


@dataclass(frozen=True)
class _Answers:
    """What both models say to the holdout images."""

    labels: "np.ndarray"
    """int64 (images,): the true ones."""
    is_new: "np.ndarray"
    """bool (images,): which are new to the champion; see `dataset.Part`."""
    is_familiar: "np.ndarray"
    """bool (images,): whose labels the champion knows."""
    challenger: "np.ndarray"
    """float32 (images, labels): logits."""
    champion: "np.ndarray | None"
    """The same, if there is a champion."""

    @classmethod
    def of(cls, images: Dataset, challenger: _Model, champion: _Model | None) -> "_Answers":
        """Ask both."""
        import numpy as np

        holdout = images.part("holdout")
        is_familiar = np.array([champion is None or champion.knows(label) for label in images.labels])
        return cls(
            labels=holdout.labels,
            is_new=np.ones(len(holdout), bool) if holdout.is_new is None else holdout.is_new,
            is_familiar=is_familiar[holdout.labels],
            challenger=challenger.on_holdout(images),
            champion=champion.on_holdout(images) if champion else None,
        )

    def counts(self, rows: "np.ndarray | slice" = slice(None)) -> Counts | None:
        """How both did on some of the images; None without a champion."""
        if self.champion is None:
            return None
        old, new = (logits[rows].argmax(axis=1) for logits in (self.champion, self.challenger))
        return metrics.paired(self.labels[rows], old, new)

    def hits_on_new(self) -> Hits:
        """How the challenger did on the new images."""
        right = (self.challenger.argmax(axis=1) == self.labels)[self.is_new]
        return Hits(int(right.sum()), len(right))


def _verdict(
    answers: _Answers, trained: Training, pin: Pin | None, labels: Sequence[str], evaluate: Evaluate
) -> Verdict:
    counts = answers.counts()
    if pin is None or counts is None:
        accuracy = float((answers.challenger.argmax(axis=1) == answers.labels).mean())
        return gate.decide_first(accuracy, len(labels), evaluate)
    if pin.lineage.run_key == trained.run_key:
        return gate.unchanged(pin.version)
    familiar = None if set(labels) <= set(pin.lineage.model.labels) else answers.counts(answers.is_familiar)
    outdated = [label for label in pin.called if label not in labels]
    return gate.decide(counts, evaluate, answers.hits_on_new(), familiar, outdated)


def _advice(
    verdict: Verdict,
    answers: _Answers,
    ours: Scores,
    trained: Training,
    made: Description,
    images: Dataset,
    settings: Settings,
) -> list[str]:
    """What would help a challenger that is not promoted."""
    if verdict.decision in ("promote", "unchanged"):
        return []
    advice, counts = [], answers.counts()
    if verdict.decision == "not enough evidence" and counts:
        more = gate.more_needed(counts, settings.evaluate)
        advice.append(
            reach.more_images(more, counts.total, settings.prepare.holdout_fraction, settings.prepare.max_holdout)
        )
    if nothing := reach.nothing_learned(trained):
        advice.append(nothing)
    if counts is None:
        num_trained = images.contents.counts["train"]
        advice.append(reach.for_a_first(trained, ours.accuracy, made, num_trained))
    return advice


@dataclass(frozen=True)
class _Suspect:
    """A new image that the champion confidently gives another label."""

    digest: str
    label: str
    predicted: str
    probability: float


def _doubts(champion: _Model, images: Dataset, suspicious: float) -> list[_Suspect]:
    """New images of whose label the champion doubts. None if the dataset does not have what it sees of them.

    Args:
        champion: its opinion counts.
        images: the dataset.
        suspicious: probability, 0 to 1, of another label from which it doubts.
    """
    import numpy as np

    suspects = []
    for split in SPLITS:
        if not images.shows(split, champion.description.inputs):
            continue
        part = images.part(split, champion.description.inputs)
        new = np.arange(0) if part.is_new is None else np.flatnonzero(part.is_new)
        for start in range(0, len(new), AT_ONCE):
            rows = new[start : start + AT_ONCE]
            odds = metrics.probabilities(champion.logits(part.inputs[rows]), champion.description.temperature)
            for row, odd in zip(rows, odds, strict=True):
                label, other = images.labels[part.labels[row]], images.labels[int(odd.argmax())]
                # Of a label that it does not know the champion can have no opinion.
                if other != label and champion.knows(label) and odd.max() >= suspicious:
                    suspects.append(_Suspect(part.digests[row], label, other, float(odd.max())))
    return suspects


def _named(suspects: Sequence[_Suspect], accepted: "pl.DataFrame") -> list[tuple[Doubt, str]]:
    """The doubts with their images' paths and digests, the most confident first.

    Args:
        suspects: the images.
        accepted: columns digest, path.
    """
    places = dict(once(accepted).select("digest", "path").iter_rows())
    named = [
        (
            Doubt(
                path=places.get(one.digest, one.digest),
                label=one.label,
                predicted=one.predicted,
                probability=one.probability,
            ),
            one.digest,
        )
        for one in suspects
    ]
    return sorted(named, key=lambda pair: (-pair[0].probability, pair[0].path))


def _panel(doubted: Sequence[tuple[Doubt, str]], settings: Settings, scratch: Path) -> sheet.Panel:
    """The most doubtful as thumbnails."""
    import polars as pl

    shown = doubted[:TILES]
    rows = pl.DataFrame({"digest": [digest for _, digest in shown], "path": [doubt.path for doubt, _ in shown]})
    limits = pixels.limits(settings.validate_)
    pictures = pixels.pictures(Store(Path()), rows, limits, scratch, "evaluate: suspicious labels")
    tiles = tuple(
        sheet.Tile(
            picture,
            f"{doubt.predicted}? (labelled {doubt.label}, {doubt.probability:.2f}) {Path(doubt.path).name}",
            "warning",
        )
        for (doubt, _), picture in zip(shown, pictures, strict=True)
    )
    return sheet.Panel("suspicious labels", "the champion doubts them", tiles, len(doubted) - len(tiles))


def _evaluation(answers: _Answers, ours: Scores, champion: _Model | None, labels: Sequence[str]) -> Evaluation:
    counts = answers.counts()
    recall = {label: value for label, value in zip(labels, ours.recall, strict=True) if value == value}
    return Evaluation(
        holdout_images=len(answers.labels),
        challenger=ChallengerScores(accuracy=ours.accuracy, loss=ours.loss, recall=recall),
        champion=_champion_scores(answers, champion, labels),
        negative_flips=counts.champion_only / counts.total if counts else None,
    )


def _champion_scores(answers: _Answers, champion: _Model | None, labels: Sequence[str]) -> ChampionScores:
    if answers.champion is None or champion is None:
        return ChampionScores()
    theirs = metrics.scores(answers.labels, answers.champion)
    if all(map(champion.knows, labels)):
        return ChampionScores(accuracy=theirs.accuracy, loss=theirs.loss)
    return ChampionScores(accuracy=theirs.accuracy)


def _confidences(answers: _Answers, challenger: _Model, champion: _Model | None) -> dict[str, Confidence]:
    """How sure each model is on the holdout images, each with the temperature that it is served with, by its name."""
    asked = {"challenger": (challenger, answers.challenger), "champion": (champion, answers.champion)}
    return {
        who: Confidence.of(answers.labels, logits, asked_one.description.temperature)
        for who, (asked_one, logits) in asked.items()
        if asked_one is not None and logits is not None
    }


def _calibrated(evaluation: Evaluation, sure: Mapping[str, Confidence], min_probability: float) -> Evaluation:
    """The scores with those of calibration, for each model that has them."""

    def scores(confidence: Confidence) -> dict[str, float | Answered]:
        found: dict[str, float | Answered] = {"calibration_error": calibration.error(confidence)}
        if min_probability:
            left = calibration.coverage(confidence, min_probability)
            found["answered"] = Answered(coverage=left.coverage, accuracy=left.accuracy if left.coverage else None)
        return found

    changes = {who: getattr(evaluation, who).model_copy(update=scores(one)) for who, one in sure.items()}
    return evaluation.model_copy(update=changes)


def _csv(answers: _Answers, labels: Sequence[str]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["actual", "predicted"])
    predicted = answers.challenger.argmax(axis=1)
    writer.writerows([labels[actual], labels[other]] for actual, other in zip(answers.labels, predicted, strict=True))
    return sink.getvalue()


def _say(judgement: Judgement, doubts: Sequence[Doubt], folder: Path) -> None:
    against = f"against v{judgement.champion}" if judgement.champion else "without a champion"
    print(f"evaluate: {judgement.decision} {against}: {'; '.join(judgement.reasons)}")
    for doubt in doubts[:SHOWN]:
        print(f"evaluate: warning: {doubt.path!r} is labelled {doubt.label}; {doubt.predicted}, says the champion")
    if len(doubts) > SHOWN:
        print(f"evaluate: warning: and {len(doubts) - SHOWN} more new images; see {folder}/suspicious.png")
