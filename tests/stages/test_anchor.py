"""The anchor: the best version so far, by which challengers are judged too, whatever becomes of it in the registry."""

from pathlib import Path
from typing import Any

import pytest
from project import Done, MadeOnce, Project, pictures

ALIAS = "champion-anchor"


def anchor(project: Project) -> int:
    return int(project.mlflow.get_model_version_by_alias("evergreen", ALIAS).version)


def pinned(project: Project) -> int | None:
    """The anchor that resolve pinned, if it is not the champion."""
    pin = project.space.read("champion.json").get("anchor")
    return pin["version"] if pin else None


def tag(project: Project, version: int, name: str) -> str | None:
    tags: dict[str, str] = project.mlflow.get_model_version("evergreen", str(version)).tags
    return tags.get(f"evergreen.{name}")


def grow(project: Project, number: int) -> Done:
    """A cycle with a few more images."""
    project.add(f"more{number}", pictures(range(100 * number, 100 * number + 12), "cat", "dog"))
    return project.cycle()


@pytest.fixture
def lived(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """v1 is the anchor, v2 the champion: a person made it that."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        grow(project, 1)
        project.promote(2)
        project.mlflow.set_model_version_tag("evergreen", "2", "evergreen.is_best", "false")
        project.mlflow.set_registered_model_alias("evergreen", ALIAS, "1")

    return made_once("lived", make).copy(tmp_path / "clone")


def test_the_first_champion_is_the_anchor(trained: Project) -> None:
    assert anchor(trained) == 1
    assert tag(trained, 1, "is_best") == "true"
    assert trained.space.read("evaluation/verdict.json")["anchor"] is None
    assert set(trained.table("evaluation/predictions.parquet").columns) == {
        "digest", "label", "is_new", "is_fresh", "challenger", "challenger_probability", "challenger_truth",
    }  # fmt: skip


def test_champion_and_anchor_are_scored_with_the_challenger(lived: Project) -> None:
    grow(lived, 2)
    assert pinned(lived) == 1
    verdict: dict[str, Any] = lived.space.read("evaluation/verdict.json")
    assert (verdict["rival"], verdict["anchor"]) == (2, 1)
    rows = lived.table("evaluation/predictions.parquet")
    assert {"champion", "champion_truth", "anchor", "anchor_truth"} <= set(rows.columns)
    holdout = lived.table("dataset/holdout.parquet")
    assert rows["digest"].to_list() == holdout["digest"].to_list()
    known = {path for path, row in lived.ledger().items() if path.startswith("first/")}
    by_digest = {row["digest"]: path for path, row in lived.ledger().items()}
    for digest, is_fresh in rows.select("digest", "is_fresh").iter_rows():
        assert is_fresh == (by_digest[digest] not in known), "fresh is what came since the anchor was chosen"
    assert not rows.filter("is_new")["digest"].is_empty()
    assert len(rows.filter("is_new")) < len(rows.filter("is_fresh"))
    again = lived.cycle()
    assert "promote: nothing to do" in again.out
    assert pinned(lived) == 1, "as it was then"


def test_all_challengers_of_a_project_are_counted(lived: Project) -> None:
    assert lived.space.read("champion.json")["judged"] == 1
    grow(lived, 2)
    assert lived.space.read("champion.json")["judged"] == 2
    lived.cycle()
    assert lived.space.read("champion.json")["judged"] == 2, "the same challenger is no further one"
    grow(lived, 3)
    assert lived.space.read("champion.json")["judged"] == 3


def test_a_champion_that_is_surely_better_takes_the_anchors_place_also_if_a_person_made_it_champion(
    lived: Project,
) -> None:
    lived.mlflow.set_model_version_tag("evergreen", "2", "evergreen.is_best", "true")
    grow(lived, 2)
    assert pinned(lived) is None
    assert lived.space.read("evaluation/verdict.json")["anchor"] == 2
    assert anchor(lived) >= 2


def test_a_person_who_sets_the_champion_back_sets_the_anchor_back(lived: Project) -> None:
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "2")
    lived.promote(1)
    grow(lived, 2)
    assert pinned(lived) is None
    assert lived.space.read("evaluation/verdict.json")["anchor"] == 1


def test_an_alias_that_was_deleted_is_known_from_the_champions_lineage(lived: Project) -> None:
    lived.mlflow.delete_registered_model_alias("evergreen", ALIAS)
    grow(lived, 2)
    assert pinned(lived) == 1
    assert anchor(lived) in (1, 3), "and there is an alias again"


def test_where_the_anchor_was_deleted_the_champion_takes_its_place(lived: Project) -> None:
    grow(lived, 2)
    lived.mlflow.delete_registered_model_alias("evergreen", ALIAS)
    lived.mlflow.set_registered_model_alias("evergreen", "champion", "2")
    lived.mlflow.delete_model_version("evergreen", "1")
    again = lived.upto("resolve")
    assert again.code == 0, again.err
    gone = "resolve: warning: v1, the best so far, is not in the registry any more; v2, the champion, takes its place"
    assert gone in again.out
    grow(lived, 3)
    assert lived.space.read("evaluation/verdict.json")["anchor"] == 2


def test_an_alias_on_a_version_that_is_none_of_ours_is_told(lived: Project) -> None:
    run_id = lived.mlflow.get_model_version("evergreen", "1").run_id
    lived.mlflow.create_model_version("evergreen", "runs:/none", run_id)
    grow(lived, 2)
    lived.promote(4)
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "3")
    lived.mlflow.set_model_version_tag("evergreen", "4", "evergreen.is_best", "false")
    done = grow(lived, 3)
    assert "alias champion-anchor names v3, which Evergreen did not register; v4, the champion, is taken" in done.out


def test_a_model_that_sees_other_images_can_be_the_anchor(lived: Project) -> None:
    lived.space.params(prepare={"image_size": 10}, train={"start": "cold"})
    lived.add("larger", pictures(range(900, 912), "cat", "dog"))
    lived.cycle()
    lived.promote(3)
    lived.mlflow.set_model_version_tag("evergreen", "3", "evergreen.is_best", "false")
    grow(lived, 5)
    assert pinned(lived) == 1
    rows = lived.table("evaluation/predictions.parquet")
    assert rows["anchor_truth"].null_count() == 0
