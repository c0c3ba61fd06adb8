"""What a cycle transfers: a fresh clone with an empty cache fetches what it needs, each once, and nothing else."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path

import pytest
from project import Done, Project, pictures

from benchmarks.remote import CountingRemote
from pipeline.data import dataset

OLD, NEW = 200, 12


@dataclass
class Story:
    """A first cycle where the images were added, then a second one in a clone that has nothing."""

    project: Project
    clone: Project
    done: Done
    asked: Counter[str]
    gets: int
    again: Counter[str]


def digest(content: bytes) -> str:
    return md5(content, usedforsecurity=False).hexdigest()


def listing(project: Project, batch: str) -> str:
    import yaml

    (out,) = yaml.safe_load((project.root / f"data/images/{batch}.dvc").read_text())["outs"]
    return out["md5"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("transfer")
    project = Project.create(folder / "origin", empty_database)
    project.space.params(prepare={"max_val": 9, "max_holdout": 11, "replay": 2})
    for batch, start in (("first", 0), ("second", OLD)):  # the second is not opened: nothing of it is new
        project.add(batch, pictures(range(start, start + OLD // 2), "cat", "dog"))
    project.cycle()
    project.add("new", pictures(range(2 * OLD, 2 * OLD + NEW // 2), "cat", "dog"))
    with CountingRemote(project.root / "store/remote") as remote:
        project.space.dvc("push", "--quiet")
        remote.forget()
        space = project.space.clone(folder / "clone")
        space.keep_images_in(remote.url)
        clone = Project(space)
        shutil.copy(project.root / "params.yaml", clone.root)
        done = clone.upto("prepare")
        asked, gets = remote.asked.copy(), remote.gets
        remote.forget()
        assert clone.upto("prepare").code == 0
        yield Story(project, clone, done, asked, gets, remote.asked.copy())


def test_a_clone_with_nothing_runs_a_cycle(story: Story) -> None:
    assert story.done.code == 0, story.done.err
    assert "new data: this cycle starts from v1" in story.done.out
    assert not (story.clone.root / "data/images/first").exists()


def test_it_fetches_the_delta_the_replay_and_the_capped_val_and_holdout_each_once(story: Story) -> None:
    images = dataset.read(story.clone.root / "data/cycle/dataset")
    parts = {split: set(images.part(split).digests) for split in dataset.SPLITS}
    assert len(parts["val"]) == 9
    assert len(parts["holdout"]) == 11
    new = {
        digest(content)
        for of in pictures(range(2 * OLD, 2 * OLD + NEW // 2), "cat", "dog").values()
        for content in of.values()
    }
    learned = len(parts["train"] & new)
    assert len(parts["train"]) == learned + 2 * learned
    wanted = new.union(*parts.values())
    assert len(wanted) < OLD / 2
    images_asked = {name: count for name, count in story.asked.items() if not name.endswith(".dir")}
    assert images_asked == dict.fromkeys(wanted, 1)


def test_of_the_listings_only_that_of_the_changed_batch_is_fetched(story: Story) -> None:
    listings = {name: count for name, count in story.asked.items() if name.endswith(".dir")}
    assert listings == {listing(story.project, "new"): 1}


def test_the_stages_say_what_they_fetched(story: Story) -> None:
    assert story.gets == sum(story.asked.values()), "nothing was asked for that is not there"
    said = [line for line in story.done.out.splitlines() if "from the DVC remote" in line]
    assert [line.split(":")[0] for line in said] == ["validate", "prepare"]
    assert f"fetched {NEW} files" in said[0]


def test_a_second_run_fetches_nothing(story: Story) -> None:
    assert not story.again
