"""Versions of a registry for tests."""

from pathlib import Path

import pytest

from pipeline.registry.client import Registry
from pipeline.registry.run import Run, Served
from pipeline.registry.version import Version

NOTHING = Served(Path(), Path(), "0" * 64)


def register(reg: Registry, key: str, monkeypatch: pytest.MonkeyPatch, **tags: str) -> Version:
    """A version without uploading a model, which takes seconds and is tested with the pipeline."""
    monkeypatch.setattr(Run, "log_model", lambda run, *_: (f"runs:/{run.run_id}/model", None))
    return reg.register(reg.run(key, "cycle"), NOTHING, {"run_key": key, **tags}, [], "a card")


def promote(reg: Registry, number: int) -> None:
    """Move the alias from where it is."""
    champion = reg.champion()
    assert reg.promote(number, champion.number if champion else None)
