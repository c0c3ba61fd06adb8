"""What a reviewer finds of a version: the card, its pictures, the numbers, and what is said when a person decides."""

import io
import re
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from project import MadeOnce, Project, picture, pictures

from pipeline.artifacts.comparison import ModelComparison
from pipeline.images import pictures as kept
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Predictions
from pipeline.showing.card import LIMIT

DRAWN = {f"{name}.png" for name in ("labels", "flips", "doubt", "confusion", "curves", "slices", "reliability")}


def near(content: bytes) -> bytes:
    """A picture that nobody tells from this one, in other bytes."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.putpixel((0, 0), (128, 128, 128))
    sink = io.BytesIO()
    image.save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def reviewed(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A champion; then a batch with a new label, wrong labels, a near-duplicate under two labels and a torn file."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(
            train={"max_epochs": 8, "batch_size": 16, "learning_rate": 0.01, "warm_rate": 1},
            evaluate={"suspicious": 0.6, "max_wrong": None},
            promote={"cost_per_hour": "3600 EUR"},
        )
        project.add("first", pictures(range(40), "cat", "dog"))
        project.cycle()
        second = pictures(range(100, 130), "cat", "dog", "owl")
        second["dog"] |= {f"wrong-{number}.png": picture(number, "cat") for number in range(200, 204)}
        second["cat"]["near.png"] = near(second["owl"]["100.png"])
        second["cat"]["torn.png"] = picture(300)[:60]
        project.space.params(validate={"new_labels": "allow", "max_quarantined": 0.5})
        project.add("second", second)
        project.cycle()

    return made_once("reviewed", make).copy(tmp_path / "clone")


def read(project: Project) -> ModelComparison:
    return ModelComparison.read(project.root / "data/cycle/evaluation/comparison.json")


def description(project: Project, version: int) -> str:
    return str(project.mlflow.get_model_version("evergreen", str(version)).description)


def test_the_card_of_a_version_shows_its_own_pictures_and_says_what_the_predictions_say(reviewed: Project) -> None:
    card, comparison = description(reviewed, 2), read(reviewed)
    assert len(card) <= LIMIT
    run_id = reviewed.mlflow.get_model_version("evergreen", "2").run_id
    pictured = re.findall(r"!\[[^]]+\]\(get-artifact\?path=([a-z]+\.png)&run_uuid=(\w+)\)", card)
    assert pictured == [(name, run_id) for name in ("labels.png", "flips.png", "doubt.png")]
    listed = {one.path for one in reviewed.mlflow.list_artifacts(run_id)}
    assert listed >= {*DRAWN, "history.png", "card.md", "report.html"}
    for name in {*DRAWN, "history.png"}:
        assert Image.open(reviewed.artifact(2, name)).width <= 740, name

    table = reviewed.table("evaluation/predictions.parquet")
    predictions = Predictions.from_table(table, tuple(one.label for one in comparison.labels))
    counts = predictions.counts(CHAMPION)
    before, now = (100 * (counts.both + one) / counts.total for one in (counts.champion_only, counts.challenger_only))
    assert f"| all ({counts.total}) | {before:.1f} % | {now:.1f} % |" in card
    assert f"{counts.challenger_only} won and {counts.champion_only} lost of {counts.total} holdout images" in card
    assert f"new labels ({(table['label'] == 'owl').sum()})" in card
    assert card.splitlines()[0].endswith("+95 images, new label owl")
    assert "batch second (96)" in card
    assert "1 set aside" in card
    assert "1 pair of near-duplicates under two labels" in card
    assert "v1 does not know owl: nobody can doubt those of its images that train" in card
    assert "from scratch about " in card
    assert re.search(r"\*\*Cost\*\*: \d+ s, [\d,]+ passes of images, \d+\.\d\d EUR; from scratch", card)


def test_github_gets_the_same_without_pictures_and_links(reviewed: Project) -> None:
    report, card = (reviewed.root / "data/cycle/report.md").read_text(), description(reviewed, 2)
    assert "](" not in report
    plain = re.sub(r" \[[^]]*\]\([^)]*\)\.", "", re.sub(r"!\[.*\)\n\n", "", card))
    plain = re.sub(r"; \[its run\]\([^)]*\)", "", plain)
    assert re.sub(r"\[(v\d)\]\([^)]*\)", r"\1", plain) == report


def test_a_cycle_ends_with_five_lines_and_the_address_of_the_version(reviewed: Project) -> None:
    lines = (reviewed.root / "data/cycle/summary.txt").read_text().splitlines()
    assert len(lines) == 7
    assert max(map(len, lines)) <= 100
    assert lines[0] == f"v2 {description(reviewed, 2).splitlines()[0]}"
    assert [line.split()[0] for line in lines[1:6]] == ["change", "look", "cost", "done", "review"]
    assert lines[5].endswith("http://127.0.0.1:5000/#/models/evergreen/versions/2?workflowType=machine_learning")
    assert lines[6].strip().startswith("while `python -m pipeline ui` runs")


def test_both_models_answers_are_kept_for_new_images_and_pictures_for_what_stands_out(reviewed: Project) -> None:
    comparison, new = read(reviewed), reviewed.table("evaluation/new.parquet")
    assert set(new["split"].drop_nulls()) == {"train", "val", "holdout"}
    assert new.filter(pl.col("path").str.contains("second/dog/wrong"))[CHAMPION].to_list() == ["cat"] * 4
    assert new[CHALLENGER].null_count() == new.filter(pl.col("split").is_null()).height
    assert set(new["label"]) == {"cat", "dog", "owl"}
    suspicious = {Path(one.seen.path).name for one in comparison.doubted if one.is_suspicious}
    assert {f"wrong-{number}.png" for number in range(200, 204)} <= suspicious
    (pair,) = comparison.pairs
    assert {pair.one.label, pair.other.label} == {"cat", "owl"}
    assert comparison.undoubted == ("owl",)
    assert comparison.doubters is not None
    assert comparison.doubters.images == (~reviewed.table("evaluation/predictions.parquet")["is_new"]).sum() + sum(
        1
        for _, split, is_unlearned in reviewed.table("model/images.parquet").iter_rows()
        if split == "val" and not is_unlearned
    )
    shown = kept.read(reviewed.root / "data/cycle/evaluation/pictures.parquet")
    assert set(shown) >= {pair.one.digest, pair.other.digest, *(one.seen.digest for one in comparison.doubted[:4])}
    assert kept.decode(shown[pair.one.digest]).shape == (128, 128, 3)


def test_an_image_that_is_nowhere_any_more_costs_its_picture_and_not_the_cycle(reviewed: Project) -> None:
    comparison = read(reviewed)
    gone = comparison.pairs[0].one
    for path in reviewed.root.rglob(f"{gone.digest[:2]}/{gone.digest[2:]}"):
        path.unlink()
    (reviewed.root / gone.path).unlink()
    done = reviewed.run("evaluate")
    assert done.code == 0, done.err
    assert gone.digest not in kept.read(reviewed.root / "data/cycle/evaluation/pictures.parquet")
    assert read(reviewed) == comparison


def test_when_a_person_decides_the_card_says_so_and_the_rest_stays(reviewed: Project) -> None:
    before = description(reviewed, 2)
    assert before.startswith(("rejected: ", "promoted: ", "undecided: "))
    verb = "rollback" if before.startswith("promoted") else "promote"
    done = reviewed.call(verb, *(["2"] if verb == "promote" else []), "--why", "I looked")
    assert done.code == 0, done.err
    after = description(reviewed, 2)
    word = "rolled back" if verb == "rollback" else "approved"
    assert after.startswith(f"{word}: ")
    assert ": I looked)" in after
    changed = [(one, two) for one, two in zip(before.splitlines(), after.splitlines(), strict=True) if one != two]
    assert [one[:12] for one, _ in changed[2:]] == ["**Decided**:", "**To decide*"]
    assert len(changed) == 4
    assert description(reviewed, 1).startswith("champion again: " if verb == "rollback" else "was champion: ")


def test_a_cycle_with_nothing_to_do_says_what_became_of_the_version(reviewed: Project) -> None:
    done = reviewed.cycle()
    assert "promote: nothing to do: " in done.out
    report = (reviewed.root / "data/cycle/report.md").read_text()
    assert "nothing to do: " in report
    assert (reviewed.root / "data/cycle/summary.txt").read_text().startswith("v2 ")
