"""Versions of a registry for tests."""

from pathlib import Path

from pipeline.registry.chain import Event
from pipeline.registry.client import Registry
from pipeline.registry.transitions import Transitions
from pipeline.registry.version import Version


def register(reg: Registry, key: str, scratch: Path = Path("data/scratch"), **tags: str) -> Version:
    """A version without uploading a model, which takes seconds and is tested with the pipeline."""
    run = reg.runs.begin(key, "cycle", scratch)
    return reg.create_version(run, f"runs:/{run.run_id}/model", None, {"run_key": key, **tags}, "a card")


def event(reg: Registry, number: int, source: int | None, **more: str) -> Event:
    """A version becomes champion."""
    return Transitions(reg).event("promoted", reg.version(number), source, "it is better", **more)


def advance(reg: Registry, number: int, source: int | None, **more: str) -> bool:
    """Make a version champion, if the champion is the one that it was judged against; whether it was."""
    done = Transitions(reg).append(event(reg, number, source, **more))
    Transitions(reg).settle()
    return done is not None


def champion(reg: Registry) -> int | None:
    """Number of the version under the alias."""
    found = reg.champion()
    return found.number if found else None


def tags(reg: Registry) -> dict[str, str]:
    """Of the registered model."""
    return dict(reg._client.get_registered_model(reg.name).tags)


def promote(reg: Registry, number: int) -> None:
    """Move the alias from where it is."""
    champion = reg.champion()
    assert Transitions(reg).append(event(reg, number, champion.number if champion else None))
    Transitions(reg).settle()
