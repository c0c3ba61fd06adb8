"""What counts as new: to the parent, what its cycle did not have trains; to the champion, the same is judged apart."""

import numpy as np
from project import Project, picture, pictures

from pipeline.data import dataset
from pipeline.data.dataset import Part

WRONG = {
    label: {f"{number}.png": picture(number, other) for number in range(100, 120)}
    for label, other in (("cat", "dog"), ("dog", "cat"))
}
"""A batch with each picture under the other label."""


def parts(project: Project) -> dict[str, Part]:
    images = dataset.read(project.root / "data/cycle/dataset")
    return {split: images.part(split) for split in dataset.SPLITS}


def count(project: Project, column: str) -> int:
    return sum(int(np.asarray(getattr(part, column)).sum()) for part in parts(project).values())


def taught(project: Project) -> None:
    """Make a champion that tells cats from dogs, and let every doubt of its count."""
    project.space.params(
        train={"max_epochs": 8, "batch_size": 16, "learning_rate": 0.01, "warm_rate": 1, "average": 0},
        prepare={"channels": 1},
        evaluate={"suspicious": 0.51, "min_accuracy": 0.5, "confidence": 0.6},
    )
    project.add("first", pictures(range(40), "cat", "dog"))
    project.cycle()
    assert project.space.read("promotion.json")["promoted"]
    assert project.space.read("evaluation.json")["challenger"]["accuracy"] > 0.9


def test_a_batch_that_was_rejected_reverted_and_put_back_is_new_to_the_judge(project: Project) -> None:
    """The ledger remembers its images from the rejected cycle; no version on the parent's line learned them."""
    taught(project)
    project.add("wrong", WRONG)
    project.cycle()
    doubted = project.suspicious()
    project.promote(1)
    pointer = project.root / "data/images/wrong.dvc"
    kept = pointer.read_bytes()
    pointer.unlink()
    project.remove("wrong")
    project.add("third", pictures(range(200, 220), "cat", "dog"))
    project.cycle()
    third = project.promote()
    pointer.write_bytes(kept)
    project.space.dvc("checkout", "--quiet", "data/images/wrong.dvc")
    project.space.commit("Put back")

    done = project.cycle()
    assert f"since v{third}" in done.out
    assert "detect: 40 images added" in done.out
    assert "; 40 of them new" in done.out
    assert count(project, "is_new") == count(project, "is_unlearned") == 40
    again = project.suspicious()
    assert len(doubted) > 30
    assert len(again) > 30
    verdict = project.space.read("evaluation/verdict.json")
    assert verdict["decision"] == "reject"
    assert "new holdout images right, surely below the 50% of evaluate.min_accuracy" in "; ".join(verdict["reasons"])


def test_an_image_that_was_set_aside_and_is_mended_is_new_to_the_parent_and_the_champion(project: Project) -> None:
    taught(project)
    # A copy under another label: no label of the image is believed, so the known one is set aside too.
    project.add("copy", {"dog": {"0.png": picture(0, "cat")}, "cat": {"300.png": picture(300, "cat")}})
    project.cycle()
    second = project.promote()
    assert len(project.aside()) == 2
    project.remove("copy/dog")
    project.track("copy")

    done = project.cycle()
    assert f"no image is new since v{second}; 1 image is tried again that did not pass before" in done.out
    assert "; 1 of them new" in done.out
    assert count(project, "is_new") == count(project, "is_unlearned") == 1
    assert project.space.read("model/training.json")["num_added"] == 1
    report = (project.root / "data/cycle/report.md").read_text()
    assert "**Data since v2**: 1 tried again; 81 images in all." in report


def test_what_trains_is_new_to_the_parent_and_what_judges_apart_is_new_to_the_champion(project: Project) -> None:
    project.add("first", pictures(range(30), "cat", "dog"))
    project.cycle()
    project.promote()
    for number in (1, 2):
        project.add(f"more{number}", pictures(range(100 * number, 100 * number + 10), "cat", "dog"))
        project.cycle()
        project.promote()
    project.space.params(train={"seed": 8})  # known data: its parent is v2, as it was
    assert project.upto("prepare").code == 0
    assert count(project, "is_unlearned") == 20
    assert count(project, "is_new") == 0, "the champion, v3, learned all of it"
    project.promote(1)
    assert project.upto("prepare").code == 0
    assert project.space.read("parent.json")["version"] == 2
    assert count(project, "is_unlearned") == 20
    assert count(project, "is_new") == 40


def test_copies_of_known_images_are_nothing_new(project: Project) -> None:
    project.space.params(prepare={"replay": "all"}, validate={"max_duplicates": 1.0})
    project.add("first", pictures(range(30), "cat", "dog"))
    project.cycle()
    project.promote()
    project.add("copies", pictures(range(10), "cat", "dog"))
    done = project.cycle()
    assert "detect: 20 images added" in done.out
    assert "; 0 of them new" in done.out
    assert "train: nothing new to learn; epoch 0 is kept" in done.out
