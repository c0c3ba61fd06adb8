from pathlib import Path
from unicodedata import normalize

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline import sources
from pipeline.errors import DataError
from pipeline.sources import Source

HASH = "827c2fdbc2bf8d06d99b2b0ef70d1b5f.dir"
OTHER = "0cc175b9c0f1b6a831c399e269772661.dir"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The images' folder, relative to a project that is the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("data/images").mkdir(parents=True)
    return Path("data/images")


def point(pointer: Path, digest: str = HASH, extra: str = "  hash: md5\n  nfiles: 2\n") -> None:
    """Write a pointer as `dvc add` does."""
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(f"outs:\n- md5: {digest}\n  size: 4\n{extra}  path: {pointer.stem}\n")


def test_one_batch_beside_the_folder(images):
    point(Path("data/images.dvc"))
    assert sources.find(images) == (Source("data/images", HASH, 2),)


def test_batches_beside_in_and_below_the_folder_are_all_found_in_order(images):
    point(images / "monday.dvc")
    point(images / "2026" / "friday.dvc", OTHER)
    point(Path("data/images.dvc"))
    assert [source.path for source in sources.find(images)] == [
        "data/images",
        "data/images/2026/friday",
        "data/images/monday",
    ]


def test_pointers_of_other_data_are_not_batches(images):
    point(Path("data/other.dvc"))
    point(images / "monday.dvc")
    assert [source.path for source in sources.find(images)] == ["data/images/monday"]


def test_a_pointer_need_not_count_its_files(images):
    point(images / "monday.dvc", extra="  hash: md5\n")
    assert sources.find(images) == (Source("data/images/monday", HASH, 0),)


def test_a_batch_needs_no_image_on_disk(images):
    point(images / "monday.dvc")
    assert not (images / "monday").exists()
    assert sources.find(images)[0].num_files == 2


def test_no_batch_names_the_command(images):
    with pytest.raises(DataError, match=r"no images: expected .* in data/images; .*run `dvc add data/images/<batch>`"):
        sources.find(images)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"outs: []\n",
        b"outs:\n- one.png\n",
        b"outs:\n- {md5: a.dir, hash: md5, path: a}\n- {md5: b.dir, hash: md5, path: b}\n",
        b"outs:\n- path: monday\n",
        b"outs:\n- {md5: null, hash: md5, path: monday}\n",
        b"outs:\n<<<<<<< HEAD\n- md5: a.dir\n=======\n- md5: b.dir\n>>>>>>> branch\n  path: monday\n",
        b"\xff\xfe",
    ],
    ids=["empty", "no output", "text", "two outputs", "no hash", "null hash", "merge conflict", "not text"],
)
def test_a_pointer_that_is_none_names_the_two_remedies(images, content):
    (images / "monday.dvc").write_bytes(content)
    remedy = (
        r"restore it with `git checkout data/images/monday\.dvc` or write it anew with `dvc add data/images/monday`"
    )
    with pytest.raises(DataError, match=rf"^data/images/monday\.dvc: not a DVC pointer with one output .*{remedy}"):
        sources.find(images)


@pytest.mark.parametrize(
    ("digest", "extra", "what"),
    [(HASH.removesuffix(".dir"), "  hash: md5\n", "a single file"), (HASH, "", "by the format of DVC 2")],
    ids=["single file", "DVC 2"],
)
def test_a_pointer_to_anything_but_a_directory_is_refused(images, digest, extra, what):
    point(images / "monday.dvc", digest, extra)
    with pytest.raises(DataError, match=rf"monday\.dvc: tracks {what}; expected a directory .* run `dvc remove"):
        sources.find(images)


def test_sources_survive_json():
    found = (Source("data/images/a", HASH, 2), Source("data/images/b", OTHER, 0))
    assert sources.from_json(sources.to_json(found)) == found


SOURCES = st.lists(
    st.builds(Source, st.sampled_from(["a", "b", "c", "d"]), st.sampled_from([HASH, OTHER]), st.integers(0, 3)),
    unique_by=lambda source: source.path,
)


@hypothesis.given(SOURCES, st.randoms(use_true_random=False))
def test_the_datas_digest_does_not_depend_on_the_order_of_batches(found, random):
    assert sources.digest(random.sample(found, len(found))) == sources.digest(found)


@pytest.mark.parametrize(
    "other",
    [[], [Source("a", OTHER, 2)], [Source("b", HASH, 2)], [Source("a", HASH, 2), Source("b", HASH, 2)]],
    ids=["none", "other contents", "other place", "one more"],
)
def test_the_datas_digest_tells_states_apart(other):
    assert sources.digest(other) != sources.digest([Source("a", HASH, 2)])


@pytest.mark.parametrize("label", ["cat", "a", "7", "_x", "red panda", "C++", "v1.2-b", "Größe", "日本", "x" * 64])
def test_a_label_is_the_name_of_the_folder(label):
    assert sources.label_of(f"data/images/monday/{label}/1.png", "data/images") == label


def test_only_the_last_folder_is_the_label():
    assert sources.label_of("data/images/animals/wild/cat/1.png", "data/images") == "cat"


@pytest.mark.parametrize(
    "label",
    ["x" * 65, "<b>", "a\nb", "a\x1b[31m", "a|b", "$HOME", "a\u202eb", "a,b", "'", '"', "%00", "[a](b)", "cat\n"],
    ids=ascii,
)
def test_a_folder_whose_name_cannot_be_a_label_is_refused_in_ascii(label):
    with pytest.raises(
        DataError, match=r"not a label; expected 1 to 64 letters.*; rename the folder and `dvc add`"
    ) as e:
        sources.label_of(f"data/images/monday/{label}/1.png", "data/images")
    assert str(e.value).isprintable()
    assert str(e.value).isascii()


@pytest.mark.parametrize("label", [".hidden", "-x", "+1", " cat"])
def test_a_label_that_begins_badly_is_told_so(label):
    with pytest.raises(DataError, match=r"not a label; expected .*(begin|start|first)"):
        sources.label_of(f"data/images/monday/{label}/1.png", "data/images")


@pytest.mark.parametrize("label", ["cafe\u0301", "हिन्दी"], ids=["decomposed, as macOS writes it", "vowel signs"])
def test_a_label_may_have_the_marks_that_letters_carry(label):
    found = sources.label_of(f"data/images/monday/{label}/1.png", "data/images")
    assert normalize("NFC", found) == normalize("NFC", label)


def test_an_image_in_no_label_folder_is_refused():
    with pytest.raises(
        DataError, match=r"images/1\.png: lies in no label folder; move it to data/images/<batch>/<label>/"
    ):
        sources.label_of("data/images/1.png", "data/images")


@pytest.mark.parametrize(
    ("name", "ignored"),
    [(".DS_Store", True), ("._1.png", True), ("notes.txt", True), ("txt", False), ("1.png", False), ("1.TXT", False)],
)
def test_ignored_files_are_told_by_name(settings, name, ignored):
    assert sources.is_ignored(f"data/images/._folder/cat/{name}", settings.detect.ignore) is ignored


def test_untracked_files_are_those_that_no_batch_lists(images):
    for name in ("monday/cat/1.png", "monday/cat/2.png", "monday/dog/3.png", "tuesday/cat/1.png", "4.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    beside = (".gitignore", ".gitkeep", ".dvcignore", "monday.dvc", "monday/.DS_Store", "monday/cat/notes.txt")
    for name in beside:
        (images / name).touch()
    tracked = ["data/images/monday/cat/1.png", "data/images/monday/dog/3.png", "data/images/monday/dog/gone.png"]
    assert sources.untracked(images, tracked, [".DS_Store", "*.txt"]) == [
        "data/images/4.png",
        "data/images/monday/cat/2.png",
        "data/images/tuesday/cat/1.png",
    ]


def test_a_clone_without_images_has_no_untracked_files(images):
    images.rmdir()
    assert sources.untracked(images, ["data/images/monday/cat/1.png"], []) == []
