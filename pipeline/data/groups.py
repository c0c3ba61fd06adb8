"""Groups: images that share a split: near-duplicates, and what people say belongs together, a patient or a video. Pure.

One union over both: an image that is in two groups makes one of them, and so does a near-duplicate. Where that ties
images that lie in different splits by now, nobody can be moved any more. Then a newcomer that ties them is left out. A
known image that is said to be of a group in another split is left out, too, if there are few such. If there are many,
their groups came to be known too late: they stay, and those who come join the split of theirs that judges.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, NamedTuple

from pipeline.data import ledger as ledgers
from pipeline.data.splits import STRONGEST, Split

if TYPE_CHECKING:
    import polars as pl

FEW = 20
"""Known images in another split than their group's, up to which they are left out."""

FEW_SHARE = 0.01
"""The same as a share of the known images; the larger number counts."""


class Grouping(NamedTuple):
    """What groups make of the images of a cycle."""

    newcomers: "pl.DataFrame"
    """Columns digest, group and is_torn, of newcomers that are tied to any other image or name. The group is that of
    the image seen first, else the lowest digest among themselves. What is torn ties images of different splits."""
    named: "pl.DataFrame"
    """Columns digest and name: which image is of which named group from now on, old and new ones."""
    torn: tuple[str, ...]
    """Known images that are said to be of a group in another split, and are left out from now on."""


class Tie(NamedTuple):
    """What ties a newcomer to the ledger. The least is the one seen first."""

    position: int
    """Row of the ledger."""
    group: str
    split: Split


def of(
    ledger: "pl.DataFrame", newcomers: "pl.Series", pairs: Sequence[tuple[str, str]], claims: "pl.DataFrame"
) -> Grouping:
    """Group the images of a cycle.

    Args:
        ledger: before the cycle.
        newcomers: digests of the images that it never saw.
        pairs: digests of (a newcomer, its near-duplicate seen before or with it).
        claims: columns digest and name, of any images: which named group each is said to be of. Others than those of
            the ledger and of the newcomers do not count.
    """
    import polars as pl

    claims = claims.select("digest", "name").unique().sort("digest", "name")
    rows = ledger.with_row_index("position").select("position", "digest", "group", "split", "named", "torn")
    known = claims.join(rows, on="digest").filter(~pl.col("torn"))
    known = known.filter(~pl.col("named").list.contains(pl.col("name")))
    homes = _homes(rows, claims["name"])
    strange = _strange(known, homes)
    few = max(FEW, FEW_SHARE * len(ledgers.present(ledger.select("removed", "torn"))))
    is_few = len({digest for digest, _ in strange}) <= few
    accepted = [row for row in known.iter_rows(named=True) if not is_few or (row["digest"], row["name"]) not in strange]
    for row in accepted:
        homes[row["name"]].append(Tie(row["position"], row["group"], row["split"]))

    said: dict[str, list[str]] = defaultdict(list)
    for digest, name in claims.filter(pl.col("digest").is_in(newcomers.implode())).iter_rows():
        said[digest].append(name)
    twins = rows.filter(pl.col("digest").is_in([twin for _, twin in pairs]))
    old = {row[0]: Tie(*row[1:]) for row in twins.select("digest", "position", "group", "split").iter_rows()}
    group_of, torn = joined(pairs, said, old, {name: _home(ties) for name, ties in homes.items() if ties})
    members = sorted(group_of)
    named = [(row["digest"], row["name"]) for row in accepted]
    named += [(digest, name) for digest, names in said.items() if digest not in torn for name in names]
    text = pl.String
    return Grouping(
        pl.DataFrame(
            {
                "digest": members,
                "group": [group_of[one] for one in members],
                "is_torn": [one in torn for one in members],
            },
            schema={"digest": text, "group": text, "is_torn": pl.Boolean},
        ),
        pl.DataFrame(named, schema={"digest": text, "name": text}, orient="row"),
        tuple(sorted({digest for digest, _ in strange})) if is_few else (),
    )


def _homes(rows: "pl.DataFrame", names: "pl.Series") -> dict[str, list[Tie]]:
    """Where the images of each named group are, that the ledger knows to be of it."""
    import polars as pl

    homes: dict[str, list[Tie]] = defaultdict(list)
    if names.is_empty():
        return homes
    of_names = rows.filter(pl.col("named").list.len() > 0).explode("named")
    of_names = of_names.filter(pl.col("named").is_in(names.unique().implode()))
    first = of_names.unique(["named", "split"], keep="first", maintain_order=True)
    for name, *tie in first.select("named", "position", "group", "split").iter_rows():
        homes[name].append(Tie(*tie))
    return homes


def _strange(known: "pl.DataFrame", homes: Mapping[str, Sequence[Tie]]) -> set[tuple[str, str]]:
    """Known images, each with a named group in another split.

    Args:
        known: columns digest, name and split: what is said of known images for the first time.
        homes: where the images of each group are so far. One without any is where the strongest of these images is.
    """
    strange = set()
    for (name,), rows in known.group_by("name", maintain_order=True):
        here: set[Split] = {tie.split for tie in homes.get(str(name), ())} or {_strongest(rows["split"])}
        strange |= {
            (digest, str(name)) for digest, split in rows.select("digest", "split").iter_rows() if split not in here
        }
    return strange


def _strongest(splits: Iterable[Split]) -> Split:
    return min(splits, key=STRONGEST.index)


def _home(ties: Sequence[Tie]) -> Tie:
    """The one that newcomers of a group join: of several splits the strongest, and there the one seen first."""
    return min(ties, key=lambda tie: (STRONGEST.index(tie.split), tie.position))


def joined(
    pairs: Iterable[tuple[str, str]],
    named: Mapping[str, Sequence[str]],
    old: Mapping[str, Tie],
    homes: Mapping[str, Tie],
) -> tuple[dict[str, str], set[str]]:
    """The group of each newcomer that is tied to anything, and the newcomers that are torn.

    Args:
        pairs: digests of (a newcomer, its near-duplicate seen before or with it).
        named: names of the groups of each newcomer that has any.
        old: where each near-duplicate is that was seen before.
        homes: where each named group is that has images already.
    """
    links = sorted({(one, two) for one, two in pairs})
    near: dict[str, list[Tie]] = defaultdict(list)
    for one, two in links:
        if two in old:
            near[one].append(old[two])
    among = [(one, two) for one, two in links if two not in old]
    beside: dict[str, list[str]] = defaultdict(list)
    for one, two in among:
        beside[one].append(two)
    images = {*named, *near, *(image for pair in among for image in pair)}
    by_name = [(digest, ("name", name)) for digest, names in named.items() for name in names]
    group_of: dict[str, str] = {}
    torn: set[str] = set()
    for members in _components(images, [*among, *by_name]):
        ties = [tie for one in members for tie in near.get(one, ())]
        ties += [homes[name] for one in members for name in named.get(one, ()) if name in homes]
        if len({tie.split for tie in ties}) < 2:
            group_of |= dict.fromkeys(members, min(ties).group if ties else min(members))
            continue
        inside = {one: {homes[name].split for name in named.get(one, ()) if name in homes} for one in members}
        split_of = _split_of_named(members, named, inside, near, _strongest(tie.split for tie in ties))
        away = {one for one in members if inside[one] - {split_of.get(one)} or one not in split_of}
        away |= {one for one in members if any(tie.split != split_of.get(one) for tie in near.get(one, ()))}
        for one in sorted(members):
            for two in beside.get(one, ()):
                if not {one, two} & away and split_of[one] != split_of[two]:
                    away.add(max(one, two, key=lambda image: STRONGEST.index(split_of[image])))
        torn |= away
        first = {split: min(tie for tie in ties if tie.split == split).group for split in {tie.split for tie in ties}}
        group_of |= {one: first[split_of[one]] if one in split_of else min(ties).group for one in members}
    return group_of, torn


def _split_of_named(
    members: Set[str],
    named: Mapping[str, Sequence[str]],
    inside: Mapping[str, Set[Split]],
    near: Mapping[str, Sequence[Tie]],
    otherwise: Split,
) -> dict[str, Split]:
    """Where newcomers go that are tied to more than one split: all of a named group to one.

    Args:
        members: the newcomers, all tied to each other.
        named: see `joined`.
        inside: the splits of the named groups of each. Who is in two of them has no place.
        near: the near-duplicates of each that were seen before.
        otherwise: where those go that only others tie.
    """
    placed = {one for one in members if len(inside[one]) < 2}
    by_name = [(one, ("name", name)) for one in placed for name in named.get(one, ())]
    split_of: dict[str, Split] = {}
    for together in _components(placed, by_name):
        said = {split for one in together for split in inside[one]}
        alike = {tie.split for one in together for tie in near.get(one, ())}
        split_of |= dict.fromkeys(together, _strongest(said or alike or {otherwise}))
    return split_of


def _components(images: Iterable[str], links: Iterable[tuple[str, Hashable]]) -> list[set[str]]:
    """Images that links join, directly or through others; a link leads to an image or to a thing that several have."""
    leader: dict[Hashable, Hashable] = {}

    def find(one: Hashable) -> Hashable:
        while leader.setdefault(one, one) != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for one, two in links:
        leader[find(one)] = find(two)
    together: dict[Hashable, set[str]] = defaultdict(set)
    for image in sorted(images):
        together[find(image)].add(image)
    return list(together.values())
