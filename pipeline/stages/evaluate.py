"""Judge: score challenger and champion in one process on the same holdout images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import Field

from pipeline.artifacts.comparison import COMPARISON, PICTURES, SEEN, ModelComparison
from pipeline.artifacts.evaluation import Answered, ChallengerScores, ChampionScores, Evaluation, Judgement
from pipeline.artifacts.lineage import HISTORY, WEIGHTS
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Pin
from pipeline.artifacts.training import Training
from pipeline.base import files, params
from pipeline.base.errors import GateError, LostError, UnreadableError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.base.words import counted
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.data.delta import Delta, once
from pipeline.data.settings import Holdout
from pipeline.data.store import Store
from pipeline.images import pictures, pixels
from pipeline.images.settings import DecodingLimits
from pipeline.judging import calibration, comparing, history, metrics, parts, reach, selftest, trust, verdict
from pipeline.judging.calibration import Confidence
from pipeline.judging.comparing import InDoubt
from pipeline.judging.gate import Verdict
from pipeline.judging.history import History
from pipeline.judging.metrics import Scores
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, MARKS, Answers, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.verdict import Case
from pipeline.learning import contenders, evidence, sightings, suspicion
from pipeline.learning.contenders import Contender
from pipeline.learning.evidence import Told
from pipeline.learning.settings import Repeatable
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel
from pipeline.showing import drawn

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SHOWN = 5
"""Suspicious labels named on the screen; all are in the report."""

MOST_DOUBTED, MOST_PAIRS = 60, 12
"""Of which pictures are kept."""

DOUBTS = "doubts.csv"
"""How much the label of each new image is doubted."""

PREDICTIONS = "predictions.parquet"
"""See `Predictions.table`."""


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
    (paths.evaluation / "verdict.json").unlink(missing_ok=True)  # an old one must not promote what could not be judged
    images, trained = dataset.read(paths.dataset), Training.read(paths.model / "training.json")
    pins = Champion.read(paths.champion)
    models = _Contenders.load(paths.model, pins, images.labels, settings, paths.scratch)

    logits = _logits(models, images)
    predictions = _predictions(models, logits, images)
    scores = {name: metrics.scores(predictions.labels, theirs) for name, theirs in logits.items()}
    sure = _confidences(predictions, logits, models)
    accepted = files.read_table(paths.accepted / "images.parquet")
    past = _past(pins, predictions, settings, paths.scratch)
    told = _told(models, images, accepted, settings.evaluate)
    case = _case(trained, pins, images.labels, told)
    _refuse_one_model(logits, pins.pin, trained, paths.model / "weights.npz")
    _refuse_broken(predictions, case, settings.evaluate, past)
    judged = verdict.of(predictions, case, settings.evaluate, past)
    score = predictions.score(settings.evaluate.metric)
    advice = _advice(judged, score, trained, models.challenger.description, images, settings)

    judgement = _judgement(judged, [*parts.unseen(predictions), *advice], case)
    evaluation = _evaluation(predictions, scores, models.champion, past)
    ledger = files.read_table(paths.ledger, ["digest", "path", "label"])
    ranked = told.table(accepted) if told else None
    seen = _seen(models, images, accepted, ranked, ledger)
    in_doubt = _in_doubt(told, ranked, seen, images, accepted, settings.evaluate)
    breakdown = parts.of(predictions, settings.evaluate, past) if models.champion else None
    places = dict(ledger.select("digest", "path").iter_rows())
    comparison = comparing.compare(
        predictions, case.champion, breakdown, settings.evaluate, places, in_doubt, verdict.is_by_old(predictions, case)
    )
    shown = _pictures(comparison, settings.validate_, paths.scratch)

    files.sweep(paths.evaluation)
    judgement.write(paths.evaluation / "verdict.json")
    files.write_table(paths.evaluation / PREDICTIONS, predictions.table())
    if past:
        files.write_table(paths.evaluation / "history.parquet", past.table(predictions))
    if ranked is not None:
        files.write(paths.evaluation / DOUBTS, _harmless(ranked).write_csv().encode())
    comparison.write(paths.evaluation / COMPARISON)
    is_new = seen["digest"].is_in(Delta(accepted).labelled["digest"].implode())
    files.write_table(paths.evaluation / SEEN, seen.filter(is_new))
    pictures.write(paths.evaluation / PICTURES, shown)
    for name, picture in drawn.of_cycle(comparison, trained, sure, settings.evaluate.min_probability, shown).items():
        files.write(paths.evaluation / name, picture)
    _calibrated(evaluation, sure, settings.evaluate.min_probability).write(paths.scores)
    files.write(paths.confusion, comparison.confusion_csv().encode())
    files.write_json(paths.metrics, evaluation.published(images.named("holdout")))
    _say(judgement, comparison, paths.evaluation)


class _Contenders(NamedTuple):
    """The models that are judged, each scored on the same images."""

    challenger: Contender
    champion: Contender | None
    anchor: Contender | None
    """The champion itself, where that is the best so far."""

    @classmethod
    def load(cls, model: Path, pins: Champion, labels: Sequence[str], settings: Settings, scratch: Path) -> Self:
        """Bring them here.

        Args:
            model: folder of the challenger.
            pins: champion and anchor.
            labels: of today.
            settings: of the stage.
            scratch: keeps downloads.
        """
        registry = Registry(settings.resolve)

        def loaded(description: Description, weights: Path) -> Contender:
            return contenders.load(description, weights, labels, settings.train, settings.evaluate.batch_size)

        def pinned(pin: Pin) -> Contender:
            weights = registry.download(pin.run_id, WEIGHTS, pin.lineage.files[WEIGHTS], scratch / "objects")
            return loaded(pin.lineage.model, weights)

        champion = pinned(pins.pin) if pins.pin else None
        anchor = pinned(pins.anchor) if pins.anchor else champion
        return cls(loaded(Description.read(model / "model.json"), model / "weights.npz"), champion, anchor)

    def by_name(self) -> dict[str, Contender]:
        """Those that there are."""
        named = zip((CHALLENGER, CHAMPION, ANCHOR), self, strict=True)
        return {name: contender for name, contender in named if contender}


def _logits(models: _Contenders, images: Dataset) -> "dict[str, np.ndarray]":
    """What each model says to the holdout images, float32 (images, labels), by name; each model is asked once."""
    said: dict[int, np.ndarray] = {}
    for one in models.by_name().values():
        if id(one) not in said:
            said[id(one)] = one.logits(images.part("holdout", one.description.inputs).inputs)
    return {name: said[id(one)] for name, one in models.by_name().items()}


def _predictions(models: _Contenders, logits: "Mapping[str, np.ndarray]", images: Dataset) -> Predictions:
    import numpy as np

    holdout = images.part("holdout")
    marks = {mark: getattr(holdout, mark) for mark in MARKS}
    if models.champion is None:
        marks = {mark: np.ones(len(holdout), bool) for mark in MARKS}
    return Predictions(
        names=images.labels,
        digests=holdout.digests,
        labels=holdout.labels,
        slices=images.slices(),
        answers={
            name: Answers.of(logits[name] / one.description.temperature, holdout.labels, one.known)
            for name, one in models.by_name().items()
        },
        **marks,
    )


def _past(pins: Champion, predictions: Predictions, settings: Settings, scratch: Path) -> History | None:
    """How the champions until now did on the holdout images; None without one."""
    if pins.pin is None:
        return None
    called = dict(zip(pins.pin.called, pins.pin.lineage.model.labels, strict=True))
    return History.of(_brought(pins.pin, Registry(settings.resolve), scratch), predictions, pins.pin.version, called)


def _brought(pin: Pin, registry: Registry, scratch: Path) -> "pl.DataFrame | None":
    """The history that a version left; None if it left none, or that is lost: the verdict is about today."""
    if HISTORY not in pin.lineage.files:
        return None
    try:
        table = files.read_table(
            registry.download(pin.run_id, HISTORY, pin.lineage.files[HISTORY], scratch / "objects")
        )
        fault = history.fault(table)
    except (LostError, UnreadableError) as error:
        fault = error.what
    if not fault:
        return table
    print(f"evaluate: warning: the history of v{pin.version} is lost ({fault}); what was forgotten is told from now on")
    return None


def _told(models: _Contenders, images: Dataset, accepted: "pl.DataFrame", evaluate: Evaluate) -> Told | None:
    """What can be believed of the labels that are new to the champion; None without one."""
    if models.champion is None:
        return None
    contrasts = dict(accepted.select("digest", "contrast").iter_rows())
    gathered, digests, names = evidence.gather(images, models.champion, models.challenger, contrasts, evaluate.believed)
    max_wrong = 1 if evaluate.max_wrong is None else evaluate.max_wrong
    return Told(trust.assess(gathered, max_wrong), gathered, digests, names)


def _case(trained: Training, pins: Champion, labels: Sequence[str], told: Told | None) -> Case:
    pin, best = pins.pin, pins.best
    if pin is None or best is None:
        return Case(champion=None, anchor=None, judged=pins.judged)
    return Case(
        champion=pin.version,
        anchor=best.version,
        judged=pins.judged,
        outdated=tuple(label for label in pin.called if label not in labels),
        is_champion=pin.lineage.run_key == trained.run_key,
        is_trusted=told is None or told.trust.is_trusted,
        is_doubtful=told is not None and told.trust.is_doubtful,
        doubts=told.reasons if told else (),
    )


def _refuse_one_model(logits: "Mapping[str, np.ndarray]", pin: Pin | None, trained: Training, weights: Path) -> None:
    """Refuse a challenger that is judged against itself: two networks never give the same to the last bit."""
    import numpy as np

    # A cycle that learned nothing keeps the parent's weights, which may be the champion's.
    if pin is None or not trained.share or not trained.best_epoch:
        return
    is_same = files.sha256_file(weights) == pin.lineage.files[WEIGHTS]
    if not is_same and np.array_equal(logits[CHALLENGER], logits[CHAMPION]):
        raise GateError(
            f"the gate is broken: challenger and champion, v{pin.version}, have other weights and say the same to the "
            "last bit, so one was held against itself; nothing was judged and nothing will be promoted; undo the last "
            "change of pipeline/learning, or report this"
        )


def _refuse_broken(predictions: Predictions, case: Case, evaluate: Evaluate, past: History | None) -> None:
    """Refuse to judge with a gate that does not give the verdicts that it must."""
    if case.champion is None or case.is_champion:
        return

    def judge(standing_in: Predictions) -> Verdict:
        return verdict.of(standing_in, case, evaluate, past)

    # Stand-ins are of no training that could have learned wrong labels.
    case = replace(case, is_trusted=True, is_doubtful=False)
    for fault in selftest.faults(predictions, judge, evaluate, bool(case.outdated)):
        raise GateError(
            f"the gate is broken: {fault}; nothing was judged and nothing will be promoted; undo the last change of "
            "pipeline/judging or of section evaluate in params.yaml, or report this"
        )


def _advice(
    judged: Verdict, score: float, trained: Training, made: Description, images: Dataset, settings: Settings
) -> list[str]:
    """What would help a challenger that is not promoted."""
    if judged.decision in ("promote", "unchanged"):
        return []
    advice, prepare = [], settings.prepare
    if judged.more:
        total = images.contents.counts["holdout"]
        advice.append(reach.more_images(judged.more, total, prepare.holdout_fraction, prepare.max_holdout))
    if nothing := reach.nothing_learned(trained):
        advice.append(nothing)
    if judged.difference is None:
        advice.append(reach.for_a_first(trained, score, made, images.contents.counts["train"]))
    return advice


def _judgement(judged: Verdict, advice: Sequence[str], case: Case) -> Judgement:
    return Judgement(
        decision=judged.decision,
        reasons=(*judged.reasons, *advice),
        difference=judged.difference,
        lower=judged.lower,
        champion=case.champion,
        anchor=case.anchor,
        judged=case.judged,
        outdated=case.outdated,
        is_trusted=case.is_trusted,
        is_doubtful=case.is_doubtful,
        doubts=case.doubts,
        promise=judged.promise,
        is_best=judged.is_best,
    )


def _seen(
    models: _Contenders,
    images: Dataset,
    accepted: "pl.DataFrame",
    ranked: "pl.DataFrame | None",
    ledger: "pl.DataFrame",
) -> "pl.DataFrame":
    """New images and near-duplicates, with what both models say to those that people are shown; see `sightings.of`."""
    import polars as pl

    twins, new = images.conflicts(), once(Delta(accepted).labelled)
    pairs = {*twins["one"], *twins["other"]}
    asked = {*pictures.sample(new)["digest"], *pairs}
    if ranked is not None:
        asked.update(ranked["digest"].head(suspicion.MAX_DOUBTED))
    listed = ledger.filter(pl.col("digest").is_in([*new["digest"], *pairs]))
    return sightings.of(images, models.by_name(), listed, asked)


def _in_doubt(
    told: Told | None,
    ranked: "pl.DataFrame | None",
    seen: "pl.DataFrame",
    images: Dataset,
    accepted: "pl.DataFrame",
    evaluate: Evaluate,
) -> InDoubt:
    new = set(Delta(accepted).labelled["digest"])
    return suspicion.in_doubt(told, ranked, sightings.by_digest(seen), images.conflicts(), new, evaluate.suspicious)


def _harmless(table: "pl.DataFrame") -> "pl.DataFrame":
    """A table whose texts no spreadsheet takes for a formula (OWASP, CSV injection)."""
    import polars as pl

    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    return table.with_columns(pl.col(name).str.replace(r"^([=+\-@\t\r])", "'$1") for name in texts)


def _pictures(comparison: ModelComparison, limits: DecodingLimits, scratch: Path) -> "dict[str, np.ndarray]":
    """Pictures of the images that stand out, by digest."""
    import polars as pl

    images = [*comparison.lost, *comparison.won, *(one.seen for one in comparison.doubted[:MOST_DOUBTED])]
    images += [one for pair in comparison.pairs[:MOST_PAIRS] for one in (pair.one, pair.other)]
    rows = pl.DataFrame({"digest": [one.digest for one in images], "path": [one.path for one in images]})
    rows = rows.cast(pl.String).filter(pl.col("path") != "").unique("digest", keep="first", maintain_order=True)
    return pictures.of(Store(Path()), rows, pixels.limits(limits), scratch, "evaluate: pictures")


def _evaluation(
    predictions: Predictions, scores: Mapping[str, Scores], champion: Contender | None, past: History | None
) -> Evaluation:
    ours, labels = scores[CHALLENGER], predictions.names
    counts = predictions.counts(CHAMPION) if champion else None
    recall = {label: value for label, value in zip(labels, ours.recall, strict=True) if value == value}
    return Evaluation(
        holdout_images=len(predictions.labels),
        challenger=ChallengerScores(
            accuracy=ours.accuracy, balanced_accuracy=ours.balanced_accuracy, loss=ours.loss, recall=recall
        ),
        champion=_champion_scores(scores[CHAMPION], champion, labels) if champion else ChampionScores(),
        negative_flips=counts.champion_only / counts.total if counts else None,
        backward_transfer=history.backward_transfer(past, predictions) if past else None,
        forgetting=history.forgetting(past, predictions) if past else None,
    )


def _champion_scores(theirs: Scores, champion: Contender, labels: Sequence[str]) -> ChampionScores:
    if not champion.known.any():  # the first label is always its answer, and sometimes right by chance
        return ChampionScores(accuracy=0.0, balanced_accuracy=0.0)
    loss = theirs.loss if all(map(champion.knows, labels)) else None
    return ChampionScores(accuracy=theirs.accuracy, balanced_accuracy=theirs.balanced_accuracy, loss=loss)


def _confidences(
    predictions: Predictions, logits: "Mapping[str, np.ndarray]", models: _Contenders
) -> dict[str, Confidence]:
    """How sure each model is on the holdout images, each with the temperature that it is served with, by its name."""
    return {
        who: Confidence.of(predictions.labels, logits[who], one.description.temperature)
        for who, one in models.by_name().items()
        if who != ANCHOR and one.known.any()
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


def _say(judgement: Judgement, comparison: ModelComparison, folder: Path) -> None:
    against = f"against v{judgement.champion}" if judgement.champion else "without a champion"
    print(f"evaluate: {judgement.decision} {against}: {'; '.join(judgement.reasons)}")
    suspicious = [one for one in comparison.doubted if one.is_suspicious]
    for doubted in suspicious[:SHOWN]:
        other = f"{doubted.otherwise}, say models that did not learn it"
        print(f"evaluate: warning: {doubted.seen.path!r} is labelled {doubted.seen.label}; {other}")
    if (more := comparison.num_suspicious - len(suspicious[:SHOWN])) > 0:
        print(f"evaluate: warning: and {counted(more, 'more new image')}; see {folder}/{DOUBTS}")
