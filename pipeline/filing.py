"""How versions are filed: what the registry says became of one, in the words of its card."""

from pipeline.registry.chain import Story
from pipeline.registry.version import Version
from pipeline.showing import card
from pipeline.showing.wording import Filed


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
    is_person = event is not None and not event.verdict and event.kind not in ("began", "nominated")
    decided = ""
    if event and event.kind != "nominated":
        why = f": {event.why}" if is_person else ""
        by = event.who if is_person else f"the verdict, {event.who}"
        decided = f"{by}, {event.when[:10]}{why}"
    return Filed(
        number=number,
        rival=version.champion,
        decision=version.verdict,
        standing=story.standing(number),
        said=said,
        decided=decided,
        is_person=is_person,
        alias=alias,
    )


def retold(description: str, version: Version, story: Story, alias: str, said: str) -> str:
    """The description of a version, with what became of it by now.

    Args:
        description: as it is.
        version, story, alias, said: see `filed`.
    """
    return card.retold(description, filed(version, story, alias, said))
