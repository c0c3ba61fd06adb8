import json
import os
import pickle
import zipfile
from pathlib import Path

import hypothesis
import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.base import files
from pipeline.base.errors import DataError

ARRAYS = {"0": np.arange(6, dtype=np.float32).reshape(2, 3), "1": np.float64(0.1), "2": np.zeros((0, 4), np.int8)}
TABLE = pl.DataFrame({"digest": ["a", "b"], "count": [1, 2]})
VALUE = {"digest": ["a", "b"], "count": [1, 2]}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_write_makes_the_folder_and_a_file_that_others_may_read(tmp_path):
    files.write(tmp_path / "a" / "b" / "c.bin", b"whole")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"whole"
    assert (tmp_path / "a" / "b" / "c.bin").stat().st_mode & 0o777 == 0o644


def test_write_replaces_what_was_there(tmp_path):
    for content in (b"a long first version", b"second"):
        files.write(tmp_path / "a.bin", content)
    assert (tmp_path / "a.bin").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize(
    ("owner", "call"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")], ids=["sync", "mode", "rename"]
)
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, owner, call):
    files.write(tmp_path / "a.bin", b"old")
    monkeypatch.setattr(owner, call, interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path / "a.bin", b"new")
    monkeypatch.undo()
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_content_is_on_disk_before_the_name_and_the_name_before_write_returns(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append((tmp_path / "a").exists()), real(handle)))
    files.write(tmp_path / "a", b"x")
    assert synced == [False, True]


def test_json_of_equal_values_is_equal_bytes(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": {"ä": None, "z": True}})
    files.write_json(tmp_path / "b.json", {"a": {"z": True, "ä": None}, "b": [1, 2.5]})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert "ä" in (tmp_path / "a.json").read_text("utf-8")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(codec="utf-8")), children),
    max_leaves=10,
)


@hypothesis.given(VALUES)
def test_json_reads_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    files.write_json(path, value)
    assert files.read_json(path) == value


@hypothesis.given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_a_digest_of_json_does_not_depend_on_the_order_of_keys(value):
    assert files.sha256_json(value) == files.sha256_json(dict(reversed(value.items())))
    assert files.sha256_json(value) != files.sha256_json(value | {"one more": 1})


def test_a_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # NIST's example
    assert files.sha256_file(tmp_path / "a") == files.sha256(b"abc") == expected


def test_a_table_of_equal_columns_is_equal_bytes(tmp_path):
    files.write_table(tmp_path / "a.parquet", TABLE)
    files.write_table(tmp_path / "b.parquet", TABLE.clone())
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_table_reads_as_it_was_written(tmp_path):
    files.write_table(tmp_path / "a.parquet", TABLE)
    assert_frame_equal(files.read_table(tmp_path / "a.parquet"), TABLE)


def test_some_columns_of_a_table_can_be_read(tmp_path):
    files.write_table(tmp_path / "a.parquet", TABLE)
    assert_frame_equal(files.read_table(tmp_path / "a.parquet", ["count"]), TABLE.select("count"))


def test_a_column_that_a_table_has_not_is_refused(tmp_path):
    files.write_table(tmp_path / "a.parquet", TABLE)
    with pytest.raises(DataError, match=r"a\.parquet: not a Parquet table \(.*colour.*\); delete it") as raised:
        files.read_table(tmp_path / "a.parquet", ["colour"])
    assert "\n" not in str(raised.value)


def test_a_table_without_rows_keeps_its_columns_and_their_types(tmp_path):
    files.write_table(tmp_path / "a.parquet", TABLE.clear())
    assert_frame_equal(files.read_table(tmp_path / "a.parquet"), TABLE.clear())


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("a: 1", {"a": 1}),
        (b"a: [x, 1.5, null]", {"a": ["x", 1.5, None]}),
        ("", None),
        ("a: &a [1]\nb: [*a, *a]", {"a": [1], "b": [[1], [1]]}),
        ("gr\u00f6\u00dfe", "gr\u00f6\u00dfe"),
    ],
)
def test_yaml_is_read_as_plain_values(content, value):
    assert files.parse_yaml(content) == value


@pytest.mark.parametrize(
    "content",
    [
        "a: [", b"!!python/object/apply:os.mkdir [x]", "!!python/name:os.system", b"a: \xff",
        "a: 2024-13-45", "a: !!int x", "a: !!bool x", "!!timestamp 2001", "&a [*a]", "a: &a {b: *a}", "&a [[1, *a]]",
        "[" * 5000, "[" * 5000 + "]" * 5000,
    ],
    ids=lambda content: repr(content)[:40],
)  # fmt: skip
def test_yaml_that_is_none_or_would_run_code_is_refused(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(yaml.YAMLError):
        files.parse_yaml(content)
    assert not list(tmp_path.iterdir())


def test_arrays_read_as_they_were_written(tmp_path):
    files.write_arrays(tmp_path / "a.npz", ARRAYS)
    read = files.read_arrays(tmp_path / "a.npz")
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        assert read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_equal_arrays_are_equal_bytes_at_any_time(tmp_path, monkeypatch):
    files.write_arrays(tmp_path / "a.npz", ARRAYS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    files.write_arrays(tmp_path / "b.npz", {name: np.array(array) for name, array in ARRAYS.items()})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_objects_are_not_written_as_arrays(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        files.write_arrays(tmp_path / "a.npz", {"0": np.array([object()])})
    assert not list(tmp_path.iterdir())


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize("inside", ["npz", "bare pickle"])
def test_pickles_are_refused_and_never_run(tmp_path, monkeypatch, inside):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npz"
    if inside == "npz":
        np.savez(path, allow_pickle=True, weights=np.array([Hostile()], dtype=object))
    else:
        path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(DataError, match=r"a\.npz: not a whole \.npz of plain arrays"):
        files.read_arrays(path)
    assert not (tmp_path / "unpickled").exists()


def test_a_single_array_is_not_an_npz(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(DataError, match=r"a\.npz: not a whole \.npz of plain arrays"):
        files.read_arrays(tmp_path / "a.npz")


def test_an_npz_compressed_in_an_unknown_way_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("0.npy", b"")
    content = (tmp_path / "a.npz").read_bytes()
    directory = content.rindex(b"PK\x01\x02")  # PKZIP's list of entries; method at offset 10
    (tmp_path / "a.npz").write_bytes(content[: directory + 10] + b"\x63\x00" + content[directory + 12 :])
    with pytest.raises(DataError, match=r"a\.npz: not a whole \.npz of plain arrays"):
        files.read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "write", "read", "value", "message"),
    [
        ("a.npz", files.write_arrays, files.read_arrays, ARRAYS, "not a whole .npz of plain arrays"),
        ("a.parquet", files.write_table, files.read_table, TABLE, "not a Parquet table"),
        ("a.json", files.write_json, files.read_json, VALUE, "not valid JSON"),
    ],
    ids=["arrays", "table", "json"],
)
def test_a_torn_file_is_named_with_the_remedy(tmp_path, name, write, read, value, message):
    path = tmp_path / name
    write(path, value)
    whole = path.read_bytes().rstrip(b"\n")
    for length in {*range(0, len(whole), 23), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=rf"{name}: {message} .*; delete it, .*, then run `dvc repro`$"):
            read(path)


def test_a_table_with_damaged_bytes_is_read_or_refused(tmp_path):
    """Parquet has no checksum over all of it, so some damage stays unseen; none may end in a traceback."""
    path = tmp_path / "a.parquet"
    files.write_table(path, TABLE)
    whole, refused = path.read_bytes(), 0
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x80]) + whole[position + 1 :])
        try:
            files.read_table(path)
        except DataError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "read", [files.read_arrays, files.read_table, files.read_json], ids=["arrays", "table", "json"]
)
def test_a_missing_file_is_named_with_the_remedy(tmp_path, read):
    with pytest.raises(
        DataError, match=r"made\.x: no such file; a stage before this one writes it, so run `dvc repro`"
    ):
        read(tmp_path / "made.x")


def test_json_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(json.dumps({"a": 1}).encode() + b"\xff")
    with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
        files.read_json(tmp_path / "a.json")
