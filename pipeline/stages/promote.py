"""Register the challenger and, if the verdict says so, move the alias. Runs each time; does it once."""

from functools import partial
from importlib import metadata
from pathlib import Path

from pipeline.artifacts import artifact
from pipeline.artifacts.changes import Changes
from pipeline.artifacts.comparison import COMPARISON, ModelComparison
from pipeline.artifacts.content import CONTENT, MOMENTS, SHEET, UNUSUAL, Content, Unusual
from pipeline.artifacts.evaluation import Doubt, Evaluation, Judgement
from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.lineage import FEATURES, LEDGER, STATISTICS, VERDICT, WEIGHTS, Lineage
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Parent
from pipeline.artifacts.promotion import Promotion
from pipeline.artifacts.reference import Statistics
from pipeline.artifacts.report import Report
from pipeline.artifacts.snapshot import Registered, Snapshot
from pipeline.artifacts.sources import Sources
from pipeline.artifacts.training import Training
from pipeline.base import files, git, params, process
from pipeline.base.paths import Paths
from pipeline.data import ledger
from pipeline.data.splits import SPLITS
from pipeline.data.store import Store
from pipeline.features import shards
from pipeline.judging.settings import MIN_PROBABILITY
from pipeline.registry import curves, logged, outbox, packaging, pages, promotion, proof
from pipeline.registry.client import Registry
from pipeline.registry.metrics import Dataset
from pipeline.registry.promotion import Package
from pipeline.registry.run import Run
from pipeline.registry.version import Version
from pipeline.settings import Params
from pipeline.showing.card import Review, card, with_outcome

SERVING = ("tensorflow", "keras", "pillow", "numpy", "pandas", "polars", "pydantic", "pyyaml", "mlflow")
"""What `pipeline.serving` imports, pinned in the registered model at today's versions."""


def run(paths: Paths) -> None:
    """Bring the registry to what the verdict says, unless it is there already."""
    settings = params.load(paths.params, Params)
    review = _review(paths)
    training, judgement = review.training, review.judgement
    snapshot = Snapshot.read(paths.snapshot)
    verdict_digest = _digest(judgement, settings.promote.automatic)
    registered = snapshot.registered.get(training.run_key)

    weights = files.sha256_file(paths.model / "weights.npz")
    if registered and (said := _nothing_to_do(registered, judgement, verdict_digest, weights)):
        done = Promotion(
            decision=judgement.decision,
            run_key=training.run_key,
            said=said + _kept_threshold(registered.version, registered.min_probability, settings),
            version=registered.version,
            promoted=registered.promoted,
        )
    else:
        if said := shards.push(Store(Path()), FeatureIndex.read(paths.features / "index.parquet")):
            print(f"promote: {said}", flush=True)
        package = _package(paths, settings, review, snapshot.recipe)
        review = Review(**vars(review) | {"lineage": package.lineage})
        process.outlive_dvc()
        done = _promote(settings, package, review, paths.scratch)
        outbox.deliver(Registry(settings.resolve), settings.promote.notify, "promote")

    done.write(paths.promotion)
    files.write(paths.report, card(review, done.said).encode())
    print(f"promote: {done.said}")


def _review(paths: Paths) -> Review:
    """What the stages before said."""
    content, unusual = paths.features / CONTENT, paths.features / UNUSUAL
    return Review(
        training=Training.read(paths.model / "training.json"),
        evaluation=Evaluation.read(paths.scores),
        judgement=Judgement.read(paths.evaluation / "verdict.json"),
        changes=Changes.read(paths.delta / "summary.json"),
        report=Report.read(paths.validation / "report.json"),
        doubts=artifact.read_list(paths.evaluation / "suspicious.json", Doubt),
        content=Content.read(content) if content.is_file() else None,
        unusual=artifact.read_list(unusual, Unusual) if unusual.is_file() else (),
    )


def _digest(judgement: Judgement, is_automatic: bool) -> str:
    """Of a verdict and of who carries it out."""
    return files.sha256_json([judgement.to_json(), is_automatic])


def _nothing_to_do(registered: Registered, judgement: Judgement, verdict_digest: str, weights: str) -> str | None:
    """Why the registry is as it should be; None if it is not."""
    number = registered.version
    if number == judgement.champion:
        return f"nothing to do: this is v{number} itself, the version to beat"
    if registered.verdict_digest == verdict_digest:
        return f"nothing to do: v{number} is registered with this verdict{_more(registered)}"
    if registered.weights not in ("", weights) and registered.verdict_digest:
        return f"nothing to do: another workspace registered v{number} of this cycle first{_more(registered)}"
    return None


def _more(registered: Registered) -> str:
    return f"; {registered.standing}" if registered.standing else ""


def _kept_threshold(version: int, kept: float, settings: Params) -> str:
    """Says that a version keeps the threshold that it was registered with, where another one is wanted by now."""
    wanted = settings.evaluate.min_probability
    if kept == wanted:
        return ""
    return (
        f"; v{version} keeps evaluate.{MIN_PROBABILITY}: {kept:g}, as it was registered; {wanted:g} goes with the next "
        "version, and until then a request can give it as a parameter"
    )


def _package(paths: Paths, settings: Params, review: Review, recipe: str) -> Package:
    """What is to be registered. Uploaded in this order."""
    uploads = {
        **{f"model/{path.name}": path for path in sorted(paths.model.iterdir())},
        LEDGER: paths.ledger,
        FEATURES: paths.features / "index.parquet",
        "data/images.parquet": paths.delta / "images.parquet",
        **{f"data/{path.name}": path for path in sorted(paths.validation.iterdir())},
        **{f"plots/{path.name}": path for path in sorted(paths.evaluation.glob("*.png"))},
        "data/suspicious.json": paths.evaluation / "suspicious.json",
        **{f"data/{path.name}": path for path in sorted(paths.evaluation.glob("*.parquet"))},
        **{f"data/{path.name}": path for path in sorted(paths.evaluation.glob("*.csv"))},
        VERDICT: paths.evaluation / "verdict.json",
        **{name: path for name, path in _of_content(paths).items() if path.is_file()},
    }
    return Package(
        lineage=_lineage(paths, settings, review, recipe, uploads),
        uploads=uploads,
        model=paths.model,
        requirements=_requirements(settings.train.architecture),
        params={MIN_PROBABILITY: settings.evaluate.min_probability},
        epoch=review.training.best_epoch,
    )


def _requirements(architecture: str) -> list[str]:
    """pip requirements of serving: today's versions."""
    own = [name for name in packaging.libraries(architecture) if name.lower() not in SERVING]
    return [f"{name}=={metadata.version(name)}" for name in (*SERVING, *own)]


def _of_content(paths: Paths) -> dict[str, Path]:
    """What was found in the features of new images, by run artifact: nothing where they were not looked at."""
    return {
        STATISTICS: paths.features / MOMENTS,
        "data/content.json": paths.features / CONTENT,
        "data/unusual.json": paths.features / UNUSUAL,
        "plots/unusual.png": paths.features / SHEET,
    }


def _lineage(paths: Paths, settings: Params, review: Review, recipe: str, uploads: dict[str, Path]) -> Lineage:
    """What the version was made from: enough to make it again, and to start from it."""
    images = ledger.present(files.read_table(paths.ledger, ["label", "removed", "torn"]))
    aside = files.read_table(paths.accepted / "quarantine.parquet", ["digest", "label", "path"])
    sources, parent = Sources.read(paths.sources), Parent.read(paths.parent)
    training = review.training
    return Lineage(
        run_key=training.run_key,
        recipe=recipe,
        sources=sources.sources,
        sources_digest=sources.digest,
        dataset_digest=training.dataset_digest,
        parent=parent.version,
        elder=parent.elder.version if parent.elder else None,
        is_warm=training.is_warm,
        ladder=training.ladder,
        champion=review.judgement.champion,
        anchor=review.judgement.anchor,
        judged=Champion.read(paths.champion).judged,
        model=Description.read(paths.model / "model.json"),
        optimizer=training.optimizer,
        label_counts=dict(images.group_by("label").len().sort("label").iter_rows()),
        quarantine=tuple(aside.iter_rows()),
        reference=Statistics.read(paths.accepted / "reference.json"),
        params=settings.model_dump(mode="json", by_alias=True),
        commit=git.commit(),
        files={name: files.sha256_file(path) for name, path in uploads.items()},
    )


def _promote(settings: Params, package: Package, review: Review, scratch: Path) -> Promotion:
    """Upload and register, once for each run key; then carry out the verdict, and say so beside the version."""
    lineage, registry = package.lineage, Registry(settings.resolve)
    version = registry.of_key(lineage.run_key)
    mlflow_run = registry.runs.begin(lineage.run_key, f"cycle {lineage.dataset_digest[:8]}", scratch)
    curves.catch_up(lambda run_id: Run(registry.connection, run_id), scratch / "curves")
    if version is None:
        _log_inputs(mlflow_run, review, lineage)
        digest = promotion.upload(mlflow_run, package, scratch)
        undecided = card(review, "not decided yet")
        log = partial(_log, mlflow_run, review, lineage)
        version = promotion.register(registry, mlflow_run, package, digest, undecided, scratch, log)
        is_theirs = version.run_id != mlflow_run.run_id
    else:
        is_theirs = version.weights not in ("", lineage.files[WEIGHTS])
    if is_theirs:
        print(f"promote: another workspace registered v{version.number} of this cycle first; its verdict counts")
        judgement = promotion.judgement(registry, version, scratch)
    else:
        judgement = review.judgement
        if promotion.is_other_verdict(registry, version, lineage, scratch):
            _log(mlflow_run, review, lineage, registry.runs.model_of(version))
            promotion.judge_again(registry, mlflow_run, package, version, scratch)
    return _carried_out(settings, registry, version, judgement, None if is_theirs else review, scratch)


def _carried_out(
    settings: Params,
    registry: Registry,
    version: Version,
    judgement: Judgement,
    review: Review | None,
    scratch: Path,
) -> Promotion:
    """Carry out a verdict on a version.

    Args:
        settings: say who decides.
        registry: has the version.
        version: was judged.
        judgement: on it.
        review: what the card tells; None if another workspace wrote it.
        scratch: for the card.
    """
    digest = _digest(judgement, settings.promote.automatic)
    was_waiting = version.verdict == "promote" and version.verdict_digest == _digest(judgement, is_automatic=False)
    automatic = settings.promote.automatic and not was_waiting

    def prove() -> None:
        objects = scratch / "objects"
        if proof.kept(registry, version, objects) is None:
            lineage = registry.lineage(version, objects)
            proof.keep(registry, version, proof.of_version(registry, version, lineage, objects, Store(Path())))

    done = promotion.carry_out(registry, version, judgement, digest, automatic, prove)
    promotion.move_anchor(registry, version, done.story.champion, judgement)
    is_promoted = version.number in done.story.champions
    said = done.said + _kept_threshold(version.number, version.min_probability, settings)
    shown = card(review, said) if review else with_outcome(registry.description(version.number), said)
    mlflow_run = registry.runs.of(version)
    files.write(scratch / "card.md", shown.encode())
    mlflow_run.upload(scratch / "card.md", "card.md")
    if review:
        name = logged.title(version.number, judgement.decision, review.evaluation.challenger.accuracy)
        pages.finish(registry, version, name)
    mlflow_run.end()
    registry.drop_seconds(version)
    registry.runs.tidy(version)
    tags = {
        "verdict": judgement.decision,
        "promoted": str(is_promoted).lower(),
        "standing": done.story.standing(version.number),
        "is_best": str(judgement.is_best).lower(),
        "verdict_digest": digest,
    }
    registry.annotate(version.number, tags, shown)
    promotion.record(registry, done.story, with_outcome)
    return Promotion(
        decision=judgement.decision,
        run_key=version.run_key,
        said=said,
        version=version.number,
        promoted=is_promoted,
    )


def _log(mlflow_run: Run, review: Review, lineage: Lineage, model_id: str | None = None) -> None:
    """The run as reviewers find it in the MLflow UI, and the numbers of its model."""
    used = _log_inputs(mlflow_run, review, lineage)
    comparison = Paths().evaluation / COMPARISON
    metrics = logged.metrics(
        review.training,
        review.evaluation,
        review.judgement,
        ModelComparison.read(comparison) if comparison.is_file() else None,
    )
    mlflow_run.log(metrics, {}, {}, model_id, next((one for one in used if one.context == "holdout"), None))


def _log_inputs(mlflow_run: Run, review: Review, lineage: Lineage) -> tuple[Dataset, ...]:
    """What is known before the model is logged, which takes over params and the curves' values; gives the datasets."""
    training = review.training
    mlflow_run.log_history(training.history, "audit_" if training.is_scratch_kept else "")
    used = logged.datasets(lineage, _splits(Paths().model / "images.parquet"))
    mlflow_run.use(used)
    tags = logged.tags(training, review.judgement, lineage, card(review, "see the registered version"))
    mlflow_run.log({}, logged.params(training, lineage), tags)
    return used


def _splits(images: Path) -> dict[str, tuple[str, int]]:
    """Digest and number of the images of each split that a cycle used."""
    found = files.read_table(images, ["digest", "split"]).sort("digest")
    parts = {name: found.filter(found["split"] == name)["digest"].to_list() for name in SPLITS}
    return {name: (files.sha256_json(digests), len(digests)) for name, digests in parts.items() if digests}
