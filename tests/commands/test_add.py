"""`python -m pipeline add`: a folder of new labelled images becomes a batch; nothing else is touched."""

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project, picture, pictures

from benchmarks import corpus


def lay(folder: Path, images: dict[str, dict[str, bytes]]) -> Path:
    for label, contents in images.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / label / name).write_bytes(content)
    return folder


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    """Each file of the project but caches of imports, with its mode and bytes."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    made = Project.create(tmp_path_factory.mktemp("add") / "clone", empty_database)
    made.add("first", pictures(range(30), "cat", "dog"))
    return made


@pytest.fixture
def clean(shared: Project) -> Iterator[Project]:
    """The shared project, put back as it was."""
    head = shared.space.git("rev-parse", "HEAD").strip()
    yield shared
    shared.space.git("reset", "--hard", "--quiet", head)
    shared.space.git("clean", "-fdq", "data/images")
    for entry in (shared.root / "data/images").iterdir():
        if entry.name not in ("first", "first.dvc", ".gitignore"):
            shared.remove(entry.name)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """New images; some that are there already, copies, faults, and what systems leave behind."""
    images = pictures(range(100, 110), "cat", "dog")
    images["cat"] |= {"there already.png": picture(3), "again.png": picture(100), "torn.png": picture(111)[:40]}
    images["dog"] |= {"page.jpg": b"<html>", "cat's.png": picture(4), "Thumbs.db": b"left behind"}
    return lay(tmp_path / "photos", images)


def test_a_dry_run_says_everything_and_changes_nothing(clean: Project, photos: Path) -> None:
    before = everything(clean.root)
    done = clean.call("add", str(photos), "--dry-run")
    assert done.code == 0, done.err
    assert "add: would take 20 images into data/images/photos (cat: 10, dog: 10)" in done.out
    assert "next:" not in done.out
    assert everything(clean.root) == before


def test_it_takes_the_good_images_that_are_new(clean: Project, photos: Path) -> None:
    done = clean.call("add", str(photos))
    assert done.code == 0, done.err
    target = clean.root / "data/images/photos"
    there = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    taken = {f"{label}/{number}.png" for label in ("cat", "dog") for number in range(100, 110)} - {"cat/100.png"}
    assert there == taken | {"cat/100.png"} or there == taken | {"cat/again.png"}, "of copies, one"
    assert "25 images in" in done.out
    assert "2 of them there already or copies of others" in done.out
    assert (clean.root / "data/images/photos.dvc").is_file()


def test_it_names_what_it_does_not_take_and_why(clean: Project, photos: Path) -> None:
    done = clean.call("add", str(photos), "--dry-run")
    assert f"not taken: '{photos}/cat/torn.png': damaged PNG" in done.out
    assert f"not taken: '{photos}/dog/page.jpg': an HTML page" in done.out
    conflict = "the same bytes carry 2 labels: cat at 'data/images/first/cat/4.png', dog at"
    assert f'not taken: "{photos}/dog/cat\'s.png": {conflict}' in done.out
    assert "not taken: 'data/images/first/cat/4.png'" not in done.out, "it is there and stays there"


def test_a_copy_under_two_labels_in_one_folder_is_never_decided_silently(clean: Project, tmp_path: Path) -> None:
    images = pictures(range(200, 210), "cat", "dog")
    images["dog"]["also.png"] = images["cat"]["200.png"]
    done = clean.call("add", str(lay(tmp_path / "two", images)), "--dry-run")
    reason = "the same bytes carry 2 labels: cat at"
    for name in ("cat/200.png", "dog/also.png"):
        assert f"not taken: '{tmp_path}/two/{name}': {reason}" in done.out
    assert "would take 19 images" in done.out


def test_the_folder_stays_as_it_was(clean: Project, photos: Path) -> None:
    before = everything(photos)
    assert clean.call("add", str(photos)).code == 0
    assert everything(photos) == before


def test_what_it_says_to_run_works_to_the_letter_and_the_cycle_takes_the_batch(
    project: Project, photos: Path, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "origin"], check=True)
    project.space.git("remote", "add", "origin", str(tmp_path / "origin"))
    project.space.git("push", "--quiet", "--set-upstream", "origin", "main")
    project.add("first", pictures(range(30), "cat", "dog"))
    project.cycle()
    project.space.commit("First cycle")
    done = project.call("add", str(photos), "--batch", "summer in June")
    (words,) = re.findall(r"; next: (.*?); then `dvc repro` trains on it", done.out)
    shell = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", words], cwd=project.root, env=dict(project.space.env),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shell.returncode == 0, shell.stderr
    assert project.space.git("status", "--porcelain") == ""
    assert project.space.git("show", "--stat", "--format=", "HEAD").count("summer in June.dvc") == 1
    cycle = project.cycle()
    assert "detect: 20 images added" in cycle.out
    assert "validate: 20 new images accepted, 0 set aside" in cycle.out
    again = project.call("add", str(photos), "--batch", "again")
    assert again.code == 0
    assert "22 of them there already or copies of others" in again.out
    assert "takes 0 images" in again.out
    assert not (project.root / "data/images/again").exists()


def test_a_first_batch_needs_nothing_there(project: Project, tmp_path: Path) -> None:
    done = project.call("add", str(lay(tmp_path / "first", pictures(range(30), "cat", "dog"))))
    assert done.code == 0, done.err
    project.space.commit("First")
    assert project.upto("prepare").code == 0


def test_labels_csv_comes_along_with_the_lines_of_what_is_taken(clean: Project, tmp_path: Path) -> None:
    folder = lay(tmp_path / "june", {"shots": {f"{n}.png": picture(n, "cat") for n in range(200, 212)}})
    (folder / "shots/torn.png").write_bytes(picture(1)[:30])
    (folder / "shots/unnamed.png").write_bytes(picture(300))
    lines = [
        "file,label",
        *(f"shots/{number}.png,cat" for number in range(200, 212)),
        "shots/torn.png,dog",
        "gone.png,cat",
    ]
    (folder / "labels.csv").write_text("\n".join(lines))
    done = clean.call("add", str(folder))
    assert done.code == 0, done.err
    assert f"warning: labels.csv names 1 file that is not there, e.g. '{folder}/gone.png'" in done.out
    assert "unnamed.png': labels.csv of its batch does not name it" in done.out
    assert (clean.root / "data/images/june/labels.csv").read_text().splitlines() == lines[:13]
    assert not (clean.root / "data/images/june/shots/torn.png").exists()
    clean.space.commit("June")
    assert clean.run("resolve", "detect").code == 0
    assert {f"june/shots/{number}.png" for number in range(200, 212)} <= clean.delta("added")


def test_an_image_there_that_its_labels_csv_does_not_name_is_no_label(clean: Project, tmp_path: Path) -> None:
    clean.write("listed/1.png", picture(300))
    clean.write("listed/unnamed.png", picture(301))
    clean.write("listed/labels.csv", b"file,label\n1.png,cat\n")
    clean.track("listed")
    done = clean.call("add", str(lay(tmp_path / "june", pictures(range(310, 313), "cat"))), "--dry-run")
    assert done.code == 0, done.err


def test_too_many_faults_and_an_unlisted_label_add_nothing(clean: Project, tmp_path: Path) -> None:
    before = everything(clean.root / "data")
    folder = lay(tmp_path / "bad", {"cat": {f"{number}.png": picture(number)[:200] for number in range(100, 130)}})
    done = clean.call("add", str(folder))
    assert done.code == 4
    assert "at most 20 images are set aside" in done.error
    assert "nothing was added" in done.error
    assert "add: and 10 more are not taken" in done.out
    folder = lay(tmp_path / "owls", pictures(range(100, 120), "owl"))
    done = clean.call("add", str(folder))
    assert done.code == 4
    assert "list the new label in validate.labels" in done.error
    assert everything(clean.root / "data") == before


def test_every_path_and_every_remedy_is_that_of_the_folder(clean: Project, tmp_path: Path) -> None:
    images = pictures(range(100, 112), "cat") | {"dog": {"a.png": picture(120), "A.png": picture(121)}}
    images["cat"]["wrong.jpg"] = picture(122)
    done = clean.call("add", str(lay(tmp_path / "photos", images)), "--batch=june", "--dry-run")
    assert f"(file names end as their contents are): '{tmp_path}/photos/cat/wrong.jpg'; rename it" in done.out
    assert f"not taken: '{tmp_path}/photos/dog/A.png': 'dog/a.png' is the same name on macOS and Windows" in done.out
    assert "june/" not in done.out
    clean.space.params(validate={"max_quarantined_images": 1, "max_quarantined": 0.0})
    stopped = clean.call("add", str(tmp_path / "photos"), "--batch=june")
    assert "found 2; mend or remove them and run this again, or raise the limits in params.yaml" in stopped.error
    odd = lay(tmp_path / "odd", {"<b>": {"1.png": picture(130)}})
    refused = clean.call("add", str(odd))
    assert f"'{odd}/<b>': not a label" in refused.error
    assert "rename the folder and run this again" in refused.error


REFUSED = {
    "missing": "no such folder or archive; expected a folder with images in <label>/, or with a labels.csv, or an",
    "first": "data/images/first exists; expected the name of a new batch; give another with --batch",
    "..": "cannot name a batch",
    "a/b": "cannot name a batch",
    "-x": "cannot name a batch",
    "loose": "1 file lies directly in",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_batch_is_refused_in_one_line(clean: Project, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "photos"
    if name != "missing":
        lay(folder, {"cat": {"1.png": picture(100)}})
    if name == "loose":
        (folder / "loose.png").write_bytes(picture(101))
    done = clean.call("add", str(folder), f"--batch={name}")
    assert done.code == 4
    assert REFUSED[name] in done.error
    assert sorted(path.name for path in (clean.root / "data/images").iterdir()) == [".gitignore", "first", "first.dvc"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["fifo", "link", "linked folder", "hard link", "not UTF-8"])
def test_a_hostile_folder_is_refused_before_anything_is_read(clean: Project, tmp_path: Path, kind: str) -> None:
    folder = lay(tmp_path / "photos", pictures(range(100, 103), "cat"))
    place = folder / "cat/x.png"
    (tmp_path / "secret").write_bytes(picture(400))
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to("/etc/passwd")
    elif kind == "linked folder":
        (folder / "dog").symlink_to("/etc")
    elif kind == "hard link":
        place.hardlink_to(tmp_path / "secret")
    else:
        Path(os.fsdecode(os.fsencode(folder) + b"/cat/\xff.png")).write_bytes(picture(401))
    done = clean.call("add", str(folder))
    assert done.code == 4
    assert "1 entry in" in done.error
    assert "is no plain file, e.g. " in done.error
    assert "reading" not in done.out
    assert not (clean.root / "data/images/photos").exists()


def test_a_bomb_costs_one_image(clean: Project, tmp_path: Path) -> None:
    files = corpus.corpus()
    folder = lay(tmp_path / "photos", pictures(range(100, 112), "cat"))
    for name in ("bomb_header.png", "bomb_at_the_cap.png", "bomb_text.png"):
        (folder / "cat" / name).write_bytes(files[name])
    clean.space.params(validate={"max_memory": 256})
    done = clean.call("add", str(folder), "--dry-run")
    assert done.code == 0
    assert "would take 12 images" in done.out
    assert "bomb_at_the_cap.png': needs more than 256 MB of memory" in done.out


def test_where_one_pointer_tracks_all_images_that_one_is_staged(project: Project, tmp_path: Path) -> None:
    project.space.put("first", pictures(range(30), "cat", "dog"))
    project.space.dvc("add", "--quiet", "data/images")
    project.space.commit("Images")
    done = project.call("add", str(lay(tmp_path / "june", pictures(range(50, 60), "cat", "dog"))))
    assert done.code == 0, done.err
    assert "add: staged data/images.dvc; next: git commit -am 'Add june'; then" in done.out
    assert project.space.git("diff", "--cached", "--name-only").split() == ["data/images.dvc"]
    assert "80 files" in project.run("resolve").out


def test_what_dvc_refuses_is_one_line_and_nothing_is_left(project: Project, tmp_path: Path) -> None:
    photos = lay(tmp_path / "june", pictures(range(20), "cat", "dog"))
    (project.root / ".dvc/config").write_text("[nonsense")
    done = project.call("add", str(photos))
    assert done.code == 4
    assert "add: error: `dvc add` failed, nothing was added: " in done.err
    assert "config file error" in done.error
    assert not (project.root / "data/images/june").exists()


def test_an_image_that_the_cache_does_not_take_is_no_success_and_nothing_is_left(
    project: Project, tmp_path: Path
) -> None:
    """DVC only says so, and writes the pointer all the same."""
    photos = lay(tmp_path / "june", pictures(range(20), "cat", "dog"))
    cache = project.root / ".dvc/cache/files/md5"
    cache.mkdir(parents=True)
    (cache / hashlib.md5(picture(7), usedforsecurity=False).hexdigest()[:2]).write_bytes(b"in the way")
    done = project.call("add", str(photos))
    assert done.code == 4
    assert "add: error: `dvc add` failed, nothing was added: " in done.err
    assert done.err.count("\n") == 1
    assert not list((project.root / "data/images").glob("june*"))
    assert project.space.git("status", "--porcelain", "data") == ""


def test_a_label_that_waits_for_more_images_is_no_news_of_another_batch(project: Project, tmp_path: Path) -> None:
    project.space.params(validate={"labels": ["cross"]})
    project.add("first", pictures(range(30), "cat", "dog"))
    project.add("few", pictures(range(5), "cross"))
    project.cycle()
    done = project.call("add", str(lay(tmp_path / "june", pictures(range(50, 62), "cat", "dog"))))
    assert done.code == 0, done.err
    assert "known label keeps" not in done.out


def split_photos(folder: Path, numbers: dict[str, range]) -> Path:
    for split, these in numbers.items():
        lay(folder / split, pictures(these, "cat", "dog"))
    return folder


def test_splits_of_others_are_kept_from_the_folder_to_the_verdict(project: Project, tmp_path: Path) -> None:
    folder = split_photos(tmp_path / "set", {"train": range(60), "test": range(60, 72)})
    (folder / "LICENSE").write_text("free")
    lay(folder / "train", {"cat": {"also.png": picture(60)}})
    refused = project.call("add", str(folder))
    assert refused.code == 4
    assert "set is split already, as its folders say (holdout: 24, train: 121)" in refused.error
    assert not (project.root / "data/images/set").exists()

    done = project.call("add", str(folder), "--keep-splits")
    assert done.code == 0, done.err
    assert "add: not taken, no images by content or place: 'LICENSE' (a text file)" in done.out
    assert "add: nothing is meant for val: it gets 15% of train (prepare.val_fraction)" in done.out
    assert "add: warning: 1 copy of an image lies in more than one split; what judges or stops counts" in done.out
    wished = dict(
        line.split(",")[::2] for line in (project.root / "data/images/set/labels.csv").read_text().split()[1:]
    )
    project.space.commit("A set of others")
    cycle = project.cycle()
    assert "prepare: 144 of 144 new images are in the split that labels.csv asks for" in cycle.out
    ledger = {path.removeprefix("set/"): row["split"] for path, row in project.ledger().items()}
    assert ledger == wished
    assert {path for path, split in ledger.items() if split == "holdout"} == {
        f"test/{label}/{number}.png" for label in ("cat", "dog") for number in range(60, 72)
    } - {"test/cat/60.png"} | ({"train/cat/also.png", "test/cat/60.png"} & ledger.keys())
    assert 5 < sum(split == "val" for split in ledger.values()) < 40

    more = split_photos(tmp_path / "more", {"train": range(60, 70), "val": range(200, 206)})
    assert project.call("add", str(more), "--keep-splits").code == 0
    project.space.commit("More")
    second = project.upto("prepare")
    assert second.code == 0, second.err
    assert all(project.ledger()[path]["split"] == split for path, split in prefixed("set/", ledger).items())
    assert {row["split"] for path, row in project.ledger().items() if path.startswith("more/val")} == {"val"}


def prefixed(prefix: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def test_splits_can_be_merged_or_added_one_by_one(clean: Project, tmp_path: Path) -> None:
    folder = split_photos(tmp_path / "set", {"train": range(100, 110), "test": range(110, 115)})
    merged = clean.call("add", str(folder), "--merge-splits", "--dry-run")
    assert "add: would take 30 images into data/images/set (cat: 15, dog: 15)" in merged.out
    alone = clean.call("add", str(folder / "train"), "--batch=june", "--dry-run")
    assert "add: would take 20 images into data/images/june (cat: 10, dog: 10)" in alone.out
    nothing = clean.call("add", str(folder / "train"), "--batch=june", "--keep-splits")
    assert "train has no splits to keep" in nothing.error


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_is_a_folder(clean: Project, photos: Path, kind: str) -> None:
    before = everything(clean.root)
    archive = Path(shutil.make_archive(str(photos.parent / "june"), kind, photos.parent, photos.name))
    looked = clean.call("add", str(archive), "--dry-run")
    assert looked.code == 0, looked.err
    assert "would take 20 images into data/images/june" in looked.out
    assert f"not taken: '{archive}/photos/dog/page.jpg': an HTML page" in looked.out
    assert "data/scratch" not in looked.out
    assert everything(clean.root).keys() - before.keys() <= {"data/scratch/adding.lock"}
    done = clean.call("add", str(archive))
    assert done.code == 0, done.err
    assert (clean.root / "data/images/june/photos/cat/101.png").is_file()
    assert [path.name for path in (clean.root / "data/scratch").iterdir() if "adding" in path.name] == ["adding.lock"]


def test_a_damaged_or_hostile_archive_is_one_line_and_leaves_nothing(clean: Project, tmp_path: Path) -> None:
    before = everything(clean.root / "data/images")
    archive = tmp_path / "june.zip"
    archive.write_bytes(b"PK\x03\x04 and no more")
    assert "june.zip: a damaged archive, or none" in clean.call("add", str(archive)).error
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("cat/<b>/1.png", picture(1))
    refused = clean.call("add", str(archive))
    assert f"'{archive}/cat/<b>': not a label" in refused.error
    assert "rename the folder and run this again with a mended june.zip" in refused.error
    assert everything(clean.root / "data/images") == before
    assert not (clean.root / "data/scratch/adding").exists()
    (tmp_path / "photo.jpg").write_bytes(picture(1))
    none = clean.call("add", str(tmp_path / "photo.jpg")).error
    assert "photo.jpg: neither a folder nor an archive; expected a folder with images in <label>/" in none


def test_a_list_of_another_tool_becomes_the_labels_of_the_batch(clean: Project, tmp_path: Path) -> None:
    folder = lay(tmp_path / "kaggle", {"train": {f"{n}.png": picture(n, "cat") for n in range(200, 225)}})
    rows = [f"{n},{n}.png,{'cat' if n % 2 else 'dog'}" for n in range(200, 224)]
    (folder / "train.csv").write_text("\n".join(["id,image,target", *rows, "9,gone.png,cat"]))
    (folder / "sample_submission.csv").write_text("id,target\n1,\n")
    done = clean.call("add", str(folder))
    assert done.code == 0, done.err
    assert "add: labels are those of train.csv: 'image' is the file, 'target' is its label" in done.out
    assert "add: warning: train.csv names 1 file that is not there, e.g. 'gone.png'" in done.out
    assert "add: 1 image without a label in train.csv is not taken" in done.out
    lines = (clean.root / "data/images/kaggle/labels.csv").read_text().splitlines()
    assert lines[0] == "file,label"
    assert lines[1:] == [f"train/{n}.png,{'cat' if n % 2 else 'dog'}" for n in range(200, 224)]


def test_groups_and_slices_of_a_list_become_those_of_the_batch(clean: Project, tmp_path: Path) -> None:
    folder = lay(tmp_path / "ward", {"shots": {f"{n}.png": picture(n, "cat") for n in range(200, 224)}})
    (folder / "shots/again.png").write_bytes(picture(200, "cat"))
    rows = [f"shots/{n}.png,cat,patient {n // 4},north" for n in range(200, 224)]
    (folder / "labels.csv").write_text(
        "\n".join(["file,label,group,Site", *rows, "shots/again.png,cat,patient 9,south"])
    )
    done = clean.call("add", str(folder))
    assert done.code == 0, done.err
    assert "look like groups" not in done.out
    lines = (clean.root / "data/images/ward/labels.csv").read_text().splitlines()
    assert lines[0] == "file,label,group,site"
    # A copy in another group ties both: it comes along.
    assert sorted(lines[1:]) == sorted([*rows, "shots/again.png,cat,patient 9,south"])
    clean.space.commit("Ward")
    assert clean.run("resolve", "detect", "validate", "prepare").code == 0
    split_of = {name: row["split"] for row in clean.ledger().values() for name in row["named"]}
    assert len(split_of) == 7
    assert split_of["patient 50"] == split_of["patient 9"]


def test_an_image_that_is_there_already_comes_along_with_new_ones_of_its_group(clean: Project, tmp_path: Path) -> None:
    (clean.root / "data/images/old/cat").mkdir(parents=True)
    (clean.root / "data/images/old/cat/1.png").write_bytes(picture(200, "cat"))
    (clean.root / "data/images/old/cat/2.png").write_bytes(picture(201, "cat"))
    clean.track("old")
    folder = lay(tmp_path / "ward", {"shots": {f"{n}.png": picture(n, "cat") for n in range(200, 224)}})
    rows = [f"shots/{n}.png,cat,{'known' if n == 201 else 'p'}" for n in range(200, 224)]
    (folder / "labels.csv").write_text("\n".join(["file,label,group", *rows]))
    done = clean.call("add", str(folder))
    assert done.code == 0, done.err
    assert "add: takes 23 images" in done.out
    lines = (clean.root / "data/images/ward/labels.csv").read_text().splitlines()
    assert sorted(lines[1:]) == sorted(row for row in rows if not row.endswith("known"))
    clean.space.commit("Ward")
    assert clean.run("resolve", "detect", "validate", "prepare").code == 0
    assert len({row["split"] for row in clean.ledger().values() if row["named"] == ["p"]}) == 1
    assert clean.call("add", str(folder), "--batch", "again").out.endswith("add: nothing to add\n")


def test_names_that_look_like_groups_are_told_before_images_are_split(clean: Project, tmp_path: Path) -> None:
    named = {f"video{n // 4}-frame{n:04}.png": picture(n, "cat") for n in range(200, 240)}
    folder = lay(tmp_path / "videos", {"cat": named})
    done = clean.call("add", str(folder), "--dry-run")
    assert done.code == 0, done.err
    (rule,) = re.findall(
        r"add: warning: names such as '.*' look like groups, .* set prepare\.group: '(.*)' before", done.out
    )
    clean.space.params(prepare={"group": rule})
    assert "look like groups" not in clean.call("add", str(folder)).out


def test_what_systems_leave_in_folders_is_not_taken(clean: Project, tmp_path: Path) -> None:
    folder = lay(tmp_path / "june", pictures(range(100, 112), "cat", "dog"))
    lay(folder / "__MACOSX", pictures(range(3), "cat"))
    lay(folder / "cat", {".ipynb_checkpoints": {"1-checkpoint.png": picture(300)}, "@eaDir": {"1.png": picture(301)}})
    (folder / "README").write_text("from a camera")
    done = clean.call("add", str(folder), "--dry-run")
    assert "would take 24 images" in done.out
    assert (
        "'README' (a text file), 'cat/.ipynb_checkpoints/1-checkpoint.png' (hidden), 'cat/@eaDir/1.png' (h" in done.out
    )


def test_a_label_that_is_nearly_a_known_one_is_asked_about(clean: Project, tmp_path: Path) -> None:
    clean.space.params(validate={"new_labels": "allow"})
    folder = lay(tmp_path / "june", pictures(range(100, 112), "catt", "dogs", "owl", "dog2"))
    done = clean.call("add", str(folder), "--dry-run")
    assert done.code == 0, done.err
    assert "warning: the label 'catt' is new; if 'cat' is meant, name it so and run this again" in done.out
    assert "warning: the label 'dogs' is new; if 'dog' is meant, name it so" in done.out
    assert "label 'owl'" not in done.out
    assert "label 'dog2'" not in done.out, "numbers tell labels apart"
    clean.space.params(validate={"labels": ["catt"]})
    assert "label 'catt'" not in clean.call("add", str(folder), "--dry-run").out, "it is listed, and so is meant"
    clean.space.params(validate={"new_labels": "listed", "labels": []})
    refused = clean.call("add", str(folder))
    assert refused.code == 4
    assert "the label 'catt' is new; if 'cat' is meant" in refused.out


def test_one_is_not_called_many(clean: Project, tmp_path: Path) -> None:
    done = clean.call("add", str(lay(tmp_path / "june", pictures([100], "cat"))), "--dry-run")
    assert "add: reading 1 file\n" in done.out
    assert "add: 1 image in " in done.out
    assert "add: would take 1 image into" in done.out
