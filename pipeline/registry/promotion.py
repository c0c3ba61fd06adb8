"""Promotion: a challenger is uploaded to its run, registered as a version, and the alias is moved if it earned it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import field_validator

from pipeline.artifacts.evaluation import Judgement
from pipeline.artifacts.lineage import VERDICT, WEIGHTS, Lineage
from pipeline.base import files
from pipeline.base.params import Section, fits
from pipeline.registry import packaging
from pipeline.registry.chain import Standing, Story
from pipeline.registry.client import LINEAGE, Registry, again
from pipeline.registry.receivers import Receiver
from pipeline.registry.run import Run
from pipeline.registry.transitions import Transitions
from pipeline.registry.version import FORMAT, Version, numbered


class Promote(Section):
    """Who moves the alias, who is told, and what an hour of training costs."""

    automatic: bool
    notify: tuple[Receiver, ...]
    cost_per_hour: (
        Annotated[str, fits(r"\d{1,9}(\.\d{1,6})? \S{1,10}", "a number and a currency, e.g. 0.40 EUR")] | None
    )
    """Of the machine that trains."""

    def price(self, seconds: float | None) -> str:
        """What so many seconds cost, e.g. 0.02 EUR; empty where nobody knows the one or the other."""
        if self.cost_per_hour is None or seconds is None:
            return ""
        rate, _, currency = self.cost_per_hour.partition(" ")
        price = float(rate) * seconds / 3600
        return f"under 0.01 {currency}" if 0 < price < 0.005 else f"{price:.2f} {currency}"

    @field_validator("notify")
    @classmethod
    def _are_different(cls, notify: tuple[Receiver, ...]) -> tuple[Receiver, ...]:
        names = [receiver.name for receiver in notify]
        identities = [receiver.identity for receiver in notify]
        if twice := [name for name, one in zip(names, identities, strict=True) if identities.count(one) > 1]:
            raise ValueError(f"{twice[0]} is there twice; expected each receiver once; delete one of the two")
        return notify


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
    epoch: int = 0
    """Whose weights are served."""


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


def register(
    registry: Registry,
    run: Run,
    package: Package,
    lineage_digest: str,
    card: str,
    scratch: Path,
    log: Callable[[str], None],
) -> Version:
    """Make a version of a run, or give the one that another workspace made of the same run key first.

    Args:
        registry: of which model.
        run: to which everything was uploaded.
        package: what was uploaded.
        lineage_digest: SHA-256 of the lineage.
        card: shown beside the version.
        scratch: for the folder that MLflow packs.
        log: logs the final metrics, which are those of the logged model of this id.
    """
    lineage = package.lineage
    served = packaging.pack(package.model, lineage.run_key, scratch / "package")
    source, model_id = run.log_model(served, package.requirements, package.params, package.epoch)
    log(model_id)
    tags = {
        **_tags(lineage, lineage_digest),
        "run_key": lineage.run_key,
        "recipe": lineage.recipe,
        "format": FORMAT,
        "commit": lineage.commit,
        "weights": lineage.files[WEIGHTS],
        "served": served.digest,
        **{name: f"{value:g}" for name, value in package.params.items()},
        "sources": lineage.sources_digest,
    }
    return registry.create_version(run, source, model_id, tags, card)


def _tags(lineage: Lineage, lineage_digest: str) -> dict[str, str]:
    """What a new judgement changes."""
    return {"parent": str(lineage.parent or ""), "rival": str(lineage.champion or ""), "lineage": lineage_digest}


def judgement(registry: Registry, version: Version, scratch: Path) -> Judgement:
    """The verdict that a version was registered with."""
    lineage = registry.lineage(version, scratch / "objects")
    return Judgement.read(registry.download(version.run_id, VERDICT, lineage.files[VERDICT], scratch / "objects"))


def is_other_verdict(registry: Registry, version: Version, lineage: Lineage, scratch: Path) -> bool:
    """Whether a version was registered with another verdict than that of this lineage."""
    before = registry.lineage(version, scratch / "objects").files
    return before.get(VERDICT) != lineage.files[VERDICT]


def judge_again(registry: Registry, run: Run, package: Package, version: Version, scratch: Path) -> None:
    """Upload what a new judgement of a version says, beside what the one before said.

    Nothing is overwritten: until the version's tag names the new lineage, the old one counts, and is whole.
    """
    before = registry.lineage(version, scratch / "objects").files
    record = scratch / "lineage.json"
    package.lineage.write(record)
    digest = files.sha256_file(record)
    changed = {name: path for name, path in package.uploads.items() if before.get(name) != package.lineage.files[name]}
    for artifact, path in {**changed, LINEAGE: record}.items():
        run.upload(path, again(artifact, digest if artifact == LINEAGE else package.lineage.files[artifact]))
    registry.annotate(version.number, _tags(package.lineage, digest))


def move_anchor(registry: Registry, version: Version, champion: int | None, judgement: Judgement) -> None:
    """Bring the anchor's alias to the best version so far: the new champion, or what the verdict took for it.

    Args:
        registry: has both aliases.
        version: the challenger.
        champion: number of the champion now.
        judgement: on the challenger.
    """
    is_champion = champion == version.number
    if not is_champion and champion != judgement.champion:
        return  # it is about another champion: the next cycle finds the anchor of this one
    best = version.number if is_champion and judgement.is_best else judgement.anchor
    now = registry.anchor()
    if best is not None and (now is None or now.number != best):
        registry.move_anchor(best)


@dataclass(frozen=True)
class Conclusion:
    """What became of a version."""

    story: Story
    """Of the alias, settled."""
    said: str
    """In a sentence."""


def carry_out(
    registry: Registry,
    version: Version,
    judgement: Judgement,
    digest: str,
    automatic: bool,
    prove: Callable[[], None],
) -> Conclusion:
    """Bring the alias to what a verdict says, if the champion is still the one that it is about.

    Whoever repeats it, and after whatever end, the same is done once.

    Args:
        registry: of the version.
        version: was judged.
        judgement: on it.
        digest: of the judgement.
        automatic: whether the verdict moves the alias, or a person does.
        prove: lets the version answer from the registry before anything is made of it, or raises an error.
    """
    transitions = Transitions(registry)
    story = transitions.settle()
    number = version.number
    if judgement.decision == "promote" and not _is_decided(version, story):
        prove()
        why = "; ".join(judgement.reasons)
        about = {"verdict": digest, "decision": judgement.decision, "key": f"promoted:{number}:{digest}"}
        if automatic:
            transitions.append(transitions.event("promoted", version, judgement.champion, why, **about))
        else:
            about["key"] = f"nominated:{number}"
            transitions.append(transitions.event("nominated", version, story.champion, why, **about))
        story = transitions.settle()
    said = _said(registry, version, judgement, story)
    return Conclusion(story, said)


def _said(registry: Registry, version: Version, judgement: Judgement, story: Story) -> str:
    """What became of a version, and what is to be done."""
    number, champion, alias = version.number, story.champion, registry.alias
    now = numbered(champion)
    if decided := by_people(story, version):
        return f"{decided}; {alias} is {now}"
    if number == champion and (judgement.decision in ("promote", "unchanged") or judgement.champion is None):
        return f"v{number} is the new {alias}"
    if number == champion:
        return (
            f"v{number} is registered; {alias} stays {now}; by today's verdict it would not be promoted: "
            f"`python -m pipeline rollback {judgement.champion} --why REASON` takes it back"
        )
    if number in story.champions:
        return f"v{number} was promoted before; {alias} is {now} by now and stays"
    if judgement.decision == "promote":
        return (
            f"v{number} keeps its verdict, but that is about {_named(judgement.champion)}, and {alias} is {now} by "
            f"now; it is due for a new judgement: run `dvc repro` again, which judges it against {now} without training"
        )
    return f"v{number} is registered; {alias} stays {now}"


def by_people(story: Story, version: Version) -> str:
    """What people decided on a version, or that they have to; empty if it is not up to them."""
    number = version.number
    event, standing = story.last(number), story.standing(number)
    if declined := story.kept_out(number, version.run_key):
        same = "" if declined.left == number else f"is the same model as v{declined.left}, which "
        return (
            f"v{number} {same}was {declined.how} by {declined.who} on {declined.when[:10]} ({declined.why}), and "
            f"is not promoted; `python -m pipeline promote {number} --why REASON` promotes it all the same"
        )
    if standing == "waiting":
        return (
            f"v{number} waits for a person: `python -m pipeline promote {number} --why REASON` approves it, `python -m "
            f"pipeline reject {number} --why REASON` declines it"
        )
    if standing == "champion" and event and not event.verdict and event.kind != "began":
        return f"v{number} is champion by {event.who} since {event.when[:10]} ({event.why})"
    return ""


def _named(number: int | None) -> str:
    return f"v{number}" if number else "no champion"


def is_due(version: Version, story: Story) -> bool:
    """Whether a version won against a champion that is no more, and has to be judged against today's."""
    return version.verdict == "promote" and not _is_decided(version, story) and version.champion != story.champion


def _is_decided(version: Version, story: Story) -> bool:
    """Whether the history says already what became of a version, or that a person has to say it."""
    number = version.number
    is_declined = story.kept_out(number, version.run_key) is not None
    return number in story.champions or is_declined or story.is_waiting(number)


Retell = Callable[[str, Version, Story, str, str], str]
"""See `pipeline.filing.retold`: registry knows no cards."""


def record(registry: Registry, story: Story, retell: Retell) -> None:
    """Let each version say what became of it, in its tags and on its card, where that changed since.

    Args:
        registry: of the versions.
        story: of its alias, settled.
        retell: gives a description that says what became of a version by now.
    """
    for version in registry.all():
        standing = story.standing(version.number)
        if standing == version.standing or not (version.verdict or version.standing):
            continue
        said = told(story, version)
        shown = retell(registry.description(version.number), version, story, registry.alias, said)
        is_promoted = str(version.number in story.champions).lower()
        registry.annotate(version.number, {"promoted": is_promoted, "standing": standing}, shown)


def told(story: Story, version: Version) -> str:
    """What became of a version by now, in a sentence."""
    return by_people(story, version) or f"v{version.number} {_STANDS[story.standing(version.number)]}"


_STANDS: Mapping[Standing, str] = {
    "champion": "is champion",
    "was champion": "was champion until a better one came",
    "waiting": "waits for a person",
    "rejected": "was rejected",
    "rolled back": "was rolled back",
    "": "is registered",
}
