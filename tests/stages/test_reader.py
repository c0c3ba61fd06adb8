"""A person who may read the registry of a team, and no more."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import READER, guarded_server
from project import Project

AS_READER = {"MLFLOW_TRACKING_USERNAME": READER[0], "MLFLOW_TRACKING_PASSWORD": READER[1]}


@pytest.fixture
def reading(trained: Project, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a reader has in the environment: the registry of a first cycle is behind a server with users."""
    folder = tmp_path / "server"
    folder.mkdir()
    with guarded_server(f"sqlite:///{trained.root}/store/mlflow.db", folder) as address:
        yield {"MLFLOW_TRACKING_URI": address, **AS_READER}


def test_who_may_only_read_looks_at_all_and_changes_nothing(trained: Project, reading: dict[str, str]) -> None:
    done = trained.run("resolve", "promote", **reading)  # what a `dvc repro` runs that has nothing to do
    assert done.code == 0, done.err
    assert "promote: nothing to do: " in done.out
    done = trained.call("explain", "1", **reading)
    assert done.code == 0, done.err
    image = next(path for path in sorted((trained.root / "data/images").rglob("*.png")))
    done = trained.call("trace", str(image), **reading)
    assert done.code == 0, done.err

    trained.space.params(train={"seed": 8})
    done = trained.run("train", **reading)
    assert done.code == 5, done.out
    assert "lets this user not do this: " in done.error
    assert (
        "nothing was changed; ask for the permission EDIT on the experiment and on the registered model" in done.error
    )
