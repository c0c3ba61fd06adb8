"""Filing: what the registry says of versions, in the words of their cards."""

from collections.abc import Mapping

from pipeline.artifacts.filed import Filed
from pipeline.registry import links
from pipeline.registry.chain import Story
from pipeline.registry.client import Registry
from pipeline.registry.version import Version
from pipeline.showing import card
from pipeline.showing.addresses import Addresses


def filed(version: Version, story: Story, alias: str, said: str) -> Filed:
    """What became of a version.

    Args:
        version: of the registered model.
        story: of its alias, settled.
        alias: its name.
        said: what was done, in a sentence.
    """
    number = version.number
    event = story.kept_out(number, version.run_key) or story.last(number)
    # What a champion became of since is another version's story.
    is_decided = event is not None and event.kind != "nominated" and story.standing(number) != "was champion"
    is_person = event is not None and is_decided and not event.verdict and event.kind != "began"
    decided = "by the verdict" if version.verdict and not event else ""
    if event and is_decided:
        why = f": {event.why}" if is_person else ""
        decided = f"{'' if is_person else 'by the verdict, '}{event.who}, {event.when[:10]}{why}"
    return Filed(
        number=number,
        rival=version.champion,
        decision=version.verdict,
        standing=story.standing(number),
        said=said,
        is_promoted=number in story.champions,
        decided=decided,
        is_person=is_person,
        is_back=event is not None and event.kind == "rolled back" and event.version == number,
        alias=alias,
    )


def retold(description: str, version: Version, story: Story, alias: str, said: str) -> str:
    """The description of a version, with what became of it by now.

    Args:
        description: as it is.
        version, story, alias, said: see `filed`.
    """
    return card.retold(description, filed(version, story, alias, said))


def addresses(registry: Registry, run_id: str, places: Mapping[str, str]) -> Addresses:
    """Where the MLflow UI shows what the card of a version names.

    Args:
        registry: of the version.
        run_id: of its run.
        places: where artifacts are that a later judgement put elsewhere, by name.
    """
    experiment = registry.runs.experiment() or ""
    return Addresses(
        version=lambda number: links.inside(links.version(registry.name, number)),
        run=links.inside(links.run(experiment, run_id)),
        artifact=lambda name: links.artifact(run_id, places.get(name, name)),
        page=lambda name: links.inside(links.artifacts(experiment, run_id, name)),
    )
