"""Collect garbage: delete from DVC's cache and remote what no version that is kept needs, once that is proven."""

import argparse
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.sources import Source
from pipeline.base import git
from pipeline.base import params as parameters
from pipeline.base.errors import DataError, GitError, PipelineError, RegistryError
from pipeline.base.paths import Paths
from pipeline.base.words import counted
from pipeline.data import collection
from pipeline.data.collection import GARBAGE, UNKNOWN, YOUNG, Sweep
from pipeline.data.objects import Listings, Objects
from pipeline.data.recovery import SAMPLE, Gap
from pipeline.data.store import Store
from pipeline.registry.client import Registry
from pipeline.registry.retention import Retention
from pipeline.registry.survey import CACHE, CHECKOUT, Survey
from pipeline.registry.version import name
from pipeline.settings import Params

if TYPE_CHECKING:
    pass

EXAMPLE = "python -m pipeline gc --keep champion,last=10,days=90"

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
    rule, excused = Retention.parse(keep), _numbers(lost)
    settings, store = parameters.load(Paths().params, Params), Store(Path())
    registry = Registry(settings.resolve)
    _refuse_unfetched(is_asked=yes)
    with store.origins.locked() if yes else nullcontext():
        state = _state(registry)
        found = Survey.look(registry, store, rule, excused, Paths())
        _say_kept(found)
        before = time.time() - min_age * 3600
        plan = found.plan(before)
        downloads = found.downloads(before)
        _say_plan(plan, found, downloads, min_age)
        _prove(found, set(plan.staying()["digest"]), excused, check, "nothing was deleted")
        if not yes:
            print("gc: nothing was deleted; the same with --yes deletes")
            return 0
        _refuse_unfetched(is_asked=True)
        if _state(registry) != state:
            raise RegistryError(
                "a version was registered or an alias moved meanwhile, and nothing was deleted; expected a registry "
                "at rest; run the same again"
            )
        _delete(plan, found)
        for path in downloads:
            path.unlink(missing_ok=True)
        now = found.list_again()
        _prove(found, set(now["digest"]), excused, check, "after the deletion")
    print(f"gc: deleted {plan.counted(GARBAGE)} and {counted(len(downloads), 'download')}")
    return 0


def _state(registry: Registry) -> tuple[int | None, dict[str, int]]:
    """What a cycle that ends anywhere changes in the registry."""
    newest = registry.newest()
    return newest.number if newest else None, registry.aliases()


def _prove(found: Survey, there: set[str], excused: Collection[int], check: bool, when: str) -> None:
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


def _delete(plan: Sweep, found: Survey) -> None:
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


def _put_back(plan: Sweep, found: Survey) -> set[str]:
    """Put back what a listing names that somebody pushed since the remote was listed; gives the hashes.

    DVC does not push what is there already: it may have taken for granted what was deleted right after.
    """
    import polars as pl

    remotes = found.places[1:]
    now = pl.concat([found.held.clear(), *(place.listed() for place in remotes)])
    new = sorted(one for one in set(now["digest"]) - set(found.held["digest"]) if one.endswith(".dir"))
    gone = set(plan.of(GARBAGE)["digest"])
    again = Listings(remotes, now).named(new) & gone
    here = again & set(found.held.filter(pl.col("place") == CACHE)["digest"])
    if here:
        verb = "is" if len(here) == 1 else "are"
        found.prover.store.push(sorted(here))
        print(f"gc: {counted(len(here), 'object')} that somebody pushed a listing of meanwhile {verb} put back")
    if again - here:
        raise DataError(
            f"somebody pushed {', '.join(new[:FEW])} meanwhile, and {counted(len(again - here), 'object')} that this "
            "names were deleted and are not in the DVC cache here; delete it from the remote, then run `dvc push` "
            "again where it was pushed from"
        )
    return here


def _say_kept(found: Survey) -> None:
    few = ", ".join(f"{name(one.version)} ({one.why})" for one in found.kept[:FEW])
    more = f" and {len(found.kept) - FEW} more" if len(found.kept) > FEW else ""
    print(f"gc: {counted(len(found.kept), 'version')} kept: {few}{more}; {len(found.others)} others")


def _say_plan(plan: Sweep, found: Survey, downloads: Sequence[Path], min_age: float) -> None:
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


def _losing(plan: Sweep, found: Survey) -> list[int]:
    """Numbers of the versions that lose data, newest first: a listing goes with what only it names."""
    going = set(plan.of(GARBAGE)["digest"])
    return [
        number for number, lineage in found.others.items() if any(source.digest in going for source in lineage.sources)
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
