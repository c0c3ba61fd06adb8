"""Evidence on the labels of a cycle's new images: what models say that did not learn them (`judging.doubts`)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.base import files
from pipeline.data.dataset import Dataset
from pipeline.data.delta import once
from pipeline.data.splits import SPLITS, Split
from pipeline.judging.doubts import Evidence
from pipeline.judging.trust import Trust
from pipeline.learning import crossfit, sightings
from pipeline.learning.contenders import Contender

if TYPE_CHECKING:
    import polars as pl

BLANK = 0.01
"""Contrast, 0 to 1, below which a picture has nothing in it: the usual validate.min_contrast."""

BATCH = "batch"
"""The slice that every image has."""

NOBODYS = ("age", "brightness", "side")
"""Slices that are nobody's work: a label is not wrong because of them."""


class Told(NamedTuple):
    """What can be believed of the new labels, and of which images that is said."""

    trust: Trust
    evidence: Evidence
    digests: tuple[str, ...]
    names: Mapping[str, str]
    """By batch, the name of its new labels: what a person believes who puts it into `evaluate.believed`."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong with the labels, and what to do where they are right all the same."""
        if self.trust.is_trusted:
            return self.trust.reasons
        names = ", ".join(f"{name} ({batch})" for batch, name in sorted(self.names.items()))
        way_on = f"if you looked at them and found them right, put their name into evaluate.believed: {names}"
        return (*self.trust.reasons, way_on)

    def table(self, accepted: "pl.DataFrame") -> "pl.DataFrame":
        """The new images, the least believed label first.

        Columns path, label, doubt; otherwise and probability: the likeliest other label, and what the models that did
        not learn this one give it; the batch and whatever else labels.csv says of who is at work; digest.

        Args:
            accepted: columns kind, digest, path.
        """
        import polars as pl

        rows = self.trust.ranking
        after = self.evidence.before if self.evidence.after is None else self.evidence.after
        seen = np.where(
            np.isnan(after[rows]), self.evidence.before[rows], (after[rows] + self.evidence.before[rows]) / 2
        )
        seen[np.arange(len(rows)), self.evidence.labels[rows]] = -1
        names = np.array(self.evidence.names, object)
        table = pl.DataFrame(
            {
                "digest": [self.digests[row] for row in rows],
                "label": names[self.evidence.labels[rows]],
                "doubt": self.trust.doubts[rows],
                "otherwise": names[seen.argmax(axis=1)],
                "probability": seen.max(axis=1, initial=0),
            },
            schema_overrides={"digest": pl.String, "label": pl.String, "otherwise": pl.String},
        )
        places = once(accepted).select("digest", "path")
        table = table.join(places, on="digest", how="left", maintain_order="left")
        groups = self.evidence.groups or {}
        of_group = {kind: [names[row] for row in rows] for kind, names in groups.items() if kind not in table.columns}
        last = table.with_columns(pl.Series(kind, values, pl.String) for kind, values in of_group.items())
        return last.select("path", pl.exclude("path", "digest"), "digest")


def gather(
    images: Dataset,
    champion: Contender,
    challenger: Contender,
    contrasts: Mapping[str, float | None],
    believed: Sequence[str] = (),
) -> tuple[Evidence, tuple[str, ...], dict[str, str]]:
    """Ask models about new images, and about old ones of val and holdout, whose labels are trusted.

    With features at the head, heads are fitted to the labels of all other images of the cycle, and say something of
    each. Else the champion does, which never learned new images, and of val and holdout the challenger too.

    Args:
        images: the dataset of the cycle.
        champion, challenger: its models.
        contrasts: of new images by digest, 0 to 1.
        believed: names of new labels that a person trusts: they count as old ones.

    Returns:
        The evidence, the digests of its images, and by batch the name of those of its labels that are in question.
    """
    of_cycle = challenger.description
    is_fitted = of_cycle.is_head_only and int(_is_old(images, SPLITS).sum()) > 1
    asked = SPLITS if is_fitted else tuple(one for one in SPLITS if images.shows(one, champion.description.inputs))
    rows = {split: _rows(images, split, whole=is_fitted) for split in asked}
    parts = {split: images.part(split) for split in asked}
    labels = np.concatenate([parts[split].labels[taken] for split, taken in rows.items()])
    is_new = np.concatenate([np.asarray(parts[split].is_new)[taken] for split, taken in rows.items()])
    digests = tuple(parts[split].digests[row] for split, taken in rows.items() for row in taken)
    if is_fitted:
        features = np.concatenate([images.part(split, of_cycle.inputs).take(taken) for split, taken in rows.items()])
        before, after = _crossfitted(features, labels, is_new, len(images.labels))
        # The heads of `before` learned old images alone: to them a label that only new ones have is always wrong.
        is_known = np.isin(np.arange(len(images.labels)), labels[~is_new])
    else:
        is_known = champion.known
        theirs = {split: images.part(split, champion.description.inputs) for split in rows}
        before = np.concatenate([sightings.odds(theirs[split], taken, champion) for split, taken in rows.items()])
        ours = {split: images.part(split, of_cycle.inputs) for split in rows if split != "train"}
        told = [sightings.odds(part, rows[split], challenger) for split, part in ours.items()]
        trained = np.full((len(labels) - sum(map(len, told)), before.shape[1]), np.nan)
        after = np.concatenate([trained, *told])
    groups = _groups(images.slices(), digests)
    batches = groups.get(BATCH, [""] * len(digests))
    names = _names(digests, labels, is_new, batches)
    is_believed = np.array([names.get(batch) in believed for batch in batches], bool)
    evidence = Evidence(
        labels=labels,
        is_new=is_new & ~is_believed,
        before=before,
        after=after,
        is_known=is_known,
        is_blank=np.array([_is_blank(contrasts.get(digest)) for digest in digests], bool),
        conflicts=_conflicts(images.conflicts(), digests),
        groups=groups,
        names=images.labels,
    )
    return evidence, digests, {batch: name for batch, name in names.items() if name not in believed}


def _is_old(images: Dataset, splits: Sequence[Split]) -> np.ndarray:
    return np.concatenate([~np.asarray(images.part(split).is_new) for split in splits])


def _rows(images: Dataset, split: Split, *, whole: bool) -> np.ndarray:
    """The images of a split that are asked about: of those that the models learned only the new ones."""
    is_new = np.asarray(images.part(split).is_new)
    return np.arange(len(is_new)) if whole or split != "train" else np.flatnonzero(is_new)


def _crossfitted(
    features: np.ndarray, labels: np.ndarray, is_new: np.ndarray, num_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, float64 (images, labels), by heads that learned old images, and old and new ones."""
    old = crossfit.fitted(crossfit.basis(features[~is_new]), labels[~is_new], num_labels)
    before = np.empty((len(labels), num_labels))
    before[~is_new] = old.left_out
    if is_new.any():
        before[is_new] = old.probabilities(features[is_new])
    return before, crossfit.fitted(crossfit.basis(features), labels, num_labels).left_out


def _is_blank(contrast: float | None) -> bool:
    return contrast is not None and contrast < BLANK


def _names(digests: Sequence[str], labels: np.ndarray, is_new: np.ndarray, batches: Sequence[str]) -> dict[str, str]:
    """By batch, a name that only these new images with these labels have."""
    told: dict[str, list[tuple[str, int]]] = {}
    for digest, label, new, batch in zip(digests, labels.tolist(), is_new.tolist(), batches, strict=True):
        if new:
            told.setdefault(batch, []).append((digest, label))
    return {batch: f"labels-{files.sha256_json(sorted(pairs))[:12]}" for batch, pairs in told.items()}


def _conflicts(pairs: "pl.DataFrame", digests: Sequence[str]) -> np.ndarray:
    """int64 (pairs, 2): rows of the images of each pair, where both are asked about."""
    places = {digest: row for row, digest in enumerate(digests)}
    known = [(places[one], places[other]) for one, other in pairs.iter_rows() if one in places and other in places]
    return np.array(known, np.int64).reshape(-1, 2)


def _groups(slices: "pl.DataFrame", digests: Sequence[str]) -> dict[str, list[str]]:
    """By kind, the name of each image's group: its batch, and what labels.csv says of it."""
    names: dict[str, dict[str, str]] = {}
    for digest, kind, value in slices.iter_rows():
        if kind not in NOBODYS:
            names.setdefault(kind, {}).setdefault(digest, value)
    return {kind: [of_kind.get(digest, "") for digest in digests] for kind, of_kind in names.items()}
