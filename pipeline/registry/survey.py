"""The survey: what the versions of a registry need of DVC's cache and remote, and what lies there that they do not."""

import re
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.lineage import FEATURES, LEDGER, Lineage
from pipeline.artifacts.parent import Champion, Parent
from pipeline.artifacts.sources import Source
from pipeline.base import files
from pipeline.base.errors import DataError, LostError, RegistryError
from pipeline.base.paths import Paths
from pipeline.data import collection, references, sources
from pipeline.data.collection import Sweep
from pipeline.data.objects import Listings, Objects
from pipeline.data.recovery import Recovery
from pipeline.data.references import FEATURES as SHARDS
from pipeline.data.references import IMAGES
from pipeline.data.store import Store
from pipeline.registry import retention
from pipeline.registry.client import Registry
from pipeline.registry.connection import shown
from pipeline.registry.retention import Retention
from pipeline.registry.version import Version, name

if TYPE_CHECKING:
    import polars as pl

CACHE = "the DVC cache"

CHECKOUT = "this checkout"


@dataclass(frozen=True)
class Retained:
    """A version whose data stays."""

    version: Version
    why: str
    lineage: Lineage


@dataclass(frozen=True, eq=False)
class Survey:
    """What there is: versions, references and objects."""

    kept: Sequence[Retained]
    """The newest first."""
    others: Mapping[int, Lineage]
    """Of the versions that lose their data, by number."""
    batches: tuple[Source, ...]
    """Of this checkout."""
    places: Sequence[Objects]
    """The cache, and the remote if there is one."""
    held: "pl.DataFrame"
    """See `Objects.listed`; of all places."""
    prover: Recovery
    kinds: Mapping[str, str]
    """Kind by hash, of all objects that this project ever named."""
    needed: set[str]
    """Hashes."""
    scratch: Path

    @classmethod
    def look(
        cls, registry: Registry, store: Store, rule: Retention, excused: Collection[int], paths: Paths
    ) -> "Survey":
        """Look at the registry, at Git, at the disk, and list cache and remote once.

        Args:
            registry: has the versions.
            store: knows cache and remote.
            rule: whose data stays.
            excused: numbers of versions whose data or record is known to be lost.
            paths: of the project, which is the current directory.

        Raises:
            RegistryError: there is no version: this is another registry, most likely.
            LostError: the record of a version that is kept is lost.
            DataError: a place does not answer.
        """
        import polars as pl

        batches = sources.find(paths.images, at_least=0)
        versions = [version for version in registry.all() if version.is_whole]
        if not versions:
            raise RegistryError(
                f"the registry at {shown(registry.uri)} has no version of {registry.name}, so what is needed cannot be "
                "told, and nothing was deleted; set MLFLOW_TRACKING_URI to the registry that has the versions"
            )
        ages = {number: time.time() - created for number, created in registry.created().items()}
        reasons = retention.kept(
            versions,
            rule,
            registry.aliases(),
            retention.past_champions(registry),
            ages,
            _pinned(paths),
            sources.digest(batches),
        )
        objects = paths.scratch / "objects"
        retained = [
            _retained(registry, version, reasons[version.number], version.number in excused, objects)
            for version in versions
            if version.number in reasons
        ]
        kept = [one for one in retained if one]
        places = _places(store)
        held = pl.concat([place.listed() for place in places])
        listings = Listings(places, held)
        prover = Recovery(store, listings, places)
        others, shards = _others(registry, [one for one in versions if one.number not in reasons], objects)
        known = references.known(paths.images, store.origins.runs)
        known |= dict.fromkeys(shards, SHARDS)
        known |= {source.digest: IMAGES for lineage in others.values() for source in lineage.sources}
        known |= {digest: IMAGES for lineage in others.values() for digest, _, _ in lineage.quarantine}
        known |= dict.fromkeys(_remembered(registry, kept[0], objects) if kept else (), IMAGES)
        needed = listings.named(references.needed())
        for one in kept:
            needed |= listings.named(references.needed_at(one.lineage.commit.rstrip("+") or "HEAD"))
            needed |= _needs(registry, one, prover, objects)
        kinds = _with_listed(known, listings, set(held["digest"]) - needed)
        return cls(kept, others, batches, places, held, prover, kinds, needed, paths.scratch)

    def plan(self, before: float) -> Sweep:
        """What goes; a listing that stays keeps what it names."""
        implied = self.prover.listings.named(collection.stays(self.held, self.kinds, before))
        return collection.plan(self.held, self.needed, implied, self.kinds, before)

    def downloads(self, before: float) -> list[Path]:
        """Copies of the registry's files on this machine that no version needs that is kept."""
        wanted = {sha256 for one in self.kept for sha256 in one.lineage.files.values()}
        wanted |= {str(one.version.lineage_digest) for one in self.kept}
        return [
            path
            for path in sorted((self.scratch / "objects").glob("*"))
            if re.fullmatch("[0-9a-f]{64}", path.name) and path.name not in wanted and path.stat().st_mtime < before
        ]

    def list_again(self) -> "pl.DataFrame":
        """What the places have now."""
        import polars as pl

        return pl.concat([place.listed() for place in self.places])

    @property
    def states(self) -> dict[str, tuple[Source, ...]]:
        """The batches of all that is kept, by name."""
        return {CHECKOUT: self.batches} | {name(one.version): one.lineage.sources for one in self.kept}


def _retained(registry: Registry, version: Version, why: str, is_excused: bool, objects: Path) -> Retained | None:
    """A version whose data stays; None where nobody knows any more what that is, and a person says so.

    Raises:
        LostError: its record is gone or damaged.
    """
    try:
        return Retained(version, why, registry.lineage(version, objects))
    except LostError as error:
        if is_excused:
            return None
        raise LostError(
            f"{error.what}, so what {name(version)} ({why}) needs cannot be told, and nothing was deleted",
            f"restore it from a backup, or, if it is lost for good, say so with `--lost {version.number}`",
        ) from None


def _pinned(paths: Paths) -> list[int]:
    """Versions that the cycle in this checkout begins with, has to beat, or asks for splits."""
    numbers: list[int] = []
    with suppress(DataError):  # there was none yet, or it was of another Evergreen
        parent, champion = Parent.read(paths.parent), Champion.read(paths.champion)
        pins = (parent.pin, champion.pin, champion.anchor, parent.elder)
        numbers += [pin.version for pin in pins if pin]
    return numbers


def _places(store: Store) -> list[Objects]:
    """The cache, and the remote if one is set."""
    origins = store.origins
    places = [Objects(CACHE, origins.cache)]
    remote = origins.remote(None) if origins.remote_name else None
    if remote is None:
        print("gc: warning: no DVC remote with objects by their hash is set, so only the cache is looked at")
        return places
    return [*places, Objects(f"the DVC remote {origins.remote_name}", remote)]


def _others(registry: Registry, versions: Iterable[Version], objects: Path) -> tuple[dict[int, Lineage], set[str]]:
    """Lineages of the versions that lose their data, and the shards of features that they name.

    What is downloaded for that is not kept.
    """
    lineages: dict[int, Lineage] = {}
    shards: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:

        def place(sha256: str | None) -> Path:
            return objects if (objects / str(sha256)).is_file() else Path(folder)

        for version in versions:
            try:
                lineage = registry.lineage(version, place(version.lineage_digest))
                lineages[version.number] = lineage
                if sha256 := lineage.files.get(FEATURES):
                    index = FeatureIndex.read(registry.download(version.run_id, FEATURES, sha256, place(sha256)))
                    shards.update(index.rows["shard"])
            except LostError as error:
                print(f"gc: warning: {error.what}; what only {name(version)} names counts as unknown, and stays")
    return lineages, shards


def _with_listed(known: Mapping[str, str], listings: Listings, unneeded: set[str]) -> dict[str, str]:
    """The kinds of known objects with those of what their listings name.

    Listings are read only as long as there are objects that nobody has named: the ledger knows most images.
    """
    kinds = dict(known)
    left = unneeded - kinds.keys()
    for digest, kind in known.items():
        table = listings.files(digest) if left and digest.endswith(".dir") else None
        if table is not None:
            found = left.intersection(table["digest"].to_list())
            kinds |= dict.fromkeys(found, kind)
            left -= found
    return kinds


def _remembered(registry: Registry, one: Retained, objects: Path) -> Iterable[str]:
    """Every image that a version's ledger knows, also those that were removed before it."""
    path = registry.download(one.version.run_id, LEDGER, one.lineage.files[LEDGER], objects)
    return files.read_table(path, ["digest"])["digest"].to_list()


def _needs(registry: Registry, one: Retained, prover: Recovery, objects: Path) -> set[str]:
    """What a version needs: all that its batches list, and features of its images, where they are kept.

    Of a batch whose listing is lost, the images that the ledger knows.
    """
    import polars as pl

    tables = [prover.files(source) for source in one.lineage.sources]
    needed = {source.digest for source in one.lineage.sources}
    needed.update(digest for table in tables if table is not None for digest in table["digest"])
    sha256, is_lost = one.lineage.files.get(FEATURES), any(table is None for table in tables)
    if sha256 is None and not is_lost:
        return needed
    path = registry.download(one.version.run_id, LEDGER, one.lineage.files[LEDGER], objects)
    present = files.read_table(path, ["digest", "removed"]).filter(~pl.col("removed"))["digest"]
    if is_lost:
        needed.update(present)
    if sha256:
        index = FeatureIndex.read(registry.download(one.version.run_id, FEATURES, sha256, objects)).rows
        needed.update(index.filter(pl.col("digest").is_in(present.implode()))["shard"])
    return needed
