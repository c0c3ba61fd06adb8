"""Suspicion: which new labels are doubted, by whom, and how good those are, for people."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.comparison import Doubted, Doubters, Pair, Seen
from pipeline.judging import doubts
from pipeline.judging.comparing import InDoubt
from pipeline.learning.evidence import Told

if TYPE_CHECKING:
    import polars as pl

MAX_DOUBTED = 200
"""Of the least believed labels, those that are shown; all of them are in the table."""

LEAST_DOUBT = 0.05
"""Probability that a label is wrong, from which on it is shown."""


def in_doubt(
    told: Told | None,
    ranked: "pl.DataFrame | None",
    seen: Mapping[str, Seen],
    conflicts: "pl.DataFrame",
    new: Collection[str],
    suspicious: float,
) -> InDoubt:
    """What is said of the labels of new images, for people.

    Args:
        told: what can be believed; None without a champion.
        ranked: its table.
        seen: images by digest, with what both models say.
        conflicts: columns one and other: digests of near-duplicates under two labels.
        new: digests of the new images.
        suspicious: probability of another label from which on an image likely has that.
    """
    import polars as pl

    pairs = tuple(
        Pair(one=seen[one], other=seen[other])
        for one, other in conflicts.iter_rows()
        if one in seen and other in seen and (one in new or other in new)
    )
    if told is None or ranked is None:
        return InDoubt(pairs=pairs)
    evidence = told.evidence
    is_likely = (pl.col("probability") >= suspicious) & (pl.col("doubt") > 0)
    doubted = tuple(
        Doubted(
            seen=seen[row["digest"]],
            otherwise=row["otherwise"],
            probability=row["probability"],
            doubt=row["doubt"],
            is_suspicious=row["is_suspicious"],
        )
        for row in ranked.with_columns(is_suspicious=is_likely).head(MAX_DOUBTED).iter_rows(named=True)
        if row["doubt"] >= LEAST_DOUBT and row["digest"] in seen
    )
    asked = ~evidence.is_new & doubts.known(evidence)[evidence.labels]
    # Those whose labels no model gives an opinion on: a challenger has none of what it learned.
    is_mute = evidence.is_new & ~doubts.known(evidence)[evidence.labels]
    if evidence.after is not None:
        is_mute &= np.isnan(evidence.after).any(axis=1)
    unknown = np.unique(evidence.labels[is_mute])
    return InDoubt(
        doubted=doubted,
        num_suspicious=len(ranked.filter(is_likely)),
        pairs=pairs,
        doubters=Doubters(
            right=int((evidence.before.argmax(axis=1) == evidence.labels)[asked].sum()), images=int(asked.sum())
        ),
        undoubted=tuple(evidence.names[label] for label in unknown),
    )
