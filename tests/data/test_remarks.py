"""What people say of images besides their labels, read from batches as DVC tracks them."""

import hashlib
import json
import time
from pathlib import Path

import polars as pl
import pytest
import yaml

from pipeline.artifacts.sources import Source
from pipeline.base import params
from pipeline.base.errors import DataError, ParamsError
from pipeline.data import remarks
from pipeline.data.store import Store
from pipeline.settings import Params

PARAMS = Path(__file__).parents[2] / "params.yaml"


def kept(root: Path, content: bytes, ending: str = "") -> str:
    """Put an object into DVC's cache; its hash."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = root / ".dvc/cache/files/md5" / digest[:2] / f"{digest[2:]}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{digest}{ending}"


def batch(root: Path, path: str, names: tuple[str, ...], labels_csv: str = "") -> Source:
    digests = {name: hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in names}
    if labels_csv:
        digests["labels.csv"] = kept(root, labels_csv.encode())
    listing = [{"md5": digest, "relpath": name} for name, digest in digests.items()]
    return Source(path, kept(root, json.dumps(listing).encode(), ".dir"), len(digests))


def read(root: Path, *batches: Source, rule: str | None = None) -> set[tuple[str, str, str]]:
    """Name of the image, which is what its bytes are, name and value."""
    rows = remarks.read(Store(root), batches, rule)
    known = {hashlib.md5(f"{a}{n}.png".encode(), usedforsecurity=False).hexdigest(): f"{a}{n}.png"
             for a in ("", "p1_", "p2_", "cat/p1_") for n in range(5)}  # fmt: skip
    return {(known[digest], name, value) for _, digest, name, value in rows.iter_rows() if digest in known}


def test_splits_groups_and_slices_are_read_of_each_batch(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    content = "file,label,split,group,site\n1.png,cat,val,g,north\n2.png,cat,,,south\ngone.png,cat,val,g,north\n"
    one = batch(tmp_path, "data/images/one", ("1.png", "2.png", "3.png"), content)
    other = batch(tmp_path, "data/images/other", ("cat/4.png",))
    rows = remarks.read(Store(tmp_path), [one, other], None)
    assert rows.columns == list(remarks.COLUMNS)
    assert set(rows["source"]) == {one.digest}
    assert read(tmp_path, one, other) == {
        *{("1.png", "split", "val"), ("1.png", "group", "g"), ("1.png", "site", "north"), ("2.png", "site", "south")},
    }
    assert remarks.wishes(rows, rows["digest"]).rows() == [(rows["digest"][0], "val")]
    assert remarks.wishes(rows, rows["digest"].head(0)).is_empty()
    assert remarks.claims(rows)["name"].to_list() == ["g"]
    assert set(remarks.slices(rows)["value"]) == {"north", "south"}


def test_a_rule_counts_where_labels_csv_says_no_group(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    content = "file,label,group\np1_1.png,cat,mine\np1_2.png,cat,\n"
    one = batch(tmp_path, "data/images/one", ("p1_1.png", "p1_2.png", "p2_3.png", "4.png"), content)
    alone = Source("data/images/two/cat/p1_0.png", hashlib.md5(b"cat/p1_0.png", usedforsecurity=False).hexdigest(), 1)
    assert read(tmp_path, one, alone, rule=r"(?:^|^cat/)(p\d+)_") == {
        ("p1_1.png", "group", "mine"),
        ("p1_2.png", "group", "p1"),
        ("p2_3.png", "group", "p2"),
        ("cat/p1_0.png", "group", "p1"),
    }
    assert read(tmp_path, one, alone, rule="()p").isdisjoint({("p1_2.png", "group", "")})


def test_a_labels_csv_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    one = batch(tmp_path, "data/images/one", ("1.png",), "file,label,a,a\n")
    with pytest.raises(
        DataError, match=r"^data/images/one/labels\.csv: line 1 has the column 'a' twice; .* `dvc add` the"
    ):
        read(tmp_path, one)


@pytest.mark.parametrize("rule", [r"((?:a+)+)$", r"((?:a|aa)+)$"])
def test_no_rule_takes_long_on_any_path(rule: str) -> None:
    """These take more than a lifetime where a regular expression goes back and tries again."""
    begun = time.monotonic()
    assert remarks.named_by(pl.Series(["a" * 4000 + "!"]), rule).to_list() == [None]
    assert time.monotonic() - begun < 5


def loaded(folder: Path, rule: object) -> Params:
    settings = yaml.safe_load(PARAMS.read_text())
    settings["prepare"]["group"] = rule
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    return params.load(folder / "params.yaml", Params)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "(",
            r"prepare\.group: '\(' is not a regular expression \(.*unclosed group.*\); expected one without look-aro",
        ),
        (r"(a)(?=b)", r"prepare\.group: '.*' is not a regular expression \(.*look-around.*\); expected one without"),
        (r"(a)\1", r"prepare\.group: '.*' is not a regular expression \(.*backreferences.*\); expected one without"),
        (
            "patient",
            r"prepare\.group: 'patient' has 0 groups in parentheses; expected one, which is the name of the group",
        ),
        (
            "(a)(b)",
            r"prepare\.group: '\(a\)\(b\)' has 2 groups in parentheses; expected one, which .*; \(\?:\.\.\.\) only hol",
        ),
        ("", r"prepare\.group: '' has 0 groups in parentheses; expected one"),
        (r"((?:\w{1000}){1000})", r"prepare\.group: '.*' is not a regular expression \(.*size limit.*\)"),
        (7, r"prepare\.group has 7, which YAML reads as a number; expected a text"),
        (True, r"prepare\.group"),
        (["(a)"], r"prepare\.group is \['\(a\)'\]; expected a text"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_when_it_is_read(tmp_path: Path, rule: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message) as raised:
        loaded(tmp_path, rule)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("rule", [None, r"(patient\d+)_", r"^(?:cat|dog)/([^_]+)_", "(?P<group>.*)_"])
def test_a_rule_is_a_regular_expression_with_one_group(tmp_path: Path, rule: object) -> None:
    assert loaded(tmp_path, rule).prepare.group == rule
