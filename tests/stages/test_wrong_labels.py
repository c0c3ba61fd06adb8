"""Labels that are surely wrong: nothing that learned them is promoted, and who is at fault is named."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from project import MadeOnce, Project, picture, pictures


def listed(project: Project, batch: str, numbers: Iterable[int], wrong: Iterable[int] = ()) -> None:
    """A batch of cats and dogs with a labels.csv; who labels the first half is ann, else bob.

    Args:
        project: gets it.
        batch: its name.
        numbers: of the pictures.
        wrong: numbers of those that have the other label.
    """
    numbers, wrong = list(numbers), set(wrong)
    lines = ["file,label,annotator"]
    for place, number in enumerate(numbers):
        label = ("cat", "dog")[number % 2]
        project.write(f"{batch}/shots/{number}.png", picture(number, label))
        said = ("dog", "cat")[number % 2] if number in wrong else label
        lines.append(f"shots/{number}.png,{said},{'ann' if place < len(numbers) / 2 else 'bob'}")
    project.write(f"{batch}/labels.csv", "\n".join(lines).encode())
    project.track(batch)


@pytest.fixture
def begun(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A champion that tells cats from dogs, and enough old images to be sure of something."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(train={"max_epochs": 8}, prepare={"near_duplicates": None})
        project.add("first", pictures(range(240), "cat", "dog"))
        project.cycle()

    return made_once("tells cats from dogs", make).copy(tmp_path / "clone")


def test_a_batch_of_wrong_labels_is_held_back_and_who_is_at_fault_is_named(begun: Project) -> None:
    listed(begun, "bad", range(1000, 1080), wrong=range(1000, 1040))
    done = begun.cycle()
    verdict = begun.space.read("evaluation/verdict.json")
    assert verdict["decision"] != "promote"
    assert not verdict["is_trusted"]
    reasons = "; ".join(verdict["reasons"])
    assert "of the 80 new labels about" in reasons
    assert "annotator ann: about" in reasons
    assert "annotator bob" not in reasons
    assert "the labels of the new images cannot be trusted, so no model that learned them is promoted" in done.out
    doubted = begun.table("evaluation/doubts.parquet")
    assert len(doubted) == 80
    first = [int(Path(path).stem) for path in doubted["path"].head(40)]
    assert sum(number < 1040 for number in first) >= 32, "80 % of the wrong labels are among the first"
    assert doubted["otherwise"][0] != doubted["label"][0]
    again = begun.call("explain")
    assert "cannot be trusted" in again.out


def test_a_clean_batch_is_trusted(begun: Project) -> None:
    listed(begun, "good", range(1000, 1080))
    begun.cycle()
    verdict = begun.space.read("evaluation/verdict.json")
    assert verdict["is_trusted"]
    assert not [reason for reason in verdict["reasons"] if "seem wrong" in reason]


def test_nobody_has_to_ask(begun: Project) -> None:
    begun.space.params(evaluate={"max_wrong": None})
    listed(begun, "bad", range(1000, 1080), wrong=range(1000, 1040))
    begun.cycle()
    assert begun.space.read("evaluation/verdict.json")["is_trusted"]
    assert len(begun.table("evaluation/doubts.parquet")) == 80, "they are shown all the same"


def test_near_duplicates_under_two_labels_are_kept_and_doubted_first(begun: Project) -> None:
    begun.space.params(prepare={"near_duplicates": 0.93})
    twin = picture(5, "cat") + b"\0"
    begun.add("twins", {"dog": {"5.png": twin}, "cat": {f"{n}.png": picture(n, "cat") for n in range(2000, 2020)}})
    begun.cycle()
    conflicts = begun.table("dataset/conflicts.parquet")
    paths = {row["digest"]: path for path, row in begun.ledger().items()}
    assert [{paths[digest] for digest in row} for row in conflicts.iter_rows()] == [
        {"twins/dog/5.png", "first/cat/5.png"}
    ]
    assert begun.table("evaluation/doubts.parquet")["path"][0] == "data/images/twins/dog/5.png"
