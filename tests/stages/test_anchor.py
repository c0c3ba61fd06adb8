"""The anchor: the best version so far, by which challengers are judged too, whatever becomes of it in the registry."""

from collections.abc import Callable
from typing import Any

import pytest
from project import Done, Project, pictures

ALIAS = "champion-anchor"


def anchor(project: Project) -> int:
    return int(project.mlflow.get_model_version_by_alias("evergreen", ALIAS).version)


def pinned(project: Project) -> int | None:
    """The anchor that resolve pinned, if it is not the champion."""
    pin = project.space.read("champion.json").get("anchor")
    return pin["version"] if pin else None


def tag(project: Project, version: int, name: str) -> str | None:
    return project.tags(version).get(name)


def grow(project: Project, number: int) -> Done:
    """A cycle with a few more images."""
    project.add(f"more{number}", pictures(range(100 * number, 100 * number + 12), "cat", "dog"))
    return project.cycle()


def test_the_first_champion_is_the_anchor(trained: Project) -> None:
    assert anchor(trained) == 1
    assert tag(trained, 1, "is_best") == "true"
    assert trained.space.read("evaluation/verdict.json")["anchor"] is None
    columns = trained.table("evaluation/predictions.parquet").columns
    assert {column for column in columns if not column.startswith("slice ")} == {
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
    lived.retag(2, is_best="true")
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
    done = grow(lived, 2)
    assert "resolve: alias champion-anchor is gone; v1 is the best so far, and gets it back" in done.out
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


@pytest.mark.parametrize(
    ("was_champion", "told"),
    [
        (True, "which Evergreen did not register; v4, the champion, is taken as the best so far"),
        (False, "which never was champion; v1 is the best so far, and gets it back"),
    ],
)
def test_an_alias_on_a_version_that_is_none_of_ours_is_told(lived: Project, was_champion: bool, told: str) -> None:
    run_id = lived.mlflow.get_model_version("evergreen", "1").run_id
    lived.mlflow.create_model_version("evergreen", "runs:/none", run_id)
    grow(lived, 2)
    if was_champion:
        lived.promote(3)
        lived.call("reject", "2", "--why", "so that the history has the move")
    lived.promote(4)
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "3")
    lived.retag(4, is_best="false")
    done = grow(lived, 3)
    assert f"alias champion-anchor names v3, {told}" in done.out


def test_a_model_that_sees_other_images_can_be_the_anchor(lived: Project) -> None:
    lived.space.params(prepare={"image_size": 10}, train={"start": "cold"})
    lived.add("larger", pictures(range(900, 912), "cat", "dog"))
    lived.cycle()
    lived.promote(3)
    lived.retag(3, is_best="false")
    grow(lived, 5)
    assert pinned(lived) == 1
    rows = lived.table("evaluation/predictions.parquet")
    assert rows["anchor_truth"].null_count() == 0


def weights_gone(project: Project) -> None:
    project.artifact(1, "model/weights.npz").unlink()


def weights_damaged(project: Project) -> None:
    path = project.artifact(1, "model/weights.npz")
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def all_gone(project: Project) -> None:
    for path in project.artifact(1, "").rglob("*"):
        if path.is_file():
            path.unlink()


def all_gone_and_no_alias(project: Project) -> None:
    """Its number is in the champion's lineage."""
    all_gone(project)
    project.mlflow.delete_registered_model_alias("evergreen", ALIAS)


def of_another_evergreen(project: Project) -> None:
    project.relist(1, newer=1)


@pytest.mark.parametrize(
    ("lose", "what"),
    [
        (weights_gone, "model/weights.npz of run {run} is not there any more"),
        (weights_damaged, "model/weights.npz of run {run} is damaged: SHA-256 "),
        (all_gone, "lineage/lineage.json of run {run} is not there any more"),
        (all_gone_and_no_alias, "lineage/lineage.json of run {run} is not there any more"),
        (
            of_another_evergreen,
            "the lineage of evergreen v1 is of another version of Evergreen, or damaged: it has newer",
        ),
    ],
)
def test_an_anchor_that_cannot_judge_any_more_stops_the_cycle_at_its_beginning_and_the_way_out_works(
    lived: Project, lose: Callable[[Project], None], what: str
) -> None:
    lose(lived)
    lived.forget()
    lived.add("more2", pictures(range(200, 212), "cat", "dog"))
    done = lived.run("resolve")
    assert done.code == 5
    run_id = lived.mlflow.get_model_version("evergreen", "1").run_id
    assert f"v1, the best so far, cannot judge any more: {what.format(run=run_id)}" in done.error
    assert "or set the alias champion-anchor to v2, the champion, which then counts as the best so far" in done.error
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "2")
    assert lived.run("resolve").code == 0
    assert pinned(lived) is None


def test_the_way_out_of_a_lost_anchor_holds_for_data_that_is_known_too(lived: Project) -> None:
    grow(lived, 2)
    lived.promote(2)
    assert pinned(lived) == 1
    all_gone(lived)
    lived.forget()
    done = lived.run("resolve")
    assert done.code == 5
    assert "v1, the best so far, cannot judge any more" in done.error
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "2")
    assert lived.run("resolve").code == 0
    assert pinned(lived) is None


def test_a_champion_whose_weights_are_gone_is_told_before_anything_is_trained(lived: Project) -> None:
    lived.artifact(2, "model/weights.npz").unlink()
    lived.forget()
    lived.add("more2", pictures(range(200, 212), "cat", "dog"))
    done = lived.run("resolve")
    assert done.code == 5
    assert "is not there any more; restore it from a backup, or move the alias that names its version" in done.error
    lived.promote(1)
    assert lived.run("resolve").code == 0


def test_weights_that_were_registered_as_no_weights_are_told_and_nothing_is_promoted(lived: Project) -> None:
    lived.replace(1, "model/weights.npz", b"no weights")
    lived.add("more2", pictures(range(200, 212), "cat", "dog"))
    done = lived.upto("evaluate")
    assert done.code == 4
    assert "not a whole .npz of plain arrays" in done.error
    assert "; so it was registered: use the version of Evergreen that did it, or move the alias" in done.error
    assert lived.run("promote").code == 4
    assert len(lived.mlflow.search_model_versions("name='evergreen'")) == 2
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "2")
    assert lived.upto("evaluate").code == 0


def test_an_anchor_of_before_there_were_formats_judges(lived: Project) -> None:
    lived.retag(1, format="")
    lived.add("more2", pictures(range(200, 212), "cat", "dog"))
    assert lived.run("resolve").code == 0
    assert pinned(lived) == 1


def test_a_champion_that_is_set_back_keeps_an_anchor_of_before_it(lived: Project) -> None:
    grow(lived, 2)
    lived.promote(3)
    lived.retag(3, is_best="false")
    lived.mlflow.set_registered_model_alias("evergreen", ALIAS, "1")
    lived.promote(2)
    lived.add("more3", pictures(range(300, 312), "cat", "dog"))
    assert lived.run("resolve").code == 0
    assert pinned(lived) == 1
