"""Parts of the holdout, labels and slices, on which a challenger lost: an average hides them. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.words import counted
from pipeline.judging import drops, history, slices
from pipeline.judging.drops import Drop
from pipeline.judging.history import UNASKED, History
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.slices import Slice
from pipeline.judging.slicing import Membership, Pairs

if TYPE_CHECKING:
    import polars as pl

SEED = 7
"""Of what chance does: the same predictions get the same verdict."""

AGE = "age"
"""The slice of `Dataset.slices` that says when images came."""

NAMED = 3
"""Parts of a kind that are named; the others are counted."""


@dataclass(frozen=True)
class Breakdown:
    """How labels and slices fare, of the images whose labels the champion knows."""

    labels: tuple[Drop, ...]
    """Empty if no label has a floor."""
    slices: tuple[Slice, ...]
    forgotten: tuple[Drop, ...]
    """Labels and ages, since their images were first known; those that the challenger has less of than the champion."""
    must_not_fall: bool
    """Whether a slice that is surely worse speaks against the challenger."""

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the challenger must not become champion, a sentence each; empty if nothing speaks against it."""
        fallen = [drops.said(label) for label in self.labels if label.finding == "surely fell"]
        worse = [slices.said(one) for one in self.slices if one.is_worse] if self.must_not_fall else []
        forgotten = [_said_forgotten(one) for one in self.forgotten if one.finding == "surely fell"]
        return (*_few(fallen, "label"), *_few(worse, "slice"), *_few(forgotten, "part"))

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


def of(predictions: Predictions, evaluate: Evaluate, past: History | None = None) -> Breakdown:
    """How the parts fare.

    Args:
        predictions: of a cycle with a champion.
        evaluate: section `evaluate` of params.yaml.
        past: of the same images, or more; None if nobody knows it.
    """
    familiar = predictions.of(predictions.is_familiar(CHAMPION))
    must_not_fall = evaluate.worse_slices == "reject"
    if not familiar.digests:
        return Breakdown((), (), (), must_not_fall)
    pairs = _pairs(familiar)
    fallen: tuple[Drop, ...] = ()
    if evaluate.max_drop is not None:
        fallen = drops.judge(pairs, Membership.of(_labels(familiar), familiar.digests), evaluate.max_drop)
    worse = slices.judge(pairs, Membership.of(familiar.slices, familiar.digests, slices.LEAST), SEED)
    return Breakdown(fallen, worse, _forgotten(predictions, evaluate.max_forgotten, past), must_not_fall)


def _forgotten(predictions: Predictions, allowed: float | None, past: History | None) -> tuple[Drop, ...]:
    """Labels and ages that fell since their images were first known, and of which the champion has more."""
    import polars as pl

    if allowed is None or past is None:
        return ()
    past = past.at(predictions.digests)
    known = predictions.of(past.first != UNASKED)
    if not len(known.labels):
        return ()
    parts = pl.concat([_labels(known), known.slices.filter(pl.col("slice") == AGE)])
    members = Membership.of(parts, known.digests)
    found = drops.judge(history.since_first(past.at(known.digests), known), members, allowed)
    champion = members.tallies(members.counts(_pairs(known)))
    # What the champion has lost already is no reason to keep it.
    return tuple(one for one, step in zip(found, champion, strict=True) if step.lost > step.gained)


def _said_forgotten(one: Drop) -> str:
    points = f"{100 * one.allowed:g} points"
    return f"{one.change} since its images were first known, surely by more than {points} (evaluate.max_forgotten)"


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


def _pairs(predictions: Predictions) -> Pairs:
    champion, challenger = (predictions.answers[name] for name in (CHAMPION, CHALLENGER))
    is_right = [one.predicted == predictions.labels for one in (champion, challenger)]
    truth = [np.nan_to_num(one.truth.astype(float)) for one in (champion, challenger)]
    return Pairs(*is_right, *truth)


def _labels(predictions: Predictions) -> "pl.DataFrame":
    import polars as pl

    values = np.array(predictions.names, object)[predictions.labels].tolist()
    return pl.DataFrame({"digest": predictions.digests, "slice": "label", "value": values})


def _few(sentences: Sequence[str], noun: str) -> Iterator[str]:
    """The first ones, and how many more there are."""
    yield from sentences[:NAMED]
    if len(sentences) > NAMED:
        yield f"and {counted(len(sentences) - NAMED, f'{noun} more', f'{noun}s more')} like that"
