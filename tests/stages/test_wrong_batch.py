"""A batch of wrong labels that became champion and is taken back: what a cycle may start from then."""

from pathlib import Path

import pytest
from project import MadeOnce, Project, pictures


@pytest.fixture
def reverted(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """The champion, v2, learned from a bad batch; that is reverted, and a good one is added."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        for number, batch in enumerate(["first", "bad"]):
            project.add(batch, pictures(range(100 * number, 100 * number + 30), "cat", "dog"))
            project.cycle()
            project.promote()
        project.space.git("revert", "--no-edit", "HEAD")
        project.remove("bad")
        project.add("good", pictures(range(200, 220), "cat", "dog"))

    return made_once("reverted", make).copy(tmp_path / "clone")


def test_the_error_offers_the_champion_that_never_saw_it_and_that_is_started_from(reverted: Project) -> None:
    refused = reverted.upto("detect")
    assert refused.code == 4
    assert "60 of 120 images (of all labels) are gone at once" in refused.error
    assert "into detect.acknowledged in params.yaml, and what the parent learned from them stays; or" in refused.error
    assert "set resolve.after_removal: retrain, and the cycle starts from the newest champion that" in refused.error
    reverted.space.params(resolve={"after_removal": "retrain"})
    done = reverted.cycle()
    assert "60 images are gone since v2; this cycle starts from v1, which never saw what is gone" in done.out
    assert "detect: 40 images added" in done.out
    assert "train: warm start: from v1" in done.out
    assert reverted.space.read("evaluation/verdict.json")["rival"] == 2
    again = reverted.cycle()
    assert "this data is known, v3 was trained on it" in again.out
    assert "promote: nothing to do" in again.out
    assert reverted.space.read("parent.json")["version"] == 1


def test_who_acknowledged_it_first_is_told_and_may_still_start_from_the_other(reverted: Project) -> None:
    name = reverted.upto("detect").error.partition("put ")[2].partition(" ")[0]
    reverted.space.params(detect={"acknowledged": [name]})
    done = reverted.cycle()
    assert "train: warm start: from v2" in done.out
    assert (
        "what the parent learned from them stays (resolve.after_removal: warn; with retrain the cycle starts"
        in (reverted.warnings()[-1])
    )
    splits = {path: row["split"] for path, row in reverted.ledger().items() if not row["removed"]}
    reverted.promote(3)
    reverted.space.params(resolve={"after_removal": "retrain"})
    done = reverted.cycle()
    assert "60 images are gone since v2; this cycle starts from v1, which never saw what is gone" in done.out
    assert "train: warm start: from v1" in done.out
    assert reverted.space.read("parent.json")["elder"]["version"] == 3, "splits stay"
    assert {path: row["split"] for path, row in reverted.ledger().items() if not row["removed"]} == splits
    assert reverted.space.read("evaluation/verdict.json")["rival"] == 3
    before = reverted.space.read("parent.json")
    again = reverted.cycle()
    assert "this data is known, v4 was trained on it" in again.out
    assert reverted.space.read("parent.json") == before
