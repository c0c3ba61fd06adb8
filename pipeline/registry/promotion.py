"""Promotion: a challenger is uploaded to its run, registered as a version, and the alias is moved if it earned it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.evaluation import Judgement
from pipeline.artifacts.lineage import Lineage
from pipeline.base import files
from pipeline.base.errors import RegistryError
from pipeline.base.params import Section
from pipeline.registry import packaging
from pipeline.registry.client import LINEAGE, Registry
from pipeline.registry.run import Run
from pipeline.registry.version import FORMAT, Version, name


class Promote(Section):
    """Who moves the alias."""

    automatic: bool


@dataclass(frozen=True)
class Package:
    """What is registered of a challenger."""

    lineage: Lineage
    uploads: Mapping[str, Path]
    """Files by run artifact; the lineage, which lists them all, is not among them."""
    model: Path
    """Folder of the model."""
    requirements: Sequence[str]
    """pip requirements for serving."""
    params: Mapping[str, float]
    """Of serving; see `Run.log_model`."""


def refuse_moved(registry: Registry, package: Package, judgement: Judgement) -> None:
    """Refuse a challenger that beat a champion that is no more.

    Raises:
        RegistryError: the alias has moved since the verdict, and the challenger is not registered yet.
    """
    champion = registry.champion()
    number = champion.number if champion else None
    if number != judgement.champion and registry.newest(run_key=package.lineage.run_key) is None:
        judged_against = f"v{judgement.champion}" if judgement.champion else "none"
        raise RegistryError(
            f"the champion moved from {judged_against} to {name(champion)} while this cycle ran, so its verdict is "
            "about a champion that is no more; nothing was registered; run `dvc repro` again"
        )


def upload(run: Run, package: Package, scratch: Path) -> str:
    """Upload all artifacts, the lineage last; gives its SHA-256.

    Args:
        run: takes them.
        package: what there is.
        scratch: gets copies: the next cycle on this machine need not download what this one has.
    """
    record = scratch / "lineage.json"
    package.lineage.write(record)
    for artifact, path in package.uploads.items():
        run.upload(path, artifact)
    run.upload(record, LINEAGE)
    for artifact, sha256 in package.lineage.files.items():
        files.write(scratch / "objects" / sha256, package.uploads[artifact].read_bytes())
    digest = files.sha256_file(record)
    files.write(scratch / "objects" / digest, record.read_bytes())
    return digest


def register(registry: Registry, run: Run, package: Package, lineage_digest: str, card: str, scratch: Path) -> Version:
    """Make a version of a run; the same run key never makes two.

    Args:
        registry: of which model.
        run: to which everything was uploaded.
        package: what was uploaded.
        lineage_digest: SHA-256 of the lineage.
        card: shown beside the version.
        scratch: for the folder that MLflow packs.
    """
    lineage = package.lineage
    tags = {
        "run_key": lineage.run_key,
        "recipe": lineage.recipe,
        "format": FORMAT,
        "parent": str(lineage.parent or ""),
        "rival": str(lineage.champion or ""),
        "commit": lineage.commit,
        "lineage": lineage_digest,
        "sources": lineage.sources_digest,
    }
    served = packaging.pack(package.model, lineage.run_key, scratch / "package")
    return registry.register(run, served, tags, package.requirements, card, package.params)


def move_anchor(registry: Registry, version: Version, is_promoted: bool, judgement: Judgement) -> None:
    """Bring the anchor's alias to the best version so far: the new champion, or what the verdict took for it."""
    best = version.number if is_promoted and judgement.is_best else judgement.anchor
    now = registry.anchor()
    if best is not None and (now is None or now.number != best):
        registry.move_anchor(best)


def move_alias(registry: Registry, version: Version, judgement: Judgement, promote: Promote) -> tuple[bool, str]:
    """Move the alias if the verdict says so, and if it is where the verdict saw it.

    Returns:
        Whether the version was promoted, now or before; and what was done, in a sentence.
    """
    is_wanted = judgement.decision == "promote" and promote.automatic
    if is_wanted and not version.promoted and registry.promote(version.number, judgement.champion):
        return True, f"v{version.number} is the new {registry.alias}"
    champion = registry.champion()
    if is_wanted and not version.promoted and (champion is None or champion.number != version.number):
        return False, f"v{version.number} keeps its verdict, but {registry.alias} is {name(champion)} by now and stays"
    said = f"v{version.number} is registered; {registry.alias} stays {name(champion)}"
    if judgement.decision == "promote" and not promote.automatic:
        said += f"; promote.automatic is false: set the alias {registry.alias} in the MLflow UI to promote it"
    is_champion = champion is not None and champion.number == version.number
    if is_champion and judgement.decision not in ("promote", "unchanged") and judgement.champion is not None:
        said += (
            f"; by today's verdict it would not be promoted: to take it back, move the alias {registry.alias} to "
            f"v{judgement.champion} in the MLflow UI"
        )
    return version.promoted, said
