"""`python -m pipeline report`: the page of any version, from what the registry kept of it."""

import json
import shutil
import tarfile
import webbrowser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from project import MadeOnce, Project, relocate, two_versions

from pipeline.commands import report
from pipeline.images import pictures as kept

ELDER = Path(__file__).parents[1] / "elder/8f20130.tar.xz"
PAGE = "data/scratch/reports/v{}.html"


@pytest.fixture
def two(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """Two versions; v1 was the champion when v2 was judged."""
    return two_versions(made_once, empty_database).copy(tmp_path / "clone")


def drawn(project: Project, version: int, *words: str) -> str:
    done = project.call("report", *words)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"the report of v{version}: {PAGE.format(version)}"
    return (project.root / PAGE.format(version)).read_text()


def keep(project: Project, version: int, name: str, content: bytes) -> None:
    """Let a version have an artifact, as if it had been registered with it."""
    path = project.artifact(version, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    lineage = json.loads(project.artifact(version, "lineage/lineage.json").read_text())
    project.relist(version, files={**lineage["files"], name: "0" * 64})
    project.replace(version, name, content)


def test_the_newest_version_is_drawn_with_verdict_reasons_data_and_training(two: Project) -> None:
    before = two.mlflow.get_model_version("evergreen", "2")
    page = drawn(two, 2)
    verdict = two.space.read("evaluation/verdict.json")
    assert "<h1>evergreen v2" in page
    assert all(reason.replace("'", "&#39;") in page for reason in verdict["reasons"])
    assert f"{two.space.read('validation/report.json')['counts']['new']}</dd>" in page
    assert "A warm start, " in page
    assert "<dt>parent</dt><dd>v1</dd>" in page
    assert two.mlflow.get_model_version("evergreen", "2") == before, "nothing is changed"
    digests = kept.read(two.artifact(2, "data/pictures.parquet"))
    assert len(digests) > 20


def test_a_first_version_is_drawn_where_it_is_wanted(two: Project) -> None:
    done = two.call("report", "v1", "--out", "first.html")
    assert done.code == 0, done.err
    assert done.out == "the report of v1: first.html\n"
    page = (two.root / "first.html").read_text()
    assert "<h1>evergreen v1" in page
    assert "no champion yet; holdout accuracy" in page


@pytest.mark.parametrize("is_there", [True, False])
def test_it_opens_in_a_browser_where_there_is_one(
    two: Project, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return is_there

    monkeypatch.setattr(webbrowser, "open", browser)
    done = two.call("report", "--open")
    assert done.code == 0, done.err
    assert opened == [(two.root / PAGE.format(2)).as_uri()]
    assert ("no browser answers here; open the file in one" in done.out) != is_there


def test_predictions_on_new_images_come_from_the_registry(two: Project) -> None:
    rows = [
        {"digest": f"{number:032x}", "path": f"data/images/second/cat/{number}.png", "label": "cat", "split": "val"}
        | {"champion": None, "champion_probability": None, "challenger": "dog", "challenger_probability": 0.0}
        for number in range(3)
    ]
    table = pl.DataFrame(rows, schema_overrides={"champion": pl.String, "champion_probability": pl.Float64})
    table.write_parquet(two.root / "new.parquet")
    keep(two, 2, "data/new.parquet", (two.root / "new.parquet").read_bytes())
    page = drawn(two, 2, "2")
    assert page.count("<small>0&nbsp;%</small>") == 3, "no model of this cycle says so"
    two.replace(2, "data/new.parquet", (two.root / "new.parquet").read_bytes()[:-9])
    done = two.call("report")
    assert done.code == 0, done.err
    assert "report: warning: data/new.parquet is not a Parquet table (" in done.out
    table.drop("label").write_parquet(two.root / "new.parquet")
    two.replace(2, "data/new.parquet", (two.root / "new.parquet").read_bytes())
    assert (
        "report: warning: data/new.parquet is of another version of Evergreen, or damaged: it lacks the column label; "
        "the page of v2 does without it"
    ) in two.call("report").out


def test_what_is_lost_is_told_and_the_rest_is_drawn(two: Project) -> None:
    path = two.artifact(2, "data/report.json")
    content = path.read_bytes()
    two.forget()
    path.write_bytes(content[:-9])
    done = two.call("report")
    assert done.code == 0, done.err
    assert "report: warning: data/report.json of run " in done.out
    assert " is damaged: SHA-256 " in done.out
    assert done.out.splitlines()[-2].endswith("; the page of v2 does without it")
    assert "This version kept no report on its new images." in (two.root / PAGE.format(2)).read_text()
    path.write_bytes(content)
    assert "warning" not in two.call("report").out


def test_a_version_that_kept_nothing_is_refused_with_the_way_on(two: Project) -> None:
    lineage = json.loads(two.artifact(2, "lineage/lineage.json").read_text())
    kept = ("model/weights.npz", "ledger/ledger.parquet")
    two.relist(2, files={name: digest for name, digest in lineage["files"].items() if name in kept})
    done = two.call("report", "2")
    assert done.code == 5
    assert done.error == (
        "report: error: v2 has no report: its run has neither verdict nor numbers nor pictures; its description in the "
        "MLflow UI has its card; restore the file from a backup, or use the version of Evergreen that registered it"
    )
    two.relist(2, newer=1)
    assert "v2 has no report: the lineage of evergreen v2 is of another version of Evergreen" in (
        two.call("report").error
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["9"], "evergreen has no version '9'; expected a number that the MLflow UI lists, e.g. 7"),
        (["two"], "evergreen has no version 'two'; expected a number"),
        (["9" * 5000], "expected a number that the MLflow UI lists, e.g. 7"),
    ],
)
def test_what_is_no_version_is_refused(two: Project, words: list[str], error: str) -> None:
    done = two.call("report", *words)
    assert done.code == 5
    assert error in done.error
    assert not (two.root / "data/scratch/reports").exists()


def test_a_folder_in_the_place_of_the_page_is_told(two: Project) -> None:
    done = two.call("report", "--out", "data")
    assert done.code == 1
    assert "expected files and folders of usual names; move what is in the way" in done.error


def test_without_a_registry_the_way_to_one_is_said(empty_database: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "clone", empty_database)
    done = project.call("report")
    assert done.code == 5
    assert "evergreen has no version yet; `dvc repro` makes the first one" in done.error
    (project.root / "store/mlflow.db").unlink()
    assert "there is no registry at " in project.call("report").error


def test_a_version_of_an_earlier_evergreen_is_drawn_from_what_it_kept(empty_database: Path, tmp_path: Path) -> None:
    """Of the commit in the archive: the training, and no comparison; some of its files are not in the archive."""
    project = Project.create(tmp_path / "clone", empty_database)
    shutil.rmtree(project.root / "store")
    safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(ELDER) as tar:
        members = [member for member in tar.getmembers() if member.name.startswith("store/")]
        tar.extractall(project.root, members=members, **safe)  # noqa: S202 - an archive of our own
    relocate(project.root / "store/mlflow.db", "/PROJECT", str(project.root))
    done = project.call("report", "2")
    assert done.code == 0, done.err
    assert f"warning: {report.REPORT} of run " in done.out
    page = (project.root / PAGE.format(2)).read_text()
    assert "<h1>evergreen v2" in page
    assert "A warm start, " in page
    assert "This version kept no comparison of both models" in page
