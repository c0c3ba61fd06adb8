"""A holdout that lacks something, or that changed under the champion: the verdict says so, and promotes nothing."""

import re
from typing import Any

from project import Project, pictures


def holdout(project: Project, *labels: str) -> list[str]:
    """Paths of the images that judge."""
    return [path for path, row in project.ledger().items() if row["split"] == "holdout" and row["label"] in labels]


def take_out(project: Project, *paths: str) -> None:
    project.space.params(detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
    project.remove(*paths)
    project.track("first", "more1")


def verdict(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = project.space.read("evaluation/verdict.json")
    return found


def champion(project: Project) -> int:
    return int(project.mlflow.get_model_version_by_alias("evergreen", "champion").version)


def test_a_label_that_lost_all_its_holdout_images_is_said(lived: Project) -> None:
    take_out(lived, *holdout(lived, "cat"))
    done = lived.cycle()
    assert "1 label has no holdout image, so nothing is known of it: cat" in verdict(lived)["reasons"]
    assert "so nothing is known of it: cat" in done.out
    assert "so nothing is known of it: cat" in (lived.root / "data/cycle/report.md").read_text()
    assert verdict(lived)["decision"] == "reject"
    assert champion(lived) == 2


def test_a_holdout_without_images_is_refused_and_the_way_out_works(lived: Project) -> None:
    take_out(lived, *holdout(lived, "cat", "dog"))
    done = lived.upto("prepare")
    assert done.code == 4
    (more,) = re.findall(
        r"prepare: error: 0 of \d+ images fall to holdout; expected at least 3 \(prepare.min_split\); add about (\d+) "
        r"images more, which prepare.val_fraction and prepare.holdout_fraction share out$",
        done.error,
    )
    lived.add("more2", pictures(range(400, 400 + int(more) // 2 + 1), "cat", "dog"))
    again = lived.upto("prepare")
    assert again.code == 0, again.err


def test_one_holdout_image_promotes_nothing(lived: Project) -> None:
    lived.space.params(prepare={"min_split": 1})
    take_out(lived, *holdout(lived, "cat", "dog")[1:])
    lived.cycle()
    assert verdict(lived)["decision"] in ("reject", "not enough evidence")
    assert champion(lived) == 2
    assert lived.call("explain").code == 0


def test_a_holdout_whose_labels_all_changed_promotes_nothing(lived: Project) -> None:
    """The challenger is judged by labels that the champion never had; nobody can tell who is right."""
    for label, other in (("cat", "dog"), ("dog", "cat")):
        for path in holdout(lived, label):
            batch, _, name = path.split("/")
            moved = lived.root / f"data/images/{batch}/{other}/moved-{name}"
            (lived.root / "data/images" / path).rename(moved)
    lived.track("first", "more1")
    lived.cycle()
    assert verdict(lived)["decision"] != "promote"
    assert champion(lived) == 2


def test_a_champion_that_knows_none_of_the_labels_of_today_is_wrong_everywhere(lived: Project) -> None:
    lived.space.params(validate={"new_labels": "allow"}, prepare={"removed_labels": ["cat", "dog"]})
    lived.space.put("first", pictures(range(200, 230), "owl", "hen"))
    lived.space.put("more1", pictures(range(300, 310), "owl", "hen"))
    take_out(lived, "first/cat", "first/dog", "more1/cat", "more1/dog")
    done = lived.cycle()
    scores: dict[str, Any] = lived.space.read("evaluation.json")
    assert scores["champion"] == {"accuracy": 0.0, "balanced_accuracy": 0.0}
    rows = lived.table("evaluation/predictions.parquet")
    assert (rows["champion"] != rows["label"]).all()
    assert "and 0 the other way round" in done.out


def test_champion_and_anchor_that_see_other_images_by_another_network_are_held_against_the_challenger(
    lived: Project,
) -> None:
    lived.space.params(
        prepare={"image_size": 12, "fit": "pad", "channels": 1}, train={"start": "cold", "architecture": "photo_cnn"}
    )
    lived.add("more2", pictures(range(200, 212), "cat", "dog"))
    lived.cycle()
    rows = lived.table("evaluation/predictions.parquet")
    assert not rows["champion_truth"].null_count() + rows["anchor_truth"].null_count()
    assert (verdict(lived)["rival"], verdict(lived)["anchor"]) == (2, 1)
    assert lived.call("explain", "--as-if", "evaluate.margin=0.1").code == 0
