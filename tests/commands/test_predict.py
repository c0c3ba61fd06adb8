"""`python -m pipeline predict`: the label of each image that a person names."""

import csv
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from PIL import Image
from project import Done, MadeOnce, Project, encoded, picture, two_versions

from pipeline.commands import predict

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow

IMAGES = "data/images/first"


@pytest.fixture(scope="module")
def shared(made_once: MadeOnce, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two versions, the second one the champion; no test changes it."""
    project = two_versions(made_once, empty_database).copy(tmp_path_factory.mktemp("predict") / "clone")
    project.promote(2)
    return project


@pytest.fixture
def own(shared: Project, tmp_path: Path) -> Project:
    """A copy that a test may change."""
    return shared.copy(tmp_path / "own")


def rows(done: Done) -> list[dict[str, str]]:
    """Of a table on stdout."""
    return list(csv.DictReader(io.StringIO(done.out, newline="")))


def put(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def test_images_are_answered_as_evaluate_answered_them(shared: Project) -> None:
    """v2 is the champion; its own cycle kept what it said of each holdout image."""
    kept = shared.table("evaluation/predictions.parquet").join(
        shared.table("ledger.parquet").select("digest", "path"), on="digest"
    )
    done = shared.call("predict", "--csv", *kept["path"])
    assert done.code == 0, done.err
    assert [row["path"] for row in rows(done)] == kept["path"].to_list()
    assert [row["label"] for row in rows(done)] == kept["challenger"].to_list()
    found = pl.Series([float(row["probability"]) for row in rows(done)])
    assert (found - kept["challenger_probability"]).abs().max() < 1e-4
    before = rows(shared.call("predict", "--csv", *kept["path"], "--version", "v1"))
    assert [row["label"] for row in before] == kept["champion"].to_list()
    assert before != rows(done), "another version has other probabilities"


def test_people_get_one_line_for_each_image_with_its_columns_below_each_other(shared: Project) -> None:
    done = shared.call("predict", f"{IMAGES}/dog/3.png", f"{IMAGES}/cat/3.png")
    assert done.code == 0, done.err
    first, second = done.out.splitlines()
    assert first.split()[0::2] == ["dog", f"{IMAGES}/dog/3.png"]
    assert second.split()[0::2] == ["cat", f"{IMAGES}/cat/3.png"]
    assert [line.index("data") for line in (first, second)] == [len("dog  0.1234  ")] * 2
    assert done.err.startswith("predict: 2 images by evergreen v2, champion\n"), "and which version that was"


def test_a_folder_stands_for_all_images_at_any_depth_in_it(shared: Project, tmp_path: Path) -> None:
    top = put(tmp_path / "photos", **{"b.png": picture(1), "notes.txt": b"notes", "first.dvc": b"outs:"})
    put(top / "deep" / "er", **{"a.jpg": picture(2, kind="JPEG"), ".DS_Store": b"\0"})
    put(top / "deep", **{".gitignore": b"/er", "labels.csv": b"file,label"})
    (top / "link.png").symlink_to(top / "b.png")
    (top / "again").symlink_to(top)
    done = shared.call("predict", "--csv", str(top))
    assert done.code == 0, done.err
    assert [row["path"] for row in rows(done)] == [f"{top}/{name}" for name in ("b.png", "deep/er/a.jpg", "link.png")]


def test_paths_are_those_of_the_folder_where_the_person_stands(shared: Project) -> None:
    here = str(shared.root / "data/images")
    done = shared.call("predict", "first/cat/3.png", "../images/first/dog", EVERGREEN_CALLED_FROM=here)
    assert done.code == 0, done.err
    paths = [line.split()[-1] for line in done.out.splitlines()]
    assert paths[:2] == ["first/cat/3.png", "../images/first/dog/0.png"]


def test_what_cannot_be_decoded_is_named_with_its_reason_and_the_others_are_answered(
    shared: Project, tmp_path: Path
) -> None:
    top = put(
        tmp_path / "photos",
        **{
            "a.png": picture(1),
            "cut.png": picture(2)[:200],
            "empty.png": b"",
            "gif.png": b"GIF89a",
            "z.png": picture(3),
        },
    )
    os.mkfifo(top / "fifo.png")
    done = shared.call("predict", str(top))
    assert done.code == 4
    assert [Path(line.split()[-1]).name for line in done.out.splitlines()] == ["a.png", "z.png"]
    told = dict(line.removeprefix(f"predict: {top}/").split(": ", 1) for line in done.err.splitlines()[1:-1])
    assert told.keys() == {"cut.png", "empty.png", "fifo.png", "gif.png"}
    assert told["cut.png"].startswith("damaged PNG")
    assert told["empty.png"] == "empty file"
    assert told["fifo.png"] == "cannot be read, or is changing; expected a regular file that this user may read"
    assert told["gif.png"] == "a GIF file; expected JPEG, PNG, WEBP or BMP"
    assert done.error == (
        "predict: error: 4 of 6 images could not be answered, as said above; expected JPEG, PNG, WebP or BMP files "
        "that are whole; mend them or leave them out; all others are answered"
    )


def test_a_table_is_rfc_4180_and_no_name_is_a_formula(shared: Project) -> None:
    top = put(shared.root / "odd", **{'=1+1,"x".png': picture(1), "-2.png": picture(2)})
    try:
        done = shared.call("predict", "--csv", "odd", EVERGREEN_CALLED_FROM=str(top.parent))
        inside = shared.call("predict", "--csv", '=1+1,"x".png', "./-2.png", EVERGREEN_CALLED_FROM=str(top))
    finally:
        for path in top.iterdir():
            path.unlink()
        top.rmdir()
    assert done.out.startswith("path,label,probability\r\n")
    assert [row["path"] for row in rows(done)] == ["odd/-2.png", 'odd/=1+1,"x".png']
    assert '\r\n"\'=1+1,""x"".png",cat,0.' in inside.out
    assert all(0 <= float(row["probability"]) <= 1 for row in rows(inside))


def test_a_name_cannot_hide_or_reorder_what_a_terminal_shows(shared: Project, tmp_path: Path) -> None:
    top = put(tmp_path / "photos", **{"a\x1b[2Jb\u202e.png": picture(1), "c\nd.png": b"GIF89a"})
    done = shared.call("predict", str(top))
    assert done.out.endswith("a\\u001b[2Jb\\u202e.png\n")
    assert "c\\u000ad.png: a GIF file" in done.err


@pytest.mark.parametrize(("least", "shown"), [("1.0", "-"), ("0", "cat")])
def test_below_the_threshold_an_image_gets_no_label(shared: Project, least: str, shown: str) -> None:
    path = f"{IMAGES}/cat/3.png"
    assert shared.call("predict", path, "--min-probability", least).out.split()[0] == shown
    (row,) = rows(shared.call("predict", path, "--min-probability", least, "--csv"))
    assert row["label"] == shown.replace("-", "")
    assert 0.5 < float(row["probability"]) < 1


def test_the_threshold_is_that_of_the_version_unless_a_person_names_another(own: Project) -> None:
    own.retag(2, min_probability="1.0")
    assert own.call("predict", f"{IMAGES}/cat/3.png").out.split()[0] == "-"


@pytest.mark.parametrize("least", ["7", "-0.1", "much", "nan"])
def test_a_threshold_that_is_no_probability_is_refused(shared: Project, least: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        shared.call("predict", "x.png", f"--min-probability={least}")


def test_an_image_may_come_on_stdin(shared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (shared.root / IMAGES / "dog/3.png").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    done = shared.call("predict", "-")
    assert done.code == 0, done.err
    same = shared.call("predict", f"{IMAGES}/dog/3.png")
    assert done.out.split() == [*same.out.split()[:2], "stdin"]


def test_parts_of_a_large_folder_are_answered_one_after_the_other(
    shared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shared.call("predict", "--csv", IMAGES)
    monkeypatch.setattr(predict, "MOST", 25)
    parts = shared.call("predict", "--csv", IMAGES)
    assert [(row["path"], row["label"]) for row in rows(parts)] == [(row["path"], row["label"]) for row in rows(whole)]
    told = [line for line in parts.err.splitlines() if line.endswith(" images decoded")]
    assert told == [f"predict: {count} of 60 images decoded" for count in (25, 50, 60)]
    assert not list((shared.root / "data/scratch").glob("predict-*")), "nothing is kept of the images"


@pytest.mark.parametrize("name", ["gone.png", "gone/folder"])
def test_a_path_that_is_not_there_is_refused_at_once(shared: Project, name: str) -> None:
    done = shared.call("predict", f"{IMAGES}/cat/3.png", name)
    assert (done.code, done.out) == (4, "")
    assert done.error == f"predict: error: '{name}': is not there; expected an image or a folder; check the path"


def test_a_folder_without_images_is_refused(shared: Project, tmp_path: Path) -> None:
    done = shared.call("predict", str(put(tmp_path / "none", **{"notes.txt": b""})))
    assert done.code == 4
    assert done.error == (
        f"predict: error: '{tmp_path}/none': no image is in it; expected JPEG, PNG, WebP or BMP files; check the path"
    )


@pytest.mark.parametrize("number", ["9", "x", "v", "1" * 30, "-1"])
def test_a_version_that_is_not_there_is_refused(shared: Project, number: str) -> None:
    done = shared.call("predict", f"{IMAGES}/cat/3.png", f"--version={number}")
    assert done.code == 5
    expected = "expected a number that the MLflow UI lists, e.g. 7"
    assert done.error == f"predict: error: evergreen has no version '{number}'; {expected}"


def test_without_a_champion_the_versions_are_named(own: Project) -> None:
    own.mlflow.delete_registered_model_alias("evergreen", "champion")
    done = own.call("predict", f"{IMAGES}/cat/3.png")
    assert done.code == 5
    assert "v2, v1" in done.error
    remedy = done.error.rpartition("name one: ")[2].split()
    assert own.call("predict", f"{IMAGES}/cat/3.png", *remedy).code == 0


def test_before_the_first_version_there_is_nothing_to_ask(project: Project) -> None:
    project.write("first/cat/1.png", picture(1))
    done = project.call("predict", f"{IMAGES}/cat/1.png")
    assert done.code == 5
    assert done.error == "predict: error: evergreen has no version yet; `dvc repro` makes the first one"


def test_no_function_runs_that_only_the_registry_names(own: Project) -> None:
    """Whoever writes to the registry would else run code on each machine that asks the model."""
    (own.root / "canary.py").write_text("open('sang', 'w')\ndef build(image_shape, num_labels): ...\n")
    model = json.loads(own.artifact(2, "lineage/lineage.json").read_text())["model"]
    own.relist(2, model={**model, "architecture": "canary:build"})
    done = own.call("predict", f"{IMAGES}/cat/3.png")
    assert done.code == 6
    assert "the registry says that canary:build builds v2, and params.yaml does not name that" in done.error
    assert not (own.root / "sang").exists()


def test_images_of_another_kind_are_answered_too(shared: Project, tmp_path: Path) -> None:
    wide = Image.new("L", (90, 20), 60)
    top = put(tmp_path / "kinds", **{f"{kind}.x": encoded(wide, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP")})
    done = shared.call("predict", "--csv", str(top))
    assert done.code == 0, done.err
    assert {row["label"] for row in rows(done)} == {"cat"}, "the dark label"
