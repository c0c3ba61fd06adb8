"""Columns of labels.csv that are called like ours or hold what is no good as a value: texts to us, and never more."""

from collections.abc import Sequence

import polars as pl
from project import Project, picture

from pipeline.judging.predictions import Predictions

VALUES = ("=cmd|' /C calc'!A0", "NaN", "1e308", "", "-0", "<b>x</b>", "[a](javascript:b)", "0.5", "x" * 100, "null")

OURS = (
    "digest", "name", "value", "source", "slice", "slice x", "is_new", "challenger", "champion_truth",
    "batch", "age", "brightness", "side", "image", "position",
)  # fmt: skip
"""Columns of people that are called like columns of ours."""


def listed(project: Project, batch: str, numbers: Sequence[int]) -> None:
    """A batch whose columns all have the same value for an image, and one with a value of its own for each."""
    header = ",".join(["file", "label", *OURS, "serial"])
    lines = [header]
    for number in numbers:
        project.write(f"{batch}/{number}.png", picture(number, ("cat", "dog")[number % 2]))
        value = VALUES[number % len(VALUES)]
        lines.append(",".join([f"{number}.png", ("cat", "dog")[number % 2], *[value] * len(OURS), f"s{number}"]))
    project.write(f"{batch}/labels.csv", "\n".join(lines).encode())
    project.track(batch)


def test_columns_that_are_called_like_ours_and_values_of_any_kind_are_slices(project: Project) -> None:
    project.space.params(evaluate={"worse_slices": "reject"})
    listed(project, "first", range(60))
    project.cycle()
    listed(project, "second", range(100, 124))
    project.cycle()
    table = project.table("evaluation/predictions.parquet")
    numbers = {row["digest"]: int(path.split("/")[1][:-4]) for path, row in project.ledger().items()}
    wanted = [[VALUES[numbers[digest] % len(VALUES)]] for digest in table["digest"]]
    for name in OURS:
        said = table[f"slice {name}"].to_list()
        assert [one or [""] for one in said] == wanted
    assert [one[0] for one in table["slice serial"].to_list()] == [f"s{numbers[digest]}" for digest in table["digest"]]
    read = Predictions.from_table(table, ("cat", "dog"))
    assert read.digests == tuple(table["digest"])
    assert set(read.slices["slice"]) == {*OURS, "serial"}
    assert read.slices.filter(pl.col("slice") == "slice x")["value"].n_unique() > 1
    done = project.call("explain", "--as-if", "evaluate.worse_slices=warn")
    assert done.code == 0, done.err
    assert "<b>" not in (project.root / "data/cycle/report.md").read_text()
