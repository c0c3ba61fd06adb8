"""Copies: the same bytes twice count once, and under two labels no copy is believed until a person has decided."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from project import Done, Project, picture, pictures


@dataclass
class State:
    """What one cycle said and left behind."""

    done: Done
    aside: dict[str, str]
    ledger: dict[str, dict[str, Any]]
    dataset: dict[str, Any]

    def is_there(self, path: str) -> bool:
        return path in self.ledger and not self.ledger[path]["removed"]


def take(project: Project) -> State:
    done = project.cycle()
    project.promote()
    return State(done, project.aside(), project.ledger(), project.space.read("dataset/dataset.json"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    return Project.create(tmp_path_factory.mktemp("conflicts") / "clone", empty_database)


@pytest.fixture(scope="module")
def first(project: Project) -> State:
    """A copy of one image; and one image under both labels."""
    project.space.put("first", pictures(range(30), "cat", "dog"))
    project.space.put("first", {"cat": {"both.png": picture(500)}, "dog": {"both.png": picture(500)}})
    project.space.put("other", pictures(range(40, 44), "cat", "dog"))
    project.space.put("copies", {"cat": {"zero.png": picture(0), "forty.png": picture(40)}})
    project.track("first", "other", "copies")
    return take(project)


def test_copies_of_one_label_count_once(first: State) -> None:
    assert first.is_there("copies/cat/zero.png") != first.is_there("first/cat/0.png")
    assert len(first.ledger) == first.dataset["num_images"] == 68
    assert "; 68 of them new" in first.done.out


def test_an_image_under_two_labels_sets_all_copies_aside(first: State) -> None:
    places = "cat at 'data/images/first/cat/both.png', dog at 'data/images/first/dog/both.png'"
    words = f"the same bytes carry 2 labels: {places}"
    assert first.aside == dict.fromkeys(["first/cat/both.png", "first/dog/both.png"], words)
    assert not first.is_there("first/cat/both.png")
    assert not first.is_there("first/dog/both.png")
    assert "keep the copy with the right label, remove the others, `dvc add` the batch" in first.done.out


@pytest.fixture(scope="module")
def second(project: Project, first: State) -> State:
    """New copies under another label: of an image in a batch that does not change; and a relabelled one whose copy
    elsewhere keeps the old label."""
    assert first.aside
    project.add("wrong", {"dog": {"three.png": picture(3), "more.png": picture(600, "dog")}})
    (project.root / "data/images/other/cat/40.png").rename(project.root / "data/images/other/dog/forty.png")
    project.track("other")
    return take(project)


def test_a_copy_under_another_label_sets_the_old_one_aside_too(first: State, second: State) -> None:
    words = (
        "the same bytes carry 2 labels: cat at 'data/images/first/cat/3.png', dog at 'data/images/wrong/dog/three.png'"
    )
    assert second.aside["wrong/dog/three.png"] == second.aside["first/cat/3.png"] == words
    assert first.is_there("first/cat/3.png")
    assert not second.is_there("first/cat/3.png")
    assert not second.is_there("wrong/dog/three.png")


def test_a_copy_that_keeps_the_old_label_after_a_relabelling_is_a_conflict(second: State) -> None:
    assert {"other/dog/forty.png", "copies/cat/forty.png"} <= set(second.aside)
    assert not any(
        second.is_there(path) for path in ("other/dog/forty.png", "copies/cat/forty.png", "other/cat/40.png")
    )


def test_a_conflict_leaves_the_other_images_alone(first: State, second: State) -> None:
    there = {path for path in first.ledger if first.is_there(path)} - {"first/cat/3.png", "other/cat/40.png"}
    there -= {"copies/cat/forty.png"}
    assert {path for path in second.ledger if second.is_there(path)} == there | {"wrong/dog/more.png"}


@pytest.fixture(scope="module")
def third(project: Project, second: State) -> State:
    """Nothing is done about it, while other images come."""
    assert second.aside
    project.add("third", pictures(range(700, 704), "cat", "dog"))
    return take(project)


def test_a_conflict_stays_until_a_person_decides(second: State, third: State) -> None:
    assert third.aside == second.aside
    assert not third.is_there("first/cat/3.png")


@pytest.fixture(scope="module")
def fourth(project: Project, third: State) -> State:
    """Each conflict is decided: twice for the old label, once for the new one."""
    assert third.aside
    project.remove("wrong/dog/three.png", "first/dog/both.png", "copies/cat/forty.png")
    project.track("wrong", "first", "copies")
    return take(project)


def test_once_decided_the_images_are_back(fourth: State) -> None:
    assert fourth.aside == {}
    assert fourth.is_there("first/cat/3.png")
    assert fourth.is_there("first/cat/both.png")
    assert fourth.ledger["other/dog/forty.png"]["label"] == "dog"


def test_an_image_comes_back_to_its_old_split(first: State, third: State, fourth: State) -> None:
    for path in ("first/cat/3.png", "other/dog/forty.png"):
        row = fourth.ledger[path]
        (was,) = [old for old in first.ledger.values() if old["digest"] == row["digest"]]
        assert not row["removed"]
        assert (row["split"], row["first_seen"], row["group"]) == (was["split"], was["first_seen"], was["group"])
    splits = {row["digest"]: row["split"] for row in third.ledger.values()}
    assert all(splits.get(row["digest"], row["split"]) == row["split"] for row in fourth.ledger.values())


def test_no_image_has_two_rows(fourth: State) -> None:
    digests = [row["digest"] for row in fourth.ledger.values()]
    assert len(digests) == len(set(digests))
