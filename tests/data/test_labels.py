import json
import unicodedata

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st
from samples import description, lineage

from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.reference import Statistics
from pipeline.base.errors import DataError
from pipeline.data import labels
from pipeline.data.settings import LabelChanges
from pipeline.data.splits import SPLITS

IMAGES = "data/images"
BATCH = "data/images/monday"


def is_composed(name: str) -> bool:
    return unicodedata.is_normalized("NFC", name)


def files(*paths: str) -> pl.DataFrame:
    """A listing; each file's digest is d1, d2, ..."""
    digests = [f"d{number}" for number in range(1, len(paths) + 1)]
    return pl.DataFrame({"path": paths, "digest": digests}, schema={"path": pl.String, "digest": pl.String})


def of_folder(label: str) -> str:
    return labels.of_folders(files(f"{BATCH}/{label}/1.png"), IMAGES)["label"].item()


def of_csv(content: str | bytes, *names: str) -> list[tuple[str, str]]:
    """File and label of each image, by a labels.csv."""
    content = content.encode() if isinstance(content, str) else content
    rows, _ = labels.of_csv(files(*(f"{BATCH}/{name}" for name in names)), BATCH, content)
    assert rows.columns == ["digest", "label", "path"]
    return [(path.removeprefix(f"{BATCH}/"), label) for label, path in rows.select("label", "path").iter_rows()]


GOOD = ["cat", "a", "7", "_x", "red panda", "C++", "v1.2-b", "Größe", "日本", "x" * 64, "cafe\u0301", "हिन्दी", "٣"]
LONG = ["x" * 65]
SIGNS = ["<b>", "a\nb", "a\x1b[31m", "a|b", "$HOME", "a\u202eb", "a,b", "'", '"', "%00", "[a](b)", "cat\n", "a\\b"]
HIDDEN = ["a\u200bb", "a\ufeff", "\udcff", "a\u2028b", "\ue000", "a\x7f", "a\x00", "a\u00adb"]
STARTS = ["", ".hidden", "-x", "+1", " cat", ".", "..", "\u0301e"]
BAD = [*LONG, *SIGNS, *HIDDEN, *STARTS]


@pytest.mark.parametrize("label", GOOD, ids=ascii)
def test_a_label_is_letters_digits_and_few_signs_of_any_script(label):
    assert labels.is_label(label)


@pytest.mark.parametrize("label", BAD, ids=ascii)
def test_what_could_hurt_a_page_a_terminal_or_a_command_is_no_label(label):
    assert not labels.is_label(label)


@hypothesis.given(st.text())
def test_a_label_is_safe_whatever_it_is(text):
    if labels.is_label(text):
        assert text.isprintable()
        assert not set(text) & set("<>&\"'`|$;\\/*?[](){}#!%=\n\r\t,:")
        assert text[0] not in "-.+ "
        assert text not in (".", "..")


@pytest.mark.parametrize("label", [label for label in GOOD if len(label) < 65], ids=ascii)
def test_the_label_is_the_name_of_the_folder_as_it_is(label):
    assert of_folder(label) == label


def test_only_the_last_folder_is_the_label():
    table = labels.of_folders(files(f"{IMAGES}/monday/animals/cat/1.png", f"{IMAGES}/dog/2.png"), IMAGES)
    assert table.rows() == [
        ("d1", "cat", f"{IMAGES}/monday/animals/cat/1.png"),
        ("d2", "dog", f"{IMAGES}/dog/2.png"),
    ]
    assert table.columns == ["digest", "label", "path"]


@pytest.mark.parametrize("label", [*LONG, *(sign for sign in SIGNS if "\n" not in sign), *HIDDEN[:2]], ids=ascii)
def test_a_folder_whose_name_is_no_label_is_refused_in_ascii(label):
    with pytest.raises(
        DataError,
        match=r"not a label; expected 1 to 64 letters, digits, spaces or any of _\.\+-, starting with a letter, "
        r"digit or _.*; rename the folder and `dvc add` again",
    ) as raised:
        of_folder(label)
    assert str(raised.value).isprintable()
    assert str(raised.value).isascii()


@pytest.mark.parametrize("label", ["cat\n", "a\nb"], ids=ascii)
def test_a_folder_with_a_line_break_in_its_name_is_refused_in_one_line(label):
    with pytest.raises(DataError, match="label") as raised:
        of_folder(label)
    assert "\n" not in str(raised.value)


def test_one_bad_folder_is_found_among_many():
    with pytest.raises(DataError, match=r"^'data/images/monday/<b>': not a label"):
        labels.of_folders(files(f"{BATCH}/cat/1.png", f"{BATCH}/<b>/1.png", f"{BATCH}/dog/1.png"), IMAGES)


def test_an_image_in_no_label_folder_is_refused():
    with pytest.raises(
        DataError,
        match=r"images/1\.png': lies in no label folder; move it to data/images/<batch>/<label>/ and `dvc add` again; "
        r"if it has a pointer of its own, run `dvc remove 'data/images/1\.png\.dvc'` too$",
    ):
        labels.of_folders(files(f"{IMAGES}/2.png", f"{IMAGES}/1.png"), IMAGES)


def test_no_images_have_no_labels():
    assert labels.of_folders(files(), IMAGES).rows() == []


def test_a_csv_labels_the_files_that_it_names_wherever_they_lie_in_the_batch():
    content = "file,label\n1.png,cat\na/b/2.png,red panda\n"
    assert of_csv(content, "a/b/2.png", "1.png") == [("a/b/2.png", "red panda"), ("1.png", "cat")]


def test_an_image_that_the_csv_does_not_name_has_an_empty_label():
    assert of_csv("file,label\n1.png,cat\n", "1.png", "2.png") == [("1.png", "cat"), ("2.png", "")]


def test_files_that_the_csv_names_and_the_batch_has_not_are_given_back():
    rows, missing = labels.of_csv(files(f"{BATCH}/1.png"), BATCH, b"file,label\n1.png,cat\n3.png,dog\n2.png,dog\n")
    assert len(rows) == 1
    assert missing == [f"{BATCH}/3.png", f"{BATCH}/2.png"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufefffile,label\n1.png,cat\n",
        "file,label\r\n1.png,cat\r\n",
        "File, LABEL\n 1.png , cat \n",
        "file,label\n\n1.png,cat\n\n",
        "file,label\n1.png,cat\n1.png,cat\n",
        'file,label\n"1.png","cat"\n',
        "file,label\n1.png,cat",
    ],
    ids=["byte order mark", "Windows", "spaces and capitals", "empty lines", "said twice", "quoted", "no last break"],
)
def test_a_csv_may_be_as_spreadsheets_write_it(content):
    assert of_csv(content, "1.png") == [("1.png", "cat")]


def test_an_accent_may_be_written_in_either_way():
    """macOS and its editors write the second; NFC and NFD of Unicode."""
    content = "file,label\n1.png,caf\u00e9\n2.png,cafe\u0301\n"
    assert of_csv(content, "1.png", "2.png") == [("1.png", "caf\u00e9"), ("2.png", "caf\u00e9")]


def test_a_file_with_a_comma_in_its_name_can_be_quoted():
    assert of_csv('file,label\n"a,b.png",cat\n', "a,b.png") == [("a,b.png", "cat")]


AGAIN = "mend it and `dvc add` the batch again"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", rf"line 1 is 'nothing'; expected `file,label`; {AGAIN}"),
        (b"1.png,cat\n", rf"line 1 is '1\.png,cat'; expected `file,label`; {AGAIN}"),
        (b"label,file\n", r"line 1 is 'label,file'; expected `file,label`"),
        (b"file;label\n1.png;cat\n", r"line 1 is 'file;label'; expected `file,label`"),
        (b"file,more,label\n", r"line 1 is 'file,more,label'; expected `file,label`"),
        (b"file\n1.png\n", r"line 1 is 'file'; expected `file,label`"),
        (b"label\ncat\n", r"line 1 is 'label'; expected `file,label`"),
        (b"file,group,site\n1.png,a,b\n", r"line 1 is 'file,group,site'; expected `file,label`"),
        (b"file,label,\n", r"line 1: '' cannot name a column; expected 1 to 64 letters, .*; mend it"),
        (b'file,label,"a\nb"\n', r"line 1: 'a\\nb' cannot name a column"),
        (b"file,label,=cmd()\n", r"line 1: '=cmd\(\)' cannot name a column"),
        (b"file,label," + b"s" * 65 + b"\n", r"line 1: 's{65}' cannot name a column"),
        (b"file,label,<b>\n", r"line 1: '<b>' cannot name a column"),
        (b"file,label,\x1b[31m\n", r"line 1: '\\x1b\[31m' cannot name a column"),
        (b"file,label,group,GROUP\n", r"line 1 has the column 'group' twice; expected each once; mend it"),
        (b"file,label,site, Site\n", r"line 1 has the column 'site' twice"),
        (b"file,label,label\n", r"line 1 has the column 'label' twice"),
        (
            f"file,label,{','.join(f's{n}' for n in range(10_000))}\n".encode(),
            r"line 1 has 10000 columns besides file, label, split, group; expected 64 at most, each of which is a "
            r"slice; take columns out and `dvc add` the batch again",
        ),
        (
            b"file,label,site\n1.png,cat\n",
            r"line 2 has 2 cells; expected 3, as line 1 has; mend it",
        ),
        (
            b"file,label,group\n1.png,cat," + b"x" * 101,
            r"line 2: 'x{80}' cannot be a group; expected at most 100 characters, all of which can be seen, or n",
        ),
        (b"file,label,site\n1.png,cat,a\x1bb\n", r"line 2: 'a\\x1bb' cannot be a site; expected at most 100 char"),
        ("file,label,site\n1.png,cat,a\u202eb\n".encode(), r"line 2: 'a\\u202eb' cannot be a site"),
        (
            b"file,label,group\n1.png,cat,a\n1.png,cat,b\n",
            r"line 3: '1\.png' has another group above; expected one; mend it",
        ),
        (
            b"file,label,site,date\n1.png,cat,a,1\n1.png,cat,a,\n",
            r"line 3: '1\.png' has another date above; expected one; mend it",
        ),
        (b"x" * 500 + b"\n", r"line 1 is 'x{80}'; expected"),
        (b"file,label\n1.png\n", rf"line 2 has 1 cells; expected a file and its label; {AGAIN}"),
        (b"file,label\n1.png,cat\n\n2.png,cat,dog\n", r"line 4 has 3 cells; expected a file and its label"),
        (b"file,label\n1.png,<b>\n", rf"line 2: '<b>' is not a label; expected 1 to 64 letters, .*; {AGAIN}"),
        (b"file,label\n1.png,\n", r"line 2: '' is not a label"),
        (b"file,label\n1.png,\x1b[31m\n", r"line 2: '\\x1b\[31m' is not a label"),
        (b"file,label\n1.png,cat\n1.png,dog\n", rf"line 3: '1\.png' has another label above; expected one; {AGAIN}"),
        (
            b"file,label\n\xff.png,cat\n",
            r"not a CSV file in UTF-8 \(.*\); save it as that and `dvc add` the batch again",
        ),
        (b'file,label\n"1.png,cat\n', r"not a CSV file in UTF-8 \(.*\); save it as that and `dvc add` the batch again"),
        (b'file,label\n"1"x.png,cat\n', r"not a CSV file in UTF-8"),
    ],
    ids=[
        "empty",
        "no header",
        "wrong order",
        "semicolons",
        "a column between",
        "no label",
        "no file",
        "other columns",
        "no name",
        "a line break as a column",
        "a formula as a column",
        "a long column",
        "markup as a column",
        "escape as a column",
        "two groups",
        "a slice twice",
        "label twice",
        "10,000 slices",
        "a cell less",
        "a long group",
        "an escape",
        "text in another direction",
        "two groups of one file",
        "two values of one file",
        "long header",
        "one cell",
        "three cells after an empty line",
        "markup",
        "no label",
        "escape",
        "two labels",
        "not UTF-8",
        "open quote",
        "text after a quote",
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused_by_line(content, message):
    with pytest.raises(DataError, match=rf"^{BATCH}/labels\.csv: {message}") as raised:
        of_csv(content, "1.png")
    assert str(raised.value).isprintable()


FILES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1).filter(
    lambda name: name == name.strip()
)


@hypothesis.given(
    st.dictionaries(
        FILES,
        st.tuples(st.sampled_from([name for name in GOOD if is_composed(name)]), st.sampled_from([None, *SPLITS])),
    )
)
def test_a_csv_reads_as_it_was_written(rows):
    rows = {file: labels.Line(*line) for file, line in rows.items()}
    content = labels.to_csv(rows)
    assert labels.is_own(content)
    assert labels.lines_of_csv("labels.csv", content, "") == rows
    assert of_csv(content, *rows) == [(file, label) for file, (label, *_) in rows.items()]
    assert content.startswith(b"file,label,split\n") == any(line.split for line in rows.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"file,label,split\n1.png,cat,test\n",
            r"line 2: 'test' is not a split; expected train, val, holdout or nothing",
        ),
        (b"file,label,split\n1.png,cat\n", r"line 2 has 2 cells; expected a file, its label and its split"),
        (b"file,label,split\n1.png,cat,val\n1.png,cat,\n", r"line 3: '1\.png' has another split above; expected one"),
    ],
)
def test_a_split_that_is_none_is_refused_by_its_line(content, message):
    with pytest.raises(DataError, match=rf"^{BATCH}/labels\.csv: {message}; {AGAIN}"):
        of_csv(content, "1.png")


def test_groups_and_slices_are_read_by_column():
    """Capitals and spaces of a column make no other one; an empty cell says nothing."""
    content = "file,label,Site, Group ,split,date\n1.png,cat,north,p7,val,2024-05-01\n2.png,dog,,,,\n"
    assert labels.lines_of_csv("labels.csv", content.encode(), "") == {
        "1.png": labels.Line("cat", "val", "p7", (("site", "north"), ("date", "2024-05-01"))),
        "2.png": labels.Line("dog", None),
    }


@pytest.mark.parametrize(
    "value", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@x", "NaN", "1e308", "-0", "007", "true", "null"]
)
def test_a_value_is_the_text_that_stands_there(value):
    content = f"file,label,group,site\n1.png,cat,{value},{value}\n"
    assert labels.lines_of_csv("labels.csv", content.encode(), "") == {
        "1.png": labels.Line("cat", None, value, (("site", value),))
    }


def test_a_group_of_spaces_is_none():
    assert labels.lines_of_csv("labels.csv", b"file,label,group\n1.png,cat,  \n", "")["1.png"].group == ""


def test_groups_and_slices_read_as_they_were_written():
    rows = {
        "1.png": labels.Line("cat", None, "p7, left", (("site", "north"),)),
        "2.png": labels.Line("dog", None, "", (("date", "1"), ("site", "s"))),
    }
    content = labels.to_csv(rows)
    assert content.startswith(b"file,label,group,site,date\n")
    read = labels.lines_of_csv("labels.csv", content, "")
    assert read["1.png"] == rows["1.png"]
    assert dict(read["2.png"].slices) == {"site": "s", "date": "1"}


def test_a_path_that_is_shown_stays_one_line():
    with pytest.raises(DataError, match=r"^'data/images/a\\nb\.png': lies in no label folder"):
        labels.of_folders(files(f"{IMAGES}/a\nb.png"), IMAGES)


@pytest.mark.parametrize("content", [b"1.png,cat\n", b"file,label\n1.png\n", b"file,label\n1.png,<b>\n", b"\xff"])
def test_what_to_do_again_is_said_as_the_caller_says_it(content):
    with pytest.raises(DataError, match=r"^photos/labels\.csv: .* and run this again$"):
        labels.of_csv(files("photos/1.png"), "photos", content, again="run this again")


def test_what_to_do_again_with_a_folder_is_said_as_the_caller_says_it():
    with pytest.raises(DataError, match=r"^'photos/<b>': not a label; .*; rename the folder and run this again$"):
        labels.of_folders(files("photos/<b>/1.png"), "photos", again="run this again")


def changes(renamed=None, removed=()) -> LabelChanges:
    return LabelChanges(renamed_labels=renamed or {}, removed_labels=removed)


def test_outputs_keep_their_places_and_new_labels_come_after_them():
    assert labels.outputs(["dog", "cat"], {"cat": 3, "owl": 2, "ant": 1}, changes()) == ["dog", "cat", "ant", "owl"]
    assert labels.outputs([], {"b": 1, "a": 1}, changes()) == ["a", "b"]


def test_a_label_goes_only_by_name_and_without_images():
    gone = changes(removed=("dog", "unheard of"))
    assert labels.outputs(["dog", "cat"], {"cat": 3}, gone) == ["cat"]
    with pytest.raises(DataError, match=r"2 images are labelled dog, which is to be removed .*remove or relabel them"):
        labels.outputs(["dog", "cat"], {"cat": 3, "dog": 2}, gone)


def test_a_label_that_is_called_otherwise_has_no_images_of_the_old_name():
    renamed = changes({"cat": "lynx"})
    assert labels.outputs(["dog", "lynx"], {"lynx": 3}, renamed) == ["dog", "lynx"]
    with pytest.raises(
        DataError,
        match=r"3 images are labelled cat, which is called lynx .*named lynx, or name them so in labels\.csv, and",
    ):
        labels.outputs(["dog", "lynx"], {"cat": 3}, renamed)


def test_two_labels_cannot_get_one_name_and_the_way_out_is_named():
    with pytest.raises(DataError, match=r"one label of two: dog; .*take cat out of it and put it into prepare.removed"):
        labels.outputs(["dog", "dog"], {"dog": 3}, changes({"cat": "dog"}))


def test_a_setting_that_names_no_label_that_ever_was_is_told():
    wanted = changes({"cat": "lynx", "hen": "bird", "x": "y"}, ("dgo", "owl"))
    assert labels.unheard_of({"dog", "owl", "cat", "bird"}, wanted) == [
        "prepare.removed_labels: dgo",
        "prepare.renamed_labels: x",
    ]
    assert labels.unheard_of({"dog"}, changes()) == []


def test_a_lineage_is_told_with_todays_names():
    registered = lineage(
        model=description("cat", "dog"),
        label_counts={"cat": 3, "lynx": 1},
        reference=Statistics(layout=1, facts={"contrast": (1, 4)}, labels={"cat": 3, "dog": 2}),
        quarantine=(("d1", "cat", "a.png"), ("d2", "dog", "b.png")),
        commit="abc",
    )
    assert labels.named(registered, {"cat": "lynx"}) == lineage(
        model=description("lynx", "dog"),
        label_counts={"lynx": 4},
        reference=Statistics(layout=1, facts={"contrast": (1, 4)}, labels={"lynx": 3, "dog": 2}),
        quarantine=(("d1", "lynx", "a.png"), ("d2", "dog", "b.png")),
        commit="abc",
    )
    assert registered.model.labels == ("cat", "dog"), "the given one stays as it is"


def test_a_lineage_says_nothing_under_todays_names_that_it_did_not_say():
    """One of before there were these keys: what is written of it has the keys that it had."""
    registered = {key: value for key, value in lineage().to_json().items() if key not in ("reference", "quarantine")}
    old = Lineage.from_json(json.dumps(registered).encode(), "lineage.json")
    assert labels.named(old, {"cow": "ox"}).to_json() == registered
    registered |= {"reference": {}, "quarantine": []}
    old = Lineage.from_json(json.dumps(registered).encode(), "lineage.json")
    assert labels.named(old, {"cow": "ox"}).to_json() == registered
