import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline.artifacts.sources import Source, Sources
from pipeline.base.errors import DataError
from pipeline.data import sources

HASH = "827c2fdbc2bf8d06d99b2b0ef70d1b5f.dir"
OTHER = "0cc175b9c0f1b6a831c399e269772661.dir"
IMAGE = "0cc175b9c0f1b6a831c399e269772661"


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


def test_batches_in_and_below_the_folder_are_all_found_in_order(images):
    point(images / "monday.dvc")
    point(images / "2026" / "friday.dvc", OTHER)
    assert [source.path for source in sources.find(images)] == ["data/images/2026/friday", "data/images/monday"]


def test_nothing_is_looked_for_in_a_batch(images):
    """DVC allows no pointer inside a tracked directory, which may hold a million files."""
    point(images / "monday.dvc")
    point(images / "monday/cat/1.dvc", OTHER)
    assert [source.path for source in sources.find(images)] == ["data/images/monday"]
    point(Path("data/images.dvc"))
    assert [source.path for source in sources.find(images)] == ["data/images"]


def test_a_link_is_never_followed(images, tmp_path):
    point(tmp_path / "elsewhere/secret.dvc")
    (images / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "also.dvc").symlink_to(tmp_path / "elsewhere/secret.dvc")
    assert sources.find(images, at_least=0) == ()


def test_pointers_of_other_data_are_not_batches(images):
    point(Path("data/other.dvc"))
    point(images / "monday.dvc")
    assert [source.path for source in sources.find(images)] == ["data/images/monday"]


def test_an_image_may_have_a_pointer_of_its_own(images):
    (images / "monday/cat").mkdir(parents=True)
    (images / "monday/cat/1.png.dvc").write_text(
        f"outs:\n- md5: {IMAGE}\n  size: 4\n  hash: md5\n  path: 1.png\n", "utf-8"
    )
    assert sources.find(images) == (Source("data/images/monday/cat/1.png", IMAGE, 1),)


def test_a_pointer_need_not_count_its_files(images):
    point(images / "monday.dvc", extra="  hash: md5\n")
    assert sources.find(images) == (Source("data/images/monday", HASH, 1),)


def test_a_batch_needs_no_image_on_disk(images):
    point(images / "monday.dvc")
    assert not (images / "monday").exists()
    assert sources.find(images)[0].num_files == 2


@pytest.mark.parametrize("form", ["CRLF", "BOM"])
def test_a_pointer_may_have_other_line_ends_and_a_byte_order_mark(images, form):
    point(images / "monday.dvc")
    before = sources.digest(sources.find(images))
    content = (images / "monday.dvc").read_bytes()
    changed = content.replace(b"\n", b"\r\n") if form == "CRLF" else b"\xef\xbb\xbf" + content
    (images / "monday.dvc").write_bytes(changed)
    assert sources.digest(sources.find(images)) == before


def test_no_batch_names_the_command(images):
    with pytest.raises(DataError, match=r"no images: expected .* in data/images; .*run `dvc add data/images/<batch>`"):
        sources.find(images)


@pytest.mark.parametrize("there", [True, False], ids=["folder", "no folder"])
def test_no_batch_is_no_fault_where_none_is_needed(images, there):
    if not there:
        images.rmdir()
    assert sources.find(images, at_least=0) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"outs: []\n",
        b"outs:\n- one.png\n",
        b"outs:\n- {md5: a.dir, hash: md5, path: a}\n- {md5: b.dir, hash: md5, path: b}\n",
        b"outs:\n- path: monday\n",
        b"outs:\n- {md5: null, hash: md5, path: monday}\n",
        b"outs:\n- {md5: a.dir, hash: md5, path: 7}\n",
        b"outs:\n<<<<<<< HEAD\n- md5: a.dir\n=======\n- md5: b.dir\n>>>>>>> branch\n  path: monday\n",
        b"\xff\xfe",
    ],
    ids=[
        "empty",
        "no output",
        "text",
        "two outputs",
        "no hash",
        "null hash",
        "path of no text",
        "merge conflict",
        "not text",
    ],
)
def test_a_pointer_that_is_none_names_the_remedies(images, content):
    (images / "monday.dvc").write_bytes(content)
    remedy = (
        r"run `python -m pipeline merge` if a merge left it in conflict, else restore it with `git checkout HEAD -- "
        r"data/images/monday\.dvc`, or delete it and run `dvc add data/images/monday`"
    )
    with pytest.raises(DataError, match=rf"^data/images/monday\.dvc: not a DVC pointer with one output; {remedy}"):
        sources.find(images)


@pytest.mark.parametrize("digest", [HASH, IMAGE], ids=["directory", "image"])
def test_a_pointer_of_dvc_2_is_refused_with_the_commands_that_renew_it(images, digest):
    point(images / "monday.dvc", digest, "")
    with pytest.raises(
        DataError,
        match=r"monday\.dvc: tracks by the format of DVC 2; expected that of DVC 3; with its images on disk, run "
        r"`dvc remove data/images/monday\.dvc` and `dvc add data/images/monday`",
    ):
        sources.find(images)


def test_sources_survive_json():
    batches = (Source("data/images/a", HASH, 2), Source("data/images/b", OTHER, 0))
    state = Sources(digest=sources.digest(batches), sources=batches)
    assert Sources.from_json(json.dumps(state.to_json()).encode(), "sources.json").sources == batches


SOURCES = st.lists(
    st.builds(Source, st.sampled_from(["a", "b", "c", "d"]), st.sampled_from([HASH, OTHER]), st.integers(0, 3)),
    unique_by=lambda source: source.path,
)


@hypothesis.given(SOURCES, st.randoms(use_true_random=False))
def test_the_datas_digest_does_not_depend_on_the_order_of_batches(batches, random):
    assert sources.digest(random.sample(batches, len(batches))) == sources.digest(batches)


@pytest.mark.parametrize(
    "other",
    [[], [Source("a", OTHER, 2)], [Source("b", HASH, 2)], [Source("a", HASH, 2), Source("b", HASH, 2)]],
    ids=["none", "other contents", "other place", "one more"],
)
def test_the_datas_digest_tells_states_apart(other):
    assert sources.digest(other) != sources.digest([Source("a", HASH, 2)])


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        (".DS_Store", True),
        ("monday/cat/.DS_Store", True),
        ("monday/cat/._1.png", True),
        ("monday/cat/notes.txt", True),
        ("__MACOSX/cat/1.png", True),
        ("monday/__MACOSX/cat/1.png", True),
        ("monday/._cat/1.png", True),
        ("monday/cat/1.png", False),
        ("monday/cat/txt", False),
        ("monday/cat/1.TXT", False),
        ("monday/cat/1.txt.png", False),
        ("monday/cat/x.DS_Store", False),
        ("monday/cat/.DS_Storex", False),
        ("monday/not__MACOSX/1.png", False),
        ("monday/cat/1_png", False),
    ],
)
def test_what_systems_leave_behind_is_ignored_by_any_name_in_the_path(settings, path, ignored):
    assert sources.is_ignored(path, settings.detect.ignore) is ignored


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "atxt", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a*c", "a/c", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("(", "(", True),
    ],
)
def test_a_pattern_knows_two_signs_and_takes_all_others_as_they_are(pattern, name, fits):
    assert sources.is_ignored(name, [pattern]) is fits


def test_without_patterns_nothing_is_ignored():
    assert not sources.is_ignored(".DS_Store", [])
    assert not sources.is_ignored("", [])
