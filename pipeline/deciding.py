"""What the verbs have in common with which people decide: their options, the proof, what they tell."""

import argparse
from collections.abc import Callable
from pathlib import Path

from pipeline import filing
from pipeline.artifacts.parent import Pin
from pipeline.base import project
from pipeline.base.paths import Paths
from pipeline.data import sources
from pipeline.data.store import Store
from pipeline.learning import architecture
from pipeline.registry import outbox, promotion, proof, setbacks
from pipeline.registry.client import Registry
from pipeline.registry.decisions import Decided
from pipeline.registry.events import Events, told
from pipeline.registry.version import Version
from pipeline.settings import Params


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options that all have."""
    parser.add_argument("--why", required=True, type=_reason, metavar="REASON", help="kept in the history for ever")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise argparse.ArgumentTypeError("it is empty; expected a sentence that tells later readers why")
    return reason


def prover(registry: Registry, settings: Params, scratch: Path) -> Callable[[Version], None]:
    """Lets a version answer before it becomes champion."""

    def prove(version: Version) -> None:
        objects = scratch / "objects"
        lineage = registry.lineage(version, objects)
        if lineage.model.is_custom:
            pin = Pin(version=version.number, run_id=version.run_id, lineage=lineage, called=lineage.model.labels)
            architecture.refuse_foreign([pin], settings.train, settings.resolve)
        proof.keep(registry, version, proof.of_version(registry, version, lineage, objects, Store(Path())))

    return prove


def tell(verb: str, registry: Registry, settings: Params, done: Decided, scratch: Path) -> None:
    """Write down what became of the versions, and say it, to receivers too; with what is left to do."""
    promotion.record(registry, done.story, filing.retold)
    print(f"{verb}: {told(done.event)}")
    paths = Paths()
    batches = sources.find(paths.images, at_least=0)
    left = setbacks.left(
        Events(registry).past, done.story, batches, lambda version: registry.lineage(version, scratch / "objects")
    )
    pointers = sources.pointers(paths.images)
    for one in left:
        if one.event.key == done.event.key:
            print(f"{verb}: warning: {one.told(pointers)}")
    outbox.deliver(registry, settings.promote.notify, verb)
