"""Parts of the holdout, labels and slices, on which a challenger lost: an average hides them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.words import counted
from pipeline.judging import drops, slices
from pipeline.judging.drops import Drop
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.slices import Slice
from pipeline.judging.slicing import Membership, Pairs

if TYPE_CHECKING:
    import polars as pl

SEED = 7
"""Of what chance does: the same predictions get the same verdict."""

NAMED = 3
"""Parts of a kind that are named; the others are counted."""


@dataclass(frozen=True)
class Parts:
    """How labels and slices fare, of the images whose labels the champion knows."""

    labels: tuple[Drop, ...]
    """Empty if no label has a floor."""
    slices: tuple[Slice, ...]
    must_not_fall: bool
    """Whether a slice that is surely worse speaks against the challenger."""

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the challenger must not become champion, a sentence each; empty if nothing speaks against it."""
        fallen = [drops.said(label) for label in self.labels if label.finding == "surely fell"]
        worse = [slices.said(one) for one in self.slices if one.is_worse] if self.must_not_fall else []
        return (*_few(fallen, "label"), *_few(worse, "slice"))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else there is to say, a sentence each."""
        fallen = [drops.said(label) for label in self.labels if label.finding == "fell"]
        worse = [] if self.must_not_fall else [slices.said(one) for one in self.slices if one.is_worse]
        return (*_few(fallen, "label"), *_few(worse, "slice"), *self._too_small())

    def _too_small(self) -> Iterator[str]:
        small = sorted((label for label in self.labels if label.finding == "too few"), key=lambda one: one.images)
        if small:
            names = ", ".join(f"{one.value} ({one.images})" for one in small[:NAMED])
            more = f" and {len(small) - NAMED} more" if len(small) > NAMED else ""
            have = "has" if len(small) == 1 else "have"
            yield f"{counted(len(small), 'label')} {have} too few holdout images to tell a fall: {names}{more}"


def of(predictions: Predictions, evaluate: Evaluate) -> Parts:
    """How the parts fare.

    Args:
        predictions: of a cycle with a champion.
        evaluate: section `evaluate` of params.yaml.
    """
    familiar = predictions.is_familiar(CHAMPION)
    digests = np.array(predictions.digests, object)[familiar].tolist()
    must_not_fall = evaluate.worse_slices == "reject"
    if not digests:
        return Parts((), (), must_not_fall)
    pairs = _pairs(predictions, familiar)
    fallen: tuple[Drop, ...] = ()
    if evaluate.max_drop is not None:
        fallen = drops.judge(pairs, Membership.of(_labels(predictions, familiar), digests), evaluate.max_drop)
    told = Membership.of(predictions.slices, digests, slices.LEAST)
    return Parts(fallen, slices.judge(pairs, told, SEED), must_not_fall)


def unseen(predictions: Predictions) -> Iterator[str]:
    """Says which labels have no image that judges: whatever a challenger makes of them, no verdict tells it."""
    judged = set(predictions.labels.tolist())
    names = [name for number, name in enumerate(predictions.names) if number not in judged]
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        have, them = ("has", "it") if len(names) == 1 else ("have", "them")
        yield (
            f"{counted(len(names), 'label')} {have} no holdout image, so nothing is known of {them}: "
            f"{', '.join(names[:NAMED])}{more}"
        )


def _pairs(predictions: Predictions, rows: np.ndarray) -> Pairs:
    champion, challenger = (predictions.answers[name] for name in (CHAMPION, CHALLENGER))
    is_right = [(one.predicted == predictions.labels)[rows] for one in (champion, challenger)]
    truth = [np.nan_to_num(one.truth[rows].astype(float)) for one in (champion, challenger)]
    return Pairs(*is_right, *truth)


def _labels(predictions: Predictions, rows: np.ndarray) -> "pl.DataFrame":
    import polars as pl

    names, digests = np.array(predictions.names, object), np.array(predictions.digests, object)
    return pl.DataFrame(
        {"digest": digests[rows].tolist(), "slice": "label", "value": names[predictions.labels[rows]].tolist()}
    )


def _few(sentences: Sequence[str], noun: str) -> Iterator[str]:
    """The first ones, and how many more there are."""
    yield from sentences[:NAMED]
    if len(sentences) > NAMED:
        yield f"and {counted(len(sentences) - NAMED, f'{noun} more', f'{noun}s more')} like that"
