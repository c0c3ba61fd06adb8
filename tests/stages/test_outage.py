"""A registry that goes away while a model is trained: training goes on as if nothing were, and nothing is lost."""

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from project import MadeOnce, Project, pictures

from benchmarks import servers
from pipeline.registry import curves
from pipeline.registry.connection import Connection
from pipeline.registry.run import Run
from pipeline.stages import train

EPOCHS = 5


@pytest.fixture
def ready(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project whose next stage is train."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(train={"max_epochs": EPOCHS, "patience": 9, "batch_size": 16})
        project.add("first", pictures(range(30), "cat", "dog"))
        done = project.upto("prepare")
        assert done.code == 0, done.err

    return made_once("before an outage", make).copy(tmp_path / "clone")


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP], ids=["it is gone", "it hangs"])
def test_training_goes_on_while_the_registry_does_not_answer(
    ready: Project, empty_database: Path, monkeypatch: pytest.MonkeyPatch, way: signal.Signals
) -> None:
    database = f"sqlite:///{shutil.copy(empty_database, ready.root / 'server.db')}"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(train, "PATIENCE", 4.0)
    ready.space.params(budget={"max_minutes": 0.4})
    with servers.mlflow_server(database, ready.root / "artifacts") as address:
        add = curves.Curves.add
        begun: list[float] = []

        def cut(self: curves.Curves, history: Any, prefix: str = "") -> None:
            """The registry goes as soon as the first epoch is scored."""
            if not begun:
                servers.signal_group(address, way)
                begun.append(time.monotonic())
            add(self, history, prefix)

        monkeypatch.setattr(curves.Curves, "add", cut)
        done = ready.run("train", MLFLOW_TRACKING_URI=address)
        monkeypatch.undo()
        assert done.code == 0, done.err
        assert "the limit; epoch " in done.out, "the budget is for training"
        warnings = [line for line in done.err.splitlines() if "warning" in line]
        assert 1 <= len(warnings) <= 2, warnings
        (kept,) = (ready.root / "data/scratch/curves").glob("*.json")
        if way == signal.SIGSTOP:
            servers.signal_group(address, signal.SIGCONT)

    reached = Connection(database)  # that of the server, which costs seconds to start again
    assert curves.catch_up(lambda run_id: Run(reached, run_id), kept.parent) == 1
    logged = reached.client.get_metric_history(kept.stem, "val/loss")
    assert [metric.step for metric in logged] == list(range(EPOCHS + 1))
    assert not kept.exists()
    assert any((ready.root / "data/cycle/model").iterdir())
