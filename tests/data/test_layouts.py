"""Layouts of folders that people have: which file is an image of which label, meant for what."""

import json

import pytest

from pipeline.base.errors import DataError
from pipeline.data import layouts
from pipeline.data.layouts import FileHere, Layout, Splitting

SPLIT = ("train/cat/1.jpg", "train/dog/2.jpg", "valid/cat/3.jpg", "valid/dog/4.jpg", "test/cat/5.jpg", "test/dog/6.jpg")


def here(*paths: str) -> list[FileHere]:
    """Files: those that end so are images, others are texts."""
    return [FileHere(path, path.endswith((".jpg", ".png")), "a text file") for path in paths]


def read(*paths: str, splitting: Splitting | None = None, **lists: str | bytes) -> Layout:
    """The layout of these files, and of lists by name without its ending, as `train_csv`."""
    named = {name.replace("_", "."): content for name, content in lists.items()}
    contents = {name: c if isinstance(c, bytes) else c.encode() for name, c in named.items()}
    return layouts.read("photos", here(*paths, *contents), contents, splitting, "run this again")


def labelled(layout: Layout) -> dict[str, tuple[str, str | None]]:
    return {image.path: (image.label, image.split) for image in layout.images}


@pytest.mark.parametrize("wrap", ["", "archive/", "archive/Photos of June/"])
def test_a_folder_for_each_label_whatever_lies_around_it(wrap: str) -> None:
    layout = read(f"{wrap}cat/1.jpg", f"{wrap}dog/2.jpg")
    assert labelled(layout) == {f"{wrap}cat/1.jpg": ("cat", None), f"{wrap}dog/2.jpg": ("dog", None)}
    assert not layout.is_listed


@pytest.mark.parametrize("wrap", ["", "dataset/"])
def test_folders_of_splits_are_refused_with_both_ways_on(wrap: str) -> None:
    with pytest.raises(DataError, match=r"split already, as its folders say \(train: 2, val: 2, holdout: 2\)") as error:
        read(*(f"{wrap}{path}" for path in SPLIT))
    assert "--keep-splits" in str(error.value)
    assert "--merge-splits" in str(error.value)
    assert "can be added alone" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrap", ["", "dataset/"])
def test_splits_are_kept_if_asked(wrap: str) -> None:
    layout = read(*(f"{wrap}{path}" for path in SPLIT), splitting="keep")
    assert labelled(layout) == {
        f"{wrap}train/cat/1.jpg": ("cat", "train"),
        f"{wrap}train/dog/2.jpg": ("dog", "train"),
        f"{wrap}valid/cat/3.jpg": ("cat", "val"),
        f"{wrap}valid/dog/4.jpg": ("dog", "val"),
        f"{wrap}test/cat/5.jpg": ("cat", "holdout"),
        f"{wrap}test/dog/6.jpg": ("dog", "holdout"),
    }
    assert layout.is_listed
    assert layout.asks_splits


def test_splits_are_merged_if_asked() -> None:
    layout = read(*SPLIT, splitting="merge")
    assert {image.label for image in layout.images} == {"cat", "dog"}
    assert {image.split for image in layout.images} == {None}
    assert not layout.is_listed


def test_a_split_added_alone_is_a_folder_of_labels() -> None:
    assert labelled(read("test/cat/1.jpg", "test/dog/2.jpg")) == {
        "test/cat/1.jpg": ("cat", None),
        "test/dog/2.jpg": ("dog", None),
    }


@pytest.mark.parametrize(
    ("paths", "splits"),
    {
        "Kaggle": (("seg_train/seg_train/sea/1.jpg", "seg_test/seg_test/sea/2.jpg"), ("train", "holdout")),
        "names of sets": (("Training Set/sea/1.jpg", "Test-Set/sea/2.jpg"), ("train", "holdout")),
        "COCO": (("train2017/sea/1.jpg", "val2017/sea/2.jpg"), ("train", "val")),
        "deep": (("train/2020/sea/1.jpg", "holdout/2021/sea/2.jpg"), ("train", "holdout")),
    }.values(),
)
def test_splits_are_known_by_usual_names(paths: tuple[str, str], splits: tuple[str, str]) -> None:
    layout = read(*paths, splitting="keep")
    assert labelled(layout) == {path: ("sea", split) for path, split in zip(paths, splits, strict=True)}


def test_splits_may_lie_below_labels() -> None:
    paths = ("sea/train/1.jpg", "sea/test/2.jpg", "sky/train/3.jpg", "sky/test/4.jpg")
    merged = read(*paths, splitting="merge")
    assert [image.label for image in merged.images] == ["sea", "sea", "sky", "sky"]
    assert merged.is_listed, "the folders do not say the labels"
    kept = read(*paths, splitting="keep")
    assert [image.split for image in kept.images] == ["train", "holdout", "train", "holdout"]


def test_one_label_that_is_called_train_is_a_label() -> None:
    layout = read("bus/1.jpg", "car/2.jpg", "train/3.jpg")
    assert [image.label for image in layout.images] == ["bus", "car", "train"]
    kept = read("train/bus/1.jpg", "train/train/2.jpg", "test/bus/3.jpg", "test/train/4.jpg", splitting="keep")
    assert [image.label for image in kept.images] == ["bus", "train", "bus", "train"]


@pytest.mark.parametrize("splitting", [None, "keep", "merge"])
def test_splits_without_labels_are_refused_whatever_is_asked(splitting: Splitting | None) -> None:
    flat = (
        r"2 images in photos lie in a folder of a split and in none of a label, e\.g\. 'test/2\.jpg'; expected <split>/"
    )
    with pytest.raises(DataError, match=flat):
        read("train/1.jpg", "test/2.jpg", splitting=splitting)
    with pytest.raises(DataError, match=r"1 image in photos lies in a folder of a split and in none of a label"):
        read("train/cat/1.jpg", "test/2.jpg", splitting=splitting)
    with pytest.raises(DataError, match=r"none of a label, e\.g\. 'seg_test/seg_test/2\.jpg'"):
        read("seg_train/seg_train/sea/1.jpg", "seg_test/seg_test/2.jpg", splitting=splitting)


@pytest.mark.parametrize("splitting", [None, "keep", "merge"])
def test_images_beside_the_splits_are_refused(splitting: Splitting | None) -> None:
    with pytest.raises(DataError, match=r"1 image in photos lies beside the folders of splits, e.g. 'seg_pred/7\.jpg'"):
        read(*SPLIT, "seg_pred/7.jpg", splitting=splitting)


def test_nothing_to_keep_is_refused() -> None:
    with pytest.raises(DataError, match="photos has no splits to keep; expected folders such as train, val and test"):
        read("cat/1.jpg", "dog/2.jpg", splitting="keep")


def test_texts_where_no_images_are_expected_stop_nothing() -> None:
    strays = ("LICENSE", "README", "classes.json", "train/LICENSE", "annotations/1.xml")
    layout = read(*SPLIT, *strays, splitting="keep")
    assert sorted(file.path for file in layout.others) == sorted(strays)
    assert len(layout.images) == 6


def test_what_lies_among_images_is_a_fault_of_its_own() -> None:
    layout = read("cat/1.jpg", "cat/page.html", "dog/2.jpg")
    assert "cat/page.html" in labelled(layout)
    assert not layout.others


def test_a_folder_of_pictures_in_an_unknown_format_is_no_folder_of_texts() -> None:
    files = [*here("cat/1.jpg"), FileHere("dog/1.heic", is_image=False, what="a HEIC file")]
    assert len(layouts.read("photos", files, {}, None, "run this again").images) == 2


@pytest.mark.parametrize("paths", [("1.jpg", "2.jpg"), ("1.jpg", "cat/2.jpg")])
def test_loose_images_are_refused_with_advice(paths: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"directly in photos, e\.g\. '1\.jpg'; expected each in a folder named after"):
        read(*paths)


@pytest.mark.parametrize("path", ["a/<b>/1.jpg", "train/<b>/1.jpg"])
def test_a_folder_whose_name_cannot_be_a_label_is_refused(path: str) -> None:
    name = path.rpartition("/")[0]
    with pytest.raises(DataError, match=rf"'photos/{name}': not a label; .*; rename the folder and run this again"):
        read(path, "train/c/2.jpg", "test/c/3.jpg", splitting="keep") if "train" in path else read(path, "c/2.jpg")


def test_a_batch_of_our_own_is_read_as_it_is() -> None:
    content = "file,label,split\na/1.jpg,cat,train\na/2.jpg,dog,\n3.jpg,dog,holdout\ngone.jpg,dog,val\n"
    layout = read("a/1.jpg", "a/2.jpg", "3.jpg", "4.jpg", "README", labels_csv=content)
    assert labelled(layout) == {
        "a/1.jpg": ("cat", "train"),
        "a/2.jpg": ("dog", None),
        "3.jpg": ("dog", "holdout"),
        "4.jpg": ("", None),
    }
    assert not layout.asks_splits
    assert layout.warnings == ("labels.csv names 1 file that is not there, e.g. 'photos/gone.jpg'",)
    assert [file.path for file in layout.others] == ["README"]
    merged = read("a/1.jpg", "a/2.jpg", "3.jpg", labels_csv=content, splitting="merge")
    assert {image.split for image in merged.images} == {None}


def test_a_labels_csv_without_splits_does_not_hide_those_of_folders() -> None:
    content = "file,label\ntrain/1.jpg,cat\ntest/2.jpg,cat\n"
    with pytest.raises(DataError, match=r"as labels\.csv and its folders say \(train: 1, holdout: 1\)"):
        read("train/1.jpg", "test/2.jpg", labels_csv=content)
    kept = read("train/1.jpg", "test/2.jpg", labels_csv=content, splitting="keep")
    assert labelled(kept) == {"train/1.jpg": ("cat", "train"), "test/2.jpg": ("cat", "holdout")}
    assert kept.asks_splits
    merged = read("train/1.jpg", "test/2.jpg", labels_csv=content, splitting="merge")
    assert {image.split for image in merged.images} == {None}
    with pytest.raises(DataError, match="photos has no splits to keep"):
        read("1.jpg", labels_csv="file,label\n1.jpg,cat\n", splitting="keep")


@pytest.mark.parametrize(
    "content",
    [
        "filename,class\n1.jpg,cat\n2.jpg,dog\n",
        "index,Image Path,width,Category\n0,images/1.jpg,5,cat\n1,images/2.jpg,5,dog\n",
        "file;label\n1.jpg;cat\n2.jpg;dog\n",
        "label\tpath\ncat\t./images/1.jpg\ndog\timages\\2.jpg\n",
        "image,label\n/home/me/photos/images/1.jpg,cat\n/home/me/photos/images/2.jpg,dog\n",
        "image,id,choice\n/data/upload/1/0badcafe-1.jpg,1,cat\n/data/local-files/?d=photos/2.jpg,2,dog\n",
        "image,id,choice\ns3://bucket/images/1.jpg,1,cat\nhttps://example.org/images/2.jpg?x=1,2,dog\n",
    ],
)
@pytest.mark.parametrize("name", ["labels_csv", "train_csv"])
def test_lists_of_other_tools_are_understood(content: str, name: str) -> None:
    layout = read("images/1.jpg", "images/2.jpg", **{name: content})
    assert labelled(layout) == {"images/1.jpg": ("cat", None), "images/2.jpg": ("dog", None)}
    assert layout.is_listed
    assert not layout.asks_splits


def test_it_is_said_which_columns_were_taken() -> None:
    layout = read("1.jpg", "2.jpg", labels_csv="id,filename,class,other\n7,1.jpg,cat,x\n8,2.jpg,dog,x\n")
    assert layout.says == (
        "labels are those of labels.csv: 'filename' is the file, 'class' is its label; 'other' comes along",
    )


def said(layout: Layout) -> dict[str, tuple[str, dict[str, str]]]:
    """Group and slices by path."""
    return {image.path: (image.group, dict(image.slices)) for image in layout.images}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels_csv", "file,label,group,site\n1.jpg,cat,p7,north\n2.jpg,dog,,\n"),
        ("labels_csv", "file;Site;Group;label\nphotos/1.jpg;north;p7;cat\n2.jpg;;;dog\n"),
        ("train_csv", "id,image,target,Group,Site\n1,1.jpg,cat,p7,north\n2,2.jpg,dog,,\n"),
        (
            "list_json",
            '[{"image": "1.jpg", "label": "cat", "group": "p7", "site": "north"}, {"image": "2.jpg", "label": "dog"}]',
        ),
    ],
    ids=["our own", "another order", "of Kaggle", "JSON"],
)
def test_groups_and_slices_of_a_list_come_along(name: str, content: str) -> None:
    assert said(read("1.jpg", "2.jpg", **{name: content})) == {"1.jpg": ("p7", {"site": "north"}), "2.jpg": ("", {})}


def test_a_list_with_groups_says_more_than_the_folders() -> None:
    content = "file,label,group\ncat/1.jpg,cat,p7\ndog/2.jpg,dog,p8\n"
    layout = read("cat/1.jpg", "dog/2.jpg", patients_csv=content)
    assert layout.is_listed
    assert said(layout) == {"cat/1.jpg": ("p7", {}), "dog/2.jpg": ("p8", {})}


def test_columns_that_can_be_no_slices_are_left_out_and_told() -> None:
    names = [f"{number}.jpg" for number in range(30)]
    header = f"image,label,time,<b>,Site,site,note,empty,split of,{','.join(f's{n}' for n in range(100))}"
    rows = [f"{name},cat,{n},x,north,south,{'x' * 101},,a,{',' * 99}" for n, name in enumerate(names)]
    layout = read(*names, labels_csv="\n".join([header, *rows]))
    assert set(map(str, said(layout).values())) == {str(("", {"site": "north", "split of": "a"}))}
    assert layout.says[1] == (
        "columns of labels.csv that do not come along: 'time' (it has another value for each image), '<b>' (its name "
        "cannot be that of a slice), 'site' (it is there twice), 'note' (it has a value of more than 100 characters, "
        "or one that hides something)"
    )
    many = read(*names, labels_csv="\n".join([f"image,label,{','.join(f's{n}' for n in range(10_000))}",
                                              *(f"{name},cat{',a' * 10_000}" for name in names)]))  # fmt: skip
    assert len(many.images[0].slices) == 64
    assert many.says[1].endswith("'s68' (there are 64 before it) and 9931 more")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,label,group\n1.jpg,cat,a\n1.jpg,cat,b\n", r"line 3: '1\.jpg' has another group above; expected one"),
        ("image,label,group\n1.jpg,cat,a\x1bb\n", r"line 2: 'a\\x1bb' cannot be a group; expected at most 100 char"),
    ],
)
def test_groups_that_are_not_clear_are_refused_by_their_line(content: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"^photos/labels\.csv: {message}.*; mend it and run this again"):
        read("1.jpg", labels_csv=content)


def test_exports_of_label_studio_are_understood() -> None:
    def task(image: str, *choices: str) -> dict[str, object]:
        result = [{"type": "choices", "value": {"choices": [choice]}} for choice in choices]
        return {"id": 1, "data": {"image": image}, "annotations": [{"result": result}]}

    full = [task("/data/upload/1/0badcafe-1.jpg", "cat"), task("/data/upload/1/0badcafe-2.jpg", "dog"), task("3.jpg")]
    small = [{"image": "1.jpg", "id": 1, "choice": "cat"}, {"image": "2.jpg", "id": 2, "choice": "dog"}]
    for content in (full, small):
        layout = read("images/1.jpg", "images/2.jpg", "images/3.jpg", project_json=json.dumps(content))
        assert labelled(layout) == {"images/1.jpg": ("cat", None), "images/2.jpg": ("dog", None)}
        assert "1 image without a label in project.json is not taken" in layout.says
    with pytest.raises(DataError, match=r"line 1: 'cat,dog' is not a label"):
        read("1.jpg", "2.jpg", project_json=json.dumps([task("1.jpg", "cat", "dog"), task("2.jpg", "dog")]))


def test_a_list_with_splits_is_refused_kept_or_merged() -> None:
    content = "class id,filepaths,labels,data set\n0,a/1.jpg,owl,train\n0,a/2.jpg,owl,test\n"
    with pytest.raises(DataError, match=r"birds\.csv and its column 'data set' say \(train: 1, holdout: 1\)"):
        read("a/1.jpg", "a/2.jpg", birds_csv=content)
    kept = read("a/1.jpg", "a/2.jpg", birds_csv=content, splitting="keep")
    assert labelled(kept) == {"a/1.jpg": ("owl", "train"), "a/2.jpg": ("owl", "holdout")}
    assert kept.asks_splits
    merged = read("a/1.jpg", "a/2.jpg", birds_csv=content, splitting="merge")
    assert {image.split for image in merged.images} == {None}
    strange = content.replace("test", "fold 3") + "0,a/3.jpg,owl,val\n"
    with pytest.raises(DataError, match=r"birds\.csv: line 3: 'fold 3' is no split; expected one of train, training"):
        read("a/1.jpg", "a/2.jpg", "a/3.jpg", birds_csv=strange, splitting="keep")


def test_folders_of_splits_count_where_a_list_says_only_labels() -> None:
    content = "file,label,source\ntrain/1.jpg,cat,x\ntest/2.jpg,cat,x\n"
    with pytest.raises(DataError, match=r"split already, as all\.csv and its folders say \(train: 1, holdout: 1\)"):
        read("train/1.jpg", "test/2.jpg", all_csv=content)
    kept = read("train/1.jpg", "test/2.jpg", all_csv=content, splitting="keep")
    assert labelled(kept) == {"train/1.jpg": ("cat", "train"), "test/2.jpg": ("cat", "holdout")}


def test_a_list_that_says_what_the_folders_say_is_left_alone() -> None:
    layout = read("cat/1.jpg", "dog/2.jpg", birds_csv="file,label\ncat/1.jpg,cat\ndog/2.jpg,dog\n")
    assert not layout.is_listed
    assert [file.path for file in layout.others] == ["birds.csv"]


def test_ids_are_names_without_their_endings() -> None:
    layout = read("train/1.jpg", "train/2.v1.png", train_csv="id,breed,label\n1,x,cat\n2.v1,y,dog\n9,z,cat\n")
    assert {(file.path, file.label) for file in layout.images} == {("train/1.jpg", "cat"), ("train/2.v1.png", "dog")}


def test_a_list_of_other_things_is_left_alone() -> None:
    layout = read("cat/1.jpg", "dog/2.jpg", names_csv="number,name\n0,cat\n", empty_json="[]", torn_json="{")
    assert {file.path for file in layout.others} == {"names.csv", "empty.json", "torn.json"}


REFUSED = {
    "two lists": (
        {"train_csv": "file,label\n1.jpg,cat\n", "val_csv": "file,label\n2.jpg,dog\n"},
        r"'train\.csv' and 'val\.csv' both say labels; expected one list",
    ),
    "against the folders": (
        {"train_csv": "file,label\nb/1.jpg,c\nb/2.jpg,b\n"},
        r"train\.csv line 2 says that 'b/1\.jpg' is 'c', its folder says 'b'; expected one of them to say the labels; "
        r"to take the list, name it labels\.csv; to take the folders, move it away; then ",
    ),
    "as JSON": (
        {"train_json": '[{"file": "b/1.jpg", "label": "c"}, {"file": "b/2.jpg", "label": "b"}]'},
        r"train\.json line 1 says .*; to take the list, save it as CSV by the name labels\.csv; to take the folders, ",
    ),
    "two files of one id": (
        {"train_csv": "id,label\n3,cat\n"},
        r"line 2: '3' may be 'b/3\.jpg' or 'c/3\.jpg'; expected paths below photos",
    ),
    "two meanings": (
        {"train_csv": "file,label\n3.jpg,cat\n"},
        r"line 2: '3\.jpg' may be 'b/3\.jpg' or 'c/3\.jpg'; expected paths below photos",
    ),
    "two labels": (
        {"train_csv": "file,label\n1.jpg,cat\nb/1.jpg,dog\n"},
        r"line 3: 'b/1\.jpg' has another label or split above; expected one",
    ),
    "no label": (
        {"train_csv": "file,label\n1.jpg,<b>\n"},
        r"train\.csv: line 2: '<b>' is not a label; expected 1 to 64 letters",
    ),
    "no columns": (
        {"labels_csv": "colour,shape\n1,2\n"},
        r"photos/labels\.csv: line 1 is 'colour,shape'; expected `file,label`, or columns of such names",
    ),
    "no UTF-8": ({"train_csv": b"file,label\n\xff\xfe\n"}, r"train\.csv: not a CSV file in UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_list_that_is_not_clear_is_refused_by_its_line(name: str) -> None:
    lists, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as error:
        read("b/1.jpg", "b/2.jpg", "b/3.jpg", "c/3.jpg", **lists)
    assert str(error.value).endswith("run this again")
