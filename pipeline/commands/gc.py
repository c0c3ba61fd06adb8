"""Collect garbage: delete from DVC's cache and remote what no version that is kept needs, once that is proven."""

import argparse
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.lineage import FEATURES, LEDGER, Lineage
from pipeline.artifacts.parent import Champion, Parent
from pipeline.artifacts.sources import Source
from pipeline.base import files, git
from pipeline.base import params as parameters
from pipeline.base.errors import DataError, GitError, LostError, PipelineError
from pipeline.base.paths import Paths
from pipeline.base.words import counted
from pipeline.data import collection, references, sources
from pipeline.data.collection import GARBAGE, UNKNOWN, YOUNG, Sweep
from pipeline.data.objects import Listings, Objects
from pipeline.data.proof import SAMPLE, Gap, Prover
from pipeline.data.references import FEATURES as SHARDS
from pipeline.data.references import IMAGES
from pipeline.data.store import Store
from pipeline.registry import retention
from pipeline.registry.client import Registry
from pipeline.registry.retention import EVERY, Rule
from pipeline.registry.version import Version, name
from pipeline.settings import Params

if TYPE_CHECKING:
    import polars as pl

EXAMPLE = "python -m pipeline gc --keep champion,last=10,days=90"

CACHE = "the DVC cache"

CHECKOUT = "this checkout"

FEW = 8
"""Versions that a line names; the others it counts."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--keep",
        default="champion,last=10,days=90",
        metavar="RULE",
        help="whose data stays, of champion, champions (all that ever were), last=N (newest versions), days=N, with "
        "commas between them; default: %(default)s",
    )
    parser.add_argument("--yes", action="store_true", help="delete; without it nothing is deleted")
    parser.add_argument("--check", action="store_true", help="read all files of the versions that are kept, not some")
    parser.add_argument(
        "--min-age",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="what came to the cache or the remote later than that stays: a cycle or a push may be under way; "
        "default: %(default)g",
    )
    parser.add_argument(
        "--lost",
        default="",
        metavar="VERSIONS",
        help="versions whose data is known to be lost, e.g. 2,3: that ends nothing any more",
    )


def run(keep: str, yes: bool, check: bool, min_age: float, lost: str) -> int:
    """Say which objects in DVC's cache and remote no version that is kept needs; with --yes, delete them.

    A version that is kept can be served, can be the parent of a cycle, and its data can be brought back: all that its
    batches list is in the cache, in the remote or where it was imported from. That is proven before and after. Besides
    the versions of --keep those stay that an alias names or that the next cycle begins with, and whatever a branch, a
    tag, a stash, the index or a pointer on disk names. Objects that this project never named stay too, and so does what
    is younger than --min-age. Other versions lose their images, their features and what their stages wrote; the
    registry keeps their models, ledgers and cards. Data that is lost already is an error, unless --lost names it.
    """
    rule, excused = Rule.parse(keep), _numbers(lost)
    settings, store = parameters.load(Paths().params, Params), Store(Path())
    _refuse_unfetched(is_asked=yes)
    with store.origins.locked() if yes else nullcontext():
        found = _Survey.look(Registry(settings.resolve), store, rule, Paths())
        _say_kept(found)
        before = time.time() - min_age * 3600
        plan = found.plan(before)
        downloads = found.downloads(before)
        _say_plan(plan, found, downloads, min_age)
        _prove(found, set(plan.staying()["digest"]), excused, check, "nothing was deleted")
        if not yes:
            print("gc: nothing was deleted; the same with --yes deletes")
            return 0
        _delete(plan, found)
        for path in downloads:
            path.unlink(missing_ok=True)
        now = found.list_again()
        _prove(found, set(now["digest"]), excused, check, "after the deletion")
    print(f"gc: deleted {plan.counted(GARBAGE)} and {counted(len(downloads), 'download')}")
    return 0


@dataclass(frozen=True)
class _Retained:
    """A version whose data stays."""

    version: Version
    why: str
    lineage: Lineage


@dataclass(frozen=True, eq=False)
class _Survey:
    """What there is: versions, references and objects."""

    kept: Sequence[_Retained]
    """The newest first."""
    others: Mapping[int, Lineage]
    """Of the versions that lose their data, by number."""
    batches: tuple[Source, ...]
    """Of this checkout."""
    places: Sequence[Objects]
    """The cache, and the remote if there is one."""
    held: "pl.DataFrame"
    """See `Objects.listed`; of all places."""
    prover: Prover
    kinds: Mapping[str, str]
    """Kind by hash, of all objects that this project ever named."""
    needed: set[str]
    """Hashes."""
    scratch: Path

    @classmethod
    def look(cls, registry: Registry, store: Store, rule: Rule, paths: Paths) -> "_Survey":
        """Look at the registry, at Git, at the disk, and list cache and remote once."""
        import polars as pl

        batches = sources.find(paths.images, at_least=0)
        versions = [version for version in registry.all(EVERY) if version.is_whole]
        ages = {number: time.time() - created for number, created in registry.created(EVERY).items()}
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
        kept = [
            _Retained(version, reasons[version.number], registry.lineage(version, objects))
            for version in versions
            if version.number in reasons
        ]
        places = _places(store)
        held = pl.concat([place.listed() for place in places])
        listings = Listings(places, held)
        prover = Prover(store, listings, places)
        others, shards = _others(registry, [one for one in versions if one.number not in reasons], objects)
        known = references.known(paths.images, store.origins.runs)
        known |= dict.fromkeys(shards, SHARDS)
        known |= {source.digest: IMAGES for lineage in others.values() for source in lineage.sources}
        known |= {digest: IMAGES for lineage in others.values() for digest, _, _ in lineage.quarantine}
        kinds = {one: kind for digest, kind in known.items() for one in listings.named([digest])} | known
        needed = listings.named(references.needed())
        for one in kept:
            needed |= listings.named(references.needed_at(one.lineage.commit.rstrip("+") or "HEAD"))
            kinds |= dict.fromkeys(_remembered(registry, one, objects), IMAGES) if one is kept[0] else {}
            needed |= _needs(registry, one, prover, objects)
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


def _remembered(registry: Registry, one: _Retained, objects: Path) -> Iterable[str]:
    """Every image that a version's ledger knows, also those that were removed before it."""
    path = registry.download(one.version.run_id, LEDGER, one.lineage.files[LEDGER], objects)
    return files.read_table(path, ["digest"])["digest"].to_list()


def _needs(registry: Registry, one: _Retained, prover: Prover, objects: Path) -> set[str]:
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


def _prove(found: _Survey, there: set[str], excused: Iterable[int], check: bool, when: str) -> None:
    """Prove that the data of this checkout and of each version that is kept can be brought back.

    Args:
        found: whose states.
        there: hashes of all that the places have, or will have.
        excused: numbers of versions whose data is known to be lost.
        check: whether all files are read.
        when: ends the error.

    Raises:
        DataError: something is nowhere, or damaged everywhere.
    """
    states = {who: batches for who, batches in found.states.items() if who not in {f"v{one}" for one in excused}}
    every = sorted({source for batches in states.values() for source in batches})
    gaps = {gap.source: gap for gap in found.prover.gaps(every, there)}
    whole = [source for source in every if source not in gaps]
    num_read, damaged = found.prover.damaged(whole, there, None if check else SAMPLE)
    gaps |= {gap.source: gap for gap in damaged}
    if gaps:
        _refuse(gaps, states, when)
    print(
        f"gc: proven: this checkout and {counted(len(states) - 1, 'version')} have all of their files; "
        f"{num_read:,} of them were read"
    )


def _refuse(gaps: Mapping[Source, Gap], states: Mapping[str, Sequence[Source]], when: str) -> None:
    lacking = {who: [gaps[one] for one in batches if one in gaps] for who, batches in states.items()}
    first = next(who for who, theirs in lacking.items() if theirs)
    whose = [who for who, theirs in lacking.items() if theirs]
    numbers = ",".join(who.removeprefix("v") for who in whose if who != CHECKOUT)
    excuse = f", or, if that data is lost for good, say so with `--lost {numbers}`" if numbers else ""
    raise DataError(
        f"{', '.join(whose)} cannot be brought back: {lacking[first][0]} is neither in the DVC cache nor in the DVC "
        f"remote with the bytes of its hash; {when}; run `dvc push` where it was added{excuse}"
    )


def _delete(plan: Sweep, found: _Survey) -> None:
    """Delete what goes: from the remote before the cache, and listings before what they name.

    A listing that lies in a remote tells DVC that all is there that it names. The cache's listings go last: if this is
    ended at any point, the next call finds by them what is left to delete.
    """
    cache, *remotes = found.places
    for remote in remotes:
        listings, rest = plan.going(remote.name)
        if listings or rest:
            remote.forget()
        _delete_from(remote, listings)
        _delete_from(remote, rest)
    back = _put_back(plan, found) if remotes else set()
    for some in reversed(plan.going(cache.name)):
        _delete_from(cache, [digest for digest in some if digest not in back])


def _delete_from(place: Objects, digests: Sequence[str]) -> None:
    from tqdm import tqdm

    with tqdm(total=len(digests), desc=f"gc: {place.name}", unit="object", disable=None) as bar:
        for count in place.delete(digests):
            bar.update(count)


def _put_back(plan: Sweep, found: _Survey) -> set[str]:
    """Put back what a listing names that somebody pushed since the remote was listed; gives the hashes.

    DVC does not push what is there already: it may have taken for granted what was deleted right after.
    """
    import polars as pl

    remotes = found.places[1:]
    now = pl.concat([found.held.clear(), *(place.listed() for place in remotes)])
    new = set(now["digest"]) - set(found.held["digest"])
    gone = set(plan.of(GARBAGE)["digest"])
    again = Listings(remotes, now).named(digest for digest in new if digest.endswith(".dir")) & gone
    if again:
        verb = "is" if len(again) == 1 else "are"
        print(f"gc: {counted(len(again), 'object')} that somebody pushed a listing of meanwhile {verb} put back")
        found.prover.store.push(sorted(again & set(found.held.filter(pl.col("place") == CACHE)["digest"])))
    return again


def _say_kept(found: _Survey) -> None:
    few = ", ".join(f"{name(one.version)} ({one.why})" for one in found.kept[:FEW])
    more = f" and {len(found.kept) - FEW} more" if len(found.kept) > FEW else ""
    print(f"gc: {counted(len(found.kept), 'version')} kept: {few}{more}; {len(found.others)} others")


def _say_plan(plan: Sweep, found: _Survey, downloads: Sequence[Path], min_age: float) -> None:
    rows = plan.table()
    if downloads:
        bytes_ = sum(path.stat().st_size for path in downloads)
        rows.append(("downloads", found.scratch.as_posix(), len(downloads), bytes_))
    for kind, place, number, size in rows:
        print(f"  {kind:<18}  {number:>9,} objects  {collection.size(size):>12}  {place}")
    print(f"gc: nothing needs {plan.counted(GARBAGE)} in the cache and the remote")
    losing = _losing(plan, found)
    if losing:
        few = ", ".join(f"v{number}" for number in losing[:FEW])
        more = f" and {len(losing) - FEW} more" if len(losing) > FEW else ""
        print(f"gc: {few}{more} would lose data; models, ledgers and cards stay in the registry")
    for fate, why in ((YOUNG, f"younger than {min_age:g} hours"), (UNKNOWN, "not named by this project")):
        if len(plan.of(fate)):
            print(f"gc: {plan.counted(fate)} stay: {why}")


def _losing(plan: Sweep, found: _Survey) -> list[int]:
    """Numbers of the versions that lose data, newest first."""
    going = set(plan.of(GARBAGE)["digest"])
    batches = {source.digest for lineage in found.others.values() for source in lineage.sources}
    hit = {digest for digest in batches if found.prover.listings.named([digest]) & going}
    return [
        number for number, lineage in found.others.items() if any(source.digest in hit for source in lineage.sources)
    ]


def _refuse_unfetched(is_asked: bool) -> None:
    """A branch that was not fetched may need what nothing here needs.

    Raises:
        GitError: there is one, or nobody can tell, and something is to be deleted.
    """
    try:
        missing = git.not_fetched()
    except GitError as error:
        if is_asked:
            raise GitError(
                f"{error}; what its branches need cannot be told, and nothing was deleted; run this where it answers, "
                "or take a remote that is no more out with `git remote remove NAME`"
            ) from None
        print(f"gc: warning: {error}")
        return
    if missing:
        said = (
            f"{', '.join(missing[:FEW])} {'is' if len(missing) == 1 else 'are'} not here as there; run `git fetch "
            "--all --tags`, in a clone of one branch after `git remote set-branches origin '*'`, then this again"
        )
        if is_asked:
            raise GitError(f"{said}; nothing was deleted")
        print(f"gc: warning: {said}")


def _numbers(text: str) -> list[int]:
    """Numbers of versions, as `2,3` or `v2,v3`."""
    words = [word.strip().removeprefix("v") for word in text.split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise PipelineError(f"--lost {text}: expected numbers of versions with commas between them, e.g. 2,3")
    return [int(word) for word in words]
