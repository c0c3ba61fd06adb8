"""Judge: score challenger and champion in one process on the same holdout images."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import dataset, files, gate, metrics, model, plots
from pipeline import params as parameters
from pipeline.dataset import Dataset, Part
from pipeline.metrics import Scores
from pipeline.params import Evaluate, Params
from pipeline.registry import Registry

if TYPE_CHECKING:
    import numpy as np


def run(
    *,
    challenger: Path,
    data: Path,
    champion: Path,
    scratch: Path,
    out: Path,
    metrics_out: Path,
    confusion: Path,
    settings: Path,
) -> None:
    """Write the verdict, with the numbers and pictures that explain it."""
    chosen = parameters.load(settings)
    images, rival = dataset.read(data), files.read_json(champion)
    trained = files.read_json(challenger / "training.json")
    print("evaluate: loading TensorFlow", flush=True)
    holdout = images.part("holdout")
    new = _logits(challenger / "model.json", challenger / "weights.npz", images, chosen)
    old = _champions_logits(rival, images, chosen, scratch) if rival["version"] else None

    ours = metrics.scores(holdout.labels, new)
    theirs = None if old is None else metrics.scores(holdout.labels, old)
    verdict = _judge(holdout, new, old, chosen.evaluate)

    files.write_json(out / "verdict.json", verdict.to_json() | {"rival": rival["version"]})
    files.write(
        out / "curves.png",
        plots.curves(trained["history"], trained["best_epoch"], trained["stop_reason"]),
    )
    files.write(out / "confusion.png", plots.confusion(ours.confusion, images.labels))
    files.write(confusion, _csv(holdout.labels, new.argmax(axis=1), images.labels).encode())
    files.write_json(metrics_out, _summary(ours, theirs, images, rival))
    _say(verdict, rival["version"])


def _judge(holdout: Part, challenger: "np.ndarray", champion: "np.ndarray | None", settings: Evaluate) -> gate.Verdict:
    right = challenger.argmax(axis=1) == holdout.labels
    if champion is None:
        return gate.decide_first(float(right.mean()), challenger.shape[1], settings)
    counts = metrics.paired(holdout.labels, champion.argmax(axis=1), challenger.argmax(axis=1))
    new = gate.Hits(int(right[holdout.is_new].sum()), int(holdout.is_new.sum())) if holdout.is_new is not None else None
    return gate.decide(counts, settings, new)


def _logits(description: Path, weights: Path, images: Dataset, chosen: Params) -> "np.ndarray":
    from pipeline import training

    training.make_repeatable(chosen.train.seed, chosen.train.threads)
    what = model.describe(files.read_json(description))
    network = model.build(what)
    model.fill(network.weights, files.read_arrays(weights), str(weights))
    size, _, channels = what.image_shape
    return model.logits(network, images.part("holdout", size, channels).pixels, chosen.evaluate.batch_size)


def _champions_logits(rival: dict[str, Any], images: Dataset, chosen: Params, scratch: Path) -> "np.ndarray":
    """The champion's, with its outputs at the places of today's label map; one it lacks scores -inf."""
    import numpy as np

    registry, listed = Registry(chosen.resolve), rival["lineage"]["files"]
    description, weights = (
        registry.download(rival["run_id"], artifact, listed[artifact], scratch / "objects")
        for artifact in ("model/model.json", "model/weights.npz")
    )
    found = _logits(description, weights, images, chosen)
    placed = np.full((len(found), len(images.labels)), -1e9, np.float32)
    for position, label in enumerate(rival["lineage"]["model"]["labels"]):
        if label in images.labels:
            placed[:, images.labels.index(label)] = found[:, position]
    return placed


def _summary(ours: Scores, theirs: Scores | None, images: Dataset, rival: dict[str, Any]) -> dict[str, Any]:
    champion = {}
    if theirs:
        champion["accuracy"] = theirs.accuracy
        if set(images.labels) <= set(rival["lineage"]["model"]["labels"]):  # else its loss means nothing
            champion["loss"] = theirs.loss
    recall = {label: value for label, value in zip(images.labels, ours.recall, strict=True) if value == value}
    return {
        "holdout_images": int(ours.confusion.sum()),
        "challenger": {"accuracy": ours.accuracy, "loss": ours.loss, "recall": recall},
        "champion": champion,
    }


def _csv(labels: "np.ndarray", predicted: "np.ndarray", names: tuple[str, ...]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["actual", "predicted"])
    writer.writerows([names[actual], names[found]] for actual, found in zip(labels, predicted, strict=True))
    return sink.getvalue()


def _say(verdict: gate.Verdict, rival: int | None) -> None:
    against = f"against v{rival}" if rival else "without a champion"
    print(f"evaluate: {verdict.decision} {against}: {'; '.join(verdict.reasons)}")
