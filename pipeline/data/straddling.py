"""Straddling: groups whose images are in more than one split, and what else there is to say of groups. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.base.words import counted
from pipeline.data import ledger as ledgers
from pipeline.data import stems
from pipeline.data.groups import Grouping
from pipeline.data.splits import SPLITS

if TYPE_CHECKING:
    import polars as pl

LARGE = 0.5
"""Share of the images, 0 to 1, above which a group is too large to be split from the others."""

MAX_NAMES = 50_000
"""Names that are looked at; more would take seconds."""


def found(ledger: "pl.DataFrame") -> "pl.DataFrame":
    """Named groups whose images are in more than one split; columns name, split and len, sorted.

    Args:
        ledger: columns split, named, removed, torn.
    """
    import polars as pl

    counts = _members(ledger).group_by("name", "split").len()
    return counts.filter(pl.col("split").n_unique().over("name") > 1).sort("name", "split")


def sentences(grouping: Grouping, ledger: "pl.DataFrame", newcomers: "pl.DataFrame") -> list[str]:
    """What there is to say of the named groups of a cycle.

    Args:
        grouping: of the cycle.
        ledger: of the cycle.
        newcomers: column digest; the images that the ledger has never seen before.
    """
    import polars as pl

    said = []
    members = _members(ledger)
    new = members.join(newcomers.select("digest"), on="digest", how="semi")
    if len(new):
        images, names = new["digest"].n_unique(), new["name"].n_unique()
        what = "each in one split" if images > names else "one each: the groups hold nothing together"
        said.append(f"{counted(images, 'new image')} in {counted(names, 'group')}, {what}")
    if torn := int(grouping.newcomers["is_torn"].sum()):
        ties = "ties" if torn == 1 else "tie"
        said.append(
            f"{counted(torn, 'new image')} {ties} images of different splits, as near-duplicates or by groups, and can "
            "be in none of them; left out"
        )
    if grouping.torn:
        path, split = ledger.filter(pl.col("digest") == grouping.torn[0]).select("path", "split").row(0)
        are, they = ("is", "it is") if len(grouping.torn) == 1 else ("are", "they are")
        said.append(
            f"warning: {counted(len(grouping.torn), 'known image')} {are} said to be of a group in another split, e.g. "
            f"{path!r} of {split}; splits never move, so {they} left out for good"
        )
    if not members.is_empty():
        said += [*_of_large(members, len(ledgers.present(ledger))), *_of_straddling(found(ledger))]
    return said


def _of_large(members: "pl.DataFrame", num_images: int) -> list[str]:
    name, count = members.group_by("name").len().sort("len", "name", descending=[True, False]).row(0)
    if count <= LARGE * num_images:
        return []
    return [
        f"warning: the group {name!r} has {count} of {num_images} images, which share a split; if its name stands for "
        "no one thing, give smaller groups in labels.csv or by prepare.group"
    ]


def _of_straddling(rows: "pl.DataFrame") -> list[str]:
    if rows.is_empty():
        return []
    by_split = {split: int(rows.filter(split=split)["len"].sum()) for split in SPLITS}
    counts = ", ".join(f"{count} {split}" for split, count in by_split.items() if count)
    groups = rows["name"].n_unique()
    return [
        f"warning: {counted(groups, 'group')} {'straddles' if groups == 1 else 'straddle'} the splits ({counts}), e.g. "
        f"{rows['name'][0]!r}: the images were split before the groups were known; splits never move, so the model is "
        "judged on groups that it was taught, and scores are too good; new images of such a group do not train, if any "
        "of it judges; to split all anew by groups, give resolve.registered_model a new name"
    ]


def hint(ledger: "pl.DataFrame") -> str:
    """What groups may have to do with a split that lacks images; empty if there are none."""
    members = _members(ledger)
    if members.is_empty():
        return ""
    name, count = members.group_by("name").len().sort("len", "name", descending=[True, False]).row(0)
    if count == 1:
        return ""
    return (
        f"; a group goes to one split, and {name!r} alone has {counted(count, 'image')}: add images of other groups, "
        "or give smaller groups in labels.csv and `dvc add` the batch, or by prepare.group"
    )


def suggestion(files: Sequence[tuple[str, str]]) -> str:
    """A warning if the names of files look like groups that nobody named; else empty.

    Args:
        files: path in its batch and label of each image.
    """
    fit = stems.suggested(sorted(files)[:MAX_NAMES])
    if fit is None:
        return ""
    path, group = fit.example
    return (
        f"warning: names such as {path!r} look like groups, e.g. {group!r} ({fit.num_images} images in "
        f"{fit.num_groups} groups), and images of one group may fall to train and to holdout; if they belong together, "
        f"set prepare.group: '{fit.rule}' before they are split, or give a column `group` in labels.csv"
    )


def _members(ledger: "pl.DataFrame") -> "pl.DataFrame":
    """The images of each named group that take part; columns digest, name, split."""
    import polars as pl

    columns = ["digest", "split", "named", "removed", "torn"]
    rows = ledgers.present(ledger.select(columns)).filter(pl.col("named").list.len() > 0)
    return rows.explode("named").select("digest", pl.col("named").alias("name"), "split")
