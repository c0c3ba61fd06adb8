"""Labels that are surely wrong: nothing that learned them is promoted, and who is at fault is named."""

import re
from collections.abc import Iterable
from pathlib import Path

import polars as pl
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


def doubts(project: Project) -> pl.DataFrame:
    return pl.read_csv(project.root / "data/cycle/evaluation/doubts.csv")


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
    assert verdict["decision"] == "reject"
    assert not verdict["is_trusted"]
    reasons = "; ".join(verdict["reasons"])
    assert "of the 80 new labels about" in reasons
    assert "annotator ann: about" in reasons
    assert "annotator bob" not in reasons
    assert "the labels of the new images cannot be trusted, so only old images judge, and no model that" in done.out
    doubted = doubts(begun)
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
    assert len(doubts(begun)) == 80, "they are shown all the same"


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
    assert doubts(begun)["path"][0] == "data/images/twins/dog/5.png"


def test_labels_that_a_person_found_right_are_believed_from_then_on(begun: Project) -> None:
    listed(begun, "bad", range(1000, 1080), wrong=range(1000, 1040))
    begun.cycle()
    reasons = begun.space.read("evaluation/verdict.json")["reasons"]
    (way_on,) = [reason for reason in reasons if "evaluate.believed" in reason]
    (name,) = re.findall(r"put their name into evaluate.believed: (labels-\w+) \(data/images/bad\)", way_on)
    begun.space.params(evaluate={"believed": [name]})
    begun.cycle()
    verdict = begun.space.read("evaluation/verdict.json")
    assert verdict["is_trusted"]
    assert not verdict["is_doubtful"]
    assert not [reason for reason in verdict["reasons"] if "cannot be trusted" in reason]
    listed(begun, "worse", range(2000, 2080), wrong=range(2000, 2040))
    begun.cycle()
    verdict = begun.space.read("evaluation/verdict.json")
    assert not verdict["is_trusted"], "other labels are not believed"
    assert name not in "; ".join(verdict["reasons"])


def test_what_is_doubted_can_be_opened_in_a_spreadsheet(begun: Project) -> None:
    listed(begun, "=cmd", range(1000, 1080), wrong=range(1000, 1040))
    begun.cycle()
    table = doubts(begun)
    assert table.columns[:5] == ["path", "label", "doubt", "otherwise", "probability"]
    assert set(table.columns[5:]) == {"annotator", "batch", "digest"}
    assert set(table["annotator"]) == {"ann", "bob"}
    assert not table["path"].str.contains("^[=+@-]").any()
