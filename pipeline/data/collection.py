"""The collection of garbage: which objects of DVC's nothing needs any more, and may be deleted. Pure.

An object is deleted only if this project named it once, nothing needs it now, and it is old enough. Whatever else lies
in the same cache or remote may be another project's, and stays.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.base.words import counted

if TYPE_CHECKING:
    import polars as pl

NEEDED, YOUNG, UNKNOWN, GARBAGE = "needed", "young", "unknown", "garbage"
"""What becomes of an object: it stays because something needs it, because it is too young to tell, because this project
never named it; or it goes."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """What lies where, and what becomes of it."""

    rows: "pl.DataFrame"
    """One row for each object at each place: columns place, digest, bytes, kind, fate. kind is null for the unknown."""

    def of(self, fate: str) -> "pl.DataFrame":
        """The rows of one fate."""
        return self.rows.filter(self.rows["fate"] == fate)

    def going(self, place: str) -> tuple[list[str], list[str]]:
        """The listings and the other objects that go from a place, each sorted."""
        digests = self.of(GARBAGE).filter(self.of(GARBAGE)["place"] == place)["digest"].sort()
        is_listing = digests.str.ends_with(".dir")
        return digests.filter(is_listing).to_list(), digests.filter(~is_listing).to_list()

    def staying(self) -> "pl.DataFrame":
        """The rows of what stays."""
        return self.rows.filter(self.rows["fate"] != GARBAGE)

    def table(self) -> list[tuple[str, str, int, int]]:
        """What goes: kind, place, objects and bytes, sorted."""
        import polars as pl

        sums = self.of(GARBAGE).group_by("kind", "place").agg(pl.len(), pl.col("bytes").sum())
        return [
            (str(kind), str(place), int(n), int(size)) for kind, place, n, size in sums.sort("kind", "place").rows()
        ]

    def counted(self, fate: str) -> str:
        """Objects of a fate and their size, in words."""
        rows = self.of(fate)
        return f"{counted(len(rows), 'object')} ({size(int(rows['bytes'].sum()))})"


def plan(
    held: "pl.DataFrame", needed: Collection[str], implied: Collection[str], kinds: Mapping[str, str], before: float
) -> Sweep:
    """Decide what becomes of each object.

    Args:
        held: what lies where; columns place, digest, bytes, changed.
        needed: hashes of what something needs.
        implied: hashes of what the listings of `stays` name; that stays with them.
        kinds: kind by hash, of all that this project ever named.
        before: seconds since 1970; what came to any place later, or nobody knows when, is too young.
    """
    import polars as pl

    strings = {"digest": pl.String, "kind": pl.String}
    known = pl.DataFrame({"digest": list(kinds), "kind": list(kinds.values())}, schema=strings)

    def is_in(digests: Collection[str]) -> pl.Expr:
        return pl.col("digest").is_in(pl.Series(list(digests), dtype=pl.String).implode())

    fate = (
        pl.when(is_in(needed))
        .then(pl.lit(NEEDED))
        .when(pl.col("kind").is_null())
        .then(pl.lit(UNKNOWN))
        .when(is_in(young(held, before)))
        .then(pl.lit(YOUNG))
        .when(is_in(implied))
        .then(pl.lit(NEEDED))
        .otherwise(pl.lit(GARBAGE))
    )
    rows = held.join(known, on="digest", how="left").select("place", "digest", "bytes", "kind", fate.alias("fate"))
    return Sweep(rows.sort("place", "digest"))


def young(held: "pl.DataFrame", before: float) -> set[str]:
    """Hashes of what came to any place since; arguments as in `plan`."""
    import polars as pl

    return set(held.filter(pl.col("changed").is_null() | (pl.col("changed") >= before))["digest"])


def stays(held: "pl.DataFrame", kinds: Mapping[str, str], before: float) -> set[str]:
    """Hashes of the listings that stay whether or not anything needs them; then what they name has to stay too.

    They are other people's or other projects', or have just been pushed. Arguments as in `plan`.
    """
    listings = set(held.filter(held["digest"].str.ends_with(".dir"))["digest"])
    return {digest for digest in listings if digest not in kinds} | (young(held, before) & listings)


def size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
