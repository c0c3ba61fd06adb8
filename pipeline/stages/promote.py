"""Register the challenger and, if the verdict says so, move the alias. Runs each time; does it once."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

from pipeline import filing
from pipeline.artifacts import artifact
from pipeline.artifacts.changes import Changes
from pipeline.artifacts.comparison import COMPARISON, DOUBT, FLIPS, HISTORY, LABELS, PICTURES, ModelComparison
from pipeline.artifacts.content import CONTENT, MOMENTS, UNUSUAL, Content, Unusual
from pipeline.artifacts.cost import Cost
from pipeline.artifacts.evaluation import Evaluation, Judgement
from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.filed import Filed
from pipeline.artifacts.lineage import FEATURES, LEDGER, STATISTICS, VERDICT, WEIGHTS, Lineage
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Parent
from pipeline.artifacts.past import PastCycle
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
from pipeline.registry import curves, links, logged, outbox, packaging, pages, past, promotion, proof
from pipeline.registry.client import Registry
from pipeline.registry.connection import tracking_uri
from pipeline.registry.metrics import UsedImages
from pipeline.registry.promotion import Package
from pipeline.registry.run import Run
from pipeline.registry.version import Version
from pipeline.settings import Params
from pipeline.showing import wording
from pipeline.showing.card import card, retold
from pipeline.showing.particulars import REPORT
from pipeline.showing.review import Review
from pipeline.showing.text import visible

SERVING = ("tensorflow", "keras", "pillow", "numpy", "pandas", "polars", "pydantic", "pyyaml", "mlflow")
"""What `pipeline.serving` imports, pinned in the registered model at today's versions."""


def run(paths: Paths) -> None:
    """Bring the registry to what the verdict says, unless it is there already."""
    settings = params.load(paths.params, Params)
    review = _review(paths, settings)
    training, judgement = review.training, review.judgement
    snapshot = Snapshot.read(paths.snapshot)
    verdict_digest = _digest(judgement, settings.promote.automatic)
    registered = snapshot.registered.get(training.run_key)

    weights = files.sha256_file(paths.model / "weights.npz")
    if registered and (said := _nothing_to_do(registered, judgement, verdict_digest, weights)):
        said += _kept_threshold(registered.version, registered.min_probability, settings)
        filed = registered.filed.model_copy(update={"said": said, "decision": judgement.decision})
    else:
        if pushed := shards.push(Store(Path()), FeatureIndex.read(paths.features / "index.parquet")):
            print(f"promote: {pushed}", flush=True)
        package = _package(paths, settings, review, snapshot.recipe)
        review = replace(review, lineage=package.lineage)
        process.outlive_dvc()
        review, filed = _promote(settings, package, review, paths.scratch)
        outbox.deliver(Registry(settings.resolve), settings.promote.notify, "promote")
    _tell(review, filed, settings, paths)


def _tell(review: Review, filed: Filed, settings: Params, paths: Paths) -> None:
    """Leave what people read of the cycle: the card for GitHub, and the summary with which a cycle ends."""
    Promotion(
        decision=review.judgement.decision,
        run_key=review.training.run_key,
        said=filed.said,
        version=filed.number,
        promoted=filed.is_promoted,
    ).write(paths.promotion)
    files.write(paths.report, card(review, filed, None).encode())
    summary = [*wording.summary(review, filed), *_where(settings.resolve.registered_model, filed.number)]
    files.write(paths.summary, "".join(f"{visible(line)}\n" for line in summary).encode())
    print(f"promote: {filed.said}")


def _where(model: str, number: int) -> Iterator[str]:
    """Where a version is reviewed; a registry that is no server needs a UI first."""
    uri, link = tracking_uri(), links.version(model, number)
    yield f"  review   {links.at(uri if uri.startswith(links.HTTP) else links.LOCAL, link)}"
    if not uri.startswith(links.HTTP):
        yield "           while `python -m pipeline ui` runs; it says if it takes another port"


def _review(paths: Paths, settings: Params) -> Review:
    """What the stages before said."""
    content, unusual = paths.features / CONTENT, paths.features / UNUSUAL
    seconds = Cost.read(paths.cost).seconds
    return Review(
        training=Training.read(paths.model / "training.json"),
        evaluation=Evaluation.read(paths.scores),
        judgement=Judgement.read(paths.evaluation / "verdict.json"),
        comparison=ModelComparison.read(paths.evaluation / COMPARISON),
        changes=Changes.read(paths.delta / "summary.json"),
        report=Report.read(paths.validation / "report.json"),
        content=Content.read(content) if content.is_file() else None,
        unusual=artifact.read_list(unusual, Unusual) if unusual.is_file() else (),
        seconds=seconds,
        price=settings.promote.price(seconds),
    )


def _undecided(judgement: Judgement, alias: str) -> Filed:
    """What became of a challenger of which nothing was decided yet."""
    return Filed(
        number=0,
        rival=judgement.champion,
        decision=judgement.decision,
        standing="",
        said="not decided yet",
        alias=alias,
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
        **{f"data/{path.name}": path for path in sorted(paths.validation.iterdir()) if path.name != PICTURES},
        **{path.name: path for path in sorted(paths.evaluation.glob("*.png"))},
        f"data/{COMPARISON}": paths.evaluation / COMPARISON,
        f"data/{PICTURES}": _pictures(paths),
        "data/evaluation.json": paths.scores,
        "data/summary.json": paths.delta / "summary.json",
        **{f"data/{path.name}": path for path in sorted(paths.evaluation.glob("*.parquet")) if path.name != PICTURES},
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


def _pictures(paths: Paths) -> Path:
    """One file of all small pictures: whoever draws the report again has no other."""
    from pipeline import reporting
    from pipeline.images import pictures

    path = paths.scratch / PICTURES
    pictures.keep(path, reporting.shown(paths))
    return path


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


def _promote(settings: Params, package: Package, review: Review, scratch: Path) -> tuple[Review, Filed]:
    """Upload and register, once for each run key; then carry out the verdict, and say so beside the version."""
    lineage, registry = package.lineage, Registry(settings.resolve)
    version = registry.of_key(lineage.run_key)
    mlflow_run = registry.runs.begin(lineage.run_key, f"cycle {lineage.dataset_digest[:8]}", scratch)
    curves.catch_up(lambda run_id: Run(registry.connection, run_id), scratch / "curves")
    if version is None:
        _log_inputs(mlflow_run, review, lineage)
        digest = promotion.upload(mlflow_run, package, scratch)
        undecided = card(
            review, _undecided(review.judgement, registry.alias), filing.addresses(registry, mlflow_run.run_id, {})
        )
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
    told, filed = _carried_out(settings, registry, version, judgement, None if is_theirs else review, scratch)
    return told or review, filed


def _carried_out(
    settings: Params,
    registry: Registry,
    version: Version,
    judgement: Judgement,
    review: Review | None,
    scratch: Path,
) -> tuple[Review | None, Filed]:
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
    filed = filing.filed(version, done.story, registry.alias, done.said)
    filed = filed.model_copy(
        update={
            "rival": judgement.champion,
            "decision": judgement.decision,
            "said": done.said + _kept_threshold(version.number, version.min_probability, settings),
        }
    )
    mlflow_run = registry.runs.of(version)
    if review:
        review = replace(review, past=_past(registry, filed))
        shown = _show(registry, version, mlflow_run, review, filed, scratch)
    else:
        shown = retold(registry.description(version.number), filed)
    mlflow_run.end()
    registry.drop_seconds(version)
    registry.runs.tidy(version)
    tags = {
        "verdict": judgement.decision,
        "promoted": str(filed.is_promoted).lower(),
        "standing": filed.standing,
        "is_best": str(judgement.is_best).lower(),
        "verdict_digest": digest,
    }
    registry.annotate(version.number, tags, shown)
    promotion.record(registry, done.story, filing.retold)
    return review, filed


def _past(registry: Registry, filed: Filed) -> tuple[PastCycle, ...]:
    """The cycles until now, this one the last; its version says later what became of it."""
    found = past.cycles(registry)
    return tuple(
        replace(one, standing=filed.standing, verdict=filed.decision) if one.version == filed.number else one
        for one in found
    )


def _show(registry: Registry, version: Version, mlflow_run: Run, review: Review, filed: Filed, scratch: Path) -> str:
    """Let the pages of the MLflow UI show what became of a version; gives its card."""
    mine = review.lineage.files if review.lineage else {}
    places = {name: registry.place(version.run_id, name, mine[name]) for name in (LABELS, FLIPS, DOUBT) if name in mine}
    shown = card(review, filed, filing.addresses(registry, version.run_id, places))
    from pipeline import reporting  # what draws is loaded where there is something to draw
    from pipeline.showing import plots

    paths, history = Paths(), plots.history(review.past, version.number)
    page = reporting.page(review, filed, registry.name, _links(registry, version, review), paths, history)
    for name, content in {"card.md": shown.encode(), HISTORY: history, REPORT: page}.items():
        files.write(scratch / name, content)
        mlflow_run.upload(scratch / name, name)
    files.write(paths.page, page)
    mlflow_run.describe(shown)
    name = logged.title(version.number, filed.decision, review.evaluation.challenger.accuracy)
    pages.finish(registry, version, name)
    return shown


def _links(registry: Registry, version: Version, review: Review) -> dict[str, str]:
    """Addresses for the report, which is read outside of the MLflow UI too: only a server has some."""
    if not registry.uri.startswith(links.HTTP) or review.lineage is None:
        return {}
    numbers = {"version": version.number, "parent": review.lineage.parent, "champion": review.lineage.champion}
    found = {what: links.version(registry.name, number) for what, number in numbers.items() if number}
    found["run"] = links.run(registry.runs.experiment() or "", version.run_id)
    return {what: links.at(registry.uri, link) for what, link in found.items()}


def _log(mlflow_run: Run, review: Review, lineage: Lineage, model_id: str | None = None) -> None:
    """The run as reviewers find it in the MLflow UI, and the numbers of its model."""
    used = _log_inputs(mlflow_run, review, lineage)
    numbers = logged.metrics(review.training, review.evaluation, review.judgement, review.comparison, review.seconds)
    mlflow_run.log(numbers, {}, {}, model_id, next((one for one in used if one.context == "holdout"), None))


def _log_inputs(mlflow_run: Run, review: Review, lineage: Lineage) -> tuple[UsedImages, ...]:
    """What is known before the model is logged, which takes over params and the curves' values; gives the datasets."""
    training = review.training
    mlflow_run.log_history(training.history, "audit_" if training.is_scratch_kept else "")
    used = logged.datasets(lineage, _splits(Paths().model / "images.parquet"))
    mlflow_run.use(used)
    mlflow_run.log({}, logged.params(training, lineage), logged.tags(training, review.judgement, lineage))
    return used


def _splits(images: Path) -> dict[str, tuple[str, int]]:
    """Digest and number of the images of each split that a cycle used."""
    found = files.read_table(images, ["digest", "split"]).sort("digest")
    parts = {name: found.filter(found["split"] == name)["digest"].to_list() for name in SPLITS}
    return {name: (files.sha256_json(digests), len(digests)) for name, digests in parts.items() if digests}
