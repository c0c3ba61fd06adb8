"""What an earlier Evergreen registered and locked is gone on with: one cycle at most, warm from its champion."""

import shutil
import sqlite3
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import relocate

from benchmarks import digits, workspace
from benchmarks.workspace import CHECKOUT, Repro, Workspace

pytestmark = pytest.mark.project

ELDERS = sorted((Path(__file__).parent / "elder").glob("*.tar.xz"))
PLACE = "/PROJECT"


def unpacked(archive: Path, root: Path) -> Workspace:
    """The project of an earlier commit, with today's code in the place of that one's."""
    space = workspace.create(root)
    # Python has the filter since 3.11.4, and warns from 3.12 on if there is none.
    safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        tar.extractall(space.root, **safe)  # noqa: S202 - an archive of our own
    _merge_settings(space)
    relocate(space.root / "store/mlflow.db", PLACE, str(space.root))
    pointers = [path.read_bytes() for path in sorted((space.root / "data/images").glob("*.dvc"))]
    batches = [str(path.with_suffix("")) for path in sorted((space.root / "data/images").glob("*.dvc"))]
    space.dvc("add", "--quiet", *batches)  # the cache is not in the archive
    assert [path.read_bytes() for path in sorted((space.root / "data/images").glob("*.dvc"))] == pointers
    space.commit("Today's Evergreen")
    return space


def _merge_settings(space: Workspace) -> None:
    """Add the settings that came since: an upgrade by Git merges params.yaml, too."""
    theirs = yaml.safe_load((space.root / "params.yaml").read_text())
    ours = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    space.params(**{section: keys | theirs.get(section, {}) for section, keys in ours.items()})


def versions(space: Workspace) -> int:
    with sqlite3.connect(space.root / "store/mlflow.db") as database:
        ((count,),) = database.execute("select count(*) from model_versions where name = 'evergreen'")
    return int(count)


def champion(space: Workspace) -> int:
    with sqlite3.connect(space.root / "store/mlflow.db") as database:
        ((version,),) = database.execute("select version from registered_model_aliases where alias = 'champion'")
    return int(version)


def is_no_op(repro: Repro) -> bool:
    stages = {stage for stage in workspace.STAGES if f"Running stage '{stage}'" in repro.output}
    return repro.code == 0 and stages == {"resolve", "promote"} and "nothing to do" in repro.output


@pytest.fixture(params=ELDERS, ids=lambda path: path.name.partition(".")[0])
def elder(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    return unpacked(request.param, tmp_path / "clone")


def test_an_upgrade_alone_costs_one_cycle_at_most_and_trains_nothing(elder: Workspace) -> None:
    before, first = versions(elder), elder.repro(quiet=True)
    assert first.code == 0, first.output
    assert f"warm start: from v{champion(elder)}" in first.output
    assert "nothing new to learn" in first.output
    assert versions(elder) <= before + 1
    assert champion(elder) == 2
    elder.commit("Cycle")
    assert is_no_op(elder.repro(quiet=True))
    assert elder.git("status", "--porcelain") == ""
    shutil.rmtree(elder.root / "data/scratch")  # memories are only memories
    assert is_no_op(elder.repro(quiet=True))


def test_new_images_are_learned_from_the_champion_of_before(elder: Workspace) -> None:
    before = versions(elder)
    news = {label: images for label, images in digits.batch(800, 900).items() if label in "0123"}
    elder.put("third", news)
    elder.push("third", "Third batch")
    first = elder.repro(quiet=True)
    assert first.code == 0, first.output
    assert "warm start: from v2" in first.output
    assert f"detect: {sum(map(len, news.values()))} images added since v2" in first.output
    assert versions(elder) == before + 1
    elder.commit("Cycle")
    assert is_no_op(elder.repro(quiet=True))


def test_a_champion_of_before_is_the_parent_on_another_machine_too(elder: Workspace, tmp_path: Path) -> None:
    elder.dvc("push", "--quiet", *(str(path) for path in (elder.root / "data/images").glob("*.dvc")))
    clone = replace(elder.clone(tmp_path / "other"))
    done = clone.repro("--pull", "--allow-missing", quiet=True)
    assert done.code == 0, done.output
    assert "warm start: from v2" in done.output
