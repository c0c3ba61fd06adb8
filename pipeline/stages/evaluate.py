"""Judge: score challenger and champion in one process on the same holdout images."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import files
from pipeline.base import params as parameters
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.data import dataset
from pipeline.data.dataset import Dataset, Part
from pipeline.data.splits import SPLITS
from pipeline.judging import gate, metrics
from pipeline.judging.metrics import Scores
from pipeline.judging.paired import Counts
from pipeline.judging.settings import Evaluate
from pipeline.learning import model
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


class Settings(Excerpt):
    """What evaluate reads of params.yaml."""

    resolve: RegisteredModel
    evaluate: Evaluate
    train: Repeatable


def run(paths: Paths) -> None:
    """Write the verdict, with the numbers and pictures that explain it."""
    chosen = parameters.load(paths.params, Settings)
    images, rival = dataset.read(paths.dataset), files.read_json(paths.champion)
    trained = files.read_json(paths.model / "training.json")
    print("evaluate: loading TensorFlow", flush=True)
    holdout = images.part("holdout")
    new = _logits(paths.model / "model.json", paths.model / "weights.npz", images, chosen)
    known = _Champion(rival, images, chosen, paths.scratch) if rival["version"] else None
    old = known.holdout() if known else None
    doubts = _doubts(known, images, files.read_table(paths.accepted / "images.parquet"), chosen) if known else []

    ours = metrics.scores(holdout.labels, new)
    theirs = None if old is None else metrics.scores(holdout.labels, old)
    strange = [at for at, label in enumerate(images.labels) if known and label not in known.what.labels]
    outdated = [label for label in rival.get("called", ()) if label not in images.labels]
    counts = None if old is None else metrics.paired(holdout.labels, old.argmax(axis=1), new.argmax(axis=1))
    if known and rival["lineage"].get("run_key") == trained["run_key"]:
        verdict = gate.unchanged(rival["version"])
    else:
        verdict = _judge(holdout, new, old, counts, strange, outdated, chosen.evaluate)

    files.write_json(paths.evaluation / "verdict.json", verdict.to_json() | {"rival": rival["version"]})
    files.write(
        paths.evaluation / "curves.png",
        plots.curves(trained["history"], trained["best_epoch"], trained["stop_reason"]),
    )
    files.write(paths.evaluation / "confusion.png", plots.confusion(ours.confusion, images.labels))
    files.write(paths.confusion, _csv(holdout.labels, new.argmax(axis=1), images.labels).encode())
    files.write_json(paths.scores, _summary(ours, theirs, counts, images, rival))
    files.write_json(paths.evaluation / "suspicious.json", [doubt.to_json() for doubt in doubts])
    if doubts:
        files.write(paths.evaluation / "suspicious.png", sheet.draw([_section(doubts)]))
    _say(verdict, rival["version"])
    for doubt in doubts[:SHOWN]:
        print(f"evaluate: warning: {doubt.path!a} is labelled {doubt.label}; {doubt.found}, says the champion")
    if len(doubts) > SHOWN:
        print(f"evaluate: warning: and {len(doubts) - SHOWN} more new images; see {paths.evaluation}/suspicious.png")


def _judge(
    holdout: Part,
    challenger: "np.ndarray",
    champion: "np.ndarray | None",
    counts: Counts | None,
    strange: Sequence[int],
    outdated: Sequence[str],
    settings: Evaluate,
) -> gate.Verdict:
    """Compare the predictions.

    Args:
        holdout: the images.
        challenger, champion: logits, float32 (images, labels).
        counts: how both did on all of them; None without a champion.
        strange: numbers of the labels that the champion does not know.
        outdated: labels of the champion, as it calls them, that are no more.
        settings: section `evaluate` of params.yaml.
    """
    found = challenger.argmax(axis=1)
    right = found == holdout.labels
    if champion is None or counts is None:
        return gate.decide_first(float(right.mean()), challenger.shape[1], settings)
    rows = [label not in strange for label in holdout.labels]
    known = metrics.paired(holdout.labels[rows], champion.argmax(axis=1)[rows], found[rows]) if strange else None
    new = gate.Hits(int(right[holdout.is_new].sum()), int(holdout.is_new.sum())) if holdout.is_new is not None else None
    return gate.decide(counts, settings, new, known, outdated)


def _logits(description: Path, weights: Path, images: Dataset, chosen: Settings) -> "np.ndarray":
    from pipeline.learning import training

    training.make_repeatable(chosen.train.seed, chosen.train.threads)
    what = model.describe(files.read_json(description))
    network = model.build(what)
    model.fill(network.weights, files.read_arrays(weights), str(weights))
    size, _, channels = what.image_shape
    return model.logits(network, images.part("holdout", size, channels).pixels, chosen.evaluate.batch_size)


class _Champion:
    """The champion's opinion, with its outputs at the places of today's label map; one it lacks scores -1e9."""

    def __init__(self, rival: dict[str, Any], images: Dataset, chosen: Settings, scratch: Path) -> None:
        from pipeline.learning import training

        training.make_repeatable(chosen.train.seed, chosen.train.threads)
        registry, listed = Registry(chosen.resolve), rival["lineage"]["files"]
        artifact = "model/weights.npz"
        weights = registry.download(rival["run_id"], artifact, listed[artifact], scratch / "objects")
        self.what = model.describe(rival["lineage"]["model"])  # its labels as they are called today
        self._network = model.build(self.what)
        model.fill(self._network.weights, files.read_arrays(weights), str(weights))
        self._images, self._batch_size = images, chosen.evaluate.batch_size

    def logits(self, pixels: "np.ndarray") -> "np.ndarray":
        """float32 (images, labels)."""
        import numpy as np

        placed = np.full((len(pixels), len(self._images.labels)), -1e9, np.float32)
        if len(pixels):
            found = model.logits(self._network, pixels, self._batch_size)
            for position, label in enumerate(self.what.labels):
                if label in self._images.labels:
                    placed[:, self._images.labels.index(label)] = found[:, position]
        return placed

    def holdout(self) -> "np.ndarray":
        """Of the holdout images, as it sees them."""
        size, _, channels = self.what.image_shape
        return self.logits(self._images.part("holdout", size, channels).pixels)


@dataclass(frozen=True)
class _Doubt:
    """A new image that the champion confidently gives another label."""

    path: str
    label: str
    found: str
    probability: float
    pixels: "np.ndarray"
    """uint8 (size, size, channels)"""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("path", "label", "found", "probability")}


def _doubts(champion: _Champion, images: Dataset, accepted: "pl.DataFrame", chosen: Settings) -> list[_Doubt]:
    """The most confident first. None if the champion sees other pixels than the dataset has."""
    import numpy as np

    if tuple(champion.what.image_shape) != tuple(images.image_shape):
        return []
    paths = dict(accepted.unique("digest").select("digest", "path").iter_rows())
    found = []
    for split in SPLITS:
        part = images.part(split)
        new = np.arange(0) if part.is_new is None else np.flatnonzero(part.is_new)
        for start in range(0, len(new), AT_ONCE):
            rows = new[start : start + AT_ONCE]
            odds = metrics.probabilities(champion.logits(part.pixels[rows]))
            for row, odd in zip(rows, odds, strict=True):
                label, other = images.labels[part.labels[row]], images.labels[int(odd.argmax())]
                # Of a label that it does not know the champion can have no opinion.
                if other != label and label in champion.what.labels and odd.max() >= chosen.evaluate.suspicious:
                    path = paths.get(part.digests[row], part.digests[row])
                    found.append(_Doubt(path, label, other, float(odd.max()), np.array(part.pixels[row])))
    return sorted(found, key=lambda doubt: (-doubt.probability, doubt.path))


def _section(doubts: list[_Doubt]) -> sheet.Panel:
    """The most doubtful as thumbnails."""
    import numpy as np

    tiles = tuple(
        sheet.Tile(
            np.broadcast_to(doubt.pixels, (*doubt.pixels.shape[:2], 3)),
            f"{doubt.found}? (labelled {doubt.label}, {doubt.probability:.2f}) {Path(doubt.path).name}",
            "warning",
        )
        for doubt in doubts[:60]
    )
    return sheet.Panel("suspicious labels", "the champion doubts them", tiles, len(doubts) - len(tiles))


def _summary(
    ours: Scores, theirs: Scores | None, counts: Counts | None, images: Dataset, rival: dict[str, Any]
) -> dict[str, Any]:
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
        # Share of the images that the champion has right and the challenger wrong.
        "negative_flips": counts.champion_only / counts.total if counts else None,
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
