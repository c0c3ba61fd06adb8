"""Groups and slices of labels.csv, from the batch to the dataset, over cycles."""

import re
from collections import defaultdict
from collections.abc import Iterable

import yaml
from project import Project, picture, pictures

from pipeline.base import files
from pipeline.data import dataset


def listed(
    project: Project, batch: str, numbers: Iterable[int], header: str = "", per_group: int = 4, **to: str
) -> None:
    """A batch with a labels.csv, cats and dogs, so many pictures for each group.

    Args:
        project: gets it.
        batch: name of it.
        numbers: of the pictures.
        header: further columns, such as `,group,site`.
        per_group: pictures in each group.
        to: cells of the columns; `{g}` stands for the number of the group, `{n}` for that of the picture.
    """
    lines = [f"file,label{header}"]
    for number in numbers:
        label = ("cat", "dog")[number % 2]
        project.write(f"{batch}/shots/{number}.png", picture(number, label))
        cells = [to[name].format(g=number // per_group, n=number) for name in header.split(",") if name]
        lines.append(",".join([f"shots/{number}.png", label, *cells]))
    project.write(f"{batch}/labels.csv", "\n".join(lines).encode())
    project.track(batch)


def splits_by_group(project: Project) -> dict[str, set[str]]:
    found = defaultdict(set)
    for row in project.ledger().values():
        for name in row["named"]:
            found[name].add(row["split"])
    return found


OURS = {"batch", "age", "brightness", "side"}


def slices(project: Project) -> set[tuple[str, str, str]]:
    """Path, slice and value, of the dataset of the cycle: those of labels.csv."""
    return {row for row in all_slices(project) if row[1] not in OURS}


def all_slices(project: Project) -> set[tuple[str, str, str]]:
    """The same with those that any image has."""
    paths = dict(project.table("ledger.parquet").select("digest", "path").iter_rows())
    rows = dataset.read(project.root / "data/cycle/dataset").slices().rows()
    return {(paths[digest].removeprefix("data/images/"), name, value) for digest, name, value in rows}


def sliced(project: Project, batch: str, *, is_new: bool) -> list[tuple[str, int]]:
    """Paths of a batch, with the numbers of the pictures: all where it is new, else those in val and holdout."""
    rows = {path: row for path, row in project.ledger().items() if path.startswith(f"{batch}/")}
    kept = [path for path, row in rows.items() if is_new or row["split"] != "train"]
    return [(path, int(re.findall(r"(\d+)\.png", path)[0])) for path in kept]


def listing_of(project: Project, batch: str) -> str:
    pointer = yaml.safe_load((project.root / f"data/images/{batch}.dvc").read_text())
    return str(pointer["outs"][0]["md5"])


def test_groups_and_slices_are_remembered_from_cycle_to_cycle(project: Project) -> None:
    columns = {"group": "patient {g}", "site": "site {n}", "camera": "A"}
    listed(project, "first", range(120), ",group,site,camera", **columns)
    first = project.cycle()
    assert "prepare: 120 new images in 30 groups, each in one split" in first.out
    assert "warning: names" not in first.out
    assert all(len(splits) == 1 for splits in splits_by_group(project).values())
    assert {split for splits in splits_by_group(project).values() for split in splits} == {"train", "val", "holdout"}

    def of_first(*, is_new: bool) -> set[tuple[str, str, str]]:
        paths = sliced(project, "first", is_new=is_new)
        return {(path, "site", f"site {n}") for path, n in paths} | {(path, "camera", "A") for path, _ in paths}

    assert slices(project) == of_first(is_new=True)
    before = splits_by_group(project)

    listed(project, "second", range(200, 260), ",group,site", group="patient {g}", site="south")
    listed(project, "third", range(300, 340), ",group", per_group=1, group="patient 7")
    assert project.upto("validate").code == 0
    # prepare cannot open the first batch again.
    labels_csv = project.root / "data/images/first/labels.csv"
    digest = files.md5(labels_csv.read_bytes())
    for kept in [labels_csv, *project.root.rglob("*.dir"), *project.root.rglob(f"{digest[:2]}/{digest[2:]}")]:
        if kept.name not in {listing_of(project, batch)[2:] for batch in ("second", "third")}:
            kept.unlink()
    second = project.run("prepare")
    assert second.code == 0, second.err
    assert before.items() <= splits_by_group(project).items()
    assert all(len(splits) == 1 for splits in splits_by_group(project).values())
    assert len({row["split"] for path, row in project.ledger().items() if path.startswith("third/")}) == 1
    of_second = {(path, "site", "south") for path, _ in sliced(project, "second", is_new=True)}
    assert slices(project) == of_first(is_new=False) | of_second


def test_an_image_in_two_batches_ties_their_groups_and_counts_in_the_slices_of_both(project: Project) -> None:
    listed(project, "first", range(120), ",group,site", group="{g}", site="north")
    listed(project, "second", range(118, 160), ",group,site", group="of {g}", site="south")
    assert project.upto("prepare").code == 0
    split = splits_by_group(project)
    assert split["29"] == split["of 29"]
    row = next(row for path, row in project.ledger().items() if path.endswith("/119.png"))
    assert row["named"] == ["29", "of 29"]
    both = {(name, value) for path, name, value in slices(project) if path.endswith("/119.png")}
    assert both == {("site", "north"), ("site", "south")}
    assert {("north",), ("south",)} <= {(value,) for _, _, value in slices(project)}


def test_a_rule_on_names_groups_images(project: Project) -> None:
    images = {
        label: {f"patient{n // 4}_{n}.png": picture(n, label) for n in range(120) if n % 2 == (label == "dog")}
        for label in ("cat", "dog")
    }
    project.add("first", images)
    warned = project.upto("prepare")
    assert warned.code == 0, warned.err
    (rule,) = re.findall(
        r"prepare: warning: names such as '.*' look like groups, .* set prepare\.group: '(.*)' before", warned.out
    )
    assert "(120 images in 30 groups)" in warned.out
    straddling = defaultdict(set)
    for path, row in project.ledger().items():
        straddling[path.split("/")[-1].split("_")[0]].add(row["split"])
    assert any(len(splits) > 1 for splits in straddling.values())

    project.space.params(prepare={"group": rule})
    done = project.upto("prepare")
    assert done.code == 0, done.err
    assert "prepare: 120 new images in 30 groups, each in one split" in done.out
    assert "look like groups" not in done.out
    assert set(splits_by_group(project)) == {f"patient{n}" for n in range(30)}
    assert all(len(splits) == 1 for splits in splits_by_group(project).values())


def test_groups_that_come_too_late_are_told_and_the_way_out_works(project: Project) -> None:
    listed(project, "first", range(120), ",site", site="north")
    project.cycle()
    before = {path: row["split"] for path, row in project.ledger().items()}
    listed(project, "first", range(120), ",group", group="{g}")
    listed(project, "second", range(116, 124), ",group", group="{g}")
    done = project.upto("prepare")
    assert done.code == 0, done.err
    assert "groups straddle the splits (" in done.out
    assert before.items() <= {path: row["split"] for path, row in project.ledger().items()}.items()
    assert not any(row["torn"] for row in project.ledger().values())
    assert not slices(project), "the column site is gone"
    (words,) = re.findall(r"to split all anew by groups, (give resolve\.registered_model a new name)", done.out)
    assert words
    project.space.params(resolve={"registered_model": "by_groups"})
    anew = project.cycle()
    assert "straddle" not in anew.out
    assert all(len(splits) == 1 for splits in splits_by_group(project).values())


def test_a_rule_that_comes_late_is_told_too(trained: Project) -> None:
    trained.space.params(prepare={"group": r"^(?:cat|dog)/(\d)"})
    trained.add("second", pictures(range(30, 40), "cat", "dog"))
    done = trained.upto("prepare")
    assert done.code == 0, done.err
    assert re.search(r"prepare: warning: \d groups straddle the splits \(\d+ train, \d+ val, \d+ holdout\)", done.out)
    assert {tuple(row["named"]) for path, row in trained.ledger().items() if "/7." in path or "/3" in path} == {
        ("3",),
        ("7",),
    }


def test_a_known_image_that_comes_again_in_a_group_of_another_split_is_left_out(project: Project) -> None:
    listed(project, "first", range(120), ",group", group="{g}")
    project.cycle()
    split_of = {name: splits for name, (splits,) in splits_by_group(project).items()}
    one = next(name for name, split in split_of.items() if split == "train")
    other = next(name for name, split in split_of.items() if split == "holdout")
    number = 4 * int(one)
    listed(project, "again", [number], ",group", group=other)
    done = project.upto("prepare")
    assert done.code == 0, done.err
    assert "prepare: warning: 1 known image is said to be of a group in another split, e.g. '" in done.out
    assert "of train; splits never move, so it is left out for good" in done.out
    row = next(row for path, row in project.ledger().items() if path.endswith(f"/{number}.png"))
    assert (row["split"], row["torn"], row["named"]) == ("train", True, [one])
    images = dataset.read(project.root / "data/cycle/dataset")
    assert row["digest"] not in {digest for split in dataset.SPLITS for digest in images.part(split).digests}
    assert all(len(splits) == 1 for splits in splits_by_group(project).values())


def test_a_group_of_all_images_is_refused_with_a_remedy_that_works(project: Project) -> None:
    listed(project, "first", range(120), ",group", group="all of them")
    done = project.upto("prepare")
    assert done.code == 4
    assert "prepare: warning: the group 'all of them' has 120 of 120 images, which share a split" in done.out
    assert (
        "; a group goes to one split, and 'all of them' alone has 120 images: add images of other groups" in done.error
    )
    assert "or give smaller groups in labels.csv and `dvc add` the batch" in done.error
    listed(project, "first", range(120), ",group", group="{g}")
    assert project.upto("prepare").code == 0


def test_groups_of_one_image_hold_nothing_together(project: Project) -> None:
    listed(project, "first", range(120), ",group", per_group=1, group="{g}")
    done = project.upto("prepare")
    assert done.code == 0
    assert "prepare: 120 new images in 120 groups, one each: the groups hold nothing together" in done.out


def test_a_hostile_column_stops_the_cycle_before_anything_is_trained(project: Project) -> None:
    listed(project, "first", range(40), ",group,<script>", group="{g}", **{"<script>": "x"})
    done = project.upto("prepare")
    assert done.code == 4
    assert "labels.csv: line 1: '<script>' cannot name a column; expected 1 to 64 letters" in done.error
    listed(project, "first", range(120), ",group", group="{g}")
    assert project.upto("prepare").code == 0


def test_what_was_set_aside_has_its_group_and_slices_once_it_comes_in(project: Project) -> None:
    """Its batch did not change since, and is looked at again."""
    project.space.params(validate={"new_labels": "allow", "max_quarantined": 1.0})
    lines = ["file,label,group,site"]
    for number in range(66):
        label = "owl" if number < 6 else ("cat", "dog")[number % 2]
        project.write(f"first/{number}.png", picture(number, label))
        lines.append(f"{number}.png,{label},{number // 2},north")
    project.write("first/labels.csv", "\n".join(lines).encode())
    project.track("first")
    project.cycle()
    assert "0" not in splits_by_group(project)
    project.add("second", pictures(range(100, 112), "owl"))
    done = project.upto("prepare")
    assert done.code == 0, done.err
    assert {"0", "1", "2"} <= splits_by_group(project).keys()
    came_in = {f"first/{number}.png" for number in range(6)}
    judge = {path for path, _ in sliced(project, "first", is_new=False)}
    assert {path for path, _, _ in slices(project)} == judge | came_in


def test_batch_age_brightness_and_size_are_slices_of_any_image(project: Project) -> None:
    project.add("first", pictures(range(30), "cat", "dog"))
    project.cycle()
    first = {value for _, name, value in all_slices(project) if name == "batch"}
    assert first == {"data/images/first"}
    assert {value for _, name, value in all_slices(project) if name == "age"} == {"this cycle"}
    large = {f"{number}.png": picture(number, "dog", side=24) for number in range(200, 230)}
    project.add("second", {"dog": large})
    project.cycle()
    found = all_slices(project)
    for path, row in project.ledger().items():
        mine = {name: value for of, name, value in found if of == path}
        if row["split"] == "train":
            assert mine == ({"batch": "data/images/second"} if path.startswith("second/") else {})
            continue
        batch = path.split("/")[0]
        assert mine["batch"] == f"data/images/{batch}"
        assert mine["age"] == {"first": "1 to 2 cycles ago", "second": "this cycle"}[batch]
        assert mine["side"] == {"first": "12", "second": "24"}[batch]
        low, _, high = mine["brightness"].partition(" to ")
        assert float(low) - 0.01 <= row["brightness"] <= float(high or low) + 0.01
    columns = project.table("evaluation/predictions.parquet").columns
    assert {"slice batch", "slice age", "slice side", "slice brightness"} <= set(columns)


def test_a_column_of_people_comes_before_ours_of_the_same_name(project: Project) -> None:
    listed(project, "first", range(60), ",age,group", age="old", group="g{g}")
    project.cycle()
    assert {value for _, name, value in all_slices(project) if name == "age"} == {"old"}
